"""The doctor: everything that makes a network silently wrong, found in one run.

check_network reads a cfg and, if given, its weights, names and .data. The core stops at the first error;
rules on the parsed sections go on. A module per subject; each rule adds findings to the report.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import CfgFileError, CfgNotFoundError, DarknetError
from .building import Built, build
from .context import Context
from .files import check_data, check_names, check_weights, what_else
from .findings import Finding, LayerShape, Report
from .heads import check_heads
from .keys import check_lines, check_sections, stride_hint
from .sections import Config
from .training import check_net

__all__ = ["Finding", "LayerShape", "Report", "check_network"]

#: Warnings of the core that rules tell better, or for all sections at once.
_TOLD = (
    "unknown key",
    "given twice",
    "no '=' on this line",
    "the comment after the value",
    "a key without a value",
    "is unknown; relu is used",
    "is unknown; constant is used",
    "is more than the batch of",
)

PathLike = str | os.PathLike[str]


def check_network(
    cfg: PathLike,
    weights: PathLike | None = None,
    *,
    names: PathLike | None = None,
    data: PathLike | None = None,
    dialect: str | None = None,
) -> Report:
    """Checks a cfg, and what is given besides; X.names beside X.cfg counts as given.

    Raises a DarknetError only for a file that cannot be read; all else is in the report.
    """
    file, report = os.fspath(cfg), Report()
    text = _read(cfg)
    try:
        other = what_else(text[:64])
        if other and other[0] != "a cfg":
            report.add(file, 0, "error", "not-cfg", f"this is {other[0]}", other[1])
            return report
        context = Context(Config.parse(text, file), report)
    except DarknetError as error:
        report.add(file, 0, "error", "not-cfg", str(error).removeprefix(f"{file}: "), _swapped(cfg, weights))
        return report
    built = build(context.config, dialect)
    context.shapes = built.shapes
    try:
        check_lines(context)
        check_sections(context)
        check_net(context)
        check_heads(context)
        _add_built(context, built)
        if weights is not None:
            check_weights(context, built.network, weights)
    finally:
        if built.network is not None:
            built.network.close()
    beside = Path(cfg).with_suffix(".names")
    if names is not None or (data is None and beside.is_file()):
        check_names(context, beside if names is None else names)
    if data is not None:
        check_data(context, data)
    report.shapes = [
        LayerShape(section.index, section.type, section.line, shape)
        for section, shape in zip(context.config.layers, context.shapes, strict=True)
    ]
    report.sort()
    return report


def _read(cfg: PathLike) -> bytes:
    try:
        return Path(cfg).read_bytes()
    except FileNotFoundError:
        raise CfgNotFoundError(f"{os.fspath(cfg)}: no such file") from None
    except OSError as error:
        raise CfgFileError(f"{os.fspath(cfg)}: {error.strerror or error}") from error


def _swapped(cfg: PathLike, weights: PathLike | None) -> str:
    return "" if Path(cfg).suffix == ".cfg" and weights is None else "CFG comes first, then WEIGHTS"


def _add_built(context: Context, built: Built) -> None:
    """What the core said, where no rule has told it already."""
    file = context.config.file
    for line, message in built.failures:
        section = context.config.section_at(line) if line else None
        if section is not None and section.index in context.explained:
            continue
        if section is None and context.report.errors:
            continue  # a consequence of what was replaced
        text = message.removeprefix(f"[{section.name}]").lstrip(" :") if section else message
        hint = stride_hint(context) if "match" in text or "plain vector" in text else ""
        title = f"{section.title} " if section else ""
        context.report.add(file, line, "error", "core", title + text, hint)
        if section is not None:
            context.explained.add(section.index)
    for line, message in built.warnings:
        if not any(told in message for told in _TOLD):
            context.report.add(file, line, "warning", "core", message)
    unknown = next((i for i, shape in enumerate(context.shapes) if shape is None), None)
    if unknown is not None and not context.report.errors:
        context.report.add(file, context.config.layers[unknown].line, "error", "core", "can't be built")

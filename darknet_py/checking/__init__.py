"""The doctor: everything that makes a network silently wrong, found in one run.

check_network reads a cfg and, if given, its weights, names and .data; check_training a data set, too. The
core stops at the first error; rules on the parsed sections go on. A module per subject; each rule adds
findings to the report.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import CfgFileError, CfgNotFoundError, DarknetError
from ..evaluation import label_classes
from ..names import read_names
from ..network import Network
from .building import Built, build
from .context import Context
from .data_set import MOST_BAD, MOST_OPENED, Diagnosis, diagnose
from .files import check_data, check_names, check_weights, what_else
from .findings import Finding, LayerShape, Report
from .heads import check_heads
from .keys import check_lines, check_sections, stride_hint
from .repair import Change, repair
from .sections import Config
from .sources import is_data_file
from .training import check_net

__all__ = [
    "Change",
    "Diagnosis",
    "Finding",
    "LayerShape",
    "Report",
    "check_network",
    "check_training",
    "repair",
]

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
    report = Report()
    _examine(report, cfg, weights, names, data, dialect)
    report.sort()
    return report


def check_training(
    data: PathLike,
    cfg: PathLike | None = None,
    weights: PathLike | None = None,
    *,
    names: PathLike | None = None,
    dialect: str | None = None,
    most_opened: int = MOST_OPENED,
    most_bad: float = MOST_BAD,
    tuning: bool = False,
    threads: int | None = None,
    quiet: bool = True,
) -> Diagnosis:
    """Checks a data set of any format, and the network that is to be trained on it.

    data: as darknet_py.datasets takes it. weights: to start from. names: of the classes, where the data set
    does not have them. most_opened: pictures to open; all labels are read. most_bad: part of pictures, label
    files and labels that training leaves out; more are an error. tuning: training will start from weights
    that need not be checked. quiet: no progress on a terminal.

    Raises a DarknetError only for a file that cannot be read; all else is in the report.
    """
    file, report = os.fspath(data), Report()
    context = None
    if cfg is not None:
        stated = data if is_data_file(file) else None
        context = _examine(report, cfg, weights, names, stated, dialect, beside=False)
        report.sort()
    known = None if names is None else read_names(names)
    return diagnose(
        file,
        context,
        report,
        names=known,
        most_opened=most_opened,
        most_bad=most_bad,
        tuning=tuning or weights is not None,
        threads=threads,
        quiet=quiet,
    )


def _examine(
    report: Report,
    cfg: PathLike,
    weights: PathLike | None,
    names: PathLike | None,
    data: PathLike | None,
    dialect: str | None,
    beside: bool = True,
) -> Context | None:
    """check_network, into a report; None if there is no cfg in the file. beside: look for X.names."""
    file = os.fspath(cfg)
    text = _read(cfg)
    try:
        other = what_else(text[:64])
        if other and other[0] != "a cfg":
            report.add(file, 0, "error", "not-cfg", f"this is {other[0]}", other[1])
            return None
        context = Context(Config.parse(text, file), report)
    except DarknetError as error:
        report.add(file, 0, "error", "not-cfg", str(error).removeprefix(f"{file}: "), _swapped(cfg, weights))
        return None
    built = build(context.config, dialect)
    context.shapes = built.shapes
    try:
        check_lines(context)
        check_sections(context)
        check_net(context)
        check_heads(context)
        _add_built(context, built)
        if built.network is not None:
            _ask(context, built.network)
        if weights is not None:
            check_weights(context, built.network, weights)
    finally:
        if built.network is not None:
            built.network.close()
    found = Path(cfg).with_suffix(".names")
    if names is not None or (beside and data is None and found.is_file()):
        check_names(context, found if names is None else names)
    if data is not None:
        check_data(context, data)
    report.shapes = [
        LayerShape(section.index, section.type, section.line, shape)
        for section, shape in zip(context.config.layers, context.shapes, strict=True)
    ]
    return context


def _ask(context: Context, network: Network) -> None:
    """What only the built network knows of its classes."""
    heads = [layer for layer in network.layers if layer.head]
    tree = heads[-1].tree if heads else network.tree
    context.nodes = None if tree is None else len(tree)
    if heads:
        context.label_classes = label_classes(network)


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

"""The quick part of a check, before a training run begins: all labels, but few pictures."""

from __future__ import annotations

from ..data import PathLike
from ..errors import CfgError, DataError
from ..logs import logger
from . import check_training
from .data_set import MOST_BAD
from .survey import FILE_CODES, WRONG_CODES

LABEL_CODES = (*FILE_CODES, *WRONG_CODES)

MOST_OPENED = 100  # pictures
#: What training tells itself as soon as it has read its lists.
TOLD_LATER = ("class-empty", "annotation", "picture", "picture-missing", "picture-unreadable", *LABEL_CODES)
ABOUT_LENGTH = ("epochs", "schedule", "burn-in")


def check_before(
    data: PathLike,
    cfg: PathLike,
    *,
    tuning: bool = False,
    dialect: str | None = None,
    most_bad: float = MOST_BAD,
    length: int | None = None,
    threads: int | None = None,
    quiet: bool = False,
) -> None:
    """Warns of what is probably not as meant, and raises CfgError or DataError for what cannot work.

    tuning: whether training starts from weights. dialect, most_bad: as in RunOptions. length: updates, if
    they are not the cfg's max_batches.
    """
    found = check_training(
        data,
        cfg,
        most_opened=MOST_OPENED,
        dialect=dialect,
        most_bad=most_bad,
        tuning=tuning,
        threads=threads,
        quiet=quiet,
    )
    skipped = TOLD_LATER if length is None else (*TOLD_LATER, *ABOUT_LENGTH)
    for finding in found.report.warnings:
        if finding.code not in skipped:
            logger.warning("%s", finding)
    errors = found.report.errors
    if not errors:
        return
    lines = [str(finding).replace(": error: ", ": ", 1) for finding in errors]
    kind = CfgError if errors[0].file == str(cfg) else DataError
    if len(lines) == 1:
        raise kind(lines[0])
    listed = "\n  ".join(lines)
    raise kind(
        f"{len(lines)} errors, found before the first step (-no_check trains all the same):\n  {listed}"
    )

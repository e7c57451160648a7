"""A data set against a network: everything that makes people train for a day and get nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import DataError
from .catalogue import Catalogue
from .context import Context
from .files import class_count
from .findings import Report, Several
from .heads import classes_of
from .memory import check_memory
from .pictures import check_lists, check_pictures
from .schedule import check_schedule
from .sizes import Proposal, check_sizes
from .sources import KINDS, Source, open_source
from .survey import Survey, check_balance, survey

MOST_OPENED = 10_000  # pictures, by default
MOST_BAD = 0.1  # part of the pictures, of the label files, of the labels


@dataclass
class Diagnosis:
    """A report, and what a corrected cfg needs to know: classes of the data, anchors that fit it, how many
    subdivisions fit the memory, how many pictures there are to train with."""

    report: Report
    context: Context | None = None
    source: Source | None = None
    proposal: Proposal | None = None
    subdivisions: int | None = None
    pictures: int = 0


def diagnose(
    data: str,
    context: Context | None,
    report: Report,
    *,
    names: Sequence[str] | None = None,
    most_opened: int = MOST_OPENED,
    most_bad: float = MOST_BAD,
    tuning: bool = False,
    threads: int | None = None,
    quiet: bool = True,
) -> Diagnosis:
    """Checks a data set, against a network if there is one, into a report. most_opened: pictures to open."""
    result, several = Diagnosis(report, context), Several()
    task = None if context is None else "detection" if context.heads else "classification"
    try:
        source = open_source(
            data,
            several,
            task=task,
            classes=None if context is None or task != "detection" else _label_classes(context),
            nodes=context.nodes if context else None,
            names=names,
        )
    except DataError as error:
        if not os.path.exists(data):  # noqa: PTH110
            raise
        message = str(error).removeprefix(f"{data}: ")
        if all(one.message != message for one in report.errors):
            several.add((data, 0), "error", "data", message)
        several.into(report, data)
        return result
    result.source = source
    with Catalogue() as catalogue:
        found = survey(source, catalogue, several, most_bad, quiet=quiet)
        result.pictures = catalogue.count("train")
        _describe(found, several)
        _classes(found, context, several)
        if context is None or context.nodes is None:
            check_balance(found, several)
        check_lists(catalogue, several)
        opened, known = check_pictures(catalogue, several, most_opened, most_bad, quiet=quiet)
        if opened < known:
            message = f"{opened} of {known} pictures were opened, evenly spread"
            several.add((source.file, 0), "note", "opened", message)
        if context is not None:
            if source.task == "detection" and context.heads:
                result.proposal = check_sizes(context, found.sizes.values, several)
            check_schedule(context, several, result.pictures, tuning)
            result.subdivisions = check_memory(context, several, threads)
    several.into(report, source.file)
    return result


def _label_classes(context: Context) -> int:
    """Classes that labels may have, as the heads say."""
    if context.label_classes is not None:
        return context.label_classes
    return max(classes_of(head) for head in context.heads)


def _describe(found: Survey, several: Several) -> None:
    """What the data set was read as, and how much of it there is."""
    source = found.source
    parts = []
    for split in source.splits:
        text = f"{found.catalogue.count(split)} pictures"
        if source.task == "detection":
            text += f" with {found.total(split)} boxes"
        parts.append(f"{split}: {text}")
    message = f"read as {KINDS[source.kind]}: {', '.join(parts)}"
    several.add((source.file, 0), "note", "data-set", message)
    if source.kind != "darknet" and "valid" not in source.splits:
        message = "has no pictures for validation"
        hint = "without them nobody sees whether the network learns"
        several.add((source.file, 0), "warning", "valid-list", message, hint)


def _classes(found: Survey, context: Context | None, several: Several) -> None:
    """The data set's classes against the network's, where no .data file states them."""
    if context is None:
        return
    source, place = found.source, (found.source.file, 0)
    task = "detection" if context.heads else "classification"
    if source.task != task:
        message = f"{KINDS[source.kind]} for {source.task}, but the network is one for {task}"
        several.add(place, "error", "task", message, "give the cfg that belongs to it")
        return
    outputs, classes = class_count(context), source.classes
    if classes is None or outputs is None or classes == outputs or context.nodes is not None:
        return
    if source.kind == "darknet" and task == "detection":
        return  # told by check_data
    message = f"has {classes} classes, but the network has {outputs}"
    several.add(place, "error", "classes", message, "make both equal (check --fix does)")

"""One reading of a data set: what is counted on the way, and what the counts say of classes and labels.

Memory does not grow with the set: pictures go into a catalogue on disk, sizes of boxes into a sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..progress import Bar
from .catalogue import Catalogue
from .findings import Several
from .labels import LabelReader
from .sources import Entry, Source

MOST_SIZES = 20_000  # boxes whose sizes are kept
MOST_CLASSES = 100_000  # that are counted, where nobody says how many there are
MOST_NAMED = 8
FEW_TRUTHS = 10
LARGE_SHARE = 0.9
MOST_OUTSIDE = 0.05  # of the boxes that may stick out before it is more than a note
CORNERS = 0.95  # of the boxes whose numbers would fit corners, when it is no accident
#: What is wrong with label files, and with labels: what training leaves out.
FILE_CODES = ("label-missing", "label-unreadable")
WRONG_CODES = ("label-class", "label-pixels", "label-polygon", "label-fields", "label-outside", "label-area")


class Sizes:
    """A fair sample of the sizes of boxes, relative to the picture: reservoir sampling, seeded."""

    def __init__(self, most: int) -> None:
        self._kept = np.empty((most, 2), np.float64)
        self._random = Random(0)
        self.count = 0

    def add(self, w: float, h: float) -> None:
        """One more box."""
        place = self.count if self.count < len(self._kept) else self._random.randrange(self.count + 1)
        if place < len(self._kept):
            self._kept[place] = w, h
        self.count += 1

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Those kept, (n, 2)."""
        return self._kept[: self.count]


@dataclass
class Survey:
    """What was found. truths: boxes, or pictures of a classification set, per split and class. sizes: of the
    boxes to train on."""

    source: Source
    catalogue: Catalogue
    truths: dict[str, Counter[int]] = field(default_factory=dict)
    sizes: Sizes = field(default_factory=lambda: Sizes(MOST_SIZES))

    def total(self, split: str) -> int:
        """Truths of a split."""
        return sum(self.truths.get(split, Counter()).values())

    def name(self, kind: int) -> str:
        """Of a class."""
        names = self.source.names
        return names[kind] if kind < len(names) and names[kind] else str(kind)


def survey(
    source: Source, catalogue: Catalogue, several: Several, most_bad: float, *, quiet: bool = True
) -> Survey:
    """Reads all labels of a data set, and tells what is wrong with its files. most_bad: part of the pictures,
    of the label files and of the labels that training leaves out; more are an error."""
    found = Survey(source, catalogue)
    with Bar("reading labels", 0, quiet=quiet) as bar:
        for split, entries in source.splits.items():
            try:
                for entry in entries():
                    _take(found, split, entry, several)
                    bar.update(catalogue.count(split), split)
            except DataError as error:
                several.add((source.file, 0), "error", f"{split}-list", str(error))
    _judge_pictures(found, several, most_bad)
    if source.reader:
        _judge_labels(source.reader, source, several, most_bad)
    return found


def _take(found: Survey, split: str, entry: Entry, several: Several) -> None:
    if not found.catalogue.add(split, entry.place, entry.image):
        several.add(entry.place, "warning", "picture-missing", f"there is no picture {entry.image}")
        return
    truths = found.truths.setdefault(split, Counter())
    kinds = [int(row[0]) for row in entry.rows]
    if entry.class_id is not None:
        kinds.append(entry.class_id)
    for kind in kinds:
        if kind in truths or len(truths) < MOST_CLASSES:
            truths[kind] += 1
    if split == "train":
        for row in entry.rows:
            if row[3] > 0 and row[4] > 0:
                found.sizes.add(row[3], row[4])


def _judge_pictures(found: Survey, several: Several, most_bad: float) -> None:
    """How bad it is that pictures are missing or of no use."""
    missing, known = several.count("picture-missing"), sum(map(found.catalogue.count, found.source.splits))
    classes = ("label-class",) if found.source.task == "classification" else ()
    _judge(several, ("picture-missing", *classes), missing + known, most_bad)
    if (report := found.source.report) is not None:
        _judge(several, ("picture",), report.totals["pictures"], most_bad)
        _judge(several, ("annotation",), report.totals["annotations"], most_bad)


def _judge(several: Several, codes: Sequence[str], total: int, most_bad: float) -> None:
    """Makes findings errors if they are more than training leaves out."""
    if sum(map(several.count, codes)) > most_bad * total:
        for code in codes:
            several.as_severity(code, "error")


def _judge_labels(reader: LabelReader, source: Source, several: Several, most_bad: float) -> None:
    files = sum(rule.count for rule in reader.rules.values())
    _judge(several, FILE_CODES, files + several.count("label-missing"), most_bad)
    _judge(several, WRONG_CODES, reader.rows, most_bad)
    for rule, found in reader.rules.items():
        message = f"labels: {rule}: {found.image} -> {found.label} ({found.count} pictures)"
        several.add((source.file, 0), "note", "label-rule", message)
    if reader.empty:
        message = f"{reader.empty} of {files} label files are empty: pictures without objects"
        several.add((source.file, 0), "note", "label-empty", message)
    if reader.outside > MOST_OUTSIDE * reader.rows:
        several.as_severity("label-edges", "warning")
        if reader.corners > CORNERS * reader.rows:
            message = "nearly all labels have w > x and h > y: are they corners x1 y1 x2 y2?"
            hint = "write class, centre x, centre y, width, height"
            several.add((source.file, 0), "warning", "label-corners", message, hint)


# ---- classes ----------------------------------------------------------------------------------------------


def check_balance(found: Survey, several: Several) -> None:
    """Classes without a truth, with few, or with nearly all."""
    what = "box" if found.source.task == "detection" else "picture"
    plural = "boxes" if what == "box" else "pictures"
    place, truths = (found.source.file, 0), found.truths.get("train", Counter())
    total, classes = found.total("train"), found.source.classes
    if not total:
        if found.catalogue.count("train"):
            message = f"not one of the {found.catalogue.count('train')} training pictures has a {what}"
            hint = "see how label files are found" if found.source.reader else ""
            several.add(place, "error", "no-truth", message, hint)
        return
    empty = [kind for kind in range(classes or 0) if not truths[kind]]
    if empty:
        message = (
            f"{len(empty)} of {classes} classes have no {what} in the training list, and can't be learned: "
            f"{_named(found, empty)}"
        )
        several.add(place, "warning", "class-empty", message, _numbering(found, empty))
    few = sorted((kind for kind, n in truths.items() if 0 < n < FEW_TRUTHS), key=lambda kind: truths[kind])
    if few:
        count = "1 class has" if len(few) == 1 else f"{len(few)} classes have"
        message = f"{count} fewer than {FEW_TRUTHS} {plural}: {_named(found, few)}"
        several.add(place, "warning", "class-few", message, "collect more, or leave them out")
    kind, most = truths.most_common(1)[0]
    if len(truths) > 1 and most > LARGE_SHARE * total:
        message = f"{100 * most / total:.0f} % of the {total} {plural} are of class {found.name(kind)}"
        several.add(place, "warning", "class-share", message, "collect more of the others")
    later = [kind for kind in found.truths.get("valid", ()) if not truths[kind]]
    if later:
        message = f"classes that only the validation list has: {_named(found, sorted(later))}"
        several.add(place, "warning", "class-split", message, "they count as never found; divide anew")


def _numbering(found: Survey, empty: list[int]) -> str:
    reader, classes = found.source.reader, found.source.classes
    if reader and empty and empty[0] == 0 and reader.largest == classes:
        return "labels seem to count from 1; the first class is 0"
    if reader and classes and 0 <= reader.largest < classes - 1:
        return f"the largest class in the labels is {reader.largest}"
    return ""


def _named(found: Survey, kinds: list[int]) -> str:
    more = f" and {len(kinds) - MOST_NAMED} more" if len(kinds) > MOST_NAMED else ""
    truths = found.truths.get("train", Counter())
    return (
        ", ".join(
            found.name(kind) + (f" ({truths[kind]})" if truths[kind] else "") for kind in kinds[:MOST_NAMED]
        )
        + more
    )

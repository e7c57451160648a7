"""Data sets of any format as what trains and evaluates: a .data file, or whatever `convert` reads.

Pictures are found and collected before the first step; what is wrong with some of them is told and left out,
what is wrong with too many stops the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import images
from .collection import Collection
from .data import MOST_PROBLEMS, DataFile, find_label, label_rows, stream_list
from .datasets import Dataset, Picture, Report, format_of, list_classes, list_pictures, open_dataset
from .datasets.labels import excused
from .errors import DataError, ImageError
from .logs import logger

__all__ = ["SetFile", "collect_boxes", "collect_classes", "open_data"]

PathLike = str | os.PathLike[str]

DECODED = 200  # pictures that are decoded before the first step
SET_SUFFIXES = (".yaml", ".yml", ".json")


def open_data(source: PathLike | DataFile) -> DataFile:
    """What a command's DATA names: a .data file, or a data set of another format as one. Raises DataError."""
    if isinstance(source, DataFile):
        return source
    path = Path(source)
    if not path.is_dir() and path.suffix.lower() not in SET_SUFFIXES:
        return DataFile(path)
    if path.is_dir() and format_of(path) == "darknet":
        return DataFile(next(path.glob("*.data")))
    return SetFile(path)


class SetFile(DataFile):
    """A data.yaml, a COCO file, or a folder of VOC files, YOLO folders or class folders, as the .data file
    that would describe it. Its pictures are read from the set itself.

    Checkpoints and results go to backup and results in the working directory.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self._kind = format_of(self.path)
        self._names = list(self._open(1.0).names)
        self._values, self._lines = {"classes": str(len(self._names))}, {}
        if self._kind in ("coco", "voc"):
            self._values["difficult"] = "those of valid"

    def _open(self, most_bad: float) -> Dataset:
        return open_dataset(self.path, self._kind, verify="header", most_bad=most_bad)

    @property
    def names(self) -> list[str]:
        """Of the classes."""
        return self._names

    @property
    def labels(self) -> list[str]:
        """The names of the classes, too: pictures know their class by number."""
        return self._names

    def mentioned(self) -> list[Path]:
        """The set."""
        return [self.path]

    def images(self, key: str) -> Collection:
        """The pictures of a split, with their boxes or classes; of the key difficult: those of valid, with
        boxes that need not be found. What is wrong is left out and told."""
        pictures, report = self.pictures("valid" if key == "difficult" else key, 1.0)
        result = Collection()
        for picture in pictures:
            result.add(picture.path, _rows(picture, key == "difficult"), picture.class_id)
        report.judge("nothing was done")
        if report.bad and key != "difficult":
            logger.warning("%s: %s: %s", self.path, key, "\n".join(report.lines()))
        return result

    def pictures(self, key: str, most_bad: float) -> tuple[Iterator[Picture], Report]:
        """The pictures of a split, and the account of them. Raises DataError if there is no such split."""
        dataset = self._open(most_bad)
        if key not in dataset.splits:
            raise DataError(f"{self.path}: no pictures for {key}, only for {', '.join(dataset.splits)}")
        return dataset.pictures(key), dataset.report


def _rows(picture: Picture, difficult: bool = False, report: Report | None = None) -> list[tuple[float, ...]]:
    """The boxes to learn, or those that need not be found. With a report, those centred on the corner 0 0,
    which would say that a picture shows something but not where, are left out."""
    chosen = [one for one in picture.annotations if excused(one) == difficult]
    rows: list[tuple[float, ...]] = [(one.class_id, one.x, one.y, one.w, one.h) for one in chosen]
    if report is None or not any(x == 0 and y == 0 for _, x, y, _, _ in rows):
        return rows
    report.problem(
        "annotations", f"{picture.path}: centre 0 0: only a [region] with a tree learns a class without a box"
    )
    return [row for row in rows if row[1] != 0 or row[2] != 0]


# ---- for training ---------------------------------------------------------------------------------------


def collect_boxes(
    info: DataFile, key: str, classes: int, most_bad: float, nodes: int | None = None
) -> tuple[Collection, Report]:
    """The pictures of a list with their boxes, and the account of it. Raises DataError if too much is wrong.

    classes: labels of others are wrong. nodes: those of a word tree, whose labels may have no place.
    """
    result, report = _collection(info, key), Report(most_bad)
    if isinstance(info, SetFile):
        pictures, report = info.pictures(key, most_bad)
        if info.classes > classes:
            raise DataError(f"{info.path} has {info.classes} classes, but the network {classes}")
        for picture in pictures:
            result.add(picture.path, _rows(picture, report=report))
    elif nodes is not None:
        _collect_nodes(info.file(key), classes, nodes, result, report)
    else:
        for picture in list_pictures(info.file(key), classes, report):
            result.add(picture.path, _rows(picture, report=report), line=picture.line)
    return _judged(result, report)


def _collect_nodes(path: Path, classes: int, nodes: int, result: Collection, report: Report) -> None:
    """Lists for a word tree, whose label files may have rows `node 0 0 0 0`."""
    for number, image in stream_list(path):
        report.totals["pictures"] += 1
        report.totals["label files"] += 1
        if not os.path.exists(image):  # noqa: PTH110 - as stream_list has it
            report.problem("pictures", f"{path}:{number}: {image}: no such file")
            continue
        rows = []
        try:
            label = find_label(image)
            for line, row, problem in label_rows(label, classes, nodes):
                report.totals["annotations"] += 1
                if row is None:
                    report.problem("annotations", f"{label}:{line}: {problem}")
                else:
                    rows.append(row)
        except DataError as error:
            report.problem("label files", f"{path}:{number}: {error}")
        result.add(image, rows, line=number)


def collect_classes(
    info: DataFile, key: str, labels: Sequence[str], most_bad: float
) -> tuple[Collection, Report]:
    """The pictures of a list with their classes, and the account of it. Raises DataError as above."""
    result, report = _collection(info, key), Report(most_bad)
    if isinstance(info, SetFile):
        pictures, report = info.pictures(key, most_bad)
    else:
        pictures = list_classes(info.file(key), labels, report)
    for picture in pictures:
        if picture.class_id is None:
            raise DataError(f"{info.path}: a set of boxes; a classifier needs a class per picture")
        result.add(picture.path, class_id=picture.class_id, line=picture.line)
    return _judged(result, report)


def _collection(info: DataFile, key: str) -> Collection:
    """An empty one for the pictures of a list, or of a set that has none."""
    return Collection("" if isinstance(info, SetFile) else str(info.file(key)))


def _judged(found: Collection, report: Report) -> tuple[Collection, Report]:
    """Raises DataError if more is wrong than may be. A sample of the pictures is decoded to know."""
    report.judge("training has not begun")
    step = max(1, len(found) // DECODED)
    sample = range(0, len(found), step)

    def problem(index: int) -> str | None:
        try:
            images.read(found[index])
        except ImageError as error:
            return f"{found.place(index)}{error}"
        return None

    with ThreadPoolExecutor(2) as pool:
        torn = [text for text in pool.map(problem, sample) if text is not None]
    for text in torn:
        report.problem("pictures", text)
    if len(torn) > report.most_bad * len(sample):
        listed = "\n  ".join(torn[:MOST_PROBLEMS])
        raise DataError(
            f"{len(torn)} of {len(sample)} pictures that were tried are unreadable, more than "
            f"{report.most_bad:.3g} of them (most_bad); training has not begun:\n  {listed}"
        )
    return found, report

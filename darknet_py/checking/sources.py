"""What DATA on the command line is, and its pictures one by one, with their objects or their class.

Formats are those of darknet_py.datasets. Label files are read by labels.py; of COCO and VOC files the readers
of datasets say what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import datasets
from ..data import DataFile, class_of, stream_list
from ..datasets.class_folders import split_folders
from ..datasets.yolo import walk_images, yolo_images, yolo_labels, yolo_splits
from ..errors import ArgumentError, DataError, DataNotFoundError
from ..names import read_names
from .findings import Several
from .labels import LabelReader, Place, Row, by_darknet, by_rules

START = 1 << 14  # bytes of a file that tell what it is
SPLITS = ("train", "valid")
#: How formats are called in messages.
KINDS = {
    "darknet": "a Darknet data set",
    "yolo": "a YOLO data set",
    "coco": "a COCO data set",
    "voc": "a VOC data set",
    "folders": "folders of classes",
}


@dataclass(frozen=True)
class Entry:
    """A picture: where it is mentioned (file, line), its path, and what it shows."""

    place: Place
    image: str
    rows: Sequence[Row] = ()
    class_id: int | None = None


@dataclass
class Source:
    """A data set to read. file: that names it. classes: that labels may have, stated: that it says it has;
    both None where not known. reader: of its label files. mentioned: files of it that must not be written.
    """

    file: str
    kind: str
    task: str
    names: Sequence[str]
    classes: int | None
    splits: dict[str, Callable[[], Iterator[Entry]]] = field(default_factory=dict)
    reader: LabelReader | None = None
    mentioned: list[Path] = field(default_factory=list)
    report: datasets.Report | None = None
    stated: int | None = None


def looks_like_data(path: str) -> bool:
    """Whether a file or folder is a data set rather than a cfg: by its ending, else by its first lines."""
    known = Path(path)
    if known.is_dir() or known.suffix.lower() in (".data", ".yaml", ".yml", ".json"):
        return True
    if known.suffix.lower() in (".cfg", ".weights") or not known.is_file():
        return False
    with known.open("rb") as file:
        start = file.read(START).decode("utf-8-sig", "replace")
    lines = [line.strip() for line in start.splitlines()]
    lines = [line for line in lines if line and line[0] not in "#;"]
    if not lines or "\0" in start or lines[0].startswith(("[", "<")):
        return False
    return is_data_file(path) or known.suffix.lower() in (".txt", ".list")


def is_data_file(path: str) -> bool:
    """Whether a file is a .data file, whatever its name."""
    known = Path(path)
    if known.suffix.lower() in (".data", ".yaml", ".yml", ".json") or not known.is_file():
        return known.suffix.lower() == ".data" and known.is_file()
    with known.open("rb") as file:
        start = file.read(START).decode("utf-8-sig", "replace")
    keys = {line.partition("=")[0].strip() for line in start.splitlines() if "=" in line}
    return bool(keys & {"train", "valid", "names", "classes"})


def open_source(
    path: str,
    several: Several,
    *,
    task: str | None = None,
    classes: int | None = None,
    nodes: int | None = None,
    names: Sequence[str] | None = None,
) -> Source:
    """The data set that a path names. task, classes: of the network, if there is one; nodes: of its word
    tree. names: instead of the data set's. Raises DataError."""
    if not Path(path).exists():
        raise DataNotFoundError(f"{path}: no such file or folder")
    kind = "darknet" if is_data_file(path) else datasets.format_of(path)
    if kind == "darknet":
        return _darknet(path, several, task, classes, nodes, names)
    if kind == "yolo":
        known, places = yolo_splits(path, names)
        reader = LabelReader(several, by_rules(yolo_labels), len(known))
        splits = {split: _yolo(found, reader) for split, found in places.items() if split in SPLITS}
        return Source(path, kind, "detection", known, len(known), splits, reader, stated=len(known))
    if kind == "folders":
        return _folders(path)
    return _annotated(path, kind, several, names)


# ---- lists ------------------------------------------------------------------------------------------------


def _darknet(
    path: str,
    several: Several,
    task: str | None,
    classes: int | None,
    nodes: int | None,
    names: Sequence[str] | None,
) -> Source:
    found = Path(path)
    if found.is_dir():
        found = next(found.glob("*.data"))
    info = DataFile(found) if is_data_file(str(found)) else None
    lists: dict[str, Path] = {"train": found} if info is None else _lists(info, several)
    file = str(found)
    if info is not None and task is None:
        task = "classification" if info.get("labels") else "detection"
    if names is None:
        names = (_names(info) if info else None) or []
    stated = info.classes if info and info.get("classes") else len(names) or None
    classes = classes or stated
    source = Source(file, "darknet", task or "detection", names, classes, stated=stated)
    source.mentioned = [found, *(info.mentioned() if info else [])]
    if source.task == "classification":
        marks = info.labels if info else list(names)
        if not marks:
            raise ArgumentError(f"{file}: an image list says no classes: give their names (-names)")
        source.classes, source.stated, source.names = len(marks), len(marks), names or marks
        source.splits = {split: _classified(one, marks, several) for split, one in lists.items()}
        return source
    source.reader = LabelReader(several, by_darknet, classes, nodes)
    source.splits = {split: _listed(one, source.reader) for split, one in lists.items()}
    return source


def _names(info: DataFile) -> list[str] | None:
    """All lines of the names, also of those that are too few: who counts them says so."""
    try:
        return read_names(info.file("names")) if info.get("names") else None
    except DataNotFoundError:
        return None


def _lists(info: DataFile, several: Several) -> dict[str, Path]:
    """The lists that a .data file names."""
    lists, file = {}, str(info.path)
    for split, severity in (("train", "error"), ("valid", "warning")):
        if not info.get(split):
            message = f"names no list of pictures for {'training' if split == 'train' else 'validation'}"
            hint = f"add {split} = FILE"
            hint += "" if split == "train" else "; without it nobody sees whether the network learns"
            several.add((file, 0), severity, f"{split}-list", message, hint)
            continue
        try:
            lists[split] = info.file(split)
        except DataNotFoundError as error:
            message = str(error).removeprefix(f"{file}: ")
            several.add((file, info.line(split)), severity, f"{split}-list", message)
    return lists


def _listed(path: Path, reader: LabelReader) -> Callable[[], Iterator[Entry]]:
    def entries() -> Iterator[Entry]:
        for number, image in stream_list(path):
            place = (str(path), number)
            yield Entry(place, image, reader.read(place, image))

    return entries


def _yolo(places: Sequence[Path], reader: LabelReader) -> Callable[[], Iterator[Entry]]:
    def entries() -> Iterator[Entry]:
        for file, number, image in yolo_images(places):
            place = (str(file), number) if number else (image, 0)
            yield Entry(place, image, reader.read(place, image))

    return entries


def _classified(path: Path, marks: Sequence[str], several: Several) -> Callable[[], Iterator[Entry]]:
    def entries() -> Iterator[Entry]:
        for number, image in stream_list(path):
            place = (str(path), number)
            try:
                kind = class_of(image, marks)
            except DataError as error:
                several.add(place, "warning", "label-class", str(error))
                continue
            yield Entry(place, image, class_id=kind)

    return entries


# ---- other formats --------------------------------------------------------------------------------------


def _folders(path: str) -> Source:
    dataset = datasets.read_class_folders(path)
    names = dataset.names

    def reader(place: Path) -> Callable[[], Iterator[Entry]]:
        def entries() -> Iterator[Entry]:
            for kind, name in enumerate(names):
                for _, image in walk_images(place / name):
                    yield Entry((image, 0), image, class_id=kind)

        return entries

    found = split_folders(Path(path))
    splits = {split: reader(place) for split, place in found.items() if split in SPLITS}
    return Source(path, "folders", "classification", names, len(names), splits, stated=len(names))


def _annotated(path: str, kind: str, several: Several, names: Sequence[str] | None) -> Source:
    """COCO and VOC: boxes in pixels, whose pictures must be measured."""
    if kind == "coco":
        dataset = datasets.read_coco(path, verify="header", most_bad=1)
    else:
        dataset = datasets.read_voc(path, names=names, verify="header", most_bad=1)

    def told(what: str, text: str) -> None:
        place, message = _placed(text, path)
        several.add(place, "warning", "picture" if what == "pictures" else "annotation", message)

    def reader(split: str) -> Callable[[], Iterator[Entry]]:
        def entries() -> Iterator[Entry]:
            for picture in dataset.pictures(split):
                rows = [
                    (float(one.class_id), one.x, one.y, one.w, one.h)
                    for one in picture.annotations
                    if not (one.difficult or one.crowd)
                ]
                yield Entry((picture.path, 0), picture.path, rows)

        return entries

    dataset.report.told = told
    splits = {split: reader(split) for split in dataset.splits if split in SPLITS}
    return Source(
        path,
        kind,
        "detection",
        dataset.names,
        len(dataset.names),
        splits,
        report=dataset.report,
        stated=len(dataset.names),
    )


def _placed(text: str, file: str) -> tuple[Place, str]:
    """File and line at the beginning of a message, and the rest of it."""
    found = re.match(r"(.+?):(\d+): (.*)$", text, re.DOTALL)
    if found:
        return (found[1], int(found[2])), found[3]
    return (file, 0), text.removeprefix(f"{file}: ")

"""Darknet's way: lists of pictures, label files by the path rule, a .data and a .names file.

For classification the class of a picture is in its path: labels.txt holds the marks.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from ..data import DataFile, class_of, label_path, stream_list
from ..errors import ArgumentError, DataError
from .labels import LabelFolders, last_folder_rule, read_difficult, read_objects
from .output import IMAGE_MODES, Stems, check_mode, finish, put_image, whole_folder
from .records import SPLITS, Dataset, PathLike, Picture, Pictures, Report, check_names, sized


def read_darknet(
    source: PathLike, *, names: Sequence[str] | None = None, verify: str = "full", most_bad: float = 0.1
) -> Dataset:
    """The data set of a .data file, or of one image list; the latter needs names.

    names: of the classes, instead of the file's. verify: "full" decodes every picture, "header" looks at its
    size only. most_bad: see Report. A .data file with `labels` is one for classification. Raises DataError.
    """
    report, path = Report(most_bad), Path(source)
    if path.suffix.lower() != ".data":
        if names is None:
            raise DataError(f"{path}: an image list says no names of classes: give them (names)")
        reader = _Detection(report, verify, check_names(names, path))
        return Dataset(reader.names, "detection", {"train": lambda: reader.pictures(path, None)}, report)
    info = DataFile(path)
    if names is None:
        names = info.names
    if names is None:
        raise DataError(f"{path}: add names = FILE, or give the names (names)")
    names = check_names(names, path)
    lists = {split: info.file(split) for split in SPLITS if _is_list(info, split)}
    if not lists:
        raise DataError(f"{path}: add train = FILE or valid = FILE")
    if info.get("labels"):
        marks = info.labels
        if len(marks) != len(names):
            raise DataError(f"{path}: {len(marks)} labels and {len(names)} names")
        classes = {split: _classified(one, marks, verify, report) for split, one in lists.items()}
        return Dataset(names, "classification", classes, report)
    detection = _Detection(report, verify, names)
    hard = {
        split: info.file(key)
        for split in lists
        if info.get(key := "difficult" if split == "valid" else f"difficult_{split}")
    }
    splits = {split: detection.reader(one, hard.get(split)) for split, one in lists.items()}
    return Dataset(names, "detection", splits, report)


def _is_list(info: DataFile, key: str) -> bool:
    # `test` is often left over from another program; train and valid must be right.
    value = info.get(key)
    return value is not None and (key != "test" or value.endswith((".txt", ".list")))


def list_pictures(path: Path, classes: int, report: Report) -> Iterator[Picture]:
    """The pictures of a list that exist, with their objects; what they show is not looked at: no size."""
    return _Detection(report, "exists", ("",) * classes).pictures(path, None)


def list_classes(path: Path, marks: Sequence[str], report: Report) -> Iterator[Picture]:
    """The same for a classifier: the class is the one whose mark is part of the path."""
    return _classified(path, marks, "exists", report)()


class _Detection:
    def __init__(self, report: Report, verify: str, names: tuple[str, ...]) -> None:
        self.report, self.verify, self.names = report, verify, names

    def reader(self, path: Path, hard: Path | None) -> Pictures:
        return lambda: self.pictures(path, hard)

    def pictures(self, path: Path, hard: Path | None) -> Iterator[Picture]:
        others = stream_list(hard) if hard else iter(())
        classes = len(self.names)
        for entry, other in zip_longest(stream_list(path), others):
            if entry is None or (hard and other is None):
                raise DataError(f"{hard}: expected a line for each line of {path}")
            place, image = f"{path}:{entry[0]}", entry[1]
            size = sized(image, self.verify, self.report, place)
            if size is None:
                continue
            found = read_objects(_candidates(image), classes, self.report, place, image)
            if other is not None:
                found += read_difficult(label_path(other[1]), classes, self.report)
            yield Picture(image, size, tuple(found), line=entry[0])


def _candidates(image: str) -> Iterator[tuple[str, str]]:
    """Rules that find labels, and where; one after the other, as most lists need the first alone."""
    yield "Darknet's rule, the first 'images' becomes 'labels'", label_path(image)
    yield "not Darknet's rule: the last folder 'images' becomes 'labels'", last_folder_rule(image)
    yield "not Darknet's rule: beside the picture", str(Path(image).with_suffix(".txt"))


def _classified(path: Path, marks: Sequence[str], verify: str, report: Report) -> Pictures:
    def pictures() -> Iterator[Picture]:
        for number, image in stream_list(path):
            place = f"{path}:{number}"
            size = sized(image, verify, report, place)
            if size is None:
                continue
            try:
                kind = class_of(image, marks)
            except DataError as error:
                report.problem("pictures", f"{place}: {error}")
                continue
            yield Picture(image, size, class_id=kind, line=number)

    return pictures


# ---- writing ---------------------------------------------------------------------------------------------


def write_darknet(dataset: Dataset, folder: PathLike, *, images: str = "link", valid: float = 0) -> Path:
    """Writes lists, labels, a .data and a .names file into a new folder; returns the path of the .data file.

    images: "link" makes symbolic links in images/, "copy" copies; originals have their labels elsewhere, so a
    list cannot name them. valid: part of the training pictures that the validation list takes away, if the
    set has none; the same set gives the same ones. Raises DataError, and then leaves nothing behind.
    """
    check_mode(images, IMAGE_MODES[:2], "Darknet's lists")
    _check_valid(dataset, valid)
    with whole_folder(folder) as (built, target):
        name = target.name if not any(c.isspace() or c in "#;=" for c in target.name) else "dataset"
        # White space in a .data file is lost when it is read: then names are relative to the file.
        base = "" if any(c.isspace() or c == "#" for c in str(target)) else f"{target}/"
        lines = [f"classes = {len(dataset.names)}\n"]
        if "\n" in str(target) or "\r" in str(target):
            raise DataError(f"{str(target)!r}: a list cannot name files in a folder with a line break")
        write = _write_detection if dataset.task == "detection" else _write_classification
        lines += write(dataset, built, target, images, base)
        if valid:
            lines += _draw_valid(built, valid, base)
        finish(dataset.report, built)
        (built / f"{name}.names").write_text("".join(f"{one}\n" for one in dataset.names), "utf-8")
        lines += [f"names = {base}{name}.names\n", f"backup = {base}backup\n"]
        (built / f"{name}.data").write_bytes(os.fsencode("".join(lines)))
    return target / f"{name}.data"


def _check_valid(dataset: Dataset, valid: float) -> None:
    if not 0 <= valid < 1:
        raise ArgumentError(
            f"valid: expected a part of the pictures, 0 or more and less than 1, found {valid:g}"
        )
    if valid and ("train" not in dataset.splits or "valid" in dataset.splits):
        raise DataError(
            f"valid: this set has the splits {', '.join(dataset.splits)}; a validation list is drawn for a "
            "set that has train, and no valid of its own"
        )


def _draw_valid(built: Path, valid: float, base: str) -> list[str]:
    """Moves lines of the training list, and those beside them of its difficult objects, to the validation
    list: selection sampling (Knuth, "The Art of Computer Programming" 2, 3.4.2, algorithm S), seeded."""
    listed, hard = built / "train.txt", built / "difficult_train.txt"
    with listed.open("rb") as file:
        left = sum(1 for _ in file)
    wanted, choice, marks = min(max(round(valid * left), 1), left - 1), random.Random(0), bytearray()
    if wanted < 1:
        raise DataError(f"valid: of {left} training pictures none can be taken away")
    for rest in range(left, 0, -1):
        chosen = choice.random() * rest < wanted
        wanted -= chosen
        marks.append(chosen)
    lines = []
    for source, target, key in (
        (listed, "valid.txt", "valid"),
        (hard, "difficult_valid.txt", "difficult"),
    ):
        if source.exists():
            whole = source.rename(built / "whole.txt")
            with whole.open("rb") as file, source.open("wb") as kept, (built / target).open("wb") as taken:
                for mark, line in zip(marks, file, strict=True):
                    (taken if mark else kept).write(line)
            whole.unlink()
            lines.append(f"{key} = {base}{target}\n")
    return lines


def _write_detection(dataset: Dataset, built: Path, target: Path, mode: str, base: str) -> list[str]:
    folders, lines = LabelFolders(built, target, mode, label_path), []
    for split in dataset.splits:
        listed = _write_list(built / f"{split}.txt", folders.write(dataset, split, split))
        if listed:
            lines.append(f"{split} = {base}{split}.txt\n")
        if split in folders.difficult:
            folders.fill_difficult(image for _, image in stream_list(built / f"{split}.txt"))
            entries = (folders.difficult_entry(image) for _, image in stream_list(built / f"{split}.txt"))
            _write_list(built / f"difficult_{split}.txt", entries)
            key = "difficult" if split == "valid" else f"difficult_{split}"
            lines.append(f"{key} = {base}difficult_{split}.txt\n")
    return lines


def _write_classification(dataset: Dataset, built: Path, target: Path, mode: str, base: str) -> list[str]:
    marks = [f"/{name}/" for name in dataset.names]
    lines = []
    for split in dataset.splits:
        if _write_list(built / f"{split}.txt", write_classes(dataset, split, split, built, target, mode)):
            lines.append(f"{split} = {base}{split}.txt\n")
    for kind, name in enumerate(dataset.names):
        if class_of(str(target / "train" / name / "x.jpg"), marks) != kind:
            raise DataError(f"{target}: the class {name!r} cannot be told from paths in this folder")
    (built / "labels.txt").write_text("".join(f"{mark}\n" for mark in marks), "utf-8")
    return [*lines, f"labels = {base}labels.txt\n", f"top = {min(5, len(marks))}\n"]


def write_classes(
    dataset: Dataset, split: str, folder: str, built: Path, target: Path, mode: str
) -> Iterator[str]:
    """Writes the pictures of a split as folder/CLASS/NAME; gives the path that each will have."""
    stems = Stems()
    for name in dataset.names:
        if "/" in name or "\0" in name or name in (".", "..") or name.startswith("."):
            raise DataError(f"the class {name!r} cannot be the name of a folder")
        (built / folder / name).mkdir(parents=True, exist_ok=True)
    for picture in dataset.pictures(split):
        if picture.class_id is None:
            raise DataError(f"{picture.path}: no class")
        source, place = Path(picture.path), f"{folder}/{dataset.names[picture.class_id]}"
        _, image = stems.claim(built / place, source.stem, source.suffix)
        image.unlink()
        put_image(picture.path, image, mode)
        yield str(target / place / image.name)


def _write_list(path: Path, entries: Iterator[str]) -> int:
    """Writes lines; an empty list is no list and leaves no file."""
    count = 0
    with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
        for entry in entries:
            file.write(f"{entry}\n")
            count += 1
    if not count:
        path.unlink()
    return count

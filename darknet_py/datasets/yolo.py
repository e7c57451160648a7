"""YOLO-style folders: data.yaml, images/train, labels/train and so on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..data import IMAGE_SUFFIXES, stream_list
from ..errors import DataError, DataNotFoundError
from .labels import LabelFolders, last_folder_rule, read_difficult, read_objects
from .output import IMAGE_MODES, check_mode, finish, whole_folder
from .records import SPLIT_FOLDERS, Dataset, PathLike, Picture, Pictures, Report, check_names, require, sized
from .simple_yaml import Value, quoted, read_yaml


def read_yolo(
    source: PathLike, *, names: Sequence[str] | None = None, verify: str = "full", most_bad: float = 0.1
) -> Dataset:
    """The data set of a data.yaml file, or of the folder with one.

    names, verify, most_bad: as in read_darknet. Raises DataError, with the line for YAML it does not know.
    """
    known, places = yolo_splits(source, names)
    report = Report(most_bad)
    splits = {split: _reader(found, len(known), verify, report) for split, found in places.items()}
    return Dataset(known, "detection", splits, report)


def yolo_splits(
    source: PathLike, names: Sequence[str] | None = None
) -> tuple[tuple[str, ...], dict[str, list[Path]]]:
    """What a data.yaml file says: the names of the classes, and the folders and lists of each split."""
    path = yaml_of(Path(source))
    content = read_yaml(path)
    known = check_names(names or _names(content.get("names"), path), path)
    count = content.get("nc")
    if count is not None and count != str(len(known)):
        raise DataError(f"{path}: nc is {count!r}, but {len(known)} classes have names")
    splits: dict[str, list[Path]] = {}
    for split, keys in (("train", ("train",)), ("valid", ("val", "valid")), ("test", ("test",))):
        entries = next((content[key] for key in keys if content.get(key)), None)
        if entries is None:
            continue
        if isinstance(entries, dict):
            raise DataError(f"{path}: {keys[0]}: expected a folder or a list of them, found a mapping")
        try:
            splits[split] = [
                _place(one, content, path) for one in ([entries] if isinstance(entries, str) else entries)
            ]
        except DataNotFoundError:
            if split == "test":  # published files name a test split that is not published
                continue
            raise
    if not splits:
        raise DataError(f"{path}: add train: FOLDER or val: FOLDER")
    return known, splits


def yaml_of(path: Path) -> Path:
    """The data.yaml in a folder: that one, else the only .yaml or .yml file."""
    if not path.is_dir():
        return path
    if (path / "data.yaml").is_file():
        return path / "data.yaml"
    found = sorted(one for one in path.iterdir() if one.suffix.lower() in (".yaml", ".yml"))
    if len(found) != 1:
        raise DataNotFoundError(f"{path}: expected data.yaml, found {len(found)} .yaml files")
    return found[0]


def _names(value: Value | None, path: Path) -> list[str]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise DataError(f"{path}: names: expected a list of names, or a map of numbers to names")
    try:
        numbered = {int(key): name for key, name in value.items()}
    except ValueError:
        raise DataError(f"{path}: names: expected numbers before the names") from None
    if sorted(numbered) != list(range(len(value))):
        raise DataError(f"{path}: names: expected the numbers 0..{len(value) - 1}, each once")
    return [numbered[index] for index in range(len(numbered))]


def _place(entry: str, content: dict[str, Value], path: Path) -> Path:
    """Where a split lies: below `path`, as named or in the file's folder, or below the latter."""
    root = content.get("path", "")
    if not isinstance(root, str):
        raise DataError(f"{path}: path: expected a folder")
    home = path.resolve().parent
    # Some exports write ../train/images in a file that lies beside train/.
    trimmed = entry[3:] if entry.startswith("../") else entry
    tried = [base / one for one in (entry, trimmed) for base in (home / root, Path(root), home)]
    found = next((one for one in tried if one.exists()), None)
    if found is None:
        raise DataNotFoundError(
            f"{path}: no folder or list {entry}; tried {', '.join(map(str, dict.fromkeys(tried)))}"
        )
    return found


def yolo_images(places: Sequence[Path]) -> Iterator[tuple[Path, int, str]]:
    """The pictures of a split: the list and the line (or the folder and 0) that has them, and their paths."""
    for place in places:
        for number, image in walk_images(place) if place.is_dir() else stream_list(place):
            yield place, number, image


def yolo_labels(image: str) -> list[tuple[str, str]]:
    """Where the labels of a picture may be: the rule, and the path by it."""
    return [
        ("the last folder 'images' becomes 'labels'", last_folder_rule(image)),
        ("beside the picture", str(Path(image).with_suffix(".txt"))),
    ]


def _reader(places: Sequence[Path], classes: int, verify: str, report: Report) -> Pictures:
    def pictures() -> Iterator[Picture]:
        for place, number, image in yolo_images(places):
            where = f"{place}:{number}" if number else str(place)
            size = sized(image, verify, report, where)
            if size is None:
                continue
            found = read_objects(yolo_labels(image), classes, report, where, image)
            found += read_difficult(_difficult(image), classes, report)
            yield Picture(image, size, tuple(found))

    return pictures


def _difficult(image: str) -> str:
    return last_folder_rule(image, os.path.join("difficult", "labels"))  # noqa: PTH118


def walk_images(folder: Path) -> Iterator[tuple[int, str]]:
    """The pictures in a folder and those below it, in order of their names; the number is 0, for no line."""
    for here, below, files in os.walk(folder, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield 0, f"{here}/{name}"


# ---- writing ---------------------------------------------------------------------------------------------


def write_yolo(dataset: Dataset, folder: PathLike, *, images: str = "link") -> Path:
    """Writes images/, labels/ and data.yaml into a new folder; returns the path of data.yaml.

    images: "link" or "copy". Difficult objects go to difficult/labels/, which read_yolo finds and others
    ignore. Raises DataError, and then leaves nothing behind.
    """
    check_mode(images, IMAGE_MODES[:2], "YOLO folders")
    require(dataset, "detection", "YOLO folders")
    with whole_folder(folder) as (built, target):
        folders = LabelFolders(built, target, images, last_folder_rule)
        lines = [f"path: {quoted(str(target))}\n"]
        for split in dataset.splits:
            count = sum(1 for _ in folders.write(dataset, split, SPLIT_FOLDERS[split]))
            if count:
                lines.append(f"{SPLIT_FOLDERS[split]}: images/{SPLIT_FOLDERS[split]}\n")
        finish(dataset.report, built)
        lines += [f"nc: {len(dataset.names)}\n", "names:\n"]
        lines += [f"  {index}: {quoted(name)}\n" for index, name in enumerate(dataset.names)]
        (built / "data.yaml").write_text("".join(lines), "utf-8", "surrogateescape")
    return target / "data.yaml"

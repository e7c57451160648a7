"""Data sets as people have them: Darknet lists, YOLO folders, COCO and VOC files, folders of classes.

read_NAME gives a Dataset that is read while write_NAME writes it; convert does both. Originals are never
changed, and results are written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ArgumentError, DataError, DataNotFoundError
from .class_folders import read_class_folders, split_folders, write_class_folders
from .coco import coco_files, read_coco, write_coco
from .darknet import list_classes, list_pictures, read_darknet, write_darknet
from .records import Annotation, Dataset, PathLike, Picture, Report
from .simple_yaml import read_yaml
from .voc import read_voc, voc_annotations, write_voc
from .yolo import read_yolo, walk_images, write_yolo

__all__ = [
    "FORMATS",
    "Annotation",
    "Conversion",
    "Dataset",
    "Picture",
    "Report",
    "convert",
    "format_of",
    "list_classes",
    "list_pictures",
    "open_dataset",
    "read_class_folders",
    "read_coco",
    "read_darknet",
    "read_voc",
    "read_yaml",
    "read_yolo",
    "write_class_folders",
    "write_coco",
    "write_darknet",
    "write_voc",
    "write_yolo",
]

FORMATS = ("darknet", "yolo", "coco", "voc", "folders")
_SUFFIXES = {
    ".data": "darknet",
    ".txt": "darknet",
    ".list": "darknet",
    ".yaml": "yolo",
    ".yml": "yolo",
    ".json": "coco",
}


class Conversion(NamedTuple):
    """What a conversion made: the file or folder to name in the next command, and the account of it."""

    path: Path
    report: Report


def format_of(source: PathLike) -> str:
    """The format of a file or folder, one of FORMATS. Raises DataError if it cannot be told."""
    path = Path(source)
    if not path.exists():
        raise DataNotFoundError(f"{path}: no such file or folder")
    if not path.is_dir():
        if path.suffix.lower() not in _SUFFIXES:
            raise DataError(f"{path}: expected one of {', '.join(_SUFFIXES)}, or a folder")
        return _SUFFIXES[path.suffix.lower()]
    if any(path.glob("*.yaml")) or any(path.glob("*.yml")):
        return "yolo"
    if len(list(path.glob("*.data"))) == 1:
        return "darknet"
    if voc_annotations(path) is not None:
        return "voc"
    if coco_files(path):
        return "coco"
    if (path / "images").is_dir() and (path / "labels").is_dir():
        raise DataError(f"{path}: images/ and labels/, but no data.yaml or .data file that names the classes")
    for place in split_folders(path).values():
        if any(one.is_dir() and next(walk_images(one), None) for one in place.iterdir()):
            return "folders"
    raise DataError(f"{path}: no data set of a known format in this folder")


def convert(
    source: PathLike,
    folder: PathLike,
    *,
    to: str = "darknet",
    source_format: str | None = None,
    names: Sequence[str] | None = None,
    image_folder: PathLike | None = None,
    images: str | None = None,
    verify: str = "full",
    most_bad: float = 0.1,
    valid: float = 0,
) -> Conversion:
    """Reads a data set of any format and writes it into a new folder in the format `to`, one of FORMATS.

    source_format: if it is not to be told from the source. names: of the classes, instead of the source's.
    image_folder: where the pictures of COCO and VOC files lie. images: "link", "copy" or "reference"; by
    default links, and references for COCO and VOC. verify: "full" decodes every picture, "header" looks at
    its size only. most_bad: part of pictures, label files and annotations that may be wrong. valid: part of
    the training pictures for a validation list, as in write_darknet. Raises DataError.
    """
    if valid and to != "darknet":
        raise ArgumentError(f"valid: a validation list is drawn for Darknet's sets, not for {to}")
    if to not in FORMATS or source_format not in (None, *FORMATS):
        raise ArgumentError(f"expected formats {', '.join(FORMATS)}, found {to!r} and {source_format!r}")
    path = Path(source)
    kind = source_format or format_of(path)
    if path.is_dir() and path.resolve() in (target := Path(folder).resolve(), *target.parents):
        raise ArgumentError(f"{target} is inside of {path}: name a folder elsewhere")
    dataset = open_dataset(
        path, kind, names=names, image_folder=image_folder, verify=verify, most_bad=most_bad
    )
    writers: dict[str, Callable[..., Path]] = {
        "darknet": partial(write_darknet, valid=valid),
        "yolo": write_yolo,
        "coco": write_coco,
        "voc": write_voc,
        "folders": write_class_folders,
    }
    mode = images or ("reference" if to in ("coco", "voc") else "link")
    return Conversion(writers[to](dataset, folder, images=mode), dataset.report)


def open_dataset(
    path: Path,
    kind: str,
    *,
    names: Sequence[str] | None = None,
    image_folder: PathLike | None = None,
    **options: Any,
) -> Dataset:
    """The data set of a format, one of FORMATS. names, image_folder, verify, most_bad: as for convert."""
    if kind == "darknet" and path.is_dir():
        path = next(path.glob("*.data"))
    if image_folder is not None and kind not in ("coco", "voc"):
        raise ArgumentError("only COCO and VOC files leave open where the pictures are")
    if kind == "coco":
        if names is not None:
            raise ArgumentError("COCO files have names of their own")
        return read_coco(path, images=image_folder, **options)
    if kind == "voc":
        return read_voc(path, names=names, images=image_folder, **options)
    readers = {"darknet": read_darknet, "yolo": read_yolo, "folders": read_class_folders}
    return readers[kind](path, names=names, **options)

"""Class names: reading .names files, and finding the one that belongs to a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .errors import DataFileError, DataNotFoundError
from .logs import logger

PathLike = str | os.PathLike[str]


_VOC = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
)
_COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,"
    "parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,"
    "tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,"
    "tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,"
    "hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,"
    "keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,"
    "hair drier,toothbrush"
)
#: The 20 classes of Pascal VOC, and the 80 of COCO, in Darknet's order.
VOC_NAMES, COCO_NAMES = tuple(_VOC.split()), tuple(_COCO.split(","))


def read_names(path: PathLike) -> list[str]:
    """The names in a file, one per line. Accepts CRLF, a byte order mark and trailing blank lines.

    Raises DataNotFoundError or DataFileError.
    """
    try:
        text = Path(path).read_text("utf-8-sig", "replace")
    except FileNotFoundError:
        raise DataNotFoundError(f"{os.fspath(path)}: no such file") from None
    except OSError as error:
        raise DataFileError(f"{os.fspath(path)}: {error.strerror or error}") from error
    lines = [line.strip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def find_beside(name: PathLike, *files: PathLike | None) -> Path | None:
    """Where a file that another file mentions lies: as named, else in the folder of one of files or its
    parents."""
    wanted = Path(name)
    folders = [Path()]
    for file in files:
        if file is not None:
            folders += Path(file).resolve().parents
    return next((folder / wanted for folder in folders if (folder / wanted).is_file()), None)


def find_names(cfg: PathLike | None, weights: PathLike | None, classes: int) -> list[str] | None:
    """Names for a network of so many classes made of these files, or None.

    In this order: X.names beside X.cfg or X.weights; the only *.names file beside them; the file that the
    `names` key of a .data file beside them mentions, if that .data file is the only one or has the stem X.
    Names of another number of classes belong to another network: only X.names is taken nevertheless.
    """
    files = [Path(path) for path in (cfg, weights) if path is not None]
    for file in files:
        if (found := file.with_suffix(".names")).is_file():
            return read_names(found)
    folders = list(dict.fromkeys(file.resolve().parent for file in files))
    for folder in folders:
        candidates = _listing(folder, ".names")
        if len(candidates) == 1 and len(names := read_names(candidates[0])) == classes:
            return names
    stems = {file.stem for file in files}
    for folder in folders:
        data = _listing(folder, ".data")
        chosen = data if len(data) == 1 else [path for path in data if path.stem in stems]
        for path in chosen:
            value = _data_value(path, "names")
            if not value or not (listed := find_beside(value, path)):
                continue
            # Lists of ImageNet go on beyond the classes that the .data file states.
            names, stated = read_names(listed), _data_value(path, "classes")
            if len(names) == classes or (stated == str(classes) and len(names) > classes):
                return names[:classes]
    return None


def _listing(folder: Path, suffix: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == suffix and path.is_file())
    except OSError:
        return []


def _data_value(path: Path, key: str) -> str | None:
    """The first value of a key in a .data file; as in Darknet, white space does not count."""
    try:
        text = path.read_text("utf-8-sig", "replace")
    except OSError:
        return None
    for line in text.splitlines():
        if not line.lstrip().startswith(("#", ";")) and "=" in line:
            found, value = line.split("=", 1)
            if found.strip() == key:
                return value.strip()
    return None


class Labels:
    """Class id -> name. Where no name is known it says "class 3", and a hint is logged once."""

    def __init__(self, names: Sequence[str] | None) -> None:
        self.names: list[str] | None = None if names is None else [str(name) for name in names]
        self._hinted = False

    def __getitem__(self, class_id: int) -> str:
        if self.names is not None and 0 <= class_id < len(self.names):
            return self.names[class_id]
        if not self._hinted:
            self._hinted = True
            if self.names is None:
                logger.warning("no class names found: pass names=, or put X.names beside X.cfg")
            else:
                logger.warning("class %d has no name: only %d names were given", class_id, len(self.names))
        return f"class {class_id}"

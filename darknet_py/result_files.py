"""Detections in the files of evaluation servers: VOC, COCO, ImageNet, BDD100K and KITTI (compat 16.1).

A format gives the text of one picture's detections; ResultFiles collects it on disk. Boxes are clipped to the
picture.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from .collection import Paths
from .data import make_folder
from .errors import DataError, DataFileError
from .json_text import json_text
from .results import Detections

__all__ = ["FORMATS", "Format", "ResultFiles", "coco_image_id", "image_name"]

#: The numbers of COCO's 80 categories, by class.
COCO_CATEGORIES = tuple(n for n in range(1, 91) if n not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
KITTI_CLASSES = ("car", "pedestrian", "cyclist")
BUFFER = 1 << 20  # characters kept before they go to disk


class ResultFiles:
    """Text files that grow together and appear together when the block ends well; else none of them does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token = os.urandom(6).hex()
        self._waiting: dict[str, list[str]] = {}
        self._size = 0
        self._paths = Paths()  # of some formats one for each picture

    def __enter__(self) -> ResultFiles:
        return self

    @property
    def paths(self) -> Sequence[str]:
        """The files so far, in the order in which they were begun."""
        return self._paths

    def write(self, name: str, text: str = "") -> None:
        """Adds text to a file of this name, which may be in a folder; no text makes the file."""
        self._waiting.setdefault(name, []).append(text)
        self._size += len(name) + len(text)
        if self._size > BUFFER:
            self.flush()

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        path = os.fspath(self._folder)
        try:
            if kind is None:
                self.flush()
                for path in self._paths:
                    with open(self._temporary(path), "rb+") as file:  # noqa: PTH123
                        os.fsync(file.fileno())
                for path in self._paths:
                    os.replace(self._temporary(path), path)  # noqa: PTH105
        except DataFileError:
            raise
        except OSError as error:
            raise _failed(path, error) from error
        finally:
            for path in self._paths:
                with suppress(FileNotFoundError):
                    os.unlink(self._temporary(path))  # noqa: PTH108

    # There may be a million files, and each Path interns its parts: strings.
    def _temporary(self, path: str) -> str:
        folder, name = os.path.split(path)
        return os.path.join(folder, f".{name}.{self._token}.tmp")  # noqa: PTH118

    def flush(self) -> None:
        """Writes what waits to the disk."""
        path = os.fspath(self._folder)
        try:
            for name, parts in self._waiting.items():
                path = os.path.join(self._folder, name)  # noqa: PTH118
                temporary = self._temporary(path)
                if not os.path.exists(temporary):  # noqa: PTH110
                    folder = os.path.dirname(path)  # noqa: PTH120
                    if not os.path.isdir(folder):  # noqa: PTH112
                        make_folder(folder)
                    self._paths.add(path)
                with open(temporary, "ab") as file:  # noqa: PTH123
                    file.write("".join(parts).encode("utf-8", "surrogateescape"))
        except DataFileError:
            raise
        except OSError as error:
            raise _failed(path, error) from error
        self._waiting.clear()
        self._size = 0


def _failed(path: str, error: OSError) -> DataFileError:
    return DataFileError(f"{path}: cannot write: {error.strerror or error}")


def image_name(path: str) -> str:
    """The name of an image in result files: its file's, up to the first dot."""
    return Path(path).name.split(".")[0]


def coco_image_id(path: str) -> int:
    """The number of an image of COCO: what follows the last _ of its file's name (COCO_val2014_000000000042),
    else what the name begins with; 0 if that is no number."""
    name = Path(path).name
    found = re.match(r"\s*(\d+)", name.rpartition("_")[2]) or re.match(r"(\d+)", name)
    return int(found[1]) if found else 0


class Format:
    """One format. names: of the classes. out: the name, or for VOC the beginning of the names, of its
    files."""

    default_out = ""
    most_classes: int | None = None

    def __init__(self, names: Sequence[str], out: str | None, one_based: bool = True) -> None:
        if self.most_classes is not None and len(names) > self.most_classes:
            raise DataError(
                f"this format has {self.most_classes} classes, but the network {len(names)}; "
                "set another eval in the .data file"
            )
        self.names, self.one_based = names, one_based
        self.out = self.default_out if out is None else out
        self._seen = array("q")  # hashes of what names the pictures: a million names would take much more

    def begin(self) -> Iterator[tuple[str, str]]:
        """File names and texts before the first picture."""
        yield from ()

    def picture(self, index: int, path: str, found: Detections) -> Iterator[tuple[str, str]]:
        """File names and texts for a picture's detections."""
        raise NotImplementedError

    def end(self) -> Iterator[tuple[str, str]]:
        """File names and texts after the last picture."""
        yield from ()

    def repeated(self) -> int:
        """How many pictures have a name, or a number, that another one has too."""
        _, counts = np.unique(np.array(self._seen), return_counts=True)
        return int(counts[counts > 1].sum())

    def identify(self, path: str) -> str:
        """The picture's name in this format."""
        name = image_name(path)
        self._seen.append(hash(name))
        return name


class Voc(Format):
    """A file per class; the first pixel is number 1, unless one_based is False."""

    default_out = "comp4_det_test_"

    def _file(self, class_id: int) -> str:
        name = self.names[class_id].replace("/", "_").replace("\\", "_")
        return f"{self.out}{name}.txt"

    def begin(self) -> Iterator[tuple[str, str]]:
        yield from ((self._file(k), "") for k in range(len(self.names)))

    def picture(self, index: int, path: str, found: Detections) -> Iterator[tuple[str, str]]:
        name, (width, height) = self.identify(path), found.image_size
        corners = found.xyxy
        if self.one_based:
            corners = (corners + 1).clip(max=[width, height, width, height]).astype("float32")
        for class_id, score, (left, top, right, bottom) in zip(
            found.class_id, found.confidence, corners, strict=True
        ):
            line = f"{name} {score:f} {left:f} {top:f} {right:f} {bottom:f}\n"
            yield self._file(int(class_id)), line


class _Json(Format):
    """One JSON list, an object per line, also when nothing was found."""

    def __init__(self, names: Sequence[str], out: str | None, one_based: bool = True) -> None:
        super().__init__(names, out, one_based)
        self._file, self._before = f"{self.out}.json", "[\n"

    def begin(self) -> Iterator[tuple[str, str]]:
        yield self._file, ""

    def _object(self, text: str) -> tuple[str, str]:
        before, self._before = self._before, ",\n"
        return self._file, before + text

    def end(self) -> Iterator[tuple[str, str]]:
        yield self._file, "\n]\n" if self._before == ",\n" else "[\n]\n"


class Coco(_Json):
    """Boxes as left, top, width, height."""

    default_out = "coco_results"
    most_classes = len(COCO_CATEGORIES)

    def picture(self, index: int, path: str, found: Detections) -> Iterator[tuple[str, str]]:
        number = coco_image_id(path)
        self._seen.append(hash(number))
        for class_id, score, (left, top, width, height) in zip(
            found.class_id, found.confidence, found.xywh, strict=True
        ):
            yield self._object(
                f'{{"image_id":{number}, "category_id":{COCO_CATEGORIES[class_id]}, '
                f'"bbox":[{left:f}, {top:f}, {width:f}, {height:f}], "score":{score:f}}}'
            )


class Bdd(_Json):
    """Boxes as left, top, right, bottom."""

    default_out = "bdd_results"

    def picture(self, index: int, path: str, found: Detections) -> Iterator[tuple[str, str]]:
        name = json_text(self.identify(path))
        for class_id, score, (left, top, right, bottom) in zip(
            found.class_id, found.confidence, found.xyxy, strict=True
        ):
            category = json_text(self.names[int(class_id)])
            yield self._object(
                f'\t{{\n\t\t"name":{name},\n\t\t"category":{category},\n\t\t'
                f'"bbox":[{left:f}, {top:f}, {right:f}, {bottom:f}],\n\t\t"score":{score:f}\n\t}}'
            )


class ImageNet(Format):
    """One file; pictures and classes are numbered from 1."""

    default_out = "imagenet-detection"
    most_classes = 200

    def begin(self) -> Iterator[tuple[str, str]]:
        yield f"{self.out}.txt", ""

    def picture(self, index: int, path: str, found: Detections) -> Iterator[tuple[str, str]]:
        for class_id, score, (left, top, right, bottom) in zip(
            found.class_id, found.confidence, found.xyxy, strict=True
        ):
            line = f"{index + 1} {class_id + 1} {score:f} {left:f} {top:f} {right:f} {bottom:f}\n"
            yield f"{self.out}.txt", line


class Kitti(Format):
    """A file per picture; the classes are car, pedestrian and cyclist."""

    default_out = "kitti_results"
    most_classes = len(KITTI_CLASSES)

    def picture(self, index: int, path: str, found: Detections) -> Iterator[tuple[str, str]]:
        name = f"{self.out}/data/{self.identify(path)}.txt"
        yield name, ""
        for class_id, score, (left, top, right, bottom) in zip(
            found.class_id, found.confidence, found.xyxy, strict=True
        ):
            corners = f"{left:f} {top:f} {right:f} {bottom:f}"
            yield (
                name,
                f"{KITTI_CLASSES[class_id]} -1 -1 -10 {corners} -1 -1 -1 -1000 -1000 -1000 -10 {score:f}\n",
            )


FORMATS: dict[str, Callable[[Sequence[str], str | None, bool], Format]] = {
    "voc": Voc,
    "coco": Coco,
    "imagenet": ImageNet,
    "bdd": Bdd,
    "kitti": Kitti,
}

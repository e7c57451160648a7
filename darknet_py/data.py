"""The text files around a network: .data files, image lists, label files, and how one leads to the other.

Turning pictures into batches is the business of loaders.py. Every function raises DataError with what is
wrong, where, and what to do. Relative paths are looked up in the working directory, then in the folder of the
file that mentions them and in that folder's parents.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ._native import ffi, lib
from .collection import Boxes, Collection, Paths
from .errors import ArgumentError, DataError, DataFileError, DataNotFoundError, check, path_bytes
from .logs import logger
from .names import find_beside, read_names

__all__ = [
    "DataFile",
    "check_folder",
    "check_regular",
    "class_of",
    "find_label",
    "image_files",
    "keep_inputs",
    "label_path",
    "make_folder",
    "new_folder",
    "read_labels",
    "read_list",
    "read_map",
    "stream_list",
    "write_whole",
]

PathLike = str | os.PathLike[str]
Floats = npt.NDArray[np.float32]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
# Replaced in this order, the first occurrence of each.
LABEL_FOLDERS = ("images", "JPEGImages", "raw")
MOST_PROBLEMS = 8  # that one message lists
MOST_MISSING = 0.1  # part of the label files


def read_text(path: PathLike, what: str) -> str:
    """The text of a file: UTF-8, with or without byte order mark; line ends become \\n."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - there may be a million, and each Path interns its parts
            return file.read().decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n")
    except FileNotFoundError:
        raise DataNotFoundError(f"{os.fspath(path)}: no such {what}") from None
    except OSError as error:
        raise DataFileError(
            f"{os.fspath(path)}: cannot read this {what}: {error.strerror or error}"
        ) from error


def check_regular(target: Path) -> None:
    """Raises DataFileError for what write_whole would not replace: a folder, a device, a pipe."""
    if target.exists() and not target.is_file():
        raise DataFileError(f"{target}: cannot write: not a regular file")


def write_whole(path: PathLike, content: str | bytes) -> None:
    """Writes a file whole or not at all; its folder is made if missing."""
    target = Path(path)
    check_regular(target)
    temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}.tmp")
    raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataFileError(f"{target}: cannot write: {error.strerror or error}") from error


def make_folder(folder: PathLike) -> None:
    """Makes a folder, and those above it, if missing. Raises DataFileError."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFileError(
            f"{os.fspath(folder)}: cannot make this folder: {error.strerror or error}"
        ) from error


def check_folder(folder: Path) -> None:
    """Raises DataFileError if no file can be written into a folder."""
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataFileError(f"{folder}: cannot write in this folder: {error.strerror or error}") from error


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder that is made if missing; if the block fails and has written nothing, none is left behind."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        make_folder(folder)
        yield folder
    except BaseException:
        for one in made:
            with suppress(OSError):  # what is not empty stays
                one.rmdir()
        raise


def keep_inputs(written: Sequence[PathLike], read: Sequence[PathLike]) -> None:
    """Refuses to write a file that is also read, or written twice, under whatever name.

    Raises ArgumentError.
    """
    used = {Path(path).resolve(): path for path in read}
    for path in written:
        place = Path(path).resolve()
        if place in used or any(place.exists() and one.exists() and place.samefile(one) for one in used):
            raise ArgumentError(f"{os.fspath(path)} is another file of this command: name a new one")
        used[place] = path


class DataFile:
    """A .data file: `key = value` lines that say where lists, names and checkpoints are.

    As in Darknet, white space inside values does not count, lines that start with # or ; are comments, and of
    a key given twice the first counts. A file name that does have spaces is found all the same.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self._values: dict[str, str] = {}
        self._lines: dict[str, int] = {}
        for number, line in enumerate(read_text(path, ".data file").split("\n"), 1):
            text = line.strip()
            if not text or text[0] in "#;":
                continue
            key, equals, value = text.partition("=")
            if not equals:
                raise DataError(f"{self.path}:{number}: expected key = value, found {text!r}")
            name = re.sub(r"\s", "", key)
            self._values.setdefault(name, value.partition("#")[0].strip())
            self._lines.setdefault(name, number)

    def get(self, key: str) -> str | None:
        """The value of a key, without white space; None if absent or empty."""
        return re.sub(r"\s", "", self._values.get(key, "")) or None

    def line(self, key: str) -> int:
        """The line of a key; 0 if absent."""
        return self._lines.get(key, 0)

    def integer(self, key: str, default: int | None = None) -> int:
        """The value of a key as a whole number. Raises DataError if absent and there is no default."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        if value is None or not re.fullmatch(r"[+-]?\d+", value):
            found = "nothing" if value is None else repr(value)
            raise DataError(f"{self.path}: {key}: expected a whole number, found {found}")
        return int(value)

    def number(self, key: str, default: float) -> float:
        """The value of a key as a number that is 0 or more. Raises DataError for anything else."""
        value = self.get(key)
        try:
            number = default if value is None else float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            raise DataError(f"{self.path}: {key}: expected a number, 0 or more, found {value!r}")
        return number

    @property
    def classes(self) -> int:
        """The number of classes: `classes`, else as many as there are names."""
        if self.get("classes") is None and (names := self.names):
            return len(names)
        count = self.integer("classes")
        if count < 1:
            raise DataError(f"{self.path}: classes: expected 1 or more, found {count}")
        return count

    @property
    def top(self) -> int:
        """Of how many classes a classifier is asked: `top`, else 1."""
        count = self.integer("top", 1)
        if count < 1:
            raise DataError(f"{self.path}: top: expected 1 or more, found {count}")
        return count

    @property
    def names(self) -> list[str] | None:
        """Class names: from the file `names`, else `labels`; None if neither is given."""
        for key in ("names", "labels"):
            if self.get(key):
                return self._first(read_names(self.file(key)))
        return None

    def _first(self, lines: list[str]) -> list[str]:
        """As many as `classes` says: the lists of ImageNet go on with classes a network need not know."""
        if self.get("classes") is None:
            return lines
        classes = self.classes
        if len(lines) < classes:
            raise DataError(f"{self.path}: classes = {classes}, but only {len(lines)} of them have a name")
        return lines[:classes]

    @property
    def labels(self) -> list[str]:
        """Strings that mark a class in an image's path: from the file `labels`, else `names`."""
        for key in ("labels", "names"):
            if self.get(key):
                return self._first(read_names(self.file(key)))
        raise DataError(
            f"{self.path}: add labels = FILE, the strings that mark each class in an image's path"
        )

    @property
    def backup(self) -> Path:
        """The folder for checkpoints; it need not exist. `backup`, else "backup" in the working directory."""
        return self._beside(self.get("backup") or "backup")

    @property
    def results(self) -> Path:
        """The folder for result files; it need not exist. `results`, else "results" in the working
        directory."""
        return self._beside(self.get("results") or "results")

    def file(self, key: str) -> Path:
        """The existing file that a key names. Raises DataError if there is none."""
        value = self.get(key)
        if value is None:
            raise DataError(f"{self.path}: add {key} = FILE")
        found = find_beside(value, self.path) or find_beside(self._values[key], self.path)
        if found is None:
            raise DataNotFoundError(
                f"{self.path}: {key}: no file {value}, neither in the working directory nor in the folder "
                f"of {self.path.name} and those above it"
            )
        return found

    def mentioned(self) -> list[Path]:
        """What exists of all that the values name."""
        found = (find_beside(value, self.path) for value in self._values.values() if value)
        return [one for one in found if one is not None]

    def class_map(self, nodes: int) -> list[int] | None:
        """The list in the file that `map` names: the class of the network for every class of the labels.

        None without the key. nodes: the network's classes. Raises DataError with file:line.
        """
        return read_map(self.file("map"), nodes) if self.get("map") else None

    def images(self, key: str) -> Sequence[str]:
        """The image paths in the list that a key (`train`, `valid`, ...) names."""
        return read_list(self.file(key))

    def _beside(self, value: str) -> Path:
        """A folder: as named if it exists there or is absolute, else beside this file if it exists there."""
        wanted = Path(value)
        beside = self.path.resolve().parent / wanted
        return beside if not wanted.is_dir() and beside.is_dir() else wanted


# ---- image lists ------------------------------------------------------------------------------------


def read_list(path: PathLike) -> Sequence[str]:
    """The paths in an image list, one per line; blank lines are skipped, spaces inside names are kept.

    A path that exists nowhere is given as it stands, and will be reported when it is opened. A long list is
    kept in a temporary file.
    """
    paths = Paths(os.fspath(path))
    for number, entry in stream_list(path):
        paths.add(entry, line=number)
    return paths


def stream_list(path: PathLike) -> Iterator[tuple[int, str]]:
    """Line numbers and paths of an image list as in read_list, one by one: memory does not grow with it."""
    bases = ["", *(str(parent) for parent in Path(path).resolve().parents)]
    empty = True
    for number, entry in _entries(path):
        empty = False
        # Most lists are of one kind: after the working directory, the base that worked last is tried first.
        found = next((base for base in bases if os.path.exists(os.path.join(base, entry))), None)  # noqa: PTH110, PTH118
        if found is None:
            yield number, entry
            continue
        yield number, f"{found}/{entry}" if found and not entry.startswith("/") else entry
        if found:
            bases.remove(found)
            bases.insert(1, found)
    if empty:
        raise DataError(f"{os.fspath(path)}: this image list is empty; write one image path per line")


def _entries(path: PathLike) -> Iterator[tuple[int, str]]:
    try:
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if entry := line.strip():
                    yield number, entry
    except FileNotFoundError:
        raise DataNotFoundError(f"{os.fspath(path)}: no such image list") from None
    except OSError as error:
        raise DataFileError(
            f"{os.fspath(path)}: cannot read this image list: {error.strerror or error}"
        ) from error


def image_files(folder: PathLike) -> list[str]:
    """The pictures directly inside a folder, by name."""
    try:
        found = sorted(str(p) for p in Path(folder).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    except OSError as error:
        raise DataFileError(
            f"{os.fspath(folder)}: cannot list this folder: {error.strerror or error}"
        ) from error
    if not found:
        raise DataError(f"{os.fspath(folder)}: no pictures in this folder ({', '.join(IMAGE_SUFFIXES)})")
    return found


def read_map(path: PathLike, nodes: int) -> list[int]:
    """The numbers in a class map, one per line, all of them below nodes. Raises DataError with file:line."""
    out, count = ffi.new("int **"), ffi.new("int *")
    check(lib.dn_map_load(out, count, path_bytes(path, DataNotFoundError), nodes), DataFileError)
    try:
        return [int(out[0][i]) for i in range(count[0])]
    finally:
        lib.dn_map_free(out[0])


class Problems:
    """What is wrong with a list's pictures: how many problems, and the first ones."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, text: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < MOST_PROBLEMS:
            self.first.append(text)

    def joined(self, more: Problems) -> Problems:
        """These and more."""
        result = Problems()
        result.count = self.count + more.count
        result.first = [*self.first, *more.first][:MOST_PROBLEMS]
        return result

    def listed(self, what: str) -> str:
        """How many, and a line for each of the first."""
        rest = self.count - len(self.first)
        more = f"\n  and {rest} more" if rest > 0 else ""
        return f"{self.count} {what}:\n  " + "\n  ".join(self.first) + more

    def refuse(self, what: str) -> None:
        """Raises one DataError for all of them, if there are any."""
        if self.count:
            raise DataError(self.first[0] if self.count == 1 else self.listed(what))


# ---- labels of detection ----------------------------------------------------------------------------


def label_path(image: PathLike) -> str:
    """Where Darknet looks for the labels of an image: images -> labels in its path, and .txt at the end."""
    stem, suffix = os.path.splitext(os.fspath(image))  # noqa: PTH122 - a string rule, not a path rule
    path = stem if suffix.lower() in IMAGE_SUFFIXES else stem + suffix
    for folder in LABEL_FOLDERS:
        path = path.replace(folder, "labels", 1)
    return path + ".txt"


def find_label(image: PathLike) -> str:
    """The label file of an image: label_path, else the same with only the last folder named images replaced,
    else beside the image. Raises DataError that names the expected path."""
    expected = label_path(image)
    if os.path.exists(expected):  # noqa: PTH110
        return expected
    source = Path(image)
    parts = list(source.with_suffix(".txt").parts)
    for i in reversed(range(len(parts) - 1)):
        if parts[i] in LABEL_FOLDERS:
            candidate = Path(*parts[:i], "labels", *parts[i + 1 :])
            if candidate.exists():
                return str(candidate)
            break
    beside = source.with_suffix(".txt")
    if beside.exists():
        return str(beside)
    raise DataNotFoundError(
        f"{expected}: no such label file for {os.fspath(image)} (the first 'images' of the path becomes "
        "'labels', the ending .txt); a picture without objects has an empty one"
    )


def read_labels(path: PathLike, classes: int | None = None, nodes: int | None = None) -> Floats:
    """The objects in a label file: float32 (count, 5) of class, centre x, centre y, width, height (0..1).

    classes: how many there are, if that is to be checked; nodes: the same for rows with the centre 0 0, which
    say what a picture shows but not where (YOLO9000). Sizes over 1 are cut. Raises DataError with file:line.
    """
    rows: list[tuple[float, ...]] = []
    for number, row, problem in label_rows(path, classes, nodes):
        if row is None:
            raise DataError(f"{os.fspath(path)}:{number}: {problem}")
        rows.append(row)
    return np.array(rows, np.float32).reshape(-1, 5)


def label_rows(
    path: PathLike, classes: int | None = None, nodes: int | None = None
) -> Iterator[tuple[int, tuple[float, ...] | None, str]]:
    """Number, row and problem of each line of a label file that holds something: a row, or what is wrong."""
    for number, line in enumerate(read_text(path, "label file").split("\n"), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            yield number, label_row(fields, classes, nodes), ""
        except ValueError as error:
            yield number, None, str(error)


def label_row(
    fields: Sequence[str], classes: int | None, nodes: int | None = None
) -> tuple[float, float, float, float, float]:
    """The numbers of a line of a label file, as read_labels takes them. Raises ValueError."""
    if len(fields) != 5:
        raise ValueError(f"expected class x y w h, found {len(fields)} values: {' '.join(fields)!r}")
    try:
        values = [float(field) for field in fields]
    except ValueError:
        raise ValueError(f"expected five numbers class x y w h, found {' '.join(fields)!r}") from None
    kind, x, y, w, h = values
    if not all(math.isfinite(v) for v in values):
        raise ValueError(f"a value is not finite: {' '.join(fields)!r}")
    limit = nodes if nodes is not None and x == 0 and y == 0 else classes
    if kind != int(kind) or kind < 0 or (limit is not None and kind >= limit):
        most = "a whole number" if limit is None else f"0..{limit - 1}"
        raise ValueError(f"class {fields[0]} is not {most}")
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"centre ({x:g}, {y:g}) is outside the picture; coordinates are relative, 0..1")
    if w < 0 or h < 0 or w > 2 or h > 2:
        raise ValueError(f"size {w:g} x {h:g} is impossible; sizes are relative, 0..1")
    return kind, x, y, min(w, 1.0), min(h, 1.0)


def without_place(labels: Floats) -> npt.NDArray[np.bool_]:
    """Which rows have the centre 0 0: they say what a picture shows, but not where (YOLO9000)."""
    mask: npt.NDArray[np.bool_] = (labels[:, 1] == 0) & (labels[:, 2] == 0)
    return mask


def labels_of(images: Sequence[str], classes: int, nodes: int | None = None) -> Sequence[Floats]:
    """The labels of many images: those that a Collection holds, else those in label files.

    Lines that are wrong, boxes without area among them, are left out, with a warning, unless they are many:
    then one DataError lists the first and counts the rest. Rows without a place (see read_labels) are kept
    if nodes is given.

    Published sets leave out the files of pictures without objects: as long as they are few, these are taken
    as empty, with a warning. Many mean that the folders are not where they should be.
    """
    if isinstance(images, Collection):
        if images.counts and max(images.counts) >= classes:
            raise DataError(f"a label is of class {max(images.counts)}, which is not 0..{classes - 1}")
        return images.labels
    labels, lines = Boxes(), 0
    problems, missing, unplaced = Problems(), Problems(), Problems()
    for image in images:
        found = []
        try:
            path = find_label(image)
            for number, row, problem in label_rows(path, classes, nodes):
                lines += 1
                if row is not None and 0 in row[3:] and any(row[1:3]):
                    problem = f"a box of {row[3]:g} x {row[4]:g} has no area"
                if problem or row is None:
                    problems.add(f"{path}:{number}: {problem}")
                else:
                    found.append(row)
        except DataNotFoundError as error:
            missing.add(str(error))
        except DataError as error:
            problems.add(str(error))
        rows = np.array(found, np.float32).reshape(-1, 5)
        if nodes is None and without_place(rows).any():
            unplaced.add(image)
            rows = rows[~without_place(rows)]
        labels.add(rows)
    if missing.count > MOST_MISSING * len(images):
        problems.joined(missing).refuse("problems with labels")
    if problems.count > MOST_MISSING * lines:
        problems.refuse("problems with labels")
    _tell_left_out(problems, missing, unplaced)
    return labels


def _tell_left_out(problems: Problems, missing: Problems, unplaced: Problems) -> None:
    if missing.count:
        what = "1 picture has" if missing.count == 1 else f"{missing.count} pictures have"
        logger.warning("%s no label file, taken as without objects; the first: %s", what, missing.first[0])
    if problems.count:
        logger.warning("%s", problems.listed("labels left out"))
    if unplaced.count:
        logger.warning(
            "labels with the centre 0 0 of %d pictures left out: only a [region] with a tree learns a class "
            "without a box; the first: %s",
            unplaced.count,
            unplaced.first[0],
        )


def class_only_labels(
    images: Sequence[str], nodes: int, marks: Sequence[str] | None = None
) -> Sequence[Floats]:
    """What images show, as rows `class 0 0 0 0`: from their label files, or, with marks, from their paths.

    marks: the strings of class_of, one per node. Raises one DataError that lists the first problems.
    """
    if marks is not None:
        if len(marks) != nodes:
            raise DataError(f"{len(marks)} labels are given for the {nodes} nodes of the tree")
        shown = Boxes()
        for kind in classes_of(images, marks):
            shown.add([kind, 0, 0, 0, 0])
        return shown
    labels, wrong = labels_of(images, nodes, nodes), Problems()
    for image, rows in zip(images, labels, strict=True):
        if not len(rows) or not without_place(rows).all():
            wrong.add(f"{image}: {'has a box' if len(rows) else 'has no label'}, expected `class 0 0 0 0`")
    wrong.refuse("pictures without a class of their own")
    return labels


# ---- labels of classification -----------------------------------------------------------------------


def class_of(image: str, labels: Sequence[str]) -> int:
    """The class of an image: the one whose label is a substring of its path (compat 13.2).

    Where several labels match the whole path, only its last two parts count; among labels that contain each
    other (truck, firetruck) the longest. Raises DataError if none or several are left.
    """
    found = [i for i, label in enumerate(labels) if label and label in image]
    if len(found) > 1:
        end = "/".join(Path(image).parts[-2:])
        found = [i for i in found if labels[i] in end] or found
        found = [i for i in found if not any(i != j and labels[i] in labels[j] for j in found)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise DataError(f"{image}: none of the {len(labels)} labels is part of this path")
    raise DataError(
        f"{image}: several labels are part of this path: {', '.join(labels[i] for i in found[:4])}"
    )


def classes_of(images: Sequence[str], labels: Sequence[str]) -> list[int]:
    """The classes of many images: those that a Collection holds, else class_of each.

    Raises one DataError that lists the first problems and counts the rest.
    """
    if isinstance(images, Collection):
        return [int(kind) for kind in images.classes]
    classes, problems = [], Problems()
    for image in images:
        try:
            classes.append(class_of(image, labels))
        except DataError as error:
            problems.add(str(error))
    problems.refuse("images without a class")
    return classes

"""What every format is read into and written from: pictures with annotations, and the account of a reading.

Boxes are relative to the upright picture, as in Darknet's label files. Readers give pictures one by one, so
that memory does not grow with the set.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import images
from ..data import MOST_PROBLEMS
from ..errors import ArgumentError, DataError, ImageError

PathLike = str | os.PathLike[str]

SPLITS = ("train", "valid", "test")
#: What splits are called in files and folders of other formats.
SPLIT_NAMES = {"train": "train", "training": "train", "val": "valid", "valid": "valid", "test": "test"}
SPLIT_NAMES["validation"] = "valid"
#: And what they are called where val is usual.
SPLIT_FOLDERS = {"train": "train", "valid": "val", "test": "test"}
ROUNDING = 1e-3  # by which a size may exceed its picture's


@dataclass(frozen=True)
class Annotation:
    """One object: class, and its box as relative centre and size.

    difficult: need not be found. crowd: several objects in one box (COCO). area in pixels and segmentation as
    in COCO, None if not given.
    """

    class_id: int
    x: float
    y: float
    w: float
    h: float
    difficult: bool = False
    crowd: bool = False
    truncated: bool = False
    area: float | None = None
    segmentation: Any = None


@dataclass(frozen=True)
class Picture:
    """A picture file, its upright size in pixels (width, height), and what it shows.

    class_id: the class of a classification set. number: the id it had in a COCO file. line: of the list that
    names it.
    """

    path: str
    size: tuple[int, int]
    annotations: tuple[Annotation, ...] = ()
    class_id: int | None = None
    number: int | None = None
    line: int = 0


Pictures = Callable[[], Iterator[Picture]]


@dataclass
class Report:
    """The account of a conversion: what was read, what was wrong and skipped, what the target cannot hold.

    most_bad: part of the pictures, of the label files and of the annotations that may be wrong.
    """

    most_bad: float = 0.1
    totals: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    rules: dict[str, str] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)
    told: Callable[[str, str], None] | None = None  # gets every problem, too

    def __post_init__(self) -> None:
        if not 0 <= self.most_bad <= 1:
            raise ArgumentError(f"most_bad: expected a part 0..1, found {self.most_bad:g}")
        # A tenth of a large set may be wrong: the complete list is no matter for memory.
        self._all = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - it lives as long as the report
            1 << 16, "w+", encoding="utf-8", errors="surrogateescape"
        )

    def problem(self, kind: str, text: str) -> None:
        """Something skipped. kind: "pictures", "label files" or "annotations"."""
        self.bad[kind] += 1
        if self.told:
            self.told(kind, text)
        line = " ".join(text.splitlines())
        if len(self.first) < MOST_PROBLEMS:
            self.first.append(line)
        self._all.write(f"{line}\n")

    def rule(self, name: str, example: str) -> None:
        """How label files are found; the first example is kept and uses are counted."""
        self.rules.setdefault(name, example)
        self.totals[name] += 1

    def problems(self) -> Iterator[str]:
        """All problems, in the order they were met."""
        self._all.seek(0)
        yield from (line.rstrip("\n") for line in self._all)
        self._all.seek(0, os.SEEK_END)

    def judge(self, consequence: str = "nothing was written") -> None:
        """Raises DataError if more than the part most_bad is wrong, or nothing is left; and says what
        follows."""
        for kind, count in self.bad.items():
            total = self.totals[kind]
            if count > self.most_bad * total or (kind == "pictures" and count == total):
                raise DataError(
                    f"{count} of {total} {kind} are wrong, more than {self.most_bad:.3g} of them "
                    f"(most_bad); {consequence}:\n  " + "\n  ".join(self.listed())
                )
        if self.totals["pictures"] == 0:
            raise DataError(f"no pictures were found; {consequence}")

    def listed(self) -> list[str]:
        """The first problems, and how many more."""
        more = sum(self.bad.values()) - len(self.first)
        return [*self.first, *([f"and {more} more"] if more > 0 else [])]

    def lines(self) -> list[str]:
        """The account for people."""
        good = {kind: self.totals[kind] - self.bad[kind] for kind in ("pictures", "annotations")}
        result = [f"{good['pictures']} pictures, {good['annotations']} annotations"]
        for name, example in self.rules.items():
            result.append(f"label files: {name}: {self.totals[name]} pictures, as {example}")
        skipped = {"label files": "missing or unreadable label files, taken as empty"}
        result += [f"{count} {skipped.get(kind, f'{kind} skipped')}" for kind, count in self.bad.items()]
        result += [f"  {line}" for line in self.listed()]
        return result + [f"not in the result: {count} {what}" for what, count in self.lost.items()]


@dataclass(frozen=True)
class Dataset:
    """A data set that is about to be read: names of the classes, and an iterator of pictures per split.

    task: "detection" or "classification". Iterate once: problems are counted in report meanwhile.
    category_ids: the numbers of the classes in a COCO file.
    """

    names: tuple[str, ...]
    task: str
    splits: dict[str, Pictures]
    report: Report
    category_ids: tuple[int, ...] | None = None

    def pictures(self, split: str) -> Iterator[Picture]:
        """The pictures of a split."""
        return self.splits[split]()


def require(dataset: Dataset, task: str, target: str) -> None:
    """Raises DataError if a format cannot hold the data set."""
    if dataset.task != task:
        raise DataError(f"{target} are for {task}, this is a set for {dataset.task}")


def check_names(names: Sequence[str], place: PathLike) -> tuple[str, ...]:
    """The names, if they are usable in all formats: neither empty, nor twice, nor longer than a line."""
    if not names:
        raise DataError(f"{os.fspath(place)}: no class has a name")
    for index, name in enumerate(names):
        if not name or name != name.strip() or len(name.splitlines()) != 1:
            raise DataError(f"{os.fspath(place)}: class {index}: {name!r} is no name")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{os.fspath(place)}: two classes have the name {twice!r}")
    return tuple(names)


# ---- pictures -----------------------------------------------------------------------------------------


def measure(path: PathLike, verify: str) -> tuple[int, int]:
    """Width and height of the upright picture. verify: "full" decodes it, "header" trusts its beginning,
    "exists" does not look (0, 0).

    Raises ImageError with the file's name.
    """
    if verify == "full":
        height, width = images.read(path).shape[:2]
        return int(width), int(height)
    if verify == "exists":
        if not os.path.exists(path):  # noqa: PTH110 - called for every line of a list
            raise ImageError(f"{os.fspath(path)}: no such file")
        return 0, 0
    if verify != "header":
        raise ArgumentError(f"verify: expected full or header, found {verify!r}")
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            # That of a PNG file would decode it first.
            turned = Image.Image.getexif(picture).get(0x0112, 1) in (5, 6, 7, 8)
            width, height = picture.size
            return (height, width) if turned else (width, height)
    except UnidentifiedImageError:
        raise ImageError(f"{os.fspath(path)}: no picture in a known format") from None
    except FileNotFoundError:
        raise ImageError(f"{os.fspath(path)}: no such file") from None
    except Exception as error:  # Pillow's readers fail in their own ways
        raise ImageError(f"{os.fspath(path)}: {error}") from error


def sized(path: str, verify: str, report: Report, place: str) -> tuple[int, int] | None:
    """measure, for a picture that place mentions; None, and a counted problem, if it is unreadable."""
    report.totals["pictures"] += 1
    try:
        return measure(path, verify)
    except ImageError as error:
        report.problem("pictures", f"{place}: {error}")
        return None


def stated_size_fits(stated: tuple[int, int], size: tuple[int, int], report: Report, place: str) -> bool:
    """Whether an annotation file knows the picture it is about; counts a problem if not."""
    if stated == size:
        return True
    turned = "; EXIF turns it upright, and its boxes may not be turned" if stated == size[::-1] else ""
    report.problem(
        "pictures",
        f"{place}: says {stated[0]} x {stated[1]}, but the picture has {size[0]} x {size[1]}{turned}",
    )
    return False


# ---- boxes ----------------------------------------------------------------------------------------------


def annotation_of(class_id: int, box: Sequence[float], **more: Any) -> Annotation:
    """An annotation of a relative box x y w h. Raises ValueError if the box cannot be right.

    A box may stick out of its picture as long as its centre lies inside.
    """
    x, y, w, h = box
    if not all(math.isfinite(value) for value in box):
        raise ValueError("a value is not finite")
    if max(box) > 2:
        raise ValueError(f"{x:g} {y:g} {w:g} {h:g} are no relative numbers 0..1; are they pixels?")
    if w < 0 or h < 0:
        raise ValueError(f"negative size {w:g} x {h:g}")
    if w == 0 or h == 0:
        raise ValueError(f"a box without area, {w:g} x {h:g}")
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"the centre ({x:g}, {y:g}) is out of the picture")
    if w > 1 + ROUNDING or h > 1 + ROUNDING:
        raise ValueError(f"size {w:g} x {h:g} is larger than the picture")
    return Annotation(class_id, x, y, min(w, 1.0), min(h, 1.0), **more)


def from_pixels(class_id: int, corners: Sequence[float], size: tuple[int, int], **more: Any) -> Annotation:
    """An annotation of left, top, right, bottom in pixels of a picture. Raises ValueError as above."""
    left, top, right, bottom = corners
    width, height = size
    if not all(math.isfinite(value) for value in corners):
        raise ValueError("a value is not finite")
    if right <= left or bottom <= top:
        raise ValueError(f"a box without area, {right - left:g} x {bottom - top:g} pixels")
    centre = ((left + right) / 2, (top + bottom) / 2)
    if not (0 <= centre[0] <= width and 0 <= centre[1] <= height):
        raise ValueError(f"the centre ({centre[0]:g}, {centre[1]:g}) is out of {width} x {height} pixels")
    box = (centre[0] / width, centre[1] / height, (right - left) / width, (bottom - top) / height)
    if box[2] > 1 + ROUNDING or box[3] > 1 + ROUNDING:
        raise ValueError(f"{right - left:g} x {bottom - top:g} is larger than {width} x {height} pixels")
    return annotation_of(class_id, box, **more)


def to_pixels(annotation: Annotation, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, width, height in pixels, without the noise of the last digits."""
    width, height = annotation.w * size[0], annotation.h * size[1]
    left, top = annotation.x * size[0] - width / 2, annotation.y * size[1] - height / 2
    return round(left, 6) + 0.0, round(top, 6) + 0.0, round(width, 6), round(height, 6)

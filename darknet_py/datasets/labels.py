"""Label files of Darknet and YOLO: reading them leniently, and the folders that both formats share.

images/SPLIT/NAME.jpg has its objects in labels/SPLIT/NAME.txt, and those that need not be found in
difficult/labels/SPLIT/NAME.txt.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ..data import read_text
from ..errors import DataError, DataNotFoundError
from .output import Stems, put_image
from .records import Annotation, Dataset, Picture, Report, annotation_of, to_pixels

LabelRule = Callable[[str], str]


def last_folder_rule(image: str, folder: str = "labels") -> str:
    """The rule of YOLO folders: the last folder named images becomes labels, the ending .txt."""
    parts = list(Path(image).with_suffix(".txt").parts)
    for i in reversed(range(len(parts) - 1)):
        if parts[i] == "images":
            return str(Path(*parts[:i], folder, *parts[i + 1 :]))
    return str(Path(*parts))


def read_label_file(path: str, classes: int, report: Report, *, difficult: bool = False) -> list[Annotation]:
    """The objects in a label file; wrong lines are counted and skipped. Raises DataError if unreadable."""
    result = []
    for number, line in enumerate(read_text(path, "label file").split("\n"), 1):
        fields = line.split()
        if not fields:
            continue
        report.totals["annotations"] += 1
        try:
            result.append(_annotation(fields, classes, difficult))
        except ValueError as error:
            report.problem("annotations", f"{path}:{number}: {error}")
    return result


def _annotation(fields: Sequence[str], classes: int, difficult: bool) -> Annotation:
    try:
        values = [float(field) for field in fields]
    except ValueError:
        raise ValueError(f"expected five numbers class x y w h, found {' '.join(fields)[:80]!r}") from None
    if len(values) != 5:
        what = "a polygon, or further values" if len(values) > 5 else "too few values"
        raise ValueError(f"{what}: expected class x y w h, found {len(values)} values")
    if not (0 <= values[0] < classes and values[0] == int(values[0])):
        raise ValueError(f"class {fields[0]} is not 0..{classes - 1}")
    return annotation_of(int(values[0]), values[1:], difficult=difficult)


def read_objects(
    candidates: Iterable[tuple[str, str]], classes: int, report: Report, place: str, image: str
) -> list[Annotation]:
    """The objects of a picture, from the first label file that exists.

    candidates: rule and path. A missing or unreadable file is counted, and means no objects.
    """
    report.totals["label files"] += 1
    tried, found = [], None
    for rule, path in candidates:
        if os.path.exists(path):  # noqa: PTH110 - called for every line of a list
            found = rule, path
            break
        tried.append(path)
    if found is None:
        report.problem("label files", f"{place}: {tried[0]}: no such label file for {image}")
        return []
    report.rule(found[0], f"{image} -> {found[1]}")
    try:
        return read_label_file(found[1], classes, report)
    except DataError as error:
        report.problem("label files", f"{place}: {error}")
        return []


def read_difficult(path: str, classes: int, report: Report) -> list[Annotation]:
    """The objects that need not be found; most pictures have none, and no file of them."""
    try:
        return read_label_file(path, classes, report, difficult=True)
    except DataNotFoundError:
        return []
    except DataError as error:
        report.problem("label files", str(error))
        return []


# ---- writing ---------------------------------------------------------------------------------------------


def label_lines(annotations: Sequence[Annotation]) -> str:
    """Lines of a label file. Nine digits are all that float32 holds."""
    return "".join(
        f"{one.class_id} {_number(one.x)} {_number(one.y)} {_number(one.w)} {_number(one.h)}\n"
        for one in annotations
    )


def _number(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".") or "0"


def excused(annotation: Annotation) -> bool:
    """Whether an object goes to the difficult ones: a crowd is no single box to learn."""
    return annotation.difficult or annotation.crowd


def count_losses(picture: Picture, report: Report, *, truncated: bool = True) -> None:
    """Counts what formats without COCO's fields cannot hold. truncated: that neither."""
    for one in picture.annotations:
        if one.crowd:
            report.lost["crowd marks (the boxes are kept as difficult)"] += 1
        if one.segmentation is not None:
            report.lost["outlines (segmentation)"] += 1
        width, height = to_pixels(one, picture.size)[2:]
        if one.area is not None and abs(one.area - width * height) > 1e-3 * width * height:
            report.lost["areas of objects that are not those of their boxes"] += 1
        if truncated and one.truncated:
            report.lost["truncated marks"] += 1


class LabelFolders:
    """Writes images/, labels/ and difficult/ of splits into a folder that will be moved to target."""

    def __init__(self, built: Path, target: Path, mode: str, rule: LabelRule) -> None:
        self.built, self.target, self.mode, self.rule = built, target, mode, rule
        self._stems = Stems()
        self.difficult: set[str] = set()  # folders that have some
        example = target / "images" / "train" / "x.jpg"
        if rule(str(example)) != str(target / "labels" / "train" / "x.txt"):
            raise DataError(
                f"{target}: Darknet would look for the labels of {example} in {rule(str(example))}: name a "
                "folder without 'images', 'JPEGImages' and 'raw' in its path"
            )

    def write(self, dataset: Dataset, split: str, folder: str) -> Iterator[str]:
        """Writes a split into folders of this name; gives the path that each picture will have."""
        for kind in ("images", "labels"):
            (self.built / kind / folder).mkdir(parents=True, exist_ok=True)
        for picture in dataset.pictures(split):
            image = self._write(picture, folder)
            count_losses(picture, dataset.report)
            yield str(image)

    def _write(self, picture: Picture, folder: str) -> Path:
        name = Path(picture.path)
        # What is claimed is the label file, so that x.jpg and x.png don't share one.
        stem, plain = self._stems.claim(self.built / "labels" / folder, name.stem, ".txt")
        image = self.target / "images" / folder / f"{stem}{name.suffix}"
        easy = label_lines([one for one in picture.annotations if not excused(one)])
        plain.write_text(easy, "utf-8")
        # Darknet replaces some words in file names, too: strawberry.jpg has its labels in stlabelsberry.txt.
        if (expected := self._place(self.rule(str(image)))) != plain:
            expected.write_text(easy, "utf-8")
        put_image(picture.path, self.built / "images" / folder / image.name, self.mode)
        hard = [one for one in picture.annotations if excused(one)]
        if hard:
            self.difficult.add(folder)
            self._place(self.rule(self.difficult_entry(str(image)))).write_text(label_lines(hard), "utf-8")
        return image

    def difficult_entry(self, image: str) -> str:
        """The path whose label file holds the difficult objects of an image."""
        return str(self.target / "difficult" / Path(image).relative_to(self.target))

    def fill_difficult(self, images: Iterator[str]) -> None:
        """Writes the empty files of pictures without difficult objects, which lists of all pictures need."""
        for image in images:
            self._place(self.rule(self.difficult_entry(image))).touch()

    def _place(self, path: str) -> Path:
        place = self.built / Path(path).relative_to(self.target)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

"""Result files of detectors, ours or others': measured against labels, and rescored by one another.

A folder holds VOC files, one per class (`image score left top right bottom`); a .json file is COCO's list of
results. result_files.py writes both.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import PathLike, keep_inputs, labels_of, read_text, write_whole
from ..errors import DataError
from ..evaluation import corners
from ..images import upright_size
from ..result_files import COCO_CATEGORIES, coco_image_id, image_name
from .boxes import Doubles, ImageBoxes, StoredBoxes
from .rescore import rescore

__all__ = ["image_boxes", "read_results", "rescore_files"]


@dataclass(frozen=True)
class Found:
    """A detection in a file. image: name or number. kind: file of its class, or number of its category. box:
    left, top, right, bottom. row: its line's words, or its object."""

    image: str
    kind: str
    box: tuple[float, ...]
    score: float
    row: Any


def read_results(path: PathLike) -> dict[str, list[Found]]:
    """The detections in a folder of VOC files (by file name) or in a COCO file (under ""), in their order.

    Raises DataError with file and line, or number of the object.
    """
    source = Path(path)
    if not source.is_dir():
        return {"": _read_coco(source)}
    files = sorted(source.glob("*.txt"))
    if not files:
        raise DataError(f"{source}: no result files (*.txt) in this folder")
    return {file.name: _read_voc(file) for file in files}


def _read_voc(file: Path) -> list[Found]:
    result = []
    for number, line in enumerate(read_text(file, "result file").split("\n"), 1):
        words = line.split()
        if not words:
            continue
        try:
            score, *box = map(float, words[1:])
        except ValueError:
            box = []
        if len(box) != 4 or not np.isfinite([score, *box]).all():
            raise DataError(f"{file}:{number}: expected image score left top right bottom, found {line!r}")
        result.append(Found(words[0], file.name, tuple(box), score, words))
    return result


def _read_coco(file: Path) -> list[Found]:
    text = read_text(file, "result file")
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise DataError(f"{file}: no JSON: {error}") from None
    if not isinstance(rows, list):
        raise DataError(f"{file}: expected a list of results, found {type(rows).__name__}")
    result = []
    for number, row in enumerate(rows):
        try:
            left, top, width, height = map(float, row["bbox"])
            found = (left, top, left + width, top + height)
            one = Found(str(row["image_id"]), str(row["category_id"]), found, float(row["score"]), row)
        except (KeyError, TypeError, ValueError):
            one = None
        if one is None or not np.isfinite([one.score, *one.box]).all():
            raise DataError(
                f"{file}: result {number}: expected image_id, category_id, bbox of four numbers and score, "
                f"found {str(row)[:80]}"
            )
        result.append(one)
    return result


def rescore_files(
    first: PathLike, second: PathLike, out: PathLike, *, iou: float = 0.5, weight: float = 1.0
) -> list[str]:
    """Writes the results of first to out, a file or a folder as first is, with the scores that rescore gives
    them in view of second's; gives the paths. VOC files belong together that have the same name."""
    mine, theirs = read_results(first), read_results(second)
    if Path(first).is_dir() != Path(second).is_dir():
        raise DataError(f"{first} and {second}: expected two folders of VOC files or two COCO files")
    if not set(mine) & set(theirs):
        raise DataError(f"{first} and {second}: no file is in both folders")
    targets = {name: Path(out, name) if name else Path(out) for name in mine}
    read = [Path(folder, name) for folder, files in ((first, mine), (second, theirs)) for name in files]
    keep_inputs([*targets.values()], read)
    scores = _rescored(mine, theirs, iou, weight)
    for name, target in targets.items():
        pairs = list(zip(mine[name], scores[name], strict=True))
        if name:
            lines = (f"{row.row[0]} {score:f} {' '.join(row.row[2:])}\n" for row, score in pairs)
            write_whole(target, "".join(lines))
        else:
            objects = ",\n".join(json.dumps({**row.row, "score": score}) for row, score in pairs)
            write_whole(target, f"[\n{objects}\n]\n")
    return [str(target) for target in targets.values()]


def _rescored(
    mine: Mapping[str, Sequence[Found]], theirs: Mapping[str, Sequence[Found]], iou: float, weight: float
) -> dict[str, Doubles]:
    """The new scores of every file, in its order."""
    kinds: dict[str, int] = {}
    sides: list[dict[str, list[tuple[str, int, Found]]]] = []
    for files in (mine, theirs):
        by_image = defaultdict(list)
        for name, rows in files.items():
            for place, row in enumerate(rows):
                kinds.setdefault(row.kind, len(kinds))
                by_image[row.image].append((name, place, row))
        sides.append(by_image)
    result = {name: np.array([row.score for row in rows], np.float64) for name, rows in mine.items()}
    for image, entries in sides[0].items():
        pair = [
            ImageBoxes(*_columns([row for _, _, row in side.get(image, [])], kinds), (), ()) for side in sides
        ]
        raised = rescore(pair[0], pair[1], iou=iou, weight=weight).scores
        for (name, place, _), score in zip(entries, raised.tolist(), strict=True):
            result[name][place] = score
    return result


def _columns(rows: Sequence[Found], kinds: Mapping[str, int]) -> tuple[list[Any], list[float], list[int]]:
    """Boxes, scores and classes."""
    return [row.box for row in rows], [row.score for row in rows], [kinds[row.kind] for row in rows]


def image_boxes(
    path: PathLike,
    images: Sequence[str],
    names: Sequence[str],
    *,
    one_based: bool = True,
    difficult: Sequence[str] | None = None,
) -> StoredBoxes:
    """The results in a folder of VOC files or in a COCO file together with the labels of images, for the
    measures of this package.

    names: of the classes, which end the names of VOC files. one_based: VOC files count pixels from 1, as
    `detector valid` writes them. difficult: for each image a path whose labels are objects that need not be
    found. Results of other images are left out. Raises DataError.
    """
    files = read_results(path)
    coco = "" in files
    found: dict[str, list[Found]] = defaultdict(list)
    for entries in files.values():
        for entry in entries:
            found[entry.image].append(entry)
    kinds = _coco_kinds(files[""], names) if coco else {file: _class_of_file(file, names) for file in files}
    keys = [str(coco_image_id(image)) if coco else image_name(image) for image in images]
    if found and not set(keys) & set(found):
        raise DataError(f"{path}: no result is about one of the {len(images)} images (such as {keys[0]})")
    classes, result = len(names), StoredBoxes()
    hard = labels_of(difficult, classes) if difficult else [np.empty((0, 5), np.float32)] * len(images)
    for image, key, labels, more in zip(images, keys, labels_of(images, classes), hard, strict=True):
        size = np.tile(upright_size(image), 2)
        rows = np.concatenate([labels, more]).astype(np.float64)
        one = ImageBoxes(
            *_columns(found.get(key, []), kinds),
            corners(rows) * size,
            rows[:, 0].astype(np.int64),
            difficult=np.arange(len(rows)) >= len(labels),
        )
        if one_based and not coco:
            one.boxes -= one.boxes < size  # an edge at the picture's end was not moved
        result.add(one)
    return result


def _coco_kinds(rows: Sequence[Found], names: Sequence[str]) -> dict[str, int]:
    known = {str(number): k for k, number in enumerate(COCO_CATEGORIES[: len(names)])}
    for one in rows:
        if one.kind not in known:
            raise DataError(f"image {one.image}: category {one.kind} is none of the {len(names)} classes")
    return known


def _class_of_file(file: str, names: Sequence[str]) -> int:
    stem = file.removesuffix(".txt")
    written = [name.replace("/", "_").replace("\\", "_") for name in names]
    fitting = [k for k, name in enumerate(written) if stem.endswith(name)]
    if not fitting:
        raise DataError(f"{file}: the name of this result file ends with none of the {len(names)} classes")
    return max(fitting, key=lambda k: len(written[k]))

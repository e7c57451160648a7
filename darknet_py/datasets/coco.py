"""COCO's instances files: JSON with images, annotations (boxes as left, top, width, height in pixels) and
categories."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ..data import read_text
from ..errors import DataError, DataNotFoundError
from .output import IMAGE_MODES, Stems, check_mode, finish, put_image, whole_folder
from .records import (
    SPLIT_FOLDERS,
    SPLIT_NAMES,
    Annotation,
    Dataset,
    PathLike,
    Picture,
    Pictures,
    Report,
    check_names,
    from_pixels,
    require,
    sized,
    stated_size_fits,
    to_pixels,
)

Row = dict[str, Any]


def read_coco(
    source: PathLike,
    *,
    images: PathLike | None = None,
    verify: str = "full",
    most_bad: float = 0.1,
) -> Dataset:
    """The data set of an instances file, or of the folder with some (also in annotations/).

    images: the folder of the pictures; by default they are looked for beside the file, above it, and in
    images/ and in folders named like the split. A file is read as a whole. verify, most_bad: as in
    read_darknet. Raises DataError.
    """
    report, path = Report(most_bad), Path(source)
    files = coco_files(path) if path.is_dir() else [path]
    if not files:
        raise DataNotFoundError(f"{path}: no .json file of instances, neither here nor in annotations/")
    categories: list[Row] | None = None
    splits: dict[str, Pictures] = {}
    for file in files:
        found = _categories(_load(file), file)
        if categories is not None and found != categories:
            raise DataError(f"{file}: not the categories of {files[0]}")
        categories = found
        split = split_of(file)
        if split in splits:
            raise DataError(f"{file}: a second file for {split}; convert one by one")
        splits[split] = _reader(file, categories, Path(images) if images else None, verify, report)
    assert categories is not None
    names = check_names([str(row["name"]) for row in categories], files[0])
    return Dataset(names, "detection", splits, report, tuple(row["id"] for row in categories))


def coco_files(folder: Path) -> list[Path]:
    """The instances files in a folder or its annotations/; COCO's captions and keypoints are none."""
    found = [one for place in (folder, folder / "annotations") for one in sorted(place.glob("*.json"))]
    instances = [one for one in found if one.name.startswith("instances")]
    return instances or found


def split_of(file: Path) -> str:
    """The split that a file's name tells, or that of its folder; else train."""
    for text in (file.stem.lower(), file.parent.name.lower()):
        for word, split in SPLIT_NAMES.items():
            if word in text:
                return split
    return "train"


def _load(path: Path) -> Row:
    try:
        content = json.loads(read_text(path, "COCO file"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: no JSON: {error.msg}") from None
    except RecursionError:
        raise DataError(f"{path}: nested too deep") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object with images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        rows = content.get(key)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{path}: expected a list of objects under {key!r}")
    return content


def _categories(content: Row, path: Path) -> list[Row]:
    rows = content["categories"]
    for row in rows:
        if not isinstance(row.get("id"), int) or not isinstance(row.get("name"), str):
            raise DataError(f"{path}: a category without id and name: {json.dumps(row)[:80]}")
    ordered = sorted(
        ({"id": row["id"], "name": row["name"].strip()} for row in rows), key=lambda row: row["id"]
    )
    if len({row["id"] for row in ordered}) != len(ordered):
        raise DataError(f"{path}: two categories have the same id")
    return ordered


def _reader(path: Path, categories: list[Row], folder: Path | None, verify: str, report: Report) -> Pictures:
    index = {row["id"]: i for i, row in enumerate(categories)}

    def pictures() -> Iterator[Picture]:
        content = _load(path)
        objects: dict[Any, list[Row]] = defaultdict(list)
        for row in content.pop("annotations"):
            objects[_key(row.get("image_id"))].append(row)
        finder = _Finder(path, folder)
        for row in content["images"]:
            number, name = _key(row.get("id")), row.get("file_name")
            mine = objects.pop(number, [])
            place = f"{path}: image {row.get('id')}"
            if not isinstance(name, str) or not name:
                report.totals["pictures"] += 1
                report.problem("pictures", f"{place}: no file_name")
                continue
            image = finder.find(name)
            size = sized(image, verify, report, place)
            if size is None or not _fits(row, size, report, place):
                continue
            found = []
            for one in mine:
                report.totals["annotations"] += 1
                try:
                    found.append(_annotation(one, index, size))
                except ValueError as error:
                    report.problem("annotations", f"{path}: annotation {one.get('id')}: {error}")
            yield Picture(image, size, tuple(found), number=number if isinstance(number, int) else None)
        for number, rows in objects.items():
            for one in rows:
                report.totals["annotations"] += 1
                report.problem(
                    "annotations", f"{path}: annotation {one.get('id')}: there is no image {number}"
                )

    return pictures


def _key(value: Any) -> Any:
    return value if isinstance(value, (int, str)) else None


def _fits(row: Row, size: tuple[int, int], report: Report, place: str) -> bool:
    width, height = row.get("width"), row.get("height")
    if not isinstance(width, int) or not isinstance(height, int) or width <= 0 or height <= 0:
        return True
    return stated_size_fits((width, height), size, report, place)


def _annotation(row: Row, index: dict[Any, int], size: tuple[int, int]) -> Annotation:
    box, kind = row.get("bbox"), _key(row.get("category_id"))
    if kind not in index:
        raise ValueError(f"there is no category {row.get('category_id')!r}")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, (int, float)) for v in box):
        raise ValueError(f"expected bbox [left, top, width, height], found {json.dumps(box)[:80]}")
    left, top, width, height = (float(value) for value in box)
    area = row.get("area")
    known = isinstance(area, (int, float)) and math.isfinite(area)
    return from_pixels(
        index[kind],
        (left, top, left + width, top + height),
        size,
        difficult=bool(row.get("difficult") or row.get("ignore")),
        crowd=bool(row.get("iscrowd")),
        truncated=bool(row.get("truncated")),
        area=float(area) if known and area is not None else None,
        segmentation=row.get("segmentation") or None,
    )


class _Finder:
    """Where the pictures of a file lie; the folder that worked last is tried first."""

    def __init__(self, path: Path, folder: Path | None) -> None:
        split = split_of(path)
        words = [word for word, known in SPLIT_NAMES.items() if known == split]
        ends = path.stem.rpartition("_")[2]
        below = ["", *words, ends, "images", *(f"images/{word}" for word in (*words, ends))]
        bases = [folder] if folder else [path.parent, path.parent.parent]
        self._folders = [base / one for base in bases for one in below]

    def find(self, name: str) -> str:
        for folder in self._folders:
            if os.path.exists(found := folder / name):  # noqa: PTH110 - a name too long is no error
                self._folders.remove(folder)
                self._folders.insert(0, folder)
                return str(found)
        return str(self._folders[0] / name)


# ---- writing ---------------------------------------------------------------------------------------------


def write_coco(dataset: Dataset, folder: PathLike, *, images: str = "reference") -> Path:
    """Writes annotations/instances_SPLIT.json into a new folder; returns the path of annotations/.

    images: "reference" writes where they are, "link" and "copy" put them into images/SPLIT/. Ids of a COCO
    source are kept, otherwise they count from 1. Raises DataError, and then leaves nothing behind.
    """
    check_mode(images, IMAGE_MODES, "COCO files")
    require(dataset, "detection", "COCO files")
    with whole_folder(folder) as (built, target):
        (built / "annotations").mkdir()
        writer = _Writer(dataset, built, images)
        for split in dataset.splits:
            writer.write(split)
        finish(dataset.report, built)
    return target / "annotations"


class _Writer:
    def __init__(self, dataset: Dataset, built: Path, mode: str) -> None:
        self.dataset, self.built, self.mode = dataset, built, mode
        self.ids = dataset.category_ids or tuple(range(1, len(dataset.names) + 1))
        self._stems = Stems()

    def write(self, split: str) -> None:
        folder = SPLIT_FOLDERS[split]
        if self.mode != "reference":
            (self.built / "images" / folder).mkdir(parents=True)
        path = self.built / "annotations" / f"instances_{folder}.json"
        categories = [{"id": i, "name": name} for i, name in zip(self.ids, self.dataset.names, strict=True)]
        # Images and annotations come together but stand apart in the file: the latter wait in another one.
        with path.open("w", encoding="utf-8") as file, tempfile.TemporaryFile("w+", dir=self.built) as later:
            file.write(f'{{"categories": {json.dumps(categories)},\n"images": [')
            self._rows(split, folder, file, later)
            file.write('],\n"annotations": [')
            later.seek(0)
            shutil.copyfileobj(later, file)
            file.write("]}\n")

    def _rows(self, split: str, folder: str, file: TextIO, later: TextIO) -> None:
        count = annotations = 0
        for count, picture in enumerate(self.dataset.pictures(split), 1):
            number = picture.number if picture.number is not None else count
            row = {
                "id": number,
                "file_name": self._name(picture, folder),
                "width": picture.size[0],
                "height": picture.size[1],
            }
            file.write(("," if count > 1 else "") + "\n" + json.dumps(row))
            for one in picture.annotations:
                annotations += 1
                content = {"id": annotations, "image_id": number, **self._object(one, picture.size)}
                later.write(("," if annotations > 1 else "") + "\n" + json.dumps(content))

    def _name(self, picture: Picture, folder: str) -> str:
        source = Path(picture.path)
        if self.mode == "reference":
            return str(source.resolve())
        _, place = self._stems.claim(self.built / "images" / folder, source.stem, source.suffix)
        place.unlink()
        put_image(picture.path, place, self.mode)
        return place.name

    def _object(self, one: Annotation, size: tuple[int, int]) -> Row:
        box = to_pixels(one, size)
        row: Row = {
            "category_id": self.ids[one.class_id],
            "bbox": list(box),
            "area": one.area if one.area is not None else round(box[2] * box[3], 6),
            "iscrowd": int(one.crowd),
        }
        if one.segmentation is not None:
            row["segmentation"] = one.segmentation
        if one.difficult:
            row |= {"difficult": 1, "ignore": 1}
        if one.truncated:
            row["truncated"] = 1
        return row

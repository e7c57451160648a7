"""Pictures for classification: a folder per class, in folders per split or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DataError, DataNotFoundError
from ..names import read_names
from .darknet import write_classes
from .output import IMAGE_MODES, check_mode, finish, whole_folder
from .records import (
    SPLIT_FOLDERS,
    SPLIT_NAMES,
    Dataset,
    PathLike,
    Picture,
    Pictures,
    Report,
    check_names,
    require,
    sized,
)
from .yolo import walk_images


def read_class_folders(
    source: PathLike, *, names: Sequence[str] | None = None, verify: str = "full", most_bad: float = 0.1
) -> Dataset:
    """The data set of a folder CLASS/NAME.jpg, or train/CLASS/NAME.jpg, val/CLASS/NAME.jpg and so on.

    names: by default those of the only .names file in the folder, else the folders', sorted. verify,
    most_bad: as in read_darknet. Raises DataError.
    """
    report, root = Report(most_bad), Path(source)
    places = split_folders(root)
    found = sorted({one.name for place in places.values() for one in _folders(place)})
    if not found:
        raise DataNotFoundError(f"{root}: no folders of classes here")
    stored = list(root.glob("*.names"))
    if names is None:
        names = read_names(stored[0]) if len(stored) == 1 else found
    known = check_names(names, root)
    strange = [name for name in found if name not in known]
    if strange:
        raise DataError(f"{root}: the folder {strange[0]!r} is none of the {len(known)} names")
    splits = {split: _reader(place, known, verify, report) for split, place in places.items()}
    return Dataset(known, "classification", splits, report)


def split_folders(root: Path) -> dict[str, Path]:
    """The folders of the splits; without any, the folder itself is train."""
    found = {SPLIT_NAMES[one.name.lower()]: one for one in _folders(root) if one.name.lower() in SPLIT_NAMES}
    return found or {"train": root}


def _folders(place: Path) -> list[Path]:
    if not place.is_dir():
        raise DataNotFoundError(f"{place}: no such folder")
    return sorted(one for one in place.iterdir() if one.is_dir() and not one.name.startswith("."))


def _reader(place: Path, names: Sequence[str], verify: str, report: Report) -> Pictures:
    def pictures() -> Iterator[Picture]:
        for kind, name in enumerate(names):
            for _, image in walk_images(place / name):
                if (size := sized(image, verify, report, str(place))) is not None:
                    yield Picture(image, size, class_id=kind)

    return pictures


def write_class_folders(dataset: Dataset, folder: PathLike, *, images: str = "link") -> Path:
    """Writes train/CLASS/NAME.jpg and so on into a new folder; returns the folder.

    images: "link" or "copy". Raises DataError, and then leaves nothing behind.
    """
    check_mode(images, IMAGE_MODES[:2], "Folders of classes")
    require(dataset, "classification", "folders of classes")
    with whole_folder(folder) as (built, target):
        for split in dataset.splits:
            for _ in write_classes(dataset, split, SPLIT_FOLDERS[split], built, target, images):
                pass
        finish(dataset.report, built)
        (built / "classes.names").write_text("".join(f"{one}\n" for one in dataset.names), "utf-8")
    return target

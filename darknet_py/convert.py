"""Turns published data sets (an .npz of digits, a .zip of class folders) into files that Darknet trains on.

The result is a folder with train/ and valid/ pictures, train.txt, valid.txt, labels.txt (strings that mark
the class in a path), NAME.names and NAME.data. It is built aside and moved into place, or not at all.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from .data import IMAGE_SUFFIXES
from .datasets.output import whole_folder
from .errors import DataError, DataNotFoundError
from .progress import Bar

__all__ = ["convert"]

MOST_IMAGE_BYTES = 64 << 20
SPLITS = {"train": "train", "test": "valid", "valid": "valid", "val": "valid"}


def convert(source: str | os.PathLike[str], folder: str | os.PathLike[str], *, quiet: bool = False) -> Path:
    """Converts source into a new folder; returns the path of its .data file. Raises DataError.

    source: an .npz (train_images, train_labels, test_images, test_labels), or a .zip (train/CLASS/...,
    test/CLASS/...).
    """
    path, target = Path(source), Path(folder).resolve()
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such file")
    kinds = {".npz": _from_npz, ".zip": _from_zip}
    if path.suffix.lower() not in kinds:
        raise DataError(f"{path}: expected an .npz or a .zip file")
    with whole_folder(target) as (built, _):
        labels, names, files = kinds[path.suffix.lower()](path, built, quiet)
        _write_lists(built, target, path.stem, labels, names, files)
    return target / f"{path.stem}.data"


Found = tuple[list[str], list[str], dict[str, list[str]]]  # labels, names, relative paths by split


def _write_lists(
    built: Path, target: Path, name: str, labels: list[str], names: list[str], files: dict[str, list[str]]
) -> None:
    for split, paths in files.items():
        lines = "".join(f"{target / path}\n" for path in paths)
        (built / f"{split}.txt").write_text(lines, "utf-8", "surrogateescape")
    (built / "labels.txt").write_text("".join(f"{label}\n" for label in labels), "utf-8")
    (built / f"{name}.names").write_text("".join(f"{one}\n" for one in names), "utf-8")
    # A .data file loses all spaces when it is read, so a folder with spaces is named relative to the file.
    base = "" if any(c.isspace() or c == "#" for c in str(target)) else f"{target}/"
    (built / f"{name}.data").write_text(
        f"classes = {len(labels)}\ntrain = {base}train.txt\nvalid = {base}valid.txt\n"
        f"labels = {base}labels.txt\n"
        f"names = {base}{name}.names\nbackup = {base}backup\ntop = {min(5, len(labels))}\n",
        "utf-8",
    )


# ---- an .npz of arrays ---------------------------------------------------------------------------------


def _arrays(path: Path) -> Iterator[tuple[str, npt.NDArray[np.uint8], npt.NDArray[Any]]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            known = {key.lower(): key for key in archive.files}
            for split, stem, short in (("train", "train", "train"), ("valid", "test", "test")):
                images = known.get(f"{stem}_images") or known.get(f"x_{short}")
                labels = known.get(f"{stem}_labels") or known.get(f"y_{short}")
                if not images or not labels:
                    raise DataError(
                        f"{path}: expected arrays train_images, train_labels, test_images and test_labels, "
                        f"found {', '.join(archive.files) or 'none'}"
                    )
                yield split, archive[images], archive[labels].reshape(-1)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: no usable .npz file: {error}") from error


def _from_npz(path: Path, built: Path, quiet: bool) -> Found:
    from PIL import Image

    files: dict[str, list[str]] = {}
    classes = 0
    for split, images, labels in _arrays(path):
        shape_ok = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
        if images.dtype != np.uint8 or not shape_ok or len(images) == 0 or len(images) != len(labels):
            raise DataError(
                f"{path}: expected uint8 pictures (n, h, w[, 3]) and n labels for {split}, "
                f"found {images.dtype} {images.shape} and {labels.shape}"
            )
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 9999:
            raise DataError(f"{path}: the labels for {split} are not class numbers 0..9999")
        classes = max(classes, int(labels.max()) + 1)
        (built / split).mkdir()
        files[split] = []
        with Bar(f"writing {split}", len(images), quiet=quiet) as bar:
            for i, (pixels, label) in enumerate(zip(images, labels, strict=True)):
                relative = f"{split}/{i + 1:05d}_c{int(label)}.png"
                Image.fromarray(pixels).save(built / relative, compress_level=1)
                files[split].append(relative)
                bar.update(i + 1)
    # With the full stop, "_c1." is no part of "_c10.".
    return [f"_c{k}." for k in range(classes)], [str(k) for k in range(classes)], files


# ---- a .zip of folders ------------------------------------------------------------------------------------


def _from_zip(path: Path, built: Path, quiet: bool) -> Found:
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(path, archive)
            names = sorted({kind for _, _, kind, _ in members})
            files: dict[str, list[str]] = {"train": [], "valid": []}
            with Bar("writing", len(members), quiet=quiet) as bar:
                for done, (info, split, kind, name) in enumerate(members, 1):
                    relative = f"{split}/{kind}/{name}"
                    place = built / relative
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(archive.read(info))
                    files[split].append(relative)
                    bar.update(done)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: no usable .zip file: {error}") from error
    if not files["train"]:
        raise DataError(f"{path}: no pictures under train/CLASS/")
    return [f"/{name}/" for name in names], names, files


def _members(path: Path, archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, str, str, str]]:
    """The pictures in the archive: member, split, class and file name, in order of their names.

    Only the last three parts of a member's name are used, each checked, so nothing can be written elsewhere.
    """
    found = []
    for info in archive.infolist():
        parts = PurePosixPath(info.filename.replace("\\", "/")).parts
        if info.is_dir() or len(parts) < 3 or not parts[-1].lower().endswith(IMAGE_SUFFIXES):
            continue
        if ".." in parts or parts[0].startswith("/") or ":" in parts[0]:
            raise DataError(
                f"{path}: the member {info.filename!r} points outside the archive; nothing was written"
            )
        split, kind, name = parts[-3].lower(), parts[-2], parts[-1]
        if split not in SPLITS or kind.startswith(".") or name.startswith("."):
            continue
        if any(c in "\r\n\0" for c in kind + name):
            raise DataError(f"{path}: the member {info.filename!r} has a line break in its name")
        if info.file_size > MOST_IMAGE_BYTES:
            raise DataError(
                f"{path}: {info.filename} has {info.file_size} bytes, more than {MOST_IMAGE_BYTES}"
            )
        found.append((info, SPLITS[split], kind, name))
    if not found:
        raise DataError(f"{path}: no pictures train/CLASS/NAME.jpg or test/CLASS/NAME.jpg in this archive")
    return sorted(found, key=lambda member: member[1:])

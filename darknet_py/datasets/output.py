"""How results are put down: a folder built aside and moved into place, and picture files in it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ArgumentError, DarknetError, DataError, DataFileError
from .records import PathLike, Report

IMAGE_MODES = ("link", "copy", "reference")


@contextmanager
def whole_folder(folder: PathLike) -> Iterator[tuple[Path, Path]]:
    """An empty folder to fill, and the place it will have: moved there at the end, or removed after an error.

    Raises DataError if the place is taken.
    """
    target = Path(folder).resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} exists and is not empty: name a new folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            built = Path(scratch) / "built"
            built.mkdir()
            yield built, target
            built.replace(target)
    except OSError as error:
        if isinstance(error, DarknetError):
            raise
        raise DataFileError(f"{target}: cannot write: {error.strerror or error}") from error


def finish(report: Report, built: Path) -> None:
    """Judges the reading, and writes problems.txt if some of it was wrong."""
    report.judge()
    if report.bad:
        with (built / "problems.txt").open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{line}\n" for line in report.problems())


def put_image(source: str, place: Path, mode: str) -> None:
    """Makes a picture file appear at place. mode: "link" (symbolic) or "copy"."""
    if mode == "copy":
        shutil.copyfile(source, place)
    else:
        place.symlink_to(Path(source).resolve())


def check_mode(mode: str, allowed: tuple[str, ...], target: str) -> None:
    """Raises ArgumentError if a format cannot have its pictures that way."""
    if mode not in IMAGE_MODES:
        raise ArgumentError(f"images: expected {', '.join(IMAGE_MODES)}, found {mode!r}")
    if mode not in allowed:
        raise ArgumentError(f"{target} find labels by the place of the picture: use {' or '.join(allowed)}")


class Stems:
    """File names that are new in a folder: x, then x-2, x-3 ... The folder is the memory."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], int] = {}

    def claim(self, folder: Path, name: str, suffix: str) -> tuple[str, Path]:
        """A stem after name, and the new empty file stem + suffix in folder."""
        stem = re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029/]", "_", name).strip() or "picture"
        key = (str(folder), stem)
        number = self._last.get(key, 1)
        while True:
            unique = stem if number == 1 else f"{stem}-{number}"
            place = folder / f"{unique}{suffix}"
            if not os.path.lexists(place):
                place.touch(exist_ok=False)
                if number > 1:
                    self._last[key] = number
                return unique, place
            number += 1

"""The figures of a training run in files: NAME_metrics.jsonl and .csv, a line per update and per score."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .data import write_whole
from .errors import DataFileError

__all__ = ["Metrics", "Step", "check_free", "read_metrics"]

COLUMNS = (
    "iteration",
    "loss",
    "average",
    "rate",
    "seconds",
    "waited",
    "images",
    "images_per_second",
    "score",
)


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of a NAME_metrics.jsonl; one that a killed run left half written is passed over."""
    result = []
    for line in Path(path).read_text("utf-8", "replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("iteration"), int):
            result.append(row)
    return result


def check_free(stem: Path) -> None:
    """Raises DataFileError while another run, of this process or another, writes the figures of this stem."""
    path = stem.with_name(f"{stem.name}.jsonl")
    with suppress(FileNotFoundError), path.open("rb") as file:
        _lock(file, path)


def _lock(file: BinaryIO, path: Path) -> None:
    """Holds a file until it is closed, or until the process is gone."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataFileError(
            f"{path}: another run is writing this file and the checkpoints beside it: wait until it has "
            "ended, or give another folder for checkpoints (-backup)"
        ) from None
    except OSError:
        return  # this file system has no locks


@dataclass(frozen=True)
class Step:
    """One update. images: seen so far; seconds: this update took; waited: those of them without a batch."""

    iteration: int
    loss: float
    average: float
    rate: float
    seconds: float
    waited: float
    images: int


class Metrics:
    """Appends to the files `stem`.jsonl and .csv, line by line.

    after: a resumed run's updates so far: lines of later ones, which will be made again, are removed; None
    starts new files. more: another .csv file with the same lines.
    """

    def __init__(self, stem: Path, *, after: int | None = None, more: Path | None = None) -> None:
        self.path = stem.with_name(f"{stem.name}.jsonl")
        tables = [stem.with_name(f"{stem.name}.csv"), *([more] if more is not None else [])]
        header = ",".join(COLUMNS) + "\n"
        check_free(stem)
        rows = read_metrics(self.path) if after is not None and self.path.exists() else []
        rows = [row for row in rows if row["iteration"] <= (after or 0)]
        write_whole(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        for table in tables:
            write_whole(table, header + _kept(table, after))
        self._document = _appending(self.path)
        _lock(self._document, self.path)
        self._tables = [_appending(table) for table in tables]

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, *ignored: object) -> None:
        for file in (self._document, *self._tables):
            file.close()

    def update(self, step: Step, per_update: int) -> None:
        """One update of so many images."""
        speed = round(per_update / max(step.seconds, 1e-9), 1)
        values = (
            step.iteration,
            *(float(f"{value:.6g}") for value in (step.loss, step.average, step.rate)),
            round(step.seconds, 4),
            round(step.waited, 4),
            step.images,
            speed,
        )
        self._row(*values, "")
        self._line(dict(zip(COLUMNS[:-1], values, strict=True)))

    def score(self, done: int, name: str, value: float) -> None:
        """A figure of the validation images."""
        self._row(done, *[""] * (len(COLUMNS) - 2), f"{value:.6f}")
        self._line({"iteration": done, "score": round(value, 6), "name": name})

    def skipped(self, done: int, reason: str, images: Sequence[str]) -> None:
        """An update that was not made, and the images of its batch."""
        self._line({"iteration": done, "not_finite": reason, "batch": list(images)})

    def _row(self, *values: object) -> None:
        for table in self._tables:
            _write(table, ",".join(str(value) for value in values) + "\n")

    def _line(self, row: dict[str, Any]) -> None:
        _write(self._document, json.dumps(row, ensure_ascii=False) + "\n")


def _kept(table: Path, after: int | None) -> str:
    """The lines of a table that a resumed run keeps."""
    if after is None or not table.exists():
        return ""
    lines = table.read_text("utf-8", "replace").split("\n")[1:-1]  # what follows the last line's end is torn
    return "".join(f"{line}\n" for line in lines if _number(line) <= after)


def _number(line: str) -> float:
    first = line.partition(",")[0]
    return int(first) if first.isdecimal() else math.inf


def _appending(path: Path) -> BinaryIO:
    # Unbuffered: a line is there as soon as it is written, and a full disk is noticed at once.
    return path.open("ab", buffering=0)


def _write(file: BinaryIO, text: str) -> None:
    try:
        raw = text.encode("utf-8", "surrogateescape")
        while raw:
            raw = raw[file.write(raw) :]
    except OSError as error:
        raise DataFileError(f"{file.name}: cannot write: {error.strerror or error}") from error

"""What evaluation holds of each box, and that it holds nothing of each file that it writes."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darknet_py import result_files
from darknet_py.metrics import ImageBoxes, measure


def peak(work: Callable[[], object]) -> int:
    """Bytes of Python and numpy at their most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Repeated(Sequence[Any]):
    """One picture, many times."""

    def __init__(self, image: ImageBoxes, count: int) -> None:
        self.image, self.count = image, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError

    def __iter__(self) -> Iterator[ImageBoxes]:
        return (self.image for _ in range(self.count))


def test_figures_hold_some_numbers_of_each_box() -> None:
    rng, boxes = np.random.default_rng(0), 50
    corner = rng.random((boxes, 2)) * 400
    found = np.concatenate([corner, corner + 20 + rng.random((boxes, 2)) * 80], 1)
    image = ImageBoxes(found, rng.random(boxes), rng.integers(0, 4, boxes), found[:1] + 2, [3])
    few, many = (peak(lambda count=count: measure(Repeated(image, count), "abcd")) for count in (10, 60))
    assert (many - few) / (50 * boxes) < 90


def test_a_file_for_each_picture_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_files, "BUFFER", 8192)
    monkeypatch.setattr(os, "fsync", lambda number: None)

    def written(count: int) -> None:
        with result_files.ResultFiles(tmp_path / str(count)) as files:
            for i in range(count):
                files.write(f"{i:0100d}.txt")
        assert len(files.paths) == sum(1 for _ in os.scandir(tmp_path / str(count))) == count

    # The names alone would take a quarter of a megabyte more; 64 KiB of them wait to be written.
    assert peak(lambda: written(2000)) - peak(lambda: written(100)) < 150_000

"""What several Python tests share: the reference's golden vectors, and small networks to play with."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import darknet_py
from darknet_py.logs import logger


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Child processes import the package that the tests do, which may be installed.

    The sources in the working directory would come first, and have no compiled core then.
    """
    before = Path.cwd()
    os.environ["PYTHONPATH"] = str(Path(darknet_py.__file__).resolve().parent.parent)
    os.chdir(tmp_path_factory.mktemp("work"))
    yield
    os.chdir(before)


@pytest.fixture(autouse=True)
def _as_loud_as_before() -> Iterator[None]:
    """The command line with -q keeps the package's logger quiet."""
    before = logger.level
    yield
    logger.setLevel(before)


TINY_CFG = """
[net]
width=32
height=24
channels=3
batch=2
subdivisions=1
learning_rate=0.01

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
filters=16
size=1
stride=1
activation=linear

[yolo]
mask=0,1
anchors=4,5, 10,12
classes=3
num=2
"""

#: A detector of the eight shapes that synth draws, of one layer.
SHAPES_CFG = """
[net]
batch=4
width=32
height=32
channels=3
learning_rate=.001
max_batches=4
[convolutional]
filters=26
size=3
stride=8
pad=1
activation=linear
[yolo]
mask=0,1
anchors=5,5, 10,10
classes=8
num=2
"""

CLASSIFIER_CFG = """
[net]
width=16
height=16
channels=3
batch=2

[convolutional]
filters=4
size=3
pad=1
activation=relu

[avgpool]

[softmax]
"""


class Golden:
    """One case of the golden vectors: its description and its arrays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description: dict[str, Any] = json.loads((self.folder / "case.json").read_text("utf-8"))
        with np.load(self.folder / "case.npz") as arrays:
            self.arrays: dict[str, np.ndarray] = {key: arrays[key] for key in arrays.files}


@pytest.fixture(scope="session")
def golden() -> Any:
    """A function from the name of a golden case to a Golden; skips where that case is not installed."""
    from golden import find_cases

    cases = find_cases()

    def find(name: str) -> Golden:
        if name not in cases:
            pytest.skip(f"no golden case {name} (DARKNET_SHARED names the folder with all of them)")
        return Golden(cases[name])

    return find


@pytest.fixture
def picture() -> np.ndarray:
    """Random pixels, uint8 (h, w, 3), wider than high."""
    return np.random.default_rng(1).integers(0, 256, (60, 100, 3), np.uint8)


@pytest.fixture
def detector() -> Any:
    """A tiny detector with random weights and the class names a, b, c."""
    import darknet_py as dn

    with dn.Network.from_string(TINY_CFG, names=["a", "b", "c"], seed=3) as net:
        # As in Darknet, the rolling variance of an untrained network is 0, which makes every output huge.
        net.set_param(0, "rolling_variance", np.ones(8, np.float32))
        yield net


@pytest.fixture
def classifier() -> Any:
    """A tiny classifier of four classes with random weights."""
    import darknet_py as dn

    with dn.Network.from_string(CLASSIFIER_CFG, names=["n", "e", "s", "w"], seed=3) as net:
        yield net


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many golden cases of each group are met, and why not."""
    counts: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.getreports(outcome):
            for key, value in getattr(report, "user_properties", ()):  # a module skipped whole has none
                if key == "golden":
                    group, status = value
                    counts.setdefault(group, Counter())["failed" if outcome == "failed" else status] += 1
    if not counts:
        return
    columns = ("met", "failed", "twin met", "exception")
    terminalreporter.section("golden cases")
    terminalreporter.write_line(f"{'':12}" + "".join(f"{column:>15}" for column in columns))
    counts["together"] = sum(counts.values(), Counter())
    for group, count in counts.items():
        terminalreporter.write_line(f"{group:12}" + "".join(f"{count[column]:15}" for column in columns))

"""Training runs against themselves: with other numbers of threads, and resumed from a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import darknet_py as dn

RUN_CFG = """
[net]
batch=4
subdivisions=2
width=40
height=32
channels=3
learning_rate=.002
{}
[convolutional]
batch_normalize=1
filters=12
size=3
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
batch_normalize=1
filters=24
size=3
stride=2
pad=1
activation=mish
[convolutional]
batch_normalize=1
filters=24
size=3
pad=1
groups=24
activation=swish
[shortcut]
from=-2
activation=linear
[dropout]
probability=.3
[convolutional]
filters=16
size=1
activation=linear
[yolo]
mask=0,1
anchors=4,5, 10,12
classes=3
num=2
"""


def run_steps(trainer: dn.Trainer, first: int, last: int) -> list[float]:
    costs = []
    for step in range(first, last):
        random = np.random.default_rng(step)
        x = random.random(trainer.network.input_shape, np.float32)
        truth = np.zeros((len(x), 90, 5), np.float32)
        truth[:, :2, :4] = random.uniform(0.2, 0.8, (len(x), 2, 4))
        truth[:, :2, 4] = random.integers(0, 3, (len(x), 2))
        costs.append(trainer.step(x, truth))
    return costs


@pytest.mark.parametrize("options", ["", "adam=1"])
def test_a_run_does_not_depend_on_the_number_of_threads(options: str, tmp_path: Path) -> None:
    files, costs = [], []
    for threads in (1, 2, 3):
        net = dn.Network.from_string(RUN_CFG.format(options), seed=7, threads=threads)
        with net, dn.Trainer(net, seed=3, threads=threads) as trainer:
            costs.append(run_steps(trainer, 0, 6))
            net.save_weights(tmp_path / "x.weights")
            files.append((tmp_path / "x.weights").read_bytes())
    assert costs[0] == costs[1] == costs[2]
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("options", ["", "adam=1", "burn_in=5\npolicy=random"])
def test_a_resumed_run_continues_bit_for_bit(options: str, tmp_path: Path) -> None:
    """Saved between two subdivisions: accumulated gradients, momentum, moments and random state all count."""
    with dn.Network.from_string(RUN_CFG.format(options), seed=7) as net, dn.Trainer(net, seed=3) as trainer:
        run_steps(trainer, 0, 3)
        trainer.save(tmp_path / "half")
        costs = run_steps(trainer, 3, 8)
        trainer.save(tmp_path / "whole")
    with dn.Trainer.load(tmp_path / "half") as resumed:
        assert run_steps(resumed, 3, 8) == costs
        resumed.save(tmp_path / "resumed")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()

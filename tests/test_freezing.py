"""Keys that keep parameters as they are in training: for good, for a while, some, or within limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import darknet_py as dn

NET = "[net]\nwidth=6\nheight=5\nchannels=3\nbatch=2\nsubdivisions=2\nlearning_rate=.5\nburn_in=2\npower=1\n"
CONV = "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"
LAST = "[convolutional]\nfilters=2\n[avgpool]\n[softmax]\n"


def moved(options: str, updates: int, net: str = NET) -> list[set[str]]:
    """Names of the second layer's parameters that each update changed."""
    random = np.random.default_rng(0)
    with dn.Network.from_string(f"{net}{CONV}{CONV}{options}\n{LAST}", strict=True, seed=1) as network:
        with dn.Trainer(network) as trainer:
            changes, before = [], network.layers[1].params
            for _ in range(updates):
                for _ in range(2):
                    trainer.step(random.random((1, 3, 5, 6), np.float32), np.eye(2, dtype=np.float32)[:1])
                after = network.layers[1].params
                changes.append({name for name, values in after.items() if (values != before[name]).any()})
                before = after
        return changes


ROLLING = {"rolling_mean", "rolling_variance"}
ALL = {"weights", "biases", "scales"} | ROLLING


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", [ALL] * 7),
        ("dont_update=1", [ROLLING] * 7),
        ("train_only_bn=1", [ALL - {"weights"}] * 7),
        ("burnin_update=2", [ROLLING] * 3 + [ALL] * 4),  # updates 1, 2 and 3 come before 2 * burn_in
    ],
)
def test_what_an_update_changes(options: str, expected: list[set[str]]) -> None:
    assert moved(options, 7) == expected


def test_gradients_of_a_frozen_layer_do_not_wait_for_the_thaw() -> None:
    """Nothing of the first updates is left as momentum: the one that counts goes along its own gradients."""
    cfg = f"{NET}momentum=.9\ndecay=0\n{CONV}burnin_update=1\n{LAST}".replace("burn_in=2", "burn_in=3")
    random = np.random.default_rng(0)
    truth = np.eye(2, dtype=np.float32)[:1]
    with dn.Network.from_string(cfg, seed=1) as net, dn.Trainer(net) as trainer:
        for _ in range(2):
            for _ in range(2):
                trainer.step(random.random((1, 3, 5, 6), np.float32), truth)
            assert not any(values.any() for values in trainer.gradients(0).values())
        before = net.layers[0].params["weights"]
        for _ in range(2):
            trainer.backward(random.random((1, 3, 5, 6), np.float32), truth)
        gradient, rate = trainer.gradients(0)["weights"], trainer.learning_rate
        trainer.update()
        np.testing.assert_allclose(
            net.layers[0].params["weights"], before + rate / 2 * gradient, rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize(
    ("value", "reached"), [("0", [True] * 5), ("1", [False] * 5), ("3", [False] * 3 + [True] * 2)]
)
def test_the_backward_pass_stops_for_good_or_for_so_many_updates(value: str, reached: list[bool]) -> None:
    cfg = f"{NET}{CONV}{CONV}stopbackward={value}\n{LAST}"
    found: list[Any] = []
    with dn.Network.from_string(cfg, seed=1) as net, dn.Trainer(net) as trainer:
        for _ in reached:
            passes = []
            for _ in range(2):
                trainer.step(np.ones((1, 3, 5, 6), np.float32), np.eye(2, dtype=np.float32)[:1])
                passes.append(bool(trainer.delta(0).any()))
            assert passes[0] == passes[1]  # not in the middle of an update
            found.append(passes[0])
    assert found == reached


@pytest.mark.parametrize("optimiser", ["", "adam=1\n"])
def test_decay_does_not_move_what_the_backward_pass_does_not_reach(optimiser: str) -> None:
    cfg = f"{NET}decay=.1\n{optimiser}{CONV}{CONV}stopbackward=3\n{LAST}"
    with dn.Network.from_string(cfg, seed=1) as net, dn.Trainer(net) as trainer:
        before, moves = net.layers[0].params["weights"], []
        for _ in range(10):
            trainer.step(np.ones((1, 3, 5, 6), np.float32), np.eye(2, dtype=np.float32)[:1])
            moves.append(bool((net.layers[0].params["weights"] != before).any()))
    assert moves == [False] * 7 + [True] * 3  # two passes make an update


def test_clip_of_a_layer_counts_before_that_of_the_network() -> None:
    still = NET.replace("learning_rate=.5", "learning_rate=0")
    cfg = f"{still}clip=.1\n{CONV}{CONV}clip=.05\n[connected]\noutput=2\n"
    with (
        dn.Network.from_string(cfg + "[connected]\noutput=2\nclip=.01\n", seed=1) as net,
        dn.Trainer(net) as trainer,
    ):
        trainer.update()
        most = [float(np.abs(layer.params["weights"]).max()) for layer in net.layers]
    assert most[0] == np.float32(0.1) and most[1] == np.float32(0.05) and most[3] == np.float32(0.01)
    assert most[2] > 0.1

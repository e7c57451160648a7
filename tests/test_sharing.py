"""share_index: convolutions that use all parameters of another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import darknet_py as dn

CONV = "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\npad=1\nactivation=leaky\n"
CFG = (
    "[net]\nwidth=12\nheight=10\nchannels=6\nbatch=3\nlearning_rate=.01\nmomentum=.9\ndecay=.01\n"
    f"{CONV}{CONV}dilation=2\n{{0}}\n{CONV}stride=2\n{{1}}\n[convolutional]\nfilters=2\n[avgpool]\n[softmax]\n"
)
SHARED = CFG.format("share_index=-1", "share_index=1")  # the third by way of the second
APART = CFG.format("", "")


def pair() -> tuple[dn.Network, dn.Network]:
    """The same function, with parameters shared and with copies of them."""
    random = np.random.default_rng(4)
    shared, apart = dn.Network.from_string(SHARED, strict=True), dn.Network.from_string(APART)
    for name, values in shared.layers[0].params.items():
        drawn = (
            random.uniform(0.5, 1.5, values.shape)
            if values.ndim == 1
            else random.normal(0, 0.2, values.shape)
        )
        for net, indices in ((shared, [0]), (apart, [0, 1, 2])):
            for index in indices:
                net.set_param(index, name, drawn.astype(np.float32))
    for name, values in shared.layers[3].params.items():
        apart.set_param(3, name, values)
    return shared, apart


def test_nothing_is_stored_for_a_layer_that_shares(tmp_path: Path) -> None:
    shared, apart = pair()
    with shared, apart:
        assert [len(layer.params) for layer in shared.layers] == [5, 0, 0, 2, 0, 0]
        assert [layer.param_count for layer in shared.layers[:3]] == [4 * 6 + 6 * 6 * 9, 0, 0]
        shared.save_weights(tmp_path / "x.weights")
        floats = sum(layer.param_count for layer in shared.layers)
        assert (tmp_path / "x.weights").stat().st_size == 20 + 4 * floats
        with dn.Network.from_string(SHARED, tmp_path / "x.weights") as again:
            x = np.random.default_rng(0).random(shared.input_shape, np.float32)
            np.testing.assert_array_equal(again.predict(x)[0], shared.predict(x)[0])


def test_results_are_those_of_copies() -> None:
    shared, apart = pair()
    x = np.random.default_rng(0).random((2, 6, 10, 12), np.float32)
    with shared, apart:
        for mine, theirs in zip(shared.activations(x), apart.activations(x), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_allclose(shared.predict(x)[0], apart.predict(x)[0], rtol=1e-5)
        weights = shared.layers[0].params["weights"]
        shared._drop_shared()
        shared.set_param(0, "weights", 2 * weights)  # seen by all three
        for index in range(3):
            apart._drop_shared()
            apart.set_param(index, "weights", 2 * weights)
        np.testing.assert_allclose(shared.predict(x)[0], apart.predict(x)[0], rtol=1e-5)


def test_an_update_takes_the_sum_of_the_gradients_once() -> None:
    shared, apart = pair()
    random = np.random.default_rng(1)
    x, truth = random.random((3, 6, 10, 12), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 1]]
    with shared, apart, dn.Trainer(shared) as mine, dn.Trainer(apart) as theirs:
        assert mine.backward(x, truth) == pytest.approx(theirs.backward(x, truth), rel=1e-6)
        assert mine.gradients(1) == {}
        for name, found in mine.gradients(0).items():
            if name.startswith("rolling"):
                continue
            expected = sum(theirs.gradients(index)[name].astype(np.float64) for index in range(3))
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        before, gradient = shared.layers[0].params["weights"], mine.gradients(0)["weights"]
        mine.update()
        step = 0.01 / 3 * (gradient - 0.01 * 3 * before)
        np.testing.assert_allclose(shared.layers[0].params["weights"], before + step, rtol=1e-5, atol=1e-7)


def test_a_run_with_shared_parameters_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    x, truth = random.random((3, 6, 10, 12), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 1]]
    net, _ = pair()
    with net, dn.Trainer(net) as trainer:
        trainer.step(x, truth)
        trainer.save(tmp_path / "half")
        costs = [trainer.step(x, truth) for _ in range(3)]
        with dn.Trainer.load(tmp_path / "half") as resumed:
            assert [resumed.step(x, truth) for _ in range(3)] == costs
            resumed.resize(16, 16)  # and the parameters are still shared
            resumed.step(np.ones((3, 6, 16, 16), np.float32), truth)

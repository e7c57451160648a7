"""Facts of single layers that golden cases and gradients don't show: cost in multiplications, odd inputs."""

from __future__ import annotations

import numpy as np
import pytest

import darknet_py as dn

NET = "[net]\nwidth=7\nheight=6\nchannels=4\n"


@pytest.mark.parametrize(
    ("section", "multiplications"),
    [
        ("[convolutional]\nfilters=5\nsize=3\npad=1\n", 5 * 4 * 9 * 7 * 6),
        ("[convolutional]\nfilters=6\nsize=3\nstride=2\ngroups=2\n", 6 * 2 * 9 * 3 * 2),
        ("[deconvolutional]\nfilters=5\nsize=3\nstride=2\n", 5 * 4 * 9 * 7 * 6),
        ("[local]\nfilters=5\nsize=3\npad=1\n", 5 * 4 * 9 * 7 * 6),
        ("[local]\nfilters=5\nsize=3\nstride=2\n", 5 * 4 * 9 * 3 * 2),
        ("[connected]\noutput=5\n", 5 * 4 * 7 * 6),
    ],
)
def test_a_multiplication_with_its_addition_counts_twice(section: str, multiplications: int) -> None:
    with dn.Network.from_string(NET + section) as net:
        assert net.layers[0].flops == 2 * multiplications


def test_l2norm_gives_every_pixel_length_1_but_those_of_zeros() -> None:
    x = np.random.default_rng(0).normal(0, 3, (2, 4, 6, 7)).astype(np.float32)
    x[1, :, 2, 3] = 0
    with dn.Network.from_string(NET + "[l2norm]\n") as net:
        lengths = np.sqrt(np.square(net.predict(x)[0], dtype=np.float64).sum(1))
    expected = np.ones((2, 6, 7))
    expected[1, 2, 3] = 0
    np.testing.assert_allclose(lengths, expected, atol=1e-6)


def test_a_window_of_lrn_lacks_the_channel_that_the_first_one_missed() -> None:
    """Squares are 1, size is 3: whole windows would sum to 2, 3, 3, 2; channel 1 never comes, and leaves."""
    x = np.ones((1, 4, 6, 7), np.float32)
    with dn.Network.from_string(NET + "[lrn]\nalpha=1\nbeta=1\nkappa=10\nsize=3\n") as net:
        found = net.predict(x)[0][0, :, 0, 0]
    np.testing.assert_allclose(1 / found, [11, 12, 12, 11], rtol=1e-6)


def test_a_local_layer_starts_with_random_weights_at_every_location() -> None:
    with dn.Network.from_string(NET + "[local]\nfilters=3\nsize=3\npad=1\n", seed=1) as net:
        weights = net.layers[0].params["weights"]
    assert weights.shape == (42, 3, 4, 3, 3)
    spread = weights.reshape(42, -1).std(1)
    np.testing.assert_allclose(spread, np.sqrt(2 / 36 / 3), rtol=0.3)


REGION = """[net]
width=2
height=1
channels=6
[region]
classes=1
num=1
softmax=1
"""


@pytest.mark.parametrize(
    ("dialect", "options", "rows"),
    [
        ("pjreddie", "", 30),
        ("pjreddie", "max=90\n", 30),
        ("alexeyab", "", 200),
        ("alexeyab", "max=90\n", 90),
        ("alexeyab", "max=5\n", 5),
    ],
)
def test_region_reads_more_truths_in_the_forks_dialect_only(dialect: str, options: str, rows: int) -> None:
    truth = np.zeros((1, rows, 5), np.float32)
    truth[:] = 0.5, 0.5, 0.2, 0.2, 0
    with dn.Network.from_string(REGION + options, dialect=dialect) as net, dn.Trainer(net) as trainer:
        assert net.layers[0].head == (1, rows, 5)
        assert trainer.backward(np.zeros((1, 6, 1, 2)), truth) > 0
        assert f"count: {rows}" in trainer.head_line(0)


@pytest.mark.parametrize(
    ("dialect", "classfix", "objectness", "count"),
    [("alexeyab", -1, 0.4, 0), ("alexeyab", -1, 0.6, 2), ("alexeyab", 0, 0.4, 2), ("pjreddie", -1, 0.4, 2)],
)
def test_classfix_drops_weak_boxes_in_the_forks_dialect_only(
    dialect: str, classfix: int, objectness: float, count: int
) -> None:
    cfg = REGION.replace(
        "channels=6\n", "channels=3\n[convolutional]\nfilters=6\nactivation=linear\nsize=1\n"
    )
    with dn.Network.from_string(f"{cfg}classfix={classfix}\n", dialect=dialect) as net:
        biases = np.zeros(6, np.float32)
        biases[4] = np.log(objectness / (1 - objectness))
        net.set_param(0, "biases", biases)
        net.set_param(0, "weights", np.zeros((6, 3, 1, 1)))
        found = net.detect(np.zeros((1, 2, 3), np.uint8), thresh=0.1, nms=0)
    assert [d.confidence for d in found] == pytest.approx([objectness] * count)

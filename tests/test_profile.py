"""What a session says about the steps of its plan, and the limits of the machine they are judged by."""

from __future__ import annotations

import time

import numpy as np
import pytest

import darknet_py as dn
from darknet_py._native import ffi, lib

CFG = """[net]
width=32
height=32
channels=3
[convolutional]
filters=16
size=3
stride=1
pad=1
batch_normalize=1
activation=leaky
[maxpool]
size=3
stride=2
[convolutional]
filters=16
size=1
stride=1
activation=leaky
[shortcut]
from=-2
activation=linear
[route]
layers=-1,1
[connected]
output=10
activation=linear
[softmax]
"""


@pytest.fixture
def net() -> dn.Network:
    return dn.Network.from_string(CFG, threads=1)


def test_steps_say_what_each_does_for_one_image(net: dn.Network) -> None:
    with net.session() as session:
        steps = session.steps()
        assert len(steps) == len(session.plan())
    first, pool, added = steps[:3]
    assert (first.layer, first.conv) == (0, 0)
    assert first.flops == net.layers[0].flops == 2 * 16 * 27 * 32 * 32
    assert first.activation_bytes == 4 * (3 + 16) * 32 * 32
    assert first.weight_bytes >= 4 * 16 * 27
    assert (pool.layer, pool.conv, pool.algorithm) == (1, None, "maxpool")
    assert pool.activation_bytes == 4 * (16 * 32 * 32 + 16 * 16 * 16) and pool.weight_bytes == 0
    # The addition is part of the convolution before it: one more map is read.
    assert (added.layer, added.conv) == (3, 2)
    assert added.activation_bytes == 4 * 3 * 16 * 16 * 16
    assert added.flops == net.layers[2].flops + net.layers[3].flops
    connected = next(step for step in steps if step.algorithm == "connected")
    assert connected.weight_bytes == 4 * 10 * (32 * 16 * 16 + 1)


def test_a_pool_that_alone_reads_a_first_layer_is_part_of_it() -> None:
    wide = (
        CFG.replace("width=32", "width=129")
        .replace("height=32", "height=37")
        .replace("size=3\nstride=2", "size=2\nstride=2")
    )
    alone, shared = wide.split("[shortcut]")[0], wide.split("[shortcut]")[0] + "[route]\nlayers=0\n"
    x = np.random.default_rng(0).random((2, 3, 37, 129), np.float32)
    with dn.Network.from_string(alone, threads=2) as net, net.session() as session:
        session.keep_steps()
        pooled, last = session.steps()
        assert "+maxpool" in session.plan()[0] and len(session.plan()) == 2
        assert (pooled.layer, pooled.conv, pooled.algorithm) == (1, 0, "direct")
        assert pooled.flops == net.layers[0].flops
        assert pooled.activation_bytes == 4 * (3 * 37 * 129 + 16 * 19 * 65)
        assert (last.layer, last.conv) == (2, 2)
        session.predict(x)
        kept, expected = session.step_outputs(), net.activations(x)
        assert set(kept) == {1, 2}
        for layer, values in kept.items():
            spread = np.ptp(expected[layer][-1])
            np.testing.assert_allclose(values, expected[layer][-1], rtol=0, atol=1e-6 * spread)
    with dn.Network.from_string(shared, threads=2) as net, net.session() as session:
        assert [step.layer for step in session.steps()][:3] == [0, 1, 2], "layer 0 is read twice"


def test_times_are_taken_only_on_request(net: dn.Network) -> None:
    x = np.random.default_rng(0).random((4, 3, 32, 32), np.float32)
    with net.session() as session:
        expected = session.predict(x)
        assert all(step.seconds == 0 for step in session.steps())
        session.profile()
        begin = time.perf_counter()
        found = session.predict(x)
        most = time.perf_counter() - begin
        taken = [step.seconds for step in session.steps()]
        assert all(seconds > 0 for seconds in taken) and sum(taken) <= most
        session.predict(x)
        assert all(step.seconds > before for step, before in zip(session.steps(), taken, strict=True)), (
            "times add up"
        )
        session.profile()
        assert all(step.seconds == 0 for step in session.steps())
        session.profile(False)
        session.predict(x)
        assert all(step.seconds == 0 for step in session.steps())
    np.testing.assert_array_equal(found[0], expected[0])


def test_profiling_outlives_a_change_of_parameters(net: dn.Network) -> None:
    x = np.zeros((1, 3, 32, 32), np.float32)
    with net.session() as session:
        session.profile()
        session.predict(x)
        trainer = dn.Trainer(net)
        trainer.step(x, np.zeros((1, 10), np.float32))
        session.predict(x)
        assert all(step.seconds > 0 for step in session.steps())


def test_the_machine_has_limits() -> None:
    flops, bytes_read = ffi.new("double *"), ffi.new("double *")
    assert lib.dn_cpu_measure(flops, bytes_read, 1) == 0
    assert 1e8 < flops[0] < 1e13
    assert 1e7 < bytes_read[0] < 1e13


def test_a_wrong_request_is_refused(net: dn.Network) -> None:
    with net.session() as session:
        out = ffi.new("dn_plan_step *")
        assert lib.dn_session_plan_step(out, session._handle, 0) == lib.DN_ERROR_ARGUMENT
        assert lib.dn_cpu_measure(ffi.NULL, ffi.NULL, 1) == lib.DN_ERROR_ARGUMENT
        assert lib.dn_session_profile(ffi.NULL, 1) == lib.DN_ERROR_ARGUMENT


CHAIN = """
[net]
height=107
width=130
channels=3
[convolutional]
batch_normalize=1
filters=32
size=3
stride=1
pad=1
activation=mish
[convolutional]
batch_normalize=1
filters=64
size=3
stride=2
pad=1
activation=leaky
"""


@pytest.mark.parametrize("memory", ["fast", "lean"])
def test_a_first_convolution_and_the_strided_one_behind_it_are_one(memory: str) -> None:
    x = np.random.default_rng(0).random((3, 3, 107, 130), np.float32)
    with dn.Network.from_string(CHAIN, seed=3, threads=2, memory=memory) as net, net.session() as session:
        session.profile()
        session.keep_steps()
        found = session.predict(x)[0]
        expected = net.activations(x)[1]
        assert np.abs(found.reshape(expected.shape) - expected).max() < 1e-4 * np.ptp(expected)
        assert set(session.step_outputs()) == {1}
        first, second = session.steps()
        assert (first.algorithm, second.algorithm) == ("direct", "winograd4/2")
        assert first.seconds == first.flops == first.activation_bytes == 0
        assert second.seconds > 0 and second.flops == net.layers[0].flops + net.layers[1].flops
        assert second.activation_bytes == 4 * (3 * 107 * 130 + 64 * 54 * 65)
        assert session.footprint().activations < 4 * 32 * 107 * 130
        for threads in (1, 3):
            with net.session(threads=threads) as other:
                np.testing.assert_array_equal(other.predict(x)[0], found)


@pytest.mark.parametrize(("end", "exact"), [("", True), ("[route]\nlayers=-2\n", False)])
def test_a_first_map_is_kept_for_other_readers_and_for_exact_plans(end: str, exact: bool) -> None:
    with dn.Network.from_string(CHAIN + end, exact=exact) as net, net.session() as session:
        assert not any("with the next" in line for line in session.plan())


LAYER = (
    "[convolutional]\nbatch_normalize=1\nfilters={}\nsize={}\nstride={}\npad=1\ngroups={}\nactivation={}\n"
)


def test_a_depthwise_convolution_and_the_pointwise_ones_around_it_are_one() -> None:
    cfg = "[net]\nheight=24\nwidth=40\nchannels=5\n"
    cfg += LAYER.format(36, 1, 1, 1, "relu6") + LAYER.format(36, 3, 2, 36, "relu6")
    cfg += LAYER.format(12, 1, 1, 1, "linear") + LAYER.format(12, 3, 1, 12, "mish")
    cfg += "[route]\nlayers=-1,-2\n"  # reads what would be between the last two
    x = np.random.default_rng(0).random((3, 5, 24, 40), np.float32)
    with dn.Network.from_string(cfg, seed=3, threads=2) as net, net.session() as session:
        session.keep_steps()
        found = session.predict(x)[0]
        expected = net.activations(x)[4]
        assert np.abs(found.reshape(expected.shape) - expected).max() < 1e-4 * np.ptp(expected)
        assert set(session.step_outputs()) == {2, 3}
        lines = session.plan()
        assert ["with the next" in line for line in lines[:4]] == [True, True, False, False]
        session.profile()
        session.predict(x)
        *early, last, after = session.steps()[:4]
        for step in early:
            assert step.seconds == step.flops == step.activation_bytes == 0
        assert last.seconds > 0 and last.flops == sum(layer.flops for layer in net.layers[:3])
        assert last.activation_bytes == 4 * (5 * 24 * 40 + 12 * 12 * 20)
        assert after.flops == net.layers[3].flops > 0


@pytest.mark.parametrize(
    ("layers", "source", "joined"),
    [
        ([(36, 1, 1, 1), (36, 3, 1, 36), (12, 1, 1, 1)], -2, [True, False, False]),  # the depthwise one's
        ([(36, 1, 1, 1), (36, 3, 1, 36), (12, 1, 1, 1)], -3, [False, True, False]),  # the head's
        ([(36, 3, 2, 1), (36, 3, 1, 36), (12, 1, 1, 1)], -1, [True, True, False]),  # a first layer's are two
        ([(36, 3, 2, 1), (36, 3, 1, 36), (12, 3, 1, 1)], -1, [False, False, False]),
        ([(36, 3, 1, 6), (36, 3, 1, 36), (12, 1, 1, 1)], -1, [False, True, False]),
    ],
)
def test_maps_that_others_read_are_kept(
    layers: list[tuple[int, ...]], source: int, joined: list[bool]
) -> None:
    cfg = "[net]\nheight=72\nwidth=80\nchannels=6\n" + "".join(LAYER.format(*one, "relu") for one in layers)
    cfg += f"[route]\nlayers=-1,{source}\n"
    x = np.random.default_rng(0).random((2, 6, 72, 80), np.float32)
    with dn.Network.from_string(cfg, seed=3, threads=2) as net, net.session() as session:
        assert ["with the next" in line for line in session.plan()[:3]] == joined
        expected = net.activations(x)[3]
        found = session.predict(x)[0]
        assert np.abs(found.reshape(expected.shape) - expected).max() < 1e-4 * np.ptp(expected)
        for threads in (1, 3, 9):
            with net.session(threads=threads) as other:
                np.testing.assert_array_equal(other.predict(x)[0], found)


@pytest.mark.parametrize(("source", "lines"), [(-4, ["conv", "conv"]), (-2, ["conv", "conv", "layer"])])
def test_a_residual_is_added_across_dropouts_that_nobody_else_reads(source: int, lines: list[str]) -> None:
    cfg = "[net]\nheight=9\nwidth=8\nchannels=3\n" + 2 * LAYER.format(4, 3, 1, 1, "linear")
    cfg += 2 * "[dropout]\n" + f"[shortcut]\nfrom={source}\nactivation=relu\n"
    x = np.random.default_rng(0).random((2, 3, 9, 8), np.float32)
    with dn.Network.from_string(cfg, seed=3) as net, net.session() as session:
        assert [line.split()[3] for line in session.plan()] == lines
        expected = net.activations(x)[4]
        found = session.predict(x)[0].reshape(expected.shape)
        assert np.abs(found - expected).max() < 1e-4 * np.ptp(expected)

"""Batches: several pictures at a time give bit for bit what each alone gives, on every instruction set and
for any number of threads."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from test_levels import LEVELS, need, python

import darknet_py as dn

CONV = "[convolutional]\nbatch_normalize=1\nfilters={}\nsize=3\nstride={}\npad=1\nactivation=leaky\n"
#: Weights of the layers in the middle are more than their maps: they take several pictures at a time.
DEEP = (
    "[net]\nwidth=38\nheight=30\nchannels=3\n"
    + CONV.format(16, 1)
    + CONV.format(32, 2)
    + CONV.format(160, 2)
    + CONV.format(160, 1)
    + CONV.format(160, 1)
    + "[shortcut]\nfrom=-2\nactivation=linear\n"
    + "[convolutional]\nfilters=320\nsize=1\nactivation=mish\n"
    + "[route]\nlayers=-1,-3\n"
    + CONV.format(48, 1)
    + "[maxpool]\nsize=2\nstride=1\n"
    + "[convolutional]\nfilters=16\nsize=1\nactivation=linear\n"
    + "[yolo]\nmask=0,1\nanchors=4,5, 10,12\nclasses=3\nnum=2\n"
)

BITS = f"""
import hashlib, numpy as np
found = []
for threads in (1, 2, 3, 5):
    with dn.Network.from_string({DEEP!r}, seed=5, threads=threads) as net:
        x = np.random.default_rng(3).random((11, *net.input_shape[1:]), np.float32)
        outputs = [net.predict(x)[0], np.concatenate([net.predict(one)[0] for one in x])]
        found += [hashlib.sha256(values.tobytes()).hexdigest() for values in outputs]
print(json.dumps([dn.cpu_level(), found]))
"""


@pytest.mark.parametrize("level", LEVELS)
def test_bits_depend_on_neither_batch_nor_threads(level: str) -> None:
    need(level)
    run = python(level, BITS)
    assert run.returncode == 0, run.stderr
    used, found = json.loads(run.stdout)
    assert used == level and len(found) == 8 and len(set(found)) == 1


def test_a_session_takes_batches_of_any_sizes_one_after_the_other() -> None:
    with dn.Network.from_string(DEEP, seed=5, threads=2) as net, net.session() as session:
        x = np.random.default_rng(4).random((19, *net.input_shape[1:]), np.float32)
        alone = np.concatenate([net.predict(one)[0] for one in x])
        for count in (3, 19, 1, 8, 9, 2):
            np.testing.assert_array_equal(session.predict(x[:count])[0], alone[:count])


def test_more_pictures_take_memory_for_activations_only() -> None:
    with dn.Network.from_string(DEEP, seed=5, threads=2) as net, net.session() as session:
        one, eight, many = (session.footprint(batch) for batch in (1, 8, 100))
        assert eight.packed == one.packed and eight.activations == many.activations
        assert one.activations < eight.activations <= 9 * one.activations
        x = np.zeros((100, *net.input_shape[1:]), np.float32)
        for batch, said in ((1, one), (8, eight), (100, many)):
            session.predict(x[:batch])
            assert session.memory() == (said.activations + said.scratch + said.outputs, said.packed)


def test_lean_sessions_take_pictures_one_by_one() -> None:
    with dn.Network.from_string(DEEP, seed=5, memory="lean") as lean, lean.session() as session:
        assert session.footprint(8).activations == session.footprint(1).activations
        x = np.random.default_rng(4).random((3, *lean.input_shape[1:]), np.float32)
        expected = np.concatenate([lean.predict(one)[0] for one in x])
        np.testing.assert_array_equal(session.predict(x)[0], expected)


def test_steps_that_take_several_pictures_are_timed() -> None:
    with dn.Network.from_string(DEEP, seed=5) as net, net.session() as session:
        session.profile()
        session.predict(np.zeros((8, *net.input_shape[1:]), np.float32))
        assert all(step.seconds > 0 for step in session.steps())


def test_outputs_go_into_arrays_that_are_given() -> None:
    x = np.random.default_rng(0).random((3, 3, 30, 38), np.float32)
    with dn.Network.from_string(DEEP, seed=1) as net, net.session() as session:
        expected = session.predict(x)
        out = [np.full_like(values, np.nan) for values in expected]
        given = session.predict(x, out)
        assert all(a is b for a, b in zip(given, out, strict=True))
        for found, values in zip(out, expected, strict=True):
            np.testing.assert_array_equal(found, values)
        turned = [np.empty(values.shape[::-1], np.float32).T for values in expected]  # of any layout
        session.predict(x, turned)
        np.testing.assert_array_equal(turned[0], expected[0])
        kept = expected[0].copy()
        session.predict(1 - x, out)
        np.testing.assert_array_equal(expected[0], kept)  # arrays of their own
        assert [len(values) for values in session.predict(x[:0], [values[:0] for values in out])] == [
            0 for _ in out
        ]


def test_arrays_that_outputs_do_not_fit_are_refused_untouched() -> None:
    x = np.random.default_rng(0).random((2, 3, 30, 38), np.float32)
    with dn.Network.from_string(DEEP, seed=1) as net, net.session() as session:
        right = session.predict(x)
        fixed = right[0].copy()
        fixed.flags.writeable = False
        wrong: list[tuple[Any, str]] = [
            ([], "expected 1 array"),
            ([*right, right[0]], "found 2"),
            ([right[0][:1]], r"out\[0\]: expected a float32 array of shape \(2, .* found float32 \(1,"),
            ([right[0].astype(np.float64)], "found float64"),
            ([right[0].tolist()], "found list"),
            ([fixed], r"out\[0\] is read-only"),
        ]
        for out, message in wrong:
            with pytest.raises(dn.ArgumentError, match=message):
                session.predict(x, out)

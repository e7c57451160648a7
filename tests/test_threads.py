"""Many threads on one network: every session gives bit for bit what a lone one gives, whatever the others do.
tests/c/test_threads.c is the same under the thread sanitiser (make tsan)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import darknet_py as dn

CFG = """
[net]
width=26
height=22
channels=3
batch=2
[convolutional]
batch_normalize=1
filters=16
size=3
pad=1
activation=leaky
[convolutional]
filters=16
size=3
pad=1
groups=16
activation=relu
[shortcut]
from=-2
activation=linear
[maxpool]
size=2
stride=2
[convolutional]
filters=24
size=1
activation=mish
[route]
layers=-1,-2
[convolutional]
filters=16
size=3
pad=1
activation=linear
[yolo]
mask=0,1
anchors=4,5, 10,12
classes=3
num=2
"""
THREADS = 8


@pytest.fixture
def net() -> Any:
    with dn.Network.from_string(CFG, seed=5, threads=1) as network:
        network.set_param(0, "rolling_variance", np.ones(16))
        yield network


def inputs() -> list[np.ndarray]:
    return [np.random.default_rng(k).random((1 + k % 3, 3, 22, 26), np.float32) for k in range(THREADS)]


def run_all(work: Callable[[int], None], count: int = THREADS) -> None:
    """Runs work(0), work(1) ... each in a thread of its own, and raises what one of them raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(k: int) -> None:
        try:
            start.wait()
            work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_sessions_in_threads_give_what_a_lone_one_gives(net: dn.Network) -> None:
    xs = inputs()
    with dn.Network.from_string(CFG, seed=5, threads=1) as lone:
        lone.set_param(0, "rolling_variance", np.ones(16))
        expected = [lone.predict(x)[0] for x in xs]

    def work(k: int) -> None:
        with net.session(threads=1 + k % 3) as session:  # the first ones meet while the plan is made
            for i in range(10):
                which = (k + i) % THREADS
                np.testing.assert_array_equal(session.predict(xs[which])[0], expected[which])

    run_all(work)


def test_one_network_can_be_asked_by_all_threads(net: dn.Network) -> None:
    xs = inputs()
    expected = [net.predict(x)[0] for x in xs]
    layers = [net.activations(x)[4] for x in xs]

    def work(k: int) -> None:
        for i in range(10):
            which = (k + i) % THREADS
            np.testing.assert_array_equal(net.predict(xs[which])[0], expected[which])
            np.testing.assert_array_equal(net.activations(xs[which])[4], layers[which])

    run_all(work)


def test_sessions_come_and_go_while_others_run(net: dn.Network) -> None:
    xs = inputs()
    expected = [net.predict(x)[0] for x in xs]

    def work(k: int) -> None:
        if k % 2:
            for i in range(20):
                with net.session(threads=1 + i % 3) as session:
                    np.testing.assert_array_equal(session.predict(xs[k])[0], expected[k])
        else:
            with net.session() as session:
                for _ in range(20):
                    np.testing.assert_array_equal(session.predict(xs[k])[0], expected[k])

    run_all(work)


def test_detections_are_the_same_in_all_threads(net: dn.Network) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    expected = net.detect(picture, thresh=0.1)
    assert len(expected) > 0

    def work(k: int) -> None:
        with net.session() as session:
            for _ in range(5):
                for found in (session.detect(picture, thresh=0.1), net.detect(picture, thresh=0.1)):
                    np.testing.assert_array_equal(found.xyxy, expected.xyxy)
                    np.testing.assert_array_equal(found.confidence, expected.confidence)

    run_all(work)


def test_parameters_are_refused_while_sessions_exist(net: dn.Network) -> None:
    x = inputs()[0]
    before = net.predict(x)[0]
    biases = net.layers[6].params["biases"]
    sessions = [net.session(), net.session()]
    for session in sessions:
        session.predict(x)
        with pytest.raises(dn.StateError, match="session"):
            net.set_param(6, "biases", biases + 1)
        session.close()
    np.testing.assert_array_equal(net.predict(x)[0], before)
    net.set_param(6, "biases", biases + 1)
    assert (net.predict(x)[0] != before).any()
    net.set_param(6, "biases", biases)
    np.testing.assert_array_equal(net.predict(x)[0], before)


@pytest.mark.parametrize("exact", [False, True])
def test_results_do_not_depend_on_the_number_of_threads(exact: bool) -> None:
    x = inputs()[2]
    found = []
    for threads in (1, 2, 3, 7):
        with dn.Network.from_string(CFG, seed=5, threads=threads, exact=exact) as net:
            net.set_param(0, "rolling_variance", np.ones(16))
            found.append([*net.predict(x), *net.activations(x)])
    for other in found[1:]:
        for mine, first in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(mine, first)


def test_training_does_not_depend_on_the_number_of_threads() -> None:
    x, truth = np.random.default_rng(0).random((2, 3, 22, 26), np.float32), np.zeros((2, 90, 5), np.float32)
    truth[:, 0] = [0.5, 0.5, 0.3, 0.4, 1]
    found = []
    for threads in (1, 2, 3):
        with (
            dn.Network.from_string(CFG, seed=5, threads=threads) as net,
            dn.Trainer(net, threads=threads, seed=1) as trainer,
        ):
            costs = [trainer.step(x, truth) for _ in range(3)]
            found.append((costs, [layer.params for layer in net.layers]))
    for costs, layers in found[1:]:
        assert costs == found[0][0]
        for params, first in zip(layers, found[0][1], strict=True):
            for name, values in params.items():
                np.testing.assert_array_equal(values, first[name])


def test_errors_belong_to_the_thread_that_made_them() -> None:
    def work(k: int) -> None:
        for _ in range(50):
            with pytest.raises(dn.CfgError, match=rf"layer{k}x"):
                dn.Network.from_string(f"[net]\ninputs=3\n[layer{k}x]\n")

    run_all(work)


def test_networks_are_made_and_freed_in_all_threads() -> None:
    x = inputs()[1]
    with dn.Network.from_string(CFG, seed=5) as net:
        expected = net.predict(x)[0]

    def work(k: int) -> None:
        for _ in range(5):
            with dn.Network.from_string(CFG, seed=5, threads=1 + k % 2) as own:
                np.testing.assert_array_equal(own.predict(x)[0], expected)

    run_all(work)


def test_a_network_closed_under_its_users_says_so(net: dn.Network) -> None:
    x = inputs()[0]

    def work(k: int) -> None:
        if k == 0:
            net.close()
            return
        try:
            for _ in range(50):
                net.predict(x)
        except dn.StateError as error:
            assert "closed" in str(error)

    run_all(work)

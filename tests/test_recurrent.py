"""Recurrent layers: sequences at once or step by step, streams apart, state carried, saved and forgotten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import darknet_py as dn

VECTORS = "[net]\ninputs=5\nbatch=2\ntime_steps=4\nlearning_rate=.1\nmomentum=.9\n"
MAPS = "[net]\nwidth=6\nheight=5\nchannels=3\nbatch=2\ntime_steps=4\n"
NETWORKS = {
    "rnn": VECTORS
    + "[rnn]\noutput=7\nactivation=tanh\n[connected]\noutput=3\nactivation=linear\n[softmax]\n",
    "gru": VECTORS + "[gru]\noutput=7\ntanh=1\n[connected]\noutput=3\nactivation=linear\n[softmax]\n",
    "lstm": VECTORS + "[lstm]\noutput=7\n[connected]\noutput=3\nactivation=linear\n[softmax]\n",
    "two": VECTORS
    + "[lstm]\noutput=7\n[gru]\noutput=4\n[connected]\noutput=3\nactivation=linear\n[softmax]\n",
    "crnn": MAPS + "[crnn]\noutput=4\nhidden=3\nactivation=tanh\n",
    "conv_lstm": MAPS + "[conv_lstm]\noutput=4\npeephole=1\n",
}


def sequences(net: dn.Network, streams: int = 2, seed: int = 0) -> Any:
    shape = (net.time_steps * streams, *net.input_shape[1:])
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("path", ["predict", "activations"])
def test_a_sequence_step_by_step_gives_what_it_gives_at_once(name: str, path: str) -> None:
    with dn.Network.from_string(NETWORKS[name]) as whole:
        x = sequences(whole)
        expected = whole.predict(x)[0]
    with dn.Network.from_string(NETWORKS[name], time_steps=1) as net, net.session() as session:
        found = [getattr(session, path)(x[t : t + 2])[-1] for t in range(0, len(x), 2)]
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_streams_do_not_see_each_other(name: str) -> None:
    with dn.Network.from_string(NETWORKS[name]) as net:
        x = sequences(net, streams=3)
        together = net.predict(x)[0]
        for stream in range(3):
            alone = net.predict(x[stream::3])[0]
            np.testing.assert_allclose(together[stream::3], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_state_is_carried_until_reset(name: str) -> None:
    with dn.Network.from_string(NETWORKS[name]) as net, net.session() as session:
        x = sequences(net)
        first, second = session.predict(x)[0], session.predict(x)[0]
        assert np.abs(first - second).max() > 1e-4
        session.reset()
        assert np.array_equal(session.predict(x)[0], first)
        assert np.array_equal(net.predict(x)[0], net.predict(x)[0])


def test_streams_can_change_only_after_a_reset() -> None:
    with dn.Network.from_string(NETWORKS["gru"]) as net, net.session() as session:
        session.predict(sequences(net, streams=2))
        with pytest.raises(
            dn.DarknetError, match="the state of 2 streams, but this input has 3; reset first"
        ):
            session.predict(sequences(net, streams=3))
        session.reset()
        session.predict(sequences(net, streams=3))


@pytest.mark.parametrize("path", ["predict", "activations"])
def test_rows_that_are_no_whole_sequences_are_refused(path: str) -> None:
    with (
        dn.Network.from_string(NETWORKS["rnn"]) as net,
        pytest.raises(dn.DarknetError, match="6 rows are no whole sequences of 4 time steps"),
    ):
        getattr(net, path)(np.zeros((6, 5), np.float32))


def train(trainer: dn.Trainer, steps: int) -> list[float]:
    net = trainer.network
    x = sequences(net, net.input_shape[0] // net.time_steps)
    truth = np.eye(3, dtype=np.float32)[np.arange(len(x)) % 3]
    return [trainer.step(x, truth) for _ in range(steps)]


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "two"])
def test_training_resumes_with_its_state(name: str, tmp_path: Path) -> None:
    with dn.Network.from_string(NETWORKS[name]) as net, dn.Trainer(net) as trainer:
        train(trainer, 3)
        trainer.save(tmp_path / "checkpoint")
        expected = train(trainer, 3)
        parameters = [layer.params for layer in net.layers]
    with dn.Trainer.load(tmp_path / "checkpoint") as resumed:
        assert train(resumed, 3) == expected
        for layer, before in zip(resumed.network.layers, parameters, strict=True):
            for key, values in layer.params.items():
                assert np.array_equal(values, before[key])


def test_one_stream_can_be_reset_in_training() -> None:
    with dn.Network.from_string(NETWORKS["lstm"]) as net, dn.Trainer(net) as trainer:
        x = sequences(net)
        trainer.backward(x)
        fresh = trainer.output(0)
        trainer.reset(1)
        trainer.backward(x)
        carried = trainer.output(0)
        assert np.array_equal(carried[1::2], fresh[1::2])
        assert not np.array_equal(carried[0], fresh[0])


def test_a_sequence_is_learned() -> None:
    """Next letter of a word whose letters repeat: only the state tells which comes next."""
    letters = np.array([0, 1, 0, 2, 0, 1, 0, 2])
    x = np.eye(5, dtype=np.float32)[letters].repeat(2, axis=0)
    truth = np.eye(3, dtype=np.float32)[np.roll(letters, -1)].repeat(2, axis=0)
    cfg = NETWORKS["gru"].replace("time_steps=4", "time_steps=8").replace(".1\n", "1\n")
    with dn.Network.from_string(cfg) as net, dn.Trainer(net) as trainer:
        costs = [trainer.step(x, truth) for _ in range(150)]
        assert costs[-1] < costs[0] / 5


def test_the_forks_weights_files_have_another_order() -> None:
    for kind, first in (("gru", ("wz_biases", "uz_biases")), ("lstm", ("wi_biases", "wf_biases"))):
        for dialect, name in zip(("pjreddie", "alexeyab"), first, strict=True):
            with dn.Network.from_string(f"[net]\ninputs=3\n[{kind}]\noutput=2\n", dialect=dialect) as net:
                assert next(iter(net.layers[0].params)) == name


def test_plans_and_comparisons_know_recurrent_layers(tmp_path: Path) -> None:
    cfg = tmp_path / "gru.cfg"
    cfg.write_text(NETWORKS["gru"])
    with dn.Network(cfg) as net, net.session() as session:
        assert any("gru" in line and "-> 7 " in line for line in session.plan())
    for command in (["speed", cfg, "3"], ["diff", cfg, cfg]):
        words = [sys.executable, "-m", "darknet_py", *map(str, command)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

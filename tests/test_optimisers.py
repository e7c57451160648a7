"""Updates: SGD, Adam and clipping against their formulas, and the learning rate of every policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_gradients import CASES, conv

import darknet_py as dn

OPTIMISED = (
    "[net]\ninputs=6\nbatch=4\nsubdivisions=2\nlearning_rate=.05\n{}\n"
    "[connected]\noutput=5\nactivation=tanh\nbatch_normalize=1\n[connected]\noutput=3\nactivation=linear\n"
    "learning_rate=.5\n[softmax]\n"
)


def trained_params(net: dn.Network) -> dict[tuple[int, str], Any]:
    return {
        (layer.index, name): values.astype(np.float64)
        for layer in net.layers
        for name, values in layer.params.items()
        if not name.startswith("rolling")
    }


def optimiser_run(options: str, update: Callable[[Any, Any, dict[str, Any], float, bool, int], Any]) -> None:
    """Five updates, each from the gradients found before it; `update` gives the new weights and gradients."""
    random = np.random.default_rng(5)
    with dn.Network.from_string(OPTIMISED.format(options), seed=2) as net, dn.Trainer(net) as trainer:
        states: dict[tuple[int, str], dict[str, Any]] = {key: {} for key in trained_params(net)}
        for t in range(1, 6):
            for _ in range(2):
                x = random.normal(0, 1, net.input_shape).astype(np.float32)
                trainer.backward(x, np.eye(3, dtype=np.float32)[random.integers(0, 3, 2)])
            before = trained_params(net)
            gradients = {key: trainer.gradients(key[0])[key[1]].astype(np.float64) for key in before}
            trainer.update()
            for key, found in trained_params(net).items():
                rate = 0.05 * (0.5 if key[0] == 1 else 1)
                weight = key[1] == "weights"
                expected, left = update(before[key], gradients[key], states[key], rate, weight, t)
                np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-7, err_msg=str(key))
                np.testing.assert_allclose(trainer.gradients(key[0])[key[1]], left, rtol=2e-6, atol=2e-7)


def test_sgd_with_momentum_and_decay() -> None:
    momentum, decay, images = 0.8, 0.01, 4

    def update(w: Any, g: Any, state: dict[str, Any], rate: float, weight: bool, t: int) -> Any:
        g = g - decay * images * w if weight else g
        return w + rate / images * g, momentum * g

    optimiser_run(f"momentum={momentum}\ndecay={decay}", update)


def test_adam() -> None:
    b1, b2, eps, decay, images = 0.8, 0.95, 1e-6, 0.002, 4

    def update(w: Any, g: Any, state: dict[str, Any], rate: float, weight: bool, t: int) -> Any:
        g = g - decay * images * w  # of biases and scales too, as the reference
        state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
        state["v"] = b2 * state.get("v", 0) + (1 - b2) * g * g
        step = state["m"] / (1 - b1**t) / (np.sqrt(state["v"] / (1 - b2**t)) + eps)
        return w + rate * step, 0 * g

    optimiser_run(f"adam=1\nB1={b1}\nB2={b2}\neps={eps}\ndecay={decay}", update)


def test_clip_keeps_the_weights_of_convolutions_within() -> None:
    cfg = f"[net]\nclip=.05\nlearning_rate=0\n{CASES['conv 3x3'].net}\n{conv(3)}[connected]\noutput=2\n"
    with dn.Network.from_string(cfg, seed=1) as net, dn.Trainer(net) as trainer:
        before = [net.layers[i].params["weights"] for i in range(2)]
        assert np.abs(before[0]).max() > 0.05 and np.abs(before[1]).max() > 0.05
        trainer.update()
        np.testing.assert_array_equal(
            net.layers[0].params["weights"], np.clip(before[0], -np.float32(0.05), np.float32(0.05))
        )
        np.testing.assert_array_equal(net.layers[1].params["weights"], before[1])


def steps_rate(n: int) -> float:
    return 0.1 * (10 if n >= 3 else 1) * (0.5 if n >= 20 else 1)


def cosine_rate(n: int) -> float:
    """Cycles of 10, 20, 40 ... updates."""
    start, cycle = 0, 10
    while start + cycle < n:
        start, cycle = start + cycle, 2 * cycle
    return float(0.001 + 0.5 * 0.099 * (1 + np.cos((n - start) * np.pi / cycle)))


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ("", lambda n: 0.1),
        ("policy=constant", lambda n: 0.1),
        ("policy=nonsense", lambda n: 0.1),
        ("policy=step\nstep=7\nscale=.5", lambda n: 0.1 * 0.5 ** (n // 7)),
        ("policy=steps\nsteps=3,20\nscales=10,.5", steps_rate),
        ("policy=steps\nsteps=-1,3,20\nscales=1,10,.5", steps_rate),
        ("policy=exp\ngamma=.97", lambda n: 0.1 * 0.97**n),
        ("policy=poly\nmax_batches=50\npower=2", lambda n: 0.1 * (1 - n / 50) ** 2),
        ("policy=sigmoid\ngamma=.3\nstep=10", lambda n: 0.1 / (1 + np.exp(0.3 * (n - 10)))),
        ("policy=sgdr\nsgdr_cycle=10\nsgdr_mult=2\nlearning_rate_min=.001", cosine_rate),
        ("burn_in=20", lambda n: 0.1 * min(1, n / 20) ** 4),
        (
            "policy=step\nstep=7\nscale=.5\nburn_in=9\npower=1",
            lambda n: 0.1 * n / 9 if n < 9 else 0.1 * 0.5 ** (n // 7),
        ),
    ],
)
def test_learning_rate_policies(options: str, rate: Callable[[int], float]) -> None:
    cfg = f"[net]\ninputs=3\nlearning_rate=.1\n{options}\n[softmax]\n"
    with dn.Network.from_string(cfg) as net, dn.Trainer(net) as trainer:
        found = [trainer.learning_rate_at(n) for n in range(45)]
    np.testing.assert_allclose(found, [rate(n) for n in range(45)], rtol=1e-5)


def test_the_random_policy_depends_on_seed_and_update_only() -> None:
    cfg = "[net]\ninputs=3\nlearning_rate=.1\npolicy=random\npower=2\n[softmax]\n"
    runs = []
    for seed in (1, 1, 2):
        with dn.Network.from_string(cfg) as net, dn.Trainer(net, seed=seed) as trainer:
            runs.append([trainer.learning_rate_at(n) for n in range(200)])
    assert runs[0] == runs[1] != runs[2]
    assert min(runs[0]) >= 0 and max(runs[0]) <= 0.1 and np.mean(runs[0]) == pytest.approx(0.1 / 3, rel=0.3)

"""[iseg] against a plain formulation of its rules (docs/compat.md 6.25)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import darknet_py as dn

W, H, CLASSES, IDS = 5, 4, 3, 4
CFG = (
    f"[net]\nwidth={W}\nheight={H}\nchannels={CLASSES + IDS}\nbatch=2\n[iseg]\nclasses={CLASSES}\nids={IDS}\n"
)


def truth_of(instances: Sequence[tuple[float, Any]]) -> Any:
    """90 rows: class, mask; -1 ends them."""
    rows = np.zeros((90, 1 + W * H), np.float32)
    rows[:, 0] = -1
    for row, (label, mask) in zip(rows, instances, strict=False):
        row[0], row[1:] = label, np.asarray(mask, np.float32).ravel()
    return rows.ravel()


def expected_delta(x: Any, instances: list[tuple[int, Any]]) -> Any:
    y = x.astype(np.float64)
    y[:CLASSES] = 1 / (1 + np.exp(-y[:CLASSES]))
    delta = -y
    delta[CLASSES:] *= 0.1
    for label, mask in instances:
        delta[label][mask != 0] = (mask - y[label])[mask != 0]
    means = [y[CLASSES:, mask != 0].mean(1) if mask.any() else None for _, mask in instances]
    for i, (_, mask) in enumerate(instances):
        for j, mean in enumerate(means):
            for py, px in np.argwhere(mask) if mean is not None else ():
                towards = np.where(mean - y[CLASSES:, py, px] < 0, -0.1, 0.1)
                delta[CLASSES:, py, px] += towards if i == j else -towards
    delta[CLASSES:] *= 0.01
    return delta


def test_delta_and_cost() -> None:
    random = np.random.default_rng(1)
    x = random.normal(0, 1, (2, CLASSES + IDS, H, W)).astype(np.float32)
    masks = [(random.random((H, W)) < 0.4) * random.choice([1, 0.5], (H, W)) for _ in range(5)]
    images = [
        [(0, masks[0]), (2, masks[1]), (0, masks[2]), (1, np.zeros((H, W)))],  # they overlap; one is empty
        [(1, masks[3])],
    ]
    truth = np.stack([truth_of(instances) for instances in images])
    expected = np.stack([expected_delta(one, instances) for one, instances in zip(x, images, strict=True)])
    with dn.Network.from_string(CFG) as net, dn.Trainer(net, input_delta=True) as trainer:
        cost = trainer.backward(x, truth)
        np.testing.assert_allclose(trainer.delta(0).reshape(x.shape), expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(trainer.input_delta.ravel(), trainer.delta(0).ravel())
        assert cost == pytest.approx(np.sum(expected**2), rel=1e-5)


def test_ninety_instances_are_read() -> None:
    mask = np.zeros((H, W), np.float32)
    mask[1, 2] = 1
    x = np.zeros((2, CLASSES + IDS, H, W), np.float32)
    truth = np.stack([truth_of([(0, 0 * mask)] * 89 + [(1, mask)] * extra) for extra in (1, 3)])
    with dn.Network.from_string(CFG) as net, dn.Trainer(net) as trainer:
        trainer.backward(x, truth)
        first, second = trainer.delta(0).reshape(x.shape)
        np.testing.assert_array_equal(first, second)
        assert first[1, 1, 2] == pytest.approx(0.5)


@pytest.mark.parametrize("label", [CLASSES, 1e9, np.nan, np.inf])
def test_a_class_that_is_none_is_an_error(label: float) -> None:
    truth = np.stack([truth_of([]), truth_of([(0, np.ones((H, W))), (label, np.ones((H, W)))])])
    x = np.zeros((2, CLASSES + IDS, H, W), np.float32)
    message = r"layer 0 \[iseg\]: instance 1 of image 1 is of class .*, but there are 3 classes"
    with (
        dn.Network.from_string(CFG) as net,
        dn.Trainer(net) as trainer,
        pytest.raises(dn.DataError, match=message),
    ):
        trainer.backward(x, truth)

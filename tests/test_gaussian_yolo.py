"""[Gaussian_yolo]: boxes and probabilities by the formulas, and its loss against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_gradients import check_array

import darknet_py as dn

ANCHORS = np.array([[4, 5], [10, 12]], np.float32)
W, H, NET_W, NET_H, CLASSES, SCALE = 4, 3, 32, 24, 3, 1.2


def cfg(options: str = "", batch: int = 1) -> str:
    """A head on the bare input: 2 anchors of 9 + 3 entries, 4 x 3 cells of 8 x 8 pixels."""
    first = f"[net]\nwidth={NET_W}\nheight={NET_H}\nchannels=24\nbatch={batch}\n"
    # A mean over each cell's pixels, so that anchors in pixels and cells fit together.
    pool = "[local_avgpool]\nsize=8\nstride=8\npadding=0\n"
    head = "[Gaussian_yolo]\nmask=0,1\nanchors=4,5,10,12\nnum=2\nclasses=3\n"
    return f"{first}{pool}{head}scale_x_y={SCALE}\n{options}\n"


def spread(values: Any) -> Any:
    """Values of cells as the pixels whose mean they are."""
    return np.repeat(np.repeat(values, 8, -1), 8, -2).astype(np.float32)


def logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def some_entries(seed: int, batch: int = 1) -> Any:
    return np.random.default_rng(seed).normal(0, 1, (batch, 2, 9 + CLASSES, H, W))


@pytest.mark.parametrize(("point", "offset"), [("center", 0.0), ("left_top", 0.5), ("right_bottom", -0.5)])
def test_boxes_and_probabilities(point: str, offset: float) -> None:
    raw = some_entries(1)
    with dn.Network.from_string(cfg(f"yolo_point={point}"), strict=True) as net, net.session() as session:
        found = session.predict(spread(raw.reshape(1, 24, H, W)))[0].reshape(2, 12, H, W)
        boxes, objectness, probabilities = session._boxes(detect_options(0.05))
    entry = logistic(raw[0])
    entry[:, [4, 6]] = raw[0][:, [4, 6]]
    entry[:, [0, 2]] = SCALE * entry[:, [0, 2]] - 0.5 * (SCALE - 1)
    np.testing.assert_allclose(found, entry, rtol=1e-5, atol=1e-6)
    w, h = np.exp(entry[:, 4]) * ANCHORS[:, 0, None, None], np.exp(entry[:, 6]) * ANCHORS[:, 1, None, None]
    x = (entry[:, 0] + np.arange(W)) * 8 + offset * w
    y = (entry[:, 2] + np.arange(H)[:, None]) * 8 + offset * h
    sure = 1 - entry[:, [1, 3, 5, 7]].mean(1)
    expected = np.stack([x, y, w, h], -1).transpose(1, 2, 0, 3).reshape(-1, 4)  # cell by cell
    kept = entry[:, 8].transpose(1, 2, 0).ravel() > 0.05
    product = (entry[:, 8, None] * sure[:, None] * entry[:, 9:]).transpose(2, 3, 0, 1).reshape(-1, CLASSES)
    np.testing.assert_allclose(boxes, expected[kept], rtol=1e-4)
    np.testing.assert_allclose(objectness, entry[:, 8].transpose(1, 2, 0).ravel()[kept], rtol=1e-5)
    np.testing.assert_allclose(probabilities, np.where(product > 0.05, product, 0)[kept], rtol=1e-4)


def detect_options(thresh: float) -> Any:
    from darknet_py._native import ffi, lib

    options = ffi.new("dn_detect_options *")
    lib.dn_detect_options_init(options)
    options.thresh, options.nms_kind = thresh, lib.DN_NMS_NONE
    options.image_width, options.image_height = NET_W, NET_H
    return options


def one_truth(values: int = 6) -> Any:
    """One object per image, small enough for the first anchor and large enough for the second."""
    truth = np.zeros((2, 200, values), np.float32)
    truth[0, 0, :5] = [0.4, 0.6, 0.15, 0.2, 1]
    truth[1, 0, :5] = [0.7, 0.2, 0.3, 0.45, 2]
    return truth


@pytest.mark.parametrize("point", ["center", "left_top", "right_bottom"])
def test_the_box_gradient_is_the_derivative_of_the_likelihood(point: str) -> None:
    """Objectness and classes count in the cost with their squared deltas, which don't depend on the boxes."""
    raw, truth = some_entries(3, 2).astype(np.float32), one_truth()
    options = f"iou_normalizer=1\nyolo_point={point}\nignore_thresh=2"
    with dn.Network.from_string(cfg(options, 2)) as net, dn.Trainer(net) as trainer:

        def cost(entries: Any) -> float:
            return trainer.backward(spread(entries.reshape(2, 24, H, W)), truth)

        cost(raw)
        gradient = trainer.delta(0).reshape(raw.shape)[:, :, :8]
        learned = np.abs(gradient).max((1, 2), keepdims=True) > 0
        assert (learned.sum((1, 2, 3, 4)) == 1).all()  # one cell per image

        def cost_of_boxes(entries: Any) -> float:
            changed = raw.copy()
            changed[:, :, :8] = entries
            return -cost(changed)

        check_array(
            "boxes", cost_of_boxes, raw[:, :, :8], gradient, np.random.default_rng(0), 5e-3, step=5e-3
        )
        # Random entries are mostly of other cells: those that learn, one by one.
        for at in np.argwhere(gradient):
            offset = np.zeros_like(gradient)
            offset[tuple(at)] = 5e-3
            found = (cost_of_boxes(raw[:, :, :8] + offset) - cost_of_boxes(raw[:, :, :8] - offset)) / 1e-2
            assert found == pytest.approx(gradient[tuple(at)], rel=1e-2, abs=2e-2)


def test_objectness_and_classes_learn_as_in_yolo() -> None:
    raw, truth = some_entries(4, 2).astype(np.float32), one_truth(5)[:, :, :5]
    with dn.Network.from_string(cfg("ignore_thresh=2", 2)) as net, dn.Trainer(net) as trainer:
        trainer.backward(spread(raw.reshape(2, 24, H, W)), truth)
        delta = trainer.delta(0).reshape(raw.shape)
    expected, p = -logistic(raw[:, :, 8:]), logistic(raw[:, :, 8:])
    expected[:, :, 1:] = 0
    for image, (anchor, row, column, kind) in enumerate([(0, 1, 1, 1), (1, 0, 2, 2)]):
        expected[image, anchor, :, row, column] = -p[image, anchor, :, row, column]
        expected[image, anchor, [0, 1 + kind], row, column] += 1
    np.testing.assert_allclose(delta[:, :, 8:], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", ["mse", "giou", "ciou"])
@pytest.mark.parametrize("point", ["center", "left_top", "right_bottom"])
def test_following_the_gradient_finds_the_box_and_grows_sure_of_it(loss: str, point: str) -> None:
    """Steps along the delta of the entries themselves."""
    raw, truth = some_entries(5, 2).astype(np.float32) * 0.5, one_truth()
    options = f"iou_loss={loss}\nyolo_point={point}\nmax_delta=2\nuc_normalizer=.3"
    with dn.Network.from_string(cfg(options, 2)) as net, dn.Trainer(net) as trainer:
        for _ in range(1500):
            trainer.backward(spread(raw.reshape(2, 24, H, W)), truth)
            raw += 0.05 * trainer.delta(0).reshape(raw.shape)
        with net.session() as session:
            x = spread(raw.reshape(2, 24, H, W))
            for image in range(2):
                out = session.predict(x[image : image + 1])[0].reshape(2, 12, H, W)
                boxes, objectness, probabilities = session._boxes(detect_options(0.3))
                best = objectness.argmax()
                want = truth[image, 0, :4] * [NET_W, NET_H, NET_W, NET_H]
                assert dn.boxes.iou(boxes[best], want) > 0.8
                assert probabilities[best].argmax() == truth[image, 0, 4]
                cell = np.unravel_index(out[:, 8].argmax(), (2, H, W))
                assert out[cell[0], [1, 3, 5, 7], cell[1], cell[2]].max() < 0.2

"""Pictures made of several: where their boxes are, and that they don't depend on the number of workers."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darknet_py import blending
from darknet_py.data import write_whole
from darknet_py.loaders import ClassificationLoader, DetectionLoader

SIZE = 64


def picture_with_box(value: float, rng: np.random.Generator) -> tuple[blending.Floats, blending.Floats]:
    """A black picture with a bright rectangle, and the truth that says where."""
    x, truth = np.zeros((3, SIZE, SIZE), np.float32), np.zeros((6, 5), np.float32)
    left, top = rng.integers(0, SIZE - 20, 2)
    w, h = rng.integers(6, 20, 2)
    x[:, top : top + h, left : left + w] = value
    truth[0] = (left + w / 2) / SIZE, (top + h / 2) / SIZE, w / SIZE, h / SIZE, value * 10
    return x, truth


@pytest.mark.parametrize("bound", [False, True])
def test_boxes_of_a_mosaic_are_where_their_objects_are(bound: bool) -> None:
    rng, kept = np.random.default_rng(5), 0
    for seed in range(60):
        sources = [picture_with_box(0.1 * k, rng) for k in (1, 2, 3, 4)]
        (x, truth), *others = sources
        blending.mosaic(x, truth, others, random.Random(seed), bound)
        rows = truth[truth[:, 0] != 0]
        kept += len(rows)
        shown = {k for k in (1, 2, 3, 4) if (abs(x[0] - 0.1 * k) < 0.01).any()}
        assert {round(float(row[4])) for row in rows} == shown
        for row in rows:
            ys, xs = np.nonzero(abs(x[0] - row[4] / 10) < 0.01)
            box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            low, high = (row[:2] - row[2:4] / 2) * SIZE, (row[:2] + row[2:4] / 2) * SIZE
            found = np.concatenate([low, high])
            assert (found > -0.01).all() and (found < SIZE + 0.01).all()
            outside = np.maximum(found - box, box - found)
            if bound:
                assert (outside < 0.01).all()
            else:  # may go on behind the neighbouring window
                assert (low <= box[:2] + 0.01).all() and (high >= box[2:] - 0.01).all()
    assert 60 < kept < 240  # some objects are cut away, most are not


def test_mixup_keeps_both_boxes_and_halves_classes() -> None:
    rng = np.random.default_rng(0)
    (x, truth), other = picture_with_box(0.2, rng), picture_with_box(0.4, rng)
    expected = (x + other[0]) / 2
    blending.mixup(x, truth, [other])
    assert np.allclose(x, expected) and truth[:3, 4].tolist() == pytest.approx([2, 4, 0])
    classes = np.array([1, 0], np.float32)
    blending.mixup(x, classes, [(x, np.array([0, 1], np.float32))])
    assert classes.tolist() == [0.5, 0.5]
    full = np.ones((1, 5), np.float32)
    blending.mixup(x, full, [(x, np.full((1, 5), 2, np.float32))])
    assert full.tolist() == [[1] * 5]  # no room for more


def test_cutmix_weighs_classes_by_area() -> None:
    for seed in range(20):
        x, truth = np.zeros((3, 40, 50), np.float32), np.array([1, 0], np.float32)
        blending.cutmix(x, truth, np.ones_like(x), np.array([0, 1], np.float32), random.Random(seed))
        assert truth[1] == pytest.approx(x.mean(), abs=1e-6) and truth.sum() == pytest.approx(1)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    for i in range(5):
        Image.effect_noise((48, 48), 90).convert("RGB").save(tmp_path / f"class{i % 2}_{i}.png")
        write_whole(tmp_path / f"class{i % 2}_{i}.txt", f"{i % 2} .4 .5 .3 .{i + 1}\n")
    return [str(path) for path in sorted(tmp_path.glob("*.png"))]


def test_blends_depend_on_the_seed_alone(paths: list[str]) -> None:
    def batches(workers: int, seed: int, blends: list[str]) -> list[bytes]:
        options = {"classes": 2, "seed": seed, "workers": workers}
        with DetectionLoader(paths, (32, 32), 4, **options) as loader:  # type: ignore[arg-type]
            loader.blend(blends)
            found = [loader.batch(step) for step in range(6)]
        if blends:  # half of 24 pictures, chosen by the seed
            assert 4 < sum(" + " in name for batch in found for name in batch.images) < 20
        return [batch.x.tobytes() + batch.truth.tobytes() + repr(batch.images).encode() for batch in found]

    first = batches(1, 7, ["mosaic", "mixup"])
    assert batches(3, 7, ["mosaic", "mixup"]) == first
    assert batches(1, 8, ["mosaic", "mixup"]) != first and batches(1, 7, []) != first


def test_label_smoothing_shares_a_part_of_the_truth(paths: list[str]) -> None:
    with ClassificationLoader(paths, (32, 32), 4, labels=["class0", "class1"], label_smoothing=0.1) as loader:
        assert np.allclose(np.sort(loader.batch(0).truth), [0.05, 0.95])
        loader.blend(["cutmix", "mixup"])
        truths = np.concatenate([loader.batch(step).truth for step in range(20, 30)])
    assert np.allclose(truths.sum(1), 1) and ((truths > 0.06) & (truths < 0.94)).any()

"""Average precision and accuracy, against numbers worked out by hand and the definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("darknet_py._native", reason="the core is not built")

from darknet_py import classification, evaluation
from darknet_py.errors import ArgumentError, DataError


def _score(**settings: Any) -> evaluation.DetectionScore:
    """Two images, two classes: class 0 has three objects, class 1 one."""
    score = evaluation.DetectionScore(2, **settings)
    truths = np.array(
        [[0, 0.25, 0.25, 0.2, 0.2], [0, 0.75, 0.75, 0.2, 0.2], [1, 0.25, 0.75, 0.2, 0.2]], np.float32
    )
    boxes = np.array(
        [
            [0.15, 0.15, 0.35, 0.35],  # the first object of class 0, exactly
            [0.16, 0.15, 0.36, 0.35],  # again: a false positive
            [0.15, 0.65, 0.35, 0.85],  # the object of class 1, called class 0
        ],
        np.float32,
    )
    score.add(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.array([0, 0, 0]), truths)
    score.add(
        np.array([[0.4, 0.4, 0.6, 0.6]], np.float32),
        np.array([0.2], np.float32),
        np.array([0]),
        np.array([[0, 0.5, 0.5, 0.2, 0.2]], np.float32),
    )
    return score


def test_matching_and_counts() -> None:
    result = _score().result()
    first, second = result.classes
    assert (first.truths, first.tp, first.fp) == (3, 1, 2)
    assert (second.truths, second.tp, second.fp) == (1, 0, 0)
    # Ranked: hit (recall 1/3, precision 1), miss, miss, hit (recall 2/3, precision 1/2).
    assert first.ap == pytest.approx(1 / 3 + 1 / 3 * 0.5)
    assert second.ap == 0
    assert result.map == pytest.approx(first.ap / 2)
    assert (result.tp, result.fp, result.fn, result.images) == (1, 2, 3, 2)
    assert result.precision == pytest.approx(1 / 3) and result.recall == pytest.approx(1 / 4)
    assert result.f1 == pytest.approx(2 / 7)
    assert result.average_iou == pytest.approx(1 / 3, abs=1e-4)


def test_the_overlap_must_exceed_the_threshold() -> None:
    assert _score(iou=0.95).result().tp == 1
    shifted = evaluation.DetectionScore(1, iou=0.5)
    truth = np.array([[0, 0.5, 0.5, 0.5, 0.5]], np.float32)
    shifted.add(
        np.array([[0.25, 0.25, 0.75, 0.5]], np.float32), np.ones(1, np.float32), np.zeros(1, int), truth
    )
    assert shifted.result().tp == 0  # an IoU of exactly .5 is not above it


def test_lines_are_those_of_the_reference() -> None:
    lines = _score().result().lines(["cat"])
    assert lines[0] == "class_id = 0, name = cat, ap = 50.00%   \t (TP = 1, FP = 2)"
    assert lines[1] == "class_id = 1, name = class 1, ap = 0.00%   \t (TP = 0, FP = 0)"
    assert lines[3] == "for conf_thresh = 0.25, precision = 0.33, recall = 0.25, F1-score = 0.29"
    assert lines[4] == "for conf_thresh = 0.25, TP = 1, FP = 2, FN = 3, average IoU = 33.33 %"
    assert lines[-1] == "mean average precision (mAP@0.50) = 0.250000, or 25.00 %"


def test_average_precision_by_definition() -> None:
    rng = np.random.default_rng(3)
    scores = rng.permutation(40).astype(np.float32)
    matches = rng.random(40) < 0.4
    truths = int(matches.sum()) + 5
    order = np.argsort(-scores)
    hits = np.cumsum(matches[order])
    recall, precision = hits / truths, hits / np.arange(1, 41)
    best = np.array([precision[i:].max() for i in range(40)])
    area = float(np.sum(np.diff(recall, prepend=0) * best))
    assert evaluation.average_precision(scores, matches, truths) == pytest.approx(area)
    for points in (11, 101):
        wanted = [best[recall >= r - 1e-12].max(initial=0) for r in np.linspace(0, 1, points)]
        assert evaluation.average_precision(scores, matches, truths, points) == pytest.approx(
            np.mean(wanted), abs=0.01
        )
    assert evaluation.average_precision([], [], 3) == 0
    with pytest.raises(ArgumentError):
        evaluation.average_precision([1.0], [1, 0], 3)


def test_iou_matrix() -> None:
    first = np.array([[0, 0, 2, 2], [5, 5, 5, 5]], np.float32)
    second = np.array([[1, 1, 3, 3], [0, 0, 2, 2], [9, 9, 10, 10]], np.float32)
    np.testing.assert_allclose(evaluation.iou_matrix(first, second), [[1 / 7, 1, 0], [0, 0, 0]])


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    paths = []
    for i in range(5):
        path = tmp_path / f"{'nesw'[i % 4]}_{i}.png"
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(path)
        path.with_suffix(".txt").write_text("1 .5 .5 .3 .3\n")
        paths.append(str(path))
    return paths


def test_a_detector_over_pictures(detector: Any, pictures: list[str]) -> None:
    Path(pictures[1]).write_bytes(b"no picture")
    result = evaluation.evaluate_detector(detector, pictures)
    assert result.images == 4 and len(result.unreadable) == 1 and pictures[1] in result.unreadable[0]
    assert result.classes[1].truths == 4 and result.tp + result.fn == 4
    assert 0 <= result.map <= 1
    for path in pictures:
        Path(path).write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the 5"):
        evaluation.evaluate_detector(detector, pictures)


def test_a_classifier_over_pictures(classifier: Any, pictures: list[str]) -> None:
    labels = [f"{side}_" for side in "nesw"]
    result = classification.evaluate_classifier(classifier, pictures, labels, top=4, batch=2)
    expected = [classifier.classify(path, 1)[0][0] == "nesw"[i % 4] for i, path in enumerate(pictures)]
    assert result.images == 5 and result.topk == 1
    assert result.top1 == pytest.approx(np.mean(expected))
    with pytest.raises(DataError, match="4 classes, but there are 5"):
        classification.evaluate_classifier(classifier, pictures, [*labels, "zz"])


def test_a_classifier_is_no_detector(classifier: Any, pictures: list[str]) -> None:
    with pytest.raises(ArgumentError, match="no detection layer"):
        evaluation.evaluate_detector(classifier, pictures)

"""Precision and recall by class as PASCAL VOC counts them, and what follows: VOC 2007's and VOC 2010's
average precision, and the threshold of the best F1.

A detection belongs to the object of its class with which it overlaps most. The first detection of an object
(by score) is a hit, every other one a miss; detections of difficult objects do not count at all. (VOC
development kit, VOCevaldet.m.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from ..evaluation import average_precision, iou_matrix
from .boxes import Doubles, Flags, ImageBoxes, Ranked, by_score, check_classes

__all__ = ["Best", "Curve", "mean_ap", "precision_recall"]


@dataclass(frozen=True)
class Best:
    """The threshold with the best F1: detections whose score is score or more are kept."""

    score: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Curve:
    """One class. scores (n,): of the detections that count, largest first. hits (n,): which are right.
    truths: the number of objects to find."""

    class_id: int
    truths: int
    scores: Doubles
    hits: Flags

    @property
    def precision(self) -> Doubles:
        """Part of the detections up to each one that are hits."""
        result: Doubles = np.cumsum(self.hits) / np.arange(1, len(self.hits) + 1)
        return result

    @property
    def recall(self) -> Doubles:
        """Part of the objects that are found by the detections up to each one."""
        result: Doubles = np.cumsum(self.hits) / max(self.truths, 1)
        return result

    def ap(self, points: int = 0) -> float:
        """Average precision: the area under the interpolated curve (VOC 2010), or with 11 points VOC 2007's.
        nan without objects."""
        if self.truths == 0:
            return float("nan")
        return average_precision(self.scores, self.hits, self.truths, points)

    def best(self) -> Best | None:
        """The threshold with the best F1, the largest of several; None without a hit."""
        if not self.hits.any():
            return None
        # Equal scores pass a threshold together.
        last = np.append(np.diff(self.scores) < 0, True)
        hits, count = np.cumsum(self.hits)[last], np.flatnonzero(last) + 1
        f1 = 2 * hits / (count + self.truths)
        k = int(f1.argmax())
        return Best(
            float(self.scores[last][k]),
            float(hits[k] / count[k]),
            float(hits[k] / self.truths),
            float(f1[k]),
        )


def precision_recall(
    images: Sequence[ImageBoxes], classes: int, iou: float = 0.5, *, inclusive: bool = False
) -> tuple[Curve, ...]:
    """The curve of each class. iou: overlap, at least, that makes a detection right. inclusive: boxes
    contain the pixels that their right and bottom edges name, as VOC's annotations and its development kit
    have it, so that each side is longer by 1."""
    if not 0 < iou <= 1:
        raise ArgumentError(f"expected an IoU above 0 and not above 1, found {iou:g}")
    check_classes(images, classes)
    truths, found = np.zeros(classes, np.int64), Ranked(classes)
    for image in images:
        truths += np.bincount(image.truth_class[~image.optional], minlength=classes)
        for i, hit in _matches(image, iou, inclusive):
            found.add(int(image.class_id[i]), float(image.scores[i]), hit)
    curves = []
    for k in range(classes):
        scores, hits = found.take(k)
        curves.append(Curve(k, int(truths[k]), scores, hits.astype(bool)))
    return tuple(curves)


def _matches(image: ImageBoxes, iou: float, inclusive: bool) -> Iterator[tuple[int, bool]]:
    """The detections that count, by score, and whether each is a hit."""
    overlaps = class_overlaps(image, inclusive)
    best = overlaps.argmax(1) if overlaps.size else np.zeros(len(image.boxes), np.int64)
    value = overlaps.max(1, initial=-1)
    taken: set[int] = set()
    for i in by_score(image.scores).tolist():
        truth = int(best[i]) if value[i] >= iou else -1
        if truth >= 0 and image.optional[truth]:
            continue
        yield i, truth >= 0 and truth not in taken
        taken.add(truth)


def class_overlaps(image: ImageBoxes, inclusive: bool = False) -> Doubles:
    """IoU (n, m) of every detection with every object; -1 where their classes differ."""
    overlaps: Doubles = iou_matrix(image.boxes, image.truths, inclusive=inclusive)
    overlaps[image.class_id[:, None] != image.truth_class[None, :]] = -1
    return overlaps


def mean_ap(curves: Sequence[Curve], points: int = 0) -> float:
    """Mean of the average precisions of the classes that have objects; nan if none has."""
    values = [curve.ap(points) for curve in curves if curve.truths]
    return float(np.mean(values)) if values else float("nan")


def sampled(curve: Curve, points: int = 101) -> npt.NDArray[np.float64]:
    """Interpolated precision at recalls 0..1, for drawing: the best precision at that recall or a larger
    one."""
    best = np.append(np.maximum.accumulate(curve.precision[::-1])[::-1], 0)
    result: Doubles = best[np.searchsorted(curve.recall, np.linspace(0, 1, points), side="left")]
    return result

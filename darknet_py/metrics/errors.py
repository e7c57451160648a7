"""What a detector's best detections are, right or wrong: the analysis of the YOLO paper (section 4.2,
figure 4), after Hoiem et al., Diagnosing Error in Object Detectors (ECCV 2012).

Of each class the best N detections are looked at, N being the number of its objects:
  correct       the class is right and the IoU at least .5
  localisation  the class is right, but the IoU .1 to .5, or a better detection has the object already
  similar       the IoU with an object of a similar class is at least .1
  other         the IoU with an object of another class is at least .1
  background    the IoU with every object is less than .1
Detections of difficult objects of their class are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..evaluation import iou_matrix
from .boxes import Doubles, ImageBoxes, Integers, Ranked, by_score, check_classes

__all__ = ["CATEGORIES", "VOC_SIMILAR", "ErrorTable", "analyse_errors", "similar_groups"]

CATEGORIES = ("correct", "localisation", "similar", "other", "background")
CORRECT, LOCALISATION, SIMILAR, OTHER, BACKGROUND = range(5)
PASSED_OVER = -1
WEAK = 0.1  # overlap with an object from which on a detection is about it

#: The sets of Hoiem et al., section 2.2, for the classes of PASCAL VOC.
VOC_SIMILAR = (
    ("aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"),
    ("bird", "cat", "cow", "dog", "horse", "person", "sheep"),
    ("chair", "diningtable", "sofa"),
    ("aeroplane", "bird"),
)


@dataclass(frozen=True)
class ErrorTable:
    """counts (classes, 5): detections by CATEGORIES; a row has as many as the class has objects, or as there
    are detections."""

    counts: Integers

    @property
    def parts(self) -> Doubles:
        """(classes, 5): parts of the row's detections; nan for a class without any."""
        totals = self.counts.sum(1, keepdims=True)
        result: Doubles = np.divide(
            self.counts, totals, out=np.full(self.counts.shape, np.nan), where=totals > 0
        )
        return result

    @property
    def mean(self) -> Doubles:
        """(5,): mean of parts over the classes that have detections, as in the paper's figure 4."""
        there = self.parts[self.counts.sum(1) > 0]
        result: Doubles = there.mean(0) if len(there) else np.full(len(CATEGORIES), np.nan)
        return result


def similar_groups(names: Sequence[str], groups: Sequence[Sequence[str]] = VOC_SIMILAR) -> list[list[int]]:
    """Groups of similar classes as numbers, from names. Those of VOC_SIMILAR that names lacks are left out;
    other groups must be known: raises DataError."""
    number = {name: k for k, name in enumerate(names)}
    if groups is not VOC_SIMILAR:
        unknown = [name for group in groups for name in group if name not in number]
        if unknown:
            raise DataError(f"similar classes: {unknown[0]!r} is none of the {len(names)} classes")
    return [[number[name] for name in group if name in number] for group in groups]


def analyse_errors(
    images: Sequence[ImageBoxes], classes: int, similar: Sequence[Sequence[int]] = (), *, iou: float = 0.5
) -> ErrorTable:
    """similar: groups of classes that are alike. iou: the overlap that makes a detection correct."""
    check_classes(images, classes)
    alike = np.zeros((classes, classes), bool)
    for group in similar:
        alike[np.ix_(list(group), list(group))] = True
    np.fill_diagonal(alike, False)
    truths = np.zeros(classes, np.int64)
    found = Ranked(classes)
    for image in images:
        truths += np.bincount(image.truth_class[~image.optional], minlength=classes)
        columns = (image.class_id.tolist(), image.scores.tolist(), _categories(image, alike, iou).tolist())
        for kind, score, category in zip(*columns, strict=True):
            if category != PASSED_OVER:
                found.add(kind, score, category)
    counts = np.zeros((classes, len(CATEGORIES)), np.int64)
    for k in range(classes):
        counts[k] = np.bincount(found.take(k)[1][: truths[k]], minlength=len(CATEGORIES))
    return ErrorTable(counts)


def _categories(image: ImageBoxes, alike: np.ndarray, iou: float) -> Integers:
    """The category of every detection of a picture, or PASSED_OVER."""
    overlaps: Doubles = iou_matrix(image.boxes, image.truths)
    same = image.class_id[:, None] == image.truth_class[None, :]
    result = np.full(len(image.boxes), BACKGROUND)
    if not overlaps.size:
        return result
    result[overlaps.max(1) >= WEAK] = OTHER
    near = alike[image.class_id[:, None], image.truth_class[None, :]]
    result[np.where(near, overlaps, 0).max(1) >= WEAK] = SIMILAR
    own = np.where(same, overlaps, 0)
    result[own.max(1) >= WEAK] = LOCALISATION
    best = own.argmax(1)
    taken: set[int] = set()
    for i in by_score(image.scores).tolist():
        truth = int(best[i])
        if own[i, truth] >= iou:
            if image.optional[truth]:
                result[i] = PASSED_OVER
            elif truth not in taken:
                result[i] = CORRECT
                taken.add(truth)
    return result

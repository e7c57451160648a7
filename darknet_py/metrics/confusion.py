"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..evaluation import iou_matrix
from .boxes import Doubles, ImageBoxes, Integers, check_classes

__all__ = ["confusion_matrix"]


def confusion_matrix(
    images: Sequence[ImageBoxes], classes: int, *, thresh: float = 0.25, iou: float = 0.5
) -> Integers:
    """(classes + 1, classes + 1): a row for the class of the object, a column for that of the detection. The
    last column counts objects that nothing found, the last row detections with no object under them.

    Detections with a score above thresh and objects are paired whatever their classes, those that overlap
    most first (of equal overlaps the better score), each at most once, down to an overlap of iou. Difficult
    objects are not counted, nor detections paired with them.
    """
    check_classes(images, classes)
    result = np.zeros((classes + 1, classes + 1), np.int64)
    for image in images:
        kept = image.scores > thresh
        found, scores = image.class_id[kept], image.scores[kept]
        overlaps: Doubles = iou_matrix(image.boxes[kept], image.truths)
        detection, truth = np.nonzero(overlaps >= iou)
        order = np.lexsort((-scores[detection], -overlaps[detection, truth]))
        paired = np.full(len(found), -1)
        finder = np.full(len(image.truths), -1)
        for d, t in zip(detection[order].tolist(), truth[order].tolist(), strict=True):
            if paired[d] < 0 and finder[t] < 0:
                paired[d], finder[t] = t, d
        for t, d in enumerate(finder.tolist()):
            if not image.optional[t]:
                result[image.truth_class[t], found[d] if d >= 0 else classes] += 1
        np.add.at(result[classes], found[paired < 0], 1)
    return result

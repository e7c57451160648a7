"""Two detectors that agree: the scores of one raised where the other sees the same, as Fast R-CNN's are by
YOLO in the YOLO paper (section 4.3). The paper gives no formula; the one here is ours.
"""

from __future__ import annotations

import copy

import numpy as np

from ..errors import ArgumentError
from ..evaluation import iou_matrix
from .boxes import Doubles, ImageBoxes

__all__ = ["rescore"]


def rescore(first: ImageBoxes, second: ImageBoxes, *, iou: float = 0.5, weight: float = 1.0) -> ImageBoxes:
    """first with its scores raised: s + weight (1 - s) max(t IoU), where t are the scores of second's boxes
    of the same class that overlap by at least iou. No score falls or leaves 0..1, and no box comes or goes.

    As a probability: with weight 1 the box is wrong only if both detectors are, the second one believed as
    far as its box fits. Raises ArgumentError for scores outside 0..1.
    """
    if not 0 < iou <= 1 or not 0 <= weight <= 1:
        raise ArgumentError(
            f"expected iou above 0 and weight 0..1, both at most 1, found {iou:g}, {weight:g}"
        )
    for scores in (first.scores, second.scores):
        if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
            raise ArgumentError(f"expected scores 0..1, found {scores.min():g} to {scores.max():g}")
    overlaps: Doubles = iou_matrix(first.boxes, second.boxes)
    agree = (first.class_id[:, None] == second.class_id[None, :]) & (overlaps >= iou)
    support = np.where(agree, overlaps * second.scores, 0).max(1, initial=0)
    result = copy.copy(first)
    result.scores = first.scores + weight * (1 - first.scores) * support
    return result

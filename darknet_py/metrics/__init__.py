"""Published measures of detectors, as functions of boxes: no network and no files are needed.

Every function takes a sequence of ImageBoxes, the detections and objects of one picture each. Darknet's own
measure is in evaluation.py; docs/evaluation.md says what is counted how.
"""

from __future__ import annotations

from .boxes import ImageBoxes
from .coco import CocoScore, coco_score
from .confusion import confusion_matrix
from .curves import Best, Curve, mean_ap, precision_recall
from .errors import CATEGORIES, VOC_SIMILAR, ErrorTable, analyse_errors, similar_groups
from .report import Report, measure
from .rescore import rescore

__all__ = [
    "CATEGORIES",
    "VOC_SIMILAR",
    "Best",
    "CocoScore",
    "Curve",
    "ErrorTable",
    "ImageBoxes",
    "Report",
    "analyse_errors",
    "coco_score",
    "confusion_matrix",
    "mean_ap",
    "measure",
    "precision_recall",
    "rescore",
    "similar_groups",
]

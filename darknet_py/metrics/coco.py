"""COCO's twelve figures for boxes, equal to those of its own evaluation (pycocotools, COCOeval, "bbox").

Unlike VOC, a detection belongs to the object with the largest overlap among those that no better detection
has; ten IoU thresholds are averaged, and precision is sampled at 101 recalls. Objects and unmatched
detections outside a range of areas are left out of that range.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation import iou_matrix
from .boxes import Doubles, Flags, ImageBoxes, Integers, by_score, check_classes

__all__ = ["CocoScore", "coco_score"]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
#: Least and greatest area in square pixels: all, small, medium, large.
AREAS = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])
BITS = 1 << np.arange(len(THRESHOLDS))
MOST = (1, 10, 100)  # detections of a class in a picture that count


@dataclass(frozen=True)
class CocoScore:
    """ap: mean of thresholds .50 to .95; nan where there is nothing to find. ar_1, ar_10, ar_100: recall with
    that many detections of a class in a picture. class_ap (classes, 10): by class and threshold."""

    ap: float
    ap_50: float
    ap_75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar_1: float
    ar_10: float
    ar_100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    class_ap: Doubles

    def figures(self) -> dict[str, float]:
        """The twelve figures, in COCO's order."""
        return {key: value for key, value in vars(self).items() if key != "class_ap"}

    def lines(self) -> list[str]:
        """The lines that COCO's own evaluation prints; -1 for what is not defined."""
        kinds = [("all", 100), ("all", 100), ("all", 100), ("small", 100), ("medium", 100), ("large", 100)]
        kinds += [("all", 1), ("all", 10), ("all", 100), ("small", 100), ("medium", 100), ("large", 100)]
        overlaps = ["0.50:0.95", "0.50", "0.75", *["0.50:0.95"] * 9]
        titles = ["Average Precision  (AP)"] * 6 + ["Average Recall     (AR)"] * 6
        values = [-1 if np.isnan(value) else value for value in self.figures().values()]
        return [
            f" {title} @[ IoU={overlap:<9} | area={area:>6} | maxDets={most:>3} ] = {value:.3f}"
            for title, overlap, (area, most), value in zip(titles, overlaps, kinds, values, strict=True)
        ]


class _Found:
    """The detections of a class in all pictures, 25 bytes each: a curve needs them all. ranks: in their
    picture, the best is 0. hits and misses have a word of bits by threshold for each area."""

    def __init__(self) -> None:
        self.scores, self.ranks = array("d"), array("B")
        self.hits, self.misses = array("H"), array("H")
        self.truths: Integers = np.zeros(len(AREAS), np.int64)  # that count, by area

    def add(self, scores: Doubles, matched: Flags, ignored: Flags) -> None:
        """Those of one picture, best first. matched, ignored: (areas, thresholds, detections)."""
        self.scores.frombytes(scores.tobytes())
        self.ranks.extend(range(len(scores)))
        for words, flags in ((self.hits, matched & ~ignored), (self.misses, ~matched & ~ignored)):
            words.frombytes((flags.transpose(2, 0, 1) @ BITS).astype(np.uint16).tobytes())


def coco_score(images: Sequence[ImageBoxes], classes: int) -> CocoScore:
    """The twelve figures. Difficult objects count as left out: they need not be found, but may be, once."""
    check_classes(images, classes)
    precision = np.full((classes, len(AREAS), len(THRESHOLDS), len(RECALLS)), np.nan)
    recall = np.full((classes, len(AREAS), len(MOST), len(THRESHOLDS)), np.nan)
    everything = [_Found() for _ in range(classes)]
    for image in images:
        for kind in np.unique(np.concatenate([image.class_id, image.truth_class])).tolist():
            _match(image, kind, everything[kind])
    for kind in range(classes):
        found, everything[kind] = everything[kind], _Found()  # which lets go of it
        for area in np.flatnonzero(found.truths).tolist():
            for m, most in enumerate(MOST):
                precision[kind, area], recall[kind, area, m] = _accumulate(found, area, most)
    return CocoScore(
        ap=_mean(precision[:, 0]),
        ap_50=_mean(precision[:, 0, 0]),
        ap_75=_mean(precision[:, 0, 5]),
        **{f"ap_{name}": _mean(precision[:, k]) for k, name in enumerate(("small", "medium", "large"), 1)},
        **{f"ar_{most}": _mean(recall[:, 0, m]) for m, most in enumerate(MOST)},
        **{f"ar_{name}": _mean(recall[:, k, -1]) for k, name in enumerate(("small", "medium", "large"), 1)},
        class_ap=precision[:, 0].mean(2),
    )


def _mean(values: Doubles) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")


def _match(image: ImageBoxes, kind: int, found: _Found) -> None:
    """Adds what one picture has of a class."""
    mine = np.flatnonzero(image.class_id == kind)
    mine = mine[by_score(image.scores[mine])][: MOST[-1]]
    theirs = np.flatnonzero(image.truth_class == kind)
    boxes, crowd = image.boxes[mine], image.crowd[theirs]
    outside = _outside(image.areas[theirs])
    left_out = outside | image.optional[theirs]
    shape = (len(AREAS), len(THRESHOLDS), len(mine))
    matched, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    if len(theirs):
        overlaps = _overlaps(boxes, image.truths[theirs], crowd)
        taken = np.zeros((*shape[:2], len(theirs)), bool)
        for d in range(len(mine)):
            _assign(overlaps[d], crowd, left_out, taken, matched[:, :, d], ignored[:, :, d])
    ignored |= ~matched & _outside(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))[:, None, :]
    found.add(image.scores[mine], matched, ignored)
    found.truths += (~left_out).sum(1)


def _outside(areas: Doubles) -> Flags:
    """(ranges, n): which areas do not belong to a range."""
    result: Flags = (areas < AREAS[:, :1]) | (areas > AREAS[:, 1:])
    return result


def _overlaps(boxes: Doubles, truths: Doubles, crowd: Flags) -> Doubles:
    """IoU; with a crowd the part of the detection that is inside it."""
    result: Doubles = iou_matrix(boxes, truths)
    if crowd.any():
        low = np.maximum(boxes[:, None, :2], truths[None, :, :2])
        high = np.minimum(boxes[:, None, 2:], truths[None, :, 2:])
        common = np.prod(np.clip(high - low, 0, None), axis=2)
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)[:, None]
        inside = np.divide(common, areas, out=np.zeros_like(common), where=areas > 0)
        result = np.where(crowd[None, :], inside, result)
    return result


def _assign(
    overlap: Doubles, crowd: Flags, left_out: Flags, taken: Flags, matched: Flags, ignored: Flags
) -> None:
    """Gives one detection an object for every area and threshold: the best that counts, else the best of the
    others; the last of equal ones."""
    least = np.minimum(THRESHOLDS, 1 - 1e-10)
    near: Flags = overlap[None, :] >= least[:, None]  # (thresholds, m)
    if not near.any():
        return
    free = near & (~taken | crowd)  # (areas, thresholds, m)
    counting = free & ~left_out[:, None, :]
    found: Flags = np.any(counting, axis=2)
    candidates = np.where(found[:, :, None], counting, free)
    value = np.where(candidates, overlap, -1)[:, :, ::-1]
    best = overlap.size - 1 - value.argmax(2)
    matched[:] = candidates.any(2)
    ignored[:] = matched & ~found
    area, threshold = np.nonzero(matched)
    taken[area, threshold, best[area, threshold]] = True


def _accumulate(found: _Found, area: int, most: int) -> tuple[Doubles, Doubles]:
    """Precision (thresholds, recalls) and final recall (thresholds,) of one class."""
    precision, recall = np.zeros((len(THRESHOLDS), len(RECALLS))), np.zeros(len(THRESHOLDS))
    chosen = np.flatnonzero(np.array(found.ranks) < most)
    order = chosen[by_score(np.array(found.scores)[chosen])]
    if not len(order):
        return precision, recall
    hit, miss = (np.array(words).reshape(-1, len(AREAS))[order, area] for words in (found.hits, found.misses))
    for threshold, bit in enumerate(BITS):
        hits, misses = np.cumsum(hit & bit > 0), np.cumsum(miss & bit > 0)
        recalls = hits / found.truths[area]
        best = np.maximum.accumulate((hits / np.maximum(hits + misses, 1))[::-1])[::-1]
        ranks = np.searchsorted(recalls, RECALLS, side="left")
        precision[threshold], recall[threshold] = np.append(best, 0)[ranks], recalls[-1]
    return precision, recall

"""How good a detector is: mean average precision, and recall of boxes whatever their class.

The rules of matching are those of `detector map` and `detector recall` (compat 16.2, 16.3); the curve itself
is computed by the core.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import data
from ._native import ffi, lib
from .collection import Boxes
from .errors import ArgumentError, DataError, ImageError, check
from .logs import logger
from .results import Detections
from .session import Rules
from .sweep import detect_each

if TYPE_CHECKING:
    from .network import Network

__all__ = [
    "ClassScore",
    "Evaluation",
    "Recall",
    "average_precision",
    "evaluate_detector",
    "evaluate_recall",
]

Floats = npt.NDArray[np.float32]

CANDIDATE_THRESH = 0.005
NMS = 0.45


@dataclass(frozen=True)
class ClassScore:
    """One class: average precision, and what was found above the confidence threshold."""

    class_id: int
    ap: float
    truths: int
    tp: int
    fp: int


@dataclass(frozen=True)
class Evaluation:
    """A detector on a list of images. map: mean of the classes' ap. tp, fp, fn, average_iou: above thresh."""

    iou: float
    thresh: float
    map: float
    classes: tuple[ClassScore, ...]
    tp: int
    fp: int
    fn: int
    average_iou: float
    images: int
    unreadable: tuple[str, ...] = ()

    @property
    def precision(self) -> float:
        """Part of the boxes above thresh that are right."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0

    @property
    def recall(self) -> float:
        """Part of the objects that were found above thresh."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    def to_dict(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Plain Python values."""
        rows = [
            {
                "class_id": one.class_id,
                "name": _name(names, one.class_id),
                "ap": one.ap,
                "truths": one.truths,
                "tp": one.tp,
                "fp": one.fp,
            }
            for one in self.classes
        ]
        keys = (
            "map",
            "iou",
            "thresh",
            "precision",
            "recall",
            "f1",
            "tp",
            "fp",
            "fn",
            "average_iou",
            "images",
        )
        return {
            **{key: getattr(self, key) for key in keys},
            "unreadable": list(self.unreadable),
            "classes": rows,
        }

    def lines(self, names: Sequence[str] | None = None) -> list[str]:
        """The lines that `detector map` prints."""
        result = [
            f"class_id = {one.class_id}, name = {_name(names, one.class_id)}, ap = {100 * one.ap:2.2f}%   \t "
            f"(TP = {one.tp}, FP = {one.fp})"
            for one in self.classes
        ]
        return [
            *result,
            "",
            f"for conf_thresh = {self.thresh:1.2f}, precision = {self.precision:1.2f}, "
            f"recall = {self.recall:1.2f}, F1-score = {self.f1:1.2f}",
            f"for conf_thresh = {self.thresh:0.2f}, TP = {self.tp}, FP = {self.fp}, FN = {self.fn}, "
            f"average IoU = {100 * self.average_iou:2.2f} %",
            "",
            f"mean average precision (mAP@{self.iou:0.2f}) = {self.map:f}, or {100 * self.map:2.2f} %",
        ]


def _name(names: Sequence[str] | None, class_id: int) -> str:
    return names[class_id] if names and class_id < len(names) else f"class {class_id}"


def average_precision(scores: npt.ArrayLike, matches: npt.ArrayLike, truths: int, points: int = 0) -> float:
    """Average precision of one class. matches: 1 where a score is a true positive. points: 0 for the area
    under the interpolated curve, 11 or 101 for sampled recalls."""
    ranked = np.ascontiguousarray(scores, np.float32)
    hits = np.ascontiguousarray(matches, np.uint8)
    if ranked.ndim != 1 or ranked.shape != hits.shape:
        raise ArgumentError(f"expected as many scores as matches, found {ranked.shape} and {hits.shape}")
    out = ffi.new("double *")
    pointers = (ffi.from_buffer("float[]", ranked), ffi.from_buffer("uint8_t[]", hits))
    check(lib.dn_average_precision(out, *pointers, len(ranked), truths, points))
    return float(out[0])


@dataclass
class _Tally:
    """What one class collects over all images."""

    scores: array[float] = field(default_factory=lambda: array("f"))
    truth_ids: array[int] = field(default_factory=lambda: array("q"))  # what a detection matches, or -1
    truths: int = 0
    tp: int = 0
    fp: int = 0


def iou_matrix(first: npt.NDArray[Any], second: npt.NDArray[Any], *, inclusive: bool = False) -> Any:
    """IoU of every box of first with every box of second; both (n, 4) as left, top, right, bottom.

    inclusive: boxes contain the pixels that their right and bottom edges name, so each side is longer by 1.
    """
    more = 1 if inclusive else 0
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.clip(high - low + more, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2] + more, axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def _overlaps(boxes: Floats, class_id: npt.NDArray[Any], truths: Floats) -> Floats:
    """iou_matrix of boxes with labels as read_labels gives them; 0 where their classes differ."""
    result: Floats = iou_matrix(boxes, corners(truths))
    result[truths[None, :, 0] != np.asarray(class_id)[:, None]] = 0
    return result


def corners(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Left, top, right, bottom (n, 4) of labels as read_labels gives them."""
    centre, half = labels[:, 1:3], labels[:, 3:5] / 2
    return np.concatenate([centre - half, centre + half], 1)


class DetectionScore:
    """Collects detections and truths image by image; result() is the evaluation so far."""

    def __init__(self, classes: int, iou: float = 0.5, thresh: float = 0.25) -> None:
        if not 0 <= iou < 1:
            raise ArgumentError(f"expected an IoU threshold 0 or more and less than 1, found {iou:g}")
        self._iou, self._thresh = iou, thresh
        self._classes = [_Tally() for _ in range(classes)]
        self._truth_count = 0
        self._overlap = 0.0
        self._images = 0

    def add(
        self,
        boxes: Floats,
        confidence: Floats,
        class_id: npt.NDArray[Any],
        truths: Floats,
        difficult: Floats | None = None,
    ) -> None:
        """One image: boxes (n, 4) as relative left, top, right, bottom, most confident first; truths (m, 5)
        as read_labels gives them. difficult: truths that need not be found; a box that matches none but one
        of these does not count."""
        boxes = np.asarray(boxes, np.float32)
        for kind in truths[:, 0].astype(int):
            self._classes[kind].truths += 1
        overlaps = _overlaps(boxes, class_id, truths)
        excused = None if difficult is None else _overlaps(boxes, class_id, difficult)
        counted: set[int] = set()  # truths that a box above thresh already has
        for i, kind in enumerate(int(k) for k in class_id):
            tally, best, overlap = self._classes[kind], -1, self._iou
            if len(truths):
                j = int(overlaps[i].argmax())
                if overlaps[i, j] > overlap:
                    best, overlap = j, float(overlaps[i, j])
            if best < 0 and excused is not None and (excused[i] > self._iou).any():
                continue
            tally.scores.append(float(confidence[i]))
            tally.truth_ids.append(self._truth_count + best if best >= 0 else -1)
            if confidence[i] > self._thresh:
                if best >= 0 and best not in counted:
                    counted.add(best)
                    tally.tp += 1
                    self._overlap += overlap
                else:
                    tally.fp += 1
        self._truth_count += len(truths)
        self._images += 1

    def result(self, points: int = 0, unreadable: Sequence[str] = ()) -> Evaluation:
        """The evaluation of all images added. A class without truths counts as 0, as in the reference."""
        rows = []
        for class_id, tally in enumerate(self._classes):
            found = np.array(tally.scores, np.float32)
            order = np.argsort(-found, kind="stable")
            used: set[int] = {-1}
            matches = np.zeros(len(order), np.uint8)
            for rank, i in enumerate(order):
                truth = tally.truth_ids[i]
                matches[rank] = truth not in used
                used.add(truth)
            ap = average_precision(found[order], matches, tally.truths, points)
            rows.append(ClassScore(class_id, ap, tally.truths, tally.tp, tally.fp))
        tp, fp = sum(one.tp for one in rows), sum(one.fp for one in rows)
        return Evaluation(
            iou=self._iou,
            thresh=self._thresh,
            map=sum(one.ap for one in rows) / max(len(rows), 1),
            classes=tuple(rows),
            tp=tp,
            fp=fp,
            fn=self._truth_count - tp,
            average_iou=self._overlap / (tp + fp) if tp + fp else 0.0,
            images=self._images,
            unreadable=tuple(unreadable),
        )


def head_classes(net: Network) -> int:
    """The number of classes of a detector."""
    for layer in net.layers:
        if layer.head:
            return layer.head[0]
    raise ArgumentError(
        "this network has no detection layer ([yolo], [region], [detection]); use the classifier commands"
    )


def _learned(net: Network) -> list[int] | None:
    """The classes that the heads learn for those of the labels; None if they are the same."""
    return next((layer.class_map for layer in net.layers if layer.head and layer.class_map), None)


def label_classes(net: Network) -> int:
    """The number of classes that labels to train a detector may have: those of its heads' `map`, if any."""
    return len(_learned(net) or range(head_classes(net)))


def tell_classes(net: Network, info: data.DataFile) -> None:
    """Warns of a .data file that states another number of classes than the network has."""
    stated = info.get("classes") and info.classes
    if stated and stated != label_classes(net) and not any(layer.tree for layer in net.layers if layer.head):
        place = f"{info.path}:{info.line('classes')}" if info.line("classes") else str(info.path)
        logger.warning("%s: classes = %d, but the network has %d", place, stated, label_classes(net))


def class_map_of(net: Network, info: data.DataFile) -> list[int] | None:
    """The class map to evaluate a detector by: that of the .data file, if its heads have a word tree."""
    has_tree = any(layer.tree for layer in net.layers if layer.head)
    return info.class_map(head_classes(net)) if has_tree else None


def numbered_for(net: Network, labels: Sequence[Floats], class_map: Sequence[int] | None) -> Sequence[Floats]:
    """Labels with the numbers that a detector gives its classes, where its heads have a `map`."""
    learned = _learned(net) if class_map is None else None
    if not learned:
        return labels
    result = Boxes()
    for rows in labels:
        result.add(_renumbered(rows, learned))
    return result


def evaluate_detector(
    net: Network,
    images: Sequence[str],
    *,
    iou: float = 0.5,
    points: int = 0,
    thresh: float = 0.25,
    preprocess: str | None = None,
    labels: Sequence[Floats] | None = None,
    class_map: Sequence[int] | None = None,
    hier: float = 0.5,
    hier_rule: str = "reference",
    difficult: Sequence[Floats] | None = None,
    on_found: Callable[[Detections, Floats, Floats], None] | None = None,
    quiet: bool = True,
) -> Evaluation:
    """Runs a detector over labelled images.

    iou: overlap that makes a box right. points: 0, 11 or 101, see average_precision. thresh: confidence of
    the precision and recall figures. labels: those of the images, if they were read already. hier, hier_rule,
    class_map: as in Network.detect, for heads with a tree; class_map has a node for each class of the labels.
    Without it, the `map` of the head's cfg section says which of the network's classes a label means.
    difficult: objects of each image that need not be found, but may be. on_found: called with each image's
    detections, labels and difficult objects (metrics.ImageBoxes.of takes them). Images that cannot be read
    are left out and listed. Raises DataError for missing or wrong labels, or if no image can be read.
    """
    if points not in (0, 11, 101):
        raise ArgumentError(f"expected points 0, 11 or 101, found {points}")
    if class_map is not None and not any(layer.tree for layer in net.layers if layer.head):
        raise ArgumentError("a class map needs a head with a word tree")
    classes = head_classes(net) if class_map is None else len(class_map)
    given = label_classes(net) if class_map is None else classes
    known = numbered_for(net, data.labels_of(images, given) if labels is None else labels, class_map)
    hard = numbered_for(net, difficult, class_map) if difficult else None
    none = np.empty((0, 5), np.float32)
    score, unreadable = DetectionScore(classes, iou, thresh), []
    rules = Rules(CANDIDATE_THRESH, hier, NMS, hier_rule, preprocess=preprocess, class_map=class_map)
    for index, candidates in detect_each(net, images, rules, quiet=quiet):
        if isinstance(candidates, ImageError):
            unreadable.append(str(candidates))
            continue
        found = candidates.detections(CANDIDATE_THRESH)
        truths, excused = known[index], hard[index] if hard else none
        score.add(found.xyxyn, found.confidence, found.class_id, truths, excused)
        if on_found:
            on_found(found, truths, excused)
    if len(unreadable) == len(images):
        raise DataError(f"none of the {len(images)} images can be read; the last one: {unreadable[-1]}")
    return score.result(points, unreadable)


def _renumbered(labels: Floats, class_map: Sequence[int]) -> Floats:
    result: Floats = labels.copy()
    result[:, 0] = np.array(class_map, np.float32)[labels[:, 0].astype(int)]
    return result


@dataclass(frozen=True)
class Recall:
    """How many objects have a box on them, of whatever class. proposals: boxes above the threshold. overlap:
    sum over the objects of the IoU with the best box."""

    images: int = 0
    correct: int = 0
    total: int = 0
    proposals: int = 0
    overlap: float = 0.0
    unreadable: tuple[str, ...] = ()

    @property
    def recall(self) -> float:
        """Part of the objects with a box on them; nan without objects."""
        return self.correct / self.total if self.total else math.nan

    @property
    def average_iou(self) -> float:
        """Mean IoU of the objects with their best box; nan without objects."""
        return self.overlap / self.total if self.total else math.nan

    @property
    def proposals_per_image(self) -> float:
        """Mean number of boxes above the threshold."""
        return self.proposals / self.images if self.images else 0.0

    def line(self, index: int) -> str:
        """The line that `detector recall` prints after the image with this index."""
        return (
            f"{index:5d} {self.correct:5d} {self.total:5d}\tRPs/Img: {self.proposals_per_image:.2f}\t"
            f"IOU: {100 * self.average_iou:.2f}%\tRecall:{100 * self.recall:.2f}%"
        )


def evaluate_recall(
    net: Network,
    images: Sequence[str],
    *,
    thresh: float = 0.001,
    iou: float = 0.5,
    nms: float = 0.4,
    preprocess: str = "stretch",
    on_image: Callable[[int, Recall], None] | None = None,
    quiet: bool = True,
) -> Recall:
    """Runs a detector over labelled images and asks for boxes only.

    thresh: least objectness. iou: overlap that makes a box right. nms: overlap that suppresses, by
    objectness. on_image: called with an image's index and the figures up to it. Unreadable images and errors
    as in evaluate_detector.
    """
    labels = data.labels_of(images, label_classes(net))
    so_far = Recall()
    rules = Rules(thresh, nms=nms, nms_kind="obj", preprocess=preprocess)
    for index, found in detect_each(net, images, rules, quiet=quiet):
        if isinstance(found, ImageError):
            so_far = replace(so_far, unreadable=(*so_far.unreadable, str(found)))
            continue
        chosen = found.objectness > thresh
        width, height = found.image_size
        boxes = found.boxes[chosen] / np.array([width, height, width, height], np.float32)
        truths = corners(labels[index])
        best = iou_matrix(corners(np.pad(boxes, ((0, 0), (1, 0)))), truths).max(0, initial=0)
        so_far = replace(
            so_far,
            images=so_far.images + 1,
            correct=so_far.correct + int((best > iou).sum()),
            total=so_far.total + len(truths),
            proposals=so_far.proposals + int(chosen.sum()),
            overlap=so_far.overlap + float(best.sum()),
        )
        if on_image:
            on_image(index, so_far)
    if so_far.images == 0:
        raise DataError(
            f"none of the {len(images)} images can be read; the last one: {so_far.unreadable[-1]}"
        )
    return so_far

"""What all measures are made of: the detections and the objects of one picture."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..collection import Stored
from ..errors import ArgumentError
from ..evaluation import corners
from ..results import Detections

__all__ = ["Doubles", "ImageBoxes", "Integers", "by_score", "check_classes"]

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class ImageBoxes:
    """One picture. boxes (n, 4) and truths (m, 4): left, top, right, bottom in pixels. scores (n,).
    class_id (n,) and truth_class (m,): from 0. difficult (m,): objects that need not be found, but may be.
    crowd (m,): COCO's regions of many objects, which may be found any number of times. areas (m,): of the
    objects, for COCO's small, medium and large; by default those of their boxes, as opposed to their
    outlines.

    Raises ArgumentError for lengths that differ and for numbers that are not finite.
    """

    def __init__(
        self,
        boxes: npt.ArrayLike,
        scores: npt.ArrayLike,
        class_id: npt.ArrayLike,
        truths: npt.ArrayLike,
        truth_class: npt.ArrayLike,
        *,
        difficult: npt.ArrayLike | None = None,
        crowd: npt.ArrayLike | None = None,
        areas: npt.ArrayLike | None = None,
    ) -> None:
        self.boxes = _rows(boxes, "boxes")
        self.scores: Doubles = _column(scores, np.float64, len(self.boxes), "scores")
        self.class_id: Integers = _column(class_id, np.int64, len(self.boxes), "class_id")
        self.truths = _rows(truths, "truths")
        count = len(self.truths)
        self.truth_class: Integers = _column(truth_class, np.int64, count, "truth_class")
        none = np.zeros(count, bool)
        self.difficult: Flags = _column(
            none if difficult is None else difficult, np.bool_, count, "difficult"
        )
        self.crowd: Flags = _column(none if crowd is None else crowd, np.bool_, count, "crowd")
        given = np.prod(self.truths[:, 2:] - self.truths[:, :2], axis=1) if areas is None else areas
        self.areas: Doubles = _column(given, np.float64, count, "areas")

    @property
    def optional(self) -> Flags:
        """(m,): objects that need not be found, difficult ones and crowds."""
        return self.difficult | self.crowd

    @classmethod
    def of(
        cls,
        found: Detections,
        labels: npt.NDArray[np.float32],
        difficult: npt.NDArray[np.float32] | None = None,
    ) -> ImageBoxes:
        """Detections of a picture with labels (m, 5) as read_labels gives them, and more labels of objects
        that need not be found."""
        extra = np.empty((0, 5), np.float32) if difficult is None else difficult
        rows = np.concatenate([labels, extra]).astype(np.float64)
        width, height = found.image_size
        return cls(
            found.xyxy,
            found.confidence,
            found.class_id,
            corners(rows) * (width, height, width, height),
            rows[:, 0].astype(np.int64),
            difficult=np.arange(len(rows)) >= len(labels),
        )


class StoredBoxes(Stored[ImageBoxes]):
    """Many pictures, in temporary files."""

    def add(self, image: ImageBoxes) -> None:
        """One more."""
        found = np.concatenate([image.boxes, image.scores[:, None], image.class_id[:, None]], 1)
        marks = (image.truth_class, image.difficult, image.crowd, image.areas)
        truths = np.concatenate([image.truths, *(values[:, None] for values in marks)], 1)
        self._column.append(len(found).to_bytes(8, "little") + found.tobytes() + truths.tobytes())

    def _item(self, content: bytes) -> ImageBoxes:
        count = int.from_bytes(content[:8], "little")
        values = np.frombuffer(content, np.float64, offset=8)
        found, truths = values[: 6 * count].reshape(-1, 6), values[6 * count :].reshape(-1, 8)
        return ImageBoxes(
            found[:, :4],
            found[:, 4],
            found[:, 5],
            truths[:, :4],
            truths[:, 4],
            difficult=truths[:, 5],
            crowd=truths[:, 6],
            areas=truths[:, 7],
        )


class Ranked:
    """Of many detections score and mark (0..255) by class: 9 bytes each, as an order by score needs all."""

    def __init__(self, classes: int) -> None:
        self._found = [(array("d"), bytearray()) for _ in range(classes)]

    def add(self, kind: int, score: float, mark: int) -> None:
        """One more."""
        scores, marks = self._found[kind]
        scores.append(score)
        marks.append(mark)

    def take(self, kind: int) -> tuple[Doubles, npt.NDArray[np.uint8]]:
        """Those of a class, which go, from the largest score to the smallest."""
        scores, marks = (np.array(values) for values in self._found[kind])
        self._found[kind] = (array("d"), bytearray())
        order = by_score(scores)
        return scores[order], marks[order]


def _rows(values: npt.ArrayLike, what: str) -> Doubles:
    result = np.asarray(values, np.float64)
    result = result.reshape(-1, 4) if result.size == 0 else result
    if result.ndim != 2 or result.shape[1] != 4:
        raise ArgumentError(f"{what}: expected (n, 4), found {result.shape}")
    if not np.isfinite(result).all():
        raise ArgumentError(f"{what}: a number is not finite")
    return result


def _column(values: npt.ArrayLike, kind: Any, count: int, what: str) -> Any:
    result = np.asarray(values, kind)
    if result.shape != (count,):
        raise ArgumentError(f"{what}: expected {count} values, found an array {result.shape}")
    if not np.isfinite(result).all():
        raise ArgumentError(f"{what}: a number is not finite")
    return result


def by_score(scores: Doubles) -> npt.NDArray[np.intp]:
    """The order from the largest score to the smallest; equal ones stay as they are."""
    return np.argsort(-scores, kind="stable")


def check_classes(images: Sequence[ImageBoxes], classes: int) -> None:
    """Raises ArgumentError for a class that is not 0..classes - 1."""
    for index, image in enumerate(images):
        for kinds in (image.class_id, image.truth_class):
            if len(kinds) and not (kinds.min() >= 0 and kinds.max() < classes):
                bad = kinds.min() if kinds.min() < 0 else kinds.max()
                raise ArgumentError(f"image {index}: class {bad} is not 0..{classes - 1}")

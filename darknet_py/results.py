"""What detect gives: boxes with labels, as objects and as arrays, and the ways to pass them on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from .errors import ImageError
from .json_text import json_text
from .names import Labels

if TYPE_CHECKING:
    from PIL import Image

Floats = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Detection:
    """One object. Boxes are in pixels of the upright picture, clipped to it."""

    label: str
    class_id: int
    confidence: float  # 0..1
    objectness: float  # 0..1
    xyxy: Box  # left, top, right, bottom
    image_size: tuple[int, int]  # width, height

    @property
    def xywh(self) -> Box:
        """Left, top, width, height."""
        left, top, right, bottom = self.xyxy
        return left, top, right - left, bottom - top

    @property
    def cxcywh(self) -> Box:
        """Centre x, centre y, width, height."""
        left, top, right, bottom = self.xyxy
        return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top

    @property
    def xyxyn(self) -> Box:
        """xyxy relative to the picture, 0..1."""
        (left, top, right, bottom), (width, height) = self.xyxy, self.image_size
        return left / width, top / height, right / width, bottom / height

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values: class_id, label, confidence, box in pixels, relative_box 0..1."""
        corners = ("x1", "y1", "x2", "y2")
        return {
            "class_id": self.class_id,
            "label": self.label,
            "confidence": self.confidence,
            "box": dict(zip(corners, self.xyxy, strict=True)),
            "relative_box": dict(zip(corners, self.xyxyn, strict=True)),
        }


class Detections:
    """The objects found in one picture, most confident first.

    Has a length, iterates and indexes as a sequence of Detection; slices and boolean or integer arrays select
    a smaller Detections. Arrays: xyxy, xywh (left, top, width, height), cxcywh, xyxyn: float32 (n, 4);
    confidence, objectness: float32 (n,); class_id: int64 (n,). image_size: (width, height). settings:
    preprocess, thresh, hier and nms of the call. seconds: time to load, predict and decode. The picture
    itself is kept for plot, crops and save.
    """

    def __init__(
        self,
        xyxy: npt.ArrayLike,
        confidence: npt.ArrayLike,
        class_id: npt.ArrayLike,
        objectness: npt.ArrayLike | None = None,
        *,
        labels: Labels | None = None,
        image_size: tuple[int, int],
        pixels: npt.NDArray[Any] | None = None,
        settings: dict[str, Any] | None = None,
        seconds: dict[str, float] | None = None,
    ) -> None:
        self.xyxy: Floats = np.asarray(xyxy, np.float32).reshape(-1, 4)
        self.confidence: Floats = np.asarray(confidence, np.float32)
        self.class_id: npt.NDArray[np.int64] = np.asarray(class_id, np.int64)
        self.objectness: Floats = (
            self.confidence if objectness is None else np.asarray(objectness, np.float32)
        )
        self.image_size = image_size
        self.settings = dict(settings or {})
        self.seconds = dict(seconds or {})
        self._labels = labels or Labels(None)
        self._pixels = pixels

    @classmethod
    def from_probabilities(
        cls, boxes: Floats, objectness: Floats, probabilities: Floats, *, thresh: float, **rest: Any
    ) -> Detections:
        """One entry per box and class whose probability is above thresh, most confident first (stable).

        boxes: (n, 4) centre x, y, width, height in pixels. objectness: (n,). probabilities: (n, classes).
        """
        width, height = rest["image_size"]
        box, class_id = np.nonzero(probabilities > np.float32(max(thresh, 0)))
        confidence = probabilities[box, class_id]
        order = np.argsort(-confidence, kind="stable")
        box, class_id, confidence = box[order], class_id[order], confidence[order]
        centre, half = boxes[box, :2], boxes[box, 2:] / 2
        limits = np.array([width, height], np.float32)
        corners = np.concatenate([np.clip(centre - half, 0, limits), np.clip(centre + half, 0, limits)], 1)
        return cls(corners, confidence, class_id, objectness[box], **rest)

    # ---- as a sequence -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.confidence)

    def __iter__(self) -> Iterator[Detection]:
        return (self._one(i) for i in range(len(self)))

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Detection: ...
    @overload
    def __getitem__(self, index: slice | list[Any] | npt.NDArray[Any]) -> Detections: ...
    def __getitem__(self, index: Any) -> Detection | Detections:
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"detection {index} of {len(self)}")
            return self._one(int(index) % len(self))
        chosen = index if isinstance(index, slice) else np.asarray(index)
        if isinstance(chosen, np.ndarray) and chosen.size == 0 and chosen.dtype.kind == "f":
            chosen = chosen.astype(np.intp)  # an empty list
        return Detections(
            self.xyxy[chosen],
            self.confidence[chosen],
            self.class_id[chosen],
            self.objectness[chosen],
            labels=self._labels,
            image_size=self.image_size,
            pixels=self._pixels,
            settings=self.settings,
            seconds=self.seconds,
        )

    def _one(self, i: int) -> Detection:
        left, top, right, bottom = (float(value) for value in self.xyxy[i])
        class_id = int(self.class_id[i])
        return Detection(
            label=self._labels[class_id],
            class_id=class_id,
            confidence=float(self.confidence[i]),
            objectness=float(self.objectness[i]),
            xyxy=(left, top, right, bottom),
            image_size=self.image_size,
        )

    def __repr__(self) -> str:
        found = ", ".join(f"{label}: {count}" for label, count in self.counts().items()) or "nothing"
        return f"<Detections {found}>"

    # ---- as arrays -----------------------------------------------------------------------------------

    @property
    def xywh(self) -> Floats:
        """(n, 4) left, top, width, height in pixels."""
        return np.concatenate([self.xyxy[:, :2], self.xyxy[:, 2:] - self.xyxy[:, :2]], 1)

    @property
    def cxcywh(self) -> Floats:
        """(n, 4) centre x, centre y, width, height in pixels."""
        low, high = self.xyxy[:, :2], self.xyxy[:, 2:]
        return np.concatenate([(low + high) * np.float32(0.5), high - low], 1)

    @property
    def xyxyn(self) -> Floats:
        """(n, 4) left, top, right, bottom relative to the picture, 0..1."""
        width, height = self.image_size
        result: Floats = np.divide(self.xyxy, np.array([width, height, width, height], np.float32))
        return result

    @property
    def labels(self) -> list[str]:
        """The n class names."""
        return [self._labels[int(class_id)] for class_id in self.class_id]

    def counts(self) -> dict[str, int]:
        """How many of each label, most frequent first."""
        return dict(Counter(self.labels).most_common())

    # ---- passing on ----------------------------------------------------------------------------------

    def to_dict(self) -> list[dict[str, Any]]:
        """A list of Detection.to_dict()."""
        return [one.to_dict() for one in self]

    def to_json(self) -> str:
        """to_dict as JSON text."""
        return json_text(self.to_dict())

    def to_supervision(self) -> Any:
        """A supervision.Detections with the same boxes; needs the package supervision."""
        import supervision

        return supervision.Detections(
            xyxy=self.xyxy.copy(),
            confidence=self.confidence.copy(),
            class_id=self.class_id.astype(int),
            data={"class_name": np.array(self.labels, dtype=str)},
        )

    def _picture(self, image: Any) -> npt.NDArray[np.uint8]:
        from . import images

        source = self._pixels if image is None else images.read(image)
        if source is None:
            raise ImageError("these detections hold no picture: pass one")
        pixels = images.to_bytes(source)
        height, width = pixels.shape[:2]
        if (width, height) != self.image_size:
            raise ImageError(
                f"expected a picture of {self.image_size[0]} x {self.image_size[1]}, found {width} x {height}"
            )
        return pixels

    def crops(self, image: Any = None) -> list[npt.NDArray[np.uint8]]:
        """The picture inside each box, uint8 RGB (h, w, 3), at least one pixel each. image: None for the one
        detected."""
        pixels = self._picture(image)
        height, width = pixels.shape[:2]
        result = []
        for left, top, right, bottom in self.xyxy:
            x, y = min(int(left), width - 1), min(int(top), height - 1)
            x_end, y_end = max(x + 1, round(float(right))), max(y + 1, round(float(bottom)))
            result.append(pixels[y:y_end, x:x_end].copy())
        return result

    def plot(self, image: Any = None) -> Image.Image:
        """A PIL image of the picture with boxes and labels drawn. image: None for the one detected."""
        from . import drawing

        classes = max(len(self._labels.names or ()), int(self.class_id.max(initial=0)) + 1)
        return drawing.draw(self._picture(image), self, classes)

    def save(self, path: str | os.PathLike[str], image: Any = None) -> None:
        """Writes plot() in the format the suffix names, whole or not at all. Raises ImageError."""
        from . import images

        images.save(self.plot(image), path)

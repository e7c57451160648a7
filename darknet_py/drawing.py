"""Draws detections: a box in the colour of its class, a label that stays readable and inside the picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image, ImageFont

    from .results import Detection

Area = tuple[float, float, float, float]  # left, top, right, bottom

# Anchor colours of the reference's palette (compat 12.7), first component first.
_ANCHORS = ((1, 0, 1), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 1, 0), (1, 0, 0))
_SMALLEST_FONT = 9


def class_colour(class_id: int, classes: int) -> tuple[int, int, int]:
    """RGB 0..255 of a class, as the reference colours it: a stride through six anchor colours."""
    classes = max(classes, 1)
    position = (class_id * 123457) % classes / classes * 5
    low = int(position)
    fraction = position - low
    high = min(low + 1, 5)
    mixed = [(1 - fraction) * _ANCHORS[low][c] + fraction * _ANCHORS[high][c] for c in range(3)]
    return round(255 * mixed[2]), round(255 * mixed[1]), round(255 * mixed[0])


def text_colour(background: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever is easier to read on the background (by its luminance)."""
    red, green, blue = background
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else (255, 255, 255)


def draw(pixels: npt.NDArray[np.uint8], detections: Iterable[Detection], classes: int) -> Image.Image:
    """A PIL image of pixels (h, w, 3) with the detections drawn, the most confident on top."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(pixels).copy()
    canvas = ImageDraw.Draw(picture)
    line = max(1, round(min(picture.size) * 0.006))
    size = max(_SMALLEST_FONT, round(min(picture.size) * 0.03), round(max(picture.size) * 0.02))
    objects = list(detections)
    labels: list[_Label] = []
    for one in objects:  # the most confident takes its place first
        labels.append(_Label(canvas, picture.size, one, size, [label.area for label in labels]))
    for one in reversed(objects):
        left, top, right, bottom = one.xyxy
        box = (left, top, max(left, right - 1), max(top, bottom - 1))
        canvas.rectangle(box, outline=class_colour(one.class_id, classes), width=line)
    for label in reversed(labels):
        label.draw(canvas, class_colour(label.class_id, classes))
    return picture


class _Label:
    """The name and confidence of a detection on a bar: above the box; where the picture ends or another label
    lies there, inside the box or below it."""

    def __init__(
        self, canvas: Any, extent: tuple[int, int], one: Detection, size: int, taken: Sequence[Area]
    ) -> None:
        self.class_id = one.class_id
        self._text = f"{one.label} {one.confidence:.0%}"
        self._font = _fitting(canvas, self._text, size, extent[0])
        x0, y0, x1, y1 = canvas.textbbox((0, 0), self._text, font=self._font)
        padding = max(1, size // 6)
        width, height = x1 - x0 + 2 * padding, y1 - y0 + 2 * padding
        left, top, _, bottom = one.xyxy
        x = min(max(left, 0), max(extent[0] - width, 0))
        lowest = max(extent[1] - height, 0)
        inside = min(max(top, 0), lowest)
        above = top - height if top >= height else inside
        places = [(x, y, x + width, y + height) for y in (above, inside, bottom) if y <= lowest]
        free = (place for place in places if not any(_overlap(place, other) for other in taken))
        self.area = next(free, places[0])
        self._offset = (padding - x0, padding - y0)

    def draw(self, canvas: Any, colour: tuple[int, int, int]) -> None:
        left, top, right, bottom = self.area
        canvas.rectangle((left, top, right - 1, bottom - 1), fill=colour)
        place = (left + self._offset[0], top + self._offset[1])
        canvas.text(place, self._text, fill=text_colour(colour), font=self._font)


def _overlap(a: Area, b: Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _fitting(canvas: Any, text: str, size: int, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The default font at this size, or smaller if the text would be wider than the picture."""
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    wide = canvas.textlength(text, font=font) + 2 * max(1, size // 6)
    if wide > width and size > _SMALLEST_FONT:
        font = ImageFont.load_default(max(_SMALLEST_FONT, int(size * width / wide)))
    return font

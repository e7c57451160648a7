"""Label files as training reads them: what is wrong with each line, and by which rule files are found."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data import find_label, label_path, label_row, read_text
from ..errors import DataError, DataNotFoundError
from .findings import Several

Row = tuple[float, float, float, float, float]
Place = tuple[str, int]

LEAST_SIZE = 0.001  # of the picture: training leaves out boxes below
STICKS_OUT = 0.01  # of the picture: by which the edge of a box may be outside of it
MOST_SHOWN = 60  # characters of a wrong line

_DARKNET = "the first 'images' of the path becomes 'labels', as in Darknet"
_LAST = "the last folder 'images' of the path becomes 'labels', not as in Darknet"
_BESIDE = "beside the picture, not as in Darknet"


def by_darknet(image: str) -> tuple[str, str]:
    """The rule and the path of a picture's labels, found as training does. Raises DataError."""
    path = find_label(image)
    if path == label_path(image):
        return _DARKNET, path
    return (_BESIDE if Path(path).parent == Path(image).parent else _LAST), path


def by_rules(rules: Callable[[str], Sequence[tuple[str, str]]]) -> Callable[[str], tuple[str, str]]:
    """The same of other rules, each with a path."""

    def find(image: str) -> tuple[str, str]:
        tried = rules(image)
        found = next((one for one in tried if os.path.exists(one[1])), None)  # noqa: PTH110
        if found is None:
            raise DataNotFoundError(f"{tried[0][1]}: no such label file for {image}")
        return found

    return find


@dataclass
class Rule:
    """How label files are found: an example, and of how many pictures."""

    image: str
    label: str
    count: int = 0


class LabelReader:
    """Reads the labels of pictures one by one. classes: how many there are, None if that is not known.
    nodes: the same for rows without a place, of a head with a word tree."""

    def __init__(
        self,
        several: Several,
        find: Callable[[str], tuple[str, str]],
        classes: int | None,
        nodes: int | None = None,
    ) -> None:
        self._several, self._find, self._classes, self._nodes = several, find, classes, nodes
        self.rules: dict[str, Rule] = {}
        self.empty = self.rows = self.outside = self.corners = 0
        self.largest = -1  # class, also of those that are out of range

    def read(self, place: Place, image: str) -> list[Row]:
        """The objects of a picture that are usable. place: where the picture is mentioned."""
        try:
            rule, path = self._find(image)
            text = read_text(path, "label file")
        except DataNotFoundError as error:
            self._several.add(place, "warning", "label-missing", str(error))
            return []
        except DataError as error:
            self._several.add(place, "warning", "label-unreadable", str(error))
            return []
        known = self.rules.setdefault(rule, Rule(image, path))
        known.count += 1
        return self._lines(path, text)

    def _lines(self, path: str, text: str) -> list[Row]:
        rows: list[Row] = []
        seen: dict[Row, int] = {}
        before = self.rows
        for number, line in enumerate(text.split("\n"), 1):
            if not (fields := line.split()):
                continue
            self.rows += 1
            row = self._row((path, number), fields)
            if row is None:
                continue
            if row in seen:
                message = f"the same object as on line {seen[row]}"
                self._several.add((path, number), "warning", "label-duplicate", message, "delete one of them")
                continue
            seen[row] = number
            rows.append(row)
        if self.rows == before:
            self.empty += 1
        return rows

    def _row(self, place: Place, fields: list[str]) -> Row | None:
        try:
            row = label_row(fields, self._classes, self._nodes)
        except ValueError as error:
            self._several.add(place, "warning", *self._wrong(fields, str(error)))
            return None
        kind, x, y, w, h = row
        self.largest = max(self.largest, int(kind))
        if self._nodes is not None and x == 0 and y == 0:
            return row
        if w < LEAST_SIZE or h < LEAST_SIZE:
            message = f"a box of {w:g} x {h:g} has {'no' if not w * h else 'hardly any'} area"
            hint = "boxes below a thousandth of the picture are not learned; delete the line"
            self._several.add(place, "warning", "label-area", message, hint)
            return None
        self.corners += w > x and h > y
        out = max(w / 2 - x, x + w / 2 - 1, h / 2 - y, y + h / 2 - 1)
        if out > STICKS_OUT:
            self.outside += 1
            message = f"the box sticks out of the picture by {100 * out:.0f} % of it"
            self._several.add(place, "note", "label-edges", message, "clip it")
        return row

    def _wrong(self, fields: list[str], reason: str) -> tuple[str, str, str]:
        """Code, message and hint for a line that is refused."""
        shown = " ".join(fields)
        shown = shown if len(shown) <= MOST_SHOWN else shown[: MOST_SHOWN - 3] + "..."
        try:
            values = [float(field) for field in fields]
        except ValueError:
            return "label-fields", f"expected five numbers class x y w h, found {shown!r}", ""
        if len(values) != 5:
            polygon = len(values) >= 7 and len(values) % 2
            what = "a polygon (segmentation)" if polygon else f"{len(values)} values"
            message = f"expected class x y w h, found {what}: {shown!r}"
            hint = "write the box around it" if polygon else ""
            return ("label-polygon" if polygon else "label-fields"), message, hint
        if abs(values[0]) < 1e9 and self._classes is not None and values[0] >= self._classes:
            self.largest = max(self.largest, int(values[0]))
            hint = f"classes count from 0: set classes={int(values[0]) + 1} or more, or correct the label"
            return "label-class", reason, hint
        if max(values[1:]) > 2:
            hint = "divide x and w by the picture's width, y and h by its height"
            return "label-pixels", f"{shown!r} are pixels; coordinates are relative, 0..1", hint
        code = "label-class" if reason.startswith("class ") else "label-outside"
        return code, reason, ""

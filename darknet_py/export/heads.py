"""Detection heads as ONNX nodes: raw, as Darknet's layer output, or boxes and scores (compat.md 7)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..network import Layer
from .graph import Exporter, number, numbers, refuse, whole


class Decoded(NamedTuple):
    """(batch, boxes, 4): centre x, y, width, height relative to the input; (batch, boxes, classes)."""

    boxes: str
    scores: str


def _anchors(layer: Layer, count: int) -> list[tuple[float, float]]:
    listed = numbers(layer, "anchors")
    values = (listed + [0.5] * (2 * count))[: 2 * count]
    return list(zip(values[::2], values[1::2], strict=True))


def _mask(layer: Layer) -> list[int]:
    total = whole(layer, "num", 1)
    return [int(one) for one in numbers(layer, "mask")] or list(range(total))


def _used(layer: Layer) -> list[tuple[float, float]]:
    """The anchors of this head."""
    everything = _anchors(layer, whole(layer, "num", 1))
    return [everything[k] for k in _mask(layer)] if layer.type != "region" else everything


def _planes(x: Exporter, layer: Layer, entries: int) -> str:
    """(batch, anchors, entries, h, w)"""
    _, h, w = layer.out_shape
    return x.graph.reshape(x.value(layer.index - 1), 0, len(_used(layer)), entries, h, w)


def _part(x: Exporter, planes: str, start: int, end: int) -> str:
    return x.graph.slice(planes, 2, start, end)


def _joined(x: Exporter, layer: Layer, parts: list[str]) -> str:
    return x.graph.reshape(x.graph.add("Concat", *parts, axis=2), 0, *layer.out_shape)


def _softmaxes(x: Exporter, layer: Layer, classes: str, axis: int) -> str:
    """One softmax, or one per group of a word tree."""
    tree = layer.tree
    if tree is None:
        return str(x.graph.add("Softmax", classes, axis=axis))
    sizes = [int(size) for size in tree.group_sizes]
    if len(sizes) == 1:
        return str(x.graph.add("Softmax", classes, axis=axis))
    groups = x.graph.add("Split", classes, x.graph.ints(*sizes), outputs=len(sizes), axis=axis)
    return str(x.graph.add("Concat", *(x.graph.add("Softmax", one, axis=axis) for one in groups), axis=axis))


def yolo(x: Exporter, layer: Layer) -> str:
    """Logistic on x, y, objectness and classes unless new_coords=1; x and y stretched by scale_x_y."""
    entries = whole(layer, "classes", 20) + 5
    planes = _planes(x, layer, entries)
    places, sizes, rest = _part(x, planes, 0, 2), _part(x, planes, 2, 4), _part(x, planes, 4, entries)
    if not whole(layer, "new_coords", 0):
        places, rest = x.graph.add("Sigmoid", places), x.graph.add("Sigmoid", rest)
    scale = number(layer, "scale_x_y", 1)
    if scale != 1:
        places = x.graph.add("Add", x.graph.scaled(places, scale), x.graph.constant(-0.5 * (scale - 1)))
    return _joined(x, layer, [places, sizes, rest])


def gaussian_yolo(x: Exporter, layer: Layer) -> str:
    """Entries x, sx, y, sy, w, sw, h, sh, objectness, classes: logistic on all but w and h."""
    entries = whole(layer, "classes", 20) + 9
    planes = _planes(x, layer, entries)
    scale = number(layer, "scale_x_y", 1)
    parts = []
    for entry in range(8):
        part = _part(x, planes, entry, entry + 1)
        if entry not in (4, 6):
            part = x.graph.add("Sigmoid", part)
        if entry in (0, 2) and scale != 1:
            part = x.graph.add("Add", x.graph.scaled(part, scale), x.graph.constant(-0.5 * (scale - 1)))
        parts.append(part)
    parts.append(x.graph.add("Sigmoid", _part(x, planes, 8, entries)))
    return _joined(x, layer, parts)


def region(x: Exporter, layer: Layer) -> str:
    """Logistic on x, y, masks and objectness; softmax, a tree's softmaxes, or logistic on the classes."""
    coords, classes = whole(layer, "coords", 4), whole(layer, "classes", 20)
    background = whole(layer, "background", 0)
    entries = coords + 1 + classes
    planes = _planes(x, layer, entries)
    parts = [x.graph.add("Sigmoid", _part(x, planes, 0, 2)), _part(x, planes, 2, 4)]
    if coords > 4:
        parts.append(x.graph.add("Sigmoid", _part(x, planes, 4, coords)))
    softmax = whole(layer, "softmax", 0) or layer.tree is not None
    if background and softmax and layer.tree is None:  # the background is one more class
        parts.append(x.graph.add("Softmax", _part(x, planes, coords, entries), axis=2))
        return _joined(x, layer, parts)
    objectness = _part(x, planes, coords, coords + 1)
    parts.append(objectness if background else x.graph.add("Sigmoid", objectness))
    if classes:
        last = _part(x, planes, coords + 1, entries)
        parts.append(_softmaxes(x, layer, last, 2) if softmax else x.graph.add("Sigmoid", last))
    if background:
        raise refuse(layer, "background=1 without softmax, or with a tree")
    return _joined(x, layer, parts)


def detection(x: Exporter, layer: Layer) -> str:
    """The values as they are, or with a softmax over the classes of each cell."""
    source = x.vector(layer.index - 1)
    cells, classes = whole(layer, "side", 7) ** 2, whole(layer, "classes", 1)
    if not whole(layer, "softmax", 0) or classes == 0:
        return str(x.graph.add("Identity", source))
    rows = x.graph.reshape(x.graph.slice(source, 1, 0, cells * classes), 0, cells, classes)
    probabilities = x.graph.reshape(x.graph.add("Softmax", rows, axis=2), 0, -1)
    rest = x.graph.slice(source, 1, cells * classes, layer.outputs)
    return str(x.graph.add("Concat", probabilities, rest, axis=1))


# ---- boxes and scores ----------------------------------------------------------------------------------


def decode(x: Exporter, layer: Layer, raw: str) -> Decoded:
    """Boxes relative to the network's input and class scores, before any threshold or suppression."""
    if layer.type == "detection":
        return _decode_detection(x, layer, raw)
    if layer.tree is not None:
        raise refuse(layer, "decoding descends a word tree: export it raw")
    return _decode_grid(x, layer, raw)


def _rows(x: Exporter, layer: Layer, part: str, columns: int) -> str:
    """(batch, anchors, columns, h, w) to (batch, boxes, columns), boxes in the order of detect."""
    order = [0, 1, 3, 4, 2] if layer.type == "region" else [0, 3, 4, 1, 2]
    return x.graph.reshape(x.graph.add("Transpose", part, perm=order), 0, -1, columns)


def _decode_grid(x: Exporter, layer: Layer, raw: str) -> Decoded:
    g, gaussian, in_cells = x.graph, layer.type == "Gaussian_yolo", layer.type == "region"
    _, h, w = layer.out_shape
    classes = whole(layer, "classes", 20)
    coords = 8 if gaussian else whole(layer, "coords", 4) if in_cells else 4
    anchors = _used(layer)
    planes = g.reshape(raw, 0, len(anchors), coords + 1 + classes, h, w)
    columns = [0, 2, 4, 6] if gaussian else [0, 1, 2, 3]
    bx, by, bw, bh = (_part(x, planes, k, k + 1) for k in columns)
    column = g.constant(np.arange(w, dtype=np.float32).reshape(1, 1, 1, 1, w))
    row = g.constant(np.arange(h, dtype=np.float32).reshape(1, 1, 1, h, 1))
    bx, by = g.scaled(g.add("Add", bx, column), 1 / w), g.scaled(g.add("Add", by, row), 1 / h)
    _, _, in_h, in_w = x.net.input_shape
    across, down = (w, h) if in_cells else (in_w, in_h)
    for axis, extent in ((0, across), (1, down)):
        relative = np.array([one[axis] for one in anchors], np.float32) / np.float32(extent)
        anchor = g.constant(relative.reshape(1, -1, 1, 1, 1))
        t = bw if axis == 0 else bh
        if not in_cells and whole(layer, "new_coords", 0):
            size = g.scaled(g.add("Mul", g.add("Mul", t, t), anchor), 4)
        else:
            size = g.add("Mul", g.add("Exp", t), anchor)
        bw, bh = (size, bh) if axis == 0 else (bw, size)
    boxes = _rows(x, layer, g.add("Concat", bx, by, bw, bh, axis=2), 4)
    scores = g.add(
        "Mul", _part(x, planes, coords + 1, coords + 1 + classes), _confidence(x, layer, planes, coords)
    )
    return Decoded(boxes, _rows(x, layer, scores, classes))


def _confidence(x: Exporter, layer: Layer, planes: str, coords: int) -> str:
    g = x.graph
    if layer.type == "region" and whole(layer, "background", 0):
        return g.constant(1.0)
    objectness = _part(x, planes, coords, coords + 1)
    if layer.type != "Gaussian_yolo":
        return objectness
    spread = g.scaled(g.sum([_part(x, planes, k, k + 1) for k in (1, 3, 5, 7)]), 0.25)
    return str(g.add("Mul", objectness, g.add("Sub", g.constant(1.0), spread)))


def _decode_detection(x: Exporter, layer: Layer, raw: str) -> Decoded:
    g, side = x.graph, whole(layer, "side", 7)
    classes, boxes = whole(layer, "classes", 1), whole(layer, "num", 1)
    cells = side * side
    at = [0, cells * classes, cells * (classes + boxes), cells * (classes + boxes * 5)]
    class_rows = g.reshape(g.slice(raw, 1, at[0], at[1]), 0, cells, 1, classes)
    objects = g.reshape(g.slice(raw, 1, at[1], at[2]), 0, cells, boxes, 1)
    rows = g.reshape(g.slice(raw, 1, at[2], at[3]), 0, cells, boxes, 4)
    corner = np.array([(cell % side, cell // side) for cell in range(cells)], np.float32)
    offset = g.constant(corner.reshape(1, cells, 1, 2))
    places = g.scaled(g.add("Add", g.slice(rows, 3, 0, 2), offset), 1 / side)
    sizes = g.slice(rows, 3, 2, 4)
    if whole(layer, "sqrt", 0):
        sizes = g.add("Mul", sizes, sizes)
    found = g.reshape(g.add("Concat", places, sizes, axis=3), 0, cells * boxes, 4)
    return Decoded(found, g.reshape(g.add("Mul", class_rows, objects), 0, cells * boxes, classes))


HEADS = {"yolo": yolo, "Gaussian_yolo": gaussian_yolo, "region": region, "detection": detection}


def box_count(layer: Layer) -> int:
    """Boxes that decode gives per picture."""
    if layer.type == "detection":
        return whole(layer, "side", 7) ** 2 * whole(layer, "num", 1)
    return len(_used(layer)) * math.prod(layer.out_shape[1:])

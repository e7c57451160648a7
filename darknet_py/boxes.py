"""Boxes and word trees. A box is (centre x, centre y, width, height); arrays of boxes are float32 (...,
4)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._native import ffi, lib
from .errors import ArgumentError, DataFileError, DataNotFoundError, check, path_bytes

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
_IGNORED = -1234.0  # in the truth of a tree: neither right nor wrong

HIER_RULES = ("reference", "paper")


def iou(a: npt.ArrayLike, b: npt.ArrayLike, kind: str = "iou") -> Any:
    """Intersection over union of boxes a and b, (..., 4) each and broadcast against each other.

    kind: "iou", "giou", "diou" or "ciou". A float for two single boxes, else a float32 array.
    """
    if kind not in ("iou", "giou", "diou", "ciou"):
        raise ArgumentError(f'expected kind "iou", "giou", "diou" or "ciou", found {kind!r}')
    first, second = _boxes(a), _boxes(b)
    shape = np.broadcast_shapes(first.shape, second.shape)
    first = np.ascontiguousarray(np.broadcast_to(first, shape))
    second = np.ascontiguousarray(np.broadcast_to(second, shape))
    result = np.empty(shape[:-1], np.float32)
    flat = result.reshape(-1)
    left, right = ffi.from_buffer("float[]", first), ffi.from_buffer("float[]", second)
    name = kind.encode()
    for i in range(flat.size):
        flat[i] = lib.dn_box_iou_kind(left + 4 * i, right + 4 * i, name)
    return result if result.ndim else float(result)


class Suppressed(NamedTuple):
    """What remains after non-maximum suppression: the arrays re-ordered, suppressed entries zeroed."""

    boxes: Floats  # (n, 4)
    objectness: Floats  # (n,)
    probabilities: Floats  # (n, classes)
    order: Ints  # (n,) index of each entry in the arguments


def nms_sort(
    boxes: npt.ArrayLike, objectness: npt.ArrayLike, probabilities: npt.ArrayLike, thresh: float = 0.45
) -> Suppressed:
    """Suppression per class: of two boxes with IoU above thresh the less probable loses that class.

    boxes (n, 4), objectness (n,), probabilities (n, classes). Boxes without objectness take no part.
    """
    return _nms(boxes, objectness, probabilities, thresh, lib.DN_NMS_SORT)


def nms_obj(
    boxes: npt.ArrayLike, objectness: npt.ArrayLike, probabilities: npt.ArrayLike, thresh: float = 0.45
) -> Suppressed:
    """Suppression by objectness: the loser keeps neither objectness nor any class. Arguments as in
    nms_sort."""
    return _nms(boxes, objectness, probabilities, thresh, lib.DN_NMS_OBJ)


def _nms(boxes: Any, objectness: Any, probabilities: Any, thresh: float, kind: int) -> Suppressed:
    result_boxes = np.array(_boxes(boxes), order="C")
    scores = np.array(objectness, np.float32, order="C")
    classes = np.array(probabilities, np.float32, order="C")
    count = scores.size
    if result_boxes.shape != (count, 4) or scores.ndim != 1 or classes.ndim != 2 or len(classes) != count:
        raise ArgumentError(
            "expected boxes (n, 4), objectness (n,) and probabilities (n, classes), "
            f"found {result_boxes.shape}, {scores.shape} and {classes.shape}"
        )
    order = np.arange(count, dtype=np.int32)
    if count:
        status = lib.dn_boxes_nms(
            ffi.from_buffer("float[]", result_boxes),
            ffi.from_buffer("float[]", scores),
            ffi.from_buffer("float[]", classes),
            count,
            classes.shape[1],
            thresh,
            kind,
            ffi.from_buffer("int[]", order),
        )
        check(status)
    return Suppressed(result_boxes, scores, classes, order)


def correct(boxes: npt.ArrayLike, w: int, h: int, netw: int, neth: int, relative: bool = True) -> Floats:
    """Undoes the letterbox: boxes (n, 4) relative to the network's netw x neth input become relative to the
    w x h picture, or its pixels if not relative."""
    result = np.array(_boxes(boxes), order="C")
    if min(w, h, netw, neth) < 1:
        raise ArgumentError(f"impossible sizes: picture {w} x {h}, network {netw} x {neth}")
    if result.size:
        lib.dn_boxes_correct(
            ffi.from_buffer("float[]", result), result.size // 4, w, h, netw, neth, int(relative)
        )
    return result


def _boxes(boxes: Any) -> Floats:
    array = np.asarray(boxes, np.float32)
    if array.ndim < 1 or array.shape[-1] != 4:
        raise ArgumentError(f"expected boxes (..., 4), found {array.shape}")
    return array


def hier_paper(rule: str) -> bool:
    """Whether a hier_rule is the paper's. Raises ArgumentError for what is no rule."""
    if rule not in HIER_RULES:
        raise ArgumentError(f'expected hier_rule "reference" or "paper", found {rule!r}')
    return rule == "paper"


class WordTree:
    """A hierarchy of classes, as YOLO9000 uses it.

    names: list of str. parents: (n,), -1 for roots. children: (n,), the group of a node's children, -1 for
    leaves. groups: (n,), the group a node is in. group_offsets, group_sizes: (groups,). leaves: (n,) bool,
    the nodes that may be an answer: those without children, unless restrict has chosen others.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Reads a tree file: `name parent` per line. Raises DataError."""
        out = ffi.new("dn_tree **")
        check(lib.dn_tree_load(out, path_bytes(path, DataNotFoundError)), DataFileError)
        self._adopt(out[0])

    @classmethod
    def _own(cls, pointer: Any) -> WordTree:
        """The tree at a dn_tree pointer, which is freed with it."""
        tree = cls.__new__(cls)
        tree._adopt(pointer)
        return tree

    def _adopt(self, pointer: Any) -> None:
        self._tree = ffi.gc(pointer, lib.dn_tree_free)
        size, groups = lib.dn_tree_size(self._tree), lib.dn_tree_groups(self._tree)
        self.names = [
            ffi.string(lib.dn_tree_name(self._tree, node)).decode("utf-8", "replace") for node in range(size)
        ]
        self.parents = self._ints(lib.dn_tree_parents(self._tree), size)
        self.children = self._ints(lib.dn_tree_children(self._tree), size)
        self.groups = self._ints(lib.dn_tree_node_groups(self._tree), size)
        self.group_offsets = self._ints(lib.dn_tree_group_offsets(self._tree), groups)
        self.group_sizes = self._ints(lib.dn_tree_group_sizes(self._tree), groups)
        self.leaves = self.children < 0

    def __len__(self) -> int:
        return len(self.names)

    def absolute(self, conditional: npt.ArrayLike, only_leaves: bool = False) -> Floats:
        """Absolute probabilities (..., n) from conditional ones; with only_leaves all but `leaves` become
        0."""
        result = self._rows(conditional)
        for row in result.reshape(-1, len(self)):
            lib.dn_tree_absolute(self._tree, ffi.from_buffer("float[]", row), 1, 0)
        if only_leaves:
            result[..., ~self.leaves] = 0
        return result

    def restrict(self, names: Iterable[str]) -> int:
        """Makes the nodes of these names, and no others, the leaves; gives how many there are."""
        wanted = set(names)
        self.leaves = np.array([name in wanted for name in self.names])
        return int(self.leaves.sum())

    def truth(self, node: int) -> Floats:
        """What a classifier learns for a node (n,): 1 for it and its ancestors, 0 for their siblings, -1234
        (not to be learned) for all other nodes."""
        chain = []
        while node >= 0:
            chain.append(node)
            node = int(self.parents[node])
        result = np.where(np.isin(self.groups, self.groups[chain]), 0, _IGNORED).astype(np.float32)
        result[chain] = 1
        return result

    def probability(self, conditional: npt.ArrayLike, node: int | None = None) -> Any:
        """Absolute probability of one node, or of all nodes (n,), from conditional probabilities (n,) or
        (..., n)."""
        rows = self._rows(conditional)
        nodes = range(len(self)) if node is None else [node]
        if node is not None and not 0 <= node < len(self):
            raise ArgumentError(f"expected a node 0..{len(self) - 1}, found {node}")
        result = np.empty((*rows.shape[:-1], len(nodes)), np.float32)
        flat = result.reshape(-1, len(nodes))
        for i, row in enumerate(rows.reshape(-1, len(self))):
            pointer = ffi.from_buffer("float[]", row)
            flat[i] = [lib.dn_tree_probability(self._tree, pointer, 1, one) for one in nodes]
        if node is None:
            return result
        return float(result[0]) if rows.ndim == 1 else result[..., 0]

    def top(self, absolute: npt.ArrayLike, thresh: float = 0.5, rule: str = "reference") -> Any:
        """The node that descending from the root ends at: the likeliest child at every split, as long as its
        probability is above thresh.

        rule: "paper" compares absolute probabilities; "reference" multiplies those of the path once more, as
        Darknet's hierarchy_top_prediction does. An int for (n,), an int32 array for (..., n).
        """
        rows = self._rows(absolute)
        descend = lib.dn_tree_top_paper if hier_paper(rule) else lib.dn_tree_top
        result = np.empty(rows.shape[:-1], np.int32)
        flat = result.reshape(-1)
        for i, row in enumerate(rows.reshape(-1, len(self))):
            flat[i] = descend(self._tree, ffi.from_buffer("float[]", row), 1, thresh)
        return result if result.ndim else int(result)

    def _rows(self, values: Any) -> Floats:
        rows = np.array(values, np.float32, order="C")
        if rows.ndim < 1 or rows.shape[-1] != len(self):
            raise ArgumentError(f"expected values (..., {len(self)}), found {rows.shape}")
        return rows

    @staticmethod
    def _ints(pointer: Any, count: int) -> Ints:
        values: Ints = np.frombuffer(ffi.buffer(pointer, 4 * count), np.int32).copy()
        return values

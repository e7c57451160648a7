"""Sizes of boxes against the network: its resolution, its grids and its anchors.

Sizes are those of pictures stretched to the network's size, as for `detector calc_anchors`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..anchors import cluster_sizes, shape_iou
from .context import Context
from .findings import Several
from .heads import mask_of
from .sections import Section

Array = npt.NDArray[np.float64]

LEAST_PIXELS = 4.0  # sides of a box, at the network's size
MANY_TINY, MANY_IN_CELL, SOME = 0.1, 0.5, 0.01  # parts of the boxes
MOST_CLUSTERED = 4000  # boxes
RESTARTS = 3
GAIN, LARGE_GAIN = 0.03, 0.1  # of the average IoU
POOR_IOU, GOOD_IOU = 0.5, 0.75


@dataclass(frozen=True)
class Proposal:
    """Anchors by k-means in the units of the heads, (k, 2), and the average IoU before and with them."""

    anchors: Array
    before: float
    after: float

    @property
    def gains(self) -> bool:
        """Whether it is worth a change of the cfg."""
        wanted = GAIN if self.before < POOR_IOU else LARGE_GAIN
        return self.before < GOOD_IOU and self.after - self.before >= wanted


def check_sizes(context: Context, sizes: Array, several: Several) -> Proposal | None:
    """All rules. sizes: of boxes, relative, (n, 2). Gives the anchors that would fit better."""
    width, height = context.input_size()
    if not len(sizes) or not width or not height:
        return None
    pixels = sizes * (width, height)
    _tiny(context, pixels, several)
    _in_cells(context, pixels, several)
    heads = [head for head in context.heads if head.type != "detection" and anchors_of(head) is not None]
    if not heads:
        return None
    _seen(context, heads, pixels, several)
    return _fit(context, heads, pixels, several)


def anchors_of(head: Section) -> Array | None:
    """The anchors of a head, (n, 2), whatever num says; None if there are none, or some have no size."""
    numbers = head.numbers("anchors")
    if len(numbers) < 2 or len(numbers) % 2 or min(numbers) <= 0:
        return None
    return np.array(numbers).reshape(-1, 2)


def units(context: Context, head: Section, pixels: Array) -> Array | None:
    """Sizes in what the head's anchors are measured in: pixels, or cells of [region]."""
    if head.type != "region":
        return pixels
    shape, (width, height) = context.shape(head.index), context.input_size()
    if shape is None or len(shape) != 3:
        return None
    cells: Array = pixels * (shape[2] / width, shape[1] / height)
    return cells


def _tiny(context: Context, pixels: Array, several: Several) -> None:
    share = float((pixels.min(1) < LEAST_PIXELS).mean())
    if share < SOME:
        return
    width, height = context.input_size()
    message = (
        f"{100 * share:.0f} % of the boxes are narrower or lower than {LEAST_PIXELS:g} pixels at the "
        f"network's size of {width} x {height}"
    )
    hint = "raise width and height, cut the pictures into parts, or leave such boxes out"
    severity = "warning" if share >= MANY_TINY else "note"
    several.add(
        (context.config.file, context.config.net.line_of("width")), severity, "box-tiny", message, hint
    )


def _in_cells(context: Context, pixels: Array, several: Several) -> None:
    """Boxes smaller than a cell of the finest grid: of several in one cell not all can be learned."""
    grids = [
        (shape[1] * shape[2], head, shape)
        for head in context.heads
        if (shape := context.shape(head.index)) and len(shape) == 3
    ]
    if not grids:
        return
    _, head, shape = max(grids, key=lambda grid: grid[0])
    width, height = context.input_size()
    cell = width / shape[2], height / shape[1]
    share = float((pixels < cell).all(1).mean())
    if share < SOME:
        return
    message = (
        f"{100 * share:.0f} % of the boxes are smaller than a cell of the finest grid, "
        f"{cell[0]:.0f} x {cell[1]:.0f} pixels ({head.title})"
    )
    hint = "a larger width and height, or a head with a smaller stride, tells neighbours apart"
    severity = "warning" if share >= MANY_IN_CELL else "note"
    several.add((context.config.file, head.line), severity, "box-cell", message, hint)


def _seen(context: Context, heads: list[Section], pixels: Array, several: Several) -> None:
    """Heads none of whose anchors is the best one of any box: they learn only that there is nothing."""
    if any(max(mask_of(head), default=0) >= len(head.numbers("anchors")) // 2 for head in heads):
        return  # told by the rules for masks
    for head in heads:
        anchors, sizes = anchors_of(head), units(context, head, pixels)
        mask = set(mask_of(head))
        if anchors is None or sizes is None or mask >= set(range(len(anchors))):
            continue
        overlaps = shape_iou(sizes, anchors)
        mine = np.isin(overlaps.argmax(1), list(mask))
        if (least := head.number("iou_thresh", 1.0)) < 1:
            mine |= (overlaps[:, sorted(mask)] > least).any(1)
        if mine.any():
            continue
        low, high = np.percentile(sizes, 5, axis=0), np.percentile(sizes, 95, axis=0)
        listed = ", ".join(f"{anchors[k][0]:g}x{anchors[k][1]:g}" for k in sorted(mask))
        message = (
            f"{head.title} never gets a box: its anchors {listed} are the best of none; most boxes are "
            f"{low[0]:.0f}x{low[1]:.0f} to {high[0]:.0f}x{high[1]:.0f} pixels"
        )
        hint = "give the heads anchors of this data (check --fix, or detector calc_anchors)"
        several.add((context.config.file, head.line_of("mask")), "warning", "head-unused", message, hint)


def _fit(context: Context, heads: list[Section], pixels: Array, several: Several) -> Proposal | None:
    """The average IoU of all anchors, against as many found by k-means."""
    first = heads[0]
    anchors, sizes = anchors_of(first), units(context, first, pixels)
    same = all(head.text("anchors") == first.text("anchors") for head in heads)
    if anchors is None or sizes is None or not same:
        return None
    overlap = float(shape_iou(sizes, anchors).max(1).mean())
    place = (context.config.file, first.line_of("anchors"))
    text = f"the anchors' average IoU with {len(sizes)} boxes of this data is {100 * overlap:.1f} %"
    few = sizes[:: -(-len(sizes) // MOST_CLUSTERED)]
    if len(np.unique(few, axis=0)) < len(anchors):
        several.add(place, "warning" if overlap < POOR_IOU else "note", "anchors-iou", text)
        return None
    found = cluster_sizes(few, len(anchors), 0, RESTARTS)[0]
    digits = 4 if first.type == "region" else 2
    proposal = Proposal(found.round(digits), overlap, float(shape_iou(sizes, found).max(1).mean()))
    hint = ""
    if proposal.after - overlap >= GAIN:
        listed = ", ".join(f"{w:g},{h:g}" for w, h in proposal.anchors.tolist())
        text += f"; k-means finds {100 * proposal.after:.1f} %"
        hint = f"anchors = {listed}"
    several.add(place, "warning" if proposal.gains else "note", "anchors-iou", text, hint)
    return proposal

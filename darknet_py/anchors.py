"""Anchors for a data set: k-means over the sizes of its boxes with the distance 1 - IoU (YOLO9000, section
2)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .data import PathLike, labels_of, write_whole
from .errors import DataError

__all__ = [
    "Anchors",
    "box_sizes",
    "by_area",
    "calc_anchors",
    "cluster_sizes",
    "fit_anchors",
    "sweep_clusters",
    "write_anchors",
]

Sizes = npt.NDArray[np.float64]

MOST_ITERATIONS = 1000
GRID_WIDTH = 32  # up to this width sizes are in cells, as [region] wants them


@dataclass(frozen=True)
class Anchors:
    """anchors: (k, 2) width and height, smallest area first. average_iou: mean over the boxes of the IoU with
    the best anchor. counts: boxes of each class. iterations: of k-means, until nothing changed."""

    anchors: Sizes
    average_iou: float
    counts: tuple[int, ...]
    boxes: int
    iterations: int
    width: int

    def text(self) -> str:
        """The value of the key `anchors`: pixels, or cells for a width that is a grid's."""
        form = "{:2.4f},{:2.4f}" if self.width <= GRID_WIDTH else "{:3.0f},{:3.0f}"
        return ", ".join(form.format(*anchor) for anchor in self.anchors)

    def counters(self) -> str:
        """The cfg line with the number of boxes of each class."""
        return "counters_per_class = " + ", ".join(map(str, self.counts))


def shape_iou(sizes: Sizes, centres: Sizes) -> Sizes:
    """IoU (n, k) of boxes (n, 2) and (k, 2) that share their centre."""
    common = np.minimum(sizes[:, None, 0], centres[None, :, 0])
    common = common * np.minimum(sizes[:, None, 1], centres[None, :, 1])
    union = sizes.prod(1)[:, None] + centres.prod(1)[None, :] - common
    result: Sizes = common / union
    return result


def by_area(anchors: npt.ArrayLike) -> Sizes:
    """Anchors (k, 2), smallest area first."""
    sizes = np.asarray(anchors, np.float64).reshape(-1, 2)
    ordered: Sizes = sizes[np.argsort(sizes.prod(1), kind="stable")]
    return ordered


def cluster_sizes(
    sizes: npt.ArrayLike, clusters: int, seed: int = 0, restarts: int = 1
) -> tuple[Sizes, float, int]:
    """k-means over widths and heights (n, 2): centres by area, mean IoU of the boxes with the best,
    iterations.

    It begins with different boxes drawn at random, restarts times, and the best result counts. A cluster that
    loses all its boxes keeps its centre. Raises DataError for fewer boxes than clusters, or a box without an
    area.
    """
    boxes = np.asarray(sizes, np.float64).reshape(-1, 2)
    if clusters < 1 or len(boxes) < clusters:
        raise DataError(f"expected at least as many boxes as clusters, found {len(boxes)} and {clusters}")
    if not (boxes > 0).all():
        bad = int(np.flatnonzero(~(boxes > 0).all(1))[0])
        raise DataError(f"box {bad} is {boxes[bad, 0]:g} x {boxes[bad, 1]:g}; sizes must be above 0")
    random = np.random.default_rng(seed)
    starts = [boxes[random.choice(len(boxes), clusters, replace=False)] for _ in range(max(restarts, 1))]
    return max((_k_means(boxes, start) for start in starts), key=lambda found: found[1])


def _k_means(boxes: Sizes, centres: Sizes) -> tuple[Sizes, float, int]:
    clusters = len(centres)
    nearest, iterations = np.full(len(boxes), -1), 0
    while iterations < MOST_ITERATIONS:
        iterations += 1
        before, nearest = nearest, shape_iou(boxes, centres).argmax(1)
        if (nearest == before).all():
            break
        counts = np.bincount(nearest, minlength=clusters)
        for axis in range(2):
            sums = np.bincount(nearest, boxes[:, axis], clusters)
            centres[:, axis] = np.where(counts, sums / np.maximum(counts, 1), centres[:, axis])
    return by_area(centres), float(shape_iou(boxes, centres).max(1).mean()), iterations


def box_sizes(images: Sequence[str], classes: int) -> tuple[Sizes, tuple[int, ...]]:
    """Widths and heights (n, 2), relative, of the labels of these images, and how many boxes each class has.
    Raises DataError."""
    sizes, counts = array("f"), np.zeros(classes, np.int64)
    for rows in labels_of(images, classes):
        sizes.frombytes(rows[:, 3:].tobytes())
        counts += np.bincount(rows[:, 0].astype(int), minlength=classes)
    return np.array(sizes, np.float64).reshape(-1, 2), tuple(map(int, counts))


def calc_anchors(
    images: Sequence[str],
    classes: int,
    clusters: int,
    width: int,
    height: int,
    seed: int = 0,
    restarts: int = 1,
) -> Anchors:
    """Anchors for the labels of these images and a network of width x height. Raises DataError."""
    sizes, counts = box_sizes(images, classes)
    return fit_anchors(sizes, counts, clusters, width, height, seed, restarts)


def fit_anchors(
    sizes: Sizes,
    counts: tuple[int, ...],
    clusters: int,
    width: int,
    height: int,
    seed: int = 0,
    restarts: int = 1,
) -> Anchors:
    """calc_anchors of what box_sizes gave. Raises DataError."""
    centres, overlap, iterations = cluster_sizes(sizes * np.array([width, height]), clusters, seed, restarts)
    return Anchors(centres, overlap, counts, len(sizes), iterations, width)


def sweep_clusters(
    sizes: npt.ArrayLike, most: int = 15, seed: int = 0, restarts: int = 1
) -> list[tuple[int, float]]:
    """The mean IoU of boxes (n, 2) with the best of k anchors, for k = 1 to most, or as many as there are
    boxes (YOLO9000, figure 2). Raises DataError as cluster_sizes does."""
    boxes = np.asarray(sizes, np.float64).reshape(-1, 2)
    return [
        (k, cluster_sizes(boxes, k, seed, restarts)[1]) for k in range(1, max(min(most, len(boxes)), 1) + 1)
    ]


def write_anchors(found: Anchors, anchors: PathLike, counters: PathLike) -> None:
    """Writes the files that the fork's calc_anchors leaves; without a line end, as it does."""
    write_whole(anchors, found.text())
    write_whole(counters, found.counters())

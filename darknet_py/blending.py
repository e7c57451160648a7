"""Training pictures made of several: mixup, cutmix and mosaic, as the fork has them (compat.md 20.12)."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

MOSAIC_MARGIN = 0.2  # of width and height, to either side of the cut


def mixup(x: Floats, truth: Floats, others: Sequence[tuple[Floats, Floats]]) -> None:
    """Half of a picture and half of another, in place; classes are halved too, boxes of both are kept."""
    other, labels = others[0]
    x += other
    x *= 0.5
    if truth.ndim == 1:
        truth += labels
        truth *= 0.5
    else:
        _keep(truth, np.concatenate([truth[truth[:, 0] != 0], labels[labels[:, 0] != 0]]))


def cutmix(x: Floats, truth: Floats, other: Floats, labels: Floats, choice: random.Random) -> None:
    """A window of another picture, in place; classes by their part of the area (Yun et al. 2019)."""
    _, height, width = x.shape
    part = choice.random() ** 0.5
    w, h = max(1, round(width * part)), max(1, round(height * part))
    left, top = choice.randint(0, width - w), choice.randint(0, height - h)
    x[:, top : top + h, left : left + w] = other[:, top : top + h, left : left + w]
    area = w * h / (width * height)
    truth *= 1 - area
    truth += np.float32(area) * labels


def mosaic(
    x: Floats, truth: Floats, others: Sequence[tuple[Floats, Floats]], choice: random.Random, bound: bool
) -> None:
    """Windows of four pictures around a random cut, in place. Boxes of which less than a pixel shows in their
    window are dropped, others are cut at the picture's edge; bound: at their window's. Classes count by their
    part of the area."""
    _, height, width = x.shape
    cut_x = round(width * choice.uniform(MOSAIC_MARGIN, 1 - MOSAIC_MARGIN))
    cut_y = round(height * choice.uniform(MOSAIC_MARGIN, 1 - MOSAIC_MARGIN))
    sources = [(x.copy(), truth.copy()), *others]
    rows, shares = [], []
    for k, (picture, labels) in enumerate(sources[:4]):
        left, right = ((0, cut_x), (cut_x, width))[k % 2]
        top, bottom = ((0, cut_y), (cut_y, height))[k // 2]
        from_x = choice.randint(0, width - (right - left))
        from_y = choice.randint(0, height - (bottom - top))
        window = picture[:, from_y : from_y + bottom - top, from_x : from_x + right - left]
        x[:, top:bottom, left:right] = window
        if truth.ndim == 1:
            shares.append(np.float32((right - left) * (bottom - top) / (width * height)) * labels)
            continue
        shift = np.array([left - from_x, top - from_y], np.float32)
        tile = np.array([left, top, right, bottom], np.float32)
        rows.append(_moved(labels[labels[:, 0] != 0], shift, tile, (width, height), bound))
    if truth.ndim == 1:
        truth[:] = np.sum(shares, 0)
    else:
        _keep(truth, np.concatenate(rows))


def _moved(rows: Floats, shift: Floats, tile: Floats, size: tuple[int, int], bound: bool) -> Floats:
    """Truth rows after their picture has moved by some pixels behind a tile of the network's input."""
    extent = np.array(size, np.float32)
    centre, half = rows[:, :2] * extent + shift, rows[:, 2:4] * extent / 2
    low, high = centre - half, centre + half
    shown = np.minimum(high, tile[2:]) - np.maximum(low, tile[:2])
    kept = (shown >= 1).all(1)
    start, end = (tile[:2], tile[2:]) if bound else (0 * extent, extent)
    low, high = np.maximum(low[kept], start), np.minimum(high[kept], end)
    result: Floats = rows[kept]
    result[:, :2], result[:, 2:4] = (low + high) / 2 / extent, (high - low) / extent
    return result


def _keep(truth: Floats, rows: Floats) -> None:
    """Writes as many rows as there is room for, and zeros."""
    kept = rows[: len(truth)]
    truth[: len(kept)] = kept
    truth[len(kept) :] = 0

"""Pictures of and around networks: filters, collages of filters, what colour jitter does, red-cyan stereo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from . import images
from ._native import ffi, lib
from .errors import ArgumentError, ImageError, check
from .network import Network

__all__ = ["anaglyph", "collages", "filters_picture", "jitter_sheet"]

Floats = npt.NDArray[np.float32]

TILE = 200  # pixels per side of the jitter sheet's pictures
SMALLEST_FILTER = 24  # pixels per side at which a filter is drawn, at least
PATCHES = 100  # of a collage
MOST_PIXELS = 1 << 28  # of a picture made here


# ---- filters -------------------------------------------------------------------------------------------


def filters_picture(net: Network, layer: int | None = None) -> Floats:
    """The filters of a convolution (default: the first) as one picture (3, h, w).

    Each is stretched from its smallest weight, 0, to its largest, 1. Filters of three channels are drawn in
    colour, side by side in a square; of others every channel is drawn in grey, with a row per filter.
    """
    index, weights = _filters(net, layer)
    tiles = _stretched(weights)
    if tiles.shape[1] == 3:
        columns = int(np.ceil(np.sqrt(len(tiles))))
    else:
        columns = tiles.shape[1]
        tiles = np.repeat(tiles.reshape(-1, 1, *tiles.shape[2:]), 3, 1)
    zoom = -(-SMALLEST_FILTER // max(tiles.shape[2:]))
    tiles = tiles.repeat(zoom, 2).repeat(zoom, 3)
    _, _, height, width = tiles.shape
    rows = -(-len(tiles) // columns)
    if rows * height * columns * width > MOST_PIXELS:
        raise ArgumentError(f"layer {index}: {len(tiles)} filters of {height} x {width} are too many to draw")
    sheet = np.ones((3, rows * (height + 1) + 1, columns * (width + 1) + 1), np.float32)
    for k, tile in enumerate(tiles):
        top, left = k // columns * (height + 1) + 1, k % columns * (width + 1) + 1
        sheet[:, top : top + height, left : left + width] = tile
    return sheet


def collages(net: Network, width: int, height: int, count: int, *, seed: int = 0) -> Iterator[Floats]:
    """Pictures (3, height, width) of the first layer's filters, turned, recoloured and scattered on grey.

    They look like what the network reacts to, and nothing else: a data set without a subject.
    """
    _, filters = _filters(net, 0)
    if filters.shape[1] != 3:
        raise ArgumentError(f"layer 0: expected filters of 3 channels, found {filters.shape[1]}")
    filters = _stretched(filters)
    size = filters.shape[3]
    if width < size or height < size:
        raise ArgumentError(f"a picture of {width} x {height} has no room for filters of {size} x {size}")
    if width * height > MOST_PIXELS:
        raise ArgumentError(f"expected at most {MOST_PIXELS} pixels, found {width} x {height}")
    opacity = _opacity(size)
    draw = np.random.default_rng(seed)
    for _ in range(count):
        picture = np.full((3, height, width), 0.5, np.float32)
        for _ in range(PATCHES):
            patch = np.rot90(filters[draw.integers(len(filters))], int(draw.integers(4)), (1, 2))
            patch = images.distort(patch, draw.uniform(-1, 1), _factor(draw, 1.5), _factor(draw, 1.5))
            x, y = int(draw.integers(width - size + 1)), int(draw.integers(height - size + 1))
            there = picture[:, y : y + size, x : x + size]
            there += opacity * (patch - there)
        yield picture


def _filters(net: Network, layer: int | None) -> tuple[int, Floats]:
    """Index and weights (n, c, h, w) of a convolution, the first if layer is None."""
    found = net.layers if layer is None else (net.layers[net._layer_index(layer)],)
    for one in found:
        weights = one.params.get("weights")
        if weights is not None and weights.ndim == 4:
            return one.index, weights
    raise ArgumentError(
        "this network has no convolution"
        if layer is None
        else f"layer {layer} [{found[0].type}] has no filters"
    )


def _stretched(filters: Floats) -> Floats:
    """Every filter with its smallest weight at 0 and its largest at 1."""
    low, high = filters.min((1, 2, 3), keepdims=True), filters.max((1, 2, 3), keepdims=True)
    stretched: Floats = (filters - low) / np.where(high > low, high - low, np.float32(1))
    return stretched


def _opacity(size: int) -> Floats:
    """A disc that is opaque in the centre and fades out towards the middle of each side."""
    away = np.arange(size, dtype=np.float32) - (size - 1) / 2
    distance = np.sqrt(np.square(away[:, None]) + np.square(away[None]))
    opacity: Floats = np.maximum(1 - distance / max((size - 1) / 2, 1), 0).astype(np.float32)
    return opacity


def _factor(draw: np.random.Generator, most: float) -> float:
    """Between 1 / most and most: either side with equal probability, as Darknet draws it."""
    factor = float(draw.uniform(1, most))
    return factor if draw.integers(2) else 1 / factor


# ---- colour jitter -------------------------------------------------------------------------------------


def jitter_sheet(image: Any, *, seed: int = 0) -> tuple[Floats, list[tuple[float, float, float]]]:
    """What training's augmentation does to a picture: a sheet (3, h, w) of captioned versions of it.

    The original, grey, four corners of a colour jitter (hue .1; saturation and exposure 1.5), four random
    ones (hue .05; 1.15), and six crops as classifiers see them (aspect .75, scaled to 320..448, cut to 320).
    Also gives (hue, saturation, exposure) of the random ones. image: anything images.load takes.
    """
    if not 0 <= seed < 1 << 64:
        raise ArgumentError(f"expected a seed 0..2**64-1, found {seed}")
    original = images.load(image)
    draw = np.random.default_rng(seed)
    tiles = [("original", original), ("grey", np.repeat(images.load(image, channels=1), 3, 0))]
    for corner in ((0.1, 1.5, 1.5), (-0.1, 1 / 1.5, 1 / 1.5), (0.1, 1.5, 1 / 1.5), (0.1, 1 / 1.5, 1.5)):
        tiles.append((_caption(corner), images.distort(original, *corner)))
    chosen = [(float(draw.uniform(-0.05, 0.05)), _factor(draw, 1.15), _factor(draw, 1.15)) for _ in range(4)]
    tiles += [(_caption(one), images.distort(original, *one)) for one in chosen]
    tiles += [(f"crop {sample + 1}", _cropped(original, seed, sample)) for sample in range(6)]
    return _sheet(tiles), chosen


def _caption(change: tuple[float, float, float]) -> str:
    return "hue {:+.2f} sat {:.2f} exp {:.2f}".format(*change)


def _cropped(image: Floats, seed: int, sample: int) -> Floats:
    channels, height, width = image.shape
    options = ffi.new("dn_augment_options *")
    lib.dn_augment_options_init(options)
    options.aspect, options.min_size, options.max_size = 0.75, 320, 448
    result = np.empty((channels, 320, 320), np.float32)
    source, target = ffi.from_buffer("float[]", image), ffi.from_buffer("float[]", result)
    check(
        lib.dn_augment_classification(
            target, 320, 320, source, width, height, channels, options, seed, 0, sample
        )
    )
    return result


def _sheet(tiles: list[tuple[str, Floats]], columns: int = 4) -> Floats:
    from PIL import Image, ImageDraw

    line = 16
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * TILE, rows * (TILE + line)), "white")
    canvas = ImageDraw.Draw(sheet)
    for k, (caption, tile) in enumerate(tiles):
        x, y = k % columns * TILE, k // columns * (TILE + line)
        small = images.to_pil(tile)
        small.thumbnail((TILE - 4, TILE - 4))
        canvas.text((x + 2, y + 2), caption, "black")
        sheet.paste(small, (x + 2, y + line))
    return images.load(sheet)


# ---- stereo --------------------------------------------------------------------------------------------


def anaglyph(left: Any, right: Any, delta: int = 0) -> tuple[Floats, int]:
    """A picture (3, h, w) for red-cyan glasses: red of the left eye's picture, green and blue of the right's.

    The right one is moved up or down, by at most 1 % of the height, to where it fits the left one best, and
    delta pixels to the left, which moves the whole scene towards the viewer. Gives the picture and how many
    pixels the right one was moved up. left, right: anything images.load takes.
    """
    first, second = images.load(left), images.load(right)
    if first.shape != second.shape:
        raise ImageError(
            f"expected two pictures of one size, found {first.shape[2]} x {first.shape[1]} and "
            f"{second.shape[2]} x {second.shape[1]}"
        )
    _, height, width = first.shape
    if abs(delta) >= width:
        raise ArgumentError(f"a picture {width} pixels wide can't be moved by {delta}")
    reach = height // 100
    far = {
        shift: float(np.square(images.crop(second, 0, shift, width, height) - first, dtype=np.float64).sum())
        for shift in sorted(range(-reach, reach + 1), key=abs)
    }
    best = min(far, key=far.__getitem__)
    result = images.crop(second, delta, best, width, height)
    result[0] = first[0]
    return result, best

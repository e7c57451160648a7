"""A small world to learn from: pictures of eight kinds of shapes on busy backgrounds, with tight boxes.

Everything is drawn from random numbers keyed by (seed, split, index): the same seed gives the same files, in
any order and on any number of processors. It reads nothing and needs neither the network nor the C core.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .data import make_folder
from .errors import DataError
from .progress import Bar

__all__ = ["KINDS", "Box", "generate", "scene"]

KINDS = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "arrow")

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Points = list[tuple[float, float]]

ALL = range(len(KINDS))
SUPERSAMPLING = 4
SMALLEST_VISIBLE_PART = 0.45  # objects with less of themselves in sight are not placed
SMALLEST_SIDE = 15.0  # pixels across
SIZES = (48, 4096)  # of pictures of a data set, pixels per side
SPLITS = ("train", "val")


class Box(NamedTuple):
    """One object: class index, and the pixels it covers; right and bottom are excluded."""

    kind: int
    left: int
    top: int
    right: int
    bottom: int


# ---- shapes: outlines in the unit circle ----------------------------------------------------------


def _polar(radii: Sequence[float], turn: float = -0.5 * math.pi) -> Points:
    step = 2 * math.pi / len(radii)
    return [(r * math.cos(turn + i * step), r * math.sin(turn + i * step)) for i, r in enumerate(radii)]


def _heart() -> Points:
    points: Points = []
    for i in range(48):
        t = 2 * math.pi * i / 48
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((math.sin(t) ** 3, -(y + 2.5) / 16))
    return points


def _cross(arm: float) -> Points:
    quarter = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
    points: Points = []
    for _ in range(4):
        points += quarter
        quarter = [(-y, x) for x, y in quarter]
    return points


OUTLINES: dict[str, Points] = {
    "circle": _polar([0.95] * 48),
    "square": [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)],
    "triangle": _polar([1.0] * 3),
    "star": _polar([1.0, 0.4] * 5),
    "cross": _cross(0.32),
    "ring": _polar([1.0] * 48),
    "heart": _heart(),
    "arrow": [(0, -1), (0.8, -0.05), (0.3, -0.05), (0.3, 1), (-0.3, 1), (-0.3, -0.05), (-0.8, -0.05)],
}
HOLES: dict[str, Points] = {"ring": _polar([0.55] * 48)}


def _coverage(
    kind: str,
    radius: float,
    angle: float,
    stretch: float,
    centre: tuple[float, float],
    window: tuple[int, ...],
) -> Floats:
    """How much of each pixel of the window (left, top, right, bottom) the shape covers, 0..1."""
    left, top, right, bottom = window
    cosine, sine = math.cos(angle), math.sin(angle)

    def place(points: Points) -> Points:
        placed: Points = []
        for x, y in points:
            x, y = x * stretch * radius, y / stretch * radius
            placed.append(
                (
                    (centre[0] - left + cosine * x - sine * y) * SUPERSAMPLING,
                    (centre[1] - top + sine * x + cosine * y) * SUPERSAMPLING,
                )
            )
        return placed

    mask = Image.new("L", ((right - left) * SUPERSAMPLING, (bottom - top) * SUPERSAMPLING), 0)
    draw = ImageDraw.Draw(mask)
    draw.polygon(place(OUTLINES[kind]), fill=255)
    if kind in HOLES:
        draw.polygon(place(HOLES[kind]), fill=0)
    reduced: Floats = np.asarray(mask.reduce(SUPERSAMPLING), dtype=np.float32) / np.float32(255)
    return reduced


# ---- backgrounds: float arrays (height, width, 3), values 0..255 -----------------------------------


def _colour(rng: np.random.Generator) -> Floats:
    return rng.uniform(15, 240, 3).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, width: int, height: int, cell: float) -> Floats:
    """Random values on a coarse grid, interpolated; -1..1."""
    columns, rows = max(2, round(width / cell)), max(2, round(height / cell))
    grid = rng.uniform(0, 255, (rows, columns)).astype(np.uint8)
    image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    noise: Floats = np.asarray(image, dtype=np.float32) / np.float32(127.5) - 1
    return noise


def _mix(first: Floats, second: Floats, part: Floats) -> Floats:
    mixed: Floats = first + (second - first) * part[..., None]
    return mixed


def _gradient(rng: np.random.Generator, width: int, height: int) -> Floats:
    angle = rng.uniform(0, 2 * math.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    along = (x / width - 0.5) * math.cos(angle) + (y / height - 0.5) * math.sin(angle)
    return _mix(_colour(rng), _colour(rng), np.clip(along + 0.5, 0, 1).astype(np.float32))


def _noise(rng: np.random.Generator, width: int, height: int) -> Floats:
    coarse = _smooth_noise(rng, width, height, rng.uniform(20, 60))
    fine = _smooth_noise(rng, width, height, rng.uniform(4, 12))
    return _mix(_colour(rng), _colour(rng), np.clip(0.5 + 0.45 * coarse + 0.2 * fine, 0, 1))


def _stripes(rng: np.random.Generator, width: int, height: int) -> Floats:
    angle, period = rng.uniform(0, math.pi), rng.uniform(8, 40)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    wave = np.sin((x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi / period) + rng.uniform(0, 6))
    base = _colour(rng)
    other = np.clip(base + rng.uniform(-70, 70, 3), 0, 255).astype(np.float32)
    return _mix(base, other, np.clip(0.5 + rng.uniform(0.5, 3) * wave, 0, 1).astype(np.float32))


def _blobs(rng: np.random.Generator, width: int, height: int) -> Floats:
    image = Image.new("RGB", (width, height), tuple(int(v) for v in _colour(rng)))
    draw = ImageDraw.Draw(image)
    base = _colour(rng)
    for _ in range(int(rng.integers(8, 25))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        rx, ry = rng.uniform(0.05, 0.3, 2) * min(width, height)
        colour = np.clip(base + rng.uniform(-60, 60, 3), 0, 255)
        draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=tuple(int(v) for v in colour))
    blurred = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.02, 0.045) * min(width, height)))
    return np.asarray(blurred, dtype=np.float32)


def _tiles(rng: np.random.Generator, width: int, height: int) -> Floats:
    side = rng.uniform(30, 70)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    odd = ((np.floor(x / side) + np.floor(y / side)) % 2).astype(np.float32)
    base = _colour(rng)
    other = np.clip(base + rng.uniform(-35, 35, 3), 0, 255).astype(np.float32)
    return _mix(base, other, odd)


BACKGROUNDS: tuple[Callable[[np.random.Generator, int, int], Floats], ...] = (
    _gradient,
    _noise,
    _stripes,
    _blobs,
    _tiles,
)


def _background(rng: np.random.Generator, width: int, height: int) -> Floats:
    canvas = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))](rng, width, height)
    canvas = canvas + _smooth_noise(rng, width, height, rng.uniform(2, 8))[..., None] * rng.uniform(2, 14)
    scratches = int(rng.integers(0, 4))
    if scratches == 0:
        return canvas
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(scratches):
        x0, y0, x1, y1 = rng.uniform(0, 1, 4) * (width, height, width, height)
        draw.line((x0, y0, x1, y1), fill=tuple(int(v) for v in _colour(rng)), width=int(rng.integers(1, 3)))
    return np.asarray(image, dtype=np.float32)


# ---- scenes -------------------------------------------------------------------------------------------


class _Placed:
    def __init__(self, kind: int, solid: Bools) -> None:
        self.kind = kind
        self.visible = solid
        self.area = 0

    def box(self) -> Box:
        columns = np.flatnonzero(self.visible.any(axis=0))
        rows = np.flatnonzero(self.visible.any(axis=1))
        return Box(self.kind, int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _contrasting(rng: np.random.Generator, behind: Floats) -> Floats:
    """A saturated colour that stands out from what it will cover."""
    best, best_distance = _colour(rng), -1.0
    for _ in range(8):
        colour = rng.uniform(0, 255, 3).astype(np.float32)
        distance = float(np.abs(colour - behind).sum())
        if distance > best_distance:
            best, best_distance = colour, distance
        if distance > 150:
            break
    return best


def _paint(rng: np.random.Generator, region: Floats, coverage: Floats) -> None:
    """Fills the shape in place: one colour, or a soft gradient of it."""
    weight = float(coverage.sum())
    behind = (region * coverage[..., None]).sum(axis=(0, 1)) / max(weight, 1e-6)
    colour = _contrasting(rng, behind)
    fill = np.broadcast_to(colour, region.shape)
    if rng.random() < 0.4:
        angle, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.3)
        y, x = np.mgrid[-1 : 1 : region.shape[0] * 1j, -1 : 1 : region.shape[1] * 1j]
        shade = 1 + strength * (x * math.cos(angle) + y * math.sin(angle))
        fill = np.clip(fill * shade[..., None], 0, 255)
    region += (fill - region) * (coverage * rng.uniform(0.9, 1.0))[..., None]


def _place(
    rng: np.random.Generator,
    canvas: Floats,
    placed: list[_Placed],
    kinds: Sequence[int],
    smallest: float,
    largest: float,
) -> bool:
    """Puts one more object on the canvas, or leaves it alone when there is no room."""
    height, width = canvas.shape[:2]
    kind = kinds[int(rng.integers(len(kinds)))]
    for _ in range(12):
        radius = 0.5 * smallest * (largest / smallest) ** rng.random()
        angle, stretch = rng.uniform(0, 2 * math.pi), rng.uniform(0.9, 1.11)
        x = rng.uniform(0.6 * radius, width - 0.6 * radius)
        y = rng.uniform(0.6 * radius, height - 0.6 * radius)
        reach = math.ceil(radius * 1.35 + 1)  # the corners of a stretched square
        window = (int(x) - reach, int(y) - reach, int(x) + reach + 1, int(y) + reach + 1)
        coverage = _coverage(KINDS[kind], radius, angle, stretch, (x, y), window)
        left, top = max(0, window[0]), max(0, window[1])
        right, bottom = min(width, window[2]), min(height, window[3])
        inside = coverage[top - window[1] : bottom - window[1], left - window[0] : right - window[0]]
        area = int((coverage >= 0.5).sum())
        solid = np.zeros((height, width), dtype=np.bool_)
        solid[top:bottom, left:right] = inside >= 0.5
        if int(solid.sum()) < 0.7 * area:
            continue
        if any(int((o.visible & ~solid).sum()) < SMALLEST_VISIBLE_PART * o.area for o in placed):
            continue
        for other in placed:
            other.visible &= ~solid
        new = _Placed(kind, solid)
        new.area = area
        placed.append(new)
        _paint(rng, canvas[top:bottom, left:right], inside)
        return True
    return False


def _draw(
    rng: np.random.Generator,
    width: int,
    height: int,
    count: int,
    kinds: Sequence[int],
    smallest: float,
    largest: float,
) -> tuple[Image.Image, list[Box]]:
    canvas = np.array(_background(rng, width, height), dtype=np.float32)
    placed: list[_Placed] = []
    for _ in range(count):
        _place(rng, canvas, placed, kinds, smallest, largest)
    if rng.random() < 0.3:
        image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
        canvas = np.array(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9))), dtype=np.float32)
    canvas *= rng.uniform(0.8, 1.15)
    canvas += rng.standard_normal(canvas.shape, dtype=np.float32) * rng.uniform(0, 9)
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)), [o.box() for o in placed]


def scene(seed: int, size: tuple[int, int] = (640, 480), count: int = 10) -> tuple[Image.Image, list[Box]]:
    """One picture of size (width, height) with about `count` objects at varied scales, and their boxes."""
    width, height = size
    if min(width, height) < 32 or count < 0:
        raise DataError(
            f"a scene of {width}x{height} with {count} objects is impossible; use at least 32x32 and 0"
        )
    rng = np.random.default_rng([seed, 1_000_003, width, height, count])
    side = min(width, height)
    return _draw(rng, width, height, count, ALL, max(SMALLEST_SIDE, 0.08 * side), 0.4 * side)


def example(
    seed: int,
    split: int,
    index: int,
    size: int,
    kinds: Sequence[int] = ALL,
    most: int = 6,
    smallest: float = 0.1,
) -> tuple[Image.Image, list[Box]]:
    """A picture of a data set, with up to `most` objects of these kinds, `smallest` to half of it across, and
    their boxes."""
    rng = np.random.default_rng([seed, split, index])
    count = int(rng.integers(1, most + 1)) if rng.random() > 0.03 else 0
    return _draw(rng, size, size, count, kinds, max(SMALLEST_SIDE, smallest * size), 0.5 * size)


def portrait(
    seed: int, split: int, index: int, size: int, kinds: Sequence[int]
) -> tuple[Image.Image, list[Box]]:
    """A picture of one object, as data sets for classifiers have them, and its box."""
    for attempt in range(100):
        rng = np.random.default_rng([seed, split, index, attempt])
        image, boxes = _draw(rng, size, size, 1, kinds, max(SMALLEST_SIDE, 0.2 * size), 0.6 * size)
        if boxes:
            return image, boxes
    raise DataError(f"no object fits into a picture of {size}x{size}")


# ---- files ----------------------------------------------------------------------------------------------


def label_text(boxes: Sequence[Box], width: int, height: int) -> str:
    """The boxes as lines of a Darknet label file."""
    lines = []
    for box in boxes:
        x, y = (box.left + box.right) / 2 / width, (box.top + box.bottom) / 2 / height
        w, h = (box.right - box.left) / width, (box.bottom - box.top) / height
        lines.append(f"{box.kind} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n")
    return "".join(lines)


Draw = Callable[[str, int], tuple[Image.Image, str]]


def _write_example(folder: Path, split: str, index: int, draw: Draw) -> None:
    image, labels = draw(split, index)
    image.save(folder / "images" / split / f"{index:05d}.jpg", quality=93, subsampling=0)
    (folder / "labels" / split / f"{index:05d}.txt").write_text(labels, encoding="utf-8")


def _install(source: Path, target: Path) -> None:
    """Moves the finished entries into the target, replacing those of an earlier run and nothing else."""
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if place.is_dir():
            shutil.rmtree(place)
        entry.replace(place)


def write_set(
    folder: str | os.PathLike[str], counts: dict[str, int], draw: Draw, files: dict[str, str], *, quiet: bool
) -> Path:
    """Writes a data set: images/SPLIT/, labels/SPLIT/ and SPLIT.txt for every split, and further files.

    counts: pictures by split. draw: a picture and the text of its label file. files: contents by name, of
    which the first marks a folder as ours; {base} in them becomes what paths to the others begin with. Gives
    the folder.
    """
    target = Path(folder).resolve()
    if (target / "images").exists() and not (target / next(iter(files))).exists():
        raise DataError(f"{target} already holds images that synth did not make: name another folder")
    make_folder(target)
    # Spaces in a .data file are lost when it is read: then names are relative to the file.
    base = "" if any(c.isspace() or c == "#" for c in str(target)) else f"{target}/"
    with tempfile.TemporaryDirectory(prefix=".synth-", dir=target) as scratch:
        built = Path(scratch)
        for split, count in counts.items():
            for kind in ("images", "labels"):
                (built / kind / split).mkdir(parents=True)
            paths = [f"{target / 'images' / split}/{index:05d}.jpg\n" for index in range(count)]
            (built / f"{split}.txt").write_text("".join(paths), encoding="utf-8")
        jobs = [(split, index) for split, count in counts.items() for index in range(count)]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool, Bar("drawing", len(jobs), quiet=quiet) as bar:
            work = pool.map(lambda job: _write_example(built, job[0], job[1], draw), jobs)
            for done, _ in enumerate(work, 1):
                bar.update(done)
        for name, text in files.items():
            (built / name).write_text(text.replace("{base}", base), encoding="utf-8")
        _install(built, target)
    return target


def check_counts(train: int, val: int, size: int, seed: int) -> None:
    """Refuses data sets that can't be drawn."""
    if not SIZES[0] <= size <= SIZES[1]:
        raise DataError(f"pictures are {SIZES[0]} to {SIZES[1]} pixels per side, not {size}")
    if train < 1 or val < 0 or seed < 0:
        raise DataError("a data set has at least 1 training picture, and no negative numbers")


def generate(
    folder: str | os.PathLike[str],
    *,
    train: int = 2000,
    val: int = 400,
    size: int = 160,
    seed: int = 0,
    quiet: bool = False,
) -> Path:
    """Writes a data set of drawn scenes; returns the path of its .data file."""
    check_counts(train, val, size, seed)

    def draw(split: str, index: int) -> tuple[Image.Image, str]:
        image, boxes = example(seed, SPLITS.index(split), index, size)
        return image, label_text(boxes, size, size)

    files = {
        "synth.data": f"classes = {len(KINDS)}\ntrain = {{base}}train.txt\nvalid = {{base}}val.txt\n"
        "names = {base}synth.names\nbackup = {base}backup\n",
        "synth.names": "".join(f"{name}\n" for name in KINDS),
    }
    return write_set(folder, {"train": train, "val": val}, draw, files, quiet=quiet) / "synth.data"

"""Training batches: pictures decoded in threads, augmented by the core, ready before they are needed.

A batch depends on (seed, step) only: not on the number of workers, and not on what was asked before. So a
resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from . import blending, data, images
from ._native import ffi, lib
from .boxes import WordTree
from .collection import place_of
from .errors import DataError, ImageError, check
from .logs import logger
from .names import read_names

__all__ = ["Batch", "ClassificationLoader", "DetectionLoader", "GridLoader", "read_ahead"]

Floats = npt.NDArray[np.float32]
Size = tuple[int, int]
Item = TypeVar("Item")
Done = TypeVar("Done")

CACHE_BYTES = 512 << 20
MOST_BAD = 0.1
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_BLEND = 1 << 32  # no number of an attempt
_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Batch:
    """Input (batch, channels, height, width) and truth (batch, rows, values) or (batch, classes), in which it
    can be unpacked; and the paths of the pictures, if it is made of any."""

    x: Floats
    truth: Floats
    images: Sequence[str] = ()

    def __iter__(self) -> Iterator[Floats]:
        return iter((self.x, self.truth))


def mixed(*keys: int) -> int:
    """64 well mixed bits of some integers (the finaliser of splitmix64 after each)."""
    state = 0
    for key in keys:
        state = (state + key + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


class _Loader:
    """What both kinds of training share: choosing, decoding, remembering and prefetching pictures."""

    def __init__(
        self,
        paths: Sequence[str],
        size: Size | Callable[[int], Size],
        batch: int,
        channels: int,
        *,
        seed: int,
        workers: int,
        ahead: int,
        most_bad: float,
        least: int | None,
    ) -> None:
        if not len(paths):
            raise DataError("there are no pictures to train with")
        if batch < 1 or workers < 1 or ahead < 0:
            raise DataError(f"impossible batch {batch}, workers {workers} or ahead {ahead}")
        if channels not in (1, 3):
            raise DataError(f"pictures have 3 channels, or 1 when grey; this network takes {channels}")
        self.paths = paths
        self._most_bad, self._least = most_bad, least
        self.unreadable: dict[str, str] = {}  # path -> why
        self._size = size
        self._batch = batch
        self._channels = channels
        self._seed = seed
        self._ahead = ahead
        self._blends: tuple[str, ...] = ()  # of which one is made of every other picture
        self._mosaic_bound = False
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="darknet_py-loader")
        self._lock = threading.Lock()
        self._cache: dict[int, images.Pixels] = {}
        self._cache_room = CACHE_BYTES
        self._coming: dict[int, tuple[Batch, list[Future[None]]]] = {}

    def close(self) -> None:
        """Stops the workers."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._coming.clear()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def blend(self, kinds: Sequence[str], mosaic_bound: bool = False) -> None:
        """Makes half of the pictures blends of several: "mosaic", "mixup", or "cutmix" (classifiers)."""
        self._blends, self._mosaic_bound = tuple(kinds), mosaic_bound

    def size(self, step: int) -> Size:
        """Width and height of the batch of a step."""
        return self._size(step) if callable(self._size) else self._size

    def batch(self, step: int) -> Batch:
        """The batch of a step; those of the next steps are prepared in the background meanwhile.

        Raises DataError when more of the pictures than most_bad turn out to be unreadable.
        """
        for wanted in range(step, step + 1 + self._ahead):
            if wanted not in self._coming:
                self._coming[wanted] = self._begin(wanted)
        result, work = self._coming.pop(step)
        for old in [known for known in self._coming if not step < known <= step + self._ahead]:
            for future in self._coming.pop(old)[1]:
                future.cancel()
        for future in work:
            future.result()
        return result

    def _begin(self, step: int) -> tuple[Batch, list[Future[None]]]:
        width, height = self.size(step)
        x = np.empty((self._batch, self._channels, height, width), np.float32)
        truth = np.zeros((self._batch, *self._truth_shape()), np.float32)
        paths = [""] * self._batch
        work = [self._pool.submit(self._fill, x[i], truth[i], paths, step, i) for i in range(self._batch)]
        return Batch(x, truth, paths), work

    def _fill(self, x: Floats, truth: Floats, paths: list[str], step: int, sample: int) -> None:
        """Fills one place of a batch, with one picture or a blend of several."""
        paths[sample] = self._one(x, truth, step, sample)
        number = mixed(self._seed, step, sample, _BLEND)
        if not self._blends or number & 1:
            return
        kind, choice = self._blends[(number >> 1) % len(self._blends)], random.Random(number)
        others = []
        for k in range(1, 4 if kind == "mosaic" else 2):  # keyed by samples that no batch has
            other = np.empty_like(x), np.zeros_like(truth)
            paths[sample] += " + " + self._one(*other, step, sample + k * self._batch)
            others.append(other)
        if kind == "mosaic":
            blending.mosaic(x, truth, others, choice, self._mosaic_bound)
        elif kind == "cutmix":
            blending.cutmix(x, truth, *others[0], choice)
        else:
            blending.mixup(x, truth, others)

    def _one(self, x: Floats, truth: Floats, step: int, sample: int) -> str:
        """Draws one picture and gives its path; one that cannot be read is replaced by another draw."""
        for attempt in range(1000):
            index = self._draw(mixed(self._seed, step, sample, attempt))
            pixels = self._pixels(index)
            if pixels is not None:
                self._make(x, truth, index, pixels, step, sample)
                return self.paths[index]
        raise DataError("no readable picture found among the training images")

    def _draw(self, number: int) -> int:
        """The image that a random number of 64 bits stands for."""
        return number % len(self.paths)

    def _pixels(self, index: int) -> images.Pixels | None:
        path = self.paths[index]
        with self._lock:
            if path in self.unreadable:
                return None
            cached = self._cache.get(index)
        if cached is not None:
            return cached
        try:
            pixels = images.to_bytes(images.read(path, least=self._least))
        except ImageError as error:
            self._set_aside(path, f"{place_of(self.paths, index)}{error}")
            return None
        with self._lock:
            if index not in self._cache and pixels.nbytes <= self._cache_room:
                self._cache[index] = pixels
                self._cache_room -= pixels.nbytes
        return pixels

    def _set_aside(self, path: str, reason: str) -> None:
        with self._lock:
            if path in self.unreadable:
                return
            self.unreadable[path] = reason
            count = len(self.unreadable)
        logger.warning("left out: %s", reason)
        if count > self._most_bad * len(self.paths):
            raise DataError(
                f"{count} of {len(self.paths)} pictures are unreadable, more than {self._most_bad:.3g} of "
                "them (most_bad); check the image list. "
                f"The last one: {reason}"
            )

    def _truth_shape(self) -> tuple[int, ...]:
        raise NotImplementedError

    def _make(
        self, x: Floats, truth: Floats, index: int, pixels: images.Pixels, step: int, sample: int
    ) -> None:
        raise NotImplementedError


def _options(values: dict[str, float]) -> Any:
    options = ffi.new("dn_augment_options *")
    lib.dn_augment_options_init(options)
    for key, value in values.items():
        setattr(options, key, value)
    return options


def _pointer(array: Floats) -> Any:
    return ffi.from_buffer("float[]", array, require_writable=True)


class DetectionLoader(_Loader):
    """Batches for a detector: pictures placed at random on grey, and rows x, y, w, h, class, 0... per object.

    paths: images, whose labels are those of data.labels_of. most_bad: part of them that may be unreadable.
    least: pixels per side that are needed; large JPEG pictures are decoded at a smaller scale then.

    size: (width, height), or a function of the step for training at several scales. truth: (rows, values) of
    the network's heads. augment: jitter, hue, saturation, exposure and flip, as in the cfg.

    nodes: those of the heads' word tree, if they have one; then labels may say what a picture shows but not
    where (centre 0 0), in numbers of nodes, and such a picture has the row 999999 999999 999999 999999 class.
    class_only: further pictures, with labels of that kind (as data.class_only_labels gives them), of which
    ratio are drawn for each of paths (YOLO9000, section 4: 4).
    """

    def __init__(
        self,
        paths: Sequence[str],
        size: Size | Callable[[int], Size],
        batch: int,
        *,
        classes: int,
        nodes: int | None = None,
        class_only: Sequence[str] = (),
        class_only_labels: Sequence[Floats] = (),
        ratio: float = 4.0,
        truth: tuple[int, int] = (90, 5),
        channels: int = 3,
        augment: dict[str, float] | None = None,
        seed: int = 0,
        workers: int = 2,
        ahead: int = 2,
        most_bad: float = MOST_BAD,
        least: int | None = None,
    ) -> None:
        if not (math.isfinite(ratio) and ratio >= 0):
            raise DataError(
                f"expected a ratio of 0 or more pictures without boxes per picture, found {ratio}"
            )
        labels = data.labels_of(paths, classes, nodes)
        self.labels: Sequence[Floats] = [*labels, *class_only_labels] if len(class_only) else labels
        self._placed = len(paths)
        self._class_only_part = ratio / (1 + ratio) if len(class_only) else 0.0
        self._rows = truth
        self._options = _options(augment or {})
        everything = [*paths, *class_only] if len(class_only) else paths
        super().__init__(
            everything,
            size,
            batch,
            channels,
            seed=seed,
            workers=workers,
            ahead=ahead,
            most_bad=most_bad,
            least=least,
        )

    def _draw(self, number: int) -> int:
        if self._class_only_part == 0:
            return number % self._placed
        more = mixed(number)
        if more < self._class_only_part * 2.0**64:
            return self._placed + number % (len(self.paths) - self._placed)
        return number % self._placed

    def _truth_shape(self) -> tuple[int, ...]:
        return self._rows

    def _make(
        self, x: Floats, truth: Floats, index: int, pixels: images.Pixels, step: int, sample: int
    ) -> None:
        source = images.planar(pixels)
        _, height, width = x.shape
        # Colours are changed in colour: a grey network's input is made grey afterwards.
        canvas = x if len(x) == 3 else np.empty((3, height, width), np.float32)
        boxes = np.ascontiguousarray(self.labels[index])
        drawn = (
            ffi.from_buffer("float[]", source),
            source.shape[2],
            source.shape[1],
            ffi.from_buffer("float[]", boxes) if len(boxes) else ffi.NULL,
            len(boxes),
            self._options,
            self._seed,
            step,
            sample,
        )
        check(self._augment(_pointer(canvas), width, height, _pointer(truth), drawn))
        if canvas is not x:
            np.einsum("c,chw->hw", _GREY, canvas, out=x[0])

    def _augment(self, canvas: Any, width: int, height: int, truth: Any, drawn: tuple[Any, ...]) -> int:
        return int(lib.dn_augment_detection(canvas, width, height, truth, *self._rows, *drawn))


class GridLoader(DetectionLoader):
    """Batches for YOLOv1: pictures cropped at random and stretched, and per cell of a grid a row: 1 if it has
    an object, the one-hot class, x and y within the cell, w, h.

    side: cells per row and per column; other arguments as for DetectionLoader.
    """

    def __init__(
        self,
        paths: Sequence[str],
        size: Size | Callable[[int], Size],
        batch: int,
        *,
        classes: int,
        side: int,
        **options: Any,
    ) -> None:
        self._side, self._classes = side, classes
        super().__init__(paths, size, batch, classes=classes, truth=(side * side, 1 + classes + 4), **options)

    def _augment(self, canvas: Any, width: int, height: int, truth: Any, drawn: tuple[Any, ...]) -> int:
        return int(lib.dn_augment_grid(canvas, width, height, truth, self._side, self._classes, *drawn))


def class_only_arguments(info: data.DataFile, tree: WordTree | None) -> dict[str, Any]:
    """What a .data file says about pictures whose labels have no boxes (YOLO9000's joint training), as
    arguments of a DetectionLoader. tree: that of the head."""
    if tree is None:
        if info.get("classification"):
            raise DataError(
                f"{info.path}: classification: only a [region] head with a tree learns from pictures without "
                "boxes"
            )
        return {}
    if not info.get("classification"):
        return {"nodes": len(tree)}
    paths = info.images("classification")
    marks = read_names(info.file("labels")) if info.get("labels") else None
    return {
        "nodes": len(tree),
        "class_only": paths,
        "class_only_labels": data.class_only_labels(paths, len(tree), marks),
        "ratio": info.number("classification_ratio", 4.0),
    }


class ClassificationLoader(_Loader):
    """Batches for a classifier: random crops, and one row per image that is 1 at its class.

    labels: strings that mark a class in an image's path, one per class. tree: the classes are its nodes, and
    a picture's row also has their ancestors, as WordTree.truth says. augment: angle, aspect, hue, saturation,
    exposure, flip, and min_size, max_size (shorter side after scaling, before cropping) for a network of the
    first step's width; other widths scale them. label_smoothing: part of a picture's truth that all classes
    share (Szegedy et al. 2016, section 7); not with a tree.
    """

    def __init__(
        self,
        paths: Sequence[str],
        size: Size | Callable[[int], Size],
        batch: int,
        *,
        labels: Sequence[str],
        tree: WordTree | None = None,
        channels: int = 3,
        augment: dict[str, float] | None = None,
        width: int | None = None,
        label_smoothing: float = 0,
        seed: int = 0,
        workers: int = 2,
        ahead: int = 2,
        most_bad: float = MOST_BAD,
        least: int | None = None,
    ) -> None:
        self.classes = data.classes_of(paths, labels)
        self._class_count = len(labels)
        self._tree = tree
        self._smoothing = label_smoothing
        self._augment = dict(augment or {})
        self._by_width: dict[int, Any] = {}
        super().__init__(
            paths,
            size,
            batch,
            channels,
            seed=seed,
            workers=workers,
            ahead=ahead,
            most_bad=most_bad,
            least=least,
        )
        self._width = width or self.size(0)[0]

    def _truth_shape(self) -> tuple[int, ...]:
        return (self._class_count,)

    def _settings(self, width: int) -> Any:
        with self._lock:
            if width not in self._by_width:
                values = dict(self._augment)
                for key in ("min_size", "max_size"):
                    if key in values:
                        values[key] = int(values[key] * width / self._width)
                self._by_width[width] = _options(values)
            return self._by_width[width]

    def _make(
        self, x: Floats, truth: Floats, index: int, pixels: images.Pixels, step: int, sample: int
    ) -> None:
        source = np.ascontiguousarray(images.planar(pixels, self._channels))
        channels, height, width = x.shape
        check(
            lib.dn_augment_classification(
                _pointer(x),
                width,
                height,
                ffi.from_buffer("float[]", source),
                source.shape[2],
                source.shape[1],
                channels,
                self._settings(width),
                self._seed,
                step,
                sample,
            )
        )
        if self._tree is None:
            truth[:] = self._smoothing / self._class_count
            truth[self.classes[index]] += 1 - self._smoothing
        else:
            truth[:] = self._tree.truth(self.classes[index])


def read_ahead(paths: Sequence[str], workers: int = 2) -> Iterator[tuple[int, images.Pixels | ImageError]]:
    """Every picture in order, with its index, decoded a little ahead; an unreadable one as its error."""

    def read(path: str) -> images.Pixels | ImageError:
        try:
            return images.read(path)
        except ImageError as error:
            return error

    return enumerate(ahead(read, paths, workers))


def ahead(work: Callable[[Item], Done], items: Iterable[Item], workers: int = 2) -> Iterator[Done]:
    """What work makes of every item, in order, in threads that are a little ahead."""
    with ThreadPoolExecutor(workers, thread_name_prefix="darknet_py-reader") as pool:
        rest = iter(items)
        coming = [pool.submit(work, item) for item in islice(rest, 2 * workers)]
        while coming:
            yield coming.pop(0).result()
            coming += [pool.submit(work, item) for item in islice(rest, 1)]

"""How good a classifier is: top-1 and top-k accuracy, on one view of each picture or the mean of several.

The views are those of the reference's validation commands (compat 16.5).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from . import data, images
from .errors import DataError, ImageError
from .sweep import Views, read_each, score_each

if TYPE_CHECKING:
    from .network import Network

__all__ = [
    "Accuracy",
    "evaluate_classifier",
    "evaluate_resized",
    "full_view",
    "rank",
    "scaled_views",
    "ten_views",
]

Floats = npt.NDArray[np.float32]
Scores = Iterable[tuple[int, Floats | ImageError]]
#: Called with an image's index, its class, its scores, and the figures up to it.
OnImage = Callable[[int, int, Floats, "Accuracy"], None]

MARGIN = 32  # pixels around the ten crops
SCALES = (224, 256, 288, 320)  # longer sides
KEPT_SIZES = 4  # networks that evaluate_resized keeps


@dataclass(frozen=True)
class Accuracy:
    """A classifier on a list of images: parts (0..1) whose class was first, and among the k first."""

    top1: float
    topk: float
    k: int
    images: int
    unreadable: tuple[str, ...] = ()

    def line(self, index: int) -> str:
        """The line that `classifier valid` prints after the image with this index."""
        return f"{index}: top 1: {self.top1:f}, top {self.k}: {self.topk:f}"


def rank(scores: Floats, top: int) -> list[int]:
    """The classes of the highest scores, best first; of equal scores the lower class first."""
    return [int(i) for i in np.argsort(-scores, kind="stable")[: max(top, 0)]]


def evaluate_classifier(
    net: Network,
    images: Sequence[str],
    labels: Sequence[str],
    *,
    top: int = 5,
    preprocess: str | Views = "crop",
    batch: int = 32,
    on_image: OnImage | None = None,
    quiet: bool = True,
) -> Accuracy:
    """Top-1 and top-k accuracy. labels: as for ClassificationLoader. preprocess: as for Network.classify, or
    a function that gives several inputs for a picture, whose scores are averaged.

    Unreadable images are left out and listed. Raises DataError if an image has no class or none can be read.
    """
    classes = data.classes_of(images, labels)
    scores = score_each(net, images, preprocess, batch=batch, quiet=quiet)
    return _tally(scores, classes, labels, top, on_image)


def evaluate_resized(
    net: Network,
    resized: Callable[[int, int], Network],
    images: Sequence[str],
    labels: Sequence[str],
    views: Callable[[images.Pixels, int], list[Floats]],
    *,
    top: int = 5,
    on_image: OnImage | None = None,
    quiet: bool = True,
) -> Accuracy:
    """evaluate_classifier with views (c, h, w) of any size, for networks that take pictures of any size.

    resized: gives net for inputs of a width and height; it is closed here.
    """
    classes = data.classes_of(images, labels)
    scores = _score_resized_each(net.input_shape[1], resized, images, views, quiet)
    return _tally(scores, classes, labels, top, on_image)


def _tally(
    scores: Scores, classes: Sequence[int], labels: Sequence[str], top: int, on_image: OnImage | None
) -> Accuracy:
    first = among = count = 0
    unreadable = []
    for index, one in scores:
        if isinstance(one, ImageError):
            unreadable.append(str(one))
            continue
        if len(one) != len(labels):
            raise DataError(f"this network has {len(one)} classes, but there are {len(labels)} labels")
        best = rank(one, max(top, 1))
        count += 1
        first += best[0] == classes[index]
        among += classes[index] in best
        if on_image:
            on_image(index, classes[index], one, Accuracy(first / count, among / count, top, count))
    if count == 0:
        raise DataError(f"none of the {len(classes)} images can be read")
    return Accuracy(first / count, among / count, top, count, tuple(unreadable))


# ---- views ------------------------------------------------------------------------------------------------


def ten_views(net: Network) -> Views:
    """The corners, the middle, and all of them mirrored, of the picture stretched to 32 pixels more than the
    network's size. As in the reference the corners lie 32 pixels from the middle, half of that outside, where
    the picture's edge is repeated."""
    channels, height, width = net.input_shape[1:]

    def views(pixels: images.Pixels) -> Floats:
        source = images.resize(images.planar(pixels, channels), width + MARGIN, height + MARGIN)
        result = []
        for picture in (source, images.flip(source)):
            for dx, dy in ((-1, -1), (1, -1), (0, 0), (-1, 1), (1, 1)):
                result.append(images.crop(picture, dx * MARGIN, dy * MARGIN, width, height))
        return np.stack(result)

    return views


def full_view(size: int) -> Callable[[images.Pixels, int], list[Floats]]:
    """The whole picture, its shorter side scaled to size."""

    def views(pixels: images.Pixels, channels: int) -> list[Floats]:
        height, width = pixels.shape[:2]
        shorter = min(width, height)
        source = images.planar(pixels, channels)
        return [images.resize(source, width * size // shorter, height * size // shorter)]

    return views


def scaled_views(
    sizes: Sequence[int] = SCALES,
) -> Callable[[images.Pixels, int], list[Floats]]:
    """The whole picture with its longer side scaled to each size, and mirrored."""

    def views(pixels: images.Pixels, channels: int) -> list[Floats]:
        height, width = pixels.shape[:2]
        longer = max(width, height)
        source, result = images.planar(pixels, channels), []
        for size in sizes:
            scaled = images.resize(source, max(1, width * size // longer), max(1, height * size // longer))
            result += [scaled, images.flip(scaled)]
        return result

    return views


def _score_resized_each(
    channels: int,
    resized: Callable[[int, int], Network],
    paths: Sequence[str],
    views: Callable[[images.Pixels, int], list[Floats]],
    quiet: bool,
) -> Iterator[tuple[int, Floats | ImageError]]:
    networks: OrderedDict[tuple[int, int], Network] = OrderedDict()
    with ExitStack() as stack:

        def scores(x: Floats) -> Floats:
            size = (x.shape[2], x.shape[1])
            net = networks.get(size) or stack.enter_context(resized(*size))
            networks[size] = net
            networks.move_to_end(size)
            if len(networks) > KEPT_SIZES:
                networks.popitem(last=False)[1].close()
            answer: Floats = net.scores(x)[0]
            return answer

        for index, picture in read_each(paths, quiet=quiet):
            if isinstance(picture, ImageError):
                yield index, picture
            else:
                all_views = np.stack([scores(x) for x in views(picture, channels)])
                yield index, np.mean(all_views, 0, np.float32)

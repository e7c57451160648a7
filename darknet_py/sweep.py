"""A network over a list of pictures: read a little ahead, one session, and nothing kept from one to the next.

Everything that evaluates goes through here, so memory does not grow with the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from . import images
from .collection import place_of
from .errors import ImageError
from .loaders import read_ahead
from .logs import logger
from .progress import Bar
from .session import Candidates, Rules, prepare

if TYPE_CHECKING:
    from .network import Network

__all__ = ["detect_each", "read_each", "score_each"]

Floats = npt.NDArray[np.float32]
CLASSIFIER_FITS = ("crop", "letterbox", "stretch")
#: The inputs (n, c, h, w) whose scores are averaged for one picture.
Views = Callable[[images.Pixels], Floats]


def read_each(
    paths: Sequence[str], *, quiet: bool = True
) -> Iterator[tuple[int, images.Pixels | ImageError]]:
    """Every picture in order, with its index; one that cannot be read gives its error, with list and
    line, which is logged."""
    with Bar("evaluating", len(paths), quiet=quiet) as bar:
        for index, picture in read_ahead(paths):
            bar.update(index + 1)
            if isinstance(picture, ImageError):
                picture = ImageError(f"{place_of(paths, index)}{picture}")
                logger.warning("left out: %s", picture)
            yield index, picture


def detect_each(
    net: Network, paths: Sequence[str], rules: Rules, *, quiet: bool = True
) -> Iterator[tuple[int, Candidates | ImageError]]:
    """The boxes in every picture, in order, with its index; else as read_each."""
    how = rules.preprocess or net._default_preprocess()
    chosen = replace(rules, preprocess=how)
    with net.session() as session:
        for index, picture in read_each(paths, quiet=quiet):
            if isinstance(picture, ImageError):
                yield index, picture
                continue
            session.reset()
            x = prepare(net, picture, how)
            height, width = picture.shape[:2]
            yield index, session._candidates(x, (width, height), chosen)[0]


def score_each(
    net: Network,
    paths: Sequence[str],
    views: str | Views = "crop",
    *,
    batch: int = 32,
    quiet: bool = True,
) -> Iterator[tuple[int, Floats | ImageError]]:
    """A classifier's scores (classes,) of every picture, in order, with its index; else as read_each.

    views: how pictures are fitted, as for Network.classify, or a function that gives several inputs for one
    picture, whose scores are averaged. batch: inputs that go through the network together. Of a network with
    a word tree the scores are absolute probabilities of its leaves.
    """
    fit: Views = (
        views if callable(views) else lambda pixels: prepare(net, pixels, str(views), CLASSIFIER_FITS)
    )
    waiting: list[tuple[int, Floats | ImageError]] = []

    def flush(predict: Callable[[Floats], list[Floats]]) -> Iterator[tuple[int, Floats | ImageError]]:
        parts = [one for _, one in waiting if isinstance(one, np.ndarray)]
        if parts:
            scores = net._answers(predict(np.concatenate(parts))[0])
        start = 0
        for index, one in waiting:
            if isinstance(one, ImageError):
                yield index, one
                continue
            yield index, scores[start : start + len(one)].mean(0)
            start += len(one)
        waiting.clear()

    with net.session() as session:
        inputs = 0
        for index, picture in read_each(paths, quiet=quiet):
            one = picture if isinstance(picture, ImageError) else fit(picture)
            waiting.append((index, one))
            inputs += 1 if isinstance(one, ImageError) else len(one)
            if inputs >= batch:
                yield from flush(session.predict)
                inputs = 0
        yield from flush(session.predict)

"""What is wrong with the data of a training run though nothing fails: classes without a picture, and heads
that learn from no box."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from .loaders import Batch
from .logs import logger
from .network import Layer, Network
from .trainer import Trainer

__all__ = ["FirstEpoch", "tell_empty_classes"]

MOST_NAMED = 8
SAMPLED = 10000  # pictures that tell how large boxes are


def tell_empty_classes(classes: Iterable[int], count: int, names: Sequence[str], what: str) -> None:
    """Warns of classes 0..count-1 that are not among `classes`. what: that none has, as in "no box"."""
    found = set(classes)
    missing = [names[k] if k < len(names) else str(k) for k in range(count) if k not in found]
    if not missing:
        return
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    logger.warning(
        "%d of %d classes have %s in the training list, and can't be learned: %s%s",
        len(missing),
        count,
        what,
        ", ".join(missing[:MOST_NAMED]),
        more,
    )


class FirstEpoch:
    """Watches the passes of the first epoch and then says which heads were given no box, and why that may be.

    pictures: in an epoch. labels: of the training pictures, rows class, x, y, w, h. grid: the truth is one of
    cells (YOLOv1).
    """

    def __init__(
        self, net: Network, pictures: int, labels: Sequence[npt.NDArray[np.float32]], grid: bool = False
    ) -> None:
        self._net, self._left, self._labels, self._grid = net, pictures, labels, grid
        self._matched = {layer.index: 0 for layer in net.layers if layer.head and not grid}
        self._boxes = 0

    def __call__(self, trainer: Trainer, batch: Batch) -> None:
        """After a pass."""
        if self._left <= 0:
            return
        for index in self._matched:
            count = re.search(r"count: (\d+)", trainer.head_line(index))
            self._matched[index] += int(count.group(1)) if count else 0
        self._boxes += int((batch.truth[:, :, 0 if self._grid else 2] > 0).sum())
        self._left -= len(batch.x)
        if self._left <= 0:
            self._tell()

    def _tell(self) -> None:
        # Other rows say what is in a picture, but not where.
        boxes_written = sum(int((rows[:, 3] > 0).sum()) for rows in self._labels)
        step = max(1, len(self._labels) // SAMPLED)
        written = np.concatenate([np.empty((0, 5), np.float32), *self._labels[::step]])
        written = written[written[:, 3] > 0]
        if not len(written):
            logger.warning("not one of the %d training pictures has a box", len(self._labels))
            return
        sizes = written[:, 3:5] * np.array(self._net.input_shape[:1:-1])
        small, large = np.percentile(sizes, 5, axis=0), np.percentile(sizes, 95, axis=0)
        boxes = f"most boxes are {small[0]:.0f}x{small[1]:.0f} to {large[0]:.0f}x{large[1]:.0f} pixels"
        if not self._boxes:
            logger.warning(
                "the first epoch showed the network none of the %d boxes of its pictures: boxes of less than "
                "%s thousandth of the picture's width or height are left out, and %s at the network's size",
                boxes_written,
                "5" if self._grid else "a",
                boxes,
            )
            return
        for index, count in self._matched.items():
            if not count:
                layer = self._net.layers[index]
                logger.warning(
                    "layer %d [%s] was given none of the %d boxes of the first epoch, and learns nothing but "
                    "that there are none: %s%s. See `detector calc_anchors`",
                    index,
                    layer.type,
                    self._boxes,
                    boxes,
                    _anchors(layer),
                )


def _anchors(layer: Layer) -> str:
    """The anchors of a head's mask for a message."""
    anchors, mask = layer.option("anchors"), layer.option("mask")
    if not anchors:
        return ""
    numbers = [part.strip() for part in anchors.replace("\n", ",").split(",")]
    pairs = [f"{w}x{h}" for w, h in zip(numbers[::2], numbers[1::2], strict=False)]
    chosen = [int(k) for k in mask.split(",") if k.strip().isdigit()] if mask else range(len(pairs))
    return f", its anchors {', '.join(pairs[k] for k in chosen if k < len(pairs))}"

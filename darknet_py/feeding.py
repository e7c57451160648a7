"""What a cfg says about the pictures of a training run (size, augmentation, blends), and its loader."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from .data import DataFile
from .loaders import ClassificationLoader, DetectionLoader, GridLoader, class_only_arguments, mixed
from .logs import logger
from .network import Network

__all__ = ["classification_loader", "detection_loader", "scales", "tell_without_effect"]

SCALES_EVERY = 10  # updates between changes of the input size
FIXED_AT_END = 200  # last updates at the cfg's own size, as the reference does
DETAIL = 2  # pixels of a picture per pixel of the network that are worth decoding
#: Keys of [net] that change training in the fork, and nothing here.
WITHOUT_EFFECT = (
    "ema_alpha",
    "blur",
    "gaussian_noise",
    "dynamic_minibatch",
    "adversarial_lr",
    "contrastive",
    "unsupervised",
)
BLENDS = ("mosaic", "mixup", "cutmix")


def scales(
    width: int, height: int, factor: float, seed: int, end: int, step: int = 32
) -> Callable[[int], tuple[int, int]]:
    """The input size of each update: every ten updates another multiple of step in
    width/factor..width*factor, the height in proportion; the last 200 updates before `end` at the cfg's own
    size."""
    choices = size_choices(width, height, factor, step)

    def size(iteration: int) -> tuple[int, int]:
        if end and iteration + min(FIXED_AT_END, end // 10) >= end:
            return width, height
        return random.Random(mixed(seed, iteration // SCALES_EVERY)).choice(choices)

    return size


def size_choices(width: int, height: int, factor: float, step: int = 32) -> list[tuple[int, int]]:
    """The sizes to choose from. factor: the cfg's `random`, of which 1 means 1.4."""
    factor = 1.4 if factor == 1 else max(factor, 1 / factor)
    low, high = math.ceil(width / factor / step), math.floor(width * factor / step)
    widths = [step * k for k in range(max(low, 1), high + 1)] or [width]
    return [(one, max(step, round(height * one / width / step) * step)) for one in widths]


def _sizes(net: Network, factor: float, seed: int, end: int) -> Callable[[int], tuple[int, int]]:
    """Input size by pass (there are `subdivisions` passes in an update). factor 0: always the cfg's."""
    _, _, height, width = net.input_shape
    if factor <= 0:
        return lambda step: (width, height)
    step = max(int(net.number("resize_step", 32)), 1)
    by_update = scales(width, height, factor, seed, end, step)
    passes = net.subdivisions
    return lambda step: by_update(step // passes)


def _largest(net: Network, factor: float) -> int:
    """The longest side that _sizes gives."""
    side = max(net.input_shape[2:])
    return side if factor <= 0 else math.ceil(side * (1.4 if factor == 1 else max(factor, 1 / factor)))


def _colours(net: Network) -> dict[str, float]:
    """[net] options of augmentation that both kinds of network have."""
    found = {
        key: net.number(key, default) for key, default in (("hue", 0), ("saturation", 1), ("exposure", 1))
    }
    # 0 means no change, as in the reference's loader.
    result = {key: value if value or key == "hue" else 1.0 for key, value in found.items()}
    return {**result, "flip": int(net.number("flip", 1))}


def _blends(net: Network, suitable: Sequence[str], why_not: str) -> list[str]:
    """The blends that [net] asks for, of those that suit the network; says why others are not used."""
    wanted = [kind for kind in BLENDS if net.number(kind, 0)]
    left = [kind for kind in wanted if kind not in suitable]
    if left:
        logger.warning("%s: %s; trained without", " and ".join(f"{kind}=1" for kind in left), why_not)
    return [kind for kind in wanted if kind in suitable]


def tell_without_effect(net: Network) -> None:
    """Warns of keys that mean something in the fork's training and nothing here."""
    found = [key for key in WITHOUT_EFFECT if net.number(key, 0)]
    if found:
        logger.warning(
            "[net] %s: no effect on this training", ", ".join(f"{key}={net.option(key)}" for key in found)
        )


def detection_loader(
    net: Network, info: DataFile, paths: Sequence[str], classes: int, end: int, **options: Any
) -> DetectionLoader:
    """The batches that the network's heads learn from. options: seed, workers and most_bad of the loader."""
    heads = [layer for layer in net.layers if layer.head]
    last = heads[-1]
    rows = max(layer.head[1] for layer in heads if layer.head)
    values = max(layer.head[2] for layer in heads if layer.head)
    grid = last.type == "detection"
    # `random` of YOLOv1 is about its boxes; such a network has one size.
    random_size = 0.0 if grid else last.number("random", 0)
    jitter = last.number("jitter", 0.2)
    options |= {
        "classes": classes,
        **class_only_arguments(info, last.tree if last.type == "region" else None),
        "channels": net.input_shape[1],
        "augment": {**_colours(net), "jitter": jitter},
        # A crop may be smaller than the picture by the jitter on both sides.
        "least": math.ceil(DETAIL * _largest(net, random_size) / max(1 - 2 * jitter * grid, 0.1)),
    }
    size = _sizes(net, random_size, options["seed"], end)
    if grid:
        _blends(net, (), "a [detection] head learns one object per cell of one picture")
        return GridLoader(paths, size, net.input_shape[0], side=math.isqrt(rows), **options)
    loader = DetectionLoader(paths, size, net.input_shape[0], truth=(rows, values), **options)
    suitable = () if last.tree else ("mosaic", "mixup")
    reason = (
        "pictures of which only a class is known can't be blended" if last.tree else "for classifiers only"
    )
    loader.blend(_blends(net, suitable, reason), bool(net.number("mosaic_bound", 0)))
    return loader


def classification_loader(
    net: Network, paths: Sequence[str], labels: Sequence[str], end: int, **options: Any
) -> ClassificationLoader:
    """The batches that a classifier learns from. options: as above."""
    width, factor = net.input_shape[3], net.number("random", 0)
    smallest = net.number("min_ratio", net.number("min_crop", width) / width)
    largest = net.number("max_ratio", net.number("max_crop", 2 * width) / width)
    largest = max(largest, smallest)
    aspect = net.number("aspect", 1) or 1.0
    needed = max(DETAIL, largest * max(aspect, 1 / aspect)) * _largest(net, factor)
    loader = ClassificationLoader(
        paths,
        _sizes(net, factor, options["seed"], end),
        net.input_shape[0],
        labels=labels,
        tree=net.tree,
        channels=net.input_shape[1],
        augment={
            **_colours(net),
            "angle": net.number("angle", 0),
            "aspect": aspect,
            "min_size": int(smallest * width),
            "max_size": int(largest * width),
        },
        width=width,
        label_smoothing=min(max(net.number("label_smooth_eps", 0), 0.0), 1.0),
        least=math.ceil(needed),
        **options,
    )
    loader.blend(_blends(net, () if net.tree else BLENDS, "classes of a tree can't be blended"))
    return loader

"""Where the time of a planned prediction goes, step by step, and what bounds each step.

A step can't be quicker than its multiply-adds at the machine's peak, than reading its weights from memory,
nor, if they don't stay in caches, than its activations.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..network import Network
from ..session import Step
from .machine import Limits

__all__ = ["StepTime", "algorithms", "profile"]


class StepTime(NamedTuple):
    """A step, the median of its seconds, and what the three limits allow.

    compute: multiply-adds that its algorithm does, at the peak; weights, activations: their bytes at the
    bandwidth of memory, which caches exceed. bound: the largest of the three. joined: steps before it that
    are computed with it, whose operations and time are in it.
    """

    step: Step
    size: str
    seconds: float
    compute: float
    weights: float
    activations: float
    joined: int = 0

    @property
    def limit(self) -> float:
        return max(self.compute, self.weights, self.activations)

    @property
    def bound(self) -> str:
        names = {"compute": self.compute, "weight bytes": self.weights, "activation bytes": self.activations}
        return max(names, key=lambda name: names[name])

    def to_dict(self) -> dict[str, Any]:
        """For JSON; times in seconds."""
        own = self._asdict()
        own.pop("step")
        step = self.step._asdict()
        step.pop("seconds")
        return {**step, **own, "bound": self.bound}


def profile(net: Network, threads: int, limits: Limits, runs: int = 10) -> list[StepTime]:
    """Times the steps of a network's plan: medians of some predictions."""
    x = np.random.default_rng(1).random((1, *net.input_shape[1:]), np.float32)
    taken: list[list[float]] = []
    with net.session(threads) as session:
        session.predict(x)
        for _ in range(runs):
            session.profile()
            session.predict(x)
            taken.append([step.seconds for step in session.steps()])
        steps = session.steps()
    medians = [statistics.median(times) for times in zip(*taken, strict=True)]
    return [
        StepTime(
            step,
            _size(net, step),
            seconds,
            _operations(net, step) / limits.flops,
            step.weight_bytes / limits.bytes,
            step.activation_bytes / limits.bytes,
            _joined(steps, number),
        )
        for number, (step, seconds) in enumerate(zip(steps, medians, strict=True))
    ]


def _joined(steps: Sequence[Step], number: int) -> int:
    """Convolutions right before this one that do nothing of their own: their operations are in this one."""
    first = number
    while first > 0 and steps[first - 1].conv is not None and steps[first - 1].flops == 0:
        first -= 1
    return number - first if steps[number].flops else 0


def _operations(net: Network, step: Step) -> float:
    """Operations that the algorithm does: for the 9 m^2 multiply-adds of a tile of m x m outputs
    (m + 2)^2, at stride 2 (2 m + 1)^2. Those of a convolution before it in the same step are all done."""
    winograd = re.fullmatch(r"winograd(\d+)(/2|t)?", step.algorithm)
    if step.conv is None or winograd is None:
        return step.flops
    m, strided = int(winograd[1]), winograd[2] == "/2"
    _, height, width = net.layers[step.conv].out_shape
    whole = winograd[2] == "t" and m % 2 == 0 and width <= 2 * m  # see dn_winograd_keep_taps
    across = (m + 2) * -(-width // m) if whole else _points(width, m, strided)
    points = _points(height, m, strided) * across
    before = step.flops - sum(layer.flops for layer in net.layers[step.conv : step.layer + 1])
    return before + net.layers[step.conv].flops * points / (9 * height * width)


def _points(size: int, m: int, strided: bool) -> int:
    """Points of the tiles along an axis: m + 2 for m outputs, at stride 2 2 m + 1. Tiles that would stick
    out are of m - 1 instead, unless m is 2 (`cut_axis` in conv_winograd_weights.c)."""
    tiles = -(-size // m)
    small = 0 if m == 2 else min(tiles, tiles * m - size)
    return tiles * (2 * m + 1) - 2 * small if strided else tiles * (m + 2) - small


def _size(net: Network, step: Step) -> str:
    """What a step does, in a few words: `3x3/1 256 -> 512 @ 13x13`."""
    layer = net.layers[step.layer if step.conv is None else step.conv]
    out = layer.out_shape
    if step.conv is None:
        return "x".join(map(str, out))
    size, stride = layer.option("size") or "1", layer.option("stride") or "1"
    before = net.layers[layer.index - 1].out_shape if layer.index else net.input_shape[1:]
    added = "" if step.conv == step.layer else " +"
    return f"{size}x{size}/{stride} {before[0]} -> {out[0]} @ {'x'.join(map(str, out[1:]))}{added}"


def algorithms(steps: Sequence[Step]) -> str:
    """The algorithm of each convolution, layers that follow each other with the same one as ranges."""
    ranges: list[tuple[int, int, str]] = []
    for step in steps:
        if step.conv is None:
            continue
        if ranges and ranges[-1][2] == step.algorithm:
            ranges[-1] = (ranges[-1][0], step.conv, step.algorithm)
        else:
            ranges.append((step.conv, step.conv, step.algorithm))
    return ", ".join(
        f"{first if first == last else f'{first}-{last}'} {name}" for first, last, name in ranges
    )

"""Numbers about a network: operations, speed, memory, and what its parameters look like."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import ArgumentError
from .network import Network
from .progress import Bar
from .session import Footprint

__all__ = [
    "Memory",
    "Speed",
    "Statistics",
    "memory",
    "operations",
    "resident",
    "speed",
    "statistics",
    "weight_rows",
]

Floats = npt.NDArray[np.float32]


ELEMENTWISE = ("shortcut", "scale_channels", "sam")


class Statistics(NamedTuple):
    """Of one parameter array of so many values. rms: root of the mean square. variance: with N - 1 below."""

    layer: int
    type: str
    name: str
    values: int
    rms: float
    mean: float
    variance: float


class Speed(NamedTuple):
    """Evaluations of one item each, and the floating point operations of one."""

    evaluations: int
    seconds: float
    operations: int


class Memory(NamedTuple):
    """Most bytes that a process has in memory which loads a network and detects in one picture: python, its
    modules and Pillow's, as in this process, and a picture of the network's size; the rest is footprint."""

    python: int
    footprint: Footprint

    @property
    def peak(self) -> int:
        return self.python + self.footprint.peak


def resident() -> int:
    """Bytes this process has in memory."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory(net: Network, threads: int | None = None) -> Memory:
    """What a first detection will take, in a process that has done no more than this one has. To be asked of
    a network without parameters (initialize=False); nothing is packed or computed."""
    from PIL import Image

    Image.preinit()
    with net.session(threads) as session:
        footprint = session.footprint()
    return Memory(resident() + 4 * int(np.prod(net.input_shape[1:])), footprint)


def operations(net: Network) -> int:
    """Floating point operations of one evaluation: 2 per multiply-add of convolutions and matrix products.

    Layers that only add or multiply maps element by element are left out, as in the reference.
    """
    return int(sum(layer.flops for layer in net.layers if layer.type not in ELEMENTWISE))


def speed(net: Network, evaluations: int = 1000, *, threads: int | None = None, quiet: bool = True) -> Speed:
    """Times planned inference on zeros, one item at a time. The first, which plans, is not counted."""
    if evaluations < 1:
        raise ArgumentError(f"expected 1 or more evaluations, found {evaluations}")
    zeros = np.zeros((1, *net.input_shape[1:]), np.float32)
    with net.session(threads) as session, Bar("evaluating", evaluations, quiet=quiet) as bar:
        session.predict(zeros)
        started = time.perf_counter()
        for done in range(evaluations):
            session.predict(zeros)
            bar.update(done + 1)
        return Speed(evaluations, time.perf_counter() - started, operations(net))


def statistics(net: Network) -> Iterator[Statistics]:
    """Statistics of every parameter array, in the order of the weights file."""
    for layer in net.layers:
        for name, array in layer.params.items():
            values = array.astype(np.float64)
            yield Statistics(
                layer.index,
                layer.type,
                name,
                values.size,
                float(np.sqrt(np.mean(np.square(values)))),
                float(values.mean()),
                float(values.var(ddof=1)) if values.size > 1 else 0.0,
            )


def weight_rows(net: Network, layer: int) -> dict[str, Floats]:
    """The weights of a layer by name, as matrices: a row per filter, or per output.

    In the order of the weights file: of a deconvolution, a row per input channel.
    """
    one = net.layers[net._layer_index(layer)]
    found = {
        name: array.reshape(len(array), -1) for name, array in one.params.items() if name.endswith("weights")
    }
    if not found:
        raise ArgumentError(f"layer {layer} [{one.type}] has no weights")
    return found

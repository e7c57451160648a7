"""DeepDream: pictures changed until a layer of a network sees more of what it sees in them, or sees again
what it saw in another. Darknet's `nightmare`, on gradients with respect to the input.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from . import images
from .cfg_text import CfgText
from .errors import ArgumentError, CfgError, StateError
from .network import Layer, Network
from .surgery import EPSILON, without_batchnorm
from .trainer import Trainer

__all__ = ["Dreamer", "dream", "excitement", "reconstruct"]

Floats = npt.NDArray[np.float32]
PathLike = str | os.PathLike[str]

OCTAVE = 4 / 3  # between the sizes at which a picture is looked at
MOST_OCTAVES = 32
MOST_ZOOM = 16
#: Layers behind which a map of an odd size has another size than the one it was made from.
REGROWN = ("upsample", "deconvolutional", "reorg", "reorg3d")
JITTER = 8  # pixels of random shift, so that strides leave no grid


class Dreamer:
    """The first layers of a network, as a function of the picture that has a gradient.

    Batch normalisation works with its rolling statistics and dropout does nothing, as in inference. layer:
    the last one that is needed. Heads and costs on the way give what they are given.
    """

    def __init__(
        self,
        cfg: PathLike,
        weights: PathLike,
        layer: int,
        *,
        dialect: str | None = None,
        threads: int | None = None,
    ) -> None:
        with Network(cfg, weights, dialect=dialect) as net:
            net._layer_index(layer)
            if len(net.input_shape) != 4:
                raise ArgumentError(f"{os.fspath(cfg)}: this network does not take pictures")
            text, plain = without_batchnorm(cfg, net, dialect=dialect)
        with plain:
            text.set(0, "batch", 1)
            text.set(0, "subdivisions", 1)
            params = [_for_inference(text, one) for one in plain.layers[: layer + 1]]
            text.keep(layer + 2)
            self.network = Network(bytes(text), name=cfg, threads=threads)
        for index, arrays in enumerate(params):
            for name, array in arrays.items():
                self.network.set_param(index, name, array)
        self.layer = layer
        self._trainer = Trainer(self.network, input_delta=True)

    def close(self) -> None:
        """Frees the network and its buffers."""
        self.network.close()

    def __enter__(self) -> Dreamer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def resizable(self) -> bool:
        """Whether pictures may have another size than the network's input; not with [connected], say."""
        _, _, height, width = self.network.input_shape
        try:
            self._trainer.resize(width + 32, height + 32)
        except CfgError:
            return False
        self._trainer.resize(width, height)
        return True

    def side(self, wanted: float) -> int:
        """A width or height near the wanted one, at which maps that are enlarged or split up again fit those
        they are joined with: a multiple of the largest stride."""
        return max(self._stride, int(wanted / self._stride + (0.5 if self._stride > 1 else 0)) * self._stride)

    @cached_property
    def _stride(self) -> int:
        """The largest stride of a network in which sizes matter; 1 for others."""
        layers, height = self.network.layers, self.network.input_shape[2]
        if not self.resizable or not any(layer.type in REGROWN for layer in layers):
            return 1
        maps = [layer.out_shape[1] for layer in layers if len(layer.out_shape) == 3]
        return max((height // size for size in maps if size > 1), default=1)

    def fit(self, picture: Floats) -> Floats:
        """The picture in its own size if the network can take it, else letterboxed to the network's."""
        _, _, height, width = self.network.input_shape
        return picture if self.resizable else images.letterbox(picture, width, height)

    def look(self, picture: Floats, layer: int | None = None) -> Floats:
        """Output of a layer (default: the last) for a picture (c, h, w) of any size the network can take."""
        _, height, width = picture.shape
        self._trainer.resize(width, height)
        self._trainer.forward(picture[None])
        return self._trainer.output(self.layer if layer is None else layer)

    def gradient(
        self, picture: Floats, wish: Callable[[Floats], Floats], layer: int | None = None
    ) -> tuple[Floats, Floats]:
        """What a layer sees, and how the picture, (c, h, w), has to change for that to change as wish says.

        wish: from the layer's output to the direction in which it shall move, of the same shape.
        """
        seen = self.look(picture, layer)
        self._trainer.backward_from(self.layer if layer is None else layer, wish(seen))
        return seen, self._trainer.input_delta[0]


def excitement(seen: Floats, thresh: float) -> Floats:
    """The outputs above mean + thresh standard deviations; 0 elsewhere.

    It is the gradient of half their squared sum, which is what a dream climbs.
    """
    limit = float(seen.mean(dtype=np.float64)) + thresh * float(seen.std(dtype=np.float64))
    return np.where(seen > limit, seen, np.float32(0))


def dream(
    dreamer: Dreamer,
    picture: Floats,
    layer: int | None = None,
    *,
    rounds: int = 1,
    iters: int = 10,
    octaves: int = 4,
    zoom: float = 1,
    rate: float = 0.04,
    thresh: float = 1,
    span: int = 1,
    rotate: float = 0,
    norm: bool = True,
    seed: int = 0,
    progress: Callable[[int], Any] | None = None,
) -> Iterator[Floats]:
    """Lets a network see more of what it sees; gives the picture (c, h, w), values 0..1, after every round.

    picture: where to start. A round has iters steps. Each looks at the picture, shifted by some pixels and
    perhaps mirrored, in one of so many octaves (sizes 1, 3/4, 9/16 ... of its own), at one of the span layers
    around layer (default: dreamer's last), and moves it by rate in the direction in which outputs above mean
    + thresh deviations grow. norm: scaled to unit variance first. Between rounds the picture is turned by
    rotate radians, and its part zoom enlarged to its size. progress is called with the number of steps made.
    """
    _expect(rounds > 0 and iters > 0, f"1 or more rounds and iters, found {rounds} and {iters}")
    _expect(0 < octaves <= MOST_OCTAVES, f"1..{MOST_OCTAVES} octaves, found {octaves}")
    _expect(span > 0, f"1 or more layers, found {span}")
    _expect(0 < zoom <= MOST_ZOOM, f"a zoom above 0, up to {MOST_ZOOM}, found {zoom}")
    _expect(
        bool(np.isfinite([rate, thresh, rotate]).all()), f"finite numbers, found {rate}, {thresh}, {rotate}"
    )
    first = (dreamer.layer if layer is None else layer) - span // 2
    last = first + span - 1
    _expect(0 <= first <= last <= dreamer.layer, f"layers 0..{dreamer.layer}, found {first}..{last}")
    octaves = octaves if dreamer.resizable else 1
    draw = np.random.default_rng(seed)
    picture = np.array(picture, np.float32)
    for done in range(rounds):
        for step in range(iters):
            now, scale = first + int(draw.integers(span)), OCTAVE ** -int(draw.integers(octaves))
            moved = _excite(dreamer, picture, now, scale, thresh, draw)
            moved += 0.1 * (0.5 - picture)  # a pull towards grey, against saturation
            if norm:
                moved = _normalized(moved)
            picture = np.clip(picture + np.float32(rate) * moved, 0, 1)
            if progress is not None:
                progress(done * iters + step + 1)
        yield picture
        picture = _turned(picture, rotate, zoom)


def reconstruct(
    dreamer: Dreamer,
    picture: Floats,
    *,
    rounds: int = 1,
    iters: int = 10,
    rate: float = 0.04,
    momentum: float = 0.9,
    smoothing: float = 0.01,
    smooth: int = 1,
    norm: bool = True,
    seed: int = 0,
    progress: Callable[[int], Any] | None = None,
) -> Iterator[Floats]:
    """Looks, from noise on, for a picture that the last layer sees as it sees picture (c, h, w).

    Gives the picture found so far after every round of iters steps. A step goes down the squared difference
    between both outputs, with momentum, by rate; norm: by rate in all, whatever the gradient's size.
    smoothing pulls every pixel to each of its neighbours up to smooth pixels away.
    """
    _expect(rounds > 0 and iters > 0, f"1 or more rounds and iters, found {rounds} and {iters}")
    _expect(bool(np.isfinite([rate, smoothing]).all()), f"finite numbers, found {rate} and {smoothing}")
    _expect(
        0 <= momentum < 1 and smooth >= 0, f"0 <= momentum < 1 and smooth >= 0, found {momentum}, {smooth}"
    )
    wanted = dreamer.look(np.ascontiguousarray(picture, np.float32))
    found = np.random.default_rng(seed).uniform(0, 1, picture.shape).astype(np.float32)
    update = np.zeros_like(found)
    for done in range(rounds):
        for step in range(iters):
            _, moved = dreamer.gradient(found, lambda seen: wanted - seen)
            if norm:
                size = float(np.sqrt(np.mean(np.square(moved, dtype=np.float64))))
                moved *= (1 - momentum) / max(size, 1e-12)
            update += moved
            _smooth(update, found, smoothing, smooth)
            found = np.clip(found + np.float32(rate) * update, 0, 1)
            update *= momentum
            if progress is not None:
                progress(done * iters + step + 1)
        yield found


# ---- helpers -------------------------------------------------------------------------------------------


def _expect(true: bool, what: str) -> None:
    if not true:
        raise ArgumentError(f"expected {what}")


def _for_inference(text: CfgText, layer: Layer) -> dict[str, Floats]:
    """Changes a layer's section so that training computes what inference does; gives its parameters then."""
    section, params = layer.index + 1, layer.params
    for key in ("onlyforward", "stopbackward"):
        text.remove(section, key)
    if layer.head or layer.type == "cost":
        text.replace(section, "dropout", probability=0)
    elif layer.type == "dropout":
        text.set(section, "probability", 0)
    elif layer.type == "batchnorm":  # with rolling statistics it is a 1x1 convolution of each channel
        channels = len(params["scales"])
        text.replace(section, "convolutional", filters=channels, groups=channels, size=1, activation="linear")
        factor = params["scales"] / np.sqrt(params["rolling_variance"] + EPSILON)
        biases = params["biases"] - params["rolling_mean"] * factor
        return {"biases": biases, "weights": factor.reshape(-1, 1, 1, 1)}
    return params


def _excite(
    dreamer: Dreamer, picture: Floats, layer: int, scale: float, thresh: float, draw: np.random.Generator
) -> Floats:
    """How the picture has to change for a layer to see more, when looked at a little shifted and smaller."""
    _, height, width = picture.shape
    dx, dy = (int(one) for one in draw.integers(-JITTER, JITTER, 2))
    mirrored = bool(draw.integers(2))
    view = images.crop(picture, dx, dy, width, height)
    view = images.resize(view, dreamer.side(width * scale), dreamer.side(height * scale))
    if mirrored:
        view = images.flip(view)
    seen, moved = dreamer.gradient(view, lambda seen: excitement(seen, thresh), layer)
    if not moved.any() and seen.any():
        raise StateError(f"no gradient reaches the picture from layer {layer}")
    if mirrored:
        moved = images.flip(moved)
    return images.crop(images.resize(moved, width, height), -dx, -dy, width, height)


def _normalized(values: Floats) -> Floats:
    spread = float(values.std(dtype=np.float64))
    centred: Floats = values - np.float32(values.mean(dtype=np.float64))
    centred /= np.float32(max(spread, 1e-12))
    return centred


def _turned(picture: Floats, rotate: float, zoom: float) -> Floats:
    _, height, width = picture.shape
    if rotate:
        picture = images.rotate_crop(picture, rotate, 1, width, height)
    if zoom == 1:
        return picture
    part_width, part_height = max(1, int(width * zoom)), max(1, int(height * zoom))
    left, top = int(width * (1 - zoom) / 2), int(height * (1 - zoom) / 2)
    return images.resize(images.crop(picture, left, top, part_width, part_height), width, height)


def _smooth(update: Floats, picture: Floats, strength: float, reach: int) -> None:
    """update += strength * sum over the neighbours in reach of (neighbour - pixel); outside are none."""
    _, height, width = picture.shape
    reach = min(reach, height - 1, width - 1)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            here = (
                slice(None),
                slice(max(0, -dy), height - max(0, dy)),
                slice(max(0, -dx), width - max(0, dx)),
            )
            there = (
                slice(None),
                slice(max(0, dy), height - max(0, -dy)),
                slice(max(0, dx), width - max(0, -dx)),
            )
            update[here] += strength * (picture[there] - picture[here])

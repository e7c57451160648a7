"""Weights files made of weights files: cut, averaged, with batch normalisation folded or added, with channels
swapped. The commands of the same names are thin layers over these functions.

Those that take paths check that cfg and weights fit, never write over what they read, and write whole files
or none. The others change a network in memory, which must have no open session or trainer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ._native import ffi, lib
from .cfg_text import CfgText
from .data import keep_inputs, write_whole
from .errors import ArgumentError, WeightsError
from .network import Layer, Network
from .progress import Bar

__all__ = [
    "average",
    "denormalize",
    "fold_batchnorm",
    "normalize",
    "oneoff",
    "oneoff2",
    "partial",
    "rescale",
    "rescale_input",
    "reset",
    "rgbgr",
    "swap_red_blue",
    "with_batchnorm",
    "without_batchnorm",
]

PathLike = str | os.PathLike[str]
Floats = npt.NDArray[np.float32]

EPSILON = 1e-5  # that inference adds to a variance (docs/numerics.md)
IDENTITY_VARIANCE = 1 - EPSILON  # of a batch normalisation that changes nothing: its root is that of 1


# ---- files ---------------------------------------------------------------------------------------------


def partial(
    cfg: PathLike, weights: PathLike, out: PathLike, layers: int, *, dialect: str | None = None
) -> Path:
    """Writes the parameters of layers 0..layers-1 to out, to start the training of another network with.

    seen becomes 0, so that learning-rate schedule and burn-in start anew. Network(..., partial=True) and
    `detector train` read the result.
    """
    keep_inputs([out], [cfg, weights])
    with _open(cfg, dialect) as net:
        if not 1 <= layers <= len(net.layers):
            raise ArgumentError(f"{cfg}: expected 1..{len(net.layers)} layers to keep, found {layers}")
        net.load_weights(weights, cutoff=layers)
        net.seen = 0
        return _save(net, out, dialect, layers)


def average(
    cfg: PathLike,
    out: PathLike,
    weights: Sequence[PathLike],
    *,
    dialect: str | None = None,
    quiet: bool = False,
) -> Path:
    """Writes the mean of the parameters of several files, element by element; seen is that of the first.

    Rolling means and variances are averaged too. Meant for checkpoints of one training run: nearby minima
    often have a better one between them (stochastic weight averaging).
    """
    if not weights:
        raise ArgumentError("average needs at least one weights file")
    keep_inputs([out], [cfg, *weights])
    sums: list[dict[str, npt.NDArray[np.float64]]] = []
    seen = 0
    with _open(cfg, dialect) as net, Bar("averaging", len(weights), quiet=quiet) as bar:
        for done, path in enumerate(weights, 1):
            net.load_weights(path)
            values = [layer.params for layer in net.layers]
            if done == 1:
                sums = [{name: np.zeros(a.shape) for name, a in params.items()} for params in values]
                seen = net.seen
            for total, params in zip(sums, values, strict=True):
                for name, array in params.items():
                    total[name] += array
            bar.update(done, os.fspath(path))
        for layer, total in zip(net.layers, sums, strict=True):
            for name, sum_ in total.items():
                net.set_param(layer.index, name, sum_ / len(weights))
        net.seen = seen
        return _save(net, out, dialect)


def rescale(cfg: PathLike, weights: PathLike, out: PathLike, *, dialect: str | None = None) -> Path:
    """Writes weights whose network sees pictures 0..1 as the given one those of -1..1 (rescale_input)."""
    keep_inputs([out], [cfg, weights])
    with _open(cfg, dialect, weights) as net:
        rescale_input(net)
        return _save(net, out, dialect)


def rgbgr(cfg: PathLike, weights: PathLike, out: PathLike, *, dialect: str | None = None) -> Path:
    """Writes weights whose network sees BGR pictures as the given one sees RGB pictures, and the reverse."""
    keep_inputs([out], [cfg, weights])
    with _open(cfg, dialect, weights) as net:
        swap_red_blue(net)
        return _save(net, out, dialect)


def reset(cfg: PathLike, weights: PathLike, out: PathLike, *, dialect: str | None = None) -> Path:
    """Writes weights with batch normalisation folded and its arrays kept as an identity (fold_batchnorm)."""
    keep_inputs([out], [cfg, weights])
    with _open(cfg, dialect, weights) as net:
        fold_batchnorm(net)
        return _save(net, out, dialect)


def denormalize(
    cfg: PathLike,
    weights: PathLike,
    out: PathLike,
    cfg_out: PathLike | None = None,
    *,
    dialect: str | None = None,
) -> Path:
    """Writes weights with batch normalisation folded into weights and biases, for a cfg without it.

    That cfg is written to cfg_out, or is to be had from without_batchnorm. Outputs stay the same.
    """
    return _convert(without_batchnorm, cfg, weights, out, cfg_out, dialect)


def normalize(
    cfg: PathLike,
    weights: PathLike,
    out: PathLike,
    cfg_out: PathLike | None = None,
    *,
    dialect: str | None = None,
) -> Path:
    """Writes weights for a cfg where every layer that can has batch normalisation; new ones are identities.

    That cfg is written to cfg_out, or is to be had from with_batchnorm. Outputs stay the same.
    """
    return _convert(with_batchnorm, cfg, weights, out, cfg_out, dialect)


def oneoff(
    cfg: PathLike, weights: PathLike, out: PathLike, filters: int = 11921, *, dialect: str | None = None
) -> Path:
    """Makes a YOLO9000 detector from a classifier: its class scores become those of every anchor.

    cfg: the detector, whose layer before the last is a convolution for 3 anchors of 4 coordinates, objectness
    and classes. weights: of the classifier, which has that layer with so many filters, and is the same before
    it. Filter k goes to place 5 + k of each anchor; the first 5 start from small random numbers. What does
    not find room is left out, as in the reference. seen becomes 0.
    """
    keep_inputs([out], [cfg, weights])
    text = CfgText.read(cfg)
    with _open(cfg, dialect) as net:
        index = len(net.layers) - 2
        params = net.layers[index].params if index >= 0 else {}
        each = len(params.get("biases", ())) // 3
        if (
            list(params) != ["biases", "weights"]
            or 3 * each != len(params["biases"])
            or each < 6
            or filters < 1
        ):
            raise ArgumentError(
                f"{cfg}: expected 3 x (5 + classes) filters without batch normalisation "
                "in the last layer but one"
            )
        text.keep(index + 2)
        text.set(index + 1, "filters", filters)
        with Network(bytes(text), weights, name=cfg, dialect=dialect) as classifier:
            for layer in classifier.layers[:index]:
                _copy(layer.params, net, layer.index)
            learned = classifier.layers[index].params
        params["biases"][:] = 0
        params["weights"] *= 0.1
        for name, array in params.items():
            kept = min(each - 5, filters)
            array[5 : 5 + kept] = learned[name][:kept]
            array[each : 2 * each] = array[2 * each :] = array[:each]
        _copy(params, net, index)
        net.seen = 0
        return _save(net, out, dialect)


def oneoff2(
    cfg: PathLike, weights: PathLike, out: PathLike, layer: int, *, dialect: str | None = None
) -> Path:
    """Reads weights from layer 0, then once more from `layer` on, and writes both; seen becomes 0.

    For a cfg whose layers from `layer` on repeat those from 0 on: both then start with the same parameters.
    The file may end early at a layer boundary, or go on after the last layer.
    """
    keep_inputs([out], [cfg, weights])
    with _open(cfg, dialect) as net:
        net.load_weights(weights, partial=True)
        net.load_weights(weights, start=net._layer_index(layer), partial=True)
        net.seen = 0
        return _save(net, out, dialect)


# ---- networks ------------------------------------------------------------------------------------------


def fold_batchnorm(net: Network) -> None:
    """Moves batch normalisation into weights and biases, in place; what is left of it is an identity.

    w' = w s / sqrt(v + 1e-5) and b' = b - m s / sqrt(v + 1e-5) with scale s, rolling mean m and variance v:
    the epsilon of inference, for every type of layer (the reference's takes 1e-6 for connected layers). The
    identity's variance is 1 - 1e-5, so that outputs stay the same. Stand-alone [batchnorm] layers stay as
    they are.
    """
    for layer in net.layers:
        _copy(_folded(layer, layer.params), net, layer.index)


def without_batchnorm(cfg: PathLike, net: Network, *, dialect: str | None = None) -> tuple[CfgText, Network]:
    """The cfg without batch_normalize, and its network, computing what net, of that cfg, computes."""
    text = CfgText.read(cfg)
    for layer in net.layers:
        if "batch_normalize" in _keys_of(layer.type):
            text.remove(layer.index + 1, "batch_normalize")
    result = Network(bytes(text), name=cfg, dialect=dialect)
    for old, new in zip(net.layers, result.layers, strict=True):
        params = _folded(old, old.params)
        _copy({name: params[name] for name in new.params}, result, new.index)
    result.seen = net.seen
    return text, result


def with_batchnorm(cfg: PathLike, net: Network, *, dialect: str | None = None) -> tuple[CfgText, Network]:
    """The cfg with batch_normalize=1 wherever it is known, and its network, computing what net computes."""
    text = CfgText.read(cfg)
    for layer in net.layers:
        if "batch_normalize" in _keys_of(layer.type) and not any(_prefixes(layer.params)):
            text.set(layer.index + 1, "batch_normalize", 1)
    result = Network(bytes(text), name=cfg, dialect=dialect)
    for old, new in zip(net.layers, result.layers, strict=True):
        params = new.params
        for prefix in _prefixes(params):
            params |= _identity(prefix, len(params[prefix + "scales"]))
        _copy({**params, **old.params}, result, new.index)
    result.seen = net.seen
    return text, result


def swap_red_blue(net: Network) -> None:
    """Swaps the first and third input channel of the first convolution, in place."""
    index, params = _first_convolution(net)
    net.set_param(index, "weights", params["weights"][:, ::-1])


def rescale_input(net: Network) -> None:
    """Makes a network that was trained on pictures -1..1 take pictures 0..1, in place.

    conv(w, 2 x - 1) = conv(2 w, x) - sum(w), so the first convolution's weights double, and its bias, or with
    batch normalisation its rolling mean, takes up the sum. (The reference changes the bias in both cases.)
    Padding still is 0, which is grey for pictures -1..1 and black for 0..1: outputs near the border change.
    """
    index, params = _first_convolution(net)
    layer = net.layers[index]
    for key in ("binary", "xnor"):
        if (layer.option(key) or "0") != "0":
            raise ArgumentError(
                f"layer {index} [{layer.type}] has {key}=1: scaling its weights means nothing"
            )
    sums = params["weights"].sum((1, 2, 3), np.float64)
    if "rolling_mean" in params:
        net.set_param(index, "rolling_mean", params["rolling_mean"] + sums)
    else:
        net.set_param(index, "biases", params["biases"] - sums)
    net.set_param(index, "weights", 2 * params["weights"])


# ---- helpers -------------------------------------------------------------------------------------------


def _prefixes(params: dict[str, Floats]) -> Iterator[str]:
    """Of the batch-normalised parts of a layer: "" for a plain one, "input_" and so on for recurrent ones."""
    for name in params:
        prefix = name.removesuffix("rolling_variance")
        if prefix != name and prefix + "weights" in params:
            yield prefix


def _identity(prefix: str, count: int) -> dict[str, Floats]:
    return {
        prefix + "scales": np.ones(count, np.float32),
        prefix + "rolling_mean": np.zeros(count, np.float32),
        prefix + "rolling_variance": np.full(count, IDENTITY_VARIANCE, np.float32),
    }


def _folded(layer: Layer, params: dict[str, Floats]) -> dict[str, Floats]:
    """The parameters of a layer with every batch normalisation moved into weights and biases."""
    params = dict(params)
    for prefix in _prefixes(params):
        scales, mean, variance, biases, weights = (
            params[prefix + name].astype(np.float64)
            for name in ("scales", "rolling_mean", "rolling_variance", "biases", "weights")
        )
        if not (variance >= 0).all():
            raise WeightsError(f"layer {layer.index} [{layer.type}]: a rolling variance is {variance.min()}")
        factor = scales / np.sqrt(variance + EPSILON)
        # Deconvolutions have input channels first.
        weights = np.moveaxis(weights, 1 if layer.type == "deconvolutional" else 0, -1) * factor
        weights = np.moveaxis(weights, -1, 1 if layer.type == "deconvolutional" else 0)
        params[prefix + "weights"] = weights.astype(np.float32)
        params[prefix + "biases"] = (biases - mean * factor).astype(np.float32)
        params |= _identity(prefix, len(scales))
    return params


def _first_convolution(net: Network) -> tuple[int, dict[str, Floats]]:
    """Index and parameters of the first convolution, which must read three channels of the picture."""
    for layer in net.layers:
        if layer.type == "convolutional":
            params = layer.params
            if params["weights"].shape[1] != 3:
                raise ArgumentError(
                    f"layer {layer.index} [{layer.type}], the first convolution: "
                    f"expected filters of 3 channels, found {params['weights'].shape[1]}"
                )
            return layer.index, params
        if layer.out_shape[0] != 3:
            break
    raise ArgumentError("this network has no convolution that reads the picture's three channels")


def _keys_of(layer_type: str) -> set[str]:
    """The cfg keys that a type of layer understands."""
    text, number = ffi.new("const char **"), 0
    while (name := lib.dn_registry_type(number, text)) != ffi.NULL and ffi.string(
        name
    ).decode() != layer_type:
        number += 1
    keys: set[str] = set()
    while name != ffi.NULL and (key := lib.dn_registry_key(number, len(keys), text, text)) != ffi.NULL:
        keys.add(ffi.string(key).decode())
    return keys


def _copy(params: dict[str, Floats], net: Network, index: int) -> None:
    for name, array in params.items():
        net.set_param(index, name, array)


def _open(cfg: PathLike, dialect: str | None, weights: PathLike | None = None) -> Network:
    return Network(cfg, weights, dialect=dialect)


def _convert(
    change: Callable[..., tuple[CfgText, Network]],
    cfg: PathLike,
    weights: PathLike,
    out: PathLike,
    cfg_out: PathLike | None,
    dialect: str | None,
) -> Path:
    """Writes the network, and on request the cfg, that change makes of a network."""
    keep_inputs([out] if cfg_out is None else [out, cfg_out], [cfg, weights])
    with _open(cfg, dialect, weights) as net:
        text, changed = change(cfg, net, dialect=dialect)
    with changed:
        if cfg_out is not None:
            write_whole(cfg_out, bytes(text))
        return _save(changed, out, dialect)


def _save(net: Network, out: PathLike, dialect: str | None, cutoff: int | None = None) -> Path:
    # The default dialect has no place for these, and without them the outputs would be others.
    for layer in net.layers[:cutoff]:
        if layer.type == "batchnorm" and dialect != "alexeyab" and layer.params["biases"].any():
            raise ArgumentError(
                f"layer {layer.index} [batchnorm] has biases, which only files of the AlexeyAB dialect hold: "
                'say dialect="alexeyab" (-dialect alexeyab)'
            )
    net.save_weights(out, cutoff)
    return Path(out)

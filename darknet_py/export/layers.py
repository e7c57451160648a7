"""One function per layer type: the layer's output as ONNX nodes, in test mode (compat.md 6, 20)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..network import Layer
from .activations import activate
from .graph import Exporter, number, references, refuse, text, whole
from .heads import HEADS

Floats = npt.NDArray[np.float32]

# ---- convolutions and products -------------------------------------------------------------------------


def _slopes(x: Exporter, params: dict[str, Floats]) -> npt.NDArray[np.float64]:
    """scale / D of batch normalisation, D as the network's numerics say (compat.md 6.2)."""
    variance = params["rolling_variance"].astype(np.float64)
    pjreddie_cpu = x.net.numerics == "pjreddie-cpu"
    return np.asarray(
        params["scales"] / (np.sqrt(variance) + 1e-6 if pjreddie_cpu else np.sqrt(variance + 1e-5))
    )


def folded(x: Exporter, layer: Layer, p: dict[str, Floats], filters_axis: int) -> tuple[Floats, Floats]:
    """Weights and biases of p, batch normalisation folded in (compat.md 10.7), binary if the layer is."""
    weights, biases = p["weights"].astype(np.float64), p["biases"].astype(np.float64)
    if whole(layer, "binary", 0) or whole(layer, "xnor", 0):
        mean = np.abs(weights).reshape(len(weights), -1).mean(1).reshape(-1, *[1] * (weights.ndim - 1))
        weights = np.where(weights > 0, mean, -mean)
    if "scales" in p:
        factor = _slopes(x, p)
        biases = biases - p["rolling_mean"] * factor
        weights = weights * factor.reshape([-1 if k == filters_axis else 1 for k in range(weights.ndim)])
    return weights.astype(np.float32), biases.astype(np.float32)


def _folded(x: Exporter, layer: Layer, filters_axis: int) -> tuple[Floats, Floats]:
    """Those of a layer with one set of them."""
    owner = layer
    while owner.option("share_index") is not None:  # parameters of another layer
        owner = x.net.layers[references(owner, "share_index")[0]]
    return folded(x, layer, owner.params, filters_axis)


def binarised(x: Exporter, value: str) -> str:
    """1 where it is positive, else -1."""
    g = x.graph
    return str(g.add("Where", g.add("Greater", value, g.constant(0.0)), g.constant(1.0), g.constant(-1.0)))


def _blur(x: Exporter, value: str, kind: int, channels: int, strides: list[int]) -> str:
    """A fixed depthwise convolution: 3x3 [1 2 1; 2 4 2; 1 2 1] / 16 or 2x2 mean (compat.md 20.7)."""
    if kind == 1:
        kernel, pads = np.outer([1, 2, 1], [1, 2, 1]) / 16, [1, 1, 1, 1]
    else:
        kernel, pads = np.full((2, 2), 0.25), [0, 0, 0, 0]
    weights = x.graph.constant(np.broadcast_to(kernel, (channels, 1, *kernel.shape)), what="blur")
    return str(x.graph.add("Conv", value, weights, group=channels, strides=strides, pads=pads))


def _strides(layer: Layer, default: int) -> list[int]:
    """Vertical, horizontal."""
    both = whole(layer, "stride_x", -1), whole(layer, "stride_y", -1)
    stride = whole(layer, "stride", default)
    return [both[1], both[0]] if min(both) > 0 else [stride, stride]


def convolutional(x: Exporter, layer: Layer) -> str:
    """Conv with folded batch normalisation, activation, and the blur of antialiasing."""
    g, size = x.graph, whole(layer, "size", 1)
    strides = _strides(layer, 1)
    kind = whole(layer, "antialiasing", 0) if max(strides) > 1 else 0
    steps = [1, 1] if kind else strides
    dilation = whole(layer, "dilation", 1) if size > 1 else 1
    padding = size // 2 if whole(layer, "pad", 0) else whole(layer, "padding", 0)
    weights, biases = _folded(x, layer, 0)
    groups = 1 if whole(layer, "xnor", 0) else whole(layer, "groups", 1)
    # Dilation does not enter the output's size, so the pads behind may be fewer than those in front.
    front, reach, pads_behind = padding * dilation, dilation * (size - 1) + 1, []
    for extent, step in zip(x.shape(layer.index - 1)[1:], steps, strict=True):
        out = (extent + 2 * padding - size) // step + 1
        pads_behind.append(max(0, (out - 1) * step + reach - extent - front))
    source = x.value(layer.index - 1)
    if whole(layer, "xnor", 0):
        source = binarised(x, source)
    y = g.add(
        "Conv",
        source,
        g.constant(weights, what="weights"),
        g.constant(biases, what="biases"),
        group=groups,
        strides=steps,
        dilations=[dilation, dilation],
        pads=[front, front, *pads_behind],
        kernel_shape=[size, size],
    )
    y = activate(g, layer, y, "logistic")
    return _blur(x, y, kind, len(weights), strides) if kind else y


def deconvolutional(x: Exporter, layer: Layer) -> str:
    """ConvTranspose; Darknet's weights [c][n][k][k] have its order."""
    size, stride = whole(layer, "size", 1), whole(layer, "stride", 1)
    padding = size // 2 if whole(layer, "pad", 0) else whole(layer, "padding", 0)
    weights, biases = _folded(x, layer, 1)
    g = x.graph
    y = g.add(
        "ConvTranspose",
        x.value(layer.index - 1),
        g.constant(weights, what="weights"),
        g.constant(biases, what="biases"),
        strides=[stride, stride],
        pads=[padding] * 4,
        kernel_shape=[size, size],
    )
    return activate(g, layer, y, "logistic")


def connected(x: Exporter, layer: Layer) -> str:
    """Gemm on the flat input; the output is (batch, n, 1, 1)."""
    weights, biases = _folded(x, layer, 0)
    g = x.graph
    w, b = g.constant(weights, what="weights"), g.constant(biases, what="biases")
    y = g.add("Gemm", x.vector(layer.index - 1), w, b, transB=1)
    return g.reshape(activate(g, layer, y, "logistic"), 0, *layer.out_shape)


def local(x: Exporter, layer: Layer) -> str:
    """Patches as channels, then one product per place."""
    g, size, stride = x.graph, whole(layer, "size", 1), whole(layer, "stride", 1)
    pad = whole(layer, "pad", 0)
    c, _, _ = x.shape(layer.index - 1)
    n, h, w = layer.out_shape
    source = x.value(layer.index - 1)
    if pad:
        source = g.add("Pad", source, g.ints(0, 0, pad, pad, 0, 0, pad, pad))
    rows = [g.slice(source, 2, i, i + (h - 1) * stride + 1, stride) for i in range(size)]
    taps = [g.slice(row, 3, j, j + (w - 1) * stride + 1, stride) for row in rows for j in range(size)]
    # (batch, taps, c, places): the weights are [place][n][c][taps]
    patches = g.reshape(g.add("Concat", *taps, axis=1), 0, size * size, c, h * w)
    weights = layer.params["weights"].reshape(h * w, n, c, size * size)
    y = g.add("Einsum", patches, g.constant(weights, what="weights"), equation="btcp,pnct->bnp")
    biases = g.constant(layer.params["biases"].reshape(1, n, h, w), what="biases")
    y = g.add("Add", g.reshape(y, 0, n, h, w), biases)
    return activate(g, layer, y, "logistic")


# ---- pooling, resampling, moving -----------------------------------------------------------------------


def _windows(layer: Layer) -> dict[str, Any]:
    """Attributes of a pooling node; Darknet's padding is the total of both sides."""
    strides = _strides(layer, 1)
    size = whole(layer, "size", whole(layer, "stride", 1))
    padding = whole(layer, "padding", size - 1)
    front = padding // 2
    if padding - front >= size:
        raise refuse(layer, f"padding={padding} reaches beyond a window of {size}")
    pads = [front, front, padding - front, padding - front]
    return {"kernel_shape": [size, size], "strides": strides, "pads": pads}


def maxpool(x: Exporter, layer: Layer) -> str:
    """MaxPool, over windows or over channels, with the blur of antialiasing."""
    g, source, shape = x.graph, x.value(layer.index - 1), x.shape(layer.index - 1)
    if whole(layer, "maxpool_depth", 0):
        left = whole(layer, "out_channels", 1)
        if shape[0] % left:
            raise refuse(layer, f"out_channels={left} does not divide the {shape[0]} channels")
        planes = g.reshape(source, 0, shape[0] // left, left, *shape[1:])
        return str(g.add("ReduceMax", planes, axes=[1], keepdims=0))
    windows = _windows(layer)
    strides = windows["strides"]
    kind = whole(layer, "antialiasing", 0) if max(strides) > 1 else 0
    if not kind:
        return str(g.add("MaxPool", source, **windows))
    return _blur(x, g.add("MaxPool", source, **{**windows, "strides": [1, 1]}), kind, shape[0], strides)


def local_avgpool(x: Exporter, layer: Layer) -> str:
    """AveragePool of what lies inside the image."""
    return str(x.graph.add("AveragePool", x.value(layer.index - 1), count_include_pad=0, **_windows(layer)))


def avgpool(x: Exporter, layer: Layer) -> str:
    """GlobalAveragePool."""
    return str(x.graph.add("GlobalAveragePool", x.value(layer.index - 1)))


def upsample(x: Exporter, layer: Layer) -> str:
    """Nearest neighbours; a negative stride sums blocks."""
    g, stride, source = x.graph, whole(layer, "stride", 2), x.value(layer.index - 1)
    scale = number(layer, "scale", 1)
    if stride < 0:
        blocks = [-stride, -stride]
        mean = g.add("AveragePool", source, kernel_shape=blocks, strides=blocks)
        return g.scaled(mean, scale * stride * stride)
    factors = g.constant([1, 1, stride, stride], what="factors")
    nearest = g.add(
        "Resize",
        source,
        "",
        factors,
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )
    return g.scaled(nearest, scale)


def reorg(x: Exporter, layer: Layer) -> str:
    """Darknet's permutation, which is not space-to-depth (compat.md 6.14)."""
    g, source, s = x.graph, x.value(layer.index - 1), whole(layer, "stride", 1)
    c, h, w = x.shape(layer.index - 1)
    reverse, extra = whole(layer, "reverse", 0), whole(layer, "extra", 0)
    if extra:
        batch = g.slice(g.add("Shape", source), 0, 0, 1)
        zeros = g.add("Expand", g.constant(0.0), g.add("Concat", batch, g.ints(extra), axis=0))
        return str(g.add("Concat", x.vector(layer.index - 1), zeros, axis=1))
    if whole(layer, "flatten", 0):
        rows = (h * w, c) if reverse else (c, h * w)
        turned = g.add("Transpose", g.reshape(source, 0, *rows), perm=[0, 2, 1])
        return g.reshape(turned, 0, *layer.out_shape)
    oc = c // (s * s)
    if reverse:  # small [s][s][oc][h][w] to big [oc][h][s][w][s]
        turned = g.add("Transpose", g.reshape(source, 0, s, s, oc, h, w), perm=[0, 3, 4, 1, 5, 2])
    else:
        turned = g.add("Transpose", g.reshape(source, 0, oc, h, s, w, s), perm=[0, 3, 5, 1, 2, 4])
    return g.reshape(turned, 0, *layer.out_shape)


def reorg3d(x: Exporter, layer: Layer) -> str:
    """Space to depth, and back, with the offset in the block outermost."""
    g, source, s = x.graph, x.value(layer.index - 1), whole(layer, "stride", 1)
    c, h, w = x.shape(layer.index - 1)
    if whole(layer, "reverse", 0):
        planes = g.reshape(source, 0, s, s, c // (s * s), h, w)
        turned = g.add("Transpose", planes, perm=[0, 3, 4, 1, 5, 2])
    else:
        planes = g.reshape(source, 0, c, h // s, s, w // s, s)
        turned = g.add("Transpose", planes, perm=[0, 3, 5, 1, 2, 4])
    return g.reshape(turned, 0, *layer.out_shape)


def route(x: Exporter, layer: Layer) -> str:
    """Concat, of slices if there are groups; of vectors if the maps differ in size."""
    g, groups = x.graph, whole(layer, "groups", 1)
    parts = []
    for source in references(layer, "layers"):
        if len(layer.out_shape) == 1:
            value, size = x.vector(source), math.prod(x.shape(source))
        else:
            value, size = x.value(source), x.shape(source)[0]
        if groups > 1:
            start = whole(layer, "group_id", 0) * (size // groups)
            value = g.slice(value, 1, start, start + size // groups)
        parts.append(value)
    return str(g.add("Concat", *parts, axis=1)) if len(parts) > 1 else str(g.add("Identity", parts[0]))


def _fitted(x: Exporter, layer: Layer, source: int) -> tuple[str, int]:
    """A source of a shortcut on the grid of the previous layer, and how many channels they share."""
    g, value = x.graph, x.value(source)
    c1, h1, w1 = x.shape(source)
    c2, h2, w2 = x.shape(layer.index - 1)
    if w2 > w1 or h2 > h1:
        raise refuse(layer, f"adding a map of {w1} x {h1} to some places of one of {w2} x {h2}")
    stride = w1 // w2
    for axis, before, after in ((2, h1, h2), (3, w1, w2)):
        if before > after:
            value = g.slice(value, axis, 0, after * stride, stride)
    return (g.slice(value, 1, 0, c2) if c1 > c2 else value), min(c1, c2)


def _learned(layer: Layer) -> Floats | None:
    """Normalised factors of the previous layer and the sources: (sources + 1, 1 or c) (compat.md 20.6)."""
    if "weights" not in layer.params:
        return None
    weights: Floats = layer.params["weights"]
    rule = text(layer, "weights_normalization", "none")
    if rule == "none":
        return weights
    parts = np.maximum(weights, 0) if "relu" in rule else np.exp(weights - weights.max(0))
    return np.asarray(parts / (1e-4 + parts.sum(0)), np.float32)


def shortcut(x: Exporter, layer: Layer) -> str:
    """previous + sources, on the channels they share."""
    g, sources = x.graph, references(layer, "from")
    c = layer.out_shape[0]
    alpha, beta = number(layer, "alpha", 1), number(layer, "beta", 1)
    factors = _learned(layer)
    total = x.value(layer.index - 1)
    if factors is not None:
        total = g.add("Mul", total, g.constant(factors[0].reshape(1, -1, 1, 1)))
    for row, source in enumerate(sources):
        value, shared = _fitted(x, layer, source)
        if factors is not None:
            value = g.add("Mul", value, g.constant(factors[row + 1].reshape(1, -1, 1, 1)[:, :shared]))
            first, factor = g.slice(total, 1, 0, shared) if shared < c else total, 1.0
        else:
            value, factor = g.scaled(value, beta), alpha
            first = g.slice(total, 1, 0, shared) if shared < c else total
        joined = g.add("Add", g.scaled(first, factor), value)
        rest = [g.slice(total, 1, shared, c)] if shared < c else []
        total = g.add("Concat", joined, *rest, axis=1) if rest else joined
    return activate(g, layer, total, "linear")


def scale_channels(x: Exporter, layer: Layer) -> str:
    """One factor per channel, or per pixel, times another layer."""
    product = x.graph.add("Mul", x.value(references(layer, "from")[0]), x.value(layer.index - 1))
    return activate(x.graph, layer, product, "linear")


def crop(x: Exporter, layer: Layer) -> str:
    """The middle, mapped to -1..1."""
    g, value = x.graph, x.value(layer.index - 1)
    _, h, w = x.shape(layer.index - 1)
    _, out_h, out_w = layer.out_shape
    top, left = (h - out_h) // 2, (w - out_w) // 2
    value = g.slice(g.slice(value, 2, top, top + out_h), 3, left, left + out_w)
    if whole(layer, "noadjust", 0):
        return value
    return str(g.add("Add", g.scaled(value, 2), g.constant(-1.0)))


# ---- normalisation, activations, the rest --------------------------------------------------------------


def batchnorm(x: Exporter, layer: Layer) -> str:
    """scale (x - mean) / D + bias, D as the network's numerics say."""
    p, g = layer.params, x.graph
    factor = _slopes(x, p)
    offset = p["biases"] - p["rolling_mean"] * factor
    shaped = [g.constant(one.reshape(1, -1, 1, 1).astype(np.float32)) for one in (factor, offset)]
    return str(g.add("Add", g.add("Mul", x.value(layer.index - 1), shaped[0]), shaped[1]))


def normalization(x: Exporter, layer: Layer) -> str:
    """Across channels. The reference's window is lopsided (compat.md 6.17): it is written as a matrix."""
    c = layer.out_shape[0]
    size, alpha = whole(layer, "size", 5), number(layer, "alpha", 0.0001)
    window = np.zeros((c, c), np.float32)
    row = np.zeros(c, np.float32)
    row[: min(size // 2, c)] = alpha
    window[0] = row
    for k in range(1, c):
        before, after = k - (size - 1) // 2 - 1, k + size // 2
        if before >= 0:
            row[before] -= alpha
        if after < c:
            row[after] += alpha
        window[k] = row
    g, source = x.graph, x.value(layer.index - 1)
    kappa = np.full(c, number(layer, "kappa", 1), np.float32)
    sums = g.add(
        "Conv", g.add("Mul", source, source), g.constant(window[:, :, None, None]), g.constant(kappa)
    )
    return str(g.add("Mul", source, g.add("Pow", sums, g.constant(-number(layer, "beta", 0.75)))))


def l2norm(x: Exporter, layer: Layer) -> str:
    """Each pixel's channels divided by their length, or by 1 where that is 0."""
    g, source = x.graph, x.value(layer.index - 1)
    length = g.add("ReduceL2", source, axes=[1], keepdims=1)
    zero = g.add("Equal", length, g.constant(0.0))
    return str(g.add("Div", source, g.add("Where", zero, g.constant(1.0), length)))


def softmax(x: Exporter, layer: Layer) -> str:
    """Per group, per group of a tree, or per pixel across channels."""
    g, groups = x.graph, whole(layer, "groups", 1)
    hot = 1 / number(layer, "temperature", 1)
    if whole(layer, "spatial", 0):
        # The reference's spatial softmax has temperature 1.
        return str(g.add("Softmax", x.value(layer.index - 1), axis=1))
    flat = g.scaled(x.vector(layer.index - 1), hot)
    tree = layer.tree
    if tree is not None:
        sizes = [int(size) for size in tree.group_sizes]
        rest = layer.outputs - sum(sizes)
        parts = g.add(
            "Split", flat, g.ints(*sizes, *[rest] * bool(rest)), outputs=len(sizes) + bool(rest), axis=1
        )
        parts = [parts] if isinstance(parts, str) else parts
        done = [g.add("Softmax", part, axis=1) for part in parts[: len(sizes)]] + parts[len(sizes) :]
        return str(g.add("Concat", *done, axis=1)) if len(done) > 1 else str(done[0])
    if groups == 1:
        return str(g.add("Softmax", flat, axis=1))
    return g.reshape(g.add("Softmax", g.reshape(flat, 0, groups, -1), axis=2), 0, -1)


def implicit(x: Exporter, layer: Layer) -> str:
    """Its weights, for every picture of the batch."""
    g = x.graph
    batch = g.slice(g.add("Shape", x.value(-1)), 0, 0, 1)
    shape = g.add("Concat", batch, g.ints(*layer.out_shape), axis=0)
    weights = g.constant(layer.params["weights"].reshape(1, *layer.out_shape), what="weights")
    return str(g.add("Expand", weights, shape))


def iseg(x: Exporter, layer: Layer) -> str:
    """Logistic on the class planes; the embedding as it is."""
    g, classes, source = x.graph, whole(layer, "classes", 20), x.value(layer.index - 1)
    first = g.add("Sigmoid", g.slice(source, 1, 0, classes))
    return str(g.add("Concat", first, g.slice(source, 1, classes, layer.out_shape[0]), axis=1))


def identity(x: Exporter, layer: Layer) -> str:
    """What the previous layer gives."""
    return x.value(layer.index - 1)


def _cost(x: Exporter, layer: Layer) -> str:
    """Zeros: without a truth there is no error."""
    return str(x.graph.add("Mul", x.vector(layer.index - 1), x.graph.constant(0.0)))


def _activation(x: Exporter, layer: Layer) -> str:
    return activate(x.graph, layer, x.value(layer.index - 1), "linear")


def _logistic(x: Exporter, layer: Layer) -> str:
    return str(x.graph.add("Sigmoid", x.value(layer.index - 1)))


LAYERS: dict[str, Callable[[Exporter, Layer], str]] = {
    "activation": _activation,
    "avgpool": avgpool,
    "batchnorm": batchnorm,
    "connected": connected,
    "contrastive": identity,
    "convolutional": convolutional,
    "cost": _cost,
    "crop": crop,
    "deconvolutional": deconvolutional,
    "dropout": identity,
    "empty": identity,
    "implicit": implicit,
    "iseg": iseg,
    "l2norm": l2norm,
    "local": local,
    "local_avgpool": local_avgpool,
    "logistic": _logistic,
    "maxpool": maxpool,
    "normalization": normalization,
    "reorg": reorg,
    "reorg3d": reorg3d,
    "route": route,
    "sam": scale_channels,
    "scale_channels": scale_channels,
    "shortcut": shortcut,
    "softmax": softmax,
    "upsample": upsample,
    **HEADS,
}

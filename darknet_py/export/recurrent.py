"""Recurrent layers as ONNX nodes: one time step, the state an input and an output (compat.md 6.21 to 6.24,
20.8).

The inputs `state_NNN...` are zero at first; the outputs `state_NNN..._next` go into the next step.
"""

from __future__ import annotations

from collections.abc import Callable

from ..network import Layer
from .activations import activate, named
from .graph import Exporter, number, text, whole
from .layers import binarised, folded


def _inner(x: Exporter, layer: Layer, prefix: str, value: str) -> str:
    """A product or convolution of an inner layer, with its bias, without activation."""
    g = x.graph
    start = f"{prefix}_"
    params = {key.removeprefix(start): one for key, one in layer.params.items() if key.startswith(start)}
    weights, biases = folded(x, layer, params, 0)
    w, b = g.constant(weights, what=f"{prefix}_weights"), g.constant(biases, what=f"{prefix}_biases")
    if weights.ndim == 2:
        return str(g.add("Gemm", value, w, b, transB=1))
    size = weights.shape[-1]
    dilation = whole(layer, "dilation", 1) if size > 1 else 1
    xnor = whole(layer, "xnor", 0)
    return str(
        g.add(
            "Conv",
            binarised(x, value) if xnor else value,
            w,
            b,
            group=1 if xnor else whole(layer, "groups", 1),
            dilations=[dilation, dilation],
            pads=[size // 2 * dilation] * 4,
            kernel_shape=[size, size],
        )
    )


def _state(x: Exporter, layer: Layer, like: str, name: str = "") -> str:
    """The state before this step, of the shape of what this inner layer gives."""
    weights = layer.params[f"{like}_weights"]
    flat = weights.ndim == 2
    return x.state(layer, name, (len(weights),) if flat else (len(weights), *layer.out_shape[1:]))


def _source(x: Exporter, layer: Layer, like: str) -> str:
    before = layer.index - 1
    return x.vector(before) if layer.params[f"{like}_weights"].ndim == 2 else x.value(before)


def elman(x: Exporter, layer: Layer) -> str:
    """[rnn], [crnn]: state = f(input) + f(self of the old state) (+ the old state), output = f(state)."""
    g = x.graph

    def inner(prefix: str, value: str) -> str:
        return activate(g, layer, _inner(x, layer, prefix, value), "logistic")

    old = _state(x, layer, "self")
    parts = [inner("input", _source(x, layer, "input")), inner("self", old)]
    state = g.sum([*parts, old] if whole(layer, "shortcut", 0) else parts)
    x.carry(layer, "", state)
    return g.reshape(inner("output", state), 0, *layer.out_shape)


def gru(x: Exporter, layer: Layer) -> str:
    """z and r from state and input, a candidate from r * state: h' = candidate + z (h - candidate)."""
    g, source, old = x.graph, _source(x, layer, "uz"), _state(x, layer, "wz")

    def sums(gate: str, state: str) -> str:
        return g.sum([_inner(x, layer, f"u{gate}", source), _inner(x, layer, f"w{gate}", state)])

    z, r = g.add("Sigmoid", sums("z", old)), g.add("Sigmoid", sums("r", old))
    candidate = named("tanh" if whole(layer, "tanh", 0) else "logistic")(g, sums("h", g.add("Mul", r, old)))
    state = g.sum([candidate, g.add("Mul", z, g.add("Sub", old, candidate))])
    x.carry(layer, "", state)
    return g.reshape(state, 0, *layer.out_shape)


def _lstm(
    x: Exporter, layer: Layer, inner: Callable[[str, str], str], squash: str, limit: float | None
) -> str:
    """f, i, o = logistic(w h + u x + v c), g = squash(w h + u x), c' = f c + i g, h' = o squash(c')."""
    g, source = x.graph, _source(x, layer, "uf")
    h, c = _state(x, layer, "wf", "_h"), _state(x, layer, "wf", "_c")
    peephole = "vf_weights" in layer.params

    def gate(name: str, cell: str) -> str:
        parts = [inner(f"u{name}", source), inner(f"w{name}", h)]
        return str(g.add("Sigmoid", g.sum([*parts, inner(f"v{name}", cell)] if peephole else parts)))

    def squashed(value: str) -> str:
        return named(squash)(g, value)

    candidate = squashed(g.sum([inner("ug", source), inner("wg", h)]))
    cell = g.sum([g.add("Mul", gate("f", c), c), g.add("Mul", gate("i", c), candidate)])
    if limit is not None:
        cell = g.add("Clip", cell, g.constant(-limit), g.constant(limit))
    state = g.add("Mul", gate("o", cell), squashed(cell))
    x.carry(layer, "_h", state)
    x.carry(layer, "_c", cell)
    return g.reshape(state, 0, *layer.out_shape)


def lstm(x: Exporter, layer: Layer) -> str:
    """Of products."""
    return _lstm(x, layer, lambda prefix, value: _inner(x, layer, prefix, value), "tanh", None)


def conv_lstm(x: Exporter, layer: Layer) -> str:
    """Of convolutions that have an activation of their own; the cell is kept within a limit, 0: none."""

    def inner(prefix: str, value: str) -> str:
        return activate(x.graph, layer, _inner(x, layer, prefix, value), "linear")

    limit = number(layer, "state_constrain", 32.0 * x.net.time_steps)
    return _lstm(x, layer, inner, text(layer, "lstm_activation", "tanh"), limit if limit > 0 else None)


RECURRENT: dict[str, Callable[[Exporter, Layer], str]] = {
    "rnn": elman,
    "crnn": elman,
    "gru": gru,
    "lstm": lstm,
    "conv_lstm": conv_lstm,
}

"""Activation functions (compat.md 5, 20.1) as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable

from ..network import Layer
from .graph import Graph, text


def _times(graph: Graph, x: str, factor: float, offset: float = 0.0) -> str:
    y = graph.scaled(x, factor)
    return y if offset == 0 else str(graph.add("Add", y, graph.constant(offset)))


def _where(graph: Graph, x: str, low: float, below: str, above: str) -> str:
    """below where x < low, else above."""
    return str(graph.add("Where", graph.add("Less", x, graph.constant(low)), below, above))


def _plse(graph: Graph, x: str) -> str:
    middle = _times(graph, x, 0.125, 0.5)
    high = _times(graph, x, 0.01, 1 - 0.04)
    above = graph.add("Where", graph.add("Greater", x, graph.constant(4.0)), high, middle)
    return _where(graph, x, -4, _times(graph, x, 0.01, 0.04), str(above))


def _stair(graph: Graph, x: str) -> str:
    whole, half = graph.add("Floor", x), graph.add("Floor", _times(graph, x, 0.5))
    even = graph.add("Equal", _times(graph, half, 2), whole)
    odd = graph.add("Add", graph.add("Sub", x, whole), half)
    return str(graph.add("Where", even, half, odd))


def _lhtan(graph: Graph, x: str) -> str:
    high = _times(graph, x, 0.001, 1 - 0.001)
    above = graph.add("Where", graph.add("Greater", x, graph.constant(1.0)), high, x)
    return _where(graph, x, 0, _times(graph, x, 0.001), str(above))


def _selu(graph: Graph, x: str) -> str:
    return str(graph.add("Selu", x, alpha=1.6732, gamma=1.0507))


def _gelu(graph: Graph, x: str) -> str:
    square = graph.add("Mul", x, x)
    inside = graph.add("Mul", x, _times(graph, square, 0.071354, 1.59577))
    return str(graph.add("Mul", x, graph.add("Sigmoid", inside)))


def _hard_mish(graph: Graph, x: str) -> str:
    middle = graph.add("Mul", x, _times(graph, x, 0.5, 1))
    below = graph.add("Where", graph.add("Greater", x, graph.constant(-2.0)), middle, graph.constant(0.0))
    return str(graph.add("Where", graph.add("Greater", x, graph.constant(0.0)), x, below))


def _clip(low: float, high: float) -> Callable[[Graph, str], str]:
    return lambda graph, x: str(graph.add("Clip", x, graph.constant(low), graph.constant(high)))


def _leaky(slope: float) -> Callable[[Graph, str], str]:
    return lambda graph, x: str(graph.add("LeakyRelu", x, alpha=slope))


def _normalized(softmax: bool, largest: bool) -> Callable[[Graph, str], str]:
    """Per pixel over channels: v / (1e-4 + sum v), v the positive part or the exponential."""

    def activation(graph: Graph, x: str) -> str:
        if largest:
            x = graph.add("Sub", x, graph.add("ReduceMax", x, axes=[1], keepdims=1))
        v = graph.add("Exp" if softmax else "Relu", x)
        total = graph.add("ReduceSum", v, graph.ints(1), keepdims=1)
        return str(graph.add("Div", v, graph.add("Add", total, graph.constant(1e-4))))

    return activation


ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "linear": lambda graph, x: x,
    "logistic": lambda graph, x: str(graph.add("Sigmoid", x)),
    "loggy": lambda graph, x: _times(graph, graph.add("Sigmoid", x), 2, -1),
    "relu": lambda graph, x: str(graph.add("Relu", x)),
    "elu": lambda graph, x: str(graph.add("Elu", x, alpha=1.0)),
    "selu": _selu,
    "relie": _leaky(0.01),
    "ramp": lambda graph, x: str(graph.add("Add", graph.add("Relu", x), _times(graph, x, 0.1))),
    "leaky": _leaky(0.1),
    "revleaky": _leaky(0.1),
    "tanh": lambda graph, x: str(graph.add("Tanh", x)),
    "plse": _plse,
    "stair": _stair,
    "hardtan": _clip(-1, 1),
    "lhtan": _lhtan,
    "relu6": _clip(0, 6),
    "swish": lambda graph, x: str(graph.add("Mul", x, graph.add("Sigmoid", x))),
    "mish": lambda graph, x: str(graph.add("Mul", x, graph.add("Tanh", graph.add("Softplus", x)))),
    "hard_mish": _hard_mish,
    "gelu": _gelu,
    "normalize_channels": _normalized(False, False),
    "normalize_channels_softmax": _normalized(True, False),
    "normalize_channels_softmax_maxval": _normalized(True, True),
}


def named(name: str) -> Callable[[Graph, str], str]:
    """An activation; an unknown one is relu, as in the core."""
    return ACTIVATIONS.get(name, ACTIVATIONS["relu"])


def activate(graph: Graph, layer: Layer, x: str, default: str) -> str:
    """x through the layer's activation."""
    return named(text(layer, "activation", default))(graph, x)

"""A small writer of ONNX graphs: nodes, constants and the values of a network's layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checking import sections
from ..errors import UnsupportedError
from ..network import Layer, Network

Array = npt.NDArray[Any]


class Graph:
    """Nodes and constants in the order they were added. Values are named by strings."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._shared: dict[tuple[str, bytes], str] = {}
        self.prefix = "input"  # names of the nodes of one layer begin alike

    def name(self, what: str) -> str:
        """A name that no other value has."""
        return f"{self.prefix}/{what}_{len(self.nodes) + len(self.constants)}"

    def constant(self, values: npt.ArrayLike, dtype: Any = np.float32, what: str = "constant") -> str:
        """A constant; small ones that are equal are written once."""
        from onnx import numpy_helper

        array = np.ascontiguousarray(values, dtype)
        key = (f"{array.dtype}{array.shape}", array.tobytes() if array.size <= 64 else b"")
        if key[1] and key in self._shared:
            return self._shared[key]
        name = self.name(what)
        self.constants.append(numpy_helper.from_array(array, name))
        self._shared[key] = name
        return name

    def ints(self, *values: int) -> str:
        """A constant list of whole numbers."""
        return self.constant(values, np.int64, "shape")

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """A node; gives the name of its output, or a list of names."""
        from onnx import helper

        names = [self.name(kind) + (f"_{k}" if outputs > 1 else "") for k in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names if outputs > 1 else names[0]

    def reshape(self, x: str, *shape: int) -> str:
        """0 keeps a dimension, -1 is what is left."""
        return str(self.add("Reshape", x, self.ints(*shape)))

    def slice(self, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
        """x[..., start:end:step, ...] along one axis."""
        bounds = (self.ints(start), self.ints(end), self.ints(axis), self.ints(step))
        return str(self.add("Slice", x, *bounds))

    def scaled(self, x: str, factor: float) -> str:
        """x * factor, or x itself."""
        return x if factor == 1 else str(self.add("Mul", x, self.constant(factor)))

    def sum(self, values: Sequence[str]) -> str:
        """The sum of some values."""
        total = values[0]
        for value in values[1:]:
            total = str(self.add("Add", total, value))
        return total


def state_name(layer: Layer, part: str) -> str:
    """The input of the graph that holds a layer's state."""
    return f"state_{layer.index:03d}{part}"


class Exporter:
    """What the translation of one layer needs: the network, the graph, the layers before it.

    states: of recurrent layers, inputs of the graph; carried: their values after the step.
    """

    def __init__(self, net: Network, source: str) -> None:
        self.net, self.graph = net, Graph()
        self.states: dict[str, tuple[int, ...]] = {}
        self.carried: dict[str, str] = {}
        self._source = source
        self._values: list[str] = []

    def begin(self, layer: Layer) -> None:
        """Nodes added from now on belong to this layer."""
        self.graph.prefix = f"layer_{layer.index:03d}_{layer.type}"

    def end(self, value: str) -> None:
        """The output of the layer that was begun."""
        self._values.append(value)

    def value(self, index: int) -> str:
        """The output of a layer, or the network's input for -1."""
        return self._source if index < 0 else self._values[index]

    def shape(self, index: int) -> tuple[int, ...]:
        """(c, h, w) or (n,) of the same, without the batch."""
        return self.net.input_shape[1:] if index < 0 else self.net.layers[index].out_shape

    def state(self, layer: Layer, part: str, shape: tuple[int, ...]) -> str:
        """A state of a layer before this step, by its part's name; shape: without the batch."""
        name = state_name(layer, part)
        self.states[name] = shape
        return name

    def carry(self, layer: Layer, part: str, value: str) -> None:
        """The same after this step."""
        self.carried[state_name(layer, part)] = value

    def vector(self, index: int) -> str:
        """The same, flat: (batch, n)."""
        flat = len(self.shape(index)) == 1
        return self.value(index) if flat else self.graph.reshape(self.value(index), 0, -1)


# ---- keys of a section, read as the core reads them ----------------------------------------------------


def text(layer: Layer, key: str, default: str) -> str:
    """A key's value."""
    found = layer.option(key)
    return default if found is None else found


def whole(layer: Layer, key: str, default: int) -> int:
    """A key as a whole number."""
    found = layer.option(key)
    return default if found is None else sections.integer(found)


def number(layer: Layer, key: str, default: float) -> float:
    """A key as a number."""
    found = layer.option(key)
    return default if found is None else sections.number(found)


def numbers(layer: Layer, key: str) -> list[float]:
    """A key as a list of numbers."""
    found = layer.option(key)
    return [] if not found else [sections.number(part) for part in found.split(",")]


def references(layer: Layer, key: str) -> list[int]:
    """A key as a list of layers; negative ones count back from this layer."""
    found = [int(part) for part in numbers(layer, key)]
    return [layer.index + one if one < 0 else one for one in found]


def refuse(layer: Layer, reason: str) -> UnsupportedError:
    """The error for what ONNX, or this exporter, has no words for."""
    return UnsupportedError(f"layer {layer.index} [{layer.type}] can't be exported: {reason}")

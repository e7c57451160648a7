"""Runs an ONNX graph, as running.py hands it over, with PyTorch. Needs neither darknet_py nor onnx."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Node = dict[str, Any]
Value = Any


def load(path: str, x: Any) -> Callable[[], list[Any]]:
    """A function that runs the graph in the folder `path` on x."""
    torch = import_module("torch")
    graph = json.loads((Path(path) / "graph.json").read_text())
    constants = np.load(Path(path) / "constants.npz")
    values = {name: torch.from_numpy(constants[key]) for name, key in graph["constants"].items()}
    for name, value in values.items():
        if value.ndim == 4:
            values[name] = value.contiguous(memory_format=torch.channels_last)
    nodes = join_mish(graph["nodes"])
    operations = Operations(torch)
    last = last_uses(nodes, graph["outputs"])
    source = torch.from_numpy(x)
    if source.ndim == 4:
        source = source.contiguous(memory_format=torch.channels_last)

    def run() -> list[Any]:
        with torch.inference_mode():
            found: dict[str, Value] = {**values, graph["input"]: source}
            for index, node in enumerate(nodes):
                arguments = [found[name] if name else None for name in node["inputs"]]
                results = getattr(operations, node["kind"])(node["attributes"], *arguments)
                results = results if isinstance(results, (list, tuple)) else [results]
                found.update(zip(node["outputs"], results, strict=True))
                for name in last.get(index, ()):
                    del found[name]
            return [found[name].numpy() for name in graph["outputs"]]

    return run


def join_mish(nodes: list[Node]) -> list[Node]:
    """x tanh(softplus(x)) as the one operation that PyTorch has for it."""
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node["inputs"]:
            readers.setdefault(name, []).append(node)
    gone: set[int] = set()
    for node in nodes:
        if node["kind"] != "Softplus":
            continue
        tanh = readers.get(node["outputs"][0], [])
        product = readers.get(tanh[0]["outputs"][0], []) if len(tanh) == 1 else []
        kinds = [one["kind"] for one in (*tanh, *product)]
        if kinds == ["Tanh", "Mul"] and node["inputs"][0] in product[0]["inputs"]:
            product[0].update(kind="Mish", inputs=node["inputs"])
            gone |= {id(node), id(tanh[0])}
    return [node for node in nodes if id(node) not in gone]


def last_uses(nodes: list[Node], outputs: list[str]) -> dict[int, list[str]]:
    """By node, the values that no later one reads: their memory can be used again."""
    made = {name for node in nodes for name in node["outputs"]} - set(outputs)
    last = {name: index for index, node in enumerate(nodes) for name in node["inputs"] if name in made}
    freed: dict[int, list[str]] = {}
    for name, index in last.items():
        freed.setdefault(index, []).append(name)
    return freed


class Operations:
    """ONNX operators by name: attributes, then inputs."""

    def __init__(self, torch: Any) -> None:
        self.torch, self.functional = torch, torch.nn.functional

    def padded(self, x: Value, pads: list[int], value: float) -> tuple[Value, list[int]]:
        """x and the padding left to the operator, which must be the same on both sides."""
        half = len(pads) // 2
        if pads[:half] == pads[half:]:
            return x, pads[:half]
        sides = [side for i in reversed(range(half)) for side in (pads[i], pads[half + i])]
        return self.functional.pad(x, sides, value=value), [0] * half

    def Conv(self, a: Any, x: Value, w: Value, bias: Value = None) -> Value:  # noqa: N802
        x, padding = self.padded(x, a.get("pads", [0, 0, 0, 0]), 0)
        stride, dilation = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
        return self.functional.conv2d(x, w, bias, stride, padding, dilation, a.get("group", 1))

    def MaxPool(self, a: Any, x: Value) -> Value:  # noqa: N802
        x, padding = self.padded(x, a.get("pads", [0, 0, 0, 0]), float("-inf"))
        size = a["kernel_shape"]
        if any(2 * pad > side for pad, side in zip(padding, size, strict=True)):
            x = self.functional.pad(x, [padding[1]] * 2 + [padding[0]] * 2, value=float("-inf"))
            padding = [0, 0]
        ceil = bool(a.get("ceil_mode", 0))
        return self.functional.max_pool2d(x, size, a.get("strides", [1, 1]), padding, ceil_mode=ceil)

    def GlobalAveragePool(self, a: Any, x: Value) -> Value:  # noqa: N802
        return x.mean((2, 3), keepdim=True)

    def Resize(self, a: Any, x: Value, roi: Value, scales: Value, sizes: Value = None) -> Value:  # noqa: N802
        if a.get("mode", "nearest") != "nearest":
            raise NotImplementedError("Resize that interpolates")
        if sizes is not None:
            return self.functional.interpolate(x, size=sizes.tolist()[2:])
        return self.functional.interpolate(x, scale_factor=scales.tolist()[2:])

    def LRN(self, a: Any, x: Value) -> Value:  # noqa: N802
        return self.functional.local_response_norm(x, a["size"], a["alpha"], a["beta"], a["bias"])

    def Gemm(self, a: Any, x: Value, w: Value, bias: Value = None) -> Value:  # noqa: N802
        return self.functional.linear(x, w if a.get("transB", 0) else w.t(), bias)

    def MatMul(self, a: Any, x: Value, w: Value) -> Value:  # noqa: N802
        return x @ w

    def Einsum(self, a: Any, *xs: Value) -> Value:  # noqa: N802
        return self.torch.einsum(a["equation"], *xs)

    def Pow(self, a: Any, x: Value, y: Value) -> Value:  # noqa: N802
        return x**y

    def Reshape(self, a: Any, x: Value, shape: Value) -> Value:  # noqa: N802
        return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape.tolist())])

    def Transpose(self, a: Any, x: Value) -> Value:  # noqa: N802
        return x.permute(a["perm"])

    def Concat(self, a: Any, *xs: Value) -> Value:  # noqa: N802
        return self.torch.cat(xs, a["axis"])

    def Split(self, a: Any, x: Value, sizes: Value) -> Value:  # noqa: N802
        return self.torch.split(x, sizes.tolist(), a.get("axis", 0))

    def Slice(self, a: Any, x: Value, starts: Value, ends: Value, axes: Value, steps: Value) -> Value:  # noqa: N802
        where = [slice(None)] * x.ndim
        for start, end, axis, step in zip(
            starts.tolist(), ends.tolist(), axes.tolist(), steps.tolist(), strict=True
        ):
            where[axis] = slice(start, end, step)
        return x[tuple(where)]

    def Softmax(self, a: Any, x: Value) -> Value:  # noqa: N802
        return x.softmax(a.get("axis", -1))

    def ReduceMax(self, a: Any, x: Value) -> Value:  # noqa: N802
        return x.amax(a["axes"], keepdim=bool(a.get("keepdims", 1)))

    def Pad(self, a: Any, x: Value, pads: Value, value: Value = None) -> Value:  # noqa: N802
        numbers = pads.tolist()
        half = len(numbers) // 2
        sides = [side for i in reversed(range(half)) for side in (numbers[i], numbers[half + i])]
        return self.functional.pad(x, sides, value=0 if value is None else float(value))

    def LeakyRelu(self, a: Any, x: Value) -> Value:  # noqa: N802
        return self.functional.leaky_relu(x, a.get("alpha", 0.01))

    def Clip(self, a: Any, x: Value, low: Value = None, high: Value = None) -> Value:  # noqa: N802
        return x.clamp(low, high)

    def Identity(self, a: Any, x: Value) -> Value:  # noqa: N802
        return x

    def Relu(self, a: Any, x: Value) -> Value:  # noqa: N802
        return x.relu()

    def Mish(self, a: Any, x: Value) -> Value:  # noqa: N802
        return self.functional.mish(x)

    def Softplus(self, a: Any, x: Value) -> Value:  # noqa: N802
        return self.functional.softplus(x)

    def Sigmoid(self, a: Any, x: Value) -> Value:  # noqa: N802
        return x.sigmoid()

    def Tanh(self, a: Any, x: Value) -> Value:  # noqa: N802
        return x.tanh()

    def Exp(self, a: Any, x: Value) -> Value:  # noqa: N802
        return x.exp()

    def Add(self, a: Any, x: Value, y: Value) -> Value:  # noqa: N802
        return x + y

    def Sub(self, a: Any, x: Value, y: Value) -> Value:  # noqa: N802
        return x - y

    def Mul(self, a: Any, x: Value, y: Value) -> Value:  # noqa: N802
        return x * y

    def Div(self, a: Any, x: Value, y: Value) -> Value:  # noqa: N802
        return x / y

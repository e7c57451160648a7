"""Networks as ONNX files, for other engines. Needs the extra `onnx`.

Batch normalisation is folded into weights. The outputs are those of Network.predict, named layer_NNN.
Recurrent layers make one time step per call: their states are further inputs, state_NNN..., zero at first,
and outputs, state_NNN..._next, which the caller puts in again.
Decoded, they are `boxes` (batch, n, 4): centre x, y, width, height relative to the input, and `scores`
(batch, n, classes).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._native import ffi, lib
from ..data import write_whole
from ..errors import DataFileError, UnsupportedError
from ..network import Layer, Network
from .graph import Exporter, Graph, refuse
from .heads import box_count, decode
from .layers import LAYERS
from .recurrent import RECURRENT

__all__ = ["Difference", "export_onnx", "verify"]

PathLike = str | os.PathLike[str]
OPSET = 17
INPUT = "input"
NEXT = "_next"  # a state after the step
STEPS = 3  # of recurrent layers, that are compared
MOST_BYTES = (1 << 31) - (1 << 20)  # a protocol buffer's limit, less the graph itself
MOST_BATCH = 1 << 20  # as in a cfg


def _needs(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise UnsupportedError(
            f"exporting needs {module}, which is not installed: pip install 'darknet_py[onnx]'"
        ) from error


class _Built(NamedTuple):
    """The graph, its outputs and its states with their shapes, without the batch."""

    graph: Graph
    outputs: dict[str, tuple[int, ...]]
    states: dict[str, tuple[int, ...]]


def _translate(x: Exporter, layer: Layer) -> str:
    """The output of one layer. Raises UnsupportedError."""
    translate = LAYERS.get(layer.type) or RECURRENT.get(layer.type)
    if translate is None:
        raise refuse(layer, "ONNX has no words for it")
    return translate(x, layer)


def _build(net: Network, decoded: bool) -> _Built:
    x = Exporter(net, INPUT)
    boxes: list[str] = []
    scores: list[str] = []
    for layer in net.layers:
        x.begin(layer)
        value = _translate(x, layer)
        x.end(value)
        if decoded and layer.index in net.output_layers:
            if not layer.head:
                raise UnsupportedError("decoding needs detection heads, and this network has none")
            found = decode(x, layer, value)
            boxes.append(found.boxes)
            scores.append(found.scores)
    g = x.graph
    g.prefix = "output"
    if decoded:
        outputs = _join_heads(x, boxes, scores)
    else:
        outputs = {f"layer_{i:03d}": net.layers[i].out_shape for i in net.output_layers}
        for i, name in zip(net.output_layers, outputs, strict=True):
            g.nodes.append(_identity(x.value(i), name))
    for name, shape in x.states.items():
        g.nodes.append(_identity(x.carried[name], name + NEXT))
        outputs[name + NEXT] = shape
    return _Built(g, outputs, x.states)


def _join_heads(x: Exporter, boxes: list[str], scores: list[str]) -> dict[str, tuple[int, ...]]:
    """The boxes of all heads in one output, their scores in another."""
    heads = [x.net.layers[i] for i in x.net.output_layers]
    classes = {head.head[0] for head in heads if head.head}
    if len(classes) > 1:
        raise UnsupportedError(
            f"the heads have {', '.join(map(str, sorted(classes)))} classes: export them raw"
        )
    count = sum(box_count(head) for head in heads)
    for name, parts in (("boxes", boxes), ("scores", scores)):
        joined = x.graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
        x.graph.nodes.append(_identity(joined, name))
    return {"boxes": (count, 4), "scores": (count, classes.pop())}


def _identity(value: str, name: str) -> Any:
    from onnx import helper

    return helper.make_node("Identity", [value], [name], name=name)


def export_onnx(
    net: Network, path: PathLike, *, batch: int | None = 1, decode: bool = False, name: str = "darknet"
) -> None:
    """Writes an ONNX file, whole or not at all, after onnx's own checker has read it.

    batch: pictures, or streams of recurrent layers, per call; None for any number. decode: boxes and scores
    instead of the heads' raw outputs. Raises UnsupportedError for what ONNX can't express, and if onnx is not
    installed.
    """
    onnx = _needs("onnx")
    from onnx import TensorProto, helper

    if batch is not None and batch < 1:
        raise UnsupportedError(f"expected a batch of 1 or more, or None, found {batch}")
    if batch is not None and batch > MOST_BATCH:
        raise UnsupportedError(f"expected a batch of at most {MOST_BATCH}, or None, found {batch}")
    parameters = sum(values.size for layer in net.layers for values in layer.params.values())
    if 4 * parameters > MOST_BYTES:
        raise UnsupportedError(f"{4 * parameters} bytes of parameters are more than an ONNX file can hold")
    graph, outputs, states = _build(net, decode)
    first: int | str = "batch" if batch is None else batch

    def described(values: dict[str, tuple[int, ...]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(what, TensorProto.FLOAT, [first, *shape])
            for what, shape in values.items()
        ]

    inputs = {INPUT: net.input_shape[1:], **states}
    body = helper.make_graph(graph.nodes, name, described(inputs), described(outputs), graph.constants)
    model = helper.make_model(
        body, producer_name="darknet_py", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    if not Path(path).parent.is_dir():
        raise DataFileError(f"{path}: cannot write: there is no such folder")
    write_whole(path, model.SerializeToString())


def _all_boxes(net: Network, x: Any, rows: int) -> tuple[Any, Any]:
    """Every box of every head and its scores, whatever they are: what a decoded file should give. rows:
    per call of one session."""
    raw = ffi.new("dn_detect_options *")
    lib.dn_detect_options_init(raw)
    raw.thresh, raw.nms, raw.nms_kind, raw.relative = -3e38, 0, lib.DN_NMS_NONE, True
    found = []
    with net.session() as session:
        for first in range(0, len(x), rows):
            part = x[first : first + rows]
            session.predict(part)
            for image in range(len(part)):
                raw.image = image
                boxes, _, scores = session._boxes(raw)
                found.append((boxes, scores))
    return np.stack([boxes for boxes, _ in found]), np.stack([scores for _, scores in found])


class Difference(NamedTuple):
    """Greatest difference of one output, and the range of its values; of decoded ones, which are parts of the
    picture and probabilities, at least 1."""

    output: str
    largest: float
    range: float


def verify(net: Network, path: PathLike, x: Any = None, seed: int = 0) -> list[Difference]:
    """Runs an exported file with onnxruntime and the network itself, and compares raw outputs.

    x: input, by default random; of recurrent networks one time step after the other. Decoded files are
    compared with the boxes of the network's heads.
    """
    runtime = _needs("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    source, *states = session.get_inputs()
    batch = source.shape[0] if isinstance(source.shape[0], int) else 2
    if x is None:
        steps = max(STEPS, net.time_steps) // net.time_steps * net.time_steps if states else 1
        x = np.random.default_rng(seed).random((steps * batch, *net.input_shape[1:]), np.float32)
    names = [one.name for one in session.get_outputs()]
    carried = {one.name: np.zeros((batch, *one.shape[1:]), np.float32) for one in states}
    rows: dict[str, list[Any]] = {name: [] for name in names if name.removesuffix(NEXT) not in carried}
    for first in range(0, len(x), batch) if states else (0,):
        part = x[first : first + batch] if states else x
        found = dict(zip(names, session.run(None, {source.name: part, **carried}), strict=True))
        carried = {name: found[name + NEXT] for name in carried}
        for name, values in rows.items():
            values.append(found[name])
    given = {name: np.concatenate(values) for name, values in rows.items()}
    per_call = net.time_steps * batch if states else len(x)
    if "boxes" in given:
        expected = dict(zip(("boxes", "scores"), _all_boxes(net, x, per_call), strict=True))
    else:
        expected = _sequence(net, x, per_call)
    return [
        Difference(
            key,
            float(np.abs(values - expected[key]).max()),
            max(float(np.ptp(expected[key])), 1.0 if "boxes" in given else 0.0),
        )
        for key, values in given.items()
    ]


def _sequence(net: Network, x: Any, rows: int) -> dict[str, Any]:
    """Raw outputs of x, so many rows per call of one session."""
    with net.session() as session:
        found = [session.predict(x[first : first + rows]) for first in range(0, len(x), rows)]
    names = [f"layer_{i:03d}" for i in net.output_layers]
    return {
        name: np.concatenate(values) for name, values in zip(names, zip(*found, strict=True), strict=True)
    }

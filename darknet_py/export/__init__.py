"""Networks as ONNX files, for other engines. Needs the extra `onnx`.

Batch normalisation is folded into weights. The outputs are those of Network.predict, named layer_NNN.
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
from ..network import Network
from .graph import Exporter
from .heads import box_count, decode
from .layers import translate

__all__ = ["Difference", "export_onnx", "verify"]

PathLike = str | os.PathLike[str]
OPSET = 17
INPUT = "input"
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


def _build(net: Network, batch: int | None, decoded: bool) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """The graph and its outputs with their shapes, without the batch."""
    x = Exporter(net, INPUT)
    boxes: list[str] = []
    scores: list[str] = []
    for layer in net.layers:
        x.begin(layer)
        value = translate(x, layer)
        x.end(value)
        if decoded and layer.index in net.output_layers:
            if not layer.head:
                raise UnsupportedError("decoding needs detection heads, and this network has none")
            found = decode(x, layer, value)
            boxes.append(found.boxes)
            scores.append(found.scores)
    g = x.graph
    g.prefix = "output"
    if not decoded:
        names = {f"layer_{i:03d}": net.layers[i].out_shape for i in net.output_layers}
        for i, name in zip(net.output_layers, names, strict=True):
            g.nodes.append(_identity(x.value(i), name))
        return g, names
    heads = [net.layers[i] for i in net.output_layers]
    classes = {head.head[0] for head in heads if head.head}
    if len(classes) > 1:
        raise UnsupportedError(
            f"the heads have {', '.join(map(str, sorted(classes)))} classes: export them raw"
        )
    count = sum(box_count(head) for head in heads)
    for name, parts in (("boxes", boxes), ("scores", scores)):
        joined = g.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
        g.nodes.append(_identity(joined, name))
    return g, {"boxes": (count, 4), "scores": (count, classes.pop())}


def _identity(value: str, name: str) -> Any:
    from onnx import helper

    return helper.make_node("Identity", [value], [name], name=name)


def export_onnx(
    net: Network, path: PathLike, *, batch: int | None = 1, decode: bool = False, name: str = "darknet"
) -> None:
    """Writes an ONNX file, whole or not at all, after onnx's own checker has read it.

    batch: pictures per call, None for any number. decode: boxes and scores instead of the heads' raw outputs.
    Raises UnsupportedError for layers that ONNX can't express (recurrent ones), and if onnx is not installed.
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
    graph, outputs = _build(net, batch, decode)
    first: int | str = "batch" if batch is None else batch
    values = [
        helper.make_tensor_value_info(what, TensorProto.FLOAT, [first, *shape])
        for what, shape in {INPUT: net.input_shape[1:], **outputs}.items()
    ]
    body = helper.make_graph(graph.nodes, name, values[:1], values[1:], graph.constants)
    model = helper.make_model(
        body, producer_name="darknet_py", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    if not Path(path).parent.is_dir():
        raise DataFileError(f"{path}: cannot write: there is no such folder")
    write_whole(path, model.SerializeToString())


def _all_boxes(net: Network, x: Any) -> tuple[Any, Any]:
    """Every box of every head and its scores, whatever they are: what a decoded file should give."""
    raw = ffi.new("dn_detect_options *")
    lib.dn_detect_options_init(raw)
    raw.thresh, raw.nms, raw.nms_kind, raw.relative = -3e38, 0, lib.DN_NMS_NONE, True
    found = []
    with net.session() as session:
        session.predict(x)
        for image in range(len(x)):
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

    x: input, by default random. Decoded files are compared with the boxes of the network's heads.
    """
    runtime = _needs("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    batch = source.shape[0] if isinstance(source.shape[0], int) else 2
    if x is None:
        shape = (batch, *net.input_shape[1:])
        x = np.random.default_rng(seed).random(shape, np.float32)
    names = [one.name for one in session.get_outputs()]
    found = dict(zip(names, session.run(None, {source.name: x}), strict=True))
    if "boxes" in found:
        expected = dict(zip(("boxes", "scores"), _all_boxes(net, x), strict=True))
    else:
        expected = {
            f"layer_{i:03d}": values for i, values in zip(net.output_layers, net.predict(x), strict=True)
        }
    return [
        Difference(
            key,
            float(np.abs(values - expected[key]).max()),
            max(float(np.ptp(expected[key])), 1.0 if "boxes" in found else 0.0),
        )
        for key, values in found.items()
    ]

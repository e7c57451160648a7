"""Rules for the files around a network: weights that fit or say why not, names and .data in number."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._native import ffi, lib
from ..data import DataFile
from ..errors import DarknetError, WeightsNotFoundError, check
from ..logs import captured
from ..names import read_names
from ..network import Layer, Network
from .context import Context
from .heads import boxes_and_values, classes_of
from .sections import Section

#: How files that are something else begin.
_OTHERS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run: git lfs pull"),
    (
        b"<",
        "a web page: the download went wrong",
        "open the link in a browser to see what it says",
    ),
    (b"PK\x03\x04", "a ZIP archive: PyTorch's .pt, .npz or a packed download", "Darknet's weights are plain"),
    (b"\x1f\x8b", "gzip-compressed", "gunzip it first"),
    (b"\x80\x02", "a Python pickle (PyTorch's old .pt)", "export it to Darknet's format first"),
    (b"\x89HDF", "an HDF5 file (Keras)", "Darknet's weights are another format"),
    (b"[net]", "a cfg", "CFG comes first, then WEIGHTS"),
    (b"[network]", "a cfg", "CFG comes first, then WEIGHTS"),
)


def what_else(start: bytes) -> tuple[str, str] | None:
    """What a file that begins so is instead of weights, and what to do; None if it may be weights."""
    text = start.lstrip()
    return next(((what, hint) for magic, what, hint in _OTHERS if text.startswith(magic)), None)


# ---- weights --------------------------------------------------------------------------------------------


def check_weights(context: Context, network: Network | None, path: str | os.PathLike[str]) -> None:
    """Whether a weights file fits the network; if not, for which one it may be."""
    file, report = os.fspath(path), context.report
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(64)
            length = stream.seek(0, os.SEEK_END)
    except FileNotFoundError:
        raise WeightsNotFoundError(f"{file}: no such file") from None
    other = what_else(start)
    if other:
        report.add(file, 0, "error", "not-weights", f"this is {other[0]}", other[1])
        return
    header = ffi.new("size_t *")
    try:
        nothing = ffi.NULL
        check(lib.dn_weights_header(start, min(length, 64), file.encode(), nothing, nothing, nothing, header))
    except DarknetError as error:
        message = str(error).removeprefix(f"{file}: ")
        report.add(file, 0, "error", "not-weights", message, "the download was cut short")
        return
    if network is None:
        message = "not compared with the network, which can't be built yet"
        report.add(file, 0, "note", "weights", message, "repair the cfg first")
        return
    try:
        with captured():
            network.load_weights(path)
    except DarknetError as error:
        _misfit(context, network, file, length - int(header[0]), str(error).removeprefix(f"{file}: "))
        return
    _values(context, network, file)


def _misfit(context: Context, network: Network, file: str, size: int, message: str) -> None:
    layers = [_Floats.of(layer) for layer in network.layers]
    expected = sum(layer.count for layer in layers)
    found, rest = divmod(size, 4)
    if not rest:
        total = 0
        for layer in layers:
            total += layer.count
            if layer.count and total == found < expected:
                message = f"holds the layers 0 to {layer.index} of {len(layers)}, whole"
                hint = "a start for training (as NAME.conv.N files are); to detect, the whole file is needed"
                context.report.add(file, 0, "warning", "partial-weights", message, hint)
                return
    hints = explanations(context, layers, found) if not rest else []
    if rest:
        hints.append(
            f"{size} bytes after the header are no whole number of floats: the file was cut or changed"
        )
    if not hints and found < expected:
        hints.append("a download cut short, or the weights of another cfg")
    context.report.add(file, 0, "error", "weights-size", message.split(": it is")[0], "; ".join(hints))


@dataclass(frozen=True)
class _Floats:
    """What a layer takes of a weights file. per_output: floats for one filter, or one output."""

    index: int
    type: str
    count: int
    outputs: int
    per_output: int
    kernel: tuple[int, ...]
    normalized: bool

    @classmethod
    def of(cls, layer: Layer) -> _Floats:
        count = 0 if layer.option("dontload") not in (None, "0") else layer.param_count
        names = layer._param_names
        plain = layer.type in ("convolutional", "connected", "local", "deconvolutional")
        kernel = layer._param_shape(names.index("weights")) if plain and "weights" in names else ()
        outputs = layer._param_shape(names.index("biases"))[0] if kernel and "biases" in names else 0
        exact = outputs and count % outputs == 0
        per_output = count // outputs if exact else 0
        return cls(layer.index, layer.type, count, outputs, per_output, kernel, "rolling_mean" in names)


def explanations(context: Context, layers: list[_Floats], found: int) -> list[str]:
    """Which changes of the cfg would make a file of so many floats fit."""
    more = found - sum(layer.count for layer in layers)
    guesses = [
        _other_classes(context, layers, more),
        _other_normalization(layers, more),
        _other_channels(layers, more),
        _other_inputs(layers, more),
    ]
    return [guess for guess in guesses if guess]


def _other_classes(context: Context, layers: list[_Floats], more: int) -> str | None:
    """Heads, or the last layer of a classifier, of another number of classes."""
    heads = [head for head in context.heads if head.index > 0]
    per_class = sum(layers[head.index - 1].per_output * _outputs_per_class(head) for head in heads)
    if heads and per_class and more % per_class == 0:
        classes = classes_of(heads[0]) + more // per_class
        if classes < 0 or any(classes_of(head) != classes_of(heads[0]) for head in heads):
            return None
        before = layers[heads[0].index - 1]
        outputs = before.outputs + more // per_class * _outputs_per_class(heads[0])
        key = "output" if before.type == "connected" else "filters"
        return f"it fits this cfg with classes={classes} ({key}={outputs} before the first head)"
    last = next((layer for layer in reversed(layers) if layer.count), None)
    if heads or last is None or not last.per_output or more % last.per_output:
        return None
    outputs = last.outputs + more // last.per_output
    if outputs <= 0:
        return None
    key = "output" if last.type == "connected" else "filters"
    return f"it fits this cfg with {outputs} classes ({key}={outputs} in layer {last.index})"


def _outputs_per_class(head: Section) -> int:
    if head.type == "detection":
        return head.integer("side", 7) ** 2
    return boxes_and_values(head)[0]


def _other_normalization(layers: list[_Floats], more: int) -> str | None:
    plain = sum(3 * layer.outputs for layer in layers if layer.kernel and layer.normalized)
    if plain and more == -plain:
        return "it fits this cfg without batch_normalize"
    bare = [layer for layer in layers if layer.kernel and not layer.normalized]
    for kept in range(len(bare)):  # the layers before heads mostly go without
        missing = sum(3 * layer.outputs for layer in bare[: len(bare) - kept])
        if missing == more > 0:
            return f"it fits this cfg with batch_normalize=1 up to layer {bare[len(bare) - kept - 1].index}"
    return None


def _other_channels(layers: list[_Floats], more: int) -> str | None:
    first = next((layer for layer in layers if layer.count), None)
    if first is None or first.type != "convolutional" or len(first.kernel) != 4:
        return None
    per_channel = first.kernel[0] * first.kernel[2] * first.kernel[3]
    channels = first.kernel[1] + more // per_channel
    fits = more % per_channel == 0 and 1 <= channels <= 16 and first.index == 0
    return f"it fits this cfg with channels={channels} in [net]" if fits else None


def _other_inputs(layers: list[_Floats], more: int) -> str | None:
    first = next((layer for layer in layers if layer.type == "connected" and layer.kernel), None)
    if first is None or first.index == 0:
        return None
    inputs = math.prod(first.kernel) // first.outputs
    wanted = inputs + more // first.outputs
    if more % first.outputs or wanted <= 0:
        return None
    return (
        f"it fits if layer {first.index} [connected] gets {wanted} inputs instead of {inputs}: "
        "another width and height in [net]"
    )


def _values(context: Context, network: Network, file: str) -> None:
    """Numbers that no training ends with."""
    zero = any(layer.param_count for layer in network.layers)
    for layer in network.layers:
        for name, values in layer.params.items():
            place = f"layer {layer.index} [{layer.type}] {name}"
            bad = int(values.size - np.count_nonzero(np.isfinite(values)))
            zero = zero and not values.any()
            if bad:
                message = f"{place} has {bad} values that are no finite numbers"
                hint = "the training diverged, or the file belongs to another cfg of the same size"
                context.report.add(file, 0, "error", "weights-values", message, hint)
                return
            if name.endswith("rolling_variance") and float(values.min(initial=0)) < 0:
                message = f"{place} is negative"
                hint = "the file belongs to another cfg of the same size, or to another dialect"
                context.report.add(file, 0, "error", "weights-values", message, hint)
                return
    if zero:
        context.report.add(file, 0, "warning", "weights-values", "all parameters are 0", "not trained?")


# ---- names and .data ------------------------------------------------------------------------------------


def class_count(context: Context) -> int | None:
    """Classes of the heads, or values of a classifier's last layer; None where shapes are not known."""
    if context.heads:
        return max(classes_of(head) for head in context.heads)
    shapes = [
        shape
        for section, shape in zip(context.config.layers, context.shapes, strict=True)
        if section.type != "cost"
    ]
    last = shapes[-1] if shapes else None
    return None if last is None else math.prod(last)


def check_names(context: Context, path: str | os.PathLike[str]) -> None:
    """Whether there is a name for each class."""
    names, classes = read_names(path), class_count(context)
    file, report = os.fspath(path), context.report
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if name and first.setdefault(name, number) != number:
            message = f"a second class of the name {name!r}, as on line {first[name]}"
            report.add(file, number, "warning", "names", message, "rename one of them")
            break
    empty = [number for number, name in enumerate(names, 1) if not name]
    if empty:
        message = f"line {empty[0]} is empty, and counts as a class of that name"
        report.add(file, empty[0], "warning", "names", message, "delete it")
    if classes is not None and len(names) != classes:
        message = f"{len(names)} names for {classes} classes"
        more = "those behind are never used" if len(names) > classes else "the others are called by number"
        report.add(file, 0, "warning", "names", message, f"{more}; does this file belong to the cfg?")


def check_data(context: Context, path: str | os.PathLike[str]) -> None:
    """Whether a .data file means a network of these classes, and its names are as many."""
    file, report = os.fspath(path), context.report
    data, classes = DataFile(path), class_count(context)
    try:
        stated = data.integer("classes") if data.get("classes") else None
    except DarknetError as error:
        message = str(error).removeprefix(f"{file}: ")
        report.add(file, data.line("classes"), "error", "data", message)
        return
    if stated is None:
        report.add(file, 0, "warning", "data", "has no classes", "say classes=N")
    elif classes is not None and stated != classes:
        message = f"classes={stated}, but the network has {classes}"
        hint = "labels and outputs would not mean the same; make both equal (check --fix does)"
        report.add(file, data.line("classes"), "error", "classes", message, hint)
    key = "names" if data.get("names") else "labels"
    if not data.get(key):
        return
    try:
        path = data.file(key)
    except DarknetError as error:
        message = str(error).removeprefix(f"{file}: ")
        report.add(file, data.line(key), "error", "names", message, "make it, with a name per line")
        return
    check_names(context, path)
    count = len(read_names(path))
    if stated is not None and count < stated:
        message = f"{count} names for classes={stated} of {file}"
        report.add(str(path), 0, "error", "names", message, "each class needs a line")

"""Two runs compared layer by layer: which layer is the first that differs, and by how much.

A run is a network on some path through the core, a dump of activations (.npz) or an ONNX file. The kernels of
an instruction set are chosen once per process, so a side that asks for another one runs in a child process.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import images
from .errors import (
    ArgumentError,
    CfgNotFoundError,
    DarknetError,
    DataError,
    DataFileError,
    DataNotFoundError,
    path_bytes,
)
from .network import Network
from .session import Floats, prepare

RTOL, ATOL = 1e-4, 1e-6

#: How a network is run: layer by layer, by its plan, or by a plan without Winograd.
PATHS = ("unfused", "plan", "exact")

_CHOICES: dict[str, tuple[str, ...]] = {
    "numerics": ("default", "pjreddie-cpu"),
    "dialect": ("pjreddie", "alexeyab"),
    "cpu": ("generic", "avx2", "avx512", "neon"),
    "path": PATHS,
}


@dataclass(frozen=True)
class Side:
    """One run: a file (.cfg, .npz or .onnx), and for a .cfg how it is run."""

    file: str
    weights: str | None = None
    numerics: str = "default"
    dialect: str | None = None
    cpu: str | None = None
    path: str = "unfused"
    layers: int | None = None  # only so many of the first ones

    @classmethod
    def parse(cls, text: str, like: Side | None = None) -> Side:
        """FILE[,WEIGHTS][,KEY=VALUE...]; with like, KEY=VALUE... alone means its files, run so."""
        items, given = text.split(","), dict[str, Any]()
        while items:
            key, equals, value = items[-1].partition("=")
            if not equals or key not in (*_CHOICES, "layers"):
                break
            given[key] = _layer_count(value) if key == "layers" else _choice(key, value)
            items.pop()
        rest = ",".join(items)
        if not rest and like is not None:
            return replace(like, **given)
        if not rest:
            raise ArgumentError(f"{text!r} names no file: a side is FILE[,WEIGHTS][,KEY=VALUE...]")
        if Path(rest).is_file():
            return cls(rest, **given)
        file, _, weights = rest.partition(",")
        return cls(file, weights or None, **given)

    @property
    def kind(self) -> str:
        """ "npz", "onnx" or "cfg"."""
        suffix = Path(self.file).suffix.lower()
        return suffix[1:] if suffix in (".npz", ".onnx") else "cfg"

    def __str__(self) -> str:
        plain = Side(self.file)
        changed = [
            f"{key}={getattr(self, key)}"
            for key in (*_CHOICES, "layers")
            if getattr(self, key) != getattr(plain, key)
        ]
        return ",".join([self.file, *([self.weights] if self.weights else []), *changed])


def _choice(key: str, value: str) -> str:
    if value not in _CHOICES[key]:
        raise ArgumentError(f"expected {key} {' or '.join(_CHOICES[key])}, found {value!r}")
    return value


def _layer_count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value)):
        raise ArgumentError(f"expected layers=N, N above 0, found {value!r}")
    return int(value)


@dataclass
class Trace:
    """What a run gave: the output (n, ...) of some layers, and what is known of all of them.

    named: arrays that belong to no layer by name (outputs of an ONNX file).
    """

    types: list[str] = field(default_factory=list)
    shapes: list[tuple[int, ...] | None] = field(default_factory=list)
    outputs: dict[int, Floats] = field(default_factory=dict)
    input: Floats | None = None
    named: dict[str, Floats] = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz with `input`, `layer_types` and `layer_NN_output`, as the reference's vectors."""
        arrays: dict[str, Any] = {f"layer_{i:02d}_output": array for i, array in self.outputs.items()}
        if self.input is not None:
            arrays["input"] = self.input
        arrays["layer_types"] = np.array(self.types, np.str_)
        try:
            with Path(path).open("wb") as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise DataFileError(f"{os.fspath(path)}: {error.strerror or error}") from error


@dataclass(frozen=True)
class Row:
    """One compared layer. difference: the largest; relative: that over the layer's largest magnitude."""

    index: int
    type: str
    shape: tuple[int, ...]
    difference: float
    relative: float
    differs: bool
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """The compared layers in order, and where the two networks part, if they do."""

    rows: tuple[Row, ...]
    parted: str | None = None

    @property
    def first(self) -> Row | None:
        """The first layer that differs."""
        return next((row for row in self.rows if row.differs), None)

    @property
    def same(self) -> bool:
        """Whether everything that there is agrees."""
        return self.first is None and self.parted is None

    def summary(self) -> str:
        """One line: same or different, and where."""
        if self.first is not None:
            differing = sum(row.differs for row in self.rows)
            text = (
                f"different: first in layer {self.first.index} {self.first.type}".rstrip()
                + f", by {self.first.difference:.3g} ({self.first.relative:.3g} of its range); "
                f"{differing} of {len(self.rows)} compared layers differ"
            )
        else:
            text = "same" if self.same else "different"
            text += f": {len(self.rows)} compared layers agree"
            if self.rows:
                worst = max(self.rows, key=lambda row: row.relative)
                text += f", within {worst.relative:.3g} of their range (layer {worst.index})"
        return f"{text}; {self.parted}" if self.parted else text

    def to_dict(self) -> dict[str, Any]:
        """For JSON; numbers that are not finite are null."""
        rows = [
            {
                "index": row.index,
                "type": row.type,
                "shape": list(row.shape),
                "difference": row.difference if math.isfinite(row.difference) else None,
                "relative": row.relative if math.isfinite(row.relative) else None,
                "differs": row.differs,
                **({"note": row.note} if row.note else {}),
            }
            for row in self.rows
        ]
        first = self.first.index if self.first else None
        return {"same": self.same, "first": first, "parted": self.parted, "layers": rows}


def diff(
    a: Side | str,
    b: Side | str,
    *,
    input: npt.ArrayLike | str | os.PathLike[str] | None = None,
    seed: int = 0,
    rtol: float = RTOL,
    atol: float = ATOL,
    threads: int | None = None,
) -> Comparison:
    """Runs both sides on one input and compares them.

    input: an array, an .npy or a picture; None takes that of a dump which has one, else random values of
    seed. A layer differs where |a - b| > atol + rtol * (the layer's largest magnitude). Raises DarknetErrors.
    """
    first = Side.parse(a) if isinstance(a, str) else a
    second = Side.parse(b, first) if isinstance(b, str) else b
    found = traces((first, second), input=input, seed=seed, threads=threads)
    result = compare(*found, rtol=rtol, atol=atol)
    return locate((first, second), found, result, rtol=rtol, atol=atol, threads=threads)


def traces(
    sides: Sequence[Side],
    *,
    input: npt.ArrayLike | str | os.PathLike[str] | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> list[Trace]:
    """Runs each side on the same input; as diff."""
    results: dict[int, Trace] = {}
    source = input
    # Dumps first: they may bring the input; ONNX files last: they say least about it.
    order = sorted(range(len(sides)), key=lambda k: ("npz", "cfg", "onnx").index(sides[k].kind))
    for k in order:
        results[k] = trace(sides[k], input=source, seed=seed, threads=threads)
        if source is None or (isinstance(source, (str, os.PathLike)) and results[k].input is not None):
            source = results[k].input
    return [results[k] for k in range(len(sides))]


def trace(
    side: Side,
    *,
    input: npt.ArrayLike | str | os.PathLike[str] | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Trace:
    """Runs one side; input and seed as in diff."""
    if side.kind == "npz":
        return read_dump(side.file)
    if side.kind == "onnx":
        return _trace_onnx(side.file, input, seed)
    if side.cpu is not None:
        return _trace_elsewhere(side, input, seed, threads)
    return _trace_network(side, input, seed, threads)


# ---- the kinds of runs ---------------------------------------------------------------------------------


def _trace_network(side: Side, source: Any, seed: int, threads: int | None) -> Trace:
    cfg, types = (side.file, None) if side.layers is None else _first_layers(side.file, side.layers)
    with Network(
        cfg,
        side.weights,
        cutoff=side.layers,
        numerics=side.numerics,
        dialect=side.dialect,
        exact=side.path == "exact",
        threads=threads,
        name=None if side.layers is None else side.file,
    ) as net:
        x = _network_input(net, source, seed)
        if side.path == "unfused":
            outputs = dict(enumerate(net.activations(x)))
        else:
            outputs = dict(zip(net.output_layers, net.predict(x), strict=True))
        types = types or [layer.type for layer in net.layers]
        return Trace(types, [layer.out_shape for layer in net.layers], outputs, x)


def _first_layers(file: str, count: int) -> tuple[bytes, list[str]]:
    """The cfg of the first layers, with the last one as its output, and their types.

    Heads before the last layer only pass numbers on.
    """
    from .checking.context import HEADS
    from .checking.sections import Config

    path_bytes(file, CfgNotFoundError)
    config = Config.parse(Path(file).read_bytes(), file)
    lines = list(config.lines)
    for section in config.layers[: count - 1]:
        if section.type in HEADS:
            lines[section.line - 1] = "[activation]"
            for option in section.options:
                lines[option.line - 1] = ""
    end = config.layers[count].line - 1 if count < len(config.layers) else len(lines)
    return "\n".join(lines[:end]).encode(), [section.type for section in config.layers[:count]]


def _network_input(net: Network, source: Any, seed: int) -> Floats:
    shape = net.input_shape[1:]
    if source is None:
        return np.random.default_rng(seed).random((net.time_steps, *shape), np.float32)
    if isinstance(source, (str, os.PathLike)) and Path(source).suffix.lower() != ".npy":
        return prepare(net, images.read(source), net._default_preprocess())
    return _with_batch(_array(source), shape)


def _array(source: Any) -> Floats:
    """An array, or the one in an .npy file, as float32."""
    if not isinstance(source, (str, os.PathLike)):
        return np.ascontiguousarray(source, np.float32)
    try:
        return np.ascontiguousarray(np.load(source, allow_pickle=False), np.float32)
    except FileNotFoundError:
        raise DataNotFoundError(f"{os.fspath(source)}: no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{os.fspath(source)}: no array: {error}") from error


def _with_batch(x: Floats, shape: tuple[int, ...]) -> Floats:
    """A single item gets its n; recorded vectors may come as (n, c, 1, 1)."""
    if x.shape == shape:
        return x[None]
    return x.reshape(len(x), -1) if len(shape) == 1 and x.ndim > 2 else x


def _trace_elsewhere(side: Side, source: Any, seed: int, threads: int | None) -> Trace:
    """The same side in a child process with the kernels of another instruction set."""
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "DARKNET_CPU": side.cpu or "", "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryDirectory() as folder:
        dump = str(Path(folder) / "dump.npz")
        plain = str(replace(side, weights=None, cpu=None))
        command = [sys.executable, "-m", "darknet_py", "diff", plain, "--dump", dump, "--seed", str(seed)]
        if side.weights:
            command += ["--weights-a", side.weights]
        if threads:
            command += ["-threads", str(threads)]
        if isinstance(source, (str, os.PathLike)):
            command += ["--input", os.fspath(source)]
        elif source is not None:
            array = str(Path(folder) / "input.npy")
            np.save(array, np.asarray(source, np.float32))
            command += ["--input", array]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise DarknetError(f"cpu={side.cpu}: {lines[-1].removeprefix('darknet_py: ')}")
        return read_dump(dump)


def read_dump(path: str | os.PathLike[str]) -> Trace:
    """The arrays `layer_NN_output` of an .npz, with `input` and `layer_types` if it has them."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names = {name: k for name in file.files if (k := _layer_of(name)) is not None}
            outputs = {k: np.ascontiguousarray(file[name], np.float32) for name, k in names.items()}
            given = np.ascontiguousarray(file["input"], np.float32) if "input" in file.files else None
            types = [str(name) for name in file["layer_types"]] if "layer_types" in file.files else []
    except FileNotFoundError:
        raise DataNotFoundError(f"{os.fspath(path)}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{os.fspath(path)}: no .npz of arrays: {error}") from error
    if not outputs:
        raise DataError(f"{os.fspath(path)}: has no arrays called layer_NN_output")
    count = max(max(outputs) + 1, len(types))
    types += [""] * (count - len(types))
    shapes = [outputs[i].shape[1:] if i in outputs else None for i in range(count)]
    return Trace(types, shapes, outputs, given)


def _layer_of(name: str) -> int | None:
    """NN of layer_NN_output."""
    start, end = "layer_", "_output"
    number = name[len(start) : -len(end)] if name.startswith(start) and name.endswith(end) else ""
    return int(number) if number.isascii() and number.isdigit() else None


def _trace_onnx(path: str, source: Any, seed: int) -> Trace:
    try:
        import onnxruntime
    except ImportError:
        raise DarknetError(
            f"{path}: running an ONNX file needs onnxruntime, which is not installed: pip install onnxruntime"
        ) from None
    if not Path(path).is_file():
        raise DataNotFoundError(f"{path}: no such file")
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        given, *states = session.get_inputs()
        shape = tuple(n if isinstance(n, int) and n > 0 else 1 for n in given.shape)
        if source is None:
            source = np.random.default_rng(seed).random(shape, np.float32)
        elif isinstance(source, (str, os.PathLike)) and Path(source).suffix.lower() != ".npy":
            raise ArgumentError(f"{path}: two ONNX files can't be fed with a picture: give an .npy")
        x = _array(source)
        zeros = {one.name: np.zeros((len(x), *one.shape[1:]), np.float32) for one in states}
        results = session.run(
            None, {given.name: x.reshape(len(x), *shape[1:]) if x.ndim == 1 else x, **zeros}
        )
        names = [output.name for output in session.get_outputs()]
    except DarknetError:
        raise
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise DataError(f"{path}: {str(error).splitlines()[0]}") from error
    found = Trace(input=x)
    for name, values in zip(names, results, strict=True):
        if name.removesuffix("_next") in zeros:
            continue  # a state after the first step
        array = np.ascontiguousarray(values, np.float32)
        index = _layer_of(name)
        if index is None:
            found.named[name] = array
        else:
            found.outputs[index] = array
    count = max(found.outputs, default=-1) + 1
    found.types = [""] * count
    found.shapes = [found.outputs[i].shape[1:] if i in found.outputs else None for i in range(count)]
    return found


# ---- comparing ---------------------------------------------------------------------------------------


def compare(a: Trace, b: Trace, *, rtol: float = RTOL, atol: float = ATOL) -> Comparison:
    """Compares two traces by layer index, as far as types and shapes agree."""
    if a.named or b.named:
        return _compare_named(a, b, rtol, atol)
    rows: list[Row] = []
    for i in range(min(len(a.types), len(b.types))):
        if not _alike(a, b, i):
            parted = f"the networks part at layer {i}: A has {_layer(a, i)}, B has {_layer(b, i)}"
            return Comparison(tuple(rows), parted)
        if i in a.outputs and i in b.outputs:
            rows.append(_row(i, a.types[i] or b.types[i], a.outputs[i], b.outputs[i], rtol, atol))
    if not rows:
        raise DataError("the two sides have no layer in common")
    return Comparison(tuple(rows), _longer(a, b))


def locate(
    sides: Sequence[Side],
    found: Sequence[Trace],
    result: Comparison,
    *,
    rtol: float = RTOL,
    atol: float = ATOL,
    threads: int | None = None,
) -> Comparison:
    """The comparison with the first layer that differs, where a plan showed only the network's outputs.

    By bisection: networks of the first layers only have the last of them as their output.
    """
    if result.first is None or all(side.path == "unfused" for side in sides):
        return result
    if any(side.kind == "onnx" or (side.layers is not None and side.kind == "cfg") for side in sides):
        return result
    same, differing, row = 0, result.first.index + 1, result.first
    while differing - same > 1:
        middle = (same + differing) // 2
        few = [replace(side, layers=middle) if side.kind == "cfg" else side for side in sides]
        runs = traces(
            few, input=found[0].input if found[1].input is None else found[1].input, threads=threads
        )
        rows = [one for one in compare(*runs, rtol=rtol, atol=atol).rows if one.index == middle - 1]
        if rows and rows[0].differs:
            differing, row = middle, replace(rows[0], note="as the output of the layers up to it")
        else:
            same = middle
    rows = [one for one in result.rows if one.index != row.index]
    return replace(result, rows=tuple(sorted([*rows, row], key=lambda one: one.index)))


def _longer(a: Trace, b: Trace) -> str | None:
    """What to say where one side goes on after the other's last layer. A dump says nothing of its end."""
    if len(a.types) == len(b.types):
        return None
    (name, more), less = (("A", a), b) if len(a.types) > len(b.types) else (("B", b), a)
    count = len(more.types) - len(less.types)
    return f"{name} goes on for {count} more layer{'s' * (count > 1)}, from {_layer(more, len(less.types))}"


def _layer(side: Trace, i: int) -> str:
    shape = side.shapes[i]
    return f"{side.types[i] or 'a layer'} {dimensions(shape) if shape else ''}".rstrip()


def dimensions(shape: Sequence[int]) -> str:
    """w x h x c of (c, h, w)."""
    return " x ".join(map(str, reversed(shape)))


def _alike(a: Trace, b: Trace, i: int) -> bool:
    if a.types[i] and b.types[i] and a.types[i] != b.types[i]:
        return False
    one, other = a.shapes[i], b.shapes[i]
    if one is None or other is None or one == other:
        return True
    return math.prod(one) == math.prod(other) and 1 in (len(one), len(other))  # a vector as (c, 1, 1)


def _row(index: int, kind: str, a: Floats, b: Floats, rtol: float, atol: float, note: str = "") -> Row:
    if a.size != b.size:
        raise DataError(
            f"layer {index}: A has {a.shape}, B has {b.shape}: they were run on different numbers of items"
        )
    difference, scale = distance(a, b)
    relative = difference / scale if scale > 0 and math.isfinite(difference) else difference
    differs = not difference <= atol + rtol * scale
    return Row(index, kind, tuple(a.shape[1:]), difference, relative, differs, note)


def distance(a: Floats, b: Floats) -> tuple[float, float]:
    """The largest difference, infinite where one side is not a number, and the largest finite magnitude."""
    x, y = a.reshape(-1), b.reshape(-1)
    scale = max((float(np.max(np.abs(v[np.isfinite(v)]), initial=0)) for v in (x, y)), default=0.0)
    equal = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = np.abs(x[~equal].astype(np.float64) - y[~equal])
    return float(np.max(np.where(np.isnan(gaps), np.inf, gaps), initial=0)), scale


def _compare_named(a: Trace, b: Trace, rtol: float, atol: float) -> Comparison:
    """Outputs of an ONNX file against layers, or against equally named outputs of another one."""
    rows: list[Row] = []
    if a.named and b.named:
        common = [name for name in a.named if name in b.named]
        if not common:
            raise DataError(f"no output in common: A has {', '.join(a.named)}; B has {', '.join(b.named)}")
        rows = [_row(k, "", a.named[name], b.named[name], rtol, atol, name) for k, name in enumerate(common)]
        return Comparison(tuple(rows))
    onnx, other = (a, b) if a.named else (b, a)
    unmatched, taken = [], set[int]()
    for name, values in onnx.named.items():
        # A head's numbers, or what the layer before it hands to it: whichever is nearer.
        fits = [i for i, output in other.outputs.items() if output.size == values.size and i not in taken]
        if not fits:
            unmatched.append(name)
            continue
        best = min(fits, key=lambda i: (distance(values, other.outputs[i])[0], -i))
        taken.add(best)
        pair = (values, other.outputs[best]) if onnx is a else (other.outputs[best], values)
        rows.append(_row(best, other.types[best], *pair, rtol, atol, f"ONNX output {name}"))
    for i in sorted(set(onnx.outputs) & set(other.outputs)):
        pair = (onnx.outputs[i], other.outputs[i]) if onnx is a else (other.outputs[i], onnx.outputs[i])
        rows.append(_row(i, other.types[i], *pair, rtol, atol))
    parted = f"no layer has the shape of the ONNX output {', '.join(unmatched)}" if unmatched else None
    return Comparison(tuple(sorted(rows, key=lambda row: row.index)), parted)

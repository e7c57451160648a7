"""Times a network in several engines, in turns: files for each engine, a child process each, medians.

Engines get their turns one after the other all through the measurement, so that whatever else the machine
does hits them alike.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError, DarknetError, UnsupportedError
from ..network import Network
from .calibration import write_weights
from .machine import Limits, excluded

__all__ = ["ENGINES", "HOW_TO_INSTALL", "Comparison", "Files", "Model", "Result", "compare", "prepare"]

#: Modules that an engine needs, and how to get them. All but ours read the network as an ONNX file.
ENGINES: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
    "opencv": ("onnx", "cv2"),
    "ncnn": ("onnx", "ncnn", "pnnx"),
    "torch": ("onnx", "torch"),
}
HOW_TO_INSTALL = {
    "onnxruntime": "pip install onnx onnxruntime",
    "openvino": "pip install onnx openvino",
    "opencv": "pip install onnx 'opencv-python-headless<5'",
    "ncnn": "pip install onnx ncnn pnnx",
    "torch": "pip install onnx torch",
}
#: Of an output's range. Engines sum in different orders; more than this is another function.
TOLERANCE = 1e-3
TURN = 0.05  # seconds of an engine's turn, if a call takes less
MOST_CALLS = 10  # in a turn
SETTLE = 0.02  # seconds in which the threads of the engine before stop spinning: ncnn's spin for 7 to 10 ms
COLD = 0.1  # a call of so many seconds needs none before it to get its data into caches again


class Model(NamedTuple):
    """A network to measure. Without weights, parameters are calibrated ones; width, height: not the cfg's."""

    name: str
    cfg: Path
    weights: Path | None = None
    width: int | None = None
    height: int | None = None
    dialect: str | None = None

    def network(self, weights: str | os.PathLike[str] | None = None, **options: Any) -> Network:
        """The network itself."""
        return Network(
            self.cfg, weights, width=self.width, height=self.height, dialect=self.dialect, **options
        )


class Files(NamedTuple):
    """What engines read: a part of their jobs, and by engine why there is nothing for it."""

    job: dict[str, Any]
    missing: dict[str, str]


def prepare(
    model: Model, engines: Iterable[str], folder: Path, *, torch_python: str = sys.executable
) -> Files:
    """Writes the files that engines need into a folder. An engine that isn't installed is not an error."""
    weights = model.weights or folder / "calibrated.weights"
    if model.weights is None:
        with model.network(batch=1, initialize=False) as net:
            write_weights(net, weights)
    job: dict[str, Any] = {"cfg": str(model.cfg), "weights": str(weights), "dialect": model.dialect}
    job.update(width=model.width, height=model.height)
    missing = {name: reason for name in engines if (reason := _absent(name, torch_python))}
    with model.network(weights) as net:
        x = np.random.default_rng(1).random((1, *net.input_shape[1:]), np.float32)
        np.save(folder / "input.npy", x)
        job["input"] = str(folder / "input.npy")
        wanted = [name for name in engines if name not in missing]
        try:
            if wanted:
                _export(net, job, folder, wanted, missing)
        except DarknetError as error:
            missing.update(dict.fromkeys(wanted, str(error)))
    return Files(job, missing)


def _absent(engine: str, torch_python: str) -> str | None:
    if engine not in ENGINES:
        raise ArgumentError(f"no engine {engine!r}; there are: {', '.join(ENGINES)}")
    elsewhere = engine == "torch" and torch_python != sys.executable
    needed = [name for name in ENGINES[engine] if not (elsewhere and name == "torch")]
    absent = [name for name in needed if find_spec(name) is None]
    if elsewhere and subprocess.run([torch_python, "-c", "import torch"], capture_output=True).returncode:
        absent.append(f"torch of {torch_python}")
    return f"{', '.join(absent)} not installed: {HOW_TO_INSTALL[engine]}" if absent else None


def _export(
    net: Network, job: dict[str, Any], folder: Path, engines: Sequence[str], missing: dict[str, str]
) -> None:
    from ..export import export_onnx
    from ..export.recurrent import RECURRENT

    if any(layer.type in RECURRENT for layer in net.layers):
        raise UnsupportedError("networks with a state are not compared: an engine would have to be given it")
    job["onnx"] = str(folder / "model.onnx")
    export_onnx(net, job["onnx"])
    if "torch" in engines:
        job["graph"] = str(folder)
        _write_graph(folder)
    if "ncnn" in engines:
        job["ncnn"] = str(folder / "model.ncnn")
        error = _convert(folder)
        if error:
            missing["ncnn"] = error


def _write_graph(folder: Path) -> None:
    """The ONNX graph as JSON and arrays, for a Python that has PyTorch alone."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(folder / "model.onnx")).graph
    arrays = [numpy_helper.to_array(one) for one in graph.initializer]
    np.savez(folder / "constants.npz", *arrays)

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode()
        return list(value) if not isinstance(value, (int, float, str)) else value

    nodes = [
        {
            "kind": node.op_type,
            "inputs": list(node.input),
            "outputs": list(node.output),
            "attributes": {a.name: plain(onnx.helper.get_attribute_value(a)) for a in node.attribute},
        }
        for node in graph.node
    ]
    described = {
        "input": graph.input[0].name,
        "outputs": [one.name for one in graph.output],
        "constants": {one.name: f"arr_{k}" for k, one in enumerate(graph.initializer)},
        "nodes": nodes,
    }
    (folder / "graph.json").write_text(json.dumps(described))


def _convert(folder: Path) -> str | None:
    """ONNX to ncnn's files; why it failed."""
    found = find_spec("pnnx")
    inside = Path(found.origin).parent / "pnnx" if found and found.origin else None
    program = str(inside) if inside and inside.is_file() else shutil.which("pnnx")
    if program is None:
        return "no program pnnx"
    done = subprocess.run(
        [program, "model.onnx", "fp16=0"], cwd=folder, capture_output=True, text=True, errors="replace"
    )
    if done.returncode or not (folder / "model.ncnn.bin").is_file():
        return "pnnx can't convert this network"
    # What has no counterpart keeps its PyTorch name, as in Tensor.slice.
    layers = [line.split(maxsplit=1)[0] for line in (folder / "model.ncnn.param").read_text().splitlines()]
    unknown = sorted({layer for layer in layers if "." in layer})
    return f"it has nothing for {', '.join(unknown)}" if unknown else None


# ---- a child ----------------------------------------------------------------------------------------


class FailedError(Exception):
    """An engine can't run the network; the message says why."""


class Child:
    """A process with the network loaded in one engine."""

    def __init__(self, engine: str, job: dict[str, Any], python: str, folder: Path) -> None:
        self._log = (folder / f"{engine}.log").open("w+")
        self.outputs = folder / f"{engine}.npz"
        whole = {**job, "engine": engine, "outputs": str(self.outputs)}
        environment = dict(os.environ)
        root = str(Path(__file__).resolve().parent.parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("peers.py")), json.dumps(whole)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )

    def hear(self) -> dict[str, Any]:
        """The next answer."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if line:
            return dict(json.loads(line))
        self._process.wait()
        self._log.seek(0)
        said = [one.strip() for one in self._log if one.strip()]
        raise FailedError(said[-1] if said else f"ended with status {self._process.returncode}")

    def call(self, count: int) -> dict[str, Any]:
        """Times of so many calls, and bytes of memory."""
        assert self._process.stdin
        try:
            self._process.stdin.write(f"{count}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # hear() knows why
        return self.hear()

    def close(self) -> None:
        """Ends it."""
        self._process.communicate()
        self._log.close()


# ---- results ----------------------------------------------------------------------------------------


@dataclass
class Result:
    """One engine's. difference: from our outputs, of their range; None for ours. bytes: since its imports.
    error: why there are no times."""

    engine: str
    name: str
    times: list[float] = field(default_factory=list)
    difference: float | None = None
    ready: float = 0.0
    bytes: int = 0
    error: str | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.times)


@dataclass
class Comparison:
    """A network in several engines on so many threads."""

    model: Model
    threads: int
    input: tuple[int, ...]
    flops: float
    limits: Limits
    results: list[Result]
    calibrated: bool

    @property
    def ours(self) -> Result:
        return self.results[0]

    @property
    def best_peer(self) -> Result | None:
        """The quickest of the others."""
        ran = [one for one in self.results[1:] if one.times]
        return min(ran, key=lambda one: one.median) if ran else None

    @property
    def ratio(self) -> float | None:
        """Our time to that of the best peer: below 1 we are quicker."""
        return self.ours.median / self.best_peer.median if self.best_peer else None

    @property
    def ratio_of_bests(self) -> float | None:
        """The same of the quickest calls, which other programs disturb less than medians."""
        bests = [min(one.times) for one in self.results[1:] if one.times]
        return min(self.ours.times) / min(bests) if bests else None

    @property
    def noise(self) -> float:
        """The largest of medians by quickest calls."""
        return max(one.median / min(one.times) for one in self.results if one.times)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; times in seconds."""
        return {
            "network": self.model.name,
            "cfg": str(self.model.cfg),
            "weights": None if self.calibrated else str(self.model.weights),
            "input": list(self.input),
            "threads": self.threads,
            "flops": self.flops,
            "peak_flops": self.limits.flops,
            "peak_bytes": self.limits.bytes,
            "tolerance": TOLERANCE,
            "ratio_to_best_peer": self.ratio,
            "ratio_of_bests": self.ratio_of_bests,
            "noise": self.noise,
            "best_peer": self.best_peer.engine if self.best_peer else None,
            "engines": [
                {
                    "engine": one.engine,
                    "name": one.name,
                    "median": one.median if one.times else None,
                    "times": one.times,
                    "difference": one.difference,
                    "ready": one.ready,
                    "bytes": one.bytes,
                    "error": one.error,
                }
                for one in self.results
            ],
        }


def _difference(ours: Path, theirs: Path) -> float:
    """Greatest difference of an output, of its range."""
    with np.load(ours) as a, np.load(theirs) as b:
        if [a[key].size for key in a.files] != [b[key].size for key in b.files]:
            raise FailedError("its outputs have other sizes")
        worst = 0.0
        for key in a.files:
            spread = float(a[key].max() - a[key].min()) or 1.0
            # Not a number is never small.
            worst = max(worst, float(np.nan_to_num(np.abs(a[key] - b[key]).max(), nan=np.inf)) / spread)
        return worst


def _start(child: Child, result: Result, ours: Path | None) -> None:
    first = child.hear()
    result.name, result.ready, result.bytes = first["name"], first["ready"], first["bytes"]
    if ours is not None:
        result.difference = _difference(ours, child.outputs)
        if result.difference > TOLERANCE:
            raise FailedError(
                f"its outputs differ by {result.difference:.1e} of their range: nothing to time"
            )


def _take_turns(children: dict[str, Child], results: dict[str, Result], runs: int) -> None:
    """`runs` turns each, in either order by turns."""
    plans = {}
    for name, child in children.items():
        second = child.call(2)["times"][-1]
        plans[name] = (0 if second > COLD else 1, min(MOST_CALLS, max(1, round(TURN / second))))
    order = list(children)
    for _ in range(runs):
        for name in order:
            time.sleep(SETTLE)
            warm, calls = plans[name]
            answer = children[name].call(warm + calls)
            results[name].times += answer["times"][warm:]
            results[name].bytes = answer["bytes"]
        order.reverse()


def compare(
    model: Model,
    files: Files,
    engines: Sequence[str],
    threads: int,
    limits: Limits,
    *,
    runs: int = 20,
    memory: str = "fast",
    torch_python: str = sys.executable,
    level: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Times the network, `runs` turns of each engine, on outputs that were found to be the same.

    A turn is one call, or up to 10 of a quick network, 50 ms: medians are those of all calls, and all engines
    meet whatever else the machine does. note is told what is going on.
    """
    results = {name: Result(name, name) for name in ("darknet_py", *engines)}
    for name, reason in files.missing.items():
        results[name].error = reason
    children: dict[str, Child] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            for name, result in results.items():
                result.error = result.error or excluded(name, level)
                if result.error:
                    continue
                note(f"{model.name}: {name} loads")
                python = torch_python if name == "torch" else sys.executable
                job = {**files.job, "threads": threads, "memory": memory}
                children[name] = Child(name, job, python, folder)
                ours = None if name == "darknet_py" else children["darknet_py"].outputs
                try:
                    _start(children[name], result, ours)
                except FailedError as error:
                    if name == "darknet_py":
                        raise ArgumentError(str(error)) from None
                    result.error = str(error)
                    children.pop(name).close()
            note(f"{model.name}: {len(children)} engines take turns on {threads} threads")
            _take_turns(children, results, runs)
        finally:
            for child in children.values():
                child.close()
    with model.network(initialize=False) as net:
        flops, shape = sum(layer.flops for layer in net.layers), net.input_shape[1:]
    return Comparison(model, threads, shape, flops, limits, list(results.values()), model.weights is None)

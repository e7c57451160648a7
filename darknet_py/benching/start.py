"""From the start of a process to its first detection, and the most memory it had; beside OpenCV. Each
measurement is a new process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import StateError
from ..network import Network

__all__ = ["Start", "measure_start", "quiet_heads", "start_text"]

OURS = """
import sys, darknet_py
darknet_py.Network(sys.argv[1], sys.argv[2], memory=sys.argv[4], threads=int(sys.argv[5])).detect(sys.argv[3])
"""
OPENCV = """
import sys, cv2, numpy
cv2.setNumThreads(int(sys.argv[5]))
size = int(sys.argv[4])
picture = cv2.imread(sys.argv[3])
if hasattr(cv2.dnn, "readNetFromDarknet"):
    net = cv2.dnn.readNetFromDarknet(sys.argv[1], sys.argv[2])
else:
    net = cv2.dnn.readNetFromONNX(sys.argv[6])
net.setInput(cv2.dnn.blobFromImage(picture, 1 / 255, (size, size), swapRB=True))
outputs = net.forward(net.getUnconnectedOutLayersNames())
if not hasattr(cv2.dnn, "readNetFromDarknet"):
    sys.exit()
rows = numpy.concatenate(outputs)
scores = rows[:, 5:].max(1)
kept = rows[scores > 0.5]
cv2.dnn.NMSBoxes(kept[:, :4].tolist(), scores[scores > 0.5].tolist(), 0.5, 0.45)
"""


#: A small process between: the peak of a child is never below that of the process it was forked from.
LAUNCH = """
import os, sys, time
begin = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,
                       file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - begin, usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


class Start(NamedTuple):
    """Seconds (median) and bytes (most) of the processes of one kind; error: why there are none."""

    what: str
    seconds: float
    bytes: int
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict()


def _once(command: Sequence[str], environment: dict[str, str], folder: str) -> tuple[float, int]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCH, *command],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise StateError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it failed")
    seconds, most = done.stdout.split()
    return float(seconds), int(most)


def quiet_heads(net: Network) -> None:
    """Makes the heads of a calibrated network find nothing, so that only the way to them is measured."""
    for index in net.output_layers:
        before = net.layers[index - 1]
        if net.layers[index].head and {"weights", "biases"} <= set(before.params):
            net.set_param(before.index, "weights", before.params["weights"] / 100)
            net.set_param(before.index, "biases", np.full_like(before.params["biases"], -8))


def _opencv(python: str) -> str:
    """The OpenCV of a Python, and how it reads networks: from version 5 on it has no importer for Darknet's
    files, reads ONNX, and leaves what enters the heads as it is."""
    code = "import cv2; print(cv2.__version__, hasattr(cv2.dnn, 'readNetFromDarknet'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode:
        return f"OpenCV of {python}"
    version, darknet = done.stdout.split()
    return f"OpenCV {version}, {'Darknet importer' if darknet == 'True' else 'ONNX, no boxes'}"


def measure_start(
    cfg: Path,
    weights: Path,
    image: Path,
    size: int,
    threads: int,
    runs: int = 5,
    opencv: Sequence[str] = (sys.executable,),
) -> list[Start]:
    """Times the kinds of process in turns: the interpreter, the import, the command, the library, and OpenCV
    of some Pythons."""
    files = [str(path.resolve()) for path in (cfg, weights, image)]
    python = sys.executable
    detect = ["-m", "darknet_py", "detect", *files[:2], files[2], "-threads", str(threads), "-out", "found"]
    kinds = {
        "python, doing nothing": [python, "-c", "pass"],
        "import darknet_py": [python, "-c", "import darknet_py"],
        "darknet_py detect, the command": [python, *detect],
        "darknet_py, memory=fast": [python, "-c", OURS, *files, "fast", str(threads)],
        "darknet_py, memory=lean": [python, "-c", OURS, *files, "lean", str(threads)],
    }
    onnx = str(weights.resolve().with_suffix(".onnx"))
    for other in opencv:
        kinds[_opencv(other)] = [other, "-c", OPENCV, *files, str(size), str(threads), onnx]
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has byte code
    root = str(Path(__file__).resolve().parent.parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    times: dict[str, list[tuple[float, int]]] = {what: [] for what in kinds}
    errors: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(runs + 1):  # who comes first waits for memory that the host has to find
            for what, command in reversed(kinds.items()) if turn % 2 else kinds.items():
                if what in errors:
                    continue
                try:
                    times[what].append(_once(command, environment, folder))
                except StateError as error:
                    errors[what] = str(error)
    found = []
    for what, values in times.items():
        if what in errors:
            found.append(Start(what, 0, 0, errors[what]))
            continue
        counted = values[1:]  # the first finds the files on disk
        seconds = statistics.median(one for one, _ in counted)
        found.append(Start(what, seconds, max(most for _, most in counted)))
    return found


def start_text(name: str, threads: int, found: Sequence[Start]) -> str:
    """A line per kind."""
    lines = [f"{name} from the start of a process to its end after one detection, {threads} threads"]
    for one in found:
        result = one.error or f"{one.seconds * 1e3:8.0f} ms {one.bytes / 2**20:8.0f} MiB at most"
        lines.append(f"  {one.what:<32} {result}")
    return "\n".join(lines)

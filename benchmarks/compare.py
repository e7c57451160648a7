"""Inference time of darknet_py beside OpenCV's DNN module, interleaved in one run, as medians and ratios.

    python benchmarks/compare.py [CFG ...] [--threads 1 2] [--runs 30]

Without CFG: cfg/yolov3-tiny.cfg at 416 x 416. Weights are random, the same for both; outputs are compared
before anything is timed. Needs `pip install "opencv-python-headless<5"`: version 5 has no Darknet importer.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import darknet_py as dn
from darknet_py._native import ffi, lib

REPOSITORY = Path(__file__).resolve().parent.parent


def machine() -> str:
    """One line: processor, its count, instruction-set level."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            model = line.split(":")[1].strip()
            break
    return f"{model}, {lib.dn_cpu_count()} processors, kernels {ffi.string(lib.dn_cpu_level()).decode()}"


def randomize(net: dn.Network, path: Path) -> None:
    """Random weights that keep activations in range, so that neither engine meets infinities or denormals."""
    rng = np.random.default_rng(0)
    for layer in net.layers:
        for name, values in layer.params.items():
            if name == "weights":
                scale = np.sqrt(2 / max(1, np.prod(values.shape[1:])))
                new = rng.standard_normal(values.shape) * scale
            elif name in ("rolling_variance", "scales"):
                new = rng.uniform(0.5, 1.5, values.shape)
            else:
                new = rng.standard_normal(values.shape) * 0.1
            net.set_param(layer.index, name, new.astype(np.float32))
    net.save_weights(path)


def compare(cfg: Path, threads: int, runs: int, folder: Path) -> None:
    import cv2

    weights = folder / f"{cfg.stem}.weights"
    net = dn.Network(cfg, threads=threads)
    randomize(net, weights)
    x = np.random.default_rng(1).random((1, *net.input_shape[1:]), np.float32)
    other = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
    cv2.setNumThreads(threads)
    other.setInput(x)
    # The layer before each head: OpenCV's heads decode and suppress, ours do not.
    heads = [net.layers[i].type in ("yolo", "region") for i in net.output_layers]
    names = other.getUnconnectedOutLayersNames()
    raw = [f"conv_{i - 1}" for i, head in zip(net.output_layers, heads, strict=True) if head]
    if raw:
        layers = net.activations(x)
        for name, theirs in zip(raw, other.forward(raw), strict=True):
            mine = layers[int(name.split("_")[1])]
            error = np.abs(mine - theirs).max() / np.abs(theirs).max()
            if not error < 1e-3:
                sys.exit(f"{cfg.name}: layer {name} differs by {error:.2e} of its range: nothing to time")
        print(f"{cfg.name}: raw heads agree within {error:.1e} of their range")
    session = net.session()
    times: dict[str, list[float]] = {"darknet_py": [], f"OpenCV {cv2.__version__}": []}
    for run in range(runs + 3):
        for name, call in zip(
            times,
            (lambda: session.predict(x), lambda: (other.setInput(x), other.forward(names))),
            strict=True,
        ):
            begin = time.perf_counter()
            call()
            if run >= 3:
                times[name].append(time.perf_counter() - begin)
    mine, theirs = (statistics.median(values) * 1e3 for values in times.values())
    gflop = sum(layer.flops for layer in net.layers) / 1e9
    for name, values in times.items():
        median = statistics.median(values) * 1e3
        speed, best = gflop / median * 1e3, min(values) * 1e3
        print(f"  {threads} threads  {name:16s} {median:8.1f} ms  {speed:7.1f} GFLOP/s  (best {best:.1f} ms)")
    print(f"  {threads} threads  ratio {mine / theirs:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cfg", nargs="*", type=Path, default=[REPOSITORY / "cfg" / "yolov3-tiny.cfg"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--runs", type=int, default=30)
    options = parser.parse_args()
    print("command:", " ".join(sys.argv))
    print("machine:", machine())
    print("date:   ", datetime.date.today())
    with tempfile.TemporaryDirectory() as folder:
        for cfg in options.cfg:
            for threads in options.threads:
                compare(cfg, threads, options.runs, Path(folder))


if __name__ == "__main__":
    main()

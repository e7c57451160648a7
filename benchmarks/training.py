"""Training speed of darknet_py beside PyTorch's on the same networks: images per second and peak memory.

    python benchmarks/training.py [CFG ...] [--batch 8] [--threads 2] [--runs 8] [--torch PYTHON] [--layers]
    python benchmarks/training.py [CFG ...] --loader

A step is forward, backward and update. Without CFG: cfg/yolov3-tiny.cfg at 416 x 416. Each side runs in a
process of its own, so that its memory is its own; their steps alternate, so that what else the machine does
hits both; on a busy machine, believe processor time with --threads 1. PyTorch (float32, channels-last,
translated from the same cfg) runs if this Python, or the one given with --torch, has it. Its heads have no
loss: fixed gradients enter where ours computes them from boxes or classes, which favours PyTorch a little.
--loader makes a training run of so many updates instead, from JPEG files of 640 x 480 with the cfg's
augmentation (and strong changes of colour), and prints the part of its time without a batch to compute with.
--layers prints each layer's time with build/release/benchmarks/train_layers, which
`make build/release/benchmarks/train_layers` builds.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
HEADS = ("yolo", "region", "softmax", "cost")


def machine() -> str:
    """One line: processor and its count."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            model = line.split(":")[1].strip()
            break
    return f"{model}, {os.cpu_count()} processors"


def peak_memory() -> float:
    """MiB this process has had resident at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- our side ----


def our_step(cfg: Path, batch: int, threads: int) -> tuple[Callable[[], object], str]:
    """A training step of darknet_py, and a description."""
    import numpy as np

    import darknet_py as dn
    from darknet_py._native import ffi, lib

    net = dn.Network(cfg, batch=batch, threads=threads)
    rng = np.random.default_rng(0)
    x = rng.random((batch, *net.input_shape[1:]), np.float32)
    last = net.layers[net.output_layers[-1]]
    if last.type in ("yolo", "region"):
        truth = np.zeros((batch, 90 if last.type == "yolo" else 30, 5), np.float32)
        truth[:, :4, :4] = rng.uniform(0.2, 0.6, (batch, 4, 4))
    else:
        classes = int(np.prod(last.out_shape))
        truth = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, batch)]
    truth = np.ascontiguousarray(truth.reshape(batch, -1))
    trainer = dn.Trainer(net)
    level = ffi.string(lib.dn_cpu_level()).decode()
    return lambda: trainer.step(x, truth), f"darknet_py {dn.__version__} ({level})"


# ---- PyTorch's side: a small translator of cfg files ----


def read_cfg(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Sections with their options."""
    sections: list[tuple[str, dict[str, str]]] = []
    for raw in path.read_text().splitlines():
        line = raw.strip().replace(" ", "")
        if line.startswith("["):
            sections.append((line[1:-1], {}))
        elif "=" in line and line[0] not in "#;":
            key, value = line.split("=", 1)
            sections[-1][1].setdefault(key, value)
    return sections


def translate(sections: list[tuple[str, dict[str, str]]]) -> Any:
    """A torch module that returns the inputs of all heads."""
    import torch
    from torch import nn
    from torch.nn import functional

    activations = {
        "leaky": lambda: nn.LeakyReLU(0.1, inplace=True),
        "relu": lambda: nn.ReLU(inplace=True),
        "mish": lambda: nn.Mish(inplace=True),
        "swish": lambda: nn.SiLU(inplace=True),
        "logistic": nn.Sigmoid,
        "linear": nn.Identity,
    }

    def convolution(options: dict[str, str], channels: int) -> tuple[nn.Module, int]:
        size, filters = int(options.get("size", 1)), int(options.get("filters", 1))
        pad = size // 2 if int(options.get("pad", 0)) else int(options.get("padding", 0))
        normalize = int(options.get("batch_normalize", 0)) > 0
        stride, groups = int(options.get("stride", 1)), int(options.get("groups", 1))
        parts: list[nn.Module] = [
            nn.Conv2d(channels, filters, size, stride, pad, groups=groups, bias=not normalize)
        ]
        if normalize:
            parts.append(nn.BatchNorm2d(filters, momentum=0.01))
        parts.append(activations[options.get("activation", "logistic")]())
        return nn.Sequential(*parts), filters

    class Translated(nn.Module):
        """The layers in order; routes and shortcuts look back."""

        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList()
            self.widths: list[int] = []
            channels = int(sections[0][1].get("channels", 3))
            for index, (kind, options) in enumerate(sections[1:]):
                part: nn.Module = nn.Identity()
                if kind == "convolutional":
                    part, channels = convolution(options, channels)
                elif kind == "dropout":
                    part = nn.Dropout(float(options.get("probability", 0.5)))
                elif kind == "route":
                    channels = sum(self.widths[i] for i in self.sources(index, options["layers"]))
                elif kind not in ("maxpool", "avgpool", "upsample", "shortcut", *HEADS):
                    sys.exit(f"[{kind}]: not translated to PyTorch")
                self.parts.append(part)
                self.widths.append(channels)

        @staticmethod
        def sources(index: int, text: str) -> list[int]:
            return [i + index if i < 0 else i for i in map(int, text.split(","))]

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            outputs: list[torch.Tensor] = []
            heads = []
            for index, ((kind, options), part) in enumerate(zip(sections[1:], self.parts, strict=True)):
                if kind == "maxpool":
                    size, stride = int(options.get("size", 2)), int(options.get("stride", 1))
                    pad = int(options.get("padding", size - 1))
                    left, right = pad // 2, pad - pad // 2
                    if (x.shape[2] + pad - size) // stride * stride + size > x.shape[2]:
                        x = functional.pad(x, (left, right, left, right), value=float("-inf"))
                    x = functional.max_pool2d(x, size, stride)
                elif kind == "avgpool":
                    x = x.mean((2, 3), keepdim=True)
                elif kind == "upsample":
                    x = functional.interpolate(x, scale_factor=int(options.get("stride", 2)))
                elif kind == "route":
                    x = torch.cat([outputs[i] for i in self.sources(index, options["layers"])], 1)
                elif kind == "shortcut":
                    x = x + outputs[self.sources(index, options["from"])[0]]
                elif kind in HEADS:
                    heads.append(x)
                else:
                    x = part(x)
                outputs.append(x)
            return heads

    return Translated()


def torch_step(cfg: Path, batch: int, threads: int) -> tuple[Callable[[], object], str]:
    """A training step of PyTorch, and a description."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sections = read_cfg(cfg)
    net = sections[0][1]
    shape = (batch, int(net.get("channels", 3)), int(net["height"]), int(net["width"]))
    model = translate(sections).to(memory_format=torch.channels_last).train()
    x = torch.rand(shape).contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
    with torch.no_grad():
        gradients = [torch.randn_like(head) * 1e-3 for head in model(x)]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(model(x), gradients)
        optimizer.step()

    return step, f"PyTorch {torch.__version__}"


# ---- a whole run, pictures and all ----


def draw_set(folder: Path, classifier: int) -> Path:
    """Writes JPEG files of 640 x 480 and what names them; gives the .data file. classifier: its classes."""
    from darknet_py import synth

    lines = []
    for k in range(64):
        picture, corners = synth.scene(k, (640, 480), 6)
        path = folder / f"picture{k}_class{k % max(classifier, 1)}_.jpg"
        picture.save(path, quality=90)
        boxes = [
            (left + right, top + bottom, right - left, bottom - top)
            for _, left, top, right, bottom in corners
        ]
        rows = [f"0 {x / 1280} {y / 960} {w / 640} {h / 480}" for x, y, w, h in boxes]
        path.with_suffix(".txt").write_text("\n".join(rows))
        lines.append(str(path))
    (folder / "list.txt").write_text("\n".join(lines))
    (folder / "labels.txt").write_text("\n".join(f"_class{k}_" for k in range(classifier)))
    labels = "labels = labels.txt\n" if classifier else ""
    (folder / "my.data").write_text(f"train = list.txt\nbackup = {folder}/backup\n{labels}")
    return folder / "my.data"


def measure_loader(cfg: Path, options: argparse.Namespace) -> None:
    """One run as `detector train` or `classifier train` makes it."""
    import darknet_py as dn
    from darknet_py import loaders, training

    loaders.CACHE_BYTES = 0  # as if there were more pictures than memory
    with tempfile.TemporaryDirectory() as scratch:
        text = cfg.read_text().replace("[network]", "[net]", 1)
        changes = f"batch={options.batch}\nsubdivisions=1\nlearning_rate=1e-6\n"
        changes += "hue=.1\nsaturation=1.5\nexposure=1.5\n"
        changed = Path(scratch) / cfg.name  # of a key given twice the first counts
        changed.write_text(text.replace("[net]\n", f"[net]\n{changes}", 1))
        with dn.Network(changed, initialize=False) as net:
            last = net.layers[net.output_layers[-1]]
            classes = 0 if last.head else last.outputs
        train = training.train_classifier if classes else training.train_detector
        steps: list[training.Step] = []
        train(
            draw_set(Path(scratch), classes),
            changed,
            clear=True,
            max_batches=options.runs + 2,
            threads=options.threads,
            quiet=True,
            callbacks=training.Callbacks(step=steps.append),
        )
    counted = steps[2:]  # the first ones warm up
    seconds, waited = sum(step.seconds for step in counted), sum(step.waited for step in counted)
    print(
        f"{cfg.name}, batch {options.batch}, {options.threads} threads, a run of {len(counted)} updates, ",
        end="",
    )
    print(f"JPEG files of 640 x 480: {options.batch * len(counted) / seconds:.2f} images/s, ", end="")
    print(f"{100 * waited / seconds:.2f} % of the time without data")


# ---- both, in turns ----


def serve(side: str, cfg: Path, batch: int, threads: int) -> None:
    """The child: a line in, a step and a line out: its seconds, memory, growth since the imports."""
    if side == "torch":
        import torch  # noqa: F401
    else:
        import darknet_py  # noqa: F401
    imported = peak_memory()
    step, name = (torch_step if side == "torch" else our_step)(cfg, batch, threads)
    print(json.dumps({"name": name}), flush=True)
    for _ in sys.stdin:
        begin, used = time.perf_counter(), time.process_time()
        step()
        report = {"seconds": time.perf_counter() - begin, "processor": time.process_time() - used}
        report["peak"] = peak_memory()
        report["growth"] = report["peak"] - imported
        print(json.dumps(report), flush=True)


def has_torch(python: str) -> bool:
    """Whether that Python can import torch."""
    return subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0


def compare(cfg: Path, options: argparse.Namespace) -> None:
    """Steps of all sides in turns, then their medians."""
    sides = {"darknet_py": sys.executable}
    if has_torch(options.torch):
        sides["torch"] = options.torch
    children = {}
    for side, python in sides.items():
        command = [python, __file__, str(cfg), "--serve", side]
        command += ["--batch", str(options.batch), "--threads", str(options.threads)]
        children[side] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(side: str, send: bool = True) -> dict[str, Any]:
        child = children[side]
        assert child.stdin and child.stdout
        if send:
            child.stdin.write("step\n")
            child.stdin.flush()
        answer = child.stdout.readline()
        if not answer:
            sys.exit(f"{side}: the process has ended")
        return dict(json.loads(answer))

    names = {side: ask(side, send=False)["name"] for side in sides}
    times: dict[str, list[float]] = {side: [] for side in sides}
    processor: dict[str, list[float]] = {side: [] for side in sides}
    last: dict[str, dict[str, Any]] = {}
    for run in range(options.runs + 2):
        for side in sides:
            last[side] = ask(side)
            if run >= 2:  # the first ones warm up
                times[side].append(last[side]["seconds"])
                processor[side].append(last[side]["processor"])
    for child in children.values():
        child.communicate()
    print(f"{cfg.name}, batch {options.batch}, {options.threads} threads, medians of {options.runs} steps")
    speeds = {side: options.batch / statistics.median(values) for side, values in times.items()}
    used = {side: statistics.median(values) / options.batch for side, values in processor.items()}
    for side in sides:
        best = options.batch / min(times[side])
        print(f"  {names[side]:28s} {speeds[side]:7.2f} images/s (best {best:.2f})", end="")
        print(f"  {used[side] * 1e3:.0f} ms of processor time per image", end="")
        print(f"  peak memory {last[side]['peak']:.0f} MiB, {last[side]['growth']:.0f} MiB since imports")
    if "torch" in speeds:
        print(f"  ratio of speeds {speeds['darknet_py'] / speeds['torch']:.2f}", end="")
        print(f"  of processor times {used['torch'] / used['darknet_py']:.2f}", end="")
        print(f"  ratio of memory {last['darknet_py']['growth'] / last['torch']['growth']:.2f} since imports")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cfg", nargs="*", type=Path, default=[REPOSITORY / "cfg" / "yolov3-tiny.cfg"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--loader", action="store_true")
    parser.add_argument("--serve", choices=["darknet_py", "torch"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.cfg[0], options.batch, options.threads)
        return
    print("command:", " ".join(sys.argv))
    print("machine:", machine())
    print("date:   ", datetime.date.today())
    for cfg in options.cfg:
        if options.loader:
            measure_loader(cfg, options)
            continue
        compare(cfg, options)
        program = REPOSITORY / "build" / "release" / "benchmarks" / "train_layers"
        if options.layers:
            arguments = [str(cfg), str(options.threads), str(options.batch), "3", "1"]
            subprocess.run([str(program), *arguments], check=True)


if __name__ == "__main__":
    main()

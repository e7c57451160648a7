"""Planned inference against the layers one by one, per layer, on whole networks.

    python benchmarks/agreement.py [CFG ...] [--sizes own small odd wide] [--exact] [--memory lean]
                                   [--files FOLDER] [--json FILE]

Without CFG: all of cfg/. Each network gets calibrated weights (darknet_py.benching.calibrate) and runs one
random picture at its own size and, where its layers accept others, near a third of it and at two awkward
ones. The difference between what a step of the plan gives and the same layer run unfused is taken relative to
that output's range. It passes from step to step and adds up (`most added` is by how much a step exceeds all
before it), so each convolution, with the sum that its step computes, too, is also run alone, unfused, on what
its step was given, and so are deconvolutions and a softmax of each pixel, which make much of little; by that
they may differ by 1e-4. Other steps may add as much to the worst before them, and heads, after all
layers, differ by 1e-3. The status is 1 if more does. Trees that a cfg names are looked for below --files, or
else the data of DARKNET_SHARED; networks that can't be made are named and left out.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import darknet_py as dn
from darknet_py import benching
from darknet_py.benching.bench import check_json, write_json

Floats = npt.NDArray[np.float32]

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = Path(os.environ.get("DARKNET_SHARED", "/nowhere")) / "real"
LAYERS, HEADS = 1e-4, 1e-3  # of an output's range
SIZES = {"own": (1.0, 1.0), "small": (0.33, 0.33), "odd": (0.71, 0.71), "wide": (0.63, 1.21)}  # down, across
ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {  # of sums
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky": lambda x: np.where(x > 0, x, np.float32(0.1) * x),
}
ALONE = ("convolutional", "deconvolutional", "softmax")  # on maps
NEAR = 64  # pixels, until the grids of all layers fit


class Found(NamedTuple):
    """Of one network at one size: layers compared, the worst of them, the step that exceeds those before it
    by most, the worst of the layers run alone, what other steps add at most, and the worst head."""

    name: str
    width: int
    height: int
    layers: int
    worst: float
    layer: str
    added: float
    alone: int
    worst_alone: float
    added_by_others: float
    heads: float

    @property
    def agrees(self) -> bool:
        return max(self.worst_alone, self.added_by_others) <= LAYERS and self.heads <= HEADS


def sized(cfg: Path, kind: str, **options: Any) -> dn.Network | None:
    """The network at a kind of size; None if its layers accept none near it."""
    with dn.Network(cfg, initialize=False) as net:
        shape, steps = net.input_shape, net.time_steps
    if kind == "own":
        return dn.Network(cfg, batch=1, time_steps=1 if steps > 1 else None, **options)
    if len(shape) < 4 or steps > 1:
        return None
    down, across = (int(side * factor) for side, factor in zip(shape[2:], SIZES[kind], strict=True))
    for more in range(NEAR):
        try:
            return dn.Network(cfg, batch=1, width=across + more, height=down + more, **options)
        except dn.DarknetError:
            continue
    return None


def relative(values: Floats, expected: Floats) -> float:
    """The largest difference, of the expected values' range."""
    spread = float(np.ptp(expected)) or float(np.abs(expected).max()) or 1.0
    difference = float(np.abs(values - expected).max()) / spread
    return difference if np.isfinite(difference) else float("inf")


def unfused(net: dn.Network, section: str, index: int, x: Floats) -> Floats:
    """What layer `index` alone gives for this input."""
    channels, height, width = x.shape
    text = f"[net]\nbatch=1\nchannels={channels}\nheight={height}\nwidth={width}\n{section}"
    with dn.Network.from_string(text, initialize=False) as layer:
        for name, values in net.layers[index].params.items():
            layer.set_param(0, name, values)
        return layer.activations(x[None])[0][-1]


def output_of(net: dn.Network, index: int, planned: dict[int, Floats]) -> Floats | None:
    """What the plan has for a layer: its step's output, or parts of others', which routes are for nothing."""
    layer = net.layers[index]
    if index in planned or layer.type != "route":
        return planned.get(index)
    parts = []
    for text in (layer.option("layers") or "").split(","):
        source = int(text)
        part = output_of(net, index + source if source < 0 else source, planned)
        if part is None:
            return None
        groups = int(layer.number("groups", 1))
        parts.append(np.split(part, groups)[int(layer.number("group_id", 0))])
    if len({part.shape[1:] for part in parts}) > 1:
        parts = [part.ravel() for part in parts]  # vectors, or maps that don't fit
    return np.concatenate(parts)


def layers_alone(cfg: Path, net: dn.Network, x: Floats, planned: dict[int, Floats]) -> dict[int, float]:
    """By how much layers of the types ALONE differ from themselves unfused, given what their steps were
    given; by the layer that the step ends with."""
    sections = re.split(r"(?m)^(?=[ \t]*\[)", cfg.read_text("utf-8"))[2:]  # after a comment and [net]
    found = {}
    for index, layer in enumerate(net.layers):
        after = index + 1
        while after < len(net.layers) and net.layers[after].type == "dropout":
            after += 1
        source = output_of(net, index - 1, planned) if index else x
        if layer.type not in ALONE or source is None or source.ndim != 3:
            continue
        if index in planned:
            found[index] = relative(planned[index], unfused(net, sections[index], index, source))
        elif after in planned and net.layers[after].type == "shortcut":
            shortcut = net.layers[after]
            origin = int(shortcut.number("from", 0))
            residual = output_of(net, after + origin if origin < 0 else origin, planned)
            alone = unfused(net, sections[index], index, source)
            activate = ACTIVATIONS.get(shortcut.option("activation") or "linear")
            if residual is not None and residual.shape == alone.shape and activate:
                found[after] = relative(planned[after], activate(alone + residual))
    return found


def compare(cfg: Path, net: dn.Network) -> Found:
    """Each output that a step of the plan gives against the layer's own."""
    x = np.random.default_rng(0).random((net.time_steps, *net.input_shape[1:]), np.float32)
    with net.session() as session:
        session.keep_steps()
        session.predict(x)
        planned = session.step_outputs()
    kept = net.activations(x)
    alone = layers_alone(cfg, net, x[-1], planned)
    worst, layer, added, others, heads = 0.0, "", 0.0, 0.0, 0.0
    for index, values in planned.items():
        difference = relative(values, kept[index][-1])
        if net.layers[index].head:
            heads = max(heads, difference)
        elif difference >= worst:
            added = max(added, difference - worst)
            if index not in alone:
                others = max(others, difference - worst)
            worst, layer = difference, f"{index} {net.layers[index].type}"
    height, width = net.input_shape[2:] if len(net.input_shape) == 4 else (0, 0)
    worst_alone = max(alone.values(), default=0.0)
    return Found(
        cfg.stem, width, height, len(planned), worst, layer, added, len(alone), worst_alone, others, heads
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cfgs", nargs="*", type=Path, metavar="CFG")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--exact", action="store_true", help="plans without Winograd")
    parser.add_argument("--memory", choices=("fast", "lean"), default="fast")
    parser.add_argument("--files", metavar="FOLDER", type=Path, default=FILES)
    parser.add_argument("--json", metavar="FILE", type=Path)
    options = parser.parse_args()
    cfgs = [cfg.resolve() for cfg in options.cfgs] or sorted(REPOSITORY.glob("cfg/*.cfg"))
    json_file = options.json and options.json.resolve()
    if json_file:
        try:
            check_json(json_file)
        except dn.DarknetError as error:
            sys.exit(str(error))
    if options.files.is_dir():
        os.chdir(options.files)
    rows: list[Found] = []
    print("| network | size | steps compared | most of a range | in layer | most added | alone | in heads |")
    print("|---|---|---|---|---|---|---|---|")
    for cfg in cfgs:
        for kind in options.sizes:
            try:
                net = sized(cfg, kind, exact=options.exact, memory=options.memory)
            except dn.DarknetError as error:
                print(f"{cfg.stem}: left out: {error}", file=sys.stderr)
                break
            if net is None:
                continue
            with net:
                benching.calibrate(net)
                row = compare(cfg, net)
            rows.append(row)
            size = f"{row.width} x {row.height}"
            worst = f"{row.worst:.1e} | {row.layer} | {row.added:.1e}"
            alone = f"{row.worst_alone:.1e} of {row.alone}{'' if row.agrees else ' differs'}"
            print(f"| {row.name} | {size} | {row.layers} | {worst} | {alone} | {row.heads:.1e} |")
            sys.stdout.flush()
    if json_file:
        write_json([row._asdict() for row in rows], json_file)
    return 0 if all(row.agrees for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

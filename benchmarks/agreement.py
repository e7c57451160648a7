"""Planned inference against the layers one by one, per layer, on whole networks.

    python benchmarks/agreement.py [CFG ...] [--sizes own small odd wide] [--exact] [--memory lean]
                                   [--files FOLDER] [--json FILE]

Without CFG: all of cfg/. Each network gets calibrated weights (darknet_py.benching.calibrate) and runs one
random picture at its own size and, where its layers accept others, near a third of it and at two awkward
ones. The difference between what a step of the plan gives and the same layer run unfused is taken relative to
that output's range. It passes from step to step and adds up, so a step may exceed the worst of all before it
by 1e-4; heads may differ by 1e-3. The status is 1 if more does. Trees that a cfg names are looked for below
--files, or else the data of DARKNET_SHARED; networks that can't be made are named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import darknet_py as dn
from darknet_py import benching

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = Path(os.environ.get("DARKNET_SHARED", "/nowhere")) / "real"
LAYERS, HEADS = 1e-4, 1e-3  # of an output's range
SIZES = {"own": (1.0, 1.0), "small": (0.33, 0.33), "odd": (0.71, 0.71), "wide": (0.63, 1.21)}  # down, across
NEAR = 64  # pixels, until the grids of all layers fit


class Found(NamedTuple):
    """Of one network at one size: layers compared, the worst of them, the step that exceeds those before it
    by most, and the worst head."""

    name: str
    width: int
    height: int
    layers: int
    worst: float
    layer: str
    added: float
    heads: float

    @property
    def agrees(self) -> bool:
        return self.added <= LAYERS and self.heads <= HEADS


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


def compare(name: str, net: dn.Network) -> Found:
    """Each output that a step of the plan gives against the layer's own."""
    x = np.random.default_rng(0).random((net.time_steps, *net.input_shape[1:]), np.float32)
    with net.session() as session:
        session.keep_steps()
        session.predict(x)
        planned = session.step_outputs()
    kept = net.activations(x)
    worst, layer, added, heads = 0.0, "", 0.0, 0.0
    for index, values in planned.items():
        expected = kept[index][-1]
        spread = float(np.ptp(expected)) or float(np.abs(expected).max()) or 1.0
        relative = float(np.abs(values - expected).max()) / spread
        if not np.isfinite(relative):
            relative = float("inf")
        if net.layers[index].head:
            heads = max(heads, relative)
        elif relative >= worst:
            added = max(added, relative - worst)
            worst, layer = relative, f"{index} {net.layers[index].type}"
    height, width = net.input_shape[2:] if len(net.input_shape) == 4 else (0, 0)
    return Found(name, width, height, len(planned), worst, layer, added, heads)


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
    if options.files.is_dir():
        os.chdir(options.files)
    rows: list[Found] = []
    print("| network | size | steps compared | most of a range | in layer | most added | in heads |")
    print("|---|---|---|---|---|---|---|")
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
                row = compare(cfg.stem, net)
            rows.append(row)
            size = f"{row.width} x {row.height}"
            worst = f"{row.worst:.1e} | {row.layer} | {row.added:.1e}{'' if row.agrees else ' differs'}"
            print(f"| {row.name} | {size} | {row.layers} | {worst} | {row.heads:.1e} |")
            sys.stdout.flush()
    if json_file:
        json_file.write_text(json.dumps([row._asdict() for row in rows], indent=1), "utf-8")
    return 0 if all(row.agrees for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

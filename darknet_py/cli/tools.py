"""synth, convert, summary, plan: commands around the network files."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .arguments import Parser, add_network, natural, part, positive

if TYPE_CHECKING:
    from ..network import Layer, Network
    from ..session import Footprint

FILTERED = ("convolutional", "deconvolutional", "local")
POOLING = ("maxpool", "local_avgpool")


def configure_synth(parser: Parser) -> None:
    """DIR"""
    parser.add_argument("folder", metavar="DIR", help="where to; made if missing")
    parser.option("train", type=positive, default=2000, metavar="N", help="training pictures (default 2000)")
    parser.option("val", type=natural, default=400, metavar="N", help="validation pictures (default 400)")
    parser.option(
        "size", type=positive, default=160, metavar="N", help="pixels per side, 48 to 4096 (default 160)"
    )
    parser.flag(
        "hierarchy", help="shapes in a word tree; as many pictures again without boxes, for joint training"
    )
    parser.option(
        "seed", type=natural, default=0, metavar="N", help="the same seed draws the same pictures (default 0)"
    )


def run_synth(options: argparse.Namespace) -> int:
    """Prints the path of the .data file."""
    from .. import hierarchy, synth

    generate = hierarchy.generate if options.hierarchy else synth.generate
    print(
        generate(
            options.folder,
            train=options.train,
            val=options.val,
            size=options.size,
            seed=options.seed,
            quiet=options.quiet,
        )
    )
    return 0


def configure_convert(parser: Parser) -> None:
    """SOURCE DIR"""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help=".data file or list, data.yaml, COCO .json, folder of VOC files or of classes; .npz of arrays, "
        "or .zip with train/CLASS/ and test/CLASS/",
    )
    parser.add_argument("folder", metavar="DIR", help="where to; must be new or empty")
    formats = ("darknet", "yolo", "coco", "voc", "folders")
    parser.option("to", choices=formats, default="darknet", help="format of the result (default darknet)")
    parser.option("from", dest="source_format", choices=formats, help="format of SOURCE, if it can't be told")
    parser.option("names", metavar="FILE", help="names of the classes, instead of the source's")
    parser.option("image_folder", metavar="DIR", help="where the pictures of COCO and VOC files lie")
    parser.option(
        "images",
        choices=("link", "copy", "reference"),
        help="symbolic links, copies, or only names (default: link; for COCO and VOC reference)",
    )
    parser.option(
        "verify",
        choices=("full", "header"),
        default="full",
        help="decode every picture (default), or look at its size only",
    )
    parser.option(
        "most_bad",
        type=part,
        default=0.1,
        metavar="P",
        help="part of pictures, label files and annotations that may be wrong (default .1)",
    )
    parser.option(
        "valid",
        type=part,
        default=0,
        metavar="P",
        help="part of the training pictures to draw for validation, if the set has no such list (default 0)",
    )


def run_convert(options: argparse.Namespace) -> int:
    """Prints the path to go on with, and on standard error what was read, skipped and lost."""
    from .. import convert, datasets
    from ..errors import ArgumentError
    from ..names import read_names

    if options.source.lower().endswith((".npz", ".zip")):
        if options.to != "darknet":
            raise ArgumentError("an .npz or .zip becomes a Darknet set; convert that one further")
        if options.valid:
            raise ArgumentError("an .npz or .zip has a split of its own: leave out -valid")
        print(convert.convert(options.source, options.folder, quiet=options.quiet))
        return 0
    made = datasets.convert(
        options.source,
        options.folder,
        to=options.to,
        source_format=options.source_format,
        names=read_names(options.names) if options.names else None,
        image_folder=options.image_folder,
        images=options.images,
        verify=options.verify,
        most_bad=options.most_bad,
        valid=options.valid,
    )
    if not options.quiet:
        for line in made.report.lines():
            print(line, file=sys.stderr)
    print(made.path)
    return 0


# ---- summary and plan ------------------------------------------------------------------------------


def configure_summary(parser: Parser) -> None:
    """CFG"""
    _add_cfg(parser)
    parser.flag("json", help="print one JSON document and nothing else")


def run_summary(options: argparse.Namespace) -> int:
    """Prints a row per layer, and totals."""
    with _network(options, initialize=False) as net:
        rows = summary(net)
        totals: dict[str, Any] = {
            "layers": len(rows),
            "parameters": sum(row["parameters"] for row in rows),
            "mflop": sum(row["mflop"] for row in rows),
            "weights_bytes": net.weights_bytes,
            "bytes": sum(row["bytes"] for row in rows),
            "memory": memory_of(options),
        }
        if options.json:
            shape = list(net.input_shape[1:])
            print(json.dumps({"input": shape, "layers": rows, "total": totals}, indent=1))
            return 0
    print(
        f"{'layer':>5} {'type':<16} {'filters':>9} {'size/str':>8} {'input':>18}    {'output':>18} ", end=""
    )
    print(f"{'parameters':>11} {'MFLOP':>10} {'KiB':>9}")
    for row in rows:
        source = f"of {row['from']}" if row["from"] else _dimensions(row["input"])
        print(
            f"{row['index']:>5} {row['type']:<16} {_filters(row):>9} {row['size'] or '':>8} "
            f"{source:>18} -> {_dimensions(row['output']):>18} {row['parameters']:>11,} "
            f"{row['mflop']:>10.3f} {row['bytes'] / 1024:>9.1f}"
        )
    print(
        f"total: {totals['layers']} layers, {totals['parameters']:,} parameters, "
        f"weights file of {totals['weights_bytes']:,} bytes, {totals['mflop'] / 1000:,.3f} GFLOP, "
        f"{totals['bytes'] / 2**20:.2f} MiB of outputs"
    )
    for kind, one in totals["memory"].items():
        print(_memory_line(kind, one))
    return 0


def memory_of(options: argparse.Namespace, kinds: Sequence[str] = ("fast", "lean")) -> dict[str, Any]:
    """By kind of plan, bytes that a process will have in memory at most in its first detection."""
    from ..inspection import memory

    found = {}
    for kind in kinds:
        with _network(options, initialize=False, memory=kind) as net:
            one = memory(net, options.threads)
        found[kind] = {"peak": one.peak, "python": one.python, **_parts(one.footprint)}
    return found


def _parts(footprint: Footprint) -> dict[str, int]:
    return {key: value for key, value in footprint._asdict().items() if key != "peak"}


def _memory_line(kind: str, one: dict[str, int]) -> str:
    mib = {key: f"{value / 2**20:.1f}" for key, value in one.items()}
    running = one["activations"] + one["scratch"] + one["outputs"]
    last = f"{running / 2**20:.1f} activations, scratch and outputs"
    if running < one["packing"]:
        last = f"{mib['packing']} while they are packed, later {last}"
    return (
        f"memory={kind}: {one['peak'] / 2**20:.0f} MiB at most for one detection: {mib['python']} Python, "
        f"{mib['weights']} weights as they are, {mib['packed']} packed ones ({mib['plain']} unpacked), {last}"
    )


def summary(net: Network) -> list[dict[str, Any]]:
    """One dictionary per layer: index, type, filters, groups, size, from, input, output, parameters, mflop,
    bytes."""
    before, rows = tuple(net.input_shape[1:]), []
    for layer in net.layers:
        rows.append(
            {
                "index": layer.index,
                "type": layer.type,
                "filters": layer.out_shape[0] if layer.type in FILTERED else None,
                "groups": _groups(layer) if layer.type in FILTERED else None,
                "size": _window(layer),
                "from": _sources(layer),
                "input": list(before),
                "output": list(layer.out_shape),
                "parameters": layer.param_count,
                "mflop": layer.flops / 1e6,
                "bytes": 4 * math.prod(layer.out_shape),
            }
        )
        before = layer.out_shape
    return rows


def _groups(layer: Layer) -> int:
    """As Darknet reads numbers: what follows the digits doesn't count."""
    found = re.match(r"\d+", layer.option("groups") or "")
    return int(found[0]) if found else 1


def _filters(row: dict[str, Any]) -> str:
    """filters, or filters/groups."""
    filters, groups = row["filters"], row["groups"]
    return "" if filters is None else f"{filters}/{groups}" if groups > 1 else str(filters)


def _window(layer: Layer) -> str | None:
    """size/stride; upsample and reorg have a stride only."""
    stride = layer.option("stride")
    if layer.type in FILTERED:
        return f"{layer.option('size') or 1}/{stride or 1}"
    if layer.type in POOLING:
        return f"{layer.option('size') or stride or 1}/{stride or 1}"
    return f"/{stride}" if stride else None


def _sources(layer: Layer) -> str | None:
    """The earlier layers that its cfg names, as absolute indices; a shortcut reads the one before, too."""
    text = layer.option("layers") if layer.type == "route" else layer.option("from")
    if text is None:
        return None
    try:
        given = [int(item) for item in text.split(",") if item]
    except ValueError:
        return text
    return ",".join(str(i if i >= 0 else layer.index + i) for i in given)


def _dimensions(shape: list[int]) -> str:
    return " x ".join(map(str, [*shape[1:], shape[0]]))


def configure_plan(parser: Parser) -> None:
    """CFG"""
    _add_cfg(parser)
    parser.option(
        "memory", choices=("fast", "lean"), default="fast", help="what the plan spends it on (default fast)"
    )


def run_plan(options: argparse.Namespace) -> int:
    """Prints one line per step, then where memory goes."""
    net = _network(options, initialize=False, memory=options.memory)
    with net, net.session(options.threads) as session:
        for line in session.plan():
            print(line)
        steps = session.steps()
    convs = [step for step in steps if step.conv is not None]
    larger = [step for step in convs if step.algorithm.startswith("winograd")]
    extra = sum(step.weight_bytes - step.plain_bytes for step in larger)
    print(
        f"Winograd in {len(larger)} of {len(convs)} convolutions, whose weights take {extra / 2**20:.1f} MiB "
        "more for it"
    )
    print(_memory_line(options.memory, memory_of(options, [options.memory])[options.memory]))
    return 0


def _add_cfg(parser: Parser) -> None:
    add_network(parser, weights="none")
    for side in ("width", "height"):
        parser.option(side, type=positive, metavar="N", help=f"input {side} instead of the cfg's")


def _network(options: argparse.Namespace, **more: Any) -> Network:
    from ..network import Network

    return Network(
        options.cfg,
        width=options.width,
        height=options.height,
        threads=options.threads,
        dialect=options.dialect,
        **more,
    )

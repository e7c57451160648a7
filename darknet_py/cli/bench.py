"""bench: a network's speed on this machine, beside other engines."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .arguments import Parser, add_network, positive


def counts(text: str) -> list[int]:
    """Whole numbers, 1 or more, with commas between them."""
    return [positive(part) for part in text.split(",")]


def configure_bench(parser: Parser) -> None:
    """CFG [WEIGHTS]"""
    parser.description = (
        "Time a network here: medians beside other engines, all in turns and on outputs found to be the "
        "same; the share of what the machine can do; the slowest layers and what bounds them. Without "
        "WEIGHTS, random ones are calibrated."
    )
    add_network(parser, weights="optional")
    parser.option(
        "threads", type=counts, metavar="N[,N...]", help="numbers of processors to try (default: 1, all)"
    )
    parser.option(
        "against",
        metavar="LIST",
        help="engines: onnxruntime, openvino, opencv, ncnn, torch (default: all; none: no other)",
    )
    parser.option(
        "runs", type=positive, default=20, metavar="N", help="turns per engine: a call or a few (default 20)"
    )
    parser.option("width", type=positive, metavar="N", help="of the input, instead of the cfg's")
    parser.option("height", type=positive, metavar="N", help="of the input, instead of the cfg's")
    parser.option("memory", choices=("fast", "lean"), default="fast", help="what plans spend it on")
    parser.option("level", choices=("avx2",), help="hold engines to an older instruction set")
    parser.option("torch-python", metavar="PROGRAM", default=sys.executable, help="a Python that has PyTorch")
    parser.option("json", dest="document", metavar="FILE", help="write all numbers as JSON")


def run_bench(options: argparse.Namespace) -> int:
    """Prints a table per number of threads."""
    from .. import benching
    from ..benching.bench import bench, check_json, header, write_json
    from ..data import keep_inputs
    from ..errors import ArgumentError

    benching.force(options.level)
    engines = list(benching.ENGINES)
    if options.against is not None:
        engines = [name for name in options.against.split(",") if name not in ("", "none")]
    unknown = [name for name in engines if name not in benching.ENGINES]
    if unknown:
        raise ArgumentError(f"no engine {unknown[0]!r}; there are: {', '.join(benching.ENGINES)}")
    if options.threads is None:
        processors = benching.processors()
        options.threads = [1, processors] if processors > 1 else [1]

    def note(text: str) -> None:
        if not options.quiet and sys.stderr.isatty():
            print(f"darknet_py: {text}", file=sys.stderr)

    model = benching.Model(
        Path(options.cfg).stem,
        Path(options.cfg),
        Path(options.weights) if options.weights else None,
        options.width,
        options.height,
        options.dialect,
    )
    # What can't be read or written is told before anything is measured.
    with model.network(model.weights, batch=1, initialize=False) as net:
        for count in options.threads:
            net.session(count).close()
    if options.document:
        keep_inputs([options.document], [path for path in (options.cfg, options.weights) if path])
        check_json(options.document)
    document = header(options.threads)
    document["networks"] = bench(
        [model],
        engines,
        options.threads,
        runs=options.runs,
        memory=options.memory,
        torch_python=options.torch_python,
        level=options.level,
        note=note,
    )
    if options.document:
        write_json(document, options.document)
    return 0

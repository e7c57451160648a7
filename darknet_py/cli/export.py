"""export: a network as an ONNX file."""

from __future__ import annotations

import argparse
import sys

from .arguments import Parser, add_network, natural, positive

MOST_DIFFERENCE = 1e-4  # of an output's range


def configure_export(parser: Parser) -> None:
    """CFG WEIGHTS OUT"""
    add_network(parser)
    parser.add_argument("out", metavar="OUT", help="file to write, .onnx")
    parser.option(
        "batch", type=natural, default=1, metavar="N", help="pictures per call (default 1; 0: any number)"
    )
    parser.option("width", type=positive, metavar="N", help="of the input, instead of the cfg's")
    parser.option("height", type=positive, metavar="N", help="of the input, instead of the cfg's")
    parser.flag("decode", help="boxes and scores instead of the heads' raw outputs")
    parser.flag("verify", help="run both with onnxruntime and report the greatest differences")


def run_export(options: argparse.Namespace) -> int:
    """Gives 1 if -verify finds more than 1e-4 of an output's range."""
    from ..data import keep_inputs
    from ..export import export_onnx, verify
    from ..network import Network

    keep_inputs([options.out], [options.cfg, options.weights])
    with Network(
        options.cfg,
        options.weights,
        threads=options.threads,
        dialect=options.dialect,
        width=options.width,
        height=options.height,
    ) as net:
        export_onnx(net, options.out, batch=options.batch or None, decode=options.decode)
        if not options.quiet:
            print(f"{options.out}: written", file=sys.stderr)
        if not options.verify:
            return 0
        worst = 0.0
        for one in verify(net, options.out):
            relative = one.largest / one.range if one.range else one.largest
            worst = max(worst, relative)
            print(f"{one.output}: differs by at most {one.largest:.3g}, {relative:.2g} of its range")
    return 1 if worst > MOST_DIFFERENCE else 0

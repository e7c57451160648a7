"""diff: two runs compared layer by layer."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from .arguments import Parser, natural

if TYPE_CHECKING:
    from ..diffing import Comparison, Side

SIDE = (
    "A side is FILE[,WEIGHTS][,KEY=VALUE...]: a .cfg, an .npz of activations or an .onnx. Keys of a .cfg: "
    "numerics=default|pjreddie-cpu, dialect=pjreddie|alexeyab, cpu=generic|avx2|avx512|neon, "
    "path=unfused|plan|exact (only unfused shows every layer), layers=N (the first ones). "
    "B may be KEY=VALUE alone: A's files, run so. "
    "Exit status: 0 same, 1 different, 2 error."
)


def positive_number(text: str) -> float:
    """A number, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number, 0 or more, found {text}")
    return value


def configure_diff(parser: Parser) -> None:
    """A [B]"""
    parser.epilog = SIDE
    parser.add_argument("a", metavar="A", help="one side")
    parser.add_argument("b", metavar="B", nargs="?", help="the other; may be left out with -dump")
    parser.option("weights-a", metavar="FILE", help="weights of A")
    parser.option("weights-b", metavar="FILE", help="weights of B")
    parser.option("input", metavar="FILE", help="a picture or an .npy (default: a dump's, else random)")
    parser.option("seed", type=natural, default=0, metavar="N", help="of the random input (default 0)")
    parser.option(
        "rtol", type=positive_number, default=1e-4, metavar="X", help="part of a layer's range (default 1e-4)"
    )
    parser.option("atol", type=positive_number, default=1e-6, metavar="X", help="in values (default 1e-6)")
    parser.option("dump", metavar="FILE.npz", help="write A's input and activations")
    parser.flag("json", help="print one JSON document and nothing else")


def run_diff(options: argparse.Namespace) -> int:
    """Prints a line per layer and a summary."""
    from ..errors import DarknetError

    try:
        return _diff(options)
    except (DarknetError, OSError, MemoryError) as error:
        print(f"darknet_py: {error or type(error).__name__}", file=sys.stderr)
        return 2


def _diff(options: argparse.Namespace) -> int:
    from ..diffing import Side, compare, locate, traces
    from ..errors import ArgumentError

    if options.b is None and not options.dump:
        raise ArgumentError("diff needs two sides, or one and -dump")
    sides = [Side.parse(options.a)]
    if options.weights_a:
        sides[0] = replace(sides[0], weights=options.weights_a)
    if options.b is not None:
        second = Side.parse(options.b, sides[0])
        sides.append(replace(second, weights=options.weights_b) if options.weights_b else second)
    if not options.quiet:
        _mention_random(sides)
    found = traces(sides, input=options.input, seed=options.seed, threads=options.threads)
    if options.dump:
        found[0].save(options.dump)
    if len(found) == 1:
        return 0
    tolerance = {"rtol": options.rtol, "atol": options.atol}
    result = compare(found[0], found[1], **tolerance)
    result = locate(sides, found, result, **tolerance, threads=options.threads)
    if options.json:
        print(json.dumps(result.to_dict(), indent=1))
    else:
        _print(result)
    return 0 if result.same else 1


def _mention_random(sides: list[Side]) -> None:
    bare = [str(side) for side in sides if side.kind == "cfg" and not side.weights]
    if bare:
        print(f"darknet_py: note: random parameters, no weights given: {', '.join(bare)}", file=sys.stderr)


def _print(result: Comparison) -> None:
    from ..diffing import dimensions

    print(f"{'layer':>5} {'type':<16} {'output':>17} {'difference':>11} {'of range':>10}")
    for row in result.rows:
        mark = "  <- first that differs" if row is result.first else "  differs" if row.differs else ""
        note = f"  ({row.note})" if row.note else ""
        print(
            f"{row.index:>5} {row.type:<16} {dimensions(row.shape):>17} "
            f"{row.difference:>11.3g} {row.relative:>10.3g}{mark}{note}"
        )
    print(result.summary())

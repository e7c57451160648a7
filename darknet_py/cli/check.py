"""check: the doctor for a .cfg, the files around it, and the data it is to be trained on."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from .arguments import Parser, natural

if TYPE_CHECKING:
    from ..checking import Report


def configure_check(parser: Parser) -> None:
    """[DATA] [CFG [WEIGHTS]]"""
    parser.usage = (
        f"{parser.prog} DATA [CFG [WEIGHTS]] [OPTIONS]\n       {parser.prog} CFG [WEIGHTS] [OPTIONS]"
    )
    parser.epilog = (
        "One finding per line: FILE:LINE: severity: message; hint. Severities: error (it cannot work), "
        "warning (probably not as meant), note. Exit status: 1 with errors, with -strict also with warnings; "
        "else 0; with -fix that of the corrected cfg. The first file is DATA if it is a folder, ends in "
        ".data, .yaml or .json, has the keys of a .data file or is a list of pictures; else it is CFG."
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="DATA: .data file, data.yaml, COCO's .json, folder (VOC, classes), list of pictures; "
        "CFG: network description; WEIGHTS: its parameters",
    )
    parser.option("dialect", choices=("pjreddie", "alexeyab"), help="order of parameters in the weights file")
    parser.option("names", metavar="FILE", help="class names (default: X.names beside X.cfg, or DATA's)")
    parser.option(
        "data", metavar="FILE", help=".data file, of which only class counts and names are compared"
    )
    parser.option("fix", metavar="CFG", help="with DATA: write a cfg in which what can be is corrected")
    parser.option(
        "images",
        type=natural,
        metavar="N",
        help="pictures of DATA to open, evenly spread (default 10000; all labels are read)",
    )
    parser.flag("shapes", help="print the shape of every layer, as far as it goes")
    parser.flag("strict", help="warnings fail, too")
    parser.flag("json", help="print one JSON document and nothing else")


def run_check(options: argparse.Namespace) -> int:
    """Prints a line per finding; gives the exit status."""
    from ..checking.sources import looks_like_data
    from ..errors import ArgumentError

    files = list(options.files)
    data = files.pop(0) if looks_like_data(files[0]) else None
    if len(files) > 2 or (data and options.data):
        raise ArgumentError("expected DATA CFG WEIGHTS at most, and each of them once")
    if data is None and (options.fix or options.images is not None):
        raise ArgumentError(f"-fix and -images are for DATA, and {files[0]} is read as a cfg")
    if options.fix and not files:
        raise ArgumentError("-fix needs the cfg to correct: DATA CFG")
    cfg, weights = [*files, None, None][:2]
    if data is not None:
        return _check_training(options, data, cfg, weights)
    from ..checking import check_network

    report = check_network(cfg, weights, names=options.names, data=options.data, dialect=options.dialect)
    _print(options, report, cfg)
    return report.status(options.strict)


def _check_training(options: argparse.Namespace, data: str, cfg: str | None, weights: str | None) -> int:
    from ..checking import check_training, repair
    from ..checking.data_set import MOST_OPENED
    from ..data import keep_inputs

    inputs = [path for path in (data, cfg, weights, options.names) if path is not None]
    if options.fix:
        keep_inputs([options.fix], inputs)
    if not (options.quiet or options.json):
        print(f"DATA {data}" + (f", CFG {cfg}" if cfg else ", no CFG"), file=sys.stderr)
    found = check_training(
        data,
        cfg,
        weights,
        names=options.names,
        dialect=options.dialect,
        most_opened=MOST_OPENED if options.images is None else options.images,
        threads=options.threads,
        quiet=options.quiet or options.json,
    )
    if not options.fix:
        _print(options, found.report, data)
        return found.report.status(options.strict)
    changes = repair(found, options.fix, inputs)
    left = check_training(
        data, options.fix, weights, names=options.names, dialect=options.dialect, most_opened=0
    )
    if options.json:
        document = found.report.to_dict()
        document["changes"] = [change.to_dict() for change in changes]
        document["left"] = left.report.to_dict()
        print(json.dumps(document, indent=1))
        return left.report.status(options.strict)
    _print(options, found.report, data)
    for change in changes:
        print(change)
    if not options.quiet:
        print(
            f"{options.fix}: written with {len(changes)} changes; left: {_counts(left.report)}",
            file=sys.stderr,
        )
    return left.report.status(options.strict)


def _counts(report: Report) -> str:
    counts = (("error", len(report.errors)), ("warning", len(report.warnings)))
    return ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts)


def _print(options: argparse.Namespace, report: Report, name: str) -> None:
    if options.json:
        print(json.dumps(report.to_dict(), indent=1))
        return
    if options.shapes:
        _print_shapes(report)
    for finding in report.errors if options.quiet else report:
        print(finding)
    if not options.quiet:
        print(f"{name}: {_counts(report)}", file=sys.stderr)


def _print_shapes(report: Report) -> None:
    broken = False
    for row in report.shapes:
        text = "?" if row.shape is None else " x ".join(map(str, reversed(row.shape)))
        mark = "  <- breaks here" if row.shape is None and not broken else ""
        broken = broken or row.shape is None
        print(f"{row.index:>5} {row.type:<16} {text:>17}  line {row.line}{mark}")

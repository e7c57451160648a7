"""check: the doctor for a .cfg and the files around it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from .arguments import Parser, add_network

if TYPE_CHECKING:
    from ..checking import Report


def configure_check(parser: Parser) -> None:
    """CFG [WEIGHTS]"""
    parser.epilog = (
        "One finding per line: FILE:LINE: severity: message; hint. Severities: error (it cannot work), "
        "warning (probably not as meant), note. Exit status: 1 with errors, with -strict also with warnings; "
        "else 0."
    )
    add_network(parser, weights="optional")
    parser.option("names", metavar="FILE", help="class names (default: X.names beside X.cfg, if there)")
    parser.option("data", metavar="FILE", help=".data file")
    parser.flag("shapes", help="print the shape of every layer, as far as it goes")
    parser.flag("strict", help="warnings fail, too")
    parser.flag("json", help="print one JSON document and nothing else")


def run_check(options: argparse.Namespace) -> int:
    """Prints a line per finding; gives the exit status."""
    from ..checking import check_network

    report = check_network(
        options.cfg, options.weights, names=options.names, data=options.data, dialect=options.dialect
    )
    if options.json:
        print(json.dumps(report.to_dict(), indent=1))
        return report.status(options.strict)
    if options.shapes:
        _print_shapes(report)
    for finding in report.errors if options.quiet else report:
        print(finding)
    if not options.quiet:
        counts = (("error", len(report.errors)), ("warning", len(report.warnings)))
        text = ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts)
        print(f"{options.cfg}: {text}", file=sys.stderr)
    return report.status(options.strict)


def _print_shapes(report: Report) -> None:
    broken = False
    for row in report.shapes:
        text = "?" if row.shape is None else " x ".join(map(str, reversed(row.shape)))
        mark = "  <- breaks here" if row.shape is None and not broken else ""
        broken = broken or row.shape is None
        print(f"{row.index:>5} {row.type:<16} {text:>17}  line {row.line}{mark}")

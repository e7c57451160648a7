"""detector calc_anchors: anchors for the boxes of a data set, as files and in a new .cfg."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .arguments import Parser, add_list, listed_images, natural, positive

DEFAULT_CLUSTERS, DEFAULT_SIDE = 9, 416


def configure_calc(parser: Parser) -> None:
    """DATA"""
    parser.add_argument("data", metavar="DATA", help=".data file: classes, train")
    parser.option(
        "num_of_clusters",
        type=positive,
        metavar="N",
        help=f"how many anchors (default {DEFAULT_CLUSTERS}; with -from as many as it has)",
    )
    for side in ("width", "height"):
        parser.option(
            side,
            type=positive,
            metavar="N",
            help=f"the network's {side}, or its grid's for [region] (default {DEFAULT_SIDE}; with -from its)",
        )
    parser.option("seed", type=natural, default=0, metavar="N", help="of the boxes to begin with (default 0)")
    parser.option(
        "restarts",
        type=positive,
        default=5,
        metavar="N",
        help="beginnings, the best of which counts (default 5)",
    )
    parser.flag("sweep", help="print the average IoU of 1 to 15 anchors, too")
    parser.option("from", dest="source", metavar="CFG", help="a .cfg to take sizes and heads from")
    parser.option("write", metavar="CFG", help="write the .cfg of -from with these anchors")
    add_list(parser, "train")
    parser.flag("json", help="print one JSON document and nothing else")


def run_calc(options: argparse.Namespace) -> int:
    """Writes anchors.txt, counters_per_class.txt and the new .cfg, and prints what they say."""
    from ..anchor_cfg import write_anchor_cfg
    from ..anchors import box_sizes, fit_anchors, sweep_clusters, write_anchors
    from ..sources import open_data

    clusters, width, height = _frame(options)
    info = open_data(options.data)
    images = listed_images(options, info, "train")
    if not options.quiet:
        print(f"num_of_clusters = {clusters}, width = {width}, height = {height}", file=sys.stderr)
    sizes, counts = box_sizes(images, info.classes)
    found = fit_anchors(sizes, counts, clusters, width, height, options.seed, options.restarts)
    sweep = []
    if options.sweep:
        sweep = sweep_clusters(sizes * (width, height), seed=options.seed, restarts=options.restarts)
    write_anchors(found, "anchors.txt", "counters_per_class.txt")
    masks = write_anchor_cfg(options.source, options.write, found.anchors) if options.write else []
    if options.json:
        document: dict[str, Any] = {
            "anchors": found.anchors.round(4).tolist(),
            "average_iou": found.average_iou,
            "counters_per_class": found.counts,
            "boxes": found.boxes,
            "iterations": found.iterations,
        }
        if sweep:
            document["sweep"] = [{"anchors": k, "average_iou": overlap} for k, overlap in sweep]
        if masks:
            document.update(cfg=options.write, masks=masks)
        print(json.dumps(document, indent=1))
        return 0
    if not options.quiet:
        print(
            f"loaded {len(images)} images, {found.boxes} boxes; iterations = {found.iterations}",
            file=sys.stderr,
        )
    print(found.counters())
    print(f"avg IoU = {100 * found.average_iou:2.2f} %")
    print(f"anchors = {found.text()}")
    for k, overlap in sweep:
        print(f"{k:2d} anchors: avg IoU = {100 * overlap:2.2f} %")
    for mask in masks:
        print(f"{options.write}: mask = {','.join(map(str, mask))}")
    return 0


def _frame(options: argparse.Namespace) -> tuple[int, int, int]:
    """How many anchors, and the width and height they are for."""
    from ..anchor_cfg import anchor_frame
    from ..errors import ArgumentError

    if options.write and not options.source:
        raise ArgumentError("-write needs -from CFG, the file whose anchors change")
    if not options.source:
        return (
            options.num_of_clusters or DEFAULT_CLUSTERS,
            options.width or DEFAULT_SIDE,
            options.height or DEFAULT_SIDE,
        )
    if options.width or options.height:
        raise ArgumentError("-from says width and height; leave -width and -height out")
    frame = anchor_frame(options.source)
    return options.num_of_clusters or frame.num, frame.width, frame.height

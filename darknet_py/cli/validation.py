"""detector valid, valid2, recall: figures and files of a whole image list. yolo.py shares
them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..json_text import json_text
from .arguments import (
    Parser,
    add_fit,
    add_list,
    add_network,
    add_overlap,
    fit_of,
    listed_images,
    load_network,
    part,
)
from .measures import Measures, add_measures, difficult_list


def configure_validation(
    parser: Parser, thresh: float = 0.005, nms: float = 0.45, fit: str | None = None
) -> None:
    """DATA CFG WEIGHTS; and what thresholds and preprocessing are by default."""
    add_network(parser, data=True)
    parser.option("out", metavar="NAME", help="name, or beginning of the names, of the result files")
    parser.option(
        "thresh", type=part, default=thresh, metavar="P", help=f"least confidence (default {thresh:g})"
    )
    parser.option(
        "nms", type=part, default=nms, metavar="IOU", help=f"overlap that suppresses (default {nms:g})"
    )
    add_fit(parser, fit)
    add_measures(parser)
    add_list(parser)
    parser.flag("json", help="print one JSON document and nothing else")


def validate(options: argparse.Namespace, **settings: Any) -> int:
    """Prints the paths of the files written; settings: for validate_detector, instead of the .data file's."""
    from ..evaluation import head_classes, tell_classes
    from ..sources import open_data
    from ..validation import validate_detector, validation_settings

    info = open_data(options.data)
    images = listed_images(options, info)

    def count(index: int) -> None:
        if index % 4 == 0 and not options.quiet:
            print(index + 4, file=sys.stderr)

    hard = difficult_list(options, info, len(images))
    measures = Measures(options)
    # Behind a class map the names are not those of the network's own classes.
    with load_network(options, None if info.get("map") else info.names) as net:
        tell_classes(net, info)
        chosen = {**validation_settings(net, info), **settings}
        class_map = chosen["class_map"]
        if measures.wanted:
            measures.read_labels(net, images, hard, class_map)
        result = validate_detector(
            net,
            images,
            out=options.out,
            thresh=options.thresh,
            nms=options.nms,
            preprocess=fit_of(options),
            on_image=count,
            on_found=measures.found if measures.wanted else None,
            **chosen,
        )
        classes = head_classes(net) if class_map is None else len(class_map)
        report = measures.report(chosen["names"] or net.names, classes)
    if options.json:
        document = {
            "files": [*result.files],
            "images": result.images,
            "detections": result.detections,
            "seconds": round(result.seconds, 6),
            "unreadable": result.unreadable,
        }
        if report:
            document["metrics"] = report.to_dict()
        print(json_text(document, indent=1))
    else:
        for path in result.files:
            print(path)
        if report:
            print("\n".join(["", *report.lines()]))
    if not options.quiet:
        print(f"Total Detection Time: {result.seconds:f} Seconds", file=sys.stderr)
    return 1 if result.unreadable else 0


def configure_valid(parser: Parser) -> None:
    """DATA CFG WEIGHTS"""
    configure_validation(parser)


def run_valid(options: argparse.Namespace) -> int:
    """Writes files as the eval of the .data file says; unreadable images make the status 1."""
    return validate(options)


def configure_valid2(parser: Parser) -> None:
    """DATA CFG WEIGHTS"""
    configure_validation(parser)


def run_valid2(options: argparse.Namespace) -> int:
    """valid, on the mean of each picture and its mirror image."""
    return validate(options, mirrored=True)


def configure_recall(parser: Parser) -> None:
    """DATA CFG WEIGHTS"""
    add_network(parser, data=True)
    parser.option("thresh", type=part, default=0.001, metavar="P", help="least objectness (default .001)")
    add_overlap(parser)
    parser.option(
        "nms", type=part, default=0.4, metavar="IOU", help="overlap that suppresses (default .4; 0: none)"
    )
    add_fit(parser, "stretch")
    add_list(parser)
    parser.flag("json", help="print one JSON document and nothing else")


def run_recall(options: argparse.Namespace) -> int:
    """A line per image on standard error, the figures of all on standard output."""
    from ..evaluation import Recall, evaluate_recall, tell_classes
    from ..sources import open_data

    info = open_data(options.data)
    images = listed_images(options, info)

    def report(index: int, so_far: Recall) -> None:
        if not options.quiet:
            print(so_far.line(index), file=sys.stderr)

    with load_network(options, info.names) as net:
        tell_classes(net, info)
        result = evaluate_recall(
            net,
            images,
            thresh=options.thresh,
            iou=options.iou_thresh,
            nms=options.nms,
            preprocess=fit_of(options) or "stretch",
            on_image=report,
        )
    if options.json:
        document = {
            "images": result.images,
            "correct": result.correct,
            "total": result.total,
            "recall": result.recall if result.total else None,
            "average_iou": result.average_iou if result.total else None,
            "proposals_per_image": result.proposals_per_image,
            "unreadable": result.unreadable,
        }
        print(json_text(document, indent=1))
    else:
        print(result.line(len(images) - 1))
    return 1 if result.unreadable else 0

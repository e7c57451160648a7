"""detector test, train, map: the commands of a detector with a .data file; those that write are in
validation.py."""

from __future__ import annotations

import argparse
from typing import Any

from ..json_text import json_text
from .arguments import (
    Parser,
    add_fit,
    add_list,
    add_network,
    add_overlap,
    add_tree,
    fit_of,
    listed_images,
    load_network,
    natural,
    part,
    positive,
)
from .detect import configure_output, detect
from .measures import Measures, add_measures, difficult_list


def configure_test(parser: Parser) -> None:
    """DATA CFG WEIGHTS IMAGE..."""
    add_network(parser, data=True)
    configure_output(parser)


def run_test(options: argparse.Namespace) -> int:
    """detect, with the names of the .data file."""
    from ..sources import open_data

    return detect(options, options.names or open_data(options.data).names)


def configure_run(parser: Parser, backup: str) -> None:
    """What all training runs have in common. backup: where checkpoints go by default."""
    parser.flag("clear", help="count images from 0, whatever the weights have seen")
    parser.flag("resume", help="go on from NAME_last.state in the backup folder")
    parser.flag("partial", help="accept weights that go on after the last layer")
    parser.option(
        "max_batches",
        type=natural,
        metavar="N",
        help="updates to make, instead of the cfg's (0: until interrupted)",
    )
    parser.option("backup", metavar="FOLDER", help=f"for checkpoints ({backup})")
    parser.option(
        "save_every",
        type=positive,
        metavar="N",
        help="updates between NAME_N.weights (default 1000 or 10000)",
    )
    parser.option(
        "last_every", type=positive, default=100, metavar="N", help="updates between NAME_last (default 100)"
    )
    parser.flag("skip_bad", help="leave out updates that are not finite, and go on")
    parser.option("seed", type=natural, default=0, metavar="N", help="of all random choices (default 0)")
    parser.flag("plot", help="draw NAME_charts.png with every checkpoint (needs matplotlib)")
    parser.option(
        "log_every", type=positive, metavar="N", help="updates between lines (default 10; none on a terminal)"
    )
    parser.option("csv", metavar="FILE", help="write a line per update to this file, too")


def run_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """The options of configure_run as fields of RunOptions."""
    keys = (
        "clear",
        "resume",
        "partial",
        "dialect",
        "max_batches",
        "backup",
        "save_every",
        "last_every",
        "skip_bad",
        "seed",
        "plot",
        "log_every",
        "csv",
        "threads",
        "quiet",
    )
    return {key: getattr(options, key) for key in keys}


def add_scoring(parser: Parser, every: str) -> None:
    """How often a run is scored, and when it gives up. every: the default in words."""
    parser.option(
        "map_every", "valid_every", type=positive, metavar="N", help=f"updates between evaluations ({every})"
    )
    parser.option(
        "patience",
        type=positive,
        default=0,
        metavar="N",
        help="stop after N evaluations without a better score",
    )


def configure_training(parser: Parser, score: str) -> None:
    """What training a detector and a classifier have in common."""
    add_network(parser, data=True, weights="optional")
    configure_run(parser, "instead of the .data file's")
    parser.flag("no_check", help="begin without looking for mistakes in DATA and CFG (see: check)")
    parser.flag("map", "score", help=f"evaluate on the valid list ({score}), and keep NAME_best.weights")
    add_scoring(parser, "default some epochs")
    parser.option(
        "most_bad",
        type=part,
        default=0.1,
        metavar="P",
        help="part of pictures, label files and labels that may be wrong and are left out (default .1)",
    )
    parser.option(
        "workers", type=positive, default=2, metavar="N", help="threads that prepare pictures (default 2)"
    )


def training_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """The options of configure_training as fields of RunOptions."""
    return {
        **run_arguments(options),
        "check": not options.no_check,
        "score": bool(options.map or options.map_every or options.patience),
        "score_every": options.map_every,
        "patience": options.patience,
        "workers": options.workers,
        "most_bad": options.most_bad,
    }


def configure_train(parser: Parser) -> None:
    """DATA CFG [WEIGHTS]"""
    configure_training(parser, "mAP")
    add_overlap(parser, "overlap that counts for the mAP")


def run_train(options: argparse.Namespace, save_early: int | None = None) -> int:
    """Gives 130 when interrupted."""
    from ..training import train_detector

    result = train_detector(
        options.data,
        options.cfg,
        options.weights,
        iou=options.iou_thresh,
        save_early=save_early,
        **training_arguments(options),
    )
    return 130 if result.interrupted else 0


def configure_map(parser: Parser) -> None:
    """DATA CFG WEIGHTS"""
    add_network(parser, data=True)
    parser.option(
        "thresh",
        type=part,
        default=0.25,
        metavar="P",
        help="confidence for precision and recall (default .25)",
    )
    add_overlap(parser)
    parser.option(
        "points",
        type=int,
        choices=(0, 11, 101),
        default=0,
        help="0: area under the curve; 11 or 101 points of it",
    )
    add_fit(parser)
    add_tree(parser)
    add_measures(parser)
    add_list(parser)
    parser.flag("json", help="print one JSON document and nothing else")


def run_map(options: argparse.Namespace) -> int:
    """Prints the lines of `detector map`; unreadable images are left out and make the status 1."""
    from ..data import labels_of
    from ..evaluation import class_map_of, evaluate_detector, label_classes, tell_classes
    from ..sources import open_data

    info = open_data(options.data)
    images = listed_images(options, info)
    hard = difficult_list(options, info, len(images))
    measures = Measures(options)
    with load_network(options, info.names or None) as net:
        tell_classes(net, info)
        class_map = class_map_of(net, info)
        result = evaluate_detector(
            net,
            images,
            iou=options.iou_thresh,
            points=options.points,
            thresh=options.thresh,
            preprocess=fit_of(options),
            class_map=class_map,
            hier=options.hier,
            hier_rule=options.hier_rule,
            difficult=None if hard is None else labels_of(hard, label_classes(net)),
            on_found=measures.add if measures.wanted else None,
            quiet=options.quiet,
        )
        names = net.names
        if names and class_map:
            names = [names[node] for node in class_map]
        report = measures.report(names, len(result.classes), options.iou_thresh, options.thresh)
    if options.json:
        document = result.to_dict(names)
        if report:
            document["metrics"] = report.to_dict()
        print(json_text(document, indent=1))
    else:
        print("\n".join([*result.lines(names), *(["", *report.lines()] if report else [])]))
    return 1 if result.unreadable else 0

"""classify, and classifier predict, train, valid."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from .arguments import Parser, add_images, add_network, image_paths, load_network, positive
from .detector import configure_training, training_arguments


def _configure_prediction(parser: Parser) -> None:
    parser.option("t", "top", type=positive, default=None, metavar="N", help="how many classes (default 5)")
    parser.flag("json", help="print one JSON document and nothing else")
    _configure_fit(parser)


def _configure_fit(parser: Parser) -> None:
    parser.option(
        "preprocess",
        choices=("crop", "letterbox", "stretch"),
        default="crop",
        help="how pictures are fitted (default crop)",
    )


def configure_classify(parser: Parser) -> None:
    """CFG WEIGHTS IMAGE..."""
    add_network(parser)
    add_images(parser)
    parser.option("names", metavar="FILE", help="class names, one per line")
    _configure_prediction(parser)


def run_classify(options: argparse.Namespace) -> int:
    """Gives 1 if any picture failed."""
    return _predict(options, options.names, options.t or 5)


def configure_predict(parser: Parser) -> None:
    """DATA CFG WEIGHTS IMAGE..."""
    add_network(parser, data=True)
    add_images(parser)
    _configure_prediction(parser)


def run_predict(options: argparse.Namespace) -> int:
    """classify, with the names of the .data file."""
    from ..data import DataFile

    info = DataFile(options.data)
    return _predict(options, info.names, options.t or info.integer("top", 5))


def _predict(options: argparse.Namespace, names: Sequence[str] | str | None, top: int) -> int:
    from ..errors import ImageError

    documents: list[dict[str, Any]] = []
    failed = 0
    with load_network(options, names) as net:
        for path in image_paths(options):
            started = time.perf_counter()
            try:
                best = net.classify(path, top, options.preprocess)
            except ImageError as error:
                failed += 1
                documents.append({"image": path, "error": str(error)})
                print(f"darknet_py: {error}", file=sys.stderr)
                continue
            seconds = time.perf_counter() - started
            if options.json:
                classes = [{"name": name, "probability": probability} for name, probability in best]
                documents.append({"image": path, "seconds": round(seconds, 6), "classes": classes})
                continue
            if not options.quiet:
                print(f"{path}: Predicted in {seconds:f} seconds.", file=sys.stderr)
            for name, probability in best:
                print(f"{100 * probability:5.2f}%: {name}")
            sys.stdout.flush()
    if options.json:
        print(json.dumps(documents, ensure_ascii=False, indent=1))
    return 1 if failed else 0


def configure_train(parser: Parser) -> None:
    """DATA CFG [WEIGHTS]"""
    configure_training(parser, "top-1 accuracy")


def run_train(options: argparse.Namespace) -> int:
    """Gives 130 when interrupted."""
    from ..training import train_classifier

    result = train_classifier(options.data, options.cfg, options.weights, **training_arguments(options))
    return 130 if result.interrupted else 0


def configure_valid(parser: Parser) -> None:
    """DATA CFG WEIGHTS"""
    add_network(parser, data=True)
    _configure_prediction(parser)


def run_valid(options: argparse.Namespace) -> int:
    """Prints top-1 and top-k accuracy; unreadable images are left out and make the status 1."""
    from ..data import DataFile
    from ..evaluation import evaluate_classifier

    info = DataFile(options.data)
    with load_network(options, info.names) as net:
        result = evaluate_classifier(
            net,
            info.images("valid"),
            info.labels,
            top=options.t or info.integer("top", 5),
            preprocess=options.preprocess,
            quiet=options.quiet,
        )
    if options.json:
        document = {"images": result.images, "top1": result.top1, "k": result.k, "topk": result.topk}
        print(json.dumps({**document, "unreadable": list(result.unreadable)}, ensure_ascii=False, indent=1))
    else:
        print(f"{result.images}: top 1: {result.top1:f}, top {result.k}: {result.topk:f}")
    return 1 if result.unreadable else 0

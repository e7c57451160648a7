"""classify, and classifier predict, try, train. Those that take image lists are in classifier_valid.py."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from ..json_text import json_text
from .arguments import Parser, add_images, add_network, image_paths, load_network, natural, positive
from .detector import configure_training, training_arguments

if TYPE_CHECKING:
    from ..data import DataFile
    from ..network import Network

#: Red, green and blue of ImageNet's pictures, 0..1.
IMAGENET_MEAN = (0.48263312, 0.45230225, 0.40099074)
IMAGENET_DEVIATION = (0.22590347, 0.22120921, 0.22103996)


def configure_prediction(parser: Parser, usual: str = "`top` of DATA, else 1") -> None:
    """How many classes, how pictures are fitted, and how it is all told."""
    parser.option("t", "top", type=positive, metavar="N", help=f"how many classes (default {usual})")
    parser.flag("json", help="print one JSON document and nothing else")
    configure_fit(parser)


def configure_fit(parser: Parser) -> None:
    """How pictures are fitted to the network."""
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
    configure_prediction(parser, "5")


def run_classify(options: argparse.Namespace) -> int:
    """Gives 1 if any picture failed."""
    with load_network(options, options.names) as net:
        return _predict(options, net, options.t or 5)


def configure_predict(parser: Parser) -> None:
    """DATA CFG WEIGHTS IMAGE..."""
    add_network(parser, data=True)
    add_images(parser)
    configure_prediction(parser)


def open_classifier(options: argparse.Namespace, info: DataFile, quiet: bool = False) -> Network:
    """The network with the names, and the `tree` and `leaves`, of the .data file."""
    from ..boxes import WordTree
    from ..errors import DataError
    from ..names import read_names

    net = load_network(options, info.names)
    net._refuse_heads()
    if net.tree is None and info.get("tree"):
        net.tree = WordTree(info.file("tree"))
    if info.get("leaves"):
        if net.tree is None:
            raise DataError(f"{info.path}: leaves: neither the network nor this file has a tree")
        count = net.tree.restrict(read_names(info.file("leaves")))
        if not quiet:
            print(f"Found {count} leaves.", file=sys.stderr)
    return net


def run_predict(options: argparse.Namespace) -> int:
    """classify, with the names of the .data file."""
    from ..sources import open_data

    info = open_data(options.data)
    with open_classifier(options, info, options.quiet) as net:
        return _predict(options, net, options.t or info.top)


def _predict(options: argparse.Namespace, net: Network, top: int) -> int:
    from ..errors import ImageError

    documents: list[dict[str, Any]] = []
    failed = 0
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
        print(json_text(documents, indent=1))
    return 1 if failed else 0


def configure_try(parser: Parser) -> None:
    """DATA CFG WEIGHTS IMAGE [LAYER]"""
    add_network(parser, data=True)
    parser.add_argument("image", metavar="IMAGE", help="a picture")
    parser.add_argument(
        "layer", metavar="LAYER", nargs="?", type=natural, help="also print the outputs of this layer"
    )
    configure_prediction(parser)


def run_try(options: argparse.Namespace) -> int:
    """predict for networks that were trained on normalised colours."""
    import numpy as np

    from .. import images
    from ..classification import rank
    from ..session import prepare
    from ..sources import open_data
    from ..sweep import CLASSIFIER_FITS

    info = open_data(options.data)
    with open_classifier(options, info, options.quiet) as net:
        if options.layer is not None:
            net._layer_index(options.layer)
        x = prepare(net, images.read(options.image), options.preprocess, CLASSIFIER_FITS)
        x = (x - np.array(IMAGENET_MEAN)[:, None, None]) / np.array(IMAGENET_DEVIATION)[:, None, None]
        scores = net.scores(x.astype(np.float32))[0]
        values = None if options.layer is None else net.activations(x.astype(np.float32))[options.layer][0]
        best = rank(scores, options.t or info.top)
        names = {k: net._labels[k] for k in best}
    if options.json:
        classes = [{"name": names[k], "probability": float(scores[k])} for k in best]
        document = {"image": options.image, "classes": classes}
        if values is not None:
            document["layer"] = values.ravel().tolist()
        print(json_text(document, indent=1))
        return 0
    if values is not None:
        print("\n".join(f"{value:f}" for value in values.ravel()))
    print("\n".join(f"{names[k]}: {scores[k]:f}" for k in best))
    return 0


def configure_train(parser: Parser) -> None:
    """DATA CFG [WEIGHTS]"""
    configure_training(parser, "top-1 accuracy")


def run_train(options: argparse.Namespace) -> int:
    """Gives 130 when interrupted."""
    from ..training import train_classifier

    result = train_classifier(options.data, options.cfg, options.weights, **training_arguments(options))
    return 130 if result.interrupted else 0

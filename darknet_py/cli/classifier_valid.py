"""classifier valid and its relatives: accuracy on labelled pictures, and the scores of a list as text."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..json_text import json_text
from .arguments import Parser, add_list, add_network, listed_images, load_network, positive
from .classifier import configure_fit, configure_prediction, open_classifier

if TYPE_CHECKING:
    import numpy as np

    from ..classification import Accuracy
    from ..data import DataFile
    from ..network import Network

CHUNK = 1000  # images of a line of validcrop


def configure_valid(parser: Parser) -> None:
    """DATA CFG WEIGHTS"""
    add_network(parser, data=True)
    configure_prediction(parser)
    add_list(parser)


def _configure_views(parser: Parser) -> None:
    add_network(parser, data=True)
    parser.option(
        "t", "top", type=positive, metavar="N", help="how many classes (default `top` of DATA, else 1)"
    )
    parser.flag("json", help="print one JSON document and nothing else")
    add_list(parser)


configure_valid10 = configure_validmulti = configure_validfull = configure_validcrop = _configure_views


class _Run:
    """What the validation commands have in common: the .data file, its images and labels, and the end."""

    def __init__(self, options: argparse.Namespace) -> None:
        from ..sources import open_data

        self.options = options
        self.info = open_data(options.data)
        self.images = listed_images(options, self.info)
        self.top = options.t or self.info.top

    def arguments(self) -> dict[str, Any]:
        """For evaluate_classifier and evaluate_resized."""
        return {"top": self.top, "on_image": self.report, "quiet": self.options.quiet}

    def report(self, index: int, class_id: int, scores: np.ndarray, so_far: Accuracy) -> None:
        """A line per image, as the reference prints it."""
        if not self.options.json:
            print(so_far.line(index))

    def end(self, result: Accuracy) -> int:
        """The document of --json; unreadable images make the status 1."""
        if self.options.json:
            figures = {"images": result.images, "top1": result.top1, "k": result.k, "topk": result.topk}
            document = {**figures, "unreadable": list(result.unreadable)}
            print(json_text(document, indent=1))
        return 1 if result.unreadable else 0

    def resized(self, views: Callable[[Network], Any]) -> int:
        """The end, for views of any size."""
        from ..classification import evaluate_resized

        with open_classifier(self.options, self.info, self.options.quiet) as net:

            def resized(width: int, height: int) -> Network:
                other = load_network(self.options, net.names, size=(width, height))
                other.tree = net.tree
                return other

            labels, arguments = self.info.labels, self.arguments()
            result = evaluate_resized(net, resized, self.images, labels, views(net), **arguments)
        return self.end(result)


def run_valid(options: argparse.Namespace) -> int:
    """Two lines per image: path, class and the scores of the first two classes; accuracy so far."""
    from ..classification import evaluate_classifier

    run = _Run(options)

    def report(index: int, class_id: int, scores: np.ndarray, so_far: Accuracy) -> None:
        if not options.json:
            print(f"{run.images[index]}, {class_id}, " + "".join(f"{score:f}, " for score in scores[:2]))
        run.report(index, class_id, scores, so_far)

    with open_classifier(options, run.info, options.quiet) as net:
        arguments = {**run.arguments(), "on_image": report}
        result = evaluate_classifier(
            net, run.images, run.info.labels, preprocess=options.preprocess, **arguments
        )
    return run.end(result)


def run_valid10(options: argparse.Namespace) -> int:
    """The mean of ten crops."""
    from ..classification import evaluate_classifier, ten_views

    run = _Run(options)
    with open_classifier(options, run.info, options.quiet) as net:
        result = evaluate_classifier(
            net, run.images, run.info.labels, preprocess=ten_views(net), **run.arguments()
        )
    return run.end(result)


def run_validfull(options: argparse.Namespace) -> int:
    """The whole picture, its shorter side as wide as the network."""
    from ..classification import full_view

    return _Run(options).resized(lambda net: full_view(net.input_shape[3]))


def run_validmulti(options: argparse.Namespace) -> int:
    """The mean of four sizes of the whole picture and their mirror images."""
    from ..classification import scaled_views

    return _Run(options).resized(lambda net: scaled_views())


def run_validcrop(options: argparse.Namespace) -> int:
    """Stretched pictures; a line per thousand."""
    from ..classification import evaluate_classifier

    run, started = _Run(options), time.perf_counter()

    def report(index: int, class_id: int, scores: np.ndarray, so_far: Accuracy) -> None:
        if not options.json and (so_far.images % CHUNK == 0 or index == len(run.images) - 1):
            number = -(-so_far.images // CHUNK)
            seconds = time.perf_counter() - started
            print(f"{so_far.line(number)}, {seconds:f} seconds, {so_far.images} images")

    with open_classifier(options, run.info, options.quiet) as net:
        arguments = {**run.arguments(), "on_image": report}
        result = evaluate_classifier(net, run.images, run.info.labels, preprocess="stretch", **arguments)
    return run.end(result)


# ---- scores as text ---------------------------------------------------------------------------------------


def configure_test(parser: Parser) -> None:
    """DATA CFG WEIGHTS"""
    add_network(parser, data=True)
    configure_fit(parser)
    add_list(parser, "test")


configure_label = configure_test


def configure_csv(parser: Parser) -> None:
    """DATA CFG WEIGHTS"""
    configure_test(parser)
    parser.option(
        "t", "top", type=positive, metavar="N", help="how many classes (default `top` of DATA, else 1)"
    )


def configure_fout(parser: Parser) -> None:
    """DATA CFG WEIGHTS LIST"""
    add_network(parser, data=True)
    parser.add_argument("list", metavar="LIST", help="image list: a text file with one picture per line")
    configure_fit(parser)


def _scores(
    options: argparse.Namespace,
) -> Iterator[tuple[str, np.ndarray, Sequence[str] | None, DataFile] | None]:
    """Path, scores, names and .data file of each picture; None for one that cannot be read."""
    from ..errors import ImageError
    from ..sources import open_data
    from ..sweep import score_each

    info = open_data(options.data)
    paths = listed_images(options, info, "test")
    with open_classifier(options, info, options.quiet) as net:
        for index, scores in score_each(net, paths, options.preprocess, quiet=options.quiet):
            if isinstance(scores, ImageError):
                yield None
            else:
                yield paths[index], scores, net.names, info


def run_test(options: argparse.Namespace) -> int:
    """A line per picture: its path and the scores of all classes, between tabs."""
    failed = 0
    for one in _scores(options):
        if one is None:
            failed = 1
            continue
        print(one[0], *(f"{score:g}" for score in one[1]), sep="\t")
    return failed


run_fout = run_test


def run_csv(options: argparse.Namespace) -> int:
    """A line per picture: its path and the numbers of its best classes, between tabs."""
    from ..classification import rank

    failed = 0
    for one in _scores(options):
        if one is None:
            failed = 1
            continue
        path, scores, _, info = one
        print(path, *rank(scores, options.t or info.top), sep="\t")
    return failed


def run_label(options: argparse.Namespace) -> int:
    """The name of the best class of each picture, a line each; an empty line where it cannot be read."""
    from ..classification import rank

    failed = 0
    for one in _scores(options):
        if one is None:
            failed = 1
            print()
            continue
        best = rank(one[1], 1)[0]
        print(one[2][best] if one[2] and best < len(one[2]) else f"class {best}")
    sys.stdout.flush()
    return failed

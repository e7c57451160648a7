"""yolo and coco: the commands of YOLOv1, with names built in and pictures stretched.

They go the ways of detect and detector; other detectors work as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import detector, validation
from .arguments import Parser, add_network
from .detect import configure_output, detect

THRESH, NMS = 0.2, 0.4
SAVE_EVERY, SAVE_EARLY = 1000, 100  # updates between numbered weights; of the first 1000
VALID_THRESH, VALID_NMS = 0.001, 0.5


def _names(options: argparse.Namespace) -> Sequence[str] | str | None:
    """The names of a file, if one is given; else the built-in ones, if they are as many as the classes."""
    from ..evaluation import head_classes
    from ..names import COCO_NAMES, VOC_NAMES
    from ..network import Network

    if options.names:
        return str(options.names)
    names = VOC_NAMES if options.words == "yolo" else COCO_NAMES
    with Network(options.cfg, threads=1, initialize=False) as net:
        return names if head_classes(net) == len(names) else None


def _configure_test(parser: Parser, words: str, out: str) -> None:
    add_network(parser)
    configure_output(parser, out, thresh=THRESH, nms=NMS, fit="stretch")
    parser.set_defaults(words=words)


def configure_test(parser: Parser) -> None:
    """CFG WEIGHTS IMAGE..."""
    _configure_test(parser, "yolo", "predictions")


def configure_coco_test(parser: Parser) -> None:
    """CFG WEIGHTS IMAGE..."""
    _configure_test(parser, "coco", "prediction")


def run_test(options: argparse.Namespace) -> int:
    """Gives 1 if any picture failed."""
    return detect(options, _names(options))


def configure_valid(parser: Parser) -> None:
    """DATA CFG WEIGHTS"""
    validation.configure_validation(parser, VALID_THRESH, VALID_NMS, "stretch")


def run_valid(options: argparse.Namespace) -> int:
    """VOC's files, with pixels counted from 0 as the reference's command has them."""
    from ..names import VOC_NAMES
    from ..sources import open_data

    names = open_data(options.data).names or VOC_NAMES
    return validation.validate(options, eval="voc", names=names, one_based=False)


def run_coco_valid(options: argparse.Namespace) -> int:
    """COCO's file."""
    return validation.validate(options, eval="coco")


def configure_train(parser: Parser) -> None:
    """DATA CFG [WEIGHTS]"""
    detector.configure_train(parser)
    parser.set_defaults(save_every=SAVE_EVERY)


def run_train(options: argparse.Namespace) -> int:
    """detector train, with numbered weights as often as the reference's command has them."""
    return detector.run_train(options, SAVE_EARLY)


configure_coco_valid = configure_valid
configure_coco_train = configure_train
configure_recall = configure_coco_recall = validation.configure_recall
run_coco_test = run_test
run_coco_train = run_train
run_recall = run_coco_recall = validation.run_recall

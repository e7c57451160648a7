"""partial, average, rescale, rgbgr, reset, denormalize, normalize, oneoff, oneoff2: weights files made of
weights files. Each prints the path of what it wrote."""

from __future__ import annotations

import argparse

from .arguments import Parser, natural, positive


def _configure(parser: Parser, text: str) -> None:
    """CFG WEIGHTS OUT"""
    parser.description = text
    parser.add_argument("cfg", metavar="CFG", help="network description, .cfg")
    parser.add_argument("weights", metavar="WEIGHTS", help="its parameters, .weights")
    parser.add_argument("out", metavar="OUT", help="weights file to write; never one that is read")
    _configure_dialect(parser)


def _configure_dialect(parser: Parser) -> None:
    parser.option(
        "dialect", choices=("pjreddie", "alexeyab"), help="order of parameters in the weights files"
    )


def _configure_cfg(parser: Parser) -> None:
    parser.option("cfg", dest="cfg_out", metavar="OUT.cfg", help="also write the cfg that OUT is for")


def configure_partial(parser: Parser) -> None:
    """CFG WEIGHTS OUT N"""
    _configure(
        parser,
        "Cut a weights file off before layer N, to start training another network with its first layers. "
        "The count of images seen becomes 0, so that the learning-rate schedule starts anew. By custom the "
        "file is called NAME.conv.N: darknet53.conv.74 holds layers 0 to 73.",
    )
    parser.add_argument("layers", metavar="N", type=positive, help="number of layers to keep")


def run_partial(options: argparse.Namespace) -> int:
    """Prints the path of the file."""
    from .. import surgery

    return _done(
        surgery.partial(options.cfg, options.weights, options.out, options.layers, dialect=options.dialect)
    )


def configure_average(parser: Parser) -> None:
    """CFG OUT WEIGHTS..."""
    parser.description = (
        "Average the parameters of several weights files, element by element. Meant for checkpoints of one "
        "training run: their mean often generalises better than each of them (stochastic weight averaging)."
    )
    parser.add_argument("cfg", metavar="CFG", help="network description, .cfg")
    parser.add_argument("out", metavar="OUT", help="weights file to write; never one that is read")
    parser.add_argument("weights", metavar="WEIGHTS", nargs="+", help="files to average")
    _configure_dialect(parser)


def run_average(options: argparse.Namespace) -> int:
    """Prints the path of the file."""
    from .. import surgery

    return _done(
        surgery.average(
            options.cfg, options.out, options.weights, dialect=options.dialect, quiet=options.quiet
        )
    )


def configure_rescale(parser: Parser) -> None:
    """CFG WEIGHTS OUT"""
    _configure(
        parser,
        "Make a network that was trained on pictures with values -1..1 accept values 0..1: the first "
        "convolution's weights double, and its bias (with batch normalisation its rolling mean) takes up the "
        "shift. Exact but for windows that reach into the zero padding.",
    )


def run_rescale(options: argparse.Namespace) -> int:
    """Prints the path of the file."""
    from .. import surgery

    return _done(surgery.rescale(options.cfg, options.weights, options.out, dialect=options.dialect))


def configure_rgbgr(parser: Parser) -> None:
    """CFG WEIGHTS OUT"""
    _configure(
        parser,
        "Swap the weights of the red and blue channel in the first convolution, for a network that was "
        "trained on BGR pictures, or is to see them.",
    )


def run_rgbgr(options: argparse.Namespace) -> int:
    """Prints the path of the file."""
    from .. import surgery

    return _done(surgery.rgbgr(options.cfg, options.weights, options.out, dialect=options.dialect))


def configure_reset(parser: Parser) -> None:
    """CFG WEIGHTS OUT"""
    _configure(
        parser,
        "Fold batch normalisation into weights and biases, but keep its arrays as an identity (scale 1, mean "
        "0, variance 1 - 1e-5): the same outputs, for the same cfg.",
    )


def run_reset(options: argparse.Namespace) -> int:
    """Prints the path of the file."""
    from .. import surgery

    return _done(surgery.reset(options.cfg, options.weights, options.out, dialect=options.dialect))


def configure_denormalize(parser: Parser) -> None:
    """CFG WEIGHTS OUT"""
    _configure(
        parser,
        "Fold batch normalisation into weights and biases. OUT is for the cfg without batch_normalize, which "
        "-cfg writes; outputs stay the same. Stand-alone [batchnorm] layers stay.",
    )
    _configure_cfg(parser)


def run_denormalize(options: argparse.Namespace) -> int:
    """Prints the path of the file."""
    from .. import surgery

    return _done(
        surgery.denormalize(
            options.cfg, options.weights, options.out, options.cfg_out, dialect=options.dialect
        )
    )


def configure_normalize(parser: Parser) -> None:
    """CFG WEIGHTS OUT"""
    _configure(
        parser,
        "Add batch normalisation to every layer that can have it, as an identity (scale 1, mean 0, variance "
        "1 - 1e-5), to go on training with it. OUT is for the cfg with batch_normalize=1 in those layers, "
        "which -cfg writes; outputs stay the same.",
    )
    _configure_cfg(parser)


def run_normalize(options: argparse.Namespace) -> int:
    """Prints the path of the file."""
    from .. import surgery

    return _done(
        surgery.normalize(options.cfg, options.weights, options.out, options.cfg_out, dialect=options.dialect)
    )


def configure_oneoff(parser: Parser) -> None:
    """CFG WEIGHTS OUT"""
    _configure(
        parser,
        "Start a YOLO9000 detector from a classifier of the same layers: filter k of the classifier's last "
        "convolution becomes filter 5 + k of each of the 3 anchors in the detector's last but one layer. CFG "
        "is the detector's, WEIGHTS the classifier's.",
    )
    parser.option(
        "filters",
        type=positive,
        default=11921,
        metavar="N",
        help="filters of the classifier's last convolution (default 11921)",
    )


def run_oneoff(options: argparse.Namespace) -> int:
    """Prints the path of the file."""
    from .. import surgery

    return _done(
        surgery.oneoff(options.cfg, options.weights, options.out, options.filters, dialect=options.dialect)
    )


def configure_oneoff2(parser: Parser) -> None:
    """CFG WEIGHTS OUT L"""
    _configure(
        parser,
        "Read WEIGHTS from layer 0 on, then once more from layer L on, and write both: for a cfg whose "
        "layers from L on repeat the first ones.",
    )
    parser.add_argument("layer", metavar="L", type=natural, help="layer that the second reading starts at")


def run_oneoff2(options: argparse.Namespace) -> int:
    """Prints the path of the file."""
    from .. import surgery

    return _done(
        surgery.oneoff2(options.cfg, options.weights, options.out, options.layer, dialect=options.dialect)
    )


def _done(path: object) -> int:
    print(path)
    return 0

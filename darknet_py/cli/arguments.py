"""Options that several commands share, and how images are named on the command line."""

from __future__ import annotations

import argparse
import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ..data import DataFile
    from ..network import Network


MOST = (1 << 63) - 1  # of a whole number on the command line


class Parser(argparse.ArgumentParser):
    """argparse with Darknet's single dashes, no abbreviations, and errors in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        self.names: set[str] = set()  # of the options added by option()

    def option(self, name: str, *more: str, **settings: Any) -> None:
        """Adds -name and --name."""
        self.names.update((name, *more))
        spellings = [f"{dash}{one}" for one in (name, *more) for dash in ("-", "--")]
        settings.setdefault("dest", name.replace("-", "_"))
        self.add_argument(*spellings, **settings)

    def flag(self, name: str, *more: str, **settings: Any) -> None:
        """Adds -name and --name, without a value."""
        self.option(name, *more, action="store_true", **settings)

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """No abbreviations of single-dash options either, which argparse allows in spite of allow_abbrev."""
        return []

    def error(self, message: str) -> NoReturn:
        """One line and status 2."""
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help says more)\n")


def part(text: str) -> float:
    """A number 0..1."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number 0..1, found {text}")
    return value


def natural(text: str, least: int = 0) -> int:
    """A whole number, 0 or more."""
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"expected a whole number, {least} or more, found {text}")
    if value > MOST:
        raise argparse.ArgumentTypeError(f"expected a whole number up to {MOST}, found {text}")
    return value


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    return natural(text, least=1)


def add_common(parser: Parser) -> None:
    """Options of every command."""
    group = parser.add_argument_group("common options")
    group.add_argument("-q", "-quiet", "--quiet", action="store_true", help="print nothing but errors")
    if "threads" not in parser.names:
        group.add_argument(
            "-threads", "--threads", type=positive, metavar="N", help="processors to use (default: all)"
        )
    group.add_argument(
        "-nogpu", "--nogpu", action="store_true", help="accepted; this build has no other choice"
    )
    group.add_argument("-i", "-gpus", "--gpus", dest="gpu", metavar="N", help="accepted and ignored")


def add_network(parser: Parser, *, data: bool = False, weights: str = "required") -> None:
    """[DATA] CFG WEIGHTS. weights: "required", "optional" or "none"."""
    if data:
        parser.add_argument(
            "data",
            metavar="DATA",
            help=".data file: classes, train, valid, names, backup; or data.yaml, COCO .json, "
            "folder of VOC files or of classes",
        )
    parser.add_argument("cfg", metavar="CFG", help="network description, .cfg")
    if weights != "none":
        nargs = "?" if weights == "optional" else None
        parser.add_argument("weights", metavar="WEIGHTS", nargs=nargs, help="its parameters, .weights")
    parser.option("dialect", choices=("pjreddie", "alexeyab"), help="order of parameters in the weights file")


def add_detection(parser: Parser, thresh: float = 0.5, nms: float = 0.45, fit: str | None = None) -> None:
    """Thresholds and preprocessing; and what they are by default."""
    parser.option(
        "thresh", type=part, default=thresh, metavar="P", help=f"least confidence (default {thresh:g})"
    )
    add_tree(parser)
    parser.option(
        "nms",
        type=part,
        default=nms,
        metavar="IOU",
        help=f"overlap that suppresses (default {nms:g}; 0: none)",
    )
    add_fit(parser, fit)


def add_fit(parser: Parser, default: str | None = None) -> None:
    """How pictures are fitted to a detector; fit_of reads it."""
    parser.option(
        "preprocess",
        choices=("letterbox", "stretch"),
        default=default,
        help=f"how pictures are fitted (default: {default or 'as the cfg says'})",
    )
    parser.flag("letter_box", help="the same as -preprocess letterbox")


def fit_of(options: argparse.Namespace) -> str | None:
    """The choice of add_fit."""
    return "letterbox" if options.letter_box else options.preprocess


def add_overlap(parser: Parser, what: str = "overlap that counts") -> None:
    """From which overlap on a box is right."""
    parser.option("iou_thresh", type=part, default=0.5, metavar="IOU", help=f"{what} (default .5)")


def add_tree(parser: Parser) -> None:
    """How far to descend a word tree."""
    parser.option("hier", type=part, default=0.5, metavar="P", help="threshold of class trees (default .5)")
    parser.option(
        "hier_rule",
        choices=("reference", "paper"),
        default="reference",
        help="descend a class tree as the reference does (default), or further, as YOLO9000's paper says",
    )


def add_images(parser: Parser) -> None:
    """IMAGE..., or --list."""
    parser.add_argument(
        "images", metavar="IMAGE", nargs="*", help="pictures, folders or patterns; none: asks for paths"
    )
    parser.option("list", metavar="FILE", help="a text file with one picture per line")


def add_list(parser: Parser, key: str = "valid") -> None:
    """The list that a command goes through: listed_images gives it."""
    parser.option("list", metavar="FILE", help=f"image list, instead of the .data file's {key}")


def listed_images(options: argparse.Namespace, info: DataFile, key: str = "valid") -> Sequence[str]:
    """The pictures of -list, else of a key of the .data file."""
    from ..data import read_list

    return read_list(options.list) if options.list else info.images(key)


def image_paths(options: argparse.Namespace) -> Iterator[str]:
    """The pictures that the arguments name; without any, those typed on standard input."""
    from .. import data
    from ..errors import DataError

    if options.list:
        yield from data.read_list(options.list)
    for given in options.images:
        path = Path(given)
        if path.is_dir():
            yield from data.image_files(path)
        elif not path.exists() and any(c in given for c in "*?["):
            found = sorted(glob.glob(given, recursive=True))  # noqa: PTH207 - absolute patterns too
            if not found:
                raise DataError(f"{given}: no file fits this pattern")
            yield from found
        else:
            yield given
    if not options.images and not options.list:
        yield from _asked(options.json)


def _asked(silent: bool) -> Iterator[str]:
    """Darknet's prompt: paths typed one by one, until the end of the input."""
    while True:
        if not silent:
            print("Enter Image Path: ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            if not silent:
                print()
            return
        if line.strip():
            yield line.strip()


def several(options: argparse.Namespace, paths: Sequence[str]) -> bool:
    """Whether a command was asked for more than one picture."""
    return len(paths) > 1 or bool(options.list) or any(Path(one).is_dir() for one in options.images)


def load_network(
    options: argparse.Namespace,
    names: Sequence[str] | str | None = None,
    weights: str | None = None,
    size: tuple[int, int] = (0, 0),
    memory: str = "fast",
) -> Network:
    """The network that the arguments name. size: width and height, 0 for the cfg's."""
    from ..network import Network

    return Network(
        options.cfg,
        weights or options.weights,
        names=names,
        width=size[0],
        height=size[1],
        threads=options.threads,
        dialect=options.dialect,
        memory=memory,
    )

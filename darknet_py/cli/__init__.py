"""The command line: finds the command, parses its arguments, turns errors into one line and an exit status.

Commands live in modules of their own, loaded when one is called, so that --help stays quick.
Exit status: 0 done, 1 something failed, 2 wrong arguments, 130 interrupted.
"""

from __future__ import annotations

import difflib
import errno
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

from .arguments import Parser, add_common

__all__ = ["main"]


class Command(NamedTuple):
    """A command: its words, the module with its configure_NAME and run_NAME, and one line of help."""

    words: tuple[str, ...]
    module: str
    name: str
    help: str


COMMANDS = (
    Command(("detect",), "detect", "detect", "find objects in pictures"),
    Command(("detector", "test"), "detector", "test", "find objects, with the names of a .data file"),
    Command(("detector", "train"), "detector", "train", "train a detector"),
    Command(("detector", "map"), "detector", "map", "mean average precision on labelled pictures"),
    Command(("detector", "valid"), "validation", "valid", "result files of an image list: VOC, COCO, ..."),
    Command(
        ("detector", "valid2"), "validation", "valid2", "result files, of pictures and their mirror images"
    ),
    Command(("detector", "recall"), "validation", "recall", "recall of boxes, whatever their class"),
    Command(("detector", "score"), "measures", "score", "VOC's and COCO's figures of result files"),
    Command(("detector", "rescore"), "measures", "rescore", "raise scores where another detector agrees"),
    Command(("detector", "calc_anchors"), "anchors", "calc", "anchors for the boxes of a data set"),
    Command(("classify",), "classifier", "classify", "name what a picture shows"),
    Command(("classifier", "predict"), "classifier", "predict", "the same, with the names of a .data file"),
    Command(("classifier", "try"), "classifier", "try", "name it, with colours normalised as ImageNet's"),
    Command(("classifier", "train"), "classifier", "train", "train a classifier"),
    Command(
        ("classifier", "valid"), "classifier_valid", "valid", "top-1 and top-k accuracy on labelled pictures"
    ),
    Command(("classifier", "valid10"), "classifier_valid", "valid10", "accuracy on the mean of ten crops"),
    Command(
        ("classifier", "validmulti"), "classifier_valid", "validmulti", "accuracy on the mean of four sizes"
    ),
    Command(("classifier", "validfull"), "classifier_valid", "validfull", "accuracy on whole pictures"),
    Command(("classifier", "validcrop"), "classifier_valid", "validcrop", "accuracy on stretched pictures"),
    Command(("classifier", "test"), "classifier_valid", "test", "all scores of every picture of a list"),
    Command(
        ("classifier", "fout"), "classifier_valid", "fout", "all scores of every picture of another list"
    ),
    Command(("classifier", "csv"), "classifier_valid", "csv", "numbers of the best classes of every picture"),
    Command(("classifier", "label"), "classifier_valid", "label", "name of the best class of every picture"),
    Command(("yolo", "test"), "yolo", "test", "find objects with YOLOv1; VOC's names are built in"),
    Command(("yolo", "train"), "yolo", "train", "train a YOLOv1 detector"),
    Command(("yolo", "valid"), "yolo", "valid", "VOC result files, of stretched pictures"),
    Command(("yolo", "recall"), "yolo", "recall", "recall of boxes, whatever their class"),
    Command(("coco", "test"), "yolo", "coco_test", "find objects with YOLOv1; COCO's names are built in"),
    Command(("coco", "train"), "yolo", "coco_train", "train a YOLOv1 detector"),
    Command(("coco", "valid"), "yolo", "coco_valid", "a COCO result file, of stretched pictures"),
    Command(("coco", "recall"), "yolo", "coco_recall", "recall of boxes, whatever their class"),
    Command(("rnn", "train"), "rnn", "train", "teach a recurrent network to go on with a text"),
    Command(("rnn", "generate"), "rnn", "generate", "let a recurrent network write"),
    Command(("rnn", "valid"), "rnn", "valid", "how well a recurrent network predicts a text"),
    Command(("rnn", "vec"), "rnn", "vec", "a vector for each line of text"),
    Command(("synth",), "tools", "synth", "draw a data set of shapes to try training with"),
    Command(
        ("convert",), "tools", "convert", "turn a data set of another format into files to train on, or back"
    ),
    Command(("wordtree", "build"), "wordtree", "build", "make a word tree from hypernym paths"),
    Command(("wordtree", "show"), "wordtree", "show", "what is in a word tree, and around a node of it"),
    Command(("export",), "export", "export", "write an ONNX file, for other engines"),
    Command(("summary",), "tools", "summary", "layers, shapes, parameters and costs of a .cfg"),
    Command(("plan",), "tools", "plan", "the steps in which a .cfg will be run"),
    Command(
        ("partial",), "surgery", "partial", "cut weights off after the first layers, to start training with"
    ),
    Command(("average",), "surgery", "average", "mean of several weights files, such as checkpoints"),
    Command(
        ("denormalize",), "surgery", "denormalize", "fold batch normalisation; weights for a .cfg without it"
    ),
    Command(("normalize",), "surgery", "normalize", "add batch normalisation that changes nothing yet"),
    Command(("reset",), "surgery", "reset", "fold batch normalisation, and keep its arrays as an identity"),
    Command(("rescale",), "surgery", "rescale", "weights for pictures 0..1 of weights for pictures -1..1"),
    Command(("rgbgr",), "surgery", "rgbgr", "weights for BGR pictures of weights for RGB, and the reverse"),
    Command(("oneoff",), "surgery", "oneoff", "start a YOLO9000 detector from a classifier"),
    Command(("oneoff2",), "surgery", "oneoff2", "read weights twice, the second time from layer L on"),
    Command(("check",), "check", "check", "find mistakes in a data set, a .cfg and its files"),
    Command(("diff",), "diff", "diff", "compare two runs layer by layer"),
    Command(("statistics",), "inspection", "statistics", "mean and variance of every parameter array"),
    Command(("ops",), "inspection", "ops", "floating point operations of a .cfg"),
    Command(("speed",), "inspection", "speed", "time forward passes of a .cfg"),
    Command(("bench",), "bench", "bench", "a network's speed here, beside other engines, layer by layer"),
    Command(("print",), "inspection", "print", "weights of a layer as text"),
    Command(("nightmare",), "pictures", "nightmare", "show a layer's taste in a picture (DeepDream)"),
    Command(("visualize",), "pictures", "visualize", "draw the filters of a convolution"),
    Command(("mkimg",), "pictures", "mkimg", "collages of the first layer's filters"),
    Command(("imtest",), "pictures", "imtest", "what colour jitter and crops do to a picture"),
    Command(("test",), "pictures", "test", "the same"),
    Command(("3d",), "pictures", "anaglyph", "join two pictures for red-cyan glasses"),
)

#: Words that other words follow.
GROUPS = {command.words[0] for command in COMMANDS if len(command.words) > 1}

# Options accepted before the command; those with True take a value.
GLOBAL_OPTIONS = {"q": False, "quiet": False, "json": False, "nogpu": False, "threads": True, "i": True}


def usage(group: str = "") -> str:
    """What --help prints; of a group of commands, `detector --help`."""
    commands = [command for command in COMMANDS if group in ("", command.words[0])]
    width = max(len(" ".join(command.words)) for command in commands)
    lines = [f"  {' '.join(command.words):<{width}}  {command.help}" for command in commands]
    return "\n".join(
        [
            f"usage: darknet_py {f'{group} ' if group else ''}COMMAND ARGUMENTS... [OPTIONS]",
            "",
            "commands (darknet_py COMMAND --help says more):",
            *lines,
            "",
            "options of every command, with one dash or two:",
            "  -q, -quiet      print nothing but errors (and the document of -json)",
            "  -threads N      processors to use (default: all)",
            "  -nogpu, -i N    accepted for old scripts; this build runs on processors only",
            "  -version        version, build and instruction set",
        ]
    )


def version() -> str:
    """What --version prints."""
    import darknet_py

    return f"darknet_py {darknet_py.__version__} ({darknet_py.build_info()}; {darknet_py.cpu_level()})"


def _reorder(arguments: Sequence[str]) -> list[str]:
    """The same arguments with options that stand before the command moved behind it."""
    before: list[str] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-") and len(rest[0]) > 1:
        name = rest[0].lstrip("-")
        if name not in GLOBAL_OPTIONS:
            break
        count = 2 if GLOBAL_OPTIONS[name] else 1
        before += rest[:count]
        rest = rest[count:]
    if not rest or rest[0].startswith("-"):
        return [*rest, *before]
    words = next((len(c.words) for c in COMMANDS if tuple(rest[: len(c.words)]) == c.words), len(rest))
    return [*rest[:words], *before, *rest[words:]]


def _find(arguments: Sequence[str]) -> Command:
    for command in COMMANDS:
        if tuple(arguments[: len(command.words)]) == command.words:
            return command
    known = [" ".join(command.words) for command in COMMANDS]
    group = [name for name in known if name.startswith(arguments[0] + " ")]
    given = " ".join(arguments[:2]) if group else arguments[0]
    # Within a group only a slip of the finger is guessed: `detector valid` is not `detector train`.
    close = difflib.get_close_matches(given, known, 1, 0.9 if group else 0.6)
    hint = f"; did you mean '{close[0]}'?" if close else f"; it has: {', '.join(group)}" if group else ""
    raise _UsageError(f"no command '{given}'{hint} (darknet_py --help lists them all)")


class _UsageError(Exception):
    pass


def _log_to_stderr(quiet: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("darknet_py: warning: %(message)s"))
    logger = logging.getLogger("darknet_py")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.ERROR if quiet else logging.WARNING)


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0].lstrip("-") in ("help", "h"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] in ("-version", "--version"):
        print(version())
        return 0
    if arguments[0] in GROUPS and arguments[1:2] and arguments[1].lstrip("-") in ("help", "h"):
        print(usage(arguments[0]))
        return 0
    arguments = _reorder(arguments)
    command = _find(arguments)
    module = import_module(f".{command.module}", __name__)
    parser = Parser(prog=f"darknet_py {' '.join(command.words)}", description=command.help)
    getattr(module, f"configure_{command.name}")(parser)
    add_common(parser)
    options = parser.parse_intermixed_args(arguments[len(command.words) :])
    _log_to_stderr(options.quiet)
    if options.gpu is not None and not options.quiet:
        print("darknet_py: note: -i is ignored: this build runs on processors only", file=sys.stderr)
    run = getattr(module, f"run_{command.name}")
    if options.quiet and not getattr(options, "json", False):
        with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing):
            return int(run(options) or 0)
    return int(run(options) or 0)


def _line(error: BaseException) -> str:
    """An error in one line; of the system's own ones the file and the reason, without a number."""
    if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.strerror:
        # Files are written by functions that name them; what is left are the standard streams.
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
        name = "standard output: cannot write" if error.filename is None and full else error.filename
        return error.strerror if name is None else f"{name}: {error.strerror}"
    return str(error) or type(error).__name__


def _end_output() -> None:
    """What is left in the buffer of a stream that takes no more must not raise again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit status."""
    from ..errors import DarknetError

    # Python leaves None where a stream was closed (`>&-`).
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123
    # Names of files need not be UTF-8: they are printed as the bytes that they are.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        if status:
            _end_output()
        sys.stdout.flush()
        return status
    except _UsageError as error:
        print(f"darknet_py: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has gone (`| head`)
        _end_output()
        return 1
    except KeyboardInterrupt:
        print("darknet_py: interrupted", file=sys.stderr)
        return 130
    except (DarknetError, OSError, MemoryError) as error:
        print(f"darknet_py: {_line(error)}", file=sys.stderr)
        _end_output()
        return 1
    except SystemExit as error:  # argparse: --help, or wrong arguments
        return error.code if isinstance(error.code, int) else 2

"""rnn train, generate, valid, vec: networks that read text symbol by symbol."""

from __future__ import annotations

import argparse
import itertools
import sys
from typing import TYPE_CHECKING

from .arguments import Parser, add_network, natural
from .detector import add_scoring, configure_run, run_arguments

if TYPE_CHECKING:
    from ..network import Network
    from ..text import Symbols


def _configure_tokens(parser: Parser) -> None:
    parser.flag("tokenized", help="the text holds numbers of symbols instead of bytes")


def configure_train(parser: Parser) -> None:
    """CFG [WEIGHTS]"""
    add_network(parser, weights="optional")
    parser.option(
        "file", default="data/shakespeare.txt", metavar="TEXT", help="to learn (default data/shakespeare.txt)"
    )
    _configure_tokens(parser)
    configure_run(parser, "default backup")
    parser.option(
        "valid",
        metavar="TEXT",
        help="score on this text (probability of a symbol), and keep NAME_best.weights",
    )
    add_scoring(parser, "default 1000")


def run_train(options: argparse.Namespace) -> int:
    """Gives 130 when interrupted."""
    from ..training import train_text

    result = train_text(
        options.file,
        options.cfg,
        options.weights,
        tokenized=options.tokenized,
        valid=options.valid,
        score=options.valid is not None,
        score_every=options.map_every,
        patience=options.patience,
        **run_arguments(options),
    )
    return 130 if result.interrupted else 0


def _load(options: argparse.Namespace) -> Network:
    from ..network import Network

    return Network(
        options.cfg, options.weights, threads=options.threads, dialect=options.dialect, batch=1, time_steps=1
    )


def configure_generate(parser: Parser) -> None:
    """CFG WEIGHTS"""
    add_network(parser)
    parser.option("seed", default="\n\n", metavar="TEXT", help="to go on from (default two line ends)")
    parser.option("len", type=natural, default=1000, metavar="N", help="symbols to write (default 1000)")
    parser.option("temp", type=float, default=0.7, metavar="T", help="lower is safer (default .7)")
    parser.option("srand", type=natural, metavar="N", help="seed of chance (default: another each time)")
    parser.option("tokens", metavar="FILE", help="names of symbols, one per line; -seed is numbers")


def run_generate(options: argparse.Namespace) -> int:
    """Prints the seed, then what the network makes of it."""
    import numpy as np

    from .. import text
    from ..errors import DataError

    tokens = text.read_tokens(options.tokens) if options.tokens else [bytes([k]) for k in range(256)]
    if options.tokens:
        try:
            seed = np.array(options.seed.split() or [0], np.int64)
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"-seed: with -tokens expected numbers of symbols, found {options.seed!r}"
            ) from error
    else:
        seed = text.encode(options.seed.encode(), "-seed")

    def show(symbol: int) -> None:
        word = tokens[symbol] if 0 <= symbol < len(tokens) else b"?"
        if not options.quiet:
            sys.stdout.buffer.write(word)
            sys.stdout.buffer.flush()

    with _load(options) as net:
        chance = np.random.default_rng(options.srand)
        written = text.generate(net, seed, options.len, temperature=options.temp, random=chance)
        for symbol in itertools.chain(seed, written):
            show(int(symbol))
    if not options.quiet:
        sys.stdout.buffer.write(b"\n")
    return 0


def configure_valid(parser: Parser) -> None:
    """CFG WEIGHTS"""
    add_network(parser)
    parser.option("file", metavar="TEXT", help="to predict (default: standard input)")
    _configure_tokens(parser)
    parser.flag("json", help="print one JSON document and nothing else")


def run_valid(options: argparse.Namespace) -> int:
    """Prints bits per symbol and perplexities."""
    import json

    import numpy as np

    from .. import text

    symbols = _symbols(options)
    words = len(symbols) if options.tokenized else int(np.isin(symbols, list(b" \n\t")).sum())
    with _load(options) as net:
        found = text.score(net, symbols, words)
    if options.json:
        print(json.dumps(found._asdict()))
    else:
        print(
            f"{found.symbols} BPC: {found.bits:4.4f}   Perplexity: {found.perplexity:4.4f}    "
            f"Word Perplexity: {found.word_perplexity:4.4f}"
        )
    return 0


def _symbols(options: argparse.Namespace) -> Symbols:
    from .. import text

    if options.file:
        return text.read_symbols(options.file, options.tokenized)
    return text.encode(sys.stdin.buffer.read(), "standard input")


def configure_vec(parser: Parser) -> None:
    """CFG WEIGHTS"""
    add_network(parser)
    parser.option("file", metavar="TEXT", help="a text per line (default: standard input)")


def run_vec(options: argparse.Namespace) -> int:
    """Prints a line of numbers per line of text: the last recurrent layer's output after reading it."""
    from .. import text

    data = text.read_bytes(options.file) if options.file else sys.stdin.buffer.read()
    with _load(options) as net:
        for line in data.splitlines():
            print(",".join(f"{value:g}" for value in text.state(net, text.encode(line + b"\n"))))
    return 0

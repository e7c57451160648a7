"""Text and recurrent networks: symbols, parallel streams to train on, generating and scoring text.

A text is a sequence of symbols: the bytes 1..255 of a file or, tokenised, the numbers written in it. The
network reads symbols one-hot and predicts the next one.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import ArgumentError, DataError
from .loaders import Batch, mixed
from .network import Network

__all__ = ["Score", "TextStreams", "encode", "generate", "read_symbols", "read_tokens", "score", "state"]

PathLike = str | os.PathLike[str]
Symbols = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

JUMP = 64  # a stream jumps to another place of the text once in so many updates, as in the reference
LEAST = 1e-4  # probabilities below are taken as 0 when text is generated, as in the reference


def read_bytes(path: PathLike) -> bytes:
    """A file whole. Raises DataError."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot read: {error.strerror or error}") from error


def read_symbols(path: PathLike, tokenized: bool = False) -> Symbols:
    """The symbols of a text file: its bytes or, if tokenised, the numbers it holds. Raises DataError."""
    data = read_bytes(path)
    if tokenized:
        try:
            return np.array(data.split(), np.int64)
        except (ValueError, OverflowError) as error:
            raise DataError(f"{path}: a tokenised text holds whole numbers only: {error}") from error
    return encode(data, str(path))


def encode(text: bytes, name: str = "text") -> Symbols:
    """The symbols of some bytes. Raises DataError for a zero byte."""
    if 0 in text:
        raise DataError(f"{name}: byte {text.index(0)} is zero: this is no text")
    return np.frombuffer(text, np.uint8).astype(np.int64)


def read_tokens(path: PathLike) -> list[bytes]:
    """What each symbol of a tokenised text stands for, one per line; <NEWLINE> is a line's end."""
    lines = read_bytes(path).splitlines()
    return [b"\n" if line == b"<NEWLINE>" else line + b" " for line in lines]


def _check(net: Network, symbols: Symbols, name: str) -> tuple[int, int]:
    """Inputs and outputs of a network that can read these symbols."""
    if len(net.input_shape) != 2:
        raise ArgumentError("a network for text takes vectors: set inputs= in [net]")
    inputs, outputs = net.input_shape[1], net.layers[net.output_layers[-1]].outputs
    if len(symbols) and (symbols.min() < 0 or symbols.max() >= min(inputs, outputs)):
        where = int(np.argmax((symbols < 0) | (symbols >= min(inputs, outputs))))
        raise DataError(
            f"{name}: symbol {where} is {symbols[where]}, but the network has {inputs} inputs and {outputs} "
            "outputs"
        )
    return inputs, outputs


def _one_hot(symbols: Symbols, size: int) -> Floats:
    rows = np.zeros((len(symbols), size), np.float32)
    rows[np.arange(len(symbols)), symbols] = 1
    return rows


class TextStreams:
    """Batches for a network that learns the next symbol: several streams read on in one text side by side.

    Each update a stream jumps to a random place with probability 1/64; its recurrent state must then be set
    to zero. Everything follows from seed and step, so a resumed run reads what an uninterrupted one would.
    """

    def __init__(self, symbols: Symbols, net: Network, *, seed: int = 0, name: str = "text") -> None:
        self.inputs, self.outputs = _check(net, symbols, name)
        self.time_steps = net.time_steps
        self.streams = net.input_shape[0] // net.time_steps
        if len(symbols) < 2:
            raise DataError(f"{name}: {len(symbols)} symbols are too few to learn from")
        self._symbols, self._seed = symbols, seed

    def jumps(self, step: int, stream: int) -> bool:
        """Whether a stream starts anew at this step."""
        return step == 0 or mixed(self._seed, step, stream, 1) % JUMP == 0

    def _place(self, step: int, stream: int) -> int:
        start = step
        while not self.jumps(start, stream):
            start -= 1
        return mixed(self._seed, start, stream, 2) + (step - start) * self.time_steps

    def batch(self, step: int) -> Batch:
        """One-hot symbols, rows [time_steps][streams], and those that follow them."""
        places = np.array([self._place(step, s) % len(self._symbols) for s in range(self.streams)])
        at = (places[None, :] + np.arange(self.time_steps)[:, None]).ravel() % len(self._symbols)
        following = self._symbols[(at + 1) % len(self._symbols)]
        return Batch(_one_hot(self._symbols[at], self.inputs), _one_hot(following, self.outputs))


def generate(
    net: Network,
    seed: Symbols,
    length: int = 1000,
    *,
    temperature: float = 0.7,
    random: np.random.Generator | None = None,
) -> Iterator[int]:
    """Symbols that the network goes on with after reading `seed`; load it with time_steps=1.

    temperature: below 1 the likely ones become likelier. random: where chance comes from, default seed 0.
    Arguments are checked at once, before the first symbol is asked for.
    """
    if not 0 < temperature < math.inf:
        raise ArgumentError(f"expected a finite temperature above 0, found {temperature}")
    if not len(seed):
        raise ArgumentError("expected a seed of at least one symbol")
    inputs, _ = _check(net, seed, "seed")
    return _generated(net, seed, inputs, length, temperature, random or np.random.default_rng(0))


def _generated(
    net: Network, seed: Symbols, inputs: int, length: int, temperature: float, chance: np.random.Generator
) -> Iterator[int]:
    with net.session() as session:
        for symbol in seed[:-1]:
            session.predict(_one_hot(np.array([symbol]), inputs))
        symbol = int(seed[-1])
        for _ in range(length):
            output = session.predict(_one_hot(np.array([symbol]), inputs))[-1].ravel().astype(np.float64)
            # softmax(x / T) is softmax(x) to the power of 1 / T, made to sum to 1 again
            powers = np.maximum(output, 0) ** (1 / temperature)
            powers /= max(powers.sum(), 1e-300)
            powers[powers < LEAST] = 0
            total = powers.sum()
            symbol = int(chance.choice(len(powers), p=powers / total)) if total > 0 else int(output.argmax())
            yield symbol


class Score(NamedTuple):
    """How well a text was predicted: bits per symbol, perplexity per symbol and per word."""

    symbols: int
    bits: float
    perplexity: float
    word_perplexity: float


def score(net: Network, symbols: Symbols, words: int) -> Score:
    """Predicts every symbol from those before it; words: how many words the text has, for the last figure."""
    inputs, _ = _check(net, symbols, "text")
    if len(symbols) < 2:
        raise DataError(f"{len(symbols)} symbols are too few to score")
    total = 0.0
    with net.session() as session:
        for symbol, following in itertools.pairwise(symbols):
            output = session.predict(_one_hot(np.array([symbol]), inputs))[-1].ravel()
            total -= math.log2(max(float(output[following]), 1e-30))
    count = len(symbols) - 1
    bits = total / count
    return Score(count, bits, 2**bits, 2 ** min(total / max(words, 1), 1023.0))


def state(net: Network, symbols: Symbols) -> Floats:
    """The output of the last recurrent layer after reading the symbols: a vector that stands for the text."""
    inputs, _ = _check(net, symbols, "text")
    recurrent = [layer.index for layer in net.layers if layer.type in ("rnn", "gru", "lstm")]
    if not recurrent:
        raise ArgumentError("this network has no recurrent layer")
    values = np.zeros(net.layers[recurrent[-1]].outputs, np.float32)
    with net.session() as session:
        for symbol in symbols:
            values = session.activations(_one_hot(np.array([symbol]), inputs))[recurrent[-1]].ravel()
    return values

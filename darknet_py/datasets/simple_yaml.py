"""Reads the part of YAML that data.yaml files use; everything else is refused with file and line.

A mapping of keys to scalars, to lists and to mappings of scalars, in block or flow style; quotes, comments
and block scalars. Not: deeper nesting, anchors, tags, several documents.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import NamedTuple, NoReturn

from ..data import PathLike, read_text
from ..errors import DataError

Scalar = str
Value = str | list[str] | dict[str, str]

_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#&*!|>%@`"'{}\[\],?:-][^:#]*?|-?\d+)\s*:(?:\s+|$)"""
)


class _Line(NamedTuple):
    number: int
    indent: int
    text: str  # without indentation and comment


class _Reader:
    def __init__(self, path: PathLike) -> None:
        self.path = path
        self.raw = read_text(path, "data.yaml").split("\n")
        self.next = 0

    def fail(self, number: int, text: str) -> NoReturn:
        raise DataError(f"{self.path}:{number}: {text}")

    def line(self) -> _Line | None:
        """The next line that says something; it stays the next."""
        while self.next < len(self.raw):
            text = _without_comment(self.raw[self.next]).rstrip()
            if text.strip() and not (text.startswith(("---", "%YAML")) and self.next < 3):
                body = text.lstrip(" ")
                if body.startswith("\t"):
                    self.fail(self.next + 1, "a tab in the indentation; YAML wants spaces")
                return _Line(self.next + 1, len(text) - len(body), body)
            self.next += 1
        return None

    def mapping(self) -> dict[str, Value]:
        result: dict[str, Value] = {}
        while (line := self.line()) is not None:
            if line.text == "..." and line.indent == 0:
                break
            if line.indent:
                self.fail(line.number, f"unexpected indentation before {line.text!r}")
            key, rest = self.pair(line)
            if key in result:
                self.fail(line.number, f"the key {key!r} is given twice")
            self.next += 1
            result[key] = self.value(rest, line) if rest else self.block(line)
        return result

    def pair(self, line: _Line) -> tuple[str, str]:
        match = _KEY.match(line.text)
        if not match:
            self.fail(line.number, f"expected key: value, found {line.text!r}")
        return self.scalar(match[1], line.number), line.text[match.end() :].strip()

    def value(self, text: str, line: _Line) -> Value:
        if text[0] in "|>":
            return self.block_scalar(text, line)
        if text[0] in "[{":
            return self.flow(text, line)
        return self.scalar(text, line.number)

    def block(self, above: _Line) -> Value:
        """What is indented below a key, or a list at its own level; nothing gives an empty scalar."""
        first = self.line()
        if first is None or first.indent < above.indent:
            return ""
        if first.text == "-" or first.text.startswith("- "):
            return self.block_list(first.indent)
        return self.block_map(first.indent) if first.indent > above.indent else ""

    def block_list(self, indent: int) -> list[str]:
        items: list[str] = []
        while (line := self.line()) is not None and line.indent == indent and re.match(r"-( |$)", line.text):
            text = line.text[1:].strip()
            if not text or text[0] in "[{|>-?" or (_KEY.match(text) and text[0] not in "\"'"):
                self.fail(line.number, f"expected a plain list item, found {line.text!r}")
            items.append(self.scalar(text, line.number))
            self.next += 1
        self.no_deeper(indent)
        return items

    def block_map(self, indent: int) -> dict[str, str]:
        result: dict[str, str] = {}
        while (line := self.line()) is not None and line.indent == indent:
            key, text = self.pair(line)
            if text and text[0] in "[{|>":
                self.fail(line.number, f"expected a plain value, found {text!r}")
            if key in result:
                self.fail(line.number, f"the key {key!r} is given twice")
            result[key] = self.scalar(text, line.number) if text else ""
            self.next += 1
        self.no_deeper(indent)
        return result

    def no_deeper(self, indent: int) -> None:
        line = self.line()
        if line is not None and line.indent > 0 and line.indent != indent:
            self.fail(line.number, f"nested deeper than understood here: {line.text!r}")

    def block_scalar(self, head: str, above: _Line) -> str:
        """Text kept as it is written, below | or >."""
        if not re.fullmatch(r"[|>][+-]?", head):
            self.fail(above.number, f"not understood: {head!r}")
        lines = []
        while self.next < len(self.raw):
            text = self.raw[self.next]
            if text.strip() and len(text) - len(text.lstrip(" ")) <= above.indent:
                break
            lines.append(text.strip())
            self.next += 1
        return ("\n" if head[0] == "|" else " ").join(lines).strip()

    def flow(self, text: str, line: _Line) -> Value:
        """[a, b] or {0: a}, over as many lines as it takes."""
        while not _closed(text):
            more = self.line()
            if more is None:
                self.fail(line.number, f"{text[0]} is never closed")
            text += " " + more.text
            self.next += 1
        parts = _split(text[1:-1])
        if any(not part for part in parts[:-1]):
            self.fail(line.number, "an empty item between commas")
        parts = [part for part in parts if part]
        if any(part[0] in "[{" for part in parts):
            self.fail(line.number, "lists in lists are not understood here")
        if text[0] == "[":
            return [self.scalar(part, line.number) for part in parts]
        result: dict[str, str] = {}
        for part in parts:
            key, value = self.pair(_Line(line.number, 0, part))
            if key in result:
                self.fail(line.number, f"the key {key!r} is given twice")
            result[key] = self.scalar(value, line.number) if value else ""
        return result

    def scalar(self, text: str, number: int) -> str:
        if text[0] == "'":
            if not re.fullmatch(r"'(?:[^']|'')*'", text):
                self.fail(number, f"unclosed or misplaced quotes: {text!r}")
            return text[1:-1].replace("''", "'")
        if text[0] == '"':
            try:
                return str(json.loads(text))
            except ValueError:
                self.fail(number, f"not understood in double quotes: {text!r}")
        if text[0] in "&*!|>%@`{}[],?" or re.search(r":\s", text):
            self.fail(number, f"not understood: {text!r}; put it into quotes if it is text")
        return "" if text in ("~", "null") else text


def _scan(text: str) -> list[tuple[int, str]]:
    """The characters of a text that are outside quotes, with their places."""
    outside, quote, at = [], "", 0
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\" and quote == '"':
                at += 1
            elif char == quote:
                quote = ""
        elif char in "\"'" and (at == 0 or text[at - 1] in " \t[{,:-"):
            quote = char
        else:
            outside.append((at, char))
        at += 1
    return outside


def _without_comment(text: str) -> str:
    for at, char in _scan(text):
        if char == "#" and (at == 0 or text[at - 1] in " \t"):
            return text[:at]
    return text


def _closed(text: str) -> bool:
    depth = sum({"[": 1, "{": 1, "]": -1, "}": -1}.get(char, 0) for _, char in _scan(text))
    return depth <= 0 and text[-1] in "]}"


def _split(text: str) -> list[str]:
    commas = [-1, *(at for at, char in _scan(text) if char == ","), len(text)]
    return [text[a + 1 : b].strip() for a, b in pairwise(commas)]


def read_yaml(path: PathLike) -> dict[str, Value]:
    """The keys and values of a data.yaml file; all scalars as text. Raises DataError with file:line."""
    return _Reader(path).mapping()


def quoted(text: str) -> str:
    """A text as a YAML scalar in double quotes."""
    return json.dumps(text, ensure_ascii=False)

"""A cfg as the core reads it: sections and options with their lines, and the keys that each type knows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .._native import ffi, lib
from ..errors import check

NET, COMMON = -1, -2  # dn_registry_key's numbers for [net] and for the keys of every layer


@dataclass(frozen=True)
class Option:
    """A line of a section; value is None without '='."""

    key: str
    value: str | None
    line: int
    duplicate: bool


@dataclass
class Section:
    """A section; index is that of its layer, -1 for the first section."""

    name: str
    line: int
    index: int
    type: str
    options: list[Option] = field(default_factory=list)

    def option(self, key: str) -> Option | None:
        """The line that counts: the first with this key and a value."""
        return next((one for one in self.options if one.key == key and one.value is not None), None)

    def text(self, key: str, default: str = "") -> str:
        """Value of a key, or the default."""
        found = self.option(key)
        return default if found is None or found.value is None else found.value

    def has(self, key: str) -> bool:
        """Whether the key has a value."""
        return self.option(key) is not None

    def line_of(self, key: str) -> int:
        """Line of a key, else of the section."""
        found = self.option(key)
        return self.line if found is None else found.line

    def integer(self, key: str, default: int) -> int:
        """Value of a key as the core reads it: leading digits, else 0."""
        return integer(self.text(key)) if self.has(key) else default

    def number(self, key: str, default: float) -> float:
        """The same with a fraction."""
        return number(self.text(key)) if self.has(key) else default

    def integers(self, key: str) -> list[int]:
        """A comma-separated list; [] if absent."""
        return [integer(item) for item in self.text(key).split(",")] if self.has(key) else []

    def numbers(self, key: str) -> list[float]:
        """The same with fractions."""
        return [number(item) for item in self.text(key).split(",")] if self.has(key) else []

    @property
    def title(self) -> str:
        """How messages name it."""
        return f"[{self.name}]" if self.index < 0 else f"layer {self.index} [{self.name}]"


def integer(text: str) -> int:
    """Leading whole number of a text, else 0."""
    found = re.match(r"[+-]?[0-9]{1,18}", text)
    return int(found[0]) if found else 0


def number(text: str) -> float:
    """Leading number of a text, else 0."""
    found = re.match(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text)
    return float(found[0]) if found else 0.0


@dataclass
class Config:
    """A cfg: its name, lines, sections, and what is wrong with lines, as (line, is an error, message)."""

    file: str
    lines: list[str]
    sections: list[Section]
    notes: list[tuple[int, bool, str]]

    @classmethod
    def parse(cls, text: bytes, file: str) -> Config:
        """Reads it. Raises CfgError only if there are no sections in it."""
        out = ffi.new("dn_config **")
        check(lib.dn_config_create(out, text, len(text), file.encode("utf-8", "surrogateescape")))
        handle = ffi.gc(out[0], lib.dn_config_free)
        line, flag = ffi.new("int *"), ffi.new("int *")
        sections = []
        for i in range(lib.dn_config_section_count(handle)):
            name = _text(lib.dn_config_section(handle, i, line))
            section = Section(name, line[0], i - 1, canonical(name))
            value = ffi.new("const char **")
            k = 0
            while key := lib.dn_config_option(handle, i, k, value, line, flag):
                given = None if value[0] == ffi.NULL else _text(value[0])
                section.options.append(Option(_text(key), given, line[0], bool(flag[0])))
                k += 1
            sections.append(section)
        notes = list[tuple[int, bool, str]]()
        while note := lib.dn_config_note(handle, len(notes), line, flag):
            notes.append((line[0], bool(flag[0]), _text(note)))
        return cls(file, text.decode("utf-8-sig", "replace").split("\n"), sections, notes)

    @property
    def net(self) -> Section:
        """The first section."""
        return self.sections[0]

    @property
    def layers(self) -> list[Section]:
        """The others."""
        return self.sections[1:]

    def section_at(self, line: int) -> Section | None:
        """The section that a line belongs to."""
        return next((one for one in reversed(self.sections) if one.line <= line), None)


def _text(pointer: Any) -> str:
    return str(ffi.string(pointer).decode("utf-8", "replace"))


# ---- what the core knows -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A key of the registry."""

    name: str
    default: str | None
    meaning: str


@cache
def layer_types() -> dict[str, int]:
    """Names and aliases of layer types, with the registry's number."""
    found, aliases, i = dict[str, int](), ffi.new("const char **"), 0
    while name := lib.dn_registry_type(i, aliases):
        names = [_text(name), *(_text(aliases[0]).split(",") if aliases[0] else [])]
        found |= dict.fromkeys(names, i)
        i += 1
    return found


def canonical(name: str) -> str:
    """The type that an alias stands for; other names as they are."""
    number = layer_types().get(name)
    return name if number is None else _text(lib.dn_registry_type(number, ffi.new("const char **")))


@cache
def keys_of(number: int) -> dict[str, Key]:
    """Keys of a type of the registry, or of NET or COMMON."""
    found = dict[str, Key]()
    default, meaning = ffi.new("const char **"), ffi.new("const char **")
    while name := lib.dn_registry_key(number, len(found), default, meaning):
        value = None if default[0] == ffi.NULL else _text(default[0])
        found[_text(name)] = Key(_text(name), value, _text(meaning[0]))
    return found


def keys_for(section: Section) -> dict[str, Key] | None:
    """Keys that a section understands; None if its type is unknown."""
    if section.index < 0:
        return keys_of(NET)
    number = layer_types().get(section.name)
    return None if number is None else keys_of(number) | keys_of(COMMON)


def owners_of(key: str) -> list[str]:
    """Sections that know a key, as [name]."""
    found = ["[net]"] if key in keys_of(NET) else []
    for name, number in layer_types().items():
        if key in keys_of(number) and f"[{canonical(name)}]" not in found:
            found.append(f"[{canonical(name)}]")
    return found


@cache
def activations() -> tuple[str, ...]:
    """Names of activation functions."""
    found = list[str]()
    while name := lib.dn_registry_activation(len(found)):
        found.append(_text(name))
    return tuple(found)


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name that a misspelt one probably stands for."""
    close = difflib.get_close_matches(name, list(known), 1, likeness)
    return close[0] if close else None

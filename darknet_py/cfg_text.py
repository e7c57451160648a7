"""The text of a .cfg, changed section by section. What is not changed stays as it was, comments included.

Only the lexical rules are known here (src/config/config.c has them in full); meaning is the core's business.
"""

from __future__ import annotations

import os
from pathlib import Path

from .errors import ArgumentError, CfgFileError, CfgNotFoundError

__all__ = ["CfgText"]


class CfgText:
    """Lines of a cfg, by section: 0 is [net], i + 1 is layer i."""

    def __init__(self, text: str) -> None:
        self._end = "\r\n" if "\r\n" in text else "\n"
        self._head: list[str] = []  # what stands before the first section
        self._sections: list[list[str]] = []
        for line in text.splitlines():
            if _bare(line).startswith("["):
                self._sections.append([])
            (self._sections[-1] if self._sections else self._head).append(line)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> CfgText:
        """The text of a file. Raises CfgError."""
        try:
            return cls(Path(path).read_bytes().decode("utf-8-sig", "surrogateescape"))
        except FileNotFoundError:
            raise CfgNotFoundError(f"{os.fspath(path)}: no such file") from None
        except OSError as error:
            raise CfgFileError(f"{os.fspath(path)}: {error.strerror or error}") from error

    def __len__(self) -> int:
        return len(self._sections)

    def name(self, section: int) -> str:
        """What stands in a section's brackets."""
        return _bare(self._lines(section)[0])[1:].partition("]")[0]

    def set(self, section: int, key: str, value: object) -> None:
        """Gives a key of a section a value, in the place of the old one or at the top."""
        lines = self._lines(section)
        first = next((k for k, line in enumerate(lines) if _key(line) == key), 1)
        self.remove(section, key)
        lines.insert(first, f"{key}={value}")

    def remove(self, section: int, key: str) -> None:
        """Takes a key out of a section, however often it stands there."""
        lines = self._lines(section)
        lines[:] = [line for line in lines if _key(line) != key]

    def replace(self, section: int, name: str, **values: object) -> None:
        """Makes a section another one."""
        self._lines(section)[:] = [f"[{name}]", *(f"{key}={value}" for key, value in values.items()), ""]

    def keep(self, sections: int) -> None:
        """Cuts everything after the first sections."""
        self._lines(sections - 1)
        del self._sections[sections:]

    def _lines(self, section: int) -> list[str]:
        if not 0 <= section < len(self._sections):
            raise ArgumentError(f"expected a section 0..{len(self._sections) - 1}, found {section}")
        return self._sections[section]

    def __str__(self) -> str:
        lines = [*self._head, *(line for section in self._sections for line in section)]
        return "".join(line + self._end for line in lines)

    def __bytes__(self) -> bytes:
        return str(self).encode("utf-8", "surrogateescape")


def _bare(line: str) -> str:
    """Without blanks, which do not count anywhere in a cfg."""
    return line.replace(" ", "").replace("\t", "").replace("\r", "")


def _key(line: str) -> str | None:
    bare = _bare(line)
    return None if bare.startswith(("#", ";", "[")) else bare.partition("=")[0]

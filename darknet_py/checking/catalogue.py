"""The pictures of a data set in a temporary database: what a list of a million lines leaves in memory is
nothing but the database's own cache."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from .labels import Place

_TABLE = """
create table pictures (split text, number int, file blob, line int, path blob, device int, inode int);
"""
_PENDING = 1000  # rows that are written at once


class Listed(NamedTuple):
    """A picture of a split: where it is mentioned, and its path."""

    file: str
    line: int
    path: str

    @property
    def place(self) -> Place:
        """File and line."""
        return self.file, self.line

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.path


class Catalogue:
    """Pictures by split. Files that are missing are told by add, and not kept."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("")  # a temporary file that SQLite removes
        self._base.executescript("pragma journal_mode = off; pragma synchronous = off;" + _TABLE)
        self._pending: list[tuple[str, int, bytes, int, bytes, int, int]] = []
        self._counts: dict[str, int] = {}

    def close(self) -> None:
        """Removes it."""
        self._base.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, split: str, place: Place, path: str) -> bool:
        """Adds a picture; False if there is no such file."""
        try:
            found = os.stat(path)  # noqa: PTH116 - called for every picture
        except (OSError, ValueError):
            return False
        number = self._counts.get(split, 0)
        self._counts[split] = number + 1
        device, inode = (value & (1 << 63) - 1 for value in (found.st_dev, found.st_ino))
        names = os.fsencode(place[0]), os.fsencode(path)  # which need not be UTF-8, as text must
        self._pending.append((split, number, names[0], place[1], names[1], device, inode))
        if len(self._pending) >= _PENDING:
            self._write()
        return True

    def count(self, split: str) -> int:
        """Pictures of a split."""
        return self._counts.get(split, 0)

    def spread(self, split: str, most: int) -> tuple[range, Iterator[Listed]]:
        """At most so many pictures of a split, evenly spread over it, and their numbers."""
        count = self.count(split)
        if not count or not most:
            return range(0), iter(())
        step = -(-count // most)
        query = "select file, line, path from pictures where split = ? and number % ? = 0 order by number"
        return range(0, count, step), self._rows(query, split, step)

    def at(self, split: str, number: int) -> Listed:
        """The picture of a split that was added as this one, from 0."""
        query = "select file, line, path from pictures where split = ? and number = ?"
        self._base.execute("create index if not exists numbers on pictures (split, number)")
        return next(self._rows(query, split, number))

    def twice(self, split: str, most: int) -> tuple[int, list[tuple[Listed, Listed]]]:
        """How many entries of a split are files that it has before, and the first of them, both places."""
        groups = "from pictures where split = ? group by inode, device having count(*) > 1"
        self._write()
        count = self._base.execute(f"select sum(n - 1) from (select count(*) as n {groups})", (split,))
        found = self._base.execute(
            f"select min(number), max(number) {groups} order by 1 limit ?", (split, most)
        ).fetchall()
        pairs = [(self.at(split, first), self.at(split, last)) for first, last in found]
        return int(count.fetchone()[0] or 0), pairs

    def shared(self, split: str, other: str, most: int) -> tuple[int, list[tuple[Listed, Listed]]]:
        """How many files of a split another one has, too, and the first of them, both places."""
        self._write()
        self._base.execute("create index if not exists files on pictures (inode, device, split)")
        same = (
            "from pictures a join pictures b on a.inode = b.inode and a.device = b.device "
            "where a.split = ? and b.split = ?"
        )
        count = self._base.execute(
            f"select count(*) from (select distinct a.inode, a.device {same})", (split, other)
        ).fetchone()[0]
        query = (
            f"select a.file, a.line, a.path, b.file, b.line, b.path {same} "
            "group by a.inode, a.device order by min(a.number) limit ?"
        )
        rows = self._base.execute(query, (split, other, most)).fetchall() if count else []
        return count, [(_listed(row[:3]), _listed(row[3:])) for row in rows]

    def _write(self) -> None:
        self._base.executemany("insert into pictures values (?, ?, ?, ?, ?, ?, ?)", self._pending)
        self._pending.clear()

    def _rows(self, query: str, *values: object) -> Iterator[Listed]:
        self._write()
        return map(_listed, self._base.execute(query, values))


def _listed(row: tuple[bytes, int, bytes]) -> Listed:
    return Listed(os.fsdecode(row[0]), row[1], os.fsdecode(row[2]))

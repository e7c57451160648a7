"""What is known of many pictures, by number: paths, boxes and classes in temporary files, so that a list of a
million lines needs no more memory than a short one."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import IO, TypeVar, overload

import numpy as np
import numpy.typing as npt

from .errors import DataFileError

__all__ = ["Boxes", "Collection", "Paths", "Stored", "place_of"]

Floats = npt.NDArray[np.float32]
Item = TypeVar("Item")

VALUES = 5  # of a box: class, centre, size
BLOCK = 1 << 16  # bytes kept before they are written


class _Column:
    """Byte strings by number: in memory while they are few, then in files without a name that go with their
    last user."""

    def __init__(self) -> None:
        self._files: tuple[IO[bytes], ...] = ()  # of the strings, and of where each ends
        self._waiting = (bytearray(), bytearray())  # what they do not have yet
        self._length = self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._length

    def append(self, content: bytes) -> None:
        contents, ends = self._waiting
        contents += content
        self._bytes += len(content)
        ends += self._bytes.to_bytes(8, "little")
        self._length += 1
        if len(contents) + len(ends) > BLOCK:
            self._flush()

    def _flush(self) -> None:
        try:
            if not self._files:
                self._files = (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115
            for file, waiting in zip(self._files, self._waiting, strict=True):
                file.write(waiting)
                file.flush()
                waiting.clear()
        except OSError as error:
            raise DataFileError(
                f"{tempfile.gettempdir()}: cannot write the list of pictures: {error.strerror or error}"
            ) from error

    def __getitem__(self, index: int) -> bytes:
        first = max(index - 1, 0)
        with self._lock:
            if self._files and self._waiting[1]:
                self._flush()
            ends = self._read(1, 8 * first, 8 * (index + 1))
            begin = int.from_bytes(ends[:8], "little") if index else 0
            return self._read(0, begin, int.from_bytes(ends[-8:], "little"))

    def _read(self, which: int, begin: int, end: int) -> bytes:
        if self._files:
            return os.pread(self._files[which].fileno(), end - begin, begin)
        return bytes(self._waiting[which][begin:end])


class Stored(Sequence[Item]):
    """A sequence that grows at its end, of what a subclass can make of bytes. Any number of threads may
    read."""

    def __init__(self) -> None:
        self._column = _Column()

    def _item(self, content: bytes) -> Item:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"expected a number 0..{len(self) - 1}, found {index}")
        return self._item(self._column[number])

    def __iter__(self) -> Iterator[Item]:
        return (self[i] for i in range(len(self)))


class Paths(Stored[str]):
    """Paths of pictures; equal to a list of the same. source: the file that lists them, if one does."""

    def __init__(self, source: str = "") -> None:
        super().__init__()
        self._source, self._lines = source, _Column()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Paths, list)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # it grows

    def _item(self, content: bytes) -> str:
        return content.decode("utf-8", "surrogateescape")

    def add(self, path: str, *, line: int = 0) -> None:
        """One more picture, named in this line of the source."""
        self._column.append(path.encode("utf-8", "surrogateescape"))
        if self._source:
            self._lines.append(line.to_bytes(8, "little"))

    def place(self, index: int) -> str:
        """Where a picture is listed, as the beginning of a message about it."""
        return f"{self._source}:{int.from_bytes(self._lines[index], 'little')}: " if self._source else ""


def place_of(paths: Sequence[str], index: int) -> str:
    """Paths.place; nothing for pictures that no file lists."""
    return paths.place(index) if isinstance(paths, Paths) else ""


class Boxes(Stored[Floats]):
    """Of every picture its boxes, float32 (count, 5)."""

    def _item(self, content: bytes) -> Floats:
        rows: Floats = np.frombuffer(content, np.float32).reshape(-1, VALUES).copy()
        return rows

    def add(self, boxes: npt.ArrayLike) -> Floats:
        """Those of one more picture; gives them as they will be read."""
        rows = np.asarray(boxes, np.float32).reshape(-1, VALUES)
        self._column.append(rows.tobytes())
        return rows


class Collection(Paths):
    """Paths of pictures. labels: their boxes, rows class, x, y, w, h. classes: of each, for classification.

    counts: how many boxes (or pictures) each class has. source: as of Paths.
    """

    def __init__(self, source: str = "") -> None:
        super().__init__(source)
        self._boxes, self._classes = Boxes(), _Column()
        self.counts: Counter[int] = Counter()

    def add(
        self, path: str, boxes: npt.ArrayLike = (), class_id: int | None = None, *, line: int = 0
    ) -> None:
        """One more picture."""
        super().add(path, line=line)
        rows = self._boxes.add(boxes)
        self.counts.update(int(kind) for kind in rows[:, 0])
        if class_id is not None:
            self._classes.append(class_id.to_bytes(4, "little"))
            self.counts[class_id] += 1

    @property
    def labels(self) -> Sequence[Floats]:
        """The boxes of each picture."""
        return self._boxes

    @property
    def classes(self) -> npt.NDArray[np.int32]:
        """The class of each picture."""
        ids = (int.from_bytes(self._classes[i], "little") for i in range(len(self._classes)))
        return np.fromiter(ids, np.int32, len(self._classes))

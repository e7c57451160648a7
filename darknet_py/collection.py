"""Pictures of a data set by number: paths, boxes and classes in temporary files, so that a list of a million
lines needs no more memory than a short one."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from .errors import DataFileError

__all__ = ["Collection"]

Floats = npt.NDArray[np.float32]

VALUES = 5  # of a box: class, centre, size
BLOCK = 1 << 16  # bytes written at once


class _Column:
    """Byte strings by number, in a file without a name that goes with its last user."""

    def __init__(self) -> None:
        self._data, self._ends = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self._waiting, self._waiting_ends = bytearray(), bytearray()
        self._length = self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._length

    def append(self, content: bytes) -> None:
        self._waiting += content
        self._bytes += len(content)
        self._waiting_ends += self._bytes.to_bytes(8, "little")
        self._length += 1
        if len(self._waiting) + len(self._waiting_ends) > BLOCK:
            self._flush()

    def _flush(self) -> None:
        try:
            for file, waiting in ((self._data, self._waiting), (self._ends, self._waiting_ends)):
                file.write(waiting)
                file.flush()
                waiting.clear()
        except OSError as error:
            raise DataFileError(
                f"{tempfile.gettempdir()}: cannot write the list of pictures: {error.strerror or error}"
            ) from error

    def __getitem__(self, index: int) -> bytes:
        with self._lock:
            if self._waiting_ends:
                self._flush()
        first = max(index - 1, 0)
        ends = os.pread(self._ends.fileno(), 8 * (index + 1 - first), 8 * first)
        begin = int.from_bytes(ends[:8], "little") if index else 0
        return os.pread(self._data.fileno(), int.from_bytes(ends[-8:], "little") - begin, begin)


class _Boxes(Sequence[Floats]):
    """Of every picture its boxes, float32 (count, 5)."""

    def __init__(self, column: _Column) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> Floats: ...
    @overload
    def __getitem__(self, index: slice) -> list[Floats]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        rows = np.frombuffer(self._column[_number(index, len(self))], np.float32)
        return rows.reshape(-1, VALUES).copy()


class Collection(Sequence[str]):
    """Paths of pictures. labels: their boxes, rows class, x, y, w, h. classes: of each, for classification.

    counts: how many boxes (or pictures) each class has. Any number of threads may read.
    """

    def __init__(self) -> None:
        self._paths, self._boxes, self._classes = _Column(), _Column(), _Column()
        self.counts: Counter[int] = Counter()

    def add(self, path: str, boxes: npt.ArrayLike = (), class_id: int | None = None) -> None:
        """One more picture."""
        self._paths.append(os.fsencode(path))
        rows = np.asarray(boxes, np.float32).reshape(-1, VALUES)
        self._boxes.append(rows.tobytes())
        self.counts.update(int(kind) for kind in rows[:, 0])
        if class_id is not None:
            self._classes.append(class_id.to_bytes(4, "little"))
            self.counts[class_id] += 1

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return os.fsdecode(self._paths[_number(index, len(self))])

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    @property
    def labels(self) -> Sequence[Floats]:
        """The boxes of each picture."""
        return _Boxes(self._boxes)

    @property
    def classes(self) -> npt.NDArray[np.int32]:
        """The class of each picture."""
        ids = (int.from_bytes(self._classes[i], "little") for i in range(len(self._classes)))
        return np.fromiter(ids, np.int32, len(self._classes))


def _number(index: int, count: int) -> int:
    number = index + count if index < 0 else index
    if not 0 <= number < count:
        raise IndexError(f"expected a number 0..{count - 1}, found {index}")
    return number

"""Progress for people and for logs: a one-line bar on a terminal, plain lines elsewhere.

Everything goes to standard error or to a stream that the caller names; results never pass through here.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

__all__ = ["Bar", "format_duration"]

REDRAW_SECONDS = 0.1


def format_duration(seconds: float) -> str:
    """Seconds as "2h03m", "4m05s" or "7s"."""
    whole = max(0, int(seconds + 0.5))
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    if whole >= 60:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole}s"


class Bar:
    """A line that is redrawn in place on a terminal; elsewhere it writes nothing (or, with `every`, plain lines).

    with Bar("drawing", total) as bar: bar.update(done, "text")
    """

    def __init__(
        self, title: str, total: int, *, quiet: bool = False, stream: TextIO | None = None, start: int = 0
    ) -> None:
        self.title = title
        self.total = total
        self.stream = stream if stream is not None else sys.stderr
        self.live = not quiet and bool(getattr(self.stream, "isatty", lambda: False)())
        self._first = start
        self._started = time.monotonic()
        self._drawn_at = 0.0
        self._drawn = False

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.clear()

    def update(self, done: int, text: str = "") -> None:
        """Redraws at most ten times a second."""
        now = time.monotonic()
        if not self.live or (now - self._drawn_at < REDRAW_SECONDS and done < self.total):
            return
        self._drawn_at = now
        self._drawn = True
        columns = max(20, shutil.get_terminal_size().columns - 1)
        part = min(1.0, done / self.total) if self.total > 0 else 0.0
        worked = done - self._first
        left = (now - self._started) * (self.total - done) / worked if worked > 0 else 0.0
        filled = int(part * 16)
        head = f"{self.title} [{'#' * filled}{'.' * (16 - filled)}] {done}/{self.total}"
        tail = f"{text}  {format_duration(left)} left" if text else f"{format_duration(left)} left"
        self.stream.write("\r\x1b[K" + f"{head}  {tail}"[:columns])
        self.stream.flush()

    def clear(self) -> None:
        """Removes the bar, so that ordinary lines can be written."""
        if self._drawn:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
            self._drawn = False
            self._drawn_at = 0.0

    def line(self, text: str) -> None:
        """Writes an ordinary line above the bar."""
        self.clear()
        self.stream.write(text + "\n")
        self.stream.flush()

"""Progress for people and for logs: a one-line bar on a terminal, plain lines elsewhere.

Everything goes to standard error or to a stream that the caller names; results never pass through here.
"""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import suppress
from typing import TextIO

__all__ = ["Bar", "TrainingReport", "format_duration"]

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
    """A line that is redrawn in place on a terminal; elsewhere nothing is written. total 0: nobody knows.

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
        if not self.live or (now - self._drawn_at < REDRAW_SECONDS and done != self.total):
            return
        self._drawn_at = now
        self._drawn = True
        columns = max(20, shutil.get_terminal_size().columns - 1)
        if not self.total:
            self.stream.write(
                "\r\x1b[K" + "  ".join([f"{self.title} {done}", *([text] if text else [])])[:columns]
            )
            self.stream.flush()
            return
        part = min(1.0, done / self.total) if self.total > 0 else 0.0
        worked = done - self._first
        left = (now - self._started) * (self.total - done) / worked if worked > 0 else 0.0
        filled = int(part * 16)
        picture = f"{self.title} [{'#' * filled}{'.' * (16 - filled)}] "
        figures = "  ".join(
            [f"{done}/{self.total}", *([text] if text else []), f"{format_duration(left)} left"]
        )
        # A narrow terminal does without the picture rather than without the figures.
        line = picture + figures if len(picture) + len(figures) <= columns else figures
        self.stream.write("\r\x1b[K" + line[:columns])
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


class TrainingReport:
    """Figures of a training run: a bar on a terminal; else the reference's lines, every `every` updates, on
    standard output."""

    def __init__(
        self,
        total: int,
        *,
        start: int,
        images_per_update: int,
        quiet: bool = False,
        every: int | None = None,
        epoch_images: int | None = None,
    ) -> None:
        self._bar = Bar("training", total, quiet=quiet or total == 0, start=start)
        self._quiet = quiet
        self._every = every if every is not None else 0 if self._bar.live else 10
        self._total, self._start = total, start
        self._images_per_update, self._epoch_images = images_per_update, epoch_images
        self._scores: dict[str, float] = {}
        self.failed: OSError | None = None  # why there are no more lines
        self._began, self._worked = time.monotonic(), time.process_time()

    def __enter__(self) -> TrainingReport:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._bar.clear()

    def update(
        self, done: int, loss: float, average: float, rate: float, seconds: float, images: int
    ) -> None:
        """One update: number, loss, running average, learning rate, its seconds, images seen so far."""
        if (
            not self._quiet
            and self._every
            and (done % self._every == 0 or done in (self._start + 1, self._total))
        ):
            epoch = f", {images / self._epoch_images:.3f}" if self._epoch_images else ""
            self._print(
                f"{done}{epoch}: {loss:f}, {average:f} avg, {rate:f} rate, "
                f"{seconds:f} seconds, {images} images"
            )
        worked = done - self._start
        speed = worked * self._images_per_update / max(time.monotonic() - self._began, 1e-9)
        scores = "".join(f"  {name} {100 * value:.1f}%" for name, value in self._scores.items())
        self._bar.update(
            done, f"loss {loss:.2f}  avg {average:.2f}  rate {rate:.6f}  {speed:.0f} images/s{scores}"
        )

    def score(self, done: int, name: str, value: float) -> None:
        """A figure of the validation images."""
        self._scores[name] = value
        if not self._quiet:
            self._print(f"{done}: {name} = {100 * value:.2f} %")

    def _print(self, text: str) -> None:
        """A line on standard output. That nobody takes it must not lose what was learned."""
        self._bar.clear()
        try:
            if self.failed is None:
                print(text, flush=True)
        except OSError as error:
            self.failed = error

    def end(self, text: str) -> None:
        """The last words, and how long it all took."""
        if not self._quiet:
            passed, worked = time.monotonic() - self._began, time.process_time() - self._worked
            with suppress(OSError):  # it is the last line, and what it is about is done
                self._bar.line(f"{text}; {format_duration(passed)}, processor time {format_duration(worked)}")

"""Under load: batches against single pictures, sessions side by side against one, growth of memory."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from ..inspection import resident
from ..network import Network
from ..session import Session

__all__ = ["Load", "load_text", "measure_load"]


#: Batches that a session of one thread takes at a time: threads take a while to spread over processors.
ROUNDS = 4


class Load(NamedTuple):
    """Pictures per second, and bytes of memory.

    single, batched: one after the other and in batches, on `threads` threads. alone: one session on one
    thread; together: as many of those as `threads`, at the same time. growth: of the process during
    `predictions` more, after all buffers were there.
    """

    threads: int
    batch: int
    single: float
    batched: float
    alone: float
    together: float
    growth: int
    predictions: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict()


def measure_load(net: Network, threads: int = 2, batch: int = 8, runs: int = 10) -> Load:
    """Measures all of it in turns; medians of `runs`, each a batch of pictures."""
    pictures = np.random.default_rng(1).random((batch, *net.input_shape[1:]), np.float32)
    whole = net.session(threads)
    sessions = [net.session(1) for _ in range(threads)]

    def one_by_one() -> None:
        for picture in pictures:
            whole.predict(picture)

    def steadily(session: Session) -> None:
        for _ in range(ROUNDS):
            for picture in pictures:
                session.predict(picture)

    def alone() -> None:
        steadily(sessions[0])

    with ThreadPoolExecutor(threads) as pool:

        def together() -> None:
            list(pool.map(steadily, sessions))

        ways: list[Callable[[], Any]] = [one_by_one, lambda: whole.predict(pictures), alone, together]
        times = _in_turns(ways, runs)
        gc.collect()
        before = resident()
        _in_turns(ways, runs)
        gc.collect()
        growth = resident() - before
    for session in (whole, *sessions):
        session.close()
    counts = (batch, batch, ROUNDS * batch, threads * ROUNDS * batch)
    single, batched, one, many = (
        count / statistics.median(values) for count, values in zip(counts, times, strict=True)
    )
    return Load(threads, batch, single, batched, one, many, growth, runs * sum(counts))


def _in_turns(ways: list[Callable[[], Any]], runs: int) -> list[list[float]]:
    for way in ways:
        way()
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(runs):
        for way, values in zip(ways, times, strict=True):
            begin = time.perf_counter()
            way()
            values.append(time.perf_counter() - begin)
    return times


def load_text(name: str, found: Load) -> str:
    """Three lines."""
    return "\n".join(
        [
            f"{name} under load, pictures per second",
            f"  {found.threads} threads: {found.single:.1f} one by one, {found.batched:.1f} in batches of "
            f"{found.batch}: {found.batched / found.single:.2f} times",
            f"  sessions of 1 thread: {found.alone:.1f} from one, {found.together:.1f} from {found.threads} "
            f"at the same time: {found.together / found.alone:.2f} times",
            f"  memory grew by {found.growth / 1024:.0f} KiB in {found.predictions} predictions",
        ]
    )

"""The memory that training takes, by the core's own figures, against what the machine has."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from .._native import ffi, lib
from ..errors import DarknetError, check
from ..loaders import CACHE_BYTES
from ..logs import captured
from ..network import Network
from .context import Context
from .findings import Several

MEGABYTE = 1 << 20


class Machine(NamedTuple):
    """Bytes that a process may have at all, and that are free now; 0 where nobody knows."""

    total: int
    free: int


class Need(NamedTuple):
    """Bytes to train with so many pictures per pass. fixed: parameters, gradients, moments."""

    fixed: int
    buffers: int

    @property
    def total(self) -> int:
        """Without the loader's pictures."""
        return self.fixed + self.buffers


def machine() -> Machine:
    """What this machine has, or the control group that the process is in."""
    total = free = 0
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text("ascii"), re.M)
        free = int(found[1]) * 1024 if found else 0
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text("ascii").strip()
        if limit.isdigit():
            used = int((group / "memory.current").read_text("ascii"))
            total, free = min(total, int(limit)), min(free, max(int(limit) - used, 0))
    except (OSError, ValueError, AttributeError):  # another system, or no control groups
        pass
    return Machine(total, free)


def check_memory(context: Context, several: Several, threads: int | None = None) -> int | None:
    """Tells what training takes at the largest size. Gives more subdivisions where it would not fit."""
    net, have = context.config.net, machine()
    batch, parts = max(net.integer("batch", 1), 1), max(net.integer("subdivisions", 1), 1)
    width, height = largest_size(context)
    need = need_of(context, (width, height), max(batch // parts, 1), threads)
    if need is None:
        return None
    cache = min(CACHE_BYTES, (have.total or CACHE_BYTES) // 4)
    text = (
        f"training takes about {_megabytes(need.total)} ({_megabytes(need.fixed)} for parameters and "
        f"gradients, {_megabytes(need.buffers)} for passes of {max(batch // parts, 1)} pictures of "
        f"{width} x {height}), and up to {_megabytes(cache)} for decoded pictures"
    )
    place = (context.config.file, net.line_of("subdivisions" if net.has("subdivisions") else "batch"))
    room = (have.free or have.total) - cache
    if not have.total or need.total <= room:
        several.add(place, "note", "memory", text)
        return None
    better = _fitting(context, (width, height), batch, parts, room, threads)
    text += f"; this machine has {_megabytes(have.total)}, of which {_megabytes(have.free)} are free"
    hint = f"set subdivisions={better}" if better else "use a smaller width and height, or a smaller network"
    severity = "error" if need.total > have.total else "warning"
    several.add(place, severity, "memory", text, hint)
    return better


def largest_size(context: Context) -> tuple[int, int]:
    """Width and height of the largest pictures that training at several scales takes."""
    from ..feeding import size_choices

    width, height = context.input_size()
    section = context.heads[-1] if context.heads else context.config.net
    random = 0.0 if section.type == "detection" else section.number("random", 0)
    step = max(context.config.net.integer("resize_step", 32), 1)
    if random <= 0 or not width:
        return width, height
    return max((*size_choices(width, height, random, step), (width, height)))


def need_of(context: Context, size: tuple[int, int], images: int, threads: int | None = None) -> Need | None:
    """What a trainer takes for passes of so many images; None for a network that can't be built so."""
    text = "\n".join(context.config.lines).encode()
    fixed, buffers = ffi.new("uint64_t *"), ffi.new("uint64_t *")
    try:
        with captured():
            network = Network(
                text,
                initialize=False,
                batch=images,
                width=size[0] or None,
                height=size[1] or None,
                name=context.config.file,
            )
            with network:
                rows = network.input_shape[0]  # of recurrent networks: times their steps
                check(lib.dn_trainer_bytes(network._use(), rows, threads or 0, fixed, buffers))
                parameters = 4 * sum(layer.param_count for layer in network.layers)
    except DarknetError:
        return None
    return Need(int(fixed[0]) + parameters, int(buffers[0]))


def _fitting(
    context: Context, size: tuple[int, int], batch: int, parts: int, room: int, threads: int | None
) -> int | None:
    """The least number of subdivisions above `parts` with which training fits."""
    for more in (n for n in range(parts + 1, batch + 1) if batch % n == 0):
        need = need_of(context, size, batch // more, threads)
        if need is not None and need.total <= room:
            return more
    return None


def _megabytes(count: int) -> str:
    return (
        f"{count / MEGABYTE:.0f} MB" if count < 10 * 1024 * MEGABYTE else f"{count / MEGABYTE / 1024:.1f} GB"
    )

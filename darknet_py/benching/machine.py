"""The machine: what it is, what it can do at most, and how engines are held to an older instruction set."""

from __future__ import annotations

import os
import platform
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .._native import ffi, lib
from ..errors import ArgumentError, check

__all__ = ["Limits", "describe", "excluded", "force", "measure", "processors"]

#: What holds other engines to a level; those not named can't be held.
LEVELS = {
    "avx2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX512-CLX,AVX512-ICL,AVX512-COMMON",
    },
}
HELD = ("darknet_py", "openvino", "opencv", "torch")

MEASUREMENTS, PAUSE = 3, 0.3  # seconds, longer than two processors mostly share a core


class Limits(NamedTuple):
    """float32 operations and bytes read per second, at most."""

    flops: float
    bytes: float


@cache
def measure(threads: int) -> Limits:
    """The most of a few measurements, spread over one or two seconds; once per number of threads.

    For 200 ms, or now and then seconds, a virtual machine's processors may share one physical core, and then
    two threads reach the peak of one; how quickly memory is read changes with what else the host does. A
    limit is the most seen.
    """
    flops, read = ffi.new("double *"), ffi.new("double *")
    most = Limits(0, 0)
    for attempt in range(MEASUREMENTS):
        time.sleep(PAUSE if attempt else 0)
        check(lib.dn_cpu_measure(flops, read, threads))
        most = Limits(max(most.flops, flops[0]), max(most.bytes, read[0]))
    return most


def processors() -> int:
    """Those this process may use."""
    return int(lib.dn_cpu_count())


def describe() -> str:
    """One line: processor, its count, instruction-set level."""
    model = platform.processor() or platform.machine()
    known = Path("/proc/cpuinfo")
    for line in known.read_text().splitlines() if known.exists() else []:
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    level = lib.dn_cpu_level()
    check(lib.DN_OK if level != ffi.NULL else lib.DN_ERROR_ARGUMENT)
    return f"{model}, {lib.dn_cpu_count()} processors, kernels {ffi.string(level).decode()}"


def excluded(engine: str, level: str | None) -> str | None:
    """Why an engine can't take part at a forced level."""
    return None if level is None or engine in HELD else f"it can't be held to {level}"


def force(level: str | None) -> None:
    """Holds this process and those it starts to a level. Before anything has run."""
    if level is None:
        return
    if level not in LEVELS:
        raise ArgumentError(f"expected a level of {', '.join(LEVELS)}, found {level!r}")
    os.environ.update({"DARKNET_CPU": level, **LEVELS[level]})
    found = lib.dn_cpu_level()
    check(lib.DN_OK if found != ffi.NULL else lib.DN_ERROR_ARGUMENT)
    if ffi.string(found).decode() != level:
        raise ArgumentError(f"{level} was asked for after kernels had been chosen")

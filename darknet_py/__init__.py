"""darknet_py: a runtime for Darknet networks.

import darknet_py as dn
net = dn.Network("yolov3-tiny.cfg", "yolov3-tiny.weights")
for found in net.detect("dog.jpg"):
    print(found.label, found.confidence, found.xyxy)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .starting import quiet_interrupts

with quiet_interrupts():
    from . import boxes, images
    from ._native import ffi, lib
    from .boxes import WordTree
    from .errors import (
        ArgumentError,
        CfgError,
        DarknetError,
        DataError,
        FileError,
        ImageError,
        InternalError,
        NumericError,
        OutOfMemoryError,
        StateError,
        UnsupportedError,
        WeightsError,
    )
    from .logs import logger
    from .network import Layer, Network
    from .results import Detection, Detections
    from .session import Session
    from .trainer import Trainer

__version__: str = ffi.string(lib.dn_version()).decode()

# Loaded at first use, so that `import darknet_py` stays quick.
_LAZY = (
    "checking",
    "cli",
    "convert",
    "data",
    "datasets",
    "diffing",
    "drawing",
    "dreams",
    "evaluation",
    "export",
    "hierarchy",
    "inspection",
    "metrics",
    "pictures",
    "surgery",
    "synth",
    "text",
    "training",
    "wordtree",
)

__all__ = [
    "ArgumentError",
    "CfgError",
    "DarknetError",
    "DataError",
    "Detection",
    "Detections",
    "FileError",
    "ImageError",
    "InternalError",
    "Layer",
    "Network",
    "NumericError",
    "OutOfMemoryError",
    "Session",
    "StateError",
    "Trainer",
    "UnsupportedError",
    "WeightsError",
    "WordTree",
    "__version__",
    "boxes",
    "build_info",
    "cpu_level",
    "images",
    "logger",
]


def build_info() -> str:
    """Compiler and flags of the core, one line."""
    return str(ffi.string(lib.dn_build_info()).decode("utf-8", "replace"))


def cpu_level() -> str:
    """The instruction set the kernels use: "generic", "avx2", "avx512" or "neon".

    Raises ArgumentError if the environment variable DARKNET_CPU asks for one this machine lacks.
    """
    level = lib.dn_cpu_level()
    if level == ffi.NULL:
        raise ArgumentError(ffi.string(lib.dn_error_message()).decode("utf-8", "replace"))
    return str(ffi.string(level).decode())


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])

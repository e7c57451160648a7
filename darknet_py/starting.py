"""Ctrl-C while the program's modules are still being loaded: it ends with status 130 and without a traceback.

Whoever imports the package as a library keeps Python's way.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["quiet_interrupts"]


def _is_program() -> bool:
    """Whether this is the installed command or python -m darknet_py, whose argv[0] is -m until the package is
    loaded, and then the path of __main__.py."""
    name = (getattr(sys, "argv", None) or [""])[0]
    if name == "-m":
        return "darknet_py" in sys.orig_argv or "-mdarknet_py" in sys.orig_argv
    return f"/{name}".endswith(("/darknet_py", "/darknet_py/__main__.py"))


def _end(number: int, _frame: object) -> None:
    os._exit(128 + number)


@contextmanager
def quiet_interrupts() -> Iterator[None]:
    """For the block that imports. An exception would not do: what a C module imports may not pass it on."""
    before = signal.getsignal(signal.SIGINT)
    mine = before is signal.default_int_handler and _is_program()
    with suppress(ValueError):  # not the main thread, which alone hears signals
        if mine:
            signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _end:
            signal.signal(signal.SIGINT, signal.default_int_handler)

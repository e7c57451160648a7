"""Feeds the core's messages to the standard logger "darknet_py". Silent until the program configures
logging."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ._native import ffi, lib

logger = logging.getLogger("darknet_py")
logger.addHandler(logging.NullHandler())

_local = threading.local()


@ffi.def_extern()  # type: ignore[untyped-decorator]
def dn_py_log(level: int, message: Any, user: Any) -> None:
    text = ffi.string(message).decode("utf-8", "replace")
    kept = getattr(_local, "kept", None)
    if kept is not None:
        kept.append((level, text))
        return
    logger.log(logging.WARNING if level >= lib.DN_LOG_WARNING else logging.INFO, "%s", text)


lib.dn_log_set(lib.dn_py_log, ffi.NULL)
# The core may still have something to say while the interpreter is taken down; nobody can hear it then.
atexit.register(lib.dn_log_set, ffi.NULL, ffi.NULL)


@contextmanager
def captured() -> Iterator[list[tuple[int, str]]]:
    """Gives what the core says on this thread, as (level, message), instead of logging it."""
    before, kept = getattr(_local, "kept", None), list[tuple[int, str]]()
    _local.kept = kept
    try:
        yield kept
    finally:
        _local.kept = before

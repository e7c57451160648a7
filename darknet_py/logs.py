"""Feeds the core's messages to the standard logger "darknet_py". Silent until the program configures
logging."""

from __future__ import annotations

import atexit
import logging
from typing import Any

from ._native import ffi, lib

logger = logging.getLogger("darknet_py")
logger.addHandler(logging.NullHandler())


@ffi.def_extern()  # type: ignore[untyped-decorator]
def dn_py_log(level: int, message: Any, user: Any) -> None:
    text = ffi.string(message).decode("utf-8", "replace")
    logger.log(logging.WARNING if level >= lib.DN_LOG_WARNING else logging.INFO, "%s", text)


lib.dn_log_set(lib.dn_py_log, ffi.NULL)
# The core may still have something to say while the interpreter is taken down; nobody can hear it then.
atexit.register(lib.dn_log_set, ffi.NULL, ffi.NULL)

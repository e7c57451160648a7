"""Exceptions, and the one function that turns a status of the C core into one.

Every exception derives from DarknetError and from the builtin a Python programmer would expect.
"""

from __future__ import annotations

import os
from pathlib import Path

from ._native import ffi, lib


class DarknetError(Exception):
    """Base of everything this package raises on purpose."""


class CfgError(DarknetError, ValueError):
    """A network description (.cfg) is wrong; the message names file, line, section and key."""


class WeightsError(DarknetError, ValueError):
    """A weights file does not fit its network."""


class ImageError(DarknetError, ValueError):
    """Something is no usable picture."""


class DataError(DarknetError, ValueError):
    """Labels, truth, trees, maps or lists are wrong."""


class ArgumentError(DarknetError, ValueError):
    """A function was called with an impossible argument."""


class FileError(DarknetError, OSError):
    """The operating system refused a file."""


class OutOfMemoryError(DarknetError, MemoryError):
    """An allocation failed, or would exceed the network's memory limit."""


class UnsupportedError(DarknetError, NotImplementedError):
    """Known, but not in this build."""


class StateError(DarknetError, RuntimeError):
    """The right call at the wrong moment: something is closed, or in use."""


class NumericError(DarknetError, ArithmeticError):
    """A loss or a parameter is not finite any more."""


class InternalError(DarknetError, RuntimeError):
    """A bug of this package; please report it."""


class CfgFileError(CfgError, FileError):
    """A .cfg file cannot be read."""


class WeightsFileError(WeightsError, FileError):
    """A .weights file cannot be read or written."""


class ImageFileError(ImageError, FileError):
    """A picture's file cannot be read or written."""


class DataFileError(DataError, FileError):
    """A .data, .names, tree or list file cannot be read."""


class CfgNotFoundError(CfgFileError, FileNotFoundError):
    """There is no such .cfg file."""


class WeightsNotFoundError(WeightsFileError, FileNotFoundError):
    """There is no such .weights file."""


class ImageNotFoundError(ImageFileError, FileNotFoundError):
    """There is no such picture."""


class DataNotFoundError(DataFileError, FileNotFoundError):
    """There is no such .data, .names, tree or list file."""


_BY_STATUS: dict[int, type[DarknetError]] = {
    lib.DN_ERROR_NO_MEMORY: OutOfMemoryError,
    lib.DN_ERROR_ARGUMENT: ArgumentError,
    lib.DN_ERROR_CONFIG: CfgError,
    lib.DN_ERROR_WEIGHTS: WeightsError,
    lib.DN_ERROR_FILE: FileError,
    lib.DN_ERROR_IMAGE: ImageError,
    lib.DN_ERROR_DATA: DataError,
    lib.DN_ERROR_UNSUPPORTED: UnsupportedError,
    lib.DN_ERROR_STATE: StateError,
    lib.DN_ERROR_NUMERIC: NumericError,
    lib.DN_ERROR_INTERNAL: InternalError,
}


def check(status: int, file_error: type[FileError] = FileError) -> None:
    """Raises the exception of a dn_status that is not DN_OK, with the core's message.

    file_error is what a refused file becomes: the caller knows whether it was a cfg or a picture.
    """
    if status == lib.DN_OK:
        return
    message = ffi.string(lib.dn_error_message()).decode("utf-8", "replace")
    kind = file_error if status == lib.DN_ERROR_FILE else _BY_STATUS.get(status, InternalError)
    raise kind(message)


def path_bytes(path: str | os.PathLike[str], missing: type[FileNotFoundError] | None = None) -> bytes:
    """A path as C wants it. With missing, raises that if there is no such file."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ArgumentError(f"{os.fspath(path)!r}: a file name cannot hold a null character")
    if missing is not None and not Path(path).exists():
        raise missing(f"{os.fspath(path)}: no such file")
    return encoded

"""Describes the C module darknet_py._native to cffi: which declarations, which sources, which flags.

Run by setup.py at build time only; never imported by the package.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from cffi import FFI

# cffi runs this file with exec from the root of the source tree, as setuptools does with setup.py.
ROOT = Path(globals().get("__file__", "darknet_py/_ffi_build.py")).resolve().parent.parent
CALLBACKS = 'extern "Python" void dn_py_log(int level, const char *message, void *user);\n'


def declarations() -> str:
    """The part of include/dn.h that cffi understands."""
    header = (ROOT / "include" / "dn.h").read_text("utf-8")
    _, begin, rest = header.partition("/* declarations begin */")
    body, end, _ = rest.partition("/* declarations end */")
    if not begin or not end:
        raise SystemExit("include/dn.h: the marks around the declarations are missing")
    return body.replace("DN_API ", "")


def core_flags() -> list[str]:
    """CORE_CFLAGS of the Makefile, the one place the flags of the core are written."""
    found = re.search(r"^CORE_CFLAGS := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    if not found:
        raise SystemExit("Makefile: no CORE_CFLAGS")
    return found.group(1).split()


def core_sources() -> list[str]:
    """All C files of the core, relative to the root, as setuptools wants them."""
    found = [*ROOT.glob("src/*/*.c"), *ROOT.glob("src/*/*/*.c")]
    names = sorted(path.relative_to(ROOT).as_posix() for path in found)
    return [name for name in names if not name.startswith("src/compat/")]


builder = FFI()
builder.cdef(declarations() + CALLBACKS)
builder.set_source(
    "darknet_py._native",
    '#include "dn.h"',
    sources=core_sources(),
    depends=sorted(
        path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("src/**/*.h"), ROOT / "include/dn.h"]
    ),
    include_dirs=["include", "src"],
    define_macros=[("DN_API", "")],  # the core is inside the module: nothing of it is exported
    # Distributions compile Python with -g; a wheel needs it only where the builder asks for it.
    extra_compile_args=core_flags() + ([] if "-g" in os.environ.get("CFLAGS", "") else ["-g0"]),
    extra_link_args=["-pthread", *(["-Wl,--exclude-libs,ALL"] if sys.platform == "linux" else [])],
    libraries=["m"],
)

"""Builds darknet_py._native: the cffi module with the C core compiled in. Everything else is in
pyproject.toml.

Compiler flags come from the Makefile (CORE_CFLAGS), the version from include/dn.h, the declarations from
darknet_py/_ffi_build.py, so nothing is written twice.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def version() -> str:
    found = re.search(
        r'^#define DN_VERSION "(.+)"', (ROOT / "include" / "dn.h").read_text("utf-8"), re.MULTILINE
    )
    if not found:
        raise SystemExit("include/dn.h: no DN_VERSION")
    return found.group(1)


class ParallelBuild(build_ext):
    """Compiles the objects of the extension on all processors."""

    def build_extensions(self) -> None:
        compile_some = self.compiler.compile

        def compile_all(sources: list[str], *arguments: Any, **options: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                groups = pool.map(lambda source: compile_some([source], *arguments, **options), sources)
                return [one for group in groups for one in group]

        self.compiler.compile = compile_all
        super().build_extensions()


setup(
    version=version(),
    cffi_modules=["darknet_py/_ffi_build.py:builder"],
    cmdclass={"build_ext": ParallelBuild},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)

"""Ctrl-C while the program is still being loaded: no traceback, whatever is being imported."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import darknet_py

ROOT = Path(__file__).parents[1]
IMPORTED_FROM = Path(darknet_py.__file__).parents[1]  # the repository, or where the package is installed

#: Presses Ctrl-C when a module is looked for, and then takes its time.
INTERRUPTING = """
import os, signal, sys, time

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell's background ignores it

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

sys.meta_path.insert(0, Interrupting())
"""


def interrupted(arguments: list[str], module: str, folder: Path) -> tuple[int, str]:
    """Exit status and standard error of Python, interrupted while it imports a module."""
    (folder / "sitecustomize.py").write_text(INTERRUPTING)
    env = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{IMPORTED_FROM}", "INTERRUPT_AT": module}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def script(folder: Path) -> str:
    """The installed command, as pip writes it."""
    entry = re.search(r'^darknet_py = "([\w.]+):(\w+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    assert entry
    path = folder / "darknet_py"
    path.write_text(f"import sys\nfrom {entry[1]} import {entry[2]}\nsys.exit({entry[2]}())\n")
    return str(path)


@pytest.mark.parametrize(
    "module", ["numpy", "darknet_py._native", "darknet_py.cli", "argparse", "darknet_py.cli.detect"]
)
def test_the_command_ends_quietly_when_interrupted_during_its_imports(module: str, tmp_path: Path) -> None:
    for program in (["-m", "darknet_py"], [script(tmp_path)]):
        status, said = interrupted([*program, "detect", "no.cfg", "no.weights"], module, tmp_path)
        assert status == 128 + signal.SIGINT
        assert said in ("", "darknet_py: interrupted\n")


def test_a_program_that_imports_the_package_is_interrupted_as_ever(tmp_path: Path) -> None:
    status, said = interrupted(["-c", "import darknet_py"], "darknet_py._native", tmp_path)
    assert status != 128 + signal.SIGINT and "KeyboardInterrupt" in said

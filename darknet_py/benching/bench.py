"""A measurement from its header to its document: what `darknet_py bench` and benchmarks/compare.py do."""

from __future__ import annotations

import datetime
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..data import check_folder, check_regular, make_folder, write_whole
from .machine import describe, measure
from .report import comparison_text, steps_text
from .running import Model, compare, prepare
from .steps import profile

__all__ = ["bench", "check_json", "header", "write_json"]

Say = Callable[[str], None]


def header(threads: Sequence[int], say: Say = print) -> dict[str, Any]:
    """Says and gives command, machine, date, and the machine's limits for these numbers of threads."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name  # python -m darknet_py
    document: dict[str, Any] = {
        "command": shlex.join([name, *sys.argv[1:]]),
        "machine": describe(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }
    for key, value in document.items():
        say(f"{key + ':':<9} {value}")
    document["limits"] = {}
    for count in threads:
        limits = measure(count)
        document["limits"][str(count)] = limits._asdict()
        say(
            f"{'limits:':<9} {count} thread{'s' if count > 1 else ''}: {limits.flops / 1e9:.0f} GFLOP/s of "
            f"multiply-adds, {limits.bytes / 1e9:.1f} GB/s read from memory"
        )
    return document


def bench(
    models: Sequence[Model],
    engines: Sequence[str],
    threads: Sequence[int],
    *,
    runs: int = 20,
    memory: str = "fast",
    torch_python: str = sys.executable,
    level: str | None = None,
    say: Say = print,
    note: Say = lambda _: None,
) -> list[dict[str, Any]]:
    """Measures each network on each number of threads, beside the engines, and step by step.

    say is told the results, note what is going on. Gives a dictionary per network and number of threads.
    """
    found = []
    for model in models:
        with tempfile.TemporaryDirectory(prefix="darknet_py-bench-") as temporary:
            note(f"{model.name}: files are prepared")
            files = prepare(model, engines, Path(temporary), torch_python=torch_python)
            for count in threads:
                limits = measure(count)
                comparison = compare(
                    model,
                    files,
                    engines,
                    count,
                    limits,
                    runs=runs,
                    memory=memory,
                    torch_python=torch_python,
                    level=level,
                    note=note,
                )
                say("\n" + comparison_text(comparison))
                with model.network(files.job["weights"], memory=memory) as net:
                    steps = profile(net, count, limits, min(runs, 10))
                say(steps_text(steps))
                found.append({**comparison.to_dict(), "steps": [one.to_dict() for one in steps]})
    return found


def check_json(path: str | os.PathLike[str]) -> None:
    """Raises DataFileError if write_json could not write this file. Its folder is made if missing."""
    target = Path(path)
    check_regular(target)
    make_folder(target.parent)
    check_folder(target.parent)


def write_json(document: Any, path: str | os.PathLike[str]) -> None:
    """Writes a document, whole or not at all."""
    write_whole(path, json.dumps(document, indent=1) + "\n")

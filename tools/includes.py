"""Checks the arrow rule of src/: a file includes its own folder, base/, and folders above it in the list.

Prints every include that goes the other way; the exit status says whether there was one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"

#: From the ground up. compat/ stands outside: it sees include/ only.
FOLDERS = (
    "base", "config", "kernels", "backends", "boxes", "layers", "network", "plan", "image", "training",
)  # fmt: skip


def included(file: Path) -> Iterator[tuple[int, Path]]:
    """Line and path of every include in quotation marks; system headers are free."""
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        if found := re.match(r'\s*#\s*include\s+"([^"]+)"', line):
            places = [base / found[1] for base in (file.parent, SOURCE, ROOT / "include")]
            yield number, next((place.resolve() for place in places if place.is_file()), places[0])


def folder_of(path: Path) -> str | None:
    """First folder below src/, or None outside it."""
    return path.relative_to(SOURCE).parts[0] if path.is_relative_to(SOURCE) else None


def violations() -> list[str]:
    found = []
    for file in sorted([*SOURCE.rglob("*.c"), *SOURCE.rglob("*.h")]):
        own, where = folder_of(file), file.relative_to(ROOT)
        if own == "compat":
            allowed: set[str | None] = {None, "compat"}
        elif own in FOLDERS:
            allowed = {None, *FOLDERS[: FOLDERS.index(own) + 1]}
        else:
            found.append(f"{where}: src/{own} is not in the list of folders")
            continue
        for line, target in included(file):
            if not target.is_file():
                found.append(f"{where}:{line}: no such file: {target.name}")
            elif folder_of(target) not in allowed or not target.is_relative_to(ROOT):
                found.append(f"{where}:{line}: {own}/ must not include {target.relative_to(ROOT)}")
    return found


if __name__ == "__main__":
    print("\n".join(violations()), end="\n" if violations() else "")
    sys.exit(bool(violations()))

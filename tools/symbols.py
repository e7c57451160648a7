"""Checks what compiled objects of the core ask for and give away, with nm.

Arguments: libdn.a, or object files. The core must not end the process, write to the standard streams or parse
numbers by the locale; memory comes from base/memory.c alone. Prints what breaks that; the exit status says
whether anything does.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FORBIDDEN = {
    "ends the process": "exit _exit _Exit quick_exit abort __assert_fail __assert_rtn raise",
    "writes to a standard stream": "printf vprintf puts putchar fputs fputc fwrite fprintf vfprintf perror"
    " __printf_chk __vprintf_chk __fprintf_chk __vfprintf_chk stdout stderr",
    "depends on the locale": "atof strtod strtof strtold sscanf fscanf setlocale __isoc99_sscanf",
    "shares hidden state": "rand srand random srandom strtok setenv putenv",
}
ALLOCATORS = ["malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc", "strdup", "strndup"]


def undefined(files: list[Path]) -> list[tuple[str, str]]:
    """(object, symbol) of everything the objects take from elsewhere."""
    listing = subprocess.run(
        ["nm", "-u", *map(str, files)], capture_output=True, text=True, check=True
    ).stdout
    member, found = files[0].name, []
    for line in listing.splitlines():
        if line.endswith(":"):
            member = Path(line[:-1]).name
        elif name := re.fullmatch(r"\s+[Uw] (\w+)(@.*)?", line):
            found.append((member, name[1]))
    return found


def violations(files: list[Path]) -> list[str]:
    reasons = {name: why for why, names in FORBIDDEN.items() for name in names.split()}
    found = [f"{member}: {name} {reasons[name]}" for member, name in undefined(files) if name in reasons]
    for member, name in undefined(files):
        if name in ALLOCATORS and member != "memory.o":
            found.append(f"{member}: {name} goes around base/memory.c")
    return found


def exported(library: Path) -> list[str]:
    """Names a shared library gives away."""
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", str(library)], capture_output=True, text=True, check=True
    ).stdout
    return [line.split()[-1] for line in listing.splitlines()]


def globals_of(files: list[Path]) -> list[str]:
    """Names that objects share with each other, and so with whatever they are linked into."""
    listing = subprocess.run(
        ["nm", "-g", "--defined-only", *map(str, files)], capture_output=True, text=True, check=True
    ).stdout
    return [line.split()[-1] for line in listing.splitlines() if re.match(r"[0-9a-f]+ \w ", line)]


if __name__ == "__main__":
    problems = violations([Path(name) for name in sys.argv[1:]])
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(bool(problems))

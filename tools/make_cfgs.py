#!/usr/bin/env python3
"""Writes cfg/ and the table of cfg/README.md from the models of cfg_*.py. --check says what is stale."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import cfg_classifiers  # noqa: E402
import cfg_detectors  # noqa: E402
import cfg_others  # noqa: E402
import cfg_yolov4  # noqa: E402
from cfg_writer import Cfg  # noqa: E402

import darknet_py as dn  # noqa: E402

FOLDER = ROOT / "cfg"
BEGIN, END = "<!-- table of tools/make_cfgs.py -->", "<!-- end of the table -->"


def models() -> list[Cfg]:
    """All, in the table's order."""
    return [*cfg_detectors.models(), *cfg_yolov4.models(), *cfg_classifiers.models(), *cfg_others.models()]


def stand_in_tree(folder: Path) -> None:
    """A data/9k.tree of 9418 leaves and a map, where the real ones, which are not ours, may be missing."""
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "9k.tree").write_text("".join(f"n{i} -1\n" for i in range(9418)))
    (folder / "data" / "coco9k.map").write_text("".join(f"{i}\n" for i in range(80)))


def files() -> dict[str, str]:
    """Text of every file by its name, cfg/README.md with them."""
    pages, rows = {}, ["| file | what | paper | input | parameters | GFLOP |", "|---|---|---|---|---|---|"]
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        stand_in_tree(Path(folder))
        os.chdir(folder)
        try:
            for cfg in models():
                with dn.Network.from_string(cfg.body(), initialize=False, strict=True) as net:
                    shape = net.input_shape[1:]
                    parameters = sum(layer.param_count for layer in net.layers)
                    flop = sum(layer.flops for layer in net.layers)
                    pages[f"{cfg.name}.cfg"] = cfg.page(shape, parameters, net.weights_bytes, flop)
                size = " x ".join(map(str, [*shape[1:], shape[0]]))
                cells = (
                    f"`{cfg.name}.cfg`",
                    cfg.title,
                    cfg.paper,
                    size,
                    f"{parameters:,}",
                    f"{flop / 1e9:.2f}",
                )
                rows.append(f"| {' | '.join(cells)} |")
        finally:
            os.chdir(before)
    table = "\n".join([BEGIN, *rows, END])
    readme = (FOLDER / "README.md").read_text("utf-8")
    pages["README.md"] = re.sub(rf"{BEGIN}.*{END}", lambda _: table, readme, flags=re.DOTALL)
    return pages


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, text in files().items():
        path = FOLDER / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, "utf-8")
    if stale:
        print(("not up to date: " if check else "written: ") + ", ".join(stale))
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())

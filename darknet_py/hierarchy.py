"""A data set for YOLO9000's joint training: shapes in a word tree, some of which have no box in training.

Five kinds of shapes come in pictures with boxes, three (CLASS_ONLY) only in pictures that say what they show.
The validation pictures have all eight, with boxes. Drawn by synth.py: the same seed gives the same files.
"""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from . import synth

__all__ = ["CLASS_ONLY", "MAP", "TREE", "generate", "map_text", "tree_text"]

#: name and parent of every node
TREE = (
    ("object", -1),
    ("round", 0),
    ("angular", 0),
    ("circle", 1),
    ("ring", 1),
    ("heart", 1),
    ("square", 2),
    ("triangle", 2),
    ("star", 2),
    ("cross", 2),
    ("arrow", 2),
)
#: the node of each of synth.KINDS, by which the labels with boxes count
MAP = tuple([name for name, _ in TREE].index(kind) for kind in synth.KINDS)
#: the kinds that no box shows in training
CLASS_ONLY = tuple(synth.KINDS.index(kind) for kind in ("ring", "star", "arrow"))
BOXED = tuple(kind for kind in synth.ALL if kind not in CLASS_ONLY)


def tree_text() -> str:
    """The tree file."""
    return "".join(f"{name} {parent}\n" for name, parent in TREE)


def map_text() -> str:
    """The class map: a line per kind of shape."""
    return "".join(f"{node}\n" for node in MAP)


def generate(
    folder: str | os.PathLike[str],
    *,
    train: int = 2000,
    val: int = 400,
    size: int = 96,
    seed: int = 0,
    quiet: bool = False,
) -> Path:
    """Writes `train` pictures with boxes, as many with a class only, and `val` to measure by.

    Returns the path of joint.data; boxes.data beside it leaves the pictures without boxes out. shapes.tree
    and shapes.map are what a cfg names as `tree` and `map`.
    """
    synth.check_counts(train, val, size, seed)

    def draw(split: str, index: int) -> tuple[Image.Image, str]:
        if split == "classes":
            image, boxes = synth.portrait(seed, 10, index, size, CLASS_ONLY)
            return image, f"{MAP[boxes[0].kind]} 0 0 0 0\n"
        number, kinds = (11, BOXED) if split == "train" else (12, synth.ALL)
        image, boxes = synth.example(seed, number, index, size, kinds, most=4, smallest=0.2)
        return image, synth.label_text(boxes, size, size)

    common = (
        f"classes = {len(TREE)}\ntrain = {{base}}train.txt\nvalid = {{base}}val.txt\n"
        "map = {base}shapes.map\nnames = {base}shapes.names\n"
    )
    mixture = "classification = {base}classes.txt\nclassification_ratio = 1\n"
    files = {
        "joint.data": f"{common}{mixture}backup = {{base}}backup-joint\n",
        "boxes.data": f"{common}backup = {{base}}backup-boxes\n",
        "shapes.tree": tree_text(),
        "shapes.map": map_text(),
        "shapes.names": "".join(f"{name}\n" for name, _ in TREE),
    }
    counts = {"train": train, "classes": train, "val": val}
    return synth.write_set(folder, counts, draw, files, quiet=quiet) / "joint.data"

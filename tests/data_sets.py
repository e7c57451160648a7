"""Small data sets for tests: sound ones, to be spoiled."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

CFG = """[net]
width=96
height=96
channels=3
batch=4
max_batches=100
policy=steps
steps=80,90
scales=.1,.1
[convolutional]
filters=8
size=3
stride=8
pad=1
batch_normalize=1
activation=leaky
[convolutional]
filters=14
activation=linear
[yolo]
mask=2,3
anchors=4,5, 10,12, 30,32, 60,61
num=4
classes=2
[route]
layers=-3
[upsample]
stride=2
[convolutional]
filters=14
activation=linear
[yolo]
mask=0,1
anchors=4,5, 10,12, 30,32, 60,61
num=4
classes=2
"""

CLASSIFIER = """[net]
width=32
height=32
channels=3
batch=4
max_batches=100
learning_rate=.01
[convolutional]
filters=2
size=3
stride=2
pad=1
activation=leaky
[avgpool]
[softmax]
"""

#: Boxes of all sizes that the anchors of CFG have, of both classes.
LABELS = "0 .5 .5 .05 .06\n1 .4 .6 .11 .12\n0 .5 .5 .32 .34\n1 .5 .4 .63 .64\n"


@cache
def encoded(seed: int, size: int = 96) -> bytes:
    """A PNG file of picture."""
    file = BytesIO()
    picture(seed, size).save(file, "PNG", compress_level=1)
    return file.getvalue()


def picture(seed: int, size: int = 96) -> Image.Image:
    """One that no other one looks like."""
    pattern = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(pattern).resize((size, size), Image.Resampling.BICUBIC)


def detection_set(folder: Path, train: int = 24, valid: int = 6, labels: str = LABELS) -> Path:
    """A sound one in a folder: my.data, my.names, my.cfg, lists, images/NAME.png, labels/NAME.txt."""
    for sub in ("images", "labels"):
        (folder / sub).mkdir()
    for split, numbers in (("train", range(train)), ("valid", range(100, 100 + valid))):
        for i in numbers:
            (folder / "images" / f"{i}.png").write_bytes(encoded(i))
            (folder / "labels" / f"{i}.txt").write_text(labels)
        (folder / f"{split}.txt").write_text("".join(f"images/{i}.png\n" for i in numbers))
    (folder / "my.names").write_text("apple\npear\n")
    (folder / "my.data").write_text(
        "classes=2\ntrain=train.txt\nvalid=valid.txt\nnames=my.names\nbackup=backup\n"
    )
    (folder / "my.cfg").write_text(CFG)
    return folder


def classification_set(folder: Path, count: int = 24) -> Path:
    """A sound one: my.data, my.labels, my.cfg, lists, train/CLASS/NAME.png, val/CLASS/NAME.png."""
    for split, name, numbers in (("train", "train", range(count)), ("valid", "val", range(100, 106))):
        lines = []
        for i in numbers:
            kind = ("apple", "pear")[i % 2]
            (folder / name / kind).mkdir(parents=True, exist_ok=True)
            (folder / name / kind / f"{i}.png").write_bytes(encoded(i, 40))
            lines.append(f"{name}/{kind}/{i}.png\n")
        (folder / f"{split}.txt").write_text("".join(lines))
    (folder / "my.labels").write_text("/apple/\n/pear/\n")
    (folder / "my.data").write_text("classes=2\ntrain=train.txt\nvalid=valid.txt\nlabels=my.labels\n")
    (folder / "my.cfg").write_text(CLASSIFIER)
    return folder

"""Writes network files: sections in order, and the comment on top that says what the network is.

A model is a Cfg filled by a function of cfg_classifiers.py, cfg_detectors.py or cfg_others.py; make_cfgs.py
builds each, counts, and writes cfg/.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

WIDTH = 118  # of comments

#: Training settings of the classifiers published with Darknet, and their augmentation.
CLASSIFIER = {
    "batch": 128,
    "subdivisions": 1,
    "width": 256,
    "height": 256,
    "channels": 3,
    "momentum": 0.9,
    "decay": 0.0005,
    "burn_in": 1000,
    "learning_rate": 0.1,
    "policy": "poly",
    "power": 4,
    "max_batches": 800000,
    "min_crop": 128,
    "max_crop": 448,
    "angle": 7,
    "hue": 0.1,
    "saturation": 0.75,
    "exposure": 0.75,
    "aspect": 0.75,
}

#: Training settings of the detectors from YOLOv2 on.
DETECTOR = {
    "batch": 64,
    "subdivisions": 8,
    "width": 416,
    "height": 416,
    "channels": 3,
    "momentum": 0.9,
    "decay": 0.0005,
    "saturation": 1.5,
    "exposure": 1.5,
    "hue": 0.1,
    "learning_rate": 0.001,
    "burn_in": 1000,
    "max_batches": 500200,
    "policy": "steps",
    "steps": "400000,450000",
    "scales": ".1,.1",
}


@dataclass
class Cfg:
    """A network file. text: what the title and the paper leave unsaid; data: "80 classes (COCO)" or the like;
    fits: a sentence on weights; net: the keys of [net]."""

    name: str
    title: str
    paper: str
    text: str
    data: str
    fits: str
    net: dict[str, object]
    sections: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Layers so far."""
        return len(self.sections)

    def add(self, name: str, **options: object) -> int:
        """Appends a section; gives its layer's index."""
        self.sections.append((name, options))
        return self.count - 1

    # ---- sections that every model has --------------------------------------------------------------------

    def conv(
        self,
        filters: int,
        size: int = 3,
        stride: int = 1,
        *,
        activation: str = "leaky",
        normalize: bool = True,
        pad: int = 1,
        **more: Any,
    ) -> int:
        options: dict[str, object] = {"batch_normalize": 1} if normalize else {}
        options |= {"filters": filters, "size": size, "stride": stride, "pad": pad, "activation": activation}
        return self.add("convolutional", **options, **more)

    def convs(self, *filters: int, size: int = 3, activation: str = "leaky") -> int:
        """Convolutions one after the other; a negative number stands for a 1x1 one."""
        for n in filters:
            self.conv(abs(n), 1 if n < 0 else size, activation=activation)
        return self.count - 1

    def maxpool(self, size: int = 2, stride: int = 2, **more: object) -> int:
        return self.add("maxpool", size=size, stride=stride, **more)

    def connected(self, output: int, activation: str = "linear") -> int:
        return self.add("connected", output=output, activation=activation)

    def dropout(self, probability: float = 0.5) -> int:
        return self.add("dropout", probability=probability)

    def route(self, *layers: int, **more: object) -> int:
        """Joins layers, given by index; the file has them counted back from here."""
        return self.add("route", layers=",".join(str(one - self.count) for one in layers), **more)

    def shortcut(self, layer: int, activation: str = "linear") -> int:
        return self.add("shortcut", **{"from": layer - self.count}, activation=activation)

    def classes(self, count: int = 1000, *, pool_first: bool = False, activation: str = "linear") -> None:
        """The usual end of a classifier: a 1x1 convolution to classes, the mean over the map, softmax."""
        if pool_first:
            self.add("avgpool")
        self.conv(count, 1, activation=activation, normalize=False)
        if not pool_first:
            self.add("avgpool")
        self.add("softmax", groups=1)

    # ---- the file -----------------------------------------------------------------------------------------

    def body(self) -> str:
        """The sections."""
        blocks = []
        for name, options in [("net", self.net), *self.sections]:
            blocks.append(f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in options.items()))
        return "\n".join(blocks)

    def page(self, shape: tuple[int, ...], parameters: int, weights_bytes: int, flop: float) -> str:
        """The whole file; the numbers are those of the built network."""
        size = " x ".join(map(str, [*shape[1:], shape[0]])) if len(shape) == 3 else f"{shape[0]} values"
        facts = (
            f"Input {size}; {self.data}; {parameters:,} parameters ({weights_bytes:,} bytes of weights), "
            f"{flop / 1e9:.{2 if flop > 1e7 else 4}f} GFLOP. {self.fits}"
        )
        comment = [
            line
            for text in (f"{self.title} ({self.paper}). {self.text}", facts, "Written by tools/make_cfgs.py.")
            for line in textwrap.wrap(" ".join(text.split()), WIDTH - 2)
        ]
        return "".join(f"# {line}\n" for line in comment) + "\n" + self.body()

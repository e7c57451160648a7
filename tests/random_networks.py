"""Random networks that are right by construction, for hypothesis: a branch of Builder per layer type."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import darknet_py as dn

SMOOTH = ["linear", "logistic", "loggy", "relu", "elu", "selu", "relie", "ramp", "leaky", "tanh", "plse"]
SMOOTH += ["hardtan", "lhtan", "relu6", "revleaky", "swish", "mish", "gelu"]  # stair jumps
MOST_VALUES = 6000  # of one layer's output


class Builder:
    """Writes the sections of a network that is right by construction."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        c, h, w = self.number(1, 6), self.number(1, 19), self.number(1, 19)
        self.text = [f"[net]\nwidth={w}\nheight={h}\nchannels={c}\nbatch=1\n"]
        self.shapes: list[tuple[int, ...]] = [(c, h, w)]  # of the input, then of each layer; (n,) for vectors

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def pick(self, values: list[Any]) -> Any:
        return self.draw(st.sampled_from(values))

    def chance(self, one_in: int) -> bool:
        return self.number(1, one_in) == 1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[-1]

    @property
    def count(self) -> int:
        return len(self.shapes) - 1

    def add(self, name: str, shape: tuple[int, ...], **options: object) -> None:
        self.text.append(f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in options.items()))
        self.shapes.append(shape)

    def reference(self, layer: int) -> int:
        return layer if self.chance(2) else layer - self.count

    def conv(self, filters: int | None = None, size: int | None = None) -> None:
        c, h, w = self.shape
        size = size or self.pick([s for s in (1, 1, 3, 3, 3, 2, 5, 7) if s == 1 or s <= min(h, w) + 2])
        pad = self.number(0, 1) if size <= min(h, w) else 1
        padding = 0 if pad else self.number(0, 2)
        around = size // 2 if pad else padding
        if min(h, w) + 2 * around < size:
            pad, around = 1, size // 2
        if min(h, w) + 2 * around < size:
            size, around = 1, 0
        stride = self.pick([1, 1, 1, 2, 2, 3])
        stride_x, stride_y = (stride, self.number(1, 2)) if self.chance(8) else (stride, stride)
        filters = filters or (c if self.chance(3) else self.number(1, 20))
        groups = self.pick(
            [g for g in range(1, c + 1) if c % g == 0 and filters % g == 0] if self.chance(3) else [1]
        )
        out = ((h + 2 * around - size) // stride_y + 1, (w + 2 * around - size) // stride_x + 1)
        if filters * out[0] * out[1] > MOST_VALUES:
            stride_x = stride_y = stride = 2
            out = ((h + 2 * around - size) // 2 + 1, (w + 2 * around - size) // 2 + 1)
        options = {
            "filters": filters,
            "size": size,
            "stride": stride,
            "pad": pad,
            "padding": padding,
            "groups": groups,
        }
        if stride_x != stride_y:
            options.update(stride_x=stride_x, stride_y=stride_y)
        if size > 1 and self.chance(8):
            options["dilation"] = 2
        plain = (h + 2 * around - size + 1, w + 2 * around - size + 1)
        if stride_x == stride_y == 2 and self.chance(4) and filters * plain[0] * plain[1] <= MOST_VALUES:
            kind, out = self.blurred(plain, out)
            options["antialiasing"] = kind
        if self.chance(20):
            options["binary"] = 1
        special = ["normalize_channels", "normalize_channels_softmax"]
        activation = self.pick(special) if self.chance(20) else self.pick(SMOOTH)
        self.add(
            "convolutional",
            (filters, *out),
            batch_normalize=self.number(0, 1),
            activation=activation,
            **options,
        )

    def deconv(self) -> None:
        _, h, w = self.shape
        size, stride, filters = self.number(1, 4), self.number(1, 3), self.number(1, 8)
        pad = self.number(0, (size - 1) // 2)
        out = ((h - 1) * stride + size - 2 * pad, (w - 1) * stride + size - 2 * pad)
        if filters * out[0] * out[1] > MOST_VALUES:
            return self.maxpool()
        activation, norm = self.pick(SMOOTH), self.number(0, 1)
        return self.add("deconvolutional", (filters, *out), filters=filters, size=size, stride=stride,
                        padding=pad, batch_normalize=norm, activation=activation)  # fmt: skip

    def local(self) -> None:
        _, h, w = self.shape
        size = self.pick([s for s in (1, 2, 3, 5) if s <= min(h, w)])
        pad = size // 2 if size % 2 and self.chance(2) else 0
        stride, filters = self.number(1, 2), self.number(1, 4)
        out = ((h + 2 * pad - size) // stride + 1, (w + 2 * pad - size) // stride + 1)
        self.add("local", (filters, *out), filters=filters, size=size, pad=pad, stride=stride,
                 activation=self.pick(SMOOTH))  # fmt: skip

    def crop(self) -> None:
        c, h, w = self.shape
        out = (self.number(1, h), self.number(1, w))
        options = {"flip": 1, "angle": 9, "saturation": 2, "exposure": 2}  # in training only
        self.add(
            "crop", (c, *out), crop_height=out[0], crop_width=out[1], noadjust=self.number(0, 1), **options
        )

    def iseg(self) -> None:
        if self.shape[0] > 1:
            classes = self.number(1, self.shape[0] - 1)
            self.add("iseg", self.shape, classes=classes, ids=self.shape[0] - classes)

    def across(self) -> None:
        """Normalisation across channels; alpha is small, as a sliding sum may turn negative."""
        if self.chance(2):
            return self.add("l2norm", self.shape)
        return self.add("normalization", self.shape, size=self.number(1, 9), alpha=0.001, beta=0.75)

    def shared(self) -> None:
        """A convolution with the parameters of an earlier one."""
        c, h, w = self.shape
        if min(h, w) < 2:
            return self.conv()
        self.add("convolutional", (c, h, w), filters=c, size=3, pad=1, batch_normalize=1)
        return self.add("convolutional", (c, h, w), filters=c, size=3, pad=1, batch_normalize=1,
                        dilation=self.number(1, 2), activation=self.pick(SMOOTH),
                        share_index=self.reference(self.count - 1))  # fmt: skip

    def maxpool(self) -> None:
        c, h, w = self.shape
        if self.chance(6):
            left = self.number(1, c)
            self.add("maxpool", (left, h, w), maxpool_depth=1, out_channels=left)
            return
        size, stride = self.number(1, 5), self.number(1, 3)
        padding = self.number(0, size - 1) if self.chance(3) else size - 1
        if min(h, w) + padding < size:
            padding = size - 1
        out, kind = ((h + padding - size) // stride + 1, (w + padding - size) // stride + 1), 0
        if stride == 2 and self.chance(4):
            kind, out = self.blurred((h + padding - size + 1, w + padding - size + 1), out)
        self.add("maxpool", (c, *out), size=size, stride=stride, padding=padding, antialiasing=kind)

    def blurred(self, plain: tuple[int, int], out: tuple[int, int]) -> tuple[int, tuple[int, ...]]:
        """A value for antialiasing and the shape it leaves; plain: shape at stride 1, out: without blur."""
        kind = self.number(0, 2)
        if kind == 2 and min(plain) < 2:
            kind = 1
        if kind == 0:
            return 0, out
        return kind, tuple((n - 1) // 2 + 1 if kind == 1 else (n - 2) // 2 + 1 for n in plain)

    def resample(self) -> None:
        c, h, w = self.shape
        if self.chance(3) and h % 2 == 0 and w % 2 == 0:
            self.add("upsample", (c, h // 2, w // 2), stride=-2)
        elif c * h * w * 4 <= MOST_VALUES:
            self.add("upsample", (c, 2 * h, 2 * w), stride=2, scale=self.pick([1, 0.5]))
        else:
            self.maxpool()

    def reorg(self) -> None:
        c, h, w = self.shape
        if c % 4 == 0 and h % 2 == 0 and w % 2 == 0:
            self.add("reorg", (4 * c, h // 2, w // 2), stride=2)
        elif c % 4 == 0:
            self.add("reorg", (c // 4, 2 * h, 2 * w), stride=2, reverse=1)
        else:
            self.add("reorg", (c, h, w), stride=1, flatten=1, reverse=self.number(0, 1))

    def route(self) -> None:
        """Of one layer or several, of any shapes; sometimes slices. The same layer may appear twice."""
        if self.count == 0:
            return self.conv()
        first = self.number(max(0, self.count - 8), self.count - 1)
        alike = [i for i in range(self.count) if self.shapes[i + 1][1:] == self.shapes[first + 1][1:]]
        if len(self.shapes[first + 1]) == 1:
            return self.add("route", self.shapes[first + 1], layers=self.reference(first))
        sources = [first] + [self.pick(alike) for _ in range(self.number(0, 3))]
        groups = 1
        if self.chance(3):
            groups = int(
                str(self.pick([g for g in (1, 2, 3) if all(self.shapes[i + 1][0] % g == 0 for i in sources)]))
            )
        c = sum(self.shapes[i + 1][0] // groups for i in sources)
        if c * self.shapes[first + 1][1] * self.shapes[first + 1][2] > MOST_VALUES:
            sources, c = [first], self.shapes[first + 1][0] // groups
        options = {"groups": groups, "group_id": self.number(0, groups - 1)} if groups > 1 else {}
        layers = ",".join(str(self.reference(i)) for i in sources)
        return self.add("route", (c, *self.shapes[first + 1][1:]), layers=layers, **options)

    def shortcut(self) -> None:
        _, h, w = self.shape
        same = [i for i in range(self.count) if self.shapes[i + 1][1:] == (h, w)]
        equal = [i for i in same if self.shapes[i + 1] == self.shape]
        other = [i for i in range(self.count) if len(self.shapes[i + 1]) == 3
                 and self.shapes[i + 1][1] // h == self.shapes[i + 1][2] // w
                 and h // self.shapes[i + 1][1] == w // self.shapes[i + 1][2]]  # fmt: skip
        if self.count == 0:
            return self.conv()
        if len(equal) > 1 and not self.chance(4):  # the previous layer itself is among them
            return self.add("shortcut", self.shape, **{"from": self.reference(self.pick(equal))},
                            activation=self.pick(["linear", "linear", "leaky"]))  # fmt: skip
        if self.chance(3):
            sources = [self.pick(same) for _ in range(self.number(1, 3))]
            listed = ",".join(str(self.reference(i)) for i in sources)
            return self.add("shortcut", self.shape, **{"from": listed},
                            weights_type=self.pick(["none", "per_feature", "per_channel"]),
                            weights_normalization=self.pick(["none", "relu", "softmax"]),
                            activation=self.pick(["linear", "mish"]))  # fmt: skip
        return self.add("shortcut", self.shape, **{"from": self.reference(self.pick(other))},
                        alpha=self.pick([1, 0.5]), beta=self.pick([1, 2]))  # fmt: skip

    def squeeze_excite(self) -> None:
        scaled, (c, h, w) = self.count - 1, self.shape
        if scaled < 0:
            return self.conv()
        if self.chance(3):
            self.conv(filters=1, size=1)
            if self.shape != (1, h, w):
                return None
            return self.add("scale_channels", (c, h, w), **{"from": self.reference(scaled)}, scale_wh=1)
        self.add("avgpool", (c, 1, 1))
        self.add("convolutional", (c, 1, 1), filters=c, size=1, activation="logistic")
        return self.add("scale_channels", (c, h, w), **{"from": self.reference(scaled)},
                        activation=self.pick(["linear", "relu"]))  # fmt: skip

    def attention(self) -> None:
        """Products of maps, and learned factors."""
        c, h, w = self.shape
        same = [i for i in range(self.count) if self.shapes[i + 1] == self.shape]
        if self.count == 0 or not same:
            return self.conv()
        if self.chance(2):
            return self.add("sam", self.shape, **{"from": self.reference(self.pick(same))},
                            activation=self.pick(["linear", "logistic"]))  # fmt: skip
        self.add("implicit", (c, 1, 1), filters=c, mean=1)
        return self.add("scale_channels", (c, h, w), **{"from": self.reference(self.count - 2)})

    def local_avgpool(self) -> None:
        c, h, w = self.shape
        size, stride = self.number(1, 4), self.number(1, 3)
        out = ((h - 1) // stride + 1, (w - 1) // stride + 1)
        self.add("local_avgpool", (c, *out), size=size, stride=stride)

    def reorg3d(self) -> None:
        c, h, w = self.shape
        if h % 2 == 0 and w % 2 == 0:
            self.add("reorg3d", (4 * c, h // 2, w // 2), stride=2)
        else:
            self.add("reorg3d", (c, h, w))

    def head(self) -> None:
        """A detection head; the next layer reads some earlier one, as in real networks."""
        anchors, classes = self.number(1, 3), self.number(0, 3)
        kind = self.pick(["region", "region", "yolo", "Gaussian_yolo"])
        _, h, w = self.shape
        if self.chance(4):
            side = self.number(1, 3)
            outputs = side * side * (5 * anchors + classes)
            self.add("connected", (outputs, 1, 1), output=outputs, activation="linear")
            return self.add("detection", (outputs,), side=side, num=anchors, classes=classes, coords=4,
                            softmax=self.number(0, 1), sqrt=self.number(0, 1))  # fmt: skip
        filters = anchors * (classes + (9 if kind == "Gaussian_yolo" else 5))
        if filters * h * w > MOST_VALUES:
            return None
        self.add("convolutional", (filters, h, w), filters=filters, size=1, activation="linear")
        if kind == "region":
            self.add("region", (filters, h, w), num=anchors, classes=classes, softmax=self.number(0, 1))
        else:
            extra = {"scale_x_y": 1.1} if self.chance(3) else {}
            self.add(kind, (filters, h, w), num=anchors, classes=classes, anchors="3,4,5,6,7,8", **extra)
        before = [i for i in range(self.count - 2) if len(self.shapes[i + 1]) == 3]
        if before and not self.chance(3):
            source = self.pick(before)
            self.add("route", self.shapes[source + 1], layers=self.reference(source))
        return None

    def flat(self) -> None:
        """Layers that end in a plain vector."""
        total = int(np.prod(self.shape))
        kind = self.number(1, 6)
        if kind == 6:
            self.recurrent()
        elif kind == 1 or len(self.shape) == 1:
            outputs = self.number(1, 12)
            self.add("connected", (outputs, 1, 1), output=outputs, activation=self.pick(SMOOTH),
                     batch_normalize=self.number(0, 1))  # fmt: skip
        elif kind == 2:
            self.add("softmax", self.shape, spatial=1, temperature=self.pick([1, 2]))
        elif kind == 3:
            self.add("softmax", (total,))
        elif kind == 4:
            self.add("logistic", self.shape)
        else:
            self.add("avgpool", (self.shape[0], 1, 1))

    def recurrent(self) -> None:
        outputs, normalize = self.number(1, 9), self.number(0, 1)
        kind = self.pick(["rnn", "gru", "lstm"])
        options = {"activation": "tanh", "shortcut": self.number(0, 1)} if kind == "rnn" else {}
        self.add(kind, (outputs,), output=outputs, batch_normalize=normalize, **options)

    def recurrent_map(self) -> None:
        _, h, w = self.shape
        filters, size = self.number(1, 6), self.pick([1, 3])
        options = {"size": size, "batch_normalize": self.number(0, 1)}
        if self.chance(2):
            options |= {"output": filters, "peephole": self.number(0, 1), "activation": self.pick(SMOOTH)}
            self.add("conv_lstm", (filters, h, w), **options)
        else:
            options |= {"output_filters": filters, "hidden_filters": self.number(1, 6)}
            self.add("crnn", (filters, h, w), activation=self.pick(SMOOTH), **options)

    def step(self) -> None:
        if len(self.shape) == 1:
            self.pick([self.flat, self.route])()
            return
        same = {"activation": lambda: {"activation": self.pick(SMOOTH)}, "batchnorm": dict,
                "dropout": lambda: {"probability": 0.5}, "empty": dict}  # fmt: skip
        rare = [
            "deconv",
            "local",
            "crop",
            "iseg",
            "across",
            "reorg",
            "recurrent_map",
            "reorg3d",
            "shared",
            "local_avgpool",
            "squeeze_excite",
            "attention",
            "empty",
            "activation",
            "batchnorm",
            "head",
            "flat",
            "cost",
        ]
        common = ["conv"] * 6 + ["route"] * 5 + ["shortcut"] * 4 + ["maxpool", "resample", "dropout"] * 2
        kind = self.pick(common + rare)
        if kind == "cost":
            if self.chance(3):
                self.add("cost", (int(np.prod(self.shape)),))
        elif kind in same:
            self.add(kind, self.shape, **same[kind]())
        else:
            getattr(self, kind)()


@st.composite
def networks(draw: st.DrawFn, most: int = 16) -> str:
    builder = Builder(draw)
    for _ in range(builder.number(1, most)):
        builder.step()
    if builder.count == 0 or all("[cost]" in text for text in builder.text[1:]):
        builder.add("activation", builder.shape)
    return "".join(builder.text)


def give_parameters(net: dn.Network, seed: int) -> None:
    """Random parameters under which values stay of the order of 1."""
    rng = np.random.default_rng(seed)
    for layer in net.layers:
        for name, values in layer.params.items():
            if name.endswith("rolling_variance"):
                drawn = rng.uniform(0.3, 2, values.shape)
            elif name.endswith("scales"):
                drawn = rng.uniform(0.5, 1.5, values.shape)
            elif name.endswith("weights") and values.ndim > 2:
                drawn = rng.normal(0, np.sqrt(1.5 / np.prod(values.shape[1:])), values.shape)
            else:
                drawn = rng.normal(0, 0.4, values.shape)
            net.set_param(layer.index, name, drawn.astype(np.float32))

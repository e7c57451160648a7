"""Properties that hold for anything hypothesis can think of: cfg parsing, weights round trips, the plan
against the layers one by one on random networks, boxes and image operations."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import darknet_py as dn

# DARKNET_EXAMPLES=20 tries twenty times as many examples, for a long search.
MORE = int(os.environ.get("DARKNET_EXAMPLES", "1"))


def examples(count: int) -> settings:
    return settings(
        max_examples=count * MORE,
        deadline=None,
        derandomize=MORE == 1,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# ---- random networks ------------------------------------------------------------------------------------

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

    def across(self) -> None:
        """Normalisation across channels; alpha is small, as a sliding sum may turn negative."""
        if self.chance(2):
            return self.add("l2norm", self.shape)
        return self.add("normalization", self.shape, size=self.number(1, 9), alpha=0.001, beta=0.75)

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
        anchors, classes, region = self.number(1, 3), self.number(0, 3), self.chance(2)
        _, h, w = self.shape
        if self.chance(4):
            side = self.number(1, 3)
            outputs = side * side * (5 * anchors + classes)
            self.add("connected", (outputs, 1, 1), output=outputs, activation="linear")
            return self.add("detection", (outputs,), side=side, num=anchors, classes=classes, coords=4,
                            softmax=self.number(0, 1), sqrt=self.number(0, 1))  # fmt: skip
        if anchors * (classes + 5) * h * w > MOST_VALUES:
            return None
        filters = anchors * (classes + 5)
        self.add("convolutional", (filters, h, w), filters=filters, size=1, activation="linear")
        if region:
            self.add("region", (filters, h, w), num=anchors, classes=classes, softmax=self.number(0, 1))
        else:
            extra = {"scale_x_y": 1.1} if self.chance(3) else {}
            self.add("yolo", (filters, h, w), num=anchors, classes=classes, anchors="3,4,5,6,7,8", **extra)
        before = [i for i in range(self.count - 2) if len(self.shapes[i + 1]) == 3]
        if before and not self.chance(3):
            source = self.pick(before)
            self.add("route", self.shapes[source + 1], layers=self.reference(source))
        return None

    def flat(self) -> None:
        """Layers that end in a plain vector."""
        total = int(np.prod(self.shape))
        kind = self.number(1, 5)
        if kind == 1 or len(self.shape) == 1:
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

    def step(self) -> None:
        if len(self.shape) == 1:
            self.pick([self.flat, self.route])()
            return
        same = {"activation": lambda: {"activation": self.pick(SMOOTH)}, "batchnorm": dict,
                "dropout": lambda: {"probability": 0.5}, "empty": dict}  # fmt: skip
        rare = [
            "deconv",
            "across",
            "reorg",
            "reorg3d",
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
            if name == "rolling_variance":
                drawn = rng.uniform(0.3, 2, values.shape)
            elif name == "scales":
                drawn = rng.uniform(0.5, 1.5, values.shape)
            elif name == "weights" and values.ndim > 2:
                drawn = rng.normal(0, np.sqrt(1.5 / np.prod(values.shape[1:])), values.shape)
            else:
                drawn = rng.normal(0, 0.4, values.shape)
            net.set_param(layer.index, name, drawn.astype(np.float32))


def check_agreement(cfg: str, seed: int, threads: int) -> None:
    """The plan, exact and not, agrees with the layers one by one to 1e-4 of each output's range."""
    for exact in (True, False):
        with dn.Network.from_string(cfg, threads=threads, exact=exact) as net:
            give_parameters(net, seed)
            x = np.random.default_rng(seed).uniform(-1, 1, (2, *net.input_shape[1:])).astype(np.float32)
            every = net.activations(x)
            found = net.predict(x)
            for index, values in zip(net.output_layers, found, strict=True):
                expected = every[index]
                assert values.shape == expected.shape and np.isfinite(expected).all()
                most = float(np.abs(expected).max())
                worst = float(np.abs(values - expected).max())
                assert worst <= 1e-4 * most + 1e-6, (
                    f"exact={exact} threads={threads}: layer {index} is off by {worst:g} of {most:g}"
                )
            # Nothing is left over from one image to the next.
            for values, again in zip(found, net.predict(x[::-1]), strict=True):
                np.testing.assert_array_equal(values, again[::-1])


@examples(600)
@given(networks(), st.integers(0, 9), st.integers(1, 2))
def test_the_plan_agrees_with_the_layers_on_random_networks(cfg: str, seed: int, threads: int) -> None:
    check_agreement(cfg, seed, threads)


# A few shapes that the generator finds rarely, written out.
FIXED = {
    "nested joins, the inner one an output too": """
        [convolutional]\nfilters=3\nsize=3\npad=1\n[convolutional]\nfilters=5\nsize=1\n[route]\nlayers=-1,-2
        [convolutional]\nfilters=7\nsize=3\npad=1\n[route]\nlayers=-1,2\n[route]\nlayers=-1,-2,0\n[avgpool]
        [route]\nlayers=5""",
    "the same layer twice, and in two joins": """
        [convolutional]\nfilters=3\nsize=3\npad=1\n[convolutional]\nfilters=4\nsize=1\n[route]\nlayers=0,0,1
        [route]\nlayers=1,0\n[route]\nlayers=2,3,-1\n[convolutional]\nfilters=2\nsize=1""",
    "joins of slices, and slices of joins": """
        [convolutional]\nfilters=6\nsize=3\npad=1\n[route]\nlayers=-1\ngroups=2\ngroup_id=1
        [convolutional]\nfilters=3\nsize=3\npad=1\n[route]\nlayers=-1,-2\n[route]\nlayers=-1\ngroups=3\ngroup_id=2
        [route]\nlayers=0,3,-1\n[route]\nlayers=-1,-2\ngroups=2\ngroup_id=1""",
    "residuals from a join, from itself and from an alias": """
        [convolutional]\nfilters=4\nsize=3\npad=1\n[dropout]\n[convolutional]\nfilters=4\nsize=3\npad=1
        [shortcut]\nfrom=-2\n[route]\nlayers=0\n[convolutional]\nfilters=4\nsize=1\n[shortcut]\nfrom=-2
        [shortcut]\nfrom=-1\n[convolutional]\nfilters=4\nsize=1\n[dropout]\n[shortcut]\nfrom=3\n[route]\nlayers=-1,0""",
    "a residual whose convolution is read elsewhere": """
        [convolutional]\nfilters=4\nsize=3\npad=1\n[convolutional]\nfilters=4\nsize=3\npad=1\n[shortcut]\nfrom=0
        [route]\nlayers=1,-1\n[convolutional]\nfilters=4\nsize=1\n[shortcut]\nfrom=2""",
    "heads in the middle, inside a join": """
        [convolutional]\nfilters=8\nsize=3\npad=1\n[yolo]\nclasses=3\n[route]\nlayers=1,0
        [convolutional]\nfilters=8\nsize=1\n[region]\nclasses=3\n[route]\nlayers=0,-1,1\n[upsample]\nstride=2
        [convolutional]\nfilters=8\nsize=3\nstride=2\npad=1\n[yolo]\nclasses=3""",
    "a cost that is read": """
        [convolutional]\nfilters=3\nsize=3\npad=1\n[cost]\n[route]\nlayers=0,1\n[connected]\noutput=3""",
    "dropout first": """
        [dropout]\n[convolutional]\nfilters=3\nsize=3\npad=1\n[shortcut]\nfrom=0\n[route]\nlayers=0,-1""",
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (16, 16), (13, 17)])
def test_the_plan_agrees_with_the_layers_on_tricky_networks(name: str, size: tuple[int, int]) -> None:
    sections = "\n".join(line.strip() for line in FIXED[name].splitlines())
    cfg = f"[net]\nwidth={size[0]}\nheight={size[1]}\nchannels=3\n{sections}\n".replace(
        "from=", "activation=linear\nfrom="
    )
    cfg = cfg.replace("channels=3", "channels=4") if name == "dropout first" else cfg
    cfg = cfg.replace("filters=3", "filters=4") if name == "dropout first" else cfg
    check_agreement(cfg, 1, 2)


# ---- weights --------------------------------------------------------------------------------------------


@examples(40)
@given(networks(8), st.integers(0, 9), st.integers(0, 2**63), st.sampled_from(["pjreddie", "alexeyab"]))
def test_weights_saved_and_loaded_are_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, cfg: str, seed: int, seen: int, dialect: str
) -> None:
    folder = tmp_path_factory.mktemp("weights")
    first, second = folder / "a.weights", folder / "b.weights"
    with dn.Network.from_string(cfg, dialect=dialect) as net:
        give_parameters(net, seed)
        net.seen = seen
        net.save_weights(first)
        expected = [layer.params for layer in net.layers]
    with dn.Network.from_string(cfg, first, dialect=dialect, seed=99) as net:
        assert net.seen == seen
        for layer, params in zip(net.layers, expected, strict=True):
            for name, values in layer.params.items():
                if (layer.type, name, dialect) != ("batchnorm", "biases", "pjreddie"):  # not in such a file
                    np.testing.assert_array_equal(values, params[name])
        net.save_weights(second)
    assert first.read_bytes() == second.read_bytes()
    for path in (first, second):
        path.unlink()


# ---- cfg parsing ----------------------------------------------------------------------------------------

KEYS = st.text("abcdefghijklmnopqrstuvwxyzABCDEF_0123456789", min_size=1, max_size=12)
VALUES = st.text("abcdefghijklmnopqrstuvwxyz0123456789.,-+=/_%:;", min_size=1, max_size=20)
BLANKS = st.text(" \t", max_size=3)


def known_keys() -> set[str]:
    """Keys with a meaning of their own, where random text could be an error."""
    from darknet_py._native import ffi, lib

    keys = set()
    for kind in (-2, -1, *(k for k in range(64) if lib.dn_registry_type(k, ffi.NULL) != ffi.NULL)):
        k = 0
        while (name := lib.dn_registry_key(kind, k, ffi.NULL, ffi.NULL)) != ffi.NULL:
            keys.add(ffi.string(name).decode())
            k += 1
    return keys


KNOWN = known_keys()
OPTIONS = st.lists(st.tuples(KEYS, VALUES), max_size=8)
NOISE = st.sampled_from(["", "# a comment = with = signs", "; another", "   ", "\t# indented", "#[net]"])


@examples(100)
@given(st.data(), OPTIONS, OPTIONS,
       st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())  # fmt: skip
def test_options_survive_any_spelling(
    data: st.DataObject, net_options: list[tuple[str, str]], layer_options: list[tuple[str, str]], end: str,
    mark: bool, last: bool
) -> None:  # fmt: skip
    """Blanks anywhere, comments, empty lines, CRLF, a byte order mark: the same values; the first counts."""
    sections = [("net", [("inputs", "3"), *net_options]), ("softmax", layer_options)]
    lines, expected = [], []
    for name, options in sections:
        lines.append(f"[{name}]")
        kept: dict[str, str] = {}
        for key, value in options:
            if key in KNOWN and (name, key) != ("net", "inputs"):
                continue
            lines.append(f"{key}={value}")
            kept.setdefault(key, value)
        expected.append(kept)
    spelled = []
    for line in lines:
        middle = data.draw(BLANKS)
        spelled.append(data.draw(NOISE))
        cut = data.draw(st.integers(0, len(line)))
        spelled.append(data.draw(BLANKS) + line[:cut] + middle + line[cut:] + data.draw(BLANKS))
    text = ("\ufeff" if mark else "") + end.join(spelled) + (end if last else "")
    with dn.Network.from_string(text) as net:
        for key, value in expected[0].items():
            assert net.option(key) == value
        for key, value in expected[1].items():
            assert net.layers[0].option(key) == value
        assert net.option("no such key") is None and net.input_shape[1:] == (3,)


# ---- boxes ----------------------------------------------------------------------------------------------

SIZES = st.integers(0, 256).map(lambda n: n / 64)
CENTRES = st.integers(-256, 256).map(lambda n: n / 64)
BOXES = st.tuples(CENTRES, CENTRES, SIZES, SIZES)


@examples(200)
@given(BOXES, BOXES)
def test_overlap_is_symmetric_and_a_share(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    iou = dn.boxes.iou(a, b)
    assert 0 <= iou <= 1 + 1e-6 and iou == pytest.approx(dn.boxes.iou(b, a), abs=1e-6)
    if min(a[2:]) > 0:
        assert dn.boxes.iou(a, a) == pytest.approx(1, abs=1e-3)
    giou = dn.boxes.iou(a, b, "giou")
    assert np.isfinite(giou) and giou <= iou + 1e-5 and giou >= -1 - 1e-5


@examples(60)
@given(st.integers(0, 40), st.integers(1, 4), st.floats(0.05, 0.95), st.integers(0, 99))
def test_suppression_twice_is_suppression_once(count: int, classes: int, thresh: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.random((count, 2)), rng.random((count, 2)) * 0.5], 1).astype(np.float32)
    objectness = (rng.random(count) * (rng.random(count) > 0.2)).astype(np.float32)
    probabilities = (objectness[:, None] * rng.random((count, classes))).astype(np.float32)
    for suppress in (dn.boxes.nms_sort, dn.boxes.nms_obj):
        once = suppress(boxes, objectness, probabilities, thresh)
        assert sorted(once.order) == list(range(count))
        np.testing.assert_array_equal(once.boxes, boxes[once.order])
        kept = probabilities[once.order]
        assert ((once.probabilities == kept) | (once.probabilities == 0)).all()
        twice = suppress(once.boxes, once.objectness, once.probabilities, thresh)
        back = np.argsort(twice.order)
        np.testing.assert_array_equal(twice.probabilities[back], once.probabilities)
        for c in range(classes):  # what is left of a class does not overlap
            left = once.boxes[once.probabilities[:, c] > 0]
            for i in range(len(left)):
                for j in range(i):
                    assert dn.boxes.iou(left[i], left[j]) <= thresh + 1e-6


@examples(100)
@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_correct_undoes_the_letterbox(w: int, h: int, columns: int, rows: int, seed: int) -> None:
    """Boxes of the picture, moved into the letterbox by hand, come back; in pixels w and h times as large."""
    net_w, net_h = 32 * columns, 32 * rows
    boxes = np.random.default_rng(seed).random((5, 4)).astype(np.float32)
    new_w, new_h = (net_w, h * net_w // w) if net_w / w < net_h / h else (w * net_h // h, net_h)
    if new_w == 0 or new_h == 0:
        return
    inside = boxes.copy()
    inside[:, 0] = (boxes[:, 0] * new_w + (net_w - new_w) / 2) / net_w
    inside[:, 1] = (boxes[:, 1] * new_h + (net_h - new_h) / 2) / net_h
    inside[:, 2] *= new_w / net_w
    inside[:, 3] *= new_h / net_h
    # Few pixels across, a letterbox resolves little.
    tolerance = 2e-6 * max(net_w / new_w, net_h / new_h) + 1e-5
    relative = dn.boxes.correct(inside, w, h, net_w, net_h)
    np.testing.assert_allclose(relative, boxes, atol=tolerance, rtol=1e-4)
    pixels = dn.boxes.correct(inside, w, h, net_w, net_h, relative=False)
    np.testing.assert_allclose(pixels, relative * [w, h, w, h], rtol=1e-4, atol=1e-3)


# ---- pictures -------------------------------------------------------------------------------------------


@examples(100)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 4), st.integers(1, 40), st.integers(1, 40),
       st.integers(0, 99))  # fmt: skip
def test_resized_pictures_stay_between_their_bounds(
    h: int, w: int, c: int, new_h: int, new_w: int, seed: int
) -> None:
    image = np.random.default_rng(seed).random((c, h, w), np.float32)
    found = dn.images.resize(image, new_w, new_h)
    assert found.shape == (c, new_h, new_w)
    low, high = image.min((1, 2), keepdims=True), image.max((1, 2), keepdims=True)
    # The last row may come out nearly black, as in the reference (src/image/resize.c says why).
    assert (found[:, :-1] >= low - 1e-5).all() and (found >= 0).all() and (found <= high + 1e-5).all()
    np.testing.assert_allclose(dn.images.resize(image, w, h), image, atol=1e-5)
    flat = dn.images.resize(np.full((c, h, w), 0.25, np.float32), new_w, new_h)
    np.testing.assert_allclose(flat[:, :-1], 0.25, atol=1e-6)


@examples(60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_a_letterbox_is_grey_outside_and_bounded_inside(
    h: int, w: int, net_h: int, net_w: int, seed: int
) -> None:
    image = np.random.default_rng(seed).uniform(0.6, 1, (3, h, w)).astype(np.float32)
    new_w, new_h = (net_w, h * net_w // w) if net_w / w < net_h / h else (w * net_h // h, net_h)
    found = dn.images.letterbox(image, net_w, net_h)
    grey = found == 0.5
    rows = np.flatnonzero((~grey).any((0, 2)))
    assert found.shape == (3, net_h, net_w) and (found <= 1 + 1e-5).all()
    assert (found[:, rows[:-1]][~grey[:, rows[:-1]]] >= 0.6 - 1e-5).all()  # the last row: see above
    assert (~grey).sum() == 3 * max(1, new_w) * max(1, new_h) and len(rows) == max(1, new_h)


@examples(40)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_flips_and_colours_come_back(h: int, w: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((3, h, w), np.float32)
    np.testing.assert_array_equal(dn.images.flip(dn.images.flip(image)), image)
    np.testing.assert_allclose(dn.images.hsv_to_rgb(dn.images.rgb_to_hsv(image)), image, atol=1e-5)
    np.testing.assert_allclose(dn.images.distort(image, 0, 1, 1), image, atol=1e-5)

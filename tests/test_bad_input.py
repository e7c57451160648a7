# ruff: noqa: E501 (one row of a table, one line)
"""Broken cfg files, weights, pictures, labels and checkpoints: each gives one of our exceptions with a message that
says what is wrong, nothing half-written stays behind, and the process goes on."""

from __future__ import annotations

import io
import os
import random
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_CFG

import darknet_py as dn
from darknet_py._native import ffi, lib

REAL = Path(__file__).parents[2] / "shared" / "real"
TRIED = {"inputs": 0}  # every broken input counts itself here; the last test looks


def refused(
    call: Callable[[], Any], kind: type[Exception] = dn.DarknetError, match: str | None = None
) -> str:
    """Asserts that call raises kind, one of ours, with a short message; gives the message."""
    TRIED["inputs"] += 1
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert isinstance(caught.value, dn.DarknetError) and not isinstance(caught.value, dn.InternalError), (
        message
    )
    assert message and len(message) < 1000
    if match is not None:
        assert re.search(match, message), f"{match!r} is not in {message!r}"
    return message


def survives(call: Callable[[], Any]) -> bool:
    """Whether call works; one of our exceptions is fine too, anything else is not."""
    TRIED["inputs"] += 1
    try:
        call()
    except dn.DarknetError as error:
        assert not isinstance(error, dn.InternalError) and str(error), repr(error)
        return False
    return True


# ---- cfg files made by hand -----------------------------------------------------------------------------

NET = "[net]\nwidth=16\nheight=16\nchannels=3\n"
CONV = "[convolutional]\nfilters=4\nsize=3\npad=1\n"
VECTOR = "[net]\ninputs=5\n"


def head(kind: str, filters: int, options: str) -> str:
    return f"{NET}[convolutional]\nfilters={filters}\nsize=1\nactivation=linear\n[{kind}]\n{options}"


# text of the cfg -> what the message must say (a regular expression)
WRONG_CFGS: dict[str, tuple[str | bytes, str]] = {
    # the grammar
    "empty": ("", "no sections"),
    "blank lines": ("\n\n \t\r\n", "no sections"),
    "comments only": ("# a\n; b\n", "no sections"),
    "byte order mark only": (b"\xef\xbb\xbf", "no sections"),
    "prose": ("this is not a cfg\n", "x.cfg:1: .*before the first section"),
    "an option before the first section": (f"width=3\n{NET}{CONV}", "x.cfg:1: 'width=3' stands before"),
    "a layer first": (CONV + NET, r"x.cfg:1: \[convolutional\]: the first section must be \[net\]"),
    "no layers": (NET, "no layers follow"),
    "a section without ]": (f"{NET}[convolutional\n", "x.cfg:5: .*brackets"),
    "text after ]": (f"{NET}[convolutional] # note\n", "x.cfg:5: .*alone on its line"),
    "two sections on a line": (f"{NET}[route][route]\n", "x.cfg:5: "),
    "an empty section name": (f"{NET}[]\n", r"x.cfg:5: \[\]: unknown"),
    "a section of 10 MB": (b"[" + b"a" * 10_000_000 + b"]\n", "longer than"),
    "an unknown layer": (f"{NET}[convolutionl]\n", r"x.cfg:5: .*did you mean \[convolutional\]"),
    "an unknown layer unlike any other": (f"{NET}[qqqqqqqqqqqqqqqqqqqq]\n", "unknown or unsupported layer type"),
    "net twice": (NET + NET + CONV, r"\[net\]: unknown"),
    "a zero byte": (NET.encode() + b"[conv\0olutional]\n", "x.cfg:5: a zero byte: this is a binary file"),
    "zero bytes only": (b"\0" * 100, "binary"),
    "random bytes": (random.Random(1).randbytes(5000), "x.cfg:"),
    "random bytes behind [net]": (NET.encode() + random.Random(2).randbytes(5000), "x.cfg:"),
    "UTF-16": (NET.encode("utf-16"), "x.cfg:1: "),
    "a PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "x.cfg:"),
    "a web page": ("<!DOCTYPE html>\n<html>\n", "x.cfg:1: "),
    "a line of 10 MB": (b"a" * 10_000_000, "before the first section"),
    "more than 16 MB": (b"#" * (17 << 20), "at most"),
    "too many sections": ("[net]\n" * 20_001, "more than 20000 sections"),
    "too many options": (NET + "a=1\n" * 2001, "more than 2000 options"),
    "carriage returns only": (NET.replace("\n", "\r") + "[avgpool]\r", "x.cfg:1: "),
    # [net]
    "no input size": ("[net]\n[avgpool]\n", "no input size: set width, height and channels, or inputs"),
    "no channels": (f"[net]\nwidth=4\nheight=4\n{CONV}", "no input size"),
    "a negative width": (f"[net]\nwidth=-4\nheight=4\nchannels=3\n{CONV}", r"x.cfg:2: \[net\] width: must be 0 to"),
    "a huge width": (f"[net]\nwidth=99999999999999999999\nheight=4\nchannels=3\n{CONV}", r"width: must be 0 to"),
    "sizes whose product overflows": (f"[net]\nwidth=1048576\nheight=1048576\nchannels=1048576\n{CONV}", "too large"),
    "inputs that disagree": (f"{NET}inputs=5\n{CONV}", r"x.cfg:5: \[net\] inputs: is 5, but width . height"),
    "no batch": (f"{NET}batch=0\n{CONV}", r"x.cfg:5: \[net\] batch: must be 1 to 1048576, not 0"),
    "a negative batch": (f"{NET}batch=-1\n{CONV}", "batch: must be 1"),
    "no subdivisions": (f"{NET}subdivisions=0\n{CONV}", "subdivisions: must be 1"),
    "too many time steps": (f"{NET}batch=1000000\ntime_steps=1000000\n{CONV}", "time_steps: times the batch"),
    "a negative learning rate": (f"{NET}learning_rate=-1\n{CONV}", "learning_rate: must be 0 to"),
    "an infinite momentum": (f"{NET}momentum=1e999\n{CONV}", "momentum: must be"),
    "policy steps without steps": (f"{NET}policy=steps\n{CONV}", "steps: is required by policy=steps"),
    "fewer scales than steps": (f"{NET}policy=steps\nsteps=1,2\nscales=.1\n{CONV}", "scales: has 1 values for 2 steps"),
    "a step of 0": (f"{NET}policy=step\nstep=0\n{CONV}", "step: must be 1 or more, not 0"),
    "scales beyond float": (f"{NET}policy=steps\nsteps=1\nscales=1e99\n{CONV}", "item 1 is not a finite number"),
    # convolutional
    "no filters": (f"{NET}[convolutional]\nfilters=0\n", r"x.cfg:6: \[convolutional\] filters: must be 1 to .*, not 0"),
    "negative filters": (f"{NET}[convolutional]\nfilters=-3\n", "filters: must be 1 to .*, not -3"),
    "too many filters": (f"{NET}[convolutional]\nfilters=99999999999\n", "filters: must be 1 to"),
    "a kernel of 0": (f"{NET}[convolutional]\nsize=0\n", "size: must be 1 to"),
    "a stride of 0": (f"{NET}[convolutional]\nstride=0\n", "stride: must be 1 to 4096, not 0"),
    "a negative padding": (f"{NET}[convolutional]\npadding=-1\n", "padding: must be 0 to"),
    "a kernel that does not fit": (f"{NET}[convolutional]\nsize=17\n", "17 x 17 kernel does not fit an input of 16 x"),
    "no groups": (f"{CONV.join([NET, ''])}groups=0\n", "groups: must be 1 or more, not 0"),
    "groups that do not divide": (f"{NET}{CONV}groups=2\n", "2 must divide the 3 input channels and the 4 filters"),
    "a dilation of 0": (f"{NET}{CONV}dilation=0\n", "dilation: must be 1"),
    "a sort of antialiasing that is none": (f"{NET}{CONV}antialiasing=3\n", "antialiasing: must be 0 to 2, not 3"),
    "blurring too small a map": (
        "[net]\nwidth=1\nheight=9\nchannels=1\n[maxpool]\nsize=2\nstride=2\nantialiasing=2\n", "too small to blur"),
    "shared parameters": (f"{NET}{CONV}share_index=0\n", "share_index"),
    "numload beyond filters": (f"{NET}{CONV}numload=5\n", "5 is more than the layer's 4 filters"),
    "a convolution of a vector": (VECTOR + CONV, "needs an image, but its input is a plain vector of 5 values"),
    "a kernel whose weights overflow": (
        "[net]\nwidth=8\nheight=8\nchannels=65536\n[convolutional]\nfilters=16777216\nsize=1024\npad=1\n", "more than the limit"),
    # pooling and resampling
    "maxpool with stride 0": (f"{NET}[maxpool]\nsize=2\nstride=0\n", "stride: must be 1"),
    "a negative maxpool": (f"{NET}[maxpool]\nsize=-2\n", "size: must be 1"),
    "a maxpool that does not fit": (f"{NET}[maxpool]\nsize=20\npadding=0\n", "20 x 20 window does not fit"),
    "maxpool of a vector": (VECTOR + "[maxpool]\nsize=2\n", "needs an image"),
    "maxpool_depth with more channels": (f"{NET}[maxpool]\nmaxpool_depth=1\nout_channels=9\n", "9 is more than the 3"),
    "avgpool of a vector": (VECTOR + "[avgpool]\n", "needs an image"),
    "upsample by 0": (f"{NET}[upsample]\nstride=0\n", "stride: must not be 0"),
    "upsample beyond reason": (f"{NET}[upsample]\nstride=1025\n", "stride: must be -1024 to 1024"),
    "an uneven reverse upsample": (f"{NET}[upsample]\nstride=-3\n", "3 must divide the input's 16 x 16"),
    "upsamples that overflow": (f"{NET}" + "[upsample]\nstride=1000\n" * 3, "too large"),
    "a width beyond int": (
        "[net]\nwidth=1048576\nheight=1\nchannels=1024\n[reorg]\nstride=32\nreverse=1\n[upsample]\nstride=1024\n", "too"),
    "reorg by 0": (f"{NET}[reorg]\nstride=0\n", "stride: must be 1"),
    "reorg of uneven sizes": ("[net]\nwidth=15\nheight=16\nchannels=4\n[reorg]\nstride=2\n", "2 must divide the input"),
    "reorg of uneven channels": (f"{NET}[reorg]\nstride=2\n", "2 squared must divide the 3 channels"),
    # references
    "route without layers": (f"{NET}{CONV}[route]\n", "layers: is required"),
    "route to itself": (f"{NET}{CONV}[route]\nlayers=1\n", "layer 1 can only refer to layers before it"),
    "route forward": (f"{NET}{CONV}[route]\nlayers=7\n{CONV}", "7 means layer 7"),
    "route before the first layer": (f"{NET}{CONV}[route]\nlayers=-2\n", "-2 means layer -1"),
    "route beyond int": (f"{NET}{CONV}[route]\nlayers=99999999999999\n", "can only refer to layers before it"),
    "route with groups that do not divide": (f"{NET}{CONV}[route]\nlayers=-1\ngroups=3\n", "3 does not divide the 4"),
    "route with a group beyond": (f"{NET}{CONV}[route]\nlayers=-1\ngroups=2\ngroup_id=2\n", "group_id: must be 0 to 1"),
    "a route of a million layers": (f"{NET}{CONV}[route]\nlayers=" + "-1," * 1_000_000 + "-1\n", "layers: "),
    "an image layer after a mixed route": (
        f"{NET}{CONV}[maxpool]\nsize=2\nstride=2\n[route]\nlayers=-1,-2\n{CONV}", "needs an image"),
    "shortcut without from": (f"{NET}{CONV}[shortcut]\n", "from: is required"),
    "shortcut to nowhere": (f"{NET}{CONV}[shortcut]\nfrom=-5\n", "can only refer to layers before it"),
    "shortcut of sizes that do not match": (
        "[net]\nwidth=16\nheight=8\nchannels=3\n" + CONV + "[reorg]\nstride=2\n[connected]\noutput=4\n"
        "[shortcut]\nfrom=0\n", "they don't match"),
    "shortcut of a vector": (f"{NET}{CONV}[softmax]\n[shortcut]\nfrom=0\n", "needs an image"),
    "shortcut from a vector": (
        f"{NET}{CONV}[route]\nlayers=0\n[softmax]\n[route]\nlayers=0\n[shortcut]\nfrom=2\n", "plain vector"),
    "unknown weights_type": (f"{NET}{CONV}[shortcut]\nfrom=0\nweights_type=x\n", "must be none, per_feature"),
    "unknown normalization": (f"{NET}{CONV}[shortcut]\nfrom=0\nweights_normalization=x\n", "must be none, relu"),
    "scale_channels without from": (f"{NET}{CONV}[scale_channels]\n", "from: is required"),
    "scale_channels of another shape": (f"{NET}{CONV}{CONV}[scale_channels]\nfrom=0\n", "needs factors of 1 x 1 x 4"),
    # vectors
    "no outputs": (f"{NET}[connected]\noutput=0\n", "output: must be 1"),
    "outputs beyond counting": (f"{NET}[connected]\noutput=99999999999\n", "output: must be 1 to"),
    "softmax groups that do not divide": (VECTOR + "[softmax]\ngroups=2\n", "2 must divide the 5 inputs"),
    "softmax at temperature 0": (VECTOR + "[softmax]\ntemperature=0\n", "temperature: must be"),
    "a tree that is not there": (VECTOR + "[softmax]\ntree=no.tree\n", "no file 'no.tree' in the working directory"),
    "dropout of everything": (f"{NET}[dropout]\nprobability=1\n", "1 would drop everything"),
    "dropout of more than everything": (f"{NET}[dropout]\nprobability=2\n", "probability: must be 0 to 1, not 2"),
    "only a cost": (f"{NET}[cost]\n", "no layer has an output"),
    "label smoothing beyond 1": (f"{NET}{CONV}[cost]\nsmooth=2\n", "smooth: must be 0 to 1"),
    # heads
    "yolo after the wrong filters": (
        head("yolo", 75, "mask=0,1,2\nnum=9\nclasses=3\n"), r"set its filters=24 \(that is \(classes \+ 5\) \* anchors"),
    "yolo with a mask beyond its anchors": (head("yolo", 8, "mask=9\nnum=9\nclasses=3\n"), "9 is not one of the anchors"),
    "yolo with a negative mask": (head("yolo", 8, "mask=-1\nnum=9\nclasses=3\n"), "-1 is not one of the anchors"),
    "yolo with negative classes": (head("yolo", 8, "classes=-1\n"), "classes: must be 0"),
    "yolo without anchors": (head("yolo", 8, "num=0\nclasses=3\n"), "num: must be 1"),
    "yolo with no truths": (head("yolo", 8, "classes=3\nmax=0\n"), "max: must be 1"),
    "yolo whose channels overflow": (
        head("yolo", 8, "num=4096\nclasses=1048576\nmask=" + ",".join(["0"] * 4096) + "\n"), "filters|channels"),
    "yolo with a mask of a million": (head("yolo", 8, "classes=3\nmask=" + "0," * 1_000_000 + "0\n"), "mask|channels"),
    "yolo with too few counters": (
        head("yolo", 8, "classes=3\ncounters_per_class=1,2\n"), "has 2 values for 3 classes"),
    "yolo with endless anchors": (head("yolo", 8, "classes=3\nanchors=1e999,1\n"), "item 1 is not a finite number"),
    "yolo of a vector": (VECTOR + "[yolo]\nclasses=0\n", "needs an image"),
    "yolo with a map that is not there": (head("yolo", 8, "classes=3\nmap=no.map\n"), "map: no file 'no.map'"),
    "region after the wrong filters": (head("region", 75, "num=5\nclasses=3\n"), "set its filters=40"),
    "region with two coords": (head("region", 8, "coords=2\nclasses=3\n"), "coords: must be 4"),
    "region whose channels overflow": (head("region", 8, "num=4096\ncoords=4096\nclasses=1048576\n"), "channels|filters"),
    "region with a tree that is not there": (head("region", 8, "classes=3\ntree=no.tree\n"), "tree: no file 'no.tree'"),
    # more than memory
    "terabytes of input": ("[net]\nwidth=1048576\nheight=2000\nchannels=1\n" + CONV, "1048576 x 2000 x 4 is too large"),
    "terabytes of activations": (
        "[net]\nwidth=4096\nheight=4096\nchannels=3\n" + "[convolutional]\nfilters=100\nsize=3\npad=1\n" * 9, "limit of"),
    "terabytes of parameters": (f"{NET}[convolutional]\nfilters=65536\n{'[convolutional]'}\nfilters=65536\nsize=99\npad=1\n",
                                r"weights: parameters up to here need more than the limit"),
    "terabytes of connections": (f"{NET}[connected]\noutput=9000000\n[connected]\noutput=9000000\n", "more than the limit"),
}  # fmt: skip

STRICT_CFGS: dict[str, tuple[str, str]] = {
    "an unknown key": (
        f"{NET}{CONV}filtres=3\n",
        r"x.cfg:9: \[convolutional\] filtres: .*did you mean 'filters'",
    ),
    "an unknown key of net": (f"{NET}widht=3\n{CONV}", "did you mean 'width'"),
    "a key given twice": (f"{NET}{CONV}filters=5\n", r"x.cfg:9: .*given twice; the first one counts"),
    "a line without =": (f"{NET}{CONV}nonsense\n", "no '=' on this line"),
    "a key that has no effect here": (f"{NET}[maxpool]\nsize=2\nout_channels=3\n", "has no effect with"),
    "a key unlike any other": (f"{NET}{CONV}qqqqqqqqqqqqq=1\n", "unknown key, ignored"),
}


@pytest.mark.parametrize("name", WRONG_CFGS)
def test_a_wrong_cfg_says_what_is_wrong_and_where(name: str, tmp_path: Path) -> None:
    text, expected = WRONG_CFGS[name]
    path = tmp_path / "x.cfg"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    # Too large a file is refused by the file reader: also a CfgError, CfgFileError.
    refused(lambda: dn.Network(path), dn.CfgError, expected)


@pytest.mark.parametrize("name", STRICT_CFGS)
def test_strict_turns_warnings_into_errors(name: str, tmp_path: Path) -> None:
    text, expected = STRICT_CFGS[name]
    path = tmp_path / "x.cfg"
    path.write_text(text, "utf-8")
    dn.Network(path).close()
    refused(lambda: dn.Network(path, strict=True), dn.CfgError, expected)


def test_the_format_of_a_message(tmp_path: Path) -> None:
    path = tmp_path / "my.cfg"
    path.write_text(f"{NET}[convolutional]\nfilters=4\nsize=3\ngroups=1\npad=1\n\n# note\ngroups=1\nstep=0\n".replace(
        "pad=1\n", "pad=1\n[maxpool]\nsize=2\n").replace("groups=1\nstep", "padding=-1\nstep"), "utf-8")  # fmt: skip
    assert refused(lambda: dn.Network(path)) == f"{path}:14: [maxpool] padding: must be 0 to 8192, not -1"
    text = f"{NET}{CONV}groups=0\n".encode()
    assert refused(lambda: dn.Network(text)) == "cfg:9: [convolutional] groups: must be 1 or more, not 0"


@pytest.mark.parametrize(
    "text",
    [
        TINY_CFG.replace("\n", "\r\n"),
        "\ufeff" + TINY_CFG,
        TINY_CFG.rstrip("\n"),
        TINY_CFG.replace("=", " = ").replace("[", " [ "),
        TINY_CFG.replace("\n", "\n\n# note\n;note\n"),
        TINY_CFG.replace("filters=8", "filters=8 # eight"),
        TINY_CFG.replace("filters=8", "filters=8.9\nfilters=3"),
        TINY_CFG.replace("[net]", "[network]")
        .replace("[convolutional]", "[conv]")
        .replace("[maxpool]", "[max]"),
        TINY_CFG.replace("filters=8", "filters=8\nempty=\n=5\n=\nno equals sign"),
    ],
)
def test_odd_but_right_cfgs_are_read(text: str) -> None:
    with dn.Network.from_string(text) as net, dn.Network.from_string(TINY_CFG) as usual:
        assert [layer.out_shape for layer in net.layers] == [layer.out_shape for layer in usual.layers]


def test_thousands_of_layers_are_no_problem() -> None:
    with dn.Network.from_string("[net]\nwidth=2\nheight=2\nchannels=1\n" + "[activation]\n" * 3000) as net:
        x = np.random.default_rng(0).random((1, 1, 2, 2), np.float32)
        np.testing.assert_array_equal(net.predict(x)[0], x)


@pytest.mark.parametrize("options", [{"width": 1 << 21, "height": 8}, {"batch": 1 << 30}, {"threads": 2000}])
def test_options_beyond_reason(options: dict[str, Any]) -> None:
    refused(lambda: dn.Network.from_string(TINY_CFG, **options))


def test_cfgs_that_are_no_files(tmp_path: Path) -> None:
    refused(lambda: dn.Network(tmp_path), dn.CfgError, "folder")
    refused(lambda: dn.Network(tmp_path / "x" / "y.cfg"), dn.CfgError, "no such file")
    refused(lambda: dn.Network("/dev/zero"), dn.CfgError)
    refused(lambda: dn.Network("/dev/null"), dn.CfgError, "no sections")
    (tmp_path / "loop.cfg").symlink_to("loop.cfg")
    refused(lambda: dn.Network(tmp_path / "loop.cfg"), dn.CfgError)


# ---- cfg files made by mutation -------------------------------------------------------------------------

SEEDS = [
    TINY_CFG,
    f"{NET}{CONV}[maxpool]\nsize=2\nstride=2\n[convolutional]\nfilters=8\nsize=1\nbatch_normalize=1\ngroups=4\n"
    "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n[upsample]\nstride=2\n[route]\nlayers=-1,0\n[shortcut]\nfrom=-2\n"
    "[reorg]\nstride=2\n[dropout]\n[avgpool]\n[connected]\noutput=6\n[softmax]\ngroups=2\n[cost]\n",
    f"{NET}{CONV}[avgpool]\n[convolutional]\nfilters=4\nsize=1\n[scale_channels]\nfrom=0\n[batchnorm]\n[activation]\n"
    "activation=mish\n[convolutional]\nfilters=16\nsize=1\nactivation=linear\n[region]\nnum=2\nclasses=3\n"
    "anchors=1,1,2,2\nsoftmax=1\n",
]
NUMBERS = ["0", "-1", "1", "2", "3", "5", "7", "17", "255", "65536", "2147483647", "2147483648", "-2147483648", "1e9",
           "99999999999999999999", ".5", "-.5", "1e-30", "nan", "inf", "0x10", "", ",", "1,2,3", "-1,-1,-1"]  # fmt: skip


def mutate(text: str, rng: random.Random) -> bytes:
    """One to three edits: lines deleted, doubled or swapped, numbers replaced, bytes changed, the end cut off."""
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
        kind = rng.randrange(8)
        if kind == 0:
            del lines[i]
        elif kind == 1:
            lines.insert(j, lines[i])
        elif kind == 2:
            lines[i], lines[j] = lines[j], lines[i]
        elif kind <= 5:
            numbers = list(re.finditer(r"-?[\d.]+", text))
            if numbers:
                found = rng.choice(numbers)
                text = text[: found.start()] + rng.choice(NUMBERS) + text[found.end() :]
            continue
        elif kind == 6:
            data = bytearray(text.encode("latin-1"))
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
            text = data.decode("latin-1")
            continue
        else:
            text = text[: rng.randrange(len(text) + 1)]
            continue
        text = "\n".join(lines)
    return text.encode("latin-1")


def small_network(cfg: bytes, megabytes: float = 64) -> dn.Network:
    """A network that may not use more memory than this: mutants ask for a lot."""
    options, out = ffi.new("dn_network_options *"), ffi.new("dn_network **")
    lib.dn_network_options_init(options)
    options.memory_limit = int(megabytes * (1 << 20))
    options.threads = 1
    dn.errors.check(lib.dn_network_create(out, cfg, len(cfg), options))
    handle = ffi.gc(out[0], lib.dn_network_free)
    return dn.Network._borrow(handle, handle)


def use(cfg: bytes) -> None:
    """Loads, predicts, trains one step, unless the mutant has grown too large for that."""
    with small_network(cfg) as net:
        shape = net.input_shape
        if np.prod(shape[1:]) > 1 << 18 or sum(layer.flops for layer in net.layers) > 2e8:
            return
        x = np.random.default_rng(0).random((1, *shape[1:]), np.float32)
        net.predict(x)
        net.activations(x)
        if len(shape) == 4 and net.layers[net.output_layers[0]].head:
            net.detect(np.zeros((9, 7, 3), np.uint8), thresh=0.1)
        if np.prod(shape) < 1 << 18:
            truth = np.random.default_rng(1).random(
                (shape[0], max(layer.truths for layer in net.layers)), np.float32
            )
            with dn.Trainer(net) as trainer:
                trainer.step(np.zeros(shape, np.float32), truth if truth.size else None)


@pytest.mark.parametrize("seed", range(12))
def test_mutants_of_cfgs_never_crash(seed: int) -> None:
    rng = random.Random(seed)
    alive = 0
    for i in range(60):
        cfg = mutate(SEEDS[i % len(SEEDS)], rng)
        alive += survives(lambda cfg=cfg: use(cfg))
    assert 0 < alive < 60  # mutants that are all dead, or all alive, would test nothing


def test_memory_is_checked_before_it_is_used() -> None:
    """A small limit stands in for a small machine: parameters, activations, packed weights, scratch, training."""
    wide = f"{NET}[convolutional]\nfilters=900\nsize=3\npad=1\n[convolutional]\nfilters=900\nsize=3\npad=1\n".encode()
    refused(lambda: small_network(wide, 16), dn.CfgError, "limit of 16777216 bytes")
    deep = b"[net]\nwidth=256\nheight=256\nchannels=1\n" + b"[activation]\n" * 100
    refused(lambda: small_network(deep, 16), dn.CfgError, "activations up to here need more than the limit")
    many = TINY_CFG.replace("batch=2", "batch=100000").encode()
    with small_network(many, 1) as net:
        refused(lambda: dn.Trainer(net), dn.OutOfMemoryError, "smaller batch")
    # A large kernel: its patches need more than weights and maps together.
    patches = b"[net]\nwidth=128\nheight=128\nchannels=4\n[convolutional]\nfilters=2\nsize=127\npad=1\n"
    with small_network(patches, 0.53) as net:
        refused(lambda: net.predict(np.zeros((1, 4, 128, 128))), dn.OutOfMemoryError, "intermediate results")


def test_copies_of_weights_for_speed_are_given_up_when_memory_is_short() -> None:
    cfg = (NET + "[convolutional]\nfilters=64\nsize=3\npad=1\n" * 2).encode()
    x = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)
    found = []
    for megabytes in (64, 1):
        with small_network(cfg, megabytes) as net, net.session() as session:
            found.append((session.predict(x)[0], session.memory()[1]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4, atol=1e-5)
    assert found[0][1] > found[1][1] and found[1][1] < 1 << 20


# ---- weights --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good_weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("weights") / "good.weights"
    with dn.Network.from_string(TINY_CFG, seed=1) as net:
        net.seen = 77
        net.save_weights(path)
    return path.read_bytes()


HEADER = 20
FIRST = 4 * (4 * 8 + 8 * 3 * 9)  # bytes of layer 0's parameters

CUTS = [1, 3, 4, 12, 15, 16, 19, HEADER, HEADER + 1, HEADER + 4, HEADER + 32, HEADER + 100, HEADER + FIRST - 4,
        HEADER + FIRST - 1, HEADER + FIRST, HEADER + FIRST + 1, HEADER + FIRST + 64, -4, -1]  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
def test_truncated_weights_name_the_layer_and_the_bytes(
    cut: int, good_weights: bytes, tmp_path: Path
) -> None:
    data = good_weights[:cut]
    path = tmp_path / "cut.weights"
    path.write_bytes(data)
    with dn.Network.from_string(TINY_CFG, seed=2) as net:
        before = [layer.params for layer in net.layers]
        for source in (path, data):
            message = refused(lambda source=source: net.load_weights(source), dn.WeightsError)
            if len(data) < 20:
                assert "too few" in message
            else:
                layer = 0 if len(data) < HEADER + FIRST else 2
                needed = len(good_weights) - 20
                assert f"ends in layer {layer} [convolutional]" in message
                assert f"needs {needed} bytes of parameters, the file has {len(data)} bytes" in message
        # Nothing of it was kept.
        for layer, params in zip(net.layers, before, strict=True):
            for name, values in layer.params.items():
                np.testing.assert_array_equal(values, params[name])
        assert net.seen == 0 and net.predict(np.zeros((1, 3, 24, 32)))


WRONG_WEIGHTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda good: b"", "0 bytes are too few even for the header"),
    "one byte": (lambda good: b"\1", "too few"),
    "too long by a float": (lambda good: good + b"\0" * 4, "4 bytes are left after the last layer"),
    "too long by a byte": (lambda good: good + b"\0", "1 bytes are left after the last layer"),
    "twice the file": (lambda good: good + good, "are left after the last layer .*belongs to another cfg"),
    "a web page": (lambda good: b"<!DOCTYPE html><html><body>Not found</body></html>", "a web page"),
    "a long web page": (lambda good: b"<html>" + b" " * 100_000, "a web page"),
    "a Git LFS pointer": (
        lambda good: b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "a pointer",
    ),
    "a cfg": (lambda good: TINY_CFG.encode(), "layer|too few|left"),
    "zeros": (lambda good: b"\0" * len(good), "left|layer"),
    "ones": (lambda good: b"\xff" * 100, "layer"),
    "a version without end": (
        lambda good: struct.pack("<iiiQ", 2**31 - 1, 2**31 - 1, 2**31 - 1, 2**64 - 1),
        "layer",
    ),
    "a negative version": (lambda good: struct.pack("<iiiQ", -(2**31), -(2**31), -1, 2**63), "layer"),
    "a header of the old kind only": (lambda good: good[:16], "too few|layer"),
    "a megabyte too much": (lambda good: good + bytes(1 << 20), "1048576 bytes are left"),
}


@pytest.mark.parametrize("name", WRONG_WEIGHTS)
def test_weights_that_are_none(name: str, good_weights: bytes, tmp_path: Path) -> None:
    make, expected = WRONG_WEIGHTS[name]
    path = tmp_path / "x.weights"
    path.write_bytes(make(good_weights))
    with dn.Network.from_string(TINY_CFG) as net:
        message = refused(lambda: net.load_weights(path), dn.WeightsError, expected)
        assert "x.weights" in message
    refused(lambda: dn.Network.from_string(TINY_CFG, path), dn.WeightsError, expected)


def test_weights_that_are_no_files(tmp_path: Path) -> None:
    with dn.Network.from_string(TINY_CFG) as net:
        refused(lambda: net.load_weights(tmp_path), dn.WeightsError, "folder")
        refused(lambda: net.load_weights(tmp_path / "none"), dn.WeightsError, "no such file")
        refused(lambda: net.load_weights("/dev/null"), dn.WeightsError, "too few")
        huge = tmp_path / "huge.weights"
        with huge.open("wb") as file:
            file.truncate(3 << 30)  # takes no room on the disk
        refused(lambda: net.load_weights(huge), dn.WeightsError, "3221225472 bytes; at most")
        refused(lambda: net.load_weights(b"", start=5), dn.DarknetError)
        refused(
            lambda: net.load_weights(bytes(20), start=9), dn.ArgumentError, "start: must be 0 to 4, not 9"
        )
        refused(lambda: net.load_weights(bytes(20), start=-1), dn.ArgumentError, "start: must be")


def test_flipped_bytes_in_weights_never_crash(good_weights: bytes) -> None:
    """Wrong numbers, NaN and infinities among them, are still numbers."""
    rng = random.Random(3)
    x = np.random.default_rng(0).random((1, 3, 24, 32), np.float32)
    picture = np.zeros((24, 32, 3), np.uint8)
    for i in range(30):
        data = bytearray(good_weights)
        for _ in range(rng.choice([1, 10, 1000])):
            data[rng.randrange(HEADER if i % 3 else 0, len(data))] = rng.choice(
                [0, 0x7F, 0x80, 0xFF, rng.randrange(256)]
            )

        def run(data: bytes = bytes(data)) -> None:
            with dn.Network.from_string(TINY_CFG, data) as net:
                net.predict(x)
                net.detect(picture, thresh=0.1)

        survives(run)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 1e-45])
def test_parameters_that_are_no_numbers(value: float, picture: np.ndarray) -> None:
    with dn.Network.from_string(TINY_CFG, seed=1) as net:
        for layer in (0, 2):
            for name, values in net.layers[layer].params.items():
                net.set_param(layer, name, np.full(values.shape, value))

        def run() -> None:
            x = np.random.default_rng(0).random((2, 3, 24, 32), np.float32)
            net.predict(x)
            assert len(net.detect(picture, thresh=0.01)) >= 0
            truth = np.zeros((2, 90, 5))
            truth[:, 0] = [0.5, 0.5, 0.2, 0.2, 1]
            with dn.Trainer(net) as trainer:
                trainer.step(x, truth)

        survives(run)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real models at {REAL}")
def test_real_weights_of_another_cfg_and_parts() -> None:
    wrong = REAL / "weights" / "mismatch"
    message = refused(
        lambda: dn.Network(wrong / "tiny-yolov2-trial8.cfg", wrong / "tiny-yolov2-trial8.weights"),
        dn.WeightsError,
    )
    assert "another cfg" in message and "tiny-yolov2-trial8.weights" in message
    part = REAL / "weights" / "partial"
    cfg, weights = part / "Yolo-Fastest.cfg", part / "Yolo-Fastest.conv"
    message = refused(
        lambda: dn.Network(cfg, weights), dn.WeightsError, r"ends in layer 1[23]\d \[convolutional\]"
    )
    assert "partial=True" in message or "another cfg" in message
    with dn.Network(cfg, weights, partial=True) as whole, dn.Network(cfg, weights, cutoff=129) as cut:
        np.testing.assert_array_equal(whole.layers[0].params["weights"], cut.layers[0].params["weights"])


# ---- pictures -------------------------------------------------------------------------------------------


def encoded(size: tuple[int, int] = (20, 10), kind: str = "PNG") -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises a size and whose data is a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


WRONG_PICTURES: dict[str, Any] = {
    "empty": b"",
    "one byte": b"\x89",
    "text": b"this is no picture\n",
    "a web page": b"<html></html>",
    "zeros": bytes(1000),
    "a PNG's first bytes": b"\x89PNG\r\n\x1a\n",
    "a PNG of no width": png_of(0, 5),
    "a PNG of no height": png_of(5, 0),
    "a decompression bomb": png_of(60_000, 60_000),
    "a PNG of impossible size": png_of(2**31 - 1, 2**31 - 1),
    "a PNG with too little data": png_of(100, 100),
    "None": None,
    "a number": 5,
    "a list": [1, 2, 3],
    "strings": np.array([["a", "b"]]),
    "objects": np.array([[None, 1]], object),
    "complex numbers": np.zeros((4, 4, 3), complex),
    "32-bit integers": np.zeros((4, 4, 3), np.int32),
    "no dimension": np.zeros((), np.uint8),
    "one dimension": np.zeros(12, np.uint8),
    "four dimensions": np.zeros((1, 4, 4, 3), np.uint8),
    "two channels": np.zeros((4, 4, 2), np.uint8),
    "five channels": np.zeros((4, 4, 5), np.uint8),
    "planar": np.zeros((3, 40, 50), np.float32),
    "no rows": np.zeros((0, 4, 3), np.uint8),
    "no columns": np.zeros((4, 0, 3), np.uint8),
    "nothing": np.zeros((0, 0), np.uint8),
    "no channels": np.zeros((4, 4, 0), np.uint8),
    "NaN": np.full((4, 4, 3), np.nan, np.float32),
    "infinite": np.full((4, 4, 3), np.inf),
    "0..255 as floats": np.full((4, 4, 3), 200.0),
    "a terabyte of nothing": np.broadcast_to(np.float32(300), (1 << 10, 1 << 10, 3)),
}


@pytest.mark.parametrize("name", WRONG_PICTURES)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_wrong_pictures(name: str, detector: dn.Network, tmp_path: Path) -> None:
    picture = WRONG_PICTURES[name]
    refused(lambda: detector.detect(picture), dn.ImageError)
    if isinstance(picture, bytes):
        path = tmp_path / "x.png"
        path.write_bytes(picture)
        assert "x.png" in refused(lambda: detector.detect(path), dn.ImageError)
        refused(lambda: dn.images.load(path), dn.ImageError)
    assert detector.detect(np.zeros((4, 4, 3), np.uint8)) is not None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_truncated_and_damaged_pictures(kind: str, detector: dn.Network) -> None:
    good, rng = encoded(kind=kind), random.Random(4)
    assert detector.detect(good) is not None
    for share in (0.05, 0.3, 0.6):
        refused(lambda share=share: detector.detect(good[: int(len(good) * share)]), dn.ImageError)
    for _ in range(10):
        data = bytearray(good)
        for _ in range(rng.choice([1, 5, 50])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        survives(lambda data=data: detector.detect(bytes(data)))


def test_pictures_that_are_no_files(detector: dn.Network, tmp_path: Path) -> None:
    refused(lambda: detector.detect(tmp_path), dn.ImageError)
    refused(lambda: detector.detect(tmp_path / "none.png"), dn.ImageError, "none.png: no such file")
    refused(lambda: detector.detect("a\0b.png"), dn.DarknetError)
    refused(lambda: detector.detect("/dev/null"), dn.ImageError)


def test_operations_on_impossible_pictures() -> None:
    good = np.zeros((3, 4, 5), np.float32)
    calls: list[Callable[[], Any]] = [
        lambda: dn.images.resize(good, 0, 5),
        lambda: dn.images.resize(good, -3, 5),
        lambda: dn.images.resize(good, 1 << 40, 5),
        lambda: dn.images.resize(np.zeros((3, 0, 5), np.float32), 5, 5),
        lambda: dn.images.letterbox(np.zeros((4, 5), np.float32), 5, 5),
        lambda: dn.images.letterbox(good, 5, 0),
        lambda: dn.images.crop(good, 0, 0, 0, 5),
        lambda: dn.images.place(good, 0, 5, 0, 0, good),
        lambda: dn.images.place(good, 5, 5, 0, 0, np.zeros((1, 4, 5), np.float32)),
        lambda: dn.images.rgb_to_hsv(np.zeros((1, 4, 5), np.float32)),
        lambda: dn.images.distort(np.zeros((2, 4, 5), np.float32), 0, 1, 1),
        lambda: dn.images.flip(np.zeros((4, 5), np.float32)),
        lambda: dn.images.to_pil(np.zeros((7, 4, 5), np.float32)),
    ]
    for call in calls:
        refused(call, dn.DarknetError)
    nan = np.full((3, 4, 5), np.nan, np.float32)
    for call in (
        lambda: dn.images.resize(nan, 9, 9),
        lambda: dn.images.rotate_crop(good, float("nan"), 1, 4, 4),
        lambda: dn.images.rotate_crop(good, 1, 0, 4, 4),
        lambda: dn.images.crop(good, 1 << 30, -(1 << 30), 4, 4),
        lambda: dn.images.place(good, 9, 9, 1 << 30, -(1 << 30), good),
        lambda: dn.images.distort(nan, 1e30, -1, float("inf")),
    ):
        survives(call)


def test_saving_a_picture_leaves_nothing_behind(tmp_path: Path) -> None:
    good = np.zeros((4, 5, 3), np.uint8)
    (tmp_path / "taken.png").mkdir()
    refused(lambda: dn.images.save(good, tmp_path / "none" / "x.png"), dn.ImageError)
    refused(lambda: dn.images.save(good, tmp_path / "x.nothing"), dn.ImageError, "unknown picture format")
    refused(lambda: dn.images.save(good, tmp_path / "x"), dn.ImageError)
    refused(lambda: dn.images.save(good, tmp_path / "taken.png"), dn.ImageError)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]


# ---- inputs and truth -----------------------------------------------------------------------------------

WRONG_INPUTS: dict[str, Any] = {
    "bytes per pixel": np.zeros((1, 3, 24, 32), np.uint8),
    "transposed": np.zeros((1, 24, 32, 3), np.float32),
    "another size": np.zeros((1, 3, 24, 33), np.float32),
    "too few channels": np.zeros((1, 1, 24, 32), np.float32),
    "five dimensions": np.zeros((1, 1, 3, 24, 32), np.float32),
    "flat": np.zeros(3 * 24 * 32, np.float32),
    "a scalar": 3.0,
    "text": "picture.png",
    "None": None,
    "objects": np.full((1, 3, 24, 32), None),
    "ragged": [[1.0], [2.0]],
}


@pytest.mark.parametrize("name", WRONG_INPUTS)
def test_wrong_inputs(name: str, detector: dn.Network) -> None:
    for call in (detector.predict, detector.activations):
        refused(lambda call=call: call(WRONG_INPUTS[name]), dn.ArgumentError, "expected an input")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, -1e38])
def test_inputs_that_are_no_numbers(value: float, detector: dn.Network) -> None:
    x = np.full((2, 3, 24, 32), value, np.float32)
    assert survives(lambda: detector.predict(x))
    with dn.Trainer(detector) as trainer:
        survives(lambda: trainer.step(x, np.zeros((2, 450), np.float32)))


@pytest.mark.parametrize(
    "shape", [(2, 0), (2, 7), (2, 449), (2, 451), (1, 450), (3, 450), (450,), (2, 90, 4), (2, 1, 5)]
)
def test_truth_of_a_wrong_shape(shape: tuple[int, ...], detector: dn.Network) -> None:
    with dn.Trainer(detector) as trainer:
        refused(lambda: trainer.step(np.zeros((2, 3, 24, 32)), np.zeros(shape)), ValueError)
        assert trainer.step(np.zeros((2, 3, 24, 32)), np.zeros((2, 450))) >= 0


HEADS = {
    "yolo": TINY_CFG,
    "yolo of the fork": TINY_CFG + "iou_loss=ciou\niou_thresh=.2\nmax=90\n",
    "region": TINY_CFG.split("[yolo]")[0] + "[region]\nnum=2\nclasses=3\nanchors=1,1,2,2\n",
}


@pytest.mark.parametrize("kind", HEADS)
def test_truth_that_is_nonsense(kind: str) -> None:
    """Classes, centres and sizes that no label has: nothing is written where it should not be."""
    values = [np.nan, np.inf, -np.inf, 1e30, -1e30, -1, 0, 1e-30, 0.5, 1, 3, 100, 2**31, -(2**31)]
    rng = np.random.default_rng(5)
    with dn.Network.from_string(HEADS[kind], seed=1) as net:
        truths = net.layers[3].truths
        for _ in range(8):
            truth = rng.choice(values, (2, truths)).astype(np.float32)
            truth[:, ::5] = np.where(truth[:, ::5] == 0, 0.5, truth[:, ::5])  # 0 would end the list
            with dn.Trainer(net) as trainer:
                survives(lambda truth=truth, trainer=trainer: trainer.step(np.zeros((2, 3, 24, 32)), truth))
            net.set_param(0, "scales", np.ones(8))
            net.set_param(2, "biases", np.zeros(16))
            net.set_param(2, "weights", rng.normal(0, 0.1, (16, 8, 1, 1)))


# ---- checkpoints ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "good"
    with dn.Network.from_string(TINY_CFG, seed=1) as net, dn.Trainer(net) as trainer:
        trainer.step(np.zeros((2, 3, 24, 32)), np.zeros((2, 450)))
        trainer.save(path)
    return path.read_bytes()


def resealed(data: bytearray) -> bytes:
    """With the checksum of what it now says: damage on purpose."""
    return bytes(data[:-4]) + struct.pack("<I", zlib.crc32(bytes(data[:-4])))


def test_wrong_checkpoints(checkpoint: bytes, tmp_path: Path, good_weights: bytes) -> None:
    path, rng = tmp_path / "c", random.Random(6)

    def load(data: bytes) -> Callable[[], Any]:
        def call() -> None:
            path.write_bytes(data)
            dn.Trainer.load(path).close()

        return call

    load(checkpoint)()
    for cut in (0, 1, 7, 8, 9, 50, 100, 200, len(checkpoint) // 2, len(checkpoint) - 5, len(checkpoint) - 1):
        refused(load(checkpoint[:cut]), (dn.DataError, dn.WeightsError), "checkpoint")  # type: ignore[arg-type]
    refused(load(checkpoint + b"\0"), dn.WeightsError, "damaged checkpoint")
    refused(load(good_weights), dn.WeightsError, "not a training checkpoint")
    refused(load(TINY_CFG.encode()), dn.WeightsError, "not a training checkpoint")
    for _ in range(20):
        data = bytearray(checkpoint)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        refused(load(bytes(data)), dn.WeightsError, "checkpoint")
    for _ in range(60):  # with a checksum that holds, sizes and settings must still be checked
        data = bytearray(checkpoint)
        position = 8 + 4 * rng.randrange(31)
        data[position : position + 4] = struct.pack(
            "<i", rng.choice([0, 1, -1, 2, 7, 1000, 2**31 - 1, -(2**31)])
        )
        survives(load(resealed(data)))
    refused(lambda: dn.Trainer.load(tmp_path), dn.DataError)
    refused(lambda: dn.Trainer.load(tmp_path / "none"), dn.DataError, "no such file")


def test_a_checkpoint_whose_moments_are_missing(tmp_path: Path) -> None:
    """Its length and checksum hold, but the optimiser's state would be read from beyond its end."""
    path = tmp_path / "adam"
    with (
        dn.Network.from_string(TINY_CFG.replace("batch=2", "batch=2\nadam=1")) as net,
        dn.Trainer(net) as trainer,
    ):
        trainer.save(path)
    data = bytearray(path.read_bytes())
    fields = 8 + 2 * 8  # of the magic, and of the sizes before the numbers of parameters and moments
    params, moments = struct.unpack_from("<QQ", data, fields)
    assert moments == 2 * params
    struct.pack_into("<Q", data, fields + 8, 2)
    end = len(data) - 4
    del data[end - 4 * (moments - 2) : end]
    path.write_bytes(resealed(data))
    refused(lambda: dn.Trainer.load(path), dn.WeightsError, "its cfg and its parameters don't fit")


# ---- writing --------------------------------------------------------------------------------------------


def test_failed_writes_leave_nothing_behind(tmp_path: Path, detector: dn.Network) -> None:
    (tmp_path / "folder.weights").mkdir()
    (tmp_path / "file").write_text("x", "utf-8")
    with dn.Trainer(detector) as trainer:
        for write in (detector.save_weights, trainer.save):
            for target in ("none/x.weights", "folder.weights", "file/x.weights", "x" * 300, ""):
                path = tmp_path / target if target else ""
                refused(lambda write=write, path=path: write(path), dn.FileError)
            refused(lambda write=write: write("a\0b"), dn.ArgumentError, "null character")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.weights"]
    assert (tmp_path / "file").read_text("utf-8") == "x"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a limit on file sizes")
def test_a_full_disk_keeps_the_old_file(tmp_path: Path, detector: dn.Network) -> None:
    import resource
    import signal

    path = tmp_path / "x.weights"
    detector.save_weights(path)
    before = path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        refused(lambda: detector.save_weights(path), dn.WeightsError, "x.weights: can't write")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["x.weights"]


# ---- names, lists, labels, trees ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"\xff\xfe\0a", bytes(1000), b"a" * 1_000_000, b"a\r\nb\r\n"]
)
def test_odd_names_files(content: bytes, tmp_path: Path, picture: np.ndarray) -> None:
    (tmp_path / "x.names").write_bytes(content)

    def run() -> None:
        with dn.Network.from_string(TINY_CFG, names=tmp_path / "x.names") as net:
            net.detect(picture, thresh=0.01).to_json()

    assert survives(run)


def test_names_files_that_are_none(tmp_path: Path) -> None:
    refused(lambda: dn.Network.from_string(TINY_CFG, names=tmp_path), dn.DataError)
    refused(lambda: dn.Network.from_string(TINY_CFG, names=tmp_path / "none"), dn.DataError, "no such file")


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 50, b"a\n", b"a x\n", b"a 5\n", b"a 0\n", b"a -1\nb 1\n", b"a -1\nb 0\nc -1\n", b"a -2\n",
     b"a 99999999999999\n", b"\xff\xfe\n", b"a -1 " * 1000, b"<html>\n"],
)  # fmt: skip
def test_odd_trees(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.tree"
    path.write_bytes(content)

    def run() -> None:
        tree = dn.WordTree(path)
        tree.absolute(np.full(len(tree), 0.5))
        tree.top(np.full(len(tree), 0.5))

    survives(run)
    cfg = f"[net]\ninputs=3\n[softmax]\ntree={path}\n".encode()
    survives(lambda: dn.Network(cfg).close())


WRONG_LABELS = {
    "text": b"this is no label\n",
    "too few values": b"0 0.5 0.5 0.1\n",
    "too many values": b"0 0.5 0.5 0.1 0.1 7 8 9\n",
    "a negative class": b"-1 0.5 0.5 0.1 0.1\n",
    "a class beyond": b"3 0.5 0.5 0.1 0.1\n",
    "a class of 1e99": b"1e99 0.5 0.5 0.1 0.1\n",
    "half a class": b"0.5 0.5 0.5 0.1 0.1\n",
    "NaN": b"0 nan 0.5 0.1 0.1\n",
    "infinite": b"0 0.5 0.5 inf 0.1\n",
    "pixels": b"0 250 130 40 50\n",
    "a negative size": b"0 0.5 0.5 -0.1 0.1\n",
    "nothing but a class": b"1\n",
    "a later line": b"0 0.5 0.5 0.1 0.1\n1 2 3\n",
    "zero bytes": bytes(100),
    "random bytes": random.Random(7).randbytes(300),
    "a picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
}


@pytest.mark.parametrize("name", WRONG_LABELS)
def test_wrong_labels_name_file_and_line(name: str, tmp_path: Path) -> None:
    data = pytest.importorskip("darknet_py.data")
    path = tmp_path / "x.txt"
    path.write_bytes(WRONG_LABELS[name])
    line = 2 if name == "a later line" else r"\d+"
    refused(lambda: data.read_labels(path, 3), dn.DataError, rf"x\.txt(:{line}:|: )")


def test_odd_but_right_labels(tmp_path: Path) -> None:
    data = pytest.importorskip("darknet_py.data")
    for content in (
        b"",
        b"\n\n",
        b"\xef\xbb\xbf0 .5 .5 .1 .1\r\n",
        b"0 0.5 0.5 0.1 0.1",
        b"0\t.5 .5  .1 .1 \n",
    ):
        (tmp_path / "x.txt").write_bytes(content)
        assert survives(lambda: data.read_labels(tmp_path / "x.txt", 3))


def test_wrong_lists_and_data_files(tmp_path: Path) -> None:
    data = pytest.importorskip("darknet_py.data")
    path = tmp_path / "x.data"
    for content in (b"", bytes(50), b"\xff\xfe\xff", b"nonsense\n", b"classes\n", b"classes = many\n", b"classes = -3\n",
                    b"classes = 99999999999999999999\n", b"names = \n", b"classes = 2\nnames = none.names\n",
                    random.Random(8).randbytes(500)):  # fmt: skip
        path.write_bytes(content)

        def run() -> None:
            file = data.DataFile(path)
            _ = file.classes
            _ = file.labels
            file.images("train")

        refused(run, dn.DataError)
    for content in (
        b"",
        b"\n\n",
        bytes(50),
        b"# only a comment\n",
        b"none.jpg\n",
        random.Random(9).randbytes(500),
    ):
        (tmp_path / "x.txt").write_bytes(content)
        survives(lambda: data.labels_of(data.read_list(tmp_path / "x.txt"), 3))
    refused(lambda: data.DataFile(tmp_path), dn.DataError)
    refused(lambda: data.DataFile(tmp_path / "none"), dn.DataError, "no such")
    refused(lambda: data.read_list(tmp_path / "none"), dn.DataError, "no such")


# ---- how many -------------------------------------------------------------------------------------------


def test_enough_inputs_were_tried(request: pytest.FixtureRequest) -> None:
    """At least 200 in a whole run of this file; what is written in its tables alone is nearly as many."""
    tables = (WRONG_CFGS, STRICT_CFGS, WRONG_WEIGHTS, WRONG_PICTURES, WRONG_INPUTS, WRONG_LABELS)
    assert len(WRONG_CFGS) >= 70 and sum(map(len, tables)) + len(CUTS) >= 200
    mine = [item for item in request.session.items if item.path == request.path]
    if len(mine) > 200:  # not when single tests were chosen
        assert TRIED["inputs"] >= 1000

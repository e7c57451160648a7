"""Weights made of weights: outputs before and after agree, files that are read are never written."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("darknet_py._native", reason="the core is not built")

import darknet_py as dn
from darknet_py import surgery
from darknet_py.cfg_text import CfgText
from darknet_py.cli import main

CFG = """# a comment
[net]
width=8
height=6
channels=3

[convolutional]
batch_normalize=1
filters=6
size=3
activation=leaky

[convolutional]
batch_normalize = 1
batch_normalize = 0
groups=2
filters=4
size=3
pad=1
activation=linear
binary=1

[batchnorm]

[connected]
batch_normalize=1
output=5
activation=tanh

[connected]
output=4
activation=linear
"""


def filled(net: dn.Network, seed: int = 1) -> dn.Network:
    """Random parameters of which none is left at a value that hides a mistake."""
    draw = np.random.default_rng(seed)
    for layer in net.layers:
        for name, array in layer.params.items():
            low = 0.0001 if name.endswith("variance") else -1
            if layer.type != "batchnorm" or name != "biases":
                net.set_param(layer.index, name, draw.uniform(low, 1, array.shape))
    return net


def write(folder: Path, cfg: str = CFG, stem: str = "a", seed: int = 1, seen: int = 77) -> tuple[Path, Path]:
    """A cfg and random weights for it."""
    path = folder / f"{stem}.cfg"
    path.write_text(cfg)
    with dn.Network(path) as net:
        filled(net, seed).seen = seen
        net.save_weights(folder / f"{stem}.weights")
    return path, folder / f"{stem}.weights"


def outputs(cfg: Any, weights: Any, x: np.ndarray) -> list[np.ndarray]:
    """Of every layer."""
    with dn.Network(cfg, weights) as net:
        return net.activations(x)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(5).uniform(0, 1, (2, 3, 6, 8)).astype(np.float32)


def agree(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


# ---- batch normalisation ---------------------------------------------------------------------------------


def test_denormalized_weights_compute_the_same_without_batch_normalisation(
    tmp_path: Path, x: np.ndarray
) -> None:
    cfg, weights = write(tmp_path)
    out, bare = tmp_path / "b.weights", tmp_path / "b.cfg"
    surgery.denormalize(cfg, weights, out, bare)
    agree(outputs(bare, out, x), outputs(cfg, weights, x))
    assert "batch_normalize" not in bare.read_text() and "# a comment" in bare.read_text()
    with dn.Network(bare, out) as net:
        assert net.seen == 77
        assert [list(layer.params) for layer in net.layers[:2]] == [["biases", "weights"]] * 2


def test_reset_keeps_outputs_and_leaves_identities(tmp_path: Path, x: np.ndarray) -> None:
    cfg, weights = write(tmp_path)
    surgery.reset(cfg, weights, tmp_path / "b.weights")
    agree(outputs(cfg, tmp_path / "b.weights", x), outputs(cfg, weights, x))
    with dn.Network(cfg, tmp_path / "b.weights") as net:
        for index in (0, 1, 3):
            params = net.layers[index].params
            assert (params["scales"] == 1).all() and not params["rolling_mean"].any()
            np.testing.assert_allclose(params["rolling_variance"], 1, atol=2e-5)


def test_normalize_adds_identities_that_denormalize_takes_away(tmp_path: Path, x: np.ndarray) -> None:
    cfg, weights = write(tmp_path, CFG.replace("batch_normalize=1", "").replace("batch_normalize = 1", ""))
    out, more = tmp_path / "b.weights", tmp_path / "b.cfg"
    surgery.normalize(cfg, weights, out, more)
    agree(outputs(more, out, x), outputs(cfg, weights, x))
    with dn.Network(more, out) as net:
        assert all("rolling_variance" in net.layers[i].params for i in (0, 1, 3, 4))
    surgery.denormalize(more, out, tmp_path / "c.weights", tmp_path / "c.cfg")
    agree(outputs(tmp_path / "c.cfg", tmp_path / "c.weights", x), outputs(cfg, weights, x))


def test_the_identity_is_one_bit_for_bit() -> None:
    """What normalize writes goes through the root unchanged: 1 - 1e-5 + 1e-5 is 1 in float32, too."""
    cfg = "[net]\nwidth=4\nheight=4\nchannels=1\n[convolutional]\nfilters=2\nsize=3\nactivation=linear\n"
    x = np.random.default_rng(0).normal(size=(1, 1, 4, 4)).astype(np.float32)
    with dn.Network.from_string(cfg) as net, dn.Network.from_string(cfg + "batch_normalize=1\n") as more:
        params = net.layers[0].params
        for name, array in params.items():
            more.set_param(0, name, array)
        more.set_param(0, "rolling_variance", np.full(2, surgery.IDENTITY_VARIANCE, np.float32))
        np.testing.assert_array_equal(more.activations(x)[0], net.activations(x)[0])


def layered(kind: str) -> str:
    if kind == "deconvolutional":
        net, body = "width=5\nheight=4\nchannels=3", "filters=3\nsize=2\nstride=2\nactivation=leaky"
    elif kind == "crnn":
        net, body = "width=5\nheight=5\nchannels=3\ntime_steps=2", "hidden_filters=3\noutput_filters=4"
    elif kind == "conv_lstm":
        net, body = "width=5\nheight=4\nchannels=3\ntime_steps=2", "output=4\npeephole=1"
    else:
        net, body = "inputs=6\ntime_steps=2", "hidden=4\noutput=5"
    return f"[net]\n{net}\nbatch=2\n[{kind}]\nbatch_normalize=1\n{body}\n"


@pytest.mark.parametrize("kind", ("deconvolutional", "rnn", "gru", "lstm", "crnn", "conv_lstm"))
def test_layers_of_layers_are_folded_too(tmp_path: Path, kind: str) -> None:
    cfg, weights = write(tmp_path, layered(kind))
    with dn.Network(cfg, weights) as net:
        shape = (4, *net.input_shape[1:])
    x = np.random.default_rng(2).uniform(-1, 1, shape).astype(np.float32)
    surgery.denormalize(cfg, weights, tmp_path / "b.weights", tmp_path / "b.cfg")
    expected = outputs(cfg, weights, x)
    agree(outputs(tmp_path / "b.cfg", tmp_path / "b.weights", x), expected)
    surgery.reset(cfg, weights, tmp_path / "c.weights")
    agree(outputs(cfg, tmp_path / "c.weights", x), expected)
    surgery.normalize(tmp_path / "b.cfg", tmp_path / "b.weights", tmp_path / "d.weights", tmp_path / "d.cfg")
    agree(outputs(tmp_path / "d.cfg", tmp_path / "d.weights", x), expected)


def test_a_negative_variance_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    cfg, weights = write(tmp_path)
    with dn.Network(cfg, weights) as net:
        net.set_param(3, "rolling_variance", np.float32([1, 1, -2, 1, 1]))
        net.save_weights(weights)
    with pytest.raises(dn.WeightsError, match=r"layer 3 \[connected\]: a rolling variance is -2"):
        surgery.denormalize(cfg, weights, tmp_path / "b.weights", tmp_path / "b.cfg")
    assert not (tmp_path / "b.weights").exists() and not (tmp_path / "b.cfg").exists()


# ---- channels and ranges ---------------------------------------------------------------------------------


def test_rgbgr_takes_pictures_with_red_and_blue_swapped(tmp_path: Path, x: np.ndarray) -> None:
    cfg, weights = write(tmp_path)
    surgery.rgbgr(cfg, weights, tmp_path / "b.weights")
    agree(outputs(cfg, tmp_path / "b.weights", x[:, ::-1]), outputs(cfg, weights, x))
    surgery.rgbgr(cfg, tmp_path / "b.weights", tmp_path / "c.weights")
    assert (tmp_path / "c.weights").read_bytes() == weights.read_bytes()


@pytest.mark.parametrize("normalized", ["1", "0"])
def test_rescaled_weights_take_pictures_between_0_and_1(
    tmp_path: Path, x: np.ndarray, normalized: str
) -> None:
    cfg, weights = write(
        tmp_path, CFG.replace("batch_normalize=1\nfilters", f"batch_normalize={normalized}\nfilters")
    )
    surgery.rescale(cfg, weights, tmp_path / "b.weights")
    agree(outputs(cfg, tmp_path / "b.weights", x), outputs(cfg, weights, 2 * x - 1))


def test_the_first_convolution_must_see_the_picture(tmp_path: Path) -> None:
    grey = write(tmp_path, CFG.replace("channels=3", "channels=1"))
    with pytest.raises(dn.ArgumentError, match="3 channels, found 1"):
        surgery.rgbgr(*grey, tmp_path / "x.weights")
    flat = write(tmp_path, "[net]\ninputs=3\n[connected]\noutput=2\n")
    with pytest.raises(dn.ArgumentError, match="no convolution"):
        surgery.rescale(*flat, tmp_path / "x.weights")
    binary = write(tmp_path, CFG.replace("filters=6", "filters=6\nxnor=1"))
    with pytest.raises(dn.ArgumentError, match="xnor=1"):
        surgery.rescale(*binary, tmp_path / "x.weights")


# ---- cut, averaged, read twice ---------------------------------------------------------------------------


def test_partial_keeps_the_first_layers_and_forgets_what_was_seen(tmp_path: Path) -> None:
    cfg, weights = write(tmp_path)
    surgery.partial(cfg, weights, tmp_path / "a.conv.2", 2)
    with pytest.raises(dn.WeightsError):
        dn.Network(cfg, tmp_path / "a.conv.2")
    with dn.Network(cfg, weights) as whole, dn.Network(cfg, tmp_path / "a.conv.2", partial=True) as net:
        assert net.seen == 0
        for index in (0, 1):
            for name, array in net.layers[index].params.items():
                np.testing.assert_array_equal(array, whole.layers[index].params[name])
    assert (tmp_path / "a.conv.2").read_bytes()[20:] == weights.read_bytes()[20:][: 4 * (6 * 31 + 4 * 31)]
    with pytest.raises(dn.ArgumentError, match=r"1\.\.5 layers to keep, found 6"):
        surgery.partial(cfg, weights, tmp_path / "x", 6)


def test_average_is_the_mean_and_of_equal_files_the_identity(tmp_path: Path) -> None:
    cfg, weights = write(tmp_path)
    _, other = write(tmp_path, stem="b", seed=2, seen=5)
    surgery.average(cfg, tmp_path / "c.weights", [weights, weights, weights])
    assert (tmp_path / "c.weights").read_bytes() == weights.read_bytes()
    surgery.average(cfg, tmp_path / "c.weights", [other, weights])
    a, b, c = (
        np.frombuffer(path.read_bytes()[20:], "<f4").astype(np.float64)
        for path in (weights, other, tmp_path / "c.weights")
    )
    np.testing.assert_allclose(c, (a + b) / 2, rtol=1e-7)
    assert struct.unpack("<Q", (tmp_path / "c.weights").read_bytes()[12:20]) == (5,)
    with pytest.raises(dn.ArgumentError):
        surgery.average(cfg, tmp_path / "c.weights", [])


def test_oneoff_repeats_a_classifier_for_every_anchor(tmp_path: Path) -> None:
    net = "[net]\nwidth=4\nheight=4\nchannels=3\n[convolutional]\nbatch_normalize=1\nfilters=2\n"
    last = "[convolutional]\nactivation=linear\nfilters="
    cfg, _ = write(tmp_path, f"{net}{last}27\n[region]\nclasses=4\nnum=3\nanchors=1,1,2,2,3,3\n")
    _, learned = write(tmp_path, f"{net}{last}6\n[avgpool]\n[softmax]\n", "c")
    surgery.oneoff(cfg, learned, tmp_path / "o.weights", 6)
    with dn.Network(cfg, tmp_path / "o.weights") as made, dn.Network(tmp_path / "c.cfg", learned) as source:
        assert made.seen == 0
        for name, array in source.layers[0].params.items():
            np.testing.assert_array_equal(made.layers[0].params[name], array)
        params, wanted = made.layers[1].params, source.layers[1].params
        for anchor in range(3):
            block = slice(9 * anchor + 5, 9 * anchor + 9)
            np.testing.assert_array_equal(params["weights"][block], wanted["weights"][:4])
            np.testing.assert_array_equal(params["biases"][block], wanted["biases"][:4])
            assert not params["biases"][9 * anchor : 9 * anchor + 5].any()
    with pytest.raises(dn.ArgumentError, match="3 x"):
        surgery.oneoff(tmp_path / "c.cfg", learned, tmp_path / "x.weights", 6)


def test_oneoff2_fills_layers_that_repeat_the_first_ones(tmp_path: Path) -> None:
    layer = "[convolutional]\nfilters=3\nsize=3\npad=1\nactivation=linear\n"
    cfg, _ = write(tmp_path, "[net]\nwidth=4\nheight=4\nchannels=3\n" + 2 * layer)
    _, once = write(tmp_path, "[net]\nwidth=4\nheight=4\nchannels=3\n" + layer, "once")
    surgery.oneoff2(cfg, once, tmp_path / "o.weights", 1)
    data = once.read_bytes()
    assert (tmp_path / "o.weights").read_bytes() == data[:12] + bytes(8) + 2 * data[20:]


# ---- files and commands ----------------------------------------------------------------------------------


def test_inputs_are_never_written(tmp_path: Path) -> None:
    cfg, weights = write(tmp_path)
    before = weights.read_bytes(), cfg.read_bytes()
    (tmp_path / "link.weights").symlink_to(weights)
    (tmp_path / "hard.weights").hardlink_to(weights)
    for out in (
        weights,
        cfg,
        tmp_path / "link.weights",
        tmp_path / "hard.weights",
        f"{tmp_path}/./a.weights",
    ):
        with pytest.raises(dn.ArgumentError, match="another file of this command"):
            surgery.reset(cfg, weights, out)
    with pytest.raises(dn.ArgumentError):
        surgery.average(cfg, weights, [weights])
    with pytest.raises(dn.ArgumentError):
        surgery.denormalize(cfg, weights, tmp_path / "b.weights", cfg)
    with pytest.raises(dn.ArgumentError):
        surgery.denormalize(cfg, weights, tmp_path / "b", tmp_path / "b")
    assert (weights.read_bytes(), cfg.read_bytes()) == before


def test_biases_that_the_dialect_has_no_place_for_are_not_lost(tmp_path: Path, x: np.ndarray) -> None:
    cfg, weights = write(tmp_path)
    with dn.Network(cfg, weights, dialect="alexeyab") as net:
        net.set_param(2, "biases", np.float32([1, 2, 3, 4]))
        net.save_weights(weights)
    with pytest.raises(dn.ArgumentError, match="alexeyab"):
        surgery.reset(cfg, weights, tmp_path / "b.weights")
    surgery.reset(cfg, weights, tmp_path / "b.weights", dialect="alexeyab")
    agree(outputs(cfg, tmp_path / "b.weights", x), outputs(cfg, weights, x))


def test_files_that_a_cfg_names_are_found_from_its_copy(tmp_path: Path) -> None:
    (tmp_path / "t.tree").write_text("a -1\nb -1\n")
    text = "[net]\ninputs=3\n[connected]\noutput=2\nbatch_normalize=1\n[softmax]\ntree=t.tree\n"
    cfg, weights = write(tmp_path, text)
    surgery.denormalize(cfg, weights, tmp_path / "b.weights", tmp_path / "b.cfg")
    x = np.float32([[1, 2, 3]])
    agree(outputs(tmp_path / "b.cfg", tmp_path / "b.weights", x), outputs(cfg, weights, x))


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("partial", ["2"]),
        ("rescale", []),
        ("rgbgr", []),
        ("reset", []),
        ("denormalize", ["-cfg", "OUT.cfg"]),
        ("normalize", ["--cfg", "OUT.cfg"]),
        ("oneoff2", ["0"]),
    ],
)
def test_commands_print_the_path(
    tmp_path: Path, verb: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, weights = write(tmp_path)
    out = str(tmp_path / "out.weights")
    more = [str(tmp_path / one) if one.startswith("OUT") else one for one in more]
    assert main([verb, str(cfg), str(weights), out, *more]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert Path(out).exists() and (len(more) < 2 or Path(more[1]).exists())
    assert main([verb, "-q", str(cfg), str(cfg), out, *more]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_average_and_oneoff_as_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights = write(tmp_path)
    out = str(tmp_path / "out.weights")
    assert main(["average", str(cfg), out, str(weights), str(weights)]) == 0
    assert Path(out).read_bytes() == weights.read_bytes()
    assert main(["average", str(cfg), out]) == 2
    assert main(["oneoff", str(cfg), str(weights), out, "-filters", "3"]) == 1
    assert "3 x (5 + classes)" in capsys.readouterr().err


def test_a_cfg_changes_only_where_it_is_told() -> None:
    text = "; x\r\n[net]\r\nwidth = 4\r\n\r\n[conv]\r\n si ze = 3\r\n# size=9\r\nsize=5\r\npad=1\r\n"
    cfg = CfgText(text)
    assert str(cfg) == text and len(cfg) == 2 and cfg.name(1) == "conv"
    cfg.set(1, "size", 7)
    cfg.set(0, "height", 2)
    cfg.remove(1, "pad")
    expected = "; x\r\n[net]\r\nheight=2\r\nwidth = 4\r\n\r\n[conv]\r\nsize=7\r\n# size=9\r\n"
    assert bytes(cfg) == expected.encode()
    cfg.keep(1)
    assert len(cfg) == 1
    with pytest.raises(dn.ArgumentError):
        cfg.set(1, "size", 1)

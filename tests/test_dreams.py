"""Gradients of the picture, and dreams: what a layer sees in a picture grows, noise becomes what it saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("darknet_py._native", reason="the core is not built")

from PIL import Image
from test_surgery import filled

import darknet_py as dn
from darknet_py import dreams
from darknet_py.cli import main

CFG = """[net]
width=20
height=16
channels=3
batch=4

[convolutional]
batch_normalize=1
filters=6
size=3
pad=1
activation=leaky

[batchnorm]

[dropout]
probability=.9

[maxpool]
size=2
stride=2

[convolutional]
filters=18
size=3
pad=1
activation=linear

[yolo]
mask=0,1
anchors=4,5, 10,12
num=2
classes=4

[route]
layers=-2

[convolutional]
filters=4
size=1
activation=relu
"""
LAST = 7


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, str]:
    return make(tmp_path, CFG)


def make(folder: Path, cfg: str) -> tuple[str, str]:
    path = folder / "net.cfg"
    path.write_text(cfg)
    with dn.Network(path) as net:
        filled(net).save_weights(folder / "net.weights")
    return str(path), str(folder / "net.weights")


@pytest.fixture
def scene() -> np.ndarray:
    """A smooth picture, larger than the network's input."""
    y, x = np.mgrid[0:30, 0:44] / 20
    return (0.5 + 0.4 * np.stack([np.sin(3 * x), np.sin(2 * y + x), np.cos(x * y)])).astype(np.float32)


def test_a_dreamer_sees_what_inference_sees(model: tuple[str, str]) -> None:
    """Whatever training would do to batch normalisation, dropout and heads."""
    x = np.random.default_rng(3).uniform(0, 1, (3, 16, 20)).astype(np.float32)
    with dn.Network(*model) as net:
        expected = net.activations(x)
    with dreams.Dreamer(*model, LAST) as dreamer:
        for layer in (0, 1, 2, 4, LAST):
            np.testing.assert_allclose(dreamer.look(x, layer), expected[layer], rtol=1e-4, atol=1e-4)


def test_the_gradient_is_that_of_the_objective(model: tuple[str, str]) -> None:
    x = np.random.default_rng(4).uniform(0, 1, (3, 16, 20)).astype(np.float32)
    way = np.random.default_rng(5).normal(size=x.shape).astype(np.float32)
    way /= np.linalg.norm(way)
    with dreams.Dreamer(*model, 4) as dreamer:
        seen, gradient = dreamer.gradient(x, lambda seen: seen)
        h = np.float32(1e-3)
        higher, lower = (
            0.5 * np.square(dreamer.look(x + sign * h * way), dtype=np.float64).sum() for sign in (1, -1)
        )
        assert float((gradient * way).sum()) == pytest.approx((higher - lower) / (2 * float(h)), rel=0.02)
        assert seen.shape == (1, 18, 8, 10)


def excitement(dreamer: dreams.Dreamer, picture: np.ndarray) -> float:
    return float(np.square(dreams.excitement(dreamer.look(picture), 1)).sum())


@pytest.mark.parametrize("layer", [0, 4, LAST])
def test_a_dream_excites_its_layer(model: tuple[str, str], scene: np.ndarray, layer: int) -> None:
    with dreams.Dreamer(*model, layer) as dreamer:
        values = [excitement(dreamer, scene)]
        values += [excitement(dreamer, made) for made in dreams.dream(dreamer, scene, rounds=3, octaves=2)]
        assert values[1] > 1.2 * values[0] and values[3] > values[1]
        again = list(dreams.dream(dreamer, scene, rounds=3, octaves=2))[-1]
        assert excitement(dreamer, again) == values[3]
        *_, other = dreams.dream(dreamer, scene, rounds=2, octaves=2, seed=1, zoom=0.9, rotate=0.1)
        assert other.shape == scene.shape and 0 <= other.min() <= other.max() <= 1


def test_layers_that_training_would_stop_at_let_dreams_through(tmp_path: Path, scene: np.ndarray) -> None:
    model = make(
        tmp_path,
        CFG.replace("filters=18", "filters=18\nstopbackward=1").replace("size=2", "size=2\nonlyforward=1"),
    )
    with dreams.Dreamer(*model, LAST) as dreamer:
        _, gradient = dreamer.gradient(scene, lambda seen: seen)
        assert gradient.any()


def test_a_range_of_layers_and_zoom(model: tuple[str, str], scene: np.ndarray) -> None:
    with dreams.Dreamer(*model, 5) as dreamer:
        still = list(dreams.dream(dreamer, scene, 3, rounds=2, iters=1, rate=0, span=4, zoom=0.5))
        np.testing.assert_array_equal(still[0], scene)
        crop = dn.images.crop(scene, 11, 7, 22, 15)
        np.testing.assert_array_equal(still[1], dn.images.resize(crop, 44, 30))
        with pytest.raises(dn.ArgumentError, match=r"layers 0\.\.5, found 3\.\.6"):
            next(dreams.dream(dreamer, scene, span=4))
        for wrong in ({"octaves": 0}, {"rounds": 0}, {"zoom": np.inf}, {"rate": np.nan}, {"span": 0}):
            with pytest.raises(dn.ArgumentError, match=r"expected .*, found"):
                next(dreams.dream(dreamer, scene, **wrong))
        for wrong in ({"momentum": 1}, {"smoothing": np.inf}, {"iters": 0}):
            with pytest.raises(dn.ArgumentError, match=r"expected .*, found"):
                next(dreams.reconstruct(dreamer, scene, **wrong))
        assert next(dreams.reconstruct(dreamer, scene[:, :8, :8], smooth=999, iters=1)).shape == (3, 8, 8)


@pytest.mark.parametrize("norm", [True, False])
def test_reconstruction_finds_a_picture_that_is_seen_alike(model: tuple[str, str], norm: bool) -> None:
    target = np.random.default_rng(6).uniform(0, 1, (3, 16, 20)).astype(np.float32)
    with dreams.Dreamer(*model, 0) as dreamer:
        wanted = dreamer.look(target)
        made = dreams.reconstruct(
            dreamer, target, rounds=3, iters=20, rate=0.04 if norm else 0.001, smoothing=0.0001, norm=norm
        )
        errors = [float(np.square(dreamer.look(one) - wanted).sum()) for one in made]
        start = float(np.square(dreamer.look(np.full_like(target, 0.5)) - wanted).sum())
    assert errors[0] < start / 2 and errors[2] < errors[0]


def test_smoothing_evens_a_picture_out(model: tuple[str, str]) -> None:
    target = np.full((3, 16, 20), 0.5, np.float32)
    with dreams.Dreamer(*model, 0) as dreamer:
        rough, smooth = (
            next(dreams.reconstruct(dreamer, target, rate=0.02, smoothing=one, smooth=2)) for one in (0, 0.05)
        )
    assert np.abs(np.diff(smooth)).mean() < 0.9 * np.abs(np.diff(rough)).mean()


def test_a_network_of_fixed_size_gets_the_picture_letterboxed(tmp_path: Path, scene: np.ndarray) -> None:
    model = make(tmp_path, CFG.split("[yolo]")[0] + "[connected]\noutput=5\nactivation=relu\n[softmax]\n")
    with dreams.Dreamer(*model, 6) as dreamer:
        assert not dreamer.resizable and dreamer.fit(scene).shape == (3, 16, 20)
        assert next(dreams.dream(dreamer, dreamer.fit(scene), iters=2)).shape == (3, 16, 20)
    with dreams.Dreamer(*model, 4) as dreamer:
        assert dreamer.resizable and dreamer.fit(scene) is scene
    with pytest.raises(dn.ArgumentError, match="layer"):
        dreams.Dreamer(*model, 7)


def test_backward_from_needs_a_forward_pass_and_the_right_shape(model: tuple[str, str]) -> None:
    with dn.Network(model[0]) as net, dn.Trainer(net) as trainer:
        with pytest.raises(dn.StateError, match="forward"):
            trainer.backward_from(0, np.zeros((4, 6, 16, 20)))
        seen = net.seen
        assert trainer.forward(np.zeros((4, 3, 16, 20)), np.zeros((4, 90, 5))) >= 0
        assert net.seen == seen
        with pytest.raises(dn.ArgumentError, match="expected a delta of shape"):
            trainer.backward_from(0, np.zeros((6, 16, 20)))
        trainer.backward_from(0, np.ones((4, 6, 16, 20)))
        assert trainer.gradients(0)["biases"].any() and not trainer.gradients(4)["weights"].any()


def test_the_command_writes_a_picture_per_round(
    model: tuple[str, str], scene: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, folder = tmp_path / "sea.png", tmp_path / "new"
    dn.images.save(scene, image)
    arguments = ["nightmare", *model, str(image), "4", "-iters", "2", "-prefix", str(folder)]
    assert main([*arguments, "-rounds", "2", "-octaves", "2", "--range", "3", "-zoom", ".9"]) == 0
    paths = [str(folder / f"sea_net_4_00000{n}.jpg") for n in range(2)]
    assert capsys.readouterr().out == f"0 {paths[0]}\n1 {paths[1]}\n"
    for path in paths:
        with Image.open(path) as made:
            assert made.size == (44, 30)
    assert main([*arguments, "-reconstruct", "-lambda", ".1", "-smooth", "2", "-momentum", ".5"]) == 0
    with Image.open(paths[0]) as made:
        assert made.size == (20, 16)
    assert main(["nightmare", *model, paths[0], "4", "-rounds", "0"]) == 2
    assert main(["nightmare", *model, str(image), "9"]) == 1
    assert capsys.readouterr().err.endswith("expected a layer 0..7, found 9\n")


def test_routes_behind_an_upsampling_agree_at_every_octave(tmp_path: Path, scene: np.ndarray) -> None:
    small = "[convolutional]\nfilters=4\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
    head = "[net]\nwidth=32\nheight=32\nchannels=3\n"
    cfg = f"{head}{small}{small}{small}[upsample]\nstride=2\n[route]\nlayers=-1,1\n{small}"
    with dreams.Dreamer(*make(tmp_path, cfg), 5) as dreamer:
        (made,) = dreams.dream(dreamer, scene, octaves=4, iters=12)
    assert made.shape == scene.shape

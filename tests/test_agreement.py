"""Plans against the layers one by one, output by output: with all filters, so that every tile that Winograd
has is in them, at sizes that are no multiple of anything. benchmarks/agreement.py does it with all of cfg/.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import darknet_py as dn
from darknet_py import benching

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))

import agreement  # noqa: E402


@pytest.mark.parametrize("memory", ["fast", "lean"])
@pytest.mark.parametrize(
    ("name", "width", "height"),
    [("synth", 57, 41), ("yolov3-tiny", 145, 113), ("yolov4-tiny", 96, 160), ("resnet18", 84, 84)],
)
def test_each_step_gives_what_its_layer_does(name: str, width: int, height: int, memory: str) -> None:
    cfg = ROOT / "cfg" / f"{name}.cfg"
    with dn.Network(cfg, batch=1, width=width, height=height, memory=memory) as net:
        benching.calibrate(net)
        found = agreement.compare(cfg, net)
        assert found.layers > len(net.layers) / 2
        convolutions = sum(layer.type == "convolutional" for layer in net.layers)
    assert found.alone > 0.75 * convolutions and 0 < found.worst_alone < 5e-5
    assert 0 < found.added <= found.worst < 1e-4 and found.heads < 1e-4 and found.agrees


def test_a_softmax_counts_alone_where_its_winner_changes(tmp_path: Path) -> None:
    cfg = tmp_path / "winner.cfg"
    layers = "[convolutional]\nfilters=16\nsize=3\npad=1\nactivation=linear\n[softmax]\nspatial=1\n"
    cfg.write_text(f"# two layers\n[net]\nbatch=1\nchannels=64\nwidth=61\nheight=61\n{layers}")
    with dn.Network(cfg, seed=1) as net:
        weights = net.layers[0].params["weights"] * np.float32(1e6)
        weights[1::2] = weights[::2] * np.float32(1 + 1e-6)  # nearly a tie at each pixel
        net.set_param(0, "weights", weights)
        found = agreement.compare(cfg, net)
    assert found.layer == "1 softmax" and found.worst > 0.1 and found.agrees and found.alone == 2


def test_routes_join_vectors_and_maps() -> None:
    cfg = ROOT / "cfg" / "darkgo.cfg"
    with dn.Network(cfg, batch=1) as net:
        benching.calibrate(net)
        found = agreement.compare(cfg, net)
    assert found.agrees and found.worst < 2e-4 and found.alone > 10


def test_what_steps_give_is_kept_when_asked() -> None:
    cfg = ROOT / "cfg" / "synth.cfg"
    with dn.Network(cfg, seed=2) as net, net.session() as session:
        x = np.random.default_rng(0).random((3, *net.input_shape[1:]), np.float32)
        expected = session.predict(x)[0]
        assert session.step_outputs() == {}
        session.keep_steps()
        assert session.step_outputs() == {}, "nothing was predicted since"
        np.testing.assert_array_equal(session.predict(x)[0], expected)
        kept = session.step_outputs()
        assert {step.layer for step in session.steps()} >= set(kept)
        head = net.output_layers[0]
        np.testing.assert_array_equal(kept[head], expected[-1].reshape(kept[head].shape))
        session.keep_steps(False)
        assert session.step_outputs() == {}


def test_sizes_near_a_part_of_the_own_one_are_found() -> None:
    cfg = ROOT / "cfg" / "yolov4-tiny.cfg"  # routes that only join at multiples of 32
    shapes = {}
    for kind in agreement.SIZES:
        net = agreement.sized(cfg, kind)
        assert net is not None
        with net:
            shapes[kind] = net.input_shape[2:]
    assert shapes["own"] == (416, 416) and len(set(shapes.values())) == 4
    assert agreement.sized(ROOT / "cfg" / "lstm.cfg", "wide") is None

"""The network files of cfg/: facts that are known of the published ones, agreement of the plan with the
layers one by one, the files with their generator and their table."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from golden import SHARED
from thin import disagreement, steady, thin

import darknet_py as dn

ROOT = Path(__file__).resolve().parent.parent
CFG = ROOT / "cfg"
FILES = sorted(path.stem for path in CFG.glob("*.cfg"))
sys.path.insert(0, str(ROOT / "tools"))
import make_cfgs  # noqa: E402

#: name: (input side, layers, parameters, bytes of a file with the header of 20, GFLOP of multiply-adds,
#: heads). The published yolov3, yolov3-tiny, yolov4 and yolov4-tiny files are that long.
FACTS = {
    "yolov1": (448, 32, 197328243, 789312992, 40.42, {31: (1715,)}),
    "yolov1-tiny": (448, 16, 27099950, 108399820, 3.22, {15: (1470,)}),
    "yolov2": (608, 32, 50983561, 203934264, 62.94, {31: (425, 19, 19)}),
    "yolov2-voc": (416, 32, 50676061, 202704264, 29.36, {31: (125, 13, 13)}),
    "yolov2-tiny-voc": (416, 16, 15867885, 63471560, 6.97, {15: (125, 13, 13)}),
    "yolo9000": (544, 25, 48807501, 195230024, 49.06, {24: (28269, 17, 17)}),
    "yolov3": (608, 107, 62001757, 248007048, 140.69, dict.fromkeys((82, 94, 106))),
    "yolov3-tiny": (416, 24, 8858734, 35434956, 5.56, dict.fromkeys((16, 23))),
    "yolov3-spp": (608, 114, 63052381, 252209544, 141.45, dict.fromkeys((89, 101, 113))),
    "darknet19": (256, 26, 20856776, 83427124, 7.29, {25: (1000,)}),
    "darknet53": (256, 78, 41645640, 166582580, 18.57, {77: (1000,)}),
    "resnet50": (256, 69, 22825896, 91303604, 9.74, {68: (1000,)}),
    "yolov4": (608, 162, 64429405, 257717640, 128.39, dict.fromkeys((139, 150, 161))),
    "yolov4-tiny": (416, 38, 6062814, 24251276, 6.91, dict.fromkeys((30, 37))),
    "yolov7-tiny": (416, 99, 6241885, 24967560, 5.79, dict.fromkeys((90, 94, 98))),
    "yolov4-csp": (512, 175, 52986205, 211944840, 76.95, dict.fromkeys((144, 159, 174))),
}

#: The Darknet projects' files of the same layers.
PUBLISHED = "1 1-tiny 2 2-voc 2-tiny 2-tiny-voc 3 3-spp 3-tiny"
OFFICIAL = {
    **{f"yolov{name}": f"pjreddie/yolov{name}" for name in PUBLISHED.split()},
    **{name: f"pjreddie/{name}" for name in ("yolo9000", "alexnet", "vgg-16", "extraction", "darknet")},
    **{name: f"pjreddie/{name}" for name in ("darknet19", "darknet19_448", "darknet53", "rnn", "gru")},
    **{f"resnet{depth}": f"pjreddie/resnet{depth}" for depth in (18, 50, 101, 152)},
    **{name: f"alexeyab/{name}" for name in ("yolov4", "yolov4-tiny", "yolov4-csp", "yolov7-tiny")},
    "tiny-darknet": "pjreddie/tiny",
}

#: Sizes to run at, which no stride divides where layers allow it. Where maps of several strides meet, 32 must
#: divide both sides; blocks of ResNets need sizes that their strides round alike.
PLAIN = ((64, 96), (97, 131), (33, 47), (97, 416))
RESIDUAL = ((64, 96), (97, 131), (35, 99))
JOINED = ((64, 96), (96, 160), (32, 288))
SIZES = {
    **dict.fromkeys(("synth", "yolov2", "yolov2-voc", "yolov3", "yolov3-spp", "yolov3-tiny"), JOINED),
    **dict.fromkeys(("yolov4", "yolov4-tiny", "yolov4-csp", "yolov7-tiny"), JOINED),
    **dict.fromkeys(("bccd-tiny", "synth-v2", "cifar-resnet9"), JOINED),
    **dict.fromkeys((name for name in FILES if name.startswith("resnet")), RESIDUAL),
    "synth-v1": ((160, 160),),
    "alexnet": ((97, 131), (131, 97)),
    "alexnet-xnor": ((227, 227), (227, 259)),
    "alexnet-bwn": ((227, 227), (227, 259)),
    **dict.fromkeys(("rnn", "gru", "lstm"), ((0, 0),)),
    "lenet": ((28, 28), (31, 45)),
    "dcgan-generator": ((1, 1), (3, 2)),
    "dcgan-discriminator": ((64, 64), (97, 131)),
    "darkgo": ((19, 19), (7, 11)),
    "vgg-16": ((224, 224), (227, 291)),
    "vgg-deconvnet": ((224, 224), (224, 256)),
}
MULTIPLY = {"convolutional", "deconvolutional", "local", "connected", "rnn", "gru", "lstm"}


@pytest.fixture(scope="module", autouse=True)
def _tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """yolo9000 names a word tree that we don't ship."""
    folder, before = tmp_path_factory.mktemp("tree"), Path.cwd()
    make_cfgs.stand_in_tree(folder)
    for name in ("shapes.tree", "shapes.map"):
        (folder / name).write_bytes((CFG / name).read_bytes())
    os.chdir(folder)
    yield
    os.chdir(before)


def text_of(name: str) -> str:
    return (CFG / f"{name}.cfg").read_text("utf-8")


@pytest.mark.parametrize("name", FILES)
def test_a_file_builds_without_warnings(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING),
        dn.Network(CFG / f"{name}.cfg", initialize=False, strict=True) as net,
    ):
        assert len(net.layers) == len(re.findall(r"^\[", text_of(name), re.MULTILINE)) - 1
    assert caplog.messages == []


@pytest.mark.parametrize("name", FACTS)
def test_a_file_has_the_published_layers_and_length(name: str) -> None:
    side, layers, parameters, length, gflop, heads = FACTS[name]
    with dn.Network(CFG / f"{name}.cfg", initialize=False) as net:
        assert net.input_shape[1:] == (3, side, side)
        assert len(net.layers) == layers
        assert sum(layer.param_count for layer in net.layers) == parameters
        assert net.weights_bytes == length
        found = sum(layer.flops for layer in net.layers if layer.type in MULTIPLY) / 1e9
        assert found == pytest.approx(gflop, abs=0.0051)
        assert net.output_layers == tuple(heads)
        for index, shape in heads.items():
            assert shape is None or net.layers[index].out_shape == shape


def test_heads_of_version_3_and_later_are_at_strides_8_16_and_32() -> None:
    tiny = {"yolov3-tiny": (16, 32), "yolov4-tiny": (16, 32)}
    for name in ("yolov3", "yolov3-spp", "yolov4", "yolov4-csp", "yolov7-tiny", *tiny):
        for side in (320, 416, 608):
            with dn.Network(CFG / f"{name}.cfg", initialize=False, width=side, height=side) as net:
                shapes = {net.layers[index].out_shape for index in net.output_layers}
            strides = tiny.get(name, (8, 16, 32))
            assert shapes == {(255, side // stride, side // stride) for stride in strides}


def test_version_2_takes_the_sizes_of_its_paper() -> None:
    for name, classes, sides in (("yolov2-voc", 20, (288, 352, 416, 480, 544)), ("yolov2", 80, (608,))):
        for side in sides:
            with dn.Network(CFG / f"{name}.cfg", initialize=False, width=side, height=side) as net:
                assert net.layers[-1].out_shape == (5 * (classes + 5), side // 32, side // 32)


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_file_is_the_official_one_layer_by_layer(name: str) -> None:
    path = SHARED / "real" / "cfg" / f"{OFFICIAL[name]}.cfg"
    if not path.is_file():
        pytest.skip("no DARKNET_SHARED with the cfg files of the Darknet projects")
    official = dn.Network(path, initialize=False)
    ours = dn.Network(CFG / f"{name}.cfg", initialize=False, width=official.input_shape[-1])
    with ours, official:
        expected = [shape_of(layer) for layer in official.layers if layer.type != "cost"]
        assert [shape_of(layer) for layer in ours.layers] == expected


def shape_of(layer: dn.Layer) -> tuple[object, ...]:
    """What must agree so that weights mean the same."""
    keys = (
        "activation",
        "size",
        "stride",
        "groups",
        "group_id",
        "mask",
        "classes",
        "new_coords",
        "scale_x_y",
    )
    said = {key: layer.option(key) for key in keys}
    numbers = {key: value and re.sub(r"^(\d+)\.0$", r"\1", value) for key, value in said.items()}
    anchors = [float(one) for one in (layer.option("anchors") or "").split(",") if one]
    return layer.type, layer.out_shape, layer.param_count, numbers, anchors


@pytest.mark.parametrize("name", FILES)
def test_the_plan_agrees_with_the_layers_one_by_one(name: str) -> None:
    text = thin(text_of(name))
    steps = 3 if "time_steps=" in text else None
    for width, height in SIZES.get(name, PLAIN):
        with dn.Network.from_string(text, width=width, height=height, time_steps=steps, threads=1) as net:
            steady(net)
            assert disagreement(net) < 1e-4


@pytest.mark.parametrize("name", FILES)
def test_an_exact_plan_has_no_winograd(name: str) -> None:
    found = {}
    for exact in (False, True):
        with dn.Network(CFG / f"{name}.cfg", initialize=False, exact=exact) as net, net.session() as session:
            found[exact] = {step.algorithm for step in session.steps() if step.conv is not None}
    assert not any(algorithm.startswith("winograd") for algorithm in found[True])
    if name in ("yolov3", "yolov4", "darknet19", "vgg-16"):
        assert any(algorithm.startswith("winograd") for algorithm in found[False])


@pytest.mark.parametrize("name", [name for name in FILES if name != "dcgan-generator"])
def test_a_file_can_be_trained(name: str) -> None:
    """The loss is finite, its gradient reaches the first layer, and an update leaves parameters finite."""
    text = thin(text_of(name))
    width, height = SIZES.get(name, PLAIN)[0]
    steps = 3 if "time_steps=" in text else None
    with dn.Network.from_string(
        text, width=width, height=height, time_steps=steps, batch=2, threads=1
    ) as net:
        steady(net)
        x = np.random.default_rng(0).random((net.input_shape[0], *net.input_shape[1:]), np.float32)
        with dn.Trainer(net) as trainer:
            cost = trainer.backward(x, some_truth(net))
            assert np.isfinite(cost) and cost > 0
            first = next(layer.index for layer in net.layers if layer.params)
            assert any(values.any() for values in trainer.gradients(first).values())
            trainer.update()
        assert all(np.isfinite(values).all() for values in net.layers[first].params.values())


def some_truth(net: dn.Network) -> np.ndarray:
    """One box per image, or the second of the classes; a class at every pixel for maps."""
    rows = net.input_shape[0]
    head = next((layer for layer in net.layers if layer.head), None)
    if head is None:
        losing = [layer for layer in net.layers if layer.truths][-1]
        truth = np.zeros((rows, *losing.out_shape), np.float32)
        truth[:, 1 % losing.out_shape[0]] = 1
        return truth.reshape(rows, -1)
    assert head.head
    truth = np.zeros((rows, *head.head[1:]), np.float32)
    if head.type == "detection":
        middle = head.head[1] // 2
        truth[:, middle, [0, 3]], truth[:, middle, -4:] = 1, (0.5, 0.5, 0.3, 0.4)
    else:
        truth[:, 0, :5] = (0.5, 0.4, 0.3, 0.5, 1)
    return truth.reshape(rows, -1)


@pytest.mark.parametrize(
    "name", ["tiny-darknet", "darknet", "yolov3-tiny", "yolov4-tiny", "yolov7-tiny", "resnet18-xnor", "synth"]
)
def test_the_plan_agrees_at_full_width(name: str) -> None:
    with dn.Network(CFG / f"{name}.cfg", width=96, height=160) as net:
        steady(net)
        assert disagreement(net) < 1e-4


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(("-xnor", "-bwn"))])
def test_binary_files_keep_the_first_and_the_last_layer_in_full(name: str) -> None:
    with dn.Network(CFG / f"{name}.cfg", initialize=False) as net:
        key = "xnor" if name.endswith("-xnor") else "binary"
        said = [layer.option(key) for layer in net.layers if layer.type == "convolutional"]
    assert said == [None, *["1"] * (len(said) - 2), None]


def test_the_real_tiny_darknet_fits() -> None:
    weights = SHARED / "real" / "weights" / "tiny-darknet" / "tiny.weights"
    if not weights.is_file():
        pytest.skip("no DARKNET_SHARED with real weights")
    with dn.Network(CFG / "tiny-darknet.cfg", weights) as net:
        assert disagreement(net) < 1e-4


def test_the_generator_writes_a_picture_and_the_discriminator_reads_it() -> None:
    with dn.Network(CFG / "dcgan-generator.cfg", initialize=False) as generator:
        made = generator.layers[-1].out_shape
    with dn.Network(CFG / "dcgan-discriminator.cfg", initialize=False) as discriminator:
        assert made == discriminator.input_shape[1:] == (3, 64, 64)
        assert discriminator.layers[-1].outputs == 1


def test_darkgo_gives_moves_and_a_value() -> None:
    with dn.Network.from_string(thin(text_of("darkgo"))) as net:
        steady(net)
        y = net.predict(np.zeros((1, 3, 19, 19), np.float32))[0].ravel()
    assert y.size == 363 and y[:362].sum() == pytest.approx(1, abs=1e-5) and 0 < y[362] < 1


def test_every_file_says_what_it_is_and_is_in_the_table() -> None:
    readme = (CFG / "README.md").read_text("utf-8")
    for name in FILES:
        assert text_of(name).startswith("# ") and f"`{name}.cfg`" in readme, name
    named = set(re.findall(r"`([\w.-]+)\.cfg`", readme))
    assert named == set(FILES)


def test_files_are_those_their_generator_writes() -> None:
    stale = {
        name
        for name, text in make_cfgs.files().items()
        if not (CFG / name).exists() or (CFG / name).read_text("utf-8") != text
    }
    assert stale == set(), "run tools/make_cfgs.py"

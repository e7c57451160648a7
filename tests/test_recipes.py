"""What a cfg can ask of a training run: blends where they fit, other sizes, heads of every kind; and that the
result depends on seed and data alone."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import darknet_py as dn
from darknet_py import blending, feeding, synth, training
from darknet_py.classification import evaluate_classifier
from darknet_py.cli import main
from darknet_py.data import write_whole
from darknet_py.errors import ArgumentError, CfgError
from darknet_py.run_metrics import read_metrics

BODY = """
[net]
batch=4
subdivisions=2
width=32
height=32
channels=3
learning_rate=.002
hue=.1
saturation=1.5
exposure=1.5
max_batches=6
{net}
[convolutional]
batch_normalize=1
filters=8
size=3
stride=4
pad=1
activation=leaky
[dropout]
probability=.2
"""
CONVOLUTION = "[convolutional]\nfilters={}\nsize=3\nstride=2\npad=1\nactivation=linear\n"
ANCHORS = "anchors=4,5, 10,12\nclasses=8\nnum=2\n"
HEADS = {
    "yolo": CONVOLUTION.format(26) + "[yolo]\nmask=0,1\nrandom=1\n" + ANCHORS,
    "Gaussian_yolo": CONVOLUTION.format(34) + "[Gaussian_yolo]\nmask=0,1\n" + ANCHORS,
    "region": CONVOLUTION.format(26) + "[region]\nanchors=1,1, 2,2\nclasses=8\nnum=2\nsoftmax=1\njitter=.2\n",
    "detection": "[connected]\noutput=288\nactivation=linear\n"
    "[detection]\nclasses=8\ncoords=4\nside=4\nnum=2\nsqrt=1\njitter=.2\n",
}
CLASSIFIER = "[avgpool]\n[connected]\noutput=2\nactivation=linear\n[softmax]\n"
CLASSES = ("red", "blue")
TEXT = (
    "[net]\ninputs=128\nbatch=4\ntime_steps=8\nlearning_rate=.05\nmax_batches=6\n"
    "[{}]\noutput=12\n{}[connected]\noutput=128\nactivation=linear\n[softmax]\n"
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(synth.generate(tmp_path_factory.mktemp("drawn"), train=12, val=4, size=64, quiet=True))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def coloured() -> str:
    """A .data file of pictures that are more red or more blue."""
    rng, paths = np.random.default_rng(1), []
    for kind, name in enumerate(CLASSES):
        for i in range(6):
            pixels = rng.integers(0, 100, (40, 56, 3), np.uint8)
            pixels[:, :, 2 * kind] += 120
            paths.append(f"{name}_{i}.png")
            Image.fromarray(pixels).save(paths[-1])
    write_whole("list.txt", "\n".join(paths))
    write_whole("labels.txt", "\n".join(CLASSES))
    write_whole("c.data", "train=list.txt\nvalid=list.txt\nlabels=labels.txt\nbackup=b\n")
    return "c.data"


def cfg_of(head: str, net: str = "") -> str:
    write_whole("net.cfg", BODY.format(net=net) + head)
    return "net.cfg"


def kind_of_run(kind: str, drawn: str, coloured: str) -> tuple[Any, list[str]]:
    """The function that trains a kind of network, and what to train it with."""
    if kind in HEADS:
        return training.train_detector, [drawn, cfg_of(HEADS[kind], "mosaic=1\nmixup=1")]
    if kind in ("softmax", "adam"):
        net = "mosaic=1\nmixup=1\ncutmix=1\nangle=20\naspect=.75\nrandom=1" + ("\nadam=1" * (kind == "adam"))
        return training.train_classifier, [coloured, cfg_of(CLASSIFIER, net)]
    if kind == "tree":
        write_whole("t.tree", "red -1\nblue -1\n")
        head = CLASSIFIER.replace("[softmax]", "[softmax]\ntree=t.tree")
        return training.train_classifier, [coloured, cfg_of(head)]
    write_whole("text.txt", "the cat sat on the mat. " * 40)
    write_whole("text.cfg", TEXT.format(kind, "hidden=8\nlogistic=1\n" if kind == "rnn" else ""))
    return training.train_text, ["text.txt", "text.cfg"]


@pytest.mark.parametrize("kind", [*HEADS, "softmax", "adam", "tree", "rnn", "gru", "lstm"])
def test_weights_depend_on_seed_and_data_alone(kind: str, drawn: str, coloured: str) -> None:
    function, files = kind_of_run(kind, drawn, coloured)

    def weights(seed: int, threads: int, workers: int) -> bytes:
        done = function(
            *files, backup="runs", seed=seed, threads=threads, workers=workers, quiet=True, last_every=50
        )
        return bytes(done.weights.read_bytes())

    first = weights(1, 1, 1)
    assert weights(1, 2, 3) == first and weights(1, 3, 2) == first
    assert weights(2, 1, 1) != first


@pytest.mark.parametrize(
    "kind, net, told",
    [
        ("detection", "mosaic=1", "mosaic=1: a [detection] head learns one object per cell"),
        ("yolo", "cutmix=1", "cutmix=1: for classifiers only"),
        ("yolo", "ema_alpha=.999\nblur=1", "ema_alpha=.999, blur=1: no effect on this training"),
        ("tree", "mixup=1", "mixup=1: classes of a tree can't be blended"),
        ("yolo", "jitter=.2", None),
    ],
)
def test_what_does_not_suit_a_head_is_left_out_and_told(
    kind: str, net: str, told: str | None, drawn: str, coloured: str, caplog: pytest.LogCaptureFixture
) -> None:
    function, (data, cfg) = kind_of_run(kind, drawn, coloured)
    text = Path(cfg).read_text().replace("mosaic=1\nmixup=1", "")
    Path(cfg).write_text(text.replace("max_batches=6", f"max_batches=6\n{net}"))
    result = function(data, cfg, backup="b", quiet=True)
    assert result.iteration == 6 and np.isfinite(result.loss)
    messages = [one.getMessage() for one in caplog.records if "darknet_py" in one.name]
    assert (
        any(told in one for one in messages)
        if told
        else not any("trained without" in one for one in messages)
    )


def test_numbers_of_the_loader_are_read_as_all_numbers_of_a_cfg(caplog: pytest.LogCaptureFixture) -> None:
    cfg = BODY.format(net="angle=12x\naspect=much") + CLASSIFIER
    with dn.Network.from_string(cfg) as net:
        caplog.clear()
        assert net.number("angle", 5) == 12 and net.number("aspect", 1) == 0 and net.number("none", 7) == 7
        assert net.layers[0].number("filters", 0) == 8
    assert "angle: '12x' is read as 12" in caplog.text
    assert "aspect: 'much' is not a number, read as 0" in caplog.text
    text = BODY.replace("hue=.1", "hue=1e999").format(net="") + CLASSIFIER
    with (
        dn.Network.from_string(text) as net,
        pytest.raises(CfgError, match=r"\[net\] hue: the number is too large"),
    ):
        net.number("hue", 0)


def test_runs_in_one_folder_keep_their_figures_apart(coloured: str) -> None:
    cfg_of(CLASSIFIER)
    os.link("net.cfg", "other.cfg")
    for name, updates in (("net", 3), ("other", 5)):
        training.train_classifier(coloured, f"{name}.cfg", quiet=True, max_batches=updates)
    assert len(read_metrics("b/net_metrics.jsonl")) == 3 and len(read_metrics("b/other_metrics.jsonl")) == 5
    assert not Path("b/metrics.csv").exists()


def test_classes_of_a_mosaic_count_by_area() -> None:
    for seed in range(20):
        sources = [(np.full((1, 30, 40), k, np.float32), np.eye(4, dtype=np.float32)[k]) for k in range(4)]
        (x, truth), *others = sources
        blending.mosaic(x, truth, others, random.Random(seed), False)
        assert truth == pytest.approx([(x == k).mean() for k in range(4)], abs=1e-6)


def test_the_input_size_changes_every_ten_updates() -> None:
    sizes = [feeding.scales(416, 416, 1.4, 7, 5000)(i) for i in range(5000)]
    assert {w for w, _ in sizes} == set(range(320, 577, 32)) and all(w == h for w, h in sizes)
    changes = [i for i in range(1, 5000) if sizes[i] != sizes[i - 1]]
    assert all(i % 10 == 0 for i in changes) and len(changes) > 300
    assert set(sizes[-200:]) == {(416, 416)}


def test_a_classifier_is_fine_tuned_at_twice_the_size(coloured: str) -> None:
    """As Darknet-19 from 224 to 448 (YOLO9000, section 2): the same layers, their weights, more pixels."""
    small = training.train_classifier(coloured, cfg_of(CLASSIFIER), quiet=True, max_batches=60)
    text = Path("net.cfg").read_text().replace("=32", "=64").replace("rate=.002", "rate=.0005")
    write_whole("large.cfg", text)
    fine = ["c.data", "large.cfg", str(small.weights), "-clear", "-max_batches", "20", "-q"]
    assert main(["classifier", "train", *fine]) == 0
    with dn.Network("large.cfg", "b/large_final.weights") as net:
        assert net.input_shape[2:] == (64, 64) and net.seen == 80
        names = Path("list.txt").read_text().split()
        found = evaluate_classifier(net, names, CLASSES, top=1)
    assert found.top1 == 1


def test_a_detector_learns_on_from_a_backbone_cut(drawn: str) -> None:
    """partial and stopbackward as the papers use them: the cut's layers start as they were, and stay."""
    training.train_detector(drawn, cfg_of(HEADS["yolo"]), backup="b", quiet=True, max_batches=3)
    assert main(["partial", "net.cfg", "b/net_final.weights", "cut.conv.2", "2"]) == 0
    text = BODY.format(net="") + HEADS["region"].replace("[convolutional]", "[convolutional]\nstopbackward=1")
    write_whole("tuned.cfg", text)
    result = training.train_detector(
        drawn, "tuned.cfg", "cut.conv.2", partial=True, clear=True, backup="b", quiet=True, max_batches=4
    )
    with dn.Network("net.cfg", "b/net_final.weights") as old, dn.Network("tuned.cfg", result.weights) as new:
        kept = new.layers[0].params
        assert all(
            (kept[key] == value).all() for key, value in old.layers[0].params.items() if "rolling" not in key
        )
        assert new.seen == 16


def test_the_dialect_of_the_weights_counts(coloured: str) -> None:
    """A gru's matrices stand in another order in each, with nothing in the file that tells which."""
    _, (text, cfg) = kind_of_run("gru", "", coloured)
    Path(cfg).write_text(Path(cfg).read_text().replace("learning_rate=.05", "learning_rate=0"))
    with dn.Network(cfg, dialect="alexeyab", seed=5) as net:
        net.save_weights("start.weights")
        expected = net.layers[0].params
    arguments = [cfg, "start.weights", "-file", text, "-max_batches", "1", "-backup", "b", "-q"]
    for dialect, same in (("alexeyab", True), ("pjreddie", False)):
        assert main(["rnn", "train", *arguments, "-dialect", dialect]) == 0
        with dn.Trainer.load("b/text_last.state") as trainer:
            found = trainer.network.layers[0].params
        assert all((found[name] == expected[name]).all() for name in expected) == same


def test_text_is_scored_on_another_text(coloured: str) -> None:
    function, files = kind_of_run("gru", "", coloured)
    with pytest.raises(ArgumentError, match="is scored on another text"):
        function(*files, score=True)
    write_whole("unseen.txt", "the mat sat on the cat. " * 5)
    arguments = ["-file", files[0], "-backup", "b", "-last_every", "2", "-skip_bad", "-partial", "-q"]
    scoring = ["-valid", "unseen.txt", "-valid_every", "20", "-patience", "2", "-max_batches", "60"]
    assert main(["rnn", "train", files[1], *arguments, *scoring]) == 0
    assert Path("b/text_final.weights").exists() and Path("b/text_best.weights").exists()
    rows = read_metrics("b/text_metrics.jsonl")
    scores = [row["score"] for row in rows if "score" in row]
    assert len(rows) == 63 and 0 < scores[0] < scores[-1] < 1

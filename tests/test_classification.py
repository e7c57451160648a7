"""Classifiers over image lists: the commands' lines, the views, and word trees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CLASSIFIER_CFG
from PIL import Image

pytest.importorskip("darknet_py._native", reason="the core is not built")

import darknet_py as dn
from darknet_py import classification, loaders, training
from darknet_py.cli import main
from darknet_py.data import DataFile
from darknet_py.errors import DataError

TREE = "animal -1\nthing -1\ncat 0\ndog 0\n"
TREE_CFG = CLASSIFIER_CFG.replace("[softmax]", "[softmax]\ntree=t.tree")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five pictures of four classes, a .data file and a network, c.cfg and c.weights, with a tree beside."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(5):
        path = tmp_path / f"{'nesw'[i % 4]}_{i}.png"
        colours = rng.integers(0, 256, (1, 1, 3)) + rng.integers(-60, 60, (30 + i, 40, 3))
        Image.fromarray(colours.clip(0, 255).astype(np.uint8)).save(path)
        lines.append(f"{path.name}\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    (tmp_path / "c.names").write_text("n\ne\ns\nw\n")
    (tmp_path / "c.labels").write_text("n_\ne_\ns_\nw_\n")
    (tmp_path / "t.tree").write_text(TREE)
    (tmp_path / "c.data").write_text(
        "classes=4\nnames=c.names\nlabels=c.labels\nvalid=list.txt\ntest=list.txt\ntrain=list.txt\n"
    )
    (tmp_path / "c.cfg").write_text(CLASSIFIER_CFG)
    (tmp_path / "t.cfg").write_text(TREE_CFG)
    with dn.Network(tmp_path / "c.cfg", seed=3) as net:
        weights = net.layers[0].params["weights"]
        net.set_param(0, "weights", weights * 4)
        net.save_weights(tmp_path / "c.weights")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scores_of(path: str, *, cfg: str = "c.cfg", size: tuple[int, int] | None = None, x: Any = None) -> Any:
    w, h = size or (16, 16)
    with dn.Network(cfg, "c.weights", width=w, height=h) as net:
        if x is None:
            x = dn.images.resize(dn.images.load(path), 16, 16)
        return net.predict(x[None])[0].reshape(-1)


def test_valid_prints_two_lines_per_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["c.data", "c.cfg", "c.weights", "-preprocess", "stretch", "-top", "2"]
    assert main(["classifier", "valid", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    images = DataFile("c.data").images("valid")
    first = among = 0
    for i, path in enumerate(images):
        scores = scores_of(path)
        assert lines[2 * i] == f"{path}, {i % 4}, {scores[0]:f}, {scores[1]:f}, "
        order = np.argsort(-scores, kind="stable")
        first, among = first + (order[0] == i % 4), among + (i % 4 in order[:2])
        assert lines[2 * i + 1] == f"{i}: top 1: {first / (i + 1):f}, top 2: {among / (i + 1):f}"
    assert len(lines) == 10
    assert main(["classifier", "valid", *arguments, "-json", "-q"]) == 0
    output = capsys.readouterr()
    assert output.err == "" and json.loads(output.out)["top1"] == pytest.approx(first / 5)


def test_unreadable_pictures_keep_the_others_in_order(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("s_2.png").write_bytes(b"no picture")
    assert main(["classifier", "valid", "c.data", "c.cfg", "c.weights"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and lines[5].startswith("3: top 1: ")
    assert main(["classifier", "label", "c.data", "c.cfg", "c.weights"]) == 1
    assert capsys.readouterr().out.splitlines()[2] == ""


def test_ten_crops_are_averaged(folder: Path) -> None:
    picture = dn.images.read("e_1.png")
    with dn.Network("c.cfg", "c.weights") as net:
        views = classification.ten_views(net)(picture)
        scaled = dn.images.resize(dn.images.planar(picture), 48, 48)
        assert views.shape == (10, 3, 16, 16)
        np.testing.assert_array_equal(views[2], scaled[:, :16, :16])
        np.testing.assert_array_equal(views[4], scaled[:, 32:48, 32:48])
        np.testing.assert_array_equal(views[7], scaled[:, :16, ::-1][:, :, :16])
        np.testing.assert_array_equal(views[0], np.broadcast_to(scaled[:, :1, :1], (3, 16, 16)))
        seen: dict[int, Any] = {}
        classification.evaluate_classifier(
            net,
            DataFile("c.data").images("valid"),
            ["n_", "e_", "s_", "w_"],
            preprocess=classification.ten_views(net),
            batch=12,
            on_image=lambda index, class_id, scores, so_far: seen.update({index: scores}),
        )
    expected = np.mean([scores_of("", x=view) for view in views], 0)
    np.testing.assert_allclose(seen[1], expected, atol=1e-6)
    assert sorted(seen) == [0, 1, 2, 3, 4]


def test_whole_pictures_go_through_resized_networks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = dn.images.read("e_1.png")
    (full,) = classification.full_view(16)(picture, 3)
    assert full.shape == (3, 16, 40 * 16 // 31)
    scaled = classification.scaled_views((20, 10))(picture, 3)
    assert [view.shape for view in scaled] == [(3, 15, 20)] * 2 + [(3, 7, 10)] * 2
    np.testing.assert_array_equal(scaled[1], scaled[0][:, :, ::-1])
    seen = []
    with dn.Network("c.cfg", "c.weights") as net:
        classification.evaluate_resized(
            net,
            lambda w, h: dn.Network("c.cfg", "c.weights", width=w, height=h),
            ["e_1.png"],
            ["n_", "e_", "s_", "w_"],
            classification.scaled_views((20, 10)),
            on_image=lambda index, class_id, scores, so_far: seen.append(scores),
        )
    expected = np.mean([scores_of("", size=view.shape[:0:-1], x=view) for view in scaled], 0)
    np.testing.assert_allclose(seen[0], expected, atol=1e-6)
    for command, lines in (("valid10", 5), ("validfull", 5), ("validmulti", 5), ("validcrop", 1)):
        assert main(["classifier", command, "c.data", "c.cfg", "c.weights"]) == 0
        text = capsys.readouterr().out.splitlines()
        assert len(text) == lines and "top 1: " in text[-1]
    assert text[-1].endswith(" seconds, 5 images")


def test_scores_as_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = DataFile("c.data").images("test")
    scores = [scores_of(path) for path in images]
    model = ["c.data", "c.cfg", "c.weights"]
    fit = ["-preprocess", "stretch"]
    assert main(["classifier", "test", *model, *fit]) == 0
    text = capsys.readouterr().out
    assert text == "".join(
        path + "".join(f"\t{score:g}" for score in row) + "\n"
        for path, row in zip(images, scores, strict=True)
    )
    assert main(["classifier", "fout", *model, "list.txt", *fit]) == 0
    assert capsys.readouterr().out == text
    assert main(["classifier", "csv", *model, *fit, "-top", "3"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        [path, *map(str, np.argsort(-row, kind="stable")[:3])]
        for path, row in zip(images, scores, strict=True)
    ]
    assert main(["classifier", "label", *model, *fit]) == 0
    assert capsys.readouterr().out.splitlines() == ["nesw"[row.argmax()] for row in scores]


def test_try_normalises_the_colours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["c.data", "c.cfg", "c.weights", "e_1.png", "-top", "4", "-preprocess", "stretch"]
    assert main(["classifier", "try", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    x = dn.images.resize(dn.images.load("e_1.png"), 16, 16)
    x = (x - np.array([0.4826, 0.4523, 0.4010])[:, None, None]) / np.array([0.2259, 0.2212, 0.2210])[
        :, None, None
    ]
    scores = scores_of("", x=x.astype(np.float32))
    found = {line.split(": ")[0]: float(line.split(": ")[1]) for line in lines}
    assert found == pytest.approx(dict(zip("nesw", map(float, scores), strict=True)), abs=1e-3)
    assert main(["classifier", "try", *arguments[:4], "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4 + 1


# ---- word trees --------------------------------------------------------------------------------------


def test_a_tree_classifier_answers_with_leaves(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = scores_of("e_1.png", cfg="t.cfg")
    assert raw[:2].sum() == pytest.approx(1) and raw[2:].sum() == pytest.approx(1)
    with dn.Network("t.cfg", "c.weights", names=["animal", "thing", "cat", "dog"]) as net:
        best = net.classify("e_1.png", 4, preprocess="stretch")
        assert net.tree is not None and net.tree.names[2] == "cat"
    expected = {"animal": 0, "thing": raw[1], "cat": raw[0] * raw[2], "dog": raw[0] * raw[3]}
    assert dict(best) == pytest.approx(expected, abs=1e-6)
    assert sum(probability for _, probability in best) == pytest.approx(1, abs=1e-6)
    assert [p for _, p in best] == sorted(expected.values(), reverse=True)
    # The names of a .data file that restricts the answers.
    Path("leaves.txt").write_text("animal\ndog\nunknown\n")
    Path("t.names").write_text("animal\nthing\ncat\ndog\n")
    data = "classes=4\nnames=t.names\nlabels=c.labels\nvalid=list.txt\nleaves=leaves.txt\n"
    Path("t.data").write_text(data)
    arguments = ["e_1.png", "-preprocess", "stretch", "-t", "2"]
    assert main(["classifier", "predict", "t.data", "t.cfg", "c.weights", *arguments]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == [f"{100 * raw[0]:5.2f}%: animal", f"{100 * raw[0] * raw[3]:5.2f}%: dog"]
    assert output.err.splitlines()[0] == "Found 2 leaves."
    # A network without a tree takes that of the .data file.
    Path("t.data").write_text(data + "tree=t.tree\n")
    assert main(["classifier", "valid", "t.data", "c.cfg", "c.weights"]) == 0
    plain = scores_of("n_0.png")
    with dn.Network("c.cfg", "c.weights") as net:
        x = dn.images.load("n_0.png")
        net.tree = dn.WordTree("t.tree")
        assert net.scores(dn.images.resize(x, 16, 16)[None])[0, 3] == pytest.approx(plain[0] * plain[3])
    Path("t.data").write_text(data)
    assert main(["classifier", "valid", "t.data", "c.cfg", "c.weights"]) == 1
    assert "neither the network nor this file has a tree" in capsys.readouterr().err


def test_the_truth_of_a_tree_has_ancestors_and_ignores_other_groups(folder: Path) -> None:
    tree = dn.WordTree("t.tree")
    np.testing.assert_array_equal(tree.truth(3), [1, 0, 0, 1])
    np.testing.assert_array_equal(tree.truth(1), [0, 1, -1234, -1234])
    with loaders.ClassificationLoader(
        ["w_3.png"], (8, 8), 1, labels=["n_", "e_", "s_", "w_"], tree=tree
    ) as loader:
        np.testing.assert_array_equal(loader.batch(0).truth, [[1, 0, 0, 1]])


def test_training_a_tree_classifier(folder: Path) -> None:
    cfg = TREE_CFG.replace("batch=2", "batch=2\nmax_batches=3\nlearning_rate=.01")
    Path("t.cfg").write_text(cfg)
    result = training.train_classifier("c.data", "t.cfg", backup="b", quiet=True, score=True, score_every=3)
    assert result.iteration == 3 and np.isfinite(result.loss)
    Path("c.data").write_text(Path("c.data").read_text() + "tree=t.tree\n")
    with pytest.raises(DataError, match=r"no \[softmax\] with the key tree"):
        training.train_classifier("c.data", "c.cfg", backup="b", quiet=True)
    Path("t.tree").write_text(TREE.replace("dog 0\n", ""))
    with pytest.raises(dn.CfgError, match=r"\[softmax\] tree: has 3 nodes, but the layer has 4 inputs"):
        training.train_classifier("c.data", "t.cfg", backup="b", quiet=True)
    Path("t.cfg").write_text(cfg.replace("filters=4", "filters=3"))
    with pytest.raises(DataError, match="classes=4, but the network has 3"):
        training.train_classifier("c.data", "t.cfg", backup="b", quiet=True)

"""The drawn data set for joint training, its network, and the command that draws it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import darknet_py as dn
from darknet_py import data, hierarchy, synth
from darknet_py.cli import main
from darknet_py.training import train_detector

CFG = Path(__file__).resolve().parent.parent / "cfg"


def test_classes_without_boxes_have_none_in_training(tmp_path: Path) -> None:
    path = hierarchy.generate(tmp_path / "a b", train=25, val=25, size=64, quiet=True)
    joint, boxes = data.DataFile(path), data.DataFile(path.parent / "boxes.data")
    tree = dn.WordTree(joint.path.parent / "shapes.tree")
    class_map = joint.class_map(len(tree))
    assert class_map == list(hierarchy.MAP)
    assert [tree.names[node] for node in class_map] == list(synth.KINDS)
    assert joint.names == tree.names and joint.classes == boxes.classes == len(tree)
    assert boxes.get("classification") is None and boxes.images("train") == joint.images("train")

    boxed = np.concatenate(data.labels_of(joint.images("train"), len(class_map)))
    assert set(boxed[:, 0].astype(int)) == set(hierarchy.BOXED)
    measured = np.concatenate(data.labels_of(joint.images("valid"), len(class_map)))
    assert set(measured[:, 0].astype(int)) == set(range(len(synth.KINDS)))
    unboxed = np.concatenate(data.class_only_labels(joint.images("classification"), len(tree)))
    assert len(unboxed) == 25 and (unboxed[:, 1:] == 0).all()
    assert set(unboxed[:, 0].astype(int)) == {class_map[kind] for kind in hierarchy.CLASS_ONLY}
    for image in joint.images("classification"):
        with Image.open(image) as picture:
            assert picture.size == (64, 64)


def test_splits_are_other_pictures_and_seeds_are_kept(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        hierarchy.generate(tmp_path / name, train=3, val=3, size=64, seed=seed, quiet=True)
    first, same, other = (
        [path.read_bytes() for path in sorted((tmp_path / name / "images").rglob("*.jpg"))] for name in "abc"
    )
    assert len(first) == 9 and len(set(first)) == 9
    assert first == same and not set(first) & set(other)
    for wrong in ({"train": 0}, {"val": -1}, {"size": 10}, {"seed": -1}):
        with pytest.raises(dn.DataError, match=r"48 to 4096 pixels|a data set has"):
            hierarchy.generate(tmp_path / "x", quiet=True, **wrong)


def test_a_portrait_shows_one_object_of_its_kind() -> None:
    for index in range(20):
        _, boxes = synth.portrait(0, 0, index, 64, (5,))
        assert [box.kind for box in boxes] == [5]


def test_every_shape_is_a_leaf_and_leaves_of_both_kinds_are_siblings() -> None:
    parents = [parent for _, parent in hierarchy.TREE]
    assert sorted(hierarchy.MAP) == [node for node in range(len(parents)) if node not in parents]
    for node in (hierarchy.MAP[kind] for kind in hierarchy.CLASS_ONLY):
        assert any(parents[hierarchy.MAP[kind]] == parents[node] for kind in hierarchy.BOXED)


@pytest.mark.skipif(not CFG.is_dir(), reason="the cfg folder is part of the source tree only")
def test_the_network_fits_the_data(tmp_path: Path) -> None:
    assert (CFG / "shapes.tree").read_text("utf-8") == hierarchy.tree_text()
    assert (CFG / "shapes.map").read_text("utf-8") == hierarchy.map_text()
    arguments = [
        "synth",
        str(tmp_path / "set"),
        "-hierarchy",
        "-train",
        "4",
        "-val",
        "2",
        "-size",
        "64",
        "-q",
    ]
    assert main(arguments) == 0
    path = tmp_path / "set" / "joint.data"
    cfg = tmp_path / "shapes.cfg"
    for name in ("shapes.tree", "shapes.map"):
        (tmp_path / name).write_bytes((CFG / name).read_bytes())
    text = (CFG / "shapes9000.cfg").read_text("utf-8")
    cfg.write_text(
        text.replace("batch=32", "batch=2").replace("width=96", "width=32").replace("height=96", "height=32")
    )
    result = train_detector(path, cfg, max_batches=2, quiet=True)
    assert result.iteration == 2
    with dn.Network(cfg, result.weights) as net:
        assert net.names == [name for name, _ in hierarchy.TREE]
        assert net.layers[-1].class_map == list(hierarchy.MAP)
    lists = {name: data.DataFile(path).images(name) for name in ("train", "classification", "valid")}
    for a, b in itertools.combinations(lists.values(), 2):
        assert not set(a) & set(b)

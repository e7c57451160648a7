"""YOLO9000: word trees in detection, and joint training on pictures with boxes and pictures with a class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import SHARED
from PIL import Image

import darknet_py as dn
from darknet_py import data, evaluation
from darknet_py._native import ffi, lib
from darknet_py.cli import main
from darknet_py.loaders import DetectionLoader
from darknet_py.training import train_detector

TREE = "object -1\nround 0\nangular 0\ncircle 1\nring 1\nsquare 2\nstar 2\n"
PARENTS = [-1, 0, 0, 1, 1, 2, 2]
NODES, ANCHORS, CELLS = 7, 2, 9
ENTRIES = 5 + NODES
NOWHERE = 999999.0

CFG = f"""
[net]
width=12
height=12
channels=3
batch=2
learning_rate=0.01

[convolutional]
filters=6
size=3
stride=4
pad=1
activation=leaky

[convolutional]
filters={ANCHORS * ENTRIES}
size=1
activation=linear

[region]
anchors=1,1, 2,2
num={ANCHORS}
classes={NODES}
softmax=1
tree=toy.tree
object_scale=5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "toy.tree").write_text(TREE)
    (tmp_path / "toy.map").write_text("3\n4\n5\n6\n")
    (tmp_path / "toy.cfg").write_text(CFG)
    (tmp_path / "paper.cfg").write_text(CFG + "class_only=paper\n")
    (tmp_path / "mapped.cfg").write_text(CFG + "class_only=paper\nmap=toy.map\n")
    return tmp_path


def planes(values: np.ndarray) -> np.ndarray:
    """A head's output as (batch, anchors, entries, cells)."""
    return values.reshape(len(values), ANCHORS, ENTRIES, CELLS)


def truth(*images: tuple[float, ...]) -> np.ndarray:
    """One row per image."""
    rows = np.zeros((len(images), 30, 5), np.float32)
    for row, values in zip(rows, images, strict=True):
        row[0, : len(values)] = values
    return rows


def path_of(node: int) -> list[int]:
    path = []
    while node >= 0:
        path.append(node)
        node = PARENTS[node]
    return path


# ---- files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a -1\nb 5\n", r":2: parent 5 of node 1: .* the file has 2 nodes"),
        ("a -1\nb 1\n", r":2: node 1 is its own parent 1"),
        ("a -1\nb 2\nc 1\n", r":2: parent 2 of node 1 comes later"),
        ("a -1\nb -3\n", r":2: parent -3 of node 1"),
        ("a -1\n" + "n" * 256 + " 0\n", r":2: the name of node 1 has 256 bytes, more than 255"),
    ],
)
def test_a_wrong_tree_names_the_line_and_both_numbers(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tree"
    path.write_text(text)
    with pytest.raises(dn.DataError, match=r"x\.tree" + message):
        dn.WordTree(path)


def test_a_tree_and_classes_of_different_size_are_refused_with_both_numbers(folder: Path) -> None:
    (folder / "toy.tree").write_text(TREE + "extra 0\n")
    with pytest.raises(dn.CfgError, match="8 nodes, but there are 7 classes"):
        dn.Network(folder / "toy.cfg")


def test_a_map_beyond_the_classes_is_refused_with_both_numbers(folder: Path) -> None:
    (folder / "toy.map").write_text("3\n7\n")
    with pytest.raises(dn.DataError, match=r"toy\.map:2: class 7 of a map to 7 classes"):
        dn.Network(folder / "mapped.cfg")
    with pytest.raises(dn.DataError, match=r"toy\.map:2: class 7 of a map to 7 classes"):
        data.read_map(folder / "toy.map", NODES)
    assert data.read_map(folder / "toy.map", NODES + 1) == [3, 7]
    with pytest.raises(dn.DataError, match=r"none\.map"):
        data.read_map(folder / "none.map", NODES)


def test_the_tree_of_9000_classes() -> None:
    path = SHARED / "real" / "data" / "9k.tree"
    if not path.is_file():
        pytest.skip("no 9k.tree (DARKNET_SHARED names the folder with it)")
    tree = dn.WordTree(path)
    assert (len(tree), len(tree.group_sizes), int((tree.parents < 0).sum())) == (9418, 1846, 4)
    assert len(data.read_map(path.parent / "coco9k.map", len(tree))) == 80
    assert len(data.read_map(path.parent / "inet9k.map", len(tree))) == 200


# ---- detection --------------------------------------------------------------------------------------------


def certain(net: dn.Network, logits: dict[int, float]) -> None:
    """Makes every box of the head say the same: entry -> value before activation."""
    weights = net.layers[1].params["weights"]
    biases = np.zeros(ANCHORS * ENTRIES, np.float32)
    for entry, value in logits.items():
        biases[entry::ENTRIES] = value
    net.set_param(1, "weights", np.zeros_like(weights))
    net.set_param(1, "biases", biases)


def test_hierarchical_softmax_gives_probabilities_per_group(folder: Path) -> None:
    with dn.Network(folder / "toy.cfg", seed=5) as net:
        x = np.random.default_rng(0).random((3, 3, 12, 12), np.float32)
        head = planes(net.predict(x)[0])[:, :, 5:]
        tree = net.layers[2].tree
        assert tree is not None and tree.names[4] == "ring"
        for first, size in zip(tree.group_offsets, tree.group_sizes, strict=True):
            np.testing.assert_allclose(head[:, :, first : first + size].sum(2), 1, rtol=1e-5)
        absolute = tree.absolute(np.moveaxis(head, 2, -1))
        np.testing.assert_allclose(absolute[..., tree.leaves].sum(-1), 1, rtol=1e-5)


def test_the_paper_descends_further_than_the_reference(folder: Path, picture: np.ndarray) -> None:
    with dn.Network(folder / "toy.cfg") as net:
        # P(round) = .8 and P(ring | round) = .8: absolute .8 and .64.
        certain(net, {4: 9, 5 + 1: np.log(4), 5 + 4: np.log(4)})
        reference = net.detect(picture, 0.5, hier=0.6)
        paper = net.detect(picture, 0.5, hier=0.6, hier_rule="paper")
        assert {one.label for one in reference} == {"round"}  # .8 * .64 < .6
        assert {one.label for one in paper} == {"ring"}
        assert {one.label for one in net.detect(picture, 0.5, hier=0.7, hier_rule="paper")} == {"round"}
        np.testing.assert_allclose(paper.confidence, 1 / (1 + np.exp(-9.0)), rtol=1e-4)
        with net.session() as session:
            assert session.detect(picture, 0.5, 0.6, hier_rule="paper").class_id.tolist() == [4] * len(paper)
        with pytest.raises(dn.ArgumentError, match="hier_rule"):
            net.detect(picture, hier_rule="other")
        tree = net.layers[2].tree
        assert tree is not None
        values = tree.absolute([1, 0.8, 0.2, 0.2, 0.8, 0.5, 0.5])
        assert tree.top(values, 0.6) == 1 and tree.top(values, 0.6, rule="paper") == 4


def test_a_map_reports_objectness_times_probability(folder: Path, picture: np.ndarray) -> None:
    with dn.Network(folder / "toy.cfg") as net:
        certain(net, {4: 1, 5 + 1: np.log(4), 5 + 4: np.log(4)})
        found = net.detect(picture, 0.01, nms=0, class_map=[6, 4])
        assert found.class_id.max() == 1 and {one.label for one in found} == {"star", "ring"}
        objectness = 1 / (1 + np.exp(-1))
        for class_id, p in ((0, 0.2 * 0.5), (1, 0.8 * 0.8)):
            np.testing.assert_allclose(
                found.confidence[found.class_id == class_id], objectness * p, rtol=1e-4
            )


def test_a_map_decodes_as_the_reference_does(golden: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case = golden("region_tree_map__gpusem")
    monkeypatch.chdir(case.folder)
    with dn.Network("case.cfg", "case.weights", numerics="pjreddie-cpu") as net, net.session() as session:
        nodes = ffi.new("int[]", data.read_map("map200.txt", 10))
        session.predict(case.arrays["input"])
        options = ffi.new("dn_detect_options *")
        lib.dn_detect_options_init(options)
        options.thresh, options.nms_kind = 0.05, lib.DN_NMS_NONE
        options.map, options.map_count = nodes, len(nodes)
        _, _, probabilities = session._boxes(options)
    assert probabilities.shape == (18, 200) and (probabilities > 0).any()
    np.testing.assert_allclose(probabilities, case.arrays["oracle_mapprob"], rtol=1e-4, atol=1e-5)


def test_names_of_nodes_are_found_in_the_tree(folder: Path) -> None:
    with dn.Network(folder / "toy.cfg") as net:
        assert net.names == [line.split()[0] for line in TREE.splitlines()]
        assert net.layers[0].tree is None and net.layers[2].class_map is None
    with dn.Network(folder / "mapped.cfg", names=list("abcdefg")) as net:
        assert net.names == list("abcdefg") and net.layers[2].class_map == [3, 4, 5, 6]
    with dn.Network(folder / "toy.cfg") as net:
        tree = net.layers[2].tree
    assert tree is not None and tree.top(np.ones(NODES)) == 3  # it outlives its network


# ---- learning from a class alone --------------------------------------------------------------------------


def likeliest(output: np.ndarray, node: int) -> tuple[int, int]:
    """Anchor and cell with the greatest objectness times probability of the node."""
    p = output[:, 4].copy()
    for one in path_of(node):
        p *= output[:, 5 + one]
    anchor, cell = np.unravel_index(int(p.argmax()), p.shape)
    return int(anchor), int(cell)


@pytest.mark.parametrize("node", [4, 1, 0])
def test_a_class_without_a_box_teaches_its_path_and_nothing_else(folder: Path, node: int) -> None:
    """Of the whole head a gradient reaches the groups on the way to the root, in the likeliest box."""
    with dn.Network(folder / "paper.cfg", seed=2) as net, dn.Trainer(net) as trainer:
        x = np.random.default_rng(1).random((2, 3, 12, 12), np.float32)
        place = (0.5, 0.5, 0.4, 0.4, 3)
        trainer.backward(x, truth((NOWHERE,) * 4 + (node,), place))
        output, delta = planes(trainer.output(2)), planes(trainer.delta(2))
        anchor, cell = likeliest(output[0], node)
        expected = np.zeros_like(delta[0])
        for one in path_of(node):
            group = [other for other in range(NODES) if PARENTS[other] == PARENTS[one]]
            for other in group:
                expected[anchor, 5 + other, cell] = (other == one) - output[0, anchor, 5 + other, cell]
        assert output[0, anchor, 4, cell] > 0.3  # so the objectness that is assumed is there already
        np.testing.assert_allclose(delta[0], expected, atol=1e-6)
        boxed = delta[1]
        assert np.abs(boxed[:, 4]).min() > 0 and np.abs(boxed[:, :4]).max() > 0  # the full loss


def test_the_box_of_a_class_is_assumed_to_overlap_it_by_three_tenths(folder: Path) -> None:
    x = np.random.default_rng(1).random((2, 3, 12, 12), np.float32)
    for cfg, wanted in (("paper.cfg", 0.3), ("toy.cfg", None)):
        with dn.Network(folder / cfg, numerics="pjreddie-cpu", seed=2) as net:
            certain(net, {4: -3})
            with dn.Trainer(net) as trainer:
                trainer.backward(x, truth((NOWHERE,) * 4 + (4,), (NOWHERE,) * 4 + (6,)))
                output, delta = planes(trainer.output(2)), planes(trainer.delta(2))
        objectness = output[0, 0, 4, 0]
        learned = delta[:, :, 4].reshape(2, -1)
        assert objectness == pytest.approx(1 / (1 + np.exp(3)), rel=1e-4)
        if wanted is not None:  # 5 = object_scale, for one box of each image
            np.testing.assert_allclose(np.sort(learned, axis=1)[:, :-1], 0, atol=0)
            np.testing.assert_allclose(learned.max(axis=1), 5 * (wanted - objectness), rtol=1e-5)
        else:  # the reference: the best box is left alone, all others learn that nothing is there
            assert (learned == 0).sum(axis=1).tolist() == [1, 1]
            np.testing.assert_allclose(learned[learned != 0], -objectness, rtol=1e-5)


def test_training_on_classes_alone_leaves_boxes_as_they_are(folder: Path) -> None:
    """Updates of the last layer move its class planes, and those of no box."""
    x = np.random.default_rng(4).random((2, 3, 12, 12), np.float32)
    with dn.Network(folder / "paper.cfg", seed=2) as net:
        before = net.layers[1].params["biases"].reshape(ANCHORS, ENTRIES)
        with dn.Trainer(net) as trainer:
            trainer.backward(x, truth((NOWHERE,) * 4 + (4,), (NOWHERE,) * 4 + (6,)))
            gradient = trainer.gradients(1)["biases"].reshape(ANCHORS, ENTRIES)
            trainer.update()
        after = net.layers[1].params["biases"].reshape(ANCHORS, ENTRIES)
    assert np.abs(gradient[:, 5:]).max() > 0 and np.abs(gradient[:, :5]).max() == 0
    assert np.array_equal(after[:, :5], before[:, :5]) and not np.array_equal(after[:, 5:], before[:, 5:])


def test_classes_that_cannot_be_learned_are_refused(folder: Path) -> None:
    x = np.zeros((2, 3, 12, 12), np.float32)
    place = (0.5, 0.5, 0.4, 0.4, 3)
    plain = CFG.replace("tree=toy.tree\n", "")
    beyond = "truth 0 of image 1 has class 7, but the tree has 7 nodes"
    treeless = r"truth 0 of image 1 has a class but no box; only a \[region\]"
    for cfg, node, message in (((folder / "toy.cfg"), 7, beyond), (plain.encode(), 3, treeless)):
        with dn.Network(cfg) as net, dn.Trainer(net) as trainer, pytest.raises(dn.DataError, match=message):
            trainer.backward(x, truth(place, (NOWHERE,) * 4 + (node,)))
    with pytest.raises(dn.CfgError, match=r"class_only: .*reference or paper, found 'thesis'"):
        dn.Network.from_string(plain + "class_only=thesis\n")


# ---- data -------------------------------------------------------------------------------------------------


def pictures(folder: Path, labels: dict[str, str]) -> list[str]:
    """Grey pictures with these label files."""
    paths = []
    for name, text in labels.items():
        path = folder / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        (folder / "labels").mkdir(exist_ok=True)
        Image.new("RGB", (12, 12), (120, 120, 120)).save(path)
        (folder / "labels" / f"{name}.txt").write_text(text)
        paths.append(str(path))
    return paths


def first_rows(loader: DetectionLoader, steps: int) -> list[tuple[float, ...]]:
    with loader:
        return [tuple(map(float, row[0])) for step in range(steps) for row in loader.batch(step).truth]


def test_labels_without_a_place_become_rows_without_a_place(tmp_path: Path) -> None:
    paths = pictures(tmp_path, {"a": "6 0 0 0 0\n"})
    loader = DetectionLoader(paths, (12, 12), 4, classes=4, nodes=NODES, truth=(30, 5))
    assert set(first_rows(loader, 2)) == {(NOWHERE, NOWHERE, NOWHERE, NOWHERE, 6.0)}


def test_numbers_of_labels_and_of_nodes_are_checked_apart(tmp_path: Path) -> None:
    boxed, unboxed = pictures(tmp_path, {"boxed": "4 .5 .5 .2 .2\n", "unboxed": "7 0 0 0 0\n"})
    with pytest.raises(dn.DataError, match=r"boxed\.txt:1: class 4 is not 0\.\.3"):
        DetectionLoader([boxed], (12, 12), 1, classes=4, nodes=NODES)
    with pytest.raises(dn.DataError, match=r"unboxed\.txt:1: class 7 is not 0\.\.6"):
        DetectionLoader([unboxed], (12, 12), 1, classes=4, nodes=NODES)


def test_without_a_tree_labels_without_a_place_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = pictures(tmp_path, {"a": "1 0 0 0 0\n2 .5 .5 .2 .2\n"})
    with caplog.at_level("WARNING", "darknet_py"):
        labels = data.labels_of(paths, 4)
    assert labels[0][:, 0].tolist() == [2] and "centre 0 0 of 1 picture" in caplog.text


@pytest.mark.parametrize("ratio", [0, 1, 4])
def test_pictures_of_both_kinds_are_mixed_as_asked(tmp_path: Path, ratio: float) -> None:
    boxed = pictures(tmp_path, {f"b{i}": "0 .5 .5 .5 .5\n" for i in range(2)})
    unboxed = pictures(tmp_path, {f"c{i}": f"{i} 0 0 0 0\n" for i in range(NODES)})
    labels = data.class_only_labels(unboxed, NODES)

    def rows(seed: int) -> list[tuple[float, ...]]:
        loader = DetectionLoader(
            boxed, (12, 12), 50, classes=4, nodes=NODES, class_only=unboxed, class_only_labels=labels,
            ratio=ratio, seed=seed,
        )  # fmt: skip
        return first_rows(loader, 20)

    found = rows(3)
    unplaced = [row for row in found if row[0] == NOWHERE]
    assert len(unplaced) / len(found) == pytest.approx(ratio / (1 + ratio), abs=0.05)
    if ratio:
        counts = Counter(row[4] for row in unplaced)
        assert set(counts) == set(range(NODES)) and min(counts.values()) > 0.6 * len(unplaced) / NODES
        assert rows(3) == found and rows(4) != found


def test_classes_come_from_label_files_or_from_paths(tmp_path: Path) -> None:
    (star,) = pictures(tmp_path / "star", {"x": "6 0 0 0 0\n"})
    boxed, empty = pictures(tmp_path, {"boxed": "1 .5 .5 .1 .1\n", "empty": ""})
    assert data.class_only_labels([star], NODES)[0].tolist() == [[6, 0, 0, 0, 0]]
    names = [line.split()[0] for line in TREE.splitlines()]
    assert data.class_only_labels([f"{tmp_path}/ring/7.png"], NODES, names)[0][0, 0] == 4
    with pytest.raises(dn.DataError, match=r"boxed\.png: has a box.*\n.*empty\.png: has no label"):
        data.class_only_labels([boxed, empty], NODES)
    with pytest.raises(dn.DataError, match="6 labels are given for the 7 nodes"):
        data.class_only_labels([star], NODES, names[:6])


def test_joint_training_from_a_data_file(folder: Path) -> None:
    boxed = pictures(folder, {f"b{i}": f"{i} .5 .5 .5 .5\n" for i in range(4)})
    unboxed = pictures(folder, {f"c{i}": f"{i} 0 0 0 0\n" for i in range(NODES)})
    (folder / "boxes.txt").write_text("\n".join(boxed))
    (folder / "classes.txt").write_text("\n".join(unboxed))
    text = "train=boxes.txt\nvalid=boxes.txt\nclassification=classes.txt\nbackup=backup\nmap=toy.map\n"
    (folder / "joint.data").write_text(text)
    (folder / "backup").mkdir()
    result = train_detector(
        folder / "joint.data", folder / "mapped.cfg", max_batches=3, score=True, score_every=3, quiet=True
    )
    assert result.iteration == 3 and result.best is not None
    (folder / "joint.data").write_text(text + "classification_ratio=-1\n")
    with pytest.raises(dn.DataError, match="classification_ratio: expected a number, 0 or more, found '-1'"):
        train_detector(folder / "joint.data", folder / "mapped.cfg", max_batches=1, quiet=True)
    (folder / "joint.data").write_text(text)
    (folder / "plain.cfg").write_text(CFG.replace("tree=toy.tree\n", ""))
    with pytest.raises(dn.DataError, match=r"joint\.data: classification: only a \[region\] head"):
        train_detector(folder / "joint.data", folder / "plain.cfg", max_batches=1, quiet=True)
    (folder / "labels" / "b1.txt").write_text("4 .5 .5 .5 .5\n")
    with pytest.raises(dn.DataError, match=r"b1\.txt:1: class 4 is not 0\.\.3"):  # four lines in toy.map
        train_detector(folder / "joint.data", folder / "mapped.cfg", max_batches=1, quiet=True)


def test_a_run_resumes_from_another_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint knows where the cfg was, and so where its tree is."""
    (folder / "train.txt").write_text("\n".join(pictures(folder, {"b": "1 .5 .5 .5 .5\n"})))
    (folder / "x.data").write_text(f"train=train.txt\nbackup={folder}\n")
    monkeypatch.chdir(folder)
    train_detector("x.data", "mapped.cfg", max_batches=1, quiet=True)
    monkeypatch.chdir(folder.parent)
    again = train_detector(folder / "x.data", folder / "mapped.cfg", max_batches=2, resume=True, quiet=True)
    assert again.iteration == 2


def test_evaluation_counts_in_the_labels_or_in_the_nodes(folder: Path) -> None:
    """With class_map the classes are the labels', else the head's own map says which nodes they mean."""
    paths = pictures(folder, {"a": "1 .5 .5 .4 .4\n"})
    with dn.Network(folder / "mapped.cfg") as net:
        certain(net, {4: 9, 5 + 1: 9, 5 + 4: 9})
        by_label = evaluation.evaluate_detector(net, paths, class_map=[3, 4, 5, 6])
        by_node = evaluation.evaluate_detector(net, paths, hier_rule="paper")
    plain = CFG.replace("tree=toy.tree\n", "")
    with (
        dn.Network.from_string(plain) as net,
        pytest.raises(dn.ArgumentError, match="needs a head with a word tree"),
    ):
        evaluation.evaluate_detector(net, paths, class_map=[1])
    assert [one.truths for one in by_label.classes] == [0, 1, 0, 0]
    assert [one.truths for one in by_node.classes] == [0, 0, 0, 0, 1, 0, 0]
    assert by_label.classes[1].ap > 0 and by_node.classes[4].ap == pytest.approx(by_label.classes[1].ap)


def test_the_commands_descend_by_either_rule(
    folder: Path, picture: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    """detect, and detector test with the names of a .data file; without names those of the tree."""
    with dn.Network(folder / "toy.cfg") as net:
        certain(net, {4: 9, 5 + 1: np.log(4), 5 + 4: np.log(4)})
        net.save_weights(folder / "toy.weights")
    Image.fromarray(picture).save(folder / "picture.png")
    (folder / "names").mkdir()
    (folder / "names" / "toy.data").write_text("names = readable.txt\n")
    (folder / "names" / "readable.txt").write_text("a thing\nround one\nc\nd\nwedding ring\nf\ng\n")
    files = [str(folder / name) for name in ("toy.cfg", "toy.weights", "picture.png")]
    more = ["-thresh", ".5", "-hier", ".6", "-out", str(folder / "drawn")]

    def labels(*arguments: str) -> set[str]:
        assert main([*arguments, *more]) == 0
        return {line.rpartition(":")[0] for line in capsys.readouterr().out.splitlines()[1:]}

    assert labels("detect", *files) == {"round"}
    assert labels("detect", *files, "-hier_rule", "paper") == {"ring"}
    with_names = ("detector", "test", str(folder / "names" / "toy.data"), *files)
    assert labels(*with_names) == {"round one"}
    assert labels(*with_names, "--hier_rule", "paper") == {"wedding ring"}
    assert main(["detect", *files, "-hier_rule", "thesis"]) == 2

"""Result files, recall, anchors and the commands that make them, against boxes worked out by hand and against
what detect finds."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_CFG
from PIL import Image

pytest.importorskip("darknet_py._native", reason="the core is not built")

import darknet_py as dn
from darknet_py import anchors, evaluation, result_files, synth, training, validation
from darknet_py.cli import main
from darknet_py.data import DataFile, find_label, labels_of, read_labels, read_list
from darknet_py.errors import DataError
from darknet_py.results import Detections
from darknet_py.session import Rules
from darknet_py.sweep import detect_each

REGION_CFG = TINY_CFG.replace(
    "[yolo]\nmask=0,1\nanchors=4,5, 10,12", "[region]\nanchors=1,1.5, 2,2\nsoftmax=1"
)
GRID_CFG = TINY_CFG.replace(
    "[yolo]\nmask=0,1\nanchors=4,5, 10,12\nclasses=3\nnum=2",
    "[connected]\noutput=52\n\n[detection]\nclasses=3\ncoords=4\nside=2\nnum=2\nsqrt=1",
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def found() -> Detections:
    return Detections(
        np.array([[10, 20, 30, 40], [0, 0, 100, 60]], np.float32),
        np.array([0.75, 0.5]),
        np.array([1, 0]),
        image_size=(100, 60),
    )


def texts(form: Any, found: Detections, path: str = "a/COCO_val2014_000000000042.x.jpg") -> dict[str, str]:
    """What a format writes for one picture, by file."""
    result: dict[str, str] = {}
    for name, text in [*form.begin(), *form.picture(6, path, found), *form.end()]:
        result[name] = result.get(name, "") + text
    return result


# ---- formats -----------------------------------------------------------------------------------------


def test_voc_counts_pixels_from_one_and_stays_inside(found: Detections) -> None:
    name = "COCO_val2014_000000000042"
    assert texts(result_files.Voc(["a/b", "cat"], None), found) == {
        "comp4_det_test_a_b.txt": f"{name} 0.500000 1.000000 1.000000 100.000000 60.000000\n",
        "comp4_det_test_cat.txt": f"{name} 0.750000 11.000000 21.000000 31.000000 41.000000\n",
    }
    plain = texts(result_files.Voc(["dog", "cat"], "mine_", one_based=False), found)
    assert plain["mine_cat.txt"] == f"{name} 0.750000 10.000000 20.000000 30.000000 40.000000\n"


def test_coco_is_json_with_the_numbers_of_its_categories(found: Detections) -> None:
    form = result_files.Coco(["x"] * 80, None)
    text = texts(form, found)["coco_results.json"]
    assert text.splitlines()[:2] == [
        "[",
        '{"image_id":42, "category_id":2, "bbox":[10.000000, 20.000000, 20.000000, 20.000000], '
        '"score":0.750000},',
    ]
    assert text.endswith("}\n]\n") and len(json.loads(text)) == 2
    assert json.loads(texts(result_files.Coco(["x"], None), found[[]])["coco_results.json"]) == []
    assert len(result_files.COCO_CATEGORIES) == 80 and result_files.COCO_CATEGORIES[79] == 90
    assert [result_files.COCO_CATEGORIES[k] for k in (10, 11, 25, 26)] == [11, 13, 28, 31]
    with pytest.raises(DataError, match="80 classes, but the network 81"):
        result_files.Coco(["x"] * 81, None)


@pytest.mark.parametrize(
    ("path", "number"),
    [("v/COCO_val2014_000000000042.jpg", 42), ("my_set/000123.png", 123), ("7_dog.jpg", 7), ("dog.jpg", 0)],
)
def test_image_numbers_of_coco(path: str, number: int) -> None:
    assert result_files.coco_image_id(path) == number


def test_the_other_formats(found: Detections) -> None:
    assert texts(result_files.ImageNet(["x"] * 200, None), found)["imagenet-detection.txt"].splitlines() == [
        "7 2 0.750000 10.000000 20.000000 30.000000 40.000000",
        "7 1 0.500000 0.000000 0.000000 100.000000 60.000000",
    ]
    name = "kitti_results/data/COCO_val2014_000000000042.txt"
    assert texts(result_files.Kitti(["car", "pedestrian"], None), found)[name].splitlines()[0] == (
        "pedestrian -1 -1 -10 10.000000 20.000000 30.000000 40.000000 -1 -1 -1 -1000 -1000 -1000 -10 0.750000"
    )
    (text,) = texts(result_files.Bdd(["car", "traffic light"], None), found).values()
    assert json.loads(text)[0] == {
        "name": "COCO_val2014_000000000042",
        "category": "traffic light",
        "bbox": [10, 20, 30, 40],
        "score": 0.75,
    }


def test_result_files_appear_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_files, "BUFFER", 8)
    folder = tmp_path / "out"
    with pytest.raises(ZeroDivisionError), result_files.ResultFiles(folder) as files:
        files.write("a.txt", "long enough for the disk")
        raise ZeroDivisionError
    assert list(folder.iterdir()) == []
    with result_files.ResultFiles(folder) as files:
        for _ in range(3):
            files.write("a.txt", "twelve chars")
        files.write("d/b.txt")
        assert not (folder / "a.txt").exists()
    assert (folder / "a.txt").read_text() == 3 * "twelve chars" and (folder / "d" / "b.txt").read_text() == ""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match=r"file: cannot make this folder: \w+ \w+$"),
        result_files.ResultFiles(tmp_path / "file") as files,
    ):
        files.write("a.txt", "x")


# ---- valid -------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A .data file of four pictures of different shapes, with a label each and the names a, b, c."""
    rng = np.random.default_rng(0)
    paths = []
    for i, size in enumerate([(30, 40), (50, 20), (24, 32), (60, 60)]):
        path = tmp_path / f"set_{i + 1:03d}.png"
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
        path.with_suffix(".txt").write_text(f"{i % 3} .5 .5 .4 .3\n")
        paths.append(f"{path}\n")
    (tmp_path / "list.txt").write_text("".join(paths))
    (tmp_path / "abc.names").write_text("a\nb\nc\n")
    (tmp_path / "x.data").write_text("classes=3\nnames=abc.names\nvalid=list.txt\ntrain=list.txt\n")
    return tmp_path / "x.data"


def saved(tmp_path: Path, text: str) -> list[str]:
    """A network of this cfg as files."""
    (tmp_path / "n.cfg").write_text(text)
    with dn.Network(tmp_path / "n.cfg", seed=3) as net:
        net.set_param(0, "rolling_variance", np.ones(8, np.float32))
        net.save_weights(tmp_path / "n.weights")
    return [str(tmp_path / "n.cfg"), str(tmp_path / "n.weights")]


def test_boxes_in_the_files_are_those_of_detect(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path, TINY_CFG)
    assert main(["detector", "valid", str(data), *model]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == [str(Path("results", f"comp4_det_test_{c}.txt")) for c in "abc"]
    assert output.err.splitlines()[0] == "4"
    assert output.err.splitlines()[-1].startswith("Total Detection Time: ")
    data.write_text(data.read_text() + "eval=coco\nresults=there\n")
    assert main(["detector", "valid", str(data), *model, "-out", "mine", "--json", "-q"]) == 0
    output = capsys.readouterr()
    assert output.err == "" and json.loads(output.out)["files"] == [str(Path("there", "mine.json"))]
    records = json.loads(Path("there", "mine.json").read_text())
    with dn.Network(*model) as net:
        for number, path in enumerate(DataFile(data).images("valid"), 1):
            dets = net.detect(path, 0.005)
            assert len(dets) > 0
            mine = [one for one in records if one["image_id"] == number]
            assert [one["category_id"] for one in mine] == (dets.class_id + 1).tolist()
            np.testing.assert_allclose([one["bbox"] for one in mine], dets.xywh, atol=1e-5)
            np.testing.assert_allclose([one["score"] for one in mine], dets.confidence, atol=1e-6)
            for class_id, name in enumerate("abc"):
                lines = Path("results", f"comp4_det_test_{name}.txt").read_text().splitlines()
                rows = [line.split()[1:] for line in lines if line.split()[0] == Path(path).stem]
                chosen = dets[dets.class_id == class_id]
                read = np.array(rows, np.float32).reshape(-1, 5)
                np.testing.assert_allclose(read[:, 0], chosen.confidence, atol=1e-6)
                limits = np.array(dets.image_size * 2)
                np.testing.assert_allclose(read[:, 1:], np.minimum(chosen.xyxy + 1, limits), atol=1e-5)


def test_valid_leaves_out_pictures_and_says_so(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path, TINY_CFG)
    Path((images := DataFile(data).images("valid"))[2]).write_bytes(b"no picture")
    assert main(["detector", "valid", str(data), *model]) == 1
    assert f"left out: {tmp_path}/list.txt:3: {images[2]}: " in capsys.readouterr().err
    assert Path("results", "comp4_det_test_a.txt").exists()
    data.write_text(data.read_text() + "eval=pascal\n")
    assert main(["detector", "valid", str(data), *model]) == 1
    assert "expected eval voc, coco" in capsys.readouterr().err
    with dn.Network(*model) as net, pytest.raises(DataError, match="none of the 1 images"):
        validation.validate_detector(net, [images[2]], tmp_path / "nothing")
    assert not list((tmp_path / "nothing").glob("*"))


@pytest.mark.parametrize("cfg", [TINY_CFG, TINY_CFG + "scale_x_y=1.2\n", REGION_CFG, GRID_CFG])
def test_mirrored_detection_does_not_know_left_from_right(cfg: str) -> None:
    """The mean of a picture and its mirror image finds in the mirrored picture the mirrored boxes."""
    picture = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
    rules = Rules(0.0, nms=0, preprocess="stretch", mirrored=True)
    with dn.Network.from_string(cfg, seed=3) as net:
        net.set_param(0, "rolling_variance", np.ones(8, np.float32))
        session, sets = net.session(), []
        for pixels in (picture, np.ascontiguousarray(picture[:, ::-1])):
            x = dn.images.load(pixels)[None]
            sets.append(session._candidates(x, (32, 24), rules)[0])
        plain = session._candidates(x, (32, 24), Rules(0.0, nms=0, preprocess="stretch"))[0]
    one, other = sets
    assert len(one.boxes) == len(other.boxes) == len(plain.boxes)
    mirrored = other.boxes * [-1, 1, 1, 1] + np.array([32, 0, 0, 0])
    first = np.concatenate([one.boxes, one.probabilities], 1)
    for second, equal in (
        (np.concatenate([mirrored, other.probabilities], 1), True),
        (np.concatenate([plain.boxes, plain.probabilities], 1), False),
    ):
        nearest = np.abs(first[:, None] - second[None]).max(2).min(1)
        assert (nearest.max() < 1e-3) == equal


def test_valid2_differs_from_valid_and_needs_heads_that_can(data: Path, tmp_path: Path) -> None:
    model = saved(tmp_path, TINY_CFG)
    for command in ("valid", "valid2"):
        assert main(["detector", command, str(data), *model, "-out", command, "-q"]) == 0
    assert Path("results", "valida.txt").read_text() != Path("results", "valid2a.txt").read_text()


def test_a_class_map_turns_nodes_of_a_tree_into_classes(data: Path, tmp_path: Path) -> None:
    (tmp_path / "t.tree").write_text("animal -1\nthing -1\ncat 0\ndog 0\n")
    (tmp_path / "t.map").write_text("3\n0\n")
    cfg = REGION_CFG.replace("classes=3", "classes=4\ntree=t.tree").replace("filters=16", "filters=18")
    model = saved(tmp_path, cfg)
    data.write_text("classes=2\nvalid=list.txt\nmap=t.map\neval=imagenet\n")
    assert main(["detector", "valid", str(data), *model, "-q", "-nms", "0"]) == 0
    rows = [line.split() for line in Path("results", "imagenet-detection.txt").read_text().splitlines()]
    assert {row[0] for row in rows} == {"1", "2", "3", "4"} and {row[1] for row in rows} == {"1", "2"}
    # The probability of a dog is at most that of an animal: of each box's two the second is the greater.
    boxes: dict[tuple[str, ...], dict[str, float]] = {}
    for row in rows:
        boxes.setdefault((row[0], *row[3:]), {})[row[1]] = float(row[2])
    both = [one for one in boxes.values() if len(one) == 2]
    assert both and all(one["1"] <= one["2"] for one in both)


def test_a_list_of_pictures_takes_no_more_memory_than_one(data: Path, detector: Any) -> None:
    images = DataFile(data).images("valid")
    kept = [found for _, found in detect_each(detector, [*images, *images], Rules(0.1))]
    assert len(kept) == 8 and not any(hasattr(one, "pixels") for one in kept)


def test_a_long_list_and_its_labels_take_no_more_memory_than_a_short_one(data: Path) -> None:
    lines = [*DataFile(data).images("valid")]

    def peak(count: int) -> int:
        Path("long.txt").write_text("\n".join(lines * (count // len(lines))))
        tracemalloc.start()
        try:
            images = read_list("long.txt")
            labels = labels_of(images, 3)
            assert len(images) == len(labels) == count
            assert images[-1] == lines[-1] and labels[-1].shape == (1, 5)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # As objects they would take 2 MB. Up to 64 KiB of each column wait to be written.
    assert peak(8000) - peak(40) < 400_000


# ---- recall and map ----------------------------------------------------------------------------------


def test_recall_counts_objects_with_a_box(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path, TINY_CFG)
    assert main(["detector", "recall", str(data), *model, "-iou_thresh", ".1"]) == 0
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert len(lines) == 4 and output.out.splitlines() == [lines[-1]]
    correct, overlap, proposals = 0, 0.0, 0
    with dn.Network(*model) as net:
        for path in DataFile(data).images("valid"):
            x = dn.images.resize(dn.images.load(path), 32, 24)[None]
            with net.session() as session:
                rules = Rules(0.001, nms=0.4, nms_kind="obj", preprocess="stretch")
                found = session._candidates(x, (1, 1), rules)[0]
            boxes = found.boxes[found.objectness > 0.001]
            proposals += len(boxes)
            best = dn.boxes.iou(boxes, read_labels(Path(path).with_suffix(".txt"))[0, 1:]).max()
            overlap += best
            correct += best > 0.1
    assert 0 < proposals < 4 * 2 * 48
    assert output.out == (
        f"    3 {correct:5d}     4\tRPs/Img: {proposals / 4:.2f}\tIOU: {25 * overlap:.2f}%\t"
        f"Recall:{25 * correct:.2f}%\n"
    )
    assert main(["detector", "recall", str(data), *model, "-q", "-json"]) == 0
    output = capsys.readouterr()
    assert output.err == "" and json.loads(output.out)["total"] == 4


def test_recall_without_objects_is_not_a_number(data: Path, detector: Any) -> None:
    images = DataFile(data).images("valid")
    for path in images:
        Path(path).with_suffix(".txt").write_text("")
    result = evaluation.evaluate_recall(detector, images)
    assert result.total == 0 and np.isnan(result.recall) and result.line(0).endswith("Recall:nan%")


def test_a_box_on_a_difficult_object_does_not_count() -> None:
    truths = np.array([[0, 0.25, 0.25, 0.2, 0.2]], np.float32)
    difficult = np.array([[0, 0.75, 0.75, 0.2, 0.2], [1, 0.25, 0.75, 0.2, 0.2]], np.float32)
    boxes = np.array(
        [[0.15, 0.15, 0.35, 0.35], [0.65, 0.65, 0.85, 0.85], [0.15, 0.65, 0.35, 0.85]], np.float32
    )
    score = evaluation.DetectionScore(2)
    score.add(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, int), truths, difficult)
    result = score.result()
    # The second box lies on a difficult object of its class; the third's is of another class.
    assert (result.tp, result.fp, result.fn) == (1, 1, 0)


def test_map_reads_the_list_of_difficult_objects(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path, TINY_CFG)
    hard = tmp_path / "hard"
    hard.mkdir()
    names = [Path(path).name for path in DataFile(data).images("valid")]
    (hard / "list.txt").write_text("".join(f"{hard / name}\n" for name in names))
    for name in names:  # everything is difficult: every box without an object is forgotten
        rows = [
            f"{kind} {x} {y} {w} {h}\n"
            for kind in range(3)
            for x in (0.2, 0.5, 0.8)
            for y in (0.2, 0.5, 0.8)
            for w in (0.2, 0.5)
            for h in (0.2, 0.5)
        ]
        (hard / name).with_suffix(".txt").write_text("".join(rows))
    counts = []
    for extra in ("", "difficult=hard/list.txt\n"):
        data.write_text(data.read_text() + extra)
        assert (
            main(["detector", "map", str(data), *model, "-iou_thresh", ".1", "-thresh", ".1", "-json"]) == 0
        )
        counts.append(json.loads(capsys.readouterr().out))
    assert counts[0]["tp"] == counts[1]["tp"] and counts[0]["fp"] > counts[1]["fp"]
    (hard / "list.txt").write_text(f"{hard / names[0]}\n")
    assert main(["detector", "map", str(data), *model]) == 1
    assert "a path per image of valid, 4, found 1" in capsys.readouterr().err


def average_precision(
    found: list[tuple[float, str, list[float]]], truths: dict[str, list[list[float]]]
) -> float:
    """By definition, of (score, image, corners) and the corners of each image's objects."""
    hits, used = [], set()
    for _, image, box in sorted(found, key=lambda one: -one[0]):
        overlaps = [
            float(evaluation.iou_matrix(*np.float32([[box], [t]]))[0, 0]) for t in truths.get(image, [])
        ]
        best = max(range(len(overlaps)), key=overlaps.__getitem__, default=-1)
        hit = best >= 0 and overlaps[best] > 0.5 and (image, best) not in used
        used |= {(image, best)} if hit else set()
        hits.append(hit)
    total = sum(map(len, truths.values()))
    if not hits or not total:
        return 0.0
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    steps = np.diff(right / total, prepend=0)
    return float(sum(step * precision[i:].max() for i, step in enumerate(steps)))


def test_map_is_the_mean_average_precision_of_the_voc_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shipped detector on drawn pictures, read back from its files by other code."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "weights" / "synth.weights").is_file():
        pytest.skip("the shipped detector is not here")
    model = [str(root / "cfg" / "synth.cfg"), str(root / "weights" / "synth.weights")]
    drawn = synth.generate(tmp_path / "drawn", train=1, val=8, size=96, quiet=True)
    assert main(["detector", "valid", str(drawn), *model, "-q"]) == 0
    assert main(["detector", "map", str(drawn), *model, "-json"]) == 0
    document = json.loads(capsys.readouterr().out)
    info = DataFile(drawn)
    truths: list[dict[str, list[list[float]]]] = [{} for _ in range(8)]
    for path in info.images("valid"):
        for kind, x, y, w, h in read_labels(find_label(path)).tolist():
            corners = [96 * v for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2)]
            truths[int(kind)].setdefault(Path(path).stem, []).append(corners)
    scores = []
    for kind, name in enumerate(info.names or []):
        lines = Path("results", f"comp4_det_test_{name}.txt").read_text().splitlines()
        rows = [line.split() for line in lines]
        # Back to pixels from 0; an edge at the picture's end was not moved.
        found = [(float(r[1]), r[0], [float(v) - (float(v) < 96) for v in r[2:]]) for r in rows]
        scores.append(average_precision(found, truths[kind]))
        assert scores[-1] == pytest.approx(document["classes"][kind]["ap"], abs=0.03), name
    assert np.mean(scores) == pytest.approx(document["map"], abs=0.01) and document["map"] > 0.3


def test_the_published_figure_of_a_metrics_project() -> None:
    """11-point average precision of its example, at IoU .3: 26.84 %."""
    folder = Path(os.environ.get("DARKNET_SHARED", "nowhere"), "real", "metrics", "object-detection-metrics")
    if not folder.is_dir():
        pytest.skip("no example of object-detection-metrics (DARKNET_SHARED)")
    score = evaluation.DetectionScore(1, iou=0.3)
    for file in sorted((folder / "groundtruths").iterdir()):
        rows = np.array([line.split()[1:] for line in file.read_text().splitlines()], np.float32)
        truths = np.zeros((len(rows), 5), np.float32)
        truths[:, 1:3], truths[:, 3:] = rows[:, :2] + rows[:, 2:] / 2, rows[:, 2:]
        lines = (folder / "detections" / file.name).read_text().splitlines()
        found = np.array([line.split()[1:] for line in lines], np.float32).reshape(-1, 5)
        found = found[np.argsort(-found[:, 0], kind="stable")]
        boxes = np.concatenate([found[:, 1:3], found[:, 1:3] + found[:, 3:]], 1)
        score.add(boxes, found[:, 0], np.zeros(len(found), int), truths)
    assert score.result(11).map == pytest.approx(0.2684, abs=1e-4)


# ---- anchors -----------------------------------------------------------------------------------------


def test_anchors_are_the_means_of_separate_clusters() -> None:
    rng = np.random.default_rng(0)
    groups = [np.array(size) * rng.uniform(0.95, 1.05, (20, 2)) for size in ((10, 12), (40, 30), (100, 200))]
    centres, overlap, iterations = anchors.cluster_sizes(
        np.concatenate(groups)[rng.permutation(60)], 3, seed=1
    )
    np.testing.assert_allclose(centres, [group.mean(0) for group in groups])
    assert 0.9 < overlap < 1 and iterations > 1
    again = anchors.cluster_sizes(np.concatenate(groups), 3, seed=1)[0]
    assert again.shape == (3, 2) and (np.diff(again.prod(1)) >= 0).all()


def test_a_cluster_without_boxes_keeps_its_centre() -> None:
    centres, overlap, _ = anchors.cluster_sizes([[3, 4]] * 5 + [[30, 40]], 3)
    assert overlap <= 1 and set(map(tuple, centres)) <= {(3.0, 4.0), (30.0, 40.0)} and len(centres) == 3


def test_anchors_that_cannot_be_made_are_errors(data: Path) -> None:
    with pytest.raises(DataError, match="as many boxes as clusters, found 2 and 3"):
        anchors.cluster_sizes([[1, 2], [3, 4]], 3)
    with pytest.raises(DataError, match="box 1 is 0 x 4"):
        anchors.cluster_sizes([[1, 2], [0, 4]], 1)
    images = DataFile(data).images("train")
    Path(images[1]).with_suffix(".txt").write_text("0 .5 .5 .1 .1\n1 .5 .5 0 .2\n")
    with pytest.raises(DataError, match=r"set_002\.txt:2: a box of 0 x 0\.2 has no area"):
        anchors.calc_anchors(images, 3, 2, 416, 416)


def test_a_box_without_area_is_nothing_to_find(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path, TINY_CFG)
    images = DataFile(data).images("valid")
    label = Path(images[0]).with_suffix(".txt")
    label.write_text(label.read_text() * 12)
    assert main(["detector", "map", str(data), *model]) == 0
    before = capsys.readouterr()
    label.write_text(label.read_text() + "1 .5 .5 0 .2\n")
    assert main(["detector", "map", str(data), *model]) == 0
    output = capsys.readouterr()
    assert output.out == before.out and before.err == ""
    assert re.search(r"1 labels left out:\n  .*:13: a box of 0 x 0\.2 has no area", output.err)


@pytest.mark.parametrize("command", ["map", "valid", "recall"])
def test_another_number_of_classes_is_told(
    data: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path, TINY_CFG)
    data.write_text(data.read_text().replace("classes=3", "classes=2"))
    assert main(["detector", command, str(data), *model]) == 0
    assert f"{data}:1: classes = 2, but the network has 3" in capsys.readouterr().err


def test_anchor_files(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["detector", "calc_anchors", str(data), "-num_of_clusters", "2"]
    assert main([*arguments, "-width", "100", "--height", "200"]) == 0
    output = capsys.readouterr()
    # All boxes are .4 x .3; the images don't matter.
    assert Path("anchors.txt").read_text() == " 40, 60,  40, 60"
    assert Path("counters_per_class.txt").read_text() == "counters_per_class = 2, 1, 1"
    assert output.out.splitlines() == [
        "counters_per_class = 2, 1, 1",
        "avg IoU = 100.00 %",
        "anchors =  40, 60,  40, 60",
    ]
    assert "num_of_clusters = 2, width = 100, height = 200" in output.err
    assert main([*arguments, "-width", "13", "-height", "13", "-json"]) == 0
    assert json.loads(capsys.readouterr().out)["anchors"] == [[5.2, 3.9], [5.2, 3.9]]
    assert Path("anchors.txt").read_text() == "5.2000,3.9000, 5.2000,3.9000"


# ---- yolo and coco -----------------------------------------------------------------------------------

VOC_CFG = GRID_CFG.replace("output=52", "output=120").replace("classes=3", "classes=20")


def test_yolo_test_has_the_names_of_voc_and_stretches(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path, VOC_CFG)
    picture = DataFile(data).images("valid")[1]
    assert main(["yolo", "test", *model, picture, "-thresh", ".01"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    with dn.Network(*model, names=dn.names.VOC_NAMES) as net:
        found = net.detect(picture, 0.01, nms=0.4, preprocess="stretch")
    assert len(found) > 0 and lines == [f"{one.label}: {100 * one.confidence:.0f}%" for one in found]
    assert Path("predictions.jpg").exists()
    assert main(["coco", "test", *saved(tmp_path, TINY_CFG), picture]) == 0
    assert Path("prediction.jpg").exists()


def test_yolo_valid_counts_pixels_from_zero(data: Path, tmp_path: Path) -> None:
    model = saved(tmp_path, VOC_CFG)
    data.write_text("valid=list.txt\n")
    assert main(["yolo", "valid", str(data), *model, "-q"]) == 0
    picture = DataFile(data).images("valid")[0]
    with dn.Network(*model) as net:
        dets = net.detect(picture, 0.001, nms=0.5, preprocess="stretch")
    class_id = int(dets.class_id[0])
    name = dn.names.VOC_NAMES[class_id]
    lines = Path("results", f"comp4_det_test_{name}.txt").read_text().splitlines()
    rows = [line.split()[1:] for line in lines if line.startswith("set_001 ")]
    chosen = dets[dets.class_id == class_id]
    expected = np.concatenate([chosen.confidence[:, None], chosen.xyxy], 1)
    np.testing.assert_allclose(np.array(rows, np.float32), expected, atol=1e-5)
    assert main(["coco", "valid", str(data), *model, "-q"]) == 0
    assert json.loads(Path("results", "coco_results.json").read_text())
    (Path(picture).parent / "all.names").write_text("\n".join(dn.names.VOC_NAMES))
    assert main(["yolo", "recall", str(data), *model, "-q"]) == 0


def test_yolo_train_learns_as_detector_train_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = synth.generate(tmp_path / "drawn", train=6, val=2, size=48, quiet=True)
    text = GRID_CFG.replace("classes=3", "classes=8").replace("output=52", "output=72")
    (tmp_path / "v1.cfg").write_text(text.replace("0.01", "0.0001\nmax_batches=101"))
    assert (
        main(["yolo", "train", str(drawn), str(tmp_path / "v1.cfg"), "-backup", "b", "-log_every", "1"]) == 0
    )
    lines = [line for line in capsys.readouterr().out.splitlines() if " avg, " in line]
    assert len(lines) == 101 and lines[1].endswith(" images")
    weights = sorted(path.name for path in Path("b").glob("*.weights"))
    assert weights == ["v1_100.weights", "v1_final.weights", "v1_last.weights"]


@pytest.mark.parametrize(
    ("plan", "due"),
    [
        ({}, [10000, 20000]),
        ({"save_every": 1000, "save_early": 100}, [*range(100, 1000, 100), *range(1000, 20001, 1000)]),
        ({"save_every": 7000}, [7000, 14000]),
    ],
)
def test_numbered_weights_come_as_often_as_the_command_says(plan: dict[str, int], due: list[int]) -> None:
    schedule = training.Schedule(Path("b"), "x", 40000, **plan)
    assert [n for n in range(1, 20001) if schedule.numbered(n)] == due


@pytest.mark.parametrize("form", ["voc", "bdd", "kitti"])
def test_names_of_pictures_need_not_be_utf8(
    data: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.png")
    Path(tmp_path / "set_001.png").rename(odd)
    (tmp_path / "list.txt").write_bytes(os.fsencode(odd) + b"\n" + os.fsencode(tmp_path / "gone\udce9.png"))
    data.write_text(data.read_text() + f"eval={form}\nresults={tmp_path}\n")
    files = saved(tmp_path, TINY_CFG)
    assert main(["detector", "valid", str(data), *files, "-thresh", "0", "--json"]) in (0, 1)
    document = json.loads(capsys.readouterr().out.encode("utf-8"))
    assert document["images"] == 1 and document["detections"]
    if form == "bdd":
        written = json.loads(Path(document["files"][0]).read_text("utf-8"))
        assert {one["name"] for one in written} == {"caf\udce9"}
    elif form == "voc":
        assert any(b"caf\xe9 " in Path(one).read_bytes() for one in document["files"])

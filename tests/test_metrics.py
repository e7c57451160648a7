"""Published measures, against boxes worked out by hand, COCO's own evaluation and published figures."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("darknet_py._native", reason="the core is not built")

from darknet_py import metrics, synth
from darknet_py.cli import main
from darknet_py.data import DataFile, find_label
from darknet_py.errors import ArgumentError, DataError, ImageError, UnsupportedError
from darknet_py.metrics import ImageBoxes, files
from darknet_py.metrics.boxes import StoredBoxes

ROOT = Path(__file__).parents[1]
NONE = np.empty((0, 4))

#: One picture; IoU of the pairs: a shift by 2 of 10 gives 8/12, by 5 gives 1/3, by 9 gives 1/19.
A, B = [0, 0, 10, 10], [100, 100, 110, 110]


def shifted(box: list[float], x: float) -> list[float]:
    return [box[0] + x, box[1], box[2] + x, box[3]]


def test_boxes_of_pictures_are_stored_as_they_are() -> None:
    images = [one_image([], []), *example(1, hard=0.3), one_image([([1, 2, 3, 4], 0.5, 1)], [])]
    images[1].areas *= 0.7
    stored = StoredBoxes()
    for image in images:
        stored.add(image)
    assert len(stored) == len(images)
    for image, again in zip(images, stored, strict=True):
        for key, values in vars(image).items():
            np.testing.assert_array_equal(getattr(again, key), values)
            assert getattr(again, key).dtype == values.dtype


def one_image(found: list[tuple[list[float], float, int]], truths: Any, **more: Any) -> ImageBoxes:
    boxes, scores, kinds = zip(*found, strict=True) if found else ((), (), ())
    corners, classes = zip(*truths, strict=True) if truths else ((), ())
    return ImageBoxes(boxes, scores, kinds, corners, classes, **more)


def example(
    seed: int, images: int = 20, classes: int = 4, crowds: float = 0.1, hard: float = 0
) -> list[ImageBoxes]:
    """Objects of COCO's three sizes; detections near them, or anywhere; scores with ties."""
    rng, result = np.random.default_rng(seed), []
    for _ in range(images):
        count = int(rng.integers(0, 7))
        low, size = (
            rng.uniform(0, 300, (count, 2)),
            rng.choice([12, 40, 130], (count, 1)) * rng.uniform(0.6, 1.5, (count, 2)),
        )
        truths, kinds = np.concatenate([low, low + size], 1).round(1), rng.integers(0, classes, count)
        near = rng.integers(0, count, int(rng.integers(0, 3 * count + 1))) if count else np.empty(0, int)
        boxes = truths[near] + rng.normal(0, 0.12, (len(near), 4)) * np.tile(size[near], 2)
        boxes = np.concatenate(
            [np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1
        )
        far = rng.uniform(0, 300, (int(rng.integers(0, 5)), 2))
        boxes = np.concatenate([boxes, np.concatenate([far, far + rng.uniform(5, 100, far.shape)], 1)])
        right = np.concatenate([kinds[near], np.zeros(len(far), int)])
        found = np.where(rng.random(len(boxes)) < 0.8, right, rng.integers(0, classes, len(boxes)))
        result.append(
            ImageBoxes(
                boxes.round(1),
                rng.random(len(boxes)).round(2),
                found,
                truths,
                kinds,
                crowd=rng.random(count) < crowds,
                difficult=rng.random(count) < hard,
            )
        )
    return result


# ---- boxes -------------------------------------------------------------------------------------------


def test_arrays_that_do_not_fit_are_errors() -> None:
    with pytest.raises(ArgumentError, match=r"scores: expected 1 values, found an array \(2,\)"):
        ImageBoxes([A], [1, 2], [0], NONE, [])
    with pytest.raises(ArgumentError, match=r"boxes: expected \(n, 4\), found \(1, 3\)"):
        ImageBoxes([[1, 2, 3]], [1], [0], NONE, [])
    with pytest.raises(ArgumentError, match="scores: a number is not finite"):
        ImageBoxes([A], [np.nan], [0], NONE, [])
    image = one_image([(A, 0.5, 3)], [])
    for measure in (metrics.precision_recall, metrics.coco_score, metrics.confusion_matrix):
        with pytest.raises(ArgumentError, match=r"image 1: class 3 is not 0\.\.2"):
            measure([one_image([], []), image], 3)


# ---- VOC ---------------------------------------------------------------------------------------------


def test_a_voc_curve_by_hand() -> None:
    images = [
        # In the first picture a hit, the same object again, and one that fits badly.
        one_image([(A, 0.9, 0), (shifted(A, 1), 0.8, 0), (shifted(B, 5), 0.6, 0)], [(A, 0), (B, 0)]),
        # In the second nothing to find, then an object that is found late.
        one_image([(A, 0.7, 0)], []),
        one_image([(shifted(A, 2), 0.5, 0)], [(A, 0)]),
    ]
    (curve,) = metrics.precision_recall(images, 1)
    assert curve.truths == 3 and curve.scores.tolist() == [0.9, 0.8, 0.7, 0.6, 0.5]
    assert curve.hits.tolist() == [True, False, False, False, True]
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 1 / 3, 1 / 4, 2 / 5])
    np.testing.assert_allclose(curve.recall, [1 / 3, 1 / 3, 1 / 3, 1 / 3, 2 / 3])
    assert curve.ap() == pytest.approx(1 / 3 + 1 / 3 * 2 / 5)
    assert curve.ap(11) == pytest.approx((4 * 1 + 3 * 2 / 5) / 11)  # recalls 0 to .3, then .4 to .6
    (loose,) = metrics.precision_recall(images, 1, iou=0.3)
    assert loose.hits.tolist() == [True, False, False, True, True]


def test_an_overlap_equal_to_the_threshold_is_enough_for_voc() -> None:
    image = one_image([([0, 0, 10, 5], 0.5, 0)], [(A, 0)])
    assert metrics.precision_recall([image], 1)[0].hits.tolist() == [True]


def test_difficult_objects_and_their_detections_do_not_count() -> None:
    image = one_image([(A, 0.9, 0), (A, 0.8, 0), (B, 0.7, 0)], [(A, 0), (B, 0)], difficult=[True, False])
    (curve,) = metrics.precision_recall([image], 1)
    assert curve.truths == 1 and curve.hits.tolist() == [True] and curve.ap() == 1


def test_means_are_over_classes_with_objects() -> None:
    image = one_image([(A, 0.9, 0), (B, 0.8, 1)], [(A, 0), (B, 2)])
    curves = metrics.precision_recall([image], 3)
    assert [curve.ap() for curve in curves][::2] == [1, 0] and np.isnan(curves[1].ap())
    assert metrics.mean_ap(curves) == 0.5 and np.isnan(metrics.mean_ap(curves[1:2]))


def test_the_best_threshold_by_hand() -> None:
    image = one_image(
        [(A, 0.9, 0), (shifted(A, 50), 0.7, 0), (B, 0.7, 0), (shifted(B, 50), 0.1, 0)], [(A, 0), (B, 0)]
    )
    (curve,) = metrics.precision_recall([image], 1)
    # Above .7 one of two objects (F1 2/3); from .7 both, with one miss (4/5): equal scores pass together.
    assert curve.best() == metrics.Best(0.7, pytest.approx(2 / 3), 1.0, pytest.approx(0.8))
    (nothing,) = metrics.precision_recall([one_image([(A, 0.9, 0)], [(B, 0)])], 1)
    assert nothing.best() is None


@pytest.mark.parametrize(("inclusive", "area"), [(True, 0.2456), (False, 0.2254)])
def test_published_figures_of_a_metrics_project(inclusive: bool, area: float) -> None:
    """Object-Detection-Metrics counts the pixels of right and bottom edges in: 24.56 %, and 26.84 % of 11
    points. With sides that are differences the IoU of one falls to .295."""
    folder = Path(os.environ.get("DARKNET_SHARED", "nowhere"), "real", "metrics", "object-detection-metrics")
    if not folder.is_dir():
        pytest.skip("no example of object-detection-metrics (DARKNET_SHARED)")
    images = []
    for file in sorted((folder / "groundtruths").iterdir()):
        truths, found = (
            np.array([line.split()[1:] for line in path.read_text().splitlines()], float)
            for path in (file, folder / "detections" / file.name)
        )
        boxes, objects = (
            np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], 1) for rows in (found[:, 1:], truths)
        )
        images.append(
            ImageBoxes(boxes, found[:, 0], np.zeros(len(found), int), objects, np.zeros(len(truths), int))
        )
    (curve,) = metrics.precision_recall(images, 1, iou=0.3, inclusive=inclusive)
    assert curve.truths == 15 and len(curve.scores) == 24
    assert curve.ap() == pytest.approx(area, abs=1e-4)
    if inclusive:
        assert curve.ap(11) == pytest.approx(0.2684, abs=1e-4)
        published = (folder / "results" / "results.txt").read_text()
        for name, values in (("Precision", curve.precision), ("Recall", curve.recall)):
            assert f"{name}: {[f'{value:.2f}' for value in values.tolist()]}" in published


# ---- COCO --------------------------------------------------------------------------------------------


def test_coco_figures_by_hand() -> None:
    # IoU 2/3: right at .50, .55, .60 and .65, in a picture with a second object nobody found.
    image = one_image([(shifted(A, 2), 0.5, 0)], [(A, 0), (B, 0)])
    score = metrics.coco_score([image], 2)
    half = 51 / 101  # recalls 0 to .5 are reached, with precision 1
    assert score.ap == pytest.approx(0.4 * half) and score.ap_50 == pytest.approx(half) and score.ap_75 == 0
    assert score.ap_small == score.ap and np.isnan([score.ap_medium, score.ap_large, score.ar_large]).all()
    assert score.ar_1 == score.ar_100 == score.ar_small == pytest.approx(0.2)
    np.testing.assert_allclose(score.class_ap[0], [half] * 4 + [0] * 6)
    assert np.isnan(score.class_ap[1]).all() and score.lines()[4].endswith("= -1.000")
    # A second detection takes the object that is left; VOC would call it a second one of the first.
    close = one_image([(A, 0.9, 0), (A, 0.8, 0)], [(A, 0), (shifted(A, 2), 0)])
    assert metrics.coco_score([close], 1).ap_50 == pytest.approx(1)
    assert metrics.precision_recall([close], 1)[0].ap() == pytest.approx(0.5)
    # Only so many detections of a picture count.
    assert metrics.coco_score([close], 1).ar_1 == pytest.approx(0.5)


def official(images: list[ImageBoxes], classes: int) -> list[float]:
    """The figures of pycocotools."""
    coco = pytest.importorskip("pycocotools.coco", reason="no pycocotools")
    cocoeval = pytest.importorskip("pycocotools.cocoeval", reason="no pycocotools")

    def xywh(box: list[float]) -> list[float]:
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    objects, found = [], []
    for i, image in enumerate(images, 1):
        rows = (image.truths.tolist(), image.truth_class.tolist(), image.areas.tolist(), image.crowd.tolist())
        for box, kind, area, crowd in zip(*rows, strict=True):
            row = {
                "image_id": i,
                "category_id": kind + 1,
                "bbox": xywh(box),
                "area": area,
                "iscrowd": int(crowd),
            }
            objects.append({"id": len(objects) + 1, **row})
        rows = (image.boxes.tolist(), image.class_id.tolist(), image.scores.tolist())
        for box, kind, score in zip(*rows, strict=True):
            found.append({"image_id": i, "category_id": kind + 1, "bbox": xywh(box), "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": i + 1} for i in range(len(images))],
            "annotations": objects,
            "categories": [{"id": k + 1} for k in range(classes)],
        }
        truth.createIndex()
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def figures(images: list[ImageBoxes], classes: int) -> list[float]:
    return np.nan_to_num(list(metrics.coco_score(images, classes).figures().values()), nan=-1).tolist()


@pytest.mark.parametrize("seed", range(4))
def test_coco_figures_are_those_of_pycocotools(seed: int) -> None:
    images = example(seed, classes=2 + seed)
    np.testing.assert_allclose(figures(images, 5), official(images, 5), rtol=0, atol=1e-9)


def test_coco_figures_with_more_detections_than_count_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(5)
    truths = (
        np.array([A, B])[rng.integers(0, 2, 30)]
        + np.repeat(rng.uniform(0, 200, (30, 2)), 2, 0).reshape(30, 4)[:, [0, 1, 0, 1]]
    )
    boxes = truths[rng.integers(0, 30, 150)] + rng.integers(0, 3, (150, 1))
    image = ImageBoxes(boxes, rng.random(150), np.zeros(150, int), truths, np.zeros(30, int))
    np.testing.assert_allclose(figures([image], 1), official([image], 1), rtol=0, atol=1e-9)


def test_coco_figures_of_a_stored_example() -> None:
    """tests/metrics_coco.json: boxes, and what pycocotools says of them."""
    stored = json.loads((ROOT / "tests" / "metrics_coco.json").read_text("utf-8"))
    images = [ImageBoxes(**image) for image in stored["images"]]
    assert stored["classes"] == 3 and any(image.crowd.any() for image in images)
    np.testing.assert_allclose(figures(images, 3), stored["figures"], rtol=0, atol=1e-6)


# ---- confusions and errors ---------------------------------------------------------------------------


def test_confusions_by_hand() -> None:
    far = shifted(A, 300)
    image = one_image(
        [(shifted(A, 1), 0.9, 1), (A, 0.6, 0), (shifted(B, 2), 0.5, 1), (far, 0.7, 0), (B, 0.2, 0)],
        [(A, 0), (B, 0), (shifted(B, 60), 1), (shifted(far, 1), 0)],
        difficult=[False, False, False, True],
    )
    # A is paired with the box that fits best, not with the most confident one, which is left over. B is taken
    # for class 1; its right box is below the threshold. Nothing finds the third; the fourth does not count.
    assert metrics.confusion_matrix([image], 2).tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert metrics.confusion_matrix([image], 2, thresh=0.1).tolist() == [[2, 0, 0], [0, 0, 1], [0, 2, 0]]
    # Of boxes that fit equally the better score.
    double = one_image([(A, 0.4, 0), (A, 0.9, 1)], [(A, 0)])
    assert metrics.confusion_matrix([double], 2).tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_errors_by_hand() -> None:
    c, d, e = shifted(A, 200), shifted(A, 300), shifted(A, 400)
    image = one_image(
        [
            (A, 0.9, 0),  # correct
            (shifted(A, 1), 0.8, 0),  # the same again
            (shifted(B, 5), 0.7, 0),  # fits badly
            (shifted(c, 5), 0.6, 0),  # on an object of class 1, which is similar
            (shifted(d, 5), 0.5, 0),  # on one of class 2, which is not
            (shifted(A, 600), 0.4, 0),  # on nothing
            (shifted(e, 9), 0.3, 0),  # on next to nothing, but beyond the number of objects
            (d, 0.2, 2),
        ],
        [(A, 0), (B, 0), (c, 1), (d, 2), *((shifted(e, 1000 + 20 * k), 0) for k in range(4))],
    )
    table = metrics.analyse_errors([image], 3, [[0, 1]])
    assert table.counts.tolist() == [[1, 2, 1, 1, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
    np.testing.assert_allclose(table.parts[0], np.array([1, 2, 1, 1, 1]) / 6)
    assert np.isnan(table.parts[1]).all()
    np.testing.assert_allclose(table.mean, (table.parts[0] + table.parts[2]) / 2)
    assert metrics.analyse_errors([image], 3).counts[0].tolist() == [1, 2, 0, 2, 1]


def test_detections_of_difficult_objects_are_no_errors() -> None:
    image = one_image([(A, 0.9, 0), (B, 0.8, 0)], [(A, 0), (B, 0)], difficult=[True, False])
    assert metrics.analyse_errors([image], 1).counts.tolist() == [[1, 0, 0, 0, 0]]


def test_similar_classes_by_name() -> None:
    assert metrics.similar_groups(["cat", "car", "dog"]) == [[1], [0, 2], [], []]
    assert metrics.similar_groups(["a", "b"], [["b", "a"]]) == [[1, 0]]
    with pytest.raises(DataError, match="'c' is none of the 2 classes"):
        metrics.similar_groups(["a", "b"], [["a", "c"]])


# ---- two detectors -----------------------------------------------------------------------------------


def test_scores_rise_where_another_detector_agrees() -> None:
    first = one_image([(A, 0.5, 0), (A, 0.5, 1), (B, 0.5, 0), (shifted(A, 300), 1.0, 0)], [(A, 0)])
    second = one_image(
        [(shifted(A, 2), 0.6, 0), (A, 0.3, 0), (shifted(B, 5), 1.0, 0), (shifted(A, 300), 0.5, 0)], []
    )
    # .6 * 2/3 is more than .3 * 1; class 1 has no partner; B's overlaps by a third only; 1 stays.
    raised = metrics.rescore(first, second)
    np.testing.assert_allclose(raised.scores, [0.5 + 0.5 * 0.4, 0.5, 0.5, 1])
    np.testing.assert_allclose(metrics.rescore(first, second, weight=0.5).scores[:2], [0.6, 0.5])
    np.testing.assert_allclose(metrics.rescore(first, second, iou=0.3).scores[2], 0.5 + 0.5 / 3)
    assert first.scores.tolist() == [0.5, 0.5, 0.5, 1] and (raised.boxes == first.boxes).all()
    assert metrics.rescore(first, one_image([], [])).scores.tolist() == first.scores.tolist()
    with pytest.raises(ArgumentError, match=r"scores 0\.\.1, found 2 to 2"):
        metrics.rescore(first, one_image([(A, 2, 0)], []))


# ---- reports -----------------------------------------------------------------------------------------


def test_a_report_says_what_its_parts_say(tmp_path: Path) -> None:
    images = example(1, classes=3, crowds=0, hard=0.1)
    report = metrics.measure(images, ["a", "b", "c", "none"])
    assert report.voc_2007 == metrics.mean_ap(metrics.precision_recall(images, 4), 11)
    assert report.coco.figures()["ap"] == metrics.coco_score(images, 4).ap
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["classes"][3]["voc_2010_ap"] is None and document["classes"][3]["best_thresh"] is None
    assert document["classes"][0]["darknet_ap"] == report.darknet.classes[0].ap
    assert document["voc_2010_map"] == pytest.approx(
        np.mean([row["voc_2010_ap"] for row in document["classes"][:3]])
    )
    paths = report.write_csv(tmp_path / "new")
    assert [Path(path).name for path in paths] == ["classes.csv", "curves.csv", "confusion.csv", "errors.csv"]
    tables = [list(csv.DictReader(io.StringIO(Path(path).read_text()))) for path in paths]
    assert [row["name"] for row in tables[0]] == ["a", "b", "c", "none"] and tables[0][3]["best_f1"] == ""
    assert float(tables[0][0]["voc_2007_ap"]) == document["classes"][0]["voc_2007_ap"]
    assert len(tables[1]) == sum(len(curve.scores) for curve in report.curves)
    assert [[int(row[key]) for key in ("a", "b", "c", "none", "nothing")] for row in tables[2]] == document[
        "confusion"
    ]
    assert [int(row["correct"]) for row in tables[3]] == [row[0] for row in document["errors"]["counts"]]
    lines = report.lines()
    assert lines[1] == f"mAP@0.50  VOC 2007, 11 points  {100 * report.voc_2007:.2f} %"
    assert any(line.startswith("none             0       -       -") for line in lines)


def test_many_classes_print_their_confusions_as_a_list() -> None:
    image = one_image([(A, 0.9, 7), (B, 0.8, 3)], [(A, 5), (B, 3)])
    lines = metrics.measure([image], [f"n{k}" for k in range(30)]).lines()
    assert "      1  n5 taken for n7" in lines and not any("n3 taken" in line for line in lines)


def test_charts_are_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="no matplotlib")
    from PIL import Image

    from darknet_py.metrics.plots import write_plots

    for names in (["a", "b", "c"], [f"class {k}" for k in range(25)], ["alone"]):
        images = example(2, classes=len(names)) if len(names) > 1 else [one_image([], [])]
        paths = write_plots(metrics.measure(images, names), tmp_path)
        assert [Path(path).name for path in paths] == ["precision_recall.png", "confusion.png", "errors.png"]
        for path in paths:
            with Image.open(path) as picture:
                assert picture.size == (900, 700) and len(picture.convert("L").histogram()) == 256


def test_charts_without_matplotlib_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from darknet_py.metrics.plots import write_plots

    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'darknet-models\[plot\]'"):
        write_plots(metrics.measure([one_image([], [])], ["a"]), tmp_path)


# ---- commands ----------------------------------------------------------------------------------------

MODEL = [str(ROOT / "cfg" / "synth.cfg"), str(ROOT / "weights" / "synth.weights")]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synth.generate(tmp_path_factory.mktemp("drawn"), train=1, val=8, size=96, quiet=True)


def test_map_and_valid_give_the_same_figures(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["detector", "map", str(drawn), *MODEL, "-metrics", "-json", "-q"]) == 0
    by_map = json.loads(capsys.readouterr().out)
    assert main(["detector", "valid", str(drawn), *MODEL, "-metrics", "-json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == by_map["metrics"]
    assert by_map["metrics"]["voc_2010_map"] > 0.3
    assert by_map["metrics"]["darknet_map"] == pytest.approx(by_map["map"], abs=1e-6)
    assert main(["detector", "map", str(drawn), *MODEL, "-json"]) == 0
    assert "metrics" not in json.loads(capsys.readouterr().out)


def test_tables_and_files_of_map(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("similar.txt").write_text("circle, ring\nsquare,arrow,cross\n")
    assert main(["detector", "map", str(drawn), *MODEL, "-csv", "tables", "-similar", "similar.txt"]) == 0
    output = capsys.readouterr()
    assert "mean average precision (mAP@0.50)" in output.out and "VOC 2007, 11 points" in output.out
    assert sorted(path.name for path in Path("tables").iterdir()) == [
        "classes.csv",
        "confusion.csv",
        "curves.csv",
        "errors.csv",
    ]
    assert str(Path("tables", "classes.csv")) in output.err
    Path("similar.txt").write_text("circle, wheel\n")
    assert main(["detector", "map", str(drawn), *MODEL, "-metrics", "-similar", "similar.txt"]) == 1
    assert "'wheel' is none of the 8 classes" in capsys.readouterr().err


# ---- result files ------------------------------------------------------------------------------------


def test_valid_files_measure_as_the_detections_they_hold(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["detector", "valid", str(drawn), *MODEL, "-metrics", "-json", "-q"]) == 0
    direct = json.loads(capsys.readouterr().out)["metrics"]
    assert main(["detector", "score", str(drawn), "results", "-json", "-csv", "tables"]) == 0
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert document["voc_2010_map"] == pytest.approx(direct["voc_2010_map"], abs=2e-3)
    assert document["coco"]["ap"] == pytest.approx(direct["coco"]["ap"], abs=5e-3)
    assert [row["truths"] for row in document["classes"]] == [row["truths"] for row in direct["classes"]]
    assert Path("tables", "errors.csv").exists() and "tables" in output.err
    assert main(["detector", "score", str(drawn), "results"]) == 0
    assert "VOC 2010, area" in capsys.readouterr().out


def test_coco_files_measure_as_the_detections_they_hold(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = []
    for number, path in enumerate(DataFile(drawn).images("valid"), 1):
        picture = tmp_path / f"set_{number:06d}{Path(path).suffix}"
        picture.write_bytes(Path(path).read_bytes())
        picture.with_suffix(".txt").write_bytes(Path(find_label(path)).read_bytes())
        pictures.append(f"{picture}\n")
    Path("list.txt").write_text("".join(pictures))
    names = DataFile(drawn).names
    assert names
    Path("names.txt").write_text("\n".join(names))
    Path("coco.data").write_text("classes=8\nvalid=list.txt\nnames=names.txt\neval=coco\n")
    assert main(["detector", "valid", "coco.data", *MODEL, "-metrics", "-json", "-q"]) == 0
    direct = json.loads(capsys.readouterr().out)["metrics"]
    assert main(["detector", "score", "coco.data", "results/coco_results.json", "-json", "-q"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["coco"]["ap"] == pytest.approx(direct["coco"]["ap"], abs=1e-4)
    # A detector agrees with itself: scores rise together, and each class keeps its order.
    assert (
        main(
            ["detector", "rescore", *["results/coco_results.json"] * 2, "-out", "twice.json", "-weight", ".5"]
        )
        == 0
    )
    before, after = (
        json.loads(Path(path).read_text()) for path in ("results/coco_results.json", "twice.json")
    )
    for one, two in zip(before, after, strict=True):
        assert {**one, "score": 0} == {**two, "score": 0}
        assert two["score"] >= one["score"] + 0.5 * (1 - one["score"]) * one["score"] - 1e-9


def test_voc_files_are_rescored_line_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a" / "dog.txt").write_text("one 0.500000 1 1 11 11\ntwo 0.25 1 1 11 11\n")
    (tmp_path / "a" / "cat.txt").write_text("one 0.500000 1 1 11 11\n")
    (tmp_path / "b" / "dog.txt").write_text("\none 0.6 3 1 13 11\n")
    a, b, out = (str(tmp_path / name) for name in ("a", "b", "out"))
    assert main(["detector", "rescore", a, b, "-out", out]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{out}/cat.txt", f"{out}/dog.txt"]
    assert Path(out, "dog.txt").read_text() == "one 0.700000 1 1 11 11\ntwo 0.250000 1 1 11 11\n"
    assert Path(out, "cat.txt").read_text() == "one 0.500000 1 1 11 11\n"
    assert main(["detector", "rescore", a, b, "-out", out, "-iou", ".7"]) == 0
    assert Path(out, "dog.txt").read_text().startswith("one 0.500000")
    assert main(["detector", "rescore", a, b, "-out", a]) == 1
    assert "is another file of this command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("dog.txt", "one 0.5 1 1 11\n", r"dog\.txt:1: expected image score left top right bottom"),
        ("dog.txt", "one nan 1 1 11 11\n", r"dog\.txt:1: expected image score"),
        ("r.json", "{}", r"r\.json: expected a list of results, found dict"),
        ("r.json", "[", r"r\.json: no JSON"),
        (
            "r.json",
            '[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3], "score": 1}]',
            r"r\.json: result 0",
        ),
        ("r.json", "[3]", r"r\.json: result 0: expected image_id"),
    ],
)
def test_result_files_that_cannot_be_read_are_errors(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        files.read_results(tmp_path if name == "dog.txt" else file)


def test_results_of_other_pictures_or_classes_are_errors(tmp_path: Path) -> None:
    (tmp_path / "set_1.txt").write_text("0 .5 .5 .5 .5\n")
    results = tmp_path / "results"
    results.mkdir()
    with pytest.raises(DataError, match="no result files"):
        files.read_results(results)
    (results / "x_dog.txt").write_text("other 0.5 1 1 11 11\n")
    with pytest.raises(DataError, match=r"no result is about one of the 1 images \(such as set_1\)"):
        files.image_boxes(results, [str(tmp_path / "set_1.png")], ["dog"])
    with pytest.raises(DataError, match=r"x_dog\.txt: the name of this result file ends with none of the 2"):
        files.image_boxes(results, [str(tmp_path / "set_1.png")], ["cat", "a"])
    coco = tmp_path / "r.json"
    coco.write_text('[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 1}]')
    with pytest.raises(DataError, match="image 1: category 2 is none of the 1 classes"):
        files.image_boxes(coco, [str(tmp_path / "set_1.png")], ["dog"])


def test_the_longest_class_name_that_fits_a_file_is_its_class(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 20)).save(tmp_path / "one.png")
    (tmp_path / "one.txt").write_text("1 .5 .5 .5 .5\n")
    results = tmp_path / "results"
    results.mkdir()
    (results / "comp4_det_test_hot dog.txt").write_text("one 0.5 11 6 31 20\nelsewhere 0.5 1 1 2 2\n")
    (image,) = files.image_boxes(results, [str(tmp_path / "one.png")], ["dog", "hot dog"])
    assert image.class_id.tolist() == [1] and image.boxes.tolist() == [[10, 5, 30, 20]]
    assert image.truths.tolist() == [[10, 5, 30, 15]]
    (plain,) = files.image_boxes(results, [str(tmp_path / "one.png")], ["dog", "hot dog"], one_based=False)
    assert plain.boxes.tolist() == [[11, 6, 31, 20]]


def test_sizes_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    from PIL import Image

    from darknet_py.images import upright_size

    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert upright_size(tmp_path / "turned.jpg") == (20, 40)
    (tmp_path / "none.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"none\.png"):
        upright_size(tmp_path / "none.png")
    with pytest.raises(ImageError, match=r"missing\.png"):
        upright_size(tmp_path / "missing.png")

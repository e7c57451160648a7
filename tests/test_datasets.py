"""Data sets from one format into another: what goes round comes back, and what is wrong is counted."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("darknet_py._native", reason="the core is not built")

from darknet_py import data, datasets, evaluation, synth
from darknet_py.cli import main
from darknet_py.errors import ArgumentError, DataError
from darknet_py.names import COCO_NAMES

REAL = Path(__file__).resolve().parents[2] / "shared/real/detection"
DETECTION = ("darknet", "yolo", "coco", "voc")

Content = dict[str, list[tuple[str, list[tuple[str, bool]], list[list[float]]]]]


def content(dataset: datasets.Dataset) -> Content:
    """Everything that all formats of detection hold, comparable."""
    result: Content = {split: [] for split in dataset.splits}
    for split, rows in result.items():
        for picture in dataset.pictures(split):
            found = sorted(picture.annotations, key=lambda one: one.difficult)
            kinds = [(dataset.names[one.class_id], one.difficult) for one in found]
            boxes = [[one.x, one.y, one.w, one.h] for one in found]
            name = Path(picture.path).resolve().name
            rows.append((name, kinds, boxes))
        rows.sort(key=lambda row: row[0])
    return result


def assert_same(found: Content, expected: Content) -> None:
    assert found.keys() == expected.keys()
    for split, rows in expected.items():
        assert [row[:2] for row in found[split]] == [row[:2] for row in rows]
        for one, other in zip(found[split], rows, strict=True):
            # Labels are written with six digits, and VOC's whole pixels are restored from them.
            np.testing.assert_allclose(one[2], other[2], rtol=0, atol=4e-6, err_msg=one[0])


def read(path: Path, verify: str = "full") -> datasets.Dataset:
    reader: dict[str, Callable[..., datasets.Dataset]] = {
        "yolo": datasets.read_yolo,
        "coco": datasets.read_coco,
        "voc": datasets.read_voc,
        "darknet": datasets.read_darknet,
        "folders": datasets.read_class_folders,
    }
    return reader[datasets.format_of(path)](path, verify=verify)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes; the file names have spaces, letters beyond ASCII, and words that Darknet replaces."""
    folder = tmp_path_factory.mktemp("set")
    info = synth.generate(folder, train=8, val=5, size=96, quiet=True)
    for split, old, new in (("train", "00001", "Äpfel und  Birnen"), ("val", "00002", "strawberry")):
        listed = folder / f"{split}.txt"
        listed.write_text(listed.read_text().replace(old, new).replace("\n", "\r\n"), "utf-8-sig")
        image = folder / "images" / split / f"{new}.jpg"
        (folder / "images" / split / f"{old}.jpg").rename(image)
        (folder / "labels" / split / f"{old}.txt").rename(data.label_path(image))
    return info


# ---- round trips --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), list(permutations(DETECTION, 2)))
def test_nothing_changes_on_the_way_through_two_formats(
    shapes: Path, tmp_path: Path, first: str, second: str
) -> None:
    expected = content(read(shapes))
    assert sum(len(pictures) for pictures in expected.values()) == 13
    made = shapes
    for step, kind in enumerate((first, second, "darknet")):
        made = datasets.convert(made, tmp_path / f"{step} ü", to=kind).path
        if kind == "voc":
            assert not list(tmp_path.rglob("problems.txt"))
        assert_same(content(read(made)), expected)


def test_difficult_objects_go_all_the_way_to_the_evaluation(shapes: Path, tmp_path: Path) -> None:
    folder = datasets.convert(shapes, tmp_path / "voc", to="voc").path
    hard = 0
    for path in sorted((folder / "Annotations").glob("*.xml")):
        text = path.read_text()
        if "<object>" in text:
            path.write_text(text.replace("<difficult>0<", "<difficult>1<", 1))
            hard += 1
    expected = content(read(folder))
    for step, kind in enumerate(("yolo", "coco", "voc", "darknet")):
        folder = datasets.convert(folder, tmp_path / f"{step}", to=kind).path
        assert_same(content(read(folder)), expected)
    info = data.DataFile(folder)
    assert hard > 5 and sum(one[1] for _, kinds, _ in expected["valid"] for one in kinds) > 2
    images, entries = info.images("valid"), info.images("difficult")
    easy, excused = data.labels_of(images, 8), data.labels_of(entries, 8)
    assert len(images) == len(entries)
    score = evaluation.DetectionScore(8)
    for rows, more in zip(easy, excused, strict=True):
        both = np.concatenate([rows, more])
        score.add(evaluation.corners(both), np.full(len(both), 0.9, np.float32), both[:, 0], rows, more)
    result = score.result()
    assert result.tp == sum(map(len, easy)) and result.fp == 0  # found difficult ones don't count as wrong


def test_a_validation_list_can_be_drawn(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = datasets.convert(shapes, tmp_path / "voc", to="voc").path
    for path in (folder / "ImageSets/Main").glob("*.txt"):
        path.unlink()  # as people's own folders come
    first = folder / "Annotations" / "00003.xml"
    first.write_text(first.read_text().replace("<difficult>0<", "<difficult>1<", 1))
    everything = content(read(folder))["train"]
    made = [datasets.convert(folder, tmp_path / name / "set", valid=0.2).path for name in ("a", "b")]
    found = [content(read(one)) for one in made]
    assert found[0] == found[1]  # the same ones each time
    assert [len(found[0][split]) for split in ("train", "valid")] == [10, 3]
    together = sorted(found[0]["train"] + found[0]["valid"], key=lambda row: row[0])
    assert_same({"train": together}, {"train": everything})
    assert any(hard for _, kinds, _ in together for _, hard in kinds)
    info = data.DataFile(made[0])
    for key, of in (("train", "difficult_train"), ("valid", "difficult")):
        stems = [[Path(one).stem for one in info.images(name)] for name in (key, of)]
        assert stems[0] == stems[1]

    capsys.readouterr()
    assert main(["convert", str(made[0]), str(tmp_path / "again"), "-valid", ".2"]) == 1
    assert "has the splits train, valid" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
    with pytest.raises(ArgumentError, match="not for coco"):
        datasets.convert(folder, tmp_path / "coco", to="coco", valid=0.2)
    with pytest.raises(ArgumentError, match="less than 1, found 1"):
        datasets.convert(folder, tmp_path / "all", valid=1)


def test_what_coco_alone_holds_is_kept_for_coco_and_counted_for_others(shapes: Path, tmp_path: Path) -> None:
    made = datasets.convert(shapes, tmp_path / "coco", to="coco").path
    file = made / "instances_val.json"
    rows = json.loads(file.read_text())
    rows["annotations"][0] |= {"iscrowd": 1, "area": 5.5, "segmentation": {"size": [1, 1], "counts": [1]}}
    rows["images"] = [{**row, "id": row["id"] + 100} for row in rows["images"]]
    rows["annotations"] = [{**row, "image_id": row["image_id"] + 100} for row in rows["annotations"]]
    for row in rows["categories"]:
        row["id"] = 7 * row["id"]
    for row in rows["annotations"]:
        row["category_id"] *= 7
    file.write_text(json.dumps(rows))
    again = datasets.convert(file, tmp_path / "again", to="coco")
    assert not again.report.lost
    kept = json.loads((again.path / "instances_val.json").read_text())
    assert kept["images"] == rows["images"] and kept["categories"] == rows["categories"]
    assert kept["annotations"] == rows["annotations"]
    plain = datasets.convert(file, tmp_path / "plain", to="yolo")
    assert len(plain.report.lost) == 3 and set(plain.report.lost.values()) == {1}
    assert "not in the result: 1 outlines (segmentation)" in plain.report.lines()


def test_classes_of_pictures(tmp_path: Path) -> None:
    names = ["fire truck", "truck", "Ähre"]
    for split, count in (("train", 3), ("val", 2)):
        for name in names:
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (9, 8), (i, 0, 0)).save(folder / f"{i}.png")
    info = data.DataFile(datasets.convert(tmp_path / "set", tmp_path / "darknet").path)
    assert info.names == sorted(names)
    assert data.classes_of(info.images("train"), info.labels) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    back = datasets.convert(info.path, tmp_path / "back", to="folders", images="copy").path
    for path in (tmp_path / "set").rglob("*.png"):
        copy = back / path.relative_to(tmp_path / "set")
        assert copy.read_bytes() == path.read_bytes() and not copy.is_symlink()
    with pytest.raises(DataError, match="for detection, this is a set for classification"):
        datasets.convert(back, tmp_path / "coco", to="coco")
    assert not (tmp_path / "coco").exists()


def test_published_sets(tmp_path: Path) -> None:
    if not REAL.exists():
        pytest.skip("the published sets are not here")
    listed = tmp_path / "coco.txt"
    listed.write_text("".join(f"{path}\n" for path in sorted((REAL / "coco-train128/images").iterdir())))
    sources = {
        "bccd": (datasets.read_voc(REAL / "bccd/BCCD", verify="header"), (364, 4886)),
        "raccoon": (datasets.read_voc(REAL / "raccoon", verify="header"), (200, 217)),
        "coco": (datasets.read_darknet(listed, names=COCO_NAMES, verify="header"), (128, 929)),
    }
    for name, (dataset, counts) in sources.items():
        made = datasets.write_coco(dataset, tmp_path / f"{name}1")
        found = (
            dataset.report.totals[kind] - dataset.report.bad[kind] for kind in ("pictures", "annotations")
        )
        assert tuple(found) == counts
        expected = content(datasets.read_coco(made, verify="header"))
        for kind in ("darknet", "yolo", "voc"):
            made = datasets.convert(made, tmp_path / f"{name}-{kind}", to=kind, verify="header").path
        assert_same(content(read(made, verify="header")), expected)


# ---- what is wrong -------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A list of 20 pictures with one good box each, and a .data file."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for i in range(20):
        Image.new("RGB", (40, 20), (i, 9, 9)).save(tmp_path / f"images/{i:02d}.png")
        (tmp_path / f"labels/{i:02d}.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    (tmp_path / "list.txt").write_text("".join(f"images/{i:02d}.png\n" for i in range(20)))
    (tmp_path / "some.names").write_text("one\ntwo\n")
    (tmp_path / "some.data").write_text("classes = 2\ntrain = list.txt\nnames = some.names\n")
    return tmp_path / "some.data"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 .5 .5 .2 .2", "class 2 is not 0..1"),
        ("0.5 .5 .5 .2 .2", "class 0.5"),
        ("0 200 100 50 40", "are they pixels"),
        ("0 .1 .1 .2 .1 .2 .2 .1 .2", "polygon"),
        ("0 .5 .5 .2", "too few"),
        ("0 .5 .5 0 .2", "without area"),
        ("0 1.5 .5 .2 .2", "out of the picture"),
        ("0 .5 .5 1.5 .2", "larger than the picture"),
        ("0 .5 .5 -.1 .2", "negative"),
        ("0 .5 nan .1 .2", "not finite"),
        ("cat .5 .5 .1 .2", "expected five numbers"),
    ],
)
def test_bad_lines_are_listed_and_skipped(small: Path, line: str, message: str) -> None:
    label = small.parent / "labels/03.txt"
    label.write_text(f"\n{line}\n1 0.5 0.5 0.25 0.5\n")
    made = datasets.convert(small, small.parent / "out", to="yolo")
    assert dict(made.report.bad) == {"annotations": 1}
    listed = (small.parent / "out/problems.txt").read_text()
    assert listed.startswith(f"{label}:2: ") and message in listed
    assert (small.parent / "out/labels/train/03.txt").read_text() == "1 0.5 0.5 0.25 0.5\n"


def test_too_many_problems_stop_and_leave_nothing(small: Path) -> None:
    for i in range(3):
        (small.parent / f"labels/{i:02d}.txt").write_text("9 .5 .5 .1 .1\n")
    before = sorted(small.parent.rglob("*"))
    with pytest.raises(DataError, match=r"3 of 20 annotations are wrong(.|\n)*00\.txt:1: class 9"):
        datasets.convert(small, small.parent / "out")
    assert sorted(small.parent.rglob("*")) == before
    assert datasets.convert(small, small.parent / "out", most_bad=0.15).report.bad["annotations"] == 3


def test_unreadable_pictures_and_missing_labels(small: Path) -> None:
    folder = small.parent
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(folder / "images/00.png")
    whole = (folder / "images/00.png").read_bytes()
    (folder / "images/00.png").write_bytes(whole[: len(whole) // 2])  # the header says nothing about that
    (folder / "images/01.png").write_bytes(b"no picture")
    (folder / "labels/02.txt").unlink()
    made = datasets.convert(small, folder / "out", to="coco")
    assert dict(made.report.bad) == {"pictures": 2, "label files": 1}
    problems = list(made.report.problems())
    assert [f"images/0{i}.png" in line for i, line in enumerate(problems)] == [True] * 3
    assert problems[0].startswith(f"{folder / 'list.txt'}:1: ")
    trusting = datasets.convert(small, folder / "header", to="coco", verify="header")
    assert dict(trusting.report.bad) == {"pictures": 1, "label files": 1}


def test_pictures_of_every_kind_keep_their_boxes(tmp_path: Path) -> None:
    """16 bits, CMYK, palettes, and turned by EXIF: labels are about the upright picture."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    Image.fromarray(np.full((20, 40), 40000, np.uint16)).save(tmp_path / "images/deep.png")
    Image.new("CMYK", (40, 20), (9, 9, 9, 9)).save(tmp_path / "images/print.jpg")
    Image.new("P", (40, 20)).save(tmp_path / "images/palette.gif")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (20, 40)).save(tmp_path / "images/turned.jpg", exif=turned)
    names = ("deep.png", "print.jpg", "palette.gif", "turned.jpg")
    (tmp_path / "list.txt").write_text("".join(f"images/{name}\n" for name in names))
    for name in names:
        (tmp_path / "labels" / name).with_suffix(".txt").write_text("0 0.5 0.5 0.5 0.5\n")
    for verify in ("full", "header"):
        dataset = datasets.read_darknet(tmp_path / "list.txt", names=["x"], verify=verify)
        made = datasets.write_coco(dataset, tmp_path / verify)
        content = json.loads((made / "instances_train.json").read_text())
        assert [(row["width"], row["height"]) for row in content["images"]] == [(40, 20)] * 4
        assert [row["bbox"] for row in content["annotations"]] == [[10, 5, 20, 10]] * 4
    file = tmp_path / "full/annotations/instances_train.json"
    content["images"][3] |= {"width": 20, "height": 40}
    file.write_text(json.dumps(content))
    again = datasets.read_coco(file, most_bad=0.5)
    assert len(list(again.pictures("train"))) == 3
    assert "turned.jpg" not in again.report.first[0] and "EXIF" in again.report.first[0]


def test_the_label_rule_is_said(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small.parent
    for i in range(5):
        (folder / f"labels/{i:02d}.txt").rename(folder / f"images/{i:02d}.txt")
    assert main(["convert", str(small), str(folder / "out"), "-to", "voc"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{folder / 'out'}\n"
    assert "Darknet's rule, the first 'images' becomes 'labels': 15 pictures" in said.err
    assert "not Darknet's rule: beside the picture: 5 pictures" in said.err


def test_places_that_darknets_rule_would_miss_are_refused(small: Path) -> None:
    with pytest.raises(DataError, match="name a folder without"):
        datasets.convert(small, small.parent / "raw" / "out")
    with pytest.raises(ArgumentError, match="by the place of the picture"):
        datasets.convert(small, small.parent / "out", images="reference")
    with pytest.raises(ArgumentError, match="is inside"):
        datasets.convert(small.parent, small.parent / "out")
    with pytest.raises(DataError, match="not empty"):
        datasets.convert(small, small.parent / "images")


def test_equal_names_stay_apart(tmp_path: Path) -> None:
    for i, kind in enumerate(("a.png", "a.jpg", "b/a.png")):
        image = tmp_path / "images" / kind
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8 + i, 8)).save(image)
    label = tmp_path / "labels/a.txt"
    label.parent.mkdir()
    label.write_text("0 .5 .5 .5 .5\n")
    (tmp_path / "labels/b").mkdir()
    (tmp_path / "labels/b/a.txt").write_text("")
    (tmp_path / "list.txt").write_text("images/a.png\nimages/a.jpg\nimages/b/a.png\n")
    dataset = datasets.read_darknet(tmp_path / "list.txt", names=["x"])
    made = datasets.write_yolo(dataset, tmp_path / "out")
    found = [(one.size[0], len(one.annotations)) for one in datasets.read_yolo(made).pictures("train")]
    assert sorted(found) == [(8, 1), (9, 1), (10, 0)]


def test_a_long_list_is_read_line_by_line(tmp_path: Path) -> None:
    listed = tmp_path / "long.txt"
    with listed.open("w") as file:
        for i in range(8_000):
            file.write(f"folder/{i:050d}.jpg\n")
    tracemalloc.start()
    count = sum(1 for _ in data.stream_list(listed))
    dataset = datasets.read_darknet(listed, names=["x"], verify="header", most_bad=1)
    pictures = sum(1 for _ in zip(range(5), dataset.pictures("train"), strict=False))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 8_000 and pictures == 0 and dataset.report.bad["pictures"] == 8_000
    assert peak < 600_000  # the paths alone have 900,000 bytes


# ---- data.yaml --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [cat, 'don''t', \"a: \\u00e4\"]", ["cat", "don't", "a: ä"]),
        ("names: ['a',\n        'b', # last\n       ]", ["a", "b"]),
        ("names:\n- a # first\n- b c\n", ["a", "b c"]),
        ("names:\n  - 'a # b'\n  - b#c\n", ["a # b", "b#c"]),
        ("names:\n  0: a\n  1: hot dog\n", {"0": "a", "1": "hot dog"}),
        ("names: {0: a, 1: 'b, c'}", {"0": "a", "1": "b, c"}),
        ("names:\r\n  0: a\r\n\r\n  1: b\r\n", {"0": "a", "1": "b"}),
    ],
)
def test_yaml(tmp_path: Path, text: str, names: object) -> None:
    path = tmp_path / "data.yaml"
    script = "download: |\n  import os\n  x: [1,\n\n  y = {\nlast: ~\n"
    path.write_bytes(f"\ufeff# c\n---\npath: ../a b # c\n{text}\n{script}".encode())
    assert datasets.read_yaml(path) == {
        "path": "../a b",
        "names": names,
        "download": "import os\nx: [1,\n\ny = {",
        "last": "",
    }


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("train: a\ntrain: b", 2, "given twice"),
        ("names: [a, b", 1, "never closed"),
        ("names: [[a], b]", 1, "lists in lists"),
        ("names:\n  - a:\n      b: c", 2, "plain list item"),
        ("names:\n  0:\n    b: c", 3, "nested deeper"),
        ("a: &x 1", 1, "not understood"),
        ("a: !!python/object:os.system x", 1, "not understood"),
        ("a: 'x", 1, "quotes"),
        ("just text", 1, "expected key: value"),
        ("a:\n\tb: c", 2, "tab"),
        ("a: b: c", 1, "not understood"),
        ("  a: b", 1, "indentation"),
    ],
)
def test_yaml_that_is_not_understood_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"data\.yaml:{line}: .*{message}"):
        datasets.read_yaml(path)


def test_yolo_folders_as_they_are_published(tmp_path: Path) -> None:
    """train/images beside train/labels, reached through ../; a list of folders; a list file."""
    for split in ("train", "valid", "more"):
        (tmp_path / split / "images").mkdir(parents=True)
        (tmp_path / split / "labels").mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / split / "images/x.jpg")
        (tmp_path / split / "labels/x.txt").write_text("0 .5 .5 .5 .5\n")
    (tmp_path / "list.txt").write_text("./more/images/x.jpg\n")
    path = tmp_path / "data.yaml"
    path.write_text(
        "train: [../train/images, list.txt]\nval: ../valid/images\ntest: ../test\nnc: 1\nnames: ['x']"
    )
    dataset = datasets.read_yolo(tmp_path)
    assert {split: len(list(dataset.pictures(split))) for split in dataset.splits} == {"train": 2, "valid": 1}
    assert not dataset.report.bad and dataset.report.totals["annotations"] == 3
    path.write_text("train: train/images\nnc: 2\nnames: ['x']")
    with pytest.raises(DataError, match="nc is '2', but 1"):
        datasets.read_yolo(path)


# ---- COCO and VOC files -----------------------------------------------------------------------------------


def test_json_and_xml_that_are_wrong_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"images": [],\n "annotations": [,]}')
    with pytest.raises(DataError, match=r"bad\.json:2: no JSON"):
        datasets.read_coco(bad)
    bad.write_text('{"images": [], "annotations": 3, "categories": []}')
    with pytest.raises(DataError, match="list of objects under 'annotations'"):
        datasets.read_coco(bad)
    notes = tmp_path / "voc" / "Annotations"
    notes.mkdir(parents=True)
    Image.new("RGB", (40, 20)).save(notes.parent / "good.png")
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>9</ymax></bndbox>"
    rows = [("cat", box.format(5)), ("", box.format(5)), ("cat", ""), ("cat", box.format("x")), ("cat", "")]
    objects = "".join(f"<object><name>{name}</name>{inside}</object>\n" for name, inside in rows)
    (notes / "good.xml").write_text(f"<annotation>\n{objects}</annotation>")
    (notes / "open.xml").write_text("<annotation>\n<object>")
    entity = '<!DOCTYPE a [<!ENTITY b "c">]><annotation><filename>good.png</filename></annotation>'
    (notes / "entity.xml").write_text(entity)
    dataset = datasets.read_voc(notes.parent, most_bad=1)
    assert [len(one.annotations) for one in dataset.pictures("train")] == [1]
    problems = "\n".join(dataset.report.problems())
    assert dict(dataset.report.bad) == {"pictures": 2, "annotations": 4}
    for part in (
        "open.xml:2: no XML",
        "entity.xml:1: a document type",
        "good.xml:3: the class ''",
        "5: bndbox",
    ):
        assert part in problems


def test_annotations_of_no_image_are_counted(small: Path) -> None:
    made = datasets.convert(small, small.parent / "coco", to="coco").path / "instances_train.json"
    rows = json.loads(made.read_text())
    for row in rows["annotations"][:2]:
        row["image_id"] = 99
    rows["annotations"][2]["category_id"] = 99
    made.write_text(json.dumps(rows))
    back = datasets.convert(made, small.parent / "back", to="yolo", most_bad=0.2)
    assert back.report.bad["annotations"] == 3 and back.report.totals["annotations"] == 20
    assert "there is no category 99" in "".join(back.report.problems())

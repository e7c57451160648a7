"""`check DATA CFG`: data sets with one mistake each and the finding that it must give; sound ones with none."""
# ruff: noqa: E501 (one row of a table, one line)

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_sets import CFG, LABELS, classification_set, detection_set, picture
from PIL import Image

pytest.importorskip("darknet_py._native", reason="the core is not built")

from darknet_py import datasets
from darknet_py.checking import Diagnosis, check_network, check_training, memory, pictures, survey
from darknet_py.cli import main

GIGABYTE = 1 << 30


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine", lambda: memory.Machine(8 * GIGABYTE, 8 * GIGABYTE))


def bad(found: Diagnosis) -> list[tuple[str, str]]:
    """Severity and code of all that is no note, each once."""
    rows = [(one.severity, one.code) for one in found.report if one.severity != "note"]
    return list(dict.fromkeys(rows))


def notes(found: Diagnosis) -> list[str]:
    return [one.code for one in found.report if one.severity == "note"]


def check(folder: Path, cfg: str | None = "my.cfg") -> Diagnosis:
    return check_training(folder / "my.data", folder / cfg if cfg else None)


# ---- sound ones -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [detection_set, classification_set])
def test_sound_sets_have_nothing(make: Callable[[Path], Path], tmp_path: Path) -> None:
    found = check(make(tmp_path))
    assert bad(found) == [], "\n".join(map(str, found.report))
    assert "data-set" in notes(found) and "memory" in notes(found)


def test_sound_sets_of_other_formats_have_nothing(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    source = detection_set(tmp_path / "set")
    for to in ("yolo", "coco", "voc"):
        made = datasets.convert(source / "my.data", tmp_path / to, to=to).path
        found = check_training(made, source / "my.cfg")
        assert bad(found) == [], (to, [str(one) for one in found.report])
        told = {one.code: str(one) for one in found.report}
        assert "train: 24 pictures with 96 boxes, valid: 6" in told["data-set"]
    shutil.rmtree(tmp_path / "set")
    (tmp_path / "set").mkdir()
    source = classification_set(tmp_path / "set")
    made = datasets.convert(
        source / "my.data", tmp_path / "folders", to="folders", names=["apple", "pear"]
    ).path
    assert bad(check_training(made, source / "my.cfg")) == []


def test_a_data_set_is_checked_without_a_network_too(tmp_path: Path) -> None:
    assert bad(check(detection_set(tmp_path), None)) == []
    (tmp_path / "labels/0.txt").write_text(LABELS + "2 .5 .5 .1 .1\n")
    assert bad(check(tmp_path, None)) == [("warning", "label-class")]


def test_the_label_rule_is_told_with_an_example(tmp_path: Path) -> None:
    detection_set(tmp_path)
    for i in range(3):
        shutil.move(tmp_path / f"labels/{i}.txt", tmp_path / f"images/{i}.txt")
    rules = [str(one) for one in check(tmp_path).report if one.code == "label-rule"]
    assert len(rules) == 2
    assert any("as in Darknet" in one and "labels/3.txt (27 pictures)" in one for one in rules)
    assert any("not as in Darknet" in one and "images/0.txt (3 pictures)" in one for one in rules)


# ---- one mistake each: (what is done to a sound set, all that must be found, file:line, part of the text) ----


def label(text: str, *more: int) -> Callable[[Path], None]:
    """Other labels of the first picture, and of others."""

    def change(folder: Path) -> None:
        for i in (0, *more):
            (folder / f"labels/{i}.txt").write_text(text)

    return change


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def relabel(change: Callable[[int], str], valid: bool = False) -> Callable[[Path], None]:
    """New labels of all training pictures, and of those for validation."""
    numbers = [*range(24), *(range(100, 106) if valid else ())]
    return lambda folder: [(folder / f"labels/{i}.txt").write_text(change(i)) for i in numbers] and None


def save(
    make: Callable[[Image.Image], Image.Image], name: str = "0.png", **options: object
) -> Callable[[Path], None]:
    return lambda folder: make(Image.open(folder / "images/0.png")).save(folder / "images" / name, **options)


def jpeg(**options: object) -> Callable[[Path], None]:
    """The first picture as a JPEG file, with other options."""

    def change(folder: Path) -> None:
        made = Image.open(folder / "images/0.png").convert(str(options.get("mode", "RGB")))
        exif = Image.Exif()
        exif[0x0112] = options.get("turned", 1)
        made.save(folder / "images/0.jpg", exif=exif)
        if options.get("cut"):
            raw = (folder / "images/0.jpg").read_bytes()
            (folder / "images/0.jpg").write_bytes(raw[: len(raw) // 2])
        edit("train.txt", "images/0.png", "images/0.jpg")(folder)

    return change


def copy_to_valid(change: Callable[[Image.Image], Image.Image] | None) -> Callable[[Path], None]:
    """A validation picture that training has: the file itself, or changed."""

    def run(folder: Path) -> None:
        if change is None:
            shutil.copy(folder / "images/5.png", folder / "images/100.png")
        else:
            change(Image.open(folder / "images/5.png")).save(folder / "images/100.png")

    return run


LAST = "1 .5 .4 .63 .64"

SPOILED = [
    # labels
    ("class", label(LABELS + "2 .5 .5 .2 .2\n"), [("warning", "label-class")], "labels/0.txt:5", "0..1; classes count from 0: set classes=3"),
    ("negative class", label(LABELS + "-1 .5 .5 .2 .2\n"), [("warning", "label-class")], "labels/0.txt:5", "class -1"),
    ("half a class", label(LABELS + ".5 .5 .5 .2 .2\n"), [("warning", "label-class")], "labels/0.txt:5", "class .5"),
    ("pixels", label(LABELS + "0 50 40 20 20\n"), [("warning", "label-pixels")], "labels/0.txt:5", "relative"),
    ("polygon", label(LABELS + "0 .1 .1 .2 .1 .2 .2 .1 .2\n"), [("warning", "label-polygon")], "labels/0.txt:5", "a polygon (segmentation)"),
    ("four values", label(LABELS + "0 .1 .1 .2\n"), [("warning", "label-fields")], "labels/0.txt:5", "4 values"),
    ("words", label(LABELS + "apple .5 .5 .2 .2\n"), [("warning", "label-fields")], "labels/0.txt:5", "'apple .5"),
    ("not finite", label(LABELS + "0 nan .5 .2 .2\n"), [("warning", "label-outside")], "labels/0.txt:5", "not finite"),
    ("centre outside", label(LABELS + "0 1.2 .5 .2 .2\n"), [("warning", "label-outside")], "labels/0.txt:5", "outside the picture"),
    ("negative size", label(LABELS + "0 .2 .5 -.2 .2\n"), [("warning", "label-outside")], "labels/0.txt:5", "impossible"),
    ("no area", label(LABELS + "0 .2 .5 0 .2\n"), [("warning", "label-area")], "labels/0.txt:5", "no area"),
    ("hardly any area", label(LABELS + "0 .2 .5 .0005 .2\n"), [("warning", "label-area")], "labels/0.txt:5", "hardly any"),
    ("twice", label(LABELS + "0 .5 .5 .05 .06\n"), [("warning", "label-duplicate")], "labels/0.txt:5", "as on line 1"),
    ("sticks out", relabel(lambda i: LABELS.replace("1 .5 .4 .63 .64", "1 .2 .4 .63 .64")), [("warning", "label-edges")], "labels/0.txt:4", "by 12 %"),
    ("corners", relabel(lambda i: "0 .05 .05 .3 .3\n1 .4 .4 .8 .9\n0 .1 .2 .9 .8\n1 .02 .03 .12 .14\n0 .01 .01 .06 .07\n", True), [("warning", "label-edges"), ("warning", "label-corners"), ("warning", "anchors-iou")], "my.data", "corners x1 y1 x2 y2"),
    ("one missing", lambda folder: (folder / "labels/0.txt").unlink(), [("warning", "label-missing")], "train.txt:1", "no such label file"),
    ("all missing", lambda folder: shutil.rmtree(folder / "labels"), [("error", "label-missing"), ("error", "no-truth")], "train.txt:1", "no such label file"),
    ("all pixels", relabel(lambda i: LABELS.replace(".", "")), [("error", "label-pixels"), ("error", "no-truth")], "labels/0.txt:1", "are pixels"),
    ("all polygons", relabel(lambda i: "0 .1 .1 .2 .1 .2 .2 .1 .2\n"), [("error", "label-polygon"), ("error", "no-truth")], "labels/0.txt:1", "a polygon"),
    ("all empty", relabel(lambda i: ""), [("error", "no-truth")], "my.data", "not one of the 24"),
    # classes
    ("an empty class", relabel(lambda i: LABELS.replace("1 ", "0 ", 9)), [("warning", "class-empty"), ("warning", "class-split")], "my.data", "learned: pear"),
    ("counts from 1", relabel(lambda i: LABELS.replace("1 ", "2 ").replace("0 ", "1 ")), [("error", "label-class"), ("warning", "class-empty"), ("warning", "class-split")], "my.data", "count from 1"),
    ("few of a class", relabel(lambda i: "1 .5 .5 .05 .06\n" if i < 9 else "0 .5 .5 .05 .06\n0 .4 .6 .11 .12\n0 .5 .5 .32 .34\n0 .5 .4 .63 .64\n"), [("warning", "class-few")], "my.data", "pear (9)"),
    ("most of one class", relabel(lambda i: LABELS if i < 5 else "".join(f"0 .{50 + k} .5 .05 .06\n" for k in range(9)) + "0 .4 .6 .11 .12\n0 .5 .5 .32 .34\n0 .5 .4 .63 .64\n"), [("warning", "class-share")], "my.data", "are of class apple"),
    ("classes of the .data", edit("my.data", "classes=2", "classes=3"), [("error", "classes"), ("error", "names")], "my.data:1", "classes=3, but the network has 2"),
    ("classes of the heads", edit("my.cfg", "classes=2", "classes=3"), [("error", "filters"), ("error", "classes"), ("warning", "names"), ("warning", "class-empty")], "my.cfg:18", "2 * (5 + 3) = 16"),
    ("too few names", edit("my.names", "pear\n", ""), [("warning", "names"), ("error", "names")], "my.names", "1 names for"),
    ("two equal names", edit("my.names", "pear", "apple"), [("warning", "names")], "my.names:2", "a second class of the name 'apple'"),
    ("no names", edit("my.data", "my.names", "your.names"), [("error", "names")], "my.data:4", "no file your.names"),
    # lists
    ("no valid", edit("my.data", "valid=valid.txt\n", ""), [("warning", "valid-list")], "my.data", "add valid = FILE"),
    ("valid is missing", edit("my.data", "valid.txt", "nothing.txt"), [("warning", "valid-list")], "my.data:3", "no file nothing.txt"),
    ("no train", edit("my.data", "train=train.txt\n", ""), [("error", "train-list")], "my.data", "add train = FILE"),
    ("empty list", lambda folder: (folder / "train.txt").write_text("\n"), [("error", "train-list")], "my.data", "this image list is empty"),
    ("no number", edit("my.data", "classes=2", "classes=two"), [("error", "data")], "my.data:1", "'two'"),
    ("a picture twice", edit("train.txt", "images/1.png", "images/0.png"), [("warning", "train-twice")], "train.txt:2", "the same picture as line 1"),
    ("twice for validation", edit("valid.txt", "images/101.png", "images/100.png"), [("warning", "valid-twice")], "valid.txt:2", "line 1"),
    ("a missing picture", edit("train.txt", "images/0.png", "images/x.png"), [("warning", "picture-missing"), ("warning", "label-missing")], "train.txt:1", "there is no picture"),
    ("missing pictures", edit("train.txt", "images", "pictures"), [("error", "picture-missing"), ("error", "label-missing")], "train.txt:1", "there is no picture"),
    # what training and validation share
    ("shared file", edit("valid.txt", "images/100.png", "images/5.png"), [("warning", "overlap-file")], "valid.txt:1", "train.txt:6"),
    ("shared bytes", copy_to_valid(None), [("warning", "overlap-bytes")], "valid.txt:1", "the same bytes"),
    ("shared look", copy_to_valid(lambda one: one.resize((200, 180)).resize((96, 96))), [("warning", "overlap-near")], "valid.txt:1", "of 64 bits"),
    # pictures
    ("no picture", lambda folder: (folder / "images/0.png").write_text("<html>"), [("warning", "picture-unreadable")], "train.txt:1", "no picture in a known format"),
    ("truncated", jpeg(cut=True), [("warning", "picture-unreadable")], "train.txt:1", "truncated"),
    ("many unreadable", lambda folder: [(folder / f"images/{i}.png").write_text("x") for i in range(12)] and None, [("error", "picture-unreadable")], "train.txt:1", "no picture in a known format"),
    ("turned", jpeg(turned=6), [("warning", "picture-exif")], "train.txt:1", "EXIF orientation 6"),
    # sizes
    ("tiny boxes", relabel(lambda i: LABELS + "0 .2 .2 .02 .02\n"), [("warning", "box-tiny")], "my.cfg:2", "20 % of the boxes are narrower or lower than 4 pixels"),
    ("boxes in a cell", relabel(lambda i: LABELS + "".join(f"0 .2{k} .2 .02 .02\n" for k in range(9))), [("warning", "box-tiny"), ("warning", "box-cell"), ("warning", "anchors-iou")], "my.cfg:32", "finest grid, 4 x 4 pixels"),
    ("other anchors", edit("my.cfg", "4,5, 10,12, 30,32, 60,61", "9,90, 90,9, 8,80, 80,8"), [("warning", "mask-order"), ("warning", "anchors-iou")], "my.cfg:22", "k-means finds"),
    ("a head without a box", relabel(lambda i: "0 .5 .5 .32 .34\n1 .5 .4 .63 .64\n1 .4 .4 .33 .35\n0 .6 .6 .6 .62\n"), [("warning", "head-unused")], "my.cfg:33", "never gets a box: its anchors 4x5, 10x12"),
    # [net]
    ("few epochs", edit("my.cfg", "max_batches=100", "max_batches=20"), [("warning", "schedule"), ("warning", "epochs")], "my.cfg:6", "3.3 epochs"),
    ("burn-in", edit("my.cfg", "batch=4", "batch=4\nburn_in=50"), [("warning", "burn-in")], "my.cfg:6", "50 % of max_batches"),
    ("one image", edit("my.cfg", "batch=4", "batch=1"), [("warning", "batch-one"), ("warning", "epochs")], "my.cfg:5", "for testing"),
    ("high rate", edit("my.cfg", "batch=4", "batch=4\nlearning_rate=.05"), [("warning", "rate")], "my.cfg:6", "without burn_in"),
    ("low rate", edit("my.cfg", "batch=4", "batch=4\nlearning_rate=1e-9"), [("warning", "rate")], "my.cfg:6", "so low"),
    ("high rate for Adam", edit("my.cfg", "batch=4", "batch=4\nadam=1\nlearning_rate=.01"), [("warning", "rate")], "my.cfg:7", "high for Adam"),
    ("odd size and random", lambda folder: (folder / "my.cfg").write_text(CFG.replace("=96", "=104") + "random=1\n"), [("warning", "random-size")], "my.cfg:2", "set width=96"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected", "place", "part"), [pytest.param(*row[1:], id=row[0]) for row in SPOILED]
)
def test_a_mistake_gives_its_finding_and_no_other(
    change: Callable[[Path], None], expected: list[tuple[str, str]], place: str, part: str, tmp_path: Path
) -> None:
    detection_set(tmp_path)
    change(tmp_path)
    found = check(tmp_path)
    text = "\n".join(map(str, found.report))
    assert sorted(bad(found)) == sorted(expected), text
    start = f"{tmp_path / place.partition(':')[0]}:{place.partition(':')[2]}".rstrip(":") + ": "
    told = [str(one) for one in found.report if str(one).startswith(start)]
    assert any(part in one and one.split(": ")[1] in ("error", "warning") for one in told), text
    assert found.report.status() == any(severity == "error" for severity, _ in expected)


def test_unusual_pictures_are_counted_and_listed(tmp_path: Path) -> None:
    detection_set(tmp_path)
    wide = np.asarray(picture(0).convert("L")).astype(np.uint16) * 257
    Image.fromarray(wide).save(tmp_path / "images/0.png")
    picture(1).convert("CMYK").save(tmp_path / "images/c.jpg")
    edit("train.txt", "images/1.png", "images/c.jpg")(tmp_path)
    shutil.copy(tmp_path / "labels/1.txt", tmp_path / "labels/c.txt")
    found = check(tmp_path)
    assert bad(found) == []
    told = {one.code: str(one) for one in found.report}
    assert f"{tmp_path}/train.txt:1: note: " in told["picture-16bit"]
    assert f"{tmp_path}/train.txt:2: note: " in told["picture-cmyk"]


def test_every_cut_of_a_jpeg_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    for progressive in (False, True):
        picture(3, 300).save(path, quality=95, progressive=progressive)
        raw = path.read_bytes()
        for part in range(1, 10):
            path.write_bytes(raw[: len(raw) * part // 10])
            assert pictures.look(pictures.Listed("list", 1, str(path))).problem, part
        path.write_bytes(raw)
        assert not pictures.look(pictures.Listed("list", 1, str(path))).problem


def test_classifiers_have_classes_in_paths(tmp_path: Path) -> None:
    classification_set(tmp_path)
    shutil.move(tmp_path / "train/apple/0.png", tmp_path / "train/0.png")
    edit("train.txt", "train/apple/0.png", "train/0.png")(tmp_path)
    assert bad(check(tmp_path)) == [("warning", "label-class")]
    edit("train.txt", "train/0.png\n", "")(tmp_path)
    edit("my.cfg", "filters=2", "filters=3")(tmp_path)
    assert ("error", "classes") in bad(check(tmp_path))


def test_a_data_set_for_another_task_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    boxes, classes = detection_set(tmp_path / "a"), classification_set(tmp_path / "b")
    made = datasets.convert(boxes / "my.data", tmp_path / "yolo", to="yolo").path
    assert bad(check_training(made, classes / "my.cfg")) == [("error", "task")]
    assert ("error", "task") in bad(check_training(classes / "train", boxes / "my.cfg"))


def test_annotations_of_other_formats_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    source = detection_set(tmp_path / "set")
    made = datasets.convert(source / "my.data", tmp_path / "voc", to="voc").path
    text = (made / "Annotations/0.xml").read_text()
    (made / "Annotations/0.xml").write_text(text.replace("<name>pear</name>", "<name>plum</name>", 1))
    found = check_training(made, source / "my.cfg")
    assert bad(found) == [("warning", "annotation")]
    assert "Annotations/0.xml:" in str(found.report.warnings[0]) and "plum" in str(found.report.warnings[0])
    (made / "Annotations/1.xml").write_text("<annotation>")
    assert ("warning", "picture") in bad(check_training(made, source / "my.cfg"))


# ---- parts ------------------------------------------------------------------------------------------------


def test_hashes_tell_pictures_apart_and_know_them_again() -> None:
    hashes = np.array([pictures.difference_hash(picture(i).convert("L")) for i in range(40)], np.uint64)
    assert [*pictures.near_pairs(hashes, hashes, 4)] == [(i, i, 0) for i in range(40)]
    assert not list(pictures.near_pairs(hashes[:20], hashes[20:], 4))
    assert not list(pictures.near_pairs(hashes, hashes[:0], 4)) + list(
        pictures.near_pairs(hashes[:0], hashes, 4)
    )
    assert pictures.difference_hash(Image.new("L", (90, 90), 7)) is None
    random = np.random.default_rng(0)
    others = random.integers(0, 1 << 64, 500, np.uint64)
    changed = np.array(
        [sum(1 << int(k) for k in random.permutation(64)[: i % 7]) for i in range(200)], np.uint64
    )
    expected = [(i, i, i % 7) for i in range(200) if i % 7 <= 4]
    assert [*pictures.near_pairs(others[:200] ^ changed, np.tile(others, 2), 4)] == expected
    ones = pictures._ones(np.array([0, 1, 3, (1 << 64) - 1, 1 << 63], np.uint64))
    assert ones.tolist() == [0, 1, 2, 64, 1]


def test_a_sample_of_sizes_is_fair() -> None:
    sizes = survey.Sizes(500)
    for i in range(20_000):
        sizes.add(i, 1)
    assert sizes.values.shape == (500, 2) and sizes.count == 20_000
    assert 9000 < sizes.values[:, 0].mean() < 11_000


@pytest.mark.parametrize(
    ("total", "free", "expected", "part"),
    [
        (8 * GIGABYTE, 8 * GIGABYTE, "note", ""),
        (8 * GIGABYTE, GIGABYTE // 4, "warning", "set subdivisions="),
        (1 << 20, 1 << 20, "error", "smaller network"),
        (0, 0, "note", ""),
    ],
)
def test_memory_is_compared_with_the_machine(
    total: int, free: int, expected: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detection_set(tmp_path)
    (tmp_path / "my.cfg").write_text(CFG.replace("=96", "=640").replace("batch=4", "batch=64"))
    monkeypatch.setattr(memory, "machine", lambda: memory.Machine(total, free))
    monkeypatch.setattr(memory, "CACHE_BYTES", 100 << 20)
    (told,) = [one for one in check(tmp_path).report if one.code == "memory"]
    assert told.severity == expected and part in told.hint and "64 pictures of 640 x 640" in told.message


def test_memory_of_many_lines_is_that_of_a_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "MOST_SIZES", 500)
    detection_set(tmp_path, labels="0 .5 .5 .32 .34\n")
    lines = (tmp_path / "train.txt").read_text()

    def peak(times: int) -> int:
        (tmp_path / "train.txt").write_text(lines * times)
        tracemalloc.start()
        try:
            found = check_training(tmp_path / "my.data", tmp_path / "my.cfg", most_opened=20)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert f"train: {24 * times} pictures" in str(found.report.findings)

    peak(1)  # imports
    few, many = peak(50), peak(150)
    assert many - few < 2_400 * 16, (few, many)  # no path of a line is kept


# ---- the command ------------------------------------------------------------------------------------------


def test_the_command_says_how_it_read_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = detection_set(tmp_path)
    assert main(["check", str(folder / "my.data"), str(folder / "my.cfg")]) == 0
    streams = capsys.readouterr()
    assert streams.err.startswith(f"DATA {folder / 'my.data'}, CFG {folder / 'my.cfg'}\n")
    assert streams.err.endswith(f"{folder / 'my.data'}: 0 errors, 0 warnings\n")
    assert all(": note: " in line for line in streams.out.splitlines())
    shutil.copy(folder / "my.data", folder / "settings")
    assert main(["check", str(folder / "settings"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == 0
    shutil.copy(folder / "my.cfg", folder / "network")
    assert main(["check", str(folder / "network")]) == 0
    assert "DATA" not in capsys.readouterr().err
    assert (
        main(["check", str(folder / "train.txt"), str(folder / "my.cfg"), "-names", str(folder / "my.names")])
        == 0
    )
    (folder / "labels/0.txt").write_text("9 .5 .5 .1 .1\n" * 20)
    assert main(["check", str(folder / "my.data"), str(folder / "my.cfg"), "-q"]) == 1
    assert main(["check", str(folder / "my.cfg"), "-images", "3"]) == 1
    assert main(["check", str(folder / "none.data")]) == 1


def test_a_cfg_alone_is_checked_as_before(tmp_path: Path) -> None:
    (tmp_path / "x.cfg").write_text(CFG.replace("batch=4", "batch=1"))
    assert [(one.severity, one.code) for one in check_network(tmp_path / "x.cfg")] == [("note", "batch-one")]

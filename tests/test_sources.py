"""Data as people have it: training and evaluating from each format, and what is wrong counted, listed and
skipped, or refused before the first update."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SHAPES_CFG
from PIL import Image

from darknet_py import datasets, images, synth, training
from darknet_py.cli import main
from darknet_py.collection import Collection
from darknet_py.data import write_whole
from darknet_py.errors import DataError
from darknet_py.loaders import DetectionLoader
from darknet_py.sources import SetFile, collect_boxes, collect_classes, open_data

CFG = SHAPES_CFG.replace("batch=4", "batch=2")
CLASSIFIER = CFG.partition("[convolutional]")[0] + "[connected]\noutput=2\nactivation=linear\n[softmax]\n"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One set in all formats."""
    folder = tmp_path_factory.mktemp("sets with spaces ü")
    data = synth.generate(folder / "darknet", train=12, val=4, size=64, quiet=True)
    for kind in ("yolo", "coco", "voc"):
        datasets.convert(data, folder / kind, to=kind, images="copy")
    return folder


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_whole("net.cfg", CFG)
    write_whole("c.cfg", CLASSIFIER)


PLACES = {"yolo": "yolo/data.yaml", "coco": "coco", "voc": "voc", "darknet": "darknet"}


@pytest.mark.parametrize("kind", PLACES)
def test_every_format_trains_and_evaluates_as_it_is(
    kind: str, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(drawn / PLACES[kind])
    train = ["detector", "train", source, "net.cfg", "-backup", "b", "-map", "-seed", "3"]
    assert main(train) == 0
    told = capsys.readouterr()
    assert "train: 12 pictures, " in told.err and "valid: 4 pictures" in told.err
    assert ("label files: " in told.err) == (kind in ("yolo", "darknet"))
    for command in ("map", "recall", "valid"):
        assert main(["detector", command, source, "net.cfg", "b/net_final.weights", "-q"]) == 0
    assert main(["detector", "calc_anchors", source, "-num_of_clusters", "2", "-width", "32"]) == 0
    whole = Path("b/net_final.weights").read_bytes()
    assert main([*train, "-max_batches", "2", "-q"]) == 0
    Path("b/net_final.weights").unlink()
    assert main(["detector", "train", source, "net.cfg", "-backup", "b", "-map", "-resume", "-q"]) == 0
    assert Path("b/net_final.weights").read_bytes() == whole


def test_every_format_holds_the_same_boxes(drawn: Path) -> None:
    def boxes(kind: str) -> dict[str, Any]:
        found, _ = collect_boxes(open_data(drawn / PLACES[kind]), "train", 8, 0)
        return {Path(path).stem: rows for path, rows in zip(found, found.labels, strict=True)}

    expected = boxes("darknet")
    assert len(expected) == 12 and sum(len(rows) for rows in expected.values()) > 12
    for kind in ("yolo", "coco", "voc"):
        found = boxes(kind)
        assert found.keys() == expected.keys()
        for name, rows in expected.items():
            np.testing.assert_allclose(found[name], rows, atol=1e-6)


def test_folders_of_classes_train_a_classifier(capsys: pytest.CaptureFixture[str]) -> None:
    for split, name, value in [(s, n, v) for s in ("train", "val") for n, v in (("a b", 30), ("ü", 220))]:
        folder = Path("set", split, name)
        folder.mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (40, 30), (value, i, 255 - value)).save(folder / f"{i}.png")
    assert main(["classifier", "train", "set", "c.cfg", "-backup", "b", "-map", "-max_batches", "60"]) == 0
    assert "train: 12 pictures" in capsys.readouterr().err
    assert main(["classifier", "valid", "set", "c.cfg", "b/c_final.weights", "-q"]) == 0
    assert main(["classifier", "valid", "set", "c.cfg", "b/c_best.weights"]) == 0
    assert "11: top 1: 1.000000" in capsys.readouterr().out
    with pytest.raises(DataError, match="a set of boxes"):
        collect_classes(SetFile(_yolo()), "train", ["a"], 0.1)
    with pytest.raises(DataError, match="no pictures for valid, only for train"):
        SetFile(_yolo()).images("valid")


def _yolo() -> Path:
    write_whole("y/data.yaml", "train: images\nnames: [a]\n")
    write_whole("y/labels/x.txt", "0 .5 .5 .1 .1\n")
    Path("y/images").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save("y/images/x.png")
    return Path("y/data.yaml")


def written(count: int, lines: dict[int, str] | None = None, end: str = "\n") -> Path:
    """A .data file of so many pictures with a right label each, but for these lines."""
    paths = []
    for i in range(count):
        Path("images").mkdir(exist_ok=True)
        paths.append(Path(f"images/a picture {i} ñ.png").absolute())
        Image.new("RGB", (20, 10), (i, 90, 90)).save(paths[-1])
        text = f"{i % 8} .5 .5 .4 .4{end}" + (f"{lines[i]}{end}" if lines and i in lines else "")
        write_whole(Path("labels") / f"{paths[-1].stem}.txt", text)
    write_whole("train.txt", "".join(f"{path}{end}" for path in paths))
    write_whole("my.data", f"classes = 8{end}train = train.txt{end}backup = b{end}")
    return Path("my.data")


def train(**options: Any) -> training.TrainingResult:
    return training.train_detector("my.data", "net.cfg", quiet=True, **options)


@pytest.mark.parametrize(
    "line, problem",
    [
        ("8 .5 .5 .1 .1", "class 8 is not 0..7"),
        ("0 300 200 40 50", "are no relative numbers 0..1; are they pixels?"),
        ("0 .1 .1 .2 .1 .2 .2 .1 .2", "a polygon, or further values"),
        ("0 .5 .5 0 .1", "a box without area"),
        ("0 .5 .5", "too few values"),
        ("0 .5 .5 -.1 .1", "negative size"),
        ("0 1.2 .5 .1 .1", "out of the picture"),
        ("0 .5 .5 1.7 .1", "larger than the picture"),
        ("0 nan .5 .1 .1", "not finite"),
        ("dog .5 .5 .1 .1", "expected five numbers"),
        ("0 0 0 .1 .1", "only a [region] with a tree"),
    ],
)
def test_a_bad_label_is_listed_with_file_and_line_and_skipped(
    line: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    written(20, {7: line}, "\r\n")
    assert train().iteration == 4
    listed = Path("b/net_train_problems.txt").read_text().splitlines()
    assert len(listed) == 1 and problem in listed[0] and "a picture 7 ñ" in listed[0]
    if "[region]" not in problem:
        assert ".txt:2: " in listed[0]
    assert problem in caplog.text and "1 annotations skipped" in caplog.text
    written(20)
    train(clear=True)
    assert not Path("b/net_train_problems.txt").exists()


def test_too_many_bad_labels_stop_before_the_first_update() -> None:
    written(20, dict.fromkeys(range(8), "9 .5 .5 .1 .1"))
    with pytest.raises(
        DataError, match=r"8 of 28 annotations are wrong, more than 0.1 .*has not begun"
    ) as told:
        train(check=False)
    assert str(told.value).count("is not 0..7") == 8 and not Path("b").exists()
    assert train(most_bad=0.5).iteration == 4
    assert main(["detector", "train", "my.data", "net.cfg", "-most_bad", ".3", "-q"]) == 0


def test_unreadable_pictures_are_counted_and_too_many_stop_before_the_first_update(
    caplog: pytest.LogCaptureFixture,
) -> None:
    written(30)
    content = Path("images/a picture 3 ñ.png").read_bytes()
    Path("images/a picture 3 ñ.png").write_bytes(content[: len(content) // 2])
    Path("images/a picture 4 ñ.png").unlink()
    assert train().iteration == 4
    listed = Path("b/net_train_problems.txt").read_text()
    assert "train.txt:5: " in listed and "no such file" in listed and "train.txt:4: " in listed
    assert "2 pictures skipped" in caplog.text
    for i in range(5, 10):
        Path(f"images/a picture {i} ñ.png").write_text("no picture")
    with pytest.raises(DataError, match="6 of 29 pictures that were tried are unreadable"):
        train(check=False)
    for i in range(5, 10):
        Path(f"images/a picture {i} ñ.png").unlink()
    with pytest.raises(DataError, match=r"(?s)6 of 30 pictures are wrong, more than 0.1 .*train.txt:5: "):
        train(check=False)


def test_the_rule_that_found_the_labels_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    written(12)
    Path("labels").rename("elsewhere")
    Path("elsewhere").rename("images/labels")
    for path in Path("images/labels").iterdir():
        path.rename(Path("images") / path.name)
    assert main(["detector", "train", "my.data", "net.cfg"]) == 0
    assert "label files: not Darknet's rule: beside the picture: 12 pictures, as " in capsys.readouterr().err


def picture_of(kind: str, path: Path) -> None:
    """A picture of 40 x 20, white on the left; stored in an awkward way."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255
    picture = Image.fromarray(pixels)
    if kind == "16-bit":
        Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(path)
    elif kind == "CMYK":
        picture.convert("CMYK").save(path)
    elif kind == "palette":
        picture.convert("P").save(path)
    elif kind == "rotated":
        exif = Image.Exif()
        exif[images.ORIENTATION] = 6  # stored turned to the left
        picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=100)
    else:
        picture.convert(kind).save(path)


@pytest.mark.parametrize(
    "kind, suffix",
    [
        ("16-bit", "png"),
        ("CMYK", "jpg"),
        ("palette", "png"),
        ("rotated", "jpg"),
        ("RGBA", "png"),
        ("1", "png"),
    ],
)
def test_pictures_of_every_kind_are_learned_upright(kind: str, suffix: str) -> None:
    """The box is on the white part, as a person sees the picture."""
    picture_of(kind, Path(f"x.{suffix}"))
    write_whole("x.txt", "0 .25 .5 .5 1\n")
    with DetectionLoader(
        [f"x.{suffix}"], (64, 64), 1, classes=1, augment={"jitter": 0, "flip": 0}, least=16
    ) as loader:
        batch = loader.batch(0)
    x, y, w, h = (batch.truth[0, 0, :4] * 64).round().astype(int).tolist()
    inside = batch.x[0, :, y - h // 2 + 2 : y + h // 2 - 2, x - w // 2 + 2 : x + w // 2 - 2]
    outside = batch.x[0, :, y - h // 2 + 2 : y + h // 2 - 2, x + w // 2 + 3 : x + w // 2 + 20]
    assert w > h / 1.3 and inside.min() > 0.9 and outside.max() < 0.1


def test_large_jpeg_pictures_are_decoded_as_large_as_needed() -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).resize((1600, 1200))
    smooth.save("x.jpg")
    smooth.save("x.png")
    assert images.read("x.jpg", least=400).shape == (600, 800, 3)
    assert images.read("x.jpg", least=700).shape == (1200, 1600, 3)
    assert images.read("x.png", least=10).shape == images.read("x.jpg").shape == (1200, 1600, 3)
    small = images.resize(images.load("x.png"), 200, 150)
    assert (
        np.abs(images.resize(images.planar(images.read("x.jpg", least=400)), 200, 150) - small).mean() < 0.01
    )


def test_a_collection_is_a_sequence() -> None:
    found = Collection()
    names = ["a", "b c", "ü", "\udcff"]
    for i, name in enumerate(names):
        found.add(name, [[i % 2, 0.1, 0.2, 0.3, 0.4]] * i)
    assert list(found) == names and found[-1] == "\udcff" and found[1:3] == ["b c", "ü"]
    assert [len(rows) for rows in found.labels] == [0, 1, 2, 3] and found.counts == {0: 2, 1: 4}
    np.testing.assert_array_equal(found.labels[1], np.float32([[1, 0.1, 0.2, 0.3, 0.4]]))
    for bad in (4, -5):
        with pytest.raises(IndexError):
            found[bad]


def test_a_collection_of_many_is_read_from_files_while_it_grows() -> None:
    found = Collection()
    for i in range(3000):
        found.add(
            f"a path as long as they are wont to be/{i}.jpg", [[i % 3, 0.5, 0.5, 0.1, 0.1]] * (i % 4), i
        )
        if i % 700 == 0:
            assert found[i].endswith(f"/{i}.jpg") and len(found.labels[i]) == i % 4
    assert [*found][::999] == [f"a path as long as they are wont to be/{i}.jpg" for i in (0, 999, 1998, 2997)]
    assert [len(rows) for rows in found.labels] == [i % 4 for i in range(3000)]
    np.testing.assert_array_equal(found.classes, range(3000))


def test_memory_does_not_grow_with_the_list(tmp_path: Path) -> None:
    """A process of its own: what a list of 30,000 lines needs more than one of 600."""
    written(2)
    lines = Path("train.txt").read_text().splitlines()
    program = (
        "from darknet_py import training\n"
        "training.train_detector('my.data', 'net.cfg', quiet=True, max_batches=2)\n"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    # Not getrusage, which begins with the memory of the process that started this one.
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc to read the peak memory of a process from")

    def peak(count: int) -> int:
        write_whole("train.txt", "\n".join(lines * (count // 2)))
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return int(done.stdout)  # KiB

    small = peak(600)
    assert peak(30_000) - small < 5000  # the check before takes 3 MiB; as objects, lines would take 10


def test_a_coco_file_that_is_wrong_in_places_trains_with_the_rest(drawn: Path) -> None:
    datasets.convert(drawn / "coco", "c", to="coco", images="copy")
    place = Path("c/annotations/instances_train.json")
    document = json.loads(place.read_text())
    document["annotations"][0]["bbox"][2] = 0
    place.write_text(json.dumps(document))
    result = training.train_detector(place, "net.cfg", backup="b", quiet=True)
    assert result.iteration == 4
    assert "a box without area" in Path("b/net_train_problems.txt").read_text()

"""Text files around a network, and the loaders that turn pictures into batches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("darknet_py._native", reason="the core is not built")

from darknet_py import data
from darknet_py.collection import place_of
from darknet_py.errors import DataError, DataNotFoundError
from darknet_py.loaders import ClassificationLoader, DetectionLoader, GridLoader, read_ahead


def _write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# ---- .data files ------------------------------------------------------------------------------------


def test_data_file_lexical_rules(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "x.data",
        "\ufeff# comment\r\n; another\r\n\r\nclas ses = 4 # four\r\nclasses=5\r\nbackup = some where\r\n",
    )
    info = data.DataFile(path)
    assert info.classes == 4  # the first of two counts
    assert info.get("backup") == "somewhere"
    assert info.get("train") is None
    with pytest.raises(DataError, match="add train = FILE"):
        info.file("train")


def test_data_file_paths_are_looked_up_beside_and_above(tmp_path: Path) -> None:
    list_file = _write(tmp_path / "lists" / "my train.txt", "a.jpg\n")
    _write(tmp_path / "coco.names", "cat\ndog\n")
    text = "train = lists/my train.txt\nnames=coco.names\nvalid=no.txt\n"
    info = data.DataFile(_write(tmp_path / "cfg" / "deep" / "x.data", text))
    assert info.file("train").resolve() == list_file
    assert info.names == ["cat", "dog"]
    assert info.classes == 2  # as many as names
    with pytest.raises(DataNotFoundError, match=r"valid: no file no\.txt"):
        info.file("valid")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes = many", "whole number"),
        ("classes = 0", "1 or more"),
        ("", "nothing"),
        ("what", ":1: expected key"),
    ],
)
def test_wrong_data_files_say_where(tmp_path: Path, text: str, message: str) -> None:
    path = _write(tmp_path / "x.data", text)
    with pytest.raises(DataError, match=message):
        _ = data.DataFile(path).classes


def test_missing_data_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such \.data file"):
        data.DataFile(tmp_path / "x.data")


# ---- image lists --------------------------------------------------------------------------------------


def test_image_lists(tmp_path: Path) -> None:
    _write(tmp_path / "set" / "images" / "ä b.jpg", b"")
    _write(tmp_path / "set" / "two.jpg", b"")
    path = _write(
        tmp_path / "set" / "lists" / "x.txt",
        f"images/ä b.jpg\r\n\r\n  {tmp_path}/set/two.jpg \r\nnowhere.jpg\n",
    )
    found = data.read_list(path)
    assert found == [f"{tmp_path}/set/images/ä b.jpg", f"{tmp_path}/set/two.jpg", "nowhere.jpg"]
    assert [place_of(found, i) for i in range(3)] == [f"{path}:{line}: " for line in (1, 3, 4)]
    assert place_of([*found], 1) == ""
    with pytest.raises(DataError, match="empty"):
        data.read_list(_write(tmp_path / "empty.txt", "\n\n"))


def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: cannot write: not a regular file"):
        data.write_whole(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo() and [*tmp_path.iterdir()] == [tmp_path / "pipe"]


def test_the_working_directory_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "here" / "a.jpg", b"")
    _write(tmp_path / "there" / "a.jpg", b"")
    monkeypatch.chdir(tmp_path / "here")
    assert data.read_list(_write(tmp_path / "there" / "x.txt", "a.jpg\n")) == ["a.jpg"]


# ---- labels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("d/images/x.jpg", "d/labels/x.txt"),
        ("images/images/x.png", "labels/images/x.txt"),
        ("d/JPEGImages/x.JPEG", "d/labels/x.txt"),
        ("d/raw/x.jpeg", "d/labels/x.txt"),
        ("d/raw/images/x.JPG", "d/labels/labels/x.txt"),
        ("d/images/x.y.bmp", "d/labels/x.y.txt"),
        ("d/x.jpg.webp", "d/x.jpg.txt"),
        ("d/x", "d/x.txt"),
    ],
)
def test_label_path(image: str, expected: str) -> None:
    assert data.label_path(image) == expected


def test_labels_are_found_where_the_rule_goes_wrong(tmp_path: Path) -> None:
    label = _write(tmp_path / "images" / "set" / "labels" / "train" / "x.txt", "")
    assert Path(data.find_label(tmp_path / "images" / "set" / "images" / "train" / "x.jpg")) == label
    beside = _write(tmp_path / "images" / "other" / "y.txt", "")
    assert Path(data.find_label(tmp_path / "images" / "other" / "y.jpg")) == beside
    with pytest.raises(DataNotFoundError, match=r"labels/z\.txt.*becomes 'labels'"):
        data.find_label(tmp_path / "images" / "z.jpg")


def test_label_files(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.txt", "\ufeff1 .5 0.5 .25 1e-1\r\n\r\n  0\t.1 .2 1.1 .4 \r\n")
    expected = np.array([[1, 0.5, 0.5, 0.25, 0.1], [0, 0.1, 0.2, 1, 0.4]], np.float32)
    np.testing.assert_array_equal(data.read_labels(path, 2), expected)
    assert data.read_labels(_write(tmp_path / "empty.txt", "")).shape == (0, 5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .5 .5 .1", "found 4 values"),
        ("cat .5 .5 .1 .1", "five numbers"),
        ("2 .5 .5 .1 .1", r"class 2 is not 0\.\.1"),
        ("-1 .5 .5 .1 .1", "class -1"),
        ("0.5 .5 .5 .1 .1", "class 0.5"),
        ("0 nan .5 .1 .1", "not finite"),
        ("0 250 .5 .1 .1", "outside the picture"),
        ("0 .5 .5 -.1 .1", "impossible"),
    ],
)
def test_wrong_labels_name_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = _write(tmp_path / "x.txt", f"0 .5 .5 .1 .1\n{line}\n")
    with pytest.raises(DataError, match=rf"x\.txt:2: .*{message}"):
        data.read_labels(path, 2)


def test_all_problems_with_labels_are_told_at_once(tmp_path: Path) -> None:
    images = [str(_write(tmp_path / f"{i}.jpg", b"")) for i in range(12)]
    _write(tmp_path / "0.txt", "7 .5 .5 .1 .1")
    with pytest.raises(DataError, match=r"(?s)12 problems.*0\.txt:1.*and 4 more"):
        data.labels_of(images, 2)


def test_a_few_missing_label_files_mean_pictures_without_objects(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = [str(_write(tmp_path / f"{i}.jpg", b"")) for i in range(20)]
    for i in range(19):
        _write(tmp_path / f"{i}.txt", "1 .5 .5 .1 .1")
    labels = data.labels_of(images, 2)
    assert [len(one) for one in labels] == 19 * [1] + [0]
    assert "1 picture has no label file" in caplog.text and "19.txt" in caplog.text


def test_class_of_an_image() -> None:
    assert data.class_of("/data/dog/1.jpg", ["cat", "dog"]) == 1
    assert data.class_of("/cats/train/dog/1.jpg", ["cat", "dog"]) == 1
    assert data.class_of("/x/firetruck/1.jpg", ["truck", "firetruck"]) == 1
    assert data.class_of("/x/5_c1.png", [f"_c{k}." for k in range(11)]) == 1
    with pytest.raises(DataError, match="none of the 2 labels"):
        data.class_of("/x/1.jpg", ["cat", "dog"])
    with pytest.raises(DataError, match="several labels"):
        data.class_of("/x/dog_cat.jpg", ["cat", "dog"])


def test_writing_is_whole(tmp_path: Path) -> None:
    data.write_whole(tmp_path / "new" / "x.txt", "ä")
    assert (tmp_path / "new" / "x.txt").read_text("utf-8") == "ä"
    with pytest.raises(DataError):
        data.write_whole(tmp_path / "new" / "x.txt" / "y", "no")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.txt"]


# ---- loaders --------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Twelve small pictures of one colour each, with a label file beside them."""
    paths = []
    for i in range(12):
        path = tmp_path / f"_c{i % 3}." / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), (20 * i, 100, 255 - 20 * i)).save(path)
        path.with_suffix(".txt").write_text(f"{i % 3} .5 .5 .4 .4\n")
        paths.append(str(path))
    return paths


def test_batches_depend_on_seed_and_step_only(pictures: list[str]) -> None:
    augment = {"jitter": 0.3, "hue": 0.1, "saturation": 1.5, "exposure": 1.5}
    settings = {"classes": 3, "truth": (4, 6), "augment": augment}
    with DetectionLoader(pictures, (32, 24), 4, seed=5, workers=3, **settings) as loader:
        run = [loader.batch(step) for step in range(5)]
    with DetectionLoader(pictures, (32, 24), 4, seed=5, workers=1, ahead=0, **settings) as loader:
        for step in (3, 0, 4):
            again = loader.batch(step)
            np.testing.assert_array_equal(again.x, run[step].x)
            np.testing.assert_array_equal(again.truth, run[step].truth)
    with DetectionLoader(pictures, (32, 24), 4, seed=6, **settings) as loader:
        assert not np.array_equal(loader.batch(0).x, run[0].x)
    x, truth = run[0]
    assert x.shape == (4, 3, 24, 32) and x.dtype == np.float32 and x.min() >= 0 and x.max() <= 1
    assert truth.shape == (4, 4, 6)
    assert (truth[:, 0, 2] > 0).all() and (truth[:, 1:] == 0).all()
    assert set(truth[:, 0, 4]) <= {0.0, 1.0, 2.0}


def test_truth_follows_the_picture(tmp_path: Path) -> None:
    """A white box on black, jittered, cropped and mirrored: the truth says where it is to be seen."""
    pixels = np.zeros((120, 160, 3), np.uint8)
    pixels[48:96, 32:64] = 255
    Image.fromarray(pixels).save(tmp_path / "1.png")
    (tmp_path / "1.txt").write_text("1 .3 .6 .2 .4\n")
    paths, augment = [str(tmp_path / "1.png")], {"jitter": 0.2}
    placed: list[tuple[np.ndarray, list[float]]] = []
    with DetectionLoader(paths, (96, 96), 16, classes=2, truth=(5, 5), augment=augment, seed=1) as rows:
        x, truth = rows.batch(0)
        assert (truth[:, 0, 4] == 1).all() and (truth[:, 1:] == 0).all()
        placed += zip(x, truth[:, 0, :4].tolist(), strict=True)
    with GridLoader(paths, (96, 96), 16, classes=2, side=3, augment=augment, seed=1) as grid:
        x, truth = grid.batch(0)
        np.testing.assert_array_equal(grid.batch(0).truth, truth)
        images, cells = np.nonzero(truth[:, :, 0])
        assert truth.shape == (16, 9, 7) and images.tolist() == list(range(16))
        own = truth[images, cells]
        assert (own[:, 1:3] == [0, 1]).all() and (np.delete(truth, 0, 2).any(2) == truth[:, :, 0]).all()
        centres = (own[:, 3:5] + np.stack([cells % 3, cells // 3], 1)) / 3
        placed += zip(x, np.hstack([centres, own[:, 5:]]).tolist(), strict=True)
    mirrored = 0
    for pixels, box in placed:
        height, width = np.nonzero(pixels.mean(0) > 0.75)
        found = [width.min() / 96, (width.max() + 1) / 96, height.min() / 96, (height.max() + 1) / 96]
        centre, size = np.array(box[:2]), np.array(box[2:])
        expected = np.stack([centre - size / 2, centre + size / 2], 1).ravel()
        np.testing.assert_allclose(found, expected, atol=2.1 / 96)
        mirrored += box[0] > 0.5
    assert 4 < mirrored < 28


def test_a_grid_has_one_object_per_cell(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "1.png")
    (tmp_path / "1.txt").write_text(
        "0 .2 .2 .1 .1\n1 .25 .25 .2 .2\n2 .8 .8 .004 .004\n1 1 1 .2 .2\n0 0 0 0 0\n"
    )
    options: dict[str, Any] = {"classes": 3, "side": 2, "augment": {"jitter": 0, "flip": 0}}
    with GridLoader([str(tmp_path / "1.png")], (16, 16), 64, **options) as grid:
        truth = grid.batch(0).truth
    assert truth.shape == (64, 4, 8)
    np.testing.assert_allclose(truth[:, 3], np.tile([1, 0, 1, 0, 0.9, 0.9, 0.1, 0.1], (64, 1)), atol=1e-6)
    assert not truth[:, 1:3].any()
    assert 16 < truth[:, 0, 1].sum() < 48  # either of the two, by lot
    assert (truth[:, 0, 1] + truth[:, 0, 2] == 1).all()


def test_sizes_may_change_and_grey_networks_get_grey(pictures: list[str]) -> None:
    sizes = [(32, 32), (64, 32)]
    with DetectionLoader(pictures, lambda step: sizes[step % 2], 2, classes=3, channels=1) as loader:
        assert [loader.batch(step).x.shape for step in range(3)] == [
            (2, 1, 32, 32),
            (2, 1, 32, 64),
            (2, 1, 32, 32),
        ]


def test_unreadable_pictures_are_replaced_and_listed(pictures: list[str]) -> None:
    Path(pictures[4]).write_bytes(b"no picture")
    with DetectionLoader(pictures, (16, 16), 8, classes=3, augment={"jitter": 0}) as loader:
        for step in range(10):
            assert loader.batch(step).truth[:, 0, 2].all()
        assert list(loader.unreadable) == [pictures[4]]


def test_a_picture_torn_since_the_start_is_told_with_its_line(
    pictures: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = _write(tmp_path / "list.txt", "\n" + "\n".join(pictures))
    paths = data.read_list(listed)
    Path(pictures[4]).write_bytes(b"no picture")
    with DetectionLoader(paths, (16, 16), 8, classes=3) as loader:
        for step in range(10):
            loader.batch(step)
    assert [record.message for record in caplog.records] == [
        f"left out: {listed}:6: {pictures[4]}: no picture in a known format"
    ]


def test_too_many_unreadable_pictures_stop_the_run(pictures: list[str]) -> None:
    for path in pictures[:5]:
        Path(path).unlink()
    with (
        DetectionLoader(pictures, (16, 16), 8, classes=3) as loader,
        pytest.raises(DataError, match="of 12 pictures are unreadable"),
    ):
        for step in range(20):
            loader.batch(step)


def test_classification_batches(pictures: list[str]) -> None:
    labels = [f"_c{k}." for k in range(3)]
    augment = {"min_size": 16, "max_size": 32, "angle": 10}
    with ClassificationLoader(pictures, (16, 16), 6, labels=labels, augment=augment, seed=2) as loader:
        x, truth = loader.batch(3)
    with ClassificationLoader(
        pictures, (16, 16), 6, labels=labels, augment=augment, seed=2, workers=1
    ) as loader:
        np.testing.assert_array_equal(loader.batch(3).x, x)
    assert x.shape == (6, 3, 16, 16)
    assert truth.shape == (6, 3) and (truth.sum(axis=1) == 1).all()
    # A picture has one colour, by which its class can be told.
    blue = np.rint((1 - x[:, 2, 8, 8]) * 255 / 20).astype(int)
    assert list(blue % 3) == list(truth.argmax(axis=1))
    with pytest.raises(DataError, match="12 images without a class"):
        ClassificationLoader(pictures, (16, 16), 6, labels=["zebra"])


def test_reading_ahead_keeps_the_order(pictures: list[str]) -> None:
    Path(pictures[2]).write_bytes(b"no picture")
    found = list(read_ahead(pictures))
    assert [index for index, _ in found] == list(range(12))
    assert isinstance(found[2][1], Exception)
    assert found[3][1].shape == (30, 40, 3)  # type: ignore[union-attr]


def test_lists_of_more_names_than_classes_are_cut(tmp_path: Path) -> None:
    """Darknet's ImageNet lists have 21842 lines, of which a network of 1000 classes uses the first 1000."""
    (tmp_path / "many.list").write_text("a\nb\nc\n")
    (tmp_path / "x.data").write_text("classes=2\nlabels=many.list\nnames=many.list\n")
    info = data.DataFile(tmp_path / "x.data")
    assert info.labels == ["a", "b"] and info.names == ["a", "b"]
    (tmp_path / "x.data").write_text("classes=4\nlabels=many.list\n")
    with pytest.raises(DataError, match="only 3 of them have a name"):
        _ = data.DataFile(tmp_path / "x.data").labels

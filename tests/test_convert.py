"""Data sets turned into folders that Darknet trains on."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("darknet_py._native", reason="the core is not built")

from darknet_py import data
from darknet_py.convert import convert
from darknet_py.errors import DataError

MNIST = Path(__file__).resolve().parents[2] / "shared/real/classification/mnist/mnist.npz"


def _digits(path: Path, **changes: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 256, (11, 28, 28), np.uint8),
        "train_labels": np.arange(11) % 11,
        "test_images": rng.integers(0, 256, (4, 28, 28), np.uint8),
        "test_labels": np.arange(4),
    }
    arrays.update(changes)
    np.savez(path, **arrays)
    return path


def _picture() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(buffer, "JPEG")
    return buffer.getvalue()


def _zip(path: Path, *members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, _picture())
    return path


def test_digits(tmp_path: Path) -> None:
    source = _digits(tmp_path / "mnist.npz")
    info = data.DataFile(convert(source, tmp_path / "out", quiet=True))
    train = info.images("train")
    assert info.classes == 11 and len(train) == 11 and len(info.images("valid")) == 4
    assert [data.class_of(path, info.labels) for path in train] == list(range(11))  # _c1 is not part of _c10
    with np.load(source) as arrays, Image.open(train[3]) as picture:
        np.testing.assert_array_equal(np.asarray(picture), arrays["train_images"][3])


def test_folders_in_an_archive(tmp_path: Path) -> None:
    members = [
        "c/train/cat/1.jpg",
        "c/train/dog/1.jpg",
        "c/test/cat/2.jpg",
        "c/README.txt",
        "c/train/cat/x.txt",
    ]
    info = data.DataFile(convert(_zip(tmp_path / "pets.zip", *members), tmp_path / "out", quiet=True))
    assert info.names == ["cat", "dog"]
    assert data.classes_of(info.images("train"), info.labels) == [0, 1]
    assert data.classes_of(info.images("valid"), info.labels) == [0]


@pytest.mark.parametrize(
    "member", ["../train/cat/1.jpg", "/train/cat/1.jpg", "x/train/../../cat/1.jpg", "train/../1.jpg"]
)
def test_nothing_is_written_outside(tmp_path: Path, member: str) -> None:
    source = _zip(tmp_path / "evil.zip", "train/cat/0.jpg", member)
    with pytest.raises(DataError, match="outside"):
        convert(source, tmp_path / "deep" / "out", quiet=True)
    assert list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((11, 28, 28), np.float32)}, "uint8 pictures"),
        ({"train_labels": np.zeros(3, int)}, "labels for train"),
        ({"test_labels": np.array([0, 1, 2, -1])}, "class numbers"),
    ],
)
def test_failures_leave_nothing_behind(tmp_path: Path, changes: dict[str, np.ndarray], message: str) -> None:
    source = _digits(tmp_path / "mnist.npz", **changes)
    with pytest.raises(DataError, match=message):
        convert(source, tmp_path / "out", quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mnist.npz"]


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    (tmp_path / "bad.zip").write_bytes(b"nothing")
    (tmp_path / "x.tar").write_bytes(b"nothing")
    for name, message in (("bad.npz", "no usable"), ("bad.zip", "no usable"), ("x.tar", "expected an .npz")):
        with pytest.raises(DataError, match=message):
            convert(tmp_path / name, tmp_path / "out", quiet=True)
    with pytest.raises(FileNotFoundError):
        convert(tmp_path / "none.zip", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(DataError, match="not empty"):
        convert(_digits(tmp_path / "m.npz"), tmp_path / "full", quiet=True)


@pytest.mark.skipif(not MNIST.exists(), reason="MNIST is not here")
def test_the_real_digits_have_the_expected_arrays() -> None:
    with np.load(MNIST) as arrays:
        assert {"train_images", "train_labels", "test_images", "test_labels"} <= set(arrays.files)

"""Broken weights, pictures, truth, checkpoints, names, labels and lists: each gives one of our exceptions with a
message that says what is wrong, nothing half-written stays behind, and the process goes on."""
# ruff: noqa: E501 (one row of a table, one line)

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_input import refused, survives
from conftest import TINY_CFG

import darknet_py as dn

REAL = Path(__file__).parents[2] / "shared" / "real"

# ---- weights --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good_weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("weights") / "good.weights"
    with dn.Network.from_string(TINY_CFG, seed=1) as net:
        net.seen = 77
        net.save_weights(path)
    return path.read_bytes()


HEADER = 20
FIRST = 4 * (4 * 8 + 8 * 3 * 9)  # bytes of layer 0's parameters

CUTS = [1, 3, 4, 12, 15, 16, 19, HEADER, HEADER + 1, HEADER + 4, HEADER + 32, HEADER + 100, HEADER + FIRST - 4,
        HEADER + FIRST - 1, HEADER + FIRST, HEADER + FIRST + 1, HEADER + FIRST + 64, -4, -1]  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
def test_truncated_weights_name_the_layer_and_the_bytes(
    cut: int, good_weights: bytes, tmp_path: Path
) -> None:
    data = good_weights[:cut]
    path = tmp_path / "cut.weights"
    path.write_bytes(data)
    with dn.Network.from_string(TINY_CFG, seed=2) as net:
        before = [layer.params for layer in net.layers]
        for source in (path, data):
            message = refused(lambda source=source: net.load_weights(source), dn.WeightsError)
            if len(data) < 20:
                assert "too few" in message
            else:
                layer = 0 if len(data) < HEADER + FIRST else 2
                needed = len(good_weights) - 20
                assert f"ends in layer {layer} [convolutional]" in message
                assert f"needs {needed} bytes of parameters, the file has {len(data)} bytes" in message
        # Nothing of it was kept.
        for layer, params in zip(net.layers, before, strict=True):
            for name, values in layer.params.items():
                np.testing.assert_array_equal(values, params[name])
        assert net.seen == 0 and net.predict(np.zeros((1, 3, 24, 32)))


WRONG_WEIGHTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda good: b"", "0 bytes are too few even for the header"),
    "one byte": (lambda good: b"\1", "too few"),
    "too long by a float": (lambda good: good + b"\0" * 4, "4 bytes are left after the last layer"),
    "too long by a byte": (lambda good: good + b"\0", "1 bytes are left after the last layer"),
    "twice the file": (lambda good: good + good, "are left after the last layer .*belongs to another cfg"),
    "a web page": (lambda good: b"<!DOCTYPE html><html><body>Not found</body></html>", "a web page"),
    "a long web page": (lambda good: b"<html>" + b" " * 100_000, "a web page"),
    "a Git LFS pointer": (
        lambda good: b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "a pointer",
    ),
    "a cfg": (lambda good: TINY_CFG.encode(), "layer|too few|left"),
    "zeros": (lambda good: b"\0" * len(good), "left|layer"),
    "ones": (lambda good: b"\xff" * 100, "layer"),
    "a version without end": (
        lambda good: struct.pack("<iiiQ", 2**31 - 1, 2**31 - 1, 2**31 - 1, 2**64 - 1),
        "layer",
    ),
    "a negative version": (lambda good: struct.pack("<iiiQ", -(2**31), -(2**31), -1, 2**63), "layer"),
    "a header of the old kind only": (lambda good: good[:16], "too few|layer"),
    "a megabyte too much": (lambda good: good + bytes(1 << 20), "1048576 bytes are left"),
}


@pytest.mark.parametrize("name", WRONG_WEIGHTS)
def test_weights_that_are_none(name: str, good_weights: bytes, tmp_path: Path) -> None:
    make, expected = WRONG_WEIGHTS[name]
    path = tmp_path / "x.weights"
    path.write_bytes(make(good_weights))
    with dn.Network.from_string(TINY_CFG) as net:
        message = refused(lambda: net.load_weights(path), dn.WeightsError, expected)
        assert "x.weights" in message
    refused(lambda: dn.Network.from_string(TINY_CFG, path), dn.WeightsError, expected)


def test_weights_that_are_no_files(tmp_path: Path) -> None:
    with dn.Network.from_string(TINY_CFG) as net:
        refused(lambda: net.load_weights(tmp_path), dn.WeightsError, "folder")
        refused(lambda: net.load_weights(tmp_path / "none"), dn.WeightsError, "no such file")
        refused(lambda: net.load_weights("/dev/null"), dn.WeightsError, "too few")
        huge = tmp_path / "huge.weights"
        with huge.open("wb") as file:
            file.truncate(3 << 30)  # takes no room on the disk
        refused(lambda: net.load_weights(huge), dn.WeightsError, "the file has 3221225472")
        refused(lambda: net.load_weights(b"", start=5), dn.DarknetError)
        refused(
            lambda: net.load_weights(bytes(20), start=9), dn.ArgumentError, "start: must be 0 to 4, not 9"
        )
        refused(lambda: net.load_weights(bytes(20), start=-1), dn.ArgumentError, "start: must be")


def test_flipped_bytes_in_weights_never_crash(good_weights: bytes) -> None:
    """Wrong numbers, NaN and infinities among them, are still numbers."""
    rng = random.Random(3)
    x = np.random.default_rng(0).random((1, 3, 24, 32), np.float32)
    picture = np.zeros((24, 32, 3), np.uint8)
    for i in range(30):
        data = bytearray(good_weights)
        for _ in range(rng.choice([1, 10, 1000])):
            data[rng.randrange(HEADER if i % 3 else 0, len(data))] = rng.choice(
                [0, 0x7F, 0x80, 0xFF, rng.randrange(256)]
            )

        def run(data: bytes = bytes(data)) -> None:
            with dn.Network.from_string(TINY_CFG, data) as net:
                net.predict(x)
                net.detect(picture, thresh=0.1)

        survives(run)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 1e-45])
def test_parameters_that_are_no_numbers(value: float, picture: np.ndarray) -> None:
    with dn.Network.from_string(TINY_CFG, seed=1) as net:
        for layer in (0, 2):
            for name, values in net.layers[layer].params.items():
                net.set_param(layer, name, np.full(values.shape, value))

        def run() -> None:
            x = np.random.default_rng(0).random((2, 3, 24, 32), np.float32)
            net.predict(x)
            assert len(net.detect(picture, thresh=0.01)) >= 0
            truth = np.zeros((2, 90, 5))
            truth[:, 0] = [0.5, 0.5, 0.2, 0.2, 1]
            with dn.Trainer(net) as trainer:
                trainer.step(x, truth)

        survives(run)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real models at {REAL}")
def test_real_weights_of_another_cfg_and_parts() -> None:
    wrong = REAL / "weights" / "mismatch"
    message = refused(
        lambda: dn.Network(wrong / "tiny-yolov2-trial8.cfg", wrong / "tiny-yolov2-trial8.weights"),
        dn.WeightsError,
    )
    assert "another cfg" in message and "tiny-yolov2-trial8.weights" in message
    part = REAL / "weights" / "partial"
    cfg, weights = part / "Yolo-Fastest.cfg", part / "Yolo-Fastest.conv"
    message = refused(
        lambda: dn.Network(cfg, weights), dn.WeightsError, r"ends in layer 1[23]\d \[convolutional\]"
    )
    assert "partial=True" in message or "another cfg" in message
    with dn.Network(cfg, weights, partial=True) as whole, dn.Network(cfg, weights, cutoff=129) as cut:
        np.testing.assert_array_equal(whole.layers[0].params["weights"], cut.layers[0].params["weights"])


# ---- pictures -------------------------------------------------------------------------------------------


def encoded(size: tuple[int, int] = (20, 10), kind: str = "PNG") -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises a size and whose data is a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


WRONG_PICTURES: dict[str, Any] = {
    "empty": b"",
    "one byte": b"\x89",
    "text": b"this is no picture\n",
    "a web page": b"<html></html>",
    "zeros": bytes(1000),
    "a PNG's first bytes": b"\x89PNG\r\n\x1a\n",
    "a PNG of no width": png_of(0, 5),
    "a PNG of no height": png_of(5, 0),
    "a decompression bomb": png_of(60_000, 60_000),
    "a PNG of impossible size": png_of(2**31 - 1, 2**31 - 1),
    "a PNG with too little data": png_of(100, 100),
    "None": None,
    "a number": 5,
    "a list": [1, 2, 3],
    "strings": np.array([["a", "b"]]),
    "objects": np.array([[None, 1]], object),
    "complex numbers": np.zeros((4, 4, 3), complex),
    "32-bit integers": np.zeros((4, 4, 3), np.int32),
    "no dimension": np.zeros((), np.uint8),
    "one dimension": np.zeros(12, np.uint8),
    "four dimensions": np.zeros((1, 4, 4, 3), np.uint8),
    "two channels": np.zeros((4, 4, 2), np.uint8),
    "five channels": np.zeros((4, 4, 5), np.uint8),
    "planar": np.zeros((3, 40, 50), np.float32),
    "no rows": np.zeros((0, 4, 3), np.uint8),
    "no columns": np.zeros((4, 0, 3), np.uint8),
    "nothing": np.zeros((0, 0), np.uint8),
    "no channels": np.zeros((4, 4, 0), np.uint8),
    "NaN": np.full((4, 4, 3), np.nan, np.float32),
    "infinite": np.full((4, 4, 3), np.inf),
    "0..255 as floats": np.full((4, 4, 3), 200.0),
    "a terabyte of nothing": np.broadcast_to(np.float32(300), (1 << 10, 1 << 10, 3)),
}


@pytest.mark.parametrize("name", WRONG_PICTURES)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_wrong_pictures(name: str, detector: dn.Network, tmp_path: Path) -> None:
    picture = WRONG_PICTURES[name]
    refused(lambda: detector.detect(picture), dn.ImageError)
    if isinstance(picture, bytes):
        path = tmp_path / "x.png"
        path.write_bytes(picture)
        assert "x.png" in refused(lambda: detector.detect(path), dn.ImageError)
        refused(lambda: dn.images.load(path), dn.ImageError)
    assert detector.detect(np.zeros((4, 4, 3), np.uint8)) is not None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_truncated_and_damaged_pictures(kind: str, detector: dn.Network) -> None:
    good, rng = encoded(kind=kind), random.Random(4)
    assert detector.detect(good) is not None
    for share in (0.05, 0.3, 0.6):
        refused(lambda share=share: detector.detect(good[: int(len(good) * share)]), dn.ImageError)
    for _ in range(10):
        data = bytearray(good)
        for _ in range(rng.choice([1, 5, 50])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        survives(lambda data=data: detector.detect(bytes(data)))


def test_pictures_that_are_no_files(detector: dn.Network, tmp_path: Path) -> None:
    refused(lambda: detector.detect(tmp_path), dn.ImageError)
    refused(lambda: detector.detect(tmp_path / "none.png"), dn.ImageError, "none.png: no such file")
    refused(lambda: detector.detect("a\0b.png"), dn.DarknetError)
    refused(lambda: detector.detect("/dev/null"), dn.ImageError)


def test_operations_on_impossible_pictures() -> None:
    good = np.zeros((3, 4, 5), np.float32)
    calls: list[Callable[[], Any]] = [
        lambda: dn.images.resize(good, 0, 5),
        lambda: dn.images.resize(good, -3, 5),
        lambda: dn.images.resize(good, 1 << 40, 5),
        lambda: dn.images.resize(np.zeros((3, 0, 5), np.float32), 5, 5),
        lambda: dn.images.letterbox(np.zeros((4, 5), np.float32), 5, 5),
        lambda: dn.images.letterbox(good, 5, 0),
        lambda: dn.images.crop(good, 0, 0, 0, 5),
        lambda: dn.images.place(good, 0, 5, 0, 0, good),
        lambda: dn.images.place(good, 5, 5, 0, 0, np.zeros((1, 4, 5), np.float32)),
        lambda: dn.images.rgb_to_hsv(np.zeros((1, 4, 5), np.float32)),
        lambda: dn.images.distort(np.zeros((2, 4, 5), np.float32), 0, 1, 1),
        lambda: dn.images.flip(np.zeros((4, 5), np.float32)),
        lambda: dn.images.to_pil(np.zeros((7, 4, 5), np.float32)),
    ]
    for call in calls:
        refused(call, dn.DarknetError)
    nan = np.full((3, 4, 5), np.nan, np.float32)
    for call in (
        lambda: dn.images.resize(nan, 9, 9),
        lambda: dn.images.rotate_crop(good, float("nan"), 1, 4, 4),
        lambda: dn.images.rotate_crop(good, 1, 0, 4, 4),
        lambda: dn.images.crop(good, 1 << 30, -(1 << 30), 4, 4),
        lambda: dn.images.place(good, 9, 9, 1 << 30, -(1 << 30), good),
        lambda: dn.images.distort(nan, 1e30, -1, float("inf")),
    ):
        survives(call)


def test_saving_a_picture_leaves_nothing_behind(tmp_path: Path) -> None:
    good = np.zeros((4, 5, 3), np.uint8)
    (tmp_path / "taken.png").mkdir()
    refused(lambda: dn.images.save(good, tmp_path / "none" / "x.png"), dn.ImageError)
    refused(lambda: dn.images.save(good, tmp_path / "x.nothing"), dn.ImageError, "unknown picture format")
    refused(lambda: dn.images.save(good, tmp_path / "x"), dn.ImageError)
    refused(lambda: dn.images.save(good, tmp_path / "taken.png"), dn.ImageError)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]


# ---- inputs and truth -----------------------------------------------------------------------------------

WRONG_INPUTS: dict[str, Any] = {
    "bytes per pixel": np.zeros((1, 3, 24, 32), np.uint8),
    "transposed": np.zeros((1, 24, 32, 3), np.float32),
    "another size": np.zeros((1, 3, 24, 33), np.float32),
    "too few channels": np.zeros((1, 1, 24, 32), np.float32),
    "five dimensions": np.zeros((1, 1, 3, 24, 32), np.float32),
    "flat": np.zeros(3 * 24 * 32, np.float32),
    "a scalar": 3.0,
    "text": "picture.png",
    "None": None,
    "objects": np.full((1, 3, 24, 32), None),
    "ragged": [[1.0], [2.0]],
}


@pytest.mark.parametrize("name", WRONG_INPUTS)
def test_wrong_inputs(name: str, detector: dn.Network) -> None:
    for call in (detector.predict, detector.activations):
        refused(lambda call=call: call(WRONG_INPUTS[name]), dn.ArgumentError, "expected an input")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, -1e38])
def test_inputs_that_are_no_numbers(value: float, detector: dn.Network) -> None:
    x = np.full((2, 3, 24, 32), value, np.float32)
    assert survives(lambda: detector.predict(x))
    with dn.Trainer(detector) as trainer:
        survives(lambda: trainer.step(x, np.zeros((2, 450), np.float32)))


@pytest.mark.parametrize(
    "shape", [(2, 0), (2, 7), (2, 449), (2, 451), (1, 450), (3, 450), (450,), (2, 90, 4), (2, 1, 5)]
)
def test_truth_of_a_wrong_shape(shape: tuple[int, ...], detector: dn.Network) -> None:
    with dn.Trainer(detector) as trainer:
        refused(lambda: trainer.step(np.zeros((2, 3, 24, 32)), np.zeros(shape)), ValueError)
        assert trainer.step(np.zeros((2, 3, 24, 32)), np.zeros((2, 450))) >= 0


HEADS = {
    "yolo": TINY_CFG,
    "yolo of the fork": TINY_CFG + "iou_loss=ciou\niou_thresh=.2\nmax=90\n",
    "region": TINY_CFG.split("[yolo]")[0] + "[region]\nnum=2\nclasses=3\nanchors=1,1,2,2\n",
}


@pytest.mark.parametrize("kind", HEADS)
def test_truth_that_is_nonsense(kind: str) -> None:
    """Classes, centres and sizes that no label has: nothing is written where it should not be."""
    values = [np.nan, np.inf, -np.inf, 1e30, -1e30, -1, 0, 1e-30, 0.5, 1, 3, 100, 2**31, -(2**31)]
    rng = np.random.default_rng(5)
    with dn.Network.from_string(HEADS[kind], seed=1) as net:
        truths = net.layers[3].truths
        for _ in range(8):
            truth = rng.choice(values, (2, truths)).astype(np.float32)
            truth[:, ::5] = np.where(truth[:, ::5] == 0, 0.5, truth[:, ::5])  # 0 would end the list
            with dn.Trainer(net) as trainer:
                survives(lambda truth=truth, trainer=trainer: trainer.step(np.zeros((2, 3, 24, 32)), truth))
            net.set_param(0, "scales", np.ones(8))
            net.set_param(2, "biases", np.zeros(16))
            net.set_param(2, "weights", rng.normal(0, 0.1, (16, 8, 1, 1)))


# ---- checkpoints ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "good"
    with dn.Network.from_string(TINY_CFG, seed=1) as net, dn.Trainer(net) as trainer:
        trainer.step(np.zeros((2, 3, 24, 32)), np.zeros((2, 450)))
        trainer.save(path)
    return path.read_bytes()


def resealed(data: bytearray) -> bytes:
    """With the checksum of what it now says: damage on purpose."""
    return bytes(data[:-4]) + struct.pack("<I", zlib.crc32(bytes(data[:-4])))


def test_wrong_checkpoints(checkpoint: bytes, tmp_path: Path, good_weights: bytes) -> None:
    path, rng = tmp_path / "c", random.Random(6)

    def load(data: bytes) -> Callable[[], Any]:
        def call() -> None:
            path.write_bytes(data)
            dn.Trainer.load(path).close()

        return call

    load(checkpoint)()
    for cut in (0, 1, 7, 8, 9, 50, 100, 200, len(checkpoint) // 2, len(checkpoint) - 5, len(checkpoint) - 1):
        refused(load(checkpoint[:cut]), dn.DataError, "checkpoint")
    refused(load(checkpoint + b"\0"), dn.DataError, "damaged checkpoint")
    refused(load(good_weights), dn.DataError, "not a training checkpoint")
    refused(load(TINY_CFG.encode()), dn.DataError, "not a training checkpoint")
    for _ in range(20):
        data = bytearray(checkpoint)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        refused(load(bytes(data)), dn.DataError, "checkpoint")
    for _ in range(60):  # with a checksum that holds, sizes and settings must still be checked
        data = bytearray(checkpoint)
        position = 8 + 4 * rng.randrange(31)
        data[position : position + 4] = struct.pack(
            "<i", rng.choice([0, 1, -1, 2, 7, 1000, 2**31 - 1, -(2**31)])
        )
        survives(load(resealed(data)))
    refused(lambda: dn.Trainer.load(tmp_path), dn.DataError)
    refused(lambda: dn.Trainer.load(tmp_path / "none"), dn.DataError, "no such file")


def test_a_checkpoint_whose_moments_are_missing(tmp_path: Path) -> None:
    """Its length and checksum hold, but the optimiser's state would be read from beyond its end."""
    path = tmp_path / "adam"
    with (
        dn.Network.from_string(TINY_CFG.replace("batch=2", "batch=2\nadam=1")) as net,
        dn.Trainer(net) as trainer,
    ):
        trainer.save(path)
    data = bytearray(path.read_bytes())
    fields = 8 + 3 * 8  # of the magic, and of the sizes before the numbers of parameters and moments
    params, moments = struct.unpack_from("<QQ", data, fields)
    assert moments == 2 * params
    struct.pack_into("<Q", data, fields + 8, 2)
    end = len(data) - 4
    del data[end - 4 * (moments - 2) : end]
    path.write_bytes(resealed(data))
    refused(lambda: dn.Trainer.load(path), dn.DataError, "its cfg and its parameters don't fit")


# ---- writing --------------------------------------------------------------------------------------------


def test_failed_writes_leave_nothing_behind(tmp_path: Path, detector: dn.Network) -> None:
    (tmp_path / "folder.weights").mkdir()
    (tmp_path / "file").write_text("x", "utf-8")
    with dn.Trainer(detector) as trainer:
        for write in (detector.save_weights, trainer.save):
            for target in ("none/x.weights", "folder.weights", "file/x.weights", "x" * 300, ""):
                path = tmp_path / target if target else ""
                refused(lambda write=write, path=path: write(path), dn.FileError)
            refused(lambda write=write: write("a\0b"), dn.ArgumentError, "null character")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.weights"]
    assert (tmp_path / "file").read_text("utf-8") == "x"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a limit on file sizes")
def test_a_full_disk_keeps_the_old_file(tmp_path: Path, detector: dn.Network) -> None:
    import resource
    import signal

    path = tmp_path / "x.weights"
    detector.save_weights(path)
    before = path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        refused(lambda: detector.save_weights(path), dn.WeightsError, "x.weights: can't write")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["x.weights"]


# ---- names, lists, labels, trees ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"\xff\xfe\0a", bytes(1000), b"a" * 1_000_000, b"a\r\nb\r\n"]
)
def test_odd_names_files(content: bytes, tmp_path: Path, picture: np.ndarray) -> None:
    (tmp_path / "x.names").write_bytes(content)

    def run() -> None:
        with dn.Network.from_string(TINY_CFG, names=tmp_path / "x.names") as net:
            net.detect(picture, thresh=0.01).to_json()

    assert survives(run)


def test_names_files_that_are_none(tmp_path: Path) -> None:
    refused(lambda: dn.Network.from_string(TINY_CFG, names=tmp_path), dn.DataError)
    refused(lambda: dn.Network.from_string(TINY_CFG, names=tmp_path / "none"), dn.DataError, "no such file")


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 50, b"a\n", b"a x\n", b"a 5\n", b"a 0\n", b"a -1\nb 1\n", b"a -1\nb 0\nc -1\n", b"a -2\n",
     b"a 99999999999999\n", b"\xff\xfe\n", b"a -1 " * 1000, b"<html>\n"],
)  # fmt: skip
def test_odd_trees(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.tree"
    path.write_bytes(content)

    def run() -> None:
        tree = dn.WordTree(path)
        tree.absolute(np.full(len(tree), 0.5))
        tree.top(np.full(len(tree), 0.5))

    survives(run)
    cfg = f"[net]\ninputs=3\n[softmax]\ntree={path}\n".encode()
    survives(lambda: dn.Network(cfg).close())


WRONG_LABELS = {
    "text": b"this is no label\n",
    "too few values": b"0 0.5 0.5 0.1\n",
    "too many values": b"0 0.5 0.5 0.1 0.1 7 8 9\n",
    "a negative class": b"-1 0.5 0.5 0.1 0.1\n",
    "a class beyond": b"3 0.5 0.5 0.1 0.1\n",
    "a class of 1e99": b"1e99 0.5 0.5 0.1 0.1\n",
    "half a class": b"0.5 0.5 0.5 0.1 0.1\n",
    "NaN": b"0 nan 0.5 0.1 0.1\n",
    "infinite": b"0 0.5 0.5 inf 0.1\n",
    "pixels": b"0 250 130 40 50\n",
    "a negative size": b"0 0.5 0.5 -0.1 0.1\n",
    "nothing but a class": b"1\n",
    "a later line": b"0 0.5 0.5 0.1 0.1\n1 2 3\n",
    "zero bytes": bytes(100),
    "random bytes": random.Random(7).randbytes(300),
    "a picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
}


@pytest.mark.parametrize("name", WRONG_LABELS)
def test_wrong_labels_name_file_and_line(name: str, tmp_path: Path) -> None:
    data = pytest.importorskip("darknet_py.data")
    path = tmp_path / "x.txt"
    path.write_bytes(WRONG_LABELS[name])
    line = 2 if name == "a later line" else r"\d+"
    refused(lambda: data.read_labels(path, 3), dn.DataError, rf"x\.txt(:{line}:|: )")


def test_odd_but_right_labels(tmp_path: Path) -> None:
    data = pytest.importorskip("darknet_py.data")
    for content in (
        b"",
        b"\n\n",
        b"\xef\xbb\xbf0 .5 .5 .1 .1\r\n",
        b"0 0.5 0.5 0.1 0.1",
        b"0\t.5 .5  .1 .1 \n",
    ):
        (tmp_path / "x.txt").write_bytes(content)
        assert survives(lambda: data.read_labels(tmp_path / "x.txt", 3))


def test_wrong_lists_and_data_files(tmp_path: Path) -> None:
    data = pytest.importorskip("darknet_py.data")
    path = tmp_path / "x.data"
    for content in (b"", bytes(50), b"\xff\xfe\xff", b"nonsense\n", b"classes\n", b"classes = many\n", b"classes = -3\n",
                    b"classes = 99999999999999999999\n", b"names = \n", b"classes = 2\nnames = none.names\n",
                    random.Random(8).randbytes(500)):  # fmt: skip
        path.write_bytes(content)

        def run() -> None:
            file = data.DataFile(path)
            _ = file.classes
            _ = file.labels
            file.images("train")

        refused(run, dn.DataError)
    for content in (
        b"",
        b"\n\n",
        bytes(50),
        b"# only a comment\n",
        b"none.jpg\n",
        random.Random(9).randbytes(500),
    ):
        (tmp_path / "x.txt").write_bytes(content)
        survives(lambda: data.labels_of(data.read_list(tmp_path / "x.txt"), 3))
    refused(lambda: data.DataFile(tmp_path), dn.DataError)
    refused(lambda: data.DataFile(tmp_path / "none"), dn.DataError, "no such")
    refused(lambda: data.read_list(tmp_path / "none"), dn.DataError, "no such")


def test_a_truth_without_an_area_is_an_error_of_the_data() -> None:
    """Its logarithm would be infinite, and look like training that diverges."""
    net = dn.Network.from_string(TINY_CFG)
    head = next(layer for layer in net.layers if layer.head)
    _, rows, values = head.head
    truth = np.zeros((net.input_shape[0], rows, values), np.float32)
    truth[:, 0, :4] = [0.5, 0.5, 0.2, 0.2]
    truth[-1, 0, 2] = 0
    x = np.zeros(net.input_shape, np.float32)
    refused(lambda: dn.Trainer(net).backward(x, truth), dn.DataError, "box of 0 x 0.2")

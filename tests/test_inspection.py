"""Numbers about networks, and pictures of and around them: operations, speed, statistics, filters, stereo."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("darknet_py._native", reason="the core is not built")

from PIL import Image
from test_surgery import write

import darknet_py as dn
from darknet_py import inspection, pictures
from darknet_py.cli import main

CFG = """[net]
width=16
height=12
channels=3
[convolutional]
batch_normalize=1
filters=5
size=7
stride=2
pad=1
[convolutional]
filters=2
size=3
[connected]
output=3
"""


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, str]:
    cfg, weights = write(tmp_path, CFG)
    return str(cfg), str(weights)


@pytest.fixture
def image(tmp_path: Path) -> str:
    y, x = np.mgrid[0:100, 0:80]
    pixels = np.stack([x * 3, y * 2, 40 * np.sin(x * y / 300) + 99], 2).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "hill.png")
    return str(tmp_path / "hill.png")


# ---- numbers -------------------------------------------------------------------------------------------


def test_operations_are_two_per_multiply_add(
    model: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    count = 2 * (8 * 6 * 5 * 3 * 49 + 6 * 4 * 2 * 5 * 9 + 48 * 3)
    assert main(["ops", model[0]]) == 0
    assert capsys.readouterr().out == (
        f"Floating Point Operations: {count}\nFloating Point Operations: {count / 1e9:.2f} Bn\n"
    )


@pytest.mark.parametrize(
    ("name", "billions"),
    [("yolov3-tiny", 5.56), ("tiny-darknet", 0.98), ("darknet19", 7.29), ("resnet50", 9.74)],
)
def test_operations_of_published_networks(name: str, billions: float) -> None:
    """As https://pjreddie.com lists them: pictures of 416, 224, 256 and 256 pixels."""
    with dn.Network(Path(__file__).parent.parent / "cfg" / f"{name}.cfg") as net:
        assert round(inspection.operations(net) / 1e9, 2) == billions


def test_adding_maps_is_no_operation() -> None:
    with dn.Network.from_string(CFG.split("[connected]")[0] + "[shortcut]\nfrom=-2\n") as net:
        assert inspection.operations(net) == 2 * (8 * 6 * 5 * 3 * 49 + 6 * 4 * 2 * 5 * 9)
        assert net.layers[2].flops > 0


def test_speed_prints_what_fits_together(model: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", model[0], "20", "-threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"20 evals, [\d.]+ Seconds", lines[0])
    assert lines[1] == "Floating Point Operations: 0.00 Bn" and lines[2].startswith("FLOPS: ")
    each = float(re.fullmatch(r"Speed: ([\d.]+) sec/eval", lines[3])[1])  # type: ignore[index]
    rate = float(re.fullmatch(r"Speed: ([\d.]+) Hz", lines[4])[1])  # type: ignore[index]
    assert each * rate == pytest.approx(1, rel=0.05)
    with dn.Network(model[0]) as net, pytest.raises(dn.ArgumentError):
        inspection.speed(net, 0)


def test_statistics_of_every_array(model: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with dn.Network(*model) as net:
        rows = list(inspection.statistics(net))
        weights = net.layers[2].params["weights"].astype(np.float64).ravel()
    assert [row.name for row in rows if row.layer == 0] == [
        "biases",
        "scales",
        "rolling_mean",
        "rolling_variance",
        "weights",
    ]
    last = rows[-1]
    assert (last.layer, last.type, last.values) == (2, "connected", 144)
    assert last.rms == pytest.approx(np.sqrt((weights @ weights) / 144))
    assert last.mean == pytest.approx(weights.sum() / 144)
    assert last.variance == pytest.approx(np.square(weights - weights.mean()).sum() / 143)
    assert main(["statistics", *model]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Layer 0 convolutional" and len(lines) == 3 + 5 + 2 + 2
    assert lines[-1] == (f"weights MSE: {last.rms:.6f}, Mean: {last.mean:.6f}, Variance: {last.variance:.6f}")


def test_print_gives_a_line_per_filter(model: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["print", *model, "1"]) == 0
    rows = np.array([line.split() for line in capsys.readouterr().out.splitlines()], np.float64)
    with dn.Network(*model) as net:
        np.testing.assert_allclose(rows, net.layers[1].params["weights"].reshape(2, -1), rtol=1e-5)
        assert inspection.weight_rows(net, 2)["weights"].shape == (3, 48)
    assert main(["print", *model, "3"]) == 1
    assert "expected a layer 0..2, found 3" in capsys.readouterr().err


# ---- pictures ------------------------------------------------------------------------------------------


def test_filters_are_drawn_stretched_and_apart(
    model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with dn.Network(*model) as net:
        sheet = pictures.filters_picture(net)
        weights = net.layers[0].params["weights"]
        grey = pictures.filters_picture(net, 1)
        with pytest.raises(dn.ArgumentError, match="no filters"):
            pictures.filters_picture(net, 2)
    side = 28 + 1  # 7 pixels, four times as large, and a line
    assert sheet.shape == (3, 2 * side + 1, 3 * side + 1) and sheet.min() == 0 and sheet.max() == 1
    tile = sheet[:, 1 + side : 2 * side : 4, 1:side:4]  # filter 3
    expected = (weights[3] - weights[3].min()) / (weights[3].max() - weights[3].min())
    np.testing.assert_allclose(tile, expected, atol=1e-6)
    assert grey.shape == (3, 2 * 25 + 1, 5 * 25 + 1)
    out = tmp_path / "f.png"
    for weights_given in ([], [model[1]]):
        assert main(["visualize", model[0], *weights_given, "-out", str(out)]) == 0
        assert capsys.readouterr().out == f"{out}\n"
    with Image.open(out) as made:
        assert made.size == (3 * side + 1, 2 * side + 1)


def test_collages_are_made_of_filters(
    model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made"
    assert main(["mkimg", *model, "30", "50", "2", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'gen_0.png'}\n{folder / 'gen_1.png'}\n"
    first, second = (np.asarray(Image.open(folder / f"gen_{n}.png")) for n in range(2))
    assert first.shape == (30, 50, 3) and first.std() > 10 and (first != second).any()
    with dn.Network(*model) as net, pytest.raises(dn.ArgumentError, match="no room"):
        next(pictures.collages(net, 6, 30, 1))


@pytest.mark.parametrize("verb", ["imtest", "test"])
def test_the_jitter_sheet(image: str, tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sheet.png"
    assert main([verb, image, "-out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    pixels = np.asarray(Image.open(image)).astype(np.float64) / 255
    assert float(lines[0].removeprefix("L2 Norm: ")) == pytest.approx(np.linalg.norm(pixels), rel=1e-4)
    chosen = np.array([line.split() for line in lines[1:]], float)
    assert chosen.shape == (4, 3) and (np.abs(chosen[:, 0]) <= 0.05).all()
    assert (chosen[:, 1:] >= 1 / 1.1501).all() and (chosen[:, 1:] <= 1.1501).all()
    with Image.open(out) as made:
        assert made.size == (800, 4 * 216)
    assert main([verb, image, "-out", image]) == 1


def test_an_anaglyph_aligns_rows_and_mixes_channels(
    image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = dn.images.load(image)
    right = np.roll(left, 1, axis=1)  # a row too low
    made, shift = pictures.anaglyph(dn.images.to_pil(left), dn.images.to_pil(right), 3)
    assert shift == 1
    np.testing.assert_allclose(made[0], left[0], atol=1 / 254)
    np.testing.assert_allclose(made[1:, :-1, :-3], left[1:, :-1, 3:], atol=1 / 254)
    with pytest.raises(dn.ArgumentError, match="80 pixels wide"):
        pictures.anaglyph(left.transpose(1, 2, 0), right.transpose(1, 2, 0), -80)
    with pytest.raises(dn.ArgumentError, match="seed"):
        pictures.jitter_sheet(image, seed=1 << 64)
    other = tmp_path / "other.png"
    dn.images.save(right, other)
    out = tmp_path / "stereo"
    assert main(["3d", image, str(other), str(out), "-2"]) == 0
    assert capsys.readouterr().out == f"{out}.jpg\n" and Path(f"{out}.jpg").exists()
    dn.images.save(right[:, 1:], other)
    assert main(["3d", image, str(other), str(out)]) == 1
    assert "80 x 100 and 80 x 99" in capsys.readouterr().err
    assert main(["3d", image, str(other), image]) == 1

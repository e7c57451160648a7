"""What training runs say about their data, and what they draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import darknet_py as dn
from darknet_py import training
from darknet_py.data import write_whole
from darknet_py.loaders import Batch
from darknet_py.run_pictures import batch_picture, charts

CFG = """
[net]
batch=2
width=32
height=32
channels=3
learning_rate=.001
max_batches=6
[convolutional]
filters=14
size=3
stride=8
pad=1
activation=linear
[yolo]
mask=2,3
anchors=2,2, 3,3, 200,200, 220,220
classes=2
num=4
"""

MORE = "activation=leaky\n[convolutional]\nfilters=14\nactivation=linear"


def data_set(rows: list[str]) -> Path:
    """A .data file of four grey pictures with these labels each."""
    for i in range(4):
        write_whole(f"set/{i}.txt", "".join(f"{row}\n" for row in rows))
        Image.new("RGB", (64, 64), (90, 90, 90)).save(f"set/{i}.png")
    write_whole("set/train.txt", "".join(f"{Path(f'set/{i}.png').absolute()}\n" for i in range(4)))
    write_whole("set/my.names", "apple\npear\n")
    write_whole("set/my.data", "classes=2\ntrain=set/train.txt\nnames=set/my.names\nbackup=set/backup\n")
    write_whole("set/net.cfg", CFG)
    return Path("set/my.data")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def warnings_of(rows: list[str], caplog: pytest.LogCaptureFixture) -> str:
    training.train_detector(data_set(rows), "set/net.cfg", quiet=True, check=False)
    return caplog.text


def test_a_head_without_a_box_is_told_with_its_anchors(caplog: pytest.LogCaptureFixture) -> None:
    text = warnings_of(["0 .5 .5 .1 .1", "1 .2 .2 .1 .1"], caplog)
    assert "layer 1 [yolo] was given none of the" in text and "its anchors 200x200, 220x220" in text
    assert "most boxes are 3x3 to 3x3 pixels" in text and "classes have" not in text


def test_a_class_without_a_box_is_told_by_name(caplog: pytest.LogCaptureFixture) -> None:
    text = warnings_of(["0 .5 .5 .9 .9"], caplog)
    assert "1 of 2 classes have no box in the training list, and can't be learned: pear" in text
    assert "was given none" not in text


def test_boxes_that_all_vanish_are_told(caplog: pytest.LogCaptureFixture) -> None:
    text = warnings_of(["0 .5 .5 .0004 .0004", "1 .5 .5 .0004 .0004"], caplog)
    assert "none of the 8 boxes" in text and "thousandth" in text


def test_a_grid_that_sees_no_box_is_told(caplog: pytest.LogCaptureFixture) -> None:
    data = data_set(["0 .5 .5 .003 .003", "1 .5 .5 .003 .003"])
    head = "[connected]\noutput=48\nactivation=linear\n[detection]\nclasses=2\ncoords=4\nside=2\nnum=2\n"
    write_whole("set/net.cfg", CFG.partition("[convolutional]")[0] + head)
    training.train_detector(data, "set/net.cfg", quiet=True)
    assert "none of the 8 boxes" in caplog.text and "5 thousandth" in caplog.text


def test_the_first_batch_is_drawn_with_its_boxes() -> None:
    training.train_detector(data_set(["1 .5 .5 .8 .8", "0 .5 .5 .2 .2"]), "set/net.cfg", quiet=True)
    with Image.open("set/backup/net_batch.jpg") as picture:
        assert picture.size == (64, 32)
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert (pixels.max(2) - pixels.min(2)).max() > 100  # grey but for boxes and names


def test_boxes_of_every_kind_of_truth_are_drawn_where_they_are() -> None:
    x = np.zeros((1, 1, 100, 100), np.float32)
    rows = np.zeros((1, 5, 5), np.float32)
    rows[0, 0] = 0.5, 0.5, 0.4, 0.4, 1
    cells = np.zeros((1, 9, 7), np.float32)
    cells[0, 4] = 1, 0, 1, 0.5, 0.5, 0.4, 0.4
    classes = np.array([[0, 1]], np.float32)
    for truth, side, box in ((rows, 0, (30, 69)), (cells, 3, (30, 69)), (classes, 0, (0, 99))):
        batch_picture(Batch(x, truth), Path("x.jpg"), ["a", "b"], side)
        with Image.open("x.jpg") as picture:
            bright = np.asarray(picture.convert("L"))[:, 60:] > 40  # right of the name
        found = np.flatnonzero(bright.any(1))
        assert (abs(found[[0, -1]] - box) <= 3).all(), (truth.shape, found)


def test_charts_need_matplotlib_and_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.delenv("DISPLAY", raising=False)
    rows = ['{"iteration": 1, "loss": 2.0, "average": 2.0, "rate": 0.1}']
    rows += ['{"iteration": 2, "loss": 1.0, "average": 1.9, "rate": 0.1}']
    rows += ['{"iteration": 2, "score": 0.5, "name": "mAP@0.50"}', '{"iteration": 3, "lo']
    write_whole("metrics.jsonl", "\n".join(rows))
    charts(Path("metrics.jsonl"), Path("charts.png"))
    with Image.open("charts.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
    training.train_detector(data_set(["0 .5 .5 .9 .9"]), "set/net.cfg", quiet=True, plot=True)
    assert Path("set/backup/net_charts.png").exists()


def test_training_starts_from_the_first_layers_alone(caplog: pytest.LogCaptureFixture) -> None:
    info = data_set(["0 .5 .5 .9 .9"])
    Path("set/net.cfg").write_text(
        CFG.replace(".001", "0").replace("=6", "=1").replace("activation=linear", MORE)
    )
    with dn.Network("set/net.cfg", seed=5) as net:
        first = net.layers[0].params["weights"]
        net.save_weights("cut", cutoff=1)
        net.save_weights("whole")
    Path("longer").write_bytes(Path("whole").read_bytes() + b"1234")
    Path("torn").write_bytes(Path("cut").read_bytes()[:-4])

    for start, told in (("cut", True), ("whole", False)):
        caplog.clear()
        training.train_detector(info, "set/net.cfg", start, quiet=True)
        assert ("cut: ends before layer 1; it and" in caplog.text) == told
        with dn.Network("set/net.cfg", "set/backup/net_final.weights") as net:
            assert np.array_equal(net.layers[0].params["weights"], first)
    for start, reason in (("longer", "4 bytes are left after the last layer"), ("torn", "ends in layer 0")):
        with pytest.raises(dn.WeightsError, match=reason):
            training.train_detector(info, "set/net.cfg", start, quiet=True)

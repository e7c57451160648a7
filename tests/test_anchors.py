"""Anchors of a data set: k-means with restarts, the sweep over their number, and new .cfg files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_CFG
from PIL import Image

pytest.importorskip("darknet_py._native", reason="the core is not built")

import darknet_py as dn
from darknet_py import anchors
from darknet_py.anchor_cfg import anchor_frame, write_anchor_cfg
from darknet_py.cli import main
from darknet_py.errors import ArgumentError

ROOT = Path(__file__).parents[1]
REGION_CFG = TINY_CFG.replace(
    "[yolo]\nmask=0,1\nanchors=4,5, 10,12", "[region]\n# by hand\nanchors=1,1.5, 2,2\nsoftmax=1"
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


def groups(*sizes: tuple[float, float]) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([np.array(size) * rng.uniform(0.97, 1.03, (20, 2)) for size in sizes])


def test_restarts_find_what_one_beginning_may_miss() -> None:
    boxes = groups((10, 10), (40, 40), (160, 160), (640, 640))
    once = [anchors.cluster_sizes(boxes, 4, seed)[1] for seed in range(10)]
    assert min(once) < 0.9  # two beginnings in one group
    best, overlap, _ = anchors.cluster_sizes(boxes, 4, 0, restarts=30)
    assert overlap > 0.95 and overlap >= once[0]
    np.testing.assert_allclose(best[:, 0], [10, 40, 160, 640], rtol=0.03)
    again = anchors.cluster_sizes(boxes, 4, 0, restarts=30)
    assert (again[0] == best).all()


def test_a_sweep_by_hand() -> None:
    # One anchor between 10 x 10 and 10 x 30 is 10 x 20: IoU 1/2 and 2/3.
    assert anchors.sweep_clusters([[10, 10], [10, 30]]) == [(1, pytest.approx(7 / 12)), (2, 1)]
    sweep = anchors.sweep_clusters(groups((10, 10), (40, 40), (160, 160)), restarts=10)
    assert [k for k, _ in sweep] == list(range(1, 16))
    assert sweep[1][1] < 0.8 < 0.95 < sweep[2][1]
    assert len(anchors.sweep_clusters(groups((10, 10)), 4)) == 4


def test_as_many_anchors_as_before_keep_the_masks() -> None:
    # yolov3-tiny uses anchor 1 on the fine grid although 0 is smaller; that is its author's business.
    source = ROOT / "cfg" / "yolov3-tiny.cfg"
    assert anchor_frame(source).num == 6 and anchor_frame(source).heads == 2
    sizes = np.array([[60, 60], [5, 5], [10, 10.123], [20, 20], [30, 30], [40, 40]])
    with dn.Network(str(source), initialize=False) as net:
        before = [layer.option("mask") for layer in net.layers if layer.head]
    masks = write_anchor_cfg(source, "new.cfg", sizes)
    assert [",".join(map(str, mask)) for mask in masks] == before
    text = Path("new.cfg").read_text().splitlines()
    assert text.count("anchors=5,5, 10,10.12, 20,20, 30,30, 40,40, 60,60") == 2
    same = [a == b for a, b in zip(source.read_text().splitlines(), text, strict=True)]
    assert same.count(False) == 2


def test_another_number_of_anchors_changes_masks_and_filters() -> None:
    source = ROOT / "cfg" / "yolov3.cfg"
    sizes = np.outer(np.arange(1, 8) * 10, [1, 1])
    masks = write_anchor_cfg(source, "new.cfg", sizes)
    # In the file the coarsest grid comes first; it takes what is left over.
    assert masks == [[4, 5, 6], [2, 3], [0, 1]]
    with dn.Network("new.cfg", initialize=False) as net:
        heads = [layer for layer in net.layers if layer.head]
        assert [layer.option("num") for layer in heads] == ["7"] * 3
        assert [net.layers[layer.index - 1].out_shape[0] for layer in heads] == [3 * 85, 2 * 85, 2 * 85]
        assert [layer.out_shape[0] for layer in heads] == [255, 170, 170]
    with pytest.raises(ArgumentError, match="an anchor for each of the 3 heads, found 2"):
        write_anchor_cfg(source, "new.cfg", sizes[:2])
    with pytest.raises(ArgumentError, match="another file of this command"):
        write_anchor_cfg(source, source, sizes)


def test_region_has_its_anchors_in_cells() -> None:
    Path("old.cfg").write_text(REGION_CFG)
    frame = anchor_frame("old.cfg")
    assert (frame.width, frame.height, frame.num, frame.heads) == (8, 6, 2, 1)
    assert write_anchor_cfg("old.cfg", "new.cfg", np.array([[3, 3], [0.51239, 1], [7, 5]])) == [[0, 1, 2]]
    text = Path("new.cfg").read_text()
    assert "anchors=0.5124,1, 3,3, 7,5\n" in text and "# by hand" in text and "mask" not in text
    with dn.Network("new.cfg", initialize=False) as net:
        assert net.layers[-1].option("num") == "3" and net.layers[-2].out_shape[0] == 24


def test_cfgs_whose_anchors_cannot_change_are_errors() -> None:
    Path("none.cfg").write_text(TINY_CFG.split("[yolo]")[0])
    with pytest.raises(ArgumentError, match="no layer with anchors"):
        anchor_frame("none.cfg")
    Path("odd.cfg").write_text(TINY_CFG.replace("[yolo]", "[dropout]\nprobability=.5\n[yolo]"))
    write_anchor_cfg("odd.cfg", "new.cfg", np.ones((2, 2)))
    with pytest.raises(ArgumentError, match=r"layer 4 \(yolo\) gets 3 anchors instead of 2"):
        write_anchor_cfg("odd.cfg", "new.cfg", np.ones((3, 2)))


def test_the_command_writes_a_cfg_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for k in range(13):
        path = tmp_path / f"set_{k:03d}.png"
        Image.new("RGB", (40, 30)).save(path)
        side = (0.1, 0.4, 0.9)[k % 3]
        if k < 12:
            path.with_suffix(".txt").write_text(f"0 .5 .5 {side} {side}\n")
        paths.append(f"{path}\n")
    Path("list.txt").write_text("".join(paths))
    Path("d.data").write_text("classes=3\ntrain=list.txt\n")
    Path("tiny.cfg").write_text(TINY_CFG)
    command = ["detector", "calc_anchors", "d.data"]
    arguments = ["-from", "tiny.cfg", "-write", "new.cfg", "-num_of_clusters", "3", "-sweep"]
    assert main([*command, *arguments]) == 0
    output = capsys.readouterr()
    assert "num_of_clusters = 3, width = 32, height = 24" in output.err
    assert output.err.count("no label file") == 1
    lines = output.out.splitlines()
    assert "avg IoU = 100.00 %" in lines and " 3 anchors: avg IoU = 100.00 %" in lines
    assert "12 anchors: avg IoU = 100.00 %" in lines and "new.cfg: mask = 0,1,2" in lines
    with dn.Network("new.cfg", initialize=False) as net:
        assert net.layers[-1].option("anchors") == "3.2,2.4,12.8,9.6,28.8,21.6"
        assert net.layers[-2].out_shape[0] == 24
    assert main([*command, *arguments, "-json", "-q"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["masks"] == [[0, 1, 2]] and len(document["sweep"]) == 12
    assert main([*command, "-write", "new.cfg"]) == 1
    assert "-write needs -from" in capsys.readouterr().err
    assert main([*command, "-from", "tiny.cfg", "-width", "32"]) == 1
    assert "leave -width and -height out" in capsys.readouterr().err

"""The drawn data set: the same seed gives the same files, and labels fit what is drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("darknet_py._native", reason="the core is not built")

from darknet_py import data, synth
from darknet_py.cli import main
from darknet_py.errors import DataError


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix in (".jpg", ".txt"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.parent != folder}


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name, seed, count in (("a", 7, 12), ("b", 7, 20), ("c", 8, 12)):
        synth.generate(tmp_path / name, train=count, val=3, size=96, seed=seed, quiet=True)
    first, more, other = (_contents(tmp_path / name) for name in "abc")
    assert len(first) == 30
    assert {key: more[key] for key in first} == first  # also when more pictures are drawn
    assert all(other[key] != first[key] for key in first if key.endswith(".jpg"))


def test_the_data_file_leads_to_pictures_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = synth.generate(tmp_path / "with space", train=6, val=2, size=96, quiet=True)
    monkeypatch.chdir("/")
    info = data.DataFile(path)
    assert info.classes == len(synth.KINDS) >= 8
    assert info.names == list(synth.KINDS)
    images = [*info.images("train"), *info.images("valid")]
    assert len(images) == 8
    for image in images:
        with Image.open(image) as picture:
            assert picture.size == (96, 96)
        labels = data.read_labels(data.find_label(image), info.classes)
        low, high = labels[:, 1:3] - labels[:, 3:] / 2, labels[:, 1:3] + labels[:, 3:] / 2
        assert (low >= -1e-5).all() and (high <= 1 + 1e-5).all()


def test_a_second_run_replaces_the_pictures_and_keeps_the_rest(tmp_path: Path) -> None:
    synth.generate(tmp_path, train=5, val=1, size=64, quiet=True)
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "synth_last.weights").write_bytes(b"precious")
    synth.generate(tmp_path, train=2, val=1, size=64, quiet=True)
    assert len(list((tmp_path / "images" / "train").iterdir())) == 2
    assert (tmp_path / "backup" / "synth_last.weights").read_bytes() == b"precious"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_of_other_pictures_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="another folder"):
        synth.generate(tmp_path, train=1, val=0, quiet=True)
    assert (tmp_path / "images" / "mine.jpg").exists()


@pytest.mark.parametrize("wrong", [{"train": 0}, {"val": -1}, {"size": 10}, {"size": 4097}, {"seed": -1}])
def test_impossible_numbers(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(DataError):
        synth.generate(tmp_path / "x", quiet=True, **wrong)  # type: ignore[arg-type]


def test_pictures_of_absurd_size_are_not_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["-hierarchy"]):
        assert main(["synth", str(tmp_path / "set"), "-size", "1000000000", *more]) == 1
        assert capsys.readouterr().err.endswith("pictures are 48 to 4096 pixels per side, not 1000000000\n")
    assert not (tmp_path / "set").exists()


def test_all_kinds_appear_and_boxes_are_large_enough_to_see() -> None:
    kinds: Counter[int] = Counter()
    sides = []
    for index in range(60):
        _, boxes = synth.example(0, 0, index, 160)
        kinds.update(box.kind for box in boxes)
        sides += [max(box.right - box.left, box.bottom - box.top) for box in boxes]
    assert set(kinds) == set(range(len(synth.KINDS)))
    assert min(sides) >= 9
    assert max(sides) > 60


@pytest.mark.parametrize("kind", synth.KINDS)
def test_the_box_is_tight_around_the_shape(kind: str) -> None:
    mask = synth._coverage(kind, 20, 0.7, 1.05, (40.3, 39.6), (0, 0, 80, 80)) >= 0.5
    placed = synth._Placed(synth.KINDS.index(kind), mask)
    box = placed.box()
    inside = np.zeros_like(mask)
    inside[box.top : box.bottom, box.left : box.right] = True
    assert not (mask & ~inside).any()
    assert mask[:, box.left].any() and mask[:, box.right - 1].any()
    assert mask[box.top].any() and mask[box.bottom - 1].any()
    assert 25 < box.right - box.left < 48


def test_a_scene_has_its_size_and_is_repeatable() -> None:
    picture, boxes = synth.scene(3, (200, 120), 6)
    again, same = synth.scene(3, (200, 120), 6)
    assert picture.size == (200, 120)
    assert picture.tobytes() == again.tobytes() and boxes == same
    assert 3 <= len(boxes) <= 6
    with pytest.raises(DataError):
        synth.scene(0, (10, 10))

"""`check DATA CFG --fix`: each mistake of a cfg corrected, nothing else changed; and checks before training."""
# ruff: noqa: E501 (one row of a table, one line)

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data_sets import CFG, CLASSIFIER, classification_set, detection_set

pytest.importorskip("darknet_py._native", reason="the core is not built")

import darknet_py as dn
from darknet_py import training
from darknet_py.checking import check_training, memory, repair
from darknet_py.cli import main

GIGABYTE = 1 << 30
ANCHORS = "anchors=4,5, 10,12, 30,32, 60,61"


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine", lambda: memory.Machine(8 * GIGABYTE, 8 * GIGABYTE))


#: What is changed in a sound cfg, and the lines that must be changed back, or to what.
WRONG = [
    ("classes", "classes=2", "classes=80", {"classes: 80 -> 2"}),
    ("filters", "filters=14", "filters=255", {"filters: 255 -> 14"}),
    ("activation", "filters=14\nactivation=linear", "filters=14\nactivation=leaky", {"activation: leaky -> linear"}),
    ("num", "num=4", "num=9", {"num: 9 -> 4"}),
    ("masks", "mask=2,3", "mask=0,1", {"mask: 0,1 -> 2,3"}),
    ("a mask out of range", "mask=2,3", "mask=3,4", {"mask: 3,4 -> 2,3"}),
    ("anchors", ANCHORS, "anchors=1,1, 2,2, 3,3, 90,90", {"k-means of this data"}),
    ("size", "=96", "=100", {"width: 100 -> 96", "height: 100 -> 96"}),
    ("one image", "batch=4", "batch=1\nsubdivisions=1", {"batch: 1 -> 64", "subdivisions: 1 -> 16"}),
    ("less than subdivisions", "batch=4", "batch=4\nsubdivisions=8", {"subdivisions: 8 -> 1"}),
    ("no multiple", "batch=4", "batch=5\nsubdivisions=2", {"batch: 5 -> 4"}),
    ("steps", "steps=80,90", "steps=400000,450000", {"steps: 400000,450000 -> 80,90"}),
    ("no steps", "steps=80,90\n", "", {"steps: not given -> 80,90"}),
    ("few epochs", "max_batches=100", "max_batches=9", {"max_batches: 9 -> 4000", "steps: 80,90 -> 3200,3600"}),
    ("burn-in", "batch=4", "batch=4\nburn_in=1000", {"burn_in: 1000 -> 5"}),
    ("rate", "batch=4", "batch=4\nlearning_rate=10", {"learning_rate: 10 -> 0.001"}),
    ("momentum", "batch=4", "batch=4\nmomentum=1", {"momentum: 1 -> 0.9"}),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), [pytest.param(*row[1:], id=row[0]) for row in WRONG])
def test_a_mistake_is_corrected_and_nothing_else(
    old: str, new: str, expected: set[str], tmp_path: Path
) -> None:
    folder = detection_set(tmp_path)
    assert old in CFG
    (folder / "bad.cfg").write_text("# mine\n" + CFG.replace(old, new) + "# the end\n")
    before = (folder / "bad.cfg").read_bytes()
    found = check_training(folder / "my.data", folder / "bad.cfg", most_opened=0)
    assert found.report.errors or found.report.warnings
    changes = [str(change) for change in repair(found, folder / "good.cfg")]
    for part in expected:
        assert any(part in change for change in changes), (part, changes)
    assert all(any(part in change for part in expected) or "scales" in change for change in changes), changes
    left = check_training(folder / "my.data", folder / "good.cfg", most_opened=0).report
    assert not left.errors and not left.warnings, [str(one) for one in left]
    text = (folder / "good.cfg").read_text()
    assert text.startswith("# mine\n") and text.endswith("# the end\n")
    assert (folder / "bad.cfg").read_bytes() == before
    with dn.Network(folder / "good.cfg", initialize=False):
        pass


def test_a_sound_cfg_stays_as_it_is(tmp_path: Path) -> None:
    folder = detection_set(tmp_path)
    found = check_training(folder / "my.data", folder / "my.cfg", most_opened=0)
    assert repair(found, folder / "same.cfg") == []
    assert (folder / "same.cfg").read_text() == CFG


def test_all_mistakes_at_once_and_a_number_of_anchors_of_its_own(tmp_path: Path) -> None:
    folder = detection_set(tmp_path)
    text = CFG.replace(ANCHORS, "anchors=4,5, 10,12, 20,21, 30,32, 60,61").replace("num=4", "num=9")
    text = (
        text.replace("classes=2", "classes=80")
        .replace("filters=14", "filters=255")
        .replace("batch=4", "batch=1")
    )
    (folder / "bad.cfg").write_text(text)
    repair(check_training(folder / "my.data", folder / "bad.cfg"), folder / "good.cfg")
    with dn.Network(folder / "good.cfg", initialize=False) as net:
        heads = [layer for layer in net.layers if layer.head]
        assert [head.option("mask") for head in heads] == ["2,3,4", "0,1"]
        assert [head.out_shape[0] for head in heads] == [21, 14]


def test_a_classifier_gets_an_output_per_class(tmp_path: Path) -> None:
    folder = classification_set(tmp_path)
    (folder / "bad.cfg").write_text(CLASSIFIER.replace("filters=2", "filters=1000"))
    (change,) = repair(check_training(folder / "my.data", folder / "bad.cfg"), folder / "good.cfg")
    assert "layer 0 [convolutional] filters: 1000 -> 2" in str(change)


def test_memory_is_saved_by_subdivisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = detection_set(tmp_path)
    (folder / "my.cfg").write_text(CFG.replace("=96", "=640").replace("batch=4", "batch=64"))
    monkeypatch.setattr(memory, "machine", lambda: memory.Machine(8 * GIGABYTE, GIGABYTE // 4))
    monkeypatch.setattr(memory, "CACHE_BYTES", 100 << 20)
    changes = repair(check_training(folder / "my.data", folder / "my.cfg"), folder / "good.cfg")
    assert any("subdivisions: not given -> " in str(change) for change in changes), changes
    left = check_training(folder / "my.data", folder / "good.cfg").report
    assert [one.severity for one in left if one.code == "memory"] == ["note"]


def test_inputs_are_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = detection_set(tmp_path)
    for name in ("my.cfg", "my.data", "my.names", "train.txt"):
        before = (folder / name).read_bytes()
        assert (
            main(["check", str(folder / "my.data"), str(folder / "my.cfg"), "-fix", str(folder / name)]) == 1
        )
        assert (
            folder / name
        ).read_bytes() == before and "another file of this command" in capsys.readouterr().err
    assert main(["check", str(folder / "my.data"), "-fix", str(folder / "x.cfg")]) == 1
    assert main(["check", str(folder / "my.cfg"), "-fix", str(folder / "x.cfg")]) == 1
    assert not (folder / "x.cfg").exists()


def test_the_command_says_each_change_and_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = detection_set(tmp_path)
    (folder / "bad.cfg").write_text(CFG.replace("filters=14", "filters=255"))
    given = ["check", str(folder / "my.data"), str(folder / "bad.cfg"), "--fix", str(folder / "good.cfg")]
    assert main(given) == 0
    streams = capsys.readouterr()
    assert (
        f"{folder / 'bad.cfg'}:18: fix: layer 1 [convolutional] filters: 255 -> 14; 2 * (5 + 2)"
        in streams.out
    )
    assert streams.err.endswith(
        f"{folder / 'good.cfg'}: written with 2 changes; left: 0 errors, 0 warnings\n"
    )
    assert main([*given, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["changes"]) == 2 and document["errors"] == 2 and document["left"]["errors"] == 0


# ---- before training --------------------------------------------------------------------------------------


def test_training_stops_before_the_first_step_on_errors_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(detection_set(tmp_path))
    Path("two.cfg").write_text(CFG.replace("classes=2", "classes=3").replace("filters=14", "filters=16"))
    with pytest.raises(dn.DataError, match=r"classes=2, but the network has 3"):
        training.train_detector("my.data", "two.cfg", max_batches=1, quiet=True)
    assert not Path("backup").exists()
    Path("bad.cfg").write_text(CFG.replace("filters=14", "filters=255"))
    with pytest.raises(dn.CfgError, match=r"(?s)2 errors, found before.*bad.cfg:18.*set filters=14"):
        training.train_detector("my.data", "bad.cfg", max_batches=1, quiet=True)
    Path("valid.txt").write_text("images/3.png\n")
    training.train_detector("my.data", "my.cfg", max_batches=1, quiet=True)
    assert "valid.txt:1: warning: images/3.png is a picture of the training list, too" in caplog.text
    caplog.clear()
    training.train_detector("my.data", "my.cfg", max_batches=1, quiet=True, check=False, clear=True)
    assert "valid.txt" not in caplog.text


def test_classifiers_are_checked_before_training_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(classification_set(tmp_path))
    Path("bad.cfg").write_text(CLASSIFIER.replace("filters=2", "filters=3"))
    assert main(["classifier", "train", "my.data", "bad.cfg", "-max_batches", "1"]) == 1
    assert "classes=2, but the network has 3" in capsys.readouterr().err
    Path("my.cfg").write_text(
        CLASSIFIER.replace("batch=4", "batch=1").replace(
            "activation=leaky", "activation=leaky\nbatch_normalize=1"
        )
    )
    assert main(["classifier", "train", "my.data", "my.cfg", "-max_batches", "1"]) == 0
    assert "one image per pass" in capsys.readouterr().err
    assert main(["classifier", "train", "my.data", "my.cfg", "-max_batches", "1", "-no_check", "-clear"]) == 0
    assert "one image per pass" not in capsys.readouterr().err

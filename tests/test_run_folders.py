"""What commands find in the folders that they write to: told before the work begins, and never lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SHAPES_CFG

import darknet_py as dn
from darknet_py import synth
from darknet_py.cli import main
from darknet_py.errors import DataFileError, UnsupportedError
from darknet_py.run_metrics import Metrics
from darknet_py.training import train_detector


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(synth.generate(tmp_path_factory.mktemp("a set ü"), train=8, val=2, size=64, quiet=True))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.cfg").write_text(SHAPES_CFG)


def train(drawn: str, updates: int, **options: object) -> None:
    settings = {"backup": "b", "check": False, "quiet": True, "workers": 1, **options}
    train_detector(drawn, "net.cfg", max_batches=updates, **settings)  # type: ignore[arg-type]


def test_a_new_run_keeps_the_checkpoint_of_an_earlier_one(
    drawn: str, caplog: pytest.LogCaptureFixture
) -> None:
    train(drawn, 4, score=True, score_every=2)
    before, best = Path("b/net_last.state").read_bytes(), Path("b/net_best.weights").read_bytes()
    caplog.clear()
    train(drawn, 2)
    assert Path("b/net_earlier.state").read_bytes() == before
    assert Path("b/net_earlier_best.weights").read_bytes() == best and not Path("b/net_best.weights").exists()
    assert "kept as b/net_earlier.state: to go on with that instead, name it net_last.state" in caplog.text
    Path("b/net_earlier.state").replace("b/net_last.state")
    train(drawn, 6, resume=True)
    assert not Path("b/net_earlier.state").exists()
    with dn.Network("net.cfg", "b/net_final.weights") as net:
        assert net.seen == 6 * 4


def test_two_runs_at_once_do_not_write_the_same_checkpoints(drawn: str) -> None:
    train(drawn, 2)
    files = {path: path.read_bytes() for path in Path("b").iterdir()}
    with Metrics(Path("b/net_metrics"), after=2):
        for resume in (False, True):
            with pytest.raises(DataFileError, match=r"b/net_metrics\.jsonl: another run is writing"):
                train(drawn, 4, resume=resume)
        assert {path: path.read_bytes() for path in Path("b").iterdir()} == files
    train(drawn, 4, resume=True)


def test_a_checkpoint_is_no_weights_file_and_says_so(drawn: str, capsys: pytest.CaptureFixture[str]) -> None:
    train(drawn, 2)
    capsys.readouterr()
    assert main(["detector", "map", drawn, "net.cfg", "b/net_last.state"]) == 1
    said = capsys.readouterr().err
    assert "b/net_last.state: the checkpoint of a training run" in said and said.count("\n") == 1


@pytest.mark.parametrize("command", ["map", "valid"])
def test_folders_for_figures_are_tried_before_the_first_picture(
    drawn: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(drawn, 2)
    capsys.readouterr()
    Path("file").write_text("")
    files = [drawn, "net.cfg", "b/net_final.weights"]
    monkeypatch.setattr("darknet_py.sweep.read_ahead", None)
    assert main(["detector", command, *files, "-csv", "file/tables"]) == 1
    assert capsys.readouterr().err == "darknet_py: file/tables: cannot make this folder: Not a directory\n"
    monkeypatch.setattr("darknet_py.run_pictures.require_matplotlib", lambda: no_matplotlib())
    assert main(["detector", command, *files, "-plot", "charts"]) == 1
    assert "no matplotlib" in capsys.readouterr().err and not Path("charts").exists()


def no_matplotlib() -> None:
    raise UnsupportedError("no matplotlib")


def test_result_files_are_begun_before_the_first_picture(
    drawn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(drawn, 2)
    capsys.readouterr()
    Path("results").write_text("")
    monkeypatch.setattr("darknet_py.sweep.read_ahead", None)
    assert main(["detector", "valid", drawn, "net.cfg", "b/net_final.weights", "-out", "x_"]) == 1
    assert capsys.readouterr().err == "darknet_py: results: cannot make this folder: File exists\n"


def test_results_that_do_not_exist_are_not_called_bad_json(
    drawn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detector", "score", drawn, "nowhere"]) == 1
    assert capsys.readouterr().err == "darknet_py: nowhere: no such result file\n"

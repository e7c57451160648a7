"""Training runs that end in the wrong way: killed, told to stop, out of disk, without the right to write, not
finite. The last good checkpoint survives, and a resumed run ends as an uninterrupted one."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darknet_py import Network, synth, training
from darknet_py.errors import DataError, NumericError, StateError
from darknet_py.loaders import Batch, DetectionLoader
from darknet_py.run_metrics import read_metrics
from darknet_py.runs import remove_torn
from darknet_py.trainer import Trainer

KILLS = 50

#: Two input sizes, dropout, Adam and subdivisions: everything that a checkpoint has to hold. Large enough for
#: a checkpoint to take several writes.
CFG = """
[net]
batch=2
subdivisions=2
width=96
height=96
channels=3
learning_rate=.001
max_batches=60
adam=1
[convolutional]
batch_normalize=1
filters=8
size=3
stride=4
pad=1
activation=leaky
[convolutional]
filters=256
size=3
stride=4
pad=1
activation=leaky
[dropout]
probability=.3
[convolutional]
filters=39
size=3
pad=1
activation=linear
[yolo]
mask=0,1,2
anchors=10,14, 23,27, 37,58
classes=8
num=3
random=1
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(synth.generate(tmp_path_factory.mktemp("drawn"), train=12, val=4, size=64, quiet=True))


@pytest.fixture
def cfg(tmp_path: Path) -> str:
    path = tmp_path / "net.cfg"
    path.write_text(CFG)
    return str(path)


def timeless(folder: Path) -> dict[str, Any]:
    """All that a run leaves behind, without the times it took."""
    files: dict[str, Any] = {path.name: path.read_bytes() for path in folder.iterdir()}
    del files["net_metrics.jsonl"]
    with (folder / "net_metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    files["net_metrics.csv"] = [
        {k: v for k, v in row.items() if "second" not in k and k != "waited"} for row in rows
    ]
    return files


CLASSIFIER = (
    CFG.partition("[convolutional]\nfilters=39")[0]
    + "[avgpool]\n[connected]\noutput=400\n[connected]\noutput=10\n[softmax]\n"
)
TEXT = (
    "[net]\ninputs=128\nbatch=4\ntime_steps=8\nlearning_rate=.02\nadam=1\n[lstm]\noutput=96\n"
    "[connected]\noutput=128\nactivation=linear\n[softmax]\n"
)


def written(kind: str, drawn: str, cfg: str) -> str:
    """Writes the cfg of a kind of run; gives what it reads."""
    if kind == "detector":
        return drawn
    Path(cfg).write_text(TEXT if kind == "text" else CLASSIFIER)
    folder = Path(cfg).parent
    if kind == "text":
        (folder / "text.txt").write_text("the cat sat on the mat, and the dog did not. " * 30)
        return str(folder / "text.txt")
    lines = Path(drawn).with_name("train.txt").read_text()
    (folder / "list.txt").write_text(lines)
    (folder / "labels.txt").write_text("\n".join(f"{k}.jpg" for k in range(10)))
    (folder / "my.data").write_text("train = list.txt\nvalid = list.txt\nlabels = labels.txt\n")
    return str(folder / "my.data")


@pytest.mark.parametrize("kind, kills", [("detector", KILLS), ("classifier", 12), ("text", 12)])
def test_a_run_killed_at_any_point_ends_with_the_same_bytes(
    kind: str, kills: int, drawn: str, cfg: str, tmp_path: Path
) -> None:
    program = Path(__file__).with_name("interrupted_run.py")
    data = written(kind, drawn, cfg)
    command = [sys.executable, str(program), kind, data, cfg, str(tmp_path / "runs"), str(kills), "1"]
    done = subprocess.run(
        command, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    hits = json.loads(done.stdout)
    assert sum(hits.values()) >= kills and hits.get("writing state", 0) > 0, hits
    whole = timeless(tmp_path / "runs" / "whole")
    pictures = {"net_batch.jpg", "net_best.weights"} if kind != "text" else set()
    assert set(whole) == pictures | {
        "net_metrics.csv",
        *(f"net_{tag}" for tag in ("final.weights", "last.weights", "last.state")),
    }
    assert [int(row["iteration"]) for row in whole["net_metrics.csv"] if row["loss"]] == list(range(1, 61))
    for folder in (tmp_path / "runs").glob("killed*"):
        assert timeless(folder) == whole, folder


def child(
    arguments: list[str], before: str, *, signal_after: tuple[str, int] | None = None
) -> tuple[int, str]:
    """Status and errors of the command line in a process of its own that runs `before` first."""
    heard = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # also under nohup
    heard += "signal.signal(signal.SIGINT, signal.default_int_handler)"  # and in a shell's background
    code = f"{heard}\n{before}\nfrom darknet_py.cli import main\nsys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if signal_after:
        assert process.stdout is not None
        while not process.stdout.readline().startswith(signal_after[0]):
            assert process.poll() is None
        process.send_signal(signal_after[1])
    _, error = process.communicate(timeout=60)
    return process.returncode, error


def test_what_killed_runs_left_half_written_is_removed(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    torn = [".net_metrics.csv.0a.tmp", ".net_batch.jpg.0a.tmp", f"net_last.state.{gone.pid}.0"]
    kept = ["net_last.state", ".other_batch.jpg.0a.tmp", f"net_last.state.{os.getpid()}.0"]
    for name in (*torn, *kept):
        (tmp_path / name).touch()
    remove_torn(tmp_path, "net")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_full_disk_leaves_the_last_good_checkpoint(drawn: str, cfg: str) -> None:
    """The limit is the size of a file here, which fails in the middle of a write as a full disk does."""
    train = ["detector", "train", drawn, cfg, "-backup", "full"]

    def stop(step: training.Step) -> None:
        if step.iteration == 12:
            raise KeyboardInterrupt

    run: dict[str, Any] = {"backup": "full", "quiet": True, "max_batches": 20}
    with pytest.raises(KeyboardInterrupt):
        training.train_detector(drawn, cfg, last_every=10, callbacks=training.Callbacks(step=stop), **run)
    before = Path("full/net_last.state").read_bytes()
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) // 2},) * 2)"
    status, error = child([*train, "-max_batches", "20", "-last_every", "5", "-resume", "-q"], limit)
    assert status == 1 and "Traceback" not in error
    assert "full/net_last.state: can't write: " in error and "stopped after update 15" in error
    assert "last good checkpoint: full/net_last.state (update 10)" in error
    assert Path("full/net_last.state").read_bytes() == before
    assert not [path for path in Path("full").iterdir() if path.suffix.strip(".").isdigit()]
    rest = training.train_detector(drawn, cfg, resume=True, **run)
    whole = training.train_detector(drawn, cfg, **{**run, "backup": "large"})
    assert rest.weights.read_bytes() == whole.weights.read_bytes()


def test_a_folder_that_cannot_be_written_is_told_before_training(drawn: str, cfg: str) -> None:
    Path("locked").mkdir(mode=0o755)
    Path("locked").chmod(0o555)
    # The superuser may write everywhere, until it gives up its capabilities.
    give_up = "import ctypes, struct; capset = ctypes.CDLL(None).capset\n"
    give_up += "assert capset(struct.pack('Ii', 0x20080522, 0), bytes(24)) == 0"
    before = give_up if os.access("locked", os.W_OK) else ""
    status, error = child(["detector", "train", drawn, cfg, "-backup", "locked"], before)
    assert status == 1 and error.count("\n") == 1 and "locked" in error and "cannot write" in error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_what_there_is(drawn: str, cfg: str, number: int, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    train = ["detector", "train", drawn, cfg, "-backup", str(folder), "-max_batches", "100000", "-log_every"]
    status, error = child([*train, "1"], "", signal_after=("3:", number))
    told = re.search(r"^interrupted: (\d+) updates", error, re.MULTILINE)
    assert status == 130 and told is not None, error
    with Trainer.load(folder / "net_last.state") as trainer:
        assert trainer.iteration == int(told[1]) >= 3


@pytest.mark.parametrize("why", ["No space left on device", "Broken pipe"])
def test_a_run_whose_lines_nobody_takes_saves_what_there_is(drawn: str, cfg: str, why: str) -> None:
    if why == "Broken pipe":
        reader, writer = os.pipe()
        os.close(reader)
    elif not Path("/dev/full").is_char_device():
        pytest.skip("no /dev/full")
    else:
        writer = os.open("/dev/full", os.O_WRONLY)
    train = [sys.executable, "-m", "darknet_py", "detector", "train", drawn, cfg, "-backup", "b", "-no_check"]
    try:
        done = subprocess.run(
            [*train, "-max_batches", "9"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)
    expected = (
        f"standard output: cannot write: {why}. The run has stopped after update 1; last good checkpoint: "
    )
    *_, end, error = done.stderr.splitlines()
    assert end.startswith("interrupted: 1 updates, weights in b/net_last.weights")
    assert error == f"darknet_py: {expected}b/net_last.state (update 1)"
    assert done.returncode == 1 and Trainer.load("b/net_last.state").iteration == 1


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Numbers of passes whose pictures are not finite, to be filled in."""
    passes: set[int] = set()
    batch = DetectionLoader.batch

    def poison(self: DetectionLoader, step: int) -> Batch:
        good = batch(self, step)
        return replace(good, x=good.x * np.float32("nan")) if step in passes else good

    monkeypatch.setattr(DetectionLoader, "batch", poison)
    return passes


def test_what_is_not_finite_is_told_with_layer_images_and_checkpoint(
    drawn: str, cfg: str, poisoned: set[int]
) -> None:
    poisoned.add(13)
    with pytest.raises(NumericError) as caught:
        training.train_detector(drawn, cfg, backup="told", quiet=True, last_every=4)
    message = str(caught.value)
    for part in (
        "diverged at update 7: the loss of layer 4 [yolo] is nan",
        "the first output that is not finite is that of layer 0 [convolutional]",
        ".jpg",
        "last good checkpoint: told/net_last.state (update 4)",
    ):
        assert part in message
    last = read_metrics("told/net_metrics.jsonl")[-1]
    assert last["iteration"] == 7 and len(last["batch"]) == 2
    assert all(Path(path).is_file() for path in last["batch"])


def test_bad_batches_leave_no_trace_when_they_are_skipped(drawn: str, cfg: str, poisoned: set[int]) -> None:
    poisoned |= {4, 13}
    run: dict[str, Any] = {"quiet": True, "max_batches": 10, "skip_bad": True}
    result = training.train_detector(drawn, cfg, backup="skip", last_every=4, **run)
    assert result.iteration == 10 and np.isfinite(result.loss)
    rows = read_metrics("skip/net_metrics.jsonl")
    assert [row["iteration"] for row in rows if "not_finite" in row] == [3, 7]
    assert [row["iteration"] for row in rows if "loss" in row] == [1, 2, 4, 5, 6, 8, 9, 10]
    poisoned |= set(range(100))
    with pytest.raises(NumericError, match="update 11:"):  # ten in a row are enough
        training.train_detector(drawn, cfg, backup="skip", clear=True, **{**run, "max_batches": 60})


def test_a_trainer_goes_back_to_its_mark(tmp_path: Path) -> None:
    """Gradients that double as momentum and rolling statistics are as they were; only counters have moved."""
    with Network.from_string(CFG, seed=1) as net, Trainer(net) as trainer:
        with pytest.raises(StateError, match="no mark"):
            trainer.go_back()
        x = np.random.default_rng(0).random(net.input_shape, np.float32)
        truth = np.zeros((len(x), 90, 5), np.float32)
        for _ in range(3):
            trainer.step(x, truth)
        trainer.mark()
        before = [layer.params for layer in net.layers], trainer.gradient_arena().copy()
        trainer.step(x, truth)
        after = [layer.params for layer in net.layers]
        assert any((a != b).any() for a, b in pairs(before[0], after))
        trainer.go_back()
        assert all((a == b).all() for a, b in pairs(before[0], [layer.params for layer in net.layers]))
        assert (trainer.gradient_arena() == before[1]).all()
        trainer.gradient_arena()[-1] = np.inf
        with pytest.raises(NumericError, match=r"gradient of the \w+ of layer 3 \[convolutional\]"):
            trainer.step(x, truth)
        assert all((a == b).all() for a, b in pairs(before[0][1:], [one.params for one in net.layers[1:]]))


def pairs(a: list[Any], b: list[Any]) -> list[tuple[Any, Any]]:
    return [(one[name], other[name]) for one, other in zip(a, b, strict=True) for name in one]


def test_a_checkpoint_keeps_its_seed_and_tells_what_has_changed(
    drawn: str, cfg: str, caplog: pytest.LogCaptureFixture
) -> None:
    run: dict[str, Any] = {"quiet": True, "max_batches": 20, "check": False}
    training.train_detector(drawn, cfg, backup="seeds", seed=3, last_every=5, **run)
    Path("seeds/net_final.weights").unlink()
    done = training.train_detector(drawn, cfg, backup="seeds", resume=True, **run)
    assert done.iteration == 20 and done.weights.exists() and not caplog.records
    with pytest.raises(DataError, match="give a larger -max_batches"):
        training.train_detector(drawn, cfg, backup="seeds", resume=True, **run)
    Path(cfg).write_text(CFG.replace("learning_rate=.001", "learning_rate=.1"))
    lines = Path(drawn).with_name("train.txt").read_text().splitlines()
    fewer = Path(drawn).with_name("fewer.data")
    fewer.write_text(Path(drawn).read_text().replace("train.txt", "fewer.txt"))
    fewer.with_name("fewer.txt").write_text("\n".join(lines[1:]))
    run["max_batches"] = 21
    training.train_detector(fewer, cfg, backup="seeds", resume=True, **run)
    assert "net.cfg has changed" in caplog.text and "training list" in caplog.text


def test_patience_ends_a_run_that_does_not_improve(drawn: str, cfg: str) -> None:
    Path(cfg).write_text(CFG.replace("learning_rate=.001", "learning_rate=0"))
    told: list[tuple[str, int]] = []
    callbacks = training.Callbacks(
        step=lambda step: told.append(("step", step.iteration)),
        checkpoint=lambda path, done: told.append((path.name, done)),
        validation=lambda done, name, score: told.append((name, done)),
    )
    result = training.train_detector(
        drawn,
        cfg,
        backup="p",
        quiet=True,
        score=True,
        score_every=2,
        patience=3,
        last_every=6,
        callbacks=callbacks,
    )
    assert result.stopped and not result.interrupted and result.iteration == 8
    assert [one for one in told if one[0] != "step"] == [
        *(("mAP@0.50", done) for done in (2, 4, 6)),
        ("net_last.state", 6),
        ("mAP@0.50", 8),
        ("net_last.state", 8),
    ]
    assert [done for name, done in told if name == "step"] == list(range(1, 9))


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full")
def test_a_full_disk_behind_standard_output_is_told_in_a_line() -> None:
    command = [sys.executable, "-m", "darknet_py", "--version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "darknet_py: standard output: cannot write: No space left on device\n"

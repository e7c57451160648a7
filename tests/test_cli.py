"""The command line: what it prints, where, and with which exit status; and the training loops behind it."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CLASSIFIER_CFG, TINY_CFG
from PIL import Image

pytest.importorskip("darknet_py._native", reason="the core is not built")

import darknet_py as dn
from darknet_py import synth, training
from darknet_py.cli import COMMANDS, main
from darknet_py.errors import DataError, NumericError


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, str]:
    """Paths of a tiny detector's cfg and weights; its names lie beside."""
    cfg, weights = tmp_path / "tiny.cfg", tmp_path / "tiny.weights"
    cfg.write_text(TINY_CFG)
    (tmp_path / "tiny.names").write_text("a\nb\nc\n")
    with dn.Network(cfg, seed=3) as net:
        net.set_param(0, "rolling_variance", np.ones(8, np.float32))
        net.save_weights(weights)
    return str(cfg), str(weights)


@pytest.fixture
def image(tmp_path: Path, picture: np.ndarray) -> str:
    path = tmp_path / "dog x.png"
    Image.fromarray(picture).save(path)
    return str(path)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Default outputs go to the working directory: not into the repository."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


# ---- finding commands -----------------------------------------------------------------------------------


def test_help_lists_every_command_and_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"  {' '.join(command.words)} " in text
        assert main([*command.words, "-h"]) == 0
        assert "common options" in capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100


def test_help_of_a_group_lists_its_commands_only(capsys: pytest.CaptureFixture[str]) -> None:
    for group in ("classifier", "coco", "detector", "rnn", "wordtree", "yolo"):
        for spelled in ("--help", "-h", "help"):
            assert main([group, spelled]) == 0
            text = capsys.readouterr().out
            assert text.startswith(f"usage: darknet_py {group} COMMAND ")
            listed = [command for command in COMMANDS if f"\n  {' '.join(command.words)} " in text]
            assert listed == [command for command in COMMANDS if command.words[0] == group]


def test_help_as_a_process_loads_little() -> None:
    code = "import sys; from darknet_py.cli import main; main(['--help']); sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-version"]) == 0
    assert capsys.readouterr().out == f"darknet_py {dn.__version__} ({dn.build_info()}; {dn.cpu_level()})\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detekt"], "did you mean 'detect'"),
        (["detector", "tain"], "did you mean 'detector train'"),
        (["detect", "a", "b", "-thresh", "much"], "expected a number 0..1, found much"),
        (["detector", "paint"], "it has: detector test, detector train, detector map"),
        (["classifier"], "predict"),
        (["detect"], "CFG"),
        (["detect", "a", "b", "c", "-thresh", "2"], "0..1"),
        (["detect", "a", "b", "c", "-thr", ".2"], "unrecognized"),
        (["synth", "x", "--train", "0"], "1 or more"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == "" and message in output.err and output.err.count("\n") == 1


def test_errors_are_one_line(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "none.cfg", "none.weights", image]) == 1
    assert capsys.readouterr().err == "darknet_py: none.cfg: no such file\n"


# ---- detect ---------------------------------------------------------------------------------------------


def test_detect_prints_as_darknet_does(
    model: tuple[str, str], image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", *model, image, "-thresh", ".2", "-nogpu"]) == 0
    output = capsys.readouterr()
    first, *lines = output.out.splitlines()
    assert first.startswith(f"{image}: Predicted in ") and first.endswith(" seconds.")
    with dn.Network(*model) as net:
        found = net.detect(image, 0.2)
    assert len(found) > 0
    assert lines == [f"{one.label}: {100 * one.confidence:.0f}%" for one in found]
    assert output.err == "drawn: predictions.jpg\n"
    with Image.open("predictions.jpg") as drawn:
        assert drawn.size == (100, 60)


def test_options_may_stand_anywhere(
    model: tuple[str, str], image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["-q", "--threads", "1", "detect", "--thresh", ".9", model[0], "-out", "x.png", model[1], image])
        == 0
    )
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "") and Path("x.png").exists()
    assert main(["detect", *model, image, "-q", "--json"]) == 0
    output = capsys.readouterr()
    assert len(json.loads(output.out)) == 1 and output.err == ""


def test_an_existing_folder_takes_one_picture_too(
    model: tuple[str, str], image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("here").mkdir()
    assert main(["detect", *model, image, "-out", "here"]) == 0
    assert [path.name for path in Path("here").iterdir()] == ["dog x.jpg"] and not Path("here.jpg").exists()
    assert capsys.readouterr().err == f"drawn: {Path('here', 'dog x.jpg')}\n"
    Path("predictions").mkdir()
    assert main(["detect", *model, image]) == 0
    assert Path("predictions.jpg").exists()


def test_json_is_all_there_is_and_failures_do_not_stop_the_rest(
    model: tuple[str, str], image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"")
    arguments = [str(tmp_path / "bad.jpg"), image, str(tmp_path / "d*.png"), "-thresh", ".2"]
    assert main(["detect", *model, *arguments, "-json", "-csv", "o.csv", "-out", "drawn"]) == 1
    output = capsys.readouterr()
    bad, first, second = json.loads(output.out)
    assert "bad.jpg: the file is empty" in bad["error"] and "bad.jpg" in output.err
    assert (first["width"], first["height"]) == (100, 60)
    assert first["detections"] == second["detections"] != []
    assert sorted(path.name for path in Path("drawn").iterdir()) == ["dog x.jpg", "dog x_2.jpg"]
    with Path("o.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(first["detections"])
    assert float(rows[0]["x1"]) == pytest.approx(first["detections"][0]["box"]["x1"], abs=0.01)


def test_folders_lists_and_the_prompt(
    model: tuple[str, str],
    image: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "list.txt").write_text(f"{image}\r\n\r\n")
    for arguments in ([str(tmp_path)], ["--list", str(tmp_path / "list.txt")]):
        assert main(["detect", *model, *arguments]) == 0
        assert capsys.readouterr().out.startswith(f"{image}: Predicted")
    assert Path("predictions", "dog x.jpg").exists()
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{image}\n\n"))
    assert main(["detect", *model]) == 0
    assert capsys.readouterr().out.startswith(f"Enter Image Path: {image}: Predicted")


def test_one_picture_is_found_with_a_lean_plan(
    model: tuple[str, str], image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from darknet_py.cli import detect

    kinds = []

    def load(*arguments: Any, memory: str) -> dn.Network:
        kinds.append(memory)
        return load_network(*arguments, memory=memory)

    load_network = detect.load_network
    monkeypatch.setattr(detect, "load_network", load)
    for arguments in ([image], [image, image], [image, "-memory", "fast"], [image, image, "-memory", "lean"]):
        assert main(["detect", *model, *arguments]) == 0
    assert kinds == ["lean", "fast", "fast", "lean"]


def test_a_hint_when_there_are_no_names(
    model: tuple[str, str], image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.names").unlink()
    assert main(["detect", *model, image, "-thresh", ".2"]) == 0
    output = capsys.readouterr()
    assert "class 0: " in output.out or "class 1: " in output.out or "class 2: " in output.out
    assert output.err.count("no class names found") == 1


def test_a_closed_pipe_is_quiet(model: tuple[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "darknet_py", "summary", model[0]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(20) in (0, 1)


# ---- classify, summary, plan ----------------------------------------------------------------------------


def test_classifier(tmp_path: Path, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights = tmp_path / "c.cfg", tmp_path / "c.weights"
    cfg.write_text(CLASSIFIER_CFG)
    (tmp_path / "sides.names").write_text("n\ne\ns\nw\n")
    with dn.Network(cfg, seed=3) as net:
        net.save_weights(weights)
    (tmp_path / "valid.txt").write_text(image + "\n")
    data = tmp_path / "c.data"
    data.write_text("classes=4\nnames=sides.names\nlabels=labels.txt\nvalid=valid.txt\ntop=2\n")
    (tmp_path / "labels.txt").write_text("dog x\nzebra\nquagga\nkoala\n")
    assert main(["classifier", "predict", str(data), str(cfg), str(weights), image]) == 0
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 2
    assert main(["classify", str(cfg), str(weights), image, "-t", "4", "--json"]) == 0
    classes = json.loads(capsys.readouterr().out)[0]["classes"]
    assert [
        f"{100 * one['probability']:5.2f}%: {one['name']}" for one in classes[:2]
    ] == output.out.splitlines()
    assert sum(one["probability"] for one in classes) == pytest.approx(1, abs=1e-5)
    assert main(["classifier", "valid", str(data), str(cfg), str(weights), "-t", "4"]) == 0
    assert capsys.readouterr().out.endswith("top 4: 1.000000\n")


def test_summary_and_plan(model: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", model[0], "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    first = document["layers"][0]
    assert (
        first["type"] == "convolutional"
        and first["output"] == [8, 12, 16]
        and first["parameters"] == 4 * 8 + 216
    )
    assert first["mflop"] == pytest.approx(2 * 216 * 12 * 16 / 1e6)
    assert [layer["size"] for layer in document["layers"]] == ["3/2", "2/2", "1/1", None]
    assert [layer["filters"] for layer in document["layers"]] == [8, None, 16, None]
    assert document["total"]["parameters"] == sum(layer["parameters"] for layer in document["layers"])
    assert document["total"]["weights_bytes"] == Path(model[1]).stat().st_size
    assert main(["summary", model[0]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(document["layers"]) + 4 and lines[-3].startswith("total: 4 layers")
    assert f"weights file of {Path(model[1]).stat().st_size:,} bytes" in lines[-3]
    assert main(["summary", model[0], "-width", "64", "--height", "48", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["input"] == [3, 48, 64]
    assert main(["plan", model[0]]) == 0
    assert capsys.readouterr().out.count("\n") >= 1


def test_summary_shows_groups_sources_and_windows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = tmp_path / "x.cfg"
    cfg.write_text(
        "[net]\nwidth=8\nheight=8\nchannels=4\n[convolutional]\nfilters=8\nsize=3\nstride=2\npad=1\n"
        "groups=4\n[convolutional]\nfilters=8\n[shortcut]\nfrom=-2\n[upsample]\nstride=2\n"
        "[maxpool]\nstride=4\n[route]\nlayers=-1,4\n"
    )
    assert main(["summary", str(cfg)]) == 0
    rows = capsys.readouterr().out.splitlines()[1:-1]
    cells = [row.split(" -> ")[0].split() for row in rows]
    assert cells[0][1:4] == ["convolutional", "8/4", "3/2"] and cells[1][1:4] == ["convolutional", "8", "1/1"]
    assert cells[2][1:] == ["shortcut", "of", "0"] and cells[3][1:3] == ["upsample", "/2"]
    assert cells[4][1:3] == ["maxpool", "4/4"] and cells[5][1:] == ["route", "of", "4,4"]


# ---- training --------------------------------------------------------------------------------------------

TRAINED_CFG = TINY_CFG.replace("width=32\nheight=24", "width=64\nheight=64").replace("classes=3", "classes=8")
TRAINED_CFG = TRAINED_CFG.replace("filters=16", "filters=26").replace("batch=2", "batch=4\nmax_batches=8")
TRAINED_CFG = TRAINED_CFG.replace("subdivisions=1", "subdivisions=2").replace("0.01", "0.001")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small set of drawn pictures."""
    return str(synth.generate(tmp_path_factory.mktemp("drawn"), train=20, val=4, size=64, quiet=True))


@pytest.fixture
def cfg(tmp_path: Path) -> str:
    path = tmp_path / "shapes.cfg"
    path.write_text(TRAINED_CFG)
    return str(path)


def test_synth_and_map_commands(tmp_path: Path, cfg: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", str(tmp_path / "set"), "--train", "3", "-val", "2", "--size", "64"]) == 0
    data = capsys.readouterr().out.strip()
    with dn.Network(cfg) as net:
        net.save_weights(tmp_path / "x.weights")
    assert main(["detector", "map", data, cfg, str(tmp_path / "x.weights")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("class_id = 0, name = circle, ap = ")
    assert lines[-1].startswith("mean average precision (mAP@0.50) = ")
    assert main(["detector", "map", data, cfg, str(tmp_path / "x.weights"), "-json", "-points", "11"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2


def test_training_leaves_checkpoints_and_lines(
    cfg: str, drawn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "-map",
        "-map_every",
        "4",
        "-backup",
        "kept",
        "-save_every",
        "5",
        "-log_every",
        "1",
        "-csv",
        "m.csv",
    ]
    assert main(["detector", "train", drawn, cfg, *arguments]) == 0
    output = capsys.readouterr()
    lines = [line for line in output.out.splitlines() if " avg, " in line]
    assert len(lines) == 8
    number, rest = lines[-1].split(": ")
    assert number == "8" and rest.endswith("seconds, 32 images") and "0.001000 rate" in rest
    assert output.out.count("mAP@0.50") == 2
    names = sorted(path.name for path in Path("kept").iterdir())
    weights = [f"shapes_{tag}.weights" for tag in ("5", "best", "final", "last")]
    others = ("shapes_metrics.csv", "shapes_metrics.jsonl", "shapes_last.state", "shapes_batch.jpg")
    assert names == sorted([*weights, *others])
    assert (
        Path("kept", "shapes_final.weights").read_bytes() == Path("kept", "shapes_last.weights").read_bytes()
    )
    with Path("m.csv").open() as file:
        assert sum(bool(row["loss"]) for row in csv.DictReader(file)) == 8
    with dn.Network(cfg, "kept/shapes_final.weights") as net:
        assert net.seen == 32


def test_a_resumed_run_equals_an_uninterrupted_one(cfg: str, drawn: str) -> None:
    whole = training.train_detector(drawn, cfg, backup="whole", quiet=True, seed=4)
    training.train_detector(drawn, cfg, backup="parts", quiet=True, seed=4, max_batches=3)
    rest = training.train_detector(drawn, cfg, backup="parts", quiet=True, seed=4, resume=True, max_batches=8)
    assert rest.iteration == whole.iteration == 8
    assert (rest.loss, rest.average) == (whole.loss, whole.average)
    assert rest.weights.read_bytes() == whole.weights.read_bytes()
    with pytest.raises(DataError, match="-clear"):
        training.train_detector(drawn, cfg, rest.weights, backup="more", quiet=True)
    again = training.train_detector(drawn, cfg, rest.weights, backup="more", quiet=True, clear=True)
    assert again.iteration == 8


def test_training_at_several_scales(cfg: str, drawn: str) -> None:
    Path(cfg).write_text(TRAINED_CFG + "random=1\n")
    sizes = {training.scales(64, 64, 1.4, 0, 1000)(i) for i in range(700)}
    assert sizes == {(64, 64)}  # 64/1.4 .. 64*1.4 has one multiple of 32
    assert {training.scales(160, 320, 1.4, 0, 0)(i) for i in range(500)} == {
        (128, 256),
        (160, 320),
        (192, 384),
        (224, 448),
    }
    assert {training.scales(160, 320, 1.4, 0, 0, 64)(i) for i in range(500)} == {(128, 256), (192, 384)}
    assert (
        training.train_detector(drawn, cfg, backup="b", quiet=True, score=True, score_every=4).iteration == 8
    )


V1_CFG = """[net]
batch=4
width=64
height=64
channels=3
max_batches=8
learning_rate=0.001
[convolutional]
filters=8
size=3
stride=4
pad=1
activation=leaky
[connected]
output=162
activation=linear
[detection]
classes=8
coords=4
side=3
num=2
sqrt=1
rescore=1
random=1
"""


def test_a_yolov1_network_trains(cfg: str, drawn: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(cfg).write_text(V1_CFG)
    assert (
        main(["detector", "train", drawn, cfg, "-map", "-map_every", "4", "-backup", "b", "-log_every", "1"])
        == 0
    )
    output = capsys.readouterr().out
    assert output.count(" avg, ") == 8 and output.count("mAP@0.50") == 2
    losses = [float(line.split()[1].rstrip(",")) for line in output.splitlines() if " avg, " in line]
    assert losses[-1] < losses[0]
    assert main(["detector", "map", drawn, cfg, "b/shapes_final.weights"]) == 0


def test_divergence_names_the_step_and_a_checkpoint(cfg: str, drawn: str) -> None:
    Path(cfg).write_text(TRAINED_CFG.replace("learning_rate=0.001", "learning_rate=1e6"))
    with pytest.raises(NumericError, match=r"diverged at update \d+: .*last good checkpoint: none yet"):
        training.train_detector(drawn, cfg, backup="b", quiet=True)
    assert not Path("b", "shapes_final.weights").exists()


def test_wrong_classes_are_told_before_training(cfg: str, drawn: str, tmp_path: Path) -> None:
    Path(cfg).write_text(TRAINED_CFG.replace("classes=8", "classes=7").replace("filters=26", "filters=24"))
    with pytest.raises(DataError, match="classes=8, but the network has 7"):
        training.train_detector(drawn, cfg, backup="b", quiet=True)
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        training.train_detector(drawn, cfg, backup="b", quiet=True, resume=True)


def test_an_interrupted_run_saves_and_can_go_on(cfg: str, drawn: str) -> None:
    command = ["detector", "train", drawn, cfg, "-max_batches", "100000", "-backup", "b", "-log_every", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "darknet_py", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    assert " avg, " in process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    told = re.search(r"^interrupted: (\d+) updates, .*; \d+s, processor time \d+s$", error, re.MULTILINE)
    assert told is not None, error
    done = int(told[1])
    result = training.train_detector(drawn, cfg, backup="b", quiet=True, resume=True, max_batches=done + 2)
    assert result.iteration == done + 2


def test_a_classifier_learns_two_colours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    lines: list[str] = []
    for i in range(24):
        colour = np.array([(200, 60, 60), (60, 60, 200)][i % 2])
        path = tmp_path / f"{['red', 'blue'][i % 2]}!{i}.png"
        Image.fromarray(np.clip(colour + rng.integers(-40, 40, (20, 20, 3)), 0, 255).astype(np.uint8)).save(
            path
        )
        lines.append(f"{path}\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    (tmp_path / "labels.txt").write_text("red!\nblue!\n")
    data = tmp_path / "colours.data"
    data.write_text("classes=2\ntrain=list.txt\nvalid=list.txt\nlabels=labels.txt\nbackup=b\n")
    cfg = tmp_path / "colours.cfg"
    text = CLASSIFIER_CFG.replace(
        "batch=2", "batch=8\nlearning_rate=0.1\nmax_batches=60\nmin_crop=16\nmax_crop=20"
    )
    cfg.write_text(text.replace("filters=4", "filters=2").replace("relu", "leaky") + "\n[cost]\ntype=sse\n")
    assert (
        main(["classifier", "train", str(data), str(cfg), "-map", "-map_every", "60", "-log_every", "30"])
        == 0
    )
    output = capsys.readouterr().out.splitlines()
    assert output[-1] == "60: top-1 = 100.00 %"
    assert "60, 20.000: " in output[-2] and output[-2].endswith("480 images")
    assert Path("b", "colours_final.weights").exists()


def test_convert_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays: dict[str, Any] = {}
    for split in ("train", "test"):
        arrays[f"{split}_images"] = np.zeros((2, 4, 4), np.uint8)
        arrays[f"{split}_labels"] = np.arange(2)
    np.savez(tmp_path / "digits.npz", **arrays)
    assert main(["convert", str(tmp_path / "digits.npz"), "out"]) == 0
    assert Path(capsys.readouterr().out.strip()).name == "digits.data"


def test_inputs_are_never_drawn_over(model: tuple[str, str], image: str) -> None:
    before = Path(image).read_bytes()
    assert main(["detect", *model, image, "-out", image]) == 0
    assert Path(image).read_bytes() == before
    assert Path(image).with_stem(f"{Path(image).stem}_2").exists()


def test_what_was_found_is_printed_even_if_it_cannot_be_drawn(
    model: tuple[str, str], image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("")
    assert main(["detect", *model, image, "-out", "file/x.jpg", "-thresh", ".01"]) == 1
    output = capsys.readouterr()
    assert "Predicted in" in output.out and "not drawn: file: " in output.err


def test_a_closed_output_is_no_error(model: tuple[str, str], image: str) -> None:
    code = "import sys; sys.stdout = None; from darknet_py.cli import main; sys.exit(main(sys.argv[1:]))"
    assert subprocess.run([sys.executable, "-c", code, "detect", *model, image], check=False).returncode == 0


def test_resuming_takes_nothing_but_the_checkpoint(cfg: str, drawn: str, model: tuple[str, str]) -> None:
    with pytest.raises(DataError, match="leave out the weights"):
        training.train_detector(drawn, cfg, model[1], backup="b", quiet=True, resume=True)
    with pytest.raises(DataError, match="leave out the weights"):
        training.train_detector(drawn, cfg, backup="b", quiet=True, resume=True, clear=True)
    with pytest.raises(FileNotFoundError, match=r"none\.cfg"):
        training.train_detector(drawn, "none.cfg", backup="b", quiet=True, resume=True)


def test_lines_of_training_never_replace_what_it_reads(cfg: str, drawn: str, tmp_path: Path) -> None:
    info = dn.data.DataFile(drawn)
    for path in (cfg, drawn, str(info.file("train")), str(info.file("names"))):
        before = Path(path).read_bytes()
        assert main(["detector", "train", drawn, cfg, "-max_batches", "1", "-csv", path, "-q"]) == 1
        assert Path(path).read_bytes() == before


def test_outputs_never_replace_the_network(
    model: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for path in model:
        before = Path(path).read_bytes()
        assert main(["export", *model, path]) == 1
        assert "is another file of this command" in capsys.readouterr().err
        assert Path(path).read_bytes() == before


@pytest.mark.parametrize("verb", ["predict", "try", "valid", "valid10", "validfull", "label", "csv", "test"])
def test_classifier_commands_refuse_detectors(
    verb: str, model: tuple[str, str], image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.txt").write_text(f"{image}\n")
    (tmp_path / "x.data").write_text("classes=3\nnames=tiny.names\nvalid=list.txt\ntest=list.txt\n")
    pictures = [image] if verb in ("predict", "try") else []
    assert main(["classifier", verb, str(tmp_path / "x.data"), *model, *pictures]) == 1
    assert capsys.readouterr().err == "darknet_py: this network is a detector: use detect\n"


def test_impossible_numbers_and_files_are_one_line(
    model: tuple[str, str], image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, weights = tmp_path / "c.cfg", tmp_path / "c.weights"
    cfg.write_text(CLASSIFIER_CFG)
    with dn.Network(cfg) as net:
        net.save_weights(weights)
    (tmp_path / "x.data").write_text("top=1\n")
    (tmp_path / "zero.data").write_text("top=0\n")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no archive")
    huge = "99999999999999999999999"
    for arguments, status, message in (
        (["classifier", "try", str(tmp_path / "x.data"), str(cfg), str(weights), image, "99"], 1, "found 99"),
        (["classifier", "predict", str(tmp_path / "zero.data"), str(cfg), str(weights), image], 1, "top: ex"),
        (["diff", model[0], str(tmp_path / "bad.npz")], 2, "no .npz of arrays"),
        (["export", *model, "x.onnx", "-batch", huge], 2, "a whole number up to"),
        (["detect", *model, image, "-threads", "-3"], 2, "1 or more, found -3"),
        (["mkimg", *model, huge, "9", "1", "mk"], 2, "a whole number up to"),
        (["mkimg", *model, "999999999", "9", "1", "mk"], 1, "pixels, found 9 x 999999999"),
        (["mkimg", *model, "9", "9", "1", f"{image}/mk"], 1, "cannot make this folder: Not a directory"),
    ):
        assert main(arguments) == status, arguments
        error = capsys.readouterr().err
        lines = [line for line in error.splitlines() if ": note:" not in line]
        assert len(lines) == 1 and message in lines[0], error

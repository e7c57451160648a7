"""Memory said in advance: what a session will take, before anything is packed, against what it takes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import darknet_py as dn
from darknet_py import inspection
from darknet_py.cli import main

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "cfg" / "yolov3-tiny.cfg"
MIB = 1 << 20


def resized(name: str, size: int, folder: Path) -> Path:
    path = folder / f"{name}.cfg"
    text = (ROOT / "cfg" / f"{name}.cfg").read_text("utf-8")
    path.write_text(re.sub(r"(?m)^(width|height) *=.*", rf"\1={size}", text))
    return path


@pytest.mark.parametrize("kind", ["fast", "lean"])
@pytest.mark.parametrize("name", ["yolov3-tiny", "yolov4-tiny", "alexnet", "lstm", "synth"])
def test_a_session_takes_what_it_said(name: str, kind: str) -> None:
    cfg = ROOT / "cfg" / f"{name}.cfg"
    steps = 1 if name == "lstm" else None
    with dn.Network(cfg, memory=kind, threads=2, time_steps=steps) as net, net.session() as session:
        before, lines = session.footprint(), session.plan()
        assert session.memory() == (0, 0), "looking at a plan packs nothing"
        session.predict(np.zeros((1, *net.input_shape[1:]), np.float32))
        own, packed = session.memory()
        assert packed == before.packed
        assert own == before.activations + before.scratch + before.outputs
        assert session.plan() == lines and session.footprint() == before


def test_lean_plans_pack_less() -> None:
    found = []
    for kind in ("fast", "lean"):  # at stride 2 speed takes memory, at stride 1 it is wide maps that do
        with dn.Network(TINY.parent / "yolov3.cfg", initialize=False, memory=kind) as net:
            found.append(net.session().footprint())
    much, less = found
    assert much.plain == less.plain < less.packed < 0.6 * much.packed
    assert less.packed < 1.3 * less.plain


def test_more_pictures_take_more_outputs_and_activations_only() -> None:
    with dn.Network(TINY, initialize=False) as net, net.session() as session:
        one, nine = session.footprint(1), session.footprint(9)
        for batch in (0, -1, 1 << 31):
            with pytest.raises(dn.ArgumentError, match="batch"):
                session.footprint(batch)
    assert nine.outputs == 9 * one.outputs
    assert (nine.weights, nine.packed, nine.packing) == (one.weights, one.packed, one.packing)


def test_parameters_of_a_file_are_given_back_those_of_a_program_stay(tmp_path: Path) -> None:
    with dn.Network(TINY, initialize=False) as net:
        net.save_weights(tmp_path / "x.weights")
        parameters = 4 * sum(layer.param_count for layer in net.layers)
    with dn.Network(TINY, tmp_path / "x.weights") as net:
        with net.session() as session:
            assert session.footprint().weights < parameters / 100
        net.set_param(0, "biases", net.layers[0].params["biases"])
        assert net.session().footprint().weights == parameters
    with dn.Network(TINY, (tmp_path / "x.weights").read_bytes()) as net:
        assert net.session().footprint().weights == parameters


PEAK = """
import sys, darknet_py as dn
with dn.Network(sys.argv[1], sys.argv[2], memory=sys.argv[3], threads=2) as net:
    net.detect(sys.argv[4])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
@pytest.mark.parametrize("kind", ["fast", "lean"])
def test_a_process_takes_what_summary_said(kind: str, tmp_path: Path) -> None:
    cfg, weights = resized("yolov3-tiny", 416, tmp_path), tmp_path / "x.weights"
    with dn.Network(cfg, initialize=False) as net:
        net.save_weights(weights)

    def python(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    picture = str(ROOT / "data" / "scene.png")
    taken = 1024 * int(python("-c", PEAK, str(cfg), str(weights), kind, picture))
    said = json.loads(python("-m", "darknet_py", "summary", str(cfg), "--json", "-threads", "2"))
    assert said["total"]["memory"][kind]["peak"] == pytest.approx(taken, rel=0.1)
    assert taken < {"fast": 190, "lean": 120}[kind] * MIB


def test_memory_without_a_network_is_python() -> None:
    with dn.Network(TINY, initialize=False) as net:
        found = inspection.memory(net, 1)
    assert 10 * MIB < found.python <= inspection.resident() + 16 * MIB
    assert found.peak == found.python + found.footprint.peak


def test_the_commands_say_where_memory_goes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(TINY), "-memory", "lean"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"gemm .* weights \d+\.\d\d MiB, x 1\.0\d", text)
    assert re.search(r"winograd\d .* weights \d+\.\d\d MiB, x [2-7]\.\d\d", text)
    assert re.search(r"Winograd in \d+ of 13 convolutions, whose weights take \d+\.\d MiB more", text)
    assert re.search(r"memory=lean: \d+ MiB at most for one detection", text)
    assert main(["summary", str(TINY)]) == 0
    text = capsys.readouterr().out
    assert "memory=fast: " in text and "memory=lean: " in text


@pytest.mark.parametrize("threads", [-1, 1 << 31, 10**12])
def test_absurd_numbers_of_threads_are_refused(threads: int) -> None:
    with dn.Network(TINY, initialize=False) as net, pytest.raises(dn.ArgumentError, match="threads"):
        net.session(threads)
    with pytest.raises(dn.ArgumentError, match="threads"):
        dn.Network(TINY, initialize=False, threads=threads)


def test_the_commands_refuse_absurd_numbers_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, status in (
        (["summary", str(TINY), "-threads", "5000"], 1),
        (["plan", str(TINY), "-threads", "0"], 2),
        (["plan", str(TINY), "-threads", "-1"], 2),
        (["plan", str(TINY), "-memory", "huge"], 2),
        (["plan", str(TINY), "-width", "1000000"], 1),
    ):
        assert main(arguments) == status
        written = capsys.readouterr()
        assert written.out == "" and written.err.count("\n") == 1, written

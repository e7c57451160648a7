"""Measuring inference: calibrated parameters, what bounds a step, the bench command, other engines."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import darknet_py as dn
from darknet_py import benching
from darknet_py.benching import machine, running, steps
from darknet_py.benching.load import load_text
from darknet_py.benching.report import steps_text
from darknet_py.benching.start import quiet_heads, start_text
from darknet_py.cli import main
from darknet_py.session import Step

ROOT = Path(__file__).resolve().parent.parent
CFG = """[net]
width=32
height=32
channels=3
[convolutional]
batch_normalize=1
filters=16
size=3
stride=1
pad=1
activation=leaky
[maxpool]
size=3
stride=2
[convolutional]
filters=18
size=1
stride=1
activation=linear
[yolo]
mask=0,1,2
anchors=4,5, 9,8, 12,14
classes=1
num=3
"""
LIMITS = benching.Limits(1e11, 1e10)


@pytest.fixture
def cfg(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.cfg"
    path.write_text(CFG)
    return path


# ---- calibration ----------------------------------------------------------------------------------------


def deep(layers: int) -> str:
    block = "[convolutional]\nbatch_normalize=1\nfilters=16\nsize=3\nstride=1\npad=1\nactivation=leaky\n"
    return "[net]\nwidth=24\nheight=24\nchannels=3\n" + block + (block + "[shortcut]\nfrom=-2\n") * layers


def test_calibrated_activations_stay_of_order_one() -> None:
    net = dn.Network.from_string(deep(30), batch=1)
    benching.calibrate(net)
    x = np.random.default_rng(5).random((1, 3, 24, 24), np.float32)
    for layer, values in zip(net.layers, net.activations(x), strict=True):
        if layer.type == "convolutional":
            assert 0.3 < values.std() < 3, f"layer {layer.index}: {values.std()}"


def test_calibration_gives_the_statistics_of_what_enters_each_normalisation() -> None:
    cfg = CFG.replace("activation=leaky", "activation=linear")
    net = dn.Network.from_string(cfg, batch=1)
    benching.calibrate(net, seed=3)
    params = net.layers[0].params
    x = np.random.default_rng(5).random((1, 3, 32, 32), np.float32)
    out = net.activations(x)[0][0].reshape(16, -1)
    normal = (out - params["biases"][:, None]) / params["scales"][:, None]
    assert np.abs(normal.mean(1)).max() < 0.2 and np.abs(normal.std(1) - 1).max() < 0.1


def test_calibration_is_deterministic(tmp_path: Path) -> None:
    files = []
    for k, seed in enumerate((1, 1, 2)):
        benching.write_weights(dn.Network.from_string(CFG, batch=1), tmp_path / f"{k}", seed)
        files.append((tmp_path / f"{k}").read_bytes())
    assert files[0] == files[1] != files[2]


def test_networks_of_sequences_are_refused() -> None:
    net = dn.Network.from_string("[net]\ninputs=4\ntime_steps=3\nbatch=3\n[rnn]\noutput=4\nhidden=4\n")
    with pytest.raises(dn.ArgumentError, match="sequences"):
        benching.write_weights(net, "nowhere")


# ---- steps ----------------------------------------------------------------------------------------------


def test_steps_have_times_and_limits() -> None:
    with dn.Network.from_string(CFG) as net:
        found = benching.profile(net, 1, LIMITS, runs=2)
        assert [one.step.layer for one in found] == [0, 1, 2, 3]
        assert all(one.seconds > 0 for one in found)
        first, pool = found[0], found[1]
        assert first.size == "3x3/1 3 -> 16 @ 32x32" and pool.size == "16x16x16"
        assert first.activations == pytest.approx(4 * 19 * 1024 / LIMITS.bytes)
        assert first.weights == pytest.approx(first.step.weight_bytes / LIMITS.bytes)
        assert pool.bound == "activation bytes" and pool.limit == pool.activations
    text = benching.steps_text(found)
    assert "16x16x16" in text and "bound by" in text


def test_winograd_does_fewer_multiply_adds() -> None:
    with dn.Network.from_string(CFG) as net:
        flops = net.layers[0].flops
        direct = Step(0, 0, "direct", flops, 0, 0, 0, 0)
        assert steps._operations(net, direct) == flops
        # 8 x 8 tiles of 36 multiply-adds instead of 9 per pixel of 32 x 32.
        assert steps._operations(net, direct._replace(algorithm="winograd4")) == flops * 36 * 64 / (9 * 1024)
        taps = direct._replace(algorithm="winograd4t")
        assert steps._operations(net, taps) == flops * 36 * 64 / (9 * 1024)
        # 10 tiles of 3 and one of 2 along each axis.
        assert steps._operations(net, direct._replace(algorithm="winograd3")) == flops * 54**2 / (9 * 1024)


def test_winograd_of_taps_of_two_even_tiles_cuts_neither() -> None:
    with dn.Network.from_string(CFG.replace("=32", "=7")) as net:
        flops = net.layers[0].flops
        # 4 and 3 rows by 4 and 4 columns; by 4 and 3.
        taps = Step(0, 0, "winograd4t", flops, 0, 0, 0, 0)
        assert steps._operations(net, taps) == pytest.approx(flops * 11 * 12 / (9 * 49))
        whole = taps._replace(algorithm="winograd4")
        assert steps._operations(net, whole) == pytest.approx(flops * 11 * 11 / (9 * 49))


def test_winograd_at_stride_2_does_25_multiply_adds_for_36() -> None:
    cfg = CFG.replace("stride=1", "stride=2", 1).replace("width=32", "width=30")
    with dn.Network.from_string(cfg) as net:
        flops = net.layers[0].flops
        strided = Step(0, 0, "winograd2/2", flops, 0, 0, 0, 0)
        # Of 15 x 16 outputs 8 x 8 tiles of 2 x 2, by 5 x 5 products each.
        assert steps._operations(net, strided) == flops * 25 * 64 / (9 * 15 * 16)
        # 3 tiles of 4 and one of 3; 4 of 4.
        strided = strided._replace(algorithm="winograd4/2")
        assert steps._operations(net, strided) == flops * 34 * 36 / (9 * 15 * 16)


def test_a_step_says_how_many_others_are_in_it() -> None:
    layer = "[convolutional]\nfilters={}\nsize={}\npad=1\ngroups={}\nactivation=relu\n"
    cfg = "[net]\nwidth=20\nheight=16\nchannels=4\n"
    cfg += layer.format(24, 1, 1) + layer.format(24, 3, 24) + layer.format(6, 1, 1) + layer.format(5, 3, 1)
    with dn.Network.from_string(cfg) as net:
        found = benching.profile(net, 1, LIMITS, runs=2)
        assert [one.joined for one in found] == [0, 0, 2, 0]
        line = next(line for line in steps_text(found).splitlines() if ", with 2 before" in line)
        assert line.split()[:2] == ["2", "gemm"]


def test_the_larger_limit_binds() -> None:
    one = benching.StepTime(Step(0, 0, "gemm", 1, 1, 1, 1, 0), "", 4.0, compute=1, weights=2, activations=0.5)
    assert one.bound == "weight bytes" and one.limit == 2
    assert one._replace(compute=3).bound == "compute"


def test_algorithms_are_named_layer_by_layer() -> None:
    step = Step(0, 0, "direct", 0, 0, 0, 0, 0)
    found = [
        step,
        Step(1, None, "maxpool", 0, 0, 0, 0, 0),
        *(Step(i, i, "winograd4", 0, 0, 0, 0, 0) for i in (2, 3, 5)),
        Step(7, 6, "gemm", 0, 0, 0, 0, 0),
    ]
    assert steps.algorithms(found) == "0 direct, 2-5 winograd4, 6 gemm"


def test_limits_are_the_most_of_measurements_apart_from_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    rates, pauses = iter([(118e9, 29e9), (236e9, 16e9), (230e9, 20e9)]), []

    def fake(flops: Any, read: Any, threads: int) -> int:
        assert threads == 2
        flops[0], read[0] = next(rates)
        return int(dn._native.lib.DN_OK)

    monkeypatch.setattr(machine, "lib", SimpleNamespace(dn_cpu_measure=fake))
    monkeypatch.setattr(machine.time, "sleep", pauses.append)
    assert machine.measure.__wrapped__(2) == (236e9, 29e9)
    assert next(rates, None) is None and sum(pauses) > 0.4


# ---- engines --------------------------------------------------------------------------------------------


def run_bench(cfg: Path, engines: list[str], tmp_path: Path) -> benching.Comparison:
    model = benching.Model("tiny", cfg)
    files = benching.prepare(model, engines, tmp_path)
    return benching.compare(model, files, engines, 1, LIMITS, runs=3)


def test_engines_have_as_many_turns_in_either_order() -> None:
    order: list[str] = []

    class Child:
        def __init__(self, name: str, second: float) -> None:
            self.name, self.second = name, second

        def call(self, count: int) -> dict[str, Any]:
            order.append(self.name)
            return {"times": [self.second] * count, "bytes": 1}

    children: Any = {"quick": Child("quick", 0.001), "slow": Child("slow", 0.2)}
    results = {name: running.Result(name, name) for name in children}
    running._take_turns(children, results, runs=3)
    assert order[2:] == ["quick", "slow", "slow", "quick", "quick", "slow"]  # after their speed
    assert len(results["quick"].times) == 3 * running.MOST_CALLS and len(results["slow"].times) == 3


@pytest.mark.parametrize("engine", benching.ENGINES)
def test_an_engine_gives_the_same_outputs(engine: str, cfg: Path, tmp_path: Path) -> None:
    absent = [name for name in benching.ENGINES[engine] if find_spec(name) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed")
    found = run_bench(cfg, [engine], tmp_path)
    assert found.results[1].error is None
    assert found.results[1].difference is not None and found.results[1].difference < 1e-4
    assert len(found.results[1].times) >= 3 and found.best_peer is found.results[1]
    assert found.ratio == found.ours.median / found.results[1].median
    assert f"the time of {found.results[1].name}" in benching.comparison_text(found)


def test_a_missing_engine_is_named_with_its_remedy(
    cfg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "find_spec", lambda name: None)
    files = benching.prepare(benching.Model("tiny", cfg), ["openvino"], tmp_path)
    assert files.missing == {"openvino": "onnx, openvino not installed: pip install onnx openvino"}


def test_an_engine_that_fails_is_named_with_its_reason(cfg: Path, tmp_path: Path) -> None:
    model = benching.Model("tiny", cfg)
    files = benching.prepare(model, [], tmp_path)
    broken = files._replace(job={**files.job, "onnx": str(tmp_path / "none.onnx")})
    found = benching.compare(model, broken, ["onnxruntime"], 1, LIMITS, runs=1)
    assert found.results[1].error and not found.results[1].times
    assert found.results[1].error in benching.comparison_text(found)
    assert found.best_peer is None and found.ratio is None


def test_ratios_are_to_the_best_of_the_others() -> None:
    ours = benching.Result("darknet_py", "darknet_py", [4.0, 5.0, 9.0])
    slow = benching.Result("openvino", "OpenVINO", [2.0, 20.0, 21.0])
    quick = benching.Result("torch", "PyTorch", [8.0, 10.0, 11.0])
    absent = benching.Result("ncnn", "ncnn", error="not installed")
    found = benching.Comparison(
        benching.Model("n", Path("n.cfg")), 1, (3, 8, 8), 1e9, LIMITS, [ours, slow, absent, quick], True
    )
    assert found.best_peer is quick and found.ratio == 0.5
    assert found.ratio_of_bests == 2 and found.noise == 10
    text = benching.comparison_text(found)
    assert "0.50 of the time of PyTorch" in text and "2.00 by the quickest" in text
    assert "not installed" in text and "noisy: a median is 10.0 times the best" in text


def test_other_outputs_are_seen(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 100, dtype=np.float32)
    changed, wrong = values.copy(), values.copy()
    changed[50] += 0.02
    wrong[50] = np.nan
    for name, array in (("a", values), ("b", changed), ("c", wrong)):
        np.savez(tmp_path / f"{name}.npz", array)
    np.savez(tmp_path / "d.npz", values[1:])
    assert running._difference(tmp_path / "a.npz", tmp_path / "a.npz") == 0
    assert running._difference(tmp_path / "a.npz", tmp_path / "b.npz") == pytest.approx(0.01, rel=1e-3)
    assert running._difference(tmp_path / "a.npz", tmp_path / "c.npz") > running.TOLERANCE
    with pytest.raises(running.FailedError, match="other sizes"):
        running._difference(tmp_path / "a.npz", tmp_path / "d.npz")


# ---- under load, from the start ---------------------------------------------------------------------------


def test_load_counts_pictures_and_memory() -> None:
    with dn.Network.from_string(CFG) as net:
        found = benching.measure_load(net, threads=2, batch=3, runs=2)
    assert all(rate > 0 for rate in (found.single, found.batched, found.alone, found.together))
    assert found.predictions == 2 * (3 + 3 + 4 * 3 + 2 * 4 * 3) and found.growth < 16 << 20
    assert "in 84 predictions" in load_text("tiny", found)


def test_starts_are_processes_of_their_own(cfg: Path, tmp_path: Path) -> None:
    weights = tmp_path / "tiny.weights"
    with dn.Network(cfg, batch=1) as net:
        benching.calibrate(net)
        quiet_heads(net)
        assert len(net.detect(np.zeros((32, 32, 3), np.uint8), thresh=0.1)) == 0
        net.save_weights(weights)
    picture = ROOT / "data" / "scene.png"
    found = {one.what: one for one in benching.measure_start(cfg, weights, picture, 32, 1, runs=1, opencv=())}
    assert [one.error for one in found.values()] == [None] * 5
    bare, imported = found["python, doing nothing"], found["import darknet_py"]
    assert 0 < bare.bytes < imported.bytes < found["darknet_py, memory=fast"].bytes
    assert bare.seconds < found["darknet_py detect, the command"].seconds
    assert "import darknet_py" in start_text("tiny", 1, list(found.values()))


def test_a_start_that_fails_says_why(cfg: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "none.weights"
    found = benching.measure_start(cfg, nowhere, ROOT / "data" / "scene.png", 32, 1, runs=1, opencv=())
    assert found[-1].error and "none.weights" in found[-1].error and found[0].error is None


# ---- the command ----------------------------------------------------------------------------------------


def test_bench_measures_without_other_engines(
    cfg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "numbers.json"
    arguments = ["bench", str(cfg), "--threads", "1,2", "--against", "none", "--runs", "2"]
    assert main([*arguments, "--json", str(out)]) == 0
    text = capsys.readouterr().out
    for part in ("command:", "machine:", "date:", "GB/s", "1 thread\n", "2 threads\n", "algorithms:"):
        assert part in text
    document = json.loads(out.read_text())
    assert [one["threads"] for one in document["networks"]] == [1, 2]
    for one in document["networks"]:
        (engine,) = one["engines"]
        assert engine["engine"] == "darknet_py" and len(engine["times"]) >= 2 and engine["median"] > 0
        assert one["best_peer"] is None and one["ratio_to_best_peer"] is None
        assert [step["algorithm"] for step in one["steps"]][1] == "maxpool"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.cfg"], "none.cfg: no such file"),
        (["tiny.cfg", "none.weights"], "none.weights"),
        (["tiny.cfg", "-json", "."], "not a regular file"),
        (["tiny.cfg", "-json", "tiny.cfg/numbers.json"], "tiny.cfg"),
        (["tiny.cfg", "-json", "tiny.cfg"], "is another file of this command"),
        (["tiny.cfg", "-threads", "1,5000"], "threads: must be"),
    ],
)
def test_bench_looks_at_what_it_was_given_before_it_measures(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.cfg").write_text(CFG)
    assert main(["bench", *arguments, "-against", "none"]) == 1
    told = capsys.readouterr()
    assert told.out == "" and message in told.err and told.err.count("\n") == 1
    assert Path("tiny.cfg").read_text() == CFG


def test_bench_refuses_unknown_engines_and_numbers(cfg: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(cfg), "--against", "onnx"]) == 1
    assert "no engine 'onnx'" in capsys.readouterr().err
    assert main(["bench", str(cfg), "--threads", "1,0"]) == 2
    assert "1 or more" in capsys.readouterr().err


def test_a_level_is_forced_before_kernels_are_chosen(cfg: Path, tmp_path: Path) -> None:
    if dn.cpu_level() not in ("avx2", "avx512"):
        pytest.skip("no AVX2 on this machine")
    arguments = ["bench", str(cfg), "-level", "avx2", "-against", "none", "-runs", "1", "-threads", "1"]
    # Not in the source folder, whose package has no core when another one is installed.
    words = [sys.executable, "-m", "darknet_py", *arguments]
    run = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "kernels avx2" in run.stdout and "(avx2)" in run.stdout
    assert run.stdout.startswith("command:  darknet_py bench ")


def test_the_comparison_of_the_documentation_lists_its_networks() -> None:
    script = str(ROOT / "benchmarks" / "compare.py")
    run = subprocess.run([sys.executable, script, "--list"], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert "yolov3-608" in run.stdout and "openvino" in run.stdout


@pytest.mark.skipif(not find_spec("onnx"), reason="onnx is not installed")
def test_engines_that_would_need_a_state_are_not_compared(tmp_path: Path) -> None:
    cfg = tmp_path / "rnn.cfg"
    cfg.write_text("[net]\ninputs=4\n[rnn]\noutput=4\n")
    files = running.prepare(running.Model("rnn", cfg), ["onnxruntime"], tmp_path)
    assert "state" in files.missing["onnxruntime"] or "not installed" in files.missing["onnxruntime"]

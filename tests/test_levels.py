"""The same answers on every instruction set this machine can run: DARKNET_CPU chooses one for a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import darknet_py as dn
from darknet_py._native import lib

HERE = Path(__file__).resolve().parent
LEVELS = ("generic", "avx2", "avx512", "neon")

#: A golden case of every kind of work.
CASES = (
    "conv_03_k3s1g1bn",
    "conv_04_k3s2g1bn",
    "conv_09_k7s2g1bn",
    "conv_11_k3s1g8bn",
    "connected_bn",
    "maxpool_3_k3s1",
    "reorg_0",
    "yolo_0",
    "act_plse",
    "fork_act_mish",
    "fork_dilation",
    "fork_scale_channels",
    "softmax_tree",
    "region_background",
    "net_resize",
    "train_conv_4_k3s1g4",
    "train_conv_8_k3s2g2bn",
    "train_maxpool",
    "train_yolo_0",
    "train_shortcut",
    "train_softmax_tree__gpusem",
    "fork_train_route_groups",
    "wio_headers",
)

PREAMBLE = f"import json, sys; sys.path.insert(0, {str(HERE)!r})\nimport darknet_py as dn\n"

GOLDEN = """
from pathlib import Path
import golden
paths = golden.find_cases()
run = {name: golden.run_case(paths[name], Path(sys.argv[1])) for name in sys.argv[2:] if name in paths}
print(json.dumps([dn.cpu_level(), {name: same.failures for name, same in run.items()}]))
"""

TRAINING = """
import hashlib, numpy as np
from test_training_runs import RUN_CFG, run_steps
digests = []
for threads in (1, 2):
    net = dn.Network.from_string(RUN_CFG.format(""), seed=7)
    with net, dn.Trainer(net, threads=threads) as trainer:
        costs = run_steps(trainer, 0, 3)
        x = np.random.default_rng(0).random(net.input_shape, np.float32)
        outputs = net.predict(x)[0].ravel()[:500].tolist()
        digests.append(hashlib.sha256(trainer.gradient_arena().tobytes()).hexdigest())
print(json.dumps([digests, costs, outputs]))
"""


def python(level: str | None, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DARKNET_CPU"}
    if level is not None:
        environment["DARKNET_CPU"] = level
    command = [sys.executable, "-c", PREAMBLE + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)


def need(level: str) -> None:
    """Skips where the machine lacks a level; a machine always has the portable one."""
    run = python(level, "print(dn.cpu_level())")
    if run.returncode and level != "generic":
        assert "DARKNET_CPU" in run.stderr
        pytest.skip(f"this machine has no {level}")
    assert run.stdout.strip() == level


@pytest.mark.parametrize("level", LEVELS)
def test_golden_cases_are_met(level: str, tmp_path: Path) -> None:
    need(level)
    run = python(level, GOLDEN, str(tmp_path), *CASES)
    assert run.returncode == 0, run.stderr
    used, failures = json.loads(run.stdout)
    assert used == level and len(failures) == len(CASES)
    assert {name: lines for name, lines in failures.items() if lines} == {}


@pytest.mark.parametrize("level", LEVELS)
def test_training_agrees_and_does_not_depend_on_threads(level: str) -> None:
    need(level)
    runs = [python(one, TRAINING) for one in (level, "generic")]
    assert all(run.returncode == 0 for run in runs), runs[0].stderr
    (digests, costs, outputs), (_, portable_costs, portable_outputs) = (
        json.loads(run.stdout) for run in runs
    )
    assert digests[0] == digests[1]
    np.testing.assert_allclose(costs, portable_costs, rtol=1e-4)
    np.testing.assert_allclose(outputs, portable_outputs, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("level", LEVELS)
def test_c_tests_pass(level: str) -> None:
    """Those that ask for kernels by level run all of them anyway; the others take the one chosen here."""
    need(level)
    programs = [
        HERE.parent / "build/release/tests/c" / name
        for name in ("test_kernels", "test_ops", "test_local", "test_crop")
    ]
    built = [program for program in programs if program.is_file()]
    if not built:
        pytest.skip("the C tests are not built (make test-c)")
    for program in built:
        run = subprocess.run(
            [str(program)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "DARKNET_CPU": level},
        )
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]


@pytest.mark.parametrize(
    "name", ["nonsense", "AVX2", "avx2 ", "neon" if dn.cpu_level() != "neon" else "avx2"]
)
def test_an_unknown_level_is_a_clear_error(name: str) -> None:
    run = python(
        name,
        "net = dn.Network.from_string('[net]\\ninputs=3\\n[softmax]\\n')\n"
        "for call in (dn.cpu_level, lambda: net.predict([[1, 2, 3]]), lambda: dn.Trainer(net)):\n"
        "    try:\n        call()\n        print('no error')\n"
        "    except ValueError as error:\n        print(error)\n",
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert f"DARKNET_CPU={name}" in line and "no such level" in line


def test_an_empty_choice_is_no_choice() -> None:
    levels = [python(level, "print(dn.cpu_level())").stdout for level in (None, "")]
    assert levels[0] == levels[1] != ""


def test_there_is_a_processor() -> None:
    assert 1 <= lib.dn_cpu_count() <= (os.cpu_count() or 1)

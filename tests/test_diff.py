"""`diff`: two runs compared layer by layer."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_CFG
from PIL import Image

pytest.importorskip("darknet_py._native", reason="the core is not built")

import darknet_py as dn
from darknet_py import diffing
from darknet_py.cli import main
from darknet_py.diffing import Side, diff

LONGER = TINY_CFG.replace("[yolo]", "[convolutional]\nfilters=16\nactivation=linear\n\n[yolo]")


@pytest.fixture
def files(tmp_path: Path, detector: dn.Network, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the working directory, with net.cfg, net.weights, and changed.weights: layer 2 differs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.cfg").write_text(TINY_CFG)
    detector.save_weights(tmp_path / "net.weights")
    weights = detector.layers[2].params["weights"]
    weights[3] += 0.25
    detector.set_param(2, "weights", weights)
    detector.save_weights(tmp_path / "changed.weights")
    return tmp_path


def test_a_side_is_a_file_weights_and_options(tmp_path: Path) -> None:
    assert Side.parse("a.cfg") == Side("a.cfg")
    one = Side.parse("a.cfg,b.weights,numerics=pjreddie-cpu,path=plan")
    assert one == Side("a.cfg", "b.weights", numerics="pjreddie-cpu", path="plan")
    assert Side.parse(str(one)) == one
    assert Side.parse("cpu=generic", one) == Side(
        "a.cfg", "b.weights", "pjreddie-cpu", None, "generic", "plan"
    )
    awkward = tmp_path / "with, comma.cfg"
    awkward.write_text(TINY_CFG)
    assert Side.parse(f"{awkward},path=plan") == Side(str(awkward), path="plan")
    for text in ("", "path=plan", "a.cfg,path=fast"):
        with pytest.raises(dn.ArgumentError):
            Side.parse(text)


def test_a_run_agrees_with_itself_and_with_its_plan(files: Path) -> None:
    same = diff("net.cfg,net.weights", "net.cfg,net.weights")
    assert same.same and [row.type for row in same.rows] == [
        "convolutional",
        "maxpool",
        "convolutional",
        "yolo",
    ]
    assert all(row.difference == 0 for row in same.rows)
    for path in ("plan", "exact"):
        planned = diff("net.cfg,net.weights", f"path={path}")
        assert planned.same and [row.index for row in planned.rows] == [3]


def test_the_first_layer_that_differs_is_named(files: Path) -> None:
    found = diff("net.cfg,net.weights", "net.cfg,changed.weights", seed=3)
    assert not found.same and found.first is not None
    assert (found.first.index, found.first.type, found.first.shape) == (2, "convolutional", (16, 6, 8))
    assert [row.differs for row in found.rows] == [False, False, True, True]
    with dn.Network("net.cfg", "net.weights") as a, dn.Network("net.cfg", "changed.weights") as b:
        x = np.random.default_rng(3).random((1, 3, 24, 32), np.float32)
        gap = np.abs(a.activations(x)[2] - b.activations(x)[2]).max()
    assert found.first.difference == pytest.approx(gap, rel=1e-6)
    assert "first in layer 2 convolutional" in found.summary() and "2 of 4" in found.summary()


@pytest.mark.parametrize("path", ["plan", "exact"])
def test_the_first_layer_is_found_behind_a_plan_too(path: str, files: Path) -> None:
    found = diff(f"net.cfg,net.weights,path={path}", "net.cfg,changed.weights", seed=3)
    assert [(row.index, row.differs) for row in found.rows] == [(2, True), (3, True)]
    assert found.first and found.first.note and "first in layer 2 convolutional" in found.summary()
    main(["diff", "net.cfg,changed.weights", "--dump", "changed.npz", "--seed", "3"])
    found = diff("changed.npz", f"net.cfg,net.weights,path={path}")
    assert found.first and found.first.index == 2


def test_the_first_layers_can_be_run_alone(files: Path) -> None:
    text = TINY_CFG + "[route]\nlayers=-2\n[convolutional]\nfilters=2\nactivation=linear\n"
    Path("two.cfg").write_text(text)
    found = diff("two.cfg", "path=plan,layers=6")
    assert [row.index for row in found.rows] == [5] and found.same  # behind a head, but the output
    assert [row.index for row in diff("two.cfg", "layers=2").rows] == [0, 1]
    for text in ("layers=0", "layers=x"):
        with pytest.raises(dn.ArgumentError, match="layers=N"):
            diff("two.cfg", text)


def test_tolerances_decide(files: Path) -> None:
    sides = ("net.cfg,net.weights", "net.cfg,changed.weights")
    first = diff(*sides).first
    assert first
    assert diff(*sides, atol=100).same
    assert diff(*sides, rtol=10, atol=0).same
    assert diff(*sides, rtol=first.relative / 2, atol=0).first is not None


def test_numerics_differ_where_variances_are_tiny(golden: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = golden("conv_bn_tiny_variance").folder
    monkeypatch.chdir(folder)
    assert diff("case.cfg,case.weights,numerics=pjreddie-cpu", "case.npz").same
    assert diff("case.cfg,case.weights", "case.npz").first is not None


def test_networks_part_where_types_or_shapes_do(files: Path) -> None:
    (files / "longer.cfg").write_text(LONGER)
    found = diff("net.cfg", "longer.cfg")
    assert [row.index for row in found.rows] == [0, 1, 2] and found.first is None and not found.same
    assert found.parted and "part at layer 3: A has yolo 8 x 6 x 16, B has convolutional" in found.parted
    headless = TINY_CFG[: TINY_CFG.index("[yolo]")]
    (files / "shorter.cfg").write_text(headless)
    found = diff("net.cfg", "shorter.cfg")
    assert found.parted == "A goes on for 1 more layer, from yolo 8 x 6 x 16" and len(found.rows) == 3


def test_what_is_not_a_number_differs_and_is_equal_to_itself() -> None:
    nan, inf = np.float32("nan"), np.float32("inf")
    one = np.array([[1, nan, inf]], np.float32)
    assert diffing.distance(one, one) == (0, 1)
    assert diffing.distance(one, np.array([[1, 2, inf]], np.float32)) == (np.inf, 2)
    assert diffing.distance(one, np.array([[1, nan, -inf]], np.float32)) == (np.inf, 1)


def test_dumps_take_the_place_of_runs(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)).save("p.png")
    assert main(["diff", "net.cfg,net.weights", "--dump", "a.npz", "--input", "p.png"]) == 0
    assert capsys.readouterr().out == ""
    dump = diffing.read_dump("a.npz")
    assert dump.types == ["convolutional", "maxpool", "convolutional", "yolo"]
    assert dump.input is not None and dump.input.shape == (1, 3, 24, 32)
    assert diff("net.cfg,net.weights", "a.npz").same  # on the dump's own input
    assert diff("a.npz", "a.npz").same
    first = diff("a.npz", "net.cfg,changed.weights").first
    assert first and first.index == 2


def test_other_instruction_sets_run_in_a_process_of_their_own(files: Path) -> None:
    found = diff("net.cfg,net.weights,cpu=generic", "net.cfg,changed.weights", seed=3)
    assert found.first and found.first.index == 2
    assert diff("net.cfg,net.weights", "cpu=generic", seed=3).same
    with pytest.raises(dn.DarknetError, match=r"cpu=neon: .*neon" if dn.cpu_level() != "neon" else "avx"):
        diff("net.cfg", "cpu=neon" if dn.cpu_level() != "neon" else "cpu=avx2")


def test_exit_status_and_output(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["diff", "net.cfg", "net.cfg", "--weights-a", "net.weights", "--weights-b", "net.weights"]) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[-1].startswith("same: 4 compared layers agree")
    assert main(["diff", "net.cfg,net.weights", "net.cfg,changed.weights"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "<- first that differs" in line] == ["2"]
    assert main(["diff", "net.cfg,net.weights", "net.cfg,changed.weights", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["first"] == 2 and not report["same"] and len(report["layers"]) == 4
    for bad in (["net.cfg", "none.cfg"], ["net.cfg"], ["net.cfg", "x.npz"], ["net.cfg", "path=slow"]):
        assert main(["diff", *bad]) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("darknet_py: ")


def test_random_parameters_are_mentioned(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["diff", "net.cfg", "net.cfg,net.weights"])
    assert "random parameters, no weights given: net.cfg" in capsys.readouterr().err


def test_bad_dumps_are_refused(files: Path) -> None:
    Path("text.npz").write_text("no")
    np.savez("other.npz", a=np.zeros(3))
    np.savez("two.npz", layer_00_output=np.zeros((2, 8, 12, 16), np.float32))
    for name, message in [("text", "no .npz"), ("other", "layer_NN_output"), ("two", "different numbers")]:
        with pytest.raises(dn.DataError, match=message):
            diff("net.cfg", f"{name}.npz")


# ---- ONNX files, whose runtime is an extra ----------------------------------------------------------------


def fake_onnxruntime(outputs: dict[str, np.ndarray]) -> types.ModuleType:
    """As much of onnxruntime as a session of these outputs needs."""

    class InferenceSession:
        def __init__(self, path: str, providers: list[str]) -> None:
            assert path.endswith(".onnx") and providers

        def get_inputs(self) -> list[Any]:
            return [types.SimpleNamespace(name="images", shape=["n", 3, 24, 32])]

        def get_outputs(self) -> list[Any]:
            return [types.SimpleNamespace(name=name) for name in outputs]

        def run(self, names: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            assert feeds["images"].shape == (1, 3, 24, 32)
            return list(outputs.values())

    module = types.ModuleType("onnxruntime")
    module.InferenceSession = InferenceSession  # type: ignore[attr-defined]
    return module


def test_without_onnxruntime_it_says_how_to_get_it(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(dn.DarknetError, match="pip install onnxruntime"):
        diff("net.cfg,net.weights", "net.onnx")


@pytest.mark.parametrize("layer", [2, 3])
def test_outputs_of_onnx_files_meet_the_nearest_layer(
    layer: int, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("net.onnx").touch()
    with dn.Network("net.cfg", "net.weights") as net:
        x = np.random.default_rng(0).random((1, 3, 24, 32), np.float32)
        values = net.activations(x)[layer]
    monkeypatch.setitem(sys.modules, "onnxruntime", fake_onnxruntime({"head": values}))
    found = diff("net.cfg,net.weights", "net.onnx")
    assert found.same and [(row.index, row.note) for row in found.rows] == [(layer, "ONNX output head")]
    monkeypatch.setitem(sys.modules, "onnxruntime", fake_onnxruntime({f"layer_{layer}_output": values + 1}))
    found = diff("net.onnx", "net.cfg,net.weights")
    assert found.first and found.first.index == layer
    monkeypatch.setitem(sys.modules, "onnxruntime", fake_onnxruntime({"odd": np.zeros((1, 5), np.float32)}))
    found = diff("net.cfg,net.weights", "net.onnx")
    assert not found.same and found.parted == "no layer has the shape of the ONNX output odd"


def test_two_onnx_files_meet_by_name(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("net.onnx").touch()
    outputs = {"p": np.ones((1, 4), np.float32), "q": np.zeros((1, 4), np.float32)}
    monkeypatch.setitem(sys.modules, "onnxruntime", fake_onnxruntime(outputs))
    found = diff("net.onnx", "net.onnx")
    assert found.same and [row.note for row in found.rows] == ["p", "q"]


def test_layer_named_outputs_of_a_shorter_onnx_file_do_not_part() -> None:
    """An ONNX file with outputs layer_1_output only says nothing of the other layers."""
    values = np.ones((1, 4), np.float32)
    a = diffing.Trace(["", ""], [None, (4,)], {1: values})
    b = diffing.Trace(["connected"] * 3, [(4,)] * 3, dict.fromkeys(range(3), values))
    found = diffing.compare(a, b)
    assert [row.index for row in found.rows] == [1] and found.first is None

"""Agreement with the reference: every golden case is met, or skipped with its reason in view.

Cases without a cfg are tables of numbers. Those about images, boxes and word trees are compared in
test_results.py; the others here. The table at the end of a run counts the cases of each group.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest

import darknet_py as dn
from darknet_py._native import ffi, lib

CASES = golden.find_cases()
NETWORKS = [
    name for name, path in CASES.items() if (path / "case.cfg").exists() or (path / "test.cfg").exists()
]

#: Cases that are tables, and the test that compares them; e2e_images only holds the pictures of the others.
TABLES = {
    "ops_image": "test_results.test_image_operations_match_the_reference",
    "ops_box_nms": "test_results.test_suppression_matches_the_reference",
    "ops_correct_boxes": "test_results.test_letterbox_correction_matches_the_reference",
    "ops_tree": "test_results.test_word_tree_matches_the_reference",
    "ops_math": "test_golden.test_softmax_table",
    "lr_schedules": "test_golden.test_learning_rates",
    "activation_table": "test_golden.test_activation_table",
    "e2e_images": "test_golden.test_case",
}

#: relu6 of the table is the fork's CPU build, which has none and gives 0: ours is in test_relu6_is_a_clamp.
ACTIVATIONS = sorted(
    key
    for key in (np.load(CASES["activation_table"] / "case.npz").files if "activation_table" in CASES else [])
    if key[:3] in ("pj_", "ax_") and key != "ax_relu6"
)


def table(name: str) -> tuple[dict[str, Any], Any]:
    if name not in CASES:
        pytest.skip(f"the golden case {name} is not installed")
    return json.loads((CASES[name] / "case.json").read_text()), np.load(CASES[name] / "case.npz")


@pytest.mark.parametrize("name", NETWORKS)
def test_case(name: str, tmp_path: Path, record_property: Any) -> None:
    path = CASES[name]
    reason = golden.reason_to_skip(name, set(CASES))
    group = json.loads((path / "case.json").read_text())["group"]
    record_property("golden", (group, golden.status_of(reason)))
    if reason:
        pytest.skip(reason)
    same = golden.run_case(path, tmp_path)
    assert not same.failures, "\n".join(same.failures)
    assert same.compared > 0


def test_every_case_is_compared_somewhere() -> None:
    assert CASES, "no golden cases: tests/golden is part of the source tree"
    assert set(CASES) - set(NETWORKS) <= set(TABLES)
    here = Path(__file__).parent
    for test in TABLES.values():
        module, function = test.split(".")
        assert f"def {function}(" in (here / f"{module}.py").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(golden.EXCEPTIONS))
def test_an_exception_is_still_one(name: str, tmp_path: Path) -> None:
    if name not in CASES:
        pytest.skip("not installed")
    try:
        same = golden.run_case(CASES[name], tmp_path)
    except dn.DarknetError:
        return
    assert same.failures, "met by now: take it out of golden.EXCEPTIONS"


# ---- tables -------------------------------------------------------------------------------------------


def activation_net(kind: str, count: int) -> dn.Network:
    return dn.Network.from_string(f"[net]\ninputs={count}\n[activation]\nactivation={kind}\n")


def gradient_at(kind: str, x: Any) -> Any:
    """Derivative of an activation as the backward pass has it: what becomes of a delta of ones."""
    with activation_net(kind, x.size) as net, dn.Trainer(net, input_delta=True) as trainer:
        trainer.backward(x[None])
        ones = np.ones(x.size, np.float32)
        assert lib.dn_trainer_backward_from(trainer._handle, 0, ffi.from_buffer("float[]", ones)) == 0
        return trainer.input_delta[0]


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_activation_table(key: str) -> None:
    case, z = table("activation_table")
    kind, x = key[3:].removesuffix("_gradient_of_y"), z["x"]
    if key.endswith("_gradient_of_y"):
        found = gradient_at(kind, x)
    else:
        with activation_net(kind, x.size) as net:
            found = net.activations(x[None])[0][0]
            np.testing.assert_array_equal(net.predict(x[None])[0][0], found)
    expected = z[key]
    overflow = np.isnan(expected)  # the reference's tanh is a quotient of exponentials: inf / inf
    assert not overflow.any() or kind == "tanh"
    assert np.isfinite(found).all()
    wrong = np.abs(found - expected) > case["tolerance"]["atol"] + case["tolerance"]["rtol"] * np.abs(
        expected
    )
    assert not (wrong & ~overflow).any(), (
        f"{kind} at {x[wrong][:5]}: {found[wrong][:5]}, not {expected[wrong][:5]}"
    )


def test_relu6_is_a_clamp() -> None:
    x = np.array([-3, -0.0, 0.5, 5.5, 6, 7, 1e9], np.float32)
    with activation_net("relu6", x.size) as net:
        np.testing.assert_array_equal(net.predict(x[None])[0][0], np.clip(x, 0, 6))
    np.testing.assert_array_equal(gradient_at("relu6", x), [0, 0, 1, 1, 0, 0, 0])


@pytest.mark.parametrize(
    ("key", "net", "layer"),
    [
        ("softmax_plain", "inputs=24", ""),
        ("softmax_groups", "inputs=24", "groups=4"),
        ("softmax_strided", "width=8\nheight=1\nchannels=3", "spatial=1"),
        ("softmax_temp", "inputs=24", "temperature=3"),
    ],
)
def test_softmax_table(key: str, net: str, layer: str) -> None:
    case, z = table("ops_math")
    with dn.Network.from_string(f"[net]\n{net}\n[softmax]\n{layer}\n") as network:
        x = z["softmax_in"].reshape(2, *network.input_shape[1:])
        np.testing.assert_allclose(network.predict(x)[0].reshape(2, 24), z[key], **case["tolerance"])


def test_learning_rates() -> None:
    case, z = table("lr_schedules")
    keys = [key for key in z.files if key.startswith("ax_")]
    assert keys
    for key in keys:
        cfg = CASES["lr_schedules"] / f"{key.removeprefix('ax_').removesuffix('_rate')}.cfg"
        with dn.Network(cfg) as net, dn.Trainer(net) as trainer:
            found = [trainer.learning_rate_at(int(n)) for n in z["batch_num"]]
        np.testing.assert_allclose(found, z[key], err_msg=key, **case["tolerance"])

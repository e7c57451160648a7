"""Golden cases: running one and listing where we differ from the reference.

A case is a folder with case.json, case.npz and mostly case.cfg and case.weights, made by running the
reference. tests/golden holds a committed choice of them (its README.md says where they come from). The whole
set, with real networks, is looked for in the folder golden of DARKNET_SHARED, by default ../shared.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import darknet_py as dn
from darknet_py._native import ffi, lib

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("DARKNET_SHARED") or HERE.parent.parent / "shared")
ROOTS = [SHARED / "golden", HERE / "golden"]  # the first that has a case wins

#: Cases that are not met, and why; docs/compatibility.md gives the proofs. Only one reason counts: the
#: reference is wrong there, and our rule is written down.
EXCEPTIONS = {
    "fork_act_relu6": "the reference's CPU build has no relu6 and gives 0 everywhere; ours is clamp(x, 0, 6)",
    "fork_train_act_relu6": "as fork_act_relu6",
    "train_gru_bn__gpusem": "its backward pass takes the last time step's statistics for every step; by "
    "differences of its own cost the derivative of input 6 is -0.07, not 88.7",
    "yolo_batch2_flip": "averaging two images of a batch is the reference's bug, optional by the case itself",
}

#: Values of an array that are rounding noise, how many there may be. A batch of two under batch normalisation
#: gives the deltas -103.114 and 103.115: their sum, .001, depends on the last bit of the mean.
NOISE = {"train_adam__gpusem": {"layer_02_weight_updates": 1}}


def find_cases() -> dict[str, Path]:
    """All cases by name; the shared folder wins over the committed choice."""
    cases: dict[str, Path] = {}
    for root in reversed(ROOTS):
        if root.is_dir():
            cases.update({p.parent.name: p.parent for p in root.glob("*/case.json")})
    return dict(sorted(cases.items()))


def reason_to_skip(name: str, names: set[str]) -> str | None:
    """Why a case is not to be met, or None."""
    overruled = {}
    for root in ROOTS:
        with contextlib.suppress(OSError):
            overruled.update(json.loads((root / "overruled.json").read_text()))
    if name in EXCEPTIONS:
        return EXCEPTIONS[name]
    if name in overruled:
        return f"overruled: {overruled[name]}"
    for twin in ("__gpusem", "__accum"):
        if name + twin in names:
            return f"meet the twin {name + twin}"
    return None


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Cfgs name trees and maps relative to their folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class Comparison:
    """Collects differences; tolerance as the case states."""

    def __init__(self, tolerance: dict[str, Any], noise: dict[str, int] | None = None) -> None:
        self.noise = noise or {}
        self.rtol = tolerance.get("rtol", 1e-4)
        self.atol = tolerance.get("atol", 1e-5)
        self.allowed = tolerance.get("allow_mismatch_fraction", 0.0)
        self.failures: list[str] = []
        self.compared = 0

    def __call__(self, what: str, found: Any, expected: Any) -> None:
        found, expected = np.asarray(found, np.float64).ravel(), np.asarray(expected, np.float64).ravel()
        self.compared += 1
        if found.shape != expected.shape:
            self.failures.append(f"{what}: {found.size} values instead of {expected.size}")
            return
        wrong = ~(np.abs(found - expected) <= self.atol + self.rtol * np.abs(expected))
        wrong &= ~(np.isnan(found) & np.isnan(expected)) & ~(found == expected)
        if wrong.sum() > max(self.allowed * wrong.size, self.noise.get(what, 0)):
            i = int(np.argmax(np.where(wrong, np.abs(found - expected), -1)))
            self.failures.append(
                f"{what}: {wrong.sum()} of {wrong.size} differ, "
                f"worst at {i}: {found[i]:.7g} instead of {expected[i]:.7g}"
            )


def numerics_of(case: dict[str, Any]) -> str:
    return "pjreddie-cpu" if str(case.get("ref", "")).startswith("pj") else "default"


def status_of(reason: str | None) -> str:
    """How a case counts in the summary: "met", "twin met" or "exception"."""
    if reason is None:
        return "met"
    return "twin met" if reason.startswith("meet the twin") else "exception"


def load(path: Path, case: dict[str, Any], **options: Any) -> dn.Network:
    weights = path / "case.weights"
    return dn.Network(
        "case.cfg", weights.name if weights.exists() else None, numerics=numerics_of(case), **options
    )


def run_forward(path: Path, case: dict[str, Any], z: Any) -> Comparison:
    same = Comparison(case["tolerance"])
    with inside(path), load(path, case) as net:
        truth = z.get("truth")
        layers = net.activations(z["input"], truth)
        for i, found in enumerate(layers):
            key = f"layer_{i:02d}_output"
            if key in z:
                same(key, found, z[key])
        for k, i in enumerate(net.output_layers):
            same(f"planned layer {i}", net.predict(z["input"])[k], z[f"layer_{i:02d}_output"])
        run_detections(case, net, z, same)
        run_second_call(net, z, same)
    with inside(path), load(path, case, exact=True) as net:
        for i, found in zip(net.output_layers, net.predict(z["input"]), strict=True):
            same(f"exactly planned layer {i}", found, z[f"layer_{i:02d}_output"])
    if "resized_input" in z:
        h, w = z["resized_input"].shape[2:]
        with inside(path), load(path, case, width=w, height=h) as net:
            for i, found in enumerate(net.activations(z["resized_input"])):
                same(f"resized_layer_{i:02d}_output", found, z[f"resized_layer_{i:02d}_output"])
    return same


def run_second_call(net: dn.Network, z: Any, same: Comparison) -> None:
    """Recurrent layers carry their state to the next call of a session, on both paths."""
    keys = [f"layer_{i:02d}_output_call2" for i in range(len(net.layers))]
    if not any(key in z for key in keys):
        return
    with net.session() as session:
        session.activations(z["input"])
        for key, found in zip(keys, session.activations(z["input"]), strict=True):
            if key in z:
                same(key, found, z[key])
        session.reset()
        session.predict(z["input"])
        for i, found in zip(net.output_layers, session.predict(z["input"]), strict=True):
            same(f"planned {keys[i]}", found, z[keys[i]])


def run_detections(case: dict[str, Any], net: dn.Network, z: Any, same: Comparison) -> None:
    for k, options in enumerate(case.get("detections") or []):
        if f"dets{k}_bbox" not in z:
            continue
        class_map = None
        if case.get("detections_map"):
            class_map = [int(line) for line in Path(case["detections_map"]).read_text().split()]
        with net.session() as session:
            session.predict(z["input"])
            raw = ffi.new("dn_detect_options *")
            lib.dn_detect_options_init(raw)
            raw.thresh, raw.hier = options["thresh"], options["hier"]
            raw.nms, raw.nms_kind = (
                options.get("nms", 0),
                lib.DN_NMS_SORT if "nms" in options else lib.DN_NMS_NONE,
            )
            raw.image_width, raw.image_height = options["w"], options["h"]
            # The reference never corrects boxes of [detection], and gives them in pixels whatever is asked.
            grid = any(layer.type == "detection" for layer in net.layers)
            raw.letterbox = not grid and bool(options.get("letter", case["ref"].startswith("pj")))
            raw.relative = not grid and bool(options["relative"])
            keep = ffi.new("int[]", class_map or [0])
            if class_map:
                raw.map, raw.map_count = keep, len(class_map)
            found = session._boxes(raw)
        expected = [z[f"dets{k}_{part}"] for part in ("bbox", "objectness", "prob")]
        if len(found[0]) != len(expected[0]):
            same.failures.append(f"detections {k}: {len(found[0])} boxes instead of {len(expected[0])}")
            continue
        # Suppression leaves an order that depends on ties: every expected box meets the nearest found one.
        mine = np.column_stack(found)
        theirs = np.column_stack(expected)
        free = list(range(len(mine)))
        for row in theirs:
            nearest = min(free, key=lambda j: np.abs(mine[j] - row).max())
            free.remove(nearest)
            same(f"dets{k}", mine[nearest], row)


UPDATES = {"weights": "weight_updates", "biases": "bias_updates", "scales": "scale_updates"}


def run_train(path: Path, case: dict[str, Any], z: Any) -> Comparison:
    same = Comparison(case["tolerance"], NOISE.get(case["name"]))
    fork = case["ref"].startswith("ax")
    truth = z.get("truth")
    with inside(path), load(path, case) as net:
        trainer = dn.Trainer(net, input_delta=True)
        steps = case.get("steps", 3)
        for step in range(steps):
            cost = trainer.backward(z["input"], truth)
            if "cost_steps" in z:
                same(f"cost of step {step + 1}", cost, z["cost_steps"][step])
            if step == 0:
                compare_first_pass(net, trainer, z, same)
            if "rate_steps" in z:
                same(f"rate of step {step + 1}", trainer.learning_rate, z["rate_steps"][step])
            trainer.update()
            for i, layer in enumerate(net.layers):
                for name, values in layer.params.items():
                    key = f"layer_{i:02d}_{name}_after{step + 1}"
                    if key in z and not (fork and name.startswith("rolling")):
                        same(key, values, z[key])
    return same


def compare_first_pass(net: dn.Network, trainer: dn.Trainer, z: Any, same: Comparison) -> None:
    if "input_delta" in z:
        same("input_delta", trainer.input_delta, z["input_delta"])
    for i in range(len(net.layers)):
        prefix = f"layer_{i:02d}_"
        if prefix + "output" in z:
            same(prefix + "output", trainer.output(i), z[prefix + "output"])
        if prefix + "delta" in z:
            same(prefix + "delta", trainer.delta(i), z[prefix + "delta"])
        if prefix + "cost" in z:
            same(prefix + "cost", trainer.layer_cost(i), z[prefix + "cost"])
        for name, values in trainer.gradients(i).items():
            inner, _, last = name.rpartition("_")  # "uz_biases" of a layer inside a layer
            key = prefix + f"{inner}_" * bool(inner) + UPDATES.get(last, last)
            if key in z:
                same(key, values, z[key])


def fill_params(net: dn.Network, value: float) -> None:
    """All but the biases of a [batchnorm], which are no parameters in the reference's files."""
    for layer in net.layers:
        for name, values in layer.params.items():
            if (layer.type, name) == ("batchnorm", "biases"):
                continue
            net.set_param(layer.index, name, np.full_like(values, value))


def compare_params(net: dn.Network, z: Any, prefix: str, same: Comparison) -> None:
    for i, layer in enumerate(net.layers):
        for name, values in layer.params.items():
            key = f"{prefix}layer_{i:02d}_{name}"
            if key in z and not np.array_equal(values, z[key].reshape(values.shape)):
                same.failures.append(f"{key}: differs")
            same.compared += key in z


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run_weights(path: Path, case: dict[str, Any], z: Any, scratch: Path) -> Comparison:
    same = Comparison(case["tolerance"])
    with inside(path):
        if "files" in case:
            run_saving(case, z, scratch, same)
        for name, variant in case.get("variants", {}).items():
            if "cfg" in variant:
                run_option_variant(name, variant, z, scratch, same)
            else:
                with dn.Network("case.cfg", variant["file"], numerics=numerics_of(case)) as net:
                    compare_params(net, z, f"{name}_", same)
                    if net.seen != variant["seen"]:
                        same.failures.append(f"{name}: seen is {net.seen}, not {variant['seen']}")
                    same(f"{name}_output", net.predict(z["input"])[0], z[f"{name}_output"])
    return same


def run_saving(case: dict[str, Any], z: Any, scratch: Path, same: Comparison) -> None:
    with dn.Network("case.cfg", "case.weights") as net:
        compare_params(net, z, "", same)
        for name, expected in case["files"].items():
            net.save_weights(scratch / name, expected["cutoff"])
            if digest(scratch / name) != expected["sha256"]:
                same.failures.append(f"{name}: other bytes than the reference writes")
            same.compared += 1
    with dn.Network("case.cfg") as net:
        fill_params(net, 0.5)
        net.load_weights("case.weights", cutoff=1)
        compare_params(net, z, "load_0_1_", same)
    with dn.Network("case.cfg") as net:
        fill_params(net, 0.5)
        net.load_weights("upto1.weights", partial=True)
        compare_params(net, z, "load_short_", same)


def run_option_variant(name: str, variant: dict[str, Any], z: Any, scratch: Path, same: Comparison) -> None:
    with dn.Network(variant["cfg"]) as net:
        fill_params(net, 0.5)
        net.load_weights(variant["loads"], partial=True)
        compare_params(net, z, f"{name}_", same)
        net.save_weights(scratch / "saved.weights")
        if digest(scratch / "saved.weights") != variant["resaved_sha256"]:
            same.failures.append(f"{name}: other bytes than the reference writes")


def picture(name: str) -> Any:
    from PIL import Image

    path = SHARED / "golden" / "e2e_images" / f"{name}.png"
    return np.asarray(Image.open(path).convert("RGB"), np.float32).transpose(2, 0, 1) / 255


def e2e_weights(path: Path) -> Path:
    own = path / "case.weights"
    return own if own.exists() else SHARED / "real/weights/yolo-lite-coco/trial6_653550.weights"


def rows_of(found: Any) -> Any:
    """class, probability, x, y, w, h, objectness of every box and class, best first, as in the cases."""
    boxes, objectness, probabilities = found
    which, classes = np.nonzero(probabilities)
    rows = np.column_stack([classes, probabilities[which, classes], boxes[which], objectness[which]])
    return rows[np.lexsort((rows[:, 0], -rows[:, 1]))]


def compare_rows(
    what: str, found: Any, expected: Any, thresh: float, tolerance: dict[str, Any], same: Comparison
) -> None:
    """Every row has a partner of its class, unless it is within the tolerance of the threshold."""
    slack, unmatched = tolerance["prob_atol"], list(range(len(found)))
    cut = max(thresh, expected[-1, 1] if len(expected) >= 500 else 0)
    same.compared += 1
    for row in expected:
        partner = next(
            (
                k
                for k in unmatched
                if found[k, 0] == row[0]
                and abs(found[k, 1] - row[1]) <= slack
                and np.abs(found[k, 2:6] - row[2:6]).max() <= tolerance["box_atol"]
            ),
            None,
        )
        if partner is not None:
            unmatched.remove(partner)
        elif row[1] > cut + slack:
            same.failures.append(f"{what}: no partner for {row}")
    same.failures += [f"{what}: unexpected {found[k]}" for k in unmatched if found[k, 1] > cut + slack]


def run_e2e(path: Path) -> Comparison:
    """A real network on real pictures: raw head inputs, then detections through the planned path."""
    case = json.loads((path / "case.json").read_text())
    z = np.load(path / "case.npz")
    same = Comparison(case["tolerance"]["raw"])
    with (
        dn.Network(path / "test.cfg", e2e_weights(path), numerics=numerics_of(case)) as net,
        net.session() as session,
    ):
        _, _, h, w = net.input_shape
        for key in z:
            name, layout, _, layer, *_ = [*key.split("_"), "", "", "", ""]
            image = picture(name)
            boxed = dn.images.letterbox(image, w, h)[None]
            if layout == "letterbox":
                same(key, net.activations(boxed)[int(layer)], z[key])
            elif key.endswith("_output"):
                x = boxed if layout == "lb1" else dn.images.resize(image, w, h)[None]
                same(key, net.predict(x)[0], z[key])
        for run in case["runs"]:
            image = picture(run["image"])
            x = dn.images.letterbox(image, w, h) if run["letterbox"] else dn.images.resize(image, w, h)
            session.predict(x[None])
            raw = ffi.new("dn_detect_options *")
            lib.dn_detect_options_init(raw)
            raw.thresh, raw.nms, raw.relative, raw.letterbox = run["thresh"], 0.45, 1, run["letterbox"]
            raw.image_width, raw.image_height = run["w"], run["h"]
            rows = rows_of(session._boxes(raw))[:500]
            compare_rows(run["key"], rows, z[run["key"]], run["thresh"], case["tolerance"], same)
    return same


def run_case(path: Path, scratch: Path) -> Comparison:
    """Runs a case of any kind that has a cfg; failures say what differs."""
    case = json.loads((path / "case.json").read_text())
    if case["group"] == "e2e":
        return run_e2e(path)
    z = np.load(path / "case.npz")
    with np.errstate(all="ignore"):
        if case["group"] == "weights":
            return run_weights(path, case, z, scratch)
        if "train" in case["group"]:
            return run_train(path, case, z)
        return run_forward(path, case, z)

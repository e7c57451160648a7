"""`check`: broken cfgs, weights and names, each with what must be found in it, and where; sound ones with nothing."""
# ruff: noqa: E501 (one row of a table, one line)

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random

import numpy as np
import pytest
from conftest import CLASSIFIER_CFG, TINY_CFG
from data_sets import CFG as TWO_HEADS

pytest.importorskip("darknet_py._native", reason="the core is not built")

import darknet_py as dn
from darknet_py.checking import Report, check_network
from darknet_py.cli import main
from darknet_py.logs import captured

ROOT = Path(__file__).resolve().parent.parent
REAL = Path(os.environ.get("DARKNET_SHARED", ROOT.parent / "shared")) / "real"

TINY = TINY_CFG.replace("batch=2", "batch=4")

V1 = """[net]
width=24
height=24
channels=3
batch=4
[connected]
output=108
activation=linear
[detection]
classes=2
coords=4
side=3
num=2
"""

REGION = """[net]
width=64
height=64
channels=3
batch=4
[convolutional]
filters=14
stride=16
activation=linear
[region]
classes=2
num=2
anchors=1,1.5, 2,3
"""


def check_text(text: str, folder: Path) -> Report:
    path = folder / "x.cfg"
    path.write_text(text)
    return check_network(path)


def rows(report: Report) -> list[tuple[str, str]]:
    return [(finding.severity, finding.code) for finding in report]


@pytest.mark.parametrize("text", [TINY, TWO_HEADS, V1, REGION, CLASSIFIER_CFG])
def test_sound_networks_have_nothing(text: str, tmp_path: Path) -> None:
    report = check_text(text, tmp_path)
    assert [str(finding) for finding in report if finding.severity != "note"] == []
    assert report.status(strict=True) == 0
    with dn.Network.from_string(text) as net:
        assert [row.shape for row in report.shapes] == [layer.out_shape for layer in net.layers]


# ---- what is wrong with a cfg: (base, old, new, severity, code, line's start, part of message and hint) -----

BROKEN = [
    # lines
    (TINY, "[maxpool]", "[maxpool]#x", "error", "syntax", "[maxpool]", "alone on its line"),
    (TINY, "[maxpool]", "[maxpool", "error", "syntax", "[maxpool", "alone on its line"),
    (TINY, "\n[net]", "\nwidth=3\n[net]", "error", "syntax", "width=3", "before the first section"),
    (TINY, "classes=3", "classes=3 # three", "warning", "comment", "classes=3", "cut off"),
    (TINY, "stride=1\n", "stride=\n", "warning", "syntax", "stride=", "without a value"),
    (TINY, "stride=1\n", "stride\n", "warning", "syntax", "stride", "no '='"),
    (TINY, "[net]", "[yolo]", "error", "first-section", "[yolo]", "[net]"),
    (TINY, "channels=3\n", "channels=3\r\n", "note", "line-ends", "", "CR LF"),
    # keys and types
    (TINY, "filters=8", "fliters=8\nfilters=8", "warning", "unknown-key", "fliters", "did you mean filters?"),
    (TINY, "filters=8", "filters=8\nburn_in=3", "warning", "unknown-key", "burn_in", "key of [net]"),
    (TINY, "filters=8", "filters=8\nfilters=9", "warning", "duplicate", "filters=9", "the first counts, 8 on line 12"),
    (TINY, "filters=8", "filters=8\nfilters=8", "note", "duplicate", "filters=8", "twice"),
    (TINY, "[maxpool]", "[maxpol]", "error", "layer-type", "[maxpol]", "did you mean [maxpool]?"),
    (TINY, "[maxpool]", "[cornea]", "error", "layer-type", "[cornea]", "is no layer type"),
    (TINY, "[maxpool]", "[history]", "error", "unsupported", "[history]", "does not run"),
    (TINY, "activation=leaky", "activation=leeky", "warning", "activation", "activation=leeky", "did you mean leaky?"),
    (TINY, "filters=8", "filters=8x", "warning", "core", "filters=8x", "is read as 8"),
    (TINY, "filters=8", "filters=none", "error", "core", "filters=none", "must be 1"),
    # references and shapes
    (TWO_HEADS, "layers=-3", "layers=9", "error", "reference", "layers=9", "no layer (9)"),
    (TWO_HEADS, "layers=-3", "layers=5", "error", "reference", "layers=5", "not before it"),
    (TWO_HEADS, "layers=-3", "layers=-9", "error", "reference", "layers=-9", "no layer (-6)"),
    (TWO_HEADS, "[upsample]\nstride=2", "[upsample]\nstride=2\n[route]\nlayers=-1,0", "warning", "route-sizes", "layers=-1,0", "layer 4 is 24 x 24, layer 0 is 12 x 12"),
    (TWO_HEADS, "size=3\nstride=8\npad=1\n", "size=300\n", "error", "core", "size=300", "does not fit"),
    # heads
    (TINY, "filters=16", "filters=255", "error", "filters", "filters=255", "2 * (5 + 3) = 16; set filters=16"),
    (TINY, "filters=16", "filters=50", "error", "filters", "filters=50", "with classes=20 it would be 50"),
    (TINY, "classes=3", "classes=20", "error", "filters", "filters=16", "2 * (5 + 20) = 50; set filters=50"),
    (TINY, "mask=0,1", "mask=0", "error", "filters", "filters=16", "1 * (5 + 3) = 8"),
    (REGION, "filters=14", "filters=15", "error", "filters", "filters=15", "2 * (5 + 2) = 14"),
    (REGION, "classes=2", "classes=2\ncoords=5", "error", "filters", "filters=14", "2 * (6 + 2) = 16"),
    (V1, "output=108", "output=99", "error", "filters", "output=99", "3 * 3 * (2 * 5 + 2) = 108"),
    (TINY, "[yolo]\nmask=0,1", "[dropout]\nprobability=.1\n[yolo]\nmask=0", "error", "filters", "classes=3", "needs 1 * (5 + 3) = 8 channels, but the layer before gives 16"),
    (TINY, "anchors=4,5, 10,12\n", "", "warning", "anchors", "[yolo]", "no anchors"),
    (TINY, "anchors=4,5, 10,12", "anchors=4,5, 10", "warning", "anchors", "anchors=4,5, 10", "pairs"),
    (TINY, "anchors=4,5, 10,12", "anchors=4,5, 10,12, 13,14", "warning", "anchors", "num=2", "set num=3"),
    (TINY, "anchors=4,5, 10,12", "anchors=4,5, 0,-1", "error", "anchors", "anchors=4,5, 0,-1", "of size 0, -1"),
    (REGION, "anchors=1,1.5, 2,3", "anchors=10,14, 23,27", "warning", "anchor-units", "anchors=10", "look like pixels"),
    (TWO_HEADS, "anchors=4,5, 10,12, 30,32, 60,61", "anchors=.4,.5, 1,1.2, 2,2.2, 2.6,2.7", "warning", "anchor-units", "anchors=.4", "look like cells"),
    (TINY, "mask=0,1", "mask=0,2", "error", "mask", "mask=0,2", "the anchors 0 to 1"),
    (TINY, "mask=0,1", "mask=1,1", "warning", "mask", "mask=1,1", "names 1 twice"),
    (TWO_HEADS, "mask=0,1", "mask=0,2", "warning", "mask-shared", "mask=0,2", "anchor 2, which layer 2"),
    (TWO_HEADS, "mask=0,1", "mask=0,2", "warning", "mask-unused", "anchors=", "anchors 1 are in no"),
    (TWO_HEADS.replace("mask=2,3", "mask=X").replace("mask=0,1", "mask=2,3"), "mask=X", "mask=0,1", "warning", "mask-order", "mask=2,3", "exchange"),
    (TWO_HEADS.replace("classes=2\n[route]", "classes=3\n[route]"), "filters=14", "filters=14", "error", "filters", "filters=14", "2 * (5 + 3) = 16"),
    (TWO_HEADS.replace("classes=2\n[route]", "classes=3\n[route]"), "filters=14", "filters=14", "warning", "classes", "classes=2", "layer 2 [yolo] has 3"),
    (TWO_HEADS.replace("anchors=4,5, 10,12, 30,32, 60,61\nnum=4\nclasses=2\n[route]", "anchors=5,5, 10,12, 30,32, 60,61\nnum=4\nclasses=2\n[route]"), "", "", "warning", "anchors-differ", "anchors=4,5", "differ from those"),
    (TINY, "activation=linear", "activation=leaky", "warning", "head-activation", "activation=leaky", "set activation=linear"),
    (TINY, "[yolo]", "[dropout]\n[yolo]", "warning", "dropout", "[dropout]", "right before layer 4 [yolo]"),
    (TINY, "classes=3", "classes=3\ntruth_thresh=0", "warning", "threshold", "truth_thresh=0", "truth_thresh=1 is usual"),
    (TINY, "classes=3", "classes=3\njitter=30", "warning", "augmentation", "jitter=30", "0 to 1"),
    (V1, "side=3", "side=0", "error", "core", "side=0", "must be 1 to"),
    (TINY, "classes=3", "classes=-3", "error", "core", "classes=-3", "must be 0"),
    (TINY, "num=2", "num=999999999999", "error", "core", "num=999999999999", "must be 1 to"),
    # [net]
    (TINY, "width=32\n", "", "error", "core", "[net]", ""),
    (TINY, "subdivisions=1", "subdivisions=3", "warning", "batch", "subdivisions=3", "updates take 3 images, not 4"),
    (TINY, "subdivisions=1", "subdivisions=8", "warning", "batch", "batch=4", "less than subdivisions=8"),
    (TINY, "batch=4", "batch=1", "note", "batch-one", "batch=1", "for testing"),
    (TINY, "learning_rate=0.01", "learning_rate=0", "warning", "rate", "learning_rate=0", "changes nothing"),
    (TINY, "learning_rate=0.01", "learning_rate=10", "warning", "rate", "learning_rate=10", "diverge"),
    (TINY, "learning_rate=0.01", "momentum=1", "warning", "rate", "momentum=1", "without end"),
    (TINY, "learning_rate=0.01", "policy=step_s", "warning", "policy", "policy=step_s", "did you mean step"),
    (TINY, "learning_rate=0.01", "policy=steps", "error", "schedule", "policy=steps", "needs steps and scales"),
    (TINY, "learning_rate=0.01", "steps=1,2\nscales=1,2", "warning", "schedule", "steps=1,2", "set policy=steps"),
    (TINY, "learning_rate=0.01", "policy=poly", "warning", "schedule", "policy=poly", "needs max_batches"),
    (TWO_HEADS, "scales=.1,.1", "scales=.1", "error", "schedule", "scales=.1", "2 values, scales 1"),
    (TWO_HEADS, "scales=.1,.1", "scales=.1,.1,.1", "warning", "schedule", "scales=.1", "2 values, scales 3"),
    (TWO_HEADS, "steps=80,90", "steps=90,80", "warning", "schedule", "steps=90,80", "do not rise"),
    (TWO_HEADS, "steps=80,90", "steps=80,100", "warning", "schedule", "steps=80,100", "never reached"),
    (TWO_HEADS, "max_batches=100", "max_batches=100\nburn_in=1000", "warning", "schedule", "burn_in=1000", "longer than"),
    (TINY, "learning_rate=0.01", "saturation=0", "warning", "augmentation", "saturation=0", "saturation=1"),
    (TINY, "learning_rate=0.01", "blur=1", "note", "no-effect", "blur=1", "no effect yet"),
    (TWO_HEADS, "width=96", "width=100", "warning", "stride", "width=100", "stride of 8; the grid does not cover the picture evenly; use 96 or 104"),
]  # fmt: skip


@pytest.mark.parametrize("base,old,new,severity,code,start,part", BROKEN)
def test_broken_cfgs(
    base: str, old: str, new: str, severity: str, code: str, start: str, part: str, tmp_path: Path
) -> None:
    assert old in base
    text = base.replace(old, new, 1)
    report = check_text(text, tmp_path)
    found = [
        f for f in report if (f.severity, f.code) == (severity, code) and part in f"{f.message}; {f.hint}"
    ]
    assert found, "\n".join(map(str, report))
    lines = ["", *text.split("\n")]
    assert any(lines[finding.line].startswith(start) for finding in found), (start, found)
    assert (severity == "error") <= (report.status() == 1)
    assert str(found[0]).startswith(f"{tmp_path / 'x.cfg'}:{found[0].line}: {severity}: ")


@pytest.mark.parametrize("base,old,new", [row[:3] for row in BROKEN if row[3] == "error"])
def test_errors_are_what_the_core_refuses_or_worse(base: str, old: str, new: str, tmp_path: Path) -> None:
    """A network that is refused has an error, and one error is not told twice."""
    report = check_text(base.replace(old, new, 1), tmp_path)
    places = [(finding.line, finding.code) for finding in report.errors]
    assert len(places) == len(set(places))
    assert sum(finding.code == "core" for finding in report.errors) <= 1


def test_a_network_that_loads_has_no_errors_and_one_that_does_not_has_some(tmp_path: Path) -> None:
    for base, old, new, *_ in BROKEN:
        text = base.replace(old, new, 1)
        report = check_text(text, tmp_path)
        try:
            with captured(), dn.Network.from_string(text):
                worse = {finding.code for finding in report.errors}
                assert worse <= {"anchors"}, text  # a size of 0 is no error of the core
        except dn.DarknetError:
            assert report.errors, text


def mutated(random: Random) -> str:
    """A sound cfg after a few slips: values, lines lost, doubled, exchanged, cut."""
    lines = random.choice([TINY, TWO_HEADS, V1, REGION, CLASSIFIER_CFG]).split("\n")
    for _ in range(random.randint(1, 4)):
        i, j, what = random.randrange(len(lines)), random.randrange(len(lines)), random.random()
        if what < 0.4 and "=" in lines[i]:
            value = random.choice(["0", "-1", "x", "", "1e9", "9" * 20, "3,4", "nan", "2", ".5", "#"])
            lines[i] = f"{lines[i].partition('=')[0]}={value}"
        elif what < 0.55:
            lines[i] = ""
        elif what < 0.7:
            lines.insert(i, lines[j])
        elif what < 0.85:
            lines[i] = lines[i][: random.randint(0, len(lines[i]))] + random.choice("[]=#;x é")
        else:
            lines[i], lines[j] = lines[j], lines[i]
    return "\n".join(lines)


def test_checks_agree_with_the_core_on_networks_full_of_slips(tmp_path: Path) -> None:
    random = Random(5)
    for _ in range(300):
        text = mutated(random)
        report = check_text(text, tmp_path)
        try:
            with captured(), dn.Network.from_string(text):
                pass
        except dn.DarknetError:
            assert report.errors, text
        else:
            assert {finding.code for finding in report.errors} <= {"anchors"}, text


def test_all_mistakes_are_found_in_one_run(tmp_path: Path) -> None:
    text = TWO_HEADS.replace("policy=steps", "policy=stps").replace("size=3", "szie=3", 1)
    text = (
        text.replace("filters=14", "filters=255")
        .replace("mask=0,1", "mask=0,7")
        .replace("batch=4", "batch=5\nsubdivisions=2")
    )
    text = text.replace("[upsample]", "[upsampel]")
    report = check_text(text, tmp_path)
    assert rows(report) == [
        ("warning", "batch"),
        ("warning", "policy"),
        ("warning", "unknown-key"),
        ("error", "filters"),
        ("warning", "mask-unused"),
        ("error", "layer-type"),
        ("error", "filters"),
        ("error", "mask"),
    ]
    # The shapes go on behind heads that don't fit and a misspelt type.
    assert [row.shape for row in report.shapes][-2:] == [(255, 24, 24), (255, 24, 24)]


def test_the_shape_trace_shows_where_it_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.cfg"
    path.write_text(TINY.replace("[maxpool]", "[cornea]"))
    assert main(["check", str(path), "--shapes"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["0", "convolutional", "16", "x", "12", "x", "8", "line", "10"]
    assert lines[1].split() == ["1", "cornea", "?", "line", "18", "<-", "breaks", "here"]
    assert lines[2].split()[:3] == ["2", "convolutional", "?"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "no sections"),
        (b"\0\1\2\3", "binary"),
        (b"<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        (b"# nothing\n", "no sections"),
    ],
)
def test_files_that_are_no_cfg(content: bytes, part: str, tmp_path: Path) -> None:
    path = tmp_path / "x.cfg"
    path.write_bytes(content)
    report = check_network(path)
    assert rows(report) == [("error", "not-cfg")] and part in str(report.findings[0])


def test_missing_files_are_exceptions(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_network(tmp_path / "none.cfg")
    (tmp_path / "x.cfg").write_text(TINY)
    with pytest.raises(FileNotFoundError):
        check_network(tmp_path / "x.cfg", tmp_path / "none.weights")


# ---- weights ----------------------------------------------------------------------------------------------


def saved(text: str, path: Path, cutoff: int | None = None) -> Path:
    with dn.Network.from_string(text, seed=1) as net:
        net.save_weights(path, cutoff)
    return path


def weights_report(text: str, weights: Path) -> Report:
    cfg = weights.with_suffix(".cfg")
    cfg.write_text(text)
    return check_network(cfg, weights)


@pytest.mark.parametrize(
    ("cfg", "trained", "part"),
    [
        (TINY, TINY.replace("classes=3", "classes=20").replace("filters=16", "filters=50"), "with classes=20 (filters=50 before"),
        (TWO_HEADS, TWO_HEADS.replace("classes=2", "classes=80").replace("filters=14", "filters=170"), "with classes=80 (filters=170"),
        (REGION, REGION.replace("classes=2", "classes=20").replace("filters=14", "filters=50"), "with classes=20"),
        (V1, V1.replace("classes=2", "classes=4").replace("output=108", "output=126"), "with classes=4 (output=126"),
        (CLASSIFIER_CFG.replace("filters=4", "filters=10"), CLASSIFIER_CFG, "with 4 classes (filters=4 in layer 0)"),
        (TINY, TINY.replace("batch_normalize=1\n", ""), "without batch_normalize"),
        (TINY.replace("batch_normalize=1\n", ""), TINY, "with batch_normalize=1 up to layer 0"),
        (TINY.replace("filters=8", "filters=6"), TINY.replace("filters=8", "filters=6").replace("channels=3", "channels=1"), "with channels=1 in [net]"),
        (V1.replace("[connected]", "[maxpool]\nstride=2\n[connected]"), V1.replace("[connected]", "[maxpool]\nstride=2\n[connected]").replace("=24", "=32"), "gets 768 inputs instead of 432"),
    ],
)  # fmt: skip
def test_weights_of_another_cfg_are_explained(cfg: str, trained: str, part: str, tmp_path: Path) -> None:
    report = weights_report(cfg, saved(trained, tmp_path / "x.weights"))
    assert [finding.code for finding in report.errors] == ["weights-size"]
    assert part in report.errors[0].hint, str(report.errors[0])
    assert "bytes" in report.errors[0].message


def test_weights_that_fit_are_fine_and_a_first_part_is_named(tmp_path: Path) -> None:
    assert not weights_report(TINY, saved(TINY, tmp_path / "x.weights")).warnings
    report = weights_report(TINY, saved(TINY, tmp_path / "x.weights", 1))
    assert [str(f.message) for f in report.warnings] == ["holds the layers 0 to 0 of 4, whole"]
    assert report.status() == 0 and report.status(strict=True) == 1


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"<html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"PK\x03\x04" + b"x" * 100, "ZIP"),
        (b"\x1f\x8b" + b"x" * 100, "gunzip"),
        (b"[net]\nwidth=3", "CFG comes first"),
        (b"\0\0\0", "too few"),
    ],
)
def test_weights_that_are_something_else(content: bytes, part: str, tmp_path: Path) -> None:
    (tmp_path / "x.weights").write_bytes(content)
    report = weights_report(TINY, tmp_path / "x.weights")
    assert rows(report)[-1:] == [("error", "not-weights")] and part in str(report.errors[0])


def test_cut_weights_name_the_layer(tmp_path: Path) -> None:
    path = saved(TINY, tmp_path / "x.weights")
    path.write_bytes(path.read_bytes()[:-7])
    error = weights_report(TINY, path).errors[0]
    assert "ends in layer 2 [convolutional]" in error.message and "no whole number of floats" in error.hint
    path.write_bytes(saved(TINY, path).read_bytes()[:-44])
    assert "a download cut short" in weights_report(TINY, path).errors[0].hint


def test_impossible_values_are_found(tmp_path: Path) -> None:
    path = tmp_path / "x.weights"
    for name, value, part in [
        ("weights", np.nan, "weights has 1 values"),
        ("rolling_variance", -1, "negative"),
    ]:
        with dn.Network.from_string(TINY, seed=1) as net:
            values = net.layers[0].params[name]
            values.reshape(-1)[0] = value
            net.set_param(0, name, values)
            net.save_weights(path)
        assert part in str(weights_report(TINY, path).errors[0])
    path.write_bytes(bytes(len(path.read_bytes())))
    size = path.stat().st_size
    path.write_bytes(b"\0\0\0\0\2\0\0\0" + bytes(size - 8))
    assert rows(weights_report(TINY, path))[-1] == ("warning", "weights-values")


def test_weights_wait_for_the_cfg(tmp_path: Path) -> None:
    report = weights_report(TINY.replace("filters=16", "filters=9"), saved(TINY, tmp_path / "x.weights"))
    assert ("note", "weights") in rows(report) and len(report.errors) == 1


# ---- names and .data --------------------------------------------------------------------------------------


def test_names_and_data_are_counted(tmp_path: Path) -> None:
    cfg, names, data = (tmp_path / name for name in ("x.cfg", "y.names", "x.data"))
    cfg.write_text(TINY)
    names.write_text("a\nb\n\nc\n")
    report = check_network(cfg, names=names)
    assert rows(report) == [("warning", "names"), ("warning", "names")]
    assert str(report.findings[0]).startswith(f"{names}: warning: 4 names for 3 classes")
    assert report.findings[1].line == 3
    names.write_text("a\nb\nc\n")
    data.write_text(f"classes=3\nnames={names}\n")
    assert rows(check_network(cfg, names=names)) == rows(check_network(cfg, data=data)) == []
    data.write_text("classes=4\nnames=none.names\n")
    assert rows(check_network(cfg, data=data)) == [("error", "classes"), ("error", "names")]
    (tmp_path / "x.names").write_text("a\n")
    assert "1 names for 3 classes" in str(check_network(cfg).findings[0])


# ---- the command ------------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.cfg"
    path.write_text(TINY)
    assert main(["check", str(path)]) == 0
    streams = capsys.readouterr()
    assert streams.out == "" and streams.err == f"{path}: 0 errors, 0 warnings\n"
    path.write_text(TINY.replace("stride=1", "strid=1"))
    assert main(["check", str(path)]) == 0
    assert main(["check", str(path), "-strict"]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first == (
        f"{path}:25: warning: layer 2 [convolutional] strid: unknown key, without effect; did you mean stride?"
    )
    assert main(["check", str(path), "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    path.write_text(TINY.replace("filters=16", "filters=1"))
    assert main(["check", str(path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["errors"] == 1 and report["findings"][0]["code"] == "filters"
    assert [layer["shape"] for layer in report["layers"]][2:] == [[1, 6, 8], [1, 6, 8]]
    assert main(["check", str(tmp_path / "none.cfg")]) == 1


REAL_CFGS = (
    sorted(REAL.glob("cfg/*/*.cfg"))
    + sorted(REAL.glob("weights/*/*.cfg"))
    + sorted((ROOT / "cfg").glob("*.cfg"))
)


def test_real_networks_have_errors_only_if_they_cannot_be_built() -> None:
    if len(REAL_CFGS) < 10:
        pytest.skip("the cfg files of Darknet and its forks are not installed (DARKNET_SHARED)")
    for path in REAL_CFGS:
        report = check_network(path)
        try:
            with captured():
                dn.Network(path, initialize=False).close()
        except dn.DarknetError as error:
            line = int(str(error).removeprefix(f"{path}:").partition(":")[0])
            assert any(finding.line >= line for finding in report.errors), path
            continue
        assert [str(finding) for finding in report.errors] == []


def test_real_weights_fit_and_the_one_that_does_not_is_explained() -> None:
    folder = REAL / "weights"
    if not folder.is_dir():
        pytest.skip("the trained networks are not installed (DARKNET_SHARED)")
    for name in (
        "yolo-fastest-1.1/yolo-fastest-1.1",
        "tiny-darknet/tiny",
        "yolo-lite-voc/tiny-yolov2-trial3",
    ):
        assert not check_network(folder / f"{name}.cfg", folder / f"{name}.weights").errors
    wrong = folder / "mismatch" / "tiny-yolov2-trial8"
    (error,) = check_network(f"{wrong}.cfg", f"{wrong}.weights").errors
    assert error.code == "weights-size" and error.hint
    partial = check_network(folder / "partial" / "Yolo-Fastest.cfg", folder / "partial" / "Yolo-Fastest.conv")
    assert not partial.errors and "holds the layers 0 to 128" in str(partial.warnings)

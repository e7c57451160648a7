"""Every cfg file of the Darknet projects: it builds, its summary prints, it runs, and the plan agrees with
the layers one by one. Those that can't be right are listed with the error they give."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden import SHARED
from thin import disagreement, sections, steady, thin

import darknet_py as dn
from darknet_py.cli import main

REAL = SHARED / "real"
FILES = {f"{path.parent.name}/{path.stem}": path for path in sorted(REAL.glob("cfg/*/*.cfg"))}

#: Files that can't be run as they are: part of the message. docs/compatibility.md has the reasons.
BROKEN = {
    "cspx-p7-mish": "mask: 16 is not one of the anchors 0 to 15",
}

#: Sides to try, in this order, until maps of several strides meet and windows fit.
SIDES = (64, 128, 224, 227, 448)

#: Run with all of their filters, too: what thin networks don't reach, such as Winograd's tiles, is in them.
WHOLE = {
    "alexeyab/efficientnet_b0": 64,
    "alexeyab/enet-coco": 64,
    "alexeyab/yolov3-tiny-prn": 96,
    "alexeyab/yolov4-tiny-3l": 96,
    "alexeyab/yolov7": 64,
    "hank-ai/tiny-yolo": 448,
    "pjreddie/cifar": 28,
    "pjreddie/densenet201": 64,
    "pjreddie/resnet34": 64,
    "pjreddie/resnext50": 64,
    "pjreddie/yolov2-tiny-voc": 96,
}


def unique() -> list[str]:
    """The projects share many files: each content once."""
    contents = {path.read_bytes().translate(None, b" \r"): name for name, path in reversed(FILES.items())}
    return sorted(contents.values())


UNIQUE = unique() or ["none"]


@pytest.fixture(autouse=True)
def _beside_the_data() -> Iterator[None]:
    """Word trees and maps are named relative to the folder above data."""
    if not FILES:
        pytest.skip("no DARKNET_SHARED with the cfg files of the Darknet projects")
    before = Path.cwd()
    os.chdir(REAL)
    yield
    os.chdir(before)


@pytest.mark.parametrize("name", UNIQUE)
def test_a_file_builds_and_its_summary_prints(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = FILES[name].read_text("utf-8")
    status = main(["summary", str(FILES[name])])
    output = capsys.readouterr()
    message = BROKEN.get(name.split("/")[1])
    if message:
        assert status == 1 and message in output.err
        return
    layers = len(sections(text)) - 1
    assert status == 0 and len(output.out.splitlines()) == layers + 4
    assert f"total: {layers} layers" in output.out
    assert "unknown key" not in output.err and "no effect with" not in output.err


@pytest.mark.parametrize("name", [name for name in UNIQUE if name.split("/")[-1] not in BROKEN])
def test_a_file_runs_and_the_plan_agrees(name: str) -> None:
    text = thin(FILES[name].read_text("utf-8"))
    with smallest(text) as net:
        steady(net)
        assert disagreement(net) < 1e-4


def smallest(text: str) -> dn.Network:
    """The network at the smallest side it can be built for; those fed with vectors as they are."""
    steps = 3 if "time_steps=" in text else None
    sides = (0,) if "\ninputs=" in text else SIDES
    for side in sides:
        try:
            return dn.Network.from_string(text, width=side, height=side, time_steps=steps, threads=1)
        except dn.CfgError:
            if side == sides[-1]:
                raise
    raise AssertionError("no sides")


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_runs_and_the_plan_agrees(name: str) -> None:
    side = WHOLE[name]
    with dn.Network(FILES[name], width=side, height=side) as net:
        steady(net)
        assert disagreement(net) < 1e-4

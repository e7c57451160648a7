"""ONNX files: every layer that can be expressed agrees with the network, the others are refused by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from random_networks import give_parameters, networks

import darknet_py as dn

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from darknet_py.export import export_onnx, verify
from darknet_py.export.layers import LAYERS
from darknet_py.export.recurrent import RECURRENT

NET = "[net]\nwidth=11\nheight=9\nchannels=4\n"
CONV = "[convolutional]\nfilters=6\nsize=3\npad=1\nactivation=leaky\n"
MISFITS = "[net]\nwidth=12\nheight=8\nchannels=4\n"

#: What random networks do not draw.
SECTIONS = {
    "local": f"{NET}[local]\nfilters=5\nsize=3\npad=1\nactivation=leaky\n",
    "local strided": f"{NET}[local]\nfilters=5\nsize=3\nstride=2\nactivation=tanh\n",
    "deconvolutional": f"{NET}[deconvolutional]\nfilters=5\nsize=4\nstride=2\npadding=1\nbatch_normalize=1\n",
    "crop": f"{NET}[crop]\ncrop_width=6\ncrop_height=5\n",
    "crop unadjusted": f"{NET}[crop]\ncrop_width=6\ncrop_height=5\nnoadjust=1\n",
    "iseg": f"{NET}{CONV}[iseg]\nclasses=2\nids=4\n",
    "normalization": f"{NET}{CONV}[normalization]\nalpha=.1\nsize=5\n",
    "l2norm": f"{NET}{CONV}[l2norm]\n",
    "logistic": f"{NET}{CONV}[logistic]\n",
    "implicit": f"{NET}{CONV}[implicit]\nfilters=6\natoms=1\n[scale_channels]\nfrom=0\n",
    "reorg extra": f"{NET}{CONV}[reorg]\nextra=3\n",
    "xnor": f"{NET}{CONV}[convolutional]\nfilters=5\nsize=3\npad=1\nxnor=1\nbatch_normalize=1\n",
    "softmax groups": f"{NET}[connected]\noutput=12\nactivation=linear\n[softmax]\ngroups=3\ntemperature=2\n",
    "padding behind": f"{NET}[convolutional]\nfilters=4\nsize=3\ndilation=2\nstride=2\npad=1\n",
    "shortcut down": f"{MISFITS}{CONV}[maxpool]\nsize=2\nstride=2\n[shortcut]\nfrom=0\nalpha=.5\nbeta=2\n",
    "detection": f"{NET}[connected]\noutput=117\nactivation=linear\n"
    "[detection]\nclasses=3\ncoords=4\nside=3\nnum=2\nsqrt=1\n",
    "detection softmax": f"{NET}[connected]\noutput=72\nactivation=linear\n"
    "[detection]\nclasses=3\ncoords=4\nside=3\nnum=1\nsoftmax=1\n",
    "region": f"{NET}{CONV.replace('6', '16')}[region]\nnum=2\nclasses=3\nsoftmax=1\nanchors=1,2,3,1\n",
    "region background": f"{NET}{CONV.replace('6', '16')}"
    "[region]\nnum=2\nclasses=3\nsoftmax=1\nbackground=1\n",
    "yolo": f"{NET}{CONV.replace('6', '16')}"
    "[yolo]\nnum=3\nmask=2,0\nclasses=3\nanchors=3,4,5,6,7,8\nscale_x_y=1.1\n",
    "yolo new_coords": f"{NET}{CONV.replace('6', '16').replace('leaky', 'logistic')}"
    "[yolo]\nnum=2\nmask=0,1\nclasses=3\nanchors=3,4,5,6\nscale_x_y=2\nnew_coords=1\n",
    "Gaussian_yolo": f"{NET}{CONV.replace('6', '24')}"
    "[Gaussian_yolo]\nnum=2\nmask=0,1\nclasses=3\nanchors=3,4,5,6\n",
}
HEADS = [name for name in SECTIONS if name.startswith(("detection", "region", "yolo", "Gaussian"))]


def check(net: dn.Network, file: Path, limit: float = 1e-4, **options: Any) -> None:
    export_onnx(net, file, **options)
    for one in verify(net, file):
        assert one.largest <= limit * max(one.range, 1e-3), one


@pytest.mark.parametrize("name", SECTIONS)
def test_a_layer_is_exported(name: str, tmp_path: Path) -> None:
    with dn.Network.from_string(SECTIONS[name]) as net:
        give_parameters(net, 1)
        check(net, tmp_path / "x.onnx")


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_decoded_as_detect_decodes_them(name: str, tmp_path: Path) -> None:
    with dn.Network.from_string(SECTIONS[name]) as net:
        give_parameters(net, 1)
        check(net, tmp_path / "x.onnx", decode=True, batch=None)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks())
def test_random_networks_are_exported(tmp_path_factory: pytest.TempPathFactory, cfg: str) -> None:
    file = tmp_path_factory.mktemp("onnx") / "x.onnx"
    with dn.Network.from_string(cfg) as net:
        give_parameters(net, 1)
        try:
            check(net, file, limit=1e-3, batch=None)
        except dn.UnsupportedError as error:
            assert "can't be exported" in str(error)
            assert not file.exists()


def test_every_layer_type_is_exported_or_refused() -> None:
    from test_gradients import registry_types

    assert set(registry_types()) - set(LAYERS) - set(RECURRENT) == {"history"} & set(registry_types())


STREAMS = "[net]\ninputs=7\nbatch=1\n"
MAPS = "[net]\nwidth=6\nheight=5\nchannels=3\nbatch=1\n"
CELLS = {
    "rnn": f"{STREAMS}[connected]\noutput=5\n[rnn]\noutput=4\nbatch_normalize=1\n[softmax]\n",
    "rnn shortcut": f"{STREAMS}[rnn]\noutput=4\nactivation=tanh\nshortcut=1\n"
    "[rnn]\noutput=3\nactivation=leaky\n",
    "gru": f"{STREAMS}[gru]\noutput=4\nbatch_normalize=1\n[connected]\noutput=3\nactivation=linear\n",
    "gru tanh": f"{STREAMS}[gru]\noutput=4\ntanh=1\n",
    "lstm": f"{STREAMS}[lstm]\noutput=4\nbatch_normalize=1\n[connected]\noutput=3\nactivation=linear\n",
    "crnn": f"{MAPS}[crnn]\noutput_filters=4\nhidden_filters=5\n"
    "activation=leaky\nbatch_normalize=1\nshortcut=1\n",
    "crnn xnor": f"{MAPS}[crnn]\noutput=4\nhidden=5\nactivation=leaky\nbatch_normalize=1\nxnor=1\n",
    "conv_lstm": f"{MAPS}[conv_lstm]\noutput=4\npeephole=1\n"
    "batch_normalize=1\nstate_constrain=.3\nactivation=leaky\n",
    "conv_lstm dilated": f"{MAPS}[conv_lstm]\noutput=4\ndilation=2\nlstm_activation=relu\nsize=3\n",
}


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", CELLS)
def test_recurrent_layers_take_their_state_and_give_it(name: str, steps: int, tmp_path: Path) -> None:
    import onnxruntime

    cfg = CELLS[name].replace("batch=1", f"batch=1\ntime_steps={steps}")
    with dn.Network.from_string(cfg, dialect="alexeyab") as net:
        give_parameters(net, 1)
        check(net, tmp_path / "x.onnx", batch=None)
        file = onnxruntime.InferenceSession(str(tmp_path / "x.onnx"))
        assert {one.name for one in file.get_inputs()} > {"input"}
        # The state matters: without it the second step is another one.
        x = np.random.default_rng(0).random((2 * steps, *net.input_shape[1:]), np.float32)
        zero = {
            one.name: np.zeros((1, *one.shape[1:]), np.float32)
            for one in file.get_inputs()
            if one.name != "input"
        }
        alone = file.run(None, {"input": x[-1:], **zero})[0]
        with net.session() as session:
            after = [session.predict(part)[0] for part in (x[:steps], x[steps:])][1]
        assert np.abs(after[-1:] - alone).max() > 1e-3


@pytest.mark.parametrize("steps", [1, 3])
def test_a_detector_with_a_state_is_decoded_step_by_step(steps: int, tmp_path: Path) -> None:
    head = "[yolo]\nnum=2\nmask=0,1\nclasses=3\nanchors=3,4,5,6\n"
    cfg = f"{MAPS}time_steps={steps}\n[conv_lstm]\noutput=16\n{head}"
    with dn.Network.from_string(cfg, dialect="alexeyab") as net:
        give_parameters(net, 1)
        check(net, tmp_path / "x.onnx", decode=True, batch=2)


def test_what_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    with dn.Network.from_string(NET + CONV) as net:
        with pytest.raises(dn.DataError, match="cannot write"):
            export_onnx(net, tmp_path / "no" / "x.onnx")
        with pytest.raises(dn.UnsupportedError, match="batch of 1 or more"):
            export_onnx(net, tmp_path / "x.onnx", batch=0)
        with pytest.raises(dn.UnsupportedError, match="batch of at most 1048576, or None, found 1000000000"):
            export_onnx(net, tmp_path / "x.onnx", batch=10**9)
        with pytest.raises(dn.UnsupportedError, match="decoding needs detection heads"):
            export_onnx(net, tmp_path / "x.onnx", decode=True)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_no_half_written_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with (
        dn.Network.from_string(NET + CONV) as net,
        pytest.raises(dn.DataError, match="cannot write: No space left"),
    ):
        export_onnx(net, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_differences_of_decoded_outputs_are_parts_of_their_whole_range(tmp_path: Path) -> None:
    with dn.Network.from_string(SECTIONS["yolo"]) as net:
        give_parameters(net, 1)
        export_onnx(net, tmp_path / "x.onnx", decode=True)
        assert all(one.range >= 1 for one in verify(net, tmp_path / "x.onnx"))
        export_onnx(net, tmp_path / "x.onnx")
        assert verify(net, tmp_path / "x.onnx")[0].range == np.ptp(net.predict(noise(net))[0])


def noise(net: dn.Network) -> np.ndarray:
    return np.random.default_rng(0).random((1, *net.input_shape[1:]), np.float32)


def test_a_change_in_the_file_is_found(tmp_path: Path) -> None:
    with dn.Network.from_string(NET + CONV) as net:
        export_onnx(net, tmp_path / "x.onnx")
        biases = net.layers[0].params["biases"]
        net.set_param(0, "biases", biases + 1)
        assert verify(net, tmp_path / "x.onnx")[0].largest > 0.09


def test_the_command_verifies(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    command = ["export", root / "cfg/synth.cfg", root / "weights/synth.weights", tmp_path / "x.onnx"]
    for more in ([], ["-decode", "-batch", "0"], ["-width", "160", "-height", "96"]):
        done = subprocess.run(
            [sys.executable, "-m", "darknet_py", *map(str, command), "-verify", *more],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0 and "of its range" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "name", ["yolo-fastest-1.1/yolo-fastest-1.1", "tiny-darknet/tiny", "yoloface-500k-se/yoloface-500k-SE"]
)
def test_real_networks_are_exported(name: str, tmp_path: Path) -> None:
    path = str(golden.SHARED / "real" / "weights" / name)  # a name may have dots of its own
    if not Path(f"{path}.cfg").exists():
        pytest.skip("no shared data")
    with dn.Network(f"{path}.cfg", f"{path}.weights") as net:
        check(net, tmp_path / "x.onnx")
        if net.layers[-1].head:
            check(net, tmp_path / "x.onnx", limit=1e-3, decode=True)
        assert np.isfinite(net.predict(np.zeros((1, *net.input_shape[1:]), np.float32))[0]).all()


def test_the_page_on_exports_tells_how_to_find_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).resolve().parent.parent
    page = (root / "docs" / "export.md").read_text("utf-8")
    program = page.split("```python\n")[1].split("```")[0]
    assert "boxes, scores = " in program
    for folder in ("cfg", "weights", "data"):
        (tmp_path / folder).symlink_to(root / folder)
    monkeypatch.chdir(tmp_path)
    with dn.Network("cfg/synth.cfg", "weights/synth.weights") as net:
        export_onnx(net, "synth.onnx", decode=True)
        detections = net.detect("data/scene.png", thresh=0.5)
    found: dict[str, Any] = {}
    exec(program, found)
    # Without suppression there are at least as many.
    assert len(found["boxes"][0][found["best"]]) >= len(detections) > 3
    centres = found["boxes"][0][found["best"]][:, :2]
    for one in detections:
        left, top, right, bottom = one.xyxy
        centre = np.array([(left + right) / 2, (top + bottom) / 2]) / found["picture"].shape[1]
        assert np.abs(centres - centre).max(1).min() < 0.01


def test_an_exported_recurrent_network_can_be_compared_with_diff(tmp_path: Path) -> None:
    cfg, weights = tmp_path / "x.cfg", tmp_path / "x.weights"
    cfg.write_text(CELLS["gru"])
    with dn.Network(cfg) as net:
        give_parameters(net, 1)
        net.save_weights(weights)
        export_onnx(net, tmp_path / "x.onnx")
    done = subprocess.run(
        [sys.executable, "-m", "darknet_py", "diff", f"{cfg},{weights}", str(tmp_path / "x.onnx")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""Network, Session and Trainer from Python: shapes, errors, names, lifetimes, threads. Values of layers are
tested elsewhere, against the reference's vectors."""

from __future__ import annotations

import copy
import gc
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import CLASSIFIER_CFG, TINY_CFG

import darknet_py as dn

VECTOR_CFG = "[net]\ninputs=5\nbatch=2\n[connected]\noutput=4\nactivation=tanh\n[softmax]\n"


def some_input(n: int = 2) -> np.ndarray:
    return np.random.default_rng(n).random((n, 3, 24, 32), np.float32)


# ---- the package -------------------------------------------------------------------------------------


def test_import_takes_less_than_a_third_of_a_second_and_no_optional_library() -> None:
    code = (
        "import numpy, time; t = time.perf_counter(); import darknet_py, sys; t = time.perf_counter() - t;"
        "print(t, sorted({'PIL', 'cv2', 'supervision', 'matplotlib'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seconds, optional = out.split(" ", 1)
    assert float(seconds) < 0.3 and optional.strip() == "[]"


def test_version_is_the_headers() -> None:
    header = Path(__file__).parents[1] / "include" / "dn.h"
    assert f'#define DN_VERSION "{dn.__version__}"' in header.read_text("utf-8")
    assert dn.build_info() and dn.cpu_level() in ("generic", "avx2", "avx512", "neon")


def test_only_the_init_function_is_exported() -> None:
    from darknet_py import _native

    listing = subprocess.run(
        ["nm", "-D", "--defined-only", _native.__file__], capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("no nm on this machine")
    names = {line.split()[-1] for line in listing.stdout.splitlines()}
    assert names <= {"PyInit__native", "_init", "_fini"}


def test_errors_are_also_the_builtin_a_programmer_expects() -> None:
    expected = {
        "CfgError": ValueError,
        "WeightsError": ValueError,
        "ImageError": ValueError,
        "DataError": ValueError,
        "ArgumentError": ValueError,
        "FileError": OSError,
        "OutOfMemoryError": MemoryError,
        "UnsupportedError": NotImplementedError,
        "StateError": RuntimeError,
    }
    for name, builtin in expected.items():
        assert issubclass(getattr(dn, name), dn.DarknetError) and issubclass(getattr(dn, name), builtin)


# ---- loading ------------------------------------------------------------------------------------------


def test_a_network_loads_from_path_bytes_and_text(tmp_path: Path) -> None:
    path = tmp_path / "tiny ü.cfg"
    path.write_text(TINY_CFG, "utf-8")
    for net in (
        dn.Network(path),
        dn.Network(str(path)),
        dn.Network(TINY_CFG.encode()),
        dn.Network.from_string(TINY_CFG),
    ):
        with net:
            assert net.input_shape == (2, 3, 24, 32)
            assert [layer.type for layer in net.layers] == [
                "convolutional",
                "maxpool",
                "convolutional",
                "yolo",
            ]
            assert [layer.index for layer in net.layers] == [0, 1, 2, 3]
            assert net.layers[0].out_shape == (8, 12, 16) and net.output_layers == (3,)


def test_size_and_batch_can_be_overridden() -> None:
    with dn.Network.from_string(TINY_CFG, width=64, height=64, batch=3) as net:
        assert net.input_shape == (3, 3, 64, 64) and net.layers[0].out_shape == (8, 32, 32)


def test_missing_files_are_both_our_error_and_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        dn.Network(tmp_path / "none.cfg")
    assert isinstance(caught.value, dn.CfgError) and "none.cfg" in str(caught.value)
    with pytest.raises(FileNotFoundError) as caught:
        dn.Network.from_string(TINY_CFG, tmp_path / "none.weights")
    assert isinstance(caught.value, dn.WeightsError) and "none.weights" in str(caught.value)
    with pytest.raises(dn.CfgError):
        dn.Network(tmp_path)
    with pytest.raises(ValueError, match="null character"):
        dn.Network("a\0b.cfg")


@pytest.mark.parametrize(
    "text", ["", "[net]\n", "nonsense", "[net]\nwidth=8\nheight=8\nchannels=3\n[no such layer]\n"]
)
def test_a_wrong_cfg_is_a_cfg_error(text: str) -> None:
    with pytest.raises(dn.CfgError):
        dn.Network.from_string(text)


@pytest.mark.parametrize(
    "options",
    [{"numerics": "x"}, {"dialect": "x"}, {"memory": "x"}, {"threads": -1}, {"width": -1}, {"seed": -1}],
)
def test_impossible_options_are_value_errors(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        dn.Network.from_string(TINY_CFG, **options)


def test_an_unknown_key_is_a_warning_in_the_log_and_an_error_when_strict(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = TINY_CFG.replace("filters=8", "filters=8\nfiltres=9")
    with caplog.at_level(logging.WARNING, "darknet_py"):
        dn.Network.from_string(text).close()
    assert any("filtres" in record.getMessage() for record in caplog.records)
    with pytest.raises(dn.CfgError, match="filtres"):
        dn.Network.from_string(text, strict=True)


def test_names_come_from_the_option_or_from_beside_the_files(tmp_path: Path) -> None:
    (tmp_path / "x.cfg").write_text(TINY_CFG)
    (tmp_path / "x.names").write_text("p\nq\nr\n")
    with dn.Network(tmp_path / "x.cfg") as net:
        assert net.names == ["p", "q", "r"]
    with dn.Network(tmp_path / "x.cfg", names=("a",)) as net:
        assert net.names == ["a"]
    with dn.Network.from_string(TINY_CFG, names=tmp_path / "x.names") as net:
        assert net.names == ["p", "q", "r"]


# ---- parameters ---------------------------------------------------------------------------------------


def test_parameters_are_copies_in_file_order_and_can_be_set(detector: dn.Network) -> None:
    params = detector.layers[0].params
    assert list(params) == ["biases", "scales", "rolling_mean", "rolling_variance", "weights"]
    assert params["weights"].shape == (8, 3, 3, 3) and params["biases"].shape == (8,)
    params["biases"][:] = 9
    assert not (detector.layers[0].params["biases"] == 9).any()
    before = detector.predict(some_input())[0]
    detector.set_param(0, "biases", params["biases"])
    assert (detector.layers[0].params["biases"] == 9).all()
    assert not np.allclose(before, detector.predict(some_input())[0])
    assert detector.layers[1].params == {} and detector.layers[0].param_count == 8 * 4 + 216


def test_setting_a_parameter_checks_layer_name_and_shape(detector: dn.Network) -> None:
    with pytest.raises(ValueError, match=re.escape("expected shape (8,), found (3,)")):
        detector.set_param(0, "biases", np.zeros(3))
    with pytest.raises(ValueError, match="no parameter 'bias'"):
        detector.set_param(0, "bias", np.zeros(8))
    with pytest.raises(ValueError, match=r"layer 0\.\.3, found 4"):
        detector.set_param(4, "biases", np.zeros(8))


def test_setting_a_parameter_is_refused_while_a_session_exists(detector: dn.Network) -> None:
    detector.predict(some_input())  # the network's own session does not count
    biases = np.zeros(8)
    detector.set_param(0, "biases", biases)
    with detector.session(), pytest.raises(dn.StateError):
        detector.set_param(0, "biases", biases)
    detector.set_param(0, "biases", biases)


def test_weights_survive_a_round_trip_as_file_and_bytes(detector: dn.Network, tmp_path: Path) -> None:
    detector.seen = 12345
    detector.save_weights(tmp_path / "x.weights")
    for weights in (tmp_path / "x.weights", (tmp_path / "x.weights").read_bytes()):
        with dn.Network.from_string(TINY_CFG, weights, seed=99) as other:
            assert other.seen == 12345
            for mine, theirs in zip(detector.layers, other.layers, strict=True):
                for name, values in mine.params.items():
                    np.testing.assert_array_equal(values, theirs.params[name])


def test_weights_that_do_not_fit_are_weights_errors(detector: dn.Network, tmp_path: Path) -> None:
    detector.save_weights(tmp_path / "x.weights")
    whole = (tmp_path / "x.weights").read_bytes()
    for wrong in (b"", whole[:10], whole[:-4], whole + b"1234"):
        with pytest.raises(dn.WeightsError):
            dn.Network.from_string(TINY_CFG, wrong)
    dn.Network.from_string(TINY_CFG, whole + b"1234", partial=True).close()
    with pytest.raises(dn.DarknetError):
        detector.save_weights(tmp_path / "no folder" / "x.weights")


def test_the_seed_decides_the_initial_parameters() -> None:
    first, second, other = (
        dn.Network.from_string(TINY_CFG, seed=seed).layers[0].params["weights"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


# ---- running ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_predict_takes_any_number_of_items(detector: dn.Network, n: int) -> None:
    x = some_input(n)
    (found,) = detector.predict(x)
    assert found.shape == (n, 16, 6, 8) and found.dtype == np.float32
    for i in range(n):
        np.testing.assert_allclose(detector.predict(x[i])[0][0], found[i], rtol=1e-4, atol=1e-5)


def test_predict_accepts_any_layout_and_number_type(detector: dn.Network) -> None:
    x = some_input()
    expected = detector.predict(x)[0]
    transposed = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for given in (transposed, x.astype(np.float64), x.tolist()):
        np.testing.assert_array_equal(detector.predict(given)[0], expected)


@pytest.mark.parametrize("shape", [(3, 24, 31), (2, 3, 32, 24), (1, 2, 3, 24, 32), (24, 32), ()])
def test_a_wrong_input_shape_says_what_was_expected_and_found(
    detector: dn.Network, shape: tuple[int, ...]
) -> None:
    for call in (detector.predict, detector.activations):
        with pytest.raises(ValueError, match=re.escape(f"(n, 3, 24, 32), found {shape}")):
            call(np.zeros(shape, np.float32))


def test_bytes_and_text_are_no_input(detector: dn.Network) -> None:
    for wrong in (np.zeros((1, 3, 24, 32), np.uint8), np.zeros((1, 3, 24, 32), complex), "picture.png", None):
        with pytest.raises(ValueError, match="expected an input of float32"):
            detector.predict(wrong)


def test_outputs_are_copies(detector: dn.Network) -> None:
    first = detector.predict(some_input())[0]
    kept = first.copy()
    detector.predict(some_input() * 0)
    np.testing.assert_array_equal(first, kept)


def test_the_plan_agrees_with_the_layers_one_by_one(detector: dn.Network, classifier: dn.Network) -> None:
    for net, x in ((detector, some_input()), (classifier, np.random.default_rng(0).random((3, 3, 16, 16)))):
        every = net.activations(x)
        assert [one.shape for one in every] == [(len(x), *layer.out_shape) for layer in net.layers]
        for index, found in zip(net.output_layers, net.predict(x), strict=True):
            np.testing.assert_allclose(found, every[index], rtol=1e-4, atol=1e-5)


def test_vector_networks_take_and_give_rows() -> None:
    with dn.Network.from_string(VECTOR_CFG) as net:
        assert net.input_shape == (2, 5)
        x = np.eye(5, dtype=np.float32)[:1]
        assert net.predict(x)[0].shape == (1, 4) and net.predict(x[0])[0].shape == (1, 4)
        with pytest.raises(ValueError, match=re.escape("(n, 5), found (1, 6)")):
            net.predict(np.zeros((1, 6)))
        with pytest.raises(ValueError, match="not pictures"):
            net.detect(np.zeros((4, 4, 3), np.uint8))


def test_detect_gives_boxes_inside_the_picture(detector: dn.Network, picture: np.ndarray) -> None:
    dets = detector.detect(picture, thresh=0.01, nms=0)
    assert len(dets) > 0 and dets.image_size == (100, 60)
    assert (dets.confidence > 0.01).all() and (np.diff(dets.confidence) <= 0).all()
    assert (dets.xyxy >= 0).all() and (dets.xyxy <= [100, 60, 100, 60]).all()
    assert dets.settings == {"preprocess": "letterbox", "thresh": 0.01, "hier": 0.5, "nms": 0}
    assert set(dets.seconds) == {"load", "predict", "decode"} and set(dets.labels) <= {"a", "b", "c"}
    assert len(detector.detect(picture, thresh=0.01, nms=0.3)) < len(dets)
    assert len(detector.detect(picture, thresh=1)) == 0


def test_detect_is_the_same_in_a_session_and_on_every_kind_of_image(
    detector: dn.Network, picture: np.ndarray, tmp_path: Path
) -> None:
    dn.images.save(picture, tmp_path / "x.png")
    expected = detector.detect(picture, thresh=0.1)
    with detector.session() as session:
        for found in (
            session.detect(picture, thresh=0.1),
            detector.detect(tmp_path / "x.png", thresh=0.1),
            detector.detect(picture[:, :, ::-1], thresh=0.1, bgr=True),
        ):
            np.testing.assert_array_equal(found.xyxy, expected.xyxy)
            np.testing.assert_array_equal(found.confidence, expected.confidence)


def test_letter_box_in_the_cfg_decides_the_default_preprocessing(picture: np.ndarray) -> None:
    for line, expected in (("", "letterbox"), ("letter_box=1\n", "letterbox"), ("letter_box=0\n", "stretch")):
        with dn.Network.from_string(TINY_CFG.replace("[net]\n", f"[net]\n{line}")) as net:
            assert net.detect(picture).settings["preprocess"] == expected
            assert net.detect(picture, preprocess="stretch").settings["preprocess"] == "stretch"
            with pytest.raises(ValueError, match="found 'crop'"):
                net.detect(picture, preprocess="crop")


def test_yolov1_sees_stretched_pictures(picture: np.ndarray) -> None:
    """Boxes are then relative to the picture: those of one predictor in one cell, which says .5 .5 .2 .4."""
    head = "[connected]\noutput=6\nactivation=linear\n[detection]\nside=1\nclasses=1\ncoords=4\n"
    for line, expected in (("", "stretch"), ("letter_box=1\n", "letterbox"), ("letter_box=0\n", "stretch")):
        cfg = f"[net]\nwidth=16\nheight=16\nchannels=3\n{line}{head}"
        with dn.Network.from_string(cfg) as net:
            net.set_param(0, "weights", np.zeros((6, 768), np.float32))
            net.set_param(0, "biases", np.array([0.9, 0.9, 0.5, 0.5, 0.2, 0.4], np.float32))
            found = net.detect(picture)
            assert found.settings["preprocess"] == expected
            assert found.confidence == pytest.approx(0.81)
            if expected == "stretch":
                np.testing.assert_allclose(found.cxcywh, [[50, 30, 20, 24]], rtol=1e-5)


def test_grey_networks_see_grey_and_others_refuse(picture: np.ndarray) -> None:
    with dn.Network.from_string(TINY_CFG.replace("channels=3", "channels=1")) as net:
        net.detect(picture)
    with (
        dn.Network.from_string(TINY_CFG.replace("channels=3", "channels=4")) as net,
        pytest.raises(dn.ImageError, match="4 channels"),
    ):
        net.detect(picture)


@pytest.mark.parametrize("preprocess", ["crop", "letterbox", "stretch"])
def test_classify_gives_the_best_names_first(
    classifier: dn.Network, picture: np.ndarray, preprocess: str
) -> None:
    best = classifier.classify(picture, top=3, preprocess=preprocess)
    assert len(best) == 3 and {name for name, _ in best} <= {"n", "e", "s", "w"}
    assert [p for _, p in best] == sorted((p for _, p in best), reverse=True)
    assert sum(p for _, p in classifier.classify(picture, top=99)) == pytest.approx(1, abs=1e-5)


def test_the_classification_crop_is_the_centre(classifier: dn.Network) -> None:
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = 200  # all of what the crop sees
    seen = np.full((1, 3, 16, 16), 200 / 255, np.float32)
    expected = classifier.predict(seen)[0].ravel()
    found = dict(classifier.classify(wide, top=4))
    np.testing.assert_allclose([found[name] for name in "nesw"], expected, atol=1e-5)


def test_ties_go_to_the_lower_class() -> None:
    with dn.Network.from_string(CLASSIFIER_CFG) as net:
        net.set_param(0, "weights", np.zeros((4, 3, 3, 3)))
        best = net.classify(np.zeros((9, 9, 3), np.uint8), top=4)
    assert [name for name, _ in best] == ["class 0", "class 1", "class 2", "class 3"]


# ---- lifetimes and threads -----------------------------------------------------------------------------


def test_after_close_everything_says_so(detector: dn.Network, picture: np.ndarray) -> None:
    session = detector.session()
    trainer_free = dn.Network.from_string(TINY_CFG)
    trainer = dn.Trainer(trainer_free)
    detector.close()
    detector.close()
    trainer.close()
    trainer.close()
    calls: list[Callable[[], object]] = [
        lambda: detector.predict(some_input()),
        lambda: detector.detect(picture),
        lambda: detector.classify(picture),
        lambda: detector.input_shape,
        lambda: detector.layers[0].params,
        lambda: detector.session(),
        lambda: detector.save_weights("x"),
        lambda: session.predict(some_input()),
        lambda: session.reset(),
        lambda: trainer.backward(some_input()),
    ]
    for call in calls:
        with pytest.raises(dn.StateError, match="closed"):
            call()


def test_what_holds_memory_of_the_core_cannot_be_copied(detector: dn.Network) -> None:
    with detector.session() as session:
        for one in (detector, session):
            with pytest.raises(TypeError, match="copied"):
                copy.copy(one)


def test_collection_in_any_order_is_safe() -> None:
    for keep in range(3):
        net = dn.Network.from_string(TINY_CFG)
        things = [net, net.session(), net.layers[0]]
        net.predict(some_input())
        cycle: list[object] = [net, things[1]]
        cycle.append(cycle)
        kept = things[keep]
        del net, things, cycle
        gc.collect()
        if isinstance(kept, dn.Session):
            assert len(kept.predict(some_input())) == 1
        del kept
        gc.collect()


def test_one_network_serves_many_threads(detector: dn.Network, picture: np.ndarray) -> None:
    inputs = [some_input(n) for n in (1, 2, 3, 4)]
    expected = [detector.predict(x)[0] for x in inputs]
    wrong: list[object] = []

    def work(k: int) -> None:
        try:
            with detector.session(threads=1) as session:
                for _ in range(20):
                    for run in (detector.predict, session.predict):
                        if not np.allclose(run(inputs[k])[0], expected[k], rtol=1e-4, atol=1e-5):
                            wrong.append(k)
                    detector.detect(picture)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_can_go_on_predicting(tmp_path: Path) -> None:
    code = (
        "import os, sys, numpy as np, darknet_py as dn\n"
        "net = dn.Network(sys.argv[1], threads=2)\n"
        "x = np.ones((1, 3, 24, 32), np.float32)\n"
        "before, session = net.predict(x)[0], net.session()\n"
        "if os.fork() == 0:\n"
        "    os._exit(int(not np.array_equal(net.predict(x)[0], before)))\n"
        "sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    (tmp_path / "x.cfg").write_text(TINY_CFG)
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.cfg")], check=True, timeout=60)


def test_a_forked_child_can_train_and_free_what_it_inherited(tmp_path: Path) -> None:
    """Its parent's threads are not there: the child does their part itself, with the same results."""
    code = (
        "import gc, os, sys, numpy as np, darknet_py as dn\n"
        "def trainer(): return dn.Trainer(dn.Network(sys.argv[1], threads=2))\n"
        "x = np.ones((2, 3, 24, 32), np.float32)\n"
        "truth = np.zeros((2, 90, 5), np.float32)\n"
        "mine, other = trainer(), trainer()\n"
        "mine.step(x, truth), other.step(x, truth)\n"
        "want = other.step(x, truth)\n"
        "if os.fork() == 0:\n"
        "    found = mine.step(x, truth)\n"
        "    del mine, other\n"
        "    gc.collect()\n"
        "    os._exit(int(found != want))\n"
        "sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    (tmp_path / "x.cfg").write_text(TINY_CFG)
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.cfg")], check=True, timeout=60)


def test_a_detector_does_not_classify(detector: dn.Network, picture: np.ndarray) -> None:
    with pytest.raises(dn.DarknetError, match="use detect"):
        detector.classify(picture)


def test_the_plan_and_the_memory_of_a_session_can_be_read(detector: dn.Network) -> None:
    with detector.session() as session:
        session.predict(some_input())
        assert len(session.plan()) >= 1 and session.memory()[0] > 0


# ---- training -----------------------------------------------------------------------------------------


def some_truth(n: int = 2) -> np.ndarray:
    truth = np.zeros((n, 90, 5), np.float32)
    truth[:, 0] = [0.5, 0.5, 0.3, 0.4, 1]
    return truth


def test_training_steps_lower_the_cost(detector: dn.Network) -> None:
    with dn.Trainer(detector) as trainer:
        x, truth = some_input(), some_truth()
        first = trainer.step(x, truth)
        for _ in range(30):
            last = trainer.step(x, truth)
        assert np.isfinite(first) and last < first
        assert trainer.iteration == 31 and detector.seen == 62
        assert trainer.learning_rate_at(0) >= 0 and trainer.learning_rate == pytest.approx(0.01)
        assert trainer.layer_cost(3) > 0 and trainer.head_line(3) and trainer.head_line(0) == ""


def test_gradients_outputs_and_deltas_have_the_shapes_of_what_they_belong_to(detector: dn.Network) -> None:
    with dn.Trainer(detector, input_delta=True) as trainer:
        trainer.backward(some_input(), some_truth())
        gradients = trainer.gradients(0)
        params = detector.layers[0].params
        assert {"biases", "scales", "weights"} <= set(gradients) <= set(params)
        for name, values in gradients.items():
            assert values.shape == params[name].shape
        for layer in detector.layers:
            assert (
                trainer.output(layer.index).shape == trainer.delta(layer.index).shape == (2, *layer.out_shape)
            )
        assert trainer.input_delta.shape == (2, 3, 24, 32)
        arena = trainer.gradient_arena()
        assert np.abs(arena).max() > 0
        arena[:] = 0
        assert not trainer.gradients(0)["weights"].any()
    with dn.Trainer(detector) as trainer, pytest.raises(dn.StateError, match="input_delta=True"):
        _ = trainer.input_delta


def test_an_update_is_seen_by_the_network(detector: dn.Network) -> None:
    before = detector.predict(some_input())[0]
    with dn.Trainer(detector) as trainer:
        trainer.backward(some_input(), some_truth())
        np.testing.assert_array_equal(detector.predict(some_input())[0].shape, before.shape)
        trainer.update()
        assert (detector.predict(some_input())[0] != before).any()


def test_wrong_training_shapes_say_what_was_expected_and_found(detector: dn.Network) -> None:
    with dn.Trainer(detector) as trainer:
        with pytest.raises(ValueError, match=re.escape("(2, 3, 24, 32), found (3, 3, 24, 32)")):
            trainer.step(some_input(3), some_truth(3))
        with pytest.raises(ValueError, match=re.escape("(2, rows, values), found (1, 90, 5)")):
            trainer.step(some_input(), some_truth(1))
        with pytest.raises(ValueError, match="7"):
            trainer.step(some_input(), np.zeros((2, 7)))
        for wrong in (-1, 4):
            with pytest.raises(ValueError, match="expected a layer"):
                trainer.gradients(wrong)


def test_a_resumed_run_equals_an_uninterrupted_one(detector: dn.Network, tmp_path: Path) -> None:
    x, truth = some_input(), some_truth()
    with dn.Trainer(detector, seed=4) as trainer:
        for _ in range(3):
            trainer.step(x, truth)
        trainer.save(tmp_path / "state")
        costs = [trainer.step(x, truth) for _ in range(3)]
    with dn.Trainer.load(tmp_path / "state") as resumed:
        assert [resumed.step(x, truth) for _ in range(3)] == costs
        mine, theirs = detector.layers[0].params, resumed.network.layers[0].params
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name])
        assert resumed.network.predict(x)[0].shape == (2, 16, 6, 8)
    with pytest.raises(FileNotFoundError):
        dn.Trainer.load(tmp_path / "none")


def test_training_at_another_size(detector: dn.Network) -> None:
    with dn.Trainer(detector) as trainer:
        trainer.resize(64, 64)
        assert detector.input_shape == (2, 3, 64, 64)
        x = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
        assert np.isfinite(trainer.step(x, some_truth()))
        assert detector.predict(x)[0].shape == (2, 16, 16, 16)


def test_names_of_another_number_of_classes_are_not_taken(tmp_path: Path) -> None:
    """A folder of many networks may hold one names file: it belongs to those with as many classes."""
    cfg = tmp_path / "net.cfg"
    cfg.write_text("[net]\nwidth=8\nheight=8\nchannels=3\n[connected]\noutput=3\n")
    (tmp_path / "other.names").write_text("a\nb\n")
    assert dn.Network(cfg).names is None
    (tmp_path / "other.names").write_text("a\nb\nc\n")
    assert dn.Network(cfg).names == ["a", "b", "c"]
    (tmp_path / "other.names").unlink()
    (tmp_path / "long.list").write_text("a\nb\nc\nd\n")
    (tmp_path / "net.data").write_text("classes=3\nnames=long.list\n")
    assert dn.Network(cfg).names == ["a", "b", "c"]

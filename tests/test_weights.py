"""Weights files byte by byte: headers of all kinds, order of the arrays, seen, cutoff, partial files, the
dialects, and that saving is all or nothing."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_CFG

import darknet_py as dn

CFG = """
[net]
width=6
height=5
channels=2
[convolutional]
batch_normalize=1
filters=3
size=3
pad=1
activation=relu
[batchnorm]
[maxpool]
size=2
stride=2
[connected]
output=4
batch_normalize=1
activation=linear
[convolutional]
filters=2
size=1
activation=linear
"""

# (layer, parameter, shape) in the order of a file of pjreddie's.
ORDER = [
    (0, "biases", (3,)),
    (0, "scales", (3,)),
    (0, "rolling_mean", (3,)),
    (0, "rolling_variance", (3,)),
    (0, "weights", (3, 2, 3, 3)),
    (1, "scales", (3,)),
    (1, "rolling_mean", (3,)),
    (1, "rolling_variance", (3,)),
    (3, "biases", (4,)),
    (3, "weights", (4, 27)),
    (3, "scales", (4,)),
    (3, "rolling_mean", (4,)),
    (3, "rolling_variance", (4,)),
    (4, "biases", (2,)),
    (4, "weights", (2, 4, 1, 1)),
]
FLOATS = sum(int(np.prod(shape)) for _, _, shape in ORDER)


def header(major: int = 0, minor: int = 2, revision: int = 0, seen: int = 0, wide: bool = True) -> bytes:
    return struct.pack("<iii", major, minor, revision) + struct.pack("<Q" if wide else "<I", seen)


def counting(count: int = FLOATS, start: float = 0) -> np.ndarray:
    """Floats that all differ, so that a wrong place is seen."""
    return (start + np.arange(count) / 16).astype("<f4")


def check_in_order(
    net: dn.Network, values: np.ndarray, order: list[tuple[int, str, tuple[int, ...]]]
) -> None:
    at = 0
    for layer, name, shape in order:
        count = int(np.prod(shape))
        np.testing.assert_array_equal(
            net.layers[layer].params[name], values[at : at + count].reshape(shape), name
        )
        at += count
    assert at == len(values)


def test_arrays_lie_in_the_reference_order() -> None:
    values = counting()
    with dn.Network.from_string(CFG, header(seen=5) + values.tobytes()) as net:
        check_in_order(net, values, ORDER)
        assert net.seen == 5


@pytest.mark.parametrize(
    ("major", "minor", "wide", "transposed"),
    [
        (0, 1, False, False),
        (0, 0, False, False),
        (0, 2, True, False),
        (0, 5, True, False),
        (1, 0, True, False),
        (999, 999, True, False),
        (-1, 5, False, False),
        (1000, 2, False, False),
        (0, 1000, False, False),
        (1001, 2, False, True),
        (0, 1001, False, True),
        (2**31 - 1, 2**31 - 1, False, True),
    ],
)
def test_headers_of_all_versions(major: int, minor: int, wide: bool, transposed: bool) -> None:
    """seen has 64 bits from 0.2 on; beyond 1000 the matrices of connected layers are transposed."""
    seen = 2**40 + 3 if wide else 1_000_003
    values = counting()
    with dn.Network.from_string(CFG, header(major, minor, 0, seen, wide) + values.tobytes()) as net:
        assert net.seen == seen
        matrix = net.layers[3].params["weights"]
        start = sum(int(np.prod(shape)) for _, _, shape in ORDER[:9])
        stored = values[start : start + 4 * 27]
        expected = stored.reshape(27, 4).T if transposed else stored.reshape(4, 27)
        np.testing.assert_array_equal(matrix, expected)


def test_saved_files_are_version_0_2_with_a_wide_seen(tmp_path: Path) -> None:
    with dn.Network.from_string(CFG, header(0, 1, 9, 77, wide=False) + counting().tobytes()) as net:
        net.save_weights(tmp_path / "a.weights")
        data = (tmp_path / "a.weights").read_bytes()
        assert data[:12] == struct.pack("<iii", 0, 2, 0) and data[12:20] == struct.pack("<Q", 77)
        assert data[20:] == counting().tobytes()
        net.seen = 2**63 + 5
        net.save_weights(tmp_path / "a.weights")
        assert (tmp_path / "a.weights").read_bytes()[12:20] == struct.pack("<Q", 2**63 + 5)


def test_a_batchnorm_has_biases_in_files_of_alexeyab_only(tmp_path: Path) -> None:
    """The file's length tells which dialect it is; the option decides what is saved."""
    order = [*ORDER[:5], (1, "biases", (3,)), *ORDER[5:]]
    values = counting(FLOATS + 3)
    for dialect in ("pjreddie", "alexeyab", None):
        with dn.Network.from_string(CFG, header() + values.tobytes(), dialect=dialect) as net:
            check_in_order(net, values, order)
            net.save_weights(tmp_path / "x.weights")
            expected = 20 + 4 * (FLOATS + (3 if dialect == "alexeyab" else 0))
            assert (tmp_path / "x.weights").stat().st_size == expected
    with dn.Network.from_string(CFG, header() + counting().tobytes(), dialect="alexeyab") as net:
        check_in_order(net, counting(), ORDER)


def test_cutoff_loads_and_saves_the_first_layers(tmp_path: Path) -> None:
    whole, values = header(seen=9) + counting().tobytes(), counting()
    with dn.Network.from_string(CFG) as fresh, dn.Network.from_string(CFG, whole, cutoff=2) as net:
        check_in_order(net, values[: 3 * 4 + 54 + 9], ORDER[:8])
        np.testing.assert_array_equal(net.layers[3].params["weights"], fresh.layers[3].params["weights"])
        net.save_weights(tmp_path / "part.weights", cutoff=1)
        assert (tmp_path / "part.weights").read_bytes() == whole[: 20 + 4 * 66]
        net.save_weights(tmp_path / "none.weights", cutoff=0)
        assert (tmp_path / "none.weights").read_bytes() == header(seen=9)
        net.save_weights(tmp_path / "all.weights", cutoff=99)
        assert (tmp_path / "all.weights").stat().st_size == len(whole)
        fresh.load_weights(tmp_path / "part.weights", cutoff=1)
        check_in_order(fresh, values[:66], ORDER[:5])


def test_partial_files_end_at_a_layer(tmp_path: Path) -> None:
    whole = header() + counting().tobytes()
    ends = {0: 20, 1: 20 + 4 * 66, 2: 20 + 4 * 75, 4: 20 + 4 * (75 + 4 + 108 + 12), 5: len(whole)}
    for layers, end in ends.items():
        with dn.Network.from_string(CFG) as net:
            if layers < 5:
                with pytest.raises(dn.WeightsError, match=r"partial=True loads the layers it has"):
                    net.load_weights(whole[:end])
            net.load_weights(whole[:end], partial=True)
            if layers:
                check_in_order(net, counting()[:66], ORDER[:5])
            for cut in (end - 4, end - 1, end + 1, end + 4):
                if 20 < cut < len(whole):
                    with pytest.raises(dn.WeightsError, match=r"ends in layer \d \["):
                        net.load_weights(whole[:cut], partial=True)
    with dn.Network.from_string(CFG, whole + b"12345", partial=True) as net:
        check_in_order(net, counting(), ORDER)


def test_start_reads_on_from_the_header() -> None:
    values = counting(4 + 108 + 12 + 2 + 8)
    with dn.Network.from_string(CFG, header() + values.tobytes(), start=3) as net:
        check_in_order(net, values, ORDER[8:])


@pytest.mark.parametrize(
    ("option", "left_out"),
    [
        ("dontload=1", ["biases", "scales", "rolling_mean", "rolling_variance", "weights"]),
        ("dontloadscales=1", ["scales", "rolling_mean", "rolling_variance"]),
    ],
)
def test_what_is_not_loaded_takes_no_bytes(option: str, left_out: list[str]) -> None:
    cfg = CFG.replace("filters=3", f"filters=3\n{option}")
    order = [entry for entry in ORDER if entry[0] != 0 or entry[1] not in left_out]
    values = counting(sum(int(np.prod(shape)) for _, _, shape in order))
    with (
        dn.Network.from_string(cfg, header() + values.tobytes()) as net,
        dn.Network.from_string(cfg) as fresh,
    ):
        check_in_order(net, values, order)
        for name in left_out:
            np.testing.assert_array_equal(net.layers[0].params[name], fresh.layers[0].params[name])


def test_what_is_not_saved_takes_no_bytes(tmp_path: Path) -> None:
    with dn.Network.from_string(CFG.replace("filters=3", "filters=3\ndontsave=1")) as net:
        net.save_weights(tmp_path / "x.weights")
    assert (tmp_path / "x.weights").stat().st_size == 20 + 4 * (FLOATS - 66)


def test_numload_reads_the_first_filters() -> None:
    cfg = CFG.replace("filters=3", "filters=3\nnumload=2")
    order = [*((0, name, (2,)) for _, name, _ in ORDER[:4]), (0, "weights", (2, 2, 3, 3)), *ORDER[5:]]
    values = counting(sum(int(np.prod(shape)) for _, _, shape in order))
    with dn.Network.from_string(cfg, header() + values.tobytes()) as net:
        np.testing.assert_array_equal(net.layers[0].params["biases"][:2], values[:2])
        np.testing.assert_array_equal(net.layers[0].params["weights"][:2].ravel(), values[8:44])
        check_in_order(net, values[44:], ORDER[5:])


def test_numload_counts_the_filters_of_a_deconvolution() -> None:
    """Its weights have the input's channels first; what is read lies at the front all the same."""
    cfg = "[net]\nwidth=4\nheight=4\nchannels=2\n[deconvolutional]\nfilters=3\nsize=3\nnumload=2\n"
    values = counting(2 + 2 * 2 * 9)
    with dn.Network.from_string(cfg, header() + values.tobytes()) as net:
        params = net.layers[0].params
        assert params["weights"].shape == (2, 3, 3, 3)
        np.testing.assert_array_equal(params["biases"][:2], values[:2])
        np.testing.assert_array_equal(params["weights"].ravel()[:36], values[2:])


def test_flipped_matrices_are_turned_while_loading() -> None:
    cfg = CFG.replace("filters=3", "filters=3\nflipped=1")
    values = counting()
    with dn.Network.from_string(cfg, header() + values.tobytes()) as net:
        np.testing.assert_array_equal(
            net.layers[0].params["weights"].reshape(3, 18), values[12:66].reshape(18, 3).T
        )


def test_messages_account_for_every_byte() -> None:
    whole = header() + counting().tobytes()
    total = 4 * FLOATS
    with dn.Network.from_string(CFG) as net:
        with pytest.raises(dn.WeightsError) as caught:
            net.load_weights(whole[:100])
        assert (
            "layer 0 [convolutional]: its parameters need 264 bytes from offset 20, but only 80 are left"
            in str(caught.value)
        )
        assert f"needs {total} bytes of parameters, the file has 100 bytes" in str(caught.value)
        with pytest.raises(
            dn.WeightsError, match=rf"7 bytes are left after the last layer \(4\).*{total + 27}"
        ):
            net.load_weights(whole + b"1234567")


def test_a_file_that_does_not_fit_changes_nothing() -> None:
    good, longer = header(seen=3) + counting().tobytes(), header(seen=8) + counting(FLOATS + 1, 100).tobytes()
    with dn.Network.from_string(CFG, good) as net:
        for wrong in (longer, longer[:-100], b"", b"<html>"):
            with pytest.raises(dn.WeightsError):
                net.load_weights(wrong)
            check_in_order(net, counting(), ORDER)
            assert net.seen == 3


def test_weights_are_not_changed_under_a_session() -> None:
    good = header() + counting().tobytes()
    with dn.Network.from_string(CFG, good) as net, net.session() as session:
        x = np.ones((1, 2, 5, 6), np.float32)
        before = session.predict(x)[0]
        with pytest.raises(dn.StateError, match="while sessions use the network"):
            net.load_weights(good)
        np.testing.assert_array_equal(session.predict(x)[0], before)


def test_saving_replaces_the_file_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "net ü.weights"
    path.write_bytes(b"old")
    with dn.Network.from_string(TINY_CFG) as net:
        net.save_weights(path)
        first = path.stat().st_ino
        net.save_weights(path)
        assert path.stat().st_ino != first  # renamed over, never half there
        assert (path.stat().st_mode & 0o600) == 0o600
        with pytest.raises(dn.WeightsError, match="can't write"):
            net.save_weights(tmp_path / "no folder" / "x.weights")
    assert [one.name for one in tmp_path.iterdir()] == ["net ü.weights"]


def test_trained_weights_go_on_counting(tmp_path: Path) -> None:
    with dn.Network.from_string(CFG + "[cost]\n") as net:
        net.seen = 10
        with dn.Trainer(net) as trainer:
            trainer.step(np.ones((1, 2, 5, 6)), np.zeros((1, 2)))
        net.save_weights(tmp_path / "x.weights")
    with dn.Network.from_string(CFG, tmp_path / "x.weights") as net:
        assert net.seen == 11


@pytest.mark.skipif(os.name != "posix", reason="devices are POSIX files")
def test_a_device_is_not_replaced_by_weights() -> None:
    net = dn.Network.from_string("[net]\ninputs=2\n[connected]\noutput=1\n")
    with pytest.raises(dn.DarknetError, match="not a regular file"):
        net.save_weights("/dev/null")
    assert not Path("/dev/null").is_file()


def test_zero_with_a_huge_exponent_is_zero() -> None:
    with dn.Network.from_string("[net]\ninputs=2\ndecay=0e99999\n[connected]\noutput=1\n") as net:
        assert net.option("decay") == "0e99999"


def test_the_length_of_a_file_is_known_before_it_is_written(tmp_path: Path) -> None:
    text = CFG.replace("[batchnorm]", "[batchnorm]\ndontsave=1")
    for cfg, floats in ((CFG, FLOATS), (text, FLOATS - 9)):
        with dn.Network.from_string(cfg) as net:
            net.save_weights(tmp_path / "x.weights")
            assert net.weights_bytes == 20 + 4 * floats == (tmp_path / "x.weights").stat().st_size
    with dn.Network.from_string(CFG, dialect="alexeyab") as net:
        assert net.weights_bytes == 20 + 4 * (FLOATS + 3)


def test_without_initialization_parameters_are_0() -> None:
    with dn.Network.from_string(CFG, initialize=False) as net:
        assert all(not values.any() for layer in net.layers for values in layer.params.values())
    with dn.Network.from_string(CFG) as net:
        assert net.layers[0].params["weights"].any() and net.layers[0].params["scales"].all()


def test_layers_a_file_has_nothing_for_start_random(tmp_path: Path) -> None:
    with dn.Network.from_string(CFG, seed=1) as net:
        net.save_weights(tmp_path / "x.weights", cutoff=4)
        other = net.layers[4].params["weights"]
    text = CFG.replace("filters=2\n", "filters=2\ndontload=1\n")
    with dn.Network.from_string(text, tmp_path / "x.weights", seed=1) as net:
        assert np.array_equal(net.layers[4].params["weights"], other) and other.any()
    with dn.Network.from_string(CFG, tmp_path / "x.weights", partial=True, seed=1) as net:
        assert np.array_equal(net.layers[4].params["weights"], other)


LARGE = "[net]\nwidth=9\nheight=9\nchannels=64\n" + (
    "[convolutional]\nfilters=96\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n" * 5
)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A weights file large enough to be mapped instead of copied."""
    path = tmp_path / "large.weights"
    with dn.Network.from_string(LARGE, seed=3) as net:
        for layer in net.layers:
            net.set_param(layer.index, "rolling_variance", np.full(96, 0.7, np.float32))
        net.save_weights(path)
    assert path.stat().st_size > 1 << 20
    return path


def test_a_mapped_file_gives_what_its_bytes_give(large: Path) -> None:
    x = np.random.default_rng(0).random((1, 64, 9, 9), np.float32)
    with (
        dn.Network.from_string(LARGE, large) as mapped,
        dn.Network.from_string(LARGE, large.read_bytes()) as read,
    ):
        assert np.array_equal(mapped.predict(x)[0], read.predict(x)[0])
        assert np.array_equal(mapped.activations(x)[-1], read.activations(x)[-1])
        for mine, theirs in zip(mapped.layers, read.layers, strict=True):
            for name, values in mine.params.items():  # again, after the plan has given pages back
                assert np.array_equal(values, theirs.params[name])


def test_changes_of_mapped_parameters_stay_and_never_reach_the_file(large: Path, tmp_path: Path) -> None:
    before = large.read_bytes()
    x = np.random.default_rng(0).random((1, 64, 9, 9), np.float32)
    with dn.Network.from_string(LARGE, large) as net:
        net.predict(x)
        changed = net.layers[2].params["weights"] * 2
        net.set_param(2, "weights", changed)
        net.predict(x)
        assert np.array_equal(net.layers[2].params["weights"], changed)
        net.save_weights(large)  # over the file that is mapped
        assert np.array_equal(net.layers[2].params["weights"], changed)
        assert large.read_bytes() != before
    with dn.Network.from_string(LARGE, large) as net, dn.Trainer(net) as trainer:
        assert np.array_equal(net.layers[2].params["weights"], changed)
        trainer.step(x)
        net.predict(x)
        moved = net.layers[0].params["rolling_mean"]
        net.save_weights(tmp_path / "other.weights")
        assert np.array_equal(net.layers[0].params["rolling_mean"], moved)
    with dn.Network.from_string(LARGE, tmp_path / "other.weights") as net:
        assert np.array_equal(net.layers[0].params["rolling_mean"], moved)


def test_a_large_file_that_does_not_fit_changes_nothing(large: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.weights"
    short.write_bytes(large.read_bytes()[:-4])
    with dn.Network.from_string(LARGE, large) as net:
        before = net.layers[4].params["weights"]
        with pytest.raises(dn.WeightsError, match="ends in layer 4"):
            net.load_weights(short)
        assert np.array_equal(net.layers[4].params["weights"], before)
        net.load_weights(large, cutoff=2)  # copies into the mapped arena
        net.load_weights(large)
        assert np.array_equal(net.layers[4].params["weights"], before)


def test_a_lean_network_packs_less_and_agrees(large: Path) -> None:
    x = np.random.default_rng(0).random((1, 64, 9, 9), np.float32)
    found = {}
    for memory in ("fast", "lean"):
        with dn.Network.from_string(LARGE, large, memory=memory) as net:
            found[memory] = net.predict(x)[0]
    span = float(np.ptp(found["fast"]))
    np.testing.assert_allclose(found["lean"], found["fast"], atol=1e-4 * span)
    with pytest.raises(dn.DarknetError, match='memory "fast" or "lean"'):
        dn.Network.from_string(LARGE, memory="small")

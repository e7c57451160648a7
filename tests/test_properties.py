"""Properties that hold for anything hypothesis can think of: cfg parsing, weights round trips, the plan
against the layers one by one on random networks, boxes and image operations."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import give_parameters, networks

import darknet_py as dn

# DARKNET_EXAMPLES=20 tries twenty times as many examples, for a long search.
MORE = int(os.environ.get("DARKNET_EXAMPLES", "1"))


def examples(count: int) -> settings:
    return settings(
        max_examples=count * MORE,
        deadline=None,
        derandomize=MORE == 1,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# ---- random networks ------------------------------------------------------------------------------------


def check_agreement(cfg: str, seed: int, threads: int) -> None:
    """The plan, exact and not, agrees with the layers one by one to 1e-4 of each output's range."""
    for exact in (True, False):
        with dn.Network.from_string(cfg, threads=threads, exact=exact) as net:
            give_parameters(net, seed)
            x = np.random.default_rng(seed).uniform(-1, 1, (2, *net.input_shape[1:])).astype(np.float32)
            every = net.activations(x)
            found = net.predict(x)
            for index, values in zip(net.output_layers, found, strict=True):
                expected = every[index]
                assert values.shape == expected.shape and np.isfinite(expected).all()
                most = float(np.abs(expected).max())
                worst = float(np.abs(values - expected).max())
                assert worst <= 1e-4 * most + 1e-6, (
                    f"exact={exact} threads={threads}: layer {index} is off by {worst:g} of {most:g}"
                )
            # Nothing is left over from one image to the next.
            for values, again in zip(found, net.predict(x[::-1]), strict=True):
                np.testing.assert_array_equal(values, again[::-1])


@examples(600)
@given(networks(), st.integers(0, 9), st.integers(1, 2))
def test_the_plan_agrees_with_the_layers_on_random_networks(cfg: str, seed: int, threads: int) -> None:
    check_agreement(cfg, seed, threads)


# A few shapes that the generator finds rarely, written out.
FIXED = {
    "nested joins, the inner one an output too": """
        [convolutional]\nfilters=3\nsize=3\npad=1\n[convolutional]\nfilters=5\nsize=1\n[route]\nlayers=-1,-2
        [convolutional]\nfilters=7\nsize=3\npad=1\n[route]\nlayers=-1,2\n[route]\nlayers=-1,-2,0\n[avgpool]
        [route]\nlayers=5""",
    "the same layer twice, and in two joins": """
        [convolutional]\nfilters=3\nsize=3\npad=1\n[convolutional]\nfilters=4\nsize=1\n[route]\nlayers=0,0,1
        [route]\nlayers=1,0\n[route]\nlayers=2,3,-1\n[convolutional]\nfilters=2\nsize=1""",
    "joins of slices, and slices of joins": """
        [convolutional]\nfilters=6\nsize=3\npad=1\n[route]\nlayers=-1\ngroups=2\ngroup_id=1
        [convolutional]\nfilters=3\nsize=3\npad=1\n[route]\nlayers=-1,-2\n[route]\nlayers=-1\ngroups=3\ngroup_id=2
        [route]\nlayers=0,3,-1\n[route]\nlayers=-1,-2\ngroups=2\ngroup_id=1""",
    "residuals from a join, from itself and from an alias": """
        [convolutional]\nfilters=4\nsize=3\npad=1\n[dropout]\n[convolutional]\nfilters=4\nsize=3\npad=1
        [shortcut]\nfrom=-2\n[route]\nlayers=0\n[convolutional]\nfilters=4\nsize=1\n[shortcut]\nfrom=-2
        [shortcut]\nfrom=-1\n[convolutional]\nfilters=4\nsize=1\n[dropout]\n[shortcut]\nfrom=3\n[route]\nlayers=-1,0""",
    "activations after residuals, and before and after them": """
        [convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky
        [convolutional]\nfilters=4\nsize=1\nactivation=linear\n[shortcut]\nfrom=0\nactivation=relu
        [convolutional]\nfilters=4\nsize=3\npad=1\nactivation=linear\n[shortcut]\nfrom=2\nactivation=mish
        [convolutional]\nfilters=4\nsize=1\nactivation=leaky\n[shortcut]\nfrom=0\nactivation=relu""",
    "residuals across dropouts, some of which others read": """
        [convolutional]\nfilters=4\nsize=3\npad=1\n[convolutional]\nfilters=4\nsize=3\npad=1\n[dropout]\n[dropout]
        [shortcut]\nfrom=0\n[convolutional]\nfilters=4\nsize=1\n[dropout]\n[shortcut]\nfrom=-1
        [convolutional]\nfilters=4\nsize=1\n[dropout]\n[shortcut]\nfrom=-2\n[convolutional]\nfilters=4\nsize=1
        [dropout]\n[dropout]\n[shortcut]\nfrom=4\n[route]\nlayers=-1,-2,9""",
    "a residual whose convolution is read elsewhere": """
        [convolutional]\nfilters=4\nsize=3\npad=1\n[convolutional]\nfilters=4\nsize=3\npad=1\n[shortcut]\nfrom=0
        [route]\nlayers=1,-1\n[convolutional]\nfilters=4\nsize=1\n[shortcut]\nfrom=2""",
    "heads in the middle, inside a join": """
        [convolutional]\nfilters=8\nsize=3\npad=1\n[yolo]\nclasses=3\n[route]\nlayers=1,0
        [convolutional]\nfilters=8\nsize=1\n[region]\nclasses=3\n[route]\nlayers=0,-1,1\n[upsample]\nstride=2
        [convolutional]\nfilters=8\nsize=3\nstride=2\npad=1\n[yolo]\nclasses=3""",
    "a cost that is read": """
        [convolutional]\nfilters=3\nsize=3\npad=1\n[cost]\n[route]\nlayers=0,1\n[connected]\noutput=3""",
    "dropout first": """
        [dropout]\n[convolutional]\nfilters=3\nsize=3\npad=1\n[shortcut]\nfrom=0\n[route]\nlayers=0,-1""",
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (16, 16), (13, 17)])
def test_the_plan_agrees_with_the_layers_on_tricky_networks(name: str, size: tuple[int, int]) -> None:
    sections = "\n".join(line.strip() for line in FIXED[name].splitlines())
    cfg = f"[net]\nwidth={size[0]}\nheight={size[1]}\nchannels=3\n{sections}\n".replace(
        "from=", "activation=linear\nfrom="
    )
    cfg = cfg.replace("channels=3", "channels=4") if name == "dropout first" else cfg
    cfg = cfg.replace("filters=3", "filters=4") if name == "dropout first" else cfg
    check_agreement(cfg, 1, 2)


# ---- weights --------------------------------------------------------------------------------------------


@examples(40)
@given(networks(8), st.integers(0, 9), st.integers(0, 2**63), st.sampled_from(["pjreddie", "alexeyab"]))
def test_weights_saved_and_loaded_are_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, cfg: str, seed: int, seen: int, dialect: str
) -> None:
    folder = tmp_path_factory.mktemp("weights")
    first, second = folder / "a.weights", folder / "b.weights"
    with dn.Network.from_string(cfg, dialect=dialect) as net:
        give_parameters(net, seed)
        net.seen = seen
        net.save_weights(first)
        expected = [layer.params for layer in net.layers]
    with dn.Network.from_string(cfg, first, dialect=dialect, seed=99) as net:
        assert net.seen == seen
        for layer, params in zip(net.layers, expected, strict=True):
            for name, values in layer.params.items():
                if (layer.type, name, dialect) != ("batchnorm", "biases", "pjreddie"):  # not in such a file
                    np.testing.assert_array_equal(values, params[name])
        net.save_weights(second)
    assert first.read_bytes() == second.read_bytes()
    for path in (first, second):
        path.unlink()


# ---- cfg parsing ----------------------------------------------------------------------------------------

KEYS = st.text("abcdefghijklmnopqrstuvwxyzABCDEF_0123456789", min_size=1, max_size=12)
VALUES = st.text("abcdefghijklmnopqrstuvwxyz0123456789.,-+=/_%:;", min_size=1, max_size=20)
BLANKS = st.text(" \t", max_size=3)


def known_keys() -> set[str]:
    """Keys with a meaning of their own, where random text could be an error."""
    from darknet_py._native import ffi, lib

    keys = set()
    for kind in (-2, -1, *(k for k in range(64) if lib.dn_registry_type(k, ffi.NULL) != ffi.NULL)):
        k = 0
        while (name := lib.dn_registry_key(kind, k, ffi.NULL, ffi.NULL)) != ffi.NULL:
            keys.add(ffi.string(name).decode())
            k += 1
    return keys


KNOWN = known_keys()
OPTIONS = st.lists(st.tuples(KEYS, VALUES), max_size=8)
NOISE = st.sampled_from(["", "# a comment = with = signs", "; another", "   ", "\t# indented", "#[net]"])


@examples(100)
@given(st.data(), OPTIONS, OPTIONS,
       st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())  # fmt: skip
def test_options_survive_any_spelling(
    data: st.DataObject, net_options: list[tuple[str, str]], layer_options: list[tuple[str, str]], end: str,
    mark: bool, last: bool
) -> None:  # fmt: skip
    """Blanks anywhere, comments, empty lines, CRLF, a byte order mark: the same values; the first counts."""
    sections = [("net", [("inputs", "3"), *net_options]), ("softmax", layer_options)]
    lines, expected = [], []
    for name, options in sections:
        lines.append(f"[{name}]")
        kept: dict[str, str] = {}
        for key, value in options:
            if key in KNOWN and (name, key) != ("net", "inputs"):
                continue
            lines.append(f"{key}={value}")
            kept.setdefault(key, value)
        expected.append(kept)
    spelled = []
    for line in lines:
        middle = data.draw(BLANKS)
        spelled.append(data.draw(NOISE))
        cut = data.draw(st.integers(0, len(line)))
        spelled.append(data.draw(BLANKS) + line[:cut] + middle + line[cut:] + data.draw(BLANKS))
    text = ("\ufeff" if mark else "") + end.join(spelled) + (end if last else "")
    with dn.Network.from_string(text) as net:
        for key, value in expected[0].items():
            assert net.option(key) == value
        for key, value in expected[1].items():
            assert net.layers[0].option(key) == value
        assert net.option("no such key") is None and net.input_shape[1:] == (3,)


# ---- boxes ----------------------------------------------------------------------------------------------

SIZES = st.integers(0, 256).map(lambda n: n / 64)
CENTRES = st.integers(-256, 256).map(lambda n: n / 64)
BOXES = st.tuples(CENTRES, CENTRES, SIZES, SIZES)


@examples(200)
@given(BOXES, BOXES)
def test_overlap_is_symmetric_and_a_share(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    iou = dn.boxes.iou(a, b)
    assert 0 <= iou <= 1 + 1e-6 and iou == pytest.approx(dn.boxes.iou(b, a), abs=1e-6)
    if min(a[2:]) > 0:
        assert dn.boxes.iou(a, a) == pytest.approx(1, abs=1e-3)
    giou = dn.boxes.iou(a, b, "giou")
    assert np.isfinite(giou) and giou <= iou + 1e-5 and giou >= -1 - 1e-5


@examples(60)
@given(st.integers(0, 40), st.integers(1, 4), st.floats(0.05, 0.95), st.integers(0, 99))
def test_suppression_twice_is_suppression_once(count: int, classes: int, thresh: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.random((count, 2)), rng.random((count, 2)) * 0.5], 1).astype(np.float32)
    objectness = (rng.random(count) * (rng.random(count) > 0.2)).astype(np.float32)
    probabilities = (objectness[:, None] * rng.random((count, classes))).astype(np.float32)
    for suppress in (dn.boxes.nms_sort, dn.boxes.nms_obj):
        once = suppress(boxes, objectness, probabilities, thresh)
        assert sorted(once.order) == list(range(count))
        np.testing.assert_array_equal(once.boxes, boxes[once.order])
        kept = probabilities[once.order]
        assert ((once.probabilities == kept) | (once.probabilities == 0)).all()
        twice = suppress(once.boxes, once.objectness, once.probabilities, thresh)
        back = np.argsort(twice.order)
        np.testing.assert_array_equal(twice.probabilities[back], once.probabilities)
        for c in range(classes):  # what is left of a class does not overlap
            left = once.boxes[once.probabilities[:, c] > 0]
            for i in range(len(left)):
                for j in range(i):
                    assert dn.boxes.iou(left[i], left[j]) <= thresh + 1e-6


@examples(100)
@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_correct_undoes_the_letterbox(w: int, h: int, columns: int, rows: int, seed: int) -> None:
    """Boxes of the picture, moved into the letterbox by hand, come back; in pixels w and h times as large."""
    net_w, net_h = 32 * columns, 32 * rows
    boxes = np.random.default_rng(seed).random((5, 4)).astype(np.float32)
    new_w, new_h = (net_w, h * net_w // w) if net_w / w < net_h / h else (w * net_h // h, net_h)
    if new_w == 0 or new_h == 0:
        return
    inside = boxes.copy()
    inside[:, 0] = (boxes[:, 0] * new_w + (net_w - new_w) / 2) / net_w
    inside[:, 1] = (boxes[:, 1] * new_h + (net_h - new_h) / 2) / net_h
    inside[:, 2] *= new_w / net_w
    inside[:, 3] *= new_h / net_h
    # Few pixels across, a letterbox resolves little.
    tolerance = 2e-6 * max(net_w / new_w, net_h / new_h) + 1e-5
    relative = dn.boxes.correct(inside, w, h, net_w, net_h)
    np.testing.assert_allclose(relative, boxes, atol=tolerance, rtol=1e-4)
    pixels = dn.boxes.correct(inside, w, h, net_w, net_h, relative=False)
    np.testing.assert_allclose(pixels, relative * [w, h, w, h], rtol=1e-4, atol=1e-3)


# ---- pictures -------------------------------------------------------------------------------------------


@examples(100)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 4), st.integers(1, 40), st.integers(1, 40),
       st.integers(0, 99))  # fmt: skip
def test_resized_pictures_stay_between_their_bounds(
    h: int, w: int, c: int, new_h: int, new_w: int, seed: int
) -> None:
    image = np.random.default_rng(seed).random((c, h, w), np.float32)
    found = dn.images.resize(image, new_w, new_h)
    assert found.shape == (c, new_h, new_w)
    low, high = image.min((1, 2), keepdims=True), image.max((1, 2), keepdims=True)
    # The last row may come out nearly black, as in the reference (src/image/resize.c says why).
    assert (found[:, :-1] >= low - 1e-5).all() and (found >= 0).all() and (found <= high + 1e-5).all()
    np.testing.assert_allclose(dn.images.resize(image, w, h), image, atol=1e-5)
    flat = dn.images.resize(np.full((c, h, w), 0.25, np.float32), new_w, new_h)
    np.testing.assert_allclose(flat[:, :-1], 0.25, atol=1e-6)


@examples(60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_a_letterbox_is_grey_outside_and_bounded_inside(
    h: int, w: int, net_h: int, net_w: int, seed: int
) -> None:
    image = np.random.default_rng(seed).uniform(0.6, 1, (3, h, w)).astype(np.float32)
    new_w, new_h = (net_w, h * net_w // w) if net_w / w < net_h / h else (w * net_h // h, net_h)
    found = dn.images.letterbox(image, net_w, net_h)
    grey = found == 0.5
    rows = np.flatnonzero((~grey).any((0, 2)))
    assert found.shape == (3, net_h, net_w) and (found <= 1 + 1e-5).all()
    assert (found[:, rows[:-1]][~grey[:, rows[:-1]]] >= 0.6 - 1e-5).all()  # the last row: see above
    assert (~grey).sum() == 3 * max(1, new_w) * max(1, new_h) and len(rows) == max(1, new_h)


@examples(40)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_flips_and_colours_come_back(h: int, w: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((3, h, w), np.float32)
    np.testing.assert_array_equal(dn.images.flip(dn.images.flip(image)), image)
    np.testing.assert_allclose(dn.images.hsv_to_rgb(dn.images.rgb_to_hsv(image)), image, atol=1e-5)
    np.testing.assert_allclose(dn.images.distort(image, 0, 1, 1), image, atol=1e-5)

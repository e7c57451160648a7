"""[crop]: the centre at test time; windows at random places, mirrored, turned and recoloured in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import darknet_py as dn

CFG = "[net]\nwidth=7\nheight=6\nchannels={c}\nbatch=4\n[crop]\ncrop_width={w}\ncrop_height={h}\n{more}\n"


def crop_net(w: int = 3, h: int = 4, c: int = 3, more: str = "noadjust=1") -> dn.Network:
    return dn.Network.from_string(CFG.format(w=w, h=h, c=c, more=more))


def numbered(c: int = 3, batch: int = 4) -> Any:
    """Every value is different."""
    return np.arange(batch * c * 42, dtype=np.float32).reshape(batch, c, 6, 7) / 512


def trained(more: str, steps: int, x: Any, w: int = 3, h: int = 4, seed: int = 1, threads: int = 1) -> Any:
    """What the layer makes of x in each of the first passes of training: (steps, images, c, h, w)."""
    with crop_net(w, h, x.shape[1], more) as net, dn.Trainer(net, seed=seed, threads=threads) as trainer:
        found = []
        for _ in range(steps):
            trainer.backward(x)
            trainer.update()
            found.append(trainer.output(0).copy())
        return np.array(found)


@pytest.mark.parametrize(("w", "h"), [(3, 4), (7, 6), (4, 5), (1, 1)])
def test_the_centre_at_test_time(w: int, h: int) -> None:
    x, top, left = numbered(), (6 - h) // 2, (7 - w) // 2
    middle = x[:, :, top : top + h, left : left + w]
    with crop_net(w, h, more="noadjust=1\nflip=1\nangle=20\nsaturation=2\nexposure=2\nshift=1") as net:
        np.testing.assert_array_equal(net.predict(x)[0], middle)
    with crop_net(w, h, more="") as net:
        np.testing.assert_array_equal(net.predict(x)[0], 2 * middle - 1)


def places(found: Any, x: Any) -> list[tuple[int, int, int]]:
    """Where each window of (images, c, h, w) comes from: (top, left, mirrored)."""
    h, w = found.shape[2:]
    result = []
    for window, image in zip(found, x, strict=True):
        matches = [
            (top, left, flip)
            for top in range(image.shape[1] - h + 1)
            for left in range(image.shape[2] - w + 1)
            for flip in (0, 1)
            if np.array_equal(image[:, top : top + h, left : left + w][:, :, :: -1 if flip else 1], window)
        ]
        assert len(matches) == 1, "no window of the image, or several"
        result += matches
    return result


def test_training_takes_every_window_and_mirrors_half_of_them() -> None:
    x = numbered()
    found = [place for step in trained("noadjust=1\nflip=1", 200, x) for place in places(step, x)]
    assert {(top, left) for top, left, _ in found} == {(top, left) for top in range(3) for left in range(5)}
    assert np.mean([flip for _, _, flip in found]) == pytest.approx(0.5, abs=0.06)
    assert np.mean([top for top, _, _ in found]) == pytest.approx(1, abs=0.1)
    assert np.mean([left for _, left, _ in found]) == pytest.approx(2, abs=0.2)


def test_training_does_not_mirror_unasked() -> None:
    x = numbered(c=1)
    assert not any(flip for step in trained("noadjust=1", 20, x) for _, _, flip in places(step, x))


def test_images_of_a_batch_differ_and_seeds_and_threads_decide_as_they_should() -> None:
    x = np.repeat(numbered(batch=1), 4, axis=0)
    options = "flip=1\nangle=20\nsaturation=2\nexposure=2\nshift=.1"
    first = trained(options, 5, x)
    assert not all(np.array_equal(step[0], step[k]) for step in first for k in range(1, 4))
    np.testing.assert_array_equal(trained(options, 5, x, threads=3), first)
    assert not np.array_equal(trained(options, 5, x, seed=2), first)


def test_a_key_does_not_shift_what_is_drawn_for_the_others() -> None:
    x = numbered()
    plain = [places(step, x) for step in trained("noadjust=1\nflip=1", 10, x)]
    gray = np.repeat(x[:, :1], 3, axis=1)  # saturation changes nothing in grey
    colored = trained("noadjust=1\nflip=1\nsaturation=3", 10, gray)
    for step, expected in zip(colored, plain, strict=True):
        for window, image, (top, left, flip) in zip(step, gray, expected, strict=True):
            cut = image[:, top : top + 4, left : left + 3][:, :, :: -1 if flip else 1]
            np.testing.assert_allclose(window, cut, rtol=1e-6)


def test_saturation_and_exposure_scale_s_and_v_of_hsv() -> None:
    random = np.random.default_rng(0)
    x = random.uniform(0.1, 0.4, (4, 3, 6, 7)).astype(np.float32)
    found = trained("noadjust=1\nsaturation=1.5\nexposure=2", 50, x, w=7, h=6).reshape(-1, 3, 42)
    images = np.tile(x.reshape(4, 3, 42), (50, 1, 1))
    value, new_value = images.max(1), found.max(1)
    exposure = new_value / value
    np.testing.assert_allclose(exposure, exposure[:, :1].repeat(42, 1), rtol=1e-4)
    saturation = (1 - found.min(1) / new_value) / (1 - images.min(1) / value)
    np.testing.assert_allclose(saturation, saturation[:, :1].repeat(42, 1), rtol=1e-3)
    # The hue: where the middle one of three colours lies between the others.
    middle, new_middle = np.sort(images, 1), np.sort(found, 1)
    np.testing.assert_array_equal(images.argsort(1), found.argsort(1))
    between = (middle[:, 1] - middle[:, 0]) / (middle[:, 2] - middle[:, 0])
    new_between = (new_middle[:, 1] - new_middle[:, 0]) / (new_middle[:, 2] - new_middle[:, 0])
    np.testing.assert_allclose(new_between, between, rtol=1e-2, atol=1e-3)
    for factors, most in ((saturation[:, 0], 1.5), (exposure[:, 0], 2)):
        assert factors.min() >= 1 / most - 1e-3 and factors.max() <= most + 1e-3
        assert np.mean(factors > 1) == pytest.approx(0.5, abs=0.1)


def test_shift_moves_each_colour() -> None:
    x = numbered()
    found = trained("shift=.5", 50, x, w=7, h=6) - (2 * x - 1)
    moved = found[:, :, :, 0, 0]
    np.testing.assert_allclose(found, moved[..., None, None] + np.zeros_like(found), atol=1e-5)
    assert np.abs(moved).max() <= 0.25 and moved.std() == pytest.approx(0.5 / np.sqrt(12), rel=0.1)
    assert abs(np.corrcoef(moved[..., 0].ravel(), moved[..., 1].ravel())[0, 1]) < 0.2


def test_colour_keys_leave_images_that_have_no_colours() -> None:
    x = numbered(c=2)
    found = trained("noadjust=1\nsaturation=3\nexposure=3\nshift=1", 3, x, w=7, h=6)
    np.testing.assert_array_equal(found, np.tile(x, (3, 1, 1, 1, 1)))


def test_turning_keeps_a_disc_in_place() -> None:
    """Values depend on the distance from the centre alone, and fall off slowly."""
    y, x = np.mgrid[:6, :7]
    disc = np.exp(-((y - 2.5) ** 2 + (x - 3) ** 2) / 20)
    image = np.broadcast_to(disc, (4, 1, 6, 7)).astype(np.float32)
    with crop_net(3, 4, 1) as net:
        middle = net.predict(image)[0]
    for angle in (10, 180):
        found = trained(f"noadjust=1\nangle={angle}", 30, image, w=7, h=6)
        np.testing.assert_allclose(found[:, :, :, 1:5, 2:5], np.tile(middle, (30, 1, 1, 1, 1)), atol=0.03)
        assert np.ptp(found[..., 0, 0]) > 0.01, "never turned"


def test_no_gradient_passes() -> None:
    cfg = "[net]\nwidth=6\nheight=6\nchannels=3\n[convolutional]\nfilters=3\nsize=3\npad=1\n"
    cfg += "[crop]\ncrop_width=4\ncrop_height=4\n[convolutional]\nfilters=2\nsize=3\npad=1\n[cost]\n"
    with dn.Network.from_string(cfg) as net, dn.Trainer(net) as trainer:
        trainer.backward(
            np.random.default_rng(0).random((1, 3, 6, 6), np.float32), np.ones((1, 32), np.float32)
        )
        assert not trainer.gradients(0)["weights"].any()
        assert trainer.gradients(2)["weights"].any()


def test_a_resized_network_crops_the_same_share() -> None:
    cfg = "[net]\nwidth=16\nheight=16\nchannels=3\n[crop]\ncrop_width=12\ncrop_height=8\n[avgpool]\n[cost]\n"
    with dn.Network.from_string(cfg) as net, dn.Trainer(net) as trainer:
        for size, expected in ((32, (3, 16, 24)), (20, (3, 10, 15)), (16, (3, 8, 12))):
            trainer.resize(size, size)
            assert net.layers[0].out_shape == expected

"""How a plan shares error and memory out among its convolutions (src/plan/budget.c)."""

from pathlib import Path

import darknet_py as dn

CFG = Path(__file__).parents[1] / "cfg"

# A wide map with few weights, then narrow ones with nearly all of them, where stride 2 takes memory.
NETWORK = """
[net]
width=48
height=48
channels=3
[convolutional]
filters=32
size=3
pad=1
activation=leaky
[convolutional]
filters=32
size=3
pad=1
activation=leaky
[maxpool]
size=4
stride=4
[convolutional]
filters=320
size=3
pad=1
activation=leaky
[convolutional]
filters=320
size=3
pad=1
activation=leaky
[convolutional]
filters=320
size=3
stride=2
pad=1
activation=leaky
"""
PLAIN = 4 * (3 * 32 + 32 * 32 + 32 * 320 + 2 * 320 * 320) * 9


def plan(network: str = NETWORK, **options: object) -> tuple[list[str], float]:
    """Algorithms of the convolutions, and bytes of all packed weights."""
    with dn.Network.from_string(network, **options) as net, net.session() as session:  # type: ignore[arg-type]
        session.profile(True)
        steps = [step for step in session.steps() if step.conv is not None]
    return [step.algorithm for step in steps], sum(step.weight_bytes for step in steps)


def test_lean_packed_weights_keep_to_their_share_of_the_plain_ones() -> None:
    algorithms, size = plan(memory="lean")
    assert any("winograd" in name for name in algorithms)
    assert size <= 1.26 * PLAIN + (100 << 10)  # biases, and channels rounded up to whole vectors


def test_a_lean_plan_spends_on_wide_maps_with_few_weights() -> None:
    wide = NETWORK.replace("width=48\nheight=48", "width=80\nheight=80")
    wide = wide.replace("size=4\nstride=4", "size=2\nstride=2")
    fast, fast_size = plan(wide)
    lean, lean_size = plan(wide, memory="lean")
    assert lean[1] == fast[1] == "winograd6"  # few weights
    assert "t" not in fast[-2] and lean[-2].endswith("t")
    assert lean_size < fast_size / 2


def test_an_exact_plan_spends_nothing() -> None:
    algorithms, _ = plan(exact=True)
    assert not any("winograd" in name for name in algorithms)


def tiles(name: str) -> dict[int, str]:
    """The Winograd algorithm of layers, at 416 x 416."""
    net = dn.Network(CFG / name, batch=1, width=416, height=416, initialize=False)
    with net, net.session() as session:
        return {s.layer: s.algorithm.replace("t", "") for s in session.steps() if "winograd" in s.algorithm}


def test_weights_kept_as_taps_cost_no_plan_memory() -> None:
    for memory in ("fast", "lean"):
        algorithms, _ = plan(memory=memory)
        assert algorithms[-2].endswith("t")


def test_what_errors_grow_most_after_is_computed_with_smaller_tiles() -> None:
    """Both networks begin with the same shapes; to the heads of yolov4 it is 110 convolutions."""
    deep, less_deep = tiles("yolov4.cfg"), tiles("yolov3.cfg")
    assert (less_deep[1], less_deep[4], less_deep[5]) == ("winograd4/2", "winograd6", "winograd4/2")
    assert (deep[1], deep[7], deep[11], deep[17]) == ("winograd2/2", "winograd4", "winograd2/2", "winograd3")
    assert [deep[layer] for layer in (133, 135, 137)] == ["winograd6"] * 3  # before the first head


def test_networks_whose_errors_stay_small_keep_the_fastest_tiles() -> None:
    for name in ("darknet53.cfg", "yolov2.cfg", "yolov4-tiny.cfg"):
        found = tiles(name)
        if dn.cpu_level() != "avx512":  # with fewer registers narrow maps are quickest with small tiles
            with dn.Network(CFG / name, batch=1, width=416, height=416, initialize=False) as net:
                found = {i: tile for i, tile in found.items() if (net.layers[i].out_shape or (0,))[-1] >= 26}
        assert "winograd6" in found.values()
        assert "winograd2" not in found.values() and "winograd3" not in found.values()

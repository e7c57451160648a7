"""Network files made thin: the same layers with an eighth of the filters, so that every architecture can be
run in a moment; and parameters with which random networks, however deep, keep their values near 1."""

from __future__ import annotations

import re

import numpy as np

import darknet_py as dn

HEADS = {"yolo", "Gaussian_yolo", "region", "detection", "iseg"}
WIDTHS = {"filters", "output", "hidden", "hidden_filters", "output_filters", "out_channels"}


def sections(text: str) -> list[tuple[str, list[str]]]:
    """Names and option lines, without blanks and comments."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        line = re.sub(r"[ \t\r]|#.*", "", line)
        if line.startswith("["):
            found.append((line.strip("[]"), []))
        elif line and not line.startswith(";") and found:
            found[-1][1].append(line)
    return found


def narrower(width: int) -> int:
    """Multiples of 8 stay such, so that groups and slices still divide."""
    return width if width < 8 else max(8, width // 64 * 8)


def thin(text: str) -> str:
    """The layers before heads, and those of word trees, keep their size; grouped convolutions their
    groups."""
    parts, out = sections(text), []
    for i, (name, lines) in enumerate(parts):
        follower = parts[i + 1][0] if i + 1 < len(parts) else ""
        out.append(f"[{name}]")
        options = dict(line.split("=", 1) for line in reversed(lines) if "=" in line)
        for key, value in reversed(options.items()):
            width = int(value) if key in WIDTHS | {"groups"} and value.isdigit() else 0
            if key == "groups" and name == "convolutional" and width > 1:
                depthwise = value == options.get("filters")
                value = str(narrower(width) if depthwise else min(width, 8))
            elif width and key != "groups" and follower not in HEADS and width < 9000:
                value = str(narrower(width))
            out.append(f"{key}={value}")
    return "\n".join(out) + "\n"


def steady(net: dn.Network, seed: int = 0) -> None:
    """Rolling statistics as after training: an untrained variance is 0, which makes every output huge."""
    random = np.random.default_rng(seed)
    for layer in net.layers:
        for name, values in layer.params.items():
            if name.endswith("rolling_variance"):
                net.set_param(layer.index, name, np.full_like(values, 3))
            elif name.endswith("biases"):
                net.set_param(layer.index, name, random.normal(0, 0.3, values.shape))


def disagreement(net: dn.Network, seed: int = 0) -> float:
    """The largest difference between the plan's outputs and those of the layers one by one, relative to the
    output's range."""
    x = np.random.default_rng(seed).random((net.time_steps, *net.input_shape[1:]), np.float32)
    kept, worst = net.activations(x), 0.0
    for index, planned in zip(net.output_layers, net.predict(x), strict=True):
        one = kept[index]
        assert np.isfinite(one).all() and np.isfinite(planned).all(), f"layer {index} is not finite"
        spread = np.ptp(one) if one.size > 1 else np.abs(one).max()
        assert spread > 0, f"layer {index} is constant"
        worst = max(worst, float(np.abs(planned - one).max() / spread))
    return worst

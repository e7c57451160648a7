"""New anchors in a .cfg: the keys anchors, num and mask of its heads, and filters of the layers before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .anchors import Sizes, by_area
from .cfg_text import CfgText
from .data import PathLike, keep_inputs, write_whole
from .errors import ArgumentError

if TYPE_CHECKING:
    from .network import Layer, Network

__all__ = ["AnchorFrame", "anchor_frame", "write_anchor_cfg"]

IN_PIXELS = ("yolo", "Gaussian_yolo")
IN_CELLS = ("region",)


@dataclass(frozen=True)
class AnchorFrame:
    """What anchors of a network are measured in. width, height: of the input, or of the grid of [region].
    heads: how many there are, each of which needs an anchor. num: anchors it has now."""

    width: int
    height: int
    heads: int
    num: int


def anchor_frame(cfg: PathLike) -> AnchorFrame:
    """The sizes for calc_anchors that fit a cfg. Raises CfgError, and ArgumentError without such heads."""
    from .network import Network

    with Network(cfg, initialize=False) as net:
        heads = _heads(net, cfg)
        num = int(heads[0].option("num") or 1)
        if heads[0].type in IN_CELLS:
            _, height, width = heads[0].out_shape
        else:
            _, _, height, width = net.input_shape
        return AnchorFrame(width, height, len(heads), num)


def write_anchor_cfg(cfg: PathLike, out: PathLike, anchors: Sizes) -> list[list[int]]:
    """Writes cfg to out with these anchors (k, 2), in the units of anchor_frame; all else stays as it is.
    Gives the mask of each head, in the order of the file.

    As many anchors as before keep the masks. Else the heads share them evenly, the finest grid taking the
    smallest, what is left over going to the coarsest; filters of the convolution before a head follows.
    Raises ArgumentError for fewer anchors than heads, and for filters that cannot follow.
    """
    from .network import Network

    keep_inputs([out], [cfg])
    ordered = by_area(anchors)
    text = CfgText.read(cfg)
    with Network(cfg, initialize=False) as net:
        heads = _heads(net, cfg)
        masks = _masks(heads, len(ordered))
        for head, mask in zip(heads, masks, strict=True):
            _set_filters(text, net, head, len(mask), cfg)
            section = head.index + 1
            digits = 4 if head.type in IN_CELLS else 2
            values = ", ".join(
                ",".join(f"{round(side, digits):g}" for side in pair) for pair in ordered.tolist()
            )
            text.set(section, "anchors", values)
            text.set(section, "num", len(ordered))
            if head.type in IN_PIXELS:
                text.set(section, "mask", ",".join(map(str, mask)))
    write_whole(out, bytes(text))
    return masks


def _heads(net: Network, cfg: PathLike) -> list[Layer]:
    heads = [layer for layer in net.layers if layer.type in (*IN_PIXELS, *IN_CELLS)]
    if not heads:
        raise ArgumentError(f"{cfg}: no layer with anchors ([yolo], [Gaussian_yolo], [region])")
    kinds = {layer.type in IN_CELLS for layer in heads}
    if len(kinds) > 1 or (heads[0].type in IN_CELLS and len(heads) > 1):
        raise ArgumentError(f"{cfg}: heads whose anchors have different units; write them by hand")
    return heads


def _count(head: Layer) -> int:
    """How many anchors a head predicts now."""
    mask = head.option("mask") if head.type in IN_PIXELS else None
    return len(mask.strip(",").split(",")) if mask else int(head.option("num") or 1)


def _masks(heads: list[Layer], count: int) -> list[list[int]]:
    if count < len(heads):
        raise ArgumentError(f"expected an anchor for each of the {len(heads)} heads, found {count}")
    if heads[0].type in IN_CELLS:
        return [list(range(count))]
    if all(int(head.option("num") or 1) == count for head in heads):
        given = [head.option("mask") for head in heads]
        return [
            [int(item) for item in mask.strip(",").split(",")] if mask else list(range(count))
            for mask in given
        ]
    finest_first = sorted(range(len(heads)), key=lambda k: -heads[k].out_shape[1] * heads[k].out_shape[2])
    share, masks, start = count // len(heads), [[0]] * len(heads), 0
    for k in finest_first:
        end = count if k == finest_first[-1] else start + share
        masks[k] = list(range(start, end))
        start = end
    return masks


def _set_filters(text: CfgText, net: Network, head: Layer, count: int, cfg: PathLike) -> None:
    """Gives the convolution before a head the channels for count anchors."""
    before = _count(head)
    if count == before:
        return
    layer = net.layers[head.index - 1]
    filters = layer.option("filters") if head.index else None
    if layer.type != "convolutional" or filters is None or int(filters) % before:
        raise ArgumentError(
            f"{cfg}: layer {head.index} ({head.type}) gets {count} anchors instead of {before}, but no "
            "convolution whose filters could follow stands before it"
        )
    text.set(layer.index + 1, "filters", int(filters) // before * count)

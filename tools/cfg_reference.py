"""Writes the tables of docs/cfg-reference.md from the keys that the C core declares.

The text above the mark is written by hand and kept. Run from anywhere, with the package built in place; with
--check nothing is written, and the exit status says whether the file is up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cfg-reference.md"
MARK = "<!-- tables: written by tools/cfg_reference.py -->\n"

#: Keys that only AlexeyAB's program has, besides those whose meaning starts with "fork:".
FORK = {
    "net": "flip letter_box seq_scales"
    " sgdr_cycle sgdr_mult learning_rate_min mosaic mixup cutmix mosaic_bound blur"
    " gaussian_noise resize_step ema_alpha label_smooth_eps dynamic_minibatch optimized_memory"
    " workspace_size_limit_MB try_fix_nan loss_scale max_chart_loss show_receptive_field track"
    " augment_speed sequential_subdivisions use_cuda_graph weights_reject_freq equidistant_point"
    " badlabels_rejection_percentage num_sigmas_reject_badlabels adversarial_lr attention contrastive"
    " contrastive_jit_flip contrastive_color unsupervised max_epochs",
    "convolutional": "stride_x stride_y dilation antialiasing share_index bin_output",
    "maxpool": "stride_x stride_y maxpool_depth out_channels antialiasing",
    "dropout": "dropblock dropblock_size_rel dropblock_size_abs",
    "route": "groups group_id",
    "shortcut": "weights_type weights_normalization",
    "scale_channels": "from scale_wh activation",
    "sam": "from activation",
    "reorg3d": "stride reverse",
    "local_avgpool": "stride stride_x stride_y size padding",
    "implicit": "filters atoms mean std",
    "yolo": "uc_normalizer beta1",
    "conv_lstm": "output size stride dilation pad padding groups activation lstm_activation batch_normalize"
    " peephole bottleneck shortcut binary xnor time_normalizer state_constrain",
    "crnn": "hidden output size stride dilation pad padding groups binary xnor",
    "contrastive": "classes temperature yolo_layer cls_normalizer max_delta contrastive_neg_max steps",
}


class Key(NamedTuple):
    name: str
    default: str | None  # None: absent
    meaning: str


def core() -> tuple[Any, Any]:
    """The C core of this tree, also when the script runs from elsewhere."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    from darknet_py._native import ffi, lib

    return ffi, lib


def keys_of(number: int) -> Iterator[Key]:
    """Keys of layer type `number`; -1 is [net], -2 what every layer has."""
    ffi, lib = core()
    default, meaning = ffi.new("char const **"), ffi.new("char const **")
    k = 0
    while (name := lib.dn_registry_key(number, k, default, meaning)) != ffi.NULL:
        fallback = None if default[0] == ffi.NULL else ffi.string(default[0]).decode()
        yield Key(ffi.string(name).decode(), fallback, ffi.string(meaning[0]).decode())
        k += 1


def layer_types() -> Iterator[tuple[int, str, list[str]]]:
    """Number, name and other names of every layer type, by name."""
    ffi, lib = core()
    aliases, found = ffi.new("char const **"), []
    while (name := lib.dn_registry_type(len(found), aliases)) != ffi.NULL:
        others = [] if aliases[0] == ffi.NULL else ffi.string(aliases[0]).decode().split(",")
        found.append((len(found), ffi.string(name).decode(), others))
    yield from sorted(found, key=lambda row: row[1])


def summary(number: int) -> str:
    """What a layer type does, as a sentence."""
    ffi, lib = core()
    text = ffi.string(lib.dn_registry_summary(number)).decode()
    return f"{text[0].upper()}{text[1:]}."


def table(section: str, number: int) -> str:
    lines = ["| Key | Default | Only in | Meaning |", "|---|---|---|---|"]
    for key in keys_of(number):
        fork = key.meaning.startswith("fork: ") or key.name in FORK.get(section, "").split()
        default = "" if key.default is None else f"`{key.default}`"
        meaning = key.meaning.removeprefix("fork: ").replace("|", "\\|")
        lines.append(f"| `{key.name}` | {default} | {'AlexeyAB' if fork else ''} | {meaning} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else "No keys of its own.\n"


def tables() -> str:
    parts = ["\n## [net], [network]\n\n", table("net", -1), "\n## Every layer\n\n", table("", -2)]
    for number, name, aliases in layer_types():
        title = ", ".join(f"[{one}]" for one in (name, *aliases))
        parts.append(f"\n## {title}\n\n{summary(number)}\n\n{table(name, number)}")
    return "".join(parts)


def page() -> str:
    """The whole page as it should be."""
    text, mark, _ = PAGE.read_text("utf-8").partition(MARK)
    if not mark:
        raise SystemExit(f"{PAGE}: the line {MARK.strip()} is missing")
    return text + mark + tables()


def main() -> int:
    wanted = page()
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text("utf-8") != wanted)
    PAGE.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

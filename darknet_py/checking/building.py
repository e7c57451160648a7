"""Lets the core build the network, and go on behind an error where that leaves the shapes as they are.

The core stops at the first error. Most errors, such as those of a head, do not change what the next layers
get: that section is then replaced by one that passes its input on, and the core is asked again. Lines keep
their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import DarknetError
from ..logs import captured
from ..network import Network
from .sections import NET, Config, Section, keys_of, layer_types, nearest


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Types of Darknet and its forks; those the registry lacks are not misspelt but not supported here.
DARKNET_TYPES = _words(
    "convolutional conv deconvolutional deconv connected conn local maxpool max avgpool avg crop dropout "
    "cost shortcut upsample route reorg softmax soft normalization lrn batchnorm activation logistic l2norm "
    "detection region yolo iseg rnn gru lstm crnn scale_channels sam Gaussian_yolo conv_lstm history "
    "local_avg local_avgpool reorg3d contrastive empty silence implicit"
)

#: Layers whose output has the shape of their input.
_PASSING = _words("yolo region detection Gaussian_yolo iseg softmax cost logistic l2norm")
_INPUT_KEYS = frozenset(("width", "height", "channels", "inputs", "batch", "subdivisions", "time_steps"))


@dataclass
class Built:
    """What came of it. failures and warnings: (line or 0, message without file and line)."""

    network: Network | None = None
    shapes: list[tuple[int, ...] | None] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    warnings: list[tuple[int, str]] = field(default_factory=list)


def build(config: Config, dialect: str | None = None) -> Built:
    """Builds the network; network is None where something had to be replaced or could not be built."""
    built, lines = Built(), _readable(config)
    for _ in range(len(config.sections) + len(config.net.options) + 1):
        network = _try(built, config, lines, dialect)
        if network is not None:
            built.shapes = [layer.out_shape for layer in network.layers]
            if built.failures:
                network.close()
            else:
                built.network = network
            break
        line, message = built.failures[-1]
        section = config.section_at(line) if line else None
        if section is None or not _repair(lines, section, message):
            built.shapes = _shapes_before(built, config, lines, section, dialect)
            break
    built.shapes += [None] * (len(config.layers) - len(built.shapes))
    return built


def _try(built: Built, config: Config, lines: list[str], dialect: str | None) -> Network | None:
    text = "\n".join(lines).encode()
    with captured() as messages:
        try:
            network = Network(text, name=config.file, dialect=dialect, initialize=False)
        except DarknetError as error:
            built.failures.append(_split(str(error), config.file))
            network = None
    built.warnings = [_split(message, config.file) for _, message in messages]
    return network


def _split(message: str, file: str) -> tuple[int, str]:
    """(line, rest) of "file:line: rest"; line 0 without one."""
    rest = message.removeprefix(f"{file}:")
    number, colon, text = rest.partition(": ")
    if rest != message and colon and number.isdigit():
        return int(number), text
    return 0, rest.strip() if rest != message else message


def _readable(config: Config) -> list[str]:
    """The lines without what the core can't read."""
    lines = list(config.lines)
    for i in range(config.net.line - 1):
        lines[i] = ""
    for section in config.sections:
        lines[section.line - 1] = f"[{section.name}]"
    return lines


def _repair(lines: list[str], section: Section, message: str) -> bool:
    """Replaces what the message is about, if the layers behind then get what they would have got."""
    if section.index < 0:
        return _repair_net(lines, section, message)
    if section.type in _PASSING and lines[section.line - 1] != "[activation]":
        lines[section.line - 1] = "[activation]"
        for option in section.options:
            lines[option.line - 1] = ""
        return True
    guess = None if section.name in DARKNET_TYPES else nearest(section.name, layer_types(), 0.75)
    if section.name not in layer_types() and guess and lines[section.line - 1] != f"[{guess}]":
        lines[section.line - 1] = f"[{guess}]"
        return True
    return False


def _repair_net(lines: list[str], section: Section, message: str) -> bool:
    """Blanks a wrong option that says nothing of the input."""
    key = message.removeprefix(f"[{section.name}]").strip().partition(":")[0]
    if key in _INPUT_KEYS or key not in keys_of(NET):
        return False
    blank = ("policy", "steps", "scales") if key in ("steps", "scales") else (key,)
    blanked = False
    for option in section.options:
        if option.key in blank and lines[option.line - 1]:
            lines[option.line - 1] = ""
            blanked = True
    return blanked


def _shapes_before(
    built: Built, config: Config, lines: list[str], section: Section | None, dialect: str | None
) -> list[tuple[int, ...] | None]:
    """Shapes of the layers before the one that can't be built."""
    if section is None or section.index < 1:
        return []
    scratch = Built()
    network = _try(scratch, config, lines[: section.line - 1], dialect)
    built.warnings = scratch.warnings
    if network is None:
        return []
    with network:
        return [layer.out_shape for layer in network.layers]

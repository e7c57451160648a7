"""Rules for every section: its type, its keys, its activation, the layers it refers to."""

from __future__ import annotations

from .building import DARKNET_TYPES
from .context import Context
from .sections import Config, Key, Option, Section, activations, keys_for, layer_types, nearest, owners_of


def check_lines(context: Context) -> None:
    """What the core says of single lines, and line ends that other engines stumble over."""
    config = context.config
    for line, error, message in config.notes:
        code = "comment" if "comment" in message else "syntax"
        hint = "put it on a line of its own" if code == "comment" else ""
        context.report.add(config.file, line, "error" if error else "warning", code, message, hint)
    if any(line.endswith("\r") for line in config.lines):
        message = "lines end in CR LF; the original Darknet refuses such a file"
        context.report.add(config.file, 1, "note", "line-ends", message, "dos2unix FILE")
    if config.net.name not in ("net", "network"):
        message = "must be [net] or [network]: the first section describes the input"
        context.add(config.net, None, "error", "first-section", message)


def check_section(context: Context, section: Section) -> None:
    """Type, keys, activation and references of one section."""
    known = keys_for(section)
    if known is None:
        _unknown_type(context, section)
    for option in section.options:
        if option.duplicate:
            _duplicate(context, section, option)
        elif option.value is None:
            message = f"'{option.key}': no '=' on this line; it is ignored"
            context.report.add(context.config.file, option.line, "warning", "syntax", message)
        elif known is not None and option.key not in known:
            _unknown_key(context, section, option, list(known))
        elif known is not None and _waits(known[option.key], option.value):
            message = f"{option.key}={option.value} has no effect yet: training goes without it"
            context.add(section, option.key, "note", "no-effect", message)
    for key in ("activation", "lstm_activation"):
        if known is not None and key in known:
            _activation(context, section, key)
    _references(context, section)


def _activation(context: Context, section: Section, key: str) -> None:
    name = section.text(key)
    if name and name not in activations():
        guess = nearest(name, activations())
        message = f"{key} '{name}' is unknown; relu is used, as Darknet does"
        context.add(section, key, "warning", "activation", message, f"did you mean {guess}?" if guess else "")


def _waits(key: Key, value: str) -> bool:
    """Whether an option asks for something that is understood but not done yet."""
    return "no effect yet" in key.meaning and value != (key.default or "0")


def _unknown_type(context: Context, section: Section) -> None:
    if section.name in DARKNET_TYPES:
        message = "is a layer of Darknet that this version does not run"
        context.add(section, None, "error", "unsupported", message)
        return
    guess = nearest(section.name, layer_types(), 0.75)
    hint = f"did you mean [{guess}]?" if guess else ""
    context.add(section, None, "error", "layer-type", "is no layer type", hint)


def _duplicate(context: Context, section: Section, option: Option) -> None:
    first = next(one for one in section.options if one.key == option.key)
    what = f"{section.title} {option.key} is given twice"
    if first.value == option.value:
        context.report.add(context.config.file, option.line, "note", "duplicate", what)
        return
    message = f"{what}: the first counts, {first.value} on line {first.line}, not {option.value}"
    hint = "delete the line that is not meant"
    context.report.add(context.config.file, option.line, "warning", "duplicate", message, hint)


def _unknown_key(context: Context, section: Section, option: Option, known: list[str]) -> None:
    guess, owners = nearest(option.key, known), owners_of(option.key)
    hint = f"did you mean {guess}? " if guess else ""
    if owners:
        hint += f"it is a key of {', '.join(owners[:3])}"
    message = f"{section.title} {option.key}: unknown key, without effect"
    context.report.add(context.config.file, option.line, "warning", "unknown-key", message, hint.strip())


# ---- layers that refer to other layers ------------------------------------------------------------------


def references(section: Section) -> tuple[str, list[int]]:
    """The key in which a layer names others, and their absolute indices; ("", []) if it names none."""
    key = {"route": "layers", "shortcut": "from", "scale_channels": "from", "sam": "from"}.get(section.type)
    if key is None or not section.has(key):
        return "", []
    return key, [i if i >= 0 else section.index + i for i in section.integers(key)]


def _references(context: Context, section: Section) -> None:
    key, indices = references(section)
    given = section.integers(key) if key else []
    for value, index in zip(given, indices, strict=True):
        if not 0 <= index < section.index:
            last = len(context.config.layers) - 1
            what = f"layer {index}, which is not before it" if 0 <= index <= last else f"no layer ({index})"
            message = f"{key}={value} means {what}"
            hint = f"0 to {section.index - 1} are, or -1 to -{section.index} counted back from here"
            context.add(section, key, "error", "reference", message, hint)
    if section.type != "route" or len(indices) < 2:
        return
    shapes = [context.shape(i) for i in indices]
    sizes = {shape[1:] for shape in shapes if shape is not None and len(shape) == 3}
    if len(sizes) > 1:
        found = ", ".join(
            f"layer {i} is {shape[2]} x {shape[1]}"
            for i, shape in zip(indices, shapes, strict=True)
            if shape is not None and len(shape) == 3
        )
        message = f"joins maps of different sizes: {found}"
        context.add(section, key, "warning", "route-sizes", message, stride_hint(context))


def stride_hint(context: Context) -> str:
    """A word on the input size where maps don't match."""
    w, h = context.input_size()
    if (w % 32 or h % 32) and w and h:
        return f"the input of {w} x {h} is not a multiple of 32, so halved and doubled sizes differ"
    return ""


def check_sections(context: Context) -> None:
    """check_section for all of them."""
    config: Config = context.config
    for section in config.sections:
        check_section(context, section)

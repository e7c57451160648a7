"""Rules for detection heads: the channels they need, their anchors and masks, and the layer before them."""

from __future__ import annotations

import statistics
from itertools import pairwise

from .context import Context
from .sections import Section


def check_heads(context: Context) -> None:
    """All of them."""
    heads = context.heads
    for head in heads:
        _channels(context, head)
        if head.type != "detection":
            _anchors(context, head)
        _before(context, head)
        _thresholds(context, head)
    _together(context, [head for head in heads if head.type in ("yolo", "Gaussian_yolo")])


def classes_of(head: Section) -> int:
    """Number of classes of a head."""
    return head.integer("classes", 1 if head.type == "detection" else 20)


def mask_of(head: Section) -> list[int]:
    """Indices of the anchors a head predicts."""
    return head.integers("mask") if head.has("mask") else list(range(anchor_count(head)))


def anchor_count(head: Section) -> int:
    """Anchors that the head counts, whether it predicts them or not."""
    return min(max(1, head.integer("num", 1)), 4096)  # the most that the core takes


def boxes_and_values(head: Section) -> tuple[int, int]:
    """Boxes per cell, and values per box besides the classes."""
    if head.type == "region":
        return anchor_count(head), head.integer("coords", 4) + 1
    return len(mask_of(head)), 9 if head.type == "Gaussian_yolo" else 5


# ---- the layer before -----------------------------------------------------------------------------------


def _channels(context: Context, head: Section) -> None:
    classes, before = classes_of(head), context.before(head)
    if classes < 0:
        return  # the core refuses it
    if head.type == "detection":
        _cells(context, head, classes, before)
        return
    boxes, values = boxes_and_values(head)
    need = boxes * (values + classes)
    shape = context.shape(head.index - 1)
    if before is not None and before.type == "convolutional":
        found, place, key = before.integer("filters", 1), before, "filters"
    elif shape is not None and len(shape) == 3:
        found, place, key = shape[0], head, "classes"
    else:
        return
    if found == need:
        return
    rule = f"{boxes} * ({values} + {classes}) = {need}"
    message = f"gives {found} channels, but {head.title} behind it (line {head.line}) needs {rule}"
    if place is head:
        message = f"needs {rule} channels, but the layer before gives {found}"
    hint = f"set filters={need} before it"
    if found % boxes == 0 and found // boxes > values:
        hint += f"; with classes={found // boxes - values} it would be {found}"
    context.add(place, key, "error", "filters", message, hint)
    context.explained.add(head.index)


def _cells(context: Context, head: Section, classes: int, before: Section | None) -> None:
    """YOLOv1: a cell's boxes and classes, in a vector."""
    side, boxes = head.integer("side", 7), head.integer("num", 1)
    values = head.integer("coords", 1) + 1
    if min(side, boxes, values) < 1:
        return
    need = side * side * (boxes * values + classes)
    shape = context.shape(head.index - 1)
    if before is not None and before.type == "connected":
        found, place, key = before.integer("output", 1), before, "output"
    elif shape is not None:
        found, place, key = 1, head, "classes"
        for n in shape:
            found *= n
    else:
        return
    if found == need:
        return
    rule = f"{side} * {side} * ({boxes} * {values} + {classes}) = {need}"
    message = f"gives {found} values, but {head.title} behind it (line {head.line}) needs {rule}"
    if place is head:
        message = f"needs {rule} values, but the layer before gives {found}"
    hint = f"set output={need} before it"
    per_cell, rest = divmod(found, side * side)
    if rest == 0 and per_cell > boxes * values:
        hint += f"; with classes={per_cell - boxes * values} it would be {found}"
    context.add(place, key, "error", "filters", message, hint)
    context.explained.add(head.index)


def _before(context: Context, head: Section) -> None:
    """Activation and dropout right before a head, which reads plain numbers."""
    before = context.before(head)
    if before is None:
        return
    if before.type == "dropout" and before.number("probability", 0.5) > 0:
        message = f"right before {head.title}: boxes are learned from numbers of which a part is missing"
        context.add(
            before, None, "warning", "dropout", message, "take it out, or put it before the last layer"
        )
    if before.type not in ("convolutional", "connected"):
        return
    wanted = "logistic" if head.integer("new_coords", 0) else "linear"
    given = before.text("activation", "logistic")
    if given != wanted:
        message = f"activation={given} before {head.title}, which expects {wanted} numbers"
        hint = f"set activation={wanted}; weights trained otherwise keep theirs"
        context.add(before, "activation", "warning", "head-activation", message, hint)


def _thresholds(context: Context, head: Section) -> None:
    for key, default in (("ignore_thresh", 0.5), ("truth_thresh", 1.0)):
        value = head.number(key, default)
        if head.type in ("yolo", "Gaussian_yolo") and value <= 0:
            message = f"{key}={value:g}: an IoU above which predictions are treated otherwise, so all are"
            context.add(head, key, "warning", "threshold", message, f"{key}={default:g} is usual")


# ---- anchors --------------------------------------------------------------------------------------------


def _anchors(context: Context, head: Section) -> None:
    anchors, count = head.numbers("anchors"), anchor_count(head)
    if not anchors:
        unit = "cell" if head.type == "region" else "pixel"
        message = f"has no anchors: boxes start from half a {unit}"
        context.add(head, None, "warning", "anchors", message, "say anchors=width,height,...")
    elif len(anchors) % 2:
        message = f"anchors has {len(anchors)} numbers: they go in pairs, width and height"
        context.add(head, "anchors", "warning", "anchors", message)
    elif len(anchors) != 2 * count:
        message = f"num={count}, but there are {len(anchors) // 2} anchors"
        rest = "the last ones are half a cell" if head.type == "region" else "the last ones are half a pixel"
        hint = f"set num={len(anchors) // 2}; " + (
            rest if len(anchors) < 2 * count else "those behind are not read, or overrun memory in Darknet"
        )
        context.add(head, "num", "warning", "anchors", message, hint)
    wrong = [f"{anchor:g}" for anchor in anchors[: 2 * count] if anchor <= 0]
    if wrong:
        message = f"anchors of size {', '.join(wrong)}: a box of no size grows to none"
        context.add(head, "anchors", "error", "anchors", message, "sizes are above 0")
    elif len(anchors) >= 2:
        _units(context, head, anchors)
    if head.type != "region":
        _mask(context, head, count)


def _units(context: Context, head: Section, anchors: list[float]) -> None:
    """Cells where pixels are meant, or the reverse."""
    middle, shape = statistics.median(anchors), context.shape(head.index)
    width = context.input_size()[0]
    if head.type == "region":
        cells = max(shape[1:]) if shape and len(shape) == 3 else max(1, width // 32)
        if middle > cells > 0:
            message = f"anchors of about {middle:g} on a grid of {cells} cells: these look like pixels"
            hint = "[region] counts in cells of its grid: divide by the stride, mostly 32"
            context.add(head, "anchors", "warning", "anchor-units", message, hint)
    elif width >= 96 and max(anchors) <= width / 32:
        message = f"anchors of at most {max(anchors):g} pixels in an input of {width}: these look like cells"
        hint = f"[{head.name}] counts in pixels of the input: multiply by the stride, mostly 32"
        context.add(head, "anchors", "warning", "anchor-units", message, hint)


def _mask(context: Context, head: Section, count: int) -> None:
    mask = mask_of(head)
    outside = [str(i) for i in mask if not 0 <= i < count]
    if outside:
        message = f"mask {', '.join(outside)}: there are only the anchors 0 to {count - 1} (num={count})"
        listed = len(head.numbers("anchors")) // 2
        hint = f"set num={listed}, as there are anchors" if listed > max(mask) else ""
        context.add(head, "mask", "error", "mask", message, hint)
    double = sorted({i for i in mask if mask.count(i) > 1})
    if double:
        message = f"mask names {', '.join(map(str, double))} twice: both boxes learn the same"
        context.add(head, "mask", "warning", "mask", message)


def _together(context: Context, heads: list[Section]) -> None:
    """Heads of one network share anchors and classes, and each anchor belongs to one of them."""
    if not heads:
        return
    first = heads[0]
    for head in heads[1:]:
        if classes_of(head) != classes_of(first):
            message = f"classes={classes_of(head)}, but {first.title} has {classes_of(first)}"
            context.add(
                head, "classes", "warning", "classes", message, "heads of one network share the classes"
            )
    if any(head.text("anchors") != first.text("anchors") for head in heads):
        _differing(context, heads)
        return
    users: dict[int, list[Section]] = {}
    for head in heads:
        for i in dict.fromkeys(mask_of(head)):
            users.setdefault(i, []).append(head)
    for i, found in sorted(users.items()):
        if len(found) > 1:
            message = f"mask names anchor {i}, which {found[0].title} (line {found[0].line}) has, too"
            hint = "objects of that size are learned twice"
            context.add(found[1], "mask", "warning", "mask-shared", message, hint)
    unused = [i for i in range(anchor_count(first)) if i not in users]
    if unused:
        message = f"anchors {', '.join(map(str, unused))} are in no head's mask"
        hint = "objects nearest to them in size are not learned"
        context.add(first, "anchors", "warning", "mask-unused", message, hint)
    _order(context, heads)


def _differing(context: Context, heads: list[Section]) -> None:
    odd = next(head for head in heads if head.text("anchors") != heads[0].text("anchors"))
    if len(odd.numbers("anchors")) == len(heads[0].numbers("anchors")) and odd.has("mask"):
        message = f"anchors differ from those of {heads[0].title} (line {heads[0].line})"
        hint = "heads share one list, of which mask takes a part; a truth is given to the nearest of the list"
        context.add(odd, "anchors", "warning", "anchors-differ", message, hint)


def _order(context: Context, heads: list[Section]) -> None:
    """The finest grid should have the smallest anchors."""
    rows = []
    for head in heads:
        anchors, shape = head.numbers("anchors"), context.shape(head.index)
        areas = [anchors[2 * i] * anchors[2 * i + 1] for i in mask_of(head) if 0 <= 2 * i < len(anchors) - 1]
        if areas and shape and len(shape) == 3:
            rows.append((shape[1] * shape[2], sum(areas) / len(areas), head))
    rows.sort(key=lambda row: row[0])
    for (few, area, coarse), (many, other, fine) in pairwise(rows):
        if many > few and other > area:
            message = f"has a finer grid than {coarse.title} (line {coarse.line}), but larger anchors"
            hint = "small objects need the fine grid: exchange the masks"
            context.add(fine, "mask", "warning", "mask-order", message, hint)

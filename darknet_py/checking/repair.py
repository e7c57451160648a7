"""check --fix: a cfg with what can be corrected, and an account of each change. All else stays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..cfg_text import CfgText
from ..data import PathLike, keep_inputs, write_whole
from ..errors import ArgumentError
from .context import Context
from .data_set import Diagnosis
from .findings import Several
from .heads import anchor_count, boxes_and_values, classes_of, mask_of
from .memory import check_memory
from .schedule import FEW_EPOCHS, USUAL_BATCH, enough_batches
from .sections import Config, Section

USUAL_PASS = 4  # pictures
IN_PIXELS = ("yolo", "Gaussian_yolo")
#: Layers that hand on as many channels, or values, as they get.
KEEPING = ("avgpool", "softmax", "cost", "dropout", "activation", "logistic", "maxpool")


@dataclass(frozen=True)
class Change:
    """One change. line: in the cfg that was read; old: "" for a key that was not there."""

    file: str
    line: int
    what: str
    old: str
    new: str
    why: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: fix: {self.what}: {self.old or 'not given'} -> {self.new}; {self.why}"
        )

    def to_dict(self) -> dict[str, str | int]:
        """For JSON."""
        return {key: getattr(self, key) for key in ("file", "line", "what", "old", "new", "why")}


def repair(found: Diagnosis, out: PathLike, inputs: Sequence[PathLike] = ()) -> list[Change]:
    """Writes the cfg of a diagnosis to out, corrected. inputs: files that out must not be.

    Raises ArgumentError if there is no cfg to correct, or out is one of the files that were read.
    """
    if found.context is None:
        raise ArgumentError("there is no cfg that could be corrected")
    mentioned = found.source.mentioned if found.source else []
    keep_inputs([out], [found.context.config.file, *inputs, *mentioned])
    work = _Repair(found, found.context)
    for step in (_heads, _classifier, _sizes, _batch, _schedule):
        step(work)
    write_whole(out, bytes(work.text))
    return work.changes


class _Repair:
    """The text under work. Sections are read as they were; what is changed is in new, by section and key."""

    def __init__(self, found: Diagnosis, context: Context) -> None:
        self.found, self.context = found, context
        self.text = CfgText("\n".join(line.rstrip("\r") for line in context.config.lines))
        self.codes = {finding.code for finding in found.report}
        self.changes: list[Change] = []
        self.batch = 1  # images per update, once that is known
        self.classes = 1  # of the heads

    def set(self, section: Section, key: str, value: object, why: str) -> None:
        """Gives a key another value, and remembers why; nothing happens if it has it."""
        old, new = section.text(key), str(value)
        if old == new.replace(" ", ""):
            return
        self.text.set(section.index + 1, key, value)
        place = (self.context.config.file, section.line_of(key))
        self.changes.append(Change(*place, f"{section.title} {key}", old, new, why))

    @property
    def wanted(self) -> int | None:
        """The classes that the data set says it has."""
        return self.found.source.stated if self.found.source and self.context.nodes is None else None


# ---- heads ------------------------------------------------------------------------------------------------


def _heads(work: _Repair) -> None:
    heads = work.context.heads
    if not heads:
        return
    same = work.wanted is not None and not any(head.has("map") for head in heads)
    classes = {head.index: work.wanted if same and work.wanted else classes_of(head) for head in heads}
    work.classes = max(classes.values())
    for head in heads if same else ():
        work.set(head, "classes", classes[head.index], "as the data set has")
    masks = _anchors(work, [head for head in heads if head.type != "detection"])
    for head in heads:
        _before(work, head, classes[head.index], masks.get(head.index))


def _anchors(work: _Repair, heads: list[Section]) -> dict[int, int]:
    """New anchors and masks where they are wrong; gives how many anchors each head has then."""
    if not heads:
        return {}
    first = heads[0]
    listed = first.numbers("anchors")
    listed = listed[: len(listed) // 2 * 2]
    proposal = work.found.proposal
    fits = proposal is not None and (proposal.gains or "head-unused" in work.codes)
    if proposal is not None and fits:
        listed = proposal.anchors.reshape(-1).tolist()
    if min(listed, default=0) <= 0:
        return {}  # none, or none that could be kept: nobody knows which were meant
    values = ",  ".join(f"{w:g},{h:g}" for w, h in zip(listed[::2], listed[1::2], strict=True))
    count = len(listed) // 2
    why = "k-means of this data" if fits else "the heads share one list"
    for head in heads:
        if fits or "anchors-differ" in work.codes:
            work.set(head, "anchors", values, why)
        if anchor_count(head) != count:
            work.set(head, "num", count, f"as there are anchors: {count}")
    if first.type not in IN_PIXELS:
        return dict.fromkeys((head.index for head in heads), count)
    return _masks(work, heads, count)


def _masks(work: _Repair, heads: list[Section], count: int) -> dict[int, int]:
    masks = {head.index: mask_of(head) for head in heads}
    together = sorted(i for mask in masks.values() for i in mask)
    if together != list(range(count)) or "mask-order" in work.codes:
        masks = _shared_out(work.context, heads, count)
        for head in heads:
            value = ",".join(map(str, masks[head.index]))
            work.set(head, "mask", value, "each anchor belongs to one head, small ones to the finest grid")
    return {index: len(mask) for index, mask in masks.items()}


def _shared_out(context: Context, heads: list[Section], count: int) -> dict[int, list[int]]:
    """Even shares, the finest grid taking the smallest anchors, what is left over going to the coarsest."""

    def cells(head: Section) -> int:
        shape = context.shape(head.index)
        return shape[1] * shape[2] if shape and len(shape) == 3 else head.index

    finest = sorted(heads, key=cells, reverse=True)
    share = max(count // len(heads), 1)
    result = {head.index: list(range(k * share, (k + 1) * share)) for k, head in enumerate(finest)}
    result[finest[-1].index] = list(range((len(heads) - 1) * share, max(count, len(heads) * share)))
    return result


def _before(work: _Repair, head: Section, classes: int, anchors: int | None) -> None:
    """The layer before a head: as many outputs as it needs, and plain numbers."""
    before = work.context.before(head)
    if before is None or classes < 0:
        return
    boxes, values = boxes_and_values(head)
    boxes = anchors or boxes
    if head.type == "detection" and before.type == "connected":
        side, boxes = head.integer("side", 7), head.integer("num", 1)
        need = side * side * (boxes * (head.integer("coords", 1) + 1) + classes)
        work.set(before, "output", need, f"what {head.title} needs")
    elif head.type != "detection" and before.type == "convolutional":
        need = boxes * (values + classes)
        work.set(before, "filters", need, f"{boxes} * ({values} + {classes}), what {head.title} needs")
    wanted = "logistic" if head.integer("new_coords", 0) else "linear"
    if "head-activation" in work.codes and before.type in ("convolutional", "connected"):
        work.set(before, "activation", wanted, f"what {head.title} expects")


def _classifier(work: _Repair) -> None:
    """As many outputs as there are classes."""
    if work.context.heads or work.wanted is None or "classes" not in work.codes:
        return
    layers = list(work.context.config.layers)
    while layers and layers[-1].type in KEEPING:
        layers.pop()
    key = {"convolutional": "filters", "connected": "output"}.get(layers[-1].type) if layers else None
    if key:
        work.set(layers[-1], key, work.wanted, "one output per class of the data set")


# ---- [net] ------------------------------------------------------------------------------------------------


def _sizes(work: _Repair) -> None:
    """Width and height that the strides divide."""
    if not work.codes & {"stride", "random-size"}:
        return
    net = work.context.config.net
    for key in ("width", "height"):
        value = net.integer(key, 0)
        if value % 32:
            work.set(net, key, max(32, round(value / 32) * 32), "a multiple of the stride")


def _schedule(work: _Repair) -> None:
    net, codes = work.context.config.net, work.codes
    last, before = net.integer("max_batches", 0), net.integer("max_batches", 0)
    if "epochs" in codes and last * work.batch < FEW_EPOCHS * work.found.pictures:
        last = enough_batches(work.classes, work.batch, work.found.pictures)
        work.set(net, "max_batches", last, f"enough for {work.found.pictures} pictures")
    steps = net.integers("steps")
    late = steps and last and (max(steps) >= last or last != before)
    if (
        net.text("policy") == "steps"
        and last
        and (late or not steps or len(steps) != len(net.numbers("scales")))
    ):
        work.set(net, "steps", f"{last * 8 // 10},{last * 9 // 10}", f"80 and 90 % of max_batches={last}")
        work.set(net, "scales", ".1,.1", "one for each step")
    if last and net.integer("burn_in", 0) * 4 > last:
        work.set(net, "burn_in", max(last // 20, 1), f"a twentieth of max_batches={last}")
    if "rate" in codes:
        if not 1e-7 <= net.number("learning_rate", 0.001) < 0.01:
            work.set(net, "learning_rate", 0.001, "the usual one")
        if net.number("momentum", 0.9) >= 1:
            work.set(net, "momentum", 0.9, "the usual one")


def _batch(work: _Repair) -> None:
    """A batch to train with, in parts that fit the memory."""
    net = work.context.config.net
    batch, parts = max(net.integer("batch", 1), 1), max(net.integer("subdivisions", 1), 1)
    given = batch, parts
    if "batch-one" in work.codes:
        batch, parts = USUAL_BATCH
        why = "one image per pass is for testing"
    elif batch < parts:
        parts, why = max(batch // USUAL_PASS, 1), "no more than pictures in a batch, and several in a pass"
    else:
        batch, why = batch // parts * parts, "a multiple of subdivisions"
    more = _parts_that_fit(work, batch, parts)
    if more is not None and more != parts:
        parts, why = more, "so that training fits the memory"
    work.batch = batch
    if (batch, parts) != given:
        work.set(net, "batch", batch, why)
        work.set(net, "subdivisions", parts, why)


def _parts_that_fit(work: _Repair, batch: int, parts: int) -> int | None:
    """More subdivisions than these for the corrected network, if they are needed."""
    trial = CfgText(str(work.text))
    trial.set(0, "batch", batch)
    trial.set(0, "subdivisions", parts)
    name = os.fspath(work.context.config.file)
    context = Context(Config.parse(bytes(trial), name), work.found.report)
    return check_memory(context, Several())

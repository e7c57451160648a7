"""Rules for [net]: the input, the batch, and the schedule of the learning rate."""

from __future__ import annotations

import math

from .context import Context
from .sections import Section, nearest

POLICIES = ("constant", "step", "steps", "exp", "poly", "sigmoid", "random", "sgdr")


def check_net(context: Context) -> None:
    """All of them."""
    net = context.config.net
    _batch(context, net)
    _rate(context, net)
    _schedule(context, net)
    _augmentation(context, net)
    _stride(context, net)


def _batch(context: Context, net: Section) -> None:
    batch, parts = net.integer("batch", 1), net.integer("subdivisions", 1)
    if batch < 1 or parts < 1:
        return  # the core refuses them
    if batch < parts:
        message = f"batch={batch} is less than subdivisions={parts}: every pass still takes one image"
        hint = f"an update then counts {parts} images; set subdivisions={batch} or less"
        context.add(net, "batch", "warning", "batch", message, hint)
    elif batch % parts:
        message = (
            f"batch={batch} is no multiple of subdivisions={parts}: updates take {batch // parts * parts} "
            f"images, not {batch}"
        )
        hint = f"set batch={batch // parts * parts}, or subdivisions to a divisor of {batch}"
        context.add(net, "subdivisions", "warning", "batch", message, hint)
    normalized = any(section.integer("batch_normalize", 0) for section in context.config.layers)
    if batch // parts <= 1 and normalized and batch >= parts:
        message = (
            f"batch={batch}, subdivisions={parts}: one image per pass is for testing; in training, batch"
        )
        message += " normalisation would see one image at a time"
        context.add(
            net, "batch", "note", "batch-one", message, "to train, for example batch=64, subdivisions=16"
        )


def _rate(context: Context, net: Section) -> None:
    rate, momentum = net.number("learning_rate", 0.001), net.number("momentum", 0.9)
    if rate == 0:
        message = "learning_rate=0: training changes nothing"
        context.add(net, "learning_rate", "warning", "rate", message, "0.001 is usual")
    elif rate > 1:
        message = f"learning_rate={rate:g} is so high that training will diverge"
        context.add(net, "learning_rate", "warning", "rate", message, "0.001 is usual")
    if momentum >= 1:
        message = f"momentum={momentum:g}: updates add up without end"
        context.add(net, "momentum", "warning", "rate", message, "0.9 is usual")


def _schedule(context: Context, net: Section) -> None:
    policy, last = net.text("policy", "constant"), net.integer("max_batches", 0)
    if policy not in POLICIES:
        guess = nearest(policy, POLICIES)
        hint = f"did you mean {guess}?" if guess else f"it is one of {', '.join(POLICIES)}"
        message = f"policy '{policy}' is unknown; constant is used, as Darknet does"
        context.add(net, "policy", "warning", "policy", message, hint)
    if net.integer("burn_in", 0) > last > 0:
        message = f"burn_in={net.integer('burn_in', 0)} lasts longer than max_batches={last}"
        context.add(net, "burn_in", "warning", "schedule", message, "the rate never reaches learning_rate")
    if last == 0 and policy in ("poly", "sgdr"):
        message = f"policy={policy} needs max_batches"
        context.add(net, "policy", "warning", "schedule", message, "say how many updates to train")
    if policy == "steps":
        _steps(context, net, last)
    elif net.has("steps") and policy in POLICIES and policy != "sgdr":
        message = f"steps has no effect with policy={policy}"
        context.add(net, "steps", "warning", "schedule", message, "set policy=steps")


def _steps(context: Context, net: Section, last: int) -> None:
    steps, scales = net.integers("steps"), net.numbers("scales")
    if not steps:
        context.add(net, "policy", "error", "schedule", "policy=steps needs steps and scales")
    elif len(steps) != len(scales):
        severity = "error" if len(scales) < len(steps) else "warning"
        message = f"steps has {len(steps)} values, scales {len(scales)}: they go in pairs"
        context.add(net, "scales" if scales else "steps", severity, "schedule", message)
    if sorted(steps) != steps:
        message = f"steps={net.text('steps')} do not rise: those behind a larger one come into force with it"
        context.add(net, "steps", "warning", "schedule", message)
    late = [str(step) for step in steps if step >= last > 0]
    if late:
        message = f"steps {', '.join(late)} are never reached: training ends at max_batches={last}"
        hint = f"80 and 90 % of it are usual: steps={last * 8 // 10},{last * 9 // 10}"
        context.add(net, "steps", "warning", "schedule", message, hint)


def _augmentation(context: Context, net: Section) -> None:
    for key in ("saturation", "exposure"):
        value = net.number(key, 1)
        if value <= 0:
            message = f"{key}={value:g}: colours are multiplied by up to this, or divided by it"
            context.add(net, key, "warning", "augmentation", message, f"{key}=1 switches it off")
    for section in context.heads:
        jitter = section.number("jitter", 0.2)
        if not 0 <= jitter < 1:
            message = f"jitter={jitter:g}: a part of the picture's size, 0 to 1"
            context.add(section, "jitter", "warning", "augmentation", message, "0.2 or 0.3 are usual")


def _stride(context: Context, net: Section) -> None:
    """Sizes that the strides of a detector do not divide: its grids are rounded."""
    for key, value, axis in (("width", context.input_size()[0], 2), ("height", context.input_size()[1], 1)):
        grids = [
            shape[axis] for head in context.heads if (shape := context.shape(head.index)) and len(shape) == 3
        ]
        if not value or not grids:
            continue
        ratio = value / min(grids)
        stride = 1 << round(math.log2(ratio)) if ratio >= 1 else 1
        if not 0.8 < ratio / stride < 1.25:
            continue  # strides that are no powers of two
        if value % stride:
            good = max(stride, value // stride * stride)
            message = f"{key}={value} is no multiple of the network's stride of {stride}"
            hint = f"the grid does not cover the picture evenly; use {good} or {good + stride}"
            context.add(net, key, "warning", "stride", message, hint)

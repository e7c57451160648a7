"""Rules for [net] for a training that is about to begin: epochs, burn-in, rate, batch, several scales."""

from __future__ import annotations

from dataclasses import replace

from .context import Context
from .findings import Several
from .heads import classes_of
from .memory import largest_size

FEW_EPOCHS = 5
LONG_BURN_IN = 0.25  # of max_batches
HIGH_RATE = 0.02  # for a detector without burn-in
HIGH_ADAM_RATE = 0.01
LOW_RATE = 1e-7
USUAL_BATCH = 64, 16  # batch and subdivisions


def check_schedule(context: Context, several: Several, pictures: int, tuning: bool) -> None:
    """All of them. pictures: to train with. tuning: whether training goes on from weights."""
    _batch(context, several)
    _epochs(context, several, pictures, tuning)
    _rate(context, several)
    _scales(context, several)


def _place(context: Context, key: str) -> tuple[str, int]:
    return context.config.file, context.config.net.line_of(key)


def images_per_update(context: Context) -> int:
    """As [net] says: a pass takes one image at least."""
    net = context.config.net
    parts = max(net.integer("subdivisions", 1), 1)
    return max(net.integer("batch", 1) // parts, 1) * parts


def _batch(context: Context, several: Several) -> None:
    """To train, what is only a note elsewhere is a mistake."""
    report = context.report
    report.findings = [
        replace(one, severity="warning") if one.code == "batch-one" else one for one in report.findings
    ]


def _epochs(context: Context, several: Several, pictures: int, tuning: bool) -> None:
    net = context.config.net
    last, images = net.integer("max_batches", 0), images_per_update(context)
    if not last or not pictures:
        return
    epochs = last * images / pictures
    place = _place(context, "max_batches")
    if epochs < (1 if tuning else FEW_EPOCHS):
        message = (
            f"max_batches={last} updates of {images} pictures are {epochs:.2g} epochs of the {pictures} "
            "training pictures"
        )
        classes = max(map(classes_of, context.heads), default=1)
        better = enough_batches(classes, images, pictures)
        hint = f"set max_batches={better}, with steps={better * 8 // 10},{better * 9 // 10}"
        several.add(place, "warning", "epochs", message, hint)


def enough_batches(classes: int, images: int, pictures: int) -> int:
    """Updates of so many images to train a data set of so many pictures: 2000 per class, and 20 epochs."""
    return -(-max(2000 * classes, 20 * pictures // images) // 100) * 100


def _rate(context: Context, several: Several) -> None:
    net = context.config.net
    rate, last, burn_in = (
        net.number("learning_rate", 0.001),
        net.integer("max_batches", 0),
        net.integer("burn_in", 0),
    )
    if LONG_BURN_IN * last < burn_in <= last and last:
        message = f"burn_in={burn_in} is {100 * burn_in / last:.0f} % of max_batches={last}"
        hint = f"a twentieth is usual: {max(last // 20, 1)}"
        several.add(_place(context, "burn_in"), "warning", "burn-in", message, hint)
    if 0 < rate < LOW_RATE:
        message = f"learning_rate={rate:g} is so low that training hardly changes anything"
        several.add(_place(context, "learning_rate"), "warning", "rate", message, "0.001 is usual")
    elif net.integer("adam", 0) and HIGH_ADAM_RATE <= rate <= 1:
        message = f"learning_rate={rate:g} is high for Adam"
        several.add(_place(context, "learning_rate"), "warning", "rate", message, "0.001 or less is usual")
    elif context.heads and not burn_in and HIGH_RATE <= rate <= 1:
        message = f"learning_rate={rate:g} is high for a detector that starts without burn_in"
        hint = "set learning_rate=0.001, or burn_in=1000"
        several.add(_place(context, "learning_rate"), "warning", "rate", message, hint)


def _scales(context: Context, several: Several) -> None:
    """random=1: sizes are multiples of resize_step, the cfg's own must be one."""
    width, height = context.input_size()
    if not width or largest_size(context) == (width, height):
        return
    step = max(context.config.net.integer("resize_step", 32), 1)
    for key, value in (("width", width), ("height", height)):
        if value % step:
            message = f"{key}={value} is no multiple of {step}, as the sizes of random=1 are"
            good = max(step, round(value / step) * step)
            several.add(_place(context, key), "warning", "random-size", message, f"set {key}={good}")

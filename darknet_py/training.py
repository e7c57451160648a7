"""Training detectors, classifiers and networks that read text: what to feed them, and when to do what.

The run itself, its checkpoints and what it leaves in its backup folder are in runs.py.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import classification, evaluation
from .data import DataFile, keep_inputs, labels_of, new_folder
from .errors import ArgumentError, CfgError, DataError, DataNotFoundError
from .loaders import Batch, ClassificationLoader, DetectionLoader, GridLoader, class_only_arguments, mixed
from .logs import logger
from .network import Network
from .progress import TrainingReport
from .run_checks import FirstEpoch, tell_empty_classes
from .run_metrics import Metrics
from .run_pictures import batch_picture, require_matplotlib
from .runs import LAST_EVERY, Callbacks, Run, Schedule, Step, TrainingResult, figures_of, remove_torn
from .text import TextStreams, read_symbols
from .trainer import Trainer

__all__ = ["Callbacks", "Step", "TrainingResult", "train_classifier", "train_detector", "train_text"]

PathLike = str | os.PathLike[str]

SCALES_EVERY = 10  # updates between changes of the input size
FIXED_AT_END = 200  # last updates at the cfg's own size, as the reference does


def scales(
    width: int, height: int, factor: float, seed: int, end: int, step: int = 32
) -> Callable[[int], tuple[int, int]]:
    """The input size of each update: every ten updates another multiple of step in
    width/factor..width*factor, the height in proportion; the last 200 updates before `end` at the cfg's own
    size."""
    low, high = math.ceil(width / factor / step), math.floor(width * factor / step)
    choices = [step * k for k in range(max(low, 1), high + 1)] or [width]

    def size(iteration: int) -> tuple[int, int]:
        if end and iteration + min(FIXED_AT_END, end // 10) >= end:
            return width, height
        chosen = random.Random(mixed(seed, iteration // SCALES_EVERY)).choice(choices)
        return chosen, max(step, round(height * chosen / width / step) * step)

    return size


# ---- what both kinds of network need -------------------------------------------------------------------


def _open(
    stack: ExitStack,
    cfg: PathLike,
    weights: PathLike | None,
    plan_folder: Path,
    *,
    clear: bool,
    resume: bool,
    threads: int | None,
    seed: int,
    partial: bool,
) -> tuple[Trainer, dict[str, Any]]:
    """The trainer, new or from NAME_last.state, and the figures to go on with: at least seed and size."""
    name = Path(cfg).name.split(".")[0]
    remove_torn(plan_folder, name)
    if not resume:
        # A checkpoint keeps this path, to find the files that the cfg names from any working directory.
        net = stack.enter_context(
            Network(Path(cfg).absolute(), weights, threads=threads, seed=seed, partial=partial)
        )
        if clear:
            net.seen = 0
        size, read = net.input_shape[:1:-1], _print_of(Path(cfg).read_bytes())
        figures: dict[str, Any] = {"seed": seed, "size": size, "cfg": read}
        return stack.enter_context(Trainer(net, threads=threads, seed=seed)), figures
    if clear or weights is not None:
        raise DataError("--resume goes on from the checkpoint alone: leave out the weights and -clear")
    if not Path(cfg).is_file():
        raise DataNotFoundError(f"{cfg}: no such file")
    state = plan_folder / f"{name}_last.state"
    if not state.exists():
        raise DataNotFoundError(f"{state}: nothing to resume; leave out --resume to start a new run")
    trainer = stack.enter_context(Trainer.load(state, threads=threads))
    figures = figures_of(trainer, state)
    if figures["cfg"] != _print_of(Path(cfg).read_bytes()):
        logger.warning(
            "%s has changed since %s was written; the run goes on with the network and the settings in the "
            "checkpoint. To train with the new ones, start from the .weights file",
            cfg,
            state,
        )
    if figures["size"]:
        trainer.resize(*figures["size"])  # the size of the last update may have been another
    return trainer, figures


def _print_of(content: bytes) -> str:
    """A few characters that tell one content from another."""
    return hashlib.sha256(content).hexdigest()[:16]


def _same_list(figures: dict[str, Any], items: Sequence[str], what: str) -> None:
    """Says so if a resumed run gets other pictures; a new one remembers which it has."""
    found = _print_of("\n".join(items).encode("utf-8", "surrogateescape"))
    if figures.setdefault("list", found) != found:
        logger.warning(
            "%s has changed since the checkpoint was written: the run goes on, but not as it would have",
            what,
        )
        figures["list"] = found


def _keep_inputs(csv: PathLike | None, *read: PathLike | None) -> None:
    if csv is not None:
        keep_inputs([csv], [path for path in read if path is not None])


def _number(text: str | None, default: float) -> float:
    try:
        return default if text is None else float(text)
    except ValueError:
        return default


def _colours(net: Network) -> dict[str, float]:
    """[net] options of augmentation that both kinds of network have."""
    found = {
        key: _number(net.option(key), default)
        for key, default in (("hue", 0), ("saturation", 1), ("exposure", 1))
    }
    # 0 means no change, as in the reference's loader.
    result = {key: value if value or key == "hue" else 1.0 for key, value in found.items()}
    return {**result, "flip": int(_number(net.option("flip"), 1))}


def _sizes(net: Network, factor: float, seed: int, end: int) -> Callable[[int], tuple[int, int]]:
    """Input size by pass (there are `subdivisions` passes in an update). factor 0: always the cfg's."""
    _, _, height, width = net.input_shape
    if factor <= 0:
        return lambda step: (width, height)
    step = max(int(_number(net.option("resize_step"), 32)), 1)
    by_update = scales(width, height, 1.4 if factor == 1 else max(factor, 1 / factor), seed, end, step)
    passes = net.subdivisions
    return lambda step: by_update(step // passes)


def _images_only(net: Network) -> None:
    if len(net.input_shape) != 4:
        raise CfgError(
            "this network takes vectors; set width, height and channels in [net] to train it on pictures"
        )


def _detection_loader(
    net: Network, info: DataFile, paths: list[str], classes: int, seed: int, workers: int, end: int
) -> DetectionLoader:
    """The batches that the network's heads learn from."""
    heads = [layer for layer in net.layers if layer.head]
    last = heads[-1]
    rows = max(layer.head[1] for layer in heads if layer.head)
    values = max(layer.head[2] for layer in heads if layer.head)
    grid = last.type == "detection"
    # `random` of YOLOv1 is about its boxes; such a network has one size.
    random_size = 0.0 if grid else _number(last.option("random"), 0)
    options: dict[str, Any] = {
        "classes": classes,
        **class_only_arguments(info, last.tree if last.type == "region" else None),
        "channels": net.input_shape[1],
        "augment": {**_colours(net), "jitter": _number(last.option("jitter"), 0.2)},
        "seed": seed,
        "workers": workers,
    }
    size = _sizes(net, random_size, seed, end)
    if grid:
        return GridLoader(paths, size, net.input_shape[0], side=math.isqrt(rows), **options)
    loader = DetectionLoader(paths, size, net.input_shape[0], truth=(rows, values), **options)
    if any(_number(net.option(key), 0) for key in ("mosaic", "mixup")) and last.tree:
        logger.warning("mosaic and mixup are for pictures with boxes: not used with a word tree")
    else:
        loader.blend(_blends(net, "mixup", "mosaic"), bool(_number(net.option("mosaic_bound"), 0)))
    if _number(net.option("cutmix"), 0):
        logger.warning("cutmix is for classifiers: not used; mosaic is for detectors")
    return loader


def _blends(net: Network, *kinds: str) -> list[str]:
    return [kind for kind in kinds if _number(net.option(kind), 0)]


def train_detector(
    data: PathLike | DataFile,
    cfg: PathLike,
    weights: PathLike | None = None,
    *,
    clear: bool = False,
    resume: bool = False,
    score: bool = False,
    score_every: int | None = None,
    patience: int = 0,
    iou: float = 0.5,
    max_batches: int | None = None,
    backup: PathLike | None = None,
    save_every: int | None = None,
    save_early: int | None = None,
    last_every: int = LAST_EVERY,
    skip_bad: bool = False,
    plot: bool = False,
    callbacks: Callbacks | None = None,
    threads: int | None = None,
    workers: int = 2,
    seed: int = 0,
    partial: bool = False,
    quiet: bool = False,
    log_every: int | None = None,
    csv: PathLike | None = None,
) -> TrainingResult:
    """Trains a detector on the `train` list of a .data file.

    weights: to start from; clear: forget how many images they have seen. resume: go on from NAME_last.state.
    score: evaluate on the `valid` list every score_every updates (default: four epochs, at least 100) and
    keep NAME_best.weights. max_batches, backup: instead of the cfg's and the .data file's. save_every:
    updates between NAME_N.weights; save_early: the same, of the first 1000. log_every: updates between plain
    log lines. csv: a file for the lines of metrics.csv. Ctrl-C saves and ends cleanly.
    last_every: updates between NAME_last.state. patience: evaluations without a better score that end the
    run. skip_bad: leave out updates whose loss or gradient is not finite instead of raising NumericError.
    plot: draw NAME_charts.png with every checkpoint (matplotlib). callbacks: what to call. A
    resumed run keeps its seed.
    """
    info = data if isinstance(data, DataFile) else DataFile(data)
    _keep_inputs(csv, info.path, cfg, weights, *info.mentioned())
    with ExitStack() as stack:
        folder = stack.enter_context(new_folder(Path(backup) if backup is not None else info.backup))
        trainer, figures = _open(
            stack,
            cfg,
            weights,
            folder,
            clear=clear,
            resume=resume,
            threads=threads,
            seed=seed,
            partial=partial,
        )
        net, seed = trainer.network, figures["seed"]
        _images_only(net)
        classes = evaluation.head_classes(net)
        limit = evaluation.label_classes(net)
        if info.get("classes") and info.classes != classes:
            raise DataError(f"{info.path}: classes = {info.classes}, but the heads of {cfg} have {classes}")
        end = net.max_batches if max_batches is None else max_batches
        paths = info.images("train")
        loader = stack.enter_context(_detection_loader(net, info, paths, limit, seed, workers, end))
        _same_list(figures, paths, f"the training list of {info.path}")
        plan = _schedule(folder, cfg, end, save_every, last_every, skip_bad, plot, callbacks, figures)
        plan.patience, plan.save_early = patience, save_early
        _watch_boxes(plan, loader, net, limit, info.names or [])
        if score:
            valid, class_map = info.images("valid"), evaluation.class_map_of(net, info)
            labels = labels_of(valid, len(class_map) if class_map else limit)
            plan.score_every = score_every or _epochs(4, len(paths), net)
            plan.score = lambda: (
                evaluation.evaluate_detector(net, valid, iou=iou, labels=labels, class_map=class_map).map
            )
            plan.score_name = f"mAP@{iou:.2f}"
        return _train(stack, trainer, loader.batch, plan, figures, quiet, log_every, csv, resume, None)


def train_classifier(
    data: PathLike | DataFile,
    cfg: PathLike,
    weights: PathLike | None = None,
    *,
    clear: bool = False,
    resume: bool = False,
    score: bool = False,
    score_every: int | None = None,
    patience: int = 0,
    max_batches: int | None = None,
    backup: PathLike | None = None,
    save_every: int | None = None,
    last_every: int = LAST_EVERY,
    skip_bad: bool = False,
    plot: bool = False,
    callbacks: Callbacks | None = None,
    threads: int | None = None,
    workers: int = 2,
    seed: int = 0,
    partial: bool = False,
    quiet: bool = False,
    log_every: int | None = None,
    csv: PathLike | None = None,
) -> TrainingResult:
    """Trains a classifier on the `train` list of a .data file; `labels` are substrings of the image paths.

    Arguments as for train_detector; the score is the top-1 accuracy. max_batches 0 trains until interrupted.
    """
    info = data if isinstance(data, DataFile) else DataFile(data)
    _keep_inputs(csv, info.path, cfg, weights, *info.mentioned())
    with ExitStack() as stack:
        folder = stack.enter_context(new_folder(Path(backup) if backup is not None else info.backup))
        trainer, figures = _open(
            stack,
            cfg,
            weights,
            folder,
            clear=clear,
            resume=resume,
            threads=threads,
            seed=seed,
            partial=partial,
        )
        net, seed = trainer.network, figures["seed"]
        _images_only(net)
        labels = info.labels
        if net.tree is None and info.get("tree"):
            raise DataError(f"{info.path} names a tree, but {cfg} has no [softmax] with the key tree")
        if net.tree is not None and len(net.tree) != len(labels):
            raise DataError(f"{info.path} names {len(labels)} labels, but the tree has {len(net.tree)} nodes")
        outputs = net.layers[net.output_layers[-1]].outputs
        if outputs != len(labels):
            raise DataError(f"{cfg} has {outputs} outputs, but {info.path} names {len(labels)} labels")
        end = net.max_batches if max_batches is None else max_batches
        width = net.input_shape[3]
        smallest = _number(net.option("min_ratio"), _number(net.option("min_crop"), width) / width)
        largest = _number(net.option("max_ratio"), _number(net.option("max_crop"), 2 * width) / width)
        paths = info.images("train")
        loader: ClassificationLoader = stack.enter_context(
            ClassificationLoader(
                paths,
                _sizes(net, _number(net.option("random"), 0), seed, end),
                net.input_shape[0],
                labels=labels,
                tree=net.tree,
                channels=net.input_shape[1],
                augment={
                    **_colours(net),
                    "angle": _number(net.option("angle"), 0),
                    "aspect": _number(net.option("aspect"), 1) or 1.0,
                    "min_size": int(smallest * width),
                    "max_size": int(max(largest, smallest) * width),
                },
                width=width,
                label_smoothing=min(max(_number(net.option("label_smooth_eps"), 0), 0.0), 1.0),
                seed=seed,
                workers=workers,
            )
        )
        _same_list(figures, paths, f"the training list of {info.path}")
        plan = _schedule(folder, cfg, end, save_every, last_every, skip_bad, plot, callbacks, figures)
        loader.blend(_blends(net, "mixup", "cutmix"))
        plan.score_name, plan.patience = "top-1", patience
        plan.picture = lambda batch: batch_picture(batch, plan.path("batch.jpg"), info.names or labels)
        if net.tree is None:
            tell_empty_classes(loader.classes, len(labels), labels, "no picture")
        if score:
            valid = info.images("valid")
            plan.score_every = score_every or _epochs(1, len(paths), net)
            plan.score = lambda: classification.evaluate_classifier(net, valid, labels, top=1).top1
        return _train(stack, trainer, loader.batch, plan, figures, quiet, log_every, csv, resume, len(paths))


def train_text(
    text: PathLike,
    cfg: PathLike,
    weights: PathLike | None = None,
    *,
    tokenized: bool = False,
    clear: bool = False,
    resume: bool = False,
    max_batches: int | None = None,
    backup: PathLike = "backup",
    save_every: int | None = None,
    last_every: int = LAST_EVERY,
    skip_bad: bool = False,
    plot: bool = False,
    callbacks: Callbacks | None = None,
    threads: int | None = None,
    seed: int = 0,
    partial: bool = False,
    quiet: bool = False,
    log_every: int | None = None,
    csv: PathLike | None = None,
) -> TrainingResult:
    """Trains a recurrent network to predict the next symbol of a text; see darknet_py.text.

    tokenized: the file holds numbers of symbols instead of bytes. Other arguments as for train_detector.
    """
    _keep_inputs(csv, text, cfg, weights)
    symbols = read_symbols(text, tokenized)
    with ExitStack() as stack:
        folder = stack.enter_context(new_folder(Path(backup)))
        trainer, figures = _open(
            stack,
            cfg,
            weights,
            folder,
            clear=clear,
            resume=resume,
            threads=threads,
            seed=seed,
            partial=partial,
        )
        net, seed = trainer.network, figures["seed"]
        streams = TextStreams(symbols, net, seed=seed, name=str(text))

        def batch(step: int) -> Batch:
            for stream in range(streams.streams):
                if streams.jumps(step, stream):
                    trainer.reset(stream)
            return streams.batch(step)

        end = net.max_batches if max_batches is None else max_batches
        plan = _schedule(folder, cfg, end, save_every, last_every, skip_bad, plot, callbacks, figures)
        return _train(stack, trainer, batch, plan, figures, quiet, log_every, csv, resume, len(symbols))


def _watch_boxes(
    plan: Schedule, loader: DetectionLoader, net: Network, classes: int, names: Sequence[str]
) -> None:
    """Draws the first batch, and tells what no training would say: classes and heads without a box."""
    heads = [layer for layer in net.layers if layer.head]
    grid = heads[-1].type == "detection"
    side = math.isqrt(heads[-1].head[1]) if grid and heads[-1].head else 0
    plan.picture = lambda batch: batch_picture(batch, plan.path("batch.jpg"), names, side)
    if heads[-1].tree is None:
        found = {int(row[0]) for rows in loader.labels for row in rows}
        tell_empty_classes(found, classes, names, "no box")
    if not grid:
        plan.watch = FirstEpoch(net, len(loader.paths), loader.labels)


def _schedule(
    folder: Path,
    cfg: PathLike,
    end: int,
    save_every: int | None,
    last_every: int,
    skip_bad: bool,
    plot: bool,
    callbacks: Callbacks | None,
    figures: dict[str, Any],
) -> Schedule:
    if last_every < 1:
        raise ArgumentError(f"expected last_every of 1 or more, found {last_every}")
    plan = Schedule(
        folder, Path(cfg).name.split(".")[0], end, save_every, last_every=last_every, skip_bad=skip_bad
    )
    if plot:
        require_matplotlib()
    plan.plot = plot
    plan.callbacks = callbacks or Callbacks()
    plan.fixed = {key: figures[key] for key in ("seed", "size", "cfg", "list") if key in figures}
    return plan


def _epochs(count: int, images: int, net: Network) -> int:
    """So many passes over the images, in updates; at least 100."""
    return max(100, round(count * images / (net.input_shape[0] * net.subdivisions)))


def _train(
    stack: ExitStack,
    trainer: Trainer,
    batch: Callable[[int], Batch],
    plan: Schedule,
    figures: dict[str, Any],
    quiet: bool,
    log_every: int | None,
    csv: PathLike | None,
    resume: bool,
    images: int | None,
) -> TrainingResult:
    net = trainer.network
    finished = resume and not plan.path("final.weights").exists()  # killed between the last two files
    if plan.max_batches and trainer.iteration >= plan.max_batches and not finished:
        raise DataError(
            f"these weights have {trainer.iteration} updates behind them, max_batches is {plan.max_batches}: "
            + ("give a larger -max_batches" if resume else "add -clear to count from 0, or raise max_batches")
        )
    after = trainer.iteration if resume else None
    metrics = stack.enter_context(Metrics(plan.folder, after=after, more=None if csv is None else Path(csv)))
    report = stack.enter_context(
        TrainingReport(
            plan.max_batches,
            start=trainer.iteration,
            quiet=quiet,
            every=log_every,
            epoch_images=images,
            images_per_update=net.input_shape[0] * net.subdivisions,
        )
    )
    run = Run(trainer, batch, plan, report, metrics)
    if resume:
        run.remember(figures)
    return run.go()

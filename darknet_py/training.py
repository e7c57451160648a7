"""The training loops behind `detector`, `classifier` and `rnn train`: batches in, checkpoints out.

A run leaves in its backup folder NAME_last.weights and NAME_last.state (every 100 updates, and at least every
ten minutes), NAME_N.weights, NAME_best.weights (best on the validation list, when it is evaluated) and
NAME_final.weights. A run resumed from NAME_last.state goes on as if it had not been interrupted.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from . import classification, evaluation
from .data import DataFile, labels_of, write_whole
from .errors import CfgError, DataError, DataNotFoundError, NumericError
from .loaders import Batch, ClassificationLoader, DetectionLoader, GridLoader, class_only_arguments, mixed
from .network import Network
from .progress import TrainingReport
from .text import TextStreams, read_symbols
from .trainer import Trainer

__all__ = ["TrainingResult", "train_classifier", "train_detector", "train_text"]

PathLike = str | os.PathLike[str]

LAST_EVERY = 100  # updates
LAST_SECONDS = 600.0
SCALES_EVERY = 10  # updates between changes of the input size
FIXED_AT_END = 200  # last updates at the cfg's own size, as the reference does


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended. average: running average of the loss. best: best score on the validation list."""

    iteration: int
    loss: float
    average: float
    best: float | None
    weights: Path
    interrupted: bool


@dataclass
class Schedule:
    """What a run does besides its updates."""

    folder: Path
    name: str
    max_batches: int  # 0: without end
    save_every: int | None = None  # updates between NAME_N.weights
    save_early: int | None = None  # and besides these, of the first 1000
    score_every: int = 0  # updates between evaluations; 0: none
    score: Callable[[], float] | None = None
    score_name: str = "mAP"

    def path(self, tag: str) -> Path:
        """The checkpoint with this tag."""
        return self.folder / f"{self.name}_{tag}"

    def numbered(self, iteration: int) -> bool:
        """Whether NAME_N.weights is due: every 1000 updates of short runs, 10000 of long ones (AlexeyAB)."""
        if self.save_early and iteration < 1000 and iteration % self.save_early == 0:
            return True
        short = 0 < self.max_batches < 10000
        return iteration % (self.save_every or (1000 if short else 10000)) == 0


class _Interrupts:
    """Turns Ctrl-C and SIGTERM into a flag; a second Ctrl-C interrupts at once. Main thread only."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number


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


# ---- the loop -----------------------------------------------------------------------------------------


class _Run:
    def __init__(
        self, trainer: Trainer, batch: Callable[[int], Batch], plan: Schedule, report: TrainingReport
    ) -> None:
        self._trainer, self._batch, self._plan, self._report = trainer, batch, plan, report
        self._net = trainer.network
        self._own_size = self._net.input_shape[:1:-1]  # width, height; nothing for a network of vectors
        self._saved_at, self._good = time.monotonic(), "none yet"
        self.loss = self.average = math.nan
        self.best: float | None = None

    def remember(self, state: dict[str, Any]) -> None:
        """Takes over the running figures of the run that is resumed."""
        self.average = float(state.get("average", math.nan))
        self.best = state.get("best")

    def go(self) -> TrainingResult:
        """Updates until max_batches or an interrupt."""
        plan, trainer = self._plan, self._trainer
        done = trainer.iteration
        interrupted = 0
        with _Interrupts() as interrupts:
            while not plan.max_batches or done < plan.max_batches:
                started = time.perf_counter()
                rate = self._update(done)
                # The counter follows the images seen; a cfg changed on the way must not make it stand still.
                done = max(trainer.iteration, done + 1)
                images = done * self._net.input_shape[0] * self._net.subdivisions
                self._report.update(
                    done, self.loss, self.average, rate, time.perf_counter() - started, images
                )
                self._checkpoints(done)
                if interrupts.received:
                    interrupted = interrupts.received
                    break
        return self._end(done, bool(interrupted))

    def _update(self, done: int) -> float:
        """One update; gives the learning rate it used."""
        trainer, passes = self._trainer, self._net.subdivisions
        rate = trainer.learning_rate_at(done + 1)
        total = 0.0
        try:
            for part in range(passes):
                batch = self._batch(done * passes + part)
                self._resize(*batch.x.shape[:1:-1])
                total += trainer.step(batch.x, batch.truth)
        except NumericError as error:
            raise self._diverged(done, str(error)) from error
        self.loss = total / (passes * self._net.input_shape[0])
        if not math.isfinite(self.loss):
            raise self._diverged(done, f"the loss is {self.loss}")
        self.average = self.loss if math.isnan(self.average) else 0.9 * self.average + 0.1 * self.loss
        return rate

    def _diverged(self, done: int, reason: str) -> NumericError:
        return NumericError(
            f"training diverged at update {done + 1}: {reason}; last good checkpoint: {self._good}. "
            "Try a smaller learning_rate, or a longer burn_in"
        )

    def _resize(self, *size: int) -> None:
        """Gives the network's input this width and height; nothing to do for vectors."""
        if self._net.input_shape[:1:-1] != size:
            self._trainer.resize(*size)

    def _checkpoints(self, done: int) -> None:
        plan = self._plan
        due = done % LAST_EVERY == 0 or time.monotonic() - self._saved_at > LAST_SECONDS
        score_due = (
            plan.score and plan.score_every and (done % plan.score_every == 0 or done == plan.max_batches)
        )
        if not (due or score_due or plan.numbered(done)):
            return
        self._check_finite(done)
        if plan.numbered(done):
            self._net.save_weights(plan.path(f"{done}.weights"))
        if score_due and plan.score:
            self._resize(*self._own_size)
            score = plan.score()
            self._report.score(done, plan.score_name, score)
            if self.best is None or score >= self.best:
                self.best = score
                self._net.save_weights(plan.path("best.weights"))
        if due:
            self._save_last(done)

    def _check_finite(self, done: int) -> None:
        for layer in self._net.layers:
            for name, values in layer.params.items():
                if not np.isfinite(values).all():
                    raise self._diverged(
                        done, f"layer {layer.index} ({layer.type}) has {name} that are not finite"
                    )

    def _save_last(self, done: int) -> None:
        path = self._plan.path("last.weights")
        self._net.save_weights(path)
        self._trainer.save(self._plan.path("last.state"))
        figures = {"iteration": done, "average": self.average, "best": self.best}
        write_whole(self._plan.path("last.json"), json.dumps(figures) + "\n")
        self._saved_at, self._good = time.monotonic(), str(path)

    def _end(self, done: int, interrupted: bool) -> TrainingResult:
        self._check_finite(done)
        self._save_last(done)
        path = self._plan.path("last.weights")
        if not interrupted:
            self._resize(*self._own_size)
            path = self._plan.path("final.weights")
            self._net.save_weights(path)
        self._report.end(f"{'interrupted' if interrupted else 'trained'}: {done} updates, weights in {path}")
        return TrainingResult(done, self.loss, self.average, self.best, path, interrupted)


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
    """The trainer, new or from NAME_last.state, and the figures to go on with."""
    name = Path(cfg).name.split(".")[0]
    if resume:
        if clear or weights is not None:
            raise DataError("--resume goes on from the checkpoint alone: leave out the weights and -clear")
        if not Path(cfg).is_file():
            raise DataNotFoundError(f"{cfg}: no such file")
        state = plan_folder / f"{name}_last.state"
        if not state.exists():
            raise DataNotFoundError(f"{state}: nothing to resume; leave out --resume to start a new run")
        trainer = stack.enter_context(Trainer.load(state, threads=threads))
        figures = plan_folder / f"{name}_last.json"
        try:
            known = json.loads(figures.read_text("utf-8"))
        except (OSError, ValueError):
            return trainer, {}
        matching = isinstance(known, dict) and known.get("iteration") == trainer.iteration
        return trainer, known if matching else {}
    # A checkpoint keeps this path, to find the files that the cfg names from any working directory.
    net = stack.enter_context(
        Network(Path(cfg).absolute(), weights, threads=threads, seed=seed, partial=partial)
    )
    if clear:
        net.seen = 0
    return stack.enter_context(Trainer(net, threads=threads, seed=seed)), {}


def _prepare_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot make the backup folder: {error.strerror or error}") from error
    return folder


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
    return DetectionLoader(paths, size, net.input_shape[0], truth=(rows, values), **options)


def train_detector(
    data: PathLike | DataFile,
    cfg: PathLike,
    weights: PathLike | None = None,
    *,
    clear: bool = False,
    resume: bool = False,
    score: bool = False,
    score_every: int | None = None,
    iou: float = 0.5,
    max_batches: int | None = None,
    backup: PathLike | None = None,
    save_every: int | None = None,
    save_early: int | None = None,
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
    log lines. csv: a file for one line per update. Ctrl-C saves and ends cleanly.
    """
    info = data if isinstance(data, DataFile) else DataFile(data)
    with ExitStack() as stack:
        folder = _prepare_folder(Path(backup) if backup is not None else info.backup)
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
        net = trainer.network
        _images_only(net)
        classes = evaluation.head_classes(net)
        limit = evaluation.label_classes(net)
        if info.get("classes") and info.classes != classes:
            raise DataError(f"{info.path}: classes = {info.classes}, but the heads of {cfg} have {classes}")
        end = net.max_batches if max_batches is None else max_batches
        paths = info.images("train")
        loader = stack.enter_context(_detection_loader(net, info, paths, limit, seed, workers, end))
        plan = Schedule(folder, Path(cfg).name.split(".")[0], end, save_every, save_early)
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
    max_batches: int | None = None,
    backup: PathLike | None = None,
    save_every: int | None = None,
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
    with ExitStack() as stack:
        folder = _prepare_folder(Path(backup) if backup is not None else info.backup)
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
        net = trainer.network
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
        loader = stack.enter_context(
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
                seed=seed,
                workers=workers,
            )
        )
        plan = Schedule(folder, Path(cfg).name.split(".")[0], end, save_every, score_name="top-1")
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
    symbols = read_symbols(text, tokenized)
    with ExitStack() as stack:
        folder = _prepare_folder(Path(backup))
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
        net = trainer.network
        streams = TextStreams(symbols, net, seed=seed, name=str(text))

        def batch(step: int) -> Batch:
            for stream in range(streams.streams):
                if streams.jumps(step, stream):
                    trainer.reset(stream)
            return streams.batch(step)

        end = net.max_batches if max_batches is None else max_batches
        plan = Schedule(folder, Path(cfg).name.split(".")[0], end, save_every)
        return _train(stack, trainer, batch, plan, figures, quiet, log_every, csv, resume, len(symbols))


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
    if plan.max_batches and trainer.iteration >= plan.max_batches:
        raise DataError(
            f"these weights have {trainer.iteration} updates behind them, max_batches is {plan.max_batches}: "
            + ("give a larger -max_batches" if resume else "add -clear to count from 0, or raise max_batches")
        )
    report = stack.enter_context(
        TrainingReport(
            plan.max_batches,
            start=trainer.iteration,
            quiet=quiet,
            every=log_every,
            csv=csv,
            append=resume,
            epoch_images=images,
            images_per_update=net.input_shape[0] * net.subdivisions,
        )
    )
    run = _Run(trainer, batch, plan, report)
    run.remember(figures)
    return run.go()

"""One training run: updates, checkpoints, validations, and how it ends. training.py sets runs up.

A run leaves in its backup folder NAME_last.state (everything: a run resumed from it goes on as if it had not
been interrupted) and NAME_last.weights beside it, NAME_N.weights, NAME_best.weights (best on the validation
list, when it is evaluated) and NAME_final.weights; and its figures, which run_metrics.py writes.
"""

from __future__ import annotations

import glob
import json
import math
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from .errors import DataError, DataFileError, FileError, NumericError
from .loaders import Batch
from .logs import logger
from .progress import TrainingReport
from .run_metrics import Metrics, Step
from .run_pictures import charts
from .trainer import Trainer

__all__ = [
    "Callbacks",
    "Run",
    "Schedule",
    "Step",
    "TrainingResult",
    "figures_of",
    "keep_earlier",
    "remove_torn",
]

LAST_EVERY = 100  # updates
LAST_SECONDS = 600.0
MOST_SKIPPED = 10  # updates in a row whose batch was not finite
MOST_NAMED = 4  # images in one message
MOST_WAITED = 0.05  # part of the time, from which on it is worth saying


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended. average: running average of the loss. best: best score on the validation list.
    stopped: early, because the score did not improve any more. waited: part of the time of updates in which
    there was no batch to compute with."""

    iteration: int
    loss: float
    average: float
    best: float | None
    weights: Path
    interrupted: bool
    stopped: bool = False
    waited: float = 0.0


@dataclass(frozen=True)
class Callbacks:
    """What a program wants to be told: each update; the state and the number of each checkpoint; number, name
    and value of each score. What they raise ends the run."""

    step: Callable[[Step], None] | None = None
    checkpoint: Callable[[Path, int], None] | None = None
    validation: Callable[[int, str, float], None] | None = None


@dataclass
class Schedule:
    """What a run does besides its updates."""

    folder: Path
    name: str
    max_batches: int  # 0: without end
    save_every: int | None = None  # updates between NAME_N.weights
    save_early: int | None = None  # and besides these, of the first 1000
    last_every: int = LAST_EVERY  # updates between NAME_last.state
    score_every: int = 0  # updates between evaluations; 0: none
    score: Callable[[], float] | None = None
    score_name: str = "mAP"
    patience: int = 0  # evaluations without a better score that end the run; 0: none do
    skip_bad: bool = False  # go on without batches that are not finite
    picture: Callable[[Batch], None] | None = None  # draws the first batch of a new run
    watch: Callable[[Trainer, Batch], None] | None = None  # sees every pass
    plot: bool = False  # draw charts with every checkpoint
    callbacks: Callbacks = field(default_factory=Callbacks)
    fixed: dict[str, Any] = field(default_factory=dict)  # what a resumed run must know: seed, size ...

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
    """Turns Ctrl-C, SIGTERM and the end of the terminal into a flag; a second Ctrl-C interrupts at once. Main
    thread only."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interrupts:
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT, signal.SIGTERM]
            if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # not nohup
                numbers.append(signal.SIGHUP)
            for number in numbers:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number


def keep_earlier(plan: Schedule) -> None:
    """Puts what cannot be made again of an earlier run of this name out of a new one's way."""
    state, kept = plan.path("last.state"), plan.path("earlier.state")
    try:
        if not state.exists():
            return
        state.replace(kept)
        best = plan.path("best.weights")
        if best.exists():
            best.replace(plan.path("earlier_best.weights"))
    except OSError as error:
        raise DataFileError(f"{state}: cannot rename: {error.strerror or error}") from error
    logger.warning(
        "a new run begins; the checkpoint of an earlier one is kept as %s: to go on with that instead, name "
        "it %s again and give --resume",
        kept,
        state.name,
    )


def remove_torn(folder: Path, name: str) -> None:
    """Removes what killed runs of this name left half written: NAME_TAG.PID.N of processes that are gone, and
    figures and pictures that were not yet in place."""
    for path in folder.glob(f".{glob.escape(name)}_*.tmp"):
        path.unlink(missing_ok=True)
    for path in folder.glob(f"{glob.escape(name)}_*"):
        found = re.fullmatch(r".*\.(?:state|weights)\.(\d+)\.\d+", path.name)
        if found and not _alive(int(found.group(1))):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _named(images: Sequence[str]) -> str:
    """The images of a batch for a message."""
    if not images:
        return ""
    more = len(images) - MOST_NAMED
    return f" (images: {', '.join(images[:MOST_NAMED])}{f' and {more} more' if more > 0 else ''})"


class Run:
    """Updates of a trainer with the batches of a loader, as a Schedule says."""

    def __init__(
        self,
        trainer: Trainer,
        batch: Callable[[int], Batch],
        plan: Schedule,
        report: TrainingReport,
        metrics: Metrics,
    ) -> None:
        self._trainer, self._batch, self._plan = trainer, batch, plan
        self._report, self._metrics = report, metrics
        self._net = trainer.network
        self._own_size = self._net.input_shape[:1:-1]  # width, height; nothing for a network of vectors
        self._saved_at, self._saved, self._good = time.monotonic(), -1, "none yet"
        self._images: list[str] = []  # of the update
        self._is_new = True
        self._skipped = 0  # updates in a row
        self._waited = self._all_waited = self._all_seconds = 0.0  # in this update, and in all
        self._without_gain = 0  # evaluations
        self.loss = self.average = math.nan
        self.best: float | None = None

    def remember(self, state: dict[str, Any]) -> None:
        """Takes over the running figures of the run that is resumed."""
        # It is not taken for saved: the run may have been killed before the weights beside the state were.
        self._is_new = False
        self._good = f"{self._plan.path('last.state')} (update {self._trainer.iteration})"
        self.loss = float(state.get("loss", math.nan))
        self.average = float(state.get("average", math.nan))
        self.best = state.get("best")
        self._without_gain = int(state.get("without_gain", 0))

    def go(self) -> TrainingResult:
        """Updates until max_batches, an interrupt, or the end of the patience."""
        plan, done = self._plan, self._trainer.iteration
        interrupted = stopped = False
        try:
            with _Interrupts() as interrupts:
                while not (interrupted or stopped) and (not plan.max_batches or done < plan.max_batches):
                    done = self._one(done)
                    self._checkpoints(done)
                    interrupted = bool(interrupts.received or self._report.failed)
                    stopped = 0 < plan.patience <= self._without_gain
                result = self._end(done, interrupted, stopped)
                if (failed := self._report.failed) and not interrupts.received:
                    reason = failed.strerror or str(failed)
                    raise DataFileError(f"standard output: cannot write: {reason}") from failed
                return result
        except FileError as error:
            raise DataFileError(
                f"{error}. The run has stopped after update {done}; last good checkpoint: {self._good}"
            ) from error

    def _one(self, before: int) -> int:
        """One update, told to everybody; gives its number."""
        trainer, started = self._trainer, time.perf_counter()
        rate = trainer.learning_rate_at(before + 1)
        updated = self._update(before)
        # The counter follows the images seen; a cfg changed on the way must not make it stand still.
        done = max(trainer.iteration, before + 1)
        if not updated:
            return done
        per_update = self._net.input_shape[0] * self._net.subdivisions
        images, seconds = done * per_update, time.perf_counter() - started
        step = Step(done, self.loss, self.average, rate, seconds, self._waited, images)
        self._all_waited += step.waited
        self._all_seconds += step.seconds
        self._report.update(done, step.loss, step.average, rate, step.seconds, images)
        self._metrics.update(step, per_update)
        if self._plan.callbacks.step:
            self._plan.callbacks.step(step)
        return done

    def _update(self, before: int) -> bool:
        """One update; False if it was left out."""
        trainer, net, passes = self._trainer, self._net, self._net.subdivisions
        seen, total = net.seen, 0.0
        self._images, self._waited = [], 0.0
        if self._plan.skip_bad:
            trainer.mark()
        try:
            for part in range(passes):
                asked = time.perf_counter()
                batch = self._batch(before * passes + part)
                self._waited += time.perf_counter() - asked
                self._images = [*self._images, *batch.images]
                self._resize(*batch.x.shape[:1:-1])
                if self._is_new and self._plan.picture:
                    self._plan.picture(batch)
                self._is_new = False
                total += trainer.step(batch.x, batch.truth)
                if self._plan.watch:
                    self._plan.watch(trainer, batch)
        except NumericError as error:
            reason = f"{str(error).partition(' at update ')[0]}{self._where()}"
            if not self._plan.skip_bad or self._skipped >= MOST_SKIPPED:
                raise self._diverged(before, reason) from error
            trainer.go_back()
            net.seen = seen + passes * net.input_shape[0]
            self._skip(before, reason)
            return False
        self.loss = total / (passes * net.input_shape[0])
        self.average = self.loss if math.isnan(self.average) else 0.9 * self.average + 0.1 * self.loss
        self._skipped = 0
        return True

    def _where(self) -> str:
        """The first layer whose output is not finite."""
        for layer in self._net.layers:
            if not np.isfinite(self._trainer.output(layer.index)).all():
                return f"; the first output that is not finite is that of layer {layer.index} [{layer.type}]"
        return ""

    def _skip(self, before: int, reason: str) -> None:
        self._skipped += 1
        self._metrics.skipped(before + 1, reason, self._images)
        logger.warning("update %d left out: %s%s", before + 1, reason, _named(self._images))

    def _diverged(self, before: int, reason: str) -> NumericError:
        self._metrics.skipped(before + 1, reason, self._images)
        return NumericError(
            f"training diverged at update {before + 1}: {reason}{_named(self._images)}; last good "
            f"checkpoint: {self._good}. Try a smaller learning_rate, or a longer burn_in"
        )

    def _resize(self, *size: int) -> None:
        """Gives the network's input this width and height; nothing to do for vectors."""
        if self._net.input_shape[:1:-1] != size:
            self._trainer.resize(*size)

    def _checkpoints(self, done: int) -> None:
        plan = self._plan
        due = done % plan.last_every == 0 or time.monotonic() - self._saved_at > LAST_SECONDS
        score_due = bool(
            plan.score and plan.score_every and (done % plan.score_every == 0 or done == plan.max_batches)
        )
        if not (due or score_due or plan.numbered(done)):
            return
        self._check_finite(done)
        if plan.numbered(done):
            self._net.save_weights(plan.path(f"{done}.weights"))
        if score_due and plan.score:
            self._resize(*self._own_size)
            self._scored(done, plan.score())
        if due:
            self._save_last(done)

    def _scored(self, done: int, score: float) -> None:
        plan = self._plan
        self._report.score(done, plan.score_name, score)
        self._metrics.score(done, plan.score_name, score)
        self._without_gain = 0 if self.best is None or score > self.best else self._without_gain + 1
        if self.best is None or score >= self.best:
            self.best = score
            self._net.save_weights(plan.path("best.weights"))
        if plan.callbacks.validation:
            plan.callbacks.validation(done, plan.score_name, score)

    def _check_finite(self, done: int) -> None:
        for layer in self._net.layers:
            for name, values in layer.params.items():
                if not np.isfinite(values).all():
                    raise self._diverged(
                        done - 1, f"layer {layer.index} ({layer.type}) has {name} that are not finite"
                    )

    def _save_last(self, done: int) -> None:
        """The state first: it alone is what a run goes on from."""
        if self._saved == done:
            return
        state = self._plan.path("last.state")
        figures = {
            **self._plan.fixed,
            "loss": self.loss,
            "average": self.average,
            "best": self.best,
            "without_gain": self._without_gain,
        }
        self._trainer.note = json.dumps(figures).encode()
        self._trainer.save(state)
        self._saved_at, self._saved, self._good = time.monotonic(), done, f"{state} (update {done})"
        self._net.save_weights(self._plan.path("last.weights"))
        if self._plan.plot:
            charts(self._metrics.path, self._plan.path("charts.png"))
        if self._plan.callbacks.checkpoint:
            self._plan.callbacks.checkpoint(state, done)

    def _end(self, done: int, interrupted: bool, stopped: bool) -> TrainingResult:
        self._check_finite(done)
        self._save_last(done)
        path = self._plan.path("last.weights")
        if not interrupted:
            self._resize(*self._own_size)
            path = self._plan.path("final.weights")
            self._net.save_weights(path)
        how = "interrupted" if interrupted else "stopped early" if stopped else "trained"
        waited = self._all_waited / max(self._all_seconds, 1e-9)
        best = "" if self.best is None else f", best {self._plan.score_name} {100 * self.best:.2f} %"
        share = f", {100 * waited:.1f} % of the time without data" if waited >= MOST_WAITED else ""
        self._report.end(f"{how}: {done} updates, weights in {path}{best}{share}")
        return TrainingResult(done, self.loss, self.average, self.best, path, interrupted, stopped, waited)


def figures_of(trainer: Trainer, state: Path) -> dict[str, Any]:
    """The figures that a run wrote into the note of its checkpoint."""
    try:
        known = json.loads(trainer.note)
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise DataError(f"{state}: not the checkpoint of a training run: it has no figures to go on with")
    return known

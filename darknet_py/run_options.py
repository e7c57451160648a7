"""What a training run can be told besides its data and its network."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .errors import ArgumentError
from .runs import LAST_EVERY, Callbacks

__all__ = ["RunOptions"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class RunOptions:
    """The keyword arguments of all functions that train. What a kind of run cannot have is refused.

    clear: forget how many images the weights have seen. resume: go on from NAME_last.state, with its seed.
    partial: accept weights that go on after the last layer. dialect: order of parameters in weights files, as
    for Network. check: look for mistakes first, and refuse what cannot work (darknet_py.checking); a resumed
    run was checked when it began. seed: of all random choices. threads: processors. workers: threads that
    prepare pictures. most_bad: part of the pictures, of the label files and of the labels that may be wrong
    and are left out.

    max_batches, backup: instead of the cfg's and the .data file's; max_batches 0 trains until interrupted.
    save_every: updates between NAME_N.weights; save_early: the same, of the first 1000. last_every: updates
    between NAME_last.state. skip_bad: leave out updates whose loss or gradient is not finite instead of
    raising NumericError.

    score: evaluate on the `valid` list every score_every updates and keep NAME_best.weights. patience:
    evaluations without a better score that end the run.

    quiet: print nothing. log_every: updates between plain log lines. csv: another file for the lines of
    NAME_metrics.csv. plot: draw NAME_charts.png with every checkpoint (matplotlib). callbacks: what to call.
    """

    clear: bool = False
    resume: bool = False
    partial: bool = False
    dialect: str | None = None
    check: bool = True
    seed: int = 0
    threads: int | None = None
    workers: int = 2
    most_bad: float = 0.1
    max_batches: int | None = None
    backup: PathLike | None = None
    save_every: int | None = None
    save_early: int | None = None
    last_every: int = LAST_EVERY
    skip_bad: bool = False
    score: bool = False
    score_every: int | None = None
    patience: int = 0
    quiet: bool = False
    log_every: int | None = None
    csv: PathLike | None = None
    plot: bool = False
    callbacks: Callbacks | None = None

    def __post_init__(self) -> None:
        if self.last_every < 1:
            raise ArgumentError(f"expected last_every of 1 or more, found {self.last_every}")
        if not 0 <= self.most_bad <= 1:
            raise ArgumentError(f"most_bad: expected a part 0..1, found {self.most_bad:g}")

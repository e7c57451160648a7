"""Training detectors, classifiers and networks that read text: what to feed them, and when to do what.

The run itself, its checkpoints and what it leaves in its backup folder are in runs.py; feeding.py reads what
the cfg says about the pictures.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import classification, evaluation
from .collection import Collection
from .data import DataFile, check_folder, keep_inputs, new_folder, write_whole
from .datasets import Report
from .errors import ArgumentError, CfgError, DataError, DataNotFoundError
from .feeding import classification_loader, detection_loader, scales, tell_without_effect
from .loaders import Batch, DetectionLoader
from .logs import captured, logger
from .network import Network
from .progress import TrainingReport
from .run_checks import FirstEpoch, tell_empty_classes
from .run_metrics import Metrics, check_free
from .run_options import RunOptions
from .run_pictures import batch_picture, require_matplotlib
from .runs import Callbacks, Run, Schedule, Step, TrainingResult, figures_of, keep_earlier, remove_torn
from .sources import collect_boxes, collect_classes, open_data
from .text import Symbols, TextStreams, read_symbols, score
from .trainer import Trainer

__all__ = [
    "Callbacks",
    "RunOptions",
    "Step",
    "TrainingResult",
    "scales",
    "train_classifier",
    "train_detector",
    "train_text",
]

PathLike = str | os.PathLike[str]


# ---- what all kinds of network need -----------------------------------------------------------------


class _Job:
    """A trainer, new or from NAME_last.state, and the schedule of its run. Closes both."""

    def __init__(
        self,
        cfg: PathLike,
        weights: PathLike | None,
        options: RunOptions,
        folder: PathLike,
        read: Sequence[PathLike | None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        if options.csv is not None:
            keep_inputs([options.csv], [path for path in (cfg, weights, *read) if path is not None])
        if options.plot:
            require_matplotlib()
        self.options = options
        self._stack = ExitStack()
        try:
            backup = self._stack.enter_context(new_folder(Path(folder)))
            check_folder(backup)  # before anything that takes long
            check()
            name = Path(cfg).name.split(".")[0]
            check_free(backup / f"{name}_metrics")
            remove_torn(backup, name)
            state = backup / f"{name}_last.state"
            begin = self._resumed(cfg, weights, state) if options.resume else self._new(cfg, weights)
            self.trainer, self.figures = begin
            self.net: Network = self.trainer.network
            self.seed = int(self.figures["seed"])
            self.end = self.net.max_batches if options.max_batches is None else options.max_batches
            self.plan = Schedule(
                backup,
                name,
                self.end,
                options.save_every,
                options.save_early,
                last_every=options.last_every,
                patience=options.patience,
                skip_bad=options.skip_bad,
                plot=options.plot,
                callbacks=options.callbacks or Callbacks(),
            )
            tell_without_effect(self.net)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def __enter__(self) -> _Job:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def keep(self, loader: Any) -> Any:
        """Closes a loader with the rest."""
        return self._stack.enter_context(loader)

    def _new(self, cfg: PathLike, weights: PathLike | None) -> tuple[Trainer, dict[str, Any]]:
        """With the figures to go on with: at least seed, size, and a print of the cfg."""
        told = self.options
        # A checkpoint keeps this path, to find the files that the cfg names from any working directory.
        net = self._stack.enter_context(
            Network(Path(cfg).absolute(), threads=told.threads, seed=told.seed, dialect=told.dialect)
        )
        if weights is not None:
            _load_start(net, weights, told.partial)
        if told.clear:
            net.seen = 0
        size, read = net.input_shape[:1:-1], _print_of([Path(cfg).read_bytes()])
        trainer = self._stack.enter_context(Trainer(net, threads=told.threads, seed=told.seed))
        return trainer, {"seed": told.seed, "size": size, "cfg": read}

    def _resumed(
        self, cfg: PathLike, weights: PathLike | None, state: Path
    ) -> tuple[Trainer, dict[str, Any]]:
        if self.options.clear or weights is not None:
            raise DataError("--resume goes on from the checkpoint alone: leave out the weights and -clear")
        if not Path(cfg).is_file():
            raise DataNotFoundError(f"{cfg}: no such file")
        if not state.exists():
            raise DataNotFoundError(f"{state}: nothing to resume; leave out --resume to start a new run")
        trainer = self._stack.enter_context(Trainer.load(state, threads=self.options.threads))
        figures = figures_of(trainer, state)
        if figures["cfg"] != _print_of([Path(cfg).read_bytes()]):
            logger.warning(
                "%s has changed since %s was written; the run goes on with the network and the settings in "
                "the checkpoint. To train with the new ones, start from the .weights file",
                cfg,
                state,
            )
        if figures["size"]:
            trainer.resize(*figures["size"])  # the size of the last update may have been another
        return trainer, figures

    def loading(self) -> dict[str, Any]:
        """What loaders are told."""
        told = self.options
        return {"seed": self.seed, "workers": told.workers, "most_bad": told.most_bad}

    def same_list(self, items: Sequence[str], what: str) -> None:
        """Says so if a resumed run gets other pictures; a new one remembers which it has."""
        lines = (f"\n{item}" if k else item for k, item in enumerate(items))
        found = _print_of(line.encode("utf-8", "surrogateescape") for line in lines)
        if self.figures.setdefault("list", found) != found:
            logger.warning(
                "%s has changed since the checkpoint was written: the run goes on, but not as it would have",
                what,
            )
            self.figures["list"] = found

    def collected(self, found: tuple[Collection, Report], what: str) -> Collection:
        """The pictures of a list, after telling how they were found and what is wrong with some."""
        paths, report = found
        listing = self.plan.path(f"{what}_problems.txt")
        if report.bad:
            write_whole(listing, "".join(f"{line}\n" for line in report.problems()))
            logger.warning("%s: %s; all of them: %s", what, "\n".join(report.lines()), listing)
        else:
            listing.unlink(missing_ok=True)  # of an earlier run
            if not self.options.quiet:
                print(f"{what}: " + "\n".join(report.lines()), file=sys.stderr)
        return paths

    def score(self, name: str, every: int, measure: Callable[[], float]) -> None:
        """Has the run measured on its validation list, by default every so many updates."""
        self.plan.score_name, self.plan.score = name, measure
        self.plan.score_every = self.options.score_every or every

    def epochs(self, count: int, images: int) -> int:
        """So many passes over the images, in updates; at least 100."""
        return max(100, round(count * images / (self.net.input_shape[0] * self.net.subdivisions)))

    def train(self, batch: Callable[[int], Batch], epoch_images: int | None = None) -> TrainingResult:
        """The run."""
        told, plan, trainer, net = self.options, self.plan, self.trainer, self.net
        finished = told.resume and not plan.path("final.weights").exists()  # killed before the last file
        if plan.max_batches and trainer.iteration >= plan.max_batches and not finished:
            how = (
                "give a larger -max_batches"
                if told.resume
                else "add -clear to count from 0, or raise max_batches"
            )
            raise DataError(
                f"these weights have {trainer.iteration} updates behind them, max_batches is "
                f"{plan.max_batches}: {how}"
            )
        plan.fixed = {
            key: self.figures[key] for key in ("seed", "size", "cfg", "list") if key in self.figures
        }
        after = trainer.iteration if told.resume else None
        more = None if told.csv is None else Path(told.csv)
        metrics = self._stack.enter_context(Metrics(plan.path("metrics"), after=after, more=more))
        if not told.resume:
            keep_earlier(plan)
        report = self._stack.enter_context(
            TrainingReport(
                plan.max_batches,
                start=trainer.iteration,
                quiet=told.quiet,
                every=told.log_every,
                epoch_images=epoch_images,
                images_per_update=net.input_shape[0] * net.subdivisions,
            )
        )
        run = Run(trainer, batch, plan, report, metrics)
        if told.resume:
            run.remember(self.figures)
        return run.go()


def _load_start(net: Network, weights: PathLike, partial: bool) -> None:
    """Parameters to start from. A file that ends after any layer is a backbone: the other layers keep their
    random values, which is said. One that goes on after the last layer belongs to another cfg."""
    path = Path(weights)
    is_short = path.is_file() and path.stat().st_size <= net.weights_bytes
    with captured() as told:
        net.load_weights(path, partial=partial or is_short)
    for _, message in told:
        logger.warning("%s", message)


def _print_of(parts: Iterable[bytes]) -> str:
    """A few characters that tell one content from another."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def _check_first(info: DataFile, cfg: PathLike, weights: PathLike | None, told: RunOptions) -> None:
    """Refuses what cannot work. A run that is resumed was checked when it began."""
    if not told.check or told.resume:
        return
    from .checking.before import check_before

    check_before(
        info.path,
        cfg,
        tuning=weights is not None,
        dialect=told.dialect,
        most_bad=told.most_bad,
        length=told.max_batches,
        threads=told.threads,
        quiet=told.quiet,
    )


def _images_only(net: Network) -> None:
    if len(net.input_shape) != 4:
        raise CfgError(
            "this network takes vectors; set width, height and channels in [net] to train it on pictures"
        )


# ---- detectors ----------------------------------------------------------------------------------------


def train_detector(
    data: PathLike | DataFile,
    cfg: PathLike,
    weights: PathLike | None = None,
    *,
    iou: float = 0.5,
    **options: Any,
) -> TrainingResult:
    """Trains a detector on the `train` pictures of a .data file, a data.yaml, a COCO file or a VOC folder.

    Unreadable pictures and wrong labels are left out and listed in NAME_train_problems.txt; if they are many,
    training does not begin. weights: to start from. iou: overlap that counts for the score, which is the mAP;
    by default it is measured every four epochs, at least 100 updates apart. options: the fields of
    RunOptions. Ctrl-C saves and ends cleanly.
    """
    told = RunOptions(**options)
    info = open_data(data)
    folder = told.backup if told.backup is not None else info.backup
    read = [info.path, *info.mentioned()]
    with _Job(cfg, weights, told, folder, read, lambda: _check_first(info, cfg, weights, told)) as job:
        net = job.net
        _images_only(net)
        classes = evaluation.head_classes(net)
        limit = evaluation.label_classes(net)
        if info.get("classes") and info.classes != classes:
            raise DataError(f"{info.path}: classes = {info.classes}, but the heads of {cfg} have {classes}")
        heads = [layer for layer in net.layers if layer.head]
        tree = heads[-1].tree if heads[-1].type == "region" else None
        nodes = None if tree is None else len(tree)
        paths = job.collected(collect_boxes(info, "train", limit, told.most_bad, nodes), "train")
        loader = job.keep(detection_loader(net, info, paths, limit, job.end, **job.loading()))
        job.same_list(paths, f"the training list of {info.path}")
        _watch_boxes(job.plan, loader, paths, net, limit, info.names or [])
        if told.score:
            class_map = evaluation.class_map_of(net, info)
            count = len(class_map) if class_map else limit
            valid = job.collected(collect_boxes(info, "valid", count, told.most_bad), "valid")

            def measure() -> float:
                found = evaluation.evaluate_detector(
                    net, valid, iou=iou, labels=valid.labels, class_map=class_map
                )
                return found.map

            job.score(f"mAP@{iou:.2f}", job.epochs(4, len(paths)), measure)
        return job.train(loader.batch)


def _watch_boxes(
    plan: Schedule,
    loader: DetectionLoader,
    paths: Collection,
    net: Network,
    classes: int,
    names: Sequence[str],
) -> None:
    """Draws the first batch, and tells what no training would say: classes and heads without a box."""
    heads = [layer for layer in net.layers if layer.head]
    grid = heads[-1].type == "detection"
    side = math.isqrt(heads[-1].head[1]) if grid and heads[-1].head else 0
    plan.picture = lambda batch: batch_picture(batch, plan.path("batch.jpg"), names, side)
    if heads[-1].tree is None:
        tell_empty_classes(paths.counts, classes, names, "no box")
    plan.watch = FirstEpoch(net, len(loader.paths), loader.labels, grid)


# ---- classifiers and text -----------------------------------------------------------------------------


def train_classifier(
    data: PathLike | DataFile, cfg: PathLike, weights: PathLike | None = None, **options: Any
) -> TrainingResult:
    """Trains a classifier on the `train` list of a .data file, whose `labels` are substrings of the image
    paths, or of a folder of classes.

    Arguments as for train_detector; the score is the top-1 accuracy, by default measured every epoch, at
    least 100 updates apart.
    """
    told = RunOptions(**options)
    info = open_data(data)
    folder = told.backup if told.backup is not None else info.backup
    read = [info.path, *info.mentioned()]
    with _Job(cfg, weights, told, folder, read, lambda: _check_first(info, cfg, weights, told)) as job:
        net = job.net
        _images_only(net)
        labels = _labels(info, cfg, net)
        paths = job.collected(collect_classes(info, "train", labels, told.most_bad), "train")
        loader = job.keep(classification_loader(net, paths, labels, job.end, **job.loading()))
        job.same_list(paths, f"the training list of {info.path}")
        plan = job.plan
        plan.picture = lambda batch: batch_picture(batch, plan.path("batch.jpg"), info.names or labels)
        if net.tree is None:
            tell_empty_classes(paths.counts, len(labels), labels, "no picture")
        if told.score:
            valid = job.collected(collect_classes(info, "valid", labels, told.most_bad), "valid")
            job.score(
                "top-1",
                job.epochs(1, len(paths)),
                lambda: classification.evaluate_classifier(net, valid, labels, top=1).top1,
            )
        return job.train(loader.batch, len(paths))


def _labels(info: DataFile, cfg: PathLike, net: Network) -> list[str]:
    """The labels of a classifier's data, if they are as many as the network's outputs."""
    labels = info.labels
    if net.tree is None and info.get("tree"):
        raise DataError(f"{info.path} names a tree, but {cfg} has no [softmax] with the key tree")
    if net.tree is not None and len(net.tree) != len(labels):
        raise DataError(f"{info.path} names {len(labels)} labels, but the tree has {len(net.tree)} nodes")
    outputs = net.layers[net.output_layers[-1]].outputs
    if outputs != len(labels):
        raise DataError(f"{cfg} has {outputs} outputs, but {info.path} names {len(labels)} labels")
    return labels


def train_text(
    text: PathLike,
    cfg: PathLike,
    weights: PathLike | None = None,
    *,
    tokenized: bool = False,
    valid: PathLike | None = None,
    **options: Any,
) -> TrainingResult:
    """Trains a recurrent network to predict the next symbol of a text; see darknet_py.text.

    tokenized: the file holds numbers of symbols instead of bytes. valid: another text, to score on: the mean
    probability (geometric) of its symbols, by default every 1000 updates. Other arguments as for
    train_detector.
    """
    told = RunOptions(**options)
    if valid is None and (told.score or told.patience):
        raise ArgumentError("a network for text is scored on another text: name it (valid)")
    symbols = read_symbols(text, tokenized)
    unseen = None if valid is None else read_symbols(valid, tokenized)
    folder = told.backup if told.backup is not None else "backup"
    with _Job(cfg, weights, told, folder, [text, valid]) as job:
        streams = TextStreams(symbols, job.net, seed=job.seed, name=str(text))

        def batch(step: int) -> Batch:
            for stream in range(streams.streams):
                if streams.jumps(step, stream):
                    job.trainer.reset(stream)
            return streams.batch(step)

        if unseen is not None:
            TextStreams(unseen, job.net, name=str(valid))  # refuses what the network can't read
            job.score("probability", 1000, lambda: _text_score(job.net, cfg, unseen, told.dialect))
        return job.train(batch, len(symbols))


def _text_score(net: Network, cfg: PathLike, symbols: Symbols, dialect: str | None) -> float:
    """The mean probability of each symbol after those before it."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "now.weights")
        net.save_weights(path)
        with Network(cfg, path, batch=1, time_steps=1, dialect=dialect) as one_by_one:
            return float(2.0 ** -score(one_by_one, symbols, 1).bits)

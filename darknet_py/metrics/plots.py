"""A report as charts: PNG files in a folder. Needs matplotlib (the extra `plot`), but no display."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from ..data import PathLike, write_whole
from ..run_pictures import require_matplotlib
from .curves import sampled
from .errors import CATEGORIES
from .report import Report

__all__ = ["write_plots"]

COLOURS = ("tab:green", "tab:orange", "tab:purple", "tab:blue", "tab:red")  # of CATEGORIES
MOST_CURVES = 20  # in one legend


def write_plots(report: Report, folder: PathLike) -> list[str]:
    """Writes precision_recall.png, confusion.png and errors.png; gives their paths.

    Raises UnsupportedError without matplotlib.
    """
    require_matplotlib()
    from matplotlib.figure import Figure  # figures of their own, without pyplot, need no display

    paths = []
    for name, draw in (("precision_recall", _curves), ("confusion", _confusion), ("errors", _errors)):
        figure = Figure(figsize=(9, 7), layout="constrained")
        draw(report, figure)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=100)
        path = Path(folder, f"{name}.png")
        write_whole(path, picture.getvalue())
        paths.append(str(path))
    return paths


def _curves(report: Report, figure: Any) -> None:
    axes = figure.subplots()
    there = [curve for curve in report.curves if curve.truths]
    recalls = np.linspace(0, 1, 101)
    for curve in there:
        label = f"{report.names[curve.class_id]} {100 * curve.ap():.1f} %"
        if len(there) <= MOST_CURVES:
            axes.plot(curve.recall, curve.precision, label=label)
        else:
            axes.plot(recalls, sampled(curve), color="0.8", linewidth=0.8)
    if there:
        mean = np.mean([sampled(curve) for curve in there], axis=0)
        axes.plot(
            recalls,
            mean,
            color="black",
            linewidth=2,
            label=f"mean, interpolated {100 * report.voc_2010:.1f} %",
        )
        axes.legend(fontsize="small")
    axes.set(
        xlabel="recall",
        ylabel="precision",
        xlim=(0, 1),
        ylim=(0, 1.02),
        title=f"Precision and recall at IoU {report.iou:g}",
    )


def _confusion(report: Report, figure: Any) -> None:
    axes = figure.subplots()
    totals = np.maximum(report.confusion.sum(1, keepdims=True), 1)
    parts = report.confusion / totals
    image = axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="part of the row")
    labels = [*report.names, "background"]
    size = "small" if len(labels) <= MOST_CURVES else 4
    axes.set_xticks(range(len(labels)), [*report.names, "nothing"], rotation=90, fontsize=size)
    axes.set_yticks(range(len(labels)), labels, fontsize=size)
    if len(labels) <= MOST_CURVES:
        for (row, column), count in np.ndenumerate(report.confusion):
            if count:
                colour = "white" if parts[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=7)
    axes.set(xlabel="detected as", ylabel="object", title=f"Confusions above {report.thresh:g}")


def _errors(report: Report, figure: Any) -> None:
    axes = figure.subplots()
    there = np.flatnonzero(report.errors.counts.sum(1) > 0)
    rows = np.concatenate([report.errors.parts[there], report.errors.mean[None]])
    labels = [*(report.names[k] for k in there), "mean"]
    left = np.zeros(len(rows))
    for category, values, colour in zip(CATEGORIES, np.nan_to_num(rows).T, COLOURS, strict=True):
        axes.barh(labels, 100 * values, left=left, label=category, color=colour)
        left += 100 * values
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize="small" if len(labels) <= MOST_CURVES else 5)
    axes.set(xlabel="% of the best detections", xlim=(0, 100), title="What the best detections are")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=len(CATEGORIES), fontsize="small")

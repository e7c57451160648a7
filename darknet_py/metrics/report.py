"""All measures of one detector together: as text, as plain values and as CSV files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import PathLike, write_whole
from ..evaluation import DetectionScore, Evaluation
from .boxes import ImageBoxes, Integers
from .coco import CocoScore, coco_score
from .confusion import confusion_matrix
from .curves import Curve, mean_ap, precision_recall
from .errors import CATEGORIES, ErrorTable, analyse_errors

__all__ = ["Report", "measure"]

WIDEST_MATRIX = 20  # classes, in text
MOST_CONFUSIONS = 20


@dataclass(frozen=True)
class Report:
    """iou, thresh: of darknet, curves, confusion and errors. See the functions of the modules beside this one
    for each part."""

    names: tuple[str, ...]
    iou: float
    thresh: float
    darknet: Evaluation
    curves: tuple[Curve, ...]
    coco: CocoScore
    confusion: Integers
    errors: ErrorTable

    @property
    def voc_2007(self) -> float:
        """Mean of the 11-point average precisions."""
        return mean_ap(self.curves, 11)

    @property
    def voc_2010(self) -> float:
        """Mean of the areas under the interpolated curves."""
        return mean_ap(self.curves)

    def classes(self) -> list[dict[str, Any]]:
        """A row per class: counts, average precisions, and the threshold of the best F1."""
        rows = []
        for curve, name, darknet, coco in zip(
            self.curves, self.names, self.darknet.classes, self.coco.class_ap, strict=True
        ):
            best = curve.best()
            rows.append(
                {
                    "class_id": curve.class_id,
                    "name": name,
                    "truths": curve.truths,
                    "detections": len(curve.scores),
                    "darknet_ap": darknet.ap,
                    "voc_2007_ap": curve.ap(11),
                    "voc_2010_ap": curve.ap(),
                    "coco_ap": float(coco.mean()),
                    "coco_ap_50": float(coco[0]),
                    "coco_ap_75": float(coco[5]),
                    "best_thresh": best.score if best else None,
                    "best_precision": best.precision if best else None,
                    "best_recall": best.recall if best else None,
                    "best_f1": best.f1 if best else None,
                }
            )
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values; None for what is not defined."""
        return {
            "iou": self.iou,
            "thresh": self.thresh,
            "darknet_map": self.darknet.map,
            "voc_2007_map": _defined(self.voc_2007),
            "voc_2010_map": _defined(self.voc_2010),
            "coco": {key: _defined(value) for key, value in self.coco.figures().items()},
            "classes": [{key: _defined(value) for key, value in row.items()} for row in self.classes()],
            "confusion": self.confusion.tolist(),
            "errors": {
                "categories": list(CATEGORIES),
                "counts": self.errors.counts.tolist(),
                "mean": [_defined(value) for value in self.errors.mean.tolist()],
            },
        }

    def lines(self) -> list[str]:
        """Tables for people."""
        figures = [
            ("Darknet", self.darknet.map),
            ("VOC 2007, 11 points", self.voc_2007),
            ("VOC 2010, area", self.voc_2010),
        ]
        return [
            *(f"mAP@{self.iou:.2f}  {name:<20} {_percent(value)} %" for name, value in figures),
            "",
            *self.coco.lines(),
            "",
            *self._class_lines(),
            "",
            *self._confusion_lines(),
            "",
            *self._error_lines(),
        ]

    def _wide(self) -> int:
        return max([len("background"), *map(len, self.names)])

    def _class_lines(self) -> list[str]:
        heads = ("objects", "VOC07", "VOC10", "COCO", ".50", ".75", "best at", "prec.", "recall", "F1")
        lines = [f"{'class':<{self._wide()}}" + "".join(f" {head:>7}" for head in heads)]
        for row in self.classes():
            aps = [row[key] for key in ("voc_2007_ap", "voc_2010_ap", "coco_ap", "coco_ap_50", "coco_ap_75")]
            best = [row[key] for key in ("best_precision", "best_recall", "best_f1")]
            thresh = "-" if row["best_thresh"] is None else f"{row['best_thresh']:.3f}"
            lines.append(
                f"{row['name']:<{self._wide()}} {row['truths']:7d}"
                + "".join(f" {_percent(value):>7}" for value in aps)
                + f" {thresh:>7}"
                + "".join(f" {_percent(value):>7}" for value in best)
            )
        return lines

    def _confusion_lines(self) -> list[str]:
        labels = [*self.names, "background"]
        title = f"confusions above {self.thresh:g}, overlapping by {self.iou:g} or more"
        if len(self.names) <= WIDEST_MATRIX:
            columns = [label[:9] for label in [*self.names, "(nothing)"]]
            rows = [
                f"{label:<{self._wide()}}" + "".join(f" {count:>9}" for count in row)
                for label, row in zip(labels, self.confusion.tolist(), strict=True)
            ]
            return [
                f"{title}: rows are objects, columns detections",
                f"{'':<{self._wide()}}" + "".join(f" {column:>9}" for column in columns),
                *rows,
            ]
        wrong = self.confusion[:-1, :-1] * ~np.eye(len(self.names), dtype=bool)
        order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
        pairs = [divmod(int(place), len(self.names)) for place in order]
        return [
            f"{title}: the most common",
            *(f"{wrong[a, b]:7d}  {labels[a]} taken for {labels[b]}" for a, b in pairs if wrong[a, b]),
        ]

    def _error_lines(self) -> list[str]:
        head = "".join(f" {category:>12}" for category in CATEGORIES)
        lines = [
            "the best detections of each class, as many as it has objects, in %",
            f"{'class':<{self._wide()}} {'count':>7}{head}",
        ]
        rows = zip(self.names, self.errors.counts.sum(1).tolist(), self.errors.parts.tolist(), strict=True)
        for name, count, parts in (*rows, ("mean", int(self.errors.counts.sum()), self.errors.mean.tolist())):
            values = "".join(f" {_percent(part):>12}" for part in parts)
            lines.append(f"{name:<{self._wide()}} {count:7d}{values}")
        return lines

    def write_csv(self, folder: PathLike) -> list[str]:
        """Writes classes.csv, curves.csv, confusion.csv and errors.csv; gives their paths."""
        classes = self.classes()
        tables: dict[str, tuple[Sequence[str], Iterable[Sequence[Any]]]] = {
            "classes": (
                [*(classes[0] if classes else ())],
                [[_defined(value) for value in row.values()] for row in classes],
            ),
            "curves": (
                ["class_id", "name", "score", "precision", "recall"],
                (
                    [curve.class_id, name, *point]
                    for curve, name in zip(self.curves, self.names, strict=True)
                    for point in zip(
                        curve.scores.tolist(), curve.precision.tolist(), curve.recall.tolist(), strict=True
                    )
                ),
            ),
            "confusion": (
                ["object", *self.names, "nothing"],
                (
                    [name, *row]
                    for name, row in zip([*self.names, "background"], self.confusion.tolist(), strict=True)
                ),
            ),
            "errors": (
                ["class_id", "name", *CATEGORIES],
                (
                    [k, name, *row]
                    for k, (name, row) in enumerate(zip(self.names, self.errors.counts.tolist(), strict=True))
                ),
            ),
        }
        paths = []
        for table, (head, rows) in tables.items():
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(head)
            writer.writerows(rows)
            path = Path(folder, f"{table}.csv")
            write_whole(path, text.getvalue())
            paths.append(str(path))
        return paths


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _percent(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def measure(
    images: Sequence[ImageBoxes],
    names: Sequence[str],
    *,
    iou: float = 0.5,
    thresh: float = 0.25,
    similar: Sequence[Sequence[int]] = (),
    inclusive: bool = False,
) -> Report:
    """Everything this package measures. names: of the classes. iou, inclusive: as for precision_recall;
    thresh: confidence of the confusion matrix; similar: as for analyse_errors."""
    classes = len(names)
    return Report(
        names=tuple(names),
        iou=iou,
        thresh=thresh,
        darknet=_darknet(images, classes, iou, thresh),
        curves=precision_recall(images, classes, iou, inclusive=inclusive),
        coco=coco_score(images, classes),
        confusion=confusion_matrix(images, classes, thresh=thresh, iou=iou),
        errors=analyse_errors(images, classes, similar, iou=iou),
    )


def _darknet(images: Sequence[ImageBoxes], classes: int, iou: float, thresh: float) -> Evaluation:
    score = DetectionScore(classes, iou, thresh)
    for image in images:
        order = np.argsort(-image.scores, kind="stable")
        low, high = image.truths[:, :2], image.truths[:, 2:]
        rows = np.concatenate([image.truth_class[:, None], (low + high) / 2, high - low], 1)
        score.add(
            image.boxes[order].astype(np.float32),
            image.scores[order].astype(np.float32),
            image.class_id[order],
            rows[~image.optional].astype(np.float32),
            rows[image.optional].astype(np.float32),
        )
    return score.result()

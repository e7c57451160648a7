"""-metrics, -csv, -plot, -similar: what detector map and valid have in common beyond Darknet's figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .arguments import Parser

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..data import DataFile
    from ..metrics import ImageBoxes, Report
    from ..network import Network
    from ..results import Detections

    Floats = npt.NDArray[np.float32]


def add_measures(parser: Parser) -> None:
    """The options; -csv and -plot are requests for the figures, too."""
    parser.flag("metrics", help="VOC's and COCO's figures, confusions and an analysis of errors, too")
    parser.option("csv", metavar="FOLDER", help="write them as CSV files: classes, curves, confusion, errors")
    parser.option("plot", metavar="FOLDER", help="write charts of them (needs matplotlib)")
    parser.option(
        "similar",
        metavar="FILE",
        help="a line per group of similar classes, separated by commas, for the analysis of errors "
        "(default: known for VOC's classes)",
    )


def difficult_list(options: argparse.Namespace, info: DataFile, count: int) -> list[str] | None:
    """The paths in the list `difficult` of a .data file, one for each of count images; None without it."""
    from ..errors import DataError

    if not info.get("difficult") or options.list:
        return None
    hard = info.images("difficult")
    if len(hard) != count:
        raise DataError(
            f"{info.path}: difficult: expected a path per image of valid, {count}, found {len(hard)}"
        )
    return hard


class Measures:
    """Collects what is found in each image, and writes what the options ask for."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.wanted = bool(options.metrics or options.csv or options.plot)
        self.images: list[ImageBoxes] = []
        self._labels: list[Floats] = []
        self._difficult: list[Floats] | None = None

    def add(self, found: Detections, labels: Floats, difficult: Floats | None) -> None:
        """One image."""
        from ..metrics import ImageBoxes

        self.images.append(ImageBoxes.of(found, labels, difficult))

    def read_labels(
        self, net: Network, images: Sequence[str], hard: Sequence[str] | None, class_map: list[int] | None
    ) -> None:
        """The labels of all images, for calls of found."""
        from ..data import labels_of
        from ..evaluation import label_classes, numbered_for

        classes = label_classes(net) if class_map is None else len(class_map)
        self._labels = numbered_for(net, labels_of(images, classes), class_map)
        self._difficult = numbered_for(net, labels_of(hard, classes), class_map) if hard else None

    def found(self, index: int, found: Detections) -> None:
        """One image, by its index."""
        self.add(found, self._labels[index], self._difficult[index] if self._difficult else None)

    def report(
        self, names: Sequence[str] | None, classes: int, iou: float = 0.5, thresh: float = 0.25
    ) -> Report | None:
        """The figures, after writing the files; None if nobody asked."""
        if not self.wanted:
            return None
        from ..metrics import VOC_SIMILAR, measure, similar_groups
        from ..names import read_names

        known = [*(names or ())][:classes]
        known += [f"class {k}" for k in range(len(known), classes)]
        groups: Sequence[Sequence[str]] = VOC_SIMILAR
        if self._options.similar:
            lines = read_names(self._options.similar)
            groups = [[name.strip() for name in line.split(",") if name.strip()] for line in lines]
        report = measure(self.images, known, iou=iou, thresh=thresh, similar=similar_groups(known, groups))
        written = report.write_csv(self._options.csv) if self._options.csv else []
        if self._options.plot:
            from ..metrics.plots import write_plots

            written += write_plots(report, self._options.plot)
        if written and not self._options.quiet:
            print("\n".join(written), file=sys.stderr)
        return report

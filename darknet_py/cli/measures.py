"""-metrics, -csv, -plot, -similar: what detector map, valid and score have in common beyond Darknet's own
figures; detector score and rescore, which work on result files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..json_text import json_text
from .arguments import Parser, add_list, add_overlap, listed_images, part

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..data import DataFile
    from ..metrics import Report
    from ..network import Network
    from ..results import Detections

    Floats = npt.NDArray[np.float32]


def add_measures(parser: Parser) -> None:
    """The options; -csv and -plot are requests for the figures, too."""
    parser.flag("metrics", help="VOC's and COCO's figures, confusions and an analysis of errors, too")
    add_tables(parser)


def add_tables(parser: Parser) -> None:
    """The options without -metrics, for commands that do nothing else."""
    parser.option("csv", metavar="FOLDER", help="write them as CSV files: classes, curves, confusion, errors")
    parser.option("plot", metavar="FOLDER", help="write charts of them (needs matplotlib)")
    parser.option(
        "similar",
        metavar="FILE",
        help="a line per group of similar classes, separated by commas, for the analysis of errors "
        "(default: known for VOC's classes)",
    )


def class_names(names: Sequence[str] | None, classes: int) -> list[str]:
    """A name for every class."""
    known = [*(names or ())][:classes]
    return known + [f"class {k}" for k in range(len(known), classes)]


def difficult_list(options: argparse.Namespace, info: DataFile, count: int) -> Sequence[str] | None:
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

    def __init__(self, options: argparse.Namespace, wanted: bool = False) -> None:
        from ..data import check_folder, new_folder
        from ..metrics.boxes import StoredBoxes

        self._options = options
        self.wanted = wanted or bool(options.metrics or options.csv or options.plot)
        self.images = StoredBoxes()
        self._labels: Sequence[Floats] = []
        self._difficult: Sequence[Floats] | None = None
        # What would be lost with all that was measured is better known before.
        if options.plot:
            from ..run_pictures import require_matplotlib

            require_matplotlib()
        for folder in (options.csv, options.plot):
            if folder:
                with new_folder(Path(folder)) as made:
                    check_folder(made)

    def add(self, found: Detections, labels: Floats, difficult: Floats | None) -> None:
        """One image."""
        from ..metrics import ImageBoxes

        self.images.add(ImageBoxes.of(found, labels, difficult))

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

        known = class_names(names, classes)
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


def configure_score(parser: Parser) -> None:
    """DATA RESULTS"""
    parser.add_argument("data", metavar="DATA", help=".data file: classes, valid, names, difficult")
    parser.add_argument(
        "results", metavar="RESULTS", help="folder of VOC files, or COCO file, as detector valid writes them"
    )
    parser.option("thresh", type=part, default=0.25, metavar="P", help="for confusions (default .25)")
    add_overlap(parser)
    parser.flag("zero_based", help="VOC files count pixels from 0, as yolo valid writes them")
    add_tables(parser)
    add_list(parser)
    parser.flag("json", help="print one JSON document and nothing else")


def run_score(options: argparse.Namespace) -> int:
    """Prints the figures of result files, whoever wrote them."""
    from ..metrics.files import image_boxes
    from ..sources import open_data

    info = open_data(options.data)
    images = listed_images(options, info)
    hard = difficult_list(options, info, len(images))
    measures = Measures(options, wanted=True)
    names = class_names(info.names, info.classes)
    measures.images = image_boxes(
        options.results, images, names, one_based=not options.zero_based, difficult=hard
    )
    report = measures.report(names, len(names), options.iou_thresh, options.thresh)
    if report:
        print(json_text(report.to_dict(), indent=1) if options.json else "\n".join(report.lines()))
    return 0


def configure_rescore(parser: Parser) -> None:
    """A B"""
    parser.add_argument("first", metavar="A", help="folder of VOC files, or COCO file, whose boxes are kept")
    parser.add_argument("second", metavar="B", help="the same of another detector, whose boxes support A's")
    parser.option("out", required=True, metavar="NAME", help="folder, or COCO file, to write")
    parser.option("iou", type=part, default=0.5, metavar="IOU", help="least overlap (default .5)")
    parser.option("weight", type=part, default=1.0, metavar="W", help="of B's scores (default 1)")


def run_rescore(options: argparse.Namespace) -> int:
    """Prints the paths of the files written."""
    from ..metrics.files import rescore_files

    written = rescore_files(
        options.first, options.second, options.out, iou=options.iou, weight=options.weight
    )
    print("\n".join(written))
    return 0

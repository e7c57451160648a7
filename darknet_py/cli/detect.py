"""detect: objects in pictures, as text, JSON, CSV and drawn pictures; also behind `detector test`."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..json_text import json_text
from .arguments import (
    Parser,
    add_detection,
    add_images,
    add_network,
    fit_of,
    image_paths,
    load_network,
    several,
)

if TYPE_CHECKING:
    from ..results import Detections

CSV_COLUMNS = ("image", "label", "class_id", "confidence", "x1", "y1", "x2", "y2")


def configure_detect(parser: Parser) -> None:
    """CFG WEIGHTS IMAGE... and options."""
    add_network(parser)
    configure_output(parser)


def configure_output(parser: Parser, out: str = "predictions", **defaults: Any) -> None:
    """What detect, detector test and yolo test have in common; defaults: those of add_detection."""
    add_images(parser)
    add_detection(parser, **defaults)
    parser.set_defaults(usual_out=out)
    parser.option(
        "out",
        metavar="NAME",
        help=f"drawn picture (.jpg if without ending), or folder (made for several; default {out})",
    )
    parser.option("names", metavar="FILE", help="class names, one per line")
    parser.option(
        "memory",
        choices=("fast", "lean"),
        help="what the plan spends it on (default: lean for one picture, which is found sooner as less is "
        "packed; fast for more)",
    )
    parser.flag("json", help="print one JSON document and nothing else")
    parser.option("csv", metavar="FILE", help="also write a line per object to this file")


def run_detect(options: argparse.Namespace) -> int:
    """Gives 1 if any picture failed."""
    return detect(options, options.names)


def detect(options: argparse.Namespace, names: Sequence[str] | str | None) -> int:
    """Goes through the pictures; one that fails is reported and does not stop the rest."""
    from ..data import write_whole
    from ..errors import ImageError

    asking = not options.images and not options.list
    # Paths that are typed in are answered one by one; others are counted first, to know what -out means.
    paths: Iterable[str] = image_paths(options) if asking else list(image_paths(options))
    many = not asking and several(options, list(paths))
    place = _Places(options.out, options.usual_out, many, [] if asking else paths)
    documents: list[dict[str, Any]] = []
    rows: list[tuple[Any, ...]] = []
    failed = 0
    usual = "fast" if many or asking else "lean"
    with load_network(options, names, memory=options.memory or usual) as net:
        for path in paths:
            try:
                found = net.detect(
                    path,
                    options.thresh,
                    options.hier,
                    options.nms,
                    fit_of(options),
                    hier_rule=options.hier_rule,
                )
            except ImageError as error:
                failed += 1
                documents.append({"image": path, "error": str(error)})
                print(f"darknet_py: {error}", file=sys.stderr)
                continue
            rows += [
                (path, one.label, one.class_id, f"{one.confidence:.6f}", *_corners(one.xyxy)) for one in found
            ]
            if not options.json:
                print(f"{path}: Predicted in {found.seconds['predict']:f} seconds.")
                for one in found:
                    print(f"{one.label}: {100 * one.confidence:.0f}%")
                sys.stdout.flush()
            drawn = _draw(found, place, path)  # what was found is out, whatever happens to the picture
            failed += drawn is None
            if options.json:
                documents.append(_document(path, found, drawn))
    if options.csv:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(rows)
        write_whole(options.csv, text.getvalue())
    if options.json:
        print(json_text(documents, indent=1))
    elif place.last and not options.quiet:
        print(f"drawn: {place.folder if many else place.last}", file=sys.stderr)
    return 1 if failed else 0


def _draw(found: Detections, place: _Places, path: str) -> Path | None:
    """Writes the drawn picture; None, with a message, if that can't be done."""
    from ..errors import DarknetError

    try:
        target = place.of(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        found.save(target)
    except (OSError, DarknetError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.strerror:
            reason = f"{error.filename}: {error.strerror}"
        print(f"darknet_py: {path}: not drawn: {reason}", file=sys.stderr)
        return None
    place.last = target
    return target


def _corners(box: tuple[float, ...]) -> list[str]:
    return [f"{value:.2f}" for value in box]


def _document(path: str, found: Detections, drawn: Path | None) -> dict[str, Any]:
    width, height = found.image_size
    return {
        "image": path,
        "width": width,
        "height": height,
        "seconds": round(found.seconds["predict"], 6),
        "drawn": None if drawn is None else str(drawn),
        "detections": found.to_dict(),
    }


class _Places:
    """Where drawn pictures go: NAME.jpg for one, NAME/PICTURE.jpg for several or if NAME is a folder; never
    onto an input."""

    def __init__(self, out: str | None, usual: str, many: bool, inputs: Iterable[str]) -> None:
        self._out = Path(out or usual)
        # Without -out, a folder left by an earlier call doesn't change where one picture goes.
        self.folder = self._out if many or (out and self._out.is_dir()) else None
        self.last: Path | None = None
        self._used = {Path(path).resolve() for path in inputs}

    def of(self, image: str) -> Path:
        """The place for a picture; a name that was used already, or is an input's, gets a number."""
        first = (
            self._with_ending(self._out) if self.folder is None else self.folder / f"{Path(image).stem}.jpg"
        )
        place, number = first, 1
        while place.resolve() in self._used or place.resolve() == Path(image).resolve():
            number += 1
            place = first.with_stem(f"{first.stem}_{number}")
        if self.folder is not None:
            self._used.add(place.resolve())
        return place

    def _with_ending(self, path: Path) -> Path:
        from ..images import format_of

        return path if path.suffix and format_of(path) else path.with_name(path.name + ".jpg")

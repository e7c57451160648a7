"""The detections of a whole image list as result files: what `detector valid` does (compat 16.1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .data import DataFile, PathLike
from .errors import DataError, ImageError
from .evaluation import class_map_of, head_classes
from .logs import logger
from .result_files import FORMATS, ResultFiles
from .results import Detections
from .session import Rules
from .sweep import detect_each

if TYPE_CHECKING:
    from .network import Network

__all__ = ["Validation", "validate_detector", "validation_settings"]

THRESH = 0.005


@dataclass(frozen=True)
class Validation:
    """What was written. seconds: for all images."""

    files: Sequence[str]
    images: int
    detections: int
    seconds: float
    unreadable: tuple[str, ...] = ()


def validate_detector(
    net: Network,
    images: Sequence[str],
    folder: PathLike,
    *,
    eval: str = "voc",
    out: str | None = None,
    names: Sequence[str] | None = None,
    class_map: Sequence[int] | None = None,
    thresh: float = THRESH,
    nms: float = 0.45,
    preprocess: str | None = None,
    mirrored: bool = False,
    one_based: bool = True,
    on_image: Callable[[int], None] | None = None,
    on_found: Callable[[int, Detections], None] | None = None,
    quiet: bool = True,
) -> Validation:
    """Runs a detector over images and writes what it finds into a folder, whole or not at all.

    eval: the format, "voc", "coco", "imagenet", "bdd" or "kitti". out: the name (VOC: its beginning) of the
    files instead of the format's own. names: of the classes, by default the network's. class_map: the node of
    the head's word tree for each class. thresh, nms, preprocess: as for Network.detect. mirrored: detect on
    the mean of each picture and its mirror image. one_based: VOC files count pixels from 1. on_image: called
    with the index of each image before it; on_found: with the index, and what was found, after it. Unreadable
    images are left out and listed.
    """
    if eval not in FORMATS:
        raise DataError(f"expected eval {', '.join(FORMATS)}, found {eval!r}")
    classes = head_classes(net) if class_map is None else len(class_map)
    known = list(names if names is not None else net.names or ())
    known = [known[k] if k < len(known) else f"class {k}" for k in range(classes)]
    form = FORMATS[eval](known, out, one_based)
    rules = Rules(thresh, nms=nms, preprocess=preprocess, mirrored=mirrored, class_map=class_map)
    started, count, unreadable = time.perf_counter(), 0, []
    with ResultFiles(Path(folder)) as files:
        for name, text in form.begin():
            files.write(name, text)
        files.flush()  # what cannot be written is better known before anything that takes long
        for index, found in detect_each(net, images, rules, quiet=quiet):
            if on_image:
                on_image(index)
            if isinstance(found, ImageError):
                unreadable.append(str(found))
                continue
            detections = found.detections(thresh)
            count += len(detections)
            if on_found:
                on_found(index, detections)
            for name, text in form.picture(index, images[index], detections):
                files.write(name, text)
        for name, text in form.end():
            files.write(name, text)
        if len(unreadable) == len(images):
            raise DataError(f"none of the {len(images)} images can be read; the last one: {unreadable[-1]}")
    if form.repeated():
        logger.warning("%d images share their name or number with another in the results", form.repeated())
    seconds = time.perf_counter() - started
    return Validation(files.paths, len(images) - len(unreadable), count, seconds, tuple(unreadable))


def validation_settings(net: Network, info: DataFile) -> dict[str, Any]:
    """The arguments of validate_detector that a .data file gives: folder, eval, names, class_map."""
    names = info.names
    class_map = class_map_of(net, info)
    if class_map is not None and names is not None and len(names) > max(class_map):
        names = [names[node] for node in class_map]  # of the tree's nodes
    return {"folder": info.results, "eval": info.get("eval") or "voc", "names": names, "class_map": class_map}

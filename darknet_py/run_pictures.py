"""Pictures of a training run: what its first batch looks like, and charts of its figures."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .data import write_whole
from .drawing import class_colour, text_colour
from .errors import UnsupportedError
from .loaders import Batch
from .run_metrics import read_metrics

__all__ = ["batch_picture", "charts", "require_matplotlib"]

MOST_SHOWN = 16
TILE = 320  # pixels of the longer side
Box = tuple[int, float, float, float, float]  # class; left, top, right, bottom in parts of the picture


def batch_picture(batch: Batch, path: Path, names: Sequence[str], side: int = 0) -> None:
    """Writes the first pictures of a batch as the network gets them, with their boxes or classes: a wrong
    label path shows here first. side: cells per row, if the truth is a grid of cells (YOLOv1)."""
    from PIL import Image

    count, _, height, width = batch.x.shape
    shown = min(count, MOST_SHOWN)
    scale = min(1.0, TILE / max(width, height))
    tile = max(1, round(width * scale)), max(1, round(height * scale))
    columns = math.ceil(math.sqrt(shown))
    sheet = Image.new("RGB", (columns * tile[0], math.ceil(shown / columns) * tile[1]))
    for i in range(shown):
        pixels = (np.clip(np.nan_to_num(batch.x[i]), 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
        colours = pixels if pixels.shape[2] == 3 else np.repeat(pixels[:, :, :1], 3, 2)
        picture = Image.fromarray(np.ascontiguousarray(colours)).resize(tile)
        _draw(picture, _boxes(batch.truth[i], side), names)
        sheet.paste(picture, (i % columns * tile[0], i // columns * tile[1]))
    content = io.BytesIO()
    sheet.save(content, "JPEG", quality=90)
    write_whole(path, content.getvalue())


def _boxes(truth: npt.NDArray[np.float32], side: int) -> list[Box]:
    """The boxes of one picture's truth; of a picture that only has a class, the whole picture."""
    if truth.ndim == 1:
        return [(int(k), 0.0, 0.0, 1.0, 1.0) for k in np.flatnonzero(truth)]
    result: list[Box] = []
    for cell, row in enumerate(truth):
        if side:
            if row[0] == 0:
                continue
            kind, (x, y, w, h) = int(row[1:-4].argmax()), row[-4:].tolist()
            x, y = (x + cell % side) / side, (y + cell // side) / side
        else:
            x, y, w, h, number = row[:5].tolist()
            if x == 0:
                break
            kind = int(number)
        whole = w > 1 and h > 1  # 999999: where it is in the picture is not known
        box = (0.0, 0.0, 1.0, 1.0) if whole else (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        result.append((kind, *box))
    return result


def _draw(picture: object, boxes: Sequence[Box], names: Sequence[str]) -> None:
    from PIL import Image, ImageDraw

    assert isinstance(picture, Image.Image)
    canvas = ImageDraw.Draw(picture)
    width, height = picture.size
    for kind, left, top, right, bottom in boxes:
        colour = class_colour(kind, len(names) or kind + 1)
        corners = left * width, top * height, right * width - 1, bottom * height - 1
        if corners[0] <= corners[2] and corners[1] <= corners[3]:
            canvas.rectangle(corners, outline=colour, width=2)
        text = names[kind] if 0 <= kind < len(names) else str(kind)
        place = max(0.0, corners[0]), max(0.0, corners[1])
        canvas.rectangle(canvas.textbbox(place, text), fill=colour)
        canvas.text(place, text, fill=text_colour(colour))


def require_matplotlib() -> None:
    """Raises UnsupportedError without matplotlib."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise UnsupportedError(
            "charts need matplotlib: pip install 'darknet-models[plot]', or leave -plot out"
        ) from None


def charts(metrics: Path, path: Path) -> None:
    """Draws loss, running average, learning rate and scores of a NAME_metrics.jsonl. Raises UnsupportedError
    without matplotlib."""
    require_matplotlib()
    from matplotlib.figure import Figure  # figures of their own, without pyplot, need no display

    rows = read_metrics(metrics)
    updates = [row for row in rows if "loss" in row]
    scores = [row for row in rows if "score" in row]
    figure = Figure(figsize=(9, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    at = [row["iteration"] for row in updates]
    upper.plot(at, [row["loss"] for row in updates], color="0.75", linewidth=0.8, label="loss")
    upper.plot(at, [row["average"] for row in updates], color="tab:blue", label="running average")
    averages = [row["average"] for row in updates if math.isfinite(row["average"])]
    if averages:  # the first losses would leave nothing to see of the others
        upper.set_ylim(0, 1.5 * float(np.percentile(averages, 90)) or None)
    upper.set_ylabel("loss")
    if scores:
        right = upper.twinx()
        right.plot(
            [row["iteration"] for row in scores],
            [100 * row["score"] for row in scores],
            "o-",
            color="tab:red",
            markersize=3,
        )
        right.set_ylabel(f"{scores[0]['name']} in %, red")
        right.set_ylim(0, 100)
    upper.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)  # scores are inside
    lower.plot(at, [row["rate"] for row in updates], color="tab:green")
    lower.set_ylabel("learning rate")
    lower.set_xlabel("update")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_whole(path, content.getvalue())

"""Opening pictures: unreadable and unusual ones, and those that the training and validation lists share.

Equal files are told by the hash of their bytes, near duplicates by a difference hash of 8x8 greys (dHash:
each bit says which of two neighbours is brighter) and, where few bits differ, by the correlation of 32x32
greys.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import images
from ..loaders import ahead
from ..progress import Bar
from .catalogue import Catalogue, Listed
from .findings import MOST_LISTED, Several

NEAR_BITS = 4  # of 64 that may differ
NEAR_CORRELATION = 0.95  # of 32x32 greys, from which on pictures are near duplicates
LEAST_SIDE = 64  # pixels: smaller pictures have too little detail for such a hash
LEAST_CONTRAST = 2.0  # standard deviation of the hash's greys: below, its bits are noise
MOST_COMPARED = 1000  # pairs whose correlation is computed
WORKERS = 2

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Look:
    """What opening a picture showed. problem: why it cannot be read. unusual: codes. digest: of its bytes.
    hash: of what it looks like; None if that says nothing."""

    listed: Listed
    problem: str = ""
    unusual: tuple[tuple[str, str], ...] = ()
    digest: bytes = b""
    hash: int | None = None


_UNUSUAL = {
    "picture-16bit": (
        "note",
        "a picture of 16 bits",
        "reduced to 8 bits; others may clip it",
    ),
    "picture-cmyk": (
        "note",
        "a CMYK picture",
        "converted to RGB; others may invert it",
    ),
    "picture-exif": (
        "warning",
        "a picture that EXIF turns",
        "turned upright here, and boxes must be those of the upright picture; other engines do not turn it",
    ),
}


def look(listed: Listed) -> Look:
    """Opens a picture; small sizes of a JPEG are enough, but all of its bytes are decoded."""
    from PIL import Image, UnidentifiedImageError

    try:
        raw = Path(listed.path).read_bytes()
        with Image.open(BytesIO(raw)) as picture:
            unusual = tuple(_unusual(picture))
            side = min(picture.size)
            picture.draft("L", (32, 32))
            picture.load()
            hash_ = difference_hash(_upright(picture)) if side >= LEAST_SIDE else None
    except UnidentifiedImageError:
        return Look(listed, "no picture in a known format")
    except Exception as error:  # Pillow's decoders fail in their own ways
        return Look(listed, str(error) or type(error).__name__)
    return Look(listed, "", unusual, hashlib.blake2b(raw, digest_size=8).digest(), hash_)


def _unusual(picture: Any) -> Iterable[tuple[str, str]]:
    # Before it is loaded: its tiles say how many bits there were, and Pillow reduces some to 8.
    packed = " ".join(str(tile[3]) for tile in picture.tile if len(tile) > 3)
    if picture.mode.startswith(("I", "F")) or ";16" in packed:
        yield "picture-16bit", f"{picture.mode} {packed}".strip()
    if picture.mode in ("CMYK", "YCCK"):
        yield "picture-cmyk", picture.mode
    turned = type(picture).getexif(picture).get(images.ORIENTATION, 1)
    if turned in range(2, 9):
        yield "picture-exif", f"EXIF orientation {turned}"


def _upright(picture: Any) -> Any:
    """The upright picture in greys of 8 bits."""
    from PIL import Image, ImageOps

    if picture.mode.startswith(("I", "F")):
        wide = np.asarray(picture).astype(np.float64)
        wide = wide * (255 / max(float(wide.max(initial=0)), 1e-9))
        picture = Image.fromarray(wide.clip(0, 255).astype(np.uint8))
    with suppress(Exception):  # damaged EXIF data, as in images.read
        picture = ImageOps.exif_transpose(picture)
    return picture.convert("L")


def difference_hash(grey: Any) -> int | None:
    """The dHash of a grey PIL image: 64 bits, or None where there is no contrast."""
    from PIL import Image

    small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX)).astype(int)
    if small.std() < LEAST_CONTRAST:
        return None
    bits = np.packbits(small[:, 1:] > small[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def check_pictures(
    catalogue: Catalogue, several: Several, most: int, most_bad: float, *, quiet: bool = True
) -> tuple[int, int]:
    """Opens at most so many pictures, evenly spread, a third of them or less for validation; tells what is
    wrong with them, and what training and validation share. Gives how many were opened, and how many there
    are."""
    valid = min(catalogue.count("valid"), most // 3)
    train = min(catalogue.count("train"), most - valid)
    overlap = _Overlap(catalogue)
    total, opened, bad = valid + train, 0, 0
    with Bar("opening pictures", total, quiet=quiet) as bar:
        for split, count in (("train", train), ("valid", valid)):
            numbers, pictures = catalogue.spread(split, count)
            for number, found in zip(numbers, ahead(look, pictures, WORKERS), strict=True):
                opened += 1
                bad += bool(found.problem)
                _tell(found, several)
                overlap.add(split, number, found)
                bar.update(opened)
    if bad > most_bad * opened:
        several.as_severity("picture-unreadable", "error")
    overlap.tell(several)
    return opened, catalogue.count("train") + catalogue.count("valid")


def _tell(found: Look, several: Several) -> None:
    if found.problem:
        message = f"{found.listed.path} cannot be read: {found.problem}"
        hint = "training leaves it out; replace it"
        several.add(found.listed.place, "warning", "picture-unreadable", message, hint)
    for code, what in found.unusual:
        severity, kind, hint = _UNUSUAL[code]
        message = f"{found.listed.path} is {kind} ({what})"
        several.add(found.listed.place, severity, code, message, hint)


# ---- what training and validation share -------------------------------------------------------------------


def check_lists(catalogue: Catalogue, several: Several) -> None:
    """Files that a list has twice, and those that both lists have."""
    for split in ("train", "valid"):
        count, pairs = catalogue.twice(split, MOST_LISTED)
        for first, again in pairs:
            message = f"the same picture as {_of(first, again)}"
            several.add(again.place, "warning", f"{split}-twice", message, "delete the line")
        _rest(several, f"{split}-twice", count, pairs)
    count, pairs = catalogue.shared("valid", "train", MOST_LISTED)
    for one, other in pairs:
        message = f"{one.path} is a picture of the training list, too ({other})"
        several.add(one.place, "warning", "overlap-file", message, _OVERLAP)
    _rest(several, "overlap-file", count, pairs)


_OVERLAP = "validation then measures what was learned by heart; take it out of one of the lists"


def _of(first: Listed, again: Listed) -> str:
    return f"line {first.line}" if first.file == again.file and first.line else str(first)


def _rest(several: Several, code: str, count: int, told: list[Any]) -> None:
    if count > len(told) > 0:
        several.more(code, count - len(told))


class _Values:
    """A value for some pictures of a split, by number."""

    def __init__(self) -> None:
        self._numbers, self._values = array("Q"), array("Q")

    def add(self, number: int, value: int) -> None:
        """Of one picture; numbers rise."""
        self._numbers.append(number)
        self._values.append(value)

    @property
    def values(self) -> Hashes:
        """All of them."""
        return np.array(self._values, np.uint64)

    def number(self, index: int) -> int:
        """The picture's that has the value with this index."""
        return self._numbers[index]


class _Overlap:
    """Compares opened pictures of the validation list with those of the training list; 16 bytes are kept of
    each for its bytes, and 16 for its look."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._digests = {"train": _Values(), "valid": _Values()}
        self._hashes = {"train": _Values(), "valid": _Values()}

    def add(self, split: str, number: int, found: Look) -> None:
        """One more picture."""
        if found.problem:
            return
        self._digests[split].add(number, int.from_bytes(found.digest, "big"))
        if found.hash is not None:
            self._hashes[split].add(number, found.hash)

    def tell(self, several: Several) -> None:
        """Equal bytes, and near duplicates."""
        told = set()
        for i, j, _ in near_pairs(self._digests["valid"].values, self._digests["train"].values, 0):
            told.add(number := self._digests["valid"].number(i))
            one = self._catalogue.at("valid", number)
            other = self._catalogue.at("train", self._digests["train"].number(j))
            if not Path(one.path).samefile(other.path):
                message = f"{one.path} has the same bytes as {other.path} of the training list"
                several.add(one.place, "warning", "overlap-bytes", message, _OVERLAP)
        pairs = near_pairs(self._hashes["valid"].values, self._hashes["train"].values, NEAR_BITS)
        looking = ((i, j, bits) for i, j, bits in pairs if self._hashes["valid"].number(i) not in told)
        for i, j, bits in islice(looking, MOST_COMPARED):
            one = self._catalogue.at("valid", self._hashes["valid"].number(i))
            other = self._catalogue.at("train", self._hashes["train"].number(j))
            likeness = correlation(one.path, other.path)
            if likeness >= NEAR_CORRELATION:
                message = (
                    f"{one.path} looks like {other.path} of the training list: {bits} of 64 bits of their "
                    f"hashes differ ({NEAR_BITS} or less are near), correlation {likeness:.3f}"
                )
                several.add(one.place, "warning", "overlap-near", message, _OVERLAP)


def near_pairs(hashes: Hashes, others: Hashes, most: int) -> Iterator[tuple[int, int, int]]:
    """For every hash the nearest of the others, the first of several, if at most so many bits differ: both
    indices, and the bits.

    Of most + 1 parts that hashes are cut into, two that near have one in common, so only those are compared.
    """
    nearest = np.full(len(hashes), most + 1), np.zeros(len(hashes), np.int64)
    edges = np.linspace(0, 64, most + 2).astype(int)
    for low, high in pairwise(edges.tolist()):
        mask, shift = np.uint64((1 << (high - low)) - 1), np.uint64(low)
        mine, theirs = (hashes >> shift) & mask, (others >> shift) & mask
        order = np.argsort(theirs, kind="stable")
        first, last = (np.searchsorted(theirs[order], mine, side) for side in ("left", "right"))
        for i in np.flatnonzero(first < last).tolist():
            same = order[first[i] : last[i]]
            bits = _ones(others[same] ^ hashes[i])
            k = int(bits.argmin())
            if (bits[k], same[k]) < (nearest[0][i], nearest[1][i]):
                nearest[0][i], nearest[1][i] = bits[k], same[k]
    for i in np.flatnonzero(nearest[0] <= most).tolist():
        yield i, int(nearest[1][i]), int(nearest[0][i])


def _ones(values: Hashes) -> npt.NDArray[np.uint8]:
    """How many bits of each are set (Hacker's Delight, 5-1)."""
    v = values - ((values >> np.uint64(1)) & np.uint64(0x5555555555555555))
    v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
    v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    ones: npt.NDArray[np.uint8] = ((v * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)
    return ones


def correlation(one: str, other: str) -> float:
    """Of the greys of two picture files at 32x32; 0 if one cannot be read."""
    from PIL import Image

    rows = []
    for path in (one, other):
        try:
            with Image.open(path) as picture:
                picture.draft("L", (64, 64))
                small = _upright(picture).resize((32, 32), Image.Resampling.BOX)
        except Exception:  # it was readable a moment ago
            return 0.0
        values = np.asarray(small).astype(np.float64)
        values = values - values.mean()
        rows.append(values / max(float(np.sqrt((values**2).sum())), 1e-9))
    return float((rows[0] * rows[1]).sum())

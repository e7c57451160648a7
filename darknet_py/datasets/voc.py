"""Pascal VOC: Annotations/NAME.xml, JPEGImages/, ImageSets/Main/train.txt and so on.

Pixels of a VOC file count from 1, in both corners, as in Darknet's own script and result files: left is
xmin - 1, right is xmax - 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape

from ..data import IMAGE_SUFFIXES, stream_list
from ..errors import DataError, DataNotFoundError
from ..names import VOC_NAMES, read_names
from .labels import count_losses
from .output import IMAGE_MODES, Stems, check_mode, finish, put_image, whole_folder
from .records import (
    SPLIT_FOLDERS,
    SPLIT_NAMES,
    Annotation,
    Dataset,
    PathLike,
    Picture,
    Pictures,
    Report,
    check_names,
    from_pixels,
    require,
    sized,
    stated_size_fits,
    to_pixels,
)

IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "")
MOST_DEPTH = 32


class Node:
    """An element of an XML file: tag, line, text, and the elements inside."""

    def __init__(self, tag: str, line: int) -> None:
        self.tag, self.line, self.text = tag, line, ""
        self.inside: list[Node] = []

    def all(self, tag: str) -> list[Node]:
        """The elements directly inside that have this tag."""
        return [one for one in self.inside if one.tag == tag]

    def get(self, tag: str) -> str:
        """The text of the first element inside with this tag; "" if there is none."""
        return next((one.text.strip() for one in self.inside if one.tag == tag), "")

    def number(self, tag: str) -> float:
        """The same as a number. Raises ValueError."""
        text = self.get(tag)
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{self.tag}: {tag}: expected a number, found {text!r}") from None


def parse(path: PathLike) -> Node:
    """The root of an XML file. Raises DataError with file:line; entities are refused, none are needed."""
    stack = [Node("", 0)]
    parser = expat.ParserCreate()

    def start(tag: str, _: dict[str, str]) -> None:
        if len(stack) > MOST_DEPTH:
            raise DataError(f"{os.fspath(path)}:{parser.CurrentLineNumber}: nested too deep")
        node = Node(tag, parser.CurrentLineNumber)
        stack[-1].inside.append(node)
        stack.append(node)

    def end(_: str) -> None:
        stack.pop()

    def text(content: str) -> None:
        stack[-1].text += content

    def doctype(*_: object) -> None:
        raise DataError(f"{os.fspath(path)}:{parser.CurrentLineNumber}: a document type is not expected")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, doctype
    try:
        parser.Parse(Path(path).read_bytes(), True)
    except expat.ExpatError as error:
        reason = expat.errors.messages[error.code]
        raise DataError(f"{os.fspath(path)}:{error.lineno}: no XML: {reason}") from None
    except (OSError, ValueError, LookupError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{os.fspath(path)}: cannot read: {error}") from None
    return stack[0].inside[0]


# ---- reading ---------------------------------------------------------------------------------------------


def read_voc(
    source: PathLike,
    *,
    names: Sequence[str] | None = None,
    images: PathLike | None = None,
    verify: str = "full",
    most_bad: float = 0.1,
) -> Dataset:
    """The data set of a folder with Annotations/ (or annotations/), or of such a folder alone.

    Splits are those of ImageSets/Main, else all is train. names: by default those of the only .names file in
    the folder, else all that occur, sorted; VOC's own in Darknet's order. images: the folder of the pictures.
    verify, most_bad: as in read_darknet. Raises DataError.
    """
    report, root = Report(most_bad), Path(source)
    notes = voc_annotations(root)
    if notes is None:
        raise DataNotFoundError(f"{root}: no Annotations/NAME.xml here")
    root = notes.parent
    sets = {}
    for path in sorted((root / "ImageSets" / "Main").glob("*.txt")):
        if path.stem in SPLIT_NAMES:
            sets[SPLIT_NAMES[path.stem]] = path
    given = names if names is not None else _stored_names(root) or _occurring(notes)
    known = check_names(given, root)
    reader = _Reader(notes, known, Path(images) if images else None, verify, report)
    splits = {split: reader.split(path) for split, path in sets.items()} or {"train": reader.split(None)}
    return Dataset(known, "detection", splits, report)


def voc_annotations(root: Path) -> Path | None:
    """The folder of .xml files of a VOC set."""
    places = [root / "Annotations", root / "annotations", root]
    return next((one for one in places if one.is_dir() and any(one.glob("*.xml"))), None)


def _stored_names(root: Path) -> list[str] | None:
    found = list(root.glob("*.names"))
    return read_names(found[0]) if len(found) == 1 else None


def _occurring(notes: Path) -> list[str]:
    """All names in the files; those that cannot be read will be reported when they are converted."""
    found: set[str] = set()
    for path in notes.glob("*.xml"):
        try:
            found.update(one.get("name") for one in parse(path).all("object"))
        except DataError:
            continue
    found.discard("")
    return list(VOC_NAMES) if found == set(VOC_NAMES) else sorted(found)


class _Reader:
    def __init__(
        self, notes: Path, names: Sequence[str], images: Path | None, verify: str, report: Report
    ) -> None:
        self.notes, self.verify, self.report = notes, verify, report
        self.index = {name: i for i, name in enumerate(names)}
        root = notes.parent
        self.folders = [images] if images else [root / one for one in IMAGE_FOLDERS] + [notes]

    def split(self, listed: Path | None) -> Pictures:
        def pictures() -> Iterator[Picture]:
            if listed is None:
                for path in sorted(self.notes.glob("*.xml")):
                    yield from self.picture(path, str(path))
                return
            for number, entry in stream_list(listed):
                yield from self.picture(
                    self.notes / f"{Path(entry.split()[0]).name}.xml", f"{listed}:{number}"
                )

        return pictures

    def picture(self, path: Path, place: str) -> Iterator[Picture]:
        """The picture that an .xml file is about, unless it is to be skipped."""
        try:
            root = parse(path)
        except DataError as error:
            self.report.totals["pictures"] += 1
            self.report.problem("pictures", f"{place}: {error}" if place != str(path) else str(error))
            return
        image = self.find(path, root)
        size = sized(image, self.verify, self.report, str(path))
        if size is None:
            return
        for one in root.all("size"):
            try:
                stated = int(one.number("width")), int(one.number("height"))
            except ValueError:
                continue
            if min(stated) > 0 and not stated_size_fits(stated, size, self.report, f"{path}:{one.line}"):
                return
        found = []
        for node in root.all("object"):
            self.report.totals["annotations"] += 1
            try:
                found.append(self.annotation(node, size))
            except ValueError as error:
                self.report.problem("annotations", f"{path}:{node.line}: {error}")
        yield Picture(image, size, tuple(found))

    def find(self, path: Path, root: Node) -> str:
        """The picture of an .xml file: the one it names, else the one of its stem."""
        name = root.get("filename").replace("\\", "/").rpartition("/")[2]
        wanted = [name, *([name + s for s in IMAGE_SUFFIXES] if name and not Path(name).suffix else [])]
        wanted += [path.stem + suffix for suffix in IMAGE_SUFFIXES]
        for one in wanted:
            for folder in self.folders:
                if one and os.path.isfile(folder / one):  # noqa: PTH113
                    return str(folder / one)
        stated = root.get("path")
        if stated and os.path.isfile(stated):  # noqa: PTH113
            return stated
        return str(self.folders[0] / (name or path.stem))

    def annotation(self, node: Node, size: tuple[int, int]) -> Annotation:
        name = node.get("name")
        if name not in self.index:
            raise ValueError(f"the class {name!r} is none of the {len(self.index)} names")
        boxes = node.all("bndbox")
        if len(boxes) != 1:
            what = "a polygon without bndbox" if node.all("polygon") else f"{len(boxes)} boxes"
            raise ValueError(f"expected one bndbox, found {what}")
        corners = [boxes[0].number(side) - 1 for side in ("xmin", "ymin", "xmax", "ymax")]
        marks = {key: node.get(key) not in ("", "0") for key in ("difficult", "truncated")}
        if node.all("polygon"):
            self.report.lost["outlines (polygon)"] += 1
        return from_pixels(self.index[name], corners, size, **marks)


# ---- writing ---------------------------------------------------------------------------------------------


def write_voc(dataset: Dataset, folder: PathLike, *, images: str = "reference") -> Path:
    """Writes Annotations/, ImageSets/Main/ and a .names file into a new folder; returns the folder.

    images: "reference" writes where they are, "link" and "copy" put them into JPEGImages/. Raises DataError,
    and then leaves nothing behind.
    """
    check_mode(images, IMAGE_MODES, "VOC files")
    require(dataset, "detection", "VOC files")
    with whole_folder(folder) as (built, target):
        sets = built / "ImageSets" / "Main"
        for place in (
            built / "Annotations",
            sets,
            *([built / "JPEGImages"] if images != "reference" else []),
        ):
            place.mkdir(parents=True)
        stems = Stems()
        for split in dataset.splits:
            with (sets / f"{SPLIT_FOLDERS[split]}.txt").open("w", encoding="utf-8") as file:
                for picture in dataset.pictures(split):
                    if (stem := _write(picture, dataset, built, images, stems)) is not None:
                        file.write(f"{stem}\n")
        finish(dataset.report, built)
        (built / "classes.names").write_text("".join(f"{one}\n" for one in dataset.names), "utf-8")
    return target


def _write(picture: Picture, dataset: Dataset, built: Path, mode: str, stems: Stems) -> str | None:
    source = Path(picture.path)
    try:
        picture.path.encode("utf-8")
    except UnicodeEncodeError:
        dataset.report.problem("pictures", f"{picture.path!r}: XML cannot hold a name that is no UTF-8")
        return None
    # Lists of a set end at white space.
    stem, place = stems.claim(built / "Annotations", "_".join(source.stem.split()), ".xml")
    name = source.name
    if mode != "reference":
        name = f"{stem}{source.suffix}"
        put_image(picture.path, built / "JPEGImages" / name, mode)
    count_losses(picture, dataset.report, truncated=False)
    path = f"\n  <path>{escape(str(source.resolve()))}</path>" if mode == "reference" else ""
    width, height = picture.size
    objects = "".join(_object(one, dataset.names, picture.size) for one in picture.annotations)
    place.write_text(
        f"<annotation>\n  <folder>JPEGImages</folder>\n  <filename>{escape(name)}</filename>{path}\n"
        f"  <size>\n    <width>{width}</width>\n    <height>{height}</height>\n"
        f"    <depth>3</depth>\n  </size>\n"
        f"  <segmented>0</segmented>\n{objects}</annotation>\n",
        "utf-8",
    )
    return stem


def _object(one: Annotation, names: Sequence[str], size: tuple[int, int]) -> str:
    left, top, width, height = to_pixels(one, size)
    noise = 1.5e-6 * max(size)  # of labels with six digits
    sides = {"xmin": left + 1, "ymin": top + 1, "xmax": left + width + 1, "ymax": top + height + 1}
    box = "".join(f"      <{side}>{_pixels(value, noise)}</{side}>\n" for side, value in sides.items())
    return (
        f"  <object>\n    <name>{escape(names[one.class_id])}</name>\n    <pose>Unspecified</pose>\n"
        f"    <truncated>{int(one.truncated)}</truncated>\n"
        f"    <difficult>{int(one.difficult or one.crowd)}</difficult>\n"
        f"    <bndbox>\n{box}    </bndbox>\n  </object>\n"
    )


def _pixels(value: float, noise: float) -> str:
    """Whole pixels where they were whole: many readers know no others."""
    value = round(value) if abs(value - round(value)) <= noise else value
    return f"{value:.6f}".rstrip("0").rstrip(".")

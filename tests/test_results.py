"""Detections, drawing, pictures, boxes and word trees: everything that needs no network."""

from __future__ import annotations

import io
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import darknet_py as dn
from darknet_py import drawing
from darknet_py.names import Labels, find_beside, find_names, read_names
from darknet_py.results import Detections


def some_detections(pixels: np.ndarray | None = None, size: tuple[int, int] = (100, 60)) -> Detections:
    boxes = np.array([[50, 30, 50, 30], [100, 60, 50, 30]], np.float32)
    probabilities = np.array([[0.6, 0, 0.9], [0, 0.9, 0]], np.float32)
    return Detections.from_probabilities(
        boxes,
        np.array([0.95, 0.8], np.float32),
        probabilities,
        thresh=0.5,
        labels=Labels(["a", "b", "c"]),
        image_size=size,
        pixels=pixels,
    )


# ---- detections -------------------------------------------------------------------------------------


def test_detections_are_one_per_box_and_class_sorted_by_confidence_and_stable() -> None:
    dets = some_detections()
    assert dets.labels == ["c", "b", "a"]
    assert dets.class_id.dtype == np.int64 and dets.class_id.tolist() == [2, 1, 0]
    np.testing.assert_allclose(dets.confidence, [0.9, 0.9, 0.6])
    np.testing.assert_allclose(dets.objectness, [0.95, 0.8, 0.95])


def test_boxes_are_clipped_to_the_picture_in_every_format() -> None:
    dets = some_detections()
    np.testing.assert_allclose(dets.xyxy[:2], [[25, 15, 75, 45], [75, 45, 100, 60]])
    np.testing.assert_allclose(dets.xywh[1], [75, 45, 25, 15])
    np.testing.assert_allclose(dets.cxcywh[1], [87.5, 52.5, 25, 15])
    np.testing.assert_allclose(dets.xyxyn[1], [0.75, 0.75, 1, 1])
    for name in ("xyxy", "xywh", "cxcywh", "xyxyn"):
        assert getattr(dets, name).dtype == np.float32
        np.testing.assert_allclose([getattr(one, name) for one in dets], getattr(dets, name), rtol=1e-6)


def test_detections_index_slice_and_filter_like_a_sequence() -> None:
    dets = some_detections()
    assert len(dets) == 3 and [one.label for one in dets] == ["c", "b", "a"]
    assert dets[-1].label == "a" and dets[np.int64(0)].class_id == 2
    assert dets[dets.confidence > 0.7].labels == ["c", "b"]
    assert dets[1:].labels == ["b", "a"] and dets[[2, 0]].labels == ["a", "c"] and len(dets[[]]) == 0
    with pytest.raises(IndexError):
        dets[3]


def test_no_detection_has_empty_arrays_of_the_right_shape(picture: np.ndarray) -> None:
    none = some_detections(picture)[:0]
    assert none.xyxy.shape == none.xywh.shape == none.cxcywh.shape == none.xyxyn.shape == (0, 4)
    assert none.to_json() == "[]" and none.counts() == {} and none.crops() == []
    np.testing.assert_array_equal(np.asarray(none.plot()), picture)


def test_json_holds_class_label_confidence_and_both_boxes() -> None:
    first, second, _ = json.loads(some_detections().to_json())
    assert set(first) == {"class_id", "label", "confidence", "box", "relative_box"}
    assert second["box"] == {"x1": 75, "y1": 45, "x2": 100, "y2": 60}
    assert second["relative_box"] == {"x1": 0.75, "y1": 0.75, "x2": 1, "y2": 1}


def test_supervision_gets_the_same_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.SimpleNamespace(Detections=lambda **fields: fields)
    monkeypatch.setitem(sys.modules, "supervision", fake)
    dets = some_detections()
    fields = dets.to_supervision()
    np.testing.assert_array_equal(fields["xyxy"], dets.xyxy)
    assert fields["data"]["class_name"].tolist() == dets.labels


def test_crops_are_the_pixels_inside_each_box(picture: np.ndarray) -> None:
    crops = some_detections(picture).crops()
    np.testing.assert_array_equal(crops[0], picture[15:45, 25:75])
    np.testing.assert_array_equal(crops[1], picture[45:60, 75:100])


def test_a_missing_name_is_the_class_number_with_one_hint(caplog: pytest.LogCaptureFixture) -> None:
    labels = Labels(["a"])
    assert [labels[0], labels[3], labels[4]] == ["a", "class 3", "class 4"]
    assert len(caplog.records) == 1


def test_save_writes_the_drawn_picture_whole_or_not_at_all(picture: np.ndarray, tmp_path: Path) -> None:
    dets = some_detections(picture)
    dets.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as written:
        np.testing.assert_array_equal(np.asarray(written), np.asarray(dets.plot()))
    for wrong in (tmp_path / "out.unknown", tmp_path / "no folder" / "out.png"):
        with pytest.raises(dn.ImageError):
            dets.save(wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_plot_wants_a_picture_of_the_same_size(picture: np.ndarray) -> None:
    with pytest.raises(dn.ImageError, match="hold no picture"):
        some_detections().plot()
    with pytest.raises(dn.ImageError, match="expected a picture of 100 x 60, found 60 x 100"):
        some_detections().plot(picture.transpose(1, 0, 2))


@pytest.mark.parametrize("size", [(1, 1), (17, 9), (100, 60), (60, 1000), (3000, 2000)])
def test_labels_are_drawn_at_any_picture_size(size: tuple[int, int]) -> None:
    pixels = np.full((size[1], size[0], 3), 100, np.uint8)
    before = pixels.copy()
    drawn = some_detections(pixels, size).plot()
    assert drawn.size == size and drawn.mode == "RGB"
    np.testing.assert_array_equal(pixels, before)
    assert (np.asarray(drawn) != 100).any()


def test_labels_of_neighbours_do_not_cover_each_other() -> None:
    pixels = np.full((200, 200, 3), 100, np.uint8)
    boxes = np.array([[20, 60, 120, 160], [24, 62, 124, 158], [22, 58, 118, 162]], np.float32)
    dets = Detections(
        boxes,
        np.array([0.9, 0.8, 0.7]),
        np.array([0, 1, 2]),
        labels=Labels(["one", "two", "three"]),
        image_size=(200, 200),
        pixels=pixels,
    )
    drawn = np.asarray(dets.plot())
    bars = [(drawn == drawing.class_colour(k, 3)).all(2).sum() for k in range(3)]
    alone = [(np.asarray(dets[[k]].plot()) == drawing.class_colour(k, 3)).all(2).sum() for k in range(3)]
    assert all(together > 0.8 * single for together, single in zip(bars, alone, strict=True))


def test_class_colours_are_the_references() -> None:
    assert drawing.class_colour(0, 20) == (255, 0, 255)
    assert drawing.class_colour(0, 1) == (255, 0, 255)
    # class 1 of 20: offset 123457 mod 20 = 17, position 17/20*5 = 4.25, between (1,1,0) and (1,0,0)
    assert drawing.class_colour(1, 20) == (0, round(0.75 * 255), 255)
    assert drawing.text_colour((255, 255, 0)) == (0, 0, 0) and drawing.text_colour((0, 0, 255)) == (255,) * 3


# ---- names ------------------------------------------------------------------------------------------


def test_names_accept_crlf_a_mark_and_trailing_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "x.names").write_bytes("\ufeffkite\r\ntraffic light\r\n\r\n".encode())
    assert read_names(tmp_path / "x.names") == ["kite", "traffic light"]
    with pytest.raises(dn.DataError):
        read_names(tmp_path / "none.names")


def test_names_are_found_beside_the_files(tmp_path: Path) -> None:
    cfg, weights = tmp_path / "a" / "x.cfg", tmp_path / "b" / "y.weights"
    for path in (cfg, weights):
        path.parent.mkdir()
        path.touch()
    assert find_names(cfg, weights, 1) is None and find_names(None, None, 1) is None
    (tmp_path / "deep.list").write_text("from data\n")
    (tmp_path / "b" / "y.data").write_text("# names = nothing\nclasses=1\nnames = deep.list\n")
    assert find_names(cfg, weights, 1) == ["from data"]
    (tmp_path / "a" / "coco.names").write_text("only one\n")
    assert find_names(cfg, weights, 1) == ["only one"]
    (tmp_path / "a" / "voc.names").write_text("another\n")
    assert find_names(cfg, weights, 1) == ["from data"]
    (tmp_path / "b" / "y.names").write_text("same stem\n")
    assert find_names(cfg, weights, 1) == ["same stem"]


def test_files_are_looked_for_beside_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "coco.names").touch()
    inside = tmp_path / "cfg" / "deep"
    inside.mkdir(parents=True)
    assert find_beside("data/coco.names", inside / "coco.data") == tmp_path / "data" / "coco.names"
    assert find_beside("data/none.names", inside / "coco.data", None) is None


# ---- reading pictures -------------------------------------------------------------------------------


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_picture_may_be_a_path_bytes_pil_or_an_array(picture: np.ndarray, tmp_path: Path) -> None:
    expected = picture.transpose(2, 0, 1).astype(np.float32) / 255
    image = Image.fromarray(picture)
    path = tmp_path / "ein Bild ü.png"
    image.save(path)
    for given_as in (path, str(path), encoded(image), image, picture, picture.astype(np.float32) / 255):
        found = dn.images.load(given_as)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(dn.images.load(picture[:, :, ::-1], bgr=True), expected, atol=1e-6)


def test_grey_alpha_palette_and_16_bit_pictures_become_rgb(picture: np.ndarray) -> None:
    grey = picture[:, :, 0]
    for one in (grey, grey[:, :, None], Image.fromarray(grey)):
        np.testing.assert_array_equal(dn.images.read(one), np.repeat(grey[:, :, None], 3, 2))
    rgba = np.dstack([picture, grey])
    np.testing.assert_array_equal(dn.images.read(rgba), picture)
    np.testing.assert_array_equal(dn.images.read(encoded(Image.fromarray(rgba))), picture)
    assert dn.images.read(encoded(Image.fromarray(picture).quantize(16))).shape == (60, 100, 3)
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    np.testing.assert_allclose(dn.images.load(encoded(wide))[0], grey / 255, atol=1e-4)


def test_a_network_of_one_channel_sees_grey(picture: np.ndarray) -> None:
    found = dn.images.load(picture, channels=1)
    expected = (picture / 255) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(found, expected[None], atol=1e-6)
    with pytest.raises(dn.ImageError):
        dn.images.load(picture, channels=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_turned_upright(orientation: int, picture: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = dn.images.read(encoded(Image.fromarray(picture), exif=exif))
    flipped = picture[:, ::-1]
    expected = {
        1: picture,
        2: flipped,
        3: np.rot90(picture, 2),
        4: picture[::-1],
        5: np.rot90(flipped, 1),
        6: np.rot90(picture, -1),
        7: np.rot90(flipped, -1),
        8: np.rot90(picture, 1),
    }[orientation]
    np.testing.assert_array_equal(turned, expected)


def test_what_is_no_picture_is_an_image_error(picture: np.ndarray, tmp_path: Path) -> None:
    whole = encoded(Image.fromarray(picture))
    wrong = [
        b"",
        b"hello",
        whole[: len(whole) // 2],
        tmp_path,
        7,
        None,
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((0, 3, 3), np.uint8),
        np.zeros((2, 2), np.uint16),
        np.full((2, 2), 200.0),
        np.full((2, 2), np.nan),
    ]
    for one in wrong:
        with pytest.raises(dn.ImageError) as caught:
            dn.images.load(one)
        assert isinstance(caught.value, ValueError)
    with pytest.raises(FileNotFoundError):
        dn.images.load(tmp_path / "none.png")


def test_a_decompression_bomb_is_an_image_error(monkeypatch: pytest.MonkeyPatch, picture: np.ndarray) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(dn.ImageError):
        dn.images.load(encoded(Image.fromarray(picture)))


# ---- operations on planar arrays ----------------------------------------------------------------------


def close(found: np.ndarray, expected: np.ndarray, atol: float = 2e-6, rtol: float = 1e-5) -> None:
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=atol, rtol=rtol, equal_nan=True)


def test_image_operations_match_the_reference(golden) -> None:  # type: ignore[no-untyped-def]
    case = golden("ops_image")
    sources = [dn.images.load(case.folder / f"image{i}.png") for i in range(2)]
    calls = {
        "resize_image": lambda im, o: dn.images.resize(im, o["w"], o["h"]),
        "letterbox_image": lambda im, o: dn.images.letterbox(im, o["w"], o["h"]),
        "crop_image": lambda im, o: dn.images.crop(im, o["dx"], o["dy"], o["w"], o["h"]),
        "rotate_crop_image": lambda im, o: dn.images.rotate_crop(
            im, o["rad"], o["s"], o["w"], o["h"], o["dx"], o["dy"], o["aspect"]
        ),
        "flip_image": lambda im, o: dn.images.flip(im),
        "rgb_to_hsv": lambda im, o: dn.images.rgb_to_hsv(im),
        "hsv_to_rgb": lambda im, o: dn.images.hsv_to_rgb(dn.images.rgb_to_hsv(im)),
        "distort_image": lambda im, o: dn.images.distort(im, o["hue"], o["sat"], o["val"]),
        "place_image": lambda im, o: dn.images.place(
            im, o["w"], o["h"], o["dx"], o["dy"], np.full(o["canvas"], o["canvas_fill"], np.float32)
        ),
    }
    done = set()
    for operation in case.description["ops"]:
        if operation["op"] in calls:
            source = sources[operation["image"]]
            before = source.copy()
            found = calls[operation["op"]](source, operation)
            expected = case.arrays[operation["key"]]
            if operation["op"] == "rgb_to_hsv":  # the hue of grey is 0/0 in the reference and means nothing
                known = np.isfinite(expected)
                found, expected = np.where(known, found, 0).astype(np.float32), np.where(known, expected, 0)
            close(found, expected)
            np.testing.assert_array_equal(source, before)
            done.add(operation["op"])
    assert done == set(calls)


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-1, 4), (1 << 31, 4)])
def test_impossible_sizes_are_image_errors(size: tuple[int, int]) -> None:
    image = np.zeros((3, 5, 4), np.float32)
    for call in (
        lambda: dn.images.resize(image, *size),
        lambda: dn.images.letterbox(image, *size),
        lambda: dn.images.crop(image, 0, 0, *size),
        lambda: dn.images.rotate_crop(image, 0, 1, *size),
    ):
        with pytest.raises(dn.ImageError):
            call()


def test_operations_refuse_what_is_not_planar() -> None:
    for wrong in (np.zeros((4, 5)), np.zeros((3, 0, 4))):
        with pytest.raises(dn.ImageError, match="planar"):
            dn.images.resize(wrong, 3, 3)
    with pytest.raises(dn.ImageError):
        dn.images.distort(np.zeros((1, 4, 4), np.float32), 0, 1, 1)
    with pytest.raises(dn.ImageError, match="3 channels, found 1"):
        dn.images.place(np.zeros((3, 4, 4)), 4, 4, 0, 0, np.zeros((1, 9, 9)))


@given(st.integers(1, 40), st.integers(1, 40))
def test_identities_hold_at_any_size(w: int, h: int) -> None:
    image = np.random.default_rng(w * 41 + h).random((3, h, w), np.float32)
    np.testing.assert_array_equal(dn.images.flip(image), image[:, :, ::-1])
    np.testing.assert_array_equal(dn.images.crop(image, 0, 0, w, h), image)
    np.testing.assert_array_equal(dn.images.resize(image, w, h), image)
    np.testing.assert_array_equal(dn.images.letterbox(image, w, h), image)


# ---- boxes and trees ----------------------------------------------------------------------------------


def test_iou_matches_the_reference(golden) -> None:  # type: ignore[no-untyped-def]
    arrays = golden("ops_box_nms").arrays
    a, b = arrays["a"], arrays["b"]
    known = np.isfinite(arrays["box_iou"])  # two empty boxes are 0/0 in the reference
    close(dn.boxes.iou(a, b)[known], arrays["box_iou"][known])
    for kind in ("giou", "diou", "ciou"):
        close(dn.boxes.iou(a[60:], b[60:], kind), arrays[f"ax_box_{kind}"], atol=1e-5)
    assert isinstance(dn.boxes.iou(a[70], b[70]), float)
    assert dn.boxes.iou(a[:5, None], b[None, :7]).shape == (5, 7)
    with pytest.raises(ValueError, match="found"):
        dn.boxes.iou(a[:, :3], b)
    with pytest.raises(ValueError, match="kind"):
        dn.boxes.iou(a, b, "other")


@pytest.mark.parametrize("name", ["nms_sort", "nms_obj"])
def test_suppression_matches_the_reference(golden, name: str) -> None:  # type: ignore[no-untyped-def]
    case = golden("ops_box_nms")
    for k, run in enumerate(case.description["nms"]):
        boxes, objectness, probabilities = (
            case.arrays[f"nms{k}_{what}"] for what in ("bbox", "objectness", "prob")
        )
        kept = getattr(dn.boxes, name)(boxes, objectness, probabilities, run["thresh"])
        by_input = np.empty_like(kept.probabilities)
        by_input[kept.order] = kept.probabilities
        close(by_input, case.arrays[f"nms{k}_do_{name}_prob_by_input"])
        np.testing.assert_array_equal(kept.boxes, boxes[kept.order])


def test_suppression_of_nothing_is_nothing() -> None:
    kept = dn.boxes.nms_sort(np.empty((0, 4)), np.empty(0), np.empty((0, 3)))
    assert kept.probabilities.shape == (0, 3) and kept.order.shape == (0,)
    with pytest.raises(ValueError, match="expected boxes"):
        dn.boxes.nms_sort(np.zeros((2, 4)), np.zeros(3), np.zeros((2, 3)))


def test_letterbox_correction_matches_the_reference(golden) -> None:  # type: ignore[no-untyped-def]
    case = golden("ops_correct_boxes")
    for run in case.description["runs"]:
        sizes = (run["w"], run["h"], run["netw"], run["neth"], bool(run["relative"]))
        close(dn.boxes.correct(case.arrays["boxes"], *sizes), case.arrays[run["key"]], atol=1e-5)


def test_word_tree_matches_the_reference(golden) -> None:  # type: ignore[no-untyped-def]
    case = golden("ops_tree")
    tree, arrays = dn.WordTree(case.folder / "case.tree"), case.arrays
    assert len(tree) == len(tree.names) == 10
    for mine, theirs in {
        "parents": "parent",
        "children": "child",
        "groups": "group",
        "group_offsets": "group_offset",
        "group_sizes": "group_size",
        "leaves": "leaf",
    }.items():
        np.testing.assert_array_equal(getattr(tree, mine), arrays[f"tree_{theirs}"])
    given_values = arrays["predictions"]
    absolute = tree.absolute(given_values)
    close(absolute, arrays["hierarchy_predictions_leaves0_stride1"], atol=1e-7)
    # The reference's second call was made on the result of the first: the operation is not idempotent.
    close(tree.absolute(absolute, True), arrays["hierarchy_predictions_leaves1_stride1"], atol=1e-7)
    close(tree.probability(given_values), arrays["hierarchy_probability_stride1"], atol=1e-7)
    assert tree.probability(given_values[0], 4) == pytest.approx(
        arrays["hierarchy_probability_stride1"][0, 4]
    )
    # ... and so were these, all of them on what the two calls before had left.
    left = tree.absolute(absolute, True)
    for thresh in (0.05, 0.2, 0.4, 0.6, 0.9):
        np.testing.assert_array_equal(
            tree.top(left, thresh), arrays[f"top_prediction_raw_th{thresh}_stride1"]
        )
    assert tree.top(left[0]) == tree.top(left)[0]


def test_a_missing_or_empty_tree_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dn.WordTree(tmp_path / "none.tree")
    with pytest.raises(dn.DataError):
        dn.WordTree(tmp_path)

"""YOLOv4, YOLOv4-tiny, Scaled-YOLOv4 (CSP) and YOLOv7-tiny."""

from __future__ import annotations

from cfg_classifiers import published
from cfg_detectors import ANCHORS_3, ANY_SIZE, COCO, pyramid, tiny_v3_heads, yolo
from cfg_writer import DETECTOR, Cfg

YOLO4 = 'Bochkovskiy, Wang and Liao, "YOLOv4: Optimal Speed and Accuracy of Object Detection", 2020'
SCALED = 'Wang, Bochkovskiy and Liao, "Scaled-YOLOv4: Scaling Cross Stage Partial Network", 2021'
YOLO7 = 'Wang, Bochkovskiy and Liao, "YOLOv7: Trainable bag-of-freebies sets new state-of-the-art", 2023'
ANCHORS_4 = "12,16, 19,36, 40,28, 36,75, 76,55, 72,146, 142,110, 192,243, 459,401"
MASKS = ("0,1,2", "3,4,5", "6,7,8")
NET_4 = DETECTOR | {
    "width": 608,
    "height": 608,
    "momentum": 0.949,
    "learning_rate": 0.0013,
    "max_batches": 500500,
    "mosaic": 1,
}
SUPPRESS = {"nms_kind": "greedynms", "beta_nms": 0.6}


def mish(cfg: Cfg, *filters: int) -> int:
    return cfg.convs(*filters, activation="mish")


def csp_stage(cfg: Cfg, filters: int, blocks: int, width: int = 0, inner: int = 0) -> int:
    """A stage of CSPDarknet-53: half of the channels pass by the residual blocks."""
    width, inner = width or filters // 2, inner or filters // 2
    start = cfg.conv(filters, 3, 2, activation="mish")
    aside = mish(cfg, -width)
    cfg.route(start)
    last = mish(cfg, -width)
    for _ in range(blocks):
        mish(cfg, -inner, width)
        last = cfg.shortcut(last)
    mish(cfg, -width)
    cfg.route(cfg.count - 1, aside)
    return mish(cfg, -filters)


def csp_neck(cfg: Cfg, filters: int, *, pooled: bool = False) -> int:
    """Half of the channels pass by two pairs of convolutions; pooled: with the pyramid between them."""
    start = cfg.count - 1
    aside = mish(cfg, -filters)
    cfg.route(start)
    mish(cfg, -filters, filters)
    if pooled:
        mish(cfg, -filters)
        pyramid(cfg)
    mish(cfg, -filters, filters)
    cfg.route(cfg.count - 1, aside)
    return mish(cfg, -filters)


def upward(cfg: Cfg, filters: int, source: int, activation: str) -> None:
    """Doubles the map and joins it with an earlier one, both narrowed to filters."""
    cfg.convs(-filters, activation=activation)
    up = cfg.add("upsample", stride=2)
    cfg.route(source)
    cfg.convs(-filters, activation=activation)
    cfg.route(cfg.count - 1, up)


# ---- YOLOv4 -----------------------------------------------------------------------------------------------


def yolov4() -> Cfg:
    cfg = Cfg(
        "yolov4",
        "YOLOv4",
        YOLO4,
        f"""CSPDarknet-53 with mish, a spatial pyramid, and a path up and down again to heads at strides 8,
        16 and 32. {ANY_SIZE} is faster; the paper also has 416 and 512.""",
        COCO,
        published("yolov4.weights"),
        dict(NET_4),
    )
    mish(cfg, 32)
    ends = [csp_stage(cfg, 64, 1, 64, 32)]
    ends += [csp_stage(cfg, filters, n) for filters, n in ((128, 2), (256, 8), (512, 8), (1024, 4))]
    cfg.convs(-512, 1024, -512)
    pyramid(cfg)
    coarse = cfg.convs(-512, 1024, -512)
    upward(cfg, 256, ends[3], "leaky")
    middle = cfg.convs(-256, 512, -256, 512, -256)
    upward(cfg, 128, ends[2], "leaky")
    cfg.convs(-128, 256, -128, 256, -128)
    learning = {
        "iou_thresh": 0.213,
        "cls_normalizer": 1,
        "iou_normalizer": 0.07,
        "iou_loss": "ciou",
        **SUPPRESS,
        "max_delta": 5,
    }
    for mask, filters, scale, source in zip(
        MASKS, (256, 512, 1024), (1.2, 1.1, 1.05), (middle, coarse, -1), strict=True
    ):
        cfg.convs(filters)
        narrow = yolo(cfg, mask, ANCHORS_4, random=int(source < 0), scale_x_y=scale, **learning) - 1
        if source < 0:
            break
        cfg.route(narrow)
        down = cfg.conv(filters, 3, 2)
        cfg.route(down, source)
        cfg.convs(-filters, 2 * filters, -filters, 2 * filters, -filters)
    return cfg


def yolov4_tiny() -> Cfg:
    cfg = Cfg(
        "yolov4-tiny",
        "YOLOv4-tiny",
        SCALED,
        """Three stages in which half of the channels pass by two convolutions, and two heads. Their masks are
        those of the published file: no head learns the smallest anchor, both learn the fourth.""",
        COCO,
        published("yolov4-tiny.weights"),
        DETECTOR
        | {"subdivisions": 1, "learning_rate": 0.00261, "max_batches": 2000200}
        | {"steps": "1600000,1800000"},
    )
    cfg.conv(32, 3, 2)
    cfg.conv(64, 3, 2)
    fine = 0
    for filters in (64, 128, 256):
        start = cfg.conv(filters)
        cfg.route(start, groups=2, group_id=1)
        cfg.convs(filters // 2, filters // 2)
        cfg.route(cfg.count - 1, cfg.count - 2)
        fine = cfg.conv(filters, 1)
        cfg.route(start, fine)
        cfg.maxpool()
    cfg.conv(512)
    more = {"scale_x_y": 1.05, "cls_normalizer": 1, "iou_normalizer": 0.07, "iou_loss": "ciou"}
    tiny_v3_heads(cfg, fine, "1,2,3", random=0, resize=1.5, **more, **SUPPRESS)
    return cfg


# ---- Scaled-YOLOv4 ----------------------------------------------------------------------------------------

#: Of heads whose convolution ends in a logistic: boxes are (2v)^2 anchors wide.
NEW_COORDS = {
    "jitter": 0.1,
    "random": 0,
    "scale_x_y": 2,
    "resize": 1.5,
    "iou_thresh": 0.2,
    "iou_normalizer": 0.05,
    "cls_normalizer": 0.5,
    "iou_loss": "ciou",
    "nms_kind": "diounms",
    "beta_nms": 0.6,
    "new_coords": 1,
}


def yolov4_csp() -> Cfg:
    cfg = Cfg(
        "yolov4-csp",
        "YOLOv4-CSP",
        SCALED,
        """YOLOv4 whose first stage is plain and whose necks, too, let half of the channels pass; heads with
        logistic convolutions. The weights want letterboxed pictures.""",
        COCO,
        published("yolov4-csp.weights"),
        NET_4
        | {"width": 512, "height": 512, "learning_rate": 0.001}
        | {"letter_box": 1, "ema_alpha": 0.9998},
    )
    mish(cfg, 32)
    start = cfg.conv(64, 3, 2, activation="mish")
    mish(cfg, -32, 64)
    cfg.shortcut(start)
    ends = [csp_stage(cfg, filters, n) for filters, n in ((128, 2), (256, 8), (512, 8), (1024, 4))]
    coarse = csp_neck(cfg, 512, pooled=True)
    upward(cfg, 256, ends[2], "mish")
    middle = csp_stack(cfg, 256)
    upward(cfg, 128, ends[1], "mish")
    csp_stack(cfg, 128)
    objectness = ((0, 4, 5), (1, 1, 5), (1, 0.4, 2))
    for mask, filters, (smooth, normalizer, most), source in zip(
        MASKS, (256, 512, 1024), objectness, (middle, coarse, -1), strict=True
    ):
        cfg.conv(filters, activation="mish")
        more = NEW_COORDS | {"objectness_smooth": smooth, "obj_normalizer": normalizer, "max_delta": most}
        narrow = yolo(cfg, mask, ANCHORS_4, activation="logistic", **more) - 1
        if source < 0:
            break
        cfg.route(narrow)
        down = cfg.conv(filters, 3, 2, activation="mish")
        cfg.route(down, source)
        csp_stack(cfg, filters)
    return cfg


def csp_stack(cfg: Cfg, filters: int) -> int:
    """Narrows a joined map, then csp_neck."""
    mish(cfg, -filters)
    return csp_neck(cfg, filters)


# ---- YOLOv7-tiny ------------------------------------------------------------------------------------------


def elan(cfg: Cfg, filters: int, out: int) -> int:
    """The block of YOLOv7 (figure 2c of its paper): two 3x3 convolutions, joined with what they started
    from."""
    start = cfg.count - 1
    aside = cfg.convs(-filters)
    cfg.route(start)
    first = cfg.convs(-filters)
    cfg.convs(filters, filters)
    cfg.route(aside, first, first + 1, first + 2)
    return cfg.convs(-out)


def yolov7_tiny() -> Cfg:
    cfg = Cfg(
        "yolov7-tiny",
        "YOLOv7-tiny",
        YOLO7,
        "Blocks that join all of their steps, a spatial pyramid, a path up and down, three logistic heads.",
        COCO,
        published("yolov7-tiny.weights"),
        DETECTOR
        | {"subdivisions": 1, "learning_rate": 0.00261, "max_batches": 2000200}
        | {"steps": "1600000,1800000"},
    )
    cfg.conv(32, 3, 2)
    cfg.conv(64, 3, 2)
    elan(cfg, 32, 64)
    ends = []
    for filters in (64, 128, 256):
        cfg.maxpool()
        ends.append(elan(cfg, filters, 2 * filters))
    aside = cfg.convs(-256)
    cfg.route(ends[2])
    cfg.convs(-256)
    pyramid(cfg)
    cfg.convs(-256)
    cfg.route(aside, cfg.count - 1)
    coarse = cfg.convs(-256)
    upward(cfg, 128, ends[1], "leaky")
    middle = elan(cfg, 64, 128)
    upward(cfg, 64, ends[0], "leaky")
    outputs = [elan(cfg, 32, 64)]
    for filters, source in ((64, middle), (128, coarse)):
        down = cfg.conv(2 * filters, 3, 2)
        cfg.route(down, source)
        outputs.append(elan(cfg, filters, 2 * filters))
    more = NEW_COORDS | {"objectness_smooth": 1, "obj_normalizer": 1, "max_delta": 2}
    for mask, end, filters in zip(MASKS, outputs, (128, 256, 512), strict=True):
        cfg.route(end)
        cfg.convs(filters)
        yolo(cfg, mask, ANCHORS_3, activation="logistic", **more)
    return cfg


def models() -> list[Cfg]:
    return [yolov4(), yolov4_tiny(), yolov4_csp(), yolov7_tiny()]

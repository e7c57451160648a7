"""The detectors: YOLO versions 1 to 3, YOLO9000, and small ones with binary weights."""

from __future__ import annotations

from cfg_classifiers import (
    BINARY,
    XNOR,
    YOLO1,
    YOLO2,
    YOLO3,
    binary_text,
    darknet19_trunk,
    darknet53_trunk,
    extraction_trunk,
    published,
    tiny_trunk,
    unpublished,
    vgg_trunk,
)
from cfg_writer import DETECTOR, Cfg

VOC = "20 classes (Pascal VOC)"
COCO = "80 classes (COCO)"
ANY_SIZE = "Any input size that 32 divides: Network(cfg, weights, width=320, height=320)"

# ---- version 1 --------------------------------------------------------------------------------------------

#: 135 epochs of VOC 2007 and 2012, the rate raised from .001 to .01 at first (section 2.2).
YOLO1_NET = {
    "batch": 64,
    "subdivisions": 4,
    "width": 448,
    "height": 448,
    "channels": 3,
    "momentum": 0.9,
    "decay": 0.0005,
    "saturation": 1.5,
    "exposure": 1.5,
    "hue": 0.1,
    "learning_rate": 0.001,
    "policy": "steps",
    "steps": "200,400,600,20000,30000",
    "scales": "2.5,2,2,.1,.1",
    "max_batches": 40000,
}


def detection(cfg: Cfg, boxes: int) -> None:
    """The grid of 7 x 7 cells, each with 20 classes."""
    cfg.connected(7 * 7 * (20 + 5 * boxes))
    cfg.add(
        "detection",
        classes=20,
        coords=4,
        rescore=1,
        side=7,
        num=boxes,
        softmax=0,
        sqrt=1,
        jitter=0.2,
        object_scale=1,
        noobject_scale=0.5,
        class_scale=1,
        coord_scale=5,
    )


def yolov1() -> Cfg:
    cfg = Cfg(
        "yolov1",
        "YOLOv1",
        YOLO1,
        """The form of the published weights: a locally connected layer where the paper has a connected one,
        and three boxes per cell instead of two. Pictures are stretched, not letterboxed.""",
        VOC,
        published("yolov1.weights"),
        dict(YOLO1_NET),
    )
    extraction_trunk(cfg)
    cfg.conv(1024)
    cfg.conv(1024, 3, 2)
    cfg.convs(1024, 1024)
    cfg.add("local", size=3, stride=1, pad=1, filters=256, activation="leaky")
    cfg.dropout()
    detection(cfg, 3)
    return cfg


def yolov1_tiny() -> Cfg:
    cfg = Cfg(
        "yolov1-tiny",
        "Fast YOLO, the small YOLOv1",
        YOLO1,
        "The form of the published weights: eight convolutions and one connected layer.",
        VOC,
        published("tiny-yolov1.weights"),
        YOLO1_NET
        | {"subdivisions": 2, "saturation": 0.75, "exposure": 0.75, "learning_rate": 0.0005}
        | {"steps": "200,400,600,800,20000,30000", "scales": "2.5,2,2,2,.1,.1"},
    )
    tiny_trunk(cfg, 16, 32, 64, 128, 256, 512)
    cfg.convs(1024, 256)
    detection(cfg, 2)
    return cfg


def yolo_vgg16() -> Cfg:
    cfg = Cfg(
        "yolo-vgg16",
        "YOLOv1 on VGG-16",
        YOLO1,
        """More accurate and slower than YOLOv1 (table 1 of the paper, which gives no layers): the 13
        convolutions of VGG-16, then four more and two connected layers as in section 2.2. The convolutions
        of vgg-16.cfg, saved without its crop layer, can be its start.""",
        VOC,
        unpublished(),
        YOLO1_NET | {"subdivisions": 16},
    )
    vgg_trunk(cfg)
    cfg.conv(1024)
    cfg.conv(1024, 3, 2)
    cfg.convs(1024, 1024)
    cfg.connected(4096, "leaky")
    cfg.dropout()
    detection(cfg, 2)
    return cfg


# ---- version 2 --------------------------------------------------------------------------------------------

ANCHORS_VOC = "1.3221,1.73145, 3.19275,4.00944, 5.05587,8.09892, 9.47112,4.84053, 11.2364,10.0071"
ANCHORS_VOC_TINY = "1.08,1.19, 3.42,4.41, 6.63,11.38, 9.42,5.11, 16.62,10.52"
ANCHORS_COCO = "0.57273,0.677385, 1.87446,2.06253, 3.33843,5.47434, 7.88282,3.52778, 9.77052,9.16828"
VOC_NET = DETECTOR | {"max_batches": 80200, "steps": "40000,60000"}


def region(cfg: Cfg, classes: int, anchors: str, **more: object) -> None:
    """The convolution to the boxes, and the head."""
    boxes = anchors.count(",") // 2 + 1
    cfg.conv(boxes * (classes + 5), 1, activation="linear", normalize=False)
    options: dict[str, object] = {
        "anchors": anchors,
        "bias_match": 1,
        "classes": classes,
        "coords": 4,
        "num": boxes,
        "softmax": 1,
        "jitter": 0.3,
        "rescore": 1,
        "object_scale": 5,
        "noobject_scale": 1,
        "class_scale": 1,
        "coord_scale": 1,
        "absolute": 1,
        "thresh": 0.6,
        "random": 1,
    }
    cfg.add("region", **(options | more))


def yolov2(name: str, data: str, net: dict[str, object], classes: int, anchors: str, sizes: str) -> Cfg:
    cfg = Cfg(
        name,
        f"YOLOv2 for {data.split('(')[1].rstrip(')')}",
        YOLO2,
        f"""Darknet-19 without its last layer, three 3x3 convolutions, and the finer map of stride 16 brought
        in by [reorg] (section 2, "Fine-Grained Features"). {sizes}""",
        data,
        published(f"{name}.weights"),
        net,
    )
    fine = darknet19_trunk(cfg)
    coarse = cfg.convs(1024, 1024)
    cfg.route(fine)
    cfg.conv(64, 1)
    passed = cfg.add("reorg", stride=2)
    cfg.route(passed, coarse)
    cfg.conv(1024)
    region(cfg, classes, anchors)
    return cfg


def yolov2_tiny(name: str, data: str, net: dict[str, object], classes: int, last: int, anchors: str) -> Cfg:
    cfg = Cfg(
        name,
        f"Tiny YOLOv2 for {data.split('(')[1].rstrip(')')}",
        YOLO2,
        "Published beside YOLOv2: the layers of Darknet Reference and two more convolutions.",
        data,
        published(f"{name}.weights"),
        net,
    )
    tiny_trunk(cfg, 16, 32, 64, 128, 256, 512, last_stride=1)
    cfg.convs(1024, last)
    region(cfg, classes, anchors, jitter=0.2, rescore=int(classes == 20))
    return cfg


def yolo9000() -> Cfg:
    cfg = Cfg(
        "yolo9000",
        "YOLO9000",
        YOLO2,
        """Darknet-19 and a head of three boxes whose classes are the nodes of a word tree. It needs
        data/9k.tree, and data/coco9k.map for training, of the Darknet project: beside this file or in a
        folder above.""",
        "9418 classes (COCO and ImageNet)",
        published("yolo9000.weights"),
        DETECTOR | {"width": 544, "height": 544, "saturation": 0.75, "exposure": 0.75},
    )
    darknet19_trunk(cfg)
    anchors = "0.77871,1.14074, 3.00525,4.31277, 9.22725,9.61974"
    region(cfg, 9418, anchors, jitter=0.2, tree="data/9k.tree", map="data/coco9k.map")
    return cfg


# ---- version 3 --------------------------------------------------------------------------------------------

ANCHORS_3 = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
ANCHORS_3_TINY = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"


def yolo(cfg: Cfg, mask: str, anchors: str, *, activation: str = "linear", **more: object) -> int:
    """The convolution to the boxes of COCO's classes, and the head. Gives the layer before both."""
    before = cfg.count - 1
    cfg.conv((mask.count(",") + 1) * 85, 1, activation=activation, normalize=False)
    options: dict[str, object] = {
        "mask": mask,
        "anchors": anchors,
        "classes": 80,
        "num": anchors.count(",") // 2 + 1,
        "jitter": 0.3,
        "ignore_thresh": 0.7,
        "truth_thresh": 1,
        "random": 1,
    }
    cfg.add("yolo", **(options | more))
    return before


def yolov3(spp: bool) -> Cfg:
    name = "yolov3-spp" if spp else "yolov3"
    text = "Darknet-53 and three heads at strides 32, 16 and 8."
    if spp:
        text += (
            " Before the first head the map is pooled in windows of 5, 9 and 13 and joined (spatial pyramid)."
        )
    cfg = Cfg(
        name,
        "YOLOv3-SPP" if spp else "YOLOv3",
        YOLO3,
        f"{text} {ANY_SIZE} gives the paper's fastest; 416 and 608 are its others.",
        COCO,
        published(f"{name}.weights"),
        DETECTOR | {"subdivisions": 16, "width": 608, "height": 608},
    )
    fine, middle = darknet53_trunk(cfg)
    cfg.convs(-512, 1024, -512)
    if spp:
        pyramid(cfg)
        cfg.convs(-512, 1024, -512, 1024)
    else:
        cfg.convs(1024, -512, 1024)
    for mask, filters, source in (("6,7,8", 512, middle), ("3,4,5", 256, fine), ("0,1,2", 128, -1)):
        narrow = yolo(cfg, mask, ANCHORS_3) - 1
        if source < 0:
            break
        cfg.route(narrow)
        cfg.conv(filters // 2, 1)
        up = cfg.add("upsample", stride=2)
        cfg.route(up, source)
        cfg.convs(*[-filters // 2, filters] * 3)
    return cfg


def pyramid(cfg: Cfg) -> int:
    """Joins the map with its maxima over windows of 13, 9 and 5."""
    start, pooled = cfg.count - 1, []
    for size in (5, 9, 13):
        if pooled:
            cfg.route(start)
        pooled.append(cfg.maxpool(size, 1))
    return cfg.route(*reversed(pooled), start)


def tiny_v3_heads(cfg: Cfg, fine: int, second_mask: str, **more: object) -> None:
    """Two heads, at strides 32 and 16."""
    narrow = cfg.convs(-256)
    cfg.convs(512)
    yolo(cfg, "3,4,5", ANCHORS_3_TINY, **more)
    cfg.route(narrow)
    cfg.conv(128, 1)
    up = cfg.add("upsample", stride=2)
    cfg.route(up, fine)
    cfg.conv(256)
    yolo(cfg, second_mask, ANCHORS_3_TINY, **more)


def yolov3_tiny() -> Cfg:
    cfg = Cfg(
        "yolov3-tiny",
        "YOLOv3-tiny",
        YOLO3,
        "The small network published beside YOLOv3: seven convolutions with pooling, two heads.",
        COCO,
        published("yolov3-tiny.weights"),
        DETECTOR | {"subdivisions": 2},
    )
    tiny_trunk(cfg, 16, 32, 64, 128, 256, 512, last_stride=1)
    cfg.conv(1024)
    tiny_v3_heads(cfg, 8, "0,1,2")
    return cfg


# ---- binary versions --------------------------------------------------------------------------------------


def binary_tiny(kind: str) -> Cfg:
    key, title, _ = BINARY[kind]
    cfg = Cfg(
        f"yolov2-tiny-voc-{kind}",
        f"Tiny YOLOv2 for Pascal VOC as {title}",
        f"{XNOR}; {YOLO2}",
        binary_text(kind),
        VOC,
        unpublished("none are published; a file for yolov2-tiny-voc.cfg fits, too, to start from"),
        DETECTOR | {"max_batches": 40200, "steps": "20000,30000"},
    )
    tiny_trunk(cfg, 16, 32, 64, 128, 256, 512, last_stride=1, **{key: 1})
    cfg.conv(1024, **{key: 1})
    cfg.conv(1024, **{key: 1})
    region(cfg, 20, ANCHORS_VOC_TINY, jitter=0.2)
    return cfg


def models() -> list[Cfg]:
    # The rate of the small network's first 100 updates is a tenth, instead of burn_in.
    warm = {"max_batches": 40200, "steps": "-1,100,20000,30000", "scales": ".1,10,.1,.1"}
    tiny_voc = {key: value for key, value in (DETECTOR | warm).items() if key != "burn_in"}
    coco = DETECTOR | {"width": 608, "height": 608}
    other = f"{ANY_SIZE.replace('320', '544')} is the paper's most accurate on VOC 2007."
    return [
        yolov1(),
        yolov1_tiny(),
        yolo_vgg16(),
        yolov2("yolov2-voc", VOC, dict(VOC_NET), 20, ANCHORS_VOC, other),
        yolov2("yolov2", COCO, coco, 80, ANCHORS_COCO, "Any input size that 32 divides will do."),
        yolov2_tiny("yolov2-tiny-voc", VOC, tiny_voc, 20, 1024, ANCHORS_VOC_TINY),
        yolov2_tiny("yolov2-tiny", COCO, dict(DETECTOR), 80, 512, ANCHORS_COCO),
        yolo9000(),
        yolov3(spp=False),
        yolov3(spp=True),
        yolov3_tiny(),
        *(binary_tiny(kind) for kind in BINARY),
    ]

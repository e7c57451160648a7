"""The classifiers of the literature: AlexNet, VGG-16, the backbones of all YOLO versions, ResNets, and their
binary versions."""

from __future__ import annotations

from cfg_writer import CLASSIFIER, Cfg

IMAGENET = "1000 classes (ImageNet)"
YOLO1 = (
    'Redmon, Divvala, Girshick and Farhadi, "You Only Look Once: Unified, Real-Time Object Detection", 2016'
)
YOLO2 = 'Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", 2017'
YOLO3 = 'Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018'
RESNET = 'He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2016'
ALEXNET = (
    'Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", '
    "2012"
)
VGG = 'Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015'
XNOR = (
    'Rastegari, Ordonez, Redmon and Farhadi, "XNOR-Net: ImageNet Classification Using Binary Convolutional '
    'Neural Networks", 2016'
)
SITE = "pjreddie.com/darknet/imagenet"


def published(file: str) -> str:
    return f"Weights: the published {file} fits."


def unpublished(why: str = "none are published for this file") -> str:
    return f"Weights: {why}."


# ---- backbones, which the detectors share -----------------------------------------------------------------


def extraction_trunk(cfg: Cfg) -> None:
    """The first 20 convolutions of YOLOv1 (figure 3 of its paper)."""
    cfg.conv(64, 7, 2)
    cfg.maxpool()
    cfg.convs(192)
    cfg.maxpool()
    cfg.convs(-128, 256, -256, 512)
    cfg.maxpool()
    cfg.convs(*[-256, 512] * 4, -512, 1024)
    cfg.maxpool()
    cfg.convs(*[-512, 1024] * 2)


def darknet19_trunk(cfg: Cfg) -> int:
    """The first 18 convolutions of Darknet-19 (table 6 of YOLO9000). Gives the last layer of stride 16."""
    cfg.convs(32)
    cfg.maxpool()
    cfg.convs(64)
    cfg.maxpool()
    cfg.convs(128, -64, 128)
    cfg.maxpool()
    cfg.convs(256, -128, 256)
    cfg.maxpool()
    fine = cfg.convs(512, -256, 512, -256, 512)
    cfg.maxpool()
    cfg.convs(1024, -512, 1024, -512, 1024)
    return fine


def darknet53_trunk(cfg: Cfg) -> tuple[int, int]:
    """The first 52 convolutions of Darknet-53 (table 1 of YOLOv3). Gives the ends of strides 8 and 16."""
    cfg.conv(32)
    ends = []
    for filters, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        end = cfg.conv(filters, 3, 2)
        for _ in range(blocks):
            cfg.convs(-filters // 2, filters)
            end = cfg.shortcut(end)
        ends.append(end)
    return ends[2], ends[3]


def tiny_trunk(cfg: Cfg, *filters: int, last_stride: int = 2, **more: object) -> None:
    """3x3 convolutions, each followed by pooling; more: options of all but the first."""
    for i, n in enumerate(filters):
        cfg.conv(n, **(more if i else {}))
        cfg.maxpool(2, last_stride if i == len(filters) - 1 else 2)


def vgg_trunk(cfg: Cfg, normalize: bool = False) -> None:
    """The 13 convolutions of VGG-16 (configuration D)."""
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            cfg.conv(filters, activation="relu", normalize=normalize)
        cfg.maxpool()


# ---- classifiers ------------------------------------------------------------------------------------------


def alexnet() -> Cfg:
    net = CLASSIFIER | {"width": 227, "height": 227, "learning_rate": 0.01, "max_crop": 256}
    del net["burn_in"], net["min_crop"]
    cfg = Cfg(
        "alexnet",
        "AlexNet",
        ALEXNET,
        """In the form of the weights published with Darknet: one tower, so the convolutions have no groups,
        and no local response normalisation.""",
        IMAGENET,
        published("alexnet.weights"),
        net,
    )
    cfg.conv(96, 11, 4, pad=0, activation="relu", normalize=False)
    cfg.maxpool(3, 2, padding=0)
    cfg.conv(256, 5, activation="relu", normalize=False)
    cfg.maxpool(3, 2, padding=0)
    for filters in (384, 384, 256):
        cfg.conv(filters, activation="relu", normalize=False)
    cfg.maxpool(3, 2, padding=0)
    for _ in range(2):
        cfg.connected(4096, "relu")
        cfg.dropout()
    cfg.connected(1000)
    cfg.add("softmax", groups=1)
    return cfg


def vgg16() -> Cfg:
    cfg = Cfg(
        "vgg-16",
        "VGG-16",
        VGG,
        """Configuration D. The crop layer takes the central 224 x 224 and maps values to -1..1, which the
        published weights expect. Training settings of the paper, section 3.1.""",
        IMAGENET,
        published("vgg-16.weights"),
        {
            "batch": 256,
            "subdivisions": 16,
            "width": 256,
            "height": 256,
            "channels": 3,
            "momentum": 0.9,
            "decay": 0.0005,
            "learning_rate": 0.01,
            "policy": "steps",
            "steps": "100000,200000,300000",
            "scales": ".1,.1,.1",
            "max_batches": 370000,
        },
    )
    cfg.add("crop", crop_height=224, crop_width=224, flip=1, angle=0, saturation=1, exposure=1)
    vgg_trunk(cfg)
    for _ in range(2):
        cfg.connected(4096, "relu")
        cfg.dropout()
    cfg.connected(1000)
    cfg.add("softmax", groups=1)
    return cfg


def extraction() -> Cfg:
    net = CLASSIFIER | {"width": 224, "height": 224, "max_crop": 320, "max_batches": 1600000}
    for key in ("burn_in", "min_crop", "angle", "hue", "saturation", "exposure", "aspect"):
        del net[key]
    cfg = Cfg(
        "extraction",
        "Extraction",
        YOLO1,
        "The classifier that YOLOv1 starts from: its first 20 convolutions and one to the classes.",
        IMAGENET,
        published("extraction.weights"),
        net,
    )
    extraction_trunk(cfg)
    cfg.classes(activation="leaky")
    return cfg


def darknet() -> Cfg:
    cfg = Cfg(
        "darknet",
        "Darknet Reference",
        f"Redmon, {SITE}",
        "As accurate as AlexNet with a tenth of its parameters: seven convolutions with pooling.",
        IMAGENET,
        published("darknet.weights"),
        dict(CLASSIFIER),
    )
    tiny_trunk(cfg, 16, 32, 64, 128, 256, 512)
    cfg.conv(1024)
    cfg.classes(pool_first=True)
    return cfg


def tiny_darknet() -> Cfg:
    net = CLASSIFIER | {"width": 224, "height": 224, "max_crop": 320, "max_batches": 1600000}
    del net["burn_in"], net["min_crop"]
    cfg = Cfg(
        "tiny-darknet",
        "Tiny Darknet",
        "Redmon, pjreddie.com/darknet/tiny-darknet",
        "Smaller than SqueezeNet and as accurate as AlexNet: 1x1 convolutions narrow what 3x3 ones see.",
        IMAGENET,
        published("tiny.weights"),
        net,
    )
    cfg.convs(16)
    cfg.maxpool()
    cfg.convs(32)
    cfg.maxpool()
    for few, many in ((16, 128), (32, 256)):
        cfg.convs(-few, many, -few, many)
        cfg.maxpool()
    cfg.convs(-64, 512, -64, 512, -128)
    cfg.classes()
    return cfg


def darknet19() -> Cfg:
    cfg = Cfg(
        "darknet19",
        "Darknet-19",
        YOLO2,
        "The backbone of YOLOv2, table 6 of its paper.",
        IMAGENET,
        published("darknet19.weights"),
        dict(CLASSIFIER),
    )
    darknet19_trunk(cfg)
    cfg.classes()
    return cfg


def darknet19_448() -> Cfg:
    net = CLASSIFIER | {
        "subdivisions": 4,
        "width": 448,
        "height": 448,
        "max_crop": 512,
        "learning_rate": 0.001,
        "max_batches": 100000,
    }
    del net["burn_in"], net["min_crop"]
    cfg = Cfg(
        "darknet19_448",
        "Darknet-19, fine-tuned at 448 x 448",
        YOLO2,
        "The layers of darknet19.cfg, trained for ten more epochs on larger pictures; YOLOv2 starts from it.",
        IMAGENET,
        published("darknet19_448.weights"),
        net,
    )
    darknet19_trunk(cfg)
    cfg.classes()
    return cfg


def darknet53() -> Cfg:
    cfg = Cfg(
        "darknet53",
        "Darknet-53",
        YOLO3,
        "The backbone of YOLOv3, table 1 of its paper: residual blocks of a 1x1 and a 3x3 convolution.",
        IMAGENET,
        published("darknet53.weights"),
        dict(CLASSIFIER),
    )
    darknet53_trunk(cfg)
    cfg.classes(pool_first=True)
    return cfg


def resnet(depth: int) -> Cfg:
    """Without projections: where widths differ, the shortcut adds to the channels both have, and where sizes
    differ it takes every second pixel."""
    blocks = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    cfg = Cfg(
        f"resnet{depth}",
        f"ResNet-{depth}",
        RESNET,
        f"""{"Basic blocks of two" if depth < 50 else "Bottleneck blocks of three"} convolutions, table 1 of
        the paper, in the form of the weights published with Darknet: leaky activations, and shortcuts without
        parameters (option A of the paper).""",
        IMAGENET,
        published(f"resnet{depth}.weights"),
        CLASSIFIER | ({"max_batches": 1600000} if depth == 152 else {}),
    )
    resnet_trunk(cfg, blocks, bottleneck=depth >= 50)
    cfg.classes(pool_first=depth < 101)
    return cfg


def resnet_trunk(cfg: Cfg, blocks: tuple[int, ...], *, bottleneck: bool, **more: object) -> None:
    """more: options of the convolutions of blocks."""
    cfg.conv(64, 7, 2)
    last = cfg.maxpool()
    for stage, count in enumerate(blocks):
        filters = 64 << stage
        for block in range(count):
            stride = 2 if stage and block == 0 else 1
            if bottleneck:
                cfg.conv(filters, 1, **more)
                cfg.conv(filters, 3, stride, **more)
                cfg.conv(4 * filters, 1, activation="linear", **more)
            else:
                cfg.conv(filters, 3, stride, **more)
                cfg.conv(filters, 3, activation="linear", **more)
            last = cfg.shortcut(last, "leaky")


# ---- binary versions --------------------------------------------------------------------------------------

ADAM = {"learning_rate": 0.001, "adam": 1}
BINARY = {
    "xnor": ("xnor", "XNOR-Net", "weights and inputs"),
    "bwn": ("binary", "Binary-Weight-Network", "weights"),
}


def binary_text(kind: str) -> str:
    return f"All layers but the first and the last have binary {BINARY[kind][2]}, and batch normalisation."


def binary_alexnet(kind: str) -> Cfg:
    key, title, _ = BINARY[kind]
    net = CLASSIFIER | {
        "batch": 512,
        "subdivisions": 4,
        "width": 227,
        "height": 227,
        "max_crop": 256,
        "max_batches": 40000,
    }
    for name in ("min_crop", "angle", "hue", "saturation", "exposure", "aspect"):
        del net[name]
    if kind == "xnor":
        net |= ADAM
    cfg = Cfg(
        f"alexnet-{kind}",
        f"AlexNet as {title}",
        XNOR,
        f"""{binary_text(kind)} Connected layers are written as convolutions. 16 epochs of 512 images, with
        {"Adam" if kind == "xnor" else "SGD"} as there.""",
        IMAGENET,
        unpublished(),
        net,
    )
    binary = {key: 1}
    cfg.conv(96, 11, 4, pad=0)
    cfg.maxpool(3, 2, padding=0)
    cfg.conv(256, 5, **binary)
    cfg.maxpool(3, 2, padding=0)
    for filters in (384, 384, 256):
        cfg.conv(filters, **binary)
    cfg.maxpool(3, 2, padding=0)
    cfg.conv(4096, 6, pad=0, **binary)
    cfg.conv(4096, 1, **binary)
    cfg.conv(1000, 1, activation="linear", normalize=False)
    cfg.add("softmax", groups=1)
    return cfg


def binary_resnet18(kind: str) -> Cfg:
    key, title, _ = BINARY[kind]
    net = CLASSIFIER | {
        "batch": 256,
        "subdivisions": 4,
        "policy": "steps",
        "steps": "150000,200000",
        "scales": ".01,.01",
        "max_batches": 290000,
        "min_crop": 256,
        "max_crop": 480,
        "width": 224,
        "height": 224,
    }
    for name in ("power", "angle", "hue", "saturation", "exposure", "aspect"):
        del net[name]
    if kind == "xnor":
        net |= ADAM
    cfg = Cfg(
        f"resnet18-{kind}",
        f"ResNet-18 as {title}",
        f"{XNOR}; {RESNET}",
        f"{binary_text(kind)} 58 epochs of 256 images, the rate falls at 30 and 40.",
        IMAGENET,
        unpublished(),
        net,
    )
    resnet_trunk(cfg, (2, 2, 2, 2), bottleneck=False, **{key: 1})
    cfg.classes(pool_first=True)
    return cfg


def models() -> list[Cfg]:
    return [
        alexnet(),
        vgg16(),
        extraction(),
        darknet(),
        tiny_darknet(),
        darknet19(),
        darknet19_448(),
        darknet53(),
        *(resnet(depth) for depth in (18, 50, 101, 152)),
        *(binary_alexnet(kind) for kind in BINARY),
        *(binary_resnet18(kind) for kind in BINARY),
    ]

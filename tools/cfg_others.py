"""Neither classifiers nor detectors: DCGAN, segmentation by deconvolution, characters, Go."""

from __future__ import annotations

from cfg_classifiers import VGG, unpublished, vgg_trunk
from cfg_writer import CLASSIFIER, Cfg

DCGAN = (
    'Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative '
    'Adversarial Networks", 2016'
)
DECONVNET = 'Noh, Hong and Han, "Learning Deconvolution Network for Semantic Segmentation", 2015'
CHARACTERS = 'Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks", 2015'
GO = "Redmon, pjreddie.com/darknet/darkgo"

# ---- DCGAN ------------------------------------------------------------------------------------------------

GAN_NET: dict[str, object] = {
    "batch": 128,
    "subdivisions": 1,
    "momentum": 0.9,
    "decay": 0,
    "learning_rate": 0.0002,
    "adam": 1,
    "B1": 0.5,
    "max_batches": 25000,
}


def dcgan_generator() -> Cfg:
    cfg = Cfg(
        "dcgan-generator",
        "The generator of DCGAN",
        DCGAN,
        """100 numbers, uniform in -1..1, become a picture with values -1..1 by five deconvolutions (figure
        1; kernels of 4 instead of 5, so that each doubles the size).""",
        "output 64 x 64 x 3",
        unpublished(),
        {"width": 1, "height": 1, "channels": 100} | GAN_NET,
    )
    for i, filters in enumerate((1024, 512, 256, 128, 3)):
        step = {"stride": 2, "padding": 1} if i else {"stride": 1, "padding": 0}
        last = filters == 3
        cfg.add(
            "deconvolutional",
            **({} if last else {"batch_normalize": 1}),
            filters=filters,
            size=4,
            **step,
            activation="tanh" if last else "relu",
        )
    return cfg


def dcgan_discriminator() -> Cfg:
    cfg = Cfg(
        "dcgan-discriminator",
        "The discriminator of DCGAN",
        DCGAN,
        """Strided convolutions, no pooling, no batch normalisation in the first and the last; 1 says that a
        picture, with values -1..1, is real. Leaky activations have the slope .1 of Darknet, not .2.""",
        "one output",
        unpublished(),
        {"width": 64, "height": 64, "channels": 3} | GAN_NET,
    )
    for i, filters in enumerate((128, 256, 512, 1024)):
        cfg.conv(filters, 4, 2, pad=0, normalize=i > 0, padding=1)
    cfg.conv(1, 4, pad=0, activation="linear", normalize=False)
    cfg.add("logistic")
    return cfg


# ---- segmentation -----------------------------------------------------------------------------------------


def deconvnet() -> Cfg:
    cfg = Cfg(
        "vgg-deconvnet",
        "Segmentation by a mirrored VGG-16",
        f"{DECONVNET}; {VGG}",
        """The convolutions of VGG-16, its connected layers as convolutions, and deconvolutions back to the
        size of the input (table 2). Where the paper unpools by remembered maxima, the map is repeated. Each
        pixel has a softmax over 20 classes and the background; the learning rate is the paper's .01 divided
        by the 224 x 224 pixels, since Darknet adds up what they say.""",
        "21 classes (Pascal VOC)",
        unpublished(),
        {
            "batch": 64,
            "subdivisions": 8,
            "width": 224,
            "height": 224,
            "channels": 3,
            "momentum": 0.9,
            "decay": 0.0005,
            "learning_rate": "0.0000002",
            "policy": "steps",
            "steps": "20000,40000",
            "scales": ".1,.1",
            "max_batches": 60000,
        },
    )
    vgg_trunk(cfg, normalize=True)
    cfg.conv(4096, 7, pad=0, activation="relu")
    cfg.conv(4096, 1, activation="relu")
    deconvolve(cfg, 512, 7, pad=0)
    for filters in ((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64), (64, 64)):
        cfg.add("upsample", stride=2)
        for one in filters:
            deconvolve(cfg, one, 3, pad=1)
    cfg.conv(21, 1, activation="linear", normalize=False)
    cfg.add("softmax", spatial=1)
    return cfg


def deconvolve(cfg: Cfg, filters: int, size: int, pad: int) -> None:
    cfg.add(
        "deconvolutional",
        batch_normalize=1,
        filters=filters,
        size=size,
        stride=1,
        pad=pad,
        activation="relu",
    )


# ---- characters -------------------------------------------------------------------------------------------

#: Streams and steps of the article's program; the rest as Darknet's rnn.train.cfg, which has 128 of 576
#: steps.
CHARACTERS_NET = {
    "inputs": 256,
    "batch": 50,
    "subdivisions": 1,
    "time_steps": 50,
    "momentum": 0.9,
    "decay": 0.001,
}


def characters(kind: str) -> Cfg:
    title = {
        "rnn": "vanilla recurrent layers",
        "gru": "gated recurrent units",
        "lstm": "long short-term memory",
    }
    fits = {
        "rnn": "Weights: those published for Darknet's rnn.cfg (shakespeare, tolstoy, kant, grrm) fit.",
        "gru": unpublished(),
        "lstm": unpublished(),
    }
    steps = {
        "learning_rate": 0.1,
        "policy": "steps",
        "steps": "1000,1500",
        "scales": ".1,.1",
        "max_batches": 2000,
    }
    adam = {"learning_rate": 0.002, "adam": 1, "policy": "constant", "decay": 0, "max_batches": 20000}
    cfg = Cfg(
        kind,
        f"Next character of a text, by {title[kind]}",
        CHARACTERS,
        "Bytes in as 256 values of which one is 1, probabilities of the next byte out.",
        "256 outputs",
        fits[kind],
        CHARACTERS_NET | (steps if kind == "rnn" else adam),
    )
    for _ in range(3):
        if kind == "rnn":
            cfg.add("rnn", batch_normalize=1, output=1024, activation="leaky")
        else:
            cfg.add(kind, output=256 if kind == "gru" else 512)
    cfg.connected(256, "leaky" if kind == "rnn" else "linear")
    cfg.add("softmax")
    return cfg


# ---- Go ---------------------------------------------------------------------------------------------------


def darkgo() -> Cfg:
    net = CLASSIFIER | {"batch": 512, "subdivisions": 4, "width": 19, "height": 19, "max_batches": 10000000}
    for key in ("min_crop", "max_crop", "angle", "hue", "saturation", "exposure", "aspect"):
        del net[key]
    cfg = Cfg(
        "darkgo",
        "DarkGo, a network that plays Go",
        GO,
        """Planes: own stones, the other's stones, 1 where Black is to move. Outputs: a probability for each
        of the 361 points (row * 19 + column), that of a pass, and how likely the player to move wins. The
        trunk is that of Darknet's go.cfg; softmax learns by cross entropy, since the cost's delta is truth -
        output, too.""",
        "363 outputs",
        unpublished(),
        net,
    )
    for _ in range(13):
        cfg.conv(256, activation="relu")
    trunk = cfg.count - 1
    cfg.conv(1, 1, activation="linear", normalize=False)
    cfg.add("reorg", stride=1, extra=1)
    moves = cfg.add("softmax", noloss=1)
    cfg.route(trunk)
    cfg.conv(1, 1, activation="relu")
    cfg.connected(256, "relu")
    wins = cfg.connected(1, "logistic")
    cfg.route(moves, wins)
    cfg.add("cost", type="sse")
    return cfg


def models() -> list[Cfg]:
    return [
        dcgan_generator(),
        dcgan_discriminator(),
        deconvnet(),
        *(characters(kind) for kind in ("rnn", "gru", "lstm")),
        darkgo(),
    ]

"""nightmare, visualize, mkimg, imtest (test), 3d: pictures made with and without a network."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import Parser, add_network, load_network, natural, positive

if TYPE_CHECKING:
    from ..dreams import Dreamer, Floats


def configure_nightmare(parser: Parser) -> None:
    """CFG WEIGHTS IMAGE LAYER"""
    parser.description = (
        "DeepDream: change a picture, step by step up the gradient, until layer LAYER responds more strongly "
        "to what it already responds to. Early layers paint strokes and textures, late ones parts of "
        "objects. Writes IMAGE_CFG_LAYER_N.jpg after round N."
    )
    add_network(parser)
    parser.add_argument("image", metavar="IMAGE", help="picture to start from")
    parser.add_argument(
        "layer", metavar="LAYER", type=natural, help="whose outputs are amplified; 0 is the first"
    )
    parser.option("rounds", type=positive, default=1, metavar="N", help="pictures to write (default 1)")
    parser.option(
        "iters", type=positive, default=10, metavar="N", help="gradient steps per round (default 10)"
    )
    parser.option(
        "octaves",
        type=positive,
        default=4,
        metavar="N",
        help="scales to look at the picture in, each 3/4 of the last; one is drawn per step (default 4)",
    )
    parser.option(
        "range", type=positive, default=1, metavar="N", help="draw the layer from N around LAYER (default 1)"
    )
    parser.option("rate", type=float, default=0.04, metavar="R", help="step size (default .04)")
    parser.option(
        "thresh",
        type=float,
        default=1,
        metavar="T",
        help="only outputs above mean + T standard deviations are amplified (default 1)",
    )
    parser.option(
        "norm", type=int, choices=(0, 1), default=1, help="normalise each step to unit variance (default 1)"
    )
    parser.option(
        "zoom",
        type=float,
        default=1,
        metavar="Z",
        help="enlarge the middle part Z between rounds (default 1)",
    )
    parser.option(
        "rotate", type=float, default=0, metavar="RADIANS", help="turn the picture between rounds (default 0)"
    )
    parser.flag(
        "reconstruct", help="instead, find from noise a picture that LAYER responds to as it does to IMAGE"
    )
    parser.option(
        "momentum", type=float, default=0.9, metavar="M", help="of the steps of -reconstruct (default .9)"
    )
    parser.option(
        "lambda",
        dest="smoothing",
        type=float,
        default=0.01,
        metavar="L",
        help="smoothing of -reconstruct: pull of each neighbour on a pixel (default .01)",
    )
    parser.option(
        "smooth", type=natural, default=1, metavar="N", help="how far neighbours reach, in pixels (default 1)"
    )
    parser.option("prefix", default="", metavar="FOLDER", help="where to write (default: here)")
    parser.option("seed", type=natural, default=0, metavar="N", help="of all random choices (default 0)")


def run_nightmare(options: argparse.Namespace) -> int:
    """Prints a line `N PATH` per picture."""
    from .. import dreams, images
    from ..data import make_folder
    from ..progress import Bar

    stem = f"{Path(options.image).stem}_{Path(options.cfg).stem}_{options.layer}"
    folder = Path(options.prefix)
    last = options.layer + options.range - 1 - options.range // 2
    with dreams.Dreamer(
        options.cfg, options.weights, last, dialect=options.dialect, threads=options.threads
    ) as dreamer:
        picture = images.load(options.image, channels=dreamer.network.input_shape[1])
        with Bar("dreaming", options.rounds * options.iters, quiet=options.quiet) as bar:
            steps = _dream(options, dreamer, picture, bar.update)
            for number, made in enumerate(steps):
                place = folder / f"{stem}_{number:06d}.jpg"
                make_folder(folder)
                images.save(made, place)
                bar.clear()
                print(f"{number} {place}", flush=True)
    return 0


def _dream(
    options: argparse.Namespace, dreamer: Dreamer, picture: Floats, progress: Callable[[int], None]
) -> Iterator[Floats]:
    from .. import dreams, images

    common = {
        "rounds": options.rounds,
        "iters": options.iters,
        "rate": options.rate,
        "norm": bool(options.norm),
        "seed": options.seed,
        "progress": progress,
    }
    if options.reconstruct:
        _, _, height, width = dreamer.network.input_shape
        return dreams.reconstruct(
            dreamer,
            images.letterbox(picture, width, height),
            momentum=options.momentum,
            smoothing=options.smoothing,
            smooth=options.smooth,
            **common,
        )
    return dreams.dream(
        dreamer,
        dreamer.fit(picture),
        options.layer,
        octaves=options.octaves,
        zoom=options.zoom,
        thresh=options.thresh,
        span=options.range,
        rotate=options.rotate,
        **common,
    )


# ---- filters -------------------------------------------------------------------------------------------


def configure_visualize(parser: Parser) -> None:
    """CFG [WEIGHTS]"""
    parser.description = (
        "Draw the filters of the first convolution, each stretched from its smallest weight (black) to its "
        "largest (white), in colour if they read three channels. Without WEIGHTS they are random."
    )
    add_network(parser, weights="optional")
    parser.option(
        "layer", type=natural, metavar="N", help="draw those of layer N (default: the first convolution)"
    )
    parser.option("out", default="filters.png", metavar="FILE", help="picture to write (default filters.png)")


def run_visualize(options: argparse.Namespace) -> int:
    """Prints the path of the picture."""
    from .. import images
    from ..data import keep_inputs
    from ..network import Network
    from ..pictures import filters_picture

    keep_inputs([options.out], [path for path in (options.cfg, options.weights) if path])
    with Network(options.cfg, options.weights, dialect=options.dialect) as net:
        picture = filters_picture(net, options.layer)
    images.save(picture, options.out)
    print(options.out)
    return 0


def configure_mkimg(parser: Parser) -> None:
    """CFG WEIGHTS H W NUM PREFIX"""
    parser.description = (
        "Make pictures of the first layer's filters, turned, recoloured and scattered on grey. Writes "
        "PREFIX/gen_N.png."
    )
    add_network(parser)
    parser.add_argument("height", metavar="H", type=positive, help="height of the pictures in pixels")
    parser.add_argument("width", metavar="W", type=positive, help="width")
    parser.add_argument("count", metavar="NUM", type=positive, help="how many")
    parser.add_argument("prefix", metavar="PREFIX", help="folder to write them to; made if missing")
    parser.option("seed", type=natural, default=0, metavar="N", help="of all random choices (default 0)")


def run_mkimg(options: argparse.Namespace) -> int:
    """Prints the path of every picture."""
    from .. import images
    from ..data import make_folder
    from ..pictures import collages

    with load_network(options) as net:
        made = collages(net, options.width, options.height, options.count, seed=options.seed)
        for number, picture in enumerate(made):
            place = Path(options.prefix) / f"gen_{number}.png"
            make_folder(place.parent)
            images.save(picture, place)
            print(place, flush=True)
    return 0


# ---- without a network ---------------------------------------------------------------------------------


def configure_imtest(parser: Parser) -> None:
    """IMAGE"""
    parser.description = (
        "Show what data augmentation does to a picture: a sheet with colour jitter (hue shifted, saturation "
        "and exposure multiplied) and random crops. Prints the picture's L2 norm, then hue, saturation and "
        "exposure of the random versions."
    )
    parser.add_argument("image", metavar="IMAGE", help="picture to change")
    parser.option("out", default="jitter.png", metavar="FILE", help="sheet to write (default jitter.png)")
    parser.option("seed", type=natural, default=0, metavar="N", help="of all random choices (default 0)")


def run_imtest(options: argparse.Namespace) -> int:
    """Prints the norm, and a line `HUE SATURATION EXPOSURE` per random version."""
    import numpy as np

    from .. import images
    from ..data import keep_inputs
    from ..pictures import jitter_sheet

    keep_inputs([options.out], [options.image])
    sheet, chosen = jitter_sheet(options.image, seed=options.seed)
    images.save(sheet, options.out)
    print(f"L2 Norm: {float(np.linalg.norm(images.load(options.image).astype(np.float64))):f}")
    for one in chosen:
        print("{:f} {:f} {:f}".format(*one))
    return 0


configure_test, run_test = configure_imtest, run_imtest


def configure_anaglyph(parser: Parser) -> None:
    """A B OUT [D]"""
    parser.description = (
        "Join two photographs of one scene, taken side by side, to a picture for red-cyan glasses. The "
        "second one is moved up or down, by at most 1 % of its height, to where it fits best."
    )
    parser.add_argument("left", metavar="A", help="what the left eye (red) sees")
    parser.add_argument("right", metavar="B", help="what the right eye (cyan) sees, of the same size")
    parser.add_argument("out", metavar="OUT", help="picture to write; .jpg if without ending")
    parser.add_argument(
        "delta", metavar="D", type=int, nargs="?", default=0, help="pixels to move B to the left (default 0)"
    )


def run_anaglyph(options: argparse.Namespace) -> int:
    """Prints the path of the picture."""
    from .. import images
    from ..data import keep_inputs
    from ..pictures import anaglyph

    place = Path(options.out)
    place = place if place.suffix else place.with_name(f"{place.name}.jpg")
    keep_inputs([place], [options.left, options.right])
    picture, _ = anaglyph(options.left, options.right, options.delta)
    images.save(picture, place)
    print(place)
    return 0

"""YOLO9000 in small: classes that no box ever showed are detected after joint training, and not without it.

    python examples/yolo9000.py FOLDER [-updates N]

Draws a data set of shapes into FOLDER, trains cfg/shapes9000.cfg on it twice from the same random parameters
(on all pictures, and on those with boxes only), and measures both networks on pictures with boxes of all
shapes. docs/yolo9000.md has the figures of a run.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import darknet_py as dn
from darknet_py import hierarchy, synth
from darknet_py.data import DataFile
from darknet_py.evaluation import Evaluation, evaluate_detector
from darknet_py.training import train_detector

CFG = Path(__file__).resolve().parent.parent / "cfg" / "shapes9000.cfg"


def measured(weights: Path, info: DataFile) -> Evaluation:
    """Average precision of each shape: objectness times the probability of its node."""
    with dn.Network(CFG, weights) as net:
        return evaluate_detector(net, info.images("valid"), class_map=hierarchy.MAP)


def main() -> None:
    """Prints a table: a line per shape, a column per network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("-updates", type=int, help="instead of the cfg's max_batches")
    parser.add_argument("-pictures", type=int, default=3000, help="with boxes, and as many with a class only")
    options = parser.parse_args()
    hierarchy.generate(options.folder, train=options.pictures)
    results = []
    for name in ("joint", "boxes"):
        info = DataFile(options.folder / f"{name}.data")
        started = time.monotonic()
        trained = train_detector(info, CFG, max_batches=options.updates, log_every=500)
        if trained.interrupted:
            raise SystemExit(130)
        print(f"{name}: {trained.iteration} updates in {(time.monotonic() - started) / 60:.1f} minutes")
        results.append(measured(trained.weights, info))
    print(f"\n{'shape':<10}{'in training':<14}{'joint AP@0.5':>14}{'boxes only':>14}")
    for kind, name in enumerate(synth.KINDS):
        how = "class only" if kind in hierarchy.CLASS_ONLY else "boxes"
        print(f"{name:<10}{how:<14}" + "".join(f"{one.classes[kind].ap:>14.3f}" for one in results))
    for how, kinds in (("boxes", hierarchy.BOXED), ("class only", hierarchy.CLASS_ONLY)):
        means = (sum(one.classes[kind].ap for kind in kinds) / len(kinds) for one in results)
        print(f"{'mean':<10}{how:<14}" + "".join(f"{mean:>14.3f}" for mean in means))


if __name__ == "__main__":
    main()

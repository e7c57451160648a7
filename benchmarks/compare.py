"""Inference speed of darknet_py beside other engines, in turns in one run, for docs/performance.md.

    python benchmarks/compare.py [--networks NAME ...] [--engines NAME ...] [--threads 1 2] [--runs 20]
                                 [--parts engines throughput start] [--level avx2] [--torch-python PYTHON]
                                 [--opencv-python PYTHON] [--json FILE] [--write PAGE] [--list]

float32, batch 1, outputs compared before anything is timed. Networks are those of cfg/ with calibrated random
weights, and trained ones where DARKNET_SHARED has them. The work is done by darknet_py.benching, which
`darknet_py bench` runs on any network. --level avx2 holds the engines that can be held to it. The part
`throughput` measures batches and sessions side by side, `start` processes from their start to the first
detection.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from darknet_py import __version__, benching
from darknet_py.benching.bench import bench, check_json, header, write_json
from darknet_py.benching.load import load_text, measure_load
from darknet_py.benching.start import measure_start, quiet_heads, start_text
from darknet_py.cli.arguments import positive
from darknet_py.errors import DarknetError
from darknet_py.network import Network

REPOSITORY = Path(__file__).resolve().parent.parent
TRAINED = Path(os.environ.get("DARKNET_SHARED", "/nowhere")) / "real" / "weights"

PARTS = ("engines", "throughput", "start")


def network(cfg: str, size: int) -> benching.Model:
    """One of cfg/ at this size, with calibrated weights."""
    return benching.Model(f"{cfg}-{size}", REPOSITORY / "cfg" / f"{cfg}.cfg", None, size, size)


def trained(folder: str, cfg: str) -> benching.Model:
    """One with its own weights."""
    return benching.Model(folder, TRAINED / folder / f"{cfg}.cfg", TRAINED / folder / f"{cfg}.weights")


NETWORKS = {
    model.name: model
    for model in (
        network("yolov3", 416),
        network("yolov3", 608),
        network("yolov2", 416),
        network("darknet19", 256),
        network("darknet53", 256),
        network("yolov2-tiny-voc", 416),
        network("yolov3-tiny", 416),
        network("yolov4-tiny", 416),
        network("yolov4", 416),
        network("extraction", 224),
        network("resnet50", 256),
        trained("yolo-fastest-1.1", "yolo-fastest-1.1"),
        trained("mobilenetv2-yolov3-nano-voc", "MobileNetV2-YOLOv3-Nano-voc"),
        network("alexnet", 227),
        network("yolov1", 448),
    )
}


def summary(found: list[dict[str, Any]]) -> str:
    """A row per network and number of threads: milliseconds, and our time to that of the best peer."""
    names = {
        engine["engine"]: engine["name"] for one in found for engine in one["engines"] if engine["median"]
    }
    lines = [
        f"| network | threads | {' | '.join(names.values())} | to the best peer |",
        f"|---|---|{'---|' * len(names)}---|",
    ]
    for one in found:
        medians = {engine["engine"]: engine["median"] for engine in one["engines"]}
        times = [f"{1e3 * medians[name]:.1f} ms" if medians.get(name) else "" for name in names]
        ratio = "" if one["best_peer"] is None else f"{one['ratio_to_best_peer']:.2f}"
        lines.append(f"| {one['network']} | {one['threads']} | {' | '.join(times)} | {ratio} |")
    return "\n".join(lines)


def measure_engines(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each network beside the engines."""
    found: list[dict[str, Any]] = []
    for name in options.networks:
        model = NETWORKS[name]
        if not (model.weights or model.cfg).exists():
            print(f"\n{name}: skipped: no {model.weights or model.cfg}")
            continue
        try:
            found += bench(
                [model],
                options.engines,
                options.threads,
                runs=options.runs,
                torch_python=options.torch_python,
                level=options.level,
                note=lambda text: print(text, file=sys.stderr),
            )
        except DarknetError as error:
            print(f"\n{name}: skipped: {error}")
        sys.stdout.flush()
    return found


def write_onnx(cfg: Path, weights: Path) -> None:
    """For engines that read nothing else."""
    from darknet_py.export import export_onnx

    try:
        with Network(cfg, weights) as net:
            export_onnx(net, weights.with_suffix(".onnx"))
    except DarknetError as error:
        print(error, file=sys.stderr)


def measure_serving(options: argparse.Namespace) -> tuple[list[str], dict[str, Any]]:
    """The parts `throughput` and `start`: their texts and numbers."""
    texts: list[str] = []
    document: dict[str, Any] = {}
    threads = max(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("yolov3-tiny", "yolov3"):
            cfg, weights = Path(folder) / f"{name}.cfg", Path(folder) / f"{name}.weights"
            text = (REPOSITORY / "cfg" / cfg.name).read_text("utf-8")
            cfg.write_text(re.sub(r"(?m)^(width|height) *=.*", r"\1=416", text))
            with Network(cfg, batch=1) as net:
                benching.calibrate(net)
                quiet_heads(net)
                net.save_weights(weights)
            if "throughput" in options.parts and name == "yolov3-tiny":
                with Network(cfg, weights) as net:
                    load = measure_load(net, threads, runs=options.runs)
                texts.append(load_text(f"{name}-416", load))
                document["throughput"] = {"network": f"{name}-416", **load.to_dict()}
            if "start" in options.parts:
                picture = REPOSITORY / "data" / "scene.png"
                write_onnx(cfg, weights)
                start = measure_start(
                    cfg, weights, picture, 416, threads, max(1, options.runs // 4), options.opencv_python
                )
                texts.append(start_text(f"{name}-416", threads, start))
                document.setdefault("start", {})[f"{name}-416"] = [one.to_dict() for one in start]
    return texts, document


def around_figures(page: Path) -> tuple[str, str]:
    """What a page has up to the mark before the figures, and from the mark after them on."""
    before, begin, rest = page.read_text("utf-8").partition("<!-- figures of benchmarks/compare.py -->\n")
    _, end, after = rest.partition("<!-- end of the figures -->\n")
    if not begin or not end:
        sys.exit(f"{page}: the marks around the figures are missing")
    return before + begin, end + after


def write_page(page: Path, document: dict[str, Any], texts: list[str]) -> None:
    """Puts the rows, and how they were made, between the marks of a page: without our version, which stands
    in dn.h alone, and without paths of this machine."""
    before, after = around_figures(page)
    command = re.sub(r"(?<= )(\S*/)", "", document["command"])
    lines = [f"{document['date']}, {document['machine']}; `{command}`", ""]
    if document["networks"]:
        lines += [summary(document["networks"]).replace(f"darknet_py {__version__}", "darknet_py"), ""]
    if texts:
        lines += ["```", *texts, "```", ""]
    page.write_text(before + "\n".join(lines) + after, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    parser.add_argument(
        "--engines", nargs="*", choices=benching.ENGINES, default=list(benching.ENGINES), metavar="NAME"
    )
    parser.add_argument("--threads", nargs="+", type=positive, default=[1, 2])
    parser.add_argument("--runs", type=positive, default=20)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--level", choices=["avx2"])
    parser.add_argument("--torch-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument(
        "--opencv-python",
        nargs="*",
        default=[sys.executable],
        metavar="PYTHON",
        help="those whose OpenCV the part `start` compares with (default: this one)",
    )
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--write", metavar="PAGE", type=Path, help="put the rows into this page")
    parser.add_argument("--list", action="store_true", help="networks and engines")
    options = parser.parse_args()
    if options.list:
        print("networks:", ", ".join(NETWORKS), "\nengines:", ", ".join(benching.ENGINES))
        return
    try:
        if options.json:
            check_json(options.json)
        if options.write:
            around_figures(options.write)
    except (DarknetError, OSError, UnicodeDecodeError) as error:
        sys.exit(str(error))
    benching.force(options.level)
    document = header(options.threads)
    document["networks"] = measure_engines(options) if "engines" in options.parts else []
    texts: list[str] = []
    if {"throughput", "start"} & set(options.parts):
        texts, serving = measure_serving(options)
        document.update(serving)
    if document["networks"]:
        print("\n" + summary(document["networks"]))
    print("\n" + "\n".join(texts))
    if options.write:
        write_page(options.write, document, texts)
    if options.json:
        write_json(document, options.json)


if __name__ == "__main__":
    main()

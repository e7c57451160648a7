"""statistics, ops, speed, print: numbers about a network."""

from __future__ import annotations

import argparse

from .arguments import Parser, add_network, load_network, natural


def configure_statistics(parser: Parser) -> None:
    """CFG WEIGHTS"""
    parser.description = (
        "Distribution of every parameter array: MSE is the root of the mean square, as in Darknet, then mean "
        "and variance. Dead layers and parameters that have run away show here."
    )
    add_network(parser)


def run_statistics(options: argparse.Namespace) -> int:
    """Prints a line per parameter array, under a line per layer."""
    from ..inspection import statistics

    with load_network(options) as net:
        layer = -1
        for one in statistics(net):
            if one.layer != layer:
                layer = one.layer
                print(f"Layer {layer} {one.type}")
            print(f"{one.name} MSE: {one.rms:.6f}, Mean: {one.mean:.6f}, Variance: {one.variance:.6f}")
    return 0


def configure_ops(parser: Parser) -> None:
    """CFG"""
    parser.description = (
        "Floating point operations of one forward pass: 2 per multiply-add of convolutions, connected and "
        "recurrent layers."
    )
    add_network(parser, weights="none")


def run_ops(options: argparse.Namespace) -> int:
    """Prints the count, and the count in billions."""
    from ..inspection import operations
    from ..network import Network

    with Network(options.cfg, dialect=options.dialect) as net:
        count = operations(net)
    print(f"Floating Point Operations: {count}\nFloating Point Operations: {count / 1e9:.2f} Bn")
    return 0


def configure_speed(parser: Parser) -> None:
    """CFG [TICS]"""
    parser.description = (
        "Time forward passes of one item, with random weights on zeros. The first one, which chooses "
        "algorithms and packs weights, is not counted."
    )
    add_network(parser, weights="none")
    parser.add_argument(
        "tics",
        metavar="TICS",
        type=natural,
        nargs="?",
        default=1000,
        help="forward passes (default, and 0: 1000)",
    )


def run_speed(options: argparse.Namespace) -> int:
    """Prints count and time, operations, operations per second, time per pass, passes per second."""
    from ..inspection import speed
    from ..network import Network

    with Network(options.cfg, threads=options.threads, dialect=options.dialect, time_steps=1) as net:
        done = speed(net, options.tics or 1000, quiet=options.quiet)
    print(f"{done.evaluations} evals, {done.seconds:f} Seconds")
    print(f"Floating Point Operations: {done.operations / 1e9:.2f} Bn")
    print(f"FLOPS: {done.operations / 1e9 * done.evaluations / done.seconds:.2f} Bn")
    print(f"Speed: {done.seconds / done.evaluations:f} sec/eval")
    print(f"Speed: {done.evaluations / done.seconds:f} Hz")
    return 0


def configure_print(parser: Parser) -> None:
    """CFG WEIGHTS LAYER"""
    parser.description = (
        "The weights of a layer as text: a line per filter, or per output of a connected layer."
    )
    add_network(parser)
    parser.add_argument("layer", metavar="LAYER", type=natural, help="0 is the first")


def run_print(options: argparse.Namespace) -> int:
    """Prints `%g ` per weight; layers made of several matrices print the name of each before it."""
    from ..inspection import weight_rows

    with load_network(options) as net:
        found = weight_rows(net, options.layer)
    for name, rows in found.items():
        if len(found) > 1:
            print(name)
        for row in rows.tolist():
            print(" ".join(f"{value:g}" for value in row))
    return 0

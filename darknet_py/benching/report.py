"""Measurements as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from .running import TOLERANCE, Comparison
from .steps import StepTime, algorithms

NOISY = 1.25

__all__ = ["comparison_text", "steps_text"]


def _plural(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def comparison_text(found: Comparison) -> str:
    """A line per engine, then the ratio to the best of them."""
    shape = " x ".join(map(str, (*found.input[1:], found.input[0])))
    what = "calibrated random weights" if found.calibrated else "trained weights"
    lines = [
        f"{found.model.name}: {shape}, {found.flops / 1e9:.2f} GFLOP, {what}, {_plural(found.threads)}",
        f"  {'engine':<28} {'median':>10} {'best':>10} {'GFLOP/s':>8} {'of peak':>8} {'memory':>9}  outputs",
    ]
    for one in found.results:
        if one.error:
            lines.append(f"  {one.name:<28} {one.error}")
            continue
        speed = found.flops / one.median
        same = "" if one.difference is None else f"differ by {one.difference:.0e} of their range at most"
        lines.append(
            f"  {one.name:<28} {one.median * 1e3:>7.2f} ms {min(one.times) * 1e3:>7.2f} ms "
            f"{speed / 1e9:>8.1f} {speed / found.limits.flops:>8.0%} {one.bytes / 2**20:>5.0f} MiB  {same}"
        )
    best = found.best_peer
    if best:
        lines.append(
            f"  {found.ratio:.2f} of the time of {best.name}, the best peer; {found.ratio_of_bests:.2f} by "
            f"the quickest calls of all (outputs are accepted up to {TOLERANCE:g})"
        )
    if found.noise > NOISY:
        lines.append(
            f"  noisy: a median is {found.noise:.1f} times the best; what else does this machine do?"
        )
    return "\n".join(lines)


def steps_text(steps: Sequence[StepTime], most: int = 10) -> str:
    """The algorithms of all layers, and the slowest steps with what bounds them."""
    total = sum(one.seconds for one in steps)
    timed = [one for one in steps if one.seconds > 0]  # all but those that are in others
    slowest = sorted(timed, key=lambda one: -one.seconds)[:most]
    lines = [
        *wrap(
            f"algorithms: {algorithms([one.step for one in steps])}",
            118,
            initial_indent="  ",
            subsequent_indent="    ",
        ),
        f"  slowest of {len(timed)} steps, {total * 1e3:.2f} ms together:",
        f"  {'layer':>6} {'algorithm':<11} {'':<40} {'time':>9} {'share':>6} {'GFLOP/s':>8} {'limit':>9} "
        f"{'reached':>8}  bound by",
    ]
    for one in slowest:
        size = f"{one.size}, with {one.joined} before" if one.joined else one.size
        lines.append(
            f"  {one.step.layer:>6} {one.step.algorithm:<11} {size:<40} {one.seconds * 1e3:>6.2f} ms "
            f"{one.seconds / total:>6.1%} {one.step.flops / one.seconds / 1e9:>8.1f} "
            f"{one.limit * 1e3:>6.2f} ms {one.limit / one.seconds:>8.0%}  {one.bound}"
        )
    limit = sum(one.limit for one in steps)
    lines.append(
        f"  the limits of all steps together: {limit * 1e3:.2f} ms, {limit / total:.0%} of their time"
    )
    return "\n".join(lines)

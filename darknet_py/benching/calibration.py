"""Random parameters for networks without trained ones, such that measurements mean something.

With plain random weights the values of a deep network grow or vanish layer by layer, until engines meet
infinities or denormals, and outputs can no longer be compared. Here batch normalisation keeps them of order
1, as training does.
"""

from __future__ import annotations

import os

import numpy as np

from ..errors import ArgumentError
from ..network import Network
from ..trainer import Trainer

__all__ = ["calibrate", "write_weights"]

#: A training pass moves running statistics this far towards the batch's own (docs/compat.md 10.7).
STEP = 0.01
LEAST_VARIANCE = 1e-3  # of channels that are constant, as where a map is one pixel of one picture


def calibrate(net: Network, seed: int = 0) -> None:
    """Gives a network random parameters under which activations stay of order 1.

    Weights are normal with variance 2 / fan-in (He et al., 2015), biases and scales spread around 0 and 1.
    One forward pass in training mode over noise then gives the mean and variance of what enters each batch
    normalisation. The pass takes the network's `batch` pictures; 1 is enough.
    """
    rng = np.random.default_rng(seed)
    for layer in net.layers:
        for name, values in layer.params.items():
            if name.endswith("weights"):
                spread = np.sqrt(2 / max(1, values[0].size))
                new = spread * rng.standard_normal(values.shape, np.float32)
            elif name.endswith("scales"):
                new = rng.uniform(0.5, 1.5, values.shape)
            elif name.endswith(("mean", "variance")):
                new = np.zeros(values.shape)
            else:
                new = rng.uniform(-0.1, 0.1, values.shape)
            net.set_param(layer.index, name, new)
    if any(name.endswith("rolling_variance") for layer in net.layers for name in layer.params):
        _keep_statistics(net, rng)


def _keep_statistics(net: Network, rng: np.random.Generator) -> None:
    x = rng.random(net.input_shape, np.float32)
    truths = max(layer.truths for layer in net.layers)
    truth = np.zeros((len(x), truths), np.float32) if truths else None
    trainer = Trainer(net)
    try:
        trainer.forward(x, truth)
    finally:
        trainer.close()
    for layer in net.layers:
        for name, values in layer.params.items():
            if name.endswith("rolling_mean"):
                net.set_param(layer.index, name, values / STEP)
            elif name.endswith("rolling_variance"):
                net.set_param(layer.index, name, np.maximum(values / STEP, LEAST_VARIANCE))


def write_weights(net: Network, path: str | os.PathLike[str], seed: int = 0) -> None:
    """Calibrates a network and writes its parameters, a .weights file."""
    if net.time_steps > 1:
        raise ArgumentError("networks that read sequences can't be calibrated: give weights")
    calibrate(net, seed)
    net.save_weights(path)

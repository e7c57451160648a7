"""Backward passes against finite differences.

A case of the registry walk is a small network whose last layer is under test. With a random delta d at that
layer the backward pass must give d J, J the derivative of its output with respect to the input and to every
parameter below: differences of the training-mode forward pass say what that is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest

import darknet_py as dn
from darknet_py._native import ffi, lib

STEP = 1e-2
ENTRIES = 6  # single values checked in every array, besides one random direction through all of them


@dataclass
class Case:
    """layers: sections after [net]; the last one is of the type under test."""

    layers: str
    net: str = "width=7\nheight=6\nchannels=4"
    batch: int = 2
    tolerance: float = 2e-3
    away: tuple[float, ...] = ()  # inputs keep their distance from these kinks
    apart: bool = False  # all inputs differ by more than the step, so that no maximum changes
    spread: float = 1.0


def last_type(case: Case) -> str:
    return case.layers[case.layers.rindex("[") + 1 : case.layers.rindex("]")]


CONV = (
    "[convolutional]\nfilters={filters}\nsize={size}\nstride={stride}\npad={pad}\ngroups={groups}\n{more}\n"
)


def conv(
    size: int,
    stride: int = 1,
    pad: int = 1,
    groups: int = 1,
    filters: int = 6,
    more: str = "activation=linear",
) -> str:
    return CONV.format(size=size, stride=stride, pad=pad, groups=groups, filters=filters, more=more)


def deconv(options: str, filters: int = 5) -> str:
    if "activation" not in options:
        options += "\nactivation=linear"
    return f"[deconvolutional]\nfilters={filters}\n{options}\n"


MIX = conv(1, filters=4)  # a linear layer in front, so that layers with two sources have two
SMOOTH = ("linear", "logistic", "loggy", "elu", "tanh", "swish", "mish")
KINKED = {
    "relu": (0.0,),
    "relie": (0.0,),
    "ramp": (0.0,),
    "leaky": (0.0,),
    "selu": (0.0,),
    "plse": (-4.0, 4.0),
    "stair": tuple(float(k) for k in range(-8, 9)),
    "hardtan": (-1.0, 1.0),
    "lhtan": (0.0, 1.0),
    "relu6": (0.0, 6.0),
    "revleaky": (0.0,),
    "hard_mish": (-2.0, 0.0),
}
BATCH_NORM = "batch_normalize=1\nactivation={}"
WIDE = "width=12\nheight=11\nchannels=3"  # many samples: the variance is divided by N - 1, its gradient by N

SEQUENCES = "inputs=7\ntime_steps=3"

CASES: dict[str, Case] = {
    "conv 1x1": Case(conv(1)),
    "conv 1x1 stride 2": Case(conv(1, 2)),
    "conv 2x2": Case(conv(2, 1, 0)),
    "conv 3x3": Case(conv(3)),
    "conv 3x3 unpadded": Case(conv(3, 1, 0)),
    "conv 3x3 stride 2": Case(conv(3, 2)),
    "conv 3x3 stride 3": Case(conv(3, 3)),
    "conv 5x5": Case(conv(5)),
    "conv 5x5 stride 2": Case(conv(5, 2)),
    "conv 7x7 stride 2": Case(conv(7, 2)),
    "conv padding": Case(conv(3, 1, 0, more="padding=2\nactivation=linear")),
    "conv strides": Case(conv(3, 1, more="stride_x=2\nstride_y=3\nactivation=linear")),
    "conv groups": Case(conv(3, 1, groups=2)),
    "conv 1x1 groups": Case(conv(1, 1, groups=2)),
    "conv depthwise": Case(conv(3, 1, groups=4, filters=4)),
    "conv depthwise stride 2": Case(conv(3, 2, groups=4, filters=4)),
    "conv depthwise 5x5": Case(conv(5, 1, groups=4, filters=4)),
    "conv depthwise twice": Case(conv(3, 1, groups=4, filters=8)),
    "conv dilation": Case(conv(3, more="dilation=2\nactivation=linear")),
    "conv dilation groups": Case(conv(3, 2, groups=2, more="dilation=2\nactivation=linear")),
    "conv shared": Case(
        conv(3, filters=4, more="activation=tanh")
        + conv(3, 2, filters=4, more="share_index=-1\nactivation=logistic")
    ),
    "conv one pixel": Case(conv(3), net="width=1\nheight=1\nchannels=3"),
    "conv one image": Case(conv(3), batch=1),
    "conv wide": Case(conv(3, filters=17), net="width=19\nheight=5\nchannels=9", batch=3),
    "conv after conv": Case(conv(3, more="activation=tanh") + conv(3, more="activation=logistic")),
    **{f"conv {kind}": Case(conv(3, more=f"activation={kind}")) for kind in SMOOTH},
    **{
        f"conv batch norm {kind}": Case(
            conv(3, more=BATCH_NORM.format(kind)), net=WIDE, batch=4, tolerance=2e-2
        )
        for kind in ("linear", "tanh", "mish")
    },
    "connected": Case("[connected]\noutput=5\nactivation=linear\n"),
    "connected vector": Case("[connected]\noutput=5\nactivation=logistic\n", net="inputs=9", batch=3),
    "connected mish": Case("[connected]\noutput=5\nactivation=mish\n", net="inputs=9", batch=3),
    "connected batch norm": Case(
        "[connected]\noutput=5\nbatch_normalize=1\nactivation=tanh\n",
        net="inputs=9",
        batch=300,
        tolerance=2e-2,
    ),
    "batchnorm": Case("[batchnorm]\n", net=WIDE, batch=4, tolerance=2e-2),
    "deconv 2x2 stride 2": Case(deconv("size=2\nstride=2")),
    "deconv 3x3": Case(deconv("size=3\npad=1")),
    "deconv 3x3 unpadded": Case(deconv("size=3\nactivation=tanh")),
    "deconv 4x4 stride 2": Case(deconv("size=4\nstride=2\npadding=1\nactivation=mish")),
    "deconv 1x1 stride 3": Case(deconv("size=1\nstride=3")),
    "deconv one filter": Case(deconv("size=3\nstride=2", filters=1)),
    "deconv batch norm": Case(
        deconv("size=3\nbatch_normalize=1\nactivation=tanh"), net=WIDE, batch=4, tolerance=2e-2
    ),
    "local 3x3": Case("[local]\nfilters=3\nsize=3\npad=1\nactivation=linear\n"),
    "local 3x3 stride 2": Case("[local]\nfilters=3\nsize=3\nstride=2\nactivation=tanh\n"),
    "local 5x5": Case("[local]\nfilters=2\nsize=5\npad=2\nactivation=linear\n"),
    "local 1x1 mish": Case("[local]\nfilters=2\nsize=1\nactivation=mish\n", batch=1),
    "local many images": Case("[local]\nfilters=5\nsize=3\npad=1\nactivation=linear\n", batch=11),
    "maxpool 2": Case("[maxpool]\nsize=2\nstride=2\n", apart=True),
    "maxpool 3 stride 1": Case("[maxpool]\nsize=3\nstride=1\n", apart=True),
    "maxpool 3 stride 2": Case("[maxpool]\nsize=3\nstride=2\n", apart=True),
    "maxpool padding": Case("[maxpool]\nsize=2\nstride=2\npadding=2\n", apart=True),
    "maxpool strides": Case("[maxpool]\nsize=3\nstride_x=2\nstride_y=1\n", apart=True),
    "maxpool depth": Case("[maxpool]\nmaxpool_depth=1\nout_channels=2\n", apart=True),
    "avgpool": Case("[avgpool]\n"),
    "dropout": Case(MIX + "[dropout]\nprobability=0\n"),
    "dropout first": Case("[dropout]\nprobability=0\n"),
    "route": Case(MIX + conv(3) + "[route]\nlayers=-1,0\n"),
    "route twice": Case(MIX + "[route]\nlayers=0,0\n"),
    "route one": Case(MIX + conv(3) + "[route]\nlayers=-2\n"),
    "route groups": Case(MIX + "[route]\nlayers=0\ngroups=2\ngroup_id=1\n"),
    "route several groups": Case(MIX + conv(3) + "[route]\nlayers=-1,0\ngroups=2\ngroup_id=0\n"),
    "route sizes": Case(MIX + conv(3, 2) + "[route]\nlayers=-1,0\n"),
    "shortcut": Case(MIX + conv(3, filters=4) + "[shortcut]\nfrom=0\nactivation=linear\n"),
    "shortcut tanh": Case(MIX + conv(3, filters=4) + "[shortcut]\nfrom=-2\nactivation=tanh\n"),
    "shortcut swish": Case(MIX + conv(3, filters=4) + "[shortcut]\nfrom=-2\nactivation=swish\n"),
    "shortcut fewer channels": Case(MIX + conv(3, filters=6) + "[shortcut]\nfrom=0\n"),
    "shortcut more channels": Case(MIX + conv(3, filters=3) + "[shortcut]\nfrom=0\n"),
    "shortcut beta": Case(MIX + conv(3, filters=4) + "[shortcut]\nfrom=0\nbeta=.5\n"),
    "shortcut alpha": Case(MIX + conv(3, filters=4) + "[shortcut]\nfrom=0\nalpha=.5\nbeta=2\n"),
    "shortcut down": Case(
        MIX + conv(3, 2, filters=4) + "[shortcut]\nfrom=0\n", net="width=8\nheight=6\nchannels=4"
    ),
    "shortcut up": Case(
        conv(3, 2, filters=4) + "[upsample]\n" + "[shortcut]\nfrom=0\n", net="width=8\nheight=6\nchannels=4"
    ),
    "shortcut several": Case(MIX + conv(3, filters=4) + conv(1, filters=4) + "[shortcut]\nfrom=-2,-3\n"),
    "shortcut per_feature": Case(
        MIX + conv(3, filters=4) + "[shortcut]\nfrom=0\nweights_type=per_feature\nactivation=linear\n"
    ),
    "shortcut per_channel": Case(
        MIX + conv(3, filters=4) + conv(1, filters=4) + "[shortcut]\nfrom=-2,-3\nweights_type=per_channel\n"
    ),
    "shortcut per_channel fewer": Case(
        MIX + conv(3, filters=6) + "[shortcut]\nfrom=0\nweights_type=per_channel\n"
    ),
    "upsample": Case("[upsample]\n"),
    "upsample scale": Case("[upsample]\nstride=3\nscale=.5\n"),
    "upsample reverse": Case("[upsample]\nstride=-2\nscale=2\n", net="width=8\nheight=6\nchannels=4"),
    "reorg": Case("[reorg]\nstride=2\n", net="width=8\nheight=6\nchannels=4"),
    "reorg reverse": Case("[reorg]\nstride=2\nreverse=1\n", net="width=8\nheight=6\nchannels=8"),
    "reorg flatten": Case("[reorg]\nflatten=1\n"),
    "reorg flatten reverse": Case("[reorg]\nflatten=1\nreverse=1\n"),
    "reorg extra": Case("[reorg]\nextra=5\n"),
    "scale_channels": Case(MIX + "[avgpool]\n" + "[scale_channels]\nfrom=0\nactivation=linear\n"),
    "scale_channels logistic": Case(MIX + "[avgpool]\n" + "[scale_channels]\nfrom=-2\nactivation=logistic\n"),
    "sam": Case(MIX + conv(1, filters=4) + "[sam]\nfrom=0\n"),
    "sam logistic": Case(MIX + conv(1, filters=4) + "[sam]\nfrom=-2\nactivation=logistic\n"),
    "sam with itself": Case(MIX + "[sam]\nfrom=-1\n"),
    "reorg3d": Case("[reorg3d]\nstride=2\n", net="width=4\nheight=6\nchannels=3"),
    "reorg3d reverse": Case("[reorg3d]\nstride=2\nreverse=1\n", net="width=3\nheight=2\nchannels=16"),
    "local_avgpool": Case("[local_avgpool]\nsize=3\nstride=2\n"),
    "local_avgpool unpadded": Case("[local_avgpool]\nsize=2\nstride=1\npadding=0\n"),
    "local_avgpool strides": Case("[local_avgpool]\nsize=4\nstride_x=3\nstride_y=1\n"),
    "local_avgpool beyond the map": Case("[local_avgpool]\nsize=2\nstride=2\npadding=6\n"),
    "empty": Case(MIX + "[empty]\n"),
    "empty first": Case("[empty]\n"),
    "implicit": Case("[implicit]\nfilters=5\natoms=3\n"),
    "implicit factors": Case(MIX + "[implicit]\nfilters=4\nmean=1\nstd=.02\n[scale_channels]\nfrom=0\n"),
    "scale_channels wh": Case(MIX + conv(1, filters=1) + "[scale_channels]\nfrom=0\nscale_wh=1\n"),
    "rnn": Case("[rnn]\noutput=5\nactivation=tanh\n", net=SEQUENCES, batch=3),
    "rnn shortcut": Case("[rnn]\noutput=5\nshortcut=1\nactivation=logistic\n", net=SEQUENCES, batch=3),
    "rnn batch norm": Case(
        "[rnn]\noutput=4\nbatch_normalize=1\nactivation=tanh\n", net=SEQUENCES, batch=200, tolerance=3e-2
    ),
    "gru": Case("[gru]\noutput=5\ntanh=1\n", net=SEQUENCES, batch=3),
    "gru logistic": Case("[gru]\noutput=5\n", net=SEQUENCES, batch=1),
    "gru batch norm": Case("[gru]\noutput=4\nbatch_normalize=1\n", net=SEQUENCES, batch=200, tolerance=3e-2),
    "lstm": Case("[lstm]\noutput=5\n", net=SEQUENCES, batch=3),
    "lstm after a layer": Case(
        "[connected]\noutput=6\nactivation=tanh\n[lstm]\noutput=5\n", net=SEQUENCES, batch=3
    ),
    "crnn": Case(
        "[crnn]\noutput_filters=3\nhidden_filters=4\nactivation=tanh\n",
        net="width=5\nheight=4\nchannels=3\ntime_steps=3",
    ),
    "crnn shortcut": Case(
        "[crnn]\noutput=3\nhidden=4\nsize=1\nshortcut=1\nactivation=logistic\n",
        net="width=5\nheight=4\nchannels=3\ntime_steps=2",
    ),
    "conv_lstm": Case("[conv_lstm]\noutput=3\n", net="width=5\nheight=4\nchannels=3\ntime_steps=3"),
    "conv_lstm peephole": Case(
        "[conv_lstm]\noutput=3\npeephole=1\nactivation=tanh\n",
        net="width=5\nheight=4\nchannels=3\ntime_steps=3",
    ),
    "rnn after a layer": Case(
        "[connected]\noutput=6\nactivation=tanh\n[rnn]\noutput=5\nactivation=tanh\n",
        net=SEQUENCES,
        batch=3,
    ),
    **{f"activation {kind}": Case(f"[activation]\nactivation={kind}\n") for kind in SMOOTH},
    **{
        f"activation {kind}": Case(f"[activation]\nactivation={kind}\n", away=kinks, spread=3)
        for kind, kinks in KINKED.items()
    },
}

#: Types without a Jacobian to check here, and what checks them: a test of the loss below, a file of tests, or
#: golden cases.
OTHERWISE: dict[str, str] = {
    "softmax": "test_softmax_loss",
    "logistic": "test_logistic_loss",
    "l2norm": "train_l2norm",  # the reference hands the delta on as it is
    "normalization": "train_normalization",  # and takes the norms as constants
    "crop": "test_crop.py",
    "iseg": "test_iseg.py",
    "cost": "test_cost_kinds",
    "contrastive": "test_contrastive_is_not_trained",
    "detection": "test_detection_loss",
    "region": "train_region_background__gpusem",
    "yolo": "train_yolo_0",
    "Gaussian_yolo": "test_gaussian_yolo.py",
}


def registry_types() -> list[str]:
    names = []
    while (name := lib.dn_registry_type(len(names), ffi.NULL)) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return names


def test_every_layer_type_has_a_case() -> None:
    cases = {last_type(case) for case in CASES.values()}
    known = golden.find_cases()
    for name in registry_types():
        where = OTHERWISE.get(name)
        found = name in cases or where in globals() or where in known
        assert found or (where and (Path(__file__).parent / where).exists()), f"[{name}] has no gradient case"


# ---- differences --------------------------------------------------------------------------------------


def some_values(random: np.random.Generator, shape: tuple[int, ...], case: Case) -> Any:
    """Inputs at a safe distance from kinks, and from each other where a maximum is taken."""
    if case.apart:
        count = int(np.prod(shape))
        return ((random.permutation(count) - count / 2) * (4 * STEP)).reshape(shape).astype(np.float32)
    x = random.normal(0, case.spread, shape)
    for kink in case.away:
        close = np.abs(x - kink) < 4 * STEP
        x = np.where(close, kink + np.where(x < kink, -1, 1) * (6 * STEP), x)
    return x.astype(np.float32)


def randomize(net: dn.Network, random: np.random.Generator) -> None:
    for layer in net.layers:
        for name, values in layer.params.items():
            centre, spread = (1.0, 0.3) if name.endswith(("scales", "rolling_variance")) else (0.0, 0.5)
            if layer.type == "shortcut":
                centre, spread = 1.0, 0.5
            net.set_param(layer.index, name, random.normal(centre, spread, values.shape).astype(np.float32))


def backward_from(trainer: dn.Trainer, layer: int, delta: Any) -> None:
    trainer.gradient_arena()[:] = 0
    delta = np.ascontiguousarray(delta, np.float32)
    assert lib.dn_trainer_backward_from(trainer._handle, layer, ffi.from_buffer("float[]", delta)) == 0


def check_array(
    what: str,
    function: Callable[[Any], float],
    at: Any,
    gradient: Any,
    random: np.random.Generator,
    tolerance: float,
    step: float = STEP,
) -> None:
    """Central differences of `function` around `at`, along single entries and one random direction."""
    size = at.size
    directions = [np.eye(1, size, int(k)) for k in random.choice(size, min(size, ENTRIES), replace=False)]
    signs = random.choice([-1.0, 1.0], (1, size)) / np.sqrt(size)
    typical = float(np.sqrt(np.mean(np.square(gradient, dtype=np.float64)))) + 1e-3
    for direction in [*directions, signs]:
        offset = (step * direction).reshape(at.shape)
        high, low = (at + offset).astype(np.float32), (at - offset).astype(np.float32)
        moved = np.abs(high.astype(np.float64) - low).max() / (
            2 * np.abs(offset).max()
        )  # float32 rounds the step
        found = (function(high) - function(low)) / (2 * step * moved)
        expected = float(np.sum(gradient.astype(np.float64) * direction.reshape(at.shape)))
        limit = tolerance * max(abs(expected), abs(found), typical)
        assert abs(found - expected) <= limit, f"{what}: difference {found:.6g}, backward {expected:.6g}"


@pytest.mark.parametrize("name", CASES)
def test_backward_is_the_derivative(name: str) -> None:
    case = CASES[name]
    random = np.random.default_rng(sum(map(ord, name)))
    cfg = f"[net]\nbatch={case.batch}\n{case.net}\n{case.layers}"
    with dn.Network.from_string(cfg) as net, dn.Trainer(net, input_delta=True, threads=1) as trainer:
        randomize(net, random)
        x, last = some_values(random, net.input_shape, case), len(net.layers) - 1
        trainer.backward(x)
        d = random.normal(0, 1, trainer.output(last).shape).astype(np.float32)

        def projection(values: Any) -> float:
            trainer.reset()  # recurrent layers start from zero, as in the pass above
            trainer.backward(values)
            return float(np.sum(trainer.output(last).astype(np.float64) * d))

        backward_from(trainer, last, d)
        input_delta = trainer.input_delta
        gradients = [trainer.gradients(i) for i in range(last + 1)]
        check_array("input", projection, x, input_delta, random, case.tolerance)
        for i, layer in enumerate(net.layers):
            for parameter, values in layer.params.items():
                if "rolling" in parameter:
                    assert not gradients[i][parameter].any()
                    continue

                def with_parameter(changed: Any, i: int = i, parameter: str = parameter) -> float:
                    net.set_param(i, parameter, changed)
                    return projection(x)

                what = f"layer {i} {parameter}"
                check_array(what, with_parameter, values, gradients[i][parameter], random, case.tolerance)
                net.set_param(i, parameter, values)


def test_gradients_accumulate_until_an_update() -> None:
    with dn.Network.from_string(
        f"[net]\n{CASES['conv 3x3'].net}\n{conv(3)}[avgpool]\n[softmax]\n", seed=1
    ) as net:
        x, truth = (
            np.random.default_rng(0).random(net.input_shape, np.float32),
            np.eye(6, dtype=np.float32)[:1],
        )
        with dn.Trainer(net) as trainer:
            trainer.backward(x, truth)
            once = trainer.gradients(0)["weights"]
            trainer.backward(x, truth)
            np.testing.assert_allclose(trainer.gradients(0)["weights"], 2 * once, rtol=1e-5, atol=1e-7)


# ---- losses -------------------------------------------------------------------------------------------


def check_loss(cfg: str, x: Any, truth: Any, factor: float, seed: int = 0) -> None:
    """The delta of the input is -factor times the derivative of the cost."""
    with dn.Network.from_string(cfg) as net, dn.Trainer(net, input_delta=True, threads=1) as trainer:
        trainer.backward(x, truth)
        gradient = trainer.input_delta
        random = np.random.default_rng(seed)
        check_array("input", lambda at: -factor * trainer.backward(at, truth), x, gradient, random, 5e-3)


@pytest.mark.parametrize("groups", [1, 3])
def test_softmax_loss(groups: int) -> None:
    random = np.random.default_rng(groups)
    truth = np.eye(12 // groups, dtype=np.float32)[random.integers(0, 12 // groups, (4, groups))].reshape(
        4, 12
    )
    cfg = f"[net]\ninputs=12\nbatch=4\n[softmax]\ngroups={groups}\n"
    check_loss(cfg, random.normal(0, 1, (4, 12)).astype(np.float32), truth, 1)


def test_spatial_softmax_loss() -> None:
    random = np.random.default_rng(2)
    classes = random.integers(0, 5, (2, 3, 4))
    truth = np.eye(5, dtype=np.float32)[classes].transpose(0, 3, 1, 2).reshape(2, 60)
    cfg = "[net]\nwidth=4\nheight=3\nchannels=5\nbatch=2\n[softmax]\nspatial=1\n"
    check_loss(cfg, random.normal(0, 1, (2, 5, 3, 4)).astype(np.float32), truth, 1)


def test_logistic_loss() -> None:
    random = np.random.default_rng(3)
    x, truth = random.normal(0, 1, (3, 8)).astype(np.float32), random.random((3, 8), np.float32)
    check_loss("[net]\ninputs=8\nbatch=3\n[activation]\n[logistic]\n", x, truth, 1)


def test_the_loss_of_a_saturated_logistic_is_finite() -> None:
    cfg = "[net]\ninputs=4\nbatch=1\n[logistic]\n"
    x, truth = np.array([[200, -200, 200, -200]], np.float32), np.array([[1, 0, 0, 1]], np.float32)
    with dn.Network.from_string(cfg) as net, dn.Trainer(net) as trainer:
        assert trainer.backward(x, truth) == pytest.approx(-2 * np.log(1e-7), rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "options", "factor"),
    [
        ("sse", "", 0.5),  # the delta of a square is not doubled
        ("sse", "scale=3", 1.5),
        ("sse", "smooth=.1", 0.5),
        ("masked", "", 0.5),
        ("smooth", "", 0.5),
        ("L1", "", 1),
        ("seg", "noobj=.3", 0.5),
        ("wgan", "", 1),
    ],
)
def test_cost_kinds(kind: str, options: str, factor: float) -> None:
    random = np.random.default_rng(len(kind))
    truth = random.choice([0, 1, 2] if kind != "wgan" else [0, 1], (3, 8)).astype(np.float32)
    distance = random.choice([-1.7, -0.6, -0.3, 0.4, 0.5, 1.6], (3, 8))  # off the kinks at 0 and 1
    if kind == "wgan":
        distance = np.abs(distance)
    x = (truth + distance).astype(np.float32)
    if kind == "masked":
        truth[:, ::3] = -1234
    check_loss(f"[net]\ninputs=8\nbatch=3\n[activation]\n[cost]\ntype={kind}\n{options}\n", x, truth, factor)


@pytest.mark.parametrize("options", ["", "sqrt=1", "forced=1"])
def test_detection_loss(options: str) -> None:
    """With rescore=0, and predictors too different for the step to change which is responsible."""
    random = np.random.default_rng(8)
    x = random.uniform(0.2, 0.8, (2, 52)).astype(np.float32)  # 2 x 2 cells of 2 boxes, 3 classes
    truth = np.zeros((2, 4, 8), np.float32)
    truth[:, 1:3, 0] = 1
    truth[:, 1:3, 1:4] = np.eye(3)[random.integers(0, 3, (2, 2))]
    truth[:, 1:3, 4:] = random.uniform(0.2, 0.8, (2, 2, 4))
    head = f"[detection]\nclasses=3\ncoords=4\nnum=2\nside=2\n{options}\n"
    check_loss(f"[net]\ninputs=52\nbatch=2\n{head}", x, truth, 0.5)


def test_contrastive_is_not_trained() -> None:
    """It is skipped where networks only run; training it would go wrong silently."""
    cfg = f"[net]\n{CASES['conv 3x3'].net}\n{conv(3)}[contrastive]\nyolo_layer=-1\n"
    with dn.Network.from_string(cfg, strict=True) as net:
        x = np.ones(net.input_shape, np.float32)
        assert net.output_layers == (0,)
        np.testing.assert_allclose(net.predict(x)[0], net.activations(x)[0], rtol=1e-4, atol=1e-5)
        with dn.Trainer(net) as trainer, pytest.raises(dn.DarknetError, match=r"layer 1 .*can't be trained"):
            trainer.backward(x)

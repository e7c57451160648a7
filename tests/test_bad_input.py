"""Broken cfg files, by hand and by mutation: each gives a CfgError that names file, line, section and key, and the
process goes on. Other broken files are in test_bad_files.py."""
# ruff: noqa: E501 (one row of a table, one line)

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_bad_files as files
from bad_input import TRIED, refused, survives
from conftest import TINY_CFG

import darknet_py as dn
from darknet_py._native import ffi, lib

# ---- cfg files made by hand -----------------------------------------------------------------------------

NET = "[net]\nwidth=16\nheight=16\nchannels=3\n"
CONV = "[convolutional]\nfilters=4\nsize=3\npad=1\n"
VECTOR = "[net]\ninputs=5\n"


def head(kind: str, filters: int, options: str) -> str:
    return f"{NET}[convolutional]\nfilters={filters}\nsize=1\nactivation=linear\n[{kind}]\n{options}"


# text of the cfg -> what the message must say (a regular expression)
WRONG_CFGS: dict[str, tuple[str | bytes, str]] = {
    # the grammar
    "empty": ("", "no sections"),
    "blank lines": ("\n\n \t\r\n", "no sections"),
    "comments only": ("# a\n; b\n", "no sections"),
    "byte order mark only": (b"\xef\xbb\xbf", "no sections"),
    "prose": ("this is not a cfg\n", "x.cfg:1: .*before the first section"),
    "an option before the first section": (f"width=3\n{NET}{CONV}", "x.cfg:1: 'width=3' stands before"),
    "a layer first": (CONV + NET, r"x.cfg:1: \[convolutional\]: the first section must be \[net\]"),
    "no layers": (NET, "no layers follow"),
    "a section without ]": (f"{NET}[convolutional\n", "x.cfg:5: .*brackets"),
    "text after ]": (f"{NET}[convolutional] # note\n", "x.cfg:5: .*alone on its line"),
    "two sections on a line": (f"{NET}[route][route]\n", "x.cfg:5: "),
    "an empty section name": (f"{NET}[]\n", r"x.cfg:5: \[\]: unknown"),
    "a section of 10 MB": (b"[" + b"a" * 10_000_000 + b"]\n", "longer than"),
    "an unknown layer": (f"{NET}[convolutionl]\n", r"x.cfg:5: .*did you mean \[convolutional\]"),
    "an unknown layer unlike any other": (f"{NET}[qqqqqqqqqqqqqqqqqqqq]\n", "unknown or unsupported layer type"),
    "net twice": (NET + NET + CONV, r"\[net\]: unknown"),
    "a zero byte": (NET.encode() + b"[conv\0olutional]\n", "x.cfg:5: a zero byte: this is a binary file"),
    "zero bytes only": (b"\0" * 100, "binary"),
    "random bytes": (random.Random(1).randbytes(5000), "x.cfg:"),
    "random bytes behind [net]": (NET.encode() + random.Random(2).randbytes(5000), "x.cfg:"),
    "UTF-16": (NET.encode("utf-16"), "x.cfg:1: "),
    "a PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "x.cfg:"),
    "a web page": ("<!DOCTYPE html>\n<html>\n", "x.cfg:1: "),
    "a line of 10 MB": (b"a" * 10_000_000, "before the first section"),
    "more than 16 MB": (b"#" * (17 << 20), "at most"),
    "too many sections": ("[net]\n" * 20_001, "more than 20000 sections"),
    "too many options": (NET + "a=1\n" * 2001, "more than 2000 options"),
    "carriage returns only": (NET.replace("\n", "\r") + "[avgpool]\r", "x.cfg:1: "),
    # [net]
    "no input size": ("[net]\n[avgpool]\n", "no input size: set width, height and channels, or inputs"),
    "no channels": (f"[net]\nwidth=4\nheight=4\n{CONV}", "no input size"),
    "a negative width": (f"[net]\nwidth=-4\nheight=4\nchannels=3\n{CONV}", r"x.cfg:2: \[net\] width: must be 0 to"),
    "a huge width": (f"[net]\nwidth=99999999999999999999\nheight=4\nchannels=3\n{CONV}", r"width: must be 0 to"),
    "sizes whose product overflows": (f"[net]\nwidth=1048576\nheight=1048576\nchannels=1048576\n{CONV}", "too large"),
    "inputs that disagree": (f"{NET}inputs=5\n{CONV}", r"x.cfg:5: \[net\] inputs: is 5, but width . height"),
    "no batch": (f"{NET}batch=0\n{CONV}", r"x.cfg:5: \[net\] batch: must be 1 to 1048576, not 0"),
    "a negative batch": (f"{NET}batch=-1\n{CONV}", "batch: must be 1"),
    "no subdivisions": (f"{NET}subdivisions=0\n{CONV}", "subdivisions: must be 1"),
    "too many time steps": (f"{NET}batch=1000000\ntime_steps=1000000\n{CONV}", "time_steps: times the batch"),
    "a negative learning rate": (f"{NET}learning_rate=-1\n{CONV}", "learning_rate: must be 0 to"),
    "an infinite momentum": (f"{NET}momentum=1e999\n{CONV}", "momentum: must be"),
    "policy steps without steps": (f"{NET}policy=steps\n{CONV}", "steps: is required by policy=steps"),
    "fewer scales than steps": (f"{NET}policy=steps\nsteps=1,2\nscales=.1\n{CONV}", "scales: has 1 values for 2 steps"),
    "a step of 0": (f"{NET}policy=step\nstep=0\n{CONV}", "step: must be 1 or more, not 0"),
    "scales beyond float": (f"{NET}policy=steps\nsteps=1\nscales=1e99\n{CONV}", "item 1 is not a finite number"),
    # convolutional
    "no filters": (f"{NET}[convolutional]\nfilters=0\n", r"x.cfg:6: \[convolutional\] filters: must be 1 to .*, not 0"),
    "negative filters": (f"{NET}[convolutional]\nfilters=-3\n", "filters: must be 1 to .*, not -3"),
    "too many filters": (f"{NET}[convolutional]\nfilters=99999999999\n", "filters: must be 1 to"),
    "a kernel of 0": (f"{NET}[convolutional]\nsize=0\n", "size: must be 1 to"),
    "a stride of 0": (f"{NET}[convolutional]\nstride=0\n", "stride: must be 1 to 4096, not 0"),
    "a negative padding": (f"{NET}[convolutional]\npadding=-1\n", "padding: must be 0 to"),
    "a kernel that does not fit": (f"{NET}[convolutional]\nsize=17\n", "17 x 17 kernel does not fit an input of 16 x"),
    "no groups": (f"{CONV.join([NET, ''])}groups=0\n", "groups: must be 1 or more, not 0"),
    "groups that do not divide": (f"{NET}{CONV}groups=2\n", "2 must divide the 3 input channels and the 4 filters"),
    "a dilation of 0": (f"{NET}{CONV}dilation=0\n", "dilation: must be 1"),
    "a sort of antialiasing that is none": (f"{NET}{CONV}antialiasing=3\n", "antialiasing: must be 0 to 2, not 3"),
    "blurring too small a map": (
        "[net]\nwidth=1\nheight=9\nchannels=1\n[maxpool]\nsize=2\nstride=2\nantialiasing=2\n", "too small to blur"),
    "sharing with itself": (f"{NET}{CONV}share_index=0\n", "share_index: 0 means layer 0; layer 0 can only refer"),
    "sharing with nobody": (f"{NET}{CONV}{CONV}share_index=-2\n", "share_index: -2 means layer -1"),
    "sharing with another type": (f"{NET}[maxpool]\nsize=2\n{CONV}share_index=-1\n", r"layer 0 is \[maxpool\], not \[conv"),
    "sharing with another shape": (
        f"{NET}{CONV}{CONV}share_index=0\n", "layer 0 has weights of 4 x 3 x 3 x 3, this layer needs 4 x 4 x 3 x 3"),
    "sharing without normalization": (
        f"{NET}[convolutional]\nfilters=3\n[convolutional]\nfilters=3\nbatch_normalize=1\nshare_index=0\n",
        "layer 0 has batch_normalize=0, this layer 1"),
    "numload beyond filters": (f"{NET}{CONV}numload=5\n", "5 is more than the layer's 4 filters"),
    "a convolution of a vector": (VECTOR + CONV, "needs an image, but its input is a plain vector of 5 values"),
    "a kernel whose weights overflow": (
        "[net]\nwidth=8\nheight=8\nchannels=65536\n[convolutional]\nfilters=16777216\nsize=1024\npad=1\n", "too large"),
    "a deconvolution of a vector": (VECTOR + "[deconvolutional]\nsize=3\n", "needs an image"),
    "a deconvolution that cuts everything off": (
        f"{NET}[deconv]\nsize=3\npadding=9\n", "the output would be 0 x 0: an input of 16 x 16, stride 1, a 3 x 3 kernel, 9 cut"),
    "a deconvolution beyond int": (
        "[net]\nwidth=1048576\nheight=1\nchannels=1\n[deconv]\nstride=4096\n", "the output would be 4294963201 x 1"),
    "a deconvolution beyond counting": (
        "[net]\nwidth=1048576\nheight=1\nchannels=1\n[deconv]\nstride=1000\nfilters=1000\n", "too large"),
    "numload beyond the filters of a deconvolution": (
        f"{NET}[deconv]\nfilters=5\nnumload=6\n", "6 is more than the layer's 5 filters"),
    "local of a vector": (VECTOR + "[local]\nsize=3\n", "needs an image"),
    "a local that does not fit": (f"{NET}[local]\nsize=17\n", "17 x 17 kernel does not fit an input of 16 x 16"),
    "a local with too little padding": (
        f"{NET}[local]\nsize=5\npad=1\n", "1 zeros around 16 pixels have room for 14 windows of size 5, not for the 16"),
    "a local with too much padding": (f"{NET}[local]\nsize=1\npad=1\n", "room for 18 windows of size 1, not for the 16"),
    "a local beyond memory": (
        "[net]\nwidth=2000\nheight=2000\nchannels=500\n[local]\nsize=3\npad=1\nfilters=30\n", "more than the limit"),
    "crop of a vector": (VECTOR + "[crop]\n", "needs an image"),
    "a crop wider than its input": (
        f"{NET}[crop]\ncrop_width=17\ncrop_height=4\n", "a window of 17 x 4 does not fit an input of 16 x 16"),
    "a crop without saturation": (f"{NET}[crop]\nsaturation=0\n", "saturation: must be 0.001 to 1000, not 0"),
    # pooling and resampling
    "maxpool with stride 0": (f"{NET}[maxpool]\nsize=2\nstride=0\n", "stride: must be 1"),
    "a negative maxpool": (f"{NET}[maxpool]\nsize=-2\n", "size: must be 1"),
    "a maxpool that does not fit": (f"{NET}[maxpool]\nsize=20\npadding=0\n", "20 x 20 window does not fit"),
    "maxpool of a vector": (VECTOR + "[maxpool]\nsize=2\n", "needs an image"),
    "maxpool_depth with more channels": (f"{NET}[maxpool]\nmaxpool_depth=1\nout_channels=9\n", "9 is more than the 3"),
    "avgpool of a vector": (VECTOR + "[avgpool]\n", "needs an image"),
    "upsample by 0": (f"{NET}[upsample]\nstride=0\n", "stride: must not be 0"),
    "upsample beyond reason": (f"{NET}[upsample]\nstride=1025\n", "stride: must be -1024 to 1024"),
    "an uneven reverse upsample": (f"{NET}[upsample]\nstride=-3\n", "3 must divide the input's 16 x 16"),
    "upsamples that overflow": (f"{NET}" + "[upsample]\nstride=1000\n" * 3, "too large"),
    "a width beyond int": (
        "[net]\nwidth=1048576\nheight=1\nchannels=1024\n[reorg]\nstride=32\nreverse=1\n[upsample]\nstride=1024\n", "too"),
    "reorg by 0": (f"{NET}[reorg]\nstride=0\n", "stride: must be 1"),
    "reorg of uneven sizes": ("[net]\nwidth=15\nheight=16\nchannels=4\n[reorg]\nstride=2\n", "2 must divide the input"),
    "reorg of uneven channels": (f"{NET}[reorg]\nstride=2\n", "2 squared must divide the 3 channels"),
    # normalisation
    "l2norm of a vector": (VECTOR + "[l2norm]\n", "needs an image"),
    "lrn of a vector": (VECTOR + "[lrn]\n", "needs an image"),
    "lrn of no channels": (f"{NET}[normalization]\nsize=0\n", "size: must be 1 to"),
    "lrn with an infinite beta": (f"{NET}[lrn]\nbeta=1e999\n", "beta: must be"),
    # references
    "route without layers": (f"{NET}{CONV}[route]\n", "layers: is required"),
    "route to itself": (f"{NET}{CONV}[route]\nlayers=1\n", "layer 1 can only refer to layers before it"),
    "route forward": (f"{NET}{CONV}[route]\nlayers=7\n{CONV}", "7 means layer 7"),
    "route before the first layer": (f"{NET}{CONV}[route]\nlayers=-2\n", "-2 means layer -1"),
    "route beyond int": (f"{NET}{CONV}[route]\nlayers=99999999999999\n", "can only refer to layers before it"),
    "route with groups that do not divide": (f"{NET}{CONV}[route]\nlayers=-1\ngroups=3\n", "3 does not divide the 4"),
    "route with a group beyond": (f"{NET}{CONV}[route]\nlayers=-1\ngroups=2\ngroup_id=2\n", "group_id: must be 0 to 1"),
    "a route of a million layers": (f"{NET}{CONV}[route]\nlayers=" + "-1," * 1_000_000 + "-1\n", "layers: "),
    "an image layer after a mixed route": (
        f"{NET}{CONV}[maxpool]\nsize=2\nstride=2\n[route]\nlayers=-1,-2\n{CONV}",
        r"needs an image, .* 1280 values: layer 2 joins 8 x 8 \(layer 1\) and 16 x 16 \(layer 0\)"),
    "a reference behind thousands of layers": (
        NET + "[activation]\n" * 15_000 + "[route]\nlayers=99999\n",
        r"x.cfg:15006: \[route\] layers: 99999 means layer 99999; layer 15000 can only"),
    "weighted shortcut of another size": (
        f"{NET}{CONV}[maxpool]\nsize=2\nstride=2\n[shortcut]\nfrom=0\nweights_type=per_feature\n",
        "but layer 0 is 16 x 16, the previous layer 8 x 8"),
    "shortcut without from": (f"{NET}{CONV}[shortcut]\n", "from: is required"),
    "shortcut to nowhere": (f"{NET}{CONV}[shortcut]\nfrom=-5\n", "can only refer to layers before it"),
    "shortcut of sizes that do not match": (
        "[net]\nwidth=16\nheight=8\nchannels=3\n" + CONV + "[reorg]\nstride=2\n[connected]\noutput=4\n"
        "[shortcut]\nfrom=0\n", "they don't match"),
    "shortcut of a vector": (f"{NET}{CONV}[softmax]\n[shortcut]\nfrom=0\n", "needs an image"),
    "shortcut from a vector": (
        f"{NET}{CONV}[route]\nlayers=0\n[softmax]\n[route]\nlayers=0\n[shortcut]\nfrom=2\n", "plain vector"),
    "unknown weights_type": (f"{NET}{CONV}[shortcut]\nfrom=0\nweights_type=x\n", "must be none, per_feature"),
    "unknown normalization": (f"{NET}{CONV}[shortcut]\nfrom=0\nweights_normalization=x\n", "must be none, relu"),
    "scale_channels without from": (f"{NET}{CONV}[scale_channels]\n", "from: is required"),
    "scale_channels of another shape": (f"{NET}{CONV}{CONV}[scale_channels]\nfrom=0\n", "needs factors of 1 x 1 x 4"),
    "sam without from": (f"{NET}{CONV}[sam]\n", "from: is required"),
    "sam of another shape": (
        f"{NET}{CONV}[maxpool]\nsize=2\nstride=2\n[sam]\nfrom=0\n", "from: layer 0 is 16 x 16 x 4, but .* 8 x 8 x 4"),
    "sam of a vector": (VECTOR + "[softmax]\n[sam]\nfrom=0\n", "needs an image"),
    "sam with mish": (f"{NET}{CONV}[sam]\nfrom=0\nactivation=mish\n", "activation: is not available"),
    "reorg3d of uneven sizes": (f"{NET}[reorg3d]\nstride=3\n", "3 must divide the input's 16 x 16"),
    "reorg3d of too few channels": (f"{NET}{CONV}[reorg3d]\nstride=2\nreverse=1\n", "2 to the fourth must divide the 4"),
    "local_avgpool that does not fit": (f"{NET}[local_avgpool]\nsize=20\npadding=0\n", "20 x 20 window does not fit"),
    "local_avgpool of a vector": (VECTOR + "[local_avg]\nsize=2\n", "needs an image"),
    "implicit without filters": (f"{NET}{CONV}[implicit]\nfilters=0\n", "filters: must be 1"),
    "implicit beyond counting": (f"{NET}{CONV}[implicit]\nfilters=16777216\natoms=16777216\n", "too large"),
    "history": (f"{NET}{CONV}[history]\n", r"x.cfg:9: \[history\]: the fork's layer .* not supported"),
    # vectors
    "no outputs": (f"{NET}[connected]\noutput=0\n", "output: must be 1"),
    "outputs beyond counting": (f"{NET}[connected]\noutput=99999999999\n", "output: must be 1 to"),
    "softmax groups that do not divide": (VECTOR + "[softmax]\ngroups=2\n", "2 must divide the 5 inputs"),
    "softmax at temperature 0": (VECTOR + "[softmax]\ntemperature=0\n", "temperature: must be"),
    "a tree that is not there": (VECTOR + "[softmax]\ntree=no.tree\n", "no file 'no.tree' in the working directory"),
    "dropout of everything": (f"{NET}[dropout]\nprobability=1\n", "1 would drop everything"),
    "dropout of more than everything": (f"{NET}[dropout]\nprobability=2\n", "probability: must be 0 to 1, not 2"),
    "only a cost": (f"{NET}[cost]\n", "no layer has an output"),
    "label smoothing beyond 1": (f"{NET}{CONV}[cost]\nsmooth=2\n", "smooth: must be 0 to 1"),
    # recurrent layers
    "rnn without outputs": (VECTOR + "[rnn]\noutput=0\n", r"x.cfg:4: \[rnn\] output: must be 1"),
    "gru without outputs": (VECTOR + "[gru]\noutput=-1\n", "output: must be 1"),
    "lstm beyond counting": (VECTOR + "[lstm]\noutput=99999999999\n", "output: must be 1 to"),
    "lstm of terabytes": (VECTOR + "[lstm]\noutput=200000000\n", "too many to count|more than the limit"),
    "a convolution after an rnn": (VECTOR + "[rnn]\noutput=4\n" + CONV, "needs an image"),
    "crnn of a vector": (VECTOR + "[crnn]\n", r"x.cfg:3: \[crnn\]: needs an image"),
    "crnn with a stride": (f"{NET}[crnn]\nstride=2\n", "stride: must be 1, not 2"),
    "crnn with an even kernel": (f"{NET}[crnn]\nsize=2\n", "size: must be odd, with pad=1, not 2"),
    "crnn without padding": (f"{NET}[crnn]\npad=0\n", "size: must be odd, with pad=1, not 3 with pad=0"),
    "crnn with groups that do not divide": (f"{NET}[crnn]\ngroups=2\n", "2 must divide the 3 input channels"),
    "conv_lstm of a vector": (VECTOR + "[conv_lstm]\n", "needs an image"),
    "conv_lstm with a bottleneck": (f"{NET}[conv_lstm]\nbottleneck=1\n", "bottleneck: must be 0"),
    "conv_lstm with an activation that needs its input": (
        f"{NET}[conv_lstm]\nlstm_activation=mish\n", "lstm_activation: 'mish' can't be used here"),
    # heads
    "yolo after the wrong filters": (
        head("yolo", 75, "mask=0,1,2\nnum=9\nclasses=3\n"), r"set its filters=24 \(that is \(classes \+ 5\) \* anchors"),
    "yolo with a mask beyond its anchors": (head("yolo", 8, "mask=9\nnum=9\nclasses=3\n"), "9 is not one of the anchors"),
    "yolo with a negative mask": (head("yolo", 8, "mask=-1\nnum=9\nclasses=3\n"), "-1 is not one of the anchors"),
    "yolo with negative classes": (head("yolo", 8, "classes=-1\n"), "classes: must be 0"),
    "yolo without anchors": (head("yolo", 8, "num=0\nclasses=3\n"), "num: must be 1"),
    "yolo with no truths": (head("yolo", 8, "classes=3\nmax=0\n"), "max: must be 1"),
    "yolo whose channels overflow": (
        head("yolo", 8, "num=4096\nclasses=1048576\nmask=" + ",".join(["0"] * 4096) + "\n"), "filters|channels"),
    "yolo with a mask of a million": (head("yolo", 8, "classes=3\nmask=" + "0," * 1_000_000 + "0\n"), "mask|channels"),
    "yolo with too few counters": (
        head("yolo", 8, "classes=3\ncounters_per_class=1,2\n"), "has 2 values for 3 classes"),
    "yolo with endless anchors": (head("yolo", 8, "classes=3\nanchors=1e999,1\n"), "item 1 is not a finite number"),
    "yolo with an anchor of no width": (
        head("yolo", 8, "classes=3\nanchors=0,5\n"), "x.cfg:11: .yolo. anchors: item 1, the width of anchor 0, is 0: it must"),
    "region with an anchor of negative height": (
        head("region", 16, "num=2\nclasses=3\nanchors=1,2, 3,-4\n"), "item 4, the height of anchor 1, is -4: it must be above 0"),
    "region with no truths": (head("region", 8, "classes=3\nmax=0\n"), "max: must be 1"),
    "yolo of a vector": (VECTOR + "[yolo]\nclasses=0\n", "needs an image"),
    "yolo with a map that is not there": (head("yolo", 8, "classes=3\nmap=no.map\n"), "map: no file 'no.map'"),
    "Gaussian_yolo after the filters of yolo": (
        head("Gaussian_yolo", 24, "num=3\nclasses=3\n"), r"set its filters=36 \(that is \(classes \+ 9\) \* anchors"),
    "Gaussian_yolo with an unknown point": (
        head("Gaussian_yolo", 12, "classes=3\nyolo_point=top\n"), "yolo_point: must be center, left_top or right_bottom"),
    "region after the wrong filters": (head("region", 75, "num=5\nclasses=3\n"), "set its filters=40"),
    "region with two coords": (head("region", 8, "coords=2\nclasses=3\n"), "coords: must be 4"),
    "region whose channels overflow": (head("region", 8, "num=4096\ncoords=4096\nclasses=1048576\n"), "channels|filters"),
    "region with a tree that is not there": (head("region", 8, "classes=3\ntree=no.tree\n"), "tree: no file 'no.tree'"),
    "detection after the wrong outputs": (
        VECTOR + "[detection]\nside=3\nclasses=2\nnum=2\ncoords=4\n", r"need 108 values, .* has 5; .*side \* side"),
    "detection with one coord": (VECTOR + "[detection]\nside=1\nclasses=0\n", r"coords: must be 4 .*, not 1"),
    "detection with side 0": (VECTOR + "[detection]\nside=0\ncoords=4\n", "side: must be 1"),
    "detection whose values overflow": (
        VECTOR + "[detection]\nside=4096\nnum=4096\nclasses=1048576\ncoords=4\n", "layer before has 5"),
    "region with an unknown class_only": (
        head("region", 8, "num=1\nclasses=3\nclass_only=thesis\n"), "expected reference or paper, found 'thesis'"),
    "iseg after the wrong filters": (
        f"{NET}[iseg]\nclasses=2\nids=4\n", "2 classes and 4 ids need 6 channels, but the layer before has 3; set its f"),
    "iseg of a vector": (VECTOR + "[iseg]\n", "needs an image"),
    # more than memory
    "terabytes of input": ("[net]\nwidth=1048576\nheight=2000\nchannels=1\n" + CONV, "1048576 x 2000 x 4 is too large"),
    "terabytes of activations": (
        "[net]\nwidth=4096\nheight=4096\nchannels=3\n" + "[convolutional]\nfilters=100\nsize=3\npad=1\n" * 9, "limit of"),
    "terabytes of parameters": (f"{NET}[convolutional]\nfilters=65536\n{'[convolutional]'}\nfilters=65536\nsize=99\npad=1\n",
                                r"weights: parameters up to here need more than the limit"),
    "terabytes of connections": (f"{NET}[connected]\noutput=9000000\n[connected]\noutput=9000000\n", "more than the limit"),
}  # fmt: skip

STRICT_CFGS: dict[str, tuple[str, str]] = {
    "an unknown key": (
        f"{NET}{CONV}filtres=3\n",
        r"x.cfg:9: \[convolutional\] filtres: .*did you mean 'filters'",
    ),
    "an unknown key of net": (f"{NET}widht=3\n{CONV}", "did you mean 'width'"),
    "a key given twice": (f"{NET}{CONV}filters=5\n", r"x.cfg:9: .*given twice; the first one counts"),
    "a line without =": (f"{NET}{CONV}nonsense\n", "no '=' on this line"),
    "a key that has no effect here": (f"{NET}[maxpool]\nsize=2\nout_channels=3\n", "has no effect with"),
    "a key unlike any other": (f"{NET}{CONV}qqqqqqqqqqqqq=1\n", "unknown key, ignored"),
}


@pytest.mark.parametrize("name", WRONG_CFGS)
def test_a_wrong_cfg_says_what_is_wrong_and_where(name: str, tmp_path: Path) -> None:
    text, expected = WRONG_CFGS[name]
    path = tmp_path / "x.cfg"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    # Too large a file is refused by the file reader: also a CfgError, CfgFileError.
    refused(lambda: dn.Network(path), dn.CfgError, expected)


@pytest.mark.parametrize("name", STRICT_CFGS)
def test_strict_turns_warnings_into_errors(name: str, tmp_path: Path) -> None:
    text, expected = STRICT_CFGS[name]
    path = tmp_path / "x.cfg"
    path.write_text(text, "utf-8")
    dn.Network(path).close()
    refused(lambda: dn.Network(path, strict=True), dn.CfgError, expected)


def test_the_format_of_a_message(tmp_path: Path) -> None:
    path = tmp_path / "my.cfg"
    path.write_text(f"{NET}[convolutional]\nfilters=4\nsize=3\ngroups=1\npad=1\n\n# note\ngroups=1\nstep=0\n".replace(
        "pad=1\n", "pad=1\n[maxpool]\nsize=2\n").replace("groups=1\nstep", "padding=-1\nstep"), "utf-8")  # fmt: skip
    assert refused(lambda: dn.Network(path)) == f"{path}:14: [maxpool] padding: must be 0 to 8192, not -1"
    text = f"{NET}{CONV}groups=0\n".encode()
    assert refused(lambda: dn.Network(text)) == "cfg:9: [convolutional] groups: must be 1 or more, not 0"


@pytest.mark.parametrize(
    "text",
    [
        TINY_CFG.replace("\n", "\r\n"),
        "\ufeff" + TINY_CFG,
        TINY_CFG.rstrip("\n"),
        TINY_CFG.replace("=", " = ").replace("[", " [ "),
        TINY_CFG.replace("\n", "\n\n# note\n;note\n"),
        TINY_CFG.replace("filters=8", "filters=8 # eight"),
        TINY_CFG.replace("filters=8", "filters=8.9\nfilters=3"),
        TINY_CFG.replace("[net]", "[network]")
        .replace("[convolutional]", "[conv]")
        .replace("[maxpool]", "[max]"),
        TINY_CFG.replace("filters=8", "filters=8\nempty=\n=5\n=\nno equals sign"),
    ],
)
def test_odd_but_right_cfgs_are_read(text: str) -> None:
    with dn.Network.from_string(text) as net, dn.Network.from_string(TINY_CFG) as usual:
        assert [layer.out_shape for layer in net.layers] == [layer.out_shape for layer in usual.layers]


def test_thousands_of_layers_are_no_problem() -> None:
    with dn.Network.from_string("[net]\nwidth=2\nheight=2\nchannels=1\n" + "[activation]\n" * 3000) as net:
        x = np.random.default_rng(0).random((1, 1, 2, 2), np.float32)
        np.testing.assert_array_equal(net.predict(x)[0], x)


@pytest.mark.parametrize("options", [{"width": 1 << 21, "height": 8}, {"batch": 1 << 30}, {"threads": 2000}])
def test_options_beyond_reason(options: dict[str, Any]) -> None:
    refused(lambda: dn.Network.from_string(TINY_CFG, **options))


def test_cfgs_that_are_no_files(tmp_path: Path) -> None:
    refused(lambda: dn.Network(tmp_path), dn.CfgError, "folder")
    refused(lambda: dn.Network(tmp_path / "x" / "y.cfg"), dn.CfgError, "no such file")
    refused(lambda: dn.Network("/dev/zero"), dn.CfgError)
    refused(lambda: dn.Network("/dev/null"), dn.CfgError, "no sections")
    (tmp_path / "loop.cfg").symlink_to("loop.cfg")
    refused(lambda: dn.Network(tmp_path / "loop.cfg"), dn.CfgError)


# ---- cfg files made by mutation -------------------------------------------------------------------------

SEEDS = [
    TINY_CFG,
    f"{NET}{CONV}[maxpool]\nsize=2\nstride=2\n[convolutional]\nfilters=8\nsize=1\nbatch_normalize=1\ngroups=4\n"
    "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n[upsample]\nstride=2\n[route]\nlayers=-1,0\n[shortcut]\nfrom=-2\n"
    "[reorg]\nstride=2\n[dropout]\n[avgpool]\n[connected]\noutput=6\n[softmax]\ngroups=2\n[cost]\n",
    f"{NET}{CONV}[avgpool]\n[convolutional]\nfilters=4\nsize=1\n[scale_channels]\nfrom=0\n[batchnorm]\n[activation]\n"
    "activation=mish\n[convolutional]\nfilters=16\nsize=1\nactivation=linear\n[region]\nnum=2\nclasses=3\n"
    "anchors=1,1,2,2\nsoftmax=1\n",
    f"{NET}{CONV}[sam]\nfrom=0\n[local_avgpool]\nsize=3\nstride=1\n[reorg3d]\nstride=2\n[silence]\n[implicit]\n"
    "filters=16\n[scale_channels]\nfrom=-2\n[contrastive]\n",
    f"{NET}[convolutional]\nfilters=3\nsize=3\npad=1\nbatch_normalize=1\n[convolutional]\nfilters=3\nsize=3\npad=1\n"
    "batch_normalize=1\ndilation=2\nshare_index=-1\n",
    head(
        "Gaussian_yolo",
        24,
        "num=2\nmask=0,1\nclasses=3\nanchors=3,4,5,6\niou_loss=giou\nmax_delta=2\nyolo_point=left_top\n",
    ),
    f"{NET}{CONV}[connected]\noutput=52\n[detection]\nside=2\nnum=2\nclasses=3\ncoords=4\nsoftmax=1\nrescore=1\n",
]
NUMBERS = ["0", "-1", "1", "2", "3", "5", "7", "17", "255", "65536", "2147483647", "2147483648", "-2147483648", "1e9",
           "99999999999999999999", ".5", "-.5", "1e-30", "nan", "inf", "0x10", "", ",", "1,2,3", "-1,-1,-1"]  # fmt: skip


def mutate(text: str, rng: random.Random) -> bytes:
    """One to three edits: lines deleted, doubled or swapped, numbers replaced, bytes changed, the end cut off."""
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
        kind = rng.randrange(8)
        if kind == 0:
            del lines[i]
        elif kind == 1:
            lines.insert(j, lines[i])
        elif kind == 2:
            lines[i], lines[j] = lines[j], lines[i]
        elif kind <= 5:
            numbers = list(re.finditer(r"-?[\d.]+", text))
            if numbers:
                found = rng.choice(numbers)
                text = text[: found.start()] + rng.choice(NUMBERS) + text[found.end() :]
            continue
        elif kind == 6:
            data = bytearray(text.encode("latin-1"))
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
            text = data.decode("latin-1")
            continue
        else:
            text = text[: rng.randrange(len(text) + 1)]
            continue
        text = "\n".join(lines)
    return text.encode("latin-1")


def small_network(cfg: bytes, megabytes: float = 64) -> dn.Network:
    """A network that may not use more memory than this: mutants ask for a lot."""
    options, out = ffi.new("dn_network_options *"), ffi.new("dn_network **")
    lib.dn_network_options_init(options)
    options.memory_limit = int(megabytes * (1 << 20))
    options.threads = 1
    dn.errors.check(lib.dn_network_create(out, cfg, len(cfg), options))
    handle = ffi.gc(out[0], lib.dn_network_free)
    return dn.Network._borrow(handle, handle)


def use(cfg: bytes) -> None:
    """Loads, predicts, trains one step, unless the mutant has grown too large for that."""
    with small_network(cfg) as net:
        shape = net.input_shape
        if np.prod(shape[1:]) > 1 << 18 or sum(layer.flops for layer in net.layers) > 2e8:
            return
        x = np.random.default_rng(0).random((1, *shape[1:]), np.float32)
        net.predict(x)
        net.activations(x)
        if len(shape) == 4 and net.layers[net.output_layers[0]].head:
            net.detect(np.zeros((9, 7, 3), np.uint8), thresh=0.1)
        if np.prod(shape) < 1 << 18:
            truth = np.random.default_rng(1).random(
                (shape[0], max(layer.truths for layer in net.layers)), np.float32
            )
            with dn.Trainer(net) as trainer:
                trainer.step(np.zeros(shape, np.float32), truth if truth.size else None)


@pytest.mark.parametrize("seed", range(12))
def test_mutants_of_cfgs_never_crash(seed: int) -> None:
    rng = random.Random(seed)
    alive = 0
    for i in range(60):
        cfg = mutate(SEEDS[i % len(SEEDS)], rng)
        alive += survives(lambda cfg=cfg: use(cfg))
    assert 0 < alive < 60  # mutants that are all dead, or all alive, would test nothing


def test_memory_is_checked_before_it_is_used() -> None:
    """A small limit stands in for a small machine: parameters, activations, packed weights, scratch, training."""
    wide = f"{NET}[convolutional]\nfilters=900\nsize=3\npad=1\n[convolutional]\nfilters=900\nsize=3\npad=1\n".encode()
    refused(lambda: small_network(wide, 16), dn.CfgError, "limit of 16777216 bytes")
    deep = b"[net]\nwidth=256\nheight=256\nchannels=1\n" + b"[activation]\n" * 100
    refused(lambda: small_network(deep, 16), dn.CfgError, "activations up to here need more than the limit")
    many = TINY_CFG.replace("batch=2", "batch=100000").encode()
    with small_network(many, 1) as net:
        refused(lambda: dn.Trainer(net), dn.OutOfMemoryError, "smaller batch")
    # The least memory that holds weights and maps leaves none for the blocks that products are made from.
    small = f"{NET}[convolutional]\nfilters=2\nsize=15\npad=1\n".encode()
    with small_network(small, least_megabytes(small)) as net:
        zeros = np.zeros(net.input_shape, np.float32)
        refused(lambda: net.predict(zeros), dn.OutOfMemoryError, "intermediate results")


def least_megabytes(cfg: bytes) -> float:
    """The least memory a network can be made with, to 64 bytes."""
    too_few, enough = 0.0, 64.0
    while enough - too_few > 64 / (1 << 20):
        middle = (too_few + enough) / 2
        try:
            small_network(cfg, middle).close()
            enough = middle
        except dn.CfgError:
            too_few = middle
    return enough


def test_copies_of_weights_for_speed_are_given_up_when_memory_is_short() -> None:
    cfg = (NET + "[convolutional]\nfilters=64\nsize=3\npad=1\n" * 2).encode()
    x = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)
    found = []
    for megabytes in (64, 1):
        with small_network(cfg, megabytes) as net, net.session() as session:
            found.append((session.predict(x)[0], session.memory()[1]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4, atol=1e-5)
    assert found[0][1] > found[1][1] and found[1][1] < 1 << 20


# ---- how many ----------------------------------------------------------------------------------------------


def test_enough_inputs_were_tried(request: pytest.FixtureRequest) -> None:
    """At least 200; what is written in the tables alone is that many, and mutation adds over a thousand."""
    tables = (
        WRONG_CFGS,
        STRICT_CFGS,
        files.WRONG_WEIGHTS,
        files.WRONG_PICTURES,
        files.WRONG_INPUTS,
        files.WRONG_LABELS,
    )
    assert len(WRONG_CFGS) >= 70 and sum(map(len, tables)) + len(files.CUTS) >= 200
    mine = [item for item in request.session.items if item.path == request.path]
    if len(mine) > 100:  # not when single tests were chosen
        assert TRIED["inputs"] >= 800

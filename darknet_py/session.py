"""Running a network: a session with buffers of its own, and how pictures become its input."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from . import images
from . import names as class_names
from ._native import ffi, lib
from .boxes import hier_paper
from .errors import ArgumentError, ImageError, StateError, check
from .results import Detections

if TYPE_CHECKING:
    from .network import Network

Floats = npt.NDArray[np.float32]


def as_input(x: Any, shape: tuple[int, ...]) -> Floats:
    """x as a contiguous float32 array (n, *shape); a single item without n is accepted.

    Raises ArgumentError (a ValueError) that says what was expected and found.
    """
    array = np.asarray(x)
    kind = array.dtype.kind
    if array.dtype == np.uint8 or kind not in "fiub":
        hint = "; divide pictures by 255, or use detect() or classify()" if array.dtype == np.uint8 else ""
        raise ArgumentError(f"expected an input of float32 values, found {array.dtype}{hint}")
    if array.shape == shape:
        array = array[None]
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
        expected = ", ".join(map(str, ("n", *shape)))
        raise ArgumentError(f"expected an input of shape ({expected}), found {array.shape}")
    return np.ascontiguousarray(array, np.float32)


def as_truth(truth: Any, count: int) -> Floats | None:
    """Truth (n, truths) or (n, rows, values) as (n, floats per image), or None."""
    if truth is None:
        return None
    array = np.ascontiguousarray(truth, np.float32)
    if array.ndim == 1 and count == 1:
        array = array[None]
    if array.ndim < 2 or array.shape[0] != count:
        raise ArgumentError(
            f"expected truth of shape ({count}, truths) or ({count}, rows, values), found {array.shape}"
        )
    return array.reshape(count, -1)


def take(pointer: Any, count: int, shape: tuple[int, ...], into: Floats | None = None) -> Floats:
    """A copy of count floats of the core, as an array of this shape: into, if given, or a new one."""
    if pointer == ffi.NULL:
        raise StateError("nothing there yet: run the network first")
    values: Floats = np.empty(shape, np.float32) if into is None else into
    if values.flags.c_contiguous:
        ffi.memmove(values, pointer, 4 * count)  # making a view of them first takes 30 us
    else:
        values[...] = take(pointer, count, shape)
    return values


def as_outputs(out: Sequence[Floats], shapes: Sequence[tuple[int, ...]]) -> Sequence[Floats]:
    """out, if it has an array of each of these shapes that can be written to; else an ArgumentError."""
    if len(out) != len(shapes):
        raise ArgumentError(f"out: expected {len(shapes)} arrays, one per output layer, found {len(out)}")
    for k, (array, shape) in enumerate(zip(out, shapes, strict=True)):
        if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.shape != shape:
            found = getattr(array, "dtype", type(array).__name__)
            raise ArgumentError(
                f"out[{k}]: expected a float32 array of shape {shape}, found {found} {np.shape(array)}"
            )
        if not array.flags.writeable:
            raise ArgumentError(f"out[{k}] is read-only")
    return out


def free_before(user: Any, release: Any, pointer: Any, network: Network) -> weakref.finalize[Any, Any]:
    """Arranges release(pointer) for when user is closed or collected, and always before network is freed.

    The registry of finalizers holds what owns the network's memory, so that even when all of them are garbage
    of one cycle the network is freed last. At exit nothing is freed: a daemon thread may still be running.
    """

    def free(last: Any, owner: Any) -> None:
        release(last)

    network._users.add(user)
    finalizer = weakref.finalize(user, free, pointer, network._owner)
    finalizer.atexit = False
    return finalizer


# Every open session, for _after_fork.
_open: weakref.WeakSet[Session] = weakref.WeakSet()


def _after_fork() -> None:
    """In a forked child the sessions' worker threads are gone and locks may be held by nobody.

    Sessions are given up without freeing them, which would wait for those threads. A network makes itself a
    new one.
    """
    for session in list(_open):
        session._lock, session._handle = threading.RLock(), None
        session._free.detach()
        session.network._forget_shared()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True)
class Rules:
    """How heads become boxes. thresh, hier, nms, hier_rule, preprocess, class_map: as for Network.detect.
    nms_kind: "sort" suppresses class by class, "obj" by objectness. mirrored: the mean of the picture and its
    mirror image."""

    thresh: float = 0.5
    hier: float = 0.5
    nms: float = 0.45
    hier_rule: str = "reference"
    nms_kind: str = "sort"
    preprocess: str | None = None
    mirrored: bool = False
    class_map: Sequence[int] | None = None


class Candidates(NamedTuple):
    """Boxes of one picture: (n, 4) centre x, y, width, height in its pixels, not clipped; (n,) objectness;
    (n, classes) probabilities, 0 where suppressed or not above the threshold."""

    boxes: Floats
    objectness: Floats
    probabilities: Floats
    image_size: tuple[int, int]  # width, height

    def detections(self, thresh: float, **more: Any) -> Detections:
        """The classes above thresh; more: as for Detections."""
        return Detections.from_probabilities(
            self.boxes,
            self.objectness,
            self.probabilities,
            thresh=thresh,
            image_size=self.image_size,
            **more,
        )


class Step(NamedTuple):
    """A step of a plan: the layer whose output it computes; the convolution it runs, if any, which is an
    earlier layer where an addition or a pool is part of it; the algorithm, or the layer's type. What it does
    for one image: floating point operations, 2 per multiply-add and counted as direct convolution; bytes of
    weights as packed, and as the network has them; bytes of activations read and written. seconds: of all
    images since Session.profile. A convolution computed together with the depthwise one behind it takes no
    time, and does and moves nothing: the next step does."""

    layer: int
    conv: int | None
    algorithm: str
    flops: float
    weight_bytes: float
    plain_bytes: float
    activation_bytes: float
    seconds: float


class Footprint(NamedTuple):
    """Bytes of memory that predictions will take, known before anything is packed or computed.

    weights: parameters that stay beside the packed ones. packed: weights of convolutions in the form that
    their algorithms want; plain: as they are, so what packed is more buys time. activations, scratch,
    outputs: a session's. packing: besides weights and packed, while the plan is made. peak: the most of all
    that at the same time; Python's own comes on top."""

    weights: int
    packed: int
    plain: int
    activations: int
    scratch: int
    outputs: int
    packing: int
    peak: int


class Session:
    """Runs one network with buffers and recurrent state of its own. Made by Network.session().

    Calls from several threads wait for each other; use one session per thread to run at the same time.
    """

    def __init__(self, network: Network, threads: int | None = None) -> None:
        if threads is not None and not 0 <= threads < 1 << 31:
            raise ArgumentError(f"expected threads >= 0, found {threads}")
        out = ffi.new("dn_session **")
        check(lib.dn_session_create(out, network._use(), threads or 0))
        self.network = network
        self._handle: Any = out[0]
        self._free = free_before(self, lib.dn_session_free, out[0], network)
        self._lock = threading.RLock()
        _open.add(self)

    def close(self) -> None:
        """Frees the buffers. Calling it again does nothing."""
        with self._lock:
            self._handle = None
            self._free()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session of the C core cannot be copied or pickled")

    def _use(self) -> Any:
        if self._handle is None:
            raise StateError("this session is closed, or was made before this process was forked")
        return self._handle

    def reset(self) -> None:
        """Sets the state of recurrent layers to zero."""
        with self._lock:
            lib.dn_session_reset(self._use())

    def predict(self, x: npt.ArrayLike, out: Sequence[Floats] | None = None) -> list[Floats]:
        """Runs the planned network on x, float32 (n, c, h, w) or (n, inputs), any n.

        Gives one array per output layer, (n, c, h, w) or (n, outputs); given such arrays as out, those: a
        loop over frames need not make new ones. Recurrent state carries on from the last call.
        """
        with self._lock:
            handle = self._use()
            network = self.network
            batch = as_input(x, network._item_shape())
            shapes = [(len(batch), *network.layers[i].out_shape) for i in network._output_layers]
            if out is not None:
                as_outputs(out, shapes)
            if len(batch) == 0:
                return [np.empty(shape, np.float32) for shape in shapes] if out is None else list(out)
            check(lib.dn_session_predict(handle, ffi.from_buffer("float[]", batch), len(batch)))
            return [self._output(k, shape, None if out is None else out[k]) for k, shape in enumerate(shapes)]

    def activations(self, x: npt.ArrayLike, truth: npt.ArrayLike | None = None) -> list[Floats]:
        """Runs x layer by layer, unfused, in test mode: one array per layer, (n, c, h, w) or (n, outputs).

        truth: (n, truths) or (n, rows, values), for the layers that have a cost.
        """
        with self._lock:
            handle = self._use()
            batch = as_input(x, self.network._item_shape())
            if len(batch) == 0:
                return [np.empty((0, *layer.out_shape), np.float32) for layer in self.network.layers]
            rows = as_truth(truth, len(batch))
            pointer = ffi.NULL if rows is None else ffi.from_buffer("float[]", rows)
            truths = 0 if rows is None else rows.shape[1]
            source = ffi.from_buffer("float[]", batch)
            check(lib.dn_session_activate(handle, source, len(batch), pointer, truths))
            count = ffi.new("size_t *")
            result = []
            for layer in self.network.layers:
                values = lib.dn_session_layer_output(handle, layer.index, count)
                result.append(take(values, len(batch) * count[0], (len(batch), *layer.out_shape)))
            return result

    def layer_cost(self, layer: int) -> float:
        """Cost of a layer in the last activations call that had a truth."""
        with self._lock:
            return float(lib.dn_session_layer_cost(self._use(), self.network._layer_index(layer)))

    def detect(
        self,
        image: Any,
        thresh: float = 0.5,
        hier: float = 0.5,
        nms: float = 0.45,
        preprocess: str | None = None,
        bgr: bool = False,
        *,
        hier_rule: str = "reference",
        class_map: Sequence[int] | None = None,
    ) -> Detections:
        """Finds objects in a picture; see Network.detect."""
        started = time.perf_counter()
        pixels = images.read(image, bgr=bgr)
        how = preprocess or self.network._default_preprocess()
        x = prepare(self.network, pixels, how)
        rules = Rules(thresh, hier, nms, hier_rule, preprocess=how, class_map=class_map)
        return self._detect(pixels, x, rules, started)

    def _detect(self, pixels: images.Pixels, x: Floats, rules: Rules, started: float) -> Detections:
        """detect after reading (pixels) and preprocessing (x), which began at started."""
        loaded = time.perf_counter()
        height, width = pixels.shape[:2]
        found, predicted = self._candidates(x, (width, height), rules)
        settings = {key: getattr(rules, key) for key in ("preprocess", "thresh", "hier", "nms")}
        labels: class_names.Labels = self.network._labels
        if rules.class_map is not None:
            labels = class_names.Labels([labels[node] for node in rules.class_map])
        return found.detections(
            rules.thresh,
            labels=labels,
            pixels=pixels,
            settings=settings,
            seconds={
                "load": loaded - started,
                "predict": predicted - loaded,
                "decode": time.perf_counter() - predicted,
            },
        )

    def _candidates(self, x: Floats, size: tuple[int, int], rules: Rules) -> tuple[Candidates, float]:
        """Boxes for a picture of this width and height, preprocessed to x as rules.preprocess says; and the
        time when the heads were computed."""
        options = ffi.new("dn_detect_options *")
        lib.dn_detect_options_init(options)
        options.thresh, options.hier, options.nms = rules.thresh, rules.hier, rules.nms
        options.hier_paper = hier_paper(rules.hier_rule)
        kind = {"sort": lib.DN_NMS_SORT, "obj": lib.DN_NMS_OBJ}[rules.nms_kind]
        options.nms_kind = kind if rules.nms > 0 else lib.DN_NMS_NONE
        options.image_width, options.image_height = size
        options.letterbox = rules.preprocess == "letterbox"
        nodes = None if rules.class_map is None else ffi.new("int[]", list(rules.class_map))
        if nodes is not None:
            options.map, options.map_count = nodes, len(nodes)
        if rules.mirrored:
            x = np.concatenate([x, x[..., ::-1]])
            options.mirrored = 1
        with self._lock:
            handle = self._use()
            check(lib.dn_session_predict(handle, ffi.from_buffer("float[]", x), len(x)))
            predicted = time.perf_counter()
            boxes, objectness, probabilities = self._boxes(options)
        return Candidates(boxes, objectness, probabilities, size), predicted

    def memory(self) -> tuple[int, int]:
        """Bytes of buffers this session owns, and of packed weights it shares with others of its network."""
        own, shared = ffi.new("size_t *"), ffi.new("size_t *")
        with self._lock:
            lib.dn_session_memory(self._use(), own, shared)
        return int(own[0]), int(shared[0])

    def footprint(self, batch: int = 1) -> Footprint:
        """The memory that predictions of so many pictures will take. Parameters count as if they were mapped
        from a file, unless they were given otherwise."""
        if not 1 <= batch < 1 << 31:
            raise ArgumentError(f"expected a batch of 1 or more, found {batch}")
        raw = ffi.new("dn_footprint *")
        raw.struct_size = ffi.sizeof("dn_footprint")
        with self._lock:
            check(lib.dn_session_footprint(raw, self._use(), batch))
        return Footprint(*(int(getattr(raw, field)) for field in Footprint._fields))

    def plan(self) -> list[str]:
        """One line per step of the plan: operation, algorithm, shape."""
        lines: list[str] = []
        with self._lock:
            while (line := lib.dn_session_plan_line(self._use(), len(lines))) != ffi.NULL:
                lines.append(ffi.string(line).decode("utf-8", "replace"))
        return lines

    def profile(self, on: bool = True) -> None:
        """From now on predict takes the time of each step of the plan, from 0, for steps(); or no longer
        does."""
        with self._lock:
            check(lib.dn_session_profile(self._use(), on))

    def steps(self) -> list[Step]:
        """What the steps of the plan do for one image; with profile(), what they took since."""
        raw = ffi.new("dn_plan_step *")
        found: list[Step] = []
        with self._lock:
            while True:
                raw.struct_size = ffi.sizeof("dn_plan_step")
                check(lib.dn_session_plan_step(raw, self._use(), len(found)))
                if raw.layer < 0:
                    return found
                algorithm = ffi.string(raw.algorithm).decode()
                found.append(
                    Step(
                        raw.layer,
                        None if raw.conv < 0 else raw.conv,
                        algorithm,
                        raw.flops,
                        raw.weight_bytes,
                        raw.plain_bytes,
                        raw.activation_bytes,
                        raw.seconds,
                    )
                )

    def keep_steps(self, on: bool = True) -> None:
        """From now on predict keeps what each step of the plan gave, for step_outputs(); or no longer
        does."""
        with self._lock:
            check(lib.dn_session_keep_steps(self._use(), on))

    def step_outputs(self) -> dict[int, Floats]:
        """Of the last predict's last item, after keep_steps(): the outputs of the layers that steps of the
        plan compute, by index. Layers without a step are not there: what was fused into another, or is a
        view of one; nor those computed together with the next."""
        count = ffi.new("size_t *")
        found: dict[int, Floats] = {}
        for number, step in enumerate(self.steps()):
            with self._lock:
                values = lib.dn_session_step_output(self._use(), number, count)
                if values != ffi.NULL:
                    shape = self.network.layers[step.layer].out_shape
                    found[step.layer] = (
                        np.frombuffer(ffi.buffer(values, 4 * count[0]), np.float32).reshape(shape).copy()
                    )
        return found

    def _output(self, k: int, shape: tuple[int, ...], into: Floats | None) -> Floats:
        return take(lib.dn_session_output(self._use(), k, ffi.NULL), math.prod(shape), shape, into)

    def _boxes(self, options: Any) -> tuple[Floats, Floats, Floats]:
        out = ffi.new("dn_detections **")
        check(lib.dn_session_detect(out, self._use(), options))
        found = out[0]
        try:
            count, classes = lib.dn_detections_count(found), lib.dn_detections_classes(found)
            if count == 0:
                return (
                    np.empty((0, 4), np.float32),
                    np.empty(0, np.float32),
                    np.empty((0, classes), np.float32),
                )
            return (
                take(lib.dn_detections_boxes(found), count * 4, (count, 4)),
                take(lib.dn_detections_objectness(found), count, (count,)),
                take(lib.dn_detections_probabilities(found), count * classes, (count, classes)),
            )
        finally:
            lib.dn_detections_free(found)


def prepare(
    network: Network, pixels: images.Pixels, how: str, choices: Sequence[str] = ("letterbox", "stretch")
) -> Floats:
    """The network's input (1, c, h, w) for a picture that images.read gave."""
    shape = network._item_shape()
    if len(shape) != 3:
        raise ArgumentError(f"this network takes vectors of {shape[0]} values, not pictures")
    channels, height, width = shape
    if how not in choices:
        expected = ", ".join(f'"{choice}"' for choice in choices)
        raise ArgumentError(f"expected preprocess {expected}, found {how!r}")
    if channels not in (1, 3):
        raise ImageError(f"this network takes {channels} channels; pictures give 3, or 1 when grey")
    if how == "crop":
        return images.planar(_centre(pixels, width, height), channels)[None]
    source = images.planar(pixels, channels)
    scale = images.letterbox if how == "letterbox" else images.resize
    return scale(source, width, height)[None]


def _centre(pixels: images.Pixels, width: int, height: int) -> images.Pixels:
    """The classification crop: shorter side, antialiased, to 256/224 of the network's size; then the centre
    of it."""
    from PIL import Image

    picture = Image.fromarray(images.to_bytes(pixels))
    shorter = round(max(width, height) * 256 / 224)
    if picture.width <= picture.height:
        size = (shorter, max(shorter, shorter * picture.height // picture.width))
    else:
        size = (max(shorter, shorter * picture.width // picture.height), shorter)
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    return np.asarray(picture.crop((left, top, left + width, top + height)))

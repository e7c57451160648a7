"""A network: what a .cfg and a .weights file say, and the calls most programs need."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from . import images
from . import names as class_names
from ._native import ffi, lib
from .boxes import WordTree
from .errors import (
    ArgumentError,
    CfgError,
    CfgFileError,
    CfgNotFoundError,
    StateError,
    WeightsFileError,
    WeightsNotFoundError,
    check,
    path_bytes,
)
from .logs import logger
from .results import Detections
from .session import Rules, Session, prepare

Floats = npt.NDArray[np.float32]
Source = str | os.PathLike[str] | bytes

_NUMERICS = {"default": lib.DN_NUMERICS_DEFAULT, "pjreddie-cpu": lib.DN_NUMERICS_PJREDDIE_CPU}
_DIALECTS = {"pjreddie": lib.DN_DIALECT_PJREDDIE, "alexeyab": lib.DN_DIALECT_ALEXEYAB}


class Layer:
    """One layer of a network."""

    def __init__(self, network: Network, index: int) -> None:
        self._network = network
        self.index = index
        handle = network._use()
        self.type: str = _text(lib.dn_layer_type_name(handle, index))
        self._param_names = [
            _text(lib.dn_layer_param(handle, index, k, ffi.new("int[5]"), ffi.new("size_t *")))
            for k in range(lib.dn_layer_param_count(handle, index))
        ]

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(c, h, w), or (outputs,) for a layer whose output is a vector."""
        shape = ffi.new("int[3]")
        lib.dn_layer_shape(self._network._use(), self.index, shape)
        return _shape(shape)

    @property
    def outputs(self) -> int:
        """Floats per image."""
        return int(lib.dn_layer_outputs(self._network._use(), self.index))

    @property
    def truths(self) -> int:
        """Truth floats per image; 0 if the layer has no loss."""
        return int(lib.dn_layer_truths(self._network._use(), self.index))

    @property
    def flops(self) -> float:
        """Floating point operations for one image, 2 per multiply-add."""
        return float(lib.dn_layer_flops(self._network._use(), self.index))

    @property
    def params(self) -> dict[str, Floats]:
        """Parameters by name, in file order: float32 arrays, copies."""
        handle, result = self._network._use(), {}
        for k, name in enumerate(self._param_names):
            values = np.empty(self._param_shape(k), np.float32)
            check(
                lib.dn_layer_param_get(handle, self.index, k, ffi.from_buffer("float[]", values), values.size)
            )
            result[name] = values
        return result

    @property
    def param_count(self) -> int:
        """Number of parameter floats."""
        return sum(int(np.prod(self._param_shape(k))) for k in range(len(self._param_names)))

    @property
    def head(self) -> tuple[int, int, int] | None:
        """(classes, most truths per image, floats per truth) of a detection head; None for other layers."""
        numbers = ffi.new("int[3]")
        found = lib.dn_layer_is_head(self._network._use(), self.index, numbers, numbers + 1, numbers + 2)
        return (numbers[0], numbers[1], numbers[2]) if found else None

    @property
    def tree(self) -> WordTree | None:
        """The word tree of its classes, a copy; None if it has none."""
        out = ffi.new("dn_tree **")
        check(lib.dn_layer_word_tree(out, self._network._use(), self.index))
        return None if out[0] == ffi.NULL else WordTree._own(out[0])

    @property
    def class_map(self) -> list[int] | None:
        """The classes that a head with the key `map` learns for the labels 0, 1, ...; None without one."""
        count = ffi.new("int *")
        numbers = lib.dn_layer_class_map(self._network._use(), self.index, count)
        return None if numbers == ffi.NULL else [int(numbers[i]) for i in range(count[0])]

    def option(self, key: str) -> str | None:
        """Value of a key of the layer's cfg section as text, None if absent."""
        return _maybe_text(lib.dn_layer_option(self._network._use(), self.index, key.encode()))

    def number(self, key: str, default: float) -> float:
        """The same as a number, as the core reads numbers: the beginning of the text counts, with a warning
        if there is more; what is none is 0."""
        value = lib.dn_layer_number(self._network._use(), self.index, key.encode(), default)
        return _finite(value, f"layer {self.index} [{self.type}] {key}")

    def _param_shape(self, k: int) -> tuple[int, ...]:
        dims, count = ffi.new("int[5]"), ffi.new("size_t *")
        lib.dn_layer_param(self._network._use(), self.index, k, dims, count)
        return tuple(dims[i] for i in range(5) if dims[i])

    def __repr__(self) -> str:
        return f"<Layer {self.index} {self.type} {self.out_shape}>"


class Network:
    """A Darknet network. Any number of threads may use one.

    cfg: path or bytes of a .cfg. weights: path or bytes of a .weights file; None leaves random parameters,
    made from seed. batch, time_steps, width, height: instead of the cfg's (batch only matters to a Trainer;
    time_steps to recurrent networks, whose rows are [time_steps][streams]). names: class names, a sequence
    or the path of a .names file; by default they are looked for beside the files. threads: processors to
    use, None for all. numerics: "default" or "pjreddie-cpu" (batch normalisation as the reference's CPU
    build). dialect: order of parameters in weights files, "pjreddie" (also None) or "alexeyab". partial:
    accept weights that end early, at a layer boundary, or go on after the last layer. start, cutoff: load
    layers start..cutoff-1 only. strict: unknown keys are errors. exact: no algorithm that rounds
    differently from the plain one (Winograd). memory: "fast", or "lean" to keep weights once, with Winograd
    only where its own are small. name: what messages call a cfg given as bytes; files that it names
    are also looked for beside that path. initialize: False leaves parameters 0 instead of random, which is
    quicker when only shapes matter.

    Raises CfgError and WeightsError (both ValueErrors); for files that are not there also FileNotFoundError.
    """

    def __init__(
        self,
        cfg: Source,
        weights: Source | None = None,
        *,
        batch: int | None = None,
        time_steps: int | None = None,
        width: int | None = None,
        height: int | None = None,
        names: Sequence[str] | str | os.PathLike[str] | None = None,
        threads: int | None = None,
        numerics: str = "default",
        dialect: str | None = None,
        partial: bool = False,
        strict: bool = False,
        exact: bool = False,
        memory: str = "fast",
        seed: int = 0,
        initialize: bool = True,
        start: int = 0,
        cutoff: int | None = None,
        name: str | os.PathLike[str] | None = None,
    ) -> None:
        options = ffi.new("dn_network_options *")
        lib.dn_network_options_init(options)
        options.batch = _natural("batch", batch)
        options.time_steps = _natural("time_steps", time_steps)
        options.width = _natural("width", width)
        options.height = _natural("height", height)
        options.threads = _natural("threads", threads)
        options.numerics = _choice("numerics", numerics, _NUMERICS)
        if dialect is not None:
            options.dialect = _choice("dialect", dialect, _DIALECTS)
        options.strict = strict
        options.exact = exact
        options.memory = _choice("memory", memory, {"fast": lib.DN_MEMORY_FAST, "lean": lib.DN_MEMORY_LEAN})
        if not 0 <= seed < 1 << 64:
            raise ArgumentError(f"expected a seed 0..2**64-1, found {seed}")
        options.seed = seed
        called = ffi.NULL if name is None else ffi.new("char[]", path_bytes(name))
        options.name = called
        options.blank = not initialize or (
            weights is not None and not start and cutoff is None and not partial
        )
        out = ffi.new("dn_network **")
        if isinstance(cfg, (bytes, bytearray)):
            check(lib.dn_network_create(out, bytes(cfg), len(cfg), options))
        else:
            check(lib.dn_network_load(out, path_bytes(cfg, CfgNotFoundError), options), CfgFileError)
        handle = ffi.gc(out[0], lib.dn_network_free)
        self._adopt(handle, handle)
        cfg_path = None if isinstance(cfg, (bytes, bytearray)) else cfg
        weights_path = None if isinstance(weights, (bytes, bytearray)) else weights
        if weights is not None:
            self.load_weights(weights, start=start, cutoff=cutoff, partial=partial)
        if names is None:
            found = class_names.find_names(cfg_path, weights_path, self._class_count()) or self._nodes()
        elif isinstance(names, (str, os.PathLike)):
            found = class_names.read_names(names)
        else:
            found = list(names)
        if names is not None and found is not None and len(found) != self._class_count():
            logger.warning("%d names were given for %d classes", len(found), self._class_count())
        self._labels = class_names.Labels(found)

    def _adopt(self, handle: Any, owner: Any) -> None:
        """owner: the ffi.gc object whose end frees handle: handle itself, or a loaded trainer."""
        self._handle: Any = handle
        self._owner: Any = owner
        self._lock = threading.RLock()
        self._own: Session | None = None
        self._tree: WordTree | None = None
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()  # sessions and trainers
        self._labels = class_names.Labels(None)
        self.layers: tuple[Layer, ...] = tuple(
            Layer(self, i) for i in range(lib.dn_network_layer_count(handle))
        )
        indices = ffi.new("int **")
        count = lib.dn_network_outputs(handle, ffi.cast("const int **", indices))
        self._output_layers = tuple(int(indices[0][k]) for k in range(count))

    @classmethod
    def from_string(cls, cfg_text: str, weights: Source | None = None, **options: Any) -> Network:
        """A network from the text of a cfg; options as for Network."""
        return cls(cfg_text.encode(), weights, **options)

    @classmethod
    def _borrow(cls, handle: Any, owner: Any) -> Network:
        """A network that something else (a loaded trainer) owns and frees."""
        network = cls.__new__(cls)
        network._adopt(handle, owner)
        return network

    # ---- life ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Closes its sessions and trainers and frees the network. Calling it again does nothing."""
        with self._lock:
            for user in list(self._users):
                user.close()
            self._own = None
            handle, self._handle = self._handle, None
            if handle is not None and handle is self._owner:
                ffi.release(handle)
            self._owner = None

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a network of the C core cannot be copied or pickled")

    def _use(self) -> Any:
        if self._handle is None:
            raise StateError("this network is closed")
        return self._handle

    def _shared(self) -> Session:
        """The session behind predict, detect and so on. Called, and used, with the lock held."""
        if self._own is None:
            self._own = Session(self)
        return self._own

    def _drop_shared(self) -> None:
        """Closes that session: parameters are about to change."""
        with self._lock:
            if self._own is not None:
                self._own.close()
                self._own = None

    def _forget_shared(self) -> None:
        """After a fork: the worker threads, and perhaps the holder of the lock, stayed with the parent."""
        self._lock, self._own = threading.RLock(), None

    # ---- what it is ----------------------------------------------------------------------------------

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(batch, c, h, w), or (batch, inputs) if it takes vectors. batch matters to a Trainer only."""
        return (int(lib.dn_network_batch(self._use())), *self._item_shape())

    @property
    def output_layers(self) -> tuple[int, ...]:
        """Indices of the layers predict gives: all detection heads, else the last layer that is not a
        cost."""
        self._use()
        return self._output_layers

    @property
    def names(self) -> list[str] | None:
        """Class names, None if there are none."""
        return self._labels.names

    @property
    def subdivisions(self) -> int:
        """Training passes per update."""
        return int(lib.dn_network_subdivisions(self._use()))

    @property
    def time_steps(self) -> int:
        """Steps of a sequence: a recurrent network takes rows [time_steps][streams]."""
        return int(lib.dn_network_time_steps(self._use()))

    @property
    def max_batches(self) -> int:
        """Updates a training run should make, as the cfg says."""
        return int(lib.dn_network_max_batches(self._use()))

    @property
    def threads(self) -> int:
        """Processors it uses."""
        return int(lib.dn_network_threads(self._use()))

    @property
    def numerics(self) -> str:
        """Rules of batch normalisation: "default" or "pjreddie-cpu"."""
        chosen = int(lib.dn_network_numerics(self._use()))
        return next(name for name, value in _NUMERICS.items() if value == chosen)

    @property
    def seen(self) -> int:
        """Images it was trained with; it can be set."""
        return int(lib.dn_network_seen(self._use()))

    @seen.setter
    def seen(self, seen: int) -> None:
        if not 0 <= seen < 1 << 64:
            raise ArgumentError(f"expected seen 0..2**64-1, found {seen}")
        lib.dn_network_set_seen(self._use(), seen)

    @property
    def weights_bytes(self) -> int:
        """Length of the file that save_weights writes."""
        return int(lib.dn_network_weights_bytes(self._use()))

    def option(self, key: str) -> str | None:
        """Value of a [net] key as text, None if absent."""
        return _maybe_text(lib.dn_network_option(self._use(), key.encode()))

    def number(self, key: str, default: float) -> float:
        """The same as a number; see Layer.number."""
        return _finite(lib.dn_network_number(self._use(), key.encode(), default), f"[net] {key}")

    @property
    def tree(self) -> WordTree | None:
        """The word tree of a classifier, whose nodes are the classes: that of the last [softmax] with one."""
        if self._tree is None:
            layers = [layer for layer in reversed(self.layers) if layer.type == "softmax"]
            self._tree = next((tree for layer in layers if (tree := layer.tree)), None)
        return self._tree

    @tree.setter
    def tree(self, tree: WordTree | None) -> None:
        self._tree = tree

    def scores(self, x: npt.ArrayLike) -> Floats:
        """A classifier's probabilities (n, classes) for inputs (n, c, h, w); with a word tree the absolute
        ones of its leaves."""
        return self._answers(self.predict(x)[0])

    def _answers(self, outputs: Floats) -> Floats:
        """What a classifier's outputs (n, ...) say of each class."""
        scores = outputs.reshape(len(outputs), -1)
        if self.tree is None:
            return scores
        return self.tree.absolute(scores[:, : len(self.tree)], only_leaves=True)

    def _item_shape(self) -> tuple[int, ...]:
        shape = ffi.new("int[3]")
        lib.dn_network_input_shape(self._use(), shape)
        return _shape(shape)

    def _class_count(self) -> int:
        """Classes of the heads, or values of a classifier's output."""
        heads = [layer.head[0] for layer in self.layers if layer.head]
        return max(heads) if heads else self.layers[self._output_layers[0]].outputs

    def _nodes(self) -> list[str] | None:
        """Names of the nodes of the word tree of the output layers, None if there is none."""
        trees = [tree for i in self._output_layers if (tree := self.layers[i].tree)]
        return trees[0].names if trees else None

    def _layer_index(self, layer: int) -> int:
        if not 0 <= layer < len(self.layers):
            raise ArgumentError(f"expected a layer 0..{len(self.layers) - 1}, found {layer}")
        return layer

    def _default_preprocess(self) -> str:
        """How the network was trained to see pictures: as letter_box in its cfg says; else YOLOv1 saw them
        stretched, all others letterboxed."""
        value = self.option("letter_box")
        if value is not None:
            return "stretch" if value.strip() in ("", "0") else "letterbox"
        return "stretch" if any(layer.type == "detection" for layer in self.layers) else "letterbox"

    # ---- parameters ----------------------------------------------------------------------------------

    def load_weights(
        self, weights: Source, *, start: int = 0, cutoff: int | None = None, partial: bool = False
    ) -> None:
        """Reads parameters from a .weights file or its bytes into layers start..cutoff-1. Raises
        WeightsError."""
        self._drop_shared()
        last = -1 if cutoff is None else cutoff
        if isinstance(weights, (bytes, bytearray)):
            data = bytes(weights)
            name = f"{len(data)} bytes".encode()
            status = lib.dn_network_load_weights_bytes(
                self._use(), ffi.from_buffer(data), len(data), name, start, last, partial
            )
        else:
            path = path_bytes(weights, WeightsNotFoundError)
            status = lib.dn_network_load_weights(self._use(), path, start, last, partial)
        check(status, WeightsFileError)

    def save_weights(self, path: str | os.PathLike[str], cutoff: int | None = None) -> None:
        """Writes a .weights file, of the layers before cutoff only if given; whole or not at all."""
        status = lib.dn_network_save_weights(self._use(), path_bytes(path), -1 if cutoff is None else cutoff)
        check(status, WeightsFileError)

    def set_param(self, layer: int, name: str, array: npt.ArrayLike) -> None:
        """Overwrites a parameter of a layer; the array must have its shape.

        Raises StateError while a session of yours uses the network.
        """
        one = self.layers[self._layer_index(layer)]
        if name not in one._param_names:
            known = ", ".join(one._param_names) or "none"
            raise ArgumentError(f"layer {layer} ({one.type}) has no parameter {name!r}; it has: {known}")
        k = one._param_names.index(name)
        values = np.ascontiguousarray(array, np.float32)
        if values.shape != one._param_shape(k):
            raise ArgumentError(
                f"layer {layer} ({one.type}) {name}: "
                f"expected shape {one._param_shape(k)}, found {values.shape}"
            )
        with self._lock:
            self._drop_shared()
            check(
                lib.dn_layer_param_set(self._use(), layer, k, ffi.from_buffer("float[]", values), values.size)
            )

    # ---- running -------------------------------------------------------------------------------------

    def session(self, threads: int | None = None) -> Session:
        """A session with its own buffers and recurrent state, for a thread or a stream of its own."""
        return Session(self, threads)

    def predict(self, x: npt.ArrayLike) -> list[Floats]:
        """Runs x, float32 (n, c, h, w) or (n, inputs), any n; a single item without n is accepted.

        Gives one float32 array per output layer, (n, c, h, w) or (n, outputs). Recurrent layers start from
        zero. Raises ValueError that says which shape was expected and found.
        """
        with self._lock:
            session = self._shared()
            session.reset()
            return session.predict(x)

    def activations(self, x: npt.ArrayLike, truth: npt.ArrayLike | None = None) -> list[Floats]:
        """Output of every layer in test mode, layer by layer and unfused: (n, c, h, w) or (n, outputs) each.

        truth: (n, truths) or (n, rows, values), for layers that have a cost. Recurrent layers start from
        zero.
        """
        with self._lock:
            session = self._shared()
            session.reset()
            return session.activations(x, truth)

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
        """Finds objects in a picture, most confident first.

        image: path, encoded bytes, PIL image or numpy array (h, w[, 1|3|4]), uint8 or float 0..1, RGB
        (bgr=True if not). thresh: least confidence. hier: threshold of tree heads. nms: IoU above which boxes
        of a class suppress each other, 0 for none. preprocess: "letterbox" keeps the aspect ratio, "stretch"
        does not; None is what [net] letter_box says, else "letterbox". Boxes are in pixels of the upright
        picture. Raises ImageError.

        With a word tree an object is the node where a descent by hier_rule ends (see WordTree.top), with its
        objectness as confidence. class_map: nodes to report instead, as classes 0, 1, ..., each with
        objectness times absolute probability.
        """
        self._use()
        started = time.perf_counter()
        pixels = images.read(image, bgr=bgr)
        how = preprocess or self._default_preprocess()
        x = prepare(self, pixels, how)
        with self._lock:  # reading and resizing, above, need not wait for other threads
            session = self._shared()
            session.reset()
            rules = Rules(thresh, hier, nms, hier_rule, preprocess=how, class_map=class_map)
            return session._detect(pixels, x, rules, started)

    def classify(
        self, image: Any, top: int = 5, preprocess: str = "crop", bgr: bool = False
    ) -> list[tuple[str, float]]:
        """The most probable classes of a picture, as (name, probability), best first.

        preprocess: "crop" (shorter side antialiased to 256/224 of the network's size, centre cropped),
        "letterbox" or "stretch". With a word tree ([softmax] tree=) the classes are its leaves, the
        probabilities absolute. image and errors as in detect.
        """
        self._refuse_heads()
        x = prepare(self, images.read(image, bgr=bgr), preprocess, ("crop", "letterbox", "stretch"))
        scores = self.scores(x)[0]
        best = np.argsort(-scores, kind="stable")[: max(top, 0)]
        return [(self._labels[int(i)], float(scores[i])) for i in best]

    def _refuse_heads(self) -> None:
        """Raises StateError for a detector, which gives boxes instead of a score per class."""
        if any(layer.head for layer in self.layers):
            raise StateError("this network is a detector: use detect")

    def __repr__(self) -> str:
        if self._handle is None:
            return "<Network (closed)>"
        return f"<Network {len(self.layers)} layers, input {self.input_shape}>"


def _text(pointer: Any) -> str:
    return str(ffi.string(pointer).decode("utf-8", "replace"))


def _finite(value: float, key: str) -> float:
    if not math.isfinite(value):
        raise CfgError(f"{key}: the number is too large")
    return value


def _maybe_text(pointer: Any) -> str | None:
    return None if pointer == ffi.NULL else _text(pointer)


def _shape(shape: Any) -> tuple[int, ...]:
    """(c, h, w), or (c,) where h = w = 0 marks a vector."""
    return (shape[0], shape[1], shape[2]) if shape[1] or shape[2] else (shape[0],)


def _natural(what: str, value: int | None) -> int:
    if value is None:
        return 0
    if not 0 <= value < 1 << 31:
        raise ArgumentError(f"expected {what} >= 0, found {value}")
    return int(value)


def _choice(what: str, value: str, choices: dict[str, int]) -> int:
    if value not in choices:
        expected = " or ".join(f'"{choice}"' for choice in choices)
        raise ArgumentError(f"expected {what} {expected}, found {value!r}")
    return choices[value]

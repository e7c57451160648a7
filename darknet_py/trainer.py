"""Training: one trainer owns the gradients, the optimiser's state and the random state of one network."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ._native import ffi, lib
from .errors import ArgumentError, DataFileError, DataNotFoundError, StateError, check, path_bytes
from .network import Network
from .session import as_input, as_truth, free_before, take

Floats = npt.NDArray[np.float32]


class Trainer:
    """Trains a network as its cfg says. The network's parameters change with every update.

    net: a Network, which the trainer takes for its exclusive use. threads: processors, None as the network.
    seed: of dropout and other random choices. input_delta: also compute the gradient of the input.
    """

    def __init__(
        self, net: Network, *, threads: int | None = None, seed: int = 0, input_delta: bool = False
    ) -> None:
        if threads is not None and threads < 0:
            raise ArgumentError(f"expected threads >= 0, found {threads}")
        if not 0 <= seed < 1 << 64:
            raise ArgumentError(f"expected a seed 0..2**64-1, found {seed}")
        options = ffi.new("dn_trainer_options *")
        lib.dn_trainer_options_init(options)
        options.threads, options.seed, options.input_delta = threads or 0, seed, input_delta
        out = ffi.new("dn_trainer **")
        net._drop_shared()
        check(lib.dn_trainer_create(out, net._use(), options))
        self._begin(net, out[0], free_before(self, lib.dn_trainer_free, out[0], net), input_delta)

    def _begin(self, net: Network, handle: Any, free: Callable[[], Any], input_delta: bool) -> None:
        self.network = net
        self._handle: Any = handle
        self._free = free
        self._lock = threading.RLock()
        self._with_input_delta = input_delta
        self._fed: Any = None  # arrays of the last pass: backward_from reads them again

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int | None = None) -> Trainer:
        """The trainer that save wrote, with a network of its own, to go on bit for bit. Raises DataError."""
        out = ffi.new("dn_trainer **")
        check(lib.dn_trainer_load(out, path_bytes(path, DataNotFoundError), threads or 0), DataFileError)
        handle = ffi.gc(out[0], lib.dn_trainer_free)
        network = Network._borrow(lib.dn_trainer_network(handle), handle)

        def free() -> None:
            """The network goes with its trainer: first what uses it, then both."""
            network.close()
            ffi.release(handle)

        trainer = cls.__new__(cls)
        trainer._begin(network, handle, free, False)
        return trainer

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything (cfg, parameters, optimiser, counters, random state, note); whole or not at
        all."""
        with self._lock:
            check(lib.dn_trainer_save(self._use(), path_bytes(path)), DataFileError)

    @property
    def note(self) -> bytes:
        """Bytes of the caller's that save keeps in the file and load brings back."""
        length = ffi.new("size_t *")
        with self._lock:
            return bytes(ffi.buffer(lib.dn_trainer_note(self._use(), length), length[0]))

    @note.setter
    def note(self, value: bytes) -> None:
        with self._lock:
            check(lib.dn_trainer_set_note(self._use(), value, len(value)))

    def mark(self) -> None:
        """Keeps a copy of parameters, gradients and recurrent state for go_back."""
        with self._lock:
            check(lib.dn_trainer_mark(self._use()))

    def go_back(self) -> None:
        """Returns to the last mark, as if the batches since had not been; they stay counted."""
        with self._lock:
            self.network._drop_shared()
            check(lib.dn_trainer_back(self._use()))

    def close(self) -> None:
        """Frees the trainer; the network stays, except one that load made. Calling it again does nothing."""
        with self._lock:
            if self._handle is not None:
                self._handle = None
                self._free()

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a trainer of the C core cannot be copied or pickled")

    def _use(self) -> Any:
        if self._handle is None:
            raise StateError("this trainer is closed")
        self.network._use()
        return self._handle

    # ---- training ------------------------------------------------------------------------------------

    def backward(self, x: npt.ArrayLike, truth: npt.ArrayLike | None = None) -> float:
        """One forward and backward pass in training mode; gradients accumulate, nothing is updated.

        x: float32 (batch, c, h, w) or (batch, inputs), batch as in network.input_shape. truth: (batch,
        truths) or (batch, rows, values); None if no layer needs one. Gives the cost, the mean over the layers
        that have one. Raises ValueError that says which shape was expected and found.
        """
        with self._lock:
            cost = ffi.new("float *")
            source, rows, truths, self._fed = self._arguments(x, truth)
            check(lib.dn_trainer_backward(self._use(), source, rows, truths, cost))
            return float(cost[0])

    def forward(self, x: npt.ArrayLike, truth: npt.ArrayLike | None = None) -> float:
        """One forward pass in training mode; arguments and result as of backward. x isn't counted as seen."""
        with self._lock:
            cost = ffi.new("float *")
            source, rows, truths, self._fed = self._arguments(x, truth)
            check(lib.dn_trainer_forward(self._use(), source, rows, truths, cost))
            return float(cost[0])

    def backward_from(self, layer: int, delta: npt.ArrayLike) -> None:
        """A backward pass from a layer down, after a forward pass, with this delta of its output alone.

        delta: the direction in which the output shall move, shaped like output(layer). Gradients accumulate.
        """
        with self._lock:
            values = np.ascontiguousarray(delta, np.float32)
            shape = self._layer_shape(self.network._layer_index(layer))
            if values.shape != shape:
                raise ArgumentError(f"layer {layer}: expected a delta of shape {shape}, found {values.shape}")
            check(lib.dn_trainer_backward_from(self._use(), layer, ffi.from_buffer("float[]", values)))

    def update(self) -> None:
        """Applies the accumulated gradients as the cfg says."""
        with self._lock:
            self.network._drop_shared()
            check(lib.dn_trainer_update(self._use()))

    def step(self, x: npt.ArrayLike, truth: npt.ArrayLike | None = None) -> float:
        """backward, and update at every `subdivisions`-th call. Gives the cost; arguments as in backward."""
        with self._lock:
            self.network._drop_shared()
            cost, updated = ffi.new("float *"), ffi.new("int *")
            source, rows, truths, self._fed = self._arguments(x, truth)
            check(lib.dn_trainer_step(self._use(), source, rows, truths, cost, updated))
            return float(cost[0])

    def resize(self, width: int, height: int) -> None:
        """Changes the network's input size, for training at several scales."""
        with self._lock:
            self.network._drop_shared()
            check(lib.dn_trainer_resize(self._use(), width, height))

    def reset(self, stream: int | None = None) -> None:
        """Sets the state of recurrent layers to zero, of all streams or of one.

        A batch is [time_steps][streams]; between passes every stream carries its state on.
        """
        with self._lock:
            lib.dn_trainer_reset(self._use(), -1 if stream is None else stream)

    def _arguments(self, x: Any, truth: Any) -> tuple[Any, Any, int, Any]:
        """Pointers to the input and the truth, truth floats per image, and the arrays that must outlive
        them."""
        expected = self.network.input_shape
        batch = as_input(x, expected[1:])
        if len(batch) != expected[0]:
            raise ArgumentError(f"expected an input of shape {expected}, found {np.shape(x)}")
        rows = as_truth(truth, len(batch))
        source = ffi.from_buffer("float[]", batch)
        if rows is None:
            return source, ffi.NULL, 0, batch
        return source, ffi.from_buffer("float[]", rows), rows.shape[1], (batch, rows)

    # ---- looking inside --------------------------------------------------------------------------------

    @property
    def iteration(self) -> int:
        """Updates made so far, counted by the images seen."""
        return int(lib.dn_trainer_iteration(self._use()))

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update."""
        return float(lib.dn_trainer_rate(self._use()))

    def learning_rate_at(self, n: int) -> float:
        """The learning rate at iteration n."""
        return float(lib.dn_trainer_rate_at(self._use(), n))

    def gradients(self, layer: int) -> dict[str, Floats]:
        """Accumulated gradients of a layer's parameters by name, shaped like them: copies.

        The sign is the reference's: the direction in which the cost falls.
        """
        one = self.network.layers[self.network._layer_index(layer)]
        count, result = ffi.new("size_t *"), {}
        with self._lock:
            for k, name in enumerate(one._param_names):
                values = lib.dn_trainer_gradient(self._use(), layer, k, count)
                if values != ffi.NULL:  # rolling statistics have none
                    result[name] = take(values, count[0], one._param_shape(k))
        return result

    def output(self, layer: int) -> Floats:
        """Output of a layer in the last pass, in training mode: (batch, c, h, w) or (batch, outputs)."""
        return self._layer_array(lib.dn_trainer_output, self.network._layer_index(layer))

    def delta(self, layer: int) -> Floats:
        """Delta of a layer after the last backward pass, shaped like its output."""
        return self._layer_array(lib.dn_trainer_delta, self.network._layer_index(layer))

    @property
    def input_delta(self) -> Floats:
        """Delta of the network's input, shaped like it; only of a Trainer made with input_delta=True."""
        if not self._with_input_delta:
            raise StateError("make the Trainer with input_delta=True to have the gradient of the input")
        return self._layer_array(lib.dn_trainer_delta, -1)

    def _layer_shape(self, layer: int) -> tuple[int, ...]:
        """Of a layer's output, or of the network's input if layer is -1, for a batch."""
        shape = self.network.input_shape
        return shape if layer < 0 else (shape[0], *self.network.layers[layer].out_shape)

    def _layer_array(self, function: Any, layer: int) -> Floats:
        shape, count = self._layer_shape(layer), ffi.new("size_t *")
        with self._lock:
            values = function(self._use(), layer, count)
            # Whether count is per image or per batch does not matter here: the shape says how many there are.
            return take(values, int(np.prod(shape)), shape)

    def layer_cost(self, layer: int) -> float:
        """Cost of one layer in the last pass."""
        return float(lib.dn_trainer_layer_cost(self._use(), self.network._layer_index(layer)))

    def head_line(self, layer: int) -> str:
        """Numbers about the last pass of a detection head in one line, as the reference prints them; else
        ""."""
        with self._lock:
            line = lib.dn_trainer_head_line(self._use(), self.network._layer_index(layer))
            return str(ffi.string(line).decode("utf-8", "replace"))

    def gradient_arena(self) -> Floats:
        """All accumulated gradients as one float32 array: a view, not a copy.

        To be summed across machines, in place, before update. Valid while the trainer is open.
        """
        count = ffi.new("size_t *")
        values = lib.dn_trainer_gradients(self._use(), count)
        if values == ffi.NULL or count[0] == 0:
            return np.empty(0, np.float32)
        # The destructor does nothing but refer to the trainer, so that the view keeps it alive.
        owner = ffi.gc(ffi.cast("float *", values), lambda _values, _trainer=self: None)
        return np.frombuffer(ffi.buffer(owner, 4 * count[0]), np.float32)

"""A policy network computed by onnxruntime, from streamed weights, without torch (extra `[onnx]`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgechess_inference.adapters.host import HostAdapter
from edgechess_inference.backends.onnx_graph import (
    CLOCKS,
    MOVES,
    OUTLOOK,
    TOKENS,
    PolicyGraph,
    factor_names,
    is_convolution,
    stored_shape,
    used_weights,
)
from edgechess_inference.backends.policy_model import Floats, Groups
from edgechess_inference.move_model import AdapterError
from edgechess_inference.policy.architecture import Architecture, adaptable, weights_of
from edgechess_inference.policy.checkpoint import Array, check_weights, dtype_of, widened
from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.manifest import Tensor

PROVIDERS = ["CPUExecutionProvider"]


@dataclasses.dataclass(frozen=True, slots=True)
class OnnxAdapter:
    """The two factors of each layer, under the names of the graph's inputs."""

    factors: Mapping[str, Floats]

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in self.factors.values())


class OnnxPolicy:
    """Made when every byte has arrived: a session prepares its weights when it is opened."""

    def __init__(
        self, a: Architecture, buffer: HostBuffer, tensors: Mapping[str, Tensor], *, threads: int | None
    ) -> None:
        """Raises ArchitectureError where the weights are another network's."""
        check_weights(a, {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()})
        self._a = a
        self._threads = threads
        arrays = {name: _array(buffer, tensor) for name, tensor in tensors.items()}
        self._weights = {name: widened(arrays, name) for name in used_weights(a)}
        self._converted = sum(array.nbytes for name, array in self._weights.items() if tensors[name].dtype != "F32")
        self._plain = self._session(adapters=False)
        self._adapting: onnxruntime.InferenceSession | None = None
        self._neutral = _neutral(a)

    def converted_bytes(self) -> int:
        return self._converted

    def evaluate(self, tokens: NDArray[np.int64], clocks: Floats, groups: Groups) -> tuple[Floats, Floats]:
        parts = [self._run(tokens[rows], clocks[rows], adapter) for adapter, rows in groups]
        return np.concatenate([moves for moves, _ in parts]), np.concatenate([outlook for _, outlook in parts])

    def prepare(self, adapter: HostAdapter) -> OnnxAdapter:
        shapes, layers = weights_of(self._a), adaptable(self._a)
        factors: dict[str, Floats] = {}
        for target in adapter.adapter.targets:
            check_target(adapter.adapter.name, target.layer, target.a.shape, target.b.shape, shapes, layers)
            a, b = adapter.factors(target)
            if is_convolution(target.layer):
                a, b = a.reshape(a.shape[0], -1, 3, 3), b.reshape(*b.shape, 1, 1)
            factors |= zip(factor_names(target.layer), (a, b), strict=True)
        return OnnxAdapter(factors)

    def settle(self) -> None:
        """Nothing is staged here."""

    def close(self) -> None:
        del self._plain, self._adapting, self._weights

    def _run(self, tokens: NDArray[np.int64], clocks: Floats, adapter: OnnxAdapter | None) -> tuple[Floats, Floats]:
        inputs: dict[str, Array] = {TOKENS: tokens, CLOCKS: clocks}
        session = self._plain
        if adapter is not None:
            if self._adapting is None:  # a second session, over the same weights, from the first adapter on
                self._adapting = self._session(adapters=True)
            session = self._adapting
            inputs |= self._neutral | dict(adapter.factors)
        moves, outlook = session.run([MOVES, OUTLOOK], inputs)
        return moves, outlook

    def _session(self, *, adapters: bool) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        shapes = weights_of(self._a)
        names = list(self._weights)
        values = [
            onnxruntime.OrtValue.ortvalue_from_numpy(self._weights[name].reshape(stored_shape(name, shapes[name])))
            for name in names
        ]  # of the memory it is given, not of a copy
        options.add_external_initializers(names, values)
        graph = PolicyGraph(self._a, adapters=adapters).build()
        return onnxruntime.InferenceSession(graph, options, providers=PROVIDERS)


def check_target(
    adapter: str,
    layer: str,
    a: tuple[int, ...],
    b: tuple[int, ...],
    shapes: Mapping[str, tuple[int, ...]],
    layers: tuple[str, ...],
) -> None:
    """Raises AdapterError unless the product of the two fits the layer's matrix."""
    if layer not in layers:
        raise AdapterError(
            adapter, f"adapter {adapter!r} changes {layer!r}, which no adapter can; there are {', '.join(layers)}"
        )
    out, inward = shapes[f"{layer}.weight"]
    if a[1] != inward or b[0] != out:
        raise AdapterError(adapter, f"adapter {adapter!r}: {layer!r} takes {inward} to {out}, not {a[1]} to {b[0]}")


def _array(buffer: HostBuffer, tensor: Tensor) -> Array:
    data = buffer.view(tensor.offset, tensor.length)
    return np.frombuffer(data, dtype=dtype_of(tensor.name, tensor.dtype)).reshape(tensor.shape)


def _neutral(a: Architecture) -> dict[str, Floats]:
    """Factors of rank one that add nothing, for layers which an adapter leaves alone."""
    shapes, found = weights_of(a), {}
    for layer in adaptable(a):
        out, inward = shapes[f"{layer}.weight"]
        left, right = factor_names(layer)
        convolution = is_convolution(layer)
        found[left] = np.zeros((1, inward // 9, 3, 3) if convolution else (1, inward), np.float32)
        found[right] = np.zeros((out, 1, 1, 1) if convolution else (out, 1), np.float32)
    return found

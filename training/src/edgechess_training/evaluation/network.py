"""A packed policy network for bulk work: blocking, many positions at once, no scheduler around it.

The same weights, encoding and backends as in play (`edgechess_inference.backends`); only the asking is different.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import chess
import numpy as np
from numpy.typing import NDArray

from edgechess_inference.adapters.host import HostAdapter
from edgechess_inference.adapters.lora import read_adapter
from edgechess_inference.errors import InferenceError
from edgechess_inference.policy.architecture import ARCHITECTURE, CONFIG_KEY, parse
from edgechess_inference.policy.encoding import ENCODING, Records, records, tokens_and_clocks
from edgechess_inference.weights.identity import weights_digest
from edgechess_inference.weights.manifest import CHUNK_BYTES
from edgechess_inference.weights.model import Model, ModelOptions, chunk_blocking, open_blocking
from edgechess_training.errors import TrainingError

Floats = NDArray[np.float32]
Backend = Literal["onnxruntime", "torch"]

BATCH = 128  # positions at once; on a processor larger ones bring nothing


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """What a worker process needs to load a network: addresses of packs, not names. `threads`: of the computation."""

    address: str
    adapter: str | None = None
    backend: Backend = "onnxruntime"
    threads: int = 1
    device: str = "cpu"


class Network:
    """Made by `network_of`, which keeps the last few."""

    def __init__(self, source: NetworkSource) -> None:
        """Raises TrainingError: not there, no policy network, a backend that is not installed, an adapter of other weights."""
        try:
            model = open_blocking(source.address, ModelOptions())
            self._policy: Any = _policy(model, source)
            self._adapter = None if source.adapter is None else self._prepared(model, source.adapter)
        except InferenceError as error:
            raise TrainingError(f"{source.address}: {error}") from error
        except ImportError as error:
            extra = "onnx" if source.backend == "onnxruntime" else "torch"
            raise TrainingError(f"{error.name} is not installed; install edgechess-inference[{extra}]") from error
        card = model.manifest.card
        self.name = card.name
        self.extra = dict(card.extra)
        self.digest = weights_digest(model.manifest)
        self.parameters = sum(
            int(np.prod(tensor.shape)) for tensor in model.manifest.of_shard(0) if not tensor.name.endswith(".scale")
        )
        self.stored_bytes = model.manifest.bytes

    def evaluate(self, boards: Sequence[chess.Board]) -> tuple[Floats, Floats]:
        """Logits of all moves [n, 4162], and win, draw, loss for the side to move [n, 3], adding up to 1."""
        return self.evaluate_records(records(boards))

    def evaluate_records(self, rows: Records) -> tuple[Floats, Floats]:
        """Likewise, of records [n, 33]."""
        parts: list[tuple[Floats, Floats]] = []
        for start in range(0, len(rows), BATCH):
            tokens, clocks = tokens_and_clocks(rows[start : start + BATCH])
            parts.append(self._policy.evaluate(tokens, clocks, [(self._adapter, slice(0, len(tokens)))]))
        if not parts:
            raise ValueError("no positions")
        moves, outlooks = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return moves, _shares(outlooks)

    def _prepared(self, model: Model, address: str) -> Any:
        packed = open_blocking(address, ModelOptions())
        adapter = read_adapter(packed.manifest)
        if weights_digest(model.manifest) not in adapter.bases:
            raise TrainingError(
                f"the adapter {adapter.name} was made for other weights than {model.manifest.card.name}"
            )
        return self._policy.prepare(HostAdapter(adapter, _filled(packed, _host_buffer(packed))))


@lru_cache(maxsize=4)
def network_of(source: NetworkSource) -> Network:
    """Loaded once per process. Raises TrainingError."""
    return Network(source)


def scores(outlooks: Floats) -> Floats:
    """Expected points, 0 to 1, from win, draw and loss."""
    found: Floats = outlooks[:, 0] + outlooks[:, 1] * np.float32(0.5)
    return found


def _policy(model: Model, source: NetworkSource) -> Any:
    card = model.manifest.card
    if card.architecture != ARCHITECTURE or card.encoding != ENCODING:
        raise TrainingError(f"{card.name} is no policy network that reads {ENCODING!r} ({card.architecture})")
    architecture = parse(card.extra.get(CONFIG_KEY, ""))
    tensors = {tensor.name: tensor for tensor in model.manifest.of_shard(0)}
    if source.backend == "onnxruntime":
        onnx = importlib.import_module("edgechess_inference.backends.onnx_policy")
        return onnx.OnnxPolicy(architecture, _filled(model, _host_buffer(model)), tensors, threads=source.threads)
    torch = importlib.import_module("torch")
    torch.set_num_threads(source.threads)
    made = importlib.import_module("edgechess_inference.backends.torch_policy")
    arrival = importlib.import_module("edgechess_inference.backends.arrival").Arrival(None)
    buffers = importlib.import_module("edgechess_inference.weights.torch_buffer")
    buffer = _filled(model, buffers.TorchBuffer(model.manifest.shards[0].bytes, source.device))
    policy = made.TorchPolicy(architecture, buffer, tensors, arrival)
    policy.settle()
    return policy


def _host_buffer(model: Model) -> Any:
    return importlib.import_module("edgechess_inference.weights.host_buffer").HostBuffer(model.manifest.shards[0].bytes)


def _filled(model: Model, buffer: Any) -> Any:
    for number, chunk in enumerate(model.manifest.shards[0].chunks):
        offset = number * CHUNK_BYTES
        buffer.slot(offset, chunk.bytes, 0)[:] = chunk_blocking(model, chunk)
        buffer.land(offset, chunk.bytes, 0)
    return buffer


def _shares(logits: Floats) -> Floats:
    powers: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = powers / powers.sum(axis=1, keepdims=True)
    return found

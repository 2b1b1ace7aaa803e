"""Any Hugging Face causal language model from streamed weights (extra `[llm]`).

Configuration and tokenizer travel with the pack as files. The model is built on the meta device and given views of the
stream's buffer as parameters, in the type they were stored in; tied weights stay one; what no checkpoint holds (tables of
rotary positions) is computed, as transformers itself does after its own loading.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.pytorch_utils import Conv1D

from edgechess_inference.adapters.host import HostAdapter
from edgechess_inference.backends.arrival import Arrival
from edgechess_inference.backends.torch_lora import LowRank, Product, TorchAdapter, linear_product
from edgechess_inference.backends.torch_weights import assign
from edgechess_inference.move_model import ModelError
from edgechess_inference.weights.manifest import Tensor
from edgechess_inference.weights.torch_buffer import TorchBuffer

CONFIG_FILE = "config.json"

COMPUTE_AS_THEY_ARRIVE = frozenset(
    {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "GPT2LMHeadModel"}
)
"""Architectures that touch every weight through its own module, so that a layer can wait for it. Others wait for all."""


class HfModel:
    """A model and its tokenizer; `generation.py` drives it."""

    def __init__(
        self,
        name: str,
        files: Mapping[str, bytes],
        buffer: TorchBuffer,
        tensors: Mapping[str, Tensor],
        arrival: Arrival,
    ) -> None:
        """Raises ModelError where files are missing, or the weights are not this architecture's."""
        if CONFIG_FILE not in files:
            raise ModelError(f"{name} has no {CONFIG_FILE}: pack it from its Hugging Face folder")
        self._buffer = buffer
        self._arrival = arrival
        config, self.tokenizer = _read_files(name, files)
        stored = buffer.tensors(tensors)
        self.dtype = _computed_in(config, stored)
        self.network = _skeleton(name, config, self.dtype, buffer.device)
        self._gates, self._converted = assign(
            self.network,
            stored,
            arrival,
            names=_names(name, self.network, stored),
            dtype_of=lambda tensor: tensor.dtype,
            scales={},
        )
        self._gated = type(self.network).__name__ in COMPUTE_AS_THEY_ARRIVE
        self.low_rank = LowRank(_layers(self.network))
        self.positions_max = int(getattr(config, "max_position_embeddings", 1 << 20))

    @property
    def device(self) -> torch.device:
        return self._buffer.device

    def ready_to_begin(self) -> None:
        """In the thread that computes: returns when a first pass may begin. Raises WeightsError."""
        if not self._gated:
            self._gates.open_all()

    def converted_bytes(self) -> int:
        return self._converted

    def prepare(self, adapter: HostAdapter) -> TorchAdapter:
        return self.low_rank.prepare(adapter, self._buffer.device, self.dtype)

    def settle(self) -> None:
        self._gates.open_all()
        self._buffer.release_staging()

    def close(self) -> None:
        del self.network, self.tokenizer, self.low_rank, self._gates, self._buffer


def _read_files(name: str, files: Mapping[str, bytes]) -> tuple[Any, Any]:
    """Through a folder, for that is how transformers reads: small files only, gone at once. Runs no code of the pack's."""
    with tempfile.TemporaryDirectory() as folder:
        for file, data in files.items():
            (Path(folder) / file).write_bytes(data)
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{name}: configuration or tokenizer cannot be read: {error}") from error
    return config, tokenizer


def _computed_in(config: Any, stored: Mapping[str, torch.Tensor]) -> torch.dtype:
    """The type of the largest tensor."""
    dtype = max(stored.values(), key=lambda tensor: tensor.numel()).dtype
    if not dtype.is_floating_point or dtype.itemsize < 2:
        raise ModelError(f"{config.model_type}: weights in {dtype} need a loader of their own; pack F32, F16 or BF16")
    return dtype


def _skeleton(name: str, config: Any, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Parameters on the meta device; buffers where they are computed with, and computed."""
    try:
        with torch.device("meta"):
            network: Any = (
                cast(Any, AutoModelForCausalLM).from_config(config, dtype=dtype, trust_remote_code=False).eval()
            )
    except (ValueError, ImportError) as error:
        raise ModelError(f"{name}: transformers cannot build {config.model_type!r}: {error}") from error
    for owner in network.modules():
        for leaf, buffer in owner.named_buffers(recurse=False):
            persistent = leaf not in owner._non_persistent_buffers_set
            owner.register_buffer(leaf, torch.empty_like(buffer, device=device), persistent=persistent)
    network.initialize_weights()  # parameters are still without memory, so that it can change buffers only
    network.tie_weights()
    found: nn.Module = network
    return found


def _names(name: str, network: Any, stored: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Parameter or persistent buffer → stored tensor. Raises ModelError where one is missing or of another shape."""
    prefix = f"{network.base_model_prefix}."
    found: dict[str, str] = {}
    tied = dict(network.all_tied_weights_keys)
    parameters = dict(network.named_parameters(remove_duplicate=False))
    for key, value in network.state_dict().items():
        candidates = (key, tied.get(key, ""), key.removeprefix(prefix), tied.get(key, "").removeprefix(prefix))
        there = next((candidate for candidate in candidates if candidate in stored), None)
        if there is None and key not in parameters:
            continue  # a buffer that was computed
        if there is None:
            raise ModelError(f"{name}: {type(network).__name__} needs the tensor {key!r}, which the pack has not")
        if stored[there].shape != value.shape:
            shapes = f"{list(stored[there].shape)}, not {list(value.shape)}"
            raise ModelError(f"{name}: tensor {there!r} is {shapes}: its configuration is another model's")
        found[key] = there
    return found


def _layers(network: nn.Module) -> dict[str, tuple[nn.Module, int, int, Product]]:
    """What adapters may change: every linear layer, with channels in and out."""
    found: dict[str, tuple[nn.Module, int, int, Product]] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            found[name] = (module, module.in_features, module.out_features, linear_product)
        elif isinstance(module, Conv1D):
            found[name] = (module, module.nx, module.nf, linear_product)
    return found

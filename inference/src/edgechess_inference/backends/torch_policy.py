"""A policy network computed by torch, on a processor or an accelerator, from streamed weights (extra `[torch]`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgechess_inference.adapters.host import HostAdapter
from edgechess_inference.backends.arrival import Arrival
from edgechess_inference.backends.policy_model import Floats, Groups
from edgechess_inference.backends.torch_lora import Factors, LowRank, Product, TorchAdapter, linear_product
from edgechess_inference.backends.torch_weights import assign
from edgechess_inference.policy.architecture import Architecture, adaptable, weights_of
from edgechess_inference.policy.checkpoint import SCALE_SUFFIX, check_weights
from edgechess_inference.policy.network import Convolution, PolicyNetwork, convolve
from edgechess_inference.weights.manifest import Tensor
from edgechess_inference.weights.torch_buffer import TorchBuffer


class TorchPolicy:
    """Usable at once: each layer waits for its own weights."""

    def __init__(self, a: Architecture, buffer: TorchBuffer, tensors: Mapping[str, Tensor], arrival: Arrival) -> None:
        """Raises ArchitectureError where the weights are another network's, WeightsError for a type torch lacks."""
        check_weights(a, {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()})
        self._buffer = buffer
        self._dtype = torch.float32 if buffer.device.type == "cpu" else _narrowest(tensors)
        with torch.device("meta"):
            self._network = PolicyNetwork(a).eval()
        self._gates, self._converted = assign(
            self._network,
            buffer.tensors(tensors),
            arrival,
            names={name: name for name in weights_of(a)},
            dtype_of=lambda stored: self._dtype,
            scales={name: name + SCALE_SUFFIX for name in weights_of(a) if name + SCALE_SUFFIX in tensors},
        )
        self._low_rank = LowRank({layer: _layer(self._network, layer, a) for layer in adaptable(a)})

    def converted_bytes(self) -> int:
        return self._converted

    def evaluate(self, tokens: NDArray[np.int64], clocks: Floats, groups: Groups) -> tuple[Floats, Floats]:
        device = self._buffer.device
        with torch.inference_mode(), self._low_rank.using(groups):
            moves, outlook, _ = self._network(torch.from_numpy(tokens).to(device), torch.from_numpy(clocks).to(device))
        return moves.float().cpu().numpy(), outlook.float().cpu().numpy()

    def prepare(self, adapter: HostAdapter) -> TorchAdapter:
        return self._low_rank.prepare(adapter, self._buffer.device, self._dtype)

    def settle(self) -> None:
        self._gates.open_all()
        self._buffer.release_staging()

    def close(self) -> None:
        del self._network, self._gates, self._low_rank, self._buffer


def _narrowest(tensors: Mapping[str, Tensor]) -> torch.dtype:
    """Accelerators compute in what the weights were stored in; 8 bits are widened to 16."""
    kinds = {tensor.dtype for tensor in tensors.values()}
    return torch.bfloat16 if "BF16" in kinds else torch.float16 if "F16" in kinds else torch.float32


def _layer(network: PolicyNetwork, name: str, a: Architecture) -> tuple[nn.Module, int, int, Product]:
    out, inward = weights_of(a)[f"{name}.weight"]
    module = network.get_submodule(name)
    return module, inward, out, _board_product if isinstance(module, Convolution) else linear_product


def _board_product(layer: nn.Module, x: torch.Tensor, factors: Factors) -> torch.Tensor:
    """For convolutions whose weight is a matrix: A is one too, B mixes channels square by square."""
    a, b = factors
    return torch.einsum("nrhw,or->nohw", convolve(x, a), b)

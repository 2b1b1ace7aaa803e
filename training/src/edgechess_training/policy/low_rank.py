"""Low-rank changes to a policy network's layers, trained while its own weights stay: W + B A, in place of W.

What comes out is an adapter as the peft library saves it; serving computes the same from its two factors.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgechess_inference.adapters.lora import CONFIG_FILE, PREFIX, SUFFIXES, WEIGHTS_FILE
from edgechess_inference.policy.network import PolicyNetwork
from edgechess_inference.weights.safetensors_file import header_bytes

LAYERS = ("conv1", "conv2", "qkv", "out", "up", "down", "query", "key")
"""Those that choose moves; the outlook is a position's, not a player's."""


class LowRankSum(nn.Module):
    """Gives W + B A where a layer asks for its weight; B begins with zeros, so it begins as W."""

    def __init__(self, shape: torch.Size, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        out, inward = shape
        self.a = nn.Parameter(torch.randn(rank, inward, generator=generator) / math.sqrt(inward))
        self.b = nn.Parameter(torch.zeros(out, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return torch.addmm(weight, self.b, self.a)


def attach(network: PolicyNetwork, rank: int, seed: int) -> dict[str, LowRankSum]:
    """By name of the layer. The network's own weights are no longer trained."""
    generator = torch.Generator().manual_seed(seed)
    network.requires_grad_(False)
    found: dict[str, LowRankSum] = {}
    for name, module in list(network.named_modules()):
        if name.rsplit(".", 1)[-1] in LAYERS:
            change = LowRankSum(module.weight.shape, rank, generator).to(module.weight.device)
            parametrize.register_parametrization(module, "weight", change)
            found[name] = change
    return found


def save_adapter(folder: Path, changes: dict[str, LowRankSum], rank: int) -> None:
    """Two files, as peft names them; factors in 16 bits. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    factors = {
        f"{PREFIX}{layer}{suffix}": factor.detach().cpu().half().numpy()
        for layer, change in changes.items()
        for suffix, factor in zip(SUFFIXES, (change.a, change.b), strict=True)
    }
    with (folder / WEIGHTS_FILE).open("wb") as file:
        file.write(header_bytes([(name, "F16", array.shape) for name, array in factors.items()], {"format": "pt"}))
        for array in factors.values():
            file.write(array.tobytes())
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "bias": "none", "target_modules": sorted(changes)}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

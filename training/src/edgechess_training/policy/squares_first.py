"""A residual network's forward pass with the squares first, [64, n, channels]: the same function from the same weights.

For training on a processor, where it is twice as fast (`winograd.py` says why); the heads see [n, 64, channels] again.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 — torch's own custom

from edgechess_inference.policy.network import PolicyNetwork, ResidualBlock
from edgechess_training.policy.normalised import normalised_relu
from edgechess_training.policy.winograd import convolve_squares


def forward(network: PolicyNetwork, tokens: Tensor, clocks: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """What `network(tokens, clocks)` returns. Only for residual trunks."""
    embed = network.embed
    x = F.embedding(tokens.T, embed.pieces) + embed.squares[:, None] + clocks * embed.clock
    for block in network.blocks:
        x = residual(cast(ResidualBlock, block), x)
    x = network.norm(x.transpose(0, 1).contiguous())
    return network.policy_head(x), *network.value_head(x)


def residual(block: ResidualBlock, x: Tensor) -> Tensor:
    """[64, n, width] → the same."""
    shape = (8, 8, *x.shape[1:])
    y = convolve_squares(normalised_relu(x, block.norm1.weight).view(shape), block.conv1.weight)
    y = convolve_squares(normalised_relu(y, block.norm2.weight), block.conv2.weight).view(x.shape)
    scale, shift = block.excite(F.relu(block.squeeze(y.mean(0)))).chunk(2, dim=-1)
    return torch.addcmul(x + shift, y, torch.sigmoid(scale))

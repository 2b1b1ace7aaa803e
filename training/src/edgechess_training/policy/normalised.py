"""Normalisation and ReLU as one operation with its own gradient: `network.RootMeanSquare`, then relu, in fewer passes.

A trunk on a processor spends what its convolutions leave on reading and writing memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from edgechess_inference.policy.architecture import EPSILON


class NormalisedRelu(torch.autograd.Function):
    """relu(x / rms(x) * weight) over the last axis."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(EPSILON).rsqrt_()
        y = (x * scale).mul_(weight).relu_()
        ctx.save_for_backward(x, scale, weight, y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, scale, weight, y = ctx.saved_tensors
        g = torch.ops.aten.threshold_backward(gradients[0], y, 0)
        unit = x * scale
        product = g * unit
        flat = product.view(-1, x.shape[-1])
        of_weight = flat.sum(0)
        along = (flat @ weight).view(scale.shape).div_(-x.shape[-1])
        of_x = g.mul_(weight).addcmul_(unit, along).mul_(scale)
        return of_x, of_weight


_apply: Callable[..., Tensor] = NormalisedRelu.apply


def normalised_relu(x: Tensor, weight: Tensor) -> Tensor:
    """[…, channels] → the same."""
    return _apply(x, weight)

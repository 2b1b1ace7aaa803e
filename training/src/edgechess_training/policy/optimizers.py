"""Which optimizer moves which weights: Muon the large matrices of the trunk, AdamW all the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

MATRIX_RATE = 0.02
REST_RATE = 2e-3
MOMENTUM = 0.95
WEIGHT_DECAY = 0.02
MATRIX_LAYERS = ("conv1", "conv2", "qkv", "out", "up", "down", "generate1", "generate2")

ORTHOGONAL_STEPS = 5
QUINTIC = (
    3.4445,
    -4.7750,
    2.0315,
)  # steepest at zero: singular values end between 0.7 and 1.2 (K. Jordan, "Muon", 2024)

Optimizers = Sequence[torch.optim.Optimizer]


def optimizers_of(network: nn.Module, scale: float = 1.0) -> Optimizers:
    """`scale`: of the usual learning rates."""
    named = list(network.named_parameters())
    matrices = [weight for name, weight in named if name.startswith("blocks.") and name.split(".")[-2] in MATRIX_LAYERS]
    chosen = {id(weight) for weight in matrices}
    rest = [weight for _, weight in named if id(weight) not in chosen]
    matrix_rate, rest_rate = rates_of(scale)
    return [Muon(matrices, matrix_rate), torch.optim.AdamW(rest, lr=rest_rate, weight_decay=WEIGHT_DECAY)]


def rates_of(scale: float) -> tuple[float, float]:
    """The full learning rates of the two optimizers, in their order."""
    return MATRIX_RATE * scale, REST_RATE * scale


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal, as the step of a matrix.

    `torch.optim.Muon` does the same matrix by matrix in bfloat16, which took a quarter of a whole step on a processor
    without bfloat16; here matrices of one shape go together, in F32 off accelerators.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float) -> None:
        super().__init__(matrices, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """`closure` is not used: gradients are there already."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.shape, []).append(weight)
            for shape, weights in by_shape.items():
                updates = orthogonal(torch.stack([self._momentum(weight) for weight in weights]))
                rate = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for weight, update in zip(weights, updates, strict=True):
                    weight.mul_(1 - group["lr"] * WEIGHT_DECAY).sub_(update.to(weight.dtype), alpha=rate)

    def _momentum(self, weight: Tensor) -> Tensor:
        """Nesterov's: the gradient, looked at from where the momentum leads."""
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(weight.grad, 1 - MOMENTUM)
        return weight.grad.lerp(momentum, MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """[n, rows, columns] → matrices with the same singular vectors and singular values near 1 (Newton and Schulz)."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = QUINTIC
    for _ in range(ORTHOGONAL_STEPS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x

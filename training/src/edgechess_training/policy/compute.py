"""How this machine computes a network in training: the fastest way that it has."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 — torch's own custom

from edgechess_inference.policy.network import PolicyNetwork
from edgechess_training.errors import TrainingError
from edgechess_training.policy.mixture import Batch
from edgechess_training.policy.squares_first import forward

Device: TypeAlias = torch.device


class Compute:
    """A network, ready to be trained where its weights lie.

    A processor computes residual trunks with the squares first, in F32. CUDA computes in bfloat16 where the graph
    is compiled once for all steps; the weights stay in F32.
    """

    def __init__(self, network: PolicyNetwork, *, compiled: bool = True) -> None:
        self.device = next(network.parameters()).device
        self._accelerated = self.device.type == "cuda"
        self._forward: Callable[..., Any] = network
        if self._accelerated and compiled:
            self._forward = torch.compile(network)
        elif not self._accelerated and network.architecture.trunk == "residual":
            self._forward = partial(forward, network)

    def outputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of moves [n, 4162] and of win, draw, loss [n, 3], in F32."""
        tokens, clocks = (self._there(array) for array in (batch.tokens, batch.clocks))
        with torch.autocast("cuda", torch.bfloat16, enabled=self._accelerated):
            moves, outlook, _ = self._forward(tokens, clocks)
        return moves.float(), outlook.float()

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss on the move, over all moves whether legal or not: so the network learns the rules as well; and on
        the outlook, where it is known."""
        moves, outlook = self.outputs(batch)
        wanted = self._there(batch.outlooks)
        outlook_loss = F.cross_entropy(outlook, wanted, reduction="sum") / wanted.sum().clamp(min=1)
        return F.cross_entropy(moves, self._there(batch.moves)), outlook_loss

    def clock_s(self) -> float:
        """Seconds of the processor that computes; of an accelerator those that pass."""
        if not self._accelerated:
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def _there(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)


def device_of(word: str, threads: int | None = None) -> Device:
    """`word`: auto (CUDA where there is some), cpu, cuda or cuda:N. `threads`: of the processor, for the whole process.

    Raises TrainingError for a device that is not there.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    there = torch.cuda.is_available()
    if word == "auto":
        return torch.device("cuda" if there else "cpu")
    if word == "cpu" or (there and word.startswith("cuda")):
        return torch.device(word)
    raise TrainingError(f"no device {word!r} here; there are auto, cpu{', cuda' if there else ''}")

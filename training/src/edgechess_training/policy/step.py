"""One step of training: a batch becomes gradients, gradients move the weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 — torch's own custom

from edgechess_inference.policy.network import PolicyNetwork
from edgechess_training.policy.mixture import Batch
from edgechess_training.policy.squares_first import forward
from edgechess_training.positions import UNKNOWN_OUTCOME


def tensors_of(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tokens, clocks, moves and outcomes, where the network is."""
    arrays = (batch.tokens.astype("int64"), batch.clocks, batch.moves, batch.outcomes)
    tokens, clocks, moves, outcomes = (torch.from_numpy(array).to(device, non_blocking=True) for array in arrays)
    return tokens, clocks, moves, outcomes


def outputs_of(network: PolicyNetwork, tokens: Tensor, clocks: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of moves and of win, draw, loss: by the fastest way that this machine has."""
    if tokens.device.type == "cpu" and network.architecture.trunk == "residual":
        moves, outlook, _ = forward(network, tokens, clocks)
    else:
        moves, outlook, _ = network(tokens, clocks)
    return moves, outlook


def losses_of(network: PolicyNetwork, batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean loss on the move played, over all moves whether legal or not: so the network learns the rules as well; and on
    the game's outcome, where it is known."""
    tokens, clocks, moves, outcomes = tensors_of(batch, device)
    logits, outlook = outputs_of(network, tokens, clocks)
    known = outcomes != UNKNOWN_OUTCOME
    targets = torch.where(known, 2 - outcomes, -100)  # -100: cross_entropy's own mark for "leave out"
    outcome_loss = F.cross_entropy(outlook.float(), targets, reduction="sum") / known.sum().clamp(min=1)
    return F.cross_entropy(logits.float(), moves), outcome_loss

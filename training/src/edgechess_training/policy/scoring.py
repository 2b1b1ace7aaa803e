"""How well a network does on positions it never learns from: a quick look during a run, not an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import chess
import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 — torch's own custom

from edgechess_inference.policy.encoding import decode
from edgechess_inference.policy.moves import index_of
from edgechess_inference.policy.network import PolicyNetwork
from edgechess_training.policy.mixture import Batch, batch_of
from edgechess_training.policy.step import outputs_of, tensors_of
from edgechess_training.positions import UNKNOWN_OUTCOME, Positions

SAMPLE_STREAM = 3
CHUNK = 250  # positions at a time


@dataclass(frozen=True, slots=True)
class Score:
    """Shares of 1 and natural logarithms. `legal`: how often the best of all 4,162 moves is legal."""

    positions: int
    top1: float
    nll: float
    legal: float
    outcome_nll: float


def sample_of(positions: Positions, size: int, seed: int = 1) -> Positions:
    """A fixed sample, in memory."""
    if len(positions) <= size:
        return np.array(positions)
    places = np.random.default_rng([SAMPLE_STREAM, seed]).choice(len(positions), size, replace=False)
    return np.array(positions[np.sort(places)])


class Scorer:
    """Scores networks on one sample; the legal moves of its positions are worked out once."""

    def __init__(self, sample: Positions) -> None:
        self._batches = [batch_of(sample[begin : begin + CHUNK]) for begin in range(0, len(sample), CHUNK)]
        self._legal = [legal_numbers(record.tobytes()) for record in sample["record"]]
        self.size = len(sample)

    @torch.no_grad()
    def score(self, network: PolicyNetwork) -> Score:
        device = next(network.parameters()).device
        network.eval()
        sums, best = np.zeros(4), []
        for batch in self._batches:
            found, first = _sums(network, batch, device)
            sums += found
            best += first
        network.train()
        legal = sum(move in allowed for move, allowed in zip(best, self._legal, strict=True))
        hits, nll, outcome_nll, outcomes = sums
        n = self.size
        return Score(n, hits / n, nll / n, legal / n, outcome_nll / max(1, outcomes))


def _sums(network: PolicyNetwork, batch: Batch, device: torch.device) -> tuple[np.ndarray, list[int]]:
    tokens, clocks, moves, outcomes = tensors_of(batch, device)
    logits, outlook = outputs_of(network, tokens, clocks)
    logits = logits.float()
    first = logits.argmax(1)
    known = outcomes != UNKNOWN_OUTCOME
    outcome_nll = F.cross_entropy(outlook.float()[known], 2 - outcomes[known], reduction="sum") if known.any() else 0.0
    values = ((first == moves).sum(), F.cross_entropy(logits, moves, reduction="sum"), outcome_nll, known.sum())
    return np.array([float(value) for value in values]), first.tolist()


def legal_numbers(record: bytes) -> frozenset[int]:
    """The numbers of a position's legal moves."""
    return frozenset(index_of(move, chess.WHITE) for move in decode(record).legal_moves)

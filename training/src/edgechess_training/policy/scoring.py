"""How well a network does on positions it never learns from: a quick look during a run, not an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import chess
import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 — torch's own custom

from edgechess_inference.policy.encoding import decode
from edgechess_inference.policy.moves import index_of
from edgechess_training.policy.compute import Compute
from edgechess_training.policy.mixture import SAMPLE_STREAM, Batch, batch_of, outlooks_of
from edgechess_training.positions import Positions

CHUNK = 250  # positions at a time


@dataclass(frozen=True, slots=True)
class Score:
    """Shares of 1 and natural logarithms. `legal`: how often the best of all 4,162 moves is legal."""

    positions: int
    top1: float
    nll: float
    legal: float
    outlook_nll: float


def sample_of(positions: Positions, size: int, seed: int = 1) -> Positions:
    """A fixed sample, in memory."""
    if len(positions) <= size:
        return np.array(positions)
    places = np.random.default_rng([SAMPLE_STREAM, seed]).choice(len(positions), size, replace=False)
    return np.array(positions[np.sort(places)])


class Scorer:
    """Scores networks on one sample; the legal moves of its positions are worked out once."""

    def __init__(self, sample: Positions) -> None:
        parts = (sample[begin : begin + CHUNK] for begin in range(0, len(sample), CHUNK))
        self._batches = [batch_of(part, outlooks_of(part)) for part in parts]
        self._legal = [legal_numbers(record.tobytes()) for record in sample["record"]]
        self.size = len(sample)

    @torch.no_grad()
    def score(self, compute: Compute) -> Score:
        sums, best = np.zeros(4), []
        for batch in self._batches:
            found, first = _sums(compute, batch)
            sums += found
            best += first
        legal = sum(move in allowed for move, allowed in zip(best, self._legal, strict=True))
        hits, nll, outlook_nll, known = sums.tolist()
        n = self.size
        return Score(n, hits / n, nll / n, legal / n, outlook_nll / max(1, known))


def _sums(compute: Compute, batch: Batch) -> tuple[np.ndarray, list[int]]:
    """Hits, losses on moves and on outlooks, how many outlooks are known; and the best of all moves of each position."""
    logits, outlook = (each.cpu() for each in compute.outputs(batch))
    moves, outlooks = torch.from_numpy(batch.moves), torch.from_numpy(batch.outlooks)
    first = logits.argmax(1)
    nll = F.cross_entropy(logits, moves, reduction="sum")
    outlook_nll = F.cross_entropy(outlook, outlooks, reduction="sum")
    values = ((first == moves).sum(), nll, outlook_nll, outlooks.sum())
    return np.array([float(value) for value in values]), first.tolist()


def legal_numbers(record: bytes) -> frozenset[int]:
    """The numbers of a position's legal moves."""
    return frozenset(index_of(move, chess.WHITE) for move in decode(record).legal_moves)

"""Batches drawn from one dataset or several: each position once per pass, in an order that only the seed decides.

Nothing random is kept between batches. Which datasets a batch draws from follows from the seed and the step, which
positions from the seed and how many were drawn of that dataset: a run that goes on needs only those counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgechess_inference.policy.encoding import OWN_CASTLING_ROOK, tokens_and_clocks
from edgechess_inference.policy.moves import MOVES, PAIRS, UNDERPROMOTIONS
from edgechess_training.errors import TrainingError
from edgechess_training.positions import TRAIN_FILE, UNKNOWN_OUTCOME, Positions, open_outlooks, open_positions

SHARES_STREAM, ORDER_STREAM, MIRROR_STREAM, SAMPLE_STREAM = range(4)  # independent random streams of one seed

Outlooks = NDArray[np.float32]
"""[n, 3]: win, draw and loss of the mover, adding up to 1; or all 0 where nothing is known."""


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset folder and its share of each batch. The name, the folder as written, is what a run remembers it by.

    `outlooks`: per mille as an engine sees them, where the dataset has them; else the game's outcome is learnt.
    """

    name: str
    share: float
    positions: Positions
    outlooks: NDArray[np.uint16] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """`tokens` [n, 64], `clocks` [n, 1], `moves` [n], `outlooks` [n, 3]."""

    tokens: NDArray[np.int64]
    clocks: NDArray[np.float32]
    moves: NDArray[np.int64]
    outlooks: Outlooks

    def __len__(self) -> int:
        return len(self.moves)


def open_sources(folder: str, mixed: Sequence[tuple[str, float]] = ()) -> tuple[Source, ...]:
    """`mixed`: further folders and their shares; the first has what they leave. Raises TrainingError."""
    rest = 1 - sum(share for _, share in mixed)
    if rest <= 0 or any(share <= 0 for _, share in mixed):
        raise TrainingError("shares of mixed datasets are above 0 and leave something to the first one")
    pairs = [(folder, rest), *mixed]
    if len({path for path, _ in pairs}) < len(pairs):
        raise TrainingError("a dataset is given twice; give it once, with the sum of its shares")
    return tuple(
        Source(path, share, open_positions(Path(path) / TRAIN_FILE), open_outlooks(Path(path) / TRAIN_FILE))
        for path, share in pairs
    )


@dataclass(slots=True)
class Mixture:
    """`drawn`: positions drawn of each source so far, by name."""

    sources: Sequence[Source]
    seed: int
    mirror: bool = True
    drawn: dict[str, int] = field(default_factory=dict)
    _orders: dict[str, tuple[int, NDArray[np.int64]]] = field(default_factory=dict)

    def batch(self, step: int, size: int) -> Batch:
        shares = np.random.default_rng([SHARES_STREAM, self.seed, step])
        counts = shares.multinomial(size, [source.share for source in self.sources])
        parts = [self._draw(source, int(count)) for source, count in zip(self.sources, counts, strict=True)]
        flips = np.random.default_rng([MIRROR_STREAM, self.seed, step]).random(size) < 0.5
        rows, outlooks = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return batch_of(rows, outlooks, mirrored=flips if self.mirror else None)

    def _draw(self, source: Source, count: int) -> tuple[Positions, Outlooks]:
        begin = self.drawn.get(source.name, 0)
        self.drawn[source.name] = begin + count
        places = self._places(source, begin, begin + count)
        rows = source.positions[places]
        if source.outlooks is None:
            return rows, outlooks_of(rows)
        return rows, source.outlooks[places].astype(np.float32) / np.float32(1000)

    def _places(self, source: Source, begin: int, end: int) -> NDArray[np.int64]:
        """Where number `begin` to `end` of all the draws from a source lie in it."""
        found, length = [], len(source.positions)
        while begin < end:
            passed, place = divmod(begin, length)
            taken = min(end - begin, length - place)
            found.append(self._order(source, passed)[place : place + taken])
            begin += taken
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def _order(self, source: Source, passed: int) -> NDArray[np.int64]:
        known = self._orders.get(source.name)
        if known is None or known[0] != passed:
            order = np.random.default_rng([ORDER_STREAM, self.seed, passed]).permutation(len(source.positions))
            known = self._orders[source.name] = (passed, order)
        return known[1]


def outlooks_of(rows: Positions) -> Outlooks:
    """What became of the games."""
    table = np.zeros((UNKNOWN_OUTCOME + 1, 3), np.float32)
    table[0, 2] = table[1, 1] = table[2, 0] = 1.0
    found: Outlooks = table[np.minimum(rows["outcome"], UNKNOWN_OUTCOME)]
    return found


def batch_of(rows: Positions, outlooks: Outlooks, mirrored: NDArray[np.bool_] | None = None) -> Batch:
    """`mirrored`: rows to be seen in a mirror, a-file for h-file; those in which somebody may still castle are not."""
    tokens, clocks = tokens_and_clocks(rows["record"])
    moves = rows["move"].astype(np.int64)
    if mirrored is not None:
        chosen = mirrored & (tokens < OWN_CASTLING_ROOK).all(axis=1)
        tokens[chosen] = tokens[chosen].reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64)
        moves[chosen] = MIRRORED_MOVES[moves[chosen]]
    return Batch(tokens, clocks, moves, outlooks)


def _mirrored_moves() -> NDArray[np.int64]:
    number = {key: PAIRS + place for place, key in enumerate(UNDERPROMOTIONS)}
    pairs = [(index // 64 ^ 7) * 64 + (index % 64 ^ 7) for index in range(PAIRS)]
    found = np.array([*pairs, *(number[begin ^ 7, end ^ 7, piece] for begin, end, piece in UNDERPROMOTIONS)])
    assert found.shape == (MOVES,)
    return found


MIRRORED_MOVES = _mirrored_moves()
"""The number of each move as a mirror shows it."""

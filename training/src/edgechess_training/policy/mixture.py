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

from edgechess_inference.policy.encoding import OWN_CASTLING_ROOK, SQUARES
from edgechess_inference.policy.moves import MOVES, PAIRS, UNDERPROMOTIONS
from edgechess_training.errors import TrainingError
from edgechess_training.positions import TRAIN_FILE, Positions, open_positions

SHARES_STREAM, ORDER_STREAM, MIRROR_STREAM = range(3)  # independent random streams of one seed


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset folder and its share of each batch. The name, the folder as written, is what a run remembers it by."""

    name: str
    share: float
    positions: Positions


@dataclass(frozen=True, slots=True)
class Batch:
    """`tokens` [n, 64], `clocks` [n, 1], `moves` [n], `outcomes` [n] (0 loss, 1 draw, 2 win, 3 unknown), all for the mover."""

    tokens: NDArray[np.uint8]
    clocks: NDArray[np.float32]
    moves: NDArray[np.int64]
    outcomes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.moves)


def open_sources(folder: Path, mixed: Sequence[tuple[Path, float]] = ()) -> tuple[Source, ...]:
    """`mixed`: further folders and their shares; the first has what they leave. Raises TrainingError."""
    rest = 1 - sum(share for _, share in mixed)
    if rest <= 0 or any(share <= 0 for _, share in mixed):
        raise TrainingError("shares of mixed datasets are above 0 and leave something to the first one")
    pairs = [(folder, rest), *mixed]
    if len({str(path) for path, _ in pairs}) < len(pairs):
        raise TrainingError("a dataset is given twice; give it once, with the sum of its shares")
    return tuple(Source(str(path), share, open_positions(path / TRAIN_FILE)) for path, share in pairs)


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
        rows = np.concatenate([self._draw(source, int(n)) for source, n in zip(self.sources, counts, strict=True)])
        flips = np.random.default_rng([MIRROR_STREAM, self.seed, step]).random(size) < 0.5
        return batch_of(rows, mirrored=flips if self.mirror else None)

    def _draw(self, source: Source, count: int) -> Positions:
        begin = self.drawn.get(source.name, 0)
        self.drawn[source.name] = begin + count
        places = [self._place(source, number) for number in range(begin, begin + count)]
        return source.positions[places]

    def _place(self, source: Source, number: int) -> int:
        passed, place = divmod(number, len(source.positions))
        known = self._orders.get(source.name)
        if known is None or known[0] != passed:
            order = np.random.default_rng([ORDER_STREAM, self.seed, passed]).permutation(len(source.positions))
            known = self._orders[source.name] = (passed, order)
        return int(known[1][place])


def batch_of(rows: Positions, mirrored: NDArray[np.bool_] | None = None) -> Batch:
    """`mirrored`: rows to be seen in a mirror, a-file for h-file; those in which somebody may still castle are not."""
    record = rows["record"]
    pairs = record[:, : SQUARES // 2]
    tokens = np.stack((pairs & 15, pairs >> 4), axis=-1).reshape(-1, SQUARES)
    moves = rows["move"].astype(np.int64)
    if mirrored is not None:
        chosen = mirrored & (tokens < OWN_CASTLING_ROOK).all(axis=1)
        tokens[chosen] = tokens[chosen].reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, SQUARES)
        moves[chosen] = MIRRORED_MOVES[moves[chosen]]
    clocks = record[:, SQUARES // 2 :].astype(np.float32) / np.float32(100)
    return Batch(tokens, clocks, moves, rows["outcome"].astype(np.int64))


def _mirrored_moves() -> NDArray[np.int64]:
    number = {key: PAIRS + place for place, key in enumerate(UNDERPROMOTIONS)}
    pairs = [(index // 64 ^ 7) * 64 + (index % 64 ^ 7) for index in range(PAIRS)]
    found = np.array([*pairs, *(number[begin ^ 7, end ^ 7, piece] for begin, end, piece in UNDERPROMOTIONS)])
    assert found.shape == (MOVES,)
    return found


MIRRORED_MOVES = _mirrored_moves()
"""The number of each move as a mirror shows it."""

"""Positions of games that were held out: is the master's move among the network's first, and does its outlook come true?

Counted apart by phase, and apart for positions that occur nowhere in the games it was trained on (same pieces, rights and side
to move, whatever the clock), for openings repeat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgechess_inference.policy.encoding import decode
from edgechess_inference.policy.moves import legal_indices
from edgechess_training.dataset.bitboards import keys
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation import reliability
from edgechess_training.evaluation.network import Floats, NetworkSource, network_of, scores
from edgechess_training.evaluation.statistics import Interval, share
from edgechess_training.evaluation.sums import Sums, added
from edgechess_training.evaluation.work import Task
from edgechess_training.positions import EVALUATION_FILE, TRAIN_FILE, UNKNOWN_OUTCOME, Positions, open_positions

POSITIONS_PER_TASK = 1000
READ_AT_ONCE = 500_000  # rows of the training file: 22 MB
PHASES = ("opening", "middlegame", "endgame")
OPENING_PLIES = 20
ENDGAME_PIECES = 6  # of both sides, kings and pawns not counted: Lichess draws the line here too
PIECE_CODES = (2, 3, 4, 5, 8, 9, 10, 11, 14, 15)  # knights to queens of both sides, and rooks that may castle
TOP = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """Drawn rows of the evaluation file. `seen`: also in the training file; None: there is no such file."""

    rows: tuple[int, ...]
    seen: tuple[bool, ...] | None


def draw_sample(folder: Path, count: int, seed: int, *, compare: bool = True) -> Sample:
    """In the order of the file. `compare`: with the training file, which takes some seconds. Raises TrainingError."""
    positions = open_positions(folder / EVALUATION_FILE)
    order = np.random.default_rng(seed).permutation(len(positions))[:count]
    rows = np.sort(order)
    train = folder / TRAIN_FILE
    if not compare or not train.is_file():
        return Sample(tuple(rows.tolist()), None)
    seen = np.isin(keys(positions["record"][rows]), _keys_of_file(open_positions(train)))
    return Sample(tuple(rows.tolist()), tuple(seen.tolist()))


def _keys_of_file(train: Positions) -> NDArray[np.uint64]:
    starts = range(0, len(train), READ_AT_ONCE)
    return np.concatenate([keys(train["record"][start : start + READ_AT_ONCE]) for start in starts])


@dataclass(frozen=True, slots=True)
class HeldoutWork:
    """Some rows. Gives sums by phase, of unseen positions, and of the outlook."""

    folder: str
    sample: Sample
    source: NetworkSource

    def run(self) -> Sums:
        found = open_positions(Path(self.folder) / EVALUATION_FILE)[list(self.sample.rows)]
        logits, outlooks = network_of(self.source).evaluate_records(found["record"])
        phases = phases_of(found["record"], found["ply"])
        counted = [
            judged_move(row, int(move), record)
            for row, move, record in zip(logits, found["move"], found["record"], strict=True)
        ]
        names = [PHASES[phase] for phase in phases]
        sums = added({name: counts, "all": counts} for name, counts in zip(names, counted, strict=True))
        if self.sample.seen is not None:
            unseen = [counts for counts, seen in zip(counted, self.sample.seen, strict=True) if not seen]
            sums |= {"unseen": added(unseen)} if unseen else {}
        return {"match": sums, "outlook": _outlook(found["outcome"], outlooks)}


def judged_move(logits: Floats, move: int, record: NDArray[np.uint8]) -> Sums:
    """Is `move` the likeliest legal one, or among the first; `loss`: -log of its probability among the legal ones.

    Raises TrainingError where it is not legal.
    """
    legal = list(legal_indices(decode(record.tobytes())))
    if move not in legal:
        raise TrainingError(f"the evaluation file holds a move ({move}) that is not legal in its position")
    chances = logits[legal]
    better, best = int((chances > logits[move]).sum()), chances.max()
    loss = float(best + np.log(np.exp(chances - best).sum()) - logits[move])
    raw = int(logits.argmax()) in legal
    return {"count": 1, "top1": int(better < 1), "top3": int(better < TOP), "raw": int(raw), "loss": loss}


def phases_of(rows: NDArray[np.uint8], plies: NDArray[Any]) -> NDArray[np.int64]:
    """0, 1, 2 as PHASES: few pieces left; else by how far the game is."""
    codes = np.stack((rows[:, :32] & 15, rows[:, :32] >> 4), axis=-1).reshape(len(rows), 64)
    pieces = np.isin(codes, PIECE_CODES).sum(axis=1)
    found: NDArray[np.int64] = np.where(pieces <= ENDGAME_PIECES, 2, np.where(plies < OPENING_PLIES, 0, 1))
    return found


def _outlook(outcomes: NDArray[Any], outlooks: Floats) -> Sums:
    known = outcomes != UNKNOWN_OUTCOME
    if not known.any():
        return {}
    return reliability.sums_of(scores(outlooks)[known], outcomes[known] / 2, outlooks[known])


def tasks_of(section: str, folder: Path, sample: Sample, source: NetworkSource) -> Iterator[Task]:
    for start in range(0, len(sample.rows), POSITIONS_PER_TASK):
        end = min(start + POSITIONS_PER_TASK, len(sample.rows))
        part = Sample(sample.rows[start:end], sample.seen[start:end] if sample.seen is not None else None)
        yield Task(section, start, HeldoutWork(str(folder), part, source))


@dataclass(frozen=True, slots=True)
class MoveMatch:
    """Of one group of positions. `loss`: mean negative log probability of the master's move among the legal ones."""

    group: str
    count: int
    top1: Interval
    top3: Interval
    raw_legal: Interval
    loss: float


@dataclass(frozen=True, slots=True)
class HeldoutFigures:
    groups: tuple[MoveMatch, ...]
    outlook: reliability.Reliability | None


def figures_of(values: Mapping[int, Any]) -> HeldoutFigures:
    total = added(values.values())
    match = total.get("match", {})
    groups = [_group(name, match[name]) for name in ("all", "unseen", *PHASES) if name in match]
    return HeldoutFigures(tuple(groups), reliability.figures_of(total.get("outlook", {})))


def _group(name: str, sums: Sums) -> MoveMatch:
    count = sums["count"]
    parts: Sequence[Interval] = [share(sums[key], count) for key in ("top1", "top3", "raw")]
    return MoveMatch(name, count, parts[0], parts[1], parts[2], sums["loss"] / count)

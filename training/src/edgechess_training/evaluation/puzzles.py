"""Tactical puzzles: is the first move found, is the whole line found, by rating.

The file is Lichess's: FEN before the opponent's move, then the line, the opponent's move first. A move that mates at once is
right whatever the line says.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chess
import zstandard

from edgechess_training.compressed import unpacked
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.network import NetworkSource, network_of
from edgechess_training.evaluation.sides import Choice, choose_moves
from edgechess_training.evaluation.statistics import Interval, share
from edgechess_training.evaluation.work import Task, portions

PUZZLES_PER_TASK = 500
BAND = 200  # rating points
COLUMNS = ("FEN", "Moves", "Rating")


@dataclass(frozen=True, slots=True)
class Puzzle:
    fen: str
    moves: tuple[str, ...]
    rating: int


def read_puzzles(path: Path, source: str | None, count: int, seed: int) -> list[Puzzle]:
    """`count` of them by seed, of this column `Source` where one is named; all where there are fewer. Raises TrainingError."""
    try:
        with path.open("rb") as file:
            packed = path.suffix == ".zst"
            stream: Any = unpacked(file) if packed else file
            rows = list(csv.DictReader(io.TextIOWrapper(stream, "utf-8")))
    except (OSError, UnicodeDecodeError, csv.Error, zstandard.ZstdError) as error:
        raise TrainingError(f"the puzzles {path} cannot be read: {error}") from error
    if not rows or any(column not in rows[0] for column in COLUMNS):
        raise TrainingError(f"the puzzles {path} need the columns {', '.join(COLUMNS)}")
    kept = [row for row in rows if source is None or row.get("Source") == source]
    if not kept:
        raise TrainingError(f"the puzzles {path}: none with Source={source}; --puzzle-source all takes every one")
    random.Random(seed).shuffle(kept)
    try:
        return [Puzzle(row["FEN"], tuple(row["Moves"].split()), int(float(row["Rating"]))) for row in kept[:count]]
    except (ValueError, TypeError) as error:
        raise TrainingError(f"the puzzles {path}: {error}") from error


@dataclass(frozen=True, slots=True)
class PuzzleWork:
    """Some puzzles. Each gives rating, first move right, whole line right, best of all moves legal: [r, 0/1, 0/1, 0/1]."""

    puzzles: tuple[Puzzle, ...]
    source: NetworkSource
    choice: Choice

    def run(self) -> list[list[int]]:
        tries = [_Try(puzzle) for puzzle in self.puzzles]
        network = network_of(self.source)
        while live := [each for each in tries if not each.over]:
            for each, chosen in zip(
                live, choose_moves(network, self.choice, [each.board for each in live]), strict=True
            ):
                each.answer(chosen.uci, legal=bool(chosen.raw_legal))
        return [[each.puzzle.rating, each.first, each.solved, each.legal] for each in tries]


class _Try:
    """One puzzle on its way."""

    def __init__(self, puzzle: Puzzle) -> None:
        self.puzzle = puzzle
        self.first = self.solved = self.legal = 0
        self.over = False
        self._next = 1
        try:
            self.board = chess.Board(puzzle.fen)
            self.board.push_uci(puzzle.moves[0])
        except (ValueError, IndexError) as error:
            raise TrainingError(f"the puzzle {puzzle.fen} {' '.join(puzzle.moves)}: {error}") from error
        if len(puzzle.moves) % 2:
            raise TrainingError(f"the puzzle {puzzle.fen} {' '.join(puzzle.moves)}: its line ends before the answer")

    def answer(self, uci: str, *, legal: bool) -> None:
        if self._next == 1:
            self.legal = int(legal)
        wanted = self.puzzle.moves[self._next]
        self.board.push_uci(uci)
        right = uci == wanted or self.board.is_checkmate()
        self.first |= int(right and self._next == 1)
        self._next += 2
        self.over = not right or self._next >= len(self.puzzle.moves) or self.board.is_checkmate()
        self.solved = int(right and self.over)
        if not self.over:
            self.board.push_uci(self.puzzle.moves[self._next - 1])


def tasks_of(section: str, puzzles: Sequence[Puzzle], source: NetworkSource, choice: Choice) -> Iterator[Task]:
    return portions(section, puzzles, PUZZLES_PER_TASK, lambda some: PuzzleWork(some, source, choice))


@dataclass(frozen=True, slots=True)
class Band:
    """Ratings from `low` on, below `low` + BAND."""

    low: int
    count: int
    first: Interval
    whole: Interval


@dataclass(frozen=True, slots=True)
class PuzzleFigures:
    count: int
    first: Interval
    whole: Interval
    legal: Interval
    bands: tuple[Band, ...]


def figures_of(values: Mapping[int, Any]) -> PuzzleFigures:
    rows = [row for value in values.values() for row in value]
    lows = sorted({row[0] // BAND * BAND for row in rows})
    return PuzzleFigures(
        len(rows), _part(rows, 1), _part(rows, 2), _part(rows, 3),
        tuple(
            Band(low, len(some), _part(some, 1), _part(some, 2))
            for low in lows
            if (some := [row for row in rows if row[0] // BAND * BAND == low])
        ),
    )  # fmt: skip


def _part(rows: Sequence[Sequence[int]], column: int) -> Interval:
    return share(sum(row[column] for row in rows), len(rows))

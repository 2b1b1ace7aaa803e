"""`edgechess dataset puzzles`: the solver's moves of Lichess puzzles as positions.

The form is Lichess's: FEN stands before the opponent's move, which is the first of Moves. A column Source tells where a
puzzle comes from; sources that evaluation uses are left out, and with them every position that occurs in their lines.
"""

from __future__ import annotations

import csv
import dataclasses
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import chess
import msgspec
import numpy as np
import zstandard

from edgechess_inference.policy.moves import index_of
from edgechess_training.dataset import bitboards
from edgechess_training.dataset import folder as f
from edgechess_training.dataset.card import card
from edgechess_training.dataset.errors import DatasetError, MalformedGame
from edgechess_training.dataset.game_filter import DRAW, WIN
from edgechess_training.dataset.gathering import first_of_each
from edgechess_training.dataset.pgn_files import open_text
from edgechess_training.dataset.replay import start_of
from edgechess_training.dataset.split import game_key, held_out
from edgechess_training.dataset.statistics import Tally
from edgechess_training.dataset.work_folder import Source, WorkFolder, source_of
from edgechess_training.positions import EVALUATION_FILE, POSITION, TRAIN_FILE, UNKNOWN_OUTCOME, Positions

HELD_OUT_SOURCES = ("jorgenwh/alpha-nonzero",)
"""The broad puzzles that `edgechess evaluate` counts."""
RATING_MAX = 4000
MALFORMED_NAMED_MAX = 50


class PuzzleOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the content, the file apart."""

    without_sources: tuple[str, ...] = HELD_OUT_SOURCES
    seed: int = 1
    fraction: float = 0.02


class PuzzlePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is made of what."""

    source: Source
    options: PuzzleOptions


@dataclasses.dataclass(frozen=True, slots=True)
class Puzzle:
    """`moves`: UCI, the opponent's first."""

    fen: str
    moves: tuple[str, ...]
    rating: int
    themes: str
    source: str


def read_puzzles(path: Path) -> Iterator[tuple[int, Puzzle]]:
    """Line number and puzzle. Raises DatasetError for what is no such table."""
    try:
        with path.open("rb") as stored, open_text(path, stored) as text:
            rows = csv.DictReader(text)
            if not {"FEN", "Moves"} <= set(rows.fieldnames or ()):
                raise DatasetError(f"{path}: no columns FEN and Moves in its first line")
            for row in rows:
                rating = row.get("Rating") or ""
                yield (
                    rows.line_num,
                    Puzzle(
                        fen=row["FEN"] or "",
                        moves=tuple((row["Moves"] or "").split()),
                        rating=min(int(rating), RATING_MAX) if rating.isdigit() else 0,
                        themes=row.get("Themes") or "",
                        source=row.get("Source") or "",
                    ),
                )
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
    except zstandard.ZstdError as error:
        raise DatasetError(f"{path}: zstd cannot unpack it: {error}") from error
    except csv.Error as error:
        raise DatasetError(f"{path}: no table of puzzles: {error}") from error


def build_puzzles(path: Path, target: Path, options: PuzzleOptions, licence: str = "unknown") -> f.Summary:
    """Nothing of it stands in `target` before all is made; who was stopped begins again. Raises DatasetError."""
    work = WorkFolder(target, PuzzlePlan(source=source_of(path), options=options))
    held, taken = _Lines(), _Lines()
    counts = {"puzzles_read": 0, "puzzles_held_out_by_source": 0}
    malformed: list[str] = []
    for number, (line, puzzle) in enumerate(read_puzzles(path)):
        counts["puzzles_read"] += 1
        away = puzzle.source in options.without_sources
        counts["puzzles_held_out_by_source"] += away
        try:
            (held if away else taken).add(number, puzzle, options)
        except MalformedGame as error:
            malformed.append(f"{path.name}:{line}: {error}")
    summary = _write(work.path, path, target, options, licence, counts, malformed, taken, held)
    work.remove()
    return summary


class _Lines:
    """The positions of many puzzles, the opponent's too: these are only for knowing what occurs."""

    def __init__(self) -> None:
        self._words = array("Q")
        self._flags = bytearray()  # by four: Black to move, halfmove clock, the solver's, held out
        self._columns = array("I")  # by five: move, outcome, game, ply, elo

    def add(self, number: int, puzzle: Puzzle, options: PuzzleOptions) -> None:
        """Raises MalformedGame; nothing of the puzzle is then kept."""
        board, moves = start_of(puzzle.fen), []
        for uci in puzzle.moves:
            try:
                moves.append(board.parse_uci(uci))
            except ValueError as error:
                raise MalformedGame(str(error)) from error
            board.push(moves[-1])
        if len(moves) < 2:
            raise MalformedGame("no move for the solver")
        away = held_out(game_key((puzzle.fen, *puzzle.moves), options.seed), options.fraction)
        board = chess.Board(puzzle.fen)
        for ply, move in enumerate(moves):
            self._words.extend(bitboards.words_of(board))
            solver = ply % 2 == 1
            self._flags += bytes((not board.turn, min(board.halfmove_clock, 255), solver, away))
            outcome = _outcome(puzzle) if solver else UNKNOWN_OUTCOME
            self._columns.extend((index_of(move, board.turn), outcome, number, ply, puzzle.rating))
            board.push(move)

    def positions(
        self,
    ) -> tuple[Positions, np.ndarray[tuple[int], np.dtype[np.bool_]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """All positions; which are the solver's; which are held out."""
        words = np.frombuffer(self._words, np.uint64).reshape(-1, bitboards.WORDS)
        flags = np.frombuffer(bytes(self._flags), np.uint8).reshape(-1, 4)
        columns = np.frombuffer(self._columns, np.uint32).reshape(-1, 5)
        found = np.empty(len(words), POSITION)
        found["record"] = bitboards.records(words, flags[:, 0].astype(np.bool_), flags[:, 1])
        for place, name in enumerate(("move", "outcome", "game", "ply", "elo")):
            found[name] = columns[:, place]
        return found, flags[:, 2].astype(np.bool_), flags[:, 3].astype(np.bool_)


def _outcome(puzzle: Puzzle) -> int:
    """What the solver reaches, as far as the themes say."""
    if not puzzle.themes:
        return UNKNOWN_OUTCOME
    return DRAW if "equality" in puzzle.themes.split() else WIN


def _write(
    beside: Path, path: Path, target: Path, options: PuzzleOptions, licence: str, counts: dict[str, int], malformed: Sequence[str],
    taken: _Lines, held: _Lines,
) -> f.Summary:  # fmt: skip
    positions, solver, evaluates = taken.positions()
    keys = bitboards.keys(positions["record"])
    away = np.isin(keys, bitboards.keys(held.positions()[0]["record"]))
    wanted = solver & ~away
    train, evaluation = wanted & ~evaluates, wanted & evaluates
    train &= first_of_each(keys, train)
    if not train.any():
        raise DatasetError(f"{path}: no position is left of {counts['puzzles_read']:,} puzzles")
    unseen = ~np.isin(keys[evaluation], keys[train])
    made = {EVALUATION_FILE: positions[evaluation], f.UNSEEN_FILE: unseen, TRAIN_FILE: positions[train]}
    for name, content in made.items():
        np.save(beside / name, content)
    for name in made:
        (beside / name).replace(target / name)
    tally = Tally()
    tally.add(positions[train])
    summary = f.Summary(
        made_by="edgechess dataset puzzles",
        sources=[msgspec.to_builtins(source_of(path))],
        options=msgspec.to_builtins(options),
        counts={
            **counts,
            "puzzles_malformed": len(malformed),
            "positions_that_held_out_puzzles_have_too": int((solver & away).sum()),
            "train_positions": int(train.sum()),
            "evaluation_positions": int(evaluation.sum()),
            "evaluation_positions_unseen": int(unseen.sum()),
        },
        statistics=tally.statistics(),
        malformed=list(malformed[:MALFORMED_NAMED_MAX]),
        licence=licence,
    )
    (target / f.CARD_FILE).write_text(card(summary), encoding="utf-8")
    f.write_summary(target, summary)
    return summary

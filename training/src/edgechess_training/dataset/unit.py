"""A unit of work: some hundreds of raw games in, a part of the dataset out. Units are independent of one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, get_args

import chess
import msgspec
import numpy as np

from edgechess_training.dataset import bitboards, game_filter
from edgechess_training.dataset.errors import DatasetError, MalformedGame
from edgechess_training.dataset.game_filter import Filter
from edgechess_training.dataset.llm_records import Form, Records, teller
from edgechess_training.dataset.movetext import main_line, offset_of_move
from edgechess_training.dataset.pgn_files import RawGame
from edgechess_training.dataset.replay import IllegalMove, Plies, Teller, replay, start_of
from edgechess_training.dataset.split import FRACTION, SEED, game_key, held_out
from edgechess_training.positions import POSITION, Positions

UNIT_GAMES = 500  # 40,000 plies: seconds of work, megabytes of memory
MALFORMED_NAMED_MAX = 20  # per unit; the rest is only counted

GAME = np.dtype([("number", "<u4"), ("key", "<u8"), ("evaluation", "?"), ("plies", "<u2")])


Unique = Literal["position", "move", "none"]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides what is in a dataset, sources apart. `unique`: what occurs only once in training."""

    filter: Filter = Filter()
    seed: int = SEED
    fraction: float = FRACTION
    unique: Unique = "position"
    records: Records = "none"
    form: Form = "jumpstart"


def recipe_of(wanted: Filter, *, seed: int, fraction: float, unique: str, records: str, form: str) -> Recipe:
    """From a user's words. Raises DatasetError."""
    if not 0.0 <= fraction < 1.0:
        raise DatasetError(f"the evaluation's share is {fraction:g}; it goes from 0 to below 1")
    for name, word, kind in (("unique", unique, Unique), ("records", records, Records), ("form", form, Form)):
        if word not in get_args(kind):
            raise DatasetError(f"{name} {word!r} is not one of {', '.join(get_args(kind))}")
    words = {"unique": unique, "records": records, "form": form}
    return msgspec.convert({"filter": wanted, "seed": seed, "fraction": fraction, **words}, Recipe)


class Report(msgspec.Struct, kw_only=True):
    """What became of a unit's games. `dropped`: by reason; `malformed`: `file:line: why`."""

    games: int = 0
    kept: int = 0
    plies: int = 0
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    malformed_games: int = 0
    malformed: list[str] = msgspec.field(default_factory=list)

    def add(self, other: Report) -> None:
        self.games += other.games
        self.kept += other.kept
        self.plies += other.plies
        for why, count in other.dropped.items():
            self.drop(why, count)
        self.malformed_games += other.malformed_games
        self.malformed += other.malformed

    def drop(self, why: str, count: int = 1) -> None:
        self.dropped[why] = self.dropped.get(why, 0) + count


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """What a unit gives: `keys` and `lines` belong to `positions` one by one; no lines where no records are asked for."""

    positions: Positions
    keys: bitboards.Keys
    games: np.ndarray[tuple[int], np.dtype[np.void]]
    lines: list[str]
    report: Report


def digest(first: int, games: Sequence[RawGame], recipe: Recipe) -> Part:
    """`first`: the number of the first of these games in the whole build."""
    work = _Work(recipe)
    for number, game in enumerate(games, first):
        work.take(number, game)
    return work.part()


class _Work:
    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._tell: Teller | None = teller(recipe.records, recipe.form)
        self._plies = Plies()
        self._columns: list[tuple[int, int, int, int, int, int]] = []  # plies, game, outcomes and Elos of both
        self._games: list[tuple[int, int, bool, int]] = []
        self._report = Report()

    def take(self, number: int, game: RawGame) -> None:
        self._report.games += 1
        tags, movetext = game.tags()
        try:
            self._read(number, tags, movetext)
        except IllegalMove as error:
            self._report.plies += error.ply
            self._complain(game, offset_of_move(movetext, error.ply), error)
        except MalformedGame as error:
            self._complain(game, error.offset, error)

    def _read(self, number: int, tags: dict[str, str], movetext: str) -> None:
        recipe, plies = self._recipe, self._plies
        if why := game_filter.dropped_for(recipe.filter, tags):
            self._report.drop(why)
            return
        if (name := game_filter.variant(tags)) is not None:
            raise MalformedGame(f"the variant {name} is not supported")
        sans, written = main_line(movetext)
        if not sans:
            self._report.drop("emptiness")
            return
        results = game_filter.outcomes(tags, written)
        wanted = game_filter.movers(recipe.filter, tags, results)
        if not any(wanted):
            self._report.drop("result")
            return
        start = tags.get("FEN")
        board = start_of(start)
        before = len(plies)
        try:
            self._report.plies += replay(board, sans, wanted, plies, self._tell)
        finally:
            key = game_key(sans, recipe.seed, None if start == chess.STARTING_FEN else start)
            self._keep(number, key, len(plies) - before, results, tags)

    def _keep(self, number: int, key: int, count: int, results: tuple[int, int], tags: dict[str, str]) -> None:
        elos = (game_filter.elo_of(tags, chess.WHITE), game_filter.elo_of(tags, chess.BLACK))
        self._columns.append((count, number, *results, *elos))
        self._games.append((number, key, held_out(key, self._recipe.fraction), min(count, 2**16 - 1)))
        self._report.kept += 1

    def _complain(self, game: RawGame, offset: int, error: MalformedGame) -> None:
        report = self._report
        report.malformed_games += 1
        if len(report.malformed) < MALFORMED_NAMED_MAX:
            report.malformed.append(f"{game.file}:{game.line_at(max(offset, 0))}: {error}")

    def part(self) -> Part:
        plies, recipe = self._plies, self._recipe
        black = np.frombuffer(bytes(plies.black), np.bool_)
        words = np.frombuffer(plies.words, np.uint64).reshape(-1, bitboards.WORDS)
        rows = bitboards.records(words, black, np.frombuffer(bytes(plies.clock), np.uint8))
        columns = np.array(self._columns, np.int64).reshape(-1, 6)
        spread = np.repeat(columns[:, 1:], columns[:, 0], axis=0)
        positions = np.empty(len(rows), POSITION)
        positions["record"], positions["move"], positions["ply"] = rows, plies.move, plies.ply
        positions["game"] = spread[:, 0]
        positions["outcome"] = np.where(black, spread[:, 2], spread[:, 1])
        positions["elo"] = np.where(black, spread[:, 4], spread[:, 3])
        named = bitboards.keys(rows, positions["move"] if recipe.unique == "move" else None)
        return Part(positions, named, np.array(self._games, GAME), plies.lines, self._report)

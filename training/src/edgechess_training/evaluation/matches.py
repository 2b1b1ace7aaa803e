"""Matches: pairs of games from a book, in tasks of eight pairs, until there are enough or the sequential test has decided."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from edgechess_training.evaluation.games import Played, Tally, play_pairs, played_from, sum_of
from edgechess_training.evaluation.openings import Opening
from edgechess_training.evaluation.sides import Choice, SideSource
from edgechess_training.evaluation.statistics import Score, Sprt, score_of
from edgechess_training.evaluation.work import Task, portions

PAIRS_PER_TASK = 8  # sixteen games at once: enough for the network, and soon enough on the disk


@dataclass(frozen=True, slots=True)
class Match:
    """`name` is the section of its results. `choice`: how the first side moves, which kind of figures this makes. `level`: the
    opponent's UCI_Elo, where that is what it is."""

    name: str
    choice: Choice
    first: SideSource
    first_name: str
    second: SideSource
    second_name: str
    level: int | None = None
    sprt: Sprt | None = None


@dataclass(frozen=True, slots=True)
class MatchWork:
    """Some pairs of a match."""

    pairs: tuple[tuple[int, Opening], ...]
    first: SideSource
    second: SideSource

    def run(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(played) for played in anyio.run(play_pairs, self.pairs, self.first, self.second)]


def tasks_of(match: Match, openings: Sequence[Opening]) -> Iterator[Task]:
    """One pair per opening."""
    numbered = list(enumerate(openings))
    return portions(match.name, numbered, PAIRS_PER_TASK, lambda pairs: MatchWork(pairs, match.first, match.second))


def games_of(values: Mapping[int, Any]) -> list[Played]:
    """All games that are kept, each once, in their order."""
    found = {(game["pair"], game["game"]): game for value in values.values() for game in value}
    return [played_from(found[key]) for key in sorted(found)]


def pair_points(games: Sequence[Played]) -> list[tuple[float, float]]:
    """Points of the first side in the two games of each pair."""
    by_pair: dict[int, list[float]] = {}
    for game in games:
        by_pair.setdefault(game.pair, []).append(game.points)
    return [(points[0], points[1]) for points in by_pair.values() if len(points) == 2]


@dataclass(frozen=True, slots=True)
class MatchFigures:
    """What a match says. `tally`: of the first side; `other`: of the second, whose moves may come from a ladder's engine too.
    `ratio`: of the sequential test, with what it decided (None: it did not). `choice`: the first side's."""

    name: str
    first: str
    second: str
    level: int | None
    score: Score
    endings: dict[str, int]
    plies: float
    tally: Tally
    sprt: Sprt | None = None
    ratio: float | None = None
    verdict: str | None = None
    other: Tally = dataclasses.field(default_factory=Tally)
    choice: str = ""


def figures_of(match: Match, games: Sequence[Played]) -> MatchFigures:
    pairs = pair_points(games)
    endings: dict[str, int] = {}
    for game in games:
        how = game.ending if game.ending != "checkmate" else ("mate given" if game.points else "mate suffered")
        endings[how] = endings.get(how, 0) + 1
    plies = sum(len(game.moves) for game in games) / max(1, len(games))
    test = match.sprt
    return MatchFigures(
        match.name, match.first_name, match.second_name, match.level, score_of(pairs), dict(sorted(endings.items())),
        plies, sum_of(game.first for game in games), test, test.ratio(pairs) if test else None,
        test.verdict(pairs) if test else None, sum_of(game.second for game in games), match.choice,
    )  # fmt: skip

"""What the history's file is asked: games, their physical record, who plays how well, how reliable the table is.

Thousands of games take seconds to be counted, and a stop may come meanwhile: what a page asks runs in a thread of its own
(`aside_adapter`), with a connection of its own.
"""

from __future__ import annotations

import dataclasses
import datetime
import sqlite3
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import msgspec

from edgechess_console.errors import HistoryError
from edgechess_console.fold import DIRECTOR
from edgechess_console.naming import player_title
from edgechess_console.telling import number, told
from edgechess_console.view import Level, MovePart, Part
from edgechess_kit.messages import EdgeEvent

BUSY_MS = 200  # another console writes for milliseconds
LIST_LIMIT = 200
RECORD_LIMIT = 5_000  # entries of one game that are shown
GAMES_LIMIT = 20_000


@contextmanager
def history_errors(name: str) -> Iterator[None]:
    """Raises HistoryError for what SQLite says of the file `name`."""
    try:
        yield
    except sqlite3.Error as error:
        raise HistoryError(f"history {name}: {error}") from error


@contextmanager
def looking_at(name: str) -> Iterator[Past]:
    """The file as it is now, for the length of the block, which may be in any thread. Raises HistoryError."""
    with history_errors(name):
        connection = sqlite3.connect(name, timeout=BUSY_MS / 1000, isolation_level=None)
    with closing(connection):
        yield Past(connection, name)


class Game(Part, frozen=True, kw_only=True):
    """One session as the lists show it. Times in Unix seconds."""

    session_id: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    white: str
    black: str
    white_name: str
    black_name: str
    start_fen: str
    result: str | None
    termination: str | None
    seconds: float | None
    plies: int
    helped: int
    repaired: int


class Record(Part, frozen=True, kw_only=True):
    """What somebody did for one move (`ply` 0: before the first)."""

    ply: int
    at: float
    component: str
    kind: str
    level: Level
    text: str


class Standing(Part, frozen=True, kw_only=True):
    """One player word in the leaderboard. `legal_first_rate` None: it never climbs the ladder."""

    word: str
    name: str
    games: int
    wins: int
    draws: int
    losses: int
    score: float
    moves: int
    asked: int
    legal_first_rate: float | None
    fallbacks: int
    median_think_s: float | None


class Day(Part, frozen=True, kw_only=True):
    """Reliability of one day (UTC). `clean`: moves that neither a person nor a repair had to put right."""

    day: str
    games: int
    moves: int
    clean: int
    repaired: int
    helped: int
    stops: int
    median_move_s: float | None
    p95_move_s: float | None


class Past:
    """Questions over one connection. All raise HistoryError where the file cannot be read."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def games(self, before: float | None = None, limit: int = 50) -> tuple[list[Game], bool]:
        """Newest first, and whether there are more."""
        limit = max(1, min(limit, LIST_LIMIT))
        rows = self._query(f"{_GAMES} WHERE created_at < ? ORDER BY created_at DESC LIMIT ?", before or 1e18, limit + 1)
        games = [_game(row) for row in rows]
        return games[:limit], len(games) > limit

    def game(self, session_id: str) -> Game | None:
        rows = self._query(f"{_GAMES} WHERE session_id = ?", session_id)
        return _game(rows[0]) if rows else None

    def moves(self, session_id: str) -> list[MovePart]:
        rows = self._query("SELECT data FROM ply WHERE session_id = ? ORDER BY ply", session_id)
        return [msgspec.json.decode(row["data"], type=MovePart) for row in rows]

    def told_by(self, component: str, session_id: str) -> list[EdgeEvent]:
        """What one component said of a session, in the order of time."""
        return [event for event in self.events(session_id) if event.component == component]

    def events(self, session_id: str) -> list[EdgeEvent]:
        """Of one session, in the order of time. A stop, a release, a lost board are nobody's session: they belong to the only
        one that was played then, and where there were two, to none."""
        rows = self._query(_EVENTS, session_id, session_id, session_id, RECORD_LIMIT)
        return [
            EdgeEvent(
                component=row["component"], kind=row["kind"], seq=row["seq"], at=row["at"], session_id=session_id,
                data=msgspec.json.decode(row["data"]),
            )
            for row in rows
        ]  # fmt: skip

    def records(self, session_id: str) -> list[Record]:
        """What happened for each move: an entry belongs to the move that the director had in work then."""
        ply, found = 0, []
        for event in self.events(session_id):
            if event.component == DIRECTOR and event.kind in ("asking", "requested"):
                ply = int(number(event.data, "ply") or 0)
            level, text = told(event)
            found.append(
                Record(ply=ply, at=event.at, component=event.component, kind=event.kind, level=level, text=text)
            )
        return found

    def leaderboard(self) -> list[Standing]:
        """Of games with a result; the best score first."""
        tallies: dict[str, _Tally] = defaultdict(_Tally)
        games = self._query(
            "SELECT session_id, white, black, result FROM game ORDER BY created_at DESC LIMIT ?", GAMES_LIMIT
        )
        seats: dict[tuple[str, str], str] = {}
        for game in games:
            seats[game["session_id"], "w"], seats[game["session_id"], "b"] = game["white"], game["black"]
            points = _POINTS.get(game["result"] or "")
            if points is not None:
                tallies[game["white"]].points.append(points)
                tallies[game["black"]].points.append(1.0 - points)
        for row in self._query("SELECT session_id, color, think_s, asked, first, fallback FROM ply"):
            word = seats.get((row["session_id"], row["color"]))
            if word is not None:
                tallies[word].add(row)
        standings = [tally.standing(word) for word, tally in tallies.items() if word]
        return sorted(standings, key=lambda one: (-one.score, -one.games, one.word))

    def reliability(self, days: int, now: float) -> list[Day]:
        """Oldest first; days on which nothing was played are left out."""
        since = now - max(1, min(days, 3650)) * 86_400.0
        tallies: dict[str, _DayTally] = defaultdict(_DayTally)
        for row in self._query("SELECT at, total_s, helped, repaired FROM ply WHERE at >= ?", since):
            tallies[_day(row["at"])].add(row)
        for row in self._query("SELECT created_at FROM game WHERE created_at >= ?", since):
            tallies[_day(row["created_at"])].games += 1
        for row in self._query(
            "SELECT at FROM event WHERE component = 'arm-controller' AND kind = 'stopped' AND at >= ?", since
        ):
            tallies[_day(row["at"])].stops += 1
        return [tallies[day].told(day) for day in sorted(tallies)]

    def _query(self, text: str, *values: Any) -> list[dict[str, Any]]:
        with history_errors(self._name):
            cursor = self._connection.execute(text, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]


_EVENTS = """SELECT component, seq, at, kind, data FROM event WHERE session_id = ?
  OR (session_id = '' AND EXISTS (SELECT 1 FROM game WHERE game.session_id = ? AND event.at BETWEEN created_at AND ended_at)
    AND NOT EXISTS (SELECT 1 FROM game WHERE game.session_id != ? AND event.at BETWEEN created_at AND coalesce(ended_at, created_at)))
  ORDER BY at, id LIMIT ?"""

_GAMES = """SELECT session_id, created_at, started_at, ended_at, white, black, start_fen, result, termination, seconds,
  (SELECT count(*) FROM ply WHERE ply.session_id = game.session_id) AS plies,
  (SELECT coalesce(sum(helped), 0) FROM ply WHERE ply.session_id = game.session_id) AS helped,
  (SELECT coalesce(sum(repaired), 0) FROM ply WHERE ply.session_id = game.session_id) AS repaired FROM game"""

_POINTS = {"1-0": 1.0, "0-1": 0.0, "1/2-1/2": 0.5}  # for White


@dataclasses.dataclass(slots=True)
class _Tally:
    points: list[float] = dataclasses.field(default_factory=list)
    think_s: list[float] = dataclasses.field(default_factory=list)
    asked: int = 0
    first: int = 0
    fallbacks: int = 0

    def add(self, row: dict[str, Any]) -> None:
        self.think_s.append(row["think_s"])
        self.asked += row["asked"]
        self.first += row["first"]
        self.fallbacks += row["fallback"]

    def standing(self, word: str) -> Standing:
        points = self.points
        return Standing(
            word=word,
            name=player_title(word),
            games=len(points),
            wins=points.count(1.0),
            draws=points.count(0.5),
            losses=points.count(0.0),
            score=sum(points),
            moves=len(self.think_s),
            asked=self.asked,
            legal_first_rate=round(self.first / self.asked, 4) if self.asked else None,
            fallbacks=self.fallbacks,
            median_think_s=_median(self.think_s),
        )


@dataclasses.dataclass(slots=True)
class _DayTally:
    games: int = 0
    moves: int = 0
    repaired: int = 0
    helped: int = 0
    stops: int = 0
    total_s: list[float] = dataclasses.field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        self.moves += 1
        self.helped += row["helped"]
        self.repaired += row["repaired"] and not row["helped"]
        if row["total_s"] is not None:
            self.total_s.append(row["total_s"])

    def told(self, day: str) -> Day:
        return Day(
            day=day,
            games=self.games,
            moves=self.moves,
            clean=self.moves - self.helped - self.repaired,
            repaired=self.repaired,
            helped=self.helped,
            stops=self.stops,
            median_move_s=_median(self.total_s),
            p95_move_s=_quantile(self.total_s, 0.95),
        )


def _game(row: dict[str, Any]) -> Game:
    return Game(**row, white_name=player_title(row["white"]), black_name=player_title(row["black"]))


def _median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 3) if values else None


def _quantile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank one."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(share * 100) // 100) - 1))], 3)


def _day(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d")

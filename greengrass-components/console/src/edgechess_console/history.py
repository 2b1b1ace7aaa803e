"""The console's own record of what it saw: an SQLite file of journal entries, games and moves.

It is not needed by anybody to go on, so it is written once a second and not synced: a power cut costs the last moves
here, and nothing in the journals of those who decide. Several consoles may write one file; what was seen twice is there
once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import sqlite3
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from edgechess_console.errors import HistoryError
from edgechess_console.fold import DIRECTOR, move_of
from edgechess_console.position import placement_of
from edgechess_console.telling import number, told, words
from edgechess_console.view import Level, MovePart, Part
from edgechess_kit.messages import EdgeEvent

SCHEMA_VERSION = 1
BUSY_MS = 200  # another console writes for milliseconds; what cannot be written now is written with the next batch
EVENTS_KEPT = 400_000  # about 4,000 games with their physical record, 200 MB
PRUNE_EVERY = 5_000
PENDING_LIMIT = 20_000  # entries that wait while the file is locked
LIST_LIMIT = 200
RECORD_LIMIT = 5_000  # entries of one game that are shown
GAMES_LIMIT = 20_000

KINDS = {
    DIRECTOR: None,
    "game-manager": frozenset(
        {"validated", "confirmed", "repair-ordered", "setup-ordered", "set-up", "failed", "abandoned"}
    ),
    "arm-controller": frozenset(
        {"job-accepted", "placed", "carry-failed", "job-ended", "stopped", "stop-unconfirmed", "recovered", "refilled"}
    ),
    "board-sensor": frozenset({"moved", "board.connected", "board.lost"}),
    "console": frozenset({"commanded"}),
}
"""What is kept of whom; None: everything."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
  id INTEGER PRIMARY KEY AUTOINCREMENT, component TEXT NOT NULL, seq INTEGER NOT NULL, at REAL NOT NULL,
  kind TEXT NOT NULL, session_id TEXT NOT NULL, data TEXT NOT NULL,
  UNIQUE (component, session_id, seq, at)
);
CREATE INDEX IF NOT EXISTS event_session ON event (session_id, at);
CREATE TABLE IF NOT EXISTS game (
  session_id TEXT PRIMARY KEY, created_at REAL NOT NULL, started_at REAL, ended_at REAL, white TEXT NOT NULL,
  black TEXT NOT NULL, start_fen TEXT NOT NULL, result TEXT, termination TEXT, seconds REAL
);
CREATE INDEX IF NOT EXISTS game_created ON game (created_at);
CREATE TABLE IF NOT EXISTS ply (
  session_id TEXT NOT NULL, ply INTEGER NOT NULL, color TEXT NOT NULL, at REAL NOT NULL, think_s REAL NOT NULL,
  total_s REAL, asked INTEGER NOT NULL, first INTEGER NOT NULL, fallback INTEGER NOT NULL, helped INTEGER NOT NULL,
  repaired INTEGER NOT NULL, data TEXT NOT NULL,
  PRIMARY KEY (session_id, ply)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS taken (folder TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
"""


class Game(Part, frozen=True, kw_only=True):
    """One session as the lists show it. Times in Unix seconds."""

    session_id: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    white: str
    black: str
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


class History:
    """One file, or ":memory:". Raises HistoryError where it cannot be used."""

    def __init__(self, path: Path | str) -> None:
        self._name = str(path)
        self._pending: list[EdgeEvent] = []
        self._written = 0
        self.dropped = 0
        with self._errors():
            self._connection = sqlite3.connect(self._name, timeout=BUSY_MS / 1000, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            if version not in (0, SCHEMA_VERSION):
                raise HistoryError(f"history {self._name}: of another version ({version}); name another file")
            self._connection.executescript(f"{_SCHEMA} PRAGMA user_version={SCHEMA_VERSION};")

    def close(self) -> None:
        """What cannot be written now is lost."""
        with contextlib.suppress(HistoryError):
            self.write()
        self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise HistoryError(f"history {self._name}: {error}") from error

    # -- what comes in ---------------------------------------------------------------------------------------------

    def saw(self, event: EdgeEvent) -> None:
        """Kept in memory until `write`."""
        kinds = KINDS.get(event.component, frozenset())
        if kinds is not None and event.kind not in kinds:
            return
        if len(self._pending) >= PENDING_LIMIT:
            self.dropped += 1
            return
        self._pending.append(event)

    def write(self) -> None:
        """Everything that waits, in one transaction. Raises HistoryError; then it waits still."""
        if not self._pending:
            return
        with self._errors(), self._transaction():
            for event in self._pending:
                self._insert(event)
        self._written += len(self._pending)
        self._pending.clear()
        if self._written >= PRUNE_EVERY:
            self._written = 0
            self._prune()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.rollback()

    def _insert(self, event: EdgeEvent) -> None:
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO event (component, seq, at, kind, session_id, data) VALUES (?, ?, ?, ?, ?, ?)",
            (event.component, event.seq, event.at, event.kind, event.session_id or "", _text(event.data)),
        )
        if cursor.rowcount and event.component == DIRECTOR and event.session_id:
            self._tell(event, event.session_id)

    def _tell(self, event: EdgeEvent, session_id: str) -> None:
        data, run = event.data, self._connection.execute
        match event.kind:
            case "session-created":
                start = words(data, "start_fen")
                run(
                    "INSERT OR REPLACE INTO game (session_id, created_at, white, black, start_fen) VALUES (?, ?, ?, ?, ?)",
                    (
                        session_id,
                        event.at,
                        words(data, "white")[:200],
                        words(data, "black")[:200],
                        start if placement_of(start) is not None else "",
                    ),
                )
                run("DELETE FROM ply WHERE session_id = ?", (session_id,))
            case "session-started":
                run("UPDATE game SET started_at = ? WHERE session_id = ?", (event.at, session_id))
            case "confirmed":
                self._insert_move(session_id, move_of(data))
            case "summary":
                run(
                    "UPDATE game SET ended_at = ?, result = ?, termination = ?, seconds = ? WHERE session_id = ?",
                    (
                        event.at,
                        words(data, "result")[:8],
                        words(data, "termination")[:200],
                        number(data, "seconds"),
                        session_id,
                    ),
                )

    def _insert_move(self, session_id: str, move: MovePart | None) -> None:
        if move is None:
            return
        thought = move.thought
        first = thought is not None and thought.attempts <= 1 and not thought.failures and not thought.fallback
        color = "b" if move.fen.split(" ")[1] == "w" else "w"
        row = (
            session_id, move.ply, color, move.at, move.think_s, move.timings.get("total"), thought is not None, first,
            thought is not None and thought.fallback, move.helped, move.repaired > 0, _text(move),
        )  # fmt: skip
        self._connection.execute("INSERT OR REPLACE INTO ply VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _prune(self) -> None:
        with self._errors(), self._transaction():
            self._connection.execute(
                "DELETE FROM event WHERE id <= (SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?)", (EVENTS_KEPT,)
            )

    # -- folders of `edgechess play` -------------------------------------------------------------------------------

    def taken(self, folder: str, size: int) -> bool:
        """Whether this folder was taken in when its journal was as long as that."""
        with self._errors():
            row = self._connection.execute("SELECT size FROM taken WHERE folder = ?", (folder,)).fetchone()
        return row is not None and int(row[0]) == size

    def take(self, folder: str, size: int, events: Iterable[EdgeEvent]) -> None:
        """Raises HistoryError."""
        for event in events:
            self.saw(event)
        self.write()
        with self._errors():
            self._connection.execute("INSERT OR REPLACE INTO taken VALUES (?, ?)", (folder, size))

    # -- what is asked ---------------------------------------------------------------------------------------------

    def games(self, before: float | None = None, limit: int = 50) -> tuple[list[Game], bool]:
        """Newest first, and whether there are more."""
        limit = max(1, min(limit, LIST_LIMIT))
        rows = self._query(f"{_GAMES} WHERE created_at < ? ORDER BY created_at DESC LIMIT ?", before or 1e18, limit + 1)
        games = [Game(**row) for row in rows]
        return games[:limit], len(games) > limit

    def game(self, session_id: str) -> Game | None:
        rows = self._query(f"{_GAMES} WHERE session_id = ?", session_id)
        return Game(**rows[0]) if rows else None

    def moves(self, session_id: str) -> list[MovePart]:
        rows = self._query("SELECT data FROM ply WHERE session_id = ? ORDER BY ply", session_id)
        return [msgspec.json.decode(row["data"], type=MovePart) for row in rows]

    def events(self, session_id: str) -> list[EdgeEvent]:
        """Of one session, in the order of time."""
        rows = self._query(
            "SELECT component, seq, at, kind, data FROM event WHERE session_id = ? ORDER BY at, id LIMIT ?",
            session_id, RECORD_LIMIT,
        )  # fmt: skip
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
        with self._errors():
            cursor = self._connection.execute(text, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]


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


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()

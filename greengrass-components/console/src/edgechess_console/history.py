"""The console's own record of what it saw: an SQLite file of journal entries, games and moves.

It is not needed by anybody to go on, so it is written once a second and not synced: a power cut costs the last moves
here, and nothing in the journals of those who decide. Several consoles may write one file; what was seen twice is there
once. What it is asked: `past`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgechess_console.errors import HistoryError
from edgechess_console.fold import DIRECTOR, move_of
from edgechess_console.past import BUSY_MS, GAMES_LIMIT, Past, history_errors
from edgechess_console.position import placement_of
from edgechess_console.telling import number, words
from edgechess_console.view import MovePart
from edgechess_kit.journal import transaction
from edgechess_kit.messages import EdgeEvent

SCHEMA_VERSION = 1
EVENTS_KEPT = 400_000  # about 4,000 games with their physical record, 200 MB
PRUNE_EVERY = 5_000
PENDING_LIMIT = 20_000  # entries that wait while the file is locked

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


class History:
    """One file, or ":memory:". Raises HistoryError where it cannot be used. `saw` never waits; all else may be called in a
    thread, in one at a time."""

    def __init__(self, path: Path | str) -> None:
        self.name = str(path)
        self._pending: list[EdgeEvent] = []
        self._written = 0
        self.dropped = 0
        with history_errors(self.name):
            self._connection = sqlite3.connect(
                self.name, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            if version not in (0, SCHEMA_VERSION):
                raise HistoryError(f"history {self.name}: of another version ({version}); name another file")
            self._connection.executescript(f"{_SCHEMA} PRAGMA user_version={SCHEMA_VERSION};")
        self.past = Past(self._connection, self.name)

    def close(self) -> None:
        """What cannot be written now is lost."""
        with contextlib.suppress(HistoryError):
            self.write()
        self._connection.close()

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
        batch = self._pending[:]
        if not batch:
            return
        with history_errors(self.name), transaction(self._connection):
            for event in batch:
                self._insert(event)
        self._written += len(batch)
        del self._pending[: len(batch)]  # not `clear`: more may have come meanwhile
        if self._written >= PRUNE_EVERY:
            self._written = 0
            self._prune()

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
        with history_errors(self.name), transaction(self._connection):
            self._connection.execute(
                "DELETE FROM event WHERE id <= (SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?)", (EVENTS_KEPT,)
            )
            self._connection.execute(
                "DELETE FROM game WHERE created_at <= (SELECT created_at FROM game ORDER BY created_at DESC LIMIT 1 OFFSET ?)",
                (GAMES_LIMIT,),
            )
            self._connection.execute("DELETE FROM ply WHERE session_id NOT IN (SELECT session_id FROM game)")

    # -- folders of `edgechess play` -------------------------------------------------------------------------------

    def taken(self, folder: str, size: int) -> bool:
        """Whether this folder was taken in when its journal was as long as that."""
        with history_errors(self.name):
            row = self._connection.execute("SELECT size FROM taken WHERE folder = ?", (folder,)).fetchone()
        return row is not None and int(row[0]) == size

    def take(self, folder: str, size: int, events: Iterable[EdgeEvent]) -> None:
        """Raises HistoryError."""
        for event in events:
            self.saw(event)
        self.write()
        with history_errors(self.name):
            self._connection.execute("INSERT OR REPLACE INTO taken VALUES (?, ?)", (folder, size))


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()

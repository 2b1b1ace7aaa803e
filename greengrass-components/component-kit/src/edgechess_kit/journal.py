"""The journal: what a component must still know after it was killed. Durable when `append` returns.

Append-only, but for kinds that anybody can make us write and that may be forgotten (`Draft.keep_newest`): whoever
floods us must not fill the disk, and a full disk would stop what matters.

SQLite in WAL mode with `synchronous=FULL`: a commit is on the disk (fsync) before the caller acts on it. One process
owns a journal file; a second one is refused, because two managers that both believe they decide are worse than none.
Anybody may read it meanwhile (`SqliteJournal.read_only`).
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from edgechess_kit.clock import Clock
from edgechess_kit.errors import JournalError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x45444743  # "EDGC": so that `file` and we can tell our journal from any other SQLite file
BUSY_TIMEOUT_MS = 2000  # a reader's checkpoint can hold the file for milliseconds; longer is somebody else's lock
ENTRY_LIMIT_BYTES = 65_536  # the largest entry known is an arm job with its grasps, about 6 kB

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL,
  kind TEXT NOT NULL,
  session_id TEXT,
  key TEXT,
  data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entry_kind ON entry (kind, seq);
CREATE INDEX IF NOT EXISTS entry_session ON entry (session_id, seq) WHERE session_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS entry_key ON entry (key, seq) WHERE key IS NOT NULL;
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it is written: no number and no time yet.

    `keep_newest`: with the same commit all but so many of the newest entries of its kind are forgotten, in every
    session; at least 1. None: nothing is.
    """

    kind: str
    data: Mapping[str, Any]
    session_id: str | None = None
    key: str | None = None
    keep_newest: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One durable fact. `seq` rises by at least one and is never used again; `at` is Unix seconds.

    `key` is the writer's own index: a taskToken, a job id. `data` is plain JSON (what a restarted process would read).
    """

    seq: int
    at: float
    kind: str
    session_id: str | None
    key: str | None
    data: dict[str, Any]


class Journal(Protocol):
    """Synchronous on purpose: between the decision to act and the durable record nothing else may run."""

    def append(
        self, kind: str, data: Mapping[str, Any], *, session_id: str | None = None, key: str | None = None
    ) -> Entry:
        """Durable when it returns. Raises JournalError, and then nothing was written."""

    def append_all(self, drafts: Sequence[Draft]) -> list[Entry]:
        """All of them or none, with one fsync. Raises JournalError."""

    def entries(
        self, *, kind: str | None = None, session_id: str | None = None, key: str | None = None, after_seq: int = 0
    ) -> list[Entry]:
        """Those that match every given condition, oldest first."""

    def last(self, *, kind: str | None = None, session_id: str | None = None, key: str | None = None) -> Entry | None:
        """The newest that matches, or None."""

    def close(self) -> None:
        """No entry needs it: every one is already durable. May be called twice."""


class SqliteJournal:
    """The journal in one SQLite file, or in memory with ":memory:".

    Raises JournalError when the file is locked, corrupt, of another program, of a newer schema, or not writable.
    """

    def __init__(self, path: Path | str, clock: Clock) -> None:
        self._name = str(path)
        self._owner: int | None = None
        if self._name != ":memory:":
            self._owner = _take_ownership(Path(path))
        try:
            with _sqlite_errors(self._name):
                self._connection = _open(self._name)
                self._prepare(clock)
        except JournalError:
            self._release_ownership()
            raise

    @classmethod
    def over(cls, connection: sqlite3.Connection, clock: Clock) -> SqliteJournal:
        """A journal on a connection that outlives it: in a simulated kill the component goes, its disk stays.

        `close` leaves the connection open. Anything uncommitted on it is rolled back, as a crash would.
        """
        journal = cls.__new__(cls)
        journal._name = "<connection>"
        journal._owner = None
        journal._connection = connection
        journal._shared = True
        with _sqlite_errors(journal._name):
            if connection.in_transaction:
                connection.rollback()
            connection.isolation_level = None  # only now: this would commit what is open
            journal._prepare(clock)
        return journal

    @classmethod
    def read_only(cls, path: Path | str, clock: Clock) -> SqliteJournal:
        """For onlookers, beside the owner. `append` raises JournalError."""
        journal = cls.__new__(cls)
        journal._name = str(path)
        journal._owner = None
        journal._clock = clock
        if not Path(path).is_file():
            raise JournalError(f"journal {path}: no such file")
        with _sqlite_errors(journal._name):
            uri = f"{Path(path).absolute().as_uri()}?mode=ro"
            journal._connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None)
            try:
                journal._check_version()
            except JournalError:
                journal.close()
                raise
        return journal

    _shared = False
    _clock: Clock
    _connection: sqlite3.Connection
    _name: str
    _owner: int | None

    def _prepare(self, clock: Clock) -> None:
        self._clock = clock
        try:
            version = self._check_version()
            if version == 0:
                # one script, one transaction: a crash between table and version would leave a nameless schema
                self._connection.executescript(
                    f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id={APPLICATION_ID};"
                    f" PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
                )
        except (JournalError, sqlite3.Error):
            if not self._shared:
                self._connection.close()
            raise

    def _check_version(self) -> int:
        version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(self._connection.execute("PRAGMA application_id").fetchone()[0])
        tables = int(self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        if version == 0 and tables == 0:
            return 0
        if application != APPLICATION_ID:
            raise JournalError(f"journal {self._name}: a database, but not an edgechess journal")
        if version > SCHEMA_VERSION:
            raise JournalError(
                f"journal {self._name}: written by a newer version (schema {version}, this one reads {SCHEMA_VERSION})"
            )
        damage = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise JournalError(f"journal {self._name}: damaged: {damage}")
        return version

    def append(
        self, kind: str, data: Mapping[str, Any], *, session_id: str | None = None, key: str | None = None
    ) -> Entry:
        return self.append_all([Draft(kind, data, session_id, key)])[0]

    def append_all(self, drafts: Sequence[Draft]) -> list[Entry]:
        at = self._clock.unix_s()
        texts = [self._encode(draft) for draft in drafts]
        written: list[Entry] = []
        with _sqlite_errors(self._name), transaction(self._connection):
            for draft, text in zip(drafts, texts, strict=True):
                cursor = self._connection.execute(
                    "INSERT INTO entry (at, kind, session_id, key, data) VALUES (?, ?, ?, ?, ?)",
                    (at, draft.kind, draft.session_id, draft.key, text),
                )
                seq = cursor.lastrowid
                assert seq is not None
                written.append(Entry(seq, at, draft.kind, draft.session_id, draft.key, msgspec.json.decode(text)))
            for kind, keep in {draft.kind: draft.keep_newest for draft in drafts if draft.keep_newest}.items():
                self._connection.execute(
                    "DELETE FROM entry WHERE kind = ?1 AND seq <="
                    " (SELECT seq FROM entry WHERE kind = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
                    (kind, keep),
                )
        return written

    def _encode(self, draft: Draft) -> str:
        try:
            text = msgspec.json.encode(dict(draft.data)).decode()
        except (TypeError, ValueError, OverflowError) as error:
            raise JournalError(f"journal {self._name}: entry {draft.kind!r} is not JSON: {error}") from error
        if len(text) > ENTRY_LIMIT_BYTES:
            raise JournalError(f"journal {self._name}: entry {draft.kind!r} of {len(text)} bytes is too large")
        return text

    def entries(
        self, *, kind: str | None = None, session_id: str | None = None, key: str | None = None, after_seq: int = 0
    ) -> list[Entry]:
        where, values = _conditions(kind, session_id, key)
        query = f"SELECT seq, at, kind, session_id, key, data FROM entry WHERE seq > ?{where} ORDER BY seq"
        with _sqlite_errors(self._name):
            return [_entry(row) for row in self._connection.execute(query, (after_seq, *values))]

    def last(self, *, kind: str | None = None, session_id: str | None = None, key: str | None = None) -> Entry | None:
        where, values = _conditions(kind, session_id, key)
        query = f"SELECT seq, at, kind, session_id, key, data FROM entry WHERE seq > 0{where} ORDER BY seq DESC LIMIT 1"
        with _sqlite_errors(self._name):
            row = self._connection.execute(query, values).fetchone()
        return None if row is None else _entry(row)

    def close(self) -> None:
        if not self._shared:
            self._connection.close()
        self._release_ownership()

    def _release_ownership(self) -> None:
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None


def _open(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None)
    try:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if name != ":memory:" and mode != "wal":
            raise JournalError(f"journal {name}: this file system cannot do write-ahead logging (mode {mode})")
        connection.execute("PRAGMA synchronous=FULL")
    except (sqlite3.Error, JournalError):
        connection.close()
        raise
    return connection


def _take_ownership(path: Path) -> int:
    """An flock on a file beside the journal: the kernel releases it however the owner dies.

    Not on the journal itself: closing any second descriptor of it would drop SQLite's own POSIX locks.
    """
    lock = path.with_name(path.name + ".owner")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(f"journal {path}: cannot be written: {error.strerror} ({lock})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise JournalError(f"journal {path}: locked: another process (or an unclosed journal) owns it") from error
    return descriptor


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is written within the block or nothing. The connection has no isolation level of its own."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        # still open only when something failed; a failed COMMIT (disk full) may have ended it already
        if connection.in_transaction:
            connection.rollback()


@contextmanager
def _sqlite_errors(name: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise JournalError(f"journal {name}: closed, or used from another thread: {error}") from error
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise JournalError(f"journal {name}: locked by another process") from error
        raise JournalError(f"journal {name}: {error}") from error
    except sqlite3.Error as error:
        raise JournalError(f"journal {name}: damaged or not a journal: {error}") from error


def _conditions(kind: str | None, session_id: str | None, key: str | None) -> tuple[str, tuple[str, ...]]:
    asked = [(name, value) for name, value in (("kind", kind), ("session_id", session_id), ("key", key))]
    given = [(name, value) for name, value in asked if value is not None]
    return "".join(f" AND {name} = ?" for name, _ in given), tuple(value for _, value in given)


def _entry(row: tuple[int, float, str, str | None, str | None, str]) -> Entry:
    seq, at, kind, session_id, key, text = row
    try:
        return Entry(seq, at, kind, session_id, key, msgspec.json.decode(text, type=dict[str, Any]))
    except msgspec.MsgspecError as error:
        raise JournalError(f"journal: entry {seq} is damaged: {error}") from error

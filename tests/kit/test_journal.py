"""The journal: durable, atomic, owned by one, and clear about why it cannot work."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edgechess_kit.errors import JournalError
from edgechess_kit.journal import ENTRY_LIMIT_BYTES, Draft, SqliteJournal


class Ticking:
    """A wall clock that moves by one second with every look."""

    now_s = 100.0

    def unix_s(self) -> float:
        self.now_s += 1.0
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manager.journal"


def test_entries_come_back_as_they_were_written(path: Path) -> None:
    journal = SqliteJournal(path, Ticking())
    first = journal.append("received", {"lan": "e2e4", "n": [1, 2], "deep": {"x": None}}, session_id="s", key="t1")
    journal.append("confirmed", {}, session_id="s", key="t1")
    journal.append("received", {}, session_id="other")
    assert (first.seq, first.at, first.kind, first.session_id, first.key) == (1, 101.0, "received", "s", "t1")
    journal.close()
    again = SqliteJournal(path, Ticking())
    assert again.entries()[0] == first
    assert [entry.seq for entry in again.entries(kind="received")] == [1, 3]
    assert [entry.seq for entry in again.entries(session_id="s", after_seq=1)] == [2]
    assert [entry.seq for entry in again.entries(key="t1", kind="confirmed")] == [2]
    assert again.entries(key="") == []
    newest = again.last(session_id="s")
    assert newest is not None
    assert newest.kind == "confirmed"
    assert again.last(kind="nothing") is None
    assert again.append("more", {}).seq == 4
    again.close()
    again.close()


def test_what_append_returns_is_what_a_restart_reads() -> None:
    journal = SqliteJournal(":memory:", Ticking())
    written = journal.append("x", {"tuple": (1, 2), "nested": {"a": (3,)}})
    assert written.data == {"tuple": [1, 2], "nested": {"a": [3]}}
    assert journal.entries() == [written]


def test_a_group_of_entries_is_written_whole_or_not_at_all(path: Path) -> None:
    journal = SqliteJournal(path, Ticking())
    written = journal.append_all([Draft("a", {"n": 1}), Draft("b", {}, "s", "k")])
    assert [(entry.seq, entry.kind, entry.at) for entry in written] == [(1, "a", 101.0), (2, "b", 101.0)]
    with pytest.raises(JournalError, match="'d' is not JSON"):
        journal.append_all([Draft("c", {}), Draft("d", {"x": object()})])
    assert journal.append_all([]) == []
    assert journal.entries() == written
    assert journal.append("after", {}).seq == 3


def test_a_kind_may_be_kept_short_and_no_number_comes_back(path: Path) -> None:
    journal = SqliteJournal(path, Ticking())
    journal.append("answered", {})
    for number in range(1, 8):
        journal.append_all([Draft("refused", {"n": number}, key=f"t{number}", keep_newest=3), Draft("told", {})])
    assert [entry.data["n"] for entry in journal.entries(kind="refused")] == [5, 6, 7]
    assert len(journal.entries(kind="told")) == 7
    assert len(journal.entries(kind="answered")) == 1
    journal.append_all([Draft("refused", {"n": number}, keep_newest=1) for number in (8, 9)])
    journal.close()
    again = SqliteJournal(path, Ticking())
    assert [entry.data["n"] for entry in again.entries(kind="refused")] == [9]
    assert again.append("more", {}).seq == 18
    again.close()


def test_nothing_is_forgotten_for_an_entry_that_is_not_written(path: Path) -> None:
    journal = SqliteJournal(path, Ticking())
    journal.append_all([Draft("refused", {"n": 1})])
    with pytest.raises(JournalError, match="not JSON"):
        journal.append_all([Draft("refused", {}, keep_newest=1), Draft("odd", {"x": object()})])
    assert len(journal.entries(kind="refused")) == 1


def test_an_entry_over_the_limit_is_refused() -> None:
    journal = SqliteJournal(":memory:", Ticking())
    with pytest.raises(JournalError, match="too large"):
        journal.append("big", {"x": "x" * ENTRY_LIMIT_BYTES})
    assert journal.entries() == []


def test_the_disk_is_asked_for_durability(path: Path) -> None:
    journal = SqliteJournal(path, Ticking())
    assert journal._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_second_owner_is_refused_and_a_reader_is_not(path: Path) -> None:
    owner = SqliteJournal(path, Ticking())
    owner.append("x", {})
    with pytest.raises(JournalError, match="locked"):
        SqliteJournal(path, Ticking())
    reader = SqliteJournal.read_only(path, Ticking())
    assert [entry.kind for entry in reader.entries()] == ["x"]
    owner.append("y", {})
    assert [entry.kind for entry in reader.entries()] == ["x", "y"]
    with pytest.raises(JournalError, match="readonly"):
        reader.append("z", {})
    reader.close()
    owner.close()
    SqliteJournal(path, Ticking()).close()


def test_another_programs_lock_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgechess_kit.journal.BUSY_TIMEOUT_MS", 1)
    journal = SqliteJournal(path, Ticking())
    intruder = sqlite3.connect(path, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="locked by another process"):
        journal.append("x", {})
    intruder.execute("COMMIT")
    intruder.close()
    assert journal.append("x", {}).seq == 1


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to look at " * 20, b"SQLite format 3\0" + b"x" * 500]
)
def test_a_corrupt_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalError, match="damaged or not a journal"):
        SqliteJournal(path, Ticking())
    assert path.read_bytes() == content


def test_damage_inside_is_found_on_opening(path: Path) -> None:
    journal = SqliteJournal(path, Ticking())
    journal.append_all([Draft("x", {"n": number, "pad": "x" * 200}) for number in range(200)])
    journal.close()
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xaa" * 4096)
    with pytest.raises(JournalError, match="damaged"):
        SqliteJournal(path, Ticking())


def test_another_programs_database_is_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text)")
    other.commit()
    other.close()
    with pytest.raises(JournalError, match="not an edgechess journal"):
        SqliteJournal(path, Ticking())


def test_a_newer_schema_is_refused(path: Path) -> None:
    journal = SqliteJournal(path, Ticking())
    journal._connection.execute("PRAGMA user_version=99")
    journal.close()
    with pytest.raises(JournalError, match="schema 99"):
        SqliteJournal(path, Ticking())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be written"):
        SqliteJournal(tmp_path / "missing" / "x.journal", Ticking())
    with pytest.raises(JournalError, match="unable to open"):
        SqliteJournal(tmp_path, Ticking())
    with pytest.raises(JournalError, match="no such file"):
        SqliteJournal.read_only(tmp_path / "x.journal", Ticking())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_file_is_named(path: Path) -> None:
    SqliteJournal(path, Ticking()).close()
    path.chmod(0o444)
    with pytest.raises(JournalError, match="readonly"):
        SqliteJournal(path, Ticking()).append("x", {})


def test_a_closed_journal_says_so() -> None:
    journal = SqliteJournal(":memory:", Ticking())
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append("x", {})


def test_a_simulated_kill_keeps_the_disk_and_loses_what_was_not_committed() -> None:
    disk = sqlite3.connect(":memory:")
    first = SqliteJournal.over(disk, Ticking())
    first.append("x", {})
    disk.execute("BEGIN")
    disk.execute("INSERT INTO entry (at, kind, data) VALUES (0, 'half', '{}')")
    second = SqliteJournal.over(disk, Ticking())
    assert [entry.kind for entry in second.entries()] == ["x"]
    second.close()
    assert SqliteJournal.over(disk, Ticking()).append("y", {}).seq == 2
    disk.close()


WRITER = """
import sys
from edgechess_kit.clock import SystemClock
from edgechess_kit.journal import SqliteJournal
journal = SqliteJournal(sys.argv[1], SystemClock())
while True:
    print(journal.append("step", {"pad": "x" * 300}).seq, flush=True)
"""


@pytest.mark.slow
def test_what_was_appended_survives_sigkill(path: Path) -> None:
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        seen = [int(child.stdout.readline()) for _ in range(20)]
        child.send_signal(signal.SIGKILL)
        seen += [int(line) for line in child.stdout.read().split("\n") if line]
        child.wait()
        child.stdout.close()
        journal = SqliteJournal(path, Ticking())
        written = [entry.seq for entry in journal.entries()]
        journal.close()
        assert written == list(range(1, written[-1] + 1))
        assert written[-1] - seen[-1] in (0, 1)  # at most the one that was durable but not yet said

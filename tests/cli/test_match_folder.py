"""Where a match lives: its files, its settings as TOML, the newest first."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from edgechess_cli.match_folder import MatchFolder, past_matches, state_home, write_toml
from edgechess_cli.match_options import MatchOptions, MatchSummary
from edgechess_cli.real_match import saved_options
from edgechess_kit.clock import SystemClock
from edgechess_kit.journal import SqliteJournal


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECHESS_STATE", str(tmp_path / "state"))
    return tmp_path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    tables: dict[str, dict[str, Any]] = {
        "bus": {"broker": "mqtt://127.0.0.1:1883", "chaos_delay": 0.01, "left_out": None},
        "arm-controller": {"arms": [{"name": "white", "port_offset": 0}, {"name": 'q"uo\\te\n', "live": False}]},
        "empty": {},
        "odd": {"text": "Zürich ♜ \t", "small": 1e-07, "yes": True, "list": ["a", "b"]},
    }
    write_toml(tmp_path / "x.toml", tables)
    read = tomllib.loads((tmp_path / "x.toml").read_text(encoding="utf-8"))
    del tables["bus"]["left_out"]
    assert read == tables


def test_state_is_where_it_is_asked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_home() == home / "state"
    monkeypatch.delenv("EDGECHESS_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "xdg"))
    assert state_home() == home / "xdg" / "edgechess"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_home() == Path.home() / ".local" / "state" / "edgechess"


def test_matches_are_listed_newest_first() -> None:
    assert past_matches() == []
    first, second = MatchFolder.create(), MatchFolder.create()
    assert first != second
    os.utime(first.path, (2e9, 2e9))
    assert past_matches() == [first, second]
    (state_home() / "matches" / "stray").mkdir()
    assert past_matches() == [first, second]


def test_the_last_confirmed_position_is_the_directors() -> None:
    folder = MatchFolder.create()
    assert folder.last_confirmed_fen() is None
    journal = SqliteJournal(folder.journal("match-director"), SystemClock())
    assert folder.last_confirmed_fen() is None
    for fen in ("first", "second"):
        journal.append("confirmed", {"fen": fen})
    assert folder.last_confirmed_fen() == "second", "read while the director has it"
    journal.close()


def test_a_folder_without_a_match_cannot_be_continued(tmp_path: Path) -> None:
    folder = MatchFolder(tmp_path)
    with pytest.raises(OSError, match=r"match\.json"):
        saved_options(folder)
    folder.options.write_text("{}")
    with pytest.raises(ValueError, match=r"match\.json"):
        saved_options(folder)


def test_fast_time_speeds_motion_and_nothing_else_does() -> None:
    assert MatchOptions("a", "b", "fast", speed=20.0).motion_speed == 20.0
    assert MatchOptions("a", "b", "real", speed=20.0).motion_speed == 1.0
    assert MatchOptions("a", "b", "virtual", speed=20.0).motion_speed == 1.0


def test_the_summary_has_the_fields_that_scripts_read() -> None:
    event = MatchSummary("1-0", "checkmate", 33, 33, 0, 0, "8/8/8/8/8/8/8/8 w - - 0 1", 61.5).as_event()
    assert list(event) == [
        "event", "result", "termination", "plies", "confirmed", "repaired", "helped", "final_fen", "seconds",
        "model_moves", "fallback_moves",
    ]  # fmt: skip
    assert event["event"] == "summary"

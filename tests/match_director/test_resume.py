"""What a restarted director makes of its journal, damaged ones included."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from edgechess_kit.clock import SystemClock
from edgechess_kit.journal import SqliteJournal
from edgechess_match_director.errors import JournalDamaged
from edgechess_match_director.match import Created, Ended, Plan
from edgechess_match_director.resume import CREATED, last_match, plan_data

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"


@pytest.fixture
def journal() -> Any:
    connection = sqlite3.connect(":memory:")
    yield SqliteJournal.over(connection, SystemClock())
    connection.close()


def create(journal: SqliteJournal, session_id: str, salt: str) -> None:
    plan = Plan(session_id, salt, "random", "random", "answers", "answers", START)
    journal.append(CREATED, plan_data(plan), session_id=session_id)


def test_an_empty_journal_has_no_match(journal: SqliteJournal) -> None:
    assert last_match(journal) is None


def test_the_last_match_is_the_one_created_last_even_under_the_same_session_id(journal: SqliteJournal) -> None:
    create(journal, "s1", "one")
    journal.append("summary", {"result": "*", "termination": "max-plies"}, session_id="s1")
    assert isinstance(getattr(last_match(journal), "step", None), Ended)
    create(journal, "s1", "two")
    found = last_match(journal)
    assert found is not None
    assert (found.plan.salt, found.step) == ("two", Created())


def test_entries_for_people_change_nothing(journal: SqliteJournal) -> None:
    create(journal, "s1", "one")
    journal.append("a kind of a later version", {"x": 1}, session_id="s1")
    found = last_match(journal)
    assert found is not None
    assert found.step == Created()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("confirmed", {"lan": "e2e5", "by": "x"}),
        ("confirmed", {"nothing": True}),
        ("failed", {"arm_failures": 0, "busy": 0, "uncertain": False, "status": 500}),
        ("requested", {"lan": "e2e4"}),
        (CREATED, {"session_id": "s1"}),
    ],
)
def test_a_journal_that_tells_nonsense_is_named_and_not_played_from(
    journal: SqliteJournal, kind: str, data: dict[str, Any]
) -> None:
    create(journal, "s1", "one")
    journal.append(kind, data, session_id="s1")
    with pytest.raises(JournalDamaged, match=kind):
        last_match(journal)

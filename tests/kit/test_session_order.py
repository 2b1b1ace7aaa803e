from __future__ import annotations

from edgechess_kit.messages import SessionState
from edgechess_kit.session_order import SESSIONS_LIMIT, SessionOrder


def state(seq: int | None, session: str | None = "one") -> SessionState:
    return SessionState(status="running", session_id=session, seq=seq)


def heeded(*states: SessionState) -> list[int | None]:
    order = SessionOrder()
    return [shown.seq for shown in states if not order.overtaken(shown)]


def test_an_older_state_of_a_session_is_overtaken_and_a_repeated_one_is_not() -> None:
    assert heeded(state(3), state(5), state(4), state(5), state(6), state(3)) == [3, 5, 5, 6]


def test_the_session_before_does_not_come_back() -> None:
    assert heeded(state(None, None), state(3), state(7, "two"), state(5), state(8, "two")) == [None, 3, 7, 8]


def test_a_new_session_is_news_even_from_a_manager_that_lost_its_journal() -> None:
    assert heeded(state(90), state(2, "two"), state(1, "two"), state(3, "two")) == [90, 2, 3]


def test_a_manager_that_does_not_count_is_taken_as_it_comes() -> None:
    assert heeded(state(None), state(4), state(None), state(3)) == [None, 4, None]


def test_the_memory_is_bounded() -> None:
    order = SessionOrder()
    for number in range(3 * SESSIONS_LIMIT):
        assert not order.overtaken(state(number, f"session-{number}"))
    assert order.overtaken(state(0, f"session-{2 * SESSIONS_LIMIT}"))
    assert not order.overtaken(state(0, "session-0"))

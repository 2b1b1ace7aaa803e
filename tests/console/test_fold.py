"""What the page knows after what it has heard."""

from __future__ import annotations

from typing import Any

import chess

from edgechess_console.fold import fold
from edgechess_console.settings import Settings
from edgechess_console.showing import show
from edgechess_console.state import State
from edgechess_console.view import View
from edgechess_kit.messages import (
    ArmState,
    BoardState,
    EdgeEvent,
    EdgeStatus,
    GameResponse,
    Message,
    ResponseDetail,
    SessionState,
)

E4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"


def director(kind: str, at: float = 1.0, session_id: str = "s", **data: Any) -> EdgeEvent:
    return EdgeEvent(component="match-director", kind=kind, seq=1, at=at, session_id=session_id, data=data)


def running(fen: str = chess.STARTING_FEN, **changes: Any) -> SessionState:
    return SessionState(
        **({"status": "running", "session_id": "s", "start_fen": chess.STARTING_FEN, "fen": fen} | changes)
    )


def after(*messages: Message, at: float = 10.0) -> View:
    state = State(connected=True)
    for message in messages:
        state = fold(state, message, at)
    return show(state, Settings())


CREATED = EdgeEvent(
    component="match-director", kind="session-created", seq=1, at=1.0, session_id="s",
    data={
        "session_id": "s", "white": "human", "black": "model:tiny", "white_seat": "person", "black_seat": "answers",
        "start_fen": chess.STARTING_FEN, "robot_enabled": True,
    },
)  # fmt: skip


def test_a_session_that_was_made_waits_for_its_start_and_says_whose_it_is() -> None:
    view = after(CREATED)
    assert (view.session.status, view.session.fen) == ("created", chess.STARTING_FEN)
    assert (view.players["w"].word, view.players["b"].name) == ("human", "tiny")


def test_a_person_may_enter_a_move_when_asked_and_at_no_other_time() -> None:
    asked = director("asking", ply=1, color="w", seat="person", since=5.0, attempt=1)
    view = after(CREATED, running(), asked)
    assert view.turn is not None
    assert (view.turn.entry, len(view.turn.moves), "e2e4" in view.turn.moves) == (True, 20, True)
    assert view.players["w"].thinking
    busy = after(CREATED, running(), asked, running(phase="board-before", lan="e2e4"))
    assert busy.turn is not None
    assert (busy.turn.entry, busy.turn.moves) == (False, ())


def test_a_thought_is_counted_with_its_attempts_and_its_fallback() -> None:
    asked = director("asking", ply=2, color="b", seat="answers", since=5.0, attempt=1)
    thought = {"attempts": 3, "failures": ["illegal Ke9", "late"], "fallback": True, "constrained": False}
    chosen = director("move-chosen", ply=2, lan="e7e5", san="e5", by="Stockfish", think_s=2.5, thought=thought)
    black = after(CREATED, running(E4, ply=1), asked, chosen).players["b"]
    assert black.last is not None
    assert (black.last.failures, black.last.fallback, black.used_s) == (("illegal Ke9", "late"), True, 2.5)
    assert (black.asked, black.legal_first, black.fallbacks, black.thinking) == (1, 0, 1, False)


def test_the_phases_of_a_move_take_the_managers_exact_times_when_it_is_confirmed() -> None:
    state = State()
    for at, message in (
        (10.0, running()),
        (10.0, director("asking", ply=1, color="w", seat="answers", since=10.0, attempt=1)),
        (11.0, director("move-chosen", 11.0, ply=1, lan="e2e4", san="e4", by="a", think_s=1.0)),
        (11.0, running(phase="board-before", lan="e2e4")),
        (11.5, running(phase="arm", lan="e2e4", expecting="arm")),
    ):
        state = fold(state, message, at)
    line = show(state, Settings()).timeline
    assert [(phase.phase, phase.state) for phase in line.phases] == [
        ("think", "done"), ("board-before", "done"), ("arm", "active"), ("board-after", "waiting"),
    ]  # fmt: skip
    assert (line.san, line.ply, line.color) == ("e4", 1, "w")
    timings = {"board-before": 0.4, "arm": 9.8, "board-after": 0.6, "total": 10.9}
    confirmed = director(
        "confirmed", ply=1, lan="e2e4", san="e4", fen=E4, by="a", think_s=1.0, timings=timings, at=22.0
    )
    state = fold(fold(state, running(phase="board-after", lan="e2e4"), 21.3), confirmed, 22.0)
    line = show(state, Settings()).timeline
    assert [(phase.state, phase.took_s) for phase in line.phases] == [
        ("done", 1.0),
        ("done", 0.4),
        ("done", 9.8),
        ("done", 0.6),
    ]
    assert line.total_s == 10.9


def test_a_move_told_twice_or_by_manager_and_director_is_there_once() -> None:
    confirmed = director("confirmed", ply=1, lan="e2e4", san="e4", fen=E4, by="a", at=22.0)
    view = after(CREATED, running(E4, ply=1, moves=("e2e4",)), confirmed, confirmed)
    assert [(move.ply, move.san, move.by) for move in view.moves] == [(1, "e4", "a")]


def test_without_a_director_the_moves_are_those_of_the_manager() -> None:
    view = after(running(E4, ply=1, moves=("e2e4",)))
    assert ([move.san for move in view.moves], view.session.last_move) == (["e4"], "e2e4")


def test_what_was_taken_is_counted_and_a_promoted_pawn_is_not() -> None:
    start = "7k/P3p3/8/8/8/8/8/7K w - - 0 1"
    created = EdgeEvent(
        **{name: getattr(CREATED, name) for name in CREATED.__struct_fields__}
        | {"data": {**CREATED.data, "start_fen": start}}
    )
    moves = [("a7a8q", "Q6k/4p3/8/8/8/8/8/7K b - - 0 1"), ("h8g7", "Q7/4p1k1/8/8/8/8/8/7K w - - 1 2"), ("a8e8", "4Q3/4p1k1/8/8/8/8/8/7K b - - 2 2"), ("g7f6", "4Q3/4p3/5k2/8/8/8/8/7K w - - 3 3"), ("e8e7", "8/4Q3/5k2/8/8/8/8/7K b - - 0 3"), ("f6e7", "8/4k3/8/8/8/8/8/7K w - - 0 4")]  # fmt: skip
    told = [director("confirmed", ply=ply, lan=lan, san=lan, fen=fen) for ply, (lan, fen) in enumerate(moves, 1)]
    assert after(created, *told).session.captured == {"w": "Q", "b": "p"}


def test_an_overtaken_state_changes_nothing() -> None:
    view = after(running(E4, ply=1, moves=("e2e4",), seq=7), running(ply=0, seq=6))
    assert view.session.ply == 1
    arms = after(ArmState(arms=(), at=20.0, lease_token=2), ArmState(arms=(), at=19.0, lease_token=1))
    assert arms.arms.lease_token == 2


def test_a_failure_stays_until_the_board_shows_what_was_expected() -> None:
    failed = GameResponse(
        status=500, reason="board-after: lost", detail=ResponseDetail(code="dropped", expected=E4.split()[0])
    )
    shown = BoardState(connected=True, settled=True, placement=E4.split()[0], at=5.0)
    half = BoardState(connected=True, settled=True, placement=chess.STARTING_FEN.split()[0], at=4.0)
    assert [item.square for item in after(running(), half, failed).board.differences] == ["e2", "e4"]
    assert after(running(), half, failed, shown).board.differences == ()
    assert after(running(), half, failed, shown).troubles == ()


def test_a_manager_that_is_busy_is_no_failure() -> None:
    busy = GameResponse(status=400, reason="busy", detail=ResponseDetail(code="busy"))
    assert after(running(), busy).troubles == ()


def test_another_session_begins_with_nothing_of_the_last_one() -> None:
    confirmed = director("confirmed", ply=1, lan="e2e4", san="e4", fen=E4)
    paused = director("paused")
    other = SessionState(status="running", session_id="other", start_fen=chess.STARTING_FEN, fen=chess.STARTING_FEN)
    view = after(CREATED, confirmed, paused, other)
    assert (view.session.session_id, view.session.paused, view.moves, view.players["w"].word) == (
        "other",
        False,
        (),
        "",
    )


def test_the_manager_repeating_the_end_of_the_last_game_does_not_end_the_next_one() -> None:
    over = running(session_id="old", status="ended", result="1-0", termination="checkmate")
    asked = director("asking", color="w", seat="person", since=2.0, ply=1)
    assert after(over, CREATED, over).session.status == "created"
    view = after(over, CREATED, over, asked, over)
    assert (view.session.status, view.session.result) == ("running", None)
    begun = after(over, CREATED, over, asked, running(session_id="s"))
    assert begun.turn is not None
    assert begun.turn.entry


def test_events_of_another_session_do_not_touch_this_one() -> None:
    foreign = director("paused", session_id="other")
    assert not after(CREATED, foreign).session.paused


def test_a_flood_of_names_does_not_grow_the_view() -> None:
    view = after(*(EdgeStatus(component=f"name-{number}", status="ready") for number in range(500)))
    assert len(view.health) == 32


def test_the_end_of_a_match_is_shown_with_its_result() -> None:
    ended = director("summary", result="1-0", termination="resignation")
    view = after(CREATED, running(), ended)
    assert (view.session.status, view.session.result, view.session.termination) == ("ended", "1-0", "resignation")
    assert view.turn is None

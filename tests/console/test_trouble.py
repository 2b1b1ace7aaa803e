"""What is wrong, in words."""

from __future__ import annotations

import dataclasses
from typing import Any

import chess
import pytest

from edgechess_console.settings import Settings
from edgechess_console.showing import show
from edgechess_console.state import Asking, Failure, Plan, Pulse, State
from edgechess_console.trouble import explain
from edgechess_console.view import DifferencePart, TroublePart
from edgechess_kit.messages import (
    ArmState,
    ArmStatus,
    BoardState,
    EdgeStatus,
    ResponseDetail,
    SessionState,
    SlotState,
    SquareDifference,
)

START = chess.STARTING_FEN.split()[0]
WELL = State(connected=True, at=100.0)


def told(*differences: tuple[str, str | None, str | None], state: State = WELL) -> list[TroublePart]:
    parts = [DifferencePart(square=square, expected=expected, found=found) for square, expected, found in differences]
    return list(explain(state, parts))


def test_a_piece_that_is_not_felt_may_have_fallen() -> None:
    (trouble,) = told(("e4", "N", None))
    assert trouble.text.startswith(
        "The board feels nothing on e4; a white knight is expected there. It may have fallen"
    )
    assert (trouble.squares, trouble.pieces) == (("e4",), ("N",))
    assert "goes on by itself" in trouble.cure


def test_a_piece_on_the_next_square_is_one_trouble_and_not_two() -> None:
    (trouble,) = told(("f6", "n", None), ("g6", None, "n"))
    assert trouble.text == "A black knight stands on g6; it belongs on f6."
    assert trouble.squares == ("f6", "g6")


def test_of_two_strayed_pieces_each_is_paired_with_the_nearer_square() -> None:
    texts = {
        trouble.text for trouble in told(("a2", "P", None), ("h2", "P", None), ("a3", None, "P"), ("h4", None, "P"))
    }
    assert texts == {"A white pawn stands on a3; it belongs on a2.", "A white pawn stands on h4; it belongs on h2."}


def test_a_piece_too_many_and_another_piece_are_named() -> None:
    extra, other = told(("d5", None, "p"), ("a1", "R", "Q"))
    assert extra.text == "The board feels a black pawn on d5, which should be empty."
    assert other.text == "The board feels a white queen on a1; a white rook is expected there."


def test_a_table_that_is_not_set_up_is_one_sentence() -> None:
    many = [(chess.square_name(square), "P", None) for square in range(30)]
    (trouble,) = told(*many)
    assert trouble.text.startswith("30 squares are not as they should be")
    assert trouble.actions == ()


ARMS = ArmState(arms=(ArmStatus(name="white", kind="dobot", mode="parked"),), at=99.0)
WAITING = Plan("a", ("human", "human"), ("person", "person"), chess.STARTING_FEN)


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        ({}, ("setup",)),
        ({"arms": None}, ()),
        ({"arms": ArmState(arms=ARMS.arms, at=99.0, stopped=True)}, ()),
        ({"plan": dataclasses.replace(WAITING, robot_enabled=False)}, ()),
        ({"session": SessionState(status="running", session_id="a")}, ()),
    ],
)
def test_before_a_start_the_arms_are_offered_for_what_is_more_than_a_piece_or_two(
    changes: dict[str, Any], offered: tuple[str, ...]
) -> None:
    known: dict[str, Any] = {"plan": WAITING, "created": True, "arms": ARMS} | changes
    state = dataclasses.replace(WELL, **known)
    many = [(chess.square_name(square), "P", None) for square in range(8, 16)]
    found = told(*many, state=state)
    assert {action for trouble in found if trouble.squares for action in trouble.actions} == set(offered)
    assert len([trouble for trouble in found if trouble.squares]) == (1 if offered else 8)
    few = told(*many[:2], state=state)
    assert [trouble.code for trouble in few if trouble.squares] == ["missing", "missing"]


def test_a_lost_bus_says_that_the_stop_does_not_work_and_comes_first() -> None:
    troubles = told(("e4", "N", None), state=dataclasses.replace(WELL, connected=False))
    assert [trouble.code for trouble in troubles] == ["bus-lost", "missing"]
    assert "stop of this page does not work" in troubles[0].text


def arm(**changes: object) -> ArmStatus:
    return ArmStatus(**({"name": "white", "kind": "dobot", "mode": "parked", "parked": True} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "code", "words", "actions"),
    [
        (ArmState(arms=(arm(mode="stopped"),), stopped=True), "arms-stopped", "Nothing moves until a person says", ("recover",)),
        (ArmState(arms=(arm(mode="fault", alarm="axis 3"),)), "arm-fault", "fault: axis 3", ("recover",)),
        (ArmState(arms=(arm(mode="stopped", alarm="its stop"),)), "arm-stopped", "is stopped: its stop", ("recover",)),
        (ArmState(arms=(arm(mode="offline"),)), "arm-offline", "is not heard", ()),
        (ArmState(arms=(arm(holding="n"),)), "arm-holds", "holds a black knight", ("recover",)),
        (ArmState(arms=(arm(),), tray=(SlotState(slot="tray-white-0", doubtful=True),)), "slots-doubtful", "tray-white-0", ("refilled",)),
    ],
)  # fmt: skip
def test_arms_in_trouble(state: ArmState, code: str, words: str, actions: tuple[str, ...]) -> None:
    (trouble,) = explain(dataclasses.replace(WELL, arms=state))
    assert (trouble.code, trouble.actions) == (code, actions)
    assert words in trouble.text


def test_an_arm_that_carries_a_piece_for_a_job_is_no_trouble() -> None:
    state = ArmState(arms=(arm(mode="moving", parked=False, holding="n"),), job_id="job-1")
    assert explain(dataclasses.replace(WELL, arms=state)) == ()


def test_a_component_that_has_fallen_silent_is_missed_but_one_that_was_stopped_is_not() -> None:
    silent = Pulse(EdgeStatus(component="game-manager", status="ready"), 80.0)
    stopped = Pulse(EdgeStatus(component="match-director", status="stopped"), 80.0)
    another_page = Pulse(EdgeStatus(component="console", status="lost"), 99.0)
    (trouble,) = explain(dataclasses.replace(WELL, pulses=(silent, stopped, another_page)))
    assert trouble.text == "The game manager is not there any more."


def test_a_board_that_is_not_connected_says_why() -> None:
    (trouble,) = explain(dataclasses.replace(WELL, board=BoardState(connected=False, reason="no device")))
    assert trouble.text.startswith("The board is not connected (no device)")


def test_a_board_that_does_not_settle_names_the_square_and_shows_what_it_feels() -> None:
    board = BoardState(connected=True, placement=START, at=99.0, reason="e4 keeps changing: is a piece off its centre?")
    fen = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
    session = SessionState(status="running", session_id="s", fen=fen, start_fen=chess.STARTING_FEN)
    view = show(dataclasses.replace(WELL, board=board, session=session), Settings())
    assert ("off-centre", ("e4",)) in [(trouble.code, trouble.squares) for trouble in view.troubles]
    assert [item.square for item in view.board.differences] == ["e2", "e4"]


RUNNING = SessionState(status="running", session_id="s", fen=chess.STARTING_FEN, start_fen=chess.STARTING_FEN)


def felt(
    *changes: tuple[str, str | None], at: float = 99.0, differences: tuple[SquareDifference, ...] = ()
) -> BoardState:
    board = chess.BaseBoard(START)
    for square, letter in changes:
        board.set_piece_at(chess.parse_square(square), chess.Piece.from_symbol(letter) if letter else None)
    return BoardState(connected=True, settled=True, placement=board.board_fen(), at=at, differences=differences)


def test_after_a_failure_the_board_is_held_against_what_the_manager_expected() -> None:
    after = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR"
    failure = Failure(90.0, "board-after: lost", ResponseDetail(code="dropped", expected=after), "s")
    state = dataclasses.replace(WELL, session=RUNNING, failure=failure, board=felt(("e2", None)))
    view = show(state, Settings())
    assert view.board.expected == after
    assert [item.square for item in view.board.differences] == ["e4"]
    assert view.troubles[0].text.startswith("The board feels nothing on e4; a white pawn is expected there")


def test_the_squares_of_the_move_under_way_may_show_anything_and_others_may_not() -> None:
    moving = SessionState(
        status="running", session_id="s", fen=chess.STARTING_FEN, lan="g1f3", phase="arm", expecting="arm"
    )
    in_the_air = dataclasses.replace(WELL, session=moving, board=felt(("g1", None)))
    assert show(in_the_air, Settings()).board.differences == ()
    knocked = dataclasses.replace(WELL, session=moving, board=felt(("g1", None), ("h2", None)))
    assert [item.square for item in show(knocked, Settings()).board.differences] == ["h2"]


def test_what_a_person_has_in_the_hand_is_marked_but_is_no_trouble_unless_it_lasts() -> None:
    lifted = (SquareDifference(square="g1", expected="N", found=None),)
    asking = Asking("w", "person", 80.0, 1, 1)
    state = dataclasses.replace(WELL, session=RUNNING, asking=asking, board=felt(("g1", None), differences=lifted))
    view = show(state, Settings())
    assert ([item.square for item in view.board.differences], view.troubles) == (["g1"], ())
    late = show(dataclasses.replace(state, at=200.0), Settings())
    assert late.troubles[0].squares == ("g1",)


def test_what_the_director_waits_for_is_told_once_and_without_the_name_of_a_phase() -> None:
    reason = "board-after: the arm refused the job; the board still shows the position before the move"
    waiting = Pulse(EdgeStatus(component="match-director", status="degraded", reason=reason), 99.0)
    failure = Failure(90.0, reason, ResponseDetail(code="arm-refused", phase="board-after"), "s")
    (trouble,) = explain(dataclasses.replace(WELL, pulses=(waiting,), failure=failure))
    assert trouble.text == "The arm refused the job; the board still shows the position before the move"


def test_a_setup_that_failed_says_why_beside_the_squares() -> None:
    answer = Failure(
        99.0,
        "board-before: 3 jobs have failed, the last with arm white is not ready",
        ResponseDetail(code="setup-failed", phase="board-before"),
        None,
    )
    texts = [trouble.text for trouble in told(("e2", "P", None), state=dataclasses.replace(WELL, failure=answer))]
    assert any(text.startswith("3 jobs have failed, the last with arm white") for text in texts)
    assert any("e2" in text for text in texts)

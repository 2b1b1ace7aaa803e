"""Answers to the game manager's questions, from a settled reading or from the reason why there is none."""

from __future__ import annotations

from edgechess_board.placement import Difference, Placement, square_name
from edgechess_board_sensor.recognition import explain
from edgechess_kit.messages import (
    BoardStartResponse,
    BoardValidateRequest,
    BoardValidateResponse,
    GameRequest,
    SquareDifference,
)

REASON_LIMIT = 2000  # characters that a message's reason may have


def differences_of(differences: tuple[Difference, ...]) -> tuple[SquareDifference, ...]:
    """As they travel on the bus."""
    return tuple(
        SquareDifference(square=square_name(each.square), expected=each.expected, found=each.found)
        for each in differences
    )


def start_answer(request: GameRequest, seen: Placement | str) -> BoardStartResponse:
    """Whether the board shows the starting position; `seen` is a reading's placement, or why there is none."""
    verdict = _verdict(request.before, seen)
    return BoardStartResponse(
        status=200 if verdict is None else 500,
        task_token=request.task_token,
        request_id=request.request_id,
        reason=verdict,
        placement=seen.fen if isinstance(seen, Placement) else None,
        differences=_differences(request.before, seen),
    )


def validate_answer(request: BoardValidateRequest, seen: Placement | str) -> BoardValidateResponse:
    """Whether the board shows the position that the request names by `expect`."""
    fen = expected_fen(request)
    verdict = _verdict(fen, seen)
    return BoardValidateResponse(
        status=200 if verdict is None else 500,
        move=request.lan,
        task_token=request.task_token,
        request_id=request.request_id,
        reason=verdict,
        placement=seen.fen if isinstance(seen, Placement) else None,
        differences=_differences(fen, seen),
    )


def expected_fen(request: BoardValidateRequest) -> str:
    return request.after if request.expect == "after" else request.before


def expected_placement(fen: str) -> Placement | None:
    """None for text that is no position."""
    try:
        return Placement.from_fen(fen)
    except ValueError:
        return None


def _verdict(fen: str, seen: Placement | str) -> str | None:
    """None: the board is as expected. Otherwise the sentence that says why not."""
    if isinstance(seen, str):
        return seen[:REASON_LIMIT]
    try:
        expected = Placement.from_fen(fen)
    except ValueError as error:
        return str(error)[:REASON_LIMIT]
    return explain(seen.differences(expected))[:REASON_LIMIT] or None


def _differences(fen: str, seen: Placement | str) -> tuple[SquareDifference, ...]:
    expected = expected_placement(fen)
    if isinstance(seen, str) or expected is None:
        return ()
    return differences_of(seen.differences(expected))

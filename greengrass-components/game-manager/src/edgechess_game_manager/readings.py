"""What messages about the board, and how old, mean to us. Pure."""

from __future__ import annotations

import dataclasses

from edgechess_game_manager import rules
from edgechess_game_manager.state import (
    State,
)
from edgechess_game_manager.steps import (
    work_of,
)
from edgechess_kit import messages as m


def reading(status: int, seen: str | None, expected: str) -> str | None:
    """The settled placement that an answer stands for. The squares count, not the status; no placement and 500 is blind."""
    if seen is None:
        return expected if status == 200 else None
    try:
        return rules.placement(seen)
    except ValueError:
        return None


def shows(board: m.BoardState, expected: str) -> bool:
    if not (board.connected and board.settled) or board.placement is None:
        return False
    return reading(500, board.placement, expected) == expected


def lifted(state: State) -> State:
    """A piece that may lie is so no longer once the board has shown that somebody took it up."""
    board = state.board
    if state.lying is None or board is None or not (board.connected and board.settled) or board.placement is None:
        return state
    found = reading(500, board.placement, board.placement)
    if found is None or state.lying.still(found):
        return state
    return dataclasses.replace(state, lying=None)


def is_ours(state: State, response: m.BoardValidateResponse) -> bool:
    work = work_of(state)
    if response.request_id is not None and response.request_id in work.asked:
        return True
    return state.settings.board_protocol == "sample" and response.move == work.request.lan


def newer(arms: m.ArmState, at: float) -> bool:
    """Said after that instant. A message can be overtaken: an old "parked" is no news of an arm that moved since.

    0 is a controller without a clock; then the order of arrival must do.
    """
    return arms.at == 0.0 or arms.at > at

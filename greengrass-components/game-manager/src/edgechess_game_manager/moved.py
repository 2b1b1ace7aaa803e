"""Pieces have moved: from now on the board is asked for the position after. Pure."""

from __future__ import annotations

import dataclasses

from edgechess_game_manager import rules
from edgechess_game_manager.confirming import confirm
from edgechess_game_manager.effects import (
    StartTimer,
)
from edgechess_game_manager.events import (
    ProcessedSeen,
)
from edgechess_game_manager.silence import fail_lost
from edgechess_game_manager.state import (
    Stage,
    State,
)
from edgechess_game_manager.steps import (
    Step,
    ask,
    enter,
    fail,
    work_of,
)
from edgechess_kit import messages as m


def enter_after(state: State, at: float) -> Step:
    work = enter(work_of(state), Stage.BOARD_AFTER, at)
    state = dataclasses.replace(state, work=work)
    if state.settings.board_protocol == "edgechess":
        return ask(state)
    if work.processed is not None:
        return _processed_says(state, at, work.processed)
    # the sample's board speaks by itself, once: there is nothing to ask again
    work = dataclasses.replace(work, attempt=state.settings.board_attempts)
    return Step(dataclasses.replace(state, work=work), (StartTimer("board", state.settings.processed_timeout_s),))


def processed_while_arm(state: State, event: ProcessedSeen) -> Step:
    """The sample's board may notice the move before its arm reports."""
    if state.settings.board_protocol != "sample" or event.message.lan not in ("", work_of(state).request.lan):
        return Step(state)
    return Step(dataclasses.replace(state, work=dataclasses.replace(work_of(state), processed=event.message)))


def processed_after(state: State, event: ProcessedSeen) -> Step:
    if state.settings.board_protocol != "sample" or event.message.lan not in ("", work_of(state).request.lan):
        return Step(state)
    return _processed_says(state, event.at, event.message)


def _processed_says(state: State, at: float, message: m.BoardProcessed) -> Step:
    work = work_of(state)
    if work.lost:
        return fail_lost(state, at, rules.placement(work.after) if message.status == 200 else None)
    if message.status == 200:
        return confirm(state, at)
    reason = message.reason or "the board gave no reason"
    words = f"the board does not show the position after {work.request.lan}: {reason}"
    return fail(state, at, "after-mismatch", words, expected=rules.placement(work.after))

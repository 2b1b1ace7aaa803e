"""Phase 3: the board after the move. Nothing is confirmed but here. Pure."""

from __future__ import annotations

from edgechess_game_manager import rules
from edgechess_game_manager.classification import classify
from edgechess_game_manager.confirming import confirm
from edgechess_game_manager.events import (
    BoardAnswered,
)
from edgechess_game_manager.persons_move import enter_person, person_late
from edgechess_game_manager.readings import is_ours, reading
from edgechess_game_manager.repair import doubt
from edgechess_game_manager.repairing import against_repair, order_repair, stand_it_up, unrepaired
from edgechess_game_manager.silence import arm_said, blind, fail_lost, grasps_of
from edgechess_game_manager.state import (
    State,
    left_lying,
)
from edgechess_game_manager.steps import (
    Step,
    before_of,
    fail,
    work_of,
)


def board_answered_after(state: State, event: BoardAnswered) -> Step:
    work, response = work_of(state), event.response
    if state.settings.board_protocol == "sample" or not is_ours(state, response):
        return Step(state)
    after = rules.placement(work.after)
    found = reading(response.status, response.placement, after)
    if found is None:
        return blind(state, event.at, response.reason)
    if work.lost:
        return fail_lost(state, event.at, found)
    felt = left_lying(state, work, found) if work.executor == "arm" else None
    if felt is not None and found in (after, before_of(state)):
        return fail(state, event.at, "dropped", stand_it_up(felt), expected=found, found=found)
    if found == after:
        return confirm(state, event.at)
    if work.executor == "person":
        # a piece was lifted again while we asked; the person still has the board
        assert work.person_deadline is not None
        return enter_person(state, event.at) if event.at < work.person_deadline else person_late(state, event.at)
    return _fail_move(state, event.at, found)


def _fail_move(state: State, at: float, found: str) -> Step:
    """The arm was told to move and the board shows something else: say what, square by square."""
    work, before = work_of(state), before_of(state)
    after = rules.placement(work.after)
    verdict = classify(before, after, found, grasps=grasps_of(work))
    against = against_repair(state, at) or doubt(before, after, found, work.grasps, work.held)
    if against is None:
        return order_repair(state, at, found, "after", verdict.code)
    code: str = verdict.code
    said = arm_said(work)
    if code == "unchanged" and work.result is not None and work.result.outcome == "refused":
        code = "arm-refused"
        words = f"{said}; the board still shows the position before the move"
    else:
        words = f"{verdict.reason}; {said}" if said else verdict.reason
        words += unrepaired(against)
    return fail(state, at, code, words, wrong=verdict.differences, expected=after, found=found)

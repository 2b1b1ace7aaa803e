"""Boards that are silent or blind, and arms of which nobody knows what they did. Pure."""

from __future__ import annotations

import dataclasses

from edgechess_game_manager import rules
from edgechess_game_manager.classification import classify, differences, named
from edgechess_game_manager.effects import (
    StartTimer,
)
from edgechess_game_manager.events import (
    TimerFired,
)
from edgechess_game_manager.state import (
    ARM_LOST,
    Stage,
    State,
    Work,
)
from edgechess_game_manager.steps import (
    Step,
    ask,
    before_of,
    fail,
    work_of,
)
from edgechess_kit import messages as m


def board_timer(state: State, event: TimerFired) -> Step:
    """Silence, or the pause after a blind answer: ask again, or give up."""
    if event.name != "board":
        return Step(state)
    work = work_of(state)
    if work.attempt >= state.settings.board_attempts:
        return _give_up_board(state, event.at)
    return ask(state)


def blind(state: State, at: float, reason: str | None) -> Step:
    """The board answered that it does not know. It may be coming back, so it is asked again after a pause."""
    work = dataclasses.replace(work_of(state), trouble=reason or "the board gave no reason")
    state = dataclasses.replace(state, work=work)
    if work.attempt >= state.settings.board_attempts:
        return _give_up_board(state, at)
    return Step(state, (StartTimer("board", state.settings.board_pause_s),))


def _give_up_board(state: State, at: float) -> Step:
    work = work_of(state)
    why = work.trouble or f"no answer to {work.attempt} questions of {state.settings.board_timeout_s:g} s"
    if work.lost:
        return fail_lost(state, at, None)
    if work.stage is not Stage.BOARD_AFTER:
        if state.settings.board_protocol == "sample" and work.trouble is not None:
            return fail(state, at, "before-mismatch", f"the board refuses the position before the move: {why}")
        return fail(state, at, "board-blind", f"the board cannot be read: {why}", expected=before_of(state))
    flicker = state.board is not None and state.board.connected and not state.board.settled
    verdict = classify(before_of(state), rules.placement(work.after), None, grasps=grasps_of(work), flicker=flicker)
    return fail(state, at, verdict.code, f"{verdict.reason}: {why}", expected=rules.placement(work.after))


def fail_lost(state: State, at: float, found: str | None) -> Step:
    after = rules.placement(work_of(state).after)
    wrong = differences(after, found) if found is not None else ()
    shows = named(wrong) if wrong else "the board shows the position after the move" if found else "the board is blind"
    said = arm_said(work_of(state))
    words = f"what the arm did is unknown and nobody reports it at rest; look at it first. {said}; {shows}"
    return fail(state, at, ARM_LOST, words, wrong=wrong, expected=after, found=found)


def arm_said(work: Work) -> str:
    result = work.result
    if result is None or result.outcome == "done":
        return ""
    verb = "refused the job" if result.outcome == "refused" else "does not know whether it moved"
    why = ": ".join(word for word in (result.code, result.reason) if word)
    return f"the arm {verb}{f' ({why})' if why else ''}"


def grasps_of(work: Work) -> tuple[m.GraspReport, ...]:
    return work.result.grasps if work.result is not None else ()

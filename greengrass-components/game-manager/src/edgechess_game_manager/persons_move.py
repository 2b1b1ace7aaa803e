"""A person moves the pieces: nothing is asked before the board shows it, or the time is over. Pure."""

from __future__ import annotations

import dataclasses

from edgechess_game_manager import rules
from edgechess_game_manager.classification import differences, named
from edgechess_game_manager.effects import (
    CancelTimer,
    StartTimer,
)
from edgechess_game_manager.events import (
    BoardSeen,
    ProcessedSeen,
    TimerFired,
)
from edgechess_game_manager.moved import enter_after
from edgechess_game_manager.readings import reading, shows
from edgechess_game_manager.state import (
    Stage,
    State,
)
from edgechess_game_manager.steps import (
    Step,
    enter,
    fail,
    work_of,
)


def enter_person(state: State, at: float) -> Step:
    work = enter(work_of(state), Stage.PERSON, at)
    assert work.person_deadline is not None
    left_s = max(0.0, work.person_deadline - at)
    stop = CancelTimer("board")
    return Step(dataclasses.replace(state, work=work), (stop, StartTimer("person", left_s)))


def board_while_person(state: State, event: BoardSeen) -> Step:
    if not shows(event.board, rules.placement(work_of(state).after)):
        return Step(state)
    step = enter_after(state, event.at)
    return Step(step.state, (CancelTimer("person"), *step.effects))


def processed_while_person(state: State, event: ProcessedSeen) -> Step:
    if state.settings.board_protocol != "sample" or event.message.lan not in ("", work_of(state).request.lan):
        return Step(state)
    work = dataclasses.replace(work_of(state), processed=event.message)
    step = enter_after(dataclasses.replace(state, work=work), event.at)
    return Step(step.state, (CancelTimer("person"), *step.effects))


def person_timer(state: State, event: TimerFired) -> Step:
    if event.name != "person":
        return Step(state)
    return person_late(state, event.at)


def person_late(state: State, at: float) -> Step:
    after = rules.placement(work_of(state).after)
    board = state.board
    found = reading(500, board.placement, after) if board and board.connected and board.settled else None
    wrong = differences(after, found) if found is not None else ()
    what = f"the board shows: {named(wrong)}" if wrong else "the board shows no settled position"
    words = f"the pieces were not moved in time for {work_of(state).request.lan}; {what}"
    return fail(state, at, "deadline", words, wrong=wrong, expected=after, found=found)

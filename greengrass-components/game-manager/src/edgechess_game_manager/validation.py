"""Phase 1: the board before the move, and what follows from it. Pure."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from edgechess_game_manager import rules
from edgechess_game_manager.classification import differences, named
from edgechess_game_manager.confirming import begin
from edgechess_game_manager.effects import (
    CancelTimer,
    Effect,
    GiveJob,
    MoveSampleArm,
    StartTimer,
    Write,
)
from edgechess_game_manager.events import (
    BoardAnswered,
    BoardStarted,
)
from edgechess_game_manager.moved import enter_after
from edgechess_game_manager.persons_move import enter_person
from edgechess_game_manager.readings import is_ours, reading, shows
from edgechess_game_manager.repair import doubt
from edgechess_game_manager.repairing import against_repair, order_repair, stand_it_up, unrepaired
from edgechess_game_manager.setting_up import setup_says
from edgechess_game_manager.silence import blind
from edgechess_game_manager.state import (
    Stage,
    State,
    commanded,
    left_lying,
)
from edgechess_game_manager.steps import (
    Step,
    before_of,
    enter,
    fail,
    fresh_questions,
    is_late,
    work_of,
)
from edgechess_kit import messages as m
from edgechess_kit.journal import Draft


def board_started(state: State, event: BoardStarted) -> Step:
    work, response = work_of(state), event.response
    if response.request_id is not None and response.request_id not in work.asked:
        return Step(state)
    sample = state.settings.board_protocol == "sample"
    if response.request_id is None and (not sample or response.task_token not in (None, work.token)):
        return Step(state)
    return _board_before_says(state, event.at, response.status, response.placement, response.reason)


def board_answered_before(state: State, event: BoardAnswered) -> Step:
    if not is_ours(state, event.response):
        return Step(state)
    response = event.response
    return _board_before_says(state, event.at, response.status, response.placement, response.reason)


def _board_before_says(state: State, at: float, status: int, seen: str | None, reason: str | None) -> Step:
    """Phase 1: what the board shows must be the position before the move; of a person's move it may be the one after."""
    work, before = work_of(state), before_of(state)
    found = reading(status, seen, before)
    if found is None:
        return blind(state, at, reason)
    if work.stage is Stage.SETUP:
        return setup_says(state, at, found) if state.arms is not None else blind(state, at, "nobody reports the arms")
    if left_lying(state, work, found) is not None and found in (before, rules.placement(work.after)):
        return _not_stood_up(state, at, found)
    if found == before:
        return begin(state, at) if work.stage is Stage.STARTING else _validated(state, at, moved=False)
    if work.executor == "person" and found == rules.placement(work.after):
        return _validated(state, at, moved=True)
    if work.stage is Stage.BOARD_BEFORE:
        return _fail_before(state, at, found)
    wrong = differences(before, found)
    where = "the position" if work.stage is Stage.STARTING else "the position before the move"
    return fail(
        state,
        at,
        "before-mismatch",
        f"the board does not show {where}: {named(wrong)}",
        wrong=wrong,
        expected=before,
        found=found,
    )


def _not_stood_up(state: State, at: float, found: str) -> Step:
    """A piece may lie where it should stand. Who has just lost it says so; who comes later waits until it was lifted."""
    work = work_of(state)
    felt = left_lying(state, work, found)
    assert felt is not None
    if work.result is not None or is_late(work, at) or at - work.received_at > state.settings.person_deadline_s:
        return fail(state, at, "dropped", stand_it_up(felt), expected=found, found=found)
    pause = StartTimer("board", state.settings.repair_look_s)
    return Step(dataclasses.replace(state, work=fresh_questions(work)), (pause,))


def _fail_before(state: State, at: float, found: str) -> Step:
    """Somebody has touched the table since the last move, or a repair of that has not ended well."""
    work, before = work_of(state), before_of(state)
    against = against_repair(state, at) or doubt(before, before, found, work.grasps, work.held)
    if against is None and work.wrong != found:
        # a hand may still be in it: what shows the same a while later stands there
        work = fresh_questions(dataclasses.replace(work, wrong=found))
        pause = StartTimer("board", state.settings.repair_look_s)
        return Step(dataclasses.replace(state, work=work), (pause,))
    if against is None:
        return order_repair(state, at, found, "before", "before-mismatch")
    wrong = differences(before, found)
    words = f"the board does not show the position before the move: {named(wrong)}{unrepaired(against)}"
    return fail(state, at, "before-mismatch", words, wrong=wrong, expected=before, found=found)


def _validated(state: State, at: float, *, moved: bool) -> Step:
    """Phase 1 is passed: the arm gets its job, or the person has the board."""
    work = work_of(state)
    if is_late(work, at):
        return fail(
            state, at, "deadline", "the request's deadline passed before the move was begun", found=before_of(state)
        )
    data: dict[str, Any] = {"lan": work.request.lan, "moved": moved}
    validated = Draft("validated", data, work.request.session_id, work.token)
    if work.executor == "arm":
        return _command(state, at, validated)
    limit = at + state.settings.person_deadline_s
    deadline = min(limit, work.request.deadline) if work.request.deadline is not None else limit
    validated = dataclasses.replace(validated, data={**data, "deadline": deadline})
    work = dataclasses.replace(work, person_deadline=deadline)
    state = dataclasses.replace(state, work=work)
    shown = state.board is not None and shows(state.board, rules.placement(work.after))
    step = enter_after(state, at) if moved or shown else enter_person(state, at)
    return Step(step.state, (Write((validated,)), *step.effects))


def _command(state: State, at: float, validated: Draft) -> Step:
    settings = state.settings
    work = enter(work_of(state), Stage.ARM, at)
    request = work.request
    limit = at + settings.arm_start_limit_s
    assert state.session is not None
    job = m.ArmJob(
        job_id=work.move_id,
        kind="move",
        session_id=request.session_id,
        before=state.session.fen,
        after=work.after,
        lan=request.lan,
        deadline=min(limit, request.deadline) if request.deadline is not None else limit,
    )
    work = commanded(work, job)
    data = {"job": msgspec.to_builtins(job), "protocol": settings.arm_protocol}
    command = Draft("commanded", data, request.session_id, work.token)
    act: tuple[Effect, ...]
    if settings.arm_protocol == "sample":
        act = (MoveSampleArm(request),)
    else:
        act = (GiveJob(job), StartTimer("arm-repeat", settings.arm_repeat_s))
    return Step(
        dataclasses.replace(state, work=work),
        (CancelTimer("board"), Write((validated, command)), *act, StartTimer("arm", settings.arm_deadline_s)),
    )

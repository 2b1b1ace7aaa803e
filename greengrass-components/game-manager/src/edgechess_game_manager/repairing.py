"""The order of a repair, and what is against any repair now. Pure."""

from __future__ import annotations

import dataclasses
from typing import Literal

import msgspec

from edgechess_game_manager.effects import (
    CancelTimer,
    GiveJob,
    StartTimer,
    Write,
)
from edgechess_game_manager.repair import Lying
from edgechess_game_manager.state import (
    Stage,
    State,
    ordered,
)
from edgechess_game_manager.steps import (
    Step,
    enter,
    is_late,
    work_of,
)
from edgechess_kit import messages as m
from edgechess_kit.journal import Draft

WANTS_A_PERSON = ("stopped", "alarm", "emergency-stop", "collision", "paused", "guided", "disabled")
# codes of jobs after which no arm moves before somebody has looked and said so


def order_repair(state: State, at: float, found: str, goal: Literal["before", "after"], code: str) -> Step:
    """An ordinary job, from what the board shows to what it should show."""
    work, settings = work_of(state), state.settings
    assert state.session is not None
    before, after = state.session.fen, work.after
    limit = at + settings.arm_start_limit_s
    job = m.ArmJob(
        job_id=f"{work.move_id}-r{work.repairs + 1}",
        kind="repair",
        session_id=work.request.session_id,
        before=" ".join((found, before.split(" ")[1], "- - 0 1")),  # its turn says whose arm
        after=before if goal == "before" else after,
        arm=work.held.arm if work.held is not None else None,
        deadline=min(limit, work.request.deadline) if work.request.deadline is not None else limit,
    )
    work = ordered(enter(work, Stage.REPAIR, at), job, goal)
    state = dataclasses.replace(state, work=work, repairs=state.repairs + 1)
    data = {"job": msgspec.to_builtins(job), "goal": goal, "code": code, "number": work.repairs}
    order = Draft("repair-ordered", data, work.request.session_id, work.token)
    timers = (StartTimer("arm-repeat", settings.arm_repeat_s), StartTimer("arm", settings.arm_deadline_s))
    return Step(state, (CancelTimer("board"), Write((order,)), GiveJob(job), *timers))


def against_repair(state: State, at: float) -> str | None:
    """Why no arm is to touch the table now, whatever it looks like; None: nothing is against it."""
    work, settings = work_of(state), state.settings
    result = work.result
    if work.executor != "arm" or "sample" in (settings.arm_protocol, settings.board_protocol) or not settings.repair:
        return "repairs are left to people here"
    if work.lost or (result is not None and (result.outcome == "refused" or result.code in WANTS_A_PERSON)):
        return "the arm cannot go on by itself"
    if work.unreported:
        return "nobody knows what an arm did here last"
    if work.repairs >= settings.repairs_per_move:
        return f"{work.repairs} repairs have not helped"
    if state.repairs >= settings.repairs_per_session:
        return f"{state.repairs} repairs in one game are too many: the arms want looking after"
    return "the request's deadline has passed" if is_late(work, at) else None


def stand_it_up(felt: Lying) -> str:
    return f"{felt.words}: lift it off for a second, and stand it up there"


def unrepaired(against: str) -> str:
    return f"; no repair: {against}"

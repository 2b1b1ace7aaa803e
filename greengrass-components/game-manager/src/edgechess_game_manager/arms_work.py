"""Phase 2: a job given, heard of, over; and arms that come to rest. Pure."""

from __future__ import annotations

import dataclasses

import msgspec

from edgechess_game_manager.effects import (
    CancelTimer,
    GiveJob,
    StartTimer,
    Write,
)
from edgechess_game_manager.events import (
    ArmMoved,
    ArmsSeen,
    JobEnded,
    TimerFired,
)
from edgechess_game_manager.moved import enter_after
from edgechess_game_manager.readings import newer
from edgechess_game_manager.repair import Held
from edgechess_game_manager.setting_up import job_limit_s
from edgechess_game_manager.state import (
    ARM_LOST,
    SILENCE,
    Stage,
    State,
    Work,
    ended,
)
from edgechess_game_manager.steps import (
    Step,
    ask,
    before_of,
    enter,
    fail,
    work_of,
)
from edgechess_kit import messages as m
from edgechess_kit.journal import Draft

STANDING = ("idle", "stopped", "fault")  # modes of an arm that does not move; where it stands is another matter


def arm_timer(state: State, event: TimerFired) -> Step:
    work = work_of(state)
    if event.name == "arm-repeat" and work.job is not None:
        return Step(state, (GiveJob(work.job), StartTimer("arm-repeat", state.settings.arm_repeat_s)))
    if event.name != "arm":
        return Step(state)
    silence = m.ArmJobResult(
        job_id=work.job_id,
        outcome="unknown",
        code=SILENCE,
        reason=f"the arms said nothing for {job_limit_s(state, work.progress):g} s",
        parked=work.rested,
    )
    return _job_over(state, event.at, silence)


def job_ended(state: State, event: JobEnded) -> Step:
    if event.result.job_id != work_of(state).job_id or event.result == work_of(state).result:
        return Step(state)
    return _job_over(state, event.at, event.result)


def sample_arm_moved(state: State, event: ArmMoved) -> Step:
    work, response = work_of(state), event.response
    if state.settings.arm_protocol != "sample" or response.lan not in ("", work.request.lan):
        return Step(state)
    outcome: m.Outcome = "done" if response.status == 200 else "unknown"
    result = m.ArmJobResult(job_id=work.job_id, outcome=outcome, reason=response.reason, parked=True)
    return _job_over(state, event.at, result)


def _job_over(state: State, at: float, result: m.ArmJobResult) -> Step:
    """The act is over as far as anybody says. Refused or unknown is no verdict: the board is asked in every case."""
    work = work_of(state)
    kind = "moved" if work.job_id == work.move_id else "repaired" if work.progress is None else "carried"
    work = ended(work, result)
    state = dataclasses.replace(state, work=work)
    over = Write((Draft(kind, {"result": msgspec.to_builtins(result)}, work.request.session_id, work.token),))
    stop = (CancelTimer("arm"), CancelTimer("arm-repeat"), CancelTimer("rest"))
    step = _look_again(state, at) if may_look(state) else enter_parking(state, at)
    return Step(step.state, (*stop, over, *step.effects))


def _look_again(state: State, at: float) -> Step:
    """After a job the board is asked for the position that the job leads to."""
    work = work_of(state)
    if work.progress is None and work.goal == "after":
        return enter_after(state, at)
    work = enter(work, Stage.BOARD_BEFORE if work.progress is None else Stage.SETUP, at)
    return ask(dataclasses.replace(state, work=work))


def may_look(state: State) -> bool:
    """The board is asked only when no arm is above it; the sample's arms have no way to say so.

    During a setup the arms are always heard first: their word says what lies beside the board by now.
    """
    result = work_of(state).result
    assert result is not None
    if work_of(state).progress is not None:
        return False
    return result.outcome != "unknown" or result.parked or state.settings.arm_protocol == "sample"


def enter_parking(state: State, at: float) -> Step:
    work = enter(work_of(state), Stage.PARKING, at)
    return Step(dataclasses.replace(state, work=work), (StartTimer("rest", state.settings.arm_rest_timeout_s),))


def arms_while_moving(state: State, event: ArmsSeen) -> Step:
    work = work_of(state)
    if work.job is None or state.settings.arm_protocol == "sample":
        return Step(state)
    if event.arms.job_id == work.job_id:
        if work.heard and not newer(event.arms, work.heard_at):
            return Step(state)
        work = dataclasses.replace(work, heard=True, heard_at=event.arms.at, gone=False, rested=False)
        return Step(dataclasses.replace(state, work=work), (CancelTimer("arm-repeat"),))
    if not work.heard or not newer(event.arms, work.heard_at):
        return Step(state)
    # the job is over and its result has not come: giving it again is how the result is asked for
    ask = () if work.gone else (StartTimer("arm-repeat", state.settings.arm_repeat_s),)
    work = dataclasses.replace(work, gone=True, rested=_at_rest(event.arms, work))
    return Step(dataclasses.replace(state, work=work), ask)


def arms_while_parking(state: State, event: ArmsSeen) -> Step:
    work = work_of(state)
    if not newer(event.arms, work.stage_at) or not _at_rest(event.arms, work):
        return Step(state)
    holding = [Held(arm.name, arm.holding) for arm in event.arms.arms if arm.holding is not None and arm.felt]
    work = dataclasses.replace(work, held=holding[0] if holding else None)
    step = _look_again(dataclasses.replace(state, work=work), event.at)
    return Step(step.state, (CancelTimer("rest"), *step.effects))


def rest_timer(state: State, event: TimerFired) -> Step:
    """Nobody says that the arms rest. The board is read for the person's sake, but the move is not confirmed."""
    if event.name != "rest":
        return Step(state)
    if work_of(state).progress is not None:
        words = "nobody reports the arms at rest; look at them first"
        return fail(state, event.at, ARM_LOST, words, expected=before_of(state))
    work = dataclasses.replace(work_of(state), lost=True, goal="after")
    return enter_after(dataclasses.replace(state, work=work), event.at)


def _at_rest(arms: m.ArmState, work: Work) -> bool:
    """Every arm is measured in its park; where the result names its arm, the others may be switched off.

    Standing still is not enough: the board feels a piece that an arm holds low over a square as if it stood there.
    """
    if arms.job_id == work.job_id or not arms.arms:
        return False
    ours = work.result.arm if work.result is not None else None
    for arm in arms.arms:
        if ours is not None and arm.name != ours and arm.mode == "offline":
            continue
        if arm.mode != "parked" and not (arm.mode in STANDING and arm.parked):
            return False
    return True

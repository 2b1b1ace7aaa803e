"""The game manager as a pure machine: `decide(state, event) -> (state, effects)`.

`TABLE` says which event is heeded in which stage, by whom, and where it may lead; what is not in it changes nothing.
The diagram in docs/game-manager-states.md is generated from it. The rules of one move:

- What is journalled is journalled before it is acted on (`Write` comes before the effects that need it).
- A token has one outcome. While its request is under way a repeat of it does nothing; afterwards it gets the first answer.
- A job is given again as long as nobody has heard of it, under the same id. Silence is never failure: the outcome is
  then unknown, and the board is asked what happened.
- Nothing is confirmed unless a settled reading, asked for after the pieces moved, is the position after the move.
- What went wrong an arm puts right where `repair.doubt` has none, with a job of its own, so many times and no oftener.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from edgechess_game_manager import rules
from edgechess_game_manager.answers import answer, answer_malformed, stored
from edgechess_game_manager.classification import classify, differences, named
from edgechess_game_manager.effects import (
    Answer,
    CancelTimer,
    Desire,
    Effect,
    GiveJob,
    MoveSampleArm,
    StartTimer,
    Write,
)
from edgechess_game_manager.events import (
    ArmMoved,
    ArmsSeen,
    BoardAnswered,
    BoardSeen,
    BoardStarted,
    Event,
    JobEnded,
    MalformedSeen,
    ProcessedSeen,
    RequestSeen,
    Restored,
    TimerFired,
    VerdictSeen,
)
from edgechess_game_manager.repair import Held, doubt
from edgechess_game_manager.rules import LegalMove, Refusal
from edgechess_game_manager.setting_up import job_limit_s, setup_says
from edgechess_game_manager.state import (
    ARM_LOST,
    PHASES,
    SILENCE,
    Progress,
    Stage,
    State,
    Work,
    commanded,
    ended,
    ordered,
)
from edgechess_game_manager.steps import (
    Step,
    ask,
    before_of,
    ended_by,
    enter,
    entered_again,
    fail,
    finish,
    fresh_questions,
    is_late,
    work_of,
)
from edgechess_kit import messages as m
from edgechess_kit.journal import Draft

STANDING = ("idle", "stopped", "fault")  # modes of an arm that does not move; where it stands is another matter
WANTS_A_PERSON = ("stopped", "alarm", "emergency-stop", "collision", "paused", "guided", "disabled")
# codes of jobs after which no arm moves before somebody has looked and said so


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """Who decides, and every stage it may lead to with the words for the diagram."""

    decide: Callable[[State, Any], Step]
    to: Mapping[Stage, str]


def decide(state: State, event: Event) -> tuple[State, tuple[Effect, ...]]:
    """The next state and what is to be done, in order. Raises nothing for any event."""
    if isinstance(event, BoardSeen):
        state = dataclasses.replace(state, board=event.board)
    if isinstance(event, ArmsSeen) and (state.arms is None or _newer(event.arms, state.arms.at)):
        state = dataclasses.replace(state, arms=event.arms)
    row = TABLE.get((state.stage, type(event)))
    if row is None:
        return state, ()
    step = row.decide(state, event)
    assert step.state.stage in row.to, f"{state.stage} to {step.state.stage} on {type(event).__name__}"
    return step


# ---------------------------------------------------------------- requests


def _request(state: State, event: RequestSeen) -> Step:
    request, work = event.request, state.work
    if event.earlier is not None:
        return Step(state, (Answer(event.earlier),))
    if work is not None:
        if request.task_token == work.token:
            return Step(state)
        return _refuse(state, request, Refusal("busy", _busy_words(work)))
    if request.action == "start":
        return _take_start(state, event)
    if request.action == "setup":
        return _take_setup(state, event)
    return _take_move(state, event)


def _malformed(state: State, event: MalformedSeen) -> Step:
    if event.earlier is not None:
        return Step(state, (Answer(event.earlier),))
    if state.work is not None and event.token == state.work.token:
        return Step(state)
    response = answer_malformed(event.token, event.code, event.reason)
    if event.token is None:
        return Step(state, (Answer(response),))
    return Step(state, (Write((stored(response, None),)), Answer(response)))


def _take_start(state: State, event: RequestSeen) -> Step:
    request = event.request
    session = rules.check_start(request, claim_draws=state.settings.claim_draws)
    if isinstance(session, Refusal):
        return _refuse(state, request, session)
    return _take(state, event, Stage.STARTING, "arm", session.fen)


def _take_setup(state: State, event: RequestSeen) -> Step:
    """The session that it names, if one is running, is over without a result: its pieces go back into the box, so to say."""
    request, settings = event.request, state.settings
    goal = rules.check_setup(state.session, request)
    if not settings.robot_enabled or "sample" in (settings.arm_protocol, settings.board_protocol):
        goal = Refusal("no-robot", "no arm here can set the table up")
    if isinstance(goal, Refusal):
        return _refuse(state, request, goal)
    ends = state.session is not None and not state.session.over
    step = _take(dataclasses.replace(state, session=None if ends else state.session), event, Stage.SETUP, "arm", goal)
    if not ends:
        return step
    abandoned = Write((Draft("abandoned", {}, request.session_id, request.task_token),))
    return Step(step.state, (abandoned, *step.effects))


def _take_move(state: State, event: RequestSeen) -> Step:
    move = rules.check_move(state.session, event.request)
    if isinstance(move, Refusal):
        return _refuse(state, event.request, move)
    robot = state.settings.robot_enabled and event.request.executor != "person"
    return _take(state, event, Stage.BOARD_BEFORE, "arm" if robot else "person", move.after, move)


def _take(
    state: State, event: RequestSeen, stage: Stage, executor: m.Executor, after: str, move: LegalMove | None = None
) -> Step:
    request = event.request
    progress = Progress() if stage is Stage.SETUP else None
    san = move.san if move else ""
    work = Work(request, stage, executor, after, event.at, event.at, san=san, progress=progress)
    work = dataclasses.replace(work, grasps=state.grasps, unreported=state.unreported)
    state = dataclasses.replace(state, work=work)
    # the token is the entry's key; it is a capability of the cloud's workflow and does not belong into events
    kept = {key: value for key, value in msgspec.to_builtins(request).items() if key != "taskToken"}
    received = Write((Draft("received", {"request": kept, "executor": executor}, request.session_id, work.token),))
    if is_late(work, event.at):
        state, effects = fail(state, event.at, "deadline", "the request's deadline passed before it was taken up")
        return Step(state, (received, *effects))
    state, effects = ask(state)
    return Step(state, (received, *effects, Desire(request)))


def _refuse(state: State, request: m.GameRequest, refusal: Refusal) -> Step:
    """Status 400: final for this token, and the table was not touched."""
    detail = m.ResponseDetail(phase="request", code=refusal.code)
    response = answer(request, 400, detail, refusal.reason)
    return Step(state, (Write((stored(response, request.session_id),)), Answer(response)))


def _busy_words(work: Work) -> str:
    what = f"move {work.request.lan}" if work.request.action == "move" else f"a {work.request.action}"
    where = f"session {work.request.session_id} ({PHASES[work.stage]})"
    return f"the table is busy with {what} of {where}; ask again later with a new taskToken, this one stays refused"


# ---------------------------------------------------------------- the end by somebody's word


def _verdict(state: State, event: VerdictSeen) -> Step:
    """At rest, and during a start, which moves nothing and replaces the session anyway: the session ends now."""
    session, verdict = state.session, event.verdict
    if session is None or not _heeded(state, event):
        return Step(state)
    return Step(
        dataclasses.replace(state, session=rules.close(session, verdict)), (Write((ended_by(state, verdict),)),)
    )


def _verdict_while_moving(state: State, event: VerdictSeen) -> Step:
    """A move under way is finished first: pieces in the air are not the end of a game."""
    verdict = event.verdict
    if not _heeded(state, event):
        return Step(state)
    ending = Draft("ending", msgspec.to_builtins(verdict), verdict.session_id, verdict.request_id)
    work = dataclasses.replace(work_of(state), verdict=verdict)
    return Step(dataclasses.replace(state, work=work), (Write((ending,)),))


def _heeded(state: State, event: VerdictSeen) -> bool:
    session = state.session
    ours = session is not None and not session.over and session.session_id == event.verdict.session_id
    return ours and not event.known and (state.work is None or state.work.verdict is None)


# ---------------------------------------------------------------- questions to the board


def _board_timer(state: State, event: TimerFired) -> Step:
    """Silence, or the pause after a blind answer: ask again, or give up."""
    if event.name != "board":
        return Step(state)
    work = work_of(state)
    if work.attempt >= state.settings.board_attempts:
        return _give_up_board(state, event.at)
    return ask(state)


def _blind(state: State, at: float, reason: str | None) -> Step:
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
        return _fail_lost(state, at, None)
    if work.stage is not Stage.BOARD_AFTER:
        if state.settings.board_protocol == "sample" and work.trouble is not None:
            return fail(state, at, "before-mismatch", f"the board refuses the position before the move: {why}")
        return fail(state, at, "board-blind", f"the board cannot be read: {why}", expected=before_of(state))
    flicker = state.board is not None and state.board.connected and not state.board.settled
    verdict = classify(before_of(state), rules.placement(work.after), None, grasps=_grasps(work), flicker=flicker)
    return fail(state, at, verdict.code, f"{verdict.reason}: {why}", expected=rules.placement(work.after))


def _board_started(state: State, event: BoardStarted) -> Step:
    work, response = work_of(state), event.response
    if response.request_id is not None and response.request_id not in work.asked:
        return Step(state)
    sample = state.settings.board_protocol == "sample"
    if response.request_id is None and (not sample or response.task_token not in (None, work.token)):
        return Step(state)
    return _board_before_says(state, event.at, response.status, response.placement, response.reason)


def _board_answered_before(state: State, event: BoardAnswered) -> Step:
    if not _is_ours(state, event.response):
        return Step(state)
    response = event.response
    return _board_before_says(state, event.at, response.status, response.placement, response.reason)


def _board_before_says(state: State, at: float, status: int, seen: str | None, reason: str | None) -> Step:
    """Phase 1: what the board shows must be the position before the move; of a person's move it may be the one after."""
    work, before = work_of(state), before_of(state)
    found = _reading(status, seen, before)
    if found is None:
        return _blind(state, at, reason)
    if work.stage is Stage.SETUP:
        return setup_says(state, at, found) if state.arms is not None else _blind(state, at, "nobody reports the arms")
    if found == before:
        return _begin(state, at) if work.stage is Stage.STARTING else _validated(state, at, moved=False)
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


def _fail_before(state: State, at: float, found: str) -> Step:
    """Somebody has touched the table since the last move, or a repair of that has not ended well."""
    work, before = work_of(state), before_of(state)
    against = _against_repair(state, at) or doubt(before, before, found, work.grasps, work.held)
    if against is None and work.wrong != found:
        # a hand may still be in it: what shows the same a while later stands there
        work = fresh_questions(dataclasses.replace(work, wrong=found))
        pause = StartTimer("board", state.settings.repair_look_s)
        return Step(dataclasses.replace(state, work=work), (pause,))
    if against is None:
        return _order_repair(state, at, found, "before", "before-mismatch")
    wrong = differences(before, found)
    words = f"the board does not show the position before the move: {named(wrong)}{_unrepaired(against)}"
    return fail(state, at, "before-mismatch", words, wrong=wrong, expected=before, found=found)


def _is_ours(state: State, response: m.BoardValidateResponse) -> bool:
    work = work_of(state)
    if response.request_id is not None and response.request_id in work.asked:
        return True
    return state.settings.board_protocol == "sample" and response.move == work.request.lan


def _reading(status: int, seen: str | None, expected: str) -> str | None:
    """The settled placement that an answer stands for. The squares count, not the status; no placement and 500 is blind."""
    if seen is None:
        return expected if status == 200 else None
    try:
        return rules.placement(seen)
    except ValueError:
        return None


# ---------------------------------------------------------------- the move itself


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
    shown = state.board is not None and _shows(state.board, rules.placement(work.after))
    step = _enter_after(state, at) if moved or shown else _enter_person(state, at)
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


def _arm_timer(state: State, event: TimerFired) -> Step:
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


def _job_ended(state: State, event: JobEnded) -> Step:
    if event.result.job_id != work_of(state).job_id or event.result == work_of(state).result:
        return Step(state)
    return _job_over(state, event.at, event.result)


def _sample_arm_moved(state: State, event: ArmMoved) -> Step:
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
    step = _look_again(state, at) if _may_look(state) else _enter_parking(state, at)
    return Step(step.state, (*stop, over, *step.effects))


def _look_again(state: State, at: float) -> Step:
    """After a job the board is asked for the position that the job leads to."""
    work = work_of(state)
    if work.progress is None and work.goal == "after":
        return _enter_after(state, at)
    work = enter(work, Stage.BOARD_BEFORE if work.progress is None else Stage.SETUP, at)
    return ask(dataclasses.replace(state, work=work))


def _may_look(state: State) -> bool:
    """The board is asked only when no arm is above it; the sample's arms have no way to say so.

    During a setup the arms are always heard first: their word says what lies beside the board by now.
    """
    result = work_of(state).result
    assert result is not None
    if work_of(state).progress is not None:
        return False
    return result.outcome != "unknown" or result.parked or state.settings.arm_protocol == "sample"


def _enter_parking(state: State, at: float) -> Step:
    work = enter(work_of(state), Stage.PARKING, at)
    return Step(dataclasses.replace(state, work=work), (StartTimer("rest", state.settings.arm_rest_timeout_s),))


def _arms_while_moving(state: State, event: ArmsSeen) -> Step:
    work = work_of(state)
    if work.job is None or state.settings.arm_protocol == "sample":
        return Step(state)
    if event.arms.job_id == work.job_id:
        if work.heard and not _newer(event.arms, work.heard_at):
            return Step(state)
        work = dataclasses.replace(work, heard=True, heard_at=event.arms.at, gone=False, rested=False)
        return Step(dataclasses.replace(state, work=work), (CancelTimer("arm-repeat"),))
    if not work.heard or not _newer(event.arms, work.heard_at):
        return Step(state)
    # the job is over and its result has not come: giving it again is how the result is asked for
    ask = () if work.gone else (StartTimer("arm-repeat", state.settings.arm_repeat_s),)
    work = dataclasses.replace(work, gone=True, rested=_at_rest(event.arms, work))
    return Step(dataclasses.replace(state, work=work), ask)


def _arms_while_parking(state: State, event: ArmsSeen) -> Step:
    work = work_of(state)
    if not _newer(event.arms, work.stage_at) or not _at_rest(event.arms, work):
        return Step(state)
    holding = [Held(arm.name, arm.holding) for arm in event.arms.arms if arm.holding is not None and arm.felt]
    work = dataclasses.replace(work, held=holding[0] if holding else None)
    step = _look_again(dataclasses.replace(state, work=work), event.at)
    return Step(step.state, (CancelTimer("rest"), *step.effects))


def _newer(arms: m.ArmState, at: float) -> bool:
    """Said after that instant. A message can be overtaken: an old "parked" is no news of an arm that moved since.

    0 is a controller without a clock; then the order of arrival must do.
    """
    return arms.at == 0.0 or arms.at > at


def _rest_timer(state: State, event: TimerFired) -> Step:
    """Nobody says that the arms rest. The board is read for the person's sake, but the move is not confirmed."""
    if event.name != "rest":
        return Step(state)
    if work_of(state).progress is not None:
        words = "nobody reports the arms at rest; look at them first"
        return fail(state, event.at, ARM_LOST, words, expected=before_of(state))
    work = dataclasses.replace(work_of(state), lost=True, goal="after")
    return _enter_after(dataclasses.replace(state, work=work), event.at)


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


# ---------------------------------------------------------------- a person moves the pieces


def _enter_person(state: State, at: float) -> Step:
    work = enter(work_of(state), Stage.PERSON, at)
    assert work.person_deadline is not None
    left_s = max(0.0, work.person_deadline - at)
    stop = CancelTimer("board")
    return Step(dataclasses.replace(state, work=work), (stop, StartTimer("person", left_s)))


def _board_while_person(state: State, event: BoardSeen) -> Step:
    if not _shows(event.board, rules.placement(work_of(state).after)):
        return Step(state)
    step = _enter_after(state, event.at)
    return Step(step.state, (CancelTimer("person"), *step.effects))


def _processed_while_person(state: State, event: ProcessedSeen) -> Step:
    if state.settings.board_protocol != "sample" or event.message.lan not in ("", work_of(state).request.lan):
        return Step(state)
    work = dataclasses.replace(work_of(state), processed=event.message)
    step = _enter_after(dataclasses.replace(state, work=work), event.at)
    return Step(step.state, (CancelTimer("person"), *step.effects))


def _person_timer(state: State, event: TimerFired) -> Step:
    if event.name != "person":
        return Step(state)
    return _person_late(state, event.at)


def _person_late(state: State, at: float) -> Step:
    after = rules.placement(work_of(state).after)
    board = state.board
    found = _reading(500, board.placement, after) if board and board.connected and board.settled else None
    wrong = differences(after, found) if found is not None else ()
    what = f"the board shows: {named(wrong)}" if wrong else "the board shows no settled position"
    words = f"the pieces were not moved in time for {work_of(state).request.lan}; {what}"
    return fail(state, at, "deadline", words, wrong=wrong, expected=after, found=found)


def _shows(board: m.BoardState, expected: str) -> bool:
    if not (board.connected and board.settled) or board.placement is None:
        return False
    return _reading(500, board.placement, expected) == expected


# ---------------------------------------------------------------- phase 3


def _enter_after(state: State, at: float) -> Step:
    work = enter(work_of(state), Stage.BOARD_AFTER, at)
    state = dataclasses.replace(state, work=work)
    if state.settings.board_protocol == "edgechess":
        return ask(state)
    if work.processed is not None:
        return _processed_says(state, at, work.processed)
    # the sample's board speaks by itself, once: there is nothing to ask again
    work = dataclasses.replace(work, attempt=state.settings.board_attempts)
    return Step(dataclasses.replace(state, work=work), (StartTimer("board", state.settings.processed_timeout_s),))


def _processed_while_arm(state: State, event: ProcessedSeen) -> Step:
    """The sample's board may notice the move before its arm reports."""
    if state.settings.board_protocol != "sample" or event.message.lan not in ("", work_of(state).request.lan):
        return Step(state)
    return Step(dataclasses.replace(state, work=dataclasses.replace(work_of(state), processed=event.message)))


def _processed_after(state: State, event: ProcessedSeen) -> Step:
    if state.settings.board_protocol != "sample" or event.message.lan not in ("", work_of(state).request.lan):
        return Step(state)
    return _processed_says(state, event.at, event.message)


def _processed_says(state: State, at: float, message: m.BoardProcessed) -> Step:
    work = work_of(state)
    if work.lost:
        return _fail_lost(state, at, rules.placement(work.after) if message.status == 200 else None)
    if message.status == 200:
        return _confirm(state, at)
    reason = message.reason or "the board gave no reason"
    words = f"the board does not show the position after {work.request.lan}: {reason}"
    return fail(state, at, "after-mismatch", words, expected=rules.placement(work.after))


def _board_answered_after(state: State, event: BoardAnswered) -> Step:
    work, response = work_of(state), event.response
    if state.settings.board_protocol == "sample" or not _is_ours(state, response):
        return Step(state)
    after = rules.placement(work.after)
    found = _reading(response.status, response.placement, after)
    if found is None:
        return _blind(state, event.at, response.reason)
    if work.lost:
        return _fail_lost(state, event.at, found)
    if found == after:
        return _confirm(state, event.at)
    if work.executor == "person":
        # a piece was lifted again while we asked; the person still has the board
        assert work.person_deadline is not None
        return _enter_person(state, event.at) if event.at < work.person_deadline else _person_late(state, event.at)
    return _fail_move(state, event.at, found)


def _fail_move(state: State, at: float, found: str) -> Step:
    """The arm was told to move and the board shows something else: say what, square by square."""
    work, before = work_of(state), before_of(state)
    after = rules.placement(work.after)
    verdict = classify(before, after, found, grasps=_grasps(work))
    against = _against_repair(state, at) or doubt(before, after, found, work.grasps, work.held)
    if against is None:
        return _order_repair(state, at, found, "after", verdict.code)
    code: str = verdict.code
    said = _arm_said(work)
    if code == "unchanged" and work.result is not None and work.result.outcome == "refused":
        code = "arm-refused"
        words = f"{said}; the board still shows the position before the move"
    else:
        words = f"{verdict.reason}; {said}" if said else verdict.reason
        words += _unrepaired(against)
    return fail(state, at, code, words, wrong=verdict.differences, expected=after, found=found)


def _fail_lost(state: State, at: float, found: str | None) -> Step:
    after = rules.placement(work_of(state).after)
    wrong = differences(after, found) if found is not None else ()
    shows = named(wrong) if wrong else "the board shows the position after the move" if found else "the board is blind"
    said = _arm_said(work_of(state))
    words = f"what the arm did is unknown and nobody reports it at rest; look at it first. {said}; {shows}"
    return fail(state, at, ARM_LOST, words, wrong=wrong, expected=after, found=found)


# ---------------------------------------------------------------- repairs


def _order_repair(state: State, at: float, found: str, goal: Literal["before", "after"], code: str) -> Step:
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


def _against_repair(state: State, at: float) -> str | None:
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


def _unrepaired(against: str) -> str:
    return f"; no repair: {against}"


def _arm_said(work: Work) -> str:
    result = work.result
    if result is None or result.outcome == "done":
        return ""
    verb = "refused the job" if result.outcome == "refused" else "does not know whether it moved"
    why = ": ".join(word for word in (result.code, result.reason) if word)
    return f"the arm {verb}{f' ({why})' if why else ''}"


# ---------------------------------------------------------------- the end of a request


def _begin(state: State, at: float) -> Step:
    """A start whose position stands on the board. The same session at the same position goes on with its history."""
    work, session = work_of(state), state.session
    request = work.request
    again = (
        session is not None
        and not session.over
        and session.session_id == request.session_id
        and rules.same_position(session.fen, work.after)
    )
    if session is None or not again:
        session = rules.new_session(request.session_id, work.after)
    kind = "resumed" if again else "started"
    return finish(state, at, 200, Draft(kind, {"fen": session.fen}, session.session_id, work.token), session=session)


def _confirm(state: State, at: float) -> Step:
    work = work_of(state)
    assert state.session is not None
    session = rules.advance(state.session, work.request.lan, claim_draws=state.settings.claim_draws)
    data = {"lan": work.request.lan, "san": work.san, "fen": session.fen, "ply": session.ply}
    confirmed = Draft("confirmed", data, session.session_id, work.token)
    if not session.over:
        return finish(state, at, 200, confirmed, session=session)
    data = {"result": session.result, "termination": session.termination, "fen": session.fen}
    ended = Draft("ended", data, session.session_id, work.token)
    return finish(state, at, 200, confirmed, ended, session=session)


# ---------------------------------------------------------------- after a restart


def _restored_at_rest(state: State, event: Restored) -> Step:
    """The last answer may have been lost between journal and bus; the requester cannot know, so it is sent again."""
    if state.last_answer is None or event.at - state.last_answer[0] > state.settings.answer_again_s:
        return Step(state)
    return Step(state, (Answer(state.last_answer[1]),))


def _restored_asking(state: State, event: Restored) -> Step:
    """Nothing physical is under way: phase 1 from its beginning, as soon as an arm that repaired something rests."""
    state = entered_again(state, event.at)
    if work_of(state).result is not None and not _may_look(state):
        return _enter_parking(state, event.at)
    return ask(state)


def _restored_moving(state: State, event: Restored) -> Step:
    """The job's id is journalled: the same job again is answered, not done again. The sample's move is never repeated."""
    state = entered_again(state, event.at)
    work = work_of(state)
    assert work.job is not None
    deadline = StartTimer("arm", job_limit_s(state, work.progress))
    if state.settings.arm_protocol == "sample":
        return Step(state, (deadline,))
    return Step(state, (GiveJob(work.job), StartTimer("arm-repeat", state.settings.arm_repeat_s), deadline))


def _restored_moved(state: State, event: Restored) -> Step:
    state = entered_again(state, event.at)
    return _enter_after(state, event.at) if _may_look(state) else _enter_parking(state, event.at)


def _restored_person(state: State, event: Restored) -> Step:
    """The person has the board, perhaps a piece in the hand: no question now, and no more time than was left.

    What was moved meanwhile the retained state of the board shows. Where the time is over that would come too late, so
    the board is asked; the sample's cannot be.
    """
    state = entered_again(state, event.at)
    deadline = work_of(state).person_deadline
    assert deadline is not None
    if event.at >= deadline and state.settings.board_protocol == "edgechess":
        return _enter_after(state, event.at)
    return _enter_person(state, event.at)


def _grasps(work: Work) -> tuple[m.GraspReport, ...]:
    return work.result.grasps if work.result is not None else ()


# ---------------------------------------------------------------- the table

_REST = (Stage.NO_SESSION, Stage.READY, Stage.ENDED)
_FAILED = "failed: 500"


def _stays(stage: Stage, words: str) -> dict[Stage, str]:
    return {stage: words}


def _table() -> dict[tuple[Stage, type[Any]], Row]:
    n, r, e = _REST
    start, before, arm, park, person, after, repair, setup, setup_arm = (
        Stage.STARTING,
        Stage.BOARD_BEFORE,
        Stage.ARM,
        Stage.PARKING,
        Stage.PERSON,
        Stage.BOARD_AFTER,
        Stage.REPAIR,
        Stage.SETUP,
        Stage.SETUP_ARM,
    )
    table: dict[tuple[Stage, type[Any]], Row] = {}
    for stage in Stage:
        table[stage, MalformedSeen] = Row(_malformed, _stays(stage, "malformed or oversized: 400"))
        table[stage, RequestSeen] = Row(_request, _stays(stage, "busy: 400; its own token: nothing yet"))
        if stage in (before, arm, park, person, after, repair):
            table[stage, VerdictSeen] = Row(
                _verdict_while_moving, _stays(stage, "noted: the session ends with the move")
            )
    table[start, VerdictSeen] = Row(_verdict, _stays(start, "the session before it ends"))
    refused = "refused: 400; repeated token: the same answer"
    for stage in _REST:
        taken = {start: "start received", setup: "setup received"}
        table[stage, RequestSeen] = Row(_request, {stage: refused, **taken})
        table[stage, Restored] = Row(_restored_at_rest, _stays(stage, "restart: the last answer again"))
    table[r, RequestSeen] = Row(_request, {r: refused, **taken, before: "move received", n: "a setup comes too late"})

    table[r, VerdictSeen] = Row(_verdict, {r: "another session", e: "the game is over: resignation, draw by agreement"})

    table[start, Restored] = Row(_restored_asking, _stays(start, "restart: ask again"))
    table[start, TimerFired] = Row(_board_timer, {start: "silence: ask again", **dict.fromkeys(_REST, _FAILED)})
    table[start, BoardStarted] = Row(
        _board_started, {start: "blind: ask again", n: _FAILED, e: _FAILED, r: "started: 200, or failed: 500"}
    )

    table[before, Restored] = Row(_restored_asking, {before: "restart: ask again", park: "restart: wait for the arms"})
    table[before, TimerFired] = Row(_board_timer, {before: "silence: ask again", r: _FAILED})
    table[before, BoardAnswered] = Row(
        _board_answered_before,
        {
            before: "blind: ask again; wrong, and certain: look twice",
            repair: "still wrong: repair",
            arm: "validated, commanded",
            person: "validated: a person moves",
            after: "validated: a person has moved",
            r: _FAILED,
        },
    )

    done = "moved"
    sampled = {r: "sample board: confirmed or failed", e: "sample board: confirmed, game over"}
    table[arm, Restored] = Row(_restored_moving, _stays(arm, "restart: the same job again"))
    table[arm, TimerFired] = Row(
        _arm_timer,
        {
            arm: "not heard of: the same job again",
            park: "silence: unknown",
            after: "silence, arms at rest: unknown",
            **sampled,
        },
    )
    table[arm, JobEnded] = Row(
        _job_ended,
        {
            arm: "another job",
            park: "unknown, not parked",
            after: done,
            **sampled,
        },
    )
    table[arm, ArmMoved] = Row(
        _sample_arm_moved,
        {
            arm: "another move",
            after: done,
            **sampled,
        },
    )
    table[arm, ArmsSeen] = Row(_arms_while_moving, _stays(arm, "job heard of, or over"))
    table[arm, ProcessedSeen] = Row(_processed_while_arm, _stays(arm, "sample board: noted"))

    table[park, Restored] = Row(_restored_moved, {park: "restart: wait for the arms"})
    table[repair, Restored] = Row(_restored_moving, _stays(repair, "restart: the same job again"))
    table[repair, TimerFired] = Row(
        _arm_timer,
        {
            repair: "not heard of: the same job again",
            park: "silence: unknown",
            after: "silence, arms at rest: unknown",
            before: "the same, of a repair before the move",
        },
    )
    table[repair, JobEnded] = Row(
        _job_ended,
        {repair: "another job", park: "unknown, not parked", after: "repaired", before: "repaired before the move"},
    )
    table[repair, ArmsSeen] = Row(_arms_while_moving, _stays(repair, "job heard of, or over"))

    aside = (n, e)  # a running session is over as soon as a setup is taken
    resting = dict.fromkeys(aside, "set up: 200, or a person is needed: 500")
    table[setup, Restored] = Row(_restored_asking, {setup: "restart: ask again", park: "restart: wait for the arms"})
    table[setup, TimerFired] = Row(_board_timer, {setup: "silence: ask again", **dict.fromkeys(aside, _FAILED)})
    table[setup, BoardStarted] = Row(
        _board_started, {setup: "blind: ask again", setup_arm: "not yet: the next job", **resting}
    )
    table[setup_arm, Restored] = Row(_restored_moving, _stays(setup_arm, "restart: the same job again"))
    table[setup_arm, TimerFired] = Row(
        _arm_timer, {setup_arm: "not heard of: the same job again", park: "silence: unknown"}
    )
    table[setup_arm, JobEnded] = Row(_job_ended, {setup_arm: "another job", park: "carried: the arms are heard"})
    table[setup_arm, ArmsSeen] = Row(_arms_while_moving, _stays(setup_arm, "job heard of, or over"))

    table[park, TimerFired] = Row(
        _rest_timer,
        {
            park: "another timer",
            after: "nobody says that the arms rest: lost",
            n: "of a setup: 500",
            r: "sample board: failed",
        },
    )
    table[park, ArmsSeen] = Row(
        _arms_while_parking,
        {
            park: "not at rest",
            after: "arms at rest",
            before: "arms at rest after a repair before the move",
            setup: "arms at rest during a setup",
            **sampled,
        },
    )
    table[park, JobEnded] = Row(
        _job_ended,
        {park: "still unknown", after: "moved after all", before: "repaired before the move after all", **sampled},
    )
    table[park, ProcessedSeen] = Row(_processed_while_arm, _stays(park, "sample board: noted"))

    table[person, Restored] = Row(
        _restored_person, {person: "restart: the time that was left", after: "restart: the time is over, ask"}
    )
    table[person, BoardSeen] = Row(_board_while_person, {person: "not yet", after: "the board shows it"})
    table[person, ProcessedSeen] = Row(_processed_while_person, {person: "another move", **sampled})
    table[person, TimerFired] = Row(_person_timer, {person: "another timer", r: "not moved in time: 500"})

    table[after, Restored] = Row(_restored_moved, {after: "restart: ask again", park: "restart: wait for the arms"})
    table[after, TimerFired] = Row(_board_timer, {after: "silence: ask again", r: _FAILED})
    table[after, BoardAnswered] = Row(
        _board_answered_after,
        {
            after: "blind: ask again",
            repair: "wrong, and certain: repair",
            person: "a piece was lifted again",
            r: "confirmed: 200, or failed: 500",
            e: "confirmed, game over: 200",
        },
    )
    table[after, ProcessedSeen] = Row(
        _processed_after,
        {after: "another move", **sampled},
    )
    for (stage, event), row in table.items():
        if stage in (before, arm, park, person, after, repair) and r in row.to and e not in row.to:
            table[stage, event] = Row(row.decide, {**row.to, e: "failed: 500, and the session ended meanwhile"})
    return table


TABLE: Mapping[tuple[Stage, type[Any]], Row] = _table()

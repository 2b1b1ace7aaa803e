"""A request is taken, refused, or answered again. Pure."""

from __future__ import annotations

import dataclasses

import msgspec

from edgechess_game_manager import rules
from edgechess_game_manager.answers import answer, answer_malformed, stored
from edgechess_game_manager.effects import (
    Answer,
    Desire,
    Write,
)
from edgechess_game_manager.events import (
    MalformedSeen,
    RequestSeen,
)
from edgechess_game_manager.rules import LegalMove, Refusal
from edgechess_game_manager.state import (
    PHASES,
    Progress,
    Stage,
    State,
    Work,
)
from edgechess_game_manager.steps import (
    Step,
    ask,
    fail,
    is_late,
)
from edgechess_kit import messages as m
from edgechess_kit.journal import Draft


def take_request(state: State, event: RequestSeen) -> Step:
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


def take_malformed(state: State, event: MalformedSeen) -> Step:
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

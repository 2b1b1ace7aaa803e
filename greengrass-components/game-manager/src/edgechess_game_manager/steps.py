"""What every decision of the machine is made of: asking the board, entering a stage, and the one way out of a request."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import msgspec

from edgechess_game_manager import rules
from edgechess_game_manager.answers import answer, stored
from edgechess_game_manager.effects import (
    Answer,
    AskBoard,
    AskBoardStart,
    CancelTimers,
    Effect,
    Report,
    StartTimer,
    Write,
)
from edgechess_game_manager.rules import Verdict
from edgechess_game_manager.state import PHASES, Stage, State, Work
from edgechess_game_manager.state import answered as after_answer
from edgechess_kit import messages as m
from edgechess_kit.journal import Draft


class Step(NamedTuple):
    state: State
    effects: tuple[Effect, ...] = ()


def ask(state: State) -> Step:
    """The next attempt of the stage's question, and the timer of its silence."""
    work, settings = work_of(state), state.settings
    attempt = work.attempt + 1
    sample = settings.board_protocol == "sample"
    question = f"{work.move_id}-{state.life}-{work.stage.value}-{work.visit}-{attempt}"
    work = dataclasses.replace(work, attempt=attempt, asked=(*work.asked, question))
    request = work.request if sample else msgspec.structs.replace(work.request, request_id=question)
    if work.stage in (Stage.STARTING, Stage.SETUP):
        effect: Effect = AskBoardStart(request)
    else:
        effect = AskBoard(
            m.BoardValidateRequest(
                **msgspec.structs.asdict(request),
                move_type="RETRY" if attempt > 1 else None,
                expect="after" if work.stage is Stage.BOARD_AFTER else "before",
            )
        )
    timer = StartTimer("board", settings.board_timeout_s)
    return Step(dataclasses.replace(state, work=work), (effect, timer))


def fail(
    state: State,
    at: float,
    code: str,
    reason: str,
    *,
    wrong: tuple[m.SquareDifference, ...] = (),
    expected: str | None = None,
    found: str | None = None,
) -> Step:
    """Status 500: final for this token. What is confirmed stays what it was."""
    work = work_of(state)
    phase = PHASES[work.stage]
    failed = Draft(
        "failed", {"code": code, "phase": phase, "lan": work.request.lan}, work.request.session_id, work.token
    )
    detail = m.ResponseDetail(phase=phase, code=code, differences=wrong, expected=expected, found=found)
    return finish(state, at, 500, failed, detail=detail, reason=f"{phase}: {reason}")


def finish(
    state: State,
    at: float,
    status: Literal[200, 500],
    *drafts: Draft,
    session: rules.Session | None = None,
    detail: m.ResponseDetail | None = None,
    reason: str | None = None,
) -> Step:
    """The one way out of a request: what it came to and its answer become durable together, then it is answered."""
    work = work_of(state)
    current = session or state.session
    if work.verdict is not None and current is not None and not current.over:
        session = rules.close(current, work.verdict)
        drafts = (*drafts, ended_by(dataclasses.replace(state, session=session), work.verdict))
    detail = msgspec.structs.replace(
        detail or m.ResponseDetail(),
        job_id=work.job.job_id if work.job is not None else None,
        repaired=work.repairs,
        timings_s=_timings(work, at),
        result=session.result if session is not None else None,
        termination=session.termination if session is not None else None,
    )
    response = answer(work.request, status, detail, reason)
    answered = stored(response, work.request.session_id)
    begun = work.request.action == "start" and session is not None and session is not state.session
    repairs = 0 if begun else state.repairs
    state = dataclasses.replace(state, session=session or state.session, repairs=repairs)
    state = after_answer(state, work, response)
    effects = (CancelTimers(), Write((*drafts, answered)), Answer(response), Report(work.request, response))
    return Step(state, effects)


def _timings(work: Work, at: float) -> dict[str, float]:
    """Seconds in each phase, and in all. A phase entered twice (a person lifted a piece again) is added up."""
    spent: dict[str, float] = {}
    for name, seconds in (*work.timings, (PHASES[work.stage], at - work.stage_at)):
        spent[name] = spent.get(name, 0.0) + seconds
    spent["total"] = at - work.received_at
    return {name: round(max(0.0, seconds), 4) for name, seconds in spent.items()}


def ended_by(state: State, verdict: Verdict) -> Draft:
    assert state.session is not None
    data = {"result": verdict.result, "termination": verdict.termination, "fen": state.session.fen}
    return Draft("ended", data, verdict.session_id, verdict.request_id)


def entered_again(state: State, at: float) -> State:
    return dataclasses.replace(state, work=dataclasses.replace(work_of(state), stage_at=at))


def work_of(state: State) -> Work:
    assert state.work is not None
    return state.work


def before_of(state: State) -> str:
    """The placement that phase 1 expects: what is confirmed, or what a start or a setup asks for."""
    work = work_of(state)
    if work.request.action != "move":
        return rules.placement(work.after)
    assert state.session is not None
    return rules.placement(state.session.fen)


def enter(work: Work, stage: Stage, at: float) -> Work:
    timings = (*work.timings, (PHASES[work.stage], at - work.stage_at))
    return fresh_questions(dataclasses.replace(work, stage=stage, stage_at=at, timings=timings))


def fresh_questions(work: Work) -> Work:
    """What the board is asked from now on; no answer to an earlier question counts."""
    return dataclasses.replace(work, visit=work.visit + 1, attempt=0, asked=(), trouble=None)


def is_late(work: Work, at: float) -> bool:
    return work.request.deadline is not None and at >= work.request.deadline

"""The end of a game by somebody's word: resignation, draw by agreement. Pure."""

from __future__ import annotations

import dataclasses

import msgspec

from edgechess_game_manager import rules
from edgechess_game_manager.effects import (
    Write,
)
from edgechess_game_manager.events import (
    VerdictSeen,
)
from edgechess_game_manager.state import (
    State,
)
from edgechess_game_manager.steps import (
    Step,
    ended_by,
    work_of,
)
from edgechess_kit.journal import Draft


def take_verdict(state: State, event: VerdictSeen) -> Step:
    """At rest, and during a start, which moves nothing and replaces the session anyway: the session ends now."""
    session, verdict = state.session, event.verdict
    if session is None or not _heeded(state, event):
        return Step(state)
    return Step(
        dataclasses.replace(state, session=rules.close(session, verdict)), (Write((ended_by(state, verdict),)),)
    )


def take_verdict_while_moving(state: State, event: VerdictSeen) -> Step:
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

"""The good ends: a start whose position stands on the board, a move that it shows. Pure."""

from __future__ import annotations

from edgechess_game_manager import rules
from edgechess_game_manager.state import (
    State,
)
from edgechess_game_manager.steps import (
    Step,
    finish,
    work_of,
)
from edgechess_kit.journal import Draft


def begin(state: State, at: float) -> Step:
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


def confirm(state: State, at: float) -> Step:
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

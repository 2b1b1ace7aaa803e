"""`fold(state, message, at) -> state`: what a message of the bus changes. Pure, and safe for any message that decodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import msgspec

from edgechess_console.naming import player_title
from edgechess_console.position import after, board_of, captured, placement_of, same_placement, san_of
from edgechess_console.state import Asking, Chosen, Failure, Passed, Plan, Pulse, State
from edgechess_console.telling import Data, inner, moment, number, told, words
from edgechess_console.view import EVENTS_LIMIT, MOVES_LIMIT, EventPart, MovePart, PlayerPart, ThoughtPart
from edgechess_kit.messages import (
    ArmState,
    BoardState,
    EdgeEvent,
    EdgeStatus,
    GameResponse,
    InferenceStatus,
    Message,
    ResponseDetail,
    SessionState,
)

PULSES_LIMIT = 32  # components of one table; a flood of made-up names must not grow the view
MODELS_LIMIT = 32
FAILURES_LIMIT = 8  # of one thought that are shown
OVERTAKEN_S = 30.0  # a state older than the last by up to this was overtaken on its way; by more, a clock was set
NAME_LIMIT = 200  # characters of a player's word
REASON_LIMIT = 1000

DIRECTOR = "match-director"


def fold(state: State, message: Message, at: float) -> State:
    """The state after one message. `at`: when it came, Unix seconds. What it is not concerned with changes nothing."""
    state = dataclasses.replace(state, at=at)
    match message:
        case SessionState():
            return _session(state, message, at)
        case BoardState():
            return _board(state, message)
        case ArmState():
            overtaken = state.arms is not None and state.arms.at - OVERTAKEN_S < message.at < state.arms.at
            return state if overtaken else dataclasses.replace(state, arms=message)
        case GameResponse():
            return _response(state, message, at)
        case EdgeStatus():
            return _status(state, message, at)
        case EdgeEvent():
            return _event(state, message)
        case InferenceStatus():
            return dataclasses.replace(state, models=message.models[:MODELS_LIMIT])
        case _:
            return state


# ---------------------------------------------------------------- states of others


def _session(state: State, session: SessionState, at: float) -> State:
    old = state.session
    if old is not None and old.session_id == session.session_id and None not in (old.seq, session.seq):
        assert old.seq is not None
        assert session.seq is not None
        if session.seq < old.seq:
            return state  # overtaken on its way
    if old is None or old.session_id != session.session_id:
        state = _other_session(state, session)
    if session.phase != (old.phase if old is not None else None):
        state = _phase(state, session, at)
    if session.status == "ended" and (state.plan is None or state.plan.session_id == session.session_id):
        state = dataclasses.replace(state, result=session.result, termination=session.termination, asking=None)
    return _caught_up(dataclasses.replace(state, session=session))


def _other_session(state: State, session: SessionState) -> State:
    """The manager speaks of another game: what was known of the last one is over, unless the director announced it."""
    if state.plan is not None and state.plan.session_id == session.session_id:
        return state
    return dataclasses.replace(
        state, plan=None, asking=None, chosen=None, paused=False, draw_offers=(), started_at=None, result=None,
        termination=None, players=(PlayerPart(), PlayerPart()), moves=(), captured=("", ""), passed=(), failure=None,
        created=False, evaluation=None,
    )  # fmt: skip


def _phase(state: State, session: SessionState, at: float) -> State:
    """Phases begin and end as the manager shows them; the exact times come with its answer."""
    passed = _closed(state.passed, at)
    if session.phase in ("board-before", "arm", "board-after"):
        if session.phase == "board-before":
            passed = tuple(item for item in passed if item.phase == "think")
        passed = (*(item for item in passed if item.phase != session.phase), Passed(session.phase, at))
    return dataclasses.replace(state, passed=passed)


def _closed(passed: tuple[Passed, ...], at: float) -> tuple[Passed, ...]:
    return tuple(
        dataclasses.replace(item, took_s=round(max(at - item.since, 0.0), 3)) if item.took_s is None else item
        for item in passed
    )


def _caught_up(state: State) -> State:
    """Moves that the manager has confirmed and nobody told us: a console that was started later, or no director."""
    session = state.session
    if session is None or session.fen is None or len(state.moves) >= session.ply:
        return state
    missing = session.ply - (state.moves[-1].ply if state.moves else 0)
    fen = state.moves[-1].fen if state.moves else session.start_fen
    if missing > len(session.moves):
        return state
    for lan in session.moves[len(session.moves) - missing :]:
        board = after(fen, lan)
        if board is None:
            return state
        ply = state.moves[-1].ply + 1 if state.moves else 1
        move = MovePart(ply=ply, lan=lan, san=san_of(fen, lan) or lan, fen=board.fen(), at=state.at)
        state = _with_move(state, move)
        fen = board.fen()
    return state


def _board(state: State, board: BoardState) -> State:
    old = state.board
    if old is not None and old.at - OVERTAKEN_S < board.at < old.at:
        return state
    failure = state.failure
    if failure is not None and board.settled and same_placement(board.placement, failure.detail.expected):
        failure = None  # put right: the director asks again
    return dataclasses.replace(state, board=board, failure=failure)


def _response(state: State, response: GameResponse, at: float) -> State:
    if response.status == 200:
        return dataclasses.replace(state, failure=None)
    if response.status == 400:
        return state  # nothing was touched: whoever asked is told why, and the director ends or asks again
    detail = response.detail or ResponseDetail()
    passed = _closed(state.passed, at)
    if passed:
        passed = (*passed[:-1], dataclasses.replace(passed[-1], failed=True))
    failure = Failure(at, (response.reason or "")[:REASON_LIMIT], detail, response.session_id)
    return dataclasses.replace(state, failure=failure, passed=passed)


def _status(state: State, status: EdgeStatus, at: float) -> State:
    others = tuple(pulse for pulse in state.pulses if pulse.status.component != status.component)
    pulses = sorted((*others[: PULSES_LIMIT - 1], Pulse(status, at)), key=lambda pulse: pulse.status.component)
    return dataclasses.replace(state, pulses=tuple(pulses))


# ---------------------------------------------------------------- journal entries of others


def _event(state: State, event: EdgeEvent) -> State:
    level, text = told(event)
    n = state.events[-1].n + 1 if state.events else 1
    line = EventPart(
        n=n, at=event.at, component=event.component, kind=event.kind, level=level, text=text,
        session_id=event.session_id,
    )  # fmt: skip
    state = dataclasses.replace(state, events=(*state.events, line)[-EVENTS_LIMIT:])
    change = _OF_THE_DIRECTOR.get(event.kind) if event.component == DIRECTOR else None
    if change is None or not _of_this_session(state, event):
        return state
    return change(state, event)


def _of_this_session(state: State, event: EdgeEvent) -> bool:
    return event.kind == "session-created" or state.plan is None or event.session_id == state.plan.session_id


def _created(state: State, event: EdgeEvent) -> State:
    data = event.data
    names = (words(data, "white")[:NAME_LIMIT], words(data, "black")[:NAME_LIMIT])
    seats = (words(data, "white_seat"), words(data, "black_seat"))
    start = words(data, "start_fen")
    plan = Plan(
        words(data, "session_id") or event.session_id or "",
        names,
        seats,
        start if placement_of(start) is not None else None,
        data.get("robot_enabled") is not False,
    )
    white, black = (_player(word, seat) for word, seat in zip(names, seats, strict=True))
    return dataclasses.replace(
        state, plan=plan, created=True, asking=None, chosen=None, paused=False, draw_offers=(), started_at=None,
        result=None, termination=None, players=(white, black), moves=(), captured=("", ""), passed=(), failure=None,
        evaluation=None,
    )  # fmt: skip


def _player(word: str, seat: str) -> PlayerPart:
    return PlayerPart(word=word, name=player_title(word), seat=seat or None)


def _started(state: State, event: EdgeEvent) -> State:
    return dataclasses.replace(state, created=False, started_at=moment(event.data, "started_at") or event.at)


def _asked(state: State, event: EdgeEvent) -> State:
    data = event.data
    color: Literal["w", "b"] = "b" if data.get("color") == "b" else "w"
    attempt = int(number(data, "attempt") or 1)
    asking = Asking(
        color, words(data, "seat") or "answers", moment(data, "since") or event.at, attempt,
        int(number(data, "ply") or 0),
    )  # fmt: skip
    passed = (Passed("think", asking.since),)
    return dataclasses.replace(
        state, asking=asking, chosen=None, passed=passed, tries=1, created=False
    )  # fmt: skip


def _chosen(state: State, event: EdgeEvent) -> State:
    data, ply = event.data, int(number(event.data, "ply") or 0)
    thought, think_s = thought_of(data), number(data, "think_s") or 0.0
    chosen = Chosen(ply, words(data, "lan"), words(data, "san"), think_s, thought, data.get("entered") is True)
    since = state.asking.since if state.asking is not None else event.at - think_s
    color = state.asking.color if state.asking is not None else "w" if ply % 2 else "b"
    white, black = state.players
    if color == "w":
        white = _having_chosen(white, data, thought, think_s)
    else:
        black = _having_chosen(black, data, thought, think_s)
    return dataclasses.replace(
        state, chosen=chosen, asking=None, players=(white, black), passed=(Passed("think", since, think_s),)
    )


def _having_chosen(player: PlayerPart, data: Data, thought: ThoughtPart, think_s: float) -> PlayerPart:
    """Only players that climb the ladder can be wrong at first: they alone are counted as asked."""
    climbs = bool(inner(data, "thought"))
    first = climbs and thought.attempts <= 1 and not thought.failures and not thought.fallback
    return msgspec.structs.replace(
        player,
        used_s=round(player.used_s + think_s, 3),
        last=thought,
        moves=player.moves + 1,
        asked=player.asked + climbs,
        legal_first=player.legal_first + first,
        fallbacks=player.fallbacks + thought.fallback,
        failure=None,
    )


def thought_of(data: Data) -> ThoughtPart:
    """From an entry "move-chosen" or "confirmed"."""
    thought = inner(data, "thought")
    failures = thought.get("failures")
    told_failures = failures if isinstance(failures, list) else []
    return ThoughtPart(
        by=player_title(words(data, "by")),
        san=words(data, "san")[:12],
        took_s=number(data, "think_s") or 0.0,
        attempts=int(number(thought, "attempts") or 1),
        failures=tuple(str(item)[:80] for item in told_failures[:FAILURES_LIMIT]),
        fallback=thought.get("fallback") is True,
        constrained=thought.get("constrained") is True,
        reason=words(data, "reason")[:REASON_LIMIT] or None,
    )


def _requested(state: State, event: EdgeEvent) -> State:
    return dataclasses.replace(state, tries=max(int(number(event.data, "requests") or 1), 1))


def _confirmed(state: State, event: EdgeEvent) -> State:
    move = move_of(event.data)
    if move is None:
        return state
    passed = tuple(
        dataclasses.replace(item, took_s=move.timings.get(item.phase, item.took_s), failed=False)
        for item in _closed(state.passed, event.at)
    )
    state = dataclasses.replace(state, failure=None, passed=passed, draw_offers=())
    return _with_move(state, move)


def move_of(data: Data) -> MovePart | None:
    """From the director's entry "confirmed"; None for one that tells of no position."""
    ply, fen = number(data, "ply"), words(data, "fen")
    if ply is None or not 1 <= ply <= MOVES_LIMIT or board_of(fen) is None:
        return None
    timings = inner(data, "timings")
    return MovePart(
        ply=int(ply),
        lan=words(data, "lan")[:5],
        san=words(data, "san")[:12],
        fen=fen,
        by=player_title(words(data, "by")),
        think_s=number(data, "think_s") or 0.0,
        at=moment(data, "at") or 0.0,
        timings={name: value for name in TIMINGS if (value := number(timings, name)) is not None},
        executor=words(data, "executor") or None,
        helped=data.get("helped") is True,
        retried=int(number(data, "retried") or 0),
        repaired=int(number(data, "repaired") or 0),
        thought=thought_of(data) if inner(data, "thought") else None,
    )


def _with_move(state: State, move: MovePart) -> State:
    """In its place: told twice, or by the manager first and by the director later, it is there once."""
    moves = state.moves
    if moves and moves[-1].ply >= move.ply:
        kept = tuple(move if old.ply == move.ply else old for old in moves)
        return dataclasses.replace(state, moves=kept)
    before = moves[-1].fen if moves else _start(state)
    lost = captured(before, move.fen)
    white, black = state.captured
    return dataclasses.replace(
        state, moves=(*moves, move)[-MOVES_LIMIT:], captured=(white + lost["w"], black + lost["b"])
    )


def _start(state: State) -> str | None:
    if state.session is not None and state.session.start_fen is not None:
        return state.session.start_fen
    return state.plan.start_fen if state.plan is not None else None


def _player_failed(state: State, event: EdgeEvent) -> State:
    reason = words(event.data, "reason")[:REASON_LIMIT]
    white, black = state.players
    if event.data.get("color") == "b":
        black = msgspec.structs.replace(black, failure=reason)
    else:
        white = msgspec.structs.replace(white, failure=reason)
    return dataclasses.replace(state, players=(white, black))


def _paused(state: State, event: EdgeEvent) -> State:
    return dataclasses.replace(state, paused=event.kind == "paused")


def _offered(state: State, event: EdgeEvent) -> State:
    color = words(event.data, "color")
    known = color not in ("w", "b") or color in state.draw_offers
    return state if known else dataclasses.replace(state, draw_offers=(*state.draw_offers, color))


def _over(state: State, event: EdgeEvent) -> State:
    result, how = words(event.data, "result") or None, words(event.data, "termination") or None
    return dataclasses.replace(
        state, result=result, termination=how, asking=None, chosen=None, paused=False, created=False, draw_offers=(),
        failure=None,
    )  # fmt: skip


TIMINGS = ("board-before", "arm", "board-after", "total")

_OF_THE_DIRECTOR: dict[str, Callable[[State, EdgeEvent], State]] = {
    "session-created": _created,
    "session-started": _started,
    "asking": _asked,
    "move-chosen": _chosen,
    "requested": _requested,
    "confirmed": _confirmed,
    "player-failed": _player_failed,
    "paused": _paused,
    "resumed": _paused,
    "draw-offered": _offered,
    "summary": _over,
}

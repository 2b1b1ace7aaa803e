"""What the sensor concludes and says, as pure decisions: `decide(state, event) -> (state, effects)`.

It knows the board's latest reading, what the session has confirmed, and what it has announced so far. A person's move is
announced when the placement has settled on it and nobody's hand can be in the middle of a longer move; while an arm is
to move, the sensor says what it sees and announces nothing. Announcements that turn out to be half a move (a slide that
went on after a rest, a castling begun with the rook) are taken back and replaced.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from edgechess_board.placement import Difference, Placement, square_name
from edgechess_board.smart_board import Reading
from edgechess_board_sensor.position import Line, same_position
from edgechess_board_sensor.recognition import Ambiguous, Recognised, Wrong, explain, recognise
from edgechess_kit.messages import SessionState

SEEN_LIMIT = 64  # readings kept as evidence of what happened on the way; two hurried plies make about ten


@dataclasses.dataclass(frozen=True, slots=True)
class Waits:
    """How long a settled move that may be the first half of another is watched before it is announced."""

    slide_s: float = 0.75
    """A piece pushed slowly rests on no square longer than this: 55 mm at 120 mm/s, and a scan to see it leave."""
    castling_s: float = 1.5
    """From letting go of the rook to lifting the king. People take their time; an announcement can be corrected."""
    unseen_s: float = 3.0
    """For several plies at once of which the positions between were not seen. Two pieces in two hands can look like
    them: Rb5xa5 half done is also Rxb4 Qa5xb4 where queens stood on both squares."""


# ------------------------------------------------------------------------------------------------ events


@dataclasses.dataclass(frozen=True, slots=True)
class BoardConnected:
    at_s: float
    board_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class BoardLost:
    at_s: float
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class BoardRead:
    at_s: float
    reading: Reading
    rotated: bool


@dataclasses.dataclass(frozen=True, slots=True)
class SessionShown:
    at_s: float
    session: SessionState


@dataclasses.dataclass(frozen=True, slots=True)
class MoveAwaited:
    """A manager that knows only the sample's topics will wait for `board/processed` after this move."""

    at_s: float
    lan: str
    after: Placement
    until_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Woken:
    """`wake_at_s` has come."""

    at_s: float


Event = BoardConnected | BoardLost | BoardRead | SessionShown | MoveAwaited | Woken


# ------------------------------------------------------------------------------------------------ effects


@dataclasses.dataclass(frozen=True, slots=True)
class Show:
    """The content of `board/state`."""

    connected: bool
    settled: bool = False
    placement: Placement | None = None
    rotated: bool = False
    board_id: str | None = None
    differences: tuple[Difference, ...] = ()
    reason: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Announce:
    """One `board/moved`: the ply `lan` leads from `shorter` to `longer`; a take-back goes the other way."""

    kind: Literal["move", "takeback"]
    session_id: str
    lan: str
    shorter: Line
    longer: Line


@dataclasses.dataclass(frozen=True, slots=True)
class Processed:
    """One `board/processed`."""

    status: Literal[200, 500]
    lan: str
    reason: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Expect:
    """Tell the board what should stand on it."""

    placement: Placement


Effect = Show | Announce | Processed | Expect


# ------------------------------------------------------------------------------------------------ state


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """The running session: what is confirmed, and who is to move the pieces."""

    session_id: str
    line: Line
    arm_moves: bool = False
    awaited: Placement | None = None
    """The placement after the move that a person was asked to make."""
    correctable: bool = False
    """The last confirmed ply was a person's, announced from here."""


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """`wake_at_s`: feed `Woken` then (None: nothing to wait for)."""

    waits: Waits = Waits()
    board_id: str | None = None
    reason: str | None = "the board is not connected yet"
    """Why nothing is seen; None while the board is connected."""
    reading: Reading | None = None
    rotated: bool = False
    session: Session | None = None
    announced: Line | None = None
    """Where announcements and confirmations have led so far."""
    pending: Line | None = None
    pending_until_s: float = 0.0
    seen: tuple[Placement, ...] = ()
    """What the board has shown lately, newest last, provisional readings included."""
    awaited: MoveAwaited | None = None
    shown: Show | None = None

    @property
    def wake_at_s(self) -> float | None:
        times = [self.pending_until_s] if self.pending is not None else []
        if self.awaited is not None:
            times.append(self.awaited.until_s)
        return min(times) if times else None


Decision = tuple[State, tuple[Effect, ...]]


def decide(state: State, event: Event) -> Decision:
    """One event. Times are the scheduler's and never run backwards."""
    effects: tuple[Effect, ...] = ()
    match event:
        case BoardConnected():
            state = dataclasses.replace(state, board_id=event.board_id, reason=None, reading=None, seen=())
        case BoardLost():
            state = dataclasses.replace(state, reason=event.reason, reading=None, pending=None, seen=())
        case BoardRead():
            state = _read(state, event)
        case SessionShown():
            state, effects = _follow(state, event.session)
        case MoveAwaited():
            state = dataclasses.replace(state, awaited=event)
        case Woken():
            pass
    return _conclude(state, event.at_s, effects)


def _read(state: State, event: BoardRead) -> State:
    reading = event.reading
    seen = (*state.seen, reading.placement)[-SEEN_LIMIT:]
    return dataclasses.replace(state, reading=reading, rotated=event.rotated, seen=seen)


def _follow(state: State, shown: SessionState) -> Decision:
    """Take over what the session has confirmed, unless the message is older than what is known."""
    before = state.session
    if shown.status != "running" or shown.session_id is None or shown.fen is None:
        return dataclasses.replace(state, session=None, announced=None, pending=None), ()
    same = before is not None and before.session_id == shown.session_id
    if same and before is not None and 0 < shown.ply < before.line.ply:
        return state, ()
    try:
        line = _confirmed(before.line if same and before is not None else None, shown)
        awaited = line.forward(shown.lan).placement if shown.lan and shown.expecting == "person" else None
    except ValueError:
        return state, ()  # a position that is none: the manager's own fault, and said by it
    announced = line
    correctable = False
    if same and before is not None and state.announced is not None:
        rebased = _rebased(state.announced, line)
        if rebased is not None:
            announced = rebased
            correctable = before.correctable if line.ply == before.line.ply else rebased.continues(line)
    session = Session(shown.session_id, line, shown.expecting == "arm", awaited, correctable)
    state = dataclasses.replace(state, session=session, announced=announced)
    return state, (Expect(line.placement),) if before is None or before.line != line else ()


def _confirmed(known: Line | None, shown: SessionState) -> Line:
    """The session's line with as many of its last plies as can be made sure of. Raises ValueError for no position."""
    assert shown.fen is not None
    bare = Line(shown.fen, (), shown.ply)
    for candidate in _candidates(known, shown):
        if same_position(candidate.fen, shown.fen):
            return candidate.trimmed()
    return bare


def _candidates(known: Line | None, shown: SessionState) -> list[Line]:
    found = []
    try:
        if known is not None and 0 <= shown.ply - known.ply <= len(shown.moves):
            found.append(known.forward(*shown.moves[len(shown.moves) - (shown.ply - known.ply) :]))
        if shown.start_fen is not None and len(shown.moves) == shown.ply:
            found.append(Line(shown.start_fen, shown.moves, shown.ply))
    except ValueError:
        pass  # moves that do not fit what is known: the position alone is taken
    return found


def _rebased(announced: Line, line: Line) -> Line | None:
    """What was announced, counted from the new line's base; None when it does not lead there."""
    skipped = line.ply - len(line.moves) - (announced.ply - len(announced.moves))
    if not 0 <= skipped <= len(announced.moves):
        return None
    try:
        rebased = Line(line.base_fen, announced.moves[skipped:], announced.ply)
    except ValueError:
        return None
    same = same_position(announced.back(len(rebased.moves)).fen, line.base_fen)
    return rebased if same and rebased.continues(line) else None


# ------------------------------------------------------------------------------------------------ conclusions


def _conclude(state: State, at_s: float, effects: tuple[Effect, ...]) -> Decision:
    state, processed = _await_move(state, at_s)
    state, differences, reason = _interpret(state, at_s)
    state, announced = _announce(state, at_s)
    state, shown = _show(state, differences, reason)
    return state, (*effects, *shown, *announced, *processed)


def _interpret(state: State, at_s: float) -> tuple[State, tuple[Difference, ...], str | None]:
    """What the reading means: the line to announce (pending), the squares that are wrong, a sentence about it."""
    reading, session = state.reading, state.session
    if reading is None:
        return dataclasses.replace(state, pending=None), (), state.reason
    if reading.flickering:
        names = ", ".join(square_name(square) for square in reading.flickering)
        return dataclasses.replace(state, pending=None), (), f"{names} keeps changing: is a piece off its centre?"
    if session is None or session.arm_moves or not reading.settled:
        return dataclasses.replace(state, pending=None), (), None
    finding = recognise(reading.placement, session.line, correctable=session.correctable)
    if isinstance(finding, Ambiguous):
        finding = _by_what_was_seen(finding, session.line, state.seen)
    match finding:
        case Wrong(differences):
            nearer = _nearer(reading.placement, session) or differences
            return dataclasses.replace(state, pending=None), nearer, explain(nearer)
        case Ambiguous(choices):
            texts = " or ".join(" ".join(choice.played) or f"{choice.taken_back} plies back" for choice in choices)
            return dataclasses.replace(state, pending=None), (), f"the board shows {texts}: which one cannot be told"
        case Recognised():
            target = session.line.back(finding.taken_back).forward(*finding.played)
            if target == state.announced:
                return dataclasses.replace(state, pending=None), (), None
            if target != state.pending:
                due_s = at_s + _wait_s(state, finding, session.line)
                state = dataclasses.replace(state, pending=target, pending_until_s=due_s)
            return state, (), None


def _nearer(placement: Placement, session: Session) -> tuple[Difference, ...] | None:
    """Against the move that was asked for, where the board is at least as near to it as to the position before."""
    if session.awaited is None:
        return None
    after = placement.differences(session.awaited)
    return after if len(after) <= len(placement.differences(session.line.placement)) else None


def _by_what_was_seen(finding: Ambiguous, line: Line, seen: tuple[Placement, ...]) -> Recognised | Ambiguous:
    """The one history whose intermediate positions the board has shown on the way."""
    fitting = [choice for choice in finding.choices if all(step in seen for step in _steps(choice, line))]
    return fitting[0] if len(fitting) == 1 else finding


def _steps(choice: Recognised, line: Line) -> list[Placement]:
    back = [line.back(plies).placement for plies in range(1, choice.taken_back)]
    start = line.back(choice.taken_back)
    return back + [start.forward(*choice.played[:plies]).placement for plies in range(1, len(choice.played))]


def _wait_s(state: State, finding: Recognised, line: Line) -> float:
    if not finding.taken_back and not finding.played:
        return 0.0  # back to what is confirmed
    waits = [0.0]
    if finding.may_become == "castling":
        waits.append(state.waits.castling_s)
    if finding.may_become == "slide" or finding.taken_back:  # a piece on its way back may go on, too
        waits.append(state.waits.slide_s)
    if not all(step in state.seen for step in _steps(finding, line)):
        waits.append(state.waits.unseen_s)
    return max(waits)


def _announce(state: State, at_s: float) -> Decision:
    """Announce the pending line once its time has come: what it takes back, newest first, then what it plays."""
    if state.pending is None or state.session is None or state.announced is None or at_s < state.pending_until_s:
        return state, ()
    back, played = state.announced.plies_apart(state.pending)
    line = state.announced
    effects: list[Effect] = []
    for _ in range(back):
        effects.append(Announce("takeback", state.session.session_id, line.moves[-1], line.back(1), line))
        line = line.back(1)
    for move in played:
        effects.append(Announce("move", state.session.session_id, move, line, line.forward(move)))
        line = line.forward(move)
    return dataclasses.replace(state, announced=line, pending=None, seen=()), tuple(effects)


def _await_move(state: State, at_s: float) -> Decision:
    awaited, reading = state.awaited, state.reading
    if awaited is None:
        return state, ()
    if reading is not None and reading.settled and reading.placement == awaited.after:
        return dataclasses.replace(state, awaited=None), (Processed(200, awaited.lan),)
    if at_s >= awaited.until_s:
        reason = explain(reading.placement.differences(awaited.after)) if reading is not None else state.reason
        return dataclasses.replace(state, awaited=None), (Processed(500, awaited.lan, reason),)
    return state, ()


def _show(state: State, differences: tuple[Difference, ...], reason: str | None) -> Decision:
    """`board/state`, if it is news."""
    if state.reason is not None:
        show = Show(connected=False, board_id=state.board_id, rotated=state.rotated, reason=state.reason)
    elif state.reading is None:
        show = Show(connected=True, board_id=state.board_id, rotated=state.rotated)
    else:
        show = Show(
            connected=True,
            settled=state.reading.settled,
            placement=state.reading.placement,
            rotated=state.rotated,
            board_id=state.board_id,
            differences=differences,
            reason=reason,
        )
    if show == state.shown:
        return state, ()
    return dataclasses.replace(state, shown=show), (show,)

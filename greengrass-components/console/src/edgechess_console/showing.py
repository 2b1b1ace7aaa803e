"""`show(state, table) -> View`: what the page is told of what is known. Pure."""

from __future__ import annotations

from typing import Literal, get_args

import chess
import msgspec

from edgechess_console import position
from edgechess_console.settings import Settings
from edgechess_console.state import Passed, State
from edgechess_console.trouble import SILENT_AFTER_S, explain
from edgechess_console.view import (
    ArmPart,
    ArmsPart,
    BoardPart,
    BusPart,
    Color,
    DifferencePart,
    HealthPart,
    PhaseName,
    PhasePart,
    PhaseState,
    PlayerPart,
    SessionPart,
    SitePart,
    SlotPart,
    TablePart,
    TimelinePart,
    TurnPart,
    View,
)
from edgechess_kit.messages import SlotState

DEFAULT_REACH_MM = 900.0  # of a kind of arm that the settings do not name: a collaborative arm for 5 kg
PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
SLOTS_LIMIT = 64  # two trays of 32 at most fit on a table
ARMS_LIMIT = 4
IN_HAND_S = 10.0  # a person lifts a piece and thinks; after so long it is rather lying somewhere
IN_HAND_SQUARES = 2  # its own, and that of the piece it takes
HEALTH_STEP_S = 10.0


def show(state: State, settings: Settings) -> View:
    """Without number and epoch, which are those of the server's stream."""
    expected, differences = _compared(state)
    return View(
        at=state.at,
        bus=BusPart(connected=state.connected),
        session=_session(state),
        players={"w": _player(state, "w"), "b": _player(state, "b")},
        turn=_turn(state),
        board=_board(state, expected, differences),
        arms=_arms(state),
        table=_table(state, settings),
        timeline=_timeline(state),
        moves=state.moves,
        health=_health(state),
        events=state.events,
        troubles=explain(state, _told(state, differences)),
        evaluation=state.evaluation,
        models=state.models,
    )


# ---------------------------------------------------------------- the game


def _session(state: State) -> SessionPart:
    session, plan = state.session, state.plan
    ours = session is not None and (plan is None or plan.session_id == session.session_id)
    last = state.moves[-1] if state.moves else None
    fen = session.fen if session is not None and ours else plan.start_fen if plan is not None else None
    board = position.board_of(fen)
    status: Literal["idle", "created", "running", "ended"] = session.status if session is not None and ours else "idle"
    if state.created:
        status = "created"
    elif state.result is not None:
        status = "ended"
    elif not ours and (state.started_at is not None or state.asking is not None):
        status = "running"  # the manager hears of a game with its first move; whoever is asked for it plays already
    return SessionPart(
        session_id=state.session_id,
        status=status,
        start_fen=(session.start_fen if session is not None and ours else None) or (plan.start_fen if plan else None),
        fen=fen,
        ply=session.ply if session is not None and ours else 0,
        turn=None if board is None else "w" if board.turn else "b",
        in_check=board is not None and board.is_check(),
        last_move=session.moves[-1] if session is not None and ours and session.moves else last.lan if last else None,
        phase=session.phase if session is not None and ours else None,
        expecting=session.expecting if session is not None and ours else None,
        lan=session.lan if session is not None and ours else None,
        paused=state.paused,
        result=state.result,
        termination=state.termination,
        robot_enabled=session.robot_enabled if session is not None and ours else plan is None or plan.robot_enabled,
        draw_offers=state.draw_offers,
        started_at=state.started_at,
        captured={"w": state.captured[0], "b": state.captured[1]},
    )


def _player(state: State, color: Color) -> PlayerPart:
    player = state.players[0 if color == "w" else 1]
    waits = state.asking is not None and state.asking.color == color
    return msgspec.structs.replace(player, thinking=waits) if waits != player.thinking else player


def _turn(state: State) -> TurnPart | None:
    asking = state.asking
    if asking is None:
        return None
    color: Color = "w" if asking.color == "w" else "b"
    session = state.session
    due = session is not None and session.status == "running" and session.phase is None
    entry = asking.seat == "person" and due and state.failure is None
    moves = position.legal_moves(session.fen) if entry and session is not None else ()
    return TurnPart(
        color=color,
        seat=asking.seat,
        since=asking.since,
        attempt=asking.attempt,
        entry=entry and bool(moves),
        moves=moves,
    )


def _timeline(state: State) -> TimelinePart:
    session = state.session
    chosen = state.chosen
    last = state.moves[-1] if state.moves else None
    done = {item.phase: item for item in state.passed}
    phases = tuple(_phase(name, done.get(name)) for name in PHASES)
    if chosen is not None:
        ply, lan, san = chosen.ply, chosen.lan, chosen.san
    elif session is not None and session.lan is not None:
        ply, lan = session.ply + 1, session.lan
        san = position.san_of(session.fen, session.lan) or session.lan
    else:
        return TimelinePart(ply=len(state.moves) + 1, color=_color_of(state), phases=phases, attempt=state.tries)
    confirmed = last is not None and last.ply == ply
    return TimelinePart(
        lan=lan or None,
        san=san or None,
        ply=ply,
        color=_color_of(state) if not confirmed else "b" if _color_of(state) == "w" else "w",
        phases=phases,
        attempt=state.tries,
        total_s=last.timings.get("total") if confirmed and last is not None else None,
        by_person=session is not None and session.expecting == "person",
    )


def _color_of(state: State) -> Color:
    """Who is to move in the confirmed position."""
    board = position.board_of(state.session.fen) if state.session is not None else None
    return "b" if board is not None and board.turn == chess.BLACK else "w"


def _phase(name: PhaseName, passed: Passed | None) -> PhasePart:
    if passed is None:
        return PhasePart(phase=name)
    how: PhaseState = "failed" if passed.failed else "active" if passed.took_s is None else "done"
    return PhasePart(phase=name, state=how, since=passed.since, took_s=passed.took_s)


# ---------------------------------------------------------------- the board


def _compared(state: State) -> tuple[str | None, tuple[DifferencePart, ...]]:
    """The placement that should stand there now, and where a settled board feels something else."""
    session, failure, board = state.session, state.failure, state.board
    flickers = board is not None and board.connected and not board.settled and board.reason is not None
    shown = board.placement if board is not None and board.connected and (board.settled or flickers) else None
    if state.created:
        start = _field(state.plan.start_fen if state.plan is not None else None)
        return start, position.differences(found=shown, fits=(start,))
    if failure is not None and failure.detail.expected is not None:
        wanted = _field(failure.detail.expected)
        return wanted, position.differences(found=shown, fits=(wanted,))
    if session is None or session.status != "running" or session.fen is None:
        return None, ()
    moved = position.after(session.fen, session.lan)
    if moved is not None and (session.phase in ("arm", "board-after") or session.expecting == "person"):
        before, after = _field(session.fen), moved.board_fen()
        found = position.differences(found=shown, fits=(before, after))
        return after if session.phase == "board-after" else before, _less_the_move(found, before, after)
    if flickers:  # it will not settle by itself: what it feels meanwhile is all that there is
        return _field(session.fen), position.differences(found=shown, fits=(_field(session.fen),))
    sensed = board.differences if board is not None and board.connected else ()
    return _field(session.fen), tuple(
        DifferencePart(square=item.square, expected=item.expected, found=item.found) for item in sensed
    )


def _less_the_move(found: tuple[DifferencePart, ...], before: str | None, after: str) -> tuple[DifferencePart, ...]:
    """While a move is made its own squares may show anything: a piece is taken away first, and is then in the air."""
    touched = {item.square for item in position.differences(found=after, fits=(before,))}
    return tuple(item for item in found if item.square not in touched)


def _told(state: State, differences: tuple[DifferencePart, ...]) -> tuple[DifferencePart, ...]:
    """Without what a person, whose turn it is, has in the hand: that is no trouble unless it lasts."""
    board, session = state.board, state.session
    persons = (state.asking is not None and state.asking.seat == "person") or (
        session is not None and session.expecting == "person"
    )
    if not persons or board is None or state.at - board.at > IN_HAND_S or state.failure is not None:
        return differences
    in_hand = len(differences) <= IN_HAND_SQUARES and all(item.found is None for item in differences)
    return () if in_hand else differences


def _field(fen: str | None) -> str | None:
    return None if fen is None else fen.split(" ", 1)[0]


def _board(state: State, expected: str | None, differences: tuple[DifferencePart, ...]) -> BoardPart:
    board = state.board
    if board is None:
        return BoardPart(expected=expected)
    return BoardPart(
        connected=board.connected,
        settled=board.settled,
        placement=_field(board.placement) if position.placement_of(board.placement) is not None else None,
        at=board.at,
        rotated=board.rotated,
        reason=board.reason,
        board_id=board.board_id,
        expected=expected,
        differences=differences,
    )


# ---------------------------------------------------------------- arms and components


def _arms(state: State) -> ArmsPart:
    arms = state.arms
    if arms is None:
        return ArmsPart()
    return ArmsPart(
        known=True,
        stopped=arms.stopped,
        lease_token=arms.lease_token,
        lease_holder=arms.lease_holder,
        job_id=arms.job_id,
        step=arms.step,
        at=arms.at,
        arms=tuple(
            ArmPart(
                name=arm.name,
                kind=arm.kind,
                mode=arm.mode,
                parked=arm.parked,
                holding=arm.holding,
                felt=arm.felt,
                alarm=arm.alarm,
                joints_deg=arm.joints_deg[:8],
                tool_mm=arm.tool_mm[:3],
            )
            for arm in arms.arms[:ARMS_LIMIT]
        ),
        tray=_slots(arms.tray),
        rack=_slots(arms.rack),
    )


def _slots(slots: tuple[SlotState, ...]) -> tuple[SlotPart, ...]:
    return tuple(SlotPart(slot=slot.slot, piece=slot.piece, doubtful=slot.doubtful) for slot in slots[:SLOTS_LIMIT])


def _table(state: State, settings: Settings) -> TablePart:
    """Where the standard layout puts things, for the picture: two columns of tray beside the board, the rack outside."""
    arms = state.arms
    square = settings.square_mm
    sites = []
    for number, arm in enumerate(arms.arms[:2] if arms is not None else ()):
        sign = 1.0 if number == 0 else -1.0
        tray = len([slot for slot in arms.tray if slot.slot.startswith(f"tray-{arm.name}-")]) if arms else 0
        rack = len([slot for slot in arms.rack if slot.slot.startswith(f"rack-{arm.name}-")]) if arms else 0
        sites.append(
            SitePart(
                name=arm.name,
                base_mm=(0.0, -sign * settings.base_distance_mm),
                reach_mm=settings.reach_mm.get(arm.kind, DEFAULT_REACH_MM),
                tray=tuple(
                    (sign * (5.0 + slot // 8) * square, sign * (slot % 8 - 3.5) * square)
                    for slot in range(min(tray, SLOTS_LIMIT))
                ),
                rack=tuple(
                    (sign * 7.0 * square, sign * (slot - 3.5) * square) for slot in range(min(rack, SLOTS_LIMIT))
                ),
            )
        )
    return TablePart(square_mm=square, sites=tuple(sites))


def _health(state: State) -> tuple[HealthPart, ...]:
    """`at` is rounded down, so that a heartbeat that says nothing new changes nothing on the page for a while."""
    parts = []
    for pulse in state.pulses:
        status = pulse.status
        silent = state.at - pulse.heard_at > SILENT_AFTER_S and status.status not in ("lost", "stopped")
        parts.append(
            HealthPart(
                component=status.component,
                status="silent" if silent else status.status,
                at=pulse.heard_at // HEALTH_STEP_S * HEALTH_STEP_S,
                reason=status.reason,
                version=status.version,
            )
        )
    return tuple(parts)

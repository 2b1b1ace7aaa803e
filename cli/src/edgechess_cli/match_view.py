"""What a person sees of a match: a pure fold of the bus into one value, and two ways to show it.

In a terminal: a live picture of board, phases, arms, tray and last events. Elsewhere: one plain line per move.
"""

from __future__ import annotations

import dataclasses

import chess
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgechess_kit import messages as m
from edgechess_kit.bus import Delivery
from edgechess_kit.topics import Topics

EVENT_LINES = 8
NO_SESSION = m.SessionState(status="idle")
FIGURES = {"p": "♟", "n": "♞", "b": "♝", "r": "♜", "q": "♛", "k": "♚"}
WORTH_TELLING = {
    "session-started", "move-chosen", "confirmed", "failed", "helped", "restored", "stopped", "recovered", "summary",
}  # fmt: skip
PHASES: tuple[tuple[m.Phase, str], ...] = (
    ("board-before", "board before"),
    ("arm", "move"),
    ("board-after", "board after"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """Everything shown. `timings_s` are those of the last confirmed move."""

    white: str
    black: str
    session: m.SessionState = NO_SESSION
    board: m.BoardState | None = None
    arms: m.ArmState | None = None
    moves: tuple[str, ...] = ()
    timings_s: tuple[tuple[str, float], ...] = ()
    phase_since_unix_s: float = 0.0
    health: tuple[tuple[str, str], ...] = ()
    events: tuple[str, ...] = ()
    problem: str | None = None


def fold(view: View, delivery: Delivery, topics: Topics) -> View:
    """The view after one delivery. Raises WireError for a payload that is no message."""
    if delivery.topic == topics.session_state.name:
        session = delivery.decode(topics.session_state)
        return dataclasses.replace(view, session=session)
    if delivery.topic == topics.board_state.name:
        return dataclasses.replace(view, board=delivery.decode(topics.board_state))
    if delivery.topic == topics.arm_state.name:
        return dataclasses.replace(view, arms=delivery.decode(topics.arm_state))
    if delivery.topic == topics.cloud_response.name:
        return _with_response(view, delivery.decode(topics.cloud_response))
    if delivery.topic == topics.status.name:
        status = delivery.decode(topics.status)
        health = dict(view.health) | {status.component: status.status}
        return dataclasses.replace(view, health=tuple(sorted(health.items())))
    if delivery.topic == topics.events.name:
        event = delivery.decode(topics.events)
        if event.kind not in WORTH_TELLING:
            return view
        return dataclasses.replace(view, events=(*view.events, event_line(event))[-EVENT_LINES:])
    return view


def _with_response(view: View, response: m.GameResponse) -> View:
    timings = tuple(response.detail.timings_s.items()) if response.detail else ()
    if response.status == 200:
        return dataclasses.replace(view, timings_s=timings, problem=None)
    return dataclasses.replace(view, problem=f"{response.status}: {response.reason}")


def event_line(event: m.EdgeEvent) -> str:
    """One event as one line of text."""
    shown = {key: value for key, value in event.data.items() if not isinstance(value, dict | list)}
    told = " ".join(f"{key}={value}" for key, value in shown.items() if value not in (None, ""))
    return f"{event.component}: {event.kind} {told}"[:110]


def timings_text(timings_s: tuple[tuple[str, float], ...]) -> str:
    return " · ".join(f"{name} {seconds:.2f} s" for name, seconds in timings_s)


def render(view: View) -> RenderableType:
    """The live picture. Fits 80 columns; wider terminals show board and state side by side."""
    return Group(
        Columns([_board_panel(view), Group(_phase_panel(view), _arms_panel(view))]),
        Panel("\n".join(view.events) or "waiting", title="events", title_align="left"),
    )


def _board_panel(view: View) -> Panel:
    """The confirmed position; a square on which the board feels something else is marked red."""
    fen = view.session.fen or chess.Board(None).fen()
    board = chess.Board(fen)
    felt = chess.BaseBoard(view.board.placement.split()[0]) if view.board and view.board.placement else None
    last = set()
    if view.session.moves:
        move = chess.Move.from_uci(view.session.moves[-1])
        last = {move.from_square, move.to_square}
    text = Text()
    for rank in reversed(range(8)):
        text.append(f"{rank + 1} ", "dim")
        for file in range(8):
            square = chess.square(file, rank)
            piece = board.piece_at(square)
            background = "rgb(181,136,99)" if (rank + file) % 2 == 0 else "rgb(240,217,181)"
            if square in last:
                background = "rgb(170,162,58)"
            if felt is not None and felt.piece_at(square) != piece and view.session.phase is None:
                background = "rgb(200,60,60)"
            colour = "rgb(255,255,255)" if piece and piece.color else "rgb(0,0,0)"
            text.append(f" {FIGURES[piece.symbol().lower()] if piece else ' '} ", f"{colour} on {background}")
        text.append("\n")
    text.append("   " + "  ".join("abcdefgh"), "dim")
    turn = "white to move" if board.turn else "black to move"
    title = turn if view.session.status == "running" else view.session.status
    if view.session.result:
        title = f"{view.session.result} {view.session.termination or ''}"
    return Panel(text, title=title, subtitle=f"{view.white} – {view.black}", width=32)


def _phase_panel(view: View) -> Panel:
    lines = Text()
    lines.append(f"{view.session.lan or '–':6}", "bold")
    for phase, name in PHASES:
        here = view.session.phase == phase
        lines.append(f"  {'▶' if here else '·'} {name}", "bold green" if here else "dim")
    if view.timings_s:
        lines.append(f"\nlast: {timings_text(view.timings_s)}", "dim")
    if view.moves:
        lines.append("\n" + " ".join(view.moves[-8:]))
    if view.problem:
        lines.append("\n" + view.problem, "bold red")
    if view.board is not None and not view.board.connected:
        lines.append("\nthe board is not connected", "bold red")
    return Panel(lines, title="the move", title_align="left", width=78)


def _arms_panel(view: View) -> Panel:
    table = Table.grid(padding=(0, 2))
    arms = view.arms
    if arms is not None:
        for arm in arms.arms:
            lease = f"has the zone (lease {arms.lease_token})" if arms.lease_holder == arm.name else ""
            where = "x {:.0f} y {:.0f} z {:.0f} mm".format(*arm.tool_mm[:3]) if len(arm.tool_mm) >= 3 else ""
            holding = f"holds {FIGURES[arm.holding.lower()]}" if arm.holding else ""
            table.add_row(arm.name, arm.mode, where, holding, lease, arm.alarm or "")
        tray = "".join(FIGURES[slot.piece.lower()] for slot in arms.tray if slot.piece)
        rack = "".join(FIGURES[slot.piece.lower()] for slot in arms.rack if slot.piece)
        table.add_row("tray", tray or "empty", f"rack {rack}", "", "STOPPED" if arms.stopped else "", "")
    health = "  ".join(f"{name} {status}" for name, status in view.health)
    return Panel(Group(table, Text(health, "dim")), title="arms", title_align="left", width=78)


def plain_line(response: m.GameResponse, ply: int, san: str) -> str:
    """One line per answer for a log: what was answered, and how long the phases took."""
    number = f"{(ply + 1) // 2}{'.' if ply % 2 else '...'}"
    if response.status == 200:
        timings = timings_text(tuple(response.detail.timings_s.items())) if response.detail else ""
        return f"{number:>5} {san:8} confirmed  {timings}"
    return f"{number:>5} {san:8} {response.status} {response.reason}"

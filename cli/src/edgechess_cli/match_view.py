"""What a person sees of a match: a pure fold of the bus into one value, and the live picture of it.

The picture is as high as the terminal allows and never higher: board on the left, everything else on the right; in a
narrow terminal one below the other. Lines are cut, never wrapped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import chess
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgechess_kit import messages as m
from edgechess_kit.bus import Delivery
from edgechess_kit.topics import Topics

EVENT_LINES = 40  # kept; as many are shown as there is room for
EVENT_ROWS = 22  # of the panel at most: more is a log, not a picture
SAID_LINES = 4
BOARD_WIDTH = 30  # two for the rank, three for each square, the frame
BOARD_HEIGHT = 11
STATE_HEIGHT = 11  # the two panels beside the board, frames included
NARROW = 70  # columns; below this board and state do not fit side by side
NO_SESSION = m.SessionState(status="idle")
FIGURES = {"p": "♟", "n": "♞", "b": "♝", "r": "♜", "q": "♛", "k": "♚"}
LIGHT, DARK, LAST, WRONG = "rgb(205,178,138)", "rgb(146,104,72)", "rgb(150,146,60)", "rgb(200,60,60)"
PHASES: tuple[tuple[m.Phase, str], ...] = (("board-before", "before"), ("arm", "move"), ("board-after", "after"))
WIDE = 60  # columns of a panel that has room for whole sentences
COMPONENTS = {
    "arm-controller": "arms",
    "board-sensor": "board",
    "game-manager": "manager",
    "match-director": "director",
}
HEALTH_STYLES = {"ready": "green", "starting": "yellow", "degraded": "yellow", "lost": "red", "stopped": "dim"}


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """Everything shown. `timings_s` are those of the last confirmed move; `said` is what no message says, also an event."""

    white: str
    black: str
    session: m.SessionState = NO_SESSION
    board: m.BoardState | None = None
    arms: m.ArmState | None = None
    sans: tuple[str, ...] = ()
    """Of this match, as far as it was seen, each with its number."""
    timings_s: tuple[tuple[str, float], ...] = ()
    health: tuple[tuple[str, str], ...] = ()
    events: tuple[str, ...] = ()
    problem: str | None = None
    said: tuple[str, ...] = ()
    prompt: str = ""


def fold(view: View, delivery: Delivery, topics: Topics) -> View:
    """The view after one delivery. Raises WireError for a payload that is no message."""
    if delivery.topic == topics.session_state.name:
        session = delivery.decode(topics.session_state)
        begins = session.status == "running" and view.session.status != "running"
        return dataclasses.replace(view, session=session, said=() if begins else view.said)
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
        return _with_event(view, delivery.decode(topics.events))
    return view


def _with_response(view: View, response: m.GameResponse) -> View:
    if response.status == 200:
        timings = tuple(response.detail.timings_s.items()) if response.detail else ()
        return dataclasses.replace(view, timings_s=timings or view.timings_s, problem=None)
    return dataclasses.replace(view, problem=f"{response.status}: {response.reason}")


def _with_event(view: View, event: m.EdgeEvent) -> View:
    if event.component == "match-director" and event.kind == "confirmed":
        ply = event.data.get("ply")
        san = str(event.data.get("san", ""))
        view = dataclasses.replace(view, sans=(*view.sans, numbered(ply, san, first=not view.sans)))
    line = event_line(event)
    return view if line is None else dataclasses.replace(view, events=(*view.events, line)[-EVENT_LINES:])


def numbered(ply: object, san: str, *, first: bool = True) -> str:
    """`12. Nf3`, or Black's `Nf6` (`12… Nf6` where it is the first that is shown)."""
    if not isinstance(ply, int):
        return san
    if ply % 2:
        return f"{(ply + 1) // 2}. {san}"
    return f"{ply // 2}… {san}" if first else san


def event_line(event: m.EdgeEvent) -> str | None:
    """What a person wants to know of a journal entry, as one line; None for the many that only a journal needs."""
    data, who = event.data, event.component
    match event.kind:
        case "session-started" if who == "match-director":
            return f"session {event.session_id} has begun"
        case "move-chosen":
            reason = f": {data['reason']}" if data.get("reason") else ""
            return f"{data.get('by', '?')} plays {data.get('san', '?')} after {data.get('think_s', 0):.1f} s{reason}"
        case "confirmed" if who == "match-director":
            total = dict(data.get("timings") or {}).get("total")
            took = f" after {total:.1f} s" if isinstance(total, int | float) else ""
            return f"{numbered(data.get('ply'), str(data.get('san', '')))} stands on the board{took}"
        case "failed" if who == "match-director":
            return f"{data.get('status', '')}: {data.get('reason', '')}"
        case "repair-ordered":
            return f"the arm puts it right: {data.get('code', '')}"
        case "helped":
            return "a person has put the table right"
        case "player-failed":
            return f"{data.get('player', '?')}: {data.get('reason', '')}"
        case "paused" | "resumed" if who == "match-director":
            return f"the match is {event.kind}"
        case "stopped" | "recovered" if who == "arm-controller":
            return f"arms {event.kind}: {data.get('reason') or data.get('confirmed_by') or ''}"
        case "summary":
            return f"{data.get('result', '')} {data.get('termination', '')}"
        case _:
            return None


def render(view: View, width: int = 80, height: int = 24) -> RenderableType:
    """The live picture in a terminal of `width` columns and `height` rows."""
    height = max(height - 1, 1)  # the last row stays free: a full screen would scroll
    board = _board_panel(view)
    if width < NARROW:
        state = _move_panel(view, width)
        rest = height - BOARD_HEIGHT - 6
        parts: list[RenderableType] = [board, state]
    else:
        beside = width - BOARD_WIDTH
        grid = Table.grid(padding=0)
        grid.add_column(width=BOARD_WIDTH)
        grid.add_column(width=beside)
        grid.add_row(board, Group(_move_panel(view, beside), _arms_panel(view, beside)))
        rest = min(height - STATE_HEIGHT, EVENT_ROWS)
        parts = [grid]
    if rest >= 3:
        parts.append(_events_panel(view, width, rest))
    return Group(*parts)


def _board_panel(view: View) -> Panel:
    """The confirmed position; a square on which the board feels something else is marked red."""
    board = chess.Board(view.session.fen or chess.Board(None).fen())
    felt = _felt(view)
    last: set[chess.Square] = set()
    if view.session.moves:
        move = chess.Move.from_uci(view.session.moves[-1])
        last = {move.from_square, move.to_square}
    text = Text(no_wrap=True)
    for rank in reversed(range(8)):
        text.append(f"{rank + 1} ", "dim")
        for file in range(8):
            square = chess.square(file, rank)
            piece = board.piece_at(square)
            background = DARK if (rank + file) % 2 == 0 else LIGHT
            if square in last:
                background = LAST
            if felt is not None and felt.piece_at(square) != piece:
                background = WRONG
            colour = "rgb(255,255,255)" if piece and piece.color else "rgb(0,0,0)"
            text.append(f" {FIGURES[piece.symbol().lower()] if piece else ' '} ", f"{colour} on {background}")
        text.append("\n")
    text.append("   a  b  c  d  e  f  g  h ", "dim")
    return Panel(text, title=_title(view, board), width=BOARD_WIDTH, padding=(0, 1))


def _felt(view: View) -> chess.BaseBoard | None:
    """What the board is sure of while nobody is to touch it."""
    board, session = view.board, view.session
    if board is None or board.placement is None or not board.settled or session.fen is None or session.phase:
        return None
    return chess.BaseBoard(board.placement.split()[0])


def _title(view: View, board: chess.Board) -> str:
    session = view.session
    if session.result:
        return f"[bold]{session.result}[/bold] {session.termination or ''}"[: BOARD_WIDTH + 9]
    if session.status == "running":
        return f"{session.ply // 2 + 1}. {'White' if board.turn else 'Black'} to move"
    return "over" if session.status == "ended" else "setting up"


def _move_panel(view: View, width: int) -> Panel:
    """Always four lines: players, phases with their times, the last moves, what is wrong or asked."""
    room = width - 4
    timings = dict(view.timings_s)
    phases = Text(no_wrap=True)
    phases.append(f"{view.session.lan or '–':5}", "bold")
    for phase, name in PHASES:
        here = view.session.phase == phase
        took = f" {timings[phase]:.1f}s" if phase in timings else ""
        phases.append(f" {'▶' if here else '·'} {name}{took}", "bold green" if here else "dim")
    if "total" in timings and room >= WIDE:
        phases.append(f"   {timings['total']:.1f} s in all", "dim")
    lines = [
        Text(f"{view.white} – {view.black}", "bold"),
        phases,
        Text(_last_that_fit(view.sans, room)),
        _attention(view),
    ]
    return Panel(_cut(lines, room), title="the move", title_align="left", width=width, height=6)


def _attention(view: View) -> Text:
    if view.prompt:
        return Text(view.prompt + "▏", "bold cyan")
    if view.problem:
        return Text(view.problem, "bold red")
    if view.board is not None and not view.board.connected:
        return Text(f"the board is not connected: {view.board.reason or ''}", "bold red")
    if view.board is not None and view.board.differences:
        named = ", ".join(
            f"{d.square}: {_piece(d.found)}, expected {_piece(d.expected)}" for d in view.board.differences
        )
        return Text(named, "bold red")
    return Text(view.said[-1] if view.said else "", "dim")


def _piece(letter: str | None) -> str:
    return letter or "empty"


def _last_that_fit(words: tuple[str, ...], room: int) -> str:
    line = ""
    for word in reversed(words):
        longer = f"{word} {line}".rstrip()
        if len(longer) > room:
            break
        line = longer
    return line


def _arms_panel(view: View, width: int) -> Panel:
    """Always three lines: each arm, tray and rack; below them who is well."""
    arms = view.arms
    lines: list[Text] = []
    if arms is not None:
        lines.extend(_arm_line(arms, arm) for arm in arms.arms[:2])
        tray = "".join(FIGURES[slot.piece.lower()] for slot in arms.tray if slot.piece)
        rack = "".join(FIGURES[slot.piece.lower()] for slot in arms.rack if slot.piece)
        line = Text(f"tray {tray or '–'}   rack {rack or '–'}")
        if arms.stopped:
            line.append("   STOPPED", "bold red")
        lines.append(line)
    health = Text(" ").join(
        Text(COMPONENTS.get(name, name), HEALTH_STYLES.get(status, "")) for name, status in view.health
    )
    return Panel(
        _cut(lines, width - 4), title="arms", title_align="left", subtitle=health, subtitle_align="left",
        width=width, height=5,
    )  # fmt: skip


def _arm_line(arms: m.ArmState, arm: m.ArmStatus) -> Text:
    text = Text(f"{arm.name:6}")
    styles = {"moving": "green", "stopped": "bold red", "fault": "bold red", "offline": "red"}
    text.append(f"{arm.mode:8}", styles.get(arm.mode, ""))
    if len(arm.tool_mm) >= 3:
        text.append("x{:5.0f} y{:5.0f} z{:4.0f} mm".format(*arm.tool_mm[:3]), "dim")
    if arms.lease_holder == arm.name:
        text.append(f" zone {arms.lease_token}", "green")
    if arm.holding:
        text.append(f" {FIGURES[arm.holding.lower()]}")
    if arm.alarm:
        text.append(f" {arm.alarm}", "bold red")
    return text


def _events_panel(view: View, width: int, height: int) -> Panel:
    shown = view.events[-(height - 2) :]
    return Panel(
        _cut((Text(line) for line in shown), width - 4), title="events", title_align="left", width=width, height=height
    )


def _cut(lines: Iterable[Text], room: int) -> Text:
    """The lines, each cut to the room that there is."""
    cut = []
    for line in lines:
        line.truncate(max(room, 1), overflow="ellipsis")
        cut.append(line)
    return Text("\n", no_wrap=True, overflow="ellipsis").join(cut)

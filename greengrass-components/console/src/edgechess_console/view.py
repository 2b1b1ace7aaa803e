"""What the page is told: one `View`, in sections. The wire form is API.md's."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgechess_kit.messages import ModelState

Color = Literal["w", "b"]
Level = Literal["quiet", "info", "good", "warn", "bad"]
PhaseName = Literal["think", "board-before", "arm", "board-after"]
PhaseState = Literal["waiting", "active", "done", "failed"]

EVENTS_LIMIT = 200  # an evening's interesting lines; the history has the rest
MOVES_LIMIT = 1200  # plies of a game; the longest that was ever played in earnest has 538


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all that goes to the page: camelCase, defaults included."""


class BusPart(Part, frozen=True, kw_only=True):
    connected: bool = False


class SessionPart(Part, frozen=True, kw_only=True):
    session_id: str | None = None
    status: Literal["idle", "created", "running", "ended"] = "idle"
    start_fen: str | None = None
    fen: str | None = None
    ply: int = 0
    turn: Color | None = None
    in_check: bool = False
    last_move: str | None = None
    phase: str | None = None
    expecting: str | None = None
    lan: str | None = None
    paused: bool = False
    result: str | None = None
    termination: str | None = None
    robot_enabled: bool = True
    draw_offers: tuple[str, ...] = ()
    started_at: float | None = None
    captured: dict[str, str] = {}


class ThoughtPart(Part, frozen=True, kw_only=True):
    """How a move was found. `failures`: of the attempts before it."""

    by: str = ""
    san: str = ""
    took_s: float = 0.0
    attempts: int = 1
    failures: tuple[str, ...] = ()
    fallback: bool = False
    constrained: bool = False
    reason: str | None = None


class PlayerPart(Part, frozen=True, kw_only=True):
    word: str = ""
    name: str = ""
    seat: str | None = None
    thinking: bool = False
    used_s: float = 0.0
    last: ThoughtPart | None = None
    moves: int = 0
    legal_first: int = 0
    asked: int = 0
    fallbacks: int = 0
    failure: str | None = None


class TurnPart(Part, frozen=True, kw_only=True):
    color: Color
    seat: str
    since: float
    attempt: int = 1
    entry: bool = False
    moves: tuple[str, ...] = ()


class DifferencePart(Part, frozen=True, kw_only=True):
    square: str
    expected: str | None = None
    found: str | None = None


class BoardPart(Part, frozen=True, kw_only=True):
    connected: bool = False
    settled: bool = False
    placement: str | None = None
    at: float = 0.0
    rotated: bool = False
    reason: str | None = None
    board_id: str | None = None
    expected: str | None = None
    differences: tuple[DifferencePart, ...] = ()


class ArmPart(Part, frozen=True, kw_only=True):
    name: str
    kind: str
    mode: str
    parked: bool
    holding: str | None
    felt: bool | None
    alarm: str | None
    joints_deg: tuple[float, ...]
    tool_mm: tuple[float, ...]


class SlotPart(Part, frozen=True, kw_only=True):
    slot: str
    piece: str | None
    doubtful: bool


class ArmsPart(Part, frozen=True, kw_only=True):
    known: bool = False
    stopped: bool = False
    lease_token: int = 0
    lease_holder: str | None = None
    job_id: str | None = None
    step: str | None = None
    at: float = 0.0
    arms: tuple[ArmPart, ...] = ()
    tray: tuple[SlotPart, ...] = ()
    rack: tuple[SlotPart, ...] = ()


class SitePart(Part, frozen=True, kw_only=True):
    """Points are x, y in the board frame: origin in the middle, x towards the h-file, y towards the eighth rank."""

    name: str
    base_mm: tuple[float, float]
    reach_mm: float
    tray: tuple[tuple[float, float], ...]
    rack: tuple[tuple[float, float], ...]


class TablePart(Part, frozen=True, kw_only=True):
    square_mm: float = 55.0
    sites: tuple[SitePart, ...] = ()


class PhasePart(Part, frozen=True, kw_only=True):
    phase: PhaseName
    state: PhaseState = "waiting"
    since: float | None = None
    took_s: float | None = None


class TimelinePart(Part, frozen=True, kw_only=True):
    lan: str | None = None
    san: str | None = None
    ply: int = 0
    color: Color = "w"
    attempt: int = 1
    phases: tuple[PhasePart, ...] = ()
    total_s: float | None = None
    by_person: bool = False


class MovePart(Part, frozen=True, kw_only=True):
    ply: int
    lan: str
    san: str
    fen: str
    by: str = ""
    think_s: float = 0.0
    at: float = 0.0
    timings: dict[str, float] = {}
    executor: str | None = None
    helped: bool = False
    retried: int = 0
    repaired: int = 0
    thought: ThoughtPart | None = None


class HealthPart(Part, frozen=True, kw_only=True):
    component: str
    status: str
    at: float
    reason: str | None = None
    version: str | None = None


class EventPart(Part, frozen=True, kw_only=True):
    n: int
    at: float
    component: str
    kind: str
    level: Level
    text: str
    session_id: str | None = None


class TroublePart(Part, frozen=True, kw_only=True):
    """`actions`: commands of API.md that are safe now. `cure`: what a person does about it."""

    code: str
    text: str
    level: Literal["warn", "bad"] = "warn"
    squares: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    cure: str = ""


class EvaluationPart(Part, frozen=True, kw_only=True):
    """From White's side: `cp` centipawns, or `mate` in so many moves (negative: Black mates)."""

    fen: str
    ply: int
    cp: int | None = None
    mate: int | None = None
    depth: int = 0
    best: str | None = None
    engine: str = ""


class View(Part, frozen=True, kw_only=True):
    epoch: str = ""
    seq: int = 0
    at: float = 0.0
    bus: BusPart = BusPart()
    session: SessionPart = SessionPart()
    players: dict[str, PlayerPart] = {}
    turn: TurnPart | None = None
    board: BoardPart = BoardPart()
    arms: ArmsPart = ArmsPart()
    table: TablePart = TablePart()
    timeline: TimelinePart = TimelinePart()
    moves: tuple[MovePart, ...] = ()
    health: tuple[HealthPart, ...] = ()
    events: tuple[EventPart, ...] = ()
    troubles: tuple[TroublePart, ...] = ()
    evaluation: EvaluationPart | None = None
    models: tuple[ModelState, ...] = ()


class Patch(Part, frozen=True, kw_only=True):
    seq: int
    at: float
    set: dict[str, object] = {}
    append: dict[str, tuple[object, ...]] = {}


SECTIONS = tuple(name for name in View.__struct_fields__ if name not in ("epoch", "seq", "at", "events", "moves"))


def patch(old: View, new: View) -> Patch | None:
    """What leads a page from the one view to the other, numbered after the old one; None where nothing has changed."""
    changed: dict[str, object] = {
        name: getattr(new, name) for name in SECTIONS if getattr(new, name) != getattr(old, name)
    }
    more: dict[str, tuple[object, ...]] = {}
    newest = old.events[-1].n if old.events else 0
    events = tuple(event for event in new.events if event.n > newest)
    if events:
        more["events"] = events
    if new.moves != old.moves:
        known = len(old.moves)
        if new.moves[:known] == old.moves:
            more["moves"] = new.moves[known:]
        else:
            changed["moves"] = new.moves
    return Patch(seq=old.seq + 1, at=new.at, set=changed, append=more) if changed or more else None

"""What the console knows, as it was heard. The page's `View` is made of it (`showing`)."""

from __future__ import annotations

import dataclasses

from edgechess_console.view import EvaluationPart, EventPart, MovePart, PlayerPart, ThoughtPart
from edgechess_kit.messages import ArmState, BoardState, EdgeStatus, ModelState, ResponseDetail, SessionState


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What the director agreed on when it made the session."""

    session_id: str
    words: tuple[str, str]
    seats: tuple[str, str]
    start_fen: str | None
    robot_enabled: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Asking:
    """Whom the director waits for. `since`: Unix seconds."""

    color: str
    seat: str
    since: float
    attempt: int
    ply: int


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
    """The move that is to be made, as its player gave it."""

    ply: int
    lan: str
    san: str
    think_s: float
    thought: ThoughtPart
    entered: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """The last answer of the game manager, where it was 500, until the board or a later answer makes it old."""

    at: float
    reason: str
    detail: ResponseDetail
    session_id: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Passed:
    """One phase of the move under way. `took_s` None: it goes on."""

    phase: str
    since: float
    took_s: float | None = None
    failed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Pulse:
    """A component's last word on its health, and when it came."""

    status: EdgeStatus
    heard_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """Everything is bounded: `moves` and `events` by the view's limits, `pulses` and `models` by their own."""

    at: float = 0.0
    connected: bool = False
    session: SessionState | None = None
    board: BoardState | None = None
    arms: ArmState | None = None
    plan: Plan | None = None
    created: bool = False
    """The director has a session that was not started yet."""
    asking: Asking | None = None
    chosen: Chosen | None = None
    paused: bool = False
    draw_offers: tuple[str, ...] = ()
    started_at: float | None = None
    result: str | None = None
    termination: str | None = None
    players: tuple[PlayerPart, PlayerPart] = (PlayerPart(), PlayerPart())
    moves: tuple[MovePart, ...] = ()
    captured: tuple[str, str] = ("", "")
    """Of White's pieces, and of Black's."""
    passed: tuple[Passed, ...] = ()
    tries: int = 1
    """Of the move under way."""
    failure: Failure | None = None
    pulses: tuple[Pulse, ...] = ()
    events: tuple[EventPart, ...] = ()
    models: tuple[ModelState, ...] = ()
    evaluation: EvaluationPart | None = None

    @property
    def session_id(self) -> str | None:
        """Of the game that is here, or was here last."""
        if self.plan is not None:
            return self.plan.session_id
        return self.session.session_id if self.session is not None else None

"""Everything the manager knows, in frozen values."""

from __future__ import annotations

import dataclasses
import enum
import hashlib

from edgechess_game_manager.rules import Session, Verdict
from edgechess_game_manager.settings import Settings
from edgechess_kit import messages as m

MOVES_SHOWN = 20  # plies in `edge/session/state`: enough to recognise a take-back, small enough for every transport


class Stage(enum.Enum):
    """Where the manager is. The first three are rest; in the others one request is under way."""

    NO_SESSION = "no-session"
    READY = "ready"
    ENDED = "ended"
    STARTING = "starting"
    BOARD_BEFORE = "board-before"
    ARM = "arm"
    PARKING = "parking"
    PERSON = "person"
    BOARD_AFTER = "board-after"


PHASES: dict[Stage, m.Phase] = {
    Stage.STARTING: "board-before",
    Stage.BOARD_BEFORE: "board-before",
    Stage.ARM: "arm",
    Stage.PARKING: "arm",
    Stage.PERSON: "arm",
    Stage.BOARD_AFTER: "board-after",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """The one request under way. Times are Unix seconds.

    `after` is the position that the move leads to (of a start: the position itself), in our own spelling.
    """

    request: m.GameRequest
    stage: Stage
    executor: m.Executor
    after: str
    received_at: float
    stage_at: float
    san: str = ""
    attempt: int = 0
    """Times that the board was asked in this stage."""
    asked: tuple[str, ...] = ()
    """Their request ids; an answer to any of them counts."""
    trouble: str | None = None
    """What a blind board said of itself."""
    job: m.ArmJob | None = None
    heard: bool = False
    """The controller's state has named our job, …"""
    heard_at: float = 0.0
    """… last at this time of its own."""
    gone: bool = False
    """Afterwards it named it no more, …"""
    rested: bool = False
    """… and said that the arms rest."""
    result: m.ArmJobResult | None = None
    lost: bool = False
    """The outcome is unknown and nobody says that the arms rest."""
    processed: m.BoardProcessed | None = None
    person_deadline: float | None = None
    verdict: Verdict | None = None
    """The session was ended by somebody's word meanwhile; it ends with this request."""
    timings: tuple[tuple[str, float], ...] = ()

    @property
    def token(self) -> str:
        return self.request.task_token

    @property
    def job_id(self) -> str:
        """One token can never lead to two jobs, not even over a lost journal: the id is made of it."""
        digest = hashlib.sha256(f"{self.request.session_id}\0{self.token}".encode())
        return f"job-{digest.hexdigest()[:24]}"


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """`life` tells one process from the next: an answer to a question of an earlier one is not taken for ours."""

    settings: Settings
    life: str
    session: Session | None = None
    work: Work | None = None
    board: m.BoardState | None = None
    last_answer: tuple[float, m.GameResponse] | None = None
    """From the journal: the newest answer and when it became durable. Only for the first moment after a restart."""

    @property
    def stage(self) -> Stage:
        if self.work is not None:
            return self.work.stage
        if self.session is None:
            return Stage.NO_SESSION
        return Stage.ENDED if self.session.over else Stage.READY


def session_state(state: State) -> m.SessionState:
    """What everybody may know: `edge/session/state`."""
    session, work = state.session, state.work
    moving = work is not None and work.request.action == "move"
    progress = m.SessionState(
        status="idle",
        phase=PHASES[work.stage] if work else None,
        expecting=work.executor if work and moving else None,
        lan=work.request.lan if work and moving else None,
        robot_enabled=state.settings.robot_enabled,
    )
    if session is None:
        return progress
    return m.SessionState(
        status="ended" if session.over else "running",
        session_id=session.session_id,
        start_fen=session.start_fen,
        fen=session.fen,
        moves=session.moves[-MOVES_SHOWN:],
        ply=session.ply,
        phase=progress.phase,
        expecting=progress.expecting,
        lan=progress.lan,
        result=session.result,
        termination=session.termination,
        robot_enabled=progress.robot_enabled,
    )

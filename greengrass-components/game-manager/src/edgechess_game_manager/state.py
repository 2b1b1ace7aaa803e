"""Everything the manager knows, in frozen values."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from typing import Literal

from edgechess_game_manager.repair import Held, Lying, lying
from edgechess_game_manager.rules import Session, Verdict, placement
from edgechess_game_manager.settings import Settings
from edgechess_kit import messages as m

SILENCE = "deadline"  # code of the result that stands for none
ARM_LOST = "arm-lost"  # code of an answer: nobody reports what an arm did
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
    REPAIR = "repair"
    SETUP = "setup"
    SETUP_ARM = "setup-arm"


PHASES: dict[Stage, m.Phase] = {
    Stage.STARTING: "board-before",
    Stage.BOARD_BEFORE: "board-before",
    Stage.ARM: "arm",
    Stage.PARKING: "arm",
    Stage.PERSON: "arm",
    Stage.BOARD_AFTER: "board-after",
    Stage.REPAIR: "arm",
    Stage.SETUP: "board-before",
    Stage.SETUP_ARM: "arm",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """Of a setup. `pieces`: all that was known of when the last job was given. `homeward`: jobs that were to bring spare
    pieces home."""

    jobs: int = 0
    failures: int = 0
    pieces: str = ""
    homeward: int = 0


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
    visit: int = 0
    """Counts the stages entered, so that no late answer to a question of one is taken for the next one's."""
    attempt: int = 0
    """Times that the board was asked in this stage."""
    asked: tuple[str, ...] = ()
    """Their request ids; an answer to any of them counts."""
    trouble: str | None = None
    """What a blind board said of itself."""
    job: m.ArmJob | None = None
    """The move's, or the newest repair's or setup's."""
    repairs: int = 0
    """Repairs ordered for this request."""
    progress: Progress | None = None
    """Only of a setup."""
    goal: Literal["before", "after"] = "after"
    """Of the two positions the one that the job leads to, and that the board is asked for afterwards."""
    grasps: tuple[m.GraspReport, ...] = ()
    """All that was felt since the board last showed the position before the move, be it for an earlier request."""
    unreported: bool = False
    """Since then an arm did something that nobody has reported."""
    held: Held | None = None
    wrong: str | None = None
    """What the board showed instead of the position before the move, when it was looked at first."""
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
    def move_id(self) -> str:
        """One token can never lead to two moves, not even over a lost journal: the id is made of it."""
        digest = hashlib.sha256(f"{self.request.session_id}\0{self.token}".encode())
        return f"job-{digest.hexdigest()[:24]}"

    @property
    def job_id(self) -> str:
        """Of the job under way, or of the one that will be given next."""
        return self.job.job_id if self.job is not None else self.move_id


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """`life` tells one process from the next: an answer to a question of an earlier one is not taken for ours."""

    settings: Settings
    life: str
    session: Session | None = None
    work: Work | None = None
    board: m.BoardState | None = None
    arms: m.ArmState | None = None
    repairs: int = 0
    """Ordered in this session."""
    grasps: tuple[m.GraspReport, ...] = ()
    unreported: bool = False
    """Both as in `Work`: what a request that failed has left in doubt, until the board shows a confirmed position."""
    lying: Lying | None = None
    """What a request that failed has left on the board, perhaps not upright, until somebody is seen to have lifted it."""
    last_answer: tuple[float, m.GameResponse] | None = None
    """From the journal: the newest answer and when it became durable. Only for the first moment after a restart."""

    @property
    def stage(self) -> Stage:
        if self.work is not None:
            return self.work.stage
        if self.session is None:
            return Stage.NO_SESSION
        return Stage.ENDED if self.session.over else Stage.READY


def commanded(work: Work, job: m.ArmJob) -> Work:
    """The move's job is given: the board shows the position before it, so that nothing felt earlier counts any more."""
    return _given(dataclasses.replace(work, goal="after", grasps=(), unreported=False, held=None), job)


def ordered(work: Work, job: m.ArmJob, goal: Literal["before", "after"]) -> Work:
    """A repair is given."""
    return _given(dataclasses.replace(work, goal=goal, repairs=work.repairs + 1, wrong=None), job)


def given_setup(work: Work, job: m.ArmJob, progress: Progress) -> Work:
    """The next job of a setup is given."""
    return dataclasses.replace(_given(work, job), progress=progress)


def answered(state: State, work: Work, response: m.GameResponse) -> State:
    """The request is over. What a move that failed has left in doubt outlives it."""
    state = dataclasses.replace(state, work=None)
    if response.status == 200:
        return dataclasses.replace(state, grasps=(), unreported=False, lying=None)
    found = response.detail.found if response.detail is not None else None
    if found is not None:
        state = dataclasses.replace(state, lying=left_lying(state, work, found))
    if work.request.action != "move":
        return state
    lost = response.detail is not None and response.detail.code == ARM_LOST
    return dataclasses.replace(state, grasps=work.grasps, unreported=work.unreported or lost)


def left_lying(state: State, work: Work, found: str) -> Lying | None:
    """A piece that an arm has lost, for this request or an earlier one, and that the settled placement `found` shows."""
    if work.job is not None and work.result is not None:
        base, grasps = work.job.before, work.grasps
        if work.request.action == "move" and state.session is not None:
            base = state.session.fen
        elif work.request.action == "setup":
            grasps = work.result.grasps
        felt = lying(placement(base), found, grasps)
        if felt is not None:
            return felt
    return state.lying if state.lying is not None and state.lying.still(found) else None


def ended(work: Work, result: m.ArmJobResult) -> Work:
    """The job under way is over."""
    held = Held(result.arm, result.holding) if result.arm is not None and result.holding is not None else None
    silent = result.outcome == "unknown" and result.code == SILENCE
    unreported = work.unreported or silent
    return dataclasses.replace(
        work, result=result, grasps=(*work.grasps, *result.grasps), unreported=unreported, held=held
    )


def _given(work: Work, job: m.ArmJob) -> Work:
    return dataclasses.replace(work, job=job, result=None, heard=False, heard_at=0.0, gone=False, rested=False)


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

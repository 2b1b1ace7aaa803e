"""One match as values: what was agreed, what is confirmed, and the step it stands at. Nothing here acts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import chess

from edgechess_kit.messages import Executor
from edgechess_match_director.rules import Ending, replay

Seat = Literal["answers", "person", "hand"]
Color = Literal["w", "b"]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What was agreed when the match was created; it never changes.

    `salt` goes into every taskToken, so that a session id used again (another journal, another day) never meets the
    answers of an older match. `max_plies` 0: no limit. Times are Unix seconds.
    """

    session_id: str
    salt: str
    white: str
    black: str
    white_seat: Seat
    black_seat: Seat
    start_fen: str
    robot_enabled: bool = True
    max_plies: int = 0
    created_at: float = 0.0
    number: int = 1
    """Of this match among those of one table, from 1."""
    resets: str = ""
    """The session whose pieces the arms are to set up before the start; empty: the table is set up by others."""

    def seat(self, color: Color) -> Seat:
        return self.white_seat if color == "w" else self.black_seat

    def word(self, color: Color) -> str:
        return self.white if color == "w" else self.black


@dataclasses.dataclass(frozen=True, slots=True)
class Thought:
    """How a player that climbs the attempt ladder came to its move. `failures`: of its attempts, each as it is told.

    `fallback`: an engine moved instead of the model. `constrained`: the model was shown legal moves only.
    """

    attempts: int = 0
    failures: tuple[str, ...] = ()
    fallback: bool = False
    constrained: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Ply:
    """One confirmed move; `fen` is the position after it. `think_s`: from the question (or the turn, for a person) to the choice. `at`: Unix seconds.
    `executor`: who was asked for at last; None left it to the manager."""

    uci: str
    san: str
    fen: str
    by: str
    think_s: float
    at: float
    timings_s: Mapping[str, float]
    executor: Executor | None = None
    helped: bool = False
    retried: int = 0
    repaired: int = 0
    """Repair jobs that its arms were given on the way."""
    thought: Thought | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Errand:
    """What is wanted of the game manager, through all its requests: one move, or (`uci` None) the start, or before that
    (`setup`) a table that is set up.

    `requests`: taskTokens used so far for it. `arm_failures`: after so many the move is left to a person.
    `uncertain`: the last failure left the table in doubt, so somebody has to look at it.
    """

    uci: str | None
    by: str = ""
    think_s: float = 0.0
    requests: int = 0
    arm_failures: int = 0
    busy: int = 0
    helped: bool = False
    uncertain: bool = False
    repaired: int = 0
    """Repair jobs of the requests that have failed."""
    setup: bool = False
    thought: Thought | None = None
    entered: bool = False
    """A person's move that was entered on a page: the arm makes it, where there is one."""
    wanted: str | None = None
    """Of a setup that failed: the placement that a person was asked for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """Waits for "start"."""


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """The start or a move is confirmed, and the process died before it wrote what follows. `theirs`: the manager's end."""

    theirs: Ending | None


@dataclasses.dataclass(frozen=True, slots=True)
class Asking:
    """The player is asked for the `attempt`-th time (from 1)."""

    attempt: int
    since: float


@dataclasses.dataclass(frozen=True, slots=True)
class Watching:
    """A person is to move at the board. `seen`: a move that the board shows and nobody has reported yet."""

    since: float
    seen: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A move is chosen but not requested: the match is paused, or was interrupted here."""

    errand: Errand


@dataclasses.dataclass(frozen=True, slots=True)
class Requesting:
    """One request is out. `sent` counts its publications, all with the same token."""

    errand: Errand
    token: str
    executor: Executor | None
    sent: int


@dataclasses.dataclass(frozen=True, slots=True)
class Blocked:
    """The last request failed (500). Waits until the board shows the position before or after it."""

    errand: Errand
    sight: Literal["before", "after"] | None = None
    """What the board shows of the two, while its timer runs."""
    waited: int = 0
    """Times that it waited for a stopped arm."""


@dataclasses.dataclass(frozen=True, slots=True)
class Postponed:
    """The manager was busy (400, nothing touched). The next request gets a new token."""

    errand: Errand


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    ending: Ending


Step = Created | Due | Asking | Watching | Held | Requesting | Blocked | Postponed | Ended


@dataclasses.dataclass(frozen=True, slots=True)
class BoardView:
    """The board as last published. Only a settled reading of a connected board is ever decided on."""

    settled: bool
    placement: str | None
    """First FEN field."""


@dataclasses.dataclass(frozen=True, slots=True)
class ArmsView:
    """`ready`: no arm is stopped, faulty, offline or holding, and no job is under way. `moving`: one is in motion."""

    ready: bool
    moving: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """The state of the machine. `fen` is the confirmed position; `timer` the number of the timer that counts."""

    plan: Plan
    step: Step
    fen: str
    plies: tuple[Ply, ...] = ()
    played: int = 0
    """Moves that were requested and not refused or failed since: what the director's own board has. With `confirmed`
    it is counted from other entries than `plies`, so that a defect in the one shows against the other."""
    confirmed: int = 0
    """Answers 200 to moves."""
    paused: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    draw_offers: tuple[Color, ...] = ()
    close: Ending | None = None
    """Ends the match as soon as the request under way has its answer: a resignation does not stop an arm in flight."""
    setup_helped: bool = False
    """Before the start a person had to help the arms to set the table up."""
    board: BoardView | None = None
    arms: ArmsView | None = None
    timer: int = 0

    @property
    def turn(self) -> Color:
        return "w" if self.fen.split(" ")[1] == "w" else "b"

    @property
    def moves(self) -> tuple[str, ...]:
        return tuple(ply.uci for ply in self.plies)

    def position(self) -> chess.Board:
        """The confirmed position, with the moves on its stack that a repetition can reach back to."""
        reach = min(int(self.fen.split(" ")[4]), len(self.plies))
        earlier = self.plies[: len(self.plies) - reach]
        return replay(earlier[-1].fen if earlier else self.plan.start_fen, self.moves[len(earlier) :])


def new_match(plan: Plan) -> Match:
    """Created, not started. Raises ValueError where the starting position is not a legal chess position."""
    board = chess.Board(plan.start_fen)
    if not board.is_valid():
        raise ValueError(f"{plan.start_fen} is not a possible chess position")
    return Match(plan=plan, step=Created(), fen=board.fen())

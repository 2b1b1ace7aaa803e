"""What can happen to the manager. Every event carries `at`, Unix seconds, so that the machine needs no clock."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

from edgechess_game_manager.rules import Verdict
from edgechess_kit import messages as m

TimerName = Literal["board", "arm-repeat", "arm", "rest", "person"]


@dataclasses.dataclass(frozen=True, slots=True)
class Restored:
    """The process started and the state was folded from the journal."""

    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class RequestSeen:
    """A game request that parses. `earlier`: the answer that its token was given before, from the journal."""

    at: float
    request: m.GameRequest
    earlier: m.GameResponse | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class MalformedSeen:
    """A game request that does not parse. `token` is what could be read of it."""

    at: float
    code: Literal["malformed", "oversized"]
    reason: str
    token: str | None = None
    earlier: m.GameResponse | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class BoardStarted:
    at: float
    response: m.BoardStartResponse


@dataclasses.dataclass(frozen=True, slots=True)
class BoardAnswered:
    at: float
    response: m.BoardValidateResponse


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessedSeen:
    """The sample board's unsolicited word after the pieces moved."""

    at: float
    message: m.BoardProcessed


@dataclasses.dataclass(frozen=True, slots=True)
class BoardSeen:
    at: float
    board: m.BoardState


@dataclasses.dataclass(frozen=True, slots=True)
class JobEnded:
    at: float
    result: m.ArmJobResult


@dataclasses.dataclass(frozen=True, slots=True)
class ArmMoved:
    """The sample arms' answer."""

    at: float
    response: m.ArmMoveResponse


@dataclasses.dataclass(frozen=True, slots=True)
class ArmsSeen:
    at: float
    arms: m.ArmState


@dataclasses.dataclass(frozen=True, slots=True)
class VerdictSeen:
    """The owner of the match says that the game is over although the board does not show it: a resignation, a draw.

    `known`: the journal holds this request id already.
    """

    at: float
    verdict: Verdict
    known: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class TimerFired:
    at: float
    name: TimerName


Event: TypeAlias = (
    Restored
    | RequestSeen
    | MalformedSeen
    | BoardStarted
    | BoardAnswered
    | ProcessedSeen
    | BoardSeen
    | JobEnded
    | ArmMoved
    | ArmsSeen
    | VerdictSeen
    | TimerFired
)

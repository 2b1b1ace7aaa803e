"""What can happen to a match, and what it can want done. The machine's whole vocabulary.

`at` is Unix seconds by the component's clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from edgechess_kit.messages import GameRequest, GameResponse, SessionControl
from edgechess_match_director.match import ArmsView, BoardView, Color, Thought

# ---------------------------------------------------------------- events


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Pause:
    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Resume:
    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Resign:
    """`color` gives up."""

    at: float
    color: Color
    reason: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Draw:
    """`color` agrees to a draw; None: both do."""

    at: float
    color: Color | None


@dataclasses.dataclass(frozen=True, slots=True)
class Entered:
    """A person's move that was entered on a page: nobody has touched the board for it."""

    at: float
    uci: str


@dataclasses.dataclass(frozen=True, slots=True)
class Restarted:
    """The process came back; the match was read from its journal."""

    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
    """The player answered the question (`ply` from 1, `attempt`) with a move, which may still be illegal."""

    at: float
    ply: int
    attempt: int
    uci: str
    by: str
    reason: str | None = None
    thought: Thought | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class GaveUp:
    """The player resigned instead."""

    at: float
    ply: int
    attempt: int
    by: str


@dataclasses.dataclass(frozen=True, slots=True)
class PlayerError:
    """The player gave no usable answer."""

    at: float
    ply: int
    attempt: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class ReplayDone:
    """A replayed game has no further move. `result` None: the record does not fit or does not say."""

    at: float
    ply: int
    attempt: int
    result: str | None
    termination: str | None
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class PersonMoved:
    """The sensor recognised a person's move."""

    at: float
    session_id: str
    uci: str
    before: str


@dataclasses.dataclass(frozen=True, slots=True)
class Answered:
    """The game manager answered some request, perhaps an old one, perhaps again."""

    at: float
    response: GameResponse


@dataclasses.dataclass(frozen=True, slots=True)
class BoardShown:
    at: float
    view: BoardView


@dataclasses.dataclass(frozen=True, slots=True)
class ArmsShown:
    at: float
    view: ArmsView


@dataclasses.dataclass(frozen=True, slots=True)
class SessionEnded:
    """The game manager says that its session is over."""

    at: float
    session_id: str
    result: str | None
    termination: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Tick:
    """Timer `number` has run out."""

    at: float
    number: int


Event = (
    Start | Pause | Resume | Resign | Draw | Entered | Restarted | Chosen | GaveUp | PlayerError | ReplayDone | PersonMoved
    | Answered | BoardShown | ArmsShown | SessionEnded | Tick
)  # fmt: skip

# ---------------------------------------------------------------- effects, done in the order given


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """Into the journal, durable before anything after it happens, and out on `edge/events`."""

    kind: str
    data: Mapping[str, Any]
    key: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Publish:
    request: GameRequest


@dataclasses.dataclass(frozen=True, slots=True)
class Tell:
    """The game manager learns of an end that the board does not show."""

    control: SessionControl


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """Ask the player who is to move; the answer carries `ply` and `attempt`."""

    color: Color
    ply: int
    attempt: int


@dataclasses.dataclass(frozen=True, slots=True)
class StopAsking:
    """Whatever is being asked is of no more interest."""


@dataclasses.dataclass(frozen=True, slots=True)
class Timer:
    """The one timer of the machine, set anew: any earlier one no longer counts."""

    number: int
    delay_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """Write the PGN."""


@dataclasses.dataclass(frozen=True, slots=True)
class Say:
    """The component's health."""

    status: Literal["ready", "degraded"]
    reason: str | None = None


Effect = Note | Publish | Tell | Ask | StopAsking | Timer | Record | Say

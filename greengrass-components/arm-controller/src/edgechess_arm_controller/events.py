"""What happens to the arm controller."""

from __future__ import annotations

import dataclasses

from edgechess_arm_controller.motion import Part
from edgechess_kit.messages import ArmControl, ArmJob, ArmJobResult
from edgechess_robots.arm import Plan, Report


@dataclasses.dataclass(frozen=True, slots=True)
class Looked:
    """Nothing but new measurements, or time."""


@dataclasses.dataclass(frozen=True, slots=True)
class JobAsked:
    """`recorded`: the result (and move) the journal holds for this id. `session_known`: the table was reset for it."""

    job: ArmJob
    recorded: tuple[ArmJobResult, str] | None
    session_known: bool


@dataclasses.dataclass(frozen=True, slots=True)
class JobPlanned:
    """Every motion of the job passed every check. `number` as of its PlanJob, `arm` the one that can do it."""

    number: int
    parts: tuple[Part, ...]
    arm: str


@dataclasses.dataclass(frozen=True, slots=True)
class JobImpossible:
    number: int
    code: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class RetreatPlanned:
    """The way up and home, checked. `plan` None: there is none, and `reason` says why. `behind`: an arm in its way."""

    number: int
    plan: Plan | None
    reason: str = ""
    behind: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ActEnded:
    act: int
    report: Report


@dataclasses.dataclass(frozen=True, slots=True)
class Brought:
    """The arm was stopped, released and made ready, or `error` says why not."""

    arm: str
    error: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class StopAsked:
    """The arms have been told to stop already; this is its record."""

    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class ControlAsked:
    """park, recover or refilled. `repeated`: the journal holds such a word with this request id."""

    control: ArmControl
    repeated: bool


@dataclasses.dataclass(frozen=True, slots=True)
class SessionSeen:
    session_id: str
    known: bool


@dataclasses.dataclass(frozen=True, slots=True)
class EndAsked:
    """The process is to end in order."""


Event = (
    Looked
    | JobAsked
    | JobPlanned
    | JobImpossible
    | RetreatPlanned
    | ActEnded
    | Brought
    | StopAsked
    | ControlAsked
    | SessionSeen
    | EndAsked
)

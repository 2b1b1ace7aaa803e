"""What the arm controller has done. A `Note` among them is durable before whatever follows it."""

from __future__ import annotations

import dataclasses

from edgechess_arm_controller.slots import Slots
from edgechess_arm_controller.table import Note
from edgechess_kit.messages import ArmControlResponse, ArmJob, ArmJobResult
from edgechess_robots.arm import Plan


@dataclasses.dataclass(frozen=True, slots=True)
class PlanJob:
    """Choreograph, plan and check; answered by JobPlanned or JobImpossible under the same number, at once or later, unless
    it is not wanted any more by then (`wanted`)."""

    number: int
    job: ArmJob
    arm: str | None
    """None: a setup that nobody has given to one arm."""
    slots: Slots
    """What lies beside the board: the plan is good for nothing else."""
    piece: str | None = None
    """What the arm holds already."""


@dataclasses.dataclass(frozen=True, slots=True)
class PlanRetreat:
    """Answered by RetreatPlanned under the same number, at once or later, unless it is not wanted any more by then
    (`wanted`)."""

    number: int
    arm: str
    held: bool
    open_first: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Begin:
    """Execute; answered by exactly one ActEnded."""

    act: int
    arm: str
    plan: Plan
    token: int


@dataclasses.dataclass(frozen=True, slots=True)
class StopArms:
    arms: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Bring:
    """Stop, release, make ready; answered by Brought unless a stop or a lost link comes between.

    `confirmed`: a person looked, so alarms may be cleared as well.
    """

    arm: str
    confirmed: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """Publish a job's result. `lan` for managers that speak only the sample's protocol."""

    result: ArmJobResult
    lan: str


@dataclasses.dataclass(frozen=True, slots=True)
class Respond:
    response: ArmControlResponse


Effect = Note | PlanJob | PlanRetreat | Begin | StopArms | Bring | Answer | Respond

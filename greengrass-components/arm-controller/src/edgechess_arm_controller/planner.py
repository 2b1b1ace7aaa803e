"""From a job to checked parts: choreography, motion, and the arm's own check of every motion, before anything moves."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from edgechess_arm_controller.choreography import Carry, move_carries, pieces_on, rearrangement
from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.motion import Handling, Part, Standing, plan_parts, whole
from edgechess_arm_controller.slots import Slots
from edgechess_kit.messages import ArmJob
from edgechess_robots.arm import CheckedPlan, Plan
from edgechess_robots.errors import PlanRefused
from edgechess_robots.layout import TableLayout
from edgechess_robots.shapes import ShapeSet

CARRIES_LIMIT = 32  # a whole set; the result names every one of them and must fit the smallest transport


class Checker(Protocol):
    def check(self, plan: Plan) -> CheckedPlan:
        """As `edgechess_robots.arm.Arm.check`. Raises PlanRefused."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ground:
    """What does not change from job to job: the table's places, the set of pieces, the way they are handled."""

    layout: TableLayout
    shapes: ShapeSet
    handling: Handling


def plan_job(
    job: ArmJob, arm: str, slots: Slots, ground: Ground, checker: Checker
) -> tuple[tuple[Part, ...], CheckedPlan | None]:
    """The parts of the job, and the check of all of them as one plan (None when there is nothing to carry).

    A slot that the arm does not reach is left out and another one is tried. Raises JobRefused.
    """
    avoid: frozenset[str] = frozenset()
    refusal: JobRefused | None = None
    while True:
        try:
            carries = _carries(job, arm, slots, avoid)
        except JobRefused as error:
            raise refusal or error from None
        if not carries:
            return (), None
        if len(carries) > CARRIES_LIMIT:
            raise JobRefused("limits", f"{len(carries)} carries in one job: {CARRIES_LIMIT} is the limit")
        board = pieces_on(job.before)
        beside = {slot.name: slot.piece for slot in slots if slot.piece is not None}
        parts = plan_parts(carries, Standing({**board, **beside}), ground.layout, ground.shapes, ground.handling)
        try:
            return parts, checker.check(whole(parts))
        except PlanRefused as error:
            part = _culprit(parts, checker)
            beyond = {name for name in (part.carry.from_place, part.carry.to_place) if name in slots} if part else set()
            if not beyond or any(name.split("-")[1] == arm for name in beyond):  # another arm's slots were only a hope
                refusal = refusal or JobRefused(error.code, f"{part.carry if part else 'the plan'}: {error}")
            if refusal is not None and not beyond:
                raise refusal from error
            avoid |= beyond


def _carries(job: ArmJob, arm: str, slots: Slots, avoid: frozenset[str]) -> tuple[Carry, ...]:
    if job.kind == "move":
        return move_carries(job.before, job.after, job.lan, arm, slots, avoid)
    return rearrangement(job.before, job.after, arm, slots, avoid)


def _culprit(parts: tuple[Part, ...], checker: Checker) -> Part | None:
    """The first part that is refused by itself."""
    for part in parts:
        try:
            checker.check(part.plan)
        except PlanRefused:
            return part
    return None

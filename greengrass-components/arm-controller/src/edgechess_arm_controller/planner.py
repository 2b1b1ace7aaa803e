"""From a job to checked parts: choreography, motion, the arm's own check of every motion, and what all of it leaves to
everything that stands on the table and to the other arms; all before anything moves.

A long job takes a slow machine seconds, so all of it is `Gradual`: a stop, a heartbeat and a measurement wait for one
motion or one part at most.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from edgechess_arm_controller import motion
from edgechess_arm_controller.choreography import Carry, move_carries, piece_name, pieces_on, rearrangement
from edgechess_arm_controller.clearance import Field, Hand, corner
from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.hand import Handling
from edgechess_arm_controller.motion import Amends, Leg, Part, Standing, carried, each_part, field_of, shape_of, whole
from edgechess_arm_controller.obstacles import met_arm, met_by_links, nearest, outlines_of
from edgechess_arm_controller.slots import Slots
from edgechess_kit.messages import ArmJob
from edgechess_robots.arm import ArmState, CheckedPlan, Fingered, Gradually, Open, Plan, Straight, Travel
from edgechess_robots.body import Floats, Sweep
from edgechess_robots.errors import PlanRefused
from edgechess_robots.gradual import Gradual
from edgechess_robots.layout import TableLayout
from edgechess_robots.shapes import ShapeSet

CARRIES_LIMIT = 32  # a whole set; the result names every one of them and must fit the smallest transport
HIGHEST_MM = 350.0  # of the tool on its ways: over three times the tallest piece; beyond it the arm runs out of reach
ATTEMPTS = 8  # at one plan: each lifts one way over what stands in it, or leaves one corner sharp


class Checker(Protocol):
    """As `edgechess_robots.arm.Arm`."""

    def check(self, plan: Plan) -> CheckedPlan:
        """Raises PlanRefused."""

    def state(self) -> ArmState: ...


def checking(checker: Checker, plan: Plan) -> Gradual[CheckedPlan]:
    """In slices where the arm can. Raises PlanRefused."""
    if isinstance(checker, Gradually):
        return (yield from checker.checking(plan))
    yield
    return checker.check(plan)


@dataclasses.dataclass(frozen=True, slots=True)
class Ground:
    """What does not change from job to job: the table's places, the set of pieces, the way they are handled."""

    layout: TableLayout
    shapes: ShapeSet
    handling: Handling


def plan_job(
    job: ArmJob,
    arm: str,
    slots: Slots,
    ground: Ground,
    checker: Checker,
    others: Mapping[str, object] | None = None,
) -> Gradual[tuple[tuple[Part, ...], CheckedPlan | None]]:
    """The parts of a move or a repair, and the check of all of them as one plan (None when there is nothing to carry).

    `others`: the table's arms by name; those that tell where their links are (`Outlined`) are kept clear of. A slot that
    the arm does not reach is left out and another one is tried. Raises JobRefused.
    """
    avoid: frozenset[str] = frozenset()
    refusal: JobRefused | None = None
    outlines = outlines_of(others or {}, arm)
    while True:
        try:
            carries = _carries(job, arm, slots, avoid)
        except JobRefused as error:
            raise refusal or error from None
        if not carries:
            return (), None
        if len(carries) > CARRIES_LIMIT:
            raise JobRefused("limits", f"{len(carries)} carries in one job: {CARRIES_LIMIT} is the limit")
        attempt = Attempt(carries, standing(job, slots), ground, checker, outlines)
        try:
            return (yield from attempt.checked())
        except PlanRefused as error:
            part = yield from culprit(attempt.parts, checker)
            beyond = {name for name in (part.carry.from_place, part.carry.to_place) if name in slots} if part else set()
            if not beyond or any(name.split("-")[1] == arm for name in beyond):  # another arm's slots were only a hope
                refusal = refusal or JobRefused(error.code, f"{part.carry if part else 'the plan'}: {error}")
            if refusal is not None and not beyond:
                raise refusal from error
            avoid |= beyond


def standing(job: ArmJob, slots: Slots) -> Standing:
    """What stands on the table before the job, and beside it. Raises JobRefused("malformed")."""
    beside = {slot.name: slot.piece for slot in slots if slot.piece is not None}
    return Standing({**pieces_on(job.before), **beside})


@dataclasses.dataclass(frozen=True, slots=True)
class _InTheWay:
    """A piece (or an arm) that some motion comes too near to. `raise_mm`: how much higher the way would have to be."""

    part: int
    step: int
    corner: bool
    who: str
    raise_mm: float | None = None


class Attempt:
    """One choreography being planned: planned low and round, looked at along its real way, and amended where something
    is in it."""

    def __init__(
        self,
        carries: Sequence[Carry],
        standing: Standing,
        ground: Ground,
        checker: Checker,
        outlines: Mapping[str, Floats],
    ) -> None:
        self._carries = carries
        self._standing = standing
        self._ground = _within_stroke(ground, checker)
        self._checker = checker
        self._outlines = outlines
        measured = checker.state()
        self._start = measured.tool if measured.parked else None
        self._amends = Amends()
        self.parts: tuple[Part, ...] = ()
        self.blocked: tuple[Part, int] | None = None
        """Where something was in the way for good: the part, and which of its steps."""

    def checked(self) -> Gradual[tuple[tuple[Part, ...], CheckedPlan]]:
        """Raises PlanRefused, and JobRefused("clearance") naming what is in the way."""
        found: _InTheWay | None = None
        refusal: PlanRefused | None = None
        for _ in range(ATTEMPTS):
            yield from self._plan()
            try:
                checked = yield from checking(self._checker, whole(self.parts))
            except PlanRefused as error:
                if self._amends.jointed or self._start is None or (yield from self._first_way_is_possible()):
                    raise refusal or error from None
                refusal, self._amends = error, dataclasses.replace(self._amends, jointed=True)
                continue
            found = yield from self._look(checked)
            if found is None:
                return self.parts, checked
            self._amend(found)
        raise self._refusal(found)

    def _plan(self) -> Gradual[None]:
        self.parts = ()
        for part in each_part(
            self._carries, self._standing, self._ground.layout, self._ground.shapes, self._ground.handling,
            self._start, self._amends,
        ):  # fmt: skip
            self.parts = (*self.parts, part)
            yield

    def _first_way_is_possible(self) -> Gradual[bool]:
        """Whether the straight way from the park to the first piece is one that the arm can go."""
        first = self.parts[0].plan.steps[motion.APPROACH]
        assert isinstance(first, Straight)
        try:
            yield from checking(self._checker, Plan((dataclasses.replace(first, blend_mm=0.0),)))
        except PlanRefused:
            return False
        return True

    def _refusal(self, found: _InTheWay | None) -> JobRefused:
        if found is None:
            return JobRefused("clearance", "no way was found that is clear of everything")
        self.blocked = (self.parts[found.part], found.step)
        return JobRefused("clearance", f"{self.parts[found.part].carry}: {found.who} is in the way")

    def _amend(self, found: _InTheWay) -> None:
        """Raises JobRefused where nothing can be done about it."""
        amends, at = self._amends, (found.part, found.step)
        if found.corner and at not in amends.sharp:
            self._amends = dataclasses.replace(amends, sharp=amends.sharp | {at})
            return
        leg = motion.LEG_OF.get(found.step)
        if found.corner or leg is None or found.raise_mm is None:
            raise self._refusal(found)
        step = self.parts[found.part].plan.steps[motion.LEAVE if leg == "home" else found.step]
        assert isinstance(step, Straight | Travel)
        floor = step.target.z_mm + found.raise_mm + 1.0  # so that no rounding brings it back
        if floor > HIGHEST_MM:
            raise self._refusal(found)
        key: tuple[int, Leg] = (found.part, leg)
        self._amends = dataclasses.replace(amends, floors={**amends.floors, key: floor})

    def _look(self, checked: CheckedPlan) -> Gradual[_InTheWay | None]:
        """The first thing that some motion comes too near to, along the ways that the driver tells."""
        if not checked.sweeps:
            return None
        ground, standing, first = self._ground, self._standing, 0
        before = field_of(standing, ground.layout, ground.shapes)
        for number, part in enumerate(self.parts):
            sweeps = checked.sweeps[first : first + len(part.plan.steps)]
            after = carried(before, part.carry, ground.layout)
            found = self._look_at(number, part, sweeps, standing, before, after) or self._meets(number, sweeps)
            if found is not None:
                return found
            standing, before = standing.moved(part.carry), after
            first += len(part.plan.steps)
            yield
        return None

    def _meets(self, number: int, sweeps: Sequence[Sweep | None]) -> _InTheWay | None:
        met = met_arm(sweeps, self._outlines, self._ground.handling)
        return None if met is None else _InTheWay(number, 0, False, f"arm {met}")

    def _look_at(
        self,
        number: int,
        part: Part,
        sweeps: Sequence[Sweep | None],
        standing: Standing,
        before: Field,
        after: Field,
    ) -> _InTheWay | None:
        handling, steps = self._ground.handling, part.plan.steps
        around = before.without(part.carry.from_place)
        shape = shape_of(self._ground.shapes, part.carry.piece)
        openings = [step.width_mm for step in steps if isinstance(step, Open)]
        empty, full, emptied = Hand(openings[0]), Hand(shape.grasp_width_mm, shape), Hand(openings[1])
        left = after.without(part.carry.to_place)
        scenes: Mapping[int, tuple[Hand, Field, Field]] = {  # the hand, what it must clear on its way and in its corner
            motion.APPROACH: (empty, before, before),
            motion.LOWER: (empty, around, around),
            motion.LIFT: (full, around, around),
            motion.CROSS: (full, around, around),
            motion.SET_DOWN: (full, around, around),
            motion.LEAVE: (emptied, left, after),
            motion.HOME: (emptied, after, after),
        }
        for index, (hand, way, bend) in scenes.items():
            sweep = sweeps[index] if index < len(sweeps) else None
            if sweep is None:
                continue
            found, short_mm = nearest(sweep.tool_mm, sweep.yaw_deg, hand, way, handling)
            if found is not None:
                return _InTheWay(number, index, False, _who(found, standing, part.carry), short_mm)
            met = met_by_links(sweep, way, handling)
            if met is not None:
                return _InTheWay(number, index, False, _who(met, standing, part.carry))
            step, following = steps[index], sweeps[index + 1] if index + 1 < len(sweeps) else None
            if isinstance(step, Straight) and step.blend_mm > 0.0 and following is not None:
                points = _rounded(sweep, following, step.blend_mm)
                found, _ = nearest(points, np.full(len(points), sweep.yaw_deg[-1]), hand, bend, handling)
                if found is not None:
                    return _InTheWay(number, index, True, _who(found, standing, part.carry))
        return None


def _within_stroke(ground: Ground, checker: Checker) -> Ground:
    """Openings are planned no wider than the arm's fingers open, where it tells that."""
    if not isinstance(checker, Fingered):
        return ground
    limit_mm = min(ground.handling.opening_limit_mm, checker.stroke_mm)
    return dataclasses.replace(ground, handling=dataclasses.replace(ground.handling, opening_limit_mm=limit_mm))


def _rounded(sweep: Sweep, following: Sweep, radius_mm: float) -> Floats:
    """The corner between two ways, the second of which need not be straight."""
    at = sweep.tool_mm[-1]
    beyond = np.linalg.norm(following.tool_mm - at, axis=1) >= radius_mm
    after = following.tool_mm[int(beyond.argmax()) if beyond.any() else -1]
    return corner(sweep.tool_mm[0].tolist(), at.tolist(), after.tolist(), radius_mm)


def _who(place: str, standing: Standing, carry: Carry) -> str:
    piece = carry.piece if place == carry.to_place else standing.pieces[place]
    return f"the {piece_name(piece)} at {place}"


def _carries(job: ArmJob, arm: str, slots: Slots, avoid: frozenset[str]) -> tuple[Carry, ...]:
    if job.kind == "move":
        return move_carries(job.before, job.after, job.lan, arm, slots, avoid)
    return rearrangement(job.before, job.after, arm, slots, avoid)


def culprit(parts: tuple[Part, ...], checker: Checker) -> Gradual[Part | None]:
    """The first part that is refused by itself."""
    for part in parts:
        try:
            yield from checking(checker, part.plan)
        except PlanRefused:
            return part
    return None

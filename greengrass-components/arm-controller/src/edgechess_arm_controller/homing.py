"""What an arm may do after a failure: go home from wherever it stands, or put down the piece that it has in its gripper.
Looked at like every plan, along its real way, before anything moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgechess_arm_controller.choreography import Carry, from_hand, from_hand_anywhere, piece_name, pieces_on
from edgechess_arm_controller.clearance import Field, Hand
from edgechess_arm_controller.errors import ArmInTheWay, JobRefused
from edgechess_arm_controller.motion import (
    PLACING_LEAVE,
    PLACING_LOWER,
    PLACING_OVER,
    PLACING_PARK,
    Part,
    Standing,
    field_of,
    placing_part,
    retreat,
    shape_of,
)
from edgechess_arm_controller.obstacles import met_arm, met_by_links, nearest, outlines_of
from edgechess_arm_controller.planner import ATTEMPTS, HIGHEST_MM, Checker, Ground, checking
from edgechess_arm_controller.slots import Slots
from edgechess_kit.messages import ArmJob
from edgechess_robots.arm import CheckedPlan, Park, Plan
from edgechess_robots.body import Sweep
from edgechess_robots.errors import PlanRefused
from edgechess_robots.gradual import Gradual
from edgechess_robots.layout import TableLayout
from edgechess_robots.poses import Pose
from edgechess_robots.shapes import ShapeSet

PLACES_TRIED = (
    8  # for a piece in a gripper during a setup: each is a whole plan, and who cannot reach eight needs a person
)
HIGHER_MM = 20.0  # where links and not the hand come too near, how much higher the next attempt is


def plan_way_home(
    arm: str,
    tool: Pose | None,
    slots: Slots,
    ground: Ground,
    checker: Checker,
    others: Mapping[str, object],
    *,
    held: bool,
    open_first: bool,
) -> Gradual[Plan]:
    """Straight up from where the tool is (None: it is parked), then to the park.

    What stands where on the board is not known after a failure: every square counts as if the tallest piece stood on it.
    A hand that goes straight up cannot come nearer to anything upright, so that on the way up only the links are looked at.
    Raises PlanRefused, ArmInTheWay, or JobRefused("clearance") naming the place.
    """
    field = _anything(slots, ground)
    hand = _unknown_hand(ground, held and not open_first)
    outlines = outlines_of(others, arm)
    floor_mm, found = 0.0, ""
    for _ in range(ATTEMPTS):
        plan = retreat(
            tool, ground.shapes, ground.handling, held=held, open_first=open_first, least_mm=floor_mm
        )  # fmt: skip
        sweeps = (yield from checking(checker, plan)).sweeps
        met = met_arm(sweeps, outlines, ground.handling)
        if met is not None:
            raise ArmInTheWay(met, f"arm {met} is in its way home")
        found, more_mm = _met_on_the_way(plan, sweeps, hand, field, ground)
        if not found:
            return plan
        height = max((float(s.tool_mm[0, 2]) for s in sweeps[-1:] if s is not None), default=HIGHEST_MM)
        floor_mm = height + more_mm + 1.0
        if more_mm <= 0.0 or floor_mm > HIGHEST_MM:
            break
    raise JobRefused("clearance", f"whatever stands at {found} is in its way home")


def _met_on_the_way(
    plan: Plan, sweeps: Sequence[Sweep | None], hand: Hand, field: Field, ground: Ground
) -> tuple[str, float]:
    """A place that something comes too near to, and how much higher would help; 0: nothing would."""
    for step, sweep in zip(plan.steps, sweeps, strict=False):
        if sweep is None:
            continue
        home = isinstance(step, Park)
        if home:
            place, short_mm = nearest(sweep.tool_mm, sweep.yaw_deg, hand, field, ground.handling)
            if place is not None:
                return place, short_mm
        met = met_by_links(sweep, field, ground.handling)
        if met is not None:
            return met, HIGHER_MM if home else 0.0
    return "", 0.0


def _anything(slots: Slots, ground: Ground) -> Field:
    """The tallest and widest piece on every square, and what the slots hold; in a doubtful one anything may stand."""
    shapes = ground.shapes.shapes
    widest = max(shape.base_diameter_mm for shape in shapes) / 2
    rows = []
    for square in (f"{file}{rank}" for file in "abcdefgh" for rank in "12345678"):
        at = ground.layout.square(square)
        rows.append((square, at.x_mm, at.y_mm, widest, ground.shapes.tallest_mm))
    for slot in slots:
        at = ground.layout.place(slot.name)
        if slot.doubtful:
            rows.append((slot.name, at.x_mm, at.y_mm, widest, at.z_mm + ground.shapes.tallest_mm))
        elif slot.piece is not None:
            shape = shape_of(ground.shapes, slot.piece)
            rows.append((slot.name, at.x_mm, at.y_mm, shape.base_diameter_mm / 2, at.z_mm + shape.height_mm))
    return Field.of(rows)


def _unknown_hand(ground: Ground, held: bool) -> Hand:
    """Fingers as wide as they go; between them, perhaps, the piece that hangs lowest."""
    lowest = max(ground.shapes.shapes, key=lambda shape: shape.grasp_height_mm)
    return Hand(ground.handling.opening_limit_mm, lowest if held else None)


def plan_placing(
    job: ArmJob, arm: str, piece: str, slots: Slots, ground: Ground, checker: Checker, others: Mapping[str, object]
) -> Gradual[tuple[Part, CheckedPlan]]:
    """The arm holds `piece`: of the job it does what puts that down, and no more. `job.before` is what the board shows.

    Raises JobRefused naming the piece, the arm or the limit that is in the way; of a setup, in that of the first place.
    """
    if job.kind == "setup":
        carries = from_hand_anywhere(job.before, job.after, arm, piece, slots)[:PLACES_TRIED]
    else:
        carries = (from_hand(job.before, job.after, arm, piece, slots),)
    refusal: JobRefused | None = None
    for carry in carries:
        try:
            return (yield from _plan_placing(job, carry, arm, slots, ground, checker, others))
        except JobRefused as error:
            refusal = refusal or error
        except PlanRefused as error:
            refusal = refusal or JobRefused(error.code, f"{carry}: {error}")
    assert refusal is not None  # there is a place to try, or that there is none was a refusal
    raise refusal


def _plan_placing(
    job: ArmJob, carry: Carry, arm: str, slots: Slots, ground: Ground, checker: Checker, others: Mapping[str, object]
) -> Gradual[tuple[Part, CheckedPlan]]:
    beside = {slot.name: slot.piece for slot in slots if slot.piece is not None}
    standing = Standing({**pieces_on(job.before), **beside})
    measured = checker.state()
    start = measured.tool if measured.parked else None
    outlines = outlines_of(others, arm)
    floor_mm, place = 0.0, ""
    for _ in range(ATTEMPTS):
        part = placing_part(carry, standing, ground.layout, ground.shapes, ground.handling, start, floor_mm)
        checked = yield from checking(checker, part.plan)
        met = met_arm(checked.sweeps, outlines, ground.handling)
        if met is not None:
            raise ArmInTheWay(met, f"{carry}: arm {met} is in the way")
        place, more_mm = _met_while_placing(part, checked, standing, ground)
        if not place:
            return part, checked
        over = checked.sweeps[PLACING_OVER]
        assert over is not None
        floor_mm = float(over.tool_mm[-1, 2]) + more_mm + 1.0
        if more_mm <= 0.0 or floor_mm > HIGHEST_MM:
            break
    letter = carry.piece if place == carry.to_place else standing.pieces[place]
    raise JobRefused("clearance", f"{carry}: the {piece_name(letter)} at {place} is in the way")


def _met_while_placing(part: Part, checked: CheckedPlan, standing: Standing, ground: Ground) -> tuple[str, float]:
    """As `_met_on_the_way`, where it is known what stands."""
    carry, handling, shape = part.carry, ground.handling, shape_of(ground.shapes, part.carry.piece)
    around = field_of(standing, ground.layout, ground.shapes)
    put = _put_down(standing, carry, ground.layout, ground.shapes)
    full, emptied = Hand(shape.grasp_width_mm, shape), Hand(part.opened_mm)
    scenes = {
        PLACING_OVER: (full, around),
        PLACING_LOWER: (full, around),
        PLACING_LEAVE: (emptied, around),
        PLACING_PARK: (emptied, put),
    }
    for index, (hand, field) in scenes.items():
        sweep = checked.sweeps[index] if index < len(checked.sweeps) else None
        if sweep is None:
            continue
        high = index in (PLACING_OVER, PLACING_PARK)
        place, short_mm = nearest(sweep.tool_mm, sweep.yaw_deg, hand, field, handling)
        if place is not None:
            return place, short_mm if high else 0.0
        met = met_by_links(sweep, field, handling)
        if met is not None:
            return met, HIGHER_MM if high else 0.0
    return "", 0.0


def _put_down(standing: Standing, carry: Carry, layout: TableLayout, shapes: ShapeSet) -> Field:
    return field_of(Standing({**standing.pieces, carry.to_place: carry.piece}), layout, shapes)

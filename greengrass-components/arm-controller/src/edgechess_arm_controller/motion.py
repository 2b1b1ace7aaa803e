"""From carries to motions: travel heights, rounded corners, vertical approaches, gripper openings and yaws. Pure; board
frame, mm.

One `Part` is one carry, so that the journal can say what is about to be grasped before it happens. Sideways motion
happens only at travel height: the lowest thing on the tool (the fingertips, or the base of the carried piece) passes over
the tallest piece under its way by a margin. Corners are rounded as far as everything stays clear; approaches end straight
down, and the arm stands still wherever fingers open or close.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from edgechess_arm_controller.choreography import Carry, piece_name
from edgechess_arm_controller.clearance import Field, Hand, corner_radius_mm, travel_z_mm
from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.hand import Handling
from edgechess_robots.arm import Close, Open, Park, Plan, Step, Straight, Travel, Verify
from edgechess_robots.layout import Point, TableLayout
from edgechess_robots.poses import Pose
from edgechess_robots.shapes import Shape, ShapeSet

SHAPE_NAMES = {"p": "pawn", "n": "knight", "b": "bishop", "r": "rook", "q": "queen", "k": "king"}

YAWS_DEG = (
    0.0,
    45.0,
    90.0,
    135.0,
)  # fingers along the rank, a diagonal, the file: on a square grid others are never better
OPENING_STEP_MM = 2.0  # how finely an opening is narrowed until the fingers clear the neighbours
NEAR_MM = 150.0  # nothing further off is near the fingers: they open 80 mm at most, and no base is wider than a square

Leg = Literal["to", "carry", "home"]
"""The sideways ways of one part: to the piece, with the piece, and after it (home, or to the next piece)."""

APPROACH, LOWER, GRASP, LIFT, CROSS, SET_DOWN, RELEASE, LEAVE, HOME = 1, 2, 3, 4, 5, 6, 8, 9, 10
"""Where the steps of a part stand in its plan; `HOME` only in the last part."""
LEG_OF: Mapping[int, Leg] = {APPROACH: "to", CROSS: "carry", HOME: "home"}
"""The way whose height a step keeps to."""
PLACING_OVER, PLACING_LOWER, PLACING_OPEN, PLACING_LEAVE, PLACING_PARK = 0, 1, 3, 4, 5
"""Where the steps of `placing_part` stand in its plan."""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """The motions of one carry. Indices of the steps that matter for what is known after a failure."""

    carry: Carry
    plan: Plan
    close_at: int
    release_at: int

    @property
    def opened_mm(self) -> float:
        """How wide the fingers open to let go."""
        step = self.plan.steps[self.release_at]
        assert isinstance(step, Open)
        return step.width_mm


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What stands on the table: place name -> FEN letter, board and slots together."""

    pieces: Mapping[str, str]

    def moved(self, carry: Carry) -> Standing:
        rest = {place: piece for place, piece in self.pieces.items() if place != carry.from_place}
        return Standing({**rest, carry.to_place: carry.piece})

    def without(self, place: str) -> Standing:
        return Standing({name: piece for name, piece in self.pieces.items() if name != place})


@dataclasses.dataclass(frozen=True, slots=True)
class Amends:
    """What an earlier attempt at the same plan has taught. By number of the part and way: a height at least; by number of
    the part and step: corners that stay sharp. `jointed`: the first way is a joint motion, for a straight one cannot be."""

    floors: Mapping[tuple[int, Leg], float] = dataclasses.field(default_factory=dict)
    sharp: frozenset[tuple[int, int]] = frozenset()
    jointed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """One way to put the fingers at a place: yaw and opening, and what it leaves to the nearest neighbour."""

    yaw_deg: float
    opening_mm: float
    clearance_mm: float


def shape_of(shapes: ShapeSet, letter: str) -> Shape:
    return shapes[SHAPE_NAMES[letter.lower()]]


def field_of(standing: Standing, layout: TableLayout, shapes: ShapeSet) -> Field:
    rows = []
    for place, letter in standing.pieces.items():
        at, shape = layout.place(place), shape_of(shapes, letter)
        rows.append((place, at.x_mm, at.y_mm, shape.base_diameter_mm / 2, at.z_mm + shape.height_mm))
    return Field.of(rows)


def carried(field: Field, carry: Carry, layout: TableLayout) -> Field:
    """The field after one carry."""
    source, target = layout.place(carry.from_place), layout.place(carry.to_place)
    return field.moved(carry.from_place, carry.to_place, target.x_mm, target.y_mm, target.z_mm - source.z_mm)


def each_part(
    carries: Sequence[Carry],
    standing: Standing,
    layout: TableLayout,
    shapes: ShapeSet,
    handling: Handling,
    start: Pose | None = None,
    amends: Amends | None = None,
) -> Iterator[Part]:
    """One part per carry, in their order; the last one ends with Park. Raises JobRefused("clearance") naming the place.

    `start` is the parked tool (board frame); None: not known, then the ways from and to it are planned as if they could
    pass over anything.
    """
    table = _Table(layout, shapes, handling, start, amends or Amends())
    here = start
    field = field_of(standing, layout, shapes)
    for number, carry in enumerate(carries):
        following = carries[number + 1] if number + 1 < len(carries) else None
        after = carried(field, carry, layout)
        part = table.part(number, carry, standing, field, after, here, following)
        yield part
        standing, field = standing.moved(carry), after
        last = part.plan.steps[LEAVE]
        assert isinstance(last, Straight)
        here = last.target


def placing_part(
    carry: Carry,
    standing: Standing,
    layout: TableLayout,
    shapes: ShapeSet,
    handling: Handling,
    start: Pose | None,
    least_mm: float = 0.0,
) -> Part:
    """A piece that is in the gripper already is put down, and the arm goes home. As after any failure what stands where is
    not known to the millimetre, so the way leads over the tallest piece of the set, and no lower than `least_mm`.

    Raises JobRefused("clearance")."""
    shape, target = shape_of(shapes, carry.piece), layout.place(carry.to_place)
    table = _Table(layout, shapes, handling, start, Amends())
    yaw_deg = 0.0 if start is None else start.rz_deg
    hold = table._hold(carry, carry.to_place, handling.release_margin_mm, yaw_deg, True, standing)
    over_z = shapes.tallest_mm + handling.margin_mm + max(handling.fingertip_mm, shape.grasp_height_mm)
    at_release = _down(target, target.z_mm + shape.grasp_height_mm + handling.set_down_mm, hold.yaw_deg)
    over = _down(target, max(over_z, at_release.z_mm, least_mm), hold.yaw_deg)
    steps: tuple[Step, ...] = (
        Travel(over, handling.speed_mm_s),
        Straight(at_release, handling.lowering_mm_s),
        Verify(f"keep 1 {carry}"),
        Open(hold.opening_mm),
        Straight(over, handling.speed_mm_s),
        Park(handling.speed_mm_s),
    )
    return Part(carry, Plan(steps), 0, PLACING_OPEN)


def whole(parts: Sequence[Part]) -> Plan:
    """All parts as one plan: what is checked before the first byte goes out."""
    return Plan(tuple(step for part in parts for step in part.plan.steps))


def retreat(
    tool: Pose | None,
    shapes: ShapeSet,
    handling: Handling,
    *,
    held: bool,
    open_first: bool,
    least_mm: float = 0.0,
) -> Plan:
    """Straight up from where the tool is, then Park. `tool` None: already parked, only the gripper is to be opened.

    What stands where is not known after a failure, so the height is that of the tallest piece of the set, and a held
    piece counts as the one with the highest grasp; `least_mm` is a height at least. For the same reason the corner is not
    rounded.
    """
    steps: list[Step] = []
    if open_first:
        steps.append(Open(handling.opening_limit_mm))
    if tool is not None:
        below = handling.fingertip_mm
        if held and not open_first:
            below = max(below, *(shape.grasp_height_mm for shape in shapes.shapes))
        height = max(least_mm, shapes.tallest_mm + handling.margin_mm + below)
        if tool.z_mm < height:
            steps.append(Straight(dataclasses.replace(tool, z_mm=height), handling.lowering_mm_s))
        steps.append(Park(handling.speed_mm_s))
    return Plan(tuple(steps))


@dataclasses.dataclass(frozen=True, slots=True)
class _Table:
    """What does not change from part to part."""

    layout: TableLayout
    shapes: ShapeSet
    handling: Handling
    park: Pose | None
    amends: Amends

    def part(
        self,
        number: int,
        carry: Carry,
        standing: Standing,
        before: Field,
        after: Field,
        here: Pose | None,
        following: Carry | None,
    ) -> Part:
        """`standing` and `before` are the same things; `after` is what stands then. `here` is the tool's pose before."""
        handling, shape = self.handling, shape_of(self.shapes, carry.piece)
        source, target = self.layout.place(carry.from_place), self.layout.place(carry.to_place)
        _check_grasp(carry, shape, handling)
        yaw_deg = 0.0 if here is None else here.rz_deg
        take = self._hold(carry, carry.from_place, handling.open_margin_mm, yaw_deg, False, standing)
        leave = self._hold(carry, carry.to_place, handling.release_margin_mm, take.yaw_deg, True, standing)
        around = before.without(carry.from_place)
        empty, full, emptied = Hand(take.opening_mm), Hand(shape.grasp_width_mm, shape), Hand(leave.opening_mm)
        to_z = here.z_mm if number and here is not None else self._way_z(number, "to", here, source, empty, before)
        carry_z = self._way_z(number, "carry", source, target, full, around)
        home_z = self._home_z(number, target, emptied, after, following)
        above = _down(source, to_z, take.yaw_deg)
        at_grasp = _down(source, source.z_mm + shape.grasp_height_mm, take.yaw_deg)
        lifted = _down(source, max(carry_z, at_grasp.z_mm), take.yaw_deg)
        crossed = _down(target, lifted.z_mm, leave.yaw_deg)
        at_release = _down(target, target.z_mm + shape.grasp_height_mm + handling.set_down_mm, leave.yaw_deg)
        left = _down(target, max(home_z, at_release.z_mm), leave.yaw_deg)
        name = f"{number + 1} {carry}"
        speed, lowering = handling.speed_mm_s, handling.lowering_mm_s

        def rounded(step: int, a: Pose | None, b: Pose, c: Pose | None, hand: Hand, field: Field) -> float:
            if a is None or c is None or (number, step) in self.amends.sharp:
                return 0.0
            return corner_radius_mm(_xyz(a), _xyz(b), _xyz(c), b.rz_deg, hand, field, handling)

        first: Step = Straight(above, speed, rounded(APPROACH, here, above, at_grasp, empty, before))
        if number == 0 and (here is None or self.amends.jointed):
            first = Travel(above, speed)
        leaving_mm = 0.0 if following else rounded(LEAVE, at_release, left, self.park, emptied, after)
        steps: list[Step] = [
            Open(take.opening_mm, ahead=True),
            first,
            Straight(at_grasp, lowering),
            Close(max(0.0, shape.grasp_width_mm - handling.squeeze_mm), f"take {name}"),
            Straight(lifted, speed, rounded(LIFT, at_grasp, lifted, crossed, full, around)),
            Straight(crossed, speed, rounded(CROSS, lifted, crossed, at_release, full, around)),
            Straight(at_release, lowering),
            Verify(f"keep {name}"),
            Open(leave.opening_mm),
            Straight(left, speed, leaving_mm),
        ]
        if following is None:
            steps.append(Park(speed))
        return Part(carry, Plan(tuple(steps)), GRASP, RELEASE)

    def _way_z(
        self, number: int, leg: Leg, a: Point | Pose | None, b: Point | Pose | None, hand: Hand, field: Field
    ) -> float:
        """The height of one way. An end that is not known could be anywhere: then over everything."""
        floor = self.amends.floors.get((number, leg), 0.0)
        if a is None or b is None:
            over = float(field.top_mm.max(initial=0.0)) + self.handling.margin_mm + hand.below_mm(self.handling)
            return max(floor, over)
        return max(floor, travel_z_mm((a.x_mm, a.y_mm), (b.x_mm, b.y_mm), hand, field, self.handling))

    def _home_z(self, number: int, target: Point, emptied: Hand, after: Field, following: Carry | None) -> float:
        """The height at which the arm leaves: of the way home, or of the way to the next piece."""
        if following is None:
            return self._way_z(number, "home", target, self.park, emptied, after)
        shape = shape_of(self.shapes, following.piece)
        opening = min(shape.grasp_width_mm + 2 * self.handling.open_margin_mm, self.handling.opening_limit_mm)
        wide = Hand(max(opening, emptied.opening_mm))
        return self._way_z(number + 1, "to", target, self.layout.place(following.from_place), wide, after)

    def _hold(self, carry: Carry, place: str, margin_mm: float, yaw_deg: float, keep: bool, standing: Standing) -> Hold:
        """The yaw with most clearance at the widest opening that leaves the neighbour gap; among those with ample
        room, the one with the least turn from `yaw_deg`. The fingers being alike, half a turn is none.

        `keep`: `yaw_deg` is kept where it clears, so that a piece is not turned without need.
        """
        handling, shape, at = self.handling, shape_of(self.shapes, carry.piece), self.layout.place(place)
        neighbours = self._neighbours(place, carry.from_place, standing)
        margin = margin_mm
        while margin >= handling.open_margin_least_mm:
            opening = min(shape.grasp_width_mm + 2 * margin, handling.opening_limit_mm)
            around = [(x - at.x_mm, y - at.y_mm, radius) for x, y, radius in neighbours]
            holds = []
            for yaw in YAWS_DEG:
                turned = yaw + 180.0 * round((yaw_deg - yaw) / 180.0)
                holds.append(Hold(turned, opening, _clearance_mm(turned, opening, around, handling)))
            fitting = [hold for hold in holds if hold.clearance_mm >= handling.neighbour_gap_mm]
            kept = [hold for hold in fitting if abs(hold.yaw_deg - yaw_deg) < 1.0]
            if keep and kept:
                return kept[0]
            if fitting:
                return max(
                    fitting,
                    key=lambda hold: (min(hold.clearance_mm, handling.ample_gap_mm), -abs(hold.yaw_deg - yaw_deg)),
                )
            margin -= OPENING_STEP_MM
        raise JobRefused("clearance", f"no room for the fingers around the {piece_name(carry.piece)} at {place}")

    def _neighbours(self, place: str, carried_from: str, standing: Standing) -> list[tuple[float, float, float]]:
        at = self.layout.place(place)
        near = []
        for name, piece in standing.pieces.items():
            other = self.layout.place(name)
            if name not in (place, carried_from) and math.hypot(other.x_mm - at.x_mm, other.y_mm - at.y_mm) < NEAR_MM:
                near.append((other.x_mm, other.y_mm, shape_of(self.shapes, piece).base_diameter_mm / 2))
        return near


def _check_grasp(carry: Carry, shape: Shape, handling: Handling) -> None:
    least = shape.grasp_width_mm + 2 * handling.open_margin_least_mm
    if least > handling.opening_limit_mm:
        raise JobRefused(
            "clearance",
            f"the {piece_name(carry.piece)} is {shape.grasp_width_mm:.0f} mm wide where it is grasped: "
            f"the fingers open {handling.opening_limit_mm:.0f} mm",
        )
    above = shape.height_mm - shape.grasp_height_mm
    if above + handling.neighbour_gap_mm > handling.palm_above_mm:
        raise JobRefused(
            "clearance",
            f"the {piece_name(carry.piece)} stands {above:.0f} mm above where it is grasped: "
            f"the gripper's palm is {handling.palm_above_mm:.0f} mm above that",
        )


def _clearance_mm(
    yaw_deg: float, opening_mm: float, neighbours: Sequence[tuple[float, float, float]], handling: Handling
) -> float:
    """Least distance between the two finger rectangles and the neighbours' bases (circles: x, y, radius)."""
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    inner = opening_mm / 2
    outer = inner + handling.finger_thickness_mm
    half = handling.finger_width_mm / 2
    least = math.inf
    for x, y, radius in neighbours:
        along, across = abs(x * cos + y * sin), abs(y * cos - x * sin)  # both fingers at once, by symmetry
        gap_along = max(inner - along, 0.0, along - outer)
        gap_across = max(0.0, across - half)
        least = min(least, math.hypot(gap_along, gap_across) - radius)
    return least


def _down(at: Point, z_mm: float, yaw_deg: float) -> Pose:
    return Pose(at.x_mm, at.y_mm, z_mm, 180.0, 0.0, yaw_deg)


def _xyz(pose: Pose) -> tuple[float, float, float]:
    return pose.x_mm, pose.y_mm, pose.z_mm

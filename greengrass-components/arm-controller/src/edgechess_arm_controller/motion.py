"""From carries to motions: travel heights, vertical approaches, gripper openings and yaws. Pure; board frame, mm.

One `Part` is one carry, so that the journal can say what is about to be grasped before it happens; inside a part the
motions may be blended by the driver. Sideways motion happens only at travel height: the lowest thing on the tool (the
fingertips, or the base of the carried piece) passes over the tallest standing piece of the table by a margin.
The fingers open along the tool's x axis.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from edgechess_arm_controller.choreography import Carry, piece_name
from edgechess_arm_controller.errors import JobRefused
from edgechess_robots.arm import Close, Open, Park, Plan, Step, Straight, Travel, Verify
from edgechess_robots.layout import Point, TableLayout
from edgechess_robots.poses import Pose
from edgechess_robots.shapes import Shape, ShapeSet

SHAPE_NAMES = {"p": "pawn", "n": "knight", "b": "bishop", "r": "rook", "q": "queen", "k": "king"}

YAWS_DEG = (0.0, 45.0, 90.0)  # fingers along the rank, a diagonal, the file: on a square grid others are never better
OPENING_STEP_MM = 2.0  # how finely an opening is narrowed until the fingers clear the neighbours


@dataclasses.dataclass(frozen=True, slots=True)
class Handling:
    """How pieces are handled: speeds and the sizes of hand and margins."""

    speed_mm_s: float = 250.0  # ISO 10218-1 reduced speed: what a person may stand beside
    descent_speed_mm_s: float = 120.0  # final vertical approaches: a touch at this speed topples nothing
    margin_mm: float = 25.0  # between the lowest thing carried and the tallest piece standing (reference: 20 to 30)
    fingertip_mm: float = 12.0  # the fingers reach this far below the tool point
    finger_thickness_mm: float = 10.0  # outwards, along the opening
    finger_width_mm: float = 18.0  # across the opening
    open_margin_mm: float = 12.0  # wider than the piece on each side: people leave pieces this far off-centre
    open_margin_least_mm: float = 3.0  # narrower than this the fingers could land on the piece itself
    neighbour_gap_mm: float = 4.0  # between finger and neighbour: arm repeatability, calibration and their error
    release_margin_mm: float = 6.0  # opened on each side to let go: enough to lift off, no more
    squeeze_mm: float = 8.0  # closed this much below the grasp width: only reached when nothing is between
    set_down_mm: float = 1.0  # released this far above the surface: never pressed into the board
    opening_limit_mm: float = 80.0  # the gripper's widest


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """The motions of one carry. Indices of the steps that matter for what is known after a failure."""

    carry: Carry
    plan: Plan
    close_at: int
    release_at: int


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
class Hold:
    """One way to put the fingers at a place: yaw and opening, and what it leaves to the nearest neighbour."""

    yaw_deg: float
    opening_mm: float
    clearance_mm: float


def shape_of(shapes: ShapeSet, letter: str) -> Shape:
    return shapes[SHAPE_NAMES[letter.lower()]]


def travel_z_mm(
    standing: Standing, layout: TableLayout, shapes: ShapeSet, handling: Handling, carried: str | None
) -> float:
    """Height of the tool point for sideways motion. `carried` (a FEN letter) hangs its grasp height below it."""
    tops = [layout.place(place).z_mm + shape_of(shapes, piece).height_mm for place, piece in standing.pieces.items()]
    below = handling.fingertip_mm
    if carried is not None:
        below = max(below, shape_of(shapes, carried).grasp_height_mm)
    return max(tops, default=0.0) + handling.margin_mm + below


def plan_parts(
    carries: Sequence[Carry], standing: Standing, layout: TableLayout, shapes: ShapeSet, handling: Handling
) -> tuple[Part, ...]:
    """One part per carry; the last one ends with Park. Raises JobRefused("clearance") naming the place."""
    parts = []
    for number, carry in enumerate(carries):
        last = number == len(carries) - 1
        parts.append(_part(number, carry, standing, layout, shapes, handling, park=last))
        standing = standing.moved(carry)
    return tuple(parts)


def whole(parts: Sequence[Part]) -> Plan:
    """All parts as one plan: what is checked before the first byte goes out."""
    return Plan(tuple(step for part in parts for step in part.plan.steps))


def retreat(tool: Pose | None, shapes: ShapeSet, handling: Handling, *, held: bool, open_first: bool) -> Plan:
    """Straight up from where the tool is, then Park. `tool` None: already parked, only the gripper is to be opened.

    What stands where is not known after a failure, so the height is that of the tallest piece of the set, and a held
    piece counts as the one with the highest grasp.
    """
    steps: list[Step] = []
    if open_first:
        steps.append(Open(handling.opening_limit_mm))
    if tool is not None:
        below = handling.fingertip_mm
        if held and not open_first:
            below = max(below, *(shape.grasp_height_mm for shape in shapes.shapes))
        height = shapes.tallest_mm + handling.margin_mm + below
        if tool.z_mm < height:
            steps.append(Straight(dataclasses.replace(tool, z_mm=height), handling.descent_speed_mm_s))
        steps.append(Park(handling.speed_mm_s))
    return Plan(tuple(steps))


def _part(
    number: int,
    carry: Carry,
    standing: Standing,
    layout: TableLayout,
    shapes: ShapeSet,
    handling: Handling,
    *,
    park: bool,
) -> Part:
    shape = shape_of(shapes, carry.piece)
    source, target = layout.place(carry.from_place), layout.place(carry.to_place)
    others = standing.without(carry.from_place)
    empty_z = travel_z_mm(standing, layout, shapes, handling, None)
    carried_z = travel_z_mm(others, layout, shapes, handling, carry.piece)
    leaving_z = travel_z_mm(standing.moved(carry), layout, shapes, handling, None)
    take = _hold(carry, carry.from_place, handling.open_margin_mm, None, others, layout, shapes, handling)
    leave = _hold(carry, carry.to_place, handling.release_margin_mm, take.yaw_deg, others, layout, shapes, handling)
    grasp_z = source.z_mm + shape.grasp_height_mm
    release_z = target.z_mm + shape.grasp_height_mm + handling.set_down_mm
    name = f"{number + 1} {carry}"
    speed, descent = handling.speed_mm_s, handling.descent_speed_mm_s
    steps: list[Step] = [
        Travel(_down(source, empty_z, take.yaw_deg), speed),
        Open(take.opening_mm),
        Straight(_down(source, grasp_z, take.yaw_deg), descent),
        Close(max(0.0, shape.grasp_width_mm - handling.squeeze_mm), f"take {name}"),
        Straight(_down(source, max(carried_z, empty_z), take.yaw_deg), speed),
        Straight(_down(target, max(carried_z, empty_z), leave.yaw_deg), speed),
        Straight(_down(target, release_z, leave.yaw_deg), descent),
        Verify(f"keep {name}"),
        Open(leave.opening_mm),
        Straight(_down(target, leaving_z, leave.yaw_deg), speed),
    ]
    if park:
        steps.append(Park(speed))
    return Part(carry, Plan(tuple(steps)), close_at=3, release_at=8)


def _hold(
    carry: Carry,
    place: str,
    margin_mm: float,
    preferred_deg: float | None,
    standing: Standing,
    layout: TableLayout,
    shapes: ShapeSet,
    handling: Handling,
) -> Hold:
    """The yaw with most clearance at the widest opening that leaves the neighbour gap.

    `preferred_deg` is kept where it clears, so that a piece is not turned without need.
    """
    shape = shape_of(shapes, carry.piece)
    at = layout.place(place)
    neighbours = [
        (other.x_mm - at.x_mm, other.y_mm - at.y_mm, shape_of(shapes, piece).base_diameter_mm / 2)
        for name, piece in standing.pieces.items()
        if name != place
        for other in (layout.place(name),)
    ]
    margin = margin_mm
    while margin >= handling.open_margin_least_mm:
        opening = min(shape.grasp_width_mm + 2 * margin, handling.opening_limit_mm)
        holds = [Hold(yaw, opening, _clearance_mm(yaw, opening, neighbours, handling)) for yaw in YAWS_DEG]
        fitting = [hold for hold in holds if hold.clearance_mm >= handling.neighbour_gap_mm]
        kept = [hold for hold in fitting if hold.yaw_deg == preferred_deg]
        if fitting:
            return kept[0] if kept else max(fitting, key=lambda hold: hold.clearance_mm)
        margin -= OPENING_STEP_MM
    raise JobRefused("clearance", f"no room for the fingers around the {piece_name(carry.piece)} at {place}")


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

"""Joint solutions for a whole plan, checked before anything is sent; the same for every arm of the chain. Pure.

Everything a plan says is in the board frame and about the fingertips. What differs between vendors (how a motion is told,
how long it takes) stays with their drivers.

How wrist flips are avoided, all of it here: a travel ends in the branch of the parking posture, every joint by whole
turns as near to that posture as can be, and is sent as joint angles; a straight motion is followed by small samples, each
solved in the branch in which it starts and nearest to the one before, and is refused when a joint would jump between two
of them or come near a singularity, where the branches meet. So the whole table is reached in one branch and without a
full turn of the last joint; and the fingers, being alike, never need to turn by more than 90 degrees.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from edgechess_robots.arm import CheckedPlan, Close, Open, Park, Plan, Step, Straight, Travel, Verify
from edgechess_robots.body import Body, Sweep
from edgechess_robots.errors import PlanRefused
from edgechess_robots.gradual import Gradual
from edgechess_robots.kinematics import Branch, Chain, Joints, Unreachable
from edgechess_robots.poses import Matrix, Pose

SAMPLE_MM = 20.0  # joints turn by a few degrees over this much of a straight line
SAMPLE_DEG = 5.0
TURN_SPEED_DEG_S = 90.0  # of the tool about itself in a straight motion: half of what the slowest joint can
JUMP_DEG = 30.0  # between two samples: a branch flip, not a motion
SINGULAR_DEG = 3.0  # nearer to the elbow's or wrist's singularity joints race or controllers raise alarms
SINGULAR_MM = 20.0  # and the shoulder's
DIP_MM = 5.0  # a joint motion may sink by this much below both of its ends; elbow-up it rises (by up to 52 mm)
TRAVEL_SAMPLES = 24  # of a joint motion: about 20 mm apart on the way from the parking posture
TRAVEL_SHARE_MAX = 0.5  # of the joints' speed, where the tool hardly moves but the wrist turns
GRIPPER_S = 0.5  # one stroke and its verification


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """One arm with its tool at one board: where it can go and how fast."""

    chain: Chain
    board: Matrix
    """Of the board frame in the base frame."""
    tool_length_mm: float
    """Flange to the middle between the fingertips, along the flange's z axis."""
    tool_yaw_deg: float
    """Turn of the fingers about that axis against the flange."""
    park_joints_deg: Joints
    max_tool_speed_mm_s: float
    stroke_mm: float
    """Width between the fingers when they are fully open."""
    floor_mm: float

    @property
    def body(self) -> Body:
        """What the arm takes up, in the board frame."""
        base = np.asarray(np.linalg.inv(self.board), dtype=np.float64)
        return Body(self.chain, base, self.tool_length_mm, self.tool_yaw_deg)

    @property
    def branch(self) -> Branch:
        return self.chain.branch_of(self.park_joints_deg)

    @property
    def tip_in_flange(self) -> Pose:
        return Pose(0.0, 0.0, self.tool_length_mm, 0.0, 0.0, self.tool_yaw_deg)

    def flange(self, tip_in_board: Pose) -> Matrix:
        """Where the flange must be in the base frame for the fingertips to be there."""
        flange = _flange_of_tip(self.tool_length_mm, self.tool_yaw_deg)
        return np.asarray(self.board @ tip_in_board.matrix() @ flange, dtype=np.float64)

    def height_mm(self, joints_deg: Sequence[float]) -> float:
        """Of the fingertips above the board."""
        tip = self.chain.position_mm(joints_deg, self.tool_length_mm)
        return float(sum(self.board[i, 2] * (tip[i] - self.board[i, 3]) for i in range(3)))


@cache
def _flange_of_tip(tool_length_mm: float, tool_yaw_deg: float) -> Matrix:
    """Asked for at every motion of a plan, and the same all the time."""
    return Pose(0.0, 0.0, tool_length_mm, 0.0, 0.0, tool_yaw_deg).inverse().matrix()


MotionTime = Callable[[Travel | Straight | Park, Joints, Joints], float]
"""(step, joints at its start, joints at its end) -> planned seconds."""


def checking(plan: Plan, start_deg: Joints, reach: Reach, motion_s: MotionTime) -> Gradual[CheckedPlan]:
    """Yields after every step. Raises PlanRefused naming the step, counted from 0, and what is in its way."""
    if not plan.steps:
        raise PlanRefused("empty", "the plan has no steps")
    joints: list[Joints | None] = []
    sweeps: list[Sweep | None] = []
    duration_s, here, body = 0.0, tuple(start_deg), reach.body
    for index, step in enumerate(plan.steps):
        where = f"step {index} ({type(step).__name__.lower()})"
        try:
            _check_corner(step, plan.steps[index + 1 : index + 2])
            path = _check_step(step, here, reach)
        except PlanRefused as refusal:
            raise PlanRefused(refusal.code, f"{where}: {refusal}") from None
        except Unreachable as reason:
            raise PlanRefused("unreachable", f"{where}: {reason}") from None
        end = None if path is None else path[-1]
        if end is None or isinstance(step, Open | Close | Verify):
            duration_s += GRIPPER_S
        else:
            duration_s += motion_s(step, here, end)
        joints.append(end)
        sweeps.append(None if path is None else body.sweep(path))
        here = end or here
        yield
    return CheckedPlan(plan, tuple(joints), tuple(start_deg), duration_s, tuple(sweeps))


def travel_share(start_deg: Joints, end_deg: Joints, speed_mm_s: float, reach: Reach) -> float:
    """Of the joints' speeds: what keeps the fingertips of a joint motion at or below a speed."""
    at_full = max(abs(e - s) / v for s, e, v in zip(start_deg, end_deg, reach.chain.speeds_deg_s, strict=True))
    points = [reach.chain.position_mm(q, reach.tool_length_mm) for q in between(start_deg, end_deg, TRAVEL_SAMPLES)]
    farthest = max(math.dist(a, b) for a, b in itertools.pairwise(points)) * TRAVEL_SAMPLES
    if farthest < 1e-6:
        return TRAVEL_SHARE_MAX
    return min(TRAVEL_SHARE_MAX, speed_mm_s * at_full / farthest)


def straight_extent(start_deg: Joints, target: Pose, reach: Reach) -> tuple[float, float]:
    """Length in mm and turn in degrees of a straight motion of the tool."""
    start, end = reach.chain.forward(start_deg), reach.flange(target)
    tip = reach.tip_in_flange.matrix()
    length = float(np.linalg.norm((end @ tip)[:3, 3] - (start @ tip)[:3, 3]))
    return length, _turn(start, end)[0]


def between(start_deg: Joints, end_deg: Joints, count: int) -> Iterator[Joints]:
    """`count` + 1 joint postures, both ends included."""
    for i in range(count):
        yield tuple(s + (e - s) * i / count for s, e in zip(start_deg, end_deg, strict=True))
    yield tuple(end_deg)


def _check_corner(step: Step, following: Sequence[Step]) -> None:
    """Fingers open and close where the arm stands: only a motion may follow a rounded corner."""
    rounded = isinstance(step, Travel | Straight) and step.blend_mm > 0.0
    if rounded and not (following and isinstance(following[0], Travel | Straight | Park)):
        raise PlanRefused("limits", "a rounded corner that no motion follows")


def _check_step(step: Step, start_deg: Joints, reach: Reach) -> tuple[Joints, ...] | None:
    """The joints along the step, both ends included; None when it does not move."""
    match step:
        case Travel():
            _check_speed(step.speed_mm_s, reach)
            end = reach.chain.solve(reach.flange(step.target), reach.branch, reach.park_joints_deg)
            return _check_travel(start_deg, end, reach)
        case Park():
            _check_speed(step.speed_mm_s, reach)
            beyond = reach.chain.beyond_limit(reach.park_joints_deg)
            if beyond is not None:
                raise PlanRefused("limits", beyond)
            return _check_travel(start_deg, reach.park_joints_deg, reach)
        case Straight():
            _check_speed(step.speed_mm_s, reach)
            return _check_straight(step, start_deg, reach)
        case Open() | Close():
            if not 0.0 <= step.width_mm <= reach.stroke_mm:
                raise PlanRefused(
                    "limits", f"width {step.width_mm:.1f} mm: the fingers open 0 to {reach.stroke_mm:.1f} mm"
                )
            return None
        case Verify():
            return None
        case _:
            assert_never(step)


def _check_speed(speed_mm_s: float, reach: Reach) -> None:
    if not 0.0 < speed_mm_s <= reach.max_tool_speed_mm_s:
        raise PlanRefused("limits", f"speed {speed_mm_s:.0f} mm/s: 0 to {reach.max_tool_speed_mm_s:.0f} mm/s allowed")


def _check_travel(start_deg: Joints, end_deg: Joints, reach: Reach) -> tuple[Joints, ...]:
    path = tuple(between(start_deg, end_deg, TRAVEL_SAMPLES))
    heights = [reach.height_mm(q) for q in path]
    lowest, floor = min(heights), min(heights[0], heights[-1])
    if lowest < floor - DIP_MM:
        raise PlanRefused("clearance", f"the joint motion sinks {floor - lowest:.0f} mm below both of its ends")
    _check_floor(heights[-1], reach)
    return path


def _check_straight(step: Straight, start_deg: Joints, reach: Reach) -> tuple[Joints, ...]:
    chain, end = reach.chain, reach.flange(step.target)
    start = chain.forward(start_deg)
    length, turn = float(np.linalg.norm(end[:3, 3] - start[:3, 3])), _turn(start, end)[0]
    count = max(1, math.ceil(length / SAMPLE_MM), math.ceil(turn / SAMPLE_DEG))
    sample_s = max(length / step.speed_mm_s, turn / TURN_SPEED_DEG_S) / count
    branch, path = chain.branch_of(start_deg), [tuple(start_deg)]
    flanges = along(start, end, np.linspace(0.0, 1.0, count + 1))
    try:
        for flange in flanges[1:]:
            path.append(chain.solve(flange, branch, path[-1]))
    except Unreachable:
        _check_posture(path, flanges, sample_s, chain)  # what comes before it says more
        raise
    _check_posture(path, flanges, sample_s, chain)
    _check_floor(reach.height_mm(path[-1]), reach)
    return tuple(path)


def _check_posture(path: Sequence[Joints], flanges: NDArray[np.float64], sample_s: float, chain: Chain) -> None:
    """Joint speeds, jumps and singularities along a straight motion, of which `path` may be the beginning."""
    joints = np.asarray(path)
    wrist = flanges[: len(path), :2, 3] - chain.d6_mm * flanges[: len(path), :2, 2]
    sines = np.abs(np.sin(np.radians(joints + np.asarray(chain.offsets_deg))))
    shoulder_mm = float((np.hypot(wrist[:, 0], wrist[:, 1]) - abs(chain.d4_mm)).min())
    elbow_deg, wrist_deg = (math.degrees(math.asin(min(1.0, float(sines[:, i].min())))) for i in (2, 4))
    for name, margin, least in (
        ("shoulder", shoulder_mm, SINGULAR_MM),
        ("elbow", elbow_deg, SINGULAR_DEG),
        ("wrist", wrist_deg, SINGULAR_DEG),
    ):
        if margin < least:
            raise PlanRefused("limits", f"a straight line too near to the {name} singularity")
    if len(path) < 2:
        return
    changes = np.abs(np.diff(joints, axis=0)).max(axis=0).tolist()
    for number, (change, limit) in enumerate(zip(changes, chain.speeds_deg_s, strict=True), start=1):
        if change > JUMP_DEG:
            raise PlanRefused("limits", f"joint {number} would jump by {change:.0f}° on a straight line")
        if change > limit * sample_s + 1e-6:
            raise PlanRefused(
                "limits", f"joint {number} would turn at {change / sample_s:.0f}°/s, {limit:.0f}°/s allowed"
            )


def _check_floor(height_mm: float, reach: Reach) -> None:
    if height_mm < reach.floor_mm - 1e-6:
        raise PlanRefused(
            "clearance", f"fingertips at {height_mm:.1f} mm above the board, {reach.floor_mm:.1f} mm is the least"
        )


def _turn(start: Matrix, end: Matrix) -> tuple[float, NDArray[np.float64]]:
    """Angle in degrees and axis, in the start's own frame, that turn one orientation into another."""
    r = start[:3, :3].T @ end[:3, :3]
    angle = math.acos(max(-1.0, min(1.0, (float(np.trace(r)) - 1.0) / 2.0)))
    if angle < 1e-9:
        return 0.0, np.array([0.0, 0.0, 1.0])
    if math.pi - angle < 1e-6:  # half a turn: the axis is the eigenvector of eigenvalue 1
        values, vectors = np.linalg.eigh((r + r.T) / 2.0)
        return math.degrees(angle), np.asarray(vectors[:, int(values.argmax())], dtype=np.float64)
    axis = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]) / (2.0 * math.sin(angle))
    return math.degrees(angle), axis


def along(start: Matrix, end: Matrix, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Flange poses at these shares of a straight motion, shape (len(shares), 4, 4); the orientation turns evenly about one
    axis."""
    turn, axis = _turn(start, end)
    x, y, z = (float(v) for v in axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    share = shares[:, None, None]
    angle = math.radians(turn) * share
    poses = np.tile(np.eye(4), (len(shares), 1, 1))
    poses[:, :3, :3] = start[:3, :3] @ (np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross))
    poses[:, :3, 3] = start[:3, 3] + (end[:3, 3] - start[:3, 3]) * share[:, 0]
    return poses

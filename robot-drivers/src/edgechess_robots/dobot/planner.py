"""Checks a whole plan before its first byte goes out, and turns its motions into commands. Pure.

Everything a plan says is in the board frame and about the fingertips; the controller is told about the flange in its
base frame.

How wrist flips are avoided, all of it here: a travel ends in the branch of the parking posture, every joint by whole
turns as near to that posture as can be, and is sent as joint angles; a straight motion is followed by small samples, each
solved in the branch of the one before and nearest to it, and is refused when a joint would jump between two of them or
come near a singularity, where the branches meet. So the whole table is reached in one branch and without a full turn of
joint 6, and the fingers, being alike, never need to turn by more than 90 degrees.

Corners: `blend_mm` of a straight motion is sent as `r`, which is a length. Joint motions know only `cp`, of which the
maker does not say how wide it rounds: they stop.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from edgechess_robots.arm import CheckedPlan, Close, Open, Park, Plan, Step, Straight, Travel, Verify
from edgechess_robots.body import Body, Sweep
from edgechess_robots.calibration import Calibration
from edgechess_robots.dobot import protocol
from edgechess_robots.dobot.done import Target
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.errors import PlanRefused
from edgechess_robots.kinematics import Branch, Chain, Joints, Unreachable
from edgechess_robots.poses import Matrix, Pose
from edgechess_robots.timing import joint_duration_s, straight_duration_s

SAMPLE_MM = 20.0  # joints turn by a few degrees over this much of a straight line
SAMPLE_DEG = 5.0
TURN_SPEED_DEG_S = 90.0  # of the tool about itself in a straight motion: half of what the slowest joint can
JUMP_DEG = 30.0  # between two samples: a branch flip, not a motion
SINGULAR_DEG = 3.0  # nearer to the elbow's or wrist's singularity the controller raises alarms 26 and 27
SINGULAR_MM = 20.0  # and the shoulder's, alarm 16
DIP_MM = 5.0  # a joint motion may sink by this much below both of its ends; elbow-up it rises (by up to 52 mm)
TRAVEL_SAMPLES = 24  # of a joint motion: about 20 mm apart on the way from the parking posture
TRAVEL_PERCENT_MAX = 50  # of the joints' speed, where the tool hardly moves but the wrist turns
R_MAX_MM = 100  # of `r` (reference section 6)
GRIPPER_S = 0.5  # one stroke and its verification


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """One motion, ready to be sent."""

    command: protocol.Command
    target: Target
    duration_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Geometry:
    """One arm at one board."""

    chain: Chain
    settings: DobotSettings
    branch: Branch
    board: Matrix
    """Of the board frame in the base frame."""
    flange_of_tip: Matrix
    body: Body

    @classmethod
    def of(cls, chain: Chain, settings: DobotSettings, calibration: Calibration) -> Geometry:
        tip = tip_in_flange(settings)
        branch = chain.branch_of(settings.park_joints_deg)
        board = calibration.board
        body = Body(chain, board.inverse().matrix(), settings.tool_length_mm, settings.tool_yaw_deg)
        return cls(chain, settings, branch, board.matrix(), tip.inverse().matrix(), body)

    def flange(self, tip_in_board: Pose) -> Matrix:
        """Where the flange must be in the base frame for the fingertips to be there."""
        return np.asarray(self.board @ tip_in_board.matrix() @ self.flange_of_tip, dtype=np.float64)

    def height_mm(self, joints_deg: Sequence[float]) -> float:
        """Of the fingertips above the board."""
        tip = self.chain.position_mm(joints_deg, self.settings.tool_length_mm)
        return float(sum(self.board[i, 2] * (tip[i] - self.board[i, 3]) for i in range(3)))


def tip_in_flange(settings: DobotSettings) -> Pose:
    return Pose(0.0, 0.0, settings.tool_length_mm, 0.0, 0.0, settings.tool_yaw_deg)


def check_plan(plan: Plan, start_deg: Joints, geometry: Geometry) -> CheckedPlan:
    """Raises PlanRefused naming the step, counted from 0, and what is in its way."""
    if not plan.steps:
        raise PlanRefused("empty", "the plan has no steps")
    joints: list[Joints | None] = []
    sweeps: list[Sweep | None] = []
    duration = 0.0
    here = tuple(start_deg)
    for index, step in enumerate(plan.steps):
        try:
            _check_corner(step, plan.steps[index + 1 : index + 2])
            path = _check_step(step, here, geometry)
            end = None if path is None else path[-1]
            duration += GRIPPER_S if end is None else segment(step, here, end, geometry).duration_s
        except PlanRefused as refusal:
            raise PlanRefused(refusal.code, f"step {index} ({type(step).__name__.lower()}): {refusal}") from None
        except Unreachable as reason:
            raise PlanRefused("unreachable", f"step {index} ({type(step).__name__.lower()}): {reason}") from None
        joints.append(end)
        sweeps.append(None if path is None else geometry.body.sweep(path))
        here = end or here
    return CheckedPlan(plan, tuple(joints), tuple(start_deg), duration, tuple(sweeps))


def segment(step: Step, start_deg: Joints, end_deg: Joints, geometry: Geometry) -> Segment:
    """The command, target and planned time of a step that moves. Raises ValueError for one that does not."""
    settings = geometry.settings
    match step:
        case Travel() | Park():
            percent = travel_percent(start_deg, end_deg, step.speed_mm_s, geometry)
            share = percent / 100.0 * settings.speed_factor_percent / 100.0
            duration = joint_duration_s(start_deg, end_deg, [share * s for s in geometry.chain.speeds_deg_s])
            command = protocol.mov_j_joint(end_deg, v=percent, a=settings.acceleration_percent)
            pose = None
        case Straight():
            start, end = geometry.chain.forward(start_deg), geometry.flange(step.target)
            length, turn = float(np.linalg.norm(end[:3, 3] - start[:3, 3])), _turn(start, end)[0]
            duration = straight_duration_s(length, turn, step.speed_mm_s, TURN_SPEED_DEG_S)
            pose = Pose.from_matrix(end)
            command = protocol.mov_l_pose(
                (pose.x_mm, pose.y_mm, pose.z_mm, pose.rx_deg, pose.ry_deg, pose.rz_deg),
                speed_mm_s=max(1, int(step.speed_mm_s)),
                a=settings.acceleration_percent,
                r_mm=min(R_MAX_MM, int(step.blend_mm)),
            )
        case _:
            raise ValueError(f"{step} does not move the arm")
    return Segment(command, Target(end_deg, pose, settings.tolerance_mm, settings.tolerance_deg), duration)


def travel_percent(start_deg: Joints, end_deg: Joints, speed_mm_s: float, geometry: Geometry) -> int:
    """The `v` of a joint motion that keeps the fingertips at or below a speed (1 at least: there is no slower)."""
    at_full = max(abs(e - s) / v for s, e, v in zip(start_deg, end_deg, geometry.chain.speeds_deg_s, strict=True))
    tool = geometry.settings.tool_length_mm
    points = [geometry.chain.position_mm(q, tool) for q in _between(start_deg, end_deg, TRAVEL_SAMPLES)]
    farthest = max(math.dist(a, b) for a, b in itertools.pairwise(points)) * TRAVEL_SAMPLES
    if farthest < 1e-6:
        return TRAVEL_PERCENT_MAX
    share = speed_mm_s * at_full / farthest * 100.0 / geometry.settings.speed_factor_percent
    return max(1, min(TRAVEL_PERCENT_MAX, int(share * 100.0)))


def _check_corner(step: Step, following: Sequence[Step]) -> None:
    """Fingers open and close where the arm stands: only a motion may follow a rounded corner."""
    rounded = isinstance(step, Travel | Straight) and step.blend_mm > 0.0
    if rounded and not (following and isinstance(following[0], Travel | Straight | Park)):
        raise PlanRefused("limits", "a rounded corner that no motion follows")


def _check_step(step: Step, start_deg: Joints, geometry: Geometry) -> tuple[Joints, ...] | None:
    """The joints along the step, both ends included; None when it does not move."""
    match step:
        case Travel():
            _check_speed(step.speed_mm_s, geometry.settings)
            end = geometry.chain.solve(geometry.flange(step.target), geometry.branch, geometry.settings.park_joints_deg)
            return _check_travel(start_deg, end, geometry)
        case Park():
            _check_speed(step.speed_mm_s, geometry.settings)
            end = geometry.settings.park_joints_deg
            beyond = geometry.chain.beyond_limit(end)
            if beyond is not None:
                raise PlanRefused("limits", beyond)
            return _check_travel(start_deg, end, geometry)
        case Straight():
            _check_speed(step.speed_mm_s, geometry.settings)
            return _check_straight(step, start_deg, geometry)
        case Open() | Close():
            if not 0.0 <= step.width_mm <= geometry.settings.fingers.stroke_mm:
                stroke = geometry.settings.fingers.stroke_mm
                raise PlanRefused("limits", f"width {step.width_mm:.1f} mm: the fingers open 0 to {stroke:.1f} mm")
            return None
        case Verify():
            return None
        case _:
            assert_never(step)


def _check_speed(speed_mm_s: float, settings: DobotSettings) -> None:
    if not 0.0 < speed_mm_s <= settings.max_tool_speed_mm_s:
        raise PlanRefused(
            "limits", f"speed {speed_mm_s:.0f} mm/s: 0 to {settings.max_tool_speed_mm_s:.0f} mm/s allowed"
        )


def _check_travel(start_deg: Joints, end_deg: Joints, geometry: Geometry) -> tuple[Joints, ...]:
    path = tuple(_between(start_deg, end_deg, TRAVEL_SAMPLES))
    heights = [geometry.height_mm(q) for q in path]
    lowest, floor = min(heights), min(heights[0], heights[-1])
    if lowest < floor - DIP_MM:
        raise PlanRefused("clearance", f"the joint motion sinks {floor - lowest:.0f} mm below both of its ends")
    _check_floor(heights[-1], geometry.settings)
    return path


def _check_straight(step: Straight, start_deg: Joints, geometry: Geometry) -> tuple[Joints, ...]:
    chain, end = geometry.chain, geometry.flange(step.target)
    start = chain.forward(start_deg)
    length, turn = float(np.linalg.norm(end[:3, 3] - start[:3, 3])), _turn(start, end)[0]
    count = max(1, math.ceil(length / SAMPLE_MM), math.ceil(turn / SAMPLE_DEG))
    sample_s = max(length / step.speed_mm_s, turn / TURN_SPEED_DEG_S) / count
    branch, path, flanges = chain.branch_of(start_deg), [tuple(start_deg)], _line(start, end, count)
    try:
        for flange in flanges[1:]:
            path.append(chain.solve(flange, branch, path[-1]))
    except Unreachable:
        _check_posture(path, flanges, sample_s, chain)  # what comes before it says more
        raise
    _check_posture(path, flanges, sample_s, chain)
    _check_floor(geometry.height_mm(path[-1]), geometry.settings)
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


def _check_floor(height_mm: float, settings: DobotSettings) -> None:
    if height_mm < settings.floor_mm - 1e-6:
        raise PlanRefused(
            "clearance", f"fingertips at {height_mm:.1f} mm above the board, {settings.floor_mm:.1f} mm is the least"
        )


def _between(start_deg: Joints, end_deg: Joints, count: int) -> Iterator[Joints]:
    """`count` + 1 joint postures, both ends included."""
    for i in range(count):
        yield tuple(s + (e - s) * i / count for s, e in zip(start_deg, end_deg, strict=True))
    yield tuple(end_deg)


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


def _line(start: Matrix, end: Matrix, count: int) -> NDArray[np.float64]:
    """Flange poses along a straight motion, shape (count + 1, 4, 4), both ends included; the orientation turns evenly
    about one axis."""
    turn, axis = _turn(start, end)
    x, y, z = (float(v) for v in axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    share = np.linspace(0.0, 1.0, count + 1)[:, None, None]
    angle = math.radians(turn) * share
    poses = np.tile(np.eye(4), (count + 1, 1, 1))
    poses[:, :3, :3] = start[:3, :3] @ (np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross))
    poses[:, :3, 3] = start[:3, 3] + (end[:3, 3] - start[:3, 3]) * share[:, 0]
    return poses

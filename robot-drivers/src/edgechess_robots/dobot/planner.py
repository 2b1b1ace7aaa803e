"""The motions of a plan as a Dobot controller is told them, and how long each should take. Pure.

Corners: `blend_mm` of a straight motion is sent as `r`, which is a length. Joint motions know only `cp`, of which the
maker does not say how wide it rounds: they stop.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edgechess_robots import joint_planner
from edgechess_robots.arm import CheckedPlan, Park, Plan, Step, Straight, Travel
from edgechess_robots.body import Body
from edgechess_robots.calibration import Calibration
from edgechess_robots.dobot import protocol
from edgechess_robots.dobot.done import Target
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.gradual import at_once
from edgechess_robots.joint_planner import (
    TRAVEL_SHARE_MAX,
    TURN_SPEED_DEG_S,
    MotionTime,
    Reach,
    straight_extent,
    travel_share,
)
from edgechess_robots.kinematics import Chain, Joints
from edgechess_robots.poses import Pose
from edgechess_robots.siting import reach_of
from edgechess_robots.timing import joint_duration_s, straight_duration_s

R_MAX_MM = 100  # of `r` (reference section 6)


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """One motion, ready to be sent."""

    command: protocol.Command
    target: Target
    duration_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Geometry:
    """One arm at one board."""

    reach: Reach
    settings: DobotSettings

    @classmethod
    def of(cls, chain: Chain, settings: DobotSettings, calibration: Calibration) -> Geometry:
        return cls(reach_of(chain, settings, settings.fingers.stroke_mm, calibration), settings)

    @property
    def body(self) -> Body:
        return self.reach.body


def check_plan(plan: Plan, start_deg: Joints, geometry: Geometry) -> CheckedPlan:
    """Raises PlanRefused naming the step, counted from 0, and what is in its way."""
    return at_once(joint_planner.checking(plan, start_deg, geometry.reach, motion_times(geometry)))


def motion_times(geometry: Geometry) -> MotionTime:
    return lambda step, here, end: segment(step, here, end, geometry).duration_s


def segment(step: Step, start_deg: Joints, end_deg: Joints, geometry: Geometry) -> Segment:
    """The command, target and planned time of a step that moves. Raises ValueError for one that does not."""
    settings, reach = geometry.settings, geometry.reach
    pose: Pose | None = None
    match step:
        case Travel() | Park():
            percent = travel_percent(start_deg, end_deg, step.speed_mm_s, geometry)
            share = percent / 100.0 * settings.speed_factor_percent / 100.0
            duration = joint_duration_s(start_deg, end_deg, [share * s for s in reach.chain.speeds_deg_s])
            command = protocol.mov_j_joint(end_deg, v=percent, a=settings.acceleration_percent)
        case Straight():
            length, turn = straight_extent(start_deg, step.target, reach)
            duration = straight_duration_s(length, turn, step.speed_mm_s, TURN_SPEED_DEG_S)
            pose = Pose.from_matrix(np.asarray(reach.flange(step.target)))
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
    share = (
        travel_share(start_deg, end_deg, speed_mm_s, geometry.reach) / geometry.settings.speed_factor_percent * 100.0
    )
    return max(1, int(min(TRAVEL_SHARE_MAX, share) * 100.0))

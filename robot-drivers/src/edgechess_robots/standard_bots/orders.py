"""The motions of a plan as the RO1 is told them, and how long each should take. Pure.

A travel goes to joint angles, so that the branch is ours; a straight motion goes to a tooltip, so that the robot's own
calibrated kinematics puts it there. Corners are not rounded: what an RO1 does between several `tooltip_positions` is
documented nowhere, so every motion ends standing.
"""

from __future__ import annotations

import dataclasses

from edgechess_robots.arm import Park, Straight, Travel
from edgechess_robots.joint_planner import TURN_SPEED_DEG_S, Reach, straight_extent, travel_share
from edgechess_robots.kinematics import Joints
from edgechess_robots.poses import Matrix
from edgechess_robots.standard_bots.api_protocol import Move
from edgechess_robots.standard_bots.units import metres, radians, tooltip_of
from edgechess_robots.timing import joint_duration_s, straight_duration_s


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Order:
    """One motion. `flange`: where it must end in the base frame; `joints_deg`: and these angles, of a joint motion."""

    move: Move
    joints_deg: Joints | None
    flange: Matrix | None
    duration_s: float


Moving = Travel | Straight | Park


def motion_s(step: Moving, start_deg: Joints, end_deg: Joints, reach: Reach) -> float:
    if isinstance(step, Straight):
        length, turn = straight_extent(start_deg, step.target, reach)
        return straight_duration_s(length, turn, step.speed_mm_s, TURN_SPEED_DEG_S)
    share = travel_share(start_deg, end_deg, step.speed_mm_s, reach)
    return joint_duration_s(start_deg, end_deg, [share * speed for speed in reach.chain.speeds_deg_s])


def order(step: Moving, start_deg: Joints, end_deg: Joints, reach: Reach, tooltip_mm: float) -> Order:
    """Raises WrongUnit for a target that no arm reaches."""
    duration = motion_s(step, start_deg, end_deg, reach)
    if isinstance(step, Straight):
        return straight(reach.flange(step.target), step.speed_mm_s, duration, tooltip_mm)
    share = travel_share(start_deg, end_deg, step.speed_mm_s, reach)
    move = Move(
        "joint",
        joints_rad=radians(end_deg),
        joint_speeds_rad_s=radians([share * speed for speed in reach.chain.speeds_deg_s]),
        tooltip_speed_m_s=metres(step.speed_mm_s, "the speed"),
    )
    flange = reach.flange(step.target) if isinstance(step, Travel) else None
    return Order(move, end_deg, flange, duration)


def straight(flange: Matrix, speed_mm_s: float, duration_s: float, tooltip_mm: float) -> Order:
    speed = metres(speed_mm_s, "the speed")
    move = Move("line", tooltip=tooltip_of(flange, tooltip_mm), tooltip_speed_m_s=speed)
    return Order(move, None, flange, duration_s)

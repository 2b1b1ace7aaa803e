"""Motions of an RO1 as functions of time: joint moves and lines through waypoints, jerk-limited.

Speeds are limited joint by joint and at the tooltip, whichever bites first (reference: the lowest of all limits counts).
Every way is run through along one coordinate, its part from 0 to 1, so that a stop stays on the way.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Protocol

from edgechess_twin import ro1_model as ro1
from edgechess_twin.arm_model import Joints, Point3, Transform, Unreachable, invert, multiply
from edgechess_twin.motion_profile import ACCELERATION_PER_S, SLOWEST, Line, Motion, Way, WayMotion

TOOLTIP_SPEED_MM_S = 750.0  # factory default limit (safety manual section 4)
TOOLTIP_ACCELERATION_MM_S2 = 2000.0  # the maker publishes none; ours, what arms of this size do
TURN_SPEED_DEG_S = 180.0  # of the tool about itself along a line; ours
TURN_ACCELERATION_DEG_S2 = 720.0
JOINT_SAMPLES = 16  # of a joint move, to find where the tooltip is fastest


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What a motion may at most; the arm's own maxima unless a speed profile lowers them."""

    joint_speed_deg_s: Joints = ro1.SPEEDS_DEG_S
    joint_acceleration_deg_s2: Joints = tuple(v * ACCELERATION_PER_S for v in ro1.SPEEDS_DEG_S)
    tooltip_speed_mm_s: float = TOOLTIP_SPEED_MM_S
    tooltip_acceleration_mm_s2: float = TOOLTIP_ACCELERATION_MM_S2


class _Limited(Way, Protocol):
    def speed_limit(self, limits: Limits) -> float:
        """The largest part per second. Raises Unreachable where a joint would have to be much faster than it can."""
        ...

    def acceleration_limit(self, limits: Limits) -> float: ...


class JointWay:
    """Straight in joint space."""

    def __init__(self, start: Joints, target: Joints, tooltip: Transform) -> None:
        """Raises Unreachable for a target beyond a joint's limit."""
        ro1.refuse_beyond(target)
        self._start = start
        self._step = tuple(b - a for a, b in zip(start, target, strict=True))
        places = [_place(self.joints(i / JOINT_SAMPLES), tooltip) for i in range(JOINT_SAMPLES + 1)]
        self._tip_rate = JOINT_SAMPLES * max(math.dist(a, b) for a, b in itertools.pairwise(places))

    def joints(self, part: float) -> Joints:
        return tuple(a + part * step for a, step in zip(self._start, self._step, strict=True))

    def speed_limit(self, limits: Limits) -> float:
        return 1.0 / max(_worst(self._step, limits.joint_speed_deg_s), self._tip_rate / limits.tooltip_speed_mm_s, 1e-6)

    def acceleration_limit(self, limits: Limits) -> float:
        by_tip = self._tip_rate / limits.tooltip_acceleration_mm_s2
        return 1.0 / max(_worst(self._step, limits.joint_acceleration_deg_s2), by_tip, 1e-6)


class LineWay(Line):
    """The tooltip straight in space."""

    def __init__(self, start: Joints, target: Transform, tooltip: Transform) -> None:
        super().__init__(ro1.KINEMATICS, start, target, tooltip)

    def speed_limit(self, limits: Limits) -> float:
        seconds = max(self.length_mm / limits.tooltip_speed_mm_s, self.turn_deg / TURN_SPEED_DEG_S, 1e-6)
        least, _joint = self.busiest(limits.joint_speed_deg_s)
        if least * SLOWEST > seconds:
            raise Unreachable(0, "a joint would be too fast next to a singularity")
        return 1.0 / max(seconds, least)

    def acceleration_limit(self, limits: Limits) -> float:
        along = self.length_mm / limits.tooltip_acceleration_mm_s2
        turning = self.turn_deg / TURN_ACCELERATION_DEG_S2
        joints, _joint = self.busiest(limits.joint_acceleration_deg_s2)
        return 1.0 / max(along, turning, joints, 1e-6)


def _place(joints: Joints, tooltip: Transform) -> Point3:
    tip = multiply(ro1.RO1.flange(joints), tooltip)
    return tip[0][3], tip[1][3], tip[2][3]


def _worst(rates: Sequence[float], limits: Joints) -> float:
    return max(abs(rate) / limit for rate, limit in zip(rates, limits, strict=True))


class Chained:
    """Motions one after another."""

    def __init__(self, motions: Sequence[WayMotion]) -> None:
        self._motions = tuple(motions)
        self._starts = tuple(itertools.accumulate((m.duration_s for m in self._motions), initial=0.0))
        self.duration_s = self._starts[-1]

    def _at(self, t_s: float) -> int:
        last = len(self._motions) - 1
        return next((i for i in range(last) if t_s < self._starts[i + 1]), last)

    def joints(self, t_s: float) -> Joints:
        index = self._at(t_s)
        return self._motions[index].joints(t_s - self._starts[index])

    def braking(self, t_s: float, factor: float) -> WayMotion:
        index = self._at(t_s)
        return self._motions[index].braking(t_s - self._starts[index], factor)


@dataclasses.dataclass(frozen=True, slots=True)
class Waypoint:
    """Where to: joints, or a tooltip pose in the base frame. One of the two."""

    joints: Joints | None = None
    tooltip: Transform | None = None


def plan(start: Joints, waypoints: Sequence[Waypoint], *, line: bool, limits: Limits, tooltip: Transform) -> Motion:
    """Through every waypoint in order, at rest in each. Raises Unreachable that says which waypoint and why."""
    here, motions = start, []
    for number, waypoint in enumerate(waypoints):
        try:
            motions.append(_motion(_way(here, waypoint, line, tooltip), limits))
        except Unreachable as error:
            where = f"waypoint {number}: " if len(waypoints) > 1 else ""
            raise Unreachable(error.alarm, f"{where}{error}") from None
        here = motions[-1].joints(motions[-1].duration_s)
    return Chained(motions)


def _motion(way: _Limited, limits: Limits) -> WayMotion:
    return WayMotion.plan(way, way.speed_limit(limits), way.acceleration_limit(limits))


def _way(start: Joints, waypoint: Waypoint, line: bool, tooltip: Transform) -> _Limited:
    if waypoint.joints is not None:
        return JointWay(start, waypoint.joints, tooltip)
    assert waypoint.tooltip is not None
    if line:
        return LineWay(start, waypoint.tooltip, tooltip)
    target = ro1.solve_near(multiply(waypoint.tooltip, invert(tooltip)), start)[0]
    return JointWay(start, target, tooltip)

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

from ruckig import ControlInterface, InputParameter, Ruckig, Trajectory

from edgechess_twin import ro1_model as ro1
from edgechess_twin.arm_model import (
    Branch,
    Joints,
    Point3,
    Quaternion,
    Transform,
    Unreachable,
    from_quaternion,
    invert,
    multiply,
    to_quaternion,
)
from edgechess_twin.motion_profile import ACCELERATION_PER_S, JERK_PER_S

TOOLTIP_SPEED_MM_S = 750.0  # factory default limit (safety manual section 4)
TOOLTIP_ACCELERATION_MM_S2 = 2000.0  # the maker publishes none; ours, what arms of this size do
TURN_SPEED_DEG_S = 180.0  # of the tool about itself along a line; ours
TURN_ACCELERATION_DEG_S2 = 720.0
SAMPLE_MM = 40.0  # a line is checked for reach and joint limits at least this often
SAMPLE_DEG = 10.0
JOINT_SAMPLES = 16  # of a joint move, to find where the tooltip is fastest
SLOWEST = 0.05  # a line whose joints would need less than this part of the asked speed fails instead of crawling


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What a motion may at most; the arm's own maxima unless a speed profile lowers them."""

    joint_speed_deg_s: Joints = ro1.SPEEDS_DEG_S
    joint_acceleration_deg_s2: Joints = tuple(v * ACCELERATION_PER_S for v in ro1.SPEEDS_DEG_S)
    tooltip_speed_mm_s: float = TOOLTIP_SPEED_MM_S
    tooltip_acceleration_mm_s2: float = TOOLTIP_ACCELERATION_MM_S2


class Way(Protocol):
    """Joints as a function of the part of the way, 0 to 1."""

    def joints(self, part: float) -> Joints: ...

    def speed_limit(self, limits: Limits) -> float:
        """The largest part per second."""
        ...

    def acceleration_limit(self, limits: Limits) -> float: ...


class JointWay:
    """Straight in joint space."""

    def __init__(self, start: Joints, target: Joints, tooltip: Transform) -> None:
        """Raises Unreachable for a target beyond a joint's limit."""
        beyond = ro1.beyond_limit(target)
        if beyond is not None:
            raise Unreachable(0, f"joint {beyond} beyond its limit")
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


class LineWay:
    """The tooltip straight in space, turning by the shortest way, on the branch of joints on which it starts."""

    def __init__(self, start: Joints, target: Transform, tooltip: Transform) -> None:
        """Raises Unreachable when some point between has no joints on that branch."""
        self._to_flange = invert(tooltip)
        begin = multiply(ro1.RO1.flange(start), tooltip)
        self._from: Point3 = (begin[0][3], begin[1][3], begin[2][3])
        self._step: Point3 = (target[0][3] - begin[0][3], target[1][3] - begin[1][3], target[2][3] - begin[2][3])
        self._turn_from, self._turn_to = to_quaternion(begin), to_quaternion(target)
        dot = sum(a * b for a, b in zip(self._turn_from, self._turn_to, strict=True))
        if dot < 0.0:
            w, x, y, z = self._turn_to
            self._turn_to, dot = (-w, -x, -y, -z), -dot
        self._half_angle = math.acos(min(1.0, dot))
        self._length_mm = math.hypot(*self._step)
        self._turn_deg = math.degrees(2.0 * self._half_angle)
        count = max(1, math.ceil(self._length_mm / SAMPLE_MM), math.ceil(self._turn_deg / SAMPLE_DEG))
        self._branch: Branch = ro1.solve_near(ro1.RO1.flange(start), start)[1]
        self._samples: list[Joints] = [start]
        for index in range(1, count + 1):
            self._samples.append(ro1.solve(self._flange(index / count), self._branch, self._samples[-1]))

    def _flange(self, part: float) -> Transform:
        (x, y, z), (dx, dy, dz) = self._from, self._step
        tip = from_quaternion(self._orientation(part), (x + part * dx, y + part * dy, z + part * dz))
        return multiply(tip, self._to_flange)

    def _orientation(self, part: float) -> Quaternion:
        if self._half_angle < 1e-9:
            return self._turn_from
        whole = math.sin(self._half_angle)
        a = math.sin((1.0 - part) * self._half_angle) / whole
        b = math.sin(part * self._half_angle) / whole
        w, x, y, z = (a * p + b * q for p, q in zip(self._turn_from, self._turn_to, strict=True))
        return w, x, y, z

    def joints(self, part: float) -> Joints:
        reference = self._samples[min(len(self._samples) - 1, max(0, round(part * (len(self._samples) - 1))))]
        return ro1.solve(self._flange(part), self._branch, reference)

    def _rates(self) -> list[Joints]:
        """What each joint does per part, sample by sample."""
        count = len(self._samples) - 1
        return [
            tuple((b - a) * count for a, b in zip(before, after, strict=True))
            for before, after in itertools.pairwise(self._samples)
        ]

    def speed_limit(self, limits: Limits) -> float:
        """Raises Unreachable where a joint would have to be much faster than it can."""
        seconds = max(self._length_mm / limits.tooltip_speed_mm_s, self._turn_deg / TURN_SPEED_DEG_S, 1e-6)
        least = max(_worst(rates, limits.joint_speed_deg_s) for rates in self._rates())
        if least * SLOWEST > seconds:
            raise Unreachable(0, "a joint would be too fast next to a singularity")
        return 1.0 / max(seconds, least)

    def acceleration_limit(self, limits: Limits) -> float:
        along = self._length_mm / limits.tooltip_acceleration_mm_s2
        turning = self._turn_deg / TURN_ACCELERATION_DEG_S2
        joints = max(_worst(rates, limits.joint_acceleration_deg_s2) for rates in self._rates())
        return 1.0 / max(along, turning, joints, 1e-6)


def _place(joints: Joints, tooltip: Transform) -> Point3:
    tip = multiply(ro1.RO1.flange(joints), tooltip)
    return tip[0][3], tip[1][3], tip[2][3]


def _worst(rates: Sequence[float], limits: Joints) -> float:
    return max(abs(rate) / limit for rate, limit in zip(rates, limits, strict=True))


class Motion(Protocol):
    """One motion from its start; times are in motion time (speed-up not applied)."""

    @property
    def duration_s(self) -> float: ...

    def joints(self, t_s: float) -> Joints: ...

    def braking(self, t_s: float, factor: float) -> Motion:
        """The motion that comes to rest as soon as possible from the state at `t_s`, on the same way."""
        ...


class WayMotion:
    """One way run through from rest to rest."""

    def __init__(self, way: Way, trajectory: Trajectory, acceleration: float, jerk: float) -> None:
        self._way = way
        self._trajectory = trajectory
        self._acceleration = acceleration
        self._jerk = jerk
        self.duration_s: float = trajectory.duration

    @classmethod
    def plan(cls, way: Way, limits: Limits) -> WayMotion:
        """Raises Unreachable: as `Way.speed_limit`."""
        acceleration = way.acceleration_limit(limits)
        jerk = acceleration * JERK_PER_S
        request = InputParameter(1)
        request.current_position = [0.0]
        request.target_position = [1.0]
        request.max_velocity = [way.speed_limit(limits)]
        request.max_acceleration = [acceleration]
        request.max_jerk = [jerk]
        return cls(way, _calculate(request), acceleration, jerk)

    def joints(self, t_s: float) -> Joints:
        part = float(self._trajectory.at_time(min(max(t_s, 0.0), self.duration_s))[0][0])
        return self._way.joints(min(1.0, max(0.0, part)))

    def braking(self, t_s: float, factor: float) -> WayMotion:
        position, velocity, acceleration = self._trajectory.at_time(min(max(t_s, 0.0), self.duration_s))
        request = InputParameter(1)
        request.control_interface = ControlInterface.Velocity
        request.current_position = position
        request.current_velocity = velocity
        request.current_acceleration = acceleration
        request.target_velocity = [0.0]
        request.max_velocity = [max(1e-6, abs(velocity[0]) * 2.0)]
        request.max_acceleration = [self._acceleration * factor]
        request.max_jerk = [self._jerk * factor * factor]
        return WayMotion(self._way, _calculate(request), self._acceleration, self._jerk)


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
            motions.append(WayMotion.plan(_way(here, waypoint, line, tooltip), limits))
        except Unreachable as error:
            where = f"waypoint {number}: " if len(waypoints) > 1 else ""
            raise Unreachable(error.alarm, f"{where}{error}") from None
        here = motions[-1].joints(motions[-1].duration_s)
    return Chained(motions)


def _way(start: Joints, waypoint: Waypoint, line: bool, tooltip: Transform) -> Way:
    if waypoint.joints is not None:
        return JointWay(start, waypoint.joints, tooltip)
    assert waypoint.tooltip is not None
    if line:
        return LineWay(start, waypoint.tooltip, tooltip)
    target = ro1.solve_near(multiply(waypoint.tooltip, invert(tooltip)), start)[0]
    return JointWay(start, target, tooltip)


def _calculate(request: InputParameter) -> Trajectory:
    trajectory = Trajectory(request.degrees_of_freedom)
    Ruckig(request.degrees_of_freedom).calculate(request, trajectory)
    return trajectory

"""Motions as functions of time: where the joints are, how fast, and when it ends. Nothing here waits or ticks.

Timing is jerk-limited (ruckig). A joint motion is limited joint by joint; a line is limited along its length, its
joints following by inverse kinematics at whatever instant somebody asks for. Two motions with a rounded corner between
them overlap in time: the second starts from rest while the first comes to rest, and the joints follow their sum, so that
speed and acceleration stay continuous and the arm does not stop.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ruckig import ControlInterface, InputParameter, Ruckig, RuckigError, Synchronization, Trajectory

from edgechess_twin.arm_model import (
    IDENTITY,
    Branch,
    Chain,
    Joints,
    Point3,
    Quaternion,
    Transform,
    Unreachable,
    beyond_limit,
    from_quaternion,
    invert,
    multiply,
    solve,
    solve_near,
    to_quaternion,
)

JOINT_SPEED_DEG_S = (180.0, 180.0, 223.0, 223.0, 223.0, 223.0)  # reference section 10, from memory of the data sheet
LINE_SPEED_MM_S = 2000.0  # software maximum ("Playback settings"), reference section 6
TURN_SPEED_DEG_S = 90.0  # of the tool about itself along a line, whatever the linear speed; ours
ACCELERATION_PER_S = 2.0  # full acceleration reaches full speed in 1 / 2 s (reference "robot-motion" C)
JERK_PER_S = 5.0  # full acceleration is reached in 1 / 5 s (same place)
STOP_FACTOR = 2.0  # a commanded stop may brake twice as hard as a planned end
EMERGENCY_FACTOR = 6.0  # category 1 stop: as hard as the drives can
JERK_SHARES = (1.0, 0.9999, 0.999)  # tried in turn
SAMPLE_MM = 40.0  # a line is checked for reach, limits and joint speed at least this often
SAMPLE_DEG = 10.0
SLOWEST = 0.05  # a line whose joints would need less than this part of the asked speed is an alarm, not a crawl


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """The joints at one instant, in degrees, degrees/s and degrees/s²."""

    joints: Joints
    speed: Joints
    acceleration: Joints


STILL: Joints = (0.0,) * 6


class Motion(Protocol):
    """One motion from its start. `duration_s` and `t_s` are in motion time (speed-up not applied)."""

    @property
    def duration_s(self) -> float: ...

    def joints(self, t_s: float) -> Joints: ...

    def braking(self, t_s: float, factor: float) -> Motion:
        """The motion that comes to rest as soon as possible from the state at `t_s`, on the same path."""
        ...


class Roundable(Motion, Protocol):
    """A motion into whose end the next one can be rounded."""

    def state(self, t_s: float) -> State: ...

    @property
    def slowing_s(self) -> float:
        """How long it slows down at its end; as long as it speeds up at its start."""
        ...

    def braking(self, t_s: float, factor: float) -> Roundable: ...


class JointMotion:
    """All joints start and end together."""

    def __init__(self, trajectory: Trajectory, acceleration: Joints, jerk: Joints) -> None:
        self._trajectory = trajectory
        self._acceleration = acceleration
        self._jerk = jerk
        self.duration_s: float = trajectory.duration

    @property
    def slowing_s(self) -> float:
        return _speeding_up_s(lambda t_s: max(abs(v) for v in self._trajectory.at_time(t_s)[1]), self.duration_s)

    @classmethod
    def plan(cls, start: Joints, target: Joints, velocity: float, acceleration: float) -> JointMotion:
        """`velocity` and `acceleration` are parts (0 to 1] of the joints' maxima. Raises Unreachable with the alarm of the first joint
        beyond its limit."""
        _refuse_beyond(target)
        top = tuple(v * ACCELERATION_PER_S * acceleration for v in JOINT_SPEED_DEG_S)
        jerk = tuple(a * JERK_PER_S for a in top)
        request = InputParameter(6)
        request.current_position = start
        request.target_position = target
        request.max_velocity = [v * velocity for v in JOINT_SPEED_DEG_S]
        request.max_acceleration = top
        request.max_jerk = jerk
        request.synchronization = Synchronization.Phase  # straight in joint space where that is possible
        return cls(_calculate(request), top, jerk)

    def joints(self, t_s: float) -> Joints:
        return tuple(self._trajectory.at_time(t_s)[0])

    def state(self, t_s: float) -> State:
        position, velocity, acceleration = self._trajectory.at_time(t_s)
        return State(tuple(position), tuple(velocity), tuple(acceleration))

    def braking(self, t_s: float, factor: float) -> JointMotion:
        return _joints_braking(self.state(t_s), self._acceleration, self._jerk, factor)


def _joints_braking(now: State, acceleration: Joints, jerk: Joints, factor: float) -> JointMotion:
    """Every joint to rest by itself, as soon as it can."""
    top = tuple(a * factor for a in acceleration)
    jerk = tuple(j * factor * factor for j in jerk)
    request = InputParameter(6)
    request.control_interface = ControlInterface.Velocity
    request.current_position = now.joints
    request.current_velocity = now.speed
    request.current_acceleration = now.acceleration
    request.target_velocity = STILL
    request.max_velocity = JOINT_SPEED_DEG_S
    request.max_acceleration = top
    request.max_jerk = jerk
    return JointMotion(_calculate(request), top, jerk)


@dataclasses.dataclass(frozen=True, slots=True)
class Kinematics:
    """An arm as lines need it; everything raises Unreachable."""

    flange: Callable[[Joints], Transform]
    solve: Callable[[Transform, Branch, Joints], Joints]
    """The joints of one branch for a flange, each the turn nearest to the reference."""
    solve_near: Callable[[Transform, Joints], tuple[Joints, Branch]]
    refuse_beyond: Callable[[Joints], None]
    """Raises for a joint beyond its limit."""


def of_chain(chain: Chain) -> Kinematics:
    """Of an arm with the limits of a CR10A."""
    return Kinematics(chain.flange, partial(solve, chain), partial(solve_near, chain), _refuse_beyond)


def _refuse_beyond(joints: Joints) -> None:
    """Raises Unreachable with the alarm of the first joint beyond its limit."""
    alarm = beyond_limit(joints)
    if alarm is not None:
        raise Unreachable(alarm, f"J{(alarm - 64) // 2 + 1} beyond its limit")


class Way(Protocol):
    """Joints as a function of the part of the way, 0 to 1."""

    def joints(self, part: float) -> Joints: ...


class Line:
    """The straight way of a tool: position linear, orientation by the shortest turn, on the branch of joints on which it
    starts. `tool` is its place in the flange's frame."""

    def __init__(self, arm: Kinematics, start: Joints, target: Transform, tool: Transform = IDENTITY) -> None:
        """Raises Unreachable when some point between has no joints on that branch, or some beyond their limits."""
        self._arm = arm
        self._to_flange = None if tool == IDENTITY else invert(tool)
        at = arm.flange(start)
        begin = multiply(at, tool)
        self._from: Point3 = (begin[0][3], begin[1][3], begin[2][3])
        self._step: Point3 = (target[0][3] - begin[0][3], target[1][3] - begin[1][3], target[2][3] - begin[2][3])
        self._turn_from, self._turn_to = to_quaternion(begin), to_quaternion(target)
        dot = sum(a * b for a, b in zip(self._turn_from, self._turn_to, strict=True))
        if dot < 0.0:
            w, x, y, z = self._turn_to
            self._turn_to, dot = (-w, -x, -y, -z), -dot
        self._half_angle = math.acos(min(1.0, dot))
        self._unturned = from_quaternion(self._turn_from, (0.0, 0.0, 0.0)) if self._half_angle < 1e-9 else None
        self.length_mm = math.hypot(*self._step)
        self.turn_deg = math.degrees(2.0 * self._half_angle)
        count = max(1, math.ceil(self.length_mm / SAMPLE_MM), math.ceil(self.turn_deg / SAMPLE_DEG))
        self._branch: Branch = arm.solve_near(at, start)[1]
        self._samples: list[Joints] = [start]
        for index in range(1, count + 1):
            joints = arm.solve(self._flange(index / count), self._branch, self._samples[-1])
            arm.refuse_beyond(joints)
            self._samples.append(joints)

    def _flange(self, part: float) -> Transform:
        place = self.place_mm(part)
        if self._unturned is None:
            tip = from_quaternion(self._orientation(part), place)
        else:
            (a, b, c, _), (d, e, f, _), (g, h, i, _) = self._unturned
            tip = ((a, b, c, place[0]), (d, e, f, place[1]), (g, h, i, place[2]))
        return tip if self._to_flange is None else multiply(tip, self._to_flange)

    def place_mm(self, part: float) -> Point3:
        """Of the tool."""
        (x, y, z), (dx, dy, dz) = self._from, self._step
        return x + part * dx, y + part * dy, z + part * dz

    def _orientation(self, part: float) -> Quaternion:
        whole = math.sin(self._half_angle)
        a = math.sin((1.0 - part) * self._half_angle) / whole
        b = math.sin(part * self._half_angle) / whole
        w, x, y, z = (a * p + b * q for p, q in zip(self._turn_from, self._turn_to, strict=True))
        return w, x, y, z

    def joints(self, part: float) -> Joints:
        reference = self._samples[min(len(self._samples) - 1, max(0, round(part * (len(self._samples) - 1))))]
        return self._arm.solve(self._flange(part), self._branch, reference)

    def busiest(self, most: Joints) -> tuple[float, int]:
        """The largest rate of a joint per part of the way, as a multiple of what it can at most; and which joint."""
        parts = len(self._samples) - 1
        rates = [
            parts * max(abs(b[i] - a[i]) for a, b in itertools.pairwise(self._samples)) / most[i] for i in range(6)
        ]
        return max(rates), rates.index(max(rates))


class WayMotion:
    """A way run through with jerk-limited speed. The trajectory's one degree of freedom is the part 0 to 1."""

    def __init__(self, way: Way, trajectory: Trajectory, acceleration: float, jerk: float) -> None:
        self.way = way
        self._trajectory = trajectory
        self._acceleration = acceleration
        self._jerk = jerk
        self.duration_s: float = trajectory.duration

    @classmethod
    def plan(cls, way: Way, speed: float, acceleration: float) -> WayMotion:
        """From rest to rest; both limits in parts of the way."""
        jerk = acceleration * JERK_PER_S
        request = InputParameter(1)
        request.current_position = [0.0]
        request.target_position = [1.0]
        request.max_velocity = [speed]
        request.max_acceleration = [acceleration]
        request.max_jerk = [jerk]
        return cls(way, _calculate(request), acceleration, jerk)

    @property
    def slowing_s(self) -> float:
        return _speeding_up_s(lambda t_s: abs(self._trajectory.at_time(t_s)[1][0]), self.duration_s)

    def part(self, t_s: float) -> float:
        return min(1.0, max(0.0, float(self._trajectory.at_time(self._within(t_s))[0][0])))

    def joints(self, t_s: float) -> Joints:
        return self.way.joints(self.part(t_s))

    def state(self, t_s: float) -> State:
        """Joint speeds are the difference over 2 ms: the controller's own are computed no better."""
        h = 0.001
        before, now, after = (self.joints(t_s + k * h) for k in (-1, 0, 1))
        speed = tuple((b - a) / (2 * h) for a, b in zip(before, after, strict=True))
        bend = tuple((a - 2 * n + b) / (h * h) for a, n, b in zip(before, now, after, strict=True))
        return State(now, speed, bend)

    def braking(self, t_s: float, factor: float) -> WayMotion:
        position, velocity, acceleration = self._trajectory.at_time(self._within(t_s))
        top, jerk = self._acceleration * factor, self._jerk * factor * factor
        request = InputParameter(1)
        request.control_interface = ControlInterface.Velocity
        request.current_position = position
        request.current_velocity = velocity
        request.current_acceleration = acceleration
        request.target_velocity = [0.0]
        request.max_velocity = [max(1e-6, abs(velocity[0]) * 2.0)]
        request.max_acceleration = [top]
        request.max_jerk = [jerk]
        return WayMotion(self.way, _calculate(request), top, jerk)

    def _within(self, t_s: float) -> float:
        return min(self.duration_s, max(0.0, t_s))


def line_motion(chain: Chain, start: Joints, target: Transform, speed_mm_s: float, acceleration: float) -> WayMotion:
    """Of the flange. `speed_mm_s` is lowered where a joint could not follow; `acceleration` is a part (0 to 1] of the
    maximum. Raises Unreachable: 16, 17, 18, 26, 27, a joint limit's alarm, or 48 … for the joint that would have to be
    much faster than it can."""
    line = Line(of_chain(chain), start, target)
    # The slower of the two decides: length at linear speed, turn at turning speed.
    seconds = max(line.length_mm / speed_mm_s, line.turn_deg / TURN_SPEED_DEG_S, 1e-6)
    least, busiest = line.busiest(JOINT_SPEED_DEG_S)
    if least * SLOWEST > seconds:
        raise Unreachable(48 + busiest, f"J{busiest + 1} would be too fast")
    full = min(LINE_SPEED_MM_S / max(line.length_mm, 1e-3), TURN_SPEED_DEG_S / max(line.turn_deg, 1e-3))
    return WayMotion.plan(line, 1.0 / max(seconds, least), full * ACCELERATION_PER_S * acceleration)


class Joined:
    """A motion that began while the one before it was still slowing down: what is left of that one fades out in it.

    `motion` starts where `before` ends. Time 0 is the start of `motion`, which is `before_s` in the motion before.
    """

    def __init__(self, motion: Roundable, before: Roundable, before_s: float) -> None:
        self._motion = motion
        self._before = before
        self._before_s = before_s
        self._corner = before.joints(before.duration_s)
        self.overlap_s = max(0.0, before.duration_s - before_s)
        self.duration_s: float = max(motion.duration_s, self.overlap_s)

    @property
    def slowing_s(self) -> float:
        """Not earlier than the motion before has ended: no more than two motions overlap."""
        return min(self._motion.slowing_s, self.duration_s - self.overlap_s)

    def joints(self, t_s: float) -> Joints:
        ahead = self._motion.joints(min(t_s, self._motion.duration_s))
        if t_s >= self.overlap_s:
            return ahead
        behind = self._before.joints(self._before_s + t_s)
        return tuple(a + b - c for a, b, c in zip(ahead, behind, self._corner, strict=True))

    def state(self, t_s: float) -> State:
        ahead = self._motion.state(min(t_s, self._motion.duration_s))
        if t_s >= self.overlap_s:
            return ahead
        behind = self._before.state(self._before_s + t_s)
        return State(
            tuple(a + b - c for a, b, c in zip(ahead.joints, behind.joints, self._corner, strict=True)),
            tuple(a + b for a, b in zip(ahead.speed, behind.speed, strict=True)),
            tuple(a + b for a, b in zip(ahead.acceleration, behind.acceleration, strict=True)),
        )

    def braking(self, t_s: float, factor: float) -> Roundable:
        """In the corner the joints brake one by one, a few millimetres beside the path; after it, on the path."""
        if t_s >= self.overlap_s:
            return self._motion.braking(t_s, factor)
        top = tuple(v * ACCELERATION_PER_S for v in JOINT_SPEED_DEG_S)
        return _joints_braking(self.state(t_s), top, tuple(a * JERK_PER_S for a in top), factor)


def overlap_s(chain: Chain, before: Roundable, after: Roundable, radius_mm: float) -> float:
    """How long before the end of one motion the next may start, so that the corner between them is rounded, both the
    leaving and the joining of the path being within `radius_mm` of it, and only while the first slows down."""
    corner = after.joints(0.0)
    left = before.duration_s - _time_at(chain, before, before.duration_s, corner, radius_mm)
    joined = _time_at(chain, after, 0.0, corner, radius_mm)
    return max(0.0, min(before.slowing_s, left, joined))


def _time_at(chain: Chain, motion: Motion, at_corner_s: float, corner: Joints, radius_mm: float) -> float:
    """When the flange is this far from the corner at one end of the motion; the other end if it never is."""
    away_s, near_s = motion.duration_s - at_corner_s, at_corner_s
    middle = _origin(chain.flange(corner))
    for _ in range(12):  # to a four-thousandth of the motion
        half_s = (away_s + near_s) / 2.0
        if math.dist(_flange_mm(chain, motion, half_s), middle) > radius_mm:
            away_s = half_s
        else:
            near_s = half_s
    return near_s


def _flange_mm(chain: Chain, motion: Motion, t_s: float) -> Point3:
    """Where it is. On a straight line of the flange no joints are needed for that."""
    if isinstance(motion, WayMotion) and isinstance(motion.way, Line):
        return motion.way.place_mm(motion.part(t_s))
    return _origin(chain.flange(motion.joints(t_s)))


def _origin(frame: Transform) -> Point3:
    return frame[0][3], frame[1][3], frame[2][3]


def _speeding_up_s(speed: Callable[[float], float], duration_s: float) -> float:
    """How long a motion from rest to rest speeds up: until it has the speed that it has at half its time."""
    low_s, high_s = 0.0, duration_s / 2.0
    top = speed(high_s) * (1.0 - 1e-6)
    for _ in range(12):
        half_s = (low_s + high_s) / 2.0
        low_s, high_s = (low_s, half_s) if speed(half_s) >= top else (half_s, high_s)
    return high_s


def _calculate(request: InputParameter) -> Trajectory:
    """With a little less jerk where ruckig finds nothing: it fails where a phase of the motion just vanishes."""
    trajectory = Trajectory(request.degrees_of_freedom)
    jerk = list(request.max_jerk)
    for share in JERK_SHARES:
        request.max_jerk = [limit * share for limit in jerk]
        try:
            Ruckig(request.degrees_of_freedom).calculate(request, trajectory)
        except RuckigError:
            continue
        return trajectory
    raise ValueError(f"no timing for {request}")

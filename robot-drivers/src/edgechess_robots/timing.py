"""How long a motion takes when speed, acceleration and jerk are limited (ruckig).

Used to plan and to set deadlines; the real controller has limits of its own that it does not tell, so a deadline is a
multiple of what is planned here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache

from ruckig import InputParameter, Result, Ruckig, RuckigError, Trajectory

# An arm reaches its speed in half a second, its acceleration in a fifth: reference "robot-motion" section C.
ACCELERATION_PER_SPEED_1_S = 2.0
JERK_PER_ACCELERATION_1_S = 5.0

JERK_SHARES = (1.0, 0.9999, 0.999)
"""Of the jerk, tried in turn: ruckig fails where a distance is just where a phase of the motion vanishes, 120 mm at 750 mm/s
for one, and round numbers meet such places."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Of one coordinate, in its unit (mm or degrees) per s, s², s³."""

    speed: float
    acceleration: float
    jerk: float


def usual_limits(speed: float) -> Limits:
    acceleration = ACCELERATION_PER_SPEED_1_S * speed
    return Limits(speed, acceleration, JERK_PER_ACCELERATION_1_S * acceleration)


def duration_s(distances: Sequence[float], limits: Sequence[Limits]) -> float:
    """Rest to rest over all distances at once, the slowest coordinate leading. Raises ValueError for limits that are
    not positive."""
    if len(distances) != len(limits) or any(min(n.speed, n.acceleration, n.jerk) <= 0.0 for n in limits):
        raise ValueError(f"one set of positive limits per distance, got {limits}")
    return _rest_to_rest_s(tuple(abs(d) for d in distances), tuple(limits))


@lru_cache(maxsize=512)
def _rest_to_rest_s(distances: tuple[float, ...], limits: tuple[Limits, ...]) -> float:
    """A motion is timed when it is checked, and once more when it is sent."""
    if all(d < 1e-9 for d in distances):
        return 0.0
    count = len(distances)
    problem = InputParameter(count)
    problem.current_position = [0.0] * count
    problem.target_position = list(distances)
    problem.max_velocity = [n.speed for n in limits]
    problem.max_acceleration = [n.acceleration for n in limits]
    trajectory = Trajectory(count)
    for share in JERK_SHARES:
        problem.max_jerk = [n.jerk * share for n in limits]
        try:
            result = Ruckig(count).calculate(problem, trajectory)
        except RuckigError:
            continue
        if result in (Result.Working, Result.Finished):
            return float(trajectory.duration)
    raise ValueError(f"no timing for {distances} within {limits}")


def straight_duration_s(length_mm: float, turn_deg: float, speed_mm_s: float, turn_speed_deg_s: float) -> float:
    """A straight motion of the tool that also turns it."""
    return duration_s((length_mm, turn_deg), (usual_limits(speed_mm_s), usual_limits(turn_speed_deg_s)))


def joint_duration_s(start_deg: Sequence[float], end_deg: Sequence[float], speeds_deg_s: Sequence[float]) -> float:
    """A joint-interpolated motion at these joint speeds."""
    distances = [end - start for start, end in zip(start_deg, end_deg, strict=True)]
    return duration_s(distances, [usual_limits(speed) for speed in speeds_deg_s])

"""Motions of an RO1: limits kept, lines straight, stops on the way."""

from __future__ import annotations

import itertools
import math

import pytest

from edgechess_twin import ro1_model as ro1
from edgechess_twin.arm_model import Joints, Point3, Unreachable, multiply
from edgechess_twin.ro1_motion import Limits, Motion, Waypoint, plan

START: Joints = (180.0, 18.0, -132.0, 24.0, 90.0, 0.0)
TIP = ro1.tooltip(180.0)


def tip(joints: Joints) -> Point3:
    t = multiply(ro1.RO1.flange(joints), TIP)
    return t[0][3], t[1][3], t[2][3]


def down(x: float, y: float, z: float, yaw: float = 0.0) -> Waypoint:
    return Waypoint(tooltip=ro1.straight_down(x, y, z, yaw))


def planned(*waypoints: Waypoint, line: bool = True, limits: Limits | None = None) -> Motion:
    return plan(START, waypoints, line=line, limits=limits or Limits(), tooltip=TIP)


def samples(motion: Motion, count: int = 400) -> list[tuple[float, Joints]]:
    return [(motion.duration_s * i / count, motion.joints(motion.duration_s * i / count)) for i in range(count + 1)]


@pytest.mark.parametrize("line", [True, False])
def test_the_tooltip_keeps_to_the_factory_limit(line: bool) -> None:
    motion = planned(down(450.0, 350.0, 120.0, 45.0), line=line)
    speeds = [
        math.dist(tip(a[1]), tip(b[1])) / (b[0] - a[0]) for a, b in itertools.pairwise(samples(motion)) if b[0] > a[0]
    ]
    assert 600.0 < max(speeds) < 750.0 * 1.02
    assert tip(motion.joints(motion.duration_s)) == pytest.approx((450.0, 350.0, 120.0), abs=1e-6)


def test_a_profile_only_slows_down() -> None:
    usual = planned(down(450.0, 350.0, 120.0))
    slow = planned(down(450.0, 350.0, 120.0), limits=Limits(tooltip_speed_mm_s=100.0))
    assert slow.duration_s > 3.0 * usual.duration_s
    target = Waypoint(joints=(90.0, 18.0, -132.0, 24.0, 90.0, 0.0))
    fast = planned(target, line=False)
    lazy = planned(target, line=False, limits=Limits(joint_speed_deg_s=(10.0,) * 6))
    assert fast.duration_s < 5.0 < 9.0 < lazy.duration_s


def test_a_line_is_straight_and_its_joints_never_jump() -> None:
    x0, y0, z0 = tip(START)
    motion = planned(down(x0 + 150.0, y0 - 200.0, z0 - 30.0))
    step = (150.0, -200.0, -30.0)
    length = math.hypot(*step)
    before: Joints | None = None
    for _, joints in samples(motion):
        delta = [a - b for a, b in zip(tip(joints), (x0, y0, z0), strict=True)]
        along = sum(d * s for d, s in zip(delta, step, strict=True)) / length
        assert math.hypot(*delta) == pytest.approx(along, abs=1e-3)
        if before is not None:
            assert max(abs(a - b) for a, b in zip(joints, before, strict=True)) < 3.0
        before = joints


def test_waypoints_are_passed_in_order() -> None:
    corners = [(400.0, -100.0, 200.0), (400.0, 100.0, 200.0), (550.0, 100.0, 100.0)]
    motion = planned(*(down(*corner) for corner in corners))
    seen = [tip(joints) for _, joints in samples(motion, 2000)]
    nearest = [min(range(len(seen)), key=lambda i: math.dist(seen[i], corner)) for corner in corners]
    assert nearest == sorted(nearest)
    for corner, index in zip(corners, nearest, strict=True):
        assert math.dist(seen[index], corner) < 2.0


@pytest.mark.parametrize("part", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_a_stop_ends_on_the_way_and_soon(part: float) -> None:
    x0, y0, z0 = tip(START)
    motion = planned(down(x0 + 300.0, y0, z0))
    at_s = motion.duration_s * part
    stop = motion.braking(at_s, 2.0)
    assert stop.duration_s < 0.5
    assert stop.joints(0.0) == pytest.approx(motion.joints(at_s), abs=1e-6)
    end = tip(stop.joints(stop.duration_s))
    assert end[1:] == pytest.approx((y0, z0), abs=1e-3)
    assert tip(motion.joints(at_s))[0] - 1e-6 <= end[0] <= x0 + 300.0 + 1e-6
    assert stop.joints(stop.duration_s + 1.0) == stop.joints(stop.duration_s)


def test_what_cannot_be_reached_is_said() -> None:
    with pytest.raises(Unreachable, match="joint 1 beyond"):
        planned(Waypoint(joints=(0.0, 140.0, 0.0, 0.0, 0.0, 0.0)), line=False)
    with pytest.raises(Unreachable, match="waypoint 1: out of the work area"):
        planned(down(400.0, 0.0, 200.0), down(3000.0, 0.0, 200.0))

"""Motions as functions of time: limits are kept, lines are straight, a stop stays on its path."""

import itertools
import math

import pytest

from edgechess_twin import arm_model as model
from edgechess_twin.arm_model import CR10A, Unreachable
from edgechess_twin.motion_profile import (
    ACCELERATION_PER_S,
    JERK_PER_S,
    JOINT_SPEED_DEG_S,
    LINE_SPEED_MM_S,
    Joined,
    JointMotion,
    Motion,
    WayMotion,
    line_motion,
    overlap_s,
)

ABOVE = model.solve_near(CR10A, model.from_pose((460.0, -30.0, 400.0, 180, 0, 0)), (0, -20, -100, 30, 90, 0))[0]
FAR_SIDE = model.solve_near(CR10A, model.from_pose((560.0, 150.0, 300.0, 180, 0, 40)), ABOVE)[0]


def place(joints: model.Joints) -> tuple[float, float, float]:
    t = CR10A.flange(joints)
    return t[0][3], t[1][3], t[2][3]


def differences(values: list[float], step_s: float) -> list[float]:
    return [(b - a) / step_s for a, b in itertools.pairwise(values)]


def steps(motion: Motion, count: int) -> tuple[float, list[model.Joints]]:
    step_s = motion.duration_s / count
    return step_s, [motion.joints(index * step_s) for index in range(count + 1)]


def test_a_joint_motion_starts_ends_and_keeps_speed_acceleration_and_jerk() -> None:
    motion = JointMotion.plan(ABOVE, FAR_SIDE, 0.5, 0.4)
    assert motion.joints(0.0) == pytest.approx(ABOVE)
    assert motion.joints(motion.duration_s) == pytest.approx(FAR_SIDE)
    step_s, path = steps(motion, 400)
    for index in range(6):
        speed = differences([q[index] for q in path], step_s)
        acceleration = differences(speed, step_s)
        jerk = differences(acceleration, step_s)
        top = JOINT_SPEED_DEG_S[index]
        assert max(map(abs, speed)) <= 0.5 * top * 1.001
        assert max(map(abs, acceleration)) <= 0.4 * top * ACCELERATION_PER_S * 1.01
        assert max(map(abs, jerk)) <= 0.4 * top * ACCELERATION_PER_S * JERK_PER_S * 1.05


def test_a_line_is_straight_and_jerk_limited() -> None:
    target = model.from_pose((560.0, 150.0, 220.0, 180, 0, 40))
    motion = line_motion(CR10A, ABOVE, target, 250.0, 0.5)
    start, end = place(ABOVE), (560.0, 150.0, 220.0)
    length = math.dist(start, end)
    step_s, path = steps(motion, 200)
    along: list[float] = []
    for joints in path:
        at = place(joints)
        part = sum((a - s) * (e - s) for a, s, e in zip(at, start, end, strict=True)) / length**2
        foot = tuple(s + part * (e - s) for s, e in zip(start, end, strict=True))
        assert math.dist(at, foot) < 1e-6
        along.append(part * length)
    assert along[0] == pytest.approx(0.0, abs=1e-6)
    assert along[-1] == pytest.approx(length)
    speed = differences(along, step_s)
    acceleration = differences(speed, step_s)
    assert 249.0 < max(speed) <= 250.01
    assert max(map(abs, acceleration)) <= 0.5 * LINE_SPEED_MM_S * ACCELERATION_PER_S * 1.01
    jerk = differences(acceleration, step_s)
    assert max(map(abs, jerk)) <= 0.5 * LINE_SPEED_MM_S * ACCELERATION_PER_S * JERK_PER_S * 1.05
    assert model.to_pose(CR10A.flange(path[-1])) == pytest.approx((560.0, 150.0, 220.0, 180, 0, 40), abs=1e-6)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_stop_brakes_on_the_path(part: float) -> None:
    target = model.from_pose((560.0, 150.0, 220.0, 180, 0, 0))
    line = line_motion(CR10A, ABOVE, target, 250.0, 0.5)
    brake = line.braking(part * line.duration_s, 2.0)
    assert place(brake.joints(0.0)) == pytest.approx(place(line.joints(part * line.duration_s)), abs=1e-6)
    assert line.part(part * line.duration_s) <= brake.part(brake.duration_s) <= 1.0
    assert max(map(abs, brake.state(brake.duration_s).speed)) < 0.5
    swing = JointMotion.plan(ABOVE, FAR_SIDE, 0.5, 0.4)
    rest = swing.braking(part * swing.duration_s, 2.0)
    assert rest.state(rest.duration_s).speed == pytest.approx((0.0,) * 6, abs=1e-6)
    assert rest.duration_s < swing.duration_s


def test_what_cannot_be_planned_is_an_alarm() -> None:
    with pytest.raises(Unreachable) as caught:
        JointMotion.plan(ABOVE, (0, 0, 170.0, 0, 0, 0), 1.0, 1.0)
    assert caught.value.alarm == 68
    with pytest.raises(Unreachable) as caught:
        line_motion(CR10A, ABOVE, model.from_pose((1500.0, 0.0, 300.0, 180, 0, 0)), 250.0, 1.0)
    assert caught.value.alarm in (18, 27)
    across = model.from_pose((-460.0, 30.0, 400.0, 180, 0, 0))  # straight through its own base
    with pytest.raises(Unreachable) as caught:
        line_motion(CR10A, ABOVE, across, 250.0, 1.0)
    assert caught.value.alarm in (16, 17)


LIFTED = model.from_pose((460.0, -30.0, 400.0, 180, 0, 0))
ASIDE = model.from_pose((560.0, 90.0, 400.0, 180, 0, 0))


def lift_and_cross() -> tuple[WayMotion, WayMotion]:
    low = model.solve_near(CR10A, model.from_pose((460.0, -30.0, 290.0, 180, 0, 0)), ABOVE)[0]
    lift = line_motion(CR10A, low, LIFTED, 750.0, 0.5)
    return lift, line_motion(CR10A, lift.joints(lift.duration_s), ASIDE, 750.0, 0.5)


@pytest.mark.parametrize("radius", [15.0, 40.0, 80.0])
def test_a_rounded_corner_does_not_stop_and_keeps_to_its_radius(radius: float) -> None:
    lift, cross = lift_and_cross()
    early_s = overlap_s(CR10A, lift, cross, radius)
    at_s = lift.duration_s - early_s
    joined = Joined(cross, lift, at_s)
    corner = (460.0, -30.0, 400.0)
    leaves, joins = place(joined.joints(0.0)), place(joined.joints(early_s))
    assert math.dist(leaves, corner) <= radius + 0.2
    assert math.dist(joins, corner) <= radius + 0.2
    step_s = 0.002
    times = [n * step_s for n in range(int(joined.duration_s / step_s) + 1)]
    points = [place(joined.joints(t)) for t in times]
    speeds = [math.dist(a, b) / step_s for a, b in itertools.pairwise(points)]
    in_corner = speeds[1 : int(early_s / step_s) - 1]
    assert min(in_corner) > 5.0, "it never comes to rest"
    assert max(speeds) < 760.0
    assert max(abs(b - a) / step_s for a, b in itertools.pairwise(speeds)) < 2.0 * 0.5 * LINE_SPEED_MM_S * 2.0
    for x, y, z in points:  # nearer to the corner than the arc of a circle, and never beyond the corner
        out, down = math.hypot(x - 460.0, y + 30.0), 400.0 - z
        assert down > -1.0
        if out < radius and down < radius:
            assert math.hypot(radius - out, radius - down) >= radius - 1.5
    assert points[-1] == pytest.approx((560.0, 90.0, 400.0), abs=1e-3)
    assert joined.state(0.0).speed == pytest.approx(lift.state(at_s).speed, abs=1e-2)


def test_a_stop_in_a_rounded_corner_comes_to_rest_near_its_path() -> None:
    lift, cross = lift_and_cross()
    early_s = overlap_s(CR10A, lift, cross, 60.0)
    joined = Joined(cross, lift, lift.duration_s - early_s)
    brake = joined.braking(early_s / 2, 2.0)
    assert place(brake.joints(0.0)) == pytest.approx(place(joined.joints(early_s / 2)), abs=1e-6)
    assert brake.state(brake.duration_s).speed == pytest.approx((0.0,) * 6, abs=1e-6)
    rest = place(brake.joints(brake.duration_s))
    path = [place(joined.joints(n * 0.002)) for n in range(int(joined.duration_s / 0.002))]
    assert min(math.dist(rest, point) for point in path) < 8.0
    after = joined.braking(early_s + 0.05, 2.0)
    assert isinstance(after, WayMotion)


def test_round_numbers_that_ruckig_cannot_time_are_timed() -> None:
    down = model.solve_near(CR10A, model.from_pose((460.0, -30.0, 300.0, 180, 0, 0)), ABOVE)[0]
    for length in (40.0, 80.0, 120.0, 160.0, 240.0):
        for speed in (100.0, 250.0, 500.0, 750.0):
            motion = line_motion(CR10A, down, model.from_pose((460.0, -30.0, 300.0 + length, 180, 0, 0)), speed, 0.5)
            assert motion.duration_s > length / speed

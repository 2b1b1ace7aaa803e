"""The arm's geometry against the reference's golden vectors, and how far the arm on the table is from its data sheet."""

import math
import random

import numpy as np
import pytest

from edgechess_twin import arm_model as model
from edgechess_twin.arm_model import BRANCHES, CR10A, EXACT, HiddenError, TrueArm, Unreachable

# Reference "dobot-tcp-ip-v4" sections 10 and 12: joints -> x, y, z, rx, ry, rz.
FORWARD = [
    ((0, 0, 0, 0, 0, 0), (0, -299.4, 1476.5, -90, 0, 180)),
    ((0, 0, -90, 0, 90, 0), (693, -191, 675.1, -180, 0, -90)),
    ((10, 20, -30, 40, 50, 60), (-52.781, -274.006, 1456.037, -21.991, 65.602, -58.009)),
    ((0, 0, 90, 0, -90, 0), (-693, -191, 675.1, 180, 0, 90)),
    ((90, -30, -100, 40, 90, 0), (191.0, 863.6132, 228.6741, -180, 0, 0)),
    ((-45, 15, -120, 15, 90, 30), (230.1935, -500.3082, 507.4078, -180, 0, -165)),
]
INVERSE = [
    (71.4378, 25.3569, 104.8431, 139.8, 90, -18.5622),
    (71.4378, 125.2603, -104.8431, -110.4172, 90, -18.5622),
    (71.4378, 5.9919, 131.9595, -47.9514, -90, 161.4378),
    (71.4378, 129.4325, -131.9595, 92.527, -90, 161.4378),
    (-71.4378, -129.4325, 131.9595, -92.527, 90, -161.4378),
    (-71.4378, -5.9919, -131.9595, 47.9514, 90, -161.4378),
    (-71.4378, -125.2603, 104.8431, 110.4172, -90, 18.5622),
    (-71.4378, -25.3569, -104.8431, -139.8, -90, 18.5622),
]
BASE = (0.0, -600.0, 0.0, 0.0, 0.0, 90.0)
READY = (0.0, -20.0, -100.0, 30.0, 90.0, 0.0)


def same_angle(a: float, b: float) -> bool:
    return abs((a - b + 180.0) % 360.0 - 180.0) < 2e-3


@pytest.mark.parametrize(("joints", "pose"), FORWARD)
def test_forward_kinematics_gives_the_golden_poses(joints: tuple[float, ...], pose: tuple[float, ...]) -> None:
    got = model.to_pose(CR10A.flange(joints))
    assert got[:3] == pytest.approx(pose[:3], abs=1e-3)
    assert all(same_angle(a, b) for a, b in zip(got[3:], pose[3:], strict=True))


def test_inverse_kinematics_gives_the_eight_golden_branches() -> None:
    flange = model.from_pose((0.0, -600.0, 250.0, 180.0, 0.0, 0.0))
    found = [model.solve(CR10A, flange, branch, (0.0,) * 6) for branch in BRANCHES]
    for golden in INVERSE:
        assert any(all(same_angle(a, b) for a, b in zip(golden, joints, strict=True)) for joints in found), golden


def test_the_nearest_solution_is_where_the_joints_came_from() -> None:
    rng = random.Random(7)
    found = 0
    for _ in range(200):
        joints = tuple(rng.uniform(-150.0, 150.0) for _ in range(6))
        near_singular = abs(joints[2]) < 3.0 or abs(math.sin(math.radians(joints[4]))) < 0.05
        try:
            back, _ = model.solve_near(CR10A, CR10A.flange(joints), joints)
        except Unreachable:
            continue
        if not near_singular and back == pytest.approx(joints, abs=1e-6):
            found += 1
        else:  # near a singularity the branch it came from is refused; another reaches the same place
            assert np.allclose(CR10A.flange(back), CR10A.flange(joints), atol=1e-6)
    assert found > 180


@pytest.mark.parametrize(
    ("pose", "alarm"),
    [
        ((1400.0, -191.0, 300.0, 180.0, 0.0, 0.0), 18),
        ((50.0, 50.0, 400.0, 180.0, 0.0, 0.0), 17),
        ((0.0, -193.0, 400.0, 180.0, 0.0, 0.0), 16),
    ],
)
def test_what_cannot_be_reached_has_the_controllers_alarm(pose: model.PoseTuple, alarm: int) -> None:
    with pytest.raises(Unreachable) as caught:
        model.solve_near(CR10A, model.from_pose(pose), READY)
    assert caught.value.alarm == alarm


def test_stretched_arms_and_flat_wrists_are_singular() -> None:
    for joints, alarm in (((0.0, -40.0, -0.3, -50.0, 90.0, 0.0), 27), ((0.0, -20.0, -100.0, 30.0, 0.3, 0.0), 26)):
        alarms = set()
        for branch in BRANCHES:
            try:
                model.solve(CR10A, CR10A.flange(joints), branch, joints)
            except Unreachable as error:
                alarms.add(error.alarm)
        assert alarm in alarms


def test_joint_limits_name_joint_and_side() -> None:
    assert model.beyond_limit((360.0, 0, 0, 0, 0, 0)) == 64
    assert model.beyond_limit((-360.0, 0, 0, 0, 0, 0)) == 65
    assert model.beyond_limit((0, 0, -164.0, 0, 0, 0)) == 69
    assert model.beyond_limit((0, 0, 0, 360.0, 0, 0)) == 70
    assert model.beyond_limit((0, 0, 163.0, 0, 0, 359.0)) is None


def test_poses_and_quaternions_survive_the_way_there_and_back() -> None:
    rng = random.Random(2)
    for _ in range(100):
        pose = (1.0, 2.0, 3.0, rng.uniform(-180, 180), rng.uniform(-89, 89), rng.uniform(-180, 180))
        t = model.from_pose(pose)
        assert model.to_pose(t) == pytest.approx(pose, abs=1e-7)
        again = model.from_quaternion(model.to_quaternion(t), (1.0, 2.0, 3.0))
        assert np.allclose(again, t, atol=1e-12)
        assert np.allclose(model.multiply(t, model.invert(t)), model.IDENTITY, atol=1e-9)


def test_an_exact_arm_stands_where_the_drawing_says() -> None:
    arm = TrueArm.build(BASE, 180.0, EXACT, random.Random(1))
    # The golden pose (693, -191, 675.1), tool down: the tip is 180 mm lower; the base looks along the board's y.
    assert arm.fingertip((0, 0, -90, 0, 90, 0)) == pytest.approx((191.0, 93.0, 495.1), abs=1e-6)


def test_each_arm_has_its_own_error_and_a_seed_its_own_arm() -> None:
    one, two = (TrueArm.build(BASE, 180.0, HiddenError(), random.Random(seed)) for seed in (1, 2))
    assert one == TrueArm.build(BASE, 180.0, HiddenError(), random.Random(1))
    tips = one.fingertip(READY), two.fingertip(READY)
    assert 0.1 < math.dist(*tips) < 40.0


@pytest.mark.parametrize("seed", range(5))
def test_a_person_can_guide_the_true_tip_to_a_point(seed: int) -> None:
    arm = TrueArm.build(BASE, 180.0, HiddenError(), random.Random(seed))
    down = model.from_pose((0.0, 0.0, 0.0, 180.2, -0.3, -90.0))
    joints = arm.joints_touching((190.0, 190.0, 0.0), down, READY)
    assert arm.fingertip(joints) == pytest.approx((190.0, 190.0, 0.0), abs=2e-3)

"""The RO1's geometry against the reference's golden numbers, and against the drivers' own kinematics."""

from __future__ import annotations

import math
import random

import pytest

from edgechess_robots import kinematics
from edgechess_twin import ro1_model as ro1
from edgechess_twin.arm_model import EXACT, HiddenError, Transform, Unreachable, to_quaternion

REAL_JOINTS_RAD = (-5.17985, -1.06021, -0.89547, 0.64358, -4.62161, -0.44582)  # a real robot's report


def xyzw(t: Transform) -> tuple[float, float, float, float]:
    w, x, y, z = to_quaternion(t)
    return x, y, z, w


def place(t: Transform) -> tuple[float, float, float]:
    return t[0][3], t[1][3], t[2][3]


def test_straight_up() -> None:
    flange = ro1.RO1.flange((0.0,) * 6)
    assert place(flange) == pytest.approx((0.0, 368.65, 1461.9), abs=0.01)
    assert xyzw(flange) == pytest.approx((0.0, 0.0, 0.70711, 0.70711), abs=1e-5)


def test_a_real_robot_stands_where_the_chain_says_but_for_its_own_calibration() -> None:
    flange = ro1.RO1.flange(tuple(math.degrees(q) for q in REAL_JOINTS_RAD))
    assert math.dist(place(flange), (-703.88, -1000.89, 137.45)) == pytest.approx(15.4, abs=0.1)
    told = (0.42001, 0.43491, -0.57505, 0.55115)
    chord = min(math.dist(xyzw(flange), (s * told[0], s * told[1], s * told[2], s * told[3])) for s in (1.0, -1.0))
    assert math.degrees(2.0 * 2.0 * math.asin(chord / 2.0)) == pytest.approx(0.34, abs=0.01)


@pytest.mark.parametrize(("yaw_deg", "quaternion"), [(0.0, (0.0, 0.7071, 0.0, 0.7071)), (90.0, (-0.5, 0.5, 0.5, 0.5))])
def test_straight_down(yaw_deg: float, quaternion: tuple[float, ...]) -> None:
    assert xyzw(ro1.straight_down(0.0, 0.0, 0.0, yaw_deg)) == pytest.approx(quaternion, abs=1e-4)


def test_inverse_gives_back_what_forward_was_given() -> None:
    rng = random.Random(7)
    solved = same = 0
    for _ in range(200):
        joints = tuple(rng.uniform(-0.8, 0.8) * limit for limit in ro1.LIMITS_DEG)
        try:
            found, _ = ro1.solve_near(ro1.RO1.flange(joints), joints)
        except Unreachable:
            continue  # next to a singularity
        solved += 1
        assert place(ro1.RO1.flange(found)) == pytest.approx(place(ro1.RO1.flange(joints)), abs=1e-6)
        same += found == pytest.approx(joints, abs=1e-4)
    assert solved > 180
    assert same > solved - 5  # next to a singularity another branch is taken


def test_joint_limits_are_the_ro1s_own() -> None:
    assert ro1.beyond_limit((0.0, 134.9, 179.9, 0.0, 0.0, 0.0)) is None
    assert ro1.beyond_limit((0.0, -135.1, 0.0, 0.0, 0.0, 0.0)) == 1
    assert ro1.beyond_limit((0.0, 0.0, 180.1, 0.0, 0.0, 0.0)) == 2


def test_out_of_reach_is_said() -> None:
    with pytest.raises(Unreachable, match="out of the work area"):
        ro1.solve_near(ro1.straight_down(2000.0, 0.0, 200.0, 0.0), (0.0,) * 6)


@pytest.mark.parametrize("distance_mm", [450.0, 600.0, 950.0])
def test_tool_down_over_a_board_of_440_mm(distance_mm: float) -> None:
    """Reference: base to the board's centre 450 to 950 mm."""
    start = (180.0, 18.0, -132.0, 24.0, 90.0, 0.0)
    for x in (-192.5, 0.0, 192.5):
        for y in (-192.5, 0.0, 192.5):
            ro1.solve_near(ro1.straight_down(distance_mm + x, y, 60.0 + 180.0, 0.0), start)


def test_the_drivers_chain_and_the_twins_agree() -> None:
    """Written apart, from the same drawing: the same place; the drivers turn the flange's axes as on other arms."""
    rng = random.Random(3)
    for _ in range(50):
        joints = tuple(rng.uniform(-0.9, 0.9) * limit for limit in ro1.LIMITS_DEG)
        theirs = kinematics.RO1.forward(joints)
        assert [theirs[k][3] for k in range(3)] == pytest.approx(place(ro1.RO1.flange(joints)), abs=1e-6)
        out = [row[0] for row in ro1.RO1.flange(joints)]  # +X is out of the flange
        assert [theirs[k][2] for k in range(3)] == pytest.approx(out, abs=1e-9)
        fingers = [row[2] for row in ro1.RO1.flange(joints)]
        assert [theirs[k][0] for k in range(3)] == pytest.approx(fingers, abs=1e-9)


def test_the_true_arm_differs_by_no_more_than_it_may() -> None:
    base = (0.0, -600.0, 0.0, 0.0, 0.0, 90.0)
    exact = ro1.TrueRo1.build(base, 180.0, EXACT, random.Random(1))
    true = ro1.TrueRo1.build(base, 180.0, HiddenError(), random.Random(1))
    joints = (180.0, 18.0, -132.0, 24.0, 90.0, 0.0)
    off_mm = math.dist(exact.fingertip(joints), true.fingertip(joints))
    assert 0.05 < off_mm < 15.0
    touched = true.joints_touching((27.5, -27.5, 40.0), ro1.straight_down(0.0, 0.0, 0.0, 0.0), joints)
    assert true.fingertip(touched) == pytest.approx((27.5, -27.5, 40.0), abs=0.01)

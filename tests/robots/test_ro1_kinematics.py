"""Golden values of the reference "standard-bots-ro1", kinematics and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_robots.kinematics import RO1, RO1_PARK_DEG, Branch
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose
from edgechess_robots.standard_bots import units
from edgechess_robots.standard_bots.api_protocol import Tooltip

HALF = math.sqrt(0.5)
URDF = (  # joint origins in metres and axes, as the reference lists them; the base is turned by -90 degrees
    ((0.0, 0.0, 0.172), (0, 0, 1)),
    ((-0.1885, 0.0, 0.0), (-1, 0, 0)),
    ((0.14635, 0.0, 0.5907), (-1, 0, 0)),
    ((-0.1498, 0.0, 0.5494), (-1, 0, 0)),
    ((0.0, 0.0, 0.1498), (0, 0, 1)),
    ((-0.1767, 0.0, 0.0), (-1, 0, 0)),
)


def turn(axis: tuple[int, int, int], angle: float) -> np.ndarray:
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], float)
    matrix = np.eye(4)
    matrix[:3, :3] += math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    return matrix


def urdf_tooltip(joints_rad: tuple[float, ...]) -> np.ndarray:
    frame = turn((0, 0, 1), -math.pi / 2)
    for (origin, axis), angle in zip(URDF, joints_rad, strict=True):
        shift = np.eye(4)
        shift[:3, 3] = origin
        frame = frame @ shift @ turn(axis, angle)
    return np.asarray(frame @ turn((0, 0, 1), math.pi))


def tooltip(joints_deg: tuple[float, ...]) -> Tooltip:
    return units.tooltip_of(RO1.forward(joints_deg), 0.0)


def test_golden_tooltip_at_zero() -> None:
    found = tooltip((0.0,) * 6)
    assert (found.x_m, found.y_m, found.z_m) == pytest.approx((0.0, 0.36865, 1.4619), abs=1e-9)
    assert (found.qx, found.qy, found.qz, found.qw) == pytest.approx((0.0, 0.0, 0.70711, 0.70711), abs=1e-5)


JOINTS = st.tuples(*(st.floats(-limit, limit) for limit in (3.0, 2.3, 3.0, 3.0, 3.0, 3.0)))


@settings(max_examples=60, deadline=None)
@given(JOINTS)
def test_the_chain_is_the_urdf(joints_rad: tuple[float, ...]) -> None:
    found, wanted = tooltip(units.degrees(joints_rad)), urdf_tooltip(joints_rad)
    assert np.allclose((found.x_m, found.y_m, found.z_m), wanted[:3, 3], atol=1e-9)
    q = np.array([found.qx, found.qy, found.qz, found.qw])
    assert abs(float(np.linalg.norm(q)) - 1.0) < 1e-9
    assert np.allclose(units._rotation(found), wanted[:3, :3], atol=1e-7)


def test_a_real_robots_report_is_within_what_its_own_calibration_explains() -> None:
    joints_rad = (-5.17985, -1.06021, -0.89547, 0.64358, -4.62161, -0.44582)
    found = tooltip(units.degrees(joints_rad))
    assert math.dist((found.x_m, found.y_m, found.z_m), (-0.70388, -1.00089, 0.13745)) == pytest.approx(
        0.0154, abs=2e-4
    )
    told = np.array((0.42001, 0.43491, -0.57505, 0.55115))
    here = np.array((found.qx, found.qy, found.qz, found.qw))
    turned = 2.0 * math.degrees(math.acos(min(1.0, abs(float(told @ here)) / float(np.linalg.norm(told)))))
    assert turned == pytest.approx(0.34, abs=0.02)


@pytest.mark.parametrize(("yaw_deg", "quaternion"), [(0.0, (0.0, 0.7071, 0.0, 0.7071)), (90.0, (-0.5, 0.5, 0.5, 0.5))])
def test_tool_straight_down(yaw_deg: float, quaternion: tuple[float, ...]) -> None:
    flange = Pose(400.0, 0.0, 250.0, 180.0, 0.0, yaw_deg).matrix()
    found = units.tooltip_of(flange, 0.0)
    assert (found.qx, found.qy, found.qz, found.qw) == pytest.approx(quaternion, abs=1e-4)
    assert (found.x_m, found.y_m, found.z_m) == pytest.approx((0.4, 0.0, 0.25))
    assert np.allclose(units.flange_of(found, 0.0), flange, atol=1e-9)
    assert np.allclose(units.flange_of(units.tooltip_of(flange, 180.0), 180.0), flange, atol=1e-9)
    assert units.tooltip_of(flange, 180.0).z_m == pytest.approx(0.07)


@settings(max_examples=60, deadline=None)
@given(JOINTS)
def test_inverse_recovers_any_posture_that_is_not_singular(joints_rad: tuple[float, ...]) -> None:
    joints = units.degrees(joints_rad)
    margins = RO1.margins(joints)
    if margins.shoulder_mm < 1.0 or margins.elbow_deg < 0.5 or margins.wrist_deg < 0.5:
        return
    flange = RO1.forward(joints)
    assert np.allclose(RO1.nearest(flange, joints), joints, atol=1e-4)
    for solution in RO1.inverse(flange):
        assert np.allclose(RO1.forward(solution), flange, atol=1e-5)


def test_parking_posture_is_elbow_up_and_where_its_docstring_says() -> None:
    assert RO1.branch_of(RO1_PARK_DEG) == RO1.branch_of((100.0, 15.0, -130.0, 25.0, 90.0, 10.0)) == Branch(1, -1, 1)
    base = standard_layout().site("white").base
    tip = base @ RO1.forward_pose(RO1_PARK_DEG) @ Pose(0.0, 0.0, 180.0, 0.0, 0.0, 0.0)
    assert (round(tip.x_mm), round(tip.y_mm), round(tip.z_mm), round(tip.rz_deg)) == (100, -345, 200, 45)
    assert abs(abs(tip.rx_deg) - 180.0) < 1e-9


def test_millimetres_given_for_metres_are_caught() -> None:
    with pytest.raises(units.WrongUnit, match=r"400 m: beyond 5 m, so it was given in millimetres for metres"):
        units.flange_of(Tooltip(400.0, 0.0, 0.25, 0.0, HALF, 0.0, HALF), 0.0)
    with pytest.raises(units.WrongUnit, match="in degrees for radians"):
        units.degrees((90.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(units.WrongUnit, match="smaller unit"):
        units.metres(400_000.0, "x of the target")

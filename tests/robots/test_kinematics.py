"""Golden vectors of the reference "dobot-tcp-ip-v4", sections 10 and 12, and round trips."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_robots.kinematics import CR5A, CR10A, PARK_DEG, Branch, Unreachable
from edgechess_robots.poses import Pose

GOLDEN_FORWARD = [
    ((0, 0, 0, 0, 0, 0), (0, -299.4, 1476.5, -90, 0, 180)),
    ((0, 0, -90, 0, 90, 0), (693, -191, 675.1, -180, 0, -90)),
    ((10, 20, -30, 40, 50, 60), (-52.781, -274.006, 1456.037, -21.991, 65.602, -58.009)),
    ((0, 0, 90, 0, -90, 0), (-693, -191, 675.1, 180, 0, 90)),
    ((90, -30, -100, 40, 90, 0), (191.0, 863.6132, 228.6741, -180, 0, 0)),
    ((-45, 15, -120, 15, 90, 30), (230.1935, -500.3082, 507.4078, -180, 0, -165)),
]
GOLDEN_INVERSE = [
    (71.4378, 25.3569, 104.8431, 139.8, 90, -18.5622),
    (71.4378, 125.2603, -104.8431, -110.4172, 90, -18.5622),
    (71.4378, 5.9919, 131.9595, -47.9514, -90, 161.4378),
    (71.4378, 129.4325, -131.9595, 92.527, -90, 161.4378),
    (-71.4378, -129.4325, 131.9595, -92.527, 90, -161.4378),
    (-71.4378, -5.9919, -131.9595, 47.9514, 90, -161.4378),
    (-71.4378, -125.2603, 104.8431, 110.4172, -90, 18.5622),
    (-71.4378, -25.3569, -104.8431, -139.8, -90, 18.5622),
]


@pytest.mark.parametrize(("joints", "pose"), GOLDEN_FORWARD)
def test_forward(joints: tuple[float, ...], pose: tuple[float, ...]) -> None:
    found, wanted = CR10A.forward(joints), Pose(*pose).matrix()
    assert np.allclose(found[:3, 3], wanted[:3, 3], atol=1e-3)
    assert np.allclose(found[:3, :3], wanted[:3, :3], atol=2e-5)


def test_forward_of_the_vendors_own_example() -> None:
    found = CR5A.forward((0, 0, -90, 0, 90, 0))
    assert np.allclose(found, Pose(473, -141, 469, -180, 0, -90).matrix(), atol=1e-9)


def test_inverse_finds_the_eight_golden_branches() -> None:
    found = sorted(CR10A.inverse(Pose(0, -600, 250, 180, 0, 0).matrix()))
    assert len(found) == 8
    for joints, wanted in zip(found, sorted(GOLDEN_INVERSE), strict=True):
        assert np.allclose(joints, wanted, atol=1e-4)


def test_every_golden_solution_lies_in_a_branch_of_its_own_and_is_found_again_in_it() -> None:
    flange = Pose(0, -600, 250, 180, 0, 0).matrix()
    branches = [CR10A.branch_of(joints) for joints in GOLDEN_INVERSE]
    assert len({(b.shoulder, b.elbow, b.wrist) for b in branches}) == 8
    for joints, branch in zip(GOLDEN_INVERSE, branches, strict=True):
        assert np.allclose(CR10A.solve(flange, branch, joints), joints, atol=1e-4)


def test_parking_posture_is_elbow_up_and_where_its_docstring_says() -> None:
    assert CR10A.branch_of(PARK_DEG) == Branch(shoulder=1, elbow=-1, wrist=1)
    pose = CR10A.forward_pose(PARK_DEG)
    assert (round(pose.x_mm), round(pose.y_mm), round(pose.z_mm)) == (255, -100, 380)
    assert abs(abs(pose.rx_deg) - 180.0) < 1e-9


JOINTS = st.tuples(*(st.floats(-limit, limit, allow_nan=False) for limit in (179.0, 179.0, 160.0, 179.0, 179.0, 179.0)))


@settings(max_examples=80, deadline=None)
@given(JOINTS)
def test_inverse_recovers_any_posture_that_is_not_singular(joints: tuple[float, ...]) -> None:
    margins = CR10A.margins(joints)
    if margins.shoulder_mm < 1.0 or margins.elbow_deg < 0.5 or margins.wrist_deg < 0.5:
        return
    flange = CR10A.forward(joints)
    assert np.allclose(CR10A.nearest(flange, joints), joints, atol=1e-4)
    for solution in CR10A.inverse(flange):
        assert np.allclose(CR10A.forward(solution), flange, atol=1e-6)


def test_at_the_wrist_singularity_joint_six_stays() -> None:
    joints = (10.0, 20.0, -80.0, -30.0, 0.0, 77.0)
    found = CR10A.nearest(CR10A.forward(joints), joints)
    assert math.isclose(found[5], 77.0, abs_tol=1e-6)
    assert np.allclose(CR10A.forward(found), CR10A.forward(joints), atol=1e-6)


def test_angles_turn_to_the_nearest_whole_turn_within_the_limits() -> None:
    branch = CR10A.branch_of(PARK_DEG)
    flange = CR10A.forward((200.0, 15.0, -130.0, 25.0, 90.0, 300.0))
    near = CR10A.solve(flange, branch, (190.0, 0, 0, 0, 0, 290.0))
    assert np.allclose((near[0], near[5]), (200.0, 300.0))
    far = CR10A.solve(flange, branch, (-170.0, 0, 0, 0, 0, -400.0))
    assert np.allclose((far[0], far[5]), (-160.0, -60.0))  # -420 would be nearer, and beyond the limit


@pytest.mark.parametrize(
    ("pose", "reason"),
    [
        (Pose(1500.0, 0.0, 200.0), "out of reach"),
        (Pose(60.0, 60.0, 900.0), "too close to the base axis"),
    ],
)
def test_out_of_reach_says_what_is_in_the_way(pose: Pose, reason: str) -> None:
    with pytest.raises(Unreachable, match=reason):
        CR10A.nearest(pose.matrix(), PARK_DEG)
    assert CR10A.inverse(pose.matrix()) == ()


def test_a_joint_beyond_its_limit_is_named() -> None:
    folded = CR10A.forward((0.0, 30.0, 168.0, -100.0, 90.0, 0.0))  # joint 3 turns to 163.9 degrees
    with pytest.raises(Unreachable, match=r"joint 3 at 168\.0° exceeds ±163\.9°"):
        CR10A.nearest(folded, (0.0, 30.0, 168.0, -100.0, 90.0, 0.0))


def test_position_with_a_tool_is_along_the_flange_axis() -> None:
    flange = CR10A.forward(PARK_DEG)
    assert np.allclose(CR10A.position_mm(PARK_DEG, 180.0), flange[:3, 3] + 180.0 * flange[:3, 2])

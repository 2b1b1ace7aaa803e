from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_robots.poses import Pose

ANGLE = st.floats(-180.0, 180.0)
MM = st.floats(-2000.0, 2000.0)


def test_tool_straight_down_by_default() -> None:
    assert np.allclose(Pose(1.0, 2.0, 3.0).matrix()[:3, 2], (0.0, 0.0, -1.0))


def test_turns_are_about_the_fixed_axes_x_then_y_then_z() -> None:
    # Rz(90)·Ry(0)·Rx(90): the body's y axis goes to z, its z axis to the fixed -y, then both turn about z.
    matrix = Pose(0.0, 0.0, 0.0, 90.0, 0.0, 90.0).matrix()[:3, :3]
    assert np.allclose(matrix, [[0, 0, 1], [1, 0, 0], [0, 1, 0]])


@settings(max_examples=60)
@given(MM, MM, MM, ANGLE, ANGLE, ANGLE)
def test_a_matrix_becomes_the_same_pose_again(x: float, y: float, z: float, a: float, b: float, c: float) -> None:
    pose = Pose(x, y, z, a, b, c)
    assert np.allclose(Pose.from_matrix(pose.matrix()).matrix(), pose.matrix(), atol=1e-6)
    assert np.allclose((pose @ pose.inverse()).matrix(), np.eye(4), atol=1e-6)


@pytest.mark.parametrize("ry", [90.0, -90.0])
def test_gimbal_lock(ry: float) -> None:
    pose = Pose(1.0, 2.0, 3.0, 20.0, ry, 50.0)
    found = Pose.from_matrix(pose.matrix())
    assert found.rx_deg == 0.0
    assert np.allclose(found.matrix(), pose.matrix(), atol=1e-6)


def test_composition_reads_from_left_to_right() -> None:
    base_in_world = Pose(100.0, 0.0, 0.0, 0.0, 0.0, 90.0)
    tool_in_base = Pose(10.0, 0.0, 5.0)
    assert np.allclose((base_in_world @ tool_in_base).position_mm, (100.0, 10.0, 5.0))

"""Motions in pieces: where they go, how long they may be, and what a release's name promises."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from edgechess_robots.arm import Park, Straight
from edgechess_robots.calibration import nominal
from edgechess_robots.joint_planner import Reach
from edgechess_robots.kinematics import RO1, RO1_PARK_DEG
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose
from edgechess_robots.siting import reach_of
from edgechess_robots.standard_bots.measured import apart
from edgechess_robots.standard_bots.offer import promises_heart
from edgechess_robots.standard_bots.orders import order
from edgechess_robots.standard_bots.pieces import LEAST_SHARE, Pace, Way
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_robots.standard_bots.units import flange_of

BASE = standard_layout().site("white").base


@pytest.fixture
def reach() -> Reach:
    calibration = nominal(BASE, arm_serial="x", date=datetime.date(2024, 1, 1))
    return reach_of(RO1, StandardBotsSettings(robot_kind="simulated"), 38.0, calibration)


def line(reach: Reach, speed_mm_s: float = 250.0) -> Way:
    """240 mm to the side, from above e2."""
    start = reach.flange(Pose(0.0, -82.5, 150.0, 180.0, 0.0, 0.0))
    joints = RO1.solve(start, reach.branch, RO1_PARK_DEG)
    step = Straight(Pose(240.0, -82.5, 150.0, 180.0, 0.0, 90.0), speed_mm_s)
    return Way(order(step, joints, joints, reach, 0.0), joints, RO1.forward(joints), 0.0)


def turn(reach: Reach) -> Way:
    """By joints, to the parking posture."""
    start = tuple(angle + off for angle, off in zip(RO1_PARK_DEG, (40.0, 0.0, 0.0, 0.0, 0.0, -30.0), strict=True))
    return Way(order(Park(250.0), start, RO1_PARK_DEG, reach, 0.0), start, RO1.forward(start), 0.0)


def test_a_piece_of_a_line_ends_on_the_line(reach: Reach) -> None:
    move = line(reach).move_to(0.25)
    assert (move.kind, move.tooltip_speed_m_s) == ("line", 0.25)
    assert move.tooltip is not None
    whole, part = line(reach).order.flange, flange_of(move.tooltip, 0.0)
    assert whole is not None
    start = line(reach).start_flange
    assert np.allclose(part[:3, 3], start[:3, 3] + 0.25 * (whole[:3, 3] - start[:3, 3]), atol=1e-6)
    assert apart(start, part)[1] == pytest.approx(22.5, abs=1e-3)


def test_a_piece_of_a_joint_motion_ends_between_its_ends(reach: Reach) -> None:
    way = turn(reach)
    joints = way.move_to(0.5).joints_rad
    assert joints is not None
    assert np.degrees(joints)[[0, 5]] == pytest.approx(np.add(RO1_PARK_DEG, (20.0, 0, 0, 0, 0, -15.0))[[0, 5]])
    assert way.move_to(0.5).joint_speeds_rad_s == way.order.move.joint_speeds_rad_s


def test_the_last_piece_is_the_order_itself(reach: Reach) -> None:
    for way in (line(reach), turn(reach)):
        assert way.move_to(1.0) is way.order.move


def test_no_piece_is_longer_than_half_a_second_at_full_speed_nor_a_line_than_it_may_leave_it(reach: Reach) -> None:
    for way in (line(reach, 20.0), turn(reach)):
        pace = Pace(way)
        for _ in range(20):
            pace.took(0.01)  # as fast as nothing is
        assert pace.share * way.cruise_s() <= 0.5 + 1e-9
    pace = Pace(line(reach))
    for _ in range(20):
        pace.took(0.01)
    assert pace.share * line(reach).extent()[0] <= 40.0 + 1e-9


def test_a_piece_that_took_long_is_followed_by_a_shorter_one(reach: Reach) -> None:
    pace = Pace(line(reach))
    pace.took(0.1)
    before = pace.share
    pace.took(0.8)
    assert pace.share == pytest.approx(before / 2.0)
    for _ in range(50):
        pace.took(10.0)
    assert pace.share == LEAST_SHARE


def test_the_first_piece_is_over_in_time_even_by_cautious_timing(reach: Reach) -> None:
    for way in (line(reach), turn(reach)):
        assert way.planned_s(Pace(way).share) <= 0.4


@pytest.mark.parametrize(
    ("build", "promised"),
    [
        ("release/2025.08.01.44", True),  # of a real robot (reference)
        ("release/2026.09.21.52", True),
        ("release/2025.07.31.1", False),
        ("release/2024.10.03.60", False),
        ("nightly", False),
        ("", False),
    ],
)
def test_what_the_name_of_a_release_promises(build: str, promised: bool) -> None:
    assert promises_heart(build) is promised

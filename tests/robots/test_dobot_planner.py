from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Sequence

import numpy as np
import pytest

from edgechess_robots import joint_planner
from edgechess_robots.arm import Close, Open, Park, Plan, Step, Straight, Travel, Verify
from edgechess_robots.calibration import Calibration
from edgechess_robots.dobot.planner import Geometry, check_plan, segment, travel_percent
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.errors import PlanRefused
from edgechess_robots.kinematics import CR10A, PARK_DEG, Joints
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose

LAYOUT = standard_layout()
HIGH = 200.0


@pytest.fixture
def geometry(calibration: Calibration) -> Geometry:
    return Geometry.of(CR10A, DobotSettings(), calibration)


def above(place: str, z_mm: float = HIGH) -> Pose:
    point = LAYOUT.place(place)
    return Pose(point.x_mm, point.y_mm, z_mm)


def refusal(steps: Sequence[Step], geometry: Geometry, start: Joints = PARK_DEG) -> PlanRefused:
    with pytest.raises(PlanRefused) as caught:
        check_plan(Plan(tuple(steps)), start, geometry)
    return caught.value


MOVE = (
    Travel(above("e2"), 250.0),
    Open(50.0),
    Straight(above("e2", 30.0), 100.0),
    Close(8.0, "e2"),
    Straight(above("e2"), 250.0),
    Straight(above("e4"), 250.0),
    Verify("e4"),
    Straight(above("e4", 31.0), 100.0),
    Open(50.0),
    Straight(above("e4"), 250.0),
    Park(250.0),
)


def test_a_whole_move_is_checked_and_timed(geometry: Geometry) -> None:
    checked = check_plan(Plan(MOVE), PARK_DEG, geometry)
    assert len(checked.joints_deg) == len(MOVE)
    assert [j is None for j in checked.joints_deg] == [isinstance(s, Open | Close | Verify) for s in MOVE]
    assert checked.joints_deg[-1] == PARK_DEG
    assert 8.0 < checked.duration_s < 20.0  # the reference measured 10.3 to 11.6 s at 250 mm/s
    assert [sweep is None for sweep in checked.sweeps] == [j is None for j in checked.joints_deg]


def test_the_fingertips_get_where_the_plan_says(geometry: Geometry) -> None:
    checked = check_plan(Plan(MOVE), PARK_DEG, geometry)
    base = LAYOUT.site("white").base.matrix()
    for step, joints in zip(MOVE, checked.joints_deg, strict=True):
        if isinstance(step, Travel | Straight) and joints is not None:
            tip = np.array([*CR10A.position_mm(joints, 180.0), 1.0])
            assert np.allclose((base @ tip)[:3], step.target.position_mm, atol=1e-6)


def test_every_posture_stays_in_one_branch(geometry: Geometry) -> None:
    places = [f"{file}{rank}" for file in "abcdefgh" for rank in "1458"]
    places += [f"tray-{arm}-{slot}" for arm in ("white", "black") for slot in (0, 7, 8, 15)] + ["rack-white-0"]
    steps = [
        step
        for p in places
        for step in (Travel(above(p), 250.0), Straight(above(p, 30.0), 100.0), Straight(above(p), 200.0))
    ]
    checked = check_plan(Plan(tuple(steps)), PARK_DEG, geometry)
    assert {CR10A.branch_of(j) for j in checked.joints_deg if j} == {CR10A.branch_of(PARK_DEG)}


def test_travels_between_all_places_only_rise(geometry: Geometry) -> None:
    places = ["a1", "h1", "a8", "h8", "e1", "d8", "tray-white-15", "tray-black-15", "rack-white-4"]
    for a in places:
        for b in places:
            check_plan(Plan((Travel(above(a), 250.0), Travel(above(b), 250.0))), PARK_DEG, geometry)


def test_joint_motion_keeps_the_tool_below_its_speed(geometry: Geometry) -> None:
    checked = check_plan(Plan((Travel(above("a8"), 250.0),)), PARK_DEG, geometry)
    end = checked.joints_deg[0]
    assert end is not None
    percent = travel_percent(PARK_DEG, end, 250.0, geometry)
    full_s = max(abs(b - a) / v for a, b, v in zip(PARK_DEG, end, CR10A.speeds_deg_s, strict=True))
    fine = [tuple(a + (b - a) * i / 200 for a, b in zip(PARK_DEG, end, strict=True)) for i in range(201)]
    points = [CR10A.position_mm(q, 180.0) for q in fine]
    fastest = max(math.dist(p, q) for p, q in itertools.pairwise(points)) * 200 / full_s * percent / 100
    assert 200.0 < fastest < 260.0


def test_half_the_speed_factor_doubles_the_percent(geometry: Geometry, calibration: Calibration) -> None:
    end = check_plan(Plan((Travel(above("a8"), 100.0),)), PARK_DEG, geometry).joints_deg[0]
    assert end is not None
    slow = Geometry.of(CR10A, DobotSettings(speed_factor_percent=50), calibration)
    assert abs(travel_percent(PARK_DEG, end, 100.0, slow) - 2 * travel_percent(PARK_DEG, end, 100.0, geometry)) <= 1


def test_commands_are_explicit(geometry: Geometry) -> None:
    checked = check_plan(Plan(MOVE[:3]), PARK_DEG, geometry)
    first, third = checked.joints_deg[0], checked.joints_deg[2]
    assert first is not None
    assert third is not None
    travel = segment(MOVE[0], PARK_DEG, first, geometry)
    assert travel.command.text.startswith("MovJ(joint={")
    assert travel.target.pose is None
    straight = segment(MOVE[2], first, third, geometry)
    found = re.fullmatch(r"MovL\(pose=\{(.+)\},user=0,tool=0,a=50,speed=100\)", straight.command.text)
    assert found
    # e2 is (27.5, -137.5) on the board: 462.5 mm before the base and 27.5 mm to its right; 180 mm of tool above 30 mm.
    numbers = [float(n) for n in found[1].split(",")]
    assert np.allclose([*numbers[:3], abs(numbers[3]), *numbers[4:]], (462.5, -27.5, 210.0, 180.0, 0.0, -90.0))
    with pytest.raises(ValueError, match="does not move"):
        segment(MOVE[1], first, first, geometry)


@pytest.mark.parametrize(
    ("steps", "code", "text"),
    [
        ((), "empty", "no steps"),
        ((Travel(Pose(0.0, 2000.0, HIGH), 250.0),), "unreachable", r"step 0 \(travel\): out of reach"),
        ((Park(100.0), Travel(Pose(0.0, -600.0, HIGH), 250.0)), "unreachable", r"step 1 \(travel\): too close"),
        ((Travel(above("e2"), 251.0),), "limits", r"step 0 \(travel\): speed 251 mm/s"),
        ((Travel(above("e2"), 0.0),), "limits", "speed 0 mm/s"),
        ((Travel(above("e2"), math.nan),), "limits", "speed nan"),
        ((Open(96.0),), "limits", r"step 0 \(open\): width 96.0 mm"),
        ((Close(-1.0, "x"),), "limits", r"step 0 \(close\): width"),
        ((Travel(above("e2", -1.0), 250.0),), "clearance", "fingertips at -1.0 mm above the board"),
        (
            (Travel(above("e2"), 250.0), Open(50.0), Straight(above("e2", -5.0), 100.0)),
            "clearance",
            r"step 2 \(straight\): fingertips at -5.0 mm",
        ),
        (
            (Travel(above("a1"), 250.0), Straight(Pose(0.0, -1050.0, HIGH), 250.0)),
            "limits",
            r"step 1 \(straight\): a straight line too near to the shoulder singularity",
        ),
        (
            (Travel(above("a8"), 250.0), Straight(Pose(-192.5, 900.0, HIGH), 250.0)),
            "unreachable",
            r"step 1 \(straight\): out of reach",
        ),
    ],
)
def test_refusals_name_step_and_limit(steps: tuple[Step, ...], code: str, text: str, geometry: Geometry) -> None:
    refused = refusal(steps, geometry)
    assert refused.code == code
    assert re.search(text, str(refused))


def test_a_joint_too_fast_on_a_straight_line(calibration: Calibration) -> None:
    slow_joints = dataclasses.replace(CR10A, speeds_deg_s=(5.0,) * 6)
    geometry = Geometry.of(slow_joints, DobotSettings(), calibration)
    refused = refusal((Travel(above("d1"), 250.0), Straight(above("h1"), 250.0)), geometry)
    assert refused.code == "limits"
    assert "step 1 (straight): joint 1 would turn at" in str(refused)


def test_a_straight_line_from_a_singular_posture(geometry: Geometry) -> None:
    stretched = (0.0,) * 6
    refused = refusal((Straight(above("e4"), 100.0),), geometry, stretched)
    assert refused.code == "limits"
    assert "singularity" in str(refused)


def test_a_joint_motion_that_sinks_between_its_ends(geometry: Geometry) -> None:
    flipped = dataclasses.replace(geometry.reach.branch, wrist=-geometry.reach.branch.wrist)
    start = next(j for j in CR10A.inverse(geometry.reach.flange(above("e1"))) if CR10A.branch_of(j) == flipped)
    refused = refusal((Travel(above("e4"), 250.0),), geometry, start)
    assert refused.code == "clearance"
    assert "sinks 13 mm below both of its ends" in str(refused)


def test_a_straight_motion_may_turn_the_tool(geometry: Geometry) -> None:
    turned = dataclasses.replace(above("e4", 150.0), rz_deg=45.0)
    checked = check_plan(Plan((Travel(above("e4"), 250.0), Straight(turned, 100.0))), PARK_DEG, geometry)
    first, second = checked.joints_deg
    assert first is not None
    assert second is not None
    assert abs(abs(second[5] - first[5]) - 45.0) < 1e-6


def test_half_a_turn_has_an_axis() -> None:
    start, end = Pose(0, 0, 0, 180, 0, 0).matrix(), Pose(0, 0, 0, 180, 0, 180).matrix()
    angle, axis = joint_planner._turn(start, end)
    assert angle == pytest.approx(180.0)
    assert np.allclose(np.abs(axis), (0.0, 0.0, 1.0))
    assert np.allclose(joint_planner.along(start, end, np.linspace(0.0, 1.0, 5))[-1], end, atol=1e-9)


@pytest.mark.parametrize("length", [150.0, 220.0])
def test_the_tool_length_is_taken_off(length: float, calibration: Calibration) -> None:
    geometry = Geometry.of(CR10A, DobotSettings(tool_length_mm=length), calibration)
    assert geometry.reach.flange(above("e4", 30.0))[2, 3] == pytest.approx(30.0 + length)

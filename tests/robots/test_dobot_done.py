"""The rule for "done" (reference "dobot-tcp-ip-v4", section 7), frame by frame."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from edgechess_robots.dobot.done import Target, Verdict, Watch, observe, standing, trouble, turn_deg
from edgechess_robots.dobot.frame_protocol import Frame
from edgechess_robots.poses import Pose

THERE = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
JOINTS = Target(THERE, None, 1.0, 0.5)


def frame(
    mode: int = 5,
    current: int = 0,
    joints: tuple[float, ...] = THERE,
    pose: tuple[float, ...] = (0.0,) * 6,
    running: int = 0,
    safety: int = 0xFF,
    error: int = 0,
    collision: int = 0,
    speed: float = 0.0,
) -> Frame:
    data = bytearray(1440)
    struct.pack_into("<Q", data, 24, mode)
    struct.pack_into("<6d", data, 432, *joints)
    struct.pack_into("<6d", data, 480, *(speed,) * 6)
    struct.pack_into("<6d", data, 624, *pose)
    struct.pack_into("<Q", data, 1112, current)
    data[1028], data[1029], data[1038], data[1420] = running, error, collision, safety
    return Frame(bytes(data))


def verdicts(command_id: int | None, *frames: Frame, target: Target = JOINTS, every_s: float = 0.1) -> list[Verdict]:
    watch, found = Watch(target, command_id), []
    for i, shown in enumerate(frames):
        watch = observe(watch, shown, i * every_s)
        found.append(watch.verdict)
    return found


AWAY = (0.0,) * 6


def test_done_needs_two_frames_running() -> None:
    assert verdicts(7, frame(current=7), frame(current=7)) == ["moving", "done"]
    assert verdicts(7, frame(current=7), frame(7, current=7), frame(current=7), frame(current=7)) == [
        "moving",
        "moving",
        "moving",
        "done",
    ]


def test_an_idle_frame_from_before_the_command_is_no_end() -> None:
    assert verdicts(7, frame(current=6), frame(current=6), frame(current=6)) == ["moving"] * 3


def test_the_queue_being_past_it_counts_while_something_else_runs() -> None:
    assert verdicts(7, frame(7, current=8, running=1), frame(7, current=8, running=1))[-1] == "done"


def test_without_an_id_idle_at_the_target_counts() -> None:
    assert verdicts(None, frame(), frame()) == ["moving", "done"]
    assert verdicts(None, frame(running=1), frame(running=1)) == ["moving", "moving"]
    assert verdicts(None, frame(7), frame(7)) == ["moving", "moving"]
    assert verdicts(None, frame(joints=AWAY), frame(joints=AWAY)) == ["moving", "moving"]


def test_idle_elsewhere_for_a_second_is_not_reached() -> None:
    away = [frame(current=7, joints=AWAY)] * 13
    found = verdicts(7, *away)
    assert found[9] == "moving"
    assert found[12] == "not-reached"


def test_a_straight_motion_is_checked_by_its_pose() -> None:
    target = Target(AWAY, Pose(500.0, 0.0, 300.0, 180.0, 0.0, 10.0), 1.0, 0.5)
    near = frame(current=7, pose=(500.5, 0.5, 300.0, -180.0, 0.0, 10.3))
    assert verdicts(7, near, near, target=target)[-1] == "done"
    for pose in ((501.5, 0.0, 300.0, 180.0, 0.0, 10.0), (500.0, 0.0, 300.0, 180.0, 0.0, 11.0)):
        off = frame(current=7, pose=pose)
        assert verdicts(7, off, off, target=target)[-1] == "moving"


def test_the_angle_between_orientations() -> None:
    assert turn_deg(Pose(0, 0, 0, 180, 0, 0), Pose(9, 9, 9, -180, 0, 0)) == pytest.approx(0.0, abs=1e-5)
    assert turn_deg(Pose(0, 0, 0, 180, 0, 10), Pose(0, 0, 0, 180, 0, -35)) == pytest.approx(45.0)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, None),
        ({"mode": 7, "running": 1}, None),
        ({"mode": 9}, "alarm"),
        ({"error": 1}, "alarm"),
        ({"mode": 11}, "collision"),
        ({"collision": 1}, "collision"),
        ({"mode": 10}, "paused"),
        ({"mode": 6}, "guided"),
        ({"mode": 4}, "disabled"),
        ({"mode": 3}, "disabled"),
        ({"mode": 2}, "disabled"),
        ({"safety": 0xFE}, "emergency-stop"),  # bit 0, active low
        ({"safety": 0xDF}, "emergency-stop"),  # bit 5
        ({"safety": 0xBF}, "emergency-stop"),  # bit 6
        ({"safety": 0xFD}, "alarm"),  # bit 1, protective stop
        ({"safety": 0xFB}, None),  # bit 2, reduced mode: slower is fine
    ],
)
def test_trouble(fields: dict[str, Any], code: str | None) -> None:
    found = trouble(frame(**fields))
    assert (found.code if found else None) == code


def test_standing() -> None:
    assert standing(frame(speed=0.1))
    assert not standing(frame(speed=5.0))
    assert not standing(frame(7))
    assert not standing(frame(8))

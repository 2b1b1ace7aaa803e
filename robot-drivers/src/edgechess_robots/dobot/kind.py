"""The kind "dobot" of the registry of arms."""

from __future__ import annotations

from collections.abc import Mapping

from edgechess_robots.calibration import Calibration
from edgechess_robots.dobot import protocol
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.dobot.frame_protocol import FEEDBACK_PERIODS_S
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.kinematics import CR10A
from edgechess_robots.registry import ArmKind, ArmLimits, Capabilities, Connect

_OF_THE_FINGERS = {"gripper_open_is_high": "open_is_high", "gripper_stroke_mm": "stroke_mm"}


def _open(name: str, connect: Connect, options: DobotSettings, calibration: Calibration | None) -> DobotArm:
    return DobotArm(name, connect, options, calibration)


def _regroup(given: Mapping[str, object]) -> Mapping[str, object]:
    fingers = {_OF_THE_FINGERS[name]: value for name, value in given.items() if name in _OF_THE_FINGERS}
    rest = {name: value for name, value in given.items() if name not in _OF_THE_FINGERS}
    return {**rest, "fingers": fingers} if fingers else rest


DOBOT = ArmKind(
    name="dobot",
    title="Dobot CR, CRA and Nova with a V4 controller",
    ports=(protocol.COMMAND_PORT, *sorted(FEEDBACK_PERIODS_S)),
    capabilities=Capabilities(rounds_corners=True, feels_grasp=True, dead_man="always", guided_by_request=True),
    limits=ArmLimits(
        reach_mm=CR10A.reach_mm,
        payload_kg=10.0,  # a CR10A, by its name
        joints_deg=CR10A.limits_deg,
        joint_speeds_deg_s=CR10A.speeds_deg_s,
        tool_speed_mm_s=1000.0,  # beyond 750 mm/s nothing is gained (reference "robot-motion" section C)
    ),
    options=DobotSettings,
    open=_open,
    regroup=_regroup,
    also=tuple(_OF_THE_FINGERS),
)

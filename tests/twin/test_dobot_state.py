"""The state gate, written out again from the reference (dobot-tcp-ip-v4 section 3)."""

import pytest

from edgechess_twin.dobot_state import Gate, Power, Situation, alarm_text, refusal

ALWAYS = ["ClearError", "GetErrorID", "EmergencyStop", "Stop", "RobotMode", "LogExportUSB", "GetExportStatus"]
EVERYTHING = [
    *ALWAYS,
    "RequestControl",
    "PowerOn",
    "EnableRobot",
    "DisableRobot",
    "SpeedFactor",
    "DOInstant",
    "Pause",
    "Continue",
    "GetPose",
    "ModbusCreate",
    "GetHoldRegs",
    "SetHoldRegs",
    "RunScript",
    "RunTo",
    "StartDrag",
    "MovJ",
    "MovL",
    "DO",
    "User",
    "SetTool",
    "MoveJog",
]

ERROR = Situation(alarm=True, enabled=True)
EMERGENCY = Situation(alarm=True, emergency=True)
OFF = Situation(power=Power.OFF)
STARTING = Situation(power=Power.STARTING)


@pytest.mark.parametrize(
    ("situation", "accepted", "refused_with"),
    [
        (ERROR, ALWAYS, -2),
        (EMERGENCY, ALWAYS, -3),
        (OFF, [*ALWAYS, "PowerOn", "RequestControl"], -4),
        (STARTING, [*ALWAYS, "PowerOn", "RequestControl"], -4),
        (Situation(), EVERYTHING, 0),
        (Situation(enabled=True), EVERYTHING, 0),
    ],
)
def test_each_state_accepts_its_commands_and_no_others(
    situation: Situation, accepted: list[str], refused_with: int
) -> None:
    for command in EVERYTHING:
        expected = 0 if command in accepted else refused_with
        assert refusal(situation, command.lower()) == expected, command


def test_brakes_open_only_when_disabled() -> None:
    assert refusal(Situation(enabled=True), "brakecontrol") is Gate.FAILED
    assert refusal(Situation(), "brakecontrol") is Gate.OPEN


def test_alarms_are_listed_as_the_firmware_does() -> None:
    assert alarm_text([], "4.6") == "[]"
    assert alarm_text([116, 17], "4.6") == "[116,17]"
    assert alarm_text([], "4.5") == "[[],[],[],[],[],[],[]]"
    assert alarm_text([116, 17], "4.5") == "[[116,17],[],[],[],[],[],[]]"

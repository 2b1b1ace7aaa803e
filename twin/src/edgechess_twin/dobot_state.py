"""The controller's modes and the gate that says which command it accepts when (reference "dobot-tcp-ip-v4" sections 3, 4, 5).

Pure tables. The device asks; nothing here knows a socket or a joint. This controller has no scripts: RunScript fails, so
the states "script running" (-5) and "script paused" (-7) of a real one never come about.
"""

from __future__ import annotations

import dataclasses
import enum


class RobotMode(enum.IntEnum):
    """Section 5."""

    INIT = 1
    BRAKE_OPEN = 2
    POWER_OFF = 3
    DISABLED = 4
    ENABLE = 5
    BACKDRIVE = 6
    RUNNING = 7
    SINGLE_MOVE = 8
    ERROR = 9
    PAUSE = 10
    COLLISION = 11


class Gate(enum.IntEnum):
    """Why a command is refused: the first field of the answer (section 4)."""

    OPEN = 0
    FAILED = -1
    ERROR = -2
    EMERGENCY_STOP = -3
    POWER_OFF = -4


class Power(enum.Enum):
    OFF = "off"
    STARTING = "starting"
    ON = "on"


class Alarm(enum.IntEnum):
    """Alarm numbers that this device raises itself, beside those of the kinematics (section 4)."""

    EMERGENCY_BUTTON = 116
    COLLISION = 117
    EMERGENCY_SOFTWARE = 132


ALWAYS = frozenset(
    name.lower()
    for name in (
        "ClearError",
        "GetErrorID",
        "EmergencyStop",
        "Stop",
        "RobotMode",
        "LogExportUSB",
        "GetExportStatus",
    )
)
"""Accepted even in the error and emergency-stop states."""

# "Allowed only when un-powered or disabled": so the gate of the power-off state lets it through too.
POWERED_OFF = ALWAYS | {"poweron", "requestcontrol"}


@dataclasses.dataclass(frozen=True, slots=True)
class Situation:
    """What the gate looks at."""

    power: Power = Power.ON
    emergency: bool = False
    alarm: bool = False
    enabled: bool = False


def refusal(situation: Situation, command: str) -> Gate:
    """Whether the controller takes this command (lower case) now. OPEN: it does."""
    if command in ALWAYS:
        return Gate.OPEN
    if situation.emergency:
        return Gate.EMERGENCY_STOP
    if situation.alarm:
        return Gate.ERROR
    if situation.power is not Power.ON:
        return Gate.OPEN if command in POWERED_OFF else Gate.POWER_OFF
    if command == "brakecontrol" and situation.enabled:
        return Gate.FAILED
    return Gate.OPEN


def alarm_text(codes: list[int], firmware: str) -> str:
    """The value of GetErrorID: one list since 4.6.0, before that the controller's and one per servo (section 4)."""
    joined = ",".join(str(code) for code in codes)
    return f"[{joined}]" if firmware != "4.5" else f"[[{joined}],[],[],[],[],[],[]]"

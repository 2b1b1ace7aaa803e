"""A DH-Robotics gripper (AG-95, PGE and PGI families) as Modbus registers behind the controller.

Source: reference "dobot-tcp-ip-v4" section 6. Two public sources disagree on which end of the position register is
open, so the polarity is a setting, to be verified on the device.
"""

from __future__ import annotations

import dataclasses
import enum

REGISTER_INIT = 0x0100
REGISTER_FORCE = 0x0101
REGISTER_POSITION = 0x0103
REGISTER_INIT_STATE = 0x0200
REGISTER_GRIP_STATE = 0x0201
REGISTER_POSITION_FEEDBACK = 0x0202

INIT_FULL = 0xA5  # finds both ends of the travel: the fingers move
FULL_TRAVEL = 1000  # per mille


class InitState(enum.IntEnum):
    NOT_DONE = 0
    DONE = 1
    RUNNING = 2


class GripState(enum.IntEnum):
    MOVING = 0
    REACHED = 1
    CAUGHT = 2
    DROPPED = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Fingers:
    """How the position register maps to the width between the fingers."""

    stroke_mm: float = 95.0
    """Width when fully open (AG-95)."""
    open_is_high: bool = True
    """True: 1000 is open."""

    def position(self, width_mm: float) -> int:
        """Register value for a width; widths beyond the travel are clamped to it."""
        share = max(0.0, min(1.0, width_mm / self.stroke_mm))
        return round(FULL_TRAVEL * (share if self.open_is_high else 1.0 - share))

    def width_mm(self, position: int) -> float:
        share = position / FULL_TRAVEL
        return self.stroke_mm * (share if self.open_is_high else 1.0 - share)

"""The gripper at the RO1's wrist: fingers that take time, and what its configuration tells.

Two-finger grippers only: an OnRobot 2FG7, which feels whether it grips, and a Robotiq 2F-85, whose configuration tells
nothing about a grasp. What the fingers close on is the world's to say: the device passes it on.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

GripperKind = Literal["onrobot_2fg7", "robotiq_2f", "none_connected"]


@dataclasses.dataclass(frozen=True, slots=True)
class Fingers:
    """A gripper's data sheet, as far as the table needs it."""

    least_mm: float
    most_mm: float
    speed_mm_s: float
    force_n: float


FINGERS: dict[GripperKind, Fingers] = {
    "onrobot_2fg7": Fingers(1.0, 39.0, 100.0, 140.0),  # from memory of the data sheet: 38 mm stroke, fingers inward
    "robotiq_2f": Fingers(0.0, 85.0, 150.0, 235.0),  # 2F-85, from memory
    "none_connected": Fingers(0.0, 0.0, 1.0, 0.0),
}
LEAST_S = 0.1  # the gripper's own controller needs this to notice that it stands
FINGERTIP_MM = 10.0  # thickness of a fingertip: what inner and outer width differ by, per finger


class Gripper:
    """Width between the fingertips in mm. Times are in motion seconds of whoever calls."""

    def __init__(self, kind: GripperKind) -> None:
        self.kind = kind
        self.fingers = FINGERS[kind]
        self.force_n = 0.0
        self.detected = False
        self.target_mm = self.fingers.most_mm
        self._start_mm = self._end_mm = self.fingers.most_mm
        self._began_s = self._takes_s = 0.0

    def width_mm(self, now_s: float) -> float:
        if self._takes_s <= 0.0:
            return self._end_mm
        part = min(1.0, max(0.0, (now_s - self._began_s) / self._takes_s))
        return self._start_mm + part * (self._end_mm - self._start_mm)

    def move(self, target_mm: float, force_n: float, speed_mm_s: float, now_s: float) -> float:
        """Starts towards a width within the gripper's stroke. Returns how long it takes."""
        start_mm = self.width_mm(now_s)
        self.target_mm, self.force_n, self.detected = target_mm, force_n, False
        self._start_mm, self._end_mm, self._began_s = start_mm, target_mm, now_s
        self._takes_s = max(LEAST_S, abs(target_mm - start_mm) / min(speed_mm_s, self.fingers.speed_mm_s))
        return self._takes_s

    def stand(self, width_mm: float, detected: bool) -> None:
        """The motion is over, at its target or where an object of that width stopped the fingers."""
        self._end_mm, self._takes_s, self.detected = width_mm, 0.0, detected

    def dropped(self) -> None:
        """What it gripped has gone: the fingers close on to where they were sent."""
        self._end_mm, self._takes_s, self.detected = self.target_mm, 0.0, False

    def configuration(self, now_s: float) -> dict[str, object]:
        """The answer of `GET /equipment/end-effector/configuration`: every gripper's key, null but the one fitted."""
        answer: dict[str, object] = {"kind": self.kind}
        if self.kind == "onrobot_2fg7":
            answer["onrobot_2fg7"] = self._onrobot(now_s)
        elif self.kind == "robotiq_2f":
            answer["robotiq_2f"] = {
                "model_variant": "2F-85",
                "min_grip_width": {"unit_kind": "millimeters", "value": self.fingers.least_mm},
                "max_grip_width": {"unit_kind": "millimeters", "value": self.fingers.most_mm},
            }
        return answer

    def _onrobot(self, now_s: float) -> dict[str, object]:
        """Widths in mm, the unit of the gripper's own interface: the API names none."""
        inner = self.width_mm(now_s)
        least, most, tips = self.fingers.least_mm, self.fingers.most_mm, 2.0 * FINGERTIP_MM
        normalized = (inner - least) / (most - least)
        return {
            "grip_kind": "external",
            "grip_detected": self.detected,
            "normalized_width_inner": normalized,
            "normalized_width_outer": normalized,
            "width_inner": inner,
            "min_width_inner": least,
            "max_width_inner": most,
            "width_outer": inner + tips,
            "min_width_outer": least + tips,
            "max_width_outer": most + tips,
            "force": self.force_n if self.detected else 0.0,
            "max_force": self.fingers.force_n,
            "finger_mounting_position": "inward",
            "finger_offset": 0.0,
            "finger_angle": 0.0,
            "finger_length": 0.0,
            "finger_height": 0.0,
            "linear_sensor_error": False,
            "uncalibrated_error": False,
        }

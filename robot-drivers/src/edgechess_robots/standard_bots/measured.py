"""What one look at an RO1 says: is it well, does it stand, is it where it was sent? Pure."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Literal

import numpy as np

from edgechess_robots.kinematics import Joints
from edgechess_robots.poses import Matrix
from edgechess_robots.standard_bots.api_protocol import ApiBroken, Failure, Position, Recovery, Tooltip
from edgechess_robots.standard_bots.units import degrees, flange_of

STANDING_DEG_S = 0.5  # joint speed below which an arm stands: encoder noise is a tenth of it
BESIDE_MM = 2.0  # a gripper's fingertips are in the middle, as far as a millimetre or two
MODEL_ERROR_MM = 30.0
"""A travel ends this much beside its target at most, for the chain is nominal: a real RO1 was 15 mm off (reference,
kinematics)."""
MODEL_ERROR_DEG = 2.0
LOOKS_APART_S = 0.04  # two looks nearer together say nothing about speed

GUIDED = frozenset({"Antigravity", "AntigravitySlow"})
BUSY = frozenset({"RunningAdHocCommand", "RoutineRunning", "Recovering"}) | GUIDED

_EMERGENCY = re.compile(r"e[\s_-]?stop|emergency", re.IGNORECASE)
_COLLISION = re.compile(r"collision", re.IGNORECASE)

TroubleCode = Literal["alarm", "collision", "emergency-stop", "guided"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One look: `at_s` is when it was asked for, so its age is never too small."""

    at_s: float
    joints_deg: Joints
    flange: Matrix
    """In the base frame."""
    recovery: Recovery
    standing: bool

    @property
    def emergency(self) -> bool:
        """An emergency stop is pressed. The API has no word for the button: a failure that names it and that cannot be
        recovered from yet is taken for it."""
        failure = self.recovery.failure
        return (
            self.recovery.failed
            and failure is not None
            and names_emergency(failure)
            and failure.recovery_type not in ("Recoverable", "")
        )


def look(before: Look | None, at_s: float, recovery: Recovery, position: Position, tooltip_mm: float) -> Look:
    """Raises ApiBroken or WrongUnit for what cannot be."""
    joints = degrees(position.joints_rad)
    flange = flange_of(position.tooltip, tooltip_mm)
    standing = False
    if before is not None and recovery.status not in BUSY:
        passed_s = at_s - before.at_s
        if passed_s < LOOKS_APART_S:
            standing = before.standing
        else:
            standing = farthest_deg(joints, before.joints_deg) <= STANDING_DEG_S * passed_s
    return Look(at_s, joints, flange, recovery, standing)


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """Why an arm that should be healthy is not. `code` goes into a report."""

    code: TroubleCode
    reason: str


def trouble(recovery: Recovery) -> Trouble | None:
    """What a look says against an arm that is idle, or moved by us."""
    if recovery.failed:
        return _failed(recovery.failure)
    if recovery.status == "RoutineRunning":
        return Trouble("guided", "a routine runs on the robot: stop it in its app")
    if recovery.status in GUIDED:
        return Trouble("guided", "the arm is being guided by hand")
    return None


def _failed(failure: Failure | None) -> Trouble:
    if failure is None:
        return Trouble("alarm", "the robot is in a failure state that it does not explain")
    words = in_words(failure)
    if names_emergency(failure):
        return Trouble("emergency-stop", f"an emergency stop was pressed ({words})")
    if _COLLISION.search(failure.kind):
        return Trouble("collision", f"the robot felt a collision ({words})")
    return Trouble("alarm", f"the robot failed: {words}")


def names_emergency(failure: Failure) -> bool:
    return bool(_EMERGENCY.search(failure.kind) or _EMERGENCY.search(failure.reason))


def in_words(failure: Failure) -> str:
    return (
        ", ".join(word for word in (failure.kind, failure.reason, failure.recovery_type) if word) or "no reason given"
    )


def farthest_deg(a: Joints, b: Joints) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def tooltip_mm(flange: Tooltip, tooltip: Tooltip) -> float:
    """How far the tooltip is before the flange. Raises ApiBroken for one that lies beside the flange's axis."""
    at, tool = flange_of(flange, 0.0), flange_of(tooltip, 0.0)
    offset = tool[:3, 3] - at[:3, 3]
    along = float(offset @ tool[:3, 2])
    beside = float(np.linalg.norm(offset - along * tool[:3, 2]))
    if beside > BESIDE_MM:
        raise ApiBroken(
            f"the robot's active tooltip lies {beside:.0f} mm beside the axis of its flange: choose the tooltip of the"
            f" gripper or of the bare flange in the robot's app"
        )
    return along


def apart(a: Matrix, b: Matrix) -> tuple[float, float]:
    """Millimetres and degrees between two poses."""
    turned = (float((a[:3, :3] * b[:3, :3]).sum()) - 1.0) / 2.0
    return float(np.linalg.norm(a[:3, 3] - b[:3, 3])), math.degrees(math.acos(max(-1.0, min(1.0, turned))))

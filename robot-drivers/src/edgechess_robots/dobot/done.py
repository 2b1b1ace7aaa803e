"""When is a motion done, and when has it gone wrong: decided from whole feedback frames, never from a pause.

Reference "dobot-tcp-ip-v4" section 7. The vendor's own wait hangs on alarm, pause and a missing id; this one does not.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from edgechess_robots.dobot.frame_protocol import (
    SAFETY_EMERGENCY_STOP,
    SAFETY_PROTECTIVE_STOP,
    SAFETY_SYSTEM_EMERGENCY_STOP,
    SAFETY_USER_EMERGENCY_STOP,
    Frame,
)
from edgechess_robots.dobot.protocol import RobotMode
from edgechess_robots.kinematics import Joints
from edgechess_robots.poses import Pose

CONSECUTIVE_FRAMES = 2  # the running flag drops for a tick between two waypoints
NOT_REACHED_S = 1.0  # idle for this long, but elsewhere: the motion ended early; a late start takes a tenth of it
STANDING_DEG_S = 0.5  # joint speed below which an arm stands: encoder noise is a tenth of it

EMERGENCY_STOP_BITS = SAFETY_EMERGENCY_STOP | SAFETY_SYSTEM_EMERGENCY_STOP | SAFETY_USER_EMERGENCY_STOP

Verdict = Literal["moving", "done", "not-reached"]


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Where one motion ends. `pose` is the flange's in the base frame for straight motions, which are checked by it."""

    joints_deg: Joints
    pose: Pose | None
    tolerance_mm: float
    tolerance_deg: float

    def reached(self, frame: Frame) -> bool:
        if self.pose is None:
            return all(
                abs(actual - wanted) <= self.tolerance_deg
                for actual, wanted in zip(frame.q_actual_deg, self.joints_deg, strict=True)
            )
        actual = Pose(*frame.tool_actual)
        return (
            math.dist((actual.x_mm, actual.y_mm, actual.z_mm), (self.pose.x_mm, self.pose.y_mm, self.pose.z_mm))
            <= self.tolerance_mm
            and turn_deg(actual, self.pose) <= self.tolerance_deg
        )


def turn_deg(a: Pose, b: Pose) -> float:
    """The angle between two orientations."""
    trace = float((a.matrix()[:3, :3] * b.matrix()[:3, :3]).sum())
    return math.degrees(math.acos(max(-1.0, min(1.0, (trace - 1.0) / 2.0))))


@dataclasses.dataclass(frozen=True, slots=True)
class Watch:
    """What has been seen so far of one motion. `command_id` None: the firmware gave none."""

    target: Target
    command_id: int | None
    done_frames: int = 0
    idle_since_s: float | None = None
    verdict: Verdict = "moving"


def observe(watch: Watch, frame: Frame, now_s: float) -> Watch:
    """One more frame. Done: the queue is past it or idle on it, at its target, in two frames running."""
    if not _idle(watch.command_id, frame):
        return Watch(watch.target, watch.command_id)
    since = now_s if watch.idle_since_s is None else watch.idle_since_s
    frames = watch.done_frames + 1 if watch.target.reached(frame) else 0
    verdict: Verdict = "moving"
    if frames >= CONSECUTIVE_FRAMES:
        verdict = "done"
    elif frames == 0 and now_s - since > NOT_REACHED_S:
        verdict = "not-reached"
    return Watch(watch.target, watch.command_id, frames, since, verdict)


def passed(command_id: int | None, frame: Frame) -> bool:
    """Whether the queue is already at a later command."""
    return command_id is not None and frame.current_command_id > command_id


def _idle(command_id: int | None, frame: Frame) -> bool:
    if command_id is None:
        return frame.robot_mode == RobotMode.ENABLED and not frame.running
    return passed(command_id, frame) or (
        frame.current_command_id == command_id and frame.robot_mode == RobotMode.ENABLED
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """Why an arm that should be healthy is not. `code` goes into a report."""

    code: Literal["alarm", "collision", "emergency-stop", "paused", "guided", "disabled"]
    reason: str


def trouble(frame: Frame) -> Trouble | None:
    """What a frame says against an arm that is enabled, or in motion."""
    mode = frame.robot_mode
    if frame.safety_tripped(EMERGENCY_STOP_BITS):
        return Trouble("emergency-stop", "an emergency stop was pressed")
    if mode == RobotMode.COLLISION or frame.collision:
        return Trouble("collision", "the controller felt a collision")
    if mode == RobotMode.ERROR or frame.error:
        return Trouble("alarm", "the controller is in an error state")
    if frame.safety_tripped(SAFETY_PROTECTIVE_STOP):
        return Trouble("alarm", "the protective stop is active")
    if mode == RobotMode.PAUSE:
        return Trouble("paused", "the controller is paused")
    if mode == RobotMode.DRAG:
        return Trouble("guided", "the arm is being guided by hand")
    if mode in (RobotMode.INIT, RobotMode.BRAKE_OPEN, RobotMode.POWER_OFF, RobotMode.DISABLED):
        return Trouble("disabled", "the drives are not enabled")
    return None


def standing(frame: Frame) -> bool:
    return frame.robot_mode not in (RobotMode.RUNNING, RobotMode.SINGLE_MOVE) and all(
        abs(speed) < STANDING_DEG_S for speed in frame.qd_actual_deg_s
    )


def pressed(frame: Frame) -> bool:
    """An emergency stop is."""
    return frame.safety_tripped(EMERGENCY_STOP_BITS)

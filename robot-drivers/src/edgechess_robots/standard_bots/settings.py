"""What a person sets for one RO1."""

from __future__ import annotations

import dataclasses

from edgechess_robots.kinematics import RO1_PARK_DEG, TOOL_LENGTH_MM, Joints
from edgechess_robots.standard_bots.api_protocol import HEARTBEAT_MS, GripperKind, RobotKind
from edgechess_robots.standard_bots.units import SMALLEST_TOOL_MM

FACTORY_SPEED_MM_S = 750.0  # the tooltip limit that an RO1 leaves the factory with


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StandardBotsSettings:
    """Defaults suit an RO1 with an OnRobot 2FG7 at a public table. Raises ValueError naming the setting."""

    robot_kind: RobotKind
    """"simulated" moves the robot that its control box simulates, "live" the arm. Never guessed."""
    live: bool = False
    """The second word that "live" needs: a real arm may move."""
    host: str = "control-box"
    """As the robot is called in requests; where the connection goes is the caller's `connect`."""
    tls: bool = False
    """The vendor's tunnel (https, port 443) instead of the control box (http, port 3000)."""
    token_file: str = ""
    """File that holds the token of the robot's Developer API, and nothing else."""
    tool_length_mm: float = TOOL_LENGTH_MM
    """Flange to the middle between the fingertips, along the flange's axis."""
    tool_yaw_deg: float = 0.0
    """Turn of the fingers about that axis against the flange."""
    tooltip_mm: float | None = None
    """How far the robot's own active tooltip lies before its flange, along its axis. None: as the robot tells, or 0 where
    its release does not tell."""
    park_joints_deg: Joints = RO1_PARK_DEG
    """The parking posture; it also fixes the branch of the inverse kinematics for every travel."""
    max_tool_speed_mm_s: float = 250.0  # the reduced speed of ISO 10218-1
    floor_mm: float = 0.0
    """No plan may bring the fingertips below this height above the board."""
    poll_s: float = 0.25
    """How often the state is read; a quarter of the second after which the arm controller calls it old."""
    beat_s: float = 0.05
    """How often a motion's heart beats: six times as often as it must, so that some may be lost, and because an answer is
    also how the end of a motion is noticed."""
    ending_beat_s: float = 0.01
    """Between beats at the end of a motion, at least: some twenty more requests, for 20 ms less of waiting."""
    stale_s: float = 1.5
    """Without a state for this long the arm counts as lost."""
    deadline_factor: float = 3.0
    deadline_grace_s: float = 5.0
    """A motion may take its planned time times the factor, plus the grace: the robot keeps its limits secret."""
    tolerance_mm: float = 1.0
    tolerance_deg: float = 0.5
    parked_tolerance_deg: float = 1.0
    live_without_heartbeat: bool = False
    """Whether a live arm may move whose release has no controlled motions (before 2025-08). It is told its ways in pieces of
    half a second, and ends the one under way whatever happens: after a stop, after a lost link, after our death. Those
    releases document no speed limits either: the pieces are short, but within them it is as fast as its own limits."""
    emergency_stop_as_last_resort: bool = False
    """Whether a stop that did not make the arm stand may cut its power, which can damage it and drops nothing gently."""
    gripper: GripperKind = "onrobot_2fg7"
    gripper_stroke_mm: float = 38.0
    """Width between the fingers when they are fully open. A 2FG7's fingers travel 38 mm; where they begin depends on how
    they are mounted. A Robotiq 2F-85's open by 85 mm."""
    gripper_force_n: float = 20.0  # the least that a 2FG7 can; a weighted king needs a tenth of it
    gripper_speed_mm_s: float = 100.0
    """Of a Robotiq. The API names no unit for it; mm/s is ours, and the time that a stroke is given."""
    gripper_timeout_s: float = 3.0  # a full stroke takes under a second
    gripper_tolerance_mm: float = 1.5
    """How near "reached" must be to the width asked for, and how much wider than it something held must be."""

    def __post_init__(self) -> None:
        if self.robot_kind not in ("live", "simulated"):
            raise ValueError(f'robot_kind is {self.robot_kind!r}: expected "live" or "simulated"')
        if self.robot_kind == "live" and not self.live:
            raise ValueError('robot_kind is "live": a real arm would move; set live = true if that is meant')
        if len(self.park_joints_deg) != 6:
            raise ValueError(f"park_joints_deg has {len(self.park_joints_deg)} angles: expected 6")
        if not SMALLEST_TOOL_MM <= self.tool_length_mm <= 1000.0:
            raise ValueError(
                f"tool_length_mm is {self.tool_length_mm:g}: expected {SMALLEST_TOOL_MM:g} to 1000; are these metres?"
            )
        for name in _POSITIVE:
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} is {getattr(self, name):g}: expected a positive number")
        if self.max_tool_speed_mm_s > FACTORY_SPEED_MM_S:
            raise ValueError(
                f"max_tool_speed_mm_s is {self.max_tool_speed_mm_s:g}: an RO1 allows {FACTORY_SPEED_MM_S:g}"
            )
        if self.beat_s * 1000.0 > HEARTBEAT_MS / 1.5:
            raise ValueError(
                f"beat_s is {self.beat_s:g}: the robot stops after {HEARTBEAT_MS} ms, so 0.2 s is the most"
            )
        if self.stale_s < 2.0 * self.poll_s:
            raise ValueError(f"stale_s is {self.stale_s:g}: expected at least twice poll_s, {2.0 * self.poll_s:g}")


_POSITIVE = (
    "max_tool_speed_mm_s",
    "poll_s",
    "beat_s",
    "ending_beat_s",
    "deadline_factor",
    "tolerance_mm",
    "tolerance_deg",
    "parked_tolerance_deg",
    "gripper_stroke_mm",
    "gripper_force_n",
    "gripper_speed_mm_s",
    "gripper_timeout_s",
    "gripper_tolerance_mm",
)

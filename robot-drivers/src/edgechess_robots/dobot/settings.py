"""What a person sets for one Dobot arm."""

from __future__ import annotations

import dataclasses

from edgechess_robots.conduct import STATE_INTERVAL_S
from edgechess_robots.dobot.frame_protocol import FEEDBACK_PERIODS_S
from edgechess_robots.dobot.gripper_protocol import Fingers
from edgechess_robots.kinematics import PARK_DEG, TOOL_LENGTH_MM, Joints

STALE_AT_LEAST_S = 0.1  # a hundred milliseconds without a frame is no jitter any more
STALE_PERIODS = 3.0
SMALLEST_TOOL_MM, LARGEST_TOOL_MM = 5.0, 1000.0  # below: given in metres


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DobotSettings:
    """Defaults suit a CR10A with an AG-95 gripper at a public table. Raises ValueError naming the setting."""

    feedback_port: int = 30004
    feedback_period_s: float | None = None
    """For 30006, whose period is configured on the controller; None: as documented for the port."""
    state_interval_s: float = STATE_INTERVAL_S
    """How often `states` shows an arm in motion at most."""
    stale_after_s: float | None = None
    """Without a frame for this long the arm counts as lost; None: three periods, at least 0.1 s."""
    tool_length_mm: float = TOOL_LENGTH_MM
    """Flange to the middle between the fingertips, along the flange's z axis."""
    tool_yaw_deg: float = 0.0
    """Turn of the fingers about that axis against the flange."""
    park_joints_deg: Joints = PARK_DEG
    """The parking posture; it also fixes the branch of the inverse kinematics for every travel."""
    max_tool_speed_mm_s: float = 250.0  # the reduced speed of ISO 10218-1
    speed_factor_percent: int = 100
    acceleration_percent: int = 50
    load_kg: float | None = None
    """Given to EnableRobot; None leaves what is configured on the controller."""
    clear_alarms_at_start: bool = False
    """Whether `ensure_ready` may clear alarms that are no emergency stop. `recover` may where a person looked."""
    deadline_factor: float = 3.0
    deadline_grace_s: float = 5.0
    """A motion may take its planned time times the factor, plus the grace: controllers keep their limits secret."""
    tolerance_mm: float = 1.0
    tolerance_deg: float = 0.5
    parked_tolerance_deg: float = 1.0
    floor_mm: float = 0.0
    """No plan may bring the fingertips below this height above the board."""
    fingers: Fingers = dataclasses.field(default_factory=Fingers)
    gripper_slave: int = 1
    gripper_baud: int = 115_200
    gripper_force_percent: int = 30
    gripper_timeout_s: float = 3.0  # a full stroke takes under a second
    gripper_poll_s: float = 0.02  # a read takes a few milliseconds on the gripper's line, and the arm waits for its end
    gripper_tolerance: int = 20
    """How near, in per mille of the travel, "reached" must be to the position asked for."""

    def __post_init__(self) -> None:
        if self.feedback_port not in FEEDBACK_PERIODS_S:
            raise ValueError(f"feedback_port is {self.feedback_port}: expected one of {sorted(FEEDBACK_PERIODS_S)}")
        if len(self.park_joints_deg) != 6:
            raise ValueError(f"park_joints_deg has {len(self.park_joints_deg)} angles: expected 6")
        if not SMALLEST_TOOL_MM <= self.tool_length_mm <= LARGEST_TOOL_MM:
            raise ValueError(
                f"tool_length_mm is {self.tool_length_mm:g}: expected {SMALLEST_TOOL_MM:g} to {LARGEST_TOOL_MM:g};"
                f" are these metres?"
            )
        positive = ("max_tool_speed_mm_s", "deadline_factor", "tolerance_mm", "tolerance_deg")
        for name in (*positive, "parked_tolerance_deg", "gripper_timeout_s", "gripper_poll_s", "state_interval_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: expected a positive number")
        for name, low in (("speed_factor_percent", 1), ("acceleration_percent", 1), ("gripper_force_percent", 20)):
            if not low <= getattr(self, name) <= 100:
                raise ValueError(f"{name} is {getattr(self, name)}: expected {low} to 100")

    @property
    def stale_s(self) -> float:
        if self.stale_after_s is not None:
            return self.stale_after_s
        period = self.feedback_period_s or FEEDBACK_PERIODS_S[self.feedback_port]
        return max(STALE_AT_LEAST_S, STALE_PERIODS * period)

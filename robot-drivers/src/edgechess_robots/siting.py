"""Where the board is from one arm, and what follows from that; the same for every arm that is a chain of six joints.

A driver has one `Siting`, and asks it where its fingertips are, whether a plan can be, and what its links take up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from edgechess_robots.arm import CheckedPlan, Mode, Plan
from edgechess_robots.body import Body, Floats
from edgechess_robots.calibration import Calibration
from edgechess_robots.errors import ArmLost, ArmStopped, PlanRefused
from edgechess_robots.gradual import Gradual
from edgechess_robots.joint_planner import MotionTime, Reach, checking
from edgechess_robots.kinematics import Chain, Joints
from edgechess_robots.poses import Matrix, Pose


class Tooling(Protocol):
    """What the settings of every kind of arm have under the same names."""

    @property
    def tool_length_mm(self) -> float: ...
    @property
    def tool_yaw_deg(self) -> float: ...
    @property
    def park_joints_deg(self) -> Joints: ...
    @property
    def max_tool_speed_mm_s(self) -> float: ...
    @property
    def floor_mm(self) -> float: ...


def reach_of(chain: Chain, tooling: Tooling, stroke_mm: float, calibration: Calibration) -> Reach:
    return Reach(
        chain,
        calibration.board.matrix(),
        tooling.tool_length_mm,
        tooling.tool_yaw_deg,
        tooling.park_joints_deg,
        tooling.max_tool_speed_mm_s,
        stroke_mm,
        tooling.floor_mm,
    )


class Siting:
    """Of one arm. `motion_s` tells how long a motion takes its maker's machine."""

    def __init__(
        self,
        name: str,
        chain: Chain,
        tooling: Tooling,
        stroke_mm: float,
        motion_s: Callable[[Reach], MotionTime],
        calibration: Calibration | None,
    ) -> None:
        self._name = name
        self._chain = chain
        self._tooling = tooling
        self._stroke_mm = stroke_mm
        self._motion_s = motion_s
        self._tip = Pose(0.0, 0.0, tooling.tool_length_mm, 0.0, 0.0, tooling.tool_yaw_deg).matrix()
        self.calibration: Calibration | None = None
        self.reach: Reach | None = None
        self.body: Body | None = None
        if calibration is not None:
            self._adopt(calibration)

    def calibrate(self, calibration: Calibration, mode: Mode) -> None:
        """From now on this is where the board is; plans checked before are void. Raises ArmStopped in motion."""
        if mode == "moving":
            raise ArmStopped("an arm in motion is not calibrated")
        self._adopt(calibration)

    def _adopt(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self.reach = reach_of(self._chain, self._tooling, self._stroke_mm, calibration)
        self.body = self.reach.body

    def tip(self, flange: Matrix) -> Pose:
        """The fingertips in the base frame."""
        return Pose.from_matrix(flange @ self._tip)

    def tool(self, flange: Matrix) -> Pose | None:
        """The fingertips in the board frame; None without calibration."""
        return None if self.calibration is None else self.calibration.to_board(self.tip(flange))

    def checking(self, plan: Plan, start_deg: Callable[[], Joints]) -> Gradual[CheckedPlan]:
        """As `Gradually.checking`, from joints that `start_deg` has measured; it raises ArmLost where it has not. Raises PlanRefused,
        also without calibration or measured posture ("unreachable")."""
        reach = self.reach
        if reach is None:
            raise PlanRefused("unreachable", f"arm {self._name} is not calibrated")
        try:
            start = start_deg()
        except ArmLost as lost:
            raise PlanRefused("unreachable", str(lost)) from None
        try:
            return (yield from checking(plan, start, reach, self._motion_s(reach)))
        except PlanRefused as refused:
            if refused.code != "unreachable":
                raise
            raise PlanRefused("unreachable", f"{refused}; {self._whereabouts()}") from None

    def _whereabouts(self) -> str:
        """So that a calibration of another table, or in metres, is recognised for what is refused because of it."""
        assert self.calibration is not None
        board = self.calibration.board
        return f"as calibrated, the board's middle is {math.hypot(board.x_mm, board.y_mm):.0f} mm from arm {self._name}'s base"

    def outline(self, joints_deg: Joints | None) -> Floats | None:
        """Where the links are: see `arm.Outlined`. None: not calibrated, or not measured."""
        if self.body is None or joints_deg is None:
            return None
        return self.body.links_mm(joints_deg)

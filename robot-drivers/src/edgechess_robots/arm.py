"""The arm port: plan -> check -> execute -> measure, the same for every vendor.

Frames: everything a caller gives is in the board frame of `layout.py`; the arm holds its own calibration.
"Commanded" and "reached" are different states: an `ArmState` only ever says what was measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Literal, Protocol, runtime_checkable

from edgechess_robots.body import Floats, Sweep
from edgechess_robots.gradual import Gradual
from edgechess_robots.poses import Pose

Mode = Literal["offline", "starting", "idle", "moving", "stopped", "fault"]
Outcome = Literal["done", "refused", "unknown"]


@dataclasses.dataclass(frozen=True, slots=True)
class Travel:
    """Joint-interpolated motion to a tool pose (board frame), only above travel height."""

    target: Pose
    speed_mm_s: float
    blend_mm: float = 0.0
    """The tool may leave the path this far before the target, to round the corner into the next motion. 0: it stops
    there. A driver whose arm cannot blend stops; it never rounds wider than this."""


@dataclasses.dataclass(frozen=True, slots=True)
class Straight:
    """Straight tool motion to a pose (board frame): descents, lifts, and crossings with a piece."""

    target: Pose
    speed_mm_s: float
    blend_mm: float = 0.0
    """As of `Travel`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Park:
    """Joint motion to the arm's own parking posture, away from the board."""

    speed_mm_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Open:
    """Open the gripper to a width between the fingers."""

    width_mm: float
    ahead: bool = False
    """Of empty fingers: they may still be opening while the one motion after this step runs. They stand before whatever
    follows that. A driver may wait at once instead."""


@dataclasses.dataclass(frozen=True, slots=True)
class Close:
    """Close the gripper until it holds or reaches the width; the report says whether an object was felt."""

    width_mm: float
    label: str


@dataclasses.dataclass(frozen=True, slots=True)
class Verify:
    """Ask the gripper whether it still holds (before release: was it lost on the way?)."""

    label: str


Step = Travel | Straight | Park | Open | Close | Verify


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Steps for one arm. `steps` end with `Park` unless the caller wants the arm to stay."""

    steps: tuple[Step, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class CheckedPlan:
    """A plan that passed every check; only `Arm.check` makes one. `joints_deg` has one entry per step that moves,
    None for gripper steps; `duration_s` is the planned time, every corner counted as a stop. Valid from the pose it was
    checked from."""

    plan: Plan
    joints_deg: tuple[tuple[float, ...] | None, ...]
    start_joints_deg: tuple[float, ...]
    duration_s: float
    sweeps: tuple[Sweep | None, ...] = ()
    """What each step that moves sweeps, None for gripper steps; so that whoever knows what stands on the table can look
    for what is in the way. Empty: the driver does not tell."""


@dataclasses.dataclass(frozen=True, slots=True)
class Grasp:
    """What the gripper felt at one `Close` or `Verify`. `holding` None: the gripper gives no feedback."""

    label: str
    holding: bool | None
    width_mm: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """The end of one execution. "done": every step reached and measured. "refused": nothing moved. "unknown": the rest.

    A `Close` that feels nothing ends the plan at once (code "missed-grasp"), a `Verify` that feels nothing likewise
    ("lost-piece"): outcome "unknown", the arm standing still where it was, link and drives healthy.
    `completed` counts the steps that were reached.
    """

    outcome: Outcome
    code: str
    reason: str
    completed: int
    grasps: tuple[Grasp, ...]
    duration_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class ArmState:
    """What is measured. `tool` is in the board frame (None without calibration); `age_s` is that of the last frame.

    `emergency`: an emergency stop is pressed, and not by the driver itself. A word of release that is given meanwhile
    counts for nothing: turning a button free must never set an arm in motion.
    """

    mode: Mode
    joints_deg: tuple[float, ...]
    tool: Pose | None
    parked: bool
    holding: bool | None
    alarm: str | None
    age_s: float
    emergency: bool = False
    dead_man: bool | None = None
    """Whether something would end the arm's motion now if this process died; None: the driver does not tell."""


@runtime_checkable
class Outlined(Protocol):
    """An arm that says where its links are measured, for others that must not meet them."""

    def outline(self) -> Floats | None:
        """As `Body.links_mm`, in the board frame. None: not calibrated, or not measured."""


@runtime_checkable
class Fingered(Protocol):
    """An arm that says how wide its fingers open, for those who plan grasps."""

    @property
    def stroke_mm(self) -> float: ...


@runtime_checkable
class Gradually(Protocol):
    """An arm that checks a plan in slices, for those who must not hold anybody up meanwhile."""

    def checking(self, plan: Plan) -> Gradual[CheckedPlan]:
        """As `Arm.check`; it yields after every step of the plan."""


class Arm(Protocol):
    """One arm. `run()` owns the sockets and reconnects; nothing else touches them."""

    name: str
    kind: str

    async def run(self) -> None:
        """Serve the arm until cancelled. A reconnect never re-sends motion: it stops and re-measures."""

    async def ensure_ready(self) -> None:
        """Power, enable, speed limits, gripper. Never clears an emergency stop. Raises RobotError."""

    def state(self) -> ArmState: ...

    def states(self) -> AsyncIterator[ArmState]:
        """Every change worth showing (at most a few per second). One consumer."""

    def check(self, plan: Plan) -> CheckedPlan:
        """Reach, joint limits, one branch kept, speeds; from the measured joints. Raises PlanRefused."""

    async def execute(self, plan: CheckedPlan, token: int) -> Report:
        """Run it. `token` is the zone lease: an older one than the newest seen raises PlanRefused("stale-token").

        Cancelling stops the arm (under a shield) before the cancellation goes on. Never raises for a failed act:
        the report says. Raises PlanRefused or ArmStopped only when nothing was sent.
        """

    async def stop(self) -> None:
        """Stop all motion now; delivered even during cancellation. Nothing moves again until `recover`.

        Returns when the arm was seen to stand. Raises ArmLost ("stop not confirmed …") when there is no link or it was
        lost before that, ArmRefused when the arm was not seen to stand; it is held all the same.
        """

    async def recover(self, *, confirmed: bool) -> None:
        """Release the stop, enable, re-measure. Moves nothing. Raises RobotError.

        `confirmed`: a person looked; then alarms are cleared as well, but not while an emergency stop is pressed, nor one
        that was pressed after this call. Without that word an alarm of any kind is left as
        it is and raises ArmAlarm: the arm stays held, and its state says why.
        """

"""The driver of one Dobot V4 arm: `DobotArm` is an `edgechess_robots.arm.Arm`.

Contract between its parts: `connection` owns both sockets (one task each); everything else submits commands to the command
link and reads what `sight` measured. Whatever ends motion early (a stop, an alarm, a lost link, a stale frame, a cancelled
task) holds the arm until `recover`, and motion is never sent again on a new link.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import AsyncIterator

import anyio

from edgechess_robots.arm import ArmState, CheckedPlan, Open, Park, Plan, Report
from edgechess_robots.body import Floats
from edgechess_robots.calibration import Calibration
from edgechess_robots.conduct import Conduct, Ending, Interrupted, MayClear, Progress, SeeStanding, Ways
from edgechess_robots.dobot import done, planner, protocol
from edgechess_robots.dobot.commands import Commands
from edgechess_robots.dobot.connection import Connection
from edgechess_robots.dobot.dead_man import DeadMan
from edgechess_robots.dobot.fingers import Fingers
from edgechess_robots.dobot.frame_protocol import Frame
from edgechess_robots.dobot.mover import Mover
from edgechess_robots.dobot.planner import Geometry
from edgechess_robots.dobot.readiness import Readiness
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.dobot.sight import Sight
from edgechess_robots.dobot.stopping import Stopping
from edgechess_robots.dobot.tcp import Connect
from edgechess_robots.errors import ArmRefused, ArmStopped, RobotError
from edgechess_robots.gradual import Gradual, at_once
from edgechess_robots.kinematics import CR10A, Chain, Joints
from edgechess_robots.poses import Pose
from edgechess_robots.siting import Siting


class DobotArm:
    """See `edgechess_robots.arm.Arm` for the contract; here only what is particular to a Dobot."""

    kind = "dobot"

    def __init__(
        self,
        name: str,
        connect: Connect,
        settings: DobotSettings,
        calibration: Calibration | None,
        chain: Chain = CR10A,
    ) -> None:
        self.name = name
        self.settings = settings
        self._siting = Siting(
            name,
            chain,
            settings,
            settings.fingers.stroke_mm,
            lambda reach: planner.motion_times(Geometry(reach, settings)),
            calibration,
        )
        self._conduct = Conduct(
            name,
            Ways(
                posture=self._posture,
                prepare=self._prepare,
                run=self._run,
                halt=self._halt,
                explain=self._alarms_if_told,
                clears_at_start="alarms" if settings.clear_alarms_at_start else "nothing",
            ),
        )
        self._dead_man = DeadMan(name, self._conduct.show)
        self._sight = Sight(self._conduct, settings)
        self._commands = Commands(self._sight)
        self._connection = Connection(
            name, connect, settings, self._conduct, self._sight, self._commands, self._dead_man
        )
        self._readiness = Readiness(name, settings, self._conduct, self._sight, self._commands, self._dead_man)
        self._mover = Mover(settings, self._conduct, self._sight, self._commands)
        self._fingers = Fingers(settings, self._conduct, self._sight)
        self._stopping = Stopping(name, settings, self._conduct, self._sight, self._commands)
        self._read_off: tuple[Frame, Pose | None, bool] | None = None  # tool and parked, worked out once a frame

    # --- what is measured ---------------------------------------------------------------------------------------------

    @property
    def calibration(self) -> Calibration | None:
        return self._siting.calibration

    def calibrate(self, calibration: Calibration) -> None:
        """From now on this is where the board is; plans checked before are void. Raises ArmStopped in motion."""
        self._siting.calibrate(calibration, self._conduct.mode)
        self._read_off = None

    def tip_in_base(self) -> Pose:
        """Where the fingertips are in the arm's base frame, for calibration. Raises ArmLost without a fresh frame."""
        return self._siting.tip(Pose(*self._sight.fresh().tool_actual).matrix())

    async def measure_tip(self) -> Pose:
        """Where the fingertips are in the base frame once the arm stands still, from frames that are newer than this
        call. For calibration: it waits for the link if there is none yet; the deadline is the caller's. Raises ArmLost.
        """
        await self._conduct.until_linked()
        frame, standing = self._sight.newest, 0
        while standing < done.CONSECUTIVE_FRAMES:
            frame = await self._sight.after_or_lost(frame)
            standing = standing + 1 if frame is not None and done.standing(frame) else 0
        return self.tip_in_base()

    def state(self) -> ArmState:
        return dataclasses.replace(self._measured_state(), dead_man=self._dead_man.present)

    def _measured_state(self) -> ArmState:
        frame = self._sight.newest
        if frame is None:
            return self._conduct.state((), None, parked=False, age_s=math.inf)
        if self._read_off is None or self._read_off[0] is not frame:
            tool = self._siting.tool(Pose(*frame.tool_actual).matrix())
            self._read_off = (frame, tool, self._sight.parked(frame))
        _, tool, parked = self._read_off
        age_s = anyio.current_time() - self._sight.at_s
        pressed = done.pressed(frame) and self._conduct.last_resort is None  # by us: nobody can turn that free by hand
        return self._conduct.state(frame.q_actual_deg, tool, parked=parked, age_s=age_s, emergency=pressed)

    def states(self) -> AsyncIterator[ArmState]:
        return self._conduct.states(self.state, self.settings.state_interval_s)

    def check(self, plan: Plan) -> CheckedPlan:
        """Raises PlanRefused, also without calibration or measured posture ("unreachable")."""
        return at_once(self.checking(plan))

    def checking(self, plan: Plan) -> Gradual[CheckedPlan]:
        """See `Gradually`."""
        return self._siting.checking(plan, lambda: self._sight.fresh().q_actual_deg)

    @property
    def stroke_mm(self) -> float:
        """Width between the fingers when they are fully open: see `Fingered`."""
        return self.settings.fingers.stroke_mm

    def outline(self) -> Floats | None:
        """Where the links are measured: see `Outlined`."""
        return self._siting.outline(None if self._sight.newest is None else self._sight.newest.q_actual_deg)

    async def run(self) -> None:
        await self._conduct.keep_linked(self._connection.serve)

    # --- getting ready ------------------------------------------------------------------------------------------------

    async def ensure_ready(self) -> None:
        await self._conduct.ensure_ready()

    async def recover(self, *, confirmed: bool) -> None:
        await self._conduct.recover(confirmed=confirmed)

    async def drag(self, on: bool) -> None:
        """Hand guiding, for calibration: the arm yields to a hand, or stops doing so. Afterwards `ensure_ready`.

        Raises ArmStopped unless the arm is idle or being guided, ArmRefused, ArmLost.
        """
        conduct = self._conduct
        if conduct.held or conduct.mode not in ("idle", "starting"):
            raise ArmStopped(f"arm {self.name} is {conduct.mode}: only an idle arm is guided by hand")
        await self._commands.ask(protocol.start_drag() if on else protocol.stop_drag())
        if conduct.mode == "idle":
            conduct.step("unready")

    async def _prepare(self, stops: int, may_clear: MayClear) -> None:
        await self._readiness.prepare(stops, may_clear)

    # --- execution ----------------------------------------------------------------------------------------------------

    async def execute(self, plan: CheckedPlan, token: int) -> Report:
        if self._conduct.mode == "idle":
            try:
                await self._dead_man.there()
            except ArmRefused as refused:
                return Report("refused", "no-dead-man", str(refused), 0, (), 0.0)
        return await self._conduct.execute(plan, token)

    def _posture(self) -> Joints | None:
        session, newest = self._sight.session, self._sight.newest
        if session is None or session.gripper is None or self._siting.reach is None or newest is None:
            return None
        return newest.q_actual_deg

    async def _alarms_if_told(self) -> str:
        try:
            return protocol.alarms_text(await self._readiness.alarms())
        except RobotError as error:
            return f"the alarms are not known: {error}"

    async def _run(self, plan: CheckedPlan, progress: Progress) -> Ending:
        assert self._siting.reach is not None
        geometry = Geometry(self._siting.reach, self.settings)
        self._mover.begin()
        here: Joints = plan.start_joints_deg
        opening: Open | None = None  # fingers that may still be opening while one motion runs
        for step, end in zip(plan.plan.steps, plan.joints_deg, strict=True):
            if opening is not None and self._mover.moves:
                await self._fingers.finish_opening(opening, progress)
                opening = None
            if end is not None:
                await self._mover.move(planner.segment(step, here, end, geometry), progress)
                here = end
                continue
            await self._mover.land(progress, 0)
            if isinstance(step, Open) and step.ahead and not self._conduct.holding:
                opening = await self._fingers.begin_opening(step, progress)
                continue
            failure = await self._fingers.grip(step, progress)
            if failure is not None:
                return failure
            progress.completed += 1
        if opening is not None:
            await self._fingers.finish_opening(opening, progress)
        await self._mover.land(progress, 0)
        if isinstance(plan.plan.steps[-1], Park):
            frame = await self._sight.after(self._sight.newest)
            if not self._sight.parked(frame):
                raise Interrupted("not-parked", f"arm {self.name} was not measured at its parking posture")
        return "done", "every step was reached and measured"

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        await self._conduct.stop()

    def _halt(self) -> SeeStanding:
        return self._stopping.halt()

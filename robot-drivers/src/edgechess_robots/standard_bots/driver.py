"""The driver of one RO1: `StandardBotsArm` is an `edgechess_robots.arm.Arm`.

What it is made of: `Link` owns the connection and looks at the robot several times a second, `Sight` keeps what was seen,
`Readiness` gets the robot ready, `Mover` brings one motion to its end, `Stopping` sees the arm stand. An execution here
goes through a plan with them. Motion is never sent again on a new connection.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from edgechess_robots.arm import ArmState, CheckedPlan, Close, Open, Park, Plan, Report, Step, Straight, Travel, Verify
from edgechess_robots.body import Floats
from edgechess_robots.calibration import Calibration
from edgechess_robots.conduct import Conduct, Ending, Interrupted, MayClear, Progress, SeeStanding, Ways
from edgechess_robots.dobot.tcp import Connect
from edgechess_robots.errors import ArmRefused
from edgechess_robots.gradual import Gradual, at_once
from edgechess_robots.joint_planner import MotionTime, Reach
from edgechess_robots.kinematics import RO1, Chain, Joints
from edgechess_robots.poses import Pose
from edgechess_robots.siting import Siting
from edgechess_robots.standard_bots.api_protocol import ApiRefused
from edgechess_robots.standard_bots.client import Site, Token
from edgechess_robots.standard_bots.grippers import Gripper
from edgechess_robots.standard_bots.heart import LOST
from edgechess_robots.standard_bots.link import Link
from edgechess_robots.standard_bots.measured import Look
from edgechess_robots.standard_bots.mover import Mover
from edgechess_robots.standard_bots.orders import Moving, motion_s, order
from edgechess_robots.standard_bots.readiness import Readiness
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_robots.standard_bots.sight import Sight
from edgechess_robots.standard_bots.stopping import STANDSTILL_S, Stopping
from edgechess_robots.standard_bots.units import WrongUnit

T = TypeVar("T")

UNREADY = frozenset({"api_control_required", "brakes_must_be_disengaged", LOST})
"""Endings after which getting ready again puts it right, or says what a person must do."""


class StandardBotsArm:
    """See `edgechess_robots.arm.Arm` for the contract; here only what is particular to an RO1."""

    kind = "ro1"

    def __init__(
        self,
        name: str,
        connect: Connect,
        settings: StandardBotsSettings,
        token: Token,
        calibration: Calibration | None,
        chain: Chain = RO1,
    ) -> None:
        self.name = name
        self.settings = settings
        self._siting = Siting(name, chain, settings, settings.gripper_stroke_mm, _motion_times, calibration)
        ways = Ways(posture=self._posture, prepare=self._prepare, run=self._run, halt=self._halt, unready=UNREADY)
        self._conduct = Conduct(name, ways)
        self._sight = Sight(self._conduct, settings)
        site = Site(settings.host, settings.robot_kind, token, settings.tls)
        self._link = Link(connect, site, settings, self._conduct, self._sight)
        self._readiness = Readiness(name, chain, settings, self._conduct, self._sight)
        self._mover = Mover(name, settings, self._conduct, self._sight)
        self._stopping = Stopping(name, settings, self._conduct, self._sight)
        self._read_off: tuple[Look, Pose | None, bool] | None = None  # tool and parked, worked out once a look

    async def run(self) -> None:
        await self._conduct.keep_linked(self._link.serve)

    # --- what is measured ---------------------------------------------------------------------------------------------

    @property
    def calibration(self) -> Calibration | None:
        return self._siting.calibration

    def calibrate(self, calibration: Calibration) -> None:
        """From now on this is where the board is; plans checked before are void. Raises ArmStopped in motion."""
        self._siting.calibrate(calibration, self._conduct.mode)
        self._read_off = None

    def tip_in_base(self) -> Pose:
        """Where the fingertips are in the arm's base frame, for calibration. Raises ArmLost without a fresh look."""
        return self._siting.tip(self._sight.fresh().flange)

    async def measure_tip(self) -> Pose:
        """Where the fingertips are in the base frame once the arm stands still, from looks newer than this call. For
        calibration: it waits for the link if there is none yet; the deadline is the caller's. Raises ArmLost."""
        await self._conduct.until_linked()
        await self._sight.still(self._sight.linked().client)
        return self.tip_in_base()

    async def drag(self, on: bool) -> None:
        """Hand guiding is the robot's own: its wrist button, no request. Raises ArmRefused to say so."""
        word = "press" if on else "let go of"
        raise ArmRefused(f"arm {self.name}: an RO1 is guided by the button at its wrist: {word} it")

    def state(self) -> ArmState:
        now = self._sight.newest
        if now is None:
            return self._conduct.state((), None, parked=False, age_s=math.inf)
        if self._read_off is None or self._read_off[0] is not now:
            self._read_off = (now, self._siting.tool(now.flange), self._sight.parked(now))
        _, tool, parked = self._read_off
        age_s = anyio.current_time() - now.at_s
        return self._conduct.state(now.joints_deg, tool, parked=parked, age_s=age_s, emergency=now.emergency)

    def states(self) -> AsyncIterator[ArmState]:
        return self._conduct.states(self.state)

    @property
    def stroke_mm(self) -> float:
        """Width between the fingers when they are fully open: see `Fingered`."""
        return self.settings.gripper_stroke_mm

    def outline(self) -> Floats | None:
        """Where the links are measured: see `Outlined`."""
        newest = self._sight.newest
        return self._siting.outline(None if newest is None else newest.joints_deg)

    # --- getting ready ------------------------------------------------------------------------------------------------

    async def ensure_ready(self) -> None:
        await self._conduct.ensure_ready()

    async def recover(self, *, confirmed: bool) -> None:
        await self._conduct.recover(confirmed=confirmed)

    # --- execution ----------------------------------------------------------------------------------------------------

    def check(self, plan: Plan) -> CheckedPlan:
        """Raises PlanRefused, also without calibration or measured posture ("unreachable")."""
        return at_once(self.checking(plan))

    def checking(self, plan: Plan) -> Gradual[CheckedPlan]:
        """See `Gradually`."""
        return self._siting.checking(plan, lambda: self._sight.fresh().joints_deg)

    async def execute(self, plan: CheckedPlan, token: int) -> Report:
        return await self._conduct.execute(plan, token)

    def _posture(self) -> Joints | None:
        session, newest = self._sight.session, self._sight.newest
        if session is None or session.gripper is None or self._siting.reach is None or newest is None:
            return None
        return newest.joints_deg

    async def _prepare(self, stops: int, may_clear: MayClear) -> None:
        await self._readiness.prepare(stops, may_clear)

    async def _run(self, plan: CheckedPlan, progress: Progress) -> Ending:
        try:
            return await self._steps(plan, progress)
        except ApiRefused as refused:
            if refused.error in UNREADY:
                raise Interrupted(refused.error, str(refused)) from refused
            raise
        except WrongUnit as broken:
            raise Interrupted("protocol", str(broken)) from broken

    async def _steps(self, plan: CheckedPlan, progress: Progress) -> Ending:
        steps, here = plan.plan.steps, plan.start_joints_deg
        opening = False  # the fingers are on their way while the arm is on its own
        for index, (step, end) in enumerate(zip(steps, plan.joints_deg, strict=True)):
            self._conduct.unless_interrupted()
            if isinstance(step, Travel | Straight | Park):
                assert end is not None
                await self._go(step, here, end, opening, progress)
                here = end
                if opening:
                    await self._fingers(self._gripper().opened)
                    opening = False
                    progress.completed += 1  # of the step before
            elif isinstance(step, Open) and self._opens_on_the_way(step, steps[index + 1 : index + 2]):
                await self._begin_opening(step, progress)
                opening = True
                continue
            else:
                failure = await self._grip(step, progress)
                if failure is not None:
                    return failure
            progress.completed += 1
        if isinstance(steps[-1], Park) and not self._sight.parked(await self._standing_look()):
            raise Interrupted("not-parked", f"arm {self.name} was not measured at its parking posture")
        return "done", "every step was reached and measured"

    async def _go(self, step: Moving, here: Joints, end: Joints, opening: bool, progress: Progress) -> None:
        reach = self._siting.reach
        assert reach is not None
        motion = order(step, here, end, reach, self._sight.tooltip_mm)
        try:
            await self._mover.move(motion, progress)
        except ApiRefused as refused:
            if not (opening and refused.error == "robot_not_idle"):
                raise
            await self._fingers(self._gripper().opened)  # a robot that calls itself busy while they move; nothing moved
            await self._mover.move(motion, progress)
        if isinstance(step, Travel):
            await self._mover.correct(step, reach, progress)

    async def _standing_look(self) -> Look:
        client = self._sight.linked().client
        with anyio.move_on_after(STANDSTILL_S):
            return await self._sight.stands(client, looks=1)  # no motion of ours can come any more
        raise Interrupted("not-reached", "the arm was not seen to stand")

    # --- the gripper --------------------------------------------------------------------------------------------------

    async def _grip(self, step: Step, progress: Progress) -> Ending | None:
        """One gripper step, to its end. Returns code and reason when it ends the plan."""
        if isinstance(step, Open):
            await self._begin_opening(step, progress)
            await self._fingers(self._gripper().opened)
            return None
        assert isinstance(step, Close | Verify)
        progress.sent = True
        gripper = self._gripper()
        reading = await self._fingers(
            lambda: gripper.close(step.width_mm) if isinstance(step, Close) else gripper.read()
        )
        return self._conduct.felt(step, reading.holding, reading.width_mm, progress)

    def _opens_on_the_way(self, step: Open, following: Sequence[Step]) -> bool:
        moves = bool(following) and isinstance(following[0], Travel | Straight | Park)
        return step.ahead and moves and not self._conduct.holding

    async def _begin_opening(self, step: Open, progress: Progress) -> None:
        progress.sent = True
        await self._fingers(lambda: self._gripper().begin_opening(step.width_mm))
        self._conduct.let_go()

    def _gripper(self) -> Gripper:
        gripper = self._sight.linked().gripper
        assert gripper is not None
        return gripper

    async def _fingers(self, act: Callable[[], Awaitable[T]]) -> T:
        try:
            return await act()
        except ArmRefused as refused:
            raise Interrupted("gripper", str(refused)) from refused

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        await self._conduct.stop()

    def _halt(self) -> SeeStanding:
        """The heart beats no more, and no further piece begins: both look at the mode."""
        return self._stopping.see_standing


def _motion_times(reach: Reach) -> MotionTime:
    return lambda step, start, end: motion_s(step, start, end, reach)

"""The driver of one RO1: `StandardBotsArm` is an `edgechess_robots.arm.Arm`.

Contract between its parts: `run` owns the connection and looks at the robot several times a second; an execution begins
one motion after the other and lets its heart beat. The heart is the dead-man's switch: whatever ends an execution early
(a stop, a failure, a lost link, an old look, a cancelled task, the death of this process) ends the beats, and the robot
ends the motion. It then holds the arm until `recover`, and motion is never sent again on a new connection.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Literal

import anyio
import anyio.abc

from edgechess_robots.arm import ArmState, CheckedPlan, Close, Open, Park, Plan, Report, Step, Straight, Travel, Verify
from edgechess_robots.body import Floats
from edgechess_robots.calibration import Calibration
from edgechess_robots.conduct import Conduct, Ending, Interrupted, MayClear, Progress, SeeStanding, Ways
from edgechess_robots.dobot.tcp import Connect
from edgechess_robots.errors import (
    ArmAlarm,
    ArmLost,
    ArmProtocolError,
    ArmRefused,
    ArmStopped,
    PlanRefused,
    RobotError,
)
from edgechess_robots.joint_planner import Reach, check_plan
from edgechess_robots.kinematics import RO1, Chain, Joints
from edgechess_robots.poses import Pose
from edgechess_robots.standard_bots import measured
from edgechess_robots.standard_bots.api_protocol import ApiBroken, ApiRefused, NotOffered
from edgechess_robots.standard_bots.client import Client, Site, Token
from edgechess_robots.standard_bots.grippers import Gripper, gripper_of
from edgechess_robots.standard_bots.heart import Heart, Waiting
from edgechess_robots.standard_bots.measured import Look
from edgechess_robots.standard_bots.orders import Order, motion_s, order, straight
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_robots.standard_bots.units import WrongUnit

GREET_S = 8.0  # the longest that a new connection may take to be answered and to show an arm that stands
READY_POLL_S = 0.3
CLOSE_LOOK_S = 0.05  # between looks while somebody waits for the arm to stand
LOOKS_STANDING = 2  # in a row: one may fall between two motions
STANDSTILL_S = 3.0  # 0.3 s until a missing beat counts, a second to brake from full speed, and looks to see it
NOT_REACHED_S = 1.0  # the motion is over, but the arm is elsewhere for so long: it ended early
MODEL_ERROR_MM = 30.0
"""A travel ends this much beside its target at most, for the chain is nominal: a real RO1 was 15 mm off (reference,
kinematics). What is beyond the tolerance is put right by a straight motion at the travel's own height."""
MODEL_ERROR_DEG = 2.0
SHOWN_DEG = 0.05  # a joint that turned less has not moved
LOST_CONTROL = frozenset({"api_control_required", "brakes_must_be_disengaged"})  # getting ready again puts it right

StopEnd = Literal["stands", "unseen", "lost"]
"""What became of a stop: seen to stand, not seen to stand, or the link is gone."""


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
        self.chain = chain
        self._connect = connect
        self._site = Site(settings.host, settings.robot_kind, token, settings.tls)
        self._calibration: Calibration | None = None
        self._reach: Reach | None = None
        if calibration is not None:
            self._adopt(calibration)
        ways = Ways(posture=self._posture, prepare=self._prepare, run=self._run, halt=self._halt, unready=LOST_CONTROL)
        self._conduct = Conduct(name, ways)
        self._client: Client | None = None
        self._gripper: Gripper | None = None
        self._controlled = True  # the release offers controlled motions, until it says that it does not
        self._tooltip_mm = settings.tooltip_mm or 0.0
        self._look: Look | None = None
        self._shown: Look | None = None

    # --- what is measured ---------------------------------------------------------------------------------------------

    @property
    def calibration(self) -> Calibration | None:
        return self._calibration

    def calibrate(self, calibration: Calibration) -> None:
        """From now on this is where the board is; plans checked before are void. Raises ArmStopped in motion."""
        if self._conduct.mode == "moving":
            raise ArmStopped("an arm in motion is not calibrated")
        self._adopt(calibration)

    def tip_in_base(self) -> Pose:
        """Where the fingertips are in the arm's base frame, for calibration. Raises ArmLost without a fresh look."""
        return measured.tip(self._fresh().flange, self._tip_in_flange())

    async def measure_tip(self) -> Pose:
        """Where the fingertips are in the base frame once the arm stands still, from looks newer than this call. For
        calibration: it waits for the link if there is none yet; the deadline is the caller's. Raises ArmLost."""
        await self._conduct.until_linked()
        client = self._linked_client()
        standing, before = 0, self._fresh().joints_deg
        while standing < LOOKS_STANDING:
            await anyio.sleep(self.settings.poll_s)
            now = await self._see(client)
            still = measured.farthest_deg(before, now.joints_deg) <= measured.STANDING_DEG_S * self.settings.poll_s
            standing, before = (standing + 1 if still else 0), now.joints_deg
        return self.tip_in_base()

    async def drag(self, on: bool) -> None:
        """Hand guiding is the robot's own: its wrist button, no request. Raises ArmRefused to say so."""
        word = "press" if on else "let go of"
        raise ArmRefused(f"arm {self.name}: an RO1 is guided by the button at its wrist: {word} it")

    def state(self) -> ArmState:
        now = self._look
        if now is None:
            return self._conduct.state((), None, parked=False, age_s=math.inf)
        tool = None
        if self._calibration is not None:
            tool = self._calibration.to_board(measured.tip(now.flange, self._tip_in_flange()))
        age_s = anyio.current_time() - now.at_s
        parked = self._parked(now)
        return self._conduct.state(now.joints_deg, tool, parked=parked, age_s=age_s, emergency=now.emergency)

    def states(self) -> AsyncIterator[ArmState]:
        return self._conduct.states(self.state)

    @property
    def stroke_mm(self) -> float:
        """Width between the fingers when they are fully open: see `Fingered`."""
        return self.settings.gripper_stroke_mm

    def outline(self) -> Floats | None:
        """Where the links are measured: see `Outlined`."""
        if self._reach is None or self._look is None:
            return None
        return self._reach.body.links_mm(self._look.joints_deg)

    def check(self, plan: Plan) -> CheckedPlan:
        """Raises PlanRefused, also without calibration or measured posture ("unreachable")."""
        if self._reach is None:
            raise PlanRefused("unreachable", f"arm {self.name} is not calibrated")
        try:
            start = self._fresh().joints_deg
        except ArmLost as lost:
            raise PlanRefused("unreachable", str(lost)) from None
        reach = self._reach
        return check_plan(plan, start, reach, lambda step, here, end: motion_s(step, here, end, reach))

    def _adopt(self, calibration: Calibration) -> None:
        self._calibration = calibration
        settings = self.settings
        self._reach = Reach(
            self.chain,
            calibration.board.matrix(),
            settings.tool_length_mm,
            settings.tool_yaw_deg,
            settings.park_joints_deg,
            settings.max_tool_speed_mm_s,
            settings.gripper_stroke_mm,
            settings.floor_mm,
        )

    def _tip_in_flange(self) -> Pose:
        return Pose(0.0, 0.0, self.settings.tool_length_mm, 0.0, 0.0, self.settings.tool_yaw_deg)

    def _parked(self, now: Look) -> bool:
        off = measured.farthest_deg(now.joints_deg, self.settings.park_joints_deg)
        return now.standing and off <= self.settings.parked_tolerance_deg

    def _fresh(self) -> Look:
        if self._look is None or self._conduct.mode == "offline":
            raise self._conduct.offline()
        return self._look

    # --- the link -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        await self._conduct.keep_linked(self._serve)

    async def _serve(self) -> bool:
        """One connection, until it fails. Returns whether it came up."""
        async with Client(self._connect, self._site) as client:
            if not await self._greet(client):
                return False
            code, reason = "link-lost", "the connection was closed"
            try:
                code, reason = await self._watch(client)
            finally:
                self._client = None
                self._conduct.unlinked(code, reason)
        return True

    async def _greet(self, client: Client) -> bool:
        """A new connection moves nothing. It waits until whatever may still run here ends, and measures where that left
        the arm: our own motions died with their heart, a blocking one is asked to end."""
        try:
            with anyio.fail_after(GREET_S):
                await client.health()
                await self._learn_tooltip(client)
                now = await self._see(client)
                if now.recovery.status == "RunningAdHocCommand":
                    await self._say_stop(client)
                standing = 0
                while standing < LOOKS_STANDING and not now.recovery.failed:
                    await anyio.sleep(CLOSE_LOOK_S)
                    now = await self._see(client)
                    standing = standing + 1 if now.standing or now.recovery.status in measured.GUIDED else 0
                    if now.recovery.status == "RoutineRunning":
                        break  # not ours: it is told when the arm is to be made ready
        except TimeoutError:
            return self._not_linked("link-lost", "the arm was not seen to stand after the connection")
        except WrongUnit as error:
            return self._not_linked("protocol", str(error))
        except RobotError as error:
            return self._not_linked("protocol" if isinstance(error, ArmProtocolError) else "link-lost", str(error))
        self._client = client
        self._gripper = None
        self._controlled = True
        self._linked(now)
        return True

    async def _learn_tooltip(self, client: Client) -> None:
        """How far the active tooltip is before the flange, unless it is set: from the robot, where it tells both."""
        if self.settings.tooltip_mm is not None:
            return
        try:
            flange = await client.flange()
        except NotOffered:
            return
        position = await client.position()
        self._tooltip_mm = measured.tooltip_mm(flange, position.tooltip)

    def _not_linked(self, code: str, reason: str) -> bool:
        self._conduct.not_linked(code, reason)
        return False

    def _linked(self, now: Look) -> None:
        """What happened while nobody looked is shown at once. An emergency stop holds the arm even after its release;
        another failure of an arm that was not in motion is for `ensure_ready` to judge."""
        trouble = measured.trouble(now.recovery)
        conduct = self._conduct
        if trouble is not None and now.recovery.failed and (conduct.held or trouble.code == "emergency-stop"):
            conduct.hold("linked-alarm", trouble.code, trouble.reason)
        else:
            conduct.linked()

    async def _watch(self, client: Client) -> tuple[str, str]:
        """Looks at the robot until it cannot be seen. Returns code and reason."""
        stale_s = self.settings.stale_s
        last = "no answer"
        while True:
            seen_s = self._look.at_s if self._look is not None else -math.inf
            with anyio.move_on_after(seen_s + stale_s - anyio.current_time()):
                try:
                    await self._see(client)
                except ApiRefused as refused:
                    if refused.error == "authorization_required":
                        return "link-lost", str(refused)
                    last = str(refused)
                except (ApiBroken, WrongUnit) as broken:
                    return "protocol", str(broken)
                except ArmLost as lost:
                    last = str(lost)
                await anyio.sleep(self.settings.poll_s)
                continue
            if self._look is not None and anyio.current_time() - self._look.at_s < stale_s:
                continue  # somebody else looked meanwhile
            return "stale-feedback", f"no state for {stale_s:g} s ({last})"

    async def _see(self, client: Client) -> Look:
        """One look. Raises ArmLost, ApiBroken, ApiRefused, WrongUnit."""
        asked_s = anyio.current_time()
        recovery = await client.recovery()  # first: an arm that is idle afterwards stands where it is measured next
        position = await client.position()
        before = self._look
        now = measured.look(before, asked_s, recovery, position, self._tooltip_mm)
        if before is None or now.at_s >= before.at_s:
            self._took(before, now)
        return now

    def _took(self, before: Look | None, now: Look) -> None:
        conduct, self._look = self._conduct, now
        if now.emergency and not (before is not None and before.emergency):
            conduct.stops += 1  # whoever gets the arm ready was told before that: their word counts no more
        conduct.measured()
        trouble = measured.trouble(now.recovery)
        if trouble is not None and conduct.mode == "idle" and trouble.code == "guided":
            conduct.step("unready")
        elif trouble is not None and (
            conduct.mode in ("idle", "moving") or (now.recovery.failed and conduct.mode == "stopped")
        ):
            conduct.hold("alarm", trouble.code, trouble.reason)  # the heart may have heard of it, and stopped, before
        if self._shown is None or _differs(now, self._shown):
            self._shown = now
            conduct.show()

    def _linked_client(self) -> Client:
        if self._client is None:
            raise self._conduct.offline()
        return self._client

    # --- getting ready ------------------------------------------------------------------------------------------------

    async def ensure_ready(self) -> None:
        await self._conduct.ensure_ready()

    async def recover(self, *, confirmed: bool) -> None:
        await self._conduct.recover(confirmed=confirmed)

    async def _prepare(self, stops: int, may_clear: MayClear) -> None:
        """Health, control, failure, brakes, gripper: the order of the reference. A stop in between raises ArmStopped."""
        client = self._linked_client()
        await self._started(client)
        await self._take_control(client)
        await self._clear(client, stops, may_clear)
        await self._healthy(client)
        self._unless_stopped_since(stops)
        await self._release_brakes(client)
        await self._learn_tooltip(client)
        gripper = gripper_of(client, self.settings)
        self._conduct.holding = await gripper.prepare()
        self._gripper = gripper
        now = await self._stands(client)
        self._unless_stopped_since(stops)
        self._linked_client()  # the link may have gone meanwhile
        trouble = measured.trouble(now.recovery)
        if trouble is not None:
            raise ArmAlarm(f"arm {self.name}: {trouble.reason}")
        self._check_model(now)

    async def _started(self, client: Client) -> None:
        while True:
            try:
                await client.health()
                return
            except ApiRefused as refused:
                if refused.error != "service_initializing":
                    raise
            await anyio.sleep(READY_POLL_S)

    async def _healthy(self, client: Client) -> None:
        """Asked after a failure was cleared: until then a robot may call its health an error for that alone."""
        health = await client.health()
        if health.health == "error":
            raise ArmRefused(f"arm {self.name}: the robot reports an error of its own health: look at its app")

    async def _take_control(self, client: Client) -> None:
        if await client.control_mode() == "api":
            return
        await client.take_control()
        mode = await client.control_mode()
        if mode != "api":
            raise ArmRefused(
                f"arm {self.name}: the robot stays in control mode {mode}: stop what runs there and close its editor"
            )

    async def _clear(self, client: Client, stops: int, may_clear: MayClear) -> None:
        """Out of a failure, where a person's word allows it. Waits for a recovery that is under way. The word is about
        the failure that was seen when it was given: another one needs another word."""
        asked = False
        seen = self._fresh().recovery.failure
        while True:
            self._unless_stopped_since(stops)
            now = await self._see(client)
            if now.recovery.failed:
                trouble = measured.trouble(now.recovery)
                words = trouble.reason if trouble is not None else "it failed"
                if now.emergency:
                    raise ArmStopped(f"arm {self.name}: an emergency stop is pressed ({words})")
                new = seen is not None and now.recovery.failure != seen
                if may_clear == "nothing" or asked or new:
                    raise ArmAlarm(f"arm {self.name}: {words}{' stays' if asked and not new else ''}")
                asked = True
                await self._ask_recovery(client)
            elif now.recovery.status == "RoutineRunning":
                raise ArmRefused(f"arm {self.name}: a routine runs on the robot: stop it in its app")
            elif now.recovery.status not in measured.BUSY:
                return
            await anyio.sleep(READY_POLL_S)

    async def _ask_recovery(self, client: Client) -> None:
        try:
            await client.recover()
        except ApiRefused as refused:
            raise ArmAlarm(f"arm {self.name}: {refused}") from refused

    async def _release_brakes(self, client: Client) -> None:
        if await client.brakes() == "disengaged":
            return
        await client.release_brakes()
        state = await client.brakes()
        if state != "disengaged":
            raise ArmRefused(f"arm {self.name}: the brakes stay {state}: is an emergency stop pressed?")

    async def _stands(self, client: Client) -> Look:
        """Looks that show the arm standing. The deadline is the caller's."""
        standing, now = 0, await self._see(client)
        while standing < LOOKS_STANDING:
            await anyio.sleep(CLOSE_LOOK_S)
            now = await self._see(client)
            standing = standing + 1 if now.standing else 0
        return now

    def _check_model(self, now: Look) -> None:
        """What the robot measures must be the arm that plans are checked with: its tooltip and its kind of arm."""
        off_mm, off_deg = measured.apart(now.flange, self.chain.forward(now.joints_deg))
        if off_mm > MODEL_ERROR_MM or off_deg > MODEL_ERROR_DEG:
            raise ArmRefused(
                f"arm {self.name}: the robot's tooltip is {off_mm:.0f} mm and {off_deg:.1f}° from where an RO1 with"
                f" a tooltip of {self._tooltip_mm:.0f} mm has it: choose the tooltip of the bare flange in the robot's"
                f" app, or set tooltip_mm to the length of the active one"
            )

    def _unless_stopped_since(self, stops: int) -> None:
        self._conduct.unless_stopped_since(stops, emergency=self._look is not None and self._look.emergency)

    # --- execution ----------------------------------------------------------------------------------------------------

    async def execute(self, plan: CheckedPlan, token: int) -> Report:
        return await self._conduct.execute(plan, token)

    def _posture(self) -> Joints | None:
        if self._gripper is None or self._reach is None or self._look is None:
            return None
        return self._look.joints_deg

    async def _run(self, plan: CheckedPlan, progress: Progress) -> Ending:
        try:
            return await self._steps(plan, progress)
        except ApiRefused as refused:
            if refused.error in LOST_CONTROL:
                raise Interrupted(refused.error, str(refused)) from refused
            raise
        except WrongUnit as broken:
            raise Interrupted("protocol", str(broken)) from broken

    async def _steps(self, plan: CheckedPlan, progress: Progress) -> Ending:
        reach = self._reach
        assert reach is not None
        here: Joints = plan.start_joints_deg
        for step, end in zip(plan.plan.steps, plan.joints_deg, strict=True):
            self._conduct.unless_interrupted()
            if isinstance(step, Travel | Straight | Park):
                assert end is not None
                await self._move(order(step, here, end, reach, self._tooltip_mm), progress)
                if isinstance(step, Travel):
                    await self._correct(step, reach, progress)
                here = end
            else:
                failure = await self._grip(step, progress)
                if failure is not None:
                    return failure
            progress.completed += 1
        if isinstance(plan.plan.steps[-1], Park) and not self._parked(await self._standing_look()):
            raise Interrupted("not-parked", f"arm {self.name} was not measured at its parking posture")
        return "done", "every step was reached and measured"

    async def _correct(self, step: Travel, reach: Reach, progress: Progress) -> None:
        """A travel goes where the nominal chain has its target; a straight motion takes the real arm the rest."""
        wanted = reach.flange(step.target)
        off_mm, off_deg = measured.apart(self._fresh().flange, wanted)
        if off_mm <= self.settings.tolerance_mm and off_deg <= self.settings.tolerance_deg:
            return
        if off_mm > MODEL_ERROR_MM or off_deg > MODEL_ERROR_DEG:
            raise Interrupted("not-reached", f"a travel ended {off_mm:.0f} mm and {off_deg:.1f}° beside its target")
        duration_s = off_mm / step.speed_mm_s + self.settings.deadline_grace_s
        await self._move(straight(wanted, step.speed_mm_s, duration_s, self._tooltip_mm), progress)

    async def _move(self, motion: Order, progress: Progress) -> None:
        """One motion, until it is measured to be over."""
        settings = self.settings
        limit_s = motion.duration_s * settings.deadline_factor + settings.deadline_grace_s
        before, progress.sent = progress.sent, True
        try:
            with anyio.fail_after(limit_s):
                if not (self._controlled and await self._with_heart(motion)):
                    await self._without_heart(motion, limit_s)
        except TimeoutError:
            raise Interrupted("deadline", f"a motion of {motion.duration_s:.1f} s took {limit_s:.1f} s") from None
        except ApiRefused as refused:
            if refused.status < 500 or refused.error == "service_initializing":
                progress.sent = before  # the robot says that it did nothing
            raise
        await self._arrive(motion)

    async def _with_heart(self, motion: Order) -> bool:
        """Returns False where this release has no controlled motions: then nothing moved."""
        client = self._linked_client()
        try:
            begun = await client.begin(motion.move)
        except NotOffered:
            self._controlled = False
            return False
        heart = Heart(client, begun, self.settings.beat_s)
        async with anyio.create_task_group() as group:
            group.start_soon(heart.beat, name=f"{self.name} heart")
            while not heart.over and self._conduct.mode == "moving":
                await self._either(heart.heard, self._conduct.news)
            group.cancel_scope.cancel()
        self._conduct.unless_interrupted()
        heart.judge()
        return True

    async def _without_heart(self, motion: Order, limit_s: float) -> None:
        """The blocking motion of older releases: nothing here can end it but the robot, so a stop asks the robot."""
        client = self._linked_client()
        waiting = Waiting()
        async with anyio.create_task_group() as group:
            group.start_soon(waiting.wait, client, motion, limit_s, name=f"{self.name} motion")
            while not waiting.over.is_set() and self._conduct.mode == "moving":
                await self._either(waiting.over, self._conduct.news)
            group.cancel_scope.cancel()
        self._conduct.unless_interrupted()
        waiting.judge()

    async def _either(self, one: anyio.Event, other: anyio.Event) -> None:
        """Until one of them is set."""
        async with anyio.create_task_group() as group:

            async def wait(event: anyio.Event) -> None:
                await event.wait()
                group.cancel_scope.cancel()

            group.start_soon(wait, one)
            group.start_soon(wait, other)

    async def _arrive(self, motion: Order) -> None:
        """Measured where it was sent, standing."""
        client = self._linked_client()
        limit_s = anyio.current_time() + NOT_REACHED_S
        while True:
            now = await self._see(client)
            self._conduct.unless_interrupted()
            if now.recovery.status not in measured.BUSY and self._reached(motion, now):
                return
            if anyio.current_time() > limit_s:
                raise Interrupted("not-reached", "the robot says that it is there, but it is not where it was sent")
            await anyio.sleep(CLOSE_LOOK_S)

    def _reached(self, motion: Order, now: Look) -> bool:
        settings = self.settings
        if motion.joints_deg is not None:
            return measured.farthest_deg(now.joints_deg, motion.joints_deg) <= settings.tolerance_deg
        assert motion.flange is not None
        off_mm, off_deg = measured.apart(now.flange, motion.flange)
        return off_mm <= settings.tolerance_mm and off_deg <= settings.tolerance_deg

    async def _standing_look(self) -> Look:
        client = self._linked_client()
        with anyio.move_on_after(STANDSTILL_S):
            return await self._stands(client)
        raise Interrupted("not-reached", "the arm was not seen to stand")

    async def _grip(self, step: Step, progress: Progress) -> Ending | None:
        """One gripper step. Returns code and reason when it ends the plan."""
        progress.sent = True
        gripper = self._gripper
        assert gripper is not None
        try:
            if isinstance(step, Open):
                await gripper.open(step.width_mm)
                self._conduct.let_go()
                return None
            assert isinstance(step, Close | Verify)
            reading = await (gripper.close(step.width_mm) if isinstance(step, Close) else gripper.read())
        except ArmRefused as refused:
            raise Interrupted("gripper", str(refused)) from refused
        return self._conduct.felt(step, reading.holding, reading.width_mm, progress)

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        await self._conduct.stop()

    def _halt(self) -> SeeStanding:
        """The heart beats no more: it looks at the mode."""
        return self._see_standing

    async def _see_standing(self) -> None:
        """The robot is told, and looked at until the arm stands; if it does not, its power is cut where that is allowed."""
        end, cure = await self._stood(), ": press its emergency stop"
        if end == "unseen" and self.settings.emergency_stop_as_last_resort:
            end, cure = await self._stood_without_power(), ", nor after its power was cut"
        if end == "lost":
            raise ArmLost(f"stop not confirmed: {self._conduct.offline()}")
        if end == "unseen":
            raise ArmRefused(f"stop not confirmed: arm {self.name} was not seen to stand{cure}")

    async def _stood(self) -> StopEnd:
        client = self._client
        if client is None:
            return "lost"
        await self._say_stop(client)
        return await self._stands_soon(client)

    async def _stood_without_power(self) -> StopEnd:
        client = self._linked_client()
        self._conduct.last_resort = "its power was cut, for it was not seen to stand after a stop"
        try:
            await client.emergency_stop(f"arm {self.name} was not seen to stand after a stop")
        except RobotError:
            return "unseen" if self._client is not None else "lost"
        return await self._stands_soon(client)

    async def _stands_soon(self, client: Client) -> StopEnd:
        with anyio.move_on_after(STANDSTILL_S):
            while self._client is client:
                try:
                    await self._stands(client)
                    return "stands"
                except (RobotError, WrongUnit):
                    await anyio.sleep(CLOSE_LOOK_S)  # one lost answer is not a lost arm
            return "lost"
        return "unseen" if self._client is client else "lost"

    async def _say_stop(self, client: Client) -> None:
        """The only stop that the API has ends routines and "all ongoing motions"; without a routine it may refuse."""
        try:
            await client.stop_routine()
        except RobotError:
            return  # what counts is whether the arm is seen to stand


def _differs(a: Look, b: Look) -> bool:
    """Whether somebody who looks at the arm would see a difference."""
    return (
        a.recovery.status != b.recovery.status
        or a.emergency != b.emergency
        or a.standing != b.standing
        or measured.farthest_deg(a.joints_deg, b.joints_deg) > SHOWN_DEG
    )

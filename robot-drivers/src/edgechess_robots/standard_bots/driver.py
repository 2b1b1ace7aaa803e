"""The driver of one RO1: `StandardBotsArm` is an `edgechess_robots.arm.Arm`.

Contract between its parts: `run` owns the connection and looks at the robot several times a second; an execution begins
one motion after the other and lets its heart beat. The heart is the dead-man's switch: whatever ends an execution early
(a stop, a failure, a lost link, an old look, a cancelled task, the death of this process) ends the beats, and the robot
ends the motion. It then holds the arm until `recover`, and motion is never sent again on a new connection.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import AsyncIterator
from typing import Literal

import anyio
import anyio.abc

from edgechess_robots.arm import (
    ArmState,
    CheckedPlan,
    Close,
    Grasp,
    Mode,
    Open,
    Outcome,
    Park,
    Plan,
    Report,
    Step,
    Straight,
    Travel,
    Verify,
)
from edgechess_robots.body import Floats
from edgechess_robots.calibration import Calibration
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
from edgechess_robots.standard_bots import api_protocol as api
from edgechess_robots.standard_bots import measured
from edgechess_robots.standard_bots.api_protocol import ApiBroken, ApiRefused, Motion, NotOffered
from edgechess_robots.standard_bots.client import Client, Site, Token
from edgechess_robots.standard_bots.grippers import Gripper, gripper_of
from edgechess_robots.standard_bots.measured import Look
from edgechess_robots.standard_bots.orders import Order, motion_s, order, straight
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_robots.standard_bots.units import WrongUnit
from edgechess_robots.states import Event, after

LINK_WAIT_S = 10.0  # how long `ensure_ready` waits for a link: two attempts to connect
GREET_S = 8.0  # the longest that a new connection may take to be answered and to show an arm that stands
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 5.0)  # between attempts to connect
READY_TIMEOUT_S = 60.0  # everything from a robot that boots to brakes released
READY_POLL_S = 0.3
CLOSE_LOOK_S = 0.05  # between looks while somebody waits for the arm to stand
LOOKS_STANDING = 2  # in a row: one may fall between two motions
STANDSTILL_S = 3.0  # 0.3 s until a missing beat counts, a second to brake from full speed, and looks to see it
NOT_REACHED_S = 1.0  # the motion is over, but the arm is elsewhere for so long: it ended early
START_TOLERANCE_DEG = 0.5  # a plan is valid from the posture it was checked from
MODEL_ERROR_MM = 30.0
"""A travel ends this much beside its target at most, for the chain is nominal: a real RO1 was 15 mm off (reference,
kinematics). What is beyond the tolerance is put right by a straight motion at the travel's own height."""
MODEL_ERROR_DEG = 2.0
STATE_INTERVAL_S = 0.25  # of `states()`, for what only moves
SHOWN_DEG = 0.05  # a joint that turned less has not moved
LOST_CONTROL = frozenset({"api_control_required", "brakes_must_be_disengaged"})  # getting ready again puts it right

MayClear = Literal["nothing", "everything"]
StopEnd = Literal["stands", "unseen", "lost"]
"""What became of a stop: seen to stand, not seen to stand, or the link is gone."""


@dataclasses.dataclass(slots=True)
class _Progress:
    """How far an execution came; what its report is made of."""

    completed: int = 0
    grasps: list[Grasp] = dataclasses.field(default_factory=list)
    sent: bool = False


class _Interrupted(Exception):
    """An execution cannot go on. Never leaves this module."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


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
        self._mode: Mode = "offline"
        self._held = False
        self._why = ("link-lost", "the arm was never connected")
        self._alarm: str | None = None
        self._stops = 0
        self._cut_power = False  # we pressed the emergency stop: only a person's word undoes that
        self._newest_token: int | None = None
        self._client: Client | None = None
        self._gripper: Gripper | None = None
        self._controlled = True  # the release offers controlled motions, until it says that it does not
        self._tooltip_mm = settings.tooltip_mm or 0.0
        self._holding: bool | None = None
        self._look: Look | None = None
        self._shown: Look | None = None
        self._looked = anyio.Event()
        self._change = anyio.Event()
        self._procedure = anyio.Lock()

    # --- what is measured ---------------------------------------------------------------------------------------------

    @property
    def calibration(self) -> Calibration | None:
        return self._calibration

    def calibrate(self, calibration: Calibration) -> None:
        """From now on this is where the board is; plans checked before are void. Raises ArmStopped in motion."""
        if self._mode == "moving":
            raise ArmStopped("an arm in motion is not calibrated")
        self._adopt(calibration)

    def tip_in_base(self) -> Pose:
        """Where the fingertips are in the arm's base frame, for calibration. Raises ArmLost without a fresh look."""
        return measured.tip(self._fresh().flange, self._tip_in_flange())

    async def measure_tip(self) -> Pose:
        """Where the fingertips are in the base frame once the arm stands still, from looks newer than this call. For
        calibration: it waits for the link if there is none yet; the deadline is the caller's. Raises ArmLost."""
        while self._mode == "offline":
            await self._looked.wait()
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
            return ArmState(self._mode, (), None, False, self._holding, self._alarm, math.inf)
        tool = None
        if self._calibration is not None:
            tool = self._calibration.to_board(measured.tip(now.flange, self._tip_in_flange()))
        age_s = anyio.current_time() - now.at_s
        parked = self._parked(now)
        return ArmState(self._mode, now.joints_deg, tool, parked, self._holding, self._alarm, age_s, now.emergency)

    async def states(self) -> AsyncIterator[ArmState]:
        while True:
            yield self.state()
            await anyio.sleep(STATE_INTERVAL_S)
            await self._change.wait()
            self._change = anyio.Event()

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
        if self._look is None or self._mode == "offline":
            raise ArmLost(f"arm {self.name} is offline: {self._why[1]}")
        return self._look

    # --- the link -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        attempt = 0
        while True:
            linked = await self._serve()
            attempt = 0 if linked else attempt + 1
            await anyio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])

    async def _serve(self) -> bool:
        """One connection, until it fails. Returns whether it came up."""
        async with Client(self._connect, self._site) as client:
            if not await self._greet(client):
                return False
            code, reason = "link-lost", "the connection was closed"
            try:
                code, reason = await self._watch(client)
            finally:
                self._unlink(code, reason)
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
        if not self._held:
            self._why = (code, reason)
        return False

    def _linked(self, now: Look) -> None:
        """What happened while nobody looked is shown at once. An emergency stop holds the arm even after its release;
        another failure of an arm that was not in motion is for `ensure_ready` to judge."""
        trouble = measured.trouble(now.recovery)
        if trouble is not None and now.recovery.failed and (self._held or trouble.code == "emergency-stop"):
            self._hold("linked-alarm", trouble.code, trouble.reason)
        else:
            self._step("linked-held" if self._held else "linked")

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

    def _unlink(self, code: str, reason: str) -> None:
        if self._mode == "moving":
            self._held = True
        if self._mode == "moving" or not self._held:
            self._why = (code, reason)
        self._client = None
        self._step("lost")

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
        self._look = now
        if now.emergency and not (before is not None and before.emergency):
            self._stops += 1  # whoever gets the arm ready was told before that: their word counts no more
        self._looked.set()
        self._looked = anyio.Event()
        trouble = measured.trouble(now.recovery)
        if trouble is not None and self._mode == "idle" and trouble.code == "guided":
            self._step("unready")
        elif trouble is not None and (
            self._mode in ("idle", "moving") or (now.recovery.failed and self._mode == "stopped")
        ):
            self._hold("alarm", trouble.code, trouble.reason)  # the heart may have heard of it, and stopped, before
        if self._shown is None or _differs(now, self._shown):
            self._shown = now
            self._change.set()

    def _step(self, event: Event) -> None:
        before, self._mode = self._mode, after(self._mode, event)
        if before != self._mode:
            self._looked.set()  # whoever waits for a look must see the mode first
            self._looked = anyio.Event()
            self._change.set()

    def _hold(self, event: Event, code: str, reason: str) -> None:
        """Nothing moves from here on until `recover`."""
        self._held = True
        self._why = (code, reason)
        if event in ("alarm", "linked-alarm"):
            self._alarm = reason
        self._step(event)

    def _linked_client(self) -> Client:
        if self._client is None:
            raise ArmLost(f"arm {self.name} is offline: {self._why[1]}")
        return self._client

    # --- getting ready ------------------------------------------------------------------------------------------------

    async def ensure_ready(self) -> None:
        async with self._procedure:
            await self._until_linked()
            if self._held:
                raise ArmStopped(f"arm {self.name} is held ({self._why[1]}): recover it first")
            if self._mode in ("idle", "moving"):
                return
            try:
                await self._prepare(self._stops, "nothing")
            except (ArmAlarm, ArmStopped) as alarm:
                if self._mode == "starting":
                    self._hold("alarm", "alarm", str(alarm))
                raise
            self._step("ready")

    async def recover(self, *, confirmed: bool) -> None:
        async with self._procedure:
            await self._until_linked()
            if self._mode in ("idle", "moving"):
                return
            stops = self._stops
            if not confirmed and (self._cut_power or self._alarm is not None):
                why = self._alarm or "its power was cut, for it was not seen to stand after a stop"
                raise ArmAlarm(f"arm {self.name}: {why}: a person must look first")
            try:
                await self._prepare(stops, "everything" if confirmed else "nothing")
            except (ArmAlarm, ArmStopped) as alarm:
                if self._stops == stops and self._mode != "offline":
                    self._hold("alarm", "alarm", str(alarm))
                raise
            self._held = self._cut_power = False
            self._alarm = None
            self._step("ready" if self._mode == "starting" else "recovered")

    async def _until_linked(self) -> None:
        try:
            with anyio.fail_after(LINK_WAIT_S):
                while self._mode == "offline":
                    await self._looked.wait()
        except TimeoutError:
            raise ArmLost(f"arm {self.name} is offline: {self._why[1]}") from None

    async def _prepare(self, stops: int, may_clear: MayClear) -> None:
        """Health, control, failure, brakes, gripper: the order of the reference. A stop in between raises ArmStopped."""
        client = self._linked_client()
        try:
            with anyio.fail_after(READY_TIMEOUT_S):
                await self._started(client)
                await self._take_control(client)
                await self._clear(client, stops, may_clear)
                await self._healthy(client)
                self._unless_stopped_since(stops)
                await self._release_brakes(client)
                await self._learn_tooltip(client)
                gripper = gripper_of(client, self.settings)
                self._holding = await gripper.prepare()
                self._gripper = gripper
                now = await self._stands(client)
        except TimeoutError:
            raise ArmRefused(f"arm {self.name} did not get ready within {READY_TIMEOUT_S:.0f} s") from None
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
        if self._stops == stops:
            return
        if self._look is not None and self._look.emergency:
            raise ArmStopped(f"arm {self.name}: an emergency stop is pressed")
        raise ArmStopped(f"arm {self.name} was stopped while it got ready")

    # --- execution ----------------------------------------------------------------------------------------------------

    async def execute(self, plan: CheckedPlan, token: int) -> Report:
        began = anyio.current_time()
        self._admit(token)
        refusal = self._unfit(plan)
        if refusal is not None:
            return Report("refused", *refusal, 0, (), 0.0)
        progress = _Progress()
        ended = False
        self._why = ("stopped", "interrupted")
        self._step("begin")
        try:
            code, reason = await self._perform(plan, progress)
            ended = True
        finally:
            if not ended:  # the task was cancelled, or we have a defect: either way the arm stops first
                self._order_stop("stopped", "the task that moved the arm was cancelled")
                with anyio.CancelScope(shield=True):
                    await self._see_standing()
        if self._mode == "moving":
            self._step("end")
            if code in LOST_CONTROL:
                self._step("unready")
        outcome: Outcome = "done" if code == "done" else "unknown" if progress.sent else "refused"
        took = anyio.current_time() - began
        return Report(outcome, code, reason, progress.completed, tuple(progress.grasps), took)

    def _admit(self, token: int) -> None:
        if self._newest_token is not None and token < self._newest_token:
            raise PlanRefused("stale-token", f"lease {token} is older than {self._newest_token}")
        self._newest_token = token
        if self._held:
            raise ArmStopped(f"arm {self.name} is held ({self._why[1]}): recover it first")

    def _unfit(self, plan: CheckedPlan) -> tuple[str, str] | None:
        if self._mode == "moving":
            return "busy", f"arm {self.name} is executing another plan"
        if self._mode != "idle" or self._gripper is None or self._reach is None or self._look is None:
            return "not-ready", f"arm {self.name} is {self._mode}"
        off = measured.farthest_deg(self._look.joints_deg, plan.start_joints_deg)
        if off > START_TOLERANCE_DEG:
            return "moved-since-check", f"a joint is {off:.1f}° from where the plan was checked from"
        return None

    async def _perform(self, plan: CheckedPlan, progress: _Progress) -> tuple[str, str]:
        """Code and reason of the report. A failure that leaves motion behind stops the arm before it is told."""
        try:
            return await self._steps(plan, progress)
        except _Interrupted as interruption:
            code, reason = interruption.code, str(interruption)
        except ArmLost as lost:
            code, reason = "link-lost", str(lost)
        except ApiRefused as refused:
            code = refused.error if refused.error in LOST_CONTROL else "controller-refused"
            reason = str(refused)
        except (ArmProtocolError, WrongUnit) as broken:
            code, reason = "protocol", str(broken)
        if self._mode != "moving":
            code, reason = self._why  # what ended the motion, rather than how we noticed
        if progress.sent:
            self._order_stop(code, reason)
            await self._see_standing()
        return code, reason

    async def _steps(self, plan: CheckedPlan, progress: _Progress) -> tuple[str, str]:
        reach = self._reach
        assert reach is not None
        here: Joints = plan.start_joints_deg
        for step, end in zip(plan.plan.steps, plan.joints_deg, strict=True):
            self._unless_interrupted()
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
            raise _Interrupted("not-parked", f"arm {self.name} was not measured at its parking posture")
        return "done", "every step was reached and measured"

    async def _correct(self, step: Travel, reach: Reach, progress: _Progress) -> None:
        """A travel goes where the nominal chain has its target; a straight motion takes the real arm the rest."""
        wanted = reach.flange(step.target)
        off_mm, off_deg = measured.apart(self._fresh().flange, wanted)
        if off_mm <= self.settings.tolerance_mm and off_deg <= self.settings.tolerance_deg:
            return
        if off_mm > MODEL_ERROR_MM or off_deg > MODEL_ERROR_DEG:
            raise _Interrupted("not-reached", f"a travel ended {off_mm:.0f} mm and {off_deg:.1f}° beside its target")
        duration_s = off_mm / step.speed_mm_s + self.settings.deadline_grace_s
        await self._move(straight(wanted, step.speed_mm_s, duration_s, self._tooltip_mm), progress)

    async def _move(self, motion: Order, progress: _Progress) -> None:
        """One motion, until it is measured to be over."""
        settings = self.settings
        limit_s = motion.duration_s * settings.deadline_factor + settings.deadline_grace_s
        before, progress.sent = progress.sent, True
        try:
            with anyio.fail_after(limit_s):
                if not (self._controlled and await self._with_heart(motion)):
                    await self._without_heart(motion, limit_s)
        except TimeoutError:
            raise _Interrupted("deadline", f"a motion of {motion.duration_s:.1f} s took {limit_s:.1f} s") from None
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
        heart = _Heart(client, begun, self.settings.beat_s)
        async with anyio.create_task_group() as group:
            group.start_soon(heart.beat, name=f"{self.name} heart")
            while not heart.over and self._mode == "moving":
                await self._either(heart.heard, self._looked)
            group.cancel_scope.cancel()
        self._unless_interrupted()
        heart.judge()
        return True

    async def _without_heart(self, motion: Order, limit_s: float) -> None:
        """The blocking motion of older releases: nothing here can end it but the robot, so a stop asks the robot."""
        client = self._linked_client()
        waiting = _Waiting()
        async with anyio.create_task_group() as group:
            group.start_soon(waiting.wait, client, motion, limit_s, name=f"{self.name} motion")
            while not waiting.over.is_set() and self._mode == "moving":
                await self._either(waiting.over, self._looked)
            group.cancel_scope.cancel()
        self._unless_interrupted()
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
            self._unless_interrupted()
            if now.recovery.status not in measured.BUSY and self._reached(motion, now):
                return
            if anyio.current_time() > limit_s:
                raise _Interrupted("not-reached", "the robot says that it is there, but it is not where it was sent")
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
        raise _Interrupted("not-reached", "the arm was not seen to stand")

    def _unless_interrupted(self) -> None:
        if self._mode != "moving":
            raise _Interrupted(*self._why)

    async def _grip(self, step: Step, progress: _Progress) -> tuple[str, str] | None:
        """One gripper step. Returns code and reason when it ends the plan."""
        progress.sent = True
        gripper = self._gripper
        assert gripper is not None
        try:
            if isinstance(step, Open):
                await gripper.open(step.width_mm)
                self._holding = False
                self._change.set()
                return None
            assert isinstance(step, Close | Verify)
            reading = await (gripper.close(step.width_mm) if isinstance(step, Close) else gripper.read())
        except ArmRefused as refused:
            raise _Interrupted("gripper", str(refused)) from refused
        self._holding = reading.holding
        progress.grasps.append(Grasp(step.label, reading.holding, reading.width_mm))
        self._change.set()
        self._unless_interrupted()
        if reading.holding is not False:
            return None
        if isinstance(step, Close):
            return "missed-grasp", f"the fingers closed on nothing at {step.label}"
        return "lost-piece", f"the fingers hold nothing any more at {step.label}"

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        self._order_stop("stopped", "stopped")
        with anyio.CancelScope(shield=True):
            end = await self._see_standing()
        if end == "lost":
            raise ArmLost(f"stop not confirmed: arm {self.name} is offline ({self._why[1]})")
        if end == "unseen":
            raise ArmRefused(
                f"stop not confirmed: arm {self.name} was not seen to stand: press its emergency stop"
                if not self._cut_power
                else f"stop not confirmed: arm {self.name} was not seen to stand, nor after its power was cut"
            )

    def _order_stop(self, code: str, reason: str) -> None:
        """From here on the heart beats no more: no cancellation can come between."""
        self._stops += 1
        if self._mode == "moving" or not self._held:
            self._why = (code, reason)
        self._held = True
        self._step("stop")

    async def _see_standing(self) -> StopEnd:
        """The robot is told, and looked at until the arm stands; if it does not, its power is cut where that is allowed."""
        client = self._client
        if client is None:
            return "lost"
        await self._say_stop(client)
        end = await self._stands_soon(client)
        if end != "unseen" or not self.settings.emergency_stop_as_last_resort:
            return end
        self._cut_power = True
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


class _Heart:
    """Beats for one controlled motion, without waiting for answers: a slow one must not stop the arm."""

    def __init__(self, client: Client, begun: Motion, beat_s: float) -> None:
        self._client = client
        self._id = begun.id
        self._beat_s = beat_s
        self._newest = begun
        self._sent = self._answered = 0
        self._failure: RobotError | None = None
        self.heard = anyio.Event()

    @property
    def over(self) -> bool:
        return self._failure is not None or not self._newest.active or self._newest.failed

    async def beat(self) -> None:
        async with anyio.create_task_group() as group:
            while not self.over:
                await anyio.sleep(self._beat_s)
                self._sent += 1
                group.start_soon(self._once, self._sent)

    async def _once(self, number: int) -> None:
        try:
            told = await self._client.beat(self._id)
        except ArmLost:
            return  # the next one may arrive; the robot ends the motion if none does, and the look says so
        except RobotError as error:
            if not self.over:
                self._failure = error
        else:
            if number > self._answered and not self.over:
                self._answered, self._newest = number, told
        self.heard.set()
        self.heard = anyio.Event()

    def judge(self) -> None:
        """Raises _Interrupted unless the motion ended as it should."""
        if self._failure is not None:
            raise _Interrupted("motion-failed", f"the robot would not go on: {self._failure}")
        if not self._newest.done:
            raise _ended_badly(self._newest.event)


class _Waiting:
    """Waits for the answer of one blocking motion."""

    def __init__(self) -> None:
        self._end: api.Event | RobotError | None = None
        self.over = anyio.Event()

    async def wait(self, client: Client, motion: Order, limit_s: float) -> None:
        try:
            self._end = await client.move(motion.move, limit_s)
        except RobotError as error:
            self._end = error
        self.over.set()

    def judge(self) -> None:
        """Raises _Interrupted unless the motion ended as it should, or what the call raised."""
        assert self._end is not None
        if isinstance(self._end, RobotError):
            raise self._end
        if self._end.kind not in api.ENDED_WELL:
            raise _ended_badly(self._end)


def _ended_badly(event: api.Event) -> _Interrupted:
    return _Interrupted("motion-failed", f"the robot ended a motion with {event.kind}: {event.reason or 'no reason'}")


def _differs(a: Look, b: Look) -> bool:
    """Whether somebody who looks at the arm would see a difference."""
    return (
        a.recovery.status != b.recovery.status
        or a.emergency != b.emergency
        or a.standing != b.standing
        or measured.farthest_deg(a.joints_deg, b.joints_deg) > SHOWN_DEG
    )

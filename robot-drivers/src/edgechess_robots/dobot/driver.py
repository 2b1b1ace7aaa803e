"""The driver of one Dobot V4 arm: `DobotArm` is an `edgechess_robots.arm.Arm`.

Contract between its parts: `run` owns both sockets (one task each); everything else submits commands to the command link
and reads what the feedback link measured. Whatever ends motion early (a stop, an alarm, a lost link, a stale frame, a
cancelled task) holds the arm until `recover`, and motion is never sent again on a new link.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from typing import Literal

import anyio
import anyio.abc

from edgechess_robots.arm import ArmState, CheckedPlan, Close, Open, Park, Plan, Report, Step, Verify
from edgechess_robots.body import Floats
from edgechess_robots.calibration import Calibration
from edgechess_robots.conduct import Conduct, Ending, Interrupted, MayClear, Progress, SeeStanding, Ways
from edgechess_robots.dobot import done, planner, protocol
from edgechess_robots.dobot.dead_man import DeadMan
from edgechess_robots.dobot.frame_protocol import Frame, FrameSplitter
from edgechess_robots.dobot.gripper import Gripper
from edgechess_robots.dobot.gripper_protocol import GripState
from edgechess_robots.dobot.link import CommandLink, Pending
from edgechess_robots.dobot.planner import Geometry, Segment
from edgechess_robots.dobot.protocol import Command, NotTcpMode, Reply, RobotMode
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.dobot.tcp import Connect
from edgechess_robots.errors import (
    ArmAlarm,
    ArmLost,
    ArmProtocolError,
    ArmRefused,
    ArmStopped,
    RobotError,
)
from edgechess_robots.gradual import Gradual, at_once
from edgechess_robots.kinematics import CR10A, Chain, Joints
from edgechess_robots.poses import Pose
from edgechess_robots.siting import Siting

CONNECT_TIMEOUT_S = 5.0  # a controller in the same room answers in milliseconds, one that boots in none
FIRST_FRAME_S = 3.0  # of a new feedback link: the slowest documented period is one second
COMMAND_TIMEOUT_S = 2.0  # immediate commands answer in milliseconds; a busy controller was seen to take one second
POWER_ON_TIMEOUT_S = 15.0  # PowerOn takes about ten seconds (reference section 6)
ENABLE_TIMEOUT_S = 10.0  # brakes release in two or three
MODE_POLL_S = 0.2
STOP_REPLY_S = 1.0  # a Stop that is not acknowledged in a second is not believed
STANDSTILL_S = 2.0  # 250 mm/s ends in half a second; then the emergency stop is pressed
BURST_S = 0.02  # our own scheduler was late, not the frame: what lies in the socket is read before it is called stale
MOTIONS_AHEAD = 2  # commands in the controller's queue: the next one waits there, a lost link leaves one more at most
SHOWN_DEG = 0.05  # a joint that turned less has not moved
FEEDBACK_BYTES = 65_536

NO_CONNECTION_CURE = "is that the controller's address, is it switched on, and in a network that this machine reaches?"
NOT_TCP_MODE = (
    "the controller is not in TCP mode: choose TCP/IP control in its app, or disable the arm there, so that it lets itself"
    " be switched over"
)

StopEnd = Literal["stands", "unseen", "lost"]
"""What became of a stop: seen to stand, not seen to stand, or the link is gone."""


@dataclasses.dataclass(slots=True)
class _Flight:
    """One motion in the controller's queue."""

    segment: Segment
    command_id: int | None


class _Blind(ArmLost):
    """The link is there, but shows no state of the arm."""


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
        self._connect = connect
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
        self._unstopped = False  # a motion was commanded, and neither its end nor an answered Stop was seen
        self._flight: deque[_Flight] = deque()  # of the execution under way
        self._link: CommandLink | None = None
        self._gripper: Gripper | None = None
        self._frame: Frame | None = None
        self._frame_at = -math.inf
        self._shown: Frame | None = None
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
        return self._siting.tip(Pose(*self._fresh_frame().tool_actual).matrix())

    async def measure_tip(self) -> Pose:
        """Where the fingertips are in the base frame once the arm stands still, from frames that are newer than this
        call. For calibration: it waits for the link if there is none yet; the deadline is the caller's. Raises ArmLost.
        """
        await self._conduct.until_linked()
        frame, standing = self._frame, 0
        while standing < done.CONSECUTIVE_FRAMES:
            frame = await self._after_or_lost(frame)
            standing = standing + 1 if frame is not None and done.standing(frame) else 0
        return self.tip_in_base()

    def state(self) -> ArmState:
        return dataclasses.replace(self._measured_state(), dead_man=self._dead_man.present)

    def _measured_state(self) -> ArmState:
        frame = self._frame
        if frame is None:
            return self._conduct.state((), None, parked=False, age_s=math.inf)
        if self._read_off is None or self._read_off[0] is not frame:
            tool = self._siting.tool(Pose(*frame.tool_actual).matrix())
            self._read_off = (frame, tool, self._parked(frame))
        _, tool, parked = self._read_off
        age_s = anyio.current_time() - self._frame_at
        return self._conduct.state(frame.q_actual_deg, tool, parked=parked, age_s=age_s, emergency=_pressed(frame))

    def states(self) -> AsyncIterator[ArmState]:
        return self._conduct.states(self.state, self.settings.state_interval_s)

    def check(self, plan: Plan) -> CheckedPlan:
        """Raises PlanRefused, also without calibration or measured posture ("unreachable")."""
        return at_once(self.checking(plan))

    def checking(self, plan: Plan) -> Gradual[CheckedPlan]:
        """See `Gradually`."""
        return self._siting.checking(plan, lambda: self._fresh_frame().q_actual_deg)

    @property
    def stroke_mm(self) -> float:
        """Width between the fingers when they are fully open: see `Fingered`."""
        return self.settings.fingers.stroke_mm

    def outline(self) -> Floats | None:
        """Where the links are measured: see `Outlined`."""
        return self._siting.outline(None if self._frame is None else self._frame.q_actual_deg)

    def _parked(self, frame: Frame) -> bool:
        return done.standing(frame) and all(
            abs(actual - wanted) <= self.settings.parked_tolerance_deg
            for actual, wanted in zip(frame.q_actual_deg, self.settings.park_joints_deg, strict=True)
        )

    def _fresh_frame(self) -> Frame:
        if self._frame is None or self._conduct.mode == "offline":
            raise self._conduct.offline()
        return self._frame

    # --- the links ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        await self._conduct.keep_linked(self._serve)

    async def _serve(self) -> bool:
        """One connection, until it fails. Returns whether it came up."""
        try:
            with anyio.fail_after(CONNECT_TIMEOUT_S):
                commands, feedback = await self._connect_both()
        except (OSError, anyio.BrokenResourceError) as error:  # TimeoutError is an OSError
            words = f"no connection ({error or type(error).__name__}): {NO_CONNECTION_CURE}"
            self._conduct.not_linked("link-lost", words)
            return False
        link = CommandLink(commands, lambda: self._unstopped)
        linked = False
        try:
            async with self._dead_man.watching(commands), anyio.create_task_group() as group:
                group.start_soon(self._own_commands, link, group.cancel_scope, name=f"{self.name} commands")
                group.start_soon(self._own_feedback, feedback, link, name=f"{self.name} feedback")
                linked = await self._greet(link)
        finally:
            self._unlink(link)
        return linked

    async def _connect_both(self) -> tuple[anyio.abc.ByteStream, anyio.abc.ByteStream]:
        commands = await self._connect(protocol.COMMAND_PORT)
        feedback: anyio.abc.ByteStream | None = None
        try:
            feedback = await self._connect(self.settings.feedback_port)
        finally:
            if feedback is None:
                with anyio.CancelScope(shield=True), anyio.move_on_after(STOP_REPLY_S):
                    await commands.aclose()
        return commands, feedback

    async def _own_commands(self, link: CommandLink, scope: anyio.CancelScope) -> None:
        try:
            await link.run()
        finally:
            scope.cancel()

    async def _own_feedback(self, stream: anyio.abc.ByteStream, link: CommandLink) -> None:
        """Reads frames; without one for `stale_s` the whole connection is given up, for it is blind."""
        splitter = FrameSplitter()
        limit = anyio.current_time() + FIRST_FRAME_S
        try:
            while True:
                data = await self._receive_by(stream, limit)
                frame = None if data is None else splitter.feed(data)
                if frame is not None:
                    limit = anyio.current_time() + self.settings.stale_s
                    self._measured(frame)
                elif anyio.current_time() > limit:  # bytes without a frame in them are as blind as silence
                    return link.fail(_Blind(f"no feedback for {self.settings.stale_s:.1f} s"))
        except anyio.EndOfStream:
            link.fail(ArmLost("the controller closed the feedback link"))
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            link.fail(ArmLost(f"the feedback link broke: {type(error).__name__}"))
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(STOP_REPLY_S):
                await stream.aclose()

    async def _receive_by(self, stream: anyio.abc.ByteStream, limit_s: float) -> bytes | None:
        with anyio.move_on_after(limit_s - anyio.current_time()):
            return await stream.receive(FEEDBACK_BYTES)
        with anyio.move_on_after(BURST_S):
            return await stream.receive(FEEDBACK_BYTES)
        return None

    async def _greet(self, link: CommandLink) -> bool:
        """A new link begins with a Stop, whatever ran before, and with measuring where that left the arm."""
        try:
            with anyio.fail_after(FIRST_FRAME_S + STANDSTILL_S):
                await link.submit_urgent(protocol.stop()).wait()
                frame = await self._after(self._frame)
                while not done.standing(frame):
                    frame = await self._after(frame)
                answer = await link.submit(protocol.get_error_id()).wait()
        except TimeoutError:
            link.fail(ArmLost("the arm was not seen to stand after the connection"))
            return False
        except RobotError as error:
            link.fail(error)
            return False
        self._link = link
        self._unstopped = False
        self._gripper = None
        alarms = answer.alarms() if isinstance(answer, Reply) and answer.ok else ()
        self._linked(frame, alarms)
        return True

    def _linked(self, frame: Frame, alarms: tuple[int, ...]) -> None:
        """What happened while nobody listened is shown at once. An emergency stop holds the arm even after its release;
        other alarms of an arm that was not in motion are for `ensure_ready` to judge."""
        pressed = _pressed(frame)
        emergency = pressed or bool(protocol.EMERGENCY_STOP_ALARMS.intersection(alarms))
        if emergency or (alarms and self._conduct.held):
            words = _in_words(alarms)
            reason = f"an emergency stop is pressed ({words})" if pressed else words
            self._conduct.hold("linked-alarm", "emergency-stop" if emergency else "alarm", reason)
        else:
            self._conduct.linked()

    def _unlink(self, link: CommandLink) -> None:
        match link.failure:
            case ArmProtocolError():
                code = "protocol"
            case _Blind():
                code = "stale-feedback"
            case _:
                code = "link-lost"
        self._link = None
        self._conduct.unlinked(code, str(link.failure or "the connection was closed"))

    # --- frames and modes ---------------------------------------------------------------------------------------------

    def _measured(self, frame: Frame) -> None:
        conduct, before = self._conduct, self._frame
        self._frame, self._frame_at = frame, anyio.current_time()
        if _pressed(frame) and not (before is not None and _pressed(before)):
            conduct.stops += 1  # whoever gets the arm ready was told before that: their word counts no more
        conduct.measured()
        if conduct.mode in ("idle", "moving"):
            if conduct.mode == "idle" and frame.robot_mode == RobotMode.DRAG:
                conduct.step("unready")
            elif (trouble := done.trouble(frame)) is not None:
                conduct.hold("alarm", trouble.code, trouble.reason)
        if self._shown is None or _differs(frame, self._shown):
            self._shown = frame
            conduct.show()

    async def _after(self, frame: Frame | None) -> Frame:
        """The next frame measured after this one."""
        while self._frame is None or self._frame is frame:
            await self._conduct.news.wait()
        return self._frame

    # --- commands -----------------------------------------------------------------------------------------------------

    async def _ask(self, command: Command, timeout_s: float = COMMAND_TIMEOUT_S) -> Reply:
        """Raises ArmLost, ArmProtocolError, ArmStopped, ArmRefused (with the controller's error id)."""
        answer = await self._exchange(command, timeout_s)
        if isinstance(answer, NotTcpMode):
            raise ArmRefused(f"{command.name}: {NOT_TCP_MODE}")
        if not answer.ok:
            raise ArmRefused(f"{command.name}: {protocol.error_text(answer.error_id)}", answer.error_id)
        return answer

    async def _exchange(self, command: Command, timeout_s: float) -> Reply | NotTcpMode:
        link = self._link
        if link is None:
            raise self._conduct.offline()
        pending = link.submit(command)
        try:
            with anyio.fail_after(timeout_s):
                return await pending.wait()
        except TimeoutError:
            # What the controller did with it is unknown, and a late reply would be taken for the next one's.
            link.fail(ArmLost(f"{command.name} was not answered within {timeout_s:.0f} s"))
            raise ArmLost(f"{command.name} was not answered within {timeout_s:.0f} s") from None
        finally:
            pending.withdrawn = True

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
        await self._ask(protocol.start_drag() if on else protocol.stop_drag())
        if conduct.mode == "idle":
            conduct.step("unready")

    async def _prepare(self, stops: int, may_clear: MayClear) -> None:
        """From any state of the controller to enabled, limited and with a gripper. A stop in between raises ArmStopped."""
        conduct = self._conduct
        await self._dead_man.there()
        if conduct.last_resort is not None:
            await self._ask(protocol.emergency_stop(False))
            conduct.last_resort = None
        await self._enable(stops, may_clear)
        await self._ask(protocol.speed_factor(self.settings.speed_factor_percent))
        await self._plain_frames()
        gripper = Gripper(self._ask, self.settings)
        conduct.holding = await gripper.prepare()
        self._gripper = gripper
        frame = await self._new_frame()
        while frame.robot_mode != RobotMode.ENABLED or not done.standing(frame):
            frame = await self._new_frame()
        self._unless_stopped_since(stops)
        trouble = done.trouble(self._fresh_frame())
        if trouble is not None:
            raise ArmAlarm(f"arm {self.name}: {trouble.reason}")

    async def _plain_frames(self) -> None:
        """What is measured and what is commanded must be the flange in the base frame: user 0, tool 0."""
        frame = await self._new_frame()
        if frame.user:
            await self._ask(protocol.user(0))
        if frame.tool:
            await self._ask(protocol.tool(0))

    async def _new_frame(self) -> Frame:
        """The next frame. Raises ArmLost."""
        frame = await self._after_or_lost(self._frame)
        if self._link is None or frame is None:
            raise self._conduct.offline()
        return frame

    def _unless_stopped_since(self, stops: int) -> None:
        self._conduct.unless_stopped_since(stops, emergency=self._frame is not None and _pressed(self._frame))

    async def _enable(self, stops: int, may_clear: MayClear) -> None:
        cleared = False
        while True:
            self._unless_stopped_since(stops)
            mode = await self._robot_mode()
            match mode:
                case RobotMode.ENABLED:
                    return
                case RobotMode.ERROR | RobotMode.COLLISION:
                    if cleared:
                        alarms = await self._alarms()
                        raise ArmAlarm(f"arm {self.name}: {_in_words(alarms)} stays", alarms)
                    await self._clear(may_clear)
                    cleared = True
                case RobotMode.POWER_OFF:
                    await self._ask(protocol.power_on(), POWER_ON_TIMEOUT_S)
                    await self._until_mode_changes(mode)
                case RobotMode.DISABLED | RobotMode.BRAKE_OPEN:
                    await self._ask(protocol.enable_robot(self.settings.load_kg), ENABLE_TIMEOUT_S)
                    await self._until_mode_changes(mode)
                case RobotMode.DRAG:
                    await self._ask(protocol.stop_drag())
                    await self._until_mode_changes(mode)
                case RobotMode.RUNNING | RobotMode.SINGLE_MOVE | RobotMode.PAUSE:
                    await self._ask(protocol.stop())
                    await self._until_mode_changes(mode)
                case _:
                    await anyio.sleep(MODE_POLL_S)  # it is still starting

    async def _robot_mode(self) -> int:
        answer = await self._exchange(protocol.robot_mode(), COMMAND_TIMEOUT_S)
        if isinstance(answer, NotTcpMode):
            try:
                await self._ask(protocol.request_control())
            except ArmRefused as refused:
                raise ArmRefused(f"{NOT_TCP_MODE} ({refused})", refused.code) from refused
            answer = await self._ask(protocol.robot_mode())
        mode = answer.integer()
        if not answer.ok or mode is None:
            raise ArmProtocolError(f"RobotMode answered {answer}")
        return mode

    async def _until_mode_changes(self, mode: int) -> None:
        """Until the controller reports another mode: the caller's deadline ends the wait."""
        while True:
            await anyio.sleep(MODE_POLL_S)
            if await self._robot_mode() != mode:
                return

    async def _clear(self, may_clear: MayClear) -> None:
        alarms = await self._alarms()
        words = _in_words(alarms)
        await self._new_frame()
        if _pressed(await self._new_frame()):  # the first may be from before a release
            raise ArmStopped(f"arm {self.name}: an emergency stop is pressed ({words})")
        pressed = bool(protocol.EMERGENCY_STOP_ALARMS.intersection(alarms))
        if may_clear == "nothing" or (pressed and may_clear == "alarms"):
            raise ArmAlarm(f"arm {self.name}: {words}", alarms)
        await self._ask(protocol.clear_error())
        await anyio.sleep(MODE_POLL_S)  # the mode follows a moment after the answer

    async def _alarms(self) -> tuple[int, ...]:
        return (await self._ask(protocol.get_error_id())).alarms()

    # --- execution ----------------------------------------------------------------------------------------------------

    async def execute(self, plan: CheckedPlan, token: int) -> Report:
        if self._conduct.mode == "idle":
            try:
                await self._dead_man.there()
            except ArmRefused as refused:
                return Report("refused", "no-dead-man", str(refused), 0, (), 0.0)
        return await self._conduct.execute(plan, token)

    def _posture(self) -> Joints | None:
        if self._gripper is None or self._siting.reach is None or self._frame is None:
            return None
        return self._frame.q_actual_deg

    async def _alarms_if_told(self) -> str:
        try:
            return _in_words(await self._alarms())
        except RobotError as error:
            return f"the alarms are not known: {error}"

    async def _run(self, plan: CheckedPlan, progress: Progress) -> Ending:
        assert self._siting.reach is not None
        geometry = Geometry(self._siting.reach, self.settings)
        self._flight.clear()
        here: Joints = plan.start_joints_deg
        opening: Open | None = None  # fingers that may still be opening while one motion runs
        for step, end in zip(plan.plan.steps, plan.joints_deg, strict=True):
            if opening is not None and self._flight:
                await self._finish_opening(opening, progress)
                opening = None
            if end is not None:
                await self._move(planner.segment(step, here, end, geometry), progress)
                here = end
                continue
            await self._land(progress, 0)
            if isinstance(step, Open) and step.ahead and not self._conduct.holding:
                opening = await self._begin_opening(step, progress)
                continue
            failure = await self._grip(step, progress)
            if failure is not None:
                return failure
            progress.completed += 1
        if opening is not None:
            await self._finish_opening(opening, progress)
        await self._land(progress, 0)
        if isinstance(plan.plan.steps[-1], Park):
            frame = await self._after(self._frame)
            if not self._parked(frame):
                raise Interrupted("not-parked", f"arm {self.name} was not measured at its parking posture")
        return "done", "every step was reached and measured"

    async def _move(self, segment: Segment, progress: Progress) -> None:
        """Puts one motion into the controller's queue, when there is room for it."""
        flight = self._flight
        room = MOTIONS_AHEAD if flight and flight[-1].command_id is not None else 1
        await self._land(progress, room - 1)
        self._conduct.unless_interrupted()
        before, progress.sent = progress.sent, True
        self._unstopped = True
        try:
            reply = await self._ask(segment.command)
        except ArmRefused:
            progress.sent = before  # the controller says that it did nothing
            self._unstopped = bool(flight)
            raise
        flight.append(_Flight(segment, reply.integer()))

    async def _land(self, progress: Progress, keep: int) -> None:
        """Until no more than `keep` motions are in the controller's queue."""
        while len(self._flight) > keep:
            head = self._flight[0]
            limit = head.segment.duration_s * self.settings.deadline_factor + self.settings.deadline_grace_s
            try:
                with anyio.fail_after(limit):
                    await self._finish(head, last=len(self._flight) == 1)
            except TimeoutError:
                raise Interrupted(
                    "deadline", f"a motion of {head.segment.duration_s:.1f} s took {limit:.1f} s"
                ) from None
            self._flight.popleft()
            progress.completed += 1
            self._unstopped = bool(self._flight)

    async def _finish(self, flight: _Flight, *, last: bool) -> None:
        watch = done.Watch(flight.segment.target, flight.command_id)
        frame = self._frame
        while True:
            frame = await self._next_frame(frame)
            if not last and done.passed(flight.command_id, frame):
                return
            watch = done.observe(watch, frame, anyio.current_time())
            if watch.verdict == "done":
                return
            if watch.verdict == "not-reached":
                raise Interrupted("not-reached", "the controller is idle, but the arm is not where it was sent")

    async def _next_frame(self, frame: Frame | None) -> Frame:
        while True:
            self._conduct.unless_interrupted()
            if self._frame is not None and self._frame is not frame:
                return self._frame
            await self._conduct.news.wait()

    async def _begin_opening(self, step: Open, progress: Progress) -> Open:
        self._conduct.unless_interrupted()
        assert self._gripper is not None
        progress.sent = True
        try:
            await self._gripper.begin(step.width_mm)
        except ArmRefused as refused:
            raise Interrupted("gripper", str(refused)) from refused
        return step

    async def _finish_opening(self, step: Open, progress: Progress) -> None:
        assert self._gripper is not None
        try:
            await self._gripper.opened(step.width_mm)
        except ArmRefused as refused:
            raise Interrupted("gripper", str(refused)) from refused
        self._conduct.let_go()
        self._conduct.unless_interrupted()
        progress.completed += 1

    async def _grip(self, step: Step, progress: Progress) -> Ending | None:
        """One gripper step. Returns code and reason when it ends the plan."""
        self._conduct.unless_interrupted()
        progress.sent = True
        try:
            return await self._use_gripper(step, progress)
        except ArmRefused as refused:
            raise Interrupted("gripper", str(refused)) from refused

    async def _use_gripper(self, step: Step, progress: Progress) -> Ending | None:
        gripper, conduct = self._gripper, self._conduct
        assert gripper is not None
        match step:
            case Open():
                await gripper.open(step.width_mm)
                conduct.let_go()
                conduct.unless_interrupted()
                return None
            case Close() | Verify():
                reading = await (gripper.close(step.width_mm) if isinstance(step, Close) else gripper.read())
                width_mm = self.settings.fingers.width_mm(reading.position)
                return conduct.felt(step, reading.grip == GripState.CAUGHT, width_mm, progress)
            case _:
                raise ValueError(f"{step} is no gripper step")

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        await self._conduct.stop()

    def _halt(self) -> SeeStanding:
        """Hands the stop to the task that owns the link."""
        stopping = None if self._link is None else self._link.submit_urgent(protocol.stop())
        return partial(self._see_standing, stopping)

    async def _see_standing(self, stopping: Pending | None) -> None:
        """Until the stop is acknowledged and the arm seen to stand; if it is not, the emergency stop is pressed."""
        end: StopEnd = "lost" if stopping is None else await self._stands_after(stopping)
        if end == "unseen" and self._link is not None:
            self._conduct.last_resort = "its emergency stop was pressed, for it did not acknowledge a Stop"
            end = await self._stands_after(self._link.submit_urgent(protocol.emergency_stop(True)))
        elif end == "unseen":
            end = "lost"
        if end == "lost":
            raise ArmLost(f"stop not confirmed: {self._conduct.offline()}")
        if end == "unseen":
            raise ArmRefused(f"stop not confirmed: arm {self.name} was not seen to stand, nor after its emergency stop")

    async def _stands_after(self, stopping: Pending) -> StopEnd:
        try:
            with anyio.fail_after(STOP_REPLY_S):
                answer = await stopping.wait()
            if isinstance(answer, Reply) and not answer.ok:
                return "unseen"
            with anyio.fail_after(max(STANDSTILL_S, done.CONSECUTIVE_FRAMES * self.settings.stale_s)):
                frame, standing = self._frame, 0
                while standing < done.CONSECUTIVE_FRAMES and self._link is not None:
                    frame = await self._after_or_lost(frame)
                    standing = standing + 1 if frame is not None and done.standing(frame) else 0
                self._unstopped = self._unstopped and self._link is None
        except TimeoutError:
            return "unseen"
        except RobotError:
            return "lost"  # nothing more can be sent on this link, and the next one begins with a Stop
        return "stands" if self._link is not None else "lost"

    async def _after_or_lost(self, frame: Frame | None) -> Frame | None:
        while self._link is not None and (self._frame is None or self._frame is frame):
            await self._conduct.news.wait()
        return self._frame


def _in_words(alarms: tuple[int, ...]) -> str:
    return "; ".join(protocol.alarm_text(a) for a in alarms) or "an error state without an alarm number"


def _pressed(frame: Frame) -> bool:
    return frame.safety_tripped(done.EMERGENCY_STOP_BITS)


def _differs(a: Frame, b: Frame) -> bool:
    """Whether somebody who looks at the arm would see a difference."""
    return (
        a.robot_mode != b.robot_mode
        or _pressed(a) != _pressed(b)
        or a.running != b.running
        or any(abs(x - y) > SHOWN_DEG for x, y in zip(a.q_actual_deg, b.q_actual_deg, strict=True))
    )

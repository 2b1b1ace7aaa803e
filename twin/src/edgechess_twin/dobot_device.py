"""A Dobot V4 controller with a real arm behind it: sockets, feedback, and the arm that stands a little differently.

`run` keeps time, `serve` speaks one connection. Nothing ticks: a motion is a function of time with an end, and a frame is
computed when a reader takes it.
"""

from __future__ import annotations

import math
import random

import anyio
from anyio.abc import ByteStream

from edgechess_robots.layout import ArmSite
from edgechess_twin import arm_model as model
from edgechess_twin.arm_agenda import Agenda
from edgechess_twin.arm_body import EPOCH_S, TOOL_MM, Body, GuideError
from edgechess_twin.arm_model import CR10A, HiddenError, Joints, Point3, TrueArm
from edgechess_twin.arm_wire import Wire, WireFaults
from edgechess_twin.dobot_commands import RequestReader
from edgechess_twin.dobot_controller import START_JOINTS, Controller, Firmware
from edgechess_twin.dobot_feedback import PERIODS_S, encode, restamp
from edgechess_twin.dobot_modbus import STROKE_MM
from edgechess_twin.faults import NONE, Dice, Faults
from edgechess_twin.world import World

DASHBOARD_PORT = 29999
PORTS = (DASHBOARD_PORT, *PERIODS_S)
REST_FRAMES = 2  # of an arm at rest at full rate, after the first: readers take two equal ones for the end of a motion
STALL_PERIODS = (1.0, 4.0)  # how long a stalled feedback says nothing; ours: around what readers call stale


class DobotDevice:
    """One controller and its arm, at one site of the table.

    `speed` scales motion, power-up and the gripper; wires and feedback periods keep true time. `epoch_s` is the unix time
    that the controller shows at scheduler time 0.
    """

    def __init__(
        self,
        name: str,
        world: World,
        site: ArmSite,
        *,
        seed: int = 0,
        faults: Faults = NONE,
        speed: float = 1.0,
        firmware: Firmware = "4.6",
        hidden: HiddenError | None = None,
        wire: WireFaults | None = None,
        tcp_mode: bool = True,
        tool_mm: float = TOOL_MM,
        stroke_mm: float = STROKE_MM,
        epoch_s: float = EPOCH_S,
        quiet_feedback_s: float | None = None,
        start_joints: Joints = START_JOINTS,
    ) -> None:
        """`wire`: as in `faults` unless given. `quiet_feedback_s`: for virtual time, where a frame that nobody needs costs as much as one that matters: an
        arm at rest, or one of which nothing changes but how far it is on its way, tells so only that often. What changes
        is told in the same period as ever. Real controllers never slow down, and without it neither does this one.
        """
        self.name = name
        self._faults = faults
        self._epoch_s = epoch_s
        self._dice = Dice(seed)
        self.wire = Wire(name, WireFaults.of(faults) if wire is None else wire, self._dice)
        base = site.base
        self.truth = TrueArm.build(
            (base.x_mm, base.y_mm, base.z_mm, base.rx_deg, base.ry_deg, base.rz_deg),
            tool_mm,
            HiddenError() if hidden is None else hidden,
            random.Random(f"{seed}:{name} geometry"),
        )
        self._agenda = Agenda()
        self._body = Body(name, world, self.truth, self._agenda, self._dice, faults, speed, lambda: self.controller)
        self.controller = Controller(
            firmware=firmware,
            speed=speed,
            now=anyio.current_time,
            agenda=self._agenda,
            body=self._body,
            tcp_mode=tcp_mode,
            stroke_mm=stroke_mm,
            start_joints=start_joints,
        )
        self._dashboard: ByteStream | None = None
        self._links: list[ByteStream] = []
        self._frame: tuple[int, bytes] | None = None
        self.frames_made = 0
        self._quiet_feedback_s = quiet_feedback_s
        self._changed = anyio.Event()
        self.controller.on_change = self._on_change

    async def run(self) -> None:
        """The arm lives: motions end, queues go on, power comes up. Until cancelled."""
        self._body.appear()
        await self._agenda.run()

    # -- sockets ---------------------------------------------------------------------------------------------------

    async def serve(self, port: int, stream: ByteStream) -> None:
        """Speaks on one connection until it closes. Raises ValueError for a port that the controller does not have.

        29999 takes one client at a time: a second is closed at once, and the first notices nothing.
        """
        if port not in PORTS:
            raise ValueError(f"port {port}: a controller has {', '.join(str(p) for p in PORTS)}")
        self._body.appear()
        if port == DASHBOARD_PORT and self._dashboard is not None:
            await stream.aclose()
            return
        self._links.append(stream)
        try:
            if port == DASHBOARD_PORT:
                self._dashboard = stream
                await self._answer(stream)
            else:
                await self._feed(port, stream)
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass  # the client has gone; what it queued goes on
        finally:
            self._links.remove(stream)
            if self._dashboard is stream:
                self._dashboard = None
            with anyio.CancelScope(shield=True):
                await stream.aclose()

    async def drop_links(self) -> None:
        """Every connection breaks, in whatever state. The arm goes on with its queue."""
        for stream in tuple(self._links):
            await stream.aclose()

    async def _answer(self, stream: ByteStream) -> None:
        reader = RequestReader()
        while True:
            data = await stream.receive()
            answers = b"".join(self.controller.execute(request) for request in reader.feed(data))
            if not answers:
                continue
            await self.wire.reply_delay()
            await self.wire.send(stream, answers)

    async def _feed(self, port: int, stream: ByteStream) -> None:
        """One frame per period, always the newest; periods in which the reader did not read are left out."""
        period_s = PERIODS_S[port]
        tick_s = anyio.current_time()
        held = b""
        told, version = 0, -1
        while True:
            made = self.controller.version
            frame = held + self.frame()
            if not held and self.wire.holds_back():
                held = frame
            else:
                held = b""
                await self.wire.send(stream, frame)
            tick_s += period_s * (math.floor((anyio.current_time() - tick_s) / period_s) + 1) + self._stalled(period_s)
            told, version = (told + 1, version) if made == version else (1, made)
            if self._quiet_feedback_s is None or held:
                pass
            elif self.controller.active is not None:
                tick_s = await self._on_its_way(version, tick_s, period_s)
            elif told > REST_FRAMES:
                await self._until_changed(version, tick_s + self._quiet_feedback_s)
                tick_s += period_s * max(0, math.ceil((anyio.current_time() - tick_s) / period_s))
            await anyio.sleep_until(tick_s)

    async def _on_its_way(self, version: int, tick_s: float, period_s: float) -> float:
        """When to tell next of a motion. A frame that is left out may stall as well as any other."""
        assert self._quiet_feedback_s is not None
        await self._until_changed(version, anyio.current_time() + self._quiet_feedback_s)
        while tick_s < anyio.current_time():
            tick_s += period_s + self._stalled(period_s)
        return tick_s

    async def _until_changed(self, version: int, limit_s: float) -> None:
        with anyio.CancelScope(deadline=limit_s):
            while self.controller.version == version:
                await self._changed.wait()

    def _stalled(self, period_s: float) -> float:
        """For how long the feedback says nothing now."""
        if not self._dice.happens(f"{self.name} feedback-stall", self._faults.feedback_stall):
            return 0.0
        return period_s * self._dice.stream(f"{self.name} stall").uniform(*STALL_PERIODS)

    def _on_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def frame(self) -> bytes:
        """The real-time frame now. While nothing moves or changes only its clock does."""
        self.frames_made += 1
        controller = self.controller
        if controller.active is not None or self._frame is None or self._frame[0] != controller.version:
            frame = encode(controller.reading(self._epoch_s))
            self._frame = (controller.version, frame) if controller.active is None else None
            return frame
        stamp_ms, run_ms = controller.stamps(self._epoch_s)
        return restamp(self._frame[1], stamp_ms, run_ms)

    # -- people ----------------------------------------------------------------------------------------------------

    def press_estop(self) -> None:
        """Somebody hits the red button."""
        self.controller.press_emergency()

    def release_estop(self) -> None:
        """Somebody turns it free again. The alarm stays until it is cleared."""
        self.controller.release_emergency()

    def collide(self) -> None:
        """The arm runs into something that it feels."""
        self.controller.collide()

    async def guide(self, point_mm: Point3) -> None:
        """A person drags the arm until its true fingertip touches the point (board frame), as well as people can.

        In drag mode, or holding the drag button of an enabled arm that stands still. Up, across above the pieces, down.
        Returns when the tip touches, or when somebody stopped the arm on the way.
        Raises GuideError.
        """
        controller = self.controller
        by_button = not controller.dragging
        if (by_button and not controller.idle) or controller.active is not None:
            raise GuideError(f"arm {self.name} cannot be dragged: its mode is {controller.mode().name.lower()}")
        legs, body = self._body.legs_to(point_mm), self._body
        here = controller.joints()
        rz = model.to_pose(CR10A.flange(here))[5] + body.square_yaw_deg() - self.truth.yaw_deg(here)
        tilt_x, tilt_y = body.tilt_deg()
        down = model.from_pose((0.0, 0.0, 0.0, 180.0 + tilt_x, tilt_y, rz))
        controller.press_drag_button(by_button)
        try:
            for leg in legs:
                ended = anyio.Event()
                try:
                    controller.guide(self.truth.joints_touching(leg, down, controller.joints()), ended.set)
                except model.Unreachable as error:
                    raise GuideError(f"arm {self.name} cannot reach {point_mm}: {error}") from None
                await ended.wait()
                if controller.active is not None or controller.alarms or not controller.enabled:
                    return
        finally:
            controller.press_drag_button(False)

"""An RO1 on its site of the table: the HTTP port, the controller behind it, and the arm that stands a little differently.

`run` keeps time, `serve` speaks one connection. Nothing ticks: a motion is a function of time with an end.
"""

from __future__ import annotations

import random

import anyio
from anyio.abc import ByteStream

from edgechess_robots.layout import ArmSite
from edgechess_twin import ro1_model as ro1
from edgechess_twin.arm_agenda import Agenda
from edgechess_twin.arm_body import EPOCH_S, TOOL_MM, Body, GuideError
from edgechess_twin.arm_model import HiddenError, Joints, Point3, Transform, Unreachable, from_pose, invert, multiply
from edgechess_twin.arm_wire import Wire, WireFaults
from edgechess_twin.faults import NONE, Dice, Faults
from edgechess_twin.ro1_controller import START_JOINTS, Ro1Controller
from edgechess_twin.ro1_gripper import GripperKind
from edgechess_twin.ro1_http import HttpAnswer, HttpRequest, serve_http
from edgechess_twin.ro1_model import TrueRo1
from edgechess_twin.ro1_routes import Identity, Release, Routes
from edgechess_twin.world import World

PORT = 3000
TOKEN = "edgechess-twin"  # no secret: whoever reaches this loopback port may use it
CONNECTIONS = 32  # ours; one more is closed at once
SEND_S = 30.0  # a client that reads nothing for so long has gone; ours
STALL_S = (0.1, 0.4)  # how late an answer about the arm's state can be when it stalls; ours


class Ro1Device:
    """One RO1 with its control box.

    `speed` scales motion, brakes, recovery and the gripper; wires, planning and heartbeats keep true time. The active
    tooltip is the flange, as on a robot for which nobody has set one; the gripper's, `tool_mm` straight out of the flange
    between the fingertips, can be chosen where the release has an endpoint for it.
    `release`: as which generation of the robot's software it answers.
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
        hidden: HiddenError | None = None,
        wire: WireFaults | None = None,
        gripper: GripperKind = "onrobot_2fg7",
        release: Release = "2026.09",
        token: str = TOKEN,
        tool_mm: float = TOOL_MM,
        epoch_s: float = EPOCH_S,
        boot_s: float = 0.0,
        start_joints: Joints = START_JOINTS,
    ) -> None:
        """`wire`: as in `faults` unless given. `epoch_s` is the unix time that the robot shows at scheduler time 0.
        Until scheduler time `boot_s` its services are only starting, and say so."""
        self.name = name
        self.token = token
        self._faults = faults
        self._dice = Dice(seed)
        self.wire = Wire(name, WireFaults.of(faults) if wire is None else wire, self._dice)
        base = site.base
        self.truth = TrueRo1.build(
            (base.x_mm, base.y_mm, base.z_mm, base.rx_deg, base.ry_deg, base.rz_deg),
            tool_mm,
            HiddenError() if hidden is None else hidden,
            random.Random(f"{seed}:{name} geometry"),
        )
        self._agenda = Agenda()
        self._body = Body(name, world, self.truth, self._agenda, self._dice, faults, speed, lambda: self.controller)
        self.controller = Ro1Controller(
            speed=speed,
            now=anyio.current_time,
            agenda=self._agenda,
            body=self._body,
            gripper=gripper,
            tool_mm=tool_mm,
            start_joints=start_joints,
        )
        self._routes = Routes(
            self.controller,
            token=token,
            release=release,
            identity=Identity(f"twin-{name}-{seed}", f"{name} arm (software)"),
            started=lambda: anyio.current_time() >= boot_s,
            unix_ms=lambda: int((epoch_s + anyio.current_time()) * 1000.0),
        )
        self._links = 0

    async def run(self) -> None:
        """The arm lives: motions end, brakes open, power comes back. Until cancelled."""
        self._body.appear()
        await self._agenda.run()

    # -- the wire --------------------------------------------------------------------------------------------------

    async def serve(self, port: int, stream: ByteStream) -> None:
        """Speaks on one connection until it closes. Raises ValueError for a port that the robot does not have."""
        if port != PORT:
            raise ValueError(f"port {port}: an RO1 has {PORT}")
        self._body.appear()
        self._links += 1
        try:
            if self._links <= CONNECTIONS:
                await serve_http(stream, self._answer, lambda data: self._send(stream, data))
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass  # the client has gone; what it started goes on, unless it wants a heartbeat
        finally:
            self._links -= 1
            with anyio.CancelScope(shield=True):
                await stream.aclose()

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        if request.path.endswith("/heartbeat") and self._dice.happens(
            f"{self.name} heartbeat-lost", self._faults.heartbeat_lost
        ):
            raise anyio.BrokenResourceError  # it never reaches the robot
        answer = await self._routes.answer(request)
        if request.method == "GET" and self._dice.happens(f"{self.name} feedback-stall", self._faults.feedback_stall):
            await anyio.sleep(self._dice.stream(f"{self.name} stall").uniform(*STALL_S))
        await self.wire.reply_delay()
        return answer

    async def _send(self, stream: ByteStream, data: bytes) -> None:
        with anyio.move_on_after(SEND_S) as late:
            await self.wire.send(stream, data)
        if late.cancelled_caught:
            raise anyio.BrokenResourceError

    # -- people ----------------------------------------------------------------------------------------------------

    def press_estop(self) -> None:
        """Somebody hits the red button."""
        self.controller.press_emergency()

    def release_estop(self) -> None:
        """Somebody turns it free again. The failure stays until it is recovered."""
        self.controller.release_emergency()

    def collide(self) -> None:
        """The arm runs into something that it feels."""
        self.controller.collide()

    async def guide(self, point_mm: Point3) -> None:
        """A person drags the arm until its true fingertip touches the point (board frame), as well as people can.

        With the wrist button held, while the arm's brakes are off and it stands still. Up, across above the pieces, down.
        Returns when the tip touches, or when somebody stopped the arm on the way. Raises GuideError.
        """
        controller = self.controller
        if controller.braked or controller.status != "Idle":
            what = "its brakes are engaged" if controller.braked else f"its status is {controller.status}"
            raise GuideError(f"arm {self.name} cannot be dragged: {what}")
        legs, down = self._drag(point_mm)
        controller.antigravity = True
        try:
            for leg in legs:
                try:
                    joints = self.truth.joints_touching(leg, down, controller.joints())
                    ended = controller.guide(joints)
                except Unreachable as error:
                    raise GuideError(f"arm {self.name} cannot reach {point_mm}: {error}") from None
                await ended.wait()
                if controller.failure is not None:
                    return
        finally:
            controller.antigravity = False

    def _drag(self, point_mm: Point3) -> tuple[list[Point3], Transform]:
        """The legs of the way, and how the person holds the flange (base frame)."""
        legs = self._body.legs_to(point_mm)
        tilt_x, tilt_y = self._body.tilt_deg()
        upright = ro1.straight_down(0.0, 0.0, 0.0, self._body.square_yaw_deg())
        tilt = from_pose((0.0, 0.0, 0.0, tilt_x, tilt_y, 0.0))
        return legs, multiply(invert(self.truth.base), multiply(tilt, upright))

"""An RO1 on its site of the table: the HTTP port, the controller behind it, and the arm that stands a little differently.

`run` keeps time, `serve` speaks one connection. Nothing ticks: a motion is a function of time with an end.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import anyio
from anyio.abc import ByteStream

from edgechess_robots.layout import ArmSite, Point
from edgechess_twin import ro1_model as ro1
from edgechess_twin.arm_model import HiddenError, Joints, Point3, Transform, Unreachable, from_pose, invert, multiply
from edgechess_twin.dobot_agenda import Agenda
from edgechess_twin.dobot_controller import GUIDE_TILT_DEG, scatter
from edgechess_twin.dobot_device import (
    EPOCH_S,
    HOVER_MM,
    PRESSED_S,
    STRIKES_WITHIN_S,
    TOOL_MM,
    GuideError,
    WireFaults,
)
from edgechess_twin.faults import NONE, Dice, Faults
from edgechess_twin.ro1_controller import START_JOINTS, Active, Ro1Controller
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
        self._world = world
        self._faults = faults
        self._speed = speed
        self._wire = WireFaults.of(faults) if wire is None else wire
        self._dice = Dice(seed)
        base = site.base
        self.truth = TrueRo1.build(
            (base.x_mm, base.y_mm, base.z_mm, base.rx_deg, base.ry_deg, base.rz_deg),
            tool_mm,
            HiddenError() if hidden is None else hidden,
            random.Random(f"{seed}:{name} geometry"),
        )
        self._agenda = Agenda()
        self.controller = Ro1Controller(
            speed=speed,
            now=anyio.current_time,
            agenda=self._agenda,
            body=self,
            repeatability=lambda: scatter(self._dice.stream(f"{name} repeatability"), faults.arm_repeatability_mm),
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
        self._appeared = False
        self._links = 0

    async def run(self) -> None:
        """The arm lives: motions end, brakes open, power comes back. Until cancelled."""
        self._appear()
        await self._agenda.run()

    def _appear(self) -> None:
        if not self._appeared:
            self._appeared = True
            self._world.arm_appears(self.name, Point(*self.truth.fingertip(self.controller.joints())))

    # -- the wire --------------------------------------------------------------------------------------------------

    async def serve(self, port: int, stream: ByteStream) -> None:
        """Speaks on one connection until it closes. Raises ValueError for a port that the robot does not have."""
        if port != PORT:
            raise ValueError(f"port {port}: an RO1 has {PORT}")
        self._appear()
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
        if self._dice.happens(f"{self.name} slow reply", self._wire.slow_reply):
            await anyio.sleep(self._wire.slow_reply_s)
        return answer

    async def _send(self, stream: ByteStream, data: bytes) -> None:
        with anyio.move_on_after(SEND_S) as late:
            await self._send_pieces(stream, data)
        if late.cancelled_caught:
            raise anyio.BrokenResourceError

    async def _send_pieces(self, stream: ByteStream, data: bytes) -> None:
        if len(data) > 1 and self._dice.happens(f"{self.name} split", self._wire.split):
            cut = self._dice.stream(f"{self.name} cut").randrange(1, len(data))
            await stream.send(data[:cut])
            await anyio.sleep(0.001)  # so that no stack puts them together again
            await stream.send(data[cut:])
        else:
            await stream.send(data)

    # -- the body under the controller -----------------------------------------------------------------------------

    def moves(self, active: Active, end_s: float) -> None:
        motion, start_s, speed, truth = active.motion, active.start_s, self._speed, self.truth

        def path(at_s: float) -> Point3:
            t_s = min(motion.duration_s, max(0.0, (at_s - start_s) * speed))
            x, y, z = truth.fingertip(motion.joints(t_s))
            dx, dy, dz = active.shift(t_s)
            return x + dx, y + dy, z + dz

        yaw_deg = truth.yaw_deg(motion.joints(motion.duration_s))
        self._world.tip_path(self.name, path, start_s, end_s, yaw_deg, guided=active.guided)

    def fingers_close(self, from_mm: float, to_mm: float) -> tuple[float, bool]:
        held_before = self.fingers_hold()
        result = self._world.gripper_closed(self.name, from_mm, to_mm)
        if result.holding and not held_before:
            self._draw_strikes()
        return result.width_mm, result.holding

    def fingers_open(self, to_mm: float) -> None:
        self._world.gripper_opened(self.name, to_mm)

    def fingers_hold(self) -> bool:
        return self._world.grip(self.name).holding

    # -- what befalls an arm that carries a piece ------------------------------------------------------------------

    def _draw_strikes(self) -> None:
        """The faults "collision" and "e-stop": drawn once per piece taken up, striking while it is on its way."""
        if self._dice.happens(f"{self.name} collision", self._faults.collision):
            self._strike("collision", self.collide)
        if self._dice.happens(f"{self.name} e-stop", self._faults.e_stop):
            self._strike("e-stop", self._hit_red_button)

    def _strike(self, fault: str, act: Callable[[], None]) -> None:
        def strike() -> None:
            if self.controller.enabled:
                self._world.note_accident(f"{fault} {self.name}")
                act()

        self._agenda.at(self._later(fault, STRIKES_WITHIN_S), strike)

    def _hit_red_button(self) -> None:
        self.press_estop()
        self._agenda.at(self._later("e-stop", PRESSED_S), self.release_estop)

    def _later(self, fault: str, within_s: tuple[float, float]) -> float:
        """A time from now, of motion: a faster table has faster people."""
        after_s = self._dice.stream(f"{self.name} {fault} when").uniform(*within_s)
        return anyio.current_time() + after_s / self._speed

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
        hand = self._dice.stream(f"{self.name} touch")
        dx, dy, dz = scatter(hand, self._faults.calibration_touch_mm)
        x, y, z = point_mm[0] + dx, point_mm[1] + dy, point_mm[2] + dz
        here = self.controller.joints()
        here_x, here_y, here_z = self.truth.fingertip(here)
        top = max(HOVER_MM, z)
        legs = [(here_x, here_y, top), (x, y, top), (x, y, z)]
        if here_z >= HOVER_MM:
            del legs[0]
        # People turn the fingers along the board's edges, where they fit between the pieces.
        yaw_deg = 90.0 * round(self.truth.yaw_deg(here) / 90.0)
        tilt = from_pose((0.0, 0.0, 0.0, hand.gauss(0.0, GUIDE_TILT_DEG), hand.gauss(0.0, GUIDE_TILT_DEG), 0.0))
        down = multiply(invert(self.truth.base), multiply(tilt, ro1.straight_down(0.0, 0.0, 0.0, yaw_deg)))
        return legs, down

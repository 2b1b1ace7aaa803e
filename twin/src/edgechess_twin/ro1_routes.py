"""What an RO1 answers, path by path: who may ask, what is read, what is done, what comes back.

Reference "standard-bots-ro1", "Endpoints". A table of (method, path) tells since which release there is such a path; an
older robot answers 404, which is how clients tell.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Literal

from edgechess_twin import arm_model as model
from edgechess_twin import ro1_protocol as wire
from edgechess_twin.arm_model import Transform, from_quaternion, multiply, to_quaternion
from edgechess_twin.ro1_controller import Command, Ro1Controller
from edgechess_twin.ro1_http import HttpAnswer, HttpRequest
from edgechess_twin.ro1_protocol import Refused, TooltipPose, read_object

Release = Literal["2024.01", "2024.10", "2025.08", "2026.09"]
BUILDS: dict[Release, str] = {
    "2024.01": "release/2024.01.17.55",
    "2024.10": "release/2024.10.03.60",
    "2025.08": "release/2025.08.01.44",  # of the real robot whose report is public
    "2026.09": "release/2026.09.21.52",
}
"""The four releases whose clients were compared (reference, "SDK drift"), and the build name that each tells."""
RELEASES = tuple(BUILDS)

PREFIX = "/api/v1"
OUTPUTS = tuple(f"Output {number}" for number in range(1, 17))
INPUTS = tuple(f"Input {number}" for number in range(1, 17))

WAYS = ("movement_kind", "speed_profile")
"""How an order says which way and how fast, …"""
WAYS_SINCE: Release = "2025.08"
"""… and since when: before, every motion is a joint motion at the robot's own speed (reference, "SDK drift")."""

Answer = HttpAnswer | dict[str, Any] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Whom the robot says that it is."""

    robot_id: str
    alias: str
    url: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One request that was let in. `names` are the parts of the path that stand for something."""

    body: bytes
    names: tuple[str, ...]
    query: dict[str, str]

    @property
    def data(self) -> dict[str, Any]:
        return read_object(self.body)


Act = Callable[["Routes", Call], Awaitable[Answer]]


class Routes:
    """The API of one robot."""

    def __init__(
        self,
        controller: Ro1Controller,
        *,
        token: str,
        release: Release,
        identity: Identity,
        started: Callable[[], bool],
        unix_ms: Callable[[], int],
    ) -> None:
        self._controller = controller
        self._token = token
        self._release = release
        self._identity = identity
        self._started = started
        self._unix_ms = unix_ms
        self._outputs = dict.fromkeys(OUTPUTS, "low")
        self.requests = 0

    async def answer(self, request: HttpRequest) -> HttpAnswer:
        """Every request has an answer; what is refused is told in the vendor's words."""
        self.requests += 1
        try:
            result = await self._act(request)
        except Refused as error:
            return HttpAnswer.of(wire.error_answer(error.code, str(error)), error.status)
        return (
            result if isinstance(result, HttpAnswer) else HttpAnswer.of(result) if result is not None else HttpAnswer()
        )

    async def _act(self, request: HttpRequest) -> Answer:
        if (request.method, request.path) == ("GET", f"{PREFIX}/metrics/prometheus"):
            return self._metrics()  # scraped without authentication
        self._authorize(request)
        self._require_simulated(request)
        if not self._started():
            raise Refused("service_initializing", "the robot is starting")
        for since, act, names in _found(request.method, request.path):
            if RELEASES.index(self._release) >= RELEASES.index(since):
                return await act(self, Call(request.body, names, dict(request.query)))
        raise Refused("not_found", f"{request.method} {request.path[:80]}: this robot has no such endpoint")

    def _authorize(self, request: HttpRequest) -> None:
        if request.headers.get("authorization") != (f"Bearer {self._token}",):
            raise Refused("authorization_required", "the Authorization header holds no token of this robot")

    def _require_simulated(self, request: HttpRequest) -> None:
        """A robot without the header's word is live: its clients mean a real arm, and this is none."""
        said = {v for name in ("robot_kind", "robot-kind") for v in request.headers.get(name, ())}
        if said != {"simulated"}:
            told = "says " + " and ".join(sorted(said)) if said else "is missing, which means live"
            raise Refused(
                "invalid_parameters", f"this robot is software: the header robot-kind {told[:60]}, say simulated"
            )

    def _metrics(self) -> HttpAnswer:
        text = (
            "# HELP http_requests_total Requests answered.\n# TYPE http_requests_total counter\n"
            f"http_requests_total {self.requests}\n"
        )
        return HttpAnswer(body=text.encode(), content_type="text/plain; version=0.0.4; charset=utf-8")

    # -- status ----------------------------------------------------------------------------------------------------

    async def get_mode(self, call: Call) -> Answer:
        return {"kind": self._controller.mode}

    async def set_mode(self, call: Call) -> Answer:
        kind = wire.word(call.data.get("kind"), "kind", ("api", "routine_editor"))
        self._controller.take_control("api" if kind == "api" else "routine_editor")
        return {"kind": kind}

    async def health(self, call: Call) -> Answer:
        """Of the control box; how the arm is, recovery tells."""
        name = BUILDS[self._release]
        return {"health": "ok", "build": {"id": name.rpartition("/")[2], "name": name}}

    async def identity(self, call: Call) -> Answer:
        who = self._identity
        return {
            "robotId": who.robot_id,
            "alias": who.alias,
            "robotOperationMode": "simulated",
            "applicationUrl": who.url,
        }

    # -- brakes and recovery ---------------------------------------------------------------------------------------

    async def get_brakes(self, call: Call) -> Answer:
        return {"state": "engaged" if self._controller.braked else "disengaged"}

    async def set_brakes(self, call: Call) -> Answer:
        """Answered when it is done."""
        state = wire.word(call.data.get("state"), "state", ("engaged", "disengaged"))
        if state == "engaged":
            self._controller.engage_brakes()
        else:
            ended = self._controller.disengage_brakes()
            if ended is not None:
                await ended.wait()
            if self._controller.braked:
                raise Refused("robot_brakes_disengage_failed", "something engaged them again")
        return {"state": state}

    async def emergency_stop(self, call: Call) -> Answer:
        reason = call.data.get("reason") if call.body.strip() else None
        self._controller.power_off("no reason given" if reason is None else wire.text(reason, "reason")[:200])
        return None

    async def recovery_status(self, call: Call) -> Answer:
        controller = self._controller
        failure = controller.failure
        return {
            "status": controller.status,
            "failed": failure is not None,
            "failure": None
            if failure is None
            else {
                "failure_trace_id": f"failure-{failure.number}",
                "kind": failure.kind,
                "failed_step": None,
                "reason": failure.reason,
                "recovery_type": "Recoverable" if failure.recoverable else "NotRecoverable",
                "is_recoverable_with_wrist_button": False,
            },
        }

    async def recover(self, call: Call) -> Answer:
        """Answered when it is done, or something else has happened."""
        ended = self._controller.recover()
        if ended is not None:
            await ended.wait()
        return await self.recovery_status(call)

    async def user_fault(self, call: Call) -> Answer:
        data = call.data
        message, recoverable = data.get("message"), data.get("isRecoverable")
        if recoverable is not None and not isinstance(recoverable, bool):
            raise Refused("request_failed_validation", "isRecoverable: expected true or false")
        reason = "user fault" if message is None else wire.text(message, "message")[:200]
        self._controller.fail("UserFault", reason, recoverable=recoverable is not False)
        return None

    # -- motion ----------------------------------------------------------------------------------------------------

    def _position(self) -> dict[str, object]:
        joints = self._controller.measured()
        return wire.position_answer(joints, self._controller.tooltip_pose(joints))

    async def get_position(self, call: Call) -> Answer:
        return self._position()

    async def move(self, call: Call) -> Answer:
        """Answered when the arm stands still. A failure rides on a 200."""
        command = self._controller.move(wire.read_move(self._known(call.data)))
        await command.ended.wait()
        return self._event(command)

    def _known(self, data: dict[str, Any]) -> dict[str, Any]:
        """An order as this release understands it: what came later is passed over, as everything unknown is."""
        if RELEASES.index(self._release) >= RELEASES.index(WAYS_SINCE):
            return data
        return {name: value for name, value in data.items() if name not in WAYS}

    async def move_controlled(self, call: Call) -> Answer:
        """Answered when the motion begins, or cannot."""
        data = call.data
        command = self._controller.move(wire.read_move(data), wire.read_heartbeat(data))
        await command.begun.wait()
        return self._controlled(command)

    async def heartbeat(self, call: Call) -> Answer:
        return self._controlled(self._controller.beat(call.names[0]))

    def _controlled(self, command: Command) -> dict[str, Any]:
        assert command.controlled is not None
        remaining_ms = (command.expires_s - self._controller.now_s) * 1000.0
        return {
            "id": command.id,
            "is_active": not command.ended.is_set(),
            "expires_at": self._unix_ms() + math.floor(remaining_ms),
            "heartbeat_interval": command.controlled.interval_ms,
            "event": self._event(command),
        }

    def _event(self, command: Command) -> dict[str, Any]:
        position = self._position()
        if not command.ended.is_set():
            return wire.event_answer("position", position=position)
        assert command.outcome is not None
        told = (command.kind, command.reason)
        return wire.event_answer(
            command.outcome,
            failure=told if command.outcome == "failure" else None,
            canceled=told if command.outcome == "canceled" else None,
            position=position,
        )

    async def stop_routine(self, call: Call) -> Answer:
        """There is no plain stop of a motion in this API, and no routine here that could run."""
        raise Refused("routine_must_be_running", "no routine is running")

    async def list_routines(self, call: Call) -> Answer:
        page = {name: _count(call.query.get(name), name) for name in ("limit", "offset")}
        return {"items": [], "pagination": {"total": 0, **page}}

    async def no_routine(self, call: Call) -> Answer:
        raise Refused("routine_does_not_exist", f"routine {call.names[0][:40]!r} does not exist")

    # -- poses and joints ------------------------------------------------------------------------------------------

    async def joints_position(self, call: Call) -> Answer:
        joints = self._controller.measured()
        return {"pose": {f"j{index}": math.radians(joint) for index, joint in enumerate(joints)}}

    async def tooltip_position(self, call: Call) -> Answer:
        return wire.cartesian_answer(self._controller.tooltip_pose(self._controller.measured()))

    async def flange_position(self, call: Call) -> Answer:
        return wire.cartesian_answer(self._controller.pose(self._controller.measured(), flange=True))

    async def cartesian_pose(self, call: Call) -> Answer:
        return wire.cartesian_answer(_tooltip_pose(model.from_pose(wire.read_euler(call.data.get("pose"), "pose"))))

    async def joint_pose(self, call: Call) -> Answer:
        joints = wire.read_joint_pose(call.data.get("pose"), "pose")
        return wire.cartesian_answer(self._controller.tooltip_pose(joints))

    async def pose_distance(self, call: Call) -> Answer:
        a, b = _two(call.data)
        return {"distance": math.dist(a.position_mm, b.position_mm) / 1000.0}

    async def pose_add(self, call: Call) -> Answer:
        a, b = (_transform(pose) for pose in _two(call.data))
        return wire.cartesian_answer(_tooltip_pose(multiply(a, b)))

    async def pose_subtract(self, call: Call) -> Answer:
        a, b = (_transform(pose) for pose in _two(call.data))
        return wire.cartesian_answer(_tooltip_pose(multiply(a, model.invert(b))))

    async def cartesian_offset(self, call: Call) -> Answer:
        offset = model.from_pose(wire.read_euler(call.data.get("pose"), "pose"))
        here = _transform(self._controller.tooltip_pose(self._controller.measured()))
        return wire.cartesian_answer(_tooltip_pose(multiply(here, offset)))

    async def joints_state(self, call: Call) -> Answer:
        controller = self._controller
        struck = controller.failure is not None and controller.failure.kind == "ProtectiveStop"
        still = {"disturbance": 0.0, "amperageDisturbance": 0.0, "windupDisturbance": 0.0}
        joint = {
            "braked": controller.braked,
            "connectionStatus": "ready",
            "inCollision": struck,
            "disturbance": still,
        }
        return {f"J{index}": joint for index in range(6)}

    # -- equipment -------------------------------------------------------------------------------------------------

    async def grip(self, call: Call) -> Answer:
        """Answered empty when the fingers set off."""
        self._controller.grip(wire.read_grip(call.data))
        return None

    async def gripper_configuration(self, call: Call) -> Answer:
        return self._controller.gripper_configuration()

    async def tooltips(self, call: Call) -> Answer:
        return {"tooltips": [{**tip, "is_enabled": True} for tip in (FLANGE_TIP, GRIPPER_TIP)]}

    async def active_tooltip(self, call: Call) -> Answer:
        return dict(GRIPPER_TIP if self._controller.tool_active else FLANGE_TIP)

    async def set_active_tooltip(self, call: Call) -> Answer:
        chosen = wire.word(call.data.get("tcp_option"), "tcp_option", (FLANGE_OPTION, GRIPPER_OPTION))
        self._controller.choose_tooltip(chosen == GRIPPER_OPTION)
        return await self.active_tooltip(call)

    async def get_payload(self, call: Call) -> Answer:
        return {"mass": self._controller.payload_kg}

    async def set_payload(self, call: Call) -> Answer:
        mass = wire.number(call.data.get("mass"), "mass")
        if not 0.0 <= mass <= PAYLOAD_KG:
            raise Refused("invalid_parameters", f"mass: expected 0 to {PAYLOAD_KG:g} kg")
        self._controller.payload_kg = mass
        return None

    async def get_io(self, call: Call) -> Answer:
        return {"state": {**dict.fromkeys(INPUTS, "low"), **self._outputs}}

    async def set_io(self, call: Call) -> Answer:
        state = call.data.get("state")
        if not isinstance(state, dict):
            raise Refused("request_failed_validation", "state: expected an object")
        wanted = {port: wire.word(level, f"state.{port[:20]}", ("high", "low")) for port, level in state.items()}
        for port in wanted:
            if port not in self._outputs:
                raise Refused("invalid_parameters", f"state: {port[:20]!r} is no output of this robot")
        self._outputs.update(wanted)
        return await self.get_io(call)

    async def ros(self, call: Call) -> Answer:
        raise Refused("ros_control_deprecated", "use the external-control API")


PAYLOAD_KG = 18.0  # secondary sources (reference, "RO1 kinematics and limits")
FLANGE_OPTION, GRIPPER_OPTION = "flange", "gripper"  # what a robot calls them depends on its equipment
FLANGE_TIP = {"tcp_option": FLANGE_OPTION, "equipment_id": None, "name": "Flange"}
GRIPPER_TIP = {"tcp_option": GRIPPER_OPTION, "equipment_id": "end-effector", "name": "Between the fingertips"}


def _count(text: str | None, name: str) -> int:
    if text is None:
        return 10 if name == "limit" else 0
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise Refused("request_failed_validation", f"{name}: expected a whole number")
    return int(text)


def _two(data: dict[str, Any]) -> tuple[TooltipPose, TooltipPose]:
    return wire.read_cartesian(data.get("pose1"), "pose1"), wire.read_cartesian(data.get("pose2"), "pose2")


def _transform(pose: TooltipPose) -> Transform:
    x, y, z, w = pose.quaternion
    return from_quaternion((w, x, y, z), pose.position_mm)


def _tooltip_pose(t: Transform) -> TooltipPose:
    w, x, y, z = to_quaternion(t)
    return TooltipPose((t[0][3], t[1][3], t[2][3]), (x, y, z, w))


def _route(method: str, path: str, since: Release, act: Act) -> tuple[str, re.Pattern[str], Release, Act]:
    return method, re.compile(re.escape(PREFIX + path).replace(r"\{\}", "([^/]{1,64})")), since, act


ROUTES = (
    _route("GET", "/status/control-mode", "2024.01", Routes.get_mode),
    _route("POST", "/status/control-mode", "2024.01", Routes.set_mode),
    _route("GET", "/status/health", "2024.01", Routes.health),
    _route("GET", "/movement/brakes", "2024.01", Routes.get_brakes),
    _route("POST", "/movement/brakes", "2024.01", Routes.set_brakes),
    _route("POST", "/movement/brakes/emergency-stop", "2024.01", Routes.emergency_stop),
    _route("GET", "/movement/position/arm", "2024.01", Routes.get_position),
    _route("POST", "/movement/position/arm", "2024.01", Routes.move),
    _route("POST", "/movement/position/arm/controlled", "2025.08", Routes.move_controlled),
    _route("POST", "/movement/position/arm/controlled/{}/heartbeat", "2025.08", Routes.heartbeat),
    _route("POST", "/equipment/end-effector/control", "2024.01", Routes.grip),
    _route("GET", "/equipment/end-effector/configuration", "2024.01", Routes.gripper_configuration),
    _route("GET", "/recovery/status", "2024.10", Routes.recovery_status),
    _route("POST", "/recovery/recover", "2024.10", Routes.recover),
    _route("POST", "/faults/user-fault", "2024.10", Routes.user_fault),
    _route("GET", "/joints", "2024.10", Routes.joints_state),
    _route("GET", "/io", "2024.10", Routes.get_io),
    _route("POST", "/io", "2024.10", Routes.set_io),
    _route("GET", "/identity/bot_identity", "2024.10", Routes.identity),
    _route("GET", "/routine-editor/routines", "2024.10", Routes.list_routines),
    _route("GET", "/routine-editor/routines/{}", "2024.10", Routes.no_routine),
    _route("GET", "/routine-editor/routines/{}/state", "2024.10", Routes.no_routine),
    _route("POST", "/routine-editor/routines/{}/play", "2024.10", Routes.no_routine),
    _route("POST", "/routine-editor/routines/{}/pause", "2024.10", Routes.no_routine),
    _route("POST", "/routine-editor/stop", "2024.10", Routes.stop_routine),
    _route("GET", "/poses/joints-position", "2024.10", Routes.joints_position),
    _route("GET", "/poses/tooltip-position", "2024.10", Routes.tooltip_position),
    _route("GET", "/poses/flange-position", "2024.10", Routes.flange_position),
    _route("POST", "/poses/cartesian-pose", "2025.08", Routes.cartesian_pose),
    _route("POST", "/poses/joint-pose", "2025.08", Routes.joint_pose),
    _route("POST", "/poses/pose-distance", "2025.08", Routes.pose_distance),
    _route("POST", "/poses/add", "2025.08", Routes.pose_add),
    _route("POST", "/poses/subtract", "2025.08", Routes.pose_subtract),
    _route("POST", "/poses/cartesian-offset", "2025.08", Routes.cartesian_offset),
    _route("GET", "/payload", "2025.08", Routes.get_payload),
    _route("POST", "/payload", "2025.08", Routes.set_payload),
    _route("GET", "/equipment/tooltips", "2026.09", Routes.tooltips),
    _route("GET", "/equipment/tooltips/active", "2026.09", Routes.active_tooltip),
    _route("POST", "/equipment/tooltips/active", "2026.09", Routes.set_active_tooltip),
    _route("GET", "/movement/ros/state", "2026.09", Routes.ros),
    _route("POST", "/movement/ros/state", "2026.09", Routes.ros),
)
"""In the first release in which the compared clients have them; where the comparison is silent, the middle ones."""


@lru_cache(maxsize=256)
def _found(method: str, path: str) -> tuple[tuple[Release, Act, tuple[str, ...]], ...]:
    """All that this is asked for by. The same few paths come several times a second."""
    return tuple(
        (since, act, match.groups())
        for of, pattern, since, act in ROUTES
        if of == method and (match := re.fullmatch(pattern, path)) is not None
    )

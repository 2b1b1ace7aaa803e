"""The RO1's REST API without I/O: requests as values, answers (status and bytes) as typed values or a clear error.

Reference "standard-bots-ro1". Tolerant of what a newer robot adds (codes, kinds, fields), strict about what we need. A
status of 200 alone says nothing: a motion's answer can carry a `failure` event.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from edgechess_robots.errors import ArmProtocolError, ArmRefused

PORT = 3000
TUNNEL_PORT = 443
PREFIX = "/api/v1"
HEARTBEAT_MS = 300  # the API's own figure: a beat at least this often, or the robot ends the motion

RobotKind = Literal["live", "simulated"]
MovementKind = Literal["joint", "line"]
ControlMode = Literal["api", "routine_editor"]
BrakeState = Literal["engaged", "disengaged"]
GripperKind = Literal["onrobot_2fg7", "robotiq_2f"]

GRIPPER_KINDS = (
    "onrobot_2fg7",
    "onrobot_2fg14",
    "onrobot_3fg15",
    "onrobot_screwdriver",
    "schunk_egx",
    "robotiq_2f",
    "robotiq_epick",
)
ENDED_WELL = frozenset({"success", "complete"})
ENDED_BADLY = frozenset({"failure", "canceled"})

CURES = {
    "authorization_required": "the token is wrong or the Developer API is off; both are in the robot's app under"
    " Settings, Configure Developer API",
    "api_control_required": "the robot is not in control mode api; end what uses it in its app",
    "brakes_must_be_disengaged": "the brakes are engaged",
    "brakes_must_be_engaged": "the brakes are not engaged",
    "robot_not_idle": "the robot is busy with something else",
    "equipment_no_matching": "no gripper of this kind is configured on the robot: attach it, or set `gripper`",
    "service_initializing": "the robot is still starting",
    "robot_brakes_disengage_failed": "the brakes did not open: is an emergency stop pressed?",
    "recovery_error": "the robot could not recover: look at its app, is an emergency stop pressed?",
    "io_safeguard_error": "a safeguard is open",
    "robot_out_of_compliance_bounds": "the arm was pushed too far from where it should be",
    "routine_running": "a routine runs on the robot: stop it in its app",
    "legacy_ros_api_enabled": "ROS control is on: switch it off in the robot's app",
}
"""What is known of the robot's own error codes beyond their name."""


class ApiBroken(ArmProtocolError):
    """The answer is none of this API's: HTML, no JSON, a field missing, a status that says only that there is no answer."""


class ApiRefused(ArmRefused):
    """The robot said no. `error` is its own word, `status` the HTTP status."""

    def __init__(self, reason: str, error: str, status: int) -> None:
        super().__init__(reason, status)
        self.error = error
        self.status = status


class NotOffered(ApiRefused):
    """Status 404: this release of the robot does not have the endpoint, or does not know the thing asked about."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    method: Literal["GET", "POST"]
    path: str
    body: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def content(self) -> bytes:
        return b"" if self.body is None else json.dumps(self.body).encode("utf-8")


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `name` is the request's."""

    name: str
    status: int
    body: bytes


# --- what is asked ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Tooltip:
    """The active tooltip in the base frame: metres, and a quaternion of the API's frame (x out of the flange)."""

    x_m: float
    y_m: float
    z_m: float
    qx: float
    qy: float
    qz: float
    qw: float


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """One motion: to a tooltip or to joint angles (exactly one), rad and m, rad/s and m/s."""

    kind: MovementKind
    tooltip: Tooltip | None = None
    joints_rad: tuple[float, ...] | None = None
    joint_speeds_rad_s: tuple[float, ...] | None = None
    tooltip_speed_m_s: float | None = None

    def __post_init__(self) -> None:
        if (self.tooltip is None) == (self.joints_rad is None):
            raise ValueError("a motion goes to a tooltip or to joint angles")

    def body(self) -> dict[str, Any]:
        """As the vendor's SDK writes it: what is not set is an explicit null."""
        return {
            "kind": "tooltip_position" if self.tooltip is not None else "joint_rotation",
            "tooltip_positions": None,
            "tooltip_position": None if self.tooltip is None else _pose_body(self.tooltip),
            "joint_rotations": None,
            "joint_rotation": None if self.joints_rad is None else {"joints": list(self.joints_rad)},
            "movement_kind": self.kind,
            "speed_profile": {
                "max_joint_speeds": None if self.joint_speeds_rad_s is None else list(self.joint_speeds_rad_s),
                "max_joint_accelerations": None,
                "max_tooltip_speed": self.tooltip_speed_m_s,
                "max_joint_torques": None,
                "base_acceleration_scaling": None,
                "base_velocity_scaling": None,
                "scaling_factor": None,
            },
        }


def _pose_body(tooltip: Tooltip) -> dict[str, Any]:
    return {
        "axis_alignment": "base",
        "reference_frame": "base",
        "local_accuracy_calibration": None,
        "position": {"unit_kind": "meters", "x": tooltip.x_m, "y": tooltip.y_m, "z": tooltip.z_m},
        "orientation": {
            "kind": "quaternion",
            "quaternion": {"x": tooltip.qx, "y": tooltip.qy, "z": tooltip.qz, "w": tooltip.qw},
        },
    }


HEALTH = Request("GET", f"{PREFIX}/status/health")
CONTROL_MODE = Request("GET", f"{PREFIX}/status/control-mode")
RECOVERY = Request("GET", f"{PREFIX}/recovery/status")
RECOVER = Request("POST", f"{PREFIX}/recovery/recover")
BRAKES = Request("GET", f"{PREFIX}/movement/brakes")
POSITION = Request("GET", f"{PREFIX}/movement/position/arm")
FLANGE = Request("GET", f"{PREFIX}/poses/flange-position")
STOP_ROUTINE = Request("POST", f"{PREFIX}/routine-editor/stop")
GRIPPER = Request("GET", f"{PREFIX}/equipment/end-effector/configuration")


def take_control(mode: ControlMode = "api") -> Request:
    return Request("POST", f"{PREFIX}/status/control-mode", {"kind": mode})


def set_brakes(state: BrakeState) -> Request:
    return Request("POST", f"{PREFIX}/movement/brakes", {"state": state})


def emergency_stop(reason: str) -> Request:
    """Cuts the arm's power: the last resort, not a stop."""
    return Request("POST", f"{PREFIX}/movement/brakes/emergency-stop", {"reason": reason})


def move(order: Move) -> Request:
    """Answered when the motion has ended."""
    return Request("POST", f"{PREFIX}/movement/position/arm", order.body())


def move_controlled(order: Move) -> Request:
    """Answered when the motion begins; it ends when beats stay away."""
    body = {"heartbeat_interval": HEARTBEAT_MS, "expires_after_ms": None, **order.body()}
    return Request("POST", f"{PREFIX}/movement/position/arm/controlled", body)


ASK_CONTROLLED = Request("POST", f"{PREFIX}/movement/position/arm/controlled", {"kind": None})
"""An order of nothing to nowhere: `kind` is required, so it is refused where there are controlled motions, and moves nothing
anywhere. Where there are none it is not found. The API has no list of what it offers."""


def heartbeat(motion: str) -> Request:
    return Request("POST", f"{PREFIX}/movement/position/arm/controlled/{motion}/heartbeat")


def onrobot_2fg7(width_mm: float, force_n: float, *, grip: bool) -> Request:
    """Fingers to a width between them; `grip`: and hold what they meet with the force."""
    return _gripper(
        "onrobot_2fg7",
        {
            "grip_direction": "external",
            "target_force": {"unit_kind": "newtons", "value": force_n},
            "target_grip_width": {"unit_kind": "millimeters", "value": width_mm},
            "control_kind": "force_grip" if grip else "move",
        },
    )


def robotiq_2f(width_mm: float, force_n: float, speed_mm_s: float) -> Request:
    return _gripper(
        "robotiq_2f",
        {
            "control_kind": "move",
            "target_grip_width": {"unit_kind": "millimeters", "value": width_mm},
            "target_speed": speed_mm_s,
            "target_force": {"unit_kind": "newtons", "value": force_n},
        },
    )


def _gripper(kind: GripperKind, command: Mapping[str, Any]) -> Request:
    body: dict[str, Any] = {"kind": kind, **dict.fromkeys(GRIPPER_KINDS)}
    body[kind] = command
    return Request("POST", f"{PREFIX}/equipment/end-effector/control", body)


# --- what is answered -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    health: str
    build: str
    """The release's name, e.g. "release/2025.08.01.44"; empty where the robot does not say."""


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """`trace_id` tells one failure from the next of the same kind."""

    kind: str
    reason: str
    recovery_type: str
    trace_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Recovery:
    """`status`: Idle, RunningAdHocCommand, RoutineRunning, Antigravity, AntigravitySlow, Failure, Recovering, or newer."""

    status: str
    failed: bool
    failure: Failure | None


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    joints_rad: tuple[float, ...]
    tooltip: Tooltip


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """How far a motion is. `reason` says why it ended badly; `position` where the arm was, if the robot told."""

    kind: str
    reason: str
    position: Position | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Motion:
    """A controlled motion."""

    id: str
    active: bool
    event: Event

    @property
    def done(self) -> bool:
        return not self.active and self.event.kind in ENDED_WELL

    @property
    def failed(self) -> bool:
        return self.event.kind in ENDED_BADLY or (not self.active and not self.done)


@dataclasses.dataclass(frozen=True, slots=True)
class GripperReport:
    """Widths are between the fingers' inner faces; None, also of `holding`: this gripper does not say. `faults`: what is wrong with it, in the robot's words."""

    kind: str
    holding: bool | None = None
    width_mm: float | None = None
    least_mm: float | None = None
    most_mm: float | None = None
    faults: tuple[str, ...] = ()


def accept(answer: Answer) -> dict[str, Any]:
    """The object in an answer of success; empty for an empty body. Raises ApiRefused (NotOffered for 404), ApiBroken."""
    if answer.status == 200 and not answer.body.strip():
        return {}
    if answer.status in (501, 502, 504):
        raise ApiBroken(f"{answer.name}: status {answer.status}: something before the robot answered in its place")
    found = _object(answer)
    if answer.status == 200:
        if found is None:
            raise ApiBroken(f"{answer.name}: answered with {_shown(answer.body)}, expected a JSON object")
        return found
    error, message = _error(found)
    if answer.status == 401:
        error = error or "authorization_required"
    if not error and answer.status != 404:
        raise ApiBroken(
            f"{answer.name}: status {answer.status} with {_shown(answer.body)}, expected an error of the API"
        )
    cure = CURES.get(error)
    said = f" ({message})" if message else ""
    text = f"{answer.name}: {error or 'not found'}{f': {cure}' if cure else ''}{said}"
    raise (NotOffered if answer.status == 404 else ApiRefused)(text, error or "not_found", answer.status)


def health(answer: Answer) -> Health:
    found = accept(answer)
    build = found.get("build")
    name = build.get("name") if isinstance(build, dict) else None
    return Health(_text(answer, found, "health"), name if isinstance(name, str) else "")


def control_mode(answer: Answer) -> str:
    return _text(answer, accept(answer), "kind")


def brakes(answer: Answer) -> str:
    return _text(answer, accept(answer), "state")


def recovery(answer: Answer) -> Recovery:
    found = accept(answer)
    told = found.get("failure")
    failure = None
    if isinstance(told, dict):
        failure = Failure(*(str(told.get(key) or "") for key in _FAILURE))
    status = _text(answer, found, "status")
    return Recovery(status, found.get("failed") is True or status == "Failure", failure)


_FAILURE = ("kind", "reason", "recovery_type", "failure_trace_id")


def flange(answer: Answer) -> Tooltip:
    """The flange, in metres."""
    told = _member(answer, accept(answer), "pose")
    return Tooltip(*(_number(answer, told, key) for key in ("x", "y", "z", "i", "j", "k", "w")))


def position(answer: Answer) -> Position:
    return _position(answer, accept(answer))


def _position(answer: Answer, found: Mapping[str, Any]) -> Position:
    joints = found.get("joint_rotations")
    if not isinstance(joints, list) or len(joints) != 6:
        raise ApiBroken(f"{answer.name}: joint_rotations is {joints!r}: expected six angles")
    told = _member(answer, found, "tooltip_position")
    place, orientation = _member(answer, told, "position"), _member(answer, told, "orientation")
    factor = _to_metres(answer, place.get("unit_kind"))
    quaternion = _member(answer, orientation, "quaternion")
    return Position(
        tuple(_finite(answer, "joint_rotations", angle) for angle in joints),
        Tooltip(
            *(factor * _number(answer, place, axis) for axis in "xyz"),
            *(_number(answer, quaternion, axis) for axis in "xyzw"),
        ),
    )


def event(answer: Answer) -> Event:
    """Of a motion that the robot waited out."""
    return _event(answer, accept(answer))


def motion(answer: Answer) -> Motion:
    found = accept(answer)
    active = found.get("is_active")
    if not isinstance(active, bool):
        raise ApiBroken(f"{answer.name}: is_active is {active!r}: expected true or false")
    return Motion(_text(answer, found, "id"), active, _event(answer, _member(answer, found, "event")))


def gripper(answer: Answer) -> GripperReport:
    found = accept(answer)
    kind = found.get("kind")
    if not isinstance(kind, str) or kind in ("", "none_connected"):
        return GripperReport("none_connected")
    told = found.get(kind)
    if not isinstance(told, dict):
        return GripperReport(kind)
    held = told.get("grip_detected")
    faults = tuple(sorted(key for key, value in told.items() if key.endswith("_error") and value is True))
    scale = _plain_scale(told)
    return GripperReport(
        kind,
        held if isinstance(held, bool) else None,
        _width_mm(answer, told.get("width_inner"), scale),
        _width_mm(answer, told.get("min_width_inner", told.get("min_grip_width")), scale),
        _width_mm(answer, told.get("max_width_inner", told.get("max_grip_width")), scale),
        faults,
    )


def _plain_scale(told: Mapping[str, Any]) -> float:
    """Millimetres in a plain number, for which the API names no unit: no gripper opens less than a millimetre or more
    than a metre, so its own largest width tells whether it counts in metres."""
    largest = told.get("max_width_inner")
    return 1000.0 if isinstance(largest, int | float) and 0.0 < largest < 1.0 else 1.0


def _width_mm(answer: Answer, width: object, scale: float) -> float | None:
    if width is None:
        return None
    if isinstance(width, dict):
        return _number(answer, width, "value") * _to_metres(answer, width.get("unit_kind")) * 1000.0
    return _finite(answer, "width", width) * scale


def _event(answer: Answer, found: Mapping[str, Any]) -> Event:
    told = found.get("failure") or found.get("canceled")
    reason = ""
    if isinstance(told, dict):
        words = (told.get(key) for key in ("kind", "reason", "internal_reason"))
        reason = ": ".join(word for word in words if isinstance(word, str) and word)
    kind = _text(answer, found, "kind")
    if isinstance(found.get("failure"), dict):
        kind = "failure"  # whatever the kind says
    return Event(kind, reason, _position_if_told(answer, found))


def _position_if_told(answer: Answer, found: Mapping[str, Any]) -> Position | None:
    """A beat's answer is good without it."""
    told = found.get("position")
    if not isinstance(told, dict):
        return None
    try:
        return _position(answer, told)
    except ApiBroken:
        return None


_METRES = {"meters": 1.0, "millimeters": 0.001, "centimeters": 0.01, "inches": 0.0254, "feet": 0.3048}


def _to_metres(answer: Answer, unit: object) -> float:
    if not isinstance(unit, str) or unit not in _METRES:
        raise ApiBroken(f"{answer.name}: unit_kind is {unit!r}: expected one of {', '.join(_METRES)}")
    return _METRES[unit]


def _object(answer: Answer) -> dict[str, Any] | None:
    try:
        found = json.loads(answer.body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _error(found: Mapping[str, Any] | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    error, message = found.get("error"), found.get("message")
    return error if isinstance(error, str) else "", message if isinstance(message, str) else ""


def _text(answer: Answer, found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str):
        raise ApiBroken(f"{answer.name}: {key} is {value!r}: expected text")
    return value


def _member(answer: Answer, found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = found.get(key)
    if not isinstance(value, dict):
        raise ApiBroken(f"{answer.name}: {key} is {value!r}: expected an object")
    return value


def _number(answer: Answer, found: Mapping[str, Any], key: str) -> float:
    return _finite(answer, key, found.get(key))


def _finite(answer: Answer, key: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ApiBroken(f"{answer.name}: {key} is {value!r}: expected a number")
    return float(value)


def _shown(body: bytes, most: int = 60) -> str:
    text = body[:most].decode("utf-8", "replace")
    return repr(text + "…") if len(body) > most else repr(text)


def headers(robot_kind: RobotKind, token: str) -> Sequence[tuple[str, str]]:
    """Of every request. Both spellings of the kind: the oldest releases know only the first, and proxies drop it."""
    return (
        ("Authorization", f"Bearer {token}"),
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
        ("robot_kind", robot_kind),
        ("robot-kind", robot_kind),
    )

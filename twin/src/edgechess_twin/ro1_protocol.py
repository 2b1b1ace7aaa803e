"""What travels in the bodies of an RO1's API: requests read strictly, answers as JSON values.

Shapes, names and codes are those of reference "standard-bots-ro1" and of the vendor's own SDK models; metres, radians and
quaternions x, y, z, w on the wire, millimetres and degrees inside. Unset fields come as null; unknown ones are passed over.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

Numbers = tuple[float, ...]

STATUS: Mapping[str, int] = {
    "authorization_required": 401,
    "request_failed_validation": 400,
    "invalid_parameters": 400,
    "not_found": 404,
    "routine_does_not_exist": 404,
    "invalid_space_specified": 404,
    "service_initializing": 503,
    "internal_server_error": 500,
    "ros_control_deprecated": 410,
}
"""HTTP status per error code (reference, "Error model"); every other code is a 409."""

UNIT_MM: Mapping[str, float] = {
    "millimeters": 1.0,
    "centimeters": 10.0,
    "meters": 1000.0,
    "inches": 25.4,
    "feet": 304.8,
}
UNIT_N: Mapping[str, float] = {"newtons": 1.0, "pounds": 4.4482216}
FAR_MM = 100_000.0  # nothing on a table is a hundred metres away
WAYPOINTS = 256  # ours: of one request
QUATERNION_SLACK = 0.01  # how far from 1 the length of a rotation may be: clients round
HEARTBEAT_MS = (20, 5000)  # ours: what a heartbeat interval may be
HEARTBEAT_DEFAULT_MS = 300  # SDK docstring: "every 300ms"


class Refused(Exception):
    """The request is answered with an error. `code` is one of the vendor's error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = STATUS.get(code, 409)


@dataclasses.dataclass(frozen=True, slots=True)
class TooltipPose:
    """Of the tooltip in the base frame: mm, and a unit quaternion x, y, z, w."""

    position_mm: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class SpeedProfile:
    """Limits a client asks for; None: the robot's own. Scalings multiply speed and acceleration."""

    joint_speed_deg_s: Numbers | None = None
    joint_acceleration_deg_s2: Numbers | None = None
    tooltip_speed_mm_s: float | None = None
    speed_part: float = 1.0
    acceleration_part: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """One `ArmPositionUpdateRequest`: tooltip poses or joints (degrees), never both."""

    poses: tuple[TooltipPose, ...] = ()
    joints_deg: tuple[Numbers, ...] = ()
    line: bool = False
    profile: SpeedProfile = SpeedProfile()


@dataclasses.dataclass(frozen=True, slots=True)
class Heartbeat:
    """How often a controlled move wants to hear its client, and when it gives up (None: see the controller)."""

    interval_ms: int = HEARTBEAT_DEFAULT_MS
    expires_after_ms: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Grip:
    """One order to a two-finger gripper. None: the gripper's own."""

    kind: str
    width_mm: float | None
    force_n: float | None
    speed_mm_s: float | None = None
    internal: bool = False


# -- reading ---------------------------------------------------------------------------------------------------------


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises Refused for anything else, NaN and infinities included."""
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused("request_failed_validation", "the body is not JSON") from None
    return _object(value, "the body")


def _no_constant(word: str) -> float:
    raise ValueError(word)


def _invalid(where: str, what: str) -> Refused:
    return Refused("request_failed_validation", f"{where}: {what}")


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(where, "expected an object")
    return value


def number(value: Any, where: str) -> float:
    """A finite number. Raises Refused that names the field."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(where, "expected a number")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise _invalid(where, "expected a finite number")
    return result


def text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _invalid(where, "expected a string")
    return value


def word(value: Any, where: str, words: tuple[str, ...]) -> str:
    """One of the words. Raises Refused that names them."""
    if value not in words or not isinstance(value, str):
        raise _invalid(where, f"expected one of {', '.join(words)}")
    return value


def _above_zero(value: Any, where: str) -> float:
    result = number(value, where)
    if result <= 0.0:
        raise _invalid(where, "expected more than 0")
    return result


def _six(value: Any, where: str, read: Callable[[Any, str], float]) -> Numbers:
    if not isinstance(value, list) or len(value) != 6:
        raise _invalid(where, "expected six numbers")
    return tuple(read(item, f"{where}[{index}]") for index, item in enumerate(value))


def _many(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= WAYPOINTS:
        raise _invalid(where, f"expected a list of 1 to {WAYPOINTS}")
    return value


def read_move(data: dict[str, Any]) -> Move:
    kind = word(
        data.get("kind"), "kind", ("tooltip_position", "tooltip_positions", "joint_rotation", "joint_rotations")
    )
    movement = data.get("movement_kind")
    line = movement is not None and word(movement, "movement_kind", ("joint", "line")) == "line"
    profile = _profile(data.get("speed_profile"))
    given = data.get(kind)
    items = _many(given, kind) if kind.endswith("s") else [given]
    names = [f"{kind}[{index}]" if kind.endswith("s") else kind for index in range(len(items))]
    if kind.startswith("tooltip"):
        poses = tuple(_pose(item, name) for item, name in zip(items, names, strict=True))
        return Move(poses=poses, line=line, profile=profile)
    if line:
        raise _invalid("movement_kind", "joint rotations are reached by a joint movement")
    joints = tuple(_joints(item, name) for item, name in zip(items, names, strict=True))
    return Move(joints_deg=joints, profile=profile)


def _pose(value: Any, where: str) -> TooltipPose:
    data = _object(value, where)
    for name in ("reference_frame", "axis_alignment"):
        if data.get(name) not in (None, "base"):
            raise Refused(
                "invalid_space_specified", f"{where}.{name}: {str(data[name])[:40]!r} is not known, only base"
            )
    position = _object(data.get("position"), f"{where}.position")
    unit = UNIT_MM[word(position.get("unit_kind"), f"{where}.position.unit_kind", tuple(UNIT_MM))]
    x, y, z = (_length(position.get(axis), unit, f"{where}.position.{axis}") for axis in "xyz")
    orientation = _object(data.get("orientation"), f"{where}.orientation")
    word(orientation.get("kind"), f"{where}.orientation.kind", ("quaternion",))
    return TooltipPose((x, y, z), _quaternion(orientation.get("quaternion"), f"{where}.orientation.quaternion", "xyzw"))


def _length(value: Any, unit: float, where: str) -> float:
    length = 0.0 if value is None else number(value, where) * unit  # "all empty values default to 0"
    if abs(length) > FAR_MM:
        raise _invalid(where, "further away than 100 m")
    return length


def _quaternion(value: Any, where: str, keys: str) -> tuple[float, float, float, float]:
    data = _object(value, where)
    x, y, z, w = (number(data.get(key), f"{where}.{key}") for key in keys)
    length = math.hypot(x, y, z, w)
    if abs(length - 1.0) > QUATERNION_SLACK:
        raise _invalid(where, f"its length is {length:.3g}: a rotation's is 1")
    return x / length, y / length, z / length, w / length


def _joints(value: Any, where: str) -> Numbers:
    joints = _six(_object(value, where).get("joints"), f"{where}.joints", number)
    return tuple(math.degrees(joint) for joint in joints)


def _profile(value: Any) -> SpeedProfile:
    if value is None:
        return SpeedProfile()
    data = _object(value, "speed_profile")

    def part(name: str) -> float:
        given = data.get(name)
        scale = 1.0 if given is None else _above_zero(given, f"speed_profile.{name}")
        if scale > 1.0:
            raise _invalid(f"speed_profile.{name}", "expected at most 1")
        return scale

    def six(name: str) -> Numbers | None:
        given = data.get(name)
        return None if given is None else _six(given, f"speed_profile.{name}", _above_zero)

    six("max_joint_torques")  # of the newest builds; nothing in the twin feels a torque
    speeds, accelerations = six("max_joint_speeds"), six("max_joint_accelerations")
    tooltip = data.get("max_tooltip_speed")
    whole = part("scaling_factor")
    return SpeedProfile(
        None if speeds is None else tuple(math.degrees(v) for v in speeds),
        None if accelerations is None else tuple(math.degrees(a) for a in accelerations),
        None if tooltip is None else _above_zero(tooltip, "speed_profile.max_tooltip_speed") * 1000.0,
        whole * part("base_velocity_scaling"),
        whole * part("base_acceleration_scaling"),
    )


def read_heartbeat(data: dict[str, Any]) -> Heartbeat:
    def milliseconds(name: str) -> int | None:
        value = data.get(name)
        if value is None:
            return None
        least, most = HEARTBEAT_MS
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _invalid(name, f"expected whole milliseconds from {least} to {most}")
        return value

    interval = milliseconds("heartbeat_interval")
    return Heartbeat(HEARTBEAT_DEFAULT_MS if interval is None else interval, milliseconds("expires_after_ms"))


GRIPPERS = (
    "onrobot_2fg7",
    "onrobot_2fg14",
    "onrobot_3fg15",
    "onrobot_screwdriver",
    "schunk_egx",
    "robotiq_2f",
    "robotiq_epick",
    "none_connected",
)


def read_grip(data: dict[str, Any]) -> Grip:
    """The order for the gripper it names. Of kinds that no table here has, only the name is read."""
    kind = word(data.get("kind"), "kind", GRIPPERS)
    if kind == "onrobot_2fg7":
        order = _object(data.get(kind), kind)
        direction = word(order.get("grip_direction"), f"{kind}.grip_direction", ("internal", "external"))
        control = word(order.get("control_kind"), f"{kind}.control_kind", ("move", "force_grip"))
        width, force = _width(order, kind), _force(order, kind)
        if control == "move" and width is None:
            raise _invalid(f"{kind}.target_grip_width", "a move needs one")
        return Grip(kind, width, force, internal=direction == "internal")
    if kind == "robotiq_2f":
        order = _object(data.get(kind), kind)
        word(order.get("control_kind"), f"{kind}.control_kind", ("move",))
        width, force = _width(order, kind), _force(order, kind)
        speed = _above_zero(order.get("target_speed"), f"{kind}.target_speed")  # no unit is named; taken for mm/s
        for name, value in (("target_grip_width", width), ("target_force", force)):
            if value is None:
                raise _invalid(f"{kind}.{name}", "is required")
        return Grip(kind, width, force, speed_mm_s=speed)
    return Grip(kind, None, None)


def _width(order: dict[str, Any], kind: str) -> float | None:
    return _measure(order.get("target_grip_width"), f"{kind}.target_grip_width", UNIT_MM)


def _force(order: dict[str, Any], kind: str) -> float | None:
    return _measure(order.get("target_force"), f"{kind}.target_force", UNIT_N)


def _measure(value: Any, where: str, units: Mapping[str, float]) -> float | None:
    if value is None:
        return None
    data = _object(value, where)
    unit = units[word(data.get("unit_kind"), f"{where}.unit_kind", tuple(units))]
    size = number(data.get("value"), f"{where}.value") * unit
    if size < 0.0:
        raise _invalid(where, "expected at least 0")
    return size


def read_cartesian(value: Any, where: str) -> TooltipPose:
    """A pose of the `/poses` endpoints: metres, and a rotation i, j, k, w."""
    data = _object(value, where)
    x, y, z = (number(data.get(axis), f"{where}.{axis}") * 1000.0 for axis in "xyz")
    return TooltipPose((x, y, z), _quaternion(data, where, "ijkw"))


def read_euler(value: Any, where: str) -> tuple[float, float, float, float, float, float]:
    """x, y, z in mm and rx, ry, rz in degrees of a `/poses` body in metres and radians; what is not given is 0."""
    data = _object(value, where)

    def at(name: str) -> float:
        given = data.get(name)
        return 0.0 if given is None else number(given, f"{where}.{name}")

    x, y, z = (at(name) * 1000.0 for name in ("x", "y", "z"))
    rx, ry, rz = (math.degrees(at(name)) for name in ("rx", "ry", "rz"))
    return x, y, z, rx, ry, rz


def read_joint_pose(value: Any, where: str) -> Numbers:
    """j0 to j5 in degrees of a `/poses` body in radians."""
    data = _object(value, where)
    return tuple(math.degrees(number(data.get(f"j{index}"), f"{where}.j{index}")) for index in range(6))


# -- answering -------------------------------------------------------------------------------------------------------


def error_answer(code: str, message: str) -> dict[str, object]:
    return {"error": code, "message": message}


def position_answer(joints_deg: Numbers, pose: TooltipPose) -> dict[str, object]:
    """`CombinedArmPosition`: radians and metres."""
    x, y, z = pose.position_mm
    qx, qy, qz, qw = pose.quaternion
    return {
        "joint_rotations": [math.radians(joint) for joint in joints_deg],
        "tooltip_position": {
            "axis_alignment": "base",
            "reference_frame": "base",
            "local_accuracy_calibration": None,
            "position": {"unit_kind": "meters", "x": x / 1000.0, "y": y / 1000.0, "z": z / 1000.0},
            "orientation": {"kind": "quaternion", "quaternion": {"x": qx, "y": qy, "z": qz, "w": qw}},
        },
    }


def cartesian_answer(pose: TooltipPose) -> dict[str, object]:
    x, y, z = pose.position_mm
    i, j, k, w = pose.quaternion
    return {"pose": {"x": x / 1000.0, "y": y / 1000.0, "z": z / 1000.0, "i": i, "j": j, "k": k, "w": w}}


def event_answer(
    kind: str,
    *,
    failure: tuple[str, str] | None = None,
    canceled: tuple[str, str] | None = None,
    position: dict[str, object] | None = None,
) -> dict[str, object]:
    """`ArmPositionUpdateEvent`. `failure` and `canceled` are kind and reason."""
    return {
        "kind": kind,
        "failure": None if failure is None else {"kind": failure[0], "reason": failure[1], "internal_reason": None},
        "canceled": None if canceled is None else {"kind": canceled[0], "reason": canceled[1]},
        "position": position,
    }

"""The ASCII command protocol of Dobot V4 controllers (port 29999), without I/O.

A request is `Name(p1,p2,…)`, complete at its closing parenthesis. A reply is `ErrorID,{values},echo;` and several may
come in one segment, or one in several. Source: reference "dobot-tcp-ip-v4" sections 2 to 6.
Both directions are here, because a controller in software reads what a driver writes.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Iterable, Sequence

COMMAND_PORT = 29999
REPLY_LIMIT_BYTES = 16_384  # the longest documented reply, GetErrorID with every alarm, is well under 4 kB
REQUEST_LIMIT_BYTES = 4_096  # the longest documented request is a few hundred bytes
NOT_TCP = "Control Mode Is Not Tcp"  # answered without any terminator when the controller is in another mode

_MAX_WORLD_MM = 3_000.0  # no arm of the family reaches farther: a larger number is a caller's mistake


class RobotMode(enum.IntEnum):
    """`RobotMode()` and the feedback frame at offset 24 (section 5)."""

    INIT = 1
    BRAKE_OPEN = 2
    POWER_OFF = 3
    DISABLED = 4
    ENABLED = 5
    DRAG = 6
    RUNNING = 7
    SINGLE_MOVE = 8
    ERROR = 9
    PAUSE = 10
    COLLISION = 11


class ErrorKind(enum.Enum):
    """What the first field of a reply means (section 4)."""

    OK = "ok"
    FAILED = "execution failed"
    IN_ERROR = "the controller is in an error state"
    EMERGENCY_STOP = "the emergency stop is pressed"
    POWERED_OFF = "the arm is powered off"
    SCRIPT_RUNNING = "a script is running"
    JOG_MISMATCH = "axis and coordinate type do not fit"
    SCRIPT_PAUSED = "a script is paused"
    LICENCE = "the licence has expired"
    UNKNOWN_COMMAND = "unknown command"
    PARAMETER_COUNT = "wrong number of parameters"
    REQUIRED_TYPE = "a required parameter has the wrong type"
    REQUIRED_RANGE = "a required parameter is out of range"
    OPTIONAL_TYPE = "an optional parameter has the wrong type"
    OPTIONAL_RANGE = "an optional parameter is out of range"
    TRAY = "a tray error"
    UNDOCUMENTED = "an undocumented error"


_ERROR_KINDS = {
    0: ErrorKind.OK,
    -1: ErrorKind.FAILED,
    -2: ErrorKind.IN_ERROR,
    -3: ErrorKind.EMERGENCY_STOP,
    -4: ErrorKind.POWERED_OFF,
    -5: ErrorKind.SCRIPT_RUNNING,
    -6: ErrorKind.JOG_MISMATCH,
    -7: ErrorKind.SCRIPT_PAUSED,
    -8: ErrorKind.LICENCE,
    -10000: ErrorKind.UNKNOWN_COMMAND,
    -20000: ErrorKind.PARAMETER_COUNT,
}
_NUMBERED_KINDS = {
    3: ErrorKind.REQUIRED_TYPE,
    4: ErrorKind.REQUIRED_RANGE,
    5: ErrorKind.OPTIONAL_TYPE,
    6: ErrorKind.OPTIONAL_RANGE,
}


def error_kind(error_id: int) -> ErrorKind:
    if error_id in _ERROR_KINDS:
        return _ERROR_KINDS[error_id]
    if -100004 <= error_id <= -100001:
        return ErrorKind.TRAY
    ten_thousands, number = divmod(-error_id, 10_000)
    if 1 <= number <= 99:
        return _NUMBERED_KINDS.get(ten_thousands, ErrorKind.UNDOCUMENTED)
    return ErrorKind.UNDOCUMENTED


def error_text(error_id: int) -> str:
    """In words, with the parameter's number where the id has one: "a required parameter is out of range (no. 2)"."""
    kind = error_kind(error_id)
    if kind in _NUMBERED_KINDS.values():
        return f"{kind.value} (no. {-error_id % 10_000})"
    return kind.value


# Alarm numbers of GetErrorID (section 4).
ALARM_COLLISION = 117
EMERGENCY_STOP_ALARMS = frozenset({116, 132, 133})
_ALARM_TEXTS = {
    16: "near the shoulder singularity",
    17: "inverse kinematics has no solution",
    18: "target outside the working area",
    19: "start and end of an arc are equal",
    26: "near the wrist singularity",
    27: "near the elbow singularity",
    29: "wrong speed parameter",
    30: "inverse kinematics failed",
    114: "zero calibration",
    115: "failed to enable",
    116: "emergency stop button pressed",
    117: "collision detected",
    132: "software emergency stop",
    133: "user emergency stop",
    160: "the command does not support pausing",
    224: "near a safe area",
    2050: "protective stop timeout",
}


def alarm_text(alarm_id: int) -> str:
    """ "alarm 117: collision detected"; the bare number when the reference does not explain it."""
    if alarm_id in _ALARM_TEXTS:
        text = _ALARM_TEXTS[alarm_id]
    elif 48 <= alarm_id <= 53:
        text = f"joint {alarm_id - 47} too fast"
    elif 64 <= alarm_id <= 75:  # 64 is J1 positive, 70 is J4 positive
        joint, side = divmod(alarm_id - 64, 2)
        text = f"joint {joint + 1} at its {'negative' if side else 'positive'} limit"
    else:
        return f"alarm {alarm_id}"
    return f"alarm {alarm_id}: {text}"


def alarms_text(alarm_ids: Sequence[int]) -> str:
    return "; ".join(alarm_text(alarm_id) for alarm_id in alarm_ids) or "an error state without an alarm number"


# --- What a driver sends ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """One request. `moves`: it can set the arm in motion, so it is never sent twice nor while a stop is in force."""

    name: str
    text: str
    moves: bool = False

    def encode(self) -> bytes:
        return self.text.encode("ascii")


def _command(name: str, *parameters: str, moves: bool = False) -> Command:
    return Command(name, f"{name}({','.join(parameters)})", moves)


def _six(values: Sequence[float]) -> str:
    if len(values) != 6 or not all(abs(v) <= _MAX_WORLD_MM for v in values):
        raise ValueError(f"expected six finite numbers within ±{_MAX_WORLD_MM:.0f}, got {tuple(values)}")
    return "{" + ",".join(f"{v:.6f}" for v in values) + "}"


def _between(name: str, value: int, low: int, high: int) -> str:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}: expected {low} to {high}")
    return str(value)


def request_control() -> Command:
    """Switches the controller into TCP mode; accepted only while it is not enabled (firmware 4.6.0 on)."""
    return _command("RequestControl")


def power_on() -> Command:
    """Takes about ten seconds; nothing may be commanded before it is done."""
    return _command("PowerOn")


def enable_robot(load_kg: float | None = None) -> Command:
    return _command("EnableRobot") if load_kg is None else _command("EnableRobot", f"{load_kg:.3f}")


def disable_robot() -> Command:
    return _command("DisableRobot")


def clear_error() -> Command:
    return _command("ClearError")


def robot_mode() -> Command:
    return _command("RobotMode")


def get_error_id() -> Command:
    return _command("GetErrorID")


def get_current_command_id() -> Command:
    return _command("GetCurrentCommandID")


def speed_factor(percent: int) -> Command:
    return _command("SpeedFactor", _between("percent", percent, 1, 100))


def user(index: int) -> Command:
    return _command("User", _between("index", index, 0, 50))


def tool(index: int) -> Command:
    return _command("Tool", _between("index", index, 0, 50))


def mov_j_joint(joints_deg: Sequence[float], *, v: int, a: int) -> Command:
    """Joint motion to joint angles. `v` and `a` are percent of the arm's maximum."""
    parameters = (f"joint={_six(joints_deg)}", f"a={_between('a', a, 1, 100)}", f"v={_between('v', v, 1, 100)}")
    return _command("MovJ", *parameters, moves=True)


def mov_l_pose(pose: Sequence[float], *, speed_mm_s: int, a: int, r_mm: int = 0) -> Command:
    """Straight motion of the flange to a pose (mm, degrees) in user frame 0 with tool 0, at an absolute speed.

    `r_mm`: the corner into the next motion may be rounded within this distance; 0 says nothing, and the arm stops.
    """
    parameters = [
        f"pose={_six(pose)}",
        "user=0",
        "tool=0",
        f"a={_between('a', a, 1, 100)}",
        f"speed={_between('speed', speed_mm_s, 1, 4000)}",
    ]
    if r_mm:
        parameters.append(f"r={_between('r', r_mm, 1, 100)}")
    return _command("MovL", *parameters, moves=True)


def stop() -> Command:
    """Halts the motion and empties the queue; accepted in every state."""
    return _command("Stop")


def emergency_stop(press: bool) -> Command:
    return _command("EmergencyStop", "1" if press else "0")


def start_drag() -> Command:
    return _command("StartDrag")


def stop_drag() -> Command:
    return _command("StopDrag")


def set_tool_power(on: bool) -> Command:
    return _command("SetToolPower", "1" if on else "0")


def set_tool_mode_485() -> Command:
    return _command("SetToolMode", "1")


def set_tool_485(baud: int) -> Command:
    return _command("SetTool485", str(baud), '"N"', "1")


def modbus_create_tool(slave: int) -> Command:
    """A Modbus master on the tool's RS-485: port 60000 of the controller itself passes through to it."""
    return _command("ModbusCreate", '"127.0.0.1"', "60000", _between("slave", slave, 1, 247), "1")


def modbus_close(index: int) -> Command:
    return _command("ModbusClose", _between("index", index, 0, 4))


def set_hold_regs(index: int, address: int, values: Sequence[int]) -> Command:
    count = _between("count", len(values), 1, 4)
    return _command(
        "SetHoldRegs", str(index), str(address), count, "{" + ",".join(str(v) for v in values) + "}", '"U16"'
    )


def get_hold_regs(index: int, address: int, count: int) -> Command:
    return _command("GetHoldRegs", str(index), str(address), _between("count", count, 1, 4), '"U16"')


# --- What a driver receives ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `value` is the text inside the outer braces, "" when there is none."""

    error_id: int
    value: str
    echo: str

    @property
    def ok(self) -> bool:
        return self.error_id == 0

    @property
    def command_name(self) -> str:
        return self.echo.partition("(")[0].strip()

    def numbers(self) -> tuple[float, ...]:
        """The numbers of the value, also nested ones: `{[[1,2],[]]}` gives (1, 2)."""
        return tuple(float(n) for n in _NUMBER.findall(self.value))

    def integer(self) -> int | None:
        """The value when it is one whole number, such as a queue id or a mode; None for `{}` and anything else."""
        return int(self.value) if _INTEGER.fullmatch(self.value.strip()) else None

    def alarms(self) -> tuple[int, ...]:
        """Alarm numbers of a GetErrorID reply, either shape: `{[[id,…],[],…]}` up to 4.5, `{[id,…]}` since 4.6."""
        return tuple(int(n) for n in _WHOLE.findall(self.value))


@dataclasses.dataclass(frozen=True, slots=True)
class NotTcpMode:
    """The controller is not in TCP mode. It says so instead of a reply, without a terminator."""


@dataclasses.dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes that are no reply (or no request)."""

    text: str


_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WHOLE = re.compile(r"-?\d+")
_INTEGER = re.compile(r"-?\d{1,19}")
_ERROR_ID = re.compile(r"\s*(-?\d{1,9})\s*,\s*\{")


class ReplySplitter:
    """Cuts a byte stream into replies. Feed it segments of any size; it answers with what became complete."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, data: bytes) -> list[Reply | NotTcpMode | Malformed]:
        self._text += data.decode("latin-1")
        events: list[Reply | NotTcpMode | Malformed] = []
        while True:
            self._text = self._text.lstrip()
            if self._text[: len(NOT_TCP)].lower() == NOT_TCP.lower():
                self._text = self._text[len(NOT_TCP) :].lstrip("\t ;\r\n")
                events.append(NotTcpMode())
                continue
            end = _terminator(self._text)
            if end is None:
                break
            frame, self._text = self._text[:end], self._text[end + 1 :]
            events.append(parse_reply(frame))
        if len(self._text) > REPLY_LIMIT_BYTES:
            events.append(Malformed(self._text[:80]))
            self._text = ""
        return events


def parse_reply(frame: str) -> Reply | Malformed:
    """One reply without its `;`. The value is the first balanced group of braces: the echo may hold more of them."""
    head = _ERROR_ID.match(frame)
    if head is None:
        return Malformed(frame[:80])
    close = _balanced(frame, head.end() - 1, "{", "}")
    if close is None:
        return Malformed(frame[:80])
    comma, _, echo = frame[close + 1 :].partition(",")
    if comma.strip() or not echo.strip():
        return Malformed(frame[:80])
    return Reply(int(head.group(1)), frame[head.end() : close], echo.strip())


def _terminator(text: str) -> int | None:
    """Index of the `;` that ends the first reply. One inside braces (an echoed string) does not end it, unless no
    other comes: then the braces were never balanced and the bytes are garbage up to there."""
    depth = 0
    for index, character in enumerate(text):
        if character == "{":
            depth += 1
        elif character == "}":
            depth = max(0, depth - 1)
        elif character == ";" and (depth == 0 or index > REQUEST_LIMIT_BYTES * 2):
            return index
    return None


def _balanced(text: str, start: int, opening: str, closing: str) -> int | None:
    """Index of the bracket that closes the one at `start`."""
    depth = 0
    for index in range(start, len(text)):
        if text[index] == opening:
            depth += 1
        elif text[index] == closing:
            depth -= 1
            if depth == 0:
                return index
    return None


# --- What a controller receives and sends ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One request as received. `name` is lower case, for names are case-insensitive; `text` is what a reply echoes.

    `positional` and `named` hold the raw texts of the parameters, stripped; an empty slot is an empty string.
    `torn`: text stands between a `}` and the next comma, which the vendor's splitter answers with -20000.
    """

    name: str
    text: str
    positional: tuple[str, ...]
    named: tuple[tuple[str, str], ...]
    torn: bool = False

    def keyword(self, key: str) -> str | None:
        for name, value in self.named:
            if name == key:
                return value
        return None


def numbers_of(group: str) -> tuple[float, ...] | None:
    """The numbers of a parameter such as `{1,2.5}`; None when it is no group of numbers."""
    text = group.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        return tuple(float(part) for part in text[1:-1].split(","))
    except ValueError:
        return None


class RequestSplitter:
    """Cuts a byte stream into requests, each complete at its closing parenthesis; separators between are skipped."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, data: bytes) -> list[Request | Malformed]:
        self._text += data.decode("latin-1")
        events: list[Request | Malformed] = []
        while True:
            self._text = self._text.lstrip(" \t\r\n;\0")
            start = self._text.find("(")
            end = None if start < 0 else _balanced(self._text, start, "(", ")")
            if end is None:
                break
            text, self._text = self._text[: end + 1], self._text[end + 1 :]
            events.append(parse_request(text))
        if len(self._text) > REQUEST_LIMIT_BYTES:
            events.append(Malformed(self._text[:80]))
            self._text = ""
        return events


def parse_request(text: str) -> Request | Malformed:
    """One complete request."""
    name, _, rest = text.partition("(")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name.strip()) or not rest.endswith(")"):
        return Malformed(text[:80])
    positional: list[str] = []
    named: list[tuple[str, str]] = []
    torn = False
    for part in _parameters(rest[:-1]):
        key, equals, value = part.partition("=")
        key_is_word = equals and re.fullmatch(r"[A-Za-z]\w*", key.strip())
        body = (value if key_is_word else part).strip()
        torn = torn or ("}" in body and not body.endswith("}"))
        if key_is_word:
            named.append((key.strip().lower(), body))
        else:
            positional.append(body)
    return Request(name.strip().lower(), text, tuple(positional), tuple(named), torn)


def _parameters(text: str) -> Iterable[str]:
    """Split at commas that stand outside braces and quotes; nothing at all is no parameter."""
    if not text.strip():
        return
    depth, quoted, start = 0, False, 0
    for index, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
        elif character == "," and depth <= 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def encode_reply(error_id: int, value: str, echo: str) -> bytes:
    """`0,{5},RobotMode();` — what a controller writes."""
    return f"{error_id},{{{value}}},{echo};".encode("latin-1")


def format_numbers(values: Sequence[float]) -> str:
    """Numbers as the controller prints them: six decimals, comma between, `-0.000000` included."""
    return ",".join(f"{v:f}" for v in values)

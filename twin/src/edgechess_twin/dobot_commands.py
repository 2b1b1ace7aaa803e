"""The ASCII grammar of port 29999: requests, their parameters, replies (reference "dobot-tcp-ip-v4" sections 2, 4, 6).

Pure: bytes in, commands out. What a command does is the device's business; what it must look like is decided here, with the
controller's own error numbers: the count is checked before the types, the first error wins.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

OK = 0
FAILED = -1
UNKNOWN_COMMAND = -10000
WRONG_COUNT = -20000
REQUIRED_TYPE = -30000  # minus the number of the parameter, from 1
REQUIRED_RANGE = -40000
OPTIONAL_TYPE = -50000  # minus the number of the optional parameter, from 1; named ones are always 1
OPTIONAL_RANGE = -60000

NOT_TCP = b"Control Mode Is Not Tcp\t"  # no terminator: section 2

REQUEST_MAX = 4096  # bytes; the longest documented command is a few hundred

_INTEGER = re.compile(r"[-+]?\d+\Z")
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\Z")
_NAMED = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.*)\Z", re.DOTALL)


class CommandError(Exception):
    """The command is answered with `code` and does nothing."""

    def __init__(self, code: int) -> None:
        super().__init__(f"error {code}")
        self.code = code


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One command as received. `arguments` are the raw texts between the commas of the outer parentheses."""

    name: str
    arguments: tuple[str, ...]
    echo: str
    well_formed: bool = True
    """False: something stood between a closing brace and the next comma; the controller's splitter counts wrongly."""


class RequestReader:
    """Frames requests on balanced parentheses, however the bytes were cut. Line ends and spaces between are skipped."""

    def __init__(self) -> None:
        self._buffer = ""

    def feed(self, data: bytes) -> Iterator[Request]:
        self._buffer += data.decode("utf-8", "replace")
        while True:
            end = self._end()
            if end is None:
                break
            text, self._buffer = self._buffer[:end].strip(), self._buffer[end:]
            yield parse_request(text)
        if len(self._buffer) > REQUEST_MAX:  # never a command: forget it rather than grow
            self._buffer = ""

    def _end(self) -> int | None:
        depth = 0
        for index, character in enumerate(self._buffer):
            if character == "(":
                depth += 1
            elif character == ")":
                depth -= 1
                if depth <= 0:
                    return index + 1
        return None


def parse_request(text: str) -> Request:
    """`Name(a,{b,c},d)`. Text without an opening parenthesis is a command without a name: unknown to everybody."""
    name, _, rest = text.partition("(")
    arguments, well_formed = _split(rest.removesuffix(")"))
    return Request(name.strip(), arguments, text, well_formed)


def _split(text: str) -> tuple[tuple[str, ...], bool]:
    if not text.strip():
        return (), True
    parts: list[str] = []
    depth, start, closed, well_formed = 0, 0, False, True
    for index, character in enumerate(text):
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            closed = depth == 0
        elif character == "," and depth == 0:
            parts.append(text[start:index].strip())
            start, closed = index + 1, False
        elif closed and not character.isspace():
            well_formed = False
    parts.append(text[start:].strip())
    return tuple(parts), well_formed and depth == 0


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    low: float
    high: float


@dataclasses.dataclass(frozen=True, slots=True)
class Whole:
    low: int
    high: int


@dataclasses.dataclass(frozen=True, slots=True)
class Word:
    """Text, quoted or not. `choices` empty: anything that is not empty."""

    choices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Numbers:
    """`{v1,…,vn}`."""

    least: int
    most: int


Kind = Number | Whole | Word | Numbers
Value = float | int | str | tuple[float, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """`pose={…}` or `joint={…}`, as it stands first in a motion command."""

    is_joint: bool
    values: tuple[float, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Signature:
    """What a command takes: a number of points, required and optional values by position, optional ones by name."""

    required: tuple[Kind, ...] = ()
    optional: tuple[Kind, ...] = ()
    named: tuple[tuple[str, Kind], ...] = ()
    points: int = 0
    joints_only: bool = False
    counts: tuple[int, ...] | None = None
    """Legal numbers of positional values, where not every one between is."""
    together: tuple[str, ...] = ()
    """Named values of which all or none must be given."""
    queued: bool = False
    repeat: tuple[Kind, ...] = ()
    """Kinds of a group of values that may be repeated after the required ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class Arguments:
    points: tuple[Point, ...]
    values: tuple[Value, ...]
    named: dict[str, Value]

    def number(self, index: int) -> float:
        value = self.values[index]
        assert isinstance(value, float | int)
        return value

    def whole(self, index: int) -> int:
        value = self.values[index]
        assert isinstance(value, int)
        return value

    def numbers(self, index: int) -> tuple[float, ...]:
        value = self.values[index]
        assert isinstance(value, tuple)
        return value

    def word(self, index: int) -> str:
        value = self.values[index]
        assert isinstance(value, str)
        return value

    def option(self, name: str, default: float) -> float:
        value = self.named.get(name, default)
        assert isinstance(value, float | int)
        return value


_ANY = Number(-1e9, 1e9)
_INDEX = Whole(0, 50)
_PERCENT = Whole(1, 100)
_ADDRESS = Whole(0, 0xFFFF)
_MASTER = Whole(0, 4)
_REGISTER_TYPE = Word(("U16", "U32", "F32", "F64"))
_SIX = (_ANY,) * 6
_FRAME = (("user", _INDEX), ("tool", _INDEX))
_TUNING = (*_FRAME, ("a", _PERCENT), ("v", _PERCENT), ("cp", Whole(0, 100)))
_LINE_TUNING = (*_TUNING, ("speed", Number(1, 4000)), ("r", Number(0, 100)))
_OUTPUT = Whole(1, 1000)
_TOOL_OUTPUT = Whole(1, 2)
_BIT = Whole(0, 1)

_JOG = tuple(f"J{n}{s}" for n in range(1, 7) for s in "+-") + tuple(
    f"{axis}{s}" for axis in ("X", "Y", "Z", "Rx", "Ry", "Rz") for s in "+-"
)

SIGNATURES: dict[str, Signature] = {
    name.lower(): signature
    for name, signature in {
        # Control
        "RequestControl": Signature(),
        "PowerOn": Signature(),
        "EnableRobot": Signature(
            optional=(Number(0, 10), Number(-999, 999), Number(-999, 999), Number(-999, 999), _BIT), counts=(0, 1, 4, 5)
        ),
        "DisableRobot": Signature(),
        "ClearError": Signature(),
        "EmergencyStop": Signature((_BIT,)),
        "BrakeControl": Signature((Whole(1, 6), _BIT)),
        "StartDrag": Signature(),
        "StopDrag": Signature(),
        "RunScript": Signature((Word(),)),
        "Stop": Signature(),
        "Pause": Signature(),
        "Continue": Signature(),
        # Settings
        "SpeedFactor": Signature((_PERCENT,)),
        "VelJ": Signature((_PERCENT,)),
        "AccJ": Signature((_PERCENT,)),
        "VelL": Signature((_PERCENT,)),
        "AccL": Signature((_PERCENT,)),
        "CP": Signature((Whole(0, 100),)),
        "User": Signature((_INDEX,), queued=True),
        "Tool": Signature((_INDEX,), queued=True),
        "SetUser": Signature((Whole(1, 50), Numbers(6, 6)), (_BIT,)),
        "SetTool": Signature((Whole(1, 50), Numbers(6, 6)), (_BIT,)),
        "CalcUser": Signature((_INDEX, _BIT, Numbers(6, 6))),
        "CalcTool": Signature((_INDEX, _BIT, Numbers(6, 6))),
        "SetPayload": Signature((Number(0, 10),), (Number(-999, 999),) * 3, counts=(1, 4), queued=True),
        "SetCollisionLevel": Signature((Whole(0, 5),), queued=True),
        "SetBackDistance": Signature((Number(0, 50),), queued=True),
        "SetPostCollisionMode": Signature((_BIT,), queued=True),
        "SetSafeWallEnable": Signature((Whole(1, 8), _BIT), queued=True),
        "SetWorkZoneEnable": Signature((Whole(1, 6), _BIT), queued=True),
        # Motion
        "MovJ": Signature(points=1, named=_TUNING, queued=True),
        "MovL": Signature(points=1, named=_LINE_TUNING, queued=True),
        "RelMovJUser": Signature(_SIX, named=_TUNING, queued=True),
        "RelMovJTool": Signature(_SIX, named=_TUNING, queued=True),
        "RelMovLUser": Signature(_SIX, named=_LINE_TUNING, queued=True),
        "RelMovLTool": Signature(_SIX, named=_LINE_TUNING, queued=True),
        "RelJointMovJ": Signature(_SIX, named=(("a", _PERCENT), ("v", _PERCENT), ("cp", Whole(0, 100))), queued=True),
        "RunTo": Signature(points=1, named=(("moveType", Whole(0, 4)), *_FRAME, ("a", _PERCENT), ("v", _PERCENT))),
        "MoveJog": Signature(optional=(Word(_JOG),), named=(("coordtype", Whole(0, 2)), *_FRAME)),
        # Questions
        "RobotMode": Signature(),
        "GetErrorID": Signature(),
        "GetCurrentCommandID": Signature(),
        "GetAngle": Signature(),
        "GetPose": Signature(named=_FRAME, together=("user", "tool")),
        "GetStartPose": Signature((Word(),)),
        "PositiveKin": Signature(_SIX, named=_FRAME),
        "InverseKin": Signature(_SIX, named=(("useJointNear", _BIT), ("jointNear", Numbers(6, 6)), *_FRAME)),
        "CheckOddMovJ": Signature(points=2, joints_only=True, named=_TUNING),
        "CheckOddMovL": Signature(points=2, joints_only=True, named=_LINE_TUNING),
        "GetForce": Signature(named=(("tool", _INDEX),)),
        "LogExportUSB": Signature((_BIT,)),
        "GetExportStatus": Signature(),
        # Inputs and outputs
        "DO": Signature((_OUTPUT, _BIT), (Whole(25, 60000),), queued=True),
        "DOInstant": Signature((_OUTPUT, _BIT)),
        "GetDO": Signature((_OUTPUT,)),
        "DOGroup": Signature((_OUTPUT, _BIT), repeat=(_OUTPUT, _BIT), queued=True),
        "GetDOGroup": Signature((_OUTPUT,), repeat=(_OUTPUT,)),
        "DI": Signature((_OUTPUT,)),
        "DIGroup": Signature((_OUTPUT,), repeat=(_OUTPUT,)),
        "AO": Signature((Whole(1, 2), Number(0, 20)), queued=True),
        "AOInstant": Signature((Whole(1, 2), Number(0, 20))),
        "GetAO": Signature((Whole(1, 2),)),
        "AI": Signature((Whole(1, 2),)),
        "ToolDO": Signature((_TOOL_OUTPUT, _BIT), queued=True),
        "ToolDOInstant": Signature((_TOOL_OUTPUT, _BIT)),
        "GetToolDO": Signature((_TOOL_OUTPUT,)),
        "ToolDI": Signature((_TOOL_OUTPUT,)),
        "ToolAI": Signature((_TOOL_OUTPUT,)),
        # The tool's connector and Modbus
        "SetToolPower": Signature((_BIT,), (Whole(1, 2),)),
        "SetToolMode": Signature((Whole(1, 2),), (Whole(0, 11), Whole(1, 2))),
        "SetTool485": Signature((Whole(1200, 5_000_000),), (Word(("N", "O", "E")), Whole(1, 2), Whole(1, 2))),
        "ModbusCreate": Signature((Word(), Whole(1, 65535), Whole(0, 255)), (_BIT,)),
        "ModbusRTUCreate": Signature(
            (Whole(0, 255), Whole(1200, 5_000_000)), (Word(("N", "O", "E")), Whole(8, 8), Whole(1, 2))
        ),
        "ModbusClose": Signature((_MASTER,)),
        "GetHoldRegs": Signature((_MASTER, _ADDRESS, Whole(1, 4)), (_REGISTER_TYPE,)),
        "SetHoldRegs": Signature((_MASTER, _ADDRESS, Whole(1, 4), Numbers(1, 4)), (_REGISTER_TYPE,)),
        "GetInRegs": Signature((_MASTER, _ADDRESS, Whole(1, 4)), (_REGISTER_TYPE,)),
        "GetInBits": Signature((_MASTER, _ADDRESS, Whole(1, 16))),
        "GetCoils": Signature((_MASTER, _ADDRESS, Whole(1, 16))),
        "SetCoils": Signature((_MASTER, _ADDRESS, Whole(1, 16), Numbers(1, 16))),
    }.items()
}


def read_arguments(signature: Signature, request: Request) -> Arguments:
    """Raises CommandError with the controller's number for what is wrong."""
    if not request.well_formed:
        raise CommandError(WRONG_COUNT)
    positional: list[str] = []
    named: dict[str, str] = {}
    names = {name.lower(): name for name, _ in signature.named}
    for argument in request.arguments[signature.points :]:
        match = _NAMED.match(argument)
        if match is None:
            if named:  # a value by position after one by name
                raise CommandError(WRONG_COUNT)
            positional.append(argument)
        elif match[1].lower() in names:
            named[names[match[1].lower()]] = match[2]
        else:
            raise CommandError(WRONG_COUNT)
    _check_count(signature, request, positional, named)

    points = tuple(
        _read_point(argument, number, signature.joints_only)
        for number, argument in enumerate(request.arguments[: signature.points], 1)
    )
    values: list[Value] = []
    for number, text in enumerate(positional):
        if number < len(signature.required):
            values.append(_read(signature.required[number], text, REQUIRED_TYPE, REQUIRED_RANGE, number + 1))
        elif signature.repeat:
            kind = signature.repeat[(number - len(signature.required)) % len(signature.repeat)]
            values.append(_read(kind, text, REQUIRED_TYPE, REQUIRED_RANGE, number + 1))
        else:
            optional = number - len(signature.required)
            values.append(_read(signature.optional[optional], text, OPTIONAL_TYPE, OPTIONAL_RANGE, optional + 1))
    read = {
        name: _read(kind, named[name], OPTIONAL_TYPE, OPTIONAL_RANGE, 1)
        for name, kind in signature.named
        if name in named
    }
    return Arguments(points, tuple(values), read)


def _check_count(signature: Signature, request: Request, positional: list[str], named: dict[str, str]) -> None:
    if len(request.arguments) < signature.points:
        raise CommandError(WRONG_COUNT)
    if signature.counts is not None:
        legal = len(positional) in signature.counts
    elif signature.repeat:
        legal = (
            len(positional) >= len(signature.required)
            and (len(positional) - len(signature.required)) % len(signature.repeat) == 0
            and len(positional) <= 64  # ours: no cabinet has more
        )
    else:
        legal = len(signature.required) <= len(positional) <= len(signature.required) + len(signature.optional)
    given = [name for name in signature.together if name in named]
    if not legal or (given and len(given) != len(signature.together)):
        raise CommandError(WRONG_COUNT)


def _read_point(text: str, number: int, joints_only: bool) -> Point:
    match = _NAMED.match(text)
    wrong = CommandError(REQUIRED_TYPE - number)
    if match is None or match[1].lower() not in ("joint", "pose") or (joints_only and match[1].lower() != "joint"):
        raise wrong
    values = _numbers(match[2])
    if values is None or len(values) != 6:
        raise wrong
    return Point(match[1].lower() == "joint", values)


def _read(kind: Kind, text: str, wrong_type: int, wrong_range: int, number: int) -> Value:
    value: Value | None = None
    inside = True
    match kind:
        case Number(low, high):
            if _FLOAT.match(text):
                value = float(text)
                inside = low <= value <= high
        case Whole(low, high):
            if _INTEGER.match(text):
                value = int(text)
                inside = low <= value <= high
        case Word(choices):
            word = text.strip('"')
            by_lower = {choice.lower(): choice for choice in choices}
            value = word or None
            if value is not None and choices:
                inside = word.lower() in by_lower
                value = by_lower.get(word.lower(), word)
        case Numbers(least, most):
            values = _numbers(text)
            if values is not None:
                value = values
                inside = least <= len(values) <= most
    if value is None:
        raise CommandError(wrong_type - number)
    if not inside:
        raise CommandError(wrong_range - number)
    return value


def _numbers(text: str) -> tuple[float, ...] | None:
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    parts = [part.strip() for part in text[1:-1].split(",")]
    if not all(_FLOAT.match(part) for part in parts):
        return None
    return tuple(float(part) for part in parts)


def reply(code: int, value: str, echo: str) -> bytes:
    """`ErrorID,{value},echo;` without a line end."""
    return f"{code},{{{value}}},{echo};".encode()


def floats(values: tuple[float, ...]) -> str:
    """As the controller prints them: C's %f."""
    return ",".join(f"{value:f}" for value in values)

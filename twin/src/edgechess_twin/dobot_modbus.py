"""The gripper at the tool's RS485 connector, and the controller's Modbus masters (reference "dobot-tcp-ip-v4" section 6).

A DH-Robotics gripper: registers hold what a client may write and read; the fingers are a position that moves in time.
What the fingers close on is the world's to say: the device passes it on.
"""

from __future__ import annotations

import dataclasses
import struct

INIT = 0x0100
FORCE = 0x0101
SPEED = 0x0104
POSITION = 0x0103
INIT_STATE = 0x0200
GRIP_STATE = 0x0201
POSITION_FEEDBACK = 0x0202

MOVING, REACHED, CAUGHT, DROPPED = 0, 1, 2, 3  # values of GRIP_STATE
FULL_INIT = 0xA5

GRIPPER_SLAVE = 1  # factory address
GRIPPER_BAUD = 115200
GRIPPER_PARITY = "N"  # the controller's own default is "E": who forgets to say so hears nothing
STROKE_MM = 95.0  # AG-95: fingers open this far at 1000 ‰
STROKE_S = 0.7  # over the whole stroke; half of it, a usual grasp, takes 0.35 s
LEAST_STROKE_S = 0.1  # the gripper's own controller needs this to notice that it stands
INIT_S = 1.5  # closes and opens once to find its ends


@dataclasses.dataclass(slots=True)
class Gripper:
    """Fingers in ‰ of the stroke: 1000 open, 0 closed. Times are in motion seconds of whoever calls."""

    stroke_mm: float = STROKE_MM
    init_state: int = 0
    grip_state: int = REACHED
    force_percent: int = 100
    speed_percent: int = 100
    commanded: int = 1000
    _start: float = 1000.0
    _target: float = 1000.0
    _began_s: float = 0.0
    _takes_s: float = 0.0

    def position(self, now_s: float) -> float:
        if self._takes_s <= 0.0:
            return self._target
        part = min(1.0, max(0.0, (now_s - self._began_s) / self._takes_s))
        return self._start + part * (self._target - self._start)

    def width_mm(self, now_s: float) -> float:
        return self.position(now_s) * self.stroke_mm / 1000.0

    def move(self, target: float, now_s: float) -> float:
        """Starts towards `target` ‰; returns how long it takes."""
        start = self.position(now_s)
        self._start, self._target, self._began_s = start, target, now_s
        self._takes_s = max(LEAST_STROKE_S, STROKE_S * abs(target - start) / 1000.0 * 100.0 / self.speed_percent)
        self.grip_state = MOVING
        return self._takes_s

    def stand(self, width_mm: float | None, state: int) -> None:
        """The motion is over: at its target, or where an object of that width stopped the fingers."""
        if width_mm is not None:
            self._target = min(1000.0, max(0.0, width_mm * 1000.0 / self.stroke_mm))
        self._takes_s = 0.0
        self.grip_state = state

    def read(self, address: int, now_s: float) -> int | None:
        """The register's value; None where the gripper has none."""
        values = {
            INIT: 0,
            FORCE: self.force_percent,
            SPEED: self.speed_percent,
            POSITION: self.commanded,
            INIT_STATE: self.init_state,
            GRIP_STATE: self.grip_state,
            POSITION_FEEDBACK: round(self.position(now_s)),
        }
        return values.get(address)


@dataclasses.dataclass(frozen=True, slots=True)
class Master:
    """One Modbus connection of the controller to the tool's connector, with the line settings that it uses."""

    slave: int
    baud: int
    parity: str


MASTERS = 5
PASS_THROUGH = ("127.0.0.1", 60000)


class Masters:
    """Indices 0 to 4; a closed one is given out again."""

    def __init__(self) -> None:
        self._open: dict[int, Master] = {}

    def create(self, master: Master) -> int | None:
        """The index, or None when all five are taken."""
        for index in range(MASTERS):
            if index not in self._open:
                self._open[index] = master
                return index
        return None

    def close(self, index: int) -> bool:
        return self._open.pop(index, None) is not None

    def get(self, index: int) -> Master | None:
        return self._open.get(index)


_CODES = {"U16": ">H", "U32": ">I", "F32": ">f", "F64": ">d"}


def registers_per_value(kind: str) -> int:
    return struct.calcsize(_CODES[kind]) // 2


def to_registers(values: tuple[float, ...], kind: str) -> list[int] | None:
    """The 16-bit registers of the values, high word first. None: a value that the type cannot hold."""
    words: list[int] = []
    for value in values:
        try:
            data = struct.pack(_CODES[kind], value if kind.startswith("F") else int(value))
        except (struct.error, OverflowError):
            return None
        words += struct.unpack(f">{len(data) // 2}H", data)
    return words


def from_registers(words: list[int], kind: str) -> list[float]:
    data = struct.pack(f">{len(words)}H", *words)
    size = struct.calcsize(_CODES[kind])
    return [struct.unpack(_CODES[kind], data[at : at + size])[0] for at in range(0, len(data), size)]

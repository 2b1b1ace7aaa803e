"""A small scripted Dobot controller: the other end of the driver's wires, with literal bytes and offsets.

It is no twin: motions interpolate joints evenly, everything else answers what a test tells it to.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.abc
import pytest
import trio.testing

from edgechess_robots.calibration import Calibration, nominal
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.kinematics import CR10A, PARK_DEG, Joints
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose

MOTION = re.compile(r"^(MovJ|MovL|MovLIO|MovJIO|Arc|Circle|Rel\w+|Servo\w|RunTo|MoveJog)\(", re.IGNORECASE)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


def frame_bytes(
    *,
    mode: int = 5,
    joints: tuple[float, ...] = PARK_DEG,
    pose: tuple[float, ...] = (0.0,) * 6,
    speeds: tuple[float, ...] = (0.0,) * 6,
    command_id: int = 0,
    running: int = 0,
    error: int = 0,
    safety: int = 0xFF,
    collision: int = 0,
    user: int = 0,
    tool: int = 0,
) -> bytes:
    """A feedback frame, written at the literal offsets of the reference, section 8."""
    data = bytearray(1440)
    struct.pack_into("<H", data, 0, 1440)
    struct.pack_into("<Q", data, 24, mode)
    struct.pack_into("<Q", data, 48, 0x0123456789ABCDEF)
    struct.pack_into("<6d", data, 432, *joints)
    struct.pack_into("<6d", data, 480, *speeds)
    struct.pack_into("<6d", data, 624, *pose)
    struct.pack_into("<Q", data, 1112, command_id)
    data[1012], data[1013], data[1028], data[1029], data[1038], data[1420] = (
        user,
        tool,
        running,
        error,
        collision,
        safety,
    )
    return bytes(data)


class Wire(anyio.abc.ByteStream):
    """One end of a wire whose other end is synchronous."""

    def __init__(self, heard: Callable[[Wire, bytes], None]) -> None:
        self._heard = heard
        self._inbox = bytearray()
        self._news = anyio.Event()
        self.closed = False
        self.broken = False

    def put(self, data: bytes) -> None:
        self._inbox += data
        self._news.set()

    def cut(self) -> None:
        self.broken = True
        self._news.set()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.lowlevel.checkpoint()
        while not self._inbox:
            if self.broken:
                raise anyio.EndOfStream
            self._news = anyio.Event()
            await self._news.wait()
        data = bytes(self._inbox[:max_bytes])
        del self._inbox[:max_bytes]
        return data

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        if self.broken:
            raise anyio.BrokenResourceError
        self._heard(self, item)

    async def send_eof(self) -> None:
        return None

    async def aclose(self) -> None:
        self.closed = True
        await anyio.lowlevel.checkpoint()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {}


class FeedbackWire(Wire):
    """A frame on each period of the clock, made only when somebody reads."""

    def __init__(self, controller: Controller) -> None:
        super().__init__(lambda _wire, _data: None)
        self._controller = controller

    async def receive(self, max_bytes: int = 65536) -> bytes:
        period = self._controller.period_s
        now = anyio.current_time()
        await anyio.sleep((math.floor(now / period + 1e-6) + 1) * period - now)
        if self.broken:
            raise anyio.EndOfStream
        if self._controller.frozen:
            await self._controller.thawed.wait()
        return self._controller.frame()


@dataclasses.dataclass
class Motion:
    number: int
    begins_s: float
    ends_s: float
    start: Joints
    end: Joints
    flange: Pose | None


class Controller:
    """What a test reads: `received` is every request with the number of the connection it came by, from 1."""

    def __init__(self) -> None:
        self.period_s = 0.008
        self.motion_s = 0.5
        self.with_ids = True
        self.joints: Joints = PARK_DEG
        self.received: list[tuple[int, str]] = []
        self.connections = 0
        self.refuse_connections = False
        self.answers: dict[str, Callable[[str], bytes | None]] = {}
        self.overrides: dict[str, Any] = {}
        self.mode: int | None = None
        self.frozen = False
        self.thawed = anyio.Event()
        self.last_id = 10
        self.motions: list[Motion] = []
        self.registers = {0x0200: 1, 0x0201: 1, 0x0202: 1000}
        self.catches = True
        self.wires: list[Wire] = []
        self.drop_on: str | None = None

    async def connect(self, port: int) -> anyio.abc.ByteStream:
        await anyio.lowlevel.checkpoint()
        if self.refuse_connections:
            raise ConnectionRefusedError("refused by the test")
        if port == 29999:
            self.connections += 1
            wire = Wire(self._heard)
        else:
            wire = FeedbackWire(self)
        self.wires.append(wire)
        return wire

    def cut(self) -> None:
        for wire in self.wires:
            wire.cut()

    def texts(self, connection: int | None = None) -> list[str]:
        return [text for number, text in self.received if connection in (None, number)]

    def motions_received(self, connection: int | None = None) -> list[str]:
        return [text for text in self.texts(connection) if MOTION.match(text)]

    def frame(self) -> bytes:
        now = anyio.current_time()
        joints, running, number = self._at(now)
        flange = CR10A.forward_pose(joints)
        landed = [m for m in self.motions if m.ends_s <= now and m.end == joints]
        if landed and landed[-1].flange is not None:
            flange = landed[-1].flange
        pose = (flange.x_mm, flange.y_mm, flange.z_mm, flange.rx_deg, flange.ry_deg, flange.rz_deg)
        fields: dict[str, Any] = {
            "mode": self.mode if self.mode is not None else 7 if running else 5,
            "joints": joints,
            "pose": pose,
            "speeds": (10.0 if running else 0.0,) * 6,
            "command_id": number if self.with_ids else 0,
            "running": int(running),
        }
        return frame_bytes(**(fields | self.overrides))

    def _at(self, now: float) -> tuple[Joints, bool, int]:
        joints, number = self.joints, 10
        for motion in self.motions:
            if now < motion.begins_s:
                break
            share = min(1.0, (now - motion.begins_s) / (motion.ends_s - motion.begins_s))
            joints = tuple(a + (b - a) * share for a, b in zip(motion.start, motion.end, strict=True))
            number = motion.number
            if share < 1.0:
                return joints, True, number
            joints = motion.end
        return joints, False, number

    def _heard(self, wire: Wire, data: bytes) -> None:
        for text in re.findall(r"[A-Za-z]\w*\([^()]*\)", data.decode("ascii")):
            self.received.append((self.connections, text))
            name = text.partition("(")[0]
            if self.drop_on == name:
                self.drop_on = None
                self.cut()
                return
            answer = self.answers[name](text) if name in self.answers else self._answer(name, text)
            if answer is not None:
                wire.put(answer)

    def _answer(self, name: str, text: str) -> bytes:
        value = ""
        now = anyio.current_time()
        if name in ("MovJ", "MovL"):
            value = self._queue(name, text, now) if self.with_ids else self._queue(name, text, now) and ""
        elif name == "Stop":
            self.joints = self._at(now)[0]
            self.motions = []
        elif name == "RobotMode":
            value = str(self.mode if self.mode is not None else 5)
        elif name == "GetErrorID":
            value = "[]"
        elif name == "ModbusCreate":
            value = "0"
        elif name == "GetHoldRegs":
            value = ",".join(str(self.registers[0x0200 + i]) for i in range(3))
        elif name == "SetHoldRegs":
            self._write(text)
        return f"0,{{{value}}},{text};".encode("ascii")

    def _write(self, text: str) -> None:
        found = re.fullmatch(r'SetHoldRegs\(0,(\d+),1,\{(\d+)\},"U16"\)', text)
        assert found, text
        address, number = int(found[1]), int(found[2])
        if address == 0x0103:
            closing = number < 210  # what it catches is 20 mm thick
            self.registers[0x0201] = 2 if closing and self.catches else 1
            self.registers[0x0202] = 210 if closing and self.catches else number

    def _queue(self, name: str, text: str, now: float) -> str:
        group = re.search(r"\{([^}]*)\}", text)
        assert group, text
        numbers = tuple(float(n) for n in group[1].split(","))
        start = self.motions[-1].end if self.motions else self.joints
        begins = max(now, self.motions[-1].ends_s) if self.motions else now
        flange = Pose(*numbers) if name == "MovL" else None
        end = numbers if flange is None else CR10A.nearest(flange.matrix(), start)
        self.last_id += 1
        self.motions.append(Motion(self.last_id, begins + 0.02, begins + 0.02 + self.motion_s, start, end, flange))
        return str(self.last_id)


LAYOUT = standard_layout()


@pytest.fixture
def calibration() -> Calibration:
    return nominal(LAYOUT.site("white").base, arm_serial="test", date=datetime.date(2026, 1, 1))


@pytest.fixture
def controller() -> Controller:
    return Controller()


@pytest.fixture
def arm(controller: Controller, calibration: Calibration) -> DobotArm:
    return DobotArm("white", controller.connect, DobotSettings(), calibration)

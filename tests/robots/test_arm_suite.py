"""The shared suite (`edgechess_robots.arm_suite`) over every arm that there is: Dobot and RO1 on the software table, and the
example of the documentation."""

from __future__ import annotations

import datetime
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.abc
import pytest

from edgechess_arm_controller.__main__ import build_arms
from edgechess_arm_controller.settings import ArmSettings, Settings
from edgechess_board.placement import Placement
from edgechess_robots import registry
from edgechess_robots.arm import Arm, Close, Open, Park, Plan, Straight, Travel, Verify
from edgechess_robots.arm_suite import LINK_DOWN_S, SUITE, Check
from edgechess_robots.calibration import Calibration, nominal
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose
from edgechess_robots.registry import ArmKind, arm_kind
from edgechess_robots.shapes import STAUNTON_6
from edgechess_robots.standard_bots.api_protocol import GripperKind
from edgechess_robots.standard_bots.client import Token
from edgechess_robots.standard_bots.driver import StandardBotsArm
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_twin.arm_device import ArmDevice
from edgechess_twin.arm_model import EXACT
from edgechess_twin.dobot_device import DobotDevice
from edgechess_twin.memory_stream import MemoryStream, memory_stream_pair
from edgechess_twin.ro1_device import TOKEN, Ro1Device
from edgechess_twin.world import World

pytestmark = pytest.mark.anyio

LAYOUT = standard_layout()
START = Placement.from_fen("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR")
V = 250.0
SLOW_FEEDBACK = DobotSettings(feedback_port=30005, stale_after_s=1.0)  # a frame in 200 ms: an eighth of the work


def over(place: str, z_mm: float) -> Pose:
    point = LAYOUT.place(place)
    return Pose(point.x_mm, point.y_mm, z_mm, 180.0, 0.0, 0.0)


HOME = Plan((Park(V),))
LONG = Plan((Travel(over("a1", 250.0), 150.0), Straight(over("h8", 250.0), 150.0)))
MISS = Plan((Travel(over("e4", 150.0), V), Open(30.0), Straight(over("e4", 30.0), 120.0), Close(8.0, "e4"), Park(V)))
PICK = Plan(
    (
        Travel(over("e2", 150.0), V),
        Open(30.0),
        Straight(over("e2", 30.0), 120.0),
        Close(8.0, "e2"),
        Straight(over("e2", 150.0), V),
        Straight(over("e4", 150.0), V),
        Straight(over("e4", 31.0), 120.0),
        Verify("e2"),
        Open(28.0),
        Straight(over("e4", 150.0), V),
        Park(V),
    )
)


class TwinRig:
    """A driver against a device of the software table, over wires in memory that can be cut."""

    feels_grasp = True
    home, pick, miss, long = HOME, PICK, MISS, LONG

    def __init__(self, device: ArmDevice, group: anyio.abc.TaskGroup, opened: Callable[[Any], Arm]) -> None:
        self._device, self._group = device, group
        self._wires: list[MemoryStream] = []
        self._accepted = 0
        self._down_until_s = -1.0
        self.arm = opened(self.connect)
        controller: Any = device.controller
        move = "execute" if isinstance(device, DobotDevice) else "move"
        accept = getattr(controller, move)

        def counted(*args: Any, **more: Any) -> Any:
            answer = accept(*args, **more)
            if move == "move" or (args[0].name.startswith("Mov") and answer.startswith(b"0,")):
                self._accepted += 1
            return answer

        setattr(controller, move, counted)

    async def connect(self, port: int) -> MemoryStream:
        if anyio.current_time() < self._down_until_s:
            raise ConnectionRefusedError("unplugged by the test")
        near, far = memory_stream_pair()
        self._wires.append(near)
        self._group.start_soon(self._device.serve, port, far)
        return near

    def truth(self) -> tuple[float, ...]:
        return self._device.controller.joints()

    def motions(self) -> int:
        return self._accepted

    def cut(self) -> None:
        self._down_until_s = anyio.current_time() + LINK_DOWN_S
        while self._wires:
            self._wires.pop().kill()

    def hurt(self) -> None:
        self._device.collide()


def calibration() -> Calibration:
    return nominal(LAYOUT.site("white").base, arm_serial="twin", date=datetime.date(2024, 1, 1))


@asynccontextmanager
async def on_twin(make: Callable[[World], ArmDevice], opened: Callable[[Any], Arm]) -> AsyncIterator[TwinRig]:
    world = World(LAYOUT, STAUNTON_6, seed=1, placement=START)
    async with anyio.create_task_group() as group:
        device = make(world)
        group.start_soon(device.run)
        yield TwinRig(device, group, opened)
        group.cancel_scope.cancel()


def dobot() -> AbstractAsyncContextManager[TwinRig]:
    return on_twin(
        lambda world: DobotDevice("white", world, LAYOUT.site("white"), hidden=EXACT),
        lambda connect: arm_kind("dobot").open("white", connect, SLOW_FEEDBACK, calibration()),
    )


def ro1(gripper: GripperKind = "onrobot_2fg7", stroke_mm: float = 38.0) -> AbstractAsyncContextManager[TwinRig]:
    settings = StandardBotsSettings(
        robot_kind="simulated",
        gripper=gripper,
        gripper_stroke_mm=stroke_mm,
        poll_s=0.5,  # half the requests, half the work
        beat_s=0.15,
    )
    return on_twin(
        lambda world: Ro1Device("white", world, LAYOUT.site("white"), hidden=EXACT, gripper=gripper),
        lambda connect: StandardBotsArm("white", connect, settings, Token(TOKEN), calibration()),
    )


@asynccontextmanager
async def robotiq() -> AsyncIterator[TwinRig]:
    async with ro1("robotiq_2f", 85.0) as rig:
        rig.feels_grasp = False
        yield rig


# --- the example of the documentation --------------------------------------------------------------------------------


EXAMPLE = Path(__file__).parent / "gantry_arm.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gantry_arm", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gantry_arm", module)
    spec.loader.exec_module(module)
    return module


class GantryRig:
    feels_grasp = True
    home, pick, miss, long = HOME, PICK, MISS, LONG

    def __init__(self, example: ModuleType) -> None:
        point = LAYOUT.place("e2")
        self.machine = example.Machine(things={(point.x_mm, point.y_mm)})
        options = example.GantryOptions(machine=self.machine)
        kind: ArmKind[Any] = example.GANTRY
        self.arm = kind.open("white", no_wire, options, None)

    def truth(self) -> tuple[float, ...]:
        at = self.machine.at
        return (at.x_mm, at.y_mm, at.z_mm)

    def motions(self) -> int:
        return int(self.machine.motions)

    def cut(self) -> None:
        self.machine.online = False

    def hurt(self) -> None:
        self.machine.failure = "it hit a pawn"


async def no_wire(port: int) -> anyio.abc.ByteStream:
    raise ConnectionRefusedError(f"nothing listens at {port}")


NAMED = [pytest.param(check, id=check.__name__) for check in SUITE]


@pytest.mark.parametrize("check", NAMED)
async def test_a_dobot(check: Check) -> None:
    async with dobot() as rig:
        await check(rig)


@pytest.mark.parametrize("check", NAMED)
async def test_an_ro1(check: Check) -> None:
    async with ro1() as rig:
        await check(rig)


@pytest.mark.parametrize(
    "check",
    [check for check in SUITE if check.__name__ in ("plans_checks_executes_and_measures", "tells_a_missed_grasp")],
)
async def test_an_ro1_whose_gripper_feels_nothing(check: Check) -> None:
    async with robotiq() as rig:
        await check(rig)


@pytest.mark.parametrize("check", NAMED)
async def test_the_example(check: Check, example: ModuleType) -> None:
    rig = GantryRig(example)

    async def plugged_in_again() -> None:
        while True:
            while rig.machine.online:  # noqa: ASYNC110 - virtual time
                await anyio.sleep(0.1)
            await anyio.sleep(LINK_DOWN_S)
            rig.machine.online = True

    async with anyio.create_task_group() as group:
        group.start_soon(plugged_in_again)
        await check(rig)
        group.cancel_scope.cancel()


def test_the_example_is_as_short_as_promised() -> None:
    code = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(code) < 130


def test_an_arm_is_brought_by_an_installed_package(example: ModuleType, installed: Callable[..., None]) -> None:
    installed("edgechess.arms", "gantry = gantry_arm:GANTRY\nbad = gantry_arm:PARK\ngone = no_such_package:ARM")
    registry._installed.cache_clear()
    try:
        assert registry.arm_names() == ("bad", "dobot", "gantry", "gone", "ro1")
        arms = build_arms(
            Settings(arms=(ArmSettings(name="white", kind="gantry"), ArmSettings(name="black", host="127.0.0.2")))
        )
        assert [arm.kind for arm in arms.values()] == ["gantry", "dobot"]
        with pytest.raises(ValueError, match="gantry_arm:PARK registers arm 'bad', but it is not an ArmKind"):
            arm_kind("bad")
        with pytest.raises(ValueError, match="'gone' is registered as no_such_package:ARM, which cannot be imported"):
            arm_kind("gone")
    finally:
        registry._installed.cache_clear()

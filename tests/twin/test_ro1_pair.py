"""The project's own RO1 driver against the simulated robot: what counts is what the robot did, not what the driver says."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest

from edgechess_board.placement import Placement, square_index
from edgechess_robots.arm import Close, Open, Park, Plan, Report, Straight, Travel, Verify
from edgechess_robots.calibration import nominal
from edgechess_robots.errors import ArmStopped
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose
from edgechess_robots.shapes import STAUNTON_6
from edgechess_robots.standard_bots.client import Token
from edgechess_robots.standard_bots.driver import StandardBotsArm
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_twin.arm_model import EXACT
from edgechess_twin.faults import NONE, Faults
from edgechess_twin.memory_stream import MemoryStream, memory_stream_pair
from edgechess_twin.ro1_device import TOKEN, Ro1Device
from edgechess_twin.world import World

pytestmark = pytest.mark.anyio

LAYOUT = standard_layout()
BAD_WIRE = Faults(segment_split=0.3, slow_reply=0.02, feedback_stall=0.1)


def over(place: str, z_mm: float) -> Pose:
    point = LAYOUT.place(place)
    return Pose(point.x_mm, point.y_mm, z_mm, 180.0, 0.0, 0.0)


PICK_AND_PLACE = Plan(
    (
        Travel(over("e2", 150.0), 250.0),
        Open(38.0),
        Straight(over("e2", 30.0), 120.0),
        Close(8.0, "take"),
        Straight(over("e2", 150.0), 250.0),
        Straight(over("e4", 150.0), 250.0),
        Straight(over("e4", 31.0), 120.0),
        Verify("keep"),
        Open(28.0),
        Straight(over("e4", 150.0), 250.0),
        Park(250.0),
    )
)


class Pair:
    """One driver, one robot, and wires that can be cut."""

    def __init__(self, world: World, device: Ro1Device, group: anyio.abc.TaskGroup) -> None:
        self.world, self.device, self.group = world, device, group
        self.network = True
        self._wires: list[MemoryStream] = []
        calibration = nominal(LAYOUT.site("white").base, arm_serial="twin", date=datetime.date(2024, 1, 1))
        settings = StandardBotsSettings(robot_kind="simulated")
        self.arm = StandardBotsArm("white", self._connect, settings, Token(TOKEN), calibration)

    async def _connect(self, port: int) -> MemoryStream:
        if not self.network:
            raise ConnectionRefusedError("the network is down")
        near, far = memory_stream_pair()
        self._wires.append(near)
        self.group.start_soon(self.device.serve, port, far)
        return near

    def cut(self) -> None:
        self.network = False
        while self._wires:
            self._wires.pop().kill()

    async def begin(self, reports: list[Report]) -> None:
        """Starts the plan in the background, and returns in the middle of its first motion."""
        self.group.start_soon(self._execute_into, reports)
        with anyio.fail_after(20.0):
            while self.device.controller.active is None:  # noqa: ASYNC110 - virtual time
                await anyio.sleep(0.01)
        await anyio.sleep(0.7)
        assert self.device.controller.active is not None, "meant to be in motion"

    async def _execute_into(self, reports: list[Report]) -> None:
        reports.append(await self.arm.execute(self.arm.check(PICK_AND_PLACE), 2))

    async def stands_for(self, seconds: float) -> None:
        joints = self.device.controller.joints()
        assert self.device.controller.active is None
        await anyio.sleep(seconds)
        assert self.device.controller.joints() == joints


@asynccontextmanager
async def pair(faults: Faults = NONE, **options: Any) -> AsyncIterator[Pair]:
    world = World(LAYOUT, STAUNTON_6, faults=faults, placement=Placement.from_mapping({square_index("e2"): "P"}))
    device = Ro1Device("white", world, LAYOUT.site("white"), faults=faults, **{"hidden": EXACT, **options})
    with anyio.fail_after(600.0):
        async with anyio.create_task_group() as group:
            group.start_soon(device.run)
            made = Pair(world, device, group)
            group.start_soon(made.arm.run)
            await made.arm.ensure_ready()
            await made.arm.execute(made.arm.check(Plan((Park(250.0),))), 1)
            yield made
            group.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("release", "faults"),
    [("2026.09", NONE), ("2025.08", BAD_WIRE), ("2024.10", NONE)],
    ids=["newest", "bad wire", "no dead-man"],
)
async def test_a_piece_is_carried(release: str, faults: Faults) -> None:
    async with pair(faults, release=release) as p:
        report = await p.arm.execute(p.arm.check(PICK_AND_PLACE), 2)
        assert (report.outcome, report.completed) == ("done", 11), report
        assert [grasp.holding for grasp in report.grasps] == [True, True]
        assert p.world.placement() == Placement.from_mapping({square_index("e4"): "P"})
        assert p.world.accidents == []
        assert p.arm.state().parked


async def test_a_stop_ends_motion_until_a_persons_word() -> None:
    async with pair() as p:
        reports: list[Report] = []
        await p.begin(reports)
        await p.arm.stop()
        await anyio.sleep(2.0)
        assert (reports[0].outcome, reports[0].code) == ("unknown", "stopped")
        await p.stands_for(5.0)
        with pytest.raises(ArmStopped):
            await p.arm.ensure_ready()


async def test_a_cut_link_stops_the_arm_by_itself() -> None:
    async with pair() as p:
        reports: list[Report] = []
        await p.begin(reports)
        p.cut()
        await anyio.sleep(1.5)
        await p.stands_for(10.0)
        assert reports[0].outcome == "unknown"
        assert p.world.placement() == Placement.from_mapping({square_index("e2"): "P"})


async def test_a_driver_that_dies_leaves_no_motion() -> None:
    async with pair() as p:
        with anyio.move_on_after(2.0):
            await p.arm.execute(p.arm.check(PICK_AND_PLACE), 2)
        await anyio.sleep(2.0)
        await p.stands_for(5.0)


async def test_a_collision_is_unknown_and_needs_a_person() -> None:
    async with pair() as p:
        reports: list[Report] = []
        await p.begin(reports)
        p.device.collide()
        await anyio.sleep(3.0)
        assert reports[0].outcome == "unknown"
        assert p.arm.state().mode in ("fault", "stopped")
        await p.stands_for(5.0)
        await p.arm.recover(confirmed=True)
        with anyio.fail_after(30.0):
            while p.arm.state().mode != "idle":
                await p.arm.ensure_ready()
        await p.stands_for(5.0)

"""The project's own arm driver against the simulated controller: both firmwares, both feedback ports, clean and bad wires.

What counts is what the controller accepted and what happened to the pieces, not what the driver says of itself.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest

from edgechess_board.placement import Placement, square_index
from edgechess_robots.arm import CheckedPlan, Close, Open, Park, Plan, Report, Straight, Travel, Verify
from edgechess_robots.calibration import nominal
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.errors import ArmStopped, PlanRefused
from edgechess_robots.kinematics import PARK_DEG
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose
from edgechess_robots.shapes import STAUNTON_6
from edgechess_twin.arm_model import EXACT
from edgechess_twin.dobot_commands import Request
from edgechess_twin.dobot_controller import Firmware
from edgechess_twin.dobot_device import DobotDevice
from edgechess_twin.faults import NONE, Faults
from edgechess_twin.memory_stream import MemoryStream, memory_stream_pair
from edgechess_twin.world import World

pytestmark = pytest.mark.anyio

LAYOUT = standard_layout()
BAD_WIRE = Faults(segment_split=0.3, segment_coalesce=0.2, slow_reply=0.1)


# every two of port, firmware and wire meet: all eight together take twice as long and show no more
PORTS_AND_FIRMWARES = pytest.mark.parametrize(("port", "firmware"), [(30004, "4.6"), (30005, "4.5")])
WIRES_AND_FIRMWARES = pytest.mark.parametrize(
    ("port", "firmware", "faults"),
    [(30004, "4.6", NONE), (30004, "4.5", BAD_WIRE), (30005, "4.5", NONE), (30005, "4.6", BAD_WIRE)],
    ids=["fast-clean", "fast-bad", "slow-clean", "slow-bad"],
)


def over(place: str, z_mm: float) -> Pose:
    point = LAYOUT.place(place)
    return Pose(point.x_mm, point.y_mm, z_mm, 180.0, 0.0, 0.0)


PICK_AND_PLACE = Plan(
    (
        Travel(over("e2", 150.0), 250.0),
        Open(40.0),
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
HOME = Plan((Park(250.0),))


class Pair:
    """One driver, one controller, and wires that can be cut. `accepted`: the motions that the controller took."""

    def __init__(self, world: World, device: DobotDevice, group: anyio.abc.TaskGroup, port: int) -> None:
        self.world, self.device, self.group = world, device, group
        self.accepted: list[str] = []
        self.connections = 0
        self._wires: list[MemoryStream] = []
        calibration = nominal(LAYOUT.site("white").base, arm_serial="twin", date=datetime.date(2024, 1, 1))
        self.arm = DobotArm("white", self._connect, DobotSettings(feedback_port=port), calibration)
        execute = device.controller.execute

        def recorded(request: Request) -> bytes:
            answer = execute(request)
            if answer.startswith(b"0,") and request.name.startswith("Mov"):
                self.accepted.append(request.echo)
            return answer

        device.controller.execute = recorded  # type: ignore[method-assign]

    async def _connect(self, port: int) -> MemoryStream:
        near, far = memory_stream_pair()
        self._wires.append(near)
        self.connections += 1
        self.group.start_soon(self.device.serve, port, far)
        return near

    def cut(self) -> None:
        while self._wires:
            self._wires.pop().kill()

    async def execute(self, plan: Plan, token: int = 1) -> Report:
        with anyio.fail_after(200.0):
            return await self.arm.execute(self.arm.check(plan), token)

    async def begin(self, plan: Plan, reports: list[Report], after_s: float = 0.8) -> None:
        """Starts the plan, and returns in the middle of its motion: by then the arm has moved for this long."""
        checked = self.arm.check(plan)
        self.group.start_soon(self._execute_into, checked, reports)
        await self.until(lambda: self.device.controller.active is not None)
        await anyio.sleep(after_s)
        assert self.device.controller.active is not None, "meant to be in motion"

    async def _execute_into(self, checked: CheckedPlan, reports: list[Report]) -> None:
        reports.append(await self.arm.execute(checked, 1))

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(100.0):
            while not condition():  # noqa: ASYNC110 - virtual time
                await anyio.sleep(0.004)

    async def stands_for(self, seconds: float) -> None:
        """Nothing is accepted and nothing moves for so long."""
        accepted, joints = list(self.accepted), self.device.controller.joints()
        await anyio.sleep(seconds)
        assert self.accepted == accepted
        assert self.device.controller.joints() == joints

    async def goes_home_after_recover(self) -> None:
        """A person looked: the arm recovers without moving, and then goes up and home."""
        accepted = len(self.accepted)
        await self.arm.recover(confirmed=True)
        if self.arm.state().mode == "starting":
            await self.arm.ensure_ready()
        assert (self.arm.state().mode, len(self.accepted)) == ("idle", accepted)
        tool = self.arm.state().tool
        assert tool is not None
        up = Pose(tool.x_mm, tool.y_mm, max(tool.z_mm, 200.0), tool.rx_deg, tool.ry_deg, tool.rz_deg)
        report = await self.execute(Plan((Straight(up, 120.0), *HOME.steps)), token=2)
        assert (report.outcome, self.arm.state().parked) == ("done", True), report


@asynccontextmanager
async def pair(
    *, firmware: Firmware = "4.6", port: int = 30004, faults: Faults = NONE, pieces: str = "e2", seed: int = 3
) -> AsyncIterator[Pair]:
    placement = Placement.from_mapping({square_index(pieces): "P"})
    world = World(LAYOUT, STAUNTON_6, seed=seed, faults=faults, placement=placement)
    device = DobotDevice(
        "white", world, LAYOUT.site("white"), seed=seed, faults=faults, firmware=firmware, hidden=EXACT,
        start_joints=PARK_DEG,
    )  # fmt: skip
    with anyio.fail_after(1000.0):
        async with anyio.create_task_group() as group:
            group.start_soon(device.run)
            made = Pair(world, device, group, port)
            group.start_soon(made.arm.run)
            await made.arm.ensure_ready()
            assert made.accepted == []
            yield made
            group.cancel_scope.cancel()


@WIRES_AND_FIRMWARES
async def test_a_piece_is_carried(firmware: Firmware, port: int, faults: Faults) -> None:
    async with pair(firmware=firmware, port=port, faults=faults) as p:
        report = await p.execute(PICK_AND_PLACE)
        assert (report.outcome, report.completed) == ("done", 11), report
        assert [grasp.holding for grasp in report.grasps] == [True, True]
        assert p.world.placement().fen == "8/8/8/8/4P3/8/8/8"
        assert p.world.accidents == []
        assert p.arm.state().parked
        assert len(p.accepted) == 7  # one per step that moves, none twice
        assert p.connections == 2


@WIRES_AND_FIRMWARES
async def test_a_stop_ends_motion_for_good(firmware: Firmware, port: int, faults: Faults) -> None:
    async with pair(firmware=firmware, port=port, faults=faults) as p:
        reports: list[Report] = []
        await p.begin(PICK_AND_PLACE, reports)
        await p.arm.stop()
        assert p.device.controller.active is None
        await p.until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "stopped")
        await p.stands_for(5.0)
        with pytest.raises(ArmStopped):
            await p.execute(HOME)
        with pytest.raises(ArmStopped):
            await p.arm.ensure_ready()
        await p.goes_home_after_recover()


@WIRES_AND_FIRMWARES
async def test_a_cut_link_is_unknown_and_nothing_is_sent_again(firmware: Firmware, port: int, faults: Faults) -> None:
    async with pair(firmware=firmware, port=port, faults=faults) as p:
        reports: list[Report] = []
        await p.begin(PICK_AND_PLACE, reports)
        accepted = list(p.accepted)
        p.cut()
        await p.until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "link-lost")
        await p.until(lambda: p.arm.state().mode == "stopped")
        assert p.connections >= 4
        await p.stands_for(5.0)
        assert p.accepted == accepted
        await p.goes_home_after_recover()


@PORTS_AND_FIRMWARES
async def test_the_red_button_wants_to_be_free_and_a_person(firmware: Firmware, port: int) -> None:
    async with pair(firmware=firmware, port=port) as p:
        reports: list[Report] = []
        await p.begin(PICK_AND_PLACE, reports)
        p.device.press_estop()
        await p.until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "emergency-stop")
        with pytest.raises(ArmStopped, match="emergency stop"):
            await p.arm.recover(confirmed=True)
        p.device.release_estop()
        await p.stands_for(5.0)
        with pytest.raises(ArmStopped):
            await p.arm.ensure_ready()
        assert not p.device.controller.enabled
        await p.goes_home_after_recover()


@PORTS_AND_FIRMWARES
async def test_a_collision_wants_a_person(firmware: Firmware, port: int) -> None:
    async with pair(firmware=firmware, port=port) as p:
        reports: list[Report] = []
        await p.begin(PICK_AND_PLACE, reports)
        p.device.collide()
        await p.until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "collision")
        await p.stands_for(5.0)
        await p.goes_home_after_recover()


@PORTS_AND_FIRMWARES
async def test_a_missed_grasp_ends_the_plan_and_the_arm_stays_well(firmware: Firmware, port: int) -> None:
    async with pair(firmware=firmware, port=port, faults=Faults(missed_grasp=1.0)) as p:
        report = await p.execute(PICK_AND_PLACE)
        assert (report.outcome, report.code, report.completed) == ("unknown", "missed-grasp", 3)
        assert (p.arm.state().mode, p.arm.state().holding) == ("idle", False)
        assert p.world.placement().fen == "8/8/8/8/8/8/4P3/8"
        await p.goes_home_after_recover()


async def test_an_older_lease_moves_nothing() -> None:
    async with pair() as p:
        assert (await p.execute(HOME, token=5)).outcome == "done"
        accepted = list(p.accepted)
        with pytest.raises(PlanRefused) as refused:
            await p.execute(HOME, token=4)
        assert refused.value.code == "stale-token"
        await p.stands_for(5.0)
        assert p.accepted == accepted

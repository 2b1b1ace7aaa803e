"""The RO1 driver over real sockets, on asyncio: as it runs in production."""

from __future__ import annotations

import datetime

import anyio
import anyio.abc
import pytest

from edgechess_board.placement import Placement
from edgechess_robots.arm import Park, Plan
from edgechess_robots.calibration import nominal
from edgechess_robots.dobot.tcp import connect_tcp_to
from edgechess_robots.errors import ArmLost
from edgechess_robots.layout import standard_layout
from edgechess_robots.shapes import STAUNTON_6
from edgechess_robots.standard_bots.client import Client, Site, Token
from edgechess_robots.standard_bots.driver import StandardBotsArm
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_twin.arm_model import EXACT
from edgechess_twin.ro1_device import TOKEN, Ro1Device
from edgechess_twin.world import World

pytestmark = pytest.mark.anyio

LAYOUT = standard_layout()
FAST = 50.0  # motion of the software robot: what takes a second takes 20 ms


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_ready_and_home_over_sockets() -> None:
    world = World(LAYOUT, STAUNTON_6, seed=1, placement=Placement.from_fen("8/8/8/8/8/8/8/8"))
    robot = Ro1Device("white", world, LAYOUT.site("white"), hidden=EXACT, speed=FAST)
    calibration = nominal(LAYOUT.site("white").base, arm_serial="twin", date=datetime.date(2024, 1, 1))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    arm = StandardBotsArm(
        "white",
        connect_tcp_to("127.0.0.1", port - 3000),
        StandardBotsSettings(robot_kind="simulated", host="127.0.0.1"),
        Token(TOKEN),
        calibration,
    )

    async def serve(stream: anyio.abc.ByteStream) -> None:
        await robot.serve(3000, stream)

    with anyio.fail_after(20.0):
        async with anyio.create_task_group() as group:
            group.start_soon(robot.run)
            group.start_soon(listener.serve, serve)
            group.start_soon(arm.run)
            await arm.ensure_ready()
            report = await arm.execute(arm.check(Plan((Park(250.0),))), 1)
            assert (report.outcome, arm.state().parked) == ("done", True), report
            await arm.stop()
            assert arm.state().mode == "stopped"
            group.cancel_scope.cancel()


async def test_a_port_where_nothing_listens() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    await listener.aclose()
    async with Client(connect_tcp_to("127.0.0.1", port - 3000), Site("127.0.0.1", "simulated", Token("t"))) as client:
        with pytest.raises(ArmLost, match=r"no connection to 127\.0\.0\.1 port 3000 \(.*\): is that the control box"):
            await client.health()

"""Conformance: the maker's own Python SDK drives the simulated controller, unmodified.

Needs the SDK's folder in EDGECHESS_DOBOT_SDK (github.com/Dobot-Arm/TCP-IP-Python-V4, the folder of dobot_api.py) and a
loopback on which 127.77.0.2 can be bound with the controller's real port numbers.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import time
import types
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from edgechess_board.placement import Placement, square_index
from edgechess_robots.layout import standard_layout
from edgechess_robots.shapes import STAUNTON_6
from edgechess_twin.arm_model import EXACT
from edgechess_twin.dobot_device import DobotDevice
from edgechess_twin.world import World

pytestmark = pytest.mark.slow

HOST = "127.77.0.2"
SPEED = 20.0


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = os.environ.get("EDGECHESS_DOBOT_SDK")
    if not folder:
        pytest.skip("EDGECHESS_DOBOT_SDK does not name the folder of the maker's dobot_api.py")
    path = Path(folder) / "dobot_api.py"
    if not path.exists():
        pytest.skip(f"{path} does not exist")
    try:
        with socket.socket() as probe:
            probe.bind((HOST, 29999))
    except OSError as error:
        pytest.skip(f"{HOST}:29999 cannot be bound here: {error}")
    # It imports requests for the alarm texts on port 22000, which are no part of the protocol.
    monkeypatch.setitem(sys.modules, "requests", types.ModuleType("requests"))
    spec = importlib.util.spec_from_file_location("dobot_api", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wait_mode(dashboard: Any, wanted: int) -> None:
    for _ in range(500):
        if f"{{{wanted}}}" in dashboard.RobotMode():
            return
        time.sleep(0.01)
    raise AssertionError(f"mode {wanted} never came")


def wait_done(dashboard: Any, reply: str) -> None:
    """The maker's demo: the id is being executed and the arm is idle."""
    number = reply.split("{")[1].split("}")[0]
    for _ in range(1000):
        if f"{{{number}}}" in dashboard.GetCurrentCommandID() and "{5}" in dashboard.RobotMode():
            return
        time.sleep(0.01)
    raise AssertionError(f"{reply} was never done")


def session(sdk: Any) -> None:
    dashboard = sdk.DobotApiDashboard(HOST, 29999)
    feedback = sdk.DobotApiFeedBack(HOST, 30005)
    try:
        assert dashboard.RobotMode() == "0,{3},RobotMode();"
        assert dashboard.PowerOn() == "0,{},PowerOn();"
        wait_mode(dashboard, 4)
        assert dashboard.EnableRobot(0.5).startswith("0,{},EnableRobot(0.5")
        wait_mode(dashboard, 5)
        assert dashboard.SpeedFactor(80) == "0,{},SpeedFactor(80);"
        assert dashboard.SetTool(1, "{0,0,180,0,0,0}").startswith("0,{},SetTool(1,")
        assert dashboard.Tool(1) == "0,{1},Tool(1);"
        assert dashboard.SetToolPower(1).startswith("0,")
        assert dashboard.SetToolMode(1, 0).startswith("0,")
        assert dashboard.SetTool485(115200, "N", 1).startswith("0,")
        created = dashboard.ModbusRTUCreate(
            1, 115200, "N"
        )  # it leaves out 8 data bits and lets a stop bit slip into their place
        assert created.startswith("0,{0},"), created
        assert dashboard.SetHoldRegs(0, 256, 1, "{165}", "U16").startswith("0,")
        time.sleep(0.3)
        assert dashboard.GetHoldRegs(0, 512, 1, "U16").startswith("0,{1},")
        assert dashboard.SetHoldRegs(0, 259, 1, "{420}", "U16").startswith("0,")

        moved = dashboard.MovJ(462.5, -27.5, 230, 180, 0, 0, 0, v=60)
        wait_done(dashboard, moved)
        wait_done(dashboard, dashboard.MovL(462.5, -27.5, 30, 180, 0, 0, 0, speed=250))
        assert dashboard.SetHoldRegs(0, 259, 1, "{0}", "U16").startswith("0,")
        time.sleep(0.2)
        assert dashboard.GetHoldRegs(0, 513, 1, "U16").startswith("0,{2},")
        wait_done(dashboard, dashboard.RelMovLUser(0, 0, 200, 0, 0, 0))
        wait_done(dashboard, dashboard.MovJ(572.5, -27.5, 230, 180, 0, 0, 0))
        wait_done(dashboard, dashboard.MovL(572.5, -27.5, 30, 180, 0, 0, 0, v=20))
        assert dashboard.SetHoldRegs(0, 259, 1, "{420}", "U16").startswith("0,")
        time.sleep(0.2)
        wait_done(dashboard, dashboard.RelMovLUser(0, 0, 200, 0, 0, 0))
        wait_done(dashboard, dashboard.MovJ(90, 20, -130, 20, 90, 0, 1))

        time.sleep(0.3)
        frame = feedback.feedBackData()
        for _ in range(3):  # its reader hands out what has piled up first
            frame = feedback.feedBackData()
        assert hex(int(frame["TestValue"][0])) == "0x123456789abcdef"
        assert int(frame["RobotMode"][0]) == 5
        assert frame["QActual"][0] == pytest.approx((90, 20, -130, 20, 90, 0), abs=1e-6)
        assert int(frame["EnableStatus"][0]) == 1
        assert int(frame["RunningStatus"][0]) == 0

        assert dashboard.EmergencyStop(1) == "0,{},EmergencyStop(1);"
        assert dashboard.GetErrorID() == "0,{[132]},GetErrorID();"
        assert dashboard.EmergencyStop(0).startswith("0,")
        assert dashboard.ClearError() == "0,{},ClearError();"
        assert dashboard.DisableRobot() == "0,{},DisableRobot();"
    finally:
        dashboard.close()
        feedback.close()


def test_the_makers_sdk_moves_a_piece(sdk: Any) -> None:
    layout = standard_layout()

    async def main() -> World:
        world = World(layout, STAUNTON_6, speed=SPEED, placement=Placement.from_mapping({square_index("e2"): "P"}))
        device = DobotDevice("white", world, layout.site("white"), speed=SPEED, hidden=EXACT)
        async with anyio.create_task_group() as group:
            group.start_soon(device.run)
            for port in (29999, 30005):
                listener = await anyio.create_tcp_listener(local_host=HOST, local_port=port)

                async def serve(stream: anyio.abc.ByteStream, port: int = port) -> None:
                    await device.serve(port, stream)

                group.start_soon(listener.serve, serve)
            await anyio.to_thread.run_sync(session, sdk)
            group.cancel_scope.cancel()
        return world

    async def look() -> Placement:
        return (await main()).placement()

    assert anyio.run(look) == Placement.from_mapping({square_index("e4"): "P"})

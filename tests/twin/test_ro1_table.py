"""A table with arms of two makers: wires in memory, real ports, the control socket, and taking a left table up again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from edgechess_twin.control import ControlClient
from edgechess_twin.errors import HandError, TwinError
from edgechess_twin.left_table import TableLeft, read_left_table
from edgechess_twin.ro1_controller import START_JOINTS
from edgechess_twin.serve import serve
from edgechess_twin.table import Table, TableOptions

pytestmark = pytest.mark.anyio

HEADERS = "Host: r\r\nAuthorization: Bearer edgechess-twin\r\nrobot-kind: simulated\r\n"


async def ask(wire: anyio.abc.ByteStream, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    data = b"" if body is None else json.dumps(body).encode()
    await wire.send(f"{method} /api/v1{path} HTTP/1.1\r\n{HEADERS}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += await wire.receive()
    head, _, rest = heard.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(rest) < length:
        rest += await wire.receive()
    return int(head[9:12]), json.loads(rest) if rest else None


def test_kinds_must_fit_the_arms() -> None:
    with pytest.raises(TwinError, match="one for each of white, black"):
        Table(TableOptions(kinds=("ro1",)))
    with pytest.raises(TwinError, match="kuka"):
        Table(TableOptions(kinds=("dobot", "kuka")))  # type: ignore[arg-type]
    table = Table(TableOptions(kinds=("dobot", "ro1")))
    assert table.dobot("white") is table.arms["white"]
    assert table.ro1("black") is table.arm_device("black")
    with pytest.raises(TwinError, match="no RO1"):
        table.ro1("white")
    with pytest.raises(TwinError, match="no Dobot"):
        table.dobot("black")


async def test_both_answer_in_memory_and_a_lost_link_breaks_the_wire() -> None:
    table = Table(TableOptions(kinds=("dobot", "ro1")))
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        dobot, ro1 = await table.connect_arm("white", 29999), await table.connect_arm("black", 3000)
        await dobot.send(b"RobotMode()")
        assert (await dobot.receive()).endswith(b"},RobotMode();")
        assert await ask(ro1, "GET", "/movement/brakes") == (200, {"state": "engaged"})
        table.lose_link("black")
        with pytest.raises(anyio.BrokenResourceError):
            await ro1.receive()
        again = await table.connect_arm("black", 3000)
        assert (await ask(again, "GET", "/status/health"))[0] == 200
        tasks.cancel_scope.cancel()


async def test_a_person_guides_either() -> None:
    table = Table(TableOptions(kinds=("ro1", "dobot")))
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        with pytest.raises(TwinError, match="brakes"):
            await table.person.guide("white", (27.5, -137.5, 40.0))
        wire = await table.connect_arm("white", 3000)
        await ask(wire, "POST", "/status/control-mode", {"kind": "api"})
        await ask(wire, "POST", "/movement/brakes", {"state": "disengaged"})
        await table.person.guide("white", (27.5, -137.5, 60.0))
        assert table.world.tip("white") == pytest.approx((27.5, -137.5, 60.0), abs=0.01)
        tasks.cancel_scope.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_served_and_taken_up_again(tmp_path: Path) -> None:
    table = Table(TableOptions(kinds=("dobot", "ro1"), speed=50.0))
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        async with serve(table, directory=tmp_path) as devices:
            address = devices.arm_addresses["black"]
            assert (address.kind, address.token, address.ports) == ("ro1", "edgechess-twin", {3000: 3000})
            assert address.url == f"http://{address.host}:3000"
            assert devices.arm_addresses["white"].url is None
            async with await anyio.connect_tcp(address.host, 3000) as wire:
                await ask(wire, "POST", "/status/control-mode", {"kind": "api"})
                await ask(wire, "POST", "/movement/brakes", {"state": "disengaged"})
                joints = {"joints": [1.7, 0.3, -2.2, 0.4, 1.5, -1.4]}
                body = {"kind": "joint_rotation", "joint_rotation": joints}
                assert (await ask(wire, "POST", "/movement/position/arm", body))[1]["kind"] == "success"
            async with ControlClient(devices.control_path) as hand:
                told = await hand.status()
                await hand.press_estop("black")
                assert table.ro1("black").controller.emergency
                await hand.release_estop("black")
                with pytest.raises(HandError, match="brakes are engaged"):
                    await hand.guide("black", (0.0, 0.0, 60.0))
            # anyio's Unix sockets under asyncio log an error when cancelled in the instant in which the peer hangs up
            await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    assert told["kinds"] == {"white": "dobot", "black": "ro1"}
    (tmp_path / "table.json").write_text(json.dumps(told))
    left = read_left_table(tmp_path / "table.json")
    again = Table(TableOptions(kinds=("dobot", "ro1"), left=left))
    assert again.arms["black"].controller.joints() == pytest.approx(
        (97.4, 17.19, -126.05, 22.92, 85.94, -80.21), abs=0.01
    )
    other = Table(TableOptions(kinds=("ro1", "ro1"), left=left))  # a Dobot's joints mean nothing to an RO1
    assert other.arms["white"].controller.joints() == START_JOINTS


async def test_a_table_of_before_there_were_kinds_is_one_of_dobots() -> None:
    joints = (-80.0, 10.0, -120.0, 20.0, 90.0, -80.0)
    left = TableLeft((), {"white": joints, "black": joints})
    table = Table(TableOptions(kinds=("dobot", "ro1"), left=left))
    assert table.arms["white"].controller.joints() == joints
    assert table.arms["black"].controller.joints() == START_JOINTS

"""The table as others use it: wires in memory, links that break, ports in real time, the control socket."""

from __future__ import annotations

from pathlib import Path

import anyio
import chess
import pytest

from edgechess_twin.control import ControlClient, find_running
from edgechess_twin.errors import HandError, TwinError, TwinNotFound
from edgechess_twin.faults import Faults
from edgechess_twin.serve import serve
from edgechess_twin.table import START, Table, TableOptions

pytestmark = pytest.mark.anyio

VERSION = bytes.fromhex("9300050102")


async def heard(stream: anyio.abc.ByteStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive()
    return data


async def test_wires_need_a_running_table() -> None:
    with pytest.raises(TwinError, match="not running"):
        await Table().open_board()


async def test_board_and_arms_answer_in_memory() -> None:
    table = Table(TableOptions(seed=1))
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        board = await table.open_board()
        await board.send(b"\x4d")
        assert await heard(board, 5) == VERSION
        arm = await table.connect_arm("white", 29999)
        await arm.send(b"RobotMode()")
        assert (await arm.receive()).endswith(b"},RobotMode();")
        with pytest.raises(TwinError, match="green"):
            await table.connect_arm("green", 29999)
        assert table.world.placement() == START
        tasks.cancel_scope.cancel()


async def test_guiding_an_arm_moves_its_fingers_there() -> None:
    table = Table(TableOptions(seed=1))
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        arm = await table.connect_arm("white", 29999)
        for command in (b"PowerOn()", b"EnableRobot()"):
            await arm.send(command)
            await anyio.sleep(20.0)
        await table.person.guide("white", (55.0, -55.0, 40.0))
        assert table.world.tip("white") == pytest.approx((55.0, -55.0, 40.0), abs=0.01)
        with pytest.raises(HandError, match="finite"):
            await table.person.guide("white", (55.0, float("nan"), 40.0))
        with pytest.raises(HandError):
            await table.person.guide("green", (0.0, 0.0, 0.0))
        tasks.cancel_scope.cancel()


async def test_guiding_touches_with_the_fault_of_a_hand() -> None:
    table = Table(TableOptions(seed=1, faults=Faults(calibration_touch_mm=0.5)))
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        arm = await table.connect_arm("white", 29999)
        for command in (b"PowerOn()", b"EnableRobot()"):
            await arm.send(command)
            await anyio.sleep(20.0)
        misses = []
        for _ in range(40):
            await table.person.guide("white", (55.0, -55.0, 40.0))
            misses.append(table.world.tip("white")[0] - 55.0)
        assert (sum(miss * miss for miss in misses) / 40) ** 0.5 == pytest.approx(0.5, abs=0.2)
        tasks.cancel_scope.cancel()


async def test_a_lost_link_breaks_the_wire_and_the_board_wakes_in_bus_mode() -> None:
    table = Table()
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        board, arm = await table.open_board(), await table.connect_arm("black", 30004)
        await board.send(b"\x4b")
        await anyio.sleep(0.1)
        assert table.board.mode == "update-nice"
        for name in ("board", "black"):
            table.lose_link(name)
        for stream in (board, arm):
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()
        assert str(table.board.mode) == "bus"
        board = await table.open_board()
        await board.send(b"\x4d")
        assert await heard(board, 5) == VERSION
        with pytest.raises(TwinError):
            table.lose_link("green")
        tasks.cancel_scope.cancel()


async def test_fault_link_lost_strikes_about_once_a_move() -> None:
    table = Table(TableOptions(faults=Faults(link_lost=1.0), arms=()))
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        board = await table.open_board()
        await table.person.play("e2e4", chess.STARTING_FEN)
        with anyio.fail_after(10.0), pytest.raises(anyio.BrokenResourceError):
            await board.receive()
        tasks.cancel_scope.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_served_on_real_ports(tmp_path: Path) -> None:
    serial = pytest.importorskip("serial")
    table = Table(TableOptions(seed=3, speed=50.0))
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        async with serve(table, directory=tmp_path) as devices:
            assert find_running(tmp_path) == devices.control_path

            def ask(command: bytes, count: int) -> bytes:
                with serial.Serial(devices.board_path, 9600, timeout=3.0, exclusive=True) as port:
                    port.write(command)
                    return bytes(port.read(count))

            assert await anyio.to_thread.run_sync(ask, b"\x4d", 5) == VERSION
            assert (await anyio.to_thread.run_sync(ask, b"\x42", 67))[:3].hex() == "860043"
            table.lose_link("board")
            await anyio.sleep(0.8)
            assert await anyio.to_thread.run_sync(ask, b"\x4d", 5) == VERSION

            for address in devices.arm_addresses.values():
                async with await anyio.connect_tcp(address.host, address.ports[29999]) as arm:
                    await arm.send(b"RobotMode()")
                    with anyio.fail_after(3.0):
                        assert (await arm.receive()).endswith(b"},RobotMode();")
                async with await anyio.connect_tcp(address.host, address.ports[30004]) as feedback:
                    with anyio.fail_after(3.0):
                        frame = await heard(feedback, 1440)
                    assert frame[:2] == (1440).to_bytes(2, "little")

            async with ControlClient(devices.control_path) as hand:
                await hand.play("e2e4", chess.STARTING_FEN)
                assert (await hand.placement()).fen == "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR"
                with pytest.raises(HandError, match="e2 is empty"):
                    await hand.lift("e2")
                await hand.lift("d2")
                await hand.place("d4")
                status = await hand.status()
                assert status["placement"] == "rnbqkbnr/pppppppp/8/8/3PP3/8/PPP2PPP/RNBQKBNR"
                assert status["seed"] == 3
                await hand.press_estop("white")
                assert table.arms["white"].controller.alarms == [116]
                await hand.release_estop("white")
                assert not table.arms["white"].controller.emergency
                table.arms["black"].controller.enabled = True
                await hand.collide("black")
                assert table.arms["black"].controller.alarms == [117]
                with pytest.raises(HandError, match="green"):
                    await hand.press_estop("green")
                with pytest.raises(HandError, match="not known"):
                    await hand._ask("dance")
                with pytest.raises(HandError, match="not understood"):
                    await hand._ask("lift", colour="red")
            # anyio's Unix sockets under asyncio log an error when cancelled in the instant in which the peer hangs up
            await anyio.sleep(0.01)
        with pytest.raises(TwinNotFound):
            find_running(tmp_path)
        assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a test may look
        tasks.cancel_scope.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_two_twins_side_by_side(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        first, second = Table(), Table(TableOptions(seed=1))
        await tasks.start(first.run)
        await tasks.start(second.run)
        async with serve(first, directory=tmp_path) as one, serve(second, directory=tmp_path) as other:
            hosts = [address.host for devices in (one, other) for address in devices.arm_addresses.values()]
            assert len(set(hosts)) == 4
            assert all(a.vendor_ports for devices in (one, other) for a in devices.arm_addresses.values())
            assert find_running(tmp_path) == other.control_path
        tasks.cancel_scope.cancel()

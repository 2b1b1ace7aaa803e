"""Real bytes through a pseudo-terminal; no waiting beyond the kernel's."""

from __future__ import annotations

import errno
import os
import pty
import tty
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import serial

from edgechess_board.errors import BoardNotFound
from edgechess_board.port import PortAttribute
from edgechess_board.serial_adapter import SerialPorts

pytestmark = pytest.mark.anyio


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """The device's end as a file descriptor, our end as a path."""
    device, ours = pty.openpty()
    tty.setraw(device)
    yield device, os.ttyname(ours)
    os.close(ours)
    os.close(device)


async def test_bytes_both_ways_and_its_name(terminal: tuple[int, str]) -> None:
    device, path = terminal
    async with await SerialPorts(path).open() as stream:
        assert stream.extra(PortAttribute.name) == path
        await stream.send(b"\x40\x42")
        assert os.read(device, 10) == b"\x40\x42"
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_write, device, bytes.fromhex("860043ff00110d0a"))
                assert await stream.receive() == bytes.fromhex("860043ff00110d0a")


async def _write(device: int, data: bytes) -> None:
    await anyio.sleep(0.005)
    os.write(device, data)


async def test_an_open_port_is_ours_alone(terminal: tuple[int, str]) -> None:
    _, path = terminal
    async with await SerialPorts(path).open():
        with pytest.raises(BoardNotFound, match="another program has it open"):
            await SerialPorts(path).open()
    async with await SerialPorts(path).open():
        pass


async def test_closing_ends_a_receive(terminal: tuple[int, str]) -> None:
    stream = await SerialPorts(terminal[1]).open()

    async def close() -> None:
        await anyio.sleep(0.005)
        await stream.aclose()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(close)
            with pytest.raises(anyio.ClosedResourceError):
                await stream.receive()
    with pytest.raises(anyio.ClosedResourceError):
        await stream.send(b"\x40")


async def test_a_named_port_that_is_not_there() -> None:
    with pytest.raises(BoardNotFound, match="/dev/edgechess-none: there is no such port"):
        await SerialPorts("/dev/edgechess-none").open()


async def test_no_candidate_names_the_patterns(tmp_path: Path) -> None:
    with pytest.raises(BoardNotFound, match=r"ttyACM.*plugged in"):
        await SerialPorts(patterns=(f"{tmp_path}/ttyACM*",)).open()


async def test_permission_names_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ttyACM0").touch()

    def refuse(path: str, **_: object) -> serial.Serial:
        raise serial.SerialException(errno.EACCES, f"could not open port {path}")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(BoardNotFound, match=r"ttyACM0: your user may not open it: .*dialout"):
        await SerialPorts(patterns=(f"{tmp_path}/ttyACM*",)).open()


async def test_every_candidate_has_its_turn(tmp_path: Path, terminal: tuple[int, str]) -> None:
    other_device, other = pty.openpty()
    (tmp_path / "ttyACM0").symlink_to(terminal[1])
    (tmp_path / "ttyUSB0").symlink_to(os.ttyname(other))
    ports = SerialPorts(patterns=(f"{tmp_path}/ttyACM*", f"{tmp_path}/ttyUSB*"))
    opened = []
    for _ in range(3):
        async with await ports.open() as stream:
            opened.append(Path(stream.extra(PortAttribute.name)).name)
    assert opened == ["ttyACM0", "ttyUSB0", "ttyACM0"]
    os.close(other)
    os.close(other_device)

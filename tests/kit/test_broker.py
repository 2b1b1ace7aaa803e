"""The broker we bring along: its configuration, its choice, and clear words when it cannot be."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

from edgechess_kit import broker
from edgechess_kit.broker import BrokerTls, find_embedded, find_mosquitto, mosquitto_config, running_broker
from edgechess_kit.errors import BrokerError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_configuration_is_loopback_only_and_keeps_nothing() -> None:
    lines = mosquitto_config(1883).splitlines()
    assert "listener 1883 127.0.0.1" in lines
    assert "persistence false" in lines
    assert "allow_anonymous true" in lines
    assert "max_queued_messages 1000" in lines


def test_off_loopback_it_wants_certificates() -> None:
    with pytest.raises(BrokerError, match="needs certificates"):
        mosquitto_config(8883, host="0.0.0.0")
    lines = mosquitto_config(8883, host="0.0.0.0", tls=BrokerTls(Path("a"), Path("b"), Path("c"))).splitlines()
    assert "require_certificate true" in lines
    assert "allow_anonymous false" in lines


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_a_taken_port_is_named(taken: int, kind: broker.BrokerKind) -> None:
    if not (find_mosquitto() if kind == "mosquitto" else find_embedded()):
        pytest.skip(f"{kind} is not installed")
    with pytest.raises(BrokerError, match=f"port {taken} on 127.0.0.1 .*in use"):
        async with running_broker(taken, kind):
            raise AssertionError


async def test_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "find_mosquitto", lambda: None)
    monkeypatch.setattr(broker, "find_embedded", lambda: False)
    for kind, said in (("auto", "no MQTT broker: install mosquitto"), ("mosquitto", "apt install mosquitto")):
        with pytest.raises(BrokerError, match=said):
            async with running_broker(kind=kind):  # type: ignore[arg-type]
                raise AssertionError


@pytest.mark.slow
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_what_the_broker_said_is_told(tmp_path: Path) -> None:
    nowhere = tmp_path / "none.pem"
    with pytest.raises(BrokerError, match=r"mosquitto did not start .*none\.pem"):
        async with running_broker(kind="mosquitto", tls=BrokerTls(nowhere, nowhere, nowhere)):
            raise AssertionError


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_it_ends_with_the_block_even_a_cancelled_one(kind: broker.BrokerKind) -> None:
    if not (find_mosquitto() if kind == "mosquitto" else find_embedded()):
        pytest.skip(f"{kind} is not installed")
    port = 0
    with anyio.fail_after(30), anyio.CancelScope() as scope:
        async with running_broker(kind=kind) as url:
            assert url.startswith("mqtt://127.0.0.1:")
            port = int(url.rpartition(":")[2])
            scope.cancel()
            await anyio.sleep_forever()
    with pytest.raises(OSError, match=r"refused|failed"):
        await anyio.connect_tcp("127.0.0.1", port)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_one_that_dies_by_itself_is_told_of(kind: broker.BrokerKind, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (find_mosquitto() if kind == "mosquitto" else find_embedded()):
        pytest.skip(f"{kind} is not installed")
    processes, open_process = [], anyio.open_process

    async def opened(*arguments: Any, **more: Any) -> anyio.abc.Process:
        processes.append(await open_process(*arguments, **more))
        return processes[-1]

    monkeypatch.setattr(broker.anyio, "open_process", opened)
    told, heard = [], anyio.Event()

    def died(text: str) -> None:
        told.append(text)
        heard.set()

    with anyio.fail_after(30):
        async with running_broker(kind=kind, died=died) as url:
            processes[0].kill()
            await heard.wait()
        await _until_refused(int(url.rpartition(":")[2]))  # the guardian alone was killed, and its broker is not left
    [text] = told
    assert text.startswith(f"the broker on {url.removeprefix('mqtt://')} has died (exit code -9): ")


HOLDER = """
import sys, anyio
from edgechess_kit.broker import running_broker
async def main(kind):
    async with running_broker(kind=kind) as url:
        print(url, flush=True)
        await anyio.sleep_forever()
anyio.run(main, sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_it_does_not_outlive_a_process_that_was_killed(kind: broker.BrokerKind, tmp_path: Path) -> None:
    if not (find_mosquitto() if kind == "mosquitto" else find_embedded()):
        pytest.skip(f"{kind} is not installed")
    with anyio.fail_after(30):
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        holder = await anyio.open_process([sys.executable, "-c", HOLDER, kind], stderr=None, env=environment)
        try:
            assert holder.stdout is not None
            url = (await holder.stdout.receive()).decode().strip()
            holder.kill()
        finally:
            await holder.aclose()
        await _until_refused(int(url.rpartition(":")[2]))
        while os.listdir(tmp_path):  # noqa: ASYNC110 - nobody is left to tell
            await anyio.sleep(0.01)


async def _until_refused(port: int) -> None:
    while True:
        try:
            stream = await anyio.connect_tcp("127.0.0.1", port)
        except OSError:
            return
        await stream.aclose()
        await anyio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up in /proc")
async def test_a_guardian_that_is_ended_at_once_takes_its_program_along() -> None:
    """Whoever gives up early sends the signal while the guardian is still starting its program."""
    command = [sys.executable, "-m", "edgechess_kit.guardian", sys.executable, "-c", "import time; time.sleep(600)"]
    with anyio.fail_after(60):
        guardian = await anyio.open_process(command, stderr=None, start_new_session=True)
        children = Path(f"/proc/{guardian.pid}/task/{guardian.pid}/children")
        while not _text(children):
            await anyio.lowlevel.checkpoint()
        child = int(_text(children))
        guardian.terminate()
        await guardian.aclose()
        while _runs(child):  # noqa: ASYNC110 - nobody is left to tell
            await anyio.sleep(0.01)


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def _runs(pid: int) -> bool:
    try:
        return not Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return False


@pytest.mark.slow
async def test_the_guardian_ends_with_its_program_and_its_code() -> None:
    ended = await anyio.run_process(
        [sys.executable, "-m", "edgechess_kit.guardian", sys.executable, "-c", "raise SystemExit(7)"], check=False
    )
    assert ended.returncode == 7
    missing = await anyio.run_process([sys.executable, "-m", "edgechess_kit.guardian", "/no/such/program"], check=False)
    assert missing.returncode == 127

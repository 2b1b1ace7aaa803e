from __future__ import annotations

import socket

import anyio
import pytest

from edgechess_robots.dobot import tcp
from edgechess_robots.dobot.tcp import connect_tcp_to


@pytest.mark.parametrize("host", ["192.168.5.1", "robot.local", "10.0.0.2", "::2"])
def test_a_real_arm_needs_an_explicit_word(host: str) -> None:
    with pytest.raises(ValueError, match="set live = true"):
        connect_tcp_to(host)
    connect_tcp_to(host, live=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.4.0.2", "::1", "localhost"])
def test_this_machine_needs_none(host: str) -> None:
    connect_tcp_to(host)


@pytest.mark.parametrize(
    "host", ["http://192.168.1.40:3000", "192.168.1.40:3000", "192..1", "a" * 64, "robot local", ""]
)
def test_what_is_no_host_is_named_before_anything_is_opened(host: str) -> None:
    """A URL copied from a robot's page is the usual one."""
    with pytest.raises(ValueError, match=f"host is {host!r}".replace("[", r"\[")):
        connect_tcp_to(host, live=True)


@pytest.mark.anyio
async def test_a_port_that_cannot_be_is_told_like_one_that_does_not_answer() -> None:
    with pytest.raises(OSError, match="no port 69999: port_offset 40000"):
        await connect_tcp_to("127.0.0.1", 40_000)(29999)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_ports_are_offset() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(b"hello")

    with anyio.fail_after(5):
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve)
            async with await connect_tcp_to("127.0.0.1", port - 29999)(29999) as stream:
                assert await stream.receive() == b"hello"
            group.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_what_the_attempt_met_is_told() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    await listener.aclose()
    with pytest.raises(OSError, match=r"^Connection refused$"):
        await connect_tcp_to("127.0.0.1", port - 29999)(29999)


def test_a_name_that_nobody_knows_is_told_in_the_systems_words() -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert tcp._why(unknown) == "Name or service not known"

"""The page's socket, and what a flood of connections that say nothing does to it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from edgechess_console import server_adapter
from edgechess_console.errors import ServerFailed
from edgechess_console.listening import address_of
from edgechess_console.server_adapter import serving
from edgechess_console.settings import Settings
from edgechess_kit.listening import listening

pytestmark = pytest.mark.anyio

ASK = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def hear_out(scope: Scope, receive: Receive, send: Send) -> None:
    with contextlib.suppress(ClientDisconnect):
        async for _ in Request(scope, receive).stream():
            pass
    await PlainTextResponse("here")(scope, receive, send)


@asynccontextmanager
async def served(**changes: Any) -> AsyncIterator[int]:
    async with serving(hear_out, Settings(**({"port": 0} | changes))) as address:
        yield int(address.rsplit(":", 1)[1].strip("/"))


async def asked(port: int, request: bytes = ASK) -> bytes:
    """What the first bytes of the answer are; none where the connection is closed."""
    with anyio.fail_after(20):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request)
            return await said(stream)


async def said(stream: anyio.abc.ByteReceiveStream) -> bytes:
    try:
        return await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return b""


async def test_a_socket_that_was_opened_before_is_served() -> None:
    with listening("127.0.0.1", 0) as before:
        async with served(socket_fd=os.dup(before.fileno())) as port:
            assert port == before.getsockname()[1]
            assert b" 200 " in await asked(port)
        with pytest.raises(OSError, match="in use"):
            listening("127.0.0.1", port)


@pytest.mark.parametrize("kind", ["no socket", "does not listen", "everybody"])
async def test_what_is_no_socket_of_ours_is_refused(kind: str) -> None:
    with socket.socket() as other:
        if kind == "everybody":
            other.bind(("0.0.0.0", 0))
            other.listen()
        descriptor = os.pipe()[0] if kind == "no socket" else os.dup(other.fileno())
        with pytest.raises(ServerFailed, match="socket_fd"):
            async with served(socket_fd=descriptor):
                pass


async def test_connections_that_say_nothing_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_adapter, "CONNECTIONS_LIMIT", 20)
    async with served() as port, AsyncExitStack() as silent:
        streams = [await silent.enter_async_context(await anyio.connect_tcp("127.0.0.1", port)) for _ in range(100)]
        for number, stream in enumerate(streams[80:]):
            if number % 2:
                await stream.send(b"GET / HTTP/1.1\r\nX-Slow: ")
        for _ in range(5):
            assert b" 200 " in await asked(port)
        with anyio.fail_after(10):
            assert await said(streams[0]) == b"", "the oldest gave way"


@pytest.mark.parametrize("before", [b"", ASK])
@pytest.mark.parametrize("part", [ASK[:20], b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nslow"])
async def test_whoever_does_not_say_what_it_wants_is_closed(
    monkeypatch: pytest.MonkeyPatch, before: bytes, part: bytes
) -> None:
    monkeypatch.setattr(server_adapter, "REQUEST_S", 0.05)
    async with served() as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        with anyio.fail_after(20):
            if before:
                await stream.send(before)
                assert b" 200 " in await said(stream)
            await stream.send(part)
            assert await said(stream) == b""


async def test_whoever_says_nothing_at_all_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_adapter, "REQUEST_S", 0.05)
    async with served() as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        with anyio.fail_after(20):
            assert await said(stream) == b""


def test_an_address_says_whether_it_is_secure() -> None:
    assert address_of("127.0.0.1", 8088, secure=False) == "http://127.0.0.1:8088/"
    assert address_of("::1", 1, secure=True) == "https://[::1]:1/"

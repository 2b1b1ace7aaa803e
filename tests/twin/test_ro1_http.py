"""HTTP on a byte stream: whole, split anywhere, too large, too slow, pipelined, and bytes that are none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_twin.memory_stream import MemoryStream, memory_stream_pair
from edgechess_twin.ro1_http import BODY_BYTES, IDLE_S, REQUEST_S, HttpAnswer, HttpRequest, serve_http

pytestmark = pytest.mark.anyio

GET = b"GET /a%20b?x=1 HTTP/1.1\r\nHost: r\r\nX-One: 1\r\nx-one: 2\r\n\r\n"
POST = b'POST /p HTTP/1.1\r\nHost: r\r\nContent-Length: 7\r\n\r\n{"a":1}'
CHUNKED = b'POST /p HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
OK_EMPTY = b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"
OK_JSON = b'HTTP/1.1 200 \r\nContent-Length: 7\r\nContent-Type: application/json\r\n\r\n{"b":2}'


class Peer:
    """A client of the server under test, and what the server's handler was asked."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self.asked: list[HttpRequest] = []
        self.answer = HttpAnswer()

    async def handle(self, request: HttpRequest) -> HttpAnswer:
        self.asked.append(request)
        return self.answer

    async def heard(self) -> bytes:
        """What comes until nothing comes for a second, or the end (then `b"|"` follows)."""
        data = b""
        with anyio.move_on_after(1.0):
            try:
                while True:
                    data += await self.stream.receive()
            except anyio.EndOfStream:
                data += b"|"
        return data


@asynccontextmanager
async def peer() -> AsyncIterator[Peer]:
    near, far = memory_stream_pair()
    found = Peer(near)

    async def serve() -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            await serve_http(far, found.handle, far.send)
        await far.aclose()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        yield found
        tasks.cancel_scope.cancel()


async def test_requests_on_one_connection() -> None:
    async with peer() as p:
        await p.stream.send(GET)
        assert await p.heard() == OK_EMPTY
        p.answer = HttpAnswer.of({"b": 2})
        await p.stream.send(POST)
        assert await p.heard() == OK_JSON
        await p.stream.send(CHUNKED)
        assert await p.heard() == OK_JSON
    assert [(r.method, r.path, r.body) for r in p.asked] == [
        ("GET", "/a b", b""),
        ("POST", "/p", b'{"a":1}'),
        ("POST", "/p", b'{"a":1}'),
    ]
    assert p.asked[0].headers["x-one"] == ("1", "2")
    assert p.asked[0].query == {"x": "1"}


@pytest.mark.parametrize("message", [GET, POST, CHUNKED], ids=["get", "post", "chunked"])
async def test_byte_by_byte(message: bytes) -> None:
    async with peer() as p:
        for byte in message:
            assert p.asked == []
            await p.stream.send(bytes((byte,)))
            await anyio.sleep(0.001)
        assert await p.heard() == OK_EMPTY
    assert len(p.asked) == 1


async def test_a_client_that_asks_to_close_is_closed() -> None:
    async with peer() as p:
        await p.stream.send(b"GET / HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n")
        assert await p.heard() == b"HTTP/1.1 200 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n|"


async def test_pipelined_orders_beyond_the_first_are_not_carried_out() -> None:
    async with peer() as p:
        await p.stream.send(POST + POST + POST)
        assert await p.heard() == b"HTTP/1.1 200 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n|"
    assert len(p.asked) == 1


async def test_who_waits_for_leave_to_send_a_body_gets_it() -> None:
    async with peer() as p:
        await p.stream.send(b"POST /p HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await p.heard() == b"HTTP/1.1 100 \r\n\r\n"
        await p.stream.send(b"{}")
        assert await p.heard() == OK_EMPTY


async def test_head_has_no_body() -> None:
    async with peer() as p:
        p.answer = HttpAnswer.of({"b": 2})
        await p.stream.send(b"HEAD / HTTP/1.1\r\nHost: r\r\n\r\n")
        assert (await p.heard()).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", b"400"),  # TLS
        (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (b"GET / HTTP/1.1\r\nHost: r\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"GET /%ff HTTP/1.1\r\nHost: r\r\n\r\n", b"400"),
        (b"GET http://[ HTTP/1.1\r\nHost: r\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: r\r\nX: " + b"y" * 20_000, b"431"),
        (b"POST / HTTP/1.1\r\nHost: r\r\nContent-Length: 9999999\r\n\r\n" + b" " * (BODY_BYTES + 1), b"413"),
    ],
)
async def test_what_is_no_request_is_told_and_hung_up_on(message: bytes, status: bytes) -> None:
    async with peer() as p:
        with anyio.move_on_after(1.0):
            await p.stream.send(message)
        heard = await p.heard()
    assert heard.startswith(b"HTTP/1.1 " + status)
    assert heard.endswith(b"|")
    assert b'"error":"request_failed_validation"' in heard
    assert p.asked == []


async def test_an_idle_connection_is_closed_and_a_slow_request_told() -> None:
    async with peer() as p:
        await anyio.sleep(IDLE_S + 1.0)
        assert await p.heard() == b"|"
    async with peer() as p:
        await p.stream.send(POST[:-1])
        await anyio.sleep(REQUEST_S + 1.0)
        assert (await p.heard()).startswith(b"HTTP/1.1 408")
    assert p.asked == []


async def test_the_client_goes_in_the_middle() -> None:
    for cut in (0, 5, len(POST) - 3):
        async with peer() as p:
            await p.stream.send(POST[:cut])
            await p.stream.aclose()
            await anyio.sleep(1.0)
        assert p.asked == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([GET, POST, CHUNKED[:40], b"\r\n"])), max_size=5))
def test_any_bytes_are_safe(pieces: list[bytes]) -> None:
    import trio.testing

    async def main() -> None:
        async with peer() as p:
            for piece in pieces:
                with anyio.move_on_after(1.0):
                    try:
                        await p.stream.send(piece)
                    except anyio.BrokenResourceError:
                        break
                await anyio.sleep(0.01)
            await p.stream.aclose()
            await anyio.sleep(1.0)

    anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})

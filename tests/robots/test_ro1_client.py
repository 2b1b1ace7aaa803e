"""The RO1 client against a scripted server: literal bytes over streams in memory, in virtual time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest

from edgechess_robots.errors import ArmLost
from edgechess_robots.standard_bots.api_protocol import ApiBroken, ApiRefused
from edgechess_robots.standard_bots.client import Client, Site, Token
from edgechess_twin.memory_stream import MemoryStream, memory_stream_pair

pytestmark = pytest.mark.anyio

SITE = Site("control-box", "simulated", Token("T0KEN"))
HEALTHY = b'{"health":"ok","build":{"id":"44","name":"release/2025.08.01.44"}}'


def http(body: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Server:
    """Answers every request with the next of `answers`; None: never; b"": hangs up."""

    def __init__(self, answers: list[bytes | None], group: anyio.abc.TaskGroup, whole: bool) -> None:
        """`whole`: answers go out in one piece, not byte by byte."""
        self._whole = whole
        self.heard: list[bytes] = []
        self.connections = 0
        self._answers, self._group = answers, group

    async def connect(self, port: int) -> MemoryStream:
        assert port == 3000
        self.connections += 1
        near, far = memory_stream_pair()
        self._group.start_soon(self._serve, far)
        return near

    async def _serve(self, stream: MemoryStream) -> None:
        try:
            while True:
                self.heard.append(await request(stream))
                answer = self._answers.pop(0)
                if answer is None:
                    await anyio.sleep_forever()
                elif not answer:
                    await stream.aclose()
                    return
                else:
                    size = 60_000 if self._whole or len(answer) >= 1000 else 1
                    for at in range(0, len(answer), size):
                        await stream.send(answer[at : at + size])
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return


async def request(stream: MemoryStream) -> bytes:
    """One request: its head, and as much body as the head says."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    told = re.search(rb"content-length: (\d+)", data, re.IGNORECASE)
    wanted = data.index(b"\r\n\r\n") + 4 + (int(told[1]) if told else 0)
    while len(data) < wanted:
        data += await stream.receive()
    return data


@asynccontextmanager
async def serving(*answers: bytes | None, whole: bool = False) -> AsyncIterator[tuple[Client, Server]]:
    async with anyio.create_task_group() as group:
        server = Server(list(answers), group, whole)
        async with Client(server.connect, SITE) as client:
            yield client, server
        group.cancel_scope.cancel()


async def test_what_is_sent_and_what_comes_back_byte_by_byte() -> None:
    async with serving(http(HEALTHY), http(b"")) as (client, server):
        health = await client.health()
        assert (health.health, health.build) == ("ok", "release/2025.08.01.44")
        await client.take_control()
        assert server.connections == 1
    first, second = server.heard
    assert first.startswith(b"GET /api/v1/status/health HTTP/1.1\r\nHost: control-box:3000\r\n")
    for line in (b"Authorization: Bearer T0KEN\r\n", b"robot_kind: simulated\r\n", b"robot-kind: simulated\r\n"):
        assert line in first
    assert second.startswith(b"POST /api/v1/status/control-mode HTTP/1.1\r\n")
    assert second.endswith(b'\r\n\r\n{"kind": "api"}')


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n42\r\n" + HEALTHY + b"\r\n0\r\n\r\n"
CLOSING = http(HEALTHY).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
OLD = http(HEALTHY).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
EARLY = b"HTTP/1.1 100 Continue\r\n\r\n" + http(HEALTHY)


@pytest.mark.parametrize("whole", [True, False])
async def test_whatever_an_answer_looks_like_it_is_read_to_its_end(whole: bool) -> None:
    """And the connection is used again where the robot leaves it open."""
    answers = (http(HEALTHY), CHUNKED, EARLY, http(HEALTHY), CLOSING, http(HEALTHY), OLD, http(HEALTHY))
    async with serving(*answers, whole=whole) as (client, server):
        connections = []
        for _ in answers:
            assert (await client.health()).build == "release/2025.08.01.44"
            connections.append(server.connections)
    assert connections == [1, 1, 1, 1, 1, 2, 2, 3]


async def test_more_than_one_answer_to_one_request_is_not_the_next_ones() -> None:
    async with serving(http(HEALTHY) + http(b"{}"), http(HEALTHY), whole=True) as (client, server):
        assert (await client.health()).health == "ok"
        assert (await client.health()).health == "ok"
        assert server.connections == 2


async def test_a_silent_robot_is_a_lost_one_after_the_deadline() -> None:
    async with serving(None, http(HEALTHY)) as (client, server):
        began = anyio.current_time()
        with pytest.raises(ArmLost, match="GET /api/v1/status/health was not answered within 1 s"):
            await client.health()
        assert anyio.current_time() - began == pytest.approx(1.0)
        assert (await client.health()).health == "ok"  # on a connection of its own
        assert server.connections == 2


async def test_nothing_is_sent_twice() -> None:
    async with serving(b"", http(HEALTHY)) as (client, server):
        with pytest.raises(ArmLost, match="closed without an answer"):
            await client.take_control()
        assert len(server.heard) == 1


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ApiBroken, "control-box port 3000 does not speak HTTP .* is that an RO1"),
        (http(b"<html>hello</html>", kind="text/html"), ApiBroken, "expected a JSON object"),
        (http(b"<html>oops</html>", "500 Internal Server Error", "text/html"), ApiBroken, "status 500"),
        (http(b"", "502 Bad Gateway"), ApiBroken, "something before the robot"),
        (http(b'{"error":"authorization_required","message":"no"}', "401 Unauthorized"), ApiRefused, "token is wrong"),
        (http(b"", "404 Not Found"), ApiRefused, "not found"),
        (http(b"x" * 1_100_000), ApiBroken, "more than 1000000 bytes"),
    ],
)  # fmt: skip
async def test_what_is_no_robot_is_told_apart(answer: bytes, error: type[Exception], words: str) -> None:
    async with serving(answer) as (client, _):
        with pytest.raises(error, match=words):
            await client.health()


async def test_an_address_where_nothing_is_names_cause_and_cure() -> None:
    async def nowhere(port: int) -> anyio.abc.ByteStream:
        raise OSError("No route to host")

    async with Client(nowhere, SITE) as client:
        with pytest.raises(
            ArmLost, match=r"control-box port 3000 \(No route to host\): is that the control box's address"
        ):
            await client.health()


def test_a_token_is_never_shown() -> None:
    assert "T0KEN" not in repr(SITE) + str(SITE.token) + f"{SITE}"
    assert SITE.token.reveal() == "T0KEN"
    assert SITE.token == Token("T0KEN")
    for wrong in ("", "two words", "line\nbreak", "tökén"):
        with pytest.raises(ValueError, match="token is empty or holds") as caught:
            Token(wrong)
        assert not wrong or wrong not in str(caught.value)


@pytest.mark.parametrize(
    ("site", "url", "port"),
    [
        (SITE, "http://control-box:3000", 3000),
        (Site("::1", "simulated", SITE.token), "http://[::1]:3000", 3000),
        (Site("cb1234.sb.app", "live", SITE.token, tls=True), "https://cb1234.sb.app", 443),
    ],
)
def test_where_it_is(site: Site, url: str, port: int) -> None:
    assert (site.url, site.port) == (url, port)


async def test_the_tunnel_is_dialled_with_tls() -> None:
    dialled: list[int] = []
    spoken: list[bytes] = []

    async def connect(port: int) -> anyio.abc.ByteStream:
        dialled.append(port)
        near, far = memory_stream_pair()
        group.start_soon(listen, far)
        return near

    async def listen(stream: MemoryStream) -> None:
        spoken.append(await stream.receive())
        await stream.aclose()

    tunnel = Site("cb1234.sb.app", "live", SITE.token, tls=True)
    async with anyio.create_task_group() as group, Client(connect, tunnel) as client:
        with pytest.raises(ArmLost, match=r"cb1234\.sb\.app port 443"):
            await client.health()
    assert dialled == [443]
    assert spoken[0][:3] == b"\x16\x03\x01"  # a TLS handshake
    assert b"cb1234.sb.app" in spoken[0]  # with the name that the certificate must have
    assert b"T0KEN" not in spoken[0]

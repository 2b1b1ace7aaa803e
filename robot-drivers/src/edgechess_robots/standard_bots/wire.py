"""HTTP over whatever `connect` opens: a socket, or a stream in memory under a virtual clock.

httpx has the words for requests, answers and what went wrong, `exchange` has the protocol; here are the connections. A
pool for any number of servers would cost more than the exchange itself, several times a second. Deadlines are the
caller's (`client.py`), in the caller's clock.
"""

from __future__ import annotations

import contextlib
import select
import ssl
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.abc
import anyio.streams.tls
import h11
import httpx

from edgechess_robots.dobot.tcp import Connect
from edgechess_robots.standard_bots.exchange import AnswerTooLong, exchange

CONNECTIONS = 8  # beats that wait for a slow answer, the state, a command, and a stop beside them all
KEPT = 1
"""Idle connections. The one is used several times a second; a second would idle until the robot closes it, at the very
moment, perhaps, when a motion is sent on it, and nobody would know whether that arrived."""
CLOSE_S = 0.5  # for a connection's farewell: a TLS peer may be gone

_BREAKS = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class TooLong(httpx.TransportError):
    """The answer is longer than it may be."""


class WireTransport(httpx.AsyncBaseTransport):
    """What httpx sends through: one request, one whole answer. A command that may have arrived is never sent again."""

    def __init__(self, connect: Connect, answer_bytes: int) -> None:
        """`answer_bytes`: the longest answer, head and all."""
        self._connect = connect
        self._answer_bytes = answer_bytes
        self._idle: list[anyio.abc.ByteStream] = []
        self._free = anyio.Semaphore(CONNECTIONS, fast_acquire=True)
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises ConnectError, NetworkError, RemoteProtocolError, TooLong."""
        async with self._free:
            stream = self._kept() or await self._dial(request.url)
            kept = False
            try:
                with _as_httpx():
                    answer = await exchange(stream, request, self._answer_bytes)
                kept = answer.stays_open and len(self._idle) < KEPT
            finally:
                if not kept:
                    await _close(stream)
        if kept:
            self._idle.append(stream)
        return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)

    async def aclose(self) -> None:
        while self._idle:
            await _close(self._idle.pop())

    def _kept(self) -> anyio.abc.ByteStream | None:
        while self._idle:
            stream = self._idle.pop()
            sock = stream.extra(anyio.abc.SocketAttribute.raw_socket, None)
            if sock is None or not _readable(sock):
                return stream
        return None  # the other side has closed it

    async def _dial(self, url: httpx.URL) -> anyio.abc.ByteStream:
        stream: anyio.abc.ByteStream | None = None
        ready = False
        try:
            stream = await self._connect(url.port or 443)
            if url.scheme == "https":
                self._tls = self._tls or httpx.create_ssl_context(trust_env=False)
                stream = await anyio.streams.tls.TLSStream.wrap(
                    stream, hostname=url.host, ssl_context=self._tls, server_side=False, standard_compatible=False
                )
            ready = True
        except _BREAKS as error:
            raise httpx.ConnectError(_words(error)) from error
        finally:
            if stream is not None and not ready:
                await _close(stream)
        return stream


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except AnswerTooLong as error:
        raise TooLong("the answer is too long") from error
    except h11.RemoteProtocolError as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except _BREAKS as error:
        raise httpx.NetworkError(_words(error)) from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _close(stream: anyio.abc.ByteStream) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_S), contextlib.suppress(*_BREAKS):
        await stream.aclose()


def _readable(sock: Any) -> bool:
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))

"""HTTP over whatever `connect` opens: a socket, or a stream in memory under a virtual clock.

httpx does HTTP; its pool is given our streams. Deadlines are the caller's (`client.py`), in the caller's clock: the pool's
own timeouts and its idle expiry are off, for the latter reads the wall clock.
"""

from __future__ import annotations

import contextlib
import select
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import anyio
import anyio.abc
import anyio.streams.tls
import httpcore
import httpx

from edgechess_robots.dobot.tcp import Connect

CONNECTIONS = 8  # beats that wait for a slow answer, the state, a command, and a stop beside them all
KEPT = 1
"""Idle connections. The one is used several times a second; a second would idle until the robot closes it, at the very
moment, perhaps, when a motion is sent on it, and nobody would know whether that arrived."""


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as_httpcore(httpcore.ReadError):
            try:
                return await self._stream.receive(max_bytes)
            except anyio.EndOfStream:
                return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            with _as_httpcore(httpcore.WriteError):
                await self._stream.send(buffer)

    async def aclose(self) -> None:
        with contextlib.suppress(OSError, anyio.BrokenResourceError):
            await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        with _as_httpcore(httpcore.ConnectError):
            return _Stream(
                await anyio.streams.tls.TLSStream.wrap(
                    self._stream,
                    hostname=server_hostname,
                    ssl_context=ssl_context,
                    server_side=False,
                    standard_compatible=False,
                )
            )

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # of an idle connection: the other side has closed it
            sock = self._stream.extra(anyio.abc.SocketAttribute.raw_socket, None)
            return sock is not None and _readable(sock)
        if info == "ssl_object":
            return self._stream.extra(anyio.streams.tls.TLSAttribute.ssl_object, None)
        return None


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        with _as_httpcore(httpcore.ConnectError):
            return _Stream(await self._connect(port))

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class WireTransport(httpx.AsyncBaseTransport):
    """What httpx sends through."""

    def __init__(self, connect: Connect) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            network_backend=_Backend(connect),
            max_connections=CONNECTIONS,
            max_keepalive_connections=KEPT,
            keepalive_expiry=None,
            retries=0,  # a command that may have arrived is never sent again
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        sent = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
        )
        with _as_httpx(request):
            answer = await self._pool.handle_async_request(sent)
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer, request),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx(self._request):
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextlib.contextmanager
def _as_httpcore(kind: type[httpcore.NetworkError]) -> Iterator[None]:
    try:
        yield
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream) as error:
        raise kind(str(error) or type(error).__name__) from error


@contextlib.contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except httpcore.ConnectError as error:
        raise httpx.ConnectError(str(error), request=request) from error
    except httpcore.NetworkError as error:
        raise httpx.NetworkError(str(error), request=request) from error
    except (httpcore.RemoteProtocolError, httpcore.LocalProtocolError) as error:
        raise httpx.RemoteProtocolError(str(error), request=request) from error


def _readable(sock: Any) -> bool:
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))

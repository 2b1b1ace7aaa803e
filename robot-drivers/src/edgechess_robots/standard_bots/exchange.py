"""One exchange of HTTP/1.1 on one stream, by h11: what it takes for one request and one answer, and nothing twice.

The same few heads go back and forth several times a second, so h11 writes and reads each of them once; answers that come
whole after such a head need no more than their length. Whatever else comes, in parts or in chunks, h11 reads to its end.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import anyio
import anyio.abc
import h11
import httpx

HEADS_KEPT = 256  # of each direction: a path and a length make one
HEAD_END = b"\r\n\r\n"
RECEIVE_BYTES = 65_536
NO_BODY = (204, 304)

Headers = tuple[tuple[bytes, bytes], ...]


class AnswerTooLong(Exception):
    """What came is longer than an answer may be."""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """`stays_open`: another request may follow on this stream."""

    status: int
    headers: Headers
    body: bytes
    stays_open: bool


async def exchange(stream: anyio.abc.ByteStream, request: httpx.Request, limit_bytes: int) -> Answer:
    """Sends and waits for the whole answer. Raises h11.RemoteProtocolError, AnswerTooLong, and what the stream raises."""
    asked, body = _Asked(request.method, request.url.raw_path, tuple(request.headers.raw)), request.content
    await stream.send(_request_head(asked) + body)
    data = await _received(stream)
    if not data:
        raise h11.RemoteProtocolError("the server disconnected without an answer")
    end = data.find(HEAD_END)
    head = _plain_head(data[:end]) if end > 0 else None
    if head is not None and len(data) == end + len(HEAD_END) + head.length:
        return Answer(head.status, head.headers, data[end + len(HEAD_END) :], stays_open=True)
    return await _in_parts(stream, _sent(asked, body), data, limit_bytes)


async def _in_parts(stream: anyio.abc.ByteStream, wire: h11.Connection, data: bytes, limit_bytes: int) -> Answer:
    """An answer whose beginning is `data`."""
    wire.receive_data(data)
    status, body, taken = 0, bytearray(), len(data)
    headers: Headers = ()
    while True:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            data = await _received(stream)
            wire.receive_data(data)
            taken += len(data)
            if taken > limit_bytes:
                raise AnswerTooLong
        elif isinstance(event, h11.Response):
            status, headers = event.status_code, tuple(event.headers.raw_items())
        elif isinstance(event, h11.Data):
            body += event.data
        elif not isinstance(event, h11.InformationalResponse):
            stays_open = wire.our_state is h11.DONE and wire.their_state is h11.DONE and not wire.trailing_data[0]
            return Answer(status, headers, bytes(body), stays_open)


async def _received(stream: anyio.abc.ByteStream) -> bytes:
    """b"" at the end."""
    try:
        return await stream.receive(RECEIVE_BYTES)
    except anyio.EndOfStream:
        return b""


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    target: bytes
    headers: Headers

    def head(self) -> h11.Request:
        return h11.Request(method=self.method, target=self.target, headers=list(self.headers))


@lru_cache(maxsize=HEADS_KEPT)
def _request_head(asked: _Asked) -> bytes:
    return h11.Connection(h11.CLIENT).send(asked.head()) or b""


def _sent(asked: _Asked, body: bytes) -> h11.Connection:
    """A connection on which this has gone out."""
    wire = h11.Connection(h11.CLIENT)
    wire.send(asked.head())
    if body:
        wire.send(h11.Data(data=body))
    wire.send(h11.EndOfMessage())
    return wire


@dataclasses.dataclass(frozen=True, slots=True)
class _Head:
    """Of an answer after which there are `length` bytes, and then nothing until the next request."""

    status: int
    headers: Headers
    length: int


@lru_cache(maxsize=HEADS_KEPT)
def _plain_head(head: bytes) -> _Head | None:
    """None: there is more to it than a length."""
    wire = _sent(_Asked("GET", b"/", ((b"Host", b"any"),)), b"")
    wire.receive_data(head + HEAD_END)
    try:
        event = wire.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.Response) or event.http_version != b"1.1" or event.status_code in NO_BODY:
        return None
    told = dict(event.headers)
    if b"content-length" not in told or b"transfer-encoding" in told or b"connection" in told:
        return None
    return _Head(event.status_code, tuple(event.headers.raw_items()), int(told[b"content-length"]))

"""HTTP/1.1 on one byte stream: requests in, answers out, within limits. `h11` knows the protocol, this reads and writes.

One request at a time. Whoever sends a second one before the first is answered is answered once and then hung up on, so
that no order is carried out that its client could not have known to be needed.

A robot is asked the same few things several times a second: heads that came before, and those of answers, are not worked
out again. The first request of a connection that is anything else than one such head and its body, all in one piece, and
whatever follows it, is h11's.
"""

from __future__ import annotations

import dataclasses
import json
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache

import anyio
import h11
from anyio.abc import ByteStream

from edgechess_twin.ro1_protocol import error_answer

HEAD_BYTES = 16384  # request line and headers together; Node, on which the maker's server runs, allows as much
BODY_BYTES = 262_144  # 256 waypoints take about 100 kB
IDLE_S = 60.0  # a kept connection on which nothing is asked; ours
REQUEST_S = 30.0  # from a request's first byte to its last; ours
HEADS_KEPT = 256  # of each direction: a path and a length make one
HEAD_END = b"\r\n\r\n"
KEEPS = ("keep-alive",)


@dataclasses.dataclass(frozen=True, slots=True)
class HttpRequest:
    """`headers`: every value of a name in lower case, in order. `path` has no query and is unquoted."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, tuple[str, ...]]
    body: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`body` None: empty, as the vendor answers orders that return nothing."""

    status: int = 200
    body: bytes | None = None
    content_type: str = "application/json"

    @classmethod
    def of(cls, value: object, status: int = 200) -> HttpAnswer:
        return cls(status, _JSON.encode(value).encode())


_JSON = json.JSONEncoder(separators=(",", ":"))

Handle = Callable[[HttpRequest], Awaitable[HttpAnswer]]
Send = Callable[[bytes], Awaitable[None]]


class _Refuse(Exception):
    """The request cannot be read to its end: answered with this status, then the connection closes."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def serve_http(stream: ByteStream, handle: Handle, send: Send) -> None:
    """Until the client goes, asks to close, idles too long or breaks the protocol. The caller closes the stream.

    `send` writes to the stream. Raises what the stream raises when it breaks.
    """
    begun = await _plain_requests(stream, handle, send)
    if begun is None:
        return
    wire = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
    wire.receive_data(begun)
    while True:
        try:
            request = await _read(wire, stream, send)
            if request is None:
                return
            pipelined, head = bool(wire.trailing_data[0]), request.method == "HEAD"
            answer = await handle(request)
        except _Refuse as error:
            answer = HttpAnswer.of(error_answer("request_failed_validation", str(error)), error.status)
            pipelined, head = True, False
        except h11.RemoteProtocolError as error:
            if wire.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
                return
            reason = error_answer("request_failed_validation", f"not HTTP: {error}")
            answer, pipelined, head = HttpAnswer.of(reason, error.error_status_hint), True, False
        await send(_encode(wire, answer, close=pipelined, head=head))
        if wire.our_state is not h11.DONE or wire.their_state is not h11.DONE:
            return
        wire.start_next_cycle()


async def _plain_requests(stream: ByteStream, handle: Handle, send: Send) -> bytes | None:
    """Answers requests as long as they are plain. Returns the beginning of one that is not, or None: nothing more came."""
    while True:
        with anyio.move_on_after(IDLE_S) as idle:
            data = await _received(stream)
        if idle.cancelled_caught or not data:
            return None
        end = data.find(HEAD_END)
        head = _plain_head(data[:end]) if 0 < end <= HEAD_BYTES else None
        body = data[end + len(HEAD_END) :]
        if head is None or len(body) != head.length or len(body) > BODY_BYTES:
            return data
        answer = await handle(dataclasses.replace(head.request, body=body))
        await send(_answer_head(tuple(_headers(answer)), answer.status) + (answer.body or b""))


async def _received(stream: ByteStream) -> bytes:
    """b"" at the end."""
    try:
        return await stream.receive()
    except anyio.EndOfStream:
        return b""


@dataclasses.dataclass(frozen=True, slots=True)
class _Head:
    """Of a request after which there are `length` bytes of body, and then nothing until it is answered."""

    request: HttpRequest
    length: int


@lru_cache(maxsize=HEADS_KEPT)
def _plain_head(head: bytes) -> _Head | None:
    """None: there is more to it than a length, or something is wrong with it."""
    wire = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
    wire.receive_data(head + HEAD_END)
    try:
        event = wire.next_event()
        if not isinstance(event, h11.Request) or event.http_version != b"1.1" or event.method == b"HEAD":
            return None
        request = _request(event, b"")
    except (h11.RemoteProtocolError, _Refuse):
        return None
    told = request.headers
    if "transfer-encoding" in told or "expect" in told or told.get("connection", KEEPS) != KEEPS:
        return None
    return _Head(request, int(told.get("content-length", ("0",))[0]))


@lru_cache(maxsize=HEADS_KEPT)
def _answer_head(headers: tuple[tuple[str, str], ...], status: int) -> bytes:
    wire = h11.Connection(h11.SERVER)
    wire.receive_data(b"GET / HTTP/1.1\r\nHost: any\r\n\r\n")
    wire.next_event()
    return wire.send(h11.Response(status_code=status, headers=list(headers))) or b""


async def _read(wire: h11.Connection, stream: ByteStream, send: Send) -> HttpRequest | None:
    """The next whole request; None: there is none. Raises _Refuse, h11.RemoteProtocolError."""
    with anyio.move_on_after(IDLE_S) as idle:
        event = await _next_event(wire, stream, send, first=True)
    if idle.cancelled_caught or isinstance(event, h11.ConnectionClosed):
        return None
    with anyio.move_on_after(REQUEST_S):
        if event is None:
            event = await _next_event(wire, stream, send)
        if isinstance(event, h11.ConnectionClosed):
            return None
        assert isinstance(event, h11.Request), event
        return _request(event, await _read_body(wire, stream, send))
    raise _Refuse(408, "the request did not come to its end in time")


async def _next_event(wire: h11.Connection, stream: ByteStream, send: Send, *, first: bool = False) -> h11.Event | None:
    """The next event; with `first`, None as soon as a part of one has come."""
    while True:
        event = wire.next_event()
        if event is not h11.NEED_DATA:
            assert not isinstance(event, type)
            return event
        if first and wire.trailing_data[0]:
            return None
        if wire.they_are_waiting_for_100_continue:
            await send(wire.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        try:
            wire.receive_data(await stream.receive())
        except anyio.EndOfStream:
            wire.receive_data(b"")


async def _read_body(wire: h11.Connection, stream: ByteStream, send: Send) -> bytes:
    body = bytearray()
    while True:
        event = await _next_event(wire, stream, send)
        if isinstance(event, h11.EndOfMessage):
            return bytes(body)
        if isinstance(event, h11.Data):
            body += event.data
            if len(body) > BODY_BYTES:
                raise _Refuse(413, f"the body is longer than {BODY_BYTES} bytes")


def _request(event: h11.Request, body: bytes) -> HttpRequest:
    """Raises _Refuse for a target that is none."""
    try:
        parts = urllib.parse.urlsplit(event.target.decode("ascii"))
        query = dict(urllib.parse.parse_qsl(parts.query, max_num_fields=32))
        path = urllib.parse.unquote(parts.path, errors="strict")
    except ValueError:
        raise _Refuse(400, "the request's target is not a path") from None
    headers: dict[str, tuple[str, ...]] = {}
    for name, value in event.headers:
        key = name.decode("ascii").lower()
        headers[key] = (*headers.get(key, ()), value.decode("latin-1").strip())
    return HttpRequest(event.method.decode("ascii"), path, query, headers, body)


def _encode(wire: h11.Connection, answer: HttpAnswer, *, close: bool, head: bool) -> bytes:
    body, headers = answer.body or b"", _headers(answer)
    if close:
        headers.append(("Connection", "close"))
    parts = [wire.send(h11.Response(status_code=answer.status, headers=headers))]
    if body and not head:
        parts.append(wire.send(h11.Data(data=body)))
    parts.append(wire.send(h11.EndOfMessage()))
    return b"".join(part or b"" for part in parts)


def _headers(answer: HttpAnswer) -> list[tuple[str, str]]:
    length = ("Content-Length", str(len(answer.body or b"")))
    return [length] if answer.body is None else [length, ("Content-Type", answer.content_type)]

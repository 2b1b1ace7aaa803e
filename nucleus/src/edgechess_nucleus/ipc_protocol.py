"""One connection of the IPC as the server sees it, without I/O.

    connection = Connection(frame_limit_bytes=…, speaks_on_stream_0=True)
    for event in connection.receive(data): …      # what the peer did; `Send` and `Close` are to be carried out
    send(connection.accept())                     # what we do, as bytes

States and what may come in each are the table TRANSITIONS; anything else ends the connection. Streams are numbered by
the client, strictly rising. Source: reference "greengrass-ipc" sections 3 and 4.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Final

from edgechess_nucleus.eventstream_protocol import (
    MESSAGE_LIMIT_BYTES,
    Frame,
    FrameError,
    FrameReader,
    Header,
    encode,
    encode_block,
    int32,
    string,
)

VERSION = "0.1.0"
MODEL = "aws.greengrass#"  # the namespace of operations and shapes
JSON = "application/json"
TOKEN_LIMIT_CHARS = 255  # 16 are given out; a longer one is somebody's mistake


class MessageType(enum.IntEnum):
    """:message-type."""

    APPLICATION_MESSAGE = 0
    APPLICATION_ERROR = 1
    PING = 2
    PING_RESPONSE = 3
    CONNECT = 4
    CONNECT_ACK = 5
    PROTOCOL_ERROR = 6
    INTERNAL_ERROR = 7


CONNECTION_ACCEPTED: Final = 1  # :message-flags
TERMINATE_STREAM: Final = 2


class State(enum.Enum):
    """Of a connection."""

    NEW = "new"
    ASKED = "asked"
    """CONNECT came; the server has not answered."""
    OPEN = "open"
    CLOSED = "closed"


class Step(enum.Enum):
    """What a message means in a state."""

    CONNECT = "connect"
    REQUEST = "request"
    PING = "ping"
    IGNORE = "ignore"


# (state, :message-type, on stream 0?) -> meaning. What is missing is a violation, and closes.
TRANSITIONS: Mapping[tuple[State, int, bool], Step] = {
    (State.NEW, MessageType.CONNECT, True): Step.CONNECT,
    (State.OPEN, MessageType.PING, True): Step.PING,
    (State.OPEN, MessageType.PING_RESPONSE, True): Step.IGNORE,
    (State.OPEN, MessageType.APPLICATION_MESSAGE, False): Step.REQUEST,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Connected:
    """The peer asks to be let in: answer with `accept` or `refuse`."""

    token: str


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A new stream. `operation` is without its namespace; `payload` is not looked at."""

    stream: int
    operation: str
    payload: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class StreamEnded:
    """The peer wants no more of this stream. No answer is due."""

    stream: int


@dataclasses.dataclass(frozen=True, slots=True)
class Send:
    """Bytes for the peer."""

    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Close:
    """Close after what was sent so far. Always the last event."""

    reason: str


Event = Connected | Request | StreamEnded | Send | Close


class Stream(enum.Enum):
    """What is due on a stream. One that ended is forgotten."""

    REQUESTED = "requested"
    STREAMING = "streaming"


class Connection:
    """See the module. After `Close` it takes nothing more; methods that send give no bytes then."""

    def __init__(self, *, frame_limit_bytes: int = MESSAGE_LIMIT_BYTES, speaks_on_stream_0: bool = True) -> None:
        self.state = State.NEW
        self._reader = FrameReader(frame_limit_bytes)
        self._speaks = speaks_on_stream_0
        self._streams: dict[int, Stream] = {}
        self._highest = 0

    @property
    def closed(self) -> bool:
        return self.state is State.CLOSED

    @property
    def streams(self) -> Mapping[int, Stream]:
        """Those that are not over."""
        return self._streams

    # ------------------------------------------------------------ the peer's doing

    def receive(self, data: bytes) -> list[Event]:
        """Never raises: what is wrong with the bytes becomes a Close."""
        if self.closed:
            return []
        events: list[Event] = []
        try:
            for frame in self._reader.feed(data):
                self._take(frame, events)
                if events and isinstance(events[-1], Close):
                    break
        except FrameError as error:
            self._violate(str(error), events)
        return events

    def _take(self, frame: Frame, events: list[Event]) -> None:
        kind, flags, stream = frame.number(":message-type"), frame.number(":message-flags"), frame.number(":stream-id")
        if kind is None or flags is None or stream is None or stream < 0:
            self._violate("a message without :message-type, :message-flags or :stream-id", events)
            return
        step = TRANSITIONS.get((self.state, kind, stream == 0))
        if step is Step.REQUEST:
            self._take_on_stream(stream, flags, frame, events)
        elif step is Step.PING and self._speaks:
            events.append(Send(_pong(frame)))
        elif step is Step.CONNECT:
            self._take_connect(frame, events)
        elif step is not Step.IGNORE:
            where, told = ("stream 0", _INTERNAL_ERROR) if stream == 0 else ("a stream", _PROTOCOL_ERROR)
            self._violate(f"message type {kind} on {where} while the connection is {self.state.value}", events, told)

    def _take_connect(self, frame: Frame, events: list[Event]) -> None:
        if frame.text(":version") != VERSION:
            self._violate(f"version {frame.text(':version')} of the protocol; {VERSION} is spoken", events)
            return
        try:
            said = json.loads(frame.payload)
        except (ValueError, RecursionError):
            said = None
        token = said.get("authToken") if isinstance(said, dict) else None
        if not isinstance(token, str) or len(token) > TOKEN_LIMIT_CHARS:
            token = ""  # refused like any other wrong one
        self.state = State.ASKED
        events.append(Connected(token))

    def _take_on_stream(self, stream: int, flags: int, frame: Frame, events: list[Event]) -> None:
        if stream > self._highest:
            operation = frame.text("operation")
            if operation is None:
                self._violate(f"stream {stream} begins without an operation", events)
                return
            self._highest = stream
            self._streams[stream] = Stream.REQUESTED
            events.append(Request(stream, operation.removeprefix(MODEL), frame.payload))
            if flags & TERMINATE_STREAM:
                self._end_of(stream, events)
        elif flags & TERMINATE_STREAM:
            self._end_of(stream, events)
        elif stream not in self._streams:
            self._violate(f"stream {stream} is over, or was never opened", events)
        # else: no operation that is served takes events from its client

    def _end_of(self, stream: int, events: list[Event]) -> None:
        if self._streams.pop(stream, None) is not None:
            events.append(StreamEnded(stream))

    def _violate(self, reason: str, events: list[Event], told: bytes | None = None) -> None:
        if self._speaks and self.state is State.OPEN:
            events.append(Send(told or _PROTOCOL_ERROR))
        self.lose()
        events.append(Close(reason))

    # ------------------------------------------------------------ our doing

    def lose(self) -> None:
        """The wire is gone, or is about to be."""
        self.state = State.CLOSED
        self._streams.clear()

    def accept(self) -> bytes:
        assert self.state is State.ASKED
        self.state = State.OPEN
        return _ACCEPTED

    def refuse(self) -> bytes:
        """The connection is over; from a CONNECT_ACK without the flag the client understands why."""
        assert self.state is State.ASKED
        self.lose()
        return _REFUSED if self._speaks else b""

    def respond(self, stream: int, template: Template, payload: bytes, *, streaming: bool = False) -> bytes:
        """The response; the only one. `streaming`: events may follow, otherwise the stream is over on our side."""
        if self._streams.get(stream) is not Stream.REQUESTED:
            return b""
        if streaming:
            self._streams[stream] = Stream.STREAMING
        else:
            del self._streams[stream]
        return template.encode(stream, payload)

    def emit(self, stream: int, template: Template, payload: bytes) -> bytes:
        """An event; no bytes before the response (the client would take it for one) and after the end."""
        if self._streams.get(stream) is not Stream.STREAMING:
            return b""
        return template.encode(stream, payload)


class Template:
    """A message but for its stream and payload: what can be encoded once is."""

    def __init__(self, kind: MessageType, flags: int, *headers: Header) -> None:
        fixed = (int32(":message-type", kind), int32(":message-flags", flags), *headers, int32(":stream-id", 0))
        self._block = b"".join(header.encode() for header in fixed)[:-4]

    def encode(self, stream: int, payload: bytes) -> bytes:
        return encode_block(self._block + stream.to_bytes(4, "big"), payload)


def _modelled(kind: MessageType, flags: int, model: str) -> Template:
    return Template(kind, flags, string(":content-type", JSON), string("service-model-type", MODEL + model))


def response(operation: str, *, ends: bool) -> Template:
    return _modelled(MessageType.APPLICATION_MESSAGE, TERMINATE_STREAM if ends else 0, f"{operation}Response")


def event(model: str) -> Template:
    return _modelled(MessageType.APPLICATION_MESSAGE, 0, model)


def error(model: str) -> Template:
    return _modelled(MessageType.APPLICATION_ERROR, TERMINATE_STREAM, model)


def _on_connection(kind: MessageType, flags: int) -> bytes:
    return encode((int32(":message-type", kind), int32(":message-flags", flags), int32(":stream-id", 0)))


def _pong(ping: Frame) -> bytes:
    own = [header for name, header in ping.headers.items() if not name.startswith(":")]
    fixed = [int32(":message-type", MessageType.PING_RESPONSE), int32(":message-flags", 0), int32(":stream-id", 0)]
    return encode((*fixed, *own), ping.payload)


_ACCEPTED = _on_connection(MessageType.CONNECT_ACK, CONNECTION_ACCEPTED)
_REFUSED = _on_connection(MessageType.CONNECT_ACK, 0)
_INTERNAL_ERROR = _on_connection(MessageType.INTERNAL_ERROR, 0)
_PROTOCOL_ERROR = _on_connection(MessageType.PROTOCOL_ERROR, 0)

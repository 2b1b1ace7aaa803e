"""The server's side of one connection: literal bytes of the handshake, streams, and what ends a connection."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_nucleus.eventstream_protocol import Frame, FrameReader, encode, int32, string
from edgechess_nucleus.ipc_protocol import (
    TRANSITIONS,
    Close,
    Connected,
    Connection,
    Event,
    MessageType,
    Request,
    Send,
    State,
    StreamEnded,
    error,
    event,
    response,
)

# As the stock client sends it, and the answers that the reference gives by their sizes (section 3).
CONNECT = (
    b"\x00\x00\x00y\x00\x00\x00H\xe9\xe7\x94u\x08:version\x07\x00\x050.1.0\r:message-type\x04\x00\x00\x00\x04"
    b'\x0e:message-flags\x04\x00\x00\x00\x00\n:stream-id\x04\x00\x00\x00\x00{"authToken": "ABCDEFGHIJKLMNOP"}'
    b"\x02Y\xce^"
)
PUBLISH = (
    b"\x00\x00\x01\x16\x00\x00\x00\xbc\x83\t\x91I\r:content-type\x07\x00\x10application/json\x12service-model-type"
    b"\x07\x00$aws.greengrass#PublishToTopicRequest\r:message-type\x04\x00\x00\x00\x00\x0e:message-flags\x04\x00\x00"
    b"\x00\x00\n:stream-id\x04\x00\x00\x00\x01\toperation\x07\x00\x1daws.greengrass#PublishToTopic"
    b'{"topic": "a/b", "publishMessage": {"jsonMessage": {"message": {"n": 1}}}}@\x8a\x19\xf1'
)
ACCEPTED = bytes.fromhex(
    "0000004700000037374cfe3f0d3a6d6573736167652d7479706504000000050e3a6d6573736167652d666c61677304000000010a3a737472"
    "65616d2d69640400000000e237e27d"
)
TERMINATE_1 = encode((int32(":message-type", 0), int32(":message-flags", 2), int32(":stream-id", 1)))
PUBLISHED = response("PublishToTopic", ends=True)
SUBSCRIBED = response("SubscribeToTopic", ends=False)
MESSAGE = event("SubscriptionResponseMessage")


def message(kind: int, stream: int, flags: int = 0, operation: str | None = None, payload: bytes = b"") -> bytes:
    headers = [int32(":message-type", kind), int32(":message-flags", flags), int32(":stream-id", stream)]
    return encode([*headers, string("operation", operation)] if operation else headers, payload)


def opened(*, speaks: bool = True) -> Connection:
    connection = Connection(speaks_on_stream_0=speaks)
    assert connection.receive(CONNECT) == [Connected("ABCDEFGHIJKLMNOP")]
    assert connection.accept() == ACCEPTED
    return connection


def only(data: bytes) -> Frame:
    (frame,) = FrameReader().feed(data)
    return frame


def kinds(events: list[Event]) -> list[object]:
    """Send as the :message-type that is sent."""
    return [only(one.data).number(":message-type") if isinstance(one, Send) else type(one) for one in events]


def test_the_handshake_byte_by_byte() -> None:
    connection = Connection()
    events = [one for byte in CONNECT for one in connection.receive(bytes((byte,)))]
    assert events == [Connected("ABCDEFGHIJKLMNOP")]
    assert connection.accept() == ACCEPTED
    assert len(ACCEPTED) == 71
    assert connection.receive(PUBLISH) == [
        Request(1, "PublishToTopic", b'{"topic": "a/b", "publishMessage": {"jsonMessage": {"message": {"n": 1}}}}')
    ]


def test_a_refused_connection() -> None:
    for speaks, length in ((True, 71), (False, 0)):
        connection = Connection(speaks_on_stream_0=speaks)
        connection.receive(CONNECT)
        said = connection.refuse()
        assert len(said) == length
        if said:
            assert only(said).number(":message-flags") == 0
        assert connection.closed
        assert connection.receive(PUBLISH) == []


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[]", b'{"authToken": 3}', b"\xff", b"[" * 5000, b'{"authToken": null}']
)
def test_a_connect_without_a_token_is_one_with_a_wrong_token(payload: bytes) -> None:
    head = (string(":version", "0.1.0"), int32(":message-type", 4), int32(":message-flags", 0), int32(":stream-id", 0))
    assert Connection().receive(encode(head, payload)) == [Connected("")]


def test_nothing_but_connect_comes_first() -> None:
    for data in (PUBLISH, message(MessageType.PING, 0), TERMINATE_1):
        assert kinds(Connection().receive(data)) == [Close]
    connection = Connection()
    assert kinds(connection.receive(CONNECT + PUBLISH)) == [Connected, Close]
    head = (string(":version", "9.9"), int32(":message-type", 4), int32(":message-flags", 0), int32(":stream-id", 0))
    (closed,) = Connection().receive(encode(head, b'{"authToken": "x"}'))
    assert isinstance(closed, Close)
    assert "9.9" in closed.reason


def test_a_response_ends_a_unary_stream() -> None:
    connection = opened()
    connection.receive(PUBLISH)
    frame = only(connection.respond(1, PUBLISHED, b"{}"))
    assert frame.number(":message-type") == 0
    assert frame.number(":message-flags") == 2
    assert frame.number(":stream-id") == 1
    assert frame.text("service-model-type") == "aws.greengrass#PublishToTopicResponse"
    assert frame.text(":content-type") == "application/json"
    assert frame.payload == b"{}"
    assert not connection.streams
    assert connection.respond(1, PUBLISHED, b"{}") == b""


def test_events_come_after_the_response_and_not_after_the_end() -> None:
    connection = opened()
    connection.receive(message(0, 1, operation="aws.greengrass#SubscribeToTopic"))
    assert connection.emit(1, MESSAGE, b"{}") == b""
    assert only(connection.respond(1, SUBSCRIBED, b"{}", streaming=True)).number(":message-flags") == 0
    assert only(connection.emit(1, MESSAGE, b"{}")).text("service-model-type") == (
        "aws.greengrass#SubscriptionResponseMessage"
    )
    assert connection.receive(TERMINATE_1) == [StreamEnded(1)]
    assert connection.emit(1, MESSAGE, b"{}") == b""
    assert connection.receive(TERMINATE_1) == []  # it crossed our own end on the way


def test_an_error_ends_the_stream() -> None:
    connection = opened()
    connection.receive(PUBLISH)
    frame = only(connection.respond(1, error("ServiceError"), b'{"message":"no"}'))
    assert frame.number(":message-type") == 1
    assert frame.number(":message-flags") == 2
    assert frame.text("service-model-type") == "aws.greengrass#ServiceError"


def test_ping_is_echoed_where_the_nucleus_does() -> None:
    head = [int32(":message-type", 2), int32(":message-flags", 0), int32(":stream-id", 0), string("mark", "x")]
    (sent,) = opened().receive(encode(head, b"echo"))
    assert isinstance(sent, Send)
    pong = only(sent.data)
    assert pong.number(":message-type") == 3
    assert pong.text("mark") == "x"
    assert pong.payload == b"echo"
    assert kinds(opened(speaks=False).receive(encode(head, b"echo"))) == [Close]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (CONNECT, MessageType.INTERNAL_ERROR),
        (message(MessageType.CONNECT_ACK, 0), MessageType.INTERNAL_ERROR),
        (message(MessageType.APPLICATION_MESSAGE, 0), MessageType.INTERNAL_ERROR),
        (message(99, 0), MessageType.INTERNAL_ERROR),
        (message(MessageType.PING, 1), MessageType.PROTOCOL_ERROR),
        (message(MessageType.APPLICATION_ERROR, 1), MessageType.PROTOCOL_ERROR),
        (message(0, 5), MessageType.PROTOCOL_ERROR),
        (message(0, -1, operation="x"), MessageType.PROTOCOL_ERROR),
        (encode([string(":message-type", "0")]), MessageType.PROTOCOL_ERROR),
        (b"garbage, more than a prelude of it", MessageType.PROTOCOL_ERROR),
    ],
)
def test_what_ends_an_open_connection(data: bytes, said: MessageType) -> None:
    assert kinds(opened().receive(data)) == [said, Close]
    assert kinds(opened(speaks=False).receive(data)) == [Close]


def test_streams_rise() -> None:
    connection = opened()
    connection.receive(message(0, 7, operation="aws.greengrass#PublishToTopic"))
    assert kinds(connection.receive(message(0, 3, operation="aws.greengrass#PublishToTopic"))) == [6, Close]


def test_a_stream_that_ends_with_its_request() -> None:
    connection = opened()
    assert connection.receive(message(0, 1, flags=2, operation="X")) == [Request(1, "X", b""), StreamEnded(1)]
    assert connection.respond(1, PUBLISHED, b"{}") == b""


def test_every_state_but_closed_takes_something_or_waits_for_us() -> None:
    taking = {state for state, _, _ in TRANSITIONS}
    assert taking == {State.NEW, State.OPEN}  # in ASKED it is our turn; CLOSED takes nothing


STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(-2, 9), st.integers(-2, 9), st.integers(0, 3), st.sampled_from([None, "Op", "é"])).map(
            lambda parts: message(parts[0], parts[1], parts[2], parts[3])
        ),
        st.just(CONNECT),
        st.binary(max_size=30),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(STEPS, st.booleans(), st.booleans())
def test_whatever_comes_is_safe(steps: list[bytes], speaks: bool, open_first: bool) -> None:
    """No exception; a Close is last; nothing is sent after it; an ended stream was one that began."""
    connection = opened(speaks=speaks) if open_first else Connection(speaks_on_stream_0=speaks)
    begun: set[int] = set()
    for data in steps:
        was_closed = connection.closed
        events = connection.receive(data)
        if was_closed:
            assert events == []
        for number, one in enumerate(events):
            if isinstance(one, Request):
                assert one.stream > max(begun, default=0)
                begun.add(one.stream)
                with contextlib.suppress(KeyError):
                    connection.respond(one.stream, SUBSCRIBED, b"{}", streaming=one.stream % 2 == 0)
            if isinstance(one, StreamEnded):
                assert one.stream in begun
            if isinstance(one, Close):
                assert number == len(events) - 1
                assert connection.closed
            if isinstance(one, Connected):
                connection.accept()
        assert set(connection.streams) <= begun

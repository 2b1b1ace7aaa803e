"""Frames: literal bytes, split anywhere, limits, and any garbage is safe. awscrt's own encoder is the second opinion."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_nucleus.eventstream_protocol import (
    Frame,
    FrameError,
    FrameReader,
    Header,
    HeaderType,
    Timestamp,
    encode,
    int32,
    string,
)

# What awscrt 0.36.1 sends for a CONNECT with the token ABCDEFGHIJKLMNOP; 121 bytes, as the reference says (section 3).
CONNECT = (
    b"\x00\x00\x00y\x00\x00\x00H\xe9\xe7\x94u\x08:version\x07\x00\x050.1.0\r:message-type\x04\x00\x00\x00\x04"
    b'\x0e:message-flags\x04\x00\x00\x00\x00\n:stream-id\x04\x00\x00\x00\x00{"authToken": "ABCDEFGHIJKLMNOP"}'
    b"\x02Y\xce^"
)
# From the specification alone: one header of every type, no payload.
EVERY_TYPE = bytes.fromhex(
    "00000061" "00000051" "dd1ce0f6"
    "0161" "00"
    "0162" "01"
    "0163" "02" "80"
    "0164" "03" "7fff"
    "0165" "04" "ffffffff"
    "0166" "05" "0000000100000000"
    "0167" "06" "0003" "00ff10"
    "0168" "07" "0005" "48c3a96c6f"
    "0169" "08" "0000018bcfe56800"
    "016a" "09" "00112233445566778899aabbccddeeff"
    "7dbe4793"
)  # fmt: skip
HEADERS = (
    Header("a", HeaderType.TRUE, True),
    Header("b", HeaderType.FALSE, False),
    Header("c", HeaderType.INT8, -128),
    Header("d", HeaderType.INT16, 32767),
    Header("e", HeaderType.INT32, -1),
    Header("f", HeaderType.INT64, 4294967296),
    Header("g", HeaderType.BYTES, b"\x00\xff\x10"),
    Header("h", HeaderType.STRING, "Hélo"),
    Header("i", HeaderType.TIMESTAMP, Timestamp(1_700_000_000_000)),
    Header("j", HeaderType.UUID, uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")),
)


def sealed(total: int, headers: int, rest: bytes) -> bytes:
    """A frame with right checksums and whatever lengths one likes."""
    prelude = total.to_bytes(4, "big") + headers.to_bytes(4, "big")
    body = prelude + crc32(prelude).to_bytes(4, "big") + rest
    return body + crc32(body).to_bytes(4, "big")


def test_the_connect_of_the_stock_client() -> None:
    (frame,) = FrameReader().feed(CONNECT)
    assert frame.text(":version") == "0.1.0"
    assert frame.number(":message-type") == 4
    assert frame.number(":stream-id") == 0
    assert frame.payload == b'{"authToken": "ABCDEFGHIJKLMNOP"}'
    ours = (string(":version", "0.1.0"), int32(":message-type", 4), int32(":message-flags", 0), int32(":stream-id", 0))
    assert encode(ours, frame.payload) == CONNECT


def test_every_type_of_header() -> None:
    (frame,) = FrameReader().feed(EVERY_TYPE)
    assert tuple(frame.headers.values()) == HEADERS
    assert encode(HEADERS) == EVERY_TYPE


def test_byte_by_byte_and_with_the_next_frame_behind() -> None:
    reader = FrameReader()
    found = [frame for byte in CONNECT + EVERY_TYPE for frame in reader.feed(bytes((byte,)))]
    assert found == FrameReader().feed(CONNECT + EVERY_TYPE)
    assert len(found) == 2
    assert reader.pending_bytes == 0


def test_trailing_bytes_wait() -> None:
    reader = FrameReader()
    assert len(reader.feed(CONNECT + CONNECT[:50])) == 1
    assert reader.pending_bytes == 50
    assert len(reader.feed(CONNECT[50:])) == 1


@pytest.mark.parametrize(
    "headers",
    [
        [string("a", "x"), int32(":stream-id", 7), string("b", "y")],
        [int32(":stream-id", 7)],
        [string("a", "\x0a:stream-id\x04abcd"), string("b", "y")],  # it stands inside a value
        [string("a", "\x0a:stream-id\x04abcd"), int32(":stream-id", 7)],
        [Header("a", HeaderType.BYTES, b"\x0a:stream-id\x04"), int32(":stream-id", 7), string("b", "y")],
        [int32(":stream-id", 7), int32(":stream-id", 8)],
        [string("a", "first"), int32(":stream-id", 7), string("A", "second")],
    ],
)
def test_what_is_remembered_of_a_frame_is_right(headers: list[Header]) -> None:
    """Frames that are alike but for one number: read again, alone and after each other, they say the same."""
    data = encode(headers)
    other = encode([int32(":stream-id", 9) if header == int32(":stream-id", 7) else header for header in headers])
    reader = FrameReader()
    for expected in (data, other, data, other):
        (again,), (alone,) = reader.feed(expected), FrameReader().feed(expected)
        assert again == alone
        first: dict[str, Header] = {}
        for header in (
            headers
            if expected is data
            else [int32(":stream-id", 9) if header == int32(":stream-id", 7) else header for header in headers]
        ):
            first.setdefault(header.name.lower(), header)
        assert list(again.headers.values()) == list(first.values())


def test_names_are_compared_without_regard_to_case() -> None:
    (frame,) = FrameReader().feed(encode((string("Service-Model-Type", "x"), string("service-model-type", "y"))))
    assert frame.text("service-model-type") == "x"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (CONNECT[:8] + b"\0\0\0\0" + CONNECT[12:], "prelude's checksum"),
        (CONNECT[:-1] + b"\0", "frame's checksum"),
        (CONNECT[:20] + b"X" + CONNECT[21:], "frame's checksum"),
        (sealed(15, 0, b""), "15 bytes"),
        (sealed(0, 0, b""), "0 bytes"),
        (sealed(24 * 1024 * 1024 + 1, 0, b""), "25165825 bytes"),
        (sealed(20, 5, b"\x01a\x00\x00"), "5 bytes of headers"),
        (sealed(19, 3, b"\x01a\x0a"), "no type 10"),
        (sealed(19, 3, b"\x01a\x04"), "runs over"),
        (sealed(19, 3, b"\x09a\x00"), "runs over"),
        (sealed(18, 2, b"\x00\x00"), "no name"),
        (sealed(19, 3, b"\x01\xff\x00"), "UTF-8"),
        (sealed(22, 6, b"\x01a\x07\x00\x01\xff"), "UTF-8"),
        (sealed(21, 5, b"\x01a\x07\x80\x00"), "32768 bytes, at most 32767"),
        (sealed(20, 4, b"\x01a\x09\x00"), "runs over"),
        (sealed(16 + 3 * 1025, 3 * 1025, b"\x01a\x00" * 1025), "more than 1024 headers"),
    ],
)  # fmt: skip
def test_what_is_no_frame(data: bytes, what: str) -> None:
    reader = FrameReader()
    with pytest.raises(FrameError, match=what):
        reader.feed(data)
    with pytest.raises(FrameError, match="after a broken frame"):
        reader.feed(CONNECT)


def test_a_header_does_not_reach_into_the_payload() -> None:
    with pytest.raises(FrameError, match="runs over"):
        FrameReader().feed(sealed(16 + 5 + 4, 5, b"\x01a\x07\x00\x02" + b"abcd"))


def test_the_limit_is_of_the_whole_frame() -> None:
    headers = (int32(":stream-id", 1),)
    exact = encode(headers, b"x" * (10_000 - 16 - 16))
    assert len(exact) == 10_000
    assert len(FrameReader(10_000).feed(exact)) == 1
    with pytest.raises(FrameError, match="10001 bytes"):
        FrameReader(10_000).feed(encode(headers, b"x" * (10_001 - 32))[:12])  # said by the prelude: nothing is kept


@pytest.mark.parametrize(
    "header",
    [
        string("", "x"),
        string("n" * 256, "x"),
        string("n", "x" * 32_768),
        Header("n", HeaderType.BYTES, b"x" * 32_768),
        int32("n", 2**31),
        Header("n", HeaderType.INT8, 128),
    ],
)
def test_what_we_may_not_send(header: Header) -> None:
    with pytest.raises(ValueError):
        encode((header,))


def test_too_much_to_send() -> None:
    with pytest.raises(ValueError, match="1025 headers"):
        encode([int32("a", 1)] * 1025)
    with pytest.raises(ValueError, match="at most 25165824"):
        encode((), bytes(24 * 1024 * 1024 - 15))


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: len(name.encode()) <= 255)
VALUES = st.one_of(
    st.booleans().map(lambda value: (HeaderType.TRUE if value else HeaderType.FALSE, value)),
    st.integers(-(2**7), 2**7 - 1).map(lambda value: (HeaderType.INT8, value)),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: (HeaderType.INT32, value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: (HeaderType.INT64, value)),
    st.binary(max_size=40).map(lambda value: (HeaderType.BYTES, value)),
    st.text(st.characters(codec="utf-8"), max_size=40).map(lambda value: (HeaderType.STRING, value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: (HeaderType.TIMESTAMP, Timestamp(value))),
    st.uuids().map(lambda value: (HeaderType.UUID, value)),
)
FRAMES = st.tuples(
    st.lists(st.tuples(NAMES, VALUES), max_size=5, unique_by=lambda pair: pair[0].lower()), st.binary(max_size=60)
)


@settings(max_examples=60)
@given(st.lists(FRAMES, max_size=4), st.lists(st.integers(1, 30), max_size=40))
def test_whatever_is_encoded_is_read_split_anywhere(frames: list[tuple[list[object], bytes]], cuts: list[int]) -> None:
    made = [
        ([Header(name, kind, value) for name, (kind, value) in headers], payload)  # type: ignore[misc, has-type]
        for headers, payload in frames
    ]
    data = b"".join(encode(headers, payload) for headers, payload in made)
    reader = FrameReader()
    found: list[Frame] = []
    for cut in cuts:
        found += reader.feed(data[:cut])
        data = data[cut:]
    found += reader.feed(data)
    assert [(list(frame.headers.values()), frame.payload) for frame in found] == made


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_garbage_is_safe(garbage: bytes, at: int) -> None:
    """A FrameError or nothing, whether the bytes are random, or a good frame with random bytes put in."""
    for data in (garbage, CONNECT[:at] + garbage + CONNECT[at:], sealed(16 + len(garbage), len(garbage), garbage)):
        reader = FrameReader(10_000)
        with contextlib.suppress(FrameError):
            reader.feed(data)
        assert reader.pending_bytes <= len(data)


def test_awscrt_encodes_the_same_bytes(short_path: Path) -> None:
    """Its client sends a CONNECT with a header of every type; its frame is ours, byte for byte."""
    crt = pytest.importorskip("awscrt.eventstream", reason="awsiotsdk is not installed")
    rpc = pytest.importorskip("awscrt.eventstream.rpc")
    io = pytest.importorskip("awscrt.io")
    path = short_path / "s"
    received: list[Frame] = []
    raw = bytearray()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def take() -> None:
            client, _ = listener.accept()
            reader = FrameReader()
            with client:
                while not received and (data := client.recv(4096)):
                    raw.extend(data)
                    received.extend(reader.feed(data))

        thread = threading.Thread(target=take, daemon=True)
        thread.start()

        class Handler(rpc.ClientConnectionHandler):  # type: ignore[name-defined, misc]
            def on_connection_setup(self, connection: object, error: object, **_: object) -> None:
                kept.append(connection)
                connection.send_protocol_message(  # type: ignore[attr-defined]
                    headers=_crt_headers(crt), payload=b"hello", message_type=rpc.MessageType.CONNECT
                )

            def on_connection_shutdown(self, reason: object, **_: object) -> None: ...

            def on_protocol_message(self, headers: object, payload: object, *_: object, **__: object) -> None: ...

        kept: list[object] = []
        group = io.EventLoopGroup(1)
        options = io.SocketOptions()
        options.domain = io.SocketDomain.Local
        bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
        rpc.ClientConnection.connect(
            handler=Handler(), host_name=str(path), port=0, bootstrap=bootstrap, socket_options=options
        ).result(5)
        thread.join(5)
        for connection in kept:
            connection.close()  # type: ignore[attr-defined]
    (frame,) = received
    sent = tuple(frame.headers.values())
    assert sent[: len(HEADERS)] == HEADERS
    assert frame.payload == b"hello"
    assert encode(sent, frame.payload) == bytes(raw)


def _crt_headers(crt: object) -> list[object]:
    make = crt.Header  # type: ignore[attr-defined]
    return [
        make.from_bool("a", True),
        make.from_bool("b", False),
        make.from_byte("c", -128),
        make.from_int16("d", 32767),
        make.from_int32("e", -1),
        make.from_int64("f", 4294967296),
        make.from_byte_buf("g", b"\x00\xff\x10"),
        make.from_string("h", "Hélo"),
        make.from_timestamp("i", 1_700_000_000_000),
        make.from_uuid("j", uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")),
    ]

"""Frames of the event-stream encoding (vnd.amazon.event-stream), without I/O.

    u32 total | u32 headers | u32 crc32(first 8 bytes) | headers | payload | u32 crc32(everything before)

Big-endian. A header is: u8 length of the name, name, u8 type, value. Source: reference "greengrass-ipc" section 2.

    reader = FrameReader(limit_bytes=10_000)
    for frame in reader.feed(data): ...

Feed what the wire gave, split anywhere. After a FrameError nothing on that wire can be trusted: close it.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
import uuid
from collections.abc import Generator, Iterable, Mapping
from typing import Final, NoReturn
from zlib import crc32

PRELUDE_BYTES = 12
OVERHEAD_BYTES = 16  # prelude and the last checksum
MESSAGE_LIMIT_BYTES = 24 * 1024 * 1024  # aws-c-event-stream refuses more
HEADERS_LIMIT = 1024  # aws-c-event-stream's own; a frame of nothing but headers must not make a million objects
NAME_LIMIT_BYTES = 255
REMEMBERED_BYTES, REMEMBERED_LIMIT = 512, 64  # blocks of headers; a client has one for each operation that it uses
VALUE_LIMIT_BYTES = 32_767  # of a string or byte value, though its length field could say more

_U32 = struct.Struct(">I")
_TWO = struct.Struct(">II")
_PRELUDE = struct.Struct(">III")
_U16 = struct.Struct(">H")
_I32 = struct.Struct(">i")
_STREAM = b"\x0a:stream-id\x04"
_INTEGERS: Final = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}


class FrameError(ValueError):
    """The peer's bytes are no frame, or are one beyond a limit."""


class HeaderType(enum.IntEnum):
    """The type byte."""

    TRUE = 0
    FALSE = 1
    INT8 = 2
    INT16 = 3
    INT32 = 4
    INT64 = 5
    BYTES = 6
    STRING = 7
    TIMESTAMP = 8
    UUID = 9


@dataclasses.dataclass(frozen=True, slots=True)
class Timestamp:
    """Milliseconds since the epoch."""

    ms: int


Value = bool | int | bytes | str | Timestamp | uuid.UUID


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """`value` fits `type`: a bool, an int in its range, bytes, a str, a Timestamp or a UUID."""

    name: str
    type: HeaderType
    value: Value

    def encode(self) -> bytes:
        """Raises ValueError for a name or a value beyond its limit."""
        name = self.name.encode()
        if not 1 <= len(name) <= NAME_LIMIT_BYTES:
            raise ValueError(f"a header's name has 1 to {NAME_LIMIT_BYTES} bytes, not {len(name)}")
        return bytes((len(name),)) + name + bytes((self.type,)) + self._encode_value()

    def _encode_value(self) -> bytes:
        match self.value:
            case bool():
                return b""
            case int(number):
                try:
                    return _INTEGERS[self.type].pack(number)
                except struct.error as error:
                    raise ValueError(f"header {self.name}: {number} does not fit") from error
            case str(text):
                return _sized(self.name, text.encode())
            case bytes(data):
                return _sized(self.name, data)
            case Timestamp(ms):
                return _INTEGERS[HeaderType.INT64].pack(ms)
            case uuid.UUID() as identifier:
                return identifier.bytes


def _sized(name: str, data: bytes) -> bytes:
    if len(data) > VALUE_LIMIT_BYTES:
        raise ValueError(f"header {name}: {len(data)} bytes, at most {VALUE_LIMIT_BYTES}")
    return _U16.pack(len(data)) + data


def string(name: str, value: str) -> Header:
    return Header(name, HeaderType.STRING, value)


def int32(name: str, value: int) -> Header:
    return Header(name, HeaderType.INT32, value)


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `headers` by lower-cased name, since names are compared without regard to case; of equal names the
    first counts."""

    headers: Mapping[str, Header]
    payload: bytes

    def text(self, name: str) -> str | None:
        """The string header of that name, given in lower case."""
        header = self.headers.get(name)
        return header.value if header is not None and isinstance(header.value, str) else None

    def number(self, name: str) -> int | None:
        """The int32 header of that name, given in lower case."""
        header = self.headers.get(name)
        return header.value if header is not None and type(header.value) is int and header.type == 4 else None


def encode(headers: Iterable[Header], payload: bytes = b"") -> bytes:
    """One frame. Raises ValueError beyond a limit."""
    parts = [header.encode() for header in headers]
    if len(parts) > HEADERS_LIMIT:
        raise ValueError(f"{len(parts)} headers, at most {HEADERS_LIMIT}")
    return encode_block(b"".join(parts), payload)


def encode_block(block: bytes, payload: bytes) -> bytes:
    """One frame from encoded headers. Raises ValueError beyond the limit."""
    total = OVERHEAD_BYTES + len(block) + len(payload)
    if total > MESSAGE_LIMIT_BYTES:
        raise ValueError(f"a frame of {total} bytes, at most {MESSAGE_LIMIT_BYTES}")
    lengths = _TWO.pack(total, len(block))
    body = b"".join((lengths, _U32.pack(crc32(lengths)), block, payload))
    return body + _U32.pack(crc32(body))


class FrameReader:
    """Cuts a byte stream into frames. `limit_bytes` is the longest frame taken, all of it counted."""

    def __init__(self, limit_bytes: int = MESSAGE_LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._buffer = bytearray()
        self._ready: list[Frame] = []
        self._memory: dict[tuple[bytes, bytes], tuple[dict[str, Header], dict[str, Header]]] = {}
        self._parser = self._parse()
        next(self._parser)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now. Raises FrameError; frames before the bad one are lost with it."""
        self._buffer += data
        try:
            next(self._parser)
        except StopIteration:
            raise FrameError("bytes after a broken frame") from None
        ready, self._ready = self._ready, []
        return ready

    @property
    def pending_bytes(self) -> int:
        """Of a frame that is not whole yet."""
        return len(self._buffer)

    def _parse(self) -> Generator[None, None, NoReturn]:
        while True:
            while len(self._buffer) < PRELUDE_BYTES:
                yield
            total, headers, checksum = _PRELUDE.unpack_from(self._buffer)
            if crc32(self._buffer[:8]) != checksum:
                raise FrameError("the prelude's checksum is wrong")
            if not OVERHEAD_BYTES <= total <= min(self._limit, MESSAGE_LIMIT_BYTES):
                raise FrameError(f"a frame of {total} bytes: {OVERHEAD_BYTES} to {self._limit} are taken")
            if headers > total - OVERHEAD_BYTES:
                raise FrameError(f"{headers} bytes of headers in a frame of {total}")
            while len(self._buffer) < total:
                yield
            data = bytes(self._buffer[:total])
            del self._buffer[:total]
            if crc32(data[:-4]) != _U32.unpack_from(data, total - 4)[0]:
                raise FrameError("the frame's checksum is wrong")
            end = PRELUDE_BYTES + headers
            self._ready.append(Frame(self._headers(data[PRELUDE_BYTES:end]), data[end:-4]))

    def _headers(self, block: bytes) -> dict[str, Header]:
        """Remembers what stands before and behind :stream-id: but for that number nearly all frames of a client are
        alike. Each part is parsed as a block of its own, so that the name is not taken for one inside a value."""
        at = block.find(_STREAM)
        end = at + len(_STREAM) + 4
        if at < 0 or end > len(block) or len(block) > REMEMBERED_BYTES:
            return _parse_headers(block)
        key = (block[:at], block[end:])
        known = self._memory.get(key)
        if known is None:
            known = _parse_apart(*key)
            if known is None:
                return _parse_headers(block)
            if len(self._memory) >= REMEMBERED_LIMIT:
                self._memory.clear()
            self._memory[key] = known
        (stream,) = _I32.unpack_from(block, end - 4)
        return {**known[0], ":stream-id": Header(":stream-id", HeaderType.INT32, stream), **known[1]}


def _parse_apart(before: bytes, behind: bytes) -> tuple[dict[str, Header], dict[str, Header]] | None:
    """Two blocks of headers around a :stream-id; None when they are no such thing, or a name is there twice."""
    try:
        first, second = _parse_headers(before), _parse_headers(behind)
    except FrameError:
        return None
    alike = first.keys() & second.keys()
    return None if alike or ":stream-id" in first or ":stream-id" in second else (first, second)


def _parse_headers(data: bytes) -> dict[str, Header]:
    """Raises FrameError when a header does not end where the block ends."""
    found: dict[str, Header] = {}
    at, end, count = 0, len(data), 0
    try:
        while at < end:
            count += 1
            if count > HEADERS_LIMIT:
                raise FrameError(f"more than {HEADERS_LIMIT} headers")
            after = at + 1 + data[at]
            if after >= end or after == at + 1:
                raise FrameError("a header runs over the end of the block, or has no name")
            name = data[at + 1 : after].decode()
            kind = data[after]
            value, at = _parse_value(name, kind, data, after + 1)
            if at > end:
                raise FrameError("a header's value runs over the end of the block")
            found.setdefault(name.lower(), Header(name, _TYPES[kind], value))
    except UnicodeDecodeError as error:
        raise FrameError("a header is not UTF-8") from error
    except (IndexError, struct.error) as error:
        raise FrameError("a header runs over the end of the frame") from error
    return found


_TYPES = tuple(HeaderType)


def _parse_value(name: str, kind: int, data: bytes, at: int) -> tuple[Value, int]:
    """The value and where the next header begins."""
    match kind:
        case 7 | 6:
            size = _U16.unpack_from(data, at)[0]
            if size > VALUE_LIMIT_BYTES:
                raise FrameError(f"header {name}: {size} bytes, at most {VALUE_LIMIT_BYTES}")
            at += 2
            raw = data[at : at + size]
            return (raw.decode() if kind == 7 else raw), at + size
        case 2 | 3 | 4 | 5:
            integer = _INTEGERS[kind]
            return int(integer.unpack_from(data, at)[0]), at + integer.size
        case 0 | 1:
            return kind == 0, at
        case 8:
            return Timestamp(int(_INTEGERS[5].unpack_from(data, at)[0])), at + 8
        case 9:
            if at + 16 > len(data):
                raise FrameError("a header runs over the end of the frame")
            return uuid.UUID(bytes=data[at : at + 16]), at + 16
        case _:
            raise FrameError(f"header {name}: there is no type {kind}")

"""Files packed by zstd, read to their end: one that was cut off is an error, which zstandard's own reader does not see."""

from __future__ import annotations

import io
from typing import IO, Any

import zstandard

WINDOW_BYTES_MAX = 2**31  # `zstd --long=31`, the longest there is; memory is taken as the file asks for it
READ_BYTES = 1 << 17


class Unpacked(io.RawIOBase):
    """What a file of one or several frames holds. Reading raises zstandard.ZstdError where it is damaged or ends too early."""

    def __init__(self, stored: IO[bytes]) -> None:
        self._stored = stored
        self._frame: Any = None
        self._packed = self._plain = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        while not self._plain:
            if not self._next():
                return 0
        count = min(len(into), len(self._plain))
        into[:count], self._plain = self._plain[:count], self._plain[count:]
        return count

    def _next(self) -> bool:
        """Unpacks a little more; False at the end. Raises zstandard.ZstdError."""
        packed = self._packed or self._stored.read(READ_BYTES)
        if not packed:
            if self._frame is not None:
                raise zstandard.ZstdError("the file ends in the middle of a frame: it was cut off")
            return False
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX).decompressobj()
        self._plain = self._frame.decompress(packed)
        self._packed = b""
        if self._frame.eof:
            self._packed, self._frame = self._frame.unused_data, None
        return True


def unpacked(stored: IO[bytes]) -> io.BufferedReader:
    return io.BufferedReader(Unpacked(stored), READ_BYTES)

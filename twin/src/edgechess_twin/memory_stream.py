"""A wire in memory: two byte streams, each the other end of the other. No latency, no loss; either side can cut it."""

from __future__ import annotations

import anyio
import anyio.abc
import anyio.lowlevel

BUFFER_BYTES = 65536  # what one direction holds before its sender waits; the kernel gives a socket about as much


class _Direction:
    """Bytes on their way one way."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.ended = False
        self.cut = False
        self._event: anyio.Event | None = None
        """Only while somebody waits: most changes happen unwatched, and a simulation makes thousands a second."""

    def changed(self) -> None:
        event, self._event = self._event, None
        if event is not None:
            event.set()

    async def wait(self) -> None:
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()


class MemoryStream(anyio.abc.ByteStream):
    """One end. Made in pairs by `memory_stream_pair`."""

    def __init__(self, incoming: _Direction, outgoing: _Direction) -> None:
        self._in = incoming
        self._out = outgoing
        self._closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self._in.buffer or self._in.ended:  # otherwise it waits, or breaks
            await anyio.lowlevel.checkpoint()
        while True:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._in.cut:
                raise anyio.BrokenResourceError
            if self._in.buffer:
                data = bytes(self._in.buffer[:max_bytes])
                del self._in.buffer[:max_bytes]
                self._in.changed()
                return data
            if self._in.ended:
                raise anyio.EndOfStream
            await self._in.wait()

    async def send(self, item: bytes) -> None:
        """A buffer with room takes the bytes at once, as a kernel's does: no other task runs in between."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        while True:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._out.cut or self._out.ended:
                raise anyio.BrokenResourceError
            if len(self._out.buffer) < BUFFER_BYTES:
                self._out.buffer += item
                self._out.changed()
                return
            await self._out.wait()

    async def send_eof(self) -> None:
        self._out.ended = True
        self._out.changed()

    async def aclose(self) -> None:
        """This end is closed: the other reads what is left, then the end; what it sends breaks."""
        self._close()
        await anyio.lowlevel.checkpoint()

    def _close(self) -> None:
        self._closed = True
        self._out.ended = True
        self._in.ended = True
        self._in.buffer.clear()
        self._out.changed()
        self._in.changed()

    def kill(self) -> None:
        """The wire is cut: both ends break at once, and what was under way is lost."""
        for direction in (self._in, self._out):
            direction.cut = True
            direction.buffer.clear()
            direction.changed()


def memory_stream_pair() -> tuple[MemoryStream, MemoryStream]:
    first, second = _Direction(), _Direction()
    return MemoryStream(first, second), MemoryStream(second, first)

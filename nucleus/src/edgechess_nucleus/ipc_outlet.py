"""Writing to clients: at once where the socket takes it, otherwise from a bounded queue.

What several operations have to say inside one batch leaves in one call per client. A client that does not read:
events that find more than EVENTS_LIMIT_BYTES waiting are dropped, counted and logged (local topics are at most once);
replies are never dropped, but no more of its requests are read before the queue is empty (`overfull`, `drained`).
"""

from __future__ import annotations

import logging
import socket

import anyio

log = logging.getLogger(__name__)

EVENTS_LIMIT_BYTES = 4 * 1024 * 1024  # 8,000 events of 500 bytes: seconds of silence at full rate
REPLIES_LIMIT_BYTES = 256 * 1024  # then the client has to read before it asks for more


class Batch:
    """Shared by the outlets of a server: inside `with batch:` they collect."""

    def __init__(self) -> None:
        self._touched: list[Outlet] = []
        self._depth = 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            touched, self._touched = self._touched, []
            for outlet in touched:
                outlet.flush()

    def touch(self, outlet: Outlet) -> None:
        if self._depth:
            self._touched.append(outlet)
        else:
            outlet.flush()


class Outlet:
    """Towards one client. `run` must run while it is used."""

    def __init__(self, sock: socket.socket, batch: Batch) -> None:
        self._socket = sock
        self._batch = batch
        self._parts: list[bytes] = []
        self._rest = memoryview(b"")
        self._waiting_bytes = 0
        self._blocked = anyio.Event()
        self._drained = anyio.Event()
        self._drained.set()
        self._lost = False
        self.dropped = 0
        """Events that this client will never see."""

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    @property
    def overfull(self) -> bool:
        return self._waiting_bytes > REPLIES_LIMIT_BYTES

    def put(self, data: bytes) -> None:
        """A reply."""
        if self._lost or not data:
            return
        self._parts.append(data)
        self._waiting_bytes += len(data)
        if len(self._parts) == 1:
            self._batch.touch(self)

    def offer(self, data: bytes) -> None:
        """An event."""
        if self._waiting_bytes + len(data) <= EVENTS_LIMIT_BYTES:
            self.put(data)
            return
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:
            # the first, second, fourth …: a client that never reads must not fill the log either
            log.warning("a client does not read: %d events dropped for it so far", self.dropped)

    def flush(self) -> None:
        if self._rest or self._lost:
            return  # `run` is at it
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._rest = memoryview(data)
        self._send()
        if self._rest:
            self._drained = anyio.Event()
            self._blocked.set()

    def _send(self) -> None:
        try:
            sent = self._socket.send(self._rest)
        except BlockingIOError:
            return
        except OSError:
            self.lose()
            return
        self._rest = self._rest[sent:]
        self._waiting_bytes -= sent

    def lose(self) -> None:
        """Nobody is at the other end. The reader notices by itself."""
        self._lost = True
        self._parts.clear()
        self._rest = memoryview(b"")
        self._waiting_bytes = 0
        self._drained.set()

    async def drained(self) -> None:
        """Everything is with the kernel, or lost."""
        await self._drained.wait()

    async def run(self) -> None:
        """Writes what did not fit, whenever there is room again. Until cancelled."""
        while True:
            await self._blocked.wait()
            while self._rest:
                await anyio.wait_writable(self._socket)
                self._send()
                if not self._rest and self._parts:
                    self._rest = memoryview(b"".join(self._parts))
                    self._parts.clear()
            self._blocked = anyio.Event()
            self._drained.set()

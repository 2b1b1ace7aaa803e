"""The receiving end of every bus: a bounded queue of deliveries that drops the oldest and counts it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel

from edgechess_kit.bus import QUEUE_LIMIT, Delivery
from edgechess_kit.errors import LinkLost


class Mailbox:
    """A Subscription. `put` never waits, so a slow reader harms nobody but itself.

    Waiting for the next delivery can be cancelled without losing one. After `close` the deliveries already there are
    handed out, then LinkLost is raised: an iteration that just ended would look like a component with nothing to do.
    """

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self.dropped = 0
        self._limit = limit
        self._queue: deque[Delivery] = deque()
        self._arrived = anyio.Event()
        self._closed = False

    def put(self, delivery: Delivery) -> None:
        if len(self._queue) == self._limit:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(delivery)
        self._arrived.set()

    def close(self) -> None:
        self._closed = True
        self._arrived.set()

    def __len__(self) -> int:
        return len(self._queue)

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        if self._queue or self._closed:  # otherwise it waits
            await anyio.lowlevel.checkpoint()
        while not self._queue:
            if self._closed:
                raise LinkLost("the bus was closed")
            if self._arrived.is_set():
                self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._queue.popleft()

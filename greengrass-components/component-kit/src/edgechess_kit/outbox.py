"""Events on their way to `edge/events`: bounded, so that a broken bus never holds up whoever moves an arm."""

from __future__ import annotations

from collections import deque

import anyio
import msgspec

from edgechess_kit.bus import Bus
from edgechess_kit.errors import WireError
from edgechess_kit.messages import EdgeEvent
from edgechess_kit.topics import Topics

LAG_S = 0.05  # what a decision orders goes out first: onlookers notice nothing, and the table is not kept waiting
OUTBOX_LIMIT = 1000  # events; a move makes about ten, so this is a long outage. The journal has them all anyway


class Outbox:
    """`put` never waits; `run` publishes in order. When it is full the oldest is dropped and `dropped` counts it.

    The stream is for onlookers and may have gaps (a kill loses what was not yet sent): `EdgeEvent.seq` shows them, the
    journal fills them.
    """

    def __init__(self, limit: int = OUTBOX_LIMIT) -> None:
        self.dropped = 0
        self._limit = limit
        self._queue: deque[EdgeEvent] = deque()
        self._changed = anyio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, event: EdgeEvent) -> None:
        if len(self._queue) == self._limit:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(event)
        self._changed.set()

    async def run(self, bus: Bus, topics: Topics) -> None:
        """Publishes until it is cancelled, `LAG_S` behind. Raises LinkLost when the bus is closed."""
        while True:
            await self.flush(bus, topics)
            self._changed = anyio.Event()
            await self._changed.wait()
            await anyio.sleep(LAG_S)

    async def flush(self, bus: Bus, topics: Topics) -> None:
        """Publishes what is there now; waits for the link as the bus does."""
        while self._queue:
            event = self._queue[0]
            try:
                await bus.publish(topics.events, event)
            except WireError:
                await bus.publish(topics.events, msgspec.structs.replace(event, data={"omitted": "too large"}))
            # an overflow meanwhile may have dropped it already; a cancelled publish leaves it for the next run
            if self._queue and self._queue[0] is event:
                self._queue.popleft()

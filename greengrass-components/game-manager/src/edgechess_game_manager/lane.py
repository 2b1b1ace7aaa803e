"""Messages on their way to the bus, so that a decision never waits for a broker's acknowledgement."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, TypeVar

import anyio

from edgechess_kit.bus import Bus
from edgechess_kit.messages import Message
from edgechess_kit.topics import Topic

M = TypeVar("M", bound=Message)

log = logging.getLogger(__name__)


class Lane:
    """Publishes in order what was put in. `put` never waits.

    A message that waits already is not put in twice: a question repeated while the link was down is asked once. When
    the lane is full the oldest is dropped: answers are in the journal and can be asked for, questions are repeated,
    and of a state (limit 1) only the newest matters.
    """

    def __init__(self, bus: Bus, limit: int) -> None:
        self._bus = bus
        self._limit = limit
        self._waiting: deque[tuple[Topic[Any], Message]] = deque()
        self._changed = anyio.Event()

    def put(self, topic: Topic[M], message: M) -> None:
        if (topic, message) in self._waiting:
            return
        if len(self._waiting) == self._limit:
            dropped, _ = self._waiting.popleft()
            if self._limit > 1:
                log.warning("the bus is too slow: a message on %s was dropped", dropped.name)
        self._waiting.append((topic, message))
        self._changed.set()

    async def run(self) -> None:
        """Until it is cancelled. Raises LinkLost when the bus is closed."""
        while True:
            while self._waiting:
                topic, message = self._waiting.popleft()
                await self._bus.publish(topic, message)
            self._changed = anyio.Event()
            await self._changed.wait()

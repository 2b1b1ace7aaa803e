"""What is due later, in order: the one task of a device that keeps time without ticking."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import anyio


class Ticket:
    """One thing that is due. A cancelled one never happens."""

    __slots__ = ("act", "cancelled")

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Agenda:
    """Callbacks at scheduler times (`anyio.current_time()`), equal times in the order in which they were entered."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Ticket]] = []
        self._number = 0
        self._changed: anyio.Event | None = None

    def at(self, when_s: float, act: Callable[[], None]) -> Ticket:
        ticket = Ticket(act)
        self._number += 1
        heapq.heappush(self._heap, (when_s, self._number, ticket))
        if self._changed is not None:
            self._changed.set()
        return ticket

    async def run(self) -> None:
        """Until cancelled. What callbacks raise ends it."""
        while True:
            while self._heap and self._heap[0][2].cancelled:
                heapq.heappop(self._heap)
            self._changed = anyio.Event()
            due_s = self._heap[0][0] if self._heap else math.inf
            with anyio.CancelScope(deadline=due_s):
                await self._changed.wait()
            now_s = anyio.current_time()
            while self._heap and self._heap[0][0] <= now_s:
                _, _, ticket = heapq.heappop(self._heap)
                if not ticket.cancelled:
                    ticket.act()

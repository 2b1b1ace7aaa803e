"""A bus whose deliveries are sometimes doubled, sometimes late, from a seed: the network a component must survive."""

from __future__ import annotations

import dataclasses
import heapq
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio

from edgechess_kit.bus import QUEUE_LIMIT, Bus, Delivery, Subscription
from edgechess_kit.messages import Message
from edgechess_kit.topics import Topic

M = TypeVar("M", bound=Message)


@dataclasses.dataclass(frozen=True, slots=True)
class Chaos:
    """Probabilities per delivery and per subscription, 0..1. A late one is overtaken by those that follow it."""

    duplicate: float = 0.0
    delay: float = 0.0
    delay_max_s: float = 2.0


class ChaosBus:
    """A Bus around a Bus. Publishing is untouched; each subscription meets its own weather."""

    def __init__(self, inner: Bus, chaos: Chaos, rng: random.Random) -> None:
        self._inner = inner
        self._chaos = chaos
        self._rng = rng

    @property
    def connected(self) -> bool:
        return self._inner.connected

    async def publish(self, topic: Topic[M], message: M) -> None:
        await self._inner.publish(topic, message)

    @asynccontextmanager
    async def subscribe(self, *topics: Topic[Any]) -> AsyncIterator[Subscription]:
        async with self._inner.subscribe(*topics) as subscription:
            yield _ChaosSubscription(subscription, self._chaos, self._rng)


class _ChaosSubscription:
    """Holds late deliveries in a heap by due time; needs no task, so it waits for the earlier of the two."""

    def __init__(self, inner: Subscription, chaos: Chaos, rng: random.Random) -> None:
        self._inner = inner
        self._chaos = chaos
        self._rng = rng
        self._held: list[tuple[float, int, Delivery]] = []
        self._count = 0

    @property
    def dropped(self) -> int:
        return self._inner.dropped

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            due_s = self._held[0][0] if self._held else math.inf
            if due_s <= anyio.current_time():
                return heapq.heappop(self._held)[2]
            delivery: Delivery | None = None
            with anyio.CancelScope(deadline=due_s):
                delivery = await self._inner.__anext__()
            if delivery is None:
                continue
            if self._rng.random() < self._chaos.duplicate:
                self._hold(delivery)
            if self._rng.random() < self._chaos.delay and self._hold(delivery):
                continue
            return delivery

    def _hold(self, delivery: Delivery) -> bool:
        if len(self._held) >= QUEUE_LIMIT:
            return False
        due_s = anyio.current_time() + self._rng.uniform(0.0, self._chaos.delay_max_s)
        self._count += 1
        heapq.heappush(self._held, (due_s, self._count, delivery))
        return True

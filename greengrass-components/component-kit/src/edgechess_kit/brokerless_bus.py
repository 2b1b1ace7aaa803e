"""What a broker does for its clients, done by the clients: retained messages and last wills over a bus without them.

Greengrass pub/sub keeps nothing for late subscribers and tells nobody that a component has died; an MQTT bridge drops
the retain flag. So whoever publishes a retained topic says its last message again every `REPEAT_S`, whoever subscribes
to one is not told the same thing twice, and whoever listens to health says "lost" of a component that fell silent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

import anyio

from edgechess_kit.background import Background
from edgechess_kit.bus import Bus, Delivery, Subscription
from edgechess_kit.errors import KitError, WireError
from edgechess_kit.messages import EdgeStatus, Message
from edgechess_kit.topics import Topic

M = TypeVar("M", bound=Message)

REPEAT_S = 2.5  # a late subscriber waits this long at most; the arms' state, every 2 s anyway, is never repeated
LOST_AFTER_S = 7.0  # three heartbeats and some: the last will of MQTT takes 15 s with our keep-alive
LOOK_S = 0.05  # deliveries that wait already are read before a silence is judged: it may have been the reader's own


@dataclasses.dataclass(slots=True)
class _Kept:
    """The last message of one retained topic. The lock keeps a repetition from overtaking what is newer."""

    topic: Topic[Any]
    message: Message
    said_s: float
    lock: anyio.Lock = dataclasses.field(default_factory=anyio.Lock)


class BrokerlessBus:
    """A Bus around a Bus, and an async context manager. `status`: the topic of health."""

    def __init__(self, inner: Bus, status: Topic[EdgeStatus]) -> None:
        self._inner = inner
        self._status = status
        self._kept: dict[str, _Kept] = {}
        self._tasks = Background()

    @property
    def connected(self) -> bool:
        return self._inner.connected

    async def __aenter__(self) -> BrokerlessBus:
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._repeat, name="retained states")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel()
        return await self._tasks.__aexit__(kind, error, traceback)

    async def publish(self, topic: Topic[M], message: M) -> None:
        if not topic.retain:
            await self._inner.publish(topic, message)
            return
        topic.encode(message)  # what is too large must not be kept
        kept = self._kept.setdefault(topic.name, _Kept(topic, message, 0.0))
        async with kept.lock:
            kept.message, kept.said_s = message, anyio.current_time()
            await self._inner.publish(topic, message)

    @asynccontextmanager
    async def subscribe(self, *topics: Topic[Any]) -> AsyncIterator[Subscription]:
        async with self._inner.subscribe(*topics) as subscription:
            retained = frozenset(topic.name for topic in topics if topic.retain)
            watched = self._status if any(topic.name == self._status.name for topic in topics) else None
            yield _Attentive(subscription, retained, watched)

    async def _repeat(self) -> None:
        while True:
            await anyio.sleep(REPEAT_S / 5)
            for kept in list(self._kept.values()):
                if self._inner.connected and anyio.current_time() - kept.said_s >= REPEAT_S:
                    await self._say_again(kept)

    async def _say_again(self, kept: _Kept) -> None:
        async with kept.lock:
            kept.said_s = anyio.current_time()
            try:
                await self._inner.publish(kept.topic, kept.message)
            except KitError:
                return  # whoever publishes next is told; a repetition is a courtesy


class _Attentive:
    """A Subscription that leaves out repetitions and puts in what a last will would have said."""

    def __init__(self, inner: Subscription, retained: frozenset[str], status: Topic[EdgeStatus] | None) -> None:
        self._inner = inner
        self._retained = retained
        self._status = status
        self._last: dict[str, bytes] = {}
        self._silent_at_s: dict[str, float] = {}

    @property
    def dropped(self) -> int:
        return self._inner.dropped

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            delivery: Delivery | None = None
            with anyio.CancelScope(deadline=self._deadline_s()):
                delivery = await self._inner.__anext__()
            if delivery is None:
                lost = self._lost()
                if lost is not None:
                    return lost
            elif self._is_news(delivery):
                return delivery

    def _deadline_s(self) -> float:
        first_s = min(self._silent_at_s.values(), default=float("inf"))
        return max(first_s, anyio.current_time() + LOOK_S)

    def _lost(self) -> Delivery | None:
        assert self._status is not None
        for component, due_s in self._silent_at_s.items():
            if due_s <= anyio.current_time():
                del self._silent_at_s[component]
                said = EdgeStatus(component=component, status="lost", reason=f"silent for {LOST_AFTER_S:g} s")
                return Delivery(self._status.name, self._status.encode(said))
        return None

    def _is_news(self, delivery: Delivery) -> bool:
        if delivery.topic in self._retained:
            if self._last.get(delivery.topic) == delivery.payload:
                return False
            self._last[delivery.topic] = delivery.payload
        elif self._status is not None and delivery.topic == self._status.name:
            self._hear(delivery, self._status)
        return True

    def _hear(self, delivery: Delivery, status: Topic[EdgeStatus]) -> None:
        try:
            said = delivery.decode(status)
        except WireError:
            return  # whoever reads it is told
        if said.status in ("stopped", "lost"):
            self._silent_at_s.pop(said.component, None)
        else:
            self._silent_at_s[said.component] = anyio.current_time() + LOST_AFTER_S

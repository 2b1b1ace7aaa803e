"""One bus out of several: each topic travels by the transport of its side, and by no other.

RoutedBus({"cloud": iot_core, "devices": local_mqtt, "edge": pubsub})
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from edgechess_kit.background import Background
from edgechess_kit.bus import Bus, Delivery, Subscription
from edgechess_kit.errors import LinkLost
from edgechess_kit.mailbox import Mailbox
from edgechess_kit.messages import Message
from edgechess_kit.topics import Side, Topic

M = TypeVar("M", bound=Message)

Observer = Callable[[Message], None]
"""Sees every message before it is published. Never waits."""


def _unobserved(message: Message) -> None:
    return


class RoutedBus:
    """A Bus. A subscription over several transports keeps the order of each; between two of them there is none."""

    def __init__(self, routes: Mapping[Side, Bus], observer: Observer = _unobserved) -> None:
        self._routes = dict(routes)
        self._observer = observer

    @property
    def connected(self) -> bool:
        """Whether the side of health and sessions is: what is cut off on another one can be said there."""
        return self._routes["edge"].connected

    async def publish(self, topic: Topic[M], message: M) -> None:
        self._observer(message)
        await self._routes[topic.side].publish(topic, message)

    @asynccontextmanager
    async def subscribe(self, *topics: Topic[Any]) -> AsyncIterator[Subscription]:
        shares: dict[int, tuple[Bus, list[Topic[Any]]]] = {}
        for topic in topics:
            bus = self._routes[topic.side]
            shares.setdefault(id(bus), (bus, []))[1].append(topic)
        if len(shares) == 1:
            async with self._routes[topics[0].side].subscribe(*topics) as only:
                yield only
            return
        async with AsyncExitStack() as stack:
            parts = [await stack.enter_async_context(bus.subscribe(*share)) for bus, share in shares.values()]
            merged = _Merged(parts)
            async with Background() as tasks:
                for number, part in enumerate(parts):
                    tasks.start_soon(_forward, part, merged.mailbox, name=f"deliveries of transport {number}")
                try:
                    yield merged
                finally:
                    tasks.cancel()


class _Merged:
    """A Subscription of several, handed on as they arrive."""

    def __init__(self, parts: list[Subscription]) -> None:
        self.mailbox = Mailbox()
        self._parts = parts

    @property
    def dropped(self) -> int:
        return self.mailbox.dropped + sum(part.dropped for part in self._parts)

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        return await self.mailbox.__anext__()


async def _forward(part: Subscription, mailbox: Mailbox) -> None:
    try:
        async for delivery in part:
            mailbox.put(delivery)
    except LinkLost:
        mailbox.close()

"""The bus in memory, for simulation and tests: one `MemoryBroker`, one `MemoryBus` per component.

It behaves as a broker does for clean sessions at QoS 1: what is published while a client is away is not kept for it,
except the last retained message of each topic. Delivery is in the order of publishing, takes no time, and happens
without a task of its own, so that a seeded scheduler gives the same run every time. Duplicates and delays are
`ChaosBus`'s business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

from edgechess_kit.bus import QUEUE_LIMIT, WAITERS_LIMIT, Delivery, Subscription
from edgechess_kit.errors import LinkLost
from edgechess_kit.mailbox import Mailbox
from edgechess_kit.messages import EdgeStatus, Message
from edgechess_kit.topics import Topic, Topics

M = TypeVar("M", bound=Message)

Observer = Callable[[str, str, bytes], None]
"""Called with (client name, topic name, payload) for every message that the broker took, wills included."""


class MemoryBroker:
    """Retained messages and who subscribes to what. `observer` sees everything, synchronously, in order."""

    def __init__(self, topics: Topics | None = None, observer: Observer | None = None) -> None:
        self.topics = topics or Topics()
        self._observer = observer
        self._retained: dict[str, bytes] = {}
        self._clients: dict[str, MemoryBus] = {}

    def client(self, name: str, will: EdgeStatus | None = None, *, queue_limit: int = QUEUE_LIMIT) -> MemoryBus:
        """A connected bus. An older client of the same name is thrown out (its will fires), as MQTT demands."""
        older = self._clients.get(name)
        if older is not None:
            older.lose()
        bus = MemoryBus(self, name, will, queue_limit)
        self._clients[name] = bus
        return bus

    def retained(self, topic: Topic[M]) -> M | None:
        """What a new subscriber would be given."""
        payload = self._retained.get(topic.name)
        return None if payload is None else topic.decode(payload)

    def inject(self, sender: str, topic_name: str, payload: bytes, *, retain: bool = False) -> None:
        """A message of foreign making, malformed ones included: no encoding, no size limit."""
        self._take(sender, topic_name, payload, retain)

    def _take(self, sender: str, name: str, payload: bytes, retain: bool) -> None:
        if retain:
            self._retained[name] = payload
        if self._observer is not None:
            self._observer(sender, name, payload)
        for client in list(self._clients.values()):
            client._deliver(Delivery(name, payload))

    def _replay(self, mailbox: Mailbox, names: tuple[str, ...]) -> None:
        for name in names:
            if name in self._retained:
                mailbox.put(Delivery(name, self._retained[name], retained=True))

    def _part(self, bus: MemoryBus) -> None:
        if self._clients.get(bus.name) is bus:
            del self._clients[bus.name]


class MemoryBus:
    """A Bus of one client. `drop` and `reconnect` are the link going and coming; `aclose` is a polite goodbye."""

    def __init__(self, broker: MemoryBroker, name: str, will: EdgeStatus | None, queue_limit: int) -> None:
        self.name = name
        self._broker = broker
        self._will = will
        self._queue_limit = queue_limit
        self._subscriptions: dict[Mailbox, tuple[str, ...]] = {}
        self._link = anyio.Event()
        self._link.set()
        self._waiters = 0
        self._closed = False

    @property
    def connected(self) -> bool:
        return self._link.is_set() and not self._closed

    async def publish(self, topic: Topic[M], message: M) -> None:
        """As the port says. Raises LinkLost when the bus was closed or too many publishers wait for the link."""
        payload = topic.encode(message)
        await anyio.lowlevel.checkpoint()
        await self._linked()
        self._broker._take(self.name, topic.name, payload, topic.retain)

    @asynccontextmanager
    async def subscribe(self, *topics: Topic[Any]) -> AsyncIterator[Subscription]:
        names = tuple(dict.fromkeys(topic.name for topic in topics))
        mailbox = Mailbox(self._queue_limit)
        await anyio.lowlevel.checkpoint()
        await self._linked()
        self._subscriptions[mailbox] = names
        self._broker._replay(mailbox, names)
        try:
            yield mailbox
        finally:
            self._subscriptions.pop(mailbox, None)

    async def drop(self) -> None:
        """The link is lost: the will fires, nothing arrives any more, publishers wait (until `reconnect`)."""
        await anyio.lowlevel.checkpoint()
        self.lose()

    async def reconnect(self) -> None:
        """The link is back: subscriptions are renewed (retained messages come again), waiting publishers go on."""
        await anyio.lowlevel.checkpoint()
        if self._closed:
            raise LinkLost("the bus was closed")
        if self._link.is_set():
            return
        newer = self._broker._clients.get(self.name)
        if newer is not None and newer is not self:
            newer.lose()
        self._broker._clients[self.name] = self
        for mailbox, names in self._subscriptions.items():
            self._broker._replay(mailbox, names)
        self._link.set()

    async def aclose(self) -> None:
        """No will. Whoever still waits on this bus gets LinkLost."""
        await anyio.lowlevel.checkpoint()
        self._closed = True
        self._broker._part(self)
        for mailbox in self._subscriptions:
            mailbox.close()
        self._link.set()

    async def _linked(self) -> None:
        while not self._link.is_set():
            if self._waiters >= WAITERS_LIMIT:
                raise LinkLost(f"the link is down and {self._waiters} callers wait for it already")
            self._waiters += 1
            try:
                await self._link.wait()
            finally:
                self._waiters -= 1
        if self._closed:
            raise LinkLost("the bus was closed")

    def lose(self) -> None:
        """What `drop` does, for callers that cannot wait."""
        if not self._link.is_set() or self._closed:
            return
        self._link = anyio.Event()
        self._broker._part(self)
        if self._will is not None:
            topic = self._broker.topics.status
            self._broker._take(self.name, topic.name, topic.encode(self._will), topic.retain)

    def _deliver(self, delivery: Delivery) -> None:
        for mailbox, names in self._subscriptions.items():
            if delivery.topic in names:
                mailbox.put(delivery)

"""The bus port. Components meet each other only here; memory, MQTT and Greengrass implement it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar, runtime_checkable

from edgechess_kit.messages import Message
from edgechess_kit.topics import Topic

M = TypeVar("M", bound=Message)

QUEUE_LIMIT = 1000  # deliveries a subscription holds; at 200 bytes that is seconds of the busiest topic
WAITERS_LIMIT = 100  # tasks of one client that may wait for its link; a component has about ten that publish


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """One payload as it arrived. `decode(topic)` validates; a delivery may be a duplicate (QoS 1)."""

    topic: str
    payload: bytes
    retained: bool = False

    def decode(self, topic: Topic[M]) -> M:
        """Raises WireError naming the field."""
        return topic.decode(self.payload)


class Subscription(Protocol):
    """An async iterator of deliveries, in the order of arrival. Never ends by itself while the bus is open.

    Survives reconnects. When the queue overflows the oldest delivery is dropped and `dropped` counts it.
    """

    @property
    def dropped(self) -> int: ...
    def __aiter__(self) -> AsyncIterator[Delivery]: ...
    async def __anext__(self) -> Delivery: ...


@runtime_checkable
class Bus(Protocol):
    """Publish and subscribe at QoS 1 (at least once): every receiver must be idempotent."""

    async def publish(self, topic: Topic[M], message: M) -> None:
        """Returns when the broker has taken the message; while the link is down, waits for it.

        Raises WireError if the message is too large; LinkLost when the bus was closed, or when `WAITERS_LIMIT` callers
        wait for the link already. Retained if the topic is.
        """

    def subscribe(self, *topics: Topic[Any]) -> AbstractAsyncContextManager[Subscription]:
        """Active (and retained messages on their way) once the context is entered."""

    @property
    def connected(self) -> bool: ...

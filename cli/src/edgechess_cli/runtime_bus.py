"""The local topics of a runtime in this process as a bus: whoever started it listens and speaks without a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from edgechess_kit.bus import Delivery, Subscription
from edgechess_kit.mailbox import Mailbox
from edgechess_kit.messages import Message
from edgechess_kit.topics import Topic
from edgechess_nucleus.pubsub import LocalMessage, LocalTopics

M = TypeVar("M", bound=Message)


class RuntimeBus:
    """A Bus. Nothing is retained: components repeat what is, as they do for one another. `name`: who speaks; what is
    said under a name is not heard under it."""

    connected = True

    def __init__(self, topics: LocalTopics, name: str) -> None:
        self._topics = topics
        self._name = name

    async def publish(self, topic: Topic[M], message: M) -> None:
        self._topics.publish(LocalMessage(topic.name, topic.encode(message), False, self._name))

    @asynccontextmanager
    async def subscribe(self, *topics: Topic[Any]) -> AsyncIterator[Subscription]:
        mailbox = Mailbox()

        def receive(message: LocalMessage) -> None:
            mailbox.put(Delivery(message.topic, message.payload))

        made = [
            self._topics.attach(name, self._name, receive) for name in dict.fromkeys(topic.name for topic in topics)
        ]
        try:
            yield mailbox
        finally:
            for one in made:
                self._topics.unsubscribe(one)

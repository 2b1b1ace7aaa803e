"""Local publish and subscribe: one process's topics, in order, at most once, nothing retained.

Components, the MQTT bridge and the shadows meet here. Delivery is a call, made in the order of publishing; what a
receiver cannot take at once it drops or keeps, that is its own affair. Source: reference "greengrass-ipc" section 5.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import msgspec

from edgechess_nucleus.flavour import Flavour
from edgechess_nucleus.refusal import Refused
from edgechess_nucleus.topic_filter import Levels, has_wildcard, levels, matches

ReceiveMode = Literal["RECEIVE_ALL_MESSAGES", "RECEIVE_MESSAGES_FROM_OTHERS"]

ROUTES_LIMIT = 1024  # topics whose receivers are remembered; a component that invents topics must not fill the memory


@dataclasses.dataclass(frozen=True)
class LocalMessage:
    """What was published. `payload` is the JSON text of an object, or bytes."""

    topic: str
    payload: bytes
    is_json: bool
    source: str
    """The component, or the part of the runtime, that published it."""

    @functools.cached_property
    def event(self) -> bytes:
        """SubscriptionResponseMessage, made once for all receivers."""
        topic = msgspec.json.encode(self.topic)
        if self.is_json:
            return b'{"jsonMessage":{"message":%b,"context":{"topic":%b}}}' % (self.payload, topic)
        return b'{"binaryMessage":{"message":%b,"context":{"topic":%b}}}' % (msgspec.json.encode(self.payload), topic)


Receive = Callable[[LocalMessage], None]


@dataclasses.dataclass(eq=False, slots=True)
class LocalSubscription:
    """Made by `LocalTopics.subscribe`, ended by `LocalTopics.unsubscribe`."""

    filter: Levels
    component: str
    receive: Receive
    own_too: bool
    counted: bool = True


class LocalTopics:
    """Who hears what."""

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self._subscriptions: list[LocalSubscription] = []
        self._routes: dict[str, tuple[LocalSubscription, ...]] = {}

    def __len__(self) -> int:
        """Subscriptions of components."""
        return sum(one.counted for one in self._subscriptions)

    def subscribe(
        self, topic_filter: str, component: str, receive: Receive, mode: ReceiveMode | None = None
    ) -> LocalSubscription:
        """`mode` None: own messages too, unless the filter has a wildcard; lite always gives them. Raises Refused."""
        if len(self) >= self._flavour.subscriptions_limit:
            limit = self._flavour.subscriptions_limit
            raise Refused("ServiceError", f"There are {limit} subscriptions already")
        parts = levels(topic_filter, self._flavour)
        own_too = True
        if self._flavour.honours_receive_mode:
            own_too = mode == "RECEIVE_ALL_MESSAGES" if mode else not has_wildcard(parts)
        return self._add(LocalSubscription(parts, component, receive, own_too))

    def attach(self, topic_filter: str, source: str, receive: Receive) -> LocalSubscription:
        """A part of the runtime listens: outside the limit, and never hearing what it published itself."""
        return self._add(
            LocalSubscription(levels(topic_filter, self._flavour), source, receive, own_too=False, counted=False)
        )

    def _add(self, made: LocalSubscription) -> LocalSubscription:
        self._subscriptions.append(made)
        self._routes.clear()
        return made

    def unsubscribe(self, subscription: LocalSubscription) -> None:
        self._subscriptions.remove(subscription)
        self._routes.clear()

    def publish(self, message: LocalMessage) -> None:
        """To all who listen, now. That nobody does is no error."""
        for subscription in self._routes.get(message.topic) or self._route(message.topic):
            if subscription.own_too or subscription.component != message.source:
                subscription.receive(message)

    def _route(self, topic: str) -> tuple[LocalSubscription, ...]:
        parts = levels(topic, self._flavour)
        found = tuple(one for one in self._subscriptions if matches(one.filter, parts, self._flavour))
        if len(self._routes) >= ROUTES_LIMIT:
            self._routes.clear()
        self._routes[topic] = found
        return found

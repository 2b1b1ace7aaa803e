"""The port to what stands where AWS IoT Core would: an MQTT broker. The one on aiomqtt is `iot_core_mqtt_adapter`.

Source: reference "greengrass-ipc" section 5, PublishToIoTCore and SubscribeToIoTCore.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, Protocol

from edgechess_nucleus.errors import NucleusError

QoS = Literal[0, 1]


class IotCoreUnavailable(NucleusError):
    """The broker is away and the message is not kept, or the spool is full, or the broker refuses a subscription."""


@dataclasses.dataclass(frozen=True, slots=True)
class IotMessage:
    """One MQTT message; the members after `retain` are of MQTT 5."""

    topic: str
    payload: bytes
    qos: QoS = 1
    retain: bool = False
    user_properties: tuple[tuple[str, str], ...] = ()
    message_expiry_interval_s: int | None = None
    correlation_data: bytes | None = None
    response_topic: str | None = None
    payload_format: int | None = None
    content_type: str | None = None


Receive = Callable[[IotMessage], None]


class IotSubscription(Protocol):
    """What `subscribe` gave."""

    def end(self) -> None:
        """At once, and once only; the broker hears of it in its own time."""


class IotCore(Protocol):
    """A connection that comes back by itself, and its subscriptions with it."""

    @property
    def place(self) -> str:
        """Which broker it is: two connections to one have one place."""

    def publish(self, message: IotMessage) -> None:
        """Into the spool, in order: that it was taken does not say that it was sent. Raises IotCoreUnavailable."""

    async def subscribe(self, topic_filter: str, qos: QoS, receive: Receive) -> IotSubscription:
        """Waits for the broker's word, a limited time. Raises IotCoreUnavailable."""

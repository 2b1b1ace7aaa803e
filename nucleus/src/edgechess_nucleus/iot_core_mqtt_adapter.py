"""The IotCore port on an MQTT broker (aiomqtt on paho). Runs under asyncio only.

    broker = MqttBroker(read_address("mqtt://127.0.0.1:1883"), "core-1", spools=True, mqtt5=True)
    tasks.start_soon(broker.run)

`run` keeps a connection: a broker that is away is tried again, and subscriptions come back with it. What `publish`
takes goes through a spool, one message at a time and in order; it leaves the spool when the broker has acknowledged
it, so after a lost connection the first one may arrive twice. MQTT 5 is tried first; a broker that refuses it (the
embedded one) is spoken to in 3.1.1, where MQTT 5's members are left out.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import random
import socket
import struct
from collections.abc import Sequence
from typing import Any

import aiomqtt
import anyio
import anyio.abc
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgechess_nucleus.flavour import LITE
from edgechess_nucleus.iot_core import IotCoreUnavailable, IotMessage, QoS, Receive
from edgechess_nucleus.mqtt_address import MqttAddress
from edgechess_nucleus.topic_filter import Levels, covers, levels, matches

log = logging.getLogger(__name__)

BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.2, 10.0
KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 3.0  # CONNACK
ACK_TIMEOUT_S = 10.0  # SUBACK, PUBACK
SUBSCRIBE_TIMEOUT_S = 10.0  # until the broker is there and has answered
SPOOL_LIMIT_BYTES = int(2.5 * 1024 * 1024)  # the Java nucleus's default
MESSAGE_OVERHEAD_BYTES = 100  # counted beside topic and payload, so that empty messages do not fill the memory
INCOMING_LIMIT = 10_000  # messages between the socket and us
REFUSED_FROM = 0x80  # MQTT 3.1.1 section 3.9.3, MQTT 5 section 3.9.3
MQTT = LITE  # its comparison of topics is the MQTT specification's


@dataclasses.dataclass(eq=False, slots=True)
class _Subscription:
    """One receiver of one filter."""

    broker: MqttBroker
    filter: str
    levels: Levels
    qos: QoS
    receive: Receive
    answered: anyio.Event
    refused: bool = False

    def end(self) -> None:
        self.broker.leave(self)


class MqttBroker:
    """See the module. `name` is the client id; of two clients with one id the broker throws one out."""

    def __init__(self, address: MqttAddress, name: str, *, spools: bool = True, mqtt5: bool = True) -> None:
        self._address = address
        self._name = name
        self._spools = spools
        self._version = aiomqtt.ProtocolVersion.V5 if mqtt5 else aiomqtt.ProtocolVersion.V311
        self._spool: collections.deque[IotMessage] = collections.deque()
        self._spooled_bytes = 0
        self._spooled = anyio.Event()
        self._subscriptions: list[_Subscription] = []
        self._active: dict[str, QoS] = {}
        """Filters that the broker has acknowledged on this connection."""
        self._changed = anyio.Event()
        self._connected = False

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def place(self) -> str:
        return f"{self._address.host}:{self._address.port}"

    def publish(self, message: IotMessage) -> None:
        """As the port says."""
        if not self._connected and not self._spools:
            raise IotCoreUnavailable("the broker is away")
        if not self._connected and message.qos == 0:
            raise IotCoreUnavailable("Device is offline. Dropping QoS 0 message.")
        if self._spooled_bytes + _size(message) > SPOOL_LIMIT_BYTES:
            raise IotCoreUnavailable("the message spool is full")
        self._spool.append(message)
        self._spooled_bytes += _size(message)
        self._spooled.set()

    async def subscribe(self, topic_filter: str, qos: QoS, receive: Receive) -> _Subscription:
        """As the port says."""
        if not self._connected and not self._spools:
            raise IotCoreUnavailable("the broker is away")
        made = _Subscription(self, topic_filter, levels(topic_filter, MQTT), qos, receive, anyio.Event())
        self._subscriptions.append(made)
        self._changed.set()
        kept = False
        try:
            with anyio.move_on_after(SUBSCRIBE_TIMEOUT_S):
                await made.answered.wait()
                if made.refused:
                    raise IotCoreUnavailable("the broker refuses it")
                kept = True
                return made
        finally:
            if not kept:
                self.leave(made)
        raise IotCoreUnavailable(f"no answer from the broker within {SUBSCRIBE_TIMEOUT_S:g} s")

    def leave(self, subscription: _Subscription) -> None:
        """No more messages; twice does no harm."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        pause_s = BACKOFF_FIRST_S
        chance = random.Random()
        while True:
            try:
                await self._session()
            except aiomqtt.MqttError as error:
                log.warning("broker %s:%d: %s", self._address.host, self._address.port, error)
                if not self._connected and not isinstance(error.__cause__, OSError):
                    self._version = _OTHER[self._version]
            if self._connected:
                pause_s = BACKOFF_FIRST_S
            self._connected = False
            self._active.clear()
            await anyio.sleep(pause_s * chance.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, BACKOFF_LAST_S)

    # ------------------------------------------------------------ one connection

    async def _session(self) -> None:
        """Raises aiomqtt.MqttError when it is lost, or was never made."""
        lost: aiomqtt.MqttError | None = None
        client = self._client()
        async with client, anyio.create_task_group() as tasks:
            # what waits for an acknowledgement is cancelled with the connection: aiomqtt would let it time out
            tasks.start_soon(self._work, client, tasks, name="mqtt subscriptions")
            try:
                async for message in client.messages:
                    self._deliver(_from_mqtt(message))
            except aiomqtt.MqttError as error:
                lost = error
            tasks.cancel_scope.cancel()
        if lost is not None:
            raise lost

    def _client(self) -> aiomqtt.Client:
        five = self._version is aiomqtt.ProtocolVersion.V5
        return aiomqtt.Client(
            self._address.host,
            self._address.port,
            identifier=self._name,
            protocol=self._version,
            clean_session=None if five else True,
            keepalive=KEEPALIVE_S,
            timeout=CONNECT_TIMEOUT_S,
            tls_context=self._address.tls,
            max_queued_incoming_messages=INCOMING_LIMIT,
            # without this, Nagle and delayed acknowledgements cost 40 ms a message
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            logger=log.getChild("aiomqtt"),
        )

    async def _work(self, client: aiomqtt.Client, tasks: anyio.abc.TaskGroup) -> None:
        """Subscriptions first, then the spool; then whatever changes."""
        await self._reconcile(client)
        log.info(
            "connected to the broker at %s:%d, MQTT %s", self._address.host, self._address.port, self._version.name
        )
        self._connected = True
        tasks.start_soon(self._empty_spool, client, name="mqtt spool")
        while True:
            await self._changed.wait()
            await self._reconcile(client)

    async def _reconcile(self, client: aiomqtt.Client) -> None:
        """What the broker should send us, and what it does, made one. An error ends the connection elsewhere."""
        self._changed = anyio.Event()
        subscriptions = list(self._subscriptions)
        wanted = _widest(subscriptions)
        for name, qos in wanted.items():
            if self._active.get(name, -1) < qos:
                await self._ask(client, name, qos)
        for one in subscriptions:
            one.refused = not any(covers(levels(name, MQTT), one.levels) for name in self._active)
            one.answered.set()
        # at last: where a filter takes another's place nothing is missed
        for name in [name for name in self._active if name not in wanted]:
            del self._active[name]
            with contextlib.suppress(aiomqtt.MqttError):
                await client.unsubscribe(name, timeout=ACK_TIMEOUT_S)

    async def _ask(self, client: aiomqtt.Client, name: str, qos: QoS) -> None:
        try:
            codes: Sequence[Any] = await client.subscribe(name, qos, timeout=ACK_TIMEOUT_S)
        except aiomqtt.MqttError as error:
            log.warning("subscription to %s: %s", name, error)
            return
        code = codes[0] if isinstance(codes[0], int) else codes[0].value
        if code < REFUSED_FROM:
            self._active[name] = qos
        else:
            log.warning("the broker refuses the subscription to %s: code %d", name, code)

    async def _empty_spool(self, client: aiomqtt.Client) -> None:
        while True:
            if not self._spool:
                self._spooled = anyio.Event()
                await self._spooled.wait()
            message = self._spool[0]
            try:
                await client.publish(
                    message.topic,
                    message.payload,
                    qos=message.qos,
                    retain=message.retain,
                    properties=_properties(message) if self._version is aiomqtt.ProtocolVersion.V5 else None,
                    timeout=ACK_TIMEOUT_S,
                )
            except aiomqtt.MqttError as error:
                log.warning("publish to %s: %s; it is tried again", message.topic, error)
                await anyio.sleep(BACKOFF_FIRST_S)
                continue
            except (
                ValueError,
                TypeError,
                struct.error,
            ) as error:  # one that no packet can carry must not end the others
                log.warning("publish to %s: %s; the message is dropped", message.topic, error)
            self._spool.popleft()
            self._spooled_bytes -= _size(message)

    def _deliver(self, message: IotMessage) -> None:
        parts = levels(message.topic, MQTT)
        for one in list(self._subscriptions):
            if one.answered.is_set() and matches(one.levels, parts, MQTT):
                one.receive(message)


def _widest(subscriptions: Sequence[_Subscription]) -> dict[str, QoS]:
    """What to ask the broker for: no filter that another one covers, for brokers send a message once for each filter
    that it matches. (Of "a/+" and "+/b" none covers the other: "a/b" comes twice, which at least once allows.)"""
    wanted: dict[str, QoS] = {}
    for one in subscriptions:
        wider = [other for other in subscriptions if other.filter != one.filter and covers(other.levels, one.levels)]
        if not any(other.qos >= one.qos for other in wider):
            wanted[one.filter] = max(wanted.get(one.filter, 0), one.qos)
    return wanted


_OTHER = {
    aiomqtt.ProtocolVersion.V5: aiomqtt.ProtocolVersion.V311,
    aiomqtt.ProtocolVersion.V311: aiomqtt.ProtocolVersion.V5,
}


def _size(message: IotMessage) -> int:
    return MESSAGE_OVERHEAD_BYTES + len(message.topic) + len(message.payload)


def _properties(message: IotMessage) -> Properties:
    made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    members = {
        "UserProperty": list(message.user_properties) or None,
        "MessageExpiryInterval": message.message_expiry_interval_s,
        "CorrelationData": message.correlation_data,
        "ResponseTopic": message.response_topic,
        "PayloadFormatIndicator": message.payload_format,
        "ContentType": message.content_type,
    }
    for name, value in members.items():
        if value is not None:
            setattr(made, name, value)
    return made


def _from_mqtt(message: aiomqtt.Message) -> IotMessage:
    payload = message.payload if isinstance(message.payload, bytes) else str(message.payload).encode()
    said = vars(message.properties) if message.properties is not None else {}
    return IotMessage(
        message.topic.value,
        payload,
        1 if message.qos else 0,
        retain=bool(message.retain),
        user_properties=tuple(said.get("UserProperty", ())),
        message_expiry_interval_s=said.get("MessageExpiryInterval"),
        correlation_data=said.get("CorrelationData"),
        response_topic=said.get("ResponseTopic"),
        payload_format=said.get("PayloadFormatIndicator"),
        content_type=said.get("ContentType"),
    )

"""The MQTT bridge: messages between the local MQTT broker (client devices), local topics (components) and IoT Core.

`mqttTopicMapping` is that of `aws.greengrass.clientdevices.mqtt.Bridge`. As there: QoS 1 on both sides, payloads go to
components as bytes whatever they were, and nothing is retained. Source: reference "greengrass-recipes", MQTT.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Final

import anyio
import anyio.abc

from edgechess_nucleus.errors import NucleusError
from edgechess_nucleus.flavour import LITE
from edgechess_nucleus.iot_core import IotCore, IotCoreUnavailable, IotMessage
from edgechess_nucleus.pubsub import LocalMessage, LocalSubscription, LocalTopics
from edgechess_nucleus.topic_filter import is_filter, is_topic, levels, matches

log = logging.getLogger(__name__)

NAME: Final = "aws.greengrass.clientdevices.mqtt.Bridge"
PLACES = ("LocalMqtt", "Pubsub", "IotCore")
RETRY_S = 5.0  # between attempts to subscribe at a broker that is away
ECHO_S = 5.0  # a broker that echoes does so in milliseconds
ECHOES_LIMIT = 10_000


class MappingError(NucleusError):
    """The mapping cannot be followed; the text names the entry."""


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """One entry."""

    topic: str
    source: str
    target: str
    prefix: str


def read_mapping(tree: Any) -> tuple[Route, ...]:
    """The value of `mqttTopicMapping`. Raises MappingError."""
    if not isinstance(tree, Mapping):
        raise MappingError("mqttTopicMapping: an object is expected")
    return tuple(_read_entry(name, entry) for name, entry in tree.items())


def _read_entry(name: str, entry: Any) -> Route:
    where = f"mqttTopicMapping.{name}"
    if not isinstance(entry, Mapping):
        raise MappingError(f"{where}: an object with topic, source and target is expected")
    unknown = [key for key in entry if key not in ("topic", "source", "target", "targetTopicPrefix")]
    if unknown:
        raise MappingError(f"{where}.{unknown[0]}: unknown key")
    topic, prefix = entry.get("topic"), entry.get("targetTopicPrefix", "")
    if not isinstance(topic, str) or not is_filter(topic):
        raise MappingError(f"{where}.topic: an MQTT topic filter is expected")
    if not isinstance(prefix, str) or (prefix and not is_topic(prefix)):
        raise MappingError(f"{where}.targetTopicPrefix: a topic without wildcards is expected")
    for key in ("source", "target"):
        if entry.get(key) not in PLACES:
            raise MappingError(f"{where}.{key}: one of {', '.join(PLACES)} is expected")
    if entry["source"] == entry["target"]:
        raise MappingError(f"{where}: source and target are the same")
    return Route(topic, entry["source"], entry["target"], prefix)


class Bridge:
    """Carries messages along routes until cancelled. A broker that is None cannot be named by a route."""

    def __init__(
        self,
        routes: tuple[Route, ...],
        topics: LocalTopics,
        *,
        local_mqtt: IotCore | None = None,
        iot_core: IotCore | None = None,
    ) -> None:
        """Raises MappingError."""
        self._topics = topics
        self._brokers = {"LocalMqtt": local_mqtt, "IotCore": iot_core}
        one_broker = local_mqtt is not None and iot_core is not None and local_mqtt.place == iot_core.place
        self._routes = routes = tuple(route for route in routes if not (one_broker and _stays(route)))
        self._echoes = {route: _Echoes() for route in routes if route.source != "Pubsub"}
        for route in routes:
            for place in (route.source, route.target):
                if place in self._brokers and self._brokers[place] is None:
                    raise MappingError(f"mqttTopicMapping: {route.topic}: this runtime has no {place} broker")

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Local topics are listened to when it has started, brokers as soon as they answer."""
        local = [self._listen(route) for route in self._routes if route.source == "Pubsub"]
        try:
            async with anyio.create_task_group() as tasks:
                for route in self._routes:
                    if route.source != "Pubsub":
                        tasks.start_soon(self._subscribe, route, name=f"bridge {route.topic}")
                task_status.started()
                await anyio.sleep_forever()
        finally:
            for subscription in local:
                self._topics.unsubscribe(subscription)

    def _listen(self, route: Route) -> LocalSubscription:
        def receive(message: LocalMessage) -> None:
            self._forward(route, message.topic, message.payload)

        return self._topics.attach(route.topic, NAME, receive)

    async def _subscribe(self, route: Route) -> None:
        broker = self._brokers[route.source]
        assert broker is not None

        def receive(message: IotMessage) -> None:
            if not self._echoes[route].take(message.topic, message.payload, anyio.current_time()):
                self._forward(route, message.topic, message.payload)

        while True:
            try:
                subscription = await broker.subscribe(route.topic, 1, receive)
            except IotCoreUnavailable as error:
                log.warning("bridge: %s at %s: %s", route.topic, route.source, error)
                await anyio.sleep(RETRY_S)
                continue
            try:
                await anyio.sleep_forever()
            finally:
                subscription.end()

    def _forward(self, route: Route, topic: str, payload: bytes) -> None:
        topic = route.prefix + topic
        if route.target == "Pubsub":
            self._topics.publish(LocalMessage(topic, payload, False, NAME))
            return
        broker = self._brokers[route.target]
        assert broker is not None
        now_s = anyio.current_time()
        back = [echoes for one, echoes in self._echoes.items() if one.source == route.target and _carries(one, topic)]
        for echoes in back:
            echoes.expect(topic, payload, now_s)
        try:
            broker.publish(IotMessage(topic, payload, 1))
        except IotCoreUnavailable as error:
            log.warning("bridge: %s to %s is lost: %s", topic, route.target, error)
            for echoes in back:
                echoes.take(topic, payload, now_s)


def _carries(route: Route, topic: str) -> bool:
    return matches(levels(route.topic, LITE), levels(topic, LITE), LITE)


def _stays(route: Route) -> bool:
    """Where one broker is in both places, as on a developer's machine, a message is there already; carrying it would
    make it go round. Raises MappingError when it should get another name there, for that would never end either."""
    if {route.source, route.target} != {"LocalMqtt", "IotCore"}:
        return False
    if route.prefix:
        raise MappingError(
            f"mqttTopicMapping: {route.topic}: LocalMqtt and IotCore are one broker here, so targetTopicPrefix is no way"
        )
    log.info("bridge: %s: LocalMqtt and IotCore are one broker here, there is nothing to carry", route.topic)
    return True


class _Echoes:
    """What we sent to a broker at which we listen comes back once, and must not be carried again. MQTT 5 has a word for
    that (no local), but 3.1.1 brokers do not."""

    def __init__(self) -> None:
        self._expected: collections.OrderedDict[tuple[str, bytes], list[float]] = collections.OrderedDict()

    def expect(self, topic: str, payload: bytes, now_s: float) -> None:
        self._expected.setdefault((topic, payload), []).append(now_s)
        if len(self._expected) > ECHOES_LIMIT:
            self._expected.popitem(last=False)

    def take(self, topic: str, payload: bytes, now_s: float) -> bool:
        """True: it is one."""
        fresh = [at_s for at_s in self._expected.pop((topic, payload), ()) if now_s - at_s < ECHO_S]
        if len(fresh) > 1:
            self._expected[topic, payload] = fresh[1:]
        return bool(fresh)

"""What a component must be allowed on a core device: worked out from its topics and the transport of each side."""

from __future__ import annotations

import dataclasses
from typing import Any

from edgechess_cli.component_catalogue import OF_EVERY_COMPONENT, Room
from edgechess_kit.settings import TransportSettings
from edgechess_kit.topics import Topic, Topics
from edgechess_kit.transports import Transport, chosen
from edgechess_nucleus.authorization import MQTT_PROXY, NAMESPACE, PUBSUB, SHADOWS


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Right:
    """`operation` without its namespace."""

    service: str
    operation: str
    resource: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Way:
    """What a transport is called in policies."""

    service: str
    short: str
    publish: str
    subscribe: str
    where: str


_WAYS: dict[Transport, _Way] = {
    "pubsub": _Way(PUBSUB, "pubsub", "PublishToTopic", "SubscribeToTopic", "on the core"),
    "iot-core": _Way(MQTT_PROXY, "mqttproxy", "PublishToIoTCore", "SubscribeToIoTCore", "in the cloud"),
}
SHADOW_OPERATIONS = ("GetThingShadow", "UpdateThingShadow")
OPERATIONS: dict[str, tuple[str, ...]] = {
    **{way.service: (way.publish, way.subscribe) for way in _WAYS.values()},
    SHADOWS: (*SHADOW_OPERATIONS, "DeleteThingShadow", "ListNamedShadowsForThing"),
    "aws.greengrass.SecretManager": ("GetSecretValue",),
}
"""Of the services whose policies we know."""


def said(room: Room, topics: Topics) -> list[Topic[Any]]:
    return [getattr(topics, name) for name in (*room.says, *OF_EVERY_COMPONENT)]


def heard(room: Room, topics: Topics) -> list[Topic[Any]]:
    return [getattr(topics, name) for name in room.hears]


def probe(room: Room, topics: Topics) -> str:
    """Its own message must come back, or its subscriptions are lost (`edgechess_kit.greengrass_adapter.IpcBus`)."""
    return f"{topics.prefix}/edge/probe/{room.bus_name}"


def access_control(
    room: Room, component: str, topics: Topics, transport: TransportSettings | None = None, shadow: str = ""
) -> dict[str, dict[str, dict[str, Any]]]:
    """The recipe's `accessControl`. `shadow`: the resource of the shadow that it mirrors to; empty: none.

    Raises SettingsError for a transport that cannot be.
    """
    routes = chosen(transport or TransportSettings(), on_core=True)
    made: dict[str, dict[str, dict[str, Any]]] = {}
    for transport_name, way in _WAYS.items():
        says = [topic.name for topic in said(room, topics) if routes[topic.side] == transport_name]
        hears = [topic.name for topic in heard(room, topics) if routes[topic.side] == transport_name]
        own = [probe(room, topics)] if hears else []
        policies = {}
        if says or own:
            policies[f"{component}:{way.short}:publish"] = _policy(f"Says {way.where}.", [way.publish], says + own)
        if hears:
            policies[f"{component}:{way.short}:subscribe"] = _policy(
                f"Hears {way.where}.", [way.subscribe], hears + own
            )
        if policies:
            made[way.service] = policies
    if shadow:
        made[SHADOWS] = {f"{component}:shadow": _policy("Mirrors the request.", list(SHADOW_OPERATIONS), [shadow])}
    return made


def _policy(description: str, operations: list[str], resources: list[str]) -> dict[str, Any]:
    return {
        "policyDescription": description,
        "operations": [f"{NAMESPACE}{operation}" for operation in operations],
        "resources": resources,
    }


def rights_of(access: Any) -> set[Right]:
    """What an `accessControl` says, as it is written. What is no policy says nothing."""
    found: set[Right] = set()
    for service, policies in _items(access):
        for _, policy in _items(policies):
            operations, resources = ((policy.get(key) if isinstance(policy, dict) else None) for key in _LISTS)
            if isinstance(operations, list) and isinstance(resources, list):
                found |= {
                    Right(service, str(operation).removeprefix(NAMESPACE), str(resource))
                    for operation in operations
                    for resource in resources
                }
    return found


_LISTS = ("operations", "resources")


def _items(tree: Any) -> list[tuple[str, Any]]:
    return list(tree.items()) if isinstance(tree, dict) else []

"""Which transport carries which side, and the bus that comes of it.

On a Greengrass core the cloud is reached through the nucleus (IoT Core), everything else goes over its pub/sub;
anywhere else one MQTT broker carries all. `[transport]` says otherwise: arms and boards may be client devices of the
core's own broker, and a match without a cloud may keep the cloud's topics on the core.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from edgechess_kit.brokerless_bus import BrokerlessBus
from edgechess_kit.bus import Bus
from edgechess_kit.errors import SettingsError
from edgechess_kit.messages import EdgeStatus
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.routed_bus import RoutedBus
from edgechess_kit.settings import BusSettings, TransportSettings
from edgechess_kit.topics import Side, Topics

if TYPE_CHECKING:
    from edgechess_kit.greengrass_host import GreengrassHost

Transport: TypeAlias = Literal["mqtt", "pubsub", "iot-core"]


def chosen(settings: TransportSettings, *, on_core: bool) -> dict[Side, Transport]:
    """The transport of each side. Raises SettingsError for one that only a Greengrass core has."""
    usual: dict[Side, Transport] = {"cloud": "iot-core", "devices": "pubsub", "edge": "pubsub"}
    routes: dict[Side, Transport] = {}
    for side in get_args(Side):
        word: Literal["auto"] | Transport = getattr(settings, side)
        if word == "auto":
            routes[side] = usual[side] if on_core else "mqtt"
        elif word == "mqtt" or on_core:
            routes[side] = word
        else:
            raise SettingsError(f"transport.{side} = {word}: only a component under Greengrass can do that")
    return routes


@asynccontextmanager
async def open_bus(
    name: str,
    bus: BusSettings,
    transport: TransportSettings,
    topics: Topics,
    host: GreengrassHost | None,
) -> AsyncIterator[Bus]:
    """The bus of one component process. Raises SettingsError."""
    routes = chosen(transport, on_core=host is not None)
    async with AsyncExitStack() as stack:
        carriers: dict[Transport, Bus] = {}
        for carrier in dict.fromkeys(routes.values()):
            if carrier == "mqtt":
                will = _will(name) if routes["edge"] == "mqtt" else None
                link = await stack.enter_async_context(MqttBus(bus, _client_id(name, bus), will=will, topics=topics))
                carriers[carrier] = await _attended(stack, link, topics) if transport.bridged else link
            else:
                assert host is not None
                service = await stack.enter_async_context(host.service(carrier, f"{topics.prefix}/edge/probe/{name}"))
                carriers[carrier] = await _attended(stack, service, topics)
        if host is None:
            yield carriers["mqtt"]
        else:
            yield RoutedBus({side: carriers[carrier] for side, carrier in routes.items()}, host.observe)


async def _attended(stack: AsyncExitStack, bus: Bus, topics: Topics) -> Bus:
    return await stack.enter_async_context(BrokerlessBus(bus, topics.status))


def _client_id(name: str, settings: BusSettings) -> str:
    return settings.client_id or f"{settings.prefix}-{name}"


def _will(name: str) -> EdgeStatus:
    return EdgeStatus(component=name, status="lost", reason="the broker lost it")

"""One declared transport per message: each topic goes out once, on the transport of its side."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from edgechess_kit.bus import Bus
from edgechess_kit.errors import LinkLost, SettingsError
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.messages import ArmControl, EdgeStatus, GameResponse
from edgechess_kit.routed_bus import RoutedBus
from edgechess_kit.settings import TransportSettings
from edgechess_kit.topics import Side, Topic, Topics
from edgechess_kit.transports import chosen

pytestmark = pytest.mark.anyio

TOPICS = Topics()

CLOUD = {"robo-chess/cloud/request", "robo-chess/cloud/response"}


def every_topic() -> list[Topic[Any]]:
    return [value for value in vars(TOPICS).values() if isinstance(value, Topic)]


def test_every_topic_says_whose_it_is() -> None:
    sides = {topic.name: topic.side for topic in every_topic()}
    assert {name for name, side in sides.items() if side == "cloud"} == CLOUD
    assert {name for name, side in sides.items() if side == "devices"} == {
        name for name in sides if name.startswith("robo-chess/devices/")
    }
    assert sides["robo-chess/edge/session/state"] == "edge"
    assert sides["robo-chess/inference/request"] == "edge"


def test_the_usual_transports() -> None:
    auto = TransportSettings()
    assert chosen(auto, on_core=False) == {"cloud": "mqtt", "devices": "mqtt", "edge": "mqtt"}
    assert chosen(auto, on_core=True) == {"cloud": "iot-core", "devices": "pubsub", "edge": "pubsub"}
    bridge = TransportSettings(devices="mqtt", cloud="pubsub")
    assert chosen(bridge, on_core=True) == {"cloud": "pubsub", "devices": "mqtt", "edge": "pubsub"}


@pytest.mark.parametrize("settings", [TransportSettings(cloud="iot-core"), TransportSettings(edge="pubsub")])
def test_what_only_a_core_has_is_refused_elsewhere(settings: TransportSettings) -> None:
    with pytest.raises(SettingsError, match=r"transport\.(cloud|edge) = (iot-core|pubsub): only a component under"):
        chosen(settings, on_core=False)


class Net:
    """Three transports; `sent` by name of the transport."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.brokers = {name: MemoryBroker(TOPICS, self._observer(name)) for name in ("iot", "mqtt", "pubsub")}

    def _observer(self, name: str) -> Any:
        return lambda sender, topic, payload: self.sent.append((name, topic))

    def bus(self, name: str, observer: Any = None) -> RoutedBus:
        carriers = {transport: broker.client(name) for transport, broker in self.brokers.items()}
        self.carriers = carriers
        routes: dict[Side, Bus] = {
            "cloud": carriers["iot"], "devices": carriers["mqtt"], "edge": carriers["pubsub"]
        }  # fmt: skip
        return RoutedBus(routes, observer) if observer else RoutedBus(routes)


async def test_every_message_goes_out_once_on_its_own_transport() -> None:
    net = Net()
    bus = net.bus("a")
    await bus.publish(TOPICS.cloud_response, GameResponse(status=200))
    await bus.publish(TOPICS.arm_control, ArmControl(command="stop"))
    await bus.publish(TOPICS.status, EdgeStatus(component="a", status="ready"))
    assert net.sent == [
        ("iot", "robo-chess/cloud/response"),
        ("mqtt", "robo-chess/devices/arm/control"),
        ("pubsub", "robo-chess/edge/status"),
    ]


async def test_one_subscription_hears_all_of_them_and_nothing_of_another_transport() -> None:
    net = Net()
    a, b = net.bus("a"), net.bus("b")
    async with b.subscribe(TOPICS.cloud_response, TOPICS.arm_control, TOPICS.status) as heard:
        net.brokers["pubsub"].inject("stray", TOPICS.cloud_response.name, b'{"status":500}')  # a bridge gone wrong
        await a.publish(TOPICS.cloud_response, GameResponse(status=200))
        await a.publish(TOPICS.arm_control, ArmControl(command="park"))
        await a.publish(TOPICS.status, EdgeStatus(component="a", status="ready"))
        with anyio.fail_after(5):
            names = {(await anext(heard)).topic for _ in range(3)}
        assert names == {TOPICS.cloud_response.name, TOPICS.arm_control.name, TOPICS.status.name}
        with anyio.move_on_after(0.05) as scope:
            await anext(heard)
        assert scope.cancelled_caught
        assert heard.dropped == 0


async def test_the_order_within_a_transport_is_kept() -> None:
    net = Net()
    a, b = net.bus("a"), net.bus("b")
    async with b.subscribe(TOPICS.arm_control, TOPICS.status) as heard:
        for number in range(50):
            await a.publish(TOPICS.arm_control, ArmControl(command="stop", request_id=str(number)))
        got = [(await anext(heard)).decode(TOPICS.arm_control).request_id for _ in range(50)]
        assert got == [str(number) for number in range(50)]


async def test_a_closed_transport_ends_the_subscription_with_its_name() -> None:
    net = Net()
    bus = net.bus("a")
    async with bus.subscribe(TOPICS.arm_control, TOPICS.status) as heard:
        await net.carriers["mqtt"].aclose()
        with anyio.fail_after(5), pytest.raises(LinkLost):
            await anext(heard)


async def test_the_readers_own_error_is_not_wrapped() -> None:
    bus = Net().bus("a")
    with pytest.raises(KeyError):
        async with bus.subscribe(TOPICS.arm_control, TOPICS.status):
            raise KeyError


async def test_who_watches_sees_what_is_published() -> None:
    seen: list[Any] = []
    bus = Net().bus("a", seen.append)
    status = EdgeStatus(component="a", status="ready")
    await bus.publish(TOPICS.status, status)
    assert seen == [status]
    assert bus.connected

"""The MQTT bridge between brokers in memory, in virtual time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import trio.testing

from edgechess_nucleus.bridge import ECHO_S, RETRY_S, Bridge, MappingError, read_mapping
from edgechess_nucleus.flavour import JAVA, LITE
from edgechess_nucleus.iot_core import IotCoreUnavailable, IotMessage, IotSubscription, QoS, Receive
from edgechess_nucleus.pubsub import LocalMessage, LocalTopics
from edgechess_nucleus.topic_filter import levels, matches

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Any:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Broker:
    """Sends each message to all who match, the publisher too, as MQTT 3.1.1 does."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.away = False
        self.seen: list[IotMessage] = []
        self._receivers: list[tuple[str, Receive]] = []

    def publish(self, message: IotMessage) -> None:
        if self.away:
            raise IotCoreUnavailable("away")
        self.seen.append(message)
        for name, receive in list(self._receivers):
            if matches(levels(name, LITE), levels(message.topic, LITE), LITE):
                receive(message)

    async def subscribe(self, topic_filter: str, qos: QoS, receive: Receive) -> IotSubscription:
        if self.away:
            raise IotCoreUnavailable("away")
        entry, receivers = (topic_filter, receive), self._receivers
        receivers.append(entry)

        class Made:
            def end(self) -> None:
                if entry in receivers:
                    receivers.remove(entry)

        return Made()


class Table:
    """Both brokers, the local topics and a bridge between them."""

    def __init__(self, *entries: tuple[str, str, str], prefix: str = "") -> None:
        self.topics = LocalTopics(JAVA)
        self.local, self.cloud = Broker("one:1883"), Broker("two:1883")
        self.heard: list[LocalMessage] = []
        self.topics.subscribe("#", "component", self.heard.append, "RECEIVE_ALL_MESSAGES")
        tree = {
            str(number): {"topic": topic, "source": source, "target": target, "targetTopicPrefix": prefix}
            for number, (topic, source, target) in enumerate(entries)
        }
        self.bridge = Bridge(read_mapping(tree), self.topics, local_mqtt=self.local, iot_core=self.cloud)

    async def __aenter__(self) -> Table:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        await self._tasks.start(self.bridge.run)
        await anyio.wait_all_tasks_blocked()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(*error)


async def test_every_direction() -> None:
    async with Table(
        ("to/core", "LocalMqtt", "Pubsub"),
        ("to/device", "Pubsub", "LocalMqtt"),
        ("up/+", "Pubsub", "IotCore"),
        ("down/#", "IotCore", "Pubsub"),
        ("through", "LocalMqtt", "IotCore"),
    ) as table:
        table.local.publish(IotMessage("to/core", b"1"))
        table.local.publish(IotMessage("through", b"2"))
        table.local.publish(IotMessage("elsewhere", b"x"))
        table.cloud.publish(IotMessage("down/a/b", b"3"))
        table.topics.publish(LocalMessage("to/device", b'{"n":4}', True, "component"))
        table.topics.publish(LocalMessage("up/x", b"5", False, "component"))
        assert [(one.topic, one.payload, one.is_json) for one in table.heard if one.source != "component"] == [
            ("to/core", b"1", False),
            ("down/a/b", b"3", False),
        ]
        assert [(one.topic, one.payload) for one in table.local.seen][-1] == ("to/device", b'{"n":4}')
        assert [(one.topic, one.qos, one.retain) for one in table.cloud.seen] == [
            ("through", 1, False),
            ("down/a/b", 1, False),
            ("up/x", 1, False),
        ]


async def test_both_ways_do_not_go_round() -> None:
    async with Table(("t", "LocalMqtt", "Pubsub"), ("t", "Pubsub", "LocalMqtt")) as table:
        table.topics.publish(LocalMessage("t", b"same", False, "component"))
        assert len(table.local.seen) == 1
        table.local.publish(IotMessage("t", b"same"))  # a device says the same: that is no echo
        assert [one.source for one in table.heard] == ["component", "aws.greengrass.clientdevices.mqtt.Bridge"]


async def test_an_echo_that_never_came_is_forgotten() -> None:
    async with Table(("t", "LocalMqtt", "Pubsub"), ("t", "Pubsub", "LocalMqtt")) as table:
        table.local._receivers.clear()  # the broker forgot our subscription
        table.topics.publish(LocalMessage("t", b"same", False, "component"))
        await anyio.sleep(ECHO_S + 1.0)
        echoes = next(iter(table.bridge._echoes.values()))
        assert not echoes.take("t", b"same", anyio.current_time())


async def test_two_routes_of_one_topic_each_swallow_their_own_echo() -> None:
    async with Table(
        ("t/#", "LocalMqtt", "Pubsub"), ("t/+", "LocalMqtt", "IotCore"), ("t/a", "Pubsub", "LocalMqtt")
    ) as table:
        table.topics.publish(LocalMessage("t/a", b"x", False, "component"))
        assert len(table.local.seen) == 1
        assert table.cloud.seen == []
        assert len(table.heard) == 1


async def test_a_prefix() -> None:
    async with Table(("t", "LocalMqtt", "IotCore"), prefix="site/") as table:
        table.local.publish(IotMessage("t", b"x"))
        assert [one.topic for one in table.cloud.seen] == ["site/t"]


async def test_a_broker_that_is_away_loses_messages_and_is_asked_again() -> None:
    table = Table(("down", "IotCore", "Pubsub"), ("up", "Pubsub", "IotCore"))
    table.cloud.away = True
    async with table:
        table.topics.publish(LocalMessage("up", b"lost", False, "component"))
        table.cloud.away = False
        await anyio.sleep(RETRY_S + 0.1)
        table.cloud.publish(IotMessage("down", b"x"))
        assert [one.topic for one in table.heard if one.source != "component"] == ["down"]


async def test_nothing_is_left_when_it_ends() -> None:
    table = Table(("down", "IotCore", "Pubsub"), ("up", "Pubsub", "IotCore"))
    async with table:
        pass
    assert table.cloud._receivers == []
    table.topics.publish(LocalMessage("up", b"x", False, "component"))
    assert table.cloud.seen == []


async def test_one_broker_in_both_places() -> None:
    entry = {"topic": "t", "source": "LocalMqtt", "target": "IotCore"}
    one = Broker("here:1883")
    other = Broker("here:1883")
    made = Bridge(read_mapping({"a": entry}), LocalTopics(JAVA), local_mqtt=one, iot_core=other)
    assert made._routes == ()
    with pytest.raises(MappingError, match="one broker here"):
        Bridge(
            read_mapping({"a": entry | {"targetTopicPrefix": "x/"}}), LocalTopics(JAVA), local_mqtt=one, iot_core=other
        )


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ([], "mqttTopicMapping: an object"),
        ({"a": 1}, "mqttTopicMapping.a: an object"),
        (
            {"a": {"topic": "t", "source": "LocalMqtt", "target": "Cloud"}},
            "a.target: one of LocalMqtt, Pubsub, IotCore",
        ),
        ({"a": {"topic": "t", "source": "Pubsub", "target": "Pubsub"}}, "are the same"),
        ({"a": {"topic": "t/#/x", "source": "Pubsub", "target": "IotCore"}}, "a.topic"),
        ({"a": {"topic": "t", "source": "Pubsub", "target": "IotCore", "Topic": "x"}}, "a.Topic: unknown key"),
        ({"a": {"topic": "t", "source": "Pubsub", "target": "IotCore", "targetTopicPrefix": "#"}}, "targetTopicPrefix"),
    ],
)
def test_mappings_that_cannot_be_followed(tree: Any, said: str) -> None:
    with pytest.raises(MappingError, match=said):
        read_mapping(tree)


def test_a_route_needs_its_broker() -> None:
    routes = read_mapping({"a": {"topic": "t", "source": "LocalMqtt", "target": "Pubsub"}})
    with pytest.raises(MappingError, match="no LocalMqtt broker"):
        Bridge(routes, LocalTopics(JAVA))

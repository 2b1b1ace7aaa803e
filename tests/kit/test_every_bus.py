"""One suite for every bus: in memory, through mosquitto, through the embedded broker. The last two are real processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import anyio
import anyio.abc
import pytest

from edgechess_kit.broker import BrokerKind, find_embedded, find_mosquitto, running_broker
from edgechess_kit.bus import QUEUE_LIMIT, Bus, Subscription
from edgechess_kit.errors import WireError
from edgechess_kit.memory_bus import MemoryBroker, MemoryBus
from edgechess_kit.messages import BoardState, EdgeEvent, EdgeStatus
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics

pytestmark = pytest.mark.anyio

PATIENCE_S = 20.0  # far above what any step needs: only a hang takes this long
TOPICS = Topics()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Net(Protocol):
    """A broker that can go away and come back, and clients of it."""

    async def client(self, name: str, *, queue_limit: int = QUEUE_LIMIT) -> Bus: ...
    async def cut(self) -> None: ...
    async def mend(self) -> None: ...
    async def kill_a_client(self, name: str) -> None:
        """A client with a last will says "ready" and dies without a word."""


class MemoryNet:
    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.clients: list[MemoryBus] = []

    async def client(self, name: str, *, queue_limit: int = QUEUE_LIMIT) -> Bus:
        self.clients.append(self.broker.client(name, queue_limit=queue_limit))
        return self.clients[-1]

    async def cut(self) -> None:
        for client in self.clients:
            await client.drop()

    async def mend(self) -> None:
        for client in self.clients:
            await client.reconnect()

    async def kill_a_client(self, name: str) -> None:
        client = self.broker.client(name, EdgeStatus(component=name, status="lost"))
        await client.publish(TOPICS.status, EdgeStatus(component=name, status="ready"))
        await client.drop()


VICTIM = """
import sys, anyio
from edgechess_kit.messages import EdgeStatus
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics
async def main(url, name):
    async with MqttBus(BusSettings(broker=url), name, will=EdgeStatus(component=name, status="lost")) as bus:
        await bus.publish(Topics().status, EdgeStatus(component=name, status="ready"))
        print("ready", flush=True)
        await anyio.sleep_forever()
anyio.run(main, *sys.argv[1:])
"""


class MqttNet:
    def __init__(self, kind: BrokerKind, stack: AsyncExitStack) -> None:
        self.kind = kind
        self.stack = stack
        self.url = ""
        self.process = AsyncExitStack()

    async def client(self, name: str, *, queue_limit: int = QUEUE_LIMIT) -> Bus:
        bus = MqttBus(BusSettings(broker=self.url), name, queue_limit=queue_limit)
        return await self.stack.enter_async_context(bus)

    async def cut(self) -> None:
        await self.process.aclose()

    async def mend(self) -> None:
        port = int(self.url.rpartition(":")[2]) if self.url else None
        self.url = await self.process.enter_async_context(running_broker(port, self.kind))

    async def kill_a_client(self, name: str) -> None:
        victim = await anyio.open_process([sys.executable, "-c", VICTIM, self.url, name], stderr=None)
        try:
            assert victim.stdout is not None
            assert (await victim.stdout.receive()).strip() == b"ready"
            os.kill(victim.pid, signal.SIGKILL)
        finally:
            await victim.aclose()


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[Net]:
    if kind == "memory":
        yield MemoryNet()
        return
    async with AsyncExitStack() as stack:
        net = MqttNet("mosquitto" if kind == "mosquitto" else "embedded", stack)
        stack.push_async_callback(net.cut)
        await net.mend()
        yield net


@pytest.fixture(
    params=[
        "memory",
        pytest.param(
            "mosquitto",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed"),
            ],
        ),
        pytest.param(
            "embedded",
            marks=[pytest.mark.slow, pytest.mark.skipif(not find_embedded(), reason="amqtt is not installed")],
        ),
    ]
)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def event(number: int) -> EdgeEvent:
    return EdgeEvent(component="a", kind="k", seq=number, at=0.0)


def state(number: int) -> BoardState:
    return BoardState(connected=True, seq=number)


async def gone(bus: Bus) -> None:
    while bus.connected:  # noqa: ASYNC110  (the port tells a state, not an event)
        await anyio.sleep(0.005)


async def next_state(subscription: Subscription, seq: int) -> bool:
    """Reads until that state comes; whether it was a retained one. At least once is the contract: others may come."""
    async for delivery in subscription:
        if delivery.decode(TOPICS.board_state).seq == seq:
            return delivery.retained
    raise AssertionError


async def test_messages_arrive_in_order_and_whole(kind: str) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(kind) as net:
            a, b = await net.client("a"), await net.client("b")
            async with b.subscribe(TOPICS.events, TOPICS.board_state) as subscription:
                for number in range(50):
                    await a.publish(TOPICS.events, event(number))
                big = EdgeEvent(component="a", kind="k", seq=50, at=0.0, data={"x": "ü" * 3400})
                await a.publish(TOPICS.events, big)
                got = [(await anext(subscription)).decode(TOPICS.events) for _ in range(51)]
                assert [message.seq for message in got] == list(range(51))
                assert got[50] == big
                assert subscription.dropped == 0
            with pytest.raises(WireError):
                await a.publish(
                    TOPICS.events, EdgeEvent(component="a", kind="k", seq=1, at=0.0, data={"x": "x" * 7000})
                )


async def test_many_publish_at_once(kind: str) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(kind) as net:
            a, b = await net.client("a"), await net.client("b")
            await a.publish(
                TOPICS.status, EdgeStatus(component="a", status="ready")
            )  # fewer than 200 may wait for a link
            async with b.subscribe(TOPICS.events) as subscription, anyio.create_task_group() as group:
                for number in range(200):
                    group.start_soon(a.publish, TOPICS.events, event(number))
                got = {(await anext(subscription)).decode(TOPICS.events).seq for _ in range(200)}
            assert got == set(range(200))


async def test_the_last_retained_message_waits_for_a_late_subscriber(kind: str) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(kind) as net:
            a, b = await net.client("a"), await net.client("b")
            await a.publish(TOPICS.board_state, state(1))
            await a.publish(TOPICS.board_state, state(2))
            async with b.subscribe(TOPICS.board_state) as first:
                delivery = await anext(first)
                assert (delivery.decode(TOPICS.board_state).seq, delivery.retained) == (2, True)
                async with b.subscribe(TOPICS.events, TOPICS.board_state) as second:
                    assert await next_state(second, 2)
                    await a.publish(TOPICS.board_state, state(3))
                    assert not await next_state(second, 3)
                    await next_state(first, 3)
                await a.publish(TOPICS.board_state, state(4))
                await next_state(first, 4)  # the inner subscription's end did not end the outer one


async def test_a_left_topic_brings_nothing_more(kind: str) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(kind) as net:
            a, b = await net.client("a"), await net.client("b")
            async with b.subscribe(TOPICS.events):
                pass
            await a.publish(TOPICS.events, event(1))
            async with b.subscribe(TOPICS.events) as subscription:
                await a.publish(TOPICS.events, event(2))
                assert (await anext(subscription)).decode(TOPICS.events).seq == 2


async def test_a_full_queue_drops_the_oldest(kind: str) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(kind) as net:
            a, b = await net.client("a"), await net.client("b", queue_limit=5)
            async with b.subscribe(TOPICS.events) as subscription, b.subscribe(TOPICS.status) as marker:
                for number in range(20):
                    await a.publish(TOPICS.events, event(number))
                await a.publish(TOPICS.status, EdgeStatus(component="a", status="ready"))
                await anext(marker)
                assert subscription.dropped == 15
                assert [(await anext(subscription)).decode(TOPICS.events).seq for _ in range(5)] == [15, 16, 17, 18, 19]


async def test_the_will_of_a_killed_client_fires(kind: str) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(kind) as net:
            watch = await net.client("watch")
            async with watch.subscribe(TOPICS.status) as subscription:
                await net.kill_a_client("victim")
                said = [(await anext(subscription)).decode(TOPICS.status) for _ in range(2)]
                assert [(status.component, status.status) for status in said] == [
                    ("victim", "ready"),
                    ("victim", "lost"),
                ]


async def test_a_client_that_leaves_politely_has_no_will() -> None:
    """Real brokers only: the memory bus has its own test."""
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with anyio.fail_after(PATIENCE_S):
        async with opened("mosquitto") as net:
            assert isinstance(net, MqttNet)
            watch = await net.client("watch")
            async with watch.subscribe(TOPICS.status) as subscription:
                will = EdgeStatus(component="polite", status="lost")
                async with MqttBus(BusSettings(broker=net.url), "polite", will=will) as polite:
                    await polite.publish(TOPICS.status, EdgeStatus(component="polite", status="stopped"))
                await watch.publish(TOPICS.status, EdgeStatus(component="watch", status="ready"))
                said = [(await anext(subscription)).decode(TOPICS.status).component for _ in range(2)]
                assert said == ["polite", "watch"]


async def test_after_a_restart_of_the_broker_everything_goes_on(kind: str) -> None:
    """Subscriptions are renewed, and what a caller was waiting to publish is published."""
    with anyio.fail_after(PATIENCE_S):
        async with opened(kind) as net:
            a, b = await net.client("a"), await net.client("b")
            async with b.subscribe(TOPICS.board_state, TOPICS.events) as subscription:
                await a.publish(TOPICS.events, event(1))
                assert (await anext(subscription)).decode(TOPICS.events).seq == 1
                await net.cut()
                await gone(a)
                await gone(b)
                published = anyio.Event()

                async def publish_while_down(bus: Bus, done: anyio.Event) -> None:
                    await bus.publish(TOPICS.board_state, state(2))
                    done.set()

                async with anyio.create_task_group() as group:
                    group.start_soon(publish_while_down, a, published)
                    await anyio.sleep(0.05)
                    assert not published.is_set()
                    await net.mend()
                    await next_state(subscription, 2)
                    await published.wait()
                await a.publish(TOPICS.events, event(3))
                async for delivery in subscription:
                    if delivery.topic == TOPICS.events.name:
                        assert delivery.decode(TOPICS.events).seq == 3
                        break


async def test_subscribing_and_publishing_wait_for_a_broker_that_comes_later(kind: str) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(kind) as net:
            a = await net.client("a")
            await a.publish(TOPICS.status, EdgeStatus(component="a", status="ready"))
            await net.cut()
            await gone(a)
            heard = anyio.Event()

            async def listen() -> None:
                async with a.subscribe(TOPICS.board_state) as subscription:
                    await next_state(subscription, 7)
                    heard.set()

            async with anyio.create_task_group() as group:
                group.start_soon(listen)
                group.start_soon(a.publish, TOPICS.board_state, state(7))
                await anyio.sleep(0.05)
                await net.mend()
                await heard.wait()


async def test_it_is_a_bus(kind: str) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(kind) as net:
            assert isinstance(await net.client("a"), Bus)

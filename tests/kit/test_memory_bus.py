"""The memory bus behaves as a broker does, under asyncio and under virtual time."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_kit.bus import WAITERS_LIMIT, Bus
from edgechess_kit.errors import LinkLost, WireError
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.messages import BoardState, EdgeEvent, EdgeStatus

pytestmark = pytest.mark.anyio


def status(at: float) -> EdgeStatus:
    return EdgeStatus(component="a", status="ready", at=at)


async def test_it_is_a_bus(broker: MemoryBroker) -> None:
    assert isinstance(broker.client("a"), Bus)


async def test_everybody_gets_everything_in_order_the_publisher_too(broker: MemoryBroker) -> None:
    topics = broker.topics
    a, b = broker.client("a"), broker.client("b")
    async with a.subscribe(topics.status) as own, b.subscribe(topics.status, topics.events, topics.status) as both:
        for number in range(3):
            await a.publish(topics.status, status(number))
            await b.publish(topics.events, EdgeEvent(component="b", kind="k", seq=number, at=0.0))
        assert [(await anext(own)).decode(topics.status).at for _ in range(3)] == [0, 1, 2]
        assert [(await anext(both)).topic.rpartition("/")[2] for _ in range(6)] == ["status", "events"] * 3


async def test_a_late_subscriber_gets_the_last_retained_message(broker: MemoryBroker) -> None:
    topics = broker.topics
    a, b = broker.client("a"), broker.client("b")
    for seq in (1, 2):
        await a.publish(topics.board_state, BoardState(connected=True, seq=seq))
    await a.publish(topics.status, status(1))
    async with b.subscribe(topics.board_state, topics.status) as subscription:
        delivery = await anext(subscription)
        assert (delivery.retained, delivery.decode(topics.board_state).seq) == (True, 2)
        with anyio.move_on_after(0.01) as scope:
            await anext(subscription)
        assert scope.cancelled_caught
        await a.publish(topics.board_state, BoardState(connected=True, seq=3))
        assert not (await anext(subscription)).retained
    retained = broker.retained(topics.board_state)
    assert retained is not None
    assert retained.seq == 3


async def test_a_full_queue_drops_the_oldest_and_counts(broker: MemoryBroker) -> None:
    topics = broker.topics
    a, b = broker.client("a"), broker.client("b", queue_limit=3)
    async with b.subscribe(topics.status) as subscription:
        for number in range(10):
            await a.publish(topics.status, status(number))
        assert subscription.dropped == 7
        assert [(await anext(subscription)).decode(topics.status).at for _ in range(3)] == [7, 8, 9]


async def test_a_cancelled_wait_loses_nothing(broker: MemoryBroker) -> None:
    topics = broker.topics
    a = broker.client("a")
    async with a.subscribe(topics.status) as subscription:
        with anyio.move_on_after(0.01):
            await anext(subscription)
        await a.publish(topics.status, status(1))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anext(subscription)
        assert (await anext(subscription)).decode(topics.status).at == 1


async def test_an_oversized_message_is_our_own_fault(broker: MemoryBroker) -> None:
    with pytest.raises(WireError):
        await broker.client("a").publish(
            broker.topics.events, EdgeEvent(component="a", kind="k", seq=1, at=0.0, data={"x": "x" * 7000})
        )


async def test_a_dropped_link_fires_the_will_and_a_reconnect_renews_subscriptions(broker: MemoryBroker) -> None:
    topics = broker.topics
    a, b = broker.client("a", EdgeStatus(component="a", status="lost")), broker.client("b")
    async with (
        b.subscribe(topics.status) as watch,
        a.subscribe(topics.board_state, topics.events) as mine,
        anyio.create_task_group() as group,
    ):
        await a.drop()
        await a.drop()
        assert [a.connected, b.connected] == [False, True]
        assert (await anext(watch)).decode(topics.status).status == "lost"
        await b.publish(topics.board_state, BoardState(connected=True, seq=1))
        await b.publish(topics.events, EdgeEvent(component="b", kind="missed", seq=1, at=0.0))
        group.start_soon(a.publish, topics.status, status(5))
        await anyio.sleep(0.01)
        await a.reconnect()
        assert a.connected
        assert (await anext(watch)).decode(topics.status).at == 5
        delivery = await anext(mine)
        assert (delivery.topic, delivery.retained) == (topics.board_state.name, True)
        await b.publish(topics.events, EdgeEvent(component="b", kind="heard", seq=2, at=0.0))
        assert (await anext(mine)).decode(topics.events).kind == "heard"


async def test_only_so_many_wait_for_a_link(broker: MemoryBroker) -> None:
    a = broker.client("a")
    await a.drop()
    async with anyio.create_task_group() as group:
        for number in range(WAITERS_LIMIT):
            group.start_soon(a.publish, broker.topics.status, status(number))
        await anyio.sleep(0.01)
        with pytest.raises(LinkLost, match="100 callers"):
            await a.publish(broker.topics.status, status(-1))
        group.cancel_scope.cancel()


async def test_a_newer_client_of_the_same_name_throws_the_older_out(broker: MemoryBroker) -> None:
    topics = broker.topics
    watch = broker.client("watch")
    async with watch.subscribe(topics.status) as seen:
        old = broker.client("a", EdgeStatus(component="a", status="lost"))
        new = broker.client("a")
        assert (old.connected, new.connected) == (False, True)
        assert (await anext(seen)).decode(topics.status).status == "lost"
        await new.publish(topics.status, status(1))
        assert (await anext(seen)).decode(topics.status).at == 1


async def test_a_closed_bus_has_no_will_and_ends_every_wait(broker: MemoryBroker) -> None:
    topics = broker.topics
    a, b = broker.client("a", EdgeStatus(component="a", status="lost")), broker.client("b")
    async with b.subscribe(topics.status) as watch, a.subscribe(topics.status) as mine:
        await a.publish(topics.status, status(1))
        await a.aclose()
        assert (await anext(mine)).decode(topics.status).at == 1
        with pytest.raises(LinkLost):
            await anext(mine)
        with pytest.raises(LinkLost):
            await a.publish(topics.status, status(2))
        assert (await anext(watch)).decode(topics.status).at == 1
        with anyio.move_on_after(0.01) as scope:
            await anext(watch)
        assert scope.cancelled_caught


async def test_the_observer_sees_all_of_it_and_foreign_bytes_pass() -> None:
    seen: list[tuple[str, str, bytes]] = []
    broker = MemoryBroker(observer=lambda *what: seen.append(what))
    a = broker.client("a", EdgeStatus(component="a", status="lost"))
    async with a.subscribe(broker.topics.status) as mine:
        broker.inject("stranger", broker.topics.status.name, b"{")
        with pytest.raises(WireError):
            (await anext(mine)).decode(broker.topics.status)
    await a.drop()
    assert seen == [
        ("stranger", "robo-chess/edge/status", b"{"),
        ("a", "robo-chess/edge/status", b'{"component":"a","status":"lost"}'),
    ]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.sampled_from(["publish", "drop", "reconnect", "read"]), max_size=25))
def test_a_subscriber_gets_what_was_published_while_its_link_was_up(backend: str, steps: list[str]) -> None:
    """Against a model: a list of what must come, where a reconnect adds the retained message once more."""

    async def run() -> None:
        broker = MemoryBroker()
        topic = broker.topics.board_state
        a, b = broker.client("a"), broker.client("b")
        expected: list[int] = []
        last, up = 0, True
        async with b.subscribe(topic) as subscription:
            for number, step in enumerate(steps, start=1):
                if step == "publish":
                    await a.publish(topic, BoardState(connected=True, seq=number))
                    last = number
                    if up:
                        expected.append(number)
                elif step == "drop":
                    await b.drop()
                    up = False
                elif step == "reconnect":
                    if not up and last:
                        expected.append(last)
                    await b.reconnect()
                    up = True
                elif expected:
                    assert (await anext(subscription)).decode(topic).seq == expected.pop(0)
            for seq in expected:
                assert (await anext(subscription)).decode(topic).seq == seq

    anyio.run(run, backend=backend)

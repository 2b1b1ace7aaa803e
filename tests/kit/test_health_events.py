"""Health and the event stream: heard while all is well, never in the way when it is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import anyio
import pytest

from edgechess_kit.bus import Subscription
from edgechess_kit.component import Context
from edgechess_kit.errors import JournalError
from edgechess_kit.events import announce, journal_event, record
from edgechess_kit.health import FAREWELL_S, HEALTH_PERIOD_S, Health
from edgechess_kit.host import NoHost, Status
from edgechess_kit.journal import Draft
from edgechess_kit.memory_bus import MemoryBroker, MemoryBus
from edgechess_kit.messages import EdgeEvent, EdgeStatus
from edgechess_kit.outbox import LAG_S, Outbox

pytestmark = pytest.mark.anyio

Make = Callable[..., Context[None]]


@pytest.fixture
def anyio_backend() -> object:
    import trio.testing

    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


async def drain(broker: MemoryBroker, subscription: Subscription) -> list[EdgeStatus | EdgeEvent]:
    got: list[EdgeStatus | EdgeEvent] = []
    with anyio.move_on_after(0.001):
        async for delivery in subscription:
            topics = broker.topics
            status = delivery.topic == topics.status.name
            got.append(delivery.decode(topics.status) if status else delivery.decode(topics.events))
    return got


async def test_the_pulse(broker: MemoryBroker, make_context: Make) -> None:
    context = make_context()
    async with broker.client("watch").subscribe(broker.topics.status) as seen:
        async with Health(context, version="1.2") as health:
            await anyio.sleep(0.1)
            await health.set("ready")
            await health.set("ready")
            assert health.status == "ready"
            await anyio.sleep(2 * HEALTH_PERIOD_S + 0.1)
            await health.set("degraded", "no board")
            await anyio.sleep(0.1)
        said = [status for status in await drain(broker, seen) if isinstance(status, EdgeStatus)]
    assert [(status.status, status.reason) for status in said] == [
        ("starting", None),
        ("ready", None),
        ("ready", None),
        ("ready", None),
        ("degraded", "no board"),
        ("stopped", None),
    ]
    assert {(status.component, status.version, status.pid) for status in said} == {("game-manager", "1.2", None)}
    assert said[3].at - said[2].at == pytest.approx(HEALTH_PERIOD_S)


async def test_an_entry_is_durable_and_then_announced(broker: MemoryBroker, make_context: Make) -> None:
    context = make_context()
    async with broker.client("watch").subscribe(broker.topics.events) as seen, Health(context):
        entry = await journal_event(context, "confirmed", {"lan": "e2e4"}, session_id="s", key="t")
        assert context.journal.entries() == [entry]
        record(context, "more", {})
        announce(context, context.journal.append_all([Draft("last", {"n": 1})])[0])
        got = await drain(broker, seen)
    assert got == [
        EdgeEvent(component="game-manager", kind="confirmed", seq=1, at=entry.at, session_id="s", data={"lan": "e2e4"}),
        EdgeEvent(component="game-manager", kind="more", seq=2, at=entry.at),
        EdgeEvent(component="game-manager", kind="last", seq=3, at=entry.at, data={"n": 1}),
    ]


async def test_what_is_ordered_goes_out_before_it_is_told(broker: MemoryBroker, make_context: Make) -> None:
    context = make_context()
    async with broker.client("watch").subscribe(broker.topics.events) as seen, Health(context):
        await anyio.sleep(0.1)
        record(context, "received", {})
        await anyio.sleep(LAG_S / 2)
        assert await drain(broker, seen) == []
        await anyio.sleep(LAG_S)
        assert len(await drain(broker, seen)) == 1


async def test_a_broken_bus_holds_nobody_up_and_the_events_come_later(broker: MemoryBroker, make_context: Make) -> None:
    context = make_context()
    assert isinstance(context.bus, MemoryBus)
    async with broker.client("watch").subscribe(broker.topics.events) as seen:
        async with Health(context) as health:
            await context.bus.drop()
            started_s = anyio.current_time()
            for number in range(5):
                await journal_event(context, "step", {"n": number})
                await health.set("degraded", f"{number}")
            assert anyio.current_time() == started_s
            assert await drain(broker, seen) == []
            await context.bus.reconnect()
            await anyio.sleep(LAG_S)
            got = await drain(broker, seen)
            assert [event.data["n"] for event in got if isinstance(event, EdgeEvent)] == [0, 1, 2, 3, 4]
            await context.bus.drop()
            stopping_s = anyio.current_time()
        assert anyio.current_time() - stopping_s < FAREWELL_S


async def test_an_act_that_happened_is_journalled_even_when_its_task_is_cancelled(make_context: Make) -> None:
    context = make_context()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await journal_event(context, "moved", {})
    assert [entry.kind for entry in context.journal.entries()] == ["moved"]


async def test_without_a_journal_nothing_is_announced(make_context: Make) -> None:
    context = make_context()
    context.journal.close()
    with pytest.raises(JournalError):
        await journal_event(context, "moved", {})
    assert len(context.outbox) == 0


async def test_an_event_too_large_for_the_bus_says_so(broker: MemoryBroker, make_context: Make) -> None:
    context = make_context()
    async with broker.client("watch").subscribe(broker.topics.events) as seen, Health(context):
        await journal_event(context, "big", {"x": "x" * 8000})
        await journal_event(context, "small", {})
        got = await drain(broker, seen)
    assert [(event.kind, event.data) for event in got if isinstance(event, EdgeEvent)] == [
        ("big", {"omitted": "too large"}),
        ("small", {}),
    ]


async def test_a_full_outbox_drops_the_oldest(broker: MemoryBroker) -> None:
    outbox = Outbox(limit=3)
    for number in range(5):
        outbox.put(EdgeEvent(component="c", kind="k", seq=number, at=0.0))
    assert (len(outbox), outbox.dropped) == (3, 2)
    async with broker.client("watch").subscribe(broker.topics.events) as seen:
        await outbox.flush(broker.client("a"), broker.topics)
        assert [event.seq for event in await drain(broker, seen) if isinstance(event, EdgeEvent)] == [2, 3, 4]


async def test_the_components_own_error_is_not_wrapped_and_is_told(broker: MemoryBroker, make_context: Make) -> None:
    context = make_context()
    async with broker.client("watch").subscribe(broker.topics.status) as seen:
        with pytest.raises(KeyError):
            async with Health(context):
                raise KeyError("board")
        assert [status.reason for status in await drain(broker, seen) if isinstance(status, EdgeStatus)] == [
            "failed: 'board'"
        ]


async def test_a_cancelled_component_says_goodbye(broker: MemoryBroker, make_context: Make) -> None:
    context = make_context()
    async with broker.client("watch").subscribe(broker.topics.status, broker.topics.events) as seen:
        with anyio.CancelScope() as scope:
            async with Health(context):
                await anyio.sleep(0.1)
                record(context, "parked", {})
                scope.cancel()
        got = await drain(broker, seen)
    assert isinstance(got[-2], EdgeEvent)
    assert isinstance(got[-1], EdgeStatus)
    assert got[-1].status == "stopped"


async def test_a_closed_bus_does_not_end_the_component(make_context: Make) -> None:
    context = make_context()
    assert isinstance(context.bus, MemoryBus)
    async with Health(context):
        await context.bus.aclose()
        record(context, "x", {})
        await anyio.sleep(3 * HEALTH_PERIOD_S)


async def test_one_that_is_ready_is_degraded_while_its_host_tells_of_trouble(
    broker: MemoryBroker, make_context: Make
) -> None:
    told: list[Status] = []

    class Host(NoHost):
        trouble: str | None = "the nucleus is away"

        def heard(self, status: Status) -> None:
            told.append(status)

    host = Host()
    context = dataclasses.replace(make_context("a"), host=host)
    async with broker.client("watch").subscribe(broker.topics.status) as seen, Health(context) as health:
        await health.set("ready")
        said = [(await anext(seen)).decode(broker.topics.status) for _ in range(1)]
        while said[-1].status == "starting":
            said.append((await anext(seen)).decode(broker.topics.status))
        assert (said[-1].status, said[-1].reason) == ("degraded", "the nucleus is away")
        host.trouble = None
        while said[-1].status == "degraded":
            said.append((await anext(seen)).decode(broker.topics.status))
        assert (said[-1].status, said[-1].reason) == ("ready", None)
    assert told == ["ready"]

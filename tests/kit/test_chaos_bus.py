"""The chaos bus: the same weather for the same seed, nothing lost, nothing invented."""

from __future__ import annotations

import random
from collections import Counter

import anyio
import pytest

from edgechess_kit.bus import Bus
from edgechess_kit.chaos_bus import Chaos, ChaosBus
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.messages import EdgeEvent

pytestmark = pytest.mark.anyio


async def heard(broker: MemoryBroker, chaos: Chaos, seed: int, count: int = 200) -> list[tuple[int, float]]:
    """(number, seconds it was late) of each delivery, in order, of messages published 10 ms apart."""
    topic = broker.topics.events
    publisher, listener = broker.client("a"), ChaosBus(broker.client("b"), chaos, random.Random(seed))
    assert isinstance(listener, Bus)
    assert listener.connected
    started_s = anyio.current_time()
    got: list[tuple[int, float]] = []

    async def publish() -> None:
        for number in range(count):
            await publisher.publish(topic, EdgeEvent(component="a", kind="k", seq=number, at=0.0))
            await anyio.sleep(0.01)

    async with listener.subscribe(topic) as subscription, anyio.create_task_group() as group:
        group.start_soon(publish)
        with anyio.move_on_after(count * 0.01 + chaos.delay_max_s + 1.0):
            async for delivery in subscription:
                seq = delivery.decode(topic).seq
                got.append((seq, anyio.current_time() - started_s - seq * 0.01))
        assert subscription.dropped == 0
    return got


@pytest.fixture
def anyio_backend() -> object:
    import trio.testing

    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


async def test_calm_weather_changes_nothing(broker: MemoryBroker) -> None:
    got = await heard(broker, Chaos(), seed=1)
    assert [number for number, _ in got] == list(range(200))
    assert max(late for _, late in got) < 1e-6


async def test_duplicates_come_and_nothing_is_lost(broker: MemoryBroker) -> None:
    got = Counter(number for number, _ in await heard(broker, Chaos(duplicate=0.3), seed=2))
    assert sorted(got) == list(range(200))
    assert set(got.values()) == {1, 2}
    assert 30 < sum(count == 2 for count in got.values()) < 90


async def test_late_ones_are_overtaken_within_the_limit(broker: MemoryBroker) -> None:
    got = await heard(broker, Chaos(delay=0.2, delay_max_s=0.5), seed=3)
    numbers = [number for number, _ in got]
    assert sorted(numbers) == list(range(200))
    assert numbers != sorted(numbers)
    late = [seconds for _, seconds in got if seconds > 1e-6]
    assert 15 < len(late) < 70
    assert max(late) <= 0.5 + 1e-6


async def test_the_same_seed_is_the_same_weather() -> None:
    chaos = Chaos(duplicate=0.2, delay=0.2, delay_max_s=1.0)
    runs = [await heard(MemoryBroker(), chaos, seed=4) for _ in range(2)]
    numbers = [[number for number, _ in run] for run in runs]
    assert numbers[0] == numbers[1]
    assert [late for _, late in runs[0]] == pytest.approx([late for _, late in runs[1]], abs=1e-6)
    assert numbers[0] != [number for number, _ in await heard(MemoryBroker(), chaos, seed=5)]


async def test_publishing_passes_through(broker: MemoryBroker) -> None:
    inner = broker.client("a")
    bus = ChaosBus(inner, Chaos(duplicate=1.0, delay=1.0), random.Random(1))
    async with broker.client("b").subscribe(broker.topics.events) as subscription:
        await bus.publish(broker.topics.events, EdgeEvent(component="a", kind="k", seq=1, at=0.0))
        assert (await anext(subscription)).decode(broker.topics.events).seq == 1
    await inner.drop()
    assert not bus.connected

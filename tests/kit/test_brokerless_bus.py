"""Retained messages and last wills without a broker that has them; in virtual time under trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
import trio.testing

from edgechess_kit.brokerless_bus import LOST_AFTER_S, REPEAT_S, BrokerlessBus
from edgechess_kit.errors import WireError
from edgechess_kit.memory_bus import MemoryBroker, MemoryBus
from edgechess_kit.messages import ArmControl, BoardState, EdgeEvent, EdgeStatus
from edgechess_kit.topics import Topic, Topics

pytestmark = pytest.mark.anyio

TOPICS = Topics()


@pytest.fixture
def anyio_backend() -> Any:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Forgetful(MemoryBroker):
    """Keeps no retained message, as pub/sub. `sent`: every payload, in order."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        super().__init__(TOPICS, lambda sender, name, payload: self.sent.append((name, payload)))

    def _replay(self, mailbox: Any, names: tuple[str, ...]) -> None:
        return


@pytest.fixture
def pubsub() -> Forgetful:
    return Forgetful()


@pytest.fixture
async def owner(pubsub: Forgetful) -> AsyncIterator[BrokerlessBus]:
    async with BrokerlessBus(pubsub.client("owner"), TOPICS.status) as bus:
        yield bus


@pytest.fixture
async def reader(pubsub: Forgetful) -> AsyncIterator[BrokerlessBus]:
    async with BrokerlessBus(pubsub.client("reader"), TOPICS.status) as bus:
        yield bus


def state(seq: int) -> BoardState:
    return BoardState(connected=True, seq=seq)


async def test_a_late_subscriber_is_told_within_the_period(owner: BrokerlessBus, reader: BrokerlessBus) -> None:
    await owner.publish(TOPICS.board_state, state(1))
    await owner.publish(TOPICS.board_state, state(2))
    async with reader.subscribe(TOPICS.board_state) as heard:
        with anyio.fail_after(REPEAT_S * 1.3):
            assert (await anext(heard)).decode(TOPICS.board_state).seq == 2


async def test_nobody_is_told_the_same_twice(owner: BrokerlessBus, reader: BrokerlessBus) -> None:
    async with reader.subscribe(TOPICS.board_state) as heard:
        await owner.publish(TOPICS.board_state, state(1))
        assert (await anext(heard)).decode(TOPICS.board_state).seq == 1
        with anyio.move_on_after(10 * REPEAT_S) as scope:
            await anext(heard)
        assert scope.cancelled_caught
        await owner.publish(TOPICS.board_state, state(2))
        await owner.publish(TOPICS.board_state, state(1))
        assert [(await anext(heard)).decode(TOPICS.board_state).seq for _ in range(2)] == [2, 1]


async def test_only_what_is_retained_is_said_again(owner: BrokerlessBus, pubsub: Forgetful) -> None:
    stop = ArmControl(command="stop")
    await owner.publish(TOPICS.arm_control, stop)
    await owner.publish(TOPICS.board_state, state(1))
    await anyio.sleep(3 * REPEAT_S)
    names = [name for name, _ in pubsub.sent]
    assert names.count(TOPICS.arm_control.name) == 1
    assert names.count(TOPICS.board_state.name) in (3, 4)


async def test_what_is_said_often_anyway_is_not_repeated(owner: BrokerlessBus, pubsub: Forgetful) -> None:
    for seq in range(10):
        await owner.publish(TOPICS.board_state, state(seq))
        await anyio.sleep(2.0)
    assert len(pubsub.sent) == 10


class Slow(MemoryBus):
    """The first message takes long; the later ones do not."""

    delay_s = 5.0

    async def publish(self, topic: Topic[Any], message: Any) -> None:
        delay_s, self.delay_s = self.delay_s, 0.0
        await anyio.sleep(delay_s)
        await super().publish(topic, message)


async def test_a_repetition_never_overtakes_what_is_newer(pubsub: Forgetful) -> None:
    slow = Slow(pubsub, "slow", None, 10)
    slow.delay_s = 0.0
    async with BrokerlessBus(slow, TOPICS.status) as bus:
        await bus.publish(TOPICS.board_state, state(1))
        slow.delay_s = 5.0  # the repetition will hang, and meanwhile there is something new
        await anyio.sleep(REPEAT_S + 1.0)
        await bus.publish(TOPICS.board_state, state(2))
    said = [TOPICS.board_state.decode(payload).seq for _, payload in pubsub.sent]
    assert said == sorted(said)
    assert said[-1] == 2


async def test_what_is_too_large_is_refused_and_not_kept(owner: BrokerlessBus, pubsub: Forgetful) -> None:
    with pytest.raises(WireError):
        await owner.publish(TOPICS.board_state, BoardState(connected=True, reason="x" * 8000))
    await anyio.sleep(3 * REPEAT_S)
    assert pubsub.sent == []


async def test_a_component_that_falls_silent_is_lost(owner: BrokerlessBus, reader: BrokerlessBus) -> None:
    async with reader.subscribe(TOPICS.status, TOPICS.events) as heard:
        for _ in range(4):
            await owner.publish(TOPICS.status, EdgeStatus(component="arms", status="ready"))
            await owner.publish(TOPICS.events, EdgeEvent(component="arms", kind="k", seq=1, at=0.0))
            await anyio.sleep(2.0)
            assert (await anext(heard)).decode(TOPICS.status).status == "ready"
            await anext(heard)
        began_s = anyio.current_time()
        lost = (await anext(heard)).decode(TOPICS.status)
        assert (lost.component, lost.status) == ("arms", "lost")
        assert LOST_AFTER_S - 2.5 < anyio.current_time() - began_s < LOST_AFTER_S + 0.5
        with anyio.move_on_after(60) as scope:
            await anext(heard)
        assert scope.cancelled_caught, "it is said once"


async def test_one_that_stopped_is_not_lost(owner: BrokerlessBus, reader: BrokerlessBus) -> None:
    async with reader.subscribe(TOPICS.status) as heard:
        for status in ("ready", "stopped"):
            await owner.publish(TOPICS.status, EdgeStatus(component="arms", status=status))  # type: ignore[arg-type]
            await anext(heard)
        with anyio.move_on_after(60) as scope:
            await anext(heard)
        assert scope.cancelled_caught


async def test_a_reader_that_was_away_itself_calls_nobody_lost(owner: BrokerlessBus, reader: BrokerlessBus) -> None:
    async with reader.subscribe(TOPICS.status) as heard:
        await owner.publish(TOPICS.status, EdgeStatus(component="arms", status="ready"))
        await anext(heard)
        for _ in range(10):
            await anyio.sleep(2.0)
            await owner.publish(TOPICS.status, EdgeStatus(component="arms", status="ready"))
        said = [(await anext(heard)).decode(TOPICS.status).status for _ in range(10)]
        assert said == ["ready"] * 10

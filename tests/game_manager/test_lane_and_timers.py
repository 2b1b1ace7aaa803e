from __future__ import annotations

import anyio
import pytest

from edgechess_game_manager.lane import Lane
from edgechess_game_manager.timers import Fired, Timers
from edgechess_kit import messages as m
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.topics import Topics

pytestmark = pytest.mark.anyio


def answer(token: str) -> m.GameResponse:
    return m.GameResponse(status=200, task_token=token)


async def sent_after_an_outage(limit: int, tokens: str) -> list[str | None]:
    """What a lane publishes, in order, that was filled while the link was down."""
    topics = Topics()
    seen: list[str | None] = []

    def observe(_: str, name: str, payload: bytes) -> None:
        if name == topics.cloud_response.name:
            seen.append(topics.cloud_response.decode(payload).task_token)

    bus = MemoryBroker(topics, observe).client("manager")
    lane = Lane(bus, limit)
    async with anyio.create_task_group() as group:
        group.start_soon(lane.run)
        await bus.drop()
        for token in tokens:
            lane.put(topics.cloud_response, answer(token))
            await anyio.sleep(0.01)
        await bus.reconnect()
        await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    return seen


async def test_a_lane_keeps_the_order_and_drops_what_waits_already() -> None:
    assert await sent_after_an_outage(10, "abcbcc") == ["a", "b", "c"]


async def test_a_full_lane_drops_the_oldest() -> None:
    assert await sent_after_an_outage(2, "abcd") == ["a", "c", "d"]  # a was on its way already


async def test_of_a_state_only_the_newest_matters() -> None:
    assert await sent_after_an_outage(1, "abcd") == ["a", "d"]


async def test_the_newest_timer_of_a_name_counts() -> None:
    fired: list[tuple[float, Fired]] = []

    async def fire(item: Fired) -> None:
        fired.append((anyio.current_time(), item))

    async with anyio.create_task_group() as group:
        timers = Timers(group, fire)
        begun = anyio.current_time()
        timers.start("board", 5.0)
        timers.start("arm", 1.0)
        timers.start("board", 2.0)
        timers.start("person", 3.0)
        timers.cancel("person")
        await anyio.sleep(10.0)
        assert [(at - begun, item.name) for at, item in fired] == [(1.0, "arm"), (2.0, "board")]
        board = fired[1][1]
        assert timers.due(board)
        assert not timers.due(board)
        timers.start("board", 0.0)
        await anyio.sleep(1.0)
        timers.start("board", 5.0)  # replaced between its end and its turn
        assert not timers.due(fired[2][1])
        timers.cancel_all()

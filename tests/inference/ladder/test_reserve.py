"""Few engines for many questions: who is answered by the model needs none. Virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import chess
import pytest
import trio.testing
from anyio.abc import TaskGroup

from edgechess_inference.ladder.player import Ladder, LadderPlayer
from edgechess_inference.ladder.reserve import EngineReserve
from edgechess_inference.ladder.voice import Rung, Said
from edgechess_inference.player import Answer, PlayerOptions, Question, Seat

pytestmark = pytest.mark.anyio

QUESTION = Question(chess.STARTING_FEN, (), 10.0)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


class Engine:
    """Needs a second for an answer."""

    word = "engine"
    seat: Seat = "answers"

    def __init__(self) -> None:
        self.searches = 0

    async def choose(self, question: Question) -> Answer:
        self.searches += 1
        await anyio.sleep(1.0)
        return Answer("e2e4", by="engine")

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def reserve_of(engine: Engine) -> AsyncIterator[EngineReserve]:
    async with anyio.create_task_group() as tasks:
        yield reserve_in(tasks, engine)
        tasks.cancel_scope.cancel()


def reserve_in(tasks: TaskGroup, engine: Engine) -> EngineReserve:
    async def opened(_rest: str, _options: PlayerOptions) -> Engine:
        return engine

    return EngineReserve(opened, "", PlayerOptions(inline=True), tasks)


class Voice:
    name = "quick"

    def __init__(self) -> None:
        self.says = "e4"

    async def say(self, rung: Rung) -> Said:
        await anyio.sleep(0.1)
        return Said(self.says)

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()


async def test_questions_wait_for_the_engine_and_then_the_small_one_answers() -> None:
    engine = Engine()
    async with reserve_of(engine) as reserve:
        asked = [reserve.begin(QUESTION) for _ in range(5)]
        for reserved in asked:
            await reserved.ready.wait()
    by = sorted(reserved.answer.by for reserved in asked if reserved.answer)
    assert by == ["builtin"] * 2 + ["engine"] * 3


async def test_a_question_that_nobody_asks_any_more_costs_no_search_and_holds_nobody_up() -> None:
    engine = Engine()
    async with reserve_of(engine) as reserve:
        first = reserve.begin(QUESTION)
        await anyio.sleep(0.5)
        others = [reserve.begin(QUESTION) for _ in range(20)]
        await anyio.lowlevel.checkpoint()
        for reserved in others:
            reserved.drop()
        last = reserve.begin(QUESTION)
        began = anyio.current_time()
        await last.ready.wait()
        assert anyio.current_time() - began == pytest.approx(1.5), "what is left of the first, and its own"
        await first.ready.wait()
        for reserved in others:
            await reserved.ready.wait()
            assert reserved.answer is None
            assert reserved.failure
    assert engine.searches == 2


async def test_a_search_that_is_under_way_ends_by_itself() -> None:
    """To stop one costs more than to let it end: the engine would have to be started anew."""
    engine = Engine()
    async with reserve_of(engine) as reserve:
        under_way = reserve.begin(QUESTION)
        await anyio.sleep(0.5)
        under_way.drop()
        again = reserve.begin(QUESTION)
        await again.ready.wait()
        assert under_way.answer is not None
        assert again.answer is not None
    assert engine.searches == 2


async def test_the_engine_begins_when_the_model_is_late_or_has_failed() -> None:
    engine = Engine()
    async with reserve_of(engine) as reserve:
        began = anyio.current_time()
        late = reserve.begin(QUESTION, after_s=100.0)
        await late.ready.wait()
        assert anyio.current_time() - began == pytest.approx(1.5), "a twentieth of the question's time, and its own"
        assert late.took_s == pytest.approx(1.0)
        failed = reserve.begin(QUESTION, after_s=0.4)
        failed.hurry()
        await failed.ready.wait()
        assert anyio.current_time() - began == pytest.approx(2.5)
        dropped = reserve.begin(QUESTION, after_s=0.4)
        await anyio.sleep(0.2)
        dropped.drop()
        await dropped.ready.wait()
        assert dropped.answer is None
    assert engine.searches == 2


async def test_a_player_whose_model_answers_leaves_the_engine_to_others() -> None:
    engine, voice = Engine(), Voice()
    async with anyio.create_task_group() as tasks:
        reserve = reserve_in(tasks, engine)
        player = LadderPlayer("model:x", Ladder(voice, reserve, 1, tasks, owned=False))
        for _ in range(100):
            assert (await player.choose(QUESTION)).by == "quick"
        await anyio.sleep(QUESTION.timeout_s)
        assert engine.searches == 1, "the first one: how long the model takes was not known"
        voice.says, began = "Ke9", anyio.current_time()
        answer = await player.choose(QUESTION)
        assert answer.by == "engine"
        assert anyio.current_time() - began == pytest.approx(1.1), "begun when the model had failed"
        tasks.cancel_scope.cancel()

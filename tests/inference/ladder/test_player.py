"""A ladder player with scripted voices: always a legal move, always in time, and an account of it. Virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import chess
import pytest
import trio.testing

from edgechess_inference.errors import PlayerFailed
from edgechess_inference.ladder.options import LadderOptions, seat_on_ladder
from edgechess_inference.ladder.player import LadderPlayer
from edgechess_inference.ladder.voice import Rung, Said, VoiceFailed
from edgechess_inference.player import PlayerOptions, Question

pytestmark = pytest.mark.anyio

QUESTION = Question(chess.STARTING_FEN, (), 10.0)
BUILTIN = LadderOptions(engine="builtin")

Script = Callable[[Rung], Awaitable[Said]]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


class Voice:
    name = "scripted"

    def __init__(self, script: Script) -> None:
        self.script = script
        self.rungs: list[Rung] = []
        self.closed = False

    async def say(self, rung: Rung) -> Said:
        self.rungs.append(rung)
        return await self.script(rung)

    async def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def seated(script: Script, options: LadderOptions = BUILTIN) -> AsyncIterator[tuple[LadderPlayer, Voice]]:
    voice = Voice(script)
    async with anyio.create_task_group() as tasks:
        player = await seat_on_ladder("model:x", voice, options, PlayerOptions(inline=True, tasks=tasks))
        yield player, voice
        await player.close()
        assert voice.closed
        tasks.cancel_scope.cancel()


async def test_a_good_answer_is_played_with_its_reason() -> None:
    async def say(rung: Rung) -> Said:
        await anyio.sleep(0.5)
        return Said("<move>e4</move><reason>centre</reason>", weights="ab")

    async with seated(say) as (player, _):
        answer = await player.choose(QUESTION)
    assert (answer.uci, answer.by, answer.reason) == ("e2e4", "scripted", "centre")
    assert answer.account is not None
    assert (answer.account.weights, answer.account.took_s) == ("ab", 0.5)


async def test_a_model_that_never_ends_costs_no_more_than_the_questions_time() -> None:
    async def say(rung: Rung) -> Said:
        with anyio.CancelScope(shield=True):  # as a thread that computes: it does not hear that it is cancelled
            await anyio.sleep(300)
        return Said("e4")

    async with seated(say) as (player, voice):
        began = anyio.current_time()
        answer = await player.choose(QUESTION)
        assert anyio.current_time() - began <= QUESTION.timeout_s
        assert answer.account is not None
        assert answer.account.fallback
        assert [attempt.failure for attempt in answer.account.failures] == ["late"]
        second = await player.choose(QUESTION)
        assert second.account is not None
        assert len(voice.rungs) == 2
        third = await player.choose(Question(chess.STARTING_FEN, (), 5.0))
        assert third.account is not None
        assert third.account.skipped is not None
        assert third.account.failures == ()
        assert len(voice.rungs) == 2
        assert anyio.current_time() - began <= 25.0


async def test_a_slow_day_is_forgotten_after_as_many_questions_as_it_had() -> None:
    slow = [True]

    async def say(rung: Rung) -> Said:
        await anyio.sleep(100 if slow[0] else 0.1)
        return Said("e4")

    async with seated(say) as (player, _):
        await player.choose(QUESTION)
        slow[0] = False
        short = Question(chess.STARTING_FEN, (), 5.0)
        accounts = [(await player.choose(short)).account for _ in range(2)]
    assert [account.fallback for account in accounts if account] == [True, False]


async def test_attempts_are_told_what_went_wrong() -> None:
    async def say(rung: Rung) -> Said:
        return Said(["Ke9", "e4 or d4", "<move>d4</move>"][rung.number - 1])

    async with seated(say) as (player, voice):
        answer = await player.choose(QUESTION)
    assert answer.uci == "d2d4"
    assert [len(rung.failures) for rung in voice.rungs] == [0, 1, 2]
    assert [failure.failure for failure in voice.rungs[2].failures] == ["illegal", "ambiguous"]


async def test_a_voice_that_fails_for_good_leaves_the_move_to_the_engine() -> None:
    async def say(rung: Rung) -> Said:
        raise VoiceFailed("refused", "no such model", again=False)

    async with seated(say) as (player, voice):
        answer = await player.choose(QUESTION)
    assert answer.by == "builtin"
    assert len(voice.rungs) == 1
    assert chess.Move.from_uci(answer.uci or "") in chess.Board().legal_moves


async def test_where_the_game_is_over_nobody_is_asked() -> None:
    async def say(rung: Rung) -> Said:
        raise AssertionError

    mate = Question(chess.STARTING_FEN, ("f2f3", "e7e5", "g2g4", "d8h4"), 10.0)
    async with seated(say) as (player, voice):
        with pytest.raises(PlayerFailed, match="over"):
            await player.choose(mate)
    assert voice.rungs == []


async def test_many_tables_at_once_are_all_answered_in_time() -> None:
    async def say(rung: Rung) -> Said:
        await anyio.sleep_forever()
        raise AssertionError

    answers: list[Any] = []

    async with seated(say) as (player, _):

        async def table() -> None:
            answers.append(await player.choose(QUESTION))

        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(table)
        assert anyio.current_time() - began <= QUESTION.timeout_s
    assert len(answers) == 20
    assert all(answer.account.fallback for answer in answers)


async def test_without_a_task_group_it_cannot_be_opened() -> None:
    with pytest.raises(PlayerFailed, match="task group"):
        await seat_on_ladder("model:x", Voice(lambda rung: anyio.sleep_forever()), BUILTIN, PlayerOptions(inline=True))  # type: ignore[arg-type]

"""Engines as child processes: faithful ones, dead ones, slow ones, lying ones. None is ever left behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import chess
import pytest

from edgechess_inference import engine_adapter
from edgechess_inference.errors import PlayerFailed, PlayerWordError
from edgechess_inference.player import PlayerOptions, Question
from edgechess_inference.registry import open_player
from edgechess_inference.stockfish import EnginePlayer

pytestmark = pytest.mark.anyio

START = Question(chess.STARTING_FEN, (), 5.0)
IN_A_HURRY = Question(chess.STARTING_FEN, (), 0.3)
Scripted = Callable[[str], Path]


async def open_engine(word: str = "stockfish", **options: Any) -> EnginePlayer:
    player = await open_player(word, PlayerOptions(**options))
    assert isinstance(player, EnginePlayer)
    return player


async def gone(pid: int | None) -> None:
    """Returns once the process has ended and was reaped; fails after five seconds."""
    assert pid is not None
    with anyio.fail_after(5):
        while os.path.exists(f"/proc/{pid}"):  # noqa: ASYNC110, ASYNC240 - a process of the kernel raises no event
            await anyio.sleep(0.01)


@pytest.fixture(params=[False, True], ids=["threaded", "inline"])
def inline(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_an_engine_answers_and_leaves_no_process(scripted: Scripted, inline: bool) -> None:
    scripted("")
    player = await open_engine("stockfish:nodes=10", inline=inline)
    pid = player.pid
    answer = await player.choose(START)
    assert (answer.uci, answer.by) == ("e2e4", "Scripted 1")
    await player.close()
    await gone(pid)
    await player.close()


async def test_in_virtual_time_the_seed_draws_among_lines_that_are_about_as_good(scripted: Scripted) -> None:
    scripted("many lines")
    seen = set()
    for seed in range(8):
        player = await open_engine("stockfish:nodes=10", inline=True, seed=seed)
        seen.add((await player.choose(START)).uci)
        await player.close()
    assert seen == {"e2e4", "d2d4"}


async def test_the_range_of_elo_is_the_engines_own(scripted: Scripted) -> None:
    scripted("")
    with pytest.raises(PlayerWordError, match="elo=1200 is out of range; Scripted 1 takes 1234 to 2345"):
        await open_engine("stockfish:elo=1200")
    with pytest.raises(PlayerWordError, match="Scripted 1 has no Skill Level, so level cannot be set"):
        await open_engine("stockfish:level=3")


@pytest.mark.parametrize("fault", ["dies", "illegal", "null", "none", "rubbish"])
async def test_an_engine_that_dies_or_lies_fails_and_is_started_again(
    scripted: Scripted, fault: str, inline: bool
) -> None:
    starts = scripted(fault)
    player = await open_engine("stockfish:nodes=10", inline=inline)
    pid = player.pid
    for _ in range(2):
        with pytest.raises(PlayerFailed):
            await player.choose(START)
    assert starts.read_text() == "2"
    await gone(pid)
    await player.close()


@pytest.mark.parametrize("fault", ["dies once", "hangs once"])
async def test_asking_again_is_safe(scripted: Scripted, fault: str) -> None:
    starts = scripted(fault)
    player = await open_engine("stockfish:nodes=10")
    pid = player.pid
    with pytest.raises(PlayerFailed):
        await player.choose(IN_A_HURRY)
    assert (await player.choose(START)).uci == "e2e4"
    assert starts.read_text() == "2"
    await gone(pid)
    pid = player.pid
    await player.close()
    await gone(pid)


async def test_an_engine_that_hangs_is_killed_at_the_deadline(scripted: Scripted) -> None:
    scripted("hangs")
    player = await open_engine("stockfish:nodes=10")
    pid = player.pid
    with pytest.raises(PlayerFailed, match=r"within 0\.3 s"):
        await player.choose(IN_A_HURRY)
    await gone(pid)
    assert player.pid is None


async def test_an_engine_that_hangs_is_killed_when_nobody_wants_its_answer_any_more(scripted: Scripted) -> None:
    scripted("hangs")
    player = await open_engine("stockfish:nodes=10")
    pid = player.pid
    with anyio.move_on_after(0.1):
        await player.choose(START)
    await player.close()
    await gone(pid)


async def test_an_engine_that_does_not_leave_is_killed(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, inline: bool
) -> None:
    monkeypatch.setattr(engine_adapter, "QUIT_TIMEOUT_S", 0.1)
    scripted("stays")
    player = await open_engine("stockfish:nodes=10", inline=inline)
    pid = player.pid
    await player.close()
    await gone(pid)


@pytest.mark.parametrize("fault", ["mute", "garbage"])
async def test_what_is_no_engine_does_not_start(
    scripted: Scripted, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_adapter, "START_TIMEOUT_S", 0.3)
    scripted(fault)
    with pytest.raises(PlayerFailed, match="engine does not start"):
        await open_engine()


async def test_without_stockfish_the_small_engine_plays_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGECHESS_STOCKFISH", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("edgechess_inference.stockfish.USUAL_PLACES", ())
    player = await open_player("stockfish:elo=1350", PlayerOptions(inline=True))
    answer = await player.choose(START)
    assert answer.uci is not None
    assert answer.by == "builtin"
    assert "Stockfish is not installed" in str(answer.reason)


# ---------------------------------------------------------------- the real one


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_stockfish_mates_in_one(real_stockfish: str) -> None:
    player = await open_engine("stockfish:nodes=5000")
    question = Question("6k1/5ppp/8/8/8/8/8/R3K3 w - - 0 1", (), 10.0)
    answer = await player.choose(question)
    assert answer.uci == "a1a8"
    assert answer.by.startswith("Stockfish")
    pid = player.pid
    await player.close()
    await gone(pid)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_stockfish_names_its_own_range(real_stockfish: str) -> None:
    with pytest.raises(PlayerWordError, match=r"elo=100 is out of range; Stockfish .* takes \d+ to \d+"):
        await open_engine("stockfish:elo=100")


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.parametrize("word", ["stockfish", "stockfish:level=3", "stockfish:nodes=1500"])
async def test_in_virtual_time_the_same_seed_gives_the_same_game_whatever_was_asked_before(
    real_stockfish: str, word: str
) -> None:
    async def game(seed: int, first: tuple[str, ...] = ()) -> list[str]:
        player = await open_engine(word, seed=seed, inline=True)
        try:
            moves = list(first)
            while len(moves) < 14:
                answer = await player.choose(Question(chess.STARTING_FEN, tuple(moves), 1.0))
                moves.append(str(answer.uci))
        finally:
            await player.close()
        return moves

    whole = await game(1)
    assert await game(1) == whole
    assert await game(1, tuple(whole[:5])) == whole
    assert len({tuple(await game(seed)) for seed in (1, 2, 3)}) > 1

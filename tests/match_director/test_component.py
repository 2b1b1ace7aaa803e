"""The director on the memory bus, in virtual time, against a scripted game manager."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import chess
import chess.pgn
import pytest

from edgechess_match_director.settings import Settings

pytestmark = pytest.mark.anyio


def settings(**changes: Any) -> Settings:
    usual: dict[str, Any] = {
        "autostart": True,
        "exit_when_done": True,
        "white": "random",
        "black": "random",
        "session_id": "s1",
        "inline": True,
    }
    return Settings(**(usual | changes))


async def played(table: Any, settings: Settings, **ports: Any) -> None:
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.manager.serve)
        with anyio.fail_after(100_000):
            await table.play(settings, **ports)
        tasks.cancel_scope.cancel()


async def test_a_random_game_goes_to_its_natural_end(table: Any, tmp_path: Path) -> None:
    path = tmp_path / "out" / "game.pgn"
    await played(table, settings(seed=7, pgn_path=str(path)))
    summary = table.summary
    assert list(summary) == [
        "result", "termination", "plies", "confirmed", "repaired", "helped", "final_fen", "seconds",
    ]  # fmt: skip
    with path.open() as file:
        game = chess.pgn.read_game(file)
    assert game is not None
    assert not game.errors
    assert game.headers["Result"] == summary["result"]
    assert game.end().board().fen() == summary["final_fen"]
    assert summary["plies"] == summary["confirmed"] == game.end().ply() == len(table.manager.moves)
    assert game.next().comment == "[%emt 0:00:00.0] board 0.4 s, arm 9.8 s, board 0.6 s"
    assert summary["seconds"] == pytest.approx(0.5 * summary["plies"])

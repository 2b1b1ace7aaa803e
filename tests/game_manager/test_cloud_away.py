"""IoT Core is away, and where nothing spools (nucleus lite) an answer waits: board and arms must not wait with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import chess
import pytest

from edgechess_kit import messages as m
from edgechess_kit.memory_bus import MemoryBus
from edgechess_kit.topics import Topics

pytestmark = pytest.mark.anyio


async def test_a_move_is_finished_while_an_answer_cannot_go_out(
    rig: Callable[..., Any],
    start: Callable[..., m.GameRequest],
    move: Callable[..., m.GameRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    back, publish = anyio.Event(), MemoryBus.publish

    async def unless_away(bus: MemoryBus, topic: Any, message: Any) -> None:
        if topic.name == Topics().cloud_response.name:
            await back.wait()
        await publish(bus, topic, message)

    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        monkeypatch.setattr(MemoryBus, "publish", unless_away)
        await r.cloud.send(move(chess.STARTING_FEN, "e2e4", "t-1"))
        await r.cloud.send(move(chess.STARTING_FEN, "d2d4", "t-2"))  # refused at once, and nobody can be told
        await anyio.sleep(30)
        assert r.state.fen.startswith("rnbqkbnr/pppppppp/8/8/4P3/8"), "confirmed, though nobody knows"
        assert len(r.cloud.answers) == 1
        back.set()
        await anyio.sleep(1)
        told = {answer.task_token: answer.status for answer in r.cloud.answers[1:]}
        assert told == {"t-1": 200, "t-2": 400}

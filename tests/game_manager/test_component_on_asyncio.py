"""The same component on asyncio, as in production; the table answers at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chess
import pytest

from edgechess_kit import messages as m

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_short_game(
    rig: Callable[..., Any], start: Callable[..., m.GameRequest], move: Callable[..., m.GameRequest]
) -> None:
    async with rig() as r:
        r.table.arm_takes_s = r.table.board_takes_s = 0.0
        assert (await r.cloud.ask(start("t-start"), 5.0)).status == 200
        board = chess.Board()
        for lan in ("f2f3", "e7e5", "g2g4", "d8h4"):
            assert (await r.cloud.ask(move(board.fen(), lan, f"t-{lan}"), 5.0)).status == 200
            board.push_uci(lan)
        assert r.cloud.answers[-1].detail.termination == "checkmate"
        assert r.table.placement == board.board_fen()

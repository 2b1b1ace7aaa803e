"""A text model by plan: in one position of three it finds a move at once, in one at the second try, in one never."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.lowlevel
import chess
from planned_model import PlannedModel


class ClumsyModel(PlannedModel):
    """What it does depends on the fifty-move clock and on whether it is asked again."""

    name = "clumsy"

    async def answer(self, board: chess.Board, prompt: str) -> str:
        await anyio.lowlevel.checkpoint()
        tries_needed = (1, 2, 99)[board.halfmove_clock % 3]
        if tries_needed == 99 or (tries_needed == 2 and "be used" not in prompt):
            return "<move>Ke9</move>"
        return f"<move>{board.san(min(board.legal_moves, key=chess.Move.uci))}</move>"


@asynccontextmanager
async def open_model(options: Any, adapters: Any) -> AsyncIterator[ClumsyModel]:
    yield ClumsyModel()

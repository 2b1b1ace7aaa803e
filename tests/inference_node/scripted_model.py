"""A model that misbehaves by plan: what it answers depends on the number of the move and of the attempt alone."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import chess
from planned_model import PlannedModel

from edgechess_inference.move_model import ModelUnavailable

PLAN = ("good", "illegal first", "prose", "nothing", "late", "json", "away", "never legal", "two moves first", "uci")


def plan_of(board: chess.Board) -> str:
    return PLAN[(2 * board.fullmove_number - (1 if board.turn else 0) - 1) % len(PLAN)]


def good_move(board: chess.Board) -> chess.Move:
    draw = random.Random(board.fen())
    return draw.choice(sorted(board.legal_moves, key=chess.Move.uci))


class ScriptedModel(PlannedModel):
    """The prompt says which attempt it is: the first, a further one, or the last with the list of legal moves."""

    name = "scripted"

    async def answer(self, board: chess.Board, prompt: str) -> str:
        first, last = "be used" not in prompt, "The legal moves are" in prompt
        san = board.san(good_move(board))
        await anyio.sleep(0.05)
        match plan_of(board):
            case "good":
                return f"<move>{san}</move><reason>It looks nice.</reason>"
            case "illegal first":
                return "<move>Ke9</move>" if first else f"<move>{san}</move>"
            case "prose":
                return "This position calls for patience and a plan."
            case "nothing":
                return f"<move>{san}</move>" if last else ""
            case "late":
                await anyio.sleep_forever()
            case "json":
                return f'```json\n{{"move": "{san}", "reason": "as JSON"}}\n```'
            case "away":
                raise ModelUnavailable("scripted: nobody is at home")
            case "never legal":
                return (
                    "<move>a1a8</move>" if chess.Move.from_uci("a1a8") not in board.legal_moves else "<move>Zz9</move>"
                )
            case "two moves first":
                moves = sorted(board.legal_moves, key=chess.Move.uci)
                return f"{board.san(moves[0])} or {board.san(moves[-1])}" if first and len(moves) > 1 else san
        return good_move(board).uci()


@asynccontextmanager
async def open_model(options: Any, adapters: Any) -> AsyncIterator[ScriptedModel]:
    yield ScriptedModel()

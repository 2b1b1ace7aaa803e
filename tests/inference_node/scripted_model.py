"""A model that misbehaves by plan: what it answers depends on the number of the move and of the attempt alone."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import chess

from edgechess_inference.move_model import (
    Completion,
    Description,
    Memory,
    ModelUnavailable,
    PositionRequest,
    PromptRequest,
    Ranking,
)

PLAN = ("good", "illegal first", "prose", "nothing", "late", "json", "away", "never legal", "two moves first", "uci")
FEN = re.compile(r"FEN\)?: (.+)")


def plan_of(board: chess.Board) -> str:
    return PLAN[(2 * board.fullmove_number - (1 if board.turn else 0) - 1) % len(PLAN)]


def good_move(board: chess.Board) -> chess.Move:
    draw = random.Random(board.fen())
    return draw.choice(sorted(board.legal_moves, key=chess.Move.uci))


class ScriptedModel:
    """The prompt says which attempt it is: the first, a further one, or the last with the list of legal moves."""

    def __init__(self, loaded: anyio.Event) -> None:
        self._loaded = loaded

    def describe(self) -> Description:
        return Description("scripted", "text", "none", "none", "script", "cpu", "0" * 64, 1, None, None, {})

    def memory(self) -> Memory:
        return Memory(0, 0)

    async def rank(self, requests: Sequence[PositionRequest]) -> list[Ranking]:
        raise NotImplementedError

    async def ready(self) -> None:
        return

    async def close(self) -> None:
        return

    async def complete(self, requests: Sequence[PromptRequest]) -> list[Completion]:
        texts = [await self._answer(request) for request in requests]
        return [Completion(text, "end", False, 1, 1, "0" * 64, None, None, 0.0) for text in texts]

    async def _answer(self, request: PromptRequest) -> str:
        prompt = request.prompt if isinstance(request.prompt, str) else request.prompt[-1].content
        found = FEN.search(prompt)
        assert found is not None
        board = chess.Board(found[1])
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
    yield ScriptedModel(anyio.Event())

"""A text model by plan: whoever derives from it says what it answers. The fixture `installed` makes it known by name."""

from __future__ import annotations

import re
from collections.abc import Sequence

import chess

from edgechess_inference.move_model import Completion, Description, Memory, PositionRequest, PromptRequest, Ranking

FEN = re.compile(r"FEN\)?: (.+)")


class PlannedModel:
    """Everything but the answers."""

    name: str

    def describe(self) -> Description:
        return Description(self.name, "text", "none", "none", "script", "cpu", "0" * 64, 1, None, None, {})

    def memory(self) -> Memory:
        return Memory(0, 0)

    async def rank(self, requests: Sequence[PositionRequest]) -> list[Ranking]:
        raise NotImplementedError

    async def ready(self) -> None:
        return

    async def close(self) -> None:
        return

    async def complete(self, requests: Sequence[PromptRequest]) -> list[Completion]:
        texts = [await self._asked(request) for request in requests]
        return [Completion(text, "end", False, 1, 1, "0" * 64, None, None, 0.0) for text in texts]

    async def answer(self, board: chess.Board, prompt: str) -> str:
        """To the position that the prompt is about."""
        raise NotImplementedError

    async def _asked(self, request: PromptRequest) -> str:
        prompt = request.prompt if isinstance(request.prompt, str) else request.prompt[-1].content
        found = FEN.search(prompt)
        assert found is not None
        return await self.answer(chess.Board(found[1]), prompt)

"""A policy network as a `MoveModel`: positions become numbers, numbers become a ranking of the legal moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import chess
import numpy as np
from numpy.typing import NDArray

from edgechess_inference.adapters.table import Lent
from edgechess_inference.backends.loaded_model import Backend, LoadedModel, grouped
from edgechess_inference.move_model import ModelError, MoveChance, Outlook, PositionRequest, Ranking
from edgechess_inference.policy.encoding import records, tokens_and_clocks
from edgechess_inference.policy.moves import legal_indices, move_at

Floats = NDArray[np.float32]
Groups = Sequence[tuple[Any, slice]]
"""Prepared adapter (None: none) and the rows of the batch that it answers; together all rows, in order."""


class PolicyBackend(Backend, Protocol):
    """What computes a policy network."""

    def evaluate(self, tokens: NDArray[np.int64], clocks: Floats, groups: Groups) -> tuple[Floats, Floats]:
        """Tokens [n, 64], clocks [n, 1] → logits of moves [n, 4162] and of win, draw, loss [n, 3]. Raises WeightsError."""


class PolicyModel(LoadedModel):
    """Made by `loading.load_model`."""

    _backend: PolicyBackend

    async def rank(self, requests: Sequence[PositionRequest]) -> list[Ranking]:
        started = anyio.current_time()
        boards = [_board(request.fen) for request in requests]
        if not boards:
            await anyio.lowlevel.checkpoint()
            return []
        async with self._batch(requests) as lent:
            order, groups = grouped([request.adapter for request in requests])
            tokens, clocks = tokens_and_clocks(records(boards[row] for row in order))
            ready = [(lent[name].prepared if name is not None else None, rows) for name, rows in groups]
            evaluate = partial(self._backend.evaluate, tokens, clocks, ready)
            logits, outlooks = await self._compute.run(lambda stop: evaluate())
            latency_s = anyio.current_time() - started
            place_of = {row: place for place, row in enumerate(order)}
            return [
                self._ranking(request, boards[row], logits[place_of[row]], outlooks[place_of[row]], lent, latency_s)
                for row, request in enumerate(requests)
            ]

    def _ranking(
        self,
        request: PositionRequest,
        board: chess.Board,
        logits: Floats,
        outlook: Floats,
        lent: Mapping[str, Lent],
        latency_s: float,
    ) -> Ranking:
        legal = legal_indices(board)
        best = int(logits.argmax())
        self._count(request.adapter, latency_s, legal=best in legal if legal else None)
        win, draw, loss = (float(share) for share in softmax(outlook))
        return Ranking(
            moves=ranked(logits, legal),
            outlook=Outlook(win, draw, loss),
            raw_best=move_at(best, board).uci(),
            raw_legal=best in legal,
            weights=self.weights,
            adapter=request.adapter,
            adapter_weights=lent[request.adapter].digest if request.adapter is not None else None,
            latency_s=latency_s,
        )


def ranked(logits: Floats, legal: Mapping[int, chess.Move]) -> tuple[MoveChance, ...]:
    """Legal moves by probability, equals by UCI (the order of `legal`)."""
    if not legal:
        return ()
    shares = softmax(logits[list(legal)])
    found = [MoveChance(move.uci(), float(share)) for move, share in zip(legal.values(), shares, strict=True)]
    return tuple(sorted(found, key=lambda chance: -chance.probability))


def softmax(logits: Floats) -> Floats:
    """Along the only axis."""
    powers = np.exp(logits - logits.max())
    shares: Floats = powers / powers.sum()
    return shares


def _board(fen: str) -> chess.Board:
    try:
        board = chess.Board(fen)
    except ValueError as error:
        raise ModelError(f"{fen!r} is no position: {error}") from error
    if not board.is_valid():
        raise ModelError(f"{fen!r} is no position that can arise: {board.status()!r}")
    return board

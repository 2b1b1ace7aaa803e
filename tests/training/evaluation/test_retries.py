"""The reference demo's own test: what is a proposal, who moves when none is legal, when it stops."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import anyio.lowlevel
import chess
import numpy as np
import pytest

from edgechess_inference.policy.moves import legal_indices
from edgechess_training.evaluation import retries
from edgechess_training.evaluation.openings import Opening
from edgechess_training.evaluation.sides import Chosen, PlayerSide

NAMES = 4162  # moves that a network can name


class Network:
    """Its best moves are no legal ones, but that of the given rank."""

    def __init__(self, rank: int) -> None:
        self._rank, self._draw = rank, random.Random(5)

    def evaluate(self, boards: Sequence[chess.Board]) -> tuple[np.ndarray, None]:
        [board] = boards
        legal = sorted(legal_indices(board))
        wrong = [number for number in range(NAMES) if number not in legal][: self._rank - 1]
        row = np.zeros(NAMES)
        row[[*wrong, self._draw.choice(legal)]] = range(self._rank, 0, -1)
        return row[None], None


class Engine:
    def __init__(self) -> None:
        self.asked, self._draw = 0, random.Random(6)

    def move(self, board: chess.Board) -> str:
        self.asked += 1
        return self._draw.choice(sorted(move.uci() for move in board.legal_moves))


class Ladder:
    """Every third move by the engine after two illegal ones, every third at the second try."""

    def __init__(self) -> None:
        self._asked, self._draw = 0, random.Random(7)

    async def choose(self, boards: Sequence[chess.Board]) -> list[Chosen]:
        await anyio.lowlevel.checkpoint()
        self._asked += 1
        [board] = boards
        uci = self._draw.choice(sorted(move.uci() for move in board.legal_moves))
        attempts, illegal, fallback = ((1, 0, False), (2, 1, False), (2, 2, True))[self._asked % 3]
        return [Chosen(uci, None, attempts, illegal, fallback, first_legal=attempts == 1)]


def test_a_text_model_s_tries_are_its_ladder_s(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def opened(source: object) -> Iterator[Engine]:
        yield Engine()

    @asynccontextmanager
    async def side_of(source: object) -> AsyncIterator[Ladder]:
        yield Ladder()

    monkeypatch.setattr(retries, "opened", opened)
    monkeypatch.setattr(retries, "side_of", side_of)
    start = Opening("start", chess.STARTING_FEN, ())
    sums = retries.RetriesWork((start,), PlayerSide("openai:x"), cast(Any, None)).run()
    assert (sums["moves"], sums["proposals"], sums["legal"], sums["first"]) == (25, 9 * 2 + 8 * 2 + 8, 25 - 8, 8)


@pytest.mark.parametrize(
    ("rank", "proposals", "legal", "first"), [(1, 1, 1, 1), (2, 2, 1, 0), (5, 5, 1, 0), (6, 5, 0, 0)]
)
def test_five_tries_without_a_mask_then_the_engine_and_fifty_plies(
    rank: int, proposals: int, legal: int, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine()

    @contextmanager
    def opened(source: object) -> Iterator[Engine]:
        yield engine

    monkeypatch.setattr(retries, "opened", opened)
    monkeypatch.setattr(retries, "network_of", lambda source: Network(rank))
    start = Opening("start", chess.STARTING_FEN, ())
    sums = retries.RetriesWork((start,), cast(Any, None), cast(Any, None)).run()
    assert sums == {
        "games": 1, "moves": 25, "proposals": 25 * proposals, "legal": 25 * legal, "first": 25 * first, "lost": 0, "won": 0,
    }  # fmt: skip
    assert engine.asked == 25 + 25 * (1 - legal)
    found = retries.figures_of({0: sums})
    assert found is not None
    assert found.first.value == first

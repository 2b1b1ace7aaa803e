"""The player port: who chooses moves. Knows positions, not tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import anyio.abc
import chess

from edgechess_inference.ladder.account import Account

Seat = Literal["answers", "person", "hand"]


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """One position, asked of one player. `moves` (UCI) lead from `start_fen` to the position. `timeout_s` is firm."""

    start_fen: str
    moves: tuple[str, ...]
    timeout_s: float

    def board(self) -> chess.Board:
        """A fresh board with the whole move stack (repetitions count)."""
        board = chess.Board(self.start_fen)
        for move in self.moves:
            board.push_uci(move)
        return board


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A legal move in UCI, who really chose it, and what may be told about it. Or resigns, or offers nothing."""

    uci: str | None
    by: str
    reason: str | None = None
    resigns: bool = False
    account: Account | None = None
    """Of players that climb the ladder: every attempt, and whether an engine moved instead."""


class Player(Protocol):
    """One player. `seat` "answers": asked through `choose`. "person": a human moves the pieces at the board and is
    not asked. "hand": the twin's seeded person; its move comes from `choose` and is made by hand at the table."""

    word: str
    seat: Seat

    async def choose(self, question: Question) -> Answer:
        """A legal move within `timeout_s`. Raises PlayerFailed; asking again is safe."""

    async def close(self) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class PlayerOptions:
    """What a player may need besides its word. `inline`: virtual time, nothing may wait outside the scheduler."""

    seed: int = 0
    inline: bool = False
    ask: Callable[[str], Awaitable[str]] | None = None
    """How `human` asks at the prompt, where there is one."""
    tasks: anyio.abc.TaskGroup | None = None
    """Where a player may run what outlasts a question (weights that stream, a search nobody waits for). Whoever opens
    players for long gives one; without it, players that need it are opened by `registry.seated`."""


PlayerFactory = Callable[[str, PlayerOptions], Awaitable[Player]]
"""(the part of the word after the first colon, options) -> player. Raises PlayerWordError. Entry points `edgechess.players`."""

"""Who plays in a match: a network by itself, a network that looks one ply ahead, an engine, or any player of the registry.

Figures of these kinds are never mixed: a side says what it is, and counts what it did. `choose` gets all positions in which
the side is to move, of all games that are being played, because a network answers thirty-two at the price of a few.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import anyio.lowlevel
import chess

from edgechess_inference.backends.policy_model import ranked
from edgechess_inference.errors import InferenceError
from edgechess_inference.lookahead import asked, branches, preferred
from edgechess_inference.player import Answer, Player, PlayerOptions, Question
from edgechess_inference.policy.moves import legal_indices
from edgechess_inference.registry import seated
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.engine import Engine, EngineSource, opened
from edgechess_training.evaluation.network import Floats, Network, NetworkSource, network_of, scores

Choice = Literal["pure", "lookahead", "ladder"]
"""The network's best legal move; with one ply of lookahead; a player of the registry with whatever it brings."""

NO_LEGAL_MOVE = ("no-move", "ambiguous", "illegal")  # failures of an attempt that was answered
ANSWER_S = 120.0  # of players that are asked through their port


@dataclass(frozen=True, slots=True)
class Chosen:
    """A legal move, and how it came about. `raw_legal`: the best of all 4,162 moves was a legal one; None: nobody knows.

    `attempts`: how often a text model was asked; `illegal`: what it then said was no legal move; `unanswered`: it said nothing,
    not in time, or was not there; `first_legal`: its first try was legal (None: no text model, or never asked). `fallback`: an
    engine moved in its place.
    """

    uci: str
    raw_legal: bool | None = None
    attempts: int = 1
    illegal: int = 0
    fallback: bool = False
    unanswered: int = 0
    first_legal: bool | None = None


class Side(Protocol):
    async def choose(self, boards: Sequence[chess.Board]) -> list[Chosen]:
        """One per board, in order. Boards come with their move stacks and are left as they were. Raises TrainingError."""


@dataclass(frozen=True, slots=True)
class NetworkSide:
    """How to make one."""

    source: NetworkSource
    choice: Choice = "pure"


@dataclass(frozen=True, slots=True)
class PlayerSide:
    """A word of the registry."""

    word: str
    seed: int = 0


SideSource = NetworkSide | EngineSource | PlayerSide


@asynccontextmanager
async def side_of(source: SideSource) -> AsyncIterator[Side]:
    """For the length of a block. Raises TrainingError."""
    match source:
        case NetworkSide():
            yield _Network(network_of(source.source), source.choice)
        case EngineSource():
            with opened(source) as engine:
                yield _Engine(engine)
        case PlayerSide():
            try:
                async with seated(source.word, PlayerOptions(seed=source.seed)) as player:
                    yield _Player(player)
            except InferenceError as error:
                raise TrainingError(str(error)) from error


def choose_moves(network: Network, choice: Choice, boards: Sequence[chess.Board]) -> list[Chosen]:
    """For matches, puzzles and the engine's judgement alike. No board may be at its end."""
    logits, _ = network.evaluate(boards)
    if choice == "lookahead":
        return _look(network, boards, logits)
    return [_best(board, row) for board, row in zip(boards, logits, strict=True)]


def _best(board: chess.Board, row: Floats) -> Chosen:
    legal = legal_indices(board)
    numbers = list(legal)
    best = numbers[int(row[numbers].argmax())]
    return Chosen(legal[best].uci(), raw_legal=int(row.argmax()) in legal)


def _look(network: Network, boards: Sequence[chess.Board], logits: Floats) -> list[Chosen]:
    legal = [legal_indices(board) for board in boards]
    trees = [branches(board, ranked(row, moves)) for board, row, moves in zip(boards, logits, legal, strict=True)]
    questions = [branch.board for tree in trees for branch in asked(tree)]
    points = iter(scores(network.evaluate(questions)[1]).tolist() if questions else [])
    found = []
    for tree, row, moves in zip(trees, logits, legal, strict=True):
        best = preferred(tree, [next(points) for _ in asked(tree)])
        found.append(Chosen(best.uci, raw_legal=int(row.argmax()) in moves))
    return found


class _Network:
    def __init__(self, network: Network, choice: Choice) -> None:
        self._network, self._choice = network, choice

    async def choose(self, boards: Sequence[chess.Board]) -> list[Chosen]:
        await anyio.lowlevel.checkpoint()
        return choose_moves(self._network, self._choice, boards)


class _Engine:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def choose(self, boards: Sequence[chess.Board]) -> list[Chosen]:
        await anyio.lowlevel.checkpoint()
        return [Chosen(self._engine.move(board)) for board in boards]


class _Player:
    def __init__(self, player: Player) -> None:
        self._player = player

    async def choose(self, boards: Sequence[chess.Board]) -> list[Chosen]:
        return [await self._one(board) for board in boards]

    async def _one(self, board: chess.Board) -> Chosen:
        question = Question(board.root().fen(), tuple(move.uci() for move in board.move_stack), ANSWER_S)
        answer = await self._player.choose(question)
        if answer.uci is None:
            raise TrainingError(f"{self._player.word} gives up in {board.fen()}: matches are played to their end")
        return _accounted(answer, answer.uci)


def _accounted(answer: Answer, uci: str) -> Chosen:
    if answer.account is None:
        return Chosen(uci)
    account = answer.account
    own = [attempt for attempt in account.attempts if not (account.fallback and attempt is account.attempts[-1])]
    illegal = sum(attempt.failure in NO_LEGAL_MOVE for attempt in own)
    unanswered = sum(attempt.failure is not None for attempt in own) - illegal
    first_legal = own[0].failure is None if own else None
    return Chosen(uci, None, len(own), illegal, account.fallback, unanswered, first_legal)

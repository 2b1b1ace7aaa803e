"""`random`: any legal move, each as likely. The same seed and the same game give the same move, in every process."""

from __future__ import annotations

import random

import anyio
import anyio.lowlevel
import chess

from edgechess_inference.errors import PlayerFailed
from edgechess_inference.player import Answer, PlayerOptions, Question, Seat
from edgechess_inference.words import refuse_rest


class RandomPlayer:
    """Draws from the legal moves sorted by UCI. Holds no state: asked again about the same game it says the same."""

    def __init__(self, word: str, seed: int, seat: Seat = "answers") -> None:
        self.word = word
        self.seat: Seat = seat
        self._seed = seed

    async def choose(self, question: Question) -> Answer:
        """Raises PlayerFailed only where the game is over."""
        await anyio.lowlevel.checkpoint()
        board = question.board()
        return Answer(draw_move(board, draw_for(self._seed, question)), by=self.word)

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()


def draw_for(seed: int, question: Question) -> random.Random:
    """The generator for one position of one game; seeded by text, which Python hashes alike in every process."""
    return random.Random(f"{seed} {question.start_fen} {' '.join(question.moves)}")


def draw_move(board: chess.Board, draw: random.Random) -> str:
    """A legal move in UCI. Raises PlayerFailed where there is none."""
    moves = sorted(move.uci() for move in board.legal_moves)
    if not moves:
        raise PlayerFailed("there is no legal move: the game is over")
    return draw.choice(moves)


def check(rest: str) -> None:
    """Raises PlayerWordError."""
    refuse_rest("random", rest)


async def open_player(rest: str, options: PlayerOptions) -> RandomPlayer:
    """The factory of the word `random`."""
    await anyio.lowlevel.checkpoint()
    check(rest)
    return RandomPlayer("random", options.seed)

"""The people at the table: `human` (a real person) and `hand` (the software table's seeded person)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import chess

from edgechess_inference.errors import PlayerFailed
from edgechess_inference.player import Answer, Player, PlayerOptions, Question, Seat
from edgechess_inference.random_player import RandomPlayer
from edgechess_inference.words import refuse_rest

RESIGN_WORDS = ("resign", "resigns", "i resign")


class PersonAtTheBoard:
    """`human` without a prompt: moves the pieces, is never asked; the board says what was played."""

    word = "human"
    seat: Seat = "person"

    async def choose(self, question: Question) -> Answer:
        """Always raises PlayerFailed: whoever asks has not looked at `seat`."""
        await anyio.lowlevel.checkpoint()
        raise PlayerFailed("a person moves at the board and is not asked")

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()


class PersonAtThePrompt:
    """`human` with a prompt: types SAN or UCI; the table executes it like anybody's move."""

    word = "human"
    seat: Seat = "answers"

    def __init__(self, ask: Callable[[str], Awaitable[str]]) -> None:
        self._ask = ask

    async def choose(self, question: Question) -> Answer:
        """Asks until the answer is a legal move or `resign`. Raises PlayerFailed after `timeout_s`."""
        board = question.board()
        side = "White" if board.turn == chess.WHITE else "Black"
        prompt = f"{side} to move (e4, Nf3 or g1f3; resign): "
        with anyio.move_on_after(question.timeout_s):
            while True:
                text = (await self._ask(prompt)).strip()
                if text.lower() in RESIGN_WORDS:
                    return Answer(None, by=self.word, resigns=True)
                try:
                    return Answer(read_move(board, text).uci(), by=self.word)
                except ValueError as error:
                    prompt = f"{error}\n{side} to move: "
        raise PlayerFailed(f"nobody typed a move within {question.timeout_s:g} s")

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()


def read_move(board: chess.Board, text: str) -> chess.Move:
    """A legal move from SAN or UCI as people type it. Raises ValueError with a sentence that helps."""
    if not text:
        raise ValueError("Type a move, for example e4 or g1f3.")
    castling = text.replace("0", "O") if set(text) <= set("0-+#") else text
    for parse in (board.parse_san, board.parse_uci):
        try:
            move = parse(castling if parse == board.parse_san else text.lower())
        except chess.AmbiguousMoveError:
            names = ", ".join(_moves_to_same_square(board, text))
            raise ValueError(f"{text} could be more than one move: say which, {names}.") from None
        except ValueError:
            continue
        if move:
            return move
    raise ValueError(_why_not(board, text))


def _moves_to_same_square(board: chess.Board, text: str) -> list[str]:
    target, letter = text.rstrip("+#!?")[-2:], text[0]
    return sorted(
        san
        for san, move in ((board.san(move), move) for move in board.legal_moves)
        if chess.square_name(move.to_square) == target and san[0] == letter
    )


def _why_not(board: chess.Board, text: str) -> str:
    try:
        move = chess.Move.from_uci(text.lower())
    except ValueError:
        known = _pseudo_san(board, text)
        if known and board.is_check():
            return f"{text} leaves the king in check."
        return f"{text} is no legal move here. Legal: {_legal_list(board)}."
    square = chess.square_name(move.from_square)
    piece = board.piece_at(move.from_square)
    if piece is None:
        return f"{square} is empty."
    if piece.color != board.turn:
        return f"The piece on {square} is not yours."
    if board.is_pseudo_legal(move):
        return f"{text} would leave your king in check."
    if board.is_legal(chess.Move(move.from_square, move.to_square, chess.QUEEN)):
        return f"{text} promotes: add the piece, for example {text.lower()}q."
    own = sorted(candidate.uci() for candidate in board.legal_moves if candidate.from_square == move.from_square)
    return f"The piece on {square} cannot go there; it can play {', '.join(own) or 'nothing'}."


def _pseudo_san(board: chess.Board, text: str) -> bool:
    return len(text) >= 2 and any(
        chess.square_name(move.to_square) == text.rstrip("+#")[-2:] for move in board.pseudo_legal_moves
    )


def _legal_list(board: chess.Board) -> str:
    return ", ".join(sorted(board.san(move) for move in board.legal_moves))


def check_human(rest: str) -> None:
    """Raises PlayerWordError."""
    refuse_rest("human", rest)


def check_hand(rest: str) -> None:
    """Raises PlayerWordError."""
    refuse_rest("hand", rest)


async def open_human(rest: str, options: PlayerOptions) -> Player:
    """The factory of the word `human`: at the prompt where `options.ask` is given, at the board otherwise."""
    await anyio.lowlevel.checkpoint()
    check_human(rest)
    if options.ask is None:
        return PersonAtTheBoard()
    return PersonAtThePrompt(options.ask)


async def open_hand(rest: str, options: PlayerOptions) -> Player:
    """The factory of the word `hand`: a seeded legal move, which the person at the software table makes by hand."""
    await anyio.lowlevel.checkpoint()
    check_hand(rest)
    return RandomPlayer("hand", options.seed, seat="hand")

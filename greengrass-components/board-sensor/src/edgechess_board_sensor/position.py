"""What is confirmed: a position and the last plies that led to it, as a frozen value."""

from __future__ import annotations

import dataclasses
import functools

import chess

from edgechess_board.placement import Placement

PLIES_KEPT = 20  # as many as a session state carries; nobody takes back more


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """`base_fen` and the plies played from it (UCI, at most `PLIES_KEPT`); `ply` counts from the start of the game."""

    base_fen: str
    moves: tuple[str, ...] = ()
    ply: int = 0

    def __post_init__(self) -> None:
        _board(self.base_fen, self.moves)  # raises ValueError for a position or a move that is none

    @property
    def board(self) -> chess.Board:
        """A fresh board, without a stack."""
        return _board(self.base_fen, self.moves).copy(stack=False)  # the shared one is never handed out

    @property
    def fen(self) -> str:
        return _board(self.base_fen, self.moves).fen()

    @property
    def placement(self) -> Placement:
        return _placement(self.base_fen, self.moves)

    def back(self, plies: int) -> Line:
        """The line without its last plies."""
        return Line(self.base_fen, self.moves[: len(self.moves) - plies], self.ply - plies)

    def forward(self, *moves: str) -> Line:
        """The line with these plies more. Raises ValueError if one is illegal."""
        return Line(self.base_fen, (*self.moves, *moves), self.ply + len(moves))

    def trimmed(self) -> Line:
        """The same line with at most `PLIES_KEPT` plies; the older ones are folded into the base."""
        folded = len(self.moves) - PLIES_KEPT
        if folded <= 0:
            return self
        return Line(_board(self.base_fen, self.moves[:folded]).fen(), self.moves[folded:], self.ply)

    def continues(self, other: Line) -> bool:
        """This line is the other one and perhaps some plies more, counted from the same base."""
        return self.base_fen == other.base_fen and self.moves[: len(other.moves)] == other.moves

    def plies_apart(self, other: Line) -> tuple[int, tuple[str, ...]]:
        """How many plies to take back from here, and which to play then, to come to `other`, from the same base."""
        common = 0
        while common < min(len(self.moves), len(other.moves)) and self.moves[common] == other.moves[common]:
            common += 1
        return len(self.moves) - common, other.moves[common:]


@functools.lru_cache(maxsize=256)
def _board(base_fen: str, moves: tuple[str, ...]) -> chess.Board:
    if not moves:
        return chess.Board(base_fen)
    board = _board(base_fen, moves[:-1]).copy(stack=False)
    board.push_uci(moves[-1])
    return board


@functools.lru_cache(maxsize=256)
def _placement(base_fen: str, moves: tuple[str, ...]) -> Placement:
    return placement_of(_board(base_fen, moves))


def placement_of(board: chess.Board) -> Placement:
    """The 64 squares of a python-chess board (same numbering)."""
    return Placement.from_mapping({square: piece.symbol() for square, piece in board.piece_map().items()})


def same_position(one_fen: str, other_fen: str) -> bool:
    """Placement, turn, castling rights, and an en-passant square only where a capture is legal. False for no FEN.

    chess.js writes an en-passant square on which nothing can capture; counters are no part of a position.
    """
    try:
        return _key(one_fen) == _key(other_fen)
    except ValueError:
        return False


@functools.lru_cache(maxsize=64)  # the same few are compared with every state of the session
def _key(fen: str) -> tuple[str, bool, int, int | None]:
    board = chess.Board(fen)
    en_passant = board.ep_square if board.has_legal_en_passant() else None
    return board.board_fen(), board.turn, board.clean_castling_rights(), en_passant

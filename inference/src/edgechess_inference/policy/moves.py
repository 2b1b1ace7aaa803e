"""Moves as numbers, seen from the side to move: 4,096 from-to pairs, then 66 promotions to less than a queen.

A promotion to a queen is its from-to pair. Castling is the king's two squares (python-chess's way outside of Chess960).
"""

from __future__ import annotations

import chess

from edgechess_inference.policy.encoding import turned

PAIRS = 64 * 64
UNDERPROMOTION_PIECES = (chess.KNIGHT, chess.BISHOP, chess.ROOK)

UNDERPROMOTIONS: tuple[tuple[chess.Square, chess.Square, chess.PieceType], ...] = tuple(
    (chess.square(file, 6), chess.square(target, 7), piece)
    for file in range(8)
    for target in range(max(0, file - 1), min(7, file + 1) + 1)
    for piece in UNDERPROMOTION_PIECES
)
"""From, to and piece of index PAIRS, PAIRS + 1 …; pawns of the side to move go up the board."""

MOVES = PAIRS + len(UNDERPROMOTIONS)  # 4,162

_UNDERPROMOTION_INDEX = {key: PAIRS + number for number, key in enumerate(UNDERPROMOTIONS)}


def index_of(move: chess.Move, turn: chess.Color) -> int:
    """Raises ValueError for what is no move on a board (null moves, drops, promotions off the last rank)."""
    if not move or move.drop is not None:
        raise ValueError(f"{move.uci()} has no number: it is not a move of a piece")
    begin, end = turned(move.from_square, turn), turned(move.to_square, turn)
    if move.promotion in (None, chess.QUEEN):
        return begin * 64 + end
    try:
        return _UNDERPROMOTION_INDEX[begin, end, move.promotion]
    except KeyError:
        raise ValueError(f"{move.uci()} has no number: no pawn promotes so") from None


def move_at(index: int, board: chess.Board) -> chess.Move:
    """The move that a number means here; it need not be legal. Raises ValueError for a number out of range.

    A pawn that reaches the last rank by a from-to pair becomes a queen.
    """
    if not 0 <= index < MOVES:
        raise ValueError(f"{index} is no move (0 to {MOVES - 1})")
    if index >= PAIRS:
        begin, end, piece = UNDERPROMOTIONS[index - PAIRS]
        return chess.Move(turned(begin, board.turn), turned(end, board.turn), piece)
    begin, end = turned(index // 64, board.turn), turned(index % 64, board.turn)
    pawn = board.piece_type_at(begin) == chess.PAWN and board.color_at(begin) == board.turn
    return chess.Move(begin, end, chess.QUEEN if pawn and index % 64 >= 56 else None)


def legal_indices(board: chess.Board) -> dict[int, chess.Move]:
    """Every legal move by its number, ordered by UCI."""
    return {index_of(move, board.turn): move for move in sorted(board.legal_moves, key=chess.Move.uci)}

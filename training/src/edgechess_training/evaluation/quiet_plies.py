"""Further openings out of a few: an opening followed by quiet moves, one of each side, after which nothing hangs.

"Nothing hangs" is a rule of material, not an engine's verdict: the side to move wins nothing by any row of captures, by the
usual values of the pieces, and mates nobody at once. It lets small advantages stand, as books for weak players do; every
opening is played once with either colour, so that they cancel. Of the first 200 openings of our own book and seed 1 those that
came from here are judged 0.5 pawns apart by Stockfish 15.1 (10,000 nodes; median), nine of ten less than 1.4, the worst 2.8.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import chess

VALUES = {chess.PAWN: 1, chess.KNIGHT: 3, chess.BISHOP: 3, chess.ROOK: 5, chess.QUEEN: 9, chess.KING: 100}
CAPTURES_DEEP = 6  # plies; longer exchanges are not found in openings of ten moves


def extended(board: chess.Board, order: random.Random) -> tuple[str, str] | None:
    """Two further moves (UCI); None where there are none of the kind. The board is left as it was."""
    for first in _shuffled_quiet(board, order):
        board.push(first)
        second = next(_sound(board, order), None) if not _hangs(board) else None
        board.pop()
        if second is not None:
            return first.uci(), second.uci()
    return None


def _sound(board: chess.Board, order: random.Random) -> Iterator[chess.Move]:
    for move in _shuffled_quiet(board, order):
        board.push(move)
        hangs = _hangs(board)
        board.pop()
        if not hangs:
            yield move


def _shuffled_quiet(board: chess.Board, order: random.Random) -> list[chess.Move]:
    """Moves that take nothing, give no check, and leave king and rooks where they are unless they castle."""
    found = [
        move
        for move in board.legal_moves
        if board.is_castling(move)
        or (
            not board.is_capture(move)
            and not board.gives_check(move)
            and board.piece_type_at(move.from_square) not in (chess.KING, chess.ROOK)
        )
    ]
    order.shuffle(found)
    return found


def _hangs(board: chess.Board) -> bool:
    """The side to move wins material, or mates at once."""
    return _won_by_captures(board, CAPTURES_DEEP, 0, 1) > 0 or any(_mates(board, move) for move in board.legal_moves)


def _mates(board: chess.Board, move: chess.Move) -> bool:
    if not board.gives_check(move):
        return False
    board.push(move)
    mated = board.is_checkmate()
    board.pop()
    return mated


def _won_by_captures(board: chess.Board, deep: int, low: int, high: int) -> int:
    """In pawns, for the side to move, which may take nothing at all; exact between `low` and `high` only."""
    best = max(low, 0)
    if not deep:
        return best
    for move in board.generate_legal_captures():
        if best >= high:
            break
        taken = VALUES[board.piece_type_at(move.to_square) or chess.PAWN]  # none there: en passant
        board.push(move)
        best = max(best, taken - _won_by_captures(board, deep - 1, taken - high, taken - best))
        board.pop()
    return best

"""Positions as the page needs them: what should stand on the board now, what is different, what may be moved. Pure."""

from __future__ import annotations

from collections import Counter

import chess

from edgechess_console.view import DifferencePart

NAMES = {"p": "pawn", "n": "knight", "b": "bishop", "r": "rook", "q": "queen", "k": "king"}


def board_of(fen: str | None) -> chess.Board | None:
    """None for what is no position: the page shows an empty board rather than nothing at all."""
    if fen is None:
        return None
    try:
        return chess.Board(fen)
    except ValueError:
        return None


def placement_of(text: str | None) -> chess.BaseBoard | None:
    """Of a FEN or its first field."""
    if not text:
        return None
    try:
        return chess.BaseBoard(text.split(" ", 1)[0])
    except ValueError:
        return None


def after(fen: str | None, lan: str | None) -> chess.Board | None:
    """The position after a move in long algebraic notation; None where it is not legal there."""
    board = board_of(fen)
    if board is None or lan is None:
        return None
    try:
        board.push_uci(lan)
    except ValueError:
        return None
    return board


def san_of(fen: str | None, lan: str | None) -> str | None:
    board = board_of(fen)
    if board is None or lan is None:
        return None
    try:
        return board.san(board.parse_uci(lan))
    except ValueError:
        return None


def differences(*, found: str | None, fits: tuple[str | None, ...]) -> tuple[DifferencePart, ...]:
    """The squares on which `found` is as in none of the placements of `fits`; expected is then the first one's."""
    seen = placement_of(found)
    wanted = [board for text in fits if (board := placement_of(text)) is not None]
    if seen is None or not wanted:
        return ()
    return tuple(
        DifferencePart(
            square=chess.square_name(square), expected=_letter(wanted[0], square), found=_letter(seen, square)
        )
        for square in chess.SQUARES
        if all(board.piece_at(square) != seen.piece_at(square) for board in wanted)
    )


def same_placement(one: str | None, other: str | None) -> bool:
    left, right = placement_of(one), placement_of(other)
    return left is not None and left == right


def legal_moves(fen: str | None) -> tuple[str, ...]:
    board = board_of(fen)
    return () if board is None else tuple(sorted(move.uci() for move in board.legal_moves))


def captured(before: str | None, now: str) -> dict[str, str]:
    """What each colour has lost by one move, FEN letters. A pawn that became a queen was not lost."""
    old, new = placement_of(before), placement_of(now)
    lost = {"w": "", "b": ""}
    if old is None or new is None:
        return lost
    gone = Counter(_letters(old)) - Counter(_letters(new))
    come = Counter(_letters(new)) - Counter(_letters(old))
    for letter in gone.elements():
        if not any(other.isupper() == letter.isupper() for other in come):
            lost["w" if letter.isupper() else "b"] += letter
    return lost


def piece_name(letter: str | None) -> str:
    """ "a white knight", or "nothing"."""
    if letter is None or letter.lower() not in NAMES:
        return "nothing"
    return f"a {'white' if letter.isupper() else 'black'} {NAMES[letter.lower()]}"


def _letter(board: chess.BaseBoard, square: chess.Square) -> str | None:
    piece = board.piece_at(square)
    return piece.symbol() if piece else None


def _letters(board: chess.BaseBoard) -> list[str]:
    return [piece.symbol() for piece in board.piece_map().values()]

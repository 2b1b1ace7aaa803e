"""Between the DGT board's field numbers and piece codes and our squares and placements.

Fields run in reading order from the corner that is a8 when the connector is on White's left: 0 = a8, 7 = h8, 56 = a1,
63 = h1. The board never turns its numbering: with the connector on White's right (`rotated`) field 0 is h1.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgechess_board.dgt_protocol import FIELDS
from edgechess_board.placement import Placement

PIECE_OF_CODE: tuple[str | None, ...] = (None, *"PRNBKQprnbkq", None, None, None)
"""FEN letter by piece code 00 to 0f; the three "magic pieces" are no chessmen and count as empty."""

CODE_OF_PIECE: dict[str | None, int] = {piece: code for code, piece in enumerate(PIECE_OF_CODE[:13])}
"""Piece code by FEN letter; None is 00."""

_NORMAL, _ROTATED = 56, 7


def square_of(field: int, *, rotated: bool) -> int:
    """Field 0..63 to square (a1 = 0). Its own inverse: `field_of` is the same mapping."""
    return field ^ (_ROTATED if rotated else _NORMAL)


def field_of(square: int, *, rotated: bool) -> int:
    """Square (a1 = 0) to field 0..63."""
    return square ^ (_ROTATED if rotated else _NORMAL)


def placement_of(codes: Sequence[int], *, rotated: bool) -> Placement:
    """The placement that 64 piece codes, field 0 first, show."""
    return Placement(tuple(PIECE_OF_CODE[codes[field_of(square, rotated=rotated)]] for square in range(FIELDS)))


def codes_of(placement: Placement, *, rotated: bool) -> tuple[int, ...]:
    """The 64 piece codes, field 0 first, that a board shows for a placement."""
    return tuple(CODE_OF_PIECE[placement[square_of(field, rotated=rotated)]] for field in range(FIELDS))

"""Which piece stands on which square; no turn, no rights, no rules.

Squares are 0..63 with a1 = 0, h1 = 7, a8 = 56, h8 = 63 (python-chess's numbering). Pieces are FEN letters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

PIECES = "PNBRQKpnbrqk"
FILES = "abcdefgh"
NAMES = {"p": "pawn", "n": "knight", "b": "bishop", "r": "rook", "q": "queen", "k": "king"}


def square_name(square: int) -> str:
    """0 -> "a1", 63 -> "h8". Raises ValueError outside 0..63."""
    if not 0 <= square <= 63:
        raise ValueError(f"square {square}: expected 0 to 63")
    return FILES[square % 8] + str(square // 8 + 1)


def square_index(name: str) -> int:
    """ "a1" -> 0, "h8" -> 63. Raises ValueError for anything else."""
    if len(name) != 2 or name[0] not in FILES or name[1] not in "12345678":
        raise ValueError(f"square {name!r}: expected a1 to h8")
    return FILES.index(name[0]) + 8 * (int(name[1]) - 1)


def piece_name(piece: str) -> str:
    """ "N" -> "white knight", "p" -> "black pawn"."""
    return ("white " if piece.isupper() else "black ") + NAMES[piece.lower()]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One square that is not as expected. None is an empty square."""

    square: int
    expected: str | None
    found: str | None

    def __str__(self) -> str:
        found = f"holds a {piece_name(self.found)}" if self.found else "is empty"
        expected = f"a {piece_name(self.expected)}" if self.expected else "nothing"
        return f"{square_name(self.square)} {found}, expected {expected}"


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """64 squares, each a FEN letter or None. Hashable, immutable, compared by content."""

    squares: tuple[str | None, ...]

    def __post_init__(self) -> None:
        if len(self.squares) != 64:
            raise ValueError(f"a placement has 64 squares, not {len(self.squares)}")
        for square, piece in enumerate(self.squares):
            if piece is not None and (len(piece) != 1 or piece not in PIECES):
                raise ValueError(f"{square_name(square)}: {piece!r} is not a piece")

    @classmethod
    def empty(cls) -> Placement:
        return cls((None,) * 64)

    @classmethod
    def from_mapping(cls, pieces: Mapping[int, str]) -> Placement:
        return cls(tuple(pieces.get(square) for square in range(64)))

    @classmethod
    def from_fen(cls, fen: str) -> Placement:
        """From a FEN or its first field. Raises ValueError naming the rank that is wrong."""
        ranks = fen.split(" ", 1)[0].split("/")
        if len(ranks) != 8:
            raise ValueError(f"placement {fen!r}: expected 8 ranks, found {len(ranks)}")
        squares: list[str | None] = []
        for number, rank in zip(range(1, 9), reversed(ranks), strict=True):
            row: list[str | None] = []
            for letter in rank:
                if letter in "12345678":
                    row.extend([None] * int(letter))
                elif letter in PIECES:
                    row.append(letter)
                else:
                    raise ValueError(f"placement {fen!r}: {letter!r} on rank {number} is not a piece")
            if len(row) != 8:
                raise ValueError(f"placement {fen!r}: rank {number} has {len(row)} squares")
            squares.extend(row)
        return cls(tuple(squares))

    @property
    def fen(self) -> str:
        """First field of a FEN."""
        ranks = []
        for rank in reversed(range(8)):
            text, gap = "", 0
            for piece in self.squares[8 * rank : 8 * rank + 8]:
                if piece is None:
                    gap += 1
                    continue
                text += (str(gap) if gap else "") + piece
                gap = 0
            ranks.append(text + (str(gap) if gap else ""))
        return "/".join(ranks)

    def __getitem__(self, square: int) -> str | None:
        return self.squares[square]

    def __iter__(self) -> Iterator[str | None]:
        return iter(self.squares)

    def with_piece(self, square: int, piece: str | None) -> Placement:
        return Placement((*self.squares[:square], piece, *self.squares[square + 1 :]))

    def differences(self, expected: Placement) -> tuple[Difference, ...]:
        """Every square on which this (found) placement is not the expected one, a1 first."""
        return tuple(
            Difference(square, wanted, found)
            for square, (wanted, found) in enumerate(zip(expected.squares, self.squares, strict=True))
            if wanted != found
        )

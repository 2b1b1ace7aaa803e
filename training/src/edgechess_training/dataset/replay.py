"""One game replayed: every move checked by python-chess, every wanted ply remembered as words, numbers and, if asked
for, a record for a language model."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable, Sequence

import chess

from edgechess_inference.policy.moves import index_of
from edgechess_training.dataset.bitboards import words_of
from edgechess_training.dataset.errors import MalformedGame

Teller = Callable[[chess.Board, str, Sequence[str]], str]
"""Position, the move's SAN and the SANs before it, all with `+` and `#` → one line of JSON."""

PLY_MAX = 2**16 - 1


@dataclasses.dataclass(slots=True)
class Plies:
    """Columns that grow by one value per wanted ply; `words` by bitboards.WORDS."""

    words: array[int] = dataclasses.field(default_factory=lambda: array("Q"))
    black: bytearray = dataclasses.field(default_factory=bytearray)
    clock: bytearray = dataclasses.field(default_factory=bytearray)
    move: array[int] = dataclasses.field(default_factory=lambda: array("H"))
    ply: array[int] = dataclasses.field(default_factory=lambda: array("H"))
    lines: list[str] = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.move)

    def add(self, board: chess.Board, move: chess.Move, ply: int) -> None:
        self.words.extend(words_of(board))
        self.black.append(not board.turn)
        self.clock.append(min(board.halfmove_clock, 255))
        self.move.append(index_of(move, board.turn))
        self.ply.append(ply)


class IllegalMove(MalformedGame):
    """`ply` (from 0) of the main line cannot be played; those before it were."""

    def __init__(self, text: str, ply: int) -> None:
        super().__init__(text)
        self.ply = ply


def start_of(fen: str | None) -> chess.Board:
    """The board before the first move. Raises MalformedGame for what is no position of standard chess."""
    if fen is None:
        return chess.Board()
    try:
        board = chess.Board(fen)
    except ValueError as error:
        raise MalformedGame(f"its FEN: {error}") from error
    if board.castling_rights != board.clean_castling_rights():
        raise MalformedGame("its FEN has castling rights that standard chess has not (Chess960 is not supported)")
    if not board.is_valid():
        raise MalformedGame("its FEN is no position that can arise")
    return board


def replay(
    board: chess.Board, sans: Sequence[str], wanted: tuple[bool, bool], plies: Plies, tell: Teller | None = None
) -> int:
    """Plays `sans` on `board` and adds the plies of White and of Black where `wanted`. Returns how many plies there were.

    Raises IllegalMove; what came before it has been added.
    """
    for_color = (wanted[1], wanted[0])  # chess.BLACK is 0
    told: list[str] = []
    for ply, san in enumerate(sans):
        try:
            move = board.parse_san(san)
        except ValueError as error:
            raise IllegalMove(f"{san!r} is {_fault(error)} after {ply} plies", ply) from None
        if not move or ply > PLY_MAX:
            raise IllegalMove(f"{san!r} is no move of a piece", ply)
        if for_color[board.turn]:
            plies.add(board, move, ply)
        if tell is not None:
            proper = board.san(move)  # files write Ngf3 for Nf3, and leave out checks
            if for_color[board.turn]:
                plies.lines.append(tell(board, proper, told))
            told.append(proper)
        board.push(move)
    return len(sans)


def _fault(error: ValueError) -> str:
    match error:
        case chess.IllegalMoveError():
            return "not legal"
        case chess.AmbiguousMoveError():
            return "ambiguous"
        case _:
            return "no move in SAN"

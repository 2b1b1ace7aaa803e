"""The next step of setting a table up: which arm brings which squares in order. Pure.

A setup is a loop: look at the board, give one arm a few pieces to carry, look again. Nothing is remembered between two
looks but what was tried in vain, so that it goes on from anything, and a table that is set up already is done. What is
carried is put as a placement: the controller finds the carries, with the slots it knows.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import chess

from edgechess_game_manager.repair import Squares, pieces_on
from edgechess_kit.messages import ArmState, SlotState


@dataclasses.dataclass(frozen=True, slots=True)
class Beside:
    """What lies beside the board, slot name -> FEN letter, and which slots are empty. Doubtful ones are never that."""

    pieces: tuple[tuple[str, str], ...]
    free: tuple[str, ...]
    doubtful: frozenset[str] = frozenset()

    @classmethod
    def of(cls, arms: ArmState) -> Beside:
        slots: Sequence[SlotState] = (*arms.tray, *arms.rack)
        return cls(
            tuple((slot.slot, slot.piece) for slot in slots if slot.piece is not None),
            tuple(slot.slot for slot in slots if slot.piece is None and not slot.doubtful),
            frozenset(slot.slot for slot in slots if slot.doubtful),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """`after`: the placement that this arm makes of the one found. `squares` are those that it puts right or clears."""

    arm: str
    after: str
    squares: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Carry:
    arm: str
    piece: str
    from_place: str
    to_place: str | None
    """None: off the board."""

    @property
    def square(self) -> str:
        return self.to_place or self.from_place


Vain = frozenset[tuple[str, str]]
"""(arm, square) that the arm has refused to do."""


def missing(found: str, goal: str, beside: Beside, held: Iterable[str] = ()) -> Counter[str]:
    """Pieces that `goal` wants and that are neither on the board, nor beside it, nor in a gripper."""
    there = Counter(pieces_on(found).values()) + Counter(piece for _, piece in beside.pieces) + Counter(held)
    return Counter(pieces_on(goal).values()) - there


def next_batch(
    found: str, goal: str, arms: Sequence[str], beside: Beside, limit: int, vain: Vain = frozenset()
) -> Batch | None:
    """What one arm can do next, at most `limit` pieces; None when no arm can do anything more.

    The first arm of `arms` stands behind the first rank, the second behind the eighth. That which has most to do begins.
    """
    board, wanted = pieces_on(found), pieces_on(goal)
    open_to = {arm: len([c for c in _carries(board, wanted, arms, beside, vain) if c.arm == arm]) for arm in arms}
    arm = max(arms, key=lambda name: open_to[name])
    squares: list[str] = []
    while len(squares) < limit:
        carry = next((c for c in _carries(board, wanted, arms, beside, vain) if c.arm == arm), None)
        if carry is None:
            break
        board, beside = _carried(board, beside, carry)
        squares.append(carry.square)
    return Batch(arm, _placement(board), tuple(squares)) if squares else None


def tidy(arms: ArmState, already: Sequence[str]) -> str | None:
    """An arm whose tray still holds something: it may bring spare pieces back to the racks, once."""
    for status in arms.arms:
        prefix = f"tray-{status.name}-"
        if status.name not in already and any(slot.piece and slot.slot.startswith(prefix) for slot in arms.tray):
            return status.name
    return None


def _carries(board: Squares, wanted: Squares, arms: Sequence[str], beside: Beside, vain: Vain) -> Iterator[_Carry]:
    """Everything that could be carried now, in the order in which it is best done."""
    surplus = {square: piece for square, piece in board.items() if wanted.get(square) != piece}
    lacking = {square: piece for square, piece in wanted.items() if board.get(square) != piece}
    short = Counter(lacking.values()) - Counter(surplus.values())
    moved = False
    for target, piece in lacking.items():
        if target in board:
            continue
        like = [square for square in surplus if surplus[square] == piece]
        if like:
            source = min(like, key=lambda square, to=target: (_steps(square, to), square))  # type: ignore[misc]
            for arm in _able(_near(target, arms), target, arms, vain):
                moved = True
                yield _Carry(arm, piece, source, target)
                break
        elif short[piece] > 0:
            for slot in supplies(piece, beside):
                arm = slot.split("-")[1]
                if arm in arms and (arm, target) not in vain:
                    moved = True
                    yield _Carry(arm, piece, slot, target)
                    break
    too_many = Counter(surplus.values()) - Counter(lacking.values())
    for square, piece in surplus.items():
        # a piece that is wanted elsewhere steps aside only when nothing else can be done and its own squares are taken
        if too_many[piece] <= 0 and (
            moved or any(piece == letter and at not in board for at, letter in lacking.items())
        ):
            continue
        for arm in _able(_near(square, arms), square, arms, vain):
            if any(slot.startswith(f"tray-{arm}-") for slot in beside.free):
                yield _Carry(arm, piece, square, None)
                break


def _carried(board: Squares, beside: Beside, carry: _Carry) -> tuple[Squares, Beside]:
    board = dict(board)
    pieces, free = list(beside.pieces), list(beside.free)
    if carry.from_place in board:
        del board[carry.from_place]
    else:
        pieces.remove((carry.from_place, carry.piece))
        free.append(carry.from_place)
    if carry.to_place is not None:
        board[carry.to_place] = carry.piece
    else:
        slot = next(slot for slot in free if slot.startswith(f"tray-{carry.arm}-"))
        free.remove(slot)
        pieces.append((slot, carry.piece))
    return board, Beside(tuple(pieces), tuple(free), beside.doubtful)


def supplies(piece: str, beside: Beside) -> list[str]:
    """Slots with this piece: sure ones first, then trays, since what the racks have is for promotions."""
    slots = [slot for slot, letter in beside.pieces if letter == piece]
    return sorted(slots, key=lambda slot: (slot in beside.doubtful, slot.startswith("rack-")))


def _near(square: str, arms: Sequence[str]) -> str:
    """The arm on whose half of the board the square is."""
    return arms[0] if square[1] in "1234" else arms[-1]


def _able(first: str, square: str, arms: Sequence[str], vain: Vain) -> list[str]:
    return [arm for arm in (first, *(other for other in arms if other != first)) if (arm, square) not in vain]


def _steps(a: str, b: str) -> int:
    return chess.square_distance(chess.parse_square(a), chess.parse_square(b))


def _placement(board: Squares) -> str:
    empty = chess.BaseBoard(None)
    for square, piece in board.items():
        empty.set_piece_at(chess.parse_square(square), chess.Piece.from_symbol(piece))
    return empty.board_fen()

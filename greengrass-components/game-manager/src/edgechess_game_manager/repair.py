"""Whether an arm may put right what the board shows: from placements and grasp reports alone. Pure.

The board says which piece stands on which square, not where on the square, and of a piece that lies or stands across two
squares it says nothing. So a repair is certain only where every piece is accounted for: what was taken was put down where
the gripper says, or is still in it, or never left its square. Then the arm carries nothing but pieces that stand where
people or arms have put them. Everything else is a person's business (docs/decisions/0006-what-an-arm-may-repair.md).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import chess

from edgechess_kit.messages import GraspReport

WRONG_LIMIT = 6  # squares: a castling or a capturing promotion touches four at most; more is a table to be set up again

HAND = "hand-"  # where a piece that was put down later came from, in the controller's reports

Squares = dict[str, str]
"""Square name -> FEN letter."""


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A piece that an arm has in its gripper, measured."""

    arm: str
    piece: str


@dataclasses.dataclass(frozen=True, slots=True)
class Lying:
    """A piece that an arm lost on its way and that the board shows all the same, on `square`: coils feel some that lie.

    `shown`: every square with its like on it then. A piece that lies stays; somebody who stands it up lifts it first.
    """

    grasp: GraspReport
    square: str
    shown: frozenset[str]

    @property
    def words(self) -> str:
        grasp = self.grasp
        lost = f"the gripper lost the {named(grasp.piece)} between {grasp.from_place} and {grasp.to_place}"
        return f"{lost}, and the board shows it on {self.square}, where it may lie"

    def still(self, found: str) -> bool:
        """Nobody has lifted it since, as far as the placement `found` tells."""
        return _squares_of(self.grasp.piece, pieces_on(found)) == self.shown


def lying(before: str, found: str, grasps: Sequence[GraspReport]) -> Lying | None:
    """A piece of the placement `found` that stands nowhere, by the reports; `before` and `grasps` as for `doubt`."""
    standing = Counter(pieces_on(before).values())
    for grasp in grasps:
        if grasp.grasped is not False:
            leaves = grasp.from_place in chess.SQUARE_NAMES and bool(grasp.released or grasp.kept is False)
            arrives = grasp.to_place in chess.SQUARE_NAMES and bool(grasp.released and grasp.kept is not False)
            standing[grasp.piece] += arrives - leaves
    seen = pieces_on(found)
    for number, grasp in enumerate(grasps):
        shown = _squares_of(grasp.piece, seen)
        if _lost(grasps, number) and len(shown) > standing[grasp.piece]:
            strange = shown - _squares_of(grasp.piece, pieces_on(before))
            likely = (grasp.to_place, grasp.from_place, *sorted(strange), *sorted(shown))
            return Lying(grasp, next(square for square in likely if square in shown), shown)
    return None


def _lost(grasps: Sequence[GraspReport], number: int) -> bool:
    """The fingers had it and have it no more, and nobody has put it down out of them since."""
    grasp, later = grasps[number], grasps[number + 1 :]
    return grasp.kept is False and not _put_down(grasp, later)


def _put_down(grasp: GraspReport, later: Sequence[GraspReport]) -> bool:
    return any(other.from_place.startswith(HAND) and other.piece == grasp.piece for other in later)


def _squares_of(piece: str, board: Squares) -> frozenset[str]:
    return frozenset(square for square, letter in board.items() if letter == piece)


def doubt(
    before: str, goal: str, found: str, grasps: Sequence[GraspReport] = (), held: Held | None = None
) -> str | None:
    """Why no arm may turn the placement `found` into `goal`, or None: it is certain what stands where.

    `before` is what the board showed, settled, before the first of the acts that `grasps` report, in their order.
    """
    seen, wanted = pieces_on(found), pieces_on(goal)
    wrong = [square for square in chess.SQUARE_NAMES if seen.get(square) != wanted.get(square)]
    if len(wrong) > WRONG_LIMIT:
        return f"{len(wrong)} squares are wrong"
    expected = _by_the_grasps(pieces_on(before), seen, grasps, held)
    if isinstance(expected, str):
        return expected
    return (
        _not_all_there(expected, seen)
        or _not_in_place(expected, seen, wanted)
        or _no_supply(before, wanted, seen, held)
    )


def pieces_on(placement: str) -> Squares:
    """Raises ValueError for a bad placement."""
    board = chess.BaseBoard(placement.split(" ", 1)[0])
    return {chess.square_name(square): piece.symbol() for square, piece in sorted(board.piece_map().items())}


def named(letter: str) -> str:
    """ "N" -> "white knight"."""
    piece = chess.Piece.from_symbol(letter)
    return f"{chess.COLOR_NAMES[piece.color]} {chess.piece_name(piece.piece_type)}"


def _by_the_grasps(board: Squares, seen: Squares, grasps: Sequence[GraspReport], held: Held | None) -> Squares | str:
    """What should stand on the board after these acts; or which of them nobody can be sure of."""
    for number, grasp in enumerate(grasps):
        put_down = _put_down(grasp, grasps[number + 1 :])
        moved = True if put_down and grasp.grasped is not False else _moved(grasp, seen, held)
        if isinstance(moved, str):
            return moved
        if not moved:
            continue
        if board.get(grasp.from_place) == grasp.piece:
            del board[grasp.from_place]
        arrived = grasp.released or (seen.get(grasp.to_place) == grasp.piece and not _holds(held, grasp))
        if arrived and grasp.to_place in chess.SQUARE_NAMES:
            board[grasp.to_place] = grasp.piece
    return board


def _moved(grasp: GraspReport, seen: Squares, held: Held | None) -> bool | str:
    """Whether the piece left its place for good; or why that cannot be told."""
    what = f"the {named(grasp.piece)} from {grasp.from_place}"
    if grasp.grasped is False:
        return False
    if grasp.kept is False:
        return f"{what} was lost on the way"
    if grasp.released:
        if grasp.grasped is None and grasp.kept is None and grasp.to_place not in chess.SQUARE_NAMES:
            return f"nobody felt whether {what} came to {grasp.to_place}"
        return True
    if _holds(held, grasp):
        return True
    if grasp.grasped:
        return f"{what} left the gripper nobody knows where"
    if seen.get(grasp.from_place) == grasp.piece:
        return False
    if seen.get(grasp.to_place) == grasp.piece:
        return True
    return f"nobody knows what became of {what}"


def _holds(held: Held | None, grasp: GraspReport) -> bool:
    return held is not None and held.piece == grasp.piece and not grasp.released


def _not_all_there(expected: Mapping[str, str], seen: Mapping[str, str]) -> str | None:
    should, does = Counter(expected.values()), Counter(seen.values())
    gone, strange = should - does, does - should
    if gone:
        return f"nobody knows where the {named(next(iter(gone)))} is"
    if strange:
        return f"nobody knows where the {named(next(iter(strange)))} came from"
    return None


def _not_in_place(expected: Mapping[str, str], seen: Mapping[str, str], wanted: Mapping[str, str]) -> str | None:
    """A piece on the next square may have been pushed there: it stands at its edge, where fingers would land on it."""
    for square, piece in seen.items():
        if wanted.get(square) == piece or expected.get(square) == piece:
            continue
        for other, left in expected.items():
            pushed = left == piece and seen.get(other) != piece
            if pushed and chess.square_distance(chess.parse_square(square), chess.parse_square(other)) == 1:
                return f"the {named(piece)} on {square} may have been pushed there from {other}, and stand at the edge"
    return None


def _no_supply(before: str, wanted: Mapping[str, str], seen: Mapping[str, str], held: Held | None) -> str | None:
    """What is missing on the board must be in the gripper, or be the piece of a promotion, which the racks have. What the
    board does not want any more, a captured piece, goes from the gripper into the tray."""
    hand = Counter([held.piece] if held is not None else [])
    missing = Counter(wanted.values()) - Counter(seen.values())
    captured = Counter(pieces_on(before).values()) - Counter(wanted.values())
    if hand - missing - captured:
        return f"the gripper holds a {named(next(iter(hand)))} that the board does not want"
    promoted = Counter(wanted.values()) - Counter(pieces_on(before).values())
    without = missing - hand - promoted
    return f"the {named(next(iter(without)))} is not on the board" if without else None

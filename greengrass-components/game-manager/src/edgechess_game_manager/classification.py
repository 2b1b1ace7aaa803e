"""What went wrong with a move, from what the board shows and what the gripper felt. Pure.

Placements are first FEN fields. The words (`Code`) go into the answer, and later decide whether an arm may repair.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import chess

from edgechess_kit.messages import GraspReport, SquareDifference

Code = Literal[
    "unchanged",
    "missed-pick",
    "dropped",
    "wrong-square",
    "neighbour-displaced",
    "off-centre",
    "tipped",
    "extra-piece",
    "board-blind",
]

NAMED_LIMIT = 8  # squares that a sentence names; more is a table to be set up again, and `differences` has them

_SAYS: dict[Code, str] = {
    "unchanged": "nothing moved: the board still shows the position before the move",
    "missed-pick": "a piece was not picked up",
    "dropped": "a piece was lost on the way",
    "wrong-square": "a piece stands on a wrong square",
    "neighbour-displaced": "a piece that had nothing to do with the move was displaced",
    "off-centre": "the board flickers and does not settle: a piece stands off the centre of its square",
    "tipped": "a piece was put down but the board does not feel it: it has tipped over or lies",
    "extra-piece": "a piece too many is on the board",
    "board-blind": "the board cannot be read",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is one sentence with squares and pieces; `differences` are found against expected, a1 first."""

    code: Code
    reason: str
    differences: tuple[SquareDifference, ...] = ()


def differences(expected: str, found: str) -> tuple[SquareDifference, ...]:
    """Every square of `found` that is not as in `expected`, a1 first. Raises ValueError for a bad placement."""
    wanted, seen = chess.BaseBoard(expected), chess.BaseBoard(found)
    return tuple(
        SquareDifference(
            square=chess.square_name(square), expected=_letter(wanted, square), found=_letter(seen, square)
        )
        for square in chess.SQUARES
        if wanted.piece_at(square) != seen.piece_at(square)
    )


def named(items: Sequence[SquareDifference]) -> str:
    """ "e4 is empty, expected a white pawn; …"."""
    words = [_difference(item) for item in items[:NAMED_LIMIT]]
    if len(items) > NAMED_LIMIT:
        words.append(f"and {len(items) - NAMED_LIMIT} more squares")
    return "; ".join(words)


def classify(
    before: str, after: str, found: str | None, *, grasps: Sequence[GraspReport] = (), flicker: bool = False
) -> Verdict:
    """Why the board does not show `after`. `found` None: no settled reading; `flicker`: because it never settles.

    Precondition: `found` is not `after`.
    """
    touched = differences(before, after)
    if found is None:
        code: Code = "off-centre" if flicker else "board-blind"
        return Verdict(code, f"{_SAYS[code]}; the move touches {_places(touched)}")
    wrong = differences(after, found)
    code = _code(before, after, found, wrong, {item.square for item in touched}, grasps, flicker)
    felt = _felt(grasps)
    return Verdict(code, f"{_SAYS[code]}: {named(wrong)}{f' ({felt})' if felt else ''}", wrong)


def _code(
    before: str,
    after: str,
    found: str,
    wrong: Sequence[SquareDifference],
    touched: set[str],
    grasps: Sequence[GraspReport],
    flicker: bool,
) -> Code:
    if chess.BaseBoard(found) == chess.BaseBoard(before):
        return "unchanged"
    outside = [item for item in wrong if item.square not in touched]
    if not outside and _still_waiting(before, after, found, touched):
        return "missed-pick"
    missing, excess = _balance(wrong)
    if excess and not missing:
        return "extra-piece"
    if missing and not excess:
        return _vanished(outside, missing, wrong, grasps, flicker)
    displaced = [item for item in outside if item.expected is not None]
    if displaced and len(displaced) == len([item for item in wrong if item.expected is not None]):
        return "neighbour-displaced"
    if missing and excess and not displaced and any(item.expected is None for item in outside):
        return "extra-piece"
    return "wrong-square"


def _vanished(
    outside: Sequence[SquareDifference],
    missing: Counter[str],
    wrong: Sequence[SquareDifference],
    grasps: Sequence[GraspReport],
    flicker: bool,
) -> Code:
    """A piece is nowhere on the board, and none is too many."""
    if len([item for item in wrong if item.expected is not None]) == len(outside):
        return "neighbour-displaced"
    carried = [grasp for grasp in grasps if grasp.piece in missing]
    if carried and all(grasp.grasped and grasp.released and grasp.kept is not False for grasp in carried):
        return "off-centre" if flicker else "tipped"
    return "dropped"


def _still_waiting(before: str, after: str, found: str, touched: set[str]) -> bool:
    """Some piece that was to leave its square stands there still, and everything else touched is old, new or empty."""
    boards = [chess.BaseBoard(text) for text in (before, after, found)]
    stayed = False
    for name in touched:
        old, new, seen = (board.piece_at(chess.parse_square(name)) for board in boards)
        if seen not in (old, new, None):
            return False
        stayed = stayed or (old is not None and new is None and seen == old)
    return stayed


def _balance(wrong: Sequence[SquareDifference]) -> tuple[Counter[str], Counter[str]]:
    expected = Counter(item.expected for item in wrong if item.expected)
    found = Counter(item.found for item in wrong if item.found)
    return expected - found, found - expected


def _felt(grasps: Sequence[GraspReport]) -> str:
    words = []
    for grasp in grasps:
        piece = _piece(grasp.piece)
        if grasp.grasped is False:
            words.append(f"the gripper felt nothing when it took the {piece} at {grasp.from_place}")
        elif grasp.kept is False:
            words.append(f"the gripper lost the {piece} between {grasp.from_place} and {grasp.to_place}")
        elif grasp.released is False:
            words.append(f"the gripper did not let go of the {piece} at {grasp.to_place}")
    return "; ".join(words)


def _letter(board: chess.BaseBoard, square: int) -> str | None:
    piece = board.piece_at(square)
    return piece.symbol() if piece else None


def _piece(letter: str) -> str:
    piece = chess.Piece.from_symbol(letter)
    return f"{'white' if piece.color else 'black'} {chess.piece_name(piece.piece_type)}"


def _difference(item: SquareDifference) -> str:
    found = f"holds a {_piece(item.found)}" if item.found else "is empty"
    expected = f"a {_piece(item.expected)}" if item.expected else "nothing"
    return f"{item.square} {found}, expected {expected}"


def _places(touched: Sequence[SquareDifference]) -> str:
    return ", ".join(
        f"{item.square} ({_piece(item.found)} expected)" if item.found else f"{item.square} (to be empty)"
        for item in touched
    )

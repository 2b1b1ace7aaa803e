"""The one strict criterion of the trials, judged by the world itself. Pure.

After a move that was confirmed the placement is exact, every piece of the table stands upright, every piece of the board
stands within 11 mm of its square's centre, and no piece that the move does not touch has moved by more than 10 mm.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from edgechess_board.placement import Placement, square_name
from edgechess_robots.layout import TableLayout
from edgechess_twin.world import POCKET, PieceView

CENTRED_MM = 11.0  # a fifth of a 55 mm square
MOVED_MM = 10.0
STILL_MM = 0.5  # less is no motion; a piece that somebody had left further out than CENTRED_MM, and nobody touched


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """`map_right`: every piece is on the square where it should be. `faults`: sentences, none when all is right."""

    map_right: bool
    faults: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not self.faults


def judge(
    before: Sequence[PieceView],
    after: Sequence[PieceView],
    was: Placement,
    found: Placement,
    expected: Placement,
    layout: TableLayout,
) -> Verdict:
    """`was` and `found` are the world's placements when the pieces were seen `before` and `after`."""
    faults = [str(difference) for difference in found.differences(expected)]
    stood = {view.number: view for view in before}
    for view in after:
        if view.held_by == POCKET:
            continue
        name = f"{view.letter} near {square_name(_square(view, layout))}"
        if not view.upright:
            faults.append(f"{name} lies")
            continue
        old = stood.get(view.number)
        moved_mm = math.dist((view.x_mm, view.y_mm), (old.x_mm, old.y_mm)) if old is not None else math.inf
        off_mm = _off_centre_mm(view, layout)
        if off_mm is not None and off_mm > CENTRED_MM and moved_mm > STILL_MM:
            faults.append(f"{name} stands {off_mm:.1f} mm off the centre")
        if old is not None and moved_mm > MOVED_MM and _untouched(old, was, expected, layout):
            faults.append(f"{name} was moved by {moved_mm:.1f} mm")
    return Verdict(found == expected, tuple(faults))


def _untouched(old: PieceView, was: Placement, expected: Placement, layout: TableLayout) -> bool:
    """A piece of the board that stood where it belongs before and after."""
    if _off_centre_mm(old, layout) is None or not old.upright:
        return False
    square = _square(old, layout)
    return was[square] == old.letter == expected[square]


def _square(view: PieceView, layout: TableLayout) -> int:
    """The nearest one, for pieces beside the board too."""
    column = min(max(math.floor(view.x_mm / layout.square_mm + 4.0), 0), 7)
    row = min(max(math.floor(view.y_mm / layout.square_mm + 4.0), 0), 7)
    return column + 8 * row


def _off_centre_mm(view: PieceView, layout: TableLayout) -> float | None:
    """None for a piece beside the board."""
    half = 4.0 * layout.square_mm
    if abs(view.x_mm) > half or abs(view.y_mm) > half:
        return None
    square = _square(view, layout)
    x, y = (square % 8 - 3.5) * layout.square_mm, (square // 8 - 3.5) * layout.square_mm
    return math.hypot(view.x_mm - x, view.y_mm - y)

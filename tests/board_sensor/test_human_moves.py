"""People's moves at the software table: hand, physics, scanner, serial line, driver, settling, recognition, bus.

Slides, swaps, captures in any order, castling king first, rook first and with both hands, pawns exchanged on the last
rank, pieces put down off-centre and flickering: every move is announced once, as itself. Ten thousand of them are
`edgechess bench human-moves`, which takes minutes.
"""

from __future__ import annotations

import pytest

from edgechess_cli.bench.human_moves import CLUMSY, FIRST_SEED, Tally, play_one, play_seed
from edgechess_twin.faults import NONE

SLOW_MOVES = 1000


@pytest.mark.anyio
@pytest.mark.parametrize(("seed", "rotated"), [(2, False), (4, True)])
async def test_every_move_of_a_game_by_a_tidy_hand(seed: int, rotated: bool) -> None:
    tally = await play_one(seed, NONE, rotated=rotated, plies=16)
    assert (tally.wrong, tally.lost, tally.helped) == ([], [], 0)
    assert tally.moves == 16


@pytest.mark.anyio
async def test_every_move_of_a_game_by_a_clumsy_hand() -> None:
    tally = await play_one(3, CLUMSY, plies=16)
    assert (tally.wrong, tally.lost) == ([], [])
    assert tally.moves == 16


def test_two_pieces_that_flicker_by_turns() -> None:
    """Seed 1155 of the ten thousand: a pawn and a rook flicker by turns, and the move is announced late, not never."""
    tally = play_seed(1155, plies=5)
    assert (tally.wrong, tally.lost) == ([], [])


@pytest.mark.slow
def test_a_thousand_moves() -> None:
    tally, seed = Tally(), FIRST_SEED
    while tally.moves < SLOW_MOVES:
        tally.add(play_seed(seed))
        seed += 1
    assert (tally.wrong, tally.lost) == ([], [])
    assert tally.short_castlings >= 4
    assert tally.long_castlings >= 4
    assert tally.captures >= 50

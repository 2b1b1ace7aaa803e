from __future__ import annotations

import pytest

from edgechess_board.dgt_squares import codes_of, field_of, placement_of, square_of
from edgechess_board.placement import Placement, square_index

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR"


@pytest.mark.parametrize(
    ("field", "normal", "rotated"),
    [(0, "a8", "h1"), (7, "h8", "a1"), (56, "a1", "h8"), (63, "h1", "a8"), (52, "e2", "d7"), (36, "e4", "d5"), (3, "d8", "e1")],
)  # fmt: skip
def test_fields(field: int, normal: str, rotated: str) -> None:
    for turned, name in ((False, normal), (True, rotated)):
        assert square_of(field, rotated=turned) == square_index(name)
        assert field_of(square_index(name), rotated=turned) == field


def test_the_reference_start_dump() -> None:
    codes = bytes.fromhex("08090a0c0b0a0908" + "07" * 8 + "00" * 32 + "01" * 8 + "0203040605040302")
    assert placement_of(codes, rotated=False).fen == START
    assert bytes(codes_of(Placement.from_fen(START), rotated=False)) == codes


def test_a_rotated_board_shows_the_reverse() -> None:
    placement = Placement.from_fen("8/P7/8/8/3k4/8/8/K6r")
    assert codes_of(placement, rotated=True) == tuple(reversed(codes_of(placement, rotated=False)))
    assert placement_of(codes_of(placement, rotated=True), rotated=True) == placement


def test_magic_pieces_are_no_chessmen() -> None:
    assert placement_of([0x0D, 0x0E, 0x0F] + [0] * 61, rotated=False) == Placement.empty()

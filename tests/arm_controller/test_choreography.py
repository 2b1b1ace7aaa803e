"""Carries of every kind of move, applied to squares and slots, give exactly the position after."""

from __future__ import annotations

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_arm_controller.choreography import Carry, move_carries, pieces_on, rearrangement
from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.slots import Slots
from edgechess_robots.layout import standard_layout

LAYOUT = standard_layout()
FRESH = Slots.filled(LAYOUT, {"white": "QQRBN", "black": "qqrbn"})


def carried(places: dict[str, str], carries: tuple[Carry, ...]) -> dict[str, str]:
    """Strict: a piece must be where it is taken, and nothing where it is put."""
    places = dict(places)
    for carry in carries:
        assert places.pop(carry.from_place) == carry.piece, carry
        assert carry.to_place not in places, carry
        places[carry.to_place] = carry.piece
    return places


def after(fen: str, lan: str) -> str:
    board = chess.Board(fen)
    board.push_uci(lan)
    return board.fen()


def moves(fen: str, lan: str, slots: Slots = FRESH, arm: str = "white") -> list[tuple[str, str, str]]:
    return [(c.piece, c.from_place, c.to_place) for c in move_carries(fen, after(fen, lan), lan, arm, slots)]


def test_a_quiet_move() -> None:
    assert moves(chess.STARTING_FEN, "g1f3") == [("N", "g1", "f3")]


def test_a_capture_clears_the_square_first() -> None:
    assert moves("4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "e4d5") == [("p", "d5", "tray-white-0"), ("P", "e4", "d5")]


def test_en_passant_takes_the_pawn_beside() -> None:
    fen = "4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1"
    assert moves(fen, "e5d6") == [("p", "d5", "tray-white-0"), ("P", "e5", "d6")]
    assert moves("4k3/8/8/8/3pP3/8/8/4K3 b - e3 0 1", "d4e3", arm="black")[0] == ("P", "e4", "tray-black-0")


@pytest.mark.parametrize(
    ("fen", "lan", "king", "rook"),
    [
        ("4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1", "e1g1", ("K", "e1", "g1"), ("R", "h1", "f1")),
        ("4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1", "e1c1", ("K", "e1", "c1"), ("R", "a1", "d1")),
        ("r3k2r/8/8/8/8/8/8/4K3 b kq - 0 1", "e8g8", ("k", "e8", "g8"), ("r", "h8", "f8")),
        ("r3k2r/8/8/8/8/8/8/4K3 b kq - 0 1", "e8c8", ("k", "e8", "c8"), ("r", "a8", "d8")),
    ],
)
def test_castling_moves_the_king_and_then_the_rook(
    fen: str, lan: str, king: tuple[str, str, str], rook: tuple[str, str, str]
) -> None:
    assert moves(fen, lan) == [king, rook]


@pytest.mark.parametrize(("letter", "slot"), [("q", 0), ("r", 2), ("b", 3), ("n", 4)])
def test_promotions_come_from_the_rack(letter: str, slot: int) -> None:
    fen = "7k/4P3/8/8/8/8/8/4K3 w - - 0 1"
    expected = [("P", "e7", "tray-white-0"), (letter.upper(), f"rack-white-{slot}", "e8")]
    assert moves(fen, f"e7e8{letter}") == expected


def test_a_capturing_promotion_carries_three() -> None:
    fen = "3r3k/4P3/8/8/8/8/8/4K3 w - - 0 1"
    assert moves(fen, "e7d8q") == [
        ("r", "d8", "tray-white-0"),
        ("P", "e7", "tray-white-1"),
        ("Q", "rack-white-0", "d8"),
    ]


def test_a_piece_missing_in_the_rack_comes_from_a_tray_then_from_another_rack() -> None:
    fen = "7k/4P3/8/8/8/8/8/4K3 w - - 0 1"
    empty = FRESH.put("rack-white-0", None).put("rack-white-1", None)
    assert moves(fen, "e7e8q", empty.put("rack-black-1", "Q"))[1] == ("Q", "rack-black-1", "e8")
    both = empty.put("rack-black-1", "Q").put("tray-black-3", "Q")
    assert moves(fen, "e7e8q", both)[1] == ("Q", "tray-black-3", "e8")


def with_full_trays(*arms: str) -> Slots:
    full = FRESH
    for arm in arms:
        for number in range(16):
            full = full.put(f"tray-{arm}-{number}", "p")
    return full


def test_a_full_tray_is_followed_by_the_other_one() -> None:
    taken, _ = moves("4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "e4d5", with_full_trays("white"))
    assert taken[2] == "tray-black-0"
    taken, _ = moves("4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "e4d5", with_full_trays("black"))
    assert taken[2] == "tray-white-0"


def test_no_piece_and_no_slot_are_refused_by_name() -> None:
    fen = "7k/4P3/8/8/8/8/8/4K3 w - - 0 1"
    with pytest.raises(JobRefused, match="white queen") as missing:
        moves(fen, "e7e8q", FRESH.put("rack-white-0", None).put("rack-white-1", None))
    assert missing.value.code == "no-piece"
    full = with_full_trays("white", "black")
    with pytest.raises(JobRefused, match="no tray within reach of arm white has a free slot") as crowded:
        moves("4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "e4d5", full)
    assert crowded.value.code == "no-slot"


def test_a_doubtful_slot_is_not_filled_and_its_piece_is_the_last_choice() -> None:
    doubtful = FRESH.doubt("tray-white-0").doubt("rack-white-0")
    assert moves("4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "e4d5", doubtful)[0][2] == "tray-white-1"
    assert moves("7k/4P3/8/8/8/8/8/4K3 w - - 0 1", "e7e8q", doubtful)[1][1] == "rack-white-1"


@pytest.mark.parametrize(
    ("before", "after_", "lan"),
    [
        (chess.STARTING_FEN, chess.STARTING_FEN, "e2e4"),
        (chess.STARTING_FEN, after(chess.STARTING_FEN, "e2e4"), "d2d4"),
        (chess.STARTING_FEN, after(chess.STARTING_FEN, "e2e4"), "e2e5"),
    ],
)
def test_what_does_not_lead_from_before_to_after_is_refused(before: str, after_: str, lan: str) -> None:
    with pytest.raises(JobRefused) as refused:
        move_carries(before, after_, lan, "white", FRESH)
    assert refused.value.code == "illegal"


def test_nonsense_is_refused() -> None:
    with pytest.raises(JobRefused) as refused:
        move_carries("not a position", "8/8/8/8/8/8/8/8", "", "white", FRESH)
    assert refused.value.code == "malformed"


@pytest.mark.slow  # whole games
@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_whole_games_end_as_chess_says(random: object) -> None:
    """Every move of a random game, with tray and rack carried along; captures and promotions are sought out."""
    board, slots = chess.Board(), FRESH
    places = {**pieces_on(board.fen()), **{slot.name: slot.piece for slot in slots if slot.piece}}
    for _ in range(60):
        legal = sorted(board.legal_moves, key=chess.Move.uci)
        if not legal:
            return
        rare = [m for m in legal if m.promotion or board.is_castling(m) or board.is_capture(m)]
        move = random.choice(rare or legal)  # type: ignore[attr-defined]
        arm = "white" if board.turn else "black"
        before = board.fen()
        board.push(move)
        try:
            carries = move_carries(before, board.fen(), move.uci(), arm, slots)
        except JobRefused as refused:
            if refused.code not in ("no-piece", "no-slot"):
                raise
            return
        places = carried(places, carries)
        for carry in carries:
            slots = slots.put(carry.from_place, None).put(carry.to_place, carry.piece)
        assert {place: piece for place, piece in places.items() if "-" not in place} == pieces_on(board.fen())
        assert {slot.name: slot.piece for slot in slots if slot.piece} == {
            place: piece for place, piece in places.items() if "-" in place
        }


PIECES = st.dictionaries(
    st.sampled_from(chess.SQUARE_NAMES), st.sampled_from("PPPpppRrNnBbQq"), min_size=0, max_size=12
)


def fen_of(pieces: dict[str, str]) -> str:
    board = chess.BaseBoard.empty()
    for square, letter in pieces.items():
        board.set_piece_at(chess.parse_square(square), chess.Piece.from_symbol(letter))
    return board.board_fen()


@settings(max_examples=80, deadline=None)
@given(PIECES, PIECES)
def test_any_placement_turns_into_any_other_or_is_refused(before: dict[str, str], wanted: dict[str, str]) -> None:
    try:
        carries = rearrangement(fen_of(before), fen_of(wanted), "white", FRESH)
    except JobRefused as refused:
        if refused.code not in ("no-piece", "no-slot"):
            raise
        return
    places = carried({**before, **{slot.name: slot.piece for slot in FRESH if slot.piece}}, carries)
    assert {place: piece for place, piece in places.items() if "-" not in place} == dict(sorted(wanted.items()))


def test_a_ring_is_opened_by_way_of_the_tray() -> None:
    carries = rearrangement("8/8/8/8/8/8/8/RN6", "8/8/8/8/8/8/8/NR6", "white", FRESH)
    assert len(carries) == 3
    assert carries[0].to_place == "tray-white-0"

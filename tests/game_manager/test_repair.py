"""What an arm may put right by itself, and what is a person's business: by what the board shows and the gripper felt."""

from __future__ import annotations

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_game_manager.repair import HAND, Held, doubt, lying, pieces_on
from edgechess_kit.messages import GraspReport

START = chess.STARTING_BOARD_FEN
CAPTURE = "rnbqkbnr/ppp1pppp/8/3p4/4P3/8/PPPP1PPP/RNBQKBNR"
CASTLING = "4k3/8/8/8/8/8/8/4K2R"
PROMOTION = "4k3/P7/8/8/8/8/8/4K3"


def put(placement: str, **squares: str | None) -> str:
    board = chess.BaseBoard(placement)
    for name, piece in squares.items():
        board.set_piece_at(chess.parse_square(name), chess.Piece.from_symbol(piece) if piece else None)
    return board.board_fen()


def took(piece: str, start: str, end: str) -> GraspReport:
    return GraspReport(piece=piece, from_place=start, to_place=end, grasped=True, released=True, kept=True)


def missed(piece: str, start: str, end: str) -> GraspReport:
    return GraspReport(piece=piece, from_place=start, to_place=end, grasped=False, released=False)


def lost(piece: str, start: str, end: str) -> GraspReport:
    return GraspReport(piece=piece, from_place=start, to_place=end, grasped=True, released=False, kept=False)


def unknown(piece: str, start: str, end: str) -> GraspReport:
    return GraspReport(piece=piece, from_place=start, to_place=end)


E4 = put(START, e2=None, e4="P")
TAKEN = put(CAPTURE, e4=None, d5="P")
CASTLED = "4k3/8/8/8/8/8/8/5RK1"
QUEENED = "Q3k3/8/8/8/8/8/8/4K3"


@pytest.mark.parametrize(
    ("before", "goal", "found", "grasps"),
    [
        (START, E4, START, (missed("P", "e2", "e4"),)),
        (START, E4, START, (unknown("P", "e2", "e4"),)),
        (START, E4, START, ()),
        (CAPTURE, TAKEN, CAPTURE, (missed("p", "d5", "tray-white-0"),)),
        (CAPTURE, TAKEN, put(CAPTURE, d5=None), (took("p", "d5", "tray-white-0"), missed("P", "e4", "d5"))),
        (CAPTURE, TAKEN, put(CAPTURE, d5=None), (took("p", "d5", "tray-white-0"), unknown("P", "e4", "d5"))),
        (CASTLING, CASTLED, "4k3/8/8/8/8/8/8/6KR", (took("K", "e1", "g1"), missed("R", "h1", "f1"))),
        (PROMOTION, QUEENED, "4k3/8/8/8/8/8/8/4K3", (took("P", "a7", "tray-white-0"), missed("Q", "rack-white-0", "a8"))),
        # the second attempt has missed as well
        (START, E4, START, (missed("P", "e2", "e4"), missed("P", "e2", "e4"))),
        # somebody has carried a knight away, and nobody's neighbour it is
        (START, START, put(START, g1=None, h4="N"), ()),
    ],
)  # fmt: skip
def test_it_is_certain_what_stands_where(before: str, goal: str, found: str, grasps: tuple[GraspReport, ...]) -> None:
    assert doubt(before, goal, found, grasps) is None


@pytest.mark.parametrize(
    ("before", "goal", "found", "grasps", "why"),
    [
        (START, E4, put(START, e2=None), (lost("P", "e2", "e4"),), "the white pawn from e2 was lost on the way"),
        (START, E4, put(START, e2=None), (took("P", "e2", "e4"),), "nobody knows where the white pawn is"),
        (START, E4, put(START, e2=None), (unknown("P", "e2", "e4"),), "nobody knows what became of the white pawn"),
        (START, E4, put(E4, d2=None), (took("P", "e2", "e4"),), "nobody knows where the white pawn is"),
        (START, E4, put(E4, e5="p"), (took("P", "e2", "e4"),), "nobody knows where the black pawn came from"),
        (START, E4, put(E4, d2=None, d3="P"), (took("P", "e2", "e4"),), "the white pawn on d3 may have been pushed there"),
        (START, E4, put(START, e2=None, e3="P"), (took("P", "e2", "e4"),), "pushed there from e4"),
        # a queen that fell somewhere is not seen by what is missing: it never stood on the board
        (
            PROMOTION, QUEENED, "4k3/8/8/8/8/8/8/4K3",
            (took("P", "a7", "tray-white-0"), lost("Q", "rack-white-0", "a8")), "the white queen from rack-white-0 was lost",
        ),
        (PROMOTION, QUEENED, "4k3/8/8/8/8/8/8/4K3", (unknown("P", "a7", "tray-white-0"),), "nobody knows what became"),
        (
            PROMOTION, QUEENED, "4k3/8/8/8/8/8/8/4K3",
            (took("P", "a7", "tray-white-0"), unknown("Q", "rack-white-0", "a8")), "nobody knows what became",
        ),
        (CAPTURE, TAKEN, put(CAPTURE, d5=None), (
            GraspReport(piece="p", from_place="d5", to_place="tray-white-0", released=True), missed("P", "e4", "d5"),
        ), "nobody felt whether the black pawn"),
        (START, E4, "8/8/8/8/8/8/8/8", (), "squares are wrong"),
        (START, START, put(START, d2=None), (), "nobody knows where the white pawn is"),
        (START, START, put(START, d2=None, d3="P"), (), "pushed there from d2"),
    ],
)  # fmt: skip
def test_a_person_must_look(before: str, goal: str, found: str, grasps: tuple[GraspReport, ...], why: str) -> None:
    assert why in (doubt(before, goal, found, grasps) or "no doubt")


def test_a_piece_in_the_hand() -> None:
    lifted, taken = (
        put(START, e2=None),
        GraspReport(piece="P", from_place="e2", to_place="e4", grasped=True, released=False),
    )
    assert doubt(START, E4, lifted, (taken,), Held("white", "P")) is None
    assert doubt(START, E4, lifted, (unknown("P", "e2", "e4"),), Held("white", "P")) is None
    assert "left the gripper" in (doubt(START, E4, lifted, (taken,)) or "")
    victim = GraspReport(piece="p", from_place="d5", to_place="tray-white-0", grasped=True, released=False)
    assert doubt(CAPTURE, TAKEN, put(CAPTURE, d5=None), (victim,), Held("white", "p")) is None
    put_away = GraspReport(piece="p", from_place="hand-white", to_place="tray-white-0", released=True, kept=True)
    assert doubt(CAPTURE, TAKEN, put(CAPTURE, d5=None), (victim, put_away)) is None
    dropped = GraspReport(piece="p", from_place="hand-white", to_place="tray-white-0", released=False, kept=False)
    assert "was lost" in (doubt(CAPTURE, TAKEN, put(CAPTURE, d5=None), (victim, dropped)) or "")
    assert "does not want" in (doubt(START, START, START, (), Held("white", "q")) or "no doubt")
    queen = GraspReport(piece="Q", from_place="rack-white-0", to_place="a8", grasped=True, released=False)
    pawn = took("P", "a7", "tray-white-0")
    assert doubt(PROMOTION, QUEENED, "4k3/8/8/8/8/8/8/4K3", (pawn, queen), Held("white", "Q")) is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_where_there_is_no_doubt_every_piece_is_accounted_for(data: st.DataObject) -> None:
    """Whatever the board shows and the reports say: a repair never begins with a piece unaccounted for on the table."""
    board = chess.Board(
        data.draw(st.sampled_from([chess.STARTING_FEN, f"{CAPTURE} w KQkq - 0 2", f"{PROMOTION} w - - 0 1"]))
    )
    moves = sorted(board.legal_moves, key=chess.Move.uci)
    move = moves[data.draw(st.integers(0, len(moves) - 1))]
    before = board.board_fen()
    piece = board.piece_at(move.from_square)
    assert piece is not None
    start, end = move.uci()[:2], move.uci()[2:4]
    board.push(move)
    report = data.draw(st.sampled_from([took, missed, lost, unknown]))(piece.symbol(), start, end)
    squares = st.sampled_from(chess.SQUARE_NAMES)
    changes = data.draw(st.dictionaries(squares, st.sampled_from([None, "P", "p", "Q", "n"]), max_size=2))
    found = put(data.draw(st.sampled_from([before, board.board_fen()])), **changes)
    if doubt(before, board.board_fen(), found, (report,)) is None:
        there, were = sorted(pieces_on(found).values()), sorted(pieces_on(before).values())
        captured = sorted(pieces_on(board.board_fen()).values())
        assert there in (were, captured)
        assert report.kept is not False


@pytest.mark.parametrize(
    ("before", "found", "grasps", "square"),
    [
        (START, E4, (lost("P", "e2", "e4"),), "e4"),
        (START, START, (lost("P", "e2", "e4"),), "e2"),
        (START, put(START, e2=None, h5="P"), (lost("P", "e2", "e4"),), "h5"),
        (PROMOTION, QUEENED, (took("P", "a7", "tray-white-0"), lost("Q", "rack-white-0", "a8")), "a8"),
        (CAPTURE, CAPTURE, (lost("p", "d5", "tray-white-0"),), "d5"),
        (CASTLING, CASTLED, (took("K", "e1", "g1"), lost("R", "h1", "f1")), "f1"),
        (START, START, (lost("P", "e2", "e4"), lost("N", "g1", "f3")), "e2"),
        # not on the board, as it should be
        (START, put(START, e2=None), (lost("P", "e2", "e4"),), None),
        (CAPTURE, put(CAPTURE, d5=None), (lost("p", "d5", "tray-white-0"),), None),
        (PROMOTION, "4k3/8/8/8/8/8/8/4K3", (took("P", "a7", "tray-white-0"), lost("Q", "rack-white-0", "a8")), None),
        # not lost
        (START, E4, (took("P", "e2", "e4"),), None),
        (START, START, (missed("P", "e2", "e4"),), None),
        (START, E4, (unknown("P", "e2", "e4"),), None),
        (START, E4, (lost("P", "e2", "e4"), took("P", f"{HAND}white", "e4")), None),
    ],
)
def test_a_lost_piece_that_is_felt_lies_there(
    before: str, found: str, grasps: tuple[GraspReport, ...], square: str | None
) -> None:
    felt = lying(before, found, grasps)
    assert (felt.square if felt else None) == square
    if felt is not None:
        assert felt.still(found)
        assert not felt.still(put(found, **{felt.square: None}))

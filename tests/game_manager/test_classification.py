from __future__ import annotations

import chess
import pytest

from edgechess_game_manager.classification import classify, named
from edgechess_kit.messages import GraspReport

CAPTURE = ("rnbqkbnr/ppp1pppp/8/3p4/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 2", "e4d5")


def after_of(fen: str, lan: str) -> str:
    board = chess.Board(fen)
    board.push_uci(lan)
    return board.board_fen()


def put(placement: str, **squares: str | None) -> str:
    """The placement with squares changed: e4="P", e4=None."""
    board = chess.BaseBoard(placement)
    for name, piece in squares.items():
        board.set_piece_at(chess.parse_square(name), chess.Piece.from_symbol(piece) if piece else None)
    return board.board_fen()


START = chess.STARTING_BOARD_FEN
E4 = after_of(chess.STARTING_FEN, "e2e4")
GOOD = GraspReport(piece="P", from_place="e2", to_place="e4", grasped=True, released=True, kept=True)
LOST = GraspReport(piece="P", from_place="e2", to_place="e4", grasped=True, released=True, kept=False)


@pytest.mark.parametrize(
    ("found", "grasps", "code", "words"),
    [
        (START, (), "unchanged", "e2 holds a white pawn, expected nothing; e4 is empty, expected a white pawn"),
        (put(E4, e4=None), (LOST,), "dropped", "the gripper lost the white pawn between e2 and e4"),
        (put(E4, e4=None), (), "dropped", "e4 is empty, expected a white pawn"),
        (put(E4, e4=None), (GOOD,), "tipped", "e4 is empty"),
        (put(E4, e4=None, e5="P"), (GOOD,), "wrong-square", "e5 holds a white pawn, expected nothing"),
        (put(E4, d2=None, d3="P"), (GOOD,), "neighbour-displaced", "d2 is empty, expected a white pawn"),
        (put(E4, f2=None), (GOOD,), "neighbour-displaced", "f2 is empty"),
        (put(E4, e5="p"), (GOOD,), "extra-piece", "e5 holds a black pawn, expected nothing"),
    ],
)
def test_a_quiet_move(found: str, grasps: tuple[GraspReport, ...], code: str, words: str) -> None:
    verdict = classify(START, E4, found, grasps=grasps)
    assert verdict.code == code
    assert words in verdict.reason
    assert verdict.differences


def test_a_capture_of_which_only_the_taking_away_succeeded() -> None:
    fen, lan = CAPTURE
    after = after_of(fen, lan)
    verdict = classify(fen.split()[0], after, put(fen.split()[0], d5=None))
    assert verdict.code == "missed-pick"


def test_half_a_castling() -> None:
    before = "4k3/8/8/8/8/8/8/4K2R"
    verdict = classify(before, "4k3/8/8/8/8/8/8/5RK1", "4k3/8/8/8/8/8/8/6KR")
    assert verdict.code == "missed-pick"
    assert "h1 holds a white rook, expected nothing" in verdict.reason


def test_a_promotion_left_as_a_pawn() -> None:
    verdict = classify("4k3/P7/8/8/8/8/8/4K3", "Q3k3/8/8/8/8/8/8/4K3", "4k3/8/8/8/8/8/8/4K3")
    assert verdict.code == "dropped"
    verdict = classify("4k3/P7/8/8/8/8/8/4K3", "Q3k3/8/8/8/8/8/8/4K3", "P3k3/8/8/8/8/8/8/4K3")
    assert verdict.code == "wrong-square"
    assert "a8 holds a white pawn, expected a white queen" in verdict.reason


def test_no_reading() -> None:
    blind = classify(START, E4, None)
    assert blind.code == "board-blind"
    assert blind.differences == ()
    flicker = classify(START, E4, None, flicker=True)
    assert flicker.code == "off-centre"
    assert "e4 (white pawn expected)" in flicker.reason


def test_a_sentence_stays_a_sentence() -> None:
    verdict = classify(START, E4, "8/8/8/8/8/8/8/8")
    assert len(verdict.differences) == 32
    assert verdict.reason.endswith("and 24 more squares")
    assert named(()) == ""


@pytest.mark.parametrize("fen", [chess.STARTING_FEN, CAPTURE[0], "r3k2r/8/8/3pP3/8/8/P6p/R3K2R w KQkq d6 0 1"])
def test_every_single_wrong_square_gets_a_word(fen: str) -> None:
    board = chess.Board(fen)
    for move in list(board.legal_moves)[::8]:
        after = after_of(fen, move.uci())
        for name in chess.SQUARE_NAMES:
            for piece in (None, "P", "q"):
                found = put(after, **{name: piece})
                if found != after:
                    verdict = classify(board.board_fen(), after, found, grasps=(GOOD,))
                    assert name in verdict.reason

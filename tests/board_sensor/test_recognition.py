"""Recognition against python-chess playing seeded random games: every legal move, and what half-done moves look like."""

from __future__ import annotations

import itertools
import random

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_board.placement import Placement, square_index
from edgechess_board_sensor.position import Line, placement_of, same_position
from edgechess_board_sensor.recognition import Ambiguous, Recognised, Wrong, explain, recognise

START = chess.STARTING_FEN
CASTLING = "r3k2r/pppq1ppp/2npbn2/2b1p3/2B1P3/2NPBN2/PPPQ1PPP/R3K2R w KQkq - 0 1"
SHARP = "r3k2r/1P4P1/8/3pP3/3Pp3/8/1p4p1/R3K2R w KQkq d6 0 1"  # castling, en passant and promotions at once


def game(seed: int, plies: int, fen: str = START) -> list[Line]:
    """The lines of a random game, each one ply longer; forcing moves are preferred, so that rare ones happen."""
    chance, line = random.Random(seed), Line(fen)
    lines = [line]
    for _ in range(plies):
        board = line.board
        moves = list(board.legal_moves)
        if not moves:
            break
        rare = [m for m in moves if board.is_castling(m) or board.is_en_passant(m) or m.promotion]
        line = line.forward(chance.choice(rare if rare and chance.random() < 0.5 else moves).uci()).trimmed()
        lines.append(line)
    return lines


def after(line: Line, *moves: str) -> Placement:
    return line.forward(*moves).placement


def moved(placement: Placement, origin: str, target: str) -> Placement:
    return placement.with_piece(square_index(origin), None).with_piece(
        square_index(target), placement[square_index(origin)]
    )


@pytest.mark.parametrize("fen", [START, CASTLING, SHARP], ids=["start", "castling", "sharp"])
@pytest.mark.parametrize("seed", range(2))
def test_every_legal_move_of_random_games_is_recognised_as_itself(fen: str, seed: int) -> None:
    for line in game(seed, 36, fen):
        assert recognise(line.placement, line) == Recognised()
        for move in line.board.legal_moves:
            finding = recognise(after(line, move.uci()), line)
            assert isinstance(finding, Recognised)
            assert (finding.taken_back, finding.played) == (0, (move.uci(),))


@pytest.mark.parametrize("seed", range(4))
def test_no_half_of_a_move_is_taken_for_another_one(seed: int) -> None:
    """Any order of touching the squares: what lies in between matches a move only if `may_become` says so."""
    chance = random.Random(seed)
    for line in game(seed, 36, SHARP if seed % 2 else START):
        board = line.board
        moves = list(board.legal_moves)
        for move in chance.sample(moves, min(6, len(moves))):
            there = after(line, move.uci())
            changes = list(there.differences(line.placement))
            chance.shuffle(changes)
            placement = line.placement
            for change in changes[:-1]:
                placement = placement.with_piece(change.square, change.found)
                finding = recognise(placement, line)
                if isinstance(finding, Recognised) and finding.played:
                    assert len(finding.played) == 1
                    assert finding.may_become == "castling"
                    assert board.is_castling(move)


@pytest.mark.parametrize("seed", range(4))
def test_two_plies_in_one_window(seed: int) -> None:
    chance = random.Random(seed)
    for line in game(seed, 40, SHARP if seed % 2 else START):
        for _ in range(4):
            longer = line
            for _ in range(2):
                replies = list(longer.board.legal_moves)
                if not replies:
                    break
                longer = longer.forward(chance.choice(replies).uci())
            else:
                played = longer.moves[len(line.moves) :]
                finding = recognise(longer.placement, line)
                if isinstance(finding, Ambiguous):
                    assert played in [choice.played for choice in finding.choices]
                else:
                    assert isinstance(finding, Recognised)
                    assert finding.played == played or finding.taken_back


@pytest.mark.parametrize("seed", range(4))
def test_plies_taken_back(seed: int) -> None:
    for line in game(seed, 30)[1:]:
        assert recognise(line.back(1).placement, line) == Recognised(taken_back=1)
        for plies in (2, 3, len(line.moves)):
            if plies > len(line.moves):
                continue
            finding = recognise(line.back(plies).placement, line)
            choices = finding.choices if isinstance(finding, Ambiguous) else (finding,)
            assert any(
                isinstance(choice, Recognised)
                and line.back(choice.taken_back).forward(*choice.played).placement == line.back(plies).placement
                for choice in choices
            )


class TestCastling:
    @pytest.mark.parametrize(
        ("rook", "king", "turn"), [("h1f1", "e1g1", "w"), ("a1d1", "e1c1", "w"), ("h8f8", "e8g8", "b"), ("a8d8", "e8c8", "b")]
    )  # fmt: skip
    def test_rook_first_may_become_castling_and_king_first_matches_nothing(
        self, rook: str, king: str, turn: str
    ) -> None:
        line = Line(CASTLING.replace(" w ", f" {turn} "))
        half = moved(line.placement, rook[:2], rook[2:])
        assert recognise(half, line) == Recognised(played=(rook,), may_become="castling")
        assert recognise(moved(half, king[:2], king[2:]), line) == Recognised(played=(king,))
        assert isinstance(recognise(moved(line.placement, king[:2], king[2:]), line), Wrong)

    def test_a_rook_move_already_confirmed_can_be_completed_if_it_was_a_persons(self) -> None:
        line = Line(CASTLING)
        castled = after(line, "e1g1")
        confirmed = line.forward("h1f1")
        assert recognise(castled, confirmed, correctable=True) == Recognised(1, ("e1g1",))
        assert isinstance(recognise(castled, confirmed), Wrong)

    def test_a_king_pushed_over_the_rook_square(self) -> None:
        assert recognise(after(Line(CASTLING), "e1f1"), Line(CASTLING)) == Recognised(
            played=("e1f1",), may_become="slide"
        )

    def test_without_the_right_a_rook_move_is_a_rook_move(self) -> None:
        line = Line(CASTLING.replace("KQkq", "kq"))
        assert recognise(after(line, "h1f1"), line) == Recognised(played=("h1f1",))


class TestSlides:
    def test_a_pawn_on_its_way(self) -> None:
        assert recognise(after(Line(START), "e2e3"), Line(START)) == Recognised(played=("e2e3",), may_become="slide")
        assert recognise(after(Line(START), "e2e4"), Line(START)) == Recognised(played=("e2e4",))

    def test_a_knight_jumps(self) -> None:
        assert recognise(after(Line(START), "g1f3"), Line(START)) == Recognised(played=("g1f3",))

    def test_a_slide_that_went_on_after_it_was_confirmed(self) -> None:
        confirmed = Line(START).forward("e2e3")
        assert recognise(after(Line(START), "e2e4"), confirmed, correctable=True) == Recognised(1, ("e2e4",))
        assert isinstance(recognise(after(Line(START), "d2d4"), confirmed, correctable=True), Wrong)
        assert isinstance(recognise(after(Line(START), "e2e4"), confirmed), Wrong), "an arm's piece was pushed"

    def test_a_rook_along_a_rank(self) -> None:
        line = Line("4k3/8/8/8/8/8/4K3/R7 w - - 0 1")
        for target in "bcdefg":
            assert recognise(after(line, f"a1{target}1"), line) == Recognised(
                played=(f"a1{target}1",), may_become="slide"
            )
        assert recognise(after(line, "a1h1"), line) == Recognised(played=("a1h1",))


class TestPawns:
    def test_en_passant_in_any_order(self) -> None:
        line = Line("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1")
        changes = after(line, "e5d6").differences(line.placement)
        assert len(changes) == 3
        for order in itertools.permutations(changes):
            placement = line.placement
            for change in order[:-1]:
                placement = placement.with_piece(change.square, change.found)
                assert isinstance(recognise(placement, line), Wrong)
        assert recognise(after(line, "e5d6"), line) == Recognised(played=("e5d6",))

    @pytest.mark.parametrize("piece", "QRBN")
    def test_promotion_is_read_from_the_piece(self, piece: str) -> None:
        line = Line("1n2k3/P7/8/8/8/8/8/4K3 w - - 0 1")
        walked = moved(line.placement, "a7", "a8")
        assert isinstance(recognise(walked, line), Wrong)
        placed = walked.with_piece(square_index("a8"), piece)
        assert recognise(placed, line) == Recognised(played=("a7a8" + piece.lower(),))
        taken = line.placement.with_piece(square_index("a7"), None).with_piece(square_index("b8"), piece)
        assert recognise(taken, line) == Recognised(played=("a7b8" + piece.lower(),))

    def test_histories_that_end_alike_are_ambiguous(self) -> None:
        line = Line("4k3/8/8/8/3p4/8/4P3/4K3 w - - 0 1")
        finding = recognise(after(line, "e2e4", "d4e3"), line)
        assert isinstance(finding, Ambiguous)
        assert sorted(choice.played for choice in finding.choices) == [("e2e3", "d4e3"), ("e2e4", "d4e3")]

    def test_two_plies_forward_or_back(self) -> None:
        line = Line(START).forward("g1f3", "g8f6")
        finding = recognise(Line(START).placement, line)
        assert isinstance(finding, Ambiguous)
        assert {(choice.taken_back, choice.played) for choice in finding.choices} == {(2, ()), (0, ("f3g1", "f6g8"))}


class TestWrong:
    def test_square_by_square(self) -> None:
        line = Line(START).forward("e2e4")
        finding = recognise(after(Line(START), "e2e4").with_piece(square_index("e4"), None), line)
        assert isinstance(finding, Wrong)
        assert explain(finding.differences) == "e4 is empty, expected a white pawn"

    def test_swapped_pieces(self) -> None:
        line = Line(START)
        swapped = line.placement.with_piece(3, "K").with_piece(4, "Q")
        finding = recognise(swapped, line)
        assert isinstance(finding, Wrong)
        assert explain(finding.differences) == "the white king on d1 and the white queen on e1 are swapped"
        assert len(finding.differences) == 2

    def test_a_wrong_piece_and_an_empty_square(self) -> None:
        line = Line(START)
        placement = moved(line.placement, "b1", "e5").with_piece(0, "n")
        finding = recognise(placement, line)
        assert isinstance(finding, Wrong)
        assert explain(finding.differences) == (
            "a1 holds a black knight, expected a white rook; b1 is empty, expected a white knight;"
            " e5 holds a white knight, expected nothing"
        )

    def test_kings_in_the_centre_are_no_moves(self) -> None:
        line = Line("4k3/8/8/8/8/8/PP6/4K3 w - - 0 1")
        placement = moved(moved(line.placement, "e1", "e4"), "e8", "d5")
        assert isinstance(recognise(placement, line), Wrong)

    def test_a_long_list_is_cut(self) -> None:
        text = explain(Placement.empty().differences(Line(START).placement))
        assert text.endswith("and 24 more squares")

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 63), st.sampled_from([None, *"PNBRQKpnbrqk"])), max_size=8))
    def test_whatever_stands_there_is_judged(self, changes: list[tuple[int, str | None]]) -> None:
        line = Line(CASTLING).forward("e1g1", "e8c8")
        placement = line.placement
        for square, piece in changes:
            placement = placement.with_piece(square, piece)
        finding = recognise(placement, line, correctable=True)
        if isinstance(finding, Wrong):
            assert finding.differences == placement.differences(line.placement)
        elif isinstance(finding, Recognised):
            assert line.back(finding.taken_back).forward(*finding.played).placement == placement


class TestLine:
    def test_folding_keeps_the_position_and_the_count(self) -> None:
        moves = ("g1f3", "g8f6", "f3g1", "f6g8") * 8
        line = Line(START).forward(*moves)
        trimmed = line.trimmed()
        assert (len(trimmed.moves), trimmed.ply, trimmed.fen) == (20, 32, line.fen)

    def test_plies_apart(self) -> None:
        one, other = Line(START).forward("e2e4", "e7e5", "g1f3"), Line(START).forward("e2e4", "c7c5")
        assert one.plies_apart(other) == (2, ("c7c5",))
        assert other.plies_apart(one) == (1, ("e7e5", "g1f3"))

    def test_positions_are_not_strings(self) -> None:
        after_e4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq"
        assert same_position(f"{after_e4} e3 0 1", f"{after_e4} - 5 9")
        assert not same_position(f"{after_e4} - 0 1", after_e4.replace(" b ", " w ") + " - 0 1")
        assert not same_position("nonsense", f"{after_e4} - 0 1")

    def test_placement_of(self) -> None:
        assert placement_of(chess.Board()).fen == chess.STARTING_BOARD_FEN

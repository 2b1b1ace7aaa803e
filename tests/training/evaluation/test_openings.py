"""Books: our own, and files."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import chess
import pytest
import zstandard

from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.openings import OWN, own_book, read_book
from edgechess_training.evaluation.quiet_plies import extended

GAMES = """[Event "?"]
[Result "1-0"]

1. e4 {best by test} e5 2. Nf3 (2. f4 exf4) Nc6! 3. Bb5 $1 a6
1-0

[Event "?"]

1. d4 d5
2. c4 *

1. Nf3 d5 2. d4 Nf6 1/2-1/2

1. d4 Nf6 2. Nf3 d5 0-1
"""


def test_our_own_openings_are_legal_and_all_different() -> None:
    drawn = own_book().draw(len(OWN), seed=1)
    assert len({opening.board().epd() for opening in drawn}) == len(OWN) == 64
    assert {len(opening.moves) for opening in drawn} <= {8, 10}


def test_our_own_book_suffices_for_four_hundred_games_and_the_first_64_stay_what_they_were() -> None:
    drawn = own_book().draw(200, seed=1)
    assert len({opening.board().epd() for opening in drawn}) == 200
    assert drawn[:64] == own_book().draw(64, seed=1)
    assert all(len(opening.moves) >= 9 for opening in drawn[64:])
    played = drawn[64].board()
    assert played.fen() not in {opening.board().fen() for opening in drawn[:64]}


def test_quiet_plies_leave_nothing_hanging() -> None:
    board = chess.Board("r1bqkbnr/pppp1ppp/2n5/4p3/4P3/5N2/PPPP1PPP/RNBQKB1R w KQkq - 2 3")
    before = board.fen()
    found = {extended(board, random.Random(seed)) for seed in range(60)}
    assert board.fen() == before
    first = {moves[0] for moves in found if moves}
    second = {
        moves[1] for moves in found if moves and not moves[0].startswith("f3")
    }  # the knight still guards g5 and h4
    # the bishop is taken by a pawn, the knight by pawn, knight or bishop; Black's may not be left to be taken either
    assert not first & {"f1a6", "f3g5", "f3h4", "f3d4", "e1e2", "h1g1", "f3e5"}
    assert "f1b5" in first
    assert not second & {"d8h4", "d8g5", "f8a3", "e8e7", "a8b8"}


def test_an_opening_in_which_all_is_lost_is_not_followed() -> None:
    assert extended(chess.Board("7k/8/8/8/8/8/8/KQr5 w - - 0 1"), random.Random(1)) is None  # pinned: every move takes


def test_a_book_from_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "few.pgn").write_text("1. e4 e5 *\n")
    with pytest.raises(TrainingError, match="at most 2 games, or name a larger book with --book"):
        read_book(tmp_path / "few.pgn").draw(2, seed=1)


def test_a_longer_match_begins_with_the_openings_of_a_shorter_one() -> None:
    few, many = own_book().draw(5, seed=3), own_book().draw(9, seed=3)
    assert few == many[:5]
    assert few != own_book().draw(5, seed=4)


@pytest.mark.parametrize("packing", ["", ".zip", ".zst"])
def test_pgn_in_every_packing(packing: str, tmp_path: Path) -> None:
    path = tmp_path / f"book.pgn{packing}"
    if packing == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("inside.pgn", GAMES)
    else:
        path.write_bytes(zstandard.compress(GAMES.encode()) if packing else GAMES.encode())
    book = read_book(path)
    assert len(book.entries) == 4
    # the third and the fourth game end in one position: used once
    found = {" ".join(opening.moves) for opening in book.draw(3, seed=1)}
    assert "e2e4 e7e5 g1f3 b8c6 f1b5 a7a6" in found
    assert "d2d4 d7d5 c2c4" in found
    with pytest.raises(TrainingError, match="has 3 different openings, and 4 pairs"):
        book.draw(4, seed=1)


def test_variations_in_variations_are_no_moves(tmp_path: Path) -> None:
    path = tmp_path / "book.pgn"
    path.write_text('[Event "x"]\n\n1. e4 (1. d4 d5 (1... Nf6)) e5 $1 {good} 2. Nf3! *\n')
    [opening] = read_book(path).draw(1, 1)
    assert opening.moves == ("e2e4", "e7e5", "g1f3")
    path.write_text('[Event "x"]\n\n1. e4 (1. d4 e5\n')
    with pytest.raises(TrainingError, match=r"opening 1 of the book book\.pgn: a variation without its other bracket"):
        read_book(path).draw(1, 1)


def test_lines_of_fen_are_positions_as_well(tmp_path: Path) -> None:
    path = tmp_path / "book.epd"
    path.write_text("r1bqkbnr/1ppp1ppp/p1n5/1B2p3/4P3/5N2/PPPP1PPP/RNBQK2R w KQkq - 0 4\n")
    (opening,) = read_book(path).draw(1, seed=1)
    assert opening.start_fen == "r1bqkbnr/1ppp1ppp/p1n5/1B2p3/4P3/5N2/PPPP1PPP/RNBQK2R w KQkq - 0 4"


def test_epd_gives_positions(tmp_path: Path) -> None:
    path = tmp_path / "book.epd"
    path.write_text("rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - hmvc 0; fmvn 1;\n8/8/8/8/8/8/8/8 w - -\n")
    book = read_book(path)
    assert book.positions
    opening = next(o for o in book.draw(1, seed=1))
    assert opening.board().turn == chess.BLACK


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("e4")
    (tmp_path / "bad.pgn").write_text("1. e4 e5 2. Ke3 *\n")
    (tmp_path / "empty.epd").write_text("")
    with pytest.raises(TrainingError, match=r"\.pgn and \.epd .* can be read, not book\.txt"):
        read_book(tmp_path / "book.txt")
    with pytest.raises(TrainingError, match=r"opening 1 of the book bad\.pgn: illegal san"):
        read_book(tmp_path / "bad.pgn").draw(1, seed=1)
    with pytest.raises(TrainingError, match="holds no openings"):
        read_book(tmp_path / "empty.epd")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_book(tmp_path / "nowhere.pgn")

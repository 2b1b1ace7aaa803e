"""Positions as records: literals worked out by hand, and what turning the board over must leave alone."""

from __future__ import annotations

import random

import chess
import pytest

np = pytest.importorskip("numpy")

from edgechess_inference.policy.encoding import (  # noqa: E402 — needs numpy
    RECORD_BYTES,
    codes_of,
    decode,
    encode,
    records,
    tokens_and_clocks,
)

# a1 … h1 as the side to move sees them: rooks that may castle are 14 (own) and 15, P N B R Q K are 1 … 6 and 7 … 12
FIRST_RANK = [14, 2, 3, 5, 6, 3, 2, 14]
START = [*FIRST_RANK, *[1] * 8, *[0] * 32, *[7] * 8, 15, 8, 9, 11, 12, 9, 8, 15]


def games(count: int, seed: int) -> list[chess.Board]:
    draw, found = random.Random(seed), []
    for _ in range(count):
        board = chess.Board()
        for _ in range(draw.randrange(1, 120)):
            moves = list(board.legal_moves)
            if not moves:
                break
            board.push(draw.choice(moves))
        found.append(board)
    return found


def test_the_start_looks_the_same_to_both_sides_but_for_king_and_queen() -> None:
    assert codes_of(chess.Board()) == START
    black = chess.Board("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR b KQkq - 0 1")
    assert codes_of(black) == START


def test_a_record_is_written_low_half_first_and_ends_with_the_clock() -> None:
    record = encode(chess.Board("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 7 9"))
    assert len(record) == RECORD_BYTES == 33
    assert record[:4] == bytes([0x2E, 0x53, 0x36, 0xE2])
    assert record[32] == 7


def test_en_passant_counts_only_where_it_can_be_taken() -> None:
    after = chess.Board("rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1")
    assert 13 not in codes_of(after)
    able = chess.Board("rnbqkbnr/ppp1pppp/8/8/3pP3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 3")
    assert codes_of(able).index(13) == chess.E6  # Black sees e3 as e6


def test_lost_rights_show_in_the_rooks() -> None:
    codes = codes_of(chess.Board("r3k2r/8/8/8/8/8/8/R3K2R w Kq - 0 1"))
    assert [codes[square] for square in (chess.A1, chess.H1, chess.A8, chess.H8)] == [4, 14, 15, 10]


def test_colours_exchanged_and_board_mirrored_is_the_same_position() -> None:
    for board in games(40, seed=1):
        assert encode(board) == encode(board.mirror())


def test_a_record_gives_the_position_back() -> None:
    for board in games(40, seed=2):
        seen = board if board.turn else board.mirror()
        found = decode(encode(board))
        assert found.board_fen() == seen.board_fen()
        assert found.castling_rights == seen.clean_castling_rights()
        assert list(found.legal_moves) == list(seen.legal_moves)
        assert found.halfmove_clock == min(seen.halfmove_clock, 100)


def test_tokens_are_the_codes_and_the_clock_goes_from_zero_to_one() -> None:
    boards = [*games(5, seed=3), chess.Board("8/8/4k3/8/8/4K3/8/8 w - - 140 200")]
    tokens, clocks = tokens_and_clocks(records(boards))
    assert tokens.tolist() == [codes_of(board) for board in boards]
    assert clocks[-1, 0] == 1.0
    assert tokens.shape == (6, 64)
    assert clocks.dtype == np.float32


def test_a_record_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="33 bytes"):
        decode(bytes(32))

"""Every move has one number and every number one move."""

from __future__ import annotations

import random

import chess
import pytest

pytest.importorskip("numpy")

from edgechess_inference.policy.moves import MOVES, PAIRS, UNDERPROMOTIONS, index_of, legal_indices, move_at


def test_there_are_4096_pairs_and_66_underpromotions() -> None:
    assert (PAIRS, len(UNDERPROMOTIONS), MOVES) == (4096, 66, 4162)
    assert len(set(UNDERPROMOTIONS)) == 66


@pytest.mark.parametrize("turn", [chess.WHITE, chess.BLACK])
def test_every_number_is_a_move_and_back(turn: chess.Color) -> None:
    board = chess.Board(None)
    board.turn = turn
    seen = set()
    for index in range(MOVES):
        move = move_at(index, board)
        seen.add(move)
        if move.from_square != move.to_square:
            assert index_of(move, turn) == index
    assert len(seen) == MOVES


@pytest.mark.parametrize("turn", [chess.WHITE, chess.BLACK])
def test_every_promotion_of_every_file_is_a_number_and_back(turn: chess.Color) -> None:
    seventh, eighth = (6, 7) if turn else (1, 0)
    for file in range(8):
        board = chess.Board(None)
        board.turn = turn
        begin = chess.square(file, seventh)
        board.set_piece_at(begin, chess.Piece(chess.PAWN, turn))
        for target in range(max(0, file - 1), min(7, file + 1) + 1):
            for piece in (chess.QUEEN, chess.ROOK, chess.BISHOP, chess.KNIGHT):
                move = chess.Move(begin, chess.square(target, eighth), piece)
                assert move_at(index_of(move, turn), board) == move


def test_known_numbers() -> None:
    white, black = chess.Board(), chess.Board()
    black.push_uci("e2e4")
    assert index_of(chess.Move.from_uci("e2e4"), chess.WHITE) == 12 * 64 + 28
    assert index_of(chess.Move.from_uci("e7e5"), chess.BLACK) == 12 * 64 + 28
    assert move_at(12 * 64 + 28, white).uci() == "e2e4"
    assert move_at(12 * 64 + 28, black).uci() == "e7e5"
    assert index_of(chess.Move.from_uci("a7a8n"), chess.WHITE) == 4096
    assert index_of(chess.Move.from_uci("h2h1r"), chess.BLACK) == 4161


def test_legal_moves_of_many_positions_come_back() -> None:
    draw = random.Random(5)
    for _ in range(40):
        board = chess.Board()
        for _ in range(draw.randrange(150)):
            moves = list(board.legal_moves)
            if not moves:
                break
            assert set(legal_indices(board).values()) == set(moves)
            for index, move in legal_indices(board).items():
                assert move_at(index, board) == move
            board.push(draw.choice(moves))


@pytest.mark.parametrize("uci", ["0000", "a2a1q", "b2d1n"])
def test_what_is_no_move_has_no_number(uci: str) -> None:
    if uci == "a2a1q":
        assert index_of(chess.Move.from_uci(uci), chess.BLACK) < PAIRS
        return
    with pytest.raises(ValueError, match="has no number"):
        index_of(chess.Move.from_uci(uci), chess.BLACK)


@pytest.mark.parametrize("index", [-1, MOVES])
def test_a_number_out_of_range_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="is no move"):
        move_at(index, chess.Board())

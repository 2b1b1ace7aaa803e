"""A position as 33 bytes, always seen from the side to move: the encoding "squares-16".

64 codes of four bits, square a1 first, then the halfmove clock. With Black to move the board is turned over: ranks
mirrored, colours exchanged, so that the network only ever plays up the board. Rights lie in the codes themselves:
a square that can be taken en passant and a rook that may still castle have codes of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import chess
import numpy as np
from numpy.typing import NDArray

ENCODING = "squares-16"
CODES = 16
SQUARES = 64
RECORD_BYTES = 33
CLOCK_MAX = 100  # halfmoves; a draw can be claimed from there on

EMPTY = 0
OWN = 0  # + chess.PAWN (1) … chess.KING (6)
THEIRS = 6  # + chess.PAWN … chess.KING: 7 … 12
EN_PASSANT = 13  # the empty square behind a pawn that may be taken so
OWN_CASTLING_ROOK = 14
THEIR_CASTLING_ROOK = 15

Records = NDArray[np.uint8]
"""Shape [positions, 33]."""


def turned(square: chess.Square, turn: chess.Color) -> chess.Square:
    """The square as the side to move sees it; its own inverse."""
    return square if turn == chess.WHITE else square ^ 56


def codes_of(board: chess.Board) -> list[int]:
    """The 64 codes, for whoever is to move. History is not seen: repetitions are the player's business."""
    codes, turn = [EMPTY] * SQUARES, board.turn
    for square, piece in board.piece_map().items():
        codes[turned(square, turn)] = piece.piece_type + (OWN if piece.color == turn else THEIRS)
    for square in chess.scan_forward(board.clean_castling_rights()):
        own = board.color_at(square) == turn
        codes[turned(square, turn)] = OWN_CASTLING_ROOK if own else THEIR_CASTLING_ROOK
    if board.ep_square is not None and board.has_legal_en_passant():
        codes[turned(board.ep_square, turn)] = EN_PASSANT
    return codes


def encode(board: chess.Board) -> bytes:
    """The record of one position: RECORD_BYTES bytes; even squares in the low halves."""
    codes = codes_of(board)
    pairs = [codes[square] | codes[square + 1] << 4 for square in range(0, SQUARES, 2)]
    return bytes((*pairs, min(board.halfmove_clock, CLOCK_MAX)))


def records(boards: Iterable[chess.Board]) -> Records:
    """One row per position."""
    found = b"".join(encode(board) for board in boards)
    return np.frombuffer(found, dtype=np.uint8).reshape(-1, RECORD_BYTES)


def tokens_and_clocks(rows: Records) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What the network takes: codes [positions, 64], and the clock [positions, 1] from 0 to 1."""
    pairs = rows[:, : SQUARES // 2]
    codes = np.stack((pairs & 15, pairs >> 4), axis=-1).reshape(-1, SQUARES)
    return codes.astype(np.int64), rows[:, SQUARES // 2 :].astype(np.float32) / np.float32(CLOCK_MAX)


def decode(record: Sequence[int] | bytes) -> chess.Board:
    """The position, with White as the side to move and no move number: for looking at data. Raises ValueError."""
    if len(record) != RECORD_BYTES:
        raise ValueError(f"a record has {RECORD_BYTES} bytes, not {len(record)}")
    board = chess.Board(None)
    for square in chess.SQUARES:
        code = record[square // 2] >> 4 * (square % 2) & 15
        if code == EN_PASSANT:
            board.ep_square = square
        elif code in (OWN_CASTLING_ROOK, THEIR_CASTLING_ROOK):
            board.set_piece_at(square, chess.Piece(chess.ROOK, code == OWN_CASTLING_ROOK))
            board.castling_rights |= chess.BB_SQUARES[square]
        elif code != EMPTY:
            board.set_piece_at(square, chess.Piece((code - 1) % 6 + 1, code <= OWN + chess.KING))
    board.halfmove_clock = record[-1]
    return board

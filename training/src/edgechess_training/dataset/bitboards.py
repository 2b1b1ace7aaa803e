"""Records made many at a time from bitboards, and the names by which equal positions are known.

What `inference`'s `policy/encoding.py` does with one board ("squares-16"), done with numpy for all plies of many games:
a ply is nine 64-bit words, and the squares are laid out afterwards.
"""

from __future__ import annotations

import chess
import numpy as np
from numpy.typing import NDArray

from edgechess_inference.policy import encoding

Keys = NDArray[np.uint64]

WORDS = 9  # pawns … kings, the mover's pieces, rooks that may castle, the square of a possible en passant capture
OWN, CASTLING, EN_PASSANT = 6, 7, 8


def words_of(board: chess.Board) -> tuple[int, ...]:
    """WORDS bitboards, as White sees them."""
    en_passant = board.ep_square is not None and board.has_legal_en_passant()
    return (
        board.pawns,
        board.knights,
        board.bishops,
        board.rooks,
        board.queens,
        board.kings,
        board.occupied_co[board.turn],
        board.clean_castling_rights() if board.castling_rights else 0,
        chess.BB_SQUARES[board.ep_square] if en_passant and board.ep_square is not None else 0,
    )


def records(words: NDArray[np.uint64], black: NDArray[np.bool_], clocks: NDArray[np.uint8]) -> encoding.Records:
    """`words` [positions, WORDS] → [positions, 33], equal to `encoding.encode` of each board.

    Exchanging the bytes of a word mirrors its ranks: so Black's positions are turned over.
    """
    seen = np.where(black[:, None], words.byteswap(), words).astype("<u8")
    planes = np.unpackbits(seen.view(np.uint8).reshape(len(words), WORDS, 8), axis=-1, bitorder="little")
    planes = planes.reshape(len(words), WORDS, encoding.SQUARES)
    codes = np.zeros((len(words), encoding.SQUARES), np.uint8)
    occupied = np.zeros_like(codes)
    for kind in range(OWN):
        codes += (kind + 1) * planes[:, kind]
        occupied |= planes[:, kind]
    own = planes[:, OWN]
    codes += encoding.THEIRS * (occupied - own)
    rooks = np.where(own, np.uint8(encoding.OWN_CASTLING_ROOK), np.uint8(encoding.THEIR_CASTLING_ROOK))
    codes = np.where(planes[:, CASTLING], rooks, codes)
    codes += encoding.EN_PASSANT * planes[:, EN_PASSANT]
    packed = np.empty((len(words), encoding.RECORD_BYTES), np.uint8)
    packed[:, :-1] = codes[:, 0::2] | codes[:, 1::2] << 4
    packed[:, -1] = np.minimum(clocks, encoding.CLOCK_MAX)
    return packed


def keys(rows: encoding.Records, moves: NDArray[np.uint16] | None = None) -> Keys:
    """64-bit names of positions (clocks apart, which most games never feel), or of positions with a move.

    Multiply and shift as in splitmix64: among 30 million positions two different ones share a name with a chance of
    one in 40,000.
    """
    words = np.ascontiguousarray(rows[:, :-1]).view("<u8")
    found = np.full(len(rows), 0x9E3779B97F4A7C15, np.uint64)
    for word in words.T:
        found = _mixed(found ^ word)
    return found if moves is None else _mixed(found ^ (moves.astype(np.uint64) + np.uint64(1)))


def _mixed(values: Keys) -> Keys:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

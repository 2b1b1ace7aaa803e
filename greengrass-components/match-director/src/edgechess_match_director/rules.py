"""The rules of chess as the director needs them: requests in chess.js terms, and when a game is over."""

from __future__ import annotations

import dataclasses

import chess

from edgechess_kit.messages import Executor, GameRequest

FIFTY_MOVES_PLIES = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How a match ended. `result` "*": without one. `termination` is one word, `reason` a sentence or None."""

    result: str
    termination: str
    reason: str | None = None


def placement(fen: str) -> str:
    """The first field of a FEN."""
    return fen.split(" ", 1)[0]


def same_placement(left: str | None, right: str | None) -> bool:
    """Whether two placements (or the first fields of two FENs) put the same pieces on the same squares."""
    if left is None or right is None:
        return False
    try:
        return chess.BaseBoard(placement(left)) == chess.BaseBoard(placement(right))
    except ValueError:
        return False


def same_position(left: str, right: str) -> bool:
    """Two FENs as positions: an en-passant square on which nothing can capture does not count."""
    try:
        return chess.Board(left).epd() == chess.Board(right).epd()
    except ValueError:
        return False


def replay(start_fen: str, moves: tuple[str, ...]) -> chess.Board:
    """The board with its move stack. Raises ValueError on an illegal move."""
    board = chess.Board(start_fen)
    for move in moves:
        board.push_uci(move)
    return board


def play(fen: str, uci: str) -> tuple[str, str]:
    """(SAN, FEN afterwards) of a legal move. Raises ValueError."""
    board = chess.Board(fen)
    move = board.parse_uci(uci)
    san = board.san(move)
    board.push(move)
    return san, board.fen()


def move_to(fen: str, shown: str) -> str | None:
    """The legal move after which the board shows this placement, in UCI; None where there is none."""
    board = chess.Board(fen)
    for move in board.legal_moves:
        board.push(move)
        found = board.board_fen() == placement(shown)
        board.pop()
        if found:
            return move.uci()
    return None


def ending(board: chess.Board) -> Ending | None:
    """The end by the rules on this board, None while the game goes on.

    The third repetition and the fifty moves end the game as they stand on the board: no player has to claim them.
    """
    if board.is_checkmate():
        return Ending("0-1" if board.turn == chess.WHITE else "1-0", "checkmate")
    if board.is_stalemate():
        return Ending("1/2-1/2", "stalemate")
    if board.is_insufficient_material():
        return Ending("1/2-1/2", "insufficient-material")
    if board.is_repetition(3):
        return Ending("1/2-1/2", "threefold-repetition")
    if board.halfmove_clock >= FIFTY_MOVES_PLIES:
        return Ending("1/2-1/2", "fifty-moves")
    return None


def setup_request(session_id: str, token: str, fen: str) -> GameRequest:
    """The arms bring the table to `fen`; `session_id` names the session whose pieces stand there."""
    return GameRequest(action="setup", session_id=session_id, task_token=token, before=fen)


def start_request(session_id: str, token: str, fen: str) -> GameRequest:
    """The sample's "start": `before` = `after` = the starting position."""
    color = chess.Board(fen).turn
    return GameRequest(
        action="start",
        session_id=session_id,
        task_token=token,
        before=fen,
        after=fen,
        color="w" if color == chess.WHITE else "b",
        flags="b",
    )


def move_request(session_id: str, token: str, fen: str, uci: str, executor: Executor | None) -> GameRequest:
    """A chess.js verbose move with the sample's three fields. `executor` None leaves it to the manager."""
    board = chess.Board(fen)
    move = board.parse_uci(uci)
    piece = board.piece_at(move.from_square)
    assert piece is not None  # the move is legal
    san, after = play(fen, uci)
    return GameRequest(
        action="move",
        session_id=session_id,
        task_token=token,
        before=fen,
        after=after,
        color="w" if board.turn == chess.WHITE else "b",
        piece=piece.symbol().lower(),
        from_=chess.square_name(move.from_square),
        to=chess.square_name(move.to_square),
        san=san,
        lan=uci,
        flags=flags(board, move),
        captured=_captured(board, move),
        promotion=chess.piece_symbol(move.promotion) if move.promotion else "",
        executor=executor,
    )


def flags(board: chess.Board, move: chess.Move) -> str:
    """The flag letters of chess.js: n quiet, b pawn two squares, e en passant, c capture, p promotion, k, q castling."""
    if board.is_kingside_castling(move):
        return "k"
    if board.is_queenside_castling(move):
        return "q"
    if board.is_en_passant(move):
        return "e"
    kind = "c" if board.is_capture(move) else "n"
    if move.promotion:
        return kind + "p"
    pawn = board.piece_type_at(move.from_square) == chess.PAWN
    return "b" if pawn and abs(move.to_square - move.from_square) == 16 else kind


def _captured(board: chess.Board, move: chess.Move) -> str:
    if board.is_en_passant(move):
        return "p"
    kind = board.piece_type_at(move.to_square) if board.is_capture(move) else None
    return chess.piece_symbol(kind) if kind else ""

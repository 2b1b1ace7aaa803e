"""The rules of chess as the manager needs them: is this move legal here, and is the game over.

Positions are compared, never their text: same pieces, same turn, same castling rights (as far as king and rooks still
stand for them), and an en-passant square only where a pawn may really capture on it. Move counters do not count.
chess.js may write an en-passant square after every double step; that is the same position.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import chess

from edgechess_kit.messages import GameRequest

Result = Literal["1-0", "0-1", "1/2-1/2"]

FEN_FIELDS_NEEDED = 4  # placement, turn, rights, en passant; the counters may be missing
TOLERATED = chess.STATUS_BAD_CASTLING_RIGHTS | chess.STATUS_INVALID_EP_SQUARE  # cleaned when positions are compared
SIDE = {chess.WHITE: "White", chess.BLACK: "Black"}


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not taken: status 400, nothing touched. `reason` is for a person."""

    code: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """One game on one table: what is confirmed.

    `seen` are the positions since the last capture or pawn move, oldest first: all that repetition can reach.
    """

    session_id: str
    start_fen: str
    fen: str
    moves: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    result: Result | None = None
    termination: str | None = None

    @property
    def ply(self) -> int:
        return len(self.moves)

    @property
    def over(self) -> bool:
        return self.result is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a session by somebody's word. `request_id` is that of the word: said twice, it counts once."""

    request_id: str
    session_id: str
    result: Result
    termination: str


@dataclasses.dataclass(frozen=True, slots=True)
class LegalMove:
    """A move that may be asked of the table: the positions are ours, not the requester's."""

    lan: str
    san: str
    before: str
    after: str


def position_key(board: chess.Board) -> str:
    """Equal for two boards exactly if they are the same position."""
    return board.epd(en_passant="legal")


def same_position(one: str, other: str) -> bool:
    """Of two valid FENs. Raises ValueError for anything else."""
    return position_key(chess.Board(one)) == position_key(chess.Board(other))


@functools.lru_cache(maxsize=64)  # one move asks a dozen times for the same three positions
def placement(fen: str) -> str:
    """First field of a valid FEN, in the one canonical spelling. Raises ValueError."""
    return chess.BaseBoard(fen.split(" ", 1)[0]).board_fen()


def new_session(session_id: str, fen: str) -> Session:
    """Raises ValueError for a FEN that is none."""
    board = chess.Board(fen)
    return Session(session_id, board.fen(), board.fen(), seen=(position_key(board),))


def check_start(request: GameRequest, *, claim_draws: bool) -> Session | Refusal:
    """The session that a start request asks for."""
    board = _position(request.before, "before")
    if isinstance(board, Refusal):
        return board
    if request.after:
        after = _position(request.after, "after")
        if isinstance(after, Refusal):
            return after
        if position_key(after) != position_key(board):
            return Refusal("after-mismatch", "a start moves nothing, so `after` must be the same position as `before`")
    status = board.status() & ~TOLERATED
    if status:
        return Refusal("illegal", f"`before` is no position of chess: {_words(status)}")
    result, termination = outcome(board, (), claim_draws=claim_draws)
    if result is not None:
        return Refusal("game-over", f"in `before` the game is over already: {termination}")
    return new_session(request.session_id, request.before)


def check_setup(session: Session | None, request: GameRequest) -> str | Refusal:
    """The placement that a setup request asks for: any that can stand on a board."""
    if session is not None and not session.over and session.session_id != request.session_id:
        return Refusal(
            "session-running",
            f"session {session.session_id} is being played: a setup that names it ends it, others wait",
        )
    try:
        return placement(request.before)
    except ValueError as error:
        return Refusal("malformed", f"`before` is not a placement: {error}")


def check_move(session: Session | None, request: GameRequest) -> LegalMove | Refusal:
    """Everything about a move request that needs no look at the table."""
    if session is None:
        return Refusal("no-session", "no session is running: send a start first")
    if session.session_id != request.session_id:
        return Refusal("wrong-session", f"this table plays session {session.session_id}, not {request.session_id}")
    if session.over:
        return Refusal("session-ended", f"session {session.session_id} ended {session.result}: {session.termination}")
    board = chess.Board(session.fen)
    refusal = _check_before(board, request)
    if refusal is not None:
        return refusal
    if request.lan[:2] == request.lan[2:4]:
        return Refusal("illegal", f"{request.lan} is not legal for {SIDE[board.turn]}: it goes nowhere")
    move = chess.Move.from_uci(request.lan)
    if not board.is_legal(move):
        return Refusal("illegal", f"{request.lan} is not legal for {SIDE[board.turn]}: {_why_illegal(board, move)}")
    refusal = _check_squares(request)
    if refusal is not None:
        return refusal
    san = board.san(move)
    board.push(move)
    after = _position(request.after, "after")
    if isinstance(after, Refusal):
        return after
    if position_key(after) != position_key(board):
        return Refusal(
            "after-mismatch",
            f"`after` does not follow from {request.lan}: expected {board.fen()}, the request says {request.after}",
        )
    return LegalMove(request.lan, san, session.fen, board.fen())


def advance(session: Session, lan: str, *, claim_draws: bool) -> Session:
    """The session after a confirmed move. Raises ValueError for a move that is not legal in it."""
    board = chess.Board(session.fen)
    board.push(board.parse_uci(lan))
    key = position_key(board)
    seen = (key,) if board.halfmove_clock == 0 else (*session.seen, key)
    result, termination = outcome(board, seen, claim_draws=claim_draws)
    return dataclasses.replace(
        session, fen=board.fen(), moves=(*session.moves, lan), seen=seen, result=result, termination=termination
    )


def close(session: Session, verdict: Verdict) -> Session:
    """The session with its end; one that is over keeps the end it has."""
    if session.over:
        return session
    return dataclasses.replace(session, result=verdict.result, termination=verdict.termination)


def outcome(board: chess.Board, seen: tuple[str, ...], *, claim_draws: bool) -> tuple[Result | None, str | None]:
    """Result and termination, or None twice. With `claim_draws` a draw that either side may claim is claimed."""
    if not any(board.generate_legal_moves()):
        if board.is_check():
            return ("0-1" if board.turn == chess.WHITE else "1-0"), "checkmate"
        return "1/2-1/2", "stalemate"
    if board.is_insufficient_material():
        return "1/2-1/2", "insufficient-material"
    times = seen.count(seen[-1]) if seen else 1
    for limit_plies, limit_times, fifty, threefold in (
        (150, 5, "seventyfive-moves", "fivefold-repetition"),
        (100, 3, "fifty-moves", "threefold-repetition"),
    ):
        if limit_times == 3 and not claim_draws:
            break
        if board.halfmove_clock >= limit_plies:
            return "1/2-1/2", fifty
        if times >= limit_times:
            return "1/2-1/2", threefold
    return None, None


def _position(fen: str, field: str) -> chess.Board | Refusal:
    if len(fen.split()) < FEN_FIELDS_NEEDED:
        return Refusal("malformed", f"`{field}` is not a FEN: pieces, turn, castling rights, en passant are needed")
    try:
        return chess.Board(fen)
    except ValueError as error:
        return Refusal("malformed", f"`{field}` is not a FEN: {error}")


def _check_before(board: chess.Board, request: GameRequest) -> Refusal | None:
    before = _position(request.before, "before")
    if isinstance(before, Refusal):
        return before
    color = "w" if board.turn == chess.WHITE else "b"
    if request.color not in ("", color) or (before.turn != board.turn and before.board_fen() == board.board_fen()):
        return Refusal("out-of-turn", f"it is {SIDE[board.turn]}'s turn")
    if position_key(before) != position_key(board):
        return Refusal(
            "position-mismatch",
            f"`before` is not the confirmed position: expected {board.fen()}, the request says {request.before}",
        )
    return None


def _check_squares(request: GameRequest) -> Refusal | None:
    """chess.js says the move twice, as `lan` and as `from`, `to`, `promotion`; both must say the same."""
    lan = request.lan
    for name, said, meant in (("from", request.from_, lan[:2]), ("to", request.to, lan[2:4])):
        if said and said != meant:
            return Refusal("malformed", f"`{name}` is {said}, but `lan` is {lan}")
    if request.promotion and request.promotion.lower() != lan[4:]:
        return Refusal("malformed", f"`promotion` is {request.promotion}, but `lan` is {lan}")
    return None


def _why_illegal(board: chess.Board, move: chess.Move) -> str:
    start, end = chess.square_name(move.from_square), chess.square_name(move.to_square)
    piece = board.piece_at(move.from_square)
    if piece is None:
        return f"{start} is empty"
    name = f"{'white' if piece.color else 'black'} {chess.piece_name(piece.piece_type)}"
    if piece.color != board.turn:
        return f"on {start} stands a {name}"
    if move.promotion is None and board.is_legal(chess.Move(move.from_square, move.to_square, chess.QUEEN)):
        return "the piece to promote to is missing"
    if board.is_pseudo_legal(move):
        return "the king would be in check"
    return f"the {name} on {start} cannot go to {end}"


def _words(status: chess.Status) -> str:
    names = [flag.name for flag in chess.Status if flag & status and flag.name]
    return ", ".join(name.lower().replace("_", " ") for name in names)

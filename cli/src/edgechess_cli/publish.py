"""Publishing a game request and waiting for its answer, as a cloud workflow would."""

from __future__ import annotations

import anyio
import chess

from edgechess_kit import messages as m
from edgechess_kit.bus import Bus
from edgechess_kit.errors import WireError
from edgechess_kit.topics import Topics

EXIT_OF_STATUS = {200: 0, 400: 4, 500: 5}
EXIT_NO_ANSWER = 6


class MoveTextError(ValueError):
    """The move or the position on the command line cannot be used; the text says why."""


def start_request(session_id: str, fen: str, task_token: str) -> m.GameRequest:
    """The sample's start request. Raises MoveTextError for a position that is none."""
    try:
        board = chess.Board(fen)
    except ValueError as error:
        raise MoveTextError(f"--fen: {error}") from error
    return m.GameRequest(
        action="start", session_id=session_id, task_token=task_token, before=board.fen(), after=board.fen(),
        color="w" if board.turn else "b", flags="b",
    )  # fmt: skip


def parse_move(board: chess.Board, text: str) -> chess.Move:
    """SAN or long algebraic. Raises MoveTextError, listing what is legal when there is little of it."""
    for parse in (board.parse_san, board.parse_uci):
        try:
            return parse(text)
        except ValueError:
            continue
    legal = [board.san(move) for move in board.legal_moves]
    some = ", ".join(legal[:12]) + (" …" if len(legal) > 12 else "")
    side = "White" if board.turn else "Black"
    raise MoveTextError(f"{text!r} is not a legal move for {side} in {board.fen()}. Legal: {some or 'none'}")


def move_request(
    board: chess.Board, move: chess.Move, session_id: str, task_token: str, *, deadline: float | None = None
) -> m.GameRequest:
    """A chess.js verbose move with the sample's three fields; `board` is the position before it and is not changed."""
    flags = ""
    piece = board.piece_type_at(move.from_square) or chess.PAWN
    captured = ""
    if board.is_en_passant(move):
        flags, captured = "e", "p"
    elif board.is_kingside_castling(move):
        flags = "k"
    elif board.is_queenside_castling(move):
        flags = "q"
    elif board.is_capture(move):
        flags, captured = "c", chess.piece_symbol(board.piece_type_at(move.to_square) or chess.PAWN)
    elif piece == chess.PAWN and abs(move.from_square - move.to_square) == 16:
        flags = "b"
    else:
        flags = "n"
    promotion = chess.piece_symbol(move.promotion) if move.promotion else ""
    if promotion:
        flags = ("c" if captured else "") + "p" if captured else "np"
    after = board.copy(stack=False)
    after.push(move)
    return m.GameRequest(
        action="move", session_id=session_id, task_token=task_token, before=board.fen(), after=after.fen(),
        color="w" if board.turn else "b", piece=chess.piece_symbol(piece), from_=chess.square_name(move.from_square),
        to=chess.square_name(move.to_square), san=board.san(move), lan=move.uci(), flags=flags, captured=captured,
        promotion=promotion, deadline=deadline,
    )  # fmt: skip


async def ask(bus: Bus, topics: Topics, request: m.GameRequest, timeout_s: float) -> m.GameResponse | None:
    """Publish and wait for the answer with the request's task token; None when none came in time.

    Publishing the same token again is harmless (the manager answers it again), so this is safe to repeat.
    """
    with anyio.move_on_after(timeout_s):
        async with bus.subscribe(topics.cloud_response) as answers:
            await bus.publish(topics.cloud_request, request)
            async for delivery in answers:
                try:
                    response = delivery.decode(topics.cloud_response)
                except WireError:
                    continue  # somebody else's malformed answer
                if response.task_token == request.task_token:
                    return response
    return None


async def confirmed_position(bus: Bus, topics: Topics, session_id: str, timeout_s: float = 2.0) -> str | None:
    """The manager's confirmed position of a running session (it is retained); None when there is none."""
    with anyio.move_on_after(timeout_s):
        async with bus.subscribe(topics.session_state) as states:
            async for delivery in states:
                state = delivery.decode(topics.session_state)
                if state.session_id == session_id and state.status == "running":
                    return state.fen
    return None

"""Publishing a game request and waiting for its answer, as a cloud workflow would."""

from __future__ import annotations

import re

import anyio
import chess

from edgechess_kit import messages as m
from edgechess_kit.brokerless_bus import REPEAT_S
from edgechess_kit.bus import Bus
from edgechess_kit.errors import WireError
from edgechess_kit.topics import Topics
from edgechess_match_director.rules import move_request, start_request

EXIT_OF_STATUS = {200: 0, 400: 4, 500: 5}
EXIT_NO_ANSWER = 6
# a broker has the state at once; where there is none the manager says it again after REPEAT_S, one of whose steps it may
# be late, and a client of the nucleus must connect and subscribe first
STATE_TIMEOUT_S = 2 * REPEAT_S


class MoveTextError(ValueError):
    """The move or the position on the command line cannot be used; the text says why."""


def checked_start(session_id: str, fen: str, task_token: str) -> m.GameRequest:
    """The sample's start request. Raises MoveTextError for a position that is none."""
    return start_request(session_id, task_token, _board(fen).fen())


def checked_move(
    state: m.SessionState | None,
    fen: str | None,
    text: str,
    session_id: str,
    task_token: str,
    executor: m.Executor | None,
) -> m.GameRequest:
    """The request for a move in SAN or long algebraic, in `fen` or the position that the manager has confirmed.

    A move in long algebraic that is not legal there is sent all the same: refusing it is the manager's business, and so
    is a move for another session, or in one that is over. Text that names no move raises MoveTextError, unless it is the
    move that was played last: the same request again, with its token, is answered and not done again.
    """
    board = _board(fen or (state.fen if state else None) or chess.STARTING_FEN)
    move = _parsed(board, text)
    if move is not None:
        return move_request(session_id, task_token, board.fen(), move.uci(), executor)
    if re.match(m.LAN_PATTERN, text):
        return m.GameRequest(
            action="move", session_id=session_id, task_token=task_token, before=board.fen(), after=board.fen(),
            from_=text[:2], to=text[2:4], lan=text, executor=executor,
        )  # fmt: skip
    earlier = _before_the_last(state) if fen is None and state is not None else None
    if earlier is not None:
        before, last = earlier
        if _parsed(before, text) == last:
            return move_request(session_id, task_token, before.fen(), last.uci(), executor)
    legal = [board.san(move) for move in board.legal_moves]
    some = ", ".join(legal[:12]) + (" …" if len(legal) > 12 else "")
    side = "White" if board.turn else "Black"
    raise MoveTextError(f"{text!r} is not a legal move for {side} in {board.fen()}. Legal: {some or 'none'}")


def _board(fen: str) -> chess.Board:
    try:
        return chess.Board(fen)
    except ValueError as error:
        raise MoveTextError(f"--fen: {error}") from error


def _parsed(board: chess.Board, text: str) -> chess.Move | None:
    for parse in (board.parse_san, board.parse_uci):
        try:
            return parse(text)
        except ValueError:
            continue
    return None


def _before_the_last(state: m.SessionState) -> tuple[chess.Board, chess.Move] | None:
    """The position before the last confirmed move, where the state holds the whole game."""
    if not state.moves or state.start_fen is None or state.ply != len(state.moves):
        return None
    board = chess.Board(state.start_fen)
    for played in state.moves[:-1]:
        board.push_uci(played)
    return board, chess.Move.from_uci(state.moves[-1])


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


async def session_state(bus: Bus, topics: Topics, timeout_s: float = STATE_TIMEOUT_S) -> m.SessionState | None:
    """What the manager says of its session (it is retained); None when no manager has ever said anything here."""
    with anyio.move_on_after(timeout_s):
        async with bus.subscribe(topics.session_state) as states:
            async for delivery in states:
                return delivery.decode(topics.session_state)
    return None

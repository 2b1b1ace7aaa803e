"""Requests into questions, answers into messages. Pure."""

from __future__ import annotations

import re

import chess
import msgspec

from edgechess_inference.ladder.account import Account, Attempt
from edgechess_inference.player import Answer, Question
from edgechess_inference_node.errors import RequestRefused
from edgechess_kit.messages import SIZE_LIMIT_BYTES, InferenceAttempt, InferenceRequest, InferenceResponse

LEAST_TIMEOUT_S = 0.05  # below, not even the engine has a move
REASON_LIMIT = 300  # characters
ROOM_BYTES = SIZE_LIMIT_BYTES - 200  # for what a transport adds around a message
CUTS = (160, 60, 20)  # characters of answers and reasons, tried until the message fits
_REQUEST_ID = re.compile(rb'"requestId"\s*:\s*"([^"\\]{1,128})"')


def question_of(request: InferenceRequest, timeout_max_s: float) -> Question:
    """Raises RequestRefused: the position cannot be, or the moves do not lead to it, or nobody can move in it."""
    start = request.start_fen or request.fen
    try:
        board = chess.Board(start)
        for move in request.moves:
            board.push_uci(move)
        asked = chess.Board(request.fen)
    except ValueError as error:
        raise RequestRefused(f"`fen`, `startFen` or `moves`: {error}") from error
    if not asked.is_valid():
        raise RequestRefused(f"`fen`: {request.fen} is no position that can arise")
    if board.epd() != asked.epd():
        raise RequestRefused(f"`moves` lead to {board.fen()}, not to `fen`")
    if not any(board.legal_moves):
        raise RequestRefused("`fen`: the game is over: there is no legal move")
    if request.timeout_s < LEAST_TIMEOUT_S:
        raise RequestRefused(f"`timeoutS` is {request.timeout_s:g}; it takes at least {LEAST_TIMEOUT_S:g} s")
    return Question(start, request.moves, min(request.timeout_s, timeout_max_s))


def response_of(request: InferenceRequest, answer: Answer, took_s: float) -> InferenceResponse:
    """A move (or a resignation) and how it came about, cut until it fits."""
    account = answer.account or Account()
    san = chess.Board(request.fen).san(chess.Move.from_uci(answer.uci)) if answer.uci else None
    response = InferenceResponse(
        request_id=request.request_id,
        status=200,
        lan=answer.uci,
        san=san,
        by=answer.by[:200],
        reason=answer.reason[:REASON_LIMIT] if answer.reason else None,
        took_s=round(took_s, 4),
        fallback=account.fallback,
        constrained=account.constrained,
        skipped=account.skipped,
        adapter=account.adapter,
        weights=account.weights,
        resigns=answer.resigns,
    )
    for cut in CUTS:
        told = msgspec.structs.replace(
            response, attempts=tuple(_attempt(attempt, cut) for attempt in account.attempts)
        )  # fmt: skip
        if len(msgspec.json.encode(told)) <= ROOM_BYTES:
            return told
    return response


def _attempt(attempt: Attempt, cut: int) -> InferenceAttempt:
    return InferenceAttempt(
        by=attempt.by[:cut],
        took_s=round(attempt.took_s, 4),
        answer=attempt.answer[:cut] if attempt.answer else None,
        failure=attempt.failure,
        error=attempt.why[:cut] if attempt.why else None,
        constrained=attempt.constrained,
    )


def refusal(request_id: str, status: int, reason: str) -> InferenceResponse:
    """400 (it makes no sense), 500 (nobody moved) or 503 (too much at once)."""
    known = {400: 400, 500: 500, 503: 503}
    return InferenceResponse(request_id=request_id, status=known[status], reason=reason[:REASON_LIMIT])  # type: ignore[arg-type]


def request_id_of(payload: bytes) -> str | None:
    """Of a message that could not be read, so that whoever sent it learns why."""
    found = _REQUEST_ID.search(payload[: 2 * SIZE_LIMIT_BYTES])
    return found[1].decode(errors="replace") if found else None

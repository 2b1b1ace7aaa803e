"""The answers on `cloud/response`: how they are built, kept within the wire's size, stored and given again.

An answer is stored before it is sent, without its token (the entry's key is the token), and every repeat of the token
gets the stored one: the same bytes, whatever the repeat contains.

Of refusals (status 400) only the newest `REFUSALS_KEPT` are stored. Anybody who may publish can have any number of them
with fresh tokens, and the journal must not fill the disk with them. An older one is forgotten, and a repeat of its token
is decided anew: that is safe, because nothing was ever done at the table for it. What was done is never forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from edgechess_kit import messages as m
from edgechess_kit.journal import Draft, Journal

TOKEN_LIMIT = 2048  # characters; what `messages.Token` allows
REASON_LIMIT = 600  # characters: a sentence for a person, and room for the rest of the answer
REFUSALS_KEPT = 1000  # about 0.5 MB; a redelivery comes within minutes, and an honest requester has a few in a game
ANSWERS = ("answered", "refused")  # the kinds of entry that hold an answer
DIFFERENCES_LIMIT = 32  # more is a table to be set up again; `expected` and `found` say it all anyway


def answer(
    request: m.GameRequest,
    status: Literal[200, 400, 500],
    detail: m.ResponseDetail,
    reason: str | None = None,
) -> m.GameResponse:
    """In the sample's fields, and ours besides."""
    return fitted(
        m.GameResponse(
            status=status,
            task_token=request.task_token,
            reason=reason,
            request_id=request.request_id,
            session_id=request.session_id,
            lan=request.lan or None,
            detail=detail,
        )
    )


def answer_malformed(token: str | None, code: str, reason: str) -> m.GameResponse:
    return fitted(
        m.GameResponse(status=400, task_token=token, reason=reason, detail=m.ResponseDetail(phase="request", code=code))
    )


def fitted(response: m.GameResponse) -> m.GameResponse:
    """The same answer, shortened until the wire takes it: an answer too long to be sent would be no answer."""
    if response.reason is not None and len(response.reason) > REASON_LIMIT:
        response = msgspec.structs.replace(response, reason=response.reason[: REASON_LIMIT - 1] + "…")
    detail = response.detail
    if detail is not None and len(detail.differences) > DIFFERENCES_LIMIT:
        detail = msgspec.structs.replace(detail, differences=detail.differences[:DIFFERENCES_LIMIT])
        response = msgspec.structs.replace(response, detail=detail)
    if detail is not None and _too_large(response):
        response = msgspec.structs.replace(response, detail=m.ResponseDetail(phase=detail.phase, code=detail.code))
    if _too_large(response):
        response = msgspec.structs.replace(response, reason=None, request_id=None)
    return response


def stored(response: m.GameResponse, session_id: str | None) -> Draft:
    """The journal entry that makes an answer final. `response.task_token` must be there."""
    data = msgspec.to_builtins(msgspec.structs.replace(response, task_token=None))
    if response.status == 400:
        return Draft("refused", {"response": data}, session_id, response.task_token, keep_newest=REFUSALS_KEPT)
    return Draft("answered", {"response": data}, session_id, response.task_token)


def given(data: Mapping[str, Any], token: str) -> m.GameResponse:
    """From the entry's data and key."""
    response = msgspec.convert(data["response"], m.GameResponse)
    return msgspec.structs.replace(response, task_token=token)


def earlier_answer(journal: Journal, token: str | None) -> m.GameResponse | None:
    """What this token was answered before, or None."""
    if token is None:
        return None
    # by key alone: a token has a handful of entries, and SQLite might else walk all answers of all games
    found = [entry for entry in journal.entries(key=token) if entry.kind in ANSWERS]
    return given(found[0].data, token) if found else None


def readable_token(payload: bytes, limit_bytes: int) -> str | None:
    """The `taskToken` of a payload that is no game request, if it is JSON of at most `limit_bytes` and has a usable one."""
    if len(payload) > limit_bytes:
        return None
    try:
        found = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    token = found.get("taskToken") if isinstance(found, dict) else None
    usable = isinstance(token, str) and 0 < len(token) <= TOKEN_LIMIT and len(token.encode()) <= m.SIZE_LIMIT_BYTES // 2
    return token if usable else None


def _too_large(response: m.GameResponse) -> bool:
    return len(msgspec.json.encode(response)) > m.SIZE_LIMIT_BYTES

"""Messages that decode and that no component of ours would write: the console passes them over and goes on."""

from __future__ import annotations

from typing import Any

import chess
import pytest

from edgechess_kit.messages import GameResponse, SessionState

pytestmark = pytest.mark.anyio

HUGE = b"1" + b"0" * 30
LONG = b"1" + b"0" * 5000  # more digits than Python turns into text
DEEP = b"[" * 900 + b"]" * 900
FEN = chess.STARTING_FEN.encode()


def event(
    data: bytes, kind: bytes = b"confirmed", seq: bytes = b"1", at: bytes = b"1", who: bytes = b"match-director"
) -> bytes:
    return b'{"component":"%s","kind":"%s","seq":%s,"at":%s,"sessionId":"s","data":%s}' % (who, kind, seq, at, data)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("edge/events", event(b"{}", seq=HUGE)),
        ("edge/events", event(b"{}", kind=b"session-created", at=b"1e18")),
        ("edge/events", event(b'{"ply":1,"fen":"%s","retried":1e300}' % FEN)),
        ("edge/events", event(b'{"ply":1,"fen":"%s","at":1e18}' % FEN)),
        ("edge/events", event(b'{"ply":%s}' % LONG)),
        ("edge/events", event(b'{"ply":1e200,"color":"w"}', kind=b"move-chosen")),
        ("edge/events", event(b'{"status":%s}' % LONG, kind=b"failed")),
        ("edge/events", event(b'{"thought":{"failures":[%s]}}' % DEEP, kind=b"move-chosen")),
        ("devices/arm/state", b'{"arms":[],"leaseToken":%s}' % HUGE),
        ("edge/session/state", b'{"status":"running","sessionId":"s","fen":"%s","ply":%s}' % (FEN, HUGE)),
    ],
)  # fmt: skip
async def test_numbers_and_depths_that_nobody_writes_end_nothing(console: Any, topic: str, payload: bytes) -> None:
    async with console() as desk, desk.browser() as client:
        post = await desk.operator(client)
        desk.broker.inject("foreign", f"robo-chess/{topic}", payload)
        await desk.view(client)
        for page in ("sessions", "leaderboard", "reliability?days=36500", "session?id=s", "pgn?id=s"):
            assert (await client.get(f"/api/history/{page}")).status_code in (200, 404)
        assert (await post("/api/stop")).json()["status"] == 200


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_refused_request_of_somebody_is_no_trouble_of_this_match(console: Any) -> None:
    async with console() as desk, desk.browser() as client:
        await desk.operator(client)
        await desk.say(
            desk.topics.session_state,
            SessionState(status="running", session_id="s", fen=chess.STARTING_FEN, start_fen=chess.STARTING_FEN),
        )
        await desk.event("asking", {"ply": 1, "color": "w", "seat": "person", "since": 1.0})
        await desk.say(
            desk.topics.cloud_response, GameResponse(status=400, task_token="t", reason="a game is being played")
        )
        view = await desk.view(client)
        assert view.troubles == ()
        assert view.turn is not None
        assert view.turn.entry

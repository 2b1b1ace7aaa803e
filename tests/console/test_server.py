"""The server as a browser sees it, over a memory bus: commands, roles, and what others send."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import anyio
import chess
import msgspec
import pytest

from edgechess_kit.errors import JournalError, SettingsError
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.messages import (
    ArmControl,
    ArmControlResponse,
    EdgeEvent,
    GameResponse,
    SessionControl,
    SessionControlResponse,
    SessionState,
)

pytestmark = pytest.mark.anyio

OPERATOR, VIEWER = "operator-token-0123456789", "viewer-token-0123456789"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    for name, token in (("operator", OPERATOR), ("viewer", VIEWER)):
        (tmp_path / name).write_text(token + "\n", encoding="utf-8")
    return {
        "operator_token_file": str(tmp_path / "operator"),
        "viewer_token_file": str(tmp_path / "viewer"),
    }


# ---------------------------------------------------------------- commands


async def test_the_stop_goes_out_without_any_session_and_without_waiting_for_an_answer(console: Any) -> None:
    async with console() as desk, desk.browser() as client, desk.voice.subscribe(desk.topics.arm_control) as stops:
        post = await desk.operator(client)
        answer = await post("/api/stop")
        assert answer.json()["status"] == 200
        control = (await anext(stops)).decode(desk.topics.arm_control)
        assert (control.command, control.reason) == ("stop", "stop on the page (operator)")


async def test_a_stop_without_a_bus_says_so_at_once(console: Any) -> None:
    async with console() as desk, desk.browser() as client:
        post = await desk.operator(client)
        await desk.bus.drop()
        answer = await post("/api/stop")
        assert answer.status_code == 503
        assert "emergency stop" in answer.json()["reason"]
        await desk.bus.reconnect()


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("create", {"white": "human", "black": "stockfish:elo=1350", "robotEnabled": False}, SessionControl(command="create", request_id="r", white="human", black="stockfish:elo=1350", robot_enabled=False)),
        ("start", {}, SessionControl(command="start", request_id="r")),
        ("pause", {}, SessionControl(command="pause", request_id="r")),
        ("resign", {"color": "b"}, SessionControl(command="resign", request_id="r", color="b")),
        ("draw", {}, SessionControl(command="draw", request_id="r")),
        ("start", {"white": "human", "black": "random", "setup": True}, SessionControl(command="start", request_id="r", white="human", black="random", setup=True)),
        ("pause", {"sessionId": "seen"}, SessionControl(command="pause", request_id="r", session_id="seen")),
        ("resign", {"color": "w", "sessionId": "seen"}, SessionControl(command="resign", request_id="r", color="w", session_id="seen")),
        ("move", {"lan": "e2e4", "sessionId": None}, SessionControl(command="move", request_id="r", lan="e2e4")),
        ("move", {"lan": "e7e8q"}, SessionControl(command="move", request_id="r", lan="e7e8q")),
        ("next", {}, SessionControl(command="next", request_id="r", setup=True)),
    ],
)  # fmt: skip
async def test_commands_become_messages_and_their_answers_come_back(
    console: Any, path: str, body: dict[str, Any], expected: SessionControl
) -> None:
    heard: list[SessionControl] = []
    async with console() as desk, desk.browser() as client, anyio.create_task_group() as tasks:
        topics = desk.topics

        def refuse(control: SessionControl) -> tuple[Any, Any]:
            return topics.session_control_response, SessionControlResponse(
                request_id=control.request_id, status=400, reason="not now"
            )

        await tasks.start(desk.answered, topics.session_control, refuse, heard)
        post = await desk.operator(client)
        answer = await post(f"/api/session/{path}", body)
        assert (answer.status_code, answer.json()) == (400, {"status": 400, "reason": "not now"})
        assert msgspec.structs.replace(heard[0], request_id="r") == expected
        tasks.cancel_scope.cancel()


async def test_the_arms_are_released_by_name_only(console: Any) -> None:
    heard: list[ArmControl] = []
    async with console() as desk, desk.browser() as client, anyio.create_task_group() as tasks:
        topics = desk.topics

        def agree(control: ArmControl) -> tuple[Any, Any]:
            return topics.arm_control_response, ArmControlResponse(
                status=200, command=control.command, request_id=control.request_id
            )

        await tasks.start(desk.answered, topics.arm_control, agree, heard)
        post = await desk.operator(client)
        assert (await post("/api/arms/recover", {"confirmedBy": "  "})).json()[
            "reason"
        ] == "confirmedBy: say who has looked at the table"
        assert (await post("/api/arms/recover", {"confirmedBy": "Ada"})).json()["status"] == 200
        assert (await post("/api/table/refilled", {"confirmedBy": "Ada"})).json()["status"] == 200
        assert [(control.command, control.confirmed_by) for control in heard] == [
            ("recover", "Ada"),
            ("refilled", "Ada"),
        ]
        tasks.cancel_scope.cancel()


async def test_what_was_said_of_one_game_is_not_done_to_the_next(console: Any) -> None:
    async with console() as desk, desk.browser() as client:
        post = await desk.operator(client)
        start = {"session_id": "s", "white": "human", "black": "human", "start_fen": chess.STARTING_FEN}
        await desk.event("session-created", start)
        await desk.view(client)
        for path, body in (("session/next", {"after": "old"}), ("table/setup", {"sessionId": "old", "abandon": True})):
            answer = await post(f"/api/{path}", body)
            assert (answer.status_code, answer.json()["reason"]) == (400, "sessionId: old is not the one here, s")


async def test_the_table_is_set_up_for_the_game_that_waits_for_it(console: Any) -> None:
    fen = "4k3/8/8/8/8/8/4P3/4K3 w - - 0 1"
    async with console() as desk, desk.browser() as client, anyio.create_task_group() as tasks:
        heard: list[Any] = []

        def refuse(request: Any) -> tuple[Any, Any]:
            return desk.topics.cloud_response, GameResponse(status=400, task_token=request.task_token, reason="busy")

        await tasks.start(desk.answered, desk.topics.cloud_request, refuse, heard)
        start = {"session_id": "s", "white": "human", "black": "human", "start_fen": fen}
        await desk.event("session-created", start)
        post = await desk.operator(client)
        await desk.view(client)
        await post("/api/table/setup", {"sessionId": "s"})
        await desk.event("summary", {"result": "1-0", "termination": "resignation"}, seq=2)
        await desk.view(client)
        await post("/api/table/setup", {"sessionId": "s"})
        assert [request.before for request in heard] == [fen, chess.STARTING_FEN]
        tasks.cancel_scope.cancel()


async def test_a_table_is_not_set_up_under_a_game_unless_it_is_abandoned(console: Any) -> None:
    async with console() as desk, desk.browser() as client, anyio.create_task_group() as tasks:
        topics = desk.topics
        heard: list[Any] = []

        def refuse(request: Any) -> tuple[Any, Any]:
            return topics.cloud_response, GameResponse(status=400, task_token=request.task_token, reason="busy")

        await tasks.start(desk.answered, topics.cloud_request, refuse, heard)
        await desk.say(topics.session_state, SessionState(status="running", session_id="s", fen=chess.STARTING_FEN))
        post = await desk.operator(client)
        await desk.view(client)
        assert "is being played" in (await post("/api/table/setup")).json()["reason"]
        assert (await post("/api/table/setup", {"abandon": True})).json()["reason"] == "busy"
        assert (heard[0].action, heard[0].session_id, heard[0].before) == ("setup", "s", chess.STARTING_FEN)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/api/session/move", {"lan": "e9e4"}, "lan"),
        ("/api/session/move", {}, "lan is missing"),
        ("/api/session/resign", {"color": "x"}, "color"),
        ("/api/session/create", {"white": "human"}, "black is missing"),
        ("/api/session/create", {"white": "w" * 500, "black": "b"}, "white"),
        ("/api/session/pause", {"result": "1-0"}, "result: pause has no such key"),
        ("/api/session/next", {"swap": "yes"}, "swap: expected true or false"),
        ("/api/table/setup", {"fen": "nonsense"}, "fen"),
        ("/api/arms/park", {"arm": 7}, "arm"),
    ],
)
async def test_what_is_no_message_is_refused_by_its_key(
    console: Any, path: str, body: dict[str, Any], words: str
) -> None:
    async with console() as desk, desk.browser() as client:
        post = await desk.operator(client)
        answer = await post(path, body)
        assert answer.status_code == 400
        assert words in answer.json()["reason"]


async def test_a_body_that_is_no_object_or_too_large_is_refused(console: Any) -> None:
    async with console() as desk, desk.browser() as client:
        csrf = (await client.get("/api/me")).json()["csrf"]
        for body, words in (
            (b"[1]", "not a JSON object"),
            (b"\xff", "not a JSON object"),
            (b" " * 9000, "larger than"),
        ):
            answer = await client.post("/api/session/start", content=body, headers={"x-edgechess-csrf": csrf})
            assert (answer.status_code, words in answer.json()["reason"]) == (400, True)


# ---------------------------------------------------------------- who may what


@pytest.mark.parametrize("path", ["/api/stop", "/api/session/start", "/api/arms/park", "/api/table/setup"])
async def test_a_viewer_can_do_nothing(console: Any, tokens: dict[str, str], path: str) -> None:
    async with console(**tokens) as desk, desk.browser() as client:
        assert (await client.get("/api/view")).status_code == 401
        assert (await client.get("/api/me")).status_code == 401
        answer = await client.post("/api/login", data={"token": VIEWER})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert VIEWER not in cookie
        post = await desk.operator(client)
        assert (await client.get("/api/me")).json()["role"] == "viewer"
        assert (await client.get("/api/view")).status_code == 200
        async with desk.voice.subscribe(desk.topics.arm_control, desk.topics.session_control) as said:
            refused = await post(path)
            assert (refused.status_code, "viewers watch" in refused.json()["reason"]) == (403, True)
            with anyio.move_on_after(0.02) as waited:
                await anext(said)
            assert waited.cancelled_caught


async def test_a_wrong_token_is_sent_back_and_guessing_is_slowed_down(console: Any, tokens: dict[str, str]) -> None:
    async with console(**tokens) as desk, desk.browser() as client:
        codes = [(await client.post("/api/login", data={"token": "guess"})).status_code for _ in range(8)]
        assert codes == [303] * 6 + [429] * 2
        assert (await client.get("/api/me")).status_code == 401


async def test_a_request_of_another_site_is_refused(console: Any) -> None:
    async with console() as desk, desk.browser() as client:
        post = await desk.operator(client)
        assert (await client.post("/api/stop")).status_code == 403  # no token of the page
        assert (await post("/api/stop", origin="http://evil.example")).status_code == 403
        assert (await post("/api/stop", **{"sec-fetch-site": "cross-site"})).status_code == 403
        assert (await post("/api/stop", origin="http://127.0.0.1:8088")).status_code == 200
        async with desk.browser() as stranger:
            assert (await stranger.get("/api/me", headers={"sec-fetch-site": "cross-site"})).status_code == 403
            assert not stranger.cookies


async def test_a_foreign_name_for_this_machine_is_refused(console: Any) -> None:
    async with console() as desk, desk.browser("evil.example:8088") as client:
        assert (await client.get("/")).status_code == 403


async def test_too_many_requests_are_refused_but_never_the_stop(console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgechess_console.guard.REQUESTS_BURST", 20.0)
    async with console() as desk, desk.browser() as client:
        post = await desk.operator(client)
        codes = [(await client.get("/api/players")).status_code for _ in range(30)]
        assert codes[-1] == 429
        assert (await post("/api/stop")).status_code == 200


async def test_every_answer_carries_the_policy_and_the_page_loads_nothing_from_elsewhere(console: Any) -> None:
    async with console() as desk, desk.browser() as client:
        weight = 0
        for path in ("/", "/stage", "/history", "/login"):
            answer = await client.get(path)
            assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", answer.text)
            assert not re.search(r"(src|href)=\"(https?:)?//", answer.text)
        assert (await client.get("/static/../settings.py")).status_code == 404
        assert (await client.get("/static/app.js")).headers["content-type"] == "text/javascript; charset=utf-8"
        page = Path(__file__).parents[2] / "greengrass-components/console/src/edgechess_console/page"
        weight = sum(path.stat().st_size for path in page.iterdir())
        assert weight < 500_000
        for script in page.glob("*.js"):
            text = script.read_text(encoding="utf-8")
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://(?!www\.w3\.org)", text
            )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": "0.0.0.0"}, "certificate_file and key_file"),
        ({"host": "0.0.0.0", "certificate_file": "c.pem", "key_file": "k.pem"}, "operator_token_file"),
        ({"certificate_file": "c.pem"}, "key_file is missing"),
        ({"certificate_file": "c.pem", "key_file": "k.pem"}, "c.pem and k.pem are no certificate and its key"),
        ({"operator_token_file": "/nowhere/token"}, "cannot be read"),
    ],
)
async def test_what_would_be_open_to_others_is_refused_with_the_cure(
    console: Any, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(BaseExceptionGroup) as caught, anyio.fail_after(5):
        async with console(**changes):
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, SettingsError)
    assert words in str(error)


# ---------------------------------------------------------------- what others send


async def test_scripts_in_names_arrive_as_text(console: Any) -> None:
    async with console() as desk, desk.browser() as client:
        await desk.operator(client)
        await desk.event(
            "session-created", {"white": SCRIPT, "black": "b" * 5000, "session_id": "s", "white_seat": SCRIPT}
        )
        await desk.event("player-failed", {"player": SCRIPT, "reason": SCRIPT, "color": "w"}, 2)
        view = await desk.view(client)
        assert view.players["w"].word == SCRIPT
        assert len(view.players["b"].word) == 200
        answer = await client.get("/api/view")
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_malformed_messages_are_passed_over(console: Any) -> None:
    async with console() as desk, desk.browser() as client:
        await desk.operator(client)
        for name in (
            "edge/events",
            "edge/status",
            "edge/session/state",
            "devices/board/state",
            "devices/arm/state",
            "cloud/response",
        ):
            for payload in (b"", b"\xff\xfe", b"[]", b"{}", b'{"status":5}', b"[" * 3000, b"x" * 20_000):
                desk.broker.inject("foreign", f"robo-chess/{name}", payload)
        odd: list[dict[str, Any]] = [
            {}, {"ply": "x", "fen": 7}, {"ply": -1, "fen": "nonsense"}, {"ply": 10**12, "fen": chess.STARTING_FEN},
            {"thought": 5, "timings": [1], "by": None, "ply": 1.5, "color": {}, "san": ["e4"]},
            {"start_fen": "k", "white": 3, "session_id": None, "grasp": "N", "result": 7, "progress": [], "failures": {}},
        ]  # fmt: skip
        kinds = [
            "session-created",
            "asking",
            "move-chosen",
            "confirmed",
            "summary",
            "draw-offered",
            "placed",
            "job-ended",
            "setup-ordered",
        ]
        number = 0
        for kind in kinds:
            for data in odd:
                for component in ("match-director", "arm-controller", "game-manager"):
                    number += 1
                    await desk.event(kind, data, number, component)
        await desk.event("session-created", {}, 900)
        await desk.event("paused", {}, 901)
        view = await desk.view(client)
        assert view.session.paused
        for path in ("sessions", "leaderboard", "reliability"):
            assert (await client.get(f"/api/history/{path}")).status_code == 200


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_ten_thousand_events_in_a_burst_leave_the_newest_and_a_console_that_answers(console: Any) -> None:
    async with console() as desk, desk.browser() as client:
        post = await desk.operator(client)
        for number in range(10_000):  # all at once: what a queue cannot hold is lost, the newest never
            event = EdgeEvent(component=f"component-{number % 100}", kind="asking", seq=number, at=100.0 + number)
            desk.broker.inject("foreign", desk.topics.events.name, desk.topics.events.encode(event))
        view = await desk.view(client)
        assert (len(view.events), view.events[-1].n) == (200, view.events[0].n + 199)
        assert 100.0 + 9999 in [event.at for event in view.events[-2:]]  # its own "serving" may come after
        assert (await post("/api/stop")).json()["status"] == 200


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_form_that_is_none_of_ours_is_a_wrong_token(console: Any, tokens: dict[str, str]) -> None:
    async with console(**tokens) as desk, desk.browser() as client:
        answer = await client.post("/api/login", content="&".join(f"token={number}" for number in range(40)))
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?failed=1")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_full_disk_keeps_nobody_from_stopping_or_pausing(console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise JournalError("disk full")

    async with console() as desk, desk.browser() as client, anyio.create_task_group() as tasks:
        post = await desk.operator(client)
        monkeypatch.setattr(SqliteJournal, "append_all", full)
        topics, heard = desk.topics, list[Any]()
        await tasks.start(desk.answered, topics.session_control, lambda control: (
            topics.session_control_response, SessionControlResponse(request_id=control.request_id, status=200)
        ), heard)  # fmt: skip
        assert (await post("/api/stop")).json()["status"] == 200
        assert (await post("/api/session/pause")).json()["status"] == 200
        tasks.cancel_scope.cancel()


async def test_viewers_have_no_operators_token(console: Any, tokens: dict[str, str]) -> None:
    same = {**tokens, "viewer_token_file": tokens["operator_token_file"]}
    with pytest.raises(BaseExceptionGroup) as caught, anyio.fail_after(5):
        async with console(**same):
            pass
    assert "make another one" in str(caught.value.exceptions[0])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_two_consoles_of_one_machine_do_not_end_each_others_sessions(console: Any) -> None:
    """Cookies know no port: a browser sends those of 127.0.0.1 to every page there."""
    async with console() as desk, desk.browser() as client, desk.browser("127.0.0.1:9099") as other:
        post = await desk.operator(client)
        await other.get("/api/me")
        for cookie in other.cookies.jar:
            client.cookies.jar.set_cookie(cookie)
        assert len(client.cookies.jar) == 2
        assert (await post("/api/stop")).json()["status"] == 200

"""`edgechess publish` against a scripted manager on a real broker: what is sent, and what each answer's exit code is."""

from __future__ import annotations

import functools
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import chess
import pytest
from anyio.from_thread import start_blocking_portal

from edgechess_cli import publish_command
from edgechess_cli.publish import MoveTextError, checked_move, checked_start, session_state
from edgechess_kit import messages as m
from edgechess_kit.broker import running_broker
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics

SCRIPT: dict[str, m.GameResponse | None] = {
    "e2e4": m.GameResponse(
        status=200, task_token="?", detail=m.ResponseDetail(timings_s={"arm": 1.25, "total": 1.9})
    ),
    "d2d4": m.GameResponse(status=400, task_token="?", reason="it is not White's turn"),
    "g1f3": m.GameResponse(status=500, task_token="?", reason="g1 is empty, expected a white knight"),
    "": m.GameResponse(status=200, task_token="?"),
}  # fmt: skip


class Manager:
    """Answers as the script says, after an answer that is somebody else's; keeps what it was asked."""

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self.asked: list[m.GameRequest] = []

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        topics = Topics()
        async with MqttBus(BusSettings(broker=self.broker), "manager") as bus:
            await bus.publish(
                topics.session_state,
                m.SessionState(status="running", session_id="s", fen=chess.STARTING_FEN),
            )
            async with bus.subscribe(topics.cloud_request) as requests:
                task_status.started()
                async for delivery in requests:
                    request = delivery.decode(topics.cloud_request)
                    self.asked.append(request)
                    await bus.publish(topics.cloud_response, m.GameResponse(status=400, task_token="another"))
                    answer = SCRIPT.get(request.lan)
                    if answer is not None:
                        fields = {"status": answer.status, "reason": answer.reason, "detail": answer.detail}
                        told = m.GameResponse(task_token=request.task_token, **fields)  # type: ignore[arg-type]
                        await bus.publish(topics.cloud_response, told)


@pytest.fixture(scope="module")
def manager() -> Iterator[Manager]:
    with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(running_broker()) as url:
        scripted = Manager(url)
        future, _ = portal.start_task(scripted.run)
        yield scripted
        future.cancel()


@pytest.mark.parametrize(
    ("move", "code", "told"),
    [
        ("e4", 0, "200 confirmed (arm 1.25 s, total 1.90 s)"),
        ("d2d4", 4, "400 it is not White's turn"),
        ("Nf3", 5, "500 g1 is empty, expected a white knight"),
    ],
)
def test_the_answers_exit_code(edgechess: Any, manager: Manager, move: str, code: int, told: str) -> None:
    done = edgechess("publish", "move", "--broker", manager.broker, "--session", "s", move)
    assert (done.code, done.out.strip(), done.err) == (code, told, "")


def test_no_answer_is_6(edgechess: Any, manager: Manager) -> None:
    done = edgechess("publish", "move", "--broker", manager.broker, "--session", "s", "--timeout", "0.5", "Nc3")
    assert (done.code, done.out) == (6, "")
    assert "no answer within 0.5 s" in done.err


def test_no_broker_is_no_answer(edgechess: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgechess_cli import bus_connection

    monkeypatch.setattr(bus_connection, "CONNECT_TIMEOUT_S", 0.3)
    with socket.socket() as closed:  # bound and not listening: nobody else takes the port meanwhile
        closed.bind(("127.0.0.1", 0))
        broker = f"mqtt://127.0.0.1:{closed.getsockname()[1]}"
        done = edgechess("publish", "start", "--broker", broker, "--session", "s")
    assert done.code == 6
    assert f"no broker answers at {broker}" in done.err


def test_nobody_there_to_say_the_position_is_6(
    edgechess: Any, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_command, "session_state", functools.partial(session_state, timeout_s=0.3))
    there = ("--broker", manager.broker, "--prefix", "another-table", "--session", "s")
    done = edgechess("publish", "move", *there, "e4")
    assert done.code == 6
    assert "no game manager has said anything" in done.err


def test_start_and_the_token_of_the_caller(edgechess: Any, manager: Manager) -> None:
    words = ("publish", "start", "--broker", manager.broker, "--session", "s", "--token", "mine", "--json")
    done = edgechess(*words)
    assert done.code == 0
    assert json.loads(done.out) == {"status": 200, "taskToken": "mine"}
    assert manager.asked[-1].action == "start"
    assert manager.asked[-1].before == chess.STARTING_FEN


def test_a_person_may_be_asked_for(edgechess: Any, manager: Manager) -> None:
    edgechess("publish", "move", "--broker", manager.broker, "--session", "s", "--executor", "person", "e4")
    assert manager.asked[-1].executor == "person"


@pytest.mark.parametrize(
    ("fen", "text", "fields"),
    [
        (chess.STARTING_FEN, "e4", {"flags": "b", "piece": "p", "from_": "e2", "to": "e4", "color": "w"}),
        (chess.STARTING_FEN, "g1f3", {"flags": "n", "piece": "n", "san": "Nf3"}),
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", "exd6", {"flags": "e", "captured": "p"}),
        ("4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1", "O-O", {"flags": "k", "san": "O-O"}),
        ("4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1", "O-O-O", {"flags": "q", "lan": "e1c1"}),
        ("1n2k3/P7/8/8/8/8/8/4K3 w - - 0 1", "axb8=Q+", {"captured": "n", "promotion": "q", "lan": "a7b8q"}),
        ("4k3/8/8/8/8/8/4r3/4K3 w - - 0 1", "Kxe2", {"flags": "c", "captured": "r"}),
    ],
)
def test_moves_as_chess_js_writes_them(fen: str, text: str, fields: dict[str, str]) -> None:
    request = checked_move(None, fen, text, "s", "t", None)
    assert {name: getattr(request, name) for name in fields} == fields
    board = chess.Board(fen)
    board.push_uci(request.lan)
    assert chess.Board(request.after) == chess.Board(board.fen())


def test_text_that_names_no_move_lists_the_legal_ones() -> None:
    with pytest.raises(MoveTextError, match=r"'e4' is not a legal move for White.*Legal: K.., K.., K.., K.., K..$"):
        checked_move(None, "4k3/8/8/8/8/8/8/4K3 w - - 0 1", "e4", "s", "t", None)
    with pytest.raises(MoveTextError, match="--fen"):
        checked_start("s", "nothing", "t")


def test_what_is_illegal_is_the_managers_to_refuse() -> None:
    request = checked_move(None, chess.STARTING_FEN, "e2e5", "s", "t", None)
    assert (request.lan, request.before, request.after) == ("e2e5", chess.STARTING_FEN, chess.STARTING_FEN)


def test_the_last_move_again_is_the_same_request() -> None:
    after = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
    state = m.SessionState(
        status="running", session_id="s", start_fen=chess.STARTING_FEN, fen=after, moves=("e2e4",), ply=1
    )
    first = checked_move(None, chess.STARTING_FEN, "e4", "s", "t", None)
    assert checked_move(state, None, "e4", "s", "t", None) == first
    assert checked_move(state, None, "e5", "s", "t", None).before == after


@pytest.mark.parametrize("option", ["--ca", "--cert", "--key"])
def test_certificates_that_cannot_be_read_are_named_by_their_option(
    edgechess: Any, tmp_path: Path, option: str
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("no certificate", encoding="utf-8")
    for path, what in (
        ("/nope", "/nope: No such file or directory: name a PEM file"),
        (other, f"{other}: no PEM in it"),
    ):
        done = edgechess("publish", "start", "--session", "s", "--broker", "mqtts://localhost:1", option, str(path))
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert f"{option} {what}" in done.err

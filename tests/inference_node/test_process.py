"""Whole processes: a node that answers before its weights have come, and matches that it serves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import chess
import chess.pgn
import pytest

from edgechess_cli.match_folder import MatchFolder, past_matches
from edgechess_kit import messages as m
from edgechess_kit.broker import running_broker
from edgechess_kit.bus import Subscription
from edgechess_kit.clock import SystemClock
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("EDGECHESS_")}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def command(url: str, folder: Path, *settings: str) -> list[str]:
    flags = [f"bus.broker={url}", f"journal.path={folder}/node.journal", "http_port=0", *settings]
    return [sys.executable, "-m", "edgechess_inference_node", *(part for flag in flags for part in ("--set", flag))]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    np = pytest.importorskip("numpy")
    pytest.importorskip("onnxruntime")
    from edgechess_inference.policy.architecture import Architecture, weights_of
    from edgechess_inference.policy.checkpoint import pack_policy

    shape, draw = Architecture(trunk="residual", width=8, blocks=1), np.random.default_rng(1)
    weights = {key: (0.1 * draw.standard_normal(size)).astype(np.float32) for key, size in weights_of(shape).items()}
    pack_policy(tmp_path / "tiny.json", shape, weights)
    return tmp_path / "tiny.json"


async def test_the_engine_answers_while_the_weights_are_on_their_way(tmp_path: Path) -> None:
    """The store takes connections and says nothing: the weights never come, and nobody waits for them."""
    t = Topics()
    silent = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = silent.extra(anyio.abc.SocketAttribute.local_port)
    async with (
        silent,
        running_broker() as url,
        MqttBus(BusSettings(broker=url), "asker") as bus,
        bus.subscribe(t.status, t.inference_response) as deliveries,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(silent.serve, _say_nothing)
        arguments = command(url, tmp_path, f"models=chess=http://127.0.0.1:{port}/chess.json", "engine=builtin")
        async with await anyio.open_process(arguments, stderr=subprocess.DEVNULL, env=ENVIRONMENT) as node:
            with anyio.fail_after(60):
                answer = await _first_answer(bus, t, deliveries)
            assert answer.fallback
            assert answer.attempts[0].failure == "unavailable"
            assert chess.Move.from_uci(answer.lan or "") in chess.Board().legal_moves
            node.send_signal(signal.SIGTERM)
            with anyio.fail_after(30):
                assert await node.wait() == 0
        tasks.cancel_scope.cancel()


async def _first_answer(bus: MqttBus, t: Topics, deliveries: Subscription) -> m.InferenceResponse:
    async for delivery in deliveries:
        if delivery.topic == t.inference_response.name:
            return delivery.decode(t.inference_response)
        status = delivery.decode(t.status)
        if (status.component, status.status) == ("inference-node", "ready"):
            request = m.InferenceRequest(request_id="first", player="model:chess", fen=chess.STARTING_FEN)
            await bus.publish(t.inference_request, request)
    raise AssertionError


async def _say_nothing(stream: anyio.abc.ByteStream) -> None:
    async with stream:
        await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("http_host=0.0.0.0", "served on loopback only"),
        ("models=a@b=/x.json", "NAME without @"),
        ("engine=fritz", "inference-node.engine"),
    ],
)
async def test_settings_that_cannot_be_are_one_line_and_exit_code_2(tmp_path: Path, setting: str, said: str) -> None:
    with anyio.fail_after(60):
        done = await anyio.run_process(
            command("mqtt://127.0.0.1:1", tmp_path, setting), check=False, stderr=subprocess.PIPE, env=ENVIRONMENT
        )
    lines = done.stderr.decode().strip().split("\n")
    assert (done.returncode, len(lines)) == (2, 1), lines
    assert said in lines[0]


@pytest.mark.parametrize("more", [[], ["--node"]], ids=["in the director", "on a node"])
async def test_a_packed_model_plays_a_match_with_real_processes(tmp_path: Path, tiny: Path, more: list[str]) -> None:
    arguments = [
        sys.executable, "-m", "edgechess_cli.main", "play", "--white", f"model:{tiny}", "--black", "random", "--max-plies", "6",
        "--speed", "60", "--pgn", str(tmp_path / "match.pgn"), "--json", *more,
    ]  # fmt: skip
    environment = {**ENVIRONMENT, "EDGECHESS_STATE": str(tmp_path / "state")}
    with anyio.fail_after(240):
        done = await anyio.run_process(arguments, check=False, stderr=subprocess.PIPE, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    summary = json.loads(done.stdout.decode().strip().split("\n")[-1])
    assert (summary["plies"], summary["confirmed"]) == (6, 6)
    assert summary["model_moves"] + summary["fallback_moves"] == 3
    with (tmp_path / "match.pgn").open() as file:
        game = chess.pgn.read_game(file)
    assert game is not None
    white = [node.comment for node in game.mainline() if node.turn() == chess.BLACK]
    assert all("moved by " in comment for comment in white)


PLAN = ("loading", "illegal first", "prose", "nothing", "late", "json", "away", "never legal")
"""Of `scripted_model.PLAN`, by ply; the first question comes before the model is there."""
BY_THE_MODEL = ("illegal first", "nothing", "json")
FAILURES = {
    "loading": ["unavailable"],
    "illegal first": ["illegal"],
    "prose": ["no-move"] * 3,
    "nothing": ["no-answer"] * 2,
    "late": ["late"],
    "away": ["unavailable"],
    "never legal": ["illegal"] * 3,
}
THINK_S = 5.0


def answered(folder: MatchFolder) -> list[dict[str, Any]]:
    """What the node said, in order; the same again to a repeated request is one."""
    journal = SqliteJournal.read_only(folder.journal("inference-node"), SystemClock())
    with contextlib.closing(journal):
        return [entry.data["response"] for entry in journal.entries(kind="answered")]


async def test_a_model_that_misbehaves_plays_both_sides_over_mqtt(
    scripted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broker, node, director, manager, sensor, arms: each a process, wires and deadlines true."""
    monkeypatch.setenv("EDGECHESS_STATE", str(tmp_path / "state"))
    pgn = tmp_path / "match.pgn"
    here = Path(__file__).parent
    paths = (str(tmp_path), str(here), str(here.parent))  # where the `scripted` plug-in is, and what it derives from
    environment = {
        **ENVIRONMENT,
        "EDGECHESS_STATE": str(tmp_path / "state"),
        "PYTHONPATH": os.pathsep.join((*paths, os.environ.get("PYTHONPATH", ""))),
        "EDGECHESS_MATCH_DIRECTOR_THINK_TIMEOUT_S": str(THINK_S),
    }
    arguments = [
        sys.executable, "-m", "edgechess_cli.main", "play", "--white", "model:scripted", "--black", "model:scripted",
        "--node", "--max-plies", str(len(PLAN)), "--speed", "60", "--pgn", str(pgn), "--json",
    ]  # fmt: skip
    with anyio.fail_after(400):
        done = await anyio.run_process(arguments, check=False, stderr=subprocess.PIPE, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    summary = json.loads(done.stdout.decode().strip().split("\n")[-1])
    assert (summary["plies"], summary["confirmed"]) == (len(PLAN), len(PLAN))
    by_model = len(BY_THE_MODEL)
    assert (summary["model_moves"], summary["fallback_moves"]) == (by_model, len(PLAN) - by_model)
    [folder] = past_matches()
    responses = answered(folder)
    with pgn.open() as file:
        game = chess.pgn.read_game(file)
    assert game is not None
    assert len(responses) == len(PLAN)
    for plan, response, node in zip(PLAN, responses, game.mainline(), strict=True):
        assert response["status"] == 200
        assert response["lan"] == node.move.uci()  # legal, for a PGN holds no other, and what came to the table
        assert response["tookS"] < THINK_S
        fallback = plan not in BY_THE_MODEL
        assert response.get("fallback", False) is fallback
        assert [a["failure"] for a in response["attempts"] if a.get("failure")] == FAILURES.get(plan, [])
        mover = response["by"]
        assert (mover == "scripted") is not fallback
        assert f"moved by {mover}" in node.comment

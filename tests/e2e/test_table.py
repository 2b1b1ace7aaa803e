"""A served table and somebody else who publishes the moves: recorded games, the AWS sample's payloads, the command.

All tests share one table; each begins a session of its own, and the person sets up the pieces for it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import anyio
import chess
import pytest

from edgechess_board.placement import Placement
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.topics import Topics
from edgechess_twin.control import ControlClient

from .conftest import LIMIT_S, SHOWCASE, Command, connected
from .replay import read_game, replay

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

ANSWER_S = LIMIT_S

# What the sample's cloud stack publishes (reference "aws-sample-wire"): its field names, chess.js's own FENs. The
# square e3 that chess.js writes after e4 can be captured on by nobody.
SAMPLE_START = """{"sessionId": "sample-1", "action": "start", "color": "w", "piece": "", "from": "", "to": "",
 "san": "", "lan": "", "flags": "b", "taskToken": "AAAAKgAAAAIAAAAA-start",
 "before": "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
 "after": "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"}"""
SAMPLE_MOVE = """{"color": "w", "from": "e2", "to": "e4", "piece": "p", "flags": "b", "san": "e4", "lan": "e2e4",
 "before": "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
 "after": "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1",
 "action": "move", "sessionId": "sample-1", "taskToken": "AAAAKgAAAAIAAAAA-e4"}"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    return Command(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def table(command: Command) -> Iterator[dict[str, Any]]:
    """Where everything is, as `edgechess table --json` tells it."""
    with command.started("table", "--speed", "100", "--seed", "11", "--json") as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())


@pytest.fixture
async def bus(table: dict[str, Any]) -> AsyncIterator[MqttBus]:
    async with connected(table["broker"], "cloud") as connection:
        yield connection


@pytest.fixture
async def hand(table: dict[str, Any]) -> AsyncIterator[ControlClient]:
    async with ControlClient(table["control"]) as person:
        yield person


async def publish_raw(broker: str, topic: str, payload: str) -> None:
    host, port = broker.removeprefix("mqtt://").split(":")
    async with aiomqtt.Client(host, int(port)) as client:
        await client.publish(topic, payload, qos=1)


async def exchange(bus: MqttBus, broker: str, payload: str) -> dict[str, Any]:
    """Raw bytes out, raw JSON back: what a foreign client sees."""
    topics = Topics()
    token = json.loads(payload)["taskToken"]
    with anyio.fail_after(ANSWER_S):
        async with bus.subscribe(topics.cloud_response) as answers:
            await publish_raw(broker, topics.cloud_request.name, payload)
            async for delivery in answers:
                answer: dict[str, Any] = json.loads(delivery.payload)
                if answer.get("taskToken") == token:
                    return answer
    raise AssertionError("the subscription ended")


@pytest.mark.skipif(not SHOWCASE.is_dir(), reason="the shared showcase games are not here")
async def test_a_recorded_game_with_long_castling_and_mate(bus: MqttBus, hand: ControlClient) -> None:
    """Every move is answered 200, and only after the table showed it (`replay` looks); all eight: see `replay.py`."""
    board, moves = read_game(SHOWCASE / "01-opera-game-queenside-castling-mate.pgn")
    done = await replay(bus, hand, board, moves)
    assert (done.plies, done.result, done.termination) == (33, "1-0", "checkmate")
    assert done.final == Placement.from_fen("1n1Rkb1r/p4ppp/4q3/4p1B1/4P3/8/PPP2PPP/2K5")


async def test_the_samples_payloads_are_answered_in_its_own_fields(
    table: dict[str, Any], bus: MqttBus, hand: ControlClient
) -> None:
    broker = table["broker"]
    await hand.arrange(chess.STARTING_BOARD_FEN)
    started = await exchange(bus, broker, SAMPLE_START)
    assert (started["status"], started["taskToken"]) == (200, "AAAAKgAAAAIAAAAA-start")
    moved = await exchange(bus, broker, SAMPLE_MOVE)
    assert (moved["status"], moved["taskToken"]) == (200, "AAAAKgAAAAIAAAAA-e4")
    assert await hand.placement() == Placement.from_fen("rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR")
    assert await exchange(bus, broker, SAMPLE_MOVE) == moved, "the same request again is answered again, not done again"
    refused = await exchange(bus, broker, SAMPLE_MOVE.replace("sample-1", "sample-2").replace("-e4", "-other"))
    assert refused["status"] == 400
    assert "sample-2" in refused["reason"]
    assert await hand.placement() == Placement.from_fen("rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR")


async def test_the_publish_command_and_its_exit_codes(
    command: Command, table: dict[str, Any], hand: ControlClient
) -> None:
    await hand.arrange("4k3/P7/8/8/8/8/8/R3K3")
    there = ("--broker", table["broker"], "--session", "mine")
    fen = "4k3/P7/8/8/8/8/8/R3K3 w Q - 0 1"

    async def publish(*words: str) -> Any:
        return await anyio.to_thread.run_sync(lambda: command.run("publish", *words))

    started = await publish("start", *there, "--fen", fen, "--json")
    assert started.returncode == 0, started.stderr
    assert json.loads(started.stdout)["status"] == 200
    moved = await publish("move", *there, "O-O-O", "--token", "castle", "--json")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert await hand.placement() == Placement.from_fen("4k3/P7/8/8/8/8/8/2KR4")
    again = await publish("move", *there, "--fen", fen, "O-O-O", "--token", "castle", "--json")
    assert json.loads(again.stdout) == json.loads(moved.stdout)
    illegal = await publish("move", *there, "Kc1")
    assert illegal.returncode == 2
    assert "not a legal move for Black" in illegal.stderr
    refused = await publish("move", *there, "--fen", fen, "a8=Q", "--token", "late")
    assert refused.returncode == 4, refused.stdout
    await hand.lift("a7")  # a piece is missing: the board before the move is not what was confirmed
    failed = await publish("move", *there, "Ke7")
    assert failed.returncode == 5, failed.stdout
    assert "a7" in failed.stdout
    shown = await anyio.to_thread.run_sync(
        lambda: command.run("journal", "show", table["folder"], "--kind", "answered", "--json")
    )
    assert [json.loads(line)["data"]["response"]["status"] for line in shown.stdout.splitlines()][-3:] == [
        200,
        200,
        500,
    ]


async def test_nothing_outlives_a_table_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no time for tidying up: broker, software table and components end by themselves."""
    process = await anyio.open_process(
        (command := Command(tmp_path)).line("table", "--speed", "100", "--json"), env=command.environment, stderr=None
    )
    async with process:
        assert process.stdout is not None
        where = json.loads(await process.stdout.receive())
        process.kill()
        await process.wait()
    host, port = where["broker"].removeprefix("mqtt://").split(":")
    with anyio.fail_after(LIMIT_S):
        while await _answers(host, int(port)) or _left(where):  # noqa: ASYNC110 - nobody is left to tell
            await anyio.sleep(0.1)


async def _answers(host: str, port: int) -> bool:
    try:
        stream = await anyio.connect_tcp(host, port)
    except OSError:
        return False
    await stream.aclose()
    return True


def _left(where: dict[str, Any]) -> list[str]:
    """The twin's socket, and command lines of processes that were given a file of the match's folder."""
    folder = where["folder"]
    found = [where["control"]] if Path(where["control"]).exists() else []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
                if folder in line:
                    found.append(line)
    return found

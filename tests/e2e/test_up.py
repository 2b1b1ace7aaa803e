"""`edgechess up`: the deployment of the repository on this machine, played through requests where IoT Core would be."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import chess
import pytest
from anyio.abc import Process, TaskStatus

from edgechess_board.placement import Placement
from edgechess_cli.publish import ask
from edgechess_kit import messages as m
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.topics import Topics
from edgechess_match_director.rules import move_request, start_request
from edgechess_nucleus.control import DeployDocument, order
from edgechess_twin.control import ControlClient

from .conftest import LIMIT_S, Command, connected

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

LOCAL = Path(__file__).resolve().parents[2] / "recipes" / "deployments" / "local.yaml"
ANSWER_S = LIMIT_S
PATIENT_S = LIMIT_S
MATE = ["e2e4", "e7e5", "d1h5", "b8c6", "f1c4", "g8f6", "h5f7"]  # the last one takes
COMPONENTS = ["GameManager", "BoardSensor", "ArmController", "InferenceNode", "MatchDirector", "Console"]


@pytest.fixture
def root(short_path: Path) -> Path:
    return short_path


class Up:
    """A running `edgechess up --json`: where everything is, and each component's process."""

    def __init__(self, where: dict[str, Any]) -> None:
        self.where = where
        self.components: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[str, str]] = []
        self.news = anyio.Event()
        self.ready = anyio.Event()
        self.pid = 0
        self.code: int | None = 0
        """What it is to end with; None: the block has killed it."""

    def hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "ready":
            self.ready.set()
        if event["event"] == "state":
            short = event["name"].rpartition(".")[2]
            self.components[short] = event
            self.history.append((short, event["state"]))
            self.news.set()
            self.news = anyio.Event()

    async def running(self, *, but: dict[str, int] | None = None) -> dict[str, int]:
        """Process ids once all components run, and none in the process that `but` says."""
        with anyio.fail_after(PATIENT_S):
            while True:
                pids = {name: one["pid"] for name, one in self.components.items() if one["state"] == "RUNNING"}
                if set(pids) == set(COMPONENTS) and all(pids[name] != pid for name, pid in (but or {}).items()):
                    return pids
                await self.news.wait()


@asynccontextmanager
async def up(command: Command, *words: str) -> AsyncIterator[Up]:
    """Leaving the block is Ctrl-C, and it must end well then, unless the block killed it."""
    process = await anyio.open_process(
        command.line("up", *words, "--json"), env=command.environment, stdin=subprocess.DEVNULL, stderr=None
    )
    async with process, anyio.create_task_group() as tasks:
        lines = _events(process)
        with anyio.fail_after(PATIENT_S):
            known, early = None, []
            while known is None:
                event = await anext(lines)
                if event["event"] == "nucleus":
                    known = Up(event)
                else:
                    early.append(event)
        known.pid = process.pid
        for event in early:
            known.hear(event)

        async def listen() -> None:
            async for event in lines:
                known.hear(event)

        tasks.start_soon(listen)
        try:
            yield known
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
        with anyio.fail_after(PATIENT_S):
            code = await process.wait()
    if known.code is None:
        return
    assert code == known.code
    assert {one["state"] for one in known.components.values()} == {"STOPPED"}


async def _events(process: Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None
    buffer = b""
    async for chunk in process.stdout:
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)


async def play(bus: MqttBus, board: chess.Board, uci: str, session: str) -> m.GameResponse:
    """As a cloud workflow would: after a failure the same move again, made by the person. The answer that confirms."""
    topics = Topics()
    executor = None
    for attempt in range(4):
        request = move_request(session, f"{session}-{board.ply()}-{attempt}", board.fen(), uci, executor)
        answer = await ask(bus, topics, request, ANSWER_S)
        assert answer is not None, f"{uci}: no answer"
        assert answer.status != 400, answer.reason
        if answer.status == 200:
            return answer
        executor = "person"
    raise AssertionError(f"{uci}: {answer.reason}")


async def kill_when_moving(near: MqttBus, pid: int, *, task_status: TaskStatus[None]) -> None:
    """SIGKILL as soon as the arm has taken a job."""
    topics = Topics()
    async with near.subscribe(topics.events) as events:
        task_status.started()
        async for delivery in events:
            if delivery.decode(topics.events).kind == "job-accepted":
                os.kill(pid, signal.SIGKILL)
                return


async def test_every_component_is_killed_once_and_the_game_ends_right(edgechess: Command, root: Path) -> None:
    board = chess.Board()
    topics = Topics()
    async with up(edgechess, str(LOCAL), "--root", str(root)) as nucleus:
        where = nucleus.where
        async with (
            connected(where["broker"], "cloud") as bus,
            connected(where["local_mqtt"], "watching") as near,
            ControlClient(where["person"]) as hand,
        ):
            with anyio.fail_after(PATIENT_S):
                await nucleus.ready.wait()
            first = await nucleus.running()
            started = await ask(bus, topics, start_request("mine", "mine-start", board.fen()), ANSWER_S)
            assert started is not None
            assert started.status == 200, started.reason
            victims = iter(COMPONENTS)
            answer = started
            for uci in MATE:
                victim = next(victims, None) if board.ply() else None
                async with anyio.create_task_group() as tasks:
                    if victim is not None:
                        await tasks.start(kill_when_moving, near, first[victim])
                    answer = await play(bus, board, uci, "mine")
                board.push_uci(uci)
                assert await hand.placement() == Placement.from_fen(board.board_fen())
                if victim is not None:
                    await nucleus.running(but={victim: first[victim]})
            assert board.is_checkmate()
            assert answer.detail is not None
            assert (answer.detail.result, answer.detail.termination) == ("1-0", "checkmate")
            assert set(first.items()).isdisjoint((await nucleus.running()).items())
            errors = {name: one["errors"] for name, one in nucleus.components.items()}
            assert errors == dict.fromkeys(COMPONENTS, 1)


async def test_a_killed_runtime_leaves_nothing_and_its_root_goes_on(edgechess: Command, root: Path) -> None:
    board = chess.Board()
    async with up(edgechess, "--root", str(root)) as nucleus:
        async with connected(nucleus.where["broker"], "cloud") as bus:
            with anyio.fail_after(PATIENT_S):
                await nucleus.ready.wait()
            started = await ask(bus, Topics(), start_request("mine", "mine-start", board.fen()), ANSWER_S)
            assert started is not None
            assert started.status == 200, started.reason
            await play(bus, board, "e2e4", "mine")
            board.push_uci("e2e4")
        nucleus.code = None
        os.kill(nucleus.pid, signal.SIGKILL)
    with anyio.fail_after(PATIENT_S):
        while _processes_of(root):  # noqa: ASYNC110 - nobody is left to tell
            await anyio.sleep(0.1)
    async with up(edgechess, "--root", str(root), "--flavour", "lite") as nucleus:
        where = nucleus.where
        async with connected(where["broker"], "cloud") as bus, ControlClient(where["person"]) as hand:
            with anyio.fail_after(PATIENT_S):
                await nucleus.ready.wait()
            assert await hand.placement() == Placement.from_fen(board.board_fen()), "set up as confirmed last"
            await play(bus, board, "e7e5", "mine")
            board.push_uci("e7e5")
            assert await hand.placement() == Placement.from_fen(board.board_fen())


async def test_a_deployment_in_the_middle_of_a_move_waits_for_its_end(edgechess: Command, root: Path) -> None:
    recipes = LOCAL.parents[1]
    slow, fresh = root / "slow.yaml", root / "fresh"
    text = LOCAL.read_text().replace("recipes: ..", f"recipes: {recipes}").replace("speed: 20", "speed: 4")
    slow.write_text(text)
    fresh.mkdir()
    for path in recipes.glob("*.yaml"):
        version = "0.2.0" if "ArmController" in path.name else "0.1.0"
        (fresh / path.name).write_text(path.read_text().replace("0.1.0", version))
    following = root / "following.yaml"
    following.write_text(
        "".join(f"{word}\n" for word in ["components:", *(f"  io.edgechess.{n}: {{}}" for n in COMPONENTS[:4])])
    )
    request = DeployDocument(str(following), recipes=str(fresh))
    board, topics, steps = chess.Board(), Topics(), list[str]()
    async with up(edgechess, str(slow), "--root", str(root)) as nucleus:
        where = nucleus.where

        async def deploy_when_moving(near: MqttBus, *, task_status: TaskStatus[None]) -> None:
            async with near.subscribe(topics.events) as events:
                task_status.started()
                async for delivery in events:
                    if delivery.decode(topics.events).kind == "job-accepted":
                        await order(root / "control.socket", request, steps.append)
                        return

        async with (
            connected(where["broker"], "cloud") as bus,
            connected(where["local_mqtt"], "watching") as near,
            ControlClient(where["person"]) as hand,
        ):
            with anyio.fail_after(PATIENT_S):
                await nucleus.ready.wait()
            first = await nucleus.running()
            started = await ask(bus, topics, start_request("mine", "mine-start", board.fen()), ANSWER_S)
            assert started is not None
            assert started.status == 200, started.reason
            with anyio.fail_after(PATIENT_S):
                async with anyio.create_task_group() as tasks:
                    await tasks.start(deploy_when_moving, near)
                    answer = await ask(bus, topics, move_request("mine", "mine-1", board.fen(), "e2e4", None), ANSWER_S)
                    assert answer is not None
                    assert answer.status == 200, answer.reason
                    assert "STOPPING" not in {state for _, state in nucleus.history}, "the arm was let finish"
            board.push_uci("e2e4")
            assert any("a move is under way" in step for step in steps)
            assert steps[-3:] == [
                "ended: io.edgechess.MatchDirector, io.edgechess.Console",
                "started: io.edgechess.ArmController",
                "following is in force",
            ]  # fmt: skip
            assert nucleus.components["ArmController"]["version"] == "0.2.0"
            assert {nucleus.components[name]["state"] for name in COMPONENTS[4:]} == {"STOPPED"}
            for name in ("GameManager", "BoardSensor"):
                assert nucleus.components[name]["pid"] == first[name]
            await play(bus, board, "e7e5", "mine")
            board.push_uci("e7e5")
            assert await hand.placement() == Placement.from_fen(board.board_fen())


async def test_a_broker_that_dies_is_noticed_and_all_ends_in_order(edgechess: Command, root: Path) -> None:
    async with up(edgechess, "--root", str(root)) as nucleus:
        nucleus.code = 1
        with anyio.fail_after(PATIENT_S):
            await nucleus.ready.wait()
        port = nucleus.where["broker"].rpartition(":")[2]
        os.kill(_listener(int(port)), signal.SIGKILL)
        with anyio.fail_after(PATIENT_S):
            while {one["state"] for one in nucleus.components.values()} != {"STOPPED"}:
                await nucleus.news.wait()


def _listener(port: int) -> int:
    """The process that listens on this port of loopback."""
    address = f"0100007F:{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inode = next(row[9] for row in rows if row[1] == address and row[3] == "0A")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if any(os.readlink(link) == f"socket:[{inode}]" for link in (entry / "fd").iterdir()):
                    return int(entry.name)
    raise AssertionError(f"nobody listens on {port}")


def _processes_of(root: Path) -> list[str]:
    """Command lines and environments that name the root."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if str(root).encode() in line:
                    found.append(line.decode(errors="replace"))
    return found

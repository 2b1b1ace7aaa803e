"""`edgechess up`: the deployment of the repository on this machine, played through requests where IoT Core would be."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
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
from edgechess_twin.control import ControlClient

from .conftest import Command, connected

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

LOCAL = Path(__file__).resolve().parents[2] / "recipes" / "deployments" / "local.yaml"
ANSWER_S = 120.0
PATIENT_S = 90.0
MATE = ["e2e4", "e7e5", "d1h5", "b8c6", "f1c4", "g8f6", "h5f7"]  # the last one takes
COMPONENTS = ["GameManager", "BoardSensor", "ArmController", "MatchDirector"]


@pytest.fixture
def root() -> Iterator[Path]:
    """Not in pytest's folder: the path of a Unix socket has room for 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="up-") as folder:
        yield Path(folder)


class Up:
    """A running `edgechess up --json`: where everything is, and each component's process."""

    def __init__(self, where: dict[str, Any]) -> None:
        self.where = where
        self.components: dict[str, dict[str, Any]] = {}
        self.news = anyio.Event()
        self.ready = anyio.Event()
        self.pid = 0
        self.killed = False

    def hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "ready":
            self.ready.set()
        if event["event"] == "state":
            self.components[event["name"].rpartition(".")[2]] = event
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
    if known.killed:
        return
    assert code == 0
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
        nucleus.killed = True
        os.kill(nucleus.pid, signal.SIGKILL)
    with anyio.fail_after(PATIENT_S):
        while _processes_of(root):  # noqa: ASYNC110 - nobody is left to tell
            await anyio.sleep(0.1)
    async with up(edgechess, "--root", str(root), "--flavour", "lite") as nucleus:
        where = nucleus.where
        async with connected(where["broker"], "cloud") as bus, ControlClient(where["person"]) as hand:
            with anyio.fail_after(PATIENT_S):
                await nucleus.ready.wait()
            await play(bus, board, "e7e5", "mine")
            board.push_uci("e7e5")
            assert await hand.placement() == Placement.from_fen(board.board_fen())


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

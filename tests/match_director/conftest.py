"""A scripted game manager on the memory bus, and the ports of a director under virtual time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.abc
import chess
import pytest
import trio.testing

from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker, MemoryBus
from edgechess_kit.messages import BoardState, GameRequest, GameResponse, ResponseDetail, SessionState
from edgechess_kit.topics import Topics
from edgechess_match_director.component import run
from edgechess_match_director.settings import Settings


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


Script = Callable[[GameRequest], list[GameResponse]]


def confirm(request: GameRequest) -> list[GameResponse]:
    """The usual answer."""
    detail = ResponseDetail(timings_s={"board-before": 0.4, "arm": 9.8, "board-after": 0.6})
    return [GameResponse(status=200, task_token=request.task_token, lan=request.lan, detail=detail)]


class Manager:
    """Answers requests as its script says, after `delay_s`; keeps what it saw. The same token: the same answer."""

    def __init__(self, broker: MemoryBroker, script: Script = confirm, delay_s: float = 0.5) -> None:
        self.bus: MemoryBus = broker.client("scripted-manager")
        self.script = script
        self.delay_s = delay_s
        self.requests: list[GameRequest] = []
        self.answers: dict[str, list[GameResponse]] = {}

    async def serve(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        topics = Topics()
        async with self.bus.subscribe(topics.cloud_request) as deliveries:
            task_status.started()
            async for delivery in deliveries:
                request = delivery.decode(topics.cloud_request)
                self.requests.append(request)
                await anyio.sleep(self.delay_s)
                if request.task_token not in self.answers:
                    self.answers[request.task_token] = self.script(request)
                for response in self.answers[request.task_token]:
                    await self.bus.publish(topics.cloud_response, response)

    async def show(self, fen: str, *, settled: bool = True) -> None:
        state = BoardState(connected=True, settled=settled, placement=fen.split()[0])
        await self.bus.publish(Topics().board_state, state)

    async def say(self, state: SessionState) -> None:
        await self.bus.publish(Topics().session_state, state)

    @property
    def moves(self) -> list[str]:
        return [request.lan for request in self.requests if request.action == "move"]


class Table:
    """One broker, one scripted manager, and a director that can be killed and started again over the same disk."""

    def __init__(self, script: Script = confirm) -> None:
        self.broker = MemoryBroker()
        self.manager = Manager(self.broker, script)
        self.disk = sqlite3.connect(":memory:")
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.lives = 0

    def context(self, settings: Settings) -> Context[Settings]:
        self.lives += 1
        clock = VirtualClock()
        return Context(
            name="match-director",
            settings=settings,
            bus=self.broker.client("match-director"),
            topics=Topics(),
            journal=SqliteJournal.over(self.disk, clock),
            clock=clock,
            ids=SeededIds(self.lives),
        )

    async def play(self, settings: Settings, **ports: Any) -> None:
        """The director from its start to the end of its match (or until it is cancelled)."""
        await run(self.context(settings), on_event=lambda kind, data: self.events.append((kind, data)), **ports)

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [data for name, data in self.events if name == kind]

    @property
    def summary(self) -> Mapping[str, Any]:
        return self.of("summary")[-1]


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def new_table() -> type[Table]:
    return Table


@pytest.fixture
def usual_answer() -> Script:
    return confirm


def after(moves: str) -> str:
    """The FEN after these moves in UCI from the usual start."""
    board = chess.Board()
    for move in moves.split():
        board.push_uci(move)
    return board.fen()

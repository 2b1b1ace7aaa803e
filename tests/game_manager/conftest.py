"""A table in a few lines: requests as chess.js writes them, a scripted board and a scripted arm on a memory bus."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio
import chess
import msgspec
import pytest
import trio.testing

from edgechess_game_manager.component import run
from edgechess_game_manager.settings import Settings
from edgechess_kit import messages as m
from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.topics import Topics

MoveRequest = Callable[..., m.GameRequest]


@pytest.fixture
def anyio_backend() -> Any:
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


def js_fen(board: chess.Board) -> str:
    """chess.js of the sample's time: an en-passant square after every double step."""
    return board.fen(en_passant="fen")


def move_request(fen: str, lan: str, token: str, session: str = "s1", **more: Any) -> m.GameRequest:
    """What the cloud publishes for a move; `fen` is the position before it."""
    board = chess.Board(fen)
    move = chess.Move.from_uci(lan)
    color: Literal["w", "b"] = "w" if board.turn else "b"
    piece = board.piece_type_at(move.from_square)
    before = js_fen(board)
    san = board.san(move) if board.is_legal(move) else "?"
    if piece:
        board.push(move)
    return m.GameRequest(
        action="move",
        session_id=session,
        task_token=token,
        before=before,
        after=js_fen(board),
        color=color,
        piece=chess.piece_symbol(piece) if piece else "",
        from_=lan[:2],
        to=lan[2:4],
        san=san,
        lan=lan,
        flags="n",
        promotion=lan[4:],
        **more,
    )


def start_request(token: str, session: str = "s1", fen: str = chess.STARTING_FEN, **more: Any) -> m.GameRequest:
    return m.GameRequest(
        action="start", session_id=session, task_token=token, before=fen, after=fen, color="w", flags="b", **more
    )


@pytest.fixture
def move() -> MoveRequest:
    return move_request


@pytest.fixture
def start() -> MoveRequest:
    return start_request


@dataclasses.dataclass
class ScriptedTable:
    """Truth, and two devices that tell it. Faults are switches; counters say what really happened."""

    broker: MemoryBroker
    topics: Topics
    placement: str = chess.STARTING_BOARD_FEN
    board_silent: int = 0
    board_blind: int = 0
    arm_silent: int = 0
    arm_outcome: m.Outcome = "done"
    arm_parked: bool = True
    arm_takes_s: float = 4.0
    board_takes_s: float = 0.4
    arm_moves: bool = True
    executed: list[str] = dataclasses.field(default_factory=list)
    jobs_heard: list[m.ArmJob] = dataclasses.field(default_factory=list)
    questions: list[m.BoardValidateRequest] = dataclasses.field(default_factory=list)
    results: dict[str, m.ArmJobResult] = dataclasses.field(default_factory=dict)
    seq: int = 0

    async def board(self) -> None:
        bus, t = self.broker.client("board"), self.topics
        async with bus.subscribe(t.board_start, t.board_validate) as deliveries:
            await self.show(bus)
            async for delivery in deliveries:
                starting = delivery.topic == t.board_start.name
                topic: Any = t.board_start if starting else t.board_validate
                question: Any = delivery.decode(topic)
                if not starting:
                    self.questions.append(question)
                await anyio.sleep(self.board_takes_s)
                if self.board_silent:
                    self.board_silent -= 1
                    continue
                after = not starting and question.expect == "after"
                expected = (question.after if after else question.before).split()[0]
                status: Any = 200 if self.placement == expected and not self.board_blind else 500
                placement = None if self.board_blind else self.placement
                self.board_blind = max(0, self.board_blind - 1)
                if starting:
                    await bus.publish(
                        t.board_start_response,
                        m.BoardStartResponse(status=status, request_id=question.request_id, placement=placement),
                    )
                else:
                    await bus.publish(
                        t.board_validate_response,
                        m.BoardValidateResponse(
                            status=status, request_id=question.request_id, move=question.lan, placement=placement
                        ),
                    )

    async def show(self, bus: Any) -> None:
        self.seq += 1
        state = m.BoardState(connected=True, settled=True, placement=self.placement, seq=self.seq)
        await bus.publish(self.topics.board_state, state)

    async def arm(self) -> None:
        bus, t = self.broker.client("arm"), self.topics
        async with bus.subscribe(t.arm_job) as deliveries:
            async for delivery in deliveries:
                job = delivery.decode(t.arm_job)
                self.jobs_heard.append(job)
                if self.arm_silent:
                    self.arm_silent -= 1
                    continue
                if job.job_id not in self.results:
                    await self._execute(bus, job)
                await bus.publish(t.arm_job_result, self.results[job.job_id])

    async def _execute(self, bus: Any, job: m.ArmJob) -> None:
        self.executed.append(job.job_id)
        await self.show_arm(bus, "moving", job.job_id)
        await anyio.sleep(self.arm_takes_s)
        if self.arm_moves:
            self.placement = job.after.split()[0]
        self.results[job.job_id] = m.ArmJobResult(
            job_id=job.job_id, outcome=self.arm_outcome, parked=self.arm_parked, arm="white"
        )
        await self.show_arm(bus, "parked", None)

    async def show_arm(self, bus: Any, mode: Any, job_id: str | None) -> None:
        status = m.ArmStatus(name="white", kind="scripted", mode=mode, parked=mode == "parked")
        await bus.publish(self.topics.arm_state, m.ArmState(arms=(status,), job_id=job_id))


class Cloud:
    """Publishes requests and collects every answer, in bytes."""

    def __init__(self, broker: MemoryBroker, topics: Topics) -> None:
        self.bus = broker.client("cloud")
        self.topics = topics
        self.raw: list[bytes] = []
        self.news = anyio.Event()
        self._broker = broker

    async def listen(self) -> None:
        async with self.bus.subscribe(self.topics.cloud_response) as deliveries:
            async for delivery in deliveries:
                self.raw.append(delivery.payload)
                self.news.set()

    @property
    def answers(self) -> list[m.GameResponse]:
        return [msgspec.json.decode(raw, type=m.GameResponse) for raw in self.raw]

    async def send(self, request: m.GameRequest) -> None:
        await self.bus.publish(self.topics.cloud_request, request)

    def send_raw(self, payload: bytes) -> None:
        self._broker.inject("cloud", self.topics.cloud_request.name, payload)

    async def ask(self, request: m.GameRequest, timeout_s: float = 1000.0) -> m.GameResponse:
        """The next answer to this token, counted from now."""
        known = len(self.raw)
        await self.send(request)
        with anyio.fail_after(timeout_s):
            while True:
                for response in self.answers[known:]:
                    if response.task_token == request.task_token:
                        return response
                self.news = anyio.Event()
                await self.news.wait()


class Rig:
    """A broker, a table, a cloud and a manager that can be killed and started again over the same disk."""

    def __init__(self, settings: Settings) -> None:
        self.topics = Topics()
        self.broker = MemoryBroker(self.topics)
        self.table = ScriptedTable(self.broker, self.topics)
        self.cloud = Cloud(self.broker, self.topics)
        self.settings = settings
        self.disk = sqlite3.connect(":memory:")
        self.lives = 0
        self.scope = anyio.CancelScope()

    def context(self) -> Context[Settings]:
        self.lives += 1
        clock = VirtualClock()
        return Context(
            name="game-manager",
            settings=self.settings,
            bus=self.broker.client("game-manager"),
            topics=self.topics,
            journal=SqliteJournal.over(self.disk, clock),
            clock=clock,
            ids=SeededIds(self.lives),
        )

    async def manage(self, shadow: Any = None) -> None:
        with anyio.CancelScope() as self.scope:
            await run(self.context(), shadow)

    @property
    def kinds(self) -> list[str]:
        return [kind for (kind,) in self.disk.execute("SELECT kind FROM entry ORDER BY seq")]

    @property
    def state(self) -> m.SessionState | None:
        return self.broker.retained(self.topics.session_state)


@pytest.fixture
def rig() -> Callable[..., Any]:
    """`async with rig(…) as r`: everything runs; the settings are the keyword arguments."""

    @asynccontextmanager
    async def open_rig(*, devices: bool = True, shadow: Any = None, **settings: Any) -> AsyncIterator[Rig]:
        rig = Rig(Settings(**settings))
        tasks: list[Callable[[], Coroutine[Any, Any, None]]] = [rig.cloud.listen]
        if devices:
            tasks += [rig.table.board, rig.table.arm]
        async with anyio.create_task_group() as group:
            for task in tasks:
                group.start_soon(task)
            await anyio.sleep(0.01)
            group.start_soon(rig.manage, shadow)
            await anyio.sleep(0.01)
            rig.group = group  # type: ignore[attr-defined]
            yield rig
            group.cancel_scope.cancel()
        rig.disk.close()

    return open_rig

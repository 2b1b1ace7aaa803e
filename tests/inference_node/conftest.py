"""A node on the memory bus under virtual time, somebody who asks it, and a scripted model brought by a plug-in."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import chess
import pytest
import trio.testing

from edgechess_inference.ladder.options import ENGINES
from edgechess_inference_node.component import run
from edgechess_inference_node.settings import Settings
from edgechess_kit import messages as m
from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.topics import Topic, Topics


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


@pytest.fixture(autouse=True)
def hasty_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine that stands behind every question looks one move ahead: nobody asks here how well it plays."""
    monkeypatch.setitem(ENGINES, "builtin", (ENGINES["builtin"][0], "nodes=1"))


@pytest.fixture
def scripted(installed: Callable[..., None]) -> None:
    """`model:scripted`."""
    installed("edgechess.models", "scripted = scripted_model:open_model", Path(__file__).parent)


class Asker:
    """Publishes on the node's topics and keeps what it says."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.topics = Topics()
        self.bus = broker.client("asker")
        self.responses: list[m.InferenceResponse] = []
        self.controls: list[m.InferenceControlResponse] = []
        self.statuses: list[m.InferenceStatus] = []
        self.health: list[m.EdgeStatus] = []
        self._changed = anyio.Event()

    async def listen(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        t = self.topics
        kept: dict[str, tuple[Topic[Any], list[Any]]] = {
            t.inference_response.name: (t.inference_response, self.responses),
            t.inference_control_response.name: (t.inference_control_response, self.controls),
            t.inference_status.name: (t.inference_status, self.statuses),
            t.status.name: (t.status, self.health),
        }
        async with self.bus.subscribe(*(topic for topic, _ in kept.values())) as deliveries:
            task_status.started()
            async for delivery in deliveries:
                if delivery.retained:
                    continue  # of an earlier life
                topic, found = kept[delivery.topic]
                found.append(delivery.decode(topic))
                self._changed.set()

    async def until(self, condition: Any) -> None:
        with anyio.fail_after(1000):
            while not condition():
                self._changed = anyio.Event()
                await self._changed.wait()

    async def ready(self) -> None:
        await self.until(lambda: any(status.status in ("ready", "degraded") for status in self.health))

    async def send(self, request_id: str, player: str, **more: Any) -> None:
        fields = {"fen": chess.STARTING_FEN, **more}
        request = m.InferenceRequest(request_id=request_id, player=player, **fields)
        await self.bus.publish(self.topics.inference_request, request)

    async def ask(self, request_id: str, player: str, **more: Any) -> m.InferenceResponse:
        before = len(self.responses)
        await self.send(request_id, player, **more)
        await self.until(lambda: any(answer.request_id == request_id for answer in self.responses[before:]))
        return next(answer for answer in self.responses[before:] if answer.request_id == request_id)

    async def command(self, request_id: str, command: str, **more: Any) -> m.InferenceControlResponse:
        before = len(self.controls)
        control = m.InferenceControl(request_id=request_id, command=command, **more)  # type: ignore[arg-type]
        await self.bus.publish(self.topics.inference_control, control)
        await self.until(lambda: any(answer.request_id == request_id for answer in self.controls[before:]))
        return next(answer for answer in self.controls[before:] if answer.request_id == request_id)


class Rig:
    """One broker and one disk; nodes may come and go on them."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.disk = sqlite3.connect(":memory:", check_same_thread=False)
        self.lives = 0

    def context(self, settings: Settings) -> Context[Settings]:
        self.lives += 1
        clock = VirtualClock()
        bus, journal = self.broker.client("inference-node"), SqliteJournal.over(self.disk, clock)
        return Context("inference-node", settings, bus, Topics(), journal, clock, SeededIds(self.lives))

    @asynccontextmanager
    async def node(self, **settings: Any) -> AsyncIterator[Asker]:
        given = {"inline": True, "http_port": 0, "engine": "builtin", **settings}
        asker = Asker(self.broker)
        async with anyio.create_task_group() as tasks:
            await tasks.start(asker.listen)
            tasks.start_soon(run, self.context(Settings(**given)))
            await asker.ready()
            yield asker
            tasks.cancel_scope.cancel()


@pytest.fixture
def rig() -> Rig:
    return Rig()

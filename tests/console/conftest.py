"""A console without a socket: its application over a memory bus, asked through ASGI."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from edgechess_console.component import run
from edgechess_console.settings import Settings
from edgechess_console.view import View
from edgechess_kit.clock import SeededIds
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker, MemoryBus
from edgechess_kit.messages import EdgeEvent, EdgeStatus, Message
from edgechess_kit.topics import Topic, Topics


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclasses.dataclass
class StillClock:
    """Time passes when a test says so: limits count the same on a busy machine."""

    now: float = 1_700_000_000.0

    def unix_s(self) -> float:
        return self.now


@dataclasses.dataclass
class Desk:
    """One console with somebody who speaks for all other components."""

    broker: MemoryBroker
    voice: MemoryBus
    app: ASGIApp
    bus: MemoryBus
    clock: StillClock
    topics: Topics = dataclasses.field(default_factory=Topics)
    _marks: int = 0

    def browser(self, host: str = "127.0.0.1:8088") -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url=f"http://{host}")

    async def say(self, topic: Topic[Any], message: Message) -> None:
        await self.voice.publish(topic, message)

    async def event(self, kind: str, data: dict[str, Any], seq: int = 1, component: str = "match-director") -> None:
        event = EdgeEvent(component=component, kind=kind, seq=seq, at=100.0 + seq, session_id="s", data=data)
        await self.say(self.topics.events, event)

    async def view(self, client: httpx.AsyncClient) -> View:
        """Once everything that was said so far has been heard."""
        self._marks += 1
        mark = f"mark-{self._marks}"
        await self.say(self.topics.status, EdgeStatus(component=mark, status="ready"))
        with anyio.fail_after(30):
            while True:
                view = msgspec.json.decode((await client.get("/api/view")).content, type=View)
                if any(one.component == mark for one in view.health):
                    return view
                self.clock.now += 1.0
                await anyio.sleep(0.001)

    async def answered(
        self,
        topic: Topic[Any],
        answer: Callable[[Any], tuple[Any, Any]],
        heard: list[Any],
        *,
        task_status: TaskStatus[None],
    ) -> None:
        """Somebody who answers every message of a topic."""
        async with self.voice.subscribe(topic) as deliveries:
            task_status.started()
            async for delivery in deliveries:
                heard.append(delivery.decode(topic))
                await self.voice.publish(*answer(heard[-1]))

    async def operator(self, client: httpx.AsyncClient) -> Callable[..., Any]:
        """Who may act: `await post(path, body)`."""
        me = (await client.get("/api/me")).json()

        async def post(path: str, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
            return await client.post(path, json=body or {}, headers={"x-edgechess-csrf": me["csrf"], **headers})

        return post


Open = Callable[..., Any]


@pytest.fixture
def console(tmp_path: Path) -> Open:
    """`async with console(setting=…) as desk`: a console that has begun to listen."""

    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[Desk]:
        broker = MemoryBroker()
        bus = broker.client("console")
        clock = StillClock()
        usual: dict[str, Any] = {"history_file": str(tmp_path / "history.sqlite"), "evaluation": False}
        settings = Settings(**(usual | changes))
        context = Context("console", settings, bus, Topics(), SqliteJournal(":memory:", clock), clock, SeededIds(1))
        voice = broker.client("everybody")
        served: list[ASGIApp] = []

        @asynccontextmanager
        async def serve(app: ASGIApp, _: Settings) -> AsyncIterator[str]:
            served.append(app)
            yield "http://127.0.0.1:8088/"

        async def running() -> None:
            await run(context, serve=serve)

        async with anyio.create_task_group() as tasks:
            async with voice.subscribe(Topics().status) as statuses:
                tasks.start_soon(running)
                async for delivery in statuses:
                    if delivery.decode(Topics().status).status == "ready":
                        break
            yield Desk(broker, voice, served[0], bus, clock)
            tasks.cancel_scope.cancel()

    return opened

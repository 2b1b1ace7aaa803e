"""A real Chromium, Debian's own, and a console served in this process that it looks at."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import chess
import pytest
from starlette.types import ASGIApp

from edgechess_console.component import run
from edgechess_console.server_adapter import serving
from edgechess_console.settings import Settings
from edgechess_kit.clock import RandomIds, SystemClock
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker, MemoryBus
from edgechess_kit.messages import (
    BoardState,
    EdgeEvent,
    EdgeStatus,
    GameRequest,
    Message,
    SessionControl,
    SessionControlResponse,
    SessionState,
    SquareDifference,
)
from edgechess_kit.topics import Topic, Topics

playwright = pytest.importorskip("playwright.async_api", reason="the Python package playwright is not installed")

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
PATIENCE_MS = 20_000  # of what has to happen, on a busy machine

# What a page may not do: break its own policy, throw, or ask anybody but its server.
WATCH = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective + ' ' + event.blockedURI));
window.addEventListener('error', (event) => window.violations.push(String(event.message)));
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    async with playwright.async_playwright() as driver:
        chromium = await driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield chromium
        await chromium.close()


@dataclasses.dataclass
class Rig:
    """One console, and somebody who speaks for everybody else on its bus."""

    address: str
    broker: MemoryBroker
    voice: MemoryBus
    controls: list[SessionControl] = dataclasses.field(default_factory=list)
    """What was sent to the director."""
    requests: list[GameRequest] = dataclasses.field(default_factory=list)
    """What was asked of the game manager."""
    stops: list[str] = dataclasses.field(default_factory=list)
    """Commands that were sent to the arms."""
    topics: Topics = dataclasses.field(default_factory=Topics)
    seq: int = 0

    @property
    def entered(self) -> list[str]:
        """Moves, and the other commands by their names."""
        return [control.lan or control.command for control in self.controls]

    async def said(self, count: int) -> SessionControl:
        """The newest of so many commands."""
        with anyio.fail_after(PATIENCE_MS / 1000):
            while len(self.controls) < count:  # noqa: ASYNC110 - a list that another task fills
                await anyio.sleep(0.02)
        return self.controls[-1]

    async def say(self, topic: Topic[Any], message: Message) -> None:
        await self.voice.publish(topic, message)

    async def event(self, kind: str, session: str, **data: Any) -> None:
        self.seq += 1
        at = SystemClock().unix_s()
        await self.say(
            self.topics.events,
            EdgeEvent(component="match-director", kind=kind, seq=self.seq, at=at, session_id=session, data=data),
        )

    async def person_to_move(
        self, session_id: str, fen: str = chess.STARTING_FEN, white: str = "human", black: str = "human"
    ) -> None:
        """A match in which White, a person, is asked for the first move."""
        await self.created(session_id, fen, white, black)
        await self.event("session-started", session_id, started_at=SystemClock().unix_s())
        await self.say(
            self.topics.session_state, SessionState(status="running", session_id=session_id, start_fen=fen, fen=fen)
        )
        await self.board(fen)
        await self.event("asking", session_id, ply=1, color="w", seat="person", since=SystemClock().unix_s(), attempt=1)

    async def created(
        self, session_id: str, fen: str = chess.STARTING_FEN, white: str = "human", black: str = "human"
    ) -> None:
        """A match that waits for its start."""
        self.controls.clear()
        started = {"session_id": session_id, "white": white, "black": black, "start_fen": fen, "robot_enabled": True}
        await self.event("session-created", session_id, white_seat="person", black_seat="person", **started)

    async def board(self, fen: str, *differences: SquareDifference) -> None:
        """What the board feels, and what of it the sensor names as wrong."""
        self.seq += 1
        state = BoardState(
            connected=True,
            placement=fen.split()[0],
            settled=True,
            seq=self.seq,
            at=SystemClock().unix_s(),
            differences=differences,
        )
        await self.say(self.topics.board_state, state)

    async def _answer(self) -> None:
        topics = self.topics
        async with self.voice.subscribe(topics.session_control, topics.arm_control, topics.cloud_request) as deliveries:
            async for delivery in deliveries:
                if delivery.topic == topics.arm_control.name:
                    self.stops.append(delivery.decode(topics.arm_control).command)
                    continue
                if delivery.topic == topics.cloud_request.name:
                    self.requests.append(delivery.decode(topics.cloud_request))
                    continue
                control: SessionControl = delivery.decode(topics.session_control)
                self.controls.append(control)
                await self.say(
                    topics.session_control_response,
                    SessionControlResponse(request_id=control.request_id, status=200),
                )

    async def _beat(self) -> None:
        """Nobody is silent."""
        while True:
            for component in ("game-manager", "board-sensor", "arm-controller", "match-director"):
                await self.say(self.topics.status, EdgeStatus(component=component, status="ready"))
            await anyio.sleep(2.0)


@asynccontextmanager
async def rigged(folder: Path, **changes: Any) -> AsyncIterator[Rig]:
    broker = MemoryBroker()
    given: dict[str, Any] = {"port": 0, "history_file": str(folder / "history.sqlite"), "evaluation": False}
    settings = Settings(**(given | changes))
    clock = SystemClock()
    context = Context("console", settings, broker.client("console"), Topics(), SqliteJournal(":memory:", clock), clock, RandomIds())  # fmt: skip
    address: list[str] = []
    ready = anyio.Event()

    @asynccontextmanager
    async def serve(app: ASGIApp, settings: Settings) -> AsyncIterator[str]:
        async with serving(app, settings) as found:
            address.append(found)
            ready.set()
            yield found

    async def running() -> None:
        await run(context, serve=serve)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(running)
        await ready.wait()
        rig = Rig(address[0], broker, broker.client("everybody"))
        tasks.start_soon(rig._answer)
        tasks.start_soon(rig._beat)
        yield rig
        tasks.cancel_scope.cancel()


@pytest.fixture(scope="module")
async def rig(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with rigged(tmp_path_factory.mktemp("console")) as made:
        yield made


@asynccontextmanager
async def looking(
    browser: Any, address: str, size: tuple[int, int] = (1440, 900), **options: Any
) -> AsyncIterator[Any]:
    """A page in a browser context of its own, with what it must never do watched for."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce", **options
    )
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.add_init_script(WATCH)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        await page.goto(address)
        yield page
        assert await page.evaluate("window.violations") == []
        assert [
            url
            for url in asked
            if not url.startswith(address.rstrip("/").rsplit("/stage", 1)[0].rsplit("/history", 1)[0])
        ] == []
    finally:
        await context.close()


async def until(page: Any, expression: str) -> None:
    """The page's policy forbids the evaluation that the driver's own waiting would need there."""
    with anyio.fail_after(PATIENCE_MS / 1000):
        while not await page.evaluate(expression):  # noqa: ASYNC110 - the page is another process
            await anyio.sleep(0.05)


@dataclasses.dataclass
class Wire:
    """A TCP link to the console that can be held up, so that nothing comes through and nothing is closed."""

    port: int
    held: anyio.Event = dataclasses.field(default_factory=anyio.Event)

    def hold(self) -> None:
        self.held = anyio.Event()

    def release(self) -> None:
        self.held.set()


@asynccontextmanager
async def wired(address: str) -> AsyncIterator[Wire]:
    to = int(address.rstrip("/").rsplit(":", 1)[1])
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    wire = Wire(listener.extra(anyio.abc.SocketAttribute.local_port))
    wire.release()

    async def pump(source: anyio.abc.ByteStream, sink: anyio.abc.ByteStream, done: anyio.CancelScope) -> None:
        try:
            async for chunk in source:
                await wire.held.wait()
                await sink.send(chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        done.cancel()

    async def serve(client: anyio.abc.SocketStream) -> None:
        async with client, await anyio.connect_tcp("127.0.0.1", to) as server, anyio.create_task_group() as both:
            both.start_soon(pump, client, server, both.cancel_scope)
            both.start_soon(pump, server, client, both.cancel_scope)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield wire
        tasks.cancel_scope.cancel()
    await listener.aclose()

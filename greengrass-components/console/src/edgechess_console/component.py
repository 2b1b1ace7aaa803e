"""The console on the bus: it listens to everybody, shows it to whoever watches, and says what an operator wants said."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, closing
from importlib.metadata import version
from typing import Any

import anyio
from starlette.types import ASGIApp

from edgechess_console.access import Access, require_safe, tokens_of
from edgechess_console.application import Application
from edgechess_console.aside_adapter import Aside
from edgechess_console.commands import Commands
from edgechess_console.errors import HistoryError
from edgechess_console.evaluation import evaluate
from edgechess_console.fold import DIRECTOR
from edgechess_console.history import History
from edgechess_console.hub import Hub
from edgechess_console.match_folders import take_in
from edgechess_console.past import looking_at
from edgechess_console.server_adapter import serving
from edgechess_console.settings import Settings
from edgechess_console.telling import plausible
from edgechess_kit.background import Background
from edgechess_kit.bus import Delivery, Subscription
from edgechess_kit.component import Context
from edgechess_kit.errors import WireError
from edgechess_kit.events import journal_event
from edgechess_kit.health import Health
from edgechess_kit.messages import EdgeEvent, Message, SessionState
from edgechess_kit.topics import Topic

LOG = logging.getLogger(__name__)

WRITE_S = 1.0  # how often the history is written
LINK_LOOK_S = 0.5  # how soon a lost bus is shown
SERVING = "serving"

Serve = Callable[[ASGIApp, Settings], AbstractAsyncContextManager[str]]


async def run(context: Context[Settings], *, serve: Serve = serving) -> None:
    """Serves until it is cancelled. Raises SettingsError for what would be open to others, ServerFailed."""
    tokens = tokens_of(context.settings)
    require_safe(context.settings, tokens)
    async with Health(context, version=version("edgechess-console")) as health:
        await _Console(context, health, Access(context.settings, tokens), serve).run()


class _Console:
    def __init__(self, context: Context[Settings], health: Health, access: Access, serve: Serve) -> None:
        self._context = context
        self._health = health
        self._serve = serve
        self._hub = Hub(context.settings, context.clock, context.ids.new("epoch"))
        self._commands = Commands(context, lambda: self._hub.state)
        self._history, self._complaint = _opened(context.settings)
        self._access = access
        self._writing = Aside()
        self._looked_up: str | None = None
        self._topics: dict[str, Topic[Any]] = {topic.name: topic for topic in self._wanted()}

    def _wanted(self) -> tuple[Topic[Any], ...]:
        topics = self._context.topics
        return (
            topics.session_state,
            topics.board_state,
            topics.arm_state,
            topics.cloud_response,
            topics.status,
            topics.events,
            topics.session_control_response,
            topics.arm_control_response,
            topics.inference_status,
        )

    async def run(self) -> None:
        written = self._written if self._history is not None else None
        app = Application(self._context, self._hub, self._commands, written, self._access).asgi()
        try:
            # the page first: where there is no bus yet, it is the page that says so
            async with Background() as tasks, self._serve(app, self._context.settings) as address:
                tasks.start_soon(self._hub.run, name="console hub")
                tasks.start_soon(self._link, name="console link")
                tasks.start_soon(self._write, name="console history")
                tasks.start_soon(self._take_in, name="console match folders")
                tasks.start_soon(evaluate, self._hub, self._context.settings, name="console evaluation")
                LOG.info("the page is at %s", address)
                try:
                    async with self._context.bus.subscribe(*self._topics.values()) as deliveries:
                        await journal_event(self._context, SERVING, {"address": address})
                        await self._health.set("ready", self._complaint)
                        await self._listen(deliveries)
                finally:
                    self._hub.bye("the console ends")
                    tasks.cancel()
        finally:
            if self._history is not None:
                self._history.close()

    # -- the bus ---------------------------------------------------------------------------------------------------

    async def _listen(self, deliveries: Subscription) -> None:
        async for message in _messages(deliveries, self._topics):
            self._hear(message)

    def _hear(self, message: Message) -> None:
        self._commands.hear(message)
        self._hub.hear(message)
        if isinstance(message, EdgeEvent) and self._history is not None:
            self._history.saw(message)
        if isinstance(message, SessionState):
            self._remember(message)

    def _remember(self, session: SessionState) -> None:
        """A game that was begun before this console: what its director said then is in the history."""
        known = self._hub.state.plan is not None or session.session_id in (None, self._looked_up)
        if known or self._history is None or session.status == "idle":
            return
        self._looked_up = (
            session.session_id
        )  # once: a game without a director has nothing there, however often it is asked
        try:
            with looking_at(self._history.name) as past:
                told = past.told_by(DIRECTOR, session.session_id or "")
        except HistoryError as error:
            LOG.warning("%s", error)
            return
        for event in told:
            self._hub.hear(event)
        if told:
            self._hub.hear(session)

    async def _link(self) -> None:
        while True:
            connected = self._context.bus.connected
            if connected != self._hub.state.connected:
                self._hub.change(connected=connected)
            await anyio.sleep(LINK_LOOK_S)

    # -- the history -----------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while self._history is not None:
            await anyio.sleep(WRITE_S)
            await self._written()

    async def _written(self) -> str:
        """The history's file, with everything in it that can be written now; the rest waits: another console may hold it."""
        assert self._history is not None
        try:
            await self._writing(self._history.write)
        except HistoryError as error:
            LOG.warning("%s", error)
        return self._history.name

    async def _take_in(self) -> None:
        folders = self._context.settings.match_folders
        if self._history is None or not folders:
            return
        name, gone = self._history.name, False

        def work() -> int:
            with closing(History(name)) as history:
                return take_in(folders, history, lambda: not gone)

        try:
            LOG.info("%d match folders were taken into the history", await Aside()(work, leave=True))
        except HistoryError as error:
            LOG.warning("%s", error)
        finally:
            gone = True


def _opened(settings: Settings) -> tuple[History | None, str | None]:
    """Without a history everything else works: the second is then why there is none."""
    try:
        return History(settings.history_file or "console-history.sqlite"), None
    except HistoryError as error:
        LOG.error("%s", error)
        return None, str(error)


async def _messages(deliveries: Subscription, topics: dict[str, Topic[Any]]) -> AsyncIterator[Message]:
    """What can be read; whatever else comes is passed over."""
    async for delivery in deliveries:
        message = _read(delivery, topics)
        if message is not None:
            yield message


def _read(delivery: Delivery, topics: dict[str, Topic[Any]]) -> Message | None:
    topic = topics.get(delivery.topic)
    if topic is None:
        return None
    try:
        message: Message = delivery.decode(topic)
    except WireError as error:
        LOG.debug("%s", error)  # a flood of nonsense must not fill the log
        return None
    return None if isinstance(message, EdgeEvent) and not plausible(message) else message

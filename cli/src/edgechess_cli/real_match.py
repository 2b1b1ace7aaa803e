"""A match with real processes, sockets, a pseudo-terminal and a broker, on the software table."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import uuid
from pathlib import Path

import anyio
from anyio.abc import TaskGroup, TaskStatus

from edgechess_cli.console_page import CONSOLE, page_address, page_port, page_settings
from edgechess_cli.match_folder import COMPONENTS, MatchFolder
from edgechess_cli.match_options import MatchOptions, MatchSummary
from edgechess_cli.prompt import Prompt
from edgechess_cli.real_table import RealTable, ServedTable, TableSetup, park
from edgechess_cli.terminal import Screen
from edgechess_kit import messages as m
from edgechess_kit.errors import WireError
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.topics import Topics

MOVE_TIMEOUT_S = 60.0  # a move at true speed takes up to 25 s, one with a person's help longer
NODE = "inference-node"
LAST_WORDS_S = 0.3  # after the summary: the events of the others that are still on their way


class Interrupted(Exception):
    """Ctrl-C. The text says how the arms are, and where to continue."""


def saved_options(folder: MatchFolder) -> MatchOptions:
    """Raises OSError or ValueError when the folder holds no match."""
    data = json.loads(folder.options.read_text(encoding="utf-8"))
    try:
        data["pgn"] = Path(data["pgn"]) if data["pgn"] else None
        data["arms"] = tuple(data["arms"])
        data["node_players"] = tuple(data.get("node_players", ()))
        return MatchOptions(**data)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder.options}: {error}") from error


class RealMatch:
    """One match from start to summary, or from where its folder says that it stood. Run it once."""

    def __init__(
        self,
        options: MatchOptions,
        folder: MatchFolder | None,
        screen: Screen,
        prompt: Prompt | None,
        *,
        console: bool = False,
    ) -> None:
        """`folder` None: a new match. `prompt`: where a `human` types moves; None: only the table's hand moves.
        `console`: the page is served beside the match.

        Raises OSError when the folder cannot be made.
        """
        self._options = options
        self._screen = screen
        self._prompt = prompt
        self._console = console
        self._continued = folder is not None
        self._folder = folder or MatchFolder.create()
        self._topics = Topics()
        self._summary: MatchSummary | None = None
        self._done = anyio.Event()
        self._table: ServedTable | None = None
        self._parked = True  # until an arm was started

    async def run(self) -> MatchSummary:
        """Raises Interrupted on Ctrl-C; ComponentDied, KitError, TwinError or OSError when something cannot be started."""
        self._save_options()
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._signals, tasks, name="signals")
            await self._play()
            tasks.cancel_scope.cancel()
        if self._summary is None:
            arms = "the arms are parked" if self._parked else "the arms may not be parked: look at them"
            raise Interrupted(f"stopped; {arms}. To continue: edgechess play --continue {self._folder.path}")
        if self._options.pgn is not None and self._folder.pgn.exists():
            shutil.copyfile(self._folder.pgn, self._options.pgn)
        self._screen.say(f"PGN: {self._options.pgn or self._folder.pgn}")
        return self._summary

    async def _play(self) -> None:
        table = RealTable(_setup(self._options), self._folder, self._screen.say)
        components = (*COMPONENTS, NODE) if self._options.node_players else COMPONENTS
        more = {"match-director": self._director_settings(), NODE: self._node_settings()}
        page: dict[str, object] = {}
        if self._console:
            port = page_port()
            components = (CONSOLE, *components)
            more[CONSOLE] = page_settings(port)
            page = {"page": page_address(port)}
        async with table.serving(components, more) as served:
            self._table, self._parked = served, False
            self._screen.tell(served.as_event(self._folder) | page)
            if page:
                self._screen.say(f"watch and run the match in a browser: {page['page']}")
            served.tasks.start_soon(self._watch, served.bus, name="watch")
            if self._prompt is not None:
                served.tasks.start_soon(self._prompt.run, served, name="prompt")
            await self._done.wait()
            await anyio.sleep(LAST_WORDS_S)

    def _director_settings(self) -> dict[str, object]:
        options = self._options
        return {
            "autostart": True,
            "white": options.white,
            "black": options.black,
            "fen": options.start_fen or "",
            "session_id": self._folder.path.name,
            "robot_enabled": options.robot,
            "max_plies": options.max_plies or 0,
            "seed": options.seed,
            "pgn_path": str(self._folder.pgn),
            "unpause": self._continued,
            "node_players": list(options.node_players),
        }

    def _node_settings(self) -> dict[str, object]:
        return {"seed": self._options.seed, "http_port": 0, **self._options.node}

    def _save_options(self) -> None:
        data = dataclasses.asdict(self._options)
        data["pgn"] = str(self._options.pgn) if self._options.pgn else None
        self._folder.options.write_text(json.dumps(data, indent=1), encoding="utf-8")

    # -- what goes on ----------------------------------------------------------------------------------------------

    async def _watch(self, bus: MqttBus) -> None:
        t = self._topics
        async with bus.subscribe(
            t.session_state, t.board_state, t.arm_state, t.cloud_response, t.status, t.events
        ) as deliveries:
            async for delivery in deliveries:
                self._screen.show(delivery)
                if delivery.topic == t.events.name:
                    self._notice(delivery.payload)

    def _notice(self, payload: bytes) -> None:
        try:
            event = self._topics.events.decode(payload)
        except WireError:
            return
        summary = MatchSummary.told_by(event)
        if summary is not None:
            self._summary = summary
            self._done.set()

    # -- Ctrl-C ----------------------------------------------------------------------------------------------------

    async def _signals(self, tasks: TaskGroup, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """The first one ends a match under way in order, the second one at once."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            leaving = False
            async for _ in signals:
                if self._table is None or leaving or self._done.is_set():
                    tasks.cancel_scope.cancel()
                    return
                leaving = True
                tasks.start_soon(self._leave, self._table.bus, name="leave")

    async def _leave(self, bus: MqttBus) -> None:
        """No further move is asked for, the one under way is finished, the arms are parked."""
        self._screen.say("stopping: the move under way is finished, then the arms park (Ctrl-C again: at once)")
        with anyio.move_on_after(MOVE_TIMEOUT_S):
            pause = m.SessionControl(command="pause", request_id=uuid.uuid4().hex)
            await bus.publish(self._topics.session_control, pause)
            await self._until_no_move(bus)
        self._parked = await park(bus, self._topics)
        self._done.set()

    async def _until_no_move(self, bus: MqttBus) -> None:
        """A move that a person is to make is not waited for: the arms rest meanwhile."""
        t = self._topics
        async with bus.subscribe(t.session_state) as states:
            async for delivery in states:
                state = delivery.decode(t.session_state)
                if state.phase is None or state.expecting == "person":
                    return


def _setup(options: MatchOptions) -> TableSetup:
    return TableSetup(
        seed=options.seed,
        faults=options.faults,
        motion_speed=options.motion_speed,
        robot=options.robot,
        rotated=options.rotated,
        firmware=options.firmware,
        broker=options.broker,
        start_fen=options.start_fen,
        arms=options.arms,
    )

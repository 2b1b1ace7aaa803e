"""A match with real processes, sockets, a pseudo-terminal and a broker, on the software table."""

from __future__ import annotations

import dataclasses
import json
import shutil
import uuid
from contextlib import nullcontext
from pathlib import Path

import anyio

from edgechess_cli.console_page import open_page
from edgechess_cli.match_folder import COMPONENTS, MatchFolder
from edgechess_cli.match_options import MatchOptions, MatchSummary
from edgechess_cli.prompt import Prompt
from edgechess_cli.real_table import RealTable, TableSetup, park
from edgechess_cli.served import Served
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
        self._served = Served()
        self._parked = True  # until an arm was started

    async def run(self) -> MatchSummary:
        """Raises Interrupted on Ctrl-C; ComponentDied, KitError, TwinError or OSError when something cannot be started."""
        self._save_options()
        await self._served.run(self._play)
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
        with open_page() if self._console else nullcontext() as page:
            async with table.serving(components, more, page=page) as found:
                self._parked = False
                self._screen.tell(found.as_event(self._folder) | ({"page": page.address} if page else {}))
                if page is not None:
                    self._screen.say(f"watch and run the match in a browser: {page.address}")
                self._served.ready()
                found.tasks.start_soon(self._watch, found.bus, name="watch")
                found.tasks.start_soon(self._leave, found.bus, name="leave")
                if self._prompt is not None:
                    found.tasks.start_soon(self._prompt.run, found, name="prompt")
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
            self._served.end()

    # -- Ctrl-C ----------------------------------------------------------------------------------------------------

    async def _leave(self, bus: MqttBus) -> None:
        """Once a signal came: no further move is asked for, the one under way is finished, the arms are parked."""
        await self._served.is_told()
        if self._done.is_set():
            return
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

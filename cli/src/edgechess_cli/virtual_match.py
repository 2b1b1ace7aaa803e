"""A match in virtual time: every component, the bus and the software table in one process, from one seed.

The components are the ones that run for real. Around each of them stands its power (see `power`), so that kills and
lost links hit it as they would hit a process.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import random
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import chess
from anyio.abc import ByteStream, TaskGroup

from edgechess_arm_controller import component as arm_controller
from edgechess_arm_controller.settings import Settings as ArmControllerSettings
from edgechess_board.driver import DgtBoard
from edgechess_board.placement import Placement
from edgechess_board_sensor import component as board_sensor
from edgechess_board_sensor.settings import Settings as BoardSensorSettings
from edgechess_cli.calibrate import GuidedArm, calibrate_by_hand
from edgechess_cli.invariants import Invariants
from edgechess_cli.match_options import MatchOptions, MatchSummary
from edgechess_cli.person_agent import PersonAgent
from edgechess_cli.power import Power, PoweredBus, PoweredJournal, PoweredStream, SimulatedProcess
from edgechess_cli.virtual_time import run_virtual
from edgechess_game_manager import component as game_manager
from edgechess_game_manager.settings import Settings as GameManagerSettings
from edgechess_inference_node import component as inference_node
from edgechess_inference_node.settings import Settings as InferenceNodeSettings
from edgechess_kit import messages as m
from edgechess_kit.bus import Bus, Delivery
from edgechess_kit.chaos_bus import Chaos, ChaosBus
from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.memory_bus import MemoryBroker, MemoryBus
from edgechess_kit.topics import Topics
from edgechess_match_director import component as match_director
from edgechess_match_director.settings import Settings as MatchDirectorSettings
from edgechess_robots.calibration import Calibration
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.registry import Connect
from edgechess_robots.standard_bots.client import Token
from edgechess_robots.standard_bots.driver import StandardBotsArm
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_twin import faults as twin_faults
from edgechess_twin.memory_stream import MemoryStream
from edgechess_twin.ro1_device import TOKEN
from edgechess_twin.table import Table, TableOptions

ARMS = ("white", "black")
# One frame in 200 ms, and one a second from an arm at rest: the driver's rules are the same, and a quiet table costs next
# to nothing. A frame that stalls for four periods, as some do, is not yet a lost link.
IDLE_FEEDBACK_S = 1.0
DOBOT_SETTINGS = DobotSettings(feedback_port=30005, stale_after_s=2.0)
RO1_SETTINGS = StandardBotsSettings(robot_kind="simulated", live=False)
AGE_LIMIT_S = 2.0
RESTART_S = 1.5  # what an interpreter needs to start a component again
STOP_WITHIN_S = 20.0  # of a request: about the length of a move
LINK_LOST_WITHIN_S = 12.0  # of a request: about the length of a move
LINK_DOWN_S = 3.0  # a broker link that was lost comes back after this
MATCH_LIMIT_S = 48 * 3600.0  # virtual; a match that takes longer hangs
START_DATE = datetime.date(2024, 1, 1)
OPERATIONS_OF_A_MOVE = 60  # a component's effects during one move are fewer: a kill is set among the next so many


class Stuck(RuntimeError):
    """The match did not end within `MATCH_LIMIT_S` of virtual time. The text says where it stood."""


@dataclasses.dataclass(frozen=True, slots=True)
class MatchReport:
    """A finished virtual match, or several: `summary` is the last one's, `summaries` are all of them. `trace` is the SHA-256 over everything that was published, with its virtual time."""

    summary: MatchSummary
    summaries: tuple[MatchSummary, ...]
    trace: str
    breaches: tuple[str, ...]
    checks: int
    """How often the invariants were looked at."""
    stops: int
    kills: int
    links_lost: int
    accidents: tuple[str, ...]
    pgn: str
    final_placement: Placement


Observer = Callable[[Delivery], None]


def play_virtual(options: MatchOptions, observe: Observer | None = None) -> MatchReport:
    """The whole match, deterministically from `options.seed`. Raises Stuck."""
    return run_virtual(VirtualMatch(options, observe).run, seed=options.seed)


class VirtualMatch:
    """One match. `run` once."""

    def __init__(self, options: MatchOptions, observe: Observer | None = None) -> None:
        self._options = options
        self._observe = observe
        self._faults = twin_faults.parse(options.faults)
        self._topics = Topics()
        self._trace = hashlib.sha256()
        self._processes: dict[str, SimulatedProcess] = {}
        self._buses: dict[str, MemoryBus] = {}
        self._wires: dict[str, MemoryStream] = {}
        self._starts = {**_STARTS, "inference-node": VirtualMatch._start_node} if options.node_players else _STARTS
        self._disks = {name: sqlite3.connect(":memory:", check_same_thread=False) for name in self._starts}
        self._calibrations: dict[str, Calibration] = {}
        self._incarnations = 0
        self._links_lost = 0
        self._dice = random.Random(f"{options.seed}/misfortune")
        self._requested: set[str] = set()
        self._summaries: dict[str, MatchSummary] = {}
        self._ended: anyio.Event
        self._tasks: TaskGroup
        self._operator: MemoryBus
        self._table: Table
        self._broker: MemoryBroker
        self._invariants: Invariants
        self._last = ""

    async def run(self) -> MatchReport:
        options = self._options
        self._ended = anyio.Event()
        self._table = Table(
            TableOptions(
                seed=options.seed,
                faults=dataclasses.replace(self._faults, link_lost=0.0),  # links are lost here, the bus among them
                rotated=options.rotated,
                firmware=options.firmware,
                kinds=options.arms,
                idle_feedback_s=IDLE_FEEDBACK_S,
                placement=Placement.empty(),  # arms are calibrated before the pieces are set up
            )
        )
        self._broker = MemoryBroker(self._topics, observer=self._published)
        self._invariants = Invariants(
            self._topics, self._table, self._faults.mqtt_delay_max_s if self._faults.mqtt_delay else 0.0
        )
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            await tasks.start(self._table.run, name="table")
            for arm in ARMS:
                self._calibrations[arm] = await self._calibrate(arm)
            await self._table.person.arrange(chess.Board(options.start_fen or chess.STARTING_FEN).board_fen())
            ids = SeededIds(options.seed)
            self._operator = self._broker.client("operator")
            agent = PersonAgent(self._broker.client("person"), self._topics, self._table.person, ids)
            tasks.start_soon(agent.run, name="person")
            for name, start in self._starts.items():
                process = SimulatedProcess(name, self._starter(name, start), RESTART_S)
                self._processes[name] = process
                await tasks.start(process.run, name=name)
            with anyio.move_on_after(MATCH_LIMIT_S):
                await self._ended.wait()
            tasks.cancel_scope.cancel()
        self._invariants.at_the_end()
        if not self._ended.is_set():
            raise Stuck(f"seed {options.seed}: no end after {MATCH_LIMIT_S / 3600:.0f} h; last: {self._last}")
        summaries = tuple(self._summaries.values())
        return MatchReport(
            summaries[-1],
            summaries,
            self._trace.hexdigest(),
            tuple(self._invariants.breaches),
            self._invariants.checks,
            self._invariants.stops,
            sum(process.kills for process in self._processes.values()),
            self._links_lost,
            tuple(self._table.world.accidents),
            self._pgn(),
            self._table.world.placement(),
        )

    # -- processes -------------------------------------------------------------------------------------------------

    def _starter(self, name: str, start: _Start) -> Callable[[Power], Awaitable[None]]:
        async def run(power: Power) -> None:
            self._incarnations += 1
            seed = f"{self._options.seed}/{name}/{self._incarnations}"
            bus = self._broker.client(name, m.EdgeStatus(component=name, status="lost", reason="connection lost"))
            self._buses[name] = bus
            power.when_cut(bus.lose)
            chaos = Chaos(self._faults.mqtt_duplicate, self._faults.mqtt_delay, self._faults.mqtt_delay_max_s)
            port: Bus = PoweredBus(bus, power)
            if chaos.duplicate or chaos.delay:
                port = ChaosBus(port, chaos, random.Random(f"{seed}/chaos"))
            clock = VirtualClock()
            journal = PoweredJournal(self._disks[name], clock, power)
            ids = SeededIds(random.Random(seed).getrandbits(64))
            await start(self, power, lambda settings: Context(name, settings, port, self._topics, journal, clock, ids))

        return run

    async def _start_sensor(self, power: Power, context: _Contexts) -> None:
        board = DgtBoard(
            lambda: self._wire("board", power, self._table.open_board),
            orientation="rotated" if self._options.rotated else "normal",
        )
        await board_sensor.run(context(BoardSensorSettings()), board)

    async def _start_arms(self, power: Power, context: _Contexts) -> None:
        arms = {arm: self._arm(arm, power) for arm in ARMS}
        await arm_controller.run(context(ArmControllerSettings(age_limit_s=AGE_LIMIT_S)), arms)

    async def _start_manager(self, _power: Power, context: _Contexts) -> None:
        await game_manager.run(context(GameManagerSettings(robot_enabled=self._options.robot)))

    async def _start_director(self, _power: Power, context: _Contexts) -> None:
        options = self._options
        settings = MatchDirectorSettings(
            autostart=True,
            white=options.white,
            black=options.black,
            fen=options.start_fen or "",
            session_id=f"virtual-{options.seed}",
            robot_enabled=options.robot,
            max_plies=options.max_plies or 0,
            matches=options.matches,
            seed=options.seed,
            inline=True,
            pgn_path=str(options.pgn) if options.pgn else "",
            node_players=options.node_players,
        )
        await match_director.run(context(settings))

    async def _start_node(self, _power: Power, context: _Contexts) -> None:
        settings = InferenceNodeSettings(
            seed=self._options.seed, inline=True, http_port=0, engines=1, **self._options.node
        )
        await inference_node.run(context(settings))

    # -- wires -----------------------------------------------------------------------------------------------------

    async def _wire(self, device: str, power: Power, connect: Callable[[], Awaitable[ByteStream]]) -> ByteStream:
        power.check()
        stream = await connect()
        assert isinstance(stream, MemoryStream)
        self._wires[device] = stream
        return PoweredStream(stream, power, stream.kill)

    def _arm(self, name: str, power: Power) -> GuidedArm:
        async def connect(port: int) -> ByteStream:
            return await self._wire(f"{name}:{port}", power, lambda: self._table.connect_arm(name, port))

        return self._driver(name, connect, self._calibrations[name])

    def _driver(self, name: str, connect: Connect, calibration: Calibration | None) -> GuidedArm:
        if self._table.options.kind(name) == "ro1":
            return StandardBotsArm(name, connect, RO1_SETTINGS, Token(TOKEN), calibration)
        return DobotArm(name, connect, DOBOT_SETTINGS, calibration)

    async def _calibrate(self, name: str) -> Calibration:
        arm = self._driver(name, lambda port: self._table.connect_arm(name, port), None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(arm.run, name=f"calibrate {name}")
            calibration = await calibrate_by_hand(
                arm, self._table.options.layout, self._table.person.guide, arm_serial=f"twin-{name}", date=START_DATE
            )
            tasks.cancel_scope.cancel()
        return calibration

    # -- what is seen, and what goes wrong -------------------------------------------------------------------------

    def _published(self, sender: str, topic: str, payload: bytes) -> None:
        self._trace.update(f"{anyio.current_time():.6f} {sender} {topic} ".encode() + payload + b"\n")
        self._invariants.observe(sender, topic, payload)
        if self._observe is not None:
            self._observe(Delivery(topic, payload))
        if topic == self._topics.cloud_request.name:
            self._misfortune(payload)
        elif topic == self._topics.cloud_response.name:
            self._last = payload.decode(errors="replace")
        elif topic == self._topics.events.name and b'"summary"' in payload:
            event = self._topics.events.decode(payload)
            summary = MatchSummary.told_by(event)
            if summary is not None and event.session_id is not None:
                self._summaries[event.session_id] = summary
                if len(self._summaries) == self._options.matches or summary.termination.startswith("abandoned"):
                    self._ended.set()

    def _misfortune(self, payload: bytes) -> None:
        """Rolled once per new move request, so that the rates are per move."""
        token = self._topics.cloud_request.decode(payload).task_token
        if token in self._requested:
            return
        self._requested.add(token)
        if self._dice.random() < self._faults.process_killed:
            victim = self._processes[self._dice.choice(list(self._processes))]
            victim.power.cut_at(self._dice.randint(1, OPERATIONS_OF_A_MOVE), after_effect=self._dice.random() < 0.5)
        if self._dice.random() < self._faults.operator_stop:
            self._tasks.start_soon(self._stop, self._dice.uniform(0.0, STOP_WITHIN_S), name="operator stops")
        if self._dice.random() < self._faults.link_lost:
            link, after_s = self._dice.choice([*self._wires, *self._buses]), self._dice.uniform(0.0, LINK_LOST_WITHIN_S)
            self._tasks.start_soon(self._lose, link, after_s, name=f"link of {link}")

    async def _stop(self, after_s: float) -> None:
        """An operator stops the arms in the middle of something; the person at the table says later that they may go on."""
        await anyio.sleep(after_s)
        if self._processes["arm-controller"].power.on and self._buses["arm-controller"].connected:
            self._invariants.stop_sent()
        await self._operator.publish(
            self._topics.arm_control, m.ArmControl(command="stop", reason="an operator's stop")
        )

    async def _lose(self, link: str, after_s: float) -> None:
        """At any moment of the move, so that arms lose theirs in the middle of a motion too."""
        await anyio.sleep(after_s)
        self._links_lost += 1
        if link in self._wires:
            self._wires[link].kill()
            return
        self._buses[link].lose()
        bus = self._buses[link]
        await anyio.sleep(LINK_DOWN_S)
        # unless the process was killed meanwhile: its next incarnation has a link of its own
        if self._buses[link] is bus and self._processes[link].power.on:
            await bus.reconnect()

    def _pgn(self) -> str:
        path = self._options.pgn
        return path.read_text(encoding="utf-8") if path is not None and path.exists() else ""


_Contexts = Callable[[Any], Context[Any]]
_Start = Callable[[VirtualMatch, Power, _Contexts], Awaitable[None]]
_STARTS: dict[str, _Start] = {
    "board-sensor": VirtualMatch._start_sensor,
    "arm-controller": VirtualMatch._start_arms,
    "game-manager": VirtualMatch._start_manager,
    "match-director": VirtualMatch._start_director,
}

"""A table in virtual time: the software table, the components that serve it, their bus and journals, in one process.

The components are the ones that run for real. Around each of them stands its power (see `power`), so that kills and
lost links hit it as they would hit a process.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio
from anyio.abc import ByteStream, TaskGroup

from edgechess_arm_controller import component as arm_controller
from edgechess_arm_controller.settings import Settings as ArmControllerSettings
from edgechess_board.driver import DgtBoard
from edgechess_board.placement import Placement
from edgechess_board_sensor import component as board_sensor
from edgechess_board_sensor.settings import Settings as BoardSensorSettings
from edgechess_cli.calibrate import GuidedArm, calibrate_by_hand
from edgechess_cli.person_agent import PersonAgent
from edgechess_cli.power import Power, PoweredBus, PoweredJournal, PoweredStream, SimulatedProcess
from edgechess_game_manager import component as game_manager
from edgechess_game_manager.settings import Settings as GameManagerSettings
from edgechess_kit import messages as m
from edgechess_kit.bus import Bus
from edgechess_kit.chaos_bus import Chaos, ChaosBus
from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.memory_bus import MemoryBroker, MemoryBus
from edgechess_kit.topics import Topics
from edgechess_robots.calibration import Calibration
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.registry import Connect
from edgechess_robots.standard_bots.client import Token
from edgechess_robots.standard_bots.driver import StandardBotsArm
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_twin.arm_device import Kind
from edgechess_twin.faults import Faults
from edgechess_twin.memory_stream import MemoryStream
from edgechess_twin.ro1_device import TOKEN
from edgechess_twin.table import Table, TableOptions

ARMS = ("white", "black")
# One frame in 200 ms, and one a second from an arm at rest or on its way: the driver's rules are the same, whatever happens
# is told as soon, and a quiet table costs next to nothing. A frame that stalls for four periods, as some do, is not yet a
# lost link.
QUIET_FEEDBACK_S = 1.0
DOBOT_SETTINGS = DobotSettings(feedback_port=30005, stale_after_s=2.0, gripper_poll_s=0.1, state_interval_s=1.0)
# As rarely as the robot's dead-man and the controller's age limit allow, for the same reason: a request costs milliseconds.
RO1_SETTINGS = StandardBotsSettings(
    robot_kind="simulated", live=False, beat_s=0.2, ending_beat_s=0.2, poll_s=1.5, stale_s=4.0
)
AGE_LIMIT_S = 2.0
MOTION_GAP_S = 2.0  # nobody watches where an arm is on its way
RESTART_S = 1.5  # what an interpreter needs to start a component again
STOP_WITHIN_S = 20.0  # of a request: about the length of a move
LINK_LOST_WITHIN_S = 12.0  # of a request: about the length of a move
LINK_DOWN_S = 3.0  # a broker link that was lost comes back after this
START_DATE = datetime.date(2024, 1, 1)
OPERATIONS_OF_A_MOVE = 60  # a component's effects during one move are fewer: a kill is set among the next so many

Contexts = Callable[[Any], Context[Any]]
"""From settings to the context of one incarnation of a component."""
Start = Callable[[Power, Contexts], Awaitable[None]]
Observer = Callable[[str, str, bytes], None]


@dataclasses.dataclass(frozen=True, slots=True)
class VirtualSetup:
    """What table is asked for; the board is empty until somebody sets it up."""

    seed: int = 0
    faults: Faults = dataclasses.field(default_factory=Faults)
    arms: tuple[Kind, Kind] = ("dobot", "dobot")
    rotated: bool = False
    firmware: Literal["4.5", "4.6"] = "4.6"
    robot: bool = True


class VirtualTable:
    """One table. `running` once."""

    table: Table
    operator: MemoryBus
    """A client of nobody's: for whoever conducts the whole."""

    def __init__(self, setup: VirtualSetup, topics: Topics, observer: Observer) -> None:
        """`observer` sees every message that the broker takes: client, topic, payload."""
        self.setup = setup
        self.topics = topics
        self.broker = MemoryBroker(topics, observer=observer)
        self.links_lost = 0
        self.processes: dict[str, SimulatedProcess] = {}
        self._buses: dict[str, MemoryBus] = {}
        self._wires: dict[str, MemoryStream] = {}
        self._disks: dict[str, sqlite3.Connection] = {}
        self._calibrations: dict[str, Calibration] = {}
        self._incarnations = 0
        self._dice = random.Random(f"{setup.seed}/misfortune")
        self._tasks: TaskGroup

    @asynccontextmanager
    async def running(
        self, set_up: Callable[[Table], Awaitable[None]], more: Mapping[str, Start] | None = None
    ) -> AsyncIterator[None]:
        """Calibrated arms first, then `set_up` puts the pieces there, then the components start; `more` are others.

        Raises CalibrationRefused or RobotError for arms that cannot be calibrated.
        """
        setup = self.setup
        self.table = Table(
            TableOptions(
                seed=setup.seed,
                faults=dataclasses.replace(setup.faults, link_lost=0.0),  # links are lost here, the bus among them
                rotated=setup.rotated,
                firmware=setup.firmware,
                kinds=setup.arms,
                quiet_feedback_s=QUIET_FEEDBACK_S,
                placement=Placement.empty(),  # arms are calibrated before the pieces are set up
            )
        )
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            await tasks.start(self.table.run, name="table")
            for arm in ARMS:
                self._calibrations[arm] = await self._calibrate(arm)
            await set_up(self.table)
            self.operator = self.broker.client("operator")
            agent = PersonAgent(
                self.broker.client("person"), self.topics, self.table.person, SeededIds(setup.seed)
            )  # fmt: skip
            tasks.start_soon(agent.run, name="person")
            starts: dict[str, Start] = {
                "board-sensor": self._start_sensor,
                "arm-controller": self._start_arms,
                "game-manager": self._start_manager,
            }
            for name, start in (starts | dict(more or {})).items():
                self._disks[name] = sqlite3.connect(":memory:", check_same_thread=False)
                process = SimulatedProcess(name, self._starter(name, start), RESTART_S)
                self.processes[name] = process
                await tasks.start(process.run, name=name)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    # -- processes -------------------------------------------------------------------------------------------------

    def _starter(self, name: str, start: Start) -> Callable[[Power], Awaitable[None]]:
        async def run(power: Power) -> None:
            self._incarnations += 1
            seed = f"{self.setup.seed}/{name}/{self._incarnations}"
            bus = self.broker.client(name, m.EdgeStatus(component=name, status="lost", reason="connection lost"))
            self._buses[name] = bus
            power.when_cut(bus.lose)
            faults = self.setup.faults
            chaos = Chaos(faults.mqtt_duplicate, faults.mqtt_delay, faults.mqtt_delay_max_s)
            port: Bus = PoweredBus(bus, power)
            if chaos.duplicate or chaos.delay:
                port = ChaosBus(port, chaos, random.Random(f"{seed}/chaos"))
            clock = VirtualClock()
            journal = PoweredJournal(self._disks[name], clock, power)
            ids = SeededIds(random.Random(seed).getrandbits(64))
            await start(power, lambda settings: Context(name, settings, port, self.topics, journal, clock, ids))

        return run

    async def _start_sensor(self, power: Power, context: Contexts) -> None:
        board = DgtBoard(
            lambda: self._wire("board", power, self.table.open_board),
            orientation="rotated" if self.setup.rotated else "normal",
        )
        await board_sensor.run(context(BoardSensorSettings()), board)

    async def _start_arms(self, power: Power, context: Contexts) -> None:
        arms = {arm: self._arm(arm, power) for arm in ARMS}
        await arm_controller.run(
            context(ArmControllerSettings(age_limit_s=AGE_LIMIT_S, motion_gap_s=MOTION_GAP_S)), arms
        )

    async def _start_manager(self, _power: Power, context: Contexts) -> None:
        await game_manager.run(context(GameManagerSettings(robot_enabled=self.setup.robot)))

    # -- wires -----------------------------------------------------------------------------------------------------

    async def _wire(self, device: str, power: Power, connect: Callable[[], Awaitable[ByteStream]]) -> ByteStream:
        power.check()
        stream = await connect()
        assert isinstance(stream, MemoryStream)
        self._wires[device] = stream
        return PoweredStream(stream, power, stream.kill)

    def _arm(self, name: str, power: Power) -> GuidedArm:
        async def connect(port: int) -> ByteStream:
            return await self._wire(f"{name}:{port}", power, lambda: self.table.connect_arm(name, port))

        return self._driver(name, connect, self._calibrations[name])

    def _driver(self, name: str, connect: Connect, calibration: Calibration | None) -> GuidedArm:
        if self.table.options.kind(name) == "ro1":
            return StandardBotsArm(name, connect, RO1_SETTINGS, Token(TOKEN), calibration)
        return DobotArm(name, connect, DOBOT_SETTINGS, calibration)

    async def _calibrate(self, name: str) -> Calibration:
        arm = self._driver(name, lambda port: self.table.connect_arm(name, port), None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(arm.run, name=f"calibrate {name}")
            calibration = await calibrate_by_hand(
                arm, self.table.options.layout, self.table.person.guide, arm_serial=f"twin-{name}", date=START_DATE
            )
            tasks.cancel_scope.cancel()
        return calibration

    # -- what goes wrong -------------------------------------------------------------------------------------------

    def misfortune(self, stop_sent: Callable[[], None] | None = None) -> None:
        """Rolled once per new request, so that the rates are per move. `stop_sent`: an operator's stop will be heard."""
        faults = self.setup.faults
        if self._dice.random() < faults.process_killed:
            victim = self.processes[self._dice.choice(list(self.processes))]
            victim.power.cut_at(self._dice.randint(1, OPERATIONS_OF_A_MOVE), after_effect=self._dice.random() < 0.5)
        if self._dice.random() < faults.operator_stop:
            after_s = self._dice.uniform(0.0, STOP_WITHIN_S)
            self._tasks.start_soon(self._stop, after_s, stop_sent, name="operator stops")
        if self._dice.random() < faults.link_lost:
            link, after_s = self._dice.choice([*self._wires, *self._buses]), self._dice.uniform(0.0, LINK_LOST_WITHIN_S)
            self._tasks.start_soon(self._lose, link, after_s, name=f"link of {link}")

    async def _stop(self, after_s: float, stop_sent: Callable[[], None] | None) -> None:
        """An operator stops the arms in the middle of something; the person at the table says later that they may go on."""
        await anyio.sleep(after_s)
        heard = self.processes["arm-controller"].power.on and self._buses["arm-controller"].connected
        if heard and stop_sent is not None:
            stop_sent()
        await self.operator.publish(
            self.topics.arm_control, m.ArmControl(command="stop", reason="an operator's stop")
        )  # fmt: skip

    async def _lose(self, link: str, after_s: float) -> None:
        """At any moment of the move, so that arms lose theirs in the middle of a motion too."""
        await anyio.sleep(after_s)
        self.links_lost += 1
        if link in self._wires:
            self._wires[link].kill()
            return
        bus = self._buses[link]
        bus.lose()
        await anyio.sleep(LINK_DOWN_S)
        # unless the process was killed meanwhile: its next incarnation has a link of its own
        if self._buses[link] is bus and self.processes[link].power.on:
            await bus.reconnect()

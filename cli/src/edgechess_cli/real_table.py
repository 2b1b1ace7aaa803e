"""A table with real processes: broker, software table, and the components that serve it, each a child of this one.

    async with RealTable(setup, folder, say).serving(COMPONENTS) as table: ...

Everything started here ends with the block, and also when this process is killed: each child watches its standard
input. What was on the table is kept in the folder, so that it can be taken up again.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import random
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import chess
from anyio.abc import TaskGroup

from edgechess_arm_controller.settings import ArmSettings
from edgechess_arm_controller.settings import Settings as ArmControllerSettings
from edgechess_cli.arm_access import ArmChoice, twin_arm
from edgechess_cli.calibrate import calibrate_by_hand
from edgechess_cli.child_process import ChildProcess, ComponentDied, interpreter
from edgechess_cli.console_page import CONSOLE, Page
from edgechess_cli.match_folder import MatchFolder, write_toml
from edgechess_cli.person_agent import REACTION_S, PersonAgent
from edgechess_kit import messages as m
from edgechess_kit.broker import BrokerKind, running_broker
from edgechess_kit.bus import Bus
from edgechess_kit.clock import RandomIds
from edgechess_kit.errors import WireError
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics
from edgechess_robots.calibration import save as save_calibration
from edgechess_robots.layout import standard_layout
from edgechess_twin import faults as twin_faults
from edgechess_twin.arm_device import Kind
from edgechess_twin.control import ControlClient
from edgechess_twin.errors import TwinError

TWIN_START_TIMEOUT_S = 60.0  # an interpreter with numpy and ruckig on a busy small machine
TWIN_STOP_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 120.0  # cold arms take 40 s at true speed
PARK_TIMEOUT_S = 30.0  # a move under way is finished first, then the arms are parked
MODULES = {
    "board-sensor": "edgechess_board_sensor",
    "arm-controller": "edgechess_arm_controller",
    "game-manager": "edgechess_game_manager",
    "match-director": "edgechess_match_director",
    "inference-node": "edgechess_inference_node",
    CONSOLE: "edgechess_console",
}
TABLE_COMPONENTS = ("board-sensor", "arm-controller", "game-manager")
READY_FIRST = (*TABLE_COMPONENTS, "inference-node", CONSOLE)  # before whoever asks them for moves, or is watched
EMPTY_BOARD = "8/8/8/8/8/8/8/8"  # arms are calibrated before the pieces are set up: a tip that touches a1 needs room

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class TableSetup:
    """What table is asked for. `motion_speed` scales the twin's motion; `broker_port` None: a free one."""

    seed: int = 0
    faults: str = "none"
    motion_speed: float = 1.0
    robot: bool = True
    rotated: bool = False
    firmware: Literal["4.5", "4.6"] = "4.6"
    broker: BrokerKind = "auto"
    broker_port: int | None = None
    start_fen: str | None = None
    arms: tuple[Kind, Kind] = ("dobot", "dobot")


@dataclasses.dataclass(frozen=True, slots=True)
class TwinDevices:
    """Where the software table's devices are, as `edgechess twin --json` prints it."""

    board: str
    arms: dict[str, dict[str, Any]]
    control: Path


@dataclasses.dataclass(frozen=True, slots=True)
class ServedTable:
    """A table whose components were started. `tasks` ends with it."""

    broker: str
    bus: MqttBus
    devices: TwinDevices
    tasks: TaskGroup
    children: Mapping[str, ChildProcess]

    def as_event(self, folder: MatchFolder) -> dict[str, object]:
        """Where everything is, for scripts."""
        return {
            "event": "table",
            "broker": self.broker,
            "folder": str(folder.path),
            "board": self.devices.board,
            "arms": self.devices.arms,
            "control": str(self.devices.control),
        }


class RealTable:
    """One table, served once."""

    def __init__(self, setup: TableSetup, folder: MatchFolder, say: Say) -> None:
        self._setup = setup
        self._folder = folder
        self._say = say
        self._topics = Topics()
        self._faults = twin_faults.parse(setup.faults)

    @asynccontextmanager
    async def serving(
        self,
        components: Sequence[str],
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        person: bool = True,
        page: Page | None = None,
    ) -> AsyncIterator[ServedTable]:
        """`settings` are more of single components. `person`: the seeded one moves and puts right what is asked. `page`: a
        console serves it.

        Raises ComponentDied, KitError, TwinError or OSError when something cannot be started or kept running.
        """
        setup, more = self._setup, dict(settings or {})
        if page is not None:
            components, more[CONSOLE] = (CONSOLE, *components), page.settings
        self._say("starting the broker and the software table")
        async with (
            running_broker(setup.broker_port, setup.broker) as broker,
            self.devices() as devices,
        ):
            self._say(f"broker {broker}   folder {self._folder.path}")
            self._write_configs(broker, devices, components, more)
            async with MqttBus(BusSettings(broker=broker), "play") as bus, anyio.create_task_group() as tasks:
                children = {name: self._child(name) for name in components}
                if page is not None:
                    children[CONSOLE].inherits = (page.descriptor,)
                table = ServedTable(broker, bus, devices, tasks, children)
                if person:
                    tasks.start_soon(self.person, bus, devices, name="person")
                await self._start(bus, tasks, [children[name] for name in components if name in READY_FIRST])
                for name in components:
                    if name not in READY_FIRST:  # whoever asks for moves, once there is somebody to hear it
                        await tasks.start(children[name].run, name=name)
                if self._faults.process_killed:
                    tasks.start_soon(self._misfortune, table, name="misfortune")
                yield table
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def devices(self) -> AsyncIterator[TwinDevices]:
        """The software table alone: its arms calibrated, its pieces set up; what is left on it is remembered.

        Raises TwinError, RobotError or OSError when it cannot be started.
        """
        async with self._twin() as devices:
            await self._prepare(devices)
            try:
                yield devices
            finally:  # the components have ended, the arms rest
                with anyio.CancelScope(shield=True):
                    await self._remember(devices)

    def settings_of(self, devices: TwinDevices) -> dict[str, dict[str, Any]]:
        """What components must know of these devices, by their short names."""
        return {
            "board-sensor": {"port": devices.board, "orientation": "rotated" if self._setup.rotated else "normal"},
            "arm-controller": {
                "arms": [_told(twin_arm(name, address, self._configs)) for name, address in devices.arms.items()]
            },
            "game-manager": {"robot_enabled": self._setup.robot},
        }

    async def person(self, bus: Bus, devices: TwinDevices) -> None:
        """The seeded person, until cancelled: moves and puts right what is asked."""
        async with ControlClient(str(devices.control)) as hand:
            await PersonAgent(bus, self._topics, hand, RandomIds(), REACTION_S / self._setup.motion_speed).run()

    def _child(self, name: str) -> ChildProcess:
        arguments = ["-m", MODULES[name], "--tied", "--config", str(self._folder.config(name))]
        return ChildProcess(name, arguments, self._folder.log(name))

    async def _start(self, bus: MqttBus, tasks: TaskGroup, children: Sequence[ChildProcess]) -> None:
        """Starts them together; returns when each has said that it is ready. One that never is ends the table."""
        t = self._topics
        self._say("starting the components")
        waiting = {child.name for child in children}
        async with bus.subscribe(t.status) as statuses:
            for child in children:
                await tasks.start(child.run, name=child.name)
            with anyio.move_on_after(READY_TIMEOUT_S):
                async for delivery in statuses:
                    status = delivery.decode(t.status)
                    if status.status == "ready":
                        waiting.discard(status.component)
                    if not waiting:
                        return
        raise ComponentDied(f"not ready after {READY_TIMEOUT_S:.0f} s: {', '.join(sorted(waiting))}")

    # -- the software table ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _twin(self) -> AsyncIterator[TwinDevices]:
        setup, world = self._setup, self._folder.world
        arguments = [
            "-m", "edgechess_cli.twin_command", "--json", "--tied", "--seed", str(setup.seed),
            "--faults", setup.faults, "--speed", str(setup.motion_speed), "--firmware", setup.firmware,
            "--arms", ",".join(setup.arms),
        ]  # fmt: skip
        if setup.rotated:
            arguments.append("--rotated")
        arguments += ["--table", str(world)] if self._left else ["--fen", EMPTY_BOARD]
        with self._folder.log("twin").open("ab") as log:
            process = await anyio.open_process(
                interpreter(arguments), stdin=subprocess.PIPE, stderr=log, start_new_session=True
            )
        try:
            assert process.stdout is not None
            line = b""
            with anyio.move_on_after(TWIN_START_TIMEOUT_S):
                async for chunk in process.stdout:
                    line += chunk
                    if b"\n" in line:
                        break
            if b"\n" not in line:
                raise OSError(f"the software table did not start; see {self._folder.log('twin')}")
            told = json.loads(line.split(b"\n", 1)[0])
            yield TwinDevices(told["board"], told["arms"], Path(told["control"]))
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.send_signal(signal.SIGTERM)
                    with anyio.move_on_after(TWIN_STOP_TIMEOUT_S):
                        await process.wait()
                    if process.returncode is None:
                        process.kill()
                await process.aclose()

    @property
    def _left(self) -> bool:
        """Whether the table was left in order: it is known where every piece stood."""
        return self._folder.world.exists()

    async def _remember(self, devices: TwinDevices) -> None:
        try:
            async with ControlClient(str(devices.control)) as person:
                status = await person.status()
        except TwinError:
            return  # it went away first: the next time somebody sets up the pieces
        self._folder.world.write_text(json.dumps(status), encoding="utf-8")

    async def _prepare(self, devices: TwinDevices) -> None:
        """Calibrated arms and the pieces where they belong, unless they are so already."""
        if not all(self._calibration(name).exists() for name in devices.arms):
            self._say("calibrating: a person guides each arm to eight squares of the board")
            for name, address in devices.arms.items():
                await self._calibrate(devices, name, address)
        if not self._left:
            self._say("setting up the pieces")
            async with ControlClient(str(devices.control)) as person:
                await person.arrange(self._position())
        self._folder.world.unlink(missing_ok=True)  # from now on it is not true any more

    def _position(self) -> str:
        """Where the pieces belong when nobody knows where they stood: what was confirmed last, else the start."""
        fen = self._folder.last_confirmed_fen() or self._setup.start_fen or chess.STARTING_FEN
        return chess.Board(fen).board_fen()

    async def _calibrate(self, devices: TwinDevices, name: str, address: dict[str, Any]) -> None:
        choice = ArmChoice(ArmControllerSettings(arms=(twin_arm(name, address, self._configs),)), name)
        arm = choice.open(None)
        with choice.arm.claimed("the calibration of a software table"):
            async with ControlClient(str(devices.control)) as person, anyio.create_task_group() as tasks:
                tasks.start_soon(arm.run, name=f"calibrate {name}")
                calibration = await calibrate_by_hand(
                    arm, standard_layout(), person.guide, arm_serial=f"twin-{name}", date=datetime.date.today()
                )
                tasks.cancel_scope.cancel()
        save_calibration(calibration, choice.calibration_file)
        self._say(f"  {name}: residual {calibration.residual_mm:.2f} mm over {calibration.touches} points")

    @property
    def _configs(self) -> Path:
        return self._folder.path / "config"

    def _calibration(self, arm: str) -> Path:
        return self._configs / f"calibration-{arm}.toml"

    # -- the components --------------------------------------------------------------------------------------------

    def _write_configs(
        self, broker: str, devices: TwinDevices, components: Sequence[str], more: Mapping[str, Mapping[str, Any]]
    ) -> None:
        own = self.settings_of(devices)
        for number, name in enumerate(components):
            write_toml(
                self._folder.config(name),
                {
                    "bus": {
                        "broker": broker,
                        "chaos_duplicate": self._faults.mqtt_duplicate,
                        "chaos_delay": self._faults.mqtt_delay,
                        "chaos_delay_max_s": self._faults.mqtt_delay_max_s,
                        "chaos_seed": self._setup.seed * len(MODULES) + number,
                    },
                    "journal": {"path": str(self._folder.journal(name))},
                    name: own.get(name, {}) | dict(more.get(name, {})),
                },
            )

    async def _misfortune(self, table: ServedTable) -> None:
        """Once in so many moves a process is killed, at a moment of the seed's choosing. Links are the twin's matter."""
        dice = random.Random(f"{self._setup.seed}/misfortune")
        t = self._topics
        asked: str | None = None
        async with table.bus.subscribe(t.cloud_request) as requests:
            async for delivery in requests:
                try:
                    token = delivery.decode(t.cloud_request).task_token
                except WireError:
                    continue  # the manager answers it; it is no move
                if token == asked:
                    continue
                asked = token
                if dice.random() < self._faults.process_killed:
                    await anyio.sleep(dice.uniform(0.0, 1.5))
                    table.children[dice.choice(list(table.children))].kill()


async def park(bus: Bus, topics: Topics) -> bool:
    """Asks for parked arms and waits until they are measured so, the job under way finished. False: not in time."""
    with anyio.move_on_after(PARK_TIMEOUT_S):
        async with bus.subscribe(topics.arm_state) as states:
            await bus.publish(topics.arm_control, m.ArmControl(command="park", request_id=uuid.uuid4().hex))
            async for delivery in states:
                state = delivery.decode(topics.arm_state)
                if state.job_id is None and all(arm.parked for arm in state.arms):
                    return True
    return False


def _told(arm: ArmSettings) -> dict[str, Any]:
    """As a configuration file has it: what differs from the defaults."""
    given = {name: getattr(arm, name) for name in arm.__struct_fields__}
    return {name: value for name, value in given.items() if value is not None and value not in ("", {})}

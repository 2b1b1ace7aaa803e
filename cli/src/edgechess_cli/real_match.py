"""A match with real processes, sockets, a pseudo-terminal and a broker, on the software table."""

from __future__ import annotations

import dataclasses
import datetime
import json
import random
import shutil
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import chess

from edgechess_cli.calibrate import calibrate_by_hand
from edgechess_cli.child_process import ChildProcess
from edgechess_cli.match_folder import COMPONENTS, MatchFolder, write_toml
from edgechess_cli.match_options import MatchOptions, MatchSummary
from edgechess_cli.person_agent import REACTION_S, PersonAgent
from edgechess_cli.terminal import Screen
from edgechess_kit import messages as m
from edgechess_kit.broker import running_broker
from edgechess_kit.clock import RandomIds
from edgechess_kit.errors import WireError
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics
from edgechess_robots.calibration import save as save_calibration
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.dobot.tcp import connect_tcp_to
from edgechess_robots.layout import standard_layout
from edgechess_twin import faults as twin_faults
from edgechess_twin.control import ControlClient

TWIN_START_TIMEOUT_S = 30.0
PARK_TIMEOUT_S = 30.0  # after Ctrl-C: a move under way is finished, then the arms are parked
MODULES = {
    "board-sensor": "edgechess_board_sensor",
    "arm-controller": "edgechess_arm_controller",
    "game-manager": "edgechess_game_manager",
    "match-director": "edgechess_match_director",
}


EMPTY_BOARD = "8/8/8/8/8/8/8/8"  # arms are calibrated before the pieces are set up: a tip that touches a1 needs room


class Interrupted(Exception):
    """Ctrl-C. The arms are parked; the text says where to continue."""


def saved_options(folder: MatchFolder) -> MatchOptions:
    """Raises OSError or ValueError when the folder holds no match."""
    data = json.loads(folder.options.read_text(encoding="utf-8"))
    try:
        data["pgn"] = Path(data["pgn"]) if data["pgn"] else None
        data["arms"] = tuple(data["arms"])
        return MatchOptions(**data)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder.options}: {error}") from error


@dataclasses.dataclass(frozen=True, slots=True)
class TwinDevices:
    """Where the software table's devices are, as `edgechess twin --json` prints it."""

    board: str
    arms: dict[str, dict[str, Any]]
    control: Path


class RealMatch:
    """One match from start to summary. `folder` None: a new one."""

    def __init__(self, options: MatchOptions, folder: MatchFolder | None, screen: Screen) -> None:
        self._options = options
        self._screen = screen
        self._continued = folder is not None
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self._folder = folder or MatchFolder.create(f"{stamp}-{uuid.uuid4().hex[:4]}")
        self._topics = Topics()
        self._faults = twin_faults.parse(options.faults)
        self._children: dict[str, ChildProcess] = {}
        self._summary: MatchSummary | None = None
        self._done = anyio.Event()

    async def run(self) -> MatchSummary:
        """Raises Interrupted on Ctrl-C, ComponentDied, KitError or OSError when something cannot be started."""
        self._save_options()
        async with (
            running_broker(kind=self._options.broker) as broker,  # type: ignore[arg-type]
            self._twin() as devices,
        ):
            self._screen.say(f"broker {broker}   match {self._folder.path}")
            if not self._continued:
                await self._prepare(devices)
            self._write_configs(broker, devices)
            async with (
                MqttBus(BusSettings(broker=broker), "play") as bus,
                ControlClient(str(devices.control)) as person,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(self._watch, bus, name="watch")
                tasks.start_soon(self._interrupt, bus, tasks.cancel_scope, name="interrupt")
                agent = PersonAgent(bus, self._topics, person, RandomIds(), REACTION_S / self._options.motion_speed)
                tasks.start_soon(agent.run, name="person")
                for name in COMPONENTS:
                    child = ChildProcess(
                        name, ["-m", MODULES[name], "--config", str(self._folder.config(name))], self._folder.log(name)
                    )
                    self._children[name] = child
                    await tasks.start(child.run, name=name)
                if self._faults.process_killed:
                    tasks.start_soon(self._misfortune, bus, name="misfortune")
                await self._done.wait()
                self._folder.world.write_text(json.dumps(await person.status()), encoding="utf-8")
                tasks.cancel_scope.cancel()
        if self._summary is None:
            raise Interrupted(
                f"stopped; the arms are parked. To continue: edgechess play --continue {self._folder.path}"
            )
        if self._options.pgn is not None and self._folder.pgn.exists():
            shutil.copyfile(self._folder.pgn, self._options.pgn)
        self._screen.say(f"PGN: {self._options.pgn or self._folder.pgn}")
        return self._summary

    # -- what is started -------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _twin(self) -> AsyncIterator[TwinDevices]:
        options = self._options
        arguments = [
            "-m", "edgechess_cli.main", "twin", "--json", "--seed", str(options.seed), "--faults", options.faults,
            "--speed", str(options.motion_speed), "--firmware", options.firmware,
        ]  # fmt: skip
        if options.rotated:
            arguments.append("--rotated")
        if self._continued and self._folder.world.exists():
            arguments += ["--table", str(self._folder.world)]
        else:
            arguments += ["--fen", EMPTY_BOARD]
        with self._folder.log("twin").open("ab") as log:
            process = await anyio.open_process(
                [sys.executable, *arguments], stdin=None, stderr=log, start_new_session=True
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
                    with anyio.move_on_after(5.0):
                        await process.wait()
                    if process.returncode is None:
                        process.kill()
                await process.aclose()

    async def _prepare(self, devices: TwinDevices) -> None:
        self._screen.say("calibrating: a person guides each arm to eight squares of the board")
        layout = standard_layout()
        async with ControlClient(str(devices.control)) as person:
            for name, address in devices.arms.items():
                connect = connect_tcp_to(address["host"], _port_offset(address))
                arm = DobotArm(name, connect, DobotSettings(), None)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(arm.run, name=f"calibrate {name}")
                    calibration = await calibrate_by_hand(
                        arm, layout, person.guide, arm_serial=f"twin-{name}", date=datetime.date.today()
                    )
                    tasks.cancel_scope.cancel()
                save_calibration(calibration, self._calibration(name))
                self._screen.say(
                    f"  {name}: residual {calibration.residual_mm:.2f} mm over {calibration.touches} points"
                )
            self._screen.say("setting up the pieces")
            await person.arrange(chess.Board(self._options.start_fen or chess.STARTING_FEN).board_fen())

    def _calibration(self, arm: str) -> Path:
        return self._folder.path / "config" / f"calibration-{arm}.toml"

    def _write_configs(self, broker: str, devices: TwinDevices) -> None:
        options = self._options
        own: dict[str, dict[str, Any]] = {
            "board-sensor": {"port": devices.board, "orientation": "rotated" if options.rotated else "normal"},
            "arm-controller": {
                "arms": [
                    {
                        "name": name,
                        "kind": "dobot",
                        "host": address["host"],
                        "port_offset": _port_offset(address),
                        "calibration": str(self._calibration(name)),
                    }
                    for name, address in devices.arms.items()
                ]
            },
            "game-manager": {"robot_enabled": options.robot},
            "match-director": {
                "autostart": True,
                "white": options.white,
                "black": options.black,
                "fen": options.start_fen or "",
                "session_id": self._folder.path.name,
                "robot_enabled": options.robot,
                "max_plies": options.max_plies or 0,
                "seed": options.seed,
                "pgn_path": str(self._folder.pgn),
            },
        }
        for number, name in enumerate(COMPONENTS):
            write_toml(
                self._folder.config(name),
                {
                    "bus": {
                        "broker": broker,
                        "chaos_duplicate": self._faults.mqtt_duplicate,
                        "chaos_delay": self._faults.mqtt_delay,
                        "chaos_delay_max_s": self._faults.mqtt_delay_max_s,
                        "chaos_seed": options.seed * len(COMPONENTS) + number,
                    },
                    "journal": {"path": str(self._folder.journal(name))},
                    name: own[name],
                },
            )

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
        if event.component == "match-director" and event.kind == "summary":
            fields = {field.name for field in dataclasses.fields(MatchSummary)}
            self._summary = MatchSummary(**{key: value for key, value in event.data.items() if key in fields})
            self._done.set()

    async def _interrupt(self, bus: MqttBus, scope: anyio.CancelScope) -> None:
        """Ctrl-C: no further move is asked for, the one under way is finished, the arms are parked."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
        self._screen.say("stopping: the move under way is finished, then the arms park (again Ctrl-C: at once)")
        with anyio.move_on_after(PARK_TIMEOUT_S):
            await bus.publish(
                self._topics.session_control, m.SessionControl(command="pause", request_id=uuid.uuid4().hex)
            )
            await self._until_parked(bus)
        self._done.set()

    async def _until_parked(self, bus: MqttBus) -> None:
        t = self._topics
        async with bus.subscribe(t.arm_state) as states:
            await bus.publish(t.arm_control, m.ArmControl(command="park", request_id=uuid.uuid4().hex))
            async for delivery in states:
                state = delivery.decode(t.arm_state)
                if state.job_id is None and all(arm.parked for arm in state.arms):
                    return

    async def _misfortune(self, bus: MqttBus) -> None:
        """Once in so many moves a process is killed, at a moment of the seed's choosing. Links are the twin's matter."""
        dice = random.Random(f"{self._options.seed}/misfortune")
        t = self._topics
        asked: str | None = None
        async with bus.subscribe(t.cloud_request) as requests:
            async for delivery in requests:
                token = delivery.decode(t.cloud_request).task_token
                if token == asked:
                    continue
                asked = token
                if dice.random() < self._faults.process_killed:
                    await anyio.sleep(dice.uniform(0.0, 1.5))
                    self._children[dice.choice(COMPONENTS)].kill()


def _port_offset(address: dict[str, Any]) -> int:
    """0 where the vendor's own port numbers are in use."""
    return int(address["ports"]["29999"]) - 29999

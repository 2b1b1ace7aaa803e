"""One deployment of `edgechess up`, from its start to the signal that ends it."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from edgechess_cli.console_page import CONSOLE
from edgechess_cli.match_folder import MatchFolder
from edgechess_cli.readiness import Readiness, short_name
from edgechess_cli.real_table import RealTable, TableSetup, TwinDevices
from edgechess_cli.runtime_bus import RuntimeBus
from edgechess_cli.served import Served, park_in_the_end
from edgechess_cli.up_tellers import Teller
from edgechess_cli.workspace_artifacts import WorkspaceSource
from edgechess_kit.background import Background
from edgechess_kit.broker import running_broker
from edgechess_kit.bus import Bus
from edgechess_kit.clock import SystemClock
from edgechess_kit.errors import BrokerError, WireError
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.routed_bus import RoutedBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics
from edgechess_nucleus.artifacts import FolderSource
from edgechess_nucleus.component import ComponentStatus
from edgechess_nucleus.deployer import DeploymentRefused
from edgechess_nucleus.deployment import Deployment
from edgechess_nucleus.flavour import Flavour
from edgechess_nucleus.local_nucleus import LocalNucleus, NucleusOptions
from edgechess_nucleus.mqtt_address import MqttAddress, read_address
from edgechess_nucleus.root_folder import RootFolder

EXTENSION = "x-software-table"
MANAGER, ARMS = "game-manager", "arm-controller"
TOLD_BY_THE_TABLE = ("board-sensor", ARMS)  # components that must know where its devices are


@dataclasses.dataclass(frozen=True, slots=True)
class UpOptions:
    """`broker`: the address given for IoT Core's place. `table` None: the devices are real, or there are none."""

    document: Deployment
    root: RootFolder
    flavour: Flavour
    recipes: Path
    artifacts: Path | None
    broker: str | None
    port: int | None
    table: TableSetup | None


class Up:
    """One deployment, from its start to the signal that ends it."""

    def __init__(self, options: UpOptions, teller: Teller) -> None:
        self._options = options
        self._teller = teller
        self._served = Served()
        self._table_settings: dict[str, dict[str, Any]] = {}
        self._readiness = Readiness()
        self._topics = Topics()
        self._dead_broker: str | None = None

    async def run(self) -> None:
        """Raises what cannot be started, and BrokerError when a broker of ours has died."""
        with self._options.root.locked():
            await self._served.run(self._serve)
            if self._dead_broker is not None:
                raise BrokerError(self._dead_broker)

    async def _serve(self) -> None:
        """Brokers, then the table, then the components; they end in the opposite order."""
        options, local = self._options, self._options.document.local
        async with AsyncExitStack() as stack:
            iot_core, local_mqtt = options.broker, None
            if iot_core is None and local.iot_core is None:
                iot_core = await stack.enter_async_context(running_broker(options.port, died=self._broker_died))
            if local.local_mqtt is None:
                local_mqtt = await stack.enter_async_context(running_broker(died=self._broker_died))
            document, devices, table = options.document, None, None
            if options.table is not None:
                table = RealTable(self._as_it_stood(options.table), self._table_folder(), self._teller.say)
                self._teller.say("starting the software table")
                devices = await stack.enter_async_context(table.devices())
                self._table_settings = table.settings_of(devices)
                document = self._amended(document)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            self._teller.say("starting the components")
            nucleus = LocalNucleus(document, options.root, self._nucleus_options(iot_core, local_mqtt))
            await tasks.start(nucleus.run, name="nucleus")
            self._teller.where(self._facts(iot_core, local_mqtt, devices))
            self._served.ready()
            bus = RuntimeBus(nucleus.topics, "edgechess up")
            tasks.start_soon(self._listen, bus, name="health")
            tasks.start_soon(self._listen_for_pages, bus, name="pages")
            tasks.start_soon(self._until_ready, name="ready")
            if table is not None and devices is not None and iot_core is not None and local_mqtt is not None:
                await stack.enter_async_context(self._person(table, devices, iot_core, local_mqtt))
            await self._served.is_told()
            await self._park(bus)
            tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def _person(
        self, table: RealTable, devices: TwinDevices, iot_core: str, local_mqtt: str
    ) -> AsyncIterator[None]:
        """The person at the software table is a client device of the local broker; it hears the cloud's answers too."""
        async with (
            MqttBus(BusSettings(broker=iot_core), "person-cloud") as cloud,
            MqttBus(BusSettings(broker=local_mqtt), "person") as near,
            Background() as tasks,
        ):
            bus = RoutedBus({"cloud": cloud, "devices": near, "edge": near})
            tasks.start_soon(table.person, bus, devices, name="person")
            yield
            tasks.cancel()

    async def _park(self, bus: Bus) -> None:
        """Arms that serve finish their move and go to their parking places, while everything they need is there."""
        if self._readiness.serves(ARMS):
            await park_in_the_end(bus)

    async def _listen(self, bus: Bus) -> None:
        """RUNNING says that a process is there; each of our components says by itself whether it serves."""
        told: dict[str, str | None] = {}
        async with bus.subscribe(self._topics.status) as statuses:
            async for delivery in statuses:
                with contextlib.suppress(WireError):
                    status = delivery.decode(self._topics.status)
                    self._readiness.hear(status)
                    why = status.reason if status.status == "degraded" else None
                    if why != told.get(status.component):
                        told[status.component] = why
                        self._teller.say(f"{status.component}: {why or 'all is well again'}")

    async def _listen_for_pages(self, bus: Bus) -> None:
        """A console says where its page is when it serves, also after each restart."""
        async with bus.subscribe(self._topics.events) as events:
            async for delivery in events:
                with contextlib.suppress(WireError):
                    event = delivery.decode(self._topics.events)
                    if (event.component, event.kind) == (CONSOLE, "serving"):
                        self._teller.say(f"the page: {event.data.get('address', '')}")

    async def _until_ready(self) -> None:
        await self._readiness.all_serve()
        self._teller.ready()

    def _broker_died(self, text: str) -> None:
        """Nobody could reach the components any more; what is under way is ended in order."""
        self._teller.say(text)
        self._dead_broker = text
        self._served.end()

    def _observe(self, status: ComponentStatus) -> None:
        self._readiness.see(status)
        self._teller.observe(status)

    def _amended(self, document: Deployment) -> Deployment:
        """With what components must know of our table. Raises DeploymentRefused for a document with another one."""
        wanted, given = document.extensions.get(EXTENSION), self._options.document.extensions.get(EXTENSION)
        if wanted is not None and wanted != given:
            raise DeploymentRefused(f"{document.file}: {EXTENSION} cannot change while the runtime runs: end it first")
        return document.merged(_configuration(document, self._table_settings))

    def _as_it_stood(self, setup: TableSetup) -> TableSetup:
        """Where the pieces belong when a killed runtime could not note where they stood: as confirmed last."""
        confirmed = _last_confirmed(self._options.document, self._options.root)
        return setup if confirmed is None else dataclasses.replace(setup, start_fen=confirmed)

    def _nucleus_options(self, iot_core: str | None, local_mqtt: str | None) -> NucleusOptions:
        options, local = self._options, self._options.document.local
        made = WorkspaceSource(options.root.path / "workspace-artifacts")
        return NucleusOptions(
            flavour=options.flavour,
            recipes=options.recipes,
            artifacts=FolderSource(options.artifacts) if options.artifacts else made,
            iot_core=_address(iot_core) or (local.iot_core.address if local.iot_core else None),
            local_mqtt=_address(local_mqtt) or (local.local_mqtt.address if local.local_mqtt else None),
            echo=self._teller.echo,
            observe=self._observe,
            amend=self._amended,
            say=self._teller.say,
        )

    def _table_folder(self) -> MatchFolder:
        folder = MatchFolder(self._options.root.path / "table")
        for part in ("config", "journal", "logs"):
            (folder.path / part).mkdir(parents=True, exist_ok=True)
        return folder

    def _facts(self, iot_core: str | None, local_mqtt: str | None, devices: TwinDevices | None) -> dict[str, str]:
        facts = {"deployment": self._options.document.name, "flavour": self._options.flavour.name}
        facts |= {"broker": iot_core} if iot_core else {}
        facts |= {"local_mqtt": local_mqtt} if local_mqtt else {}
        facts |= {"root": str(self._options.root.path), "ipc": str(self._options.root.ipc_socket)}
        return facts | ({"board": devices.board, "person": str(devices.control)} if devices else {})


def _last_confirmed(document: Deployment, root: RootFolder) -> str | None:
    """The position of the newest start or move that this root's game manager has confirmed. Raises JournalError."""
    for wanted in document.components:
        path = root.path / "work" / wanted.name / f"{MANAGER}.journal"
        if short_name(wanted.name) == MANAGER and path.is_file():
            with contextlib.closing(SqliteJournal.read_only(path, SystemClock())) as journal:
                entries = [entry for kind in ("started", "confirmed") if (entry := journal.last(kind=kind))]
            return str(max(entries, key=lambda entry: entry.seq).data["fen"]) if entries else None
    return None


def _address(url: str | None) -> MqttAddress | None:
    return read_address(url) if url is not None else None


def _configuration(document: Deployment, settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The table's facts as configuration of the components that want them, keys spelled as in recipes."""
    made: dict[str, dict[str, Any]] = {}
    for short in TOLD_BY_THE_TABLE:
        for wanted in document.components:
            if short_name(wanted.name) == short:
                made[wanted.name] = {_camel(key): value for key, value in settings[short].items()}
    return made


def _camel(key: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), key)

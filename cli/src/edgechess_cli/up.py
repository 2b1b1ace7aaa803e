"""`edgechess up`: a deployment on this machine, under the local runtime; `up status|logs|restart` ask the running one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, NoReturn, Protocol, TypeVar

import anyio
import msgspec
import typer
import typer.core
from anyio.abc import TaskStatus
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgechess_cli.failures import FAILURES, told
from edgechess_cli.match_folder import MatchFolder, state_home
from edgechess_cli.match_options import FAST_SPEED
from edgechess_cli.real_table import RealTable, TableSetup, TwinDevices, park
from edgechess_cli.workspace_artifacts import WorkspaceSource
from edgechess_kit.broker import running_broker
from edgechess_kit.errors import WireError
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.routed_bus import RoutedBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics
from edgechess_nucleus.artifacts import FolderSource
from edgechess_nucleus.component import ComponentStatus
from edgechess_nucleus.control import Logs, RestartComponent, ask, ask_status
from edgechess_nucleus.deployed import check
from edgechess_nucleus.deployment import Deployment, read_deployment
from edgechess_nucleus.errors import NucleusError
from edgechess_nucleus.flavour import FLAVOURS, Flavour
from edgechess_nucleus.local_nucleus import LocalNucleus, NucleusOptions
from edgechess_nucleus.mqtt_address import MqttAddress, read_address
from edgechess_nucleus.root_folder import RootFolder

T = TypeVar("T")

EXIT_FAILED = 1
EXIT_USAGE = 2
LOCAL = Path(__file__).resolve().parents[3] / "recipes" / "deployments" / "local.yaml"  # of the workspace
EXTENSION = "x-software-table"
TOLD_BY_THE_TABLE = ("board-sensor", "arm-controller")  # components that must know where its devices are
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
STATE_STYLES = {"RUNNING": "green", "FINISHED": "green", "BROKEN": "bold red", "ERRORED": "red", "BACKING_OFF": "red"}


class UpVerbs(typer.core.TyperGroup):
    """`up FILE` is short for `up start FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args and args[0] in self.commands else ["start", *args])


app = typer.Typer(cls=UpVerbs, help="Run a Greengrass deployment on this machine: no account, no cloud.")

RootOption = Annotated[
    Path | None,
    typer.Option("--root", help="Folder of the runtime: state, logs, sockets (default: in the state home)."),
]


class SoftwareTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-software-table` of a deployment document."""

    seed: int = 0
    faults: str = "none"
    speed: Annotated[float, msgspec.Meta(ge=1.0, le=100.0)] = FAST_SPEED
    rotated: bool = False
    fen: str | None = None

    def setup(self) -> TableSetup:
        return TableSetup(
            seed=self.seed, faults=self.faults, motion_speed=self.speed, rotated=self.rotated, start_fen=self.fen
        )


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


@app.command()
def start(
    deployment: Annotated[
        Path | None, typer.Argument(help="Deployment document (default: the workspace's local.yaml).")
    ] = None,
    root: RootOption = None,
    flavour: Annotated[str, typer.Option("--flavour", help="Whose ways to imitate: java or lite.")] = "java",
    recipes: Annotated[
        Path | None, typer.Option("--recipes", help="Folder of recipes (default: as the document says).")
    ] = None,
    artifacts: Annotated[
        Path | None,
        typer.Option("--artifacts", help="Folder of built artifacts (default: components run from the workspace)."),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option("--broker", help="Broker in IoT Core's place, mqtt://127.0.0.1:PORT (default: one is started)."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="TCP port of the broker that is started.", min=1, max=65535)
    ] = None,
    with_twin: Annotated[
        bool | None,
        typer.Option("--with-twin/--without-twin", help="The software table (default: as the document says)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: where everything is, and every change.")] = False,
) -> None:
    """Run a deployment until Ctrl-C: components as processes, Greengrass IPC, a broker in IoT Core's place.

    `edgechess up status`, `edgechess up logs COMPONENT` and `edgechess up restart COMPONENT` ask the running one.

    Exit code: 0 after Ctrl-C, 1 when something cannot be started or kept running, 2 wrong usage or documents.
    """
    if flavour not in FLAVOURS:
        _fail(f"--flavour is {flavour!r}: expected {' or '.join(FLAVOURS)}")
    options = _usage(
        lambda: _options(
            deployment or LOCAL, _root(root), FLAVOURS[flavour], recipes, artifacts, broker, port, with_twin
        )
    )
    failure: BaseExceptionGroup | None = None
    try:
        anyio.run(_Up(options, JsonTeller() if as_json else LineTeller()).run)
    except* (NucleusError, *FAILURES) as failed:
        failure = failed
    if failure is not None:
        _fail(told(failure), EXIT_USAGE if failure.subgroup(NucleusError) else EXIT_FAILED)


@app.command()
def status(
    root: RootOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line for each component.")] = False,
) -> None:
    """What every component of the running deployment is at."""
    statuses = _asked(ask_status, _root(root).control_socket)
    if as_json:
        for one in statuses:
            typer.echo(json.dumps(dataclasses.asdict(one)))
        return
    table = Table("component", "version", "state", "pid", "errors", "why", box=None)
    for one in statuses:
        state = Text(one.state, STATE_STYLES.get(one.state, ""))
        table.add_row(one.name, one.version, state, str(one.pid or ""), str(one.errors or ""), one.reason or "")
    Console().print(table)


@app.command()
def logs(
    component: Annotated[str, typer.Argument(help="Its name, or the end of it: GameManager.")],
    root: RootOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many, the newest.", min=1, max=10_000)] = 40,
) -> None:
    """The newest lines of one component's log."""
    for line in _asked(ask, _root(root).control_socket, Logs(component, lines))["lines"]:
        typer.echo(line)


@app.command()
def restart(
    component: Annotated[str, typer.Argument(help="Its name, or the end of it: GameManager.")],
    root: RootOption = None,
) -> None:
    """Stop one component and start it anew, also one that is BROKEN. Its errors are forgotten."""
    _asked(ask, _root(root).control_socket, RestartComponent(component))


def _root(path: Path | None) -> RootFolder:
    return RootFolder(path or state_home() / "nucleus")


def _asked(question: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T:
    return _usage(lambda: anyio.run(question, *arguments), EXIT_FAILED)


def _usage(make: Callable[[], T], code: int = EXIT_USAGE) -> T:
    try:
        return make()
    except (NucleusError, ValueError) as error:
        _fail(str(error), code)


def _fail(text: str, code: int = EXIT_USAGE) -> NoReturn:
    typer.echo(f"edgechess up: {text}", err=True)
    raise typer.Exit(code)


def _options(
    path: Path,
    root: RootFolder,
    flavour: Flavour,
    recipes: Path | None,
    artifacts: Path | None,
    broker: str | None,
    port: int | None,
    with_twin: bool | None,
) -> UpOptions:
    """Everything that can be wrong in documents is found here. Raises NucleusError or ValueError."""
    document = read_deployment(path)
    local = document.local
    folder = recipes or local.recipes
    if folder is None:
        raise ValueError(f"{path}: localRuntime.recipes is missing: name the folder there, or with --recipes")
    if broker is not None:
        read_address(broker)
        if local.iot_core is not None:
            raise ValueError(f"--broker {broker}: {path} names a broker in IoT Core's place already")
    table = _software_table(document, with_twin)
    if table is not None and (local.iot_core is not None or local.local_mqtt is not None):
        raise ValueError(f"{path}: the software table brings its own brokers: name none, or --without-twin")
    check(document, folder, flavour)
    return UpOptions(document, root, flavour, folder, artifacts or local.artifacts, broker, port, table)


def _software_table(document: Deployment, with_twin: bool | None) -> TableSetup | None:
    given = document.extensions.get(EXTENSION)
    if with_twin is False or (with_twin is None and given is None):
        return None
    try:
        return msgspec.convert(given or {}, SoftwareTable).setup()
    except msgspec.ValidationError as error:
        raise ValueError(f"{document.file}: {EXTENSION}: {error}") from error


# -- what is said --------------------------------------------------------------------------------------------------


class Teller(Protocol):
    """Tells the operator what happens. `echo` and `observe` are called by the runtime."""

    def say(self, text: str) -> None: ...
    def where(self, facts: dict[str, str]) -> None: ...
    def ready(self) -> None: ...
    def echo(self, component: str, line: str) -> None: ...
    def observe(self, status: ComponentStatus) -> None: ...


class LineTeller:
    """The lines of all components, each behind the component's name in its colour."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._styles: dict[str, str] = {}

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def where(self, facts: dict[str, str]) -> None:
        for name, value in facts.items():
            self.say(f"  {name:14} {value}")
        self.say("Ctrl-C stops everything in order.")

    def ready(self) -> None:
        self.say("every component is ready: publish a start, then moves (edgechess publish --help)")

    def echo(self, component: str, line: str) -> None:
        style = self._styles.setdefault(component, COLOURS[len(self._styles) % len(COLOURS)])
        short = component.rpartition(".")[2]
        self._console.print(Text.assemble((f"{short:15} ", style), line))

    def observe(self, status: ComponentStatus) -> None:
        """The runtime's own lines in the log say what matters."""


class JsonTeller:
    """One JSON object a line: `{"event": "state", …}` at every change, `nucleus` and `ready` once each."""

    def say(self, text: str) -> None:
        """Prose has no place among JSON lines."""

    def where(self, facts: dict[str, str]) -> None:
        print(json.dumps({"event": "nucleus", **facts}), flush=True)

    def ready(self) -> None:
        print(json.dumps({"event": "ready"}), flush=True)

    def echo(self, component: str, line: str) -> None:
        """It is in the component's log."""

    def observe(self, status: ComponentStatus) -> None:
        print(json.dumps({"event": "state", **dataclasses.asdict(status)}), flush=True)


# -- what runs -----------------------------------------------------------------------------------------------------


class _Up:
    """One deployment, from its start to the signal that ends it."""

    def __init__(self, options: UpOptions, teller: Teller) -> None:
        self._options = options
        self._teller = teller
        self._told_to_end = anyio.Event()
        self._serving = False

    async def run(self) -> None:
        with self._options.root.locked():
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._signals, tasks.cancel_scope, name="signals")
                await self._serve()
                tasks.cancel_scope.cancel()

    async def _signals(
        self, scope: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """The first one ends what is served in order; the second one, or one before that, does not wait for arms."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if self._told_to_end.is_set() or not self._serving:
                    scope.cancel()
                    return
                self._told_to_end.set()

    async def _serve(self) -> None:
        """Brokers, then the table, then the components; they end in the opposite order."""
        options, local = self._options, self._options.document.local
        async with AsyncExitStack() as stack:
            iot_core, local_mqtt = options.broker, None
            if iot_core is None and local.iot_core is None:
                iot_core = await stack.enter_async_context(running_broker(options.port))
            if local.local_mqtt is None:
                local_mqtt = await stack.enter_async_context(running_broker())
            document, devices, table = options.document, None, None
            if options.table is not None:
                table = RealTable(options.table, self._table_folder(), self._teller.say)
                self._teller.say("starting the software table")
                devices = await stack.enter_async_context(table.devices())
                document = document.merged(_configuration(document, table.settings_of(devices)))
            tasks = await stack.enter_async_context(anyio.create_task_group())
            self._teller.say("starting the components")
            nucleus = LocalNucleus(document, options.root, self._nucleus_options(iot_core, local_mqtt))
            await tasks.start(nucleus.run, name="nucleus")
            self._teller.where(self._facts(iot_core, local_mqtt, devices))
            self._serving = True
            if table is not None and devices is not None and iot_core is not None and local_mqtt is not None:
                await self._with_a_person(table, devices, iot_core, local_mqtt)
            else:
                await self._told_to_end.wait()
            tasks.cancel_scope.cancel()

    async def _with_a_person(self, table: RealTable, devices: TwinDevices, iot_core: str, local_mqtt: str) -> None:
        """The person at the software table is a client device of the local broker; it hears the cloud's answers too."""
        async with (
            MqttBus(BusSettings(broker=iot_core), "person-cloud") as cloud,
            MqttBus(BusSettings(broker=local_mqtt), "person") as near,
            anyio.create_task_group() as tasks,
        ):
            bus = RoutedBus({"cloud": cloud, "devices": near, "edge": near})
            tasks.start_soon(table.person, bus, devices, name="person")
            ready = anyio.Event()
            tasks.start_soon(self._until_ready, near, ready, name="ready")
            await self._told_to_end.wait()
            # before that nobody has moved an arm, and nobody may hear the word
            if ready.is_set() and not await park(near, Topics()):
                typer.echo("the arms are not parked: look at them", err=True)
            tasks.cancel_scope.cancel()

    async def _until_ready(self, near: MqttBus, ready: anyio.Event) -> None:
        """RUNNING says that a process is there; each of our components says by itself when it serves."""
        topics = Topics()
        waiting = {_short(wanted.name) for wanted in self._options.document.components}
        async with near.subscribe(topics.status) as statuses:
            async for delivery in statuses:
                with contextlib.suppress(WireError):
                    status = delivery.decode(topics.status)
                    if status.status == "ready":
                        waiting.discard(status.component)
                if not waiting:
                    ready.set()
                    self._teller.ready()
                    return

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
            observe=self._teller.observe,
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


def _address(url: str | None) -> MqttAddress | None:
    return read_address(url) if url is not None else None


def _configuration(document: Deployment, settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The table's facts as configuration of the components that want them, keys spelled as in recipes."""
    made: dict[str, dict[str, Any]] = {}
    for short in TOLD_BY_THE_TABLE:
        for wanted in document.components:
            if _short(wanted.name) == short:
                made[wanted.name] = {_camel(key): value for key, value in settings[short].items()}
    return made


def _short(component: str) -> str:
    """io.edgechess.GameManager is game-manager on the bus, whatever the prefix."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", component.rpartition(".")[2]).lower()


def _camel(key: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), key)

"""`edgechess up`: a deployment on this machine, under the local runtime.

`up status|logs|restart|deploy` speak to the one that runs.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import anyio
import msgspec
import typer
import typer.core
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgechess_cli.failures import FAILURES, told
from edgechess_cli.match_folder import state_home
from edgechess_cli.match_options import FAST_SPEED
from edgechess_cli.real_table import TableSetup
from edgechess_cli.refusals import refusal
from edgechess_cli.up_run import EXTENSION, Up, UpOptions
from edgechess_cli.up_tellers import JsonTeller, LineTeller
from edgechess_kit.broker import require_free
from edgechess_kit.errors import BrokerError
from edgechess_nucleus.artifacts import FolderSource
from edgechess_nucleus.control import ControlError, DeployDocument, Logs, RestartComponent, ask, ask_status, order
from edgechess_nucleus.deployed import check
from edgechess_nucleus.deployment import Deployment, read_deployment
from edgechess_nucleus.documents import DocumentError
from edgechess_nucleus.errors import NucleusError
from edgechess_nucleus.flavour import FLAVOURS, Flavour
from edgechess_nucleus.mqtt_address import read_address
from edgechess_nucleus.root_folder import RootFolder
from edgechess_nucleus.secrets import FileSecrets

T = TypeVar("T")

EXIT_FAILED = 1
EXIT_USAGE = 2
UNPRIVILEGED_PORT = 1024  # the ports below are root's, and mosquitto gives root up before it binds
LOCAL = Path(__file__).resolve().parents[3] / "recipes" / "deployments" / "local.yaml"  # of the workspace
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

    `edgechess up status`, `up logs COMPONENT`, `up restart COMPONENT` and `up deploy DOCUMENT` speak to the running one.

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
        anyio.run(Up(options, JsonTeller() if as_json else LineTeller()).run)
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
    """The newest lines of one component's log.

    Exit code: 0, 1 when no runtime answers, 2 when it has no such component.
    """
    socket = _root(root).control_socket
    _require_known(component, socket)
    for line in _asked(ask, socket, Logs(component, lines))["lines"]:
        typer.echo(line)


@app.command()
def restart(
    component: Annotated[str, typer.Argument(help="Its name, or the end of it: GameManager.")],
    root: RootOption = None,
) -> None:
    """Stop one component and start it anew, also one that is BROKEN. Its errors are forgotten.

    Exit code: 0, 1 when no runtime answers, 2 when it has no such component.
    """
    socket = _root(root).control_socket
    _require_known(component, socket)
    _asked(ask, socket, RestartComponent(component))


@app.command()
def deploy(
    deployment: Annotated[Path, typer.Argument(help="Deployment document.")],
    root: RootOption = None,
    recipes: Annotated[
        Path | None, typer.Option("--recipes", help="Folder of recipes (default: the document's, else those in use).")
    ] = None,
    artifacts: Annotated[
        Path | None, typer.Option("--artifacts", help="Folder of built artifacts (default: as for --recipes).")
    ] = None,
) -> None:
    """Apply another deployment to the running runtime: what changed is restarted, the rest goes on.

    Components are asked first and may put it off, as long as a move is under way. When one does not come up, what ran
    before runs again. Ctrl-C leaves it going on.

    Exit code: 0 when everything serves, 1 when it failed (or nothing runs), 2 when the documents cannot be.
    """
    _usage(lambda: read_deployment(deployment))
    _usage(lambda: _require_folders(recipes, artifacts))
    folders = (str(path.absolute()) if path else None for path in (recipes, artifacts))
    request = DeployDocument(str(deployment.absolute()), *folders)
    try:
        anyio.run(order, _root(root).control_socket, request, typer.echo)
    except ControlError as error:
        _fail(str(error), EXIT_USAGE if error.document else EXIT_FAILED)


def _root(path: Path | None) -> RootFolder:
    return RootFolder(path or state_home() / "nucleus")


def _asked(question: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T:
    return _usage(lambda: anyio.run(question, *arguments), EXIT_FAILED)


def _require_known(component: str, socket: Path) -> None:
    """As the runtime looks for one: by its name, or by the end of it where only one ends so."""
    names = [one.name for one in _asked(ask_status, socket)]
    if sum(name == component or name.endswith(f".{component}") for name in names) != 1:
        _fail(f"no component {component}; there are {', '.join(names)}")


def _require_folders(recipes: Path | None, artifacts: Path | None) -> None:
    """Raises ValueError."""
    for option, folder in (("--recipes", recipes), ("--artifacts", artifacts)):
        if folder is not None and not folder.is_dir():
            raise ValueError(f"{option} {folder}: no such folder: name one that edgechess build made")


def _usage(make: Callable[[], T], code: int = EXIT_USAGE) -> T:
    try:
        return make()
    except DocumentError as error:
        _fail(refusal(error), code)
    except (NucleusError, BrokerError, ValueError) as error:
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
    """Everything that can be wrong in what was given is found here. Raises NucleusError, BrokerError or ValueError."""
    document = read_deployment(path)
    _require_folders(recipes, artifacts)
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
    built = artifacts or local.artifacts
    check(document, folder, flavour, FolderSource(built) if built is not None else None)
    if local.secrets is not None:
        FileSecrets.read(local.secrets, local.region)
    if port is not None:
        if port < UNPRIVILEGED_PORT:
            raise ValueError(f"--port {port}: no broker of ours may listen there: name one from {UNPRIVILEGED_PORT} up")
        require_free(port)
    return UpOptions(document, root, flavour, folder, built, broker, port, table)


def _software_table(document: Deployment, with_twin: bool | None) -> TableSetup | None:
    given = document.extensions.get(EXTENSION)
    if with_twin is False or (with_twin is None and given is None):
        return None
    try:
        return msgspec.convert(given or {}, SoftwareTable).setup()
    except msgspec.ValidationError as error:
        raise ValueError(f"{document.file}: {EXTENSION}: {error}") from error

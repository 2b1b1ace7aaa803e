"""`edgechess console`: the page for a table that runs somewhere, or for a software table that is started with it."""

from __future__ import annotations

import json
import os
import signal
import uuid
from pathlib import Path
from typing import Annotated, Any, NoReturn

import anyio
import typer
from anyio.abc import TaskStatus

from edgechess_cli import console_screenshots
from edgechess_cli.bus_connection import (
    DEFAULT_BROKER,
    BrokerOption,
    CaOption,
    CertOption,
    Connection,
    KeyOption,
    PrefixOption,
)
from edgechess_cli.child_process import ChildProcess
from edgechess_cli.console_page import CONSOLE, DEFAULT_PORT, HOST, bindable, page_address, page_port, page_settings
from edgechess_cli.failures import FAILURES, told
from edgechess_cli.match_folder import COMPONENTS, MatchFolder, write_toml
from edgechess_cli.match_options import FAST_SPEED
from edgechess_cli.real_table import MODULES, RealTable, TableSetup, park
from edgechess_console.access import require_safe, tokens_of
from edgechess_console.settings import LOOPBACK, Settings
from edgechess_kit.errors import SettingsError
from edgechess_kit.topics import PREFIX, Topics
from edgechess_twin import faults as twin_faults

EXIT_FAILED = 1
EXIT_USAGE = 2

app = typer.Typer(invoke_without_command=True)
app.command("screenshots")(console_screenshots.command)


@app.callback()
def command(
    context: typer.Context,
    broker: BrokerOption = DEFAULT_BROKER,
    table: Annotated[
        bool, typer.Option("--table", help="Start a software table and a director too: run matches from the page.")
    ] = False,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; beyond loopback only with TLS and a token.")
    ] = HOST,
    port: Annotated[
        int | None,
        typer.Option("--port", help=f"Of the page (default: {DEFAULT_PORT}, or a free one).", min=1, max=65535),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", help="Certificate of the page (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Key of that certificate (PEM).")] = None,
    operator_token: Annotated[
        Path | None,
        typer.Option("--operator-token", help="File with the operators' token (or EDGECHESS_TOKEN_OPERATOR)."),
    ] = None,
    viewer_token: Annotated[
        Path | None, typer.Option("--viewer-token", help="File with the viewers' token (or EDGECHESS_TOKEN_VIEWER).")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="With --table: of everything that is left to chance.")] = 0,
    faults: Annotated[str, typer.Option("--faults", help="With --table: none, nominal, harsh, or NAME=P,…")] = "none",
    speed: Annotated[
        float, typer.Option("--speed", help="With --table: factor on the twin's motion.", min=1.0, max=100.0)
    ] = FAST_SPEED,
    alone: Annotated[
        bool, typer.Option("--alone", help="With --table: nobody helps at the table (edgechess twin hand does).")
    ] = False,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print where everything is as one JSON line.")] = False,
) -> None:
    """Serve the page until Ctrl-C: see the table, run matches, look at games that were played.

    Exit code: 0 after Ctrl-C, 1 when something cannot be started or kept running, 2 wrong usage.
    """
    if context.invoked_subcommand is not None:
        return
    connection = Connection(broker, prefix, ca, cert, key)
    given: dict[str, Any] = {
        "host": host,
        "certificate_file": _path(tls_cert),
        "key_file": _path(tls_key),
        "operator_token_file": _path(operator_token),
        "viewer_token_file": _path(viewer_token),
    }
    try:
        settings = Settings(**given)
        require_safe(settings, tokens_of(settings))
        bus = connection.settings()
        setup = TableSetup(seed=seed, faults=faults, motion_speed=speed)
        twin_faults.parse(faults)
    except SettingsError as error:
        _fail(_in_our_words(str(error)))
    except ValueError as error:
        _fail(f"--faults: {error}")
    try:
        bindable(host, port or 0)
    except OSError as error:
        _fail(f"{f'--port {port}' if port else f'--host {host}'}: {error.strerror or error}; name another one")
    chosen = port or (page_port() if host in LOOPBACK else DEFAULT_PORT)
    page = {**page_settings(chosen), **given}
    address = page_address(chosen) if host in LOOPBACK else f"https://{host}:{chosen}/"
    service = _Service(page, address, as_json)
    failure: BaseExceptionGroup | None = None
    try:
        if table:
            anyio.run(service.with_table, setup, not alone)
        else:
            sections = {name: getattr(bus, name) for name in bus.__struct_fields__}
            # the table may have a console of its own, and two clients of one id throw each other out
            sections["client_id"] = f"{prefix}-{CONSOLE}-{uuid.uuid4().hex[:8]}"
            anyio.run(service.alone, sections)
    except* FAILURES as failed:
        failure = failed
    if failure is not None:
        typer.echo(f"edgechess console: {told(failure)}", err=True)
        raise typer.Exit(EXIT_FAILED)


class _Service:
    """The page from its start to the signal that ends it."""

    def __init__(self, page: dict[str, Any], address: str, as_json: bool) -> None:
        self._page = page
        self._address = address
        self._as_json = as_json
        self._told = anyio.Event()

    async def alone(self, bus: dict[str, Any]) -> None:
        """Beside a bus that is there, or will be: the page says which."""
        folder = MatchFolder.create()
        write_toml(
            folder.config(CONSOLE),
            {"bus": bus, "journal": {"path": str(folder.journal(CONSOLE))}, CONSOLE: self._page},
        )
        arguments = ["-m", MODULES[CONSOLE], "--tied", "--config", str(folder.config(CONSOLE))]
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._signals, tasks.cancel_scope, name="signals")
            await tasks.start(ChildProcess(CONSOLE, arguments, folder.log(CONSOLE)).run, name=CONSOLE)
            self._tell({"event": "console", "page": self._address, "broker": bus["broker"], "folder": str(folder.path)})
            await self._told.wait()
            tasks.cancel_scope.cancel()

    async def with_table(self, setup: TableSetup, person: bool) -> None:
        folder = MatchFolder.create()
        director = {"autostart": False, "pgn_path": str(folder.pgn), "node_players": []}
        more = {CONSOLE: self._page, "match-director": director}
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._signals, tasks.cancel_scope, name="signals")
            table = RealTable(setup, folder, self._say)
            async with table.serving((CONSOLE, *COMPONENTS), more, person=person) as served:
                self._tell(served.as_event(folder) | {"page": self._address})
                await self._told.wait()
                if not await park(served.bus, Topics()):
                    typer.echo("the arms are not parked: look at them", err=True)
            tasks.cancel_scope.cancel()

    async def _signals(
        self, scope: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """The first one ends what is served in order, the second one at once."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if self._told.is_set():
                    scope.cancel()
                    return
                self._told.set()

    def _tell(self, event: dict[str, object]) -> None:
        if self._as_json:
            typer.echo(json.dumps(event))
        else:
            typer.echo(f"the page: {event['page']}   (broker {event['broker']}, Ctrl-C ends)")

    def _say(self, text: str) -> None:
        if not self._as_json:
            typer.echo(text)


_OPTIONS = {
    "console.operator_token_file": "--operator-token",
    "console.viewer_token_file": "--viewer-token",
    "console.certificate_file": "--tls-cert",
    "console.key_file": "--tls-key",
    "operator_token_file": "--operator-token",
    "certificate_file": "--tls-cert",
    "key_file": "--tls-key",
    "console.host": "--host",
}


def _in_our_words(text: str) -> str:
    for key, option in _OPTIONS.items():
        text = text.replace(key, option)
    return text


def _path(path: Path | None) -> str:
    return os.path.abspath(path) if path is not None else ""


def _fail(text: str) -> NoReturn:
    typer.echo(f"edgechess console: {text}", err=True)
    raise typer.Exit(EXIT_USAGE)

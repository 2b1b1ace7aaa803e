"""`edgechess console`: the page for a table that runs somewhere, or for a software table that is started with it."""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from edgechess_cli import console_screenshots
from edgechess_cli.bus_command import on_bus, refuse
from edgechess_cli.bus_connection import Connection
from edgechess_cli.child_process import ChildProcess
from edgechess_cli.console_page import CONSOLE, DEFAULT_PORT, HOST, Page, open_page
from edgechess_cli.match_folder import COMPONENTS, MatchFolder, write_toml
from edgechess_cli.match_options import FAST_SPEED
from edgechess_cli.real_table import MODULES, RealTable, TableSetup
from edgechess_cli.served import Served, Voice, park_in_the_end, serve
from edgechess_console.access import require_safe, tokens_of
from edgechess_console.settings import LOOPBACK, Settings
from edgechess_kit.errors import SettingsError
from edgechess_kit.settings import BusSettings
from edgechess_twin import faults as twin_faults

app = typer.Typer(invoke_without_command=True)
app.command("screenshots")(console_screenshots.command)


@app.callback()
@on_bus
def command(
    context: typer.Context,
    connection: Connection,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print where everything is as one JSON line.")] = False,
) -> None:
    """Serve the page until Ctrl-C: see the table, run matches, look at games that were played.

    Exit code: 0 after Ctrl-C, 1 when something cannot be started or kept running, 2 wrong usage.
    """
    if context.invoked_subcommand is not None:
        return
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
        bus = connection.checked()
        setup = TableSetup(seed=seed, faults=faults, motion_speed=speed)
        twin_faults.parse(faults)
    except SettingsError as error:
        refuse("console", _in_our_words(str(error)))
    except ValueError as error:
        refuse("console", f"--faults: {error}")
    # beyond loopback the address was told to others: another port is no help
    ports = (port,) if port else (DEFAULT_PORT, 0) if host in LOOPBACK else (DEFAULT_PORT,)
    with ExitStack() as stack:
        try:
            page = stack.enter_context(open_page(ports=ports, **given))
        except OSError as error:
            named = f"--port {port}" if port else f"--host {host}"
            refuse("console", f"{named}: {error.strerror or error}; name another one")
        service = _Service(page, Voice(as_json))
        if table:
            serve("console", service.with_table, setup, not alone)
        else:
            serve("console", service.alone, bus)


class _Service:
    """The page from its start to the signal that ends it."""

    def __init__(self, page: Page, voice: Voice) -> None:
        self._page = page
        self._voice = voice
        self._served = Served()
        self._folder = MatchFolder.create()

    async def alone(self, bus: BusSettings) -> None:
        """Beside a bus that is there, or will be: the page says which."""
        await self._served.run(self._alone, bus)

    async def with_table(self, setup: TableSetup, person: bool) -> None:
        await self._served.run(self._with_table, setup, person)

    async def _alone(self, bus: BusSettings) -> None:
        folder, page = self._folder, self._page
        sections = {name: getattr(bus, name) for name in bus.__struct_fields__}
        # the table may have a console of its own, and two clients of one id throw each other out
        sections["client_id"] = f"{bus.prefix}-{CONSOLE}-{uuid.uuid4().hex[:8]}"
        config = folder.config(CONSOLE)
        write_toml(config, {"bus": sections, "journal": {"path": str(folder.journal(CONSOLE))}, CONSOLE: page.settings})
        arguments = ["-m", MODULES[CONSOLE], "--tied", "--config", str(config)]
        async with anyio.create_task_group() as tasks:
            child = ChildProcess(CONSOLE, arguments, folder.log(CONSOLE), inherits=(page.descriptor,))
            await tasks.start(child.run, name=CONSOLE)
            self._tell({"event": "console", "broker": bus.broker, "folder": str(folder.path)})
            self._served.ready()
            await self._served.is_told()
            tasks.cancel_scope.cancel()

    async def _with_table(self, setup: TableSetup, person: bool) -> None:
        folder = self._folder
        director = {"autostart": False, "pgn_path": str(folder.pgn), "node_players": []}
        table = RealTable(setup, folder, self._voice.say)
        async with table.serving(COMPONENTS, {"match-director": director}, person=person, page=self._page) as found:
            self._tell(found.as_event(folder))
            self._served.ready()
            await self._served.is_told()
            await park_in_the_end(found.bus)

    def _tell(self, event: dict[str, object]) -> None:
        event |= {"page": self._page.address}
        self._voice.where(event, f"the page: {event['page']}   (broker {event['broker']}, Ctrl-C ends)")


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

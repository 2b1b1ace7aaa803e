"""`edgechess table`: a software table with its components and no director: somebody else publishes the moves.

`edgechess table setup` and `edgechess table refilled` speak to any table, this one or a real one.
"""

from __future__ import annotations

import json
import signal
from typing import Annotated

import anyio
import chess
import typer
from anyio.abc import TaskStatus

from edgechess_cli import refilled_command, setup_command
from edgechess_cli.failures import FAILURES, told
from edgechess_cli.match_folder import MatchFolder
from edgechess_cli.match_options import FAST_SPEED
from edgechess_cli.real_table import TABLE_COMPONENTS, RealTable, ServedTable, TableSetup, park
from edgechess_cli.words import BROKERS, FIRMWARES, one_of
from edgechess_kit.topics import Topics
from edgechess_twin import faults as twin_faults

EXIT_FAILED = 1
EXIT_USAGE = 2

app = typer.Typer(invoke_without_command=True)
app.command("setup")(setup_command.command)
app.command("refilled")(refilled_command.command)


@app.callback()
def command(
    context: typer.Context,
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything that is left to chance.")] = 0,
    faults: Annotated[
        str,
        typer.Option("--faults", help="none, nominal, harsh, or NAME=PROBABILITY,… (edgechess twin --list-faults)."),
    ] = "none",
    speed: Annotated[
        float, typer.Option("--speed", help="Factor on the twin's motion; 1 is true.", min=1.0, max=100.0)
    ] = FAST_SPEED,
    no_robot: Annotated[
        bool, typer.Option("--no-robot", help="A person moves the pieces; the board is checked all the same.")
    ] = False,
    alone: Annotated[
        bool,
        typer.Option(
            "--alone",
            help="Without the seeded person: moves by hand and help after a failure are yours (edgechess twin hand).",
        ),
    ] = False,
    rotated: Annotated[bool, typer.Option("--rotated", help="The board is turned by 180 degrees.")] = False,
    fen: Annotated[str | None, typer.Option("--fen", help="Set up this position.")] = None,
    firmware: Annotated[str, typer.Option("--firmware", help="Of the twin's controllers: 4.5 or 4.6.")] = "4.6",
    broker: Annotated[str, typer.Option("--broker", help="auto, mosquitto or embedded.")] = "auto",
    port: Annotated[
        int | None,
        typer.Option("--port", help="TCP port of the broker on loopback (default: a free one).", min=1, max=65535),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print where everything is as one JSON line.")] = False,
) -> None:
    """Serve a software table until Ctrl-C: broker, board, arms and game manager, waiting for published moves.

    Then `edgechess publish start` and `edgechess publish move`, or any cloud workflow, play on it.

    Exit code: 0 after Ctrl-C, 1 when something cannot be started or kept running, 2 wrong usage.
    """
    if context.invoked_subcommand is not None:
        return
    try:
        setup = TableSetup(
            seed=seed,
            faults=faults,
            motion_speed=speed,
            robot=not no_robot,
            rotated=rotated,
            firmware=one_of("--firmware", firmware, FIRMWARES),
            broker=one_of("--broker", broker, BROKERS),
            broker_port=port,
            start_fen=fen,
        )
        twin_faults.parse(faults)
        if fen is not None:
            chess.Board(fen)
    except ValueError as error:
        typer.echo(f"edgechess table: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    failure: BaseExceptionGroup | None = None
    try:
        anyio.run(_Service(setup, as_json, not alone).run)
    except* FAILURES as failed:
        failure = failed
    if failure is not None:
        typer.echo(f"edgechess table: {told(failure)}", err=True)
        raise typer.Exit(EXIT_FAILED)


class _Service:
    """One served table, from its start to the signal that ends it."""

    def __init__(self, setup: TableSetup, as_json: bool, person: bool) -> None:
        self._setup = setup
        self._as_json = as_json
        self._person = person
        self._serving = False
        self._told = anyio.Event()

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._signals, tasks.cancel_scope, name="signals")
            await self._serve(MatchFolder.create())
            tasks.cancel_scope.cancel()

    async def _signals(
        self, scope: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """The first one ends a table that is served in order; the second one, or one before that, at once."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if self._told.is_set() or not self._serving:
                    scope.cancel()
                    return
                self._told.set()

    async def _serve(self, folder: MatchFolder) -> None:
        async with RealTable(self._setup, folder, self._say).serving(TABLE_COMPONENTS, person=self._person) as table:
            typer.echo(json.dumps(table.as_event(folder)) if self._as_json else table_text(table, folder))
            self._serving = True
            await self._told.wait()
            if not await park(table.bus, Topics()):
                typer.echo("the arms are not parked: look at them", err=True)

    def _say(self, text: str) -> None:
        if not self._as_json:
            typer.echo(text)


def table_text(table: ServedTable, folder: MatchFolder) -> str:
    return "\n".join(
        [
            "the table is served",
            f"  broker       {table.broker}",
            f"  board        {table.devices.board}",
            f"  person       {table.devices.control}",
            f"  journals     {folder.path / 'journal'}",
            "in another terminal:",
            f"  edgechess publish start --broker {table.broker} --session mine",
            f"  edgechess publish move  --broker {table.broker} --session mine e4",
            f"  edgechess table setup   --broker {table.broker}",
            "Ctrl-C parks the arms and ends it.",
        ]
    )

"""`edgechess table`: a software table with its components and no director: somebody else publishes the moves.

`edgechess table setup` and `edgechess table refilled` speak to any table, this one or a real one.
"""

from __future__ import annotations

from typing import Annotated

import chess
import typer

from edgechess_cli import refilled_command, setup_command
from edgechess_cli.match_folder import MatchFolder
from edgechess_cli.match_options import FAST_SPEED
from edgechess_cli.real_table import TABLE_COMPONENTS, RealTable, ServedTable, TableSetup
from edgechess_cli.served import Served, Voice, park_in_the_end, serve
from edgechess_cli.words import BROKERS, FIRMWARES, one_of
from edgechess_twin import faults as twin_faults

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
    serve("table", _serve, setup, Voice(as_json), not alone)


async def _serve(setup: TableSetup, voice: Voice, person: bool) -> None:
    served, folder = Served(), MatchFolder.create()

    async def table() -> None:
        async with RealTable(setup, folder, voice.say).serving(TABLE_COMPONENTS, person=person) as found:
            voice.where(found.as_event(folder), table_text(found, folder))
            served.ready()
            await served.is_told()
            await park_in_the_end(found.bus)

    await served.run(table)


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

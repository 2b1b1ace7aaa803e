"""The `edgechess` command: one subcommand per verb, each in its own module."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from edgechess_cli import (
    board_command,
    doctor,
    journal_command,
    play,
    publish_command,
    simulate,
    table_command,
    twin_command,
)
from edgechess_cli.bench import command as bench_command

EXIT_USAGE = 2

app = typer.Typer(
    name="edgechess",
    help="Chess on a real table: a smart board, robot arms, and a manager that checks every move twice.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("play")(play.command)
app.command("table")(table_command.command)
app.add_typer(twin_command.app, name="twin")
app.add_typer(publish_command.app, name="publish")
app.add_typer(board_command.app, name="board")
app.add_typer(journal_command.app, name="journal")
app.command("doctor")(doctor.command)
app.command("sim")(simulate.command)
app.command("bench")(bench_command.command)


@app.callback(invoke_without_command=True)
def options(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done, on stderr.")] = False,
) -> None:
    """Options of every command."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if show_version:
        typer.echo(f"edgechess {version('edgechess')}")
        raise typer.Exit


def main() -> None:
    """Entry point. A user's mistake ends in one line and exit code 2, never in a traceback."""
    app()


if __name__ == "__main__":
    main()

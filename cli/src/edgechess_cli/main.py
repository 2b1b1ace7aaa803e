"""The `edgechess` command: one subcommand per verb, each in its own module."""

from __future__ import annotations

import importlib
import logging
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
import typer.core
import typer.main

PLAIN: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}

# verb -> module and, in it, the verb's function or its own group of verbs; help lists them in this order
VERBS = {
    "play": ("edgechess_cli.play", "command"),
    "table": ("edgechess_cli.table_command", "app"),
    "twin": ("edgechess_cli.twin_command", "app"),
    "up": ("edgechess_cli.up", "app"),
    "console": ("edgechess_cli.console_command", "app"),
    "recipes": ("edgechess_cli.recipes_command", "app"),
    "build": ("edgechess_cli.build_command", "command"),
    "deploy": ("edgechess_cli.deploy_command", "command"),
    "publish": ("edgechess_cli.publish_command", "app"),
    "arm": ("edgechess_cli.arm_command", "app"),
    "board": ("edgechess_cli.board_command", "app"),
    "journal": ("edgechess_cli.journal_command", "app"),
    "model": ("edgechess_cli.model_command", "app"),
    "adapter": ("edgechess_cli.adapter_node_command", "app"),
    "dataset": ("edgechess_cli.dataset_command", "app"),
    "train": ("edgechess_cli.train_lora_command", "app"),
    "evaluate": ("edgechess_cli.evaluate_app", "app"),
    "node": ("edgechess_cli.node_command", "app"),
    "doctor": ("edgechess_cli.doctor", "command"),
    "sim": ("edgechess_cli.simulate", "command"),
    "trials": ("edgechess_cli.trials", "command"),
    "bench": ("edgechess_cli.bench.command", "command"),
}


class Verbs(typer.core.TyperGroup):
    """Imports a verb's module when the verb is used: all of them together take seconds on a small machine."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        module, name = VERBS[cmd_name]
        verb = getattr(importlib.import_module(module), name)
        only = typer.Typer(**PLAIN)
        if isinstance(verb, typer.Typer):
            only.add_typer(verb, name=cmd_name)
        else:
            only.command(cmd_name)(verb)
        return typer.main.get_group(only).commands[cmd_name]


app = typer.Typer(
    name="edgechess",
    cls=Verbs,
    help="Chess on a real table: a smart board, robot arms, and a manager that checks every move twice.",
    no_args_is_help=True,
    **PLAIN,
)


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

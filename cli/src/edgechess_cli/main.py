"""The `edgechess` command: one subcommand per verb, each in its own module."""

from __future__ import annotations

import functools
import importlib
import logging
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
import typer.core
import typer.main

EXIT_INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT
PLAIN: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}

# verb -> module; in it, the verb's function or its own group of verbs; and its line in the list, which imports nothing
VERBS = {
    "play": ("edgechess_cli.play", "command", "Play a complete match on the software table."),
    "table": ("edgechess_cli.table_command", "app", "Serve a software table until Ctrl-C, for whoever moves."),
    "twin": ("edgechess_cli.twin_command", "app", "The software table alone, behind the real devices' wires."),
    "up": ("edgechess_cli.up", "app", "Run a Greengrass deployment on this machine, without a cloud."),
    "console": ("edgechess_cli.console_command", "app", "Serve the page: see the table, run matches, look back."),
    "recipes": ("edgechess_cli.recipes_command", "app", "Recipes of components: check them, or write them."),
    "build": ("edgechess_cli.build_command", "command", "Build artifacts of components, for this or another machine."),
    "deploy": ("edgechess_cli.deploy_command", "command", "Upload, register and deploy components with Greengrass."),
    "publish": ("edgechess_cli.publish_command", "app", "Publish a game request, to a broker or to AWS IoT Core."),
    "arm": ("edgechess_cli.arm_command", "app", "Arms: how they are, how they would move; stop, calibrate."),
    "board": ("edgechess_cli.board_command", "app", "Look at a smart board."),
    "journal": ("edgechess_cli.journal_command", "app", "Read the journals of a match."),
    "model": ("edgechess_cli.model_command", "app", "Pack, inspect, verify, stream and carry weights."),
    "adapter": ("edgechess_cli.adapter_node_command", "app", "Pack and inspect LoRA adapters; give them to a node."),
    "dataset": ("edgechess_cli.dataset_command", "app", "Make datasets of games: for our network, for text models."),
    "train": ("edgechess_cli.train_lora_command", "app", "Train move models: the policy network, styles, LoRA."),
    "evaluate": ("edgechess_cli.evaluate_app", "app", "How strong is a move model?"),
    "node": ("edgechess_cli.node_command", "app", "The models of an inference node."),
    "doctor": ("edgechess_cli.doctor", "command", "Check this machine for what a table needs."),
    "sim": ("edgechess_cli.simulate", "command", "Simulate whole games under a seed."),
    "trials": ("edgechess_cli.trials", "command", "Try moves of every class, judged by the table itself."),
    "bench": ("edgechess_cli.bench.command", "command", "Measure this machine: the manager, the sensor, the stream."),
}


class Verbs(typer.core.TyperGroup):
    """Imports a verb's module when the verb is used: all of them together take seconds on a small machine."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _command(cmd_name) if cmd_name in VERBS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, _, line) in VERBS.items()])


@functools.cache
def _command(name: str) -> Any:
    module, attribute, _ = VERBS[name]
    verb = getattr(importlib.import_module(module), attribute)
    only = typer.Typer(**PLAIN)
    if isinstance(verb, typer.Typer):
        only.add_typer(verb, name=name)
    else:
        only.command(name)(verb)
    return typer.main.get_group(only).commands[name]


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
    """Entry point. A user's mistake ends in one line and exit code 2, never in a traceback; nor does Ctrl-C while a command
    is still being loaded."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()

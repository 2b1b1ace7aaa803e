"""`edgechess node status|load|swap|rollback|unload`: the models of an inference node, changed while it serves."""

from __future__ import annotations

from typing import Annotated

import typer

from edgechess_cli.node_control import (
    NodeOptions,
    SourceArgument,
    TimeoutOption,
    absolute,
    command,
    control,
    finish,
    model_line,
)
from edgechess_cli.option_group import grouped
from edgechess_kit import messages as m

app = typer.Typer(
    help="The models of an inference node. Exit code: 0 done, 4 refused, 5 failed (what served before serves on), "
    "6 no answer, 2 wrong usage.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(help="The model's name on the node: asked for as model:NAME.")]


@app.command()
@grouped
def status(node: NodeOptions, timeout: TimeoutOption = 10.0) -> None:
    """Say what the node serves, and what is on its way."""
    _done(node, control("status"), timeout)


@app.command()
@grouped
def load(name: NameArgument, source: SourceArgument, node: NodeOptions, timeout: TimeoutOption = 600.0) -> None:
    """Bring a model under a new name."""
    _done(node, control("load", model=name, source=absolute(source)), timeout)


@app.command()
@grouped
def swap(name: NameArgument, source: SourceArgument, node: NodeOptions, timeout: TimeoutOption = 600.0) -> None:
    """Replace a model while it serves: the new weights stream in beside the old, then the switch is between two moves."""
    _done(node, control("swap", model=name, source=absolute(source)), timeout)


@app.command()
@grouped
def rollback(name: NameArgument, node: NodeOptions, timeout: TimeoutOption = 600.0) -> None:
    """Bring back what served before the last swap."""
    _done(node, control("rollback", model=name), timeout)


@app.command()
@grouped
def unload(name: NameArgument, node: NodeOptions, timeout: TimeoutOption = 60.0) -> None:
    """Free a model's memory; the engine answers for it until it is loaded again."""
    _done(node, control("unload", model=name), timeout)


def _done(node: NodeOptions, asked: m.InferenceControl, timeout_s: float) -> None:
    answers = command(node.connection, asked, timeout_s)
    lines = [model_line(state) for state in answers[-1].models] or ["no models; the engine answers"]
    finish(answers, node.as_json, lines)

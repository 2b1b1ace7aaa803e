"""`edgechess adapter add|update|remove|list`: the adapters of an inference node, changed while it serves."""

from __future__ import annotations

from typing import Annotated

import typer

from edgechess_cli.adapter_command import app
from edgechess_cli.node_control import NodeOptions, SourceArgument, TimeoutOption, absolute, command, control, finish
from edgechess_cli.option_group import grouped
from edgechess_kit import messages as m

__all__ = ["app"]

AdapterArgument = Annotated[str, typer.Argument(help="Its name on the node: asked for as model:MODEL@NAME.")]


@app.command()
@grouped
def add(name: AdapterArgument, source: SourceArgument, node: NodeOptions, timeout: TimeoutOption = 60.0) -> None:
    """Register an adapter on the node, under a new name."""
    _done(node, control("adapter-add", adapter=name, source=absolute(source)), timeout, f"{name}: registered")


@app.command()
@grouped
def update(name: AdapterArgument, source: SourceArgument, node: NodeOptions, timeout: TimeoutOption = 60.0) -> None:
    """Give a registered name another content; questions in flight end with the old one."""
    _done(node, control("adapter-update", adapter=name, source=absolute(source)), timeout, f"{name}: updated")


@app.command()
@grouped
def remove(name: AdapterArgument, node: NodeOptions, timeout: TimeoutOption = 60.0) -> None:
    """Forget an adapter; questions in flight end with it."""
    _done(node, control("adapter-remove", adapter=name), timeout, f"{name}: removed")


@app.command("list")
@grouped
def list_adapters(node: NodeOptions, timeout: TimeoutOption = 10.0) -> None:
    """List the node's adapters with what each was used for."""
    answers = command(node.connection, control("list"), timeout)
    states = [state for answer in answers for state in answer.adapters]
    finish(answers, node.as_json, [_line(state) for state in states] or ["no adapters"])


def _done(node: NodeOptions, asked: m.InferenceControl, timeout_s: float, said: str) -> None:
    finish(command(node.connection, asked, timeout_s), node.as_json, [said])


def _line(state: m.AdapterState) -> str:
    used = "not used"
    if state.requests:
        used = f"{state.requests} requests, {state.legal} legal, {state.illegal} not, {state.latency_mean_s:.3f} s each"
    loads = f"; {state.loads} loads, {state.load_max_s:.3f} s at most" if state.loads else ""
    return f"{state.adapter:24} {state.tier:7} {state.weights[:12]}  {used}{loads}  {state.source}"

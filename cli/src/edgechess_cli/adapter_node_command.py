"""`edgechess adapter add|update|remove|list`: the adapters of an inference node, changed while it serves."""

from __future__ import annotations

from typing import Annotated

import typer

from edgechess_cli.adapter_command import app
from edgechess_cli.bus_connection import (
    DEFAULT_BROKER,
    BrokerOption,
    CaOption,
    CertOption,
    Connection,
    GreengrassOption,
    KeyOption,
    PrefixOption,
)
from edgechess_cli.node_control import JsonOption, SourceArgument, TimeoutOption, absolute, command, control, finish
from edgechess_kit import messages as m
from edgechess_kit.topics import PREFIX

__all__ = ["app"]

AdapterArgument = Annotated[str, typer.Argument(help="Its name on the node: asked for as model:MODEL@NAME.")]


@app.command()
def add(
    name: AdapterArgument,
    source: SourceArgument,
    broker: BrokerOption = DEFAULT_BROKER,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    greengrass: GreengrassOption = False,
    timeout: TimeoutOption = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Register an adapter on the node, under a new name."""
    connection = Connection(broker, prefix, ca, cert, key, greengrass=greengrass)
    asked = control("adapter-add", adapter=name, source=absolute(source))
    finish(command(connection, asked, timeout), as_json, [f"{name}: registered"])


@app.command()
def update(
    name: AdapterArgument,
    source: SourceArgument,
    broker: BrokerOption = DEFAULT_BROKER,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    greengrass: GreengrassOption = False,
    timeout: TimeoutOption = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Give a registered name another content; questions in flight end with the old one."""
    connection = Connection(broker, prefix, ca, cert, key, greengrass=greengrass)
    asked = control("adapter-update", adapter=name, source=absolute(source))
    finish(command(connection, asked, timeout), as_json, [f"{name}: updated"])


@app.command()
def remove(
    name: AdapterArgument,
    broker: BrokerOption = DEFAULT_BROKER,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    greengrass: GreengrassOption = False,
    timeout: TimeoutOption = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Forget an adapter; questions in flight end with it."""
    connection = Connection(broker, prefix, ca, cert, key, greengrass=greengrass)
    finish(command(connection, control("adapter-remove", adapter=name), timeout), as_json, [f"{name}: removed"])


@app.command("list")
def list_adapters(
    broker: BrokerOption = DEFAULT_BROKER,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    greengrass: GreengrassOption = False,
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """List the node's adapters with what each was used for."""
    connection = Connection(broker, prefix, ca, cert, key, greengrass=greengrass)
    answers = command(connection, control("list"), timeout)
    states = [state for answer in answers for state in answer.adapters]
    finish(answers, as_json, [_line(state) for state in states] or ["no adapters"])


def _line(state: m.AdapterState) -> str:
    used = f"{state.requests} requests, {state.legal} legal, {state.illegal} not" if state.requests else "not used"
    loads = f"; {state.loads} loads, {state.load_max_s:.3f} s at most" if state.loads else ""
    return f"{state.adapter:24} {state.tier:7} {state.weights[:12]}  {used}{loads}  {state.source}"

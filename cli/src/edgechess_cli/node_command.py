"""`edgechess node status|load|swap|rollback|unload`: the models of an inference node, changed while it serves."""

from __future__ import annotations

from typing import Annotated

import typer

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
from edgechess_cli.node_control import (
    JsonOption,
    SourceArgument,
    TimeoutOption,
    absolute,
    command,
    control,
    finish,
    model_line,
)
from edgechess_kit import messages as m
from edgechess_kit.topics import PREFIX

app = typer.Typer(
    help="The models of an inference node. Exit code: 0 done, 4 refused, 5 failed (what served before serves on), "
    "6 no answer, 2 wrong usage.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(help="The model's name on the node: asked for as model:NAME.")]


@app.command()
def status(
    broker: BrokerOption = DEFAULT_BROKER,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    greengrass: GreengrassOption = False,
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Say what the node serves, and what is on its way."""
    _done(Connection(broker, prefix, ca, cert, key, greengrass=greengrass), control("status"), timeout, as_json)


@app.command()
def load(
    name: NameArgument,
    source: SourceArgument,
    broker: BrokerOption = DEFAULT_BROKER,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    greengrass: GreengrassOption = False,
    timeout: TimeoutOption = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Bring a model under a new name."""
    asked = control("load", model=name, source=absolute(source))
    _done(Connection(broker, prefix, ca, cert, key, greengrass=greengrass), asked, timeout, as_json)


@app.command()
def swap(
    name: NameArgument,
    source: SourceArgument,
    broker: BrokerOption = DEFAULT_BROKER,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    greengrass: GreengrassOption = False,
    timeout: TimeoutOption = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Replace a model while it serves: the new weights stream in beside the old, then the switch is between two moves."""
    asked = control("swap", model=name, source=absolute(source))
    _done(Connection(broker, prefix, ca, cert, key, greengrass=greengrass), asked, timeout, as_json)


@app.command()
def rollback(
    name: NameArgument,
    broker: BrokerOption = DEFAULT_BROKER,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    greengrass: GreengrassOption = False,
    timeout: TimeoutOption = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Bring back what served before the last swap."""
    asked = control("rollback", model=name)
    _done(Connection(broker, prefix, ca, cert, key, greengrass=greengrass), asked, timeout, as_json)


@app.command()
def unload(
    name: NameArgument,
    broker: BrokerOption = DEFAULT_BROKER,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    greengrass: GreengrassOption = False,
    timeout: TimeoutOption = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Free a model's memory; the engine answers for it until it is loaded again."""
    asked = control("unload", model=name)
    _done(Connection(broker, prefix, ca, cert, key, greengrass=greengrass), asked, timeout, as_json)


def _done(connection: Connection, asked: m.InferenceControl, timeout_s: float, as_json: bool) -> None:
    answers = command(connection, asked, timeout_s)
    finish(answers, as_json, [model_line(state) for state in answers[-1].models] or ["no models; the engine answers"])

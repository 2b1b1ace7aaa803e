"""`edgechess table refilled`: a person's word for what lies beside the board."""

from __future__ import annotations

import uuid
from typing import Annotated

import anyio
import typer

from edgechess_cli.arm_bus import ask_arms
from edgechess_cli.bus_connection import (
    DEFAULT_BROKER,
    BrokerOption,
    CaOption,
    CertOption,
    Connection,
    KeyOption,
    NoBroker,
    PrefixOption,
    connect,
)
from edgechess_cli.publish import EXIT_NO_ANSWER, EXIT_OF_STATUS
from edgechess_kit import messages as m
from edgechess_kit.errors import SettingsError, WireError
from edgechess_kit.topics import PREFIX

EXIT_USAGE = 2
TIMEOUT_S = 10.0  # nothing moves for it: the answer is one journal entry away


def command(
    confirmed_by: Annotated[str, typer.Option("--confirmed-by", help="Who emptied the trays and filled the racks.")],
    broker: BrokerOption = DEFAULT_BROKER,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
) -> None:
    """Say that the trays are empty and the racks full: the arms forget what they believed to lie there.

    Arms that have set a table up themselves keep count of what lies beside the board, over matches and restarts. Say this
    whenever a person has cleared or refilled it.

    Exit code: 0 noted, 4 refused (a job is under way), 6 no answer (or no broker), 2 wrong usage.
    """
    who = confirmed_by.strip()
    if not who:
        typer.echo("edgechess table refilled: --confirmed-by NAME says who looked at trays and racks", err=True)
        raise typer.Exit(EXIT_USAGE)
    control = m.ArmControl(command="refilled", request_id=f"cli-{uuid.uuid4().hex}", confirmed_by=who)
    try:
        answer = anyio.run(_say, Connection(broker, prefix, ca, cert, key), control)
    except NoBroker as error:
        typer.echo(f"edgechess table refilled: {error}", err=True)
        raise typer.Exit(EXIT_NO_ANSWER) from None
    except (SettingsError, WireError) as error:
        typer.echo(f"edgechess table refilled: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    if answer is None:
        typer.echo(f"no answer within {TIMEOUT_S:g} s: is an arm controller running there?", err=True)
        raise typer.Exit(EXIT_NO_ANSWER)
    typer.echo(f"{answer.status} {answer.reason or 'noted: empty trays, full racks'}")
    raise typer.Exit(EXIT_OF_STATUS[answer.status])


async def _say(connection: Connection, control: m.ArmControl) -> m.ArmControlResponse | None:
    async with connect(connection) as bus:
        with anyio.move_on_after(TIMEOUT_S):
            return await ask_arms(bus, connection.topics, control)
    return None

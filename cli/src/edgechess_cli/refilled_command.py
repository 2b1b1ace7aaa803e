"""`edgechess table refilled`: a person's word for what lies beside the board."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from edgechess_cli.arm_bus import tell_arms
from edgechess_cli.bus_command import on_bus, refuse
from edgechess_cli.bus_connection import Connection
from edgechess_kit import messages as m

TIMEOUT_S = 10.0  # nothing moves for it: the answer is one journal entry away


@on_bus
def command(
    connection: Connection,
    confirmed_by: Annotated[str, typer.Option("--confirmed-by", help="Who emptied the trays and filled the racks.")],
) -> None:
    """Say that the trays are empty and the racks full: the arms forget what they believed to lie there.

    Arms that have set a table up themselves keep count of what lies beside the board, over matches and restarts. Say this
    whenever a person has cleared or refilled it.

    Exit code: 0 noted, 4 refused (a job is under way), 6 no answer (or no broker), 2 wrong usage.
    """
    who = confirmed_by.strip()
    if not who:
        refuse("table refilled", "--confirmed-by NAME says who looked at trays and racks")
    control = m.ArmControl(command="refilled", request_id=f"cli-{uuid.uuid4().hex}", confirmed_by=who)
    tell_arms("table refilled", connection, control, TIMEOUT_S, "noted: empty trays, full racks")

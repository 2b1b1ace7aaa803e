"""`edgechess arm state | stop | park | recover`: the arms of a running table, over the bus."""

from __future__ import annotations

import sys
import uuid
from typing import Annotated, NoReturn

import anyio
import msgspec
import typer

from edgechess_cli.bus_command import on_bus, refuse, retained, run, unanswered
from edgechess_cli.bus_connection import Connection, connect
from edgechess_cli.publish import EXIT_OF_STATUS, STATE_TIMEOUT_S
from edgechess_kit import messages as m
from edgechess_kit.bus import Bus
from edgechess_kit.errors import KitError, WireError
from edgechess_kit.topics import Topics

STOP_TIMEOUT_S = 20.0  # for the arms to be seen standing; see the controller's STOP_WAIT_S
ACT_TIMEOUT_S = 120.0  # raising and parking two arms slowly, a move under way finished first

ArmOption = Annotated[str | None, typer.Option("--arm", help="Only this one (default: every arm of the table).")]
NameOption = Annotated[
    str | None, typer.Option("--confirmed-by", help="Who looked at the table and says that the arms may move.")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Kept in the journal.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@on_bus
def state(connection: Connection, as_json: JsonOption = False) -> None:
    """Say how every arm of the table is: as measured, not as commanded. Exit code 6: no answer."""
    arms = run("arm state", _state, connection)
    if arms is None:
        unanswered("no arm controller has said anything there: is a table running?")
    typer.echo(msgspec.json.encode(arms).decode() if as_json else state_text(arms))


@on_bus
def stop(connection: Connection, reason: ReasonOption = None) -> None:
    """Stop every arm now; nothing moves until `edgechess arm recover`. Not a safety function: use the red button."""
    control = m.ArmControl(command="stop", request_id=_id(), reason=reason or "edgechess arm stop")
    _control(connection, control, STOP_TIMEOUT_S)


@on_bus
def park(connection: Connection, arm: ArmOption = None) -> None:
    """Bring the arms to their parks, a move under way finished first. Exit code: 0 parked, 4 refused, 5 not, 6 no answer."""
    control = m.ArmControl(command="park", arm=arm, request_id=_id())
    _control(connection, control, ACT_TIMEOUT_S)


@on_bus
def recover(connection: Connection, arm: ArmOption = None, confirmed_by: NameOption = None) -> None:
    """Release arms that were stopped or have failed: they raise, park, and open a hand that still holds something.

    It demands a person's word that the table was looked at and nobody is near. Exit code as of `park`.
    """
    who = (confirmed_by or _asked() or "").strip()
    if not who:
        refuse("arm recover", "somebody must look at the table first: --confirmed-by NAME says who did")
    control = m.ArmControl(command="recover", arm=arm, request_id=_id(), confirmed_by=who)
    _control(connection, control, ACT_TIMEOUT_S)


def state_text(arms: m.ArmState) -> str:
    lines = []
    for arm in arms.arms:
        place = "parked" if arm.parked else " ".join(f"{value:.0f}" for value in arm.tool_mm) + " mm"
        more = "".join(
            f"  {word}"
            for word in (
                f"holds {arm.holding}" if arm.holding else "",
                "no dead man: it would go on if the controller died" if arm.dead_man is False else "",
                arm.alarm or "",
            )
            if word
        )  # fmt: skip
        lines.append(f"{arm.name:8} {arm.kind:8} {arm.mode:9} {place}{more}")
    if arms.stopped:
        lines.append("stopped: nothing moves until `edgechess arm recover --confirmed-by NAME`")
    if arms.job_id is not None:
        lines.append(f"job {arms.job_id}: {arms.step or ''}".rstrip())
    lines.append(f"lease {arms.lease_token}: {arms.lease_holder or 'nobody'}")
    return "\n".join(lines)


def _asked() -> str | None:
    if not sys.stdin.isatty():
        return None
    typer.echo("Is the table looked at, and nobody near the arms? Your name, or Enter to leave it: ", nl=False)
    return sys.stdin.readline()


def _id() -> str:
    return f"cli-{uuid.uuid4().hex}"


def _control(connection: Connection, control: m.ArmControl, timeout_s: float) -> None:
    tell_arms(f"arm {control.command}", connection, control, timeout_s, control.command)


def tell_arms(name: str, connection: Connection, control: m.ArmControl, timeout_s: float, done: str) -> NoReturn:
    """Gives the arms a word and ends the command `edgechess NAME` with what they answer; `done` where they say no more."""
    answer = run(name, _ask, connection, control, timeout_s)
    if answer is None:
        unanswered(f"no answer within {timeout_s:g} s: is an arm controller running there?")
    typer.echo(f"{answer.status} {answer.reason or done}")
    raise typer.Exit(EXIT_OF_STATUS[answer.status])


async def _state(connection: Connection) -> m.ArmState | None:
    async with connect(connection) as bus:
        return await retained(bus, connection.topics.arm_state, STATE_TIMEOUT_S)


async def _ask(connection: Connection, control: m.ArmControl, timeout_s: float) -> m.ArmControlResponse | None:
    async with connect(connection) as bus:
        with anyio.move_on_after(timeout_s):
            return await ask_arms(bus, connection.topics, control)
    return None


async def ask_arms(bus: Bus, topics: Topics, control: m.ArmControl) -> m.ArmControlResponse:
    """Waits for the answer with the control's request id; the deadline is the caller's."""
    async with bus.subscribe(topics.arm_control_response) as answers:
        await bus.publish(topics.arm_control, control)
        async for delivery in answers:
            try:
                answer = delivery.decode(topics.arm_control_response)
            except WireError:
                continue  # not ours to judge
            if answer.request_id == control.request_id:
                return answer
    raise KitError("the bus was closed before the arms had answered")

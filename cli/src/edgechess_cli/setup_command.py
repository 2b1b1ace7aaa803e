"""`edgechess table setup`: the arms bring a table to a position; what they do is told as they do it."""

from __future__ import annotations

import uuid
from typing import Annotated

import anyio
import anyio.abc
import chess
import msgspec
import typer

from edgechess_cli.bus_command import on_bus, refuse, run, unanswered
from edgechess_cli.bus_connection import Connection, connect
from edgechess_cli.publish import EXIT_OF_STATUS, ask, session_state
from edgechess_kit import messages as m
from edgechess_kit.bus import Bus
from edgechess_kit.errors import WireError
from edgechess_kit.topics import Topics
from edgechess_match_director.rules import setup_request

NAME = "table setup"
TIMEOUT_S = 3600.0  # 32 pieces at the slowest an arm moves, and as many looks at the board


@on_bus
def command(
    connection: Connection,
    fen: Annotated[str, typer.Option("--fen", help="Position, or its first field alone.")] = chess.STARTING_FEN,
    abandon: Annotated[bool, typer.Option("--abandon", help="End the game that is being played there.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the end.", min=0.1)] = TIMEOUT_S,
    token: Annotated[
        str | None, typer.Option("--token", help="Task token; the same one again is answered, not done again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print events and the answer as JSON lines.")] = False,
) -> None:
    """Let the arms set the table up, from whatever stands on it, with what lies in trays and racks.

    The board is looked at after every few pieces, so it can be asked again at any time and goes on from there. What the
    arms cannot do is said at the end: which piece a person must put where.

    Exit code: 0 the table is set up, 4 refused, 5 a person is needed, 6 no answer (or no broker), 2 wrong usage.
    """
    try:
        chess.BaseBoard(fen.split(" ", 1)[0])
    except ValueError as error:
        refuse(NAME, f"--fen: {error}")
    state = run(NAME, _state, connection)
    running = state is not None and state.status == "running"
    if state is not None and running and not abandon:
        refuse(NAME, f"session {state.session_id} is being played (ply {state.ply}); --abandon ends it")
    session = state.session_id if state is not None and running and state.session_id else "setup"
    request = setup_request(session, token or f"cli-{uuid.uuid4().hex}", fen)
    response = run(NAME, _set_up, connection, request, timeout, as_json)
    if response is None:
        again = f"To wait on: --token {request.task_token}"
        unanswered(f"no answer within {timeout:g} s. Is a game manager running there? {again}")
    if as_json:
        typer.echo(msgspec.json.encode(response).decode())
    else:
        total = response.detail.timings_s.get("total", 0.0) if response.detail else 0.0
        typer.echo(f"{response.status} {response.reason or 'the table is set up'} ({total:.1f} s)")
    raise typer.Exit(EXIT_OF_STATUS[response.status])


async def _set_up(
    connection: Connection, request: m.GameRequest, timeout_s: float, as_json: bool
) -> m.GameResponse | None:
    async with connect(connection) as bus, anyio.create_task_group() as tasks:
        await tasks.start(_tell, bus, connection.topics, request.session_id, as_json, name="setup progress")
        response = await ask(bus, connection.topics, request, timeout_s)
        tasks.cancel_scope.cancel()
    return response


async def _tell(
    bus: Bus, topics: Topics, session_id: str, as_json: bool, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    async with bus.subscribe(topics.events) as events:
        task_status.started()
        async for delivery in events:
            try:
                event = delivery.decode(topics.events)
            except WireError:
                continue  # not ours to judge
            line = progress_line(event) if event.session_id == session_id else None
            if line is not None:
                typer.echo(msgspec.json.encode(event).decode() if as_json else line)


def progress_line(event: m.EdgeEvent) -> str | None:
    """`  3  12 squares are not right yet` when a job is ordered; when an arm takes it up `     black: a7 a8, tray-black-0 b8`.

    None: nothing that concerns a setup.
    """
    data = event.data
    match event.component, event.kind:
        case "game-manager", "setup-ordered":
            left = data.get("left", 0)
            words = f"{left} squares are not right yet" if left else "spare pieces may go home to the racks"
            return f"{data.get('progress', {}).get('jobs', 0):3}  {words}"
        case "arm-controller", "job-accepted" if data.get("kind") == "setup":
            ways = (f"{carry['from_place']} {carry['to_place']}" for carry in data.get("carries", ()))
            return f"     {data.get('arm', '?')}: {', '.join(ways)}"
    return None


async def _state(connection: Connection) -> m.SessionState | None:
    async with connect(connection) as bus:
        return await session_state(bus, connection.topics)

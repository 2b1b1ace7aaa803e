"""`edgechess publish start|move`: one game request to the manager, and its answer."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, NoReturn, TypeVar, get_args

import anyio
import chess
import msgspec
import typer

from edgechess_cli.bus_connection import (
    DEFAULT_BROKER,
    AlpnOption,
    BrokerOption,
    CaOption,
    CertOption,
    Connection,
    EndpointOption,
    GreengrassOption,
    KeyOption,
    NoBroker,
    PortOption,
    PrefixOption,
    connect,
)
from edgechess_cli.publish import (
    EXIT_NO_ANSWER,
    EXIT_OF_STATUS,
    MoveTextError,
    ask,
    checked_move,
    checked_start,
    session_state,
)
from edgechess_kit import messages as m
from edgechess_kit.errors import SettingsError, WireError
from edgechess_kit.mqtt_adapter import PORT_TLS
from edgechess_kit.topics import PREFIX

T = TypeVar("T")

app = typer.Typer(
    help="Publish a game request (to a local broker, to AWS IoT Core, or through a nucleus) and wait for the answer. "
    "Exit code: 0 on 200, 4 on 400, 5 on 500, 6 on no answer (or no broker), 2 on wrong usage.",
    no_args_is_help=True,
)

SessionOption = Annotated[str, typer.Option("--session", help="Session id of the game.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds to wait for the answer.", min=0.1)]
TokenOption = Annotated[
    str | None, typer.Option("--token", help="Task token; the same one again is answered, not done again.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON line.")]
FenOption = Annotated[
    str | None, typer.Option("--fen", help="Position (default: start position; for a move: the confirmed one).")
]


@app.command()
def start(
    session: SessionOption,
    broker: BrokerOption = DEFAULT_BROKER,
    fen: FenOption = None,
    timeout: TimeoutOption = 60.0,
    token: TokenOption = None,
    as_json: JsonOption = False,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    endpoint: EndpointOption = None,
    port: PortOption = PORT_TLS,
    alpn: AlpnOption = "",
    greengrass: GreengrassOption = False,
) -> None:
    """Start a game: the manager checks that the board shows the position."""
    request = _usage(lambda: checked_start(session, fen or chess.STARTING_FEN, token or _new_token()))
    _publish(request, timeout, as_json, Connection(broker, prefix, ca, cert, key, endpoint, port, alpn, greengrass))


@app.command()
def move(
    move: Annotated[
        str, typer.Argument(help="The move, in SAN (Nf3) or long algebraic (g1f3, e7e8q).", metavar="MOVE")
    ],
    session: SessionOption,
    broker: BrokerOption = DEFAULT_BROKER,
    fen: FenOption = None,
    timeout: TimeoutOption = 300.0,
    token: TokenOption = None,
    executor: Annotated[
        str | None, typer.Option("--executor", help='"arm" or "person" (default: as the manager is set).')
    ] = None,
    as_json: JsonOption = False,
    prefix: PrefixOption = PREFIX,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    endpoint: EndpointOption = None,
    port: PortOption = PORT_TLS,
    alpn: AlpnOption = "",
    greengrass: GreengrassOption = False,
) -> None:
    """Request a move: validated on the board, executed, validated again, and only then answered with 200."""
    chosen = next((word for word in get_args(m.Executor) if word == executor), None)
    if chosen != executor:
        _fail(f"--executor is {executor!r}: expected arm or person")
    connection = Connection(broker, prefix, ca, cert, key, endpoint, port, alpn, greengrass)
    if fen is None and connection.of_the_cloud:
        _fail(
            "--fen is missing: what the table shows is not to be seen from the cloud, so say the position before the move"
        )
    state = _run(_state, connection) if fen is None else None
    if fen is None and state is None:
        typer.echo(
            f"edgechess publish: no game manager has said anything at {connection.where}: is one running?", err=True
        )
        raise typer.Exit(EXIT_NO_ANSWER)
    request = _usage(lambda: checked_move(state, fen, move, session, token or _new_token(), chosen))
    _publish(request, timeout, as_json, connection)


def _new_token() -> str:
    return f"cli-{uuid.uuid4().hex}"


def _usage(make: Callable[[], T]) -> T:
    try:
        return make()
    except (MoveTextError, msgspec.ValidationError, ValueError) as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    typer.echo(f"edgechess publish: {text}", err=True)
    raise typer.Exit(2)


def _publish(request: m.GameRequest, timeout_s: float, as_json: bool, connection: Connection) -> None:
    response = _run(_ask, request, timeout_s, connection)
    if response is None:
        again = f"To ask again without doing it again: --token {request.task_token}"
        typer.echo(f"no answer within {timeout_s:g} s. Is a game manager running there? {again}", err=True)
        raise typer.Exit(EXIT_NO_ANSWER)
    if as_json:
        typer.echo(msgspec.json.encode(response).decode())
    else:
        detail = response.detail
        timings = ", ".join(f"{name} {s:.2f} s" for name, s in detail.timings_s.items()) if detail else ""
        well = "started" if request.action == "start" else "confirmed"
        typer.echo(f"{response.status} {response.reason or well}{f' ({timings})' if timings else ''}")
    raise typer.Exit(EXIT_OF_STATUS[response.status])


def _run(function: Callable[..., Awaitable[T]], *arguments: object) -> T:
    try:
        return anyio.run(function, *arguments)
    except NoBroker as error:
        typer.echo(f"edgechess publish: {error}", err=True)
        raise typer.Exit(EXIT_NO_ANSWER) from None
    except (SettingsError, WireError) as error:
        _fail(str(error))


async def _ask(request: m.GameRequest, timeout_s: float, connection: Connection) -> m.GameResponse | None:
    async with connect(connection) as bus:
        return await ask(bus, connection.topics, request, timeout_s)


async def _state(connection: Connection) -> m.SessionState | None:
    async with connect(connection) as bus:
        return await session_state(bus, connection.topics)

"""`edgechess publish start|move`: one game request to the manager, and its answer."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NoReturn, TypeVar

import anyio
import chess
import msgspec
import typer

from edgechess_cli.bus_connection import (
    DEFAULT_BROKER,
    BrokerOption,
    CaOption,
    CertOption,
    KeyOption,
    NoBroker,
    PrefixOption,
    connect,
)
from edgechess_cli.publish import (
    EXIT_NO_ANSWER,
    EXIT_OF_STATUS,
    MoveTextError,
    ask,
    confirmed_position,
    move_request,
    parse_move,
    start_request,
)
from edgechess_kit import messages as m
from edgechess_kit.errors import SettingsError, WireError
from edgechess_kit.topics import PREFIX, Topics

T = TypeVar("T")

app = typer.Typer(
    help="Publish a game request over MQTT and wait for the answer. "
    "Exit code: 0 on 200, 4 on 400, 5 on 500, 6 on no answer, 2 on wrong usage.",
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
) -> None:
    """Start a game: the manager checks that the board shows the position."""
    request = _usage(lambda: start_request(session, fen or chess.STARTING_FEN, token or _new_token()))
    _publish(request, timeout, as_json, broker=broker, prefix=prefix, ca=ca, cert=cert, key=key)


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
) -> None:
    """Request a move: validated on the board, executed, validated again, and only then answered with 200."""
    if executor not in (None, "arm", "person"):
        _fail(f"--executor is {executor!r}: expected arm or person")
    connection: dict[str, Any] = {"broker": broker, "prefix": prefix, "ca": ca, "cert": cert, "key": key}
    position = fen
    if position is None:
        position = _run(_confirmed, session, connection)
        if position is None:
            _fail(f"no confirmed position of session {session!r} at {broker}: start it first, or give --fen")
    request = _usage(lambda: _move_request(position, move, session, token or _new_token(), executor))
    _publish(request, timeout, as_json, **connection)


def _move_request(fen: str, text: str, session: str, token: str, executor: str | None) -> m.GameRequest:
    try:
        board = chess.Board(fen)
    except ValueError as error:
        raise MoveTextError(f"--fen: {error}") from error
    request = move_request(board, parse_move(board, text), session, token)
    return msgspec.structs.replace(request, executor=executor) if executor else request


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


def _publish(request: m.GameRequest, timeout_s: float, as_json: bool, **connection: Any) -> None:
    response = _run(_ask, request, timeout_s, connection)
    if response is None:
        typer.echo(f"no answer within {timeout_s:g} s. Is a game manager running on this broker?", err=True)
        raise typer.Exit(EXIT_NO_ANSWER)
    if as_json:
        typer.echo(msgspec.json.encode(response).decode())
    else:
        detail = response.detail
        timings = ", ".join(f"{name} {s:.2f} s" for name, s in detail.timings_s.items()) if detail else ""
        typer.echo(f"{response.status} {response.reason or 'confirmed'}{f' ({timings})' if timings else ''}")
    raise typer.Exit(EXIT_OF_STATUS[response.status])


def _run(function: Callable[..., Awaitable[T]], *arguments: object) -> T:
    try:
        return anyio.run(function, *arguments)
    except (NoBroker, SettingsError, WireError) as error:
        _fail(str(error))


async def _ask(request: m.GameRequest, timeout_s: float, connection: dict[str, Any]) -> m.GameResponse | None:
    async with connect(**connection) as bus:
        return await ask(bus, Topics(connection["prefix"]), request, timeout_s)


async def _confirmed(session: str, connection: dict[str, Any]) -> str | None:
    async with connect(**connection) as bus:
        return await confirmed_position(bus, Topics(connection["prefix"]), session)

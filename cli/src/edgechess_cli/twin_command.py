"""`edgechess twin`: the software table alone, and `edgechess twin hand …`: the person at it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import anyio
import chess
import typer
import typer.core

from edgechess_board.placement import Placement, square_index
from edgechess_cli.words import arm_kinds
from edgechess_kit.guardian import until_orphaned, until_signal
from edgechess_robots.layout import standard_layout
from edgechess_twin import faults as twin_faults
from edgechess_twin.control import ControlClient, find_running
from edgechess_twin.errors import HandError, TwinError
from edgechess_twin.left_table import read_left_table
from edgechess_twin.ro1_routes import RELEASES, Release
from edgechess_twin.serve import Address, Devices, serve
from edgechess_twin.table import Table, TableOptions

app = typer.Typer(
    help="The software table: a board on a serial device, two arm controllers on TCP, and a person.",
    invoke_without_command=True,
    no_args_is_help=False,
)


class HandVerbs(typer.core.TyperGroup):
    """`hand e2e4` is short for `hand move e2e4`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, ["move", *args] if re.fullmatch(MOVE, args[0]) else args)


hand_app = typer.Typer(
    cls=HandVerbs,
    help="Be the person at the running software table: `edgechess twin hand e2e4` makes a move.",
    no_args_is_help=True,
)
app.add_typer(hand_app, name="hand")

MOVE = "[a-h][1-8][a-h][1-8][qrbn]?"

SocketOption = Annotated[
    Path | None, typer.Option("--control", help="Control socket (default: the one twin that runs).")
]


def loopback_addresses_work() -> bool:
    """Whether 127.x.y.z beside 127.0.0.1 can be bound (Linux yes, macOS only after an alias)."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.77.0.2", 0))
        except OSError:
            return False
    return True


@app.callback()
def run(
    context: typer.Context,
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything that is left to chance.")] = 0,
    faults: Annotated[str, typer.Option("--faults", help="none, nominal, harsh, or NAME=PROBABILITY,…")] = "none",
    speed: Annotated[float, typer.Option("--speed", help="Factor on motion; wires keep true timing.", min=0.1)] = 1.0,
    rotated: Annotated[bool, typer.Option("--rotated", help="The board is turned by 180 degrees.")] = False,
    fen: Annotated[
        str | None, typer.Option("--fen", help="Placement at the start (default: the start position).")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", help="Pieces as an earlier table was left (table.json of a match), trays included."),
    ] = None,
    arms: Annotated[
        str, typer.Option("--arms", help="White's arm and Black's, each dobot or ro1; one word for both.")
    ] = "dobot",
    firmware: Annotated[str, typer.Option("--firmware", help="Of Dobot controllers: 4.5 or 4.6.")] = "4.6",
    ro1_release: Annotated[
        str, typer.Option("--ro1-release", help=f"As which software an RO1 answers: {', '.join(RELEASES)}.")
    ] = RELEASES[-1],
    tied: Annotated[bool, typer.Option("--tied", help="End when standard input closes.", hidden=True)] = False,
    list_faults: Annotated[
        bool, typer.Option("--list-faults", help="Print every fault and its unit, and exit.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print where the devices are as one JSON line.")] = False,
) -> None:
    """Run the software table until Ctrl-C and print where its devices are."""
    if context.invoked_subcommand is not None:
        return
    if list_faults:
        for fault in twin_faults.FAULTS:
            typer.echo(f"{fault.name:24} {fault.unit:34} {fault.description}")
        return
    try:
        options = TableOptions(
            seed=seed,
            faults=twin_faults.parse(faults),
            speed=speed,
            rotated=rotated,
            kinds=arm_kinds(arms),
            firmware=_firmware(firmware),
            ro1_release=_release(ro1_release),
            placement=Placement.from_fen(fen or chess.STARTING_BOARD_FEN),
            left=read_left_table(table) if table is not None else None,
        )
    except ValueError as error:
        _fail(str(error))
    except TwinError as error:
        _fail(f"--table {error}")
    try:
        anyio.run(_serve, options, as_json, tied)
    except (OSError, TwinError) as error:
        _fail(str(error), 1)


def _firmware(text: str) -> Literal["4.5", "4.6"]:
    if text == "4.5":
        return "4.5"
    if text == "4.6":
        return "4.6"
    raise ValueError(f"--firmware is {text!r}: expected 4.5 or 4.6")


def _release(text: str) -> Release:
    for release in RELEASES:
        if release == text:
            return release
    raise ValueError(f"--ro1-release is {text!r}: expected one of {', '.join(RELEASES)}")


async def _serve(options: TableOptions, as_json: bool, tied: bool) -> None:
    table = Table(options)
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run, name="table")
        async with serve(table) as devices, anyio.create_task_group() as waiting:
            print(json.dumps(devices_event(devices)) if as_json else devices_text(devices), flush=True)
            waiting.start_soon(until_signal, waiting.cancel_scope)
            if tied:
                waiting.start_soon(until_orphaned, waiting.cancel_scope)
        tasks.cancel_scope.cancel()


def devices_event(devices: Devices) -> dict[str, object]:
    return {
        "event": "ready",
        "board": devices.board_path,
        "arms": {name: _address_event(address) for name, address in devices.arm_addresses.items()},
        "control": str(devices.control_path),
    }


def _address_event(address: Address) -> dict[str, object]:
    told: dict[str, object] = {
        "kind": address.kind,
        "host": address.host,
        "ports": {str(port): real for port, real in address.ports.items()},
    }
    if address.url is not None:
        told |= {"url": address.url, "token": address.token}
    return told


def devices_text(devices: Devices) -> str:
    lines = ["the software table is up", f"  board        {devices.board_path}  (DGT protocol, 9600 baud)"]
    for name, address in devices.arm_addresses.items():
        if address.url is not None:
            lines.append(
                f"  {name + ' arm':12} {address.url}  token {address.token}  (Standard Bots RO1, robot-kind: simulated)"
            )
            continue
        ports = ", ".join(str(port) for port in address.ports.values())
        lines.append(f"  {name + ' arm':12} {address.host}  ports {ports}  (Dobot TCP/IP V4)")
    lines += [f"  person       {devices.control_path}  (edgechess twin hand e2e4)", "Ctrl-C ends it."]
    return "\n".join(lines)


@hand_app.command("move")
def hand_move(
    move: Annotated[str, typer.Argument(help="A move such as e2e4 or e7e8q.", metavar="MOVE")],
    fen: Annotated[
        str | None, typer.Option("--fen", help="Position before it (default: the pieces as they stand).")
    ] = None,
    control: SocketOption = None,
) -> None:
    """Make a move by hand (captures, castling, en passant and promotion included)."""
    _act(control, lambda client: _play(client, move, fen))


async def _play(client: ControlClient, move: str, fen: str | None) -> None:
    position = fen or f"{(await client.placement()).fen} w KQkq - 0 1"
    board = chess.Board(position)
    try:
        parsed = chess.Move.from_uci(move)
    except ValueError as error:
        raise HandError(f"{move!r} is not a move such as e2e4: {error}") from error
    piece = board.piece_at(parsed.from_square)
    if piece is None:
        raise HandError(f"{move!r}: nothing stands on {move[:2]}")
    if fen is None:
        board.turn = piece.color
        position = board.fen()
    await client.play(move, position)


@hand_app.command()
def lift(square: str, control: SocketOption = None) -> None:
    """Lift the piece on SQUARE and keep it in the hand."""
    _act(control, lambda client: client.lift(_square(square)))


@hand_app.command()
def place(square: str, control: SocketOption = None) -> None:
    """Put the piece in the hand on SQUARE."""
    _act(control, lambda client: client.place(_square(square)))


@hand_app.command()
def slide(origin: str, target: str, control: SocketOption = None) -> None:
    """Slide the piece on ORIGIN over the board to TARGET."""
    _act(control, lambda client: client.slide(_square(origin), _square(target)))


@hand_app.command()
def knock(square: str, control: SocketOption = None) -> None:
    """Knock over the piece on SQUARE."""
    _act(control, lambda client: client.knock(_square(square)))


@hand_app.command()
def arrange(fen: str, control: SocketOption = None) -> None:
    """Put right whatever does not stand as FEN says."""
    _act(control, lambda client: client.arrange(_placement(fen)))


@hand_app.command()
def take(arm: str, control: SocketOption = None) -> None:
    """Take the piece that ARM (white, black) holds."""
    _act(control, lambda client: client.take_from(arm))


@hand_app.command()
def guide(arm: str, square: str, control: SocketOption = None) -> None:
    """Guide the fingertips of ARM (white, black) to the centre of SQUARE, as `edgechess arm calibrate --twin` asks for."""

    async def act(client: ControlClient) -> None:
        centre = standard_layout().square(_square(square))
        await client.guide(arm, (centre.x_mm, centre.y_mm, 0.0))

    _act(control, act)


@hand_app.command()
def estop(arm: str, control: SocketOption = None) -> None:
    """Hit the red button of ARM (white, black)."""
    _act(control, lambda client: client.press_estop(arm))


@hand_app.command()
def release(arm: str, control: SocketOption = None) -> None:
    """Turn the red button of ARM free again; the arms stay off until somebody recovers them."""
    _act(control, lambda client: client.release_estop(arm))


def _square(name: str) -> str:
    square_index(name)
    return name


def _placement(fen: str) -> str:
    return Placement.from_fen(fen).fen


def _act(control: Path | None, act: Callable[[ControlClient], Awaitable[object]]) -> None:
    async def main() -> None:
        async with ControlClient(str(control) if control else find_running()) as client:
            await act(client)

    try:
        anyio.run(main)
    except (TwinError, ValueError) as error:
        _fail(str(error))


def _fail(text: str, code: int = 2) -> NoReturn:
    typer.echo(f"edgechess twin: {text}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":  # as `edgechess play` starts it: without what the other verbs import
    app()

"""`edgechess board watch`: what a smart board feels, straight from its serial port."""

from __future__ import annotations

import json
from typing import Annotated, get_args

import anyio
import typer

from edgechess_board.driver import DgtBoard, Orientation
from edgechess_board.errors import BoardError
from edgechess_board.placement import Placement
from edgechess_board.serial_adapter import SerialPorts
from edgechess_board.smart_board import BoardEvent, Connected, Lost, Reading

app = typer.Typer(help="Look at a smart board.", no_args_is_help=True)


@app.command()
def watch(
    port: Annotated[
        str | None, typer.Option("--port", help="Serial device (default: the first that answers as a board).")
    ] = None,
    orientation: Annotated[str, typer.Option("--orientation", help="auto, normal or rotated.")] = "auto",
    once: Annotated[bool, typer.Option("--once", help="Print one settled placement and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Print every change of the board until Ctrl-C. Needs the port for itself: not while a match uses it."""
    chosen = next((word for word in get_args(Orientation) if word == orientation), None)
    if chosen is None:
        typer.echo(f"edgechess board: --orientation is {orientation!r}: expected auto, normal or rotated", err=True)
        raise typer.Exit(2)
    try:
        anyio.run(_watch, port, chosen, once, as_json)
    except BoardError as error:
        typer.echo(f"edgechess board: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def _watch(port: str | None, orientation: Orientation, once: bool, as_json: bool) -> None:
    board = DgtBoard(SerialPorts(port or "auto").open, orientation=orientation)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(board.run, name="board")
        async for event in board.events():
            typer.echo(json.dumps(_as_json(event)) if as_json else _as_text(event))
            if once and isinstance(event, Reading) and event.settled:
                break
        tasks.cancel_scope.cancel()


def _as_json(event: BoardEvent) -> dict[str, object]:
    match event:
        case Connected():
            return {"event": "connected", "serial": event.serial_number, "version": event.version, "port": event.port}
        case Lost():
            return {"event": "lost", "reason": event.reason}
        case Reading():
            return {"event": "settled" if event.settled else "provisional", "placement": event.placement.fen}


def _as_text(event: BoardEvent) -> str:
    match event:
        case Connected():
            return f"connected: board {event.serial_number}, version {event.version}, on {event.port}"
        case Lost():
            return f"lost: {event.reason}"
        case Reading():
            if not event.settled:
                return f"… {event.placement.fen}"
            return f"{picture(event.placement)}\n{event.placement.fen}"


def picture(placement: Placement) -> str:
    """Eight lines of text, White below."""
    ranks = [" ".join(placement[8 * rank + file] or "." for file in range(8)) for rank in range(8)]
    return "\n".join([*(f"{rank + 1} {ranks[rank]}" for rank in reversed(range(8))), "  a b c d e f g h"])

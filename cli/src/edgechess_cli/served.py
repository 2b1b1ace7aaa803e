"""What is served until Ctrl-C, and how a command ends that could not serve it."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import typer
from anyio.abc import TaskStatus

from edgechess_cli.failures import FAILURES, told
from edgechess_cli.real_table import park
from edgechess_kit.bus import Bus
from edgechess_kit.topics import Topics

EXIT_FAILED = 1


class Served:
    """One thing that is served, from its start to the signal that ends it.

    The first SIGINT or SIGTERM ends what is `ready` in order. The second one ends it at once, and so does one that comes
    before it was ready: there is nothing to be put in order yet.
    """

    def __init__(self) -> None:
        self._ready = False
        self._told = anyio.Event()

    async def run(self, serve: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """`serve` to its end: it says `ready`, and ends when it `is_told`. Raises what it raises."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._signals, tasks.cancel_scope, name="signals")
            await serve(*arguments)
            tasks.cancel_scope.cancel()

    def ready(self) -> None:
        self._ready = True

    def end(self) -> None:
        """As the first signal does."""
        self._told.set()

    async def is_told(self) -> None:
        await self._told.wait()

    async def _signals(
        self, scope: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if self._told.is_set() or not self._ready:
                    scope.cancel()
                    return
                self._told.set()


class Voice:
    """What a served thing says: lines for a person, or one JSON line that says where everything is."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def say(self, text: str) -> None:
        """Prose has no place among JSON lines."""
        if not self._as_json:
            typer.echo(text)

    def where(self, event: Mapping[str, object], text: str) -> None:
        typer.echo(json.dumps(event) if self._as_json else text)


async def park_in_the_end(bus: Bus) -> None:
    """The move under way is finished, then the arms park, while everything they need is there."""
    if not await park(bus, Topics()):
        typer.echo("the arms are not parked: look at them", err=True)


def serve(name: str, function: Callable[..., Awaitable[Any]], *arguments: object) -> None:
    """Runs it to its end; what cannot be started or kept running ends the command `edgechess NAME` with one line, code 1."""
    failure: BaseExceptionGroup | None = None
    try:
        anyio.run(function, *arguments)
    except* FAILURES as failed:
        failure = failed
    if failure is not None:
        typer.echo(f"edgechess {name}: {told(failure)}", err=True)
        raise typer.Exit(EXIT_FAILED)

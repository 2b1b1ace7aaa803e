"""A command that speaks to a running table: where its bus is, as options; and one line and an exit code when it fails."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar, get_type_hints

import anyio
import typer

from edgechess_cli.bus_connection import (
    DEFAULT_BROKER,
    BrokerOption,
    CaOption,
    CertOption,
    Connection,
    KeyOption,
    NoBroker,
    PrefixOption,
)
from edgechess_cli.publish import EXIT_NO_ANSWER
from edgechess_kit.bus import Bus
from edgechess_kit.errors import SettingsError, WireError
from edgechess_kit.messages import Message
from edgechess_kit.topics import PREFIX, Topic

T = TypeVar("T")
M = TypeVar("M", bound=Message)
EXIT_USAGE = 2

_OPTIONS: dict[str, tuple[Any, Any]] = {
    "broker": (BrokerOption, DEFAULT_BROKER),
    "prefix": (PrefixOption, PREFIX),
    "ca": (CaOption, None),
    "cert": (CertOption, None),
    "key": (KeyOption, None),
}


def on_bus(command: Callable[..., None]) -> Callable[..., None]:
    """The parameter `connection` of a command becomes the options that say where the bus is."""

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        where = {name: given.pop(name) for name in _OPTIONS}
        command(connection=Connection(**where), **given)

    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "connection"
    ]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _OPTIONS.items()
    ]
    parameters = [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *more]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def run(name: str, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """To its end; what can fail ends the command, which is told as `edgechess NAME`."""
    try:
        return anyio.run(function, *arguments)
    except NoBroker as error:
        typer.echo(f"edgechess {name}: {error}", err=True)
        raise typer.Exit(EXIT_NO_ANSWER) from None
    except (SettingsError, WireError) as error:
        refuse(name, str(error))


def refuse(name: str, text: str) -> NoReturn:
    """Wrong usage."""
    typer.echo(f"edgechess {name}: {text}", err=True)
    raise typer.Exit(EXIT_USAGE)


def unanswered(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(EXIT_NO_ANSWER)


async def retained(bus: Bus, topic: Topic[M], timeout_s: float) -> M | None:
    """The first message on a topic that keeps its last; None when nobody has ever said anything there."""
    with anyio.move_on_after(timeout_s):
        async with bus.subscribe(topic) as messages:
            async for delivery in messages:
                return delivery.decode(topic)
    return None

"""What an operation's handler is given and gives: one call, on one stream of one client."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from edgechess_nucleus.ipc_protocol import Template

EMPTY = b"{}"


class Call(Protocol):
    """One stream."""

    @property
    def component(self) -> str:
        """Whose it is."""

    def emit(self, template: Template, payload: bytes) -> None:
        """An event, after the response; before it and after the end it goes nowhere."""

    def at_end(self, clean_up: Callable[[], None]) -> None:
        """Called once, when the stream or its connection is over."""


Handle = Callable[[Call, Any], bytes | Awaitable[bytes]]
"""Gives the response's payload; an awaitable where something must be waited for, which holds nothing else up.
Raises Refused, and nothing else."""


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One row of the server's table."""

    name: str
    request: type[msgspec.Struct]
    handle: Handle
    streaming: bool = False
    """Events follow the response."""


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """Root of the requests' shapes. Members that we do not know are passed over, as the shapes of new clients grow."""

"""What a component is given, and the shape of its main function.

Every component package has `component.py` with `async def run(context: Context[ItsSettings], ...ports) -> None`,
which works under asyncio and trio, and `__main__.py`, which builds the real ports and calls it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from edgechess_kit.bus import Bus
from edgechess_kit.clock import Clock, Ids
from edgechess_kit.host import Host, NoHost
from edgechess_kit.outbox import Outbox
from edgechess_kit.topics import Topics

if TYPE_CHECKING:
    from edgechess_kit.journal import Journal

S = TypeVar("S")


@dataclasses.dataclass(frozen=True, slots=True)
class Context(Generic[S]):
    """The ports of one component process. `name` is the component's short name, e.g. "game-manager"."""

    name: str
    settings: S
    bus: Bus
    topics: Topics
    journal: Journal
    clock: Clock
    ids: Ids
    outbox: Outbox = dataclasses.field(default_factory=Outbox)
    """Events waiting for the bus; see `edgechess_kit.events`."""
    host: Host = dataclasses.field(default_factory=NoHost)
    """Who runs the process, where somebody does."""
    hurried: anyio.Event = dataclasses.field(default_factory=anyio.Event)
    """Set by a second signal: whoever is on the way to an orderly end, ends at once."""

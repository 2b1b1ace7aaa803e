"""Whether the components of a deployment serve: a process that is there is not yet a component that answers."""

from __future__ import annotations

import math
import re

import anyio

from edgechess_kit.messages import EdgeStatus
from edgechess_nucleus.component import ComponentStatus

REPORTED_S = 5.0  # a component that reported RUNNING is ready, unless its health, two heartbeats later, says otherwise
READY_ANYWAY_S = 30.0  # one that says nothing at all is taken for ready after this long without an error


class Readiness:
    """Which components serve: by their own health where they say it, otherwise by what the runtime sees of them."""

    def __init__(self) -> None:
        self._health: dict[str, str] = {}
        self._seen: dict[str, ComponentStatus] = {}
        self._news = anyio.Event()

    def hear(self, status: EdgeStatus) -> None:
        self._health[status.component] = status.status
        self._tell()

    def see(self, status: ComponentStatus) -> None:
        self._seen[status.name] = status
        self._tell()

    def serves(self, short: str) -> bool:
        """By its own word."""
        return self._health.get(short) == "ready"

    async def all_serve(self) -> None:
        while True:
            rest_s = max(map(self._rest_s, self._seen.values()), default=0.0)
            if rest_s <= 0.0:
                return
            news = self._news
            with anyio.move_on_after(rest_s):
                await news.wait()

    def _rest_s(self, seen: ComponentStatus) -> float:
        """Until it is taken for ready if nothing else is heard."""
        if seen.state in ("FINISHED", "STOPPED"):
            return 0.0
        if seen.state != "RUNNING":
            return math.inf
        said = self._health.get(short_name(seen.name))
        if said is not None:
            return 0.0 if said == "ready" else math.inf
        return seen.since_s + (REPORTED_S if seen.reported else READY_ANYWAY_S) - anyio.current_time()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()


def short_name(component: str) -> str:
    """io.edgechess.GameManager is game-manager on the bus, whatever the prefix."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", component.rpartition(".")[2]).lower()

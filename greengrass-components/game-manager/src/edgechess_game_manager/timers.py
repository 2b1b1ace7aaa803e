"""The machine's timers: one per name, the newest counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

from edgechess_game_manager.events import TimerName


@dataclasses.dataclass(frozen=True, slots=True)
class Fired:
    """A timer that ran out. Between that and its turn in the queue it may have been replaced: ask `Timers.due`."""

    name: TimerName
    number: int


class Timers:
    """`fire` is called in the timer's own task when it has run out."""

    def __init__(self, group: anyio.abc.TaskGroup, fire: Callable[[Fired], Awaitable[None]]) -> None:
        self._group = group
        self._fire = fire
        self._running: dict[TimerName, tuple[int, anyio.CancelScope]] = {}
        self._number = 0

    def start(self, name: TimerName, after_s: float) -> None:
        self.cancel(name)
        self._number += 1
        scope = anyio.CancelScope()
        self._running[name] = (self._number, scope)
        self._group.start_soon(self._run, Fired(name, self._number), scope, after_s, name=f"timer {name}")

    def cancel(self, name: TimerName) -> None:
        if name in self._running:
            _, scope = self._running.pop(name)
            scope.cancel()

    def cancel_all(self) -> None:
        for name in list(self._running):
            self.cancel(name)

    def due(self, fired: Fired) -> bool:
        """Whether this timer still counts. True once."""
        if self._running.get(fired.name, (0, None))[0] != fired.number:
            return False
        del self._running[fired.name]
        return True

    async def _run(self, fired: Fired, scope: anyio.CancelScope, after_s: float) -> None:
        with scope:
            await anyio.sleep(after_s)
            await self._fire(fired)

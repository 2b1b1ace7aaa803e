"""A simulated process and its power switch: a kill drops it without running its clean-up code.

Cancelling a task runs its `finally` blocks, and those may publish, write and send; a killed process does none of it.
So everything through which a component touches the world goes through its power: once that is cut, nothing gets
out any more and every call raises `PowerCut`; only then is the component's task thrown away.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
from anyio.abc import ByteStream, TaskStatus

from edgechess_kit.bus import Delivery, Subscription
from edgechess_kit.clock import Clock
from edgechess_kit.journal import Draft, Entry, SqliteJournal
from edgechess_kit.memory_bus import MemoryBus
from edgechess_kit.topics import M, Topic


class PowerCut(BaseException):
    """The process is dead. A BaseException: no code of a component may mistake it for an error to handle."""


class Power:
    """The switch of one incarnation of one process.

    `operations` counts everything that leaves the process (journal commits, publishes, bytes sent); a kill can be
    set for the n-th from now, before or after its effect, which is how "killed at any instant" is made exact.
    """

    def __init__(self) -> None:
        self.on = True
        self.operations = 0
        self._cut_at: int | None = None
        self._cut_after_effect = False
        self._on_cut: list[Callable[[], None]] = []
        self.scope = anyio.CancelScope()

    def when_cut(self, action: Callable[[], None]) -> None:
        """What the kernel does when the process dies: close its sockets, drop its locks."""
        self._on_cut.append(action)

    def cut_at(self, operations_from_now: int, *, after_effect: bool) -> None:
        self._cut_at = self.operations + operations_from_now
        self._cut_after_effect = after_effect

    def cut(self) -> None:
        if not self.on:
            return
        self.on = False
        for action in self._on_cut:
            action()
        self.scope.cancel()

    def check(self) -> None:
        if not self.on:
            raise PowerCut

    def before_effect(self) -> None:
        self.check()
        self.operations += 1
        if self._cut_at is not None and self.operations >= self._cut_at and not self._cut_after_effect:
            self.cut()
            raise PowerCut

    def after_effect(self) -> None:
        if self.on and self._cut_at is not None and self.operations >= self._cut_at:
            self.cut()
        self.check()


class PoweredBus:
    """A process's connection to the memory bus."""

    def __init__(self, bus: MemoryBus, power: Power) -> None:
        self._bus = bus
        self._power = power

    @property
    def connected(self) -> bool:
        return self._power.on and self._bus.connected

    async def publish(self, topic: Topic[M], message: M) -> None:
        self._power.before_effect()
        await self._bus.publish(topic, message)
        self._power.after_effect()

    def subscribe(self, *topics: Topic[Any]) -> AbstractAsyncContextManager[Subscription]:
        return self._subscribe(*topics)

    @asynccontextmanager
    async def _subscribe(self, *topics: Topic[Any]) -> AsyncIterator[Subscription]:
        self._power.check()
        async with self._bus.subscribe(*topics) as subscription:
            yield _PoweredSubscription(subscription, self._power)


class _PoweredSubscription:
    def __init__(self, subscription: Subscription, power: Power) -> None:
        self._subscription = subscription
        self._power = power

    @property
    def dropped(self) -> int:
        return self._subscription.dropped

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        self._power.check()
        delivery = await self._subscription.__anext__()
        self._power.check()
        return delivery


class PoweredStream(ByteStream):
    """A process's end of a wire. When the power is cut the peer sees the connection close, as the kernel would do."""

    def __init__(self, stream: ByteStream, power: Power, close_now: Callable[[], None]) -> None:
        self._stream = stream
        self._power = power
        power.when_cut(close_now)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        self._power.check()
        data = await self._stream.receive(max_bytes)
        self._power.check()
        return data

    async def send(self, item: bytes) -> None:
        self._power.before_effect()
        await self._stream.send(item)
        self._power.after_effect()

    async def send_eof(self) -> None:
        self._power.check()
        await self._stream.send_eof()

    async def aclose(self) -> None:
        if self._power.on:
            await self._stream.aclose()


class PoweredJournal:
    """A process's journal. What was committed before the cut stays; what was not is gone."""

    def __init__(self, disk: sqlite3.Connection, clock: Clock, power: Power) -> None:
        self._journal = SqliteJournal.over(disk, clock)
        self._power = power

    def append(
        self, kind: str, data: Mapping[str, Any], *, session_id: str | None = None, key: str | None = None
    ) -> Entry:
        self._power.before_effect()
        entry = self._journal.append(kind, data, session_id=session_id, key=key)
        self._power.after_effect()
        return entry

    def append_all(self, drafts: Sequence[Draft]) -> list[Entry]:
        self._power.before_effect()
        entries = self._journal.append_all(drafts)
        self._power.after_effect()
        return entries

    def entries(
        self, *, kind: str | None = None, session_id: str | None = None, key: str | None = None, after_seq: int = 0
    ) -> list[Entry]:
        self._power.check()
        return self._journal.entries(kind=kind, session_id=session_id, key=key, after_seq=after_seq)

    def last(self, *, kind: str | None = None, session_id: str | None = None, key: str | None = None) -> Entry | None:
        self._power.check()
        return self._journal.last(kind=kind, session_id=session_id, key=key)

    def close(self) -> None:
        """The disk outlives the process."""


class SimulatedProcess:
    """Runs one component, again and again: killed, it comes back after `restart_s` with a new power."""

    def __init__(self, name: str, start: Callable[[Power], Awaitable[None]], restart_s: float) -> None:
        self.name = name
        self.power = Power()
        self.kills = 0
        self._start = start
        self._restart_s = restart_s

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            power = self.power
            with power.scope, contextlib.suppress(PowerCut):
                try:
                    await self._start(power)
                except BaseExceptionGroup as group:
                    _, rest = group.split(PowerCut)
                    if rest is not None:
                        raise rest from None
            if power.on:
                raise RuntimeError(f"{self.name} ended by itself")
            self.kills += 1
            await anyio.sleep(self._restart_s)
            self.power = Power()

    def kill(self) -> None:
        self.power.cut()

"""A component's pulse on `edge/status`, and the pump of its event stream.

    async with Health(context) as health:
        ...
        await health.set("ready")

The status is published when it changes and every `HEALTH_PERIOD_S`; a component that stays silent is dead or cut off,
and the last will says "lost". One that is ready is "degraded" as long as its host tells of trouble. On the way out the events still queued and a "stopped" are sent, if that goes quickly.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import anyio

from edgechess_kit.background import Background
from edgechess_kit.clock import SystemClock
from edgechess_kit.component import Context
from edgechess_kit.errors import KitError, LinkLost
from edgechess_kit.host import Status
from edgechess_kit.messages import EdgeStatus

HEALTH_PERIOD_S = 2.0  # an onlooker calls a component silent after three of these; 80 bytes each is nothing
REASON_LIMIT = 300  # characters; what a person reads
FAREWELL_S = 1.0  # a component that must stop does not wait longer than this for a slow bus


class Health:
    """Open it once in a component's `run`, around everything else. `set` never waits for the bus."""

    def __init__(self, context: Context[Any], *, version: str | None = None) -> None:
        self._context = context
        self._version = version
        # a process id would make two virtual runs of the same seed differ
        self._pid = os.getpid() if isinstance(context.clock, SystemClock) else None
        self._status: Status = "starting"
        self._reason: str | None = None
        self._changed = anyio.Event()
        self._tasks = Background()

    @property
    def status(self) -> Status:
        return self._status

    async def set(self, status: Status, reason: str | None = None) -> None:
        """Announces a status; the same one again is nothing. `reason` is one sentence for the operator."""
        if (status, reason) != (self._status, self._reason):
            self._status, self._reason = status, reason
            self._context.host.heard(status)
            self._changed.set()

    async def __aenter__(self) -> Health:
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._beat, name=f"{self._context.name} health")
        self._tasks.start_soon(self._stream, name=f"{self._context.name} events")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, traceback)
        finally:
            reason = f"failed: {error}"[:REASON_LIMIT] if isinstance(error, Exception) else None
            await self._farewell(reason)

    async def _farewell(self, reason: str | None) -> None:
        if not self._context.bus.connected:
            return
        with anyio.move_on_after(FAREWELL_S, shield=True):
            try:
                await self._context.outbox.flush(self._context.bus, self._context.topics)
                await self._publish("stopped", reason)
            except KitError:
                return  # the link went meanwhile: the last will speaks for us

    async def _beat(self) -> None:
        while True:
            self._changed = anyio.Event()
            try:
                await self._publish(*self._shown())
            except LinkLost:
                await anyio.sleep(HEALTH_PERIOD_S)
                continue
            with anyio.move_on_after(HEALTH_PERIOD_S):
                await self._changed.wait()

    def _shown(self) -> tuple[Status, str | None]:
        trouble = self._context.host.trouble
        if self._status == "ready" and trouble is not None:
            return "degraded", trouble[:REASON_LIMIT]
        return self._status, self._reason

    async def _stream(self) -> None:
        while True:
            try:
                await self._context.outbox.run(self._context.bus, self._context.topics)
            except LinkLost:
                await anyio.sleep(HEALTH_PERIOD_S)

    async def _publish(self, status: Status, reason: str | None) -> None:
        context = self._context
        message = EdgeStatus(
            component=context.name,
            status=status,
            at=context.clock.unix_s(),
            reason=reason,
            version=self._version,
            pid=self._pid,
        )
        await context.bus.publish(context.topics.status, message)

"""Where a model's blocking work runs: one worker thread at a time, or in place in virtual time.

A cancelled caller waits until the thread has noticed (`Stop.asked`, looked at between two tokens or layers): whoever
frees the memory afterwards frees nothing that is being computed with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

T = TypeVar("T")


class Stop:
    """A wish that crosses threads in one direction: a single flag, set once."""

    def __init__(self) -> None:
        self.asked = False


class Compute:
    """One model's. Calls wait for each other."""

    def __init__(self, *, inline: bool) -> None:
        self.inline = inline
        self._limiter = anyio.CapacityLimiter(1)

    async def run(self, work: Callable[[Stop], T]) -> T:
        """The work's result, or what it raised. Cancelled: `Stop.asked` is set, and this returns when the work has."""
        stop = Stop()
        if self.inline:
            await anyio.lowlevel.checkpoint()
            return work(stop)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_ask_when_cancelled, stop, name="model-stop")
                result = await anyio.to_thread.run_sync(work, stop, limiter=self._limiter)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from None  # what the work raised: that a task watches it is our affair
            raise
        return result


async def _ask_when_cancelled(stop: Stop) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        stop.asked = True

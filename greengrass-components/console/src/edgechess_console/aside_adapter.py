"""Work on files beside the event loop, in a thread: nothing that a disk or a large table does may hold up a stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


class Aside:
    """One piece of work at a time; who brings more waits."""

    def __init__(self) -> None:
        self._turn = anyio.CapacityLimiter(1)

    async def __call__(self, work: Callable[[], T], *, leave: bool = False) -> T:
        """What `work` returns or raises. `leave`: who is cancelled does not wait for its end."""
        return await anyio.to_thread.run_sync(work, limiter=self._turn, abandon_on_cancel=leave)

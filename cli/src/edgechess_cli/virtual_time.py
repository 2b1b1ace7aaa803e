"""The one place where trio's scheduler is seeded: virtual time, and the same seed gives the same run.

trio offers no public switch for this; Hypothesis uses the same two names, and tests/simulation guards them by
comparing the trace hashes of two processes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
from trio._core import _run as scheduler
from trio.testing import MockClock

T = TypeVar("T")


def run_virtual(main: Callable[..., Awaitable[T]], *args: Any, seed: int) -> T:
    """Run `main` to its end in virtual time. Nothing in it may wait outside trio.

    Time jumps to the next timer whenever every task waits. The scheduler's choices come from `seed`.
    """
    state = scheduler._r.getstate()
    deterministic = scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    scheduler._r.seed(seed)
    try:
        return anyio.run(main, *args, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = deterministic  # type: ignore[misc]
        scheduler._r.setstate(state)

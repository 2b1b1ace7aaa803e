"""The one place where trio's scheduler is seeded and its clock is ours: virtual time, and the same seed gives the same run.

trio offers no public switch for the seed; Hypothesis uses the same two names, and tests/simulation guards them by
comparing the trace hashes of two processes.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio
from trio._core import _run as scheduler
from trio.abc import Clock

T = TypeVar("T")

GARBAGE_YOUNG = 5_000
"""Objects between two looks for garbage: Python's own 700 come some hundred times per simulated second, and what is looked
at lives on. A sixth of a simulation's processor time."""


class JumpingClock(Clock):
    """Stands still while any task can run, and is at the next deadline when none can.

    trio asks how long it may sleep only when every task waits. Nothing in virtual time waits outside trio, so the answer
    is to be there already. trio's own mock clock comes to the same by a second round of its loop for every jump, which was
    a tenth of a simulation's processor time.
    """

    def __init__(self) -> None:
        self._now_s = 0.0

    def start_clock(self) -> None:
        """It always runs."""

    def current_time(self) -> float:
        return self._now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if deadline == math.inf:
            return math.inf  # every task waits for another one: as trio does, for ever
        self._now_s = max(self._now_s, deadline)
        return 0.0


def run_virtual(main: Callable[..., Awaitable[T]], *args: Any, seed: int) -> T:
    """Run `main` to its end in virtual time. Nothing in it may wait outside trio.

    Time jumps to the next timer whenever every task waits. The scheduler's choices come from `seed`.
    """
    state = scheduler._r.getstate()
    deterministic = scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    scheduler._r.seed(seed)
    try:
        with _seldom_collected():
            return anyio.run(main, *args, backend="trio", backend_options={"clock": JumpingClock()})
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = deterministic  # type: ignore[misc]
        scheduler._r.setstate(state)


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """What is there already is no garbage: modules, and tables of moves."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GARBAGE_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()

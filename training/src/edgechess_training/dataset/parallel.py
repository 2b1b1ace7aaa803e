"""Units of work on several processes, their results in order, and never more of them in memory than are wanted."""

from __future__ import annotations

import collections
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from edgechess_training.dataset.errors import DatasetError
from edgechess_training.processes_adapter import KILLED, Pending, ProcessKilled, ended, started

AHEAD = 2  # units that wait per process: enough to keep all busy, few enough to stay small

U = TypeVar("U")


def in_order(
    units: Iterable[U], make: Callable[[int, U], None], ready: Callable[[int], bool], jobs: int
) -> Iterator[int]:
    """Yields the number of each unit once it is made, or at once where it is `ready`. `jobs` 0: one per processor.

    `make` is called in another process unless `jobs` is 1 or there is but one unit: starting processes takes longer than
    a small unit does. What it raises ends the iteration, as does DatasetError where a process was killed.
    """
    jobs, coming = jobs or os.cpu_count() or 1, iter(units)
    begun = list(itertools.islice(coming, 2))
    units = itertools.chain(begun, coming)
    if jobs == 1 or len(begun) < 2:
        for number, unit in enumerate(units):
            if not ready(number):
                make(number, unit)
            yield number
        return
    pool = started(jobs)
    try:
        waiting = collections.deque[tuple[int, Pending[None] | None]]()
        for number, unit in enumerate(units):
            waiting.append((number, None if ready(number) else pool.submit(make, number, unit)))
            if len(waiting) > AHEAD * jobs:
                yield _awaited(*waiting.popleft())
        while waiting:
            yield _awaited(*waiting.popleft())
    except ProcessKilled as error:
        raise DatasetError(KILLED) from error
    finally:
        ended(pool)


def _awaited(number: int, pending: Pending[None] | None) -> int:
    if pending is not None:
        pending.result()
    return number

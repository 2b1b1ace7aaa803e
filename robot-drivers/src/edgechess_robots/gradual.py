"""Long computations in slices: a generator that yields wherever others may have their turn, and returns what it found.

Nobody is to be kept waiting for long: an arm's heartbeat is missed after 0.3 s, and a stop should not wait at all. What
happens between two slices is for whoever drives the generator; it finds the same whoever does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

import anyio.lowlevel

T = TypeVar("T")
Gradual = Generator[None, None, T]
"""One slice is some hundredths of a second at most."""


def at_once(work: Gradual[T]) -> T:
    """For those who have nothing else to do. Raises what the work raises."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: T = end.value
            return found


async def in_turns(work: Gradual[T], wanted: Callable[[], bool]) -> T | None:
    """Everybody else has a turn after each slice. None: it was not wanted any more. Raises what the work raises.

    Nothing else runs between the last look at `wanted` and the return.
    """
    try:
        while wanted():
            next(work)
            await anyio.lowlevel.checkpoint()
    except StopIteration as end:
        found: T = end.value
        return found
    work.close()
    return None

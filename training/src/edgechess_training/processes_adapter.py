"""Processes that work for this one. They are left where they are when nobody wants their work any more."""

from __future__ import annotations

import multiprocessing
import signal
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

R = TypeVar("R")
Pending = Future
"""What a process was asked for; its `result` raises ProcessKilled."""

ProcessKilled = BrokenProcessPool
"""Of a process that ended without an answer; multiprocessing's own pool would wait for ever."""

KILLED = "one of the processes was killed, as by want of memory: the same command goes on, perhaps with fewer --jobs"
"""To be said of ProcessKilled."""


def started(jobs: int) -> ProcessPoolExecutor:
    """Ctrl-C is the parent's business."""
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _leave_interrupts_to_the_parent)


def first_of(running: set[Pending[R]]) -> tuple[set[Pending[R]], set[Pending[R]]]:
    """Those that are done, at least one of them, and those that still run."""
    done, rest = wait(running, return_when=FIRST_COMPLETED)
    return done, rest


def ended(pool: ProcessPoolExecutor) -> None:
    """At once, whatever is still done there."""
    for process in list((pool._processes or {}).values()):  # Python 3.14 gives this a name of its own
        process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

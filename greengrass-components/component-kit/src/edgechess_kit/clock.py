"""Time and identity as ports, so that the whole system can run under a seeded virtual clock.

Durations and timers use `anyio.current_time()`; wall-clock stamps on messages and in journals come from here.
"""

from __future__ import annotations

import random
import time
import uuid
from typing import Protocol

import anyio

VIRTUAL_EPOCH_UNIX_S = 1_700_000_000.0  # any fixed instant: virtual runs must stamp the same times on every machine


class Clock(Protocol):
    def unix_s(self) -> float:
        """Wall-clock Unix seconds."""


class SystemClock:
    def unix_s(self) -> float:
        return time.time()


class VirtualClock:
    """Wall clock of a virtual run: the scheduler's own time after a fixed epoch."""

    def unix_s(self) -> float:
        return VIRTUAL_EPOCH_UNIX_S + anyio.current_time()


class Ids(Protocol):
    def new(self, kind: str) -> str:
        """A fresh identifier such as "job-3f9a…"; unique per run and never reused after a restart."""


class RandomIds:
    def new(self, kind: str) -> str:
        return f"{kind}-{uuid.uuid4().hex[:16]}"


class SeededIds:
    """Identifiers from a seed, for virtual time."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def new(self, kind: str) -> str:
        return f"{kind}-{self._random.getrandbits(64):016x}"

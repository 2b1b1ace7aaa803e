"""Asking a service again that is busy or not ready, for as long as the attempt has time."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from edgechess_inference.ladder.voice import Rung, VoiceFailed

T = TypeVar("T")

BUSY_FIRST_S = 0.5  # doubles with every refusal
BUSY_LAST_S = 8.0
JITTER = 0.5  # of a pause is left to chance, so that those who were refused together do not come back together


class Busy(Exception):
    """The service did not answer this time. `wait_s`: as long as it asks for; None: the usual pause."""

    def __init__(self, text: str, wait_s: float | None = None) -> None:
        super().__init__(text)
        self.wait_s = wait_s


async def patiently(call: Callable[[], Awaitable[T]], rung: Rung) -> T:
    """Calls until it answers. Raises VoiceFailed ("unavailable", no further attempt) where the pause would not end in time."""
    dice = random.Random(rung.seed)
    refusals = 0
    while True:
        try:
            return await call()
        except Busy as busy:
            pause_s = busy.wait_s
            if pause_s is None:
                pause_s = min(BUSY_FIRST_S * 2**refusals, BUSY_LAST_S) * (1 - JITTER * dice.random())
            refusals += 1
            if anyio.current_time() + pause_s >= rung.until:
                raise VoiceFailed("unavailable", str(busy), again=False) from busy
            await anyio.sleep(pause_s)

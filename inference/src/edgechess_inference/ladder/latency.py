"""How long one model takes, from what it took lately."""

from __future__ import annotations

import math
from collections import deque

WINDOW = 16  # attempts; a model whose load changes is known anew after so many
PART = 0.75  # of the window is at least as quick as what is expected: one answer that never came is not the rule


class Latency:
    """Seconds. Nothing measured yet: 0, so that a first attempt is made, and its deadline ends it."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=WINDOW)

    def measured(self, took_s: float) -> None:
        """Also of an attempt that was cut off: it takes at least so long."""
        self._samples.append(took_s)

    def passed_over(self) -> None:
        """A question went by without an attempt: the slowest sample is forgotten, so that a bad hour is not for ever."""
        if self._samples:
            self._samples.remove(max(self._samples))

    @property
    def expected_s(self) -> float:
        """Nearest-rank percentile: `PART` of the last `WINDOW` attempts took no longer."""
        if not self._samples:
            return 0.0
        ordered = sorted(self._samples)
        return ordered[max(0, math.ceil(len(ordered) * PART) - 1)]

"""A bucket that fills at a steady rate: how many requests a second are taken."""

from __future__ import annotations


class RateLimit:
    """At most `per_s` at once and `per_s` a second on average. Times are seconds of any steady clock."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._left = per_s
        self._at_s: float | None = None

    def take(self, now_s: float) -> bool:
        """False: too many."""
        if self._at_s is not None:
            self._left = min(self._per_s, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

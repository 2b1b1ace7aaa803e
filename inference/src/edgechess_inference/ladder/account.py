"""What came of one question: every attempt, why it was not taken, and who moved in the end."""

from __future__ import annotations

import dataclasses
from typing import Literal

Failure = Literal["no-answer", "no-move", "ambiguous", "illegal", "late", "unavailable", "refused"]
"""Nothing was said; nothing in it is a move; it may mean several moves; the rules forbid it; the time was up; nobody
answers just now (loading, throttled, no connection); whoever was asked will not (no such model, no rights, bad request)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One try. `failure` None: its move was taken. `answer` is what was said, cut to what a person reads."""

    by: str
    took_s: float
    answer: str | None = None
    failure: Failure | None = None
    why: str | None = None
    constrained: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """The attempts in their order, the engine's among them where it was used.

    `fallback`: the engine moved, not whom the word names. `constrained`: the model could choose among legal moves only.
    `skipped`: why a further attempt was not started.
    """

    attempts: tuple[Attempt, ...] = ()
    fallback: bool = False
    constrained: bool = False
    skipped: str | None = None
    adapter: str | None = None
    weights: str | None = None
    """Digest of the weights that made the move, where it is known."""
    took_s: float = 0.0

    @property
    def failures(self) -> tuple[Attempt, ...]:
        return tuple(attempt for attempt in self.attempts if attempt.failure is not None)

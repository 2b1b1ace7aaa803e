"""How the learning rate goes: up over the first steps, level as long as one likes, then down to nothing.

The level part has no end of its own, so that a run can go on for as long as there is time; the fall, which is what turns
a noisy network into a good one, can begin at any checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

WARMUP_STEPS = 200
DECAY_SHARE = 0.3  # of a run whose length is known


@dataclass(frozen=True, slots=True)
class Decay:
    """From `begin` positions on, down to nothing within `length` positions; the run ends there."""

    begin: int
    length: int

    @property
    def end(self) -> int:
        return self.begin + self.length


def decay_of(positions: int) -> Decay:
    """Of a run of so many positions."""
    length = max(1, round(positions * DECAY_SHARE))
    return Decay(max(0, positions - length), length)


def factor(step: int, positions: int, decay: Decay | None) -> float:
    """Of the full learning rate, for step number `step` (from 0) after so many positions."""
    rising = min(1.0, (step + 1) / WARMUP_STEPS)
    falling = 1.0 if decay is None else min(1.0, max(0.0, (decay.end - positions) / decay.length))
    return rising * falling

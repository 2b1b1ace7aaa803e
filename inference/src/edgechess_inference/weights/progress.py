"""How far a transfer is, as values: for a bar, for the bus, for a log."""

from __future__ import annotations

import dataclasses

from edgechess_inference.weights.fetch_plan import Tally


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a transfer. `rate_bytes_s` over the time since the moment before."""

    total_bytes: int
    rate_bytes_s: float
    tally: Tally
    problem: str | None = None
    """What does not work, but does not stop it either: a cache that is full."""

    @property
    def landed_bytes(self) -> int:
        return self.tally.landed_bytes

    @property
    def finished(self) -> bool:
        return self.tally.landed_bytes == self.total_bytes

    def remarks(self) -> list[str]:
        """What was not as it should be, each as a few words."""
        counts = {
            "healed": self.tally.healed_chunks,
            "broken": self.tally.broken,
            "throttled": self.tally.throttled,
            "hedged": self.tally.hedged,
        }
        return [f"{count} {name}" for name, count in counts.items() if count]

"""What is counted per adapter, as values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AdapterCounts:
    """Since its registration. `legal` and `illegal`: answers that somebody held against the rules."""

    requests: int = 0
    legal: int = 0
    illegal: int = 0
    latency_s: float = 0.0
    """Of all requests together."""
    latency_max_s: float = 0.0
    loads: int = 0
    load_s: float = 0.0
    """Of all loads from store or disk together."""
    load_max_s: float = 0.0
    evictions: int = 0
    """From the device."""

    def answered(self, latency_s: float) -> AdapterCounts:
        return dataclasses.replace(
            self,
            requests=self.requests + 1,
            latency_s=self.latency_s + latency_s,
            latency_max_s=max(self.latency_max_s, latency_s),
        )

    def judged(self, legal: bool) -> AdapterCounts:
        return dataclasses.replace(self, legal=self.legal + legal, illegal=self.illegal + (not legal))

    def loaded(self, took_s: float) -> AdapterCounts:
        return dataclasses.replace(
            self, loads=self.loads + 1, load_s=self.load_s + took_s, load_max_s=max(self.load_max_s, took_s)
        )

    def evicted(self) -> AdapterCounts:
        return dataclasses.replace(self, evictions=self.evictions + 1)

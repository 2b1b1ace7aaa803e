"""What is counted per adapter, as values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AdapterCounts:
    """Since its registration. `legal` and `illegal` are first answers, before any second attempt."""

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

    def answered(self, legal: bool | None, latency_s: float) -> AdapterCounts:
        """`legal` None: not known here."""
        return dataclasses.replace(
            self,
            requests=self.requests + 1,
            legal=self.legal + (legal is True),
            illegal=self.illegal + (legal is False),
            latency_s=self.latency_s + latency_s,
            latency_max_s=max(self.latency_max_s, latency_s),
        )

    def loaded(self, took_s: float) -> AdapterCounts:
        return dataclasses.replace(
            self, loads=self.loads + 1, load_s=self.load_s + took_s, load_max_s=max(self.load_max_s, took_s)
        )

    def evicted(self) -> AdapterCounts:
        return dataclasses.replace(self, evictions=self.evictions + 1)

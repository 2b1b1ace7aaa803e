"""What the node counts, and the same as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

import bisect
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SERIES_LIMIT = 500  # label sets of one metric; beyond, they are counted together as "other"
OTHER = "other"
PREFIX = "edgechess_inference"

Labels = tuple[tuple[str, str], ...]


@dataclasses.dataclass(slots=True)
class Histogram:
    """Seconds, in buckets."""

    counts: list[int] = dataclasses.field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total_s: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(BUCKETS_S, seconds)] += 1
        self.total_s += seconds

    @property
    def count(self) -> int:
        return sum(self.counts)


class Metrics:
    """Since the process started. Nothing here fails, and nothing grows without end."""

    def __init__(self) -> None:
        self.requests: Counter[Labels] = Counter()
        """By player and status."""
        self.moves: Counter[Labels] = Counter()
        """By player and who moved: "model", "engine" or "player"."""
        self.attempts: Counter[Labels] = Counter()
        """By player, adapter and outcome: "taken", or a failure's name."""
        self.latency: dict[Labels, Histogram] = {}
        """Of answers, by player."""
        self.attempt_latency: dict[Labels, Histogram] = {}
        """Of attempts, by player."""
        self.controls: Counter[Labels] = Counter()

    def requested(self, player: str, status: int) -> None:
        self._count(self.requests, player=player, status=str(status))

    def moved(self, player: str, by: str, took_s: float) -> None:
        self._count(self.moves, player=player, by=by)
        self._observe(self.latency, took_s, player=player)

    def attempted(self, player: str, adapter: str | None, outcome: str, took_s: float) -> None:
        self._count(self.attempts, player=player, adapter=adapter or "", outcome=outcome)
        self._observe(self.attempt_latency, took_s, player=player)

    def controlled(self, command: str, status: int) -> None:
        self._count(self.controls, command=command, status=str(status))

    @property
    def answered(self) -> int:
        """Requests answered with a move."""
        return sum(self.moves.values())

    @property
    def fallbacks(self) -> int:
        """Moves that the engine made instead."""
        return sum(count for labels, count in self.moves.items() if ("by", "engine") in labels)

    def text(self, gauges: Mapping[str, Mapping[Labels, float]]) -> str:
        """One metric after the other. `gauges`: name to label sets and values of now."""
        lines: list[str] = []
        counters: dict[str, tuple[str, Counter[Labels]]] = {
            "requests_total": ("Requests by status.", self.requests),
            "moves_total": ("Moves by who made them.", self.moves),
            "attempts_total": ("Attempts by what came of them.", self.attempts),
            "controls_total": ("Control commands by status.", self.controls),
        }
        for name, (help_text, counter) in counters.items():
            lines += _head(name, help_text, "counter")
            lines += [_sample(name, labels, count) for labels, count in sorted(counter.items())]
        for name, help_text, histograms in (
            ("answer_seconds", "From a request to its move.", self.latency),
            ("attempt_seconds", "Of one attempt.", self.attempt_latency),
        ):
            lines += _head(name, help_text, "histogram")
            for labels, histogram in sorted(histograms.items()):
                lines += _histogram(name, labels, histogram)
        for name, values in sorted(gauges.items()):
            lines += _head(name, "As it is now.", "gauge")
            lines += [_sample(name, labels, value) for labels, value in sorted(values.items())]
        return "\n".join(lines) + "\n"

    def _count(self, counter: Counter[Labels], **labels: str) -> None:
        counter[_bounded(counter, labels)] += 1

    def _observe(self, histograms: dict[Labels, Histogram], seconds: float, **labels: str) -> None:
        histograms.setdefault(_bounded(histograms, labels), Histogram()).observe(seconds)


def _bounded(known: Mapping[Labels, object], labels: Mapping[str, str]) -> Labels:
    found = tuple(sorted(labels.items()))
    if found in known or len(known) < SERIES_LIMIT:
        return found
    return tuple((name, OTHER if name in ("player", "adapter") else value) for name, value in found)


def _head(name: str, help_text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {PREFIX}_{name} {help_text}"
    yield f"# TYPE {PREFIX}_{name} {kind}"


def _sample(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{PREFIX}_{name}{{{inside}}} {_number(value)}" if inside else f"{PREFIX}_{name} {_number(value)}"


def _number(value: float) -> str:
    """Every digit: a counter that is rounded stands still, and then jumps."""
    return str(int(value)) if value == int(value) else repr(value)


def _histogram(name: str, labels: Labels, histogram: Histogram) -> Iterator[str]:
    running = 0
    for limit, count in zip((*BUCKETS_S, float("inf")), histogram.counts, strict=True):
        running += count
        edge = "+Inf" if limit == float("inf") else f"{limit:g}"
        yield _sample(f"{name}_bucket", (*labels, ("le", edge)), running)
    yield _sample(f"{name}_sum", labels, histogram.total_s)
    yield _sample(f"{name}_count", labels, histogram.count)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

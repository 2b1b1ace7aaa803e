"""What a benchmark reports: distributions, tables for people, plain figures for programs, targets."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from collections.abc import Sequence
from typing import Any

RESAMPLES = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Distribution:
    """Of one sample, in its own unit. Percentiles are nearest-rank: each of them was measured once."""

    n: int
    p50: float
    p95: float
    p99: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Distribution:
        """Raises ValueError for no values."""
        if not values:
            raise ValueError("a distribution of nothing")
        return cls(
            len(values), percentile(values, 50.0), percentile(values, 95.0), percentile(values, 99.0), max(values)
        )

    def as_figures(self, unit: str, digits: int = 4) -> dict[str, Any]:
        """Keys carry the unit: "p50_ms"."""
        named = {"p50": self.p50, "p95": self.p95, "p99": self.p99, "max": self.largest}
        return {"n": self.n, **{f"{name}_{unit}": round(value, digits) for name, value in named.items()}}


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least `part` of 100 of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * part / 100.0) - 1)]


@dataclasses.dataclass(frozen=True, slots=True)
class Ratio:
    """Of two medians, and where 95 of 100 such measurements would find it: noise is not taken for slowness, nor for speed."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, turns: Sequence[Sequence[float]], floor: Sequence[Sequence[float]], chance: random.Random) -> Ratio:
        """`turns[i]` and `floor[i]` were measured one after the other: the machine was the same for both, whatever it was in
        other pairs. The interval is of pairs drawn again and again. Raises ValueError."""
        pairs = [statistics.median(one) / statistics.median(other) for one, other in zip(turns, floor, strict=True)]
        drawn = [statistics.median(chance.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES)]
        return cls(statistics.median(pairs), percentile(drawn, 2.5), percentile(drawn, 97.5))


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A few lines for people; the first column is left-aligned, the others right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        widths = [max(len(row[number]) for row in (self.columns, *self.rows)) for number in range(len(self.columns))]
        lines = [self.title]
        for row in (self.columns, *self.rows):
            first, *others = (
                cell.ljust(width) if number == 0 else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  " + "  ".join((first, *others)).rstrip())
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A figure and its limit: met when it is not larger."""

    name: str
    measured: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        return self.measured <= self.limit

    def text(self) -> str:
        verdict = "met" if self.met else "MISSED"
        return f"{verdict:6}  {self.name}: {self.measured:.4g} {self.unit} (at most {self.limit:g} {self.unit})"


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """One benchmark's result. `failures` are wrong answers, not slow ones: they fail the command."""

    module: str
    figures: dict[str, Any]
    tables: tuple[Table, ...]
    targets: tuple[Target, ...] = ()
    remarks: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    def text(self) -> str:
        parts = [table.text() for table in self.tables]
        parts += ["\n".join(remark for remark in self.remarks)] if self.remarks else []
        parts += ["\n".join(target.text() for target in self.targets)] if self.targets else []
        parts += ["\n".join(f"FAILED  {failure}" for failure in self.failures)] if self.failures else []
        return "\n\n".join(parts)

    def as_figures(self) -> dict[str, Any]:
        return {
            "module": self.module,
            **self.figures,
            "targets": [{**dataclasses.asdict(target), "met": target.met} for target in self.targets],
            "failures": list(self.failures),
        }

"""What the trials come to: counts per class, intervals, times. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence

from edgechess_cli.bench.figures import percentile
from edgechess_cli.trials_table import Trial

Z_95 = 1.959964  # standard deviations that hold 95 % of a normal distribution


def wilson(good: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a proportion; (0, 1) of nothing."""
    if n == 0:
        return 0.0, 1.0
    p = good / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """Of one group of trials. `right`: ended right without a person's help. `silent`: never answered. Seconds are the
    table's."""

    n: int
    good: int
    recovered: int
    helped: int
    silent: int
    wrong: int
    unnoticed: int
    median_s: float
    p95_s: float

    @property
    def right(self) -> int:
        return self.good + self.recovered

    @property
    def part(self) -> float:
        return self.right / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.n)

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Figures:
        counted = Counter(trial.outcome for trial in trials)
        # What a person had to end, and what never ended, has no time of its own.
        seconds = [trial.seconds for trial in trials if trial.outcome in ("good", "recovered")] or [0.0]
        return cls(
            len(trials),
            counted["good"],
            counted["recovered"],
            counted["helped"],
            counted["silent"],
            sum(trial.wrong for trial in trials),
            sum(bool(trial.unnoticed) for trial in trials),
            percentile(seconds, 50.0),
            percentile(seconds, 95.0),
        )

    def as_json(self) -> dict[str, object]:
        low, high = self.interval
        return {**dataclasses.asdict(self), "right": self.part, "low": low, "high": high}


def causes(trials: Iterable[Trial]) -> list[tuple[str, int, int]]:
    """What had gone wrong in the trials that were not good at once: cause, recovered, not right; most of these first.

    A trial with several causes counts for the first: what follows is mostly its consequence.
    """
    recovered: Counter[str] = Counter()
    helped: Counter[str] = Counter()
    for trial in trials:
        if trial.outcome != "good":
            cause = trial.causes[0].split(" ", 1)[0] if trial.causes else _code(trial)
            (recovered if trial.outcome == "recovered" else helped)[cause] += 1
    names = sorted(set(recovered) | set(helped), key=lambda name: (-helped[name], -recovered[name], name))
    return [(name, recovered[name], helped[name]) for name in names]


def _code(trial: Trial) -> str:
    word = trial.code.split(":", 1)[0]
    return f"no accident ({word})" if word else "no accident"

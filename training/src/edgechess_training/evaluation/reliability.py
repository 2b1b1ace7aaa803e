"""Does a network's outlook mean what it says? Expected points against what came, in bins, and Brier's score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgechess_training.evaluation.sums import Sums

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """`said` and `came`: mean expected points, and mean points."""

    count: int
    said: float
    came: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """`brier`: mean squared error of the expected points; `brier_flat`: of always saying the mean. `error`: mean distance
    between said and came over the bins, by their counts. `brier_outcomes`: of win, draw and loss together, 0 to 2."""

    count: int
    bins: tuple[Bin, ...]
    brier: float
    brier_flat: float
    error: float
    brier_outcomes: float | None = None


def sums_of(said: NDArray[Any], came: NDArray[Any], outlooks: NDArray[Any] | None = None) -> Sums:
    """`said`, `came` [n] from 0 to 1; `outlooks` [n, 3], where the games' outcomes are known (came 1, ½, 0)."""
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    counts, saids, cames = (np.bincount(place, weights, BINS).tolist() for weights in (None, said, came))
    sums: Sums = {
        "count": len(said), "bins": [int(count) for count in counts], "said": saids, "came": cames,
        "squares": float(((said - came) ** 2).sum()), "came_squares": float((came**2).sum()),
    }  # fmt: skip
    if outlooks is not None:
        truth = np.stack((came == 1, came == 0.5, came == 0), axis=1)
        sums["outcome_squares"] = float(((outlooks - truth) ** 2).sum())
    return sums


def figures_of(sums: Sums) -> Reliability | None:
    """None where there was nothing to compare with."""
    count = sums.get("count", 0)
    if not count:
        return None
    bins = tuple(
        Bin(n, said / n, came / n) for n, said, came in zip(sums["bins"], sums["said"], sums["came"], strict=True) if n
    )
    mean = sum(sums["came"]) / count
    return Reliability(
        count,
        bins,
        sums["squares"] / count,
        sums["came_squares"] / count - mean * mean,
        _distance(bins, count),
        sums["outcome_squares"] / count if "outcome_squares" in sums else None,
    )


def _distance(bins: Sequence[Bin], count: int) -> float:
    return sum(each.count * abs(each.said - each.came) for each in bins) / count

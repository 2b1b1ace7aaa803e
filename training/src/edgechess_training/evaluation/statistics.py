"""What results are worth: intervals, Elo from pairs of games, the sequential test, the level at which a score is one half.

A pair is one opening played twice with colours exchanged; its two games share the opening's luck, so the pair, not the
game, is what is independent (the pentanomial model: 0, ½, 1, 1½ or 2 points). Pure; points of a pair go from 0 to 2.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)
ELO_MAX = 1200.0  # beyond, a score says nothing about a difference
ELO_SCALE = 400 / math.log(10)
LEAST_SCORE = 1e-3
BOOTSTRAPS = 400  # draws for an interval; its ends are then good to a few Elo
FREE_SLOPE_LEVELS = 3  # from so many levels on the logistic's slope is fitted too


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Score:
    """A match as one side sees it. `pairs`: how many pairs gave 0, ½, 1, 1½ and 2 points. `score`: points per game."""

    wins: int
    draws: int
    losses: int
    pairs: tuple[int, int, int, int, int]
    score: Interval
    elo: Interval

    @property
    def games(self) -> int:
        return self.wins + self.draws + self.losses


def share(hits: int, total: int) -> Interval:
    """Wilson's interval of a proportion; 0 to 1 where there is nothing."""
    if not total:
        return Interval(0.0, 0.0, 1.0)
    p, z2 = hits / total, Z95 * Z95
    middle = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 * math.sqrt(p * (1 - p) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    return Interval(p, max(0.0, middle - half), min(1.0, middle + half))


def mean_of(values: Sequence[float]) -> Interval:
    """The mean and its normal interval; nothing: zeros."""
    if not values:
        return Interval(0.0, 0.0, 0.0)
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))
    half = Z95 * spread / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def elo_of(score: float) -> float:
    """Difference that a score per game means, cut at ±ELO_MAX."""
    if score <= LEAST_SCORE:
        return -ELO_MAX
    if score >= 1 - LEAST_SCORE:
        return ELO_MAX
    return max(-ELO_MAX, min(ELO_MAX, -ELO_SCALE * math.log(1 / score - 1)))


def expected(difference: float) -> float:
    """Score per game against somebody `difference` Elo weaker."""
    return 1 / (1 + math.exp(-difference / ELO_SCALE))


def score_of(pairs: Sequence[tuple[float, float]]) -> Score:
    """`pairs`: points of the two games of each. The interval is a normal one over pairs, or Wilson's of as many trials where they are all alike."""
    games = [points for pair in pairs for points in pair]
    wins, draws, losses = games.count(1.0), games.count(0.5), games.count(0.0)
    counts = [0, 0, 0, 0, 0]
    for first, second in pairs:
        counts[round(2 * (first + second))] += 1
    score = mean_of([(first + second) / 2 for first, second in pairs])
    if len(pairs) < 2 or sum(count > 0 for count in counts) == 1:
        wide = share(round(sum(games) / 2), len(pairs))
        score = Interval(score.value, wide.low, wide.high)
    low, high = max(0.0, score.low), min(1.0, score.high)
    return Score(
        wins,
        draws,
        losses,
        (counts[0], counts[1], counts[2], counts[3], counts[4]),
        Interval(score.value, low, high),
        Interval(elo_of(score.value), elo_of(low), elo_of(high)),
    )


# ---------------------------------------------------------------- the sequential test


@dataclass(frozen=True, slots=True)
class Sprt:
    """Is the difference `elo1` rather than `elo0`? `alpha`, `beta`: risks of a wrong yes and a wrong no."""

    elo0: float = 0.0
    elo1: float = 20.0
    alpha: float = 0.05
    beta: float = 0.05

    @property
    def bounds(self) -> tuple[float, float]:
        """Log-likelihood ratios at which elo0, or elo1, is accepted."""
        return math.log(self.beta / (1 - self.alpha)), math.log((1 - self.beta) / self.alpha)

    def ratio(self, pairs: Sequence[tuple[float, float]]) -> float:
        """Log-likelihood ratio of what was seen, by the normal approximation over pairs; a tenth of a pair of every kind is
        added, so that a one-sided beginning has a spread at all."""
        scores = [(first + second) / 2 for first, second in pairs]
        if not scores:
            return 0.0
        padding = [0.0, 0.25, 0.5, 0.75, 1.0]
        weight = len(scores) + len(padding) * 0.1
        mean = (sum(scores) + 0.1 * sum(padding)) / weight
        squares = sum((each - mean) ** 2 for each in scores) + 0.1 * sum((each - mean) ** 2 for each in padding)
        low, high = expected(self.elo0), expected(self.elo1)
        return len(scores) * (high - low) * (2 * mean - low - high) / (2 * squares / weight)

    def verdict(self, pairs: Sequence[tuple[float, float]]) -> str | None:
        """ "elo1", "elo0", or None: go on."""
        low, high = self.bounds
        ratio = self.ratio(pairs)
        return "elo1" if ratio >= high else "elo0" if ratio <= low else None


# ---------------------------------------------------------------- the level of one half


@dataclass(frozen=True, slots=True)
class Logistic:
    """Score against a level: 1 / (1 + exp((level - even) / scale)). `even` in the engine's own Elo."""

    even: float
    scale: float

    def score(self, level: float) -> float:
        return 1 / (1 + math.exp(max(-50.0, min(50.0, (level - self.even) / self.scale))))


def fit(points: Sequence[tuple[float, float, int]]) -> Logistic:
    """`points`: level, score per game, games. Maximum likelihood; the usual slope of Elo where there are too few levels."""
    levels = [level for level, _, _ in points]
    free = len(set(levels)) >= FREE_SLOPE_LEVELS
    even, scale = sum(levels) / len(levels), ELO_SCALE
    for _ in range(200):
        step_even = step_scale = 0.0
        h_ee = h_es = h_ss = 1e-9
        for level, score, games in points:
            p = Logistic(even, scale).score(level)
            z = (level - even) / scale
            slack, w = games * (score - p), games * max(p * (1 - p), 1e-6)
            step_even += slack / scale
            step_scale += slack * z / scale
            h_ee += w / scale**2
            h_es += w * z / scale**2
            h_ss += w * z * z / scale**2
        if free and h_ee * h_ss - h_es * h_es > 1e-12:
            det = h_ee * h_ss - h_es * h_es
            move_even = (h_ss * step_even - h_es * step_scale) / det
            move_scale = (h_ee * step_scale - h_es * step_even) / det
        else:
            move_even, move_scale = step_even / h_ee, 0.0
        move_even = max(-100.0, min(100.0, move_even))
        even = max(-ELO_MAX, min(5000.0, even + move_even))
        scale = max(40.0, min(1000.0, scale + max(-50.0, min(50.0, move_scale))))
        if abs(move_even) < 1e-6 and abs(move_scale) < 1e-6:
            break
    return Logistic(even, scale)


def even_level(matches: Mapping[float, Sequence[tuple[float, float]]], seed: int) -> tuple[Logistic, Interval]:
    """The fit, and the level of one half with an interval from drawing the pairs of each level again and again."""
    kept = {level: pairs for level, pairs in matches.items() if pairs}
    found = fit([_point(level, pairs) for level, pairs in kept.items()])
    draw = random.Random(seed)
    evens = sorted(
        fit([_point(level, draw.choices(pairs, k=len(pairs))) for level, pairs in kept.items()]).even
        for _ in range(BOOTSTRAPS)
    )
    return found, Interval(found.even, evens[int(0.025 * BOOTSTRAPS)], evens[int(0.975 * BOOTSTRAPS) - 1])


def _point(level: float, pairs: Sequence[tuple[float, float]]) -> tuple[float, float, int]:
    """Half a won and half a lost game are added: a level that was never lost to still says something finite."""
    games = 2 * len(pairs)
    return level, (sum(first + second for first, second in pairs) + 0.5) / (games + 1), games + 1

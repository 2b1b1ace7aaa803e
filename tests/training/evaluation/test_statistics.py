"""Intervals and tests against arithmetic done by hand, or against a process whose truth is known."""

from __future__ import annotations

import math
import random

import pytest

from edgechess_training.evaluation.statistics import (
    ELO_MAX,
    Logistic,
    Sprt,
    elo_of,
    even_level,
    expected,
    fit,
    score_of,
    share,
)


def test_elo_and_score_are_each_other_s_inverse() -> None:
    assert elo_of(0.5) == pytest.approx(0.0)
    assert elo_of(0.9) == pytest.approx(381.7, abs=0.05)  # 400 log10(9)
    assert expected(400) == pytest.approx(10 / 11)
    assert elo_of(expected(-123.0)) == pytest.approx(-123.0)
    assert (elo_of(0.0), elo_of(1.0)) == (-ELO_MAX, ELO_MAX)


def test_a_proportion_has_wilson_s_interval() -> None:
    found = share(8, 10)
    assert (found.low, found.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert (share(0, 0).low, share(0, 0).high) == (0.0, 1.0)


def test_the_interval_of_a_match_comes_from_its_pairs() -> None:
    # 80 pairs of two points, 40 of one and a half: 400 games' worth of the reference's 80/20/0, 90 % and more
    pairs = [(1.0, 1.0)] * 120 + [(1.0, 0.5)] * 50 + [(0.5, 0.5)] * 30
    found = score_of(pairs)
    assert (found.wins, found.draws, found.losses, found.games) == (290, 110, 0, 400)
    assert found.pairs == (0, 0, 30, 50, 120)
    mean = (120 + 50 * 0.75 + 30 * 0.5) / 200
    variance = (120 * (1 - mean) ** 2 + 50 * (0.75 - mean) ** 2 + 30 * (0.5 - mean) ** 2) / 199
    assert found.score.value == pytest.approx(mean)
    assert found.score.high - found.score.value == pytest.approx(1.96 * math.sqrt(variance / 200), rel=1e-3)
    # openings that always split 1-1 say more than their games alone would
    assert score_of([(1.0, 0.0)] * 99 + [(1.0, 1.0)]).score.high < 0.52


def test_a_match_without_spread_keeps_a_doubt() -> None:
    found = score_of([(1.0, 1.0)] * 10)
    assert found.score.value == 1.0
    assert found.score.low == pytest.approx(0.7225, abs=1e-3)  # ten of ten, by Wilson
    assert found.elo.low < ELO_MAX


def test_the_sequential_test_decides_for_what_is_true() -> None:
    test = Sprt(0, 20)
    assert test.bounds == (pytest.approx(-2.944, abs=1e-3), pytest.approx(2.944, abs=1e-3))
    assert test.verdict([]) is None
    verdicts = {elo: [_until_decided(test, elo, seed) for seed in range(20)] for elo in (-20, 60)}
    assert verdicts[60].count("elo1") == 20
    assert verdicts[-20].count("elo0") >= 19


def test_its_risks_are_what_was_asked_for() -> None:
    """With the truth at either hypothesis: at most one in twenty is wrong, in the long run; 100 draws may have some more."""
    test = Sprt(0, 100)
    at_zero, at_hundred = ([_until_decided(test, elo, seed) for seed in range(100)] for elo in (0, 100))
    assert at_zero.count("elo1") <= 10
    assert at_hundred.count("elo0") <= 10
    assert None not in at_zero + at_hundred


def _until_decided(test: Sprt, elo: float, seed: int) -> str | None:
    draw, p, pairs = random.Random(seed), expected(elo), []
    for _ in range(5000):
        first, second = (draw.choices((1.0, 0.5, 0.0), (p - 0.2, 0.4, 0.8 - p))[0] for _ in range(2))
        pairs.append((first, second))
        if len(pairs) % 8 == 0 and (verdict := test.verdict(pairs)) is not None:
            return verdict
    return None


def test_the_level_of_one_half_is_found_again() -> None:
    truth = Logistic(1720.0, 230.0)
    levels = (1350, 1500, 1700, 1900, 2100)
    found = fit([(level, truth.score(level), 400) for level in levels])
    assert (found.even, found.scale) == (pytest.approx(1720, abs=0.5), pytest.approx(230, abs=1))
    single = fit([(1350.0, 0.75, 400)])
    assert single.even == pytest.approx(1350 + elo_of(0.75), abs=0.1)


def test_its_interval_covers_it() -> None:
    truth, draw = Logistic(1600.0, 200.0), random.Random(3)
    matches = {
        float(level): [
            (float(draw.random() < truth.score(level)), float(draw.random() < truth.score(level))) for _ in range(100)
        ]
        for level in (1400, 1600, 1800)
    }
    _, even = even_level(matches, seed=1)
    assert even.low < 1600 < even.high
    assert 20 < even.high - even.low < 120
    # one that never lost: a number, not an infinity
    assert math.isfinite(even_level({1350.0: [(1.0, 1.0)] * 20}, seed=1)[1].value)

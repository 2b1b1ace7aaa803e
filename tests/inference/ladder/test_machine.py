"""The ladder's decisions, fed by hand."""

from __future__ import annotations

from edgechess_inference.ladder import machine as m
from edgechess_inference.ladder.latency import Latency
from edgechess_inference.ladder.reading import Read, Unread

ILLEGAL = Unread("illegal", "Ke9 is not a legal move in this position.")
ENGINE = m.EngineMoved(0.1, "d2d4", "Stockfish", 0.1)


def begin(timeout_s: float = 10.0, expected_s: float = 0.0, attempts: int = 3) -> m.Result:
    return m.begin(m.Rules("tiny", attempts), at=0.0, timeout_s=timeout_s, expected_s=expected_s)


def said(climb: m.Climb, at: float, reading: Read | Unread, expected_s: float = 0.0, **more: object) -> m.Result:
    return m.decide(climb, m.Said(at, climb.number, "Ke9", reading, expected_s, **more))  # type: ignore[arg-type]


def finish(effects: list[m.Effect]) -> m.Finish:
    [effect] = [effect for effect in effects if isinstance(effect, m.Finish)]
    return effect


def test_a_legal_answer_ends_it_and_the_engine_is_not_needed() -> None:
    climb, effects = begin()
    assert effects == [m.AskModel(1, (), 9.5)]
    climb, effects = said(climb, 1.0, Read("e2e4", "centre"))
    found = finish(effects)
    assert (found.uci, found.by, found.reason) == ("e2e4", "tiny", "centre")
    assert not found.account.fallback
    assert [attempt.took_s for attempt in found.account.attempts] == [1.0]
    assert m.decide(climb, ENGINE) == (climb, [])


def test_each_further_attempt_is_told_the_failures_before_it_and_then_the_engine_moves() -> None:
    climb, _ = begin()
    climb, _ = m.decide(climb, ENGINE)
    for number in (2, 3):
        climb, effects = said(climb, float(number), ILLEGAL)
        [ask] = effects
        assert isinstance(ask, m.AskModel)
        assert ask.number == number
        assert [failure.failure for failure in ask.failures] == ["illegal"] * (number - 1)
    _, effects = said(climb, 4.0, Unread("no-move", "none"))
    found = finish(effects)
    assert (found.uci, found.by) == ("d2d4", "Stockfish")
    assert found.account.fallback
    assert [attempt.failure for attempt in found.account.attempts] == ["illegal", "illegal", "no-move", None]


def test_the_engine_is_waited_for_where_it_is_not_there_yet() -> None:
    climb, _ = begin(attempts=1)
    climb, effects = said(climb, 1.0, ILLEGAL)
    assert (climb.stage, effects) == ("waiting", [])
    assert finish(m.decide(climb, ENGINE)[1]).uci == "d2d4"


def test_an_attempt_that_cannot_end_in_time_is_not_started() -> None:
    climb, effects = begin(timeout_s=5.0, expected_s=6.0)
    assert effects == []
    assert climb.skipped == "attempt 1 takes about 6.00 s, and 4.50 s are left"
    climb, _ = begin(timeout_s=5.0, expected_s=3.0)
    climb, effects = said(climb, 3.0, ILLEGAL, expected_s=3.0)
    assert effects == []
    found = finish(m.decide(climb, ENGINE)[1])
    assert found.account.skipped == "attempt 2 takes about 3.00 s, and 1.50 s are left"


def test_the_cutoff_stops_the_model_and_the_engine_moves_at_once() -> None:
    climb, _ = begin(timeout_s=2.0)
    assert climb.cutoff == 1.8
    climb, _ = m.decide(climb, ENGINE)
    climb, effects = m.decide(climb, m.CutOff(1.8))
    assert isinstance(effects[0], m.StopModel)
    found = finish(effects)
    assert found.uci == "d2d4"
    assert found.account.attempts[0].failure == "late"
    assert said(climb, 1.9, Read("e2e4")) == (climb, [])


def test_what_cannot_get_better_is_not_asked_again() -> None:
    climb, _ = m.decide(begin()[0], ENGINE)
    _, effects = m.decide(climb, m.Failed(1.0, 1, "refused", "no such model", 0.0, again=False))
    assert finish(effects).account.attempts[0].why == "no such model"


def test_what_may_get_better_is() -> None:
    climb, effects = m.decide(begin()[0], m.Failed(1.0, 1, "no-answer", "garbage", 0.0, again=True))
    assert effects == [m.AskModel(2, climb.attempts, 9.5)]


def test_the_mask_moves_for_a_policy_whose_best_move_is_illegal_and_is_named() -> None:
    _, effects = said(begin()[0], 1.0, ILLEGAL, instead="g1f3")
    found = finish(effects)
    assert (found.uci, found.by) == ("g1f3", "tiny")
    assert found.account.constrained
    assert [attempt.failure for attempt in found.account.attempts] == ["illegal", None]


def test_without_an_engine_nobody_moves_and_the_account_says_so() -> None:
    climb, _ = begin(attempts=1)
    climb, _ = m.decide(climb, m.EngineLost(0.5, "the engine died"))
    found = finish(said(climb, 1.0, ILLEGAL)[1])
    assert (found.uci, found.reason) == (None, "the engine died")


def test_an_answer_to_an_earlier_attempt_is_none() -> None:
    climb, _ = said(begin()[0], 1.0, ILLEGAL)
    assert m.decide(climb, m.Said(1.1, 1, "e4", Read("e2e4"), 0.0)) == (climb, [])


def test_latency_expects_the_slow_ones_and_forgets_a_bad_hour() -> None:
    latency = Latency()
    assert latency.expected_s == 0.0
    for took_s in (0.1, 0.1, 0.1):
        latency.measured(took_s)
    latency.measured(5.0)
    assert latency.expected_s == 0.1  # an answer that never came is not the rule
    latency.measured(5.0)
    assert latency.expected_s == 5.0
    latency.passed_over()
    assert latency.expected_s == 0.1
    for _ in range(5):
        latency.passed_over()
    assert latency.expected_s == 0.0

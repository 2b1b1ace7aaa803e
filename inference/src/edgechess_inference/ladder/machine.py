"""The ladder's decisions: `decide(climb, event) -> (climb, effects)`. Pure: times come with the events.

    begin ──> asking (attempt 1, 2, …) ──legal move──> done: the model moved
                 │ no attempt left, no time for one, or no use in one
                 v
              waiting for the engine's answer ──────> done: the engine moved, or nobody could

The engine was asked at the beginning, beside the first attempt, so its answer is there when it is wanted.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, assert_never

from edgechess_inference.ladder.account import Account, Attempt, Failure
from edgechess_inference.ladder.reading import Read, Unread

ANSWER_LIMIT = 160  # characters of an answer that are kept: what a person reads, and what fits on the bus
GENERAL_ATTEMPTS = 3  # plain; why the last failed; all failures and the legal moves (the AWS sample's ladder)
TUNED_ATTEMPTS = 5  # of fine-tuned models, each told the illegal moves so far (the same)
MARGIN_SHARE = 0.1  # of a question's time is kept for the answer's own way, with these two as its bounds
MARGIN_LEAST_S = 0.02
MARGIN_MOST_S = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """`attempts` at most. `by`: how the model is named in the account."""

    by: str
    attempts: int = GENERAL_ATTEMPTS


# ---------------------------------------------------------------- events


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """The model answered attempt `number`. `instead`: the move that it would choose among the legal ones, where known."""

    at: float
    number: int
    text: str
    reading: Read | Unread
    expected_s: float
    constrained: bool = False
    instead: str | None = None
    adapter: str | None = None
    weights: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """The model did not answer attempt `number`. `again`: another attempt may fare better."""

    at: float
    number: int
    failure: Failure
    why: str
    expected_s: float
    again: bool


@dataclasses.dataclass(frozen=True, slots=True)
class EngineMoved:
    at: float
    uci: str
    by: str
    took_s: float
    note: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class EngineLost:
    at: float
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class CutOff:
    """The model's time is up."""

    at: float


Event = Said | Failed | EngineMoved | EngineLost | CutOff

# ---------------------------------------------------------------- effects


@dataclasses.dataclass(frozen=True, slots=True)
class AskModel:
    """Attempt `number` (from 1), after these failures. It may take until `until`."""

    number: int
    failures: tuple[Attempt, ...]
    until: float


@dataclasses.dataclass(frozen=True, slots=True)
class StopModel:
    """Whatever is being asked is of no more interest."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finish:
    """A legal move (or None: neither model nor engine gave one) and how it came about."""

    uci: str | None
    by: str
    reason: str | None
    account: Account


Effect = AskModel | StopModel | Finish
Result = tuple["Climb", list[Effect]]


@dataclasses.dataclass(frozen=True, slots=True)
class Climb:
    """One question on its way. `cutoff`: the model may answer until then, on the clock of the events."""

    rules: Rules
    began: float
    cutoff: float
    stage: Literal["asking", "waiting", "done"] = "asking"
    number: int = 0
    asked_at: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    engine: EngineMoved | EngineLost | None = None
    skipped: str | None = None


def begin(rules: Rules, *, at: float, timeout_s: float, expected_s: float) -> Result:
    """The question comes at `at` and must be answered within `timeout_s`."""
    margin_s = min(max(MARGIN_SHARE * timeout_s, MARGIN_LEAST_S), MARGIN_MOST_S)
    climb = Climb(rules=rules, began=at, cutoff=at + max(timeout_s - margin_s, 0.0))
    return _next(climb, at, expected_s)


def decide(climb: Climb, event: Event) -> Result:
    """What is done has no further effects; an answer to an earlier attempt has none either."""
    if climb.stage == "done":
        return climb, []
    match event:
        case Said():
            return _said(climb, event) if _is_asked(climb, event.number) else (climb, [])
        case Failed():
            return _failed(climb, event) if _is_asked(climb, event.number) else (climb, [])
        case EngineMoved() | EngineLost():
            climb = dataclasses.replace(climb, engine=event)
            return _to_the_engine(climb, event.at) if climb.stage == "waiting" else (climb, [])
        case CutOff():
            return _cut_off(climb, event.at)
        case _:
            assert_never(event)


def _is_asked(climb: Climb, number: int) -> bool:
    return climb.stage == "asking" and climb.number == number


def _next(climb: Climb, at: float, expected_s: float) -> Result:
    """The next attempt, if there is one left and time for it."""
    number = climb.number + 1
    left_s = climb.cutoff - at
    if number > climb.rules.attempts:
        return _to_the_engine(climb, at)
    if left_s <= 0 or expected_s > left_s:
        why = f"attempt {number} takes about {expected_s:.2f} s, and {max(left_s, 0.0):.2f} s are left"
        return _to_the_engine(dataclasses.replace(climb, skipped=why), at)
    climb = dataclasses.replace(climb, number=number, asked_at=at)
    failures = tuple(attempt for attempt in climb.attempts if attempt.failure is not None)
    return climb, [AskModel(number, failures, climb.cutoff)]


def _said(climb: Climb, event: Said) -> Result:
    took_s = event.at - climb.asked_at
    attempt = Attempt(climb.rules.by, took_s, event.text[:ANSWER_LIMIT], constrained=event.constrained)
    if isinstance(event.reading, Read):
        return _the_model_moves(climb, event, attempt, event.reading)
    attempt = dataclasses.replace(attempt, failure=event.reading.failure, why=event.reading.why)
    climb = dataclasses.replace(climb, attempts=(*climb.attempts, attempt))
    if event.instead is not None:
        chosen = Attempt(climb.rules.by, 0.0, event.instead, constrained=True)
        return _the_model_moves(climb, event, chosen, Read(event.instead))
    return _next(climb, event.at, event.expected_s)


def _the_model_moves(climb: Climb, event: Said, attempt: Attempt, read: Read) -> Result:
    climb = dataclasses.replace(climb, attempts=(*climb.attempts, attempt), stage="done")
    account = Account(
        attempts=climb.attempts,
        constrained=attempt.constrained,
        adapter=event.adapter,
        weights=event.weights,
        took_s=event.at - climb.began,
    )
    return climb, [Finish(read.uci, climb.rules.by, read.reason, account)]


def _failed(climb: Climb, event: Failed) -> Result:
    attempt = Attempt(climb.rules.by, event.at - climb.asked_at, failure=event.failure, why=event.why)
    climb = dataclasses.replace(climb, attempts=(*climb.attempts, attempt))
    return _next(climb, event.at, event.expected_s) if event.again else _to_the_engine(climb, event.at)


def _cut_off(climb: Climb, at: float) -> Result:
    if climb.stage != "asking":
        return climb, []
    why = f"No answer after {at - climb.asked_at:.2f} s, when the time was up."
    attempt = Attempt(climb.rules.by, at - climb.asked_at, failure="late", why=why)
    climb, effects = _to_the_engine(dataclasses.replace(climb, attempts=(*climb.attempts, attempt)), at)
    return climb, [StopModel(), *effects]


def _to_the_engine(climb: Climb, at: float) -> Result:
    engine = climb.engine
    if engine is None:
        return dataclasses.replace(climb, stage="waiting"), []
    climb = dataclasses.replace(climb, stage="done")
    account = Account(attempts=climb.attempts, fallback=True, skipped=climb.skipped, took_s=at - climb.began)
    if isinstance(engine, EngineLost):
        return climb, [Finish(None, climb.rules.by, engine.why, account)]
    used = Attempt(engine.by, engine.took_s, engine.uci)
    account = dataclasses.replace(account, attempts=(*climb.attempts, used))
    return climb, [Finish(engine.uci, engine.by, engine.note, account)]

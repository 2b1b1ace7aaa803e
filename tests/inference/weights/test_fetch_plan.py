"""The pure core: which chunk next, retries, hedges, throttling and verdicts, with times that are only numbers."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import random

import pytest

from edgechess_inference.weights import fetch_plan as p
from edgechess_inference.weights.errors import DamageError, SourceError


def plan(chunks: int = 4, sources: tuple[str, ...] = ("a",), receivers: int = 4, **limits: float) -> p.FetchPlan:
    return p.FetchPlan([100] * chunks, sources, receivers, random.Random(1), p.Limits(**limits))  # type: ignore[arg-type]


def ask(core: p.FetchPlan, receiver: int, now_s: float = 0.0) -> p.Effect:
    (effect,) = core.decide(p.Idle(receiver), now_s)
    return effect


def fetch(core: p.FetchPlan, receiver: int, now_s: float = 0.0) -> p.Fetch:
    effect = ask(core, receiver, now_s)
    assert isinstance(effect, p.Fetch), effect
    return effect


def broken(core: p.FetchPlan, receiver: int, fault: p.Fault, now_s: float, **more: float) -> list[p.Effect]:
    return core.decide(p.Broken(receiver, fault, f"{fault.value} it was", **more), now_s)  # type: ignore[arg-type]


def test_chunks_come_in_order_and_each_once() -> None:
    core = plan(3)
    assert [fetch(core, receiver).chunk for receiver in range(3)] == [0, 1, 2]
    assert isinstance(ask(core, 3), p.Wait)
    for receiver in (2, 0, 1):
        assert core.decide(p.Received(receiver), 0.1) == [p.Landed(receiver)]
    assert ask(core, 3) == p.Finish()
    assert core.finished
    assert core.tally.landed_bytes == 300


def test_what_is_wanted_comes_first() -> None:
    core = plan(10)
    fetch(core, 0)
    core.decide(p.Wanted((7, 8, 0)), 0.0)
    assert [fetch(core, receiver).chunk for receiver in (1, 2, 3)] == [7, 8, 1]


def test_a_damaged_chunk_is_fetched_again_from_the_other_source_at_once() -> None:
    core = plan(1, ("a", "b"))
    assert fetch(core, 0).source == 0
    assert core.decide(p.Damaged(0), 1.0) == []
    assert fetch(core, 0, 1.0) == p.Fetch(chunk=0, source=1)
    assert core.decide(p.Received(0), 1.1) == [p.Landed(0)]
    assert (core.tally.damaged_chunks, core.tally.healed_chunks, core.tally.refetched_bytes) == (1, 1, 100)


def test_damage_everywhere_ends_the_stream_by_name() -> None:
    core = plan(1, ("a", "b"), damages_max=2)
    for number in range(4):
        assert fetch(core, 0, float(number)).source == number % 2
        effects = core.decide(p.Damaged(0), float(number))
    (gave_up,) = effects
    assert isinstance(gave_up, p.GaveUp)
    assert isinstance(gave_up.error, DamageError)
    assert "a and b" in str(gave_up.error) or "b and a" in str(gave_up.error)
    assert ask(core, 0, 9.0) == p.Finish()


def test_a_source_that_sent_much_before_a_connection_broke_is_asked_again_at_once() -> None:
    core = p.FetchPlan([8 << 20], ["a"], 1, random.Random(1))
    fetch(core, 0)
    assert broken(core, 0, p.Fault.RESET, 1.0, received=2 << 20) == []
    assert fetch(core, 0, 1.0) == p.Fetch(chunk=0, source=0, start=2 << 20)
    assert broken(core, 0, p.Fault.RESET, 2.0, received=(2 << 20) + 1) == []
    assert isinstance(ask(core, 0, 2.0), p.Wait)  # one byte is no sign of health


def test_a_broken_connection_goes_on_where_it_ended_after_a_pause() -> None:
    core = plan(1)
    fetch(core, 0)
    assert broken(core, 0, p.Fault.RESET, 1.0, received=60) == []
    wait = ask(core, 0, 1.0)
    assert isinstance(wait, p.Wait)
    assert 0 < wait.seconds <= 0.1
    assert fetch(core, 0, 1.2) == p.Fetch(chunk=0, source=0, start=60)
    assert core.tally.refetched_bytes == 0


def test_where_parts_cannot_stay_a_broken_chunk_begins_anew() -> None:
    core = p.FetchPlan([100], ["a"], 1, random.Random(1), keeps_parts=False)
    fetch(core, 0)
    broken(core, 0, p.Fault.RESET, 1.0, received=60)
    assert fetch(core, 0, 2.0).start == 0
    assert core.tally.refetched_bytes == 60


def test_damage_forgets_what_was_kept() -> None:
    core = plan(1)
    fetch(core, 0)
    broken(core, 0, p.Fault.RESET, 1.0, received=60)
    assert fetch(core, 0, 2.0).start == 60
    core.decide(p.Damaged(0), 2.0)
    assert fetch(core, 0, 2.0).start == 0


def test_attempts_without_a_byte_are_counted_and_end() -> None:
    core, now_s = plan(1, attempts_max=3, patience_s=1e9), 0.0
    for attempt in range(3):
        fetch(core, 0, now_s)
        effects = broken(core, 0, p.Fault.RESET, now_s)
        now_s += 100.0
        assert bool(effects) == (attempt == 2)
    assert "(3 attempts)" in str(effects[0].error)  # type: ignore[union-attr]


def test_progress_renews_patience_and_silence_ends_it() -> None:
    core = plan(1, patience_s=10.0, attempts_max=1000)
    fetch(core, 0, 0.0)
    assert broken(core, 0, p.Fault.RESET, 9.0, received=10) == []
    fetch(core, 0, 18.0)
    assert broken(core, 0, p.Fault.RESET, 18.0, received=10) == []
    fetch(core, 0, 25.0)
    (gave_up,) = broken(core, 0, p.Fault.RESET, 25.0, received=10)
    assert "nothing came for 10 s" in str(gave_up.error)  # type: ignore[union-attr]


def test_a_throttled_source_rests_as_long_as_it_asks_and_takes_fewer() -> None:
    core = plan(8)
    for receiver in range(4):
        fetch(core, receiver)
    for receiver in range(4):  # all were refused at the same time: one rest, not four
        broken(core, receiver, p.Fault.THROTTLED, 1.0, retry_after_s=2.0)
    assert isinstance(ask(core, 0, 2.9), p.Wait)
    assert isinstance(fetch(core, 0, 3.1), p.Fetch)
    assert isinstance(fetch(core, 1, 3.1), p.Fetch)
    assert isinstance(ask(core, 2, 3.1), p.Wait)  # half of the four that were too many
    core.decide(p.Received(0), 3.2)
    core.decide(p.Received(1), 3.2)
    assert isinstance(fetch(core, 0, 3.2), p.Fetch)


def test_while_one_source_rests_the_other_serves() -> None:
    core = plan(8, ("a", "b"))
    fetch(core, 0)
    broken(core, 0, p.Fault.THROTTLED, 1.0, retry_after_s=5.0)
    assert fetch(core, 0, 1.1).source == 1


def test_a_dead_source_is_left_alone_after_three_strikes() -> None:
    core, sources = plan(20, ("dead", "live")), []
    for number in range(12):
        fetched = fetch(core, 0, 0.001 * number)
        sources.append(fetched.source)
        if fetched.source == 0:
            broken(core, 0, p.Fault.RESET, 0.001 * number)
        else:
            core.decide(p.Received(0), 0.001 * number)
    assert sources.count(0) == 3


def test_missing_here_is_asked_for_there_and_missing_everywhere_ends() -> None:
    core = plan(1, ("a", "b"))
    fetch(core, 0)
    assert broken(core, 0, p.Fault.MISSING, 0.0) == []
    assert fetch(core, 0, 0.01).source == 1
    (gave_up,) = broken(core, 0, p.Fault.MISSING, 0.0)
    assert isinstance(gave_up, p.GaveUp)
    assert isinstance(gave_up.error, SourceError)


def test_who_denies_once_is_not_asked_again() -> None:
    core = plan(4, ("a", "b"))
    fetch(core, 0)
    broken(core, 0, p.Fault.DENIED, 0.0)
    assert {fetch(core, receiver, 0.1).source for receiver in range(4)} == {1}
    (gave_up,) = broken(core, 2, p.Fault.DENIED, 0.2)
    assert str(gave_up.error) == "denied it was"  # type: ignore[union-attr]


# ---------------------------------------------------------------- hedges


def slow_plan() -> p.FetchPlan:
    """Three of four chunks came within 0.1 s; receiver 3 still fetches the last."""
    core = plan(4)
    for receiver in range(4):
        fetch(core, receiver)
    for receiver in range(3):
        core.decide(p.Received(receiver), 0.1)
    return core


def test_a_slow_chunk_is_hedged_when_it_is_far_behind_the_others() -> None:
    core = slow_plan()
    assert isinstance(ask(core, 0, 0.4), p.Wait)
    assert fetch(core, 0, 0.6) == p.Fetch(chunk=3, source=0, start=0, hedge=True)
    assert isinstance(ask(core, 1, 0.7), p.Wait)  # one at a time
    assert core.tally.hedged == 1


def test_a_hedge_waits_until_the_first_attempt_has_let_go_of_the_place() -> None:
    core = slow_plan()
    fetch(core, 0, 0.6)
    assert core.decide(p.Received(0), 0.8) == [p.Hold(), p.Cancel(3)]
    assert not core.landed(3)
    assert broken(core, 3, p.Fault.CANCELLED, 0.81, received=50) == [p.Adopt(0)]
    assert core.decide(p.Received(0), 0.82) == [p.Landed(3)]
    assert core.finished


def test_the_first_attempt_may_still_win() -> None:
    core = slow_plan()
    fetch(core, 0, 0.6)
    assert core.decide(p.Received(3), 0.7) == [p.Landed(3), p.Cancel(0)]
    assert broken(core, 0, p.Fault.CANCELLED, 0.71) == []
    assert core.finished


def test_the_first_attempt_may_win_while_the_hedge_holds() -> None:
    core = slow_plan()
    fetch(core, 0, 0.6)
    core.decide(p.Received(0), 0.8)
    assert core.decide(p.Received(3), 0.8) == [p.Landed(3), p.Drop(0)]


def test_a_hedge_that_fails_leaves_the_first_attempt_alone() -> None:
    core = slow_plan()
    fetch(core, 0, 0.6)
    assert broken(core, 0, p.Fault.RESET, 0.7) == []
    assert core.decide(p.Received(3), 0.8) == [p.Landed(3)]


def test_when_the_first_attempt_fails_the_hedge_goes_on_alone() -> None:
    core = slow_plan()
    fetch(core, 0, 0.6)
    assert broken(core, 3, p.Fault.RESET, 0.7) == []
    assert isinstance(ask(core, 1, 0.71), p.Wait)
    assert core.decide(p.Received(0), 0.8) == [p.Adopt(0)]
    assert core.decide(p.Received(0), 0.8) == [p.Landed(3)]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_every_chunk_lands_once_and_no_place_has_two_writers(seed: int) -> None:
    draw, now_s = random.Random(seed), 0.0
    core = p.FetchPlan([100] * 30, ["a", "b"], 5, draw, p.Limits(damages_max=100, attempts_max=1000))
    writers: dict[int, int] = {}  # receiver → chunk, of those that write to the chunk's place
    hedges: dict[int, int] = {}
    holding: set[int] = set()
    landed: list[int] = []

    def apply(receiver: int, effects: list[p.Effect]) -> None:
        for effect in effects:
            match effect:
                case p.Landed(chunk):
                    landed.append(chunk)
                case p.Hold():
                    holding.add(receiver)
                case p.Adopt(winner):
                    assert hedges[winner] not in writers.values()
                    holding.discard(winner)
                    chunk = hedges.pop(winner)
                    apply(winner, core.decide(p.Received(winner), now_s))
                    assert landed[-1] == chunk
                case p.Drop(loser):
                    holding.discard(loser)
                    hedges.pop(loser)
                case p.Cancel(loser):
                    hedges.pop(loser, None)
                    writers.pop(loser, None)
                    apply(loser, core.decide(p.Broken(loser, p.Fault.CANCELLED, ""), now_s))

    for _ in range(20_000):
        if core.finished:
            break
        now_s += draw.choice((0.001, 0.05, 1.0))
        receiver = draw.randrange(5)
        if receiver in holding:
            continue
        if receiver not in writers and receiver not in hedges:
            effect = ask(core, receiver, now_s)
            if isinstance(effect, p.Fetch):
                assert effect.hedge or effect.chunk not in writers.values()
                (hedges if effect.hedge else writers)[receiver] = effect.chunk
            continue
        outcome = draw.choice(("received", "received", "damaged", "reset", "throttled", "late"))
        if outcome == "late":
            continue
        hedged = receiver in hedges
        if outcome != "received" or not hedged:
            writers.pop(receiver, None)
        if outcome == "received":
            apply(receiver, core.decide(p.Received(receiver), now_s))
        else:
            hedges.pop(receiver, None)
            fault = p.Fault.THROTTLED if outcome == "throttled" else p.Fault.RESET
            event = p.Damaged(receiver) if outcome == "damaged" else p.Broken(receiver, fault, "")
            apply(receiver, core.decide(event, now_s))
    assert core.finished
    assert sorted(landed) == list(range(30))


# ---------------------------------------------------------------- what faults cost


CHUNKS, RECEIVERS, RATE = 1000, 12, 100.0  # one chunk takes a second on its connection


@dataclasses.dataclass
class Link:
    """One source over connections of one speed each, played in virtual time. Shares of all fetches."""

    drop: float = 0.0
    damage: float = 0.0
    slow: float = 0.0
    storms: tuple[tuple[float, float], ...] = ()
    """From when to when everything is refused."""
    sent: float = 0.0
    damaged: int = 0

    def run(self, seed: int) -> tuple[p.FetchPlan, float]:
        """The plan when it has finished, and when that was."""
        draw = random.Random(seed)
        limits = p.Limits(backoff_s=0.5, backoff_max_s=5.0, hedge_min_s=1.0)
        core = p.FetchPlan([100] * CHUNKS, ["a"], RECEIVERS, draw, limits)
        due: list[tuple[float, int, int, p.Event]] = []
        flights: dict[int, tuple[float, p.Fetch, int]] = {}
        count = itertools.count()

        def then(at_s: float, receiver: int, event: p.Event) -> None:
            number = next(count)
            heapq.heappush(due, (at_s, number, receiver, event))
            if receiver in flights:
                flights[receiver] = (*flights[receiver][:2], number)

        def fly(receiver: int, found: p.Fetch, now_s: float) -> None:
            flights[receiver] = (now_s, found, -1)
            chance, left = draw.random(), 100 - found.start
            if any(begin <= now_s < end for begin, end in self.storms):
                event: p.Event = p.Broken(receiver, p.Fault.THROTTLED, "slow down", found.start)
                then(now_s + 0.02, receiver, event)
            elif chance < self.drop:
                got = found.start + draw.randrange(left)
                then(now_s + (got - found.start) / RATE, receiver, p.Broken(receiver, p.Fault.RESET, "gone", got))
            elif chance < self.drop + self.damage:
                then(now_s + left / RATE, receiver, p.Damaged(receiver))
            else:
                slower = 20.0 if draw.random() < self.slow else 1.0
                then(now_s + slower * left / RATE, receiver, p.Received(receiver))

        def apply(receiver: int, effects: list[p.Effect], now_s: float) -> None:
            for effect in effects:
                match effect:
                    case p.Cancel(other):
                        began_s, found, _ = flights.pop(other)
                        got = min(99, found.start + int((now_s - began_s) * RATE / 20.0))
                        self.sent += got - found.start
                        then(now_s, other, p.Broken(other, p.Fault.CANCELLED, "", got))
                    case p.Adopt(winner):
                        apply(winner, core.decide(p.Received(winner), now_s), now_s)
                        then(now_s, winner, p.Idle(winner))
                    case p.Drop(loser):
                        then(now_s, loser, p.Idle(loser))

        for receiver in range(RECEIVERS):
            then(0.0, receiver, p.Idle(receiver))
        now_s = 0.0
        while not core.finished:
            now_s, number, receiver, event = heapq.heappop(due)
            if isinstance(event, p.Idle):
                match ask(core, receiver, now_s):
                    case p.Fetch() as found:
                        fly(receiver, found, now_s)
                    case p.Wait(seconds):
                        then(now_s + seconds, receiver, p.Idle(receiver))
                continue
            if receiver in flights and flights[receiver][2] != number:
                continue
            flight = flights.pop(receiver, None)
            if flight is None and not (isinstance(event, p.Broken) and event.fault is p.Fault.CANCELLED):
                continue  # it was cancelled meanwhile
            if flight is not None:
                end = event.received if isinstance(event, p.Broken) else 100
                self.sent += end - flight[1].start
                self.damaged += 100 * isinstance(event, p.Damaged)
            effects = core.decide(event, now_s)
            apply(receiver, effects, now_s)
            if not any(isinstance(effect, p.Hold) for effect in effects):
                then(now_s, receiver, p.Idle(receiver))
        return core, now_s


@pytest.mark.parametrize("seed", range(3))
def test_drops_and_damage_cost_no_more_than_they_must(seed: int) -> None:
    """5 % of connections dropped, 1 % of chunks damaged: at most 1.1 times the damage again, at most 1.3 times as long."""
    clean_s = Link().run(seed)[1]
    link = Link(drop=0.05, damage=0.01)
    core, took_s = link.run(seed)
    assert core.tally.broken > 20
    assert core.tally.healed_chunks > 2
    again = link.sent - 100 * CHUNKS
    assert 0 < again <= 1.1 * link.damaged
    assert core.tally.refetched_bytes == again
    assert took_s <= 1.3 * clean_s


@pytest.mark.parametrize("seed", range(3))
def test_storms_of_refusals_cost_little_more_than_they_last(seed: int) -> None:
    clean_s = Link().run(seed)[1]
    link = Link(storms=((10.0, 15.0), (30.0, 35.0)))
    core, took_s = link.run(seed)
    assert core.tally.throttled > 0
    assert link.sent == 100 * CHUNKS
    assert took_s <= 1.3 * (clean_s + 10.0)


@pytest.mark.parametrize("seed", range(3))
def test_slow_chunks_do_not_hold_up_the_others(seed: int) -> None:
    """One of a hundred comes at a twentieth of the speed; what is fetched twice is bounded."""
    clean_s = Link().run(seed)[1]
    link = Link(slow=0.01)
    core, took_s = link.run(seed)
    assert core.tally.hedged > 2
    assert link.sent - 100 * CHUNKS <= 1.1 * 100 * core.tally.hedged
    assert took_s <= 1.3 * clean_s

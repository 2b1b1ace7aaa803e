from __future__ import annotations

import dataclasses

import pytest

from edgechess_board import settling
from edgechess_board.settling import (
    Audited,
    Damaged,
    Dumped,
    Looked,
    RequestDump,
    Settling,
    Show,
    Started,
    Timing,
    Updated,
)

EMPTY = (0,) * 64
SCAN_S, DUMP_S = 0.25, 0.071  # a slow scan; one command byte and 67 answer bytes at 960 B/s


class Table:
    """The board's codes and a line that answers dumps after 71 ms, in the order of time."""

    def __init__(self, timing: Timing = settling.USB) -> None:
        self.state = Settling(timing)
        self.codes = list(EMPTY)
        self.now_s = 0.0
        self.answers: list[tuple[float, tuple[int, ...]]] = []
        self.shown: list[tuple[float, Show]] = []
        self.requests: list[float] = []
        self.deaf = False

    def feed(self, event: settling.Event) -> None:
        self.state, effects = settling.decide(self.state, event)
        for effect in effects:
            if isinstance(effect, RequestDump):
                self.requests.append(self.now_s)
                if not self.deaf:
                    self.answers.append((self.now_s + DUMP_S, tuple(self.codes)))
            else:
                self.shown.append((self.now_s, effect))

    def until(self, at_s: float) -> None:
        while True:
            wake_s = self.state.wake_at_s if self.state.wake_at_s is not None else float("inf")
            answer_s = self.answers[0][0] if self.answers else float("inf")
            self.now_s = min(at_s, max(self.now_s, min(wake_s, answer_s)))
            if min(wake_s, answer_s) > at_s:
                return
            if answer_s <= wake_s:
                self.feed(Dumped(self.now_s, self.answers.pop(0)[1]))
            else:
                self.feed(settling.Woken(self.now_s))

    def put(self, at_s: float, field: int, code: int) -> None:
        self.until(at_s)
        self.codes[field] = code
        self.feed(Updated(self.now_s, field, code))

    @property
    def settled(self) -> list[float]:
        return [at_s for at_s, shown in self.shown if shown.settled]


@pytest.fixture
def table() -> Table:
    table = Table()
    table.feed(Started(0.0))
    table.until(1.0)
    table.shown.clear()
    table.requests.clear()
    return table


def test_the_first_reading_settles_after_one_scan_and_two_dumps() -> None:
    table = Table()
    table.feed(Started(0.0))
    table.until(2.0)
    assert [(round(at_s, 3), shown.settled) for at_s, shown in table.shown] == [(0.071, False), (0.273, True)]


def test_an_update_shows_at_once_and_settles_after_a_quiet_scan_that_a_dump_confirms(table: Table) -> None:
    table.put(1.0, 52, 1)
    table.until(3.0)
    (first_s, first), (second_s, second) = table.shown
    assert (first_s, first.settled, first.codes[52]) == (1.0, False, 1)
    assert second.settled
    assert second_s - 1.0 >= SCAN_S
    assert second_s - 1.0 + SCAN_S <= 0.55  # worst case: the scanner had just passed the square
    assert table.requests == [pytest.approx(1.19)]
    assert second.changed_at_s == 1.0


def test_each_update_restarts_the_quiet_time(table: Table) -> None:
    for step in range(10):
        table.put(1.0 + 0.2 * step, step, 1)
    table.until(5.0)
    assert table.settled == [pytest.approx(2.8 + 0.273)]


def test_an_update_right_behind_the_dump_restarts_it_too(table: Table) -> None:
    table.put(1.0, 52, 1)
    table.until(1.19 + DUMP_S)  # the dump is complete; the scanner found e4 empty meanwhile
    table.put(1.19 + DUMP_S + 0.0052, 36, 1)
    table.until(1.5)
    assert table.settled == []
    table.until(2.0)
    assert table.settled == [pytest.approx(1.2662 + 0.273)]


def test_a_dump_that_differs_is_taken_over_and_scanned_again(table: Table) -> None:
    table.codes[36] = 1  # its update was lost on the line
    table.put(1.0, 52, 0)
    table.until(3.0)
    (_, first), (second_s, second), (third_s, third) = table.shown
    assert first.codes[36] == 0
    assert (second.settled, second.codes[36]) == (False, 1)
    assert second_s == pytest.approx(1.261)
    assert third.settled
    assert third_s == pytest.approx(1.261 + 0.273)


def test_a_lost_dump_is_asked_for_again(table: Table) -> None:
    table.deaf = True
    table.put(1.0, 52, 1)
    table.until(1.5)
    table.deaf = False
    table.until(3.0)
    assert table.requests == [pytest.approx(1.19), pytest.approx(1.59)]
    assert table.settled == [pytest.approx(1.59 + DUMP_S + 0.012)]


def test_damage_on_the_line_is_doubted(table: Table) -> None:
    table.until(1.0)
    table.codes[36] = 1
    table.feed(Damaged(1.0))
    table.until(3.0)
    assert [shown.settled for _, shown in table.shown] == [False, False, True]
    assert table.shown[-1][1].codes[36] == 1


def test_a_look_waits_for_a_whole_scan_after_it(table: Table) -> None:
    table.until(5.0)
    table.feed(Looked(5.0))
    table.put(5.2, 52, 1)  # the scanner comes by only now
    table.until(6.0)
    assert [shown.settled for _, shown in table.shown] == [False, True]
    assert table.shown[-1][1].quiet_from_s == 5.2
    table.feed(Looked(6.0))
    table.until(7.0)
    assert table.shown[-1][1].quiet_from_s == 6.0
    assert table.shown[-1][0] == pytest.approx(6.273)


def test_an_audits_dump_confirms_no_later_look(table: Table) -> None:
    table.until(5.0)
    table.feed(Audited(5.0))
    table.until(5.01)
    table.feed(Looked(5.01))
    table.until(7.0)
    assert [round(at_s, 3) for at_s, _ in table.shown] == [5.283]


def test_an_audit_finds_what_was_lost_without_a_trace(table: Table) -> None:
    table.codes[0] = 5
    table.feed(Audited(1.0))
    table.until(3.0)
    assert [shown.settled for _, shown in table.shown] == [False, True]


def test_a_flickering_square_is_named_and_never_settles(table: Table) -> None:
    at_s = 1.0
    for step in range(30):  # gaps of 0.2 and 0.6 s: some of them longer than a quiet scan
        at_s += 0.2 if step % 2 else 0.6
        table.put(at_s, 36, step % 2)
    named_s = next(at for at, shown in table.shown if shown.flickering == (36,))
    assert named_s < 4.5
    assert [at for at in table.settled if at > named_s] == []
    table.until(at_s + 3.0)
    assert table.settled[-1] == pytest.approx(at_s + 1.5, abs=0.6)
    assert table.shown[-1][1].flickering == ()


def test_bluetooth_waits_for_its_slower_scan() -> None:
    table = Table(settling.BLUETOOTH)
    table.feed(Started(0.0))
    table.until(2.0)
    table.put(2.0, 52, 1)
    table.until(4.0)
    assert table.settled[-1] - 2.0 >= 0.5


def test_thresholds_are_the_callers() -> None:
    table = Table(dataclasses.replace(settling.USB, quiet_s=1.0, dump_lead_s=0.0))
    table.feed(Started(0.0))
    table.until(3.0)
    assert table.requests == [0.0, 1.0]
    assert table.settled == [pytest.approx(1.0 + DUMP_S + 0.012)]

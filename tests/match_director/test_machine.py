"""The machine alone: every answer a game manager can give, in every order, with the process killed anywhere."""

from __future__ import annotations

import random
from typing import Any

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_kit.journal import Entry
from edgechess_kit.messages import GameRequest, GameResponse, ResponseDetail
from edgechess_match_director import events as e
from edgechess_match_director.errors import ControlRefused
from edgechess_match_director.machine import SEND_LIMIT, decide, summary
from edgechess_match_director.match import (
    ArmsView,
    Asking,
    Blocked,
    BoardView,
    Ended,
    Held,
    Match,
    Plan,
    Requesting,
    Seat,
    Watching,
    new_match,
)
from edgechess_match_director.resume import CREATED, fold, plan_data
from edgechess_match_director.rules import placement

START = chess.STARTING_FEN
AFTER_E4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR"


def plan(white: Seat = "answers", black: Seat = "answers", **changes: Any) -> Plan:
    usual: dict[str, Any] = {
        "session_id": "s1", "salt": "salt", "white": "w-word", "black": "b-word",
        "white_seat": white, "black_seat": black, "start_fen": START,
    }  # fmt: skip
    return Plan(**(usual | changes))


class Driver:
    """Feeds events, keeps what was wanted, and can be killed at any note."""

    def __init__(self, plan: Plan) -> None:
        self.match: Match = new_match(plan)
        self.entries: list[Entry] = []
        self.effects: list[e.Effect] = []
        self.write(e.Note(CREATED, plan_data(plan)))

    def write(self, note: e.Note) -> None:
        seq = len(self.entries) + 1
        self.entries.append(Entry(seq, float(seq), note.kind, "s1", note.key, dict(note.data)))

    def feed(self, event: e.Event) -> list[e.Effect]:
        self.match, self.effects = decide(self.match, event)
        for effect in self.effects:
            if isinstance(effect, e.Note):
                self.write(effect)
        return self.effects

    def restart(self) -> list[e.Effect]:
        self.match = fold(self.entries)
        return self.feed(e.Restarted(1000.0))

    @property
    def published(self) -> GameRequest:
        requests = [effect.request for effect in self.effects if isinstance(effect, e.Publish)]
        assert len(requests) == 1
        return requests[0]

    def answer(self, status: Any, code: str | None = None, found: str | None = None, **more: Any) -> list[e.Effect]:
        step = self.match.step
        assert isinstance(step, Requesting)
        detail = ResponseDetail(code=code, found=found, **more) if code or found or more else None
        return self.feed(
            e.Answered(9.0, GameResponse(status=status, task_token=step.token, reason="why", detail=detail))
        )

    def show(self, fen: str | None, settled: bool = True) -> list[e.Effect]:
        return self.feed(e.BoardShown(5.0, BoardView(settled, placement(fen) if fen else None)))

    def tick(self) -> list[e.Effect]:
        return self.feed(e.Tick(20.0, self.match.timer))

    def choose(self, uci: str, attempt: int = 1) -> list[e.Effect]:
        return self.feed(e.Chosen(3.0, len(self.match.plies) + 1, attempt, uci, "someone"))

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries]


def running(agreed: Plan | None = None) -> Driver:
    driver = Driver(agreed or plan())
    driver.feed(e.Start(1.0))
    driver.answer(200)
    return driver


def test_the_first_move_asks_chooses_requests_and_is_confirmed() -> None:
    driver = running()
    assert driver.effects[-1] == e.Ask("w", 1, 1)
    driver.choose("e2e4")
    request = driver.published
    assert (request.lan, request.executor, request.task_token) == ("e2e4", None, "s1.salt.1.1")
    driver.answer(200, timings_s={"arm": 3.0})
    assert driver.match.moves == ("e2e4",)
    assert driver.kinds() == [
        "session-created", "requested", "session-started", "asking", "move-chosen", "requested", "confirmed", "asking",
    ]  # fmt: skip


def test_a_token_is_written_before_it_is_published() -> None:
    driver = running()
    effects = driver.choose("e2e4")
    kinds = [type(effect).__name__ for effect in effects]
    assert kinds.index("Publish") > max(index for index, kind in enumerate(kinds) if kind == "Note")


def test_no_answer_means_the_same_token_again() -> None:
    driver = running()
    driver.choose("e2e4")
    first = driver.published
    driver.tick()
    assert driver.published == first
    assert isinstance(driver.match.step, Requesting)
    assert driver.match.step.sent == 2


def test_answers_of_other_tokens_and_second_answers_mean_nothing() -> None:
    driver = running()
    driver.choose("e2e4")
    assert driver.feed(e.Answered(5.0, GameResponse(status=200, task_token="s1.salt.0.1"))) == []
    assert driver.feed(e.Answered(5.0, GameResponse(status=500))) == []
    driver.answer(200)
    assert driver.feed(e.Answered(6.0, GameResponse(status=500, task_token="s1.salt.1.1"))) == []
    assert driver.match.moves == ("e2e4",)


def test_an_unchanged_board_is_tried_again_with_a_new_token_and_after_three_times_by_a_person() -> None:
    driver = running()
    driver.show(START)
    driver.choose("e2e4")
    seen = [driver.published]
    for _ in range(3):
        driver.answer(500, "unchanged", placement(START), phase="board-after")
        driver.tick()
        seen.append(driver.published)
    assert [request.executor for request in seen] == [None, None, None, "person"]
    assert len({request.task_token for request in seen}) == 4
    driver.answer(200)
    assert driver.match.plies[0].helped
    assert driver.match.plies[0].retried == 3


def test_a_disturbed_table_is_waited_for_until_it_shows_the_position_after() -> None:
    driver = running()
    driver.show(START)
    driver.choose("e2e4")
    driver.show("8/8/8/8/8/8/8/8 w - - 0 1")
    driver.answer(500, "dropped", "8/8/8/8/8/8/8/8")
    assert isinstance(driver.match.step, Blocked)
    assert driver.tick() == []  # no timer of this step is running
    driver.show(AFTER_E4, settled=False)
    assert driver.tick() == []
    assert isinstance(driver.show(AFTER_E4)[0], e.Timer)
    driver.tick()
    request = driver.published
    assert (request.executor, request.task_token) == ("person", "s1.salt.1.2")
    driver.answer(200)
    assert driver.match.plies[0].helped
    assert "helped" in driver.kinds()


def test_a_table_put_back_is_left_to_the_arm_again_once_the_arms_rest() -> None:
    driver = running()
    driver.feed(e.ArmsShown(1.0, ArmsView(ready=False, moving=False)))
    driver.choose("e2e4")
    driver.show("8/8/8/8/8/8/8/8 w - - 0 1")
    driver.answer(500, "arm-lost", "8/8/8/8/8/8/8/8")
    driver.show(START)
    driver.tick()
    assert isinstance(driver.match.step, Blocked)  # an arm that is stopped gets no new job
    driver.feed(e.ArmsShown(1.0, ArmsView(ready=True, moving=False)))
    driver.tick()
    assert driver.published.executor is None


def test_an_arm_that_stays_stopped_is_left_out_but_a_moving_one_never() -> None:
    driver = running()
    driver.show(START)
    driver.choose("e2e4")
    driver.feed(e.ArmsShown(1.0, ArmsView(ready=False, moving=True)))
    driver.answer(500, "unchanged", placement(START))
    for _ in range(200):
        driver.tick()
        assert isinstance(driver.match.step, Blocked)
    driver.feed(e.ArmsShown(1.0, ArmsView(ready=False, moving=False)))
    driver.tick()
    assert driver.published.executor == "person"


def test_a_position_passed_through_is_not_taken_for_the_end_of_the_repair() -> None:
    driver = running()
    driver.choose("e2e4")
    driver.show("8/8/8/8/8/8/8/8 w - - 0 1")
    driver.answer(500, "dropped", "8/8/8/8/8/8/8/8")
    driver.show(AFTER_E4)
    old = driver.match.timer
    driver.show("8/8/8/8/8/8/8/8 w - - 0 1")
    assert driver.feed(e.Tick(9.0, old)) == []


def test_a_busy_manager_is_asked_again_with_a_new_token() -> None:
    driver = running()
    driver.choose("e2e4")
    driver.answer(400, "busy")
    driver.tick()
    assert driver.published.task_token == "s1.salt.1.2"
    driver.answer(200)
    assert driver.match.plies[0].retried == 0


def test_a_refused_request_ends_the_match_with_the_reason() -> None:
    driver = running()
    driver.choose("e2e4")
    driver.answer(400, "illegal")
    assert isinstance(driver.match.step, Ended)
    assert driver.match.step.ending.termination == "abandoned: request refused"
    assert driver.entries[-1].data["result"] == "*"


def test_a_player_that_fails_three_times_ends_the_match() -> None:
    driver = running()
    for attempt in (1, 2, 3):
        driver.feed(e.PlayerError(2.0, 1, attempt, "it died"))
    assert driver.entries[-1].data["termination"] == "abandoned: engine failed"
    assert driver.kinds().count("player-failed") == 3


def test_an_illegal_choice_is_a_failure_of_the_player_and_never_reaches_the_table() -> None:
    driver = running()
    driver.choose("e2e5")
    assert driver.match.step == Asking(2, 3.0)
    driver.choose("e2e4", attempt=1)  # late
    assert isinstance(driver.match.step, Asking)
    driver.choose("e2e4", attempt=2)
    assert driver.published.lan == "e2e4"


def test_a_person_at_the_board_is_watched_and_asked_for_nothing() -> None:
    driver = running(plan(white="person"))
    assert isinstance(driver.match.step, Watching)
    assert not any(isinstance(effect, e.Ask) for effect in driver.effects)
    moved = e.PersonMoved(11.0, "s1", "e2e4", START)
    assert driver.feed(e.PersonMoved(11.0, "other", "e2e4", START)) == []
    assert driver.feed(e.PersonMoved(11.0, "s1", "e2e5", START)) == []
    driver.feed(moved)
    assert (driver.published.lan, driver.published.executor) == ("e2e4", "person")
    assert driver.feed(moved) == []


def test_a_persons_move_whose_report_was_lost_is_seen_on_the_board() -> None:
    driver = running(plan(white="person"))
    driver.show(AFTER_E4)
    assert isinstance(driver.match.step, Watching)
    assert driver.show(AFTER_E4) == []  # the same again does not start the wait anew
    driver.tick()
    assert driver.published.lan == "e2e4"


def test_a_person_who_takes_the_move_back_may_make_another() -> None:
    driver = running(plan(white="person"))
    driver.feed(e.PersonMoved(11.0, "s1", "e2e4", START))
    driver.answer(500, "deadline", placement(START))
    driver.show(START)
    driver.tick()
    assert isinstance(driver.match.step, Watching)


def test_the_hand_is_asked_but_moves_itself() -> None:
    driver = running(plan(white="hand"))
    assert driver.effects[-1] == e.Ask("w", 1, 1)
    driver.choose("e2e4")
    assert driver.published.executor == "person"


def test_a_move_entered_on_a_page_is_made_by_the_arm_also_after_a_failure_and_a_restart() -> None:
    driver = running(plan(white="person"))
    driver.feed(e.Entered(4.0, "e2e4"))
    assert (driver.published.lan, driver.published.executor) == ("e2e4", None)
    driver.restart()
    assert driver.published.executor is None
    driver.show(START)
    driver.answer(500, "unchanged", found=placement(START))
    driver.tick()
    assert (driver.published.lan, driver.published.executor) == ("e2e4", None)
    driver.answer(200)
    assert driver.match.moves == ("e2e4",)


def test_a_move_entered_on_a_page_is_the_hands_where_there_is_no_arm() -> None:
    driver = running(plan(white="person", robot_enabled=False))
    driver.feed(e.Entered(4.0, "e2e4"))
    assert driver.published.executor == "person"


def test_a_move_entered_while_the_match_is_paused_is_kept() -> None:
    driver = running(plan(white="person"))
    driver.feed(e.Pause(2.0))
    driver.feed(e.Entered(4.0, "e2e4"))
    assert isinstance(driver.match.step, Held)
    driver.restart()
    driver.feed(e.Resume(5.0))
    assert (driver.published.lan, driver.published.executor) == ("e2e4", None)


@pytest.mark.parametrize(("agreed", "uci"), [(plan(), "e2e4"), (plan(white="person"), "e2e5")])
def test_a_move_that_nobody_may_enter_is_refused(agreed: Plan, uci: str) -> None:
    driver = running(agreed)
    with pytest.raises(ControlRefused, match="no person's turn" if uci == "e2e4" else "not legal"):
        driver.feed(e.Entered(4.0, uci))


def test_without_robots_a_person_makes_every_move() -> None:
    driver = running(plan(robot_enabled=False))
    driver.choose("e2e4")
    assert driver.published.executor == "person"


def test_a_match_is_paused_between_moves() -> None:
    driver = running()
    driver.feed(e.Pause(1.0))
    driver.choose("e2e4")
    assert isinstance(driver.match.step, Held)
    driver.restart()
    assert isinstance(driver.match.step, Held)
    driver.feed(e.Resume(2.0))
    assert driver.published.lan == "e2e4"


def test_a_resignation_waits_for_the_move_under_way_and_survives_a_restart() -> None:
    driver = running()
    driver.choose("e2e4")
    driver.feed(e.Resign(1.0, "b"))
    driver.restart()
    assert driver.published.lan == "e2e4"
    effects = driver.answer(200)
    told = next(effect.control for effect in effects if isinstance(effect, e.Tell))
    assert (told.command, told.color) == ("resign", "b")
    assert (told.session_id, told.result, told.termination) == (driver.match.plan.session_id, "1-0", "resignation")
    assert summary(driver.match)["result"] == "1-0"
    assert summary(driver.match)["plies"] == 1


def test_a_move_that_was_never_answered_shows_in_the_summary() -> None:
    driver = running()
    driver.choose("e2e4")
    driver.answer(500, "unchanged", found=START)
    driver.show(START)
    driver.tick()
    driver.answer(200)
    driver.choose("e7e5")
    driver.answer(400, "busy")
    driver.tick()
    driver.restart()
    for _ in range(SEND_LIMIT):
        driver.tick()
    told = summary(driver.match)
    assert (told["termination"], told["plies"], told["confirmed"]) == ("abandoned: no answer", 2, 1)


def test_a_move_that_failed_was_not_played() -> None:
    driver = running()
    driver.choose("e2e4")
    driver.answer(500, "after-mismatch")
    driver.feed(e.Resign(50.0, "w"))
    told = summary(driver.match)
    assert (told["plies"], told["confirmed"]) == (0, 0)


def test_a_draw_needs_both() -> None:
    driver = running()
    driver.feed(e.Draw(1.0, "w"))
    driver.feed(e.Draw(1.0, "w"))
    assert isinstance(driver.match.step, Asking)
    effects = driver.feed(e.Draw(1.0, "b"))
    told = next(effect.control for effect in effects if isinstance(effect, e.Tell))
    assert (told.command, told.result, told.termination) == ("draw", "1/2-1/2", "agreement")
    assert driver.entries[-1].data["termination"] == "agreement"


@pytest.mark.parametrize("event", [e.Pause(1.0), e.Resume(1.0), e.Resign(1.0, "w"), e.Draw(1.0, None)])
def test_commands_to_a_match_that_is_not_running_are_refused(event: e.Event) -> None:
    driver = Driver(plan())
    with pytest.raises(ControlRefused, match="has not been started"):
        driver.feed(event)
    driver = running()
    driver.feed(e.Resign(1.0, "w"))
    with pytest.raises(ControlRefused, match="has ended: resignation"):
        driver.feed(event)


def test_commands_at_the_wrong_moment_are_refused() -> None:
    driver = running()
    with pytest.raises(ControlRefused, match="not paused"):
        driver.feed(e.Resume(1.0))
    with pytest.raises(ControlRefused, match="started already"):
        driver.feed(e.Start(1.0))
    driver.feed(e.Pause(1.0))
    with pytest.raises(ControlRefused, match="paused already"):
        driver.feed(e.Pause(1.0))


def test_a_replay_ends_as_its_record_says_and_the_manager_is_told() -> None:
    driver = running()
    effects = driver.feed(e.ReplayDone(2.0, 1, 1, "0-1", "resignation", "over"))
    assert next(effect.control.color for effect in effects if isinstance(effect, e.Tell)) == "w"
    assert (driver.entries[-1].data["result"], driver.entries[-1].data["termination"]) == ("0-1", "resignation")


def test_the_managers_end_is_taken_even_when_our_board_does_not_show_it() -> None:
    driver = running()
    driver.choose("e2e4")
    driver.answer(200, result="1-0", termination="time-forfeit")
    assert driver.entries[-1].data["termination"] == "time-forfeit"
    driver = running()
    driver.feed(e.SessionEnded(4.0, "another", "1-0", "resignation"))
    assert isinstance(driver.match.step, Asking)
    driver.feed(e.SessionEnded(4.0, "s1", "1-0", "resignation"))
    assert driver.entries[-1].data["result"] == "1-0"


def test_a_start_that_the_board_does_not_show_waits_for_the_pieces() -> None:
    driver = Driver(plan())
    driver.feed(e.Start(1.0))
    driver.show("8/8/8/8/8/8/8/8 w - - 0 1")
    driver.answer(500, "before-mismatch", "8/8/8/8/8/8/8/8", phase="board-before")
    driver.show(START)
    driver.tick()
    assert (driver.published.action, driver.published.task_token) == ("start", "s1.salt.0.2")


def test_max_plies_ends_without_a_result() -> None:
    driver = running(plan(max_plies=1))
    driver.choose("e2e4")
    driver.answer(200)
    assert (driver.entries[-1].data["result"], driver.entries[-1].data["termination"]) == ("*", "max-plies")


# ---------------------------------------------------------------- any answer, any order, killed anywhere

MOVES = ("e2e4", "d7d5", "e4d5", "d8d5")
GARBLED = "8/8/8/8/8/8/8/8"


class World:
    """A manager that keeps its word (one answer per token), a table, and a director that is killed at will.

    Checked on every publication: one token at a time, a new one only after the last was answered, and after a failure
    only when the table stands before or after the move.
    """

    def __init__(self, seed: int, seats: tuple[Seat, Seat]) -> None:
        self.chance = random.Random(seed)
        self.driver = Driver(plan(*seats, max_plies=len(MOVES)))
        self.board = chess.Board()  # what is confirmed
        self.table = self.board.board_fen()
        self.answers: dict[str, GameResponse] = {}
        self.published: list[str] = []
        self.executed: list[str] = []
        self.heard: set[str] = set()  # tokens whose answer reached the director's journal
        self.mail: list[e.Event] = [e.Start(0.0), self.shown()]
        self.timer: int | None = None
        self.fair = False  # nothing goes wrong any more

    def unlucky(self, probability: float) -> bool:
        return not self.fair and self.chance.random() < probability

    def shown(self) -> e.Event:
        return e.BoardShown(0.0, BoardView(True, self.table))

    def step(self) -> None:
        choices = ["mail"] * 3 * bool(self.mail) + ["timer"] * (self.timer is not None) + ["person"]
        match self.chance.choice(choices):
            case "mail":
                index = 0 if self.fair else self.chance.randrange(len(self.mail))
                event = self.mail[index] if self.unlucky(0.2) else self.mail.pop(index)  # sometimes it comes again
                self.feed(event)
            case "timer":
                number, self.timer = self.timer, None
                assert number is not None
                self.feed(e.Tick(0.0, number))
            case _:
                self.person()

    def feed(self, event: e.Event) -> None:
        if isinstance(event, e.Start) and self.driver.kinds().count("requested"):
            return
        self.act(lambda: decide(self.driver.match, event))

    def act(self, decision: Any) -> None:
        self.driver.match, effects = decision()
        for effect in effects:
            if isinstance(effect, e.Note):
                self.driver.write(effect)
                if effect.kind in ("confirmed", "failed", "session-started"):
                    self.heard |= {effect.key} if effect.key else set()
                if self.unlucky(0.05):
                    self.kill()
                    return
            elif isinstance(effect, e.Publish):
                self.manage(effect.request)
            elif isinstance(effect, e.Ask):
                self.mail.append(e.Chosen(0.0, effect.ply, effect.attempt, MOVES[effect.ply - 1], "x"))
            elif isinstance(effect, e.Timer):
                self.timer = effect.number

    def kill(self) -> None:
        self.timer = None
        self.mail = [event for event in self.mail if isinstance(event, e.Start | e.Answered)]
        self.driver.match = fold(self.driver.entries)
        self.act(lambda: decide(self.driver.match, e.Restarted(0.0)))
        if self.driver.kinds() == [CREATED]:
            self.mail.append(e.Start(0.0))
        self.mail.append(self.shown())

    def manage(self, request: GameRequest) -> None:
        token = request.task_token
        if token not in self.published:
            self.check_new(request)
            self.published.append(token)
        if token not in self.answers:
            if self.unlucky(0.1):
                return  # lost on the way
            self.answers[token] = self.decide_answer(request)
        if not self.unlucky(0.1):
            self.mail.append(e.Answered(0.0, self.answers[token]))

    def check_new(self, request: GameRequest) -> None:
        open_tokens = [known for known in self.published if known not in self.heard and known.split(".")[2] != "0"]
        assert not open_tokens, f"{request.task_token} while {open_tokens} has no answer yet"
        assert request.before.split()[0] == self.board.board_fen()
        ply = request.task_token.rsplit(".", 1)[0] + "."
        failed = [known for known in self.heard if known.startswith(ply) and self.answers[known].status == 500]
        view = self.driver.match.board
        if request.executor is None and failed and view is not None:
            assert view.placement == self.board.board_fen()

    def decide_answer(self, request: GameRequest) -> GameResponse:
        token = request.task_token
        if request.action == "start":
            return GameResponse(status=200, task_token=token)
        move = chess.Move.from_uci(request.lan)
        after = self.board.copy()
        after.push(move)
        before = self.board.board_fen()
        if self.unlucky(0.1):
            return self.fail(token, 400, "busy", None)
        if self.table not in (before, *([after.board_fen()] if request.executor == "person" else [])):
            return self.fail(token, 500, "before-mismatch", self.table)
        if request.executor is None:
            assert token not in self.executed
            self.executed.append(token)
            if self.unlucky(0.5):
                self.table = self.chance.choice([before, GARBLED, after.board_fen()])
                self.mail.append(self.shown())
                code = {before: "unchanged", GARBLED: "dropped"}.get(self.table, "arm-lost")
                return self.fail(token, 500, code, self.table)
        elif self.unlucky(0.3):
            return self.fail(token, 500, "deadline", self.table)
        self.table, self.board = after.board_fen(), after
        self.mail.append(self.shown())
        return GameResponse(status=200, task_token=token, lan=request.lan)

    def fail(self, token: str, status: Any, code: str, found: str | None) -> GameResponse:
        phase: Any = "board-before" if code == "before-mismatch" else "board-after"
        return GameResponse(status=status, task_token=token, detail=ResponseDetail(code=code, found=found, phase=phase))

    def person(self) -> None:
        """Puts a garbled table right, one way or the other; makes the moves of a person's seat."""
        ply = len(self.driver.match.plies)
        step = self.driver.match.step
        if self.table == GARBLED and ply < len(MOVES):
            after = self.board.copy()
            after.push_uci(MOVES[len(self.board.move_stack)])
            self.table = self.chance.choice([self.board.board_fen(), after.board_fen()])
        elif isinstance(step, Watching) and len(self.board.move_stack) == ply < len(MOVES):
            before = self.board.fen()
            after = self.board.copy()
            after.push_uci(MOVES[ply])
            self.table = after.board_fen()
            if not self.unlucky(0.3):
                self.mail.append(e.PersonMoved(0.0, "s1", MOVES[ply], before))
        self.mail.append(self.shown())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    seats=st.sampled_from([("answers", "answers"), ("answers", "hand"), ("person", "answers")]),
)
def test_whatever_happens_every_move_is_confirmed_once_and_no_token_is_executed_twice(
    seed: int, seats: tuple[Seat, Seat]
) -> None:
    world = World(seed, seats)
    for _ in range(150):
        if isinstance(world.driver.match.step, Ended):
            break
        world.step()
    world.fair = True
    for _ in range(600):
        if isinstance(world.driver.match.step, Ended):
            break
        world.step()
    match = world.driver.match
    assert isinstance(match.step, Ended), f"{match.step} with mail {world.mail} and timer {world.timer}"
    assert match.step.ending.termination == "max-plies"
    assert match.moves == MOVES == tuple(move.uci() for move in world.board.move_stack)
    assert len(world.executed) == len(set(world.executed))
    assert world.driver.kinds().count("confirmed") == len(MOVES)
    told, folded = summary(match), fold(world.driver.entries)
    assert told["plies"] == told["confirmed"] == len(MOVES)
    assert (folded.plies, folded.played, folded.confirmed) == (match.plies, match.played, match.confirmed)


def test_every_prefix_of_a_journal_can_be_taken_up() -> None:
    driver = running()
    driver.show(START)
    driver.choose("e2e4")
    driver.answer(500, "dropped", GARBLED)
    driver.tick()
    driver.answer(200)
    driver.feed(e.PlayerError(2.0, 2, 1, "it died"))
    driver.choose("e7e5", attempt=2)
    driver.answer(400, "busy")
    driver.tick()
    driver.feed(e.Resign(1.0, "w"))
    driver.answer(200)
    assert driver.kinds()[-1] == "summary"
    for length in range(1, len(driver.entries) + 1):
        other = Driver(plan())
        other.entries = driver.entries[:length]
        other.restart()
        tokens = [entry.key for entry in other.entries if entry.kind == "requested"]
        assert len(tokens) == len(set(tokens))


# ---------------------------------------------------------------- the table is set up before the start


SETUP = plan(number=2, resets="s0")
MESS = "rnbqkbnr/ppp1pppp/8/3p4/4P3/8/PPPP1PPP/RNBQKBNR"


def board(placement_: str) -> e.BoardShown:
    return e.BoardShown(50.0, BoardView(True, placement_))


def test_the_arms_set_the_table_up_and_then_the_match_is_started() -> None:
    driver = Driver(SETUP)
    driver.feed(e.Start(1.0))
    asked = driver.published
    assert (asked.action, asked.session_id, placement(asked.before)) == ("setup", "s0", placement(START))
    driver.restart()
    assert driver.published == asked, "the same token after a kill"
    driver.answer(200)
    assert (driver.published.action, driver.published.session_id) == ("start", "s1")
    assert driver.published.task_token != asked.task_token
    driver.restart()
    driver.answer(200)
    assert isinstance(driver.match.step, Asking)
    assert summary_helped(driver) == 0


def test_a_setup_that_needs_a_person_goes_on_when_the_board_shows_what_was_asked_for() -> None:
    driver = Driver(SETUP)
    driver.feed(e.Start(1.0))
    first = driver.published.task_token
    wanted = MESS.replace("PPPP1PPP", "PPPP1PP1")
    driver.answer(500, "dropped", found=MESS, expected=wanted)
    driver.restart()
    driver.feed(board(MESS))
    assert driver.effects == []
    driver.feed(board(wanted))  # only the piece that was missing: the rest is the arms' work again
    driver.tick()
    assert (driver.published.action, driver.published.task_token != first) == ("setup", True)
    driver.answer(200)
    driver.restart()
    driver.answer(200)
    assert summary_helped(driver) == 1


def test_a_setup_waits_for_stopped_arms_and_is_never_left_to_a_person_to_carry_out() -> None:
    driver = Driver(SETUP)
    driver.feed(e.Start(1.0))
    driver.feed(e.ArmsShown(2.0, ArmsView(ready=False, moving=False)))
    driver.answer(500, "arm-refused", found=MESS, expected=MESS)
    driver.feed(board(MESS))
    for _ in range(80):
        driver.tick()
        if any(isinstance(effect, e.Publish) for effect in driver.effects):
            break
    assert (driver.published.action, driver.published.executor) == ("setup", None)


def summary_helped(driver: Driver) -> object:
    driver.feed(e.Resign(99.0, "w"))
    return summary(driver.match)["helped"]

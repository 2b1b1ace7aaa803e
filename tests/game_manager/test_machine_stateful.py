"""The machine against a model: messages lost, doubled and overtaking, devices that lie, kills at any effect.

Truth is a placement and the list of jobs that an arm really executed. Invariants: no job twice, one job per token,
nothing confirmed that the table does not show, one answer per token for ever, and the journal folds to the live state.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from typing import Any

import chess
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgechess_game_manager import effects as do
from edgechess_game_manager import events as ev
from edgechess_game_manager.answers import ANSWERS, earlier_answer
from edgechess_game_manager.machine import decide
from edgechess_game_manager.restore import restore
from edgechess_game_manager.rules import Session, Verdict, placement
from edgechess_game_manager.settings import Settings
from edgechess_game_manager.state import Stage, session_state
from edgechess_kit import messages as m
from edgechess_kit.journal import SqliteJournal

SETTINGS = Settings(answer_again_s=0.0)
OUTCOMES: list[m.Outcome] = ["done", "done", "done", "done", "refused", "unknown", "unknown"]
REST = (Stage.NO_SESSION, Stage.READY, Stage.ENDED)


class Killed(BaseException):
    """The process is gone before its next effect."""


class SteppedClock:
    now = 1_700_000_000.0

    def unix_s(self) -> float:
        return self.now


def open_again(session: Session | None) -> Session | None:
    """Without its end: somebody's word may end a session whatever the table shows."""
    return session and dataclasses.replace(session, result=None, termination=None)


class Match(RuleBasedStateMachine):
    @initialize(person=st.booleans())
    def begin(self, person: bool) -> None:
        self.settings = msgspec.structs.replace(SETTINGS, robot_enabled=not person)
        self.clock = SteppedClock()
        self.journal = SqliteJournal.over(sqlite3.connect(":memory:"), self.clock)
        self.lives = 0
        self.timers: dict[str, float] = {}
        self.to_board: list[Any] = []
        self.to_arm: list[m.ArmJob] = []
        self.to_manager: list[ev.Event] = []
        self.placement = chess.STARTING_BOARD_FEN
        self.executed: list[str] = []
        self.results: dict[str, m.ArmJobResult] = {}
        self.answers: dict[str, set[bytes]] = {}
        self.requests: list[m.GameRequest] = []
        self.jobs: dict[str, set[str]] = {}
        self.given: dict[str, m.ArmJob] = {}
        """As each job was given first: an arm knows it by its id alone."""
        self.moving_to: str | None = None
        self.lying = False  # a piece has slipped and lies somewhere
        self.kill_in: int | None = None
        self.state = restore(self.journal, self.settings, "life-0")
        self.live()
        self.requests.append(self.request(None))
        self.seen(self.requests[0])
        self.handle(self.board_says(self.to_board.pop()))
        assert self.state.stage is Stage.READY

    # ------------------------------------------------------------ the process

    def live(self) -> None:
        self.lives += 1
        self.timers = {}
        self.state = restore(self.journal, self.settings, f"life-{self.lives}")
        self.handle(ev.Restored(self.clock.now))

    def handle(self, event: ev.Event) -> None:
        before = self.state
        try:
            self.state, wanted = decide(self.state, event)
            for effect in wanted:
                if self.kill_in is not None:
                    self.kill_in -= 1
                    if self.kill_in < 0:
                        raise Killed
                self.carry_out(effect)
        except Killed:
            self.kill_in = None
            self.live()
            return
        if self.state.session is not None and open_again(self.state.session) != open_again(before.session):
            assert placement(self.state.session.fen) == self.placement, "confirmed what the table does not show"

    def carry_out(self, effect: do.Effect) -> None:
        match effect:
            case do.Write(drafts):
                self.journal.append_all(drafts)
            case do.AskBoardStart(question) | do.AskBoard(question):
                work = self.state.work
                assert self.moving_to is None or (work is not None and work.lost), (
                    "asked while an arm is above the board"
                )
                self.to_board.append(question)
            case do.GiveJob(job):
                first = self.given.setdefault(job.job_id, job)
                assert job == first, "another job under an id that was given before"
                again = job.job_id in self.executed  # its result is asked for: nothing is executed twice
                assert job.kind == "move" or again or not self.lying, "a repair while a piece lies about"
                assert self.journal.last(kind="commanded") is not None
                assert self.state.work is not None
                self.jobs.setdefault(self.state.work.token, set()).add(job.job_id)
                self.to_arm.append(job)
            case do.Answer(response):
                assert response.task_token is not None
                assert earlier_answer(self.journal, response.task_token) == response, "answered before it was durable"
                self.answers.setdefault(response.task_token, set()).add(msgspec.json.encode(response))
            case do.StartTimer(name, after_s):
                self.timers[name] = self.clock.now + after_s
            case do.CancelTimer(name):
                self.timers.pop(name, None)
            case do.CancelTimers():
                self.timers.clear()
            case _:
                pass

    # ------------------------------------------------------------ the cloud

    def request(self, lan: str | None) -> m.GameRequest:
        token = f"token-{len(self.requests)}"
        session = self.state.session
        if lan is None or session is None:
            fen = session.fen if session is not None and not session.over else chess.STARTING_FEN
            return m.GameRequest(action="start", session_id="s", task_token=token, before=fen, after=fen)
        board = chess.Board(session.fen)
        before = board.fen(en_passant="fen")
        board.push_uci(lan)
        after = board.fen(en_passant="fen")
        return m.GameRequest(action="move", session_id="s", task_token=token, lan=lan, before=before, after=after)

    def seen(self, request: m.GameRequest) -> None:
        earlier = earlier_answer(self.journal, request.task_token)
        self.handle(ev.RequestSeen(self.clock.now, request, earlier))

    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        session = self.state.session
        lan = None
        if session is not None and not session.over:
            legal = sorted(str(move) for move in chess.Board(session.fen).legal_moves)
            lan = legal[data.draw(st.integers(0, len(legal) - 1))]
        request = self.request(lan)
        if data.draw(st.integers(0, 9)) == 0:
            request = msgspec.structs.replace(request, session_id="other")
        self.requests.append(request)
        self.seen(request)

    @rule(number=st.integers(0, 30), session=st.sampled_from(["s", "s", "other"]))
    def give_up(self, number: int, session: str) -> None:
        """Numbers repeat: a word that is delivered twice counts once."""
        request_id = f"end-{number}"
        known = any(self.journal.last(kind=kind, key=request_id) is not None for kind in ("ending", "ended"))
        self.handle(ev.VerdictSeen(self.clock.now, Verdict(request_id, session, "1/2-1/2", "agreement"), known))

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), scramble=st.booleans())
    def repeat(self, data: st.DataObject, scramble: bool) -> None:
        request = data.draw(st.sampled_from(self.requests))
        if scramble:
            request = msgspec.structs.replace(request, before=chess.STARTING_FEN, lan="h2h3")
        self.seen(request)

    # ------------------------------------------------------------ the devices

    def board_says(self, question: Any, *, blind: bool = False, lie: bool = False) -> ev.Event:
        starting = not isinstance(question, m.BoardValidateRequest)
        wanted = question.after if not starting and question.expect == "after" else question.before
        good = not blind and (lie or self.placement == wanted.split()[0])
        kind: Any = m.BoardStartResponse if starting else m.BoardValidateResponse
        found = None if blind else self.placement
        response = kind(status=200 if good else 500, request_id=question.request_id, placement=found)
        return (ev.BoardStarted if starting else ev.BoardAnswered)(self.clock.now, response)

    @precondition(lambda self: self.to_board)
    @rule(data=st.data(), blind=st.integers(0, 5), lie=st.integers(0, 5))
    def board(self, data: st.DataObject, blind: int, lie: int) -> None:
        question = data.draw(st.sampled_from(self.to_board))
        if data.draw(st.integers(0, 3)):
            self.to_board.remove(question)
        self.to_manager.append(self.board_says(question, blind=blind == 0, lie=lie == 0))

    @precondition(lambda self: self.to_arm)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(OUTCOMES),
        moved=st.booleans(),
        parked=st.booleans(),
        slips=st.integers(0, 2),
    )
    def arm(self, data: st.DataObject, outcome: m.Outcome, moved: bool, parked: bool, slips: int = 1) -> None:
        job = data.draw(st.sampled_from(self.to_arm))
        if data.draw(st.integers(0, 2)):
            self.to_arm.remove(job)
        if data.draw(st.integers(0, 3)) == 0:
            self.to_manager.append(ev.ArmsSeen(self.clock.now, self.arms("moving", job.job_id)))
        if job.job_id not in self.results:
            self.execute(job, outcome, moved, parked, slips=slips == 0, felt=data.draw(st.booleans()))
        self.to_manager.append(ev.JobEnded(self.clock.now, self.results[job.job_id]))

    def execute(
        self, job: m.ArmJob, outcome: m.Outcome, moved: bool, parked: bool, *, slips: bool = False, felt: bool = True
    ) -> None:
        grasps: tuple[m.GraspReport, ...] = ()
        late = job.deadline is not None and self.clock.now > job.deadline
        if late:
            outcome = "refused"
        else:
            self.executed.append(job.job_id)
            assert self.placement == job.before.split()[0], "an arm moves on a table that nobody checked"
        if outcome == "unknown" and slips and self.moving_to is None:
            grasps = (self.slip(job, felt=felt),)
        elif outcome == "unknown" and moved and not parked:
            self.moving_to = job.after.split()[0]  # reported lost while it still moves
        elif outcome == "done" or (outcome == "unknown" and moved):
            self.placement = job.after.split()[0]
        self.results[job.job_id] = m.ArmJobResult(job_id=job.job_id, outcome=outcome, parked=parked, grasps=grasps)

    def slip(self, job: m.ArmJob, *, felt: bool) -> m.GraspReport:
        """One piece that the job moves is lost on the way; the controller may have died before it could say so."""
        there, wanted = chess.BaseBoard(job.before.split()[0]), chess.BaseBoard(job.after.split()[0])
        square = next(s for s in chess.SQUARES if there.piece_at(s) and there.piece_at(s) != wanted.piece_at(s))
        piece = there.remove_piece_at(square)
        assert piece is not None
        self.placement, self.lying = there.board_fen(), True
        kept, grasped = (False, True) if felt else (None, None)
        place = chess.square_name(square)
        return m.GraspReport(piece=piece.symbol(), from_place=place, to_place="h3", grasped=grasped, kept=kept)

    def live_jobs(self) -> bool:
        return any(job.job_id not in self.results and self.clock.now <= (job.deadline or 0.0) for job in self.to_arm)

    def arms(self, mode: Any, job_id: str | None) -> m.ArmState:
        return m.ArmState(arms=(m.ArmStatus(name="white", kind="k", mode=mode),), job_id=job_id, at=self.clock.now)

    @rule(mode=st.sampled_from(["parked", "moving", "stopped", "idle"]))
    def arm_state(self, mode: str) -> None:
        if self.moving_to is not None and mode != "moving":
            self.placement, self.moving_to = self.moving_to, None
        self.clock.now += 0.001
        self.to_manager.append(ev.ArmsSeen(self.clock.now, self.arms(mode, None)))

    @rule()
    def board_state(self) -> None:
        seen = m.BoardState(connected=True, settled=True, placement=self.placement)
        self.to_manager.append(ev.BoardSeen(self.clock.now, seen))

    @rule()
    def stray_answers(self) -> None:
        stray = m.BoardValidateResponse(status=200, request_id="nobody", move="e2e4")
        self.to_manager.append(ev.BoardAnswered(self.clock.now, stray))
        self.to_manager.append(ev.JobEnded(self.clock.now, m.ArmJobResult(job_id="nobody", outcome="done")))

    @precondition(lambda self: self.state.work is not None and self.state.work.executor == "person")
    @rule(right=st.booleans())
    def hand(self, right: bool) -> None:
        work = self.state.work
        assert work is not None
        if work.stage is Stage.PERSON:  # while the board is being asked the hand rests: that is what settled means
            self.placement = placement(work.after) if right else "8/8/8/8/8/8/8/8"
            self.board_state()

    @rule()
    def put_right(self) -> None:
        """A person sets the table up again after a failure, when no arm has anything to do any more."""
        if self.state.stage not in REST or self.state.session is None or self.live_jobs():
            return
        self.moving_to, self.lying = None, False
        self.placement = placement(self.state.session.fen)

    def one_step(self, data: st.DataObject) -> None:
        """What would happen next if nothing went wrong (but the arm may still fail)."""
        work = self.state.work
        if work is None:
            self.put_right()
            self.ask(data)
        elif self.to_manager:
            self.handle(self.to_manager.pop(0))
        elif self.to_board:
            lie = data.draw(st.integers(0, 3)) == 0
            self.to_manager.append(self.board_says(self.to_board.pop(0), lie=lie))
        elif self.to_arm:
            outcome, moved, parked = (
                data.draw(st.sampled_from(OUTCOMES)),
                data.draw(st.booleans()),
                data.draw(st.booleans()),
            )
            self.arm(data, outcome, moved, parked, data.draw(st.integers(0, 2)))
        elif work.stage is Stage.PERSON:
            self.hand(data.draw(st.booleans()))
        elif work.stage is Stage.PARKING:
            self.arm_state("parked")
        else:
            self.time_passes()

    @rule(data=st.data(), steps=st.integers(1, 8))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        for _ in range(steps):
            self.one_step(data)
            self.holds()

    @rule(data=st.data(), steps=st.integers(1, 12))
    def go_on_longer(self, data: st.DataObject, steps: int) -> None:
        self.go_on(data, steps)

    # ------------------------------------------------------------ the wire, time, and kills

    @precondition(lambda self: self.to_manager)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.to_manager) - 1))
        event = self.to_manager[number]
        if data.draw(st.integers(0, 3)):
            del self.to_manager[number]
        self.handle(event)

    @rule(data=st.data(), which=st.sampled_from(["to_manager", "to_arm", "to_board"]))
    def lose(self, data: st.DataObject, which: str) -> None:
        pool = getattr(self, which)
        if pool:
            del pool[data.draw(st.integers(0, len(pool) - 1))]

    @rule()
    def time_passes(self) -> None:
        if not self.timers:
            return
        name, at = min(self.timers.items(), key=lambda item: (item[1], item[0]))
        self.clock.now = max(self.clock.now, at)
        del self.timers[name]
        self.handle(ev.TimerFired(self.clock.now, name))  # type: ignore[arg-type]

    @rule(effects=st.integers(0, 6))
    def kill_soon(self, effects: int) -> None:
        self.kill_in = effects

    @rule()
    def kill_now(self) -> None:
        self.kill_in = None
        self.live()

    # ------------------------------------------------------------ what must hold

    @invariant()
    def holds(self) -> None:
        assert len(self.executed) == len(set(self.executed)), "a job was executed twice"
        for ids in self.jobs.values():
            assert len({job_id.partition("-r")[0] for job_id in ids}) == 1, "two moves for one token"
            assert len(ids) <= 1 + self.settings.repairs_per_move, "repairs without end"
        assert all(len(raw) == 1 for raw in self.answers.values()), "two answers for one token"
        folded = restore(self.journal, self.settings, self.state.life)
        assert folded.session == self.state.session
        assert (folded.work and folded.work.verdict) == (self.state.work and self.state.work.verdict)
        assert (folded.work and folded.work.token) == (self.state.work and self.state.work.token)
        session_state(self.state)

    def teardown(self) -> None:
        """Everybody does as he should from now on: the request under way gets its answer."""
        if not hasattr(self, "state"):
            return
        self.kill_in = None
        self.to_manager.clear()
        self.moving_to = None
        for _ in range(60):
            work = self.state.work
            if work is None:
                break
            if self.to_board:
                self.handle(self.board_says(self.to_board.pop()))
            elif self.to_arm:
                job = self.to_arm.pop()
                if job.job_id not in self.results:
                    self.execute(job, "done", True, True)
                self.handle(ev.JobEnded(self.clock.now, self.results[job.job_id]))
            else:
                self.time_passes()
            self.holds()
        assert self.state.work is None, "a request without an end"
        for request in self.requests:
            answered = earlier_answer(self.journal, request.task_token)
            received = [e for e in self.journal.entries(key=request.task_token) if e.kind in ANSWERS]
            assert len(received) <= 1
            if answered is None:
                # killed before it was journalled: the broker gives it again, and then it is taken
                assert not self.journal.entries(key=request.task_token)


TestMatch = pytest.mark.slow(Match.TestCase)  # seconds of histories
TestMatch.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

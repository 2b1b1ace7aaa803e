"""`decide`, row by row: every way that the transition table names is taken, and what is not in it changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import chess
import msgspec
import pytest

from edgechess_game_manager import effects as do
from edgechess_game_manager import events as ev
from edgechess_game_manager.machine import TABLE, decide
from edgechess_game_manager.restore import fold
from edgechess_game_manager.rules import Verdict
from edgechess_game_manager.settings import Settings
from edgechess_game_manager.state import Stage, State, session_state
from edgechess_kit import messages as m
from edgechess_kit.journal import Entry

Make = Callable[..., m.GameRequest]

BEFORE_MATE = "rnbqkbnr/pppp1ppp/8/4p3/6P1/5P2/PPPPP2P/RNBQKBNR b KQkq - 0 2"  # d8h4 mates
QUIET, MATE = "d7d6", "d8h4"
KNIGHT_AWAY = "rnbqkb1r/pppp1ppp/8/4p2n/6P1/5P2/PPPPP2P/RNBQKBNR b KQkq - 0 2"  # the knight of g8 on h5
LIFTED = "rnbqkbnr/ppp2ppp/8/4p3/6P1/5P2/PPPPP2P/RNBQKBNR"  # the pawn of d7 is in a hand
E = ev.Event


def grasp(lan: str, **felt: Any) -> m.GraspReport:
    piece = chess.Board(BEFORE_MATE).piece_at(chess.parse_square(lan[:2]))
    assert piece is not None
    return m.GraspReport(piece=piece.symbol(), from_place=lan[:2], to_place=lan[2:4], **felt)


class Walk:
    """A machine, its journal, and everything it wanted so far."""

    def __init__(self, start: Make, move: Make, **settings: Any) -> None:
        self._start, self._move = start, move
        self.state = State(Settings(**settings), "life")
        self.at = 1000.0
        self.entries: list[Entry] = []
        self.wanted: list[do.Effect] = []
        self.tokens = 0

    def feed(self, event: E) -> list[do.Effect]:
        self.at = max(self.at, event.at) + 1.0
        before = self.state
        self.state, effects = decide(before, event)
        self.wanted = list(effects)
        for effect in effects:
            if isinstance(effect, do.Write):
                for draft in effect.drafts:
                    # through JSON, as the disk does
                    data = msgspec.json.decode(msgspec.json.encode(dict(draft.data)))
                    entry = Entry(len(self.entries) + 1, event.at, draft.kind, draft.session_id, draft.key, data)
                    self.entries.append(entry)
        return self.wanted

    def find(self, kind: type[Any]) -> Any:
        return next(effect for effect in self.wanted if isinstance(effect, kind))

    # ------------------------------------------------------------ events

    def token(self) -> str:
        self.tokens += 1
        return f"token-{self.tokens}"

    def start(self, **more: Any) -> E:
        return ev.RequestSeen(self.at, self._start(self.token(), fen=BEFORE_MATE, **more))

    def move(self, lan: str = QUIET, **more: Any) -> E:
        return ev.RequestSeen(self.at, self._move(BEFORE_MATE, lan, self.token(), **more))

    def question(self) -> str:
        assert self.state.work is not None
        return self.state.work.asked[-1]

    def started(self, shown: str | None = BEFORE_MATE) -> E:
        found = shown.split()[0] if shown else None
        status: Any = 200 if shown == BEFORE_MATE else 500
        return ev.BoardStarted(
            self.at, m.BoardStartResponse(status=status, request_id=self.question(), placement=found)
        )

    def board(self, shown: str | None, status: Any = None) -> E:
        found = {"before": BEFORE_MATE, "after": self.after(), None: None}.get(shown, shown)
        return ev.BoardAnswered(
            self.at,
            m.BoardValidateResponse(
                status=status or (500 if found is None else 200),
                request_id=self.question() if self.state.work and self.state.work.asked else None,
                move=self.state.work.request.lan if self.state.work else "",
                placement=found.split()[0] if found else None,
            ),
        )

    def after(self) -> str:
        return self.state.work.after if self.state.work else BEFORE_MATE

    def seen(self, shown: str, *, settled: bool = True) -> E:
        found = self.after() if shown == "after" else BEFORE_MATE
        return ev.BoardSeen(self.at, m.BoardState(connected=True, settled=settled, placement=found.split()[0]))

    def timer(self, name: ev.TimerName) -> E:
        return ev.TimerFired(self.at, name)

    def job(
        self,
        outcome: m.Outcome = "done",
        *,
        parked: bool = True,
        job_id: str | None = None,
        missed: str = "",
        **more: Any,
    ) -> E:
        """`missed`: a move whose piece the gripper closed beside."""
        assert self.state.work is not None
        if missed:
            more["grasps"] = (grasp(missed, grasped=False),)
        result = m.ArmJobResult(
            job_id=job_id or self.state.work.job_id, outcome=outcome, parked=parked, arm="black", **more
        )
        return ev.JobEnded(self.at, result)

    def arms(self, mode: Any, *, ours: bool = False, at: float | None = None, parked: bool = False) -> E:
        assert self.state.work is not None
        arm = m.ArmStatus(name="black", kind="k", mode=mode, parked=parked)
        job_id = self.state.work.job_id if ours else None
        return ev.ArmsSeen(self.at, m.ArmState(arms=(arm,), job_id=job_id, at=self.at if at is None else at))

    def processed(self, status: Any = 200, lan: str | None = None) -> E:
        assert self.state.work is not None
        return ev.ProcessedSeen(self.at, m.BoardProcessed(status=status, lan=lan or self.state.work.request.lan))

    def sample_arm(self, lan: str | None = None) -> E:
        assert self.state.work is not None
        return ev.ArmMoved(self.at, m.ArmMoveResponse(status=200, lan=lan or self.state.work.request.lan))

    def verdict(self, session: str = "s1", request_id: str = "end-1", *, known: bool = False) -> E:
        return ev.VerdictSeen(self.at, Verdict(request_id, session, "1-0", "resignation"), known)

    def resigned(self) -> Walk:
        """Somebody gave up while the move is under way."""
        self.feed(self.verdict())
        return self

    def setup(self, goal: str = chess.STARTING_FEN, session: str = "s1", **more: Any) -> E:
        request = m.GameRequest(action="setup", session_id=session, task_token=self.token(), before=goal, **more)
        return ev.RequestSeen(self.at, request)

    def table(self, tray: str = "", *, holding: str | None = None, lacks: int = 0) -> E:
        """Both arms rest; `tray` stands in White's, and `lacks` queens are out of the racks."""
        arms = tuple(m.ArmStatus(name=name, kind="k", mode="parked", parked=True) for name in ("white", "black"))
        arms = (msgspec.structs.replace(arms[0], holding=holding), arms[1])
        letters = tray.ljust(16, ".")
        slots = tuple(m.SlotState(slot=f"tray-white-{n}", piece=p if p != "." else None) for n, p in enumerate(letters))
        slots += tuple(m.SlotState(slot=f"tray-black-{n}") for n in range(16))
        rack = tuple(m.SlotState(slot=f"rack-white-{n}", piece=None if n < lacks else "Q") for n in range(2))
        return ev.ArmsSeen(self.at, m.ArmState(arms=arms, at=self.at, tray=slots, rack=rack))

    # ------------------------------------------------------------ ways into the stages

    def to_ready(self) -> Walk:
        self.feed(self.start())
        self.feed(self.started())
        return self

    def to_before(self, lan: str = QUIET, **more: Any) -> Walk:
        self.to_ready().feed(self.move(lan, **more))
        return self

    def to_arm(self, lan: str = QUIET) -> Walk:
        self.to_before(lan).feed(self.board("before"))
        return self

    def to_parking(self, lan: str = QUIET) -> Walk:
        self.to_arm(lan).feed(self.job("unknown", parked=False))
        return self

    def to_person(self, lan: str = QUIET) -> Walk:
        self.to_before(lan, executor="person").feed(self.board("before"))
        return self

    def to_after(self, lan: str = QUIET) -> Walk:
        self.to_arm(lan).feed(self.job())
        return self

    def to_repair(self, lan: str = QUIET) -> Walk:
        """The grasp missed, and the board shows that nothing moved."""
        self.to_arm(lan).feed(self.job("unknown", missed=lan))
        self.feed(self.board("before"))
        return self

    def to_repair_before(self) -> Walk:
        """Somebody has moved a knight between two moves, and it stands there still when the board is asked again."""
        self.to_before().feed(self.board(KNIGHT_AWAY))
        self.feed(self.timer("board"))
        self.feed(self.board(KNIGHT_AWAY))
        return self

    def to_setup(self, tray: str = "") -> Walk:
        self.feed(self.table(tray))
        self.feed(self.setup())
        return self

    def to_setup_arm(self, tray: str = "") -> Walk:
        self.to_setup(tray).looked_twice(self.started)
        return self

    def looked_twice(self, says: Callable[[], E]) -> list[do.Effect]:
        """A setup gives no job on one look."""
        self.feed(says())
        self.feed(self.timer("board"))
        return self.feed(says())

    def to_ended(self) -> Walk:
        self.to_after(MATE).feed(self.board("after"))
        return self

    def to_starting(self) -> Walk:
        self.feed(self.start())
        return self

    def again(self) -> Walk:
        """Another life over the same journal."""
        self.state = fold(self.entries, self.state.settings, "next life")
        return self

    def blind(self) -> Walk:
        """The board was asked as often as it may be."""
        for _ in range(self.state.settings.board_attempts - 1):
            self.feed(self.timer("board"))
        return self


W = Walk
S = Stage
SAMPLE_BOARD = {"board_protocol": "sample"}
SAMPLE = {"board_protocol": "sample", "arm_protocol": "sample"}

# (stage, event type, stage after) -> settings, way into the stage, the event
Case = tuple[dict[str, Any], Callable[[Walk], object], Callable[[Walk], E]]


def blinded(enter: Callable[[Walk], object]) -> Callable[[Walk], object]:
    return lambda walk: (enter(walk), walk.blind())


def noted(enter: Callable[[Walk, str], object], lan: str) -> Callable[[Walk], object]:
    """The sample's board has spoken before its arm."""
    return lambda walk: (enter(walk, lan), walk.feed(walk.processed()))


def playing(enter: Callable[[Walk, str], object], lan: str) -> Callable[[Walk], object]:
    return lambda walk: enter(walk, lan)


def ways() -> Iterator[tuple[tuple[Stage, type[Any], Stage], Case]]:
    none: dict[str, Any] = {}

    def nothing(w: Walk) -> None:
        pass

    into: dict[Stage, Callable[[Walk], object]] = {
        S.NO_SESSION: nothing,
        S.READY: W.to_ready,
        S.ENDED: W.to_ended,
        S.STARTING: W.to_starting,
        S.BOARD_BEFORE: W.to_before,
        S.ARM: W.to_arm,
        S.PARKING: W.to_parking,
        S.PERSON: W.to_person,
        S.BOARD_AFTER: W.to_after,
        S.REPAIR: W.to_repair,
        S.SETUP: W.to_setup,
        S.SETUP_ARM: W.to_setup_arm,
    }
    rest = (S.NO_SESSION, S.READY, S.ENDED)
    for stage, enter in into.items():
        yield (stage, ev.MalformedSeen, stage), (none, enter, lambda w: ev.MalformedSeen(w.at, "malformed", "?"))
        yield (stage, ev.RequestSeen, stage), (none, enter, lambda w: w.move(session="other"))
        if stage in rest:
            yield (stage, ev.RequestSeen, S.STARTING), (none, enter, W.start)
        yield (stage, ev.Restored, stage), (none, enter, lambda w: ev.Restored(w.at))
    yield (S.READY, ev.RequestSeen, S.BOARD_BEFORE), (none, W.to_ready, W.move)
    yield (
        (S.BOARD_AFTER, ev.Restored, S.PARKING),
        (
            none,
            lambda w: (w.to_parking(), w.feed(w.timer("rest"))),
            lambda w: ev.Restored(w.at),
        ),
    )

    def restart(w: Walk) -> None:
        w.feed(w.start())

    for stage in rest:

        def enter_start(w: Walk, enter: Callable[[Walk], object] = into[stage]) -> None:
            enter(w)
            restart(w)

        yield (
            (S.STARTING, ev.TimerFired, stage),
            (none, blinded(enter_start), lambda w: w.timer("board")),
        )
        if stage is not S.READY:
            yield (S.STARTING, ev.BoardStarted, stage), (none, enter_start, lambda w: w.started(chess.STARTING_FEN))
    yield (S.STARTING, ev.TimerFired, S.STARTING), (none, W.to_starting, lambda w: w.timer("board"))
    yield (S.STARTING, ev.BoardStarted, S.READY), (none, W.to_starting, W.started)
    yield (S.STARTING, ev.BoardStarted, S.STARTING), (none, W.to_starting, lambda w: w.started(None))

    before = S.BOARD_BEFORE
    yield (before, ev.TimerFired, before), (none, W.to_before, lambda w: w.timer("board"))
    yield (before, ev.TimerFired, S.READY), (none, lambda w: w.to_before().blind(), lambda w: w.timer("board"))
    yield (before, ev.BoardAnswered, before), (none, W.to_before, lambda w: w.board(None))
    yield (before, ev.BoardAnswered, S.ARM), (none, W.to_before, lambda w: w.board("before"))
    person = {"executor": "person"}
    yield (before, ev.BoardAnswered, S.PERSON), (none, lambda w: w.to_before(**person), lambda w: w.board("before"))
    yield (before, ev.BoardAnswered, S.BOARD_AFTER), (none, lambda w: w.to_before(**person), lambda w: w.board("after"))
    yield (before, ev.BoardAnswered, S.READY), (none, W.to_before, lambda w: w.board("after"))

    yield (S.ARM, ev.TimerFired, S.ARM), (none, W.to_arm, lambda w: w.timer("arm-repeat"))
    yield (S.ARM, ev.TimerFired, S.PARKING), (none, W.to_arm, lambda w: w.timer("arm"))
    heard_and_gone = lambda w: (w.to_arm(), w.feed(w.arms("moving", ours=True)), w.feed(w.arms("parked")))  # noqa: E731
    yield (S.ARM, ev.TimerFired, S.BOARD_AFTER), (none, heard_and_gone, lambda w: w.timer("arm"))
    yield (S.ARM, ev.JobEnded, S.ARM), (none, W.to_arm, lambda w: w.job(job_id="another"))
    yield (S.ARM, ev.JobEnded, S.PARKING), (none, W.to_arm, lambda w: w.job("unknown", parked=False))
    yield (S.ARM, ev.JobEnded, S.BOARD_AFTER), (none, W.to_arm, W.job)
    yield (S.ARM, ev.ArmMoved, S.ARM), (SAMPLE, W.to_arm, lambda w: w.sample_arm("a2a3"))
    yield (S.ARM, ev.ArmMoved, S.BOARD_AFTER), (SAMPLE, W.to_arm, W.sample_arm)
    yield (S.ARM, ev.ArmsSeen, S.ARM), (none, W.to_arm, lambda w: w.arms("moving", ours=True))
    for stage, enter in ((S.ARM, W.to_arm), (S.PARKING, W.to_parking)):
        yield (stage, ev.ProcessedSeen, stage), (SAMPLE_BOARD, enter, W.processed)
    for lan, end in ((QUIET, S.READY), (MATE, S.ENDED)):
        sample_arm, sample_park = noted(W.to_arm, lan), noted(W.to_parking, lan)
        yield (S.ARM, ev.ArmMoved, end), (SAMPLE, sample_arm, W.sample_arm)
        yield (S.ARM, ev.TimerFired, end), (SAMPLE, sample_arm, lambda w: w.timer("arm"))
        yield (S.ARM, ev.JobEnded, end), (SAMPLE_BOARD, sample_arm, W.job)
        yield (S.PARKING, ev.ArmsSeen, end), (SAMPLE_BOARD, sample_park, lambda w: w.arms("idle", parked=True))
        yield (S.PARKING, ev.JobEnded, end), (SAMPLE_BOARD, sample_park, W.job)
        yield (S.PERSON, ev.ProcessedSeen, end), (SAMPLE_BOARD, playing(W.to_person, lan), W.processed)
        yield (S.BOARD_AFTER, ev.ProcessedSeen, end), (SAMPLE_BOARD, playing(W.to_after, lan), W.processed)
        yield (
            (S.BOARD_AFTER, ev.BoardAnswered, end),
            (none, playing(W.to_after, lan), lambda w: w.board("after")),
        )
    yield (
        (S.PARKING, ev.TimerFired, S.READY),
        (
            SAMPLE_BOARD,
            lambda w: (w.to_parking(), w.feed(w.processed())),
            lambda w: w.timer("rest"),
        ),
    )
    yield (S.PARKING, ev.TimerFired, S.PARKING), (none, W.to_parking, lambda w: w.timer("board"))
    yield (S.PARKING, ev.TimerFired, S.BOARD_AFTER), (none, W.to_parking, lambda w: w.timer("rest"))
    yield (S.PARKING, ev.ArmsSeen, S.PARKING), (none, W.to_parking, lambda w: w.arms("moving"))
    yield (S.PARKING, ev.ArmsSeen, S.BOARD_AFTER), (none, W.to_parking, lambda w: w.arms("parked"))
    yield (S.PARKING, ev.JobEnded, S.PARKING), (none, W.to_parking, lambda w: w.job("unknown", parked=False))
    yield (S.PARKING, ev.JobEnded, S.BOARD_AFTER), (none, W.to_parking, W.job)

    setup, setup_arm, start = S.SETUP, S.SETUP_ARM, chess.STARTING_FEN
    for stage in rest:
        yield (stage, ev.RequestSeen, setup), (none, into[stage], W.setup)
    yield (S.READY, ev.RequestSeen, S.NO_SESSION), (none, W.to_ready, lambda w: w.setup(deadline=w.at - 1.0))
    over: Callable[[Any], object] = lambda w: w.to_ended().to_setup()  # noqa: E731
    for enter, end in ((W.to_setup, S.NO_SESSION), (over, S.ENDED)):
        yield (setup, ev.TimerFired, end), (none, blinded(enter), lambda w: w.timer("board"))
        yield (setup, ev.BoardStarted, end), (none, enter, lambda w: w.started(start))
    yield (setup, ev.TimerFired, setup), (none, W.to_setup, lambda w: w.timer("board"))
    yield (setup, ev.BoardStarted, setup), (none, W.to_setup, lambda w: w.started(None))
    looked: Callable[[Any], object] = lambda w: (w.to_setup(), w.feed(w.started()), w.feed(w.timer("board")))  # noqa: E731
    yield (setup, ev.BoardStarted, setup_arm), (none, looked, W.started)
    carried: Callable[[Any], object] = lambda w: (w.to_setup_arm(), w.feed(w.job()))  # noqa: E731
    heard: Callable[[Any], object] = lambda w: (carried(w), w.feed(w.table()), w.again())  # noqa: E731
    yield (setup, ev.Restored, S.PARKING), (none, heard, lambda w: ev.Restored(w.at))
    yield (setup_arm, ev.TimerFired, setup_arm), (none, W.to_setup_arm, lambda w: w.timer("arm-repeat"))
    yield (setup_arm, ev.TimerFired, S.PARKING), (none, W.to_setup_arm, lambda w: w.timer("arm"))
    yield (setup_arm, ev.JobEnded, setup_arm), (none, W.to_setup_arm, lambda w: w.job(job_id="another"))
    yield (setup_arm, ev.JobEnded, S.PARKING), (none, W.to_setup_arm, W.job)
    yield (setup_arm, ev.ArmsSeen, setup_arm), (none, W.to_setup_arm, lambda w: w.arms("moving", ours=True))
    yield (S.PARKING, ev.ArmsSeen, setup), (none, carried, W.table)
    yield (S.PARKING, ev.TimerFired, S.NO_SESSION), (none, carried, lambda w: w.timer("rest"))

    repair, again = S.REPAIR, W.to_repair_before
    yield (
        (before, ev.BoardAnswered, repair),
        (
            none,
            lambda w: (w.to_before(), w.feed(w.board(KNIGHT_AWAY)), w.feed(w.timer("board"))),
            lambda w: w.board(KNIGHT_AWAY),
        ),
    )
    yield (
        (S.BOARD_AFTER, ev.BoardAnswered, repair),
        (none, lambda w: (w.to_arm(), w.feed(w.job("unknown", missed=QUIET))), lambda w: w.board("before")),
    )
    yield (repair, ev.TimerFired, repair), (none, W.to_repair, lambda w: w.timer("arm-repeat"))
    yield (repair, ev.TimerFired, S.PARKING), (none, W.to_repair, lambda w: w.timer("arm"))
    gone: Callable[[Any], object] = lambda w: (w.feed(w.arms("moving", ours=True)), w.feed(w.arms("parked")))  # noqa: E731
    yield (repair, ev.TimerFired, S.BOARD_AFTER), (none, lambda w: gone(w.to_repair()), lambda w: w.timer("arm"))
    yield (repair, ev.TimerFired, before), (none, lambda w: gone(w.to_repair_before()), lambda w: w.timer("arm"))
    yield (repair, ev.JobEnded, repair), (none, W.to_repair, lambda w: w.job(job_id="another"))
    yield (repair, ev.JobEnded, S.PARKING), (none, W.to_repair, lambda w: w.job("unknown", parked=False))
    yield (repair, ev.JobEnded, S.BOARD_AFTER), (none, W.to_repair, W.job)
    yield (repair, ev.JobEnded, before), (none, again, W.job)
    yield (repair, ev.ArmsSeen, repair), (none, W.to_repair, lambda w: w.arms("moving", ours=True))
    parking: Callable[[Any], object] = lambda w: (again(w), w.feed(w.job("unknown", parked=False)))  # noqa: E731
    yield (S.PARKING, ev.ArmsSeen, before), (none, parking, lambda w: w.arms("parked"))
    yield (S.PARKING, ev.JobEnded, before), (none, parking, W.job)
    yield (before, ev.Restored, S.PARKING), (none, lambda w: (parking(w), w.again()), lambda w: ev.Restored(w.at))

    yield (S.PERSON, ev.BoardSeen, S.PERSON), (none, W.to_person, lambda w: w.seen("after", settled=False))
    yield (S.PERSON, ev.BoardSeen, S.BOARD_AFTER), (none, W.to_person, lambda w: w.seen("after"))
    yield (S.PERSON, ev.ProcessedSeen, S.PERSON), (SAMPLE_BOARD, W.to_person, lambda w: w.processed(lan="a2a3"))
    yield (S.PERSON, ev.TimerFired, S.PERSON), (none, W.to_person, lambda w: w.timer("board"))
    yield (S.PERSON, ev.Restored, S.BOARD_AFTER), (none, W.to_person, lambda w: ev.Restored(w.at + 1000.0))
    yield (S.PERSON, ev.TimerFired, S.READY), (none, W.to_person, lambda w: w.timer("person"))

    after = S.BOARD_AFTER
    yield (after, ev.TimerFired, after), (none, W.to_after, lambda w: w.timer("board"))
    yield (after, ev.TimerFired, S.READY), (none, lambda w: w.to_after().blind(), lambda w: w.timer("board"))
    yield (after, ev.BoardAnswered, after), (none, W.to_after, lambda w: w.board(None))
    yield (
        (after, ev.BoardAnswered, S.PERSON),
        (
            none,
            lambda w: (w.to_person(), w.feed(w.seen("after"))),
            lambda w: w.board("before"),
        ),
    )
    yield (after, ev.ProcessedSeen, after), (SAMPLE_BOARD, W.to_after, lambda w: w.processed(lan="a2a3"))

    yield (S.READY, ev.VerdictSeen, S.READY), (none, W.to_ready, lambda w: w.verdict("another"))
    yield (S.READY, ev.VerdictSeen, S.ENDED), (none, W.to_ready, W.verdict)
    for stage in (S.STARTING, before, S.ARM, S.PARKING, S.PERSON, after, repair):
        yield (stage, ev.VerdictSeen, stage), (none, into[stage], W.verdict)
    yield (
        (before, ev.TimerFired, S.ENDED),
        (none, lambda w: w.to_before().resigned().blind(), lambda w: w.timer("board")),
    )
    yield (before, ev.BoardAnswered, S.ENDED), (none, lambda w: w.to_before().resigned(), lambda w: w.board("after"))
    yield (
        (S.PARKING, ev.TimerFired, S.ENDED),
        (SAMPLE_BOARD, lambda w: (w.to_parking().resigned(), w.feed(w.processed())), lambda w: w.timer("rest")),
    )
    yield (S.PERSON, ev.TimerFired, S.ENDED), (none, lambda w: w.to_person().resigned(), lambda w: w.timer("person"))
    yield (after, ev.TimerFired, S.ENDED), (none, lambda w: w.to_after().resigned().blind(), lambda w: w.timer("board"))


WAYS = dict(ways())
NAMED = {(stage, event, target) for (stage, event), row in TABLE.items() for target in row.to}


def name(way: tuple[Stage, type[Any], Stage]) -> str:
    return f"{way[0].value} {way[1].__name__} {way[2].value}"


def test_every_way_of_the_table_has_its_case() -> None:
    assert {name(way) for way in NAMED - set(WAYS)} == set()
    assert {name(way) for way in set(WAYS) - NAMED} == set()


@pytest.mark.parametrize("way", list(WAYS), ids=name)
def test_each_way(way: tuple[Stage, type[Any], Stage], start: Make, move: Make) -> None:
    stage, kind, target = way
    settings, enter, make = WAYS[way]
    walk = Walk(start, move, **settings)
    enter(walk)
    assert walk.state.stage is stage
    event = make(walk)
    assert type(event) is kind
    walk.feed(event)
    assert walk.state.stage is target
    answered = [effect for effect in walk.wanted if isinstance(effect, do.Answer)]
    resting = target in (S.NO_SESSION, S.READY, S.ENDED)
    if stage not in (target, S.READY) and resting:
        assert len(answered) == 1
        assert do.CancelTimers() in walk.wanted
        writes = [number for number, effect in enumerate(walk.wanted) if isinstance(effect, do.Write)]
        assert max(writes) < walk.wanted.index(answered[0])
    # a killed process would know the same
    again = fold(walk.entries, walk.state.settings, "life")
    assert again.session == walk.state.session
    assert (again.work and again.work.token) == (walk.state.work and walk.state.work.token)
    session_state(walk.state)


@pytest.mark.parametrize("stage", list(Stage), ids=lambda stage: stage.value)
def test_what_is_not_in_the_table_changes_nothing(stage: Stage, start: Make, move: Make) -> None:
    entries = {way[0]: WAYS[way] for way in WAYS if way[1] is ev.MalformedSeen}
    settings, enter, _ = entries[stage]
    walk = Walk(start, move, **settings)
    enter(walk)
    events: list[E] = [
        ev.BoardStarted(walk.at, m.BoardStartResponse(status=200, request_id="stray")),
        ev.BoardAnswered(walk.at, m.BoardValidateResponse(status=200, request_id="stray")),
        ev.ProcessedSeen(walk.at, m.BoardProcessed(status=200, lan=QUIET)),
        ev.JobEnded(walk.at, m.ArmJobResult(job_id="stray", outcome="done")),
        ev.ArmMoved(walk.at, m.ArmMoveResponse(status=200, lan=QUIET)),
        ev.ArmsSeen(walk.at, m.ArmState(arms=())),
        walk.verdict("another"),
        walk.verdict(known=True),
    ]
    for event in events:
        before = walk.state
        assert walk.feed(event) == []
        assert dataclasses.replace(walk.state, arms=before.arms) == before


def test_the_job_is_durable_before_it_is_given(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_arm()
    write = next(n for n, effect in enumerate(walk.wanted) if isinstance(effect, do.Write))
    give = next(n for n, effect in enumerate(walk.wanted) if isinstance(effect, do.GiveJob))
    assert write < give
    assert [draft.kind for draft in walk.find(do.Write).drafts] == ["validated", "commanded"]
    given = walk.find(do.GiveJob)
    # after a kill it is the same job, to the last byte
    state = fold(walk.entries, walk.state.settings, "next life")
    _, effects = decide(state, ev.Restored(walk.at))
    assert effects[0] == given


def test_a_restart_leaves_a_person_the_board_and_what_is_left_of_the_time(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_person()
    assert walk.state.work is not None
    deadline = walk.state.work.person_deadline
    assert deadline is not None
    walk.state = fold(walk.entries, walk.state.settings, "next life")
    assert walk.state.stage is S.PERSON
    walk.at += 100.0
    restored = ev.Restored(walk.at)
    wanted = walk.feed(restored)
    assert not any(isinstance(effect, do.AskBoard) for effect in wanted)  # a piece may be in the person's hand
    assert walk.state.work is not None
    assert walk.state.work.person_deadline == deadline
    assert walk.find(do.StartTimer) == do.StartTimer("person", deadline - restored.at)
    walk.feed(walk.seen("after"))
    walk.feed(walk.board("after"))
    assert walk.find(do.Answer).response.status == 200


def test_a_move_made_while_nobody_looked_counts_although_the_time_is_over(start: Make, move: Make) -> None:
    for shown, status in (("after", 200), ("before", 500)):
        walk = Walk(start, move).to_person()
        walk.state = fold(walk.entries, walk.state.settings, "next life")
        walk.feed(ev.Restored(walk.at + 1000.0))
        assert walk.find(do.AskBoard).request.expect == "after"
        walk.feed(walk.board(shown))
        assert walk.find(do.Answer).response.status == status


def test_a_persons_move_that_phase_1_saw_is_seen_again_after_a_restart(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_before(executor="person")
    walk.feed(walk.board("after"))
    walk.state = fold(walk.entries, walk.state.settings, "next life")
    walk.feed(ev.Restored(walk.at))
    walk.feed(walk.seen("after"))
    walk.feed(walk.board("after"))
    assert walk.find(do.Answer).response.status == 200


def test_an_old_word_of_rest_is_no_news(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_parking()
    stages = []
    for word in (
        walk.arms("parked", at=5.0),
        walk.arms("stopped"),
        walk.arms("idle"),  # with a piece low over its square, say: the board would feel it there
        walk.arms("stopped", parked=True),
    ):
        walk.feed(word)
        stages.append(walk.state.stage)
    assert stages == [S.PARKING, S.PARKING, S.PARKING, S.BOARD_AFTER]


def test_a_finished_job_is_given_again_when_its_result_stays_away(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_arm()
    assert walk.feed(walk.arms("moving", ours=True)) == [do.CancelTimer("arm-repeat")]
    assert walk.feed(walk.arms("parked", at=1.0)) == []  # overtaken
    assert walk.feed(walk.arms("parked")) == [do.StartTimer("arm-repeat", 2.0)]
    assert walk.feed(walk.arms("parked")) == []  # once: the timer must not be put off for ever
    assert isinstance(walk.feed(walk.timer("arm-repeat"))[0], do.GiveJob)


def test_the_board_is_believed_by_its_squares_not_by_its_status(start: Make, move: Make) -> None:
    walk = Walk(start, move, repair=False).to_after()
    walk.feed(walk.board("before", status=200))
    answer = walk.find(do.Answer).response
    assert (answer.status, answer.detail.code) == (500, "unchanged")
    assert walk.state.session is not None
    assert walk.state.session.ply == 0


def test_an_answer_from_an_earlier_stage_is_not_taken(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_before()
    old = walk.board("before")
    walk.feed(old)
    walk.feed(walk.job())
    assert walk.state.stage is S.BOARD_AFTER
    assert walk.feed(old) == []


def test_a_session_ends_by_word_once(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_ready()
    walk.feed(walk.verdict())
    assert walk.entries[-1].kind == "ended"
    assert (walk.entries[-1].session_id, walk.entries[-1].key) == ("s1", "end-1")
    shown = session_state(walk.state)
    assert (shown.status, shown.result, shown.termination) == ("ended", "1-0", "resignation")
    assert walk.feed(walk.verdict(request_id="end-2")) == []
    # the same game begun anew is another one, and the old word, come late, does not end it
    walk.to_ready()
    assert walk.feed(walk.verdict(known=True)) == []
    assert walk.state.stage is S.READY


def test_a_word_during_a_move_waits_for_its_end_and_survives_a_kill(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_after().resigned()
    assert [entry.kind for entry in walk.entries][-1] == "ending"
    assert session_state(walk.state).status == "running"
    walk.state = fold(walk.entries, walk.state.settings, "next life")
    walk.feed(ev.Restored(walk.at))
    assert walk.feed(walk.verdict(request_id="end-2")) == []
    walk.feed(walk.board("after"))
    answer = walk.find(do.Answer).response
    assert (answer.status, answer.detail.result, answer.detail.termination) == (200, "1-0", "resignation")
    assert [draft.kind for draft in walk.find(do.Write).drafts] == ["confirmed", "ended", "answered"]
    assert session_state(walk.state).ply == 1


def test_mate_on_the_board_outweighs_a_word_that_was_said_meanwhile(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_after(MATE).resigned()
    walk.feed(walk.board("after"))
    assert walk.state.session is not None
    assert (walk.state.session.result, walk.state.session.termination) == ("0-1", "checkmate")
    assert [entry.kind for entry in walk.entries].count("ended") == 1


def test_flicker_is_told_from_blindness(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_after()
    walk.feed(walk.seen("before", settled=False))
    walk.blind().feed(walk.timer("board"))
    assert walk.find(do.Answer).response.detail.code == "off-centre"


def test_the_token_does_not_travel_in_events(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_ended()
    assert walk.entries
    assert not any(b"token-" in msgspec.json.encode(entry.data) for entry in walk.entries)
    assert all(entry.key for entry in walk.entries)


def test_a_job_id_is_made_of_its_token(start: Make, move: Make) -> None:
    one, other = Walk(start, move).to_arm(), Walk(start, move).to_arm()
    assert one.state.work is not None
    assert other.state.work is not None
    assert one.state.work.job_id == other.state.work.job_id
    request = dataclasses.replace(
        one.state.work, request=msgspec.structs.replace(one.state.work.request, task_token="x")
    )
    assert request.move_id != one.state.work.move_id


def test_a_job_is_not_started_after_the_requests_deadline(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_ready()
    walk.feed(walk.move(deadline=walk.at + 30.0))
    walk.feed(walk.board("before"))
    job = walk.find(do.GiveJob).job
    assert walk.state.work is not None
    assert job.deadline == walk.state.work.request.deadline


# ---------------------------------------------------------------- repairs


def test_a_missed_grasp_is_put_right_and_counted(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_repair()
    job = walk.find(do.GiveJob).job
    assert walk.state.work is not None
    assert (job.kind, job.job_id) == ("repair", f"{walk.state.work.move_id}-r1")
    assert job.before.split()[:2] == BEFORE_MATE.split()[:2]
    assert job.after == walk.after()
    walk.feed(walk.job(grasps=(grasp(QUIET, grasped=True, released=True, kept=True),)))
    walk.feed(walk.board("after"))
    answer = walk.find(do.Answer).response
    assert (answer.status, answer.detail.repaired) == (200, 1)
    assert [entry.kind for entry in walk.entries if entry.key == "token-2"] == [
        "received", "validated", "commanded", "moved", "repair-ordered", "repaired", "confirmed", "answered",
    ]  # fmt: skip


def test_a_repair_is_given_again_under_its_own_id_over_a_kill_and_never_twice(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_repair()
    job = walk.find(do.GiveJob).job
    late = walk.job("unknown", missed=QUIET, job_id=walk.state.work.move_id if walk.state.work else None)
    assert walk.again().feed(ev.Restored(walk.at))[0] == do.GiveJob(job)
    assert walk.feed(late) == []  # the move's own result, once more
    walk.feed(walk.job("unknown", missed=QUIET))
    walk.again().feed(ev.Restored(walk.at))
    assert walk.state.work is not None
    assert (walk.state.stage, walk.state.work.repairs, walk.state.repairs) == (S.BOARD_AFTER, 1, 1)


def test_an_answer_to_a_question_before_the_repair_is_none_after_it(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_arm()
    walk.feed(walk.job("unknown", missed=QUIET))
    old = walk.board("before")
    walk.feed(old)
    walk.feed(walk.job("unknown", missed=QUIET))
    assert walk.feed(old) == []


def test_repairs_of_one_move_and_of_one_session_are_bounded(start: Make, move: Make) -> None:
    walk = Walk(start, move, repairs_per_session=3).to_repair()
    for _ in range(2):
        walk.feed(walk.job("unknown", missed=QUIET))
        walk.feed(walk.board("before"))
    answer = walk.find(do.Answer).response
    assert (answer.status, answer.detail.code, answer.detail.repaired) == (500, "unchanged", 2)
    assert "2 repairs have not helped" in answer.reason
    walk.feed(walk.move())
    walk.feed(walk.board("before"))
    for number in (3, 3):
        walk.feed(walk.job("unknown", missed=QUIET))
        walk.feed(walk.board("before"))
        assert walk.state.repairs == number
    assert "3 repairs in one game are too many" in walk.find(do.Answer).response.reason
    assert walk.again().state.repairs == 3
    walk.to_ready()  # the same game goes on
    assert (walk.state.repairs, walk.again().state.repairs) == (3, 3)
    walk.feed(walk.start(session="s2"))
    walk.feed(walk.started())
    assert (walk.state.repairs, walk.again().state.repairs) == (0, 0)


def test_an_arm_that_was_stopped_or_refused_repairs_nothing(start: Make, move: Make) -> None:
    ends: list[tuple[m.Outcome, str]] = [("refused", "not-ready"), ("unknown", "stopped"), ("unknown", "alarm")]
    for outcome, code in ends:
        walk = Walk(start, move).to_arm()
        walk.feed(walk.job(outcome, missed=QUIET, code=code))
        walk.feed(walk.board("before"))
        assert walk.find(do.Answer).response.status == 500


def test_a_piece_still_in_the_gripper_is_put_down_by_the_arm_that_has_it(start: Make, move: Make) -> None:
    lifted = BEFORE_MATE.replace("pppp1ppp", "ppp2ppp")
    for parked in (True, False):
        walk = Walk(start, move).to_arm()
        taken = (grasp(QUIET, grasped=True, released=False),)
        walk.feed(walk.job("unknown", parked=parked, holding="p" if parked else None, grasps=taken, code="link-lost"))
        if not parked:
            arm = m.ArmStatus(name="black", kind="k", mode="parked", parked=True, holding="p", felt=True)
            walk.feed(ev.ArmsSeen(walk.at, m.ArmState(arms=(arm,), at=walk.at)))
        walk.feed(walk.board(lifted))
        assert walk.find(do.GiveJob).job.arm == "black"
    for believed in (None, "p"):  # what an arm is believed to hold is not what it measures
        walk = Walk(start, move).to_arm()
        walk.feed(walk.job("unknown", parked=False, grasps=taken, code="link-lost"))
        arm = m.ArmStatus(name="black", kind="k", mode="parked", parked=True, holding=believed)
        walk.feed(ev.ArmsSeen(walk.at, m.ArmState(arms=(arm,), at=walk.at)))
        walk.feed(walk.board(lifted))
        assert "left the gripper" in walk.find(do.Answer).response.reason


def test_what_a_failed_move_left_in_doubt_stays_in_doubt_for_the_next_token(start: Make, move: Make) -> None:
    """The pawn was lost on the way; on its side or not, some square shows it now. Nobody knows that it stands there well."""
    lost = BEFORE_MATE.replace("pppp1ppp/8/4p3", "ppp2ppp/8/4p2p")
    for lives in (1, 2):
        walk = Walk(start, move).to_arm()
        felt = grasp(QUIET, grasped=True, released=False, kept=False)
        walk.feed(walk.job("unknown", code="lost-piece", grasps=(felt,)))
        walk.feed(walk.board(lost))
        assert "was lost on the way" in walk.find(do.Answer).response.reason
        for _ in range(2):  # however often it is asked
            if lives == 2:
                walk.again()
            walk.feed(walk.move())
            walk.feed(walk.board(lost))
            assert "was lost on the way" in walk.find(do.Answer).response.reason
        walk.feed(walk.move())
        walk.feed(walk.board("before"))  # somebody has put it back
        walk.feed(walk.job())
        walk.feed(walk.board("after"))
        assert walk.find(do.Answer).response.status == 200
        assert (walk.state.grasps, walk.again().state.grasps) == ((), ())


@pytest.mark.parametrize("shown", ["before", "after"])
@pytest.mark.parametrize("executor", ["arm", "person"])
def test_a_lost_piece_that_the_board_shows_is_not_believed_to_stand(
    start: Make, move: Make, shown: str, executor: Any
) -> None:
    """Coils feel some pieces that lie. What a gripper has lost counts again when somebody was seen to lift it."""
    walk = Walk(start, move).to_arm()
    placement = (BEFORE_MATE if shown == "before" else walk.after()).split()[0]
    walk.feed(walk.job("unknown", code="lost-piece", grasps=(grasp(QUIET, grasped=True, released=False, kept=False),)))
    walk.feed(walk.board(shown))
    answer = walk.find(do.Answer).response
    assert (answer.status, answer.detail.code) == (500, "dropped")
    assert f"the board shows it on {QUIET[:2] if shown == 'before' else QUIET[2:]}, where it may lie" in answer.reason
    walk.again()
    walk.feed(walk.move(executor=executor))
    for _ in range(3):  # however often it is asked: nobody has touched it
        assert walk.feed(walk.board(shown)) == [do.StartTimer("board", walk.state.settings.repair_look_s)]
        walk.feed(ev.BoardSeen(walk.at, m.BoardState(connected=True, settled=True, placement=placement)))
        walk.feed(ev.BoardSeen(walk.at, m.BoardState(connected=True, settled=False, placement=LIFTED)))
        walk.feed(walk.timer("board"))
    walk.feed(ev.BoardSeen(walk.at, m.BoardState(connected=True, settled=True, placement=LIFTED)))
    walk.feed(walk.board("after" if executor == "person" else "before"))
    assert walk.state.stage is (S.BOARD_AFTER if executor == "person" else S.ARM)
    if executor == "arm":
        walk.feed(walk.job())
    walk.feed(walk.board("after"))
    assert walk.find(do.Answer).response.status == 200
    assert walk.state.lying is None


def test_nobody_stands_the_lost_piece_up_in_time(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_arm()
    walk.feed(walk.job("unknown", code="lost-piece", grasps=(grasp(QUIET, grasped=True, released=False, kept=False),)))
    walk.feed(walk.board("after"))
    walk.feed(walk.move(executor="person"))
    walk.at += walk.state.settings.person_deadline_s
    walk.feed(walk.board("after"))
    answer = walk.find(do.Answer).response
    assert (answer.status, answer.detail.code) == (500, "dropped")


def test_a_piece_that_may_lie_is_taken_off_before_a_setup_goes_on(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_setup_arm()
    carried = m.GraspReport(piece="P", from_place="f3", to_place="f2", grasped=True, released=False, kept=False)
    back = BEFORE_MATE.split()[0].replace("6P1/5P2/PPPPP2P", "6P1/8/PPPPPP1P")
    for _ in range(2):  # asked again, it is told again: nobody has touched it
        walk.feed(walk.job("unknown", code="lost-piece", grasps=(carried,))) if walk.state.work else walk.to_setup()
        walk.feed(walk.table())
        walk.feed(walk.started(f"{back} w - - 0 1"))
        answer = walk.find(do.Answer).response
        assert (answer.status, answer.detail.code) == (500, "dropped")
        assert "the board shows it on f2, where it may lie: take it off the board" in answer.reason
        assert answer.detail.expected == back.replace("PPPPPP1P", "PPPPP2P")
        walk.again()


def test_after_an_act_that_nobody_reported_no_arm_touches_a_wrong_table(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_parking()
    walk.feed(walk.timer("rest"))
    walk.feed(walk.board(KNIGHT_AWAY))
    assert walk.find(do.Answer).response.detail.code == "arm-lost"
    for _ in range(2):
        walk.feed(walk.move())
        walk.feed(walk.board(KNIGHT_AWAY))
        assert "nobody knows what an arm did" in walk.find(do.Answer).response.reason
        walk.again()
    walk.feed(walk.move())
    walk.feed(walk.board("before"))
    assert walk.state.stage is S.ARM


def test_before_a_move_a_wrong_table_is_looked_at_twice_and_then_put_right(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_before()
    asked = walk.question()
    assert walk.feed(walk.board(KNIGHT_AWAY)) == [do.StartTimer("board", 3.0)]
    walk.feed(walk.timer("board"))
    assert walk.question() != asked
    walk.feed(walk.board("before"))  # the hand has put it back
    assert walk.state.stage is S.ARM

    walk = Walk(start, move).to_repair_before()
    job = walk.find(do.GiveJob).job
    assert (job.before.split()[0], job.after.split()[0]) == (KNIGHT_AWAY.split()[0], BEFORE_MATE.split()[0])
    walk.feed(walk.job())
    walk.feed(walk.board("before"))
    assert walk.state.stage is S.ARM
    assert walk.find(do.GiveJob).job.kind == "move"


def test_a_repair_that_was_late_is_not_begun(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_ready()
    walk.feed(walk.move(deadline=walk.at + 3.0))
    walk.feed(walk.board("before"))
    walk.feed(walk.job("unknown", missed=QUIET))
    walk.at += 10.0
    walk.feed(walk.board("before"))
    assert "deadline" in walk.find(do.Answer).response.reason


# ---------------------------------------------------------------- setups


def test_a_setup_goes_on_job_by_job_until_the_board_shows_it(start: Make, move: Make) -> None:
    walk = Walk(start, move, setup_carries=2).to_setup_arm()
    found, jobs = BEFORE_MATE.split()[0], []
    for shown in ("rnbqkbnr/pppp1ppp/8/4p3/8/8/PPPPPPPP/RNBQKBNR", chess.STARTING_BOARD_FEN):
        job = walk.find(do.GiveJob).job
        assert (job.before.split()[0], job.after.split()[0]) == (found, chess.STARTING_BOARD_FEN)
        jobs.append((job.kind, job.arm, job.limit))
        found = shown
        walk.feed(walk.job())
        walk.again().feed(ev.Restored(walk.at))
        assert session_state(walk.state).phase == "arm"
        walk.feed(walk.table())
        walk.feed(walk.started(f"{found} w - - 0 1"))
    assert jobs == [("setup", None, 2)] * 2
    assert walk.find(do.Answer).response.status == 200
    assert walk.entries[-2].kind == "set-up"


def test_a_setup_is_not_over_with_a_piece_in_a_gripper(start: Make, move: Make) -> None:
    """The board shows all that was wanted; but the next job of whoever plays then would find the arm with its hand full."""
    walk = Walk(start, move).to_setup_arm()
    walk.feed(walk.job("unknown", code="restarted", holding="N"))
    walk.feed(walk.table(holding="N"))
    walk.feed(walk.started(chess.STARTING_FEN))
    job = walk.find(do.GiveJob).job
    assert (job.kind, job.before.split()[0], job.after.split()[0]) == ("setup", *(chess.STARTING_BOARD_FEN,) * 2)
    walk.feed(walk.job("refused", code="clearance"))
    walk.feed(walk.table(holding="N"))
    walk.feed(walk.started(chess.STARTING_FEN))
    answer = walk.find(do.Answer).response
    assert (answer.status, answer.detail.code) == (500, "setup-incomplete")


def test_a_setup_ends_only_the_running_session_that_it_names(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_ready()
    walk.feed(walk.setup(session="other"))
    assert (walk.find(do.Answer).response.status, walk.find(do.Answer).response.detail.code) == (400, "session-running")
    walk.feed(walk.setup())
    assert walk.state.session is None
    assert walk.again().state.session is None
    assert session_state(walk.state).status == "idle"


def test_a_piece_that_vanishes_during_a_setup_is_named_and_the_rest_is_left_to_the_arms(
    start: Make, move: Make
) -> None:
    walk = Walk(start, move).to_setup_arm()
    walk.feed(walk.job("unknown", code="lost-piece"))
    walk.feed(walk.table())
    walk.feed(walk.started("rnbqkbnr/pppp1ppp/8/4p3/8/5P2/PPPPP2P/RNBQKBNR w - - 0 1"))
    answer = walk.find(do.Answer).response
    assert (answer.status, answer.detail.code) == (500, "dropped")
    assert "a white pawn is neither on the board nor beside it" in answer.reason
    # put back where it belongs it is enough: what is still wrong then the arms can do
    assert answer.detail.expected == "rnbqkbnr/pppp1ppp/8/4p3/8/5P2/PPPPPP1P/RNBQKBNR"


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ("rnbqkbnr/ppppppp1/8/8/8/8/PPPPPPP1/RNBQKBNR", "a white pawn is missing"),
        ("rnbqkbnr/pppppppp/8/8/8/8/PPPPP3/RNBQKBNR", "3 white pawns are missing"),
        ("rnbqkb1r/pppppppp/8/8/8/8/PPPPPPP1/RNBQKBNR", "a white pawn, a black knight are missing"),
    ],
)
def test_a_setup_that_cannot_succeed_is_refused_before_any_job(start: Make, move: Make, shown: str, words: str) -> None:
    walk = Walk(start, move)
    walk.feed(walk.table("p"))
    walk.feed(walk.setup())
    walk.looked_twice(lambda: walk.started(f"{shown} w - - 0 1"))
    answer = walk.find(do.Answer).response
    assert (answer.status, answer.detail.code) == (500, "setup-incomplete")
    assert words in answer.reason
    assert "setup-ordered" not in [entry.kind for entry in walk.entries]


def test_a_setup_looks_twice_before_its_first_job(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_setup()
    asked = walk.question()
    assert walk.feed(walk.started()) == [do.StartTimer("board", 3.0)]
    walk.feed(walk.timer("board"))
    assert walk.question() != asked
    walk.feed(walk.started(KNIGHT_AWAY))  # a hand is in it
    assert walk.state.stage is S.SETUP
    walk.feed(walk.timer("board"))
    walk.feed(walk.started(KNIGHT_AWAY))
    assert walk.state.stage is S.SETUP_ARM


def test_what_no_arm_can_do_ends_a_setup_in_the_words_of_the_arms(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_setup_arm()
    walk.feed(walk.job("refused", code="unreachable", reason="f2, g2: arm white, f2: too far"))
    walk.feed(walk.table())
    walk.feed(walk.started())
    answer = walk.find(do.Answer).response
    assert (answer.status, answer.detail.code) == (500, "setup-incomplete")
    assert "no arm can do what is left: unreachable: f2, g2: arm white, f2: too far; put right: " in answer.reason
    assert answer.detail.expected == chess.STARTING_BOARD_FEN


def test_where_no_tray_has_room_it_is_said(start: Make, move: Make) -> None:
    walk = Walk(start, move).to_setup_arm()
    walk.feed(walk.job("refused", code="no-slot", reason="f3: no tray"))
    walk.feed(walk.table())
    walk.feed(walk.started())
    assert "no tray has room for what is left" in walk.find(do.Answer).response.reason


def test_a_refusal_counts_for_what_stood_there_then(start: Make, move: Make) -> None:
    """Somebody has put a piece right meanwhile: what is left now may be possible. So may what an arm refused to begin."""
    walk = Walk(start, move).to_setup_arm()
    walk.feed(walk.job("refused", code="unreachable"))
    walk.feed(walk.table())
    walk.feed(walk.started("rnbqkbnr/pppp1ppp/8/4p3/8/8/PPPPPPPP/RNBQKBNR w - - 0 1"))
    assert walk.state.stage is S.SETUP_ARM
    walk.feed(walk.job("refused", code="limits", token=7))
    walk.feed(walk.table())
    walk.feed(walk.started("rnbqkbnr/pppp1ppp/8/4p3/8/8/PPPPPPPP/RNBQKBNR w - - 0 1"))
    assert walk.state.stage is S.SETUP_ARM
    assert walk.state.work is not None
    assert walk.state.work.progress is not None
    assert walk.state.work.progress.failures == 1


def test_a_setup_that_an_earlier_release_has_begun_goes_on(start: Make, move: Make) -> None:
    """Its journal has jobs for one arm, without a limit, and a progress that remembers what that arm could not do."""
    walk = Walk(start, move).to_setup_arm()
    old = {"jobs": 1, "failures": 0, "arm": "white", "squares": ["f2", "g2"], "pieces": "", "narrow": True,
           "vain": [["black", "f2"]], "tidied": ["white"]}  # fmt: skip
    ordered = walk.entries[-1]
    assert ordered.kind == "setup-ordered"
    job = {key: value for key, value in ordered.data["job"].items() if key != "limit"} | {"arm": "white"}
    walk.entries[-1] = dataclasses.replace(ordered, data={**ordered.data, "job": job, "progress": old})
    given = walk.again().feed(ev.Restored(walk.at))
    assert [effect.job.arm for effect in given if isinstance(effect, do.GiveJob)] == ["white"]
    walk.feed(walk.job("refused", code="unreachable"))
    walk.feed(walk.table())
    walk.feed(walk.started())
    job = walk.find(do.GiveJob).job
    assert (job.arm, job.limit, job.job_id[-2:]) == (None, 8, "s2"), "one arm's refusal says nothing of the other"


def test_a_setup_gives_up_after_so_many_failures(start: Make, move: Make) -> None:
    walk = Walk(start, move, setup_failures=2).to_setup_arm()
    for _ in range(3):
        assert walk.state.stage is S.SETUP_ARM
        walk.feed(walk.job("unknown", code="missed-grasp"))
        walk.feed(walk.table())
        walk.feed(walk.started())
    assert walk.find(do.Answer).response.detail.code == "setup-failed"


def test_a_setup_asks_again_when_an_arm_was_only_on_its_way_home(start: Make, move: Make) -> None:
    walk = Walk(start, move, setup_failures=2).to_setup_arm()
    first = walk.find(do.GiveJob).job
    walk.feed(walk.job("refused", code="not-ready", reason="arm black is not ready: measured again"))
    walk.feed(walk.table())
    walk.feed(walk.started())
    again = walk.find(do.GiveJob).job
    assert (again.after, again.job_id != first.job_id) == (first.after, True)
    for _ in range(2):  # bounded all the same
        walk.feed(walk.job("refused", code="not-ready"))
        walk.feed(walk.table())
        walk.feed(walk.started())
    assert walk.find(do.Answer).response.detail.code == "setup-failed"


def test_when_the_board_is_done_spare_pieces_are_brought_home_as_long_as_that_goes_on(start: Make, move: Make) -> None:
    walk = Walk(start, move)
    walk.feed(walk.table("QQ", lacks=2))
    walk.feed(walk.setup())
    walk.feed(walk.started(chess.STARTING_FEN))
    home = m.GraspReport(piece="Q", from_place="tray-white-0", to_place="rack-white-0", grasped=True, released=True)
    for grasps in ((home,), ()):  # another arm may have something to bring after the first; then nobody has
        job = walk.find(do.GiveJob).job
        assert (job.arm, job.before.split()[0] == job.after.split()[0]) == (None, True)
        walk.feed(walk.job(grasps=grasps))
        walk.feed(walk.table("QQ", lacks=2))
        walk.feed(walk.started(chess.STARTING_FEN))
    assert walk.find(do.Answer).response.status == 200


def test_without_arms_nothing_is_set_up(start: Make, move: Make) -> None:
    for settings in ({"robot_enabled": False}, {"arm_protocol": "sample"}):
        walk = Walk(start, move, **settings)
        walk.feed(walk.setup())
        assert walk.find(do.Answer).response.detail.code == "no-robot"
    walk = Walk(start, move)
    walk.feed(walk.setup("8/8/8/8/8/8/8/not a placement"))
    assert walk.find(do.Answer).response.detail.code == "malformed"

"""The component on a memory bus, with a board of its own making, in virtual time."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import chess
import msgspec
import pytest

from edgechess_board.errors import BoardLost
from edgechess_board.placement import Placement, square_index
from edgechess_board.smart_board import BoardEvent, Connected, Lost, Reading
from edgechess_board_sensor import component
from edgechess_board_sensor.settings import Settings
from edgechess_kit.bus import Subscription
from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker, MemoryBus
from edgechess_kit.messages import (
    BoardProcessed,
    BoardStartResponse,
    BoardState,
    BoardValidateRequest,
    GameRequest,
    Message,
    SessionState,
)
from edgechess_kit.topics import Topic, Topics

pytestmark = pytest.mark.anyio

M = TypeVar("M", bound=Message)

START = chess.STARTING_FEN
AFTER_E4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1"  # as chess.js writes it


class Board:
    """A SmartBoard that shows what the test says."""

    rotated = False

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[BoardEvent](math.inf)
        self.placement = Placement.from_fen(START)
        self.lost: str | None = None
        self.at_rest = anyio.Event()
        self.at_rest.set()
        self.reads = 0
        self.expected: list[Placement] = []

    async def run(self) -> None:
        await anyio.sleep_forever()

    def events(self) -> AsyncIterator[BoardEvent]:
        return self._receive

    async def read(self) -> Reading:
        self.reads += 1
        if self.lost:
            raise BoardLost(self.lost)
        await self.at_rest.wait()
        await anyio.sleep(0.3)
        return Reading(self.placement, True, anyio.current_time())

    def expect(self, placement: Placement) -> None:
        self.expected.append(placement)

    def connect(self) -> None:
        self.lost = None
        self._send.send_nowait(Connected("01025", "1.02", "/dev/ttyACM0"))
        self.show()

    def lose(self, reason: str) -> None:
        self.lost = reason
        self._send.send_nowait(Lost(reason))

    def show(self, fen: str | None = None, *, settled: bool = True, flickering: tuple[int, ...] = ()) -> None:
        if fen is not None:
            self.placement = Placement.from_fen(fen)
        self._send.send_nowait(Reading(self.placement, settled, anyio.current_time(), flickering))

    def close(self) -> None:
        self._send.close()
        self._receive.close()


class Bench:
    """A sensor at work, and somebody else on the bus."""

    def __init__(self, broker: MemoryBroker, board: Board, bus: MemoryBus, inbox: Subscription) -> None:
        self.broker, self.board, self.bus, self.inbox = broker, board, bus, inbox
        self.topics = broker.topics
        self.journal: SqliteJournal

    async def hear(self, topic: Topic[M], within_s: float = 10.0) -> M:
        with anyio.fail_after(within_s):
            async for delivery in self.inbox:
                if delivery.topic == topic.name:
                    return delivery.decode(topic)
        raise AssertionError

    async def state(self, *, settled: bool | None = None, connected: bool = True) -> BoardState:
        while True:
            state = await self.hear(self.topics.board_state)
            if state.connected == connected and settled in (None, state.settled):
                return state

    def retained(self) -> BoardState | None:
        return self.broker.retained(self.topics.board_state)


@asynccontextmanager
async def sensor_at_work(*, connected: bool = True, **settings: object) -> AsyncIterator[Bench]:
    broker, board = MemoryBroker(Topics()), Board()
    clock = VirtualClock()
    journal = SqliteJournal(":memory:", clock)
    context = Context(
        "board-sensor",
        msgspec.convert(settings, Settings),
        broker.client("board-sensor"),
        broker.topics,
        journal,
        clock,
        SeededIds(1),
    )
    other, t = broker.client("other"), broker.topics
    heard = (
        t.board_state,
        t.board_moved,
        t.board_processed,
        t.board_start_response,
        t.board_validate_response,
        t.status,
    )
    async with other.subscribe(*heard) as inbox, anyio.create_task_group() as tasks:
        tasks.start_soon(component.run, context, board)
        bench = Bench(broker, board, other, inbox)
        bench.journal = journal
        await bench.state(connected=False)
        if connected:
            board.connect()
            await bench.state(settled=True)
        yield bench
        tasks.cancel_scope.cancel()
    board.close()
    journal.close()


def move(
    request_id: str | None = "r1", expect: str = "before", token: str = "t1", **more: object
) -> BoardValidateRequest:
    return BoardValidateRequest(
        action="move", session_id="s1", task_token=token, before=START, after=AFTER_E4, lan="e2e4",
        request_id=request_id, expect=expect, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def running(*moves: str, expecting: str | None = None, lan: str | None = None) -> SessionState:
    board = chess.Board()
    for lan_ in moves:
        board.push_uci(lan_)
    return SessionState(
        status="running", session_id="s1", start_fen=START, fen=board.fen(), moves=moves, ply=len(moves),
        expecting=expecting, lan=lan,  # type: ignore[arg-type]
    )  # fmt: skip


async def test_the_state_says_what_the_board_shows_and_stays() -> None:
    async with sensor_at_work() as bench:
        state = bench.retained()
        assert state is not None
        assert state.connected
        assert state.settled
        assert state.placement == "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR"
        assert state.board_id == "01025"
        seq = state.seq
        bench.board.show("rnbqkbnr/pppppppp/8/8/8/8/PPPP1PPP/RNBQKBNR", settled=False)
        provisional = await bench.state(settled=False)
        assert provisional.seq == seq + 1


async def test_start_needs_the_starting_position() -> None:
    async with sensor_at_work() as bench:
        request = GameRequest(action="start", session_id="s1", task_token="t0", before=START, request_id="r0")
        await bench.bus.publish(bench.topics.board_start, request)
        answer = await bench.hear(bench.topics.board_start_response)
        assert (answer.status, answer.task_token, answer.request_id) == (200, "t0", "r0")
        bench.board.placement = bench.board.placement.with_piece(3, "K").with_piece(4, "Q")
        await bench.bus.publish(bench.topics.board_start, request)
        answer = await bench.hear(bench.topics.board_start_response)
        assert answer.status == 500
        assert answer.reason == "the white king on d1 and the white queen on e1 are swapped"
        assert [difference.square for difference in answer.differences] == ["d1", "e1"]


async def test_validation_of_both_phases() -> None:
    async with sensor_at_work() as bench:
        await bench.bus.publish(bench.topics.board_validate, move())
        answer = await bench.hear(bench.topics.board_validate_response)
        assert (answer.status, answer.move, answer.request_id, answer.task_token) == (200, "e2e4", "r1", "t1")
        await bench.bus.publish(bench.topics.board_validate, move("r2", "after"))
        answer = await bench.hear(bench.topics.board_validate_response)
        assert (answer.status, answer.request_id) == (500, "r2")
        assert answer.placement == "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR"
        assert [(d.square, d.expected, d.found) for d in answer.differences] == [("e2", None, "P"), ("e4", "P", None)]
        bench.board.placement = Placement.from_fen(AFTER_E4)
        await bench.bus.publish(bench.topics.board_validate, move("r3", "after", move_type="RETRY"))
        answer = await bench.hear(bench.topics.board_validate_response)
        assert answer.status == 200


async def test_a_question_waits_until_the_board_is_at_rest() -> None:
    async with sensor_at_work() as bench:
        bench.board.at_rest = anyio.Event()
        await bench.bus.publish(bench.topics.board_validate, move(expect="after"))
        await anyio.sleep(2)
        bench.board.placement = Placement.from_fen(AFTER_E4)
        bench.board.at_rest.set()
        answer = await bench.hear(bench.topics.board_validate_response)
        assert answer.status == 200


async def test_a_board_that_never_rests_is_told_with_the_square() -> None:
    async with sensor_at_work() as bench:
        bench.board.at_rest = anyio.Event()
        bench.board.show(settled=False, flickering=(square_index("e4"),))
        await bench.bus.publish(bench.topics.board_validate, move())
        asked_s = anyio.current_time()
        answer = await bench.hear(bench.topics.board_validate_response)
        assert anyio.current_time() - asked_s == pytest.approx(4.5)
        assert (answer.status, answer.placement) == (500, None)
        assert answer.reason
        assert "e4 keeps changing" in answer.reason


async def test_a_blind_board_is_told_and_one_that_comes_back_in_time_answers() -> None:
    async with sensor_at_work() as bench:
        bench.board.lose("unplugged")
        state = await bench.state(connected=False)
        assert (state.placement, state.reason) == (None, "unplugged")
        await bench.bus.publish(bench.topics.board_validate, move())
        answer = await bench.hear(bench.topics.board_validate_response)
        assert (answer.status, answer.placement) == (500, None)
        assert answer.reason == "the board is not seen: unplugged"
        await bench.bus.publish(bench.topics.board_validate, move("r2"))
        await anyio.sleep(2)
        bench.board.connect()
        answer = await bench.hear(bench.topics.board_validate_response)
        assert (answer.status, answer.request_id) == (200, "r2")


async def test_a_duplicate_is_one_question() -> None:
    async with sensor_at_work() as bench:
        for _ in range(3):
            await bench.bus.publish(bench.topics.board_validate, move())
        await bench.hear(bench.topics.board_validate_response)
        await anyio.sleep(1)
        assert bench.board.reads == 1
        await bench.bus.publish(bench.topics.board_validate, move())
        answer = await bench.hear(bench.topics.board_validate_response)
        assert answer.status == 200, "asked again later it is answered again"


async def test_what_does_not_parse_is_answered_with_its_reason() -> None:
    async with sensor_at_work() as bench:
        bench.broker.inject("other", bench.topics.board_validate.name, b'{"action": "move"}')
        answer = await bench.hear(bench.topics.board_validate_response)
        assert answer.status == 500
        assert "sessionId" in (answer.reason or "")
        bench.broker.inject("other", bench.topics.board_start.name, b"no json")
        assert isinstance(await bench.hear(bench.topics.board_start_response), BoardStartResponse)
        bench.broker.inject("other", bench.topics.session_state.name, b"[]")
        await bench.bus.publish(
            bench.topics.board_start,
            GameRequest(action="start", session_id="s1", task_token="t0", before="no position at all"),
        )
        refused = await bench.hear(bench.topics.board_start_response)
        assert refused.status == 500
        assert "expected 8 ranks" in (refused.reason or "")


async def test_a_persons_move_is_published_and_journalled() -> None:
    async with sensor_at_work() as bench:
        await bench.bus.publish(bench.topics.session_state, running())
        bench.board.show("rnbqkbnr/pppppppp/8/8/8/5N2/PPPPPPPP/RNBQKB1R")
        moved = await bench.hear(bench.topics.board_moved)
        assert (moved.kind, moved.lan, moved.san, moved.ply, moved.session_id) == ("move", "g1f3", "Nf3", 1, "s1")
        assert moved.before == START
        assert chess.Board(moved.after).board_fen() == "rnbqkbnr/pppppppp/8/8/8/5N2/PPPPPPPP/RNBQKB1R"
        assert [entry.data["lan"] for entry in bench.journal.entries(kind="moved")] == ["g1f3"]
        bench.board.show(START)
        back = await bench.hear(bench.topics.board_moved)
        assert (back.kind, back.lan, back.san, back.ply) == ("takeback", "g1f3", "Nf3", 1)
        assert (back.before, back.after) == (moved.after, moved.before)
        assert bench.board.expected[0] == Placement.from_fen(START)


async def test_a_slide_is_watched() -> None:
    async with sensor_at_work(slide_wait_s=0.5) as bench:
        await bench.bus.publish(bench.topics.session_state, running())
        bench.board.show("rnbqkbnr/pppppppp/8/8/8/4P3/PPPP1PPP/RNBQKBNR")
        since_s = anyio.current_time()
        moved = await bench.hear(bench.topics.board_moved)
        assert moved.lan == "e2e3"
        assert anyio.current_time() - since_s == pytest.approx(0.5)


async def test_a_wrong_square_is_named_in_the_state() -> None:
    async with sensor_at_work() as bench:
        await bench.bus.publish(bench.topics.session_state, running())
        bench.board.show("rnbqkbnr/pppppppp/8/8/8/8/PPPP1PPP/RNBQKBNR")
        while not (state := await bench.state(settled=True)).differences:
            pass
        assert [(d.square, d.expected, d.found) for d in state.differences] == [("e2", "P", None)]
        assert state.reason == "e2 is empty, expected a white pawn"


async def test_the_samples_manager_is_told_when_the_pieces_moved() -> None:
    async with sensor_at_work() as bench:
        await bench.bus.publish(bench.topics.board_validate, move(request_id=None))
        await bench.hear(bench.topics.board_validate_response)
        bench.board.show("rnbqkbnr/pppppppp/8/8/8/8/PPPP1PPP/RNBQKBNR")
        bench.board.show(AFTER_E4)
        processed = await bench.hear(bench.topics.board_processed)
        assert processed == BoardProcessed(status=200, lan="e2e4")


async def test_health_follows_the_board() -> None:
    async with sensor_at_work(connected=False) as bench:

        async def until(status: str) -> None:
            while True:
                heard = await bench.hear(bench.topics.status)
                if heard.status == status:
                    return

        bench.board.connect()
        await until("ready")
        bench.board.lose("unplugged")
        await until("degraded")


def test_settings() -> None:
    assert Settings().timing.quiet_s == 0.25
    assert Settings(link="bluetooth").timing.quiet_s == 0.5
    assert Settings(port="/dev/rfcomm0").timing.quiet_s == 0.5
    assert Settings(port="/dev/rfcomm0", quiet_s=0.6).timing.quiet_s == 0.6
    assert Settings(castling_wait_s=3).waits.castling_s == 3


async def test_a_session_state_that_was_overtaken_changes_nothing() -> None:
    async with sensor_at_work() as bench:
        arm_moves = msgspec.structs.replace(running(), expecting="arm", lan="e2e4")
        for seq, shown in ((5, running("e2e4")), (4, arm_moves)):
            await bench.bus.publish(bench.topics.session_state, msgspec.structs.replace(shown, seq=seq))
        bench.board.show(AFTER_E4.split()[0])
        await anyio.sleep(1)
        bench.board.show("rnbqkbnr/pp1ppppp/8/2p5/4P3/8/PPPP1PPP/RNBQKBNR")
        assert (await bench.hear(bench.topics.board_moved)).lan == "c7c5"


async def test_a_session_that_ended_is_not_taken_up_again_by_a_late_state() -> None:
    async with sensor_at_work() as bench:
        ended = msgspec.structs.replace(running("e2e4"), status="ended", result="1-0")
        for seq, shown in ((4, running("e2e4")), (6, ended), (5, running("e2e4"))):
            await bench.bus.publish(bench.topics.session_state, msgspec.structs.replace(shown, seq=seq))
        await anyio.sleep(1)
        bench.board.show("8/8/8/8/8/8/8/8")  # the pieces are put away
        await anyio.sleep(5)
        state = bench.retained()
        assert state is not None
        assert (state.placement, state.differences) == ("8/8/8/8/8/8/8/8", ())

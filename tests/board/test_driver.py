"""The driver against the other end of its wire, over good and bad wires, in virtual time."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
import trio.testing
from anyio.abc import ByteStream
from anyio.streams.memory import MemoryObjectSendStream

from edgechess_board.driver import DgtBoard
from edgechess_board.errors import BoardLost, BoardNotFound
from edgechess_board.placement import Placement, square_index
from edgechess_board.smart_board import BoardEvent, Connected, Lost, Reading

pytestmark = pytest.mark.anyio

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR"
LETTERS = ".PRNBKQprnbkq"  # piece codes 00 to 0c, from the reference's table
SCAN_S = 0.25


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Wire(ByteStream):
    """One end of a serial line; `spoil` may drop or split what arrives here."""

    def __init__(
        self,
        inbox: anyio.abc.ObjectReceiveStream[bytes],
        outbox: anyio.abc.ObjectSendStream[bytes],
        spoil: Callable[[bytes], list[bytes]],
    ) -> None:
        self._inbox, self._outbox, self._spoil = inbox, outbox, spoil
        self._ready: list[bytes] = []

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while not self._ready:
            self._ready = [chunk for chunk in self._spoil(await self._inbox.receive()) if chunk]
        return self._ready.pop(0)

    async def send(self, item: bytes) -> None:
        await self._outbox.send(item)

    async def send_eof(self) -> None:
        await self._outbox.aclose()

    async def aclose(self) -> None:
        await self._outbox.aclose()
        await self._inbox.aclose()


def whole(data: bytes) -> list[bytes]:
    return [data]


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def losing(probability: float, seed: int) -> Callable[[bytes], list[bytes]]:
    chance = random.Random(seed)
    return lambda data: [bytes(byte for byte in data if chance.random() >= probability)]


class Board:
    """A board written by hand from the reference: scan order, 960 B/s, modes; no snapshot on entering one."""

    def __init__(
        self, fen: str = START, *, rotated: bool = False, spoil: Callable[[bytes], list[bytes]] = whole
    ) -> None:
        self.world = list(Placement.from_fen(fen))
        self.rotated, self.spoil = rotated, spoil
        self.codes = [0] * 64
        self.silent = False
        self.opened = 0
        self.refuse = 0
        self.updating = False
        self.heard = bytearray()
        self.extra = b""
        self._tasks: anyio.abc.TaskGroup | None = None
        self._line: MemoryObjectSendStream[bytes] | None = None
        self._board_end: Wire | None = None
        self._touched = anyio.Event()

    async def open(self) -> ByteStream:
        if self.refuse:
            self.refuse -= 1
            raise BoardNotFound("no serial port found")
        self.opened += 1
        self.updating = False
        to_board, board_in = anyio.create_memory_object_stream[bytes](math.inf)
        to_pc, pc_in = anyio.create_memory_object_stream[bytes](math.inf)
        line_out, line_in = anyio.create_memory_object_stream[bytes](math.inf)
        self._board_end = Wire(board_in, to_pc, whole)
        self._line = line_out
        assert self._tasks
        self._tasks.start_soon(self._serve, self._board_end, line_out)
        self._tasks.start_soon(self._transmit, line_in, self._board_end)
        return Wire(pc_in, to_board, self.spoil)

    async def unplug(self) -> None:
        assert self._board_end
        await self._board_end.aclose()

    @asynccontextmanager
    async def powered(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._scan)
            yield
            self._tasks.cancel_scope.cancel()

    def put(self, square: str, piece: str | None) -> None:
        self.world[square_index(square)] = piece
        self._touched.set()

    def say(self, data: bytes) -> None:
        if self._line is not None and not self.silent:
            self._line.send_nowait(data)

    async def _transmit(self, line: anyio.abc.ObjectReceiveStream[bytes], wire: Wire) -> None:
        try:
            async for data in line:
                for at in range(0, len(data), 32):
                    await anyio.sleep(len(data[at : at + 32]) / 960)
                    await wire.send(data[at : at + 32])
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return

    async def _serve(self, wire: Wire, line: MemoryObjectSendStream[bytes]) -> None:
        try:
            while True:
                for byte in await wire.receive():
                    self.heard.append(byte)
                    self._obey(byte)
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            await line.aclose()
            if self._line is line:
                self._line = None

    def _obey(self, byte: int) -> None:
        if byte == 0x40:
            self.updating = False
        elif byte == 0x4B:
            self.updating = True
        elif byte == 0x42:
            self.say(bytes.fromhex("860043") + bytes(self.codes))
        elif byte == 0x45:
            self.say(bytes.fromhex("9100083132333435"))
        elif byte == 0x4D:
            self.say(bytes.fromhex("9300050102"))
        elif byte == 0x47:
            self.say(bytes.fromhex("920007") + b"demo")

    async def _scan(self) -> None:
        while True:
            self._touched = anyio.Event()
            now_s = anyio.current_time()
            if due := [
                (self._visit_s(field, now_s), field) for field in range(64) if self._sensed(field) != self.codes[field]
            ]:
                visit_s, field = min(due)
                with anyio.move_on_after(visit_s - now_s) as waiting:
                    await self._touched.wait()
                if waiting.cancelled_caught and self._sensed(field) != self.codes[field]:
                    self.codes[field] = self._sensed(field)
                    if self.updating:
                        self.say(bytes((0x8E, 0x00, 0x05, field, self.codes[field])))
            else:
                await self._touched.wait()

    def _sensed(self, field: int) -> int:
        return LETTERS.index(self.world[field ^ (7 if self.rotated else 56)] or ".")

    @staticmethod
    def _visit_s(field: int, now_s: float) -> float:
        """When the scanner, which visits fields 0 to 63 in SCAN_S for ever, comes by next."""
        offset_s = field * SCAN_S / 64
        return math.ceil((now_s - offset_s) / SCAN_S) * SCAN_S + offset_s


@asynccontextmanager
async def serving(board: Board, driver: DgtBoard) -> AsyncIterator[None]:
    async with board.powered(), anyio.create_task_group() as tasks:
        tasks.start_soon(driver.run)
        yield
        tasks.cancel_scope.cancel()


async def until(
    events: AsyncIterator[BoardEvent], wanted: Callable[[BoardEvent], bool], within_s: float = 30
) -> BoardEvent:
    with anyio.fail_after(within_s):
        async for event in events:
            if wanted(event):
                return event
    raise AssertionError


def settled(event: BoardEvent) -> bool:
    return isinstance(event, Reading) and event.settled


async def test_it_identifies_the_board_turns_updates_on_and_shows_the_start() -> None:
    board = Board()
    driver = DgtBoard(board.open, port="/dev/ttyACM0")
    events = driver.events()
    async with serving(board, driver):
        assert await anext(events) == Connected("12345", "1.02", "/dev/ttyACM0")
        reading = await until(events, settled)
        assert isinstance(reading, Reading)
        assert reading.placement.fen == START
        assert board.heard[:6] == bytes.fromhex("40454d474b42")
        assert not driver.rotated


@pytest.mark.parametrize("spoil", [whole, one_by_one], ids=["whole", "one byte at a time"])
async def test_a_move_shows_and_settles_in_time(spoil: Callable[[bytes], list[bytes]]) -> None:
    board = Board(spoil=spoil)
    driver = DgtBoard(board.open)
    events = driver.events()
    chance = random.Random(5)
    async with serving(board, driver):
        await until(events, settled)
        piece, here = "P", "e2"
        provisional, late = [], []
        for _ in range(40):
            await anyio.sleep(chance.uniform(1.0, 3.0))
            there = "e4" if here == "e2" else "e2"
            board.put(here, None)
            board.put(there, piece)
            moved_s = anyio.current_time()
            wanted = Placement(tuple(board.world))
            await until(events, lambda event, wanted=wanted: isinstance(event, Reading) and event.placement == wanted)  # type: ignore[misc]
            provisional.append(anyio.current_time() - moved_s)
            reading = await until(events, settled)
            assert isinstance(reading, Reading)
            assert reading.placement == wanted
            late.append(anyio.current_time() - moved_s)
            here = there
        assert sorted(provisional)[37] <= 0.30  # 95 %
        assert sorted(late)[37] <= 0.55
        assert min(late) >= SCAN_S


async def test_a_read_sees_what_changed_just_before_it() -> None:
    board = Board()
    driver = DgtBoard(board.open)
    events = driver.events()
    async with serving(board, driver):
        await until(events, settled)
        for number in range(10):
            await anyio.sleep(0.9 + 0.03 * number)
            board.put("e2", None if board.world[square_index("e2")] else "P")
            reading = await driver.read()
            assert reading.settled
            assert reading.placement == Placement(tuple(board.world))


async def test_reads_at_once_are_all_answered_and_one_may_give_up() -> None:
    board = Board()
    driver = DgtBoard(board.open)
    events = driver.events()
    answers: list[tuple[float, Reading]] = []

    async def ask(after_s: float) -> None:
        await anyio.sleep(after_s)
        asked_s = anyio.current_time()
        reading = await driver.read()
        answers.append((anyio.current_time() - asked_s, reading))

    async with serving(board, driver):
        await until(events, settled)
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(ask, 0.1 * number)
            with anyio.move_on_after(0.05):
                await driver.read()
        assert len(answers) == 8
        assert all(SCAN_S <= took_s <= 0.6 for took_s, _ in answers)


async def test_a_read_waits_while_the_board_is_in_flux() -> None:
    board = Board()
    driver = DgtBoard(board.open)
    events = driver.events()
    async with serving(board, driver), anyio.create_task_group() as tasks:
        await until(events, settled)

        async def fiddle() -> None:
            for number in range(10):
                board.put("abcdefghgf"[number] + "2", None)
                await anyio.sleep(0.2)

        tasks.start_soon(fiddle)
        await anyio.sleep(0.1)
        reading = await driver.read()
        assert reading.placement == Placement(tuple(board.world))
        assert reading.placement.fen == START.replace("PPPPPPPP", "8")


@pytest.mark.parametrize("orientation", ["auto", "rotated"])
async def test_a_rotated_board(orientation: str) -> None:
    board = Board(rotated=True)
    driver = DgtBoard(board.open, orientation=orientation)  # type: ignore[arg-type]
    events = driver.events()
    async with serving(board, driver):
        await until(events, settled)
        assert driver.rotated
        board.put("e2", None)
        board.put("e4", "P")
        assert (await driver.read()).placement == Placement(tuple(board.world))


async def test_in_mid_game_the_expected_placement_tells_how_the_board_lies() -> None:
    fen = "r3k2r/8/8/3pP3/8/8/8/R3K2R"
    board = Board(fen, rotated=True)
    driver = DgtBoard(board.open)
    events = driver.events()
    async with serving(board, driver):
        wrong = await until(events, settled)
        assert isinstance(wrong, Reading)
        assert wrong.placement.fen != fen
        driver.expect(Placement.from_fen(fen))
        right = await until(events, settled)
        assert isinstance(right, Reading)
        assert right.placement.fen == fen
        assert driver.rotated


async def test_orientation_normal_is_never_turned() -> None:
    board = Board(rotated=True)
    driver = DgtBoard(board.open, orientation="normal")
    events = driver.events()
    async with serving(board, driver):
        await until(events, settled)
        assert not driver.rotated


async def test_silence_is_a_lost_link_and_it_reconnects() -> None:
    board = Board()
    driver = DgtBoard(board.open)
    events = driver.events()
    async with serving(board, driver):
        await until(events, settled)
        board.silent, since_s = True, anyio.current_time()
        lost = await until(events, lambda event: isinstance(event, Lost))
        assert anyio.current_time() - since_s <= 4.3
        assert isinstance(lost, Lost)
        assert "silent" in lost.reason
        with pytest.raises(BoardLost):
            await driver.read()
        board.put("e2", None)
        board.silent = False
        assert isinstance(await until(events, lambda event: isinstance(event, Connected)), Connected)
        reading = await until(events, settled)
        assert isinstance(reading, Reading)
        assert reading.placement[square_index("e2")] is None


async def test_an_unplugged_board_fails_those_who_wait_and_comes_back() -> None:
    board = Board()
    driver = DgtBoard(board.open)
    events = driver.events()
    failed = []

    async def ask() -> None:
        try:
            await driver.read()
        except BoardLost as lost:
            failed.append(str(lost))

    async with serving(board, driver):
        await until(events, settled)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(0.1)
            board.refuse = 3
            await board.unplug()
        assert len(failed) == 1
        lost = [await anext(events) for _ in range(2)]
        assert all(isinstance(event, Lost) for event in lost), "the closed link, then the missing port, once each"
        assert isinstance(await anext(events), Connected)
        assert board.opened == 2


async def test_a_device_that_is_no_board_is_left_again() -> None:
    board = Board()
    board.silent = True
    driver = DgtBoard(board.open)
    events = driver.events()
    async with serving(board, driver):
        lost = await anext(events)
        assert isinstance(lost, Lost)
        assert "no DGT board answers" in lost.reason


async def test_a_log_nobody_asked_for_is_survived() -> None:
    board = Board()
    driver = DgtBoard(board.open)
    events = driver.events()
    async with serving(board, driver):
        await until(events, settled)
        board.say(bytes.fromhex("8f3e03") + bytes(0x1F00))
        board.put("e2", None)
        reading = await until(events, settled)
        assert isinstance(reading, Reading)
        assert reading.placement[square_index("e2")] is None
        assert board.opened == 1
        assert board.heard.count(0x42) <= 6, "requests do not pile up behind the log"


@pytest.mark.parametrize("seed", range(4))
async def test_lost_bytes_never_leave_a_wrong_settled_picture(seed: int) -> None:
    board = Board(spoil=losing(0.01, seed))
    driver = DgtBoard(board.open, orientation="normal")
    events = driver.events()
    chance = random.Random(seed)
    async with serving(board, driver):
        await until(events, settled)
        for _ in range(30):
            square = chance.choice("abcdefgh") + chance.choice("12345678")
            board.put(square, chance.choice([*LETTERS[1:], None]))
            with anyio.fail_after(30):
                reading = await driver.read()
            assert reading.placement == Placement(tuple(board.world))


async def test_an_update_lost_without_a_trace_is_found_by_the_audit() -> None:
    board = Board()
    driver = DgtBoard(board.open)
    events = driver.events()
    async with serving(board, driver):
        await until(events, settled)
        board.updating = False  # SEND_UPDATE_NICE was lost, or the board was reset
        board.put("e2", None)
        reading = await until(events, settled, within_s=7)
        assert isinstance(reading, Reading)
        assert reading.placement[square_index("e2")] is None
        assert board.updating


@pytest.mark.slow  # a thousand moves on the wire
async def test_it_runs_on_while_nobody_listens() -> None:
    board = Board()
    driver = DgtBoard(board.open)
    driver.events()
    async with serving(board, driver):
        for number in range(1100):
            board.put("e2", None if number % 2 else "P")
            await anyio.sleep(0.3)
        await anyio.sleep(5)
        assert (await driver.read()).placement == Placement(tuple(board.world))

"""The simulated board against literal bytes of the reference ("dgt-protocol" sections 3 to 7): nothing is encoded here."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import anyio
import pytest

from edgechess_board.placement import Placement, square_index
from edgechess_robots.layout import standard_layout
from edgechess_robots.shapes import STAUNTON_6
from edgechess_twin.dgt_device import SQUARE_S, BoardOptions, DgtDevice
from edgechess_twin.faults import NONE, Faults
from edgechess_twin.memory_stream import MemoryStream, memory_stream_pair
from edgechess_twin.person import route
from edgechess_twin.world import XYZ, World

pytestmark = pytest.mark.anyio

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR"
SCAN_S = 64 * SQUARE_S
START_DUMP = bytes.fromhex(
    "860043" + "08090a0c0b0a0908" + "07" * 8 + "00" * 32 + "01" * 8 + "0203040605040302",
)


class Host:
    """The other end of the wire: sends hex, collects what comes."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream

    async def send(self, text: str) -> None:
        await self.stream.send(bytes.fromhex(text))

    async def hear(self, seconds: float = 0.5) -> bytes:
        """Everything that comes within that time."""
        heard = bytearray()
        with anyio.move_on_after(seconds):
            while True:
                heard += await self.stream.receive()
        return bytes(heard)

    async def ask(self, text: str, seconds: float = 0.5) -> str:
        await self.send(text)
        return (await self.hear(seconds)).hex()


class Bench:
    """A world with a board and a host."""

    def __init__(self, world: World, board: DgtDevice, host: Host) -> None:
        self.world, self.board, self.host = world, board, host
        self.began_s = anyio.current_time()  # the board's first scan began just before

    def number(self, square: str) -> int:
        view = self.world.piece_on(square_index(square))
        assert view is not None
        return view.number

    def lift(self, square: str) -> int:
        """The piece is gone from the board at once."""
        number = self.number(square)
        self.world.hand_pockets(number)
        return number

    def put(self, number: int, square: str, dx: float = 0.0) -> None:
        centre = self.world.square_centre(square_index(square))
        self.world.hand_leaves(number, centre.x_mm + dx, centre.y_mm)

    async def to_field(self, field: int) -> None:
        """Wait until the scanner has just visited that field."""
        whole = int((anyio.current_time() - self.began_s) / SCAN_S) + 1
        await anyio.sleep_until(self.began_s + whole * SCAN_S + (field + 0.2) * SQUARE_S)


@contextlib.asynccontextmanager
async def bench(
    fen: str = START, *, options: BoardOptions | None = None, faults: Faults = NONE, seed: int = 0
) -> AsyncIterator[Bench]:
    world = World(standard_layout(), STAUNTON_6, seed=seed, faults=faults, placement=Placement.from_fen(fen))
    board = DgtDevice(world, options, seed=seed)
    near, far = memory_stream_pair()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(board.run)
        tasks.start_soon(board.serve, far)
        await anyio.sleep(0.001)
        yield Bench(world, board, Host(near))
        tasks.cancel_scope.cancel()


async def test_start_dump() -> None:
    async with bench() as table:
        assert await table.host.ask("42") == START_DUMP.hex()


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("45", "9100083031303235"),  # SERIALNR "01025"
        ("46", "9000050801"),  # BUSADRES 1025
        ("4d", "9300050102"),  # VERSION 1.2
        ("55", "a2000d30303030303031303235"),  # LONG_SERIALNR
        ("41", "8d000a00000000000020"),  # BWTIME: no clock
        ("40", ""),
        ("4b", ""),  # no snapshot on entering a mode (section 3)
        ("44", ""),
        ("4c", ""),  # a USB board has no battery
        ("60040b0c0d00", ""),  # LEDs of another product, swallowed with their data
        ("7f", ""),
    ],
)
async def test_replies(command: str, reply: str) -> None:
    async with bench() as table:
        assert await table.host.ask(command) == reply
        assert await table.host.ask("4d") == "9300050102"


async def test_serial_and_battery_of_the_reference() -> None:
    async with bench(options=BoardOptions(serial_number="12345", bluetooth=True)) as table:
        assert await table.host.ask("45") == "9100083132333435"
        assert await table.host.ask("4c") == "a0000c647f7f000000000000"


async def test_update_mode_tells_the_time_every_second_and_nice_mode_does_not() -> None:
    async with bench() as table:
        assert await table.host.ask("43", 2.5) == "8d000a00000000000020" * 3
        assert await table.host.ask("4b", 5.0) == ""


async def test_trademark_is_neutral_and_says_what_it_is() -> None:
    async with bench() as table:
        reply = bytes.fromhex(await table.host.ask("47"))
        assert reply[0] == 0x92
        assert (reply[1] << 7 | reply[2]) == len(reply)
        assert b"simulated board" in reply
        assert b"DGT" not in reply.upper()
        assert max(reply[1:]) < 0x80


async def test_power_up_is_bus_mode_and_the_first_command_leaves_it() -> None:
    async with bench() as table:
        modes = [table.board.mode]
        await table.host.send("81000001")  # a bus command of four bytes
        assert await table.host.hear() == b""
        modes.append(table.board.mode)
        assert await table.host.ask("4d") == "9300050102"
        modes.append(table.board.mode)
        assert modes == ["bus", "bus", "idle"]


async def test_idle_board_says_nothing_of_moves() -> None:
    async with bench() as table:
        await table.host.ask("40")
        number = table.lift("e2")
        table.put(number, "e4")
        assert await table.host.hear(2.0) == b""


async def test_e2e4() -> None:
    async with bench() as table:
        await table.host.ask("44")
        number = table.lift("e2")
        await anyio.sleep(0.5)
        table.put(number, "e4")
        assert (await table.host.hear(1.0)).hex() == "8e000534008e00052401"


EXD5 = "8/8/8/3p4/4P3/8/8/8"


async def test_slow_exd5_shows_both_squares_empty() -> None:
    async with bench(EXD5) as table:
        await table.host.ask("4b")
        table.lift("d5")
        await anyio.sleep(0.5)
        number = table.lift("e4")
        await anyio.sleep(0.5)
        table.put(number, "d5")
        assert (await table.host.hear(1.0)).hex() == "8e00051b008e000524008e00051b01"


async def test_fast_exd5_never_shows_d5_empty() -> None:
    async with bench(EXD5) as table:
        await table.host.ask("4b")
        await table.to_field(63)  # all of it happens between two visits
        table.lift("d5")
        number = table.lift("e4")
        table.put(number, "d5")
        assert (await table.host.hear(1.0)).hex() == "8e00051b018e00052400"


async def test_castling() -> None:
    async with bench("8/8/8/8/8/8/8/4K2R") as table:
        await table.host.ask("44")
        for origin, target in (("e1", "g1"), ("h1", "f1")):
            number = table.lift(origin)
            await anyio.sleep(0.5)
            table.put(number, target)
            await anyio.sleep(0.5)
        assert (await table.host.hear(0.5)).hex() == "8e00053c008e00053e058e00053f008e00053d02"


async def test_place_before_clear() -> None:
    """A2 to A3 in an instant between the visits of rank 3 and rank 2: A3 is reported first (section 5.1)."""
    async with bench("8/8/8/8/8/8/P7/8") as table:
        await table.host.ask("44")
        await table.to_field(63)
        table.put(table.lift("a2"), "a3")
        assert (await table.host.hear(0.5)).hex() == "8e000528018e00053000"


async def test_slide_of_the_reference_comes_out_of_the_physics() -> None:
    """Qc1xc4, verbatim order: EMPTY c4, Q c2, Q c3, EMPTY c1, EMPTY c2, Q c4, EMPTY c3 (section 5.3)."""
    expected = "8e000522008e000532068e00052a068e00053a008e000532008e000522068e00052a00"
    seen = []
    for seed in range(60):
        async with bench("8/8/8/8/2p5/8/8/2Q5", seed=seed) as table:
            await table.host.ask("44")
            table.lift("c4")
            await table.to_field(63)
            queen = table.number("c1")
            x = table.world.square_centre(2).x_mm
            now = anyio.current_time()
            places: tuple[tuple[float, XYZ], ...] = tuple(
                (seconds, (x, (rank - 4.5) * 55.0, 0.0))
                for seconds, rank in (
                    (0.05, 1.5),
                    (0.17, 1.5),
                    (0.13, 2.5),
                    (0.07, 2.5),
                    (0.05, 3.0),
                    (0.2, 3.0),
                    (0.1, 4.0),
                )
            )
            start = (x, -3.5 * 55.0, 0.0)
            table.world.hand_moves(queen, "hand", route(now, start, places), now, now + 0.8)
            await anyio.sleep(0.8)
            table.put(queen, "c4")
            seen.append((await table.host.hear(0.6)).hex())
    assert expected in seen


async def test_rotated_board_numbers_from_the_other_end() -> None:
    """Python-chess square = field ^ 7: field 0 is h1, 3 is e1, 63 is a8 (section 4)."""
    async with bench("8/8/8/8/8/8/8/R3K3", options=BoardOptions(rotated=True)) as table:
        dump = bytes.fromhex(await table.host.ask("42"))[3:]
        assert (dump[3], dump[7]) == (0x05, 0x02)
        assert sum(1 for code in dump if code) == 2


async def test_baud_budget() -> None:
    """A dump of 67 bytes takes 69.8 ms on the wire, no matter how it is cut."""
    async with bench() as table:
        arrivals: list[tuple[float, int]] = []
        table.board.transcript = lambda at_s, way, data: arrivals.append((at_s, len(data))) if way == "out" else None
        began = anyio.current_time()
        await table.host.ask("4242")
        assert sum(size for _, size in arrivals) == 134
        assert len(arrivals) > 4
        assert arrivals[-1][0] - began == pytest.approx(2 * 67 / 960 + 2 * SQUARE_S + 1 / 960, abs=0.005)
        sent = 0
        for at_s, size in arrivals:
            sent += size
            assert sent / 960.0 <= at_s - began + 1e-9


async def test_input_buffer_of_ten_bytes_overflows() -> None:
    async with bench() as table:
        reply = bytes.fromhex(await table.host.ask("42" + "4d" * 30, 2.0))
        assert table.board.overflowed > 0
        assert reply.count(b"\x93\x00\x05\x01\x02") == 30 - table.board.overflowed
        assert await table.host.ask("4d") == "9300050102"


async def test_log_of_seven_kilobytes_takes_eight_seconds() -> None:
    async with bench() as table:
        began = anyio.current_time()
        await table.host.send("49")
        heard, arrived = bytearray(), 0.0
        with anyio.move_on_after(12.0):
            while True:
                heard += await table.host.stream.receive()
                arrived = anyio.current_time()
        assert heard[:3].hex() == "8f3e03"
        assert len(heard) == 7939
        assert arrived - began == pytest.approx(8.27, abs=0.05)
        assert heard[-1] == 0x6B
        assert heard[-2] == 0x6E
        assert max(heard[1:]) < 0x80
        assert heard[3:].lstrip(b"\x00").startswith(bytes.fromhex("7f7f7f6a48004901"))


async def test_log_remembers_pieces_and_overwrites_the_one_that_flickers() -> None:
    async with bench("8/8/8/8/8/8/4P3/7K") as table:
        for _ in range(3):
            number = table.lift("e2")
            await anyio.sleep(1.0)
            table.put(number, "e2")
            await anyio.sleep(1.0)
        heard = bytes.fromhex(await table.host.ask("49", 10.0))
        # one entry for each piece found at power-up, one for the same field changing ever since
        assert heard[3:].lstrip(b"\x00").hex() == "7f7f7f6a4134453f41346e6b"


async def test_clock_acks_only_in_update_modes() -> None:
    async with bench(options=BoardOptions(clock=True)) as table:
        assert await table.host.ask("40", 0.2) == ""
        assert await table.host.ask("2b03030900", 2.0) == ""
        await table.host.ask("4b", 0.2)
        assert await table.host.ask("2b03030900", 2.0) == "8d000a0a10090a120000"  # version 1.2, section 7
    async with bench() as table:
        await table.host.ask("4b", 0.2)
        assert await table.host.ask("2b03030900", 2.0) == ""


async def test_off_centre_piece_flickers_and_a_centred_one_does_not() -> None:
    async with bench("8/8/8/8/8/8/4P3/8") as table:
        await table.host.ask("44")
        number = table.lift("e2")
        await anyio.sleep(0.5)
        table.put(number, "e2", dx=12.0)
        await table.host.hear(0.5)
        assert await table.host.hear(30.0) == b""
        number = table.lift("e2")
        table.put(number, "e2", dx=23.0)  # 0.42 of a square
        heard = await table.host.hear(30.0)
        assert heard.count(bytes.fromhex("8e00053400")) > 5
        assert heard.count(bytes.fromhex("8e00053401")) > 5


async def test_fault_flicker_is_rare_enough_to_settle_between() -> None:
    async with bench("8/8/8/8/8/8/4P3/8", faults=Faults(flicker=1.0)) as table:
        await table.host.ask("44")
        number = table.lift("e2")
        await anyio.sleep(0.5)
        table.put(number, "e2", dx=6.0)
        await table.host.hear(0.5)
        heard = await table.host.hear(120.0)
        misses = heard.count(bytes.fromhex("8e00053400"))
        assert 3 <= misses <= 30  # 2 of 100 visits, 569 visits
        assert heard.count(bytes.fromhex("8e00053401")) == misses


async def test_fallen_piece_is_gone_or_flickers() -> None:
    async with bench() as table:
        await table.host.ask("44")
        table.world.knock(table.number("e2"), 0.0, 1.0)
        assert (await table.host.hear(0.5)).startswith(bytes.fromhex("8e00053400"))


async def test_two_pieces_on_one_square_are_unstable() -> None:
    async with bench("8/8/8/8/8/8/8/8") as table:
        await table.host.ask("44")
        for letter, dx in (("P", -18.0), ("n", 18.0)):
            table.put(table.world.new_piece(letter), "e4", dx)
        heard = await table.host.hear(5.0)
        codes = {heard[index + 4] for index in range(0, len(heard) - 4, 5)}
        assert codes == {0x00, 0x01, 0x09}


async def test_dead_and_stuck_squares() -> None:
    async with bench(faults=Faults(dead_square=1.0)) as table:
        assert await table.host.ask("42") == "860043" + "00" * 64


async def test_ghost_pieces_come_and_go() -> None:
    async with bench("8/8/8/8/8/8/8/8", faults=Faults(ghost_piece=0.001)) as table:
        await table.host.ask("44")
        heard = await table.host.hear(60.0)
        assert 10 < len(heard) // 5 < 80  # 284 scans of 64 squares, a ghost in 1000, each comes and goes


async def test_lossy_wire_loses_bytes() -> None:
    async with bench(faults=Faults(serial_loss=0.05)) as table:
        for _ in range(10):
            await table.host.ask("42")
        assert table.board.lost_bytes == pytest.approx(33, abs=15)


async def test_disconnect_in_the_middle_of_a_message() -> None:
    async with bench(faults=Faults(serial_disconnect=1.0)) as table:
        await table.host.send("42")
        heard = bytearray()
        with contextlib.suppress(anyio.EndOfStream):
            while True:
                heard += await table.host.stream.receive()
        assert bytes(heard) == START_DUMP[:33]
        assert table.board.mode == "bus"


async def test_a_second_host_takes_the_board() -> None:
    async with bench() as table, anyio.create_task_group() as tasks:
        near, far = memory_stream_pair()
        tasks.start_soon(table.board.serve, far)
        with pytest.raises(anyio.EndOfStream):
            await table.host.stream.receive()
        assert await Host(near).ask("4d") == "9300050102"
        tasks.cancel_scope.cancel()


async def test_stray_log_is_sent_whole_before_the_update() -> None:
    async with bench("8/8/8/8/8/8/4P3/8", faults=Faults(stray_ee_moves=1.0)) as table:
        await table.host.ask("44")
        table.lift("e2")
        heard = await table.host.hear(10.0)
        assert heard[:3].hex() == "8f3e03"
        assert heard[7939:].hex() == "8e00053400"


async def test_a_quiet_board_costs_nothing() -> None:
    """An hour in virtual time in which nothing wakes: the scanner sleeps until the world changes."""
    async with bench() as table:
        awake: list[float] = []
        wait = table.board._wait

        async def counted(version: int, until_s: float) -> None:
            awake.append(anyio.current_time())
            await wait(version, until_s)

        table.board._wait = counted  # type: ignore[method-assign]
        await anyio.sleep(3600.0)
        assert awake == []
        number = table.lift("e2")
        await anyio.sleep(1.0)
        table.put(number, "e4")
        await anyio.sleep(3600.0)
        assert len(awake) < 8

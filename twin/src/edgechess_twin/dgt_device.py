"""A DGT board in software: scans the world's squares, and speaks the board's serial protocol over a byte stream.

Facts: reference "dgt-protocol" (section numbers in the comments). This is the other end of the driver's wire on purpose
written from the reference alone, with its own bytes: it shares no table with `edgechess_board.dgt_protocol`.

What a scan sees comes out of the physics: a square is sampled at the instant it is visited, so that slides, a piece
placed before its old square clears, and captures without an EMPTY need no rules of their own. Scanning is computed only
when something moves, differs or flickers; a quiet board sleeps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Literal

import anyio
import anyio.abc

from edgechess_twin.faults import Dice
from edgechess_twin.world import SENSED_HEIGHT_MM, Moving, Scene, World

SQUARE_S = 0.0033  # one square's visit: 64 of them are 211 ms, within the "200-250 ms" of section 1
BYTES_PER_S = 960.0  # 9600 baud 8N1
FIFO_BYTES = 10  # the board's input buffer in single-board mode (section 1)
COMMAND_S = SQUARE_S  # the board looks at its input between two squares
EEPROM_WRITE_S = 0.020  # an EEPROM write makes the board answer this much later (section 5.5)
BWTIME_PERIOD_S = 1.0  # UPDATE mode: "at least every second" (section 3)
DATA_TIMEOUT_S = 0.5  # a command whose data bytes do not come is forgotten
CLOCK_ACK_S = 0.5  # acks come after 0.3 to 2 s (section 7)
OUT_BYTES = 16384  # messages beyond this backlog are lost, as in any small machine
WRITE_BYTES = 16  # a USB serial chip hands on what it has every 16 ms: partial messages are normal
LOG_BYTES = 0x1F00  # EEPROM ring (section 6)
RAPID_S = 0.25  # a log entry so soon after the previous one is marked "rapid" (section 6)

FULL_COUPLING = 0.35  # in squares from the centre: felt for certain (section 12.3; thresholds are guesses)
FASTEST_MM_S = 2500.0  # nothing on a table moves faster: an arm's line by 2000 at most, a hand by 700
NO_COUPLING = 0.65  # beyond this never; half a square from two centres both may feel it

TRADEMARK = b"edgechess: a simulated board,\r\nnot a product of any board maker.\r\n"  # neutral on purpose (section 0)

Mode = Literal["bus", "idle", "update-board", "update", "update-nice", "bootloader"]
Felt = list[tuple[int, float]]  # piece code, probability that this visit feels it

_CODES = {
    letter: number for number, letter in enumerate("PRNBKQprnbkq", start=1)
}  # section 4: not python-chess's order


@dataclasses.dataclass(frozen=True, slots=True)
class BoardOptions:
    """What kind of board. `serial_number` five digits, `long_serial_number` ten."""

    rotated: bool = False
    bluetooth: bool = False
    clock: bool = False
    serial_number: str = "01025"
    long_serial_number: str = "0000001025"
    version: tuple[int, int] = (1, 2)
    battery_percent: int = 100
    square_s: float = SQUARE_S

    @property
    def visit_s(self) -> float:
        return self.square_s * (2.0 if self.bluetooth else 1.0)  # "BT's scanning in half speed" (section 1)


class DgtDevice:
    """One board. `run()` scans; `serve(stream)` is one host on the wire, a second host takes it from the first."""

    def __init__(self, world: World, options: BoardOptions | None = None, *, seed: int = 0) -> None:
        self.world = world
        self.options = options or BoardOptions()
        self.mode: Mode = "bus"  # "bus mode is default power up mode" (section 3)
        self.overflowed = 0
        """Command bytes that found the input buffer full."""
        self.lost_bytes = 0
        self.transcript: Callable[[float, str, bytes], None] | None = None
        """Called with time, direction ("in" or "out") and bytes, when set."""
        self._felt_of: dict[tuple[str, float, float, float], tuple[tuple[int, int, float], ...]] = {}
        self._stands: tuple[Scene, list[list[tuple[str, float, float, float]]]] | None = None
        self.stuck: dict[int, int] = {}
        """Fields that always feel this code, for tests and demonstrations."""
        self._dice = Dice(seed)
        self._faults = world.faults
        self._codes = [0] * 64
        self._start_s = 0.0
        self._log = bytearray()
        self._logged_field: int | None = None
        self._logged_s = -math.inf
        self._begin_armed = True
        self._eeprom_until_s = -math.inf
        self._out = bytearray()
        self._out_event = anyio.Event()
        self._drained_event = anyio.Event()
        self._fifo = bytearray()
        self._fifo_event = anyio.Event()
        self._mode_event = anyio.Event()
        self._host: anyio.abc.ByteStream | None = None
        self._break_after: int | None = None
        self._host_scope: anyio.CancelScope | None = None
        for field in range(64):
            if self._dice.happens("dead-square", self._faults.dead_square):
                self.stuck[field] = 0

    # -- the wire --------------------------------------------------------------------------------------------------

    async def serve(self, stream: anyio.abc.ByteStream) -> None:
        """One host, until it goes or the link breaks. Closes the stream."""
        if self._host_scope is not None:
            self._host_scope.cancel()
        with anyio.CancelScope() as scope:
            self._host, self._host_scope = stream, scope
            self._out.clear()  # what was sent while nobody listened is gone
            self._fifo.clear()
            self._break_after = None
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._listen, stream, scope, name="dgt listen")
                    tasks.start_soon(self._obey, name="dgt obey")
                    tasks.start_soon(self._tick, name="dgt tick")
                    await self._talk(stream, scope)
            finally:
                if self._host is stream:
                    self._host, self._host_scope = None, None
                with anyio.CancelScope(shield=True):
                    await stream.aclose()

    def power_cycle(self) -> None:
        """The plug was pulled and put back: bus mode, idle, the host's link broken."""
        self._set_mode("bus")
        self._write_log(b"\x7f\x7f\x7f\x6a")  # three NOP, POWERUP (section 6)
        for field, code in enumerate(self._codes):
            if code:
                self._write_log(bytes([0x40 | code, field]))
        if self._host_scope is not None:
            self._host_scope.cancel()

    async def _listen(self, stream: anyio.abc.ByteStream, scope: anyio.CancelScope) -> None:
        while True:
            try:
                data = await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                scope.cancel()
                return
            self._record("in", data)
            for byte in data:
                await anyio.sleep(1.0 / BYTES_PER_S)
                if len(self._fifo) >= FIFO_BYTES:
                    self.overflowed += 1
                    continue
                self._fifo.append(byte)
                self._fifo_event.set()

    async def _talk(self, stream: anyio.abc.ByteStream, scope: anyio.CancelScope) -> None:
        """Bytes leave at line speed, in pieces that know nothing of messages."""
        free_s = anyio.current_time()
        wire = self._dice.stream("wire")
        while True:
            if not self._out:
                self._drained_event.set()
                self._out_event = anyio.Event()
                await self._out_event.wait()
                continue
            # A long backlog (the 7.9 kB log) goes in larger pieces: as true, and cheaper to simulate.
            size = (
                64 if len(self._out) >= 256 else wire.choice((WRITE_BYTES, WRITE_BYTES, wire.randint(1, WRITE_BYTES)))
            )
            chunk = bytes(self._out[:size])
            free_s = max(free_s, anyio.current_time()) + len(chunk) / BYTES_PER_S
            await anyio.sleep_until(free_s)
            del self._out[: len(chunk)]
            if self._break_after is not None:
                chunk = chunk[: self._break_after]
                self._break_after -= len(chunk)
            damaged = self._damage(chunk)
            self._record("out", damaged)
            try:
                if damaged:
                    await stream.send(damaged)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                scope.cancel()
                return
            if self._break_after == 0:
                self.power_cycle()
                return

    def _damage(self, chunk: bytes) -> bytes:
        loss, flip = self._faults.serial_loss, self._faults.serial_flip
        if not loss and not flip:
            return chunk
        kept = bytearray()
        for byte in chunk:
            if self._dice.happens("serial-loss", loss):
                self.lost_bytes += 1
            elif self._dice.happens("serial-flip", flip):
                kept.append(byte ^ (1 << self._dice.stream("serial-bit").randrange(8)))
            else:
                kept.append(byte)
        return bytes(kept)

    def _send(self, code: int, data: Iterable[int] = ()) -> None:
        """Queues one message: code, total length in two bytes of seven bits, data (section 2)."""
        if self._host is None or self._break_after is not None:
            return
        payload = bytes(data)
        length = len(payload) + 3
        if len(self._out) + length > OUT_BYTES:
            self.lost_bytes += length
            return
        if self._dice.happens("serial-disconnect", self._faults.serial_disconnect):
            self._break_after = len(self._out) + length // 2
        if not self._out:
            self._drained_event = anyio.Event()
        self._out += bytes([code, length >> 7, length & 0x7F]) + payload
        self._out_event.set()

    def _record(self, direction: str, data: bytes) -> None:
        if self.transcript is not None:
            self.transcript(anyio.current_time(), direction, data)

    # -- commands --------------------------------------------------------------------------------------------------

    async def _obey(self) -> None:
        while True:
            command = await self._next_byte()
            await anyio.sleep(COMMAND_S)
            if self._out:  # the board sends what it has begun to its end before it looks again
                await self._drained_event.wait()
            if (wait_s := self._eeprom_until_s - anyio.current_time()) > 0.0:
                await anyio.sleep(wait_s)
            if self.mode == "bootloader":
                continue  # waits for its flashing tool; only a power cycle helps
            if command >= 0x80:
                await self._data(3)  # a bus command: address and sum. This board is alone and lets it pass.
            else:
                await self._single(command)

    async def _next_byte(self) -> int:
        while not self._fifo:
            self._fifo_event = anyio.Event()
            await self._fifo_event.wait()
        return self._fifo.pop(0)

    async def _data(self, count: int) -> bytes | None:
        """The data bytes of a command, None if they do not come in time."""
        data = bytearray()
        with anyio.move_on_after(DATA_TIMEOUT_S):
            while len(data) < count:
                data.append(await self._next_byte())
            return bytes(data)
        return None

    async def _single(self, command: int) -> None:
        """A single-board command (section 3). The first one after power-up leaves bus mode for IDLE."""
        if self.mode == "bus" and 0x40 <= command <= 0x60 and command != 0x4A:
            self._set_mode("idle")
        serial = self.options.serial_number
        match command:
            case 0x40:
                self._set_mode("idle")
            case 0x41:
                self._send_time()
            case 0x42:
                self._send(0x86, self._codes)
            case 0x43:
                self._set_mode("update")
            case 0x44:
                self._set_mode("update-board")
            case 0x45:
                self._send(0x91, serial.encode("ascii"))
            case 0x46:
                self._send(0x90, (int(serial) >> 7 & 0x7F, int(serial) & 0x7F))
            case 0x47:
                self._send(0x92, TRADEMARK)
            case 0x49:
                self._write_log(b"\x6e")  # DOWNLOADED
                self._send_log()
            case 0x4A:
                self._set_mode("bus")
            case 0x4B:
                self._set_mode("update-nice")
            case 0x4C:
                if self.options.bluetooth:  # a USB board has no battery and says nothing
                    self._send(0xA0, (self.options.battery_percent, 0x7F, 0x7F, 0, 0, 0, 0, 0, 0))
            case 0x4D:
                self._send(0x93, self.options.version)
            case 0x4E:
                self._set_mode("bootloader")
            case 0x50 | 0x52:  # draughts dumps of 50 fields; what a chess board puts there nobody documents
                self._send(0x94 if command == 0x50 else 0x95, self._codes[:50])
            case 0x55:
                self._send(0xA2, self.options.long_serial_number.encode("ascii"))
            case 0x60:
                await self._data(5)  # LEDs of another product: swallowed
            case 0x2B:
                await self._clock_command()
            case _:
                pass  # unknown, or a scan mask for draughts: no reply (section 3)

    def _set_mode(self, mode: Mode) -> None:
        """No snapshot is sent on entering an update mode: ask with 42 (section 3)."""
        self.mode = mode
        event, self._mode_event = self._mode_event, anyio.Event()
        event.set()

    async def _tick(self) -> None:
        while True:
            if self.mode == "update":
                self._send_time()
                await anyio.sleep(BWTIME_PERIOD_S)
            else:
                await self._mode_event.wait()

    def _send_time(self) -> None:
        """Both times 0:00:00; status bit 5: no clock connected, times invalid (section 7)."""
        self._send(0x8D, (0, 0, 0, 0, 0, 0, 0 if self.options.clock else 0x20))

    async def _clock_command(self) -> None:
        size = await self._data(1)
        body = await self._data(size[0]) if size else None
        if body is None or len(body) < 2 or not self.options.clock or self.mode not in ("update", "update-nice"):
            return  # acks only in UPDATE and UPDATE_NICE, and only from a clock
        await anyio.sleep(CLOCK_ACK_S)
        number = body[1]
        acks = (0x10, number, 0x12 if number == 0x09 else 0x00, 0x00)  # ok, echo, version 1.2 if asked
        self._send(
            0x8D,
            (
                0x0A | (acks[2] & 0x80) >> 3 | (acks[3] & 0x80) >> 2,
                acks[0] & 0x7F,
                acks[1] & 0x7F,
                0x0A | (acks[0] & 0x80) >> 3 | (acks[1] & 0x80) >> 2,
                acks[2] & 0x7F,
                acks[3] & 0x7F,
                0,
            ),
        )

    # -- the log (section 6) ---------------------------------------------------------------------------------------

    def _write_log(self, entry: bytes) -> None:
        self._log += entry
        del self._log[: max(0, len(self._log) - (LOG_BYTES - 1))]
        self._logged_field = None

    def _log_piece(self, field: int, code: int, at_s: float) -> None:
        if self._logged_field == field:
            del self._log[-2:]  # one piece that keeps changing is overwritten, not appended
        rapid = 0x10 if at_s - self._logged_s < RAPID_S else 0
        self._write_log(bytes([0x40 | rapid | code, field]))
        self._logged_field, self._logged_s = field, at_s
        self._eeprom_until_s = at_s + EEPROM_WRITE_S
        away = sum(1 for a, b in zip(self._codes, _BEGIN, strict=True) if b and a != b)
        away_turned = sum(1 for a, b in zip(self._codes, reversed(_BEGIN), strict=True) if b and a != b)
        if min(away, away_turned) > 2:
            self._begin_armed = True  # hysteresis: one flashing piece must not fill the log (section 5.4)
        elif self._begin_armed and self._codes in (_BEGIN, _BEGIN[::-1]):
            self._begin_armed = False
            self._write_log(b"\x6f" if self._codes == _BEGIN else b"\x7a")
        if not any(self._codes):
            self._write_log(b"\x6d")

    def _send_log(self) -> None:
        """Oldest to newest, always ending with EOF; unused memory in front reads as NOP2."""
        text = bytes(self._log) + b"\x6b"
        self._send(0x8F, bytes(LOG_BYTES - len(text)) + text)

    # -- scanning --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Scan until cancelled. Pieces that stand there at power-up are known at once (the first scan, shortened)."""
        visit_s = self.options.visit_s
        self._start_s = anyio.current_time()
        scene = self.world.scene()
        felt = self._still(scene, self._start_s)
        self._codes = [self._resolve(felt[field]) for field in range(64)]
        for field, code in self.stuck.items():
            self._codes[field] = code
        self._write_log(b"\x7f\x7f\x7f\x6a" + b"".join(bytes([0x40 | c, f]) for f, c in enumerate(self._codes) if c))
        visited = 0  # number of the last visit that is done; visit n is of field n % 64 at start + n * visit_s
        while True:
            now = anyio.current_time()
            calm_s = self.world.quiet_from(now)
            if calm_s > now:
                # Something moves low over the board: row by row, each square sampled at its own instant.
                row_end = (visited // 8 + 1) * 8
                await self._wait(scene.version, self._start_s + row_end * visit_s)
                last = self._visits_until(anyio.current_time())
                first = max(visited + 1, last - 63)
                near = self._near(first, last, scene)
                for number in range(first, last + 1):
                    self._visit(number, scene, near)
                visited = max(visited, last)
            else:
                # Nothing moves: only squares that differ from what was last felt, or may flicker, will say anything.
                felt = self._still(scene, now)
                due = self._due(felt, max(visited, self._visits_until(now)))
                wake_s = self.world.next_unrest(now)
                if due is not None:
                    wake_s = min(wake_s, self._start_s + due[0] * visit_s)
                await self._wait(scene.version, wake_s)
                visited = max(visited, self._visits_until(anyio.current_time()))
                if due is not None and due[0] <= visited:
                    self._report(due[0] % 64, due[1])
            scene = self.world.scene()

    async def _wait(self, version: int, until_s: float) -> None:
        if until_s == math.inf:
            await self.world.wait_changed(version)
            return
        with anyio.move_on_after(until_s - anyio.current_time()):
            await self.world.wait_changed(version)

    def _visits_until(self, at_s: float) -> int:
        # A hair of tolerance: a sleep until a visit's instant must not end a rounding error before it.
        return int((at_s - self._start_s) / self.options.visit_s + 1e-6)

    def _square(self, field: int) -> int:
        return field ^ (7 if self.options.rotated else 56)  # section 4

    def _near(self, first: int, last: int, scene: Scene) -> dict[int, list[Moving]]:
        """What moves and can be near each field that is visited: where it is exactly costs more than all else here."""
        way_mm = FASTEST_MM_S * self.world.speed * (last - first) * self.options.visit_s
        reach = NO_COUPLING * self.world.layout.square_mm + way_mm
        at_s = self._start_s + first * self.options.visit_s
        places = [(moving, moving.where(at_s)) for moving in scene.moving]
        near: dict[int, list[Moving]] = {}
        for number in range(first, last + 1):
            centre = self.world.square_centre(self._square(number % 64))
            near[number % 64] = [
                moving for moving, (x, y, _) in places if abs(x - centre.x_mm) < reach and abs(y - centre.y_mm) < reach
            ]
        return near

    def _standing(self, scene: Scene) -> list[list[tuple[str, float, float, float]]]:
        """By field, what stands near it: letter, steadiness, and how far beside its centre."""
        if self._stands is not None and self._stands[0] is scene:
            return self._stands[1]
        pitch = self.world.layout.square_mm
        reach = NO_COUPLING * pitch
        fields: list[list[tuple[str, float, float, float]]] = [[] for _ in range(64)]
        for still in scene.still:
            column, row = math.floor(still.x_mm / pitch + 3.5), math.floor(still.y_mm / pitch + 3.5)
            for square in (
                c + 8 * r for r in (row, row + 1) for c in (column, column + 1) if 0 <= c <= 7 and 0 <= r <= 7
            ):
                centre = self.world.square_centre(square)
                dx, dy = still.x_mm - centre.x_mm, still.y_mm - centre.y_mm
                if -reach < dx < reach and -reach < dy < reach:
                    fields[self._square(square)].append((still.letter, still.steadiness, dx, dy))
        self._stands = (scene, fields)
        return fields

    def _visit(self, number: int, scene: Scene, near: dict[int, list[Moving]]) -> None:
        field = number % 64
        centre = self.world.square_centre(self._square(field))
        at_s = self._start_s + number * self.options.visit_s
        felt: Felt = []
        reach = NO_COUPLING * self.world.layout.square_mm
        for letter, steadiness, dx, dy in self._standing(scene)[field]:
            self._couple(felt, letter, steadiness, dx, dy)
        for moving in near[field]:
            x, y, z = moving.where(at_s)
            dx, dy = x - centre.x_mm, y - centre.y_mm
            if z < SENSED_HEIGHT_MM and -reach < dx < reach and -reach < dy < reach:
                self._couple(felt, moving.letter, moving.steadiness, dx, dy)
        self._report(field, self._resolve(felt))

    def _couple(self, felt: Felt, letter: str, steadiness: float, dx: float, dy: float) -> None:
        strength = self._strength(steadiness, dx, dy)
        if strength > 0.0:
            felt.append((_CODES[letter], strength))

    def _strength(self, steadiness: float, dx: float, dy: float) -> float:
        distance = math.hypot(dx, dy) / self.world.layout.square_mm
        return min(1.0, (NO_COUPLING - distance) / (NO_COUPLING - FULL_COUPLING)) * steadiness

    def _still(self, scene: Scene, at_s: float) -> list[Felt]:
        """What each field may feel, by field, with every piece where it is at that time."""
        felt: list[Felt] = [[] for _ in range(64)]
        places = [(s.letter, s.steadiness, s.x_mm, s.y_mm) for s in scene.still]
        for moving in scene.moving:
            x, y, z = moving.where(at_s)
            if z < SENSED_HEIGHT_MM:
                places.append((moving.letter, moving.steadiness, x, y))
        known, self._felt_of = self._felt_of, {}
        for place in places:
            coupled = known.get(place)
            self._felt_of[place] = coupled = self._coupled(*place) if coupled is None else coupled
            for field, code, strength in coupled:
                felt[field].append((code, strength))
        return felt

    def _coupled(self, letter: str, steadiness: float, x: float, y: float) -> tuple[tuple[int, int, float], ...]:
        """Which fields feel a piece there, as what and how. Nearly all of them stand where they stood."""
        pitch = self.world.layout.square_mm
        column, row = x / pitch + 3.5, y / pitch + 3.5  # in squares, whole numbers at the centres
        coupled = []
        for c in range(math.floor(column), math.floor(column) + 2):
            for r in range(math.floor(row), math.floor(row) + 2):
                strength = self._strength(steadiness, (column - c) * pitch, (row - r) * pitch)
                if 0 <= c <= 7 and 0 <= r <= 7 and strength > 0.0:
                    coupled.append((self._square(c + 8 * r), _CODES[letter], strength))
        return tuple(coupled)

    def _resolve(self, felt: Felt) -> int:
        """What one visit feels: one piece its code, two at once anything (section 12.3)."""
        if not felt:
            ghost = self._faults.ghost_piece
            return self._ghost() if self._dice.happens("ghost-piece", ghost) else 0
        random = self._dice.stream("scan")
        present = [code for code, strength in felt if strength >= 1.0 or random.random() < strength]
        if len(present) > 1:
            return random.choice([*present, 0])
        return present[0] if present else 0

    def _ghost(self) -> int:
        return self._dice.stream("ghost-kind").randint(1, 12)

    def _due(self, felt: list[Felt], after: int) -> tuple[int, int] | None:
        """The first visit after that number which will feel something new, and what; None if nothing ever will.

        Equivalent to visiting every square for ever: the number of visits until an uncertain square changes is drawn.
        """
        best: tuple[int, int] | None = None
        random = self._dice.stream("flicker")
        for field in range(64):
            if field in self.stuck:
                continue
            present = self._codes[field]
            feelings = felt[field]
            first = after + 1 + (field - after - 1) % 64
            if not feelings and not self._faults.ghost_piece:
                if present == 0:
                    continue
                number, code = first, 0
            elif len(feelings) == 1 and feelings[0][1] >= 1.0:
                if present == feelings[0][0]:
                    continue
                number, code = first, feelings[0][0]
            else:
                chances = self._chances(feelings)
                stay = chances.pop(present, 0.0)
                if not chances:
                    continue
                change = 1.0 - stay
                skipped = 0 if stay <= 0.0 else int(math.log(1.0 - random.random()) / math.log(stay))
                pick = random.random() * change
                for code, chance in chances.items():  # noqa: B007 - the last one stands if rounding runs past the end
                    pick -= chance
                    if pick < 0.0:
                        break
                number = first + 64 * skipped
            if best is None or number < best[0]:
                best = (number, code)
        return best

    def _chances(self, felt: Felt) -> dict[int, float]:
        """The distribution of what one visit of a field feels. The mirror of `_resolve`."""
        chances: dict[int, float] = {}
        if not felt:
            ghost = self._faults.ghost_piece
            chances = dict.fromkeys(range(1, 13), ghost / 12)
            chances[0] = 1.0 - ghost
            return chances
        for subset in range(1 << len(felt)):
            chance, present = 1.0, []
            for number, (code, strength) in enumerate(felt):
                if subset >> number & 1:
                    chance *= strength
                    present.append(code)
                else:
                    chance *= 1.0 - strength
            if chance <= 0.0:
                continue
            outcomes = present if len(present) == 1 else [*present, 0]
            for code in outcomes:
                chances[code] = chances.get(code, 0.0) + chance / len(outcomes)
        return chances

    def _report(self, field: int, code: int) -> None:
        code = self.stuck.get(field, code)
        if code == self._codes[field]:
            return
        self._codes[field] = code
        self._log_piece(field, code, anyio.current_time())
        if self.mode in ("update", "update-board", "update-nice"):
            if self._dice.happens("stray-ee-moves", self._faults.stray_ee_moves):
                self._send_log()  # seen in the field, unasked (section 5.13)
            self._send(0x8E, (field, code))


_BEGIN = [
    *(_CODES[letter] for letter in "rnbqkbnr"),
    *([_CODES["p"]] * 8),
    *([0] * 32),
    *([_CODES["P"]] * 8),
    *(_CODES[letter] for letter in "RNBQKBNR"),
]

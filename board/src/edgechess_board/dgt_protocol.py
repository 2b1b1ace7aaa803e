"""The DGT electronic board's serial protocol without I/O: bytes to messages and back, both ends.

9600 baud 8N1. PC to board: single-byte commands, except the clock and LED commands, which carry data, and bus mode
(MSB set, four bytes). Board to PC: `id, LLH, LLL, data…`; only `id` has its MSB set, the 14-bit length counts the three
header bytes. Resynchronisation: any byte with MSB set starts a message, whatever was under way is given up.

Names are those of DGT's own "Low Level EBoard Communication" header (2012, changelog to 2015); facts from
`dgt-protocol.md` sections 2 to 4 and 7. Fields are the board's numbering (0 = a8 … 63 = h1 with the connector on
White's left); piece codes are the board's. `dgt_squares` maps both to placements.

The contract between this module and whoever owns the wire is three lines: feed every received byte, in order, to one
parser per connection; act on the messages it returns; throw the parser away with the connection.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator

BAUD = 9600
BYTES_PER_S = 960.0  # 8N1: ten bit times per byte

MSB = 0x80
HEADER_BYTES = 3
FIELDS = 64
FIELD_MASK = 0x3F  # an "S bit" in FIELD_UPDATE is announced (header, 2014-12-19) and nowhere described: tolerate bit 6
PIECE_MASK = 0x0F

EE_MOVES_BYTES = 0x1F03  # the whole log, 8.27 s of line; boards were seen to send it unasked
OTHER_BYTES_LIMIT = 256 + HEADER_BYTES  # TRADEMARK is the longest of all others: 0 to 256 characters


class Command(enum.IntEnum):
    """Single-byte commands to a board in single-board mode."""

    SEND_RESET = 0x40
    SEND_CLK = 0x41
    SEND_BRD = 0x42
    SEND_UPDATE = 0x43
    SEND_UPDATE_BRD = 0x44
    RETURN_SERIALNR = 0x45
    RETURN_BUSADRES = 0x46
    SEND_TRADEMARK = 0x47
    SEND_EE_MOVES = 0x49
    TO_BUSMODE = 0x4A
    SEND_UPDATE_NICE = 0x4B
    SEND_BATTERY_STATUS = 0x4C
    SEND_VERSION = 0x4D
    STARTBOOTLOADER = 0x4E
    SEND_BRD_50B = 0x50
    SCAN_50B = 0x51
    SEND_BRD_50W = 0x52
    SCAN_50W = 0x53
    SCAN_100 = 0x54
    RETURN_LONG_SERIALNR = 0x55


NEVER_SENT = frozenset({
    Command.STARTBOOTLOADER,  # leaves the firmware for the boot loader
    Command.SCAN_50B,  # these three write a draughts scan mask to the EEPROM of a chess board
    Command.SCAN_50W,
    Command.SCAN_100,
    Command.TO_BUSMODE,  # the board falls silent until bus commands arrive, which we do not speak
    Command.SEND_EE_MOVES,  # eight seconds of line, and writes into the log
})  # fmt: skip

SET_LEDS = 0x60
CLOCK_MESSAGE = 0x2B


class Id(enum.IntEnum):
    """Message identifiers, board to PC, as they stand on the wire (MSB set)."""

    NONE = 0x80
    BOARD_DUMP = 0x86
    BWTIME = 0x8D
    FIELD_UPDATE = 0x8E
    EE_MOVES = 0x8F
    BUSADRES = 0x90
    SERIALNR = 0x91
    TRADEMARK = 0x92
    VERSION = 0x93
    BOARD_DUMP_50B = 0x94
    BOARD_DUMP_50W = 0x95
    BATTERY_STATUS = 0xA0
    LONG_SERIALNR = 0xA2


class Piece(enum.IntEnum):
    """Piece codes. The order is P R N B K Q; 0d to 0f are "magic pieces" that announce a result."""

    EMPTY = 0x00
    WPAWN = 0x01
    WROOK = 0x02
    WKNIGHT = 0x03
    WBISHOP = 0x04
    WKING = 0x05
    WQUEEN = 0x06
    BPAWN = 0x07
    BROOK = 0x08
    BKNIGHT = 0x09
    BBISHOP = 0x0A
    BKING = 0x0B
    BQUEEN = 0x0C
    PIECE1 = 0x0D  # draw
    PIECE2 = 0x0E  # White wins
    PIECE3 = 0x0F  # Black wins


# ------------------------------------------------------------------------------------------------ board to PC


@dataclasses.dataclass(frozen=True, slots=True)
class BoardDump:
    """All 64 piece codes, field 0 first."""

    codes: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class FieldUpdate:
    """One field holds another code than before. There may be no update with 00 when a piece replaces another."""

    field: int
    code: int


@dataclasses.dataclass(frozen=True, slots=True)
class ClockSide:
    """One player's clock. `turn`: the status byte says that it is this player's turn."""

    hours: int
    minutes: int
    seconds: int
    flag_fallen: bool = False
    per_move: bool = False
    flag_shown: bool = False
    turn: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class BwTime:
    """Clock times. Right and left are those of the clock's front view, not colours."""

    right: ClockSide
    left: ClockSide
    running: bool = False
    right_lever_high: bool = False
    battery_low: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ClockAck:
    """The clock's answer to a command, or (ack1 = 0x88) a button. ack0 0x10 = ok, 0x40 = error."""

    ack0: int
    ack1: int
    ack2: int
    ack3: int


@dataclasses.dataclass(frozen=True, slots=True)
class NoClock:
    """A BWTIME that is not a time: status bit 5 (no clock connected), or all zeros (Bluetooth boards)."""


@dataclasses.dataclass(frozen=True, slots=True)
class EeMoves:
    """The EEPROM log, oldest entry first, undecoded. Survived, not used."""

    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class BusAddress:
    """14 bits: the decimal serial number as an integer ("01025" is 1025)."""

    address: int


@dataclasses.dataclass(frozen=True, slots=True)
class SerialNumber:
    """Five digits as text."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class LongSerialNumber:
    """Ten digits as text."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Trademark:
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """1.02 is main 1, sub 2."""

    main: int
    sub: int


@dataclasses.dataclass(frozen=True, slots=True)
class BatteryStatus:
    """Charge in percent and what follows it: time left, time on, standby, status. None: not sent or "n/a" (7f).

    Sources disagree about the length (7 or 12 bytes in all): what follows the percentage is taken as far as it goes.
    """

    percent: int
    left_h: int | None = None
    left_min: int | None = None
    on_h: int | None = None
    on_min: int | None = None
    standby_days: int | None = None
    standby_h: int | None = None
    standby_min: int | None = None
    charging: bool = False
    discharging: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Unknown:
    """A well-framed message that chess does not need: draughts dumps, new identifiers, times that are no BCD."""

    id: int
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Garbled:
    """Bytes were lost or damaged: a message cut short, an impossible length, data outside any message.

    An update may have been among them: whoever keeps a picture of the board must ask for a dump.
    """

    reason: str


Message = (
    BoardDump
    | FieldUpdate
    | BwTime
    | ClockAck
    | NoClock
    | EeMoves
    | BusAddress
    | SerialNumber
    | LongSerialNumber
    | Trademark
    | Version
    | BatteryStatus
    | Unknown
    | Garbled
)


# total lengths, header included, that a known identifier may have; anything else there is damage
_LENGTHS: dict[int, tuple[int, ...] | range] = {
    Id.BOARD_DUMP: (67, 103),  # chess, draughts
    Id.BWTIME: (10,),
    Id.FIELD_UPDATE: (5,),
    Id.EE_MOVES: range(HEADER_BYTES, EE_MOVES_BYTES + 1),
    Id.BUSADRES: (5,),
    Id.SERIALNR: (8,),
    Id.VERSION: (5,),
    Id.BOARD_DUMP_50B: (53,),
    Id.BOARD_DUMP_50W: (53,),
    Id.BATTERY_STATUS: range(4, 13),
    Id.LONG_SERIALNR: (13,),
}
_OTHER_LENGTHS = range(HEADER_BYTES, OTHER_BYTES_LIMIT + 1)


class MessageParser:
    """Board to PC. Any bytes, split anywhere, are safe; at most one message is buffered (7,939 bytes)."""

    def __init__(self) -> None:
        self._partial = bytearray()
        self._length: int | None = None
        self._astray = False

    @property
    def mid_message(self) -> bool:
        """A message has begun and not ended."""
        return bool(self._partial)

    def feed(self, data: bytes) -> tuple[Message, ...]:
        """Every message that these bytes complete, in order."""
        return tuple(message for byte in data for message in self._byte(byte))

    def _byte(self, byte: int) -> Iterator[Message]:
        if byte & MSB:
            if self._partial:
                yield Garbled(f"message {self._partial[0]:02x} cut short after {len(self._partial)} bytes")
            self._partial[:] = (byte,)
            self._length, self._astray = None, False
        elif not self._partial:
            if not self._astray:  # told once, however long it goes on
                self._astray = True
                yield Garbled(f"data {byte:02x} outside any message")
        else:
            self._partial.append(byte)
            if len(self._partial) == HEADER_BYTES:
                yield from self._header()
            if self._length is not None and len(self._partial) >= self._length:
                yield _decode(self._partial[0], bytes(self._partial[HEADER_BYTES:]))
                self._partial.clear()
                self._length = None

    def _header(self) -> Iterator[Message]:
        identifier, high, low = self._partial
        length = (high << 7) | low
        if length in _LENGTHS.get(identifier, _OTHER_LENGTHS):
            self._length = length
        else:
            self._partial.clear()
            self._astray = True
            yield Garbled(f"message {identifier:02x} claims {length} bytes")


def _decode(identifier: int, data: bytes) -> Message:
    match identifier:
        case Id.BOARD_DUMP if len(data) == FIELDS:
            return BoardDump(tuple(code & PIECE_MASK for code in data))
        case Id.FIELD_UPDATE:
            return FieldUpdate(data[0] & FIELD_MASK, data[1] & PIECE_MASK)
        case Id.BWTIME:
            return _decode_bwtime(data)
        case Id.EE_MOVES:
            return EeMoves(data)
        case Id.BUSADRES:
            return BusAddress((data[0] << 7) | data[1])
        case Id.SERIALNR:
            return SerialNumber(_text(data))
        case Id.LONG_SERIALNR:
            return LongSerialNumber(_text(data))
        case Id.TRADEMARK:
            return Trademark(_text(data))
        case Id.VERSION:
            return Version(data[0], data[1])
        case Id.BATTERY_STATUS:
            return _decode_battery(data)
        case _:
            return Unknown(identifier, data)


def _text(data: bytes) -> str:
    """ASCII (no byte has its MSB set), without the control characters that a terminal would obey."""
    return "".join(chr(byte) if byte >= 0x20 or byte in b"\r\n\t" else " " for byte in data).strip()


def _decode_bwtime(data: bytes) -> Message:
    if data[0] & 0x0F == 0x0A or data[3] & 0x0F == 0x0A:
        return ClockAck(
            ack0=(data[1] & 0x7F) | ((data[3] << 3) & 0x80),
            ack1=(data[2] & 0x7F) | ((data[3] << 2) & 0x80),
            ack2=(data[4] & 0x7F) | ((data[0] << 3) & 0x80),
            ack3=(data[5] & 0x7F) | ((data[0] << 2) & 0x80),
        )
    status = data[6]
    if status & 0x20 or not any(data):
        return NoClock()
    right, left = (_clock_side(data[start : start + 3], bool(status & turn)) for start, turn in ((0, 0x08), (3, 0x10)))
    if right is None or left is None:
        return Unknown(Id.BWTIME, data)
    return BwTime(right, left, bool(status & 0x01), bool(status & 0x02), bool(status & 0x04))


def _clock_side(data: bytes, turn: bool) -> ClockSide | None:
    hours = data[0] & 0x0F
    minutes, seconds = (10 * (byte >> 4) + (byte & 0x0F) for byte in data[1:3])
    if hours > 9 or minutes > 59 or seconds > 59 or data[1] & 0x0F > 9 or data[2] & 0x0F > 9:
        return None
    return ClockSide(hours, minutes, seconds, bool(data[0] & 0x10), bool(data[0] & 0x20), bool(data[0] & 0x40), turn)


NOT_AVAILABLE = 0x7F


def _decode_battery(data: bytes) -> BatteryStatus:
    padded = data[1:8].ljust(7, bytes((NOT_AVAILABLE,))) + data[8:9].ljust(1, b"\0")
    times = tuple(None if value == NOT_AVAILABLE else value for value in padded[:7])
    left_h, left_min, on_h, on_min, standby_days, standby_h, standby_min = times
    charging, discharging = bool(padded[7] & 0x01), bool(padded[7] & 0x02)
    return BatteryStatus(
        data[0], left_h, left_min, on_h, on_min, standby_days, standby_h, standby_min, charging, discharging
    )


def encode_message(message: Message) -> bytes:
    """The bytes that a board sends for it. Raises ValueError for what no board sends (Garbled, codes out of range)."""
    match message:
        case BoardDump(codes):
            if len(codes) != FIELDS:
                raise ValueError(f"a chess dump has {FIELDS} codes, not {len(codes)}")
            return _frame(Id.BOARD_DUMP, bytes(codes))
        case FieldUpdate(field, code):
            return _frame(Id.FIELD_UPDATE, bytes((field, code)))
        case BwTime():
            return _frame(Id.BWTIME, _encode_bwtime(message))
        case ClockAck(ack0, ack1, ack2, ack3):
            first = 0x0A | (ack2 & 0x80) >> 3 | (ack3 & 0x80) >> 2
            fourth = 0x0A | (ack0 & 0x80) >> 3 | (ack1 & 0x80) >> 2
            return _frame(Id.BWTIME, bytes((first, ack0 & 0x7F, ack1 & 0x7F, fourth, ack2 & 0x7F, ack3 & 0x7F, 0)))
        case NoClock():
            return _frame(Id.BWTIME, bytes((0, 0, 0, 0, 0, 0, 0x20)))
        case EeMoves(data):
            return _frame(Id.EE_MOVES, data)
        case BusAddress(address):
            return _frame(Id.BUSADRES, bytes((address >> 7, address & 0x7F)))
        case SerialNumber(text):
            return _frame(Id.SERIALNR, text.encode("ascii"))
        case LongSerialNumber(text):
            return _frame(Id.LONG_SERIALNR, text.encode("ascii"))
        case Trademark(text):
            return _frame(Id.TRADEMARK, text.encode("ascii"))
        case Version(main, sub):
            return _frame(Id.VERSION, bytes((main, sub)))
        case BatteryStatus():
            return _frame(Id.BATTERY_STATUS, _encode_battery(message))
        case Unknown(identifier, data):
            return _frame(identifier, data)
        case Garbled():
            raise ValueError("no board sends damage on purpose")


def _frame(identifier: int, data: bytes) -> bytes:
    length = HEADER_BYTES + len(data)
    if length not in _LENGTHS.get(identifier, _OTHER_LENGTHS):
        raise ValueError(f"message {identifier:02x} cannot have {length} bytes")
    if not identifier & MSB or any(byte & MSB for byte in data):
        raise ValueError(f"message {identifier:02x}: only the identifier has its MSB set")
    return bytes((identifier, (length >> 7) & 0x7F, length & 0x7F)) + data


def _encode_bwtime(times: BwTime) -> bytes:
    def side(clock: ClockSide) -> bytes:
        flags = 0x10 * clock.flag_fallen | 0x20 * clock.per_move | 0x40 * clock.flag_shown
        minutes, seconds = ((value // 10) << 4 | value % 10 for value in (clock.minutes, clock.seconds))
        return bytes((clock.hours | flags, minutes, seconds))

    status = 0x01 * times.running | 0x02 * times.right_lever_high | 0x04 * times.battery_low
    status |= 0x08 * times.right.turn | 0x10 * times.left.turn
    return side(times.right) + side(times.left) + bytes((status,))


def _encode_battery(battery: BatteryStatus) -> bytes:
    times = (
        battery.left_h, battery.left_min, battery.on_h, battery.on_min,
        battery.standby_days, battery.standby_h, battery.standby_min,
    )  # fmt: skip
    status = 0x01 * battery.charging | 0x02 * battery.discharging
    return bytes((battery.percent, *(NOT_AVAILABLE if value is None else value for value in times), status))


# ------------------------------------------------------------------------------------------------ PC to board


@dataclasses.dataclass(frozen=True, slots=True)
class ClockMessage:
    """`2b size data`: for the clock; `data` ends with 00."""

    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class SetLeds:
    """`60 04 pattern from to 00`: LEDs of a Revelation II. Never sent to a plain board: it is not expected there."""

    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class BusCommand:
    """Four bytes of bus mode: command (MSB set), 14-bit address, checksum."""

    code: int
    address: int
    checksum_ok: bool


@dataclasses.dataclass(frozen=True, slots=True)
class UnknownCommand:
    """A byte that is no command."""

    byte: int


CommandEvent = Command | ClockMessage | SetLeds | BusCommand | UnknownCommand

COMMAND_DATA_LIMIT = 32  # the longest known command carries 15 bytes; a damaged size must not swallow the line
_COMMANDS: dict[int, Command] = {int(command): command for command in Command}
BUS_COMMAND_BYTES = 4


class CommandParser:
    """PC to board: what a device on the other end of the wire hears. Any bytes, split anywhere, are safe."""

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> tuple[CommandEvent, ...]:
        """Every command that these bytes complete, in order."""
        return tuple(command for byte in data for command in self._byte(byte))

    def _byte(self, byte: int) -> Iterator[CommandEvent]:
        if not self._partial and byte not in (CLOCK_MESSAGE, SET_LEDS) and not byte & MSB:
            yield _COMMANDS.get(byte, UnknownCommand(byte))
            return
        self._partial.append(byte)
        head = self._partial[0]
        if head & MSB:
            if len(self._partial) == BUS_COMMAND_BYTES:
                yield self._bus_command()
                self._partial.clear()
        elif len(self._partial) >= 2:
            size = self._partial[1]
            if size > COMMAND_DATA_LIMIT:
                self._partial.clear()
                yield UnknownCommand(head)
            elif len(self._partial) == 2 + size:
                body = bytes(self._partial[2:])
                self._partial.clear()
                yield ClockMessage(body) if head == CLOCK_MESSAGE else SetLeds(body)

    def _bus_command(self) -> BusCommand:
        code, high, low, checksum = self._partial
        return BusCommand(code, (high << 7) | low, (code + high + low) & 0x7F == checksum)


def encode_command(command: Command) -> bytes:
    """One byte. Raises ValueError for the commands that no chess program may send (`NEVER_SENT`)."""
    if command in NEVER_SENT:
        raise ValueError(f"{command.name} is never sent to a chess board")
    return bytes((command,))

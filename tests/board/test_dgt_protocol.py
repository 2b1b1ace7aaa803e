"""Literal bytes of the reference (dgt-protocol.md sections 3, 4, 5 and 7), whole, byte by byte, with trailing bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_board import dgt_protocol as dgt
from edgechess_board.dgt_log_protocol import LogPiece, LogTag, LogTime, log_entries

START_CODES = bytes.fromhex("08090a0c0b0a0908" + "07" * 8 + "00" * 32 + "01" * 8 + "0203040605040302")
START_DUMP = bytes.fromhex("860043") + START_CODES

VECTORS: list[tuple[str, bytes, tuple[dgt.Message, ...]]] = [
    ("start dump", START_DUMP, (dgt.BoardDump(tuple(START_CODES)),)),
    (
        "e2e4",
        bytes.fromhex("8e00053400" "8e00052401"),
        (dgt.FieldUpdate(52, 0), dgt.FieldUpdate(36, 1)),
    ),
    (
        "exd5 slow",
        bytes.fromhex("8e00051b00" "8e00052400" "8e00051b01"),
        (dgt.FieldUpdate(27, 0), dgt.FieldUpdate(36, 0), dgt.FieldUpdate(27, 1)),
    ),
    ("exd5 fast", bytes.fromhex("8e00051b01" "8e00052400"), (dgt.FieldUpdate(27, 1), dgt.FieldUpdate(36, 0))),
    (
        "O-O",
        bytes.fromhex("8e00053c00" "8e00053e05" "8e00053f00" "8e00053d02"),
        (dgt.FieldUpdate(60, 0), dgt.FieldUpdate(62, 5), dgt.FieldUpdate(63, 0), dgt.FieldUpdate(61, 2)),
    ),
    ("serial", bytes.fromhex("9100083132333435"), (dgt.SerialNumber("12345"),)),
    ("long serial", bytes.fromhex("a2000d") + b"3250012345", (dgt.LongSerialNumber("3250012345"),)),
    ("version 1.2", bytes.fromhex("9300050102"), (dgt.Version(1, 2),)),
    ("bus 1025", bytes.fromhex("9000050801"), (dgt.BusAddress(1025),)),
    (
        "battery of 12 bytes",
        bytes.fromhex("a0000c" "647f7f000000000000"),
        (dgt.BatteryStatus(100, None, None, 0, 0, 0, 0, 0),),
    ),
    ("battery of 7 bytes", bytes.fromhex("a00007" "640a1e7f"), (dgt.BatteryStatus(100, 10, 30),)),
    ("button OK", bytes.fromhex("8d000a" "0a1008" "2a" "4135" "00"), (dgt.ClockAck(0x10, 0x88, 0x41, 0x35),)),
    ("clock version", bytes.fromhex("8d000a" "0a1009" "0a" "1200" "00"), (dgt.ClockAck(0x10, 0x09, 0x12, 0x00),)),
    ("no clock", bytes.fromhex("8d000a" "00000000000020"), (dgt.NoClock(),)),
    ("all-zero time of a Bluetooth board", bytes.fromhex("8d000a" "00000000000000"), (dgt.NoClock(),)),
    (
        "times: right 1:59:30, its turn, left 0:05:07, running",
        bytes.fromhex("8d000a" "015930" "000507" "09"),
        (dgt.BwTime(dgt.ClockSide(1, 59, 30, turn=True), dgt.ClockSide(0, 5, 7), running=True),),
    ),
    ("illegal BCD", bytes.fromhex("8d000a" "015a30" "000507" "09"), (dgt.Unknown(0x8D, bytes.fromhex("015a3000050709")),)),
    ("trademark", bytes.fromhex("920007") + b"demo", (dgt.Trademark("demo"),)),
    ("draughts", bytes.fromhex("940035") + bytes(50), (dgt.Unknown(0x94, bytes(50)),)),
    ("bit 6 of the field, high bits of the code", bytes.fromhex("8e00057451"), (dgt.FieldUpdate(52, 1),)),
    ("a log of 7,939 bytes", bytes.fromhex("8f3e03") + bytes(0x1F00), (dgt.EeMoves(bytes(0x1F00)),)),
]  # fmt: skip


@pytest.mark.parametrize(("data", "messages"), [v[1:] for v in VECTORS], ids=[v[0] for v in VECTORS])
class TestVectors:
    def test_whole(self, data: bytes, messages: tuple[dgt.Message, ...]) -> None:
        assert dgt.MessageParser().feed(data) == messages

    def test_byte_by_byte(self, data: bytes, messages: tuple[dgt.Message, ...]) -> None:
        parser = dgt.MessageParser()
        assert tuple(m for byte in data for m in parser.feed(bytes((byte,)))) == messages
        assert not parser.mid_message

    def test_with_trailing_bytes(self, data: bytes, messages: tuple[dgt.Message, ...]) -> None:
        parser = dgt.MessageParser()
        assert parser.feed(data + bytes.fromhex("8e0005")) == messages
        assert parser.feed(bytes.fromhex("3400")) == (dgt.FieldUpdate(52, 0),)

    def test_a_cut_message_is_told_and_the_next_one_is_heard(
        self, data: bytes, messages: tuple[dgt.Message, ...]
    ) -> None:
        heard = dgt.MessageParser().feed(data[:-1] + bytes.fromhex("9300050102"))
        assert heard[:-2] == messages[:-1]
        assert isinstance(heard[-2], dgt.Garbled)
        assert heard[-1] == dgt.Version(1, 2)


ENCODED = [v for v in VECTORS if v[0] not in {
    "battery of 7 bytes", "all-zero time of a Bluetooth board", "bit 6 of the field, high bits of the code",
}]  # fmt: skip


@pytest.mark.parametrize(("data", "messages"), [v[1:] for v in ENCODED], ids=[v[0] for v in ENCODED])
def test_a_board_sends_the_same_bytes(data: bytes, messages: tuple[dgt.Message, ...]) -> None:
    assert b"".join(dgt.encode_message(message) for message in messages) == data


@pytest.mark.parametrize(
    ("data", "survivor"),
    [
        pytest.param("8e05340093000501 02", dgt.Version(1, 2), id="length byte lost"),
        pytest.param("00053400 9300050102", dgt.Version(1, 2), id="identifier lost"),
        pytest.param("8e000534 9300050102", dgt.Version(1, 2), id="data byte lost"),
        pytest.param("8e 8e00053400", dgt.FieldUpdate(52, 0), id="identifier twice"),
        pytest.param("867f7f 9300050102", dgt.Version(1, 2), id="a dump of 16,383 bytes"),
        pytest.param("f17f7f 9300050102", dgt.Version(1, 2), id="an unknown message of 16,383 bytes"),
        pytest.param("8e0000 9300050102", dgt.Version(1, 2), id="length zero"),
    ],
)
def test_resynchronisation(data: str, survivor: dgt.Message) -> None:
    heard = dgt.MessageParser().feed(bytes.fromhex(data))
    assert heard[-1] == survivor
    assert any(isinstance(message, dgt.Garbled) for message in heard)


def test_stray_data_is_told_once() -> None:
    heard = dgt.MessageParser().feed(bytes(5000) + bytes.fromhex("9300050102"))
    assert [type(message) for message in heard] == [dgt.Garbled, dgt.Version]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.data())
def test_any_garbage_is_safe_and_split_anywhere_reads_the_same(garbage: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(garbage)))
    whole, split = dgt.MessageParser(), dgt.MessageParser()
    assert whole.feed(garbage) == split.feed(garbage[:cut]) + split.feed(garbage[cut:])
    assert whole.feed(START_DUMP)[-1] == dgt.BoardDump(tuple(START_CODES))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 255), st.binary(max_size=300).map(lambda data: bytes(byte & 0x7F for byte in data)))
def test_every_frame_that_can_be_sent_is_heard(identifier: int, data: bytes) -> None:
    try:
        frame = dgt.encode_message(dgt.Unknown(identifier, data))
    except ValueError:
        return
    (message,) = dgt.MessageParser().feed(frame)
    assert not isinstance(message, dgt.Garbled)


class TestCommands:
    @pytest.mark.parametrize(
        ("name", "byte"),
        [
            ("SEND_RESET", 0x40), ("SEND_CLK", 0x41), ("SEND_BRD", 0x42), ("SEND_UPDATE", 0x43),
            ("SEND_UPDATE_BRD", 0x44), ("RETURN_SERIALNR", 0x45), ("RETURN_BUSADRES", 0x46),
            ("SEND_TRADEMARK", 0x47), ("SEND_UPDATE_NICE", 0x4B), ("SEND_BATTERY_STATUS", 0x4C),
            ("SEND_VERSION", 0x4D), ("RETURN_LONG_SERIALNR", 0x55),
        ],
    )  # fmt: skip
    def test_bytes(self, name: str, byte: int) -> None:
        assert dgt.encode_command(dgt.Command[name]) == bytes((byte,))
        assert dgt.CommandParser().feed(bytes((byte,))) == (dgt.Command[name],)

    @pytest.mark.parametrize("byte", [0x4E, 0x51, 0x53, 0x54, 0x4A, 0x49])
    def test_the_dangerous_ones_cannot_be_sent_and_are_understood(self, byte: int) -> None:
        with pytest.raises(ValueError):
            dgt.encode_command(dgt.Command(byte))
        assert dgt.CommandParser().feed(bytes((byte,))) == (dgt.Command(byte),)

    def test_those_with_data(self) -> None:
        data = bytes.fromhex("2b0303090042600401003f00811006 177a")
        expected = (
            dgt.ClockMessage(bytes.fromhex("030900")),
            dgt.Command.SEND_BRD,
            dgt.SetLeds(bytes.fromhex("01003f00")),
            dgt.BusCommand(0x81, 0x10 << 7 | 6, checksum_ok=True),
            dgt.UnknownCommand(0x7A),
        )
        assert dgt.CommandParser().feed(data) == expected
        parser = dgt.CommandParser()
        assert tuple(command for byte in data for command in parser.feed(bytes((byte,)))) == expected

    def test_a_damaged_size_does_not_swallow_the_line(self) -> None:
        assert dgt.CommandParser().feed(bytes.fromhex("2b7f42")) == (dgt.UnknownCommand(0x2B), dgt.Command.SEND_BRD)

    @given(st.binary(max_size=200))
    def test_any_garbage_is_safe(self, garbage: bytes) -> None:
        dgt.CommandParser().feed(garbage)


class TestLog:
    def test_entries(self) -> None:
        log = bytes.fromhex("7f7f7f6a523442246030126f6b0000")
        assert log_entries(dgt.EeMoves(log)) == (
            *(LogTag("NOP"),) * 3,
            LogTag("POWERUP"),
            LogPiece(0x34, 2, quick=True),
            LogPiece(0x24, 2, quick=False),
            LogTime(bytes.fromhex("603012")),
            LogTag("BEGINPOS"),
            LogTag("EOF"),
        )

    @given(st.binary(max_size=200))
    def test_any_garbage_is_safe(self, garbage: bytes) -> None:
        log_entries(dgt.EeMoves(garbage))

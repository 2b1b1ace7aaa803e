"""Frames at the literal offsets of the reference "dobot-tcp-ip-v4", section 8."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_robots.dobot.frame_protocol import FrameSplitter

SIX = (1.5, -2.25, 3.0, 4.0, 5.0, 6.125)


def literal(command_id: int = 7) -> bytes:
    data = bytearray(1440)
    struct.pack_into("<H", data, 0, 1440)
    struct.pack_into("<Q", data, 24, 7)
    struct.pack_into("<Q", data, 32, 1_760_000_000_123)
    data[48:56] = bytes.fromhex("efcdab8967452301")
    struct.pack_into("<d", data, 64, 50.0)
    struct.pack_into("<6d", data, 192, *(x + 100 for x in SIX))
    struct.pack_into("<6d", data, 432, *SIX)
    struct.pack_into("<6d", data, 480, *(x * 2 for x in SIX))
    struct.pack_into("<6d", data, 624, *(x - 10 for x in SIX))
    struct.pack_into("<6d", data, 768, *(x - 20 for x in SIX))
    data[1012] = 2
    data[1013] = 3
    data[1014] = 1
    data[1015] = 1
    data[1025] = 0b100001
    data[1026] = 1
    data[1027] = 2
    data[1028] = 1
    data[1029] = 1
    data[1031] = 130  # CR20A: more than a signed byte holds
    data[1038] = 1
    struct.pack_into("<Q", data, 1112, command_id)
    data[1420] = 0xFE
    return bytes(data)


def test_every_field_that_is_read() -> None:
    frame = FrameSplitter().feed(literal())
    assert frame is not None
    assert (frame.robot_mode, frame.time_ms, frame.speed_scaling) == (7, 1_760_000_000_123, 50.0)
    assert frame.q_actual_deg == SIX
    assert frame.q_target_deg == tuple(x + 100 for x in SIX)
    assert frame.qd_actual_deg_s == tuple(x * 2 for x in SIX)
    assert frame.tool_actual == tuple(x - 10 for x in SIX)
    assert frame.tool_target == tuple(x - 20 for x in SIX)
    assert (frame.user, frame.tool, frame.queue_running, frame.paused) == (2, 3, True, True)
    assert (frame.brakes_released, frame.enabled, frame.dragging) == (0b100001, True, True)
    assert (frame.running, frame.error, frame.robot_type, frame.collision) == (True, True, 130, True)
    assert (frame.current_command_id, frame.safety_state) == (7, 0xFE)
    assert frame.safety_tripped(0x01)
    assert not frame.safety_tripped(0x02)


def test_the_newest_of_several_frames_counts() -> None:
    splitter = FrameSplitter()
    frame = splitter.feed(literal(1) + literal(2) + literal(3)[:100])
    assert frame is not None
    assert frame.current_command_id == 2
    assert splitter.frames == 2
    frame = splitter.feed(literal(3)[100:])
    assert frame is not None
    assert frame.current_command_id == 3


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3 * 1440), max_size=8))
def test_frames_split_anywhere(cuts: list[int]) -> None:
    whole = literal(1) + literal(2) + literal(3)
    edges = [0, *sorted(cuts), len(whole)]
    splitter = FrameSplitter()
    shown = [splitter.feed(whole[a:b]) for a, b in itertools.pairwise(edges)]
    assert splitter.frames == 3
    assert splitter.skipped_bytes == 0
    ids = [frame.current_command_id for frame in shown if frame is not None]
    assert ids == sorted(ids)
    assert ids[-1] == 3


@pytest.mark.parametrize(
    "junk",
    [
        b"x" * 100,
        b"\xa0\x05" + b"\x00" * 500,
        literal()[1:],
        literal()[:1439],
        bytes.fromhex("efcdab8967452301") * 30,
        literal()[:48] + b"\x00" + literal()[49:],
    ],
)
def test_resynchronises_after_bad_bytes(junk: bytes) -> None:
    splitter = FrameSplitter()
    shown = [splitter.feed(part) for part in (junk, literal(41), literal(42), literal(43))]
    assert shown[-1] is not None
    assert shown[-1].current_command_id == 43
    assert splitter.skipped_bytes == len(junk)
    assert splitter.frames == 3


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=3000), max_size=4))
def test_any_garbage_is_safe_and_the_buffer_stays_small(chunks: list[bytes]) -> None:
    splitter = FrameSplitter()
    for chunk in chunks:
        splitter.feed(chunk)
    assert len(splitter._buffer) < 1440
    splitter.feed(literal(1))
    splitter.feed(literal(2))
    frame = splitter.feed(literal(3))
    assert frame is not None
    assert frame.current_command_id == 3

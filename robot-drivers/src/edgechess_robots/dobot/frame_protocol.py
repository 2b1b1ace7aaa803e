"""The 1440-byte feedback frame of Dobot V4 controllers (ports 30004 to 30006), without I/O.

Little-endian, packed; offsets in bytes. Source: reference "dobot-tcp-ip-v4" section 8. A frame is parsed lazily: a
reader at 125 Hz looks at a few fields of each.
"""

from __future__ import annotations

import dataclasses
import struct

FRAME_BYTES = 1440
TEST_VALUE = 0x0123_4567_89AB_CDEF
FEEDBACK_PERIODS_S = {30004: 0.008, 30005: 0.2, 30006: 1.0}
"""By port. The documents disagree on 30006 (50 ms or 1000 ms): the longer one, because it only feeds a watchdog."""

# SafetyState bits, active low.
SAFETY_EMERGENCY_STOP = 1 << 0
SAFETY_PROTECTIVE_STOP = 1 << 1
SAFETY_SYSTEM_EMERGENCY_STOP = 1 << 5
SAFETY_USER_EMERGENCY_STOP = 1 << 6

_SIX = struct.Struct("<6d")
_U64 = struct.Struct("<Q")
_F64 = struct.Struct("<d")
_U16 = struct.Struct("<H")
_SIZE_AT, _TEST_AT = 0, 48
_SIZE_BYTES = _U16.pack(FRAME_BYTES)
_TEST_BYTES = _U64.pack(TEST_VALUE)

Six = tuple[float, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame; a property reads its field."""

    data: bytes

    def u64(self, offset: int) -> int:
        return int(_U64.unpack_from(self.data, offset)[0])

    def six(self, offset: int) -> Six:
        return _SIX.unpack_from(self.data, offset)

    @property
    def robot_mode(self) -> int:
        return self.u64(24)

    @property
    def time_ms(self) -> int:
        """The controller's Unix time."""
        return self.u64(32)

    @property
    def speed_scaling(self) -> float:
        return float(_F64.unpack_from(self.data, 64)[0])

    @property
    def q_target_deg(self) -> Six:
        return self.six(192)

    @property
    def q_actual_deg(self) -> Six:
        return self.six(432)

    @property
    def qd_actual_deg_s(self) -> Six:
        return self.six(480)

    @property
    def tool_actual(self) -> Six:
        """x, y, z in mm and Euler angles in degrees (the vendor's header says rotation vector, and errs)."""
        return self.six(624)

    @property
    def tool_target(self) -> Six:
        return self.six(768)

    @property
    def user(self) -> int:
        return self.data[1012]

    @property
    def tool(self) -> int:
        return self.data[1013]

    @property
    def queue_running(self) -> bool:
        return self.data[1014] != 0

    @property
    def paused(self) -> bool:
        return self.data[1015] != 0

    @property
    def brakes_released(self) -> int:
        """Bit 0 is joint 6 … bit 5 is joint 1."""
        return self.data[1025]

    @property
    def enabled(self) -> bool:
        return self.data[1026] != 0

    @property
    def dragging(self) -> bool:
        return self.data[1027] != 0

    @property
    def running(self) -> bool:
        return self.data[1028] != 0

    @property
    def error(self) -> bool:
        return self.data[1029] != 0

    @property
    def robot_type(self) -> int:
        """120 is a CR10A."""
        return self.data[1031]

    @property
    def collision(self) -> bool:
        return self.data[1038] != 0

    @property
    def current_command_id(self) -> int:
        return self.u64(1112)

    @property
    def safety_state(self) -> int:
        """Bits as SAFETY_…, active low."""
        return self.data[1420]

    def safety_tripped(self, mask: int) -> bool:
        return ~self.data[1420] & mask != 0


class FrameSplitter:
    """Cuts a byte stream into frames, split and merged anywhere; after bad bytes it finds the next frame by its size
    and its test value, both of which must be right."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.frames = 0
        """Valid frames seen."""
        self.skipped_bytes = 0
        """Bytes thrown away while looking for a frame."""

    def feed(self, data: bytes) -> Frame | None:
        """The newest frame that became complete; older ones in the same bytes are stale and not shown."""
        buffer = self._buffer
        buffer += data
        newest: int | None = None
        at = 0
        while len(buffer) - at >= FRAME_BYTES:
            if _starts_frame(buffer, at):
                newest = at
                self.frames += 1
                at += FRAME_BYTES
            else:
                following = _next_start(buffer, at + 1)
                self.skipped_bytes += following - at
                at = following
        frame = None if newest is None else Frame(bytes(buffer[newest : newest + FRAME_BYTES]))
        del buffer[:at]
        return frame


def _starts_frame(buffer: bytearray, at: int) -> bool:
    return (
        buffer[at + _SIZE_AT : at + _SIZE_AT + 2] == _SIZE_BYTES
        and buffer[at + _TEST_AT : at + _TEST_AT + 8] == _TEST_BYTES
    )


def _next_start(buffer: bytearray, at: int) -> int:
    """Where the next frame can start: a right beginning, or a place too near the end to tell."""
    while True:
        test = buffer.find(_TEST_BYTES, at + _TEST_AT)
        if test < 0:
            # Any start at which the test value would lie beyond the bytes we have is still possible.
            return max(at, len(buffer) - _TEST_AT - len(_TEST_BYTES) + 1)
        start = test - _TEST_AT
        if _starts_frame(buffer, start):
            return start
        at = start + 1

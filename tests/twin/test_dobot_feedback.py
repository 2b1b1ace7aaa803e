"""The real-time frame at the literal offsets of the reference (dobot-tcp-ip-v4 section 8)."""

import struct

from edgechess_twin.dobot_feedback import Reading, encode, restamp


def f64(frame: bytes, offset: int, count: int = 1) -> tuple[float, ...]:
    return struct.unpack_from(f"<{count}d", frame, offset)


def u64(frame: bytes, offset: int) -> int:
    return int(struct.unpack_from("<Q", frame, offset)[0])


FULL = Reading(
    mode=7,
    stamp_ms=1_750_000_000_123,
    run_ms=4567,
    digital_inputs=0b101,
    digital_outputs=0b10,
    speed_scaling=80.0,
    q_target=(1, 2, 3, 4, 5, 6),
    qd_target=(11, 12, 13, 14, 15, 16),
    qdd_target=(21, 22, 23, 24, 25, 26),
    q_actual=(31, 32, 33, 34, 35, 36),
    qd_actual=(41, 42, 43, 44, 45, 46),
    tool_actual=(51, 52, 53, 54, 55, 56),
    tcp_speed_actual=(61, 62, 63, 64, 65, 66),
    tool_target=(71, 72, 73, 74, 75, 76),
    tcp_speed_target=(81, 82, 83, 84, 85, 86),
    quaternion_target=(0.5, 0.5, -0.5, 0.5),
    quaternion_actual=(1.0, 0.0, 0.25, 0.0),
    user=3,
    tool=4,
    user_frame=(91, 92, 93, 94, 95, 96),
    tool_frame=(0, 0, 180, 1, 2, 3),
    queue_running=True,
    paused=True,
    velocity_ratio=50,
    acceleration_ratio=60,
    xyz_velocity_ratio=70,
    xyz_acceleration_ratio=90,
    brakes_released=0b111111,
    enabled=True,
    running=True,
    command_id=0x0102030405060708,
    load_kg=0.75,
    centre_mm=(1.5, 2.5, 80.0),
    powered=True,
    moving=True,
)


def test_every_field_lies_at_its_offset() -> None:
    frame = encode(FULL)
    assert len(frame) == 1440
    assert frame[:2] == b"\xa0\x05"
    assert frame[48:56] == bytes.fromhex("efcdab8967452301")
    assert (u64(frame, 8), u64(frame, 16), u64(frame, 24)) == (5, 2, 7)
    assert (u64(frame, 32), u64(frame, 40)) == (1_750_000_000_123, 4567)
    assert f64(frame, 64) == (80.0,)
    assert f64(frame, 192, 6) == (1, 2, 3, 4, 5, 6)
    assert f64(frame, 240, 6) == (11, 12, 13, 14, 15, 16)
    assert f64(frame, 288, 6) == (21, 22, 23, 24, 25, 26)
    assert f64(frame, 432, 6) == (31, 32, 33, 34, 35, 36)
    assert f64(frame, 480, 6) == (41, 42, 43, 44, 45, 46)
    assert f64(frame, 624, 6) == (51, 52, 53, 54, 55, 56)
    assert f64(frame, 672, 6) == (61, 62, 63, 64, 65, 66)
    assert f64(frame, 768, 6) == (71, 72, 73, 74, 75, 76)
    assert f64(frame, 816, 6) == (81, 82, 83, 84, 85, 86)
    assert f64(frame, 912, 6) == (8.0,) * 6
    assert tuple(frame[1012:1032]) == (
        3, 4, 1, 1, 50, 60, 100, 70, 100, 90, 100, 100, 100, 0b111111, 1, 0, 1, 0, 0, 120,
    )  # fmt: skip
    assert frame[1112:1120] == bytes((8, 7, 6, 5, 4, 3, 2, 1))
    assert f64(frame, 1168, 4) == (0.75, 1.5, 2.5, 80.0)
    assert f64(frame, 1200, 6) == (91, 92, 93, 94, 95, 96)
    assert f64(frame, 1248, 6) == (0, 0, 180, 1, 2, 3)
    assert f64(frame, 1352, 4) == (0.5, 0.5, -0.5, 0.5)
    assert f64(frame, 1384, 4) == (1.0, 0.0, 0.25, 0.0)
    # Active low: 3 "not stopped" and 4 "moving" are active.
    assert frame[1420] == 0b1110_0111


def test_errors_drag_and_collision_have_their_bytes() -> None:
    frame = encode(
        Reading(mode=11, stamp_ms=0, run_ms=0, error=True, collision=True, dragging=True, jogging=True, stopped=True)
    )
    assert (frame[1027], frame[1029], frame[1030], frame[1038]) == (1, 1, 1, 1)
    assert frame[1420] == 0b1111_1101
    pressed = encode(Reading(mode=9, stamp_ms=0, run_ms=0, emergency_button=True, stopped=True))
    assert pressed[1420] == 0b1011_1110
    software = encode(Reading(mode=9, stamp_ms=0, run_ms=0, emergency_system=True, stopped=True))
    assert software[1420] == 0b1101_1110


def test_a_restamped_frame_differs_in_its_clock_alone() -> None:
    frame = encode(FULL)
    later = restamp(frame, 1_750_000_000_323, 4767)
    assert (u64(later, 32), u64(later, 40)) == (1_750_000_000_323, 4767)
    assert later[:32] + later[48:] == frame[:32] + frame[48:]

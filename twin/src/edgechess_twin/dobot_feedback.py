"""The 1440-byte real-time frame of ports 30004, 30005 and 30006 (reference "dobot-tcp-ip-v4" section 8).

Every offset is a literal from that table, written here field by field and shared with nobody: a reader and a writer
that use one table agree even where both are wrong.
"""

from __future__ import annotations

import dataclasses
import struct

from edgechess_twin.arm_model import Joints, PoseTuple, Quaternion

FRAME_BYTES = 1440
TEST_VALUE = 0x0123456789ABCDEF
ROBOT_TYPE_CR10A = 120
PERIODS_S = {30004: 0.008, 30005: 0.2, 30006: 0.05}  # section 1; 30006 is configurable, 50 ms in [A]

_ZERO6: Joints = (0.0,) * 6

_HEAD = struct.Struct("<H")
_WORDS = struct.Struct("<6Q")  # 8: DigitalInputs DigitalOutputs RobotMode TimeStamp RunTime TestValue
_SIX = struct.Struct("<6d")
_FOUR = struct.Struct("<4d")
_ONE = struct.Struct("<d")
_CLOCK = struct.Struct("<2Q")
_ID = struct.Struct("<Q")

JOINT_MODE_POSITION = 8.0
MOTOR_TEMPERATURE_C = 32.0  # a warm room; nothing in the twin heats up
VOLTAGE_V = 48.0


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What one frame says. Angles in degrees, poses in mm and degrees, times in ms."""

    mode: int
    stamp_ms: int
    run_ms: int
    digital_inputs: int = 0
    digital_outputs: int = 0
    speed_scaling: float = 100.0
    q_target: Joints = _ZERO6
    qd_target: Joints = _ZERO6
    qdd_target: Joints = _ZERO6
    q_actual: Joints = _ZERO6
    qd_actual: Joints = _ZERO6
    tool_actual: PoseTuple = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    tool_target: PoseTuple = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    tcp_speed_actual: Joints = _ZERO6
    tcp_speed_target: Joints = _ZERO6
    quaternion_actual: Quaternion = (1.0, 0.0, 0.0, 0.0)
    quaternion_target: Quaternion = (1.0, 0.0, 0.0, 0.0)
    user: int = 0
    tool: int = 0
    user_frame: PoseTuple = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    tool_frame: PoseTuple = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    queue_running: bool = False
    paused: bool = False
    velocity_ratio: int = 100
    acceleration_ratio: int = 100
    xyz_velocity_ratio: int = 100
    xyz_acceleration_ratio: int = 100
    brakes_released: int = 0
    enabled: bool = False
    dragging: bool = False
    running: bool = False
    error: bool = False
    jogging: bool = False
    drag_button: bool = False
    collision: bool = False
    command_id: int = 0
    load_kg: float = 0.0
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    powered: bool = False
    emergency_button: bool = False
    emergency_system: bool = False
    stopped: bool = False
    moving: bool = False


def safety_state(reading: Reading) -> int:
    """Bits of offset 1420, active LOW: 0 e-stop, 1 protective stop, 2 reduced mode, 3 not stopped, 4 moving,
    5 system e-stop, 6 user e-stop, 7 safe home."""
    active = (
        reading.emergency_button or reading.emergency_system,
        reading.collision,
        False,
        not reading.stopped,
        reading.moving,
        reading.emergency_system,
        reading.emergency_button,
        False,
    )
    return sum(0 if is_active else 1 << bit for bit, is_active in enumerate(active))


def encode(reading: Reading) -> bytes:
    """The frame. Fields that the maker marks as not implemented stay 0."""
    frame = bytearray(FRAME_BYTES)
    r = reading
    _HEAD.pack_into(frame, 0, FRAME_BYTES)
    _WORDS.pack_into(frame, 8, r.digital_inputs, r.digital_outputs, r.mode, r.stamp_ms, r.run_ms, TEST_VALUE)
    _ONE.pack_into(frame, 64, r.speed_scaling)
    _ONE.pack_into(frame, 88, VOLTAGE_V if r.powered else 0.0)
    _SIX.pack_into(frame, 192, *r.q_target)
    _SIX.pack_into(frame, 240, *r.qd_target)
    _SIX.pack_into(frame, 288, *r.qdd_target)
    _SIX.pack_into(frame, 432, *r.q_actual)
    _SIX.pack_into(frame, 480, *r.qd_actual)
    _SIX.pack_into(frame, 624, *r.tool_actual)
    _SIX.pack_into(frame, 672, *r.tcp_speed_actual)
    _SIX.pack_into(frame, 768, *r.tool_target)
    _SIX.pack_into(frame, 816, *r.tcp_speed_target)
    if r.powered:
        _SIX.pack_into(frame, 864, *(MOTOR_TEMPERATURE_C,) * 6)
        _SIX.pack_into(frame, 960, *(VOLTAGE_V,) * 6)
    _SIX.pack_into(frame, 912, *(JOINT_MODE_POSITION,) * 6)
    frame[1012] = r.user
    frame[1013] = r.tool
    frame[1014] = r.queue_running
    frame[1015] = r.paused
    frame[1016] = r.velocity_ratio
    frame[1017] = r.acceleration_ratio
    frame[1018] = 100
    frame[1019] = r.xyz_velocity_ratio
    frame[1020] = 100
    frame[1021] = r.xyz_acceleration_ratio
    frame[1022] = 100
    frame[1023] = 100
    frame[1024] = 100
    frame[1025] = r.brakes_released
    frame[1026] = r.enabled
    frame[1027] = r.dragging
    frame[1028] = r.running
    frame[1029] = r.error
    frame[1030] = r.jogging
    frame[1031] = ROBOT_TYPE_CR10A
    frame[1032] = r.drag_button
    frame[1038] = r.collision
    _ID.pack_into(frame, 1112, r.command_id)
    _FOUR.pack_into(frame, 1168, r.load_kg, *r.centre_mm)
    _SIX.pack_into(frame, 1200, *r.user_frame)
    _SIX.pack_into(frame, 1248, *r.tool_frame)
    _FOUR.pack_into(frame, 1352, *r.quaternion_target)
    _FOUR.pack_into(frame, 1384, *r.quaternion_actual)
    frame[1420] = safety_state(r)
    return bytes(frame)


def restamp(frame: bytes, stamp_ms: int, run_ms: int) -> bytes:
    """The same frame at another time: an arm that stands still sends little else that is new."""
    changed = bytearray(frame)
    _CLOCK.pack_into(changed, 32, stamp_ms, run_ms)
    return bytes(changed)

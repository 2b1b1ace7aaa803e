"""Literal requests and replies of port 29999, as the reference gives them (dobot-tcp-ip-v4, sections 2, 4, 6, 12)."""

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_twin.arm_agenda import Agenda
from edgechess_twin.arm_body import Underway
from edgechess_twin.arm_model import Point3
from edgechess_twin.dobot_commands import RequestReader, parse_request
from edgechess_twin.dobot_controller import Controller, Firmware
from edgechess_twin.dobot_state import Power


@dataclasses.dataclass
class Table:
    """A body that stands on no table, and a clock that stands still."""

    def repeatability(self) -> Point3:
        return (0.0, 0.0, 0.0)

    def moves(self, active: Underway, end_s: float, *, guided: bool) -> None: ...

    def fingers_close(self, from_mm: float, to_mm: float) -> tuple[float, bool]:
        return to_mm, False

    def fingers_open(self, to_mm: float) -> None: ...

    def fingers_hold(self) -> bool:
        return False


def controller(firmware: Firmware = "4.6", *, enabled: bool = True, tcp_mode: bool = True) -> Controller:
    made = Controller(
        firmware=firmware,
        speed=1.0,
        now=lambda: 100.0,
        agenda=Agenda(),
        body=Table(),
        tcp_mode=tcp_mode,
    )
    made.power = Power.ON
    made.enabled = enabled
    return made


def ask(to: Controller, text: str) -> str:
    return to.execute(parse_request(text)).decode()


@pytest.mark.parametrize(
    ("request_text", "answer"),
    [
        ("RobotMode()", "0,{5},RobotMode();"),
        ("robotmode()", "0,{5},robotmode();"),
        (
            "PositiveKin(0,0,-90,0,90,0)",
            "0,{693.000000,-191.000000,675.100000,-180.000000,-0.000000,-90.000000},PositiveKin(0,0,-90,0,90,0);",
        ),
        (
            "InverseKin(693,-191,675.1,180,0,-90,useJointNear=1,jointNear={1,2,-88,0,91,0})",
            "0,{0.000000,-0.000000,-90.000000,0.000000,90.000000,-0.000000},"
            "InverseKin(693,-191,675.1,180,0,-90,useJointNear=1,jointNear={1,2,-88,0,91,0});",
        ),
        ("InverseKin(5000,0,0,180,0,0)", "-1,{},InverseKin(5000,0,0,180,0,0);"),
        ("GetErrorID()", "0,{[]},GetErrorID();"),
        ("GetCurrentCommandID()", "0,{0},GetCurrentCommandID();"),
        ("GetAngle()", "0,{-84.000000,18.000000,-132.000000,24.000000,90.000000,-84.000000},GetAngle();"),
        # Section 4: unknown, count, types, ranges; the count comes first and the first error wins.
        ("MovS(1)", "-10000,{},MovS(1);"),
        ("ResetRobot()", "-10000,{},ResetRobot();"),
        ("MovJ()", "-20000,{},MovJ();"),
        ("DO(1)", "-20000,{},DO(1);"),
        ("DO(a)", "-20000,{},DO(a);"),
        ("EmergencyStop()", "-20000,{},EmergencyStop();"),
        ("EnableRobot(1,2)", "-20000,{},EnableRobot(1,2);"),
        ("EnableRobot(1,2,3)", "-20000,{},EnableRobot(1,2,3);"),
        ("GetPose(user=0)", "-20000,{},GetPose(user=0);"),
        ('MovJ(joint="a",v=20)', '-30001,{},MovJ(joint="a",v=20);'),
        ("MovJ(joint={1,2,3})", "-30001,{},MovJ(joint={1,2,3});"),
        ('DO(1,"2")', '-30002,{},DO(1,"2");'),
        ("DO(1,)", "-30002,{},DO(1,);"),
        ("DO(1,2)", "-40002,{},DO(1,2);"),
        ("SpeedFactor(0)", "-40001,{},SpeedFactor(0);"),
        ("SpeedFactor(101)", "-40001,{},SpeedFactor(101);"),
        ("EnableRobot(11)", "-60001,{},EnableRobot(11);"),
        ("EnableRobot(x)", "-50001,{},EnableRobot(x);"),
        ("EnableRobot(1,1000,0,0)", "-60002,{},EnableRobot(1,1000,0,0);"),
        (
            'MovJ(joint={0,0,-90,0,90,0},user="ss")',
            '-50001,{},MovJ(joint={0,0,-90,0,90,0},user="ss");',
        ),
        ("MovJ(joint={0,0,-90,0,90,0},a=200)", "-60001,{},MovJ(joint={0,0,-90,0,90,0},a=200);"),
        ("MovJ(joint={0,0,-90,0,90,0}x,a=20)", "-20000,{},MovJ(joint={0,0,-90,0,90,0}x,a=20);"),
        ("MovJ(joint={0,0,-90,0,90,0},user=7)", "-1,{},MovJ(joint={0,0,-90,0,90,0},user=7);"),
        ("Tool(3)", "-1,{},Tool(3);"),
        ("MoveJog(X+,coordtype=0)", "-6,{},MoveJog(X+,coordtype=0);"),
        ("CheckOddMovL(joint={0,-20,-100,30,90,0},joint={5,-20,-100,30,90,0})",
         "0,{0},CheckOddMovL(joint={0,-20,-100,30,90,0},joint={5,-20,-100,30,90,0});"),
        ("CheckOddMovJ(joint={0,0,0,0,0,0},joint={0,0,170,0,0,0})",
         "0,{68},CheckOddMovJ(joint={0,0,0,0,0,0},joint={0,0,170,0,0,0});"),
        ("DOInstant(2,1)", "0,{},DOInstant(2,1);"),
        ("BrakeControl(1,1)", "-1,{},BrakeControl(1,1);"),
        ("ModbusCreate(\"192.168.5.9\",502,1,1)", "-1,{},ModbusCreate(\"192.168.5.9\",502,1,1);"),
        ("GetHoldRegs(0,512,1)", "-1,{},GetHoldRegs(0,512,1);"),
    ],
)  # fmt: skip
def test_one_request_one_answer(request_text: str, answer: str) -> None:
    assert ask(controller(), request_text) == answer


def test_queued_commands_get_ids_that_count_up() -> None:
    to = controller()
    assert ask(to, "User(0)") == "0,{1},User(0);"
    assert ask(to, "MovJ(joint={0,0,-90,0,90,0},v=20)") == "0,{2},MovJ(joint={0,0,-90,0,90,0},v=20);"
    assert ask(to, "MovL(pose={500,-191,300,180,0,-90},speed=100)").startswith("0,{3},")
    assert ask(to, "DO(1,1)") == "0,{4},DO(1,1);"
    assert ask(to, "SetPayload(0.5)") == "0,{5},SetPayload(0.5);"
    assert ask(to, "RelMovLUser(0,0,10,0,0,0)") == "0,{6},RelMovLUser(0,0,10,0,0,0);"
    assert ask(to, "GetDO(1)") == "0,{0},GetDO(1);"  # queued: not yet


def test_older_firmware_gives_no_ids_and_nests_its_alarms() -> None:
    to = controller("4.5")
    assert (
        ask(to, "MovJ(pose={150.000000,-300.000000,400.000000,180.000000,0.000000,0.000000})")
        == "0,{},MovJ(pose={150.000000,-300.000000,400.000000,180.000000,0.000000,0.000000});"
    )
    assert ask(to, "GetErrorID()") == "0,{[[],[],[],[],[],[],[]]},GetErrorID();"
    assert ask(to, "RequestControl()") == "-10000,{},RequestControl();"
    to.press_emergency()
    assert ask(to, "GetErrorID()") == "0,{[[116],[],[],[],[],[],[]]},GetErrorID();"


def test_without_tcp_mode_there_is_one_answer_and_one_way_out() -> None:
    to = controller(tcp_mode=False, enabled=False)
    assert ask(to, "RobotMode()") == "Control Mode Is Not Tcp\t"
    assert ask(to, "Nonsense(") == "Control Mode Is Not Tcp\t"
    assert ask(to, "RequestControl()") == "0,{},RequestControl();"
    assert ask(to, "RobotMode()") == "0,{4},RobotMode();"
    enabled = controller(tcp_mode=False)
    assert ask(enabled, "RequestControl()") == "-1,{},RequestControl();"


def test_motion_needs_an_enabled_arm() -> None:
    to = controller(enabled=False)
    assert ask(to, "MovJ(joint={0,0,-90,0,90,0})") == "-1,{},MovJ(joint={0,0,-90,0,90,0});"
    assert ask(to, "RunTo(joint={0,0,-90,0,90,0})") == "-1,{},RunTo(joint={0,0,-90,0,90,0});"


def test_emergency_stop_and_the_way_back() -> None:
    to = controller()
    assert ask(to, "EmergencyStop(1)") == "0,{},EmergencyStop(1);"
    assert ask(to, "RobotMode()") == "0,{9},RobotMode();"
    assert ask(to, "GetErrorID()") == "0,{[132]},GetErrorID();"
    assert ask(to, "EnableRobot()") == "-3,{},EnableRobot();"
    assert ask(to, "ClearError()") == "0,{},ClearError();"
    assert ask(to, "RobotMode()") == "0,{9},RobotMode();"  # still pressed
    assert ask(to, "EmergencyStop(0)") == "0,{},EmergencyStop(0);"
    assert ask(to, "GetPose()") == "-2,{},GetPose();"
    assert ask(to, "ClearError()") == "0,{},ClearError();"
    assert ask(to, "RobotMode()") == "0,{4},RobotMode();"
    assert ask(to, "EnableRobot(0.5,0,0,80)") == "0,{},EnableRobot(0.5,0,0,80);"


def test_frames_of_user_and_tool() -> None:
    to = controller()
    assert ask(to, "SetTool(1,{0,0,180,0,0,0})") == "0,{},SetTool(1,{0,0,180,0,0,0});"
    assert (
        ask(to, "PositiveKin(0,0,-90,0,90,0,user=0,tool=1)")
        == "0,{693.000000,-191.000000,495.100000,-180.000000,-0.000000,-90.000000},"
        "PositiveKin(0,0,-90,0,90,0,user=0,tool=1);"
    )
    assert ask(to, "SetUser(2,{693,-191,0,0,0,0})").startswith("0,")
    assert ask(to, "PositiveKin(0,0,-90,0,90,0,user=2,tool=1)").startswith("0,{-0.000000,") or ask(
        to, "PositiveKin(0,0,-90,0,90,0,user=2,tool=1)"
    ).startswith("0,{0.000000,")


def test_masters_are_five_and_come_back() -> None:
    to = controller()
    for index in range(5):
        assert ask(to, "ModbusRTUCreate(1,115200)") == f"0,{{{index}}},ModbusRTUCreate(1,115200);"
    assert ask(to, "ModbusRTUCreate(1,115200)") == "-1,{},ModbusRTUCreate(1,115200);"
    assert ask(to, "ModbusClose(3)") == "0,{},ModbusClose(3);"
    assert ask(to, "ModbusClose(3)") == "-1,{},ModbusClose(3);"
    assert ask(to, 'ModbusCreate("127.0.0.1",60000,1,1)') == '0,{3},ModbusCreate("127.0.0.1",60000,1,1);'
    # The first four said nothing of parity: the controller's default is even, the gripper's none.
    assert ask(to, "GetHoldRegs(0,512,1)") == "-1,{},GetHoldRegs(0,512,1);"
    assert ask(to, "GetHoldRegs(3,512,1)") == "0,{0},GetHoldRegs(3,512,1);"
    assert ask(to, "GetHoldRegs(3,0x200,1)") == "-30002,{},GetHoldRegs(3,0x200,1);"
    assert ask(to, "GetHoldRegs(3,513,2,U16)") == "0,{1,1000},GetHoldRegs(3,513,2,U16);"
    assert ask(to, "SetHoldRegs(3,257,1,{19},U16)") == "-1,{},SetHoldRegs(3,257,1,{19},U16);"  # force is 20 to 100
    assert ask(to, "SetHoldRegs(3,257,1,{20},U16)") == "0,{},SetHoldRegs(3,257,1,{20},U16);"


STREAM = (
    b"RobotMode()MovJ(joint={1,2,3,4,5,6}, user = 1)\n\r\n GetPose(user=0,tool=0) RunTo(pose={1,2,3,4,5,6},moveType=1)"
)
FRAMED = [
    "RobotMode()",
    "MovJ(joint={1,2,3,4,5,6}, user = 1)",
    "GetPose(user=0,tool=0)",
    "RunTo(pose={1,2,3,4,5,6},moveType=1)",
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_requests_are_framed_wherever_they_are_cut(cuts: list[int]) -> None:
    reader = RequestReader()
    edges = [0, *sorted(cuts), len(STREAM)]
    got = [r.echo for a, b in itertools.pairwise(edges) for r in reader.feed(STREAM[a:b])]
    assert got == FRAMED


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_garbage_is_safe(data: bytes) -> None:
    to = controller()
    for request in RequestReader().feed(data):
        assert to.execute(request).endswith(b";")


def test_what_never_closes_is_forgotten() -> None:
    reader = RequestReader()
    assert list(reader.feed(b"MovJ(" + b"1," * 5000)) == []
    assert [r.echo for r in reader.feed(b"RobotMode()")] == ["RobotMode()"]

"""Every documented form of request and reply (reference "dobot-tcp-ip-v4", sections 2 to 7), as literals."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_robots.dobot import protocol
from edgechess_robots.dobot.protocol import (
    ErrorKind,
    Malformed,
    NotTcpMode,
    Reply,
    ReplySplitter,
    Request,
    RequestSplitter,
)

REPLIES = [
    (b"0,{5},RobotMode();", Reply(0, "5", "RobotMode()")),
    (b"0,{},EnableRobot();", Reply(0, "", "EnableRobot()")),
    (
        b"0,{},MovJ(pose={150.000000,-0.000000,1,2,3,4});",
        Reply(0, "", "MovJ(pose={150.000000,-0.000000,1,2,3,4})"),
    ),
    (b"0,{17},MovJ(joint={1,2,3,4,5,6},v=20);", Reply(0, "17", "MovJ(joint={1,2,3,4,5,6},v=20)")),
    (b'-30001,{},MovJ(joint="a");', Reply(-30001, "", 'MovJ(joint="a")')),
    (b"-1,{},SetHoldRegs(0,259,1,{500});", Reply(-1, "", "SetHoldRegs(0,259,1,{500})")),
    (b"0,{[[117,2],[],[],[],[],[],[]]},GetErrorID();", Reply(0, "[[117,2],[],[],[],[],[],[]]", "GetErrorID()")),
    (b"0,{[117]},GetErrorID();", Reply(0, "[117]", "GetErrorID()")),
    (b"0,{[]},GetErrorID();", Reply(0, "[]", "GetErrorID()")),
    (
        b"0,{473.000000,-141.000000,469.000000,-180.000000,0.000000,-90.000000},GetPose();",
        Reply(0, "473.000000,-141.000000,469.000000,-180.000000,0.000000,-90.000000", "GetPose()"),
    ),
    (b' 0 , {1} , ModbusCreate("127.0.0.1",60000,1,1) ;', Reply(0, "1", 'ModbusCreate("127.0.0.1",60000,1,1)')),
]
WHOLE = b"".join(data for data, _ in REPLIES)
EVENTS = [event for _, event in REPLIES]


@pytest.mark.parametrize(("data", "event"), REPLIES)
def test_one_reply(data: bytes, event: Reply) -> None:
    assert ReplySplitter().feed(data) == [event]


def test_replies_that_come_in_one_segment() -> None:
    assert ReplySplitter().feed(WHOLE) == EVENTS


def test_replies_byte_by_byte() -> None:
    splitter = ReplySplitter()
    assert [event for i in range(len(WHOLE)) for event in splitter.feed(WHOLE[i : i + 1])] == EVENTS


@settings(max_examples=40)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_replies_split_anywhere(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    splitter = ReplySplitter()
    found = [event for a, b in itertools.pairwise(edges) for event in splitter.feed(WHOLE[a:b])]
    assert found == EVENTS


@pytest.mark.parametrize(
    "data", [b"Control Mode Is Not Tcp", b"Control Mode Is Not Tcp\t", b"control mode is not tcp;"]
)
def test_not_in_tcp_mode_needs_no_terminator(data: bytes) -> None:
    splitter = ReplySplitter()
    assert splitter.feed(data) == [NotTcpMode()]
    assert splitter.feed(b"0,{4},RobotMode();") == [Reply(0, "4", "RobotMode()")]


def test_not_in_tcp_mode_split_and_repeated() -> None:
    splitter = ReplySplitter()
    assert splitter.feed(b"Control Mode") == []
    assert splitter.feed(b" Is Not TcpControl Mode Is Not Tcp\t0,{},X();") == [
        NotTcpMode(),
        NotTcpMode(),
        Reply(0, "", "X()"),
    ]


@pytest.mark.parametrize("data", [b"hello;", b"0,5,RobotMode();", b"0,{5};", b"0,{5},;", b"x,{5},A();", b"0,{5}x,A();"])
def test_what_is_no_reply_is_malformed(data: bytes) -> None:
    (event,) = ReplySplitter().feed(data)
    assert isinstance(event, Malformed)


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_garbage_is_safe(chunks: list[bytes]) -> None:
    replies, requests = ReplySplitter(), RequestSplitter()
    for chunk in chunks:
        assert all(isinstance(e, Reply | NotTcpMode | Malformed) for e in replies.feed(chunk))
        assert all(isinstance(e, Request | Malformed) for e in requests.feed(chunk))


def test_a_flood_without_terminator_is_cut() -> None:
    splitter = ReplySplitter()
    events = [event for _ in range(20) for event in splitter.feed(b"{" * 1000)]
    assert [type(e) for e in events] == [Malformed]


def test_numbers_of_a_value() -> None:
    assert Reply(0, "473.000000,-0.000000", "GetPose()").numbers() == (473.0, 0.0)
    assert Reply(0, "1", "ModbusCreate()").integer() == 1
    assert Reply(0, "", "MovJ(pose={150,1,1,1,1,1})").integer() is None  # the id is missing: 150 is none
    assert Reply(0, "1,2", "X()").integer() is None


@pytest.mark.parametrize(
    ("value", "alarms"),
    [
        ("[[117,2],[],[8752],[],[],[],[]]", (117, 2, 8752)),
        ("[16,26]", (16, 26)),
        ("[]", ()),
        ("[[],[],[],[],[],[],[]]", ()),
    ],
)
def test_alarms_in_both_shapes(value: str, alarms: tuple[int, ...]) -> None:
    assert Reply(0, value, "GetErrorID()").alarms() == alarms


@pytest.mark.parametrize(
    ("error_id", "kind"),
    [
        (0, ErrorKind.OK),
        (-1, ErrorKind.FAILED),
        (-2, ErrorKind.IN_ERROR),
        (-3, ErrorKind.EMERGENCY_STOP),
        (-4, ErrorKind.POWERED_OFF),
        (-5, ErrorKind.SCRIPT_RUNNING),
        (-6, ErrorKind.JOG_MISMATCH),
        (-7, ErrorKind.SCRIPT_PAUSED),
        (-8, ErrorKind.LICENCE),
        (-10000, ErrorKind.UNKNOWN_COMMAND),
        (-20000, ErrorKind.PARAMETER_COUNT),
        (-30001, ErrorKind.REQUIRED_TYPE),
        (-30002, ErrorKind.REQUIRED_TYPE),
        (-40001, ErrorKind.REQUIRED_RANGE),
        (-50001, ErrorKind.OPTIONAL_TYPE),
        (-60001, ErrorKind.OPTIONAL_RANGE),
        (-100001, ErrorKind.TRAY),
        (-100004, ErrorKind.TRAY),
        (-100005, ErrorKind.UNDOCUMENTED),
        (-30000, ErrorKind.UNDOCUMENTED),
        (-999, ErrorKind.UNDOCUMENTED),
        (7, ErrorKind.UNDOCUMENTED),
    ],
)
def test_error_ids(error_id: int, kind: ErrorKind) -> None:
    assert protocol.error_kind(error_id) is kind


def test_an_error_names_its_parameter() -> None:
    assert protocol.error_text(-40002) == "a required parameter is out of range (no. 2)"
    assert protocol.error_text(-4) == "the arm is powered off"


@pytest.mark.parametrize(
    ("alarm", "text"),
    [
        (117, "alarm 117: collision detected"),
        (64, "alarm 64: joint 1 at its positive limit"),
        (65, "alarm 65: joint 1 at its negative limit"),
        (70, "alarm 70: joint 4 at its positive limit"),
        (48, "alarm 48: joint 1 too fast"),
        (9999, "alarm 9999"),
    ],
)
def test_alarms_in_words(alarm: int, text: str) -> None:
    assert protocol.alarm_text(alarm) == text


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (protocol.request_control(), "RequestControl()"),
        (protocol.power_on(), "PowerOn()"),
        (protocol.enable_robot(), "EnableRobot()"),
        (protocol.enable_robot(1.25), "EnableRobot(1.250)"),
        (protocol.clear_error(), "ClearError()"),
        (protocol.stop(), "Stop()"),
        (protocol.emergency_stop(True), "EmergencyStop(1)"),
        (protocol.emergency_stop(False), "EmergencyStop(0)"),
        (protocol.speed_factor(50), "SpeedFactor(50)"),
        (
            protocol.mov_j_joint((1, -2, 3.5, 0, 90, -0.000001), v=20, a=50),
            "MovJ(joint={1.000000,-2.000000,3.500000,0.000000,90.000000,-0.000001},a=50,v=20)",
        ),
        (
            protocol.mov_l_pose((473, -141, 469, 180, 0, -90), speed_mm_s=250, a=30),
            "MovL(pose={473.000000,-141.000000,469.000000,180.000000,0.000000,-90.000000},user=0,tool=0,a=30,speed=250)",
        ),
        (protocol.modbus_create_tool(1), 'ModbusCreate("127.0.0.1",60000,1,1)'),
        (protocol.modbus_close(4), "ModbusClose(4)"),
        (protocol.set_tool_485(115200), 'SetTool485(115200,"N",1)'),
        (protocol.set_hold_regs(0, 0x0103, (500,)), 'SetHoldRegs(0,259,1,{500},"U16")'),
        (protocol.get_hold_regs(0, 0x0200, 3), 'GetHoldRegs(0,512,3,"U16")'),
    ],
)
def test_commands(command: protocol.Command, text: str) -> None:
    assert command.encode() == text.encode()
    assert command.moves == text.startswith("Mov")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: protocol.speed_factor(0),
        lambda: protocol.mov_j_joint((1, 2, 3), v=10, a=10),
        lambda: protocol.mov_j_joint((float("nan"), 0, 0, 0, 0, 0), v=10, a=10),
        lambda: protocol.mov_l_pose((1e9, 0, 0, 0, 0, 0), speed_mm_s=10, a=10),
        lambda: protocol.mov_j_joint((0,) * 6, v=101, a=10),
        lambda: protocol.set_hold_regs(0, 1, ()),
    ],
)
def test_a_command_out_of_range_is_never_built(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match="expected"):
        wrong()


# --- the controller's side -------------------------------------------------------------------------------------------


def test_a_request_is_complete_at_its_parenthesis() -> None:
    splitter = RequestSplitter()
    assert splitter.feed(b"RobotMode(") == []
    assert splitter.feed(b")\nmovj(joint={1,2,3,4,5,6}, v = 20 ,cp=1)") == [
        Request("robotmode", "RobotMode()", (), ()),
        Request(
            "movj",
            "movj(joint={1,2,3,4,5,6}, v = 20 ,cp=1)",
            (),
            (("joint", "{1,2,3,4,5,6}"), ("v", "20"), ("cp", "1")),
        ),
    ]


def test_positional_parameters_and_empty_slots() -> None:
    (request,) = RequestSplitter().feed(b'ModbusCreate("127.0.0.1",60000,,1)')
    assert isinstance(request, Request)
    assert request.positional == ('"127.0.0.1"', "60000", "", "1")


def test_text_after_a_brace_is_the_vendors_documented_trap() -> None:
    (request,) = RequestSplitter().feed(b"MovL(pose={1,2,3,4,5,6} user=0,v=3)")
    assert isinstance(request, Request)
    assert request.torn
    (fine,) = RequestSplitter().feed(b"MovL(pose={1,2,3,4,5,6} , v=3)")
    assert isinstance(fine, Request)
    assert not fine.torn
    assert fine.keyword("v") == "3"
    assert fine.keyword("user") is None


def test_requests_split_anywhere() -> None:
    whole = b"EnableRobot(1.5)MovJ(pose={1,2,3,4,5,6},a=10)\r\nStop()"
    for cut in range(len(whole) + 1):
        splitter = RequestSplitter()
        events = splitter.feed(whole[:cut]) + splitter.feed(whole[cut:])
        assert [e.text for e in events] == ["EnableRobot(1.5)", "MovJ(pose={1,2,3,4,5,6},a=10)", "Stop()"]


def test_groups_of_numbers() -> None:
    assert protocol.numbers_of("{1, -2.5}") == (1.0, -2.5)
    assert protocol.numbers_of("{}") is None
    assert protocol.numbers_of("5") is None
    assert protocol.numbers_of("{a}") is None


def test_what_a_controller_writes() -> None:
    assert protocol.encode_reply(0, "5", "RobotMode()") == b"0,{5},RobotMode();"
    assert protocol.format_numbers((473.0, -0.0)) == "473.000000,-0.000000"

"""Literal requests and answers of the reference "standard-bots-ro1", and everything an answer can be instead."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_robots.standard_bots import api_protocol as api
from edgechess_robots.standard_bots.api_protocol import Answer, ApiBroken, ApiRefused, Move, NotOffered, Tooltip

LINE = json.loads(
    '{"kind":"tooltip_position","tooltip_positions":null,"tooltip_position":{"axis_alignment":"base","reference_frame":'
    '"base","local_accuracy_calibration":null,"position":{"unit_kind":"meters","x":0.4,"y":0.0,"z":0.25},"orientation":'
    '{"kind":"quaternion","quaternion":{"x":1.0,"y":0.0,"z":0.0,"w":0.0}}},"joint_rotations":null,"joint_rotation":null,'
    '"movement_kind":"line","speed_profile":{"max_joint_speeds":null,"max_joint_accelerations":null,"max_tooltip_speed":'
    '0.25,"max_joint_torques":null,"base_acceleration_scaling":null,"base_velocity_scaling":null,"scaling_factor":null}}'
)
TO = Tooltip(0.4, 0.0, 0.25, 1.0, 0.0, 0.0, 0.0)
POSITION = (
    b'{"joint_rotations":[0.0,0.0,1.57,0.0,1.57,0.0],"tooltip_position":{"axis_alignment":"base","reference_frame":"base",'
    b'"local_accuracy_calibration":null,"position":{"unit_kind":"%s","x":%s,"y":0.0,"z":0.25},"orientation":{"kind":'
    b'"quaternion","quaternion":{"x":0.0,"y":0.7071,"z":0.0,"w":0.7071}}},"something_newer":[1]}'
)
CONTROLLED = b'{"id":"cmd-1","is_active":%s,"expires_at":5,"heartbeat_interval":300,"event":{"kind":"%s"%s}}'


def answer(body: bytes, status: int = 200) -> Answer:
    return Answer("GET /there", status, body)


def test_a_straight_motion_is_written_as_the_vendors_client_writes_it() -> None:
    request = api.move(Move("line", tooltip=TO, tooltip_speed_m_s=0.25))
    assert (request.method, request.path) == ("POST", "/api/v1/movement/position/arm")
    assert json.loads(request.content()) == LINE


def test_a_controlled_motion_has_a_heart() -> None:
    request = api.move_controlled(Move("line", tooltip=TO, tooltip_speed_m_s=0.25))
    assert request.path == "/api/v1/movement/position/arm/controlled"
    assert json.loads(request.content()) == {"heartbeat_interval": 300, "expires_after_ms": None, **LINE}
    beat = api.heartbeat("cmd-1")
    assert (beat.method, beat.path, beat.content()) == (
        "POST",
        "/api/v1/movement/position/arm/controlled/cmd-1/heartbeat",
        b"",
    )


def test_a_joint_motion() -> None:
    body = api.move(Move("joint", joints_rad=(0.0, 0.0, 1.57, 0.0, 1.57, 0.0), joint_speeds_rad_s=(1.0,) * 6)).body
    assert body is not None
    assert (body["kind"], body["joint_rotation"]) == ("joint_rotation", {"joints": [0.0, 0.0, 1.57, 0.0, 1.57, 0.0]})
    assert (body["tooltip_position"], body["speed_profile"]["max_joint_speeds"]) == (None, [1.0] * 6)
    with pytest.raises(ValueError, match="to a tooltip or to joint angles"):
        Move("joint")


def test_small_requests() -> None:
    assert json.loads(api.take_control().content()) == {"kind": "api"}
    assert json.loads(api.set_brakes("disengaged").content()) == {"state": "disengaged"}
    assert json.loads(api.emergency_stop("chess: human in zone").content()) == {"reason": "chess: human in zone"}
    assert (api.RECOVER.method, api.RECOVER.content()) == ("POST", b"")


def test_grippers_are_told_a_width_in_millimetres() -> None:
    body = json.loads(api.onrobot_2fg7(20.0, 20.0, grip=True).content())
    assert (body["kind"], body["onrobot_2fg14"]) == ("onrobot_2fg7", None)
    assert body["onrobot_2fg7"] == {
        "grip_direction": "external",
        "target_force": {"unit_kind": "newtons", "value": 20.0},
        "target_grip_width": {"unit_kind": "millimeters", "value": 20.0},
        "control_kind": "force_grip",
    }
    robotiq = json.loads(api.robotiq_2f(30.0, 20.0, 100.0).content())["robotiq_2f"]
    assert (robotiq["control_kind"], robotiq["target_speed"]) == ("move", 100.0)
    assert robotiq["target_grip_width"] == {"unit_kind": "millimeters", "value": 30.0}


def test_both_spellings_of_the_kind_are_sent() -> None:
    names = dict(api.headers("simulated", "T0KEN"))
    assert names["Authorization"] == "Bearer T0KEN"
    assert names["robot_kind"] == names["robot-kind"] == "simulated"


@pytest.mark.parametrize(("unit", "x"), [(b"meters", b"0.4"), (b"millimeters", b"400"), (b"centimeters", b"40")])
def test_a_position_in_any_unit(unit: bytes, x: bytes) -> None:
    found = api.position(answer(POSITION % (unit, x)))
    assert found.joints_rad == (0.0, 0.0, 1.57, 0.0, 1.57, 0.0)
    assert found.tooltip.x_m == pytest.approx(0.4)
    assert (found.tooltip.qy, found.tooltip.qw) == (0.7071, 0.7071)


def test_a_motion_is_done_only_when_inactive_and_well() -> None:
    for active, kind, done, failed in (
        (b"true", b"position", False, False),
        (b"true", b"success", False, False),
        (b"false", b"success", True, False),
        (b"false", b"complete", True, False),
        (b"false", b"canceled", False, True),
        (b"false", b"something_newer", False, True),
        (b"true", b"failure", False, True),
    ):
        found = api.motion(answer(CONTROLLED % (active, kind, b"")))
        assert (found.id, found.done, found.failed) == ("cmd-1", done, failed), kind


def test_a_failure_that_rides_on_a_200_is_a_failure() -> None:
    told = b',"failure":{"kind":"motion_failed_collision","reason":"hit","internal_reason":null}'
    found = api.motion(answer(CONTROLLED % (b"false", b"success", told)))
    assert (found.done, found.failed) == (False, True)
    assert found.event.reason == "motion_failed_collision: hit"
    event = api.event(answer(b'{"kind":"failure","failure":{"kind":"newer_kind"}}'))
    assert (event.kind, event.reason) == ("failure", "newer_kind")


def test_recovery_tells_a_failure_that_it_does_not_know() -> None:
    well = api.recovery(answer(b'{"status":"Idle","failed":false,"failure":null}'))
    assert (well.status, well.failed, well.failure) == ("Idle", False, None)
    ill = api.recovery(
        answer(b'{"status":"Failure","failed":true,"failure":{"failure_trace_id":"f1","kind":"New","reason":null}}')
    )
    assert ill.failed
    assert ill.failure == api.Failure("New", "", "", "f1")


@pytest.mark.parametrize(
    ("body", "holding", "width_mm"),
    [
        (
            b'{"kind":"onrobot_2fg7","onrobot_2fg7":{"grip_detected":true,"width_inner":16.0,"max_width_inner":39.0}}',
            True,
            16,
        ),
        (
            b'{"kind":"onrobot_2fg7","onrobot_2fg7":{"grip_detected":true,"width_inner":0.016,"max_width_inner":0.039}}',
            True,
            16,
        ),
        (b'{"kind":"robotiq_2f","robotiq_2f":{"model_variant":"2F-85"}}', None, None),
        (b'{"kind":"none_connected"}', None, None),
        (b"", None, None),
    ],
)
def test_what_a_gripper_tells(body: bytes, holding: bool | None, width_mm: float | None) -> None:
    found = api.gripper(answer(body))
    assert found.holding is holding
    assert found.width_mm == (None if width_mm is None else pytest.approx(width_mm))
    faulty = b'{"kind":"onrobot_2fg7","onrobot_2fg7":{"uncalibrated_error":true,"linear_sensor_error":false}}'
    assert api.gripper(answer(faulty)).faults == ("uncalibrated_error",)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, b'{"error":"authorization_required","message":"no"}', ApiRefused, "token is wrong or the Developer API is off"),
        (401, b"<html>", ApiRefused, "token is wrong"),
        (404, b"<html>not here</html>", NotOffered, "not found"),
        (404, b'{"error":"not_found","message":"?"}', NotOffered, "not_found"),
        (409, b'{"error":"robot_not_idle","message":"Failure"}', ApiRefused, r"busy .*\(Failure\)"),
        (409, b'{"error":"of_a_newer_release","message":"x"}', ApiRefused, r"of_a_newer_release \(x\)"),
        (500, b"<html><body>Internal Server Error</body></html>", ApiBroken, "status 500 with '<html>"),
        (502, b"bad gateway", ApiBroken, "something before the robot"),
        (504, b"", ApiBroken, "something before the robot"),
        (501, b'{"error":"x"}', ApiBroken, "something before the robot"),
        (200, b"<html>a login page</html>", ApiBroken, "expected a JSON object"),
        (200, b"[1]", ApiBroken, "expected a JSON object"),
        (302, b"", ApiBroken, "status 302"),
    ],
)  # fmt: skip
def test_what_is_no_success(status: int, body: bytes, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        api.accept(answer(body, status))
    assert type(caught.value) is kind


def test_an_empty_body_is_a_success_where_nothing_was_asked_and_a_missing_field_is_named() -> None:
    assert api.accept(answer(b"")) == {}
    with pytest.raises(ApiBroken, match="is_active is None: expected true or false"):
        api.motion(answer(b""))
    with pytest.raises(ApiBroken, match="joint_rotations is None: expected six angles"):
        api.position(answer(b"{}"))
    with pytest.raises(ApiBroken, match="unit_kind is 'furlongs'"):
        api.position(answer(POSITION % (b"furlongs", b"1")))
    with pytest.raises(ApiBroken, match="expected a JSON object"):
        api.position(answer(POSITION % (b"meters", b"NaN")))


READERS: list[Callable[[Answer], Any]] = [
    api.accept, api.health, api.control_mode, api.brakes, api.recovery, api.flange, api.position, api.event, api.motion,
    api.gripper,
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "failure", "event", "id", "is_active", "onrobot_2fg7", "pose"]), inner
        )
    ),
    max_leaves=8,
)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(READERS),
    st.sampled_from([200, 200, 400, 404, 500, 503]),
    JSON.map(json.dumps) | st.text(max_size=20),
)
def test_any_garbage_is_one_of_our_own_errors(read: Callable[[Answer], Any], status: int, body: str) -> None:
    with contextlib.suppress(ApiBroken, ApiRefused):
        read(answer(body.encode("utf-8", "surrogatepass"), status))

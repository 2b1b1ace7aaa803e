"""The RO1 as its clients meet it: what it answers, what it refuses, when it moves and when it stops. Virtual time."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_board.placement import Placement, square_index
from edgechess_robots.layout import standard_layout
from edgechess_robots.shapes import STAUNTON_6
from edgechess_twin.arm_body import GuideError
from edgechess_twin.arm_model import EXACT
from edgechess_twin.arm_wire import WireFaults
from edgechess_twin.faults import Faults
from edgechess_twin.memory_stream import MemoryStream, memory_stream_pair
from edgechess_twin.ro1_controller import START_JOINTS
from edgechess_twin.ro1_device import CONNECTIONS, Ro1Device
from edgechess_twin.world import World

pytestmark = pytest.mark.anyio

PAWN = Placement.from_mapping({square_index("e2"): "P"})
HEADERS = (
    "Host: r\r\nAuthorization: Bearer edgechess-twin\r\nContent-Type: application/json\r\n"
    "robot_kind: simulated\r\nrobot-kind: simulated\r\n"
)
BASE_Y_MM = -600.0  # of White's arm: its base frame is the board's turned by 90 degrees


class Wire:
    """One connection to the robot."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream

    async def send(self, method: str, path: str, body: Any = None, headers: str = HEADERS) -> None:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{method} /api/v1{path} HTTP/1.1\r\n{headers}Content-Length: {len(data)}\r\n\r\n"
        await self.stream.send(head.encode() + data)

    async def answer(self) -> tuple[int, Any]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self.stream.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += await self.stream.receive()
        return int(head[9:12]), json.loads(body) if body[:1] == b"{" else body.decode()

    async def ask(self, method: str, path: str, body: Any = None, headers: str = HEADERS) -> tuple[int, Any]:
        await self.send(method, path, body, headers)
        return await self.answer()

    async def get(self, path: str) -> Any:
        status, answer = await self.ask("GET", path)
        assert status == 200, answer
        return answer

    async def post(self, path: str, body: Any = None) -> Any:
        status, answer = await self.ask("POST", path, body)
        assert status == 200, answer
        return answer

    async def refused(self, path: str, body: Any = None, method: str = "POST") -> tuple[int, str]:
        status, answer = await self.ask(method, path, body)
        assert isinstance(answer, dict), (status, answer)
        assert answer["message"], answer
        return status, answer["error"]


class Bench:
    """A world with one RO1 in it, and wires to it."""

    def __init__(self, device: Ro1Device, world: World, tasks: anyio.abc.TaskGroup) -> None:
        self.device, self.world, self._tasks = device, world, tasks

    def connect(self) -> Wire:
        near, far = memory_stream_pair()
        self._tasks.start_soon(self.device.serve, 3000, far)
        return Wire(near)

    async def ready(self) -> Wire:
        """Under API control, brakes off."""
        wire = self.connect()
        await wire.post("/status/control-mode", {"kind": "api"})
        await wire.post("/movement/brakes", {"state": "disengaged"})
        return wire

    @property
    def joints(self) -> tuple[float, ...]:
        return self.device.controller.joints()


@asynccontextmanager
async def bench(placement: Placement = PAWN, **options: Any) -> AsyncIterator[Bench]:
    layout = standard_layout()
    world = World(layout, STAUNTON_6, placement=placement, faults=options.get("faults", Faults()))
    device = Ro1Device("white", world, layout.site("white"), **{"hidden": EXACT, **options})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(device.run)
        await anyio.sleep(0.0)
        yield Bench(device, world, tasks)
        tasks.cancel_scope.cancel()


def flange(x_mm: float, y_mm: float, tip_z_mm: float, yaw_deg: float = 0.0) -> dict[str, Any]:
    """The flange straight above a point of the board, its fingertips 180 mm below; `yaw_deg` in the base frame."""
    base_x, base_y = y_mm - BASE_Y_MM, -x_mm
    half = math.radians(yaw_deg) / 2.0
    c, s = math.cos(half) * math.sqrt(0.5), math.sin(half) * math.sqrt(0.5)
    return {
        "axis_alignment": "base",
        "reference_frame": "base",
        "local_accuracy_calibration": None,
        "position": {
            "unit_kind": "meters",
            "x": base_x / 1000.0,
            "y": base_y / 1000.0,
            "z": (tip_z_mm + 180.0) / 1000.0,
        },
        "orientation": {"kind": "quaternion", "quaternion": {"x": -s, "y": c, "z": s, "w": c}},
    }


def move(x_mm: float, y_mm: float, tip_z_mm: float, kind: str = "line", **more: Any) -> dict[str, Any]:
    body = {"kind": "tooltip_position", "tooltip_position": flange(x_mm, y_mm, tip_z_mm), "movement_kind": kind}
    return {**body, "speed_profile": None, **more}


def fingers(width_mm: float, control: str = "force_grip") -> dict[str, Any]:
    return {
        "kind": "onrobot_2fg7",
        "onrobot_2fg7": {
            "grip_direction": "external",
            "target_force": {"unit_kind": "newtons", "value": 20.0},
            "target_grip_width": {"unit_kind": "millimeters", "value": width_mm},
            "control_kind": control,
        },
    }


FAR = move(0.0, 100.0, 200.0, "joint")


# -- who may ask -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ("Host: r\r\nrobot-kind: simulated\r\n", 401, "authorization_required"),
        ("Host: r\r\nAuthorization: Bearer wrong\r\nrobot-kind: simulated\r\n", 401, "authorization_required"),
        ("Host: r\r\nAuthorization: edgechess-twin\r\nrobot-kind: simulated\r\n", 401, "authorization_required"),
        ("Host: r\r\nAuthorization: Bearer edgechess-twin\r\n", 400, "invalid_parameters"),
        ("Host: r\r\nAuthorization: Bearer edgechess-twin\r\nrobot_kind: live\r\n", 400, "invalid_parameters"),
        (HEADERS.replace("robot-kind: simulated", "robot-kind: live"), 400, "invalid_parameters"),
    ],
)
async def test_nobody_without_the_token_and_nobody_who_means_a_live_arm(headers: str, status: int, code: str) -> None:
    async with bench() as b:
        wire = b.connect()
        found, answer = await wire.ask("GET", "/status/health", headers=headers)
        assert (found, answer["error"]) == (status, code)
        if status == 400:
            assert "software" in answer["message"]
        found, answer = await wire.ask("POST", "/movement/brakes/emergency-stop", headers=headers)
        assert (found, b.device.controller.failure) == (status, None)


async def test_one_spelling_of_the_kind_is_enough_and_metrics_ask_for_nothing() -> None:
    async with bench() as b:
        wire = b.connect()
        for name in ("robot_kind", "Robot-Kind"):
            headers = f"Host: r\r\nAuthorization: Bearer edgechess-twin\r\n{name}: simulated\r\n"
            status, answer = await wire.ask("GET", "/status/health", headers=headers)
            assert (status, answer["health"]) == (200, "ok")
        status, text = await wire.ask("GET", "/metrics/prometheus", headers="Host: r\r\n")
        assert status == 200
        assert "http_requests_total 3" in text


async def test_a_robot_that_is_still_starting_says_so() -> None:
    start_s = anyio.current_time()
    async with bench(boot_s=start_s + 30.0) as b:
        wire = b.connect()
        assert await wire.refused("/status/control-mode", {"kind": "api"}) == (503, "service_initializing")
        await anyio.sleep(31.0)
        assert await wire.post("/status/control-mode", {"kind": "api"}) == {"kind": "api"}


async def test_more_connections_than_it_serves_are_closed() -> None:
    async with bench() as b:
        wires = []
        for _ in range(CONNECTIONS + 1):
            wires.append(b.connect())
            await anyio.sleep(0.01)
        await wires[0].get("/status/health")
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await wires[-1].get("/status/health")
        with pytest.raises(ValueError, match="29999"):
            await b.device.serve(29999, memory_stream_pair()[0])


# -- the order of operations -------------------------------------------------------------------------------------------


async def test_the_order_in_which_things_must_be_done() -> None:
    async with bench() as b:
        wire = b.connect()
        assert (await wire.get("/status/health"))["build"]["name"] == "release/2026.09.21.52"
        assert await wire.get("/status/control-mode") == {"kind": "routine_editor"}
        assert await wire.get("/movement/brakes") == {"state": "engaged"}
        assert await wire.refused("/movement/position/arm", FAR) == (409, "api_control_required")
        assert await wire.refused("/movement/brakes", {"state": "disengaged"}) == (409, "api_control_required")
        assert await wire.refused("/equipment/end-effector/control", fingers(10.0)) == (409, "api_control_required")
        assert await wire.post("/status/control-mode", {"kind": "api"}) == {"kind": "api"}
        assert await wire.refused("/movement/position/arm", FAR) == (409, "brakes_must_be_disengaged")
        assert await wire.refused("/movement/position/arm/controlled", FAR) == (409, "brakes_must_be_disengaged")
        before_s = anyio.current_time()
        assert await wire.post("/movement/brakes", {"state": "disengaged"}) == {"state": "disengaged"}
        assert anyio.current_time() - before_s == pytest.approx(1.0)
        assert b.joints == START_JOINTS
        event = await wire.post("/movement/position/arm", FAR)
        assert (event["kind"], event["failure"], event["canceled"]) == ("success", None, None)
        assert b.world.tip("white") == pytest.approx((0.0, 100.0, 200.0), abs=0.01)


async def test_a_move_is_answered_when_it_is_done_and_a_second_one_refused_meanwhile() -> None:
    async with bench() as b:
        wire, other = await b.ready(), b.connect()
        before_s = anyio.current_time()
        await wire.send("POST", "/movement/position/arm", FAR)
        await anyio.sleep(0.5)
        assert (await other.get("/recovery/status"))["status"] == "RunningAdHocCommand"
        assert await other.refused("/movement/position/arm", FAR) == (409, "robot_not_idle")
        assert await other.refused("/equipment/end-effector/control", fingers(10.0)) == (409, "robot_not_idle")
        assert await other.refused("/status/control-mode", {"kind": "routine_editor"}) == (409, "robot_not_idle")
        assert await other.refused("/movement/brakes", {"state": "engaged"}) == (409, "robot_brakes_engage_failed")
        assert await other.refused("/routine-editor/stop") == (409, "routine_must_be_running")
        status, event = await wire.answer()
        assert (status, event["kind"]) == (200, "success")
        assert 1.0 < anyio.current_time() - before_s < 4.0
        assert event["position"] == await other.get("/movement/position/arm")
        assert (await other.get("/recovery/status")) == {"status": "Idle", "failed": False, "failure": None}


async def test_position_tells_radians_metres_and_a_quaternion() -> None:
    async with bench() as b:
        wire = await b.ready()
        await wire.post("/movement/position/arm", move(0.0, 0.0, 120.0, "joint"))
        told = await wire.get("/movement/position/arm")
        assert told["joint_rotations"] == pytest.approx([math.radians(q) for q in b.joints])
        place = told["tooltip_position"]
        assert place["position"] == {
            "unit_kind": "meters",
            "x": pytest.approx(0.6),
            "y": pytest.approx(0.0),
            "z": pytest.approx(0.3),
        }
        turn = place["orientation"]["quaternion"]
        assert [turn[k] for k in "xyzw"] == pytest.approx([0.0, 0.70711, 0.0, 0.70711], abs=1e-4)
        pose = (await wire.get("/poses/tooltip-position"))["pose"]
        assert (pose["x"], pose["z"], pose["j"], pose["w"]) == pytest.approx((0.6, 0.3, 0.70711, 0.70711), abs=1e-4)
        joints = (await wire.get("/poses/joints-position"))["pose"]
        assert [joints[f"j{i}"] for i in range(6)] == told["joint_rotations"]


async def test_the_grippers_tooltip_can_be_chosen() -> None:
    async with bench() as b:
        wire = await b.ready()
        assert (await wire.get("/equipment/tooltips/active"))["tcp_option"] == "flange"
        options = [tip["tcp_option"] for tip in (await wire.get("/equipment/tooltips"))["tooltips"]]
        assert options == ["flange", "gripper"]
        assert (await wire.post("/equipment/tooltips/active", {"tcp_option": "gripper"}))["tcp_option"] == "gripper"
        assert await wire.refused("/equipment/tooltips/active", {"tcp_option": "nose"}) == (
            400,
            "request_failed_validation",
        )
        body = move(0.0, 0.0, 120.0 - 180.0, "joint")  # now the height is the fingertips'
        await wire.post("/movement/position/arm", body)
        assert b.world.tip("white") == pytest.approx((0.0, 0.0, 120.0), abs=0.01)
        at_flange = (await wire.get("/poses/flange-position"))["pose"]
        assert at_flange["z"] == pytest.approx(0.3)


@pytest.mark.parametrize(("release", "heeded"), [("2024.10", False), ("2025.08", True)])
async def test_ways_and_speeds_are_passed_over_by_releases_that_came_before_them(release: str, heeded: bool) -> None:
    async with bench(release=release) as b:
        wire = await b.ready()
        slow = {**FAR, "movement_kind": "line", "speed_profile": {"max_tooltip_speed": 0.05}}
        began_s = anyio.current_time()
        answer = await wire.post("/movement/position/arm", slow)
        assert answer["kind"] == "success"
        assert (anyio.current_time() - began_s > 5.0) is heeded


# -- the dead-man ------------------------------------------------------------------------------------------------------


async def test_a_controlled_move_goes_on_while_its_heart_beats() -> None:
    async with bench() as b:
        wire = await b.ready()
        answer = await wire.post("/movement/position/arm/controlled", FAR)
        assert answer["is_active"] is True
        assert answer["heartbeat_interval"] == 300
        assert answer["expires_at"] > 1_700_000_000_000
        path = f"/movement/position/arm/controlled/{answer['id']}/heartbeat"
        beats = 0
        while answer["is_active"]:
            assert answer["event"]["kind"] == "position"
            await anyio.sleep(0.3)
            answer = await wire.post(path)
            beats += 1
        assert beats > 3
        assert answer["event"]["kind"] == "success"
        assert b.world.tip("white") == pytest.approx((0.0, 100.0, 200.0), abs=0.01)
        assert (await wire.post(path))["is_active"] is False


@pytest.mark.parametrize(
    ("asked", "at_least_s", "at_most_s"),
    [({}, 0.3, 0.9), ({"heartbeat_interval": 100}, 0.1, 0.6), ({"expires_after_ms": 1000}, 1.0, 1.6)],
)
async def test_without_beats_the_arm_stops_and_is_well(
    asked: dict[str, int], at_least_s: float, at_most_s: float
) -> None:
    async with bench() as b:
        wire = await b.ready()
        answer = await wire.post("/movement/position/arm/controlled", {**FAR, **asked})
        began_s = anyio.current_time()
        await anyio.sleep(at_least_s)
        assert b.device.controller.active is not None
        await anyio.sleep(began_s + at_most_s - anyio.current_time())
        assert b.device.controller.active is None
        stood = b.joints
        assert b.world.tip("white")[1] < 0.0  # nowhere near where it was sent
        told = await wire.post(f"/movement/position/arm/controlled/{answer['id']}/heartbeat")
        assert (told["is_active"], told["event"]["kind"]) == (False, "canceled")
        assert "heartbeat" in told["event"]["canceled"]["reason"]
        await anyio.sleep(5.0)
        assert b.joints == stood  # a late beat moves nothing
        assert (await wire.get("/recovery/status"))["status"] == "Idle"
        assert (await wire.post("/movement/position/arm", FAR))["kind"] == "success"


async def test_beats_stop_counting_once_one_was_missed() -> None:
    async with bench() as b:
        wire = await b.ready()
        answer = await wire.post("/movement/position/arm/controlled", FAR)
        path = f"/movement/position/arm/controlled/{answer['id']}/heartbeat"
        await anyio.sleep(0.46)
        for _ in range(20):
            answer = await wire.post(path)
            await anyio.sleep(0.05)
        assert (answer["is_active"], answer["event"]["kind"]) == (False, "canceled")


async def test_the_client_dies_with_its_connection() -> None:
    async with bench() as b:
        wire = await b.ready()
        await wire.post("/movement/position/arm/controlled", FAR)
        wire.stream.kill()
        await anyio.sleep(2.0)
        assert b.device.controller.active is None
        assert b.world.tip("white")[1] < 0.0


async def test_nobody_elses_heart() -> None:
    async with bench() as b:
        wire = await b.ready()
        path = "/movement/position/arm/controlled/{}/heartbeat"
        assert await wire.refused(path.format("cmd-99")) == (404, "not_found")
        await wire.post("/movement/position/arm", FAR)  # a blocking move has none
        assert await wire.refused(path.format("cmd-1")) == (404, "not_found")
        assert await wire.refused("/movement/position/arm/controlled", {**FAR, "heartbeat_interval": 1}) == (
            400,
            "request_failed_validation",
        )


async def test_lost_heartbeats_are_a_fault_of_the_table() -> None:
    async with bench(faults=Faults(heartbeat_lost=1.0)) as b:
        wire = await b.ready()
        answer = await wire.post("/movement/position/arm/controlled", FAR)
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await wire.post(f"/movement/position/arm/controlled/{answer['id']}/heartbeat")
        await anyio.sleep(3.0)
        assert b.device.controller.status == "Idle"
        assert b.world.tip("white")[1] < 0.0


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        move(0.0, 2000.0, 200.0, "joint"),
        move(0.0, 2000.0, 200.0, "line"),
        {"kind": "joint_rotation", "joint_rotation": {"joints": [0.0, 3.0, 0.0, 0.0, 0.0, 0.0]}},
    ],
)
async def test_what_it_cannot_reach_is_a_failure_on_a_200(body: dict[str, Any]) -> None:
    async with bench() as b:
        wire = await b.ready()
        event = await wire.post("/movement/position/arm", body)
        assert event["kind"] == "failure"
        assert event["failure"]["kind"] == "motion_failed_unknown_reason"
        assert event["failure"]["reason"]
        answer = await wire.post("/movement/position/arm/controlled", body)
        assert (answer["is_active"], answer["event"]["kind"]) == (False, "failure")
        assert b.joints == START_JOINTS
        assert (await wire.get("/recovery/status"))["status"] == "Idle"


async def test_a_collision_stops_it_until_it_is_recovered() -> None:
    async with bench() as b:
        wire, other = await b.ready(), b.connect()
        await wire.send("POST", "/movement/position/arm", FAR)
        await anyio.sleep(1.0)
        b.device.collide()
        status, event = await wire.answer()
        assert (status, event["kind"], event["failure"]["kind"]) == (200, "failure", "motion_failed_collision")
        told = await other.get("/recovery/status")
        assert (told["status"], told["failed"], told["failure"]["kind"]) == ("Failure", True, "ProtectiveStop")
        assert told["failure"]["recovery_type"] == "Recoverable"
        assert (await other.get("/joints"))["J3"]["inCollision"] is True
        assert await other.refused("/movement/brakes", {"state": "disengaged"}) == (
            409,
            "robot_brakes_disengage_failed",
        )
        stood = b.joints
        await other.send("POST", "/recovery/recover")
        await anyio.sleep(0.5)
        assert (await wire.get("/recovery/status"))["status"] == "Recovering"
        assert await wire.refused("/movement/position/arm", FAR) == (409, "brakes_must_be_disengaged")
        assert await other.answer() == (200, {"status": "Idle", "failed": False, "failure": None})
        assert (await wire.get("/movement/brakes"))["state"] == "engaged"
        await anyio.sleep(5.0)
        assert b.joints == stood  # no motion is left over
        await wire.post("/movement/brakes", {"state": "disengaged"})
        assert (await wire.post("/movement/position/arm", FAR))["kind"] == "success"


async def test_the_red_button() -> None:
    async with bench() as b:
        wire, other = await b.ready(), b.connect()
        answer = await wire.post("/movement/position/arm/controlled", FAR)
        await anyio.sleep(0.2)
        b.device.press_estop()
        await anyio.sleep(0.3)
        assert b.device.controller.active is None
        told = await wire.post(f"/movement/position/arm/controlled/{answer['id']}/heartbeat")
        assert (told["is_active"], told["event"]["kind"]) == (False, "failure")
        assert await other.refused("/recovery/recover") == (409, "recovery_error")
        b.device.release_estop()
        assert (await other.get("/recovery/status"))["failure"]["kind"] == "EmergencyStop"
        assert (await other.post("/recovery/recover"))["failed"] is False


async def test_pressed_while_it_recovers_or_unbrakes() -> None:
    async with bench() as b:
        wire, other = await b.ready(), b.connect()
        b.device.collide()
        await wire.send("POST", "/recovery/recover")
        await anyio.sleep(1.0)
        b.device.press_estop()
        assert (await wire.answer())[1]["failure"]["kind"] == "EmergencyStop"
        b.device.release_estop()
        await wire.post("/recovery/recover")
        await wire.send("POST", "/movement/brakes", {"state": "disengaged"})
        await anyio.sleep(0.5)
        b.device.press_estop()
        status, answer = await wire.answer()
        assert (status, answer["error"]) == (409, "robot_brakes_disengage_failed")
        assert await other.get("/movement/brakes") == {"state": "engaged"}


async def test_stops_that_clients_order() -> None:
    async with bench() as b:
        wire, other = await b.ready(), b.connect()
        await wire.send("POST", "/movement/position/arm", FAR)
        await anyio.sleep(1.0)
        assert await other.post("/movement/brakes/emergency-stop", {"reason": "chess: human in zone"}) == ""
        _, event = await wire.answer()
        assert "chess: human in zone" in event["failure"]["reason"]
        assert (await other.get("/movement/brakes"))["state"] == "engaged"
        assert (await other.post("/recovery/recover"))["status"] == "Idle"
        assert await other.post("/faults/user-fault", {"message": "no", "isRecoverable": False}) == ""
        assert (await other.get("/recovery/status"))["failure"]["recovery_type"] == "NotRecoverable"
        assert await other.refused("/recovery/recover") == (409, "recovery_error")


async def test_slow_and_split_answers_are_still_answers() -> None:
    async with bench(wire=WireFaults(split=1.0, slow_reply=1.0), faults=Faults(feedback_stall=1.0)) as b:
        wire = b.connect()
        before_s = anyio.current_time()
        assert (await wire.get("/recovery/status"))["status"] == "Idle"
        assert anyio.current_time() - before_s > 0.6


# -- a piece -----------------------------------------------------------------------------------------------------------


async def carry(wire: Wire, from_xy: tuple[float, float], to_xy: tuple[float, float]) -> None:
    await wire.post("/equipment/end-effector/control", fingers(38.0, "move"))
    for x_mm, y_mm, width_mm, control in ((*from_xy, 10.0, "force_grip"), (*to_xy, 38.0, "move")):
        await wire.post("/movement/position/arm", move(x_mm, y_mm, 150.0, "joint"))
        await wire.post("/movement/position/arm", move(x_mm, y_mm, 30.0))
        await wire.post("/equipment/end-effector/control", fingers(width_mm, control))
        await anyio.sleep(1.0)
        await wire.post("/movement/position/arm", move(x_mm, y_mm, 150.0))


async def test_it_moves_a_pawn_and_feels_it() -> None:
    async with bench() as b:
        wire = await b.ready()
        e2, e4 = (27.5, -137.5), (27.5, -27.5)
        assert (await wire.get("/equipment/end-effector/configuration"))["onrobot_2fg7"]["grip_detected"] is False
        await wire.post("/equipment/end-effector/control", fingers(38.0, "move"))
        await wire.post("/movement/position/arm", move(*e2, 150.0, "joint"))
        await wire.post("/movement/position/arm", move(*e2, 30.0))
        assert await wire.post("/equipment/end-effector/control", fingers(10.0)) == ""
        told = (await wire.get("/equipment/end-effector/configuration"))["onrobot_2fg7"]
        assert (told["grip_detected"], told["width_inner"] > 30.0) == (False, True)  # the fingers have only set off
        await anyio.sleep(1.0)
        told = (await wire.get("/equipment/end-effector/configuration"))["onrobot_2fg7"]
        assert (told["grip_detected"], told["width_inner"]) == (True, 16.0)
        assert b.world.placement() == Placement.empty()
        for target in (move(*e2, 150.0), move(*e4, 150.0), move(*e4, 30.0)):
            assert (await wire.post("/movement/position/arm", target))["kind"] == "success"
        await wire.post("/equipment/end-effector/control", fingers(38.0, "move"))
        await anyio.sleep(1.0)
        assert b.world.placement() == Placement.from_mapping({square_index("e4"): "P"})
        told = (await wire.get("/equipment/end-effector/configuration"))["onrobot_2fg7"]
        assert (told["grip_detected"], told["width_inner"]) == (False, 38.0)
        assert b.world.accidents == []


async def test_the_true_arm_puts_it_a_little_beside() -> None:
    async with bench(hidden=None, seed=4) as b:
        wire = await b.ready()
        await wire.post("/movement/position/arm", move(0.0, 0.0, 100.0, "joint"))
        x, y, z = b.world.tip("white")
        assert 0.2 < math.hypot(x, y, z - 100.0) < 12.0


async def test_nothing_between_the_fingers() -> None:
    async with bench(Placement.empty()) as b:
        wire = await b.ready()
        await wire.post("/equipment/end-effector/control", fingers(10.0))
        await anyio.sleep(1.0)
        told = (await wire.get("/equipment/end-effector/configuration"))["onrobot_2fg7"]
        assert (told["grip_detected"], told["width_inner"]) == (False, 10.0)


async def test_a_missed_grasp_and_a_slip_are_felt() -> None:
    async with bench(faults=Faults(missed_grasp=1.0)) as b:
        wire = await b.ready()
        await carry(wire, (27.5, -137.5), (27.5, -27.5))
        assert b.world.placement() == PAWN
        assert b.world.accidents[0] == "missed-grasp white P"
    async with bench(faults=Faults(slip=1.0)) as b:
        wire = await b.ready()
        await wire.post("/movement/position/arm", move(27.5, -137.5, 150.0, "joint"))
        await wire.post("/movement/position/arm", move(27.5, -137.5, 30.0))
        await wire.post("/equipment/end-effector/control", fingers(10.0))
        await anyio.sleep(1.0)
        await wire.post("/movement/position/arm", move(27.5, -137.5, 150.0))
        await wire.post("/movement/position/arm", move(27.5, 100.0, 150.0))
        told = (await wire.get("/equipment/end-effector/configuration"))["onrobot_2fg7"]
        assert (told["grip_detected"], told["width_inner"]) == (False, 10.0)
        assert "slip white P" in b.world.accidents


async def test_a_collision_strikes_while_a_piece_is_carried() -> None:
    async with bench(faults=Faults(collision=1.0)) as b:
        wire = await b.ready()
        await wire.post("/movement/position/arm", move(27.5, -137.5, 150.0, "joint"))
        await wire.post("/movement/position/arm", move(27.5, -137.5, 30.0))
        await wire.post("/equipment/end-effector/control", fingers(10.0))
        await anyio.sleep(6.0)
        assert (await wire.get("/recovery/status"))["failure"]["kind"] == "ProtectiveStop"
        assert b.world.accidents == ["collision white"]
        assert b.world.held_by_arm("white") is not None


async def test_pressing_into_the_board_is_seen() -> None:
    async with bench(Placement.empty()) as b:
        wire = await b.ready()
        await wire.post("/movement/position/arm", move(0.0, 0.0, 100.0, "joint"))
        await wire.post("/movement/position/arm", move(0.0, 0.0, 2.0))
        b.world.pieces()
        assert b.world.accidents == ["press white"]


async def test_other_grippers() -> None:
    async with bench(gripper="robotiq_2f") as b:
        wire = await b.ready()
        assert await wire.refused("/equipment/end-effector/control", fingers(10.0)) == (409, "equipment_no_matching")
        order: dict[str, Any] = {
            "control_kind": "move",
            "target_grip_width": {"unit_kind": "centimeters", "value": 4.0},
            "target_speed": 100.0,
            "target_force": {"unit_kind": "newtons", "value": 50.0},
        }
        assert await wire.post("/equipment/end-effector/control", {"kind": "robotiq_2f", "robotiq_2f": order}) == ""
        await anyio.sleep(1.0)
        assert b.device.controller.gripper.width_mm(anyio.current_time()) == pytest.approx(40.0)
        told = await wire.get("/equipment/end-effector/configuration")
        assert told["robotiq_2f"]["max_grip_width"] == {"unit_kind": "millimeters", "value": 85.0}
        order["target_grip_width"]["value"] = 9.0
        assert await wire.refused("/equipment/end-effector/control", {"kind": "robotiq_2f", "robotiq_2f": order}) == (
            400,
            "invalid_parameters",
        )
    async with bench(gripper="none_connected") as b:
        wire = await b.ready()
        assert await wire.get("/equipment/end-effector/configuration") == {"kind": "none_connected"}
        assert await wire.refused("/equipment/end-effector/control", fingers(10.0)) == (409, "equipment_no_matching")


# -- people ------------------------------------------------------------------------------------------------------------


async def test_a_person_guides_it_to_a_corner() -> None:
    async with bench(hidden=None) as b:
        with pytest.raises(GuideError, match="brakes are engaged"):
            await b.device.guide((0.0, 0.0, 40.0))
        wire = await b.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.device.guide, (192.5, -192.5, 20.0))
            await anyio.sleep(0.5)
            assert (await wire.get("/recovery/status"))["status"] == "Antigravity"
            assert await wire.refused("/movement/position/arm", FAR) == (409, "robot_not_idle")
        assert b.world.tip("white") == pytest.approx((192.5, -192.5, 20.0), abs=0.01)
        assert (await wire.get("/recovery/status"))["status"] == "Idle"
        with pytest.raises(GuideError, match="cannot reach"):
            await b.device.guide((0.0, 3000.0, 40.0))


# -- releases ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "missing"),
    [
        ("2024.01", ["/recovery/recover", "/movement/position/arm/controlled", "/equipment/tooltips/active"]),
        ("2024.10", ["/movement/position/arm/controlled", "/payload", "/equipment/tooltips/active"]),
        ("2025.08", ["/equipment/tooltips/active"]),
        ("2026.09", []),
    ],
)
async def test_older_releases_lack_endpoints(release: str, missing: list[str]) -> None:
    async with bench(release=release) as b:
        wire = await b.ready()
        assert release in (await wire.get("/status/health"))["build"]["name"]
        paths = ["/recovery/recover", "/movement/position/arm/controlled", "/payload", "/equipment/tooltips/active"]
        bodies = [None, FAR, {"mass": 0.5}, {"tcp_option": "flange"}]
        gone = []
        for path, body in zip(paths, bodies, strict=True):
            status, answer = await wire.ask("POST", path, body)
            if status == 404:
                assert answer["error"] == "not_found"
                gone.append(path)
            await anyio.sleep(5.0)
        assert set(missing) <= set(gone)
        assert set(gone) - set(missing) <= ({"/payload"} if release == "2024.01" else set())
        assert (await wire.post("/movement/position/arm", FAR))["kind"] == "success"


# -- the rest ----------------------------------------------------------------------------------------------------------


async def test_small_questions() -> None:
    async with bench() as b:
        wire = await b.ready()
        assert (await wire.get("/identity/bot_identity"))["robotId"] == "twin-white-0"
        joints = await wire.get("/joints")
        assert list(joints) == ["J0", "J1", "J2", "J3", "J4", "J5"]
        assert (joints["J0"]["braked"], joints["J0"]["connectionStatus"]) == (False, "ready")
        assert await wire.post("/payload", {"mass": 0.5}) == ""
        assert await wire.get("/payload") == {"mass": 0.5}
        assert await wire.refused("/payload", {"mass": 19.0}) == (400, "invalid_parameters")
        assert (await wire.post("/io", {"state": {"Output 1": "high"}}))["state"]["Output 1"] == "high"
        assert (await wire.get("/io"))["state"]["Output 2"] == "low"
        assert await wire.refused("/io", {"state": {"Input 1": "high"}}) == (400, "invalid_parameters")
        assert await wire.refused("/io", {"state": {"Output 1": "up"}}) == (400, "request_failed_validation")
        assert await wire.get("/routine-editor/routines?limit=10&offset=0") == {
            "items": [],
            "pagination": {"total": 0, "limit": 10, "offset": 0},
        }
        assert await wire.refused("/routine-editor/routines/rid-1/play", {"variables": {}}) == (
            404,
            "routine_does_not_exist",
        )
        assert await wire.refused("/movement/ros/state", method="GET") == (410, "ros_control_deprecated")
        assert await wire.refused("/cameras/connected", method="GET") == (404, "not_found")
        assert await wire.refused("/status/health", method="DELETE") == (404, "not_found")


async def test_arithmetic_of_poses() -> None:
    async with bench() as b:
        wire = b.connect()
        up = {"x": 0.0, "y": 0.0, "z": 0.1, "i": 0.0, "j": 0.0, "k": 0.0, "w": 1.0}
        turned = {"x": 0.3, "y": 0.0, "z": 0.5, "i": 0.0, "j": 0.0, "k": math.sqrt(0.5), "w": math.sqrt(0.5)}
        both = {"pose1": turned, "pose2": up}
        assert (await wire.post("/poses/pose-distance", both))["distance"] == pytest.approx(0.5)
        added = (await wire.post("/poses/add", both))["pose"]
        assert (added["x"], added["z"], added["k"]) == pytest.approx((0.3, 0.6, math.sqrt(0.5)))
        back = (await wire.post("/poses/subtract", {"pose1": added, "pose2": up}))["pose"]
        assert (back["x"], back["z"]) == pytest.approx((0.3, 0.5))
        zero = {f"j{i}": 0.0 for i in range(6)}
        straight = (await wire.post("/poses/joint-pose", {"pose": zero}))["pose"]
        assert (straight["x"], straight["y"], straight["z"]) == pytest.approx((0.0, 0.36865, 1.4619), abs=1e-5)
        euler = {"x": 1.0, "ry": math.pi / 2.0}
        pose = (await wire.post("/poses/cartesian-pose", {"pose": euler}))["pose"]
        assert (pose["x"], pose["j"], pose["w"]) == pytest.approx((1.0, math.sqrt(0.5), math.sqrt(0.5)))
        here = (await wire.get("/poses/tooltip-position"))["pose"]
        moved = (await wire.post("/poses/cartesian-offset", {"pose": {"x": 0.1}}))["pose"]
        assert moved["z"] == pytest.approx(here["z"] - 0.1)  # +X is out of the flange, and it points down


# -- requests that the vendor's client was seen to send ----------------------------------------------------------------

UP = (
    b'{"axis_alignment":"base","reference_frame":"base","local_accuracy_calibration":null,"position":{"unit_kind":"meters",'
    b'"x":0.5,"y":0.0,"z":0.35},"orientation":{"kind":"quaternion","quaternion":{"x":0.0,"y":0.7071,"z":0.0,"w":0.7071}}}'
)


async def test_captured_requests_in_order() -> None:
    """Byte for byte as in the reference, "Captured requests", but for poses: its orientation is not tool-down."""
    async with bench() as b:
        wire = b.connect()
        assert await wire.post("/status/control-mode", b'{"kind": "api"}') == {"kind": "api"}
        assert await wire.post("/movement/brakes", b'{"state": "disengaged"}') == {"state": "disengaged"}
        one = (
            b'{"kind":"tooltip_position","tooltip_positions":null,"tooltip_position":'
            + UP
            + b',"joint_rotations":null,'
            b'"joint_rotation":null,"movement_kind":"joint","speed_profile":{"max_joint_speeds":null,'
            b'"max_joint_accelerations":null,"max_tooltip_speed":0.25,"max_joint_torques":null,'
            b'"base_acceleration_scaling":null,"base_velocity_scaling":null,"scaling_factor":null}}'
        )
        assert (await wire.post("/movement/position/arm", one))["kind"] == "success"
        joints = (
            b'{"kind":"joint_rotation","tooltip_positions":null,"tooltip_position":null,"joint_rotations":null,'
            b'"joint_rotation":{"joints":[0.0,0.0,1.57,0.0,1.57,0.0]},"movement_kind":null,"speed_profile":null}'
        )
        assert (await wire.post("/movement/position/arm", joints))["kind"] == "success"
        assert b.joints == pytest.approx([0.0, 0.0, 89.954, 0.0, 89.954, 0.0], abs=0.001)
        await wire.post("/movement/position/arm", one)
        controlled = (
            b'{"heartbeat_interval":300,"expires_after_ms":null,"kind":"tooltip_positions","tooltip_positions":['
            + UP.replace(b"0.35", b"0.40")
            + b","
            + UP.replace(b"0.35", b"0.45")
            + b'],"tooltip_position":null,"joint_rotations":null,"joint_rotation":null,"movement_kind":"line",'
            b'"speed_profile":null}'
        )
        answer = await wire.post("/movement/position/arm/controlled", controlled)
        while answer["is_active"]:
            await anyio.sleep(0.25)
            answer = await wire.post(f"/movement/position/arm/controlled/{answer['id']}/heartbeat")
        assert answer["event"]["kind"] == "success"
        assert (await wire.get("/poses/tooltip-position"))["pose"]["z"] == pytest.approx(0.45)
        grip = (
            b'{"kind":"onrobot_2fg7","onrobot_2fg7":{"grip_direction":"external","target_force":{"unit_kind":"newtons",'
            b'"value":20.0},"target_grip_width":{"unit_kind":"millimeters","value":20.0},"control_kind":"force_grip"},'
            b'"onrobot_2fg14":null}'
        )
        assert await wire.post("/equipment/end-effector/control", grip) == ""
        assert await wire.post("/io", b'{"state":{"Output 1":"high"}}')
        assert await wire.refused("/routine-editor/routines/rid-1/play", b'{"variables":{"from_sq":"e2","to_sq":"e4"}}')
        assert await wire.post("/movement/brakes/emergency-stop", b'{"reason":"chess: human in zone"}') == ""
        assert (await wire.post("/recovery/recover"))["status"] == "Idle"


# -- what is no order --------------------------------------------------------------------------------------------------

POSE = flange(0.0, 0.0, 150.0)


def wrong_pose(path: str, value: Any) -> dict[str, Any]:
    pose = json.loads(json.dumps(POSE))
    *keys, last = path.split(".")
    at = pose
    for key in keys:
        at = at[key]
    at[last] = value
    return {"kind": "tooltip_position", "tooltip_position": pose}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"kind":"tooltip_position"}',
        b'{"kind":["tooltip_position"]}',
        {"kind": "dance"},
        {"kind": "tooltip_positions", "tooltip_positions": []},
        {"kind": "tooltip_positions", "tooltip_positions": [POSE] * 257},
        {"kind": "tooltip_positions", "tooltip_positions": [POSE, None]},
        {"kind": "joint_rotation", "joint_rotation": {"joints": [0.0] * 5}},
        {"kind": "joint_rotation", "joint_rotation": {"joints": [0.0] * 5 + ["x"]}},
        {"kind": "joint_rotation", "joint_rotation": {"joints": [True] * 6}},
        {"kind": "joint_rotation", "joint_rotation": {"joints": [0.0] * 5 + [10**400]}},
        b'{"kind":"joint_rotation","joint_rotation":{"joints":[0,0,0,0,0,NaN]}}',
        b'{"kind":"joint_rotation","joint_rotation":{"joints":[0,0,0,0,0,1e999]}}',
        {"kind": "joint_rotation", "joint_rotation": {"joints": [0.0] * 6}, "movement_kind": "line"},
        {"kind": "tooltip_position", "tooltip_position": POSE, "movement_kind": "arc"},
        wrong_pose("position.unit_kind", None),
        wrong_pose("position.unit_kind", "furlongs"),
        wrong_pose("position.x", "0.4"),
        wrong_pose("position.x", 400.0),  # millimetres given for metres
        wrong_pose("orientation.kind", "euler"),
        wrong_pose("orientation.quaternion", {"x": 0.0, "y": 0.0, "z": 0.0, "w": 0.0}),
        wrong_pose("orientation.quaternion", {"x": 1.0, "y": 1.0, "z": 0.0, "w": 0.0}),
        wrong_pose("orientation.quaternion.w", None),
        {**move(0.0, 0.0, 150.0), "speed_profile": {"max_tooltip_speed": 0.0}},
        {**move(0.0, 0.0, 150.0), "speed_profile": {"max_tooltip_speed": -1.0}},
        {**move(0.0, 0.0, 150.0), "speed_profile": {"max_joint_speeds": [1.0] * 7}},
        {**move(0.0, 0.0, 150.0), "speed_profile": {"max_joint_torques": [1.0] * 5}},
        {**move(0.0, 0.0, 150.0), "speed_profile": {"scaling_factor": 1.5}},
        {**move(0.0, 0.0, 150.0), "speed_profile": "fast"},
    ],
)
async def test_what_is_no_move_moves_nothing(body: Any) -> None:
    async with bench() as b:
        wire = await b.ready()
        for path in ("/movement/position/arm", "/movement/position/arm/controlled"):
            assert await wire.refused(path, body) == (400, "request_failed_validation")
        await anyio.sleep(1.0)
        assert b.joints == START_JOINTS
        assert b.device.controller.status == "Idle"


async def test_another_space_is_not_known() -> None:
    async with bench() as b:
        wire = await b.ready()
        body = wrong_pose("reference_frame", "table-1")
        assert await wire.refused("/movement/position/arm", body) == (404, "invalid_space_specified")


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "onrobot_2fg7"},
        {"kind": "hand"},
        {"kind": "onrobot_2fg7", "onrobot_2fg7": {"grip_direction": "external", "control_kind": "move"}},
        {"kind": "onrobot_2fg7", "onrobot_2fg7": {"grip_direction": "up", "control_kind": "move"}},
        {"kind": "robotiq_2f", "robotiq_2f": {"control_kind": "move"}},
        {**fingers(10.0), "onrobot_2fg7": {**fingers(10.0)["onrobot_2fg7"], "target_grip_width": {"value": 10}}},
        fingers(-1.0),
    ],
)
async def test_what_is_no_grip(body: Any) -> None:
    async with bench() as b:
        wire = await b.ready()
        assert await wire.refused("/equipment/end-effector/control", body) == (400, "request_failed_validation")
        assert await wire.refused("/equipment/end-effector/control", fingers(80.0)) == (400, "invalid_parameters")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(("kind", "x", "state", "joints")), inner)
    ),
    max_leaves=8,
)
PATHS = st.sampled_from(
    (
        "/movement/position/arm",
        "/movement/position/arm/controlled",
        "/movement/brakes",
        "/equipment/end-effector/control",
        "/recovery/recover",
        "/status/control-mode",
        "/poses/add",
        "/joints",
        "/io",
        "/payload",
        "/%00",
    )
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80).map(lambda data: ("raw", data)),
            st.tuples(st.sampled_from(("GET", "POST")), PATHS, JSON).map(lambda ask: ("ask", ask)),
        ),
        max_size=6,
    )
)
def test_any_bytes_leave_the_arm_where_it_is_and_the_robot_alive(steps: list[tuple[str, Any]]) -> None:
    import trio.testing

    async def main() -> None:
        async with bench() as b:
            await b.ready()
            for kind, what in steps:
                wire = b.connect()
                try:
                    if kind == "raw":
                        await wire.stream.send(what)
                        await anyio.sleep(0.1)
                    else:
                        with anyio.fail_after(10.0):
                            status, _ = await wire.ask(*what)
                        assert status in (200, 400, 401, 404, 409, 410), status
                except (anyio.BrokenResourceError, anyio.EndOfStream):
                    pass
                await wire.stream.aclose()
            await anyio.sleep(1.0)
            assert b.joints == START_JOINTS
            assert (await b.connect().get("/status/health"))["health"] == "ok"

    anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})

"""Conformance: the vendor's own SDK (`standardbots` on PyPI), unmodified, drives the simulated RO1 over real TCP."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from edgechess_board.placement import Placement, square_index
from edgechess_twin.serve import serve
from edgechess_twin.table import Table, TableOptions

standardbots = pytest.importorskip("standardbots", reason="the vendor's SDK is not installed: pip install standardbots")
models = standardbots.models
Robot = standardbots.StandardBotsRobot

pytestmark = pytest.mark.slow

SPEED = 20.0
PAWN = Placement.from_mapping({square_index("e7"): "p"})
BASE_Y_MM = 600.0  # of Black's arm, which looks down the board: its base frame is the board's turned by -90 degrees


def on_a_served_table(tmp_path: Path, session: Callable[[Any, Table], None]) -> tuple[Placement, list[str]]:
    """Runs the session against Black's arm, an RO1 beside White's Dobot, in a thread as the blocking SDK needs.

    Returns what then stands where, and what went wrong by itself.
    """
    table = Table(TableOptions(kinds=("dobot", "ro1"), speed=SPEED, placement=PAWN))

    async def main() -> tuple[Placement, list[str]]:
        async with anyio.create_task_group() as tasks:
            await tasks.start(table.run)
            async with serve(table, directory=tmp_path) as devices:
                address = devices.arm_addresses["black"]
                sdk = Robot(url=address.url, token=address.token, robot_kind=Robot.RobotKind.Simulated)

                def connected() -> None:
                    with sdk.connection():
                        session(sdk, table)

                await anyio.to_thread.run_sync(connected)
            left = table.world.placement(), table.world.accidents
            tasks.cancel_scope.cancel()
        return left

    return anyio.run(main)


def position(x_mm: float, y_mm: float, tip_z_mm: float) -> Any:
    """Of the flange above a point of the board, the fingertips 180 mm below it."""
    return models.Position(unit_kind=models.LinearUnitKind.Millimeters, x=BASE_Y_MM - y_mm, y=x_mm, z=tip_z_mm + 180.0)


def down() -> Any:
    """Straight down: the tooltip's X axis points out of the flange."""
    half = math.sqrt(0.5)
    return models.Orientation(
        kind=models.OrientationKindEnum.Quaternion, quaternion=models.Quaternion(x=0.0, y=half, z=0.0, w=half)
    )


def pose(x_mm: float, y_mm: float, tip_z_mm: float) -> Any:
    return models.PositionAndOrientation(position=position(x_mm, y_mm, tip_z_mm), orientation=down())


def make_ready(sdk: Any) -> None:
    assert sdk.status.health.get_health().ok().health is models.StatusHealthEnum.Ok
    api = models.RobotControlMode(kind=models.RobotControlModeEnum.Api)
    assert sdk.status.control.set_configuration_control_state(api).ok().kind is models.RobotControlModeEnum.Api
    off = models.BrakesState(state=models.BrakesStateEnum.Disengaged)
    assert sdk.movement.brakes.set_brakes_state(off).ok().state is models.BrakesStateEnum.Disengaged


def go(sdk: Any, x_mm: float, y_mm: float, tip_z_mm: float, kind: Any) -> None:
    event = sdk.movement.position.move(
        position=position(x_mm, y_mm, tip_z_mm), orientation=down(), movement_kind=kind
    ).ok()
    assert event.kind is models.ArmPositionUpdateKindEnum.Success, event
    reached = sdk.movement.position.get_arm_position().ok().tooltip_position.position
    assert reached.unit_kind is models.LinearUnitKind.Meters
    wanted = ((BASE_Y_MM - y_mm) / 1000.0, x_mm / 1000.0, (tip_z_mm + 180.0) / 1000.0)
    assert (reached.x, reached.y, reached.z) == pytest.approx(wanted, abs=1e-6)


def fingers(sdk: Any, width_mm: float, control: Any) -> Any:
    """Send them, wait until they stand, return the configuration."""
    command = models.GripperCommandRequest(
        kind=models.GripperKindEnum.Onrobot2Fg7,
        onrobot_2fg7=models.OnRobot2FG7GripperCommandRequest(
            grip_direction=models.LinearGripDirectionEnum.External,
            control_kind=control,
            target_grip_width=models.LinearUnit(unit_kind=models.LinearUnitKind.Millimeters, value=width_mm),
            target_force=models.ForceUnit(unit_kind=models.ForceUnitKind.Newtons, value=20.0),
        ),
    )
    assert not sdk.equipment.control_gripper(command).isNotOk()
    before = -1.0
    for _ in range(200):
        told = sdk.equipment.get_gripper_configuration().ok().onrobot_2fg7
        if told.width_inner == before:
            return told
        before = told.width_inner
        time.sleep(0.02)
    raise AssertionError(f"the fingers never stood: {told}")


def test_it_moves_a_piece(tmp_path: Path) -> None:
    joint, line = models.MovementKindEnum.Joint, models.MovementKindEnum.Line
    e7, e5 = (27.5, 137.5), (27.5, 27.5)

    def session(sdk: Any, table: Table) -> None:
        make_ready(sdk)
        fingers(sdk, 38.0, models.OnRobot2FG7ControlKindEnum.Move)
        go(sdk, *e7, 150.0, joint)
        go(sdk, *e7, 30.0, line)
        assert fingers(sdk, 10.0, models.OnRobot2FG7ControlKindEnum.ForceGrip).grip_detected is True
        go(sdk, *e7, 150.0, line)
        go(sdk, *e5, 150.0, line)
        go(sdk, *e5, 30.0, line)
        assert fingers(sdk, 38.0, models.OnRobot2FG7ControlKindEnum.Move).grip_detected is False
        go(sdk, *e5, 150.0, line)
        assert sdk.recovery.recover.get_status().ok().status is models.RobotStatusEnum.Idle

    placement, accidents = on_a_served_table(tmp_path, session)
    assert placement == Placement.from_mapping({square_index("e5"): "p"})
    assert accidents == []


def test_a_controlled_move_beats_and_stops_without(tmp_path: Path) -> None:
    def session(sdk: Any, table: Table) -> None:
        make_ready(sdk)
        # Ten seconds at most at speed 1: so slow that beats matter at the table's speed of 20.
        slow = models.SpeedProfile(max_tooltip_speed=0.02)
        for beats in (True, False):
            x_mm = 100.0 if beats else -100.0
            request = models.ArmPositionUpdateControlledRequest(
                kind=models.ArmPositionUpdateRequestKindEnum.TooltipPositions,
                tooltip_positions=[pose(0.0, 100.0, 150.0), pose(x_mm, 100.0, 150.0)],
                movement_kind=models.MovementKindEnum.Joint,
                speed_profile=slow,
            )
            answer = sdk.movement.position_controlled.set_arm_position_controlled(request).ok()
            assert answer.is_active
            assert answer.heartbeat_interval == 300
            if not beats:
                time.sleep(1.0)
                answer = sdk.movement.position_controlled.send_heartbeat(answer.id).ok()
                assert not answer.is_active
                assert answer.event.kind is models.ArmPositionUpdateKindEnum.Canceled
                continue
            while answer.is_active:
                time.sleep(0.1)
                answer = sdk.movement.position_controlled.send_heartbeat(answer.id).ok()
            assert answer.event.kind is models.ArmPositionUpdateKindEnum.Success
        missing = sdk.movement.position_controlled.send_heartbeat("cmd-77")
        assert missing.isNotOk()
        assert missing.data.error is models.ErrorEnum.NotFound

    on_a_served_table(tmp_path, session)


def test_what_it_refuses(tmp_path: Path) -> None:
    def session(sdk: Any, table: Table) -> None:
        target = models.ArmPositionUpdateRequest(
            kind=models.ArmPositionUpdateRequestKindEnum.JointRotation,
            joint_rotation=models.ArmJointRotations(joints=(0.0, 0.0, 1.57, 0.0, 1.57, 0.0)),
        )

        def refused(response: Any, error: Any, status: int = 409) -> None:
            assert response.isNotOk()
            assert (response.status, response.data.error) == (status, error)
            assert response.data.message

        move = sdk.movement.position.set_arm_position
        refused(move(target), models.ErrorEnum.ApiControlRequired)
        api = models.RobotControlMode(kind=models.RobotControlModeEnum.Api)
        sdk.status.control.set_configuration_control_state(api).ok()
        refused(move(target), models.ErrorEnum.BrakesMustBeDisengaged)
        make_ready(sdk)

        far = sdk.movement.position.move(position=position(0.0, -2000.0, 150.0), orientation=down())
        assert not far.isNotOk()  # a failure rides on a 200
        assert far.data.kind is models.ArmPositionUpdateKindEnum.Failure
        assert far.data.failure.reason

        slow = models.SpeedProfile(max_tooltip_speed=0.01)
        first = threading.Thread(
            target=lambda: sdk.movement.position.move(position(0.0, 0.0, 150.0), down(), speed_profile=slow)
        )
        first.start()
        time.sleep(0.2)
        refused(move(target), models.ErrorEnum.RobotNotIdle)
        assert sdk.recovery.recover.get_status().ok().status is models.RobotStatusEnum.RunningAdHocCommand
        stop = models.EngageEmergencyStopRequest(reason="test")
        assert not sdk.movement.brakes.engage_emergency_stop(stop).isNotOk()
        first.join(5.0)
        assert not first.is_alive()

        told = sdk.recovery.recover.get_status().ok()
        assert (told.failed, told.failure.recovery_type) == (True, models.RecoveryTypeEnum.Recoverable)
        off = models.BrakesState(state=models.BrakesStateEnum.Disengaged)
        refused(sdk.movement.brakes.set_brakes_state(off), models.ErrorEnum.RobotBrakesDisengageFailed)
        assert sdk.recovery.recover.recover().ok().failed is False
        make_ready(sdk)
        assert move(target).ok().kind is models.ArmPositionUpdateKindEnum.Success
        table.arm_device("black").press_estop()
        refused(sdk.recovery.recover.recover(), models.ErrorEnum.RecoveryError)
        table.arm_device("black").release_estop()
        assert sdk.recovery.recover.recover().ok().status is models.RobotStatusEnum.Idle

        def stranger(token: str, kind: Any) -> Any:
            other = Robot(url=sdk._request_manager.host, token=token, robot_kind=kind)
            with other.connection():
                return other.movement.position.get_arm_position()

        refused(stranger("wrong", Robot.RobotKind.Simulated), models.ErrorEnum.AuthorizationRequired, 401)
        live = stranger("edgechess-twin", Robot.RobotKind.Live)
        refused(live, models.ErrorEnum.InvalidParameters, 400)
        assert "software" in live.data.message

    on_a_served_table(tmp_path, session)


def test_the_other_questions_have_answers_that_the_sdk_can_read(tmp_path: Path) -> None:
    def session(sdk: Any, table: Table) -> None:
        make_ready(sdk)
        assert sdk.movement.brakes.get_brakes_state().ok().state is models.BrakesStateEnum.Disengaged
        assert sdk.movement.brakes.brake().ok().state is models.BrakesStateEnum.Engaged
        assert sdk.movement.brakes.unbrake().ok().state is models.BrakesStateEnum.Disengaged
        assert sdk.general.joints.get_joints_state().ok().J5.connectionStatus is models.ConnectionStatus.Ready
        assert (
            sdk.faults.user_faults.trigger_user_fault(
                models.TriggerFaultRequest(message="m", isRecoverable=True)
            ).status
            == 200
        )
        assert sdk.recovery.recover.recover().ok().failed is False
        assert sdk.general.bot_identity.bot_identity().ok().robotId == "twin-black-0"
        assert sdk.io.status.get_io_state().ok().state["Output 1"] == "low"
        high = models.IOStateUpdateRequest(state={"Output 1": "high"})
        assert sdk.io.control.update_io_state(high).ok().state["Output 1"] == "high"
        sdk.payload.set_payload(models.PayloadStateRequest(mass=0.9)).ok()
        assert sdk.payload.get_payload().ok().mass == 0.9
        assert (
            sdk.poses.pose_retrieval.get_flange_position().ok().pose.z
            == sdk.poses.pose_retrieval.get_tooltip_position().ok().pose.z
        )
        assert sdk.routine_editor.routines.list(limit=10, offset=0).ok().items == []
        assert sdk.routine_editor.routines.stop().data.error is models.ErrorEnum.RoutineMustBeRunning
        a = models.CartesianPose(x=0.3, y=0.0, z=0.4, i=0.0, j=0.0, k=0.0, w=1.0)
        b = models.CartesianPose(x=0.0, y=0.0, z=0.0, i=0.0, j=0.0, k=0.0, w=1.0)
        distance = sdk.poses.cartesian_distance.pose_distance(models.PoseDistanceRequest(pose1=a, pose2=b)).ok()
        assert distance.distance == pytest.approx(0.5)
        added = sdk.poses.pose_operations.poses_addition(models.PoseOperationsRequest(pose1=a, pose2=a)).ok()
        assert added.pose.z == pytest.approx(0.8)
        assert "http_requests_total" in sdk.metrics.get_prometheus_metrics().response.data.decode()
        assert len(sdk.equipment.list_tooltips().ok().tooltips) == 2
        gripper = models.SetActiveTooltipRequest(tcp_option="gripper")
        assert sdk.equipment.set_active_tooltip(gripper).ok().name == "Between the fingertips"
        assert (
            sdk.poses.pose_retrieval.get_flange_position().ok().pose.z
            != sdk.poses.pose_retrieval.get_tooltip_position().ok().pose.z
        )

    on_a_served_table(tmp_path, session)

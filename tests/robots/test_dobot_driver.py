"""The driver against a scripted controller, in virtual time: what it sends, what it concludes, what it never does."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from edgechess_robots.arm import ArmState, CheckedPlan, Close, Open, Park, Plan, Report, Step, Straight, Travel, Verify
from edgechess_robots.calibration import Calibration
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.errors import ArmAlarm, ArmLost, ArmRefused, ArmStopped, PlanRefused
from edgechess_robots.kinematics import PARK_DEG
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose

pytestmark = pytest.mark.anyio

LAYOUT = standard_layout()
Controller = Any  # the scripted one of conftest.py


def above(place: str, z_mm: float = 200.0) -> Pose:
    point = LAYOUT.place(place)
    return Pose(point.x_mm, point.y_mm, z_mm)


THREE = Plan((Travel(above("e2"), 250.0), Straight(above("e2", 60.0), 100.0), Straight(above("e2"), 250.0)))
PICK = Plan(
    (
        Travel(above("e2"), 250.0),
        Open(50.0),
        Straight(above("e2", 30.0), 100.0),
        Close(8.0, "e2"),
        Straight(above("e2"), 250.0),
        Verify("e2"),
        Park(250.0),
    )
)


@contextlib.asynccontextmanager
async def running(arm: DobotArm, *, ready: bool = True) -> AsyncIterator[anyio.abc.TaskGroup]:
    with anyio.fail_after(600):
        async with anyio.create_task_group() as group:
            group.start_soon(arm.run)
            if ready:
                await arm.ensure_ready()
            yield group
            group.cancel_scope.cancel()


async def executed(arm: DobotArm, plan: CheckedPlan, into: list[Report], token: int = 1) -> None:
    into.append(await arm.execute(plan, token))


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(100):
        while True:
            if condition():
                return
            await anyio.sleep(0.004)


# --- getting ready ---------------------------------------------------------------------------------------------------


async def test_a_link_begins_with_a_stop_and_getting_ready_moves_nothing(arm: DobotArm, controller: Controller) -> None:
    assert arm.state().mode == "offline"
    async with running(arm, ready=False):
        await until(lambda: arm.state().mode == "starting")
        assert controller.texts() == ["Stop()", "GetErrorID()"]
        await arm.ensure_ready()
        assert controller.texts()[2:] == [
            "RobotMode()",
            "SpeedFactor(100)",
            "SetToolPower(1)",
            "SetToolMode(1)",
            'SetTool485(115200,"N",1)',
            *(f"ModbusClose({i})" for i in range(5)),
            'ModbusCreate("127.0.0.1",60000,1,1)',
            'GetHoldRegs(0,512,3,"U16")',
            'SetHoldRegs(0,257,1,{30},"U16")',
            'GetHoldRegs(0,512,3,"U16")',
        ]
        state = arm.state()
        assert (state.mode, state.parked, state.holding) == ("idle", True, False)
        assert state.tool is not None
        assert state.tool.z_mm == pytest.approx(200.23, abs=0.01)
        assert state.age_s < 0.1
        assert not controller.motions_received()


async def test_from_power_off_outside_tcp_mode_to_idle(arm: DobotArm, controller: Controller) -> None:
    controller.mode = 3
    modes = iter([b"Control Mode Is Not Tcp\t", b"0,{3},RobotMode();"])

    def change(mode: int | None) -> Callable[[str], bytes]:
        def answer(text: str) -> bytes:
            controller.mode = mode
            return f"0,{{}},{text};".encode()

        return answer

    def robot_mode(text: str) -> bytes:
        return next(modes, None) or f"0,{{{controller.mode or 5}}},{text};".encode()

    controller.answers = {"RobotMode": robot_mode, "PowerOn": change(4), "EnableRobot": change(None)}
    async with running(arm):
        order = [t for t in controller.texts() if not t.startswith(("Robot", "Stop", "GetErrorID"))][:3]
        assert order == ["RequestControl()", "PowerOn()", "EnableRobot()"]
        assert arm.state().mode == "idle"


async def test_a_gripper_that_was_never_initialised_is(arm: DobotArm, controller: Controller) -> None:
    controller.registers[0x0200] = 0
    reads = iter([0, 0, 2, 2])

    def registers(text: str) -> bytes:
        return f"0,{{{next(reads, 1)},1,1000}},{text};".encode()

    controller.answers["GetHoldRegs"] = registers
    async with running(arm):
        assert 'SetHoldRegs(0,256,1,{165},"U16")' in controller.texts()


async def test_an_absent_gripper_is_named_with_the_cure(arm: DobotArm, controller: Controller) -> None:
    controller.answers["GetHoldRegs"] = lambda text: f"-1,{{}},{text};".encode()
    async with running(arm, ready=False):
        with pytest.raises(ArmRefused, match=r"no gripper answers .*\(GetHoldRegs.*plugged in.*gripper_slave"):
            await arm.ensure_ready()
        assert arm.state().mode == "starting", "once it is plugged in the arm can be made ready"
        del controller.answers["GetHoldRegs"]
        await arm.ensure_ready()


async def test_an_arm_that_restarts_while_it_holds_something_says_so(arm: DobotArm, controller: Controller) -> None:
    controller.registers.update({0x0201: 2, 0x0202: 200})
    async with running(arm):
        assert arm.state().holding is True
        assert not any("{165}" in text for text in controller.texts())


async def test_frames_of_other_user_and_tool_are_put_back(arm: DobotArm, controller: Controller) -> None:
    controller.overrides = {"user": 2, "tool": 1}
    async with running(arm):
        assert "User(0)" in controller.texts()
        assert "Tool(0)" in controller.texts()


async def test_alarms_are_not_cleared_without_leave(arm: DobotArm, controller: Controller) -> None:
    controller.mode = 9
    controller.answers["GetErrorID"] = lambda text: f"0,{{[[117],[],[],[],[],[],[]]}},{text};".encode()
    async with running(arm, ready=False):
        with pytest.raises(ArmAlarm, match="alarm 117: collision detected") as caught:
            await arm.ensure_ready()
        assert caught.value.codes == (117,)
        assert "ClearError()" not in controller.texts()
        assert arm.state().mode == "fault"
        with pytest.raises(ArmStopped):
            await arm.ensure_ready()


async def test_recovery_clears_enables_and_measures(arm: DobotArm, controller: Controller) -> None:
    controller.mode = 9
    controller.answers["GetErrorID"] = lambda text: f"0,{{[16]}},{text};".encode()

    def clear(text: str) -> bytes:
        controller.mode = None
        return f"0,{{}},{text};".encode()

    controller.answers["ClearError"] = clear
    async with running(arm, ready=False):
        with pytest.raises(ArmAlarm):
            await arm.ensure_ready()
        await arm.recover(confirmed=True)
        assert arm.state().mode == "idle"
        assert "EmergencyStop(0)" not in controller.texts()
        assert not controller.motions_received()


async def test_a_pressed_emergency_stop_is_never_cleared(controller: Controller, calibration: Calibration) -> None:
    controller.mode, controller.overrides = 9, {"safety": 0xFE}
    controller.answers["GetErrorID"] = lambda text: f"0,{{[116]}},{text};".encode()
    arm = DobotArm("white", controller.connect, DobotSettings(clear_alarms_at_start=True), calibration)
    async with running(arm, ready=False):
        for attempt in (arm.ensure_ready, lambda: arm.recover(confirmed=True)):
            with pytest.raises(ArmStopped, match=r"an emergency stop (was|is) pressed"):
                await attempt()
        assert "ClearError()" not in controller.texts()


async def test_an_emergency_stop_during_recovery_wins_although_it_is_released_at_once(
    arm: DobotArm, controller: Controller
) -> None:
    async with running(arm):
        await arm.stop()
        assert not arm.state().emergency

        def pressed(text: str) -> bytes:
            controller.overrides = {"safety": 0xFE}
            return f"0,{{100}},{text};".encode()

        controller.answers["SpeedFactor"] = pressed
        failures: list[str] = []

        async def recover() -> None:
            try:
                await arm.recover(confirmed=True)
            except ArmStopped as stopped:
                failures.append(str(stopped))

        async with anyio.create_task_group() as group:
            group.start_soon(recover)
            await until(lambda: arm.state().emergency)
            controller.overrides = {}
        assert failures == ["arm white was stopped while it got ready"]
        assert arm.state().mode in ("stopped", "fault")
        del controller.answers["SpeedFactor"]
        await arm.recover(confirmed=True)
        assert arm.state().mode == "idle"


async def test_no_controller_is_told_plainly(arm: DobotArm, controller: Controller) -> None:
    controller.refuse_connections = True
    async with running(arm, ready=False):
        with pytest.raises(ArmLost, match="refused by the test"):
            await arm.ensure_ready()


async def test_a_refusal_carries_the_controllers_number(arm: DobotArm, controller: Controller) -> None:
    controller.answers["SpeedFactor"] = lambda text: f"-40001,{{}},{text};".encode()
    async with running(arm, ready=False):
        with pytest.raises(ArmRefused, match="out of range") as caught:
            await arm.ensure_ready()
        assert caught.value.code == -40001


# --- motion ----------------------------------------------------------------------------------------------------------


async def test_a_plan_is_done_when_every_step_was_measured(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        report = await arm.execute(arm.check(PICK), 1)
        assert (report.outcome, report.code, report.completed) == ("done", "done", 7)
        assert [(g.label, g.holding) for g in report.grasps] == [("e2", True), ("e2", True)]
        assert report.grasps[0].width_mm == pytest.approx(19.95)
        names = [t.partition("(")[0] for t in controller.motions_received()]
        assert names == ["MovJ", "MovL", "MovL", "MovJ"]
        assert all("joint={" in t or "pose={" in t for t in controller.motions_received())
        state = arm.state()
        assert (state.mode, state.parked, state.holding) == ("idle", True, True)


async def test_a_slow_feedback_port_is_enough(controller: Controller, calibration: Calibration) -> None:
    controller.period_s = 0.2
    arm = DobotArm("white", controller.connect, DobotSettings(feedback_port=30005), calibration)
    async with running(arm):
        assert (await arm.execute(arm.check(PICK), 1)).outcome == "done"


async def test_firmware_without_queue_ids(arm: DobotArm, controller: Controller) -> None:
    controller.with_ids = False
    async with running(arm):
        began = anyio.current_time()
        report = await arm.execute(arm.check(THREE), 1)
        assert (report.outcome, report.completed) == ("done", 3)
        assert anyio.current_time() - began >= 3 * controller.motion_s  # each was seen to end before the next was sent


async def test_with_ids_the_next_motion_waits_in_the_queue_but_no_more(arm: DobotArm, controller: Controller) -> None:
    async with running(arm) as group:
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(THREE), reports)
        await until(lambda: len(controller.motions_received()) == 2)
        await anyio.sleep(0.3)
        assert len(controller.motions_received()) == 2
        await until(lambda: bool(reports))
        assert reports[0].completed == 3


async def test_missed_grasp_and_lost_piece_leave_a_healthy_arm(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        controller.catches = False
        report = await arm.execute(arm.check(PICK), 1)
        assert (report.outcome, report.code, report.completed) == ("unknown", "missed-grasp", 3)
        assert arm.state().mode == "idle"
        assert "Stop()" not in controller.texts()[1:]
        controller.catches = True
        up = Plan(
            (Straight(above("e2"), 250.0), Open(50.0), Close(8.0, "e2"), Straight(above("e4"), 250.0), Verify("e4"))
        )
        controller.registers[0x0202] = 1000
        checked = arm.check(up)
        reports: list[Report] = []
        async with anyio.create_task_group() as group:
            group.start_soon(executed, arm, checked, reports, 2)
            await until(lambda: bool(arm.state().holding))
            controller.registers[0x0201] = 3
        assert (reports[0].outcome, reports[0].code, reports[0].completed) == ("unknown", "lost-piece", 4)
        assert [g.holding for g in reports[0].grasps] == [True, False]


async def test_a_refused_plan_sends_nothing(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        before = len(controller.received)
        with pytest.raises(PlanRefused, match=r"step 1 \(straight\): out of reach"):
            arm.check(Plan((Travel(above("e2"), 250.0), Straight(Pose(0.0, 1500.0, 200.0), 250.0))))
        with pytest.raises(PlanRefused, match="no steps"):
            arm.check(Plan(()))
        await anyio.sleep(1.0)
        assert len(controller.received) == before


async def test_without_calibration_no_plan_is_checked(controller: Controller, calibration: Calibration) -> None:
    arm = DobotArm("white", controller.connect, DobotSettings(), None)
    async with running(arm):
        with pytest.raises(PlanRefused, match="not calibrated"):
            arm.check(THREE)
        assert arm.state().tool is None
        tip = arm.tip_in_base()
        assert tip.x_mm == pytest.approx(254.97, abs=0.01)
        assert tip.z_mm == pytest.approx(200.23, abs=0.01)
        arm.calibrate(calibration)
        assert arm.check(THREE).duration_s > 1.0


async def test_an_older_lease_is_refused(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        assert (await arm.execute(arm.check(THREE), 5)).outcome == "done"
        assert (await arm.execute(arm.check(Plan((Park(250.0),))), 5)).outcome == "done"
        sent = len(controller.motions_received())
        with pytest.raises(PlanRefused, match="lease 4 is older than 5") as caught:
            await arm.execute(arm.check(THREE), 4)
        assert caught.value.code == "stale-token"
        assert len(controller.motions_received()) == sent


async def test_a_plan_is_only_valid_from_where_it_was_checked(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        checked = arm.check(THREE)
        controller.joints = tuple(j + 2.0 for j in PARK_DEG)
        await anyio.sleep(0.1)
        report = await arm.execute(checked, 1)
        assert (report.outcome, report.code) == ("refused", "moved-since-check")
        assert not controller.motions_received()


async def test_two_plans_at_once_are_refused(arm: DobotArm, controller: Controller) -> None:
    async with running(arm) as group:
        checked = arm.check(THREE)
        reports: list[Report] = []
        group.start_soon(executed, arm, checked, reports)
        await until(lambda: arm.state().mode == "moving")
        assert (await arm.execute(checked, 1)).code == "busy"
        await until(lambda: bool(reports))
        assert reports[0].outcome == "done"


async def test_the_controller_refusing_the_first_motion_is_refused(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        controller.answers["MovJ"] = lambda text: f"-2,{{}},{text};".encode()
        report = await arm.execute(arm.check(THREE), 1)
        assert (report.outcome, report.code, report.completed) == ("refused", "controller-refused", 0)
        assert arm.state().mode == "idle"


async def test_the_controller_refusing_a_later_motion_is_unknown(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        controller.answers["MovL"] = lambda text: f"-1,{{}},{text};".encode()
        report = await arm.execute(arm.check(THREE), 1)
        assert (report.outcome, report.code) == ("unknown", "controller-refused")
        assert arm.state().mode == "stopped"
        assert controller.texts()[-1] == "Stop()"


async def test_an_arm_that_ends_elsewhere_has_not_reached(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        controller.answers["MovJ"] = lambda text: f"0,{{11}},{text};".encode()  # accepted, and nothing happens
        controller.overrides = {"command_id": 11}
        report = await arm.execute(arm.check(Plan((Travel(above("e2"), 250.0),))), 1)
        assert (report.outcome, report.code) == ("unknown", "not-reached")
        assert arm.state().mode == "stopped"


async def test_a_motion_that_never_ends_meets_its_deadline(arm: DobotArm, controller: Controller) -> None:
    controller.motion_s = 1000.0
    async with running(arm):
        checked = arm.check(Plan((Travel(above("e2"), 250.0),)))
        began = anyio.current_time()
        report = await arm.execute(checked, 1)
        assert (report.outcome, report.code) == ("unknown", "deadline")
        assert anyio.current_time() - began < checked.duration_s * 3.0 + 5.0 + 3.0
        assert arm.state().mode == "stopped"


@pytest.mark.parametrize(
    ("fields", "code", "mode"),
    [
        ({"mode": 9, "error": 1}, "alarm", "fault"),
        ({"mode": 11, "collision": 1}, "collision", "fault"),
        ({"mode": 10}, "paused", "fault"),
        ({"safety": 0xBF}, "emergency-stop", "fault"),
        ({"mode": 4}, "disabled", "fault"),
    ],
)
async def test_trouble_in_motion(
    arm: DobotArm, controller: Controller, fields: dict[str, Any], code: str, mode: str
) -> None:
    controller.answers["GetErrorID"] = lambda text: f"0,{{[117]}},{text};".encode()
    async with running(arm) as group:
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(THREE), reports)
        await until(lambda: bool(controller.motions_received()))
        await anyio.sleep(0.1)
        controller.overrides = fields
        await until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", code)
        assert "alarm 117: collision detected" in reports[0].reason
        assert arm.state().mode == mode
        assert "Stop()" in controller.texts()[1:]
        sent = len(controller.motions_received())
        with pytest.raises(ArmStopped):
            await arm.execute(arm.check(THREE), 2)
        assert len(controller.motions_received()) == sent


async def test_a_gripper_that_fails_is_named(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        controller.answers["SetHoldRegs"] = lambda text: f"-1,{{}},{text};".encode()
        report = await arm.execute(arm.check(PICK), 1)
        assert (report.outcome, report.code, report.completed) == ("unknown", "gripper", 1)


# --- stopping --------------------------------------------------------------------------------------------------------


ROUND = Plan(
    (
        Open(50.0, ahead=True),
        Straight(above("e2"), 250.0, 40.0),
        Straight(above("e2", 30.0), 100.0),
        Close(8.0, "e2"),
        Straight(above("e2"), 250.0, 30.5),
        Straight(above("e4"), 250.0, 0.4),
        Straight(above("e4", 31.0), 100.0),
        Verify("e4"),
        Open(30.0),
        Straight(above("e4"), 250.0, 250.0),
        Park(250.0),
    )
)


async def test_corners_are_sent_as_r_and_only_where_a_motion_follows(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        report = await arm.execute(arm.check(ROUND), 1)
        assert (report.outcome, report.completed) == ("done", len(ROUND.steps))
        sent = controller.motions_received()
        assert [text.rpartition("speed=")[2] for text in sent[:-1]] == [
            "250,r=40)", "100)", "250,r=30)", "250)", "100)", "250,r=100)",
        ]  # fmt: skip
        assert "r=" not in sent[-1]


@pytest.mark.parametrize(
    "steps",
    [
        (Straight(above("e2"), 250.0, 20.0),),
        (Straight(above("e2"), 250.0, 20.0), Close(8.0, "e2")),
        (Travel(above("e2"), 250.0, 20.0), Open(50.0)),
    ],
)
async def test_a_corner_before_the_fingers_move_is_refused(steps: tuple[Step, ...], arm: DobotArm) -> None:
    async with running(arm):
        with pytest.raises(PlanRefused, match="a rounded corner that no motion follows"):
            arm.check(Plan(steps))


async def test_fingers_open_while_the_arm_is_on_its_way_and_are_open_before_it_goes_down(
    arm: DobotArm, controller: Controller
) -> None:
    async with running(arm):
        await arm.execute(arm.check(ROUND), 1)
        texts = controller.texts()
        begun = texts.index('SetHoldRegs(0,259,1,{526},"U16")')
        first, second = (texts.index(text) for text in controller.motions_received()[:2])
        assert begun < first < texts.index('GetHoldRegs(0,512,3,"U16")', first) < second


async def test_fingers_that_do_not_open_on_the_way_end_the_plan_before_it_goes_down(
    arm: DobotArm, controller: Controller
) -> None:
    async with running(arm):
        controller.answers["GetHoldRegs"] = lambda text: f"0,{{1,0,400}},{text};".encode()
        report = await arm.execute(arm.check(ROUND), 1)
        assert (report.outcome, report.code) == ("unknown", "gripper")
        assert len(controller.motions_received()) == 1
        assert controller.texts()[-1] == "Stop()"
        assert arm.state().mode == "stopped"


async def test_a_full_hand_is_never_opened_on_the_way(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        plan = Plan(
            (Close(8.0, "e2"), Straight(above("e2"), 250.0), Open(50.0, ahead=True), Straight(above("e4"), 250.0))
        )
        assert (await arm.execute(arm.check(plan), 1)).outcome == "done"
        texts = controller.texts()
        opened = texts.index('SetHoldRegs(0,259,1,{526},"U16")')
        assert 'GetHoldRegs(0,512,3,"U16")' in texts[opened : texts.index(controller.motions_received()[1])]


async def test_a_stop_flushes_a_queue_of_rounded_motions(arm: DobotArm, controller: Controller) -> None:
    plan = Plan((*(Straight(above(place), 250.0, 30.0) for place in ("e2", "e4", "c4", "c2", "e2")), Park(250.0)))
    async with running(arm) as group:
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(plan), reports)
        await until(lambda: len(controller.motions_received()) == 3)
        await arm.stop()
        await until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "stopped")
        sent = len(controller.motions_received())
        assert controller.texts()[-1] == "Stop()"
        await anyio.sleep(10.0)
        assert len(controller.motions_received()) == sent
        assert not controller.motions


async def test_stop_ends_motion_and_holds_until_recovery(arm: DobotArm, controller: Controller) -> None:
    async with running(arm) as group:
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(THREE), reports)
        await until(lambda: len(controller.motions_received()) == 2)
        await arm.stop()
        assert arm.state().mode == "stopped"
        sent = controller.motions_received()
        await until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "stopped")
        with pytest.raises(ArmStopped, match="recover it first"):
            await arm.execute(arm.check(THREE), 2)
        with pytest.raises(ArmStopped):
            await arm.ensure_ready()
        assert controller.motions_received() == sent
        await arm.recover(confirmed=True)
        assert arm.state().mode == "idle"
        assert controller.motions_received() == sent
        assert (await arm.execute(arm.check(THREE), 3)).outcome == "done"


async def test_stop_does_not_wait_for_a_reply_that_is_late(arm: DobotArm, controller: Controller) -> None:
    async with running(arm) as group:
        controller.answers["MovJ"] = lambda _text: None  # swallowed
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(THREE), reports)
        await until(lambda: bool(controller.motions_received()))
        with pytest.raises(ArmLost, match="stop not confirmed"):  # its answer comes out of turn, and ends the link
            await arm.stop()
        assert controller.texts()[-1] == "Stop()"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_cancelled_task_stops_the_arm_even_when_cancelled_twice(arm: DobotArm, controller: Controller) -> None:
    async with running(arm) as group:
        outer, inner = anyio.CancelScope(), anyio.CancelScope()

        async def move() -> None:
            with outer, inner:
                await arm.execute(arm.check(THREE), 1)

        group.start_soon(move)
        await until(lambda: bool(controller.motions_received()))
        inner.cancel()
        outer.cancel()
        await until(lambda: arm.state().mode == "stopped")
        await until(lambda: controller.texts()[-1] == "Stop()")
        sent = len(controller.motions_received())
        await anyio.sleep(0.05)
        assert len(controller.motions_received()) == sent


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_native_task_cancelled_twice_still_stops_the_arm(arm: DobotArm, controller: Controller) -> None:
    import asyncio

    async with running(arm):
        task = asyncio.get_running_loop().create_task(arm.execute(arm.check(THREE), 1))
        await until(lambda: bool(controller.motions_received()))
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await until(lambda: controller.texts()[-1] == "Stop()")
        assert arm.state().mode == "stopped"


async def test_a_process_that_ends_in_motion_says_stop_last(arm: DobotArm, controller: Controller) -> None:
    async with running(arm) as group:
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(THREE), reports)
        await until(lambda: bool(controller.motions_received()))
        await anyio.sleep(0.2)
        group.cancel_scope.cancel()
    assert controller.texts()[-1] == "Stop()"
    assert not reports
    assert all(wire.closed for wire in controller.wires)


async def test_a_stop_that_is_not_acknowledged_becomes_an_emergency_stop(arm: DobotArm, controller: Controller) -> None:
    async with running(arm) as group:
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(THREE), reports)
        await until(lambda: bool(controller.motions_received()))
        controller.answers["Stop"] = lambda text: f"-1,{{}},{text};".encode()
        await arm.stop()
        assert "EmergencyStop(1)" in controller.texts()
        await until(lambda: bool(reports))
        del controller.answers["Stop"]
        controller.motions, controller.joints = [], controller._at(anyio.current_time())[0]
        with pytest.raises(ArmAlarm, match="a person must look first"):
            await arm.recover(confirmed=False)
        await arm.recover(confirmed=True)
        after = controller.texts()[controller.texts().index("EmergencyStop(1)") :]
        assert "EmergencyStop(0)" in after
        assert arm.state().mode == "idle"


async def test_an_arm_that_does_not_stand_is_told_and_held(arm: DobotArm, controller: Controller) -> None:
    async with running(arm) as group:
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(THREE), reports)
        await until(lambda: bool(controller.motions_received()))
        for name in ("Stop", "EmergencyStop"):
            controller.answers[name] = lambda text: f"-1,{{}},{text};".encode()
        with pytest.raises(ArmRefused, match="stop not confirmed: arm white was not seen to stand"):
            await arm.stop()
        await until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "stopped")
        assert arm.state().mode == "stopped"


async def test_a_link_that_goes_while_the_arm_stops_leaves_the_stop_unconfirmed(
    arm: DobotArm, controller: Controller
) -> None:
    async with running(arm) as group:
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(THREE), reports)
        await until(lambda: bool(controller.motions_received()))

        def cut(text: str) -> bytes:
            controller.cut()
            return b""

        controller.answers["Stop"] = cut
        with pytest.raises(ArmLost, match="stop not confirmed"):
            await arm.stop()
        del controller.answers["Stop"]
        await until(lambda: arm.state().mode == "stopped")
        assert controller.motions_received(2) == []


async def test_stop_without_a_link_holds_the_next_one(arm: DobotArm, controller: Controller) -> None:
    controller.refuse_connections = True
    async with running(arm, ready=False):
        with pytest.raises(ArmLost, match="stop not confirmed: arm white is offline"):
            await arm.stop()
        assert arm.state().mode == "offline"
        controller.refuse_connections = False
        await until(lambda: arm.state().mode == "stopped")
        with pytest.raises(ArmStopped):
            await arm.ensure_ready()
        await arm.recover(confirmed=True)
        assert arm.state().mode == "idle"


async def test_a_stop_during_recovery_wins(arm: DobotArm, controller: Controller) -> None:
    async with running(arm) as group:
        await arm.stop()
        failures: list[Exception] = []

        async def recover() -> None:
            try:
                await arm.recover(confirmed=True)
            except ArmStopped as stopped:
                failures.append(stopped)

        def pressed(text: str) -> bytes:
            group.start_soon(arm.stop)
            return f"0,{{100}},{text};".encode()

        controller.answers["SpeedFactor"] = pressed
        group.start_soon(recover)
        await until(lambda: bool(failures))
        assert arm.state().mode == "stopped"


# --- links -----------------------------------------------------------------------------------------------------------


async def test_a_link_lost_in_motion_is_unknown_and_nothing_is_sent_again(
    arm: DobotArm, controller: Controller
) -> None:
    async with running(arm) as group:
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(THREE), reports)
        await until(lambda: bool(controller.motions_received()))
        await anyio.sleep(0.2)
        controller.cut()
        await until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "link-lost")
        await until(lambda: arm.state().mode == "stopped")
        assert controller.connections == 2
        await anyio.sleep(1.0)
        assert controller.texts(2)[0] == "Stop()"
        assert controller.motions_received(2) == []
        await arm.recover(confirmed=True)
        assert controller.motions_received(2) == []
        assert arm.state().mode == "idle"


@pytest.mark.parametrize("name", ["MovJ", "MovL"])
async def test_a_link_lost_on_the_command_itself_is_unknown(arm: DobotArm, controller: Controller, name: str) -> None:
    async with running(arm):
        controller.drop_on = name
        report = await arm.execute(arm.check(THREE), 1)
        assert (report.outcome, report.code) == ("unknown", "link-lost")
        await until(lambda: controller.connections == 2)
        await anyio.sleep(1.0)
        assert controller.motions_received(2) == []


async def test_a_link_lost_at_rest_comes_back_and_wants_to_be_made_ready(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        controller.cut()
        await until(lambda: arm.state().mode == "offline")
        await until(lambda: arm.state().mode == "starting")
        assert controller.texts(2) == ["Stop()", "GetErrorID()"]
        await arm.ensure_ready()
        assert (await arm.execute(arm.check(THREE), 1)).outcome == "done"


def alarmed(controller: Controller, *alarms: int) -> None:
    """The controller is in its error state, and ClearError leads out of it."""
    controller.mode = 9
    controller.answers["GetErrorID"] = lambda text: f"0,{{{list(alarms)}}},{text};".encode()

    def clear(text: str) -> bytes:
        controller.mode = None
        del controller.answers["GetErrorID"]
        return f"0,{{}},{text};".encode()

    controller.answers["ClearError"] = clear


@pytest.mark.parametrize("alarm", [116, 117])
async def test_an_alarm_raised_while_the_link_was_lost_in_motion_needs_a_person(
    arm: DobotArm, controller: Controller, alarm: int
) -> None:
    async with running(arm) as group:
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(THREE), reports)
        await until(lambda: bool(controller.motions_received()))
        alarmed(controller, alarm)
        controller.cut()
        await until(lambda: arm.state().mode == "fault")
        assert f"alarm {alarm}" in (arm.state().alarm or "")
        with pytest.raises(ArmAlarm, match=f"alarm {alarm}.*a person must look first"):
            await arm.recover(confirmed=False)
        assert "ClearError()" not in controller.texts()
        assert controller.motions_received(2) == []
        assert arm.state().mode == "fault"
        await arm.recover(confirmed=True)
        assert "ClearError()" in controller.texts(2)
        assert (arm.state().mode, arm.state().alarm) == ("idle", None)


async def test_why_an_arm_is_held_is_still_true_when_the_button_is_turned_free(
    arm: DobotArm, controller: Controller
) -> None:
    async with running(arm):
        controller.overrides = {"safety": 0xBF}
        await until(lambda: arm.state().emergency)
        controller.overrides = {}
        await until(lambda: not arm.state().emergency)
        assert (arm.state().mode, arm.state().alarm) == ("fault", "an emergency stop was pressed")


async def test_an_emergency_stop_while_the_link_was_lost_at_rest_is_shown_at_once(
    arm: DobotArm, controller: Controller
) -> None:
    async with running(arm):
        alarmed(controller, 116)
        controller.cut()
        await until(lambda: arm.state().mode == "offline")
        await until(lambda: arm.state().mode == "fault")
        assert "alarm 116" in (arm.state().alarm or "")
        with pytest.raises(ArmStopped, match="recover it first"):
            await arm.ensure_ready()
        assert "ClearError()" not in controller.texts()


async def test_a_held_arm_that_meets_an_alarm_keeps_it_until_a_person_comes(
    arm: DobotArm, controller: Controller
) -> None:
    async with running(arm):
        await arm.stop()
        alarmed(controller, 117)
        with pytest.raises(ArmAlarm, match="alarm 117"):
            await arm.recover(confirmed=False)
        assert arm.state().mode == "fault"
        assert "alarm 117" in (arm.state().alarm or "")
        await arm.recover(confirmed=True)
        assert arm.state().mode == "idle"


async def test_a_stop_without_an_alarm_is_released_without_a_person(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        await arm.stop()
        await arm.recover(confirmed=False)
        assert arm.state().mode == "idle"


async def test_stale_feedback_in_motion_stops_the_arm(arm: DobotArm, controller: Controller) -> None:
    async with running(arm) as group:
        reports: list[Report] = []
        group.start_soon(executed, arm, arm.check(THREE), reports)
        await until(lambda: bool(controller.motions_received()))
        await anyio.sleep(0.1)
        controller.frozen = True
        frozen_at = anyio.current_time()
        await until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "stale-feedback")
        assert anyio.current_time() - frozen_at < 1.0
        assert controller.texts(1)[-1] == "Stop()"
        controller.frozen = False
        await until(lambda: arm.state().mode == "stopped")
        assert controller.motions_received(2) == []


async def test_stale_feedback_is_measured_in_frames_not_in_bytes(
    controller: Controller, calibration: Calibration
) -> None:
    arm = DobotArm("white", controller.connect, DobotSettings(), calibration)
    async with running(arm):
        controller.frame = lambda: b"x"  # a byte every 8 ms is no frame
        await until(lambda: arm.state().mode == "offline")


@pytest.mark.parametrize("reply", [b"what?;", b"0,{1},Pause();", b"0,{1},MovJ();0,{2},MovJ();"])
async def test_a_peer_that_breaks_the_protocol_loses_the_link(
    arm: DobotArm, controller: Controller, reply: bytes
) -> None:
    async with running(arm):
        controller.answers["MovJ"] = lambda _text: reply
        report = await arm.execute(arm.check(THREE), 1)
        assert (report.outcome, report.code) == ("unknown", "protocol")
        await until(lambda: controller.connections == 2)
        assert "Stop()" in controller.texts(1)[1:]


async def test_a_command_that_is_never_answered_ends_the_link(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        controller.answers["MovJ"] = lambda _text: None
        report = await arm.execute(arm.check(THREE), 1)
        assert (report.outcome, report.code) == ("unknown", "link-lost")
        assert "MovJ was not answered within 2 s" in report.reason


async def test_replies_split_and_coalesced(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        answer = controller._answer

        def dribble(text: str) -> None:
            data = answer("MovJ", text)
            wire = next(w for w in controller.wires if not w.closed)
            for i in range(len(data)):
                wire.put(data[i : i + 1])

        controller.answers["MovJ"] = dribble
        assert (await arm.execute(arm.check(THREE), 1)).outcome == "done"


# --- watching --------------------------------------------------------------------------------------------------------


async def test_states_show_changes_at_most_a_few_times_a_second(arm: DobotArm, controller: Controller) -> None:
    async with running(arm, ready=False) as group:
        seen: list[tuple[float, str]] = []

        async def watch() -> None:
            async for state in arm.states():
                show(state)

        def show(state: ArmState) -> None:
            seen.append((anyio.current_time(), state.mode))

        group.start_soon(watch)
        await arm.ensure_ready()
        await anyio.sleep(1.0)
        quiet = len(seen)
        await anyio.sleep(5.0)
        assert len(seen) == quiet  # nothing changed, nothing is shown
        await arm.execute(arm.check(THREE), 1)
        await anyio.sleep(1.0)
        assert next(m for _, m in seen) == "offline"
        assert "moving" in [m for _, m in seen]
        assert seen[-1][1] == "idle"
        times = [t for t, _ in seen]
        assert min(b - a for a, b in itertools.pairwise(times)) > 0.2


async def test_trouble_at_rest_is_a_fault(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        controller.overrides = {"mode": 9, "error": 1}
        await until(lambda: arm.state().mode == "fault")
        assert arm.state().alarm == "the controller is in an error state"


async def test_an_arm_guided_by_hand_is_not_ready(arm: DobotArm, controller: Controller) -> None:
    async with running(arm):
        await arm.drag(True)
        assert controller.texts()[-1] == "StartDrag()"
        controller.mode = 6
        await anyio.sleep(0.1)
        assert arm.state().mode == "starting"

        def released(text: str) -> bytes:
            controller.mode = None
            return f"0,{{}},{text};".encode()

        controller.answers["StopDrag"] = released
        await arm.ensure_ready()
        assert arm.state().mode == "idle"


def test_settings_name_what_is_wrong() -> None:
    for change, text in (
        ({"feedback_port": 30003}, "feedback_port is 30003"),
        ({"park_joints_deg": (1.0,)}, "park_joints_deg has 1"),
        ({"speed_factor_percent": 0}, "speed_factor_percent is 0"),
        ({"gripper_force_percent": 10}, "gripper_force_percent is 10: expected 20 to 100"),
        ({"tolerance_mm": 0.0}, "tolerance_mm is 0.0"),
    ):
        with pytest.raises(ValueError, match=text):
            dataclasses.replace(DobotSettings(), **change)


@pytest.mark.parametrize(
    ("port", "period", "stale"), [(30004, None, 0.1), (30005, None, 0.6), (30006, None, 3.0), (30006, 0.05, 0.15)]
)
def test_how_old_a_frame_may_be(port: int, period: float | None, stale: float) -> None:
    settings = DobotSettings(feedback_port=port, feedback_period_s=period)
    assert settings.stale_s == pytest.approx(stale)


# --- what a person got wrong ------------------------------------------------------------------------------------------


async def test_a_controller_that_keeps_out_of_tcp_mode_is_named_with_the_cure(
    arm: DobotArm, controller: Controller
) -> None:
    controller.answers = {
        "RobotMode": lambda _text: b"Control Mode Is Not Tcp\t",
        "RequestControl": lambda text: f"-1,{{}},{text};".encode(),
    }
    async with running(arm, ready=False):
        with pytest.raises(ArmRefused, match=r"not in TCP mode: choose TCP/IP control in its app.*\(RequestControl"):
            await arm.ensure_ready()


async def test_an_address_where_nothing_is_or_something_else_is_named_with_the_cure(
    arm: DobotArm, controller: Controller
) -> None:
    controller.refuse_connections = True
    async with running(arm, ready=False):
        with pytest.raises(ArmLost, match=r"offline: no connection \(refused by the test\): is that the controller's"):
            await arm.ensure_ready()
        controller.refuse_connections = False
        controller.answers = {"Stop": lambda _text: b"SSH-2.0-OpenSSH_9.6;"}
        with pytest.raises(ArmLost, match=r"offline: no reply of the protocol: 'SSH-2.0.*is that a Dobot controller"):
            await arm.ensure_ready()

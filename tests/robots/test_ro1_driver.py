"""The RO1 driver against the software robot: the order of getting ready, the heart, both kinds of motion, every way to stop."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest
import trio.lowlevel

from edgechess_board.placement import Placement, square_index
from edgechess_robots.arm import Close, Open, Park, Plan, Report, Straight, Travel, Verify
from edgechess_robots.calibration import nominal
from edgechess_robots.errors import ArmAlarm, ArmLost, ArmRefused, ArmStopped, RobotError
from edgechess_robots.kinematics import RO1, RO1_PARK_DEG
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose
from edgechess_robots.shapes import STAUNTON_6
from edgechess_robots.standard_bots.client import Token
from edgechess_robots.standard_bots.driver import StandardBotsArm
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_twin import ro1_protocol
from edgechess_twin.arm_model import EXACT
from edgechess_twin.arm_wire import WireFaults
from edgechess_twin.faults import NONE, Faults
from edgechess_twin.memory_stream import MemoryStream, memory_stream_pair
from edgechess_twin.ro1_device import TOKEN, Ro1Device
from edgechess_twin.ro1_http import HttpAnswer
from edgechess_twin.ro1_protocol import Refused, TooltipPose, position_answer
from edgechess_twin.world import World

pytestmark = pytest.mark.anyio

LAYOUT = standard_layout()
START = Placement.from_fen("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR")
V = 250.0
SETTINGS = StandardBotsSettings(robot_kind="simulated")


def over(place: str, z_mm: float) -> Pose:
    point = LAYOUT.place(place)
    return Pose(point.x_mm, point.y_mm, z_mm, 180.0, 0.0, 0.0)


DEGREES = position_answer((4000.0,) * 6, TooltipPose((400.0, 0.0, 250.0), (0.0, 0.5**0.5, 0.0, 0.5**0.5)))
"""A position whose joints are no radians."""

HOME = Plan((Park(V),))
LONG = Plan((Travel(over("a1", 250.0), 150.0), Straight(over("h8", 250.0), 150.0)))
SLOW = Plan((Travel(over("a8", 250.0), 50.0),))  # longer than a stop waits for the arm to stand
PICK = Plan(
    (
        Travel(over("e2", 150.0), V),
        Open(30.0),
        Straight(over("e2", 30.0), 120.0),
        Close(8.0, "e2"),
        Straight(over("e2", 150.0), V),
        Straight(over("e4", 150.0), V),
        Straight(over("e4", 31.0), 120.0),
        Verify("e2"),
        Open(28.0),
        Straight(over("e4", 150.0), V),
        Park(V),
    )
)


class Pair:
    def __init__(
        self, world: World, device: Ro1Device, group: anyio.abc.TaskGroup, settings: StandardBotsSettings, more: Any
    ) -> None:
        self.world, self.device, self.group = world, device, group
        self.controller: Any = device.controller
        self.paths: list[str] = []
        self.plugged = True
        self._wires: list[MemoryStream] = []
        calibration = nominal(LAYOUT.site("white").base, arm_serial="twin", date=datetime.date(2024, 1, 1))
        token = more.pop("token", Token(TOKEN))
        self.arm = StandardBotsArm("white", self.connect, settings, token, calibration, **more)
        routes: Any = device._routes
        answer = routes.answer

        async def heard(request: Any) -> Any:
            self.paths.append(f"{request.method} {request.path.removeprefix('/api/v1')}")
            return await answer(request)

        routes.answer = heard

    async def connect(self, port: int) -> MemoryStream:
        if not self.plugged:
            raise ConnectionRefusedError("unplugged by the test")
        near, far = memory_stream_pair()
        self._wires.append(near)
        self.group.start_soon(self.device.serve, port, far)
        return near

    def unplug(self) -> None:
        self.plugged = False
        while self._wires:
            self._wires.pop().kill()

    async def run(self, plan: Plan, token: int = 1) -> Report:
        with anyio.fail_after(300.0):
            return await self.arm.execute(self.arm.check(plan), token)

    async def begin(self, plan: Plan) -> list[Report]:
        reports: list[Report] = []

        async def execute() -> None:
            reports.append(await self.run(plan, 2))

        self.group.start_soon(execute)
        await self.until(lambda: self.controller.active is not None)
        await anyio.sleep(1.0)
        assert self.controller.active is not None
        return reports

    async def until(self, condition: Any) -> None:
        with anyio.fail_after(60.0):
            while not condition():  # noqa: ASYNC110 - virtual time
                await anyio.sleep(0.01)


@asynccontextmanager
async def pair(
    settings: StandardBotsSettings = SETTINGS,
    *,
    faults: Faults = NONE,
    ready: bool = True,
    device: Any = None,
    **more: Any,
) -> AsyncIterator[Pair]:
    world = World(LAYOUT, STAUNTON_6, seed=1, placement=START)
    async with anyio.create_task_group() as group:
        robot = Ro1Device("white", world, LAYOUT.site("white"), hidden=EXACT, faults=faults, **(device or {}))
        found = Pair(world, robot, group, settings, more)
        group.start_soon(robot.run)
        group.start_soon(found.arm.run)
        if ready:
            await found.arm.ensure_ready()
            assert (await found.run(HOME)).outcome == "done"
        yield found
        group.cancel_scope.cancel()


# --- getting ready ---------------------------------------------------------------------------------------------------


async def test_getting_ready_goes_by_the_reference_and_moves_nothing() -> None:
    async with pair(ready=False) as p:
        await p.until(lambda: p.arm.state().mode == "starting")
        assert not [path for path in p.paths if path.startswith("POST")], "a new link commands nothing"
        where = p.controller.joints()
        await p.arm.ensure_ready()
        assert [path for path in p.paths if path.startswith("POST")] == [
            "POST /status/control-mode",
            "POST /movement/brakes",
        ]
        assert (p.controller.mode, p.controller.braked, p.controller.joints()) == ("api", False, where)
        state = p.arm.state()
        assert (state.mode, state.holding, state.parked, state.alarm) == ("idle", False, False, None)
        assert state.joints_deg == pytest.approx(where)


async def test_a_wrong_token_is_named() -> None:
    async with pair(ready=False, token=Token("wrong")) as p:
        with pytest.raises(ArmLost, match=r"arm white is offline: .* the token is wrong or the Developer API is off"):
            await p.arm.ensure_ready()
        assert p.arm.state().mode == "offline"


@pytest.mark.parametrize("fitted", ["none_connected", "robotiq_2f"])
async def test_a_gripper_that_is_absent_or_another_is_named(fitted: str) -> None:
    async with pair(ready=False, device={"gripper": fitted}) as p:
        found = "no gripper" if fitted == "none_connected" else "a robotiq_2f"
        with pytest.raises(ArmRefused, match=f"the robot has {found}, the settings say onrobot_2fg7: attach it"):
            await p.arm.ensure_ready()
        assert p.arm.state().mode == "starting"


async def test_a_stroke_that_the_gripper_has_not_is_named() -> None:
    async with pair(dataclasses.replace(SETTINGS, gripper_stroke_mm=75.0), ready=False) as p:
        with pytest.raises(ArmRefused, match="opens to 39 mm as it is mounted, gripper_stroke_mm is 75"):
            await p.arm.ensure_ready()


async def test_a_tooltip_that_is_not_where_it_was_said_is_named() -> None:
    async with pair(dataclasses.replace(SETTINGS, tooltip_mm=0.0), ready=False) as p:
        p.controller.choose_tooltip(True)  # between the fingertips
        with pytest.raises(
            ArmRefused, match=r"tooltip is 180 mm and 0\.0° from where an RO1 with a tooltip of 0 mm has it"
        ):
            await p.arm.ensure_ready()


async def test_the_length_of_the_active_tooltip_is_learnt_from_the_robot() -> None:
    async with pair(ready=False) as p:
        p.controller.choose_tooltip(False)  # the bare flange
        await p.arm.ensure_ready()
        bare = p.arm.tip_in_base()
    async with pair(ready=False) as p:
        p.controller.choose_tooltip(True)  # between the fingertips
        await p.arm.ensure_ready()
        assert p.arm.tip_in_base().position_mm == pytest.approx(bare.position_mm, abs=1e-6)


async def test_control_that_was_taken_away_is_taken_back_by_getting_ready() -> None:
    async with pair() as p:
        p.controller.take_control("routine_editor")
        report = await p.run(LONG)
        assert (report.outcome, report.code, report.completed) == ("refused", "api_control_required", 0)
        assert p.arm.state().mode == "starting"
        await p.arm.ensure_ready()
        assert (await p.run(HOME)).outcome == "done"


# --- motion ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(Faults(segment_split=0.5, feedback_stall=0.2), id="bad-wire"),
        pytest.param(Faults(heartbeat_lost=0.2), id="lost-beats"),
    ],
)
async def test_a_piece_is_moved_over_a_bad_wire(faults: Faults) -> None:
    async with pair(faults=faults) as p:
        report = await p.run(PICK, 2)
        assert (report.outcome, report.code) == ("done", "done"), report
        after = p.world.placement()
        assert (after.squares[square_index("e2")], after.squares[square_index("e4")]) == (None, "P")
        assert all(grasp.holding and grasp.width_mm == pytest.approx(16.0) for grasp in report.grasps)


async def test_a_motion_whose_beginning_is_told_too_late_is_over_and_not_begun_again() -> None:
    """The heart cannot beat before the robot has said for what: it ends the motion, and nobody begins it anew."""
    async with pair(dataclasses.replace(SETTINGS, stale_s=4.0)) as p:  # every answer will be late
        p.device.wire.faults = WireFaults(slow_reply=1.0, slow_reply_s=0.5)
        report = await p.run(LONG, 2)
        assert (report.outcome, report.code, report.completed) == ("unknown", "motion-failed", 0)
        assert "canceled" in report.reason
        assert (p.arm.state().mode, p.controller.active) == ("stopped", None)
        assert len([path for path in p.paths if path.endswith("/controlled")]) == 2  # the way home, and this one


async def test_the_end_of_a_motion_is_heard_of_at_once() -> None:
    async with pair() as p:
        ended: list[float] = []
        waited: list[float] = []
        move, is_done = p.controller.move, p.controller._over

        def moves(*args: Any) -> Any:
            if ended:
                waited.append(anyio.current_time() - ended[-1])
            return move(*args)

        def is_over(*args: Any) -> None:
            ended.append(anyio.current_time())
            is_done(*args)

        p.controller.move, p.controller._over = moves, is_over
        places = [Straight(over(place, 150.0), V) for place in ("e4", "e2", "e4")]
        assert (await p.run(Plan((Travel(over("e2", 150.0), V), *places)), 2)).outcome == "done"
        assert waited
        assert max(waited) < 0.02


@pytest.mark.parametrize("position", [None, {}, DEGREES], ids=["none", "empty", "degrees"])
async def test_what_a_beat_says_of_the_position_is_not_needed(position: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ro1_protocol.event_answer
    monkeypatch.setattr(ro1_protocol, "event_answer", lambda kind, **more: told(kind, **{**more, "position": position}))
    async with pair() as p:
        report = await p.run(Plan((Travel(over("e2", 150.0), V), Straight(over("e4", 150.0), V))), 2)
        assert (report.outcome, report.code) == ("done", "done"), report


async def test_an_older_release_is_moved_without_a_heart_in_pieces_that_are_over_soon() -> None:
    async with pair(device={"release": "2024.10"}) as p:
        assert p.arm.state().dead_man is False
        lengths: list[float] = []
        began = 0.0
        set_off, over = p.controller._set_off, p.controller._over

        def sets_off(*args: Any, **more: Any) -> None:
            nonlocal began
            began = anyio.current_time()
            set_off(*args, **more)

        def is_over(*args: Any) -> None:
            lengths.append(anyio.current_time() - began)
            over(*args)

        p.controller._set_off, p.controller._over = sets_off, is_over
        report = await p.run(PICK, 2)
        assert (report.outcome, report.code) == ("done", "done"), report
        assert p.world.accidents == []
        assert p.world.placement().squares[square_index("e4")] == "P"
        assert len(lengths) > 20
        assert max(lengths) <= 0.5
        tried = [path for path in p.paths if path.endswith("/controlled")]
        assert len(tried) == 2, "asked twice before anything moved, and then remembered"
        assert "POST /movement/position/arm" in p.paths


async def test_a_live_robot_without_a_heart_moves_only_where_somebody_said_so() -> None:
    settings = dataclasses.replace(SETTINGS, robot_kind="live", live=True)
    for said in (False, True):
        async with pair(
            dataclasses.replace(settings, live_without_heartbeat=said), ready=False, device={"release": "2024.10"}
        ) as p:
            routes: Any = p.device._routes
            routes._require_simulated = lambda _request: None
            if said:
                await p.arm.ensure_ready()
                assert (p.arm.state().mode, p.arm.state().dead_man) == ("idle", False)
                continue
            with pytest.raises(
                ArmRefused, match=r"release/2024\.10.* has no controlled motions.*live_without_heartbeat"
            ):
                await p.arm.ensure_ready()
            assert (p.arm.state().mode, p.controller.braked) == ("starting", True)


async def test_whether_it_has_a_heart_is_a_fact_of_the_link() -> None:
    async with pair(ready=False) as p:
        await p.until(lambda: p.arm.state().mode == "starting")
        assert p.arm.state().dead_man is None, "nobody has looked yet"
        await p.arm.ensure_ready()
        assert p.arm.state().dead_man is True
        p.unplug()
        await p.until(lambda: p.arm.state().mode == "offline")
        assert p.arm.state().dead_man is None


class NotFound:
    """Answers 404 to so many requests for a path that ends so, from now on."""

    def __init__(self, p: Pair, ending: str, times: int) -> None:
        self.left = times
        routes: Any = p.device._routes
        answer = routes.answer

        async def answers(request: Any) -> Any:
            if request.path.endswith(ending) and self.left > 0:
                self.left -= 1
                return HttpAnswer.of({"error": "not_found", "message": "no such endpoint"}, 404)
            return await answer(request)

        routes.answer = answers


@pytest.mark.parametrize("ending", ["/controlled", "/heartbeat"])
async def test_one_answer_of_not_found_takes_no_heart_away(ending: str) -> None:
    async with pair() as p:
        NotFound(p, ending, 1)
        report = await p.run(LONG, 2)
        assert (report.outcome, report.code) == ("done", "done"), report
        assert "POST /movement/position/arm" not in p.paths
        assert p.arm.state().dead_man is True


async def test_one_answer_of_not_found_takes_no_heart_away_from_a_release_without_a_name() -> None:
    async with pair(ready=False) as p:
        found = NotFound(p, "/controlled", 1)
        build = "edgechess_robots.standard_bots.readiness.promises_heart"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(build, lambda _build: False)
            await p.arm.ensure_ready()
        assert (found.left, p.arm.state().dead_man) == (0, True)
        assert p.controller.active is None


async def test_a_heart_that_is_lost_between_two_motions_ends_the_plan() -> None:
    """There is no going on without it: what moves would be another machine than the one that was made ready."""
    async with pair() as p:
        NotFound(p, "/controlled", 2)
        report = await p.run(LONG, 2)
        assert (report.outcome, report.code, report.completed) == ("refused", "heart-lost", 0)
        assert "POST /movement/position/arm" not in p.paths
        assert (p.arm.state().mode, p.arm.state().dead_man) == ("starting", None)
        await p.arm.ensure_ready()
        assert p.arm.state().dead_man is True
        assert (await p.run(HOME, 3)).outcome == "done"


async def test_fingers_open_on_the_way_and_stand_before_whatever_follows() -> None:
    ahead = Plan((Open(20.0), Open(34.0, ahead=True), Travel(over("e2", 150.0), V), Straight(over("e2", 60.0), V)))
    async with pair() as p:
        report = await p.run(ahead, 2)
        assert (report.outcome, report.completed) == ("done", 4)
        opens = [index for index, path in enumerate(p.paths) if path.endswith("/end-effector/control")]
        after = p.paths[opens[-1] + 1 :]
        begun = after.index("POST /movement/position/arm/controlled")
        assert "GET /equipment/end-effector/configuration" not in after[:begun], "it waited for the fingers"
        second = after.index("POST /movement/position/arm/controlled", begun + 1)
        assert "GET /equipment/end-effector/configuration" in after[begun:second]


async def test_a_robot_that_is_busy_while_its_fingers_move_is_asked_again_when_they_stand() -> None:
    ahead = Plan((Open(20.0), Open(34.0, ahead=True), Travel(over("e2", 150.0), V)))
    async with pair() as p:
        move, refused = p.controller.move, []

        def moves(*args: Any) -> Any:
            if p.controller.gripper.width_mm(anyio.current_time()) < 33.9:
                refused.append(True)
                raise Refused("robot_not_idle", "its fingers move")
            return move(*args)

        p.controller.move = moves
        report = await p.run(ahead, 2)
        assert (report.outcome, report.completed, len(refused)) == ("done", 3, 1)


async def test_a_stall_of_our_own_is_not_the_robots_silence() -> None:
    async with pair() as p:
        clock: Any = trio.lowlevel.current_clock()
        clock.autojump_threshold = float("inf")
        clock.jump(1.8)  # nothing of ours ran in between, as when a plan is long in the making
        clock.autojump_threshold = 0.0
        await anyio.sleep(3.0)
        assert p.arm.state().mode == "idle"
        assert p.arm.state().age_s < 0.6


async def test_the_heart_beats_often_enough_and_only_during_motion() -> None:
    async with pair() as p:
        p.paths.clear()
        report = await p.run(LONG)
        beats = [path for path in p.paths if path.endswith("/heartbeat")]
        assert report.outcome == "done"
        assert len(beats) >= report.duration_s / 0.15
        p.paths.clear()
        await anyio.sleep(3.0)
        assert not [path for path in p.paths if path.startswith("POST")]


async def test_an_arm_that_differs_from_its_model_is_put_right_at_travel_height() -> None:
    """The driver's chain is 6 mm wrong in the upper arm: a travel by its joints ends beside the square."""
    chain = dataclasses.replace(RO1, a2_mm=-584.7)
    settings = dataclasses.replace(SETTINGS, park_joints_deg=RO1_PARK_DEG)
    async with pair(settings, chain=chain) as p:
        assert (await p.run(Plan((Travel(over("e4", 150.0), V),)))).outcome == "done"
        tool = p.arm.state().tool
        assert tool is not None
        assert (tool.x_mm, tool.y_mm, tool.z_mm) == pytest.approx((27.5, -27.5, 150.0), abs=1.0)
        assert len([path for path in p.paths if path.endswith("/controlled")]) == 3  # home, travel, the rest of the way


# --- stopping --------------------------------------------------------------------------------------------------------


async def test_the_robot_stops_when_our_process_dies() -> None:
    async with pair() as p:
        await p.begin(LONG)
        p.unplug()  # whatever the driver does now reaches nobody
        await anyio.sleep(0.45)  # a beat and a half
        await p.until(lambda: p.controller.active is None)
        where = p.controller.joints()
        await anyio.sleep(20.0)
        assert p.controller.joints() == where
        state = p.arm.state()
        assert (state.mode, state.age_s > 20.0) == ("offline", True)


async def test_a_stop_ends_the_motion_within_a_second() -> None:
    async with pair() as p:
        reports = await p.begin(LONG)
        began = anyio.current_time()
        await p.arm.stop()
        assert anyio.current_time() - began < 1.0
        assert p.controller.active is None
        await p.until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "stopped")
        assert "POST /routine-editor/stop" in p.paths


async def test_a_stop_during_a_motion_without_a_heart_acts_within_a_piece() -> None:
    async with pair(device={"release": "2024.10"}) as p:
        reports = await p.begin(SLOW)
        began = anyio.current_time()
        await p.arm.stop()
        assert anyio.current_time() - began < 1.0
        assert p.controller.active is None
        where = p.controller.joints()
        await p.until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "stopped")
        await anyio.sleep(10.0)
        assert (p.controller.joints(), p.arm.state().mode) == (where, "stopped")


async def test_a_robot_without_a_heart_moves_no_further_than_a_piece_when_our_process_dies() -> None:
    async with pair(device={"release": "2024.10"}) as p:
        await p.begin(SLOW)
        p.unplug()
        await anyio.sleep(0.5)
        where = p.controller.joints()
        assert p.controller.active is None
        await anyio.sleep(20.0)
        assert p.controller.joints() == where


def deaf(p: Pair) -> None:
    """A robot that goes on although its client's heart is still."""
    p.controller._unheard = lambda _command: None


async def test_a_stop_that_the_robot_does_not_follow_says_that_it_was_not_seen() -> None:
    async with pair() as p:
        deaf(p)
        reports = await p.begin(SLOW)
        with pytest.raises(ArmRefused, match=r"stop not confirmed: .* press its emergency stop"):
            await p.arm.stop()
        await p.until(lambda: bool(reports))
        assert reports[0].outcome == "unknown"
        assert p.arm.state().mode == "stopped"
        assert "POST /movement/brakes/emergency-stop" not in p.paths


async def test_power_is_cut_as_the_last_resort_only_where_that_is_allowed() -> None:
    settings = dataclasses.replace(SETTINGS, emergency_stop_as_last_resort=True)
    async with pair(settings) as p:
        deaf(p)
        reports = await p.begin(SLOW)
        await p.arm.stop()  # returns: without power it was seen to stand
        assert "POST /movement/brakes/emergency-stop" in p.paths
        await p.until(lambda: bool(reports))
        assert p.controller.braked
        with pytest.raises(ArmAlarm, match="a person must look first"):
            await p.arm.recover(confirmed=False)
        await p.arm.recover(confirmed=True)
        assert p.arm.state().mode == "idle"


async def test_the_emergency_stop_button() -> None:
    async with pair() as p:
        reports = await p.begin(LONG)
        p.device.press_estop()
        await p.until(lambda: bool(reports))
        assert (reports[0].outcome, reports[0].code) == ("unknown", "emergency-stop")
        assert "EmergencyStop" in str(p.arm.state().alarm)
        with pytest.raises(RobotError, match="emergency stop"):
            await p.arm.recover(confirmed=True)  # while it is pressed
        assert p.arm.state().mode == "fault"
        p.device.release_estop()
        where = p.controller.joints()
        await anyio.sleep(5.0)
        assert (p.controller.joints(), p.arm.state().mode) == (where, "fault"), "turning a button free moves nothing"
        await p.arm.recover(confirmed=True)
        assert (p.arm.state().mode, p.controller.joints()) == ("idle", where)
        assert (await p.run(HOME, 3)).outcome == "done"


async def test_a_failure_after_the_word_needs_another_word() -> None:
    async with pair() as p:
        p.device.collide()
        await p.until(lambda: p.arm.state().mode == "fault")
        recover = p.controller.recover

        def recover_and_hit_again() -> Any:
            p.controller.recover = recover
            ended = recover()
            p.controller.fail("ProtectiveStop", "hit again")
            return ended

        p.controller.recover = recover_and_hit_again
        with pytest.raises(ArmAlarm, match="hit again"):
            await p.arm.recover(confirmed=True)
        assert p.arm.state().mode == "fault"


async def test_a_collision_between_two_links_is_shown() -> None:
    async with pair() as p:
        reports = await p.begin(LONG)
        p.unplug()
        p.device.collide()
        await p.until(lambda: bool(reports))
        p.plugged = True
        await p.until(lambda: p.arm.state().mode != "offline")
        assert p.arm.state().mode == "fault"
        with pytest.raises(ArmStopped, match="recover it first"):
            await p.arm.ensure_ready()


async def test_hand_guiding_is_the_robots_own_and_measured() -> None:
    async with pair() as p:
        with pytest.raises(ArmRefused, match="button at its wrist"):
            await p.arm.drag(True)
        await p.device.guide((0.0, 0.0, 20.0))
        with anyio.fail_after(20.0):
            tip = await p.arm.measure_tip()
        base = LAYOUT.site("white").base
        there = base @ tip
        assert (there.x_mm, there.y_mm, there.z_mm) == pytest.approx((0.0, 0.0, 20.0), abs=0.5)


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"robot_kind": "live"}, "a real arm would move; set live = true"),
        ({"robot_kind": "real"}, 'expected "live" or "simulated"'),
        ({"tool_length_mm": 0.18}, "tool_length_mm is 0.18: expected 5 to 1000; are these metres"),
        ({"max_tool_speed_mm_s": 1000.0}, "an RO1 allows 750"),
        ({"beat_s": 0.3}, "the robot stops after 300 ms"),
        ({"stale_s": 0.3}, "at least twice poll_s"),
        ({"park_joints_deg": (0.0,)}, "park_joints_deg has 1 angles"),
        ({"gripper_force_n": 0.0}, "gripper_force_n is 0: expected a positive number"),
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        StandardBotsSettings(**{"robot_kind": "simulated", **wrong})

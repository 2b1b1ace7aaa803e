"""The end in order: what is under way comes to its next safe place, arms go home, and what could not is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest

from edgechess_arm_controller import component, settings
from edgechess_arm_controller.settings import Settings
from edgechess_cli.child_process import STOP_TIMEOUT_S
from edgechess_cli.component_catalogue import room_of
from edgechess_kit.messages import ArmControl, ArmJob

pytestmark = pytest.mark.anyio
START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
E4 = ArmJob(
    job_id="e4",
    kind="move",
    session_id="s",
    before=START,
    after="rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1",
    lan="e2e4",
)
BEFORE = "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1"
CAPTURE = ArmJob(
    job_id="exd5", kind="move", session_id="s", before=BEFORE, after="4k3/8/8/3P4/8/8/8/4K3 b - - 0 1", lan="e4d5"
)


async def grasping(desk: Any, job: ArmJob) -> None:
    """The job's first piece is in White's fingers."""
    await until(lambda: desk.arms["white"].mode == desk.arms["black"].mode == "idle")
    await desk.publish(desk.topics.arm_job, job)
    await until(lambda: desk.arms["white"].holding is not None)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while True:
            if condition():
                return
            await anyio.sleep(0.1)


async def test_a_piece_in_the_fingers_is_put_down_and_the_arm_parks(desk: Any) -> None:
    async with desk.running() as controller:
        await grasping(desk, E4)
        await controller.end(anyio.Event())
        assert desk.arms["white"].parked
        assert desk.bench.pieces["e4"] == "P"
        assert desk.results("e4")[0].outcome == "done"
        stops = [what for _, _, what in desk.bench.did if what == "stop"]
    assert not stops, "nothing had to be stopped"


async def test_of_a_capture_no_second_piece_is_taken_up(desk: Any) -> None:
    desk.__init__(fen=BEFORE)
    async with desk.running() as controller:
        await grasping(desk, CAPTURE)
        await controller.end(anyio.Event())
        assert desk.arms["white"].parked
        assert desk.bench.pieces["tray-white-0"] == "p"
        assert desk.bench.pieces["e4"] == "P"
        (result,) = desk.results("exd5")
    assert (result.outcome, result.code, result.parked) == ("unknown", "ending", True)
    assert [grasp.released for grasp in result.grasps] == [True]


async def test_a_job_that_comes_now_is_the_next_process_to_answer(desk: Any) -> None:
    async with desk.running() as controller:
        await grasping(desk, E4)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(controller.end, anyio.Event())
            await anyio.sleep(0.1)
            await desk.publish(desk.topics.arm_job, msgspec.structs.replace(E4, job_id="later"))
        assert desk.results("later") == []
    assert [entry for entry in desk.entries() if entry["key"] == "later"] == []


async def test_arms_that_a_person_stopped_are_not_moved(desk: Any) -> None:
    async with desk.running() as controller:
        await grasping(desk, E4)
        await desk.publish(desk.topics.arm_control, ArmControl(command="stop", request_id="1"))
        await desk.result("e4")
        moved, now = desk.bench.motions(), anyio.current_time()
        await controller.end(anyio.Event())
        assert anyio.current_time() - now < 1.0
        assert desk.bench.motions() == moved
        assert not desk.arms["white"].parked


@pytest.mark.parametrize("hurried", [False, True], ids=["its time is up", "hurried"])
async def test_what_does_not_come_home_is_said(desk: Any, hurried: bool, caplog: pytest.LogCaptureFixture) -> None:
    desk.__init__(settings=Settings(end_wait_s=1.0 if not hurried else 40.0))
    async with desk.running() as controller:
        await grasping(desk, E4)
        hurry, began = anyio.Event(), anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(controller.end, hurry)
            await anyio.sleep(0.5)
            if hurried:
                hurry.set()
        assert anyio.current_time() - began < 1.5
        assert not desk.arms["white"].parked
    assert "arm white is left out of its park, its tool at" in caplog.text
    assert "with the white pawn in its gripper" in caplog.text
    assert desk.arms["white"]._stopped, "cancelled, the driver stops it"


async def test_at_rest_nothing_is_waited_for(desk: Any) -> None:
    async with desk.running() as controller:
        await until(lambda: desk.arms["white"].mode == desk.arms["black"].mode == "idle")
        moved, now = desk.bench.motions(), anyio.current_time()
        await controller.end(anyio.Event())
        assert anyio.current_time() - now < 0.2
        assert desk.bench.motions() == moved


def test_the_recipe_grants_more_time_than_the_end_may_take() -> None:
    room = room_of("io.edgechess.ArmController")
    assert room is not None
    last_s = component.STOP_WAIT_S + component.LAST_WORDS_S
    assert room.shutdown_s > settings.END_WAIT_MAX_S + last_s
    assert Settings().end_wait_s + last_s < STOP_TIMEOUT_S

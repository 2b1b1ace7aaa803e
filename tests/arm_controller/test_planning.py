"""A long plan keeps nobody waiting: others have their turns while it is made, and a stop ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import chess
import pytest

from edgechess_kit.messages import ArmControl, ArmJob
from edgechess_robots.arm import CheckedPlan, Plan
from edgechess_robots.gradual import Gradual
from edgechess_robots.poses import Pose

pytestmark = pytest.mark.anyio
SLICES = 500
E4 = ArmJob(
    job_id="e4",
    kind="move",
    session_id="s",
    before=chess.STARTING_FEN,
    after="rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1",
    lan="e2e4",
)


class Turns:
    """Checks White's plans in many slices, and counts whose turn it was."""

    def __init__(self, arm: Any) -> None:
        self._check = arm.check
        self.slices = 0
        self.others = 0
        self.others_seen: list[int] = []
        arm.checking = self.checking

    def checking(self, plan: Plan) -> Gradual[CheckedPlan]:
        for _ in range(SLICES):
            self.slices += 1
            self.others_seen.append(self.others)
            yield
        checked: CheckedPlan = self._check(plan)
        return checked

    async def tick_until(self, over: Callable[[], bool]) -> None:
        while not over():
            self.others += 1
            await anyio.lowlevel.checkpoint()


async def ready(desk: Any) -> Turns:
    turns = Turns(desk.arms["white"])
    with anyio.fail_after(60):
        while not all(arm.mode == "idle" and arm.parked for arm in desk.arms.values()):  # noqa: ASYNC110
            await anyio.sleep(0.1)
    return turns


async def test_everybody_has_a_turn_between_two_slices(desk: Any) -> None:
    async with desk.running():
        turns, now = await ready(desk), anyio.current_time()
        await desk.publish(desk.topics.arm_job, E4)
        await turns.tick_until(lambda: turns.slices == SLICES)
        seen = turns.others_seen  # who comes first in a round is the scheduler's choice: one turn in two slices is sure
        assert all(later > earlier for earlier, later in zip(seen, seen[2:], strict=False))
        assert anyio.current_time() == now, "no virtual time passes while it is planned"
        assert (await desk.result("e4")).outcome == "done"
    assert turns.slices == SLICES, "one piece is checked once"


async def test_a_stop_takes_effect_while_a_job_is_planned(desk: Any) -> None:
    async with desk.running() as controller:
        turns = await ready(desk)
        moved = desk.bench.motions()
        await desk.publish(desk.topics.arm_job, E4)
        await turns.tick_until(lambda: turns.slices > 10)
        controller.stop("a person")
        result = await desk.result("e4")
        assert (result.outcome, result.code) == ("refused", "stopped")
        assert turns.slices < 30
        await anyio.sleep(100)
        assert turns.slices < 30, "it was planned on"
        assert desk.bench.motions() == moved
    assert [what for _, _, what in desk.bench.did].count("stop") >= 2


async def out_of_its_park(desk: Any, turns: Turns) -> None:
    white = desk.arms["white"]
    white.parked, white.tool = False, Pose(0.0, 0.0, 300.0)
    await desk.publish(desk.topics.arm_control, ArmControl(command="park", request_id="park"))
    await turns.tick_until(lambda: turns.slices > 10)


async def test_everybody_has_a_turn_while_a_way_home_is_planned(desk: Any) -> None:
    async with desk.running():
        turns, now = await ready(desk), anyio.current_time()
        await out_of_its_park(desk, turns)
        await turns.tick_until(lambda: turns.slices == SLICES)
        seen = turns.others_seen[10:]
        assert all(later > earlier for earlier, later in zip(seen, seen[2:], strict=False))
        assert anyio.current_time() == now, "no virtual time passes while it is planned"
        with anyio.fail_after(60):
            while not desk.arms["white"].parked:  # noqa: ASYNC110
                await anyio.sleep(0.1)
    assert turns.slices == 2 * SLICES, "planned once, and checked from where the arm is when it sets off"


async def test_a_stop_takes_effect_while_a_way_home_is_planned(desk: Any) -> None:
    async with desk.running() as controller:
        turns = await ready(desk)
        moved = desk.bench.motions()
        await out_of_its_park(desk, turns)
        controller.stop("a person")
        await anyio.sleep(100)
        assert turns.slices < 30, "it was planned on"
        assert desk.bench.motions() == moved
        await desk.publish(desk.topics.arm_control, ArmControl(command="recover", request_id="1", confirmed_by="me"))
        with anyio.fail_after(60):
            while not desk.arms["white"].parked:  # noqa: ASYNC110
                await anyio.sleep(0.1)

"""Random lives of an arm against a small model: whatever happens in whatever order, a held arm never moves.

The model knows three facts: what was executed, when the arm was held, when it was recovered.
"""

from __future__ import annotations

import random
from typing import Any

import anyio
import pytest

from edgechess_robots.arm import Park, Plan, Report, Straight, Travel
from edgechess_robots.calibration import Calibration
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.errors import ArmLost, PlanRefused, RobotError
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose

pytestmark = pytest.mark.anyio

LAYOUT = standard_layout()
EVENTS = (*["execute"] * 4, *["recover"] * 4, *["wait"] * 3, "stop", "cut", "alarm", "freeze", "cancel", "ready")


def plan(dice: random.Random) -> Plan:
    steps: list[Travel | Straight | Park] = []
    for _ in range(dice.randint(1, 3)):
        point = LAYOUT.square(dice.choice("abcdefgh") + dice.choice("12345678"))
        steps.append(Travel(Pose(point.x_mm, point.y_mm, 220.0), 250.0))
        steps.append(Straight(Pose(point.x_mm, point.y_mm, 120.0), 100.0))
        steps.append(Straight(Pose(point.x_mm, point.y_mm, 220.0), 100.0))
    return Plan((*steps, Park(250.0)))


class Life:
    def __init__(self, arm: DobotArm, controller: Any, seed: int) -> None:
        self.arm, self.controller, self.dice = arm, controller, random.Random(seed)
        self.reports: list[Report] = []
        self.checked: list[int] = []
        self.scope = anyio.CancelScope()
        self.token = 0
        controller.answers["ClearError"] = self._clear
        controller.answers["GetErrorID"] = lambda text: f"0,{{[117]}},{text};".encode()

    def _clear(self, text: str) -> bytes:
        self.controller.mode = None
        return f"0,{{}},{text};".encode()

    async def execute(self) -> None:
        """Whatever it says must agree with what was received."""
        sent = len(self.controller.motions_received())
        held_before = self.arm.state().mode in ("stopped", "fault")
        self.token += 1
        try:
            with anyio.CancelScope() as scope:
                self.scope = scope
                checked = self.arm.check(plan(self.dice))
                report = await self.arm.execute(checked, self.token)
        except (PlanRefused, RobotError):
            assert len(self.controller.motions_received()) == sent
            return
        if scope.cancelled_caught:
            return
        self.reports.append(report)
        motions = len(self.controller.motions_received()) - sent
        steps = len(checked.plan.steps)
        assert not (held_before and motions)
        if report.outcome == "done":
            assert report.completed == steps == motions
            assert self.arm.state().parked
        elif report.outcome == "refused":
            assert motions == 0
        else:
            assert report.completed < steps
            assert self.arm.state().mode in ("stopped", "fault", "offline")

    async def event(self, name: str, group: anyio.abc.TaskGroup) -> None:
        match name:
            case "execute":
                if self.arm.state().mode != "moving":
                    group.start_soon(self.execute)
            case "stop":
                linked = self.arm.state().mode != "offline"
                try:
                    await self.arm.stop()
                    assert linked
                except ArmLost:
                    assert not linked or self.arm.state().mode == "offline"
                await self.stays_still()
            case "cut":
                self.controller.cut()
            case "alarm":
                self.controller.mode = 9
            case "freeze":
                self.controller.frozen = True
                await anyio.sleep(0.9)
                self.controller.frozen = False
            case "cancel":
                self.scope.cancel()
            case "recover" | "ready":
                sent = len(self.controller.motions_received())
                moving = self.arm.state().mode == "moving"
                try:
                    confirmed = self.dice.random() < 0.7
                    await (self.arm.recover(confirmed=confirmed) if name == "recover" else self.arm.ensure_ready())
                    if name == "recover" and not moving:
                        assert self.arm.state().mode in ("idle", "moving", "fault")
                except RobotError:
                    pass
                assert moving or self.arm.state().mode == "moving" or len(self.controller.motions_received()) == sent
            case _:
                await anyio.sleep(self.dice.uniform(0.0, 2.0))

    async def stays_still(self) -> None:
        sent = len(self.controller.motions_received())
        await anyio.sleep(0.5)
        assert len(self.controller.motions_received()) == sent


@pytest.mark.parametrize("seed", range(8))
async def test_a_held_arm_never_moves(controller: Any, calibration: Calibration, seed: int) -> None:
    controller.period_s = 0.2
    arm = DobotArm("white", controller.connect, DobotSettings(feedback_port=30005), calibration)
    life = Life(arm, controller, seed)
    with anyio.fail_after(3000):
        async with anyio.create_task_group() as group:
            group.start_soon(arm.run)
            await arm.ensure_ready()
            for _ in range(80):
                await life.event(life.dice.choice(EVENTS), group)
                await anyio.sleep(life.dice.uniform(0.0, 0.6))
            controller.mode = None
            while arm.state().mode == "moving":  # noqa: ASYNC110 - virtual time, and nothing to wait for but the end
                await anyio.sleep(0.05)
            await arm.recover(confirmed=True)
            if arm.state().mode == "starting":
                await arm.ensure_ready()
            await life.execute()
            assert life.reports[-1].outcome == "done", life.reports[-1]
            group.cancel_scope.cancel()
    for connection in range(2, controller.connections + 1):
        texts = controller.texts(connection)
        first_motion = next((i for i, t in enumerate(texts) if t.startswith(("MovJ", "MovL"))), None)
        assert (
            first_motion is None or "SpeedFactor(100)" in texts[:first_motion]
        )  # made ready again, by somebody's word

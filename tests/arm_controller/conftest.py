"""A table for the arm controller's tests: pieces at places, and arms that follow a script instead of a wire."""

from __future__ import annotations

import dataclasses
import math
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trio.testing

from edgechess_arm_controller.choreography import pieces_on
from edgechess_arm_controller.component import Controller
from edgechess_arm_controller.settings import Settings
from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.messages import ArmJobResult, ArmState, Message
from edgechess_kit.topics import Topic, Topics
from edgechess_robots import arm as port
from edgechess_robots.errors import ArmAlarm, ArmLost, ArmRefused, ArmStopped, PlanRefused
from edgechess_robots.layout import TableLayout
from edgechess_robots.poses import Pose

STEP_S = 0.5  # every step of a scripted arm takes this long
START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


class Bench:
    """What really stands where, and everything the arms did, in order."""

    def __init__(self, layout: TableLayout, fen: str = START) -> None:
        self.pieces: dict[str, str] = dict(pieces_on(fen))
        self.spots = {f"{file}{rank}": layout.square(f"{file}{rank}") for file in "abcdefgh" for rank in range(1, 9)}
        for site in layout.sites:
            for kind, points in (("tray", site.tray), ("rack", site.rack)):
                for number, point in enumerate(points):
                    self.spots[f"{kind}-{site.name}-{number}"] = point
        self.did: list[tuple[float, str, str]] = []
        self.tokens: list[int] = []

    def at(self, pose: Pose) -> str | None:
        for name, spot in self.spots.items():
            if math.hypot(spot.x_mm - pose.x_mm, spot.y_mm - pose.y_mm) < 1.0:
                return name
        return None

    def board(self) -> dict[str, str]:
        return {place: piece for place, piece in sorted(self.pieces.items()) if "-" not in place}

    def motions(self) -> int:
        return sum(1 for _, _, what in self.did if what != "stop")


class ScriptedArm:
    """An `Arm` in memory. Its faults are set by the test; it enforces what a driver enforces."""

    kind = "scripted"

    def __init__(self, name: str, bench: Bench, base_y_mm: float) -> None:
        self.name = name
        self.bench = bench
        self.park_pose = Pose(0.0, base_y_mm, 500.0)
        self.tool = self.park_pose
        self.mode: port.Mode = "offline"
        self.linked = True
        self.alarm: str | None = None
        self.estop = False
        self.runaway = False
        self.parked = True
        self.holding: str | None = None
        self.newest_token = 0
        self.misses = 0
        self.slips = 0
        self.unreachable: Callable[[str], bool] = lambda place: False
        self.executions = 0
        self._wake = anyio.Event()
        self._stopped = False

    async def run(self) -> None:
        try:
            while True:
                if self.linked and self.mode == "offline":
                    self.mode = "stopped" if self._stopped else "starting"
                elif not self.linked:
                    self.mode = "offline"
                self.changed()
                await self._wake.wait()
        finally:
            self.mode = "offline"

    def changed(self) -> None:
        self._wake.set()
        self._wake = anyio.Event()

    def lose_link(self) -> None:
        self.linked = False
        self._stopped = self._stopped or self.mode == "moving"
        self.mode = "offline"
        self.changed()

    def regain_link(self) -> None:
        self.linked = True
        self.mode = "stopped" if self._stopped else "starting"
        self.changed()

    def press_estop(self) -> None:
        self.estop, self.alarm, self.mode, self._stopped = True, "emergency stop", "fault", True
        self.changed()

    async def ensure_ready(self) -> None:
        await anyio.sleep(0.1)
        if self.estop:
            raise ArmRefused("emergency stop")
        if self._stopped:
            raise ArmStopped("held")
        if self.mode == "starting":
            self.mode = "idle"
            self.changed()

    def state(self) -> port.ArmState:
        return port.ArmState(
            self.mode,
            (0.0,) * 6,
            self.tool,
            self.parked,
            self.holding is not None,
            self.alarm,
            0.0 if self.linked else 9.0,
            self.estop,
        )

    async def states(self) -> AsyncIterator[port.ArmState]:
        while True:
            yield self.state()
            await self._wake.wait()

    def check(self, plan: port.Plan) -> port.CheckedPlan:
        for step in plan.steps:
            if isinstance(step, port.Travel | port.Straight):
                place = self.bench.at(step.target)
                if place is not None and self.unreachable(place):
                    raise PlanRefused("unreachable", f"{place} is out of reach")
        joints = tuple(None if isinstance(s, port.Open | port.Close | port.Verify) else (0.0,) * 6 for s in plan.steps)
        return port.CheckedPlan(plan, joints, (0.0,) * 6, STEP_S * len(plan.steps))

    async def execute(self, plan: port.CheckedPlan, token: int) -> port.Report:
        if token < self.newest_token:
            raise PlanRefused("stale-token", f"{token} < {self.newest_token}")
        if self._stopped or self.mode != "idle":
            raise ArmStopped(f"the arm is {self.mode}")
        self.newest_token = token
        self.bench.tokens.append(token)
        self.executions += 1
        self.mode = "moving"
        self.changed()
        grasps: list[port.Grasp] = []
        completed, code = 0, ""
        began = anyio.current_time()
        try:
            for step in plan.plan.steps:
                code = await self._step(step, grasps)
                if code:
                    break
                completed += 1
        except anyio.get_cancelled_exc_class():
            self._stopped, self.mode = True, "stopped"
            raise
        if self.mode == "moving":
            self.mode = "idle"
        self.changed()
        outcome: port.Outcome = "unknown" if code else "done"
        return port.Report(outcome, code, code, completed, tuple(grasps), anyio.current_time() - began)

    async def _step(self, step: port.Step, grasps: list[port.Grasp]) -> str:
        await anyio.sleep(STEP_S)
        if not self.linked:
            return "link-lost"
        if self.estop:
            return "alarm"
        if self._stopped:
            return "stopped"
        self.bench.did.append((anyio.current_time(), self.name, type(step).__name__))
        match step:
            case port.Travel(target) | port.Straight(target):
                self.tool, self.parked = target, False
            case port.Park():
                self.tool, self.parked = self.park_pose, True
            case port.Open():
                self._release()
            case port.Close(_, label):
                return self._close(label, grasps)
            case port.Verify(label):
                if self.slips:
                    self.slips -= 1
                    self.holding = None
                grasps.append(port.Grasp(label, self.holding is not None))
                return "" if self.holding is not None else "lost-piece"
        return ""

    def _close(self, label: str, grasps: list[port.Grasp]) -> str:
        place = self.bench.at(self.tool)
        if self.misses:
            self.misses -= 1
        elif place in self.bench.pieces:
            self.holding = self.bench.pieces.pop(place)
        grasps.append(port.Grasp(label, self.holding is not None, 16.0))
        return "" if self.holding is not None else "missed-grasp"

    def _release(self) -> None:
        place = self.bench.at(self.tool)
        if self.holding is not None and place is not None:
            assert place not in self.bench.pieces, f"{self.holding} put on top of {self.bench.pieces[place]} at {place}"
            self.bench.pieces[place] = self.holding
        self.holding = None

    async def stop(self) -> None:
        self.bench.did.append((anyio.current_time(), self.name, "stop"))
        self._stopped = True
        if self.mode in ("idle", "moving", "starting"):
            self.mode = "stopped"
        self.changed()
        if not self.linked:
            raise ArmLost(f"stop not confirmed: arm {self.name} is offline")
        if self.runaway:
            await anyio.sleep(6.0)
            raise ArmRefused(f"stop not confirmed: arm {self.name} was not seen to stand")

    async def recover(self, *, confirmed: bool) -> None:
        await anyio.sleep(0.1)
        if self.alarm is not None and not confirmed:
            raise ArmAlarm(f"{self.alarm}: a person must look first")
        if not self.linked or self.estop:
            raise ArmRefused("emergency stop" if self.estop else "not linked")
        self._stopped, self.alarm, self.mode = False, None, "idle"
        self.changed()


class Desk:
    """The controller under test, its bus seen from outside, and the table."""

    def __init__(self, settings: Settings | None = None, fen: str = START) -> None:
        self.settings = settings or Settings()
        self.topics = Topics()
        self.seen: list[tuple[str, Message]] = []
        self.news = anyio.Event()
        self.broker = MemoryBroker(self.topics, self._observe)
        self.connection = sqlite3.connect(":memory:")
        self.bench = Bench(self.settings.layout(("white", "black")), fen)
        self.arms = {
            "white": ScriptedArm("white", self.bench, -600.0),
            "black": ScriptedArm("black", self.bench, 600.0),
        }
        self.clients = 0
        for name, letters in self.settings.racks.items():
            for number, letter in enumerate(letters):
                self.bench.pieces[f"rack-{name}-{number}"] = letter

    def _observe(self, client: str, name: str, payload: bytes) -> None:
        if client != "arm-controller":
            return
        for topic in vars(self.topics).values():
            if isinstance(topic, Topic) and topic.name == name:
                self.seen.append((name, topic.decode(payload)))
                self.news.set()
                self.news = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Controller]:
        """The controller, until the block ends; then it is cancelled, and its journal and table stay."""
        self.clients += 1
        clock = VirtualClock()
        context = Context(
            name="arm-controller",
            settings=self.settings,
            bus=self.broker.client("arm-controller"),
            topics=self.topics,
            journal=SqliteJournal.over(self.connection, clock),
            clock=clock,
            ids=SeededIds(self.clients),
        )
        controller = Controller(context, self.arms)
        async with anyio.create_task_group() as group:
            await group.start(controller.run)
            yield controller
            group.cancel_scope.cancel()

    async def publish(self, topic: Topic[Any], message: Message) -> None:
        await self.broker.client("test").publish(topic, message)

    def results(self, job_id: str) -> list[ArmJobResult]:
        return [m for _, m in self.seen if isinstance(m, ArmJobResult) and m.job_id == job_id]

    async def result(self, job_id: str, count: int = 1, within_s: float = 120.0) -> ArmJobResult:
        with anyio.fail_after(within_s):
            while len(self.results(job_id)) < count:
                await self.news.wait()
        return self.results(job_id)[-1]

    def shown(self) -> ArmState:
        state = self.broker.retained(self.topics.arm_state)
        assert state is not None
        return state

    def entries(self, kind: str | None = None) -> list[dict[str, Any]]:
        journal = SqliteJournal.over(self.connection, VirtualClock())
        return [dataclasses.asdict(entry) for entry in journal.entries(kind=kind)]


@pytest.fixture
def desk() -> Desk:
    return Desk()

"""An example of an arm of your own: a gantry over the table, whose machine is a few lines of memory. See docs/your-own-arm.md."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import AsyncIterator

import anyio

from edgechess_robots.arm import ArmState, CheckedPlan, Close, Open, Park, Plan, Step, Straight, Travel, Verify
from edgechess_robots.calibration import Calibration
from edgechess_robots.conduct import Conduct, Ending, MayClear, Progress, SeeStanding, Ways
from edgechess_robots.errors import ArmAlarm, PlanRefused
from edgechess_robots.poses import Pose
from edgechess_robots.registry import ArmKind, ArmLimits, Capabilities, Connect

TICK_S = 0.05
PARK, CORNER_MM = Pose(0.0, -400.0, 300.0), 500.0


@dataclasses.dataclass
class Machine:
    """The hardware. A real one is beyond `connect`; `things` are where something can be gripped, by x and y."""

    at: Pose = PARK
    things: set[tuple[float, float]] = dataclasses.field(default_factory=set)
    online: bool = True
    failure: str | None = None
    motions: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GantryOptions:
    max_tool_speed_mm_s: float = 250.0
    machine: Machine = dataclasses.field(default_factory=Machine)


class GantryArm:
    kind = "gantry"

    def __init__(self, name: str, options: GantryOptions) -> None:
        self.name, self._options, self._machine = name, options, options.machine
        ways = Ways(posture=self._posture, prepare=self._prepare, run=self._run, halt=self._halt, dead_man=True)
        self._conduct = conduct = Conduct(name, ways)
        self.ensure_ready, self.recover, self.execute, self.stop = (
            conduct.ensure_ready, conduct.recover, conduct.execute, conduct.stop,
        )  # fmt: skip
        self._at: Pose | None = None  # measured
        self._seen_s = -math.inf

    async def run(self) -> None:
        conduct, machine = self._conduct, self._machine
        while True:
            if machine.online:
                self._at, self._seen_s = machine.at, anyio.current_time()
            if machine.online and conduct.mode == "offline":
                conduct.linked()
            elif not machine.online and conduct.mode != "offline":
                conduct.unlinked("link-lost", "the gantry does not answer")
            if machine.failure and conduct.mode in ("idle", "moving"):
                conduct.hold("alarm", "alarm", machine.failure)
            await anyio.sleep(TICK_S)

    def state(self) -> ArmState:
        age_s = anyio.current_time() - self._seen_s
        return self._conduct.state(self._posture() or (), self._at, parked=self._at == PARK, age_s=age_s)

    def states(self) -> AsyncIterator[ArmState]:
        return self._conduct.states(self.state)

    def check(self, plan: Plan) -> CheckedPlan:
        here = self._posture()
        if here is None or self._conduct.mode == "offline":
            raise PlanRefused("unreachable", f"arm {self.name} is not measured")
        if not plan.steps:
            raise PlanRefused("empty", "the plan has no steps")
        took_s, at, ends = 0.1, here, []
        for step in plan.steps:
            ends.append(end := None if isinstance(step, Open | Close | Verify) else _xyz(_end(step)))
            if end is None or isinstance(step, Open | Close | Verify):
                continue
            if max(abs(end[0]), abs(end[1])) > CORNER_MM or not 0.0 <= end[2] <= CORNER_MM:
                raise PlanRefused("unreachable", f"{end} is outside of the gantry")
            if not 0.0 < step.speed_mm_s <= self._options.max_tool_speed_mm_s:
                raise PlanRefused("limits", f"{step.speed_mm_s} mm/s is too fast")
            took_s, at = took_s + math.dist(at, end) / step.speed_mm_s, end
        return CheckedPlan(plan, tuple(ends), here, took_s)

    def _posture(self) -> tuple[float, ...] | None:
        return None if self._at is None else _xyz(self._at)

    async def _prepare(self, stops: int, may_clear: MayClear) -> None:
        if self._machine.failure and may_clear != "everything":
            raise ArmAlarm(f"arm {self.name}: {self._machine.failure}: a person must look first")
        self._machine.failure = None

    async def _run(self, plan: CheckedPlan, progress: Progress) -> Ending:
        progress.sent = True
        for step in plan.plan.steps:
            failed = await self._act(step, progress)
            if failed is not None:
                return failed
            progress.completed += 1
        return "done", "every step was reached and measured"

    async def _act(self, step: Step, progress: Progress) -> Ending | None:
        machine = self._machine
        if isinstance(step, Close | Verify):
            await anyio.sleep(TICK_S)
            found = bool(self._conduct.holding) or (machine.at.x_mm, machine.at.y_mm) in machine.things
            return self._conduct.felt(step, found, None, progress)
        if isinstance(step, Open):
            await anyio.sleep(TICK_S)
            self._conduct.let_go()
            return None
        machine.motions += 1
        start, end, part = _xyz(machine.at), _xyz(_end(step)), 0.0
        per_tick = step.speed_mm_s * TICK_S / max(1e-9, math.dist(start, end))
        while part < 1.0:
            await anyio.sleep(TICK_S)
            self._conduct.unless_interrupted()
            part = min(1.0, part + per_tick)
            machine.at = Pose(*(a + (b - a) * part for a, b in zip(start, end, strict=True)))
        machine.at = _end(step)
        self._at = machine.at  # measured: this machine is in reach of our hands
        return None

    def _halt(self) -> SeeStanding:
        return self._stands  # the tick that would move it on asks `unless_interrupted` first

    async def _stands(self) -> None:
        if not self._machine.online:
            raise self._conduct.offline()


def _end(step: Travel | Straight | Park) -> Pose:
    return PARK if isinstance(step, Park) else step.target


def _xyz(pose: Pose) -> tuple[float, float, float]:
    return pose.x_mm, pose.y_mm, pose.z_mm


def _open(name: str, connect: Connect, options: GantryOptions, calibration: Calibration | None) -> GantryArm:
    return GantryArm(name, options)  # a machine in memory dials nothing, and stands where it stands


GANTRY = ArmKind(
    name="gantry",
    title="a gantry in memory",
    ports=(),
    capabilities=Capabilities(rounds_corners=False, feels_grasp=True, dead_man="always", guided_by_request=False),
    limits=ArmLimits(reach_mm=CORNER_MM, payload_kg=1.0, joints_deg=(), joint_speeds_deg_s=(), tool_speed_mm_s=250.0),
    options=GantryOptions,
    open=_open,
)

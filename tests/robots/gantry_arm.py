"""An example of an arm of your own: a gantry over the table, whose machine is a few lines of memory. See docs/your-own-arm.md."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import AsyncIterator

import anyio

from edgechess_robots.arm import ArmState, CheckedPlan, Close, Grasp, Mode, Open, Park, Plan, Report, Travel, Verify
from edgechess_robots.arm import Straight as Line
from edgechess_robots.calibration import Calibration
from edgechess_robots.errors import ArmAlarm, ArmLost, ArmStopped, PlanRefused
from edgechess_robots.poses import Pose
from edgechess_robots.registry import ArmKind, ArmLimits, Capabilities, Connect
from edgechess_robots.states import Event, after

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
        self._mode: Mode = "offline"
        self._why, self._held, self._token, self._seen_s = ("link-lost", "never seen"), False, 0, -math.inf
        self._at: Pose | None = None  # measured
        self._holding: bool | None = None

    async def run(self) -> None:
        while True:
            machine = self._machine
            if machine.online:
                self._at, self._seen_s = machine.at, anyio.current_time()
            if machine.online and self._mode == "offline":
                self._step("linked-held" if self._held else "linked")
            elif not machine.online and self._mode != "offline":
                self._hold("lost", "link-lost", "the gantry does not answer")
            if machine.failure and self._mode in ("idle", "moving"):
                self._hold("alarm", "alarm", machine.failure)
            await anyio.sleep(TICK_S)

    async def ensure_ready(self) -> None:
        while self._mode == "offline":  # noqa: ASYNC110 - one tick
            await anyio.sleep(TICK_S)
        if self._held:
            raise ArmStopped(f"arm {self.name} is held ({self._why[1]})")
        if self._mode == "starting":
            self._step("ready")

    def state(self) -> ArmState:
        alarm, age_s = (self._why[1] if self._mode == "fault" else None), anyio.current_time() - self._seen_s
        parked = self._at == PARK
        at = (self._at.x_mm, self._at.y_mm, self._at.z_mm) if self._at else ()
        return ArmState(self._mode, at, self._at, parked, self._holding, alarm, age_s)

    async def states(self) -> AsyncIterator[ArmState]:
        while True:
            yield self.state()
            await anyio.sleep(0.25)

    def check(self, plan: Plan) -> CheckedPlan:
        if self._at is None or self._mode == "offline":
            raise PlanRefused("unreachable", f"arm {self.name} is not measured")
        if not plan.steps:
            raise PlanRefused("empty", "the plan has no steps")
        took_s, here, ends = 0.0, self._at, []
        for step in plan.steps:
            end = _end(step)
            if end is not None:
                if max(abs(end.x_mm), abs(end.y_mm)) > CORNER_MM or not 0.0 <= end.z_mm <= CORNER_MM:
                    raise PlanRefused("unreachable", f"{end} is outside of the gantry")
                assert isinstance(step, Travel | Line | Park)
                if not 0.0 < step.speed_mm_s <= self._options.max_tool_speed_mm_s:
                    raise PlanRefused("limits", f"{step.speed_mm_s} mm/s is too fast")
                took_s, here = took_s + _distance(here, end) / step.speed_mm_s, end
            ends.append(None if end is None else (end.x_mm, end.y_mm, end.z_mm))
        return CheckedPlan(plan, tuple(ends), (self._at.x_mm, self._at.y_mm, self._at.z_mm), took_s + 0.1)

    async def execute(self, plan: CheckedPlan, token: int) -> Report:
        if token < self._token:
            raise PlanRefused("stale-token", f"lease {token} is older than {self._token}")
        self._token, began_s = token, anyio.current_time()
        if self._held:
            raise ArmStopped(f"arm {self.name} is held ({self._why[1]})")
        if self._mode != "idle":
            code = "busy" if self._mode == "moving" else "not-ready"
            return Report("refused", code, f"arm {self.name} is {self._mode}", 0, (), 0.0)
        grasps: list[Grasp] = []
        self._step("begin")
        completed, code, ended = 0, "done", False
        try:
            for step in plan.plan.steps:
                code = await self._act(step, grasps)
                if code != "done":
                    break
                completed += 1
            ended = True
        finally:
            if not ended:  # cancelled: the tick that would have moved it on never comes
                self._hold("stop", "stopped", "the task that moved the arm was cancelled")
        if not self._held:
            self._step("end")
        took_s = anyio.current_time() - began_s
        return Report("done" if code == "done" else "unknown", code, self._why[1], completed, tuple(grasps), took_s)

    async def _act(self, step: object, grasps: list[Grasp]) -> str:
        """One step. Returns how it ended, as the code of a report."""
        machine, end = self._machine, _end(step)
        if end is None:
            await anyio.sleep(TICK_S)
            if isinstance(step, Open):
                self._holding = False
            elif isinstance(step, Close | Verify):
                found = self._holding or (machine.at.x_mm, machine.at.y_mm) in machine.things
                self._holding = bool(found)
                grasps.append(Grasp(step.label, self._holding))
                if not found:
                    return "missed-grasp" if isinstance(step, Close) else "lost-piece"
            return "done" if self._mode == "moving" else self._why[0]
        assert isinstance(step, Travel | Line | Park)
        machine.motions += 1
        start, part = machine.at, 0.0
        per_tick = step.speed_mm_s * TICK_S / max(1e-9, _distance(start, end))
        while part < 1.0:
            await anyio.sleep(TICK_S)
            if self._mode != "moving":
                return self._why[0]
            part = min(1.0, part + per_tick)
            machine.at = end if part >= 1.0 else _between(start, end, part)
        self._at = machine.at  # measured: this machine is in reach of our hands
        return "done"

    async def stop(self) -> None:
        self._hold("stop", "stopped", "stopped")
        if self._mode == "offline":
            raise ArmLost(f"stop not confirmed: arm {self.name} is offline")

    async def recover(self, *, confirmed: bool) -> None:
        if self._mode == "fault" and not confirmed:
            raise ArmAlarm(f"arm {self.name}: {self._why[1]}: a person must look first")
        if self._mode in ("stopped", "fault"):
            self._held, self._machine.failure = False, None
            self._step("recovered")

    def _hold(self, event: Event, code: str, reason: str) -> None:
        self._why, self._held = (code, reason), self._held or self._mode == "moving" or event != "lost"
        self._step(event)

    def _step(self, event: Event) -> None:
        self._mode = after(self._mode, event)


def _end(step: object) -> Pose | None:
    if isinstance(step, Park):
        return PARK
    return step.target if isinstance(step, Travel | Line) else None


def _distance(a: Pose, b: Pose) -> float:
    return math.dist((a.x_mm, a.y_mm, a.z_mm), (b.x_mm, b.y_mm, b.z_mm))


def _between(a: Pose, b: Pose, part: float) -> Pose:
    x, y, z = (p + (q - p) * part for p, q in ((a.x_mm, b.x_mm), (a.y_mm, b.y_mm), (a.z_mm, b.z_mm)))
    return Pose(x, y, z, b.rx_deg, b.ry_deg, b.rz_deg)


def _open(name: str, connect: Connect, options: GantryOptions, calibration: Calibration | None) -> GantryArm:
    return GantryArm(name, options)  # a machine in memory dials nothing, and stands where it stands


GANTRY = ArmKind(
    name="gantry",
    title="a gantry in memory",
    ports=(),
    capabilities=Capabilities(rounds_corners=False, feels_grasp=True, dead_man=True, guided_by_request=False),
    limits=ArmLimits(reach_mm=CORNER_MM, payload_kg=1.0, joints_deg=(), joint_speeds_deg_s=(), tool_speed_mm_s=250.0),
    options=GantryOptions,
    open=_open,
)

"""The conduct of an arm, the same whoever made it: its mode, what holds it, the lease, and how an execution, a stop and a
recovery begin and end.

A driver has one `Conduct` and gives it its `Ways`: how its own machine gets ready, goes through a plan, and halts. The
conduct never touches a wire; the driver tells it what it measured and when its link came and went.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

import anyio

from edgechess_robots.arm import ArmState, CheckedPlan, Close, Grasp, Mode, Outcome, Report, Verify
from edgechess_robots.errors import (
    ArmAlarm,
    ArmLost,
    ArmProtocolError,
    ArmRefused,
    ArmStopped,
    PlanRefused,
    RobotError,
)
from edgechess_robots.kinematics import Joints
from edgechess_robots.poses import Pose
from edgechess_robots.states import Event, after

LINK_WAIT_S = 10.0  # how long getting ready waits for a link: two attempts to connect
READY_TIMEOUT_S = 60.0  # everything from a machine that boots, or has no power, to one that could move
START_TOLERANCE_DEG = 0.5  # a plan is valid from the posture it was checked from
STATE_INTERVAL_S = 0.25  # of `states`, for what only moves
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 5.0)  # between attempts to connect

MayClear = Literal["nothing", "alarms", "everything"]
"""Which alarms getting ready may clear: "alarms" are those that are no emergency stop, for which a person must look."""

Ending = tuple[str, str]
"""How an execution ended: code and reason of its report."""

SeeStanding = Callable[[], Awaitable[None]]
"""Waits until the arm was seen to stand. Raises ArmLost, or ArmRefused when it was not."""


class Interrupted(Exception):
    """An execution cannot go on; `code` and text are those of its report. Never leaves `Conduct.execute`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclasses.dataclass(slots=True)
class Progress:
    """How far an execution came; what its report is made of. `sent`: something may have moved."""

    completed: int = 0
    grasps: list[Grasp] = dataclasses.field(default_factory=list)
    sent: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What a driver brings to its conduct."""

    posture: Callable[[], Joints | None]
    """Where the joints were measured last; None as long as the driver has not all that it needs to move."""
    prepare: Callable[[int, MayClear], Awaitable[None]]
    """From whatever state to a machine that could move; moves nothing. Given what `Conduct.stops` was when it was asked
    for, and what it may clear. Raises RobotError: ArmAlarm and ArmStopped hold the arm."""
    run: Callable[[CheckedPlan, Progress], Awaitable[Ending]]
    """Through all steps. Raises Interrupted or RobotError where it cannot go on: the arm is halted then, if anything was
    sent. An ending that is returned leaves the arm as it stands."""
    halt: Callable[[], SeeStanding]
    """Ends all motion. Does not wait, so that no cancellation can come between."""
    explain: Callable[[], Awaitable[str]] | None = None
    """More words for an alarm in the middle of an execution, where the machine has some. Raises nothing."""
    clears_at_start: MayClear = "nothing"
    """What `ensure_ready` may clear, for which nobody gave a word."""
    unready: frozenset[str] = frozenset()
    """Codes of endings after which the arm must be made ready again."""
    dead_man: bool | None = None
    """As `ArmState.dead_man`, of a link of which nothing is known yet. What the driver finds out on one, it tells
    `Conduct.dead_man`."""


class Conduct:
    """Of one arm. Every mode it is in comes from `states.TRANSITIONS`."""

    def __init__(self, name: str, ways: Ways) -> None:
        self.name = name
        self.mode: Mode = "offline"
        self.held = False
        self.why: Ending = ("link-lost", "the arm was never connected")
        self.alarm: str | None = None
        self.holding: bool | None = None
        self.dead_man = ways.dead_man
        self.stops = 0
        """Rises with every stop and with every emergency stop that is seen: a word given before counts no more."""
        self.last_resort: str | None = None
        """Set when a driver pressed the emergency stop itself, and why: only a person's word undoes that."""
        self.news = anyio.Event()
        """Set, and replaced, by the next measurement or change of mode."""
        self._ways = ways
        self._newest_token: int | None = None
        self._change = anyio.Event()
        self._procedure = anyio.Lock()

    # --- modes --------------------------------------------------------------------------------------------------------

    def step(self, event: Event) -> None:
        before, self.mode = self.mode, after(self.mode, event)
        if before != self.mode:
            self.measured()  # whoever waits for a measurement must see the mode first
            self.show()

    def hold(self, event: Event, code: str, reason: str) -> None:
        """Nothing moves from here on until `recover`."""
        self.held = True
        self.why = (code, reason)
        if event in ("alarm", "linked-alarm"):
            self.alarm = reason
        self.step(event)

    def measured(self) -> None:
        self.news.set()
        self.news = anyio.Event()

    def show(self) -> None:
        """There is something worth showing in `states`."""
        self._change.set()

    async def states(
        self, state: Callable[[], ArmState], interval_s: float = STATE_INTERVAL_S
    ) -> AsyncIterator[ArmState]:
        """As `Arm.states`."""
        while True:
            yield state()
            await anyio.sleep(interval_s)
            await self._change.wait()
            self._change = anyio.Event()

    def state(
        self, joints_deg: Joints, tool: Pose | None, *, parked: bool, age_s: float, emergency: bool = False
    ) -> ArmState:
        return ArmState(self.mode, joints_deg, tool, parked, self.holding, self.alarm, age_s, emergency, self.dead_man)

    def offline(self) -> ArmLost:
        return ArmLost(f"arm {self.name} is offline: {self.why[1]}")

    # --- the link -----------------------------------------------------------------------------------------------------

    async def keep_linked(self, serve: Callable[[], Awaitable[bool]]) -> None:
        """One connection after the other, until cancelled. `serve` is one, until it fails: did it come up?"""
        attempt = 0
        while True:
            attempt = 0 if await serve() else attempt + 1
            await anyio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])

    def linked(self) -> None:
        """A link came up and the arm was seen to stand."""
        self.step("linked-held" if self.held else "linked")

    def not_linked(self, code: str, reason: str) -> None:
        """An attempt failed."""
        if not self.held:
            self.why = (code, reason)

    def unlinked(self, code: str, reason: str) -> None:
        """The link is gone. In motion that holds the arm."""
        if self.mode == "moving" or not self.held:
            self.why = (code, reason)
        self.held = self.held or self.mode == "moving"
        self.dead_man = self._ways.dead_man
        self.step("lost")

    async def until_linked(self) -> None:
        """The deadline is the caller's."""
        while self.mode == "offline":
            await self.news.wait()

    # --- getting ready ------------------------------------------------------------------------------------------------

    async def ensure_ready(self) -> None:
        async with self._procedure:
            await self._linked_soon()
            if self.held:
                raise ArmStopped(f"arm {self.name} is held ({self.why[1]}): recover it first")
            if self.mode in ("idle", "moving"):
                return
            try:
                await self._prepare(self.stops, self._ways.clears_at_start)
            except (ArmAlarm, ArmStopped) as alarm:
                if self.mode == "starting":
                    self.hold("alarm", "alarm", str(alarm))
                raise
            self.step("ready")

    async def recover(self, *, confirmed: bool) -> None:
        async with self._procedure:
            await self._linked_soon()
            if self.mode in ("idle", "moving"):
                return
            why = self.alarm or self.last_resort
            if why is not None and not confirmed:
                raise ArmAlarm(f"arm {self.name}: {why}: a person must look first")
            stops = self.stops
            try:
                await self._prepare(stops, "everything" if confirmed else "nothing")
            except (ArmAlarm, ArmStopped) as alarm:
                if self.stops == stops and self.mode != "offline":
                    self.hold("alarm", "alarm", str(alarm))
                raise
            self.held = False
            self.alarm = self.last_resort = None
            self.step("ready" if self.mode == "starting" else "recovered")

    def unless_stopped_since(self, stops: int, *, emergency: bool) -> None:
        """Raises ArmStopped."""
        if self.stops == stops:
            return
        if emergency:
            raise ArmStopped(f"arm {self.name}: an emergency stop is pressed")
        raise ArmStopped(f"arm {self.name} was stopped while it got ready")

    async def _linked_soon(self) -> None:
        try:
            with anyio.fail_after(LINK_WAIT_S):
                await self.until_linked()
        except TimeoutError:
            raise self.offline() from None

    async def _prepare(self, stops: int, may_clear: MayClear) -> None:
        try:
            with anyio.fail_after(READY_TIMEOUT_S):
                await self._ways.prepare(stops, may_clear)
        except TimeoutError:
            raise ArmRefused(f"arm {self.name} did not get ready within {READY_TIMEOUT_S:.0f} s") from None

    # --- execution ----------------------------------------------------------------------------------------------------

    async def execute(self, plan: CheckedPlan, token: int) -> Report:
        """As `Arm.execute`."""
        began_s = anyio.current_time()
        self._admit(token)
        refusal = self._unfit(plan)
        if refusal is not None:
            return Report("refused", *refusal, 0, (), 0.0)
        progress = Progress()
        ended = False
        self.why = ("stopped", "interrupted")
        self.step("begin")
        try:
            code, reason = await self._perform(plan, progress)
            ended = True
        finally:
            if not ended:  # the task was cancelled, or we have a defect: either way the arm stops first
                await self._halt("stopped", "the task that moved the arm was cancelled")
        if self.mode == "moving":
            self.step("end")
            if code in self._ways.unready:
                self.step("unready")
        outcome: Outcome = "done" if code == "done" else "unknown" if progress.sent else "refused"
        took_s = anyio.current_time() - began_s
        return Report(outcome, code, reason, progress.completed, tuple(progress.grasps), took_s)

    def _admit(self, token: int) -> None:
        if self._newest_token is not None and token < self._newest_token:
            raise PlanRefused("stale-token", f"lease {token} is older than {self._newest_token}")
        self._newest_token = token
        if self.held:
            raise ArmStopped(f"arm {self.name} is held ({self.why[1]}): recover it first")

    def _unfit(self, plan: CheckedPlan) -> Ending | None:
        if self.mode == "moving":
            return "busy", f"arm {self.name} is executing another plan"
        posture = self._ways.posture()
        if self.mode != "idle" or posture is None:
            return "not-ready", f"arm {self.name} is {self.mode}"
        off_deg = max(abs(a - b) for a, b in zip(posture, plan.start_joints_deg, strict=True))
        if off_deg > START_TOLERANCE_DEG:
            return "moved-since-check", f"a joint is {off_deg:.1f}° from where the plan was checked from"
        return None

    async def _perform(self, plan: CheckedPlan, progress: Progress) -> Ending:
        """A failure that leaves motion behind stops the arm before it is told."""
        try:
            return await self._ways.run(plan, progress)
        except (Interrupted, ArmLost, ArmStopped, ArmRefused, ArmProtocolError) as error:
            code, reason = _code(error), str(error)
        if self.mode != "moving":
            code, reason = self.why  # what ended the motion, rather than how we noticed
        if progress.sent:
            seen = self._order_stop(code, reason)
            with contextlib.suppress(ArmLost, ArmRefused):  # the report says unknown, whether it was seen or not
                await seen()
            if self.mode == "fault" and self._ways.explain is not None:
                reason = self.alarm = f"{reason} ({await self._ways.explain()})"
        return code, reason

    def unless_interrupted(self) -> None:
        """Raises Interrupted."""
        if self.mode != "moving":
            raise Interrupted(*self.why)

    def let_go(self) -> None:
        """The fingers opened."""
        self.holding = False
        self.show()

    def felt(
        self, step: Close | Verify, holding: bool | None, width_mm: float | None, progress: Progress
    ) -> Ending | None:
        """What the gripper says after a step. Returns how that ends the plan, or None. Raises Interrupted."""
        self.holding = holding
        progress.grasps.append(Grasp(step.label, holding, width_mm))
        self.show()
        self.unless_interrupted()
        if holding is not False:
            return None
        if isinstance(step, Close):
            return "missed-grasp", f"the fingers closed on nothing at {step.label}"
        return "lost-piece", f"the fingers hold nothing any more at {step.label}"

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """As `Arm.stop`."""
        seen = self._order_stop("stopped", "stopped")
        with anyio.CancelScope(shield=True):
            await seen()

    async def _halt(self, code: str, reason: str) -> None:
        seen = self._order_stop(code, reason)
        with anyio.CancelScope(shield=True), contextlib.suppress(ArmLost, ArmRefused):
            await seen()

    def _order_stop(self, code: str, reason: str) -> SeeStanding:
        self.stops += 1
        if self.mode == "moving" or not self.held:
            self.why = (code, reason)
        self.held = True
        self.step("stop")
        return self._ways.halt()


def _code(error: Interrupted | RobotError) -> str:
    match error:
        case Interrupted():
            return error.code
        case ArmLost():
            return "link-lost"
        case ArmStopped():
            return "stopped"
        case ArmRefused():
            return "controller-refused"
        case _:
            return "protocol"

"""The arm controller on the bus: it measures, decides (`controller.decide`) and lets the arms act.

Decisions and their journal entries are one synchronous step; only executions, stops and releases are tasks. What is
published goes through bounded queues, so a broker that is away never holds up an arm or a stop.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Mapping

import anyio
import anyio.abc
import anyio.lowlevel

from edgechess_arm_controller import controller as c
from edgechess_arm_controller.choreography import piece_name
from edgechess_arm_controller.errors import ArmInTheWay, JobRefused
from edgechess_arm_controller.homing import plan_placing, plan_way_home
from edgechess_arm_controller.inbox import FOREIGN, Inbox, foreign_answer
from edgechess_arm_controller.outgoing import Outgoing
from edgechess_arm_controller.planner import checking, plan_job
from edgechess_arm_controller.settings import Settings
from edgechess_arm_controller.setups import Planned, plan_setup
from edgechess_arm_controller.shown import shown
from edgechess_arm_controller.slots import Slots
from edgechess_arm_controller.table import Note, restore
from edgechess_kit.component import Context
from edgechess_kit.events import announce
from edgechess_kit.health import Health
from edgechess_kit.journal import Draft
from edgechess_kit.messages import (
    ArmControl,
    ArmControlResponse,
)
from edgechess_robots.arm import Arm, CheckedPlan, Plan, Report
from edgechess_robots.arm import ArmState as MeasuredArm
from edgechess_robots.errors import ArmLost, ArmStopped, PlanRefused, RobotError
from edgechess_robots.gradual import Gradual, in_turns

log = logging.getLogger(__name__)

TICK_S = 0.5  # age limits and waits are in seconds; changes of an arm wake the controller at once
STOP_WAIT_S = 15.0
"""For a driver to deliver a stop; after that the execution is cancelled as well. Longer than a driver's own budget, so that
the driver says what failed: a Dobot's takes 1 s for the answer, which is asked for twice, and 2 s to stand (4 s where feedback comes so
rarely that it counts as stale after 2 s), and all of it once more for the emergency stop."""
BRING_WAIT_S = 90.0  # power, brakes, enabling and gripper of a cold arm take 20 s; the driver gives up after 70
ACT_WAIT_FACTOR = 3.0  # an execution may take this much longer than planned (controllers slow down near limits) …
ACT_WAIT_EXTRA_S = 30.0  # … and this much more for gripper and queue; the driver's own deadlines are shorter
IDLE_LOOK_S, IDLE_LOOKS = 0.05, 60  # a feedback frame or two after the release; 3 s is far beyond that
LAST_WORDS_S = 2.0  # for the broker to take the last answers; whoever misses one asks the next process
RETRY_S = 1.0  # before an arm's link is tried again


async def run(context: Context[Settings], arms: Mapping[str, Arm]) -> None:
    """The component. `arms` by name, in the table's order (White's first). Runs until cancelled."""
    await Controller(context, arms).run()


class Controller:
    """One table's arms. `stop` is the way in that needs no broker."""

    def __init__(self, context: Context[Settings], arms: Mapping[str, Arm]) -> None:
        """Raises ValueError when there is no arm or a rack does not fit; JournalError."""
        if not arms:
            raise ValueError("a table without arms needs no arm controller")
        self._context = context
        self._arms = dict(arms)
        names = tuple(self._arms)
        self._ground = context.settings.ground(names)
        racks = {name: letters for name, letters in context.settings.racks.items() if name in self._arms}
        self._fresh_slots = Slots.filled(self._ground.layout, racks)
        self._state: c.State | None = None
        self._group: anyio.abc.TaskGroup | None = None
        self._halting = 0
        self._acts: dict[str, anyio.CancelScope] = {}
        self._brings: dict[str, anyio.CancelScope] = {}
        self._bring_locks = {name: anyio.Lock() for name in names}
        self._checked: tuple[Plan, CheckedPlan] | None = None
        self._outgoing = Outgoing(context, lambda: shown(self.state, self._arms))
        self._inbox = Inbox(context, self._outgoing, self._handle, self.stop, lambda: self.state)

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started when the topics are subscribed."""
        context, topics = self._context, self._context.topics
        table = restore(context.journal, self._fresh_slots)
        self._state = c.initial(
            table, self._fresh_slots, tuple(self._arms), context.settings.limits(), anyio.current_time()
        )
        wanted = (topics.arm_job, topics.arm_control, topics.arm_move, topics.session_state)
        async with (
            Health(context) as health,
            context.bus.subscribe(*wanted) as deliveries,
            anyio.create_task_group() as group,
        ):
            self._group = group
            for name, arm in self._arms.items():
                group.start_soon(self._serve, arm, name=f"arm {name}")
                group.start_soon(self._watch, arm, name=f"arm {name} states")
            group.start_soon(self._tick, health, name="arm-controller tick")
            group.start_soon(self._outgoing.run_state, name="arm-controller state")
            group.start_soon(self._outgoing.run, name="arm-controller answers")
            task_status.started()
            async for delivery in deliveries:
                self._inbox.receive(delivery)

    def stop(self, reason: str, control: ArmControl | None = None) -> None:
        """Stops every arm now; nothing moves until a `recover`. Callable from any task of the same event loop.

        The arms are told first, the journal second. Before `run` has started there is nothing to stop yet.
        """
        if self._group is None:
            return
        self._halting += 1
        self._group.start_soon(self._halt, reason, control, name="arm-controller stop")

    async def end(self, hurried: anyio.Event) -> None:
        """Takes no more jobs, brings the one under way to its next safe place, and arms that are out and well to their
        parks; for as long as the settings allow, or until `hurried`. Says where an arm stands that did not come home.

        Then cancel `run`: whatever moves still is stopped by that. Nothing to do where `run` does not serve.
        """
        if self._group is None or self._group.cancel_scope.cancel_called:
            return
        self._handle(c.EndAsked())
        with anyio.move_on_after(self._context.settings.end_wait_s):
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_when, hurried, group.cancel_scope, name="arm-controller hurried")
                while not c.at_rest(self.state):  # noqa: ASYNC110  (measurements, which no event ends)
                    await anyio.sleep(IDLE_LOOK_S)
                group.cancel_scope.cancel()
        for name, arm in self._arms.items():
            now = arm.state()
            if not now.parked:
                log.warning("%s", _where(name, now, self.state.table.hand(name)))
        with anyio.move_on_after(LAST_WORDS_S):
            await self._outgoing.show()  # it is retained: what everybody sees until the next start
            while not self._outgoing.empty:  # noqa: ASYNC110  (a state, no event)
                await anyio.sleep(IDLE_LOOK_S)

    @property
    def state(self) -> c.State:
        """A snapshot of what the controller knows. Raises RuntimeError before `run`."""
        if self._state is None:
            raise RuntimeError("the controller is not running")
        return self._state

    # ---------------------------------------------------------------- decisions

    def _handle(self, event: c.Event) -> None:
        """Decide, make durable, act. Synchronous: nothing else runs between a decision and its record."""
        events: deque[c.Event] = deque([event])
        while events:
            state = c.observe(self.state, self._views(), anyio.current_time(), self._context.clock.unix_s())
            self._state, effects = c.decide(state, events.popleft())
            drafts: list[Draft] = []
            for effect in effects:
                if isinstance(effect, Note):
                    drafts.append(Draft(effect.kind, effect.data, effect.session_id, effect.key))
                    continue
                self._write(drafts)
                events.extend(self._apply(effect))
            self._write(drafts)
        self._outgoing.changed()

    def _write(self, drafts: list[Draft]) -> None:
        if drafts:
            for entry in self._context.journal.append_all(drafts):
                announce(self._context, entry)
            drafts.clear()

    def _apply(self, effect: c.Effect) -> tuple[c.Event, ...]:
        """Carries out one effect that is no note; returns the events that follow at once."""
        assert self._group is not None
        topics = self._context.topics
        match effect:
            case c.PlanJob():
                self._group.start_soon(self._plan, effect, name=f"plan {effect.number}")
            case c.PlanRetreat():
                self._group.start_soon(self._plan_retreat, effect, name=f"arm {effect.arm} way home")
            case c.Begin():
                self._group.start_soon(self._act, effect, name=f"arm {effect.arm} act {effect.act}")
            case c.StopArms(names):
                self._group.start_soon(self._stop_arms, names, name="arm-controller halt")
            case c.Bring(arm, confirmed):
                self._group.start_soon(self._bring, arm, confirmed, name=f"arm {arm} bring")
            case c.Answer(result, lan):
                self._outgoing.send(topics.arm_job_result, result)
                if result.job_id.startswith(FOREIGN):
                    self._outgoing.send(topics.arm_move_response, foreign_answer(result, lan))
            case c.Respond(response):
                self._outgoing.send(topics.arm_control_response, response)
            case _:
                raise AssertionError(f"no such effect here: {effect}")
        return ()

    async def _plan(self, asked: c.PlanJob) -> None:
        """In slices, between which everybody else has a turn: a stop ends it, and no heartbeat waits for it."""
        planned = await in_turns(self._planning(asked), lambda: c.wanted(self.state, asked))
        if planned is not None:
            self._handle(planned)

    def _planning(self, asked: c.PlanJob) -> Gradual[c.JobPlanned | c.JobImpossible]:
        try:
            arm, parts, checked = yield from self._parts(asked)
        except JobRefused as error:
            return c.JobImpossible(asked.number, error.code, error.reason)
        except RobotError as error:
            return c.JobImpossible(asked.number, "not-ready", f"arm {asked.arm}: {error}" if asked.arm else str(error))
        if len(parts) == 1 and checked is not None:
            self._checked = (parts[0].plan, checked)  # the whole plan is this one part: it need not be checked twice
        return c.JobPlanned(asked.number, parts, arm)

    def _parts(self, asked: c.PlanJob) -> Gradual[Planned]:
        name, job, slots = asked.arm, asked.job, asked.slots
        if name is not None and asked.piece is not None:
            part, checked = yield from plan_placing(
                job, name, asked.piece, slots, self._ground, self._arms[name], self._arms
            )
            return name, (part,), checked
        if name is None or job.kind == "setup":
            return (yield from plan_setup(job, slots, self._ground, self._arms))
        return name, *(yield from plan_job(job, name, slots, self._ground, self._arms[name], self._arms))

    async def _plan_retreat(self, asked: c.PlanRetreat) -> None:
        """As `_plan`."""
        planned = await in_turns(self._planning_retreat(asked), lambda: c.wanted(self.state, asked))
        if planned is not None:
            self._handle(planned)

    def _planning_retreat(self, asked: c.PlanRetreat) -> Gradual[c.RetreatPlanned]:
        arm = self._arms[asked.arm]
        measured = arm.state()
        if measured.tool is None and not measured.parked:
            return c.RetreatPlanned(asked.number, None, "where its tool is cannot be measured (no calibration?)")
        try:
            plan = yield from plan_way_home(
                asked.arm, None if measured.parked else measured.tool, self.state.table.slots, self._ground, arm,
                self._arms, held=asked.held, open_first=asked.open_first,
            )  # fmt: skip
        except ArmInTheWay as error:
            return c.RetreatPlanned(asked.number, None, error.reason, behind=error.arm)
        except (JobRefused, RobotError) as error:
            return c.RetreatPlanned(asked.number, None, f"no safe way to its park: {error}")
        return c.RetreatPlanned(asked.number, plan)

    def _views(self) -> dict[str, c.ArmView]:
        limit_s = self._context.settings.age_limit_s
        views = {}
        for name, arm in self._arms.items():
            now = arm.state()
            fresh = now.mode != "offline" and now.age_s <= limit_s
            views[name] = c.ArmView(now.mode, now.parked, now.holding, fresh, now.alarm, now.emergency)
        return views

    # ---------------------------------------------------------------- the arms

    async def _serve(self, arm: Arm) -> None:
        """An arm's own task; it reconnects by itself, and is started again if it gives up."""
        while True:
            try:
                await arm.run()
            except RobotError as error:
                log.error("arm %s: %s", arm.name, error)
            self._handle(c.Looked())
            await anyio.sleep(RETRY_S)

    async def _watch(self, arm: Arm) -> None:
        async for _ in arm.states():
            self._handle(c.Looked())

    async def _tick(self, health: Health) -> None:
        while True:
            self._handle(c.Looked())
            await self._show_health(health)
            await anyio.sleep(TICK_S)

    async def _show_health(self, health: Health) -> None:
        state = self.state
        if state.table.stopped is not None:
            await health.set("degraded", f"stopped: {state.table.stopped}")
            return
        for name, condition in state.conditions.items():
            if condition.phase != "ready":
                status = "degraded" if condition.phase in ("away", "blocked", "loaded") else "starting"
                await health.set(status, f"arm {name}: {condition.reason}")  # type: ignore[arg-type]
                return
        await health.set("ready")

    async def _act(self, begin: c.Begin) -> None:
        """One execution; exactly one ActEnded follows, unless this task is cancelled with the whole component."""
        arm, began_s = self._arms[begin.arm], anyio.current_time()
        report: Report | None = None
        try:
            checked = await self._check(arm, begin)
            wait_s = checked.duration_s * ACT_WAIT_FACTOR + ACT_WAIT_EXTRA_S
            with anyio.move_on_after(wait_s) as scope:
                self._acts[begin.arm] = scope
                report = await arm.execute(checked, begin.token)
        except PlanRefused as error:
            report = Report("refused", error.code, str(error), 0, (), 0.0)
        except ArmStopped as error:
            report = Report("refused", "stopped", str(error), 0, (), 0.0)
        except RobotError as error:
            report = Report("unknown", "link-lost", str(error), 0, (), anyio.current_time() - began_s)
        finally:
            self._acts.pop(begin.arm, None)
        if report is None:
            took_s = anyio.current_time() - began_s
            report = Report("unknown", "timeout", f"no end after {took_s:.0f} s", 0, (), took_s)
        self._handle(c.ActEnded(begin.act, report))

    async def _check(self, arm: Arm, begin: c.Begin) -> CheckedPlan:
        """Checked from where the arm is now. Raises PlanRefused, or ArmStopped when a stop came between."""
        prepared, self._checked = self._checked, None
        checked: CheckedPlan | None = None
        if self._against(begin) is None:
            if prepared is not None and prepared[0] is begin.plan:
                return prepared[1]
            checked = await in_turns(checking(arm, begin.plan), lambda: self._against(begin) is None)
        if checked is None:
            raise ArmStopped(self._against(begin) or "a stop came before the motion began")
        return checked

    def _against(self, begin: c.Begin) -> str | None:
        """Why this motion must not begin any more."""
        return "a stop came before the motion began" if self._halting else c.stale(self.state, begin)

    async def _bring(self, name: str, confirmed: bool) -> None:
        """Stop, release, make ready. A stop cancels it, and is then delivered once more, after whatever was under way.

        Only a person's word (`confirmed`) clears an alarm, however the arm came to be held. One that was just switched
        on and is held by nobody is made ready without a release.
        """
        arm = self._arms[name]
        async with self._bring_locks[name]:
            if self.state.conditions[name].phase != "bringing":
                return
            error: str | None = f"not ready after {BRING_WAIT_S:.0f} s"
            with anyio.move_on_after(BRING_WAIT_S) as scope:
                self._brings[name] = scope
                try:
                    if confirmed or arm.state().mode != "starting":
                        with contextlib.suppress(ArmLost):  # `recover` waits for a link, which begins with a stop
                            await arm.stop()
                        await arm.recover(confirmed=confirmed)
                    await arm.ensure_ready()
                    error = await _until_idle(arm)
                except RobotError as failure:
                    error = str(failure) or type(failure).__name__
                finally:
                    self._brings.pop(name, None)
                    if self._halting or self.state.table.holds(name):
                        await self._stop_one(name, [])
        cancelled_by_stop = scope.cancel_called and anyio.current_time() < scope.deadline
        if not cancelled_by_stop:
            self._handle(c.Brought(name, error))

    # ---------------------------------------------------------------- the stop

    async def _halt(self, reason: str, control: ArmControl | None) -> None:
        """Orders go to the drivers first, then the record is made, then standstill is waited for. Whatever was not
        confirmed is told and recorded: somebody must look."""
        problems: list[str] = []
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as group:
                self._interrupt()
                for name in self._arms:
                    group.start_soon(self._stop_one, name, problems, name=f"arm {name} stop")
                await anyio.lowlevel.checkpoint()  # the orders may run in the same round as this task, in any order …
                await anyio.lowlevel.checkpoint()  # … so only after a second round all of them are out
                self._halting -= 1
                self._handle(c.StopAsked(reason))
        if problems:
            self._write([Draft("stop-unconfirmed", {"reason": reason, "problems": sorted(problems)})])
        if control is not None:
            answer = ArmControlResponse(
                status=500 if problems else 200,
                command=control.command,
                request_id=control.request_id,
                reason="; ".join(sorted(problems)) or None,
            )
            self._outgoing.send(self._context.topics.arm_control_response, answer)

    async def _stop_arms(self, names: tuple[str, ...]) -> None:
        self._interrupt()
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as group:
                for name in names:
                    group.start_soon(self._stop_one, name, [], name=f"arm {name} stop")

    def _interrupt(self) -> None:
        """Nobody makes an arm ready now, and an execution that does not end by the stop is cancelled soon after."""
        for scope in self._brings.values():
            scope.cancel()
        limit_s = anyio.current_time() + STOP_WAIT_S
        for scope in self._acts.values():
            scope.deadline = min(scope.deadline, limit_s)

    async def _stop_one(self, name: str, problems: list[str]) -> None:
        """Appends to `problems` what kept the stop from being confirmed."""
        problem = f"arm {name}: not seen to stand within {STOP_WAIT_S:.0f} s"
        with anyio.move_on_after(STOP_WAIT_S, shield=True):
            try:
                await self._arms[name].stop()
                return
            except RobotError as error:
                problem = f"arm {name}: {error}"
        log.warning("%s", problem)
        problems.append(problem)


async def _cancel_when(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _where(name: str, now: MeasuredArm, piece: str | None) -> str:
    """For people: an arm that is left out of its park."""
    tool = now.tool
    at = f"its tool at {tool.x_mm:.0f} {tool.y_mm:.0f} {tool.z_mm:.0f} mm" if tool is not None else "nobody knows where"
    holds = f", with the {piece_name(piece)} in its gripper" if piece is not None and now.holding is not False else ""
    return (
        f"arm {name} is left out of its park, {at}{holds}: the next start brings it home, or says what a person must do"
    )


async def _until_idle(arm: Arm) -> str | None:
    """None when the arm measures that it is idle; else what it measures instead."""
    for _ in range(IDLE_LOOKS):
        if arm.state().mode == "idle":
            return None
        await anyio.sleep(IDLE_LOOK_S)
    now = arm.state()
    return now.alarm or f"made ready, but it is {now.mode}"

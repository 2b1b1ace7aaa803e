"""One component running: does what `lifecycle.decide` orders, with processes, timers and its log."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio

from edgechess_nucleus.deployed import Deployed
from edgechess_nucleus.flavour import LITE, Flavour
from edgechess_nucleus.interpolation import Variables
from edgechess_nucleus.lifecycle import (
    AT_REST,
    TIMEOUTS_S,
    BackedOff,
    Effect,
    Ended,
    EndProcesses,
    Event,
    Life,
    Pause,
    RunStep,
    State,
    StepEnded,
    StepStarted,
    decide,
)
from edgechess_nucleus.logs import ComponentLog
from edgechess_nucleus.process_group import ProcessGroup, ScriptRefused
from edgechess_nucleus.recipe import LITE_STEPS, Step, StepName
from edgechess_nucleus.state import KeptComponent

BOOTSTRAP_DONE = (
    0,
    100,
    101,
)  # 100 and 101 ask the Java nucleus to restart itself or the device; here neither is needed
ALREADY_SAID = 1000  # warnings of one component that are remembered, so that each is logged once


@dataclasses.dataclass(frozen=True, slots=True)
class ComponentStatus:
    """What an operator sees. `since_s` is on the runtime's own clock; `pid` is of the newest script.

    `reported`: it has said itself, by UpdateState, that it is RUNNING; of most, RUNNING says only that a process is there.
    """

    name: str
    version: str
    state: State
    since_s: float
    pid: int | None
    errors: int
    reason: str | None
    reported: bool


class Component:
    """Run `run` as a task; everything else is told to it by `tell`.

    `environment` is asked before each script; `changed` is called at every change of state.
    """

    def __init__(
        self,
        deployed: Deployed,
        flavour: Flavour,
        variables: Variables,
        log: ComponentLog,
        environment: Callable[[StepName], Mapping[str, str]],
        changed: Callable[[Component], None],
    ) -> None:
        self.deployed = deployed
        self.log = log
        self._lite = flavour is LITE
        self._variables = variables
        self._environment = environment
        self._changed = changed
        known = LITE_STEPS if self._lite else TIMEOUTS_S
        steps = [step.name for step in deployed.lifecycle.steps if step.name in known]
        self.life = Life(frozenset(step for step in steps if step != "bootstrap" or not deployed.bootstrapped))
        self._bootstrapped = deployed.bootstrapped
        self._since_s = 0.0
        self._orders: tuple[Effect, ...] = ()
        self._news = anyio.Event()
        self._under_way = anyio.CancelScope()
        self._deadline = anyio.CancelScope()
        self._groups: list[ProcessGroup] = []
        self.stopped = anyio.Event()
        """Set when it is STOPPED, because nobody wants it any more. Or when `run` has ended."""
        self._tasks = anyio.CancelScope()
        self._said: set[str] = set()

    @property
    def name(self) -> str:
        return self.deployed.name

    @property
    def status(self) -> ComponentStatus:
        return ComponentStatus(
            name=self.name,
            version=str(self.deployed.recipe.version),
            state=self.life.state,
            since_s=self._since_s,
            pid=self._groups[-1].pid if self._groups else None,
            errors=len(self.life.errors_s),
            reason=self.life.reason,
            reported=self.life.reported,
        )

    @property
    def filled(self) -> tuple[Deployed, Variables]:
        """What it was deployed as, and what its variables stand for."""
        return self.deployed, self._variables

    @property
    def kept(self) -> KeptComponent:
        """What must still be known after the next start."""
        return KeptComponent(
            str(self.deployed.recipe.version), self.deployed.configuration.stamped(), self._bootstrapped
        )

    def tell(self, event: Event) -> None:
        """Decides at once; what follows is done by `run`, in place of what it was at."""
        before = self.life
        self.life, orders = decide(self.life, event, anyio.current_time())
        if orders:
            self._orders = orders
            self._under_way.cancel()
            self._news.set()
        if self.life.state != before.state:
            self._note(before)
        if (self.life.state, self.life.reported) != (before.state, before.reported):
            self._changed(self)

    def adopt(self, deployed: Deployed, variables: Variables) -> None:
        """Another configuration under the same life: version and scripts are those that it has."""
        self.deployed = deployed
        self._variables = variables

    def retire(self) -> None:
        """Ends `run`. Its life is over; what still runs of it is ended."""
        self._tasks.cancel()

    async def run(self) -> None:
        """Until cancelled or retired; processes are gone when it returns."""
        for note in self.deployed.notes:
            self.log.write("nucleus", note)
        try:
            with self._tasks:
                async with anyio.create_task_group() as processes:
                    await self._obey_orders(processes)
        finally:
            self.stopped.set()

    async def _obey_orders(self, processes: anyio.abc.TaskGroup) -> None:
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            orders, self._orders = self._orders, ()
            with anyio.CancelScope() as self._under_way:
                for order in orders:
                    await self._obey(order, processes)

    def _note(self, before: Life) -> None:
        self._since_s = anyio.current_time()
        if self.life.state == "RUNNING":
            self._deadline.deadline = math.inf  # a startup script that has reported may live on
        why = f": {self.life.reason}" if self.life.reason != before.reason and self.life.reason else ""
        if self.life.state == "BROKEN":
            why += f"; {len(self.life.errors_s)} errors within an hour: it stays down until it is restarted"
        if self.life.state == "STOPPED":
            self.stopped.set()
        if self.life.state in AT_REST or why or self.life.state == "RUNNING":
            self.log.write("nucleus", f"{self.life.state}{why}")

    async def _obey(self, order: Effect, processes: anyio.abc.TaskGroup) -> None:
        match order:
            case RunStep(step):
                error = await self._run_step(step, processes)
                self.tell(StepEnded(step, error))
            case EndProcesses(shutdown=True):
                if "shutdown" in self.life.steps:
                    error = await self._run_step("shutdown", processes)
                    if error is not None:
                        self.log.write("nucleus", f"shutdown: {error}")
                await self._end_processes()
                self.tell(Ended())
            case EndProcesses():
                await self._end_processes()
            case Pause(seconds):
                await anyio.sleep(seconds)
                self.tell(BackedOff())

    async def _end_processes(self) -> None:
        async with anyio.create_task_group() as ending:
            for group in list(self._groups):
                ending.start_soon(group.end, name="end")

    # -- one script ------------------------------------------------------------------------------------------------

    async def _run_step(self, name: StepName, processes: anyio.abc.TaskGroup) -> str | None:
        """Why it failed; None when it did not. A startup script that succeeded may leave processes behind."""
        step = self.deployed.lifecycle.step(name)
        assert step is not None  # `life.steps` are of this life cycle
        if self._skipped(step):
            self.log.write("nucleus", f"{name}: skipped: {step.skip_if}")
            return None
        try:
            timeout_s = self._timeout_s(step)
            with anyio.CancelScope(shield=True):
                group = await self._start(step)
        except (ScriptRefused, ValueError) as error:
            return str(error)
        self._groups.append(group)
        processes.start_soon(self._attend, group, name=name)
        await group.started()
        if name == "run":
            self.tell(StepStarted(name))
        wrong: str | None = f"not done after {timeout_s or 0.0:g} s"
        with anyio.move_on_after(timeout_s) as self._deadline:
            wrong = _wrong(await group.wait(), name)
        if name != "startup" or wrong is not None:
            await group.end()
        self._bootstrapped |= name == "bootstrap" and wrong is None
        return wrong

    async def _attend(self, group: ProcessGroup) -> None:
        try:
            await group.run()
        finally:
            self._groups.remove(group)

    async def _start(self, step: Step) -> ProcessGroup:
        if step.requires_privilege and os.geteuid() != 0:
            self._warn(f"{step.name}: RequiresPrivilege: it runs as the user who started the runtime, not as root")
        lifecycle = self.deployed.lifecycle
        own = {name: self._filled(value) for name, value in (*lifecycle.setenv, *step.setenv)}
        script = self._filled(step.script)

        def say(line: str) -> None:
            self.log.write(step.name, line)

        return await ProcessGroup.start(
            script,
            folder=self.deployed.paths.work,
            environment={**self._environment(step.name), **own},
            grace_s=self._grace_s(),
            say=say,
        )

    def _timeout_s(self, step: Step) -> float | None:
        """Raises ValueError for a variable that stands for no number of seconds."""
        if step.timeout is None:
            return TIMEOUTS_S[step.name]
        text = self._filled(step.timeout)
        if not text.isdigit():
            raise ValueError(f"Timeout {step.timeout}: {text!r} is no number of seconds")
        return float(text)

    def _grace_s(self) -> float:
        """From SIGTERM to SIGKILL: the time that the recipe grants the shutdown."""
        step = self.deployed.lifecycle.step("shutdown")
        limit_s = TIMEOUTS_S["shutdown"] if step is None else self._timeout_s(step)
        assert limit_s is not None  # only `run` has none
        return limit_s

    def _skipped(self, step: Step) -> bool:
        if step.skip_if is None or self._lite:
            return False
        kind, _, what = self._filled(step.skip_if).partition(" ")
        what = what.strip()
        if kind == "onpath":
            return shutil.which(what) is not None
        return (self.deployed.paths.work / Path(what).expanduser()).exists()

    def _filled(self, text: str) -> str:
        filled = self._variables.fill(text)
        for unknown in filled.unknown:
            self._warn(f"{unknown} stands for nothing here and stays as it is written")
        return filled.text

    def _warn(self, text: str) -> None:
        if text not in self._said and len(self._said) < ALREADY_SAID:
            self._said.add(text)
            self.log.write("nucleus", text)


def _wrong(code: int, name: StepName) -> str | None:
    if code == 0 or (name == "bootstrap" and code in BOOTSTRAP_DONE):
        return None
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit code {code}"

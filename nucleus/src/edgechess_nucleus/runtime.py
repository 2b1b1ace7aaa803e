"""The components of one deployment, running: order, tokens, configurations, what is kept. The IPC server's host.

runtime = Runtime(prepared, root, …)
server = IpcServer(runtime, flavour="java", broker=…)
runtime.serve_with(server)
async with anyio.create_task_group() as tasks:
    await tasks.start(server.serve, root.ipc_socket)
    await tasks.start(runtime.run)
"""

from __future__ import annotations

import dataclasses
import logging
import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup, TaskStatus

from edgechess_nucleus.changes import Changes, changes, differing_keys
from edgechess_nucleus.component import Component, ComponentStatus
from edgechess_nucleus.configuration import Configuration, KeyPath
from edgechess_nucleus.deployed import Deployed, Prepared
from edgechess_nucleus.deployment import Deployment
from edgechess_nucleus.environment import component_environment, new_token
from edgechess_nucleus.errors import NucleusError
from edgechess_nucleus.flavour import LITE, Flavour
from edgechess_nucleus.host import ReportedState, Secrets
from edgechess_nucleus.interpolation import Variables
from edgechess_nucleus.lifecycle import (
    SERVING,
    UP,
    Begin,
    DependenciesReady,
    DependencyLost,
    Reported,
    Restart,
    State,
    Stop,
)
from edgechess_nucleus.logs import Clock, ComponentLog, Echo
from edgechess_nucleus.recipe import Dependency, StepName
from edgechess_nucleus.root_folder import RootFolder
from edgechess_nucleus.state import KeptState, StateError, write_state

log = logging.getLogger(__name__)

HAD_ITS_TURN: frozenset[State] = frozenset({"STARTING", "RUNNING", "ERRORED", "BACKING_OFF", "FINISHED", "BROKEN"})
DOWN: frozenset[State] = frozenset({"STOPPED"})
GIVEN_UP: frozenset[State] = frozenset({"BROKEN", "STOPPED"})  # a deployment gives them another chance
STEADY_S = 5.0  # a script that fails at once was RUNNING for a moment: Python needs a second or two to refuse settings

Observer = Callable[[ComponentStatus], None]


class RuntimeEnding(NucleusError):
    """Nothing is deployed any more: the runtime has been told to end."""


class Server(Protocol):
    """What the runtime tells its IPC server."""

    def revoke(self, component: str) -> None: ...
    def configuration_changed(self, component: str, changed: Sequence[KeyPath]) -> None: ...


class Runtime:
    """Implements `host.Host`. Run `run` once, after `serve_with`."""

    def __init__(
        self,
        prepared: Prepared,
        root: RootFolder,
        flavour: Flavour,
        secrets: Secrets,
        *,
        clock: Clock,
        rng: random.Random,
        echo: Echo,
        observe: Observer,
    ) -> None:
        """`clock`: seconds since the epoch, for logs. `rng` makes tokens, so it must be one nobody can guess.

        `echo` gets every line that a component prints, `observe` its status at every change.
        """
        self._prepared = prepared
        self._root = root
        self._flavour = flavour
        self._rng = rng
        self._observe = observe
        self._server: Server | None = None
        self._tokens: dict[str, str] = {}
        self.thing_name = prepared.deployment.local.thing_name
        self.region = prepared.deployment.local.region
        self.secrets = secrets
        self._clock = clock
        self._echo = echo
        self._tasks: TaskGroup | None = None
        self._applying: anyio.CancelScope | None = None
        self._ending = False
        self._held: frozenset[str] = frozenset()
        self._news = anyio.Event()
        deployed = {one.name: one for one in prepared.components}
        self._components = {name: self._component(one, deployed) for name, one in deployed.items()}

    def serve_with(self, server: Server) -> None:
        self._server = server

    async def run(self, *, task_status: TaskStatus[Runtime] = anyio.TASK_STATUS_IGNORED) -> None:
        """Starts the components, dependencies first. Cancelled, it stops them, dependents first, and keeps the state.

        Raises StateError when the state cannot be kept.
        """
        self._keep()
        async with anyio.create_task_group() as waiting, anyio.create_task_group() as tasks:
            waiting.start_soon(self._stop_when_cancelled, tasks.cancel_scope, name="stop when cancelled")
            tasks.cancel_scope.shield = True  # a cancelled runtime stops its components in order, not all at once
            self._tasks = tasks
            for component in self._components.values():
                tasks.start_soon(component.run, name=component.name)
            for component in self._components.values():
                component.tell(Begin())
            task_status.started(self)
        self._keep()

    # -- for an operator -------------------------------------------------------------------------------------------

    @property
    def deployment(self) -> Deployment:
        """What is in force."""
        return self._prepared.deployment

    def status(self) -> list[ComponentStatus]:
        """In the order of dependencies."""
        return [component.status for component in self._components.values()]

    def restart(self, name: str) -> None:
        """Also what is BROKEN. Raises KeyError naming the components that there are."""
        self._named(name).tell(Restart())

    def log_of(self, name: str) -> ComponentLog:
        """Raises KeyError as `restart` does."""
        return self._named(name).log

    def _named(self, name: str) -> Component:
        """By its name, or by the end of it where only one ends so: `GameManager`."""
        found = [c for known, c in self._components.items() if known == name or known.endswith(f".{name}")]
        if len(found) != 1:
            raise KeyError(f"no component {name}; there are {', '.join(self._components)}")
        return found[0]

    # -- another deployment ----------------------------------------------------------------------------------------

    @property
    def kept(self) -> KeptState:
        """Everything that is remembered, as it is now."""
        kept = {name: component.kept for name, component in self._components.items()}
        return KeptState(self._prepared.fingerprint, kept)

    @property
    def prepared(self) -> Prepared:
        """What runs, as it was prepared; its configurations go on changing."""
        return self._prepared

    async def apply(self, resolve: Callable[[KeptState], Prepared]) -> Changes:
        """Makes what runs into what `resolve` gives for the state that is kept at that moment.

        What goes or changes is ended, dependents first; then everything is in force at once, configurations are told
        to their subscribers, and what is new or changed starts, dependencies first. One at a time. Raises RuntimeEnding, StateError, and what `resolve` raises.
        """
        self._keep()
        try:
            with anyio.CancelScope() as self._applying:
                if self._ending:
                    self._applying.cancel()
                coming = self._changes_to(resolve(self.kept))
                self._held = frozenset(coming.held)
                await self._take_down(coming.ending, coming.held)
                await anyio.lowlevel.checkpoint()  # the last chance of an end of the runtime; nobody comes in between
                return self._put_in_force(resolve(self.kept), coming)
        finally:
            self._applying = None
            self._held = frozenset()  # whatever happened, nobody stands still for ever
            self._look_at_all()
        raise RuntimeEnding("the runtime is ending")

    async def settled(self, names: Collection[str]) -> list[ComponentStatus]:
        """Waits until these serve, and have done so for STEADY_S. Gives those of them, or of what they depend on, that
        are BROKEN: nothing more will come of it then."""
        while True:
            concerned = self._with_dependencies(names)
            broken = [one.status for one in concerned if one.life.state == "BROKEN"]
            rest_s = max((_unsteady_s(one.status) for one in concerned), default=0.0)
            if broken or rest_s <= 0.0:
                return broken
            news = self._news
            with anyio.move_on_after(rest_s):
                await news.wait()

    def _changes_to(self, prepared: Prepared) -> Changes:
        deployed = {one.name: one for one in prepared.components}
        return changes(
            {name: one.filled for name, one in self._components.items()},
            {name: (one, self._variables(one, deployed)) for name, one in deployed.items()},
            [name for name, one in self._components.items() if one.life.state in GIVEN_UP],
        )

    def _put_in_force(self, prepared: Prepared, coming: Changes) -> Changes:
        """In one step: nobody sees half of it."""
        assert self._tasks is not None
        before, self._prepared, self._components = self._components, prepared, {}
        for name in coming.ending:
            before[name].retire()
            self._tokens.pop(name, None)
            self._revoke(name)
        deployed = {one.name: one for one in prepared.components}
        told: dict[str, list[KeyPath]] = {}
        for name, one in deployed.items():
            if name in before:
                running = before[name].deployed.configuration
                told[name] = differing_keys(running.snapshot(), one.configuration.snapshot())
            if name in coming.beginning:
                self._components[name] = self._component(one, deployed)
            else:
                self._components[name] = before[name]
                before[name].adopt(one, self._variables(one, deployed))
        self._keep_or_say("the new deployment")
        for name, paths in told.items():
            if paths and self._server is not None:
                self._server.configuration_changed(name, paths)
        for name in coming.beginning:
            self._tasks.start_soon(self._components[name].run, name=name)
            self._components[name].tell(Begin())
        configured = tuple(name for name, paths in told.items() if paths and name not in coming.beginning)
        return dataclasses.replace(coming, configured=configured)

    def _with_dependencies(self, names: Collection[str]) -> list[Component]:
        """In the order of dependencies, those that HARD dependencies lead to included."""
        concerned = set(names)
        for name, one in reversed(self._components.items()):
            if name in concerned:
                concerned |= {d.name for d in one.deployed.recipe.dependencies if d.kind == "HARD"}
        return [one for name, one in self._components.items() if name in concerned]

    # -- the IPC server's host -------------------------------------------------------------------------------------

    def component_of(self, token: str) -> str | None:
        return next((name for name, given in self._tokens.items() if given == token), None)

    def configuration(self, component: str) -> Configuration | None:
        known = self._components.get(component)
        return None if known is None else known.deployed.configuration

    def configuration_changed(self, component: str, changed: Sequence[KeyPath]) -> None:
        self._keep_or_say(f"the changed configuration of {component}")

    def report_state(self, component: str, state: ReportedState) -> None:
        if component in self._components:
            self._components[component].tell(Reported(state))

    # -- inside ----------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        write_state(self._root.state, self.kept)

    def _keep_or_say(self, what: str) -> None:
        try:
            self._keep()
        except StateError as error:
            log.error("%s is not kept: %s", what, error)

    def _changed(self, component: Component) -> None:
        self._observe(component.status)
        self._look_at_all()
        self._news.set()
        self._news = anyio.Event()

    def _look_at_all(self) -> None:
        for component in self._components.values():
            self._look(component)

    def _look(self, component: Component) -> None:
        """Tells a component what has become of those it depends on."""
        state = component.life.state
        if component.name in self._held:
            return
        if state == "INSTALLED" and all(map(self._allows_start, component.deployed.recipe.dependencies)):
            component.tell(DependenciesReady())
        elif state in UP and not all(map(self._serves, component.deployed.recipe.dependencies)):
            component.tell(DependencyLost())

    def _allows_start(self, dependency: Dependency) -> bool:
        """HARD: it serves. SOFT: it was started before, whatever has become of it; or it is not here at all."""
        other = self._components.get(dependency.name)
        if dependency.kind == "HARD":
            return self._serves(dependency)
        return other is None or other.life.state in HAD_ITS_TURN | DOWN

    def _serves(self, dependency: Dependency) -> bool:
        other = self._components.get(dependency.name)
        return dependency.kind == "SOFT" or other is None or other.life.state in SERVING

    async def _stop_when_cancelled(self, components: anyio.CancelScope) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self._ending = True
            if self._applying is not None:
                self._applying.cancel()
            with anyio.CancelScope(shield=True):
                await self._take_down(self._components)
            components.cancel()

    async def _take_down(self, stop: Collection[str], hold: Collection[str] = ()) -> None:
        """`stop` for good, `hold` until they are no longer held; each after those of them that depend on it."""
        async with anyio.create_task_group() as tasks:
            for name in self._components:
                if name in stop or name in hold:
                    tasks.start_soon(self._take_one_down, name, stop, hold, name=f"stop {name}")

    async def _take_one_down(self, name: str, stop: Collection[str], hold: Collection[str]) -> None:
        """A SOFT circle is cut by the order in which things were started."""
        order = list(self._components)
        for other in order[order.index(name) + 1 :]:
            depends = any(one.name == name for one in self._components[other].deployed.recipe.dependencies)
            if depends and (other in stop or other in hold):
                await self._is_down(other, stop)
        self._components[name].tell(Stop() if name in stop else Restart())
        await self._is_down(name, stop)

    async def _is_down(self, name: str, stop: Collection[str]) -> None:
        component = self._components[name]
        if name in stop:
            await component.stopped.wait()
            return
        while component.life.state in UP | {"STOPPING", "FINISHED"}:
            await self._news.wait()

    def _component(self, one: Deployed, deployed: Mapping[str, Deployed]) -> Component:
        return Component(
            one,
            self._flavour,
            self._variables(one, deployed),
            ComponentLog(one.name, self._root.logs, self._clock, self._echo),
            self._environment_of(one),
            self._changed,
        )

    def _variables(self, one: Deployed, deployed: Mapping[str, Deployed]) -> Variables:
        lite = self._flavour is LITE
        named = [] if lite else [d.name for d in one.recipe.dependencies if d.name in deployed]
        return Variables(
            configuration=one.configuration,
            paths=one.paths,
            root=self._root.path,
            thing_name=self._prepared.deployment.local.thing_name,
            dependencies={name: (deployed[name].configuration, deployed[name].paths) for name in named},
            work_slash=lite,
        )

    def _environment_of(self, one: Deployed) -> Callable[[StepName], dict[str, str]]:
        """A new token when the component starts anew: what still holds the old one is nobody any more."""

        def environment(step: StepName) -> dict[str, str]:
            if step in ("run", "startup") or one.name not in self._tokens:
                self._tokens[one.name] = new_token(self._flavour, self._rng)
                self._revoke(one.name)
            return component_environment(
                flavour=self._flavour,
                socket=self._root.ipc_socket,
                token=self._tokens[one.name],
                thing_name=self.thing_name,
                region=self.region,
                root_ca=self._root_ca(),
                version=str(one.recipe.version),
            )

        return environment

    def _revoke(self, component: str) -> None:
        if self._server is not None:
            self._server.revoke(component)

    def _root_ca(self) -> Path:
        broker = self._prepared.deployment.local.iot_core
        return broker.ca_file if broker and broker.ca_file else self._root.path / "rootCA.pem"


def _unsteady_s(status: ComponentStatus) -> float:
    """How long it still has to serve; infinite as long as it does not."""
    if status.state == "FINISHED":
        return 0.0
    return STEADY_S - (anyio.current_time() - status.since_s) if status.state == "RUNNING" else math.inf

"""The components of one deployment, running: order, tokens, configurations, what is kept. The IPC server's host.

runtime = Runtime(prepared, root, …)
server = IpcServer(runtime, flavour="java", broker=…)
runtime.serve_with(server)
async with anyio.create_task_group() as tasks:
    await tasks.start(server.serve, root.ipc_socket)
    await tasks.start(runtime.run)
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import anyio
from anyio.abc import TaskStatus

from edgechess_nucleus.component import Component, ComponentStatus
from edgechess_nucleus.configuration import Configuration, KeyPath
from edgechess_nucleus.deployed import Deployed, Prepared
from edgechess_nucleus.environment import component_environment, new_token
from edgechess_nucleus.flavour import LITE, Flavour
from edgechess_nucleus.host import ReportedState, Secrets
from edgechess_nucleus.interpolation import Variables
from edgechess_nucleus.lifecycle import (
    SERVING,
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

Observer = Callable[[ComponentStatus], None]


class Server(Protocol):
    """What the runtime tells its IPC server."""

    def revoke(self, component: str) -> None: ...


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
        deployed = {one.name: one for one in prepared.components}
        self._components = {
            name: Component(
                one,
                flavour,
                self._variables(one, deployed),
                ComponentLog(name, root.logs, clock, echo),
                self._environment_of(one),
                self._changed,
            )
            for name, one in deployed.items()
        }

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
            for component in self._components.values():
                tasks.start_soon(component.run, name=component.name)
            for component in self._components.values():
                component.tell(Begin())
            task_status.started(self)
        self._keep()

    # -- for an operator -------------------------------------------------------------------------------------------

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

    # -- the IPC server's host -------------------------------------------------------------------------------------

    def component_of(self, token: str) -> str | None:
        return next((name for name, given in self._tokens.items() if given == token), None)

    def configuration(self, component: str) -> Configuration | None:
        known = self._components.get(component)
        return None if known is None else known.deployed.configuration

    def configuration_changed(self, component: str, changed: Sequence[KeyPath]) -> None:
        try:
            self._keep()
        except StateError as error:
            log.error("%s: its changed configuration is not kept: %s", component, error)

    def report_state(self, component: str, state: ReportedState) -> None:
        if component in self._components:
            self._components[component].tell(Reported(state))

    # -- inside ----------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        kept = {name: component.kept for name, component in self._components.items()}
        write_state(self._root.state, KeptState(self._prepared.fingerprint, kept))

    def _changed(self, component: Component) -> None:
        self._observe(component.status)
        for other in self._components.values():
            self._look(other)

    def _look(self, component: Component) -> None:
        """Tells a component what has become of those it depends on."""
        state = component.life.state
        if state == "INSTALLED" and all(map(self._allows_start, component.deployed.recipe.dependencies)):
            component.tell(DependenciesReady())
        elif state in ("STARTING", "RUNNING") and not all(map(self._serves, component.deployed.recipe.dependencies)):
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
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as stopping:
                    for name in self._components:
                        stopping.start_soon(self._stop, name, name=f"stop {name}")
            components.cancel()

    async def _stop(self, name: str) -> None:
        """After all that depend on it. A SOFT circle is cut by the order in which things were started."""
        order = list(self._components)
        dependents = [
            other
            for other in order[order.index(name) + 1 :]
            if any(d.name == name for d in self._components[other].deployed.recipe.dependencies)
        ]
        for other in dependents:
            await self._components[other].stopped.wait()
        self._components[name].tell(Stop())
        await self._components[name].stopped.wait()

    def _variables(self, one: Deployed, deployed: dict[str, Deployed]) -> Variables:
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
                if self._server is not None:
                    self._server.revoke(one.name)
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

    def _root_ca(self) -> Path:
        broker = self._prepared.deployment.local.iot_core
        return broker.ca_file if broker and broker.ca_file else self._root.path / "rootCA.pem"

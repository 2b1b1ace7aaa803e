"""A new deployment for a runtime that runs, as the Java nucleus does one.

Read, resolved, artifacts in their place: until here nothing that runs is touched. Then components are asked, and any
may put it off. Then it is in force (`Runtime.apply`), and it has succeeded when all that was started serves. If not,
what ran before runs again, with the configuration that it had, unless the document's failureHandlingPolicy is
DO_NOTHING. What a component wrote into its configuration meanwhile is then lost, as on the Java nucleus.

Under `localRuntime` nothing can change while the runtime runs, but for the folders of recipes and artifacts.
"""

from __future__ import annotations

import dataclasses
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio.to_thread

from edgechess_nucleus.artifacts import ArtifactSource, FolderSource
from edgechess_nucleus.component import ComponentStatus
from edgechess_nucleus.component_updates import ComponentUpdates
from edgechess_nucleus.configuration import Configuration
from edgechess_nucleus.deployed import Deployed, Fetched, Prepared, configure, fetch
from edgechess_nucleus.deployment import Deployment, LocalRuntime, read_deployment
from edgechess_nucleus.errors import NucleusError
from edgechess_nucleus.flavour import Flavour
from edgechess_nucleus.root_folder import RootFolder
from edgechess_nucleus.runtime import Runtime
from edgechess_nucleus.state import KeptState

log = logging.getLogger(__name__)

LOCAL_KEYS = {
    "thing_name": "thingName",
    "region": "region",
    "secrets": "secrets",
    "iot_core": "iotCore",
    "local_mqtt": "localMqtt",
    "bridge": "mqttTopicMapping",
}


class DeploymentRefused(NucleusError):
    """It cannot be done while the runtime runs; nothing was touched."""


class DeploymentFailed(NucleusError):
    """A component did not come up; the text says which, why, and what runs now."""


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants deployed. `recipes`, `artifacts` None: as the document says, else those that are in use."""

    document: Path
    recipes: Path | None = None
    artifacts: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Usual:
    """Where things come from when neither order nor document says so. `amend` may add configuration to a document."""

    recipes: Path
    artifacts: ArtifactSource
    flavour: Flavour
    amend: Callable[[Deployment], Deployment]


Say = Callable[[str], None]


class Deployer:
    """One deployment at a time."""

    def __init__(
        self,
        runtime: Runtime,
        updates: ComponentUpdates,
        root: RootFolder,
        usual: Usual,
        wall_clock_s: Callable[[], float],
    ) -> None:
        self._runtime = runtime
        self._updates = updates
        self._root = root
        self._usual = usual
        self._wall_clock_s = wall_clock_s
        self._under_way: str | None = None

    async def deploy(self, order: Order, say: Say) -> None:
        """Returns when everything serves. `say` gets a line at every step.

        Raises DocumentError and DeploymentRefused before anything was touched, DeploymentFailed, StateError and
        RuntimeEnding after.
        """
        if self._under_way is not None:
            raise DeploymentRefused(f"{self._under_way} is being deployed: wait for its end")
        self._under_way = order.document.name
        try:
            await self._deploy(order, say)
        finally:
            self._under_way = None

    async def _deploy(self, order: Order, say: Say) -> None:
        wanted = self._read(order)
        found = await self._fetched(order, wanted)
        now_ms = round(self._wall_clock_s() * 1000)

        def resolve(kept: KeptState) -> Prepared:
            anew = dataclasses.replace(kept, deployment="")  # the same document again is a deployment all the same
            return configure(wanted, found, self._root, anew, flavour=self._usual.flavour, now_ms=now_ms)

        resolve(self._runtime.kept)  # what is wrong in a configuration is said before anybody is asked
        identifier = str(uuid.uuid4())
        if wanted.policies.asks:
            await self._ask(identifier, wanted, say)
        try:
            await self._apply(wanted, resolve, say)
        finally:
            self._updates.done(identifier)

    def _read(self, order: Order) -> Deployment:
        wanted = read_deployment(order.document)
        now = self._runtime.deployment.local
        if wanted.local == LocalRuntime():
            wanted = dataclasses.replace(wanted, local=now)
        for name, key in LOCAL_KEYS.items():
            if getattr(wanted.local, name) != getattr(now, name):
                raise DeploymentRefused(
                    f"{order.document}: localRuntime.{key} is not what this runtime was started with: end it, and start it"
                    f" with this document"
                )
        return self._usual.amend(wanted)

    async def _fetched(self, order: Order, wanted: Deployment) -> Sequence[Fetched]:
        recipes = order.recipes or wanted.local.recipes or self._usual.recipes
        folder = order.artifacts or wanted.local.artifacts
        source = FolderSource(folder) if folder is not None else self._usual.artifacts
        # in a thread: unpacking a wheelhouse takes seconds, and the components talk through this process meanwhile
        return await anyio.to_thread.run_sync(fetch, wanted, recipes, self._root, source, self._usual.flavour)

    async def _ask(self, identifier: str, wanted: Deployment, say: Say) -> None:
        def deferred(component: str, recheck_after_ms: int, why: str) -> None:
            say(
                f"{component} puts it off, to be asked again in {recheck_after_ms / 1000:g} s: {why or 'no reason given'}"
            )

        await self._updates.ready(
            identifier, restarting=False, answer_timeout_s=wanted.policies.answer_timeout_s, deferred=deferred
        )

    async def _apply(self, wanted: Deployment, resolve: Callable[[KeptState], Prepared], say: Say) -> None:
        former = _frozen(self._runtime.prepared, self._runtime.kept, self._usual.flavour)
        try:
            await self._put(resolve, say)
        except NucleusError as error:
            if not wanted.policies.rolls_back:
                raise DeploymentFailed(f"{wanted.name}: {error}; it stays as it is now") from error
            say(f"{error}: back to {former.deployment.name}")
            try:
                await self._put(lambda kept: former, say)
            except DeploymentFailed as again:
                raise DeploymentFailed(
                    f"{wanted.name}: {error}; {former.deployment.name} did not come up again: {again}"
                ) from error
            raise DeploymentFailed(f"{wanted.name}: {error}; {former.deployment.name} is in force again") from error
        say(f"{wanted.name} is in force")

    async def _put(self, resolve: Callable[[KeptState], Prepared], say: Say) -> None:
        done = await self._runtime.apply(resolve)
        for what, names in (("ended", done.removed), ("started", done.started), ("configured", done.configured)):
            if names:
                say(f"{what}: {', '.join(names)}")
        broken = await self._runtime.settled(done.started)
        if broken:
            raise DeploymentFailed(", ".join(map(_told, broken)))


Deploy = Callable[[Order, Say], Awaitable[None]]


def _told(status: ComponentStatus) -> str:
    return f"{status.name} {status.version} is BROKEN ({status.reason})"


def _frozen(prepared: Prepared, kept: KeptState, flavour: Flavour) -> Prepared:
    """As it runs now, whatever becomes of it."""

    def frozen(one: Deployed) -> Deployed:
        remembered = kept.components[one.name]
        configuration = Configuration.of_stamped(remembered.configuration, fold_case=flavour.fold_case)
        return dataclasses.replace(one, configuration=configuration, bootstrapped=remembered.bootstrapped)

    return dataclasses.replace(prepared, components=tuple(map(frozen, prepared.components)))

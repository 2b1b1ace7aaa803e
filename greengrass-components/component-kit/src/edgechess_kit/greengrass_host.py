"""The nucleus as our host: configuration and its changes, our state, deployments that must wait for a move's end."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

import anyio

from edgechess_kit import greengrass_operations_adapter as operations
from edgechess_kit.background import Background
from edgechess_kit.errors import IpcRefused, IpcUnanswered, KitError
from edgechess_kit.greengrass_adapter import IOT_CORE, PUBSUB, IpcBus, NucleusLink
from edgechess_kit.greengrass_environment import Environment
from edgechess_kit.greengrass_shadow import GreengrassShadow
from edgechess_kit.host import Status
from edgechess_kit.messages import ArmState, Message, SessionState
from edgechess_kit.shadow import Shadow

log = logging.getLogger(__name__)

RETRY_S = 2.0
SETTLE_S = 1.0  # one deployment changes many nodes, and there is an event for each
ASK_AGAIN_S = 5.0  # a move takes 15 s; a question costs nothing, and whoever deploys waits for the answer
IDLE_WAIT_S = 900.0  # a person may take 600 s for a move; longer than this no change waits
FAREWELL_S = 2.0
DEPLOYMENTS_LIMIT = 16  # that ask at once; a nucleus has one at a time


class GreengrassHost:
    """A Host, and an async context manager around everything that needs the nucleus."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._link = NucleusLink(environment.socket_path, environment.token)
        self._services: list[IpcBus] = []
        self._tasks = Background()
        self._running = anyio.Event()
        self._deployments: deque[str] = deque(maxlen=DEPLOYMENTS_LIMIT)
        self._asked = anyio.Event()
        self._changed = anyio.Event()
        self._busy: dict[type[Message], bool] = {}
        self._calmed = anyio.Event()
        self.complaint: str | None = None
        """What is wrong with the configuration that we were given last."""

    async def __aenter__(self) -> GreengrassHost:
        await self._link.__aenter__()
        await self._tasks.__aenter__()
        operations.watch_configuration(self._link, lambda: self._changed.set())
        operations.watch_deployments(self._link, self._about_to)
        self._tasks.start_soon(self._report, name="greengrass state")
        self._tasks.start_soon(self._answer, name="greengrass deployments")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            await self._link.__aexit__(None, None, None)
        return None

    # ---------------------------------------------------------------- the Host of a component

    def heard(self, status: Status) -> None:
        """A component that serves is RUNNING, also while an arm of its is away."""
        if status in ("ready", "degraded"):
            self._running.set()

    @property
    def trouble(self) -> str | None:
        told = [self._link.trouble, self.complaint, *(service.trouble for service in self._services)]
        return next((text for text in told if text is not None), None)

    def shadow(self, name: str) -> Shadow | None:
        thing = self._environment.thing_name
        return GreengrassShadow(self._link, thing, name) if thing and name else None

    # ---------------------------------------------------------------- for the process around it

    def service(self, carrier: Literal["pubsub", "iot-core"], probe: str) -> IpcBus:
        self._services.append(IpcBus(self._link, PUBSUB if carrier == "pubsub" else IOT_CORE, probe=probe))
        return self._services[-1]

    async def configuration(self) -> Mapping[str, Any]:
        """Waits for the nucleus as long as it takes."""
        while True:
            try:
                return await operations.get_configuration(self._link)
            except (IpcRefused, IpcUnanswered) as error:
                log.warning("greengrass: the configuration cannot be had: %s", error)
            await anyio.sleep(RETRY_S)

    async def configuration_changed(self) -> None:
        """Waits until something in it changes, and then until the change is whole."""
        await self._changed.wait()
        while self._changed.is_set():
            self._changed = anyio.Event()
            await anyio.sleep(SETTLE_S)

    def observe(self, message: Message) -> None:
        """Sees what the component publishes, and so whether a move is under way in it."""
        match message:
            case SessionState(phase=phase):
                self._busy[SessionState] = phase is not None
            case ArmState(job_id=job_id):
                self._busy[ArmState] = job_id is not None
            case _:
                return
        if not self.busy:
            self._calmed.set()
            self._calmed = anyio.Event()

    @property
    def busy(self) -> bool:
        return any(self._busy.values())

    async def idle(self) -> None:
        """Waits for the end of a move, `IDLE_WAIT_S` at most."""
        with anyio.move_on_after(IDLE_WAIT_S):
            while self.busy:
                await self._calmed.wait()

    async def failed(self) -> None:
        """Says that the component gives up, if that goes quickly; its exit code says so too."""
        with anyio.move_on_after(FAREWELL_S, shield=True):
            try:
                await operations.update_state(self._link, "ERRORED")
            except KitError as error:
                log.info("greengrass: %s", error)

    # ---------------------------------------------------------------- tasks

    async def _report(self) -> None:
        await self._running.wait()
        while True:
            try:
                await operations.update_state(self._link, "RUNNING")
            except IpcUnanswered as error:
                log.info("greengrass: %s", error)
                await anyio.sleep(RETRY_S)
                continue
            except IpcRefused as error:
                log.warning("greengrass: %s", error)
            return

    def _about_to(self, deployment_id: str) -> None:
        self._deployments.append(deployment_id)
        self._asked.set()

    async def _answer(self) -> None:
        while True:
            while self._deployments:
                await self._defer(self._deployments.popleft())
            self._asked = anyio.Event()
            await self._asked.wait()

    async def _defer(self, deployment_id: str) -> None:
        wait_s = ASK_AGAIN_S if self.busy else 0.0
        log.info("greengrass: deployment %s %s", deployment_id, "waits for the move's end" if wait_s else "may begin")
        try:
            await operations.defer_deployment(
                self._link, deployment_id, ask_again_s=wait_s, reason="a move is under way" if wait_s else ""
            )
        except KitError as error:
            log.warning("greengrass: %s", error)

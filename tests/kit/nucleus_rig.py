"""A nucleus in this process: the runtime's own IPC server, with components that a test makes up."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.abc

from edgechess_kit.greengrass_environment import Environment
from edgechess_nucleus.configuration import Configuration, KeyPath
from edgechess_nucleus.host import ReportedState
from edgechess_nucleus.iot_core import IotCoreUnavailable, IotMessage, QoS
from edgechess_nucleus.ipc_server import IpcServer
from edgechess_nucleus.secrets import FileSecrets

FlavourName = Literal["java", "lite"]

EVERYTHING = {
    service: {"policy": {"operations": ["*"], "resources": ["*"]}}
    for service in ("aws.greengrass.ipc.pubsub", "aws.greengrass.ShadowManager")
} | {"aws.greengrass.ipc.mqttproxy": {"policy": {"operations": ["*"], "resources": ["#"]}}}


class CloudBroker:
    """Stands for AWS IoT Core. `away`: the core is offline. `forget` loses every subscription without a word."""

    def __init__(self) -> None:
        self.away = False
        self.taken: list[IotMessage] = []
        self._subscriptions: list[tuple[str, Callable[[IotMessage], None]]] = []

    def publish(self, message: IotMessage) -> None:
        if self.away:
            raise IotCoreUnavailable("the core is offline")
        self.taken.append(message)
        for topic, receive in list(self._subscriptions):
            if topic == message.topic:
                receive(message)

    async def subscribe(self, topic_filter: str, qos: QoS, receive: Callable[[IotMessage], None]) -> CloudSubscription:
        if self.away:
            raise IotCoreUnavailable("the core is offline")
        entry = (topic_filter, receive)
        self._subscriptions.append(entry)
        return CloudSubscription(self._subscriptions, entry)

    def forget(self) -> None:
        self._subscriptions.clear()


class CloudSubscription:
    def __init__(self, all_of_them: list[Any], entry: Any) -> None:
        self._all = all_of_them
        self._entry = entry

    def end(self) -> None:
        if self._entry in self._all:
            self._all.remove(self._entry)


class Nucleus:
    """Also the runtime that the server asks. `deploy` changes a configuration as a deployment does."""

    thing_name = "core-1"
    region = "eu-central-1"

    def __init__(self, folder: Path, flavour: FlavourName, tasks: anyio.abc.TaskGroup) -> None:
        self.path = folder / "ipc.socket"
        self.flavour = flavour
        self.secrets = FileSecrets()
        self.cloud = CloudBroker()
        self.states: list[tuple[str, ReportedState]] = []
        self.server: IpcServer
        self._configurations: dict[str, Configuration] = {}
        self._tasks = tasks

    def component(self, name: str, configuration: Mapping[str, Any] | None = None) -> Environment:
        """Makes one up, with leave to do everything unless the configuration says otherwise."""
        tree = {"accessControl": EVERYTHING, **(configuration or {})}
        self._configurations[name] = Configuration(tree, fold_case=self.flavour == "java")
        return Environment(str(self.path), f"token-of-{name}", self.thing_name)

    def deploy(self, name: str, change: Mapping[str, Any]) -> None:
        changed = self._configurations[name].merge((), dict(change), timestamp_ms=2**42)
        self.server.configuration_changed(name, changed)

    async def start(self) -> None:
        self.server = IpcServer(self, flavour=self.flavour, broker=self.cloud)
        self._serving, self._ended = anyio.CancelScope(), anyio.Event()
        await self._tasks.start(self._serve)

    async def _serve(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with self._serving:
            await self.server.serve(self.path, task_status=task_status)
        self._ended.set()

    async def stop(self) -> None:
        self._serving.cancel()
        await self._ended.wait()

    # what the server asks

    def component_of(self, token: str) -> str | None:
        name = token.removeprefix("token-of-")
        return name if name in self._configurations else None

    def configuration(self, component: str) -> Configuration | None:
        return self._configurations.get(component)

    def configuration_changed(self, component: str, changed: Sequence[KeyPath]) -> None:
        return

    def report_state(self, component: str, state: ReportedState) -> None:
        self.states.append((component, state))


@asynccontextmanager
async def running_nucleus(flavour: FlavourName) -> AsyncIterator[Nucleus]:
    folder = Path(tempfile.mkdtemp(prefix="ec-"))  # short: a Unix socket's path has 108 bytes
    try:
        async with anyio.create_task_group() as tasks:
            nucleus = Nucleus(folder, flavour, tasks)
            await nucleus.start()
            yield nucleus
            tasks.cancel_scope.cancel()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""The whole runtime: a root folder, a deployment, its components, IPC, brokers, bridge and the operator's socket.

    root = RootFolder(path)
    with root.locked():
        async with anyio.create_task_group() as tasks:
            runtime = await tasks.start(LocalNucleus(deployment, root, NucleusOptions(…)).run)
            ...
            tasks.cancel_scope.cancel()  # components end in order while everything they need is still there

A developer's runtime: it listens on Unix sockets only, its brokers are on loopback or behind certificates, and it is
nobody's cloud.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from edgechess_nucleus.artifacts import ArtifactSource
from edgechess_nucleus.bridge import Bridge
from edgechess_nucleus.control import serve_control
from edgechess_nucleus.deployed import Prepared, prepare
from edgechess_nucleus.deployer import Deploy, Deployer, Order, Say, Usual
from edgechess_nucleus.deployment import Deployment
from edgechess_nucleus.flavour import LITE, Flavour
from edgechess_nucleus.iot_core_mqtt_adapter import MqttBroker
from edgechess_nucleus.ipc_server import IpcServer
from edgechess_nucleus.logs import Echo
from edgechess_nucleus.mqtt_address import MqttAddress
from edgechess_nucleus.pubsub import LocalTopics
from edgechess_nucleus.root_folder import RootFolder
from edgechess_nucleus.runtime import Observer, Runtime
from edgechess_nucleus.secrets import FileSecrets
from edgechess_nucleus.state import read_state


@dataclasses.dataclass(frozen=True, slots=True)
class NucleusOptions:
    """What the document does not say. `iot_core` and `local_mqtt`: the brokers in these places; None: there is none.

    `amend` adds to a document that is deployed later what was added to the first one, or refuses it. `say` gets a line
    at every step of such a deployment.
    """

    flavour: Flavour
    recipes: Path
    artifacts: ArtifactSource
    iot_core: MqttAddress | None
    local_mqtt: MqttAddress | None
    echo: Echo
    observe: Observer
    amend: Callable[[Deployment], Deployment]
    say: Say


class LocalNucleus:
    """Run `run` once."""

    def __init__(self, deployment: Deployment, root: RootFolder, options: NucleusOptions) -> None:
        self._deployment = deployment
        self._root = root
        self._options = options
        self._over = anyio.Event()
        self.topics = LocalTopics(options.flavour)
        """For whoever started it; components meet here."""

    async def run(self, *, task_status: TaskStatus[Runtime] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; only inside `root.locked()`. Raises NucleusError before a component is started."""
        prepared = self._prepare()
        local, options = self._deployment.local, self._options
        secrets = FileSecrets.read(local.secrets, local.region) if local.secrets else FileSecrets()
        runtime = Runtime(
            prepared, self._root, options.flavour, secrets,
            clock=time.time, rng=random.SystemRandom(), echo=options.echo, observe=options.observe,
        )  # fmt: skip
        async with anyio.create_task_group() as tasks:
            try:
                await tasks.start(self._serve, runtime, name="services")
                await runtime.run(task_status=task_status)
            finally:
                self._over.set()

    def _prepare(self) -> Prepared:
        return prepare(
            self._deployment,
            self._options.recipes,
            self._root,
            read_state(self._root.state),
            self._options.artifacts,
            flavour=self._options.flavour,
            now_ms=int(time.time() * 1000),
        )

    async def _serve(self, runtime: Runtime, *, task_status: TaskStatus[None]) -> None:
        """What components need, until they have ended."""
        local, flavour = self._deployment.local, self._options.flavour
        iot_core = self._broker(self._options.iot_core, local.thing_name)
        local_mqtt = self._broker(self._options.local_mqtt, f"{local.thing_name}-bridge")
        server = IpcServer(
            runtime,
            flavour="lite" if flavour is LITE else "java",
            broker=iot_core,
            topics=self.topics,
            shadow_file=self._root.shadows,
        )
        bridge = Bridge(local.bridge, server.topics, local_mqtt=local_mqtt, iot_core=iot_core)
        runtime.serve_with(server)
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                for broker, name in ((iot_core, "iot core"), (local_mqtt, "local mqtt")):
                    if broker is not None:
                        tasks.start_soon(broker.run, name=name)
                await tasks.start(bridge.run, name="bridge")
                await tasks.start(server.serve, self._root.ipc_socket, name="ipc")
                deploy = self._deploy(runtime, server)
                await tasks.start(serve_control, runtime, deploy, self._root.control_socket, name="control")
                task_status.started()
                await self._over.wait()
                tasks.cancel_scope.cancel()

    def _deploy(self, runtime: Runtime, server: IpcServer) -> Deploy:
        options = self._options
        usual = Usual(options.recipes, options.artifacts, options.flavour, options.amend)
        deployer = Deployer(runtime, server.updates, self._root, usual, time.time)

        async def deploy(order: Order, say: Say) -> None:
            def say_twice(text: str) -> None:
                options.say(f"deployment: {text}")
                say(text)

            await deployer.deploy(order, say_twice)

        return deploy

    def _broker(self, address: MqttAddress | None, name: str) -> MqttBroker | None:
        flavour = self._options.flavour
        if address is None:
            return None
        return MqttBroker(address, name, spools=flavour.spools, mqtt5=flavour.mqtt5_members)

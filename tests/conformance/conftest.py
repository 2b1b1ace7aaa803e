"""Whom the conformance suite drives: our IPC server in both flavours, or the nucleus that the environment names.

A real nucleus must run a component with CONFIGURATION as its configuration (accessControl included) and start the
suite inside it, where AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT and SVCUID are set; say which nucleus it is
by EDGECHESS_CONFORMANCE_FLAVOUR=java|lite (java). Tests that need our own knobs are skipped there.
The suite changes the configuration and makes shadows: reset both before another run.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import queue
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest

from edgechess_nucleus.configuration import Configuration, KeyPath
from edgechess_nucleus.eventstream_protocol import Frame, FrameReader
from edgechess_nucleus.flavour import FLAVOURS, Flavour
from edgechess_nucleus.iot_core import IotCore, IotCoreUnavailable, IotMessage, IotSubscription, QoS, Receive
from edgechess_nucleus.ipc_server import IpcServer
from edgechess_nucleus.secrets import FileSecret, FileSecrets
from edgechess_nucleus.topic_filter import levels, matches

TIMEOUT_S = 10.0
SOCKET_VARIABLE = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
TOKENS = {"io.edgechess.Conformance": "ABCDEFGHIJKLMNOP", "io.edgechess.Other": "PONMLKJIHGFEDCBA"}
COMPONENT = "io.edgechess.Conformance"
OTHER = "io.edgechess.Other"
THING = "conformance-thing"
SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:allowed-000000"


def policy(operations: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    return {"operations": [f"aws.greengrass#{name}" for name in operations], "resources": list(resources)}


CONFIGURATION: dict[str, Any] = {
    "text": "words",
    "number": 3,
    "flag": False,
    "list": [1, 2],
    "nested": {"Deep": {"leaf": 1.5}, "other": "x"},
    "accessControl": {
        "aws.greengrass.ipc.pubsub": {
            "conformance:pubsub:1": policy(
                ["PublishToTopic", "SubscribeToTopic"], ["conformance/*", "hash/#", "lit/${*}", "$aws/things/*"]
            ),
            "conformance:pubsub:2": policy(["SubscribeToTopic"], ["listen-only"]),
        },
        "aws.greengrass.ipc.mqttproxy": {
            "conformance:mqttproxy:1": policy(
                ["PublishToIoTCore", "SubscribeToIoTCore"], ["conformance/#", "plus/+/x", "star/*"]
            )
        },
        "aws.greengrass.ShadowManager": {
            "conformance:shadow:1": policy(
                ["GetThingShadow", "UpdateThingShadow", "DeleteThingShadow"], [f"$aws/things/{THING}/shadow*"]
            ),
            "conformance:shadow:2": policy(["ListNamedShadowsForThing"], [THING]),
        },
        "aws.greengrass.SecretManager": {"conformance:secrets:1": policy(["GetSecretValue"], [SECRET_ARN])},
    },
}


class MemoryIotCore(IotCore):
    """A broker in memory: what is published comes back to who subscribed. `away` is the knob."""

    place = "memory"

    def __init__(self) -> None:
        self.away = False
        self.published: list[IotMessage] = []
        self._subscriptions: list[tuple[str, Receive]] = []

    def publish(self, message: IotMessage) -> None:
        if self.away:
            raise IotCoreUnavailable("the broker is away")
        self.published.append(message)
        for name, receive in list(self._subscriptions):
            lite = FLAVOURS["lite"]  # which compares as MQTT does
            if matches(levels(name, lite), levels(message.topic, lite), lite):
                receive(message)

    async def subscribe(self, topic_filter: str, qos: QoS, receive: Receive) -> IotSubscription:
        if self.away:
            raise IotCoreUnavailable("the broker is away")
        entry = (topic_filter, receive)
        self._subscriptions.append(entry)
        subscriptions = self._subscriptions

        class Made:
            def end(self) -> None:
                subscriptions.remove(entry)

        return Made()


class KnownHost:
    """Two components with fixed tokens; what the server tells it is kept."""

    thing_name = THING
    region = "eu-central-1"

    def __init__(self, flavour: Flavour) -> None:
        self.configurations = {
            COMPONENT: Configuration(CONFIGURATION, fold_case=flavour.fold_case),
            OTHER: Configuration({"seen": "by all"}, fold_case=flavour.fold_case),
        }
        self.changes: queue.Queue[tuple[str, tuple[KeyPath, ...]]] = queue.Queue()
        self.states: queue.Queue[tuple[str, str]] = queue.Queue()
        self.tokens = {token: name for name, token in TOKENS.items()}
        self.secrets = FileSecrets(
            (
                FileSecret("allowed", SECRET_ARN, "v2", secret_string="new"),
                FileSecret("allowed", SECRET_ARN, "v1", ("AWSPREVIOUS",), secret_binary=b"\x00old"),
                FileSecret("forbidden", SECRET_ARN.replace("allowed", "forbidden"), secret_string="never"),
            )
        )

    def component_of(self, token: str) -> str | None:
        return self.tokens.get(token)

    def configuration(self, component: str) -> Configuration | None:
        return self.configurations.get(component)

    def configuration_changed(self, component: str, changed: Sequence[KeyPath]) -> None:
        self.changes.put((component, tuple(changed)))

    def report_state(self, component: str, state: str) -> None:
        self.states.put((component, state))


@dataclasses.dataclass
class Ours:
    """Our server's knobs. `call` runs a function on the server's thread."""

    server: IpcServer
    host: KnownHost
    iot_core: MemoryIotCore
    call: Callable[..., Any]
    start: Callable[..., concurrent.futures.Future[Any]]


class Nucleus:
    """What the suite drives. Clients that it opened are closed after the test."""

    def __init__(self, path: str, flavour: Flavour, ours: Ours | None) -> None:
        self.path = path
        self.flavour = flavour
        self._ours = ours
        self._clients: list[Any] = []
        self._executors: list[concurrent.futures.Executor] = []

    @property
    def has_knobs(self) -> bool:
        return self._ours is not None

    def knobs(self) -> Ours:
        """Skips where there are no knobs."""
        if self._ours is None:
            pytest.skip("needs the local runtime's knobs")
        return self._ours

    @property
    def java(self) -> bool:
        return self.flavour.name == "java"

    def token(self, component: str = COMPONENT) -> str:
        if self._ours is None:
            if component != COMPONENT:
                pytest.skip("a real nucleus gives one component's token")
            return os.environ["SVCUID"]
        return TOKENS[component]

    def connect(self, component: str = COMPONENT, lifecycle: Any = None) -> Any:
        """The stock V2 client, handlers in order (one thread)."""
        from awsiot.greengrasscoreipc import connect
        from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

        made = connect(ipc_socket=self.path, authtoken=self.token(component), lifecycle_handler=lifecycle)
        executor = concurrent.futures.ThreadPoolExecutor(1)
        client = GreengrassCoreIPCClientV2(made, executor=executor)
        self._clients.append(client)
        return client

    def raw(self) -> RawClient:
        made = RawClient(self.path)
        self._clients.append(made)
        return made

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()


class RawClient:
    """Bytes, for what the stock client would never send."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(path)
        self._reader = FrameReader()
        self._frames: list[Frame] = []

    def send(self, data: bytes) -> None:
        """That the server has closed already is for `frame` to say."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def frame(self) -> Frame | None:
        """The next one; None: the server closed."""
        while not self._frames:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._frames = self._reader.feed(data)
        return self._frames.pop(0)

    def close(self) -> None:
        self.socket.close()


@contextmanager
def serving(flavour: str) -> Iterator[Nucleus]:
    """Our server on a thread of its own."""
    with tempfile.TemporaryDirectory(prefix="ipc-") as folder, anyio.from_thread.start_blocking_portal() as portal:
        path = Path(folder) / "ipc.socket"
        host, iot_core = KnownHost(FLAVOURS[flavour]), MemoryIotCore()
        server = IpcServer(host, flavour=flavour, broker=iot_core)  # type: ignore[arg-type]
        future, _ = portal.start_task(server.serve, path)
        nucleus = Nucleus(
            str(path), FLAVOURS[flavour], Ours(server, host, iot_core, portal.call, portal.start_task_soon)
        )
        try:
            yield nucleus
        finally:
            nucleus.close()
            future.cancel()


def flavours() -> list[str]:
    if SOCKET_VARIABLE in os.environ and "SVCUID" in os.environ:
        return ["environment"]
    return ["java", "lite"]


@pytest.fixture(params=flavours())
def nucleus(request: pytest.FixtureRequest) -> Iterator[Nucleus]:
    pytest.importorskip("awsiot.greengrasscoreipc", reason="awsiotsdk is not installed")
    if request.param == "environment":
        flavour = FLAVOURS[os.environ.get("EDGECHESS_CONFORMANCE_FLAVOUR", "java")]
        made = Nucleus(os.environ[SOCKET_VARIABLE], flavour, None)
        yield made
        made.close()
        return
    with serving(request.param) as served:
        yield served


@pytest.fixture
def client(nucleus: Nucleus) -> Any:
    return nucleus.connect()

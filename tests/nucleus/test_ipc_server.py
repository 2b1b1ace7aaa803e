"""The server's socket, and one conversation on every event loop. The stock client has a suite of its own."""

from __future__ import annotations

import base64
import json
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from edgechess_nucleus import ipc_session
from edgechess_nucleus.configuration import Configuration, KeyPath
from edgechess_nucleus.errors import NucleusError
from edgechess_nucleus.eventstream_protocol import Frame, FrameReader, encode, int32, string
from edgechess_nucleus.host import ReportedState
from edgechess_nucleus.ipc_server import IpcServer
from edgechess_nucleus.secrets import FileSecrets
from edgechess_nucleus.socket_file import SocketError

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class OneComponent:
    thing_name = "thing"
    region = "eu"
    secrets = FileSecrets()

    def __init__(self) -> None:
        policy = {"aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["a/*"]}}}
        self.tree = Configuration({"accessControl": policy}, fold_case=True)
        self.states: list[str] = []
        self.asked = 0

    def component_of(self, token: str) -> str | None:
        return "io.edgechess.Test" if token == "TOKEN" else None

    def configuration(self, component: str) -> Configuration | None:
        self.asked += 1
        return self.tree

    def configuration_changed(self, component: str, changed: Sequence[KeyPath]) -> None: ...

    def report_state(self, component: str, state: ReportedState) -> None:
        self.states.append(state)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ipc-") as made:
        yield Path(made)


@asynccontextmanager
async def serving(path: Path, host: OneComponent) -> AsyncIterator[IpcServer]:
    server = IpcServer(host)
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, path)
        yield server
        tasks.cancel_scope.cancel()


class Client:
    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._reader = FrameReader()
        self._frames: list[Frame] = []

    async def send(self, stream: int, operation: str, payload: bytes) -> None:
        head = (int32(":message-type", 0), int32(":message-flags", 0), int32(":stream-id", stream))
        await self._stream.send(encode((*head, string("operation", f"aws.greengrass#{operation}")), payload))

    async def connect(self) -> None:
        head = (int32(":message-type", 4), int32(":message-flags", 0), int32(":stream-id", 0))
        await self._stream.send(encode((string(":version", "0.1.0"), *head), b'{"authToken": "TOKEN"}'))
        assert (await self.frame()).number(":message-flags") == 1

    async def frame(self) -> Frame:
        """Raises anyio.EndOfStream."""
        while not self._frames:
            self._frames = self._reader.feed(await self._stream.receive())
        return self._frames.pop(0)


async def test_one_conversation(folder: Path) -> None:
    host = OneComponent()
    async with serving(folder / "s", host), await anyio.connect_unix(folder / "s") as stream:
        client = Client(stream)
        await client.connect()
        await client.send(1, "SubscribeToTopic", b'{"topic": "a/b"}')
        assert (await client.frame()).text("service-model-type") == "aws.greengrass#SubscribeToTopicResponse"
        await client.send(
            2, "PublishToTopic", b'{"topic": "a/b", "publishMessage": {"binaryMessage": {"message": "AAE="}}}'
        )
        found = {frame.text("service-model-type"): frame for frame in [await client.frame(), await client.frame()]}
        event = found["aws.greengrass#SubscriptionResponseMessage"]
        assert event.number(":stream-id") == 1
        assert event.payload == b'{"binaryMessage":{"message":"AAE=","context":{"topic":"a/b"}}}'
        assert found["aws.greengrass#PublishToTopicResponse"].number(":message-flags") == 2
        await client.send(3, "UpdateState", b'{"state": "RUNNING"}')
        await client.frame()
        assert host.states == ["RUNNING"]


@pytest.mark.parametrize(
    ("operation", "payload", "said"),
    [
        ("PublishToTopic", b"no json", b"PublishToTopic: JSON is malformed"),
        ("PublishToTopic", b"", b"truncated"),
        ("PublishToTopic", b'{"topic": 3}', b"$.topic"),
        ("PublishToTopic", b'{"topic": "a/b"}', b"publishMessage"),
        ("PublishToTopic", b'{"topic": "a/b", "publishMessage": {"binaryMessage": {"message": "!"}}}', b"base64"),
        ("PublishToTopic", b'{"topic": "a/b", "publishMessage": {"jsonMessage": {"message": 3}}}', b"an object"),
        ("PublishToTopic", b'{"topic": "a/b", "publishMessage": {"jsonMessage": {"message": {]}}}', b"malformed"),
        ("PublishToTopic", b'{"topic": "\xff"}', b"utf-8"),
        (
            "PublishToTopic",
            b'{"topic": "a/b", "publishMessage": {"jsonMessage": {"message": {"x": "\xff"}}}}',
            b"UTF-8",
        ),
        ("GetConfiguration", b'{"keyPath": "text"}', b"$.keyPath"),
        ("GetConfiguration", b"[" * 100_000, b""),
        ("UpdateConfiguration", b'{"valueToMerge": {}}', b"timestamp"),
        ("UpdateConfiguration", b'{"timestamp": 1e300, "valueToMerge": {"a": 1}}', b"seconds since the epoch"),
        ("UpdateState", b'{"state": "FINE"}', b"FINE"),
    ],
)
async def test_requests_that_do_not_parse_are_answered(
    folder: Path, operation: str, payload: bytes, said: bytes
) -> None:
    async with serving(folder / "s", OneComponent()), await anyio.connect_unix(folder / "s") as stream:
        client = Client(stream)
        await client.connect()
        await client.send(1, operation, payload)
        frame = await client.frame()
        assert frame.text("service-model-type") == "aws.greengrass#InvalidArgumentsError"
        assert said in frame.payload
        await client.send(2, "GetConfiguration", b"{}")
        assert (await client.frame()).number(":message-type") == 0


async def test_a_deep_message_is_passed_on_or_refused_but_harms_nobody(folder: Path) -> None:
    async with serving(folder / "s", OneComponent()), await anyio.connect_unix(folder / "s") as stream:
        client = Client(stream)
        await client.connect()
        deep = b'{"x":' * 50_000 + b"1" + b"}" * 50_000
        message = b'{"topic": "a/b", "publishMessage": {"jsonMessage": {"message": ' + deep + b"}}}"
        await client.send(1, "PublishToTopic", message)
        await client.frame()
        await client.send(2, "UpdateConfiguration", b'{"timestamp": 1, "valueToMerge": ' + deep + b"}")
        assert (await client.frame()).text("service-model-type") == "aws.greengrass#InvalidArgumentsError"


@pytest.mark.parametrize("depth", [16, 300, 500, 700, 900, 960, 980, 990, 1000])
async def test_what_is_nested_beyond_the_limit_is_refused_at_any_depth(folder: Path, depth: int) -> None:
    """Between the decoder's own limit and ours lies what the decoder takes and a walk would not survive."""
    async with serving(folder / "s", OneComponent()), await anyio.connect_unix(folder / "s") as stream:
        client = Client(stream)
        await client.connect()
        for number, (start, end) in enumerate(((b'{"x":', b"}"), (b"[", b"]")), 1):
            deep = start * depth + b"1" + end * depth
            await client.send(number, "UpdateConfiguration", b'{"timestamp": 1, "valueToMerge": {"a": ' + deep + b"}}")
            assert (await client.frame()).text("service-model-type") == "aws.greengrass#InvalidArgumentsError"


async def test_long_answers_wait_until_the_client_reads(folder: Path) -> None:
    """A hundred requests come in one piece; were all carried out at once, a hundred long answers would lie in memory."""
    host = OneComponent()
    host.tree.merge(("long",), "x" * 400_000, 10)
    server = IpcServer(host)
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, folder / "s")
        async with await anyio.connect_unix(folder / "s") as stream:
            client = Client(stream)
            await client.connect()
            asked = host.asked
            for number in range(1, 101):
                await client.send(number, "GetConfiguration", b"{}")
            await anyio.wait_all_tasks_blocked()
            assert host.asked - asked < 20
            for _ in range(100):
                assert (await client.frame()).text("service-model-type") == "aws.greengrass#GetConfigurationResponse"
        tasks.cancel_scope.cancel()


async def test_shadows_outlive_the_server(folder: Path) -> None:
    host, file = OneComponent(), folder / "shadows.json"
    policy = {"aws.greengrass.ShadowManager": {"p": {"operations": ["*"], "resources": ["*"]}}}
    host.tree.merge(("accessControl",), policy, 10)
    payloads = []
    for number in range(2):
        server = IpcServer(host, shadow_file=file, wall_clock_s=lambda: 100.0)
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve, folder / "s")
            async with await anyio.connect_unix(folder / "s") as stream:
                client = Client(stream)
                await client.connect()
                # {"state": {"desired": {"n": 0}}}, then 1
                document = ("eyJzdGF0ZSI6eyJkZXNpcmVkIjp7Im4iOjB9fX0=", "eyJzdGF0ZSI6eyJkZXNpcmVkIjp7Im4iOjF9fX0=")[
                    number
                ]
                await client.send(
                    1,
                    "UpdateThingShadow",
                    b'{"thingName": "t", "shadowName": "s", "payload": "%s"}' % document.encode(),
                )
                payloads.append(json.loads(base64.b64decode(json.loads((await client.frame()).payload)["payload"])))
            tasks.cancel_scope.cancel()
    assert [payload["version"] for payload in payloads] == [1, 2]


@pytest.mark.parametrize("content", ["no json", '{"t/s": 3}', "[]"])
async def test_a_shadow_file_of_somebody_else(folder: Path, content: str) -> None:
    (folder / "shadows.json").write_text(content)
    with pytest.raises(NucleusError):
        IpcServer(OneComponent(), shadow_file=folder / "shadows.json")


async def test_the_socket_is_its_owners_and_goes_with_the_server(folder: Path) -> None:
    path = folder / "s"
    async with serving(path, OneComponent()):
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not path.exists()


async def test_a_path_that_is_too_long(folder: Path) -> None:
    longest = folder / ("x" * (107 - len(os.fsencode(folder)) - 1))
    async with serving(longest, OneComponent()), await anyio.connect_unix(longest):
        pass
    with pytest.raises(SocketError, match="108 bytes, and the path of a Unix socket has room for 107"):
        await IpcServer(OneComponent()).serve(Path(f"{longest}x"))


async def test_a_socket_in_use(folder: Path) -> None:
    path = folder / "s"
    async with serving(path, OneComponent()):
        with pytest.raises(SocketError, match="another runtime listens there"):
            await IpcServer(OneComponent()).serve(path)
        async with await anyio.connect_unix(path):
            pass  # the first one still serves


async def test_a_socket_that_a_killed_runtime_left(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with serving(path, OneComponent()), await anyio.connect_unix(path):
        pass


async def test_a_file_in_the_way_stays(folder: Path) -> None:
    path = folder / "s"
    path.write_text("precious")
    with pytest.raises(SocketError, match="no socket; it stays"):
        await IpcServer(OneComponent()).serve(path)
    assert path.read_text() == "precious"


async def test_a_folder_that_is_not_there_or_not_ours(folder: Path) -> None:
    with pytest.raises(SocketError, match="No such file or directory"):
        await IpcServer(OneComponent()).serve(folder / "absent" / "s")
    with pytest.raises(SocketError, match="/proc/s: no socket can be made there"):
        await IpcServer(OneComponent()).serve(Path("/proc/s"))


async def test_who_says_nothing_is_sent_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc_session, "HANDSHAKE_TIMEOUT_S", 0.005)
    async with serving(folder / "s", OneComponent()) as server, await anyio.connect_unix(folder / "s") as stream:
        with anyio.fail_after(10.0), pytest.raises(anyio.EndOfStream):
            await stream.receive()
        await anyio.wait_all_tasks_blocked()
        assert server.clients == 0


async def test_a_connection_that_was_let_in_may_be_silent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc_session, "HANDSHAKE_TIMEOUT_S", 0.2)
    async with serving(folder / "s", OneComponent()), await anyio.connect_unix(folder / "s") as stream:
        client = Client(stream)
        await client.connect()
        await anyio.sleep(0.25)
        await client.send(1, "GetConfiguration", b"{}")
        assert (await client.frame()).number(":message-type") == 0
